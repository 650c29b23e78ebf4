/*
 * lsh_build_sample.c
 *		A sample of the table's rows, for training.
 *
 * The table is read in pieces of a few blocks, in an order that is spread evenly
 * over it however far one gets, until there are rows enough: so many per leaf, or
 * what memory holds.  Values come through the server's build scan, so that
 * predicates and expressions are honoured.
 */
#include "postgres.h"

#include <math.h>

#include "access/tableam.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

#include "index/lsh_build.h"
#include "util/rng.h"

/* Rows per leaf that make good centres; more do not make better ones. */
#define ROWS_PER_LEAF 48

/* The least sample that stands for a table. */
#define MIN_ROWS 4096

/* Pieces that a table has at least, and blocks of a piece at most. */
#define PIECES 1024
#define MAX_PIECE 16

typedef struct Sampler
{
	MrLshBuild *build;
	MrLshSample *sample;
	MemoryContext row;			/* reset after each row */
	int8	   *code;
	int			room;			/* rows that memory holds; 0 = dimensions not known yet */
	double		rows;			/* seen, with an embedding */
	double		nulls;			/* seen, without */
} Sampler;

/* The dimensions are known: the layout follows, and what memory holds. */
static void
know_dimensions(Sampler *sampler, int dim)
{
	MrLshBuild *build = sampler->build;
	double		room = (double) maintenance_work_mem * 1024 * MR_LSH_SAMPLE_SHARE /
		(dim + 3 * sizeof(float) + sizeof(ItemPointerData) + 2 * sizeof(int32));

	build->meta.dim = dim;
	build->hash.dim = dim;
	if (build->hash.family == MR_HASH_PROJECTION)
		build->hash.n_directions = Min(dim, MR_PROJECTION_DIRECTIONS);
	mr_lsh_layout(&build->layout, build->hash.family, dim);
	mr_lsh_list_init(&sampler->sample->rows, dim, false);
	sampler->code = palloc(dim);
	sampler->room = (int) Max(1024, Min(room, 16e6));
}

/* One row of the table.  A row that has no code teaches nothing. */
static void
sample_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	Sampler    *sampler = arg;
	MrLshRow	row;
	const float *x;
	int			dim;
	MemoryContext before = MemoryContextSwitchTo(sampler->row);

	x = mr_lsh_value(values[0], isnull[0], sampler->build->meta.dim, &dim);
	MemoryContextSwitchTo(before);
	if (x == NULL)
		sampler->nulls++;
	else
	{
		if (sampler->room == 0)
			know_dimensions(sampler, dim);
		sampler->rows++;
		if (sampler->sample->rows.n < sampler->room)
		{
			row.error = mr_code_encode(x, dim, sampler->code, &row.scale, &row.norm);
			row.tid = *tid;
			row.code = sampler->code;
			if (!isinf(row.norm))
				mr_lsh_list_row(&sampler->sample->rows, &row);
		}
	}
	MemoryContextReset(sampler->row);
}

/* Is the sample large enough, if the rest of the table is like what was read? */
static bool
enough(const Sampler *sampler, double share_read)
{
	int			n = sampler->sample->rows.n;
	double		leaves;

	if (sampler->room == 0)
		return false;
	if (n >= sampler->room)
		return true;
	leaves = sampler->rows / share_read / (MR_LSH_LEAF_FILL * sampler->build->layout.leaf_capacity);
	return n >= MIN_ROWS && n >= ROWS_PER_LEAF * leaves;
}

/* A step that visits each of n pieces once, about the golden ratio of them apart. */
static uint64
golden_step(uint64 n)
{
	uint64		step = Max((uint64) (n * 0.6180339887498949), 1);

	for (;; step++)
	{
		uint64		a = n;
		uint64		b = step;

		while (b != 0)
		{
			uint64		rest = a % b;

			a = b;
			b = rest;
		}
		if (a == 1)
			return step;
	}
}

/* Reads pieces of the table until there are rows enough; returns the share that was read. */
static double
read_pieces(Sampler *sampler)
{
	MrLshBuild *build = sampler->build;
	BlockNumber blocks = RelationGetNumberOfBlocks(build->heap);
	BlockNumber piece = Max(1, Min(MAX_PIECE, blocks / PIECES));
	uint64		pieces = ((uint64) blocks + piece - 1) / piece;
	uint64		step;
	uint64		at;
	BlockNumber done = 0;
	MrRng		rng;

	if (blocks == 0)
		return 1;
	pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, blocks);
	mr_rng_seed(&rng, build->meta.seed);
	step = golden_step(pieces);
	at = mr_rng_below64(&rng, pieces);
	for (uint64 i = 0; i < pieces; i++, at = (at + step) % pieces)
	{
		BlockNumber first = (BlockNumber) (at * piece);
		BlockNumber n = Min(piece, blocks - first);

		CHECK_FOR_INTERRUPTS();
		/* a concurrent build's snapshot says itself what is visible */
		(void) table_index_build_range_scan(build->heap, build->index, build->info,
											false, !build->info->ii_Concurrent, false,
											first, n, sample_row, sampler, NULL);
		done += n;
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, done);
		if (done < blocks && enough(sampler, (double) done / blocks))
			break;
	}
	return (double) done / blocks;
}

/*
 * Fills the sample, in the current memory context, and finds out the dimensions
 * if the column's type does not say: those of the first row.  They stay 0 if no
 * row has an embedding.
 */
void
mr_lsh_build_sample(MrLshBuild *build, MrLshSample *sample)
{
	Sampler		sampler = {build, sample};
	double		share;

	memset(sample, 0, sizeof(*sample));
	sampler.row = AllocSetContextCreate(CurrentMemoryContext, "metricrec index row", ALLOCSET_DEFAULT_SIZES);
	if (build->meta.dim > 0)
		know_dimensions(&sampler, build->meta.dim);
	share = read_pieces(&sampler);
	sample->rows_total = sampler.rows / share;
	sample->nulls_total = sampler.nulls / share;
	sample->complete = share == 1;
	MemoryContextDelete(sampler.row);
}
