/*
 * panelmath.c
 *		Dot products of rows with panels of centres: the variants and the choice.
 */
#include <string.h>

#include "math/panelmath.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define MR_PANEL_X86
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define MR_PANEL_NEON
#include <arm_neon.h>
#endif

/* ---- how centres lie ---- */

/* The first coordinate of centre i. */
static size_t
place(int dim, int i)
{
	return (size_t) (i / MR_PANEL) * mr_panel_bytes(dim) + (size_t) (i % MR_PANEL) * 2;
}

/* The coordinate behind an odd dim must be 0 already. */
void
mr_panel_put(int8_t *panels, int dim, int i, const int8_t *code)
{
	int8_t	   *at = panels + place(dim, i);

	for (int j = 0; j < dim; j++)
		at[(size_t) (j / 2) * MR_PANEL * 2 + j % 2] = code[j];
}

void
mr_panel_get(const int8_t *panels, int dim, int i, int8_t *code)
{
	const int8_t *at = panels + place(dim, i);

	for (int j = 0; j < dim; j++)
		code[j] = at[(size_t) (j / 2) * MR_PANEL * 2 + j % 2];
}

/* ---- portable ---- */

/* The contract is in panelmath.h; all variants keep to it. */
static void
dots_portable(const int16_t *const rows[MR_PANEL_ROWS], const int8_t *panels, int pairs, int n_panels,
			  int32_t *out, int stride)
{
	for (int r = 0; r < MR_PANEL_ROWS; r++)
		for (int p = 0; p < n_panels; p++)
		{
			const int8_t *panel = panels + (size_t) p * pairs * MR_PANEL * 2;
			int32_t		sum[MR_PANEL] = {0};

			for (int j = 0; j < pairs; j++, panel += MR_PANEL * 2)
				for (int i = 0; i < MR_PANEL; i++)
					sum[i] += rows[r][2 * j] * panel[2 * i] + rows[r][2 * j + 1] * panel[2 * i + 1];
			memcpy(out + (size_t) r * stride + p * MR_PANEL, sum, sizeof(sum));
		}
}

static void
values_portable(const int32_t *dots, const float *scale, const float *norm, float weight, int n, float *out)
{
	for (int i = 0; i < n; i++)
	{
		float		product = weight * scale[i] * (float) dots[i];

		out[i] = norm[i] - product;
	}
}

static int
least_portable(const float *values, int n)
{
	int			place = 0;

	for (int i = 1; i < n; i++)
		if (values[i] <= values[place])
			place = i;
	return place;
}

static void
add_portable(float *sum, const int8_t *code, float scale, int dim)
{
	for (int i = 0; i < dim; i++)
		sum[i] += scale * code[i];
}

static const MrPanelMath portable = {"portable", dots_portable, values_portable, least_portable, add_portable};

/* ---- x86 ---- */

#ifdef MR_PANEL_X86

/* Two coordinates of a row as one lane. */
static inline __attribute__((always_inline)) int32_t
pair_of(const int16_t *row, int j)
{
	int32_t		pair;

	memcpy(&pair, row + 2 * j, sizeof(pair));
	return pair;
}

/* Four centres at a time: more accumulators do not fit sixteen registers. */
static void
dots_sse2(const int16_t *const rows[MR_PANEL_ROWS], const int8_t *panels, int pairs, int n_panels,
		  int32_t *out, int stride)
{
	for (int quarter = 0; quarter < n_panels * 4; quarter++)
	{
		const int8_t *at = panels + (size_t) (quarter / 4) * pairs * MR_PANEL * 2 + quarter % 4 * 8;
		__m128i		sum[MR_PANEL_ROWS] = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};

		for (int j = 0; j < pairs; j++, at += MR_PANEL * 2)
		{
			__m128i		bytes = _mm_loadl_epi64((const __m128i *) at);
			__m128i		c = _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);

#pragma GCC unroll 4
			for (int r = 0; r < MR_PANEL_ROWS; r++)
				sum[r] = _mm_add_epi32(sum[r], _mm_madd_epi16(c, _mm_set1_epi32(pair_of(rows[r], j))));
		}
		for (int r = 0; r < MR_PANEL_ROWS; r++)
			_mm_storeu_si128((__m128i *) (out + (size_t) r * stride + quarter * 4), sum[r]);
	}
}

