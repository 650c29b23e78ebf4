/*
 * feature_value.c
 *		From the datums of a row to plain C values: numbers, elements of lists,
 *		coordinates of vectors.
 *
 * What cannot be a feature is refused here, with the column and the row's key: NaN,
 * infinities, numbers that a float4 cannot hold, vectors with holes.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "feature/encoder.h"
#include "type/embedding.h"

#define EPOCH_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

/* The output text of a key. */
char *
mr_feature_key_text(Oid type, Datum key)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(type, &output, &is_varlena);
	return OidOutputFunctionCall(output, key);
}

/* For ereport(): which row it is. */
int
mr_feature_err_row(const MrFeatureRow *row)
{
	if (!row->has_key)
		return 0;
	return errdetail("The key of the row is \"%s\".", mr_feature_key_text(row->key_type, row->key));
}

/* Raises the error unless a float4 can hold the number. */
static void
check_number(const MrFeatureRow *row, int i, double x)
{
	if (!isfinite(x))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("column \"%s\" holds NaN or an infinity, which cannot be a feature",
						row->columns[i]->name),
				 mr_feature_err_row(row)));
	if (fabs(x) > FLT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("column \"%s\" holds a number beyond the range of type real",
						row->columns[i]->name),
				 mr_feature_err_row(row)));
}

/* A number that is larger than any double becomes infinite: tell it from 'infinity'. */
static double
number_of_numeric(const MrFeatureRow *row, int i, Datum value)
{
	Numeric		number = DatumGetNumeric(value);
	double		x;

	if (numeric_is_nan(number))
		return NAN;
	if (numeric_is_inf(number))
		return INFINITY;
	x = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(number)));
	if (isinf(x))
		return x > 0 ? DBL_MAX : -DBL_MAX;
	return x;
}

/* A number of one of the types that columns and elements of vectors have. */
static double
number_of(const MrFeatureRow *row, int i, Oid type, Datum value)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return (double) DatumGetInt64(value);
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case FLOAT8OID:
			return DatumGetFloat8(value);
		case NUMERICOID:
			return number_of_numeric(row, i, value);
		case DATEOID:
			if (DATE_NOT_FINITE(DatumGetDateADT(value)))
				return INFINITY;
			return (double) DatumGetDateADT(value) + EPOCH_DAYS;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			if (TIMESTAMP_NOT_FINITE(DatumGetTimestamp(value)))
				return INFINITY;
			return (double) DatumGetTimestamp(value) / USECS_PER_SEC + (double) EPOCH_DAYS * SECS_PER_DAY;
		default:
			elog(ERROR, "type %u is not a number", type);
	}
	return 0;					/* not reached */
}

/* The number in a column of kind number, date or time, which is not NULL. */
double
mr_feature_number(const MrFeatureRow *row, int i)
{
	double		x = number_of(row, i, row->types[i], row->values[i]);

	check_number(row, i, x);
	return x;
}

/* The elements of a list that are not NULL, of type text. */
int
mr_feature_elements(const MrFeatureRow *row, int i, Datum **elements)
{
	bool	   *nulls;
	int			n_elements;
	int			n = 0;

	deconstruct_array(DatumGetArrayTypeP(row->values[i]), TEXTOID, -1, false, TYPALIGN_INT,
					  elements, &nulls, &n_elements);
	for (int j = 0; j < n_elements; j++)
		if (!nulls[j])
			(*elements)[n++] = (*elements)[j];
	return n;
}

/* The array in a column of kind vector, checked to be a plain list without holes. */
static ArrayType *
vector_array(const MrFeatureRow *row, int i)
{
	ArrayType  *array = DatumGetArrayTypeP(row->values[i]);

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("column \"%s\" holds an array of %d dimensions, but vectors have one",
						row->columns[i]->name, ARR_NDIM(array)),
				 mr_feature_err_row(row)));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("column \"%s\" holds a vector with a NULL element", row->columns[i]->name),
				 mr_feature_err_row(row)));
	return array;
}

static inline bool
is_array_element(Oid type)
{
	return type == FLOAT4OID || type == FLOAT8OID || type == NUMERICOID;
}

/* The number of coordinates in a column of kind vector, which is not NULL. */
int
mr_feature_vector_length(const MrFeatureRow *row, int i)
{
	ArrayType  *array;

	if (!is_array_element(row->types[i]))
		return DatumGetMrEmbedding(row->values[i])->dim;
	array = vector_array(row, i);
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

/*
 * The coordinates; x has room for the dimensions of the column.  Error if the
 * vector has another length.
 */
void
mr_feature_vector(const MrFeatureRow *row, int i, float *x)
{
	const MrEncoderColumn *column = row->columns[i];
	Oid			type = row->types[i];
	int			n = mr_feature_vector_length(row, i);
	Datum	   *elements;
	int16		length;
	bool		by_value;
	char		align;

	if (n != column->dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("column \"%s\" holds a vector of length %d, but others have length %d",
						column->name, n, column->dimensions),
				 mr_feature_err_row(row)));
	if (!is_array_element(type))
	{
		memcpy(x, DatumGetMrEmbedding(row->values[i])->x, sizeof(float) * n);
		return;
	}
	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(vector_array(row, i), type, length, by_value, align, &elements, NULL, &n);
	for (int j = 0; j < n; j++)
	{
		double		coordinate = number_of(row, i, type, elements[j]);

		check_number(row, i, coordinate);
		x[j] = (float) coordinate;
	}
}
