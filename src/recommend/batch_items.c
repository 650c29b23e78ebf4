/*
 * batch_items.c
 *		The items of a batch: their points, in the order of their ids.
 *
 * recommend() puts equal distances in the order of the ids, so the rows are numbered
 * in that order: they are read in it.  A type that has none leaves ties as they come.
 *
 * Where the answer is restricted to candidates, the others are read all the same:
 * users may like them.  They go when the users have their points.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "recommend/batch.h"
#include "util/pgutil.h"

/* One row: id, embedding [, is it a candidate]; without id or embedding it is no item. */
static bool
receive_item(TupleTableSlot *slot, void *arg)
{
	MrBatch    *batch = arg;
	Size		width = sizeof(float) * batch->query->version->tower.dimensions;
	int64		n = mr_idmap_size(batch->items);
	bool		isnull[3] = {false, false, true};
	Datum		id = slot_getattr(slot, 1, &isnull[0]);
	Datum		value = slot_getattr(slot, 2, &isnull[1]);
	MrEmbedding *point;
	int32		row;

	if (isnull[0] || isnull[1])
		return true;
	point = DatumGetMrEmbedding(value);
	mr_point_check_dimensions(batch->query, point);
	batch->budget.rows++;
	if (n >= batch->item_capacity)
	{
		int64		capacity = batch->item_capacity + batch->item_capacity / 2 + 1024;

		batch->item_points = mr_batch_grow(batch, batch->item_points, batch->item_capacity, capacity, width);
		if (slot->tts_tupleDescriptor->natts > 2)
			batch->is_candidate = mr_batch_grow(batch, batch->is_candidate, batch->item_capacity, capacity, sizeof(bool));
		batch->item_capacity = capacity;
	}
	row = mr_idmap_insert(batch->items, id);
	memcpy((char *) batch->item_points + width * row, point->x, width);
	if (batch->is_candidate)
		batch->is_candidate[row] = DatumGetBool(slot_getattr(slot, 3, &isnull[2])) && !isnull[2];
	if ((Pointer) point != DatumGetPointer(value))
		pfree(point);
	return true;
}

/* Reads all items of the model that the caller may see. */
void
mr_batch_read_items(MrBatch *batch)
{
	const MrQuery *query = batch->query;
	const MrKeyType *key = &query->item_key;
	Oid			view = query->model->item_view;
	MrStatement statement = {0};
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s, v.embedding",
					 mr_key_column_sql(key, "v", key->column, get_atttype(view, get_attnum(view, key->column))));
	if (OidIsValid(query->candidates))
		mr_candidates_check_column(query, query->candidates, "candidates", key, query->model->item_column);
	if (OidIsValid(query->candidates) && !mr_candidates_are_pairs(query))
		appendStringInfo(&sql, ", v.item_id %s ANY (SELECT c.%s FROM %s c)", key->equals,
						 quote_identifier(query->model->item_column), mr_relation_sql(query->candidates));
	appendStringInfo(&sql, " FROM %s v%s", mr_relation_sql(view), mr_key_order_sql(key, "v", key->column));

	batch->items = mr_idmap_create(key->type, key->collation, batch->context);
	mr_idmap_set_budget(batch->items, &batch->budget);
	statement.sql = sql.data;
	statement.results[0] = key->type;
	statement.results[1] = query->embedding_type;
	statement.results[2] = BOOLOID;
	mr_statement_run(&statement, receive_item, batch);
	batch->n_candidates = mr_idmap_size(batch->items);
}

/* From now on item_points has the candidates alone. */
void
mr_batch_keep_candidates(MrBatch *batch)
{
	int32		n = mr_idmap_size(batch->items);
	Size		width = sizeof(float) * batch->query->version->tower.dimensions;
	char	   *points = (char *) batch->item_points;

	if (batch->is_candidate == NULL || n == 0)
		return;
	batch->place = mr_batch_grow(batch, NULL, 0, n, sizeof(int32));
	batch->item_row = mr_batch_grow(batch, NULL, 0, n, sizeof(int32));
	batch->n_candidates = 0;
	for (int32 row = 0; row < n; row++)
	{
		batch->place[row] = -1;
		if (!batch->is_candidate[row])
			continue;
		batch->place[row] = batch->n_candidates;
		batch->item_row[batch->n_candidates] = row;
		memmove(points + width * batch->n_candidates++, points + width * row, width);
	}
}
