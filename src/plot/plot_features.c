/*
 * plot_features.c
 *		The columns of a feature table that colour and label the points of a map.
 *
 * The column's type says how it colours:
 *		number						a scale
 *		date, timestamp(tz)			a scale of times
 *		array						its first element, by the element's type
 *		anything else				categories, by its text
 *
 * The table is read as the calling role, all rows of it: those whose key has no
 * point in the map are passed over.
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"

#include "data/dataset.h"
#include "plot/plot.h"
#include "util/pgutil.h"

#define FETCH_ROWS 500

/* ---- what is to be read ---- */

/* Is this column needed?  "key" is no column of the table. */
static bool
is_column(const char *labels)
{
	return labels != NULL && strcmp(labels, "key") != 0;
}

/* The feature table of the map's first part, open; error if there is none. */
static Relation
open_features(const MrMap *map, const char *column)
{
	MrSide		side = map->parts[0].side;
	Oid			relation = side == MR_SIDE_ITEM ? map->model->item_features :
		side == MR_SIDE_USER ? map->model->user_features : InvalidOid;
	Relation	rel;

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no feature table of the %s", map->model->name, mr_map_noun(side, 2)),
				 errdetail("Column \"%s\" would be read from it.", column),
				 side == MR_SIDE_TAG ? errhint("Tags can be coloured by 'cluster' or 'popularity', and labelled by 'key'.") :
				 errhint("Make the model with %s_features, or color by 'cluster' or 'popularity', and label by 'key'.",
						 mr_map_noun(side, 1))));
	rel = try_relation_open(relation, AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("feature table of model \"%s\" no longer exists", map->model->name)));
	if (!mr_relation_has_rows(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot read features from relation \"%s\"", RelationGetRelationName(rel)),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind)));
	return rel;
}

static MrMapColor
kind_of(Oid base_type)
{
	switch (base_type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return MR_MAP_NUMBER;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return MR_MAP_TIME;
		default:
			return MR_MAP_CATEGORY;
	}
}

/* `t.column`, or of an array its first element; *type: of that. */
static char *
value_sql(Relation rel, const char *column, Oid *type)
{
	Form_pg_attribute attribute = mr_dataset_find_column(rel, column);
	Oid			base_type = getBaseType(attribute->atttypid);
	Oid			element = get_element_type(base_type);
	const char *name = quote_identifier(column);

	*type = base_type;
	if (!OidIsValid(element))
		return psprintf("t.%s", name);
	*type = getBaseType(element);
	/* Arrays need not count from 1. */
	return psprintf("(t.%s)[pg_catalog.array_lower(t.%s, 1)]", name, name);
}

static char *
text_sql(const char *value)
{
	return psprintf("pg_catalog.\"left\"((%s)::pg_catalog.text, %d)", value, 2 * MR_PLOT_TEXT);
}

/* A numeric can be beyond a float8, at both ends, and the cast would refuse the whole map for it. */
static char *
number_sql(const char *value)
{
	return psprintf("CASE WHEN pg_catalog.abs(%s) OPERATOR(pg_catalog.<=) '1e308'::pg_catalog.numeric"
					" THEN pg_catalog.round(%s, 300)::pg_catalog.float8 END", value, value);
}

/* The colour's expression, and map->color by the column's type. */
static char *
color_sql(MrMap *map, Relation rel)
{
	Oid			type;
	char	   *value = value_sql(rel, map->options.color, &type);

	map->color = kind_of(type);
	if (type == NUMERICOID)
		return number_sql(value);
	if (map->color == MR_MAP_NUMBER)
		return psprintf("(%s)::pg_catalog.float8", value);
	if (map->color == MR_MAP_TIME)
		return psprintf("CASE WHEN pg_catalog.isfinite(%s) THEN EXTRACT(epoch FROM %s)::pg_catalog.float8 END",
						value, value);
	return text_sql(value);
}

