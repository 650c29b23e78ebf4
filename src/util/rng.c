/*
 * rng.c
 *		Seedable random numbers (see rng.h).
 *
 * Only integer arithmetic and single IEEE operations are used, and the one call
 * of libm (the acceptance test of the normal) decides nothing but a comparison,
 * so that the streams do not depend on the compiler's or the library's rounding.
 */
#include <math.h>

#include "util/rng.h"

static inline uint64_t
rotate_left(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

/* One step of splitmix64: spreads a small seed over the whole state. */
static uint64_t
splitmix(uint64_t *state)
{
	uint64_t	z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Start the stream of this seed. */
void
mr_rng_seed(MrRng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		rng->s[i] = splitmix(&seed);
}

/* 64 random bits. */
uint64_t
mr_rng_next(MrRng *rng)
{
	uint64_t   *s = rng->s;
	uint64_t	result = rotate_left(s[1] * 5, 7) * 9;
	uint64_t	t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

/*
 * An integer in [0, n), each equally likely; n > 0.  Lemire's multiplication:
 * the few low products that would favour some values are drawn again.
 */
uint32_t
mr_rng_below(MrRng *rng, uint32_t n)
{
	uint64_t	product = (mr_rng_next(rng) >> 32) * n;
	uint32_t	low = (uint32_t) product;

	if (low < n)
	{
		uint32_t	bound = (0 - n) % n;

		while (low < bound)
		{
			product = (mr_rng_next(rng) >> 32) * n;
			low = (uint32_t) product;
		}
	}
	return (uint32_t) (product >> 32);
}

/* As mr_rng_below(), for counts beyond 32 bits: rejection under a power of two. */
uint64_t
mr_rng_below64(MrRng *rng, uint64_t n)
{
	uint64_t	mask = n - 1;

	if (n <= UINT32_MAX)
		return mr_rng_below(rng, (uint32_t) n);
	for (int shift = 1; shift < 64; shift *= 2)
		mask |= mask >> shift;
	for (;;)
	{
		uint64_t	value = mr_rng_next(rng) & mask;

		if (value < n)
			return value;
	}
}

/* A multiple of 2^-53 in [0, 1). */
double
mr_rng_uniform(MrRng *rng)
{
	return (double) (mr_rng_next(rng) >> 11) * 0x1.0p-53;
}

/*
 * A standard normal number, by the ratio of uniforms (Kinderman and Monahan):
 * x = sqrt(8/e) (v - 1/2) / u is accepted if x^2 <= -4 ln u.
 */
double
mr_rng_normal(MrRng *rng)
{
	for (;;)
	{
		double		u = 1.0 - mr_rng_uniform(rng);	/* in (0, 1] */
		double		v = mr_rng_uniform(rng) - 0.5;
		double		x = 1.7155277699214135 * v;

		x /= u;
		if (x * x <= -4.0 * log(u))
			return x;
	}
}

/* Every order of values[0 .. n) equally likely (Fisher and Yates). */
void
mr_rng_shuffle(MrRng *rng, uint32_t *values, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--)
	{
		uint32_t	j = mr_rng_below(rng, i);
		uint32_t	swap = values[i - 1];

		values[i - 1] = values[j];
		values[j] = swap;
	}
}
