/*
 * lsh_check.c
 *		lsh_check(): is an index what lsh_page.h says it is?
 *
 * The index is walked as a scan does it, from the root over inner pages to the
 * leaves, with a copy of each page, and others go on working meanwhile.  So that
 * their changes are no false alarm:
 *
 *		A leaf is judged together with the entry that links to it, both locked.
 *		Pages that were split since their link was read are followed to the right.
 *		A page is missed without alarm if it changed after the check began.
 *		Our snapshot keeps deleted pages from being used again; on a standby it
 *		does not, and then the check gives up with a serialization failure.
 *
 * The first fault found is reported as an error.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "index/lsh_check.h"
#include "index/lsh_user.h"
#include "util/compat.h"

PG_FUNCTION_INFO_V1(mr_lsh_check);

/* What is stored as float is within this of what it was computed from. */
#define FLOAT_SLACK 1e-5

/* An entry that was found again, with what it points at: a copy. */
typedef struct FoundEntry
{
	MrLshEntry	entry;
	int8		code[MR_LSH_MAX_DIMENSIONS];
} FoundEntry;

/* ---- faults ---- */

MR_NORETURN static void lost(MrLshCheck *check, BlockNumber from, BlockNumber block);

/*
 * A link leads to a page of another birth.  The page meant was deleted and used
 * again, which our snapshot prevents, but for a standby.
 */
static void
lost(MrLshCheck *check, BlockNumber from, BlockNumber block)
{
	if (check->standby)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("index \"%s\" changed while it was checked", RelationGetRelationName(check->index)),
				 errhint("Try again.")));
	mr_lsh_corrupted(check->index, from, psprintf("a link leads to block %u, which has another birth", block));
}

/*
 * Notes that the walk has come to a block; nobody comes to one twice.  To be
 * called before the page is locked: a ring of links must not lock a page twice.
 */
static void
visit(MrLshCheck *check, BlockNumber from, BlockNumber block, uint32 birth)
{
	if (block >= check->room)
	{
		BlockNumber blocks = RelationGetNumberOfBlocks(check->index);

		if (block >= blocks)
			mr_lsh_corrupted(check->index, from, psprintf("a link leads to block %u, which does not exist", block));
		check->births = repalloc_huge(check->births, (Size) blocks * sizeof(uint32));
		memset(check->births + check->room, 0, (Size) (blocks - check->room) * sizeof(uint32));
		check->room = blocks;
	}
	if (block == MR_LSH_META_BLOCK || birth == 0)
		mr_lsh_corrupted(check->index, from, "a link leads nowhere");
	if (check->births[block] != 0 && (!check->standby || check->births[block] == birth))
		mr_lsh_corrupted(check->index, from,
						 psprintf("a link leads to block %u, where another one led already", block));
	check->births[block] = birth;
}

/* ---- what codes must fulfil ---- */

/* Code, scale and norm of a row or of an entry. */
static void
check_code(MrLshCheck *check, BlockNumber block, const int8 *code, float scale, float norm)
{
	int64		squares = 0;
	double		expected;

	for (int i = 0; i < check->lsh.layout.dim; i++)
	{
		if (code[i] == -128)
			mr_lsh_corrupted(check->index, block, "a code is out of range");
		squares += code[i] * code[i];
	}
	if (!(scale >= 0) || isinf(scale) || !(norm >= 0))
		mr_lsh_corrupted(check->index, block, "scale or norm of a code is no number");
	/* a wild vector has no code */
	if (isinf(norm) && scale == 0 && squares == 0)
		return;
	expected = (double) scale * scale * squares;
	if (!(fabs(norm - expected) <= FLOAT_SLACK * expected + FLT_MIN))
		mr_lsh_corrupted(check->index, block, "the norm of a code is wrong");
}

/* Distance of two coded vectors; infinite if one of them is wild. */
static double
code_distance(int dim, const int8 *a, float a_scale, float a_norm, const int8 *b, float b_scale, float b_norm)
{
	double		sum = 0;

	if (isinf(a_norm) || isinf(b_norm))
		return INFINITY;
	for (int i = 0; i < dim; i++)
	{
		double		difference = (double) a_scale * a[i] - (double) b_scale * b[i];

		sum += difference * difference;
	}
	return sqrt(sum);
}

