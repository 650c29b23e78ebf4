/*
 * nearest_pool.c
 *		One user's pool: the items that may be among the k nearest.  See
 *		nearest_pool.h.
 */
#include <float.h>
#include <math.h>

#include "math/rowmath.h"
#include "math/vecmath.h"
#include "model/nearest_pool.h"

/*
 * What a squared distance, halved, may be off by, relative to itself: vecmath.h
 * promises 2e-6 of the distance.
 */
#define DISTANCE_ERROR 2.1e-6

/* Work of a step of a selection, in multiplications. */
#define SELECT_WORK 16

/* A float that is not above x. */
static inline float
float_below(double x)
{
	x -= fabs(x) * FLT_EPSILON + FLT_MIN;
	return x > -FLT_MAX ? (float) x : -FLT_MAX;
}

/*
 * Bound of what the score of a product is off by, for items no longer than
 * `largest`; infinite if single precision may overflow.
 *
 * The product: d * 2^-24 |u||v| in any order of summation, fused or not; |v|^2 / 2 and
 * the difference some more; the factor is twice that.  FLT_MIN is for products that
 * underflow.  The distance: DISTANCE_ERROR of its square, at most (|u| + |v|)^2.
 */
static double
score_error(const MrPool *pool, double largest)
{
	double		sum = pool->length + largest;
	double		size = (pool->length + largest / 2) * largest;

	if (!(size < FLT_MAX / 8))
		return INFINITY;
	return (pool->in->dimensions + 4.0) * (FLT_EPSILON * size + FLT_MIN) + DISTANCE_ERROR * sum * sum;
}

static double
error_of_row(const MrPool *pool, int32_t row)
{
	return score_error(pool, pool->in->largest[row / MR_NEAREST_TILE]);
}

/*
 * An empty pool over entries[mr_pool_soft(k) + MR_NEAREST_TILE] and list[k], k being
 * mr_nearest_length().
 */
void
mr_pool_open(MrPool *pool, const MrNearestInput *in, MrTicker *ticker, int32_t user,
			 MrPoolEntry *entries, MrTopItem *list)
{
	int32_t		k = mr_nearest_length(in);

	pool->in = in;
	pool->ticker = ticker;
	pool->point = in->users + (size_t) user * in->dimensions;
	pool->square = 0;
	for (int32_t i = 0; i < in->dimensions; i++)
		pool->square += (double) pool->point[i] * pool->point[i];
	pool->length = sqrt(pool->square);
	pool->bound = -FLT_MAX;
	pool->exact = false;
	pool->soft = (int32_t) mr_pool_soft(k);
	pool->n = 0;
	pool->entries = entries;
	pool->left_out = pool->left_out_end = NULL;
	if (in->left_out != NULL)
	{
		pool->left_out = in->left_out->items + in->left_out->user_start[user];
		pool->left_out_end = in->left_out->items + in->left_out->user_start[user + 1];
	}
	mr_topk_init(&pool->top, list, k);
}

/* Offer an item to the list, by its distance. */
void
mr_pool_push(MrPool *pool, int32_t row)
{
	const MrNearestInput *in = pool->in;

	mr_topk_push(&pool->top,
				 mr_l2_distance(pool->point, in->items + (size_t) row * in->dimensions, in->dimensions), row);
	mr_tick(pool->ticker, in->dimensions + SELECT_WORK);
}

static inline float
median_of_3(float a, float b, float c)
{
	if (a < b)
		return b < c ? b : a < c ? c : a;
	return a < c ? a : b < c ? c : b;
}

/*
 * A number that at least k of the n entries are not below, 1 <= k <= n: the k-th
 * largest, unless the selection goes so badly that its rounds run out.  Entries
 * change places.
 */
static float
kth_largest(MrPoolEntry *entries, int32_t n, int32_t k, MrTicker *ticker)
{
	int32_t		low = 0;
	int32_t		high = n - 1;
	float		least;

	/* What is before `low` is not below, what is behind `high` not above what is between. */
	for (int round = 0; low < high && round < 100 && !ticker->stopped; round++)
	{
		float		pivot = median_of_3(entries[low].low, entries[low + (high - low) / 2].low, entries[high].low);
		int32_t		i = low;
		int32_t		j = high;

		while (i <= j)
		{
			while (entries[i].low > pivot)
				i++;
			while (entries[j].low < pivot)
				j--;
			if (i <= j)
			{
				MrPoolEntry entry = entries[i];

				entries[i++] = entries[j];
				entries[j--] = entry;
			}
		}
		mr_tick(ticker, (int64_t) (high - low) * SELECT_WORK);
		if (k - 1 > j && k - 1 < i)
			return pivot;
		if (k - 1 <= j)
			high = j;
		else
			low = i;
	}
	least = entries[high].low;
	for (int32_t i = low; i < high; i++)
		least = entries[i].low < least ? entries[i].low : least;
	return least;
}

/*
 * A bound from the first tile, before any of its items is taken in: the largest
 * scores of more than k groups belong to as many items, so that at least k are not
 * below the k-th largest of them.
 */
