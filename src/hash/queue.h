/*
 * queue.h
 *		A priority queue for "a few of the smallest of very many, perhaps all of
 *		them in the end", which is what an incremental search asks for.
 *
 *		front	a short sorted array; its items are the smallest of all
 *		back	the rest, in one part or several, each of them unsorted
 *
 * Parts are in order: with the order by key and then payload, no item of a part
 * is before the part's limit, and none of an earlier part, or of the front, is
 * after it.  So a push beyond the limit of the last part is an append, which is
 * what most pushes are.  When the front runs out, the smallest items of the
 * first part are selected (quickselect) and sorted: more of them each time.  A
 * first part that is too long for that is cut in two before, so that the first k
 * of n items cost O(n + k log k), and all of them O(n log n).
 *
 * Equal keys leave in the order of their payload, so that the order does not
 * depend on how they came in.
 *
 * Pure C: the caller gives and enlarges the memory of the back.
 */
#ifndef MR_QUEUE_H
#define MR_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MrQueueItem
{
	float		key;			/* not NaN */
	uint32_t	payload;
} MrQueueItem;

#define MR_QUEUE_FRONT 1024		/* room of the front */
#define MR_QUEUE_PARTS 10		/* enough for 2^32 items, see queue.c */

typedef struct MrQueuePart
{
	MrQueueItem limit;			/* no item of the part is before it */
	uint32_t	end;			/* where it ends in the back */
} MrQueuePart;

typedef struct MrQueue
{
	MrQueueItem *front;			/* [MR_QUEUE_FRONT], descending: the smallest is last */
	uint32_t	n_front;
	uint32_t	front_goal;		/* the front is not longer than this */
	MrQueueItem *back;			/* [room] */
	uint32_t	n_back;
	uint32_t	room;
	MrQueuePart part[MR_QUEUE_PARTS];	/* of the back; the last ends at n_back */
	uint32_t	n_parts;		/* at least 1 */
} MrQueue;

/* Does another push fit?  Each may append one item to the back. */
static inline bool
mr_queue_full(const MrQueue *queue, uint32_t pushes)
{
	return queue->room - queue->n_back < pushes;
}

/* queue.c */
extern void mr_queue_init(MrQueue *queue, MrQueueItem *front, MrQueueItem *back, uint32_t room);
extern void mr_queue_reset(MrQueue *queue);
/* keys[i] with payload first + i; room for n is the caller's to see to */
extern void mr_queue_push(MrQueue *queue, const float *keys, uint32_t n, uint32_t first);
extern bool mr_queue_peek(MrQueue *queue, MrQueueItem *item);	/* false: empty */
extern bool mr_queue_pop(MrQueue *queue, MrQueueItem *item);

#endif							/* MR_QUEUE_H */
