/*
 * run.c
 *		A training run's beginning: model, lock, interactions; and what all of
 *		its phases need: memory checks, interrupts, the epoch log.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "math/lapack.h"
#include "train/fit_internal.h"
#include "train/warm.h"
#include "util/compat.h"
#include "util/guc.h"
#include "util/pgutil.h"

/* ---- lock ---- */

/* One run per model: the second one gets an error at once. */
void
mr_lock_run_or_fail(MrRunLock *lock, const MrModel *model, bool session)
{
	if (!mr_run_lock(lock, model->id, session))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("model \"%s\" is being trained or changed by another session", model->name),
				 errhint("The view metricrec.training_progress shows the trainings that run now.")));
}

/* ---- memory ---- */

static Size
memory_limit(void)
{
	return (Size) mr_training_memory * 1024;
}

/* What a phase may still use when `used` bytes are held. */
Size
mr_training_memory_left(Size used)
{
	return used >= memory_limit() ? 1 : memory_limit() - used;
}

/* Refuses what does not fit, before anything is allocated. */
void
mr_check_training_memory(Size needed, const char *what)
{
	if (needed > memory_limit())
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("%s does not fit into metricrec.training_memory", what),
				 errdetail("It needs %zu kB; the setting allows %d kB.", needed / 1024 + 1, mr_training_memory),
				 errhint("Raise metricrec.training_memory, or lower dimensions or batch_size.")));
}

/* ---- interrupts ---- */

/*
 * The core's poll callback: true = stop.  An error of the interrupt handling is
 * kept and thrown once the core has returned: nothing jumps through it.
 */
bool
mr_run_poll(void *arg)
{
	MrRun	   *run = arg;
	MemoryContext context = CurrentMemoryContext;

	if (!INTERRUPTS_PENDING_CONDITION())
		return false;
	PG_TRY();
	{
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->context);
		run->pending_error = CopyErrorData();
		FlushErrorState();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	return run->pending_error != NULL;
}

/* Turns what the core has returned into an error, if it is one. */
void
mr_run_check_status(MrRun *run, MrStatus status)
{
	switch (status)
	{
		case MR_OK:
			return;
		case MR_STOPPED:
			if (run->pending_error)
				ReThrowError(run->pending_error);
			elog(ERROR, "training stopped without an interrupt");
			break;
		case MR_DIVERGED:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("training of model \"%s\" diverged", run->model->name),
					 errdetail("The loss is not finite any more."),
					 run->hyper.algorithm == MR_ALGORITHM_ALS ? errhint("Raise als_regularization.") :
					 errhint("Lower learning_rate.")));
			break;
		case MR_NO_NEGATIVE:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("model \"%s\" has nothing to learn from", run->model->name),
					 errdetail("Each of the %d users likes each of the %d items, so there is no negative.",
							   run->data->positives.n_users, run->data->positives.n_items)));
			break;
		case MR_OUT_OF_MEMORY:
			elog(ERROR, "the trainer needs more memory than it had computed");
			break;
		case MR_NO_BLAS:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("could not load OpenBLAS: %s", mr_lapack_load()),
					 errhint("Install it (on Debian: libopenblas0-serial).")));
			break;
	}
}

/* ---- begin ---- */

/* Looks the model up, checks ownership, takes the lock. */
MrRun *
mr_run_begin(const char *name, bool commits)
{
	/*
	 * Without commits, a subtransaction that catches our error frees it; with
	 * them, it must outlive the transaction.
	 */
	MemoryContext context = AllocSetContextCreate(commits ? PortalContext : CurTransactionContext,
												  "metricrec training",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	MrRun	   *run = palloc0(sizeof(MrRun));

	run->context = context;
	run->commits = commits;
	INSTR_TIME_SET_CURRENT(run->start);
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot train a model during recovery"),
				 errhint("Train on the primary; its standbys serve the new version.")));
	PreventCommandIfReadOnly("metricrec training");
	run->model = mr_model_lookup(name, MR_MODEL_OWN);
	mr_lock_run_or_fail(&run->lock, run->model, commits);
	mr_model_reload(run->model, MR_MODEL_OWN);	/* as it is now that nobody can drop it */
	run->given = run->model->options;
	mr_options_read(run->model->options, &run->options);
	run->version = mr_version_next(run->model);
	MemoryContextSwitchTo(before);
	return run;
}

/* ---- read ---- */

/* The collation of a column, or InvalidOid; error if there is no such column. */
Oid
mr_column_collation(Oid relation, const char *column)
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	AttrNumber	number = get_attnum(relation, column);

	if (number == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation %s does not exist", column, mr_relation_sql(relation))));
	get_atttypetypmodcoll(relation, number, &type, &typmod, &collation);
	return collation;
}

