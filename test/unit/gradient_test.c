/*
 * gradient_test.c
 *		Every loss's gradient against central differences of its value.
 *
 * One batch holds everything.  With SGD a single epoch moves each value by
 * -rate * gradient, so that the gradient, with all that lies between the loss and
 * the value (normalisation, pooling, bias, weights, regulariser), can be read off
 * the move.  The same seed gives the same halves and draws to every trainer.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/hinge.h"
#include "model_fixture.h"

#define TOLERANCE 1e-3

typedef struct Case
{
	const char *name;
	MrHyper		hyper;
	uint64_t	set;
	bool		weighted;
	double		rate;			/* of the step that shows the gradient */
	double		difference;		/* of the central differences */
	bool		features;		/* of users and items */
} Case;

/*
 * Which number is disturbed: a coordinate of an item, of a user, an item's bias, a
 * weight of a tower's network.
 */
typedef enum Where
{
	ITEM, USER, BIAS, ITEM_NET, USER_NET
} Where;

/* The weight of this number, all matrices in their order; NULL beyond the last. */
static float *
weight_at(MrNet *net, int32_t index)
{
	MrPoints   *points;

	for (int32_t m = 0; (points = mr_net_matrix(net, m)) != NULL; m++)
	{
		if (index < points->n * points->width)
			return points->value + (size_t) (index / points->width) * points->stride + index % points->width;
		index -= points->n * points->width;
	}
	return NULL;
}

static float *
value_at(MrTrainer *t, Where where, int32_t index)
{
	MrPoints   *points = where == USER ? &t->users : &t->items;

	if (where == BIAS)
		return t->bias + index;
	if (where == ITEM_NET || where == USER_NET)
		return weight_at(where == ITEM_NET ? t->item_tower.net : t->user_tower.net, index);
	return points->value + (size_t) (index / points->width) * points->stride + index % points->width;
}

/* Points well inside the ball, so that no step is clipped. */
static void
shrink(MrTrainer *t)
{
	if (t->hyper.constraint != MR_CONSTRAINT_BALL)
		return;
	for (int32_t i = 0; i < t->items.n * t->items.stride; i++)
		t->items.value[i] *= 0.4f;
	for (int32_t i = 0; t->hyper.tower == MR_TOWER_FREE && i < t->users.n * t->users.stride; i++)
		t->users.value[i] *= 0.4f;
}

/*
 * Biases away from 0: a row whose features are all 0 would else have no direction,
 * and no gradient to compare.
 */
static void
set_biases(MrTrainer *t)
{
	MrNet	   *nets[2] = {t->item_tower.is_on ? t->item_tower.net : NULL, t->user_tower.is_on ? t->user_tower.net : NULL};

	for (int32_t i = 0; t->bias && i < t->x->n_items; i++)
		t->bias[i] = 0.1f * (i % 5);
	for (int side = 0; side < 2; side++)
	{
		MrPoints   *points;

		for (int32_t m = 3; nets[side] && (points = mr_net_matrix(nets[side], m)) != NULL; m += 2)
			for (int32_t i = 0; points->n > 0 && i < points->width; i++)
				points->value[i] = 0.3f - 0.2f * (i % 4);
	}
}

/* After a change of values: everything that is derived from them. */
static void
refresh(MrTrainer *t)
{
	for (int32_t i = 0; i < t->items.n; i++)
		mr_points_refresh(&t->items, t->math, i);
	for (int32_t i = 0; t->hyper.tower == MR_TOWER_FREE && i < t->users.n; i++)
		mr_points_refresh(&t->users, t->math, i);
	if (t->hyper.loss == MR_LOSS_SOFTMAX)
		mr_softmax_refresh(t, &t->softmax, NULL, NULL);
}

/* What the loss of a pair is multiplied by. */
static double
weight_of(const MrTrainer *t, int64_t pair)
{
	return (t->x->weights ? t->x->weights[pair] : 1) * (t->item_weight ? t->item_weight[t->x->items[pair]] : 1);
}

