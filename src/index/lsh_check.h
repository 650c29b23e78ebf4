/*
 * lsh_check.h
 *		lsh_check(): what its two files share.
 *
 *		lsh_check.c			pages: every link, every invariant
 *		lsh_check_rows.c	rows: each TID once, every heap row there
 */
#ifndef MR_LSH_CHECK_H
#define MR_LSH_CHECK_H

#include "access/xlogdefs.h"
#include "utils/snapshot.h"
#include "utils/tuplesort.h"

#include "index/lsh.h"

typedef struct MrLshCheck
{
	Relation	heap;
	Relation	index;
	MrLshIndex	lsh;
	bool		standby;		/* pages may be used again under our eyes */
	XLogRecPtr	start;			/* pages with an older LSN have not changed since */
	BlockNumber heap_blocks;	/* at least as many */

	uint32	   *births;			/* [room], by block: 0 = not reached */
	BlockNumber room;

	Tuplesortstate *rows;		/* keys of the index's rows */
	int			sort_memory;	/* kB */
} MrLshCheck;

/* lsh_check_rows.c */
extern void mr_lsh_check_begin_rows(MrLshCheck *check, bool with_heap);
extern void mr_lsh_check_row(MrLshCheck *check, BlockNumber block, const ItemPointerData *tid,
							 const int8 *code, float scale);
extern void mr_lsh_check_end_rows(MrLshCheck *check, Snapshot snapshot);

#endif							/* MR_LSH_CHECK_H */
