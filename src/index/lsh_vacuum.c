/*
 * lsh_vacuum.c
 *		VACUUM: dead rows out, empty pages back.
 *
 * The walk goes the way of a scan: root, inner pages, leaves, right links where
 * a page has been split since its link was read.  So it comes by every row that
 * was there when it began, whatever is split meanwhile.  Rows leave their page
 * in place, and each page is one WAL record.
 *
 * An empty leaf is taken out of its inner page and marked as deleted by one
 * record; with the last leaf of a group goes the group.  The last group of a
 * root page stays, empty or not, so that there always is a place for a row.
 *
 * A deleted page keeps its birth, splits and right link for those who are on
 * their way to it.  It is given to the free space map at once, but
 * mr_lsh_allocate() takes it only when no transaction can be on its way any
 * more.  Blocks that the walk did not come by are looked at in the end: deleted
 * pages whose place in the map was lost, and blocks that were allocated by
 * somebody whom a crash or an error stopped before he linked to them.
 *
 * Only one VACUUM works on an index at a time (the server sees to that), so
 * nobody else deletes pages.
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/genam.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"

#include "index/lsh.h"
#include "index/lsh_directory.h"
#include "util/compat.h"

typedef struct Walk
{
	Relation	index;
	BufferAccessStrategy strategy;
	IndexBulkDeleteCallback callback;
	void	   *state;
	IndexBulkDeleteResult *stats;
	MrLshIndex	lsh;
	BlockNumber blocks;			/* when the walk began */
	uint8	   *seen;			/* bit per block: the walk came by, and it is in use */
} Walk;

/* ---- pages ---- */

/*
 * Called before a page is read, without a lock: sleeps and stops as VACUUM
 * wants, and brings the page, if it is not in memory, into a buffer of the ring
 * that VACUUM keeps to.
 */
static void
bring_in(Walk *walk, BlockNumber block)
{
	MR_VACUUM_DELAY_POINT();
	if (block != InvalidBlockNumber)
		ReleaseBuffer(ReadBufferExtended(walk->index, MAIN_FORKNUM, block, RBM_NORMAL, walk->strategy));
}

/* The page is in use. */
static void
mark_seen(Walk *walk, BlockNumber block)
{
	if (block < walk->blocks)
		walk->seen[block / 8] |= 1 << (block % 8);
}

/* It was, and is no longer. */
static void
mark_deleted(Walk *walk, BlockNumber block)
{
	if (block < walk->blocks)
		walk->seen[block / 8] &= ~(1 << (block % 8));
	walk->stats->pages_newly_deleted++;
}

/* A page that the walk is led to, locked; it cannot have been used again, for only VACUUM deletes. */
static Buffer
walk_to(Walk *walk, BlockNumber block, uint32 birth, int kind)
{
	Buffer		buffer;

	bring_in(walk, block);
	buffer = mr_lsh_follow(walk->index, &walk->lsh.layout, block, birth, BUFFER_LOCK_SHARE, kind);
	if (!BufferIsValid(buffer))
		mr_lsh_corrupted(walk->index, block, "a link leads to a page that was used again");
	if (mr_lsh_opaque(BufferGetPage(buffer))->kind == kind)
		mark_seen(walk, block);
	return buffer;
}

/* ---- dead rows ---- */

/* The TIDs of a page of rows or of NULLs. */
static ItemPointerData *
page_tids(const Walk *walk, Page page)
{
	if (mr_lsh_opaque(page)->kind == MR_LSH_LEAF)
		return mr_lsh_tids(&walk->lsh.layout, page);
	return mr_lsh_null_tids(page);
}

/* Is the row dead?  Of a damaged page the callback must not be asked. */
static bool
is_dead(Walk *walk, ItemPointerData *tid)
{
	if (unlikely(!mr_lsh_tid_possible(tid)))
		mr_lsh_corrupted_row(walk->index, tid, "there cannot be such a row");
	return walk->callback(tid, walk->state);
}

/* Does the page have dead rows?  Asks about every row: the callback may be counting them. */
static bool
has_dead(Walk *walk, Page page)
{
	ItemPointerData *tids = page_tids(walk, page);
	bool		dead = false;

	for (int i = 0; i < mr_lsh_opaque(page)->n; i++)
		dead |= is_dead(walk, &tids[i]);
	return dead;
}

