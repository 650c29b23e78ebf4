/*
 * lsh_scan_probe.c
 *		A scan reads pages: inner pages and leaves, one by one.
 *
 * A page is read under one share lock and everything that the scan needs of it
 * is computed or copied there: lower bounds come straight from the codes in the
 * shared buffer.
 *
 * A page may have been split since its link was read; see "Splits" in
 * lsh_page.h.  It may also have been deleted, being empty, but while the scan
 * runs its block is not used again: the scan's snapshot holds back the horizon
 * that mr_lsh_allocate() asks for.  That holds on the primary.  A standby
 * replays the reuse without looking at its scans, so that such a scan has lost
 * its way and fails, as with other conflicts of recovery.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "utils/memutils.h"

#include "index/lsh_scan.h"
#include "util/compat.h"

/* Whatever a block may have become that is used again. */
#define ANY_KIND (MR_LSH_ROOT | MR_LSH_INNER | MR_LSH_LEAF | MR_LSH_NULLS | MR_LSH_DELETED)

/* Groups that are read at once, the nearest. */
#define FIRST_GROUPS 4

/* Rounding of the difference of two distances, relative to the first. */
#define SUBTRACTION 1e-6f

/* ---- pages along links ---- */

/*
 * Counts a page that was read.  No page is read twice in one go over the index,
 * unless links of a damaged index go in a circle.  Looked at now and then only:
 * asking for the number of blocks is a system call.
 */
void
mr_lsh_scan_count_page(MrLshScan *scan, BlockNumber block)
{
	if (++scan->pages % 1024 == 0 && scan->pages > RelationGetNumberOfBlocks(scan->index))
		mr_lsh_corrupted(scan->index, block, "links go in a circle");
}

/*
 * Pinning by a hint does not count as a use, so that the page would be evicted
 * before others that are used less: it is pinned the usual way until it counts as
 * used as much as any.
 */
static inline bool
well_used(Buffer hint)
{
	return BUF_STATE_GET_USAGECOUNT(pg_atomic_read_u32(&GetBufferDescriptor(hint - 1)->state)) == BM_MAX_USAGE_COUNT;
}

/* Pins a page; a hint that is right spares the look at the table of buffers. */
static Buffer
pin(MrLshScan *scan, BlockNumber block, Buffer hint)
{
	Buffer		buffer;

	if (block == InvalidBlockNumber)
		mr_lsh_corrupted(scan->index, block, "no such block");
	if (BufferIsValid(hint) && !BufferIsLocal(hint) && well_used(hint) &&
		MR_READ_RECENT_BUFFER(scan->index, block, hint))
	{
		pgstat_count_buffer_read(scan->index);
		pgstat_count_buffer_hit(scan->index);
		buffer = hint;
	}
	else
		buffer = ReadBuffer(scan->index, block);
	mr_lsh_scan_remember(scan, block, buffer);
	return buffer;
}

/*
 * The block was used again.  On a standby, which may have been promoted since,
 * that happens; a primary waits for the scan's snapshot before.
 */
MR_NORETURN static void
used_again(MrLshScan *scan, BlockNumber block)
{
	if (TransactionStartedDuringRecovery())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("canceling statement due to conflict with recovery"),
				 errdetail("Block %u of index \"%s\" was used again while the scan was on its way there.",
						   block, RelationGetRelationName(scan->index))));
	mr_lsh_corrupted(scan->index, block, "a link leads to a page that was used again");
}

/*
 * Reads what a link leads to, share-locked: a page of one of `kinds`, or deleted.
 * As mr_lsh_follow(), with a hint where it lies.
 */
