/*
 * candidates.c
 *		Second stage: the rows nearest to the query point, by SQL, less those
 *		that are left out.
 *
 * The statement is the plain form that a user would write, through the model's
 * view: ORDER BY embedding <-> $1 LIMIT n.  So privileges, row-level security,
 * indexes and parallel plans are what they are there.  Its LIMIT is what is
 * wanted plus the number of left-out keys, as any of them may come first;
 * filtering by a hash here is cheaper than an anti-join, and does not depend on
 * the planner's estimates.  The executor is stopped once enough rows are in.
 *
 * A LIMIT that is unknown while planning is taken for a tenth of the rows, and
 * an index that returns rows by distance then looks bad.  So it stands in the
 * text, rounded up to a power of two: few texts, and each keeps its plan.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "recommend/query.h"
#include "util/pgutil.h"

#define SMALLEST_LIMIT 16

typedef struct CandidateReader
{
	const MrQuery *query;
	const MrKeyType *key;
	MrCandidateList *list;
	int64		wanted;
	bool		with_points;
} CandidateReader;

static void
append_candidate(MrCandidateList *list, MrCandidate candidate)
{
	if (list->n == list->capacity)
	{
		Size		capacity = list->capacity ? (Size) list->capacity * 2 : 16;

		if (list->rows)
			list->rows = repalloc_huge(list->rows, capacity * sizeof(MrCandidate));
		else
			list->rows = palloc(capacity * sizeof(MrCandidate));
		list->capacity = capacity;
	}
	list->rows[list->n++] = candidate;
}

/* Columns: key, distance [, embedding]. */
static bool
receive_candidate(TupleTableSlot *slot, void *arg)
{
	CandidateReader *reader = arg;
	const MrQuery *query = reader->query;
	MrCandidate candidate = {0};
	bool		isnull;

	candidate.distance = DatumGetFloat8(slot_getattr(slot, 2, &isnull));
	if (isnull)
		return true;			/* no embedding: last in the order */
	candidate.key = slot_getattr(slot, 1, &isnull);
	if (isnull || (query->left_out && mr_idmap_lookup(query->left_out, candidate.key) >= 0))
		return true;
	candidate.key = mr_key_copy(reader->key, candidate.key);
	if (reader->with_points)
		candidate.point = ((MrEmbedding *) PG_DETOAST_DATUM_COPY(slot_getattr(slot, 3, &isnull)))->x;
	append_candidate(reader->list, candidate);
	return reader->list->n < reader->wanted;
}

typedef struct CandidateOrder
{
	FmgrInfo   *compare;		/* of the key type, or NULL */
	Oid			collation;
} CandidateOrder;

static int
compare_candidates(const void *a, const void *b, void *arg)
{
	const MrCandidate *x = a;
	const MrCandidate *y = b;
	CandidateOrder *order = arg;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	if (order->compare == NULL)
		return 0;
	return DatumGetInt32(FunctionCall2Coll(order->compare, order->collation, x->key, y->key));
}

/* By distance, then by key: ties must not depend on the plan. */
static void
sort_candidates(const MrKeyType *key, MrCandidateList *list)
{
	TypeCacheEntry *type = lookup_type_cache(key->type, TYPECACHE_CMP_PROC_FINFO);
	CandidateOrder order = {NULL, key->collation};

	if (OidIsValid(type->cmp_proc))
		order.compare = &type->cmp_proc_finfo;
	if (list->n > 1)
		qsort_arg(list->rows, list->n, sizeof(MrCandidate), compare_candidates, &order);
}

/*
 * Error if the relation that restricts the answer, its "candidates" or "users", has
 * no column for these ids.
 */
void
mr_candidates_check_column(const MrQuery *query, Oid relation, const char *what, const MrKeyType *key, const char *column)
{
	AttrNumber	attnum;
	Oid			type;

	if (get_rel_relkind(relation) == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relation)));
	attnum = get_attnum(relation, column);
	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", column, get_rel_name(relation)),
				 errhint("The relation of %s has the ids in a column with the name of the model's own %s column.",
						 what, key->noun)));
	type = get_atttype(relation, attnum);
	if (!mr_key_compatible(key, type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" has type %s, but the %s ids of model \"%s\" have type %s",
						column, get_rel_name(relation), format_type_be(type),
						key->noun, query->model->name, format_type_be(key->column_type))));
}

