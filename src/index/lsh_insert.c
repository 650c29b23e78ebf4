/*
 * lsh_insert.c
 *		INSERT: one row into the index.
 *
 * Each step is one WAL record, and after each the index is whole:
 *
 *		first row		meta page (dimensions), root, inner page and leaf in one record
 *		radius			the link's radius is raised so that it reaches the row; if the
 *						server crashes before the row is there, it is larger than it
 *						need be, which costs a little time in exact scans
 *		row				appended to its leaf
 *		full leaf		split (lsh_split.c), then the row looks for its place again
 *		NULL			appended to the newest page of the chain; or a new page becomes
 *						the newest, together with the meta page that says so
 *
 * No lock is kept from one step to the next: each checks that nothing has
 * changed since (births, splits), and else begins again.  A change means that
 * somebody else got on, so that this ends.
 */
#include "postgres.h"

#include <math.h>

#include "access/generic_xlog.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "index/lsh.h"
#include "index/lsh_directory.h"

/* How much larger than needed a radius becomes, so that few rows raise it. */
#define RADIUS_SLACK 1.05f

/* After so many attempts the index is suspected of being damaged. */
#define PATIENCE 16

/* What the rows of one statement share; kept in IndexInfo. */
typedef struct Writer
{
	MemoryContext context;		/* of the writer itself */
	MemoryContext row;			/* reset after each row */
	MrLshIndex	lsh;			/* dimensions 0: the index had no row yet */
	MrHashQuery query;
	float	   *scratch;
	int8	   *code;
} Writer;

typedef enum Outcome
{
	DONE,
	MOVED,						/* the place is out of date */
	FULL
} Outcome;

/* ---- writer ---- */

/* Reads the meta page, and makes room for a row once its dimensions are known. */
static void
load_writer(Relation index, Writer *writer)
{
	MemoryContext before = MemoryContextSwitchTo(writer->context);
	int			dim;

	mr_lsh_load(index, &writer->lsh);
	dim = writer->lsh.hash.dim;
	if (dim > 0)
	{
		mr_hash_query_init(&writer->query, dim, palloc(mr_hash_query_size(dim)));
		writer->scratch = palloc(mr_lsh_place_scratch(&writer->lsh.layout));
		writer->code = palloc(dim);
	}
	MemoryContextSwitchTo(before);
}

/* The statement's writer, made for its first row. */
static Writer *
get_writer(Relation index, IndexInfo *info)
{
	Writer	   *writer = info ? info->ii_AmCache : NULL;

	if (writer == NULL)
	{
		MemoryContext context = AllocSetContextCreate(info ? info->ii_Context : CurrentMemoryContext,
													  "metricrec index insert", ALLOCSET_SMALL_SIZES);

		writer = MemoryContextAllocZero(context, sizeof(Writer));
		writer->context = context;
		writer->row = AllocSetContextCreate(context, "metricrec index row", ALLOCSET_DEFAULT_SIZES);
		load_writer(index, writer);
		if (info)
			info->ii_AmCache = writer;
	}
	return writer;
}

/*
 * Codes a row, in the writer's memory.  The row is looked up by its code, not by
 * its vector: that is what a split will see of it.
 */
static void
encode_row(Writer *writer, const float *x, ItemPointer tid, MrLshRow *row)
{
	row->tid = *tid;
	row->error = mr_code_encode(x, writer->lsh.hash.dim, writer->code, &row->scale, &row->norm);
	row->code = writer->code;
}

/* How far the row may be from the centre of its place. */
static float
row_reach(const MrLshPlace *place, const MrLshRow *row)
{
	/* the factor outweighs the roundings of the sum */
	return (float) (((double) place->reach + row->error) * (1 + 1e-6));
}

/* ---- first row ---- */

