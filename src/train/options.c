/*
 * options.c
 *		The table of hyper-parameters, and reading them from arguments and jsonb.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/syscache.h"

#include "metricrec.h"
#include "feature/feature.h"
#include "train/options_internal.h"
#include "util/compat.h"

static const char *const algorithm_words[] = {"metric", "als", "bpr", NULL};
static const char *const preset_words[] = {"none", "cml_paper", "cml_released", "two_stage", "triplet", "dual_tower", NULL};
static const char *const loss_words[] = {"softmax", "cml", "triplet", NULL};
static const char *const sampling_words[] = {"full", "uniform", "popularity", "hardest", "two_stage", NULL};
static const char *const tower_words[] = {"pooled", "free", NULL};
static const char *const start_words[] = {"random", "als", NULL};
static const char *const constraint_words[] = {"sphere", "ball", "none", NULL};
static const char *const combination_words[] = {"id", "features", "sum", "both", "prior", NULL};
static const char *const activation_words[] = {"relu", "tanh", "gelu", NULL};
static const char *const optimizer_words[] = {"adam", "adagrad", "sgd", NULL};
static const char *const als_solver_words[] = {"cholesky", "cg", NULL};

#define HYPER(member) (offsetof(MrOptions, hyper) + offsetof(MrHyper, member))

/* In the order of the arguments of create_model. */
static const MrOptionDef option_defs[] =
{
	{"dimensions", OPTION_INT, MR_HYPER_DIMENSIONS, HYPER(dimensions), 2, MR_MAX_DIMENSIONS},
	{"algorithm", OPTION_WORD, MR_HYPER_ALGORITHM, HYPER(algorithm), 0, 0, algorithm_words},
	{"preset", OPTION_WORD, -1, HYPER(preset), 0, 0, preset_words},
	{"loss", OPTION_WORD, MR_HYPER_LOSS, HYPER(loss), 0, 0, loss_words},
	{"user_tower", OPTION_WORD, MR_HYPER_TOWER, HYPER(tower), 0, 0, tower_words},
	{"start", OPTION_WORD, MR_HYPER_START, HYPER(start), 0, 0, start_words},
	{"recency", OPTION_FLOAT, MR_HYPER_RECENCY, HYPER(recency), 0, 1e9},
	{"epochs", OPTION_INT, MR_HYPER_EPOCHS, HYPER(epochs), 1, 10000},
	{"batch_size", OPTION_INT, MR_HYPER_BATCH_SIZE, HYPER(batch_size), 1, 10000000},
	{"learning_rate", OPTION_FLOAT, MR_HYPER_LEARNING_RATE, HYPER(learning_rate), 1e-9, 1000},
	{"learning_rate_decay", OPTION_BOOL, MR_HYPER_LEARNING_RATE_DECAY, HYPER(learning_rate_decay)},
	{"temperature", OPTION_FLOAT, MR_HYPER_TEMPERATURE, HYPER(temperature), 0.001, 1000},
	{"item_bias", OPTION_BOOL, MR_HYPER_ITEM_BIAS, HYPER(item_bias)},
	{"margin", OPTION_FLOAT, MR_HYPER_MARGIN, HYPER(margin), 0, 1000},
	{"rank_weight", OPTION_BOOL, MR_HYPER_RANK_WEIGHT, HYPER(rank_weight)},
	{"negatives", OPTION_INT, MR_HYPER_NEGATIVES, HYPER(negatives), 1, 1000000},
	{"negative_sampling", OPTION_WORD, MR_HYPER_SAMPLING, HYPER(sampling), 0, 0, sampling_words},
	{"negative_candidates", OPTION_INT, MR_HYPER_CANDIDATES, HYPER(candidates), 1, 1000000},
	{"popularity_exponent", OPTION_FLOAT, MR_HYPER_POPULARITY_EXPONENT, HYPER(popularity_exponent), 0, 4},
	{"propensity_exponent", OPTION_FLOAT, MR_HYPER_PROPENSITY_EXPONENT, HYPER(propensity_exponent), 0, 2},
	{"norm_constraint", OPTION_WORD, MR_HYPER_CONSTRAINT, HYPER(constraint), 0, 0, constraint_words},
	{"optimizer", OPTION_WORD, MR_HYPER_OPTIMIZER, HYPER(optimizer), 0, 0, optimizer_words},
	{"covariance_regularization", OPTION_FLOAT, MR_HYPER_COVARIANCE, HYPER(covariance), 0, 1e6},
	{"weight_decay", OPTION_FLOAT, MR_HYPER_WEIGHT_DECAY, HYPER(weight_decay), 0, 1000},
	{"propagation", OPTION_FLOAT, MR_HYPER_PROPAGATION, HYPER(propagation), 0, 100},
	{"item_combination", OPTION_WORD, MR_HYPER_ITEM_COMBINATION, HYPER(item_combination), 0, 0, combination_words},
	{"user_combination", OPTION_WORD, MR_HYPER_USER_COMBINATION, HYPER(user_combination), 0, 0, combination_words},
	{"hidden_layers", OPTION_WIDTHS, MR_HYPER_HIDDEN_LAYERS, HYPER(n_hidden)},
	{"activation", OPTION_WORD, MR_HYPER_ACTIVATION, HYPER(activation), 0, 0, activation_words},
	{"dropout", OPTION_FLOAT, MR_HYPER_DROPOUT, HYPER(dropout), 0, 0.99},
	{"id_dropout", OPTION_FLOAT, MR_HYPER_ID_DROPOUT, HYPER(id_dropout), 0, 1},
	{"feature_regularization", OPTION_FLOAT, MR_HYPER_FEATURE_REGULARIZATION, HYPER(feature_regularization), 0, 1e6},
	{"item_word_columns", OPTION_NAMES, -1, offsetof(MrOptions, item_word_columns)},
	{"user_word_columns", OPTION_NAMES, -1, offsetof(MrOptions, user_word_columns)},
	{"min_feature_count", OPTION_INT, -1, offsetof(MrOptions, min_feature_count), 1, 1e9},
	{"max_vocabulary", OPTION_INT, -1, offsetof(MrOptions, max_vocabulary), 1, MR_MAX_VOCABULARY},
	{"tag_weight", OPTION_FLOAT, MR_HYPER_TAG_WEIGHT, HYPER(tag_weight), 0, 1},
	{"tag_temperature", OPTION_FLOAT, MR_HYPER_TAG_TEMPERATURE, HYPER(tag_temperature), 0.001, 1000},
	{"als_unobserved_weight", OPTION_FLOAT, MR_HYPER_ALS_UNOBSERVED_WEIGHT, HYPER(als_unobserved_weight), 1e-9, 1e6},
	{"als_regularization", OPTION_FLOAT, MR_HYPER_ALS_REGULARIZATION, HYPER(als_regularization), 1e-9, 1e6},
	{"als_solver", OPTION_WORD, MR_HYPER_ALS_SOLVER, HYPER(als_solver), 0, 0, als_solver_words},
	{"seed", OPTION_SEED, MR_HYPER_SEED, HYPER(seed)},
	{"num_workers", OPTION_INT, -1, offsetof(MrOptions, num_workers), 0, 63},
	{"validation_fraction", OPTION_FLOAT, -1, offsetof(MrOptions, validation_fraction), 0, 1},
	{"patience", OPTION_INT, -1, offsetof(MrOptions, patience), 0, 10000},
	{"refit", OPTION_BOOL, -1, offsetof(MrOptions, refit)},
	{"keep_versions", OPTION_INT, -1, offsetof(MrOptions, keep_versions), 1, 1000},
};

