/*
 * vecmath_test.c
 *		Every set of vector kernels that this machine can run, against sums in
 *		double, at every length 1 to 300 and some longer ones.
 *
 * The expected value is not the scalar kernel's but an independent one: a bug
 * that the scalar kernel shares would go unseen otherwise.  Arrays end where
 * their allocation ends, so that the address sanitizer sees a read beyond them
 * in C code; for vector loads, which it does not watch, a page without access
 * follows the array.
 */
#include <float.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "math/vecmath.h"
#include "unit.h"

#define MAX_LENGTH 16000
#define ALIGNMENTS 4
#define GUARD_VALUE 12345.0f

static uint64_t random_state = 42;

/* splitmix64; the tests need no more than repeatable noise. */
static uint64_t
next_random(void)
{
	uint64_t	z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* Uniform in [-scale, scale]. */
static float
random_float(float scale)
{
	return (float) ((double) (next_random() >> 11) / 4503599627370496.0 - 1.0) * scale;
}

/*
 * Room for n floats that ends exactly at a page without access.
 */
static float *
guarded_floats(int n)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	size_t		bytes = ((size_t) n * sizeof(float) + page - 1) / page * page;
	char	   *base = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED || mprotect(base + bytes, page, PROT_NONE) != 0)
	{
		printf("Bail out! no memory\n");
		exit(1);
	}
	return (float *) (base + bytes) - n;
}

static void
fill(float *x, int n, float scale)
{
	for (int i = 0; i < n; i++)
		x[i] = random_float(scale);
}

/* What the kernels should return, and the sum S of vecmath.h. */
static double
exact_l2_squared(const float *a, const float *b, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	return sum;
}

static double
exact_dot(const float *a, const float *b, int n, double *absolute)
{
	double		sum = 0;

	*absolute = 0;
	for (int i = 0; i < n; i++)
	{
		sum += (double) a[i] * b[i];
		*absolute += fabs((double) a[i] * b[i]);
	}
	return sum;
}

/* The three sums at one length; a and b have n floats. */
static void
check_sums(const MrVecmath *k, const float *a, const float *b, int n)
{
	double		tiny = (double) n * FLT_MIN;
	double		absolute;
	double		want;
	double		got;

	want = exact_l2_squared(a, b, n);
	got = k->l2_squared(a, b, n);
	unit_case(fabs(got - want) <= MR_VECMATH_ERROR(n) * want + tiny,
			  "%s l2_squared n=%d: %.9g, not %.9g", k->name, n, got, want);

	want = exact_dot(a, b, n, &absolute);
	got = k->dot(a, b, n);
	unit_case(fabs(got - want) <= MR_VECMATH_ERROR(n) * absolute + tiny,
			  "%s dot n=%d: %.9g, not %.9g", k->name, n, got, want);

	want = exact_dot(a, a, n, &absolute);
	got = k->norm_squared(a, n);
	unit_case(fabs(got - want) <= MR_VECMATH_ERROR(n) * want + tiny,
			  "%s norm_squared n=%d: %.9g, not %.9g", k->name, n, got, want);

	unit_case(k->l2_squared(a, a, n) == 0, "%s l2_squared n=%d of a point and itself", k->name, n);
}

/* axpy and scale at one length: the values, and that nothing else is written. */
static void
check_updates(const MrVecmath *k, const float *x, const float *start, int n, float *room)
{
	float		c = random_float(3);
	float	   *y = room + 1;

	room[0] = GUARD_VALUE;
	room[n + 1] = GUARD_VALUE;
	memcpy(y, start, sizeof(float) * n);
	k->axpy(y, c, x, n);
	for (int i = 0; i < n; i++)
	{
		double		product = (double) c * x[i];

		unit_case(fabs(y[i] - (start[i] + product)) <= FLT_EPSILON * (fabs(product) + fabs((double) start[i])) + 2 * FLT_TRUE_MIN,
				  "%s axpy n=%d i=%d", k->name, n, i);
	}
	unit_case(room[0] == GUARD_VALUE && room[n + 1] == GUARD_VALUE, "%s axpy n=%d wrote outside", k->name, n);

	memcpy(y, start, sizeof(float) * n);
	k->scale(y, c, n);
	for (int i = 0; i < n; i++)
		unit_case(y[i] == (float) ((double) c * start[i]), "%s scale n=%d i=%d", k->name, n, i);
	unit_case(room[0] == GUARD_VALUE && room[n + 1] == GUARD_VALUE, "%s scale n=%d wrote outside", k->name, n);
}

