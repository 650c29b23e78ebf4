/*
 * early.c
 *		When a training stops early, which towers are tried, and how the best one is
 *		trained on everything.
 *
 * Early stopping: the default recipe looks at the validation split after each epoch, and
 * stops when PATIENCE of them in a row were not better than the best.  The points of the
 * best epoch are kept, and training on everything goes through as many epochs, on
 * the same schedule of the learning rate.  Papers' presets run as published; tags, warm
 * starts and the trials of a search have schedules of their own.
 *
 * Training on everything, the refit, need not begin anew: when the split holds out
 * next to nothing, the validated points are where it would come to.  A free user's
 * point must still move to what was held out, so all epochs are gone through from there,
 * and ALS is what is saved; pooled users move by themselves, and the second half of the
 * schedule settles the items.  Both are as good as beginning anew (doc/training.md).
 * Networks of features cannot be set, so with features it begins anew.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "train/early.h"
#include "train/warm.h"

/* Epochs without a better validation. */
#define PATIENCE 5

/*
 * With fewer held-out positives no training is stopped early by default: the difference of
 * two epochs has a standard error of 3 per cent with 500 of them (of .9 with 6,000).
 */
#define EARLY_MIN_USERS 500

/*
 * The free tower is tried where users have at least this many items, where times are
 * known, or where it costs next to nothing: users times items.
 */
#define FREE_HISTORY 40
#define FREE_IS_CHEAP 1e8

/*
 * How good the free tower must be, the pooled one being 1.  Half of the standard error
 * better, because the pooled one answers to new interactions and new users without
 * training.  On dense data ndcg at 100 cannot tell the two apart, while the order farther
 * down, where the free tower is better by far, says so beyond doubt (doc/training.md); so
 * there it is only given up when it is worse.
 */
#define FREE_ADVANTAGE 1.005
#define FREE_ADVANTAGE_DENSE 0.99
#define DENSE_HISTORY 100

/* Held-out share of the interactions up to which the refit goes on from the validated points. */
#define CONTINUE_SHARE 0.05

/* A candidate that is so far behind the other one after half of its epochs is given up. */
#define HOPELESS 0.8

/* Users of whom a positive may be held out. */
static int32
count_possible(const MrInteractions *x)
{
	int32		n = 0;

	for (int32 u = 0; u < x->n_users; u++)
	{
		if ((u & 0xfffff) == 0)
			CHECK_FOR_INTERRUPTS();
		n += x->user_start[u + 1] - x->user_start[u] > 1;
	}
	return n;
}

/* What the option patience comes to; 0: all epochs are run. */
int32
mr_early_patience(const MrRun *run)
{
	const MrOptions *options = &run->options;
	double		users;

	if (options->patience >= 0)
		return options->patience;
	if (run->trial || run->warm || run->data->posts || run->hyper.algorithm != MR_ALGORITHM_METRIC ||
		run->hyper.loss != MR_LOSS_SOFTMAX || run->hyper.preset != MR_PRESET_NONE || options->validation_fraction == 0)
		return 0;
	users = count_possible(&run->data->positives);
	if (options->validation_fraction > 0)
		users *= options->validation_fraction;
	return users < EARLY_MIN_USERS ? 0 : PATIENCE;
}

/* Is the free tower worth a try?  Few items tell too little of a user to learn a point from. */
bool
mr_early_tries_free(const MrInteractions *x)
{
	return x->times != NULL || x->n_pairs >= FREE_HISTORY * (int64) x->n_users ||
		(double) x->n_users * x->n_items < FREE_IS_CHEAP;
}

/* What the validation of the free tower is divided by before it is compared with the pooled one's. */
double
mr_early_asked_of_free(const MrInteractions *x)
{
	return x->n_pairs >= DENSE_HISTORY * (int64_t) x->n_users ? FREE_ADVANTAGE_DENSE : FREE_ADVANTAGE;
}

/* Can a candidate with this value after `epoch` of `epochs` still win against the rival's? */
bool
mr_early_is_hopeless(double value, double rival, int32 epoch, int32 epochs)
{
	return epoch * 2 >= epochs && value < HOPELESS * rival;
}

/* Does the refit go on from the validated points? */
bool
mr_early_continues(const MrRun *run)
{
	const MrInteractions *x = &run->data->positives;

	return run->hyper.algorithm == MR_ALGORITHM_METRIC && run->hyper.loss == MR_LOSS_SOFTMAX && !mr_warm_is_direct(run) &&
		!run->data->posts && x->user_features == NULL && x->item_features == NULL &&
		run->holdout.held_out.n_pairs <= CONTINUE_SHARE * x->n_pairs;
}

/*
 * The refit that goes on from points of `last` epochs: hyper and last become its own.
 * A pooled tower takes the second half of the schedule.
 */
void
mr_early_shorten(MrHyper *hyper, int32 *last)
{
	int32		tail = (hyper->epochs + 1) / 2;

	if (hyper->tower != MR_TOWER_POOLED)
		return;
	if (hyper->learning_rate_decay)
		hyper->learning_rate *= (double) tail / hyper->epochs;
	hyper->epochs = tail;
	*last = Min(*last, tail);
}
