/*
 * lsh_page.c
 *		Pages of an lsh index: making, checking, changing them.
 *
 * Nothing here writes WAL.  Whoever changes a page does it on a copy that
 * GenericXLogRegisterBuffer() gave, or on pages of a relation that nobody else
 * sees yet.
 *
 * Every page that is read passes check_page(): after that the counts and the
 * geometry can be relied on, also when the file was damaged.  What a damaged
 * page says about other pages (child, right) is checked when these are read.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "index/lsh_page.h"
#include "util/compat.h"

#define CONTENTS MAXALIGN(SizeOfPageHeaderData)
#define SPECIAL (BLCKSZ - MAXALIGN(sizeof(MrLshOpaque)))

/* Bounds of the number of hints that a backend keeps of an index; powers of 2. */
#define MIN_HINTS 64
#define MAX_HINTS 65536

/* Bytes of a row and of an entry beside the code. */
#define ROW_BYTES (2 * sizeof(float) + sizeof(ItemPointerData))
#define ENTRY_BYTES (2 * sizeof(float) + sizeof(MrLshLink))

/* ---- layout ---- */

/*
 * Where the codes begin if there is room for n rows of `fixed` bytes beside the
 * code: on a cache line, so that codes of 64 dimensions do not straddle two.
 */
static int
codes_offset(int n, int fixed)
{
	return TYPEALIGN(64, CONTENTS + n * fixed);
}

/* The most rows of that size that fit. */
static int
capacity_of(int dim, int fixed)
{
	int			n = (SPECIAL - CONTENTS) / (dim + fixed);

	while (n > 0 && codes_offset(n, fixed) + n * dim > SPECIAL)
		n--;
	return n;
}

/* Computes where things lie; dim 0 (no row yet) has no rows and no entries. */
void
mr_lsh_layout(MrLshLayout *layout, MrHashFamily family, int dim)
{
	bool		keys = family == MR_HASH_PROJECTION;
	int			entry = ENTRY_BYTES + (keys ? sizeof(MrBucketKey) : 0);

	memset(layout, 0, sizeof(*layout));
	layout->null_capacity = (SPECIAL - CONTENTS) / sizeof(ItemPointerData);
	layout->dim = dim;
	if (dim == 0)
		return;
	layout->leaf_capacity = capacity_of(dim, ROW_BYTES);
	layout->leaf_codes = codes_offset(layout->leaf_capacity, ROW_BYTES);
	layout->entry_capacity = capacity_of(dim, entry);
	layout->entry_codes = codes_offset(layout->entry_capacity, entry);
	/* CONTENTS and 24 bytes per entry: a multiple of 8, as keys must be */
	if (keys)
		layout->entry_keys = CONTENTS + layout->entry_capacity * ENTRY_BYTES;
	Assert(layout->leaf_capacity >= 2 && layout->entry_capacity >= 2);
}

/* ---- checking ---- */

void
mr_lsh_corrupted(Relation index, BlockNumber block, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is corrupted", RelationGetRelationName(index)),
			 errdetail("Block %u: %s.", block, what),
			 errhint("REINDEX the index.")));
}

/* The same of a row, which the index says is there in the table. */
void
mr_lsh_corrupted_row(Relation index, const ItemPointerData *tid, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is corrupted", RelationGetRelationName(index)),
			 errdetail("Row (%u,%u): %s.", ItemPointerGetBlockNumberNoCheck(tid),
					   ItemPointerGetOffsetNumberNoCheck(tid), what),
			 errhint("REINDEX the index.")));
}

