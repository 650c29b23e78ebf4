/*
 * nearest_pool.h
 *		One user's pool: the items that may be among the k nearest.
 *
 * Only the distances of mr_l2_distance() count, those that the operator <-> gives,
 * and equal ones are ordered by row; but they are computed for few items only.
 * With the score s = (|u|^2 - distance^2) / 2 of an item, the product gives s~, and
 *
 *		|s~ - s| <= e						see mr_pool_error()
 *		s~ + e < the k-th largest s~ - e	the item is not among the k nearest
 *
 * Items that pass go into the pool with s~ - e; when it has more than `soft` of
 * them, a selection finds the k-th largest anew and throws out what is below.  So
 * an item costs a comparison, one that passes a store and its share of a selection,
 * and a distance is computed for the k that are left and their like.
 *
 * Where too many stay, because their scores lie closer together than 2 e, the pool
 * becomes exact: from then on distances decide, in a bounded heap.
 */
#ifndef MR_NEAREST_POOL_H
#define MR_NEAREST_POOL_H

#include "model/nearest.h"

typedef struct MrPoolEntry
{
	float		low;			/* s~ - e */
	int32_t		row;
} MrPoolEntry;

/* Counts work, in multiplications, and polls when enough of it is done. */
typedef struct MrTicker
{
	MrPoll		poll;			/* NULL: never stops */
	void	   *arg;
	int64_t		work;			/* since the last poll */
	bool		stopped;
} MrTicker;

#define MR_TICK_WORK (1 << 21)	/* about 2 ms */

static inline void
mr_tick(MrTicker *ticker, int64_t work)
{
	ticker->work += work;
	if (ticker->work < MR_TICK_WORK)
		return;
	ticker->work = 0;
	if (ticker->poll != NULL && ticker->poll(ticker->arg))
		ticker->stopped = true;
}

typedef struct MrPool
{
	const MrNearestInput *in;
	MrTicker   *ticker;
	const float *point;			/* of the user */
	double		square;			/* |u|^2 */
	double		length;			/* |u| */
	float		bound;			/* the k-th largest `low` that was found last */
	bool		exact;
	int32_t		soft;			/* entries that need no selection */
	int32_t		n;
	MrPoolEntry *entries;		/* [soft + MR_NEAREST_TILE] */
	const int32_t *left_out;	/* of the user, from the tile that is next on */
	const int32_t *left_out_end;
	MrTopK		top;			/* the list: by distance, then by row */
} MrPool;

/* Entries that need no selection. */
static inline int64_t
mr_pool_soft(int32_t k)
{
	return k < 32 ? 64 : 2 * (int64_t) k;
}

/* nearest_pool.c: what is begun when the ticker has stopped is not finished */
extern void mr_pool_open(MrPool *pool, const MrNearestInput *in, MrTicker *ticker, int32_t user,
						 MrPoolEntry *entries, MrTopItem *list);
extern void mr_pool_take(MrPool *pool, float *scores, int32_t first, int32_t n, int32_t *ids);
extern void mr_pool_push(MrPool *pool, int32_t row);
extern int64_t mr_pool_close(MrPool *pool);

#endif							/* MR_NEAREST_POOL_H */
