/*
 * rank.c
 *		Ranks of held-out items among all items, or among given candidates.
 *
 * Nearest first, so item j counts against held-out item h when
 * d(u, j) <= d(u, h): a tie with an item that is not held out is lost.  A tie
 * must therefore be a tie: equal item points must give equal distances.
 * mr_rank_distance() sums in double precision, always in the same order; the
 * ranks are those of these distances.  rank_scan.c decides the clear cases by a
 * matrix product; with candidates only their distances are computed, here.
 *
 * Users are taken in blocks of those who have something held out, items in
 * blocks of rows; the memory does not grow with the number of pairs but with
 * the busiest user's held-out items.  With a scorer users come one by one, and -score
 * takes the place of the distance (rank_scores.c).  A distance that is not a number counts as
 * infinite.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "model/rank_run.h"

#define USER_BLOCK 64
#define ITEM_BLOCK 512
#define ITEM_BLOCK_MIN 64
#define HELD_BLOCK 8192			/* held-out pairs of one block of users */

static bool plan(RankRun *run, const MrRankInput *in, uint8_t *memory, size_t *bytes);
static void item_norms(RankRun *run);
static int32_t next_block(RankRun *run, int32_t *user);
static void open_slot(RankRun *run, RankSlot *slot, int32_t user);
static void close_slot(RankRun *run, RankSlot *slot);
static void rank_candidates(RankRun *run, RankSlot *slot);

/*
 * Squared Euclidean distance in double precision, summed in one fixed order:
 * the same two points give the same bits wherever they lie.  Not inlined, for
 * the compiler could contract one copy of it to fused operations and not
 * another.  Infinite if it is not a number.
 */
__attribute__((noinline)) double
mr_rank_distance(const float *u, const float *v, int32_t dimensions)
{
	double		sum[4] = {0, 0, 0, 0};
	double		total;
	int32_t		i = 0;

	for (; i + 4 <= dimensions; i += 4)
	{
		for (int lane = 0; lane < 4; lane++)
		{
			double		difference = (double) u[i + lane] - v[i + lane];

			sum[lane] += difference * difference;
		}
	}
	for (; i < dimensions; i++)
	{
		double		difference = (double) u[i] - v[i];

		sum[0] += difference * difference;
	}
	total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
	return isnan(total) ? INFINITY : total;
}

/*
 * Bytes of memory for mr_rank(), the output not counted; SIZE_MAX if they
 * cannot be counted in a size_t.
 */
size_t
mr_rank_bytes(const MrRankInput *in)
{
	RankRun		run;
	size_t		bytes;

	return plan(&run, in, NULL, &bytes) ? bytes : SIZE_MAX;
}

/*
 * Rank every held-out pair.
 *
 *	memory	mr_rank_bytes() bytes, aligned for a double
 *	poll	called at least every 50 ms with arg; true stops with MR_STOPPED and
 *			an output that is only partly written; NULL: never stops
 *
 * Every MrInteractions of `in` has the same n_users and n_items.  Products go
 * through OpenBLAS if mr_gemm_load() has opened it in this process, else
 * through a plain loop: slower, the same ranks.
 */
MrStatus
mr_rank(const MrRankInput *in, void *memory, size_t bytes,
		MrPoll poll, void *arg, MrRankOutput *out)
{
	RankRun		run;
	size_t		needed;
	int32_t		user = mr_rank_part(in, in->part);
	int32_t		n_slots;

	if (!plan(&run, in, memory, &needed) || bytes < needed)
		return MR_OUT_OF_MEMORY;
	run.out = out;
	run.poll = poll;
	run.arg = arg;

	if (in->candidates == NULL && in->scorer == NULL)
		item_norms(&run);
	while (!run.stopped && (n_slots = next_block(&run, &user)) > 0)
	{
		if (in->candidates == NULL && in->scorer != NULL)
			mr_rank_scores(&run, &run.slots[0]);
		else if (in->candidates == NULL)
			mr_rank_all_items(&run, n_slots);
		for (int32_t i = 0; i < n_slots && !run.stopped; i++)
		{
			if (in->candidates != NULL)
				rank_candidates(&run, &run.slots[i]);
			close_slot(&run, &run.slots[i]);
		}
	}
	return run.stopped ? MR_STOPPED : MR_OK;
}

