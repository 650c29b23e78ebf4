/*
 * tune_space.c
 *		The space of a search: reading it, the default one.
 *
 *	{"temperature": {"min": 0.1, "max": 0.4, "log": true},		a range
 *	 "epochs": {"min": 0.5, "max": 2, "of": "recipe"},			of multiples
 *	 "user_tower": ["pooled", "free"],							a list
 *	 "item_bias": false,										one value
 *	 "default": true}											and the default space
 *
 * Values are those of alter_model(), null stands for not set.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "train/tune.h"

/* Of what the recipe chooses, this is far enough. */
#define MOST_MULTIPLE 1000

/* Not what a model learns, but how it is measured, read, or kept. */
static const char *const not_searched[] = {
	"seed", "validation_fraction", "patience", "refit", "keep_versions", "num_workers",
	"item_word_columns", "user_word_columns", "min_feature_count", "max_vocabulary"
};

/* ---- reading ---- */

static void
bad_space(const char *name, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid space of \"%s\"", name),
			 errdetail("%s", detail),
			 errhint("Give a value, a list of values, or {\"min\": ..., \"max\": ..., \"log\": true}.")));
}

/* A new axis, its name checked. */
static MrAxis *
add_axis(MrSpace *space, const char *name, bool given)
{
	MrAxis	   *axis;

	for (int i = 0; i < lengthof(not_searched); i++)
		if (strcmp(name, not_searched[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" cannot be searched", name),
					 errdetail("It does not say what is learned, but how that is read, measured or kept."),
					 errhint("Set it with metricrec.alter_model().")));
	(void) mr_option_number(name);	/* the error, if there is no such name */
	if (space->n_axes == MR_MAX_AXES)
		elog(ERROR, "too many hyper-parameters in a space");
	axis = &space->axes[space->n_axes++];
	memset(axis, 0, sizeof(*axis));
	axis->name = pstrdup(name);
	axis->given = given;
	return axis;
}

static void
add_value(MrAxis *axis, const JsonbValue *value)
{
	axis->values = axis->values == NULL ? palloc(sizeof(char *)) :
		repalloc(axis->values, sizeof(char *) * (axis->n_values + 1));
	axis->values[axis->n_values++] = mr_option_value(axis->name, value);
}

static void
read_list(MrAxis *axis, JsonbContainer *list)
{
	JsonbIterator *it = JsonbIteratorInit(list);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			add_value(axis, &value);
	if (axis->n_values == 0)
		bad_space(axis->name, "The list is empty.");
}

/* One end of a range: a value that the hyper-parameter can have, or a multiple. */
static double
range_end(MrAxis *axis, const JsonbValue *value)
{
	char	   *text;
	double		multiple;

	if (value->type == jbvNull)
		bad_space(axis->name, "A range has no null.");
	if (!axis->relative)
	{
		text = mr_option_value(axis->name, value);
		return DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(text)));
	}
	multiple = value->type != jbvNumeric ? 0 :
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (!(multiple > 0 && multiple <= MOST_MULTIPLE))
		bad_space(axis->name, psprintf("Multiples of the recipe are numbers above 0, up to %d.", MOST_MULTIPLE));
	return multiple;
}

static bool
is_word(const JsonbValue *value, const char *word)
{
	return value->type == jbvString && value->val.string.len == strlen(word) &&
		strncmp(value->val.string.val, word, value->val.string.len) == 0;
}

