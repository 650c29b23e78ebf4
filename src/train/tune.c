/*
 * tune.c
 *		A search for hyper-parameters: which trial is trained when, and the choice.
 *
 *	read once, split once
 *	trial 1			the model as it stands, whole: no search can end below it
 *	rung by rung	the others; the best third goes on (model/search.h)
 *	choice			the best value of those that were trained whole; of equals the
 *					lower number, so trial 1 before all
 *	second split	the best trial and trial 1 once more, on other held-out pairs: the best
 *					of many on one split looks better than it is.  If it is not better
 *					there too, trial 1 stays
 *
 * A trial that goes on begins anew, with the learning rate falling over all of its
 * epochs: a few whole short trainings tell more of a long one than the beginning of
 * the long one does (doc/training.md, "Tuning"), and no trainer has to be kept.
 *
 * Time: before a training its duration is estimated by the slowest one so far.  If it
 * would not fit, the rung ends, and the best so far go to the last one.
 */
#include "postgres.h"

#include <math.h>

#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"

#include "train/tune.h"
#include "util/compat.h"

/* ---- values ---- */

/* What a validation is worth in the metric of the search; NaN if there is none. */
double
mr_trial_value(const MrTrialRun *trial, const MrValidation *validation)
{
	const MrMetrics *m = trial->of_tags ? &validation->tags_at10 : &validation->at10;

	if (!validation->done || (trial->of_tags ? validation->posts : validation->users) == 0)
		return NAN;
	switch (trial->metric)
	{
		case MR_METRIC_NDCG:
			return m->ndcg;
		case MR_METRIC_HIT_RATE:
			return m->hit_rate;
		case MR_METRIC_RECALL:
			return m->recall;
		case MR_METRIC_PRECISION:
			return m->precision;
		case MR_METRIC_MAP:
			return m->map;
		case MR_METRIC_MRR:
			return m->mrr;
	}
	pg_unreachable();
}

/* ---- time ---- */

static double
seconds_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_DOUBLE(now);
}

/* Seconds left; infinite without a limit. */
static double
time_left(const MrTune *tune)
{
	return tune->limited ? tune->limit - seconds_since(tune->run->start) : INFINITY;
}

/* With early stopping each epoch is validated, else the last one. */
static bool
validates_each(const MrTrial *trial)
{
	return trial->options.patience > 0;
}

/* Seconds of an epoch of this trial, by the slowest so far. */
static double
estimate_epoch(const MrTune *tune, const MrTrial *trial)
{
	return tune->rate * trial->dimensions + (validates_each(trial) ? tune->validation : 0);
}

/* Seconds of the validation that comes at its end. */
static double
estimate_end(const MrTune *tune, const MrTrial *trial)
{
	return validates_each(trial) ? 0 : tune->validation;
}

/* Seconds of a training. */
static double
estimate(const MrTune *tune, const MrTrial *trial, int32 epochs)
{
	return estimate_epoch(tune, trial) * Min(epochs, trial->own_epochs) + estimate_end(tune, trial);
}

/* ---- one training ---- */

/*
 * Trains and validates.  Returns the value; *epochs those of the points that have it,
 * *seconds the time.
 */
static double
train(MrTune *tune, const MrTrial *trial, int32 epochs, const char *stage, const MrHoldout *holdout,
	  int32 *epochs_used, double *seconds)
{
	MrRun	   *run = tune->run;
	MrTrialRun	before = tune->trial;
	int32		first_step = run->log_step;
	double		validating;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	run->options = trial->options;
	tune->trial.stage = stage;
	tune->trial.epochs = epochs;
	mr_fit_trial(run, holdout);
	*epochs_used = run->epochs;
	*seconds = seconds_since(start);
	validating = tune->trial.validation_seconds - before.validation_seconds;
	tune->rate = Max(tune->rate, (*seconds - validating) / ((double) Max(run->log_step - first_step, 1) * trial->dimensions));
	if (tune->trial.validations > before.validations)
		tune->validation = Max(tune->validation, validating / (tune->trial.validations - before.validations));
	return mr_trial_value(&tune->trial, &run->validation);
}

/* In the procedure, what was written is committed. */
static void
keep(MrTune *tune)
{
	if (tune->run->commits)
		SPI_commit();
}

