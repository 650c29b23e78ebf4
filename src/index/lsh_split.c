/*
 * lsh_split.c
 *		A full leaf becomes two, a full inner page becomes two.
 *
 * A split is one WAL record: the page that is split, the new page, and the page
 * (or two) with their entries.  So after a crash either both halves are there,
 * and linked to, or neither.  What may be left behind is an empty root page that
 * was added by a record of its own before (it is used next time), and a block
 * that was allocated just before the crash (it is new, and the next vacuum finds
 * it).
 *
 * Rows are moved as codes, the heap is not read.  The smaller half moves, and
 * the rows that stay are moved as little as possible: WAL is the difference.
 *
 * Scans go on meanwhile; lsh_page.h says how they find the rows that moved.
 */
#include "postgres.h"

#include <math.h>

#include "access/generic_xlog.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"

#include "index/lsh.h"
#include "index/lsh_directory.h"

/* Both halves of a page, decided but not yet done. */
typedef struct Halves
{
	void	   *scratch;
	uint8	   *side;			/* [n] */
	MrNewBucket parts[2];
	int			stays;			/* the side that keeps the page */
} Halves;

/* ---- the two halves ---- */

/* Takes the memory for parting `capacity` rows, before anything is locked. */
static void
init_halves(const MrLshIndex *lsh, int capacity, Halves *halves)
{
	halves->scratch = palloc(mr_hash_split_scratch(&lsh->hash, capacity));
	halves->side = palloc(capacity);
	for (int i = 0; i < 2; i++)
		halves->parts[i].code = palloc(lsh->hash.dim);
}

static void
free_halves(Halves *halves)
{
	pfree(halves->scratch);
	pfree(halves->side);
	for (int i = 0; i < 2; i++)
		pfree(halves->parts[i].code);
}

/* Decides which rows, or entries, go where. */
static void
part(Relation index, const MrLshIndex *lsh, BlockNumber block, const MrBuckets *rows, MrBucketKey key,
	 Halves *halves)
{
	int			n[2] = {0, 0};

	mr_hash_split(&lsh->hash, rows, key, halves->side, halves->parts, halves->scratch);
	for (int i = 0; i < rows->centres.n; i++)
		n[halves->side[i]]++;
	/* a page without rows would never be full, nor would the full one get room */
	if (n[0] == 0 || n[1] == 0)
		elog(ERROR, "block %u of index \"%s\" was split into %d and %d rows",
			 block, RelationGetRelationName(index), n[0], n[1]);
	halves->stays = n[0] >= n[1] ? 0 : 1;
}

/* The entry of one half. */
static void
half_entry(const MrNewBucket *half, const MrLshLink *link, MrLshEntry *entry)
{
	entry->code = half->code;
	entry->scale = half->scale;
	entry->norm = half->norm;
	entry->key = half->key;
	entry->link = *link;
}

/*
 * Begins the new page: whoever comes along an old link to the page at its left
 * goes on from here to where that page led before.
 */
static void
init_new_page(const MrLshLayout *layout, Page page, uint32 birth, const MrLshOpaque *old)
{
	MrLshOpaque *opaque;

	mr_lsh_page_init(layout, page, old->kind, birth);
	opaque = mr_lsh_opaque(page);
	opaque->splits = old->splits;
	opaque->right = old->right;
	opaque->right_birth = old->right_birth;
	opaque->error_ratio = old->error_ratio;
}

/* The old page is split once more, and leads to the new one. */
static void
link_new_page(Page page, BlockNumber block, uint32 birth)
{
	MrLshOpaque *opaque = mr_lsh_opaque(page);

	opaque->splits++;
	opaque->right = block;
	opaque->right_birth = birth;
}

/* ---- leaf ---- */

/* Not below the distance of any row of the page to the centre of its half. */
static float
radius_of(const MrLshIndex *lsh, Page page, const MrNewBucket *half)
{
	int			dim = lsh->hash.dim;
	MrCodeQuery centre = {.dim = dim};
	MrCodeRows	rows;
	float	   *squared;
	double		radius = 0;
	float		rounded;

	mr_lsh_rows(&lsh->layout, page, &rows);
	centre.q = palloc(mr_code_padded(dim) * sizeof(int16));
	squared = palloc(rows.n * sizeof(float));
	mr_code_query_from_code(&centre, half->code, half->scale, half->norm);
	mr_code_squared_distances(&centre, &rows, squared);
	for (int i = 0; i < rows.n; i++)
	{
		double		distance = mr_code_distance_high(squared[i], centre.norm + rows.norm[i]);

		/* error_ratio was rounded; a row that is coded as zero may be off by less than 1e-18 */
		distance += mr_lsh_opaque(page)->error_ratio * (1 + 1e-6) * rows.scale[i] + 1e-18;
		radius = Max(radius, distance);
	}
	pfree(squared);
	pfree(centre.q);

	rounded = (float) radius;
	return rounded >= radius ? rounded : nextafterf(rounded, INFINITY);
}

