/*
 * dataset_posts.c
 *		From taggings (user, item, tag) to posts: pairs with their tags.
 *
 * Taggings are kept as pairs that carry a tag.  Once the matrix of the pairs is
 * there, each tagging looks up its pair in it; the pairs that are found, in their
 * order, are the posts.  The list then becomes one of pairs (post, tag), which goes
 * into a matrix as any other.
 *
 * Memory: 4 bytes per pair of the matrix while posts are numbered, 8 per post.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "data/dataset_internal.h"
#include "data/dataset_posts.h"

/* Pairs between two checks for interrupts. */
#define STEP (128 * 1024)

void
mr_taggings_init(MrPairList *list, MemoryContext context, MrBudget *budget)
{
	mr_pairs_init(list, context, budget, false, false);
	list->has_tags = true;
}

void
mr_taggings_append(MrPairList *list, MrPair pair, int32 tag)
{
	mr_pairs_append(list, pair, 1, 0);
	list->last->tags[list->last->n - 1] = tag;
}

/*
 * Drops the tags that no tagging of the list has and brings the others into the
 * canonical order, in the map and in the list.
 */
void
mr_taggings_canonicalise(MrPairList *list, MrIdMap *tags)
{
	Size		n = mr_idmap_size(tags);
	bool	   *keep = mr_budget_alloc(list->budget, list->context, n + 1);
	int32	   *new_row = mr_budget_alloc(list->budget, list->context, sizeof(int32) * (n + 1));

	memset(keep, 0, n + 1);
	for (MrPairChunk *chunk = list->first; chunk; chunk = chunk->next)
	{
		CHECK_FOR_INTERRUPTS();
		for (int32 p = 0; p < chunk->n; p++)
			keep[chunk->tags[p]] = true;
	}
	mr_idmap_canonicalise(tags, keep, new_row);
	for (MrPairChunk *chunk = list->first; chunk; chunk = chunk->next)
	{
		CHECK_FOR_INTERRUPTS();
		for (int32 p = 0; p < chunk->n; p++)
			chunk->tags[p] = new_row[chunk->tags[p]];
	}
	mr_budget_free(list->budget, new_row, sizeof(int32) * (n + 1));
	mr_budget_free(list->budget, keep, n + 1);
}

/*
 * Marks the pairs of the matrix that have a tagging, then numbers them; returns
 * how many there are.
 */
static int32
number_posts(const MrPairList *list, const MrInteractions *pairs, int32 *post_of)
{
	int64		n = 0;

	memset(post_of, 0, sizeof(int32) * pairs->n_pairs);
	for (const MrPairChunk *chunk = list->first; chunk; chunk = chunk->next)
	{
		CHECK_FOR_INTERRUPTS();
		for (int32 p = 0; p < chunk->n; p++)
			post_of[mr_interactions_find(pairs, chunk->pairs[p].user, chunk->pairs[p].item)] = 1;
	}
	for (int64 p = 0; p < pairs->n_pairs; p++)
	{
		if (p % STEP == 0)
			CHECK_FOR_INTERRUPTS();
		n += post_of[p];
		if (n > PG_INT32_MAX - 1)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many pairs with tags")));
		post_of[p] = post_of[p] ? (int32) n - 1 : -1;
	}
	return (int32) n;
}