Buffer
mr_lsh_scan_follow(MrLshScan *scan, BlockNumber block, uint32 birth, int kinds, Buffer hint)
{
	Buffer		buffer = pin(scan, block, hint);
	const char *fault;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	fault = mr_lsh_page_fault(&scan->lsh.layout, BufferGetPage(buffer), ANY_KIND);
	if (fault == NULL)
	{
		const MrLshOpaque *opaque = mr_lsh_opaque(BufferGetPage(buffer));

		if (opaque->birth == birth && (opaque->kind & (kinds | MR_LSH_DELETED)) != 0)
		{
			MR_TEST_OLD_SNAPSHOT(scan->snapshot, scan->index, BufferGetPage(buffer));
			return buffer;
		}
		if (opaque->birth == birth)
			fault = "page is of an unexpected kind";
	}
	UnlockReleaseBuffer(buffer);
	if (fault != NULL)
		mr_lsh_corrupted(scan->index, block, fault);
	used_again(scan, block);
}

/*
 * The page at the right, if the page was split since its link was read.
 * The caller holds the page's lock.
 */
static bool
split_since(Page page, uint32 splits, BlockNumber *block, uint32 *birth)
{
	const MrLshOpaque *opaque = mr_lsh_opaque(page);

	if (opaque->splits <= splits || opaque->right == InvalidBlockNumber)
		return false;
	*block = opaque->right;
	*birth = opaque->right_birth;
	return true;
}

/* ---- groups ---- */

/*
 * The lowest distance that a row of each bucket can have, from the distance to
 * the centre and the radius; 0 where nothing is known (a wild query).
 */
static void
lowest_distances(MrLshScan *scan, const MrBuckets *buckets, const MrLshLink *links, float *low)
{
	const MrCodeQuery *query = &scan->query.code;

	mr_code_squared_distances(query, &buckets->centres, low);
	for (int i = 0; i < buckets->centres.n; i++)
	{
		float		centre = mr_code_distance_low(low[i], query->norm + buckets->centres.norm[i]);

		low[i] = centre * (1 - SUBTRACTION) - query->error - links[i].radius;
		low[i] = low[i] > 0 ? low[i] * (1 - SUBTRACTION) : 0;
	}
}

/* Remembers the leaves that an inner page names. */
static void
add_leaves(MrLshScan *scan, Page page)
{
	const MrLshLink *links = mr_lsh_links(&scan->lsh.layout, page);
	float		key[MR_LSH_MAX_ROWS];
	float		bound[MR_LSH_MAX_ROWS];
	MrBuckets	buckets;
	uint32		first = scan->n_leaves;
	int			n;

	mr_lsh_buckets(&scan->lsh.layout, page, &buckets);
	n = buckets.centres.n;
	if (n > scan->room_leaves - scan->n_leaves)
		scan->leaves = mr_lsh_scan_enlarge(scan->leaves, &scan->room_leaves, scan->n_leaves + n, sizeof(MrLshScanLeaf));
	if (!scan->ordered || scan->exact)
		memset(bound, 0, n * sizeof(float));
	if (scan->ordered && scan->exact)
		lowest_distances(scan, &buckets, links, key);
	else if (scan->ordered)
		mr_hash_score(&scan->lsh.hash, &scan->query, 1, &buckets, key, NULL, bound);
	for (int i = 0; i < n; i++)
	{
		MrLshScanLeaf *leaf = &scan->leaves[scan->n_leaves++];

		leaf->child = links[i].child;
		leaf->birth = links[i].birth;
		leaf->splits = links[i].splits;
		leaf->bound = bound[i];
		leaf->read = false;
		leaf->ahead.stage = 0;
		leaf->ahead.hint = InvalidBuffer;
	}
	if (!scan->ordered)
		return;
	mr_lsh_scan_reserve_queue(&scan->leaf_queue, n);
	mr_queue_push(&scan->leaf_queue, key, n, first);
}

/* Reads the inner page of a group, and what was split off from it since. */
static void
read_group(MrLshScan *scan, const MrLshScanGroup *group)
{
	MrLshLink	link = group->link;
	Buffer		hint = group->ahead.hint;
	bool		more = true;

	while (more)
	{
		Buffer		buffer = mr_lsh_scan_follow(scan, link.child, link.birth, MR_LSH_INNER, hint);
		Page		page;

		page = BufferGetPage(buffer);
		if (mr_lsh_opaque(page)->kind == MR_LSH_INNER)
			add_leaves(scan, page);
		more = split_since(page, link.splits, &link.child, &link.birth);
		UnlockReleaseBuffer(buffer);
		scan->counts.groups++;
		mr_lsh_scan_count_page(scan, link.child);
		hint = InvalidBuffer;
		CHECK_FOR_INTERRUPTS();
	}
}

