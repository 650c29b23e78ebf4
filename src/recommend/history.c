/*
 * history.c
 *		The live interactions of one user: one indexed read that serves both the
 *		seen filter and the pooled history.
 *
 * All rows of the user count as seen.  Liked are those that training would take
 * as positives: rating and weight present and finite, the weight positive, the
 * rating not below min_rating.  An item is liked if any of its rows is.
 *
 * The seen filter is what the caller asked for: if it cannot be had (relation
 * dropped, column renamed, no privilege) that is an error with a hint.  The
 * live history is an improvement: if it cannot be had, the stored point serves.
 * With row-level security both see the rows that the caller may see.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "recommend/query.h"
#include "util/compat.h"
#include "util/guc.h"
#include "util/pgutil.h"

/* An empty set of items. */
MrItemSet *
mr_item_set_create(const MrKeyType *key, MemoryContext context)
{
	MrItemSet  *set = MemoryContextAllocZero(context, sizeof(MrItemSet));

	set->ids = mr_idmap_create(key->type, key->collation, context);
	set->capacity = 64;
	set->liked = MemoryContextAllocZero(context, sizeof(bool) * set->capacity);
	return set;
}

void
mr_item_set_add(MrItemSet *set, Datum id, bool liked)
{
	int32		row = mr_idmap_insert(set->ids, id);

	if (row >= set->capacity)
	{
		int32		capacity = (int32) Min((int64) set->capacity * 2, PG_INT32_MAX);

		set->liked = repalloc_huge(set->liked, sizeof(bool) * (Size) capacity);
		memset(set->liked + set->capacity, 0, capacity - set->capacity);
		set->capacity = capacity;
	}
	if (liked && !set->liked[row])
	{
		set->liked[row] = true;
		set->n_liked++;
	}
}

/* From now on the item, if it is in the set, is not a liked one. */
void
mr_history_forget(MrItemSet *set, Datum id)
{
	int32		row = mr_idmap_lookup(set->ids, id);

	if (row < 0 || !set->liked[row])
		return;
	set->liked[row] = false;
	set->n_liked--;
}

/* Is the type of the column still one that holds the model's ids? */
static bool
column_compatible(const MrKeyType *key, Oid relation, const char *column)
{
	return mr_key_compatible(key, get_atttype(relation, get_attnum(relation, column)));
}

/* Can seen and liked items be read by the caller, without raising an error? */
bool
mr_history_readable(const MrQuery *query)
{
	const MrModel *model = query->model;

	return mr_relation_reachable(model->interactions) &&
		mr_column_readable(model->interactions, model->user_column) &&
		mr_column_readable(model->interactions, model->item_column) &&
		(!model->rating_column || mr_column_readable(model->interactions, model->rating_column)) &&
		(!model->weight_column || mr_column_readable(model->interactions, model->weight_column)) &&
		column_compatible(&query->user_key, model->interactions, model->user_column) &&
		column_compatible(&query->item_key, model->interactions, model->item_column);
}

/* Error if the column is gone or has another type than the model's ids. */
void
mr_history_check_column(const MrModel *model, const MrKeyType *key, const char *column, const char *hint)
{
	AttrNumber	attnum = get_attnum(model->interactions, column);

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, get_rel_name(model->interactions)),
				 errdetail("It is the %s column of model \"%s\".", key ? key->noun : "rating or weight", model->name),
				 hint ? errhint("%s", hint) : 0));
	if (key && !mr_key_compatible(key, get_atttype(model->interactions, attnum)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" has type %s, but the %s ids of model \"%s\" have type %s",
						column, get_rel_name(model->interactions),
						format_type_be(get_atttype(model->interactions, attnum)),
						key->noun, model->name, format_type_be(key->column_type)),
				 errhint("The column's type was changed since the model was trained: drop the model and make it again.")));
}

/* Error if the relation of the interactions is gone. */
void
mr_history_check_relation(const MrModel *model, const char *hint)
{
	if (get_rel_relkind(model->interactions) == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the interactions of model \"%s\" do not exist", model->name),
				 errdetail("The relation that the model was made on has been dropped."),
				 hint ? errhint("%s", hint) : 0));
}

/* Error unless the interactions have what must be read of them. */
void
mr_history_check(const MrQuery *query, bool need_liked, const char *hint)
{
	const MrModel *model = query->model;

	mr_history_check_relation(model, hint);
	mr_history_check_column(model, &query->user_key, model->user_column, hint);
	mr_history_check_column(model, &query->item_key, model->item_column, hint);
	if (need_liked && model->rating_column)
		mr_history_check_column(model, NULL, model->rating_column, hint);
	if (need_liked && model->weight_column)
		mr_history_check_column(model, NULL, model->weight_column, hint);
}

