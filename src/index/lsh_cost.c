/*
 * lsh_cost.c
 *		What the planner is told about a scan.
 *
 * Returning n rows costs, besides a fixed start,
 *
 *		leaves(n)	pages read: a few dozen for the first rows, then about one
 *					more for each row returned, until all are read
 *		n			times an ordering and a distance
 *		heap(n)		pages of the table; the rows come in no order that the table
 *					knows, so that each of the first ones is on a page of its own
 *
 * which bends: the first thousand rows cost more each than the last thousand.
 * The planner knows a line only, from startup to total.  It finds what a LIMIT
 * costs on that line, at the share of the rows that the LIMIT needs (more than
 * its own number if a WHERE drops rows).  We know the LIMIT, too, and where it
 * meets the line: so the startup cost is set such that the line has the right
 * cost there, and the total cost is that of all rows.  Without a known LIMIT it
 * is the cost of the first ten rows.
 *
 * The heap pages of all rows are added by cost_index(), by its own formula; of
 * them only what is missing at that point of the line is our business.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/float.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

#include "index/lsh.h"
#include "util/compat.h"

/* Coding the query, reading root and inner pages: as many cpu_operator_cost. */
#define START_OPERATIONS 10000
/* Share of random_page_cost for a page of the index: it is small, and mostly cached. */
#define LEAF_PAGE_SHARE 0.25
/* The same for pages of the table that the first rows are on. */
#define HEAP_PAGE_SHARE 0.5
/* The distance to a row, as many cpu_operator_cost (COST of l2_distance). */
#define DISTANCE_OPERATIONS 4
/*
 * The chance that the rows which pass a WHERE lie together, away from the query,
 * so that nearly all rows have to be returned before them.  Measured with 1 % of a
 * million rows: 3 ms by the index if they lie by chance, 50 ms if they lie together,
 * 15 ms by a btree and a sort either way.
 */
#define APART_CHANCE 0.08
/* Bytes of a row that was compared, and not returned yet. */
#define CANDIDATE_BYTES 14
/* More rows returned than this part of what fits into work_mem: sorted. */
#define RETURNED_PART 4
/* Rows that a query wants if nothing is known. */
#define USUAL_LIMIT 10
/* Share of the leaves that exact search reads before its first row. */
#define EXACT_SHARE 0.2

/* One index and query, as the formulas need them. */
typedef struct ScanCost
{
	double		rows;			/* in the index, at least 1 */
	double		leaves;
	bool		exact;
	Cost		start;
	Cost		per_leaf;
	Cost		per_row;
	Cost		heap_page;		/* random_page_cost of the table */
	double		heap_pages;
	double		index_pages;
} ScanCost;

/* The planner has locked the index. */
static bool
is_exact(Oid index)
{
	Relation	relation = index_open(index, NoLock);
	bool		exact = mr_lsh_exact || mr_lsh_effective_target(relation) >= 1;

	index_close(relation, NoLock);
	return exact;
}

/* What is known about index and query; rows: those that the index has. */
static void
scan_cost_init(ScanCost *scan, const IndexOptInfo *index, double rows)
{
	double		page;

	get_tablespace_page_costs(index->reltablespace, &page, NULL);
	get_tablespace_page_costs(index->rel->reltablespace, &scan->heap_page, NULL);
	scan->rows = Max(rows, 1);
	scan->exact = is_exact(index->indexoid);
	scan->index_pages = index->pages;
	scan->heap_pages = index->rel->pages;
	scan->leaves = Max(scan->index_pages - 2, 1);
	scan->start = START_OPERATIONS * cpu_operator_cost;
	/* a leaf is as many bytes of codes whatever the dimension: rows / leaves of them */
	scan->per_leaf = LEAF_PAGE_SHARE * page + Max(scan->rows / scan->leaves, 1) * cpu_operator_cost;
	scan->per_row = cpu_index_tuple_cost + DISTANCE_OPERATIONS * cpu_operator_cost;
}

