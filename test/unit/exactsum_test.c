/*
 * exactsum_test.c
 *		Sums without rounding: worked examples, any order, and numbers where a
 *		plain sum loses everything.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "math/exactsum.h"
#include "unit.h"
#include "util/rng.h"

#define N 4000

static MrRng rng;

static void
moments(const double *x, int n, double *mean, double *deviation)
{
	MrExactSum	sum = {{0}};
	MrExactSum	squares = {{0}};

	for (int i = 0; i < n; i++)
	{
		mr_exact_add(&sum, x[i]);
		mr_exact_add_product(&squares, x[i], x[i]);
	}
	mr_exact_moments(&sum, &squares, n, mean, deviation);
}

static void
test_values(void)
{
	static const double numbers[] = {0, 1, -1, 0.1, -1e38, 1e38, 3.4e38, 1e-300, -1e-300, 4.9e-324, 123456789.123,
	-4294967296.0};

	for (int i = 0; i < (int) (sizeof(numbers) / sizeof(numbers[0])); i++)
	{
		MrExactSum	sum = {{0}};

		mr_exact_add(&sum, numbers[i]);
		unit_case(fabs(mr_exact_value(&sum) - numbers[i]) <= 2e-16 * fabs(numbers[i]), "%g", numbers[i]);
		mr_exact_add(&sum, -numbers[i]);
		unit_case(mr_exact_value(&sum) == 0, "%g and its negative", numbers[i]);
		mr_exact_add(&sum, 1e38);
		mr_exact_add(&sum, 1e-20);
		mr_exact_add(&sum, -1e38);
		unit_case(mr_exact_value(&sum) == 1e-20, "a small number beside a large one");
	}
	unit_cases("single numbers");
}

static void
test_order(void)
{
	double		x[N];
	uint32_t	order[N];
	double		mean;
	double		deviation;

	for (int i = 0; i < N; i++)
	{
		x[i] = mr_rng_normal(&rng) * pow(10, (double) mr_rng_below(&rng, 60) - 30);
		order[i] = i;
	}
	moments(x, N, &mean, &deviation);
	for (int turn = 0; turn < 20; turn++)
	{
		double		shuffled[N];
		double		other_mean;
		double		other_deviation;

		mr_rng_shuffle(&rng, order, N);
		for (int i = 0; i < N; i++)
			shuffled[i] = x[order[i]];
		moments(shuffled, N, &other_mean, &other_deviation);
		unit_case(memcmp(&mean, &other_mean, sizeof(mean)) == 0, "mean of turn %d", turn);
		unit_case(memcmp(&deviation, &other_deviation, sizeof(mean)) == 0, "deviation of turn %d", turn);
	}
	unit_cases("the order does not matter, bit for bit");
}

static void
test_moments(void)
{
	static const double plain[] = {2, 4, 4, 4, 5, 5, 7, 9};
	double		shifted[10];
	double		mean;
	double		deviation;

	moments(plain, 8, &mean, &deviation);
	ok(mean == 5 && deviation == 2, "a worked example");
	for (int i = 0; i < 8; i++)
		shifted[i] = -(plain[i] + 1e15);
	moments(shifted, 8, &mean, &deviation);
	ok(mean == -(1e15 + 5), "a large mean");
	ok_near(deviation, 2, 1e-12, "a small deviation around it");
	for (int i = 0; i < 10; i++)
		shifted[i] = 1e15 + i;
	moments(shifted, 10, &mean, &deviation);
	ok(mean == 1e15 + 4.5, "a sum that no double holds");
	ok_near(deviation, sqrt(8.25), 1e-15, "and the deviation from its mean");
	for (int i = 0; i < 8; i++)
		shifted[i] = 0.1;
	moments(shifted, 8, &mean, &deviation);
	ok_near(mean, 0.1, 1e-16, "one number, many times");
	ok(deviation < 1e-16, "hardly deviates");
	for (int i = 0; i < 8; i++)
		shifted[i] = i % 2 ? 3.4e38 : -3.4e38;
	moments(shifted, 8, &mean, &deviation);
	ok(mean == 0, "the largest numbers: mean");
	ok_near(deviation / 3.4e38, 1, 1e-12, "and deviation");
}

int
main(void)
{
	mr_rng_seed(&rng, 1);
	test_values();
	test_order();
	test_moments();
	return unit_done();
}
