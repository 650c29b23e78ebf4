/*
 * lsh_build_cells.c
 *		The rows of a batch: cells become so large that each is a page.
 *
 * MR_HASH_VORONOI.  The cells are those of the centres that training found, and
 * some are too large for a page, others too small to be worth one.  A few times
 * the centres are changed and then all rows of the batch put to the nearest one
 * again, so that a row lies in the cell where a search expects it: a centre with
 * too many rows gives way to several, which k-means finds in its rows; centres
 * with few rows are dropped, as long as there are more pages than needed.  What
 * is too large at the end is cut in two.
 *
 * MR_HASH_PROJECTION.  A cell that is too large is cut as a full page would be.
 * The two halves of a prefix are put together if they fit one page.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "index/lsh_build.h"

/* How often centres are changed. */
#define ROUNDS 3

/* k-means over the rows of one cell. */
#define KMEANS_ROUNDS 4
#define MAX_CENTRES 256

/* How full the pages shall be that a cell is made into, and all of a batch. */
#define SPLIT_FILL 0.75
#define BATCH_FILL 0.8

/* How full the halves of a prefix may make a page. */
#define MERGE_LIMIT 0.92

/* How full the pages are of rows that cannot be told apart. */
#define EQUAL_FILL 0.9

/* Parts of a part of a part ...: more than that and the rows cannot be told apart. */
#define MAX_DEPTH 64

/* ---- lists of cells ---- */

/* No cells, and no rows, in the current memory context. */
void
mr_lsh_cells_init(MrLshCells *cells, MrLshBuild *build)
{
	const int	dim = Max(build->meta.dim, 1);

	cells->build = build;
	mr_lsh_list_init(&cells->rows, dim, false);
	mr_lsh_list_init(&cells->centres, dim, true);
	cells->room = cells->centres.room;
	cells->end = palloc(cells->room * sizeof(int));
}

void
mr_lsh_cells_clear(MrLshCells *cells)
{
	cells->rows.n = 0;
	cells->centres.n = 0;
}

/* Where the rows of cell i begin. */
static int
first_of(const MrLshCells *cells, int i)
{
	return i == 0 ? 0 : cells->end[i - 1];
}

static int
size_of(const MrLshCells *cells, int i)
{
	return cells->end[i] - first_of(cells, i);
}

/* Appends a cell; its rows end there. */
static void
append_cell(MrLshCells *cells, const MrLshEntry *centre, int end)
{
	mr_lsh_list_entry(&cells->centres, centre);
	if (cells->centres.n > cells->room)
	{
		cells->room *= 2;
		cells->end = repalloc_huge(cells->end, mul_size(cells->room, sizeof(int)));
	}
	cells->end[cells->centres.n - 1] = end;
}

/*
 * The rows that came since the last cell are one.  They are put in the order of
 * TIDs, because what follows depends on their order.
 */
void
mr_lsh_cells_close(MrLshCells *cells, const MrLshEntry *centre)
{
	int			first = first_of(cells, cells->centres.n);

	if (cells->rows.n == first)
		return;
	mr_lsh_list_sort(&cells->rows, first, cells->rows.n - first);
	append_cell(cells, centre, cells->rows.n);
}

/* Takes over centres and ends from a list that was made for these rows. */
static void
replace_cells(MrLshCells *cells, const MrLshCells *made)
{
	cells->centres.n = 0;
	for (int i = 0; i < made->centres.n; i++)
	{
		MrLshEntry	centre;

		mr_lsh_list_get_entry(&made->centres, i, &centre);
		append_cell(cells, &centre, made->end[i]);
	}
}

/* ---- changing centres ---- */

/* Appends the centres that k-means finds in the rows of a cell. */
static void
add_centres_of(const MrLshCells *cells, int i, MrLshList *centres)
{
	MrLshBuild *build = cells->build;
	int			n = size_of(cells, i);
	int			k = (int) ceil(n / (SPLIT_FILL * build->layout.leaf_capacity));
	MrBuckets	rows;
	MrKmeans	kmeans;

	k = Max(2, Min(k, Min(MAX_CENTRES, n)));
	mr_lsh_list_buckets(&cells->rows, first_of(cells, i), n, &rows);
	mr_kmeans_begin(&kmeans, &rows.centres, k, KMEANS_ROUNDS, build->meta.seed + n,
					mr_lsh_palloc_aligned(mr_kmeans_size(n, k, build->meta.dim)));
	while (mr_kmeans_step(&kmeans))
		CHECK_FOR_INTERRUPTS();
	for (int j = 0; j < k; j++)
	{
		MrLshEntry	centre = {0};

		if (kmeans.count[j] == 0)
			continue;
		mr_centres_get(&kmeans.centres, j, kmeans.code, &centre.scale, &centre.norm);
		centre.code = kmeans.code;
		mr_lsh_list_entry(centres, &centre);
	}
}

