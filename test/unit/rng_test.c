/*
 * rng_test.c
 *		The random numbers: fixed streams, no bias, right shapes.
 */
#include <math.h>
#include <string.h>

#include "unit.h"
#include "util/rng.h"

/* Chi-square of counts that should all be equal. */
static double
chi_square(const int *counts, int n, double expected)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (counts[i] - expected) * (counts[i] - expected) / expected;
	return sum;
}

/*
 * First words of seed 0: splitmix64 of 0 fills the state with the published
 * values e220a8397b1dcdaf 6e789e6aa1b965f4 06c45d188009454f f88bb8a8724c81ec, so
 * the first word is rotl(6e789e6aa1b965f4 * 5, 7) * 9 = 99ec5f36cb75f2b4.
 */
static void
test_stream(void)
{
	MrRng		rng;
	MrRng		again;
	bool		same = true;

	mr_rng_seed(&rng, 0);
	ok(rng.s[0] == UINT64_C(0xe220a8397b1dcdaf) && rng.s[3] == UINT64_C(0xf88bb8a8724c81ec), "state of seed 0");
	ok(mr_rng_next(&rng) == UINT64_C(0x99ec5f36cb75f2b4), "first word of seed 0");
	mr_rng_seed(&rng, 7);
	mr_rng_seed(&again, 7);
	for (int i = 0; i < 1000; i++)
		same = same && mr_rng_normal(&rng) == mr_rng_normal(&again);
	ok(same, "one seed, one stream");
	mr_rng_seed(&again, 8);
	ok(mr_rng_next(&rng) != mr_rng_next(&again), "another seed, another stream");
}

static void
test_integers(void)
{
	MrRng		rng;
	int			counts[7] = {0};
	bool		inside = true;
	uint64_t	big = UINT64_C(3) << 40;
	int			thirds[3] = {0};

	mr_rng_seed(&rng, 1);
	for (int i = 0; i < 70000; i++)
		counts[mr_rng_below(&rng, 7)]++;
	/* 6 degrees of freedom: 22.5 has probability 0.001 */
	ok(chi_square(counts, 7, 10000) < 22.5, "below(7) is uniform");
	ok(mr_rng_below(&rng, 1) == 0, "below(1)");
	for (int i = 0; i < 30000; i++)
	{
		uint64_t	value = mr_rng_below64(&rng, big);

		inside = inside && value < big;
		thirds[value >> 40]++;
	}
	ok(inside, "below64 stays below");
	ok(chi_square(thirds, 3, 10000) < 13.8, "below64 is uniform");
}

static void
test_reals(void)
{
	MrRng		rng;
	double		sum = 0;
	double		square = 0;
	int			beyond = 0;
	bool		inside = true;
	int			n = 200000;

	mr_rng_seed(&rng, 2);
	for (int i = 0; i < n; i++)
	{
		double		u = mr_rng_uniform(&rng);

		inside = inside && u >= 0 && u < 1;
		sum += u;
	}
	ok(inside, "uniform lies in [0, 1)");
	ok_near(sum / n, 0.5, 0.004, "mean of uniform");
	sum = 0;
	for (int i = 0; i < n; i++)
	{
		double		x = mr_rng_normal(&rng);

		sum += x;
		square += x * x;
		beyond += fabs(x) > 1.959964;
	}
	ok_near(sum / n, 0, 0.01, "mean of normal");
	ok_near(square / n, 1, 0.015, "variance of normal");
	ok_near((double) beyond / n, 0.05, 0.003, "tails of normal");
}

static void
test_shuffle(void)
{
	MrRng		rng;
	int			counts[6] = {0};

	mr_rng_seed(&rng, 3);
	for (int i = 0; i < 60000; i++)
	{
		uint32_t	v[3] = {0, 1, 2};

		mr_rng_shuffle(&rng, v, 3);
		counts[v[0] * 2 + (v[1] > v[2])]++;
	}
	/* 5 degrees of freedom: 20.5 has probability 0.001 */
	ok(chi_square(counts, 6, 10000) < 20.5, "all orders of 3 are equally likely");
}

int
main(void)
{
	test_stream();
	test_integers();
	test_reals();
	test_shuffle();
	return unit_done();
}
