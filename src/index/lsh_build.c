/*
 * lsh_build.c
 *		CREATE INDEX: many rows in.
 *
 * An index starts as two pages: meta, and a root page without entries.  A small
 * table is then inserted row by row.  A larger one goes through four phases:
 *
 *		sample		some rows of the whole table
 *		train		which groups and leaves there shall be: the directory
 *		assign		every row to a leaf, sorted by leaf; by several processes
 *		write		pages, through shared buffers, then all of them to WAL
 *
 * Nobody else sees the index before the build is committed, so that its pages
 * need no WAL while they are made.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "index/lsh_build.h"

/* A table with rows for so many leaf pages, and so many rows without an embedding, is small. */
#define SMALL_LEAVES 10
#define SMALL_NULLS 10000

typedef struct RowInserter
{
	Relation	heap;
	IndexInfo  *info;
	MemoryContext context;		/* one row */
	double		rows;
} RowInserter;

/* ---- an empty index ---- */

/* The dimensions that the column's type names; 0 = any. */
static int
declared_dimensions(Relation index)
{
	int			dim = TupleDescAttr(RelationGetDescr(index), 0)->atttypmod;

	if (dim > MR_LSH_MAX_DIMENSIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for an lsh index", MR_LSH_MAX_DIMENSIONS)));
	return Max(dim, 0);
}

static void
describe_empty(Relation index, MrLshMeta *meta)
{
	memset(meta, 0, sizeof(*meta));
	meta->magic = MR_LSH_MAGIC;
	meta->format = MR_LSH_FORMAT;
	meta->dim = declared_dimensions(index);
	meta->family = mr_lsh_option_family(index);
	meta->sigma = 1.0f;
	meta->seed = MR_LSH_SEED;
	meta->null_head = InvalidBlockNumber;
}

/* What is known before the first row. */
static void
begin_build(MrLshBuild *build, Relation heap, Relation index, IndexInfo *info)
{
	build->heap = heap;
	build->index = index;
	build->info = info;
	describe_empty(index, &build->meta);
	build->hash.family = build->meta.family;
	build->hash.dim = build->meta.dim;
	build->hash.seed = build->meta.seed;
	build->hash.sigma = build->meta.sigma;
	mr_lsh_layout(&build->layout, build->hash.family, build->hash.dim);
}

/* Adds a page to a relation that nobody else can see; returns it locked. */
static Buffer
next_block(Relation index, ForkNumber fork, BlockNumber expected)
{
	Buffer		buffer = ReadBufferExtended(index, fork, P_NEW, RBM_NORMAL, NULL);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (BufferGetBlockNumber(buffer) != expected)
		elog(ERROR, "block %u of index \"%s\" is not the next one", expected, RelationGetRelationName(index));
	return buffer;
}

/*
 * Writes meta and root.  The init fork of an unlogged index is logged even
 * though the index is not: it is what a crash leaves of it.
 */
static void
write_empty(Relation index, ForkNumber fork, const MrLshMeta *meta)
{
	MrLshLayout layout;
	Buffer		meta_buffer = next_block(index, fork, MR_LSH_META_BLOCK);
	Buffer		root_buffer = next_block(index, fork, MR_LSH_ROOT_BLOCK);

	mr_lsh_layout(&layout, meta->family, meta->dim);
	START_CRIT_SECTION();
	mr_lsh_meta_init(BufferGetPage(meta_buffer), meta);
	mr_lsh_page_init(&layout, BufferGetPage(root_buffer), MR_LSH_ROOT, 1);
	MarkBufferDirty(meta_buffer);
	MarkBufferDirty(root_buffer);
	if (fork == INIT_FORKNUM || RelationNeedsWAL(index))
	{
		log_newpage_buffer(meta_buffer, true);
		log_newpage_buffer(root_buffer, true);
	}
	END_CRIT_SECTION();
	UnlockReleaseBuffer(root_buffer);
	UnlockReleaseBuffer(meta_buffer);
}

/* What an unlogged index becomes after a crash. */
void
mr_lsh_buildempty(Relation index)
{
	MrLshMeta	meta;

	describe_empty(index, &meta);
	write_empty(index, INIT_FORKNUM, &meta);
}

/* ---- a small table ---- */

static void
insert_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	RowInserter *inserter = arg;
	MemoryContext before = MemoryContextSwitchTo(inserter->context);

	(void) mr_lsh_insert(index, values, isnull, tid, inserter->heap, UNIQUE_CHECK_NO, false, inserter->info);
	inserter->rows++;
	MemoryContextSwitchTo(before);
	MemoryContextReset(inserter->context);
}

