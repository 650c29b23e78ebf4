/*
 * batch_users.c
 *		The users of a batch: who they are, their stored points, what they have seen.
 *
 * All users: those of the model, and where the tower pools the history, those who
 * came since, as recommend() answers them too.  With a relation of users, those of
 * its users whom recommend() would answer.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "recommend/batch.h"
#include "util/guc.h"
#include "util/pgutil.h"

/* Makes room for all users of the map; new ones have no flags. */
static void
grow_users(MrBatch *batch, int64 n)
{
	Size		width = sizeof(float) * batch->query->version->tower.dimensions;
	int64		capacity = batch->user_capacity;

	if (n <= capacity)
		return;
	capacity = Max(n, capacity + capacity / 2 + 1024);
	batch->user_points = mr_batch_grow(batch, batch->user_points, batch->user_capacity, capacity, width);
	batch->user_flags = mr_batch_grow(batch, batch->user_flags, batch->user_capacity, capacity, sizeof(uint8));
	memset(batch->user_flags + batch->user_capacity, 0, capacity - batch->user_capacity);
	batch->user_capacity = capacity;
}

/* A row of the relation of users: the id. */
static bool
receive_id(TupleTableSlot *slot, void *arg)
{
	MrBatch    *batch = arg;
	bool		isnull;
	Datum		id = slot_getattr(slot, 1, &isnull);

	if (!isnull)
		mr_idmap_insert(batch->users, id);
	batch->budget.rows++;
	return true;
}

/* A row of the view: id, embedding [, interactions]. */
static bool
receive_user(TupleTableSlot *slot, void *arg)
{
	MrBatch    *batch = arg;
	Size		width = sizeof(float) * batch->query->version->tower.dimensions;
	bool		isnull[3] = {false, false, true};
	Datum		id = slot_getattr(slot, 1, &isnull[0]);
	Datum		value = slot_getattr(slot, 2, &isnull[1]);
	Datum		interactions = (Datum) 0;
	MrEmbedding *point;
	int32		row;

	if (isnull[0])
		return true;
	row = mr_idmap_insert(batch->users, id);
	grow_users(batch, mr_idmap_size(batch->users));
	if (slot->tts_tupleDescriptor->natts > 2)
		interactions = slot_getattr(slot, 3, &isnull[2]);
	if (!isnull[2] && DatumGetInt64(interactions) > 0)
		batch->user_flags[row] |= MR_USER_TRAINED;
	batch->budget.rows++;
	if (isnull[1])
		return true;
	point = DatumGetMrEmbedding(value);
	mr_point_check_dimensions(batch->query, point);
	memcpy((char *) batch->user_points + width * row, point->x, width);
	batch->user_flags[row] |= MR_USER_HAS_POINT;
	if ((Pointer) point != DatumGetPointer(value))
		pfree(point);
	return true;
}

/* " WHERE alias.column = ANY (SELECT ... FROM the relation of users)", or "" */
static char *
restriction(const MrBatch *batch, const char *column)
{
	const MrQuery *query = batch->query;

	if (!OidIsValid(batch->users_relation))
		return NULL;
	return psprintf("%s %s ANY (SELECT c.%s FROM %s c)", column, query->user_key.equals,
					quote_identifier(query->model->user_column), mr_relation_sql(batch->users_relation));
}

/* The ids of the relation of users, in their order. */
static void
read_relation(MrBatch *batch)
{
	const MrQuery *query = batch->query;
	const MrKeyType *key = &query->user_key;
	const char *column = query->model->user_column;
	Oid			relation = batch->users_relation;
	MrStatement statement = {0};

	mr_candidates_check_column(query, relation, "users", key, column);
	statement.sql = psprintf("SELECT %s FROM %s c%s",
							 mr_key_column_sql(key, "c", column, get_atttype(relation, get_attnum(relation, column))),
							 mr_relation_sql(relation), mr_key_order_sql(key, "c", column));
	statement.results[0] = key->type;
	mr_statement_run(&statement, receive_id, batch);
	grow_users(batch, mr_idmap_size(batch->users));
}