/* Do the candidates name users too?  Then they are pairs, each user's own. */
bool
mr_candidates_are_pairs(const MrQuery *query)
{
	return OidIsValid(query->candidates) &&
		get_attnum(query->candidates, query->model->user_column) != InvalidAttrNumber;
}

/* Appends the condition that an item is among the candidates. */
static void
append_candidates_sql(StringInfo sql, const MrQuery *query, MrStatement *statement)
{
	const MrModel *model = query->model;

	mr_candidates_check_column(query, query->candidates, "candidates", &query->item_key, model->item_column);
	appendStringInfo(sql, " WHERE v.item_id %s ANY (SELECT c.%s FROM %s c",
					 query->item_key.equals, quote_identifier(model->item_column),
					 mr_relation_sql(query->candidates));
	/* Pairs of user and item: those of this user. */
	if (query->has_user && mr_candidates_are_pairs(query))
	{
		mr_candidates_check_column(query, query->candidates, "candidates", &query->user_key, model->user_column);
		mr_statement_add(statement, query->user_key.type, query->user);
		appendStringInfo(sql, " WHERE c.%s %s $%d", quote_identifier(model->user_column),
						 query->user_key.equals, statement->n);
	}
	appendStringInfoChar(sql, ')');
}

static char *
nearest_sql(const MrQuery *query, const MrKeyType *key, Oid view, bool with_points)
{
	return psprintf("SELECT %s, v.embedding %s $1%s FROM %s v",
					mr_key_column_sql(key, "v", key->column, get_atttype(view, get_attnum(view, key->column))),
					query->distance, with_points ? ", v.embedding" : "", mr_relation_sql(view));
}

static void
run(MrQuery *query, const MrKeyType *key, MrStatement *statement, StringInfo sql, int64 wanted,
	bool with_points, MrCandidateList *list)
{
	CandidateReader reader = {query, key, list, wanted, with_points};
	int64		limit = wanted + (query->left_out ? mr_idmap_size(query->left_out) : 0);

	appendStringInfo(sql, " ORDER BY v.embedding %s $1 LIMIT " UINT64_FORMAT, query->distance,
					 pg_nextpower2_64(Max(limit, SMALLEST_LIMIT)));
	statement->sql = sql->data;
	statement->results[0] = key->type;
	statement->results[1] = FLOAT8OID;
	statement->results[2] = query->embedding_type;
	mr_statement_run(statement, receive_candidate, &reader);
	sort_candidates(key, list);
}

/*
 * Fills the list with the `wanted` rows of the view that are nearest to
 * query->point, without those of query->left_out; fewer only if there are no
 * more.  For the item view, query->candidates restricts them.
 */
void
mr_candidates_nearest(MrQuery *query, const MrKeyType *key, Oid view, int64 wanted,
					  bool with_points, MrCandidateList *list)
{
	MrStatement statement = {0};
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, nearest_sql(query, key, view, with_points));
	mr_statement_add(&statement, query->embedding_type, PointerGetDatum(query->point));
	if (OidIsValid(query->candidates))
		append_candidates_sql(&sql, query, &statement);
	run(query, key, &statement, &sql, wanted, with_points, list);
}

/* The same among the liked items of a set. */
void
mr_candidates_among(MrQuery *query, const MrItemSet *items, int64 wanted, MrCandidateList *list)
{
	const MrKeyType *key = &query->item_key;
	MrStatement statement = {0};
	StringInfoData sql;
	Oid			array_type;
	Datum		array = mr_key_array(key, items, true, &array_type);

	initStringInfo(&sql);
	appendStringInfo(&sql, "%s WHERE v.item_id %s ANY ($2)",
					 nearest_sql(query, key, query->model->item_view, false), key->equals);
	mr_statement_add(&statement, query->embedding_type, PointerGetDatum(query->point));
	mr_statement_add(&statement, array_type, array);
	/* how many they are decides between their keys and the order of distance */
	statement.plan_each_time = true;
	run(query, key, &statement, &sql, wanted, false, list);
}