/* Moves the rows of the other side from the old page to the new one. */
static void
move_rows(const MrLshLayout *layout, const Halves *halves, Page old, Page new)
{
	const int8 *codes = mr_lsh_leaf_codes(layout, old);

	/* from the end, so that only rows that stay are moved into the gaps */
	for (int i = mr_lsh_opaque(old)->n - 1; i >= 0; i--)
	{
		MrLshRow	row;

		if (halves->side[i] == halves->stays)
			continue;
		row.tid = mr_lsh_tids(layout, old)[i];
		row.scale = mr_lsh_scales(old)[i];
		row.norm = mr_lsh_norms(old, layout->leaf_capacity)[i];
		row.error = 0;			/* what the page says of its rows was inherited */
		row.code = codes + i * layout->dim;
		mr_lsh_row_append(layout, new, &row);
		mr_lsh_row_remove(layout, old, i);
	}
}

/*
 * Splits the leaf; inner has its entry, and room for another.  All three pages
 * are locked.
 */
static void
split_locked_leaf(Relation index, const MrLshIndex *lsh, Halves *halves, Buffer inner, int entry,
				  Buffer leaf, Buffer new, uint32 new_birth)
{
	const MrLshLayout *layout = &lsh->layout;
	Page		leaf_page = BufferGetPage(leaf);
	GenericXLogState *state;
	Page		pages[3];
	MrBuckets	rows = {.keys = NULL};
	MrLshEntry	entries[2];
	MrLshLink	link;

	mr_lsh_rows(layout, leaf_page, &rows.centres);
	mr_lsh_entry_get(layout, BufferGetPage(inner), entry, &entries[0]);
	link = entries[0].link;
	part(index, lsh, link.child, &rows, entries[0].key, halves);

	state = GenericXLogStart(index);
	pages[0] = GenericXLogRegisterBuffer(state, inner, 0);
	pages[1] = GenericXLogRegisterBuffer(state, leaf, 0);
	pages[2] = GenericXLogRegisterBuffer(state, new, GENERIC_XLOG_FULL_IMAGE);
	init_new_page(layout, pages[2], new_birth, mr_lsh_opaque(leaf_page));
	move_rows(layout, halves, pages[1], pages[2]);
	link_new_page(pages[1], BufferGetBlockNumber(new), new_birth);

	half_entry(&halves->parts[halves->stays], &link, &entries[0]);
	entries[0].link.splits++;
	entries[0].link.radius = radius_of(lsh, pages[1], &halves->parts[halves->stays]);
	half_entry(&halves->parts[!halves->stays], &link, &entries[1]);
	entries[1].link.child = BufferGetBlockNumber(new);
	entries[1].link.birth = new_birth;
	entries[1].link.radius = radius_of(lsh, pages[2], &halves->parts[!halves->stays]);
	mr_lsh_entry_set(layout, pages[0], entry, &entries[0]);
	mr_lsh_entry_append(layout, pages[0], &entries[1]);
	GenericXLogFinish(state);
}

/*
 * Splits a leaf that was found full.  If its inner page is full as well, that
 * one is split, and the caller, who descends again, comes back for the leaf.
 */
