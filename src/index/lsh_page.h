/*
 * lsh_page.h
 *		Pages of an lsh index: what lies where, and the invariants.
 *
 *		block 0			meta		what the index is; one page
 *		block 1			root		entries of groups; more root pages hang on it by `right`
 *		any				inner		entries of the leaves of one group
 *		any				leaf		rows: code and heap TID
 *		any				nulls		TIDs of rows whose embedding is NULL; a chain from the meta page
 *		any				deleted		empty, waits until nobody can have a way to it
 *
 * All pages have the standard header at 0 and MrLshOpaque in the special space at
 * the end.  Arrays that are indexed by row lie at fixed places with room for
 * `capacity` rows, the codes come last and grow upwards:
 *
 *		leaf and nulls, C = leaf_capacity, d = dimensions:
 *		offset				size	field
 *		0					24		PageHeader
 *		24					4*C		float scale[C]
 *		24 + 4C				4*C		float norm[C]				|x^|^2
 *		24 + 8C				6*C		ItemPointerData tid[C]
 *		codes_at(leaf)		d*n		int8 code[n][d]				at a multiple of 64
 *		8192 - 40			40		MrLshOpaque
 *
 *		root and inner, C = entry_capacity:
 *		24					4*C		float scale[C]
 *		24 + 4C				4*C		float norm[C]				|c^|^2
 *		24 + 8C				16*C	MrLshLink link[C]			child, its birth, its splits, radius
 *		24 + 24C			8*C		MrBucketKey key[C]			projection family only
 *		codes_at(entry)		d*n		int8 code[n][d]
 *
 * pd_lower is the end of the codes in use and pd_upper = pd_special, so that the
 * unused room is the page's hole: it is not written to WAL.
 *
 * Offsets are computed once per index (MrLshLayout); a page of nulls has d = 0.
 *
 * Births.  A block that is used again gets birth + 1.  Whoever points at a page
 * (link, right) says which birth is meant: another birth there means that the
 * page meant has been deleted since, and it was empty when it was.
 *
 * Splits.  A page that is split keeps one half and gives the other to a new
 * page.  Old page: splits + 1, right = new page.  New page: splits and right as
 * the old page had them.  The link to a page repeats its number of splits.  So
 * whoever comes along a link that says s reads the page and, as long as the page
 * just read has splits > s, the page at its right: all rows that were under the
 * link when it was read, each once.
 *
 * Locks.  Content locks only, in this order: root page 1, other root pages from
 * left to right, inner, leaf, new page, meta, nulls pages from head to tail.
 * A scan holds one lock at a time, but root page 1 stays share-locked while the
 * other root pages are read, and whoever changes which groups there are holds it
 * exclusively: so the set of groups is read as of one moment.  Replay on a standby
 * locks the pages of a record, in the order in which they were registered, and
 * page 1 need not be among them: there, a reader locks one page at a time, and
 * reads again if a page has changed (lsh_scan_root.c).
 */
#ifndef MR_LSH_PAGE_H
#define MR_LSH_PAGE_H

#include "postgres.h"

#include "access/transam.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "hash/bucket.h"
#include "util/compat.h"
#include "metricrec.h"

#define MR_LSH_MAGIC 0x4C534849		/* "LSHI" */
#define MR_LSH_FORMAT 1
#define MR_LSH_MAX_DIMENSIONS MR_MAX_INDEX_DIMENSIONS

#define MR_LSH_META_BLOCK 0
#define MR_LSH_ROOT_BLOCK 1

typedef enum MrLshKind
{
	MR_LSH_META = 1,
	MR_LSH_ROOT = 2,
	MR_LSH_INNER = 4,
	MR_LSH_LEAF = 8,
	MR_LSH_NULLS = 16,
	MR_LSH_DELETED = 32
} MrLshKind;					/* bits, so that a reader can name several */

#define MR_LSH_PAGE_ID 0xFF8D

typedef struct MrLshOpaque
{
	FullTransactionId deleted_at;	/* deleted: next xid at that moment */
	BlockNumber right;			/* InvalidBlockNumber = none */
	uint32		right_birth;
	uint32		birth;			/* of this page, from 1 */
	uint32		splits;
	float		error_ratio;	/* leaf: maximum of |x - x^| / scale over its rows, ever */
	uint16		n;				/* rows or entries */
	uint16		dim;			/* of the codes */
	uint16		kind;			/* MrLshKind */
	uint16		page_id;		/* MR_LSH_PAGE_ID */
	uint32		unused;			/* 0 */
} MrLshOpaque;