/* Inserts every row as INSERT would.  What the insert caches must outlive a row: ii_Context. */
static void
build_by_insert(Relation heap, Relation index, IndexInfo *info, IndexBuildResult *result)
{
	RowInserter inserter = {heap, info};

	inserter.context = AllocSetContextCreate(CurrentMemoryContext, "metricrec index row", ALLOCSET_DEFAULT_SIZES);
	result->heap_tuples = table_index_build_scan(heap, index, info, true, true, insert_row, &inserter, NULL);
	result->index_tuples = inserter.rows;
	MemoryContextDelete(inserter.context);
}

/* ---- a large table ---- */

static void
report_phase(int phase)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
}

/*
 * Is it a table that is as well inserted?  Small means known to be: every block
 * has been read.
 */
static bool
is_small(const MrLshBuild *build, const MrLshSample *sample)
{
	return sample->complete && sample->nulls_total <= SMALL_NULLS &&
		sample->rows_total <= SMALL_LEAVES * build->layout.leaf_capacity;
}

/* The directory of groups and leaves; none if no row has an embedding. */
static void
train(MrLshBuild *build, const MrLshSample *sample)
{
	build->directory.family = build->hash.family;
	build->directory.dim = build->hash.dim;
	build->rows_expected = sample->rows_total;
	if (sample->rows_total == 0)
	{
		mr_directory_attach(&build->directory, mr_lsh_palloc_aligned(mr_directory_size(&build->directory)), true);
		return;
	}
	report_phase(MR_LSH_PHASE_TRAIN);
	mr_lsh_hash_complete(&build->hash);
	if (build->hash.family == MR_HASH_PROJECTION)
		mr_lsh_build_prefixes(build, sample);
	else
	{
		mr_lsh_build_train(build, sample);
		mr_lsh_build_polish(build, sample);
	}
}

/* The first two pages; they are filled last. */
static void
reserve_first_pages(MrLshBuild *build)
{
	UnlockReleaseBuffer(mr_lsh_build_page(build, MR_LSH_META));
	UnlockReleaseBuffer(mr_lsh_build_page(build, MR_LSH_ROOT));
}

static void
finish_meta(MrLshBuild *build)
{
	Buffer		buffer = ReadBuffer(build->index, MR_LSH_META_BLOCK);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	mr_lsh_meta_init(BufferGetPage(buffer), &build->meta);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* Assigns the rows and writes the pages; in the current memory context. */
static void
assign_and_write(MrLshBuild *build)
{
	TupleDesc	desc = mr_lsh_sort_desc();
	Tuplesortstate *sort;
	void	   *parallel;

	report_phase(MR_LSH_PHASE_ASSIGN);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) build->rows_expected);
	sort = mr_lsh_build_assign(build, desc, &parallel);
	elog(DEBUG1, "lsh build: %.0f rows assigned", build->index_tuples);

	report_phase(MR_LSH_PHASE_WRITE);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) build->index_tuples);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
	reserve_first_pages(build);
	mr_lsh_build_write(build, sort, desc);
	finish_meta(build);
	tuplesort_end(sort);
	if (parallel)
		mr_lsh_parallel_end(parallel);
	elog(DEBUG1, "lsh build: %u groups and %u leaves written", build->meta.groups_at_build,
		 build->meta.leaves_at_build);
}

/* ---- entry ---- */

/* CREATE INDEX, REINDEX. */
IndexBuildResult *
mr_lsh_build(Relation heap, Relation index, IndexInfo *info)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	MrLshBuild *build = palloc0(sizeof(MrLshBuild));
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec index build",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext sample_context = AllocSetContextCreate(context, "metricrec index sample", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before;
	MrLshSample sample;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	begin_build(build, heap, index, info);
	report_phase(MR_LSH_PHASE_SAMPLE);
	before = MemoryContextSwitchTo(sample_context);
	mr_lsh_build_sample(build, &sample);
	MemoryContextSwitchTo(context);
	elog(DEBUG1, "lsh build: %d of about %.0f rows sampled", sample.rows.n, sample.rows_total);
	if (is_small(build, &sample))
	{
		MrLshMeta	meta;

		describe_empty(index, &meta);
		write_empty(index, MAIN_FORKNUM, &meta);
		build_by_insert(heap, index, info, result);
	}
	else
	{
		train(build, &sample);
		elog(DEBUG1, "lsh build: %d groups and %d leaves trained", build->directory.n_groups,
			 build->directory.n_leaves);
		MemoryContextDelete(sample_context);
		assign_and_write(build);
		report_phase(MR_LSH_PHASE_LOG);
		if (RelationNeedsWAL(index))
			log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);
		result->heap_tuples = build->heap_tuples;
		result->index_tuples = build->index_tuples;
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
	return result;
}
