/*
 * lsh_build_write.c
 *		From sorted rows to leaf pages.
 *
 * The rows of a leaf of the directory are a cell.  The cells of a group are
 * collected (a batch) and made to fit pages (lsh_build_cells.c), then written.
 *
 * Memory is that of a batch: a group ends early when it has too many rows, and so
 * does a cell, in the order of TIDs.
 */
#include "postgres.h"

#include <math.h>

#include "commands/progress.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

#include "index/lsh_build.h"

/* Codes of a cell, and of a batch, that are worked on together, in bytes. */
#define CELL_BYTES (1 << 20)
#define BATCH_BYTES (4 << 20)

typedef struct Writer
{
	MrLshBuild *build;
	MrLshUpper	upper;
	MemoryContext scratch;		/* reset after each cell and each batch */
	MrLshCells	cells;			/* the batch */
	int			cell_first;		/* first row of the cell in hand */
	int			leaf;			/* of the directory, in hand; -1 = none yet */
	int			group;			/* of the directory, in hand */
	int8	   *code;			/* [dim] */
	float	   *mean;			/* [dim] */
	double		done;			/* rows */
	uint32		leaves_written;
	/* rows without an embedding */
	ItemPointerData *nulls;		/* of the next page */
	int			n_nulls;
} Writer;

/* ---- leaf pages ---- */

/*
 * Not less than the distance of any row of the page to the centre.
 */
static float
radius_of(const MrLshBuild *build, Page page, const float *error, const MrLshEntry *entry)
{
	MrCodeQuery query = {build->meta.dim};
	MrCodeRows	rows;
	double		radius = 0;
	float	   *squared;

	mr_lsh_rows(&build->layout, page, &rows);
	squared = palloc(rows.n * sizeof(float));
	query.q = palloc(mr_code_padded(build->meta.dim) * sizeof(int16));
	mr_code_query_from_code(&query, entry->code, entry->scale, entry->norm);
	mr_code_squared_distances(&query, &rows, squared);
	for (int i = 0; i < rows.n; i++)
		radius = Max(radius, (double) mr_code_distance_high(squared[i], query.norm + rows.norm[i]) + error[i]);
	/* outweighs the roundings */
	return (float) (radius * (1 + 1e-6));
}

/* The mean of rows as a code; rows without a code count as zero. */
static void
mean_of(Writer *writer, const MrLshList *rows, int first, int n, MrLshEntry *entry)
{
	memset(writer->mean, 0, rows->dim * sizeof(float));
	for (int i = first; i < first + n; i++)
		mr_panelmath()->add(writer->mean, rows->codes + (Size) i * rows->dim, rows->scale[i], rows->dim);
	for (int j = 0; j < rows->dim; j++)
		writer->mean[j] /= n;
	(void) mr_code_encode(writer->mean, rows->dim, writer->code, &entry->scale, &entry->norm);
	entry->code = writer->code;
}

/* Writes a page of rows, and appends its entry to those of the group. */
static void
write_leaf(Writer *writer, int first, int n, const MrLshEntry *cell)
{
	MrLshBuild *build = writer->build;
	const MrLshList *rows = &writer->cells.rows;
	MrLshEntry	entry = *cell;
	Buffer		buffer;
	Page		page;

	/* rows lie in a bucket of the projection by their keys: its centre is free */
	if (build->hash.family == MR_HASH_PROJECTION)
		mean_of(writer, rows, first, n, &entry);
	if (isinf(entry.norm))
		entry.norm = 0;
	buffer = mr_lsh_build_page(build, MR_LSH_LEAF);
	page = BufferGetPage(buffer);
	for (int i = first; i < first + n; i++)
	{
		MrLshRow	row;

		mr_lsh_list_get_row(rows, i, &row);
		mr_lsh_row_append(&build->layout, page, &row);
	}
	memset(&entry.link, 0, sizeof(entry.link));
	entry.link.child = BufferGetBlockNumber(buffer);
	entry.link.birth = 1;
	entry.link.radius = radius_of(build, page, rows->error + first, &entry);
	UnlockReleaseBuffer(buffer);
	mr_lsh_list_entry(&writer->upper.leaves, &entry);
	writer->leaves_written++;
}

/* ---- batches ---- */

/* The rows of the cell in hand are complete. */
static void
end_cell(Writer *writer)
{
	const MrDirectory *directory = &writer->build->directory;
	MrLshEntry	centre = {0};

	if (writer->cells.rows.n > writer->cell_first)
	{
		MemoryContext before = MemoryContextSwitchTo(writer->scratch);

		mr_centres_get(&directory->leaves, writer->leaf, writer->code, &centre.scale, &centre.norm);
		centre.code = writer->code;
		if (directory->leaf_keys)
			centre.key = directory->leaf_keys[writer->leaf];
		mr_lsh_cells_close(&writer->cells, &centre);
		MemoryContextSwitchTo(before);
	}
	writer->cell_first = writer->cells.rows.n;
}

/* Writes the pages of the batch. */
static void
end_batch(Writer *writer)
{
	MrLshCells *cells = &writer->cells;
	MemoryContext before = MemoryContextSwitchTo(writer->scratch);
	int			first = 0;

	mr_lsh_cells_settle(cells);
	for (int i = 0; i < cells->centres.n; i++)
	{
		MrLshEntry	centre;

		CHECK_FOR_INTERRUPTS();
		mr_lsh_list_get_entry(&cells->centres, i, &centre);
		mr_lsh_list_sort(&cells->rows, first, cells->end[i] - first);
		write_leaf(writer, first, cells->end[i] - first, &centre);
		first = cells->end[i];
	}
	mr_lsh_cells_clear(cells);
	writer->cell_first = 0;
	MemoryContextSwitchTo(before);
	MemoryContextReset(writer->scratch);
}

