/*
 * feature_row.c
 *		Rows by an encoder that was fitted before: one from a jsonb, one of a relation
 *		by its key, or those of a relation that a condition selects.
 *
 * A jsonb becomes a row by the server's own means, jsonb_to_record() with the types
 * of the columns, and then goes the way of any other row.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/params.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "feature/encoder.h"
#include "util/pgutil.h"

/* The rows of mr_feature_read_new() on their way to the callback. */
typedef struct NewRows
{
	const MrEncoder *encoder;
	MrFeatureCallback callback;
	void	   *arg;
	int64		n_given;
	MemoryContext context;		/* of the block: copies of the keys */
	int16		key_length;
	bool		key_by_value;
	Datum		keys[MR_FEATURE_BLOCK];
	uint8		is_present[MR_FEATURE_BLOCK];
	MrFeatureRows rows;
} NewRows;

/* The rows as the rest of the program sees them; nothing is copied. */
static void
view_rows(const MrEncoder *encoder, const MrFeatureRows *rows, uint8 *is_present, MrFeatures *features)
{
	memset(features, 0, sizeof(*features));
	features->n_rows = rows->n;
	features->n_sparse = encoder->n_sparse;
	features->n_dense = encoder->n_dense;
	features->start = rows->start;
	features->column = rows->column;
	features->value = rows->value;
	features->dense = rows->dense;
	features->is_present = is_present;
	memset(is_present, 1, rows->n);
}

/* ---- jsonb ---- */

static char *
column_names(const MrEncoder *encoder)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < encoder->n; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", quote_identifier(encoder->columns[i].name));
	return list.data;
}

/* Is it a column of the relation?  The key may be there, but is not looked at. */
static bool
is_known_name(const MrEncoder *encoder, const char *name, int length)
{
	if (strlen(encoder->key_column) == length && memcmp(encoder->key_column, name, length) == 0)
		return true;
	for (int i = 0; i < encoder->n; i++)
		if (strlen(encoder->columns[i].name) == length && memcmp(encoder->columns[i].name, name, length) == 0)
			return true;
	return false;
}

/* It must be an object whose keys are columns: a misspelt one must not be taken for a NULL. */
static void
check_keys(const MrEncoder *encoder, Jsonb *json)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("features must be a JSON object"),
				 errhint("Its keys are the columns of the feature table: %s.", column_names(encoder))));
	iterator = JsonbIteratorInit(&json->root);
	(void) JsonbIteratorNext(&iterator, &value, false);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY && !is_known_name(encoder, value.val.string.val, value.val.string.len))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("features have no column \"%s\"",
							pnstrdup(value.val.string.val, value.val.string.len)),
					 errhint("The columns are: %s.", column_names(encoder))));
}

/* Every column that is used must be there: it may have been renamed or dropped. */
static void
check_columns(const MrEncoder *encoder, Jsonb *json)
{
	for (int i = 0; i < encoder->n; i++)
	{
		JsonbValue	value;

		if (encoder->columns[i].use == MR_COLUMN_USED &&
			getKeyJsonValueFromContainer(&json->root, encoder->columns[i].name, strlen(encoder->columns[i].name),
										 &value) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" no longer exists", encoder->columns[i].name),
					 errhint("Train the model again, or give the relation the column back.")));
	}
}

/* A column's type by its stored name: a name is text from outside. */
static Oid
type_of(const MrEncoderColumn *column)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		type;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(column->type);
	fcinfo->args[0].isnull = false;
	type = to_regtype(fcinfo);
	if (fcinfo->isnull)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type %s of column \"%s\" no longer exists", column->type, column->name),
				 errhint("Train the model again.")));
	return DatumGetObjectId(type);
}

static char *
json_query(const MrEncoder *encoder)
{
	StringInfoData text;
	StringInfoData oids;
	const char *comma = "";

	initStringInfo(&text);
	initStringInfo(&oids);
	appendStringInfoString(&text, "SELECT NULL::pg_catalog.text");
	for (int i = 0; i < encoder->n; i++)
		if (encoder->columns[i].use == MR_COLUMN_USED)
			mr_feature_add_column(&text, &encoder->columns[i]);
	appendStringInfoString(&text, " FROM pg_catalog.jsonb_to_record($1) AS t(");
	for (int i = 0; i < encoder->n; i++)
		if (encoder->columns[i].use == MR_COLUMN_USED)
		{
			Oid			type = type_of(&encoder->columns[i]);

			appendStringInfo(&text, "%s%s %s", comma, quote_identifier(encoder->columns[i].name), mr_type_sql(type));
			appendStringInfo(&oids, " %u", type);
			comma = ", ";
		}
	appendStringInfo(&text, ") /*%s */", oids.data);
	return text.data;
}

static void
forget_json_plan(void *arg)
{
	if (((MrEncoder *) arg)->json_plan)
		SPI_freeplan(((MrEncoder *) arg)->json_plan);
}

