/*
 * encoder_fit.c
 *		The first pass: statistics and vocabularies of all columns.
 *
 * Everything depends on the set of the rows, not on the order in which they come:
 * sums are exact (math/exactsum.h), counts are integers, vocabularies are chosen by
 * count and then by bytes, and stand in the order of their bytes.
 *
 * Memory: each distinct value of a category or list is held, with its count, until
 * the pass is over: about 40 bytes and its text.  It counts against the limit.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "feature/encoder.h"
#include "math/exactsum.h"
#include "math/topk.h"

#define FIRST_COUNTS 256

/* How often a value occurs. */
typedef struct ValueCount
{
	int32		rows;			/* that have it */
	int32		last_row;		/* the last of them, to count a row once */
} ValueCount;

/* What the pass gathers of one column. */
typedef struct ColumnFit
{
	MrExactSum	sum;
	MrExactSum	squares;
	double		least;
	double		greatest;
	MrIdMap    *seen;			/* distinct values; NULL if the kind has none */
	ValueCount *counts;			/* [n_allocated], by row of `seen` */
	int32		n_counted;
	int32		n_allocated;
	bool		is_uniform;		/* every row that is not NULL has the same values */
} ColumnFit;

typedef struct Fit
{
	ColumnFit  *columns;
	MrBudget   *budget;
	MemoryContext context;
	int32		row;			/* number of the row */
} Fit;

static bool
is_counted(MrColumnKind kind)
{
	return kind == MR_COLUMN_CATEGORY || kind == MR_COLUMN_LIST || kind == MR_COLUMN_WORDS;
}

static void
count_value(Fit *fit, ColumnFit *column, Datum value)
{
	int32		at = mr_idmap_insert(column->seen, value);
	ValueCount *count;

	if (at == column->n_allocated)
	{
		Size		old = column->n_allocated;
		Size		new = Max(FIRST_COUNTS, Min(old + old / 2, PG_INT32_MAX));

		if (column->counts == NULL)
			column->counts = mr_budget_alloc(fit->budget, fit->context, new * sizeof(ValueCount));
		else
			column->counts = mr_budget_realloc(fit->budget, column->counts, old * sizeof(ValueCount),
											   new * sizeof(ValueCount));
		column->n_allocated = (int32) new;
	}
	count = &column->counts[at];
	if (at == column->n_counted)
	{
		column->n_counted++;
		count->rows = 0;
		count->last_row = -1;
	}
	if (count->last_row == fit->row)
		return;
	count->last_row = fit->row;
	count->rows++;
}

static void
count_number(ColumnFit *column, double x, bool is_first)
{
	mr_exact_add(&column->sum, x);
	mr_exact_add_product(&column->squares, x, x);
	column->least = is_first ? x : Min(column->least, x);
	column->greatest = is_first ? x : Max(column->greatest, x);
}

static void
count_list(Fit *fit, ColumnFit *column, const MrFeatureRow *row, int i)
{
	Datum	   *elements;
	int			n = mr_feature_elements(row, i, &elements);

	for (int j = 0; j < n; j++)
		count_value(fit, column, elements[j]);
}

/* The first vector fixes the length; the second pass compares the others as it reads them. */
static void
count_vector(MrEncoderColumn *column, const MrFeatureRow *row, int i)
{
	int			length = mr_feature_vector_length(row, i);

	if (column->dimensions >= 0 && column->dimensions != length)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("column \"%s\" holds a vector of length %d, but others have length %d",
						column->name, length, column->dimensions),
				 mr_feature_err_row(row)));
	column->dimensions = length;
}

static void
fit_row(void *arg, const MrFeatureRow *row)
{
	Fit		   *fit = arg;

	fit->budget->rows++;
	if (fit->row == PG_INT32_MAX - 1)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows of features")));
	for (int i = 0; i < row->n; i++)
	{
		MrEncoderColumn *column = row->columns[i];
		ColumnFit  *gathered = &fit->columns[i];

		if (row->nulls[i])
		{
			column->n_nulls++;
			continue;
		}
		if (column->kind == MR_COLUMN_CATEGORY)
			count_value(fit, gathered, row->values[i]);
		else if (is_counted(column->kind))
			count_list(fit, gathered, row, i);
		else if (column->kind == MR_COLUMN_VECTOR)
			count_vector(column, row, i);
		else
			count_number(gathered, mr_feature_number(row, i), column->n_rows == 0);
		column->n_rows++;
	}
	fit->row++;
}

/* The most frequent values, of equal ones those that come first by bytes: marks them. */
static int32
choose_values(Fit *fit, const ColumnFit *column, const MrFeatureSource *source, bool *chosen)
{
	int32		n = mr_idmap_size(column->seen);
	Size		size = sizeof(MrTopItem) * Min(n, source->max_vocabulary);
	MrTopItem  *items = mr_budget_alloc(fit->budget, fit->context, size);
	int32		n_chosen;
	MrTopK		top;

	mr_topk_init(&top, items, Min(n, source->max_vocabulary));
	for (int32 i = 0; i < n; i++)
	{
		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		chosen[i] = false;
		if (column->counts[i].rows >= source->min_count)
			mr_topk_push(&top, -(double) column->counts[i].rows, i);
	}
	for (int64 i = 0; i < top.n; i++)
		chosen[top.items[i].row] = true;
	n_chosen = (int32) top.n;
	mr_budget_free(fit->budget, items, size);
	return n_chosen;
}

