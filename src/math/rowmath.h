/*
 * rowmath.h
 *		Arithmetic on rows of floats, for the trainer.
 *
 * A "padded" row has a length that is a multiple of MR_ROW_PAD and zeros behind
 * its real coordinates, so that these kernels need no tail.  Rows may lie at any
 * address.  The kernels exist for several instruction sets (rowmath.c) and are
 * chosen once per process; results differ between sets by rounding only, and
 * are the same from call to call on one machine.
 */
#ifndef MR_ROWMATH_H
#define MR_ROWMATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_ROW_PAD 16

/* Constants of one optimiser step; see mr_row_adam and mr_row_adagrad. */
typedef struct MrStepRates
{
	float		rate;			/* learning rate, bias-corrected for Adam */
	float		keep;			/* 1 - learning rate * weight decay */
	float		beta1;
	float		beta2;
	float		epsilon;		/* bias-corrected for Adam */
} MrStepRates;

/*
 * Bounds of error: exp within 3e-7 relative of the true value for arguments in
 * [-87, 88], 0 below, exp(88) above; log within 3e-7 of max(|log x|, 1) for
 * normal positive x; tanh and gelu, and their slopes, within 1e-6 absolute for any
 * finite argument (gelu relative to max(|x|, 1)).
 */
typedef struct MrRowMath
{
	const char *name;

	/* padded rows */
	float		(*dot) (const float *a, const float *b, size_t n);
	float		(*squared_distance) (const float *a, const float *b, size_t n);
	/* out[i] = squared distance of a to row base[ids[i] * n ...], i < count */
	void		(*squared_distances) (float *out, const float *a, const float *base, size_t n,
									  const int32_t *ids, size_t count);
	void		(*axpy) (float *y, float a, const float *x, size_t n);	/* y += a x */
	void		(*scale) (float *y, float a, const float *x, size_t n); /* y = a x */
	/* gu += pull (u - v) - push (u - k), gv -= pull (u - v), gk += push (u - k) */
	void		(*hinge) (float *gu, float *gv, float *gk, const float *u, const float *v, const float *k,
						  float pull, float push, size_t n);
	/* sum[] = SUM of rows base[ids[i] * n ...] over i < count */
	void		(*gather_sum) (float *sum, const float *base, size_t n, const int32_t *ids, size_t count);
	/* y[] += SUM of factors[i] * row base[ids[i] * n ...] over i < count */
	void		(*gather_axpy) (float *y, const float *base, size_t n, const int32_t *ids,
								const float *factors, size_t count);
	/* base[ids[i] * n ...][] += factors[i] * x[] for each i < count */
	void		(*scatter_axpy) (float *base, size_t n, const int32_t *ids, const float *factors, size_t count,
								 const float *x);
	void		(*multiply) (float *y, const float *x, size_t n);	/* y *= x */
	/* x = f(x), slope = f'(x) unless slope is NULL; what is not a number stays so */
	void		(*relu) (float *x, float *slope, size_t n);
	void		(*tanh) (float *x, float *slope, size_t n);
	void		(*gelu) (float *x, float *slope, size_t n);
	/* x *= random[i] >= threshold ? scale : 0, slope the same unless NULL */
	void		(*drop) (float *x, float *slope, const uint16_t *random, int32_t threshold, float scale, size_t n);
	/* m1 = b1 m1 + (1-b1) g; m2 = b2 m2 + (1-b2) g^2; x = keep x - rate m1 / (sqrt(m2) + eps) */
	void		(*adam) (float *x, float *m1, float *m2, const float *g, size_t n, const MrStepRates *r);
	/* m2 += g^2; x = keep x - rate g / (sqrt(m2) + eps) */
	void		(*adagrad) (float *x, float *m2, const float *g, size_t n, const MrStepRates *r);

	/* rows of any length */
	float		(*max) (const float *x, size_t n);
	float		(*exp_sum) (float *x, float shift, size_t n);	/* x = exp(x - shift); their sum */
	/* w = exp(exponent log(1 - s^2 + 1e-8) - shift) where s > 0, else 0; their sum */
	float		(*inverse_density) (float *w, const float *s, float exponent, float shift, size_t n);
	/* ids[] = the i < n with x[i] - shift[i] >= bound, ascending; their number */
	size_t		(*above) (const float *x, const float *shift, float bound, size_t n, int32_t *ids);
} MrRowMath;

/* rowmath.c */
extern const MrRowMath *mr_rowmath(void);
extern const MrRowMath *mr_rowmath_variant(int number);

#endif							/* MR_ROWMATH_H */
