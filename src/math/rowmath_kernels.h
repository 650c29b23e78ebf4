/*
 * rowmath_kernels.h
 *		The kernels of rowmath.h, written once on vectors of KERNEL_WIDTH floats.
 *
 * Included by rowmath.c several times, each time with
 *		KERNEL(name)		the name of a function in this variant
 *		KERNEL_TARGET		its target attribute
 *		KERNEL_WIDTH		floats per vector, a divisor of MR_ROW_PAD
 *		KERNEL_SQRT(x)		square root of a vector
 *		KERNEL_SUM(x)		sum of its lanes, in a fixed order
 *		KERNEL_MASK(x)		of a vector of true and false lanes, bit i for lane i
 *		KERNEL_LABEL		the variant's name
 * No include guard: that is the point.
 */

typedef float KERNEL(F) __attribute__((vector_size(KERNEL_WIDTH * 4), aligned(4), may_alias));
typedef int32_t KERNEL(I) __attribute__((vector_size(KERNEL_WIDTH * 4), aligned(4), may_alias));
typedef uint16_t KERNEL(H) __attribute__((vector_size(KERNEL_WIDTH * 2), aligned(2), may_alias));
typedef uint32_t KERNEL(U) __attribute__((vector_size(KERNEL_WIDTH * 4), aligned(4), may_alias));

#define VF KERNEL(F)
#define VI KERNEL(I)
#define VU KERNEL(U)
#define VH KERNEL(H)
#define W KERNEL_WIDTH
#define AT(p) (*(VF *) (p))
#define AT_CONST(p) (*(const VF *) (p))
#define VINLINE static inline __attribute__((always_inline)) KERNEL_TARGET

KERNEL_TARGET static float
KERNEL(dot) (const float *a, const float *b, size_t n)
{
	VF			sum = {0};

	for (size_t i = 0; i < n; i += W)
		sum += AT_CONST(a + i) * AT_CONST(b + i);
	return KERNEL_SUM(sum);
}

KERNEL_TARGET static float
KERNEL(squared_distance) (const float *a, const float *b, size_t n)
{
	VF			sum = {0};

	for (size_t i = 0; i < n; i += W)
	{
		VF			difference = AT_CONST(a + i) - AT_CONST(b + i);

		sum += difference * difference;
	}
	return KERNEL_SUM(sum);
}

/*
 * The rows lie anywhere, so what this costs is waiting for memory: the lines of
 * a row some places ahead are asked for while this one is worked on.
 */
KERNEL_TARGET static void
KERNEL(squared_distances) (float *out, const float *a, const float *base, size_t n,
						   const int32_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		const float *b = base + (size_t) ids[i] * n;
		VF			sum = {0};

		if (i + 4 < count)
			for (size_t k = 0; k < n; k += 16)
				__builtin_prefetch(base + (size_t) ids[i + 4] * n + k);
		for (size_t k = 0; k < n; k += W)
		{
			VF			difference = AT_CONST(a + k) - AT_CONST(b + k);

			sum += difference * difference;
		}
		out[i] = KERNEL_SUM(sum);
	}
}

KERNEL_TARGET static void
KERNEL(axpy) (float *y, float a, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i += W)
		AT(y + i) += a * AT_CONST(x + i);
}

KERNEL_TARGET static void
KERNEL(scale) (float *y, float a, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i += W)
		AT(y + i) = a * AT_CONST(x + i);
}

KERNEL_TARGET static void
KERNEL(hinge) (float *gu, float *gv, float *gk, const float *u, const float *v, const float *k,
			   float pull, float push, size_t n)
{
	for (size_t i = 0; i < n; i += W)
	{
		VF			user = AT_CONST(u + i);
		VF			near = pull * (user - AT_CONST(v + i));
		VF			far = push * (user - AT_CONST(k + i));

		AT(gu + i) += near - far;
		AT(gv + i) -= near;
		AT(gk + i) += far;
	}
}

