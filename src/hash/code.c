/*
 * code.c
 *		Vectors to codes, and distances between codes.
 *
 * Everything that is stored is computed in double and rounded once.
 *
 * Why the lower bounds are strict.  Let u = 2^-24, the largest relative error of
 * one float operation, and Q = |q^|^2, X = |x^|^2, P = 2 <q^, x^>, all exact, so
 * that the squared distance of q^ to x^ is Q + X - P, and |P| <= Q + X.
 *
 *		quantity			computed as						error, in u (Q + X)
 *		Q, X				stored, rounded once			1
 *		sum ~ Q + X			one addition					1
 *		twice ~ P			int to float, two products		3
 *		sum * KEEP			one product						1
 *		  - FLT_MIN			one subtraction					1
 *		  - twice			one subtraction					2
 *
 * That is 9 u (Q + X), to which second-order terms add far less than u.  KEEP
 * takes off 2^-20 = 16 u of it.  What underflow can cost is a few times 2^-150,
 * because step * dot cannot underflow (a step is 0 or at least 1e-20 / 16000 in
 * float): FLT_MIN = 2^-126 is more.  So `squared` is not above the exact one, and
 * its root, rounded, not above (1 + u) |q^ - x^|.
 *
 * The distance of the vectors is at least |q^ - x^| - e, with e the two errors of
 * coding, and the operator computes it within 2e-6 of it.  So the root times
 * 1 - 2^-18 = 1 - 3.8e-6, minus e, is below what the operator says by 1.7e-6 = 29 u
 * times the root, or more.  The four roundings on the way (products and sums, none
 * larger than the root, else the bound is 0) and the rounding of error_ratio take
 * up less than 8 u of that.
 *
 * The absolute 1e-18 is for rows that are tiny, which are coded as zero with
 * scale 0: 2000 coordinates of 1e-20 make a length of 4.5e-19.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "hash/code.h"

/* Rows whose sums are kept on the stack. */
#define CHUNK 256

/* Length that coding as zero may cost a tiny row. */
#define TINY_LENGTH 1e-18

/* Added to a float in +-2^22, leaves the nearest integer in the low bits. */
#define ROUNDER 12582912.0f
#define ROUNDER_BITS 0x4B400000

/* Coordinates that are worked at together. */
#define LANES 8

/* The nearest integer, even if there are two; |x| < 2^22. */
static inline int32_t
nearest(float x)
{
	int32_t		bits;

	x += ROUNDER;
	memcpy(&bits, &x, sizeof(bits));
	return bits - ROUNDER_BITS;
}

/* A float that is not below x. */
static inline float
round_up(double x)
{
	float		f = (float) x;

	return f >= x ? f : nextafterf(f, INFINITY);
}

