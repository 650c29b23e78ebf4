/*
 * dataset_source.c
 *		Checks a relation and its columns, and writes the query that reads them.
 *
 * All checks that can be made by the catalogs are made here, so that a model
 * whose table was dropped or changed gets a clear error instead of the
 * parser's.  The relation is locked (AccessShareLock, until the transaction
 * ends): what was checked is what is read.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "data/dataset_internal.h"
#include "util/pgutil.h"

/* A hint with more names than that helps nobody. */
#define MAX_LISTED_COLUMNS 40

/* Opens and locks the relation; refuses what cannot be read as a table. */
static Relation
open_source(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation of the interactions no longer exists"),
				 errdetail("Its OID was %u.", relid)));
	if (!mr_relation_has_rows(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot read interactions from relation \"%s\"", RelationGetRelationName(rel)),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind)));
	return rel;
}

static char *
column_list(Relation rel)
{
	StringInfoData list;
	int			listed = 0;

	initStringInfo(&list);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);

		if (column->attisdropped)
			continue;
		if (listed == MAX_LISTED_COLUMNS)
		{
			appendStringInfoString(&list, ", ...");
			break;
		}
		appendStringInfo(&list, "%s%s", listed > 0 ? ", " : "", quote_identifier(NameStr(column->attname)));
		listed++;
	}
	return list.data;
}

/* A column by its name, with the privilege to read it. */
Form_pg_attribute
mr_dataset_find_column(Relation rel, const char *name)
{
	Oid			relid = RelationGetRelid(rel);

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);

		if (column->attisdropped || strcmp(NameStr(column->attname), name) != 0)
			continue;
		if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
			pg_attribute_aclcheck(relid, column->attnum, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(rel->rd_rel->relkind),
						   RelationGetRelationName(rel));
		return column;
	}
	if (get_attnum(relid, name) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("column \"%s\" of relation \"%s\" is a system column", name, RelationGetRelationName(rel)),
				 errdetail("System columns do not identify a row for good.")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of relation \"%s\" does not exist", name, RelationGetRelationName(rel)),
			 errhint("The columns are: %s.", column_list(rel))));
	return NULL;				/* not reached */
}

static bool
is_integer(Oid base_type)
{
	return base_type == INT2OID || base_type == INT4OID || base_type == INT8OID;
}

/* Appends `t.name`, or its cast; the cast is explicit. */
static void
add_column(StringInfo text, const char *name, Oid cast_to)
{
	if (text->len > 0)
		appendStringInfoString(text, ", ");
	if (OidIsValid(cast_to))
		appendStringInfo(text, "(t.%s)::%s", quote_identifier(name),
						 mr_type_sql(cast_to));
	else
		appendStringInfo(text, "t.%s", quote_identifier(name));
}

/*
 * Adds a key column.  With the type of a model's ids, the column is cast to it.
 * If that is an integer, any integer will do: an id out of the range of the type
 * is unknown, not an error.  Returns the type that is read.
 */
Oid
mr_dataset_add_key(StringInfo text, Relation rel, const char *name, Oid id_type, Oid *type, Oid *collation)
{
	Form_pg_attribute column = mr_dataset_find_column(rel, name);
	Oid			base_type = getBaseType(column->atttypid);
	Oid			function;

	*type = column->atttypid;
	*collation = column->attcollation;
	if (!OidIsValid(id_type))
	{
		if (!mr_idmap_hashable(column->atttypid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("column \"%s\" of relation \"%s\" cannot be a key", name, RelationGetRelationName(rel)),
					 errdetail("Type %s has no hash function that agrees with its equality.",
							   format_type_be(column->atttypid)),
					 errhint("Read through a view that casts the column to a hashable type, for example text.")));
		add_column(text, name, InvalidOid);
		return base_type;
	}
	id_type = getBaseType(id_type);
	if (base_type == id_type || (is_integer(base_type) && is_integer(id_type)))
	{
		add_column(text, name, InvalidOid);
		return base_type;
	}
	if (find_coercion_pathway(id_type, column->atttypid, COERCION_EXPLICIT, &function) == COERCION_PATH_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_COERCE),
				 errmsg("column \"%s\" of relation \"%s\" cannot be cast to the type of the model's ids",
						name, RelationGetRelationName(rel)),
				 errdetail("The column is of type %s, the ids are of type %s.",
						   format_type_be(column->atttypid), format_type_be(id_type))));
	if (is_integer(id_type))
		id_type = INT8OID;
	add_column(text, name, id_type);
	return id_type;
}