/* The entries of a root or inner page. */
static void
check_entries(MrLshCheck *check, BlockNumber block, Page page)
{
	for (int i = 0; i < mr_lsh_opaque(page)->n; i++)
	{
		MrLshEntry	entry;

		mr_lsh_entry_get(&check->lsh.layout, page, i, &entry);
		check_code(check, block, entry.code, entry.scale, entry.norm);
		if (!(entry.link.radius >= 0))
			mr_lsh_corrupted(check->index, block, "a radius is no number");
		if (mr_key_length(entry.key) > MR_KEY_MAX_BITS)
			mr_lsh_corrupted(check->index, block, "the key of a bucket is too long");
	}
}

/* The rows of a leaf, and the radius that its entry claims. */
static void
check_leaf(MrLshCheck *check, BlockNumber block, Page page, const MrLshEntry *entry)
{
	const MrLshLayout *layout = &check->lsh.layout;
	const MrLshOpaque *opaque = mr_lsh_opaque(page);
	double		radius = entry->link.radius;
	MrCodeRows	rows;

	if (opaque->splits != entry->link.splits)
		mr_lsh_corrupted(check->index, block, "the page was split more or less often than its link says");
	/* rounding to codes costs half a unit per coordinate */
	if (opaque->error_ratio > 1 + 0.6 * sqrt(layout->dim))
		mr_lsh_corrupted(check->index, block, "the bound of coding errors is too large");
	mr_lsh_rows(layout, page, &rows);
	for (int i = 0; i < rows.n; i++)
	{
		const int8 *code = rows.codes + i * layout->dim;

		check_code(check, block, code, rows.scale[i], rows.norm[i]);
		if (!(code_distance(layout->dim, code, rows.scale[i], rows.norm[i], entry->code, entry->scale, entry->norm)
			  <= radius * (1 + FLOAT_SLACK) + FLT_MIN))
			mr_lsh_corrupted(check->index, block, "a row lies outside the radius of the page");
		mr_lsh_check_row(check, block, &mr_lsh_tids(layout, page)[i], code, rows.scale[i]);
	}
}

/* ---- the walk ---- */

/*
 * Finds the entry that links to a leaf now: in the inner page where it was, or
 * to the right of it if that was split since.  Returns the page, share-locked;
 * InvalidBuffer if there is no such entry any more.
 */
