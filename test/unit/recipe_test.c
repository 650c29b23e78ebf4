/*
 * recipe_test.c
 *		What the recipe chooses, and that it never overrides the user.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

/* A matrix of a given size without the memory of one: the recipe reads the counts only. */
static void
pretend(MrInteractions *x, int32_t n_users, int32_t n_items, int64_t history)
{
	memset(x, 0, sizeof(*x));
	x->n_users = n_users;
	x->n_items = n_items;
	x->n_pairs = n_users * history;
	x->user_start = calloc(n_users + 1, sizeof(int64_t));
	for (int32_t u = 0; u <= n_users; u++)
		x->user_start[u] = u * history;
}

static void
test_presets(void)
{
	static const MrFeatures features;
	MrInteractions x;
	MrHyper		h;

	pretend(&x, 100, 50, 10);
	h = (MrHyper) {.preset = MR_PRESET_CML_PAPER};
	mr_recipe_fill(&h, 0, &x);
	ok(h.loss == MR_LOSS_CML && h.margin == 0.5 && h.covariance == 10 && h.dimensions == 100 && h.rank_weight &&
	   h.constraint == MR_CONSTRAINT_BALL && h.optimizer == MR_OPTIMIZER_ADAGRAD && h.negatives == 20 &&
	   h.tower == MR_TOWER_FREE && !h.item_bias && mr_recipe_conflict(&h) == NULL, "cml_paper");
	h = (MrHyper) {.preset = MR_PRESET_CML_RELEASED};
	mr_recipe_fill(&h, 0, &x);
	ok(h.margin == 1.9 && h.covariance == 0 && h.batch_size == 50000 && h.learning_rate == 0.1 && h.negatives == 20 &&
	   h.dimensions == 100 && fabs(h.init_deviation - 0.1) < 1e-12 && mr_recipe_conflict(&h) == NULL, "cml_released");
	h = (MrHyper) {.preset = MR_PRESET_TWO_STAGE};
	mr_recipe_fill(&h, 0, &x);
	ok(h.sampling == MR_SAMPLING_TWO_STAGE && h.optimizer == MR_OPTIMIZER_ADAM && h.learning_rate == 1e-4 &&
	   h.dimensions == 128 && h.epochs == 50 && h.margin == 1 && h.constraint == MR_CONSTRAINT_SPHERE &&
	   h.batch_size == 256 && !h.rank_weight && h.negatives == 1 && mr_recipe_conflict(&h) == NULL, "two_stage");
	h = (MrHyper) {.preset = MR_PRESET_TRIPLET};
	mr_recipe_fill(&h, 0, &x);
	ok(h.loss == MR_LOSS_TRIPLET && h.margin > 1 && h.sampling == MR_SAMPLING_UNIFORM && mr_recipe_conflict(&h) == NULL, "triplet");
	h = (MrHyper) {.preset = MR_PRESET_DUAL_TOWER};
	mr_recipe_fill(&h, 0, &x);
	ok(h.loss == MR_LOSS_TRIPLET && h.margin > 1 && h.sampling == MR_SAMPLING_UNIFORM && h.tower == MR_TOWER_FREE &&
	   h.n_hidden == 1 && h.hidden[0] == 128 && h.id_dropout == 0 && h.batch_size == 1024 &&
	   h.item_combination == MR_COMBINE_ID && h.user_combination == MR_COMBINE_ID && mr_recipe_conflict(&h) == NULL,
	   "dual_tower, without features");
	x.item_features = &features;
	h = (MrHyper) {.preset = MR_PRESET_DUAL_TOWER};
	mr_recipe_fill(&h, 0, &x);
	ok(h.item_combination == MR_COMBINE_BOTH && h.user_combination == MR_COMBINE_ID, "dual_tower, with features of items");
	h = (MrHyper) {.preset = MR_PRESET_DUAL_TOWER, .item_combination = MR_COMBINE_FEATURES, .hidden = {7, 5}, .n_hidden = 2};
	mr_recipe_fill(&h, FIXTURE_SET(ITEM_COMBINATION) | FIXTURE_SET(HIDDEN_LAYERS), &x);
	ok(h.item_combination == MR_COMBINE_FEATURES && h.n_hidden == 2 && h.hidden[1] == 5, "dual_tower, what is given wins");
	h = (MrHyper) {0};
	mr_recipe_fill(&h, 0, &x);
	ok(h.item_combination == MR_COMBINE_SUM && h.id_dropout > 0, "the default recipe adds the network's point to the id's");
	x.item_features = NULL;
	x.n_items = 3706;
	h = (MrHyper) {.preset = MR_PRESET_DUAL_TOWER};
	mr_recipe_fill(&h, 0, &x);
	ok(h.batch_size == 2 * 3706, "dual_tower: a batch has two pairs per item");
	x.n_items = 50;
	h = (MrHyper) {.preset = MR_PRESET_CML_PAPER, .margin = 0.7, .dimensions = 32, .seed = 9};
	mr_recipe_fill(&h, FIXTURE_SET(MARGIN) | FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(SEED), &x);
	ok(h.margin == 0.7 && h.dimensions == 32 && h.seed == 9 && h.covariance == 10, "what is given wins over the preset");
	h = (MrHyper) {.loss = MR_LOSS_CML};
	mr_recipe_fill(&h, FIXTURE_SET(LOSS), &x);
	ok(h.margin == 1.9 && h.tower == MR_TOWER_FREE && mr_recipe_conflict(&h) == NULL, "a loss alone brings its setting");
	h = (MrHyper) {.sampling = MR_SAMPLING_TWO_STAGE};
	mr_recipe_fill(&h, FIXTURE_SET(SAMPLING), &x);
	ok(h.loss == MR_LOSS_CML && h.constraint == MR_CONSTRAINT_SPHERE && mr_recipe_conflict(&h) == NULL, "so does a sampler");
	free(x.user_start);
}