/* Four vectors of columns at a time stay in registers while all rows go by. */
KERNEL_TARGET static void
KERNEL(gather_sum) (float *sum, const float *base, size_t n, const int32_t *ids, size_t count)
{
	size_t		column = 0;

	for (; column + 4 * W <= n; column += 4 * W)
	{
		VF			s0 = {0};
		VF			s1 = {0};
		VF			s2 = {0};
		VF			s3 = {0};

		for (size_t i = 0; i < count; i++)
		{
			const float *row = base + (size_t) ids[i] * n + column;

			s0 += AT_CONST(row);
			s1 += AT_CONST(row + W);
			s2 += AT_CONST(row + 2 * W);
			s3 += AT_CONST(row + 3 * W);
		}
		AT(sum + column) = s0;
		AT(sum + column + W) = s1;
		AT(sum + column + 2 * W) = s2;
		AT(sum + column + 3 * W) = s3;
	}
	for (; column < n; column += W)
	{
		VF			s = {0};

		for (size_t i = 0; i < count; i++)
			s += AT_CONST(base + (size_t) ids[i] * n + column);
		AT(sum + column) = s;
	}
}

/* As gather_sum; the rows lie anywhere, so those some places ahead are asked for. */
KERNEL_TARGET static void
KERNEL(gather_axpy) (float *y, const float *base, size_t n, const int32_t *ids, const float *factors, size_t count)
{
	size_t		column = 0;

	for (; column + 4 * W <= n; column += 4 * W)
	{
		VF			s0 = AT(y + column);
		VF			s1 = AT(y + column + W);
		VF			s2 = AT(y + column + 2 * W);
		VF			s3 = AT(y + column + 3 * W);

		for (size_t i = 0; i < count; i++)
		{
			const float *row = base + (size_t) ids[i] * n + column;
			float		factor = factors[i];

			if (i + 8 < count)
				for (size_t k = 0; k < 4 * W; k += 16)
					__builtin_prefetch(base + (size_t) ids[i + 8] * n + column + k);
			s0 += factor * AT_CONST(row);
			s1 += factor * AT_CONST(row + W);
			s2 += factor * AT_CONST(row + 2 * W);
			s3 += factor * AT_CONST(row + 3 * W);
		}
		AT(y + column) = s0;
		AT(y + column + W) = s1;
		AT(y + column + 2 * W) = s2;
		AT(y + column + 3 * W) = s3;
	}
	for (; column < n; column += W)
	{
		VF			s = AT(y + column);

		for (size_t i = 0; i < count; i++)
			s += factors[i] * AT_CONST(base + (size_t) ids[i] * n + column);
		AT(y + column) = s;
	}
}

/* The other way round: x stays in registers. */
KERNEL_TARGET static void
KERNEL(scatter_axpy) (float *base, size_t n, const int32_t *ids, const float *factors, size_t count, const float *x)
{
	size_t		column = 0;

	for (; column + 4 * W <= n; column += 4 * W)
	{
		VF			x0 = AT_CONST(x + column);
		VF			x1 = AT_CONST(x + column + W);
		VF			x2 = AT_CONST(x + column + 2 * W);
		VF			x3 = AT_CONST(x + column + 3 * W);

		for (size_t i = 0; i < count; i++)
		{
			float	   *row = base + (size_t) ids[i] * n + column;
			float		factor = factors[i];

			if (i + 4 < count)
				for (size_t k = 0; k < 4 * W; k += 16)
					__builtin_prefetch(base + (size_t) ids[i + 4] * n + column + k, 1);
			AT(row) += factor * x0;
			AT(row + W) += factor * x1;
			AT(row + 2 * W) += factor * x2;
			AT(row + 3 * W) += factor * x3;
		}
	}
	for (; column < n; column += W)
		for (size_t i = 0; i < count; i++)
			AT(base + (size_t) ids[i] * n + column) += factors[i] * AT_CONST(x + column);
}

KERNEL_TARGET static void
KERNEL(multiply) (float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i += W)
		AT(y + i) *= AT_CONST(x + i);
}

