/*
 * evaluate_holdout.c
 *		An evaluation without a test relation: one positive of each user is held
 *		out, a throw-away model is trained on the rest.
 *
 * It is the recipe that is evaluated, not the active version: that has seen the
 * held-out pairs.  What training the version has settled, its user tower and,
 * with early stopping, its number of epochs, is taken from it, so that the
 * held-out pairs choose nothing.  Where there is no version yet, the choice
 * between the towers looks at the same pairs as the metrics: slightly too good.
 */
#include "postgres.h"

#include "catalog/objectaddress.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "store/catalog.h"
#include "train/evaluate.h"
#include "train/warm.h"
#include "util/compat.h"

/* So many users, drawn by the seed: the standard error of a rate is at most 0.005. */
#define HOLDOUT_USERS 10000.0

/* Nothing is read through the views here, so their privilege is asked for. */
static void
check_privilege(const MrModel *model)
{
	for (int side = 0; side < mr_model_sides(model); side++)
		if (pg_class_aclcheck(mr_side_view(model, side), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_VIEW, get_rel_name(mr_side_view(model, side)));
}

static void
check_holdout_possible(const MrRun *run)
{
	const MrInteractions *x = &run->data->positives;

	for (int32 u = 0; u < x->n_users; u++)
		if (x->user_start[u + 1] - x->user_start[u] > 1)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("there is nothing to evaluate model \"%s\" on", run->model->name),
			 errdetail("No user has two interactions, so none can be held out."),
			 errhint("Give a table of held-out interactions in the argument \"test\".")));
}

/* The options of the model, with what the active version has settled. */
static void
settle_options(MrRun *run)
{
	MrOptions  *options = &run->options;
	MrHyper		recipe = options->hyper;
	int32		version = mr_version_active(run->model);

	mr_recipe_fill_tags(&recipe, options->set, &run->data->positives, run->data->posts);
	if (version != 0 && recipe.algorithm == MR_ALGORITHM_METRIC && recipe.loss == MR_LOSS_SOFTMAX &&
		!mr_option_is_set(options, MR_HYPER_TOWER))
	{
		options->hyper.tower = mr_version_served(run->model)->tower.kind;
		options->set |= UINT64CONST(1) << MR_HYPER_TOWER;
	}
	if (version != 0 && options->patience != 0)
	{
		Datum		values[MR_VERSION_NATTS];
		bool		nulls[MR_VERSION_NATTS];

		mr_version_values(run->model, version, values, nulls);
		run->stop_epoch = DatumGetInt32(values[MR_VERSION_EPOCHS - 1]);
		if (!nulls[MR_VERSION_RECIPE - 1])
			run->stop_epoch = mr_warm_full_epochs(DatumGetJsonbP(values[MR_VERSION_RECIPE - 1]), run->stop_epoch);
	}
	options->refit = false;
	options->patience = 0;
	options->validation_fraction = Min(1.0, HOLDOUT_USERS / run->data->positives.n_users);
}

/* Training interactions of each item, without the held-out ones. */
static void
count_items(MrEvaluation *evaluation)
{
	const MrInteractions *train = &evaluation->run->holdout.train;

	evaluation->item_counts = MemoryContextAllocExtended(evaluation->run->context,
														 mul_size(sizeof(int64), train->n_items),
														 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int64 p = 0; p < train->n_pairs; p++)
	{
		if ((p & 0xfffff) == 0)
			CHECK_FOR_INTERRUPTS();
		evaluation->item_counts[train->items[p]]++;
	}
}

/* Fills everything of the evaluation but the restrictions.  SPI is connected. */
void
mr_evaluate_prepare_holdout(MrEvaluation *evaluation)
{
	MrRun	   *run = evaluation->run;

	check_privilege(run->model);
	mr_run_read(run);
	check_holdout_possible(run);
	settle_options(run);
	mr_run_fit(run);

	evaluation->users = run->data->users;
	evaluation->items = run->data->items;
	evaluation->in.dimensions = run->tower.dimensions;
	evaluation->in.users = run->users;
	evaluation->in.items = run->items;
	evaluation->in.held_out = &run->holdout.held_out;
	evaluation->in.excluded = &run->holdout.train;
	if (run->data->seen.n_pairs > 0)
		evaluation->in.excluded_more = &run->data->seen;
	evaluation->n_training_users = run->data->positives.n_users;
	count_items(evaluation);
	if (mr_evaluate_has_tags(run->model, InvalidOid))
		mr_evaluate_take_tags(evaluation);
}

/* The union of two ascending lists of items; returns its length. */
static int64
merge_items(const int32 *a, int64 n_a, const int32 *b, int64 n_b, int32 *result)
{
	int64		i = 0;
	int64		j = 0;
	int64		n = 0;

	while (i < n_a || j < n_b)
	{
		if (j == n_b || (i < n_a && a[i] < b[j]))
			result[n++] = a[i++];
		else
		{
			if (i < n_a && a[i] == b[j])
				i++;
			result[n++] = b[j++];
		}
	}
	return n;
}

/* Adds pairs to in.excluded_more, which is replaced by the union of both. */
void
mr_evaluate_add_pairs(MrEvaluation *evaluation, const MrInteractions *pairs)
{
	MemoryContext context = evaluation->run->context;
	const MrInteractions *before = evaluation->in.excluded_more;
	Size		starts = mul_size(sizeof(int64), (Size) before->n_users + 1);
	Size		items = mul_size(sizeof(int32), Max(before->n_pairs + pairs->n_pairs, 1));
	MrInteractions *both;

	mr_evaluate_check_memory(context, add_size(starts, items));
	both = MemoryContextAllocZero(context, sizeof(MrInteractions));
	both->n_users = before->n_users;
	both->n_items = before->n_items;
	both->user_start = MemoryContextAllocHuge(context, starts);
	both->items = MemoryContextAllocHuge(context, items);
	for (int32 u = 0; u < both->n_users; u++)
	{
		const int64 *a = before->user_start + u;
		const int64 *b = pairs->user_start + u;

		CHECK_FOR_INTERRUPTS();
		both->user_start[u] = both->n_pairs;
		both->n_pairs += merge_items(before->items + a[0], a[1] - a[0],
									 pairs->items + b[0], b[1] - b[0],
									 both->items + both->n_pairs);
	}
	both->user_start[both->n_users] = both->n_pairs;
	evaluation->in.excluded_more = both;
}
