/*
 * codemath_kernels.h
 *		The functions of an MrCodeMath, written once for all instruction sets.
 *
 * Included by codemath_x86.c several times and by codemath_neon.c, each time with
 *		KERNEL(name)		the name of a function or type in this variant
 *		KERNEL_TARGET		its target attribute
 *		KERNEL_LABEL		the variant's name
 *		KERNEL_STEP			codes per step, a divisor of MR_CODE_PAD
 *		KERNEL_SUMS			type of a register of partial sums
 *		KERNEL_ZERO()		such a register of zeros
 *		KERNEL_Q			type of a register of KERNEL_STEP entries of q
 *		KERNEL_LOAD_Q(p)	load one
 *		KERNEL_CODES(p)		load KERNEL_STEP codes and widen them to the same type
 *		KERNEL_PART(p, k)	the same of only k codes, 0 < k < KERNEL_STEP, zeros behind
 *		KERNEL_ADD(s, q, c)	s + products of q and c
 *		KERNEL_STORE(out, s0, s1, s2, s3)	the sums of four registers to out[0 .. 3]
 *		KERNEL_WIDTH		floats per register
 *		KERNEL_SQRT(x)		square root of a register of floats
 * No include guard: that is the point.
 *
 * Four rows go through the loop together: they share the loads of q, their
 * additions do not wait for each other, and four sums are joined at little more
 * than the cost of one.
 */

typedef float KERNEL(F) __attribute__((vector_size(KERNEL_WIDTH * 4), aligned(4), may_alias));
typedef int32_t KERNEL(I) __attribute__((vector_size(KERNEL_WIDTH * 4), aligned(4), may_alias));

#define VF KERNEL(F)
#define VI KERNEL(I)
#define AT(p) (*(VF *) (p))
#define AT_CONST(p) (*(const VF *) (p))
#define INTS_AT(p) (*(const VI *) (p))
#define VINLINE static inline __attribute__((always_inline)) KERNEL_TARGET

/*
 * Sums of four rows.  A step may read beyond the end of a row: q is 0 there.
 * With `exact` the last step does not, for rows that nothing may follow.
 */
VINLINE void
KERNEL(four_rows) (const int16_t *q, const int8_t *const row[4], int dim, bool exact, int32_t *out)
{
	KERNEL_SUMS s0 = KERNEL_ZERO();
	KERNEL_SUMS s1 = s0;
	KERNEL_SUMS s2 = s0;
	KERNEL_SUMS s3 = s0;
	int			end = exact ? dim / KERNEL_STEP * KERNEL_STEP : dim;
	int			j = 0;

	for (; j < end; j += KERNEL_STEP)
	{
		KERNEL_Q	part = KERNEL_LOAD_Q(q + j);

		s0 = KERNEL_ADD(s0, part, KERNEL_CODES(row[0] + j));
		s1 = KERNEL_ADD(s1, part, KERNEL_CODES(row[1] + j));
		s2 = KERNEL_ADD(s2, part, KERNEL_CODES(row[2] + j));
		s3 = KERNEL_ADD(s3, part, KERNEL_CODES(row[3] + j));
	}
	if (j < dim)
	{
		KERNEL_Q	part = KERNEL_LOAD_Q(q + j);

		s0 = KERNEL_ADD(s0, part, KERNEL_PART(row[0] + j, dim - j));
		s1 = KERNEL_ADD(s1, part, KERNEL_PART(row[1] + j, dim - j));
		s2 = KERNEL_ADD(s2, part, KERNEL_PART(row[2] + j, dim - j));
		s3 = KERNEL_ADD(s3, part, KERNEL_PART(row[3] + j, dim - j));
	}
	KERNEL_STORE(out, s0, s1, s2, s3);
}

/*
 * All rows in fours.  At the end come those which have too few bytes behind
 * them, and a rest of less than four, which the last row fills up.
 */