/* Sum of the losses of an epoch that starts with one number disturbed. */
static double
disturbed_loss(const Case *c, const MrHyper *hyper, const MrInteractions *x, Where where, int32_t index, double by)
{
	Fixture		f;
	MrEpochResult result;
	MrHyper		still = *hyper;
	double		weight = 0;

	still.learning_rate = 0;
	fixture_start(&f, &still, x);
	shrink(f.t);
	set_biases(f.t);
	*value_at(f.t, where, index) += (float) by;
	refresh(f.t);
	mr_trainer_epoch(f.t, NULL, NULL, &result);
	if (hyper->loss != MR_LOSS_SOFTMAX)
		weight = result.positives;
	else
		for (int32_t row = 0; row < f.t->softmax.n_rows; row++)
			for (int64_t p = f.t->softmax.row_pair[row]; p < f.t->softmax.row_pair[row + 1]; p++)
				if (f.t->softmax.is_target[p])
					weight += weight_of(f.t, x->user_start[f.t->softmax.row_user[row]] + p - f.t->softmax.row_pair[row]);
	fixture_end(&f);
	return result.loss * weight / (hyper->loss == MR_LOSS_SOFTMAX ? x->n_pairs : 1);
}

/* How fast the number learns, relative to a point. */
static double
relative_rate(const MrTrainer *t, Where where)
{
	if (where == BIAS)
		return MR_BIAS_RATE;
	return (where == ITEM_NET || where == USER_NET) && t->hyper.n_hidden > 0 && t->hyper.loss == MR_LOSS_SOFTMAX ? MR_NET_RATE : 1;
}

/* Compare all coordinates of one kind; errors relative to the largest gradient. */
static void
check(const Case *c, const MrHyper *hyper, const MrInteractions *x, Where where, const char *what)
{
	Fixture		f;
	MrEpochResult result;
	MrHyper		moving = *hyper;
	int32_t		n;
	double	   *gradient;
	double		largest = 0;
	double		worst = 0;
	int			outliers = 0;

	moving.learning_rate = c->rate;
	fixture_start(&f, &moving, x);
	shrink(f.t);
	set_biases(f.t);
	refresh(f.t);
	n = where == BIAS ? x->n_items : (where == USER ? x->n_users : x->n_items) * f.t->width;
	if (where == ITEM_NET || where == USER_NET)
		for (n = 0; value_at(f.t, where, n) != NULL;)
			n++;
	gradient = calloc(n, sizeof(double));
	for (int32_t i = 0; i < n; i++)
		gradient[i] = *value_at(f.t, where, i);
	mr_trainer_epoch(f.t, NULL, NULL, &result);
	for (int32_t i = 0; i < n; i++)
	{
		gradient[i] = (gradient[i] - *value_at(f.t, where, i)) / (c->rate * relative_rate(f.t, where));
		largest = fmax(largest, fabs(gradient[i]));
	}
	for (int32_t i = 0; i < n; i++)
	{
		double		up = disturbed_loss(c, hyper, x, where, i, c->difference);
		double		down = disturbed_loss(c, hyper, x, where, i, -c->difference);
		double		error = fabs((up - down) / (2 * c->difference) - gradient[i]) / largest;

		/* a hinge has kinks: a coordinate may sit on one */
		if (error > TOLERANCE && hyper->loss != MR_LOSS_SOFTMAX)
			outliers++;
		else
			worst = fmax(worst, error);
	}
	ok(worst < TOLERANCE && outliers <= n / 50 && largest > 0, "%s: gradient of the %s (%d numbers, worst error %.2g, %d at a kink)",
	   c->name, what, n, worst, outliers);
	free(gradient);
	fixture_end(&f);
}

static void
run(const Case *c)
{
	MrInteractions x;
	MrFeatures	features[2];
	MrHyper		hyper = c->hyper;

	fixture_matrix(&x, 12, 17, 0.3, c->weighted, 5);
	if (c->features)
	{
		features_fixture(&features[0], 12, 5, 2, 0.5, 6);
		features_fixture(&features[1], 17 + 3, 7, 3, 0.5, 7);
		x.user_features = &features[0];
		x.item_features = &features[1];
	}
	mr_recipe_fill(&hyper, c->set | FIXTURE_SET(OPTIMIZER) | FIXTURE_SET(BATCH_SIZE) | FIXTURE_SET(LEARNING_RATE_DECAY) |
				   FIXTURE_SET(DIMENSIONS), &x);
	hyper.init_deviation = 0.5;
	if (hyper.item_combination != MR_COMBINE_FEATURES)
		check(c, &hyper, &x, ITEM, "items");
	if (hyper.tower == MR_TOWER_FREE)
		check(c, &hyper, &x, USER, "users");
	if (c->features)
		check(c, &hyper, &x, ITEM_NET, "items' network");
	if (c->features && hyper.user_combination != MR_COMBINE_ID)
		check(c, &hyper, &x, USER_NET, "users' network");
	if (hyper.loss == MR_LOSS_SOFTMAX && hyper.item_bias)
		check(c, &hyper, &x, BIAS, "biases");
	fixture_free_matrix(&x);
	for (int side = 0; c->features && side < 2; side++)
		features_fixture_free(&features[side]);
}

