/*
 * lsh_directory.c
 *		Which group, which leaf: the descent of an insert, and the way back to
 *		the entry of a page that is to be changed.
 *
 * The descent holds one lock at a time (root page 1 stays locked while the other
 * root pages are read), so what it found may be out of date when it is used:
 * whoever uses it compares births and splits, and descends again if they differ.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/bufmgr.h"

#include "index/lsh.h"
#include "index/lsh_directory.h"

/* Steps along right links between two looks at the size of the index. */
#define WALK_CHECK 1024

/* Comparisons at a time. */
#define MIN_LANES 8

/* Levels of the hash function. */
#define GROUPS 0
#define LEAVES 1

/* Of the groups seen so far, a near one. */
typedef struct NearGroup
{
	MrLshLink	link;
	float		order;
	float		bound;			/* the row's distance to its cell */
	uint32		number;			/* of the entry, over all root pages */
} NearGroup;

/* The nearest of them. */
typedef struct NearGroups
{
	int			n;
	uint8		sorted[MR_LSH_INSERT_GROUPS_MOST];	/* places in group[], the nearest first */
	NearGroup	group[MR_LSH_INSERT_GROUPS_MOST];
} NearGroups;

/*
 * Called at every step along right links.  No chain has more pages than the
 * index, unless links were damaged so that they lead in a circle.
 */
void
mr_lsh_check_walk(Relation index, BlockNumber block, uint32 steps)
{
	if (unlikely(steps % WALK_CHECK == WALK_CHECK - 1) && steps > RelationGetNumberOfBlocks(index))
		mr_lsh_corrupted(index, block, "right links lead in a circle");
}

/* ---- descent ---- */

/*
 * Puts a group among the nearest, which are sorted: the nearest first, and of
 * equally near ones the later, which is the newer.
 */
static void
keep_near(NearGroups *near, const NearGroup *group)
{
	int			place = near->n;
	int			at;

	if (near->n < MR_LSH_INSERT_GROUPS_MOST)
		near->n++;
	else
	{
		place = near->sorted[near->n - 1];
		if (!(group->order <= near->group[place].order))
			return;
	}
	near->group[place] = *group;
	for (at = near->n - 1; at > 0 && group->order <= near->group[near->sorted[at - 1]].order; at--)
		near->sorted[at] = near->sorted[at - 1];
	near->sorted[at] = place;
}

/* Scores the groups of one root page; near = NULL: only to know the nearest centre. */
static void
score_root_page(const MrLshIndex *lsh, MrHashQuery *query, float *scratch, Page page,
				uint32 *number, NearGroups *near)
{
	const bool	voronoi = lsh->hash.family == MR_HASH_VORONOI;
	const MrLshLink *links = mr_lsh_links(&lsh->layout, page);
	float	   *order = scratch;
	float	   *bound = scratch + lsh->layout.entry_capacity;
	MrBuckets	buckets;

	mr_lsh_buckets(&lsh->layout, page, &buckets);
	/* without bounds, projections order as an insertion needs it: by key */
	mr_hash_score(&lsh->hash, query, GROUPS, &buckets, order, NULL, voronoi ? bound : NULL);
	if (near == NULL)
		return;
	for (int i = 0; i < buckets.centres.n; i++)
		keep_near(near, &(NearGroup) {links[i], order[i], voronoi ? bound[i] : 0, (*number)++});
}

/* Scores all groups.  The caller holds the first root page, so that nobody changes any. */
static void
score_root(Relation index, const MrLshIndex *lsh, MrHashQuery *query, float *scratch, Buffer first,
		   NearGroups *near)
{
	Buffer		buffer = first;
	uint32		number = 0;

	for (uint32 steps = 0;; steps++)
	{
		Page		page = BufferGetPage(buffer);
		BlockNumber right = mr_lsh_opaque(page)->right;

		score_root_page(lsh, query, scratch, page, &number, near);
		if (buffer != first)
			UnlockReleaseBuffer(buffer);
		if (right == InvalidBlockNumber)
			return;
		mr_lsh_check_walk(index, right, steps);
		if (right == MR_LSH_ROOT_BLOCK)
			mr_lsh_corrupted(index, right, "right links lead in a circle");
		buffer = mr_lsh_read(index, &lsh->layout, right, BUFFER_LOCK_SHARE, MR_LSH_ROOT);
	}
}

/*
 * The groups nearest to the query.  Bounds are best if the nearest centre of all
 * is known before, and they must not be worse than those of a scan that looks for
 * the row later: so a root of several pages is scored twice, there and here.
 */