/* The row's leaf, group and root entry, in pages made by a record that is being built. */
static void
fill_first_pages(const MrLshIndex *lsh, const MrLshRow *row, Page root, const Buffer buffers[2],
				 const uint32 births[2], const Page pages[2])
{
	MrLshEntry	entry = {0};

	/* a row that is too long for a code makes no good centre: then it is zero */
	entry.code = row->code;
	entry.scale = row->scale;
	entry.norm = isinf(row->norm) ? 0 : row->norm;
	entry.key = mr_key_make(0, 0);

	mr_lsh_page_init(&lsh->layout, pages[1], MR_LSH_LEAF, births[1]);
	mr_lsh_row_append(&lsh->layout, pages[1], row);

	entry.link.child = BufferGetBlockNumber(buffers[1]);
	entry.link.birth = births[1];
	entry.link.radius = row->error * RADIUS_SLACK;
	mr_lsh_page_init(&lsh->layout, pages[0], MR_LSH_INNER, births[0]);
	mr_lsh_entry_append(&lsh->layout, pages[0], &entry);

	entry.link.child = BufferGetBlockNumber(buffers[0]);
	entry.link.birth = births[0];
	entry.link.radius = 0;
	mr_lsh_entry_append(&lsh->layout, root, &entry);
}

/*
 * Makes the first group with the first row in it.  False if there is a group
 * already, or the index has got other dimensions by now; then nothing is done.
 */
static bool
insert_first(Relation index, Writer *writer, const float *x, int dim, ItemPointer tid)
{
	Buffer		root = ReadBuffer(index, MR_LSH_ROOT_BLOCK);
	Buffer		meta;
	Buffer		buffers[2];
	uint32		births[2];
	Page		pages[2];
	Page		root_page;
	const char *fault;
	GenericXLogState *state;
	MrLshRow	row;

	/*
	 * The page can be checked only with the dimensions, and these are fixed only
	 * while it is locked.
	 */
	LockBuffer(root, BUFFER_LOCK_EXCLUSIVE);
	load_writer(index, writer);
	fault = mr_lsh_page_fault(&writer->lsh.layout, BufferGetPage(root), MR_LSH_ROOT);
	if (fault)
		mr_lsh_corrupted(index, MR_LSH_ROOT_BLOCK, fault);
	if (mr_lsh_opaque(BufferGetPage(root))->n > 0 || (writer->lsh.hash.dim != 0 && writer->lsh.hash.dim != dim))
	{
		UnlockReleaseBuffer(root);
		return false;
	}
	mr_lsh_layout(&writer->lsh.layout, writer->lsh.hash.family, dim);
	writer->lsh.hash.dim = dim;
	if (writer->code == NULL)
		writer->code = MemoryContextAlloc(writer->context, dim);
	encode_row(writer, x, tid, &row);

	buffers[0] = mr_lsh_allocate(index, &births[0]);
	buffers[1] = mr_lsh_allocate(index, &births[1]);
	meta = ReadBuffer(index, MR_LSH_META_BLOCK);
	LockBuffer(meta, BUFFER_LOCK_EXCLUSIVE);

	state = GenericXLogStart(index);
	mr_lsh_meta(GenericXLogRegisterBuffer(state, meta, 0))->dim = dim;
	root_page = GenericXLogRegisterBuffer(state, root, 0);
	pages[0] = GenericXLogRegisterBuffer(state, buffers[0], GENERIC_XLOG_FULL_IMAGE);
	pages[1] = GenericXLogRegisterBuffer(state, buffers[1], GENERIC_XLOG_FULL_IMAGE);
	fill_first_pages(&writer->lsh, &row, root_page, buffers, births, pages);
	GenericXLogFinish(state);

	UnlockReleaseBuffer(meta);
	UnlockReleaseBuffer(buffers[1]);
	UnlockReleaseBuffer(buffers[0]);
	UnlockReleaseBuffer(root);
	return true;
}

/* ---- a row ---- */

/*
 * Raises the radius of the link to what the row needs, if it is not that large
 * already.  False if the place is out of date.
 */
