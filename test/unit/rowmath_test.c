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

/* gather_axpy, scatter_axpy, multiply: padded rows, at odd addresses, any number of them. */
static void
test_gathers(const MrRowMath *math)
{
	static float base[40 * LONGEST];
	float		block[LONGEST + 1];
	float	   *y = block + 1;
	float		was[LONGEST];
	float		factors[25];
	int32_t		ids[25];

	for (int n = MR_ROW_PAD; n <= 288; n += MR_ROW_PAD)
		for (int count = 0; count <= 25; count++)
		{
			bool		good = true;

			fill(base, 40 * n, 1);
			fill(was, n, 1);
			fill(factors, count, 1);
			memcpy(y, was, n * sizeof(float));
			y[n] = 12345;
			for (int i = 0; i < count; i++)
				ids[i] = (int32_t) mr_rng_below(&rng, 40);
			math->gather_axpy(y, base, n, ids, factors, count);
			for (int k = 0; k < n; k++)
			{
				double		want = was[k];

				for (int i = 0; i < count; i++)
					want += (double) factors[i] * base[ids[i] * n + k];
				good = good && fabs(y[k] - want) < 2e-5;
			}
			unit_case(good && y[n] == 12345, "%d rows of %d", count, n);
			{
				static float moved[40 * LONGEST];

				memcpy(moved, base, 40 * n * sizeof(float));
				math->scatter_axpy(moved, n, ids, factors, count, was);
				for (int row = 0; row < 40; row++)
					for (int k = 0; k < n; k++)
					{
						double		want = base[row * n + k];

						for (int i = 0; i < count; i++)
							want += ids[i] == row ? (double) factors[i] * was[k] : 0;
						good = good && fabs(moved[row * n + k] - want) < 2e-5;
					}
				unit_case(good, "%d rows of %d, scattered", count, n);
			}
			memcpy(y, was, n * sizeof(float));
			math->multiply(y, base, n);
			for (int k = 0; k < n; k++)
				good = good && y[k] == was[k] * base[k];
			unit_case(good && y[n] == 12345, "product of %d", n);
		}
	for (int n = MR_ROW_PAD; n <= 288; n += MR_ROW_PAD)
	{
		uint16_t	random[LONGEST];
		float		slope[LONGEST];
		bool		good = true;

		fill(was, n, 1);
		fill(base, n, 1);
		memcpy(y, was, n * sizeof(float));
		memcpy(slope, base, n * sizeof(float));
		y[n] = slope[n] = 12345;
		for (int k = 0; k < n; k++)
			random[k] = (uint16_t) (k % 5 == 0 ? 40000 : k % 5 == 1 ? 39999 : mr_rng_next(&rng));
		math->drop(y, slope, random, 40000, 1.5f, n);
		for (int k = 0; k < n; k++)
			good = good && y[k] == (random[k] >= 40000 ? 1.5f * was[k] : 0) &&
				slope[k] == (random[k] >= 40000 ? 1.5f * base[k] : 0);
		math->drop(was, NULL, random, 40000, 1.5f, n);
		unit_case(good && y[n] == 12345 && slope[n] == 12345 && memcmp(was, y, n * sizeof(float)) == 0, "drop of %d", n);
	}
	unit_cases("weighted sums of rows, products, dropout");
}

/* The double precision forms of the activations and their slopes. */
static void
want_activation(int which, double x, double *value, double *slope)
{
	double		u = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
	double		t = tanh(which == 1 ? x : u);

	*value = which == 0 ? fmax(x, 0) : which == 1 ? t : 0.5 * x * (1 + t);
	*slope = which == 0 ? x > 0 : which == 1 ? 1 - t * t :
		0.5 * (1 + t) + (fabs(x) > 30 ? 0 : 0.5 * x * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x));
}

static void
test_activations(const MrRowMath *math)
{
	static const float special[16] = {0, 1e-30f, -1e-30f, 1e-4f, -1e-4f, 0.625f, -0.625f, 9.5f, -9.5f, 9.6f, -20, 50, -100,
	1e10f, -3e38f, 3e38f};
	static const char *const names[3] = {"relu", "tanh", "gelu"};

	for (int which = 0; which < 3; which++)
	{
		void		(*function) (float *, float *, size_t) = which == 0 ? math->relu : which == 1 ? math->tanh : math->gelu;
		double		worst = 0;
		double		worst_slope = 0;

		for (int round = 0; round < 2000; round++)
		{
			float		x[17];
			float		h[17];
			float		slope[17];

			fill(x, 16, round % 2 ? 1 : 8);
			if (round == 0)
				memcpy(x, special, sizeof(special));
			memcpy(h, x, sizeof(h));
			h[16] = slope[16] = 12345;
			function(h, slope, 16);
			for (int i = 0; i < 16; i++)
			{
				double		value;
				double		steep;

				want_activation(which, x[i], &value, &steep);
				worst = fmax(worst, fabs(h[i] - value) / fmax(which == 2 ? fabs(x[i]) : 1, 1));
				worst_slope = fmax(worst_slope, fabs(slope[i] - steep));
				unit_case(isfinite(h[i]) && isfinite(slope[i]), "%s of %g", names[which], x[i]);
				/* the digits of small numbers are kept */
				unit_case(fabs(x[i]) > 0.1 || fabs(h[i] - value) <= 1e-6 * fabs(x[i]), "%s of %g", names[which], x[i]);
			}
			unit_case(h[16] == 12345 && slope[16] == 12345, "%s writes behind", names[which]);
			function(x, NULL, 16);
			unit_case(memcmp(x, h, 16 * sizeof(float)) == 0, "%s without slope", names[which]);
		}
		unit_cases(names[which]);
		ok(worst < 1e-6 && worst_slope < 1e-6, "%s: %s and its slope within 1e-6 (worst %.2g, %.2g)",
		   math->name, names[which], worst, worst_slope);
		{
			float		odd[16] = {NAN, INFINITY, -INFINITY};

			function(odd, NULL, 16);
			ok(isnan(odd[0]) && (which == 1 ? odd[1] == 1 && odd[2] == -1 : odd[1] == INFINITY),
			   "%s: %s does not hide what is not a number", math->name, names[which]);
		}
	}
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
		test_gathers(math);
		test_activations(math);
		test_exp(math);
		test_max(math);
		test_inverse_density(math);
		test_steps(math);
	}
	ok(mr_rowmath() != NULL && mr_rowmath() == mr_rowmath(), "chosen: %s", mr_rowmath()->name);
	return unit_done();
}