/* max |x[i]| */
static float
largest(const float *x, int dim)
{
	float		lane[LANES] = {0};
	float		max = 0;
	int			i = 0;

	for (; i + LANES <= dim; i += LANES)
	{
		for (int k = 0; k < LANES; k++)
		{
			float		a = fabsf(x[i + k]);

			lane[k] = a > lane[k] ? a : lane[k];
		}
	}
	for (; i < dim; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	for (int k = 0; k < LANES; k++)
		max = lane[k] > max ? lane[k] : max;
	return max;
}

/* SUM (x[i] - unit * code[i])^2: in double a difference is as good as exact. */
static inline double
lost(float x, float unit, int32_t code)
{
	double		d = (double) x - (double) unit * code;

	return d * d;
}

/*
 * A root of a sum of squares of up to a few thousand terms, all in double, as a
 * float that is not below the exact value.
 */
static inline float
length_up(double sum_of_squares)
{
	return round_up(sqrt(sum_of_squares) * (1 + 1e-12));
}

/*
 * Code x, `dim` floats.  Returns a bound of |x - x^|; infinity if x is wild.
 */
float
mr_code_encode(const float *x, int dim, int8_t *code, float *scale, float *norm)
{
	float		max = largest(x, dim);
	float		factor;
	float		unit;
	double		error[LANES] = {0};
	double		all = 0;
	int64_t		squares = 0;
	int			i = 0;

	*scale = 0;
	*norm = 0;
	if (!(max >= MR_CODE_TINY && max <= MR_CODE_WILD))
	{
		memset(code, 0, dim);
		if (max < MR_CODE_TINY)
		{
			for (i = 0; i < dim; i++)
				all += (double) x[i] * x[i];
			return length_up(all);
		}
		*norm = INFINITY;
		return INFINITY;
	}

	unit = max / 127;
	factor = 127 / max;
	for (; i + LANES <= dim; i += LANES)
	{
		int32_t		c[LANES];
		int32_t		s = 0;

		for (int k = 0; k < LANES; k++)
			c[k] = nearest(x[i + k] * factor);
		for (int k = 0; k < LANES; k++)
			error[k] += lost(x[i + k], unit, c[k]);
		for (int k = 0; k < LANES; k++)
		{
			code[i + k] = (int8_t) c[k];
			s += c[k] * c[k];
		}
		squares += s;
	}
	for (; i < dim; i++)
	{
		int32_t		c = nearest(x[i] * factor);

		all += lost(x[i], unit, c);
		code[i] = (int8_t) c;
		squares += c * c;
	}
	for (int k = 0; k < LANES; k++)
		all += error[k];
	*scale = unit;
	*norm = (float) ((double) unit * unit * squares);
	return length_up(all);
}

/* The vector that a code stands for. */
void
mr_code_decode(const int8_t *code, float scale, int dim, float *x)
{
	for (int i = 0; i < dim; i++)
		x[i] = scale * code[i];
}

/*
 * Code a query; query->dim and query->q are set.
 */
void
mr_code_query(MrCodeQuery *query, const float *x)
{
	int			dim = query->dim;
	int			limit = mr_code_limit(dim);
	float		max = largest(x, dim);
	float		factor;
	double		all = 0;
	int64_t		squares = 0;

	memset(query->q, 0, mr_code_padded(dim) * sizeof(int16_t));
	query->step = 0;
	query->norm = 0;
	if (!(max <= MR_CODE_WILD))
	{
		query->norm = INFINITY;
		query->error = INFINITY;
		return;
	}
	if (max >= MR_CODE_TINY)
	{
		query->step = max / limit;
		factor = limit / max;
		for (int i = 0; i < dim; i++)
			query->q[i] = (int16_t) nearest(x[i] * factor);
	}
	for (int i = 0; i < dim; i++)
	{
		all += lost(x[i], query->step, query->q[i]);
		squares += query->q[i] * query->q[i];
	}
	query->norm = (float) ((double) query->step * query->step * squares);
	query->error = length_up(all);
}

/*
 * Take a coded row as the query: q^ is then the row as it is coded, and the
 * error is 0.
 */
void
mr_code_query_from_code(MrCodeQuery *query, const int8_t *code, float scale, float norm)
{
	int			dim = query->dim;

	for (int i = 0; i < dim; i++)
		query->q[i] = code[i];
	memset(query->q + dim, 0, (mr_code_padded(dim) - dim) * sizeof(int16_t));
	query->step = scale;
	query->norm = norm;
	query->error = 0;
}

/* Squared distances of q^ to the rows. */
void
mr_code_squared_distances(const MrCodeQuery *query, const MrCodeRows *rows, float *out)
{
	const MrCodeMath *math = mr_codemath();
	MrCodeTerms terms = {query->norm, 2 * query->step, 0, 0};
	int32_t		dots[CHUNK];

	for (int i = 0; i < rows->n; i += CHUNK)
	{
		int			n = rows->n - i < CHUNK ? rows->n - i : CHUNK;

		math->dots(query->q, rows->codes + (size_t) i * rows->dim, rows->dim, n, dots);
		math->squared(&terms, dots, rows->scale + i, rows->norm + i, n, out + i);
	}
}

/* Lower bounds of the distances to the rows; the head of this file proves them. */
void
mr_code_lower_bounds(const MrCodeQuery *query, const MrCodeRows *rows, float error_ratio, float *out)
{
	const MrCodeMath *math = mr_codemath();
	MrCodeTerms terms = {query->norm, 2 * query->step, error_ratio, round_up(query->error + TINY_LENGTH)};
	int32_t		dots[CHUNK];

	for (int i = 0; i < rows->n; i += CHUNK)
	{
		int			n = rows->n - i < CHUNK ? rows->n - i : CHUNK;

		math->dots(query->q, rows->codes + (size_t) i * rows->dim, rows->dim, n, dots);
		math->bounds(&terms, dots, rows->scale + i, rows->norm + i, n, out + i);
	}
}

/*
 * From a squared distance and the sum of the two norms that it was made of: not
 * above the exact distance of q^ to x^.  16 u (Q + X) is taken off as above, and
 * 0 if either is wild.
 */
float
mr_code_distance_low(float squared, float norm_sum)
{
	double		low = (double) squared - 0x1p-20 * norm_sum - FLT_MIN;

	return low > 0 && norm_sum < MR_CODE_NO_BOUND ? (float) (sqrt(low) * (1 - 0x1p-22)) : 0;
}

/* The same, not below the exact distance; infinite if either is wild. */
float
mr_code_distance_high(float squared, float norm_sum)
{
	double		high = (double) squared + 0x1p-20 * norm_sum + FLT_MIN;

	return high < INFINITY ? (float) (sqrt(high) * (1 + 0x1p-22)) : INFINITY;
}