/*
 * The cost of n rows without the heap.  When the rows that were compared outgrow
 * work_mem, far ones are dropped; when many rows were returned, that does not help,
 * and the scan reads everything and sorts it (lsh_scan_trim.c).
 */
static Cost
index_cost(const ScanCost *scan, double n)
{
	double		leaves = Min(scan->leaves, mr_lsh_min_probe + log2(scan->leaves) + n);
	double		candidates = leaves / scan->leaves * scan->rows;
	Cost		cost = scan->start + n * scan->per_row;

	if (scan->exact)
		leaves = Max(leaves, EXACT_SHARE * scan->leaves);
	if (candidates * CANDIDATE_BYTES > work_mem * 1024.0 &&
		n * CANDIDATE_BYTES * RETURNED_PART > work_mem * 1024.0)
	{
		leaves = scan->leaves;
		cost += 2 * cpu_operator_cost * scan->rows * log2(scan->rows);
	}
	return cost + leaves * scan->per_leaf;
}

/* What n rows cost in pages of the table beyond their share of what all rows cost. */
static Cost
heap_excess(PlannerInfo *root, const ScanCost *scan, double n)
{
	double		pages = index_pages_fetched(n, scan->heap_pages, scan->index_pages, root);
	double		all = index_pages_fetched(scan->rows, scan->heap_pages, scan->index_pages, root);

	return Max(HEAP_PAGE_SHARE * pages - n / scan->rows * all, 0) * scan->heap_page;
}

/*
 * Rows that the scan will return, if a LIMIT tells: of `passing` rows in the rest
 * of WHERE, each one with the same chance.  Joins may drop more; nobody knows here.
 */
static double
rows_wanted(PlannerInfo *root, double rows, double passing)
{
	if (root->limit_tuples <= 0)
		return Min(USUAL_LIMIT, rows);
	return Min(root->limit_tuples * rows / passing, rows);
}

/*
 * What it costs on average that a WHERE may go with the place: then the rows that
 * pass come first, which is nothing to plan for, or last.  Nothing tells, and a
 * plan that collects and sorts them is sure.  The fewer pass, the longer the way.
 */
static Cost
risk(PlannerInfo *root, const ScanCost *scan, double passing)
{
	if (root->limit_tuples <= 0)
		return 0;
	return APART_CHANCE * (1 - passing / scan->rows) *
		(index_cost(scan, scan->rows) + HEAP_PAGE_SHARE * scan->heap_pages * scan->heap_page);
}

/* The access method's amcostestimate. */
void
mr_lsh_costestimate(PlannerInfo *root, IndexPath *path, double loop_count,
					Cost *startup, Cost *total, Selectivity *selectivity,
					double *correlation, double *pages)
{
	GenericCosts generic = {0};
	ScanCost	scan;
	double		passing;
	double		n;
	double		share;
	Cost		wanted;

	if (path->indexorderbys == NIL)
	{
		/* nothing but an order to offer */
		*startup = *total = get_float8_infinity();
		*selectivity = *correlation = *pages = 0;
		MR_PATH_DISABLE(&path->path);
		return;
	}

	/* for the share of the table that a partial index has */
	genericcostestimate(root, path, loop_count, &generic);
	*selectivity = generic.indexSelectivity;
	*correlation = 0;

	scan_cost_init(&scan, path->indexinfo, path->indexinfo->tuples);
	passing = Min(Max(path->indexinfo->rel->rows, 1), scan.rows);
	n = rows_wanted(root, scan.rows, passing);
	share = n / scan.rows;
	wanted = index_cost(&scan, n) + heap_excess(root, &scan, n) + risk(root, &scan, passing);
	*total = index_cost(&scan, scan.rows);
	*startup = share < 1 ? (wanted - share * *total) / (1 - share) : index_cost(&scan, 1);
	*startup = Max(Min(*startup, *total), scan.start);
	*pages = scan.index_pages;
}
