/*
 * dataset_load.c
 *		From a relation to the data set of a training.
 *
 *	1. read: ids become provisional rows; positive pairs go into one list, pairs
 *	   that are only seen into another
 *	2. users and items without a positive are dropped, the others renumbered into
 *	   the canonical order of their ids
 *	3. both lists become matrices; a pair that is positive by any of its rows is
 *	   taken out of the seen ones
 *	4. with a tag column, the taggings of the positives become posts
 *
 * The result depends on the set of the rows, not on their physical order, the
 * page layout or the plan.
 *
 * Memory, per row that is read: 16 bytes at the peak (the list, and its copy in
 * the order of the items), 8 more with weights, 16 more with times; afterwards 4
 * bytes per distinct pair (+ 4, + 8).  The maps come on top (idmap.c).  A tagging
 * takes 12 bytes until it is in a post.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "data/dataset_internal.h"
#include "data/dataset_posts.h"
#include "data/pairs.h"

/* What the sink of a load fills. */
typedef struct LoadState
{
	MrPairList	positives;
	MrPairList	seen;
	MrPairList	taggings;		/* of positives */
} LoadState;

static void
take_batch(void *arg, const MrRowBatch *batch)
{
	LoadState  *state = arg;

	for (int i = 0; i < batch->n; i++)
	{
		MrPair		pair = {batch->user[i], batch->item[i]};

		if (batch->positive[i])
			mr_pairs_append(&state->positives, pair, batch->weight[i], batch->time[i]);
		else
			mr_pairs_append(&state->seen, pair, 1, 0);
		if (batch->positive[i] && batch->tag[i] >= 0)
			mr_taggings_append(&state->taggings, pair, batch->tag[i]);
	}
}

/*
 * Drops the users and items that have no positive and brings the others into
 * the canonical order, in the maps and in both lists.
 */
static void
canonicalise(MrDataset *dataset, LoadState *state, MrBudget *budget, MemoryContext scratch)
{
	Size		n_users = mr_idmap_size(dataset->users);
	Size		n_items = mr_idmap_size(dataset->items);
	Size		keep_size = n_users + n_items + 1;
	Size		row_size = sizeof(int32) * keep_size;
	bool	   *keep = mr_budget_alloc(budget, scratch, keep_size);
	int32	   *new_row = mr_budget_alloc(budget, scratch, row_size);

	memset(keep, 0, keep_size);
	mr_pairs_mark(&state->positives, keep, keep + n_users);
	mr_idmap_canonicalise(dataset->users, keep, new_row);
	mr_idmap_canonicalise(dataset->items, keep + n_users, new_row + n_users);
	mr_pairs_renumber(&state->positives, new_row, new_row + n_users);
	mr_pairs_renumber(&state->taggings, new_row, new_row + n_users);
	dataset->counts.dropped = mr_pairs_renumber(&state->seen, new_row, new_row + n_users);
	mr_budget_free(budget, new_row, row_size);
	mr_budget_free(budget, keep, keep_size);
}

/*
 * Reads the interactions of `source` as the calling role.
 *
 * limit: bytes that may be held at any time, 0 = no limit.  The result lies in a
 * context of its own under `parent`: delete that to free it all.  It may be
 * empty (no user, no item, no pair); that is for the caller to judge.
 *
 * A pair with several rows is positive if any row qualifies; the weight is the
 * sum of the weights of the qualifying rows, the time the latest of theirs.
 *
 * Errors: those of mr_dataset_check_columns(), 53200 beyond the limit, 54000
 * with more than 2^31 - 1 users or items, and what the query itself raises.
 */
MrDataset *
mr_dataset_load(const MrDatasetSource *source, MemoryContext parent, Size limit)
{
	MemoryContext context = AllocSetContextCreate(parent, "metricrec dataset", ALLOCSET_DEFAULT_SIZES);
	MemoryContext scratch = AllocSetContextCreate(context, "metricrec dataset scratch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	MrDataset  *dataset = MemoryContextAllocZero(context, sizeof(MrDataset));
	MrBudget   *budget = MemoryContextAllocZero(context, sizeof(MrBudget));
	MrKeyTarget users = {NULL, NULL};
	MrKeyTarget items = {NULL, NULL};
	MrKeyTarget tags = {NULL, NULL};
	MrDatasetQuery query;
	LoadState	state;
	int32		n_users;
	int32		n_items;

	budget->limit = limit;
	dataset->context = context;
	mr_dataset_prepare(source, NULL, NULL, NULL, &query);
	users.map = dataset->users = mr_idmap_create(query.user_type, query.user_collation, context);
	items.map = dataset->items = mr_idmap_create(query.item_type, query.item_collation, context);
	mr_idmap_set_budget(users.map, budget);
	mr_idmap_set_budget(items.map, budget);
	if (query.tag_at >= 0)
	{
		tags.map = dataset->tags = mr_idmap_create(query.tag_type, query.tag_collation, context);
		mr_idmap_set_budget(tags.map, budget);
	}
	mr_pairs_init(&state.positives, scratch, budget, query.weight_at >= 0, query.time_at >= 0);
	mr_pairs_init(&state.seen, scratch, budget, false, false);
	mr_taggings_init(&state.taggings, scratch, budget);

	mr_dataset_read(&query, &users, &items, &tags, budget, take_batch, &state, &dataset->counts);
	canonicalise(dataset, &state, budget, scratch);
	n_users = mr_idmap_size(dataset->users);
	n_items = mr_idmap_size(dataset->items);
	dataset->counts.duplicates = mr_pairs_to_matrix(&state.positives, n_users, n_items, context, &dataset->positives);
	dataset->counts.duplicates += mr_pairs_to_matrix(&state.seen, n_users, n_items, context, &dataset->seen);
	dataset->counts.duplicates += mr_matrix_subtract(&dataset->seen, &dataset->positives);

	if (dataset->tags)
	{
		dataset->posts = MemoryContextAllocZero(context, sizeof(MrPosts));
		mr_taggings_canonicalise(&state.taggings, dataset->tags);
		dataset->counts.repeated_tags = mr_taggings_to_posts(&state.taggings, &dataset->positives,
															 mr_idmap_size(dataset->tags), context, dataset->posts);
	}

	dataset->bytes = budget->used;
	dataset->peak_bytes = budget->peak;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return dataset;
}
