/*
 * rng.h
 *		Seedable random numbers, the same stream on every platform and version.
 *
 * Models depend on these numbers, so neither random() nor the server's own
 * generator will do: the first differs between systems, the second between
 * server versions.  Generator: xoshiro256** (Blackman and Vigna), state filled
 * by splitmix64.  Pure C, no dependency.
 */
#ifndef MR_RNG_H
#define MR_RNG_H

#include <stdint.h>

typedef struct MrRng
{
	uint64_t	s[4];
} MrRng;

/* rng.c */
extern void mr_rng_seed(MrRng *rng, uint64_t seed);
extern uint64_t mr_rng_next(MrRng *rng);
extern uint32_t mr_rng_below(MrRng *rng, uint32_t n);
extern uint64_t mr_rng_below64(MrRng *rng, uint64_t n);
extern double mr_rng_uniform(MrRng *rng);
extern double mr_rng_normal(MrRng *rng);
extern void mr_rng_shuffle(MrRng *rng, uint32_t *values, uint32_t n);

#endif							/* MR_RNG_H */
