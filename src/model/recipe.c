/*
 * recipe.c
 *		Hyper-parameters: the papers' presets, and the default recipe.
 *
 * A preset holds a paper's own setting.  What the user gives wins over a preset,
 * a preset wins over the default recipe.  Naming a loss or a sampler alone picks
 * the base setting that it was published with.
 *
 * The default recipe is the softmax over all items.  Its constants were chosen on
 * the validation splits that doc/training.md describes, which also prints what
 * each choice is worth.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "model/als.h"

/* All items are negatives up to here; the cost of an epoch is users * items, half a minute of a core for so many. */
#define FULL_SOFTMAX_ITEMS 50000
#define FULL_SOFTMAX_PAIRS 4e9

/* Mean histories between which the temperature falls; above the second data count as dense. */
#define SPARSE_HISTORY 15.0
#define DENSE_HISTORY 100.0

/*
 * The published settings.
 *
 * CML_PAPER: Hsieh et al., WWW 2017, sections 3 and 4: margin 0.5, lambda_c 10,
 *	dimensions 100, U = 20 draws, unit ball, AdaGrad.  Not stated there, so taken
 *	from the released code: learning rate 0.1, start N(0, 1/sqrt(d)).  Not stated
 *	at all: epochs; batch ("minibatch"): 1,000.
 * CML_RELEASED: the authors' code (changun/CollMetric): margin 1.9, covariance
 *	off, AdaGrad 0.1, U = 20, batch 50,000, d = 100.  It has no number of epochs.
 * TWO_STAGE: Tran et al., SIGIR 2019, arXiv 1909.10912, released code: Adam
 *	1e-4, d = 128, 50 epochs, margin 1, unit sphere, batch 256, one negative, 2,000
 *	candidates with p ~ count, no rank weight, start N(0, 0.1).
 * TRIPLET: arXiv 2411.06374: unsquared triplet, "margin > 1", random negatives.  The
 *	paper gives no other figure; the rest was chosen on validation splits.
 * DUAL_TOWER: the same paper's model: the triplet loss over towers, networks that see
 *	the id's point and the features ("both") of each side that has features.  The paper
 *	gives neither layers nor widths, optimiser, batch (tower_batch) or epochs.
 */
static const MrHyper presets[] = {
	[MR_PRESET_CML_PAPER] = {
		.preset = MR_PRESET_CML_PAPER, .loss = MR_LOSS_CML, .sampling = MR_SAMPLING_UNIFORM,
		.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL, .optimizer = MR_OPTIMIZER_ADAGRAD,
		.dimensions = 100, .epochs = 30, .batch_size = 1000, .learning_rate = 0.1,
		.margin = 0.5, .rank_weight = true, .negatives = 20, .covariance = 10,
		.candidates = 2000, .popularity_exponent = 1
	},
	[MR_PRESET_CML_RELEASED] = {
		.preset = MR_PRESET_CML_RELEASED, .loss = MR_LOSS_CML, .sampling = MR_SAMPLING_UNIFORM,
		.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL, .optimizer = MR_OPTIMIZER_ADAGRAD,
		.dimensions = 100, .epochs = 30, .batch_size = 50000, .learning_rate = 0.1,
		.margin = 1.9, .rank_weight = true, .negatives = 20,
		.candidates = 2000, .popularity_exponent = 1
	},
	[MR_PRESET_TWO_STAGE] = {
		.preset = MR_PRESET_TWO_STAGE, .loss = MR_LOSS_CML, .sampling = MR_SAMPLING_TWO_STAGE,
		.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_SPHERE, .optimizer = MR_OPTIMIZER_ADAM,
		.dimensions = 128, .epochs = 50, .batch_size = 256, .learning_rate = 1e-4,
		.margin = 1, .rank_weight = false, .negatives = 1,
		.candidates = 2000, .popularity_exponent = 1
	},
	[MR_PRESET_TRIPLET] = {
		.preset = MR_PRESET_TRIPLET, .loss = MR_LOSS_TRIPLET, .sampling = MR_SAMPLING_UNIFORM,
		.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_NONE, .optimizer = MR_OPTIMIZER_ADAGRAD,
		.dimensions = 64, .epochs = 20, .batch_size = 1000, .learning_rate = 0.1,
		.margin = 1.2, .rank_weight = false, .negatives = 5,
		.candidates = 2000, .popularity_exponent = 1
	},
	[MR_PRESET_DUAL_TOWER] = {
		.preset = MR_PRESET_DUAL_TOWER, .loss = MR_LOSS_TRIPLET, .sampling = MR_SAMPLING_UNIFORM,
		.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_NONE, .optimizer = MR_OPTIMIZER_ADAM,
		.dimensions = 64, .epochs = 20, .batch_size = 0, .learning_rate = 0.03,
		.learning_rate_decay = true, .margin = 1.2, .rank_weight = false, .negatives = 5,
		.candidates = 2000, .popularity_exponent = 1,
		.n_hidden = 1, .hidden = {128}, .activation = MR_ACTIVATION_TANH
	}
};