/*
 * Adds a column that is read as float8.  Casts by way of the text form are
 * refused: a rating of type text is a mistake more often than a number.
 */
static void
add_number(StringInfo text, Relation rel, const char *name, const char *role)
{
	Form_pg_attribute column = mr_dataset_find_column(rel, name);
	Oid			function;
	CoercionPathType path = find_coercion_pathway(FLOAT8OID, column->atttypid, COERCION_EXPLICIT, &function);

	if (path != COERCION_PATH_RELABELTYPE && path != COERCION_PATH_FUNC)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s column \"%s\" of relation \"%s\" is not a number", role, name, RelationGetRelationName(rel)),
				 errdetail("It is of type %s.", format_type_be(column->atttypid)),
				 errhint("Read through a view that casts the column to double precision.")));
	add_column(text, name, FLOAT8OID);
}

/* Adds the time column; returns the type that is read. */
static Oid
add_time(StringInfo text, Relation rel, const char *name)
{
	Form_pg_attribute column = mr_dataset_find_column(rel, name);
	Oid			base_type = getBaseType(column->atttypid);

	switch (base_type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case FLOAT4OID:
		case FLOAT8OID:
			add_column(text, name, InvalidOid);
			return base_type;
		case NUMERICOID:
			add_column(text, name, FLOAT8OID);
			return FLOAT8OID;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("time column \"%s\" of relation \"%s\" is neither a time nor a number",
							name, RelationGetRelationName(rel)),
					 errdetail("It is of type %s.", format_type_be(column->atttypid)),
					 errhint("Read through a view that casts the column to timestamp with time zone.")));
	}
	return InvalidOid;			/* not reached */
}

/*
 * Checks the source and makes its query.  users, items, tags: the maps whose types
 * the keys must have, or NULL for the columns' own types.
 */
void
mr_dataset_prepare(const MrDatasetSource *source, const MrIdMap *users, const MrIdMap *items,
				   const MrIdMap *tags, MrDatasetQuery *query)
{
	Relation	rel = open_source(source->relation);
	StringInfoData columns;
	int			n = 2;

	memset(query, 0, sizeof(*query));
	query->rating_at = query->weight_at = query->time_at = query->tag_at = -1;
	query->has_min_rating = source->has_min_rating && source->rating_column;
	query->min_rating = source->min_rating;
	query->keep_bad_values = source->keep_bad_values;
	initStringInfo(&columns);
	query->user_base_type = mr_dataset_add_key(&columns, rel, source->user_column,
											   users ? mr_idmap_type(users) : InvalidOid,
											   &query->user_type, &query->user_collation);
	query->item_base_type = mr_dataset_add_key(&columns, rel, source->item_column,
											   items ? mr_idmap_type(items) : InvalidOid,
											   &query->item_type, &query->item_collation);
	if (source->rating_column)
	{
		add_number(&columns, rel, source->rating_column, "rating");
		query->rating_at = n++;
	}
	if (source->weight_column)
	{
		add_number(&columns, rel, source->weight_column, "weight");
		query->weight_at = n++;
	}
	if (source->time_column)
	{
		query->time_base_type = add_time(&columns, rel, source->time_column);
		query->time_at = n++;
	}
	if (source->tag_column)
	{
		query->tag_base_type = mr_dataset_add_key(&columns, rel, source->tag_column,
												  tags ? mr_idmap_type(tags) : InvalidOid,
												  &query->tag_type, &query->tag_collation);
		query->tag_at = n++;
	}
	query->n_columns = n;
	query->text = psprintf("SELECT %s FROM %s AS t%s%s", columns.data,
						   quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
													  RelationGetRelationName(rel)),
						   source->condition ? " WHERE " : "", source->condition ? source->condition : "");
	relation_close(rel, NoLock);
}

/*
 * Raises an error unless the relation can be read as interactions by the
 * calling role: 42P01 dropped; 42809 not a kind of table; 42703 no such column;
 * 42P10 system column; 42883 key not hashable; 42804 rating, weight or time of a
 * wrong type; 42501 no privilege.  Returns the types of the key columns, so that
 * the caller can tell whether they changed (any pointer may be NULL); the tags'
 * type is InvalidOid without a tag column.
 */
void
mr_dataset_check_columns(const MrDatasetSource *source, Oid *user_type, Oid *item_type, Oid *tag_type)
{
	MrDatasetQuery query;

	mr_dataset_prepare(source, NULL, NULL, NULL, &query);
	if (user_type)
		*user_type = query.user_type;
	if (item_type)
		*item_type = query.item_type;
	if (tag_type)
		*tag_type = query.tag_type;
}