/* One training of a trial on a rung, and its row. */
static void
train_on_rung(MrTune *tune, MrTrial *trial, int rung, int n_rungs, int32 epochs)
{
	MrRun	   *run = tune->run;
	MrTrialRecord *row = palloc0(sizeof(MrTrialRecord));
	char	   *stage = psprintf("tune %d/%d", trial->number, tune->n_trials);

	if (n_rungs > 1)
		stage = psprintf("%s, rung %d", stage, rung);
	trial->value = train(tune, trial, epochs, stage, &run->holdout, &row->epochs, &row->seconds);
	trial->complete = epochs >= trial->own_epochs;
	trial->row = row;
	row->trial = trial->number;
	row->rung = rung;
	row->options = mr_space_settings(&tune->space, trial);
	row->value = trial->value;
	row->checked = NAN;
	tune->rows = lappend(tune->rows, row);
	EnsurePortalSnapshotExists();
	mr_trial_write(run->model, tune->search, row);
	keep(tune);
}

/* ---- the rungs ---- */

/* Puts the first n of the trials into the order of their values. */
static void
sort_trials(MrTrial **standing, int32 n)
{
	MrTrial   **sorted = palloc(sizeof(MrTrial *) * Max(n, 1));
	double	   *values = palloc(sizeof(double) * Max(n, 1));
	int32	   *order = palloc(sizeof(int32) * Max(n, 1));

	for (int32 i = 0; i < n; i++)
		values[i] = standing[i]->value;
	mr_search_order(values, n, order);
	for (int32 i = 0; i < n; i++)
		sorted[i] = standing[order[i]];
	memcpy(standing, sorted, sizeof(MrTrial *) * n);
	pfree(sorted);
	pfree(values);
	pfree(order);
}

/*
 * Trains the first n trials on a rung, and leaves them in the order of their values.
 * Returns how many of them it came to before the time for others, and for `reserve`
 * seconds after it, was over.
 */
static int32
climb_rung(MrTune *tune, MrTrial **standing, int32 n, int rung, int n_rungs, int32 epochs)
{
	bool		last = rung == n_rungs;
	int32		done = 0;

	for (; done < n; done++)
	{
		MrTrial    *trial = standing[done];
		double		after = last ? 0 : estimate(tune, trial, PG_INT32_MAX); /* so that one can be trained whole */

		CHECK_FOR_INTERRUPTS();
		if (trial->complete || (trial->row && isnan(trial->value)))
			continue;			/* more epochs change nothing, and do not heal */
		if (estimate(tune, trial, epochs) + after > time_left(tune))
			break;
		train_on_rung(tune, trial, rung, n_rungs, epochs);
	}
	sort_trials(standing, done);
	return done;
}

/* All trials but the first. */
static void
climb(MrTune *tune, int32 epochs)
{
	int32		n = tune->n_trials - 1;
	MrTrial   **standing = palloc(sizeof(MrTrial *) * Max(n, 1));
	MrLadder	ladder;

	for (int32 i = 0; i < n; i++)
		standing[i] = &tune->trials[i + 1];
	mr_ladder_make(&ladder, tune->halving, n, epochs);
	for (int r = 0; r < ladder.n_rungs; r++)
	{
		bool		last = r == ladder.n_rungs - 1;
		int32		here = Min(ladder.rungs[r].trials, n);
		int32		done = climb_rung(tune, standing, here, r + 1, ladder.n_rungs,
									  last ? PG_INT32_MAX : ladder.rungs[r].epochs);

		if (done < here && !last)
		{
			/* the time is short: no rung between this one and the last */
			r = ladder.n_rungs - 2;
			if (done > 0)
				n = done;		/* else the order of the rung before */
			else if (standing[0]->row == NULL)
				break;			/* not one was tried */
		}
	}
	pfree(standing);
}

/* The best of those that were trained whole. */
static MrTrial *
best_of(MrTune *tune)
{
	MrTrial    *best = &tune->trials[0];

	for (int32 i = 1; i < tune->n_trials; i++)
	{
		MrTrial    *trial = &tune->trials[i];

		if (trial->complete && !isnan(trial->value) && (isnan(best->value) || trial->value > best->value))
			best = trial;
	}
	return best;
}

/* ---- the second split ---- */