/* Dimensions between which ALS can make a start: its own, the extra one, the bias. */
#define ALS_START_MIN 4
#define ALS_START_MAX MR_ALS_MAX_WIDTH

/*
 * With fewer interactions the few steps that there are do not lead away from the points
 * of ALS, most of which lie near the pole of the extra coordinate.
 */
#define ALS_START_PAIRS 50000

static inline bool
is_set(uint64_t set, MrHyperField field)
{
	return set >> field & 1;
}

/* The preset whose setting a loss or a sampler was published with. */
static MrPreset
base_preset(const MrHyper *hyper, uint64_t set)
{
	if (hyper->preset != MR_PRESET_NONE)
		return hyper->preset;
	if (is_set(set, MR_HYPER_LOSS))
	{
		if (hyper->loss == MR_LOSS_SOFTMAX)
			return MR_PRESET_NONE;
		return hyper->loss == MR_LOSS_TRIPLET ? MR_PRESET_TRIPLET : MR_PRESET_CML_RELEASED;
	}
	if (is_set(set, MR_HYPER_SAMPLING) && hyper->sampling == MR_SAMPLING_TWO_STAGE)
		return MR_PRESET_TWO_STAGE;
	if (is_set(set, MR_HYPER_SAMPLING) && hyper->sampling == MR_SAMPLING_HARDEST)
		return MR_PRESET_CML_RELEASED;
	return MR_PRESET_NONE;
}

/*
 * Epochs of the softmax: 15 for a million pairs, more for small sets, which need
 * more visits of each pair; fewer for large ones, in which every item is met often
 * enough within a few.  On dense data (MovieLens) more than 20 still help a little.
 * From ALS a million pairs need 10, and more of them fewer.
 */
static int32_t
softmax_epochs(const MrInteractions *x, MrStartKind start, double history)
{
	double		pairs = x->n_pairs > 0 ? (double) x->n_pairs : 1;
	double		epochs = 15 * pow(1e6 / pairs, 0.3);

	if (history > DENSE_HISTORY)
		epochs *= 1.5;
	else if (start == MR_START_ALS)
		epochs = fmin(epochs, 10 * pow(1e6 / pairs, 0.45));
	return epochs < 5 ? 5 : epochs > 25 ? 25 : (int32_t) (epochs + 0.5);
}

/* Users per step: 256, growing with the square root beyond 50,000 users. */
static int32_t
softmax_batch(const MrInteractions *x)
{
	double		growth = sqrt(x->n_users / 50000.0);

	return growth <= 1 ? 256 : (int32_t) (256 * growth);
}

/* Shared negatives of a batch where they are not all items: a sixth of them up to 8,192, which a 32nd may exceed. */
static int32_t
softmax_negatives(const MrInteractions *x)
{
	int32_t		share = x->n_items / 6;
	int32_t		most = x->n_items / 32;

	most = most < 8192 ? 8192 : most > 16384 ? 16384 : most;
	return share < 4096 ? 4096 : share > most ? most : share;
}

/*
 * All items, or a draw of them that a batch shares?  On small sets the draw loses accuracy
 * (doc/training.md); where there are users enough for an epoch to be long, it was as good.
 */
static MrSampling
softmax_sampling(const MrInteractions *x)
{
	bool		is_short = (double) x->n_users * x->n_items <= FULL_SOFTMAX_PAIRS;
	bool		saves_much = x->n_items > 2 * softmax_negatives(x);

	return x->n_items <= FULL_SOFTMAX_ITEMS && (is_short || !saves_much) ? MR_SAMPLING_FULL : MR_SAMPLING_POPULARITY;
}

/*
 * Temperature, the parameter that matters most.  0.3 was best where a user has
 * some 15 items, 0.2 where they have 160; between them it follows the logarithm.
 * Lower ones overfit, higher ones blur.
 */
