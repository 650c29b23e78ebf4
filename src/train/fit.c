/*
 * fit.c
 *		From interactions to points: the recipe, the choice between the user
 *		towers by a validation split, the epochs.
 *
 *	few users, or a preset				train on everything
 *	tower not given (without tags: with them it is free), or patience > 0, which is
 *	the default (early.c)				hold one positive per user out;
 *										train each candidate without those, rank them
 *										after each epoch, keep the best epoch's points;
 *										the better by ndcg@100 (early.c: by how much) is
 *										trained on everything, or on to it
 *										(refit => false: its points are the version)
 *	features							one training more without them on the split,
 *										for the comparison in the version's metrics
 */
#include "postgres.h"

#include <math.h>

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "model/embedder.h"
#include "train/begin.h"
#include "train/early.h"
#include "train/fit_internal.h"
#include "train/training.h"
#include "train/warm.h"
#include "util/compat.h"

/*
 * Candidates and epochs are judged by ndcg at 100.  With 6,000 users the difference of
 * two candidates has a standard error of 2.3 per cent at 10 and of 0.9 at 100
 * (MovieLens-1M, the same users).
 */
#define JUDGED_K 100

typedef struct Points
{
	float	   *users;
	float	   *items;
	float	   *tags;			/* NULL without tags */
} Points;

/* ---- memory ---- */

static void *
allocate(MrRun *run, Size bytes)
{
	return MemoryContextAllocHuge(run->context, Max(bytes, 1));
}

static void
allocate_points(MrRun *run, const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts, Points *points)
{
	points->users = allocate(run, mul_size(mul_size(sizeof(float), hyper->dimensions), x->n_users));
	points->items = allocate(run, mul_size(mul_size(sizeof(float), hyper->dimensions), x->n_items));
	points->tags = !posts ? NULL : allocate(run, mul_size(mul_size(sizeof(float), hyper->dimensions), posts->n_tags));
}

static void
free_points(Points *points)
{
	pfree(points->users);
	pfree(points->items);
	if (points->tags)
		pfree(points->tags);
	points->users = points->items = points->tags = NULL;
}

/* ---- validation ---- */

static double
seconds_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_DOUBLE(now);
}

static void
validate(MrRun *run, MrTraining *training, const MrTower *tower, const MrHoldout *holdout, const Points *points,
		 MrValidation *validation)
{
	MrRankInput in = mr_fit_rank_input(training->data.hyper, holdout);
	MrRankOutput out = {0};
	MrMetricsInput counts = {0};
	MrMetrics	judged;
	void	   *scratch;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	out.ranks = allocate(run, mul_size(sizeof(int32), Max(holdout->held_out.n_pairs, 1)));
	mr_training_rank(training, points->users, points->items, out.ranks);
	scratch = allocate(run, mr_metrics_bytes(&in));
	mr_metrics(&in, &out, &counts, JUDGED_K, scratch, &judged);
	validation->judged_ndcg = judged.ndcg;
	mr_metrics(&in, &out, &counts, mr_run_judged_k(run), scratch, &validation->at10);
	validation->done = true;
	validation->users = holdout->users;
	if (points->tags)
		mr_validate_tags(run, tower, &holdout->held_posts, points->users, points->items, points->tags, validation);
	pfree(scratch);
	pfree(out.ranks);
	if (run->trial)
	{
		run->trial->validations++;
		run->trial->validation_seconds += seconds_since(start);
	}
}

/* Are the tags what the training is for?  They have at least half of the loss then. */
static bool
tags_matter(const MrHyper *hyper, const MrValidation *validation)
{
	return validation->posts > 0 && hyper->tag_weight >= 0.5;
}

/* The number that is shown: ndcg at 10.  A search has a metric of its own. */
static double
score(const MrRun *run, const MrHyper *hyper, const MrValidation *validation)
{
	if (run->trial)
		return mr_trial_value(run->trial, validation);
	return tags_matter(hyper, validation) ? validation->tags_at10.ndcg : validation->at10.ndcg;
}

