/*
 * options_columns.c
 *		Hyper-parameters that need a column of the interactions, or do not go with one.
 */
#include "postgres.h"

#include "train/train.h"

/* What the hyper-parameters must be with tags and times, and must not be without. */
void
mr_check_column_options(const char *tag_column, const char *time_column, Jsonb *stored)
{
	MrOptions	options;

	mr_options_read(stored, &options);
	if (time_column == NULL && options.hyper.recency > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("recency needs a time_column"),
				 errhint("Name the column of times in create_model's argument time_column.")));
	if (tag_column == NULL && (mr_option_is_set(&options, MR_HYPER_TAG_WEIGHT) ||
							   mr_option_is_set(&options, MR_HYPER_TAG_TEMPERATURE)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tag_weight and tag_temperature need a tag_column"),
				 errhint("Name the column of tags in create_model's argument tag_column.")));
	if (tag_column != NULL && mr_option_is_set(&options, MR_HYPER_PROPAGATION) && options.hyper.propagation > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("propagation does not go with a tag_column"),
				 errdetail("It moves users and items after training, away from their tags.")));
	if (tag_column != NULL && mr_options_loss(&options) != MR_LOSS_SOFTMAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a tag_column needs the loss \"softmax\""),
				 errhint("Leave out loss and preset, or make another model for the tags.")));
}