#define COMMON .optimizer = MR_OPTIMIZER_SGD, .batch_size = 100000, .dimensions = 6

int
main(void)
{
	static const Case cases[] = {
		{"softmax, pooled, sphere, bias", {COMMON}, 0, false, 1, 5e-3},
		{"softmax, pooled, sphere, bias, weights", {COMMON}, 0, true, 1, 5e-3},
		{"softmax, pooled, sphere, no bias", {COMMON}, FIXTURE_SET(ITEM_BIAS), true, 1, 5e-3},
		{"softmax, pooled, ball, bias", {COMMON, .constraint = MR_CONSTRAINT_BALL}, FIXTURE_SET(CONSTRAINT), true, 0.1, 5e-3},
		{"softmax, free, sphere, bias", {COMMON, .tower = MR_TOWER_FREE}, FIXTURE_SET(TOWER), true, 1, 5e-3},
		{"softmax, free, ball, no bias", {COMMON, .tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL},
		FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(ITEM_BIAS), true, 0.1, 5e-3},
		{"softmax, free, no constraint, bias", {COMMON, .tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_NONE},
		FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT), false, 0.1, 5e-3},
		{"softmax, pooled, uniform samples", {COMMON, .sampling = MR_SAMPLING_UNIFORM, .negatives = 13},
		FIXTURE_SET(SAMPLING) | FIXTURE_SET(NEGATIVES), true, 1, 5e-3},
		{"softmax, free, popular samples, ball", {COMMON, .sampling = MR_SAMPLING_POPULARITY, .negatives = 13,
			.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL},
		FIXTURE_SET(SAMPLING) | FIXTURE_SET(NEGATIVES) | FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT), true, 0.1, 5e-3},
		{"softmax, pooled, inverse propensities", {COMMON, .propensity_exponent = 0.7}, FIXTURE_SET(PROPENSITY_EXPONENT), true, 1, 5e-3},
		{"softmax, free, ball, inverse propensities", {COMMON, .propensity_exponent = 1, .tower = MR_TOWER_FREE,
			.constraint = MR_CONSTRAINT_BALL},
		FIXTURE_SET(PROPENSITY_EXPONENT) | FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT), false, 0.1, 5e-3},
		{"softmax, pooled, uniform samples, inverse propensities", {COMMON, .propensity_exponent = 0.7,
			.sampling = MR_SAMPLING_UNIFORM, .negatives = 13},
		FIXTURE_SET(PROPENSITY_EXPONENT) | FIXTURE_SET(SAMPLING) | FIXTURE_SET(NEGATIVES), true, 1, 5e-3},
		{"cml, sphere, inverse propensities", {COMMON, .loss = MR_LOSS_CML, .constraint = MR_CONSTRAINT_SPHERE,
			.propensity_exponent = 0.7},
		FIXTURE_SET(PROPENSITY_EXPONENT) | FIXTURE_SET(LOSS) | FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(RANK_WEIGHT), true, 1e-3, 1e-3},
		{"triplet, inverse propensities", {COMMON, .loss = MR_LOSS_TRIPLET, .propensity_exponent = 0.7},
		FIXTURE_SET(PROPENSITY_EXPONENT) | FIXTURE_SET(LOSS), false, 1e-2, 1e-3},
		{"cml, ball, rank weight", {COMMON, .loss = MR_LOSS_CML}, FIXTURE_SET(LOSS), false, 1e-3, 1e-3},
		{"cml, ball, rank weight, weights", {COMMON, .loss = MR_LOSS_CML}, FIXTURE_SET(LOSS), true, 1e-3, 1e-3},
		{"cml, sphere, no rank weight", {COMMON, .loss = MR_LOSS_CML, .constraint = MR_CONSTRAINT_SPHERE},
		FIXTURE_SET(LOSS) | FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(RANK_WEIGHT), true, 1e-3, 1e-3},
		/* without the rank weight, whose jumps are too many among 20 draws */
		{"cml as the paper has it, covariance 1000", {COMMON, .preset = MR_PRESET_CML_PAPER, .covariance = 1000},
		FIXTURE_SET(COVARIANCE) | FIXTURE_SET(RANK_WEIGHT), false, 1e-3, 1e-3},
		{"triplet, no constraint", {COMMON, .loss = MR_LOSS_TRIPLET}, FIXTURE_SET(LOSS), true, 1e-2, 1e-3},
		{"triplet, sphere, hardest", {COMMON, .loss = MR_LOSS_TRIPLET, .sampling = MR_SAMPLING_HARDEST,
			.constraint = MR_CONSTRAINT_SPHERE}, FIXTURE_SET(LOSS) | FIXTURE_SET(SAMPLING) | FIXTURE_SET(CONSTRAINT), true, 1e-2, 1e-3},
		{"two-stage", {COMMON, .preset = MR_PRESET_TWO_STAGE, .candidates = 9}, FIXTURE_SET(CANDIDATES), false, 1e-3, 1e-3},

		/* towers */
		{"sum, pooled, sphere", {COMMON, .id_dropout = 0}, FIXTURE_SET(ID_DROPOUT), true, 1, 5e-3, true},
		{"sum, pooled, sphere, dropped ids", {COMMON}, 0, true, 1, 5e-3, true},
		{"sum, hidden layer, free, ball", {COMMON, .tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL,
			.n_hidden = 1, .hidden = {5}, .activation = MR_ACTIVATION_TANH},
		FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(HIDDEN_LAYERS) | FIXTURE_SET(ACTIVATION), true, 0.1, 2e-3, true},
		{"both, two hidden layers, pooled", {COMMON, .item_combination = MR_COMBINE_BOTH, .user_combination = MR_COMBINE_BOTH,
			.n_hidden = 2, .hidden = {7, 5}, .activation = MR_ACTIVATION_GELU, .dropout = 0.2},
		FIXTURE_SET(ITEM_COMBINATION) | FIXTURE_SET(USER_COMBINATION) | FIXTURE_SET(HIDDEN_LAYERS) | FIXTURE_SET(ACTIVATION) |
		FIXTURE_SET(DROPOUT), true, 1, 1e-3, true},
		{"features alone, samples", {COMMON, .item_combination = MR_COMBINE_FEATURES, .user_combination = MR_COMBINE_FEATURES,
			.n_hidden = 1, .hidden = {6}, .activation = MR_ACTIVATION_TANH, .sampling = MR_SAMPLING_UNIFORM, .negatives = 13},
		FIXTURE_SET(ITEM_COMBINATION) | FIXTURE_SET(USER_COMBINATION) | FIXTURE_SET(HIDDEN_LAYERS) | FIXTURE_SET(ACTIVATION) |
		FIXTURE_SET(SAMPLING) | FIXTURE_SET(NEGATIVES), true, 1, 2e-3, true},
		{"prior, free, sphere", {COMMON, .tower = MR_TOWER_FREE, .item_combination = MR_COMBINE_PRIOR,
			.user_combination = MR_COMBINE_PRIOR, .n_hidden = 1, .hidden = {6}, .activation = MR_ACTIVATION_TANH},
		FIXTURE_SET(TOWER) | FIXTURE_SET(ITEM_COMBINATION) | FIXTURE_SET(USER_COMBINATION) | FIXTURE_SET(HIDDEN_LAYERS) |
		FIXTURE_SET(ACTIVATION) | FIXTURE_SET(CONSTRAINT), false, 0.1, 5e-3, true},
		{"triplet over towers, no constraint", {COMMON, .loss = MR_LOSS_TRIPLET, .item_combination = MR_COMBINE_BOTH,
			.user_combination = MR_COMBINE_BOTH, .n_hidden = 1, .hidden = {9}, .activation = MR_ACTIVATION_TANH},
		FIXTURE_SET(LOSS) | FIXTURE_SET(ITEM_COMBINATION) | FIXTURE_SET(USER_COMBINATION) | FIXTURE_SET(HIDDEN_LAYERS) |
		FIXTURE_SET(ACTIVATION), true, 1e-2, 1e-3, true},
		{"cml with features (prior)", {COMMON, .loss = MR_LOSS_CML, .item_combination = MR_COMBINE_PRIOR, .user_combination = MR_COMBINE_ID,
			.n_hidden = 1, .hidden = {9}, .activation = MR_ACTIVATION_TANH},
		FIXTURE_SET(LOSS) | FIXTURE_SET(ITEM_COMBINATION) | FIXTURE_SET(USER_COMBINATION) | FIXTURE_SET(HIDDEN_LAYERS) |
		FIXTURE_SET(ACTIVATION) | FIXTURE_SET(RANK_WEIGHT), false, 1e-3, 1e-3, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run(&cases[i]);
	return unit_done();
}