static float
first_bound(MrPool *pool, const float *scores, const float *half_norms, int32_t n, double error)
{
	int32_t		k = (int32_t) pool->top.k;
	float		most[MR_NEAREST_TILE / 2];
	int32_t		groups = 16;

	while (groups < k + k / 4 && groups <= n)
		groups *= 2;
	if (2 * groups > n)
		return -FLT_MAX;
	for (int32_t j = 0; j < groups; j++)
		most[j] = scores[j] - half_norms[j];
	for (int32_t i = groups; i + groups <= n; i += groups)
		for (int32_t j = 0; j < groups; j++)
		{
			float		score = scores[i + j] - half_norms[i + j];

			most[j] = score > most[j] ? score : most[j];
		}
	for (int32_t j = 0; j < groups; j++)
	{
		pool->entries[j].low = float_below(most[j] - error);
		pool->entries[j].row = 0;
	}
	return kth_largest(pool->entries, groups, k, pool->ticker);
}

/* Throw out what cannot be among the k nearest. */
static void
prune(MrPool *pool)
{
	int32_t		kept = 0;

	if (pool->n <= pool->top.k)
		return;
	pool->bound = kth_largest(pool->entries, pool->n, (int32_t) pool->top.k, pool->ticker);
	for (int32_t i = 0; i < pool->n; i++)
	{
		MrPoolEntry entry = pool->entries[i];

		/* the last part gives back what float_below() has taken */
		if (entry.low >= pool->bound ||
			entry.low + 2 * (error_of_row(pool, entry.row) + fabs(entry.low) * FLT_EPSILON + FLT_MIN) >= pool->bound)
			pool->entries[kept++] = entry;
	}
	pool->n = kept;
}

/*
 * The items of the pool go to the list, by their distances.  Their points lie
 * anywhere: the first lines of one some places ahead are asked for meanwhile.
 */
static void
push_all(MrPool *pool)
{
	int32_t		d = pool->in->dimensions;

	for (int32_t i = 0; i < pool->n && !pool->ticker->stopped; i++)
	{
		if (i + 4 < pool->n)
			for (int32_t l = 0; l < d && l < 128; l += 16)
				__builtin_prefetch(pool->in->items + (size_t) pool->entries[i + 4].row * d + l);
		mr_pool_push(pool, pool->entries[i].row);
	}
	pool->n = 0;
}

/* Give the left-out items of [first, first + n) a score that no bound lets pass. */
static void
mask(MrPool *pool, float *scores, int32_t first, int32_t n)
{
	for (; pool->left_out < pool->left_out_end && *pool->left_out < first + n; pool->left_out++)
		scores[*pool->left_out - first] = -INFINITY;
}

/* The least score of an item that may be among the k nearest. */
static float
threshold(const MrPool *pool, double error)
{
	double		distance;

	if (!pool->exact)
		return float_below(pool->bound - error);
	distance = mr_topk_bound(&pool->top);
	if (isinf(distance))
		return -FLT_MAX;
	/* what double precision loses when a long u meets short points */
	error += 4 * (pool->in->dimensions + 8) * DBL_EPSILON * (pool->square + distance * distance);
	return float_below((pool->square - distance * distance) / 2 - error);
}

/* All items of a tile whose scores mean nothing. */
static void
take_all(MrPool *pool, float *scores, int32_t first, int32_t n)
{
	for (int32_t i = 0; i < n; i++)
		scores[i] = 0;
	mask(pool, scores, first, n);
	push_all(pool);
	pool->exact = true;
	for (int32_t i = 0; i < n && !pool->ticker->stopped; i++)
		if (scores[i] == 0)
			mr_pool_push(pool, first + i);
}

/*
 * Take in the items [first, first + n) of one tile; tiles ascend.
 *	 scores		[n] u.v; changed
 *	 ids		[n] scratch
 */
void
mr_pool_take(MrPool *pool, float *scores, int32_t first, int32_t n, int32_t *ids)
{
	const float *half_norms = pool->in->half_norms + first;
	double		error = error_of_row(pool, first);
	int32_t		count;

	if (isinf(error))
	{
		take_all(pool, scores, first, n);
		return;
	}
	mask(pool, scores, first, n);
	if (first == 0 && !pool->exact)
		pool->bound = first_bound(pool, scores, half_norms, n, error);
	count = (int32_t) mr_rowmath()->above(scores, half_norms, threshold(pool, error), (size_t) n, ids);
	mr_tick(pool->ticker, n / 16 + 8);
	if (pool->exact)
	{
		for (int32_t i = 0; i < count && !pool->ticker->stopped; i++)
			mr_pool_push(pool, first + ids[i]);
		return;
	}
	for (int32_t i = 0; i < count; i++)
	{
		MrPoolEntry *entry = &pool->entries[pool->n++];

		entry->low = float_below((double) (scores[ids[i]] - half_norms[ids[i]]) - error);
		entry->row = first + ids[i];
	}
	if (pool->n > pool->soft)
		prune(pool);
	if (pool->n > pool->soft)
	{
		push_all(pool);
		pool->exact = true;
	}
}

/* The list is ready, nearest first; returns its length. */
int64_t
mr_pool_close(MrPool *pool)
{
	if (!pool->exact)
		prune(pool);
	push_all(pool);
	mr_topk_sort(&pool->top);
	return pool->top.n;
}