/* Bytes that a page's rows take from CONTENTS on, and how many there may be. */
static int
expected_lower(const MrLshLayout *layout, const MrLshOpaque *opaque, int *capacity)
{
	int			n = opaque->n;

	switch (opaque->kind)
	{
		case MR_LSH_LEAF:
			*capacity = layout->leaf_capacity;
			return layout->leaf_codes + n * layout->dim;
		case MR_LSH_ROOT:
		case MR_LSH_INNER:
			*capacity = layout->entry_capacity;
			return n == 0 ? CONTENTS : layout->entry_codes + n * layout->dim;
		case MR_LSH_NULLS:
			*capacity = layout->null_capacity;
			return CONTENTS + n * sizeof(ItemPointerData);
		case MR_LSH_META:
			*capacity = 0;
			return CONTENTS + sizeof(MrLshMeta);
		default:
			*capacity = 0;
			return CONTENTS;
	}
}

/* NULL, or what is wrong with the page. */
const char *
mr_lsh_page_fault(const MrLshLayout *layout, Page page, int kinds)
{
	const PageHeader header = (PageHeader) page;
	const MrLshOpaque *opaque;
	int			capacity;

	if (PageIsNew(page))
		return "page is all zeroes";
	if (header->pd_special != SPECIAL || header->pd_upper != SPECIAL)
		return "page header is damaged";
	opaque = mr_lsh_opaque(page);
	if (opaque->page_id != MR_LSH_PAGE_ID)
		return "page is not of an lsh index";
	if ((opaque->kind & kinds) == 0 || (opaque->kind & (opaque->kind - 1)) != 0)
		return "page is of an unexpected kind";
	if (opaque->n > 0 && (opaque->kind & (MR_LSH_ROOT | MR_LSH_INNER | MR_LSH_LEAF)) != 0 && opaque->dim != layout->dim)
		return "page is of other dimensions than the index";
	if (header->pd_lower != expected_lower(layout, opaque, &capacity) || opaque->n > capacity)
		return "page has an impossible number of rows";
	if (!(opaque->error_ratio >= 0))
		return "bound of coding errors is no number";
	return NULL;
}

/* ---- reading ---- */

Buffer
mr_lsh_read(Relation index, const MrLshLayout *layout, BlockNumber block, int lockmode, int kinds)
{
	Buffer		buffer;
	const char *fault;

	/* would make the relation grow */
	if (block == InvalidBlockNumber)
		mr_lsh_corrupted(index, block, "no such block");
	buffer = ReadBuffer(index, block);
	LockBuffer(buffer, lockmode);
	fault = mr_lsh_page_fault(layout, BufferGetPage(buffer), kinds);
	if (unlikely(fault))
	{
		UnlockReleaseBuffer(buffer);
		mr_lsh_corrupted(index, block, fault);
	}
	return buffer;
}

/*
 * A page of another birth may be of any kind: the block was used again.  So only
 * if the birth is the one meant must the kind be right.
 */
Buffer
mr_lsh_follow(Relation index, const MrLshLayout *layout, BlockNumber block, uint32 birth,
			  int lockmode, int kinds)
{
	Buffer		buffer = mr_lsh_read(index, layout, block, lockmode,
									 MR_LSH_ROOT | MR_LSH_INNER | MR_LSH_LEAF | MR_LSH_NULLS | MR_LSH_DELETED);
	const MrLshOpaque *opaque = mr_lsh_opaque(BufferGetPage(buffer));

	if (opaque->birth != birth)
	{
		UnlockReleaseBuffer(buffer);
		return InvalidBuffer;
	}
	if (unlikely((opaque->kind & (kinds | MR_LSH_DELETED)) == 0))
	{
		UnlockReleaseBuffer(buffer);
		mr_lsh_corrupted(index, block, "page is of an unexpected kind");
	}
	return buffer;
}

/* The rows of a leaf. */
void
mr_lsh_rows(const MrLshLayout *layout, Page page, MrCodeRows *rows)
{
	rows->n = mr_lsh_opaque(page)->n;
	rows->dim = layout->dim;
	rows->codes = mr_lsh_leaf_codes(layout, page);
	rows->scale = mr_lsh_scales(page);
	rows->norm = mr_lsh_norms(page, layout->leaf_capacity);
}

