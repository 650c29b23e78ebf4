/*
 * dataset_mapped.c
 *		From another relation to the rows of existing maps: the test, candidate
 *		and exclude relations of an evaluation.
 *
 * Ids that the maps lack get numbers beyond those of the maps.  So all pairs go
 * through one list and one sort, and afterwards the unknown items stand at the
 * end of each user, the unknown users at the end of the matrix.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "data/dataset_internal.h"
#include "data/pairs.h"

static void
take_batch(void *arg, const MrRowBatch *batch)
{
	MrPairList *list = arg;

	for (int i = 0; i < batch->n; i++)
	{
		MrPair		pair = {batch->user[i], batch->item[i]};

		if (batch->positive[i])
			mr_pairs_append(list, pair, batch->weight[i], batch->time[i]);
	}
}

/*
 * Cuts the matrix down to the users and items of the maps, in place, and counts
 * what is cut off.
 */
static void
split_off_unknown(MrMappedPairs *mapped, int32 n_users, int32 n_items)
{
	MrInteractions *x = &mapped->pairs;
	int64		to = 0;
	int64		from = 0;

	mapped->unknown_user_pairs = x->n_pairs - x->user_start[n_users];
	for (int32 user = n_users; user < x->n_users; user++)
		if (x->user_start[user + 1] > x->user_start[user])
			mapped->unknown_users++;
	for (int32 user = 0; user < n_users; user++)
	{
		int64		end = x->user_start[user + 1];

		if ((user & 0xFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		x->user_start[user] = to;
		for (; from < end && x->items[from] < n_items; from++, to++)
		{
			x->items[to] = x->items[from];
			if (x->weights)
				x->weights[to] = x->weights[from];
			if (x->times)
				x->times[to] = x->times[from];
		}
		mapped->unknown_items[user] = (int32) (end - from);
		from = end;
	}
	x->user_start[n_users] = to;
	x->n_pairs = to;
	x->n_users = n_users;
	x->n_items = n_items;
}

/*
 * Reads the pairs of `source` in the row numbers of `users` and `items`, which
 * stay as they are.  Rows below the minimum rating are left out (counted).  Keys
 * of another type than the maps' are cast to it.
 *
 * Context, limit and errors as mr_dataset_load(); 42846 if there is no cast.
 * The limit does not count the maps.
 */
MrMappedPairs *
mr_dataset_load_mapped(const MrDatasetSource *source, MrIdMap *users, MrIdMap *items,
					   MemoryContext parent, Size limit)
{
	MemoryContext context = AllocSetContextCreate(parent, "metricrec dataset", ALLOCSET_DEFAULT_SIZES);
	MemoryContext scratch = AllocSetContextCreate(context, "metricrec dataset scratch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	MrMappedPairs *mapped = MemoryContextAllocZero(context, sizeof(MrMappedPairs));
	MrBudget	budget = {.limit = limit};
	int32		n_users = mr_idmap_size(users);
	int32		n_items = mr_idmap_size(items);
	MrKeyTarget user_target = {users, mr_idmap_create(mr_idmap_type(users), mr_idmap_collation(users), scratch)};
	MrKeyTarget item_target = {items, mr_idmap_create(mr_idmap_type(items), mr_idmap_collation(items), scratch)};
	MrDatasetQuery query;
	MrPairList	list;
	int64		all_users;
	int64		all_items;

	mapped->context = context;
	mr_idmap_set_budget(user_target.unknown, &budget);
	mr_idmap_set_budget(item_target.unknown, &budget);
	mr_dataset_prepare(source, users, items, NULL, &query);
	mr_pairs_init(&list, scratch, &budget, query.weight_at >= 0, query.time_at >= 0);
	mr_dataset_read(&query, &user_target, &item_target, NULL, &budget, take_batch, &list, &mapped->counts);

	all_users = (int64) n_users + mr_idmap_size(user_target.unknown);
	all_items = (int64) n_items + mr_idmap_size(item_target.unknown);
	mapped->unknown_items = mr_budget_alloc(&budget, context, sizeof(int32) * (Size) Max(n_users, 1));
	mapped->counts.duplicates = mr_pairs_to_matrix(&list, (int32) all_users, (int32) all_items,
												   context, &mapped->pairs);
	split_off_unknown(mapped, n_users, n_items);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return mapped;
}
