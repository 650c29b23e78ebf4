/*
 * vecmath_choose.c
 *		Picks the vector kernels once, and builds the exact functions on them.
 *
 * __builtin_cpu_supports() says no where the CPU has the instructions but the
 * operating system does not save the wide registers.
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "math/vecmath.h"

/* Floats summed in float32 before the sum goes on in double. */
#define BLOCK 256

static float
choose_l2_squared(const float *a, const float *b, int n)
{
	mr_vecmath_init();
	return mr_vecmath.l2_squared(a, b, n);
}

static float
choose_dot(const float *a, const float *b, int n)
{
	mr_vecmath_init();
	return mr_vecmath.dot(a, b, n);
}

static float
choose_norm_squared(const float *a, int n)
{
	mr_vecmath_init();
	return mr_vecmath.norm_squared(a, n);
}

static void
choose_axpy(float *y, float c, const float *x, int n)
{
	mr_vecmath_init();
	mr_vecmath.axpy(y, c, x, n);
}

static void
choose_scale(float *y, float c, int n)
{
	mr_vecmath_init();
	mr_vecmath.scale(y, c, n);
}

MrVecmath	mr_vecmath = {
	.name = "not chosen",
	.l2_squared = choose_l2_squared,
	.dot = choose_dot,
	.norm_squared = choose_norm_squared,
	.axpy = choose_axpy,
	.scale = choose_scale,
};

/*
 * The implementations this machine can run, the reference first, the best last.
 * Returns their number, never more than max.
 */
int
mr_vecmath_list(const MrVecmath **list, int max)
{
	int			n = 0;

	if (n < max)
		list[n++] = &mr_vecmath_scalar;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (n < max && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		list[n++] = &mr_vecmath_avx2;
	if (n < max && __builtin_cpu_supports("avx512f"))
		list[n++] = &mr_vecmath_avx512;
#endif
#if defined(__aarch64__)
	if (n < max)
		list[n++] = &mr_vecmath_neon;
#endif
	return n;
}

/* Take the best implementation.  Calling it again changes nothing. */
void
mr_vecmath_init(void)
{
	const MrVecmath *list[8];
	int			n = mr_vecmath_list(list, 8);

	mr_vecmath = *list[n - 1];
}

/*
 * Is a sum of squares, taken in float32 blocks, as good as promised?  Not when
 * a square overflowed (infinity, or NaN from infinity - infinity), and not when
 * the whole is so small that squares below FLT_MIN could be a part of it that
 * matters.
 */
static inline bool
sum_is_trustworthy(double sum, int n)
{
	return sum <= DBL_MAX && sum >= n * (FLT_MIN / FLT_EPSILON);
}

/*
 * Euclidean distance of a and b, n floats each, as double.
 */
double
mr_l2_distance(const float *a, const float *b, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i += BLOCK)
		sum += mr_vecmath.l2_squared(a + i, b + i, n - i < BLOCK ? n - i : BLOCK);
	if (sum_is_trustworthy(sum, n))
		return sqrt(sum);

	sum = 0;
	for (int i = 0; i < n; i++)
	{
		double		d = (double) a[i] - (double) b[i];

		sum += d * d;
	}
	return sqrt(sum);
}

/*
 * Euclidean length of a, n floats, as double.
 */
double
mr_l2_norm(const float *a, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i += BLOCK)
		sum += mr_vecmath.norm_squared(a + i, n - i < BLOCK ? n - i : BLOCK);
	if (sum_is_trustworthy(sum, n))
		return sqrt(sum);

	sum = 0;
	for (int i = 0; i < n; i++)
		sum += (double) a[i] * (double) a[i];
	return sqrt(sum);
}