/* A view may have gone with a table that was dropped by hand. */
void
mr_check_views(const MrModel *model)
{
	for (int side = 0; side < mr_model_sides(model); side++)
		if (get_rel_name(mr_side_view(model, side)) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("the view of the %ss of model \"%s\" no longer exists", mr_side_name(side), model->name),
					 errhint("Drop the model with metricrec.drop_model(), and make it again.")));
}

/*
 * The columns are still there, what they were when the model was made, and the
 * caller may read them.
 */
static void
check_source(MrRun *run, const MrDatasetSource *source)
{
	const char *columns[MR_SIDES] = {source->user_column, source->item_column, source->tag_column};
	Oid			types[MR_SIDES];

	mr_check_views(run->model);
	if (get_rel_name(source->relation) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the interactions of model \"%s\" no longer exist", run->model->name),
				 errdetail("The relation with OID %u has been dropped.", source->relation),
				 errhint("Make a new model on the table that took its place.")));
	mr_dataset_check_columns(source, &types[MR_SIDE_USER], &types[MR_SIDE_ITEM], &types[MR_SIDE_TAG]);
	for (int i = 0; i < mr_model_sides(run->model); i++)
		if (types[i] != mr_side_type(run->model, i))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of relation \"%s\" has changed its type",
							columns[i], get_rel_name(source->relation)),
					 errdetail("It is of type %s; model \"%s\" was made with type %s.",
							   format_type_be(types[i]), run->model->name,
							   format_type_be(mr_side_type(run->model, i))),
					 errhint("Make a new model, or change the column back.")));
	for (int i = 0; i < mr_model_sides(run->model); i++)
		if (mr_column_collation(source->relation, columns[i]) !=
			mr_column_collation(mr_side_view(run->model, i), mr_side_column(i)))
			ereport(ERROR,
					(errcode(ERRCODE_COLLATION_MISMATCH),
					 errmsg("column \"%s\" of relation \"%s\" has changed its collation",
							columns[i], get_rel_name(source->relation)),
					 errhint("Make a new model, or change the column back.")));
}

static void
nothing_left(MrRun *run)
{
	MrDatasetCounts *counts = &run->data->counts;

	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("model \"%s\" has no interactions to train on", run->model->name),
			 errdetail("The relation gave " INT64_FORMAT " rows: " INT64_FORMAT " without user or item, "
					   INT64_FORMAT " with an unusable rating or weight, " INT64_FORMAT " rated below min_rating.",
					   counts->rows, counts->null_keys, counts->bad_values, counts->below_min)));
}

/* Again after the commits of retrain(): the world may have changed. */
void
mr_run_check_source(MrRun *run)
{
	MrDatasetSource source;

	mr_model_source(run->model, &source);
	check_source(run, &source);
}

/* Reads the interactions as the calling role. */
void
mr_run_read(MrRun *run)
{
	MemoryContext before = MemoryContextSwitchTo(run->context);
	MrDatasetSource source;
	MrInteractions *x;

	mr_model_source(run->model, &source);
	check_source(run, &source);
	run->data = mr_dataset_load(&source, run->context, memory_limit());
	x = &run->data->positives;
	if (x->n_pairs == 0)
		nothing_left(run);
	if (x->n_users < 2 || x->n_items < 2)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("model \"%s\" has nothing to learn from", run->model->name),
				 errdetail("The interactions have %d user(s) and %d item(s); two of each are needed.",
						   x->n_users, x->n_items)));
	if (run->data->posts && run->data->posts->n_tags < 2)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("model \"%s\" has no tags to learn from", run->model->name),
				 errdetail("The column \"%s\" has %d distinct tag(s) on interactions; two are needed.",
						   source.tag_column, run->data->posts->n_tags)));
	if (run->warm_start)
		mr_warm_prepare(run);
	mr_run_read_features(run);
	MemoryContextSwitchTo(before);
}

/* ---- epochs ---- */

/* The length of the lists that a validation looks at. */
int32
mr_run_judged_k(const MrRun *run)
{
	return run->trial ? run->trial->k : 10;
}

/* A row of the log and the progress; in retrain it is committed at once. */
void
mr_run_log_epoch(MrRun *run, MrEpochRecord *record)
{
	if (run->quiet)
		return;
	record->step = ++run->log_step;
	EnsurePortalSnapshotExists();	/* none after a commit; writing a row wants one */
	mr_epoch_write(run->model, run->version, record);
	mr_run_progress(&run->lock, Min(run->log_step, MR_RUN_PUBLISHING - 1));
	if (run->commits)
		SPI_commit();
}