/* ---- one value ---- */

static void
out_of_range(const MrOptionDef *def, const char *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("value %s is out of range for \"%s\"", value, def->name),
			 errdetail("Valid values are from %g to %g.", def->min, def->max)));
}

static int
word_index(const MrOptionDef *def, const char *word)
{
	StringInfoData valid;

	for (int i = 0; def->words[i]; i++)
		if (pg_strcasecmp(def->words[i], word) == 0)
			return i;
	initStringInfo(&valid);
	for (int i = 0; def->words[i]; i++)
		appendStringInfo(&valid, "%s\"%s\"", i ? ", " : "", def->words[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"", def->name, word),
			 errhint("Valid values are %s.", valid.data)));
}

/* An argument of create_model or alter_model as JSON text; checked. */
char *
mr_option_argument(const MrOptionDef *def, Datum value)
{
	char	   *number;
	StringInfoData json;

	switch (def->kind)
	{
		case OPTION_INT:
			number = psprintf("%d", DatumGetInt32(value));
			if (DatumGetInt32(value) < def->min || DatumGetInt32(value) > def->max)
				out_of_range(def, number);
			return number;
		case OPTION_SEED:
			return psprintf(INT64_FORMAT, DatumGetInt64(value));
		case OPTION_FLOAT:
			number = DatumGetCString(DirectFunctionCall1(float8out, value));
			if (!(DatumGetFloat8(value) >= def->min && DatumGetFloat8(value) <= def->max))
				out_of_range(def, number);
			return number;
		case OPTION_BOOL:
			return DatumGetBool(value) ? "true" : "false";
		case OPTION_WORD:
			initStringInfo(&json);
			escape_json(&json, def->words[word_index(def, TextDatumGetCString(value))]);
			return json.data;
		case OPTION_WIDTHS:
			return mr_widths_to_json(def->name, DatumGetArrayTypeP(value));
		case OPTION_NAMES:
			return mr_names_to_json(DatumGetArrayTypeP(value));
	}
	pg_unreachable();
}