static void
check_lengths(const MrVecmath *k)
{
	static const int longer[] = {511, 512, 513, 1057, 2000, MAX_LENGTH};
	int			steps = 300 + (int) (sizeof(longer) / sizeof(longer[0]));
	float	   *a = guarded_floats(MAX_LENGTH + ALIGNMENTS);
	float	   *b = guarded_floats(MAX_LENGTH + ALIGNMENTS);
	float	   *y = malloc(sizeof(float) * (MAX_LENGTH + ALIGNMENTS + 2));

	for (int s = 0; s < steps; s++)
	{
		int			n = s < 300 ? s + 1 : longer[s - 300];

		fill(a, MAX_LENGTH + ALIGNMENTS, 1);
		fill(b, MAX_LENGTH + ALIGNMENTS, 1);
		for (int shift = 0; shift < ALIGNMENTS; shift++)
		{
			/* ends at the guard page when shift is 0; other distances from a 16-byte line after that */
			const float *from = a + MAX_LENGTH + ALIGNMENTS - n - shift;
			const float *to = b + MAX_LENGTH + ALIGNMENTS - n - (shift * 3) % ALIGNMENTS;

			check_sums(k, from, to, n);
			check_updates(k, from, to, n, y + shift);
		}
	}
	free(y);
	unit_cases("lengths 1 to 300, 511 to 513, 1057, 2000, 16000 at four alignments");
}

/* Writing kernels on an array that ends at the guard page. */
static void
check_guarded_updates(const MrVecmath *k)
{
	for (int n = 1; n <= 70; n++)
	{
		float	   *x = guarded_floats(n);
		float	   *y = guarded_floats(n);

		fill(x, n, 1);
		fill(y, n, 1);
		k->axpy(y, 0, x, n);
		k->scale(y, 1, n);
		unit_case(isfinite(y[0]) && isfinite(y[n - 1]), "%s n=%d", k->name, n);
	}
	unit_cases("updates do not touch what follows the array");
}

/* Lengths 0; infinity where float32 has no room; subnormal and mixed scales. */
static void
check_extremes(const MrVecmath *k)
{
	float		a[300] = {0};
	float		b[300] = {0};
	float		scales[] = {1e18f, 1e-18f, 1e-22f, FLT_MIN};

	ok(k->l2_squared(a, b, 0) == 0 && k->dot(a, b, 0) == 0 && k->norm_squared(a, 0) == 0,
	   "%s: empty sums are 0", k->name);

	for (int s = 0; s < (int) (sizeof(scales) / sizeof(scales[0])); s++)
	{
		for (int n = 1; n <= 300; n++)
		{
			fill(a, n, scales[s]);
			fill(b, n, n % 2 ? scales[s] : 1);
			check_sums(k, a, b, n);
		}
	}
	unit_cases("scales from the smallest normal number to 1e18");

	for (int n = 1; n <= 300; n++)
	{
		for (int i = 0; i < n; i++)
		{
			a[i] = FLT_MAX;
			b[i] = -FLT_MAX;
		}
		unit_case(isinf(k->l2_squared(a, b, n)) && isinf(k->norm_squared(a, n)), "%s n=%d", k->name, n);
	}
	unit_cases("overflow gives infinity");
}