static double
train_again(MrTune *tune, const MrTrial *trial, const MrHoldout *holdout)
{
	char	   *stage = psprintf("tune %d/%d, second split", trial->number, tune->n_trials);
	int32		epochs;
	double		seconds;

	return train(tune, trial, PG_INT32_MAX, stage, holdout, &epochs, &seconds);
}

/*
 * The best trial against trial 1 on held-out pairs that chose nothing: taken of what the
 * first split had left to train on.  The best stays the best if it is better there too.
 */
static void
check_best(MrTune *tune)
{
	MrRun	   *run = tune->run;
	MrTrial    *first = &tune->trials[0];
	MrTrial    *best = tune->best;
	MrHoldout	second;

	if (best == first || estimate(tune, first, PG_INT32_MAX) + estimate(tune, best, PG_INT32_MAX) > time_left(tune))
		return;
	mr_holdout_make(&run->holdout.train, mr_fit_trial_fraction(run), NULL, run->hyper.seed + 1, run->context, &second);
	if (run->data->posts)
		mr_holdout_posts_make(&run->holdout.train_posts, run->context, &second);
	if (second.users == 0)
		return;
	first->checked = train_again(tune, first, &second);
	best->checked = train_again(tune, best, &second);
	if (best->checked > first->checked || (isnan(first->checked) && !isnan(best->checked)))
		return;
	tune->best = first;
	ereport(NOTICE,
			(errmsg("trial %d is better than the model as it stands on the validation split, and not on a second one",
					best->number),
			 errdetail("On the first %s@%d is %.4f against %.4f, on the second %.4f against %.4f.", tune->metric,
					   tune->trial.k, best->value, first->value, best->checked, first->checked),
			 errhint("The difference is noise, or too small to tell: the options stay as they are.")));
}

/* ---- the whole ---- */

/* Trial 1: the recipe, or the options that the model has. */
static void
prepare_first(MrTune *tune)
{
	MrRun	   *run = tune->run;
	MrTrial    *first;

	tune->trials = MemoryContextAllocExtended(run->context, mul_size(sizeof(MrTrial), tune->n_trials),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int32 i = 0; i < tune->n_trials; i++)
		tune->trials[i].value = tune->trials[i].checked = NAN;
	first = &tune->trials[0];
	first->number = 1;
	first->stored = tune->base;
	mr_options_read(tune->base, &first->options);
	first->options.refit = true;
	run->options = first->options;
	(void) mr_fit_recipe(run);	/* errors here are the model's own */
	if (tune->metric == NULL)
		tune->trial.of_tags = run->data->posts && run->hyper.tag_weight >= 0.5;
	if (tune->trial.of_tags && run->data->posts == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("metric \"%s\" needs a model with tags", tune->metric)));
	if (tune->metric == NULL)
		tune->metric = tune->trial.of_tags ? "tag_ndcg" : "ndcg";
}

static void
make_split(MrTune *tune)
{
	MrRun	   *run = tune->run;

	mr_holdout_make(&run->data->positives, mr_fit_trial_fraction(run), NULL, run->hyper.seed, run->context, &run->holdout);
	if (run->data->posts)
		mr_holdout_posts_make(run->data->posts, run->context, &run->holdout);
	if (run->holdout.users == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("model \"%s\" has nothing to validate on", run->model->name),
				 errdetail("One interaction of a user is held out, and no user has two."),
				 errhint("If validation_fraction is set, raise it.")));
	if (run->holdout.users < MR_VALIDATION_MIN_USERS)
		ereport(WARNING,
				(errmsg("the trials are compared on " INT64_FORMAT " users only", run->holdout.users),
				 errdetail("With so few, differences between them are mostly noise.")));
}

static void
begin_search(MrTune *tune)
{
	MrRun	   *run = tune->run;
	MrSearchRecord record;

	record.method = tune->halving ? "halving" : "random";
	record.metric = tune->metric;
	record.k = tune->trial.k;
	record.seed = (int64) tune->seed;
	record.space = mr_space_describe(&tune->space);
	record.trials = tune->n_trials;
	record.users = run->holdout.users;
	EnsurePortalSnapshotExists();
	tune->search = mr_search_begin(run->model, &record);
	run->version = MR_SEARCH_VERSION;
	keep(tune);
}