static void
read_range(MrAxis *axis, JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;
	JsonbValue	min = {.type = jbvNull};
	JsonbValue	max = {.type = jbvNull};
	bool		has_min = false;
	bool		has_max = false;
	double		least;
	double		most;

	if (!mr_option_range(axis->name, &least, &most, &axis->range.whole))
		bad_space(axis->name, "Only numbers have a range.");
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token != WJB_VALUE)
			continue;
		else if (strcmp(key, "min") == 0)
		{
			min = value;
			has_min = true;
		}
		else if (strcmp(key, "max") == 0)
		{
			max = value;
			has_max = true;
		}
		else if (strcmp(key, "log") == 0 && value.type == jbvBool)
			axis->range.log = value.val.boolean;
		else if (strcmp(key, "of") == 0 && is_word(&value, "recipe"))
			axis->relative = true;
		else
			bad_space(axis->name,
					  psprintf("A range has \"min\", \"max\", \"log\" (true or false) and \"of\" (\"recipe\"); not this \"%s\".", key));
	}
	if (!has_min || !has_max)
		bad_space(axis->name, "A range needs \"min\" and \"max\".");
	axis->range.min = range_end(axis, &min);
	axis->range.max = range_end(axis, &max);
	if (axis->range.min > axis->range.max)
		bad_space(axis->name, "\"min\" is greater than \"max\".");
	if (axis->range.log && axis->range.min <= 0)
		bad_space(axis->name, "A logarithmic range begins above 0.");
}

static int
compare_axes(const void *a, const void *b)
{
	return mr_option_number(((const MrAxis *) a)->name) - mr_option_number(((const MrAxis *) b)->name);
}

/* What decides on which others make sense, the loss, stands before these in the table of options. */
static void
sort_axes(MrSpace *space)
{
	qsort(space->axes, space->n_axes, sizeof(MrAxis), compare_axes);
}

/* One member of the object: a hyper-parameter and its values. */
static void
read_axis(MrSpace *space, const char *name, const JsonbValue *value)
{
	MrAxis	   *axis = add_axis(space, name, true);

	if (value->type != jbvBinary)
		add_value(axis, value);
	else if (JsonContainerIsArray(value->val.binary.data))
		read_list(axis, value->val.binary.data);
	else
		read_range(axis, value->val.binary.data);
}

/* Reads the argument; NULL: the default space, whose axes mr_space_add_default() adds. */
void
mr_space_parse(Jsonb *given, MrSpace *space)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;

	memset(space, 0, sizeof(*space));
	space->with_default = given == NULL;
	if (given == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be a JSON object", "space"),
				 errhint("Its keys are hyper-parameters, as in {\"temperature\": [0.2, 0.3]}.")));
	it = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token != WJB_VALUE)
			continue;
		else if (strcmp(key, "default") != 0)
			read_axis(space, key, &value);
		else if (value.type == jbvBool)
			space->with_default = value.val.boolean;
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"default\" in argument \"%s\" must be true or false", "space")));
	}
	sort_axes(space);
}

/* ---- the default space ---- */

/* The value of a hyper-parameter in stored options as text; NULL if it is not set there. */
char *
mr_space_value_in(Jsonb *options, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(&options->root, name, strlen(name), &buffer);

	return value ? mr_option_value(name, value) : NULL;
}

/*
 * Has the caller named it, or the user set it on the model?  What a search has set there
 * may be searched again.
 */
static bool
is_settled(const MrSpace *space, const MrRun *run, const char *name)
{
	char	   *value = mr_space_value_in(run->model->options, name);
	char	   *found = space->found ? mr_space_value_in(space->found, name) : NULL;

	for (int i = 0; i < space->n_axes; i++)
		if (strcmp(space->axes[i].name, name) == 0)
			return true;
	return value && !(found && strcmp(value, found) == 0);
}

/*
 * A range around what the recipe takes, from a `factor`th of it to `factor` times it; not
 * if that is 0 for the model as it stands.
 */
static void
add_around(MrSpace *space, const MrRun *run, const char *name, double center, double factor)
{
	MrAxis	   *axis;
	double		least;
	double		most;

	if (is_settled(space, run, name) || center <= 0)
		return;
	axis = add_axis(space, name, false);
	(void) mr_option_range(name, &least, &most, &axis->range.whole);
	axis->relative = true;
	axis->range.log = true;
	axis->range.min = 1 / factor;
	axis->range.max = factor;
}

static void
add_list(MrSpace *space, const MrRun *run, const char *name, int n, const char *const *values)
{
	MrAxis	   *axis;

	if (is_settled(space, run, name))
		return;
	axis = add_axis(space, name, false);
	axis->n_values = n;
	axis->values = palloc(sizeof(char *) * n);
	memcpy(axis->values, values, sizeof(char *) * n);
}