/* The text of a stored value; NULL if it is not set. */
static char *
stored_text(Jsonb *stored, const char *name, bool *is_string)
{
	JsonbValue	buffer;
	JsonbValue *value;

	if (stored == NULL)
		return NULL;
	if (!JB_ROOT_IS_OBJECT(stored))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the options of a model are not a JSON object")));
	value = getKeyJsonValueFromContainer(&stored->root, name, strlen(name), &buffer);
	*is_string = false;
	if (value == NULL)
		return NULL;
	switch (value->type)
	{
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvString:
			*is_string = true;
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvBinary:
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		default:
			return NULL;
	}
}

/* ---- arguments -> jsonb ---- */

static void
append_member(StringInfo json, const char *name, const char *value)
{
	if (json->len > 1)
		appendStringInfoString(json, ", ");
	escape_json(json, name);
	appendStringInfo(json, ": %s", value);
}

/* JSON text of ours as a jsonb value. */
Jsonb *
mr_jsonb_of(const char *json)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

/* The row of a hyper-parameter; error if there is none of that name. */
const MrOptionDef *
mr_option_find(const char *name)
{
	for (int i = 0; i < lengthof(option_defs); i++)
		if (strcmp(option_defs[i].name, name) == 0)
			return &option_defs[i];
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no hyper-parameter \"%s\"", name)));
}

/* Row i of the table; NULL behind the last. */
const MrOptionDef *
mr_option_row(int i)
{
	return i < lengthof(option_defs) ? &option_defs[i] : NULL;
}

/* Its place in the table. */
int
mr_option_number(const char *name)
{
	return (int) (mr_option_find(name) - option_defs);
}

/* Names in `reset` must be hyper-parameters. */
static void
check_reset(Datum *names, int n)
{
	for (int i = 0; i < n; i++)
		(void) mr_option_find(NameStr(*DatumGetName(names[i])));
}

static bool
is_reset(Datum *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(NameStr(*DatumGetName(names[i])), name) == 0)
			return true;
	return false;
}

/*
 * The options to store: those of `before` (may be NULL), less `reset` (may be
 * NULL), with the arguments from number `first` on that are not NULL.  The
 * arguments stand in the order of the table.
 */