/* The entries of a root or inner page. */
void
mr_lsh_buckets(const MrLshLayout *layout, Page page, MrBuckets *buckets)
{
	buckets->centres.n = mr_lsh_opaque(page)->n;
	buckets->centres.dim = layout->dim;
	buckets->centres.codes = mr_lsh_entry_codes(layout, page);
	buckets->centres.scale = mr_lsh_scales(page);
	buckets->centres.norm = mr_lsh_norms(page, layout->entry_capacity);
	buckets->keys = mr_lsh_keys(layout, page);
}

/* ---- the meta page ---- */

/* The hash function without its directions. */
static void
load_meta(Relation index, MrLshIndex *lsh)
{
	MrLshLayout none = {0};
	Buffer		buffer = mr_lsh_read(index, &none, MR_LSH_META_BLOCK, BUFFER_LOCK_SHARE, MR_LSH_META);
	MrLshMeta	meta = *mr_lsh_meta(BufferGetPage(buffer));

	UnlockReleaseBuffer(buffer);
	if (meta.magic != MR_LSH_MAGIC)
		mr_lsh_corrupted(index, MR_LSH_META_BLOCK, "meta page is damaged");
	if (meta.format != MR_LSH_FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" has format %u, but this version of the extension needs format %u",
						RelationGetRelationName(index), meta.format, MR_LSH_FORMAT),
				 errhint("REINDEX the index.")));
	if (meta.dim > MR_LSH_MAX_DIMENSIONS ||
		(meta.family != MR_HASH_VORONOI && meta.family != MR_HASH_PROJECTION) ||
		!(meta.sigma >= 0))
		mr_lsh_corrupted(index, MR_LSH_META_BLOCK, "meta page is damaged");

	memset(lsh, 0, sizeof(*lsh));
	lsh->hash.family = meta.family;
	lsh->hash.dim = meta.dim;
	lsh->hash.seed = meta.seed;
	lsh->hash.sigma = meta.sigma;
	if (meta.family == MR_HASH_PROJECTION)
		lsh->hash.n_directions = Min(meta.dim, MR_PROJECTION_DIRECTIONS);
	mr_lsh_layout(&lsh->layout, meta.family, meta.dim);
	lsh->null_head = meta.null_head;
	lsh->null_birth = meta.null_birth;
	lsh->rows_at_build = meta.rows_at_build;
	lsh->leaves_at_build = meta.leaves_at_build;
	lsh->groups_at_build = meta.groups_at_build;
}

/* Makes the directions in the current memory context, if the family has some. */
void
mr_lsh_hash_complete(MrHash *hash)
{
	Size		size = mr_hash_directions_size(hash);
	float	   *directions;

	hash->directions = NULL;
	if (size == 0)
		return;
	directions = palloc(size);
	mr_hash_directions(hash, directions);
	hash->directions = directions;
}

/*
 * What a backend remembers of an index, in one piece, as the relation cache wants
 * it: the meta page, the directions, the hints.
 */
static MrLshCache *
make_cache(Relation index, const MrLshIndex *lsh)
{
	Size		directions = MAXALIGN(mr_hash_directions_size(&lsh->hash));
	BlockNumber blocks = Min(RelationGetNumberOfBlocks(index), MAX_HINTS);
	uint32		hints = pg_nextpower2_32(Max(blocks, MIN_HINTS));
	MrLshCache *cache = MemoryContextAllocZero(index->rd_indexcxt,
											   MAXALIGN(sizeof(MrLshCache)) + directions + hints * sizeof(Buffer));
	char	   *at = (char *) cache + MAXALIGN(sizeof(MrLshCache));

	cache->index = *lsh;
	if (directions > 0)
	{
		mr_hash_directions(&lsh->hash, (float *) at);
		cache->index.hash.directions = (float *) at;
	}
	cache->hints = (Buffer *) (at + directions);
	cache->hint_mask = hints - 1;
	return cache;
}