/* Takes the dead rows out of a page that is exclusively locked. */
static void
remove_dead(Walk *walk, Buffer buffer)
{
	GenericXLogState *state = GenericXLogStart(walk->index);
	Page		page = GenericXLogRegisterBuffer(state, buffer, 0);
	bool		leaf = mr_lsh_opaque(page)->kind == MR_LSH_LEAF;
	int			before = mr_lsh_opaque(page)->n;

	/* from the end: the row that fills a gap has been asked about */
	for (int i = before - 1; i >= 0; i--)
	{
		if (!is_dead(walk, &page_tids(walk, page)[i]))
			continue;
		if (leaf)
			mr_lsh_row_remove(&walk->lsh.layout, page, i);
		else
			mr_lsh_null_remove(page, i);
	}
	walk->stats->tuples_removed += before - mr_lsh_opaque(page)->n;
	/* a split may have taken the dead rows away, to the page at the right */
	if (mr_lsh_opaque(page)->n == before)
		GenericXLogAbort(state);
	else
		GenericXLogFinish(state);
}

/*
 * Takes the dead rows out of a page that is share-locked; it is locked still,
 * perhaps exclusively, when this returns.  Pages without dead rows are only
 * read.
 */
static void
clean_page(Walk *walk, Buffer buffer)
{
	if (has_dead(walk, BufferGetPage(buffer)))
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		remove_dead(walk, buffer);
	}
	walk->stats->num_index_tuples += mr_lsh_opaque(BufferGetPage(buffer))->n;
}

/* ---- empty leaves ---- */

/* Locks a leaf that is to be deleted; InvalidBuffer if it has rows again. */
static Buffer
lock_empty_leaf(Walk *walk, BlockNumber leaf, uint32 birth)
{
	Buffer		buffer = mr_lsh_follow(walk->index, &walk->lsh.layout, leaf, birth,
									   BUFFER_LOCK_EXCLUSIVE, MR_LSH_LEAF);
	const MrLshOpaque *opaque;

	if (!BufferIsValid(buffer))
		return InvalidBuffer;
	opaque = mr_lsh_opaque(BufferGetPage(buffer));
	if (opaque->kind == MR_LSH_LEAF && opaque->n == 0)
		return buffer;
	UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}

/*
 * Deletes a group that has one leaf left, an empty one, unless the root page has
 * no other group.
 */
static void
delete_group(Walk *walk, BlockNumber group, uint32 group_birth, BlockNumber leaf, uint32 leaf_birth)
{
	const MrLshLayout *layout = &walk->lsh.layout;
	Buffer		first = mr_lsh_read(walk->index, layout, MR_LSH_ROOT_BLOCK, BUFFER_LOCK_EXCLUSIVE, MR_LSH_ROOT);
	Buffer		holder;
	Buffer		inner = InvalidBuffer;
	Buffer		buffer = InvalidBuffer;
	int			entry;
	int			only;

	holder = mr_lsh_lock_group_entry(walk->index, &walk->lsh, first, group, group_birth, &entry);
	if (BufferIsValid(holder) && mr_lsh_opaque(BufferGetPage(holder))->n > 1)
		inner = mr_lsh_lock_entry(walk->index, &walk->lsh, group, group_birth, leaf, leaf_birth,
								  BUFFER_LOCK_EXCLUSIVE, &only);
	/* it may have been split since */
	if (BufferIsValid(inner) && BufferGetBlockNumber(inner) == group && mr_lsh_opaque(BufferGetPage(inner))->n == 1)
		buffer = lock_empty_leaf(walk, leaf, leaf_birth);
	if (BufferIsValid(buffer))
	{
		GenericXLogState *state = GenericXLogStart(walk->index);
		Page		root_page = GenericXLogRegisterBuffer(state, holder, 0);
		Page		inner_page = GenericXLogRegisterBuffer(state, inner, 0);

		mr_lsh_entry_remove(layout, root_page, entry);
		mr_lsh_entry_remove(layout, inner_page, only);
		mr_lsh_page_delete(inner_page);
		mr_lsh_page_delete(GenericXLogRegisterBuffer(state, buffer, 0));
		GenericXLogFinish(state);
		mark_deleted(walk, group);
		mark_deleted(walk, leaf);
		UnlockReleaseBuffer(buffer);
	}
	if (BufferIsValid(inner))
		UnlockReleaseBuffer(inner);
	if (BufferIsValid(holder) && holder != first)
		UnlockReleaseBuffer(holder);
	UnlockReleaseBuffer(first);
}