typedef struct CellSize
{
	int			cell;
	int			n;
} CellSize;

static int
compare_sizes(const void *a, const void *b)
{
	const CellSize *x = a;
	const CellSize *y = b;

	return x->n != y->n ? x->n - y->n : x->cell - y->cell;
}

/*
 * Drops cells of less than half a page, the smallest first, as long as there
 * are more than `needed` of `n` centres.
 */
static int
drop_small(const MrLshCells *cells, int n, int needed, bool *drop)
{
	CellSize   *small = palloc(cells->centres.n * sizeof(CellSize));
	int			n_small = 0;

	for (int i = 0; i < cells->centres.n; i++)
		if (size_of(cells, i) * 2 <= cells->build->layout.leaf_capacity)
			small[n_small++] = (CellSize) {i, size_of(cells, i)};
	qsort(small, n_small, sizeof(CellSize), compare_sizes);
	n_small = Max(0, Min(n_small, n - needed));
	for (int i = 0; i < n_small; i++)
		drop[small[i].cell] = true;
	return n_small;
}

/* The centres of the next round; false if they would be the same. */
static bool
change_centres(const MrLshCells *cells, MrLshList *centres)
{
	const int	capacity = cells->build->layout.leaf_capacity;
	int			needed = (int) ceil(cells->rows.n / (BATCH_FILL * capacity));
	bool	   *drop = palloc0(cells->centres.n * sizeof(bool));
	int			dropped = 0;

	for (int i = 0; i < cells->centres.n; i++)
		if (size_of(cells, i) > capacity &&
			!mr_lsh_list_equal(&cells->rows, first_of(cells, i), size_of(cells, i)))
		{
			add_centres_of(cells, i, centres);
			drop[i] = true;
			dropped++;
		}
	dropped += drop_small(cells, cells->centres.n - dropped + centres->n, Max(needed, 1), drop);
	for (int i = 0; i < cells->centres.n; i++)
		if (!drop[i])
		{
			MrLshEntry	centre;

			mr_lsh_list_get_entry(&cells->centres, i, &centre);
			mr_lsh_list_entry(centres, &centre);
		}
	pfree(drop);
	return dropped > 0;
}

/* The nearest centre of each row. */
static int32 *
nearest_centres(const MrLshList *rows, const MrLshList *list)
{
	const int	step = mr_rows_per_step(list->n, list->dim);
	int32	   *cell = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(rows->n, sizeof(int32)));
	float	   *distance = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(rows->n, sizeof(float)));
	void	   *wide = mr_lsh_palloc_aligned(mr_wide_size(list->dim));
	MrCentres	centres;
	MrBuckets	all;

	mr_centres_init(&centres, list->n, list->dim, mr_lsh_palloc_aligned(mr_centres_size(list->n, list->dim)));
	for (int i = 0; i < list->n; i++)
		mr_centres_set(&centres, i, list->codes + (Size) i * list->dim, list->scale[i], list->norm[i]);
	mr_lsh_list_buckets(rows, 0, rows->n, &all);
	for (int at = 0; at < rows->n; at += step)
	{
		mr_centres_assign(&centres, &all.centres, at, Min(at + step, rows->n), wide, cell, distance);
		CHECK_FOR_INTERRUPTS();
	}
	return cell;
}

/* Puts every row to the nearest centre; cells that get none are gone. */
static void
reassign(MrLshCells *cells, const MrLshList *centres)
{
	const int	n = cells->rows.n;
	int32	   *cell = nearest_centres(&cells->rows, centres);
	int32	   *order = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, sizeof(int32)));
	int32	   *at = palloc0((centres->n + 1) * sizeof(int32));

	for (int i = 0; i < n; i++)
		at[cell[i] + 1]++;
	for (int j = 0; j < centres->n; j++)
		at[j + 1] += at[j];
	for (int i = 0; i < n; i++)
		order[at[cell[i]]++] = i;
	mr_lsh_list_reorder(&cells->rows, 0, n, order);

	cells->centres.n = 0;
	for (int j = 0; j < centres->n; j++)
		if (at[j] > first_of(cells, cells->centres.n))
		{
			MrLshEntry	centre;

			mr_lsh_list_get_entry(centres, j, &centre);
			append_cell(cells, &centre, at[j]);
		}
}

/* ---- cutting ---- */

