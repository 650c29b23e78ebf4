/*
 * lsh_scan.h
 *		The state of a scan, shared by its files:
 *
 *		lsh_scan.c			entry points; what to do next
 *		lsh_scan_effort.c	how much of the index is worth reading
 *		lsh_scan_root.c		reading the root
 *		lsh_scan_probe.c	reading inner pages and leaves
 *		lsh_scan_memory.c	its arrays
 *		lsh_scan_ahead.c	fetching what will be needed next
 *		lsh_scan_trim.c		when the candidates outgrow work_mem: the far ones go
 *		lsh_scan_rank.c		exact distances
 *		lsh_scan_spill.c	when that was not enough: everything into a sort
 *		lsh_scan_nulls.c	rows without an embedding
 *
 * All memory is kept over rescans.  Between two calls no page is locked and no
 * page of the index pinned; of the table, the page of the row ranked last.
 */
#ifndef MR_LSH_SCAN_H
#define MR_LSH_SCAN_H

#include "postgres.h"

#include "access/relscan.h"
#include "executor/tuptable.h"
#include "lib/pairingheap.h"
#include "utils/tuplesort.h"

#include "hash/bucket.h"
#include "hash/queue.h"
#include "index/lsh.h"

/* At least as many as a page of any kind holds: rows of one dimension. */
#define MR_LSH_MAX_ROWS (BLCKSZ / (2 * sizeof(float) + sizeof(ItemPointerData)))

/* At least as many as a page of TIDs holds. */
#define MR_LSH_MAX_BATCH (BLCKSZ / sizeof(ItemPointerData))

typedef enum MrLshPhase
{
	MR_LSH_SCAN_START,			/* nothing was read */
	MR_LSH_SCAN_SEARCH,			/* pages by distance, rows from the queue */
	MR_LSH_SCAN_SORTED,			/* everything was read, rows from the sort */
	MR_LSH_SCAN_UNORDERED,		/* rows page by page: there is nothing to order by */
	MR_LSH_SCAN_NULLS,			/* rows without an embedding, page by page */
	MR_LSH_SCAN_DONE
} MrLshPhase;

/* How far a page or row that will be needed has come: lsh_scan_ahead.c. */
typedef struct MrLshAhead
{
	Buffer		hint;			/* where it was seen; invalid = not in shared buffers */
	int			stage;
} MrLshAhead;

typedef struct MrLshRowAhead
{
	uint32		row;			/* index of tids */
	MrLshAhead	ahead;
} MrLshRowAhead;

/* Pages and rows looked at ahead, while all is in shared buffers. */
#define MR_LSH_DEPTH 2
/* Rows remembered as looked at. */
#define MR_LSH_ROWS_AHEAD 16

/* A group whose inner page was not read yet. */
typedef struct MrLshScanGroup
{
	MrLshLink	link;
	float		order;
	float		bound;
	MrLshAhead	ahead;
} MrLshScanGroup;

/* A leaf that an inner page named; the leaf queue's payload is its number. */
typedef struct MrLshScanLeaf
{
	BlockNumber child;
	uint32		birth;
	uint32		splits;
	float		bound;			/* not used in exact mode */
	bool		read;
	MrLshAhead	ahead;
} MrLshScanLeaf;

typedef struct MrLshGiven MrLshGiven;

typedef struct MrLshScan
{
	Relation	index;
	MemoryContext context;
	Snapshot	snapshot;
	MrLshPhase	phase;
	bool		exact;
	bool		ordered;		/* there is a query to order by */
	bool		stopped;		/* lsh.max_scan: no page is read any more */

	MrLshIndex	lsh;			/* hash.dim == 0: not loaded, or nothing but NULLs there */
	MrHashQuery query;
	float		moved;			/* how far a row is moved, by coding, that lies where the query is */
	float		least_reach;	/* leaves with bounds up to this are read in any case */
	float		target_factor;	/* of the effort */
	float		effort_base;	/* for the first rows */
	uint32		effort_leaves;	/* read when that was computed */

	MrLshScanGroup *groups;		/* not read yet, in no order */
	int			n_groups;
	uint32		room_groups;
	float		next_bound;		/* the lowest of the groups' bounds */
	float		group_reach;	/* groups up to this bound are to be read now */

	MrLshScanLeaf *leaves;
	uint32		n_leaves;
	uint32		room_leaves;
	MrQueue		leaf_queue;		/* by order; in exact mode by lowest distance possible */

	ItemPointerData *given;		/* rows given out from the queue */
	uint32		n_given;
	uint32		room_given;
	float		cutoff;			/* candidates from here on were dropped; infinite = none */

	ItemPointerData *tids;		/* the candidates' payload is an index of it */
	uint32		n_tids;
	uint32		room_tids;
	MrQueue		candidates;		/* by lower bound of the distance */

	int			depth;			/* pages looked at ahead */
	int			row_depth;		/* rows */
	MrLshRowAhead rows_ahead[MR_LSH_ROWS_AHEAD];	/* by row % MR_LSH_ROWS_AHEAD */

	IndexFetchTableData *fetch; /* NULL: nothing was ranked yet */
	TupleTableSlot *heap_slot;
	AttrNumber	column;			/* of the table; InvalidAttrNumber: an expression */
	IndexInfo  *info;			/* of an expression */
	EState	   *estate;
	float	   *point;			/* the query */
	pairingheap *waiting;		/* rows whose exact distance is known */
	MemoryContext waiting_rows;
	MemoryContext row;			/* reset after each row */
	bool		have_row;		/* the next row that is to be fetched is known: */
	float		row_bound;
	ItemPointerData row_tid;
	bool		rows_ended;		/* there is no next row */
	double		farthest;		/* distance given out so far */

	ItemPointerData *batch;		/* [MR_LSH_MAX_BATCH]: rows of one page: unordered, nulls */
	int			n_batch;
	int			next_batch;
	uint32		next_leaf;		/* unordered */
	MrLshLink	walk;			/* unordered: the page to read next, and its leaf's splits */
	bool		walking;		/* unordered: in the middle of a leaf that was split */
	BlockNumber null_block;
	uint32		null_birth;

	Tuplesortstate *sort;
	MrLshGiven *skip;		/* while leaves go into the sort: rows that must not */
	TupleTableSlot *spill_slot; /* (float8 lower bound, int8 tid), on the way in */
	TupleTableSlot *sort_slot;	/* and on the way out */

	uint32		room_fronts;	/* of the fronts of both queues */
	MemoryContextCallback take_back;	/* lsh_scan_memory.c */

	int64		pages;			/* read in one go over the index */
	float		largest;		/* lower bound given out so far */
	MrLshScanCounts counts;
} MrLshScan;