static bool
raise_radius(Relation index, const MrLshIndex *lsh, const MrLshPlace *place)
{
	int			entry;
	Buffer		buffer = mr_lsh_lock_entry(index, lsh, place->group, place->group_birth,
										   place->link.child, place->link.birth,
										   BUFFER_LOCK_EXCLUSIVE, &entry);
	MrLshLink	link;

	if (!BufferIsValid(buffer))
		return false;
	link = mr_lsh_links(&lsh->layout, BufferGetPage(buffer))[entry];
	/* another number of splits: another centre */
	if (link.splits == place->link.splits && !(place->reach <= link.radius))
	{
		GenericXLogState *state = GenericXLogStart(index);
		Page		page = GenericXLogRegisterBuffer(state, buffer, 0);

		mr_lsh_links(&lsh->layout, page)[entry].radius = place->reach * RADIUS_SLACK;
		GenericXLogFinish(state);
	}
	UnlockReleaseBuffer(buffer);
	return link.splits == place->link.splits;
}

/* Appends the row to the leaf of the link, unless that has changed or is full. */
static Outcome
append_row(Relation index, const MrLshIndex *lsh, const MrLshLink *link, const MrLshRow *row)
{
	Buffer		buffer = mr_lsh_follow(index, &lsh->layout, link->child, link->birth,
									   BUFFER_LOCK_EXCLUSIVE, MR_LSH_LEAF);
	const MrLshOpaque *opaque;
	Outcome		outcome = DONE;

	if (!BufferIsValid(buffer))
		return MOVED;
	opaque = mr_lsh_opaque(BufferGetPage(buffer));
	if (opaque->kind != MR_LSH_LEAF || opaque->splits != link->splits)
		outcome = MOVED;
	else if (opaque->n >= lsh->layout.leaf_capacity)
		outcome = FULL;
	else
	{
		GenericXLogState *state = GenericXLogStart(index);

		mr_lsh_row_append(&lsh->layout, GenericXLogRegisterBuffer(state, buffer, 0), row);
		GenericXLogFinish(state);
	}
	UnlockReleaseBuffer(buffer);
	return outcome;
}

/* Finds the row's leaf and appends it there. */
static void
insert_row(Relation index, Writer *writer, Datum value, ItemPointer tid)
{
	const MrLshIndex *lsh = &writer->lsh;
	const float *x;
	int			dim;
	MrLshRow	row;

	x = mr_lsh_value(value, false, lsh->hash.dim, &dim);
	if (lsh->hash.dim == 0)
	{
		if (insert_first(index, writer, x, dim, tid))
		{
			load_writer(index, writer);
			return;
		}
		x = mr_lsh_value(value, false, lsh->hash.dim, &dim);
	}
	encode_row(writer, x, tid, &row);
	mr_hash_query_from_code(&lsh->hash, &writer->query, row.code, row.scale, row.norm);

	for (int attempt = 0;; attempt++)
	{
		MrLshPlace	place;
		Outcome		outcome;

		CHECK_FOR_INTERRUPTS();
		if (!mr_lsh_find_place(index, lsh, &writer->query, writer->scratch, &place))
		{
			/* dimensions can be known, by the column's type, before there is a row */
			if (insert_first(index, writer, x, dim, tid))
				return;
			if (attempt > PATIENCE)
				mr_lsh_corrupted(index, MR_LSH_ROOT_BLOCK, "no leaf can be reached from here");
			encode_row(writer, x, tid, &row);
			mr_hash_query_from_code(&lsh->hash, &writer->query, row.code, row.scale, row.norm);
			continue;
		}
		place.reach = row_reach(&place, &row);
		outcome = MOVED;
		if (place.reach <= place.link.radius || raise_radius(index, lsh, &place))
			outcome = append_row(index, lsh, &place.link, &row);
		if (outcome == DONE)
			return;
		if (outcome == FULL)
			mr_lsh_split_leaf(index, lsh, place.group, place.group_birth, place.link.child, place.link.birth);
		else if (attempt > PATIENCE)
			mr_lsh_verify_place(index, lsh, &place);
	}
}

