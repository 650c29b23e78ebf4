/*
 * search_test.c
 *		Drawing values of ranges, the rungs of a search, the order of trials.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/search.h"
#include "unit.h"

/* Draws `n` values; checks that each is in the range, returns the share below `split`. */
static double
share_below(const MrRange *range, double split, int n)
{
	MrRng		rng;
	int			below = 0;

	mr_rng_seed(&rng, 11);
	for (int i = 0; i < n; i++)
	{
		double		x = mr_range_draw(range, &rng);

		unit_case(x >= range->min && x <= range->max, "%g is in the range", x);
		if (range->whole)
			unit_case(x == floor(x), "%g is whole", x);
		below += x < split;
	}
	return (double) below / n;
}

/* Three significant digits at most? */
static bool
is_short(double x)
{
	char		text[32];

	snprintf(text, sizeof(text), "%.3g", x);
	return strtod(text, NULL) == x;
}

static void
test_draw(void)
{
	MrRng		a;
	MrRng		b;

	ok_near(share_below(&(MrRange) {.min = 0.1, .max = 0.9}, 0.5, 4000), 0.5, 0.04, "even: half of the values in the lower half");
	ok_near(share_below(&(MrRange) {.min = 0.01, .max = 1, .log = true}, 0.1, 4000), 0.5, 0.04,
			"logarithmic: half of the values below the geometric mean");
	ok_near(share_below(&(MrRange) {.min = 1, .max = 4, .whole = true}, 1.5, 4000), 0.25, 0.03,
			"whole numbers: the least as likely as the others");
	ok_near(share_below(&(MrRange) {.min = 1, .max = 4, .whole = true}, 3.5, 4000), 0.75, 0.03, "and the greatest");
	ok_near(share_below(&(MrRange) {.min = 1, .max = 10000, .whole = true, .log = true}, 100, 4000), 0.5, 0.04,
			"whole numbers, logarithmic");
	ok(share_below(&(MrRange) {.min = 7, .max = 7, .whole = true}, 7, 10) == 0, "a range of one number");
	ok(share_below(&(MrRange) {.min = 0.12345, .max = 0.12345}, 0.12, 10) == 0, "a range of one real number, which is not rounded");
	ok_near(share_below(&(MrRange) {.min = -1, .max = 1}, 0, 4000), 0.5, 0.04, "a range around 0");
	ok_near(share_below(&(MrRange) {.min = 1e-9, .max = 1e6, .log = true}, sqrt(1e-3), 4000), 0.5, 0.04, "a wide range");
	unit_cases("every value lies in its range");

	mr_rng_seed(&a, 5);
	mr_rng_seed(&b, 5);
	for (int i = 0; i < 1000; i++)
	{
		MrRange		range = {.min = 1e-5, .max = 2e4, .log = true};
		double		x = mr_range_draw(&range, &a);

		unit_case(is_short(x), "%.17g", x);
		unit_case(x == mr_range_draw(&range, &b), "%g again", x);
	}
	unit_cases("values have three digits, and a seed repeats them");
}

static bool
is_ladder(int32_t trials, int32_t epochs, bool halving, int n, const MrRung *rungs)
{
	MrLadder	ladder;

	mr_ladder_make(&ladder, halving, trials, epochs);
	if (ladder.n_rungs != n)
		return false;
	for (int i = 0; i < n; i++)
		if (ladder.rungs[i].trials != rungs[i].trials || ladder.rungs[i].epochs != rungs[i].epochs)
			return false;
	return true;
}

static void
test_ladder(void)
{
	MrLadder	ladder;

	ok(is_ladder(29, 60, true, 3, (MrRung[]) {{29, 7}, {10, 20}, {4, 60}}), "29 trials of 60 epochs");
	mr_ladder_make(&ladder, true, 29, 60);
	ok(mr_ladder_cost(&ladder, 0) == 643 && mr_ladder_cost(&ladder, 0.5) == 643 + 0.5 * 43, "cost 643 epochs and 43 validations");
	ok(is_ladder(29, 20, true, 2, (MrRung[]) {{29, 7}, {10, 20}}), "29 trials of 20 epochs");
	ok(is_ladder(29, 20, false, 1, (MrRung[]) {{29, 20}}), "a random search has one rung");
	ok(is_ladder(2, 20, true, 1, (MrRung[]) {{2, 20}}), "so have two trials");
	ok(is_ladder(3, 20, true, 2, (MrRung[]) {{3, 7}, {1, 20}}), "three have two");
	ok(is_ladder(100, 14, true, 1, (MrRung[]) {{100, 14}}), "few epochs are not divided");
	ok(is_ladder(100, 15, true, 2, (MrRung[]) {{100, 5}, {34, 15}}), "15 epochs once");
	ok(is_ladder(1, 1, true, 1, (MrRung[]) {{1, 1}}), "one trial of one epoch");
	ok(is_ladder(0, 20, true, 0, NULL), "no trial, no rung");

	for (int32_t trials = 1; trials < 3000; trials = trials * 5 / 4 + 1)
		for (int32_t epochs = 1; epochs <= 10000; epochs = epochs * 3 / 2 + 1)
		{
			mr_ladder_make(&ladder, true, trials, epochs);
			unit_case(ladder.n_rungs >= 1 && ladder.n_rungs <= MR_SEARCH_MAX_RUNGS && ladder.rungs[0].trials == trials &&
					  ladder.rungs[ladder.n_rungs - 1].epochs == epochs, "%d trials of %d epochs", trials, epochs);
			for (int i = 1; i < ladder.n_rungs; i++)
				unit_case(ladder.rungs[i].epochs > ladder.rungs[i - 1].epochs && ladder.rungs[i].trials >= 1 &&
						  ladder.rungs[i].trials < ladder.rungs[i - 1].trials &&
						  ladder.rungs[i - 1].epochs >= MR_SEARCH_LEAST_EPOCHS, "%d trials of %d epochs, rung %d", trials, epochs, i);
		}
	unit_cases("every ladder climbs: fewer trials, more epochs");
}

static void
test_within(void)
{
	ok(mr_ladder_trials_within(true, 29, 20, 0, 403) == 29 && mr_ladder_trials_within(true, 29, 20, 0, 402.9) == 28,
	   "as many trials as the budget has epochs for");
	ok(mr_ladder_trials_within(false, 29, 20, 0, 100) == 5 && mr_ladder_trials_within(false, 29, 20, 0, 99) == 4, "without halving");
	ok(mr_ladder_trials_within(true, 29, 20, 0, 19) == 0 && mr_ladder_trials_within(true, 29, 20, 0, 0) == 0 &&
	   mr_ladder_trials_within(true, 29, 20, 0, -5) == 0, "none if not one fits");
	ok(mr_ladder_trials_within(true, 29, 20, 1, 442) == 29 && mr_ladder_trials_within(true, 29, 20, 1, 441) == 28, "validations cost something");
	ok(mr_ladder_trials_within(true, 29, 20, 0, INFINITY) == 29, "all within a boundless budget");
}

static void
test_order(void)
{
	double		values[] = {0.3, NAN, 0.5, 0.3, NAN, 0.1, 0.5};
	int32_t		expected[] = {2, 6, 0, 3, 5, 1, 4};
	int32_t		order[7];

	mr_search_order(values, 7, order);
	ok(memcmp(order, expected, sizeof(order)) == 0, "best first, of equals the lower place, failed trials last");
	mr_search_order(values, 0, order);
	ok(order[0] == 2, "no trial, nothing to order");
}

int
main(void)
{
	test_draw();
	test_ladder();
	test_within();
	test_order();
	return unit_done();
}
