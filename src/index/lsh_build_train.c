/*
 * lsh_build_train.c
 *		From the sample to the directory: groups by k-means, then leaves by
 *		k-means in each group.
 *
 * If there are to be very many groups, the sample is parted into tops first and
 * groups are made in each: k-means costs rows times centres.
 *
 * These groups only serve to find the leaves.  A cluster of rows is larger than a
 * leaf and often lies on the border of several groups; the centres of its leaves
 * are nearer to each other than its rows are.  So the groups of the index are made
 * of the leaves' centres, by k-means once more.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "index/lsh_build.h"

/* The most centres of one k-means. */
#define MAX_CENTRES 512

/* Rows per centre that k-means looks at, and its rounds. */
#define UPPER_ROWS 128
#define UPPER_ROUNDS 8
#define LEAF_ROWS 48
#define LEAF_ROUNDS 6

/* Rows of the sample that make a leaf, at least. */
#define MIN_ROWS_PER_LEAF 4

typedef struct Trainer
{
	MrLshBuild *build;
	const MrLshList *rows;
	MemoryContext scratch;		/* one k-means */
	int32	   *order;			/* rows of the sample, those of a part together */
	int32	   *cell;			/* [n], by place in order */
	MrLshList	tops;
	MrLshList	groups;
	MrLshList	leaves;
	int32	   *top_first;		/* first group of each top */
	int32	   *group_first;	/* first leaf of each group */
	int			planned_groups;
	int			planned_leaves;
	bool		rows_are_leaves;	/* only groups are to be made */
} Trainer;

/* ---- plan ---- */

/*
 * How many leaves the index shall have: pages of 80 per cent, unless memory or
 * the sample is too small for so many centres.  Then cells are larger than a
 * page, and cut when they are written.
 */
int
mr_lsh_planned_leaves(const MrLshBuild *build, const MrLshSample *sample)
{
	double		leaves = ceil(build->rows_expected / (MR_LSH_LEAF_FILL * build->layout.leaf_capacity));
	double		memory = (double) maintenance_work_mem * 1024 * MR_LSH_CENTRES_SHARE /
		(build->meta.dim + 2 * sizeof(float) + sizeof(MrBucketKey));

	leaves = Min(leaves, memory);
	leaves = Min(leaves, sample->rows.n / MIN_ROWS_PER_LEAF);
	return (int) Max(leaves, 1);
}

/* About the root of the leaves, and so many that a group fits its inner page. */
static int
planned_groups(const MrLshBuild *build, int leaves)
{
	double		fit = leaves / (MR_LSH_INNER_FILL * build->layout.entry_capacity);

	return (int) Max(1, Min(ceil(Max(sqrt(leaves), fit)), leaves));
}

/* A part's share of n centres, by its share of the rows. */
static int
share_of(int n, int rows, int all_rows)
{
	int64		share = ((int64) n * rows + all_rows / 2) / Max(all_rows, 1);

	return (int) Max(1, Min(share, Min(MAX_CENTRES, rows)));
}

/* ---- k-means ---- */

/* Copies n rows, evenly spread over `total` of order[0 ...]; in the current memory context. */
static void
gather(const MrLshList *all, const int32 *order, int total, int n, MrCodeRows *rows)
{
	int8	   *codes = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, all->dim));
	float	   *scale = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, sizeof(float)));
	float	   *norm = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, sizeof(float)));

	for (int i = 0; i < n; i++)
	{
		int32		row = order[(int64) i * total / n];

		memcpy(codes + (Size) i * all->dim, all->codes + (Size) row * all->dim, all->dim);
		scale[i] = all->scale[row];
		norm[i] = all->norm[row];
	}
	rows->n = n;
	rows->dim = all->dim;
	rows->codes = codes;
	rows->scale = scale;
	rows->norm = norm;
}

/*
 * Finds k centres for the n rows order[0 ...] of a list, from so many of them per
 * centre at most; in the current memory context.
 */
void
mr_lsh_build_kmeans(const MrLshList *all, const int32 *order, int n, int k, int rows_per_centre, int rounds,
					uint64 seed, MrKmeans *kmeans)
{
	MrCodeRows	rows;

	gather(all, order, n, (int) Min((int64) k * rows_per_centre, n), &rows);
	mr_kmeans_begin(kmeans, &rows, k, k == 1 ? 1 : rounds, seed,
					mr_lsh_palloc_aligned(mr_kmeans_size(rows.n, k, rows.dim)));
	while (mr_kmeans_step(kmeans))
		CHECK_FOR_INTERRUPTS();
}

