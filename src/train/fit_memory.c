/*
 * fit_memory.c
 *		What a fit needs of memory, computed from counts and checked before it begins.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "train/begin.h"
#include "train/fit_internal.h"

static Size
points_bytes(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts)
{
	return mul_size(mul_size(sizeof(float), hyper->dimensions),
					(Size) x->n_users + x->n_items + (posts ? posts->n_tags : 0));
}

/* The ranking's input for a validation: structure only, no points yet. */
MrRankInput
mr_fit_rank_input(const MrHyper *hyper, const MrHoldout *holdout)
{
	MrRankInput in = {0};

	in.dimensions = hyper->dimensions;
	in.held_out = &holdout->held_out;
	in.excluded = &holdout->train;
	return in;
}

/*
 * The whole run's peak: the data, one trainer, its points, and for a validation
 * the best points so far, those of the last epoch, the split and the ranking; and
 * `more` bytes.
 */
void
mr_fit_check_memory(MrRun *run, bool towers, bool validate, Size more)
{
	const MrHyper *hyper = &run->hyper;
	const MrInteractions *x = &run->data->positives;
	Size		needed = add_size(MemoryContextMemAllocated(run->context, true), more);
	const MrPosts *posts = run->data->posts;
	Size		trainer = add_size(mr_trainer_bytes(hyper, x, posts), mr_begin_bytes(run, hyper, x));

	if (towers)
	{
		MrHyper		other = mr_fit_recipe_with_tower(run, MR_TOWER_FREE);

		trainer = Max(trainer, add_size(mr_trainer_bytes(&other, x, posts), mr_begin_bytes(run, &other, x)));
	}
	needed = add_size(needed, trainer);
	needed = add_size(needed, mul_size(validate ? 3 : 1, points_bytes(hyper, x, posts)));
	if (run->trial)
		needed = add_size(needed, mul_size(lengthof(run->trial->beginnings), points_bytes(hyper, x, NULL)));
	if (x->user_features)
		needed = add_size(needed, mul_size(mul_size(sizeof(float), hyper->dimensions), x->user_features->n_rows - x->n_users));
	if (x->item_features)
		needed = add_size(needed, mul_size(mul_size(sizeof(float), hyper->dimensions), x->item_features->n_rows - x->n_items));
	if (validate)
	{
		MrHoldout	shape = {*x, *x, x->n_users};
		MrRankInput in;

		shape.held_out.n_pairs = x->n_users;
		in = mr_fit_rank_input(hyper, &shape);
		needed = add_size(needed, mr_holdout_bytes(x));
		needed = add_size(needed, mr_rank_bytes(&in));
		needed = add_size(needed, mul_size(sizeof(int32), x->n_users));
		if (posts)
			needed = add_size(needed, add_size(mr_holdout_posts_bytes(posts),
											   mr_validate_tags_bytes(hyper, posts, Min(x->n_users, posts->n_posts))));
	}
	run->memory_needed = needed;
	mr_check_training_memory(needed, "the training");
}
