/*
 * lsh_scan_nulls.c
 *		A scan's rows without an embedding: a chain of pages of TIDs, which come
 *		after all others.
 *
 * VACUUM may take an empty page out of the chain while a scan is on its way to
 * it.  A deleted page still leads on to the right, and its block is not used
 * again before the scan's snapshot is gone.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "index/lsh_scan.h"

/*
 * Goes to the head of the chain, as the meta page has it now: the head changes
 * while the index is in use.
 */
void
mr_lsh_scan_start_nulls(MrLshScan *scan)
{
	Buffer		buffer = mr_lsh_read(scan->index, &scan->lsh.layout, MR_LSH_META_BLOCK, BUFFER_LOCK_SHARE,
									 MR_LSH_META);
	const MrLshMeta *meta = mr_lsh_meta(BufferGetPage(buffer));

	MR_TEST_OLD_SNAPSHOT(scan->snapshot, scan->index, BufferGetPage(buffer));
	scan->null_block = meta->null_head;
	scan->null_birth = meta->null_birth;
	scan->pages = 0;
	scan->n_batch = 0;
	scan->next_batch = 0;
	UnlockReleaseBuffer(buffer);
}

/* Reads the next page of the chain. */
static void
read_page(MrLshScan *scan)
{
	Buffer		buffer = mr_lsh_scan_follow(scan, scan->null_block, scan->null_birth, MR_LSH_NULLS, InvalidBuffer);
	Page		page;
	const MrLshOpaque *opaque;

	page = BufferGetPage(buffer);
	opaque = mr_lsh_opaque(page);
	if (opaque->kind == MR_LSH_NULLS)
		mr_lsh_scan_batch(scan, mr_lsh_null_tids(page), opaque->n);
	mr_lsh_scan_count_page(scan, scan->null_block);
	scan->null_block = opaque->right;
	scan->null_birth = opaque->right_birth;
	UnlockReleaseBuffer(buffer);
	CHECK_FOR_INTERRUPTS();
}

/* The next row without an embedding. */
bool
mr_lsh_scan_null(MrLshScan *scan, ItemPointerData *tid)
{
	while (scan->next_batch >= scan->n_batch)
	{
		if (scan->null_block == InvalidBlockNumber)
			return false;
		read_page(scan);
	}
	*tid = scan->batch[scan->next_batch++];
	return true;
}