/* Shapes of data, from tiny to large: all values usable, the documented trends. */
static void
test_default(void)
{
	static const int32_t sizes[][3] = {{1, 1, 1}, {3, 2, 1}, {6040, 3706, 164}, {7947, 25975, 15}, {200000, 40000, 27},
	{500000, 600000, 40}, {100000, 40000, 27}, {5000, 50001, 27},
	{1000000, 8192, 3}};
	MrHyper		h[9];

	for (int i = 0; i < 9; i++)
		for (int tower = 0; tower < 2; tower++)
		{
			MrInteractions x;
			MrHyper    *p = &h[i];

			pretend(&x, sizes[i][0], sizes[i][1], sizes[i][2]);
			memset(p, 0, sizeof(*p));
			p->tower = tower ? MR_TOWER_POOLED : MR_TOWER_FREE;
			mr_recipe_fill(p, FIXTURE_SET(TOWER), &x);
			unit_case(p->loss == MR_LOSS_SOFTMAX && p->dimensions == 64 && p->epochs >= 4 && p->epochs <= 25 &&
					  p->batch_size >= 256 && p->learning_rate > 0 && p->temperature >= 0.17 && p->temperature <= 0.3 &&
					  p->negatives > 0 && p->init_deviation > 0 && p->tower == (tower ? MR_TOWER_POOLED : MR_TOWER_FREE) &&
					  mr_recipe_conflict(p) == NULL, "shape %d", i);
			free(x.user_start);
		}
	unit_cases("the default recipe is valid for every shape");
	ok(h[2].temperature == 0.2 && h[3].temperature == 0.3 && h[4].temperature > 0.2 && h[4].temperature < 0.3,
	   "dense data get a lower temperature");
	ok(h[3].sampling == MR_SAMPLING_FULL && h[6].sampling == MR_SAMPLING_FULL && h[8].sampling == MR_SAMPLING_FULL,
	   "all items are negatives where an epoch is short, or a draw has half of them");
	ok(h[4].sampling == MR_SAMPLING_POPULARITY && h[5].sampling == MR_SAMPLING_POPULARITY && h[7].sampling == MR_SAMPLING_POPULARITY,
	   "many items, or many items of many users, are sampled");
	ok(h[4].negatives == 40000 / 6 && h[5].negatives == 16384 && h[7].negatives == 8192 && h[2].negatives == 4096, "draws grow with the items");
	ok(h[5].batch_size > h[3].batch_size && h[5].epochs < h[3].epochs, "more users: larger batches, fewer epochs");
}