/* Two calls on one input give the same bits, and a value does not depend on where it lies. */
static void
check_repeatable(const MrVecmath *k)
{
	float		a[300 + 8];
	float		b[300 + 8];
	float		moved[300 + 8];

	for (int n = 1; n <= 300; n++)
	{
		float		first;

		fill(a, n, 1);
		fill(b, n, 1);
		first = k->l2_squared(a, b, n);
		for (int shift = 0; shift < 8; shift++)
		{
			memcpy(moved + shift, a, sizeof(float) * n);
			unit_case(k->l2_squared(moved + shift, b, n) == first, "%s n=%d shift=%d", k->name, n, shift);
		}
	}
	unit_cases("the same bits at every alignment");
}

/* The functions in double, on the chosen kernels. */
static void
check_exact_functions(void)
{
	static float a[MAX_LENGTH];
	static float b[MAX_LENGTH];
	static const float scales[] = {1, 1e-6f, 1e18f, 1e30f, FLT_MAX, 1e-19f, 1e-25f, 1e-38f, 1e-42f};
	static const int lengths[] = {1, 2, 3, 16, 63, 64, 255, 256, 257, 300, 1057, 2000, MAX_LENGTH};

	for (int s = 0; s < (int) (sizeof(scales) / sizeof(scales[0])); s++)
	{
		for (int l = 0; l < (int) (sizeof(lengths) / sizeof(lengths[0])); l++)
		{
			int			n = lengths[l];
			double		absolute;
			double		want;

			fill(a, n, scales[s]);
			fill(b, n, scales[s]);
			want = sqrt(exact_l2_squared(a, b, n));
			unit_case(fabs(mr_l2_distance(a, b, n) - want) <= 2e-6 * want,
					  "distance scale=%g n=%d: %.17g, not %.17g", scales[s], n, mr_l2_distance(a, b, n), want);
			want = sqrt(exact_dot(a, a, n, &absolute));
			unit_case(fabs(mr_l2_norm(a, n) - want) <= 2e-6 * want,
					  "norm scale=%g n=%d: %.17g, not %.17g", scales[s], n, mr_l2_norm(a, n), want);
			unit_case(mr_l2_distance(a, a, n) == 0, "distance to itself, n=%d", n);
		}
	}
	unit_cases("distance and norm in double, scales 1e-42 to FLT_MAX");

	a[0] = FLT_MAX;
	b[0] = -FLT_MAX;
	ok(mr_l2_distance(a, b, 1) == 2.0 * FLT_MAX, "the largest distance on a line");
	a[0] = FLT_TRUE_MIN;
	b[0] = 0;
	ok(mr_l2_distance(a, b, 1) == (double) FLT_TRUE_MIN, "the smallest distance on a line");
	a[0] = 1;
	a[1] = 3e-6f;
	b[0] = 1;
	b[1] = 0;
	ok_near(mr_l2_distance(a, b, 2), 3e-6f, 1e-12, "a small difference beside a large coordinate");
}

int
main(void)
{
	const MrVecmath *list[8];
	int			n;

	/* Before anything else: the pointers as the program starts. */
	{
		float		a[2] = {1, 2};
		float		b[2] = {4, 6};

		ok(mr_l2_squared(a, b, 2) == 25, "the first call chooses");
		ok(strcmp(mr_vecmath.name, "not chosen") != 0, "kernels chosen: %s", mr_vecmath.name);
	}

	n = mr_vecmath_list(list, 8);
	ok(n >= 1 && list[0] == &mr_vecmath_scalar, "the reference is always there");
	ok(strcmp(mr_vecmath.name, list[n - 1]->name) == 0, "the best of %d is taken", n);
	ok(mr_vecmath_list(list, 1) == 1, "the list respects its limit");
	n = mr_vecmath_list(list, 8);

	for (int i = 0; i < n; i++)
	{
		printf("# kernels: %s\n", list[i]->name);
		check_lengths(list[i]);
		check_guarded_updates(list[i]);
		check_extremes(list[i]);
		check_repeatable(list[i]);

		/* The exact functions on each, not only on the best. */
		mr_vecmath = *list[i];
		check_exact_functions();
	}
	mr_vecmath_init();
	return unit_done();
}
