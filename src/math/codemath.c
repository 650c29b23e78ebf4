/*
 * codemath.c
 *		Dot products with int8 codes in portable C, and the choice of the best
 *		implementation for this machine.
 */
#include <stddef.h>

#include "math/codemath.h"

/* The reference: one row after the other. */
static void
dots_portable(const int16_t *q, const int8_t *codes, int dim, int n, int32_t *out)
{
	for (int i = 0; i < n; i++)
	{
		int32_t		sum = 0;

		for (int j = 0; j < dim; j++)
			sum += (int32_t) q[j] * codes[j];
		out[i] = sum;
		codes += dim;
	}
}

static void
squared_portable(const MrCodeTerms *terms, const int32_t *dots, const float *scale, const float *norm,
				 int n, float *out)
{
	for (int i = 0; i < n; i++)
		out[i] = mr_code_squared(terms, dots[i], scale[i], norm[i]);
}

static void
bounds_portable(const MrCodeTerms *terms, const int32_t *dots, const float *scale, const float *norm,
				int n, float *out)
{
	for (int i = 0; i < n; i++)
		out[i] = mr_code_bound(terms, dots[i], scale[i], norm[i]);
}

static const MrCodeMath portable = {
	.name = "portable",
	.dots = dots_portable,
	.squared = squared_portable,
	.bounds = bounds_portable,
};

/*
 * The implementations that this machine can run, the reference first, the best
 * last.  __builtin_cpu_supports() says no where the CPU has the instructions but
 * the operating system does not save the wide registers.
 */
const MrCodeMath *
mr_codemath_variant(int number)
{
	const MrCodeMath *list[8];
	int			n = 0;

	list[n++] = &portable;
#if defined(__x86_64__)
	__builtin_cpu_init();
	list[n++] = mr_codemath_sse2;
	if (__builtin_cpu_supports("avx2"))
		list[n++] = mr_codemath_avx2;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
	{
		list[n++] = mr_codemath_avx512;
		if (__builtin_cpu_supports("avx512vnni"))
			list[n++] = mr_codemath_vnni;
	}
#endif
#if defined(__aarch64__)
	list[n++] = mr_codemath_neon;
#endif
	return number >= 0 && number < n ? list[number] : NULL;
}

/* The best of them; looked for once. */
const MrCodeMath *
mr_codemath(void)
{
	static const MrCodeMath *chosen = NULL;

	if (chosen == NULL)
	{
		const MrCodeMath *next = mr_codemath_variant(0);

		for (int i = 1; next != NULL; i++)
		{
			chosen = next;
			next = mr_codemath_variant(i);
		}
	}
	return chosen;
}
