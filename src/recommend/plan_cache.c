/*
 * plan_cache.c
 *		Prepared statements of the queries, kept per session, and their running.
 *
 * A query runs the same two or three statements each time; parsing them anew
 * would cost more than an index search.  A plan is found by its SQL text and
 * parameter types: after a rename or ALTER ... SET SCHEMA the text is another
 * one and the old entry ages out.  Everything else that may change under a plan
 * (definitions, role, row-level security) the server's plan cache watches.
 *
 * Bounded: beyond MAX_PLANS the entry that was used longest ago goes.  An entry
 * that is being run is never freed: a row-level security policy or a view of
 * the user may call a query function while we run.
 *
 * Rows go straight from the executor to a callback, so that no statement's
 * result is ever held in memory as a whole.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/spi.h"
#include "lib/ilist.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "recommend/query.h"

#define MAX_PLANS 64

typedef struct PlanEntry
{
	dlist_node	node;			/* in `plans`, last used first */
	uint32		hash;			/* of sql */
	char	   *sql;
	int			n;
	Oid			types[MR_MAX_PARAMETERS];
	bool		plan_each_time;
	int			running;		/* executions under way, nested ones counted */
	SPIPlanPtr	plan;
} PlanEntry;

typedef struct RowReceiver
{
	DestReceiver pub;
	const Oid  *results;		/* of the statement */
	MrRowCallback callback;
	void	   *arg;
	MemoryContext context;		/* of the caller; the executor's own is short-lived */
} RowReceiver;

/* Of this session; survive transactions and errors. */
static dlist_head plans = DLIST_STATIC_INIT(plans);
static int	n_plans = 0;
static MemoryContext plan_context = NULL;

/* Adds the value of the next parameter. */
void
mr_statement_add(MrStatement *statement, Oid type, Datum value)
{
	Assert(statement->n < MR_MAX_PARAMETERS);
	statement->types[statement->n] = type;
	statement->values[statement->n] = value;
	statement->n++;
}

static void
free_entry(PlanEntry *entry)
{
	dlist_delete(&entry->node);
	n_plans--;
	SPI_freeplan(entry->plan);
	pfree(entry->sql);
	pfree(entry);
}

/* Makes room for one more, from the end of the list. */
static void
evict(void)
{
	dlist_node *node = dlist_is_empty(&plans) ? NULL : dlist_tail_node(&plans);

	while (n_plans >= MAX_PLANS && node)
	{
		PlanEntry  *entry = dlist_container(PlanEntry, node, node);

		node = dlist_has_prev(&plans, node) ? dlist_prev_node(&plans, node) : NULL;
		if (entry->running == 0)
			free_entry(entry);
	}
}

static PlanEntry *
find_entry(const MrStatement *statement, uint32 hash)
{
	dlist_iter	iter;

	dlist_foreach(iter, &plans)
	{
		PlanEntry  *entry = dlist_container(PlanEntry, node, iter.cur);

		if (entry->hash == hash && entry->n == statement->n &&
			entry->plan_each_time == statement->plan_each_time &&
			memcmp(entry->types, statement->types, sizeof(Oid) * statement->n) == 0 &&
			strcmp(entry->sql, statement->sql) == 0)
		{
			dlist_move_head(&plans, &entry->node);
			return entry;
		}
	}
	return NULL;
}

/*
 * Prepares the statement and keeps it.  The plan is saved last: whatever fails
 * before leaves nothing but memory of the current SPI level.
 */
static PlanEntry *
make_entry(const MrStatement *statement, uint32 hash)
{
	int			options = CURSOR_OPT_PARALLEL_OK;
	SPIPlanPtr	plan;
	PlanEntry  *entry;
	MemoryContext old;

	if (statement->plan_each_time)
		options |= CURSOR_OPT_CUSTOM_PLAN;
	plan = SPI_prepare_cursor(statement->sql, statement->n, (Oid *) statement->types, options);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare_cursor failed: %s", SPI_result_code_string(SPI_result));

	evict();
	if (plan_context == NULL)
		plan_context = AllocSetContextCreate(TopMemoryContext, "metricrec plans",
											 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(plan_context);
	entry = palloc0(sizeof(PlanEntry));
	entry->sql = pstrdup(statement->sql);
	MemoryContextSwitchTo(old);
	entry->hash = hash;
	entry->n = statement->n;
	memcpy(entry->types, statement->types, sizeof(Oid) * statement->n);
	entry->plan_each_time = statement->plan_each_time;
	entry->plan = plan;
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	dlist_push_head(&plans, &entry->node);
	n_plans++;
	return entry;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);
	bool		more = receiver->callback(slot, receiver->arg);

	MemoryContextSwitchTo(old);
	return more;
}

/*
 * The callbacks take datums apart by type, and what a name stands for may have
 * changed since the statement was written: a view's owner can rename its columns
 * and add others, a table's column can be given another type meanwhile.
 */
static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	const Oid  *results = ((RowReceiver *) self)->results;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (i >= MR_MAX_RESULTS || column->atttypid != results[i])
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" has type %s, but type %s was expected",
							NameStr(column->attname), format_type_be(column->atttypid),
							format_type_be(i < MR_MAX_RESULTS ? results[i] : InvalidOid)),
					 errhint("If the columns of the model's views were changed, change them back, or drop the model and make it again.")));
	}
}

static void
receiver_nothing(DestReceiver *self)
{
}

static ParamListInfo
make_parameters(const MrStatement *statement)
{
	ParamListInfo list = makeParamList(statement->n);

	for (int i = 0; i < statement->n; i++)
	{
		ParamExternData *parameter = &list->params[i];

		parameter->value = statement->values[i];
		parameter->isnull = false;
		parameter->pflags = PARAM_FLAG_CONST;
		parameter->ptype = statement->types[i];
	}
	return list;
}

/*
 * Runs a SELECT as the current user under the active snapshot and hands each
 * row to the callback, in the caller's memory context.  SPI is connected.
 */
void
mr_statement_run(const MrStatement *statement, MrRowCallback callback, void *arg)
{
	uint32		hash = hash_bytes((const unsigned char *) statement->sql, strlen(statement->sql));
	PlanEntry  *entry = find_entry(statement, hash);
	RowReceiver receiver = {{receive_row, receiver_startup, receiver_nothing, receiver_nothing, DestNone}};
	SPIExecuteOptions options = {0};

	if (entry == NULL)
		entry = make_entry(statement, hash);
	receiver.results = statement->results;
	receiver.callback = callback;
	receiver.arg = arg;
	receiver.context = CurrentMemoryContext;
	options.params = make_parameters(statement);
	options.read_only = true;
	options.dest = &receiver.pub;

	entry->running++;
	PG_TRY();
	{
		int			code = SPI_execute_plan_extended(entry->plan, &options);

		if (code < 0)
			elog(ERROR, "SPI_execute_plan_extended failed: %s", SPI_result_code_string(code));
	}
	PG_FINALLY();
	{
		entry->running--;
	}
	PG_END_TRY();
	pfree(options.params);
}
