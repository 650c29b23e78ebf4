/*
 * lsh_build_upper.c
 *		From the entries of leaves to inner pages, and from theirs to the root.
 *
 * A group that has more leaves than an inner page should hold is parted as a
 * full inner page would be.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "index/lsh_build.h"

/* How full an inner page may be at most; the rest is for splits of its leaves. */
#define INNER_LIMIT 0.9

/* Parts of a part of a part ...: more than that and the entries cannot be told apart. */
#define MAX_DEPTH 64

/*
 * The next page of the index, exclusively locked.  It is marked dirty here:
 * nobody else sees the relation, and the lock keeps the page from being written
 * before it is complete.
 */
Buffer
mr_lsh_build_page(MrLshBuild *build, MrLshKind kind)
{
	MrLshLayout none = {0};
	Buffer		buffer = ReadBuffer(build->index, P_NEW);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	mr_lsh_page_init(kind == MR_LSH_META || kind == MR_LSH_NULLS ? &none : &build->layout,
					 BufferGetPage(buffer), kind, 1);
	MarkBufferDirty(buffer);
	return buffer;
}

void
mr_lsh_upper_begin(MrLshUpper *upper, MrLshBuild *build)
{
	upper->build = build;
	mr_lsh_list_init(&upper->leaves, build->meta.dim, true);
	mr_lsh_list_init(&upper->groups, build->meta.dim, true);
}

/* Writes an inner page of n entries, and appends its entry to those of the root. */
static void
write_inner(MrLshUpper *upper, int first, int n, const MrLshEntry *group)
{
	const MrLshLayout *layout = &upper->build->layout;
	Buffer		buffer = mr_lsh_build_page(upper->build, MR_LSH_INNER);
	MrLshEntry	entry = *group;

	for (int i = first; i < first + n; i++)
	{
		MrLshEntry	leaf;

		mr_lsh_list_get_entry(&upper->leaves, i, &leaf);
		mr_lsh_entry_append(layout, BufferGetPage(buffer), &leaf);
	}
	memset(&entry.link, 0, sizeof(entry.link));
	entry.link.child = BufferGetBlockNumber(buffer);
	entry.link.birth = 1;
	if (isinf(entry.norm))
		entry.norm = 0;
	UnlockReleaseBuffer(buffer);
	mr_lsh_list_entry(&upper->groups, &entry);
}

/* Entries that cannot be told apart: page by page, each with the same centre. */
static void
write_pieces(MrLshUpper *upper, int first, int n, int limit, const MrLshEntry *group)
{
	for (int at = 0; at < n; at += limit)
		write_inner(upper, first + at, Min(limit, n - at), group);
}

/* Writes the leaves of a group, parted until they fit. */
static void
write_parts(MrLshUpper *upper, int first, int n, int depth, const MrLshEntry *group)
{
	const MrHash *hash = &upper->build->hash;
	int			limit = Max(1, (int) (INNER_LIMIT * upper->build->layout.entry_capacity));
	MrNewBucket parts[2];
	MrBuckets	buckets;
	uint8	   *side;
	void	   *scratch;
	int			zeroes;

	CHECK_FOR_INTERRUPTS();
	if (n <= limit)
	{
		write_inner(upper, first, n, group);
		return;
	}
	if (depth > MAX_DEPTH || mr_lsh_list_equal(&upper->leaves, first, n))
	{
		write_pieces(upper, first, n, limit, group);
		return;
	}
	mr_lsh_list_buckets(&upper->leaves, first, n, &buckets);
	side = palloc(n);
	scratch = MemoryContextAllocHuge(CurrentMemoryContext, mr_hash_split_scratch(hash, n));
	parts[0].code = palloc(hash->dim);
	parts[1].code = palloc(hash->dim);
	mr_hash_split(hash, &buckets, group->key, side, parts, scratch);
	pfree(scratch);
	zeroes = mr_lsh_list_part(&upper->leaves, first, n, side);
	pfree(side);
	for (int i = 0; i < 2; i++)
	{
		MrLshEntry	part = {parts[i].code, parts[i].scale, parts[i].norm, parts[i].key};

		write_parts(upper, i == 0 ? first : first + zeroes, i == 0 ? zeroes : n - zeroes, depth + 1, &part);
		pfree(parts[i].code);
	}
}

/* The leaves of a group are complete: its inner pages. */
void
mr_lsh_upper_group(MrLshUpper *upper, const MrLshEntry *group)
{
	if (upper->leaves.n > 0)
		write_parts(upper, 0, upper->leaves.n, 0, group);
	upper->leaves.n = 0;
}

/*
 * The chain of root pages, the first of which is there already.  There is always
 * one, without entries if there is no group.
 */
void
mr_lsh_upper_end(MrLshUpper *upper)
{
	MrLshBuild *build = upper->build;
	const int	capacity = build->layout.entry_capacity;
	Buffer		buffer = ReadBuffer(build->index, MR_LSH_ROOT_BLOCK);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	mr_lsh_page_init(&build->layout, BufferGetPage(buffer), MR_LSH_ROOT, 1);
	MarkBufferDirty(buffer);
	for (int i = 0; i < upper->groups.n; i++)
	{
		MrLshEntry	entry;

		if (i > 0 && i % capacity == 0)
		{
			Buffer		next = mr_lsh_build_page(build, MR_LSH_ROOT);
			MrLshOpaque *opaque = mr_lsh_opaque(BufferGetPage(buffer));

			opaque->right = BufferGetBlockNumber(next);
			opaque->right_birth = 1;
			UnlockReleaseBuffer(buffer);
			buffer = next;
		}
		mr_lsh_list_get_entry(&upper->groups, i, &entry);
		mr_lsh_entry_append(&build->layout, BufferGetPage(buffer), &entry);
	}
	UnlockReleaseBuffer(buffer);
}