static double
softmax_temperature(double history)
{
	double		share = log((history > 1 ? history : 1) / SPARSE_HISTORY) / log(DENSE_HISTORY / SPARSE_HISTORY);

	share = share < 0 ? 0 : share > 1 ? 1 : share;
	return round((0.3 - 0.1 * share) * 100) / 100;
}

/* Mean number of items of the users that have any. */
static double
mean_history(const MrInteractions *x)
{
	int64_t		users = 0;

	for (int32_t u = 0; u < x->n_users; u++)
		users += x->user_start[u + 1] > x->user_start[u];
	return users > 0 ? (double) x->n_pairs / users : 0;
}

/* The last so many interactions of a user weigh most, where their order is known. */
#define RECENCY 5

/* Steps of the items that take users and items from where ALS leaves them to where the softmax wants them. */
#define FINE_STEPS 144

/* What ALS keeps of the points where it is blended in, and the temperature then, of that without. */
#define ALS_SHARE 0.4
#define ALS_SHARPER 0.85

/*
 * From the points of ALS a fine tuning is left: as many epochs as give it FINE_STEPS
 * steps.  More of them overfit, which the small rate cannot prevent (doc/training.md).
 */
static int32_t
fine_epochs(const MrInteractions *x, int32_t batch)
{
	int64_t		steps = ((int64_t) x->n_users + batch - 1) / batch;
	int64_t		epochs = steps > 0 ? (FINE_STEPS + steps - 1) / steps : 0;

	return epochs < 4 ? 4 : epochs > 25 ? 25 : (int32_t) epochs;
}

/* Free users that begin at random do better in the ball, and at a higher rate, since each is visited once an epoch. */
static void
free_at_random(MrHyper *hyper)
{
	hyper->constraint = MR_CONSTRAINT_BALL;
	hyper->learning_rate = 0.1;
}

/*
 * Free users that begin where ALS puts them, on the sphere.  The weight of what is
 * recent moves users away from there, which takes a higher rate; and it leaves fewer
 * items to tell a user by, hence the higher temperature.
 *
 * Without it ALS and the softmax err in different ways, and so near to each other that
 * a point between the two is better than either; the softmax may be the sharper for it.
 */
static void
free_from_als(MrHyper *hyper, const MrInteractions *x)
{
	hyper->learning_rate = hyper->recency > 0 ? 0.04 : 0.01;
	hyper->epochs = fine_epochs(x, hyper->batch_size);
	if (hyper->recency > 0)
		hyper->temperature += 0.05;
	else if (x->item_features == NULL && x->user_features == NULL && hyper->propagation == 0)
	{
		hyper->start_share = ALS_SHARE;
		hyper->temperature = round(hyper->temperature * ALS_SHARPER * 100) / 100;
	}
}

/* Does the training begin with ALS?  With features ids are only a part of the points. */
static MrStartKind
choose_start(const MrHyper *given, uint64_t set, const MrInteractions *x)
{
	if (is_set(set, MR_HYPER_START))
		return given->start;
	if (x->item_features || x->user_features || x->n_pairs < ALS_START_PAIRS)
		return MR_START_RANDOM;
	if (is_set(set, MR_HYPER_DIMENSIONS) && (given->dimensions < ALS_START_MIN || given->dimensions > ALS_START_MAX))
		return MR_START_RANDOM;
	return MR_START_ALS;
}

/*
 * The default recipe: softmax over -d^2/T + bias on the sphere, from the points of
 * ALS, with what is recent weighing more if times are known.
 */
static void
default_recipe(MrHyper *hyper, const MrHyper *given, uint64_t set, const MrInteractions *x)
{
	MrHyper		full = {0};
	double		history = mean_history(x);
	bool		is_free = is_set(set, MR_HYPER_TOWER) && given->tower == MR_TOWER_FREE;

	full.loss = MR_LOSS_SOFTMAX;
	full.sampling = softmax_sampling(x);
	full.tower = is_free ? MR_TOWER_FREE : MR_TOWER_POOLED;
	full.constraint = MR_CONSTRAINT_SPHERE;
	full.optimizer = MR_OPTIMIZER_ADAM;
	full.dimensions = 64;
	full.item_bias = true;
	full.batch_size = is_set(set, MR_HYPER_BATCH_SIZE) ? given->batch_size : softmax_batch(x);
	full.learning_rate = 0.05;
	full.learning_rate_decay = true;
	full.temperature = softmax_temperature(history);
	full.negatives = softmax_negatives(x);
	full.candidates = 2000;
	full.popularity_exponent = 0.75;
	/* none by default: it lost much on dense data and won nothing on sparse */
	full.propagation = is_set(set, MR_HYPER_PROPAGATION) ? given->propagation : 0;
	full.seed = 1;
	full.start = choose_start(given, set, x);
	full.epochs = softmax_epochs(x, full.start, history);
	if (is_set(set, MR_HYPER_RECENCY))
		full.recency = given->recency;
	else
		full.recency = x->times ? RECENCY : 0;
	if (is_free && full.start == MR_START_ALS)
		free_from_als(&full, x);
	else if (is_free)
		free_at_random(&full);
	*hyper = full;
}