static Buffer
find_entry(MrLshCheck *check, BlockNumber group, uint32 group_birth, uint32 group_splits,
		   BlockNumber leaf, uint32 leaf_birth, FoundEntry *found)
{
	const MrLshLayout *layout = &check->lsh.layout;
	int			steps = 0;

	for (;;)
	{
		Buffer		buffer = mr_lsh_follow(check->index, layout, group, group_birth, BUFFER_LOCK_SHARE, MR_LSH_INNER);
		Page		page;
		const MrLshOpaque *opaque;
		int			i;

		if (!BufferIsValid(buffer))
			lost(check, leaf, group);
		page = BufferGetPage(buffer);
		opaque = mr_lsh_opaque(page);
		i = opaque->kind == MR_LSH_INNER ? mr_lsh_entry_find(layout, page, leaf, leaf_birth) : -1;
		if (i >= 0)
		{
			mr_lsh_entry_get(layout, page, i, &found->entry);
			memcpy(found->code, found->entry.code, layout->dim);
			found->entry.code = found->code;
			return buffer;
		}
		if (opaque->splits <= group_splits)
		{
			UnlockReleaseBuffer(buffer);
			return InvalidBuffer;
		}
		if (++steps > check->room)
			mr_lsh_corrupted(check->index, group, "links to the right form a ring");
		group = opaque->right;
		group_birth = opaque->right_birth;
		UnlockReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Copies a leaf, and the entry that links to it, as of one moment.  False if
 * there is no entry: the leaf has been deleted since, which it must say itself.
 */
static bool
copy_leaf(MrLshCheck *check, BlockNumber group, const MrLshOpaque *group_opaque,
		  BlockNumber block, uint32 birth, Page copy, FoundEntry *found)
{
	Buffer		inner;
	Buffer		leaf;

	/* reads it from disk, if need be, while nothing is locked */
	ReleaseBuffer(ReadBuffer(check->index, block));
	inner = find_entry(check, group, group_opaque->birth, group_opaque->splits, block, birth, found);
	leaf = mr_lsh_follow(check->index, &check->lsh.layout, block, birth, BUFFER_LOCK_SHARE, MR_LSH_LEAF);
	if (!BufferIsValid(leaf))
		lost(check, group, block);
	memcpy(copy, BufferGetPage(leaf), BLCKSZ);
	UnlockReleaseBuffer(leaf);
	if (BufferIsValid(inner))
		UnlockReleaseBuffer(inner);
	if (BufferIsValid(inner) != (mr_lsh_opaque(copy)->kind == MR_LSH_LEAF))
		mr_lsh_corrupted(check->index, block, BufferIsValid(inner) ? "a page that is linked to was deleted" :
						 "a page is not linked to any more, but was not deleted");
	return BufferIsValid(inner);
}

/* One leaf that an inner page links to, and what was split off it since the link was read. */
static void
check_link(MrLshCheck *check, BlockNumber group, const MrLshOpaque *group_opaque, const MrLshLink *link)
{
	PGAlignedBlock copy;
	FoundEntry	found;
	BlockNumber block = link->child;
	uint32		birth = link->birth;
	BlockNumber from = group;

	for (;;)
	{
		const MrLshOpaque *opaque;

		CHECK_FOR_INTERRUPTS();
		visit(check, from, block, birth);
		if (copy_leaf(check, group, group_opaque, block, birth, copy.data, &found))
			check_leaf(check, block, copy.data, &found.entry);
		opaque = mr_lsh_opaque(copy.data);
		if (opaque->splits < link->splits)
			mr_lsh_corrupted(check->index, block, "the page was split less often than its link says");
		if (opaque->splits == link->splits)
			break;
		from = block;
		block = opaque->right;
		birth = opaque->right_birth;
	}
}

/* One group that the root links to, and what was split off it since the root was read. */
static void
check_group(MrLshCheck *check, BlockNumber root, const MrLshLink *link)
{
	PGAlignedBlock copy;
	Page		page = copy.data;
	BlockNumber block = link->child;
	uint32		birth = link->birth;
	BlockNumber from = root;

	for (;;)
	{
		const MrLshOpaque *opaque;
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		visit(check, from, block, birth);
		buffer = mr_lsh_follow(check->index, &check->lsh.layout, block, birth, BUFFER_LOCK_SHARE, MR_LSH_INNER);
		if (!BufferIsValid(buffer))
			lost(check, from, block);
		memcpy(page, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);
		opaque = mr_lsh_opaque(page);
		/* deleted: VACUUM has taken the last leaf away since the root was read */
		if (opaque->kind == MR_LSH_INNER && opaque->n == 0)
			mr_lsh_corrupted(check->index, block, "a group has no leaves");
		if (opaque->splits < link->splits)
			mr_lsh_corrupted(check->index, block, "the page was split less often than its link says");

		if (opaque->kind == MR_LSH_INNER)
			check_entries(check, block, page);
		for (int i = 0; opaque->kind == MR_LSH_INNER && i < opaque->n; i++)
			check_link(check, block, opaque, &mr_lsh_links(&check->lsh.layout, page)[i]);
		if (opaque->splits == link->splits)
			break;
		from = block;
		block = opaque->right;
		birth = opaque->right_birth;
	}
}

/*
 * Copies of the root pages, one behind the other; on the primary as of one moment,
 * because page 1 stays locked meanwhile.
 */
static char *
walk_root(MrLshCheck *check, BlockNumber **blocks, int *n)
{
	Buffer		first;
	Buffer		buffer;
	char	   *copies = NULL;
	BlockNumber from = MR_LSH_ROOT_BLOCK;

	*n = 0;
	*blocks = NULL;
	visit(check, MR_LSH_META_BLOCK, MR_LSH_ROOT_BLOCK, 1);
	first = mr_lsh_read(check->index, &check->lsh.layout, MR_LSH_ROOT_BLOCK, BUFFER_LOCK_SHARE, MR_LSH_ROOT);
	buffer = first;
	for (;;)
	{
		MrLshOpaque *opaque;

		copies = copies ? repalloc_huge(copies, (Size) (*n + 1) * BLCKSZ) : palloc(BLCKSZ);
		*blocks = *blocks ? repalloc_huge(*blocks, (Size) (*n + 1) * sizeof(BlockNumber)) : palloc(sizeof(BlockNumber));
		memcpy(copies + (Size) *n * BLCKSZ, BufferGetPage(buffer), BLCKSZ);
		(*blocks)[*n] = from;
		opaque = mr_lsh_opaque(copies + (Size) *n * BLCKSZ);
		(*n)++;
		if (buffer != first || check->standby)
			UnlockReleaseBuffer(buffer);
		if (opaque->right == InvalidBlockNumber)
			break;
		visit(check, from, opaque->right, opaque->right_birth);
		buffer = mr_lsh_follow(check->index, &check->lsh.layout, opaque->right, opaque->right_birth,
							   BUFFER_LOCK_SHARE, MR_LSH_ROOT);
		if (!BufferIsValid(buffer))
			lost(check, from, opaque->right);
		from = opaque->right;
	}
	if (!check->standby)
		UnlockReleaseBuffer(first);
	return copies;
}

/* Are the root pages still as they were copied? */
static bool
root_unchanged(MrLshCheck *check, const char *copies, const BlockNumber *blocks, int n)
{
	for (int i = 0; i < n; i++)
	{
		Buffer		buffer = mr_lsh_read(check->index, &check->lsh.layout, blocks[i], BUFFER_LOCK_SHARE, MR_LSH_ROOT);
		XLogRecPtr	lsn = PageGetLSN(BufferGetPage(buffer));

		UnlockReleaseBuffer(buffer);
		if (lsn != PageGetLSN((Page) (copies + (Size) i * BLCKSZ)))
			return false;
	}
	return true;
}

/*
 * The root pages as of one moment: copies, one behind the other.  On a standby
 * they are read until none has changed; lsh_scan_probe.c says why.
 */
static char *
copy_root(MrLshCheck *check, BlockNumber **blocks, int *n)
{
	char	   *copies = walk_root(check, blocks, n);

	while (check->standby && *n > 1 && !root_unchanged(check, copies, *blocks, *n))
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < *n; i++)
			check->births[(*blocks)[i]] = 0;
		pfree(copies);
		pfree(*blocks);
		copies = walk_root(check, blocks, n);
	}
	return copies;
}