Jsonb *
mr_options_from_arguments(FunctionCallInfo fcinfo, int first, Jsonb *before, ArrayType *reset)
{
	StringInfoData json;
	Datum	   *reset_names = NULL;
	int			n_reset = 0;
	MrOptions	check;
	Jsonb	   *result;

	if (PG_NARGS() != first + lengthof(option_defs))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the extension is of another release than its library"),
				 errdetail("The function has %d arguments, and the library expects %d.", PG_NARGS(), (int) (first + lengthof(option_defs))),
				 errhint("Run ALTER EXTENSION metricrec UPDATE.")));
	if (reset)
		deconstruct_array(reset, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &reset_names, NULL, &n_reset);
	check_reset(reset_names, n_reset);

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < lengthof(option_defs); i++)
	{
		const MrOptionDef *def = &option_defs[i];
		bool		is_string;
		char	   *old = stored_text(before, def->name, &is_string);

		if (!PG_ARGISNULL(first + i))
			append_member(&json, def->name, mr_option_argument(def, PG_GETARG_DATUM(first + i)));
		else if (old && !is_reset(reset_names, n_reset, def->name))
			append_member(&json, def->name, is_string ? psprintf("\"%s\"", old) : old);
	}
	appendStringInfoChar(&json, '}');
	result = mr_jsonb_of(json.data);
	mr_options_read(result, &check);
	return result;
}

/* The value of `name` among n others, with NULL for one that is not set; false: not among them. */
static bool
find_value(const char *name, int n, const char *const *names, const char *const *values, const char **value)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
		{
			*value = values[i];
			return true;
		}
	return false;
}

/*
 * The options `before` with n of them changed: to JSON texts that mr_option_value() has
 * given, or to not set (NULL).  Whether they go together is not looked at.
 */
Jsonb *
mr_options_with(Jsonb *before, int n, const char *const *names, const char *const *values)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < lengthof(option_defs); i++)
	{
		bool		is_string = false;
		const char *value;

		if (!find_value(option_defs[i].name, n, names, values, &value))
			value = stored_text(before, option_defs[i].name, &is_string);
		if (value)
			append_member(&json, option_defs[i].name, is_string ? psprintf("\"%s\"", value) : value);
	}
	appendStringInfoChar(&json, '}');
	return mr_jsonb_of(json.data);
}

/* ---- jsonb -> struct ---- */

/*
 * Puts one stored value into its place.  Checked again: the catalogue may come
 * from a dump of another release.
 */
static void
set_option(MrOptions *options, const MrOptionDef *def, const char *text)
{
	char	   *place = (char *) options + def->offset;
	double		number;

	switch (def->kind)
	{
		case OPTION_BOOL:
			*(bool *) place = strcmp(text, "true") == 0;
			break;
		case OPTION_WORD:
			*(int *) place = word_index(def, text);
			break;
		case OPTION_SEED:
			*(uint64 *) place = (uint64) DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text)));
			break;
		case OPTION_WIDTHS:
			mr_widths_read(def->name, &options->hyper, text);
			break;
		case OPTION_NAMES:
			mr_names_read((MrNames *) place, text);
			break;
		case OPTION_INT:
		case OPTION_FLOAT:
			number = DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(text)));
			if (!(number >= def->min && number <= def->max))
				out_of_range(def, text);
			if (def->kind == OPTION_INT)
				*(int32 *) place = (int32) number;
			else
				*(double *) place = number;
			break;
	}
	if (def->field >= 0)
		options->set |= UINT64CONST(1) << def->field;
}

static void
contradiction(const char *a, const char *b, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s does not go with %s", a, b),
			 errhint("%s", hint)));
}

static MrLoss
loss_of_preset(MrPreset preset)
{
	switch (preset)
	{
		case MR_PRESET_CML_PAPER:
		case MR_PRESET_CML_RELEASED:
		case MR_PRESET_TWO_STAGE:
			return MR_LOSS_CML;
		case MR_PRESET_TRIPLET:
		case MR_PRESET_DUAL_TOWER:
			return MR_LOSS_TRIPLET;
		case MR_PRESET_NONE:
			break;
	}
	return MR_LOSS_SOFTMAX;
}

