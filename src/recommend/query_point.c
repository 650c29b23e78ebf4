/*
 * query_point.c
 *		First stage: the point that a query asks the neighbours of.
 *
 *	user	with a pooled tower and live history, the pool of the liked items'
 *			points; else the stored point
 *	item	its stored point, all coordinates: with a bias, the bias counts as one
 *	items	what the tower would make of a user who liked exactly these
 *
 * The bias coordinate of a user is 0 (model/tower.h).
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "recommend/query.h"
#include "util/guc.h"
#include "util/pgutil.h"

/* Liked items beyond which a scan of all items may be the faster way to their points. */
#define MANY_ITEMS 5000

#define NEW_USER_HINT "Use recommend_for_items() with items that the user likes, or train the model again."

/* Error unless a point read from the version's table has the version's dimensions. */
static void
check_dimensions(const MrQuery *query, const MrEmbedding *point)
{
	if (point->dim != query->version->tower.dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("a point of model \"%s\" has %d dimensions, but its version %d has %d",
						query->model->name, point->dim, query->version->version,
						query->version->tower.dimensions),
				 errhint("Rows inserted through the model's views must have the version's dimensions.")));
}

typedef struct PointReader
{
	MrQuery    *query;
	double	   *sum;			/* pooling: [dimensions] */
	int64		n;				/* points read */
	MrEmbedding *point;			/* one point: a copy of it */
} PointReader;

static bool
receive_point(TupleTableSlot *slot, void *arg)
{
	PointReader *reader = arg;
	bool		isnull;
	Datum		value = slot_getattr(slot, 1, &isnull);

	if (!isnull)
	{
		reader->point = (MrEmbedding *) PG_DETOAST_DATUM_COPY(value);
		check_dimensions(reader->query, reader->point);
	}
	return false;
}

/* The stored point of a row of a view, or NULL. */
static MrEmbedding *
stored_point(MrQuery *query, const MrKeyType *key, Oid view, Datum id)
{
	MrStatement statement = {0};
	PointReader reader = {query};

	statement.sql = psprintf("SELECT v.embedding FROM %s v WHERE v.%s %s $1",
							 mr_relation_sql(view), key->column, key->equals);
	mr_statement_add(&statement, key->type, id);
	statement.results[0] = query->embedding_type;
	mr_statement_run(&statement, receive_point, &reader);
	return reader.point;
}

static bool
receive_pooled(TupleTableSlot *slot, void *arg)
{
	PointReader *reader = arg;
	bool		isnull;
	Datum		value = slot_getattr(slot, 1, &isnull);
	MrEmbedding *point;

	if (isnull)
		return true;
	point = DatumGetMrEmbedding(value);
	check_dimensions(reader->query, point);
	mr_tower_pool(&reader->query->version->tower, point->x, 1, reader->sum, NULL);
	reader->n++;
	if ((Pointer) point != DatumGetPointer(value))
		pfree(point);
	return true;
}

/*
 * The points of the items of an array, $1.  Few are looked up one by one: the
 * subquery's OFFSET keeps the planner from reading the whole table for them, as
 * it would for some hundred ids, at many times the cost when pages are in memory.
 * Of many it decides by the array's length.  In FROM, unnest would take a row
 * apart into its columns.
 */
static char *
points_sql(const MrQuery *query, int32 n, bool *plan_each_time)
{
	const MrKeyType *key = &query->item_key;
	const char *view = mr_relation_sql(query->model->item_view);

	*plan_each_time = n > MANY_ITEMS;
	if (n > MANY_ITEMS)
		return psprintf("SELECT v.embedding FROM %s v WHERE v.%s %s ANY ($1)",
						view, key->column, key->equals);
	return psprintf("SELECT p.embedding FROM %s CROSS JOIN LATERAL "
					"(SELECT v.embedding FROM %s v WHERE v.%s %s a.id OFFSET 0) p",
					type_is_rowtype(key->type) ? "(SELECT pg_catalog.unnest($1) AS id) a" :
					"pg_catalog.unnest($1) a(id)",
					view, key->column, key->equals);
}

/*
 * The point of a user who likes these items.  Sphere: the direction of the sum.
 * Otherwise there is no tower to ask, and the mean stands for it: the place
 * whose sum of squared distances to the items is least.
 *
 * NULL if the model knows none of the items, *known says which it was, or if
 * their sum has no direction.
 */
static MrEmbedding *
pooled_point(MrQuery *query, const MrItemSet *items, bool only_liked, int64 *known)
{
	const MrTower *tower = &query->version->tower;
	const MrKeyType *key = &query->item_key;
	MrStatement statement = {0};
	PointReader reader = {query};
	Oid			array_type;
	Datum		array = mr_key_array(key, items, only_liked, &array_type);
	MrEmbedding *point = mr_embedding_create(tower->dimensions);

	reader.sum = palloc0(sizeof(double) * tower->dimensions);
	statement.sql = points_sql(query, only_liked ? items->n_liked : mr_idmap_size(items->ids),
							   &statement.plan_each_time);
	mr_statement_add(&statement, array_type, array);
	statement.results[0] = query->embedding_type;
	mr_statement_run(&statement, receive_pooled, &reader);

	*known = reader.n;
	if (reader.n == 0)
		return NULL;
	if (tower->kind == MR_TOWER_POOLED || tower->sphere)
		return mr_tower_pool(tower, NULL, 0, reader.sum, point->x) ? point : NULL;
	for (int i = 0; i < tower->dimensions; i++)
		point->x[i] = (float) (reader.sum[i] / reader.n);
	if (tower->item_bias)
		point->x[tower->dimensions - 1] = 0;
	return point;
}

/*
 * query->point = the point of query->user, pooled from query->history if the
 * tower pools and the history holds liked items that the model knows, else the
 * stored one.  Error P0002 if there is neither.
 */
void
mr_point_of_user(MrQuery *query)
{
	int64		known;

	query->point = NULL;
	if (mr_live_history && query->version->tower.kind == MR_TOWER_POOLED &&
		query->history && query->history->n_liked > 0)
		query->point = pooled_point(query, query->history, true, &known);
	if (query->point == NULL)
		mr_point_of_row(query, &query->user_key, query->model->user_view, query->user, NEW_USER_HINT);
}

/* query->point = the stored point of a user or an item; error P0002 if there is none. */
void
mr_point_of_row(MrQuery *query, const MrKeyType *key, Oid view, Datum id, const char *hint)
{
	query->point = stored_point(query, key, view, id);
	if (query->point == NULL)
		mr_key_not_in_model(key, id, query->model->name, hint);
}

/* query->point = the point of a user who likes these; error P0002 if none is known. */
void
mr_point_of_items(MrQuery *query, const MrItemSet *items)
{
	int64		known;

	query->point = pooled_point(query, items, false, &known);
	if (query->point != NULL)
		return;
	if (known > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the points of the %d items cancel out", (int) known),
				 errhint("Leave out some of the items.")));
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("none of the %d items is in model \"%s\"", mr_idmap_size(items->ids), query->model->name),
			 errdetail("The first of them is \"%s\".", mr_key_text(&query->item_key, mr_idmap_id(items->ids, 0))),
			 errhint("Items join a model when it is trained on interactions with them.")));
}
