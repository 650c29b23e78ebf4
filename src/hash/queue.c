/*
 * queue.c
 *		The priority queue of queue.h.
 */
#include <math.h>
#include <string.h>

#include "hash/queue.h"

#define FIRST_GOAL 32

/* Runs this short are sorted by insertion. */
#define SHORT_RUN 16

/*
 * A first part longer than LONG_PART is cut at 1/CUT of its length.  A queue of
 * 2^32 items has then at most 1 + log(2^32 / LONG_PART) / log(CUT) = 7 parts.
 */
#define LONG_PART (16 * MR_QUEUE_FRONT)
#define CUT 8

/* Items looked at to guess where the k-th smallest is. */
#define SAMPLE 48

/* The order in which items leave. */
static inline bool
before(MrQueueItem a, MrQueueItem b)
{
	return a.key < b.key || (a.key == b.key && a.payload < b.payload);
}

static inline void
swap(MrQueueItem *a, MrQueueItem *b)
{
	MrQueueItem t = *a;

	*a = *b;
	*b = t;
}

static void
insertion_sort(MrQueueItem *items, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
	{
		MrQueueItem item = items[i];
		uint32_t	at = i;

		for (; at > 0 && before(item, items[at - 1]); at--)
			items[at] = items[at - 1];
		items[at] = item;
	}
}

/*
 * Out of [0, n), n > SHORT_RUN, an item with about k items before it, rather some
 * more than less: a fixed sample is sorted.  So the same search takes the same
 * way when it is repeated.
 */
static MrQueueItem
choose_pivot(const MrQueueItem *items, uint32_t n, uint32_t k)
{
	MrQueueItem sample[SAMPLE];
	uint32_t	size = n < 4 * SAMPLE ? 9 : SAMPLE;
	uint32_t	rank = (uint64_t) k * size / n;

	for (uint32_t i = 0; i < size; i++)
		sample[i] = items[(uint64_t) i * n / size];
	insertion_sort(sample, size);
	if (k < n / 2)
		rank++;
	return sample[rank < size ? rank : size - 1];
}

/*
 * Part [0, n) at a pivot out of it that has about k items before it.  Returns p,
 * 0 < p < n: what lies at p and later is not before anything that lies earlier.
 */
static uint32_t
partition(MrQueueItem *items, uint32_t n, uint32_t k)
{
	MrQueueItem pivot = choose_pivot(items, n, k);
	uint32_t	low = 0;
	uint32_t	high = n - 1;

	for (;;)
	{
		while (before(items[low], pivot))
			low++;
		while (before(pivot, items[high]))
			high--;
		if (low >= high)
			break;
		swap(&items[low++], &items[high--]);
	}
	/* if the pivot is the smallest it is a part of its own */
	return low > 0 ? low : 1;
}

/* Sort [0, n) upwards; recursion goes into the smaller part. */
static void
sort(MrQueueItem *items, uint32_t n)
{
	while (n > SHORT_RUN)
	{
		uint32_t	p = partition(items, n, n / 2);

		if (p < n - p)
		{
			sort(items, p);
			items += p;
			n -= p;
		}
		else
		{
			sort(items + p, n - p);
			n = p;
		}
	}
	insertion_sort(items, n);
}

/* Bring the k smallest of [0, n) to the beginning, 0 < k < n. */
static void
select_smallest(MrQueueItem *items, uint32_t n, uint32_t k)
{
	while (n > SHORT_RUN)
	{
		uint32_t	p = partition(items, n, k);

		if (p == k)
			return;
		if (k < p)
			n = p;
		else
		{
			items += p;
			n -= p;
			k -= p;
		}
	}
	insertion_sort(items, n);
}

/* An empty queue on the caller's memory. */
void
mr_queue_init(MrQueue *queue, MrQueueItem *front, MrQueueItem *back, uint32_t room)
{
	queue->front = front;
	queue->back = back;
	queue->room = room;
	mr_queue_reset(queue);
}

void
mr_queue_reset(MrQueue *queue)
{
	queue->n_front = 0;
	queue->n_back = 0;
	queue->front_goal = FIRST_GOAL;
	queue->n_parts = 1;
	queue->part[0].limit = (MrQueueItem) {-INFINITY, 0};
	queue->part[0].end = 0;
}

/*
 * Put an item into a part: each later part gives its first place to the part
 * before it and takes one at its end.
 */
static void
push_part(MrQueue *queue, uint32_t number, MrQueueItem item)
{
	for (uint32_t i = queue->n_parts - 1; i > number; i--)
	{
		queue->back[queue->part[i].end] = queue->back[queue->part[i - 1].end];
		queue->part[i].end++;
	}
	queue->back[queue->part[number].end++] = item;
	queue->n_back++;
}

