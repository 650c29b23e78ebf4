/*
 * activate.c
 *		The swap: the views of a model begin to serve a version.
 *
 * CREATE OR REPLACE VIEW needs an exclusive lock on the view.  Whoever waits
 * for one makes later readers wait behind it, so each try waits only shortly
 * and then stands back for a while; after metricrec.swap_timeout the version
 * stays ready and metricrec.activate() can be called later.  A try runs in a
 * subtransaction, so that it leaves no lock behind.
 *
 * Lock order: user view, item view, tag view, then the version tables.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "store/version.h"
#include "util/compat.h"
#include "util/guc.h"
#include "util/pgutil.h"

/* A try waits this long for each lock; then readers have the views for a while. */
#define SWAP_LOCK_TIMEOUT "200ms"
#define SWAP_PAUSE_MS 300

/* ---- the statements ---- */

/* " WITH (security_barrier=true)": CREATE OR REPLACE would drop the options. */
static char *
view_options(Oid view)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	bool		isnull;
	Datum		options;
	StringInfoData text;
	ListCell   *cell;

	if (!HeapTupleIsValid(tuple))
		return "";
	options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	initStringInfo(&text);
	if (!isnull)
	{
		foreach(cell, untransformRelOptions(options))
		{
			DefElem    *option = lfirst(cell);

			appendStringInfo(&text, "%s%s=%s", text.len ? ", " : " WITH (",
							 quote_identifier(option->defname),
							 quote_literal_cstr(defGetString(option)));
		}
		if (text.len)
			appendStringInfoChar(&text, ')');
	}
	ReleaseSysCache(tuple);
	return text.data;
}

/*
 * The views before the first training: no rows.  The embedding column carries
 * no typmod, here and later, so that a version of other dimensions can replace
 * it.  The key has the collation of the interactions' column from the start,
 * because a view's column cannot change it.
 */
char *
mr_view_create_sql(const MrModel *model, MrSide side, Oid collation)
{
	Oid			type = mr_side_type(model, side);
	char	   *collate = "";

	if (OidIsValid(collation) && collation != get_typcollation(type))
		collate = psprintf(" COLLATE %s", generate_collation_name(collation));
	return psprintf("CREATE VIEW %s AS SELECT NULL::%s%s AS %s, NULL::%s AS embedding,"
					" NULL::pg_catalog.int8 AS interactions WHERE false",
					quote_qualified_identifier(get_namespace_name(model->schema),
											   psprintf("%s_%s_embedding", model->name, mr_side_name(side))),
					mr_type_sql(type), collate,
					mr_side_column(side), mr_embedding_sql());
}

static char *
view_replace_sql(Oid view, Oid table, MrSide side)
{
	return psprintf("CREATE OR REPLACE VIEW %s%s AS SELECT %s, embedding::%s AS embedding, interactions FROM %s",
					mr_relation_sql(view), view_options(view), mr_side_column(side),
					mr_embedding_sql(), mr_relation_sql(table));
}

/* ---- one try ---- */

typedef struct Swap
{
	const MrModel *model;
	const Oid  *tables;			/* by MrSide */
} Swap;

/*
 * All views under exclusive locks: rows that were inserted through them go
 * along, and nobody can insert another one before they point elsewhere.
 */
static void
swap_views(const Swap *swap)
{
	for (int side = 0; side < mr_model_sides(swap->model); side++)
		LockRelationOid(mr_side_view(swap->model, side), AccessExclusiveLock);
	CommandCounterIncrement();
	for (int side = 0; side < mr_model_sides(swap->model); side++)
	{
		Oid			view = mr_side_view(swap->model, side);
		Oid			served = mr_view_table(view);

		if (served == swap->tables[side])
			continue;
		/* By hand, a view can be pointed at any table. */
		if (OidIsValid(served) && list_member_oid(mr_version_all_tables(swap->model), served))
			mr_version_take_over_rows(served, swap->tables[side], side);
		mr_spi_run(view_replace_sql(view, swap->tables[side], side));
	}
}

/* The same with a short wait for each lock. */
static void
swap_views_soon(void *arg)
{
	int			guc_level = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", SWAP_LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	swap_views(arg);
	AtEOXact_GUC(false, guc_level);
}

/*
 * True if it was done, false if a lock did not come in time.  A deadlock is
 * also only a try that failed: whoever read one view and waits for the other
 * can form one with us where deadlock_timeout is very short.
 */
static bool
try_swap(Swap *swap)
{
	ErrorData  *error = mr_try(swap_views_soon, swap);

	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}

static void
pause_between_tries(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 SWAP_PAUSE_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Makes the views serve these tables, by MrSide; false if their locks could not be had.
 * Runs as the owner, SPI connected.
 */
bool
mr_version_activate(const MrModel *model, const Oid *tables)
{
	Swap		swap = {model, tables};
	TimestampTz start = GetCurrentTimestamp();

	for (;;)
	{
		if (try_swap(&swap))
			return true;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), mr_swap_timeout))
			return false;
		pause_between_tries();
	}
}
