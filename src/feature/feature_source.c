/*
 * feature_source.c
 *		Checks a feature table and its columns, decides how each is read, and
 *		writes the query.
 *
 * What the query gives, by kind of column:
 *		number, date, time, vector		the column as it is
 *		category						its text
 *		list, words						text[]
 * so that the rest of the folder knows few types, and the server's own casts do
 * the work.  Domains count as their base type.
 *
 * The relation is locked (AccessShareLock, until the transaction ends): what was
 * checked is what is read.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "data/dataset.h"
#include "feature/encoder.h"
#include "util/pgutil.h"

static Relation
open_source(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation of the features no longer exists"),
				 errdetail("Its OID was %u.", relid)));
	if (!mr_relation_has_rows(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot read features from relation \"%s\"", RelationGetRelationName(rel)),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind)));
	return rel;
}

static bool
is_string(Oid base_type)
{
	char		category;
	bool		is_preferred;

	get_type_category_preferred(base_type, &category, &is_preferred);
	return category == TYPCATEGORY_STRING;
}

/* The kind of an array's column, from the base type of its elements. */
static bool
kind_of_elements(Oid base_type, MrColumnKind *kind)
{
	switch (base_type)
	{
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			*kind = MR_COLUMN_VECTOR;
			return true;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			*kind = MR_COLUMN_LIST;
			return true;
		default:
			*kind = MR_COLUMN_LIST;
			return is_string(base_type) || get_typtype(base_type) == TYPTYPE_ENUM;
	}
}

/* How a column of this base type is read; false if it is not. */
bool
mr_feature_kind_of(Oid base_type, MrColumnKind *kind)
{
	Oid			element = get_element_type(base_type);

	if (OidIsValid(element))
		return kind_of_elements(getBaseType(element), kind);
	switch (base_type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			*kind = MR_COLUMN_NUMBER;
			return true;
		case DATEOID:
			*kind = MR_COLUMN_DATE;
			return true;
		case TIMESTAMPOID:
			*kind = MR_COLUMN_TIMESTAMP;
			return true;
		case TIMESTAMPTZOID:
			*kind = MR_COLUMN_TIMESTAMPTZ;
			return true;
		case BOOLOID:
			*kind = MR_COLUMN_CATEGORY;
			return true;
		case TSVECTOROID:
			*kind = MR_COLUMN_LIST;
			return true;
		default:
			break;
	}
	if (base_type == mr_embedding_type())
	{
		*kind = MR_COLUMN_VECTOR;
		return true;
	}
	*kind = MR_COLUMN_CATEGORY;
	return is_string(base_type) || get_typtype(base_type) == TYPTYPE_ENUM;
}

static bool
is_word_column(const MrFeatureSource *source, const char *name)
{
	for (int i = 0; i < source->n_word_columns; i++)
		if (strcmp(source->word_columns[i], name) == 0)
			return true;
	return false;
}

/* Every word column must be a column, and of text. */
static void
check_word_columns(const MrFeatureSource *source, Relation rel)
{
	for (int i = 0; i < source->n_word_columns; i++)
	{
		const char *name = source->word_columns[i];
		Form_pg_attribute column = mr_dataset_find_column(rel, name);

		if (strcmp(name, source->key_column) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("key column \"%s\" cannot be read as words", name)));
		if (!is_string(getBaseType(column->atttypid)))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of relation \"%s\" cannot be read as words",
							name, RelationGetRelationName(rel)),
					 errdetail("It is of type %s, but words are read from text.",
							   format_type_be(column->atttypid))));
	}
}

static void
init_column(MrEncoderColumn *column, Relation rel, Form_pg_attribute attribute, bool is_words)
{
	Oid			base_type = getBaseType(attribute->atttypid);

	column->name = pstrdup(NameStr(attribute->attname));
	column->type = mr_type_sql(base_type);
	column->dimensions = -1;
	if (is_words)
		column->kind = MR_COLUMN_WORDS;
	else if (!mr_feature_kind_of(base_type, &column->kind))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of relation \"%s\" cannot be a feature",
						column->name, RelationGetRelationName(rel)),
				 errdetail("Type %s is not supported.", format_type_be(attribute->atttypid)),
				 errhint("Read the table through a view that leaves the column out or casts it, for example to text.")));
}

