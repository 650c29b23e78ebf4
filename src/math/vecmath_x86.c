/*
 * vecmath_x86.c
 *		Vector kernels for AVX2 with FMA, and for AVX-512F.
 *
 * The instruction sets are named at each function, not for the whole file or
 * build: the library runs on any x86-64, and vecmath_choose.c asks the CPU (and
 * the operating system) before it takes one of these.
 *
 * All loops have one shape: four registers of sums, because an FMA takes four
 * cycles and two can start in each; then single registers; then one masked
 * register for the rest, so that there is no scalar tail.  Masked loads do not
 * touch the lanes that are masked out: no byte beyond the arrays is read.
 */
#include "math/vecmath.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f")))

/* ---------- AVX2: 8 lanes ---------- */

/* A mask of the first n lanes, 0 <= n <= 8. */
static inline AVX2 __m256i
first_lanes8(int n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline AVX2 float
sum_lanes8(__m256 v)
{
	__m128		s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	s = _mm_add_ss(s, _mm_movehdup_ps(s));
	return _mm_cvtss_f32(s);
}

static AVX2 float
l2_squared_avx2(const float *a, const float *b, int n)
{
	__m256		s0 = _mm256_setzero_ps();
	__m256		s1 = s0;
	__m256		s2 = s0;
	__m256		s3 = s0;
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m256		d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
		__m256		d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
		__m256		d2 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16));
		__m256		d3 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24));

		s0 = _mm256_fmadd_ps(d0, d0, s0);
		s1 = _mm256_fmadd_ps(d1, d1, s1);
		s2 = _mm256_fmadd_ps(d2, d2, s2);
		s3 = _mm256_fmadd_ps(d3, d3, s3);
	}
	for (; i + 8 <= n; i += 8)
	{
		__m256		d = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));

		s0 = _mm256_fmadd_ps(d, d, s0);
	}
	if (i < n)
	{
		__m256i		mask = first_lanes8(n - i);
		__m256		d = _mm256_sub_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask));

		s1 = _mm256_fmadd_ps(d, d, s1);
	}
	return sum_lanes8(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

static AVX2 float
dot_avx2(const float *a, const float *b, int n)
{
	__m256		s0 = _mm256_setzero_ps();
	__m256		s1 = s0;
	__m256		s2 = s0;
	__m256		s3 = s0;
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
		s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
		s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
		s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
	}
	for (; i + 8 <= n; i += 8)
		s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
	if (i < n)
	{
		__m256i		mask = first_lanes8(n - i);

		s1 = _mm256_fmadd_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask), s1);
	}
	return sum_lanes8(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

static AVX2 float
norm_squared_avx2(const float *a, int n)
{
	return dot_avx2(a, a, n);
}

static AVX2 void
axpy_avx2(float *y, float c, const float *x, int n)
{
	__m256		cc = _mm256_set1_ps(c);
	int			i = 0;

	for (; i + 8 <= n; i += 8)
		_mm256_storeu_ps(y + i, _mm256_fmadd_ps(cc, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
	if (i < n)
	{
		__m256i		mask = first_lanes8(n - i);

		_mm256_maskstore_ps(y + i, mask, _mm256_fmadd_ps(cc, _mm256_maskload_ps(x + i, mask), _mm256_maskload_ps(y + i, mask)));
	}
}

static AVX2 void
scale_avx2(float *y, float c, int n)
{
	__m256		cc = _mm256_set1_ps(c);
	int			i = 0;

	for (; i + 8 <= n; i += 8)
		_mm256_storeu_ps(y + i, _mm256_mul_ps(cc, _mm256_loadu_ps(y + i)));
	if (i < n)
	{
		__m256i		mask = first_lanes8(n - i);

		_mm256_maskstore_ps(y + i, mask, _mm256_mul_ps(cc, _mm256_maskload_ps(y + i, mask)));
	}
}

/* ---------- AVX-512F: 16 lanes ---------- */

/* A mask of the first n lanes, 0 <= n < 16. */
static inline AVX512 __mmask16
first_lanes16(int n)
{
	return (__mmask16) ((1U << n) - 1);
}

static AVX512 float
l2_squared_avx512(const float *a, const float *b, int n)
{
	__m512		s0 = _mm512_setzero_ps();
	__m512		s1 = s0;
	__m512		s2 = s0;
	__m512		s3 = s0;
	int			i = 0;

	for (; i + 64 <= n; i += 64)
	{
		__m512		d0 = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
		__m512		d1 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
		__m512		d2 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32));
		__m512		d3 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48));

		s0 = _mm512_fmadd_ps(d0, d0, s0);
		s1 = _mm512_fmadd_ps(d1, d1, s1);
		s2 = _mm512_fmadd_ps(d2, d2, s2);
		s3 = _mm512_fmadd_ps(d3, d3, s3);
	}
	for (; i + 16 <= n; i += 16)
	{
		__m512		d = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));

		s0 = _mm512_fmadd_ps(d, d, s0);
	}
	if (i < n)
	{
		__mmask16	mask = first_lanes16(n - i);
		__m512		d = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i));

		s1 = _mm512_fmadd_ps(d, d, s1);
	}
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

static AVX512 float
dot_avx512(const float *a, const float *b, int n)
{
	__m512		s0 = _mm512_setzero_ps();
	__m512		s1 = s0;
	__m512		s2 = s0;
	__m512		s3 = s0;
	int			i = 0;

	for (; i + 64 <= n; i += 64)
	{
		s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
		s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
		s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
		s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
	}
	for (; i + 16 <= n; i += 16)
		s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
	if (i < n)
	{
		__mmask16	mask = first_lanes16(n - i);

		s1 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i), s1);
	}
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

static AVX512 float
norm_squared_avx512(const float *a, int n)
{
	return dot_avx512(a, a, n);
}

static AVX512 void
axpy_avx512(float *y, float c, const float *x, int n)
{
	__m512		cc = _mm512_set1_ps(c);
	int			i = 0;

	for (; i + 16 <= n; i += 16)
		_mm512_storeu_ps(y + i, _mm512_fmadd_ps(cc, _mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i)));
	if (i < n)
	{
		__mmask16	mask = first_lanes16(n - i);

		_mm512_mask_storeu_ps(y + i, mask, _mm512_fmadd_ps(cc, _mm512_maskz_loadu_ps(mask, x + i), _mm512_maskz_loadu_ps(mask, y + i)));
	}
}

static AVX512 void
scale_avx512(float *y, float c, int n)
{
	__m512		cc = _mm512_set1_ps(c);
	int			i = 0;

	for (; i + 16 <= n; i += 16)
		_mm512_storeu_ps(y + i, _mm512_mul_ps(cc, _mm512_loadu_ps(y + i)));
	if (i < n)
	{
		__mmask16	mask = first_lanes16(n - i);

		_mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(cc, _mm512_maskz_loadu_ps(mask, y + i)));
	}
}

const MrVecmath mr_vecmath_avx2 = {
	.name = "avx2",
	.l2_squared = l2_squared_avx2,
	.dot = dot_avx2,
	.norm_squared = norm_squared_avx2,
	.axpy = axpy_avx2,
	.scale = scale_avx2,
};

const MrVecmath mr_vecmath_avx512 = {
	.name = "avx512",
	.l2_squared = l2_squared_avx512,
	.dot = dot_avx512,
	.norm_squared = norm_squared_avx512,
	.axpy = axpy_avx512,
	.scale = scale_avx512,
};

#endif							/* __x86_64__ */