/* The number that decides between candidates and between epochs. */
static double
judge(const MrRun *run, const MrHyper *hyper, const MrValidation *validation)
{
	if (run->trial)
		return mr_trial_value(run->trial, validation);
	return tags_matter(hyper, validation) ? validation->tags_at10.ndcg : validation->judged_ndcg;
}

/* ---- one training ---- */

typedef struct Fit
{
	const char *stage;
	MrHyper		hyper;
	const MrInteractions *x;
	const MrPosts *posts;		/* NULL = no tags */
	const MrHoldout *holdout;	/* NULL = no validation */
	bool		each_epoch;		/* validate after every epoch, keep the best one's points */
	bool		is_final;		/* its points are the version's */
	Points		points;
	MrTower		tower;
	MrSideOutput output[2];		/* by MrSide, if it is final */
	int32		last;			/* the schedule is for hyper.epochs, but it ends after so many */
	double		rival;			/* the validation of the best candidate before, 0: none */
	int32		epochs;			/* run, or up to the best one */
	double		loss;
	MrValidation validation;
	double		value;			/* of the last validation, judged */
	bool		diverged;		/* a trial only: in a training it is an error */
} Fit;

/* Rows that have features and no interactions. */
static int64
new_rows(const Fit *fit, MrSide side)
{
	const MrFeatures *features = side == MR_SIDE_USER ? fit->x->user_features : fit->x->item_features;
	int32		n = side == MR_SIDE_USER ? fit->x->n_users : fit->x->n_items;

	return features ? features->n_rows - n : 0;
}

/* Keeps what the towers make of new rows, and the towers themselves. */
static void
keep_towers(MrRun *run, Fit *fit, MrTrainer *trainer)
{
	for (int side = 0; side < 2; side++)
	{
		MrSideOutput *output = &fit->output[side];
		MrTowerSide of = side == MR_SIDE_USER ? MR_TOWER_OF_USERS : MR_TOWER_OF_ITEMS;

		output->bytes = mr_embedder_bytes(trainer, of);
		if (output->bytes == 0)
			continue;
		if (output->bytes > MaxAllocSize / 2)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("the %s tower of model \"%s\" is too large to be stored", mr_side_name(side), run->model->name),
					 errdetail("It has %zu bytes; the limit is %zu.", output->bytes, (Size) MaxAllocSize / 2),
					 errhint("Lower max_vocabulary, dimensions or hidden_layers.")));
		if (output->tower == NULL)
		{
			output->tower = allocate(run, output->bytes);
			output->points = allocate(run, mul_size(mul_size(sizeof(float), fit->hyper.dimensions),
													new_rows(fit, side)));
		}
		mr_run_check_status(run, mr_embedder_write(trainer, of, output->tower, mr_run_poll, run));
	}
	mr_run_check_status(run, mr_trainer_export_new(trainer, mr_run_poll, run, fit->output[MR_SIDE_USER].points,
												   fit->output[MR_SIDE_ITEM].points));
}

/* A trial of a search may diverge: true then.  Whatever else is wrong is an error. */
static bool
has_diverged(MrRun *run, Fit *fit, MrStatus status)
{
	if (status == MR_DIVERGED && run->trial)
		return fit->diverged = true;
	mr_run_check_status(run, status);
	return false;
}

/* False if a trial has diverged. */
static bool
export_points(MrRun *run, Fit *fit, MrTrainer *trainer, Points *points)
{
	if (has_diverged(run, fit, mr_trainer_export(trainer, mr_run_poll, run, points->users, points->items)))
		return false;
	if (points->tags &&
		has_diverged(run, fit, mr_trainer_export_tags(trainer, mr_run_poll, run, points->tags)))
		return false;
	mr_trainer_describe(trainer, &fit->tower);
	return true;
}