/* The columns but the key, in the order of the relation. */
static void
init_columns(MrEncoder *encoder, const MrFeatureSource *source, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	encoder->columns = palloc0(sizeof(MrEncoderColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		const char *name = NameStr(attribute->attname);

		if (attribute->attisdropped || strcmp(name, source->key_column) == 0)
			continue;
		(void) mr_dataset_find_column(rel, name);	/* may it be read? */
		init_column(&encoder->columns[encoder->n++], rel, attribute, is_word_column(source, name));
	}
}

/*
 * Checks the source.  key_type: that of the model's ids, to which the key is
 * cast, or InvalidOid for the column's own.  Returns an encoder whose columns have
 * names and kinds, but are not fitted.
 */
MrEncoder *
mr_feature_prepare(const MrFeatureSource *source, Oid key_type, MemoryContext context, MrFeatureQuery *query)
{
	Relation	rel = open_source(source->relation);
	MemoryContext old = MemoryContextSwitchTo(context);
	MrEncoder  *encoder = palloc0(sizeof(MrEncoder));
	StringInfoData key;

	encoder->context = context;
	encoder->key_column = pstrdup(source->key_column);
	initStringInfo(&key);
	query->key_base_type = mr_dataset_add_key(&key, rel, source->key_column, key_type,
											  &query->key_type, &query->key_collation);
	query->key = key.data;
	query->relation = mr_relation_sql(source->relation);
	query->relation_name = pstrdup(RelationGetRelationName(rel));
	check_word_columns(source, rel);
	init_columns(encoder, source, rel);
	relation_close(rel, NoLock);
	MemoryContextSwitchTo(old);
	return encoder;
}

/*
 * Raises an error unless the relation can be read as features by the calling
 * role: 42P01 dropped; 42809 not a kind of table; 42703 no such column; 42883 key
 * not hashable; 42846 key of another family of types; 0A000 a column of a type that
 * is not supported; 42804 a word column that is not text; 42501 no privilege.
 */
void
mr_feature_check_columns(const MrFeatureSource *source, Oid key_type)
{
	MrFeatureQuery query;
	MrEncoder  *encoder = mr_feature_prepare(source, key_type, CurrentMemoryContext, &query);

	if (encoder->n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("relation \"%s\" has no feature", query.relation_name),
				 errdetail("The key is its only column.")));
}

/* The one kind of list that is no array; types are kept by name. */
static bool
is_tsvector(const MrEncoderColumn *column)
{
	return strcmp(column->type, "pg_catalog.tsvector") == 0;
}

/* Is a column of this base type still read as the encoder reads it? */
static bool
type_matches(const MrEncoderColumn *column, Oid base_type)
{
	MrColumnKind kind;

	if (column->kind == MR_COLUMN_WORDS)
		return is_string(base_type);
	return mr_feature_kind_of(base_type, &kind) && kind == column->kind &&
		is_tsvector(column) == (base_type == TSVECTOROID);
}

/* A column that the encoder reads must still be there, and still be of its kind. */
static void
match_column(Relation rel, const MrEncoderColumn *column)
{
	AttrNumber	number = get_attnum(RelationGetRelid(rel), column->name);
	Oid			type;

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" no longer exists",
						column->name, RelationGetRelationName(rel)),
				 errdetail("The model was trained with it."),
				 errhint("Train the model again, or give the relation the column back.")));
	type = mr_dataset_find_column(rel, column->name)->atttypid;
	if (!type_matches(column, getBaseType(type)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" has changed its type",
						column->name, RelationGetRelationName(rel)),
				 errdetail("It is of type %s; the model was trained when it was of type %s.",
						   format_type_be(type), column->type),
				 errhint("Train the model again.")));
}

/*
 * Was the encoder fitted to the columns that the relation has now, no more and no less?
 * Errors as mr_feature_check_columns().
 */
bool
mr_encoder_matches(const MrEncoder *encoder, const MrFeatureSource *source, Oid key_type)
{
	MrFeatureQuery query;
	MrEncoder  *now = mr_feature_prepare(source, key_type, CurrentMemoryContext, &query);

	if (now->n != encoder->n || strcmp(now->key_column, encoder->key_column) != 0)
		return false;
	for (int i = 0; i < now->n; i++)
		if (strcmp(now->columns[i].name, encoder->columns[i].name) != 0 ||
			now->columns[i].kind != encoder->columns[i].kind ||
			is_tsvector(&now->columns[i]) != is_tsvector(&encoder->columns[i]))
			return false;
	return true;
}

