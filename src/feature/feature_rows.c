/*
 * feature_rows.c
 *		Encoded rows in growing arrays, and their final order.
 *
 * Memory: 8 bytes per entry of the sparse part, 8 per row, 4 per coordinate of the
 * dense part; up to the double while arrays grow, and while rows are put into order.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "feature/encoder.h"

#define FIRST_ROWS 16
#define FIRST_ENTRIES 256

/* Starts without rows. */
void
mr_feature_rows_init(MrFeatureRows *rows, int32 n_dense, MemoryContext context, MrBudget *budget)
{
	memset(rows, 0, sizeof(*rows));
	rows->context = context;
	rows->budget = budget;
	rows->n_dense = n_dense;
	rows->start = mr_budget_alloc(budget, context, sizeof(int64));
	rows->start[0] = 0;
}

/* An array with room for new_n elements; NULL becomes a new one. */
static void *
grow(MrFeatureRows *rows, void *array, Size old_n, Size new_n, Size size)
{
	if (array == NULL)
		return mr_budget_alloc(rows->budget, rows->context, mul_size(new_n, size));
	return mr_budget_realloc(rows->budget, array, old_n * size, mul_size(new_n, size));
}

/* Makes room for one more row with at most so many entries. */
void
mr_feature_rows_reserve(MrFeatureRows *rows, int64 entries)
{
	int64		need = rows->n_entries + entries;

	if (rows->n == rows->n_allocated)
	{
		int64		n = Max((int64) FIRST_ROWS, (int64) rows->n + rows->n / 2);

		if (rows->n == PG_INT32_MAX - 1)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many rows of features")));
		n = Min(n, PG_INT32_MAX - 1);
		rows->start = grow(rows, rows->start, (Size) rows->n_allocated + 1, (Size) n + 1, sizeof(int64));
		if (rows->n_dense > 0)
			rows->dense = grow(rows, rows->dense, (Size) rows->n_allocated, (Size) n,
							   sizeof(float) * rows->n_dense);
		rows->n_allocated = (int32) n;
	}
	if (need > rows->n_entries_allocated || rows->column == NULL)
	{
		int64		n = Max(Max((int64) FIRST_ENTRIES, need), rows->n_entries + rows->n_entries / 2);

		rows->column = grow(rows, rows->column, rows->n_entries_allocated, n, sizeof(int32));
		rows->value = grow(rows, rows->value, rows->n_entries_allocated, n, sizeof(float));
		rows->n_entries_allocated = n;
	}
}

/* Takes all rows out; the arrays stay. */
void
mr_feature_rows_clear(MrFeatureRows *rows)
{
	rows->n = 0;
	rows->n_entries = 0;
}

static void
free_rows(MrFeatureRows *rows)
{
	Size		n_rows = rows->n_allocated;
	Size		n_entries = rows->n_entries_allocated;

	mr_budget_free(rows->budget, rows->start, sizeof(int64) * (n_rows + 1));
	mr_budget_free(rows->budget, rows->column, sizeof(int32) * n_entries);
	mr_budget_free(rows->budget, rows->value, sizeof(float) * n_entries);
	mr_budget_free(rows->budget, rows->dense, sizeof(float) * rows->n_dense * n_rows);
	memset(rows, 0, sizeof(*rows));
}

/* Empty rows, and start[] from the lengths of the rows in their new places. */
static void
init_features(MrFeatureRows *rows, const int32 *place, MemoryContext context, MrFeatures *features)
{
	Size		n = features->n_rows;
	Size		n_entries = Max(rows->n_entries, 1);

	features->start = mr_budget_alloc(rows->budget, context, sizeof(int64) * (n + 1));
	features->is_present = mr_budget_alloc(rows->budget, context, Max(n, 1));
	features->column = mr_budget_alloc(rows->budget, context, sizeof(int32) * n_entries);
	features->value = mr_budget_alloc(rows->budget, context, sizeof(float) * n_entries);
	memset(features->start, 0, sizeof(int64) * (n + 1));
	memset(features->is_present, 0, Max(n, 1));
	if (features->n_dense > 0)
	{
		Size		size = mul_size(sizeof(float) * features->n_dense, Max(n, 1));

		features->dense = mr_budget_alloc(rows->budget, context, size);
		memset(features->dense, 0, size);
	}
	for (int32 i = 0; i < rows->n; i++)
	{
		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		features->start[place[i] + 1] = rows->start[i + 1] - rows->start[i];
		features->is_present[place[i]] = 1;
	}
	for (Size i = 0; i < n; i++)
		features->start[i + 1] += features->start[i];
}

/*
 * Brings the rows into their final order: row i goes to place[i], no two to the
 * same; places without a row have no features.  Frees the rows.
 */
void
mr_feature_rows_order(MrFeatureRows *rows, const int32 *place, int32 n_rows, int32 n_sparse,
					  MemoryContext context, MrFeatures *features)
{
	memset(features, 0, sizeof(*features));
	features->n_rows = n_rows;
	features->n_sparse = n_sparse;
	features->n_dense = rows->n_dense;
	init_features(rows, place, context, features);
	for (int32 i = 0; i < rows->n; i++)
	{
		int64		from = rows->start[i];
		int64		to = features->start[place[i]];
		Size		n = rows->start[i + 1] - from;

		if ((i & 0x3FF) == 0)
			CHECK_FOR_INTERRUPTS();
		memcpy(features->column + to, rows->column + from, sizeof(int32) * n);
		memcpy(features->value + to, rows->value + from, sizeof(float) * n);
		if (rows->n_dense > 0)
			memcpy(features->dense + (Size) place[i] * rows->n_dense, rows->dense + (Size) i * rows->n_dense,
				   sizeof(float) * rows->n_dense);
	}
	free_rows(rows);
}