void
mr_lsh_split_leaf(Relation index, const MrLshIndex *lsh, BlockNumber group, uint32 group_birth,
				  BlockNumber leaf, uint32 leaf_birth)
{
	const MrLshLayout *layout = &lsh->layout;
	Halves		halves;
	Buffer		inner;
	Buffer		buffer;
	const MrLshOpaque *opaque;
	int			entry;

	init_halves(lsh, layout->leaf_capacity, &halves);
	inner = mr_lsh_lock_entry(index, lsh, group, group_birth, leaf, leaf_birth, BUFFER_LOCK_EXCLUSIVE, &entry);
	if (!BufferIsValid(inner))
	{
		free_halves(&halves);
		return;
	}
	opaque = mr_lsh_opaque(BufferGetPage(inner));
	if (opaque->n >= layout->entry_capacity)
	{
		group = BufferGetBlockNumber(inner);
		group_birth = opaque->birth;
		UnlockReleaseBuffer(inner);
		free_halves(&halves);
		mr_lsh_split_group(index, lsh, group, group_birth);
		return;
	}

	buffer = mr_lsh_follow(index, layout, leaf, leaf_birth, BUFFER_LOCK_EXCLUSIVE, MR_LSH_LEAF);
	if (!BufferIsValid(buffer))
		mr_lsh_corrupted(index, BufferGetBlockNumber(inner), "link leads to a page that was deleted");
	opaque = mr_lsh_opaque(BufferGetPage(buffer));
	if (opaque->kind != MR_LSH_LEAF || opaque->splits != mr_lsh_links(layout, BufferGetPage(inner))[entry].splits)
		mr_lsh_corrupted(index, leaf, "page is not what the link to it says");
	if (opaque->n >= layout->leaf_capacity)
	{
		uint32		new_birth;
		Buffer		new = mr_lsh_allocate(index, &new_birth);

		split_locked_leaf(index, lsh, &halves, inner, entry, buffer, new, new_birth);
		UnlockReleaseBuffer(new);
	}
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(inner);
	free_halves(&halves);
}

/* ---- group ---- */

/*
 * Adds an empty root page at the end of the chain, by a record of its own: the
 * record of the split has no room for it.  Returns the page, locked.
 */
static Buffer
add_root_page(Relation index, const MrLshLayout *layout, Buffer last)
{
	uint32		birth;
	Buffer		buffer = mr_lsh_allocate(index, &birth);
	GenericXLogState *state = GenericXLogStart(index);
	Page		last_page = GenericXLogRegisterBuffer(state, last, 0);
	Page		page = GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE);

	mr_lsh_page_init(layout, page, MR_LSH_ROOT, birth);
	mr_lsh_opaque(last_page)->right = BufferGetBlockNumber(buffer);
	mr_lsh_opaque(last_page)->right_birth = birth;
	GenericXLogFinish(state);
	return buffer;
}

/* One of the two root pages that are locked already, or another one. */
static Buffer
lock_root_page(Relation index, const MrLshLayout *layout, BlockNumber block, Buffer first, Buffer second)
{
	if (block == BufferGetBlockNumber(first))
		return first;
	if (block == BufferGetBlockNumber(second))
		return second;
	return mr_lsh_read(index, layout, block, BUFFER_LOCK_EXCLUSIVE, MR_LSH_ROOT);
}

/*
 * A root page with room for another entry, locked; root page 1 (`first`) and the
 * one with the old entry are locked already.  The search begins at root page 1,
 * or, if the halves have equal centres, at the old entry's page: of equally near
 * groups the later one must be the newer, else the full one gets the next rows.
 *
 * Nobody else locks root pages while the first one is locked exclusively, so
 * that they can be locked one by one, and after an inner page.
 */
static Buffer
root_page_with_room(Relation index, const MrLshLayout *layout, Buffer first, Buffer holder, bool later)
{
	Buffer		buffer = later ? holder : first;

	for (uint32 steps = 0;; steps++)
	{
		const MrLshOpaque *opaque = mr_lsh_opaque(BufferGetPage(buffer));
		BlockNumber right = opaque->right;
		Buffer		next;

		if (opaque->n < layout->entry_capacity)
			return buffer;
		mr_lsh_check_walk(index, right, steps);
		if (right == InvalidBlockNumber)
			next = add_root_page(index, layout, buffer);
		else
			next = lock_root_page(index, layout, right, first, holder);
		if (buffer != first && buffer != holder)
			UnlockReleaseBuffer(buffer);
		buffer = next;
	}
}

/* Moves the entries of the other side from the old page to the new one, in order. */
static void
move_entries(const MrLshLayout *layout, const Halves *halves, Page old, Page new)
{
	int			n = mr_lsh_opaque(old)->n;

	for (int i = 0; i < n; i++)
	{
		MrLshEntry	entry;

		if (halves->side[i] == halves->stays)
			continue;
		mr_lsh_entry_get(layout, old, i, &entry);
		mr_lsh_entry_append(layout, new, &entry);
	}
	for (int i = n - 1; i >= 0; i--)
		if (halves->side[i] != halves->stays)
			mr_lsh_entry_remove(layout, old, i);
}

