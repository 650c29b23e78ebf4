/*
 * encoder.c
 *		The places of an encoder's columns, and the encoding of a row.
 *
 *		number		z = (x - mean) / deviation, clipped to -10 .. 10
 *		category	1 in the column of its value
 *		list		ln(1 + N / df) for each value, N rows that are not NULL, df of
 *					them with the value; then the whole list scaled to L2 norm 1.
 *					What is not in the vocabulary shares one entry per row, whose df is
 *					at most the sum of theirs, and at most N.
 *		vector		its coordinates
 *
 * The weight of a value that every row has is ln 2, not 0, so that a list never
 * comes to nothing.
 *
 * All rows, of a training or new ones, go through mr_encoder_encode().
 */
#include "postgres.h"

#include <math.h>

#include "feature/encoder.h"

/* Beyond that many deviations it does not matter how far. */
#define MAX_DEVIATIONS 10

int32
mr_encoder_sparse_columns(const MrEncoder *encoder)
{
	return encoder->n_sparse;
}

int32
mr_encoder_dense_columns(const MrEncoder *encoder)
{
	return encoder->n_dense;
}

static bool
has_vocabulary(const MrEncoderColumn *column)
{
	return column->vocabulary != NULL;
}

static void
place_column(MrEncoderColumn *column)
{
	int32		n = 0;

	column->rare_at = column->null_at = -1;
	column->n_sparse = 0;
	if (column->use != MR_COLUMN_USED)
		return;
	if (has_vocabulary(column))
		n += column->n_values;
	else if (column->kind != MR_COLUMN_VECTOR && column->deviation > 0)
		n++;
	if (column->has_rare)
		column->rare_at = n++;
	if (column->n_nulls > 0)
		column->null_at = n++;
	column->n_sparse = n;
}

/*
 * Gives each column its place, from what was fitted or read.  Error if there
 * are more columns than a model can have.
 */
void
mr_encoder_place(MrEncoder *encoder)
{
	int64		n_sparse = 0;
	int64		n_dense = 0;

	for (int i = 0; i < encoder->n; i++)
	{
		MrEncoderColumn *column = &encoder->columns[i];

		place_column(column);
		column->first = (int32) n_sparse;
		column->first_dense = (int32) n_dense;
		n_sparse += column->n_sparse;
		if (column->use == MR_COLUMN_USED && column->kind == MR_COLUMN_VECTOR)
			n_dense += column->dimensions;
		if (n_sparse > MR_MAX_SPARSE_COLUMNS || n_dense > MR_MAX_DENSE_COLUMNS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("features have too many columns"),
					 errdetail("Values of vocabularies may be at most %d, coordinates of vectors %d, in all columns together.",
							   MR_MAX_SPARSE_COLUMNS, MR_MAX_DENSE_COLUMNS),
					 errhint("Lower max_vocabulary, raise min_count, or leave columns out by a view.")));
	}
	encoder->n_sparse = (int32) n_sparse;
	encoder->n_dense = (int32) n_dense;
}

static inline void
append_entry(MrFeatureRows *rows, int32 column, float value)
{
	Assert(rows->n_entries < rows->n_entries_allocated);
	rows->column[rows->n_entries] = column;
	rows->value[rows->n_entries] = value;
	rows->n_entries++;
}

static void
encode_number(const MrFeatureRow *row, int i, MrFeatureRows *rows)
{
	const MrEncoderColumn *column = row->columns[i];
	double		x = mr_feature_number(row, i);
	double		z;

	if (!(column->deviation > 0))
		return;
	z = (x - column->mean) / column->deviation;
	z = Max(-MAX_DEVIATIONS, Min(MAX_DEVIATIONS, z));
	if ((float) z != 0)
		append_entry(rows, column->first, (float) z);
}

static void
encode_category(const MrFeatureRow *row, int i, MrFeatureRows *rows)
{
	const MrEncoderColumn *column = row->columns[i];
	int32		at = mr_idmap_lookup(column->vocabulary, row->values[i]);

	if (at < 0)
		at = column->rare_at;
	if (at >= 0)
		append_entry(rows, column->first + at, 1);
}

static int
compare_places(const void *a, const void *b)
{
	int32		x = *(const int32 *) a;
	int32		y = *(const int32 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * A list as entries: values sorted by place, once each, weighted, scaled to
 * norm 1.
 */
static void
encode_list(const MrFeatureRow *row, int i, MrFeatureRows *rows)
{
	const MrEncoderColumn *column = row->columns[i];
	Datum	   *elements;
	int			n_elements = mr_feature_elements(row, i, &elements);
	int32	   *places = palloc(sizeof(int32) * Max(n_elements, 1));
	int			n = 0;
	int64		first = rows->n_entries;
	double		square = 0;

	for (int j = 0; j < n_elements; j++)
	{
		int32		at = mr_idmap_lookup(column->vocabulary, elements[j]);

		if (at < 0)
			at = column->rare_at;
		if (at >= 0)
			places[n++] = at;
	}
	qsort(places, n, sizeof(int32), compare_places);
	mr_feature_rows_reserve(rows, (int64) n + row->n);
	for (int j = 0; j < n; j++)
	{
		float		weight = places[j] == column->rare_at ? column->rare_weight : column->weight[places[j]];

		if (j > 0 && places[j] == places[j - 1])
			continue;
		append_entry(rows, column->first + places[j], weight);
		square += (double) weight * weight;
	}
	for (int64 j = first; j < rows->n_entries; j++)
		rows->value[j] = (float) (rows->value[j] / sqrt(square));
}

static void
encode_column(const MrFeatureRow *row, int i, MrFeatureRows *rows)
{
	const MrEncoderColumn *column = row->columns[i];

	if (row->nulls[i])
	{
		if (column->null_at >= 0)
			append_entry(rows, column->first + column->null_at, 1);
		return;
	}
	switch (column->kind)
	{
		case MR_COLUMN_NUMBER:
		case MR_COLUMN_DATE:
		case MR_COLUMN_TIMESTAMP:
		case MR_COLUMN_TIMESTAMPTZ:
			encode_number(row, i, rows);
			break;
		case MR_COLUMN_CATEGORY:
			encode_category(row, i, rows);
			break;
		case MR_COLUMN_LIST:
		case MR_COLUMN_WORDS:
			encode_list(row, i, rows);
			break;
		case MR_COLUMN_VECTOR:
			mr_feature_vector(row, i, rows->dense + (Size) rows->n * rows->n_dense + column->first_dense);
			break;
	}
}

/* Encodes a row that holds the used columns, and appends it. */
void
mr_encoder_encode(const MrFeatureRow *row, MrFeatureRows *rows)
{
	/* Every column but a list has one entry at most; lists make room by themselves. */
	mr_feature_rows_reserve(rows, row->n);
	if (rows->n_dense > 0)
		memset(rows->dense + (Size) rows->n * rows->n_dense, 0, sizeof(float) * rows->n_dense);
	for (int i = 0; i < row->n; i++)
		encode_column(row, i, rows);
	rows->n++;
	rows->start[rows->n] = rows->n_entries;
}