/* Deletes a leaf that was found empty; group is where its entry was. */
static void
delete_leaf(Walk *walk, BlockNumber group, uint32 group_birth, BlockNumber leaf, uint32 leaf_birth)
{
	int			entry;
	Buffer		inner = mr_lsh_lock_entry(walk->index, &walk->lsh, group, group_birth, leaf, leaf_birth,
										  BUFFER_LOCK_EXCLUSIVE, &entry);
	Buffer		buffer;

	if (!BufferIsValid(inner))
		return;
	if (mr_lsh_opaque(BufferGetPage(inner))->n == 1)
	{
		group = BufferGetBlockNumber(inner);
		group_birth = mr_lsh_opaque(BufferGetPage(inner))->birth;
		UnlockReleaseBuffer(inner);
		delete_group(walk, group, group_birth, leaf, leaf_birth);
		return;
	}
	buffer = lock_empty_leaf(walk, leaf, leaf_birth);
	if (BufferIsValid(buffer))
	{
		GenericXLogState *state = GenericXLogStart(walk->index);

		mr_lsh_entry_remove(&walk->lsh.layout, GenericXLogRegisterBuffer(state, inner, 0), entry);
		mr_lsh_page_delete(GenericXLogRegisterBuffer(state, buffer, 0));
		GenericXLogFinish(state);
		mark_deleted(walk, leaf);
		UnlockReleaseBuffer(buffer);
	}
	UnlockReleaseBuffer(inner);
}

/* ---- the walk ---- */

/* A leaf, and those that were split off since its link was read. */
static void
walk_leaf(Walk *walk, BlockNumber group, uint32 group_birth, const MrLshLink *link)
{
	BlockNumber block = link->child;
	uint32		birth = link->birth;
	bool		more = true;

	for (uint32 steps = 0; more; steps++)
	{
		Buffer		buffer = walk_to(walk, block, birth, MR_LSH_LEAF);
		MrLshOpaque opaque;

		if (mr_lsh_opaque(BufferGetPage(buffer))->kind == MR_LSH_LEAF)
			clean_page(walk, buffer);
		opaque = *mr_lsh_opaque(BufferGetPage(buffer));
		UnlockReleaseBuffer(buffer);
		if (opaque.kind == MR_LSH_LEAF && opaque.n == 0)
			delete_leaf(walk, group, group_birth, block, birth);
		more = opaque.splits > link->splits;
		block = opaque.right;
		birth = opaque.right_birth;
		mr_lsh_check_walk(walk->index, block, steps);
	}
}

/* The leaves of a group, on its inner page and on those that were split off since. */
static void
walk_group(Walk *walk, const MrLshLink *link, MrLshLink *children)
{
	const MrLshLayout *layout = &walk->lsh.layout;
	BlockNumber block = link->child;
	uint32		birth = link->birth;
	bool		more = true;

	for (uint32 steps = 0; more; steps++)
	{
		Buffer		buffer = walk_to(walk, block, birth, MR_LSH_INNER);
		MrLshOpaque opaque = *mr_lsh_opaque(BufferGetPage(buffer));

		memcpy(children, mr_lsh_links(layout, BufferGetPage(buffer)), opaque.n * sizeof(MrLshLink));
		UnlockReleaseBuffer(buffer);
		for (int i = 0; i < opaque.n; i++)
			walk_leaf(walk, block, birth, &children[i]);
		more = opaque.splits > link->splits;
		block = opaque.right;
		birth = opaque.right_birth;
		mr_lsh_check_walk(walk->index, block, steps);
	}
}

