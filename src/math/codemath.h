/*
 * codemath.h
 *		The inner loop of a search: dot products of one query with many rows of
 *		int8 codes, and what makes distances of them.
 *
 * Pure C.  One implementation per instruction set, all with the same result bit
 * for bit: the sums are integers, and the few operations on floats are done in
 * the same order everywhere, without fused multiply-add (the Makefile compiles
 * these files with -ffp-contract=off):
 *
 *		codemath.c			portable C, the reference, and the choice
 *		codemath_x86.c		SSE2, AVX2, AVX-512BW, AVX-512VNNI
 *		codemath_neon.c		NEON
 *
 * Shapes: dim >= 1; q is int16[mr_code_padded(dim)], zeros behind dim; codes is
 * int8[n][dim], rows without gaps, of any alignment; out is int32[n].
 *
 * No byte outside codes[0 .. n*dim-1] is read: rows lie at the end of a page.
 *
 * The caller keeps |q[i]| <= mr_code_limit(dim) and |codes[i]| <= 127, so that
 * no sum overflows.
 */
#ifndef MR_CODEMATH_H
#define MR_CODEMATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>

/* Entries of q are a multiple of this. */
#define MR_CODE_PAD 64
#define mr_code_padded(dim) (((dim) + MR_CODE_PAD - 1) / MR_CODE_PAD * MR_CODE_PAD)

/* What turns the sums into distances; hash/code.c says why. */
typedef struct MrCodeTerms
{
	float		query_norm;		/* |q^|^2 */
	float		step2;			/* 2 * step of the query */
	float		error_ratio;	/* bounds: error of a row / its scale */
	float		error;			/* bounds: what else is taken off */
} MrCodeTerms;

typedef struct MrCodeMath
{
	const char *name;
	/* out[i] = SUM over j of q[j] * codes[i * dim + j] */
	void		(*dots) (const int16_t *q, const int8_t *codes, int dim, int n, int32_t *out);
	/* out[i] = mr_code_squared(terms, dots[i], scale[i], norm[i]) */
	void		(*squared) (const MrCodeTerms *terms, const int32_t *dots, const float *scale, const float *norm,
							int n, float *out);
	/* out[i] = mr_code_bound(terms, dots[i], scale[i], norm[i]) */
	void		(*bounds) (const MrCodeTerms *terms, const int32_t *dots, const float *scale, const float *norm,
						   int n, float *out);
} MrCodeMath;

/*
 * Constants of a lower bound; hash/code.c derives them.  KEEP_SQUARED and
 * KEEP_ROOT are floats without rounding, 1 - 2^-20 and 1 - 2^-18.
 */
#define MR_CODE_KEEP_SQUARED 0.99999904632568359375f
#define MR_CODE_KEEP_ROOT 0.999996185302734375f
/* Beyond this |q^|^2 + |x^|^2 there is no bound. */
#define MR_CODE_NO_BOUND 1e38f

/* Squared distance of a query to one row, the reference of MrCodeMath.squared. */
static inline float
mr_code_squared(const MrCodeTerms *terms, int32_t dot, float scale, float norm)
{
	float		twice = (float) dot * terms->step2 * scale;
	float		squared = (terms->query_norm + norm) - twice;

	return squared > 0 ? squared : 0;
}

/* Lower bound of the distance to one row, the reference of MrCodeMath.bounds. */
static inline float
mr_code_bound(const MrCodeTerms *terms, int32_t dot, float scale, float norm)
{
	float		twice = (float) dot * terms->step2 * scale;
	float		sum = terms->query_norm + norm;
	float		squared = (sum * MR_CODE_KEEP_SQUARED - FLT_MIN) - twice;
	float		root = sqrtf(squared > 0 ? squared : 0) * MR_CODE_KEEP_ROOT;
	float		bound = root - (scale * terms->error_ratio + terms->error);

	return sum < MR_CODE_NO_BOUND && bound > 0 ? bound : 0;
}

/* The largest |q[i]| for which a sum of dim products with int8 fits an int32. */
static inline int
mr_code_limit(int dim)
{
	int			limit = INT32_MAX / 128 / (dim > 0 ? dim : 1);

	return limit < 16000 ? limit : 16000;
}

/* codemath.c */
extern const MrCodeMath *mr_codemath(void); /* chosen once per process */
extern const MrCodeMath *mr_codemath_variant(int number);	/* 0 = portable; NULL past the last one that runs here */

/* codemath_x86.c, codemath_neon.c */
#if defined(__x86_64__)
extern const MrCodeMath *const mr_codemath_sse2;
extern const MrCodeMath *const mr_codemath_avx2;
extern const MrCodeMath *const mr_codemath_avx512;
extern const MrCodeMath *const mr_codemath_vnni;
#endif
#if defined(__aarch64__)
extern const MrCodeMath *const mr_codemath_neon;
#endif

#endif							/* MR_CODEMATH_H */