/*
 * Splits the inner page; first and holder (its entry's page, perhaps the same)
 * are root pages, all locked.
 */
static void
split_locked_group(Relation index, const MrLshIndex *lsh, Halves *halves, Buffer first, Buffer holder, int entry,
				   Buffer inner)
{
	const MrLshLayout *layout = &lsh->layout;
	const MrNewBucket *stays;
	const MrNewBucket *moves;
	GenericXLogState *state;
	Buffer		room;
	Buffer		new;
	uint32		new_birth;
	Page		holder_page;
	Page		room_page;
	Page		pages[2];
	MrBuckets	buckets;
	MrLshEntry	entries[2];
	MrLshLink	link;

	mr_lsh_buckets(layout, BufferGetPage(inner), &buckets);
	mr_lsh_entry_get(layout, BufferGetPage(holder), entry, &entries[0]);
	link = entries[0].link;
	part(index, lsh, link.child, &buckets, entries[0].key, halves);
	stays = &halves->parts[halves->stays];
	moves = &halves->parts[!halves->stays];
	room = root_page_with_room(index, layout, first, holder,
							   stays->scale == moves->scale &&
							   memcmp(stays->code, moves->code, layout->dim) == 0);
	new = mr_lsh_allocate(index, &new_birth);

	state = GenericXLogStart(index);
	holder_page = GenericXLogRegisterBuffer(state, holder, 0);
	room_page = room == holder ? holder_page : GenericXLogRegisterBuffer(state, room, 0);
	pages[0] = GenericXLogRegisterBuffer(state, inner, 0);
	pages[1] = GenericXLogRegisterBuffer(state, new, GENERIC_XLOG_FULL_IMAGE);
	init_new_page(layout, pages[1], new_birth, mr_lsh_opaque(pages[0]));
	move_entries(layout, halves, pages[0], pages[1]);
	link_new_page(pages[0], BufferGetBlockNumber(new), new_birth);

	half_entry(stays, &link, &entries[0]);
	entries[0].link.splits++;
	half_entry(moves, &link, &entries[1]);
	entries[1].link.child = BufferGetBlockNumber(new);
	entries[1].link.birth = new_birth;
	mr_lsh_entry_set(layout, holder_page, entry, &entries[0]);
	mr_lsh_entry_append(layout, room_page, &entries[1]);
	GenericXLogFinish(state);

	UnlockReleaseBuffer(new);
	if (room != first && room != holder)
		UnlockReleaseBuffer(room);
}

/*
 * Splits an inner page that was found full.  Root page 1 is locked all the
 * while, so that nobody reads a root that has one half of the change.
 */
void
mr_lsh_split_group(Relation index, const MrLshIndex *lsh, BlockNumber group, uint32 group_birth)
{
	const MrLshLayout *layout = &lsh->layout;
	Halves		halves;
	Buffer		first;
	Buffer		holder;
	Buffer		inner;
	const MrLshOpaque *opaque;
	int			entry;

	init_halves(lsh, layout->entry_capacity, &halves);
	first = mr_lsh_read(index, layout, MR_LSH_ROOT_BLOCK, BUFFER_LOCK_EXCLUSIVE, MR_LSH_ROOT);
	holder = mr_lsh_lock_group_entry(index, lsh, first, group, group_birth, &entry);
	inner = mr_lsh_follow(index, layout, group, group_birth, BUFFER_LOCK_EXCLUSIVE, MR_LSH_INNER);
	/* groups come and go only under the lock that we hold: root and page agree */
	if (BufferIsValid(inner))
	{
		opaque = mr_lsh_opaque(BufferGetPage(inner));
		if (opaque->kind == MR_LSH_INNER &&
			(!BufferIsValid(holder) ||
			 opaque->splits != mr_lsh_links(layout, BufferGetPage(holder))[entry].splits))
			mr_lsh_corrupted(index, group, "page is not what the link to it says");
		if (opaque->kind == MR_LSH_INNER && opaque->n >= layout->entry_capacity)
			split_locked_group(index, lsh, &halves, first, holder, entry, inner);
		UnlockReleaseBuffer(inner);
	}
	if (BufferIsValid(holder) && holder != first)
		UnlockReleaseBuffer(holder);
	UnlockReleaseBuffer(first);
	free_halves(&halves);
}