/* What an entry says about its child. */
typedef struct MrLshLink
{
	BlockNumber child;
	uint32		birth;
	uint32		splits;
	float		radius;			/* inner: every row of the leaf has |x - c^| <= radius; root: 0 */
} MrLshLink;

/* The meta page, from offset 24.  Nothing after the first row changes but null_head. */
typedef struct MrLshMeta
{
	uint32		magic;
	uint16		format;
	uint16		dim;			/* 0 until the first row */
	uint16		family;			/* MrHashFamily */
	uint16		unused;			/* 0 */
	float		sigma;			/* projection */
	uint64		seed;
	BlockNumber null_head;		/* InvalidBlockNumber = none */
	uint32		null_birth;
	double		rows_at_build;
	uint32		leaves_at_build;
	uint32		groups_at_build;
} MrLshMeta;

/* Where things lie in pages of rows and in pages of entries. */
typedef struct MrLshLayout
{
	uint16		dim;
	uint16		leaf_capacity;
	uint16		leaf_codes;		/* offset */
	uint16		entry_capacity;
	uint16		entry_keys;		/* offset; 0 = entries have no key */
	uint16		entry_codes;	/* offset */
	uint16		null_capacity;
} MrLshLayout;

/*
 * An index as its meta page describes it.  A copy: nothing in it changes while
 * somebody uses it, except that dim is 0 until the first row is there.
 */
typedef struct MrLshIndex
{
	MrHash		hash;			/* directions: memory of whoever loaded it */
	MrLshLayout layout;
	BlockNumber null_head;		/* as of loading: read the meta page again before use */
	uint32		null_birth;
	double		rows_at_build;
	uint32		leaves_at_build;
	uint32		groups_at_build;
} MrLshIndex;

/*
 * What a backend remembers of an index, in rd_amcache, so that any invalidation
 * of the relation forgets it: never keep a pointer to it.  A hint says in which
 * buffer a block was seen last; who uses it must check.
 */
typedef struct MrLshCache
{
	MrLshIndex	index;
	uint32		hint_mask;
	Buffer	   *hints;			/* [hint_mask + 1], by block & hint_mask; 0 = none */
} MrLshCache;

/* A row on its way into a leaf. */
typedef struct MrLshRow
{
	ItemPointerData tid;
	float		scale;
	float		norm;
	float		error;			/* >= |x - x^| */
	const int8 *code;
} MrLshRow;

/* An entry on its way into an inner or root page. */
typedef struct MrLshEntry
{
	const int8 *code;
	float		scale;
	float		norm;
	MrBucketKey key;
	MrLshLink	link;
} MrLshEntry;

#define mr_lsh_opaque(page) ((MrLshOpaque *) PageGetSpecialPointer(page))
#define mr_lsh_meta(page) ((MrLshMeta *) PageGetContents(page))

/* ---- arrays of a page ---- */

static inline float *
mr_lsh_scales(Page page)
{
	return (float *) (page + MAXALIGN(SizeOfPageHeaderData));
}

/* capacity: of this kind of page */
static inline float *
mr_lsh_norms(Page page, int capacity)
{
	return mr_lsh_scales(page) + capacity;
}

static inline ItemPointerData *
mr_lsh_tids(const MrLshLayout *layout, Page page)
{
	return (ItemPointerData *) (mr_lsh_scales(page) + 2 * layout->leaf_capacity);
}

static inline MrLshLink *
mr_lsh_links(const MrLshLayout *layout, Page page)
{
	return (MrLshLink *) (mr_lsh_scales(page) + 2 * layout->entry_capacity);
}

static inline MrBucketKey *
mr_lsh_keys(const MrLshLayout *layout, Page page)
{
	return layout->entry_keys == 0 ? NULL : (MrBucketKey *) (page + layout->entry_keys);
}

static inline int8 *
mr_lsh_leaf_codes(const MrLshLayout *layout, Page page)
{
	return (int8 *) page + layout->leaf_codes;
}

