/*
 * lsh_scan_rank.c
 *		Rows by their exact distance.
 *
 * The index knows a lower bound of a row's distance only.  So the row is fetched
 * from the table, and waits, with its exact distance, until the bound of the row
 * that would be fetched next is not smaller.  Rows that the snapshot does not
 * see go no farther.
 *
 * The executor offers to do that (xs_recheckorderby), but a row that went through
 * its queue has lost its ctid in many minor releases of PostgreSQL, so that
 * SELECT ... FOR UPDATE and WHERE CURRENT OF fail.  To fetch the row twice, the
 * second time from a page that was just read, costs as much as its queue, which
 * copies rows.  Only an order by more than one distance is left to the executor.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "index/lsh_scan.h"
#include "math/vecmath.h"
#include "type/embedding.h"
#include "util/compat.h"

typedef struct RankedRow
{
	pairingheap_node node;
	double		distance;
	ItemPointerData tid;
} RankedRow;

/* The nearest first; of equally near ones that with the lower TID. */
static int
compare_rows(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const RankedRow *x = pairingheap_const_container(RankedRow, node, a);
	const RankedRow *y = pairingheap_const_container(RankedRow, node, b);

	if (x->distance != y->distance)
		return x->distance < y->distance ? 1 : -1;
	return ItemPointerCompare((ItemPointer) &y->tid, (ItemPointer) &x->tid);
}

/* Keeps what later rows are measured to; the first time, opens the table. */
void
mr_lsh_scan_start_ranking(IndexScanDesc desc, MrLshScan *scan, const float *point)
{
	MemoryContext before = MemoryContextSwitchTo(scan->context);
	int			dim = scan->lsh.hash.dim;

	if (scan->fetch == NULL)
	{
		scan->fetch = table_index_fetch_begin(desc->heapRelation);
		scan->heap_slot = table_slot_create(desc->heapRelation, NULL);
		scan->column = scan->index->rd_index->indkey.values[0];
		if (scan->column == InvalidAttrNumber)
		{
			scan->info = BuildIndexInfo(scan->index);
			scan->estate = CreateExecutorState();
		}
		scan->point = palloc(dim * sizeof(float));
		scan->waiting = pairingheap_allocate(compare_rows, NULL);
		scan->waiting_rows = AllocSetContextCreate(scan->context, "lsh waiting rows", ALLOCSET_SMALL_SIZES);
		scan->row = AllocSetContextCreate(scan->context, "lsh row", ALLOCSET_SMALL_SIZES);
	}
	memcpy(scan->point, point, dim * sizeof(float));
	MemoryContextSwitchTo(before);
}

/* Before the next scan, or the end of all: no row waits, no page is pinned. */
void
mr_lsh_scan_reset_ranking(MrLshScan *scan)
{
	scan->have_row = false;
	scan->rows_ended = false;
	scan->farthest = 0;
	if (scan->fetch == NULL)
		return;
	ExecClearTuple(scan->heap_slot);
	table_index_fetch_reset(scan->fetch);
	pairingheap_reset(scan->waiting);
	MemoryContextReset(scan->waiting_rows);
}

void
mr_lsh_scan_end_ranking(MrLshScan *scan)
{
	if (scan->fetch == NULL)
		return;
	ExecDropSingleTupleTableSlot(scan->heap_slot);
	table_index_fetch_end(scan->fetch);
	if (scan->estate)
		FreeExecutorState(scan->estate);
}

/* What the index was made of, in the row that was fetched. */
static Datum
indexed_value(MrLshScan *scan, bool *isnull)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	if (scan->column != InvalidAttrNumber)
		return slot_getattr(scan->heap_slot, scan->column, isnull);
	ResetPerTupleExprContext(scan->estate);
	GetPerTupleExprContext(scan->estate)->ecxt_scantuple = scan->heap_slot;
	FormIndexDatum(scan->info, scan->heap_slot, scan->estate, values, nulls);
	*isnull = nulls[0];
	return values[0];
}

/* Fetches a row and puts it among those that wait, if the snapshot sees it. */
static void
rank_row(IndexScanDesc desc, MrLshScan *scan)
{
	ItemPointerData tid = scan->row_tid;
	MemoryContext before;
	bool		again = false;
	bool		dead = false;
	bool		isnull;
	RankedRow  *row;
	MrEmbedding *value;
	Datum		datum;

	if (!table_index_fetch_tuple(scan->fetch, &tid, desc->xs_snapshot, scan->heap_slot, &again, &dead))
	{
		if (dead)
			scan->counts.dead++;
		return;
	}
	before = MemoryContextSwitchTo(scan->row);
	datum = indexed_value(scan, &isnull);
	value = isnull ? NULL : DatumGetMrEmbedding(datum);
	if (value == NULL || value->dim != scan->lsh.hash.dim)
		mr_lsh_corrupted_row(scan->index, &scan->row_tid, "has another embedding in the table than in the index");
	row = MemoryContextAlloc(scan->waiting_rows, sizeof(RankedRow));
	row->distance = mr_l2_distance(value->x, scan->point, value->dim);
	row->tid = scan->row_tid;
	MemoryContextSwitchTo(before);
	MemoryContextReset(scan->row);
	pairingheap_add(scan->waiting, &row->node);
}

/* Hands the nearest of the waiting rows to the executor. */
static void
give_first(IndexScanDesc desc, MrLshScan *scan)
{
	RankedRow  *row = pairingheap_container(RankedRow, node, pairingheap_remove_first(scan->waiting));

	desc->xs_heaptid = row->tid;
	desc->xs_recheck = false;
	desc->xs_recheckorderby = false;
	desc->xs_orderbyvals[0] = Float8GetDatum(row->distance);
	desc->xs_orderbynulls[0] = false;
	if (row->distance < scan->farthest)
		scan->counts.late++;
	else
		scan->farthest = row->distance;
	pfree(row);
}

/* The next row by exact distance; false if there is none with an embedding. */
bool
mr_lsh_scan_ranked(IndexScanDesc desc, MrLshScan *scan)
{
	for (;;)
	{
		if (!scan->have_row && !scan->rows_ended)
		{
			scan->have_row = mr_lsh_scan_next(desc, scan, &scan->row_bound, &scan->row_tid);
			scan->rows_ended = !scan->have_row;
		}
		if (!pairingheap_is_empty(scan->waiting))
		{
			const RankedRow *first = pairingheap_container(RankedRow, node, pairingheap_first(scan->waiting));

			if (!scan->have_row || first->distance <= scan->row_bound)
			{
				give_first(desc, scan);
				return true;
			}
		}
		if (!scan->have_row)
		{
			ExecClearTuple(scan->heap_slot);
			table_index_fetch_reset(scan->fetch);
			return false;
		}
		rank_row(desc, scan);
		scan->have_row = false;
		CHECK_FOR_INTERRUPTS();
	}
}