/* Can ids of key_type (int8 for all integers) be looked up in a column of this type? */
static bool
key_matches(Oid key_type, Oid base_type)
{
	if (key_type == INT8OID)
		return base_type == INT2OID || base_type == INT4OID || base_type == INT8OID;
	return base_type == key_type ||
		(IsBinaryCoercible(base_type, key_type) && IsBinaryCoercible(key_type, base_type));
}

/*
 * Can the encoder read the relation by key, and may the caller?  As
 * mr_feature_match(), but without an error.  The relation is locked if so.
 */
bool
mr_feature_readable(const MrEncoder *encoder, Oid relation, Oid key_type)
{
	Relation	rel = mr_relation_reachable(relation) ? try_relation_open(relation, AccessShareLock) : NULL;
	bool		readable;

	if (rel == NULL)
		return false;
	readable = mr_relation_has_rows(rel) && mr_column_readable(relation, encoder->key_column) &&
		key_matches(key_type, getBaseType(get_atttype(relation, get_attnum(relation, encoder->key_column))));
	for (int i = 0; readable && i < encoder->n; i++)
	{
		const MrEncoderColumn *column = &encoder->columns[i];

		readable = column->use != MR_COLUMN_USED ||
			(mr_column_readable(relation, column->name) &&
			 type_matches(column, getBaseType(get_atttype(relation, get_attnum(relation, column->name)))));
	}
	relation_close(rel, NoLock);
	return readable;
}

/*
 * Checks that the encoder can read the relation: the used columns must be there,
 * of a type that is read the same way; others do not matter.  The query gives keys of
 * key_type exactly.
 */
void
mr_feature_match(const MrEncoder *encoder, Oid relation, Oid key_type, MrFeatureQuery *query)
{
	Relation	rel = open_source(relation);
	StringInfoData key;

	initStringInfo(&key);
	query->key_base_type = getBaseType(key_type);
	if (mr_dataset_add_key(&key, rel, encoder->key_column, key_type, &query->key_type,
						   &query->key_collation) != query->key_base_type)
	{
		resetStringInfo(&key);
		appendStringInfo(&key, "(t.%s)::%s", quote_identifier(encoder->key_column),
						 mr_type_sql(query->key_base_type));
	}
	query->key = key.data;
	query->relation = mr_relation_sql(relation);
	query->relation_name = pstrdup(RelationGetRelationName(rel));
	for (int i = 0; i < encoder->n; i++)
		if (encoder->columns[i].use == MR_COLUMN_USED)
			match_column(rel, &encoder->columns[i]);
	relation_close(rel, NoLock);
}

/* Appends `, expression` for one column of t. */
void
mr_feature_add_column(StringInfo text, const MrEncoderColumn *column)
{
	const char *name = quote_identifier(column->name);

	switch (column->kind)
	{
		case MR_COLUMN_CATEGORY:
			appendStringInfo(text, ", (t.%s)::pg_catalog.text", name);
			break;
		case MR_COLUMN_LIST:
			if (is_tsvector(column))
				appendStringInfo(text, ", pg_catalog.tsvector_to_array(t.%s)", name);
			else
				appendStringInfo(text, ", (t.%s)::pg_catalog.text[]", name);
			break;
		case MR_COLUMN_WORDS:
			appendStringInfo(text, ", pg_catalog.tsvector_to_array(pg_catalog.to_tsvector("
							 "'pg_catalog.simple'::pg_catalog.regconfig, (t.%s)::pg_catalog.text))", name);
			break;
		default:
			appendStringInfo(text, ", t.%s", name);
			break;
	}
}

/* SELECT of the key and the encoder's columns. */
char *
mr_feature_query_text(const MrFeatureQuery *query, const MrEncoder *encoder, bool used_only)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "SELECT %s", query->key);
	for (int i = 0; i < encoder->n; i++)
		if (!used_only || encoder->columns[i].use == MR_COLUMN_USED)
			mr_feature_add_column(&text, &encoder->columns[i]);
	appendStringInfo(&text, " FROM %s AS t", query->relation);
	return text.data;
}
