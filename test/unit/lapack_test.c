/*
 * lapack_test.c
 *		Symmetric matrices by the library: products, least squares, eigenvectors,
 *		against plain loops.
 */
#include <string.h>

#include "math/lapack.h"
#include "unit.h"
#include "util/rng.h"

enum
{
	N = 13, K = 29, LD = 16
};

static void
fill(float *rows, uint64_t seed)
{
	MrRng		rng;

	mr_rng_seed(&rng, seed);
	for (int i = 0; i < K * LD; i++)
		rows[i] = (float) mr_rng_normal(&rng);
}

static void
test_products(void)
{
	float		rows[K * LD];
	float		c[K * LD * 2];
	bool		good = true;

	fill(rows, 1);
	for (int twice = 0; twice < 2; twice++)
	{
		memset(c, 0xff, twice ? 0 : sizeof(c)); /* NaN: it must not be read at beta 0 */
		mr_syrk_columns(N, K, rows, LD, twice, c, LD);
		for (int i = 0; i < N; i++)
			for (int j = i; j < N; j++)
			{
				double		sum = 0;

				for (int k = 0; k < K; k++)
					sum += (double) rows[k * LD + i] * rows[k * LD + j];
				good = good && fabs(c[i * LD + j] - (1 + twice) * sum) < 1e-4;
			}
	}
	ok(good, "sum of the rows' outer products, added up");
	mr_syrk_rows(K, N, rows, LD, c, LD * 2);
	good = true;
	for (int i = 0; i < K; i++)
		for (int j = i; j < K; j++)
		{
			double		sum = 0;

			for (int k = 0; k < N; k++)
				sum += (double) rows[i * LD + k] * rows[j * LD + k];
			good = good && fabs(c[i * LD * 2 + j] - sum) < 1e-4;
		}
	ok(good, "products of rows with rows");
}

static void
test_solve(void)
{
	float		rows[K * LD];
	float		a[N * LD];
	float		x[N];
	double		b[N];
	bool		good = true;

	fill(rows, 2);
	mr_syrk_columns(N, K, rows, LD, 0, a, LD);
	for (int i = 0; i < N; i++)
		x[i] = (float) i - 4;
	for (int i = 0; i < N; i++)
	{
		b[i] = 0;
		for (int j = 0; j < N; j++)
			b[i] += (double) a[i < j ? i * LD + j : j * LD + i] * x[j];
	}
	for (int i = 0; i < N; i++)
		x[i] = (float) b[i];
	ok(mr_cholesky_solve(N, a, LD, x), "positive definite");
	for (int i = 0; i < N; i++)
		good = good && fabs(x[i] - (i - 4.0)) < 1e-3;
	ok(good, "the solution");
	memset(a, 0, sizeof(a));
	a[0] = -1;
	ok(!mr_cholesky_solve(N, a, LD, x), "what is not positive definite is told");
}

static void
test_eigen(void)
{
	float		rows[K * LD];
	float		c[N * LD];
	double		a[N * N];
	double		values[N];
	double		doubles[MR_EIGEN_DOUBLES(N)];
	int			ints[MR_EIGEN_INTS(N)];
	bool		good = true;

	fill(rows, 3);
	mr_syrk_columns(N, K, rows, LD, 0, c, LD);
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++)
			a[i * N + j] = j >= i ? c[i * LD + j] : NAN;	/* below: not read */
	ok(mr_eigen(N, a, values, doubles, ints), "converges");
	for (int i = 0; i < N; i++)
		for (int j = i; j < N; j++)
		{
			double		sum = 0;
			double		product = 0;

			for (int k = 0; k < N; k++)
			{
				sum += values[k] * a[k * N + i] * a[k * N + j];
				product += a[i * N + k] * a[j * N + k];
			}
			good = good && fabs(sum - c[i * LD + j]) < 1e-4 && fabs(product - (i == j)) < 1e-12;
			good = good && values[i] <= values[j];
		}
	ok(good, "rows are eigenvectors, values ascend");
}

int
main(void)
{
	const char *error = mr_lapack_load();

	ok(error == NULL, "loads: %s", error ? error : "");
	if (error == NULL)
	{
		test_products();
		test_solve();
		test_eigen();
	}
	return unit_done();
}
