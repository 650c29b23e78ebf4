/*
 * query_point.c
 *		First stage: the point that a query asks the neighbours of.
 *
 *	user	with a pooled tower and live history, the pool of the liked items'
 *			points, taken through the version's user tower with the user's features
 *			if it has one; else the stored point.  A user who came after the training
 *			is folded in as a set of items is; without items, the tower makes a point
 *			of the features alone
 *	item	its stored point, all coordinates: with a bias, the bias counts as one
 *	items	what the tower would make of a user who liked exactly these, and of whom
 *			no features are known; from there gradient steps (folding.c)
 *
 * The bias coordinate of a user is 0 (model/tower.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "embed/live.h"
#include "recommend/query.h"
#include "util/guc.h"
#include "util/pgutil.h"

/* Liked items beyond which a scan of all items may be the faster way to their points. */
#define MANY_ITEMS 5000

#define NEW_USER_HINT "Use recommend_for_items() with items that the user likes, or train the model again."

/* Error unless a point read from the version's table has the version's dimensions. */
void
mr_point_check_dimensions(const MrQuery *query, const MrEmbedding *point)
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
	float	   *likes;			/* [Min(n, capacity)][dimensions], or NULL */
	int64		capacity;
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
		mr_point_check_dimensions(reader->query, reader->point);
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

