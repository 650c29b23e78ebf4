/*
 * embedding_ops.c
 *		Distance, arithmetic, order and hash of embeddings.
 *
 * Distance and arithmetic want equal dimensions.  The order does not: it
 * compares coordinate by coordinate, and a prefix sorts first, so that any
 * column can be sorted, grouped and made unique.  -0 equals 0 there; therefore
 * the hash takes -0 for 0, and equal values need not have equal bytes (no
 * btree deduplication).
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "utils/float.h"

#include "math/vecmath.h"
#include "type/embedding.h"
#include "util/compat.h"

/* Coordinates hashed in one go. */
#define HASH_CHUNK 64

PG_FUNCTION_INFO_V1(mr_embedding_l2_distance);
PG_FUNCTION_INFO_V1(mr_embedding_dims);
PG_FUNCTION_INFO_V1(mr_embedding_l2_norm);
PG_FUNCTION_INFO_V1(mr_embedding_l2_normalize);
PG_FUNCTION_INFO_V1(mr_embedding_add);
PG_FUNCTION_INFO_V1(mr_embedding_sub);
PG_FUNCTION_INFO_V1(mr_embedding_mul);
PG_FUNCTION_INFO_V1(mr_embedding_eq);
PG_FUNCTION_INFO_V1(mr_embedding_ne);
PG_FUNCTION_INFO_V1(mr_embedding_lt);
PG_FUNCTION_INFO_V1(mr_embedding_le);
PG_FUNCTION_INFO_V1(mr_embedding_gt);
PG_FUNCTION_INFO_V1(mr_embedding_ge);
PG_FUNCTION_INFO_V1(mr_embedding_cmp);
PG_FUNCTION_INFO_V1(mr_embedding_hash);
PG_FUNCTION_INFO_V1(mr_embedding_hash_extended);

/*
 * Refuse two embeddings that do not lie in one space.
 */
