/*
 * lsh_scan_ahead.c
 *		What a scan will need next is fetched while it is still busy with what it
 *		has.
 *
 * Reading a page that is in shared buffers is mostly waiting for memory: for the
 * table of buffers, then for the page.  The queues say what will be read next,
 * so that these waits can overlap with work.  A page passes two stages before
 * its turn:
 *
 *		1	find where it lies, ask the processor for its two ends; start the I/O
 *			if it is not in shared buffers
 *		2	ask the processor for the part of the page that is in use
 *
 * The rows that will be ranked next are treated alike, as far as the
 * table is a heap: what they lie in, then their line pointer, then the row.
 *
 * Where an index page was seen last is remembered over scans (MrLshCache): looking
 * at that buffer's tag costs one miss of the processor's caches, the table of
 * buffers several.
 *
 * Nothing is pinned or locked here.  A buffer found is no more than a hint: it
 * may hold another page by the time of reading, and what is read of its content
 * in stage 2 serves to choose cache lines only.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "index/lsh_scan.h"

/* How far ahead if pages come from disk. */
#define DEPTH_COLD 8

#define CACHE_LINE 64

/* Asks the processor for some bytes. */
static inline void
touch(const char *from, Size bytes)
{
	for (const char *at = from; at < from + bytes; at += CACHE_LINE)
		__builtin_prefetch(at);
}

/*
 * Has a hint a page that the processor can be asked for?  Not of a temporary
 * table; and not under Valgrind, which takes a look at a page without a pin for a
 * mistake.
 */
static inline bool
has_page(Buffer hint)
{
#ifdef USE_VALGRIND
	return false;
#else
	return BufferIsValid(hint) && !BufferIsLocal(hint);
#endif
}

/* The place where the hint of a block is kept; NULL = nowhere. */
static inline Buffer *
hint_place(Relation index, BlockNumber block)
{
	MrLshCache *cache = index->rd_amcache;

	return cache != NULL ? &cache->hints[block & cache->hint_mask] : NULL;
}

/*
 * Where a block of the index was seen last, if that is likely to be true still;
 * the caller of ReadRecentBuffer() is told for sure.
 */
static Buffer
remembered(Relation index, BlockNumber block)
{
	Buffer	   *place = hint_place(index, block);

	if (place == NULL || !has_page(*place) || GetBufferDescriptor(*place - 1)->tag.blockNum != block)
		return InvalidBuffer;
	return *place;
}

/* Remembers where a block of the index was seen. */
void
mr_lsh_scan_remember(MrLshScan *scan, BlockNumber block, Buffer buffer)
{
	Buffer	   *place = hint_place(scan->index, block);

	if (place != NULL)
		*place = buffer;
}

/* Where a block lies now, if it is in shared buffers; if not, it is being read. */
static Buffer
look_up(Relation relation, BlockNumber block)
{
	if (block == InvalidBlockNumber)
		return InvalidBuffer;
	return PrefetchBuffer(relation, MAIN_FORKNUM, block).recent_buffer;
}

/*
 * What is to be read now was looked at before: if it was not in shared buffers
 * then, look farther ahead from now on.  (That something farther ahead is not
 * there says little: perhaps nobody ever comes to it.)
 */
static inline void
adapt_depth(const MrLshAhead *ahead, int *depth)
{
	if (ahead->stage > 0 && !BufferIsValid(ahead->hint))
		*depth = DEPTH_COLD;
}

/* Stage 1 of a page of the index. */
static void
first_stage(MrLshScan *scan, MrLshAhead *ahead, BlockNumber block)
{
	ahead->stage = 1;
	ahead->hint = remembered(scan->index, block);
	if (!BufferIsValid(ahead->hint))
		ahead->hint = look_up(scan->index, block);
	if (has_page(ahead->hint))
	{
		Page		page = BufferGetPage(ahead->hint);

		__builtin_prefetch(page);
		__builtin_prefetch((char *) page + BLCKSZ - MAXALIGN(sizeof(MrLshOpaque)));
	}
}

/* Stage 2 of a page of the index: its arrays, `fixed` bytes a row beside codes. */
static void
second_stage(MrLshScan *scan, MrLshAhead *ahead, int capacity, int fixed, int codes)
{
	Page		page;
	int			n;

	ahead->stage = 2;
	if (!has_page(ahead->hint))
		return;
	page = BufferGetPage(ahead->hint);
	n = ((MrLshOpaque *) ((char *) page + BLCKSZ - MAXALIGN(sizeof(MrLshOpaque))))->n;
	n = Min(n, capacity);
	touch((char *) mr_lsh_scales(page), n * sizeof(float));
	touch((char *) mr_lsh_norms(page, capacity), n * sizeof(float));
	touch((char *) (mr_lsh_scales(page) + 2 * capacity), n * fixed);
	touch((char *) page + codes, n * scan->lsh.layout.dim);
}