static void
add_softmax(MrSpace *space, const MrRun *run)
{
	static const char *const towers[] = {"\"pooled\"", "\"free\""};
	static const char *const booleans[] = {"true", "false"};

	add_around(space, run, "temperature", run->hyper.temperature, 2);
	add_list(space, run, "item_bias", lengthof(booleans), booleans);
	add_around(space, run, "recency", run->hyper.recency, 4);
	if (run->data->posts == NULL)
		add_list(space, run, "user_tower", lengthof(towers), towers);
	else
	{
		add_around(space, run, "tag_weight", run->hyper.tag_weight, 4);
		add_around(space, run, "tag_temperature", run->hyper.tag_temperature, 2);
	}
}

/*
 * Adds the axes of the default space that are neither set on the model nor named by
 * the caller; run->hyper is the recipe of trial 1.  doc/training.md has the table.
 */
void
mr_space_add_default(MrSpace *space, const MrRun *run)
{
	static const char *const decays[] = {"0", "0", "0.01", "0.1"};	/* none, in half of the trials */
	static const char *const dropouts[] = {"0", "0.1", "0.3", "0.5"};
	const MrHyper *hyper = &run->hyper;

	if (!space->with_default)
		return;
	add_around(space, run, "epochs", hyper->epochs, 2);
	if (hyper->algorithm == MR_ALGORITHM_ALS)
	{
		add_around(space, run, "als_regularization", hyper->als_regularization, 3);
		add_around(space, run, "als_unobserved_weight", hyper->als_unobserved_weight, 3);
	}
	else
		add_around(space, run, "learning_rate", hyper->learning_rate, 3);
	if (hyper->algorithm == MR_ALGORITHM_BPR)
		add_around(space, run, "weight_decay", hyper->weight_decay, 3);
	if (hyper->algorithm != MR_ALGORITHM_METRIC)
	{
		sort_axes(space);
		return;
	}
	add_list(space, run, "weight_decay", lengthof(decays), decays);
	if (hyper->loss == MR_LOSS_SOFTMAX)
		add_softmax(space, run);
	else
		add_around(space, run, "margin", hyper->margin, 2);
	if (hyper->sampling != MR_SAMPLING_FULL)
		add_around(space, run, "negatives", hyper->negatives, 4);
	if (hyper->item_combination != MR_COMBINE_ID || hyper->user_combination != MR_COMBINE_ID)
		add_list(space, run, "id_dropout", lengthof(dropouts), dropouts);
	sort_axes(space);
}

/* ---- as jsonb ---- */

static void
append_name(StringInfo json, const char *name)
{
	if (json->len > 1)
		appendStringInfoString(json, ", ");
	escape_json(json, name);
	appendStringInfoString(json, ": ");
}

/* The whole space, the default axes written out. */
Jsonb *
mr_space_describe(const MrSpace *space)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < space->n_axes; i++)
	{
		const MrAxis *axis = &space->axes[i];

		append_name(&json, axis->name);
		if (axis->n_values == 0)
			appendStringInfo(&json, "{\"min\": %.6g, \"max\": %.6g, \"log\": %s%s}", axis->range.min, axis->range.max,
							 axis->range.log ? "true" : "false", axis->relative ? ", \"of\": \"recipe\"" : "");
		for (int v = 0; v < axis->n_values; v++)
			appendStringInfo(&json, "%s%s", v ? ", " : "[", axis->values[v] ? axis->values[v] : "null");
		if (axis->n_values > 0)
			appendStringInfoChar(&json, ']');
	}
	appendStringInfoChar(&json, '}');
	return mr_jsonb_of(json.data);
}

/* What a trial sets. */
Jsonb *
mr_space_settings(const MrSpace *space, const MrTrial *trial)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < space->n_axes; i++)
		if (trial->values[i])
		{
			append_name(&json, space->axes[i].name);
			appendStringInfoString(&json, trial->values[i]);
		}
	if (trial->tower)
	{
		append_name(&json, "user_tower");
		appendStringInfoString(&json, trial->tower);
	}
	appendStringInfoChar(&json, '}');
	return mr_jsonb_of(json.data);
}
