/*
 * rank_scan.c
 *		All items against a block of users, by matrix products.
 *
 * The product does not promise equal scores for equal points (its edge kernels
 * sum in another order than the inner ones), so it only decides the clear
 * cases:
 *
 *		s~(u, j) = 2 u.v_j - |v_j|^2		single precision, blocked GEMM
 *		|s~ - s| <= e						rounding bound of any summation order
 *		s~ > s(h) + e						j is before h
 *		s~ < s(h) - e						j is behind h
 *		else								both distances by mr_rank_distance()
 *
 * so that the ranks do not depend on the library that made the products.
 *
 * Limit: a user whose distances are all equal (a zero point among items on the
 * sphere) costs n_items exact distances, about ten times the normal price.
 */
#include <float.h>
#include <math.h>

#include "math/gemm.h"
#include "model/rank_run.h"

#define FEW 8					/* held-out items that are compared one by one */

static void products(RankRun *run, int32_t n_slots, int32_t first, int32_t n);
static void scan_row(RankRun *run, RankSlot *slot, float *row, int32_t first, int32_t n, double largest);
static void count_few(RankRun *run, RankSlot *slot, const float *row, int32_t first, int32_t n);
static void count_many(RankRun *run, RankSlot *slot, const float *row, int32_t first, int32_t n);
static void fill_list(RankRun *run, RankSlot *slot, const float *row, int32_t first, int32_t n, double error);

/* All items against the users of the block. */
void
mr_rank_all_items(RankRun *run, int32_t n_slots)
{
	int32_t		n_items = run->in->held_out->n_items;
	int32_t		n;

	for (int32_t first = 0; first < n_items && !run->stopped; first += n)
	{
		double		largest = 0;

		n = n_items - first < run->item_block ? n_items - first : run->item_block;
		for (int32_t j = first; j < first + n; j++)
			largest = run->norms[j] > largest ? run->norms[j] : largest;
		products(run, n_slots, first, n);
		for (int32_t i = 0; i < n_slots && !run->stopped; i++)
			scan_row(run, &run->slots[i], run->scores + (size_t) i * run->item_block, first, n, sqrt(largest));
	}
}

/*
 * scores[i][j] = 2 u_i . v_j for the users of the block and the items
 * [first, first + n).
 */
static void
products(RankRun *run, int32_t n_slots, int32_t first, int32_t n)
{
	int32_t		d = run->in->dimensions;
	const float *items = run->in->items + (size_t) first * d;

	if (mr_gemm_loaded())
	{
		mr_gemm(MR_AS_IS, MR_TRANSPOSED, n_slots, n, d, 2.0f, run->users, d, items, d,
				0.0f, run->scores, run->item_block);

		/* An optimised product does about sixteen multiplications in the time of one. */
		tick(run, (int64_t) n_slots * n * d / 16);
		return;
	}
	for (int32_t i = 0; i < n_slots && !run->stopped; i++)
	{
		mr_plain_dots(run->users + (size_t) i * d, items, n, d, 2.0f, run->scores + (size_t) i * run->item_block);
		tick(run, (int64_t) n * d);
	}
}

/* A float that is surely not below x, and one that is surely not above it. */
static float
float_above(double x)
{
	return x >= FLT_MAX ? INFINITY : x <= -FLT_MAX ? -FLT_MAX : nextafterf((float) x, INFINITY);
}

static float
float_below(double x)
{
	return x <= -FLT_MAX ? -INFINITY : x >= FLT_MAX ? FLT_MAX : nextafterf((float) x, -INFINITY);
}

/*
 * The score |u|^2 - d of an exact distance, plus and minus its uncertainty.
 * The second term is what double precision loses when a long u meets short
 * points.  Both never rise with d.
 */
static float
score_above(const RankSlot *slot, double d, double error, int32_t dimensions)
{
	if (isinf(error))
		return INFINITY;
	if (isinf(d))
		return -FLT_MAX;
	return float_above(slot->norm - d + error + 2 * (dimensions + 8) * DBL_EPSILON * (slot->norm + d));
}

static float
score_below(const RankSlot *slot, double d, double error, int32_t dimensions)
{
	if (isinf(error) || isinf(d))
		return -INFINITY;
	return float_below(slot->norm - d - error - 2 * (dimensions + 8) * DBL_EPSILON * (slot->norm + d));
}

/* Give the user's items of `pairs` in [first, first + n) the score of no item. */
static void
mask(const MrInteractions *pairs, int32_t user, float *row, int32_t first, int32_t n)
{
	int64_t		end = pairs->user_start[user + 1];

	for (int64_t p = mr_interactions_find(pairs, user, first); p < end && pairs->items[p] < first + n; p++)
		row[pairs->items[p] - first] = -INFINITY;
}