static void
near_groups(Relation index, const MrLshIndex *lsh, MrHashQuery *query, float *scratch, NearGroups *near)
{
	Buffer		first = mr_lsh_read(index, &lsh->layout, MR_LSH_ROOT_BLOCK, BUFFER_LOCK_SHARE, MR_LSH_ROOT);

	near->n = 0;
	if (lsh->hash.family == MR_HASH_VORONOI &&
		mr_lsh_opaque(BufferGetPage(first))->right != InvalidBlockNumber)
		score_root(index, lsh, query, scratch, first, NULL);
	score_root(index, lsh, query, scratch, first, near);
	UnlockReleaseBuffer(first);
}

/*
 * Where the smallest of n > 0 numbers is; of equally small ones the last.  In
 * lanes, because one comparison would wait for the other.
 */
static int
last_smallest(const float *x, int n)
{
	float		lane[MIN_LANES];
	float		least;
	int			i;

	for (int k = 0; k < MIN_LANES; k++)
		lane[k] = x[0];
	for (i = 0; i + MIN_LANES <= n; i += MIN_LANES)
		for (int k = 0; k < MIN_LANES; k++)
			lane[k] = x[i + k] < lane[k] ? x[i + k] : lane[k];
	for (; i < n; i++)
		lane[0] = x[i] < lane[0] ? x[i] : lane[0];
	least = lane[0];
	for (int k = 1; k < MIN_LANES; k++)
		least = lane[k] < least ? lane[k] : least;
	for (i = n - 1; i > 0 && x[i] != least; i--)
		;
	return i;
}

/*
 * The nearest leaf of one page, if it is as near as the best so far: of equally
 * near ones the later wins, so that rows that are all equal go to the newest
 * leaf and not to one that is full.
 */
static bool
best_of_page(const MrLshIndex *lsh, MrHashQuery *query, float *scratch, Buffer buffer,
			 float *best, MrLshPlace *place)
{
	const MrLshLayout *layout = &lsh->layout;
	Page		page = BufferGetPage(buffer);
	float	   *order = scratch;
	float	   *centre = scratch + layout->entry_capacity;
	int			winner;
	MrBuckets	buckets;

	mr_lsh_buckets(layout, page, &buckets);
	if (buckets.centres.n == 0)
		return false;
	mr_hash_score(&lsh->hash, query, LEAVES, &buckets, order, centre, NULL);
	winner = last_smallest(order, buckets.centres.n);
	if (!(order[winner] <= *best))
		return false;

	*best = order[winner];
	place->group = BufferGetBlockNumber(buffer);
	place->group_birth = mr_lsh_opaque(page)->birth;
	place->link = mr_lsh_links(layout, page)[winner];
	place->reach = mr_code_distance_high(centre[winner], query->code.norm + buckets.centres.norm[winner]);
	if (!(place->reach >= 0))
		place->reach = INFINITY;
	return true;
}

/* The same of a group, which may have been split since its link was read. */
static bool
best_of_group(Relation index, const MrLshIndex *lsh, MrHashQuery *query, float *scratch,
			  const MrLshLink *group, float *best, MrLshPlace *place)
{
	BlockNumber block = group->child;
	uint32		birth = group->birth;
	bool		found = false;

	*best = INFINITY;
	for (uint32 steps = 0;; steps++)
	{
		Buffer		buffer = mr_lsh_follow(index, &lsh->layout, block, birth, BUFFER_LOCK_SHARE, MR_LSH_INNER);
		const MrLshOpaque *opaque;
		bool		more;

		if (!BufferIsValid(buffer))
			return found;
		opaque = mr_lsh_opaque(BufferGetPage(buffer));
		if (opaque->kind == MR_LSH_INNER)
			found |= best_of_page(lsh, query, scratch, buffer, best, place);
		more = opaque->splits > group->splits;
		block = opaque->right;
		birth = opaque->right_birth;
		UnlockReleaseBuffer(buffer);
		if (!more)
			return found;
		mr_lsh_check_walk(index, block, steps);
	}
}

/*
 * The leaf whose centre is nearest, among the leaves of the groups where it is
 * likely to be.  A row for which the centre of another group is as near as that
 * of its own finds leaves in both.
 */
bool
mr_lsh_find_place(Relation index, const MrLshIndex *lsh, MrHashQuery *query, float *scratch, MrLshPlace *place)
{
	const NearGroup *winner = NULL;
	float		best = INFINITY;
	NearGroups	near;

	near_groups(index, lsh, query, scratch, &near);
	for (int i = 0; i < near.n; i++)
	{
		const NearGroup *group = &near.group[near.sorted[i]];
		MrLshPlace	candidate;
		float		order;

		/* in the projection family a row belongs where its key says */
		if (i >= MR_LSH_INSERT_GROUPS && winner != NULL &&
			(lsh->hash.family != MR_HASH_VORONOI || !(group->bound < MR_LSH_INSERT_LEAN * place->reach)))
			continue;
		if (!best_of_group(index, lsh, query, scratch, &group->link, &order, &candidate))
			continue;
		/* of equally near ones the later, which is the newer, here too */
		if (winner == NULL || order < best || (order == best && group->number > winner->number))
		{
			winner = group;
			best = order;
			*place = candidate;
		}
	}
	return winner != NULL;
}

