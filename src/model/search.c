/*
 * search.c
 *		A search for hyper-parameters as numbers; see search.h.
 */
#include <math.h>

#include "model/search.h"

/* x with three significant digits: what a person would write into options. */
double
mr_three_digits(double x)
{
	double		scale;

	if (x == 0)
		return 0;
	scale = pow(10, floor(log10(fabs(x))) - 2);

	/* dividing by a whole power of ten gives the number nearest to the decimal one */
	return scale < 1 ? round(x / scale) / round(1 / scale) : round(x / scale) * scale;
}

/*
 * One value of the range, min and max included: a whole number, or a real one with
 * three significant digits (or exactly min or max).  Takes one number of rng.
 */
double
mr_range_draw(const MrRange *range, MrRng *rng)
{
	double		share = mr_rng_uniform(rng);
	double		value;

	if (range->log)
		value = range->min * pow(range->max / range->min, share);
	else if (range->whole)
		value = floor(range->min + share * (range->max - range->min + 1));	/* the ends as likely as others */
	else
		value = range->min + share * (range->max - range->min);
	value = range->whole ? round(value) : mr_three_digits(value);
	return value < range->min ? range->min : value > range->max ? range->max : value;
}

static int32_t
divide_up(int32_t a, int32_t b)
{
	return (a - 1) / b + 1;
}

/*
 * The rungs for so many trials (0: none) whose last rung has so many epochs.
 * Without halving, and where epochs or trials are few, there is one rung.
 */
void
mr_ladder_make(MrLadder *ladder, bool halving, int32_t trials, int32_t epochs)
{
	int			n = 1;
	int32_t		power = 1;

	ladder->n_rungs = 0;
	if (trials <= 0)
		return;
	while (halving && n < MR_SEARCH_MAX_RUNGS && trials / MR_SEARCH_STEP >= power &&
		   epochs / MR_SEARCH_STEP / power >= MR_SEARCH_LEAST_EPOCHS)
	{
		power *= MR_SEARCH_STEP;
		n++;
	}
	ladder->n_rungs = n;
	for (int i = 0; i < n; i++)
	{
		ladder->rungs[i].trials = i == 0 ? trials : divide_up(ladder->rungs[i - 1].trials, MR_SEARCH_STEP);
		ladder->rungs[i].epochs = (int32_t) ((epochs + power / 2) / power);
		power /= MR_SEARCH_STEP;
	}
}

/*
 * Epochs of all trials of a ladder, if none has fewer of its own, and for each training
 * `more` epochs: its validation.
 */
double
mr_ladder_cost(const MrLadder *ladder, double more)
{
	double		sum = 0;

	for (int i = 0; i < ladder->n_rungs; i++)
		sum += ladder->rungs[i].trials * (ladder->rungs[i].epochs + more);
	return sum;
}

/* The largest number of trials, at most `most`, whose ladder costs at most `budget`. */
int32_t
mr_ladder_trials_within(bool halving, int32_t most, int32_t epochs, double more, double budget)
{
	for (int32_t trials = most; trials > 0; trials--)
	{
		MrLadder	ladder;

		mr_ladder_make(&ladder, halving, trials, epochs);
		if (mr_ladder_cost(&ladder, more) <= budget)
			return trials;
	}
	return 0;
}

/* Does a stand before b?  Higher values first, then lower places; NaN, a failed trial, last. */
static bool
before(const double *values, int32_t a, int32_t b)
{
	if (isnan(values[a]) || isnan(values[b]))
		return isnan(values[a]) == isnan(values[b]) ? a < b : isnan(values[b]);
	return values[a] != values[b] ? values[a] > values[b] : a < b;
}

/* order[0..n-1] = the places of the values, best first. */
void
mr_search_order(const double *values, int32_t n, int32_t *order)
{
	for (int32_t i = 0; i < n; i++)
	{
		int32_t		at = i;

		for (; at > 0 && before(values, i, order[at - 1]); at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}
