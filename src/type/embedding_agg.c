/*
 * embedding_agg.c
 *		The aggregates avg(embedding) and sum(embedding).
 *
 * Both share one transition state, a sum in double per coordinate.  Double has
 * room for any sum of float4 (3e38 * 2^63 < 1e58), so that only the final value
 * of sum() can be out of range.  The final functions leave the state as it is:
 * a window function calls them again and again.
 *
 * Serialized, for parallel workers: int64 count, int16 dim, dim x float8, all
 * big-endian.
 */
#include "postgres.h"

#include <math.h>

#include "libpq/pqformat.h"
#include "utils/float.h"

#include "type/embedding.h"
#include "util/compat.h"

typedef struct MrEmbeddingSum
{
	int64		count;			/* rows, at least 1 */
	int			dim;
	float8		sum[FLEXIBLE_ARRAY_MEMBER];
} MrEmbeddingSum;

PG_FUNCTION_INFO_V1(mr_embedding_accumulate);
PG_FUNCTION_INFO_V1(mr_embedding_combine);
PG_FUNCTION_INFO_V1(mr_embedding_serialize);
PG_FUNCTION_INFO_V1(mr_embedding_deserialize);
PG_FUNCTION_INFO_V1(mr_embedding_avg);
PG_FUNCTION_INFO_V1(mr_embedding_sum);

/*
 * The memory context of the aggregate.  Arguments of type internal come from
 * the executor only; this check keeps it so.
 */
static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate support function called outside of an aggregate");
	return context;
}

/* A state without rows, dim sums of zero. */
static MrEmbeddingSum *
create_state(MemoryContext context, int dim)
{
	MrEmbeddingSum *state;

	state = MemoryContextAllocZero(context, offsetof(MrEmbeddingSum, sum) + sizeof(float8) * dim);
	state->dim = dim;
	return state;
}

static void
check_same_dimensions(int a, int b)
{
	if (a != b)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different embedding dimensions %d and %d", a, b)));
}

/*
 * embedding_accumulate(internal, embedding) returns internal
 */
Datum
mr_embedding_accumulate(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	MrEmbeddingSum *state = PG_ARGISNULL(0) ? NULL : (MrEmbeddingSum *) PG_GETARG_POINTER(0);
	MrEmbedding *e;

	if (PG_ARGISNULL(1))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}

	e = PG_GETARG_MR_EMBEDDING(1);
	if (state == NULL)
		state = create_state(context, e->dim);
	check_same_dimensions(state->dim, e->dim);
	state->count++;
	for (int i = 0; i < e->dim; i++)
		state->sum[i] += e->x[i];
	PG_FREE_IF_COPY(e, 1);
	PG_RETURN_POINTER(state);
}

/*
 * embedding_combine(internal, internal) returns internal
 *
 * The second state may lie in a short-lived context: it is copied, not kept.
 */
Datum
mr_embedding_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	MrEmbeddingSum *a = PG_ARGISNULL(0) ? NULL : (MrEmbeddingSum *) PG_GETARG_POINTER(0);
	MrEmbeddingSum *b = PG_ARGISNULL(1) ? NULL : (MrEmbeddingSum *) PG_GETARG_POINTER(1);

	if (b == NULL)
	{
		if (a == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(a);
	}
	if (a == NULL)
		a = create_state(context, b->dim);
	check_same_dimensions(a->dim, b->dim);
	a->count += b->count;
	for (int i = 0; i < a->dim; i++)
		a->sum[i] += b->sum[i];
	PG_RETURN_POINTER(a);
}

/*
 * embedding_serialize(internal) returns bytea
 */
Datum
mr_embedding_serialize(PG_FUNCTION_ARGS)
{
	MrEmbeddingSum *state;
	StringInfoData buf;

	(void) aggregate_context(fcinfo);
	state = (MrEmbeddingSum *) PG_GETARG_POINTER(0);
	pq_begintypsend(&buf);
	pq_sendint64(&buf, state->count);
	pq_sendint16(&buf, (int16) state->dim);
	for (int i = 0; i < state->dim; i++)
		pq_sendfloat8(&buf, state->sum[i]);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * embedding_deserialize(bytea, internal) returns internal
 */
Datum
mr_embedding_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *bytes;
	StringInfoData buf;
	MrEmbeddingSum *state;
	int64		count;
	int			dim;

	(void) aggregate_context(fcinfo);
	bytes = PG_GETARG_BYTEA_PP(0);
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));

	count = pq_getmsgint64(&buf);
	dim = (int16) pq_getmsgint(&buf, sizeof(int16));
	if (count < 1 || dim < 1 || dim > MR_MAX_DIMENSIONS ||
		buf.len - buf.cursor != dim * (int) sizeof(float8))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid serialized state of an embedding aggregate")));

	state = create_state(CurrentMemoryContext, dim);
	state->count = count;
	for (int i = 0; i < dim; i++)
		state->sum[i] = pq_getmsgfloat8(&buf);
	pq_getmsgend(&buf);
	pfree(buf.data);
	PG_RETURN_POINTER(state);
}

/*
 * The sums divided by divisor, as an embedding.
 */
static MrEmbedding *
finish(const MrEmbeddingSum *state, float8 divisor)
{
	MrEmbedding *result = mr_embedding_create(state->dim);

	for (int i = 0; i < state->dim; i++)
	{
		result->x[i] = (float4) (state->sum[i] / divisor);
		if (unlikely(isinf(result->x[i])))
			float_overflow_error();
	}
	return result;
}

/*
 * embedding_avg(internal) returns embedding: final function of avg, NULL if
 * there was no row
 */
Datum
mr_embedding_avg(PG_FUNCTION_ARGS)
{
	MrEmbeddingSum *state;

	(void) aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = (MrEmbeddingSum *) PG_GETARG_POINTER(0);
	PG_RETURN_MR_EMBEDDING(finish(state, (float8) state->count));
}

/*
 * embedding_sum(internal) returns embedding: final function of sum, NULL if
 * there was no row
 */
Datum
mr_embedding_sum(PG_FUNCTION_ARGS)
{
	(void) aggregate_context(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_MR_EMBEDDING(finish((MrEmbeddingSum *) PG_GETARG_POINTER(0), 1));
}