/*
 * Where neither the space nor the model says which user tower, trial 1 has tried both;
 * from now on the one that was better is taken.  Nothing is stored of it for trial 1.
 */
static void
settle_tower(MrTune *tune)
{
	MrTowerKind tower = tune->run->hyper.tower;

	if (!tune->trials[0].towers)
		return;
	tune->trials[0].own_epochs = tune->run->hyper.epochs;	/* those of this tower */
	for (int32 i = 0; i < tune->n_trials; i++)
	{
		MrTrial    *trial = &tune->trials[i];

		if (!trial->towers)
			continue;
		if (i > 0)
		{
			trial->tower = tower == MR_TOWER_POOLED ? "\"pooled\"" : "\"free\"";
			if (mr_trial_try(tune, trial, NULL) && !trial->towers)
				continue;
			trial->tower = NULL;	/* it does not go with the others */
		}
		trial->towers = false;
		trial->options.hyper.tower = tower;
		trial->options.set |= UINT64CONST(1) << MR_HYPER_TOWER;
	}
}

/* How many trials the time is enough for, two trainings for the check left aside. */
static void
plan(MrTune *tune, int32 epochs)
{
	const MrTrial *first = &tune->trials[0];
	double		epoch = Max(estimate_epoch(tune, first), 1e-12);
	double		left;
	int32		others;

	if (!tune->limited)
		return;
	left = time_left(tune) - 2 * estimate(tune, first, PG_INT32_MAX);
	others = mr_ladder_trials_within(tune->halving, tune->n_trials - 1, epochs, estimate_end(tune, first) / epoch,
									 left / epoch);
	tune->n_trials = 1 + others;
}

/*
 * Runs the search: on return the trials, their rows and the best are in `tune` and in the
 * catalogue.  run->data is read; SPI is connected.
 */
void
mr_tune_run(MrTune *tune)
{
	MrRun	   *run = tune->run;
	MemoryContext before = MemoryContextSwitchTo(run->context);
	MrTrial    *first;
	int32		epochs;
	Size		second_split = mr_holdout_bytes(&run->data->positives);

	run->trial = &tune->trial;
	tune->trial.epochs = PG_INT32_MAX;
	if (run->data->posts)
		second_split = add_size(second_split, mr_holdout_posts_bytes(run->data->posts));
	EnsurePortalSnapshotExists();	/* none after a commit; reading rows wants one */
	prepare_first(tune);
	tune->space.found = mr_search_found(run->model);
	mr_space_add_default(&tune->space, run);
	tune->trial.share_beginning = true;
	for (int i = 0; i < tune->space.n_axes; i++)
		if (strncmp(tune->space.axes[i].name, "als_", 4) == 0)
			tune->trial.share_beginning = false;
	mr_trials_draw(tune, second_split);
	first = &tune->trials[0];
	make_split(tune);
	begin_search(tune);
	train_on_rung(tune, first, 1, 1, PG_INT32_MAX);
	epochs = first->own_epochs;
	settle_tower(tune);
	epochs = Max(epochs, first->own_epochs);	/* the towers may differ */
	plan(tune, epochs);
	climb(tune, epochs);
	tune->best = best_of(tune);
	check_best(tune);
	MemoryContextSwitchTo(before);
}

/*
 * The options of the best trial without those that the recipe would choose anyway; NULL:
 * the model's own are the best.
 */
Jsonb *
mr_tune_best_options(MrTune *tune)
{
	MemoryContext before = MemoryContextSwitchTo(tune->run->context);
	MrTrial    *best = tune->best;
	char	   *recipe;

	if (best == &tune->trials[0])
	{
		MemoryContextSwitchTo(before);
		return NULL;
	}
	(void) mr_trial_try(tune, best, NULL);
	recipe = mr_trial_recipe(tune, best);
	for (int i = 0; i < tune->space.n_axes; i++)
	{
		MrTrial		less = *best;

		if (less.values[i] == NULL)
			continue;
		less.values[i] = NULL;
		if (mr_trial_try(tune, &less, NULL) && strcmp(mr_trial_recipe(tune, &less), recipe) == 0)
			*best = less;
	}
	MemoryContextSwitchTo(before);
	return best->stored;
}
