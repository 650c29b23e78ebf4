/*
 * nearest.c
 *		The k nearest items of many users: the products, and the order of the work.
 *		See nearest.h; nearest_pool.c selects.
 *
 * The lists are those of mr_l2_distance(), the distance of the operator <->: nearest
 * first, equal distances by row.  They do not depend on the library that made the
 * products, nor on the blocks.
 */
#include <float.h>
#include <math.h>

#include "math/gemm.h"
#include "model/nearest_pool.h"

/* The memory of a call, cut into arrays. */
typedef struct NearestRun
{
	const MrNearestInput *in;
	MrTicker	ticker;
	int32_t		n_users;
	MrPool	   *pools;			/* [n_users] */
	MrPoolEntry *entries;		/* [n_users][stride] */
	int64_t		stride;
	float	   *scores;			/* [n_users][MR_NEAREST_TILE] */
	int32_t    *ids;			/* [MR_NEAREST_TILE] */
} NearestRun;

/* Of a list: no more than there are items. */
int32_t
mr_nearest_length(const MrNearestInput *in)
{
	return in->k < in->n_items ? in->k : in->n_items;
}

/* The next n * size bytes; counts them if there is no memory. */
static void *
carve(uint8_t *memory, size_t *used, size_t n, size_t size)
{
	size_t		at = *used;

	*used += (n * size + 63) / 64 * 64;
	return memory ? memory + at : NULL;
}

static size_t
plan(NearestRun *run, uint8_t *memory)
{
	size_t		n = (size_t) run->n_users;
	size_t		used = 0;

	run->stride = mr_pool_soft(mr_nearest_length(run->in)) + MR_NEAREST_TILE;
	run->pools = carve(memory, &used, n, sizeof(MrPool));
	if (run->in->candidates != NULL)
		return used;
	run->entries = carve(memory, &used, n * (size_t) run->stride, sizeof(MrPoolEntry));
	run->scores = carve(memory, &used, n * MR_NEAREST_TILE, sizeof(float));
	run->ids = carve(memory, &used, MR_NEAREST_TILE, sizeof(int32_t));
	return used;
}

/*
 * Bytes of memory of mr_nearest() for n_users users, their lists not counted.  k is
 * at most MR_MAX_K and n_users at most MR_NEAREST_BLOCK, so they can be counted.
 */
size_t
mr_nearest_bytes(const MrNearestInput *in, int32_t n_users)
{
	NearestRun	run = {in};

	run.n_users = n_users;
	return plan(&run, NULL);
}

/*
 * Measure the items, once for all blocks.
 *	 half_norms		[n_items] |v|^2 / 2; infinite where single precision overflows
 *	 largest		[mr_nearest_tiles(n_items)] at least the length of each item of the tile
 */
MrStatus
mr_nearest_measure(const MrNearestInput *in, float *half_norms, float *largest, MrPoll poll, void *arg)
{
	MrTicker	ticker = {poll, arg};

	for (int32_t j = 0; j < in->n_items && !ticker.stopped; j++)
	{
		const float *v = in->items + (size_t) j * in->dimensions;
		float	   *most = &largest[j / MR_NEAREST_TILE];
		double		square = 0;
		double		length;

		for (int32_t i = 0; i < in->dimensions; i++)
			square += (double) v[i] * v[i];
		half_norms[j] = square < FLT_MAX ? (float) (square / 2) : INFINITY;
		length = sqrt(square) * (1 + FLT_EPSILON);
		if (j % MR_NEAREST_TILE == 0 || length > *most)
			*most = length < FLT_MAX ? nextafterf((float) length, INFINITY) : INFINITY;
		mr_tick(&ticker, in->dimensions);
	}
	return ticker.stopped ? MR_STOPPED : MR_OK;
}