/* The links of all groups, as of one moment. */
static MrLshLink *
read_root(Walk *walk, uint32 *n_groups)
{
	const MrLshLayout *layout = &walk->lsh.layout;
	Buffer		first = mr_lsh_read(walk->index, layout, MR_LSH_ROOT_BLOCK, BUFFER_LOCK_SHARE, MR_LSH_ROOT);
	Buffer		buffer = first;
	MrLshLink  *groups = NULL;
	uint32		n = 0;

	for (uint32 steps = 0;; steps++)
	{
		Page		page = BufferGetPage(buffer);
		int			here = mr_lsh_opaque(page)->n;
		BlockNumber right = mr_lsh_opaque(page)->right;

		mark_seen(walk, BufferGetBlockNumber(buffer));
		if (here > 0)
		{
			Size		size = (n + (Size) here) * sizeof(MrLshLink);

			groups = groups ? repalloc_huge(groups, size) : palloc(size);
			memcpy(groups + n, mr_lsh_links(layout, page), here * sizeof(MrLshLink));
			n += here;
		}
		if (buffer != first)
			UnlockReleaseBuffer(buffer);
		if (right == InvalidBlockNumber)
			break;
		mr_lsh_check_walk(walk->index, right, steps);
		if (right == MR_LSH_ROOT_BLOCK)
			mr_lsh_corrupted(walk->index, right, "right links lead in a circle");
		buffer = mr_lsh_read(walk->index, layout, right, BUFFER_LOCK_SHARE, MR_LSH_ROOT);
	}
	UnlockReleaseBuffer(first);
	*n_groups = n;
	return groups;
}

/* Everything that the root leads to. */
static void
walk_rows(Walk *walk)
{
	uint32		n = 0;
	MrLshLink  *groups = read_root(walk, &n);
	MrLshLink  *children = palloc(walk->lsh.layout.entry_capacity * sizeof(MrLshLink) + 1);

	for (uint32 i = 0; i < n; i++)
		walk_group(walk, &groups[i], children);
	pfree(children);
	if (groups)
		pfree(groups);
}

/* ---- NULLs ---- */

/* Takes an empty page out of the chain; left is the page before it. */
static bool
unlink_nulls(Walk *walk, BlockNumber left, uint32 left_birth, BlockNumber block, uint32 birth)
{
	const MrLshLayout *layout = &walk->lsh.layout;
	Buffer		before = mr_lsh_follow(walk->index, layout, left, left_birth, BUFFER_LOCK_EXCLUSIVE, MR_LSH_NULLS);
	Buffer		buffer;
	const MrLshOpaque *opaque;
	bool		done = false;

	if (!BufferIsValid(before))
		return false;
	if (left == block)
		mr_lsh_corrupted(walk->index, block, "right links lead in a circle");
	buffer = mr_lsh_follow(walk->index, layout, block, birth, BUFFER_LOCK_EXCLUSIVE, MR_LSH_NULLS);
	if (BufferIsValid(buffer))
	{
		opaque = mr_lsh_opaque(BufferGetPage(buffer));
		if (opaque->kind == MR_LSH_NULLS && opaque->n == 0 && mr_lsh_opaque(BufferGetPage(before))->right == block)
		{
			GenericXLogState *state = GenericXLogStart(walk->index);
			Page		page = GenericXLogRegisterBuffer(state, before, 0);

			mr_lsh_opaque(page)->right = opaque->right;
			mr_lsh_opaque(page)->right_birth = opaque->right_birth;
			mr_lsh_page_delete(GenericXLogRegisterBuffer(state, buffer, 0));
			GenericXLogFinish(state);
			mark_deleted(walk, block);
			done = true;
		}
		UnlockReleaseBuffer(buffer);
	}
	UnlockReleaseBuffer(before);
	return done;
}

/*
 * The chain of NULLs.  Its first page stays when it is empty; pages that are put
 * before it meanwhile have no dead rows that this VACUUM must find.
 */