/* Reads the groups from number `end` to the last one, and forgets them. */
static void
read_last_groups(MrLshScan *scan, int end)
{
	while (scan->n_groups > end)
	{
		mr_lsh_scan_groups_ahead(scan, scan->n_groups - 1, end);
		scan->n_groups--;
		read_group(scan, &scan->groups[scan->n_groups]);
	}
}

static void
swap_groups(MrLshScan *scan, int i, int j)
{
	MrLshScanGroup group = scan->groups[i];

	scan->groups[i] = scan->groups[j];
	scan->groups[j] = group;
}

/*
 * Reads all groups whose bound is not beyond reach.  A bound that is not a number
 * counts as near.
 */
void
mr_lsh_scan_read_groups(MrLshScan *scan, float reach)
{
	int			end = scan->n_groups;

	scan->next_bound = INFINITY;
	for (int i = 0; i < end;)
	{
		if (!(scan->groups[i].bound > reach))
			swap_groups(scan, i, --end);
		else
		{
			scan->next_bound = Min(scan->next_bound, scan->groups[i].bound);
			i++;
		}
	}
	read_last_groups(scan, end);
}

/*
 * Moves the groups whose centres are nearest to the end, the nearest last: the
 * last one is read first, and its centres are the best references for the bounds
 * of the others.  Returns where they begin.
 */
static int
choose_first_groups(MrLshScan *scan)
{
	int			end = scan->n_groups;

	for (int k = 0; k < FIRST_GROUPS && end > 0; k++, end--)
	{
		int			best = 0;
		float		least = scan->groups[0].order;

		for (int i = 1; i < end; i++)
		{
			if (scan->groups[i].order < least)
			{
				least = scan->groups[i].order;
				best = i;
			}
		}
		swap_groups(scan, best, end - 1);
	}
	return end;
}

/*
 * Groups with bounds up to this were looked at when a row that lies where the
 * query is was inserted: so it is found, too (mr_lsh_find_place).
 */
static float
insert_reach(const MrLshScan *scan)
{
	if (scan->lsh.hash.family != MR_HASH_VORONOI)
		return scan->moved;
	return scan->moved + MR_LSH_INSERT_LEAN * sqrtf(scan->query.reference_squared[1]);
}

/*
 * The leaves where such a row would be now: those of the nearest box, up to what
 * coding moved the row, wherever their centres are.  They come first, by a second
 * entry in the queue.  (In the voronoi family they do anyway.)
 */
static void
own_leaves_first(MrLshScan *scan)
{
	const float first = 0;
	float		least = INFINITY;

	for (uint32 i = 0; i < scan->n_leaves; i++)
		least = Min(least, scan->leaves[i].bound);
	scan->least_reach = least + 2 * scan->moved;
	for (uint32 i = 0; i < scan->n_leaves; i++)
	{
		if (!(scan->leaves[i].bound <= scan->least_reach))
			continue;
		mr_lsh_scan_reserve_queue(&scan->leaf_queue, 1);
		mr_queue_push(&scan->leaf_queue, &first, 1, i);
	}
}

/*
 * What has to be read before anything else: the root, and the nearest groups;
 * all groups where leaves are not found by the hash.
 */
void
mr_lsh_scan_read_start(MrLshScan *scan)
{
	mr_lsh_scan_read_root(scan);
	if (!scan->ordered)
		return;
	if (scan->exact)
		mr_lsh_scan_read_groups(scan, INFINITY);
	else
	{
		read_last_groups(scan, choose_first_groups(scan));
		mr_lsh_scan_read_groups(scan, insert_reach(scan));
		scan->least_reach = scan->moved;
		if (scan->lsh.hash.family == MR_HASH_PROJECTION)
			own_leaves_first(scan);
	}
}

/* ---- leaves ---- */