/* Users and items of the posts. */
static void
fill_posts(const MrInteractions *pairs, const int32 *post_of, MrPosts *posts)
{
	for (int32 user = 0; user < pairs->n_users; user++)
	{
		if ((user & 0xFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		for (int64 p = pairs->user_start[user]; p < pairs->user_start[user + 1]; p++)
		{
			if (post_of[p] < 0)
				continue;
			posts->post_user[post_of[p]] = user;
			posts->post_item[post_of[p]] = pairs->items[p];
		}
	}
}

/*
 * Makes the posts of a list of taggings, whose pairs all lie in the matrix, in
 * `context`; the list is freed.  Returns the number of taggings that were there
 * more than once.
 */
int64
mr_taggings_to_posts(MrPairList *list, const MrInteractions *pairs, int32 n_tags,
					 MemoryContext context, MrPosts *posts)
{
	MrBudget   *budget = list->budget;
	Size		size = sizeof(int32) * (pairs->n_pairs + 1);
	int32	   *post_of = mr_budget_alloc(budget, list->context, size);

	posts->n_tags = n_tags;
	posts->n_posts = number_posts(list, pairs, post_of);
	posts->post_user = mr_budget_alloc(budget, context, sizeof(int32) * ((Size) posts->n_posts + 1));
	posts->post_item = mr_budget_alloc(budget, context, sizeof(int32) * ((Size) posts->n_posts + 1));
	fill_posts(pairs, post_of, posts);
	for (MrPairChunk *chunk = list->first; chunk; chunk = chunk->next)
	{
		CHECK_FOR_INTERRUPTS();
		for (int32 p = 0; p < chunk->n; p++)
		{
			MrPair	   *pair = &chunk->pairs[p];

			pair->user = post_of[mr_interactions_find(pairs, pair->user, pair->item)];
			pair->item = chunk->tags[p];
		}
	}
	mr_budget_free(budget, post_of, size);
	return mr_pairs_to_matrix(list, posts->n_posts, n_tags, context, &posts->lists);
}

/* ---- posts of another relation ---- */

typedef struct PostsState
{
	MrPairList	pairs;
	MrPairList	taggings;
} PostsState;

static void
take_batch(void *arg, const MrRowBatch *batch)
{
	PostsState *state = arg;

	for (int i = 0; i < batch->n; i++)
	{
		MrPair		pair = {batch->user[i], batch->item[i]};

		if (!batch->positive[i] || batch->tag[i] < 0)
			continue;
		mr_pairs_append(&state->pairs, pair, 1, 0);
		mr_taggings_append(&state->taggings, pair, batch->tag[i]);
	}
}

/* A map for the ids that `map` lacks, as a target of both. */
static MrKeyTarget
target_of(MrIdMap *map, MemoryContext context, MrBudget *budget)
{
	MrKeyTarget target = {map, mr_idmap_create(mr_idmap_type(map), mr_idmap_collation(map), context)};

	mr_idmap_set_budget(target.unknown, budget);
	return target;
}

static int32
target_size(const MrKeyTarget *target)
{
	return mr_idmap_size(target->map) + mr_idmap_size(target->unknown);
}

/*
 * Reads the posts of `source`, which has a tag column, in the row numbers of the
 * maps, which stay as they are.  Ids that a map lacks are numbered from its size on,
 * in the order in which they come: only their being unknown means something.
 *
 * Context, limit and errors as mr_dataset_load_mapped().
 */
MrMappedPosts *
mr_dataset_load_posts(const MrDatasetSource *source, MrIdMap *users, MrIdMap *items, MrIdMap *tags,
					  MemoryContext parent, Size limit)
{
	MemoryContext context = AllocSetContextCreate(parent, "metricrec dataset", ALLOCSET_DEFAULT_SIZES);
	MemoryContext scratch = AllocSetContextCreate(context, "metricrec dataset scratch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	MrMappedPosts *mapped = MemoryContextAllocZero(context, sizeof(MrMappedPosts));
	MrBudget	budget = {.limit = limit};
	MrKeyTarget user_target = target_of(users, scratch, &budget);
	MrKeyTarget item_target = target_of(items, scratch, &budget);
	MrKeyTarget tag_target = target_of(tags, scratch, &budget);
	MrInteractions pairs;
	MrDatasetQuery query;
	PostsState	state;

	Assert(source->tag_column);
	mapped->context = context;
	mr_dataset_prepare(source, users, items, tags, &query);
	mr_pairs_init(&state.pairs, scratch, &budget, false, false);
	mr_taggings_init(&state.taggings, scratch, &budget);
	mr_dataset_read(&query, &user_target, &item_target, &tag_target, &budget, take_batch, &state, &mapped->counts);
	mr_pairs_to_matrix(&state.pairs, target_size(&user_target), target_size(&item_target), scratch, &pairs);
	mapped->counts.repeated_tags = mr_taggings_to_posts(&state.taggings, &pairs, target_size(&tag_target),
														context, &mapped->posts);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return mapped;
}