/* The exact distance of a user and an item; with a scorer, of the current user: the score, negated. */
double
mr_rank_pair_distance(RankRun *run, int32_t user, int32_t item)
{
	size_t		d = (size_t) run->in->dimensions;

	if (run->in->scorer != NULL)
		return isnan(run->row[item]) ? INFINITY : -(double) run->row[item];
	tick(run, run->in->dimensions);
	return mr_rank_distance(run->in->users + user * d, run->in->items + item * d, run->in->dimensions);
}

/* Reserve n * size bytes at the end; false if the sum overflows. */
static bool
reserve(size_t *bytes, int64_t n, size_t size, uint8_t *memory, void *array)
{
	size_t		offset = *bytes;
	uint8_t    *place = memory ? memory + offset : NULL;

	if ((uint64_t) n > (SIZE_MAX - 64 - offset) / size)
		return false;
	*bytes = (offset + (size_t) n * size + 63) / 64 * 64;
	memcpy(array, &place, sizeof(place));
	return true;
}

/*
 * Choose the sizes of the blocks and cut `memory`, if given, into arrays.
 * False if the bytes overflow.
 */
static bool
plan(RankRun *run, const MrRankInput *in, uint8_t *memory, size_t *bytes)
{
	const MrInteractions *held_out = in->held_out;
	int32_t		block;

	memset(run, 0, sizeof(*run));
	run->in = in;
	for (int32_t u = 0; u < held_out->n_users; u++)
	{
		int64_t		n = held_out->user_start[u + 1] - held_out->user_start[u];

		if (n > run->busiest)
			run->busiest = n;
	}
	run->held_block = held_out->n_pairs < HELD_BLOCK ? held_out->n_pairs : HELD_BLOCK;
	if (run->held_block < run->busiest)
		run->held_block = run->busiest;

	/* One product is at most about 2^24 multiplications, up to 4,096 dimensions. */
	block = in->dimensions > ITEM_BLOCK ? ITEM_BLOCK * ITEM_BLOCK / in->dimensions : ITEM_BLOCK;
	block = block < ITEM_BLOCK_MIN ? ITEM_BLOCK_MIN : block;
	run->item_block = in->candidates || in->scorer ? 0 : block < held_out->n_items ? block : held_out->n_items;
	run->user_block = in->scorer ? 1 : USER_BLOCK;	/* there is one row of scores */
	run->user_block = run->user_block < held_out->n_users ? run->user_block : held_out->n_users;
	run->list = in->top_k < held_out->n_items ? in->top_k : held_out->n_items;
	run->list = run->list > 0 ? run->list : 0;

	*bytes = 0;
	return reserve(bytes, run->user_block, sizeof(RankSlot), memory, &run->slots) &&
		reserve(bytes, in->candidates || in->scorer ? 0 : (int64_t) run->user_block * in->dimensions, sizeof(float), memory, &run->users) &&
		reserve(bytes, in->scorer ? held_out->n_items : 0, sizeof(float), memory, &run->row) &&
		reserve(bytes, (int64_t) run->user_block * run->item_block, sizeof(float), memory, &run->scores) &&
		reserve(bytes, in->candidates || in->scorer ? 0 : held_out->n_items, sizeof(float), memory, &run->norms) &&
		reserve(bytes, run->held_block, sizeof(MrTopItem), memory, &run->held) &&
		reserve(bytes, run->held_block, sizeof(int32_t), memory, &run->others) &&
		reserve(bytes, run->busiest, sizeof(float), memory, &run->low) &&
		reserve(bytes, run->busiest, sizeof(float), memory, &run->high) &&
		reserve(bytes, (int64_t) run->user_block * run->list, sizeof(MrTopItem), memory, &run->lists);
}

/* |v|^2 of a point; infinite if it is not finite in single precision. */
static double
squared_norm(const float *v, int32_t dimensions)
{
	double		sum = 0;

	for (int32_t i = 0; i < dimensions; i++)
		sum += (double) v[i] * v[i];
	return sum < FLT_MAX ? sum : INFINITY;
}

static void
item_norms(RankRun *run)
{
	int32_t		d = run->in->dimensions;

	for (int32_t j = 0; j < run->in->held_out->n_items && !run->stopped; j++)
	{
		run->norms[j] = (float) squared_norm(run->in->items + (size_t) j * d, d);
		tick(run, d);
	}
}

