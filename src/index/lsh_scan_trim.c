/*
 * lsh_scan_trim.c
 *		When the candidates of a scan outgrow work_mem, the far ones are dropped.
 *
 * Whoever wants ten rows never comes to them, and a search that reads half of
 * the index (exact mode) stays a matter of reading.  From then on no candidate
 * at or beyond the cutoff is kept.  If the scan does come so far, all leaves are
 * read again into a sort (lsh_scan_spill.c), without the rows that were given
 * out, whose TIDs are kept for that.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "index/lsh_scan.h"

/* Dropped: the farthest 3 of 4 candidates, as estimated from a sample. */
#define SAMPLE 1024
#define KEEP_PART 4

/* More rows given out than this part of what fits: trimming would not help for long. */
#define GIVEN_PART 4

/* Rows that fit into work_mem. */
static Size
capacity(void)
{
	return (Size) work_mem * 1024 / (sizeof(ItemPointerData) + sizeof(MrQueueItem));
}

/* Do the candidates, and what they have been, fill work_mem or the numbers of the queue? */
bool
mr_lsh_scan_is_full(const MrLshScan *scan)
{
	return scan->n_tids > Min(capacity(), PG_UINT32_MAX - MR_LSH_MAX_ROWS);
}

/* Keeps the TID of a row that is given out. */
void
mr_lsh_scan_remember_given(MrLshScan *scan, uint32 row)
{
	if (scan->n_given >= scan->room_given)
		scan->given = mr_lsh_scan_enlarge(scan->given, &scan->room_given, 0, sizeof(ItemPointerData));
	scan->given[scan->n_given++] = scan->tids[row];
}

static int
compare_floats(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return (x > y) - (x < y);
}

/* A lower bound below which about one of KEEP_PART candidates of the back lies. */
static float
choose_cutoff(const MrQueue *queue)
{
	float		sample[SAMPLE];

	for (uint32 i = 0; i < SAMPLE; i++)
		sample[i] = queue->back[(uint64) i * queue->n_back / SAMPLE].key;
	qsort(sample, SAMPLE, sizeof(float), compare_floats);
	return sample[SAMPLE / KEEP_PART];
}

/* Those of some items that are below the cutoff, as arrays of keys and TIDs. */
static uint32
copy_near(const MrLshScan *scan, const MrQueueItem *items, uint32 n, float cutoff,
		  float *keys, ItemPointerData *tids)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < n; i++)
	{
		if (items[i].key < cutoff)
		{
			keys[kept] = items[i].key;
			tids[kept++] = scan->tids[items[i].payload];
		}
	}
	return kept;
}

/*
 * Drops far candidates; false if that would not help, and the scan had better go
 * on in a sort.
 */
bool
mr_lsh_scan_trim(MrLshScan *scan)
{
	MrQueue    *queue = &scan->candidates;
	ItemPointerData *tids;
	float	   *keys;
	float		cutoff;
	uint32		n;

	if (scan->n_given > capacity() / GIVEN_PART || queue->n_back < SAMPLE)
		return false;
	/* all that was given out must lie below */
	cutoff = Min(choose_cutoff(queue), scan->cutoff);
	if (cutoff <= scan->largest)
		return false;

	keys = MemoryContextAllocHuge(scan->context, mul_size(queue->n_front + queue->n_back, sizeof(float)));
	tids = MemoryContextAllocHuge(scan->context, mul_size(scan->room_tids, sizeof(ItemPointerData)));
	n = copy_near(scan, queue->front, queue->n_front, cutoff, keys, tids);
	n += copy_near(scan, queue->back, queue->n_back, cutoff, keys + n, tids + n);
	pfree(scan->tids);
	scan->tids = tids;
	scan->n_tids = n;
	mr_queue_reset(queue);
	mr_lsh_scan_reserve_queue(queue, n);
	mr_queue_push(queue, keys, n, 0);
	pfree(keys);

	scan->cutoff = cutoff;
	memset(scan->rows_ahead, 0, sizeof(scan->rows_ahead));
	return !mr_lsh_scan_is_full(scan);
}
