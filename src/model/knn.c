/*
 * knn.c
 *		Item-based nearest neighbours (see knn.h).
 *
 * The products r_i . r_j of one item j are summed up in a row over all items, by going
 * through the users of j and their items; the row is cleared by the list of items that
 * were met.  What is kept are lists by i, not by j: a user's scores are then the sum of
 * the lists of the user's items.
 *
 *		neighbour, similarity	| K of item 0 | K of item 1 | ...	-1: there are no more
 *		source_start			| 0 | 2 | 7 | ...
 *		target, weight			| 4 9 | 0 4 5 8 9 | ...				the same pairs, by neighbour
 */
#include <math.h>
#include <string.h>

#include "math/topk.h"
#include "model/knn.h"
#include "model/points.h"

#define ARENA_ALIGNMENT 64

/* Additions between two polls: some milliseconds. */
#define POLL_WORK (1 << 20)

struct MrKnn
{
	const MrInteractions *x;
	int32_t		neighbours;		/* K */
	int64_t		unpolled;
	int64_t    *item_start;		/* [n_items + 1] x transposed */
	int32_t    *item_users;		/* [n_pairs] */
	float	   *item_weights;	/* [n_pairs] or NULL */
	double	   *norm;			/* [n_items] |r_i| */
	double	   *product;		/* [n_items] the row of one item, 0 between items */
	int32_t    *met;			/* [n_items] items that the row has */
	MrTopItem  *best;			/* [K] */
	int32_t    *neighbour;		/* [n_items][K] */
	float	   *similarity;		/* [n_items][K] */
	int64_t    *source_start;	/* [n_items + 1] */
	int32_t    *target;			/* [n_items K] */
	float	   *weight;			/* [n_items K] */
};

static bool
tick(MrKnn *knn, int64_t work, MrPoll poll, void *arg)
{
	knn->unpolled += work;
	if (knn->unpolled < POLL_WORK)
		return false;
	knn->unpolled = 0;
	return poll && poll(arg);
}

/* Place everything, or count it when the arena has no base. */
static void
lay_out(MrKnn *knn, MrArena *arena)
{
	const MrInteractions *x = knn->x;
	size_t		n = x->n_items;
	size_t		row = (size_t) knn->neighbours * sizeof(float);

	knn->item_start = mr_arena_take(arena, n + 1, sizeof(int64_t));
	knn->item_users = mr_arena_take(arena, x->n_pairs, sizeof(int32_t));
	knn->item_weights = x->weights ? mr_arena_take(arena, x->n_pairs, sizeof(float)) : NULL;
	knn->norm = mr_arena_take(arena, n, sizeof(double));
	knn->product = mr_arena_take(arena, n, sizeof(double));
	knn->met = mr_arena_take(arena, n, sizeof(int32_t));
	knn->best = mr_arena_take(arena, knn->neighbours, sizeof(MrTopItem));
	knn->neighbour = mr_arena_take(arena, n, row);
	knn->similarity = mr_arena_take(arena, n, row);
	knn->source_start = mr_arena_take(arena, n + 1, sizeof(int64_t));
	knn->target = mr_arena_take(arena, n, row);
	knn->weight = mr_arena_take(arena, n, row);
}

/* Bytes of memory that mr_knn_init() needs; SIZE_MAX if the count overflows. */
size_t
mr_knn_bytes(const MrInteractions *x, int32_t neighbours)
{
	MrKnn		knn = {.x = x, .neighbours = neighbours};
	MrArena		arena = {NULL, 0, false};

	mr_arena_take(&arena, 1, ARENA_ALIGNMENT - 1);	/* the caller's block may start anywhere */
	mr_arena_take(&arena, 1, sizeof(MrKnn));
	lay_out(&knn, &arena);
	return arena.overflow ? SIZE_MAX : arena.used;
}

/* In the caller's memory, neighbours >= 1; NULL if `bytes` is less than mr_knn_bytes(). */
MrKnn *
mr_knn_init(void *memory, size_t bytes, const MrInteractions *x, int32_t neighbours)
{
	MrArena		arena = {NULL, 0, false};
	MrKnn	   *knn;

	if (bytes < mr_knn_bytes(x, neighbours))
		return NULL;
	arena.base = (char *) (((uintptr_t) memory + ARENA_ALIGNMENT - 1) & ~(uintptr_t) (ARENA_ALIGNMENT - 1));
	knn = mr_arena_take(&arena, 1, sizeof(MrKnn));
	memset(knn, 0, sizeof(*knn));
	knn->x = x;
	knn->neighbours = neighbours;
	lay_out(knn, &arena);
	return knn;
}

static inline double
weight_of(const float *weights, int64_t p)
{
	return weights ? weights[p] : 1;
}