/* The key's expression, cast to the type of the map's ids. */
static char *
key_sql(const MrMap *map, Relation rel)
{
	MrSide		side = map->parts[0].side;
	const char *column = side == MR_SIDE_ITEM ? map->model->item_column : map->model->user_column;
	StringInfoData sql;
	Oid			type;
	Oid			collation;

	initStringInfo(&sql);
	(void) mr_dataset_add_key(&sql, rel, column, mr_side_type(map->model, side), &type, &collation);
	if (mr_idmap_type(map->ids) == INT8OID)
		appendStringInfoString(&sql, "::pg_catalog.int8");
	return sql.data;
}

/* SELECT key, colour, label; what is not wanted is NULL. */
static char *
features_sql(MrMap *map, bool with_color, bool with_labels)
{
	Relation	rel = open_features(map, with_color ? map->options.color : map->options.labels);
	const char *color = with_color ? color_sql(map, rel) : "NULL::pg_catalog.text";
	const char *label = "NULL::pg_catalog.text";
	char	   *sql;

	if (with_labels)
	{
		Oid			type;

		label = text_sql(value_sql(rel, map->options.labels, &type));
	}
	sql = psprintf("SELECT %s, %s, %s FROM %s t", key_sql(map, rel), color, label,
				   mr_relation_sql(RelationGetRelid(rel)));
	relation_close(rel, NoLock);
	return sql;
}

/* ---- reading ---- */

static void
take_features(MrMap *map, bool *seen, bool color_is_number, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull[3];
	Datum		values[3];
	int32		row;

	for (int i = 0; i < 3; i++)
		values[i] = SPI_getbinval(tuple, desc, i + 1, &isnull[i]);
	row = isnull[0] ? -1 : mr_idmap_lookup(map->ids, values[0]);
	if (row < 0)
		return;
	if (seen[row])
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("key \"%s\" occurs more than once among the features", map->key[row]),
				 errhint("A feature table has one row per key; a view can put the rows of a key together.")));
	seen[row] = true;
	if (!isnull[1] && color_is_number)
		map->number[row] = isfinite(DatumGetFloat8(values[1])) ? DatumGetFloat8(values[1]) : NAN;
	else if (!isnull[1])
		map->value[row] = mr_map_keep_text(map, values[1]);
	if (!isnull[2])
		map->label[row] = mr_map_keep_text(map, values[2]);
}

/* The planner's word must match ours: datums are taken apart by type. */
static void
check_types(const MrMap *map, TupleDesc desc, bool color_is_number)
{
	if (getBaseType(TupleDescAttr(desc, 0)->atttypid) != mr_idmap_type(map->ids) ||
		TupleDescAttr(desc, 1)->atttypid != (color_is_number ? FLOAT8OID : TEXTOID) ||
		TupleDescAttr(desc, 2)->atttypid != TEXTOID)
		elog(ERROR, "query of the features gives unexpected columns");
}

static void
scan(MrMap *map, const char *sql, bool color_is_number)
{
	bool	   *seen = mr_map_alloc(map, Max(map->n, 1));
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext, "metricrec rows to read",
											   ALLOCSET_DEFAULT_SIZES);
	Portal		portal = SPI_cursor_open_with_args(NULL, sql, 0, NULL, NULL, NULL, true, 0);

	memset(seen, 0, Max(map->n, 1));
	check_types(map, portal->tupDesc, color_is_number);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			MemoryContext before = MemoryContextSwitchTo(rows);

			take_features(map, seen, color_is_number, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
			MemoryContextSwitchTo(before);
		}
		SPI_freetuptable(SPI_tuptable);
		MemoryContextReset(rows);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(rows);
}

/*
 * Reads colours and labels, if they are columns.  Of two sides, those of the items.
 * SPI is connected.
 *
 * Errors: 55000 no feature table; 42703 no such column; 42501 no privilege; 42846 a
 * key of another family of types; 23505 a key twice.
 */
void
mr_map_read_features(MrMap *map)
{
	bool		with_color = map->color == MR_MAP_CATEGORY;
	bool		with_labels = is_column(map->options.labels);
	char	   *sql;

	if (map->options.labels && !with_labels)
		for (int32 i = 0; i < map->parts[0].n; i++)
			map->label[i] = map->key[i];
	if (!with_color && !with_labels)
		return;
	sql = features_sql(map, with_color, with_labels);
	scan(map, sql, with_color && map->color != MR_MAP_CATEGORY);
}
