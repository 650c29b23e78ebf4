/*
 * topk.c
 *		Bounded heap of the nearest rows.  See topk.h.
 *
 * O(log k) for a row that enters, O(1) for one that does not.  The caller gives
 * the memory: k MrTopItem.
 */
#include "math/topk.h"

static void sift_down(MrTopItem *items, int64_t n, MrTopItem item);

/* Start with an empty heap over items[k]; k <= 0 keeps nothing. */
void
mr_topk_init(MrTopK *top, MrTopItem *items, int64_t k)
{
	top->items = items;
	top->k = k > 0 ? k : 0;
	top->n = 0;
}

/*
 * Offer a row.  Returns true if it is among the k nearest so far.
 */
bool
mr_topk_push(MrTopK *top, double distance, int64_t row)
{
	MrTopItem	item;
	int64_t		i;

	item.distance = isnan(distance) ? INFINITY : distance;
	item.row = row;

	if (top->n == top->k)
	{
		if (top->k == 0 || !mr_topk_before(item, top->items[0]))
			return false;
		sift_down(top->items, top->n, item);
		return true;
	}

	/* Room is left: append, then move it up while its parent is before it. */
	i = top->n++;
	while (i > 0)
	{
		int64_t		parent = (i - 1) / 2;

		if (!mr_topk_before(top->items[parent], item))
			break;
		top->items[i] = top->items[parent];
		i = parent;
	}
	top->items[i] = item;
	return true;
}

/*
 * Turn the heap into an array, nearest first.  Nothing may be pushed after.
 */
void
mr_topk_sort(MrTopK *top)
{
	for (int64_t n = top->n; n > 1; n--)
	{
		MrTopItem	worst = top->items[0];
		MrTopItem	last = top->items[n - 1];

		sift_down(top->items, n - 1, last);
		top->items[n - 1] = worst;
	}
}

/* Put `item` in the place of the root of the heap items[n]. */
static void
sift_down(MrTopItem *items, int64_t n, MrTopItem item)
{
	int64_t		i = 0;

	for (;;)
	{
		int64_t		child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && mr_topk_before(items[child], items[child + 1]))
			child++;
		if (!mr_topk_before(item, items[child]))
			break;
		items[i] = items[child];
		i = child;
	}
	items[i] = item;
}
