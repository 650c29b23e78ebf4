/*
 * codemath_x86.c
 *		Dot products with int8 codes for SSE2, AVX2, AVX-512BW and AVX-512VNNI.
 *
 * Codes are widened to int16 and multiplied with q in pairs: pmaddwd adds the
 * two products of a pair in int32, vpdpwssd also adds the sum so far.  The loops
 * are in codemath_kernels.h.
 *
 * Instruction sets are named at each function, not for the build: the library
 * runs on any x86-64, and codemath.c asks the CPU.
 */
#include <stdbool.h>
#include <string.h>

#include "math/codemath.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define INLINE static inline __attribute__((always_inline))

/* ---------- SSE2: 8 codes ---------- */

/* There is no sign extension yet: double each byte and shift it down. */
INLINE __m128i
codes8(const int8_t *p)
{
	__m128i		c = _mm_loadl_epi64((const __m128i *) p);

	return _mm_srai_epi16(_mm_unpacklo_epi8(c, c), 8);
}

INLINE __m128i
part8(const int8_t *p, int k)
{
	int8_t		codes[8] = {0};

	memcpy(codes, p, k);
	return codes8(codes);
}

/*
 * Four registers of four partial sums to four sums: transpose and add.  What the
 * wider sets do in each of their 128-bit lanes.
 */
INLINE __m128i
join4(__m128i s0, __m128i s1, __m128i s2, __m128i s3)
{
	__m128i		s01 = _mm_add_epi32(_mm_unpacklo_epi32(s0, s1), _mm_unpackhi_epi32(s0, s1));
	__m128i		s23 = _mm_add_epi32(_mm_unpacklo_epi32(s2, s3), _mm_unpackhi_epi32(s2, s3));

	return _mm_add_epi32(_mm_unpacklo_epi64(s01, s23), _mm_unpackhi_epi64(s01, s23));
}

#define KERNEL(name) name##_sse2
#define KERNEL_TARGET
#define KERNEL_LABEL "sse2"
#define KERNEL_STEP 8
#define KERNEL_SUMS __m128i
#define KERNEL_ZERO() _mm_setzero_si128()
#define KERNEL_Q __m128i
#define KERNEL_LOAD_Q(p) _mm_loadu_si128((const __m128i *) (p))
#define KERNEL_CODES(p) codes8(p)
#define KERNEL_PART(p, k) part8(p, k)
#define KERNEL_ADD(s, q, c) _mm_add_epi32(s, _mm_madd_epi16(q, c))
#define KERNEL_STORE(out, s0, s1, s2, s3) _mm_storeu_si128((__m128i *) (out), join4(s0, s1, s2, s3))
#define KERNEL_WIDTH 4
#define KERNEL_SQRT(x) ((F_sse2) _mm_sqrt_ps((__m128) (x)))
#include "math/codemath_kernels.h"

/* ---------- AVX2: 16 codes ---------- */

INLINE AVX2 __m256i
codes16(const int8_t *p)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) p));
}

INLINE AVX2 __m256i
part16(const int8_t *p, int k)
{
	int8_t		codes[16] = {0};

	memcpy(codes, p, k);
	return codes16(codes);
}