/*
 * Count one user's items of a block against the held-out ones and offer them
 * to the list.
 *	 row		[n] 2 u.v_j
 *	 largest	the largest |v_j| of the block
 */
static void
scan_row(RankRun *run, RankSlot *slot, float *row, int32_t first, int32_t n, double largest)
{
	const MrRankInput *in = run->in;
	double		size = 2 * sqrt(slot->norm) * largest + largest * largest;
	double		error;

	/*
	 * Rounding: the product is off by at most d * 2^-24 * 2 |u||v| in any order
	 * of summation, fused or not, |v|^2 and the difference by some more.  The
	 * factor is twice that.  The last term is for products that underflow.
	 */
	error = (in->dimensions + 4.0) * (FLT_EPSILON * size + FLT_MIN);

	if (size < FLT_MAX / 8)
	{
		for (int32_t j = 0; j < n; j++)
			row[j] -= run->norms[first + j];
	}
	else
	{
		/* Single precision overflows: nothing is clear, all go the exact way. */
		for (int32_t j = 0; j < n; j++)
			row[j] = 0;
		error = INFINITY;
	}
	if (in->excluded)
		mask(in->excluded, slot->user, row, first, n);
	if (in->excluded_more)
		mask(in->excluded_more, slot->user, row, first, n);
	mask(in->held_out, slot->user, row, first, n);

	for (int32_t p = 0; p < slot->n_held; p++)
	{
		run->high[p] = score_above(slot, slot->held[p].distance, error, in->dimensions);
		run->low[p] = score_below(slot, slot->held[p].distance, error, in->dimensions);
	}
	if (slot->n_held <= FEW)
		count_few(run, slot, row, first, n);
	else
		count_many(run, slot, row, first, n);
	if (slot->top.k > 0)
		fill_list(run, slot, row, first, n, error);
	tick(run, n);
}

/*
 * Few held-out items: compare the row with each, without a branch.
 */
static void
count_few(RankRun *run, RankSlot *slot, const float *row, int32_t first, int32_t n)
{
	int32_t		before = 0;		/* others before position p - 1 */

	for (int32_t p = 0; p < slot->n_held && !run->stopped; p++)
	{
		float		low = run->low[p];
		float		high = run->high[p];
		int32_t		clear = 0;
		int32_t		possible = 0;

		for (int32_t j = 0; j < n; j++)
		{
			clear += row[j] > high;
			possible += row[j] >= low;
		}
		for (int32_t j = 0; possible > clear && j < n && !run->stopped; j++)
		{
			if (row[j] >= low && row[j] <= high && row[j] != -INFINITY &&
				mr_rank_pair_distance(run, slot->user, first + j) <= slot->held[p].distance)
				clear++;
		}
		slot->others[p] += clear - before;
		before = clear;
	}
}

/*
 * Many held-out items: find each item's position among them.
 */
static void
count_many(RankRun *run, RankSlot *slot, const float *row, int32_t first, int32_t n)
{
	int32_t		held = slot->n_held;
	float		lowest = run->low[held - 1];

	for (int32_t j = 0; j < n && !run->stopped; j++)
	{
		int32_t		p = 0;
		int32_t		width = held;

		if (row[j] < lowest || row[j] == -INFINITY)
			continue;

		/* The first position that is clearly behind: high[] never rises. */
		while (width > 0)
		{
			int32_t		half = width / 2;
			bool		right = !(run->high[p + half] < row[j]);

			p += right ? half + 1 : 0;
			width = right ? width - half - 1 : half;
		}
		if (p > 0 && run->low[p - 1] <= row[j])
			p = mr_rank_position(slot, mr_rank_pair_distance(run, slot->user, first + j));
		if (p < held)
			slot->others[p]++;
	}
}

/*
 * Offer the items of the row that may enter the list, by exact distance.
 */
static void
fill_list(RankRun *run, RankSlot *slot, const float *row, int32_t first, int32_t n, double error)
{
	int32_t		d = run->in->dimensions;
	float		least = score_below(slot, mr_topk_bound(&slot->top), error, d);

	for (int32_t j = 0; j < n && !run->stopped; j++)
	{
		if (row[j] < least || row[j] == -INFINITY)
			continue;
		if (mr_topk_push(&slot->top, mr_rank_pair_distance(run, slot->user, first + j), first + j))
			least = score_below(slot, mr_topk_bound(&slot->top), error, d);
	}
}
