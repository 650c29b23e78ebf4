/*
 * code.h
 *		A vector as a code: one int8 per coordinate and one scale.
 *
 *		x  ~  x^ = scale * code,	scale = max |x[i]| / 127
 *
 * A row of an index is such a code, and so is the centre of a bucket.  The code
 * is absolute (not relative to a centre), so that rows can change their bucket
 * without the vector that they were made of.
 *
 * A query is coded finer, in int16, and then distances are integer dot products:
 *
 *		|q^ - x^|^2 = |q^|^2 + |x^|^2 - 2 * step * scale * SUM q[i] code[i]
 *
 * Two kinds of vector have no good code, and are still handled exactly right,
 * only without speed:
 *		"tiny", max |x[i]| < MR_CODE_TINY: coded as zero;
 *		"wild", so long that squares overflow float32: codes 0, scale 0,
 *		norm = infinity; distances to it are infinite, lower bounds 0.
 *
 * Pure C: no allocation, no server header.
 */
#ifndef MR_CODE_H
#define MR_CODE_H

#include <stdint.h>

#include "math/codemath.h"

#define MR_CODE_TINY 1e-20f
/* A vector is wild if a coordinate is beyond this: 2000 squares must fit a float. */
#define MR_CODE_WILD 1e17f

/* n coded vectors, as they lie in a page or in memory. */
typedef struct MrCodeRows
{
	int			n;
	int			dim;
	const int8_t *codes;		/* [n][dim] */
	const float *scale;			/* [n] */
	const float *norm;			/* [n], |x^|^2 */
} MrCodeRows;

typedef struct MrCodeQuery
{
	int			dim;
	int16_t    *q;				/* [mr_code_padded(dim)], the caller's memory */
	float		step;			/* q^ = step * q */
	float		norm;			/* |q^|^2; infinite for a wild query */
	float		error;			/* >= |query - q^| */
} MrCodeQuery;

/* code.c */
extern float mr_code_encode(const float *x, int dim, int8_t *code, float *scale, float *norm);
extern void mr_code_decode(const int8_t *code, float scale, int dim, float *x);
extern void mr_code_query(MrCodeQuery *query, const float *x);
extern void mr_code_query_from_code(MrCodeQuery *query, const int8_t *code, float scale, float norm);

/* Of q^ to each x^, never negative, never NaN (infinite if either is wild). */
extern void mr_code_squared_distances(const MrCodeQuery *query, const MrCodeRows *rows, float *out);

/*
 * Strict lower bounds of the distance that the operator <-> computes between
 * the vectors behind query and rows, never NaN, never negative; error_ratio is
 * the maximum over the rows of |x - x^| / scale.
 */
extern void mr_code_lower_bounds(const MrCodeQuery *query, const MrCodeRows *rows, float error_ratio, float *out);

/*
 * From a squared distance of code.c and the two norms it was made of: strict
 * bounds of the true distance of q^ to x^.
 */
extern float mr_code_distance_low(float squared, float norm_sum);
extern float mr_code_distance_high(float squared, float norm_sum);

#endif							/* MR_CODE_H */
