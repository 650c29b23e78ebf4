/*
 * hinge_test.c
 *		CML, triplet, covariance and two-stage weights on examples worked out by
 *		hand.
 */
#include <math.h>
#include <string.h>

#include "model/hinge.h"
#include "model_fixture.h"

/* One user who likes item 0 of 5; points in the plane. */
static int64_t one_start[2] = {0, 1};
static int32_t one_item[1] = {0};
static const MrInteractions one_pair = {1, 5, 1, one_start, one_item, NULL, NULL};

static const float point_u[2] = {0.5f, 0};
static const float point_v[2] = {0, 0};
static const float point_k1[2] = {0.5f, 0.5f};
static const float point_k2[2] = {-0.5f, 0};

static void
start(Fixture *f, MrHyper hyper, uint64_t set)
{
	hyper.dimensions = 2;
	hyper.negatives = 2;
	mr_recipe_fill(&hyper, set | FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(NEGATIVES) | FIXTURE_SET(LOSS), &one_pair);
	fixture_start(f, &hyper, &one_pair);
	fixture_set_point(f->t, &f->t->users, 0, point_u);
	fixture_set_point(f->t, &f->t->items, 0, point_v);
	fixture_set_point(f->t, &f->t->items, 1, point_k1);
	fixture_set_point(f->t, &f->t->items, 2, point_k2);
	f->t->hinge.draws[0] = 1;
	f->t->hinge.draws[1] = 2;
}

static bool
gradient_is(const MrPoints *points, int32_t row, double x, double y)
{
	const float *g = points->gradient + (size_t) row * points->stride;

	return fabs(g[0] - x) < 1e-5 && fabs(g[1] - y) < 1e-5;
}

/*
 * |u-v|^2 = .25, |u-k1|^2 = .25, |u-k2|^2 = 1, m = .5: hinges .5 and -.25, so one
 * impostor of two draws, w = log(floor(5 * 1 / 2) + 1) = log 3 = 1.0986, loss
 * .5 log 3, and with the factor 2w = 2.1972
 *		dL/du = 2w (k1 - v) = (1.0986, 1.0986)
 *		dL/dv = 2w (v - u)	= (-1.0986, 0)
 *		dL/dk1 = 2w (u - k1) = (0, -1.0986)
 */
static void
test_cml(void)
{
	Fixture		f;
	MrHyper		hyper = {.loss = MR_LOSS_CML, .margin = 0.5};

	start(&f, hyper, FIXTURE_SET(MARGIN));
	ok_near(mr_hinge_pair(f.t, 0, 0, 1.0), 0.5 * log(3), 1e-6, "cml: loss");
	ok(gradient_is(&f.t->users, 0, log(3), log(3)), "cml: gradient of the user");
	ok(gradient_is(&f.t->items, 0, -log(3), 0), "cml: gradient of the positive");
	ok(gradient_is(&f.t->items, 1, 0, -log(3)), "cml: gradient of the hardest negative");
	ok(gradient_is(&f.t->items, 2, 0, 0), "cml: no gradient of the other negative");
	ok_near(mr_hinge_pair(f.t, 0, 0, 2.5), 2.5 * 0.5 * log(3), 1e-6, "cml: the pair's weight multiplies");
	f.t->hinge.draws[0] = 2;
	ok_near(mr_hinge_pair(f.t, 0, 0, 1.0), 0, 0, "cml: no impostor, no loss");
	fixture_end(&f);
	hyper.rank_weight = false;
	start(&f, hyper, FIXTURE_SET(MARGIN) | FIXTURE_SET(RANK_WEIGHT));
	ok_near(mr_hinge_pair(f.t, 0, 0, 1.0), 0.5, 1e-6, "cml without rank weight: loss");
	fixture_end(&f);
}

/*
 * |u-v| = .5, |u-k1| = .5, |u-k2| = 1, m = 1.2: hinges 1.2 and .7.  Unit vectors
 * a = (u-v)/.5 = (1, 0), b1 = (u-k1)/.5 = (0, -1), b2 = (u-k2)/1 = (1, 0):
 *		dL/du = (a - b1) + (a - b2) = (1, 1)	dL/dv = -2a = (-2, 0)
 *		dL/dk1 = b1 = (0, -1)					dL/dk2 = b2 = (1, 0)
 * The hardest of the two draws is k1 alone: loss 1.2, dL/du = (1, 1), dL/dv = -a.
 */
