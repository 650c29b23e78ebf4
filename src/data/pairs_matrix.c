/*
 * pairs_matrix.c
 *		From a list of pairs to the sparse matrix of the trainer.
 *
 * Two counting passes, the stable radix sort of two digits: by item into one
 * array, then by user into the matrix.  O(pairs + users + items), no
 * comparison; what remains is to merge equal neighbours.
 *
 * The result depends on the set of pairs only.  Of the rows of one pair, the
 * weights are added in ascending order (floating-point addition is not
 * associative), and the latest time is kept.
 *
 * Memory at the peak, per pair: 8 bytes in the list and 8 in the first array,
 * then 8 and 4; with weights 4 + 4, with times 8 + 8 more.
 */
#include "postgres.h"

#include <float.h>

#include "miscadmin.h"

#include "data/pairs.h"

/* Pairs between two checks for interrupts. */
#define STEP (128 * 1024)

/* The pairs in the order of the items. */
typedef struct ItemOrder
{
	int64		n;
	MrPair	   *pairs;
	float	   *weights;
	int64	   *times;
} ItemOrder;

static inline int
compare_floats(const float *a, const float *b)
{
	return *a < *b ? -1 : *a > *b ? 1 : 0;
}

#define ST_SORT sort_floats
#define ST_ELEMENT_TYPE float
#define ST_COMPARE(a, b) compare_floats(a, b)
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

/* Counts -> positions: start[r] becomes the number of pairs of rows before r. */
static void
counts_to_starts(int64 *start, int32 n_rows)
{
	int64		sum = 0;

	for (int32 row = 0; row <= n_rows; row++)
	{
		int64		count = start[row];

		start[row] = sum;
		sum += count;
	}
}

static Size
start_size(int32 n_rows)
{
	return sizeof(int64) * ((Size) n_rows + 1);
}

/* First pass: scatters the list by item, and frees it. */
static void
scatter_by_item(MrPairList *list, int32 n_items, ItemOrder *order)
{
	Size		size = start_size(n_items);
	int64	   *next = mr_budget_alloc(list->budget, list->context, size);

	memset(next, 0, size);
	for (MrPairChunk *chunk = list->first; chunk; chunk = chunk->next)
	{
		CHECK_FOR_INTERRUPTS();
		for (int32 p = 0; p < chunk->n; p++)
			next[chunk->pairs[p].item]++;
	}
	counts_to_starts(next, n_items);

	order->n = list->n;
	order->pairs = mr_budget_alloc(list->budget, list->context, sizeof(MrPair) * list->n);
	order->weights = !list->has_weights ? NULL :
		mr_budget_alloc(list->budget, list->context, sizeof(float) * list->n);
	order->times = !list->has_times ? NULL :
		mr_budget_alloc(list->budget, list->context, sizeof(int64) * list->n);
	for (MrPairChunk *chunk = list->first; chunk; chunk = chunk->next)
	{
		CHECK_FOR_INTERRUPTS();
		for (int32 p = 0; p < chunk->n; p++)
		{
			int64		at = next[chunk->pairs[p].item]++;

			order->pairs[at] = chunk->pairs[p];
			if (order->weights)
				order->weights[at] = chunk->weights[p];
			if (order->times)
				order->times[at] = chunk->times[p];
		}
	}
	mr_budget_free(list->budget, next, size);
	mr_pairs_free(list);
}

/*
 * Second pass: scatters by user into the matrix.  user_start ends up as the
 * starts of the users' pairs.
 */
static void
scatter_by_user(const ItemOrder *order, MrInteractions *matrix)
{
	int64	   *next = matrix->user_start;

	memset(next, 0, start_size(matrix->n_users));
	for (int64 p = 0; p < order->n; p++)
	{
		if (p % STEP == 0)
			CHECK_FOR_INTERRUPTS();
		next[order->pairs[p].user]++;
	}
	counts_to_starts(next, matrix->n_users);
	for (int64 p = 0; p < order->n; p++)
	{
		int64		at = next[order->pairs[p].user]++;

		if (p % STEP == 0)
			CHECK_FOR_INTERRUPTS();
		matrix->items[at] = order->pairs[p].item;
		if (matrix->weights)
			matrix->weights[at] = order->weights[p];
		if (matrix->times)
			matrix->times[at] = order->times[p];
	}
	/* Every start has moved to the next one's place: move them back. */
	memmove(next + 1, next, sizeof(int64) * (Size) matrix->n_users);
	next[0] = 0;
}

