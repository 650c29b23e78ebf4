/*
 * lsh_scan.c
 *		Rows in the order of their distance from a point, as many as are asked
 *		for.
 *
 * Two queues: leaves, nearest centre first, and candidates, the rows of the
 * leaves read so far, by a lower bound of their distance.  At each call the
 * question is whether the first candidate may go or another page must be read.
 *
 *		approximate		the candidate may go if the next leaf's bound is beyond
 *						effort times the candidate's; but some leaves are read
 *						first in any case (lsh.min_probe)
 *		exact			the candidate may go if no row of any unread leaf can be
 *						nearer
 *
 * A row that may go is compared exactly (lsh_scan_rank.c) and held back until our
 * bounds have passed its distance.  In approximate mode a bound may be smaller
 * than one before: that row comes late.
 *
 * Nobody tells us the LIMIT; a scan goes on until the executor has enough or
 * everything was given out, rows without an embedding last.
 */
#include "postgres.h"

#include <math.h>

#include "access/relscan.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "index/lsh_scan.h"
#include "type/embedding.h"
#include "util/compat.h"

/* Rows that are compared before the first one is given out, however few fit a page. */
#define MIN_CANDIDATES 400

/*
 * Groups are read within this part of the effort.  Their borders say less than
 * those of leaves: at 1 a third more inner pages are read, and on mixtures of
 * 1,000,000 x 64 and 200,000 x 32 and x 100 recall changes by .001 to .003.
 */
#define GROUP_EFFORT 0.85F

MrLshScanCounts mr_lsh_last_scan_counts;

/* ---- begin and end ---- */

/*
 * ambeginscan
 */
IndexScanDesc
mr_lsh_beginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc desc = RelationGetIndexScan(index, nkeys, norderbys);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "lsh scan", ALLOCSET_DEFAULT_SIZES);
	MrLshScan  *scan = MemoryContextAllocZero(context, sizeof(MrLshScan));

	scan->index = index;
	scan->context = context;
	scan->phase = MR_LSH_SCAN_START;
	mr_lsh_scan_init_memory(scan);
	if (norderbys > 0)
	{
		desc->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
		desc->xs_orderbynulls = palloc0(sizeof(bool) * norderbys);
	}
	desc->opaque = scan;
	return desc;
}

/* Leaves the counts of a scan that did something to lsh_last_scan(). */
static void
report_counts(const MrLshScan *scan)
{
	if (scan->phase == MR_LSH_SCAN_START)
		return;
	mr_lsh_last_scan_counts = scan->counts;
	mr_lsh_last_scan_counts.index = RelationGetRelid(scan->index);
}

/*
 * amrescan: from the start, with other order keys.  Nothing is read before the
 * first row is asked for.
 */
void
mr_lsh_rescan(IndexScanDesc desc, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	MrLshScan  *scan = desc->opaque;

	report_counts(scan);
	mr_lsh_scan_end_spill(scan);
	mr_lsh_scan_reset_ranking(scan);
	if (orderbys != NULL && desc->numberOfOrderBys > 0)
		memmove(desc->orderByData, orderbys, desc->numberOfOrderBys * sizeof(ScanKeyData));

	scan->phase = MR_LSH_SCAN_START;
	scan->stopped = false;
	scan->n_groups = 0;
	scan->depth = MR_LSH_DEPTH;
	scan->row_depth = MR_LSH_DEPTH;
	memset(scan->rows_ahead, 0, sizeof(scan->rows_ahead));
	scan->n_leaves = 0;
	scan->n_tids = 0;
	scan->n_given = 0;
	scan->cutoff = INFINITY;
	scan->skip = NULL;
	scan->pages = 0;
	scan->walking = false;
	mr_queue_reset(&scan->leaf_queue);
	mr_queue_reset(&scan->candidates);
	scan->n_batch = 0;
	scan->next_batch = 0;
	scan->next_leaf = 0;
	scan->largest = 0;
	memset(&scan->counts, 0, sizeof(scan->counts));
}

/*
 * amendscan
 */