/* The nearest centre of each row, to trainer->cell. */
static void
assign_rows(Trainer *trainer, int from, int n, const MrCentres *centres)
{
	int			step = mr_rows_per_step(centres->n, centres->dim);
	void	   *wide = mr_lsh_palloc_aligned(mr_wide_size(centres->dim));
	MemoryContext some = AllocSetContextCreate(CurrentMemoryContext, "metricrec index rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(some);

	for (int at = from; at < from + n; at += step)
	{
		int			now = Min(step, from + n - at);
		MrCodeRows	rows;

		gather(trainer->rows, trainer->order + at, now, now, &rows);
		mr_centres_assign(centres, &rows, 0, now, wide, trainer->cell + at, palloc(now * sizeof(float)));
		MemoryContextReset(some);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(some);
}

/* Brings the rows of each cell together; end[j] is behind those of cell j. */
static void
order_rows(Trainer *trainer, int from, int n, int k, int32 *end)
{
	int32	   *sorted = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, sizeof(int32)));
	int32		total = 0;

	memset(end, 0, k * sizeof(int32));
	for (int i = from; i < from + n; i++)
		end[trainer->cell[i]]++;
	for (int j = 0; j < k; j++)
	{
		int32		count = end[j];

		end[j] = total;
		total += count;
	}
	for (int i = from; i < from + n; i++)
		sorted[end[trainer->cell[i]]++] = trainer->order[i];
	memcpy(trainer->order + from, sorted, n * sizeof(int32));
	for (int j = 0; j < k; j++)
		end[j] += from;
}

/* Appends centre j, without a key and a link. */
void
mr_lsh_list_centre(MrLshList *list, const MrKmeans *kmeans, int j)
{
	MrLshEntry	entry = {0};

	mr_centres_get(&kmeans->centres, j, kmeans->code, &entry.scale, &entry.norm);
	entry.code = kmeans->code;
	mr_lsh_list_entry(list, &entry);
}

/*
 * Parts rows into at most k cells.  The centres of those that have rows are
 * appended to the list, and the ends of their rows returned, in the current
 * memory context.
 */
static int32 *
part_rows(Trainer *trainer, int from, int n, int k, MrLshList *list, int *cells)
{
	int32	   *ends = palloc(k * sizeof(int32));
	MemoryContext before = MemoryContextSwitchTo(trainer->scratch);
	int32	   *end = palloc(k * sizeof(int32));
	int			begin = from;
	MrKmeans	kmeans;

	mr_lsh_build_kmeans(trainer->rows, trainer->order + from, n, k, UPPER_ROWS, UPPER_ROUNDS,
						trainer->build->meta.seed + from, &kmeans);
	assign_rows(trainer, from, n, &kmeans.centres);
	order_rows(trainer, from, n, k, end);
	*cells = 0;
	for (int j = 0; j < k; j++)
	{
		if (end[j] > begin)
		{
			mr_lsh_list_centre(list, &kmeans, j);
			ends[(*cells)++] = end[j];
		}
		begin = end[j];
	}
	MemoryContextSwitchTo(before);
	MemoryContextReset(trainer->scratch);
	return ends;
}

/* ---- levels ---- */

/* The rows of one group become its leaves. */
static void
take_leaves(Trainer *trainer, int from, int n)
{
	for (int i = from; i < from + n; i++)
	{
		MrLshEntry	entry;

		mr_lsh_list_get_entry(trainer->rows, trainer->order[i], &entry);
		mr_lsh_list_entry(&trainer->leaves, &entry);
	}
}

/* The leaves of one group. */
static void
train_leaves(Trainer *trainer, int from, int n)
{
	int			k = share_of(trainer->planned_leaves, n, trainer->rows->n);
	MemoryContext before = MemoryContextSwitchTo(trainer->scratch);
	MrKmeans	kmeans;

	mr_lsh_build_kmeans(trainer->rows, trainer->order + from, n, k, LEAF_ROWS, LEAF_ROUNDS,
						trainer->build->meta.seed + from, &kmeans);
	for (int j = 0; j < k; j++)
		if (kmeans.count[j] > 0)
			mr_lsh_list_centre(&trainer->leaves, &kmeans, j);
	MemoryContextSwitchTo(before);
	MemoryContextReset(trainer->scratch);
}

/* The groups of one top, and their leaves. */
static void
train_groups(Trainer *trainer, int from, int n)
{
	int			k = share_of(trainer->planned_groups, n, trainer->rows->n);
	int			first = trainer->groups.n;
	int			cells;
	int32	   *ends = part_rows(trainer, from, n, k, &trainer->groups, &cells);

	trainer->group_first = repalloc_huge(trainer->group_first, mul_size(first + cells + 1, sizeof(int32)));
	for (int j = 0; j < cells; j++)
	{
		trainer->group_first[first + j] = trainer->leaves.n;
		if (trainer->rows_are_leaves)
			take_leaves(trainer, from, ends[j] - from);
		else
			train_leaves(trainer, from, ends[j] - from);
		from = ends[j];
	}
	trainer->group_first[first + cells] = trainer->leaves.n;
	pfree(ends);
}

