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
 * A pair with several rows: positive if any row qualifies; its weight is the
 * sum over the qualifying rows, its time the latest of theirs.
 */
#ifndef MR_DATASET_H
#define MR_DATASET_H

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
	bool		has_min_rating;
	double		min_rating;		/* a lower rating is seen, but not positive */
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

/* dataset_load.c */
extern MrDataset *mr_dataset_load(const MrDatasetSource *source, MemoryContext parent, Size limit);
extern MrMappedPairs *mr_dataset_load_mapped(const MrDatasetSource *source, MrIdMap *users, MrIdMap *items,
											 MemoryContext parent, Size limit);
extern void mr_dataset_check_columns(const MrDatasetSource *source, Oid *user_type, Oid *item_type);

#endif							/* MR_DATASET_H */