void
mr_lsh_endscan(IndexScanDesc desc)
{
	MrLshScan  *scan = desc->opaque;

	report_counts(scan);
	mr_lsh_scan_end_spill(scan);
	mr_lsh_scan_end_ranking(scan);
	MemoryContextDelete(scan->context);
}

/* ---- the first call ---- */

/* Reads what the meta page says, unless an earlier scan did and it was final. */
static void
load(MrLshScan *scan)
{
	MemoryContext before;

	if (scan->lsh.hash.dim != 0)
		return;
	before = MemoryContextSwitchTo(scan->context);
	mr_lsh_load(scan->index, &scan->lsh);
	if (scan->lsh.hash.dim != 0)
		mr_hash_query_init(&scan->query, scan->lsh.hash.dim, palloc(mr_hash_query_size(scan->lsh.hash.dim)));
	MemoryContextSwitchTo(before);
}

/* Prepares the query point; false if there is none. */
static bool
prepare_query(IndexScanDesc desc, MrLshScan *scan)
{
	ScanKey		key = desc->orderByData;
	MrEmbedding *point;
	int8		code[MR_MAX_INDEX_DIMENSIONS];
	float		scale;
	float		norm;

	if (desc->numberOfOrderBys == 0 || (key->sk_flags & SK_ISNULL) != 0)
		return false;
	if (scan->lsh.hash.dim == 0)
		return true;
	point = DatumGetMrEmbedding(key->sk_argument);
	if (point->dim != scan->lsh.hash.dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different embedding dimensions %d and %d", scan->lsh.hash.dim, point->dim)));
	mr_hash_query(&scan->lsh.hash, &scan->query, point->x);
	scan->moved = mr_code_encode(point->x, point->dim, code, &scale, &norm);
	if (desc->numberOfOrderBys == 1)
		mr_lsh_scan_start_ranking(desc, scan, point->x);
	if ((Pointer) point != DatumGetPointer(key->sk_argument))
		pfree(point);
	return true;
}

/* The first call of a scan. */
static void
start(IndexScanDesc desc, MrLshScan *scan)
{
	double		target = mr_lsh_effective_target(scan->index);

	if (!IsMVCCSnapshot(desc->xs_snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("lsh indexes support MVCC snapshots only")));
	scan->snapshot = desc->xs_snapshot;
	pgstat_count_index_scan(scan->index);
	MR_COUNT_INDEX_SEARCH(desc);

	load(scan);
	scan->ordered = prepare_query(desc, scan);
	scan->exact = mr_lsh_exact || target >= 1;
	scan->counts.exact = scan->exact;
	if (!scan->ordered && scan->batch == NULL)
		scan->batch = MemoryContextAlloc(scan->context, MR_LSH_MAX_BATCH * sizeof(ItemPointerData));
	scan->phase = scan->ordered ? MR_LSH_SCAN_SEARCH : MR_LSH_SCAN_UNORDERED;
	if (scan->lsh.hash.dim == 0)
		return;
	if (!scan->exact)
		mr_lsh_scan_start_effort(scan, target);
	mr_lsh_scan_read_start(scan);
}

/* ---- search ---- */

typedef enum Step
{
	GIVE_ROW,
	READ_LEAF,
	READ_GROUPS,
	SORT_REST,
	END
} Step;

/* May no further row be read (lsh.max_scan)?  Dead rows do not count. */
bool
mr_lsh_scan_budget_spent(const MrLshScan *scan)
{
	return mr_lsh_max_scan > 0 && scan->counts.candidates - scan->counts.dead >= mr_lsh_max_scan;
}

/* Is another leaf to be read, however far it is? */
static bool
wants_more(const MrLshScan *scan)
{
	return scan->counts.leaves < mr_lsh_min_probe || scan->counts.candidates < MIN_CANDIDATES;
}

/*
 * What to do next, if the nearest candidate is `row` (NULL: there is none).  A
 * bound that is not a number counts as near.  As soon as there is a candidate the
 * groups in its reach are read, so that the first leaves are the nearest of all.
 */
static Step
next_step(MrLshScan *scan, const MrQueueItem *row)
{
	MrQueueItem leaf;
	bool		have_leaf;
	float		reach;

	/* again and again: rows that turn out to be dead give some of the budget back */
	scan->stopped = mr_lsh_scan_budget_spent(scan);
	if (row == NULL && scan->cutoff < INFINITY)
		return SORT_REST;
	if (scan->stopped)
		return row != NULL ? GIVE_ROW : END;

	have_leaf = mr_queue_peek(&scan->leaf_queue, &leaf);
	if (scan->exact)
	{
		if (have_leaf && (row == NULL || leaf.key < row->key))
			return READ_LEAF;
		return row != NULL ? GIVE_ROW : END;
	}
	reach = row != NULL ? Max(mr_lsh_scan_effort(scan) * row->key, scan->least_reach) : 0;
	if (scan->n_groups > 0 && (row != NULL || !have_leaf))
	{
		scan->group_reach = Max(reach * GROUP_EFFORT, scan->least_reach);
		if (!have_leaf && (row == NULL || wants_more(scan)))
			scan->group_reach = Max(scan->group_reach, scan->next_bound);
		if (!(scan->next_bound > scan->group_reach))
			return READ_GROUPS;
	}
	if (have_leaf && (row == NULL || wants_more(scan) || !(scan->leaves[leaf.payload].bound > reach)))
		return READ_LEAF;
	return row != NULL ? GIVE_ROW : END;
}

/* Goes on in a sort. */
static void
start_sorted(MrLshScan *scan)
{
	mr_lsh_scan_spill(scan);
	scan->phase = MR_LSH_SCAN_SORTED;
}

/*
 * The next row in search order; false if the queue is empty and nothing is left
 * to read, or if the search goes on in the sort.
 */
static bool
search(MrLshScan *scan, Relation heap, float *bound, ItemPointerData *tid)
{
	for (;;)
	{
		MrQueueItem row;
		MrQueueItem leaf;
		bool		have = mr_queue_peek(&scan->candidates, &row);

		switch (next_step(scan, have ? &row : NULL))
		{
			case GIVE_ROW:
				mr_queue_pop(&scan->candidates, &row);
				*bound = row.key;
				*tid = scan->tids[row.payload];
				mr_lsh_scan_remember_given(scan, row.payload);
				mr_lsh_scan_rows_ahead(scan, heap, row.payload);
				return true;
			case READ_LEAF:
				if (mr_lsh_scan_is_full(scan) && !mr_lsh_scan_trim(scan))
				{
					start_sorted(scan);
					return false;
				}
				mr_queue_pop(&scan->leaf_queue, &leaf);
				if (!scan->leaves[leaf.payload].read)
					mr_lsh_scan_read_leaf(scan, leaf.payload);
				break;
			case READ_GROUPS:
				mr_lsh_scan_read_groups(scan, scan->group_reach);
				break;
			case SORT_REST:
				start_sorted(scan);
				return false;
			case END:
				return false;
		}
	}
}

/* The next row of a scan that has nothing to order by. */
static bool
walk(MrLshScan *scan, ItemPointerData *tid)
{
	while (scan->next_batch >= scan->n_batch)
	{
		scan->n_batch = 0;
		if (scan->walking)
			scan->walking = mr_lsh_scan_walk_leaf(scan, &scan->walk);
		else if (scan->next_leaf < scan->n_leaves)
		{
			const MrLshScanLeaf *leaf = &scan->leaves[scan->next_leaf++];

			scan->walk = (MrLshLink) {leaf->child, leaf->birth, leaf->splits};
			scan->walking = true;
		}
		else if (scan->n_groups > 0)
			mr_lsh_scan_read_groups(scan, INFINITY);
		else
			return false;
	}
	*tid = scan->batch[scan->next_batch++];
	return true;
}

/* A damaged page may name what the table's functions do not expect to be asked for. */
static void
check_tid(const MrLshScan *scan, const ItemPointerData *tid)
{
	if (unlikely(!mr_lsh_tid_possible(tid)))
		mr_lsh_corrupted_row(scan->index, tid, "there cannot be such a row");
}

/*
 * The next row by lower bound, in whatever way the scan finds it; false after
 * the last one with an embedding.
 */
bool
mr_lsh_scan_next(IndexScanDesc desc, MrLshScan *scan, float *bound, ItemPointerData *tid)
{
	bool		found = scan->phase == MR_LSH_SCAN_SEARCH && search(scan, desc->heapRelation, bound, tid);

	if (!found && scan->phase == MR_LSH_SCAN_SORTED)
		found = mr_lsh_scan_spilled(scan, bound, tid);
	if (!found)
		return false;
	check_tid(scan, tid);
	scan->counts.ranked++;
	if (*bound > scan->largest)
		scan->largest = *bound;
	return true;
}

/* ---- amgettuple ---- */

/*
 * Hands a row over that has no distance, because its embedding or the query is
 * NULL.
 */
static bool
give_null(IndexScanDesc desc, MrLshScan *scan, const ItemPointerData *tid)
{
	check_tid(desc->opaque, tid);
	desc->xs_heaptid = *tid;
	desc->xs_recheck = false;
	desc->xs_recheckorderby = desc->numberOfOrderBys > 1;
	for (int i = 0; i < desc->numberOfOrderBys; i++)
	{
		desc->xs_orderbyvals[i] = Float8GetDatum(0);
		desc->xs_orderbynulls[i] = i == 0;
	}
	return true;
}

/*
 * The next row of an order by several distances, ORDER BY e <-> a, e <-> b: the
 * executor sorts.  0 is a lower bound of the distances that we know nothing of.
 */
static bool
give_next(IndexScanDesc desc, MrLshScan *scan)
{
	float		bound;

	if (!mr_lsh_scan_next(desc, scan, &bound, &desc->xs_heaptid))
		return false;
	desc->xs_recheck = false;
	desc->xs_recheckorderby = true;
	for (int i = 0; i < desc->numberOfOrderBys; i++)
	{
		desc->xs_orderbyvals[i] = Float8GetDatum(i == 0 ? bound : 0);
		desc->xs_orderbynulls[i] = false;
	}
	return true;
}

/* After the rows: those without an embedding, if the scan got there by reading all. */
static void
after_rows(MrLshScan *scan)
{
	if (scan->stopped)
	{
		scan->phase = MR_LSH_SCAN_DONE;
		return;
	}
	if (scan->batch == NULL)
		scan->batch = MemoryContextAlloc(scan->context, MR_LSH_MAX_BATCH * sizeof(ItemPointerData));
	mr_lsh_scan_start_nulls(scan);
	scan->phase = MR_LSH_SCAN_NULLS;
}

/*
 * amgettuple: the next row
 */
bool
mr_lsh_gettuple(IndexScanDesc desc, ScanDirection direction)
{
	MrLshScan  *scan = desc->opaque;
	ItemPointerData tid;

	if (!ScanDirectionIsForward(direction))
		elog(ERROR, "lsh indexes support forward scans only");
	if (desc->kill_prior_tuple)
		scan->counts.dead++;
	for (;;)
	{
		switch (scan->phase)
		{
			case MR_LSH_SCAN_START:
				start(desc, scan);
				break;
			case MR_LSH_SCAN_SEARCH:
			case MR_LSH_SCAN_SORTED:
				if (scan->fetch != NULL ? mr_lsh_scan_ranked(desc, scan) : give_next(desc, scan))
					return true;
				after_rows(scan);
				break;
			case MR_LSH_SCAN_UNORDERED:
				if (walk(scan, &tid))
					return give_null(desc, scan, &tid);
				after_rows(scan);
				break;
			case MR_LSH_SCAN_NULLS:
				if (mr_lsh_scan_null(scan, &tid))
					return give_null(desc, scan, &tid);
				scan->counts.exhausted = true;
				scan->phase = MR_LSH_SCAN_DONE;
				break;
			case MR_LSH_SCAN_DONE:
				return false;
		}
	}
}
