/*
 * rowmath.c
 *		Arithmetic on rows of floats: the variants and the choice among them.
 *
 * The kernels are written once on the compilers' vector types
 * (rowmath_kernels.h) and compiled here for each instruction set by function
 * attributes, so that the build needs no -march and the object runs anywhere.
 * Variant 0 is the reference: it uses what every processor of the architecture
 * has (SSE2, NEON).
 */
#include <math.h>
#include <string.h>

#include "math/rowmath.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define MR_ROWMATH_X86
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>

/* One bit of each lane, which is all ones or all zeroes. */
static inline __attribute__((always_inline)) uint32_t
mask_of_4(uint32x4_t x)
{
	const uint32x4_t bits = {1, 2, 4, 8};

	return vaddvq_u32(vandq_u32(x, bits));
}
#endif

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)

#ifdef MR_ROWMATH_X86
/* Sums of lanes, halves first. */
static inline __attribute__((always_inline)) float
sum_of_4(__m128 x)
{
	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}

static inline __attribute__((always_inline, target("avx2,fma"))) float
sum_of_8(__m256 x)
{
	return sum_of_4(_mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
}

static inline __attribute__((always_inline, target("avx512f,avx512dq,fma"))) float
sum_of_16(__m512 x)
{
	__m256		half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));

	return sum_of_4(_mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
#endif

/* The baseline, four floats wide. */
#define KERNEL(name) PASTE(name, _base)
#define KERNEL_TARGET
#define KERNEL_WIDTH 4
#if defined(MR_ROWMATH_X86)
#define KERNEL_LABEL "sse2"
#define KERNEL_SQRT(x) ((F_base) _mm_sqrt_ps((__m128) (x)))
#define KERNEL_SUM(x) sum_of_4((__m128) (x))
#define KERNEL_MASK(x) ((uint32_t) _mm_movemask_ps((__m128) (x)))
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define KERNEL_LABEL "neon"
#define KERNEL_SQRT(x) ((F_base) vsqrtq_f32((float32x4_t) (x)))
#define KERNEL_SUM(x) (((x)[0] + (x)[2]) + ((x)[1] + (x)[3]))
#define KERNEL_MASK(x) mask_of_4((uint32x4_t) (x))
#else
#define KERNEL_LABEL "generic"
#define KERNEL_SQRT(x) ((F_base) {sqrtf((x)[0]), sqrtf((x)[1]), sqrtf((x)[2]), sqrtf((x)[3])})
#define KERNEL_SUM(x) (((x)[0] + (x)[2]) + ((x)[1] + (x)[3]))
#define KERNEL_MASK(x) ((uint32_t) (((x)[0] & 1) | ((x)[1] & 2) | ((x)[2] & 4) | ((x)[3] & 8)))
#endif
#include "math/rowmath_kernels.h"
#undef KERNEL
#undef KERNEL_TARGET
#undef KERNEL_WIDTH
#undef KERNEL_LABEL
#undef KERNEL_SQRT
#undef KERNEL_SUM
#undef KERNEL_MASK

#ifdef MR_ROWMATH_X86
#define KERNEL(name) PASTE(name, _avx2)
#define KERNEL_TARGET __attribute__((target("avx2,fma")))
#define KERNEL_WIDTH 8
#define KERNEL_LABEL "avx2"
#define KERNEL_SQRT(x) ((F_avx2) _mm256_sqrt_ps((__m256) (x)))
#define KERNEL_SUM(x) sum_of_8((__m256) (x))
#define KERNEL_MASK(x) ((uint32_t) _mm256_movemask_ps((__m256) (x)))
#include "math/rowmath_kernels.h"
#undef KERNEL
#undef KERNEL_TARGET
#undef KERNEL_WIDTH
#undef KERNEL_LABEL
#undef KERNEL_SQRT
#undef KERNEL_SUM
#undef KERNEL_MASK

#define KERNEL(name) PASTE(name, _avx512)
#define KERNEL_TARGET __attribute__((target("avx512f,avx512dq,fma")))
#define KERNEL_WIDTH 16
#define KERNEL_LABEL "avx512"
#define KERNEL_SQRT(x) ((F_avx512) _mm512_sqrt_ps((__m512) (x)))
#define KERNEL_SUM(x) sum_of_16((__m512) (x))
#define KERNEL_MASK(x) ((uint32_t) _mm512_movepi32_mask((__m512i) (x)))
#include "math/rowmath_kernels.h"
#undef KERNEL
#undef KERNEL_TARGET
#undef KERNEL_WIDTH
#undef KERNEL_LABEL
#undef KERNEL_SQRT
#undef KERNEL_SUM
#undef KERNEL_MASK
#endif

/*
 * The variants this processor can run, 0 = the baseline, faster ones behind it;
 * NULL beyond the last.  For tests; everything else calls mr_rowmath().
 */
const MrRowMath *
mr_rowmath_variant(int number)
{
	if (number == 0)
		return &table_base;
#ifdef MR_ROWMATH_X86
	__builtin_cpu_init();
	if (number == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &table_avx2;
	if (number == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("fma"))
		return &table_avx512;
#endif
	return NULL;
}

/* The fastest variant of this processor, found at the first call. */
const MrRowMath *
mr_rowmath(void)
{
	static const MrRowMath *chosen;

	if (chosen == NULL)
	{
		int			number = 0;

		while (mr_rowmath_variant(number + 1) != NULL)
			number++;
		chosen = mr_rowmath_variant(number);
	}
	return chosen;
}
