/*
 * lsh_check_rows.c
 *		lsh_check(): each heap row is in the index at most once, and, if that is
 *		asked for, every heap row is in the index, with the code of its value.
 *
 * A row becomes a key of 64 bits: block, offset, and 16 bits of a hash of its
 * code (0 for NULL).  The keys of the index are sorted, those of the heap are
 * sorted, and both are read side by side.  Sorting keeps to maintenance_work_mem.
 *
 * The same TID twice is only a suspicion: with a vacuum and an insert at work,
 * the walk may have seen a dead row in one page, and later in another page the
 * row that got its place.  So suspects are looked up once more, in all pages.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "index/lsh_check.h"
#include "index/lsh_user.h"
#include "util/compat.h"

/* More TIDs that seem to be there twice are not looked up. */
#define MAX_SUSPECTS 1000

typedef struct Suspects
{
	int			n;
	int64		place[MAX_SUSPECTS];	/* key without hash, ascending */
	BlockNumber block[MAX_SUSPECTS];	/* where it was seen first */
} Suspects;

/* One side of the comparison: sorted keys, one after the other. */
typedef struct KeyStream
{
	Tuplesortstate *sort;
	int64		key;
	bool		ended;
} KeyStream;

/* What the pass over the heap needs. */
typedef struct HeapPass
{
	int			dim;
	Tuplesortstate *sort;
	MemoryContext row_context;
	int8	   *code;
} HeapPass;

#define key_place(key) ((key) >> 16)

/* The key of a row; code NULL: its embedding is NULL. */
static int64
make_key(const ItemPointerData *tid, const int8 *code, int dim, float scale)
{
	uint32		hash = 0;

	if (code != NULL)
	{
		hash = hash_combine(hash_bytes((const unsigned char *) code, dim),
							hash_bytes((const unsigned char *) &scale, sizeof(scale)));
		hash = 1 + hash % 65535;
	}
	return (int64) (((uint64) ItemPointerGetBlockNumber(tid) << 32) |
					((uint64) ItemPointerGetOffsetNumber(tid) << 16) | hash);
}

/* An empty sort of keys. */
static Tuplesortstate *
begin_sort(int memory)
{
	return tuplesort_begin_datum(INT8OID, Int8LessOperator, InvalidOid, false, memory, NULL, TUPLESORT_NONE);
}

/* Goes to the next key of a stream. */
static void
next_key(KeyStream *stream)
{
	Datum		value;
	bool		isnull;

	stream->ended = !MR_TUPLESORT_GETDATUM(stream->sort, &value, &isnull);
	if (!stream->ended)
		stream->key = DatumGetInt64(value);
}

/* The walk begins. */
void
mr_lsh_check_begin_rows(MrLshCheck *check, bool with_heap)
{
	check->heap_blocks = RelationGetNumberOfBlocks(check->heap);
	check->sort_memory = with_heap ? Max(maintenance_work_mem / 2, 64) : maintenance_work_mem;
	check->rows = begin_sort(check->sort_memory);
}

/* The walk has come by a row. */
void
mr_lsh_check_row(MrLshCheck *check, BlockNumber block, const ItemPointerData *tid, const int8 *code, float scale)
{
	if (ItemPointerIsValid(tid) && ItemPointerGetBlockNumberNoCheck(tid) >= check->heap_blocks)
		check->heap_blocks = RelationGetNumberOfBlocks(check->heap);
	if (!ItemPointerIsValid(tid) || ItemPointerGetBlockNumberNoCheck(tid) >= check->heap_blocks)
		mr_lsh_corrupted(check->index, block, "a row points outside the table");
	tuplesort_putdatum(check->rows, Int64GetDatum(make_key(tid, code, check->lsh.layout.dim, scale)), false);
}

/* ---- the same TID twice ---- */

/* The TIDs of a page, if it has rows; the page is locked. */
static ItemPointerData *
page_tids(const MrLshLayout *layout, Page page, int *n)
{
	*n = 0;
	if (PageIsNew(page) || mr_lsh_page_fault(layout, page, MR_LSH_LEAF | MR_LSH_NULLS) != NULL)
		return NULL;
	*n = mr_lsh_opaque(page)->n;
	return mr_lsh_opaque(page)->kind == MR_LSH_NULLS ? mr_lsh_null_tids(page) : mr_lsh_tids(layout, page);
}

/* How often a page has the row at that place, now. */
static int
times_in_page(MrLshCheck *check, BlockNumber block, int64 place)
{
	Buffer		buffer = ReadBuffer(check->index, block);
	ItemPointerData *tids;
	int			n;
	int			times = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	tids = page_tids(&check->lsh.layout, BufferGetPage(buffer), &n);
	for (int i = 0; i < n; i++)
		times += key_place(make_key(&tids[i], NULL, 0, 0)) == place;
	UnlockReleaseBuffer(buffer);
	return times;
}

/* A suspect was seen in this block: an error if that makes it two. */
static void
look_again(MrLshCheck *check, Suspects *suspects, int i, BlockNumber block)
{
	BlockNumber before = suspects->block[i];
	int64		place = suspects->place[i];
	int			times = times_in_page(check, block, place);

	if (before != InvalidBlockNumber && before != block && times > 0)
		times += times_in_page(check, before, place);
	suspects->block[i] = block;
	if (times > 1)
		mr_lsh_corrupted(check->index, block,
						 psprintf("heap row (%u,%u) is in the index twice, the other time in block %u",
								  (uint32) ((uint64) place >> 16), (uint32) (place & 0xFFFF),
								  before == InvalidBlockNumber ? block : before));
}

