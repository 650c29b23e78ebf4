/*
 * rowmath_test.c
 *		Every variant of the trainer's row kernels against plain double
 *		precision, within the bounds that rowmath.h states.
 */
#include <math.h>
#include <string.h>

#include "math/rowmath.h"
#include "unit.h"
#include "util/rng.h"

#define LONGEST 304

static MrRng rng;

static void
fill(float *x, int n, double scale)
{
	for (int i = 0; i < n; i++)
		x[i] = (float) (scale * mr_rng_normal(&rng));
}

/* dot, squared_distance, axpy, scale, gather_sum on padded rows, at odd addresses. */
static void
test_products(const MrRowMath *math)
{
	float		block_a[LONGEST + 1];
	float		block_b[LONGEST + 1];
	float	   *a = block_a + 1;
	float	   *b = block_b + 1;
	float		sum[LONGEST];
	int32_t		ids[3] = {1, 0, 1};

	for (int n = MR_ROW_PAD; n <= 288; n += MR_ROW_PAD)
	{
		double		dot = 0;
		double		square = 0;
		double		size = 0;
		bool		good = true;
		float		rows[2 * LONGEST];

		fill(a, n, 1);
		fill(b, n, 1);
		for (int i = 0; i < n; i++)
		{
			dot += (double) a[i] * b[i];
			size += fabs((double) a[i] * b[i]);
			square += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
		}
		unit_case(fabs(math->dot(a, b, n) - dot) <= 1e-6 * size, "dot of %d", n);
		unit_case(fabs(math->squared_distance(a, b, n) - square) <= 2e-6 * square, "distance of %d", n);
		memcpy(rows, a, n * sizeof(float));
		memcpy(rows + n, b, n * sizeof(float));
		math->squared_distances(sum, a, rows, n, ids, 3);
		unit_case(sum[1] == 0 && sum[0] == sum[2] && fabs(sum[0] - square) <= 2e-6 * square, "distances of %d", n);
		math->gather_sum(sum, rows, n, ids, 3);
		for (int i = 0; i < n; i++)
			good = good && fabs(sum[i] - (a[i] + 2.0 * b[i])) < 1e-5;
		math->gather_sum(sum, rows, n, ids, 0);
		for (int i = 0; i < n; i++)
			good = good && sum[i] == 0;
		memcpy(sum, a, n * sizeof(float));
		math->axpy(sum, -0.5f, b, n);
		for (int i = 0; i < n; i++)
			good = good && fabs(sum[i] - (a[i] - 0.5 * b[i])) < 1e-6;
		math->scale(sum, 3, sum, n);
		for (int i = 0; i < n; i++)
			good = good && fabs(sum[i] - 3 * (a[i] - 0.5 * b[i])) < 5e-6;
		unit_case(good, "sums of %d", n);
	}
	unit_cases(math->name);
}

static void
test_exp(const MrRowMath *math)
{
	double		worst = 0;
	float		x[LONGEST] = {0};

	for (int n = 1; n <= 300; n++)
	{
		float		values[LONGEST] = {0};
		double		sum = 0;
		double		got;

		for (int i = 0; i < n; i++)
			values[i] = x[i] = (float) (mr_rng_uniform(&rng) * 167 - 87);
		x[n] = 12345;
		got = math->exp_sum(x, 0, n);
		for (int i = 0; i < n; i++)
		{
			double		want = exp((double) values[i]);

			sum += x[i];
			worst = fmax(worst, fabs(x[i] - want) / want);
		}
		unit_case(fabs(got - sum) <= 1e-5 * sum && x[n] == 12345, "sum of %d", n);
		memcpy(x, values, sizeof(x));
		math->exp_sum(x, 80, n);
		for (int i = 0; i < n; i++)
			unit_case(values[i] - 80 < -87.0001 ? x[i] == 0
					  : fabs(x[i] - exp((double) (values[i] - 80))) <= 3e-7 * exp((double) (values[i] - 80)),
					  "shifted %g", values[i]);
	}
	unit_cases("exp with shift, every length");
	ok(worst < 3e-7, "%s: exp within 3e-7 (worst %.3g)", math->name, worst);
	x[0] = -INFINITY;
	x[1] = -1000;
	x[2] = 0;
	x[3] = 1000;
	math->exp_sum(x, 0, 4);
	ok(x[0] == 0 && x[1] == 0 && x[2] == 1, "%s: exp of -infinity, -1000, 0", math->name);
	ok(isfinite(x[3]) && x[3] > 1e38, "%s: exp does not overflow", math->name);
}