static void
test_triplet(void)
{
	Fixture		f;
	MrHyper		hyper = {.loss = MR_LOSS_TRIPLET, .margin = 1.2, .sampling = MR_SAMPLING_HARDEST};

	start(&f, hyper, FIXTURE_SET(MARGIN));
	ok_near(mr_hinge_pair(f.t, 0, 0, 1.0), 1.9, 1e-6, "triplet: loss");
	ok(gradient_is(&f.t->users, 0, 1, 1), "triplet: gradient of the user");
	ok(gradient_is(&f.t->items, 0, -2, 0), "triplet: gradient of the positive");
	ok(gradient_is(&f.t->items, 1, 0, -1), "triplet: gradient of the first negative");
	ok(gradient_is(&f.t->items, 2, 1, 0), "triplet: gradient of the second negative");
	fixture_set_point(f.t, &f.t->items, 0, point_u);
	memset(f.t->items.gradient, 0, 5 * f.t->stride * sizeof(float));
	ok(isfinite(mr_hinge_pair(f.t, 0, 0, 1.0)) && gradient_is(&f.t->items, 0, 0, 0), "triplet: distance 0 has gradient 0");
	fixture_end(&f);
	start(&f, hyper, FIXTURE_SET(MARGIN) | FIXTURE_SET(SAMPLING));
	ok_near(mr_hinge_pair(f.t, 0, 0, 1.0), 1.2, 1e-6, "triplet, hardest: loss");
	ok(gradient_is(&f.t->users, 0, 1, 1) && gradient_is(&f.t->items, 0, -1, 0), "triplet, hardest: gradients");
	fixture_end(&f);
}

/* log(floor(J M / U) + 1): J = 10, M = 3, U = 20 gives floor(1.5) = 1, log 2. */
static void
test_rank_weight(void)
{
	ok_near(mr_hinge_rank_weight(10, 3, 20), log(2), 1e-12, "rank weight of 3 impostors among 20 draws of 10 items");
	ok_near(mr_hinge_rank_weight(3706, 20, 20), log(3707), 1e-12, "rank weight when all draws are impostors");
	ok_near(mr_hinge_rank_weight(10, 1, 20), 0, 0, "rank weight below 1 is log 1");
	ok_near(mr_hinge_rank_weight(10, 0, 20), 0, 0, "rank weight without impostors");
}

/*
 * Batch of one pair, u = (.6, 0), v = (-.2, .4): mean (.2, .2), differences
 * (.4, -.2) and (-.4, .2), C = [.16 -.08; -.08 .04] (their products are equal, and
 * 1/N = 1/2).  |C|_F = sqrt(.0256 + 2 * .0064 + .0016) = .2, |diag|^2 = .0272,
 * L_c = (.2 - .0272) / 2 = .0864, times lambda = 10: .864.
 * G = (C/.2 - 2 diag C) / 2 = [.24 -.2; -.2 .06]; dL/du = 10 (2/2) G (.4, -.2)
 *	 = 10 (.24*.4 + .2*.2, -.2*.4 - .06*.2) = (1.36, -.92), and its negative for v.
 */
static void
test_covariance(void)
{
	Fixture		f;
	MrHyper		hyper = {.loss = MR_LOSS_CML, .covariance = 10};
	static const float u[2] = {0.6f, 0};
	static const float v[2] = {-0.2f, 0.4f};
	double		loss = 0;

	start(&f, hyper, FIXTURE_SET(COVARIANCE));
	fixture_set_point(f.t, &f.t->users, 0, u);
	fixture_set_point(f.t, &f.t->items, 0, v);
	ok(mr_covariance_add(f.t, 0, 1, NULL, NULL, &loss) == MR_OK, "covariance: done");
	ok_near(loss, 0.864, 1e-5, "covariance: loss");
	ok(gradient_is(&f.t->users, 0, 1.36, -0.92), "covariance: gradient of the user");
	ok(gradient_is(&f.t->items, 0, -1.36, 0.92), "covariance: gradient of the item");
	fixture_end(&f);
}

/*
 * d = 5: exponent 1 - 4/2 = -1, w = 1 / (1 - s^2).  Cosines .6, .8, 0, -.5 give
 * 1.5625, 2.7778, 0, 0: relative to the largest .5625, 1, 0, 0.
 */