static char *
history_sql(const MrQuery *query, bool with_values)
{
	const MrModel *model = query->model;
	Oid			item_type = get_atttype(model->interactions,
										get_attnum(model->interactions, model->item_column));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s",
					 mr_key_column_sql(&query->item_key, "t", model->item_column, item_type));
	if (with_values && model->rating_column)
		appendStringInfo(&sql, ", t.%s::pg_catalog.float8", quote_identifier(model->rating_column));
	if (with_values && model->weight_column)
		appendStringInfo(&sql, ", t.%s::pg_catalog.float8", quote_identifier(model->weight_column));
	appendStringInfo(&sql, " FROM %s t WHERE t.%s %s $1",
					 mr_relation_sql(model->interactions),
					 quote_identifier(model->user_column), query->user_key.equals);
	return sql.data;
}

typedef struct HistoryReader
{
	const MrModel *model;
	MrItemSet  *set;
	bool		with_values;
} HistoryReader;

/* Would training take these values as a positive? */
static bool
row_is_liked(TupleTableSlot *slot, const MrModel *model)
{
	int			column = 2;
	bool		isnull;
	double		value;

	if (model->rating_column)
	{
		value = DatumGetFloat8(slot_getattr(slot, column++, &isnull));
		if (isnull || !isfinite(value) || (model->has_min_rating && value < model->min_rating))
			return false;
	}
	if (model->weight_column)
	{
		value = DatumGetFloat8(slot_getattr(slot, column++, &isnull));
		if (isnull || !isfinite(value) || value <= 0)
			return false;
	}
	return true;
}

static bool
receive_interaction(TupleTableSlot *slot, void *arg)
{
	HistoryReader *reader = arg;
	bool		isnull;
	Datum		item = slot_getattr(slot, 1, &isnull);

	if (!isnull)
		mr_item_set_add(reader->set, item, reader->with_values && row_is_liked(slot, reader->model));
	return true;
}

/* Adds the hint to "permission denied" only. */
static void
add_permission_hint(void *arg)
{
	if (arg && geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		errhint("%s", (const char *) arg);
}

/* Runs work(arg), which reads the interactions; `hint` goes with a missing privilege. */
void
mr_history_work(void (*work) (void *arg), void *arg, const char *hint)
{
	ErrorContextCallback context;

	context.callback = add_permission_hint;
	context.arg = (void *) hint;
	context.previous = error_context_stack;
	error_context_stack = &context;
	work(arg);
	error_context_stack = context.previous;
}

typedef struct StatementWork
{
	const MrStatement *statement;
	MrRowCallback callback;
	void	   *arg;
} StatementWork;

static void
run_statement(void *arg)
{
	StatementWork *work = arg;

	mr_statement_run(work->statement, work->callback, work->arg);
}

/* Runs a statement that reads the interactions; `hint` goes with a missing privilege. */
void
mr_history_run(const MrStatement *statement, MrRowCallback callback, void *arg, const char *hint)
{
	StatementWork work = {statement, callback, arg};

	mr_history_work(run_statement, &work, hint);
}

/*
 * Reads the live interactions of query->user into query->history.
 *
 * need_seen: the seen items must be known, need_liked: the liked ones, else an
 * error; `hint` goes with it.  What is not needed is read if it can be had and
 * is of use.  Returns whether the set's liked flags are filled.
 *
 * Errors: 42501 no privilege, 42P01 interactions dropped, 42703 column gone,
 * 42804 column's type changed.
 */
bool
mr_history_read(MrQuery *query, bool need_seen, bool need_liked, const char *hint)
{
	bool		useful = mr_live_history && query->version->tower.kind == MR_TOWER_POOLED;
	bool		with_liked = need_liked || (useful && mr_history_readable(query));
	MrStatement statement = {0};
	HistoryReader reader;

	if (need_seen || need_liked)
		mr_history_check(query, need_liked, hint);
	else if (!with_liked)
		return false;

	query->history = mr_item_set_create(&query->item_key, query->context);
	reader.model = query->model;
	reader.set = query->history;
	reader.with_values = with_liked;
	statement.sql = history_sql(query, with_liked);
	mr_statement_add(&statement, query->user_key.type, query->user);
	statement.results[0] = query->item_key.type;
	statement.results[1] = statement.results[2] = FLOAT8OID;

	mr_history_run(&statement, receive_interaction, &reader, hint);
	return with_liked;
}
