/*
 * lsh_scan_root.c
 *		A scan reads the root: which groups there are.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"

#include "index/lsh_scan.h"
#include "util/compat.h"

/* Remembers the groups of a root page, without order and bound. */
static void
add_groups(MrLshScan *scan, Page page)
{
	const MrLshLink *links = mr_lsh_links(&scan->lsh.layout, page);
	int			n = mr_lsh_opaque(page)->n;

	if (n > scan->room_groups - scan->n_groups)
		scan->groups = mr_lsh_scan_enlarge(scan->groups, &scan->room_groups, scan->n_groups + n, sizeof(MrLshScanGroup));
	for (int i = 0; i < n; i++)
	{
		MrLshScanGroup *group = &scan->groups[scan->n_groups++];

		group->link = links[i];
		group->order = 0;
		group->bound = 0;
		group->ahead.stage = 0;
		group->ahead.hint = InvalidBuffer;
	}
}

/*
 * Order and bound of the groups of a root page, which were added as number
 * `first` and so on.  Projections look into the nearest boxes first, as an
 * insertion does.
 */
static void
score_groups(MrLshScan *scan, Page page, int first)
{
	float		order[MR_LSH_MAX_ROWS];
	float		bound[MR_LSH_MAX_ROWS];
	MrBuckets	buckets;

	mr_lsh_buckets(&scan->lsh.layout, page, &buckets);
	mr_hash_score(&scan->lsh.hash, &scan->query, 0, &buckets, order, NULL, bound);
	for (int i = 0; i < buckets.centres.n; i++)
	{
		scan->groups[first + i].order = scan->lsh.hash.family == MR_HASH_VORONOI ? order[i] : bound[i];
		scan->groups[first + i].bound = bound[i];
	}
}

/* What a walk over the root pages came by. */
typedef struct RootWalk
{
	uint32		pages;
	uint64		stamp;			/* sum of the LSNs: the same = no page has changed */
} RootWalk;

/*
 * One walk over the root pages.  `first` is page 1, which the caller keeps locked;
 * invalid, to lock one page at a time.
 */
static void
walk_root(MrLshScan *scan, Buffer first, bool add, bool score, RootWalk *walk)
{
	BlockNumber blocks = 0;
	BlockNumber right = MR_LSH_ROOT_BLOCK;
	Buffer		buffer = first;
	uint32		n = 0;

	memset(walk, 0, sizeof(*walk));
	for (;;)
	{
		Page		page;
		int			here;

		if (walk->pages > 0 || !BufferIsValid(first))
			buffer = mr_lsh_read(scan->index, &scan->lsh.layout, right, BUFFER_LOCK_SHARE, MR_LSH_ROOT);
		page = BufferGetPage(buffer);
		right = mr_lsh_opaque(page)->right;
		here = mr_lsh_opaque(page)->n;
		walk->pages++;
		walk->stamp += PageGetLSN(page);
		MR_TEST_OLD_SNAPSHOT(scan->snapshot, scan->index, page);
		if (add)
			add_groups(scan, page);
		if (score && n + here <= scan->n_groups)
			score_groups(scan, page, n);
		n += here;
		if (buffer != first)
			UnlockReleaseBuffer(buffer);
		if (right == InvalidBlockNumber)
			return;
		if (blocks == 0)
			blocks = RelationGetNumberOfBlocks(scan->index);
		/* each group has a block of its own; those of the moment after were counted */
		if (right == MR_LSH_ROOT_BLOCK || n > blocks + MR_LSH_MAX_ROWS || walk->pages > blocks)
			mr_lsh_corrupted(scan->index, right, "links go in a circle");
	}
}

/*
 * Reads the root: all groups there are, as of one moment.  Bounds are best if the
 * nearest centre of all is known before: so a root of several pages is scored
 * twice.
 *
 * On the primary nobody changes any root page while page 1 is locked.  On a
 * standby replay locks the pages that a record names, in their order, and page 1
 * need not be among them: to keep it locked is of no use there, and may be a
 * deadlock.  So the pages are read until none has changed between two walks.
 */
void
mr_lsh_scan_read_root(MrLshScan *scan)
{
	bool		standby = TransactionStartedDuringRecovery();
	bool		score = scan->ordered && !scan->exact;
	Buffer		first = InvalidBuffer;
	RootWalk	walk;
	RootWalk	again;

	do
	{
		CHECK_FOR_INTERRUPTS();
		scan->n_groups = 0;
		if (!standby)
			first = mr_lsh_read(scan->index, &scan->lsh.layout, MR_LSH_ROOT_BLOCK, BUFFER_LOCK_SHARE, MR_LSH_ROOT);
		walk_root(scan, first, true, score, &walk);
		again = walk;
		if (walk.pages > 1 && (score || standby))
			walk_root(scan, first, false, score, &again);
		if (!standby)
			UnlockReleaseBuffer(first);
	} while (again.stamp != walk.stamp);
}
