/*
 * dataset_internal.h
 *		What the files dataset_*.c share: the checked query, and the rows that
 *		it gives, in batches.
 */
#ifndef MR_DATASET_INTERNAL_H
#define MR_DATASET_INTERNAL_H

#include "data/dataset.h"

/* A source whose relation and columns were checked, and its query. */
typedef struct MrDatasetQuery
{
	char	   *text;
	Oid			user_type;		/* of the columns, domains kept */
	Oid			item_type;
	Oid			tag_type;
	Oid			user_collation;
	Oid			item_collation;
	Oid			tag_collation;
	Oid			user_base_type; /* as the query gives them */
	Oid			item_base_type;
	Oid			tag_base_type;
	Oid			time_base_type;
	int			n_columns;
	int			rating_at;		/* 0-based position in the query's result, -1 = none */
	int			weight_at;
	int			time_at;
	int			tag_at;
	bool		has_min_rating;
	double		min_rating;
	bool		keep_bad_values;
} MrDatasetQuery;

/*
 * How ids of one side become row numbers.  Without `unknown`, new ids are added
 * to `map`.  With it, `map` stays as it is, and an id that it lacks gets the
 * number size(map) + its row in `unknown`.
 */
typedef struct MrKeyTarget
{
	MrIdMap    *map;
	MrIdMap    *unknown;
} MrKeyTarget;

typedef struct MrRowBatch
{
	int			n;
	int32		user[MR_IDMAP_BATCH];
	int32		item[MR_IDMAP_BATCH];
	bool		positive[MR_IDMAP_BATCH];	/* false: rating below the minimum */
	float		weight[MR_IDMAP_BATCH]; /* 1 if there is no weight column */
	int64		time[MR_IDMAP_BATCH];	/* 0 if there is no time column */
	int32		tag[MR_IDMAP_BATCH];	/* -1: none */
} MrRowBatch;

typedef void (*MrRowSink) (void *arg, const MrRowBatch *batch);

/* dataset_source.c */
extern void mr_dataset_prepare(const MrDatasetSource *source, const MrIdMap *users, const MrIdMap *items,
							   const MrIdMap *tags, MrDatasetQuery *query);

/* dataset_read.c */
extern void mr_dataset_read(const MrDatasetQuery *query, const MrKeyTarget *users, const MrKeyTarget *items,
							const MrKeyTarget *tags, MrBudget *budget, MrRowSink sink, void *arg, MrDatasetCounts *counts);

#endif							/* MR_DATASET_INTERNAL_H */
