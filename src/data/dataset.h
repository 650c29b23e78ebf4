/*
 * dataset.h
 *		From a relation with ids to row numbers: what the trainer and the
 *		evaluation read.
 *
 *	 relation --SPI cursor--> (user id, item id, rating, weight, time)
 *				--idmap-->	  (user row, item row, ...)			appended to flat arrays
 *				--sort-->	  canonical rows, CSR per user		MrInteractions
 *
 * Rows are read as the calling role, through SPI: any relation kind, privileges
 * and row-level security included.
 *
 * Times become int64 numbers whose order is that of the times; nothing else may
 * be read from them.  Days for date, microseconds for timestamps, the value for
 * integers, order-preserving bits for float and numeric; NULL and NaN count as
 * earliest (PG_INT64_MIN).
 *
 * With a tag column, a row is (user, item, tag): the pair is an interaction as
 * any other, and the tags of its positive rows make a post.  A row without tag
 * (NULL) is an interaction and nothing more.
 *
 * A pair with several rows: positive if any row qualifies; its weight is the
 * sum over the qualifying rows, its time the latest of theirs.
 */
#ifndef MR_DATASET_H
#define MR_DATASET_H

#include "catalog/pg_attribute.h"
#include "lib/stringinfo.h"
#include "utils/relcache.h"

#include "data/idmap.h"
#include "model/interactions.h"

/* Which columns of which relation; a NULL name means that there is none. */
typedef struct MrDatasetSource
{
	Oid			relation;
	const char *user_column;
	const char *item_column;
	const char *rating_column;
	const char *weight_column;
	const char *time_column;
	const char *tag_column;
	bool		has_min_rating;
	double		min_rating;		/* a lower rating is seen, but not positive */
	const char *condition;		/* SQL on the row t, or NULL: only these rows */
	bool		keep_bad_values;	/* rows that a training skips are seen, not positive */
} MrDatasetSource;

/* What became of the rows that were read. */
typedef struct MrDatasetCounts
{
	int64		rows;			/* all that the relation gave */
	int64		null_keys;		/* user or item is NULL: skipped */
	int64		bad_values;		/* rating or weight NULL or not finite, or weight <= 0 (as float4): skipped */
	int64		below_min;		/* rating below min_rating: seen, not positive */
	int64		dropped;		/* of below_min: the user or the item has no positive at all */
	int64		duplicates;		/* rows merged into another row of the same pair */
	int64		null_tags;		/* of the rows that are positives: the tag is NULL */
	int64		repeated_tags;	/* rows that give a pair a tag once more */
} MrDatasetCounts;

/*
 * After mr_dataset_load:
 *		rows = null_keys + bad_values + dropped + duplicates + positives.n_pairs + seen.n_pairs
 */

typedef struct MrDataset
{
	MemoryContext context;		/* holds everything below */
	MrIdMap    *users;			/* rows in canonical order */
	MrIdMap    *items;
	MrInteractions positives;	/* over all users and items of the maps */
	MrInteractions seen;		/* pairs that are seen but not positive; n_pairs may be 0 */
	MrIdMap    *tags;			/* NULL without a tag column */
	MrPosts    *posts;			/* likewise; may have none */
	MrDatasetCounts counts;
	Size		bytes;			/* of all arrays, maps included */
	Size		peak_bytes;		/* the most that loading held */
} MrDataset;

/* Rows of another relation in the row numbers of existing maps (evaluation). */
typedef struct MrMappedPairs
{
	MemoryContext context;		/* holds everything below */
	MrInteractions pairs;		/* n_users, n_items are those of the maps */
	int32	   *unknown_items;	/* [n_users] distinct pairs of known users with unknown items */
	int64		unknown_users;	/* distinct users with a pair, that the map does not hold */
	int64		unknown_user_pairs; /* their distinct pairs */
	MrDatasetCounts counts;
} MrMappedPairs;

/*
 * Posts of another relation.  An id that its map lacks has a row number not below
 * the map's size: there are as many rows as the relation has ids.
 */
typedef struct MrMappedPosts
{
	MemoryContext context;		/* holds everything below */
	MrPosts		posts;
	MrDatasetCounts counts;
} MrMappedPosts;

/*
 * Everything that users have seen, in the row numbers of existing maps: for answers
 * to many users at once.  A pair that is positive by any of its rows is among the
 * positives, and may be among the others too.
 */
typedef struct MrHistories
{
	MemoryContext context;		/* holds everything below */
	MrInteractions positives;
	MrInteractions others;		/* n_pairs may be 0 */
} MrHistories;

/* dataset_load.c */
extern MrDataset *mr_dataset_load(const MrDatasetSource *source, MemoryContext parent, Size limit);
extern MrMappedPairs *mr_dataset_load_mapped(const MrDatasetSource *source, MrIdMap *users, MrIdMap *items,
											 MemoryContext parent, Size limit);
extern MrMappedPosts *mr_dataset_load_posts(const MrDatasetSource *source, MrIdMap *users, MrIdMap *items, MrIdMap *tags,
											MemoryContext parent, Size limit);
extern MrHistories *mr_dataset_load_histories(const MrDatasetSource *source, MrIdMap *users, bool add_users, MrIdMap *items,
											  MemoryContext parent, Size limit);
extern void mr_dataset_check_columns(const MrDatasetSource *source, Oid *user_type, Oid *item_type, Oid *tag_type);

/* dataset_source.c: columns of any relation that is read by keys */
extern Form_pg_attribute mr_dataset_find_column(Relation rel, const char *name);
extern Oid	mr_dataset_add_key(StringInfo text, Relation rel, const char *name, Oid id_type, Oid *type,
							   Oid *collation);

#endif							/* MR_DATASET_H */