/*
 * The plan that makes a row of a jsonb; lives as long as the encoder, or until the
 * text changes, which ends with the Oids of the types: one may be dropped and made
 * again under its name.
 */
static SPIPlanPtr
json_plan(MrEncoder *encoder)
{
	Oid			types[1] = {JSONBOID};
	const char *text = json_query(encoder);
	SPIPlanPtr	plan;

	if (encoder->json_plan && strcmp(encoder->json_text, text) == 0)
		return encoder->json_plan;
	plan = SPI_prepare(text, 1, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (encoder->json_running > 0)
		return plan;			/* the kept one is being executed: this one goes with SPI_finish() */
	if (encoder->forget_json_plan.func == NULL)
	{
		encoder->forget_json_plan.func = forget_json_plan;
		encoder->forget_json_plan.arg = encoder;
		MemoryContextRegisterResetCallback(encoder->context, &encoder->forget_json_plan);
	}
	if (encoder->json_plan)
		SPI_freeplan(encoder->json_plan);
	encoder->json_plan = NULL;
	if (encoder->json_text)
		pfree(encoder->json_text);
	encoder->json_text = NULL;
	encoder->json_text = MemoryContextStrdup(encoder->context, text);
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	encoder->json_plan = plan;
	return plan;
}

static void
encode_one(void *arg, const MrFeatureRow *row)
{
	mr_encoder_encode(row, (MrFeatureRows *) arg);
}

/*
 * Encodes the features that a jsonb object names.  A column that it does not name is
 * NULL, one that the encoder does not know an error; with MR_JSON_ROW it is the other way
 * round.  `row` becomes one row, in the current memory context.
 *
 * Errors: 22023 not an object, 42703 a key that is no column, 42704 a type that is gone,
 * and what the types' input functions and the encoding of a row raise.
 */
void
mr_feature_row_from_json(MrEncoder *encoder, Jsonb *json, MrJsonKind kind, MrFeatures *row)
{
	SPIPlanPtr	volatile plan;
	bool		own_snapshot = !ActiveSnapshotSet();
	MrFeatureRows *rows = palloc(sizeof(MrFeatureRows));
	ParamListInfo parameters = makeParamList(1);

	if (kind == MR_JSON_PARTIAL)
		check_keys(encoder, json);
	else
		check_columns(encoder, json);
	mr_feature_rows_init(rows, encoder->n_dense, CurrentMemoryContext, NULL);
	parameters->params[0].value = JsonbPGetDatum(json);
	parameters->params[0].isnull = false;
	parameters->params[0].pflags = PARAM_FLAG_CONST;
	parameters->params[0].ptype = JSONBOID;
	if (own_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = json_plan(encoder);
	encoder->json_running++;	/* a cast may ask us again */
	PG_TRY();
	{
		mr_feature_scan(NULL, plan, parameters, encoder, true, InvalidOid, NULL, encode_one, rows);
	}
	PG_FINALLY();
	{
		encoder->json_running--;
	}
	PG_END_TRY();
	SPI_finish();
	if (own_snapshot)
		PopActiveSnapshot();
	if (rows->n != 1)
		elog(ERROR, "a JSON object gave %d rows", rows->n);
	view_rows(encoder, rows, palloc(sizeof(uint8)), row);
}

/* ---- one row of a relation ---- */

static void
forget_key_plan(void *arg)
{
	if (((MrEncoder *) arg)->key_plan)
		SPI_freeplan(((MrEncoder *) arg)->key_plan);
}

/*
 * The plan that finds a row by its key; lives as long as the encoder, or until the
 * text changes with the names in it.
 */
static SPIPlanPtr
key_plan(MrEncoder *encoder, const char *text, Oid key_type)
{
	SPIPlanPtr	plan;
	char	   *copy;

	if (encoder->key_plan && encoder->key_type == key_type && strcmp(encoder->key_text, text) == 0)
		return encoder->key_plan;
	plan = SPI_prepare(text, 1, &key_type);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (encoder->key_running > 0)
		return plan;			/* the kept one is being executed: this one goes with SPI_finish() */
	copy = MemoryContextStrdup(encoder->context, text);
	if (encoder->key_text == NULL)
	{
		encoder->forget_key_plan.func = forget_key_plan;
		encoder->forget_key_plan.arg = encoder;
		MemoryContextRegisterResetCallback(encoder->context, &encoder->forget_key_plan);
	}
	else
		pfree(encoder->key_text);
	if (encoder->key_plan)
		SPI_freeplan(encoder->key_plan);
	encoder->key_plan = NULL;
	encoder->key_text = copy;
	encoder->key_type = key_type;
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	encoder->key_plan = plan;
	return plan;
}

/*
 * Encodes the relation's row of a key, as the calling role and under the active
 * snapshot; of several rows it takes any.  `row` becomes one row, in the current
 * memory context: one without features if there is none, which returns false.
 * equals: the operator between the key column and key_type, for SQL text.  SPI is
 * connected, and mr_feature_readable() has said yes.
 *
 * Errors: what the encoding of a row raises.
 */
bool
mr_feature_row_of_key(MrEncoder *encoder, Oid relation, Oid key_type, const char *equals, Datum key, MrFeatures *row)
{
	MrFeatureQuery query = {0};
	MrFeatureRows *rows = palloc(sizeof(MrFeatureRows));
	ParamListInfo parameters = makeParamList(1);
	SPIPlanPtr	volatile plan;
	const char *text;
	bool		found;

	query.key = "$1";
	query.relation = mr_relation_sql(relation);
	text = psprintf("%s WHERE t.%s %s $1 LIMIT 1", mr_feature_query_text(&query, encoder, true),
					quote_identifier(encoder->key_column), equals);
	mr_feature_rows_init(rows, encoder->n_dense, CurrentMemoryContext, NULL);
	parameters->params[0].value = key;
	parameters->params[0].isnull = false;
	parameters->params[0].pflags = PARAM_FLAG_CONST;
	parameters->params[0].ptype = key_type;
	plan = key_plan(encoder, text, key_type);
	encoder->key_running++;		/* the relation may be a view that asks us again */
	PG_TRY();
	{
		mr_feature_scan(NULL, plan, parameters, encoder, true, key_type, NULL, encode_one, rows);
	}
	PG_FINALLY();
	{
		encoder->key_running--;
	}
	PG_END_TRY();
	found = rows->n > 0;
	if (found)
		view_rows(encoder, rows, palloc(sizeof(uint8)), row);
	else
		mr_feature_row_empty(encoder, row);
	return found;
}

/* One row without features, in the current memory context. */
void
mr_feature_row_empty(const MrEncoder *encoder, MrFeatures *row)
{
	memset(row, 0, sizeof(*row));
	row->n_rows = 1;
	row->n_sparse = encoder->n_sparse;
	row->n_dense = encoder->n_dense;
	row->start = palloc0(sizeof(int64) * 2);
	row->column = palloc0(sizeof(int32));
	row->value = palloc0(sizeof(float));
	row->dense = palloc0(sizeof(float) * Max(encoder->n_dense, 1));
	row->is_present = palloc0(sizeof(uint8));
}

/* ---- rows of a relation ---- */

static void
give_block(NewRows *new)
{
	MrFeatures	features;
	MemoryContext old;

	if (new->rows.n == 0)
		return;
	view_rows(new->encoder, &new->rows, new->is_present, &features);
	old = MemoryContextSwitchTo(new->context);
	new->callback(new->arg, new->keys, &features);
	MemoryContextSwitchTo(old);
	MemoryContextReset(new->context);
	new->n_given += new->rows.n;
	mr_feature_rows_clear(&new->rows);
}

static void
take_new_row(void *arg, const MrFeatureRow *row)
{
	NewRows    *new = arg;
	MemoryContext old = MemoryContextSwitchTo(new->context);

	new->keys[new->rows.n] = datumCopy(row->key, new->key_by_value, new->key_length);
	MemoryContextSwitchTo(old);
	mr_encoder_encode(row, &new->rows);
	if (new->rows.n == MR_FEATURE_BLOCK)
		give_block(new);
}

/*
 * Reads the rows of the relation, by alias t, for which `condition` holds (SQL text
 * that may name t; NULL: all of them), as the calling role, and gives them to the callback in
 * blocks.  The keys are of key_type, domains looked through; rows without a key are
 * skipped.  The callback runs while the query does: it sees, as the query, what was
 * there when the query began, and may use SPI.  What it allocates in the current
 * memory context goes when it returns.  Returns the number of rows given.
 *
 * Errors: 42703 a column is gone, 42804 it has changed its type, and those of
 * mr_feature_read().
 */
int64
mr_feature_read_new(MrEncoder *encoder, Oid relation, Oid key_type, const char *condition,
					MrFeatureCallback callback, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec new features",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		own_snapshot = !ActiveSnapshotSet();
	NewRows    *new = palloc0(sizeof(NewRows));
	MrFeatureQuery query;
	char	   *text;
	int64		n_given;

	mr_feature_match(encoder, relation, key_type, &query);
	text = mr_feature_query_text(&query, encoder, true);
	if (condition)
		text = psprintf("%s WHERE (%s)", text, condition);
	new->encoder = encoder;
	new->callback = callback;
	new->arg = arg;
	new->context = AllocSetContextCreate(context, "metricrec new features block", ALLOCSET_DEFAULT_SIZES);
	get_typlenbyval(query.key_base_type, &new->key_length, &new->key_by_value);
	mr_feature_rows_init(&new->rows, encoder->n_dense, context, NULL);
	if (own_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	mr_feature_scan(text, NULL, NULL, encoder, true, query.key_base_type, NULL, take_new_row, new);
	give_block(new);
	SPI_finish();
	if (own_snapshot)
		PopActiveSnapshot();
	n_given = new->n_given;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return n_given;
}
