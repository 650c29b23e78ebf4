/*
 * vecmath.h
 *		Vector kernels over float32: the contract, and the pointers to the
 *		implementation chosen for this machine.
 *
 * Pure C; no PostgreSQL header, no allocation.  There is one set of kernels per
 * instruction set:
 *
 *		vecmath_scalar.c	portable C, the reference; always there
 *		vecmath_x86.c		AVX2+FMA, AVX-512F
 *		vecmath_neon.c		NEON (every aarch64 has it)
 *		vecmath_choose.c	picks one, once, at run time
 *
 * Shapes: a, b, x, y are arrays of n floats, n >= 0, of any alignment that a
 * float may have.  Sources may be equal; a source must not overlap the target
 * other than being the target itself.
 *
 * Accuracy.  Let u = 2^-24, and S the sum of the absolute values of the terms
 * ((a-b)^2, a*b or a^2).  Every implementation adds in at least 8 lanes, so a
 * term passes at most n/8 additions in its lane, 7 in the tail, 3 when the
 * lanes are joined, and 3 roundings of its own.  Hence
 *
 *		|result - exact| <= MR_VECMATH_ERROR(n) * S + n * FLT_MIN
 *
 * as long as no intermediate overflows; the second part is what underflow of
 * the terms can cost.  Squares of differences beyond 1.8e19 do overflow
 * float32: the kernels then return infinity (or NaN, dot only), and the
 * functions at the end of this file, which sum in double, do not.
 *
 * Results of two implementations agree within twice that bound, not bit for
 * bit; one implementation always gives the same bits for the same input.
 */
#ifndef MR_VECMATH_H
#define MR_VECMATH_H

#define MR_VECMATH_ERROR(n) (((n) / 8 + 20) * 5.9604644775390625e-8)

typedef struct MrVecmath
{
	const char *name;

	/* sum (a[i] - b[i])^2 */
	float		(*l2_squared) (const float *a, const float *b, int n);
	/* sum a[i] * b[i] */
	float		(*dot) (const float *a, const float *b, int n);
	/* sum a[i]^2 */
	float		(*norm_squared) (const float *a, int n);
	/* y[i] += c * x[i], each within 2^-23 (|c x[i]| + |y[i]|) */
	void		(*axpy) (float *y, float c, const float *x, int n);
	/* y[i] *= c, correctly rounded */
	void		(*scale) (float *y, float c, int n);
} MrVecmath;

/*
 * The chosen kernels.  Before mr_vecmath_init() the pointers lead to functions
 * that call it first; nothing but vecmath_choose.c writes here.
 */
extern MrVecmath mr_vecmath;

/* vecmath_choose.c */
extern void mr_vecmath_init(void);
extern int	mr_vecmath_list(const MrVecmath **list, int max);

/* vecmath_scalar.c, vecmath_x86.c, vecmath_neon.c */
extern const MrVecmath mr_vecmath_scalar;
#if defined(__x86_64__)
extern const MrVecmath mr_vecmath_avx2;
extern const MrVecmath mr_vecmath_avx512;
#endif
#if defined(__aarch64__)
extern const MrVecmath mr_vecmath_neon;
#endif

static inline float
mr_l2_squared(const float *a, const float *b, int n)
{
	return mr_vecmath.l2_squared(a, b, n);
}

/*
 * Euclidean distance and length as double, for any finite input: relative error
 * below 2e-6, no overflow, no loss by underflow.  Slower than the kernels only
 * where float32 would not do.  (vecmath_choose.c)
 */
extern double mr_l2_distance(const float *a, const float *b, int n);
extern double mr_l2_norm(const float *a, int n);

#endif							/* MR_VECMATH_H */