/* The sum of n weights, whatever their order; never beyond the range of a float. */
static float
sum_weights(float *weights, int64 n)
{
	double		sum = 0;

	if (n == 1)
		return weights[0];
	sort_floats(weights, n);
	for (int64 i = 0; i < n; i++)
		sum += weights[i];
	return (float) Min(sum, FLT_MAX);
}

/* Merges the rows of each pair, in place.  Returns how many went into another. */
static int64
merge_duplicates(MrInteractions *matrix)
{
	int64		total = matrix->n_pairs;
	int64		to = 0;
	int64		from = 0;

	for (int32 user = 0; user < matrix->n_users; user++)
	{
		int64		end = matrix->user_start[user + 1];

		if ((user & 0xFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		matrix->user_start[user] = to;
		while (from < end)
		{
			int64		after = from + 1;

			while (after < end && matrix->items[after] == matrix->items[from])
				after++;
			if (matrix->weights)
				matrix->weights[to] = sum_weights(matrix->weights + from, after - from);
			if (matrix->times)
			{
				int64		latest = matrix->times[from];

				for (int64 p = from + 1; p < after; p++)
					latest = Max(latest, matrix->times[p]);
				matrix->times[to] = latest;
			}
			matrix->items[to++] = matrix->items[from];
			from = after;
		}
	}
	matrix->user_start[matrix->n_users] = to;
	matrix->n_pairs = to;
	return total - to;
}

/*
 * Makes the matrix of a list of pairs, whose rows lie in [0, n_users) and
 * [0, n_items), in `context`; the list is freed.  Returns the number of rows
 * that were merged into another row's pair.
 */
int64
mr_pairs_to_matrix(MrPairList *list, int32 n_users, int32 n_items,
				   MemoryContext context, MrInteractions *matrix)
{
	MrBudget   *budget = list->budget;
	bool		has_weights = list->has_weights;
	bool		has_times = list->has_times;
	int64		n = list->n;
	int64		merged;
	ItemOrder	order;

	memset(matrix, 0, sizeof(*matrix));
	matrix->n_users = n_users;
	matrix->n_items = n_items;
	matrix->n_pairs = n;
	matrix->user_start = mr_budget_alloc(budget, context, start_size(n_users));
	scatter_by_item(list, n_items, &order);

	matrix->items = mr_budget_alloc(budget, context, sizeof(int32) * n);
	if (has_weights)
		matrix->weights = mr_budget_alloc(budget, context, sizeof(float) * n);
	if (has_times)
		matrix->times = mr_budget_alloc(budget, context, sizeof(int64) * n);
	scatter_by_user(&order, matrix);
	mr_budget_free(budget, order.pairs, sizeof(MrPair) * n);
	mr_budget_free(budget, order.weights, sizeof(float) * n);
	mr_budget_free(budget, order.times, sizeof(int64) * n);

	merged = merge_duplicates(matrix);
	if (merged > 0)
	{
		int64		rest = matrix->n_pairs;

		matrix->items = mr_budget_realloc(budget, matrix->items, sizeof(int32) * n, sizeof(int32) * rest);
		if (has_weights)
			matrix->weights = mr_budget_realloc(budget, matrix->weights, sizeof(float) * n, sizeof(float) * rest);
		if (has_times)
			matrix->times = mr_budget_realloc(budget, matrix->times, sizeof(int64) * n, sizeof(int64) * rest);
	}
	Assert(mr_interactions_valid(matrix));
	return merged;
}

/*
 * Removes the pairs that `other`, a matrix of the same shape, holds too.
 * Returns how many.  For matrices without weights and times.
 */
int64
mr_matrix_subtract(MrInteractions *matrix, const MrInteractions *other)
{
	int64		total = matrix->n_pairs;
	int64		to = 0;
	int64		from = 0;

	Assert(matrix->n_users == other->n_users && matrix->n_items == other->n_items);
	Assert(matrix->weights == NULL && matrix->times == NULL);
	for (int32 user = 0; user < matrix->n_users; user++)
	{
		int64		end = matrix->user_start[user + 1];
		int64		o = other->user_start[user];
		int64		o_end = other->user_start[user + 1];

		if ((user & 0xFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		matrix->user_start[user] = to;
		for (; from < end; from++)
		{
			while (o < o_end && other->items[o] < matrix->items[from])
				o++;
			if (o < o_end && other->items[o] == matrix->items[from])
				continue;
			matrix->items[to++] = matrix->items[from];
		}
	}
	matrix->user_start[matrix->n_users] = to;
	matrix->n_pairs = to;
	return total - to;
}
