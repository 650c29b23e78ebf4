/*
 * pairs.c
 *		The list of pairs that a load appends to.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "data/pairs.h"

#define FIRST_CHUNK 4096
#define LAST_CHUNK (256 * 1024) /* pairs: small enough to be one step between interrupts */

void
mr_pairs_init(MrPairList *list, MemoryContext context, MrBudget *budget,
			  bool has_weights, bool has_times)
{
	memset(list, 0, sizeof(*list));
	list->context = context;
	list->budget = budget;
	list->has_weights = has_weights;
	list->has_times = has_times;
}

static void
add_chunk(MrPairList *list)
{
	MrPairChunk *chunk = MemoryContextAllocZero(list->context, sizeof(MrPairChunk));

	chunk->capacity = list->last ? Min(list->last->capacity * 2, LAST_CHUNK) : FIRST_CHUNK;
	chunk->pairs = mr_budget_alloc(list->budget, list->context, sizeof(MrPair) * chunk->capacity);
	if (list->has_weights)
		chunk->weights = mr_budget_alloc(list->budget, list->context, sizeof(float) * chunk->capacity);
	if (list->has_times)
		chunk->times = mr_budget_alloc(list->budget, list->context, sizeof(int64) * chunk->capacity);
	if (list->has_tags)
		chunk->tags = mr_budget_alloc(list->budget, list->context, sizeof(int32) * chunk->capacity);
	if (list->last)
		list->last->next = chunk;
	else
		list->first = chunk;
	list->last = chunk;
}

/* Appends a pair; weight and time are ignored if the list has none. */
void
mr_pairs_append(MrPairList *list, MrPair pair, float weight, int64 time)
{
	MrPairChunk *chunk = list->last;

	if (chunk == NULL || chunk->n == chunk->capacity)
	{
		add_chunk(list);
		chunk = list->last;
	}
	chunk->pairs[chunk->n] = pair;
	if (chunk->weights)
		chunk->weights[chunk->n] = weight;
	if (chunk->times)
		chunk->times[chunk->n] = time;
	chunk->n++;
	list->n++;
}

/* Sets users[u] and items[i] for every pair (u, i). */
void
mr_pairs_mark(const MrPairList *list, bool *users, bool *items)
{
	for (const MrPairChunk *chunk = list->first; chunk; chunk = chunk->next)
	{
		CHECK_FOR_INTERRUPTS();
		for (int32 p = 0; p < chunk->n; p++)
		{
			users[chunk->pairs[p].user] = true;
			items[chunk->pairs[p].item] = true;
		}
	}
}

/*
 * Replaces row numbers by new ones, and removes the pairs whose user or item
 * has none (-1).  Returns how many were removed.
 */
int64
mr_pairs_renumber(MrPairList *list, const int32 *new_user, const int32 *new_item)
{
	int64		removed = 0;

	for (MrPairChunk *chunk = list->first; chunk; chunk = chunk->next)
	{
		int32		n = 0;

		CHECK_FOR_INTERRUPTS();
		for (int32 p = 0; p < chunk->n; p++)
		{
			int32		user = new_user[chunk->pairs[p].user];
			int32		item = new_item[chunk->pairs[p].item];

			if (user < 0 || item < 0)
				continue;
			chunk->pairs[n].user = user;
			chunk->pairs[n].item = item;
			if (chunk->weights)
				chunk->weights[n] = chunk->weights[p];
			if (chunk->times)
				chunk->times[n] = chunk->times[p];
			if (chunk->tags)
				chunk->tags[n] = chunk->tags[p];
			n++;
		}
		removed += chunk->n - n;
		chunk->n = n;
	}
	list->n -= removed;
	return removed;
}

/* Frees the chunks; the list is empty afterwards. */
void
mr_pairs_free(MrPairList *list)
{
	MrPairChunk *chunk = list->first;

	while (chunk)
	{
		MrPairChunk *next = chunk->next;

		mr_budget_free(list->budget, chunk->pairs, sizeof(MrPair) * chunk->capacity);
		mr_budget_free(list->budget, chunk->weights, sizeof(float) * chunk->capacity);
		mr_budget_free(list->budget, chunk->times, sizeof(int64) * chunk->capacity);
		mr_budget_free(list->budget, chunk->tags, sizeof(int32) * chunk->capacity);
		pfree(chunk);
		chunk = next;
	}
	list->first = list->last = NULL;
	list->n = 0;
}
