/*
 * fit_recipe.c
 *		What fit.c trains: the hyper-parameters of a run and of its candidates, and the
 *		share of the users to validate on.
 */
#include "postgres.h"

#include "train/begin.h"
#include "train/early.h"
#include "train/fit_internal.h"
#include "train/warm.h"

/* Users of the default validation split: the standard error of ndcg is then about 0.004. */
#define VALIDATION_USERS 10000.0

/*
 * What becomes of a recipe in this run: a trial of a search may be trained for fewer
 * epochs than its own; a warm start is not held back at the version's points.
 */
static void
adapt(const MrRun *run, MrHyper *hyper)
{
	if (run->trial)
		hyper->epochs = Min(hyper->epochs, run->trial->epochs);
	if (mr_warm_is_direct(run))
		hyper->start_share = 0;
}

/* The recipe with this user tower. */
MrHyper
mr_fit_recipe_with_tower(const MrRun *run, MrTowerKind tower)
{
	MrHyper		hyper = run->options.hyper;

	hyper.tower = tower;
	mr_recipe_fill_tags(&hyper, run->options.set | (UINT64CONST(1) << MR_HYPER_TOWER), &run->data->positives,
						run->data->posts);
	adapt(run, &hyper);
	return hyper;
}

/* Checked when they were set; a catalogue of another release may hold others. */
static void
check_conflict(const MrRun *run)
{
	const char *conflict = mr_recipe_conflict(&run->hyper);

	if (run->data->posts && run->data->positives.user_features && run->hyper.tower == MR_TOWER_POOLED &&
		run->hyper.user_combination != MR_COMBINE_ID)
		conflict = "tags and user_features need user_tower \"free\": a tag's query knows a pooled user by the items alone";

	if (conflict)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("hyper-parameters of model \"%s\" contradict each other", run->model->name),
				 errdetail_internal("%s", conflict),
				 errhint("Change them with metricrec.alter_model().")));
}

/*
 * Fills run->hyper for run->options; true if both user towers are to be tried.  Error if
 * the options contradict each other.
 */
bool
mr_fit_recipe(MrRun *run)
{
	mr_begin_check(run);
	run->hyper = run->options.hyper;
	mr_recipe_fill_tags(&run->hyper, run->options.set, &run->data->positives, run->data->posts);
	check_conflict(run);
	adapt(run, &run->hyper);
	return run->hyper.algorithm == MR_ALGORITHM_METRIC && run->hyper.loss == MR_LOSS_SOFTMAX &&
		!mr_option_is_set(&run->options, MR_HYPER_TOWER) && run->options.validation_fraction != 0 &&
		run->data->posts == NULL && mr_early_tries_free(&run->data->positives);
}

/* The share of users to validate on; 0 = there is nothing to validate. */
double
mr_fit_fraction(const MrRun *run, bool towers)
{
	int32		users = run->warm ? mr_warm_validated_users(run) : run->data->positives.n_users;

	if (run->warm && users < MR_VALIDATION_MIN_USERS)
		return 0;
	if (run->options.validation_fraction >= 0)
		return run->options.validation_fraction;
	if (!towers && run->options.patience == 0)
		return 0;
	return Min(1.0, VALIDATION_USERS / users);
}

/* The share of users that a search validates on. */
double
mr_fit_trial_fraction(const MrRun *run)
{
	return run->options.validation_fraction > 0 ? run->options.validation_fraction :
		Min(1.0, VALIDATION_USERS / run->data->positives.n_users);
}