INLINE AVX2 __m128i
join8(__m256i s0, __m256i s1, __m256i s2, __m256i s3)
{
	__m256i		s01 = _mm256_add_epi32(_mm256_unpacklo_epi32(s0, s1), _mm256_unpackhi_epi32(s0, s1));
	__m256i		s23 = _mm256_add_epi32(_mm256_unpacklo_epi32(s2, s3), _mm256_unpackhi_epi32(s2, s3));
	__m256i		s = _mm256_add_epi32(_mm256_unpacklo_epi64(s01, s23), _mm256_unpackhi_epi64(s01, s23));

	return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

#define KERNEL(name) name##_avx2
#define KERNEL_TARGET AVX2
#define KERNEL_LABEL "avx2"
#define KERNEL_STEP 16
#define KERNEL_SUMS __m256i
#define KERNEL_ZERO() _mm256_setzero_si256()
#define KERNEL_Q __m256i
#define KERNEL_LOAD_Q(p) _mm256_loadu_si256((const __m256i *) (p))
#define KERNEL_CODES(p) codes16(p)
#define KERNEL_PART(p, k) part16(p, k)
#define KERNEL_ADD(s, q, c) _mm256_add_epi32(s, _mm256_madd_epi16(q, c))
#define KERNEL_STORE(out, s0, s1, s2, s3) _mm_storeu_si128((__m128i *) (out), join8(s0, s1, s2, s3))
#define KERNEL_WIDTH 8
#define KERNEL_SQRT(x) ((F_avx2) _mm256_sqrt_ps((__m256) (x)))
#include "math/codemath_kernels.h"

/* ---------- AVX-512BW and VNNI: 32 codes ---------- */

INLINE AVX512 __m512i
codes32(const int8_t *p)
{
	return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) p));
}

/* Masked loads do not touch what is masked out. */
INLINE AVX512 __m512i
part32(const int8_t *p, int k)
{
	return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8((__mmask32) ((UINT32_C(1) << k) - 1), p));
}

INLINE AVX512 __m128i
join16(__m512i s0, __m512i s1, __m512i s2, __m512i s3)
{
	__m512i		s01 = _mm512_add_epi32(_mm512_unpacklo_epi32(s0, s1), _mm512_unpackhi_epi32(s0, s1));
	__m512i		s23 = _mm512_add_epi32(_mm512_unpacklo_epi32(s2, s3), _mm512_unpackhi_epi32(s2, s3));
	__m512i		s = _mm512_add_epi32(_mm512_unpacklo_epi64(s01, s23), _mm512_unpackhi_epi64(s01, s23));
	__m256i		half = _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));

	return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

#define KERNEL(name) name##_avx512
#define KERNEL_TARGET AVX512
#define KERNEL_LABEL "avx512bw"
#define KERNEL_STEP 32
#define KERNEL_SUMS __m512i
#define KERNEL_ZERO() _mm512_setzero_si512()
#define KERNEL_Q __m512i
#define KERNEL_LOAD_Q(p) _mm512_loadu_si512(p)
#define KERNEL_CODES(p) codes32(p)
#define KERNEL_PART(p, k) part32(p, k)
#define KERNEL_ADD(s, q, c) _mm512_add_epi32(s, _mm512_madd_epi16(q, c))
#define KERNEL_STORE(out, s0, s1, s2, s3) _mm_storeu_si128((__m128i *) (out), join16(s0, s1, s2, s3))
#define KERNEL_WIDTH 16
#define KERNEL_SQRT(x) ((F_avx512) _mm512_sqrt_ps((__m512) (x)))
#include "math/codemath_kernels.h"

#define KERNEL(name) name##_vnni
#define KERNEL_TARGET VNNI
#define KERNEL_LABEL "avx512vnni"
#define KERNEL_STEP 32
#define KERNEL_SUMS __m512i
#define KERNEL_ZERO() _mm512_setzero_si512()
#define KERNEL_Q __m512i
#define KERNEL_LOAD_Q(p) _mm512_loadu_si512(p)
#define KERNEL_CODES(p) codes32(p)
#define KERNEL_PART(p, k) part32(p, k)
#define KERNEL_ADD(s, q, c) _mm512_dpwssd_epi32(s, q, c)
#define KERNEL_STORE(out, s0, s1, s2, s3) _mm_storeu_si128((__m128i *) (out), join16(s0, s1, s2, s3))
#define KERNEL_WIDTH 16
#define KERNEL_SQRT(x) ((F_vnni) _mm512_sqrt_ps((__m512) (x)))
#include "math/codemath_kernels.h"

const MrCodeMath *const mr_codemath_sse2 = &math_sse2;
const MrCodeMath *const mr_codemath_avx2 = &math_avx2;
const MrCodeMath *const mr_codemath_avx512 = &math_avx512;
const MrCodeMath *const mr_codemath_vnni = &math_vnni;

#endif							/* __x86_64__ */