/* Root, inner pages, leaves. */
static void
check_tree(MrLshCheck *check)
{
	BlockNumber *blocks;
	int			n;
	char	   *copies = copy_root(check, &blocks, &n);

	for (int page_number = 0; page_number < n; page_number++)
	{
		Page		page = copies + (Size) page_number * BLCKSZ;

		if (mr_lsh_opaque(page)->kind != MR_LSH_ROOT)
			mr_lsh_corrupted(check->index, blocks[page_number], "a root page was deleted");
		check_entries(check, blocks[page_number], page);
		for (int i = 0; i < mr_lsh_opaque(page)->n; i++)
			check_group(check, blocks[page_number], &mr_lsh_links(&check->lsh.layout, page)[i]);
	}
	pfree(blocks);
	pfree(copies);
}

/* The chain of rows without an embedding. */
static void
check_nulls(MrLshCheck *check)
{
	PGAlignedBlock copy;
	MrLshLayout none = {0};
	Buffer		buffer = mr_lsh_read(check->index, &none, MR_LSH_META_BLOCK, BUFFER_LOCK_SHARE, MR_LSH_META);
	const MrLshMeta *meta = mr_lsh_meta(BufferGetPage(buffer));
	BlockNumber block = meta->null_head;
	uint32		birth = meta->null_birth;
	BlockNumber from = MR_LSH_META_BLOCK;

	UnlockReleaseBuffer(buffer);
	while (block != InvalidBlockNumber)
	{
		const MrLshOpaque *opaque;

		CHECK_FOR_INTERRUPTS();
		visit(check, from, block, birth);
		buffer = mr_lsh_follow(check->index, &check->lsh.layout, block, birth, BUFFER_LOCK_SHARE, MR_LSH_NULLS);
		if (!BufferIsValid(buffer))
			lost(check, from, block);
		memcpy(copy.data, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);
		opaque = mr_lsh_opaque(copy.data);
		for (int i = 0; i < opaque->n; i++)
			mr_lsh_check_row(check, block, &mr_lsh_null_tids(copy.data)[i], NULL, 0);
		from = block;
		block = opaque->right;
		birth = opaque->right_birth;
	}
}