static void
test_two_stage_formula(void)
{
	float		w[4] = {0.6f, 0.8f, 0, -0.5f};
	float		block[1];
	float		none[3] = {-0.1f, 0, -1};
	float		three[2] = {0.5f, 0.9f};
	float		two[2] = {0.6f, 0.8f};
	double		sum = mr_two_stage_weights(mr_rowmath(), w, 4, 5, block);

	ok(fabs(w[0] - 0.5625) < 1e-5 && fabs(w[1] - 1) < 1e-5 && w[2] == 0 && w[3] == 0, "stage-2 weights in 5 dimensions");
	ok_near(sum, 1.5625, 1e-5, "their sum");
	ok_near(block[0], 1.5625, 1e-5, "the sum of their block");
	ok_near(mr_two_stage_weights(mr_rowmath(), none, 3, 5, block), 0, 0, "no positive cosine: all weights vanish");
	mr_two_stage_weights(mr_rowmath(), three, 2, 3, block);
	ok(fabs(three[0] - 1) < 1e-6 && fabs(three[1] - 1) < 1e-6, "in 3 dimensions the density is flat");
	/* d = 2: exponent .5, sqrt(.64) = .8 and sqrt(.36) = .6 */
	mr_two_stage_weights(mr_rowmath(), two, 2, 2, block);
	ok_near(two[0] / two[1], 0.8 / 0.6, 1e-5, "in 2 dimensions the exponent is positive");
}

/*
 * The weights come from the positive item, not the user.  Unit circle put into 5
 * dimensions: the positive at angle 0; candidates at cos .6, .8, 0, -1; the user
 * at the opposite side, which would reverse the signs.
 */
static void
test_two_stage_batch(void)
{
	Fixture		f;
	MrHyper		hyper = {.loss = MR_LOSS_CML, .preset = MR_PRESET_TWO_STAGE, .dimensions = 5, .candidates = 100};
	static int64_t user_start[3] = {0, 1, 6};
	static int32_t items[6] = {0, 0, 1, 2, 3, 4};
	MrInteractions x = {2, 6, 6, user_start, items, NULL, NULL};
	static const float points[5][5] = {{1}, {0.6f, 0.8f}, {0.8f, 0.6f}, {0, 1}, {-1, 0}};
	static const float opposite[5] = {-1};
	double		want[5] = {0, 0.5625, 1, 0, 0};
	bool		good = true;
	int			drawn[6] = {0};

	mr_recipe_fill(&hyper, FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(CANDIDATES), &x);
	fixture_start(&f, &hyper, &x);
	for (int32_t i = 0; i < 5; i++)
		fixture_set_point(f.t, &f.t->items, i, points[i]);
	fixture_set_point(f.t, &f.t->users, 0, opposite);
	ok(mr_two_stage_batch(f.t, NULL, NULL) == MR_OK, "stage 1");
	ok(f.t->hinge.drawn_candidates == 5, "stage 1 leaves out the item that nobody likes: %d", f.t->hinge.drawn_candidates);
	f.t->hinge.order[0] = 0;
	mr_two_stage_weigh(f.t, 0, 1, NULL, NULL);
	/* the positive itself has cosine 1 and outweighs the others by 1e8; compare them with each other */
	for (int32_t c = 0; c < 5; c++)
	{
		int32_t		item = f.t->hinge.candidates[c];
		double		scale = 1e8 * 0.36;

		if (item == 0)
			good = good && fabs(f.t->hinge.cosines[c] - 1) < 1e-3;
		else
			good = good && fabs(f.t->hinge.cosines[c] * scale - want[item]) <= 1e-2 * want[item];
	}
	ok(good, "stage-2 weights of a batch come from the positive item");
	/* user 0 likes item 0: it is drawn nearly always, refused, and a uniform negative taken */
	for (int i = 0; i < 1000; i++)
		drawn[mr_two_stage_draw(f.t, 0, 0)]++;
	ok(drawn[0] == 0, "a positive is never drawn");
	/* user 1 likes all five candidates: only item 5 is left */
	memset(drawn, 0, sizeof(drawn));
	for (int i = 0; i < 100; i++)
		drawn[mr_two_stage_draw(f.t, 1, 0)]++;
	ok(drawn[5] == 100, "the only negative is found outside the candidates");
	fixture_end(&f);
}

int
main(void)
{
	test_cml();
	test_triplet();
	test_rank_weight();
	test_covariance();
	test_two_stage_formula();
	test_two_stage_batch();
	return unit_done();
}