static void
walk_nulls(Walk *walk)
{
	MrLshLayout none = {0};
	Buffer		meta = mr_lsh_read(walk->index, &none, MR_LSH_META_BLOCK, BUFFER_LOCK_SHARE, MR_LSH_META);
	BlockNumber block = mr_lsh_meta(BufferGetPage(meta))->null_head;
	uint32		birth = mr_lsh_meta(BufferGetPage(meta))->null_birth;
	BlockNumber left = InvalidBlockNumber;
	uint32		left_birth = 0;

	UnlockReleaseBuffer(meta);
	for (uint32 steps = 0; block != InvalidBlockNumber; steps++)
	{
		Buffer		buffer = walk_to(walk, block, birth, MR_LSH_NULLS);
		MrLshOpaque opaque;

		if (mr_lsh_opaque(BufferGetPage(buffer))->kind == MR_LSH_NULLS)
			clean_page(walk, buffer);
		opaque = *mr_lsh_opaque(BufferGetPage(buffer));
		UnlockReleaseBuffer(buffer);
		if (opaque.n > 0 || left == InvalidBlockNumber || !unlink_nulls(walk, left, left_birth, block, birth))
		{
			left = block;
			left_birth = birth;
		}
		block = opaque.right;
		birth = opaque.right_birth;
		mr_lsh_check_walk(walk->index, block, steps);
	}
}

/* ---- pages that nobody uses ---- */

/* Looks at the blocks that the walk did not come by, and at those that it deleted. */
static void
collect_free(Walk *walk)
{
	IndexBulkDeleteResult *stats = walk->stats;

	for (BlockNumber block = MR_LSH_ROOT_BLOCK + 1; block < walk->blocks; block++)
	{
		Buffer		buffer;
		Page		page;
		bool		recyclable;
		bool		unused;

		if (walk->seen[block / 8] & (1 << (block % 8)))
			continue;
		MR_VACUUM_DELAY_POINT();
		buffer = ReadBufferExtended(walk->index, MAIN_FORKNUM, block, RBM_NORMAL, walk->strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		recyclable = mr_lsh_page_recyclable(page);
		unused = recyclable || mr_lsh_page_deleted(page);
		UnlockReleaseBuffer(buffer);
		/* else it was taken for a new page while the walk was elsewhere */
		if (unused)
			mr_lsh_page_offer(walk->index, block, recyclable);
		stats->pages_deleted += unused;
		stats->pages_free += recyclable;
	}
	if (stats->pages_deleted > 0)
		IndexFreeSpaceMapVacuum(walk->index);
}

/* ---- entry ---- */

/*
 * The size of the index.  While somebody extends it, the new page is his before
 * the lock is free again: so no page that we look at is about to be.
 */
static BlockNumber
count_blocks(Relation index)
{
	bool		lock = !RELATION_IS_LOCAL(index);
	BlockNumber blocks;

	if (lock)
		LockRelationForExtension(index, ExclusiveLock);
	blocks = RelationGetNumberOfBlocks(index);
	if (lock)
		UnlockRelationForExtension(index, ExclusiveLock);
	return blocks;
}

/* The access method's ambulkdelete. */
IndexBulkDeleteResult *
mr_lsh_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
				  IndexBulkDeleteCallback callback, void *state)
{
	Walk		walk = {0};

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	stats->num_index_tuples = 0;
	stats->pages_deleted = 0;
	stats->pages_free = 0;
	stats->estimated_count = false;

	walk.index = info->index;
	walk.strategy = info->strategy;
	walk.callback = callback;
	walk.state = state;
	walk.stats = stats;
	walk.blocks = count_blocks(info->index);
	walk.seen = palloc0(walk.blocks / 8 + 1);
	mr_lsh_load(info->index, &walk.lsh);

	/* no dimensions: no row was ever there, or the first comes now */
	if (walk.lsh.hash.dim > 0)
		walk_rows(&walk);
	walk_nulls(&walk);
	collect_free(&walk);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	pfree(walk.seen);
	return stats;
}

/*
 * The access method's amvacuumcleanup.  Without stats no row was dead, and the
 * index is not read.
 */
IndexBulkDeleteResult *
mr_lsh_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL)
	{
		stats = palloc0(sizeof(IndexBulkDeleteResult));
		stats->estimated_count = true;
		stats->num_index_tuples = info->num_heap_tuples;
	}
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	/* rows that came meanwhile may have been counted here and not there */
	if (!info->estimated_count && stats->num_index_tuples > info->num_heap_tuples)
		stats->num_index_tuples = info->num_heap_tuples;
	return stats;
}
