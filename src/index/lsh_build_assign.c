/*
 * lsh_build_assign.c
 *		The rows of the table: each is coded, finds its leaf and goes to a sort.
 *
 * Rows are collected until there are enough to look for their leaves together.
 * A process that takes part in a parallel build does the same.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

#include "index/lsh_build.h"
#include "util/compat.h"

/* The fixed part of a row in the sort, without padding: TID, scale, norm, error. */
#define ROW_HEAD (sizeof(ItemPointerData) + 3 * sizeof(float))

struct MrLshAssign
{
	const MrDirectory *directory;
	const MrHash *hash;
	Tuplesortstate *sort;
	TupleTableSlot *slot;
	bytea	   *packed;			/* one row on its way to the sort */
	MemoryContext row;			/* reset after each row */
	bool		skip_unknown;
	bool		progress;
	double		rows;
	MrAssigner	assigner;
	/* rows that wait for the others of their batch */
	int			n;
	int			room;
	int8	   *codes;
	float	   *scale;
	float	   *norm;
	float	   *error;
	ItemPointerData *tid;
	int32	   *leaf;
};

/* ---- the sort ---- */

TupleDesc
mr_lsh_sort_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);

	TupleDescInitEntry(desc, 1, "key", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "row", BYTEAOID, -1, 0);
	return desc;
}

Tuplesortstate *
mr_lsh_sort_begin(TupleDesc desc, int memory, SortCoordinate coordinate)
{
	AttrNumber	column = 1;
	Oid			less = Int8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	return tuplesort_begin_heap(desc, 1, &column, &less, &collation, &nulls_first, memory, coordinate,
								TUPLESORT_NONE);
}

/* Puts a row; code NULL: one without an embedding. */
static void
sort_row(MrLshAssign *assign, int32 leaf, const ItemPointerData *tid, const int8 *code, float scale, float norm,
		 float error)
{
	TupleTableSlot *slot = assign->slot;
	char	   *at = VARDATA(assign->packed);
	const float numbers[3] = {scale, norm, error};
	int			dim = code == NULL ? 0 : assign->directory->dim;

	memcpy(at, tid, sizeof(*tid));
	memcpy(at + sizeof(*tid), numbers, sizeof(numbers));
	if (dim > 0)
		memcpy(at + ROW_HEAD, code, dim);
	SET_VARSIZE(assign->packed, VARHDRSZ + ROW_HEAD + dim);

	ExecClearTuple(slot);
	slot->tts_values[0] = Int64GetDatum(((int64) leaf << 32) | ItemPointerGetBlockNumberNoCheck(tid));
	slot->tts_values[1] = PointerGetDatum(assign->packed);
	slot->tts_isnull[0] = slot->tts_isnull[1] = false;
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(assign->sort, slot);
}

/* Reads a row from the sort, its code into the caller's memory; false: it has none. */
bool
mr_lsh_sorted_row(Datum value, int dim, MrLshRow *row, int8 *code)
{
	const bytea *packed = (const bytea *) DatumGetPointer(value);
	const char *at = VARDATA_ANY(packed);
	Size		size = VARSIZE_ANY_EXHDR(packed);
	float		numbers[3];

	memcpy(&row->tid, at, sizeof(row->tid));
	memcpy(numbers, at + sizeof(row->tid), sizeof(numbers));
	row->scale = numbers[0];
	row->norm = numbers[1];
	row->error = numbers[2];
	row->code = code;
	if (size == ROW_HEAD)
		return false;
	Assert(size == ROW_HEAD + dim);
	memcpy(code, at + ROW_HEAD, dim);
	return true;
}

/* ---- rows ---- */

/*
 * Prepares to take rows, in the current memory context.  skip_unknown: a row with
 * an embedding may come although the sample had none, because other transactions
 * go on inserting; a concurrent build adds it in its second pass.
 */
