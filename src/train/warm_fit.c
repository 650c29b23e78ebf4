/*
 * warm_fit.c
 *		Does the version that is served fit, for a training to start from it, and what
 *		of its recipe is kept.
 *
 * It fits if the model's hyper-parameters are those that the version was trained with,
 * as they were set, not as they came out: `given` in the version's recipe.  Those that
 * only say how long and how fast to train may differ.  What the recipe then chose from
 * the data, and what the points depend on, is taken from the version: its user tower,
 * its temperature, its dimensions.  So growing data do not move the ground under a
 * chain of warm starts; the next full training chooses anew.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "embed/embed.h"
#include "math/lapack.h"
#include "store/catalog.h"
#include "train/warm.h"

/* May be altered between two versions of which the second starts from the first. */
static const char *const schedule_options[] =
{
	"epochs", "batch_size", "learning_rate", "learning_rate_decay", "negatives", "seed", "num_workers",
	"validation_fraction", "patience", "refit", "keep_versions", NULL
};

/* What the recipe may choose from the data, and the points depend on. */
static const char *const kept_options[] =
{
	"dimensions", "user_tower", "start", "recency", "temperature", "item_bias", "norm_constraint", "item_combination",
	"user_combination", "hidden_layers", "activation", "tag_temperature", NULL
};

/* ---- the recipe's own members ---- */

static JsonbValue *
member(Jsonb *recipe, const char *name, JsonbValue *buffer)
{
	return getKeyJsonValueFromContainer(&recipe->root, name, strlen(name), buffer);
}

static int32
int_member(Jsonb *recipe, const char *name, int32 otherwise)
{
	JsonbValue	buffer;
	JsonbValue *value = member(recipe, name, &buffer);

	if (value == NULL || value->type != jbvNumeric)
		return otherwise;
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric)));
}

/* Epochs of the full training that a version's chain of warm starts began with; `epochs`: its own. */
int32
mr_warm_full_epochs(Jsonb *recipe, int32 epochs)
{
	return int_member(recipe, "full_epochs", epochs);
}

/* The members that the recipe of the new version has beside its hyper-parameters. */
Jsonb *
mr_warm_describe(const MrRun *run)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"given\": %s, \"warm_start\": %s",
					 JsonbToCString(NULL, &run->given->root, VARSIZE(run->given)), run->warm ? "true" : "false");
	if (run->warm)
		appendStringInfo(&json, ", \"warm_version\": %d, \"full_epochs\": %d", run->warm->version, run->warm->full_epochs);
	appendStringInfoChar(&json, '}');
	return mr_jsonb_of(json.data);
}

/* ---- does it fit? ---- */

/* Have the hyper-parameters been altered since?  NULL, or which one. */
static const char *
check_given(const MrRun *run)
{
	JsonbValue	buffer;
	JsonbValue *given = member(run->warm->recipe, "given", &buffer);
	const char *altered;

	if (given == NULL || given->type != jbvBinary)
		return psprintf("version %d was trained by an older release", run->warm->version);
	altered = mr_options_altered(JsonbValueToJsonb(given), run->given, schedule_options);
	if (altered)
		return psprintf("\"%s\" was altered since version %d was trained", altered, run->warm->version);
	return NULL;
}

/* The encoder of a side's features, which the version's network goes with. */
static const char *
check_features(MrRun *run, MrSide side)
{
	MrWarm	   *warm = run->warm;
	bytea	   *stored = mr_component_read(run->model->id, warm->version,
										   mr_component_of_side(side, MR_COMPONENT_ENCODER));
	MrFeatureSource source;

	if (stored == NULL)
		return NULL;
	if (!mr_run_feature_source(run, side, &source))
		return psprintf("the model has no %s features any more", mr_side_name(side));
	warm->encoder[side] = mr_encoder_read(VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored), run->context);
	if (!mr_encoder_matches(warm->encoder[side], &source, mr_side_type(run->model, side)))
		return psprintf("the columns of the %s features are not those of version %d", mr_side_name(side), warm->version);
	return NULL;
}

/*
 * Looks at the served version, into run->warm: number, tower, recipe, encoders.  NULL, or
 * why a training cannot start from it, in words that may follow a colon.
 */
const char *
mr_warm_fits(MrRun *run)
{
	MrWarm	   *warm = run->warm;
	Datum		values[MR_VERSION_NATTS];
	bool		nulls[MR_VERSION_NATTS];
	const char *why;

	warm->version = mr_version_active(run->model);
	if (warm->version == 0)
		return "the model has no active version";
	if (run->options.hyper.algorithm == MR_ALGORITHM_BPR)
		return "the algorithm \"bpr\" does not keep the scale of its scores";
	warm->tower = mr_version_served(run->model)->tower;
	mr_version_values(run->model, warm->version, values, nulls);
	if (nulls[MR_VERSION_RECIPE - 1])
		return psprintf("version %d has no recipe", warm->version);
	warm->recipe = DatumGetJsonbP(values[MR_VERSION_RECIPE - 1]);
	warm->full_epochs = mr_warm_full_epochs(warm->recipe, int_member(warm->recipe, "epochs", 0));
	warm->stop = nulls[MR_VERSION_EPOCHS - 1] ? 0 : DatumGetInt32(values[MR_VERSION_EPOCHS - 1]);
	why = check_given(run);
	for (int side = 0; why == NULL && side < 2; side++)
		why = check_features(run, side);
	return why;
}