/* Brings the values, and their counts, into the order of their bytes. */
static void
order_values(Fit *fit, ColumnFit *column)
{
	Size		n = mr_idmap_size(column->seen);
	Size		size = sizeof(ValueCount) * column->n_allocated;
	int32	   *new_row = mr_budget_alloc(fit->budget, fit->context, sizeof(int32) * n);
	ValueCount *counts = mr_budget_alloc(fit->budget, fit->context, size);

	mr_idmap_canonicalise(column->seen, NULL, new_row);
	for (Size i = 0; i < n; i++)
	{
		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		counts[new_row[i]] = column->counts[i];
	}
	mr_budget_free(fit->budget, new_row, sizeof(int32) * n);
	mr_budget_free(fit->budget, column->counts, size);
	column->counts = counts;
}

/* ln(1 + N / df): never 0, so that a list never has norm 0. */
static float
inverse_frequency(int64 n_rows, int64 df)
{
	return (float) log1p((double) n_rows / (double) df);
}

/*
 * The vocabulary of a column, from all values that were seen.  What is rare or
 * beyond the limit gets the frequency that it has at most, because which rows have
 * any of it is not known any more.
 */
static void
finish_values(Fit *fit, ColumnFit *gathered, MrEncoderColumn *column, const MrFeatureSource *source,
			  MemoryContext context)
{
	int32		n = mr_idmap_size(gathered->seen);
	int64		rare = 0;
	bool	   *chosen;

	column->n_distinct = n;
	column->min_count = source->min_count;
	column->vocabulary = mr_idmap_create(TEXTOID, C_COLLATION_OID, context);
	mr_idmap_set_budget(column->vocabulary, fit->budget);
	if (n == 0)
		return;
	order_values(fit, gathered);
	chosen = mr_budget_alloc(fit->budget, fit->context, n);
	column->n_values = choose_values(fit, gathered, source, chosen);
	column->weight = mr_budget_alloc(fit->budget, context, sizeof(float) * Max(column->n_values, 1));
	gathered->is_uniform = true;
	for (int32 i = 0; i < n; i++)
	{
		int32		df = gathered->counts[i].rows;

		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		if (!chosen[i])
		{
			rare += df;
			continue;
		}
		column->weight[mr_idmap_insert(column->vocabulary, mr_idmap_id(gathered->seen, i))] =
			inverse_frequency(column->n_rows, df);
		gathered->is_uniform = gathered->is_uniform && df == column->n_rows;
	}
	column->has_rare = rare > 0;
	if (column->has_rare)
		column->rare_weight = inverse_frequency(column->n_rows, Min(rare, column->n_rows));
	mr_budget_free(fit->budget, chosen, n);
}

/*
 * Does the column carry anything?  Not if every row would be encoded alike.  One
 * value beside NULLs does: a flag is often kept that way.
 */
static MrColumnUse
use_of(const MrEncoderColumn *column, const ColumnFit *gathered)
{
	if (column->n_rows == 0)
		return MR_COLUMN_ALL_NULL;
	if (column->kind == MR_COLUMN_VECTOR)
		return column->dimensions > 0 ? MR_COLUMN_USED : MR_COLUMN_NO_VALUE;
	if (is_counted(column->kind))
	{
		if (column->n_distinct == 0)
			return MR_COLUMN_NO_VALUE;
		if (column->n_values == 0)
			return MR_COLUMN_ALL_RARE;
		if (gathered->is_uniform && !column->has_rare && column->n_nulls == 0)
			return MR_COLUMN_ONE_VALUE;
		return MR_COLUMN_USED;
	}
	return column->deviation > 0 || column->n_nulls > 0 ? MR_COLUMN_USED : MR_COLUMN_ONE_VALUE;
}

static void
finish_column(Fit *fit, int i, MrEncoder *encoder, const MrFeatureSource *source)
{
	MrEncoderColumn *column = &encoder->columns[i];
	ColumnFit  *gathered = &fit->columns[i];

	if (is_counted(column->kind))
		finish_values(fit, gathered, column, source, encoder->context);
	else if (column->kind != MR_COLUMN_VECTOR && column->n_rows > 0)
	{
		mr_exact_moments(&gathered->sum, &gathered->squares, column->n_rows, &column->mean, &column->deviation);
		if (gathered->least == gathered->greatest)
		{
			column->mean = gathered->least + 0.0;	/* -0 becomes 0 */
			column->deviation = 0;
		}
	}
	column->use = use_of(column, gathered);
}

/*
 * Reads the relation once and fits the encoder.  SPI is connected, a snapshot
 * active.  What stays counts against the budget afterwards.
 */
void
mr_encoder_fit(MrEncoder *encoder, const MrFeatureSource *source, const MrFeatureQuery *query, MrBudget *budget)
{
	Fit			fit = {.budget = budget};
	Size		used = budget->used;
	Size		used_by_pass;

	fit.context = AllocSetContextCreate(encoder->context, "metricrec feature fit", ALLOCSET_DEFAULT_SIZES);
	fit.columns = mr_budget_alloc(budget, fit.context, sizeof(ColumnFit) * Max(encoder->n, 1));
	memset(fit.columns, 0, sizeof(ColumnFit) * Max(encoder->n, 1));
	for (int i = 0; i < encoder->n; i++)
	{
		if (!is_counted(encoder->columns[i].kind))
			continue;
		fit.columns[i].seen = mr_idmap_create(TEXTOID, C_COLLATION_OID, fit.context);
		mr_idmap_set_budget(fit.columns[i].seen, budget);
	}
	mr_feature_scan(mr_feature_query_text(query, encoder, false), NULL, NULL, encoder, false,
					query->key_base_type, NULL, fit_row, &fit);
	encoder->n_rows = fit.row;
	used_by_pass = budget->used - used;
	for (int i = 0; i < encoder->n; i++)
		finish_column(&fit, i, encoder, source);
	MemoryContextDelete(fit.context);
	budget->used -= used_by_pass;
	mr_encoder_place(encoder);
}
