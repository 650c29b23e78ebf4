/*
 * recommend_all_into.c
 *		CALL metricrec.recommend_all_into: the answers of all users as a table.
 *
 *		CREATE TABLE name (
 *			user_id <key type> NOT NULL,
 *			item_id <key type> NOT NULL,
 *			rank int4 NOT NULL,
 *			distance float8 NOT NULL,
 *			PRIMARY KEY (user_id, rank))
 *
 * All in the caller's transaction: nobody sees a part of it, and an error leaves what
 * was there.  A table that exists keeps what hangs on it (privileges, indexes, views,
 * policies, triggers): its rows are deleted and the new ones inserted, so that readers
 * see the old answer until the transaction ends, and wait for nothing.
 *
 * Rows go in by a prepared INSERT of arrays, with all checks and triggers of the
 * table, as the calling role.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/varlena.h"

#include "recommend/batch.h"
#include "util/compat.h"
#include "util/pgutil.h"

PG_FUNCTION_INFO_V1(mr_recommend_all_into);

/* Rows per INSERT. */
#define INSERT_ROWS 4096

#define COLUMNS 4

static const char *const columns[COLUMNS] = {"user_id", "item_id", "rank", "distance"};

/* What to do with a table that is there. */
typedef enum IfExists
{
	IF_EXISTS_ERROR,
	IF_EXISTS_REPLACE,
	IF_EXISTS_APPEND
} IfExists;

/* The table that is written. */
typedef struct TargetTable
{
	char	   *name;			/* quoted, qualified, for SQL text */
	const char *label;			/* for messages */
	Oid			relation;
	bool		is_new;
	SPIPlanPtr	insert;
	int			n;				/* rows that wait */
	Datum		values[COLUMNS][INSERT_ROWS];
	MemoryContext rows;			/* of one INSERT */
	int64		written;
} TargetTable;

/* ---- the table ---- */

static IfExists
read_if_exists(const char *word)
{
	static const char *const words[] = {"error", "replace", "append"};

	for (int i = 0; i < lengthof(words); i++)
		if (pg_strcasecmp(word, words[i]) == 0)
			return (IfExists) i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for argument \"%s\": \"%s\"", "if_exists", word),
			 errhint("Valid values are \"error\", \"replace\" and \"append\".")));
	return IF_EXISTS_ERROR;		/* not reached */
}

/* Answers must not be taken for what users did, and what they did not be replaced by answers. */
static void
refuse_source(const TargetTable *table, const MrModel *model)
{
	if (table->relation != model->interactions && table->relation != model->user_features &&
		table->relation != model->item_features)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot write recommendations into relation \"%s\"", table->label),
			 errdetail("Model \"%s\" is trained on it.", model->name),
			 errhint("Name another table.")));
}

/* Error unless the relation can take the rows. */
static void
check_existing(TargetTable *table, IfExists if_exists)
{
	char		kind = get_rel_relkind(table->relation);

	if (if_exists == IF_EXISTS_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", table->label),
				 errhint("Pass if_exists => 'replace' for new rows in the place of its rows, 'append' to add to them.")));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
		kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot write rows into relation \"%s\"", table->label),
				 errdetail_relkind_not_supported(kind)));
	for (int i = 0; i < COLUMNS; i++)
		if (get_attnum(table->relation, columns[i]) == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation \"%s\" does not exist", columns[i], table->label),
					 errhint("The columns \"user_id\", \"item_id\", \"rank\" and \"distance\" are written.")));
}

/* ", user_id uuid COLLATE ... NOT NULL", as in the view */
static void
append_key_column(StringInfo sql, const MrKeyType *key, Oid view)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(view, get_attnum(view, key->column), &type, &typmod, &collation);
	appendStringInfo(sql, "%s %s", key->column, mr_type_sql(type));
	if (OidIsValid(collation) && collation != get_typcollation(type))
		appendStringInfo(sql, " COLLATE %s", generate_collation_name(collation));
	appendStringInfoString(sql, " NOT NULL, ");
}

static void
create_table(TargetTable *table, const MrQuery *query)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", table->name);
	append_key_column(&sql, &query->user_key, query->model->user_view);
	append_key_column(&sql, &query->item_key, query->model->item_view);
	appendStringInfoString(&sql, "rank pg_catalog.int4 NOT NULL, distance pg_catalog.float8 NOT NULL)");
	mr_spi_run(sql.data);
}

/* Finds the name where CREATE TABLE would put it. */
static void
find_table(TargetTable *table, text *name)
{
	RangeVar   *range = makeRangeVarFromNameList(textToQualifiedNameList(name));
	Oid			schema = RangeVarGetCreationNamespace(range);

	table->relation = get_relname_relid(range->relname, schema);
	table->is_new = !OidIsValid(table->relation);
	table->label = range->relname;
	table->name = quote_qualified_identifier(get_namespace_name(schema), range->relname);
}

/*
 * The table, made or found, with the INSERT: whatever is wrong with it is said before
 * the long work begins.
 */