__attribute__((target("avx2"))) static void
dots_avx2(const int16_t *const rows[MR_PANEL_ROWS], const int8_t *panels, int pairs, int n_panels,
		  int32_t *out, int stride)
{
	for (int p = 0; p < n_panels; p++)
	{
		const int8_t *at = panels + (size_t) p * pairs * MR_PANEL * 2;
		__m256i		low[MR_PANEL_ROWS];
		__m256i		high[MR_PANEL_ROWS];

		for (int r = 0; r < MR_PANEL_ROWS; r++)
			low[r] = high[r] = _mm256_setzero_si256();
		for (int j = 0; j < pairs; j++, at += MR_PANEL * 2)
		{
			__m256i		c0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) at));
			__m256i		c1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) (at + 16)));

#pragma GCC unroll 4
			for (int r = 0; r < MR_PANEL_ROWS; r++)
			{
				__m256i		q = _mm256_set1_epi32(pair_of(rows[r], j));

				low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(c0, q));
				high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(c1, q));
			}
		}
		for (int r = 0; r < MR_PANEL_ROWS; r++)
		{
			int32_t    *to = out + (size_t) r * stride + p * MR_PANEL;

			_mm256_storeu_si256((__m256i *) to, low[r]);
			_mm256_storeu_si256((__m256i *) (to + 8), high[r]);
		}
	}
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void
dots_avx512(const int16_t *const rows[MR_PANEL_ROWS], const int8_t *panels, int pairs, int n_panels,
			int32_t *out, int stride)
{
	for (int p = 0; p < n_panels; p++)
	{
		const int8_t *at = panels + (size_t) p * pairs * MR_PANEL * 2;
		__m512i		sum[MR_PANEL_ROWS];

		for (int r = 0; r < MR_PANEL_ROWS; r++)
			sum[r] = _mm512_setzero_si512();
		for (int j = 0; j < pairs; j++, at += MR_PANEL * 2)
		{
			__m512i		c = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) at));

#pragma GCC unroll 4
			for (int r = 0; r < MR_PANEL_ROWS; r++)
				sum[r] = _mm512_dpwssd_epi32(sum[r], c, _mm512_set1_epi32(pair_of(rows[r], j)));
		}
		for (int r = 0; r < MR_PANEL_ROWS; r++)
			_mm512_storeu_si512((void *) (out + (size_t) r * stride + p * MR_PANEL), sum[r]);
	}
}

__attribute__((target("avx2"))) static void
values_avx2(const int32_t *dots, const float *scale, const float *norm, float weight, int n, float *out)
{
	const __m256 factor = _mm256_set1_ps(weight);

	for (int i = 0; i < n; i += 8)
	{
		__m256		dot = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *) (dots + i)));
		__m256		product = _mm256_mul_ps(_mm256_mul_ps(factor, _mm256_loadu_ps(scale + i)), dot);

		_mm256_storeu_ps(out + i, _mm256_sub_ps(_mm256_loadu_ps(norm + i), product));
	}
}

/* The smallest value first, then the last place that has it. */
__attribute__((target("avx2"))) static int
least_avx2(const float *values, int n)
{
	__m256		min8 = _mm256_loadu_ps(values);
	__m128		min4;
	__m256		all;

	for (int i = 8; i < n; i += 8)
		min8 = _mm256_min_ps(min8, _mm256_loadu_ps(values + i));
	min4 = _mm_min_ps(_mm256_castps256_ps128(min8), _mm256_extractf128_ps(min8, 1));
	min4 = _mm_min_ps(min4, _mm_movehl_ps(min4, min4));
	min4 = _mm_min_ps(min4, _mm_shuffle_ps(min4, min4, 1));
	all = _mm256_set1_ps(_mm_cvtss_f32(min4));
	for (int i = n - 8; i > 0; i -= 8)
	{
		int			mask = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values + i), all, _CMP_EQ_OQ));

		if (mask != 0)
			return i + 31 - __builtin_clz(mask);
	}
	return 31 - __builtin_clz(_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values), all, _CMP_EQ_OQ)) | 1);
}