/*
 * Put an item where it belongs.  If that is the front and it is full, its last
 * item, that is the largest, moves to the back and becomes the limit.
 */
static void
push_item(MrQueue *queue, MrQueueItem item)
{
	uint32_t	at = queue->n_front;

	for (uint32_t i = queue->n_parts; i-- > 0;)
	{
		if (!before(item, queue->part[i].limit))
		{
			push_part(queue, i, item);
			return;
		}
	}
	if (queue->n_front >= queue->front_goal)
	{
		bool		stays = before(item, queue->front[0]);
		MrQueueItem last = stays ? queue->front[0] : item;

		push_part(queue, 0, last);
		queue->part[0].limit = last;
		if (!stays)
			return;
		at = --queue->n_front;
		memmove(queue->front, queue->front + 1, at * sizeof(MrQueueItem));
	}
	for (; at > 0 && before(queue->front[at - 1], item); at--)
		queue->front[at] = queue->front[at - 1];
	queue->front[at] = item;
	queue->n_front++;
}

/* Push keys[i] with payload first + i, for i = 0 to n - 1. */
void
mr_queue_push(MrQueue *queue, const float *keys, uint32_t n, uint32_t first)
{
	MrQueueItem *back = queue->back;
	uint32_t	n_back = queue->n_back;
	MrQueuePart *last = &queue->part[queue->n_parts - 1];
	float		limit = last->limit.key;

	for (uint32_t i = 0; i < n; i++)
	{
		MrQueueItem item = {keys[i], first + i};

		if (item.key > limit)
			back[n_back++] = item;
		else
		{
			queue->n_back = last->end = n_back;
			push_item(queue, item);
			n_back = queue->n_back;
			limit = last->limit.key;
		}
	}
	queue->n_back = last->end = n_back;
}

/*
 * Cut the first part in two until it is short.  The limit of the second is the
 * largest item of the first.
 */
static void
cut_first_part(MrQueue *queue)
{
	while (queue->part[0].end > LONG_PART && queue->n_parts < MR_QUEUE_PARTS)
	{
		uint32_t	n = queue->part[0].end / CUT;
		MrQueueItem largest = queue->part[0].limit;

		select_smallest(queue->back, queue->part[0].end, n);
		for (uint32_t i = 0; i < n; i++)
		{
			if (before(largest, queue->back[i]))
				largest = queue->back[i];
		}
		memmove(queue->part + 1, queue->part, queue->n_parts * sizeof(MrQueuePart));
		queue->n_parts++;
		queue->part[0].end = n;
		queue->part[1].limit = largest;
	}
}

/* Take the first n items away, out of the first part: it is filled from its end, and so are the others. */
static void
close_gap(MrQueue *queue, uint32_t n)
{
	uint32_t	start = 0;

	for (uint32_t i = 0; i < queue->n_parts; i++)
	{
		MrQueuePart *part = &queue->part[i];
		uint32_t	length = part->end - n - start;	/* without the gap before it */
		uint32_t	moved = length < n ? length : n;

		memcpy(queue->back + start, queue->back + part->end - moved, moved * sizeof(MrQueueItem));
		part->end -= n;
		start = part->end;
	}
	queue->n_back -= n;
}

/*
 * Fill the empty front with the smallest of the back, which is not empty.
 */
static void
refill(MrQueue *queue)
{
	uint32_t	n;
	uint32_t	k;

	while (queue->part[0].end == 0)
		memmove(queue->part, queue->part + 1, --queue->n_parts * sizeof(MrQueuePart));
	cut_first_part(queue);

	n = queue->part[0].end;
	k = n < queue->front_goal ? n : queue->front_goal;
	if (k < n)
		select_smallest(queue->back, n, k);
	sort(queue->back, k);
	queue->part[0].limit = queue->back[k - 1];
	for (uint32_t i = 0; i < k; i++)
		queue->front[k - 1 - i] = queue->back[i];
	queue->n_front = k;
	close_gap(queue, k);

	if (queue->front_goal < MR_QUEUE_FRONT)
		queue->front_goal *= 2;
}

/* The smallest item, which stays; false if the queue is empty. */
bool
mr_queue_peek(MrQueue *queue, MrQueueItem *item)
{
	if (queue->n_front == 0)
	{
		if (queue->n_back == 0)
			return false;
		refill(queue);
	}
	*item = queue->front[queue->n_front - 1];
	return true;
}

/* The same, and it leaves. */
bool
mr_queue_pop(MrQueue *queue, MrQueueItem *item)
{
	if (!mr_queue_peek(queue, item))
		return false;
	queue->n_front--;
	return true;
}
