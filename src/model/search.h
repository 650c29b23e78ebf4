/*
 * search.h
 *		The arithmetic of a search for hyper-parameters: drawing a value of a range,
 *		how many trials get how many epochs, which of them go on.
 *
 * Pure C, no memory of its own.  train/tune.c does the training.
 *
 * A search is a ladder of rungs.  All trials stand on the first one, where each is
 * trained for a few epochs; the best third goes on to the next rung and three times
 * the epochs, until the last rung, where a trial has all of its own epochs:
 *
 *		rung	trials	epochs			29 trials of 60 epochs
 *		1		n		E / 9			29 x 7
 *		2		n / 3	E / 3			10 x 20
 *		3		n / 9	E				 4 x 60		in all 643 epochs instead of 1740
 *
 * (Successive halving: Jamieson and Talwalkar, AISTATS 2016.)
 */
#ifndef MR_SEARCH_H
#define MR_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "util/rng.h"

/* Of three to the power of this many trials one is left. */
#define MR_SEARCH_MAX_RUNGS 8

/* Of the trials of a rung, one in so many goes on; the next has so many times the epochs. */
#define MR_SEARCH_STEP 3

/* Fewer epochs than this say little about a setting (doc/training.md, "Tuning"). */
#define MR_SEARCH_LEAST_EPOCHS 5

/* Values of a hyper-parameter that lie between two. */
typedef struct MrRange
{
	double		min;			/* <= max, both finite */
	double		max;
	bool		log;			/* evenly on a logarithmic scale; min > 0 */
	bool		whole;			/* integers */
} MrRange;

typedef struct MrRung
{
	int32_t		trials;
	int32_t		epochs;			/* a trial with fewer epochs of its own is trained for those */
} MrRung;

typedef struct MrLadder
{
	int			n_rungs;		/* 0: no trial */
	MrRung		rungs[MR_SEARCH_MAX_RUNGS];
} MrLadder;

/* search.c */
extern double mr_three_digits(double x);
extern double mr_range_draw(const MrRange *range, MrRng *rng);
extern void mr_ladder_make(MrLadder *ladder, bool halving, int32_t trials, int32_t epochs);
extern double mr_ladder_cost(const MrLadder *ladder, double more);
extern int32_t mr_ladder_trials_within(bool halving, int32_t most, int32_t epochs, double more, double budget);
extern void mr_search_order(const double *values, int32_t n, int32_t *order);

#endif							/* MR_SEARCH_H */
