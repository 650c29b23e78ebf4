/*
 * tune_sql.c
 *		metricrec.tune and metricrec.retune.
 *
 * tune() is a function, one transaction, and returns the trials.  retune() is a
 * procedure that commits after reading, after every epoch and after every trial: a long
 * search holds no snapshot, its trials are seen while it runs, and stay if it is
 * cancelled.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "train/tune.h"
#include "util/compat.h"

PG_FUNCTION_INFO_V1(mr_tune);
PG_FUNCTION_INFO_V1(mr_retune);

/* Without a number and without a limit of time; with a limit only: as many as it allows, at most the second. */
#define DEFAULT_TRIALS 30
#define MOST_TRIALS_BY_TIME 300

#define MOST_TRIALS 10000
#define MOST_K 10000

/* Arguments of both. */
enum
{
	ARG_NAME, ARG_TRIALS, ARG_TIME_LIMIT, ARG_METRIC, ARG_K, ARG_SPACE, ARG_APPLY, ARG_SEED, ARG_METHOD
};

/* In the order of MrMetricKind. */
static const char *const metric_words[] = {"ndcg", "hit_rate", "recall", "precision", "map", "mrr"};

/* ---- arguments ---- */

static void
required(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", argument)));
}

static int32
count_argument(FunctionCallInfo fcinfo, int n, const char *argument, int32 most)
{
	int32		value = PG_GETARG_INT32(n);

	if (value < 1 || value > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value %d is out of range for \"%s\"", value, argument),
				 errdetail("Valid values are from 1 to %d.", most)));
	return value;
}

static void
read_metric(MrTune *tune, const char *metric)
{
	const char *word = metric;

	tune->metric = metric;
	tune->trial.of_tags = strncmp(metric, "tag_", 4) == 0;
	if (tune->trial.of_tags)
		word += 4;
	for (int i = 0; i < lengthof(metric_words); i++)
		if (strcmp(word, metric_words[i]) == 0)
		{
			tune->trial.metric = (MrMetricKind) i;
			return;
		}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"", "metric", metric),
			 errhint("Valid values are \"ndcg\", \"hit_rate\", \"recall\", \"precision\", \"map\", \"mrr\", and with tags the same after \"tag_\".")));
}

static void
read_method(MrTune *tune, const char *method)
{
	tune->halving = strcmp(method, "halving") == 0;
	if (!tune->halving && strcmp(method, "random") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\": \"%s\"", "method", method),
				 errhint("Valid values are \"halving\" and \"random\".")));
}

