/*
 * plot_read.c
 *		The points of a map, read through the model's views.
 *
 * As the calling role, read-only, under the snapshot of the calling query.  The
 * rows come in an order that depends on them only, not on where they lie on disk:
 * by interactions, equals by a hash of the key with the seed, a random sample by the
 * hash alone.  So one seed gives one picture.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "plot/plot.h"
#include "type/embedding.h"
#include "util/pgutil.h"

/* Rows per fetch of the cursor. */
#define FETCH_ROWS 500

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* The type by which keys are found: int8 for all integers. */
static Oid
key_type_of(const MrMap *map, MrSide side)
{
	Oid			type = getBaseType(mr_side_type(map->model, side));

	return is_integer(type) ? INT8OID : type;
}

static int64
count_rows(Oid view)
{
	bool		isnull;

	if (SPI_execute(psprintf("SELECT pg_catalog.count(*) FROM %s", mr_relation_sql(view)), true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not count the rows of a view");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* How many of each view's rows: for two views, half of the points each, and what one leaves the other. */
static void
plan_parts(MrMap *map)
{
	MrMapSide	side = map->options.side;
	int32		most = map->options.max_points;
	int32		first = 0;

	map->n_parts = side == MR_MAP_BOTH ? 2 : 1;
	map->parts[0].side = side == MR_MAP_USER ? MR_SIDE_USER : side == MR_MAP_TAG ? MR_SIDE_TAG : MR_SIDE_ITEM;
	map->parts[1].side = MR_SIDE_USER;
	for (int i = 0; i < map->n_parts; i++)
		map->parts[i].total = count_rows(mr_side_view(map->model, map->parts[i].side));
	for (int i = 0; i < map->n_parts; i++)
	{
		int64		share = most;

		if (map->n_parts == 2)
		{
			share = i == 0 ? (most + 1) / 2 : most / 2;
			share = Max(share, most - map->parts[1 - i].total);
		}
		map->parts[i].first = first;
		map->parts[i].n = (int32) Min(share, map->parts[i].total);
		first += map->parts[i].n;
	}
	map->n = first;
}

static void
allocate(MrMap *map)
{
	Size		n = Max(map->n, 1);

	map->x = mr_map_alloc(map, mul_size(n, mul_size(sizeof(float), Max(map->dim, 1))));
	map->interactions = mr_map_alloc(map, sizeof(double) * n);
	map->number = mr_map_alloc(map, sizeof(double) * n);
	map->key = mr_map_alloc(map, sizeof(char *) * n);
	map->label = mr_map_alloc(map, sizeof(char *) * n);
	map->value = mr_map_alloc(map, sizeof(char *) * n);
	memset(map->label, 0, sizeof(char *) * n);
	memset(map->value, 0, sizeof(char *) * n);
	for (Size i = 0; i < n; i++)
		map->number[i] = NAN;
}

static char *
part_sql(const MrMap *map, const MrMapPart *part)
{
	const char *column = quote_identifier(mr_side_column(part->side));
	const char *popular = map->options.sample == MR_MAP_POPULAR ? "v.interactions DESC NULLS LAST, " : "";

	return psprintf("SELECT v.%s%s, pg_catalog.\"left\"(v.%s::pg_catalog.text, %d), v.embedding, v.interactions FROM %s v "
					"ORDER BY %spg_catalog.hashtextextended(v.%s::pg_catalog.text COLLATE pg_catalog.\"C\", " INT64_FORMAT
					") LIMIT %d",
					column, key_type_of(map, part->side) == INT8OID ? "::pg_catalog.int8" : "", column,
					2 * MR_PLOT_TEXT, mr_relation_sql(mr_side_view(map->model, part->side)), popular, column,
					map->options.seed, part->n);
}

/* The view's owner can rename its columns and add others under their names. */
static void
check_columns(const MrMap *map, MrSide side, TupleDesc desc)
{
	const Oid	expected[4] = {key_type_of(map, side), TEXTOID, mr_embedding_type(), INT8OID};

	for (int i = 0; i < lengthof(expected); i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (getBaseType(column->atttypid) != expected[i])
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of view \"%s\" has type %s, but type %s was expected",
							NameStr(column->attname), get_rel_name(mr_side_view(map->model, side)),
							format_type_be(column->atttypid), format_type_be(expected[i])),
					 errhint("Change the columns of the model's views back, or drop the model and make it again.")));
	}
}