/* Validates after an epoch; true if it is the best so far, whose points are kept. */
static bool
validate_epoch(MrRun *run, Fit *fit, MrTraining *training, Points *scratch, MrEpochRecord *record)
{
	MrValidation now = {0};
	MrTower		best_tower = fit->tower;

	if (!export_points(run, fit, training->trainer, scratch))
		return false;
	validate(run, training, &fit->tower, fit->holdout, scratch, &now);
	record->has_ndcg = true;
	record->ndcg = score(run, &fit->hyper, &now);
	fit->value = judge(run, &fit->hyper, &now);
	if (fit->validation.done && !(fit->value > judge(run, &fit->hyper, &fit->validation)))
	{
		fit->tower = best_tower;	/* it goes with the points that are kept */
		return false;
	}
	if (fit->is_final)
		keep_towers(run, fit, training->trainer);
	fit->validation = now;
	fit->epochs = record->epoch;
	fit->loss = record->loss;
	{
		Points		swap = fit->points;

		fit->points = *scratch;
		*scratch = swap;
	}
	return true;
}

/* One epoch: train, perhaps validate, log.  True if it was the best one. */
static bool
run_epoch(MrRun *run, Fit *fit, MrTraining *training, int32 epoch, Points *scratch)
{
	MrEpochRecord record = {0};
	MrEpochResult result;
	instr_time	start;
	bool		last = epoch == fit->last;
	bool		best = true;

	INSTR_TIME_SET_CURRENT(start);
	if (has_diverged(run, fit, mr_training_epoch(training, &result)))
		return false;
	record.stage = fit->stage;
	record.epoch = epoch;
	record.loss = fit->loss = result.loss;
	record.learning_rate = result.learning_rate;
	record.positives = result.positives;
	record.negatives = result.negatives;
	if (fit->holdout && (fit->each_epoch || last))
		best = validate_epoch(run, fit, training, scratch, &record);
	record.seconds = seconds_since(start);
	mr_run_log_epoch(run, &record);
	return best;
}

/*
 * Trains fit->hyper on fit->x; leaves points, tower, epochs, loss and, with a
 * holdout, the validation in fit.
 */
static void
run_fit(MrRun *run, Fit *fit, MrBeginning *beginning)
{
	MrInteractions weighted = *fit->x;
	Points		scratch = {NULL, NULL, NULL};
	MrTrainingData data = {0};
	MrTraining *training;
	int32		since_best = 0;

	allocate_points(run, &fit->hyper, fit->x, fit->posts, &fit->points);
	if (fit->holdout)
		allocate_points(run, &fit->hyper, fit->x, fit->posts, &scratch);
	mr_begin_weights(run, &fit->hyper, &weighted);
	data.hyper = &fit->hyper;
	data.x = &weighted;
	data.posts = fit->posts;
	data.held_out = fit->holdout ? &fit->holdout->held_out : NULL;
	if (!mr_warm_is_direct(run))
		mr_begin_make(run, &fit->hyper, fit->x, beginning);
	training = mr_training_begin(run, &data);
	if (mr_warm_is_direct(run))
		mr_warm_begin(run, &weighted, training->trainer);
	else
		mr_begin_points(run, &fit->hyper, fit->x, beginning, training->trainer);

	if (fit->last == 0)
		fit->last = fit->hyper.epochs;
	for (int32 epoch = 1; epoch <= fit->last; epoch++)
	{
		since_best = run_epoch(run, fit, training, epoch, &scratch) ? 0 : since_best + 1;
		if (fit->diverged)
			break;
		if (fit->each_epoch && (since_best >= run->options.patience ||
								mr_early_is_hopeless(fit->value, fit->rival, epoch, fit->last)))
			break;
	}
	if (!fit->holdout)
	{
		fit->epochs = fit->last;
		(void) export_points(run, fit, training->trainer, &fit->points);
		keep_towers(run, fit, training->trainer);
	}
	if (fit->holdout)
		free_points(&scratch);
	mr_training_end(training);
	if (weighted.weights != fit->x->weights)
		pfree(weighted.weights);
}