/* What contradicts itself is refused; nothing that is set is ever ignored. */
static void
check_combination(const MrOptions *options, const MrHyper *hyper)
{
	bool		softmax = hyper->loss == MR_LOSS_SOFTMAX;

	if (hyper->algorithm != MR_ALGORITHM_METRIC)
		return;
	if (hyper->preset != MR_PRESET_NONE && mr_option_is_set(options, MR_HYPER_LOSS) && hyper->loss != loss_of_preset(hyper->preset))
		contradiction(psprintf("preset \"%s\"", preset_words[hyper->preset]),
					  psprintf("loss \"%s\"", loss_words[hyper->loss]),
					  "A preset has a loss of its own: set one of the two.");
	if (mr_option_is_set(options, MR_HYPER_SAMPLING))
	{
		if (softmax && (hyper->sampling == MR_SAMPLING_HARDEST || hyper->sampling == MR_SAMPLING_TWO_STAGE))
			contradiction(psprintf("negative_sampling \"%s\"", sampling_words[hyper->sampling]),
						  "loss \"softmax\"",
						  "Use \"full\", \"uniform\" or \"popularity\", or another loss.");
		if (!softmax && hyper->sampling == MR_SAMPLING_FULL)
			contradiction("negative_sampling \"full\"", psprintf("loss \"%s\"", loss_words[hyper->loss]),
						  "Use \"uniform\", \"popularity\", \"hardest\" or \"two_stage\".");
	}
	if (!softmax && mr_option_is_set(options, MR_HYPER_ITEM_BIAS) && hyper->item_bias)
		contradiction("item_bias", psprintf("loss \"%s\"", loss_words[hyper->loss]),
					  "Only the softmax loss learns a bias.");
	if (!softmax && mr_option_is_set(options, MR_HYPER_TOWER) && hyper->tower == MR_TOWER_POOLED)
		contradiction("user_tower \"pooled\"", psprintf("loss \"%s\"", loss_words[hyper->loss]),
					  "Use user_tower \"free\", or the softmax loss.");
	if (!softmax && mr_option_is_set(options, MR_HYPER_TEMPERATURE))
		contradiction("temperature", psprintf("loss \"%s\"", loss_words[hyper->loss]),
					  "Only the softmax loss has a temperature.");
	if (softmax && (mr_option_is_set(options, MR_HYPER_MARGIN) || mr_option_is_set(options, MR_HYPER_RANK_WEIGHT)))
		contradiction("margin or rank_weight", "loss \"softmax\"", "They belong to the losses \"cml\" and \"triplet\".");
	if (!softmax && mr_option_is_set(options, MR_HYPER_START) && hyper->start == MR_START_ALS)
		contradiction("start \"als\"", psprintf("loss \"%s\"", loss_words[hyper->loss]),
					  "Use start \"random\", or the softmax loss.");
	if (hyper->loss == MR_LOSS_TRIPLET && mr_option_is_set(options, MR_HYPER_RANK_WEIGHT) && hyper->rank_weight)
		contradiction("rank_weight", "loss \"triplet\"", "Only the loss \"cml\" weighs by rank.");
	if (softmax && mr_option_is_set(options, MR_HYPER_COVARIANCE) && hyper->covariance > 0)
		contradiction("covariance_regularization", "loss \"softmax\"", "It belongs to the losses \"cml\" and \"triplet\".");
	if (hyper->item_bias && hyper->dimensions < 3 && mr_option_is_set(options, MR_HYPER_DIMENSIONS) && softmax)
		contradiction("item_bias", "dimensions below 3",
					  "The bias takes one coordinate: set item_bias => false or more dimensions.");
}

/* Which loss the recipe will take (mr_recipe_fill), as far as the check needs it. */
MrLoss
mr_options_loss(const MrOptions *options)
{
	const MrHyper *hyper = &options->hyper;

	if (mr_option_is_set(options, MR_HYPER_LOSS))
		return hyper->loss;
	if (hyper->preset == MR_PRESET_NONE && mr_option_is_set(options, MR_HYPER_SAMPLING) &&
		(hyper->sampling == MR_SAMPLING_HARDEST || hyper->sampling == MR_SAMPLING_TWO_STAGE))
		return MR_LOSS_CML;
	return loss_of_preset(hyper->preset);
}