static void
test_max(const MrRowMath *math)
{
	float		x[LONGEST];

	for (int n = 1; n <= 300; n++)
	{
		int			at = (int) mr_rng_below(&rng, n);

		fill(x, n, 1);
		x[n] = 1000;
		x[at] = 50;
		unit_case(math->max(x, n) == 50, "largest of %d at %d", n, at);
		for (int i = 0; i < n; i++)
			x[i] = -INFINITY;
		unit_case(math->max(x, n) == -INFINITY, "all -infinity, %d", n);
	}
	unit_cases("max, every length");
}

/* Weights (1 - s^2 + 1e-8)^e relative to the largest. */
static void
test_inverse_density(const MrRowMath *math)
{
	float		s[LONGEST];
	float		w[LONGEST];

	for (int n = 1; n <= 300; n++)
	{
		double		e = n % 2 ? -62.5 : -3;
		double		sum = 0;
		double		got;

		for (int i = 0; i < n; i++)
			s[i] = (float) (2 * mr_rng_uniform(&rng) - 1);
		s[0] = 1.0000001f;
		got = math->inverse_density(w, s, (float) e, (float) (e * log(1e-8)), n);
		for (int i = 0; i < n; i++)
		{
			double		inside = fmax(0, (1 - (double) s[i]) * (1 + (double) s[i])) + 1e-8;
			double		want = s[i] > 0 ? exp(e * (log(inside) - log(1e-8))) : 0;

			unit_case(fabs(w[i] - want) <= 1e-3 * want + 1e-37, "s = %.9g: %g, want %g", s[i], w[i], want);
			sum += w[i];
		}
		unit_case(fabs(got - sum) <= 1e-5 * sum + 1e-37, "sum of %d", n);
	}
	unit_cases("stage-2 weights, every length");
}

static void
test_steps(const MrRowMath *math)
{
	float		x[32];
	float		m1[32];
	float		m2[32];
	float		g[32];
	double		want[32];
	MrStepRates rates = {0.1f, 0.99f, 0.9f, 0.999f, 1e-8f};
	bool		good = true;

	fill(x, 32, 1);
	fill(g, 32, 1);
	fill(m1, 32, 1);
	for (int i = 0; i < 32; i++)
	{
		double		first = 0.9 * m1[i] + 0.1 * g[i];
		double		second;

		m2[i] = i == 5 ? 0 : x[i] * x[i];
		if (i == 5)
			g[i] = m1[i] = first = 0;
		second = 0.999 * m2[i] + 0.001 * g[i] * g[i];
		want[i] = 0.99 * x[i] - 0.1 * first / (sqrt(second) + 1e-8);
	}
	math->adam(x, m1, m2, g, 32, &rates);
	for (int i = 0; i < 32; i++)
		good = good && fabs(x[i] - want[i]) < 2e-5 * (1 + fabs(want[i]));
	ok(good, "%s: adam", math->name);
	good = true;
	for (int i = 0; i < 32; i++)
	{
		m2[i] = i == 5 ? 0 : 0.1f;
		want[i] = 0.99 * x[i] - 0.1 * g[i] / (sqrt(m2[i] + (double) g[i] * g[i]) + 1e-8);
	}
	math->adagrad(x, m2, g, 32, &rates);
	for (int i = 0; i < 32; i++)
		good = good && fabs(x[i] - want[i]) < 1e-6 * (1 + fabs(want[i]));
	ok(good, "%s: adagrad", math->name);
}

int
main(void)
{
	const MrRowMath *math;

	mr_rng_seed(&rng, 11);
	for (int i = 0; (math = mr_rowmath_variant(i)) != NULL; i++)
	{
		test_products(math);
		test_exp(math);
		test_max(math);
		test_inverse_density(math);
		test_steps(math);
	}
	ok(mr_rowmath() != NULL && mr_rowmath() == mr_rowmath(), "chosen: %s", mr_rowmath()->name);
	return unit_done();
}