/* Rows that cannot be told apart: in the order of TIDs, the last page has the most room. */
static void
cut_in_pieces(MrLshCells *made, int first, int n, const MrLshEntry *centre)
{
	int			limit = Max(1, (int) (EQUAL_FILL * made->build->layout.leaf_capacity));

	for (int at = 0; at < n; at += limit)
		append_cell(made, centre, first + Min(at + limit, n));
}

/* Appends to `made` the cells into which n rows are cut. */
static void
cut(MrLshCells *cells, MrLshCells *made, int first, int n, int depth, const MrLshEntry *centre)
{
	const MrHash *hash = &cells->build->hash;
	MrNewBucket parts[2];
	MrBuckets	buckets;
	uint8	   *side;
	void	   *scratch;
	int			zeroes;

	if (n <= cells->build->layout.leaf_capacity)
	{
		append_cell(made, centre, first + n);
		return;
	}
	CHECK_FOR_INTERRUPTS();
	if (depth > MAX_DEPTH || mr_lsh_list_equal(&cells->rows, first, n))
	{
		cut_in_pieces(made, first, n, centre);
		return;
	}
	mr_lsh_list_buckets(&cells->rows, first, n, &buckets);
	side = palloc(n);
	scratch = MemoryContextAllocHuge(CurrentMemoryContext, mr_hash_split_scratch(hash, n));
	parts[0].code = palloc(hash->dim);
	parts[1].code = palloc(hash->dim);
	mr_hash_split(hash, &buckets, centre->key, side, parts, scratch);
	pfree(scratch);
	zeroes = mr_lsh_list_part(&cells->rows, first, n, side);
	pfree(side);
	for (int i = 0; i < 2; i++)
	{
		MrLshEntry	part = {parts[i].code, parts[i].scale, parts[i].norm, parts[i].key};

		cut(cells, made, i == 0 ? first : first + zeroes, i == 0 ? zeroes : n - zeroes, depth + 1, &part);
		pfree(parts[i].code);
	}
}

/* Cuts every cell until it fits a page. */
static void
cut_all(MrLshCells *cells)
{
	MrLshCells	made;

	mr_lsh_cells_init(&made, cells->build);
	for (int i = 0; i < cells->centres.n; i++)
	{
		MrLshEntry	centre;

		mr_lsh_list_get_entry(&cells->centres, i, &centre);
		cut(cells, &made, first_of(cells, i), size_of(cells, i), 0, &centre);
	}
	replace_cells(cells, &made);
}

/* ---- halves of a prefix ---- */

/* Are cells i and i + 1 the halves of one prefix, and together not too large? */
static bool
are_halves(const MrLshCells *cells, int i)
{
	MrBucketKey x = cells->centres.key[i];
	MrBucketKey y = cells->centres.key[i + 1];
	int			length = mr_key_length(x);

	return length > 0 && mr_key_length(y) == length &&
		(mr_key_bits(x) ^ mr_key_bits(y)) == UINT64CONST(1) << (MR_KEY_MAX_BITS - length) &&
		size_of(cells, i) + size_of(cells, i + 1) <= MERGE_LIMIT * cells->build->layout.leaf_capacity;
}

static MrBucketKey
shorter(MrBucketKey key)
{
	int			length = mr_key_length(key) - 1;
	uint64		beyond = (UINT64CONST(1) << (MR_KEY_MAX_BITS - length)) - 1;

	return mr_key_make(mr_key_bits(key) & ~beyond, length);
}

/* Puts halves together: cells are in the order of keys, so that halves are neighbours. */
static void
merge_halves(MrLshCells *cells)
{
	MrLshCells	made;

	mr_lsh_cells_init(&made, cells->build);
	for (int i = 0; i < cells->centres.n; i++)
	{
		MrLshEntry	centre;
		int			last;

		mr_lsh_list_get_entry(&cells->centres, i, &centre);
		append_cell(&made, &centre, cells->end[i]);
		while ((last = made.centres.n - 1) > 0 && are_halves(&made, last - 1))
		{
			made.centres.key[last - 1] = shorter(made.centres.key[last - 1]);
			made.end[last - 1] = made.end[last];
			made.centres.n--;
		}
	}
	replace_cells(cells, &made);
}

/* ---- all together ---- */

/* Makes of the cells of a batch such that fit a page each; uses up memory in the current context. */
void
mr_lsh_cells_settle(MrLshCells *cells)
{
	if (cells->rows.n == 0)
		return;
	if (cells->build->hash.family == MR_HASH_PROJECTION)
	{
		cut_all(cells);
		merge_halves(cells);
		return;
	}
	for (int i = 0; i < ROUNDS; i++)
	{
		MrLshList	centres;

		mr_lsh_list_init(&centres, cells->rows.dim, true);
		if (!change_centres(cells, &centres))
			break;
		reassign(cells, &centres);
	}
	cut_all(cells);
}