/* Features of more columns than this are rich: tags, words. */
#define RICH_FEATURES 1000

static bool
has_rich_features(const MrInteractions *x)
{
	return x->item_features != NULL && x->item_features->n_sparse + x->item_features->n_dense > RICH_FEATURES;
}

/*
 * Rich features of items overfit early: a third of the epochs, and the temperature
 * of dense data, were best on the validation split (doc/training.md).
 */
static void
shorten_for_features(MrHyper *hyper, uint64_t set, const MrInteractions *x)
{
	if (hyper->loss != MR_LOSS_SOFTMAX || hyper->item_combination == MR_COMBINE_ID || !has_rich_features(x))
		return;
	if (!is_set(set, MR_HYPER_EPOCHS))
		hyper->epochs = hyper->epochs / 3 > 5 ? hyper->epochs / 3 : 5;
	if (!is_set(set, MR_HYPER_TEMPERATURE) && hyper->temperature > 0.2)
		hyper->temperature = 0.2;
}

/*
 * Pairs per step of the dual tower.  Every step makes the points of all items anew
 * (hinge.c), so it takes twice as many pairs as there are items: the network then
 * costs about as much as the hinges.
 */
static int32_t
tower_batch(const MrInteractions *x)
{
	return x->n_items < 512 ? 1024 : x->n_items > 32768 ? 65536 : 2 * x->n_items;
}

/*
 * Features, where there are some, are added to the id's point as a sum, the best
 * of the combinations.  The share of dropped ids makes the sum good for rows that
 * have none; where features say little it costs the others something, so fewer are
 * dropped then (doc/training.md).  The dual tower's network sees both, always, as in its paper.
 */
static void
choose_towers(MrHyper *hyper, uint64_t set, MrPreset preset, const MrInteractions *x)
{
	MrCombination with_features = preset == MR_PRESET_DUAL_TOWER ? MR_COMBINE_BOTH : MR_COMBINE_SUM;

	if (!is_set(set, MR_HYPER_ITEM_COMBINATION))
		hyper->item_combination = x->item_features ? with_features : MR_COMBINE_ID;
	if (!is_set(set, MR_HYPER_USER_COMBINATION))
		hyper->user_combination = x->user_features ? with_features : MR_COMBINE_ID;
	if (!is_set(set, MR_HYPER_ID_DROPOUT))
		hyper->id_dropout = preset == MR_PRESET_DUAL_TOWER ? 0 : has_rich_features(x) ? 0.3 : 0.1;
	if (!is_set(set, MR_HYPER_FEATURE_REGULARIZATION))
		hyper->feature_regularization = 1;
	shorten_for_features(hyper, set, x);
}

/*
 * Choose every hyper-parameter that the user did not give.
 *
 * hyper	in: the fields whose bit (1 << MR_HYPER_...) is in `set`, and preset;
 *			out: all fields
 * x		the interactions that will be trained on
 */