/* The coordinates but the bias. */
static void
take_point(MrMap *map, int32 row, Datum value)
{
	MrEmbedding *point = DatumGetMrEmbedding(value);

	if (point->dim != map->version->tower.dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different embedding dimensions %d and %d", map->version->tower.dimensions, point->dim)));
	memcpy(map->x + (Size) row * map->dim, point->x, sizeof(float) * map->dim);
}

/* A clean copy of a text, counted; NULL if there is nothing to be seen of it. */
char *
mr_map_keep_text(MrMap *map, Datum value)
{
	char	   *clean = mr_svg_clean(TextDatumGetCString(value), MR_PLOT_TEXT);
	Size		size = strlen(clean) + 1;

	if (clean[0] == '\0')
		return NULL;
	return memcpy(mr_budget_alloc(&map->budget, map->context, size), clean, size);
}

/* A row of the cursor as point `row`; false if it has no key or no point. */
static bool
take_row(MrMap *map, const MrMapPart *part, int32 row, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull[4];
	Datum		values[4];

	for (int i = 0; i < 4; i++)
		values[i] = SPI_getbinval(tuple, desc, i + 1, &isnull[i]);
	if (isnull[0] || isnull[2])
		return false;
	take_point(map, row, values[2]);
	map->key[row] = isnull[1] ? NULL : mr_map_keep_text(map, values[1]);
	if (map->key[row] == NULL)
		map->key[row] = "";
	map->interactions[row] = isnull[3] ? NAN : (double) DatumGetInt64(values[3]);
	if (part == &map->parts[0] && map->ids && mr_idmap_insert(map->ids, values[0]) != row)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("key \"%s\" occurs more than once in view \"%s\"", map->key[row],
						get_rel_name(mr_side_view(map->model, part->side)))));
	return true;
}

static void
read_part(MrMap *map, MrMapPart *part, int32 *row)
{
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext, "metricrec rows to read",
											   ALLOCSET_DEFAULT_SIZES);
	int32		end = *row + part->n;
	Portal		portal = SPI_cursor_open_with_args(NULL, part_sql(map, part), 0, NULL, NULL, NULL, true, 0);

	check_columns(map, part->side, portal->tupDesc);
	part->first = *row;
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed && *row < end; i++)
		{
			MemoryContext before = MemoryContextSwitchTo(rows);

			if (take_row(map, part, *row, SPI_tuptable->vals[i], SPI_tuptable->tupdesc))
				(*row)++;
			MemoryContextSwitchTo(before);
		}
		SPI_freetuptable(SPI_tuptable);
		MemoryContextReset(rows);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(rows);
	part->n = *row - part->first;
}

/*
 * Reads the points of the options' side into the map.  SPI is connected.
 *
 * Errors: 42501 no privilege; 22000 rows of different dimensions; 42804 a column of
 * another type; 53200 beyond metricrec.training_memory.
 */
void
mr_map_read(MrMap *map)
{
	int32		row = 0;
	Oid			type;
	int32		typmod;
	Oid			collation;

	plan_parts(map);
	allocate(map);
	get_atttypetypmodcoll(mr_side_view(map->model, map->parts[0].side), 1, &type, &typmod, &collation);
	map->ids = mr_idmap_create(key_type_of(map, map->parts[0].side), collation, map->context);
	mr_idmap_set_budget(map->ids, &map->budget);
	for (int i = 0; i < map->n_parts; i++)
		read_part(map, &map->parts[i], &row);
	map->n = row;
}
