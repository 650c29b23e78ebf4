/*
 * encoder.h
 *		What the files of this folder share: the encoder's columns, a row on its
 *		way from the executor, encoded rows in growing arrays.
 *
 * Columns of the sparse part, column by column of the relation in its order:
 *
 *		number, date, time	[z] [is NULL]
 *		category			[value 0] ... [value n-1] [rare or unseen] [is NULL]
 *		list, words			[value 0] ... [value n-1] [rare or unseen] [is NULL]
 *		vector				[is NULL], and its coordinates in the dense part
 *
 * Values stand in the order of their bytes.  [rare or unseen] and [is NULL] exist
 * where a row of the training had one: weights that no row ever trained would add
 * noise to the rows that come later.  Where they do not exist, such a value has
 * no entry.  The same with [z] of a column whose values are all the same.
 */
#ifndef MR_ENCODER_H
#define MR_ENCODER_H

#include "executor/spi.h"

#include "feature/feature.h"

/* Stored as a number: do not change the order. */
typedef enum MrColumnKind
{
	MR_COLUMN_NUMBER,			/* integers, floats, numeric */
	MR_COLUMN_DATE,				/* days since 1970 */
	MR_COLUMN_TIMESTAMP,		/* seconds since 1970 */
	MR_COLUMN_TIMESTAMPTZ,
	MR_COLUMN_CATEGORY,			/* read as text */
	MR_COLUMN_LIST,				/* read as text[] */
	MR_COLUMN_WORDS,			/* text, read as text[] */
	MR_COLUMN_VECTOR
} MrColumnKind;

#define MR_COLUMN_KINDS (MR_COLUMN_VECTOR + 1)

/* Does a column carry anything, and why not?  Stored as a number. */
typedef enum MrColumnUse
{
	MR_COLUMN_USED,
	MR_COLUMN_ALL_NULL,
	MR_COLUMN_ONE_VALUE,		/* in all rows */
	MR_COLUMN_ALL_RARE,			/* no value in min_count rows */
	MR_COLUMN_NO_VALUE			/* all lists or vectors are empty */
} MrColumnUse;

#define MR_COLUMN_USES (MR_COLUMN_NO_VALUE + 1)

typedef struct MrEncoderColumn
{
	char	   *name;
	char	   *type;			/* domains looked through; qualified, for SQL text */
	MrColumnKind kind;

	/* Fitted. */
	MrColumnUse use;
	int64		n_rows;			/* that are not NULL */
	int64		n_nulls;
	int64		n_distinct;		/* categories and lists: values, rare ones too */
	int32		min_count;		/* categories and lists: as given */
	double		mean;			/* numbers and times */
	double		deviation;		/* 0: one value */
	int32		n_values;		/* in the vocabulary */
	MrIdMap    *vocabulary;		/* text under collation C; NULL for other kinds */
	float	   *weight;			/* [n_values] of a list's entries */
	bool		has_rare;
	float		rare_weight;
	int32		dimensions;		/* of a vector, -1 until one was seen */

	/* Places, which follow from the above: mr_encoder_place(). */
	int32		first;			/* column of the sparse part */
	int32		n_sparse;
	int32		rare_at;		/* -1 = none */
	int32		null_at;		/* -1 = none */
	int32		first_dense;
} MrEncoderColumn;

struct MrEncoder
{
	MemoryContext context;
	char	   *key_column;
	int32		n;				/* columns of the relation but the key */
	MrEncoderColumn *columns;	/* [n] */
	int64		n_rows;			/* it was fitted to */
	int32		n_sparse;
	int32		n_dense;
	SPIPlanPtr	json_plan;		/* kept from row to row; NULL = not made yet */
	char	   *json_text;		/* its query */
	int			json_running;	/* executions of it under way */
	SPIPlanPtr	key_plan;		/* likewise, of mr_feature_row_of_key() */
	char	   *key_text;		/* its query */
	Oid			key_type;		/* of its parameter */
	int			key_running;	/* executions of it under way */
	MemoryContextCallback forget_json_plan;
	MemoryContextCallback forget_key_plan;
};

