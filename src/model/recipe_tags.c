/*
 * recipe_tags.c
 *		The default recipe of a model with tags: what it chooses otherwise than the
 *		one without.
 *
 * The constants were chosen on held-out posts of the training part of Last.fm's
 * taggings; doc/training.md has the figures.
 */
#include "model/trainer.h"

/* More epochs than this overfit the tags. */
#define MOST_EPOCHS 20

static inline bool
is_set(uint64_t set, MrHyperField field)
{
	return set >> field & 1;
}

/*
 * Choose every hyper-parameter that the user did not give; posts NULL: a model
 * without tags.  Otherwise as mr_recipe_fill().
 */
void
mr_recipe_fill_tags(MrHyper *hyper, uint64_t set, const MrInteractions *x, const MrPosts *posts)
{
	uint64_t	given = set;

	if (posts == NULL)
	{
		mr_recipe_fill(hyper, set, x);
		hyper->tag_weight = hyper->tag_temperature = 0;
		return;
	}

	/* how a user tags is not to be seen from what they tag: the pool of their items knows nothing of it */
	if (!is_set(given, MR_HYPER_TOWER))
	{
		hyper->tower = MR_TOWER_FREE;
		set |= UINT64_C(1) << MR_HYPER_TOWER;
	}
	/* nor were a start from ALS and weights of recency tried with tags */
	if (!is_set(given, MR_HYPER_START))
	{
		hyper->start = MR_START_RANDOM;
		set |= UINT64_C(1) << MR_HYPER_START;
	}
	if (!is_set(given, MR_HYPER_RECENCY))
	{
		hyper->recency = 0;
		set |= UINT64_C(1) << MR_HYPER_RECENCY;
	}
	mr_recipe_fill(hyper, set, x);
	if (hyper->loss == MR_LOSS_SOFTMAX && hyper->preset == MR_PRESET_NONE)
	{
		/* the midpoint of two points in the ball lies nearer to the centre than either */
		if (!is_set(given, MR_HYPER_CONSTRAINT))
			hyper->constraint = MR_CONSTRAINT_SPHERE;
		if (!is_set(given, MR_HYPER_LEARNING_RATE))
			hyper->learning_rate = 0.05;
		if (!is_set(given, MR_HYPER_EPOCHS) && hyper->epochs > MOST_EPOCHS)
			hyper->epochs = MOST_EPOCHS;
	}
	if (!is_set(given, MR_HYPER_TAG_WEIGHT))
		hyper->tag_weight = 0.1;
	if (!is_set(given, MR_HYPER_TAG_TEMPERATURE))
		hyper->tag_temperature = 0.15;
}
