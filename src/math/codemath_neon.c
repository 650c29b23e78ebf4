/*
 * codemath_neon.c
 *		Dot products with int8 codes for NEON, which every aarch64 CPU has.
 *		The loops are in codemath_kernels.h.
 */
#include <stdbool.h>
#include <string.h>

#include "math/codemath.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))

INLINE int16x8_t
codes8(const int8_t *p)
{
	return vmovl_s8(vld1_s8(p));
}

INLINE int16x8_t
part8(const int8_t *p, int k)
{
	int8_t		codes[8] = {0};

	memcpy(codes, p, k);
	return codes8(codes);
}

INLINE int32x4_t
add8(int32x4_t sums, int16x8_t q, int16x8_t codes)
{
	sums = vmlal_s16(sums, vget_low_s16(q), vget_low_s16(codes));
	return vmlal_high_s16(sums, q, codes);
}

/* Four registers of partial sums to four sums, by adding neighbours. */
INLINE int32x4_t
join4(int32x4_t s0, int32x4_t s1, int32x4_t s2, int32x4_t s3)
{
	return vpaddq_s32(vpaddq_s32(s0, s1), vpaddq_s32(s2, s3));
}

#define KERNEL(name) name##_neon
#define KERNEL_TARGET
#define KERNEL_LABEL "neon"
#define KERNEL_STEP 8
#define KERNEL_SUMS int32x4_t
#define KERNEL_ZERO() vdupq_n_s32(0)
#define KERNEL_Q int16x8_t
#define KERNEL_LOAD_Q(p) vld1q_s16(p)
#define KERNEL_CODES(p) codes8(p)
#define KERNEL_PART(p, k) part8(p, k)
#define KERNEL_ADD(s, q, c) add8(s, q, c)
#define KERNEL_STORE(out, s0, s1, s2, s3) vst1q_s32(out, join4(s0, s1, s2, s3))
#define KERNEL_WIDTH 4
#define KERNEL_SQRT(x) ((F_neon) vsqrtq_f32((float32x4_t) (x)))
#include "math/codemath_kernels.h"

const MrCodeMath *const mr_codemath_neon = &math_neon;

#endif							/* __aarch64__ */