/* ---- the choice ---- */

/* A candidate that is not taken. */
static void
free_fit(Fit *fit)
{
	free_points(&fit->points);
	for (int side = 0; side < lengthof(fit->output); side++)
		if (fit->output[side].tower)
		{
			pfree(fit->output[side].tower);
			pfree(fit->output[side].points);
		}
}

/* What the validation says of a candidate; the free tower must win by what early.c asks of it. */
static double
value_of(const MrRun *run, const Fit *fit)
{
	return judge(run, &fit->hyper, &fit->validation) / (fit->hyper.tower == MR_TOWER_FREE ? mr_early_asked_of_free(&run->data->positives) : 1);
}

/* Is the candidate worth more than what is best so far? */
static bool
is_better(const MrRun *run, const Fit *candidate, const Fit *best)
{
	return best->points.items == NULL || !best->validation.done || value_of(run, candidate) >= value_of(run, best);
}

/*
 * Trains the candidates on the split; the better by ndcg@100 stays in *best.  The free
 * tower is the first, as it takes fewer epochs.
 */
static void
choose_by_validation(MrRun *run, const MrHoldout *holdout, bool towers, MrBeginning *beginning, Fit *best)
{
	static const MrTowerKind candidates[] = {MR_TOWER_FREE, MR_TOWER_POOLED};
	static const char *const stages[] = {"validate free", "validate pooled"};

	for (int i = 0; i < lengthof(candidates); i++)
	{
		Fit			fit = {0};

		if (!towers && candidates[i] != run->hyper.tower)
			continue;
		fit.stage = run->trial ? run->trial->stage : stages[i];
		fit.hyper = mr_fit_recipe_with_tower(run, candidates[i]);
		fit.last = Min(run->stop_epoch, fit.hyper.epochs);
		fit.x = &holdout->train;
		fit.posts = run->data->posts ? &holdout->train_posts : NULL;
		fit.holdout = holdout;
		fit.each_epoch = run->options.patience > 0;
		fit.is_final = !run->options.refit;
		fit.rival = best->validation.done ? judge(run, &best->hyper, &best->validation) : 0;
		run_fit(run, &fit, beginning);
		if (is_better(run, &fit, best))
		{
			if (best->points.items)
				free_fit(best);
			*best = fit;
		}
		else
			free_fit(&fit);
	}
}

/*
 * Features that hurt are a known disease: the best candidate once more without
 * them, on the same split, so that the version's metrics say what they are worth.
 */
static void
validate_plain(MrRun *run, const MrHoldout *holdout, const Fit *best)
{
	MrInteractions plain = holdout->train;
	MrBeginning beginning = {0};
	Fit			fit = {0};

	if (run->warm)
		return;					/* what is without them has nothing to start from */
	if ((plain.user_features == NULL || best->hyper.user_combination == MR_COMBINE_ID) &&
		(plain.item_features == NULL || best->hyper.item_combination == MR_COMBINE_ID))
		return;
	plain.user_features = plain.item_features = NULL;
	fit.stage = "validate without features";
	fit.hyper = best->hyper;
	fit.hyper.item_combination = fit.hyper.user_combination = MR_COMBINE_ID;
	fit.x = &plain;
	fit.posts = run->data->posts ? &holdout->train_posts : NULL;
	fit.holdout = holdout;
	fit.each_epoch = best->each_epoch;
	run_fit(run, &fit, &beginning);
	mr_begin_free(&beginning);
	run->plain = fit.validation;
	free_points(&fit.points);
}