/* x by item, and the norms. */
static MrStatus
transpose(MrKnn *knn, MrPoll poll, void *arg)
{
	const MrInteractions *x = knn->x;
	int64_t    *start = knn->item_start;

	memset(start, 0, ((size_t) x->n_items + 1) * sizeof(int64_t));
	memset(knn->norm, 0, x->n_items * sizeof(double));
	for (int64_t p = 0; p < x->n_pairs; p++)
	{
		if (tick(knn, 2, poll, arg))
			return MR_STOPPED;
		start[x->items[p] + 1]++;
		knn->norm[x->items[p]] += weight_of(x->weights, p) * weight_of(x->weights, p);
	}
	for (int32_t i = 0; i < x->n_items; i++)
	{
		start[i + 1] += start[i];
		knn->norm[i] = sqrt(knn->norm[i]);
	}
	for (int32_t u = 0; u < x->n_users; u++)
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
		{
			int64_t		at = start[x->items[p]]++;

			if (tick(knn, 2, poll, arg))
				return MR_STOPPED;
			knn->item_users[at] = u;
			if (x->weights)
				knn->item_weights[at] = x->weights[p];
		}
	/* each start has moved on to the next item's */
	memmove(start + 1, start, x->n_items * sizeof(int64_t));
	start[0] = 0;
	return MR_OK;
}

/* The products of item j with the items it was met with, j among them; how many these are. */
static int32_t
multiply(MrKnn *knn, int32_t j, bool *stopped, MrPoll poll, void *arg)
{
	const MrInteractions *x = knn->x;
	int32_t		n = 0;

	*stopped = false;
	for (int64_t q = knn->item_start[j]; q < knn->item_start[j + 1]; q++)
	{
		int32_t		user = knn->item_users[q];
		double		own = weight_of(knn->item_weights, q);

		if (tick(knn, x->user_start[user + 1] - x->user_start[user], poll, arg))
			*stopped = true;
		for (int64_t p = x->user_start[user]; p < x->user_start[user + 1]; p++)
		{
			int32_t		i = x->items[p];

			if (knn->product[i] == 0)
				knn->met[n++] = i;
			knn->product[i] += own * weight_of(x->weights, p);
		}
	}
	return n;
}

/* The neighbours of item j from the row of products, which is cleared. */
static void
choose(MrKnn *knn, int32_t j, int32_t n, double shrinkage)
{
	size_t		first = (size_t) j * knn->neighbours;
	MrTopK		top;

	mr_topk_init(&top, knn->best, knn->neighbours);
	for (int32_t m = 0; m < n; m++)
	{
		int32_t		i = knn->met[m];

		if (i != j)
			mr_topk_push(&top, -knn->product[i] / (knn->norm[i] * knn->norm[j] + shrinkage), i);
		knn->product[i] = 0;
	}
	mr_topk_sort(&top);
	for (int32_t m = 0; m < knn->neighbours; m++)
	{
		knn->neighbour[first + m] = m < top.n ? (int32_t) top.items[m].row : -1;
		knn->similarity[first + m] = m < top.n ? (float) -top.items[m].distance : 0;
	}
}

/* The same pairs by neighbour. */
static MrStatus
turn_round(MrKnn *knn, MrPoll poll, void *arg)
{
	int32_t		n_items = knn->x->n_items;
	size_t		all = (size_t) n_items * knn->neighbours;
	int64_t    *start = knn->source_start;

	memset(start, 0, ((size_t) n_items + 1) * sizeof(int64_t));
	for (size_t e = 0; e < all; e++)
	{
		if (tick(knn, 1, poll, arg))
			return MR_STOPPED;
		if (knn->neighbour[e] >= 0)
			start[knn->neighbour[e] + 1]++;
	}
	for (int32_t i = 0; i < n_items; i++)
		start[i + 1] += start[i];
	for (size_t e = 0; e < all; e++)
	{
		int64_t		at;

		if (tick(knn, 2, poll, arg))
			return MR_STOPPED;
		if (knn->neighbour[e] < 0)
			continue;
		at = start[knn->neighbour[e]]++;
		knn->target[at] = (int32_t) (e / knn->neighbours);
		knn->weight[at] = knn->similarity[e];
	}
	memmove(start + 1, start, n_items * sizeof(int64_t));
	start[0] = 0;
	return MR_OK;
}

/* Find the neighbours.  MR_OK, or MR_STOPPED when poll(), which may be NULL, said so. */
MrStatus
mr_knn_build(MrKnn *knn, double shrinkage, MrPoll poll, void *arg)
{
	if (transpose(knn, poll, arg) != MR_OK)
		return MR_STOPPED;
	memset(knn->product, 0, knn->x->n_items * sizeof(double));
	for (int32_t j = 0; j < knn->x->n_items; j++)
	{
		bool		stopped;
		int32_t		n = multiply(knn, j, &stopped, poll, arg);

		if (stopped || tick(knn, 16 * (int64_t) n + knn->neighbours, poll, arg))
			return MR_STOPPED;
		choose(knn, j, n, shrinkage);
	}
	return turn_round(knn, poll, arg);
}

/* The scores [n_items] of a user; 0 for what no item of the user's speaks for. */
MrStatus
mr_knn_scores(void *arg_knn, int32_t user, float *scores, MrPoll poll, void *arg)
{
	MrKnn	   *knn = arg_knn;
	const MrInteractions *x = knn->x;

	memset(scores, 0, x->n_items * sizeof(float));
	for (int64_t p = x->user_start[user]; p < x->user_start[user + 1]; p++)
	{
		int64_t		end = knn->source_start[x->items[p] + 1];
		float		weight = (float) weight_of(x->weights, p);

		if (tick(knn, end - knn->source_start[x->items[p]], poll, arg))
			return MR_STOPPED;
		for (int64_t e = knn->source_start[x->items[p]]; e < end; e++)
			scores[knn->target[e]] += weight * knn->weight[e];
	}
	return MR_OK;
}
