/*
 * features.c
 *		Reads the feature tables of a run and hands them to the trainer.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "embed/embed.h"
#include "train/warm.h"

/* A combination that needs features is an error without a table of them. */
static void
check_combination(const MrRun *run, MrSide side)
{
	MrCombination combination = side == MR_SIDE_USER ? run->options.hyper.user_combination
		: run->options.hyper.item_combination;
	int			field = side == MR_SIDE_USER ? MR_HYPER_USER_COMBINATION : MR_HYPER_ITEM_COMBINATION;

	if (OidIsValid(mr_feature_relation(run->model, side)) || !mr_option_is_set(&run->options, field) ||
		combination == MR_COMBINE_ID)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s_combination of model \"%s\" needs features, and the model has no %s_features",
					mr_side_name(side), run->model->name, mr_side_name(side)),
			 errhint("Name a table of features when the model is made, or reset the option with metricrec.alter_model().")));
}

/* Where the features of a side are and how they are read; false: there are none. */
bool
mr_run_feature_source(const MrRun *run, MrSide side, MrFeatureSource *source)
{
	const MrModel *model = run->model;
	const MrNames *words = side == MR_SIDE_USER ? &run->options.user_word_columns : &run->options.item_word_columns;

	memset(source, 0, sizeof(*source));
	source->relation = mr_feature_relation(model, side);
	if (!OidIsValid(source->relation))
		return false;
	if (get_rel_name(source->relation) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the %s features of model \"%s\" no longer exist", mr_side_name(side), model->name),
				 errdetail("The relation with OID %u has been dropped.", source->relation),
				 errhint("Make a new model on the table that took its place.")));
	source->key_column = side == MR_SIDE_USER ? model->user_column : model->item_column;
	source->n_word_columns = words->n;
	source->word_columns = words->names;
	source->min_count = run->options.min_feature_count;
	source->max_vocabulary = run->options.max_vocabulary;
	return true;
}

static void
read_side(MrRun *run, MrSide side)
{
	MrFeatureSource source;
	Size		held = MemoryContextMemAllocated(run->context, true);

	check_combination(run, side);
	if (!mr_run_feature_source(run, side, &source))
		return;
	if (run->warm)
		source.encoder = run->warm->encoder[side];
	run->features[side] = mr_feature_read(&source, side == MR_SIDE_USER ? run->data->users : run->data->items,
										  run->context, mr_training_memory_left(held));
}

/* See train.h: after the interactions. */
void
mr_run_read_features(MrRun *run)
{
	MrInteractions *x = &run->data->positives;

	read_side(run, MR_SIDE_USER);
	read_side(run, MR_SIDE_ITEM);
	if (run->features[MR_SIDE_USER])
		x->user_features = &run->features[MR_SIDE_USER]->features;
	if (run->features[MR_SIDE_ITEM])
		x->item_features = &run->features[MR_SIDE_ITEM]->features;
}
