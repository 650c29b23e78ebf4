/*
 * lsh_stats.c
 *		lsh_stats(), what an index is made of, and lsh_last_scan(), what the last
 *		scan did.
 *
 * The pages are counted block by block, each under a lock of its own: with
 * others at work the figures are of about one moment.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"

#include "index/lsh.h"
#include "index/lsh_user.h"
#include "util/compat.h"

PG_FUNCTION_INFO_V1(mr_lsh_stats);
PG_FUNCTION_INFO_V1(mr_lsh_last_scan);

typedef struct PageCounts
{
	int64		pages;
	int64		groups;
	int64		leaves;
	int64		rows;
	int64		null_rows;
	int64		deleted;
	int64		unused;			/* could be used again now */
} PageCounts;

/* Counts one page, which is pinned and locked. */
static void
count_page(PageCounts *counts, Page page)
{
	const MrLshOpaque *opaque;

	if (mr_lsh_page_recyclable(page))
		counts->unused++;
	if (PageIsNew(page))
		return;
	opaque = mr_lsh_opaque(page);
	switch (opaque->kind)
	{
		case MR_LSH_INNER:
			counts->groups++;
			break;
		case MR_LSH_LEAF:
			counts->leaves++;
			counts->rows += opaque->n;
			break;
		case MR_LSH_NULLS:
			counts->null_rows += opaque->n;
			break;
		case MR_LSH_DELETED:
			counts->deleted++;
			break;
	}
}

/* Counts all pages but the meta page; one that is neither new nor ours is an error. */
static void
count_pages(Relation index, const MrLshLayout *layout, PageCounts *counts)
{
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);

	memset(counts, 0, sizeof(*counts));
	counts->pages = RelationGetNumberOfBlocks(index);
	for (BlockNumber block = MR_LSH_ROOT_BLOCK; block < counts->pages; block++)
	{
		Buffer		buffer;
		Page		page;
		const char *fault = NULL;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		if (!PageIsNew(page))
			fault = mr_lsh_page_fault(layout, page, MR_LSH_ROOT | MR_LSH_INNER | MR_LSH_LEAF |
									  MR_LSH_NULLS | MR_LSH_DELETED);
		if (fault == NULL)
			count_page(counts, page);
		UnlockReleaseBuffer(buffer);
		/* without dimensions it was empty a moment ago, and the first row has come */
		if (fault != NULL && layout->dim != 0)
			mr_lsh_corrupted(index, block, fault);
	}
	FreeAccessStrategy(strategy);
}

/* The row type that the calling query expects. */
static TupleDesc
result_type(FunctionCallInfo fcinfo)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function returning record called in context that cannot accept type record")));
	return BlessTupleDesc(desc);
}

/*
 * lsh_stats(index regclass) returns one row
 */
Datum
mr_lsh_stats(PG_FUNCTION_ARGS)
{
	TupleDesc	desc = result_type(fcinfo);
	MrLshUse	use;
	MrLshIndex	lsh;
	PageCounts	counts;
	int64		room;
	Datum		values[15];
	bool		nulls[15] = {0};

	mr_lsh_use(&use, PG_GETARG_OID(0), MR_LSH_MAY_COUNT);
	mr_lsh_load(use.index, &lsh);
	count_pages(use.index, &lsh.layout, &counts);
	room = counts.leaves * lsh.layout.leaf_capacity;

	values[0] = Int32GetDatum(MR_LSH_FORMAT);
	values[1] = CStringGetTextDatum(mr_hash_name(lsh.hash.family));
	values[2] = Int32GetDatum(lsh.hash.dim);
	nulls[2] = lsh.hash.dim == 0;
	values[3] = Int64GetDatum(counts.groups);
	values[4] = Int64GetDatum(counts.leaves);
	values[5] = Int64GetDatum(counts.rows);
	values[6] = Int64GetDatum(counts.null_rows);
	values[7] = Int64GetDatum(counts.pages);
	values[8] = Int64GetDatum(counts.deleted);
	values[9] = Int64GetDatum(counts.unused);
	values[10] = Float8GetDatum(room > 0 ? (double) counts.rows / room : 0);
	nulls[10] = room == 0;
	values[11] = Int64GetDatum((int64) lsh.rows_at_build);
	values[12] = Int64GetDatum((int64) lsh.leaves_at_build);
	values[13] = Int64GetDatum(counts.leaves - (int64) lsh.leaves_at_build);
	values[14] = Float8GetDatum(mr_lsh_effective_target(use.index));
	mr_lsh_end_use(&use);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * lsh_last_scan() returns one row; NULLs if no scan has ended in this session
 */
Datum
mr_lsh_last_scan(PG_FUNCTION_ARGS)
{
	TupleDesc	desc = result_type(fcinfo);
	const MrLshScanCounts *counts = &mr_lsh_last_scan_counts;
	Datum		values[9];
	bool		nulls[9];

	values[0] = ObjectIdGetDatum(counts->index);
	values[1] = Int64GetDatum(counts->groups);
	values[2] = Int64GetDatum(counts->leaves);
	values[3] = Int64GetDatum(counts->candidates);
	values[4] = Int64GetDatum(counts->ranked);
	values[5] = Int64GetDatum(counts->dead);
	values[6] = Int64GetDatum(counts->late);
	values[7] = BoolGetDatum(counts->exhausted);
	values[8] = BoolGetDatum(counts->exact);
	memset(nulls, !OidIsValid(counts->index), sizeof(nulls));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
