/*
 * options_algorithm.c
 *		Which hyper-parameters belong to which algorithm.  What is set is never
 *		ignored: what does not belong is refused.
 */
#include "postgres.h"

#include "train/options_internal.h"

#define FIELD(name) (UINT64CONST(1) << MR_HYPER_##name)

/* Of every algorithm. */
#define COMMON (FIELD(ALGORITHM) | FIELD(DIMENSIONS) | FIELD(EPOCHS) | FIELD(SEED))

/* Of ALS alone. */
#define OF_ALS (FIELD(ALS_UNOBSERVED_WEIGHT) | FIELD(ALS_REGULARIZATION) | FIELD(ALS_SOLVER))

static const struct
{
	const char *word;
	uint64		fields;
}			algorithms[] =
{
	[MR_ALGORITHM_METRIC] = {"algorithm \"metric\"", ~OF_ALS},
	[MR_ALGORITHM_ALS] = {"algorithm \"als\"", COMMON | OF_ALS},
	[MR_ALGORITHM_BPR] = {"algorithm \"bpr\"", COMMON | FIELD(LEARNING_RATE) | FIELD(LEARNING_RATE_DECAY) | FIELD(WEIGHT_DECAY)}
};

/* Of presets and features, which the metric algorithm alone knows. */
static bool
is_of_metric(const MrOptionDef *def)
{
	return def->kind == OPTION_NAMES || def->offset == offsetof(MrOptions, hyper) + offsetof(MrHyper, preset) ||
		def->offset == offsetof(MrOptions, min_feature_count) || def->offset == offsetof(MrOptions, max_vocabulary);
}

/* Does the option mean something to the algorithm? */
bool
mr_option_belongs(const MrOptionDef *def, MrAlgorithm algorithm)
{
	if (def->field < 0)
		return algorithm == MR_ALGORITHM_METRIC || !is_of_metric(def);
	return (algorithms[algorithm].fields & (UINT64CONST(1) << def->field)) != 0;
}

/* A training of the metric algorithm that begins with ALS has its hyper-parameters, too. */
static bool
is_of_start(const MrOptionDef *def, const MrOptions *options)
{
	return options->hyper.algorithm == MR_ALGORITHM_METRIC && mr_option_is_set(options, MR_HYPER_START) &&
		options->hyper.start == MR_START_ALS && mr_option_belongs(def, MR_ALGORITHM_ALS);
}

static void
refuse(const MrOptionDef *def, const MrOptions *options)
{
	MrAlgorithm owner = MR_ALGORITHM_METRIC;

	while (!mr_option_belongs(def, owner))
		owner++;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s does not go with %s", def->name, algorithms[options->hyper.algorithm].word),
			 options->hyper.algorithm == MR_ALGORITHM_METRIC ?
			 errhint("It belongs to %s, and to start \"als\".", algorithms[owner].word) :
			 errhint("It belongs to %s.", algorithms[owner].word)));
}

/* Options of another algorithm are refused, and dimensions that the algorithm cannot have. */
void
mr_options_check_algorithm(Jsonb *stored, const MrOptions *options)
{
	MrAlgorithm algorithm = options->hyper.algorithm;
	const MrOptionDef *def;
	const char *conflict;

	for (int i = 0; stored && (def = mr_option_row(i)) != NULL; i++)
	{
		JsonbValue	buffer;
		JsonbValue *value = getKeyJsonValueFromContainer(&stored->root, def->name, strlen(def->name), &buffer);

		if (value && value->type != jbvNull && !mr_option_belongs(def, algorithm) && !is_of_start(def, options))
			refuse(def, options);
	}
	conflict = algorithm != MR_ALGORITHM_METRIC && mr_option_is_set(options, MR_HYPER_DIMENSIONS) ?
		mr_recipe_factors_conflict(&options->hyper) : NULL;
	if (conflict)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value %d is out of range for \"%s\"", options->hyper.dimensions, "dimensions"),
				 errdetail("T%s.", conflict + 1)));
}

/* Factorisations know interactions only. */
void
mr_options_check_inputs(Jsonb *stored, const char *tag_column, bool has_features)
{
	MrOptions	options;

	mr_options_read(stored, &options);
	if (options.hyper.algorithm == MR_ALGORITHM_METRIC || (tag_column == NULL && !has_features))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s does not go with %s", tag_column ? "a tag_column" : "a table of features", algorithms[options.hyper.algorithm].word),
			 errdetail("A factorisation learns from interactions alone."),
			 errhint("Use algorithm \"metric\", or make another model of the same interactions without them.")));
}