static inline int8 *
mr_lsh_entry_codes(const MrLshLayout *layout, Page page)
{
	return (int8 *) page + layout->entry_codes;
}

/* A page of nulls has its TIDs where a page without codes and scales would. */
static inline ItemPointerData *
mr_lsh_null_tids(Page page)
{
	return (ItemPointerData *) PageGetContents(page);
}

/* lsh_page.c */
extern void mr_lsh_layout(MrLshLayout *layout, MrHashFamily family, int dim);
/* Can there be such a row?  A read of InvalidBlockNumber would make the table longer. */
static inline bool
mr_lsh_tid_possible(const ItemPointerData *tid)
{
	return ItemPointerIsValid(tid) && ItemPointerGetBlockNumberNoCheck(tid) != InvalidBlockNumber;
}

MR_NORETURN extern void mr_lsh_corrupted(Relation index, BlockNumber block, const char *what);
MR_NORETURN extern void mr_lsh_corrupted_row(Relation index, const ItemPointerData *tid, const char *what);

/* Loading; directions are allocated in the current memory context. */
extern void mr_lsh_load(Relation index, MrLshIndex *lsh);
extern void mr_lsh_hash_complete(MrHash *hash);	/* makes the directions, if the family has some */

/* NULL if the page is sound and of one of `kinds`, else what is wrong with it. */
extern const char *mr_lsh_page_fault(const MrLshLayout *layout, Page page, int kinds);

/* Reading: pinned and locked, checked to be one of `kinds`, else an error. */
extern Buffer mr_lsh_read(Relation index, const MrLshLayout *layout, BlockNumber block, int lockmode, int kinds);
/*
 * The same along a link: InvalidBuffer if the page there is of another birth
 * (it was deleted, empty).  A deleted page of that birth is returned: its
 * `right` may still lead somewhere.
 */
extern Buffer mr_lsh_follow(Relation index, const MrLshLayout *layout, BlockNumber block, uint32 birth,
							int lockmode, int kinds);

extern void mr_lsh_rows(const MrLshLayout *layout, Page page, MrCodeRows *rows);
extern void mr_lsh_buckets(const MrLshLayout *layout, Page page, MrBuckets *buckets);

/* Changing: on pages that are exclusively locked, or copies by GenericXLog. */
extern void mr_lsh_page_init(const MrLshLayout *layout, Page page, MrLshKind kind, uint32 birth);
extern void mr_lsh_meta_init(Page page, const MrLshMeta *meta);
extern void mr_lsh_row_append(const MrLshLayout *layout, Page page, const MrLshRow *row);
extern void mr_lsh_row_remove(const MrLshLayout *layout, Page page, int i);	/* the last row takes its place */
extern void mr_lsh_entry_append(const MrLshLayout *layout, Page page, const MrLshEntry *entry);
extern void mr_lsh_entry_remove(const MrLshLayout *layout, Page page, int i);	/* the others keep their order */
extern void mr_lsh_entry_get(const MrLshLayout *layout, Page page, int i, MrLshEntry *entry);	/* code points into the page */
extern void mr_lsh_entry_set(const MrLshLayout *layout, Page page, int i, const MrLshEntry *entry);
extern int	mr_lsh_entry_find(const MrLshLayout *layout, Page page, BlockNumber child, uint32 birth);	/* -1 = none */
extern void mr_lsh_null_append(Page page, const ItemPointerData *tid);
extern void mr_lsh_null_remove(Page page, int i);

/* lsh_free.c */
extern void mr_lsh_page_delete(Page page);	/* empty already; keeps birth, splits and right */
extern bool mr_lsh_page_deleted(Page page);	/* takes any page */
extern bool mr_lsh_page_recyclable(Page page);	/* new, or deleted and nobody has a way to it */
extern void mr_lsh_page_offer(Relation index, BlockNumber block, bool recyclable);	/* to mr_lsh_allocate() */

/*
 * A block for a new page, exclusively locked, and the birth that it is to get.
 * Taken from the free space map, else the relation grows.  Nothing is written:
 * the caller initialises the page in the WAL record that makes it reachable.
 */
extern Buffer mr_lsh_allocate(Relation index, uint32 *birth);

#endif							/* MR_LSH_PAGE_H */