/* ---- the entry of a page ---- */

/*
 * A split moves an entry from its inner page to the one at the right of it, and
 * nothing moves it back: so the search is to the right, locking one page at a
 * time, and cannot miss it.
 */
Buffer
mr_lsh_lock_entry(Relation index, const MrLshIndex *lsh, BlockNumber group, uint32 group_birth,
				  BlockNumber leaf, uint32 leaf_birth, int lockmode, int *entry)
{
	for (uint32 steps = 0; group != InvalidBlockNumber; steps++)
	{
		Buffer		buffer = mr_lsh_follow(index, &lsh->layout, group, group_birth, lockmode, MR_LSH_INNER);
		Page		page;

		if (!BufferIsValid(buffer))
			return InvalidBuffer;
		page = BufferGetPage(buffer);
		if (mr_lsh_opaque(page)->kind == MR_LSH_INNER)
		{
			*entry = mr_lsh_entry_find(&lsh->layout, page, leaf, leaf_birth);
			if (*entry >= 0)
			{
				/* would lock the page twice */
				if (leaf == group)
					mr_lsh_corrupted(index, group, "page has a link to itself");
				return buffer;
			}
		}
		group = mr_lsh_opaque(page)->right;
		group_birth = mr_lsh_opaque(page)->right_birth;
		UnlockReleaseBuffer(buffer);
		mr_lsh_check_walk(index, group, steps);
		CHECK_FOR_INTERRUPTS();
	}
	return InvalidBuffer;
}

/*
 * Nobody else locks a root page while the caller holds the first one
 * exclusively, so that each can be let go before the next is read.
 */
Buffer
mr_lsh_lock_group_entry(Relation index, const MrLshIndex *lsh, Buffer first,
						BlockNumber group, uint32 group_birth, int *entry)
{
	Buffer		buffer = first;

	for (uint32 steps = 0;; steps++)
	{
		Page		page = BufferGetPage(buffer);
		BlockNumber right = mr_lsh_opaque(page)->right;

		*entry = mr_lsh_entry_find(&lsh->layout, page, group, group_birth);
		if (*entry >= 0)
		{
			/* would lock the page twice */
			if (group == MR_LSH_ROOT_BLOCK || group == BufferGetBlockNumber(buffer))
				mr_lsh_corrupted(index, group, "link in a root page leads to a root page");
			return buffer;
		}
		if (buffer != first)
			UnlockReleaseBuffer(buffer);
		if (right == InvalidBlockNumber)
			return InvalidBuffer;
		mr_lsh_check_walk(index, right, steps);
		if (right == MR_LSH_ROOT_BLOCK)
			mr_lsh_corrupted(index, right, "right links lead in a circle");
		buffer = mr_lsh_read(index, &lsh->layout, right, BUFFER_LOCK_EXCLUSIVE, MR_LSH_ROOT);
	}
}

/*
 * For somebody who comes to the place again and again and finds it changed: is
 * it, or is the index damaged?  A leaf is split and deleted by whoever holds its
 * inner page exclusively, so that under a lock on that page link and leaf agree.
 */
void
mr_lsh_verify_place(Relation index, const MrLshIndex *lsh, const MrLshPlace *place)
{
	const MrLshOpaque *opaque;
	MrLshLink	link;
	Buffer		inner;
	Buffer		leaf;
	int			entry;

	inner = mr_lsh_lock_entry(index, lsh, place->group, place->group_birth, place->link.child, place->link.birth,
							  BUFFER_LOCK_SHARE, &entry);
	if (!BufferIsValid(inner))
		return;
	link = mr_lsh_links(&lsh->layout, BufferGetPage(inner))[entry];
	leaf = mr_lsh_follow(index, &lsh->layout, link.child, link.birth, BUFFER_LOCK_SHARE, MR_LSH_LEAF);
	if (!BufferIsValid(leaf))
		mr_lsh_corrupted(index, BufferGetBlockNumber(inner), "link leads to a page that was deleted");
	opaque = mr_lsh_opaque(BufferGetPage(leaf));
	if (opaque->kind != MR_LSH_LEAF || opaque->splits != link.splits)
		mr_lsh_corrupted(index, link.child, "page is not what the link to it says");
	UnlockReleaseBuffer(leaf);
	UnlockReleaseBuffer(inner);
}