KERNEL_TARGET static void
KERNEL(drop) (float *x, float *slope, const uint16_t *random, int32_t threshold, float scale, size_t n)
{
	VF			scales = (VF) {0} +scale;

	for (size_t i = 0; i < n; i += W)
	{
		VI			kept = __builtin_convertvector(*(const VH *) (random + i), VI) >= threshold;
		VF			factor = (VF) ((VI) scales & kept);

		AT(x + i) *= factor;
		if (slope)
			AT(slope + i) *= factor;
	}
}

KERNEL_TARGET static void
KERNEL(adam) (float *x, float *m1, float *m2, const float *g, size_t n, const MrStepRates *r)
{
	float		beta1 = r->beta1;
	float		beta2 = r->beta2;
	float		keep = r->keep;
	float		rate = r->rate;
	float		epsilon = r->epsilon;

	for (size_t i = 0; i < n; i += W)
	{
		VF			gradient = AT_CONST(g + i);
		VF			first = beta1 * AT(m1 + i) + (1.0f - beta1) * gradient;
		VF			second = beta2 * AT(m2 + i) + (1.0f - beta2) * gradient * gradient;

		AT(m1 + i) = first;
		AT(m2 + i) = second;
		AT(x + i) = keep * AT(x + i) - rate * first / (KERNEL_SQRT(second) + epsilon);
	}
}

KERNEL_TARGET static void
KERNEL(adagrad) (float *x, float *m2, const float *g, size_t n, const MrStepRates *r)
{
	float		keep = r->keep;
	float		rate = r->rate;
	float		epsilon = r->epsilon;

	for (size_t i = 0; i < n; i += W)
	{
		VF			gradient = AT_CONST(g + i);
		VF			second = AT(m2 + i) + gradient * gradient;

		AT(m2 + i) = second;
		AT(x + i) = keep * AT(x + i) - rate * gradient / (KERNEL_SQRT(second) + epsilon);
	}
}

KERNEL_TARGET static float
KERNEL(max) (const float *x, size_t n)
{
	float		result = -INFINITY;
	size_t		i = 0;

	if (n >= W)
	{
		VF			top = AT_CONST(x);
		float		lane[W];

		for (i = W; i + W <= n; i += W)
		{
			VF			v = AT_CONST(x + i);
			VI			larger = v > top;

			top = (VF) (((VI) v & larger) | ((VI) top & ~larger));
		}
		memcpy(lane, &top, sizeof(lane));
		for (int k = 0; k < W; k++)
			result = lane[k] > result ? lane[k] : result;
	}
	for (; i < n; i++)
		result = x[i] > result ? x[i] : result;
	return result;
}

/*
 * exp(x) = 2^n exp(r), |r| <= ln(2)/2, exp(r) by a polynomial.  n comes out of
 * the low bits of x log2(e) + 1.5 * 2^23.  ln(2) is split in two so that
 * x - n ln(2) keeps its digits.
 */
VINLINE void
KERNEL(exp_vector) (VF *value)
{
	VF			x = *value;
	VI			kept = x > -87.0f;
	VI			small = x < 88.0f;
	VF			limit = (VF) {0} +88.0f;
	VF			shifted;
	VF			n;
	VF			r;
	VF			p;

	x = (VF) (((VI) x & small) | ((VI) limit & ~small));
	shifted = x * 1.44269504f + 12582912.0f;
	n = shifted - 12582912.0f;
	r = x - n * 0.693359375f;
	r = r + n * 2.12194440e-4f;
	p = 1.9875691500e-4f * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * (r * r) + r + 1.0f;
	/* unsigned, because the lanes that are not kept may wrap around */
	*value = (VF) (((VU) p + (((VU) shifted - 0x4b400000) << 23)) & (VU) kept);
}

KERNEL_TARGET static void
KERNEL(relu) (float *x, float *slope, size_t n)
{
	VF			one = (VF) {0} +1.0f;

	for (size_t i = 0; i < n; i += W)
	{
		VF			v = AT(x + i);
		VI			off = v <= 0.0f;

		AT(x + i) = (VF) ((VI) v & ~off);
		if (slope)
			AT(slope + i) = (VF) ((VI) one & ~off);
	}
}

