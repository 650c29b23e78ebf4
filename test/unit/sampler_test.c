/*
 * sampler_test.c
 *		Negatives: never a positive, the promised frequencies.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/hinge.h"
#include "model_fixture.h"

/* Chi-square of counts against expected ones; cells that expect 0 must hold 0. */
static double
chi_square(const int *counts, const double *expected, int n, bool *impossible)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
	{
		if (expected[i] > 0)
			sum += (counts[i] - expected[i]) * (counts[i] - expected[i]) / expected[i];
		else if (counts[i] > 0)
			*impossible = true;
	}
	return sum;
}

/* The alias table against count^exponent, over several shapes. */
static void
test_alias(void)
{
	static const int32_t shapes[4][8] = {
		{1, 1, 1, 1, 1, 1, 1, 1}, {1000, 1, 0, 3, 0, 7, 500, 2}, {0, 0, 0, 5, 0, 0, 0, 0}, {1, 2, 4, 8, 16, 32, 64, 128}
	};
	MrRng		rng;
	float		threshold[8];
	int32_t		other[8];

	mr_rng_seed(&rng, 17);
	for (int s = 0; s < 4; s++)
		for (int e = 0; e < 3; e++)
		{
			MrAlias		alias = {8, threshold, other};
			double		exponent = e * 0.5;
			double		sum = 0;
			double		expected[8];
			int			counts[8] = {0};
			bool		impossible = false;
			double		square;
			double		mass = 0;

			ok(mr_alias_fill(&alias, shapes[s], exponent, &mass, NULL, NULL) == MR_OK && mass > 0,
			   "alias table of shape %d", s);
			for (int i = 0; i < 8; i++)
				sum += expected[i] = shapes[s][i] > 0 ? pow(shapes[s][i], exponent) : 0;
			for (int i = 0; i < 8; i++)
				expected[i] *= 100000 / sum;
			for (int i = 0; i < 100000; i++)
				counts[mr_alias_draw(&alias, &rng)]++;
			square = chi_square(counts, expected, 8, &impossible);
			/* 7 degrees of freedom: 24.3 has probability 0.001 */
			ok(square < 24.3 && !impossible, "frequencies of shape %d, exponent %g: chi-square %.1f", s, exponent, square);
		}
}

static MrTrainer *
start(Fixture *f, MrInteractions *x, MrSampling sampling, double exponent)
{
	MrHyper		hyper = {.loss = MR_LOSS_CML, .sampling = sampling, .popularity_exponent = exponent, .dimensions = 4};

	mr_recipe_fill(&hyper, FIXTURE_SET(LOSS) | FIXTURE_SET(SAMPLING) | FIXTURE_SET(POPULARITY_EXPONENT) |
				   FIXTURE_SET(DIMENSIONS), x);
	return fixture_start(f, &hyper, x);
}

/* Each sampler, with and without the bitmap, never draws a positive. */
static void
test_never_positive(void)
{
	MrInteractions x;
	Fixture		f;

	fixture_matrix(&x, 30, 20, 0.7, false, 3);
	for (int bitmap = 0; bitmap < 2; bitmap++)
	{
		MrTrainer  *t = start(&f, &x, MR_SAMPLING_POPULARITY, 1);
		bool		good = true;

		ok(t != NULL && t->hinge.bitmap != NULL, "a small matrix has a bitmap");
		if (!bitmap)
			t->hinge.bitmap = NULL;
		for (int32_t u = 0; u < x.n_users; u++)
		{
			if (x.user_start[u + 1] - x.user_start[u] == x.n_items)
				continue;
			for (int i = 0; i < 2000; i++)
			{
				int32_t		a = mr_sampler_uniform(t, u);
				int32_t		b = mr_sampler_popular(t, u);

				good = good && a >= 0 && a < x.n_items && b >= 0 && b < x.n_items;
				good = good && !mr_interactions_contain(&x, u, a) && !mr_interactions_contain(&x, u, b);
			}
		}
		ok(good, "no positive is drawn, %s bitmap", bitmap ? "with" : "without");
		fixture_end(&f);
	}
	fixture_free_matrix(&x);
}

