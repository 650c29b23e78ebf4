/*
 * embedding_cast.c
 *		Casts between embedding and the arrays of numbers.
 *
 * An array becomes an embedding if it has one dimension, no NULL, and elements
 * that float4 can hold: too large is an error, and so is what would become zero
 * without being zero, as in the casts of the numbers themselves.  Its lower
 * bound is forgotten.  An embedding becomes an array without loss.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"

#include "type/embedding.h"
#include "util/compat.h"

PG_FUNCTION_INFO_V1(mr_embedding_from_real_array);
PG_FUNCTION_INFO_V1(mr_embedding_from_double_array);
PG_FUNCTION_INFO_V1(mr_embedding_from_integer_array);
PG_FUNCTION_INFO_V1(mr_embedding_from_numeric_array);
PG_FUNCTION_INFO_V1(mr_embedding_to_real_array);
PG_FUNCTION_INFO_V1(mr_embedding_to_double_array);

/*
 * Refuse an array that has no shape of an embedding; return a zero embedding of
 * its length.
 */
static MrEmbedding *
create_for_array(ArrayType *array)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be one-dimensional to become an embedding"),
				 errdetail("It has %d dimensions.", ARR_NDIM(array))));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls to become an embedding")));
	return mr_embedding_create(ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)));
}

/*
 * embedding_from_array(real[]) returns embedding
 */
Datum
mr_embedding_from_real_array(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	MrEmbedding *e = create_for_array(array);

	memcpy(e->x, ARR_DATA_PTR(array), sizeof(float4) * e->dim);
	mr_embedding_check_elements(e);
	PG_RETURN_MR_EMBEDDING(e);
}

/*
 * embedding_from_array(double precision[]) returns embedding
 */
Datum
mr_embedding_from_double_array(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	MrEmbedding *e = create_for_array(array);
	const float8 *from = (const float8 *) ARR_DATA_PTR(array);

	for (int i = 0; i < e->dim; i++)
	{
		e->x[i] = (float4) from[i];
		if ((isinf(e->x[i]) && !isinf(from[i])) || (e->x[i] == 0 && from[i] != 0))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("\"%s\" is out of range for type embedding", float8out_internal(from[i])),
					 errdetail("It is element %d.", i + 1)));
	}
	mr_embedding_check_elements(e);
	PG_RETURN_MR_EMBEDDING(e);
}

/*
 * embedding_from_array(integer[]) returns embedding
 */
Datum
mr_embedding_from_integer_array(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	MrEmbedding *e = create_for_array(array);
	const int32 *from = (const int32 *) ARR_DATA_PTR(array);

	for (int i = 0; i < e->dim; i++)
		e->x[i] = (float4) from[i];
	PG_RETURN_MR_EMBEDDING(e);
}

/*
 * embedding_from_array(numeric[]) returns embedding
 */
Datum
mr_embedding_from_numeric_array(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	MrEmbedding *e = create_for_array(array);
	Datum	   *from;
	int			n;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &from, NULL, &n);
	Assert(n == e->dim);
	for (int i = 0; i < n; i++)
		e->x[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, from[i]));
	pfree(from);
	mr_embedding_check_elements(e);
	PG_RETURN_MR_EMBEDDING(e);
}

/*
 * embedding_to_real_array(embedding) returns real[]
 */
Datum
mr_embedding_to_real_array(PG_FUNCTION_ARGS)
{
	MrEmbedding *e = PG_GETARG_MR_EMBEDDING(0);
	Datum	   *elements = (Datum *) palloc(sizeof(Datum) * e->dim);
	ArrayType  *array;

	for (int i = 0; i < e->dim; i++)
		elements[i] = Float4GetDatum(e->x[i]);
	array = construct_array(elements, e->dim, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT);
	pfree(elements);
	PG_RETURN_ARRAYTYPE_P(array);
}

/*
 * embedding_to_double_array(embedding) returns double precision[]
 */
Datum
mr_embedding_to_double_array(PG_FUNCTION_ARGS)
{
	MrEmbedding *e = PG_GETARG_MR_EMBEDDING(0);
	Datum	   *elements = (Datum *) palloc(sizeof(Datum) * e->dim);
	ArrayType  *array;

	for (int i = 0; i < e->dim; i++)
		elements[i] = Float8GetDatum((float8) e->x[i]);
	array = construct_array(elements, e->dim, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	pfree(elements);
	PG_RETURN_ARRAYTYPE_P(array);
}