/*
 * tanh: 1 - 2 / (1 + exp(2x)), near 0 an odd polynomial, which keeps the digits.
 * Beyond |x| = 20 the first is 1 already.
 */
KERNEL_TARGET static void
KERNEL(tanh) (float *x, float *slope, size_t n)
{
	for (size_t i = 0; i < n; i += W)
	{
		VF			v = AT(x + i);
		VF			z = v * v;
		VI			far = z >= 0.390625f;
		VF			e = 2.0f * v;
		VF			near = -5.70498872745e-3f * z + 2.06390887954e-2f;
		VF			result;

		KERNEL(exp_vector) (&e);
		e = 1.0f - 2.0f / (1.0f + e);
		near = near * z - 5.37397155531e-2f;
		near = near * z + 1.33314422036e-1f;
		near = near * z - 3.33332819422e-1f;
		near = near * z * v + v;
		result = (VF) (((VI) e & far) | ((VI) near & ~far));
		AT(x + i) = result;
		if (slope)
			AT(slope + i) = 1.0f - result * result;
	}
}

/*
 * GELU in its usual form by tanh, which is x s with the logistic function
 * s = 1 / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).  Beyond |x| = 9.5 s
 * is 0 or 1 to all digits; u of larger numbers would overflow.
 */
KERNEL_TARGET static void
KERNEL(gelu) (float *x, float *slope, size_t n)
{
	for (size_t i = 0; i < n; i += W)
	{
		VF			v = AT(x + i);
		VI			high = v > 9.5f;
		VI			low = v < -9.5f;
		VF			limit = (VF) {0} +9.5f;
		VF			c = (VF) (((VI) v & ~(high | low)) | ((VI) limit & high) | ((VI) -limit & low));
		VF			square = c * c;
		VF			e = c * (-1.5957691216f - 0.0713548163f * square);
		VF			turn = 1.5957691216f + 0.2140644488f * square;
		VF			s;

		KERNEL(exp_vector) (&e);
		s = 1.0f / (1.0f + e);
		AT(x + i) = v * s;
		/* e s is 1 - s with all its digits */
		if (slope)
			AT(slope + i) = s + c * turn * (e * s) * s;
	}
}

KERNEL_TARGET static float
KERNEL(exp_sum) (float *x, float shift, size_t n)
{
	VF			sum0 = {0};
	VF			sum1 = {0};
	size_t		i = 0;

	for (; i + 2 * W <= n; i += 2 * W)
	{
		VF			v0 = AT(x + i) - shift;
		VF			v1 = AT(x + i + W) - shift;

		KERNEL(exp_vector) (&v0);
		KERNEL(exp_vector) (&v1);
		AT(x + i) = v0;
		AT(x + i + W) = v1;
		sum0 += v0;
		sum1 += v1;
	}
	for (; i < n; i += W)
	{
		size_t		left = n - i < W ? n - i : W;
		float		lane[W];
		VF			v;

		for (size_t k = 0; k < W; k++)
			lane[k] = k < left ? x[i + k] - shift : -INFINITY;
		memcpy(&v, lane, sizeof(lane));
		KERNEL(exp_vector) (&v);
		memcpy(lane, &v, sizeof(lane));
		memcpy(x + i, lane, left * sizeof(float));
		sum0 += v;
	}
	sum0 += sum1;
	return KERNEL_SUM(sum0);
}

