/*
 * lsh_recall.c
 *		lsh_recall(): how many of the nearest rows do scans of this index find?
 *
 * Rows of the table, drawn by a fixed seed, are the queries.  Each is asked of
 * the index, with the session's settings, and of the table: one pass over all
 * rows keeps the k nearest of every query.  A row of the index's answer is a hit
 * if it is not farther than the k-th of the exact answer, so that it does not
 * matter which of several equally distant rows is returned.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "index/lsh.h"
#include "index/lsh_user.h"
#include "math/topk.h"
#include "math/vecmath.h"
#include "type/embedding.h"
#include "util/compat.h"
#include "util/rng.h"

PG_FUNCTION_INFO_V1(mr_lsh_recall);

#define SEED UINT64CONST(0x726563616C6C)
#define MAX_SAMPLE 10000
#define MAX_K 10000

typedef struct Recall
{
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	Snapshot	snapshot;
	MemoryContext row_context;

	int			wanted;			/* queries */
	int			k;
	int			dim;
	int			n;				/* queries drawn */
	int64		rows;			/* seen while drawing */
	MrRng		rng;
	MrEmbedding **queries;		/* [wanted] */
	MrTopK	   *exact;			/* [n] */
} Recall;

/* ---- passes over the table ---- */

/* A pass over the rows that belong into the index. */
static void
scan_table(Recall *recall, IndexBuildCallback callback)
{
	TableScanDesc scan = table_beginscan_strat(recall->heap, recall->snapshot, 0, NULL, true, false);

	table_index_build_scan(recall->heap, recall->index, recall->info, true, false, callback, recall, scan);
}

/* Refuses to take more memory than maintenance_work_mem, for queries of so many bytes. */
static void
check_memory(int sample, int k, Size bytes)
{
	double		needed = (double) sample * (k * sizeof(MrTopItem) + bytes);

	if (needed > maintenance_work_mem * 1024.0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a sample of %d with k = %d needs %.0f kB", sample, k, needed / 1024),
				 errhint("Take less, or raise maintenance_work_mem, which is %d kB.", maintenance_work_mem)));
}

/* Draws queries: after i rows each of them is in the sample with the same chance. */
static void
draw(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	Recall	   *recall = arg;
	int64		place = recall->rows;
	MrEmbedding *value;

	CHECK_FOR_INTERRUPTS();
	if (isnull[0])
		return;
	recall->rows++;
	if (place >= recall->wanted)
		place = mr_rng_below64(&recall->rng, recall->rows);
	if (place >= recall->wanted)
		return;
	if (place == 0 && recall->n == 0)
		check_memory(recall->wanted, recall->k, toast_raw_datum_size(values[0]));
	if (place == recall->n)
		recall->n++;
	else
		pfree(recall->queries[place]);
	value = (MrEmbedding *) PG_DETOAST_DATUM_COPY(values[0]);
	recall->queries[place] = value;
}

/* Offers a row to the exact answers of all queries. */
static void
offer(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	Recall	   *recall = arg;
	MemoryContext before = MemoryContextSwitchTo(recall->row_context);
	const float *x = mr_lsh_value(values[0], isnull[0], recall->dim, &recall->dim);

	for (int i = 0; x != NULL && i < recall->n; i++)
	{
		double		distance;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		distance = mr_l2_distance(x, recall->queries[i]->x, recall->dim);
		if (distance < mr_topk_bound(&recall->exact[i]))
			mr_topk_push(&recall->exact[i], distance, recall->rows);
	}
	recall->rows++;
	MemoryContextSwitchTo(before);
	MemoryContextReset(recall->row_context);
}

/* ---- a search of the index ---- */

/* Of the first k rows that a search returns, those not farther than `limit`. */
static int
search(Recall *recall, IndexScanDesc scan, const MrEmbedding *query, double limit, TupleTableSlot *slot)
{
	ScanKeyData key;
	int			hits = 0;

	ScanKeyEntryInitialize(&key, SK_ORDER_BY, 1, MR_LSH_DISTANCE_STRATEGY, InvalidOid,
						   recall->index->rd_indcollation[0],
						   index_getprocid(recall->index, 1, MR_LSH_DISTANCE_PROC),
						   PointerGetDatum(query));
	index_rescan(scan, NULL, 0, &key, 1);
	for (int returned = 0; returned < recall->k; returned++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!index_getnext_slot(scan, ForwardScanDirection, slot) || scan->xs_orderbynulls[0])
			break;
		/* the exact distance: lsh_scan_rank.c */
		hits += DatumGetFloat8(scan->xs_orderbyvals[0]) <= limit;
	}
	ExecClearTuple(slot);
	return hits;
}

/* Asks the index all queries; returns the mean of their recall. */
static double
search_all(Recall *recall)
{
	TupleTableSlot *slot = table_slot_create(recall->heap, NULL);
	IndexScanDesc scan = MR_INDEX_BEGINSCAN(recall->heap, recall->index, recall->snapshot, 0, 1);
	double		sum = 0;

	for (int i = 0; i < recall->n; i++)
	{
		MrTopK	   *exact = &recall->exact[i];

		mr_topk_sort(exact);
		if (exact->n > 0)
			sum += (double) search(recall, scan, recall->queries[i], exact->items[exact->n - 1].distance,
								   slot) / exact->n;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return sum / recall->n;
}

/* ---- entry ---- */

/* Refuses what makes no sense. */
static void
check_arguments(int sample, int k)
{
	if (sample < 1 || sample > MAX_SAMPLE)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("sample must be between 1 and %d, not %d", MAX_SAMPLE, sample)));
	if (k < 1 || k > MAX_K)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("k must be between 1 and %d, not %d", MAX_K, k)));
}

/*
 * lsh_recall(index regclass, sample int, k int) returns float8; NULL if the
 * index has no rows
 */
Datum
mr_lsh_recall(PG_FUNCTION_ARGS)
{
	Recall		recall = {0};
	MrLshUse	use;
	double		result = 0;

	recall.wanted = PG_GETARG_INT32(1);
	recall.k = PG_GETARG_INT32(2);
	check_arguments(recall.wanted, recall.k);
	mr_lsh_use(&use, PG_GETARG_OID(0), MR_LSH_MAY_READ);
	recall.heap = use.heap;
	recall.index = use.index;
	recall.info = BuildIndexInfo(use.index);
	recall.info->ii_Concurrent = true;
	recall.snapshot = RegisterSnapshot(GetTransactionSnapshot());
	mr_lsh_refuse_old_snapshot(use.index, recall.snapshot);
	recall.row_context = AllocSetContextCreate(CurrentMemoryContext, "metricrec recall row", ALLOCSET_DEFAULT_SIZES);
	recall.queries = palloc(recall.wanted * sizeof(MrEmbedding *));
	mr_rng_seed(&recall.rng, SEED);
	scan_table(&recall, draw);

	if (recall.n > 0)
	{
		recall.exact = palloc(recall.n * sizeof(MrTopK));
		for (int i = 0; i < recall.n; i++)
			mr_topk_init(&recall.exact[i],
						 MemoryContextAllocHuge(CurrentMemoryContext, recall.k * sizeof(MrTopItem)), recall.k);
		recall.dim = recall.queries[0]->dim;
		recall.rows = 0;
		scan_table(&recall, offer);
		result = search_all(&recall);
	}
	UnregisterSnapshot(recall.snapshot);
	mr_lsh_end_use(&use);
	if (recall.n == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(result);
}
