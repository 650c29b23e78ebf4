/*
 * train_sql.c
 *		metricrec.train and metricrec.retrain.
 *
 * train() is a function: all of it is one transaction, and nothing of a failed
 * or cancelled run stays.  retrain() is a procedure for scheduled jobs: it
 * commits after reading, so that neither snapshot nor lock on the interactions
 * is held while it computes, and after every epoch, so that the log is seen.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "store/catalog.h"
#include "train/warm.h"
#include "util/compat.h"

PG_FUNCTION_INFO_V1(mr_train);
PG_FUNCTION_INFO_V1(mr_retrain);

/* ---- the result ---- */

/* Says in words what a user has to know beyond the figures. */
static char *
advice(const MrRun *run)
{
	StringInfoData text;

	initStringInfo(&text);
	if (run->tower.kind == MR_TOWER_POOLED)
		appendStringInfoString(&text, "a user's point is pooled from the liked items: new interactions change the answers without training");
	else
		appendStringInfoString(&text, "a user's point is learned: new interactions change the answers at the next training");
	if (run->plain.done && run->validation.at10.ndcg < run->plain.at10.ndcg)
		appendStringInfo(&text, "; the features make the answers worse: ndcg@10 is %.4f with them and %.4f without, so leave out columns, or set item_combination or user_combination to \"id\"",
						 run->validation.at10.ndcg, run->plain.at10.ndcg);
	if (run->warm)
		appendStringInfo(&text, "; started from version %d, which has %d of the %d items", run->warm->version,
						 run->warm->known_items, run->data->positives.n_items);
	if (run->cold_because)
		appendStringInfo(&text, "; trained in full, without a warm start: %s", run->cold_because);
	if (!run->active)
		appendStringInfo(&text, "; the views were locked by others, so version %d is ready but not active: call metricrec.activate() later",
						 run->version);
	return text.data;
}

/* The row of metricrec.train(), its columns in the order of the extension script. */
static Datum
result_of(FunctionCallInfo fcinfo, MrRun *run)
{
	Datum		values[MR_VERSION_NATTS];
	bool		nulls[MR_VERSION_NATTS];
	Datum		result[13];
	bool		result_nulls[13] = {0};
	static const AttrNumber copied[] = {MR_VERSION_EPOCHS, MR_VERSION_LOSS, MR_VERSION_METRICS,
		MR_VERSION_USERS, MR_VERSION_ITEMS, MR_VERSION_INTERACTIONS, MR_VERSION_COUNTS,
	MR_VERSION_DURATION, MR_VERSION_RECIPE};

	mr_version_values(run->model, run->version, values, nulls);
	result[0] = DirectFunctionCall1(namein, CStringGetDatum(run->model->name));
	result[1] = Int32GetDatum(run->version);
	result[2] = BoolGetDatum(run->active);
	for (int i = 0; i < lengthof(copied); i++)
	{
		result[3 + i] = values[copied[i] - 1];
		result_nulls[3 + i] = nulls[copied[i] - 1];
	}
	result[12] = CStringGetTextDatum(advice(run));
	return mr_result_row(fcinfo, result, result_nulls);
}

/*
 * Is a start from the active version asked for?  NULL is no answer.  Before ALTER
 * EXTENSION metricrec UPDATE, which may come some days after the new library, the
 * functions have no such argument, and jobs call them every night.
 */
static bool
warm_start_argument(FunctionCallInfo fcinfo)
{
	if (PG_NARGS() < 2)
		return false;
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "warm_start")));
	return PG_GETARG_BOOL(1);
}

/* metricrec.train(name, warm_start) -> one row; see doc/sql-reference.md. */
Datum
mr_train(PG_FUNCTION_ARGS)
{
	MrRun	   *run = mr_run_begin(mr_name_argument(fcinfo, 0), false);
	MemoryContext context = CurrentMemoryContext;
	Datum		result;

	run->warm_start = warm_start_argument(fcinfo);
	SPI_connect();
	mr_run_read(run);
	mr_run_fit(run);
	mr_run_publish(run);
	SPI_finish();
	MemoryContextSwitchTo(context);
	mr_run_unlock(&run->lock);
	result = result_of(fcinfo, run);
	MemoryContextDelete(run->context);
	PG_RETURN_DATUM(result);
}

/* ---- retrain ---- */

static void
refuse_atomic(FunctionCallInfo fcinfo)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (call == NULL || !IsA(call, CallContext) || call->atomic || IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("metricrec.retrain() cannot be run inside a transaction block"),
				 errdetail("It commits between reading, computing and publishing."),
				 errhint("Call it on its own, or use the function metricrec.train().")));
}

static void
retrain_phases(MrRun *run)
{
	mr_run_read(run);
	SPI_commit();
	mr_run_fit(run);
	mr_run_publish(run);
	SPI_commit();
}

/*
 * CALL metricrec.retrain(name, warm_start)
 *
 * The run lock is the session's, so that it outlives the commits.  An error
 * needs no clean-up here: an abort of the whole transaction gives back session
 * locks too (LockReleaseAll), and in a subtransaction we refuse to run.
 */
Datum
mr_retrain(PG_FUNCTION_ARGS)
{
	MrRun	   *run;
	char	   *name = PG_ARGISNULL(0) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(0)));
	bool		warm_start = warm_start_argument(fcinfo);

	refuse_atomic(fcinfo);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	run = mr_run_begin(name, true);
	run->warm_start = warm_start;
	retrain_phases(run);
	mr_run_unlock(&run->lock);
	ereport(run->active ? DEBUG1 : WARNING,
			(errmsg("model \"%s\": version %d is %s", run->model->name, run->version,
					run->active ? "active" : "ready, but not active"),
			 run->active ? 0 : errdetail("Transactions that read the views did not end in time."),
			 run->active ? 0 : errhint("Call metricrec.activate() later.")));
	MemoryContextDelete(run->context);
	SPI_finish();
	PG_RETURN_VOID();
}