MrLshAssign *
mr_lsh_assign_begin(const MrDirectory *directory, const MrHash *hash, Tuplesortstate *sort, TupleDesc desc,
					bool skip_unknown, bool progress)
{
	MrLshAssign *assign = palloc0(sizeof(MrLshAssign));
	int			dim = directory->dim;

	assign->directory = directory;
	assign->hash = hash;
	assign->sort = sort;
	assign->skip_unknown = skip_unknown;
	assign->progress = progress;
	assign->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	assign->packed = palloc(VARHDRSZ + ROW_HEAD + dim);
	assign->row = AllocSetContextCreate(CurrentMemoryContext, "metricrec index row", ALLOCSET_DEFAULT_SIZES);
	if (directory->n_leaves == 0)
		return assign;
	assign->room = mr_assign_room(directory);
	mr_assigner_init(&assign->assigner, directory, hash, assign->room,
					 mr_lsh_palloc_aligned(mr_assigner_size(directory, assign->room)));
	assign->codes = palloc(assign->room * dim);
	assign->scale = palloc(assign->room * sizeof(float));
	assign->norm = palloc(assign->room * sizeof(float));
	assign->error = palloc(assign->room * sizeof(float));
	assign->tid = palloc(assign->room * sizeof(ItemPointerData));
	assign->leaf = palloc(assign->room * sizeof(int32));
	return assign;
}

/* Finds the leaves of the rows that wait, and hands them to the sort. */
static void
flush_rows(MrLshAssign *assign)
{
	int			dim = assign->directory->dim;
	MrCodeRows	rows = {assign->n, dim, assign->codes, assign->scale, assign->norm};

	if (assign->n == 0)
		return;
	mr_assign(&assign->assigner, &rows, assign->leaf);
	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < assign->n; i++)
		sort_row(assign, assign->leaf[i], &assign->tid[i], assign->codes + (Size) i * dim, assign->scale[i],
				 assign->norm[i], assign->error[i]);
	assign->n = 0;
	if (assign->progress)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) assign->rows);
}

/* One row of the table. */
void
mr_lsh_assign_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	MrLshAssign *assign = arg;
	MemoryContext before = MemoryContextSwitchTo(assign->row);
	int			dim;
	const float *x = mr_lsh_value(values[0], isnull[0], assign->directory->dim, &dim);

	MemoryContextSwitchTo(before);
	if (x == NULL)
	{
		sort_row(assign, MR_LSH_NULL_LEAF, tid, NULL, 0, 0, 0);
		assign->rows++;
	}
	else if (assign->directory->n_leaves > 0)
	{
		int			i = assign->n++;

		assign->error[i] = mr_code_encode(x, dim, assign->codes + (Size) i * dim, &assign->scale[i],
										  &assign->norm[i]);
		assign->tid[i] = *tid;
		assign->rows++;
		if (assign->n == assign->room)
			flush_rows(assign);
	}
	else if (!assign->skip_unknown)
		elog(ERROR, "row that was not there before in table of index \"%s\"", RelationGetRelationName(index));
	MemoryContextReset(assign->row);
}

/* All rows have come; returns their number. */
double
mr_lsh_assign_end(MrLshAssign *assign)
{
	double		rows = assign->rows;

	flush_rows(assign);
	ExecDropSingleTupleTableSlot(assign->slot);
	MemoryContextDelete(assign->row);
	return rows;
}

/* ---- by this process alone ---- */

static Tuplesortstate *
assign_serial(MrLshBuild *build, TupleDesc desc)
{
	Size		directory = mr_directory_size(&build->directory) / 1024;
	int			memory = maintenance_work_mem > directory + 64 ? maintenance_work_mem - (int) directory : 64;
	Tuplesortstate *sort = mr_lsh_sort_begin(desc, memory, NULL);
	MrLshAssign *assign = mr_lsh_assign_begin(&build->directory, &build->hash, sort, desc,
											  build->info->ii_Concurrent, true);

	build->heap_tuples = table_index_build_scan(build->heap, build->index, build->info, true, true,
												mr_lsh_assign_row, assign, NULL);
	build->index_tuples = mr_lsh_assign_end(assign);
	return sort;
}

/*
 * Assigns all rows, by several processes if there are some to be had, and returns
 * them sorted by leaf.
 */
Tuplesortstate *
mr_lsh_build_assign(MrLshBuild *build, TupleDesc desc, void **parallel)
{
	int			workers = plan_create_index_workers(RelationGetRelid(build->heap), RelationGetRelid(build->index));
	Tuplesortstate *sort = NULL;

	*parallel = NULL;
	if (workers > 0)
		sort = mr_lsh_assign_parallel(build, desc, workers, parallel);
	if (sort == NULL)
		sort = assign_serial(build, desc);
	tuplesort_performsort(sort);
	return sort;
}