/*
 * What the meta page says.  It is kept with the relation as one piece of memory,
 * the directions behind it, which the server frees when the index is rebuilt; so
 * the caller gets a copy.
 */
void
mr_lsh_load(Relation index, MrLshIndex *lsh)
{
	MrLshCache *cached = index->rd_amcache;
	Size		size;

	if (cached == NULL || cached->index.hash.dim == 0)
	{
		load_meta(index, lsh);
		if (cached)
			pfree(cached);
		index->rd_amcache = NULL;
		index->rd_amcache = cached = make_cache(index, lsh);
	}

	*lsh = cached->index;
	size = mr_hash_directions_size(&lsh->hash);
	if (size > 0)
	{
		float	   *directions = palloc(size);

		memcpy(directions, cached->index.hash.directions, size);
		lsh->hash.directions = directions;
	}
}

void
mr_lsh_meta_init(Page page, const MrLshMeta *meta)
{
	MrLshLayout none = {0};

	mr_lsh_page_init(&none, page, MR_LSH_META, 1);
	*mr_lsh_meta(page) = *meta;
	((PageHeader) page)->pd_lower = CONTENTS + sizeof(MrLshMeta);
}

/* ---- changing ---- */

static void
set_lower(const MrLshLayout *layout, Page page)
{
	int			capacity;

	((PageHeader) page)->pd_lower = expected_lower(layout, mr_lsh_opaque(page), &capacity);
}

/* All room of the page belongs to what is used of it, or to the hole behind. */
void
mr_lsh_page_init(const MrLshLayout *layout, Page page, MrLshKind kind, uint32 birth)
{
	MrLshOpaque *opaque;

	PageInit(page, BLCKSZ, sizeof(MrLshOpaque));
	opaque = mr_lsh_opaque(page);
	opaque->deleted_at = InvalidFullTransactionId;
	opaque->right = InvalidBlockNumber;
	opaque->birth = birth;
	opaque->dim = layout->dim;
	opaque->kind = kind;
	opaque->page_id = MR_LSH_PAGE_ID;
	set_lower(layout, page);
}

void
mr_lsh_row_append(const MrLshLayout *layout, Page page, const MrLshRow *row)
{
	MrLshOpaque *opaque = mr_lsh_opaque(page);
	int			i = opaque->n;

	Assert(opaque->kind == MR_LSH_LEAF && i < layout->leaf_capacity);
	mr_lsh_scales(page)[i] = row->scale;
	mr_lsh_norms(page, layout->leaf_capacity)[i] = row->norm;
	mr_lsh_tids(layout, page)[i] = row->tid;
	memcpy(mr_lsh_leaf_codes(layout, page) + i * layout->dim, row->code, layout->dim);
	if (row->scale > 0 && row->error > opaque->error_ratio * row->scale)
	{
		float		ratio = row->error / row->scale;

		opaque->error_ratio = nextafterf(ratio, INFINITY);
	}
	opaque->n++;
	set_lower(layout, page);
}

void
mr_lsh_row_remove(const MrLshLayout *layout, Page page, int i)
{
	MrLshOpaque *opaque = mr_lsh_opaque(page);
	int			last = opaque->n - 1;
	float	   *scales = mr_lsh_scales(page);
	float	   *norms = mr_lsh_norms(page, layout->leaf_capacity);
	ItemPointerData *tids = mr_lsh_tids(layout, page);
	int8	   *codes = mr_lsh_leaf_codes(layout, page);

	Assert(i >= 0 && i <= last);
	scales[i] = scales[last];
	norms[i] = norms[last];
	tids[i] = tids[last];
	memmove(codes + i * layout->dim, codes + last * layout->dim, layout->dim);
	opaque->n--;
	set_lower(layout, page);
}

