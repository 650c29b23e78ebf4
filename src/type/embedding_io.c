/*
 * embedding_io.c
 *		Making embeddings: text and binary input and output, the type modifier.
 *
 * Text is '[1,2.5,-3]'.  Output is the shortest text that reads back as the same
 * float4, whatever extra_float_digits says.  Input takes each coordinate as
 * float4in does (so '1e400' and '1e-60' are out of range), but neither NaN nor
 * infinity.  The commas are counted first, and no further than the limit, so
 * that memory is allocated once and in proportion to a valid value.
 *
 * Bad text is a soft error where the server knows these (16 and later).
 */
#include "postgres.h"

#include <errno.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"

#include "type/embedding.h"
#include "util/compat.h"

/* Bytes of the user's text that an error message repeats. */
#define MAX_QUOTED 64

PG_FUNCTION_INFO_V1(mr_embedding_in);
PG_FUNCTION_INFO_V1(mr_embedding_out);
PG_FUNCTION_INFO_V1(mr_embedding_recv);
PG_FUNCTION_INFO_V1(mr_embedding_send);
PG_FUNCTION_INFO_V1(mr_embedding_typmod_in);
PG_FUNCTION_INFO_V1(mr_embedding_coerce);

/*
 * Refuse a number of coordinates that no embedding may have.
 */
void
mr_embedding_check_dimensions(int64 dim)
{
	if (dim < 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("embedding must have at least 1 dimension"),
				 dim == 0 ? 0 : errdetail("The value has %lld dimensions.", (long long) dim)));
	if (dim > MR_MAX_DIMENSIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("embedding cannot have more than %d dimensions", MR_MAX_DIMENSIONS),
				 errdetail("The value has %lld dimensions.", (long long) dim)));
}

/*
 * Refuse a value of dim coordinates for a column declared embedding(typmod);
 * typmod -1 takes any.
 */
void
mr_embedding_check_typmod(int dim, int32 typmod)
{
	if (typmod != -1 && typmod != dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, dim)));
}

/*
 * Refuse NaN and infinity.
 */
void
mr_embedding_check_elements(const MrEmbedding *e)
{
	for (int i = 0; i < e->dim; i++)
	{
		if (isfinite(e->x[i]))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 isnan(e->x[i]) ? errmsg("NaN not allowed in embedding") :
				 errmsg("infinite value not allowed in embedding"),
				 errdetail("It is element %d.", i + 1)));
	}
}

/*
 * An embedding of dim coordinates, all zero, in the current memory context.
 */
MrEmbedding *
mr_embedding_create(int dim)
{
	MrEmbedding *e;

	mr_embedding_check_dimensions(dim);
	e = (MrEmbedding *) palloc0(MR_EMBEDDING_SIZE(dim));
	SET_VARSIZE(e, MR_EMBEDDING_SIZE(dim));
	e->dim = (int16) dim;
	return e;
}

/*
 * An embedding with the coordinates x[0..dim-1], which must be finite.
 */
MrEmbedding *
mr_embedding_from_floats(const float4 *x, int dim)
{
	MrEmbedding *e = mr_embedding_create(dim);

	memcpy(e->x, x, sizeof(float4) * dim);
	mr_embedding_check_elements(e);
	return e;
}

/* Not scanner_isspace(): what that takes for white space changed in 16. */
static const char *
skip_space(const char *p)
{
	while (*p == ' ' || (*p >= '\t' && *p <= '\r'))
		p++;
	return p;
}

/*
 * What of the user's text a message may repeat: the beginning, cut between two
 * characters.
 */
static char *
quotable(const char *text, size_t length)
{
	size_t		n = length;
	char	   *s;

	if (n > MAX_QUOTED)
		n = pg_mbcliplen(text, MAX_QUOTED + MAX_MULTIBYTE_CHAR_LEN, MAX_QUOTED);
	s = palloc(n + 4);
	memcpy(s, text, n);
	strcpy(s + n, n < length ? "..." : "");
	return s;
}

/*
 * One coordinate at *pp, after white space; *pp moves behind it.  False, with
 * the error in escontext, if there is none that an embedding may hold.
 */
static bool
parse_element(const char *text, const char **pp, float4 *x, Node *escontext)
{
	const char *start = skip_space(*pp);
	char	   *end;
	float		value;

	errno = 0;
	value = strtof(start, &end);
	if (end == start)
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type embedding: \"%s\"", quotable(text, strlen(text))),
				 *start == '\0' ?
				 errdetail("Unexpected end of input.") :
				 errdetail("A number is expected at \"%s\".", quotable(start, strlen(start)))));

	/* The words come first: strtof() returns them without a range error. */
	if (errno == 0 && isnan(value))
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("NaN not allowed in embedding")));
	if (errno == 0 && isinf(value))
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("infinite value not allowed in embedding")));

	/* As float4in: glibc also complains about subnormals, which are fine. */
	if (errno == ERANGE && (value == 0 || isinf(value)))
		ereturn(escontext, false,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" is out of range for type embedding", quotable(start, end - start))));

	*x = value;
	*pp = skip_space(end);
	return true;
}

/*
 * Parse text into *result.  False, with the error in escontext, if it is not an
 * embedding.
 */