/* scores[i][j] = u_i . v_j for the block's users and the items [start, start + n). */
static void
products(NearestRun *run, int32_t first, int32_t start, int32_t n)
{
	const MrNearestInput *in = run->in;
	int32_t		d = in->dimensions;
	const float *users = in->users + (size_t) first * d;
	const float *items = in->items + (size_t) start * d;

	if (mr_gemm_loaded())
	{
		mr_gemm(MR_AS_IS, MR_TRANSPOSED, run->n_users, n, d, 1.0f, users, d, items, d,
				0.0f, run->scores, MR_NEAREST_TILE);
		/* An optimised product does about sixteen multiplications in the time of one. */
		mr_tick(&run->ticker, (int64_t) run->n_users * n * d / 16);
		return;
	}
	for (int32_t i = 0; i < run->n_users && !run->ticker.stopped; i++)
	{
		mr_plain_dots(users + (size_t) i * d, items, n, d, 1.0f, run->scores + (size_t) i * MR_NEAREST_TILE);
		mr_tick(&run->ticker, (int64_t) n * d);
	}
}

static void
scan_items(NearestRun *run, int32_t first)
{
	int32_t		n_items = run->in->n_items;

	for (int32_t start = 0; start < n_items && !run->ticker.stopped; start += MR_NEAREST_TILE)
	{
		int32_t		n = n_items - start < MR_NEAREST_TILE ? n_items - start : MR_NEAREST_TILE;

		products(run, first, start, n);
		for (int32_t i = 0; i < run->n_users && !run->ticker.stopped; i++)
			mr_pool_take(&run->pools[i], run->scores + (size_t) i * MR_NEAREST_TILE, start, n, run->ids);
	}
}

/* Candidates of a user are few: each by its distance.  Both lists ascend. */
static void
scan_candidates(MrPool *pool, const MrInteractions *candidates, int32_t user)
{
	int64_t		end = candidates->user_start[user + 1];

	for (int64_t c = candidates->user_start[user]; c < end && !pool->ticker->stopped; c++)
	{
		int32_t		row = candidates->items[c];

		while (pool->left_out < pool->left_out_end && *pool->left_out < row)
			pool->left_out++;
		if (pool->left_out == pool->left_out_end || *pool->left_out != row)
			mr_pool_push(pool, row);
	}
}

/*
 * The lists of the users [first, first + n).
 *
 *	memory	mr_nearest_bytes(in, n) bytes, aligned for a double
 *	poll	called at least every 50 ms with arg; true stops with MR_STOPPED and lists
 *			that are only partly written; NULL: never stops
 *	lists	[n][mr_nearest_length(in)] distance and row of the items
 *	counts	[n] the lengths of the lists
 *
 * Products go through OpenBLAS if mr_gemm_load() has opened it in this process, else
 * through a plain loop: slower, the same lists.
 */
MrStatus
mr_nearest(const MrNearestInput *in, int32_t first, int32_t n, void *memory, size_t bytes,
		   MrPoll poll, void *arg, MrTopItem *lists, int32_t *counts)
{
	NearestRun	run = {in};
	size_t		k = (size_t) mr_nearest_length(in);

	run.ticker.poll = poll;
	run.ticker.arg = arg;
	run.n_users = n;
	if (plan(&run, NULL) > bytes)
		return MR_OUT_OF_MEMORY;
	(void) plan(&run, memory);
	for (int32_t i = 0; i < n; i++)
		mr_pool_open(&run.pools[i], in, &run.ticker, first + i,
					 run.entries ? run.entries + (size_t) i * run.stride : NULL, lists + (size_t) i * k);
	if (in->candidates == NULL)
		scan_items(&run, first);
	for (int32_t i = 0; i < n && !run.ticker.stopped; i++)
	{
		if (in->candidates != NULL)
			scan_candidates(&run.pools[i], in->candidates, first + i);
		counts[i] = (int32_t) mr_pool_close(&run.pools[i]);
	}
	return run.ticker.stopped ? MR_STOPPED : MR_OK;
}