void
mr_recipe_fill(MrHyper *hyper, uint64_t set, const MrInteractions *x)
{
	MrHyper		given = *hyper;
	MrPreset	preset = base_preset(hyper, set);
	MrHyper		chosen;

	if (is_set(set, MR_HYPER_ALGORITHM) && hyper->algorithm != MR_ALGORITHM_METRIC)
	{
		mr_recipe_fill_factors(hyper, set, x);
		return;
	}
	if (preset == MR_PRESET_NONE)
		default_recipe(&chosen, &given, set, x);
	else
	{
		chosen = presets[preset];
		if (preset == MR_PRESET_DUAL_TOWER)
			chosen.batch_size = tower_batch(x);
		chosen.temperature = 0.3;
		chosen.seed = 1;
	}
	chosen.preset = given.preset;

#define TAKE(BIT, field) if (is_set(set, MR_HYPER_##BIT)) chosen.field = given.field
	TAKE(LOSS, loss);
	TAKE(SAMPLING, sampling);
	TAKE(TOWER, tower);
	TAKE(CONSTRAINT, constraint);
	TAKE(OPTIMIZER, optimizer);
	TAKE(DIMENSIONS, dimensions);
	TAKE(ITEM_BIAS, item_bias);
	TAKE(EPOCHS, epochs);
	TAKE(BATCH_SIZE, batch_size);
	TAKE(LEARNING_RATE, learning_rate);
	TAKE(LEARNING_RATE_DECAY, learning_rate_decay);
	TAKE(TEMPERATURE, temperature);
	TAKE(MARGIN, margin);
	TAKE(RANK_WEIGHT, rank_weight);
	TAKE(NEGATIVES, negatives);
	TAKE(CANDIDATES, candidates);
	TAKE(POPULARITY_EXPONENT, popularity_exponent);
	TAKE(PROPENSITY_EXPONENT, propensity_exponent);
	TAKE(START, start);
	TAKE(RECENCY, recency);
	TAKE(COVARIANCE, covariance);
	TAKE(WEIGHT_DECAY, weight_decay);
	TAKE(PROPAGATION, propagation);
	TAKE(SEED, seed);
	TAKE(ITEM_COMBINATION, item_combination);
	TAKE(USER_COMBINATION, user_combination);
	TAKE(ACTIVATION, activation);
	TAKE(DROPOUT, dropout);
	TAKE(ID_DROPOUT, id_dropout);
	TAKE(FEATURE_REGULARIZATION, feature_regularization);
	TAKE(TAG_WEIGHT, tag_weight);
	TAKE(TAG_TEMPERATURE, tag_temperature);
	if (is_set(set, MR_HYPER_HIDDEN_LAYERS))
	{
		chosen.n_hidden = given.n_hidden;
		memcpy(chosen.hidden, given.hidden, sizeof(chosen.hidden));
	}
#undef TAKE
	choose_towers(&chosen, set, preset, x);
	if (chosen.dimensions <= 2 && !is_set(set, MR_HYPER_ITEM_BIAS))
		chosen.item_bias = false;	/* a sphere in one dimension is two points */
	chosen.init_deviation = chosen.loss == MR_LOSS_SOFTMAX || preset == MR_PRESET_TWO_STAGE ? 0.1
		: 1 / sqrt(chosen.dimensions);
	*hyper = chosen;
}

/*
 * Why these hyper-parameters do not go together, or NULL.  Call it after
 * mr_recipe_fill(); ranges of single values are the caller's to check.
 */
const char *
mr_recipe_conflict(const MrHyper *hyper)
{
	bool		softmax = hyper->loss == MR_LOSS_SOFTMAX;

	if (hyper->algorithm != MR_ALGORITHM_METRIC)
		return mr_recipe_factors_conflict(hyper);
	if (softmax && (hyper->sampling == MR_SAMPLING_HARDEST || hyper->sampling == MR_SAMPLING_TWO_STAGE))
		return "the softmax loss samples its negatives by \"full\", \"uniform\" or \"popularity\"";
	if (!softmax && hyper->sampling == MR_SAMPLING_FULL)
		return "the hinge losses sample their negatives and cannot use \"full\"";
	if (!softmax && hyper->tower == MR_TOWER_POOLED)
		return "the pooled user tower needs the softmax loss";
	if (!softmax && hyper->item_bias)
		return "an item bias needs the softmax loss";
	if (hyper->loss != MR_LOSS_CML && hyper->rank_weight)
		return "the rank weight needs the loss \"cml\"";
	if (hyper->item_bias && hyper->dimensions < 2)
		return "an item bias takes one of the dimensions, so that at least 2 are needed";
	if (hyper->user_combination == MR_COMBINE_PRIOR && hyper->tower == MR_TOWER_POOLED)
		return "user_combination \"prior\" needs user_tower \"free\": a pooled user has no point of its own";
	if (softmax && hyper->covariance > 0)
		return "the covariance regulariser needs a hinge loss";
	if (!softmax && hyper->tag_temperature > 0)
		return "tags need the softmax loss";
	if (hyper->propagation > 0 && hyper->tag_temperature > 0)
		return "propagation moves users and items after training, away from their tags";
	if (hyper->start == MR_START_ALS && (!softmax || hyper->dimensions < ALS_START_MIN || hyper->dimensions > ALS_START_MAX))
		return "start \"als\" needs the softmax loss and from 4 to 1024 dimensions";
	if (hyper->start == MR_START_ALS && hyper->tag_temperature > 0)
		return "start \"als\" knows nothing of tags";
	return NULL;
}