/* The users of the model and their points. */
static void
read_points(MrBatch *batch)
{
	const MrQuery *query = batch->query;
	const MrKeyType *key = &query->user_key;
	Oid			view = query->model->user_view;
	char	   *condition = restriction(batch, "v.user_id");
	bool		with_interactions = mr_column_readable(view, "interactions");
	MrStatement statement = {0};

	statement.sql = psprintf("SELECT %s, v.embedding%s FROM %s v%s%s%s",
							 mr_key_column_sql(key, "v", key->column, get_atttype(view, get_attnum(view, key->column))),
							 with_interactions ? ", v.interactions" : "", mr_relation_sql(view),
							 condition ? " WHERE " : "", condition ? condition : "",
							 condition ? "" : mr_key_order_sql(key, "v", key->column));
	statement.results[0] = key->type;
	statement.results[1] = query->embedding_type;
	statement.results[2] = INT8OID;
	mr_statement_run(&statement, receive_user, batch);
}

/* What is left of metricrec.training_memory, for a load that counts for itself. */
static Size
memory_left(const MrBatch *batch)
{
	return batch->budget.used < batch->budget.limit ? batch->budget.limit - batch->budget.used : 1;
}

static void
load_histories(void *arg)
{
	MrBatch    *batch = arg;
	const MrModel *model = batch->query->model;
	MrDatasetSource source = {0};

	source.relation = model->interactions;
	source.user_column = model->user_column;
	source.item_column = model->item_column;
	source.condition = restriction(batch, psprintf("t.%s", quote_identifier(model->user_column)));
	source.keep_bad_values = true;
	if (batch->live)
	{
		source.rating_column = model->rating_column;
		source.weight_column = model->weight_column;
		source.has_min_rating = model->has_min_rating;
		source.min_rating = model->min_rating;
	}
	batch->histories = mr_dataset_load_histories(&source, batch->users,
												 batch->live && !OidIsValid(batch->users_relation),
												 batch->items, batch->context, memory_left(batch));
	batch->budget.used += MemoryContextMemAllocated(batch->histories->context, true);
}

/*
 * What the users have seen, if it is to be left out or their points are made of it.
 * The conditions are those of mr_history_read().
 */
static void
read_histories(MrBatch *batch)
{
	MrQuery    *query = batch->query;

	batch->live = mr_live_history && query->version->tower.kind == MR_TOWER_POOLED && mr_history_readable(query);
	if (query->exclude_seen)
		mr_history_check(query, false, MR_SEEN_HINT);
	if (!query->exclude_seen && !batch->live)
		return;
	mr_history_work(load_histories, batch, MR_SEEN_HINT);
	grow_users(batch, mr_idmap_size(batch->users));
}

/* The candidates of each user, where they are pairs. */
static void
read_pairs(MrBatch *batch)
{
	const MrQuery *query = batch->query;
	MrDatasetSource source = {0};
	MrMappedPairs *mapped;

	if (!mr_candidates_are_pairs(query))
		return;
	mr_candidates_check_column(query, query->candidates, "candidates", &query->user_key, query->model->user_column);
	source.relation = query->candidates;
	source.user_column = query->model->user_column;
	source.item_column = query->model->item_column;
	mapped = mr_dataset_load_mapped(&source, batch->users, batch->items, batch->context, memory_left(batch));
	batch->pairs = &mapped->pairs;
	batch->budget.used += MemoryContextMemAllocated(mapped->context, true);
}

/* Reads who is answered and what is known of them. */
void
mr_batch_read_users(MrBatch *batch)
{
	const MrKeyType *key = &batch->query->user_key;

	batch->users = mr_idmap_create(key->type, key->collation, batch->context);
	mr_idmap_set_budget(batch->users, &batch->budget);
	if (OidIsValid(batch->users_relation))
		read_relation(batch);
	read_points(batch);
	batch->n_sorted = mr_idmap_size(batch->users);
	read_histories(batch);
	read_pairs(batch);
}