/* Uniform over the negatives; popular in proportion to the counts. */
static void
test_frequencies(void)
{
	MrInteractions x;
	Fixture		f;
	int			n = 60000;

	fixture_matrix(&x, 40, 12, 0.4, false, 9);
	for (int bitmap = 0; bitmap < 2; bitmap++)
	{
		MrTrainer  *t = start(&f, &x, MR_SAMPLING_POPULARITY, 0.75);
		double		uniform[12] = {0};
		double		popular[12] = {0};
		double		sum = 0;
		int			left = 0;
		int			counts[12] = {0};
		bool		impossible = false;

		if (!bitmap)
			t->hinge.bitmap = NULL;
		for (int32_t i = 0; i < 12; i++)
			if (!mr_interactions_contain(&x, 0, i))
			{
				uniform[i] = 1;
				sum += popular[i] = pow(t->item_count[i], 0.75);
				left++;
			}
		for (int32_t i = 0; i < 12; i++)
		{
			uniform[i] *= (double) n / left;
			popular[i] *= n / sum;
		}
		for (int i = 0; i < n; i++)
			counts[mr_sampler_uniform(t, 0)]++;
		/* 11 degrees of freedom: 31.3 has probability 0.001 */
		ok(chi_square(counts, uniform, 12, &impossible) < 31.3 && !impossible, "uniform negatives, bitmap %d", bitmap);
		memset(counts, 0, sizeof(counts));
		for (int i = 0; i < n; i++)
			counts[mr_sampler_popular(t, 0)]++;
		ok(chi_square(counts, popular, 12, &impossible) < 31.3 && !impossible, "popular negatives, bitmap %d", bitmap);
		fixture_end(&f);
	}
	fixture_free_matrix(&x);
}

/* Draw candidates many times: how often each item is among them. */
static void
candidate_counts(MrTrainer *t, int *counts, int rounds, bool *distinct)
{
	for (int r = 0; r < rounds; r++)
	{
		uint8_t		seen[12] = {0};

		mr_two_stage_batch(t, NULL, NULL);
		for (int c = 0; c < t->hinge.drawn_candidates; c++)
		{
			*distinct = *distinct && !seen[t->hinge.candidates[c]]++;
			counts[t->hinge.candidates[c]]++;
		}
	}
}

/*
 * Stage 1 is drawn without replacement, and with the probabilities of successive
 * draws: two of three items with weights 1, 2, 3 contain item 0 with probability
 * 1/6 + 2/6 * 1/4 + 3/6 * 1/3 = 5/12.
 */
static void
test_stage_one(void)
{
	static int64_t user_start[4] = {0, 3, 5, 6};
	static int32_t items[6] = {0, 1, 2, 1, 2, 2};
	MrInteractions x = {3, 4, 6, user_start, items, NULL, NULL};
	MrHyper		hyper = {.preset = MR_PRESET_TWO_STAGE, .candidates = 2, .dimensions = 4};
	Fixture		f;
	int			counts[12] = {0};
	bool		distinct = true;

	mr_recipe_fill(&hyper, FIXTURE_SET(CANDIDATES) | FIXTURE_SET(DIMENSIONS), &x);
	fixture_start(&f, &hyper, &x);
	candidate_counts(f.t, counts, 60000, &distinct);
	ok(distinct, "stage 1 draws without replacement");
	ok_near(counts[0] / 60000.0, 5 / 12.0, 0.008, "stage 1: successive draws by count");
	ok(counts[3] == 0, "stage 1: an item without interactions is never drawn");
	fixture_end(&f);
}

/*
 * One item has nearly all of the mass, so that repeated draws hit nothing else
 * and the rest is drawn in another way: of the others, weighted 1 and 2, the
 * second candidate is item 0 in a third of the batches.
 */
static void
test_stage_one_rest(void)
{
	static int64_t user_start[4] = {0, 3, 5, 6};
	static int32_t items[6] = {0, 1, 2, 1, 2, 2};
	MrInteractions x = {3, 4, 6, user_start, items, NULL, NULL};
	MrHyper		hyper = {.preset = MR_PRESET_TWO_STAGE, .candidates = 2, .dimensions = 4};
	Fixture		f;
	double		sum;
	int			counts[12] = {0};
	bool		distinct = true;

	mr_recipe_fill(&hyper, FIXTURE_SET(CANDIDATES) | FIXTURE_SET(DIMENSIONS), &x);
	fixture_start(&f, &hyper, &x);
	f.t->item_count[0] = 1;
	f.t->item_count[1] = 2;
	f.t->item_count[2] = 100000000;
	mr_alias_fill(&f.t->alias, f.t->item_count, 1, &sum, NULL, NULL);
	ok_near(sum, 100000003, 1e-6, "the mass of all items");
	candidate_counts(f.t, counts, 60000, &distinct);
	ok(distinct && counts[0] + counts[1] == 60000 && counts[2] == 60000, "stage 1 finds the rest without replacement");
	ok_near(counts[0] / 60000.0, 1 / 3.0, 0.008, "stage 1: the rest by count");
	ok(counts[3] == 0, "stage 1: nor is an item without interactions in the rest");
	fixture_end(&f);
}

int
main(void)
{
	test_alias();
	test_never_positive();
	test_frequencies();
	test_stage_one();
	test_stage_one_rest();
	return unit_done();
}
