/*
 * evaluate_points.c
 *		The points of the active version as matrices, read through its views.
 *
 * As the calling role: what a role may evaluate is what it may SELECT.  Through
 * a read-only cursor, so with the snapshot of the calling query.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "train/evaluate.h"
#include "type/embedding.h"
#include "util/compat.h"
#include "util/pgutil.h"

/* Rows per fetch of the cursor. */
#define FETCH_ROWS 1000

static void *
resize(MemoryContext context, void *array, Size size)
{
	return array ? repalloc_huge(array, size) : MemoryContextAllocHuge(context, size);
}

/* Makes room for one more row; checked against the limit before it grows. */
static void
grow(MrPointTable *table, int64 *capacity, MemoryContext context)
{
	Size		point = mul_size(sizeof(float), table->dimensions);

	if (mr_idmap_size(table->ids) < *capacity)
		return;
	*capacity = *capacity ? *capacity + *capacity / 2 : 1024;
	mr_evaluate_check_memory(context, mul_size(point + sizeof(int64), *capacity));
	table->points = resize(context, table->points, mul_size(point, *capacity));
	table->interactions = resize(context, table->interactions, mul_size(sizeof(int64), *capacity));
}

/* One row (id, embedding, interactions); without id or embedding it is no point. */
static void
take_row(MrPointTable *table, HeapTuple tuple, TupleDesc desc, int64 *capacity, MemoryContext context)
{
	bool		isnull[3];
	Datum		id = SPI_getbinval(tuple, desc, 1, &isnull[0]);
	Datum		point = SPI_getbinval(tuple, desc, 2, &isnull[1]);
	Datum		count = SPI_getbinval(tuple, desc, 3, &isnull[2]);
	MrEmbedding *embedding;
	int32		row;

	if (isnull[0] || isnull[1])
		return;
	embedding = DatumGetMrEmbedding(point);
	if (table->dimensions == 0)
		table->dimensions = embedding->dim;
	if (embedding->dim != table->dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different embedding dimensions %d and %d", table->dimensions, embedding->dim)));
	grow(table, capacity, context);
	row = mr_idmap_insert(table->ids, id);
	memcpy(table->points + (Size) row * table->dimensions, embedding->x, sizeof(float) * table->dimensions);
	table->interactions[row] = isnull[2] ? 0 : DatumGetInt64(count);
}

/* The view's owner can rename its columns and add others under their names. */
static void
check_columns(const MrModel *model, MrSide side, TupleDesc desc)
{
	const Oid	expected[3] = {getBaseType(mr_side_type(model, side)), mr_embedding_type(), INT8OID};

	for (int i = 0; i < lengthof(expected); i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (getBaseType(column->atttypid) != expected[i])
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of view \"%s\" has type %s, but type %s was expected",
							NameStr(column->attname), get_rel_name(mr_side_view(model, side)),
							format_type_be(column->atttypid), format_type_be(expected[i])),
					 errhint("Change the columns of the model's views back, or drop the model and make it again.")));
	}
}

/*
 * Reads one side of the active version into `context`.  SPI is connected.
 *
 * Errors: 42501 no privilege; P0002 no row; 22000 rows of different dimensions;
 * 42804 a column of another type; 53200 beyond metricrec.training_memory.
 */
void
mr_points_read(const MrModel *model, MrSide side, MemoryContext context, MrPointTable *table)
{
	Oid			view = mr_side_view(model, side);
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext, "metricrec rows to read",
											   ALLOCSET_DEFAULT_SIZES);
	int64		capacity = 0;
	Oid			type;
	int32		typmod;
	Oid			collation;
	Portal		portal;

	get_atttypetypmodcoll(view, 1, &type, &typmod, &collation);
	memset(table, 0, sizeof(*table));
	table->ids = mr_idmap_create(mr_side_type(model, side), collation, context);
	portal = SPI_cursor_open_with_args(NULL,
									   psprintf("SELECT %s, embedding, interactions FROM %s",
												mr_side_column(side), mr_relation_sql(view)),
									   0, NULL, NULL, NULL, true, 0);
	check_columns(model, side, portal->tupDesc);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			MemoryContext before = MemoryContextSwitchTo(rows);

			take_row(table, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &capacity, context);
			MemoryContextSwitchTo(before);
		}
		SPI_freetuptable(SPI_tuptable);
		MemoryContextReset(rows);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(rows);
	if (mr_idmap_size(table->ids) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("view \"%s\" has no rows that you may read", get_rel_name(view))));
}