/*
 * A row as the executor gives it.  Its datums live until the callback returns,
 * and so does what is allocated meanwhile.
 */
typedef struct MrFeatureRow
{
	bool		has_key;		/* false: a jsonb */
	Oid			key_type;		/* base type */
	Datum		key;
	int			n;
	MrEncoderColumn **columns;	/* [n] those that are read */
	Oid		   *types;			/* [n] base types; of arrays, that of the elements */
	const Datum *values;		/* [n] */
	const bool *nulls;			/* [n] */
} MrFeatureRow;

typedef void (*MrFeatureRowSink) (void *arg, const MrFeatureRow *row);

/* The checked relation, and how its key is read. */
typedef struct MrFeatureQuery
{
	char	   *relation_name;	/* for messages */
	char	   *relation;		/* quoted, qualified */
	char	   *key;			/* expression */
	Oid			key_type;		/* of the column, domains kept */
	Oid			key_collation;
	Oid			key_base_type;	/* as the query gives it */
} MrFeatureQuery;

/* Encoded rows, in the order in which they come. */
typedef struct MrFeatureRows
{
	MemoryContext context;
	MrBudget   *budget;			/* NULL = no limit */
	int32		n_dense;
	int32		n;
	int32		n_allocated;
	int64		n_entries;
	int64		n_entries_allocated;
	int64	   *start;			/* [n + 1] */
	int32	   *column;
	float	   *value;
	float	   *dense;			/* [n][n_dense] */
} MrFeatureRows;

/* feature_source.c */
extern MrEncoder *mr_feature_prepare(const MrFeatureSource *source, Oid key_type, MemoryContext context,
									 MrFeatureQuery *query);
extern char *mr_feature_query_text(const MrFeatureQuery *query, const MrEncoder *encoder, bool used_only);
extern void mr_feature_match(const MrEncoder *encoder, Oid relation, Oid key_type, MrFeatureQuery *query);
extern bool mr_feature_kind_of(Oid base_type, MrColumnKind *kind);
extern void mr_feature_add_column(StringInfo text, const MrEncoderColumn *column);

/* feature_scan.c */
extern void mr_feature_scan(const char *sql, SPIPlanPtr plan, ParamListInfo parameters, MrEncoder *encoder,
							bool used_only, Oid key_type, MrFeatureCounts *counts, MrFeatureRowSink sink, void *arg);

/* feature_value.c */
extern double mr_feature_number(const MrFeatureRow *row, int i);
extern int	mr_feature_elements(const MrFeatureRow *row, int i, Datum **elements);
extern int	mr_feature_vector_length(const MrFeatureRow *row, int i);
extern void mr_feature_vector(const MrFeatureRow *row, int i, float *x);
extern int	mr_feature_err_row(const MrFeatureRow *row);
extern char *mr_feature_key_text(Oid type, Datum key);

/* encoder.c */
extern void mr_encoder_place(MrEncoder *encoder);
extern void mr_encoder_encode(const MrFeatureRow *row, MrFeatureRows *rows);

/* encoder_fit.c */
extern void mr_encoder_fit(MrEncoder *encoder, const MrFeatureSource *source, const MrFeatureQuery *query,
						   MrBudget *budget);

/* feature_rows.c */
extern void mr_feature_rows_init(MrFeatureRows *rows, int32 n_dense, MemoryContext context, MrBudget *budget);
extern void mr_feature_rows_reserve(MrFeatureRows *rows, int64 entries);
extern void mr_feature_rows_clear(MrFeatureRows *rows);
extern void mr_feature_rows_order(MrFeatureRows *rows, const int32 *place, int32 n_rows, int32 n_sparse,
								  MemoryContext context, MrFeatures *features);

/* feature_table.c */
extern MrFeatureTable *mr_feature_load(const MrFeatureSource *source, const MrIdMap *known, bool strict,
									   MemoryContext parent, Size limit);

#endif							/* MR_ENCODER_H */