KERNEL_TARGET static void
KERNEL(dots) (const int16_t *q, const int8_t *codes, int dim, int n, int32_t *out)
{
	int			over = (KERNEL_STEP - dim % KERNEL_STEP) % KERNEL_STEP;
	int			safe = n - (over + dim - 1) / dim;
	int			i = 0;

	for (; i + 4 <= safe; i += 4)
	{
		const int8_t *first = codes + (size_t) i * dim;
		const int8_t *const row[4] = {first, first + dim, first + 2 * dim, first + 3 * dim};

		KERNEL(four_rows) (q, row, dim, false, out + i);
	}
	for (; i < n; i += 4)
	{
		const int8_t *row[4];
		int32_t		sums[4];

		for (int k = 0; k < 4; k++)
			row[k] = codes + (size_t) (i + k < n ? i + k : n - 1) * dim;
		KERNEL(four_rows) (q, row, dim, true, sums);
		for (int k = 0; k < 4 && i + k < n; k++)
			out[i + k] = sums[k];
	}
}

/* x where it is above 0, else 0, also for NaN. */
VINLINE VF
KERNEL(not_negative) (VF x)
{
	return (VF) ((VI) x & (x > 0));
}

/* Twice the dot products as distances: dot * step2 * scale. */
VINLINE VF
KERNEL(twice) (const MrCodeTerms *terms, const int32_t *dots, const float *scale)
{
	return __builtin_convertvector(INTS_AT(dots), VF) * terms->step2 * AT_CONST(scale);
}

/*
 * Squared distances.  The last register takes what is left and, again, some rows
 * before; fewer rows than one register go one by one.
 */
KERNEL_TARGET static void
KERNEL(squared) (const MrCodeTerms *terms, const int32_t *dots, const float *scale, const float *norm,
				 int n, float *out)
{
	if (n < KERNEL_WIDTH)
	{
		for (int i = 0; i < n; i++)
			out[i] = mr_code_squared(terms, dots[i], scale[i], norm[i]);
		return;
	}
	for (int next = 0; next < n; next += KERNEL_WIDTH)
	{
		int			i = next < n - KERNEL_WIDTH ? next : n - KERNEL_WIDTH;
		VF			sum = AT_CONST(norm + i) + terms->query_norm;

		AT(out + i) = KERNEL(not_negative) (sum - KERNEL(twice) (terms, dots + i, scale + i));
	}
}

/* Lower bounds, in the same way. */
KERNEL_TARGET static void
KERNEL(bounds) (const MrCodeTerms *terms, const int32_t *dots, const float *scale, const float *norm,
				int n, float *out)
{
	if (n < KERNEL_WIDTH)
	{
		for (int i = 0; i < n; i++)
			out[i] = mr_code_bound(terms, dots[i], scale[i], norm[i]);
		return;
	}
	for (int next = 0; next < n; next += KERNEL_WIDTH)
	{
		int			i = next < n - KERNEL_WIDTH ? next : n - KERNEL_WIDTH;
		VF			sum = AT_CONST(norm + i) + terms->query_norm;
		VF			squared = (sum * MR_CODE_KEEP_SQUARED - FLT_MIN) - KERNEL(twice) (terms, dots + i, scale + i);
		VF			root = KERNEL_SQRT(KERNEL(not_negative) (squared)) * MR_CODE_KEEP_ROOT;
		VF			bound = root - (AT_CONST(scale + i) * terms->error_ratio + terms->error);

		AT(out + i) = (VF) ((VI) KERNEL(not_negative) (bound) & (sum < MR_CODE_NO_BOUND));
	}
}

static const MrCodeMath KERNEL(math) = {
	.name = KERNEL_LABEL,
	.dots = KERNEL(dots),
	.squared = KERNEL(squared),
	.bounds = KERNEL(bounds),
};

#undef VF
#undef VI
#undef AT
#undef AT_CONST
#undef INTS_AT
#undef VINLINE
#undef KERNEL
#undef KERNEL_TARGET
#undef KERNEL_LABEL
#undef KERNEL_STEP
#undef KERNEL_SUMS
#undef KERNEL_ZERO
#undef KERNEL_Q
#undef KERNEL_LOAD_Q
#undef KERNEL_CODES
#undef KERNEL_PART
#undef KERNEL_ADD
#undef KERNEL_STORE
#undef KERNEL_WIDTH
#undef KERNEL_SQRT