void
mr_lsh_entry_append(const MrLshLayout *layout, Page page, const MrLshEntry *entry)
{
	MrLshOpaque *opaque = mr_lsh_opaque(page);

	Assert(opaque->n < layout->entry_capacity);
	/* the root page of an index that was empty knew no dimensions yet */
	opaque->dim = layout->dim;
	opaque->n++;
	set_lower(layout, page);
	mr_lsh_entry_set(layout, page, opaque->n - 1, entry);
}

/* The code may lie in the page itself, at place i. */
void
mr_lsh_entry_set(const MrLshLayout *layout, Page page, int i, const MrLshEntry *entry)
{
	Assert(i >= 0 && i < mr_lsh_opaque(page)->n);
	mr_lsh_scales(page)[i] = entry->scale;
	mr_lsh_norms(page, layout->entry_capacity)[i] = entry->norm;
	mr_lsh_links(layout, page)[i] = entry->link;
	if (layout->entry_keys != 0)
		mr_lsh_keys(layout, page)[i] = entry->key;
	memmove(mr_lsh_entry_codes(layout, page) + i * layout->dim, entry->code, layout->dim);
}

void
mr_lsh_entry_get(const MrLshLayout *layout, Page page, int i, MrLshEntry *entry)
{
	Assert(i >= 0 && i < mr_lsh_opaque(page)->n);
	entry->code = mr_lsh_entry_codes(layout, page) + i * layout->dim;
	entry->scale = mr_lsh_scales(page)[i];
	entry->norm = mr_lsh_norms(page, layout->entry_capacity)[i];
	entry->key = layout->entry_keys != 0 ? mr_lsh_keys(layout, page)[i] : 0;
	entry->link = mr_lsh_links(layout, page)[i];
}

/* Takes entry i out of one array. */
static void
close_gap(void *array, Size size, int i, int n)
{
	char	   *at = (char *) array + i * size;

	memmove(at, at + size, (n - 1 - i) * size);
}

/* Order matters: of equally near entries the later is the newer. */
void
mr_lsh_entry_remove(const MrLshLayout *layout, Page page, int i)
{
	MrLshOpaque *opaque = mr_lsh_opaque(page);
	int			n = opaque->n;

	Assert(i >= 0 && i < n);
	close_gap(mr_lsh_scales(page), sizeof(float), i, n);
	close_gap(mr_lsh_norms(page, layout->entry_capacity), sizeof(float), i, n);
	close_gap(mr_lsh_links(layout, page), sizeof(MrLshLink), i, n);
	if (layout->entry_keys != 0)
		close_gap(mr_lsh_keys(layout, page), sizeof(MrBucketKey), i, n);
	close_gap(mr_lsh_entry_codes(layout, page), layout->dim, i, n);
	opaque->n--;
	set_lower(layout, page);
}

/* The place of the entry that links to this child; -1 if there is none. */
int
mr_lsh_entry_find(const MrLshLayout *layout, Page page, BlockNumber child, uint32 birth)
{
	const MrLshLink *links = mr_lsh_links(layout, page);

	for (int i = 0; i < mr_lsh_opaque(page)->n; i++)
		if (links[i].child == child && links[i].birth == birth)
			return i;
	return -1;
}

void
mr_lsh_null_append(Page page, const ItemPointerData *tid)
{
	MrLshOpaque *opaque = mr_lsh_opaque(page);

	Assert(opaque->kind == MR_LSH_NULLS);
	mr_lsh_null_tids(page)[opaque->n++] = *tid;
	((PageHeader) page)->pd_lower += sizeof(ItemPointerData);
}

void
mr_lsh_null_remove(Page page, int i)
{
	MrLshOpaque *opaque = mr_lsh_opaque(page);

	Assert(opaque->kind == MR_LSH_NULLS && i < opaque->n);
	mr_lsh_null_tids(page)[i] = mr_lsh_null_tids(page)[opaque->n - 1];
	opaque->n--;
	((PageHeader) page)->pd_lower -= sizeof(ItemPointerData);
}
