/*
 * dataset_histories.c
 *		From a relation to everything that users have seen, in the rows of existing
 *		maps: for answers to many users at once.
 *
 * Items that the map lacks are left out as they are read: nobody can be given them.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "data/dataset_internal.h"
#include "data/pairs.h"

typedef struct HistoryState
{
	int32		n_users;		/* rows below these count */
	int32		n_items;
	MrPairList	positives;
	MrPairList	others;
} HistoryState;

static void
take_batch(void *arg, const MrRowBatch *batch)
{
	HistoryState *state = arg;

	for (int i = 0; i < batch->n; i++)
	{
		MrPair		pair = {batch->user[i], batch->item[i]};

		if (pair.user < state->n_users && pair.item < state->n_items)
			mr_pairs_append(batch->positive[i] ? &state->positives : &state->others, pair, 1, 0);
	}
}

/*
 * Reads the rows of `source` in the row numbers of the maps.  add_users: a user whom
 * the map lacks is added to it; else the map stays as it is, as that of the items
 * always does.
 *
 * Context, limit and errors as mr_dataset_load_mapped().
 */
MrHistories *
mr_dataset_load_histories(const MrDatasetSource *source, MrIdMap *users, bool add_users, MrIdMap *items,
						  MemoryContext parent, Size limit)
{
	MemoryContext context = AllocSetContextCreate(parent, "metricrec dataset", ALLOCSET_DEFAULT_SIZES);
	MemoryContext scratch = AllocSetContextCreate(context, "metricrec dataset scratch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	MrHistories *histories = MemoryContextAllocZero(context, sizeof(MrHistories));
	MrBudget	budget = {.limit = limit};
	MrKeyTarget user_target = {users, NULL};
	MrKeyTarget item_target = {items, mr_idmap_create(mr_idmap_type(items), mr_idmap_collation(items), scratch)};
	MrDatasetCounts counts = {0};
	MrDatasetQuery query;
	HistoryState state;

	histories->context = context;
	if (!add_users)
		user_target.unknown = mr_idmap_create(mr_idmap_type(users), mr_idmap_collation(users), scratch);
	mr_idmap_set_budget(item_target.unknown, &budget);
	if (user_target.unknown)
		mr_idmap_set_budget(user_target.unknown, &budget);
	state.n_users = add_users ? PG_INT32_MAX : mr_idmap_size(users);
	state.n_items = mr_idmap_size(items);
	mr_pairs_init(&state.positives, scratch, &budget, false, false);
	mr_pairs_init(&state.others, scratch, &budget, false, false);

	mr_dataset_prepare(source, users, items, NULL, &query);
	mr_dataset_read(&query, &user_target, &item_target, NULL, &budget, take_batch, &state, &counts);
	mr_pairs_to_matrix(&state.positives, mr_idmap_size(users), state.n_items, context, &histories->positives);
	mr_pairs_to_matrix(&state.others, mr_idmap_size(users), state.n_items, context, &histories->others);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return histories;
}