/* Where points begin, and what times change. */
static void
test_start(void)
{
	static const MrFeatures features;
	int64_t		times;
	MrInteractions x;
	MrHyper		h = {0};
	MrHyper		als = {0};

	pretend(&x, 6040, 3706, 164);
	mr_recipe_fill(&h, 0, &x);
	ok(h.tower == MR_TOWER_POOLED && h.start == MR_START_ALS && h.recency == 0 && h.learning_rate == 0.05, "from ALS");
	h = (MrHyper) {.tower = MR_TOWER_FREE};
	mr_recipe_fill(&h, FIXTURE_SET(TOWER), &x);
	ok(h.start == MR_START_ALS && h.constraint == MR_CONSTRAINT_SPHERE && h.epochs == 6 && h.learning_rate == 0.01 &&
	   fabs(h.temperature - 0.17) < 1e-12 && h.start_share == 0.4, "free users from ALS: a fine tuning, half way");
	h = (MrHyper) {.tower = MR_TOWER_FREE, .propagation = 0.5};
	mr_recipe_fill(&h, FIXTURE_SET(TOWER) | FIXTURE_SET(PROPAGATION), &x);
	ok(h.propagation == 0.5 && h.start_share == 0 && h.temperature == 0.2, "propagated points are not blended");
	h = (MrHyper) {.tower = MR_TOWER_FREE, .start = MR_START_ALS};
	x.user_features = &features;
	mr_recipe_fill(&h, FIXTURE_SET(TOWER) | FIXTURE_SET(START), &x);
	ok(h.start_share == 0, "nor are those of feature towers");
	x.user_features = NULL;
	x.times = &times;
	h = (MrHyper) {.tower = MR_TOWER_FREE};
	mr_recipe_fill(&h, FIXTURE_SET(TOWER), &x);
	ok(h.recency == 5 && h.learning_rate == 0.04 && h.start_share == 0 && fabs(h.temperature - 0.25) < 1e-12, "with times: what is recent");
	h = (MrHyper) {.tower = MR_TOWER_FREE};
	mr_recipe_fill(&h, FIXTURE_SET(TOWER) | FIXTURE_SET(RECENCY), &x);
	ok(h.recency == 0 && h.learning_rate == 0.01 && h.start_share == 0.4, "unless it is turned off");
	h = (MrHyper) {.tower = MR_TOWER_FREE};
	mr_recipe_fill(&h, FIXTURE_SET(TOWER) | FIXTURE_SET(START), &x);
	ok(h.start == MR_START_RANDOM && h.constraint == MR_CONSTRAINT_BALL && h.learning_rate == 0.1 && h.epochs == 23,
	   "free users at random");
	h = (MrHyper) {0};
	x.item_features = &features;
	mr_recipe_fill(&h, 0, &x);
	ok(h.start == MR_START_RANDOM, "features begin at random");
	x.item_features = NULL;
	h = (MrHyper) {.preset = MR_PRESET_TRIPLET};
	mr_recipe_fill(&h, 0, &x);
	ok(h.start == MR_START_RANDOM && h.recency == 0, "so do the presets");
	h = (MrHyper) {.dimensions = 3};
	mr_recipe_fill(&h, FIXTURE_SET(DIMENSIONS), &x);
	ok(h.start == MR_START_RANDOM && mr_recipe_conflict(&h) == NULL, "so do very few dimensions");
	h = (MrHyper) {.dimensions = 32, .item_bias = true, .seed = 7};
	mr_recipe_fill_als_start(&als, 0, &h, &x);
	ok(als.algorithm == MR_ALGORITHM_ALS && als.dimensions == 31 && als.epochs == 8 && als.seed == 7 &&
	   als.als_regularization == 0.01, "the ALS of a start leaves room for the bias");
	als.als_regularization = 0.5;
	mr_recipe_fill_als_start(&als, FIXTURE_SET(ALS_REGULARIZATION), &h, &x);
	ok(als.als_regularization == 0.5, "and takes what was given of it");
	free(x.user_start);
	pretend(&x, 1000, 500, 20);
	h = (MrHyper) {0};
	mr_recipe_fill(&h, 0, &x);
	ok(h.start == MR_START_RANDOM, "so do few interactions");
	free(x.user_start);
}

