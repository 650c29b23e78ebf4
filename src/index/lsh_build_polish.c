/*
 * lsh_build_polish.c
 *		Leaves that were trained group by group become leaves of the whole.
 *
 * A cluster of rows that lies on the border of groups was seen in part by each,
 * and got too many leaves or too few.  So rows of the sample are assigned as all
 * rows will be, across groups, and from what each leaf got follows a better
 * directory: centres move to the mean of their rows, leaves that would not fit a
 * page give way to several, leaves with few rows are dropped if there are more
 * than needed.  This is done here, because once the rows of the table are assigned
 * they cannot leave their group any more.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "index/lsh_build.h"

/* How often, and with how many rows per leaf. */
#define ROUNDS 2
#define ROWS_PER_LEAF 32

/* k-means over the rows of a leaf that does not fit. */
#define KMEANS_ROUNDS 4
#define MAX_CENTRES 256

/* Of the capacity: a leaf that is expected to have more is too large, less is small. */
#define LARGE 1.0
#define SMALL 0.35

typedef struct Polisher
{
	MrLshBuild *build;
	const MrLshList *rows;		/* the sample */
	int			n;				/* rows of it that are used */
	double		weight;			/* rows of the table that one of them stands for */
	int32	   *order;			/* [n], rows leaf by leaf */
	int32	   *end;			/* [leaves], behind the rows of each leaf in order */
	int			needed;			/* leaves */
	MrLshList	leaves;			/* the better ones */
	float	   *sum;			/* [dim] */
	int8	   *code;			/* [dim] */
} Polisher;

/* The rows of the sample that are used: evenly spread. */
static int32
used_row(const Polisher *polisher, int i)
{
	return (int32) ((int64) i * polisher->rows->n / polisher->n);
}

/* ---- assigning ---- */

/* The leaf of each row, as for the rows of the table. */
static int32 *
assign_rows(const Polisher *polisher)
{
	const MrDirectory *directory = &polisher->build->directory;
	const MrLshList *all = polisher->rows;
	const int	dim = all->dim;
	const int	room = mr_assign_room(directory);
	int32	   *leaf = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(polisher->n, sizeof(int32)));
	int8	   *codes = palloc(room * dim);
	float	   *scale = palloc(room * sizeof(float));
	float	   *norm = palloc(room * sizeof(float));
	MrAssigner	assigner;

	mr_assigner_init(&assigner, directory, &polisher->build->hash, room,
					 mr_lsh_palloc_aligned(mr_assigner_size(directory, room)));
	for (int at = 0; at < polisher->n; at += room)
	{
		MrCodeRows	rows = {Min(room, polisher->n - at), dim, codes, scale, norm};

		for (int i = 0; i < rows.n; i++)
		{
			int32		row = used_row(polisher, at + i);

			memcpy(codes + (Size) i * dim, all->codes + (Size) row * dim, dim);
			scale[i] = all->scale[row];
			norm[i] = all->norm[row];
		}
		mr_assign(&assigner, &rows, leaf + at);
		CHECK_FOR_INTERRUPTS();
	}
	return leaf;
}

/* Brings the rows of each leaf together. */
static void
order_rows(Polisher *polisher)
{
	const int	n_leaves = polisher->build->directory.n_leaves;
	int32	   *leaf = assign_rows(polisher);
	int32	   *end = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n_leaves, sizeof(int32)));
	int32		total = 0;

	polisher->order = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(polisher->n, sizeof(int32)));
	memset(end, 0, n_leaves * sizeof(int32));
	for (int i = 0; i < polisher->n; i++)
		end[leaf[i]]++;
	for (int j = 0; j < n_leaves; j++)
	{
		int32		count = end[j];

		end[j] = total;
		total += count;
	}
	for (int i = 0; i < polisher->n; i++)
		polisher->order[end[leaf[i]]++] = used_row(polisher, i);
	polisher->end = end;
	pfree(leaf);
}

/* ---- a better directory ---- */