__attribute__((target("avx2"))) static void
add_avx2(float *sum, const int8_t *code, float scale, int dim)
{
	const __m256 factor = _mm256_set1_ps(scale);
	int			i = 0;

	for (; i + 8 <= dim; i += 8)
	{
		__m256		x = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *) (code + i))));

		/* not fused, so that sums are those of the portable code */
		_mm256_storeu_ps(sum + i, _mm256_add_ps(_mm256_loadu_ps(sum + i), _mm256_mul_ps(factor, x)));
	}
	for (; i < dim; i++)
		sum[i] += scale * code[i];
}

static const MrPanelMath sse2 = {"sse2", dots_sse2, values_portable, least_portable, add_portable};
static const MrPanelMath avx2 = {"avx2", dots_avx2, values_avx2, least_avx2, add_avx2};
static const MrPanelMath avx512 = {"avx512vnni", dots_avx512, values_avx2, least_avx2, add_avx2};
#endif

/* ---- ARM ---- */

#ifdef MR_PANEL_NEON

/* A pair of products of two codes fits an int16: 2 * 127 * 127 < 32768. */
static void
dots_neon(const int16_t *const rows[MR_PANEL_ROWS], const int8_t *panels, int pairs, int n_panels,
		  int32_t *out, int stride)
{
	for (int half = 0; half < n_panels * 2; half++)
	{
		const int8_t *at = panels + (size_t) (half / 2) * pairs * MR_PANEL * 2 + half % 2 * 16;
		int32x4_t	low[MR_PANEL_ROWS];
		int32x4_t	high[MR_PANEL_ROWS];

		for (int r = 0; r < MR_PANEL_ROWS; r++)
			low[r] = high[r] = vdupq_n_s32(0);
		for (int j = 0; j < pairs; j++, at += MR_PANEL * 2)
		{
			int16x8_t	c0 = vmovl_s8(vld1_s8(at));
			int16x8_t	c1 = vmovl_s8(vld1_s8(at + 8));

#pragma GCC unroll 4
			for (int r = 0; r < MR_PANEL_ROWS; r++)
			{
				int32_t		pair;
				int16x8_t	q;

				memcpy(&pair, rows[r] + 2 * j, sizeof(pair));
				q = vreinterpretq_s16_s32(vdupq_n_s32(pair));
				low[r] = vpadalq_s16(low[r], vmulq_s16(c0, q));
				high[r] = vpadalq_s16(high[r], vmulq_s16(c1, q));
			}
		}
		for (int r = 0; r < MR_PANEL_ROWS; r++)
		{
			vst1q_s32(out + (size_t) r * stride + half * 8, low[r]);
			vst1q_s32(out + (size_t) r * stride + half * 8 + 4, high[r]);
		}
	}
}

static const MrPanelMath neon = {"neon", dots_neon, values_portable, least_portable, add_portable};
#endif

/* ---- choice ---- */

/* For tests; everything else calls mr_panelmath(). */
const MrPanelMath *
mr_panelmath_variant(int number)
{
	const MrPanelMath *variants[5] = {&portable};
	int			n = 1;

#if defined(MR_PANEL_X86)
	variants[n++] = &sse2;
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2"))
	{
		variants[n++] = &avx2;
		if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
			__builtin_cpu_supports("avx512vnni"))
			variants[n++] = &avx512;
	}
#elif defined(MR_PANEL_NEON)
	variants[n++] = &neon;
#endif
	return number >= 0 && number < n ? variants[number] : NULL;
}

/* The last variant that runs here: the fastest. */
const MrPanelMath *
mr_panelmath(void)
{
	static const MrPanelMath *chosen = NULL;

	if (chosen == NULL)
		for (int i = 0; mr_panelmath_variant(i) != NULL; i++)
			chosen = mr_panelmath_variant(i);
	return chosen;
}