static void
take_fit(MrRun *run, const Fit *fit)
{
	run->hyper = fit->hyper;
	run->tower = fit->tower;
	memcpy(run->output, fit->output, sizeof(run->output));
	run->users = fit->points.users;
	run->items = fit->points.items;
	run->tags = fit->points.tags;
	run->epochs = fit->epochs;
	run->loss = fit->loss;
}

/*
 * Trains on everything, as long as the best candidate was; without one, all epochs.  The
 * recipe that the version tells is the candidate's, with the whole schedule.
 */
static void
refit(MrRun *run, MrBeginning *beginning, Fit *best)
{
	MrHyper		recipe = run->hyper;
	Fit			final = {0};

	final.stage = "train";
	final.is_final = true;
	final.hyper = recipe;
	final.last = best->epochs;
	if (final.last == 0 && run->warm && run->warm->through_als)
		final.last = Min(run->warm->stop, recipe.epochs);
	final.x = &run->data->positives;
	final.posts = run->data->posts;
	if (best->points.items && mr_early_continues(run))
	{
		if (recipe.start_share > 0 && mr_begin_pass(beginning, final.x, &recipe))
			free_points(&best->points);
		else
			mr_begin_at(beginning, final.x, &recipe, best->points.users, best->points.items);
		mr_early_shorten(&final.hyper, &final.last);
	}
	else if (best->points.items)
		free_points(&best->points);
	run_fit(run, &final, beginning);
	take_fit(run, &final);
	run->hyper = recipe;
	if (best->epochs > 0)
		run->epochs = best->epochs;
}

/* See train.h: fills everything of the run from hyper to validation. */
void
mr_run_fit(MrRun *run)
{
	MemoryContext before = MemoryContextSwitchTo(run->context);
	const MrInteractions *x = &run->data->positives;
	MrBeginning beginning = {0};
	Fit			best = {0};
	bool		towers = mr_fit_recipe(run);
	double		fraction;

	run->options.patience = mr_early_patience(run);
	fraction = mr_fit_fraction(run, towers);
	mr_fit_check_memory(run, towers, fraction > 0, 0);

	if (fraction > 0)
	{
		mr_holdout_make(x, fraction, run->warm ? run->warm->grown : NULL, run->hyper.seed, run->context, &run->holdout);
		if (run->data->posts)
			mr_holdout_posts_make(run->data->posts, run->context, &run->holdout);
		run->options.validation_fraction = fraction;
		if (towers && run->holdout.users < MR_VALIDATION_MIN_USERS)
			towers = false;
		if (run->holdout.users > 0)
		{
			choose_by_validation(run, &run->holdout, towers, &beginning, &best);
			take_fit(run, &best);
			run->validation = best.validation;
			validate_plain(run, &run->holdout, &best);
		}
	}
	else
		run->options.validation_fraction = 0;

	if (run->users == NULL || run->options.refit)
		refit(run, &beginning, &best);
	mr_begin_free(&beginning);
	MemoryContextSwitchTo(before);
}

/* ---- trials of a search ---- */

/*
 * Trains run->options on the split, for at most run->trial->epochs epochs, and
 * validates.  Leaves hyper, epochs, loss and validation in the run, and no points; of a
 * trial that diverged validation.done is false.
 */
void
mr_fit_trial(MrRun *run, const MrHoldout *holdout)
{
	MemoryContext before = MemoryContextSwitchTo(run->context);
	bool		towers = mr_fit_recipe(run) && holdout->users >= MR_VALIDATION_MIN_USERS;
	MrBeginning *shared = run->trial->share_beginning ? &run->trial->beginnings[run->hyper.item_bias] : NULL;
	MrBeginning own = {0};
	Fit			best = {0};

	choose_by_validation(run, holdout, towers, shared ? shared : &own, &best);
	mr_begin_free(&own);
	run->hyper = best.hyper;
	run->epochs = best.epochs;
	run->loss = best.loss;
	run->validation = best.validation;
	free_fit(&best);
	MemoryContextSwitchTo(before);
}