/* log(x) of normal positive numbers: exponent and a polynomial of the mantissa. */
VINLINE void
KERNEL(log_vector) (VF *value)
{
	VI			bits = (VI) *value;
	VI			exponent = ((bits >> 23) & 0xff) - 126;
	VF			m = (VF) ((bits & 0x007fffff) | 0x3f000000);	/* in [0.5, 1) */
	VI			low = m < 0.70710678f;
	VF			e;
	VF			z;
	VF			p;

	exponent += low;			/* a true lane is -1 */
	m = m - 1.0f + (VF) ((VI) m & low);
	e = __builtin_convertvector(exponent, VF);
	z = m * m;
	p = 7.0376836292e-2f * m - 1.1514610310e-1f;
	p = p * m + 1.1676998740e-1f;
	p = p * m - 1.2420140846e-1f;
	p = p * m + 1.4249322787e-1f;
	p = p * m - 1.6668057665e-1f;
	p = p * m + 2.0000714765e-1f;
	p = p * m - 2.4999993993e-1f;
	p = p * m + 3.3333331174e-1f;
	p = p * m * z - 2.12194440e-4f * e - 0.5f * z;
	*value = m + p + 0.693359375f * e;
}

/* The weights of one vector of cosines, in place. */
VINLINE void
KERNEL(density_vector) (VF *value, float exponent, float shift)
{
	VF			cosine = *value;
	VI			positive = cosine > 0.0f;
	VF			v = (1.0f - cosine) * (1.0f + cosine);

	/* rounding may leave a point a little outside the sphere */
	v = (VF) ((VI) v & (v > 0.0f)) + 1e-8f;
	KERNEL(log_vector) (&v);
	v = exponent * v - shift;
	KERNEL(exp_vector) (&v);
	*value = (VF) ((VI) v & positive);
}

KERNEL_TARGET static float
KERNEL(inverse_density) (float *w, const float *s, float exponent, float shift, size_t n)
{
	VF			sum = {0};
	float		lane[W] = {0};
	size_t		i = 0;

	for (; i + W <= n; i += W)
	{
		VF			v = AT_CONST(s + i);

		KERNEL(density_vector) (&v, exponent, shift);
		AT(w + i) = v;
		sum += v;
	}
	if (i < n)
	{
		VF			v;

		memcpy(lane, s + i, (n - i) * sizeof(float));
		memcpy(&v, lane, sizeof(lane));
		KERNEL(density_vector) (&v, exponent, shift);
		memcpy(lane, &v, sizeof(lane));
		memcpy(w + i, lane, (n - i) * sizeof(float));
		sum += v;
	}
	return KERNEL_SUM(sum);
}

/*
 * Four vectors at a time are tested together: where the bound is a good one, nearly
 * all fail.
 */
KERNEL_TARGET static size_t
KERNEL(above) (const float *x, const float *shift, float bound, size_t n, int32_t *ids)
{
	size_t		count = 0;
	size_t		i = 0;

	for (; i + 4 * W <= n; i += 4 * W)
	{
		VI			hit[4];
		VI			any = {0};

		for (int v = 0; v < 4; v++)
		{
			hit[v] = (VI) (AT_CONST(x + i + v * W) - AT_CONST(shift + i + v * W) >= bound);
			any |= hit[v];
		}
		if (__builtin_expect(KERNEL_MASK(any) == 0, 1))
			continue;
		for (int v = 0; v < 4; v++)
		{
			for (uint32_t mask = KERNEL_MASK(hit[v]); mask != 0; mask &= mask - 1)
				ids[count++] = (int32_t) (i + v * W) + __builtin_ctz(mask);
		}
	}
	for (; i < n; i++)
		if (x[i] - shift[i] >= bound)
			ids[count++] = (int32_t) i;
	return count;
}

static const MrRowMath KERNEL(table) = {
	KERNEL_LABEL,
	KERNEL(dot), KERNEL(squared_distance), KERNEL(squared_distances), KERNEL(axpy), KERNEL(scale),
	KERNEL(hinge), KERNEL(gather_sum), KERNEL(gather_axpy), KERNEL(scatter_axpy), KERNEL(multiply),
	KERNEL(relu), KERNEL(tanh), KERNEL(gelu), KERNEL(drop),
	KERNEL(adam), KERNEL(adagrad), KERNEL(max), KERNEL(exp_sum), KERNEL(inverse_density),
	KERNEL(above)
};

#undef VF
#undef VI
#undef VU
#undef VH
#undef W
#undef AT
#undef AT_CONST
#undef VINLINE