/* lsh_scan_root.c */
extern void mr_lsh_scan_read_root(MrLshScan *scan);

/* lsh_scan_probe.c */
extern void mr_lsh_scan_read_groups(MrLshScan *scan, float reach);
extern void mr_lsh_scan_read_leaf(MrLshScan *scan, uint32 i);
extern bool mr_lsh_scan_walk_leaf(MrLshScan *scan, MrLshLink *link);
extern Buffer mr_lsh_scan_follow(MrLshScan *scan, BlockNumber block, uint32 birth, int kinds, Buffer hint);
extern void mr_lsh_scan_batch(MrLshScan *scan, const ItemPointerData *tids, int n);
extern void mr_lsh_scan_read_start(MrLshScan *scan);
extern void mr_lsh_scan_count_page(MrLshScan *scan, BlockNumber block);

/* lsh_scan_memory.c */
extern void *mr_lsh_scan_enlarge(void *array, uint32 *room, uint32 needed, Size item);
extern void mr_lsh_scan_init_memory(MrLshScan *scan);
extern void mr_lsh_scan_reserve_queue(MrQueue *queue, uint32 n);

/* lsh_scan_effort.c */
extern void mr_lsh_scan_start_effort(MrLshScan *scan, double target);
extern float mr_lsh_scan_effort(MrLshScan *scan);

/* lsh_scan_ahead.c */
extern void mr_lsh_scan_remember(MrLshScan *scan, BlockNumber block, Buffer buffer);
extern void mr_lsh_scan_leaves_ahead(MrLshScan *scan, uint32 i);
extern void mr_lsh_scan_groups_ahead(MrLshScan *scan, int i, int end);
extern void mr_lsh_scan_rows_ahead(MrLshScan *scan, Relation heap, uint32 given);

/* lsh_scan_trim.c */
extern bool mr_lsh_scan_is_full(const MrLshScan *scan);
extern bool mr_lsh_scan_trim(MrLshScan *scan);
extern void mr_lsh_scan_remember_given(MrLshScan *scan, uint32 row);

/* lsh_scan_spill.c */
extern void mr_lsh_scan_spill(MrLshScan *scan);
extern void mr_lsh_scan_spill_rows(MrLshScan *scan, const float *bounds, const ItemPointerData *tids, int n);
extern bool mr_lsh_scan_spilled(MrLshScan *scan, float *bound, ItemPointerData *tid);
extern void mr_lsh_scan_end_spill(MrLshScan *scan);

/* lsh_scan_nulls.c */
extern void mr_lsh_scan_start_nulls(MrLshScan *scan);
extern bool mr_lsh_scan_null(MrLshScan *scan, ItemPointerData *tid);

/* lsh_scan_rank.c */
extern void mr_lsh_scan_start_ranking(IndexScanDesc desc, MrLshScan *scan, const float *point);
extern void mr_lsh_scan_reset_ranking(MrLshScan *scan);
extern void mr_lsh_scan_end_ranking(MrLshScan *scan);
extern bool mr_lsh_scan_ranked(IndexScanDesc desc, MrLshScan *scan);

/* lsh_scan.c */
extern bool mr_lsh_scan_next(IndexScanDesc desc, MrLshScan *scan, float *bound, ItemPointerData *tid);
extern bool mr_lsh_scan_budget_spent(const MrLshScan *scan);

#endif							/* MR_LSH_SCAN_H */