void
mr_embedding_check_same_dimensions(const MrEmbedding *a, const MrEmbedding *b)
{
	if (a->dim != b->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different embedding dimensions %d and %d", a->dim, b->dim)));
}

/*
 * l2_distance(embedding, embedding) returns double precision: the operator <->
 */
Datum
mr_embedding_l2_distance(PG_FUNCTION_ARGS)
{
	MrEmbedding *a = PG_GETARG_MR_EMBEDDING(0);
	MrEmbedding *b = PG_GETARG_MR_EMBEDDING(1);
	float8		distance;

	mr_embedding_check_same_dimensions(a, b);
	distance = mr_l2_distance(a->x, b->x, a->dim);
	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	PG_RETURN_FLOAT8(distance);
}

/*
 * dims(embedding) returns integer
 */
Datum
mr_embedding_dims(PG_FUNCTION_ARGS)
{
	/* The header is enough: do not fetch the whole of an out-of-line value. */
	MrEmbedding *head = (MrEmbedding *) PG_DETOAST_DATUM_SLICE(PG_GETARG_DATUM(0), 0,
															   offsetof(MrEmbedding, x) - VARHDRSZ);

	PG_RETURN_INT32(head->dim);
}

/*
 * l2_norm(embedding) returns double precision
 */
Datum
mr_embedding_l2_norm(PG_FUNCTION_ARGS)
{
	MrEmbedding *e = PG_GETARG_MR_EMBEDDING(0);

	PG_RETURN_FLOAT8(mr_l2_norm(e->x, e->dim));
}

/*
 * l2_normalize(embedding) returns embedding: the same direction, length 1.  The
 * zero embedding has no direction and stays what it is.
 */
Datum
mr_embedding_l2_normalize(PG_FUNCTION_ARGS)
{
	MrEmbedding *e = PG_GETARG_MR_EMBEDDING(0);
	MrEmbedding *result = mr_embedding_create(e->dim);
	float8		norm = mr_l2_norm(e->x, e->dim);

	/* |x[i]| <= norm up to rounding, so no quotient is out of range. */
	for (int i = 0; i < e->dim && norm > 0; i++)
		result->x[i] = (float4) (e->x[i] / norm);
	PG_RETURN_MR_EMBEDDING(result);
}

/*
 * embedding + embedding, coordinate by coordinate
 */
Datum
mr_embedding_add(PG_FUNCTION_ARGS)
{
	MrEmbedding *a = PG_GETARG_MR_EMBEDDING(0);
	MrEmbedding *b = PG_GETARG_MR_EMBEDDING(1);
	MrEmbedding *result;

	mr_embedding_check_same_dimensions(a, b);
	result = mr_embedding_create(a->dim);
	for (int i = 0; i < a->dim; i++)
	{
		result->x[i] = a->x[i] + b->x[i];
		if (unlikely(isinf(result->x[i])))
			float_overflow_error();
	}
	PG_RETURN_MR_EMBEDDING(result);
}

/*
 * embedding - embedding, coordinate by coordinate
 */
Datum
mr_embedding_sub(PG_FUNCTION_ARGS)
{
	MrEmbedding *a = PG_GETARG_MR_EMBEDDING(0);
	MrEmbedding *b = PG_GETARG_MR_EMBEDDING(1);
	MrEmbedding *result;

	mr_embedding_check_same_dimensions(a, b);
	result = mr_embedding_create(a->dim);
	for (int i = 0; i < a->dim; i++)
	{
		result->x[i] = a->x[i] - b->x[i];
		if (unlikely(isinf(result->x[i])))
			float_overflow_error();
	}
	PG_RETURN_MR_EMBEDDING(result);
}

/*
 * embedding * embedding, coordinate by coordinate.  As with float4, a product
 * that becomes zero though no factor is zero is an error.
 */
Datum
mr_embedding_mul(PG_FUNCTION_ARGS)
{
	MrEmbedding *a = PG_GETARG_MR_EMBEDDING(0);
	MrEmbedding *b = PG_GETARG_MR_EMBEDDING(1);
	MrEmbedding *result;

	mr_embedding_check_same_dimensions(a, b);
	result = mr_embedding_create(a->dim);
	for (int i = 0; i < a->dim; i++)
	{
		result->x[i] = a->x[i] * b->x[i];
		if (unlikely(isinf(result->x[i])))
			float_overflow_error();
		if (unlikely(result->x[i] == 0) && a->x[i] != 0 && b->x[i] != 0)
			float_underflow_error();
	}
	PG_RETURN_MR_EMBEDDING(result);
}

/*
 * The total order: negative, zero or positive.
 */
int
mr_embedding_compare(const MrEmbedding *a, const MrEmbedding *b)
{
	int			n = Min(a->dim, b->dim);

	for (int i = 0; i < n; i++)
	{
		if (a->x[i] < b->x[i])
			return -1;
		if (a->x[i] > b->x[i])
			return 1;
	}
	return (int) a->dim - (int) b->dim;
}

/*
 * Compare the two arguments of an SQL function, without leaking: a btree calls
 * it many times in one memory context.
 */
static int
compare_arguments(FunctionCallInfo fcinfo)
{
	MrEmbedding *a = PG_GETARG_MR_EMBEDDING(0);
	MrEmbedding *b = PG_GETARG_MR_EMBEDDING(1);
	int			order = mr_embedding_compare(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return order;
}

/* embedding = embedding, and the other comparisons */
Datum
mr_embedding_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) == 0);
}

Datum
mr_embedding_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) != 0);
}

Datum
mr_embedding_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) < 0);
}

Datum
mr_embedding_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) <= 0);
}

Datum
mr_embedding_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) > 0);
}

Datum
mr_embedding_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) >= 0);
}

/*
 * embedding_cmp(embedding, embedding) returns integer: btree support
 */
Datum
mr_embedding_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_arguments(fcinfo));
}

/*
 * Hash of the coordinates.  Every chunk is hashed with the hash so far as its
 * seed, so that order and number of coordinates count.
 */
static uint64
hash_argument(FunctionCallInfo fcinfo, uint64 seed)
{
	MrEmbedding *e = PG_GETARG_MR_EMBEDDING(0);
	uint64		hash = seed;

	for (int i = 0; i < e->dim; i += HASH_CHUNK)
	{
		float4		chunk[HASH_CHUNK];
		int			n = Min(HASH_CHUNK, e->dim - i);

		for (int j = 0; j < n; j++)
			chunk[j] = e->x[i + j] == 0 ? 0 : e->x[i + j];	/* -0 is 0 */
		hash = DatumGetUInt64(hash_any_extended((unsigned char *) chunk, n * (int) sizeof(float4), hash));
	}
	PG_FREE_IF_COPY(e, 0);
	return hash;
}

/*
 * embedding_hash(embedding) returns integer: hash support 1
 *
 * The low half of the 64-bit hash with seed 0, as hash classes must have it.
 */
Datum
mr_embedding_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT32((uint32) hash_argument(fcinfo, 0));
}

/*
 * embedding_hash_extended(embedding, bigint) returns bigint: hash support 2
 */
Datum
mr_embedding_hash_extended(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT64(hash_argument(fcinfo, (uint64) PG_GETARG_INT64(1)));
}