/* Appends the mean of rows order[from .. to - 1]. */
static void
add_mean(Polisher *polisher, int from, int to)
{
	const MrLshList *rows = polisher->rows;
	MrLshEntry	entry = {0};

	memset(polisher->sum, 0, rows->dim * sizeof(float));
	for (int i = from; i < to; i++)
	{
		int32		row = polisher->order[i];

		mr_panelmath()->add(polisher->sum, rows->codes + (Size) row * rows->dim, rows->scale[row], rows->dim);
	}
	for (int j = 0; j < rows->dim; j++)
		polisher->sum[j] /= to - from;
	(void) mr_code_encode(polisher->sum, rows->dim, polisher->code, &entry.scale, &entry.norm);
	entry.code = polisher->code;
	mr_lsh_list_entry(&polisher->leaves, &entry);
}

/* Appends the centres that k-means finds in the rows of a leaf that is too large. */
static void
add_several(Polisher *polisher, int from, int to, MemoryContext scratch)
{
	MrLshBuild *build = polisher->build;
	int			n = to - from;
	double		pages = n * polisher->weight / (MR_LSH_LEAF_FILL * build->layout.leaf_capacity);
	int			k = Max(2, (int) Min(ceil(pages), Min(MAX_CENTRES, n)));
	MemoryContext before = MemoryContextSwitchTo(scratch);
	MrKmeans	kmeans;

	mr_lsh_build_kmeans(polisher->rows, polisher->order + from, n, k, ROWS_PER_LEAF * 2, KMEANS_ROUNDS,
						build->meta.seed + from, &kmeans);
	for (int j = 0; j < k; j++)
		if (kmeans.count[j] > 0)
			mr_lsh_list_centre(&polisher->leaves, &kmeans, j);
	MemoryContextSwitchTo(before);
	MemoryContextReset(scratch);
}

/* The largest number of rows of a leaf that may be dropped, so that enough are left. */
static int
drop_limit(const Polisher *polisher)
{
	const int	n_leaves = polisher->build->directory.n_leaves;
	const int	capacity = polisher->build->layout.leaf_capacity;
	int			limit = (int) (SMALL * capacity / polisher->weight);
	int		   *leaves_of_size = palloc0((limit + 1) * sizeof(int));
	double		expected = 0;
	int			from = 0;

	for (int j = 0; j < n_leaves; j++)
	{
		int			n = polisher->end[j] - from;
		double		pages = n * polisher->weight / (MR_LSH_LEAF_FILL * capacity);

		expected += n * polisher->weight > LARGE * capacity ? ceil(pages) : 1;
		if (n <= limit)
			leaves_of_size[n]++;
		from = polisher->end[j];
	}
	for (int n = 0; n <= limit; n++)
	{
		expected -= leaves_of_size[n];
		if (expected < polisher->needed)
			return n - 1;
	}
	return limit;
}

/* Makes better leaves of what the leaves got. */
static void
make_leaves(Polisher *polisher)
{
	const double capacity = polisher->build->layout.leaf_capacity;
	const int	limit = drop_limit(polisher);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "metricrec k-means", ALLOCSET_DEFAULT_SIZES);
	int			from = 0;

	for (int j = 0; j < polisher->build->directory.n_leaves; j++)
	{
		int			to = polisher->end[j];

		if (to - from >= 2 && (to - from) * polisher->weight > LARGE * capacity)
			add_several(polisher, from, to, scratch);
		else if (to > from && to - from > limit)
			add_mean(polisher, from, to);
		from = to;
		CHECK_FOR_INTERRUPTS();
	}
}

/* One round; the new directory is in the current memory context. */
static void
polish(MrLshBuild *build, const MrLshSample *sample)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec index polish",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	const int	dim = build->meta.dim;
	Polisher	polisher = {build, &sample->rows};

	polisher.n = (int) Min((int64) build->directory.n_leaves * ROWS_PER_LEAF, sample->rows.n);
	polisher.weight = Max(sample->rows_total / polisher.n, 1);
	polisher.needed = mr_lsh_planned_leaves(build, sample);
	polisher.sum = palloc(dim * sizeof(float));
	polisher.code = palloc(dim);
	mr_lsh_list_init(&polisher.leaves, dim, true);
	order_rows(&polisher);
	make_leaves(&polisher);
	MemoryContextSwitchTo(before);
	if (polisher.leaves.n > 0)
		mr_lsh_build_group(build, &polisher.leaves);
	MemoryContextDelete(context);
}

/* Improves the directory of the voronoi family. */
void
mr_lsh_build_polish(MrLshBuild *build, const MrLshSample *sample)
{
	for (int i = 0; i < ROUNDS && sample->rows.n > 0; i++)
		polish(build, sample);
}