/* All rows of a group have been read. */
static void
end_group(Writer *writer)
{
	const MrDirectory *directory = &writer->build->directory;
	MrLshEntry	entry = {0};
	int8	   *code;
	MemoryContext before;

	end_batch(writer);
	before = MemoryContextSwitchTo(writer->scratch);
	code = palloc(writer->build->meta.dim);
	mr_centres_get(&directory->groups, writer->group, code, &entry.scale, &entry.norm);
	entry.code = code;
	if (directory->group_keys)
		entry.key = directory->group_keys[writer->group];
	mr_lsh_upper_group(&writer->upper, &entry);
	MemoryContextSwitchTo(before);
	MemoryContextReset(writer->scratch);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) writer->done);
}

/* Goes on to another leaf of the directory, and perhaps to another group. */
static void
next_leaf(Writer *writer, int leaf)
{
	const MrDirectory *directory = &writer->build->directory;

	end_cell(writer);
	if (leaf >= directory->group_first[writer->group + 1])
	{
		end_group(writer);
		while (leaf >= directory->group_first[writer->group + 1])
			writer->group++;
	}
	else if ((Size) writer->cells.rows.n * writer->cells.rows.dim >= BATCH_BYTES)
		end_batch(writer);
	writer->leaf = leaf;
}

/* A row of a leaf of the directory; rows come leaf by leaf and block by block. */
static void
put_row(Writer *writer, int leaf, const MrLshRow *row)
{
	MrLshList  *rows = &writer->cells.rows;

	if (leaf != writer->leaf)
		next_leaf(writer, leaf);
	else if ((Size) (rows->n - writer->cell_first) * rows->dim >= CELL_BYTES &&
			 ItemPointerGetBlockNumber(&row->tid) != ItemPointerGetBlockNumber(&rows->tid[rows->n - 1]))
	{
		/* at the end of a block, because the order within is not that of TIDs yet */
		end_cell(writer);
		if ((Size) rows->n * rows->dim >= BATCH_BYTES)
			end_batch(writer);
	}
	mr_lsh_list_row(rows, row);
}

/* ---- rows without an embedding ---- */

/* Writes the TIDs that wait; the page is the head of the chain: an insert looks for room there. */
static void
end_nulls(Writer *writer)
{
	MrLshMeta  *meta = &writer->build->meta;
	Buffer		buffer;
	Page		page;

	if (writer->n_nulls == 0)
		return;
	buffer = mr_lsh_build_page(writer->build, MR_LSH_NULLS);
	page = BufferGetPage(buffer);
	for (int i = 0; i < writer->n_nulls; i++)
		mr_lsh_null_append(page, &writer->nulls[i]);
	mr_lsh_opaque(page)->right = meta->null_head;
	mr_lsh_opaque(page)->right_birth = meta->null_birth;
	meta->null_head = BufferGetBlockNumber(buffer);
	meta->null_birth = 1;
	UnlockReleaseBuffer(buffer);
	writer->n_nulls = 0;
}

static void
put_null(Writer *writer, const ItemPointerData *tid)
{
	if (writer->n_nulls == writer->build->layout.null_capacity)
		end_nulls(writer);
	writer->nulls[writer->n_nulls++] = *tid;
}

/* ---- all rows ---- */

static void
begin(Writer *writer, MrLshBuild *build)
{
	const int	dim = Max(build->meta.dim, 1);

	memset(writer, 0, sizeof(*writer));
	writer->build = build;
	writer->scratch = AllocSetContextCreate(CurrentMemoryContext, "metricrec index cells", ALLOCSET_DEFAULT_SIZES);
	mr_lsh_cells_init(&writer->cells, build);
	writer->leaf = -1;
	writer->nulls = palloc(build->layout.null_capacity * sizeof(ItemPointerData));
	writer->code = palloc(dim);
	writer->mean = palloc(dim * sizeof(float));
	mr_lsh_upper_begin(&writer->upper, build);
}

/* Reads the sorted rows and writes the leaves, the inner pages, the root and the chain of NULLs. */
void
mr_lsh_build_write(MrLshBuild *build, Tuplesortstate *sort, TupleDesc desc)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	int8	   *code = palloc(Max(build->meta.dim, 1));
	Writer		writer;

	begin(&writer, build);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		MrLshRow	row;

		slot_getallattrs(slot);
		if (mr_lsh_sorted_row(slot->tts_values[1], build->meta.dim, &row, code))
			put_row(&writer, (int) (DatumGetInt64(slot->tts_values[0]) >> 32), &row);
		else
			put_null(&writer, &row.tid);
		if ((int64) ++writer.done % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	if (build->directory.n_leaves > 0)
	{
		end_cell(&writer);
		end_group(&writer);
	}
	end_nulls(&writer);
	build->meta.rows_at_build = build->index_tuples;
	build->meta.leaves_at_build = writer.leaves_written;
	build->meta.groups_at_build = writer.upper.groups.n;
	mr_lsh_upper_end(&writer.upper);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(writer.scratch);
}