static void
test_conflicts(void)
{
	static const struct
	{
		const char *name;
		MrHyper		hyper;
		uint64_t	set;
	}			cases[] = {
		{"softmax with hardest", {.loss = MR_LOSS_SOFTMAX, .sampling = MR_SAMPLING_HARDEST},
		FIXTURE_SET(LOSS) | FIXTURE_SET(SAMPLING)},
		{"softmax with two_stage", {.loss = MR_LOSS_SOFTMAX, .sampling = MR_SAMPLING_TWO_STAGE},
		FIXTURE_SET(LOSS) | FIXTURE_SET(SAMPLING)},
		{"cml with full", {.loss = MR_LOSS_CML, .sampling = MR_SAMPLING_FULL}, FIXTURE_SET(LOSS) | FIXTURE_SET(SAMPLING)},
		{"cml with a pooled tower", {.loss = MR_LOSS_CML, .tower = MR_TOWER_POOLED}, FIXTURE_SET(LOSS) | FIXTURE_SET(TOWER)},
		{"cml with a bias", {.loss = MR_LOSS_CML, .item_bias = true}, FIXTURE_SET(LOSS) | FIXTURE_SET(ITEM_BIAS)},
		{"softmax with rank weight", {.rank_weight = true}, FIXTURE_SET(RANK_WEIGHT)},
		{"softmax with covariance", {.covariance = 1}, FIXTURE_SET(COVARIANCE)},
		{"a hinge loss from ALS", {.loss = MR_LOSS_CML, .start = MR_START_ALS}, FIXTURE_SET(LOSS) | FIXTURE_SET(START)},
		{"ALS in three dimensions", {.dimensions = 3, .start = MR_START_ALS}, FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(START)},
		{"a bias in one dimension", {.item_bias = true, .dimensions = 1}, FIXTURE_SET(ITEM_BIAS) | FIXTURE_SET(DIMENSIONS)},
	};
	MrInteractions x;

	pretend(&x, 100, 50, 10);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		MrHyper		h = cases[i].hyper;

		mr_recipe_fill(&h, cases[i].set, &x);
		ok(mr_recipe_conflict(&h) != NULL, "refused: %s", cases[i].name);
	}
	free(x.user_start);
}

/* With tags: free users on the sphere; what is given stays, what contradicts is said. */
static void
test_tags(void)
{
	MrInteractions x;
	MrPosts		posts = {0};
	MrHyper		h = {0};

	pretend(&x, 1000, 500, 40);
	mr_recipe_fill_tags(&h, 0, &x, &posts);
	ok(h.tower == MR_TOWER_FREE && h.constraint == MR_CONSTRAINT_SPHERE && h.tag_weight == 0.1 && h.tag_temperature == 0.15 &&
	   h.learning_rate == 0.05 && h.epochs <= 20 && mr_recipe_conflict(&h) == NULL, "the recipe with tags");
	memset(&h, 0, sizeof(h));
	mr_recipe_fill_tags(&h, 0, &x, NULL);
	ok(h.tower == MR_TOWER_POOLED && h.tag_weight == 0 && h.tag_temperature == 0, "without tags it is the one without");
	memset(&h, 0, sizeof(h));
	h.epochs = 33;
	h.tag_weight = 1;
	h.constraint = MR_CONSTRAINT_BALL;
	mr_recipe_fill_tags(&h, FIXTURE_SET(EPOCHS) | FIXTURE_SET(TAG_WEIGHT) | FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(TOWER), &x, &posts);
	ok(h.epochs == 33 && h.tag_weight == 1 && h.constraint == MR_CONSTRAINT_BALL && h.tower == MR_TOWER_POOLED, "what is given stays");
	memset(&h, 0, sizeof(h));
	h.propagation = 0.5;
	mr_recipe_fill_tags(&h, FIXTURE_SET(PROPAGATION), &x, &posts);
	ok(mr_recipe_conflict(&h) != NULL, "refused: propagation with tags");
	memset(&h, 0, sizeof(h));
	h.preset = MR_PRESET_TRIPLET;
	mr_recipe_fill_tags(&h, 0, &x, &posts);
	ok(mr_recipe_conflict(&h) != NULL, "refused: a hinge loss with tags");
	free(x.user_start);
}

int
main(void)
{
	test_presets();
	test_default();
	test_start();
	test_conflicts();
	test_tags();
	return unit_done();
}