/* ---- NULL ---- */

/* Appends to the newest page of the chain.  False if it is full, or there is none. */
static bool
append_null(Relation index, const MrLshLayout *layout, BlockNumber head, uint32 birth, ItemPointer tid)
{
	bool		done = false;
	Buffer		buffer;
	const MrLshOpaque *opaque;

	if (head == InvalidBlockNumber)
		return false;
	buffer = mr_lsh_follow(index, layout, head, birth, BUFFER_LOCK_EXCLUSIVE, MR_LSH_NULLS);
	if (!BufferIsValid(buffer))
		return false;
	opaque = mr_lsh_opaque(BufferGetPage(buffer));
	if (opaque->kind == MR_LSH_NULLS && opaque->n < layout->null_capacity)
	{
		GenericXLogState *state = GenericXLogStart(index);

		mr_lsh_null_append(GenericXLogRegisterBuffer(state, buffer, 0), tid);
		GenericXLogFinish(state);
		done = true;
	}
	UnlockReleaseBuffer(buffer);
	return done;
}

/* Reads where the chain of NULLs begins; keeps the meta page locked. */
static Buffer
null_head(Relation index, int lockmode, BlockNumber *head, uint32 *birth)
{
	MrLshLayout none = {0};
	Buffer		buffer = mr_lsh_read(index, &none, MR_LSH_META_BLOCK, lockmode, MR_LSH_META);
	const MrLshMeta *meta = mr_lsh_meta(BufferGetPage(buffer));

	*head = meta->null_head;
	*birth = meta->null_birth;
	if (*head == MR_LSH_META_BLOCK)
		mr_lsh_corrupted(index, *head, "the page of NULLs cannot be here");
	return buffer;
}

/*
 * A row whose embedding is NULL.  A new page is locked after the meta page, the
 * other way round than others are; nobody else knows of it yet.
 */
static void
insert_null(Relation index, const MrLshLayout *layout, ItemPointer tid)
{
	MrLshLayout none = {0};
	BlockNumber head;
	uint32		birth;
	Buffer		meta = null_head(index, BUFFER_LOCK_SHARE, &head, &birth);

	UnlockReleaseBuffer(meta);
	if (append_null(index, layout, head, birth, tid))
		return;

	meta = null_head(index, BUFFER_LOCK_EXCLUSIVE, &head, &birth);
	if (!append_null(index, layout, head, birth, tid))
	{
		uint32		new_birth;
		Buffer		buffer = mr_lsh_allocate(index, &new_birth);
		GenericXLogState *state = GenericXLogStart(index);
		MrLshMeta  *changed = mr_lsh_meta(GenericXLogRegisterBuffer(state, meta, 0));
		Page		page = GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE);

		mr_lsh_page_init(&none, page, MR_LSH_NULLS, new_birth);
		mr_lsh_opaque(page)->right = head;
		mr_lsh_opaque(page)->right_birth = birth;
		mr_lsh_null_append(page, tid);
		changed->null_head = BufferGetBlockNumber(buffer);
		changed->null_birth = new_birth;
		GenericXLogFinish(state);
		UnlockReleaseBuffer(buffer);
	}
	UnlockReleaseBuffer(meta);
}

/* ---- entry ---- */

/* The access method's aminsert. */
bool
mr_lsh_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
			  IndexUniqueCheck unique, bool unchanged, IndexInfo *info)
{
	Writer	   *writer = get_writer(index, info);
	MemoryContext before = MemoryContextSwitchTo(writer->row);

	if (isnull[0])
		insert_null(index, &writer->lsh.layout, tid);
	else
		insert_row(index, writer, values[0], tid);

	MemoryContextSwitchTo(before);
	if (info)
		MemoryContextReset(writer->row);
	else
		MemoryContextDelete(writer->context);
	return false;
}