/*
 * Open slots for the next evaluated users from *user on.  Returns their
 * number, 0 at the end.
 */
static int32_t
next_block(RankRun *run, int32_t *user)
{
	const MrInteractions *held_out = run->in->held_out;
	int64_t		used = 0;
	int32_t		n = 0;

	for (; *user < mr_rank_part(run->in, run->in->part + 1) && n < run->user_block && !run->stopped; (*user)++)
	{
		int64_t		known = held_out->user_start[*user + 1] - held_out->user_start[*user];
		int32_t		unknown = run->in->unknown_items ? run->in->unknown_items[*user] : 0;

		/* A user without a known held-out item matters for the lists only. */
		if (known == 0 && (unknown == 0 || run->in->top_k <= 0))
			continue;
		if (known > run->held_block - used)
			break;
		run->slots[n].held = run->held + used;
		run->slots[n].others = run->others + used;
		run->slots[n].n_held = (int32_t) known;
		mr_topk_init(&run->slots[n].top, run->lists + (size_t) n * run->list, run->list);
		open_slot(run, &run->slots[n], *user);
		if (run->in->candidates == NULL && run->in->scorer == NULL)
			memcpy(run->users + (size_t) n * run->in->dimensions,
				   run->in->users + (size_t) *user * run->in->dimensions,
				   sizeof(float) * run->in->dimensions);
		used += known;
		n++;
	}
	return run->stopped ? 0 : n;
}

/*
 * Put the user's held-out items in order of their exact distances, and into the
 * list: they are in it even where they are excluded.
 */
static void
open_slot(RankRun *run, RankSlot *slot, int32_t user)
{
	const MrInteractions *held_out = run->in->held_out;
	MrTopK		order;

	slot->user = user;
	if (run->in->scorer != NULL)
		mr_rank_fetch_scores(run, user);
	else
		slot->norm = squared_norm(run->in->users + (size_t) user * run->in->dimensions, run->in->dimensions);
	mr_topk_init(&order, slot->held, slot->n_held);
	for (int64_t p = held_out->user_start[user]; p < held_out->user_start[user + 1]; p++)
	{
		double		d = mr_rank_pair_distance(run, user, held_out->items[p]);

		/* Pairs of a user ascend with the item, so ties go by item row. */
		mr_topk_push(&order, d, p);
		mr_topk_push(&slot->top, d, held_out->items[p]);
	}
	mr_topk_sort(&order);
	memset(slot->others, 0, sizeof(int32_t) * (size_t) slot->n_held);
}

/* Write the user's ranks and list. */
static void
close_slot(RankRun *run, RankSlot *slot)
{
	int32_t		rank = 1;

	for (int32_t p = 0; p < slot->n_held; p++)
	{
		rank += slot->others[p];
		run->out->ranks[slot->held[p].row] = rank++;
	}
	if (run->in->top_k > 0)
	{
		int32_t    *list = run->out->top + (size_t) slot->user * run->in->top_k;

		mr_topk_sort(&slot->top);
		for (int32_t i = 0; i < run->in->top_k; i++)
			list[i] = i < slot->top.n ? (int32_t) slot->top.items[i].row : -1;
	}
}

/* The first position whose held-out item is not nearer than d. */
int32_t
mr_rank_position(const RankSlot *slot, double d)
{
	int32_t		low = 0;
	int32_t		high = slot->n_held;

	while (low < high)
	{
		int32_t		middle = low + (high - low) / 2;

		if (slot->held[middle].distance < d)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
rank_candidates(RankRun *run, RankSlot *slot)
{
	const MrRankInput *in = run->in;
	int32_t		user = slot->user;
	int64_t		end = in->candidates->user_start[user + 1];

	for (int64_t c = in->candidates->user_start[user]; c < end && !run->stopped; c++)
	{
		int32_t		item = in->candidates->items[c];
		int32_t		p;
		double		d;

		if (mr_interactions_contain(in->held_out, user, item) ||
			(in->excluded && mr_interactions_contain(in->excluded, user, item)) ||
			(in->excluded_more && mr_interactions_contain(in->excluded_more, user, item)))
			continue;
		d = mr_rank_pair_distance(run, user, item);
		p = mr_rank_position(slot, d);
		if (p < slot->n_held)
			slot->others[p]++;
		mr_topk_push(&slot->top, d, item);
	}
}