/* The stored options as a struct; what is not set is left to the recipe. */
void
mr_options_read(Jsonb *stored, MrOptions *options)
{
	MrHyper		checked;

	memset(options, 0, sizeof(*options));
	options->validation_fraction = -1;
	options->patience = -1;
	options->num_workers = -1;
	options->refit = true;
	options->keep_versions = 2;
	options->min_feature_count = 3;
	options->max_vocabulary = 50000;
	for (int i = 0; i < lengthof(option_defs); i++)
	{
		bool		is_string;
		char	   *text = stored_text(stored, option_defs[i].name, &is_string);

		if (text)
			set_option(options, &option_defs[i], text);
	}
	mr_options_check_algorithm(stored, options);
	checked = options->hyper;
	checked.loss = mr_options_loss(options);
	check_combination(options, &checked);
}

/* ---- two trainings of a model ---- */

static bool
is_among(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

/* The first option that is set otherwise, or only once, in two stored sets; NULL: none but those ignored. */
const char *
mr_options_altered(Jsonb *before, Jsonb *now, const char *const *ignored)
{
	for (int i = 0; i < lengthof(option_defs); i++)
	{
		const char *name = option_defs[i].name;
		bool		is_string;
		char	   *a = stored_text(before, name, &is_string);
		char	   *b = stored_text(now, name, &is_string);

		if ((a == NULL) != (b == NULL) || (a && strcmp(a, b) != 0))
			if (!is_among(name, ignored))
				return name;
	}
	return NULL;
}

/*
 * Sets those of `names` that are not set to what a version's recipe says.  A value out
 * of range is one that the recipe did not use, and stays as it is.
 */
void
mr_options_keep(MrOptions *options, Jsonb *recipe, const char *const *names)
{
	for (int i = 0; i < lengthof(option_defs); i++)
	{
		const MrOptionDef *def = &option_defs[i];
		bool		is_string;
		char	   *text = stored_text(recipe, def->name, &is_string);
		double		number;

		if (text == NULL || !is_among(def->name, names) || mr_option_is_set(options, def->field))
			continue;
		if (def->kind == OPTION_INT || def->kind == OPTION_FLOAT)
		{
			number = DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(text)));
			if (!(number >= def->min && number <= def->max))
				continue;
		}
		set_option(options, def, text);
	}
}

/* ---- struct -> jsonb, for the recipe of a version ---- */

static char *
option_to_json(const MrOptionDef *def, const MrOptions *options)
{
	const char *place = (const char *) options + def->offset;

	switch (def->kind)
	{
		case OPTION_INT:
			return psprintf("%d", *(const int32 *) place);
		case OPTION_SEED:
			return psprintf(INT64_FORMAT, (int64) *(const uint64 *) place);
		case OPTION_FLOAT:
			return DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(*(const double *) place)));
		case OPTION_BOOL:
			return *(const bool *) place ? "true" : "false";
		case OPTION_WORD:
			return psprintf("\"%s\"", def->words[*(const int *) place]);
		case OPTION_WIDTHS:
			return mr_widths_describe(&options->hyper);
		case OPTION_NAMES:
			return mr_names_describe((const MrNames *) place);
	}
	pg_unreachable();
}

/* Everything a training used, chosen or given, as far as its algorithm knows it. */
Jsonb *
mr_options_describe(const MrHyper *hyper, const MrOptions *options)
{
	MrOptions	used = *options;
	StringInfoData json;

	used.hyper = *hyper;
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < lengthof(option_defs); i++)
		if (mr_option_belongs(&option_defs[i], hyper->algorithm))
			append_member(&json, option_defs[i].name, option_to_json(&option_defs[i], &used));
	appendStringInfoChar(&json, '}');
	return mr_jsonb_of(json.data);
}