/* Leaf number k of the queue's front, from the next one on. */
static inline MrLshScanLeaf *
front_leaf(MrLshScan *scan, uint32 k)
{
	const MrQueue *queue = &scan->leaf_queue;

	return &scan->leaves[queue->front[queue->n_front - 1 - k].payload];
}

/* Before leaf i is read: the leaves after it. */
void
mr_lsh_scan_leaves_ahead(MrLshScan *scan, uint32 i)
{
	const MrLshLayout *layout = &scan->lsh.layout;
	uint32		n = scan->leaf_queue.n_front;

	adapt_depth(&scan->leaves[i].ahead, &scan->depth);
	if (n > 0 && front_leaf(scan, 0)->ahead.stage == 1)
		second_stage(scan, &front_leaf(scan, 0)->ahead, layout->leaf_capacity, sizeof(ItemPointerData),
					 layout->leaf_codes);
	for (uint32 k = 0; k < scan->depth && k < n; k++)
	{
		MrLshScanLeaf *leaf = front_leaf(scan, k);

		if (leaf->ahead.stage == 0)
			first_stage(scan, &leaf->ahead, leaf->child);
	}
}

/* Before group i is read: the groups below it, which follow. */
void
mr_lsh_scan_groups_ahead(MrLshScan *scan, int i, int end)
{
	const MrLshLayout *layout = &scan->lsh.layout;

	adapt_depth(&scan->groups[i].ahead, &scan->depth);
	if (i - 1 >= end && scan->groups[i - 1].ahead.stage == 1)
		second_stage(scan, &scan->groups[i - 1].ahead, layout->entry_capacity, sizeof(MrLshLink),
					 layout->entry_codes);
	for (int k = 1; k <= scan->depth && i - k >= end; k++)
	{
		MrLshScanGroup *group = &scan->groups[i - k];

		if (group->ahead.stage == 0)
			first_stage(scan, &group->ahead, group->link.child);
	}
}

/* Stage 1 of a row: its page's head and its line pointer. */
static void
first_row_stage(MrLshScan *scan, Relation heap, MrLshRowAhead *ahead, uint32 row)
{
	const ItemPointerData *tid = &scan->tids[row];

	ahead->row = row;
	ahead->ahead.stage = 1;
	ahead->ahead.hint = look_up(heap, ItemPointerGetBlockNumberNoCheck(tid));
	if (has_page(ahead->ahead.hint))
	{
		Page		page = BufferGetPage(ahead->ahead.hint);

		__builtin_prefetch(page);
		__builtin_prefetch((char *) page + SizeOfPageHeaderData +
						   ItemPointerGetOffsetNumberNoCheck(tid) % MaxHeapTuplesPerPage * sizeof(ItemIdData));
	}
}

/* Stage 2 of a row: itself. */
static void
second_row_stage(MrLshScan *scan, MrLshRowAhead *ahead)
{
	const ItemPointerData *tid = &scan->tids[ahead->row];
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(tid);
	Page		page;
	ItemId		item;

	ahead->ahead.stage = 2;
	if (!has_page(ahead->ahead.hint) || offset == InvalidOffsetNumber || offset > MaxHeapTuplesPerPage)
		return;
	page = BufferGetPage(ahead->ahead.hint);
	item = PageGetItemId(page, offset);
	if (ItemIdGetOffset(item) + ItemIdGetLength(item) <= BLCKSZ)
		touch((char *) page + ItemIdGetOffset(item), ItemIdGetLength(item));
}

/* Before a row is ranked, which has just left the queue: the rows after it. */
void
mr_lsh_scan_rows_ahead(MrLshScan *scan, Relation heap, uint32 given)
{
	const MrQueue *queue = &scan->candidates;

	if (heap == NULL || heap->rd_tableam != GetHeapamTableAmRoutine())
		return;
	if (scan->rows_ahead[given % MR_LSH_ROWS_AHEAD].row == given)
		adapt_depth(&scan->rows_ahead[given % MR_LSH_ROWS_AHEAD].ahead, &scan->row_depth);
	for (uint32 k = 0; k < scan->row_depth && k < queue->n_front; k++)
	{
		uint32		row = queue->front[queue->n_front - 1 - k].payload;
		MrLshRowAhead *ahead = &scan->rows_ahead[row % MR_LSH_ROWS_AHEAD];

		if (ahead->ahead.stage == 0 || ahead->row != row)
			first_row_stage(scan, heap, ahead, row);
		else if (k == 0 && ahead->ahead.stage == 1)
			second_row_stage(scan, ahead);
	}
}
