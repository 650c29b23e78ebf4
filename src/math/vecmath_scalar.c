/*
 * vecmath_scalar.c
 *		Vector kernels in portable C: the reference for the others, and what a
 *		machine without a known instruction set runs.
 *
 * Eight independent sums instead of one: that gives the error bound of
 * vecmath.h, breaks the chain of dependent additions, and lets the compiler use
 * whatever 4-lane registers the platform's baseline has.
 */
#include "math/vecmath.h"

#define LANES 8

/* The sums of the lanes, joined as a tree (three roundings). */
static inline float
join_lanes(const float *s)
{
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static float
l2_squared_scalar(const float *a, const float *b, int n)
{
	float		sum[LANES] = {0};
	float		tail = 0;
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		for (int k = 0; k < LANES; k++)
		{
			float		d = a[i + k] - b[i + k];

			sum[k] += d * d;
		}
	}
	for (; i < n; i++)
	{
		float		d = a[i] - b[i];

		tail += d * d;
	}
	return join_lanes(sum) + tail;
}

static float
dot_scalar(const float *a, const float *b, int n)
{
	float		sum[LANES] = {0};
	float		tail = 0;
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		for (int k = 0; k < LANES; k++)
			sum[k] += a[i + k] * b[i + k];
	}
	for (; i < n; i++)
		tail += a[i] * b[i];
	return join_lanes(sum) + tail;
}

static float
norm_squared_scalar(const float *a, int n)
{
	return dot_scalar(a, a, n);
}

static void
axpy_scalar(float *y, float c, const float *x, int n)
{
	for (int i = 0; i < n; i++)
		y[i] += c * x[i];
}

static void
scale_scalar(float *y, float c, int n)
{
	for (int i = 0; i < n; i++)
		y[i] *= c;
}

const MrVecmath mr_vecmath_scalar = {
	.name = "scalar",
	.l2_squared = l2_squared_scalar,
	.dot = dot_scalar,
	.norm_squared = norm_squared_scalar,
	.axpy = axpy_scalar,
	.scale = scale_scalar,
};
