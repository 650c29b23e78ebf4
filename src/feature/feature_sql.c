/*
 * feature_sql.c
 *		metricrec.describe_features(): how a feature table would be read.
 *
 * Does what a training does with the table, so that it fails as a training would,
 * and tells of the columns that a training leaves out.  What is told is what a
 * version would store: the encoder goes through its stored form.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "feature/encoder.h"
#include "util/compat.h"
#include "util/guc.h"

PG_FUNCTION_INFO_V1(mr_describe_features);

enum
{
	ARG_FEATURES,
	ARG_KEY_COLUMN,
	ARG_WORD_COLUMNS,
	ARG_MIN_COUNT,
	ARG_MAX_VOCABULARY,
	N_ARGS
};

#define N_RESULTS 9

static void
refuse_null(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be null", argument)));
}

static int32
read_bounded(FunctionCallInfo fcinfo, int argument, const char *name, int32 highest)
{
	int32		value = PG_GETARG_INT32(argument);

	if (value < 1 || value > highest)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %d, but must be between 1 and %d", name, value, highest)));
	return value;
}

static void
read_word_columns(FunctionCallInfo fcinfo, MrFeatureSource *source)
{
	Datum	   *elements;
	bool	   *nulls;

	if (PG_ARGISNULL(ARG_WORD_COLUMNS))
		return;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(ARG_WORD_COLUMNS), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &elements, &nulls, &source->n_word_columns);
	source->word_columns = palloc(sizeof(char *) * Max(source->n_word_columns, 1));
	for (int i = 0; i < source->n_word_columns; i++)
	{
		if (nulls[i])
			refuse_null("an element of word_columns");
		source->word_columns[i] = NameStr(*DatumGetName(elements[i]));
	}
}

static void
read_source(FunctionCallInfo fcinfo, MrFeatureSource *source)
{
	static const char *const names[N_ARGS] = {"features", "key_column", "word_columns", "min_count", "max_vocabulary"};

	memset(source, 0, sizeof(*source));
	for (int i = 0; i < N_ARGS; i++)
		if (PG_ARGISNULL(i) && i != ARG_WORD_COLUMNS)
			refuse_null(names[i]);
	source->relation = PG_GETARG_OID(ARG_FEATURES);
	source->key_column = NameStr(*PG_GETARG_NAME(ARG_KEY_COLUMN));
	source->min_count = read_bounded(fcinfo, ARG_MIN_COUNT, names[ARG_MIN_COUNT], MR_MAX_MIN_COUNT);
	source->max_vocabulary = read_bounded(fcinfo, ARG_MAX_VOCABULARY, names[ARG_MAX_VOCABULARY], MR_MAX_VOCABULARY);
	read_word_columns(fcinfo, source);
}

static const char *
encoding_name(MrColumnKind kind)
{
	switch (kind)
	{
		case MR_COLUMN_NUMBER:
			return "number";
		case MR_COLUMN_DATE:
		case MR_COLUMN_TIMESTAMP:
		case MR_COLUMN_TIMESTAMPTZ:
			return "time";
		case MR_COLUMN_CATEGORY:
			return "category";
		case MR_COLUMN_LIST:
			return "list";
		case MR_COLUMN_WORDS:
			return "words";
		case MR_COLUMN_VECTOR:
			return "vector";
	}
	return NULL;				/* not reached */
}

/* What a user should know besides; NULL if nothing. */
static const char *
column_note(const MrEncoder *encoder, const MrEncoderColumn *column)
{
	switch (column->use)
	{
		case MR_COLUMN_ALL_NULL:
			return encoder->n_rows == 0 ? "left out: no rows" : "left out: every value is NULL";
		case MR_COLUMN_ONE_VALUE:
			return "left out: the same in all rows";
		case MR_COLUMN_ALL_RARE:
			return psprintf("left out: no value in %d rows", column->min_count);
		case MR_COLUMN_NO_VALUE:
			return column->kind == MR_COLUMN_VECTOR ? "left out: vectors without coordinates" :
				"left out: every list is empty";
		case MR_COLUMN_USED:
			break;
	}
	if (column->vocabulary && column->has_rare)
		return psprintf("vocabulary of %d, all others share a column", column->n_values);
	if (column->vocabulary == NULL && column->kind != MR_COLUMN_VECTOR && !(column->deviation > 0))
		return "one value: only NULL or not is told apart";
	return NULL;
}

static void
put_column(ReturnSetInfo *result, Oid relation, const MrEncoder *encoder, const MrEncoderColumn *column)
{
	const char *note = column_note(encoder, column);
	bool		is_number = column->vocabulary == NULL && column->kind != MR_COLUMN_VECTOR && column->n_rows > 0;
	int32		n_columns = column->n_sparse;
	NameData	name;
	Datum		values[N_RESULTS];
	bool		nulls[N_RESULTS] = {false};

	if (column->use == MR_COLUMN_USED && column->kind == MR_COLUMN_VECTOR)
		n_columns += column->dimensions;
	namestrcpy(&name, column->name);
	values[0] = NameGetDatum(&name);
	values[1] = CStringGetTextDatum(format_type_be(get_atttype(relation, get_attnum(relation, column->name))));
	values[2] = CStringGetTextDatum(encoding_name(column->kind));
	values[3] = Int32GetDatum(n_columns);
	values[4] = Int64GetDatum(column->n_distinct);
	nulls[4] = column->vocabulary == NULL;
	values[5] = Int64GetDatum(column->n_nulls);
	values[6] = Float8GetDatum(column->mean);
	values[7] = Float8GetDatum(column->deviation);
	nulls[6] = nulls[7] = !is_number;
	nulls[8] = note == NULL;
	values[8] = note ? CStringGetTextDatum(note) : (Datum) 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * metricrec.describe_features(features, key_column, word_columns, min_count, max_vocabulary)
 *
 * A row per column but the key, in the order of the relation.
 */
Datum
mr_describe_features(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec describe features",
												  ALLOCSET_DEFAULT_SIZES);
	MrFeatureSource source;
	MrFeatureTable *table;
	MrEncoder  *encoder;
	bytea	   *stored;
	MemoryContext old;

	InitMaterializedSRF(fcinfo, 0);
	old = MemoryContextSwitchTo(context);
	read_source(fcinfo, &source);
	table = mr_feature_load(&source, NULL, false, context, (Size) mr_training_memory * 1024);
	stored = mr_encoder_write(table->encoder);
	MemoryContextDelete(table->context);
	encoder = mr_encoder_read(VARDATA(stored), VARSIZE(stored) - VARHDRSZ, context);
	for (int i = 0; i < encoder->n; i++)
		put_column(result, source.relation, encoder, &encoder->columns[i]);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}