static bool
parse_embedding(const char *text, MrEmbedding **result, Node *escontext)
{
	const char *p = skip_space(text);
	MrEmbedding *e;
	int			dim = 1;

	if (*p != '[')
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type embedding: \"%s\"", quotable(text, strlen(text))),
				 errdetail("An embedding starts with \"[\".")));
	p++;
	if (*skip_space(p) == ']')
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("embedding must have at least 1 dimension")));

	for (const char *q = p; *q != '\0' && dim <= MR_MAX_DIMENSIONS; q++)
	{
		if (*q == ',')
			dim++;
	}
	if (dim > MR_MAX_DIMENSIONS)
		ereturn(escontext, false,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("embedding cannot have more than %d dimensions", MR_MAX_DIMENSIONS)));

	e = mr_embedding_create(dim);
	for (int i = 0; i < dim; i++)
	{
		char		wanted = i < dim - 1 ? ',' : ']';

		if (!parse_element(text, &p, &e->x[i], escontext))
			return false;
		if (*p != wanted)
			ereturn(escontext, false,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input syntax for type embedding: \"%s\"", quotable(text, strlen(text))),
					 *p == '\0' ?
					 errdetail("Unexpected end of input.") :
					 *p == ']' ?
					 errdetail("Junk after closing right bracket.") :
					 errdetail("\",\" or \"]\" is expected at \"%s\".", quotable(p, strlen(p)))));
		p++;
	}
	if (*skip_space(p) != '\0')
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type embedding: \"%s\"", quotable(text, strlen(text))),
				 errdetail("Junk after closing right bracket.")));
	*result = e;
	return true;
}

/*
 * embedding_in(cstring, oid, integer) returns embedding
 */
Datum
mr_embedding_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	Node	   *escontext = MR_ESCONTEXT(fcinfo);
	MrEmbedding *e;

	if (!parse_embedding(text, &e, escontext))
		PG_RETURN_NULL();
	if (typmod != -1 && typmod != e->dim)
		ereturn(escontext, (Datum) 0,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, e->dim)));
	PG_RETURN_MR_EMBEDDING(e);
}

/*
 * embedding_out(embedding) returns cstring
 */
Datum
mr_embedding_out(PG_FUNCTION_ARGS)
{
	MrEmbedding *e = PG_GETARG_MR_EMBEDDING(0);
	char	   *buffer;
	char	   *p;

	/* Each coordinate with its comma, or the last with ']'; '[' and '\0'. */
	buffer = palloc((Size) FLOAT_SHORTEST_DECIMAL_LEN * e->dim + 2);
	p = buffer;
	*p++ = '[';
	for (int i = 0; i < e->dim; i++)
	{
		if (i > 0)
			*p++ = ',';
		p += float_to_shortest_decimal_bufn(e->x[i], p);
	}
	*p++ = ']';
	*p = '\0';

	PG_FREE_IF_COPY(e, 0);
	PG_RETURN_CSTRING(buffer);
}

/*
 * embedding_recv(internal, oid, integer) returns embedding
 *
 * The message may come from anyone: nothing is allocated before its header has
 * been found to agree with its length.
 */
Datum
mr_embedding_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int			dim;
	int			unused;
	MrEmbedding *e;

	dim = (int16) pq_getmsgint(buf, sizeof(int16));
	unused = (int16) pq_getmsgint(buf, sizeof(int16));
	mr_embedding_check_dimensions(dim);
	mr_embedding_check_typmod(dim, typmod);
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary format of embedding"),
				 errdetail("Expected 0 after the number of dimensions, not %d.", unused)));
	if (buf->len - buf->cursor != dim * (int) sizeof(float4))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary format of embedding"),
				 errdetail("A value of dimension %d takes %d bytes, not %d.", dim,
						   dim * (int) sizeof(float4), buf->len - buf->cursor)));

	e = mr_embedding_create(dim);
	for (int i = 0; i < dim; i++)
		e->x[i] = pq_getmsgfloat4(buf);
	mr_embedding_check_elements(e);
	PG_RETURN_MR_EMBEDDING(e);
}

/*
 * embedding_send(embedding) returns bytea
 */
Datum
mr_embedding_send(PG_FUNCTION_ARGS)
{
	MrEmbedding *e = PG_GETARG_MR_EMBEDDING(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint16(&buf, e->dim);
	pq_sendint16(&buf, 0);
	for (int i = 0; i < e->dim; i++)
		pq_sendfloat4(&buf, e->x[i]);

	PG_FREE_IF_COPY(e, 0);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * embedding_typmod_in(cstring[]) returns integer: the d of embedding(d)
 */
Datum
mr_embedding_typmod_in(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int32	   *typmods;
	int			n;

	typmods = ArrayGetIntegerTypmods(array, &n);
	if (n != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier for type embedding"),
				 errhint("Write embedding(d), d being the number of dimensions.")));
	if (typmods[0] < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type embedding must be at least 1, not %d", typmods[0])));
	if (typmods[0] > MR_MAX_DIMENSIONS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type embedding cannot exceed %d", MR_MAX_DIMENSIONS),
				 errdetail("%d dimensions were asked for.", typmods[0])));
	PG_RETURN_INT32(typmods[0]);
}

/*
 * embedding(embedding, integer, boolean) returns embedding
 *
 * The length coercion: no value is ever cut or padded, only checked.
 */
Datum
mr_embedding_coerce(PG_FUNCTION_ARGS)
{
	MrEmbedding *e = PG_GETARG_MR_EMBEDDING(0);

	mr_embedding_check_typmod(e->dim, PG_GETARG_INT32(1));
	PG_RETURN_MR_EMBEDDING(e);
}