/* Looks for the suspects in every page. */
static void
check_suspects(MrLshCheck *check, Suspects *suspects)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(check->index);
	bool		here[MAX_SUSPECTS];

	for (int i = 0; i < suspects->n; i++)
		suspects->block[i] = InvalidBlockNumber;
	for (BlockNumber block = MR_LSH_ROOT_BLOCK; block < blocks && suspects->n > 0; block++)
	{
		Buffer		buffer = ReadBuffer(check->index, block);
		ItemPointerData *tids;
		int			n;

		memset(here, 0, sizeof(here));
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		tids = page_tids(&check->lsh.layout, BufferGetPage(buffer), &n);
		for (int i = 0; i < n; i++)
		{
			int64		place = key_place(make_key(&tids[i], NULL, 0, 0));
			int			low = 0;
			int			high = suspects->n;

			while (low < high)
			{
				int			middle = (low + high) / 2;

				if (suspects->place[middle] < place)
					low = middle + 1;
				else
					high = middle;
			}
			if (low < suspects->n && suspects->place[low] == place)
				here[low] = true;
		}
		UnlockReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < suspects->n; i++)
			if (here[i])
				look_again(check, suspects, i, block);
	}
}

/* As next_key() for the rows of the index; notes a TID that comes twice. */
static void
next_row(KeyStream *rows, Suspects *suspects)
{
	int64		before = key_place(rows->key);
	bool		first = rows->key == -1;

	next_key(rows);
	if (rows->ended || first || key_place(rows->key) != before || suspects->n == MAX_SUSPECTS)
		return;
	if (suspects->n == 0 || suspects->place[suspects->n - 1] != before)
		suspects->place[suspects->n++] = before;
}

/* ---- the heap ---- */

/* One visible row of the heap. */
static void
heap_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	HeapPass   *pass = arg;
	MemoryContext before = MemoryContextSwitchTo(pass->row_context);
	int			dim = pass->dim;
	float		scale = 0;
	float		norm;
	const float *x = mr_lsh_value(values[0], isnull[0], pass->dim, &dim);
	int64		key;

	CHECK_FOR_INTERRUPTS();
	if (x != NULL)
		(void) mr_code_encode(x, dim, pass->code, &scale, &norm);
	key = make_key(tid, x ? pass->code : NULL, dim, scale);
	MemoryContextSwitchTo(before);
	MemoryContextReset(pass->row_context);
	tuplesort_putdatum(pass->sort, Int64GetDatum(key), false);
}

/* Sorts the keys of all rows that the snapshot sees and that belong into the index. */
static Tuplesortstate *
sort_heap(MrLshCheck *check, Snapshot snapshot)
{
	HeapPass	pass;
	IndexInfo  *info = BuildIndexInfo(check->index);
	TableScanDesc scan;

	mr_lsh_refuse_old_snapshot(check->index, snapshot);
	info->ii_Concurrent = true;
	pass.dim = check->lsh.hash.dim;
	pass.sort = begin_sort(check->sort_memory);
	pass.row_context = AllocSetContextCreate(CurrentMemoryContext, "metricrec check row", ALLOCSET_DEFAULT_SIZES);
	pass.code = palloc(MR_LSH_MAX_DIMENSIONS);
	scan = table_beginscan_strat(check->heap, snapshot, 0, NULL, true, true);
	table_index_build_scan(check->heap, check->index, info, true, false, heap_row, &pass, scan);
	MemoryContextDelete(pass.row_context);
	pfree(pass.code);
	tuplesort_performsort(pass.sort);
	return pass.sort;
}

/* A row of the heap is missing, or has another code. */
static void
report_row(MrLshCheck *check, int64 key, bool other_code)
{
	uint32		block = (uint32) ((uint64) key >> 32);
	uint32		offset = (uint32) ((uint64) key >> 16) & 0xFFFF;

	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is corrupted", RelationGetRelationName(check->index)),
			 other_code ?
			 errdetail("Heap row (%u,%u) is in the index with another value.", block, offset) :
			 errdetail("Heap row (%u,%u) is not in the index.", block, offset),
			 errhint("REINDEX the index.")));
}

/* Looks for each row of the heap among those of the index. */
static void
compare(MrLshCheck *check, KeyStream *rows, KeyStream *heap, Suspects *suspects)
{
	for (next_key(heap); !heap->ended; next_key(heap))
	{
		int64		place = key_place(heap->key);
		bool		there = false;
		bool		same = false;

		CHECK_FOR_INTERRUPTS();
		while (!rows->ended && key_place(rows->key) <= place)
		{
			if (key_place(rows->key) == place)
			{
				there = true;
				same |= rows->key == heap->key;
			}
			next_row(rows, suspects);
		}
		if (!same)
			report_row(check, heap->key, there);
	}
}

/* The walk has ended.  With a snapshot, the heap's rows are looked for. */
void
mr_lsh_check_end_rows(MrLshCheck *check, Snapshot snapshot)
{
	KeyStream	rows = {check->rows, -1};
	Suspects   *suspects = palloc(sizeof(Suspects));

	suspects->n = 0;
	tuplesort_performsort(check->rows);
	next_row(&rows, suspects);
	if (snapshot != InvalidSnapshot)
	{
		KeyStream	heap = {sort_heap(check, snapshot), -1};

		compare(check, &rows, &heap, suspects);
		tuplesort_end(heap.sort);
	}
	while (!rows.ended)
	{
		CHECK_FOR_INTERRUPTS();
		next_row(&rows, suspects);
	}
	tuplesort_end(check->rows);
	check_suspects(check, suspects);
	pfree(suspects);
}