/* Seconds; the parts of an interval, whatever they are, fit into a double. */
static void
read_limit(MrTune *tune, const Interval *interval)
{
	tune->limited = true;
	tune->limit = interval->time / 1e6 + 86400.0 * interval->day + 30 * 86400.0 * interval->month;
	if (tune->limit < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be negative", "time_limit")));
}

static void
read_arguments(FunctionCallInfo fcinfo, MrTune *tune)
{
	required(fcinfo, ARG_K, "k");
	required(fcinfo, ARG_APPLY, "apply");
	required(fcinfo, ARG_SEED, "seed");
	required(fcinfo, ARG_METHOD, "method");
	if (!PG_ARGISNULL(ARG_TIME_LIMIT))
		read_limit(tune, PG_GETARG_INTERVAL_P(ARG_TIME_LIMIT));
	if (!PG_ARGISNULL(ARG_TRIALS))
		tune->n_trials = count_argument(fcinfo, ARG_TRIALS, "trials", MOST_TRIALS);
	else
		tune->n_trials = tune->limited ? MOST_TRIALS_BY_TIME : DEFAULT_TRIALS;
	if (!PG_ARGISNULL(ARG_METRIC))
		read_metric(tune, text_to_cstring(PG_GETARG_TEXT_PP(ARG_METRIC)));
	tune->trial.k = count_argument(fcinfo, ARG_K, "k", MOST_K);
	mr_space_parse(PG_ARGISNULL(ARG_SPACE) ? NULL : PG_GETARG_JSONB_P_COPY(ARG_SPACE), &tune->space);
	tune->seed = (uint64) PG_GETARG_INT64(ARG_SEED);
	read_method(tune, text_to_cstring(PG_GETARG_TEXT_PP(ARG_METHOD)));
}

/* Everything that a search holds lives in the run's context. */
static MrTune *
begin(FunctionCallInfo fcinfo, bool commits)
{
	MrRun	   *run = mr_run_begin(mr_name_argument(fcinfo, ARG_NAME), commits);
	MemoryContext before = MemoryContextSwitchTo(run->context);
	MrTune	   *tune = palloc0(sizeof(MrTune));

	tune->run = run;
	tune->base = run->model->options;
	read_arguments(fcinfo, tune);
	MemoryContextSwitchTo(before);
	return tune;
}

/* ---- the end ---- */

static bool
same_options(Jsonb *a, Jsonb *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* Sets the best options as alter_model() would, unless somebody has changed them since. */
static void
apply_best(MrTune *tune)
{
	MrModel    *model = tune->run->model;
	Jsonb	   *options = mr_tune_best_options(tune);

	if (options == NULL)
		return;
	mr_model_row_lock(model->id);
	mr_model_reload(model, MR_MODEL_OWN);
	if (same_options(model->options, tune->base))
	{
		mr_model_set_options(model, options);
		tune->applied = true;
		return;
	}
	ereport(WARNING,
			(errmsg("the options of model \"%s\" were changed during the search, and stay as they are now", model->name),
			 errdetail("The best trial is number %d of search %d.", tune->best->number, tune->search),
			 errhint("Its options are in metricrec.tuning_trials.")));
}

/* Marks the best, and writes what is known at the end. */
static void
finish(MrTune *tune, bool apply)
{
	MrRun	   *run = tune->run;
	MemoryContext before = MemoryContextSwitchTo(run->context);
	MrTrial    *first = &tune->trials[0];
	Interval	duration = {0};
	instr_time	now;

	EnsurePortalSnapshotExists();
	tune->best->row->best = true;
	for (int32 i = 0; i < tune->n_trials; i++)
	{
		MrTrial    *trial = &tune->trials[i];

		if (trial->row == NULL || (trial != first && trial != tune->best && isnan(trial->checked)))
			continue;
		trial->row->checked = trial->checked;
		mr_trial_judge(run->model, tune->search, trial->row);
	}
	if (apply)
		apply_best(tune);
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, run->start);
	duration.time = (int64) (INSTR_TIME_GET_DOUBLE(now) * 1e6);
	mr_search_end(run->model, tune->search, tune->n_trials, &duration, tune->applied);
	MemoryContextSwitchTo(before);
}

/* A row of the result. */
static void
put_row(ReturnSetInfo *rsinfo, int32 search, const MrTrialRecord *row)
{
	Datum		values[9];
	bool		nulls[9] = {0};

	values[0] = Int32GetDatum(search);
	values[1] = Int32GetDatum(row->trial);
	values[2] = Int32GetDatum(row->rung);
	values[3] = Int32GetDatum(row->epochs);
	values[4] = PointerGetDatum(row->options);
	values[5] = Float8GetDatum(row->value);
	nulls[5] = isnan(row->value);
	values[6] = Float8GetDatum(row->checked);
	nulls[6] = isnan(row->checked);
	values[7] = Float8GetDatum(row->seconds);
	values[8] = BoolGetDatum(row->best);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * metricrec.tune(name, trials, time_limit, metric, k, space, apply, seed, method)
 *	-> rows (search, trial, rung, epochs, options, value, checked, seconds, best)
 *
 * Errors: 22023, 22004 arguments and space; 42501 not the owner; 55006 the model is being
 * trained; 53200 a trial beyond metricrec.training_memory; 22000 nothing to learn from or
 * to validate on; those of reading the interactions.
 */
Datum
mr_tune(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MrTune	   *tune;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	tune = begin(fcinfo, false);
	SPI_connect();
	mr_run_read(tune->run);
	mr_tune_run(tune);
	finish(tune, PG_GETARG_BOOL(ARG_APPLY));
	SPI_finish();
	mr_run_unlock(&tune->run->lock);
	foreach(cell, tune->rows)
		put_row(rsinfo, tune->search, lfirst(cell));
	MemoryContextDelete(tune->run->context);
	return (Datum) 0;
}

/* ---- the procedure ---- */

static void
refuse_atomic(FunctionCallInfo fcinfo)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (call == NULL || !IsA(call, CallContext) || call->atomic || IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("metricrec.retune() cannot be run inside a transaction block"),
				 errdetail("It commits after every epoch and trial."),
				 errhint("Call it on its own, or use the function metricrec.tune().")));
}

/*
 * CALL metricrec.retune(...), arguments and errors as tune().  Locks as in
 * metricrec.retrain(): that of the run is the session's.
 */
Datum
mr_retune(PG_FUNCTION_ARGS)
{
	MrTune	   *tune;
	bool		apply = !PG_ARGISNULL(ARG_APPLY) && PG_GETARG_BOOL(ARG_APPLY);

	refuse_atomic(fcinfo);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	tune = begin(fcinfo, true);
	mr_run_read(tune->run);
	SPI_commit();
	mr_tune_run(tune);
	finish(tune, apply);
	SPI_commit();
	mr_run_unlock(&tune->run->lock);
	MemoryContextDelete(tune->run->context);
	SPI_finish();
	PG_RETURN_VOID();
}