/* Keeps a point for the steps, as long as they are not too many. */
static void
keep_like(PointReader *reader, const MrEmbedding *point)
{
	Size		width = sizeof(float) * point->dim;

	if (reader->n >= MR_FOLD_IN_MAX_LIKES)
		return;
	if (reader->n >= reader->capacity)
	{
		reader->capacity = Min(2 * reader->capacity, MR_FOLD_IN_MAX_LIKES);
		reader->likes = repalloc_huge(reader->likes, width * reader->capacity);
	}
	memcpy(reader->likes + reader->n * point->dim, point->x, width);
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
	mr_point_check_dimensions(reader->query, point);
	mr_tower_pool(&reader->query->version->tower, point->x, 1, reader->sum, NULL);
	if (reader->likes)
		keep_like(reader, point);
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

/* The items of a set that the model knows. */
typedef struct KnownItems
{
	bool		with_likes;		/* are their points wanted? */
	int64		n;
	float	   *likes;			/* [Min(n, MR_FOLD_IN_MAX_LIKES)][dimensions] */
} KnownItems;

/*
 * The point of a user who likes these items.  Sphere: the direction of the sum.
 * Otherwise there is no tower to ask, and the mean stands for it: the place
 * whose sum of squared distances to the items is least.
 *
 * NULL if the model knows none of the items, known->n says which it was, or if
 * their sum has no direction.
 */
static MrEmbedding *
pooled_point(MrQuery *query, const MrItemSet *items, bool only_liked, KnownItems *known)
{
	const MrTower *tower = &query->version->tower;
	const MrKeyType *key = &query->item_key;
	MrStatement statement = {0};
	PointReader reader = {query};
	Oid			array_type;
	Datum		array = mr_key_array(key, items, only_liked, &array_type);
	MrEmbedding *point = mr_embedding_create(tower->dimensions);

	if (known->with_likes)
	{
		reader.capacity = 16;
		reader.likes = palloc(sizeof(float) * tower->dimensions * reader.capacity);
	}
	reader.sum = palloc0(sizeof(double) * tower->dimensions);
	statement.sql = points_sql(query, only_liked ? items->n_liked : mr_idmap_size(items->ids),
							   &statement.plan_each_time);
	mr_statement_add(&statement, array_type, array);
	statement.results[0] = query->embedding_type;
	mr_statement_run(&statement, receive_pooled, &reader);

	known->n = reader.n;
	known->likes = reader.likes;
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

/* Takes a point by steps to the one that the loss wants. */
static void
fold_in(MrQuery *query, const KnownItems *known, float *point)
{
	MrFoldIn   *f = known->n <= MR_FOLD_IN_MAX_LIKES ? mr_folding_begin(query) : NULL;

	if (f)
		mr_folding_steps_from(f, known->likes, known->n, mr_folding_steps(query), point);
}

static bool
receive_any(TupleTableSlot *slot, void *arg)
{
	*(bool *) arg = true;
	return false;
}

/*
 * Did query->user come after the training?  Of one with many likes it does not
 * matter, and one who may not look cannot know.  Points that were made of features
 * or put in by hand have no interactions.
 */
static bool
is_new_user(MrQuery *query)
{
	const MrKeyType *key = &query->user_key;
	Oid			view = query->model->user_view;
	MrStatement statement = {0};
	bool		is_trained = false;

	if (mr_folding_steps(query) == 0 || query->history->n_liked > MR_NEW_USER_LIKES ||
		!mr_column_readable(view, key->column) || !mr_column_readable(view, "interactions"))
		return false;
	statement.sql = psprintf("SELECT v.interactions FROM %s v WHERE v.%s %s $1 AND v.interactions OPERATOR(pg_catalog.>) 0",
							 mr_relation_sql(view), key->column, key->equals);
	mr_statement_add(&statement, key->type, query->user);
	statement.results[0] = INT8OID;
	mr_statement_run(&statement, receive_any, &is_trained);
	return !is_trained;
}

/*
 * The point of query->user as things are now, or NULL: nothing is known that the
 * stored point does not have.  The stored one, if the features cannot be read.
 */
static MrEmbedding *
live_point(MrQuery *query)
{
	MrLiveUser	user = {query->user, query->user_key.type, query->user_key.equals};
	MrEmbedding *point;
	KnownItems	known = {false};

	if (!mr_live_history || query->version->tower.kind != MR_TOWER_POOLED ||
		query->history == NULL || query->history->n_liked == 0)
		return NULL;
	known.with_likes = is_new_user(query);
	point = pooled_point(query, query->history, true, &known);
	if (point == NULL)
		return NULL;
	if (mr_live_point(query->model, query->version, &user, point->x, point->x) == MR_LIVE_UNREADABLE)
	{
		MrEmbedding *stored = known.with_likes ? NULL :
			stored_point(query, &query->user_key, query->model->user_view, query->user);

		if (stored)
			return stored;
		/* a new user of whom nothing but the history can be known */
		(void) mr_live_point(query->model, query->version, NULL, point->x, point->x);
	}
	if (known.with_likes)
		fold_in(query, &known, point->x);
	return point;
}

/* The point of query->user by the features alone, or NULL. */
static MrEmbedding *
point_of_features(MrQuery *query)
{
	MrLiveUser	user = {query->user, query->user_key.type, query->user_key.equals};
	MrEmbedding *point = mr_embedding_create(query->version->tower.dimensions);

	if (!mr_live_history ||
		mr_live_point(query->model, query->version, &user, NULL, point->x) != MR_LIVE_POINT)
		return NULL;
	return point;
}

/*
 * query->point = the point of query->user, from query->history and the features if
 * the tower pools and the history holds liked items that the model knows; else the
 * stored one; else from the features.  Error P0002 if there is none of them.
 */
void
mr_point_of_user(MrQuery *query)
{
	query->point = live_point(query);
	if (query->point == NULL)
		query->point = stored_point(query, &query->user_key, query->model->user_view, query->user);
	if (query->point == NULL)
		query->point = point_of_features(query);
	if (query->point == NULL)
		mr_key_not_in_model(&query->user_key, query->user, query->model->name, NEW_USER_HINT);
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
	KnownItems	known = {mr_folding_steps(query) > 0};

	query->point = pooled_point(query, items, false, &known);
	if (query->point != NULL)
	{
		if (query->version->tower.kind == MR_TOWER_POOLED)
			(void) mr_live_point(query->model, query->version, NULL, query->point->x, query->point->x);
		if (known.with_likes)
			fold_in(query, &known, query->point->x);
		return;
	}
	if (known.n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the points of the %d items cancel out", (int) known.n),
				 errhint("Leave out some of the items.")));
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("none of the %d items is in model \"%s\"", mr_idmap_size(items->ids), query->model->name),
			 errdetail("The first of them is \"%s\".", mr_key_text(&query->item_key, mr_idmap_id(items->ids, 0))),
			 errhint("Items join a model when it is trained on interactions with them.")));
}
