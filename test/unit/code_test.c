/*
 * code_test.c
 *		Codes of vectors: what they promise, on random vectors of every scale that
 *		a float has.
 *
 * The promises are inequalities without a tolerance: the error of a code bounds
 * what was lost, and a lower bound is never above the distance of the operator.
 * So they are looked at on inputs made to break them: subnormal numbers, zeros of
 * both signs, equal rows, one huge coordinate, rows a hair apart.  Exact values
 * come from long double.
 */
#include <float.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hash/code.h"
#include "math/vecmath.h"
#include "unit.h"

#define MAX_DIM 2000
#define ROWS 37

static uint64_t random_state = 3;

/* splitmix64 */
static uint64_t
next_random(void)
{
	uint64_t	z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* Uniform in [-1, 1). */
static float
uniform(void)
{
	return (float) ((double) (next_random() >> 11) / 4503599627370496.0 - 1.0);
}

/* 10 to a random power, the exponent in [low, high]. */
static double
power(double low, double high)
{
	return pow(10, low + (high - low) * (uniform() + 1) / 2);
}

typedef enum Vectors
{
	NORMAL,						/* length about 1 */
	SCALED,						/* one scale of [1e-30, 1e30] for all */
	MIXED,						/* one scale per vector */
	WILD_MIX,					/* one scale per coordinate */
	NEAR,						/* all within a hair of one */
	SPECIAL,					/* coordinates are special values */
	ONE_HUGE,					/* one coordinate is 1e10 times the others */
	BORDER,						/* around the sizes where tiny and wild begin */
	N_VECTORS
} Vectors;

/* n vectors of one kind. */
static void
make_vectors(Vectors kind, float *x, int dim, int n)
{
	static const float special[] = {0, -0.0f, 1, -1, FLT_TRUE_MIN, -FLT_MIN, 1e-20f, 1e-25f, FLT_EPSILON};
	static const float border[] = {MR_CODE_TINY, 0.99e-20f, 1e-22f, MR_CODE_WILD, 1.01e17f, 1e19f, FLT_MAX};
	double		common = kind == SCALED ? power(-30, 30) : 1 / sqrt(dim);

	for (int i = 0; i < n; i++)
	{
		float	   *row = x + (size_t) i * dim;
		double		scale = kind == MIXED ? power(-30, 30) : common;

		if (kind == BORDER)
			scale = border[next_random() % (sizeof(border) / sizeof(border[0]))];
		for (int j = 0; j < dim; j++)
		{
			switch (kind)
			{
				case WILD_MIX:
					row[j] = (float) (power(-44, 16) * uniform());
					break;
				case NEAR:
					row[j] = i == 0 ? (float) (uniform() * scale) : x[j] * (1 + (float) (next_random() % 3) * FLT_EPSILON);
					break;
				case SPECIAL:
					row[j] = special[next_random() % (sizeof(special) / sizeof(special[0]))];
					break;
				default:
					row[j] = (float) (uniform() * scale);
			}
		}
		if (kind == ONE_HUGE)
			row[next_random() % dim] *= 1e10f;
		if (kind == BORDER)
			row[next_random() % dim] = (float) (next_random() % 2 ? scale : -scale);
		if (i > 0 && next_random() % 16 == 0)
			memcpy(row, row - dim, dim * sizeof(float));	/* equal rows */
		if (next_random() % 32 == 0)
			memset(row, 0, dim * sizeof(float));
	}
}

static long double
distance_to_code(const float *x, const int8_t *code, float scale, int dim)
{
	long double sum = 0;

	for (int j = 0; j < dim; j++)
	{
		long double d = x[j] - (long double) scale * code[j];

		sum += d * d;
	}
	return sqrtl(sum);
}

/* A set of rows and its codes, as a page has them. */
typedef struct Page
{
	int			dim;
	float	   *x;
	int8_t	   *codes;
	float		scale[ROWS];
	float		norm[ROWS];
	float		error[ROWS];
	float		error_ratio;
	MrCodeRows	rows;
	MrCodeQuery query;
} Page;

static void
make_page(Page *page, Vectors kind, int dim)
{
	page->dim = dim;
	page->x = malloc((size_t) ROWS * dim * sizeof(float));
	page->codes = malloc((size_t) ROWS * dim);
	page->error_ratio = 0;
	make_vectors(kind, page->x, dim, ROWS);
	for (int i = 0; i < ROWS; i++)
	{
		page->error[i] = mr_code_encode(page->x + (size_t) i * dim, dim, page->codes + (size_t) i * dim,
										&page->scale[i], &page->norm[i]);
		if (page->scale[i] > 0 && page->error[i] > page->error_ratio * page->scale[i])
			page->error_ratio = page->error[i] / page->scale[i];
	}
	page->rows = (MrCodeRows) {ROWS, dim, page->codes, page->scale, page->norm};
	page->query.dim = dim;
	page->query.q = malloc(mr_code_padded(dim) * sizeof(int16_t));
}

static void
free_page(Page *page)
{
	free(page->x);
	free(page->codes);
	free(page->query.q);
}

/* Each row: the error is a bound, the norm is right, no code is out of range. */
static void
check_encode(const Page *page)
{
	float	   *decoded = malloc(page->dim * sizeof(float));

	for (int i = 0; i < ROWS; i++)
	{
		const float *x = page->x + (size_t) i * page->dim;
		const int8_t *code = page->codes + (size_t) i * page->dim;
		long double norm = 0;
		float		max = 0;

		for (int j = 0; j < page->dim; j++)
		{
			max = fabsf(x[j]) > max ? fabsf(x[j]) : max;
			norm += (long double) page->scale[i] * code[j] * page->scale[i] * code[j];
			unit_case(code[j] >= -127, "code -128");
		}
		if (max > MR_CODE_WILD)
		{
			unit_case(isinf(page->error[i]) && isinf(page->norm[i]) && page->scale[i] == 0 && norm == 0, "wild row");
			continue;
		}
		unit_case((max < MR_CODE_TINY) == (page->scale[i] == 0), "tiny row of %g has scale %g", max, page->scale[i]);
		unit_case(page->error[i] >= distance_to_code(x, code, page->scale[i], page->dim), "error is no bound");
		unit_case(page->scale[i] == 0 || page->error[i] <= page->scale[i] * 0.51f * sqrtf(page->dim),
				  "error %g is large", page->error[i]);
		unit_case(fabsl(page->norm[i] - norm) <= norm * FLT_EPSILON + FLT_TRUE_MIN, "norm %g", page->norm[i]);
		mr_code_decode(code, page->scale[i], page->dim, decoded);
		for (int j = 0; j < page->dim; j++)
			unit_case(decoded[j] == page->scale[i] * code[j], "decoded");
	}
	free(decoded);
}

/* The query that x is coded as: within its error, and its norm is right. */
static void
check_query(const Page *page, const float *x)
{
	const MrCodeQuery *query = &page->query;
	long double lost = 0;
	long double norm = 0;

	for (int j = 0; j < page->dim; j++)
	{
		long double y = (long double) query->step * query->q[j];

		unit_case(abs(query->q[j]) <= mr_code_limit(page->dim), "q %d beyond the limit", query->q[j]);
		lost += (x[j] - y) * (x[j] - y);
		norm += y * y;
	}
	for (int j = page->dim; j < mr_code_padded(page->dim); j++)
		unit_case(query->q[j] == 0, "padding");
	if (isinf(query->norm))
		return;
	unit_case(query->error >= sqrtl(lost), "error of the query %g < %Lg", query->error, sqrtl(lost));
	unit_case(fabsl(query->norm - norm) <= norm * FLT_EPSILON + FLT_TRUE_MIN, "norm of the query");
}

/*
 * The page asked with the vector x: lower bounds below the operator's distance;
 * squared distances near the exact ones, and their two bounds on both sides.
 */
static void
check_search(Page *page, const float *x, bool tight)
{
	MrCodeQuery *query = &page->query;
	float		lower[ROWS];
	float		squared[ROWS];

	mr_code_query(query, x);
	check_query(page, x);
	mr_code_lower_bounds(query, &page->rows, page->error_ratio, lower);
	mr_code_squared_distances(query, &page->rows, squared);
	for (int i = 0; i < ROWS; i++)
	{
		const int8_t *code = page->codes + (size_t) i * page->dim;
		float		norm_sum = query->norm + page->norm[i];
		double		distance = mr_l2_distance(x, page->x + (size_t) i * page->dim, page->dim);
		long double exact = 0;

		unit_case(lower[i] >= 0 && lower[i] <= distance, "bound %.9g > %.9g, dim %d", lower[i], distance, page->dim);
		unit_case(lower[i] == 0 || lower[i] < distance, "the bound %.9g is not strict", lower[i]);
		/* what the errors of both cost, twice, and what rounding costs where the distance is small beside the lengths */
		if (tight)
			unit_case(distance * distance <= 3e-6 * norm_sum ||
					  lower[i] >= distance - 2 * page->scale[i] * page->error_ratio - 2 * query->error
					  - 4e-6 * distance - 2e-6 * norm_sum / distance,
					  "bound %.9g is far below %.9g, dim %d", lower[i], distance, page->dim);
		unit_case(squared[i] >= 0, "squared distance %g", squared[i]);
		if (isinf(norm_sum))
		{
			unit_case(isinf(squared[i]) && lower[i] == 0, "wild: %g, %g", squared[i], lower[i]);
			unit_case(mr_code_distance_low(squared[i], norm_sum) == 0, "wild, low");
			unit_case(isinf(mr_code_distance_high(squared[i], norm_sum)), "wild, high");
			continue;
		}
		for (int j = 0; j < page->dim; j++)
		{
			long double d = (long double) query->step * query->q[j] - (long double) page->scale[i] * code[j];

			exact += d * d;
		}
		unit_case(fabsl(squared[i] - exact) <= 1e-6 * norm_sum + FLT_MIN, "squared %g, not %Lg", squared[i], exact);
		unit_case(mr_code_distance_low(squared[i], norm_sum) <= sqrtl(exact), "low");
		unit_case(mr_code_distance_high(squared[i], norm_sum) >= sqrtl(exact), "high");
	}
}

/* A row as the query: |q^ - x^| of it and itself is 0, and the code is the row's. */
static void
check_from_code(Page *page)
{
	MrCodeQuery *query = &page->query;
	float		squared[ROWS];

	for (int i = 0; i < ROWS; i += 5)
	{
		mr_code_query_from_code(query, page->codes + (size_t) i * page->dim, page->scale[i], page->norm[i]);
		unit_case(query->error == 0 && query->norm == page->norm[i], "from code");
		for (int j = 0; j < mr_code_padded(page->dim); j++)
			unit_case(query->q[j] == (j < page->dim ? page->codes[(size_t) i * page->dim + j] : 0), "q from code");
		mr_code_squared_distances(query, &page->rows, squared);
		if (!isinf(query->norm))
			unit_case(squared[i] <= 1e-6f * query->norm + FLT_MIN, "distance %g to itself", squared[i]);
	}
}

static void
test_random(void)
{
	static const int dims[] = {1, 2, 3, 7, 8, 9, 16, 31, 33, 64, 100, 128, 257, 512, 1057, 2000};
	static const char *const names[N_VECTORS] = {
		"vectors of length 1: strict and tight", "of one scale, 1e-30 to 1e30", "each of its own scale",
		"each coordinate of its own scale", "a hair apart", "of special values", "one huge coordinate",
		"where tiny and wild begin"
	};

	for (Vectors kind = 0; kind < N_VECTORS; kind++)
	{
		for (int s = 0; s < 300; s++)
		{
			int			dim = s < 200 ? 1 + s % 70 : dims[s % (sizeof(dims) / sizeof(dims[0]))];
			Page		page;
			float	   *x = malloc(dim * sizeof(float));

			make_page(&page, kind, dim);
			check_encode(&page);
			for (int k = 0; k < 6; k++)
			{
				make_vectors(kind, x, dim, 1);
				if (k == 1)
					memcpy(x, page.x + (next_random() % ROWS) * (size_t) dim, dim * sizeof(float));
				if (k == 2)
					mr_code_decode(page.codes + dim, page.scale[1], dim, x);
				if (k == 3)
				{
					/* just beside a row, where little is left of the difference */
					memcpy(x, page.x, dim * sizeof(float));
					x[next_random() % dim] *= 1 + 2 * FLT_EPSILON;
				}
				check_search(&page, x, kind == NORMAL);
			}
			check_from_code(&page);
			free(x);
			free_page(&page);
		}
		unit_cases(names[kind]);
	}
}

/* One that can be worked out by hand. */
static void
test_by_hand(void)
{
	float		x[3] = {1.27f, -0.5f, 0.004f};
	float		y[3] = {0, 0.64f, 0};
	int8_t		code[6];
	float		scale[2];
	float		norm[2];
	int16_t		q[MR_CODE_PAD];
	MrCodeQuery query = {.dim = 3,.q = q};
	MrCodeRows	rows = {2, 3, code, scale, norm};
	float		squared[2];
	float		error = mr_code_encode(x, 3, code, scale, norm);

	ok(code[0] == 127 && code[1] == -50 && code[2] == 0, "1.27, -0.5, 0.004 is 127, -50, 0");
	ok_near(scale[0], 0.01, 1e-8, "in units of 0.01");
	ok_near(norm[0], 1.27 * 1.27 + 0.25, 1e-6, "the length of what is coded");
	ok_near(error, 0.004, 1e-6, "the error is what the third coordinate lost");

	mr_code_encode(y, 3, code + 3, scale + 1, norm + 1);
	ok(code[3] == 0 && code[4] == 127 && code[5] == 0, "0, 0.64, 0 is 0, 127, 0");
	mr_code_query(&query, y);
	ok(q[0] == 0 && q[1] == 16000 && q[2] == 0, "as a query the largest coordinate is 16000");
	mr_code_squared_distances(&query, &rows, squared);
	ok_near(squared[0], 1.27 * 1.27 + 1.14 * 1.14, 1e-5, "squared distance");
	ok_near(squared[1], 0, 1e-6, "squared distance to itself");
	ok(mr_code_distance_low(4, 5) < 2 && mr_code_distance_high(4, 5) > 2, "the root of 4 is about 2");
	ok_near(mr_code_distance_low(4, 5), 2, 1e-5, "from below");
	ok_near(mr_code_distance_high(4, 5), 2, 1e-5, "from above");
}

/* More rows than are worked at in one go. */
static void
test_many_rows(void)
{
	enum {n = 1000, dim = 5};
	static float x[n * dim];
	static int8_t codes[n * dim];
	static float scale[n];
	static float norm[n];
	static float lower[n];
	static float one[n];
	int16_t		q[MR_CODE_PAD];
	MrCodeQuery query = {.dim = dim,.q = q};
	MrCodeRows	rows = {n, dim, codes, scale, norm};

	make_vectors(NORMAL, x, dim, n);
	for (int i = 0; i < n; i++)
		mr_code_encode(x + i * dim, dim, codes + i * dim, scale + i, norm + i);
	mr_code_query(&query, x);
	mr_code_lower_bounds(&query, &rows, 2, lower);
	for (int i = 0; i < n; i++)
	{
		MrCodeRows	row = {1, dim, codes + i * dim, scale + i, norm + i};

		mr_code_lower_bounds(&query, &row, 2, one + i);
	}
	ok(memcmp(lower, one, sizeof(one)) == 0, "%d rows together and one by one", n);
}

int
main(void)
{
	mr_vecmath_init();
	test_by_hand();
	test_many_rows();
	test_random();
	return unit_done();
}
