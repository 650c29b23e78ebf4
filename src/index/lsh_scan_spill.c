/*
 * lsh_scan_spill.c
 *		A scan that needs more candidates than work_mem holds.
 *
 * The queue would have to go to disk, and whoever needs that many rows usually
 * needs all of them.  So everything that was not given out is sorted by the
 * server's external sort, and the rows come from there: what is in the queue and
 * all that was not read yet; or, if candidates have been dropped, all leaves once
 * more without the rows that were given out.  A leaf that is read again has the
 * same rows, as far as the snapshot can see them, because its link still says how
 * often it had been split at first.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "index/lsh_scan.h"

#define COLUMN_BOUND 1
#define COLUMN_TID 2
#define COLUMNS 2

/* The rows that were given out before the sort. */
struct MrLshGiven
{
	ItemPointerData *table;		/* [mask + 1] */
	uint32		mask;
};

/* A sort by lower bound; equal bounds by TID, so that the order is repeatable. */
static void
start_sort(MrLshScan *scan)
{
	AttrNumber	columns[COLUMNS] = {COLUMN_BOUND, COLUMN_TID};
	Oid			operators[COLUMNS] = {Float8LessOperator, Int8LessOperator};
	Oid			collations[COLUMNS] = {InvalidOid, InvalidOid};
	bool		nulls_first[COLUMNS] = {false, false};

	if (scan->sort_slot == NULL)
	{
		TupleDesc	row = CreateTemplateTupleDesc(COLUMNS);

		TupleDescInitEntry(row, COLUMN_BOUND, "bound", FLOAT8OID, -1, 0);
		TupleDescInitEntry(row, COLUMN_TID, "tid", INT8OID, -1, 0);
		scan->spill_slot = MakeSingleTupleTableSlot(row, &TTSOpsVirtual);
		scan->sort_slot = MakeSingleTupleTableSlot(row, &TTSOpsMinimalTuple);
	}
	scan->sort = tuplesort_begin_heap(scan->sort_slot->tts_tupleDescriptor, COLUMNS, columns, operators, collations,
									  nulls_first, work_mem, NULL, TUPLESORT_NONE);
}

/* A TID as a number and back: block, then offset, so that it sorts alike. */
static int64
tid_number(const ItemPointerData *tid)
{
	return (int64) ItemPointerGetBlockNumberNoCheck(tid) << 16 | ItemPointerGetOffsetNumberNoCheck(tid);
}

/* ---- the rows that were given out ---- */

/* Where a TID is in the table, or would be: open addressing, an empty place is all zeroes. */
static ItemPointerData *
find_place(MrLshGiven *given, const ItemPointerData *tid)
{
	uint32		at = murmurhash32((uint32) tid_number(tid) ^ (uint32) (tid_number(tid) >> 32)) & given->mask;

	while (ItemPointerGetOffsetNumberNoCheck(&given->table[at]) != InvalidOffsetNumber &&
		   !ItemPointerEquals(&given->table[at], unconstify(ItemPointerData *, tid)))
		at = (at + 1) & given->mask;
	return &given->table[at];
}

/* Makes a table of the TIDs that were given out: at most half full. */
static MrLshGiven *
make_given(const MrLshScan *scan)
{
	MrLshGiven *given = palloc(sizeof(MrLshGiven));
	uint32		size = pg_nextpower2_32(Max(scan->n_given, 16) * 2);

	given->mask = size - 1;
	given->table = MemoryContextAllocExtended(CurrentMemoryContext, mul_size(size, sizeof(ItemPointerData)),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 i = 0; i < scan->n_given; i++)
		*find_place(given, &scan->given[i]) = scan->given[i];
	return given;
}

static void
free_given(MrLshGiven *given)
{
	pfree(given->table);
	pfree(given);
}

static bool
was_given(MrLshGiven *given, const ItemPointerData *tid)
{
	return ItemPointerGetOffsetNumberNoCheck(find_place(given, tid)) != InvalidOffsetNumber;
}

/* ---- into the sort ---- */

/* One row into the sort. */
static void
spill_row(MrLshScan *scan, float bound, const ItemPointerData *tid)
{
	TupleTableSlot *slot = scan->spill_slot;

	ExecClearTuple(slot);
	slot->tts_values[COLUMN_BOUND - 1] = Float8GetDatum(bound);
	slot->tts_isnull[COLUMN_BOUND - 1] = false;
	slot->tts_values[COLUMN_TID - 1] = Int64GetDatum(tid_number(tid));
	slot->tts_isnull[COLUMN_TID - 1] = false;
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(scan->sort, slot);
}

/* Rows of a leaf into the sort, unless they were given out. */
void
mr_lsh_scan_spill_rows(MrLshScan *scan, const float *bounds, const ItemPointerData *tids, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (scan->skip == NULL || !was_given(scan->skip, &tids[i]))
			spill_row(scan, bounds[i], &tids[i]);
	}
}

/* Moves what the queue holds into the sort. */
static void
spill_items(MrLshScan *scan, const MrQueueItem *items, uint32 n)
{
	for (uint32 i = 0; i < n; i++)
	{
		spill_row(scan, items[i].key, &scan->tids[items[i].payload]);
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Sorts everything that was not given out; what was not read yet as far as
 * lsh.max_scan allows.
 */
void
mr_lsh_scan_spill(MrLshScan *scan)
{
	MemoryContext before = MemoryContextSwitchTo(scan->context);
	bool		again = scan->cutoff < INFINITY;

	start_sort(scan);
	scan->pages = 0;
	if (again)
		scan->skip = make_given(scan);
	else
	{
		spill_items(scan, scan->candidates.front, scan->candidates.n_front);
		spill_items(scan, scan->candidates.back, scan->candidates.n_back);
	}
	mr_queue_reset(&scan->candidates);
	mr_queue_reset(&scan->leaf_queue);
	scan->n_tids = 0;
	if (!scan->stopped)
		mr_lsh_scan_read_groups(scan, INFINITY);
	for (uint32 i = 0; i < scan->n_leaves; i++)
	{
		if (scan->leaves[i].read)
		{
			int64		candidates = scan->counts.candidates;

			if (again)
				mr_lsh_scan_read_leaf(scan, i);
			scan->counts.candidates = candidates;
		}
		else if (!scan->stopped)
		{
			mr_lsh_scan_read_leaf(scan, i);
			scan->stopped = mr_lsh_scan_budget_spent(scan);
		}
	}
	if (again)
		free_given(scan->skip);
	scan->skip = NULL;
	tuplesort_performsort(scan->sort);
	MemoryContextSwitchTo(before);
}

/* The next row of the sort. */
bool
mr_lsh_scan_spilled(MrLshScan *scan, float *bound, ItemPointerData *tid)
{
	bool		isnull;
	int64		number;

	if (!tuplesort_gettupleslot(scan->sort, true, false, scan->sort_slot, NULL))
		return false;
	*bound = (float) DatumGetFloat8(slot_getattr(scan->sort_slot, COLUMN_BOUND, &isnull));
	number = DatumGetInt64(slot_getattr(scan->sort_slot, COLUMN_TID, &isnull));
	ItemPointerSet(tid, (BlockNumber) (number >> 16), (OffsetNumber) (number & 0xFFFF));
	return true;
}

/* Gives back the sort's memory and files. */
void
mr_lsh_scan_end_spill(MrLshScan *scan)
{
	if (scan->sort == NULL)
		return;
	ExecClearTuple(scan->sort_slot);
	tuplesort_end(scan->sort);
	scan->sort = NULL;
}
