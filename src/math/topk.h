/*
 * topk.h
 *		The k nearest of a stream of (distance, row), in bounded memory.
 *
 * A binary heap whose root is the worst row kept.  Rows are compared by
 * distance, then by row number, so that the result does not depend on the
 * order in which rows come.  A NaN distance counts as infinitely far.  For the
 * k largest scores push the negated score.
 *
 * With k = number of rows pushed, mr_topk_sort() is a heap sort that allocates
 * nothing: the C library's qsort() may call malloc().
 */
#ifndef MR_TOPK_H
#define MR_TOPK_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MrTopItem
{
	double		distance;
	int64_t		row;
} MrTopItem;

typedef struct MrTopK
{
	MrTopItem  *items;			/* [k], a heap until mr_topk_sort() */
	int64_t		k;
	int64_t		n;				/* rows kept, <= k */
} MrTopK;

/* Is a before b in the result? */
static inline bool
mr_topk_before(MrTopItem a, MrTopItem b)
{
	return a.distance < b.distance || (a.distance == b.distance && a.row < b.row);
}

/*
 * The largest distance that can still enter: rows farther than this need not
 * be pushed.  Infinite while fewer than k rows are kept.
 */
static inline double
mr_topk_bound(const MrTopK *top)
{
	if (top->k <= 0)
		return -INFINITY;
	return top->n < top->k ? INFINITY : top->items[0].distance;
}

/* topk.c */
extern void mr_topk_init(MrTopK *top, MrTopItem *items, int64_t k);
extern bool mr_topk_push(MrTopK *top, double distance, int64_t row);
extern void mr_topk_sort(MrTopK *top);

#endif							/* MR_TOPK_H */
