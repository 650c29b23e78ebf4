/*
 * vecmath_neon.c
 *		Vector kernels for NEON, which every aarch64 CPU has: chosen when
 *		compiling, not when running.
 *
 * Four registers of four lanes; the rest, at most three floats, is scalar.
 */
#include "math/vecmath.h"

#if defined(__aarch64__)

#include <arm_neon.h>

static float
l2_squared_neon(const float *a, const float *b, int n)
{
	float32x4_t s0 = vdupq_n_f32(0);
	float32x4_t s1 = s0;
	float32x4_t s2 = s0;
	float32x4_t s3 = s0;
	float		tail = 0;
	int			i = 0;

	for (; i + 16 <= n; i += 16)
	{
		float32x4_t d0 = vsubq_f32(vld1q_f32(a + i), vld1q_f32(b + i));
		float32x4_t d1 = vsubq_f32(vld1q_f32(a + i + 4), vld1q_f32(b + i + 4));
		float32x4_t d2 = vsubq_f32(vld1q_f32(a + i + 8), vld1q_f32(b + i + 8));
		float32x4_t d3 = vsubq_f32(vld1q_f32(a + i + 12), vld1q_f32(b + i + 12));

		s0 = vfmaq_f32(s0, d0, d0);
		s1 = vfmaq_f32(s1, d1, d1);
		s2 = vfmaq_f32(s2, d2, d2);
		s3 = vfmaq_f32(s3, d3, d3);
	}
	for (; i + 4 <= n; i += 4)
	{
		float32x4_t d = vsubq_f32(vld1q_f32(a + i), vld1q_f32(b + i));

		s0 = vfmaq_f32(s0, d, d);
	}
	for (; i < n; i++)
	{
		float		d = a[i] - b[i];

		tail += d * d;
	}
	return vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3))) + tail;
}

static float
dot_neon(const float *a, const float *b, int n)
{
	float32x4_t s0 = vdupq_n_f32(0);
	float32x4_t s1 = s0;
	float32x4_t s2 = s0;
	float32x4_t s3 = s0;
	float		tail = 0;
	int			i = 0;

	for (; i + 16 <= n; i += 16)
	{
		s0 = vfmaq_f32(s0, vld1q_f32(a + i), vld1q_f32(b + i));
		s1 = vfmaq_f32(s1, vld1q_f32(a + i + 4), vld1q_f32(b + i + 4));
		s2 = vfmaq_f32(s2, vld1q_f32(a + i + 8), vld1q_f32(b + i + 8));
		s3 = vfmaq_f32(s3, vld1q_f32(a + i + 12), vld1q_f32(b + i + 12));
	}
	for (; i + 4 <= n; i += 4)
		s0 = vfmaq_f32(s0, vld1q_f32(a + i), vld1q_f32(b + i));
	for (; i < n; i++)
		tail += a[i] * b[i];
	return vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3))) + tail;
}

static float
norm_squared_neon(const float *a, int n)
{
	return dot_neon(a, a, n);
}

static void
axpy_neon(float *y, float c, const float *x, int n)
{
	float32x4_t cc = vdupq_n_f32(c);
	int			i = 0;

	for (; i + 4 <= n; i += 4)
		vst1q_f32(y + i, vfmaq_f32(vld1q_f32(y + i), cc, vld1q_f32(x + i)));
	for (; i < n; i++)
		y[i] += c * x[i];
}

static void
scale_neon(float *y, float c, int n)
{
	float32x4_t cc = vdupq_n_f32(c);
	int			i = 0;

	for (; i + 4 <= n; i += 4)
		vst1q_f32(y + i, vmulq_f32(cc, vld1q_f32(y + i)));
	for (; i < n; i++)
		y[i] *= c;
}

const MrVecmath mr_vecmath_neon = {
	.name = "neon",
	.l2_squared = l2_squared_neon,
	.dot = dot_neon,
	.norm_squared = norm_squared_neon,
	.axpy = axpy_neon,
	.scale = scale_neon,
};

#endif							/* __aarch64__ */
