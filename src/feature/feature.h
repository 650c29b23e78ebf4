/*
 * feature.h
 *		Encoders: from the columns of a feature table to numbers.
 *
 *	 relation --pass 1--> statistics and vocabularies	MrEncoder
 *			  --pass 2--> one row of numbers per key	MrFeatures
 *	 jsonb, or a row of the relation --------------> one row of numbers (new users and items)
 *
 * A feature table is any relation with one row per key: the key column has the
 * model's own name, every other column is a feature.
 */
#ifndef MR_FEATURE_H
#define MR_FEATURE_H

#include "utils/jsonb.h"

#include "data/idmap.h"
#include "model/features.h"

/* The bounds of min_count and max_vocabulary; both begin at 1. */
#define MR_MAX_MIN_COUNT 1000000000
#define MR_MAX_VOCABULARY (1 << 22)

/* The most columns that all features together can have. */
#define MR_MAX_SPARSE_COLUMNS (1 << 24)
#define MR_MAX_DENSE_COLUMNS (1 << 16)

/* Which relation, and how to read it. */
typedef struct MrFeatureSource
{
	Oid			relation;
	const char *key_column;
	int			n_word_columns;	/* text columns that are taken as words */
	const char **word_columns;
	int32		min_count;		/* values in fewer rows share a bucket */
	int32		max_vocabulary; /* values per column that have a place of their own */
	struct MrEncoder *encoder;	/* to be used as it is; NULL: one is fitted */
} MrFeatureSource;

typedef struct MrEncoder MrEncoder;

/* What became of the rows. */
typedef struct MrFeatureCounts
{
	int64		rows;			/* that the relation gave */
	int64		null_keys;		/* skipped */
	int64		known;			/* rows whose key the map holds */
	int64		missing;		/* keys of the map without a row */
} MrFeatureCounts;

/*
 * The rows of the map (first, in its order; those without a row in the relation
 * have no features) and then the others that the relation has.
 */
typedef struct MrFeatureTable
{
	MemoryContext context;		/* holds everything, the encoder too */
	MrEncoder  *encoder;
	MrFeatures	features;		/* n_rows = size of the map + mr_idmap_size(others) */
	MrIdMap    *others;			/* keys of the rows behind those of the map, canonical order */
	MrFeatureCounts counts;
	Size		bytes;			/* of all arrays and maps */
	Size		peak_bytes;		/* the most that reading held */
} MrFeatureTable;

/* What a jsonb may leave out, and what it may have beyond the columns. */
typedef enum MrJsonKind
{
	MR_JSON_PARTIAL,			/* a missing column is NULL, an unknown one an error */
	MR_JSON_ROW					/* a row of the table: a missing one is an error, others are ignored */
} MrJsonKind;

/* The most rows that a callback gets at once. */
#define MR_FEATURE_BLOCK 256

/* rows->n_rows encoded rows and their keys; all of it goes when the callback returns. */
typedef void (*MrFeatureCallback) (void *arg, const Datum *keys, const MrFeatures *rows);

/* feature_table.c */
extern MrFeatureTable *mr_feature_read(const MrFeatureSource *source, const MrIdMap *known,
									   MemoryContext parent, Size limit);

/* feature_source.c */
extern void mr_feature_check_columns(const MrFeatureSource *source, Oid key_type);

extern bool mr_encoder_matches(const MrEncoder *encoder, const MrFeatureSource *source, Oid key_type);
extern bool mr_feature_readable(const MrEncoder *encoder, Oid relation, Oid key_type);

/* encoder_store.c */
extern bytea *mr_encoder_write(const MrEncoder *encoder);
extern MrEncoder *mr_encoder_read(const char *data, Size bytes, MemoryContext context);

/* encoder.c */
extern int32 mr_encoder_sparse_columns(const MrEncoder *encoder);
extern int32 mr_encoder_dense_columns(const MrEncoder *encoder);

/* feature_row.c: new rows, one or many */
extern void mr_feature_row_from_json(MrEncoder *encoder, Jsonb *json, MrJsonKind kind, MrFeatures *row);
extern bool mr_feature_row_of_key(MrEncoder *encoder, Oid relation, Oid key_type, const char *equals, Datum key,
								  MrFeatures *row);
extern void mr_feature_row_empty(const MrEncoder *encoder, MrFeatures *row);
extern int64 mr_feature_read_new(MrEncoder *encoder, Oid relation, Oid key_type, const char *condition,
								 MrFeatureCallback callback, void *arg);

#endif							/* MR_FEATURE_H */