static TargetTable *
open_table(const MrQuery *query, text *name, IfExists if_exists)
{
	TargetTable *table = palloc0(sizeof(TargetTable));
	Oid			types[COLUMNS];

	find_table(table, name);
	if (table->is_new)
		create_table(table, query);
	else
	{
		check_existing(table, if_exists);
		refuse_source(table, query->model);
	}
	/* one at a time: of two, the second would not see the rows of the first to delete them */
	if (!table->is_new && if_exists == IF_EXISTS_REPLACE && get_rel_relkind(table->relation) != RELKIND_FOREIGN_TABLE)
		mr_spi_run(psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", table->name));

	types[0] = mr_key_array_type(&query->user_key);
	types[1] = mr_key_array_type(&query->item_key);
	types[2] = INT4ARRAYOID;
	types[3] = FLOAT8ARRAYOID;
	table->insert = SPI_prepare(psprintf("INSERT INTO %s (user_id, item_id, rank, distance) "
										 "SELECT pg_catalog.unnest($1), pg_catalog.unnest($2), "
										 "pg_catalog.unnest($3), pg_catalog.unnest($4)", table->name), COLUMNS, types);
	if (table->insert == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	table->rows = AllocSetContextCreate(CurrentMemoryContext, "metricrec rows to write", ALLOCSET_DEFAULT_SIZES);
	return table;
}

/* ---- rows ---- */

static Datum
key_array(const MrKeyType *key, Datum *values, int n)
{
	return PointerGetDatum(construct_array(values, n, key->type, key->typlen, key->typbyval, key->typalign));
}

static void
flush_rows(TargetTable *table, const MrQuery *query)
{
	MemoryContext before;
	Datum		arrays[COLUMNS];
	int			code;

	if (table->n == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	before = MemoryContextSwitchTo(table->rows);
	arrays[0] = key_array(&query->user_key, table->values[0], table->n);
	arrays[1] = key_array(&query->item_key, table->values[1], table->n);
	arrays[2] = PointerGetDatum(construct_array(table->values[2], table->n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	arrays[3] = PointerGetDatum(construct_array(table->values[3], table->n, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	MemoryContextSwitchTo(before);
	code = SPI_execute_plan(table->insert, arrays, NULL, false, 0);
	if (code < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(code));
	table->written += table->n;
	table->n = 0;
	MemoryContextReset(table->rows);
}

/* The rows of all blocks; ids stay where the batch has them, until they are written. */
static void
write_rows(TargetTable *table, MrBatch *batch)
{
	Size		length = mr_nearest_length(&batch->in);

	while (mr_batch_next(batch))
	{
		for (int32 i = 0; i < batch->block.n; i++)
		{
			const MrTopItem *list = batch->block.lists + length * i;

			for (int32 r = 0; r < batch->block.counts[i]; r++)
			{
				table->values[0][table->n] = mr_batch_user(batch, i);
				table->values[1][table->n] = mr_batch_item(batch, &list[r]);
				table->values[2][table->n] = Int32GetDatum(r + 1);
				table->values[3][table->n] = Float8GetDatum(list[r].distance);
				if (++table->n == INSERT_ROWS)
					flush_rows(table, batch->query);
			}
		}
	}
	flush_rows(table, batch->query);
}

/* The key and the statistics. */
static void
finish_table(TargetTable *table, const MrQuery *query)
{
	if (table->is_new && OidIsValid(GetDefaultOpClass(query->user_key.column_type, BTREE_AM_OID)))
		mr_spi_run(psprintf("ALTER TABLE %s ADD PRIMARY KEY (user_id, rank)", table->name));
	if (table->is_new)
		mr_spi_run(psprintf("COMMENT ON TABLE %s IS %s", table->name,
							quote_literal_cstr(psprintf("metricrec: recommendations of model %s, version %d",
														query->model->name, query->version->version))));
	if (table->is_new || (get_rel_relkind(table->relation) != RELKIND_VIEW && MR_OWNS_TABLE(table->relation)))
		mr_spi_run(psprintf("ANALYZE %s", table->name));
}

/* ---- the procedure ---- */

/* The row that CALL prints. */
static Datum
result_row(FunctionCallInfo fcinfo, int64 rows)
{
	TupleDesc	desc;
	Datum		value = Int64GetDatum(rows);
	bool		isnull = false;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != 1)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), &value, &isnull));
}

/*
 * CALL metricrec.recommend_all_into(model, k, table_name, exclude_seen, users, candidates, if_exists, rows)
 *
 * Errors: those of recommend_all(); 42P07 the table exists; 22023 if_exists; 42703 a
 * column is missing; 42501, 23505 and what else the table itself says.
 */
Datum
mr_recommend_all_into(PG_FUNCTION_ARGS)
{
	int64		k = mr_query_k(fcinfo, 1);
	const char *model = PG_ARGISNULL(0) ? NULL : NameStr(*PG_GETARG_NAME(0));
	IfExists	if_exists = PG_ARGISNULL(6) ? IF_EXISTS_ERROR : read_if_exists(text_to_cstring(PG_GETARG_TEXT_PP(6)));
	MrBatch    *batch;
	TargetTable *table;
	int64		written;

	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "table_name")));
	PreventCommandIfReadOnly("CALL metricrec.recommend_all_into()");
	SPI_connect();
	table = open_table(mr_query_open(MR_IDS_TEXT, k, model), PG_GETARG_TEXT_PP(2), if_exists);
	batch = mr_batch_open(CurrentMemoryContext, k, model,
						  PG_ARGISNULL(3) || PG_GETARG_BOOL(3),
						  PG_ARGISNULL(4) ? InvalidOid : PG_GETARG_OID(4),
						  PG_ARGISNULL(5) ? InvalidOid : PG_GETARG_OID(5));
	if (!table->is_new && if_exists == IF_EXISTS_REPLACE)
		mr_spi_run(psprintf("DELETE FROM %s", table->name));
	write_rows(table, batch);
	finish_table(table, batch->query);
	written = table->written;
	SPI_finish();
	return result_row(fcinfo, written);
}