/* The tops, and all below. */
static void
train_tops(Trainer *trainer)
{
	int			k = trainer->planned_groups <= MAX_CENTRES ? 1 : (int) ceil(sqrt(trainer->planned_groups));
	int			from = 0;
	int			cells;
	int32	   *ends = part_rows(trainer, 0, trainer->rows->n, Min(k, trainer->rows->n), &trainer->tops, &cells);

	trainer->top_first = palloc((cells + 1) * sizeof(int32));
	for (int j = 0; j < cells; j++)
	{
		trainer->top_first[j] = trainer->groups.n;
		train_groups(trainer, from, ends[j] - from);
		from = ends[j];
	}
	trainer->top_first[cells] = trainer->groups.n;
	pfree(ends);
}

/* ---- result ---- */

static void
copy_centres(MrCentres *centres, const MrLshList *list)
{
	for (int i = 0; i < list->n; i++)
		mr_centres_set(centres, i, list->codes + (Size) i * list->dim, list->scale[i], list->norm[i]);
}

/* The directory in one piece, in a memory context of its own; the one before it goes. */
static void
make_directory(MrLshBuild *build, const Trainer *trainer)
{
	MrDirectory *directory = &build->directory;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec index directory",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);

	if (build->directory_context != NULL)
		MemoryContextDelete(build->directory_context);
	build->directory_context = context;
	directory->n_tops = trainer->tops.n;
	directory->n_groups = trainer->groups.n;
	directory->n_leaves = trainer->leaves.n;
	mr_directory_attach(directory, mr_lsh_palloc_aligned(mr_directory_size(directory)), true);
	memcpy(directory->top_first, trainer->top_first, (directory->n_tops + 1) * sizeof(int32));
	memcpy(directory->group_first, trainer->group_first, (directory->n_groups + 1) * sizeof(int32));
	copy_centres(&directory->tops, &trainer->tops);
	copy_centres(&directory->groups, &trainer->groups);
	copy_centres(&directory->leaves, &trainer->leaves);
	MemoryContextSwitchTo(before);
}

/* One leaf for everything, around zero: the table has no row that can be coded. */
static void
make_trivial(Trainer *trainer)
{
	MrLshEntry	entry = {0};

	entry.code = palloc0(trainer->build->meta.dim);
	mr_lsh_list_entry(&trainer->tops, &entry);
	mr_lsh_list_entry(&trainer->groups, &entry);
	mr_lsh_list_entry(&trainer->leaves, &entry);
	trainer->top_first = palloc0(2 * sizeof(int32));
	trainer->group_first = palloc0(2 * sizeof(int32));
	trainer->top_first[1] = trainer->group_first[1] = 1;
}

/* Prepares to part the items of a list, in the current memory context. */
static void
begin(Trainer *trainer, MrLshBuild *build, const MrLshList *rows, int planned_leaves)
{
	const int	n = Max(rows->n, 1);

	memset(trainer, 0, sizeof(*trainer));
	trainer->build = build;
	trainer->rows = rows;
	trainer->scratch = AllocSetContextCreate(CurrentMemoryContext, "metricrec k-means", ALLOCSET_DEFAULT_SIZES);
	trainer->order = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, sizeof(int32)));
	trainer->cell = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, sizeof(int32)));
	trainer->group_first = palloc(sizeof(int32));
	trainer->planned_leaves = planned_leaves;
	trainer->planned_groups = planned_groups(build, planned_leaves);
	mr_lsh_list_init(&trainer->tops, build->meta.dim, true);
	mr_lsh_list_init(&trainer->groups, build->meta.dim, true);
	mr_lsh_list_init(&trainer->leaves, build->meta.dim, true);
	for (int i = 0; i < rows->n; i++)
		trainer->order[i] = i;
}

/*
 * Makes groups of leaves, and the directory of both, in the current memory
 * context.
 */
void
mr_lsh_build_group(MrLshBuild *build, const MrLshList *leaves)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec index grouping",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	Trainer		trainer;

	begin(&trainer, build, leaves, leaves->n);
	trainer.rows_are_leaves = true;
	train_tops(&trainer);
	MemoryContextSwitchTo(before);
	make_directory(build, &trainer);
	MemoryContextDelete(context);
}

/* Trains the centres of the voronoi family. */
void
mr_lsh_build_train(MrLshBuild *build, const MrLshSample *sample)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec index training",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	Trainer		trainer;

	begin(&trainer, build, &sample->rows, mr_lsh_planned_leaves(build, sample));
	if (sample->rows.n > 0)
		train_tops(&trainer);
	else
		make_trivial(&trainer);
	MemoryContextSwitchTo(before);
	if (sample->rows.n > 0)
		mr_lsh_build_group(build, &trainer.leaves);
	else
		make_directory(build, &trainer);
	MemoryContextDelete(context);
}