/*
 * The blocks that the walk did not come by.  They are new or deleted; or they
 * were linked to after we had read the place of the link, and then they changed
 * after the check began.
 */
static void
check_others(MrLshCheck *check)
{
	for (BlockNumber block = MR_LSH_ROOT_BLOCK; block < check->room && check->lsh.hash.dim != 0; block++)
	{
		Buffer		buffer;
		Page		page;
		const char *fault = NULL;

		if (check->births[block] != 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		buffer = ReadBuffer(check->index, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		if (!PageIsNew(page))
		{
			fault = mr_lsh_page_fault(&check->lsh.layout, page, MR_LSH_INNER | MR_LSH_LEAF | MR_LSH_NULLS |
									  MR_LSH_ROOT | MR_LSH_DELETED);
			if (fault == NULL && mr_lsh_opaque(page)->kind != MR_LSH_DELETED &&
				RelationNeedsWAL(check->index) && PageGetLSN(page) <= check->start)
				fault = "nothing links to the page";
		}
		UnlockReleaseBuffer(buffer);
		if (fault != NULL)
			mr_lsh_corrupted(check->index, block, fault);
	}
}

/* ---- entry ---- */

/*
 * Loads what the meta page says.  An index without dimensions has no rows yet;
 * then the root page, if it has entries, got them after the meta page was read.
 */
static void
load(MrLshCheck *check)
{
	Buffer		buffer;
	bool		empty;

	mr_lsh_load(check->index, &check->lsh);
	if (check->lsh.hash.dim != 0)
		return;
	buffer = ReadBuffer(check->index, MR_LSH_ROOT_BLOCK);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	empty = mr_lsh_page_fault(&check->lsh.layout, BufferGetPage(buffer), MR_LSH_ROOT) == NULL;
	UnlockReleaseBuffer(buffer);
	if (!empty)
		mr_lsh_load(check->index, &check->lsh);
}

/*
 * lsh_check(index regclass, heapallindexed boolean) returns void
 */
Datum
mr_lsh_check(PG_FUNCTION_ARGS)
{
	bool		with_heap = PG_GETARG_BOOL(1);
	MrLshUse	use;
	MrLshCheck	check = {0};
	Snapshot	snapshot;

	mr_lsh_use(&use, PG_GETARG_OID(0), MR_LSH_OWNS);
	check.heap = use.heap;
	check.index = use.index;
	check.standby = TransactionStartedDuringRecovery();
	check.start = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) : GetXLogInsertRecPtr();
	check.room = RelationGetNumberOfBlocks(use.index);
	check.births = MemoryContextAllocHuge(CurrentMemoryContext, (Size) Max(check.room, 1) * sizeof(uint32));
	memset(check.births, 0, (Size) check.room * sizeof(uint32));

	/* before the walk, so that every row it sees is in the index by then */
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	load(&check);
	mr_lsh_check_begin_rows(&check, with_heap);
	check_tree(&check);
	check_nulls(&check);
	check_others(&check);
	mr_lsh_check_end_rows(&check, with_heap ? snapshot : InvalidSnapshot);

	UnregisterSnapshot(snapshot);
	pfree(check.births);
	mr_lsh_end_use(&use);
	PG_RETURN_VOID();
}