/* Keeps the rows of a page, to be given out as they lie there. */
void
mr_lsh_scan_batch(MrLshScan *scan, const ItemPointerData *tids, int n)
{
	memcpy(scan->batch, tids, n * sizeof(ItemPointerData));
	scan->n_batch = n;
	scan->next_batch = 0;
}

/* Makes room for the rows of a leaf, before the leaf is locked. */
static void
reserve_rows(MrLshScan *scan)
{
	uint32		n = scan->lsh.layout.leaf_capacity;

	if (n > scan->room_tids - scan->n_tids)
		scan->tids = mr_lsh_scan_enlarge(scan->tids, &scan->room_tids, scan->n_tids + n, sizeof(ItemPointerData));
	mr_lsh_scan_reserve_queue(&scan->candidates, n);
}

/* Leaves the rows that are not dropped by the cutoff; returns how many. */
static int
keep_near(float *bounds, ItemPointerData *tids, int n, float cutoff)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
	{
		if (bounds[i] < cutoff)
		{
			bounds[kept] = bounds[i];
			tids[kept++] = tids[i];
		}
	}
	return kept;
}

/* Takes the rows of a leaf that is locked, and gives back the lock and the pin. */
static void
take_rows(MrLshScan *scan, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	const ItemPointerData *tids = mr_lsh_tids(&scan->lsh.layout, page);
	float		bounds[MR_LSH_MAX_ROWS];
	ItemPointerData *copy = scan->tids + scan->n_tids;
	MrCodeRows	rows;
	int			n;

	mr_lsh_rows(&scan->lsh.layout, page, &rows);
	n = rows.n;
	if (!scan->ordered)
	{
		mr_lsh_scan_batch(scan, tids, n);
		UnlockReleaseBuffer(buffer);
		return;
	}
	mr_code_lower_bounds(&scan->query.code, &rows, mr_lsh_opaque(page)->error_ratio, bounds);
	memcpy(copy, tids, n * sizeof(ItemPointerData));
	UnlockReleaseBuffer(buffer);
	scan->counts.candidates += n;

	if (scan->sort != NULL)
	{
		mr_lsh_scan_spill_rows(scan, bounds, copy, n);
		return;
	}
	if (scan->cutoff < INFINITY)
		n = keep_near(bounds, copy, n, scan->cutoff);
	mr_queue_push(&scan->candidates, bounds, n, scan->n_tids);
	scan->n_tids += n;
}

/*
 * Reads one page: true if it has been split since the link was read, and the link
 * then leads to the page at the right.
 */
static bool
read_leaf_page(MrLshScan *scan, MrLshLink *link, Buffer hint)
{
	Buffer		buffer;
	Page		page;
	bool		more;

	buffer = mr_lsh_scan_follow(scan, link->child, link->birth, MR_LSH_LEAF, hint);
	page = BufferGetPage(buffer);
	more = split_since(page, link->splits, &link->child, &link->birth);
	if (mr_lsh_opaque(page)->kind == MR_LSH_LEAF)
		take_rows(scan, buffer);
	else
		UnlockReleaseBuffer(buffer);
	scan->counts.leaves++;
	mr_lsh_scan_count_page(scan, link->child);
	CHECK_FOR_INTERRUPTS();
	return more;
}

/*
 * Reads leaf i: the page that its link names, and what was split off since.
 */
void
mr_lsh_scan_read_leaf(MrLshScan *scan, uint32 i)
{
	MrLshLink	link = {scan->leaves[i].child, scan->leaves[i].birth, scan->leaves[i].splits};
	Buffer		hint = scan->leaves[i].ahead.hint;
	bool		more = true;

	scan->leaves[i].read = true;
	while (more)
	{
		reserve_rows(scan);
		mr_lsh_scan_leaves_ahead(scan, i);
		more = read_leaf_page(scan, &link, hint);
		hint = InvalidBuffer;
	}
}

/* Reads one page for a scan without an order; true if the link has more. */
bool
mr_lsh_scan_walk_leaf(MrLshScan *scan, MrLshLink *link)
{
	return read_leaf_page(scan, link, InvalidBuffer);
}