/* ---- what is kept ---- */

/*
 * Free users that the version had from ALS are had from it again: from the version's items
 * a few sweeps come to where many come from random ones, new items and users
 * included, and what follows takes a few epochs anyway.
 */
static bool
goes_through_als(MrRun *run)
{
	MrFeatureSource source;

	return run->warm->free_users && run->warm->hyper.start == MR_START_ALS && run->data->posts == NULL &&
		!mr_run_feature_source(run, MR_SIDE_USER, &source) && !mr_run_feature_source(run, MR_SIDE_ITEM, &source) &&
		mr_lapack_load() == NULL;
}

/* Users from ALS who cannot go through it again, and whom the training has hardly moved. */
static bool
was_touched_up(const MrRun *run)
{
	const MrWarm *warm = run->warm;

	return warm->hyper.start == MR_START_ALS && !warm->through_als &&
		(warm->hyper.recency == 0 || run->data->positives.times == NULL);
}

/*
 * The options of the run become those of the version where they were not set.  Where do
 * free users begin?  Those who also tag where they were: how they do it is not in their
 * items; so those who were only touched up.  Others at their items, and where what is recent weighs more, at the recent
 * ones (start_towers.c).
 */
void
mr_warm_keep(MrRun *run)
{
	MrWarm	   *warm = run->warm;
	MrOptions  *options = &run->options;

	mr_options_keep(options, warm->recipe, kept_options);
	warm->hyper = options->hyper;
	mr_recipe_fill_tags(&warm->hyper, options->set, &run->data->positives, run->data->posts);
	warm->free_users = warm->tower.kind == MR_TOWER_FREE && warm->hyper.algorithm == MR_ALGORITHM_METRIC;
	warm->through_als = goes_through_als(run);
	warm->keeps_users = warm->free_users && (run->data->posts != NULL || was_touched_up(run));
}

/*
 * After the points have been read: NULL, or why it is not enough.  ALS that starts from
 * given items finds nothing beyond what they span, however many new ones there are.
 */
const char *
mr_warm_check_known(const MrRun *run)
{
	const MrWarm *warm = run->warm;

	if (warm->through_als && (warm->known_items < warm->tower.dimensions || warm->known_items < run->data->positives.n_items / 2))
		return psprintf("version %d has %d of the %d items, too few for \"als\" to go on from", warm->version,
						warm->known_items, run->data->positives.n_items);
	return NULL;
}

/* ---- the schedule ---- */

/* Relative to a full training. */
typedef struct Schedule
{
	double		epochs;			/* to which the share of the new pairs is added */
	double		rate;
} Schedule;

static Schedule
choose_schedule(const MrWarm *warm)
{
	static const Schedule pooled = {0.25, 0.3}; /* and ALS, which solves for the users first */
	static const Schedule at_items = {0.25, 0.5};
	/* of ALS: the full training has few epochs and only touches the points up */
	static const Schedule touched_up = {0.5, 4};
	static const Schedule whole = {1, 1};

	if (!warm->free_users)
		return pooled;
	if (warm->through_als)
		return whole;
	return warm->keeps_users && warm->hyper.start == MR_START_ALS ? touched_up : at_items;
}

/*
 * Sets epochs and learning rate.  In the scenario of doc/training.md a quarter of the epochs
 * is enough on dense data where a sixth of the pairs is new; where users have few items, the
 * more is needed the more is new.
 */
void
mr_warm_schedule(MrRun *run)
{
	MrWarm	   *warm = run->warm;
	MrOptions  *options = &run->options;
	Schedule	schedule = choose_schedule(warm);
	double		share = schedule.epochs + (double) warm->new_pairs / Max(run->data->positives.n_pairs, 1);

	if (mr_option_is_set(options, MR_HYPER_EPOCHS) || warm->full_epochs < 1)
	{
		warm->full_epochs = warm->hyper.epochs;
		warm->stop = 0;
	}
	options->hyper.epochs = Max(1, (int32) (warm->full_epochs * Min(share, 1.0) + 0.5));
	options->hyper.learning_rate = warm->hyper.learning_rate * schedule.rate;
	options->set |= UINT64CONST(1) << MR_HYPER_EPOCHS | UINT64CONST(1) << MR_HYPER_LEARNING_RATE;
}
