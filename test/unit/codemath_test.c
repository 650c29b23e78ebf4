/*
 * codemath_test.c
 *		Every implementation of MrCodeMath that this machine can run, bit for bit
 *		against the portable one, and that against sums in 64 bits.
 *
 * Codes end where a page without access begins: vector loads beyond the last
 * row, which the address sanitizer does not watch, kill the test.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "math/codemath.h"
#include "unit.h"

#define MAX_DIM 2000
#define MAX_ROWS 300
#define ROOM (1 << 20)
#define GUARD INT32_C(0x5A5A5A5A)

static uint64_t random_state = 11;
static int8_t *codes_end;		/* what lies here and later cannot be read */

/* splitmix64 */
static uint64_t
next_random(void)
{
	uint64_t	z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static float
uniform(void)
{
	return (float) (next_random() >> 40) / (1 << 24);
}

static void
make_guarded_room(void)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	char	   *base = mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED || mprotect(base + ROOM, page, PROT_NONE) != 0)
	{
		printf("Bail out! no memory\n");
		exit(1);
	}
	codes_end = (int8_t *) base + ROOM;
}

/* What the values are: any; or the largest, so that sums are as large as they can be. */
typedef enum Values
{
	ANY,
	LARGEST,
	OPPOSITE
} Values;

static void
fill(Values values, int16_t *q, int8_t *codes, int dim, int n)
{
	int			limit = mr_code_limit(dim);

	memset(q, 0, mr_code_padded(dim) * sizeof(int16_t));
	for (int j = 0; j < dim; j++)
		q[j] = values == ANY ? (int16_t) (next_random() % (2 * limit + 1)) - limit : limit;
	for (int j = 0; j < n * dim; j++)
		codes[j] = values == ANY ? (int8_t) (next_random() % 255 - 127) : values == LARGEST ? 127 : -127;
}

/* One shape, all variants; the codes end at the guard page, or `shift` bytes before. */
static void
check_dots(Values values, int dim, int n, int shift)
{
	static int16_t q[MAX_DIM + MR_CODE_PAD];
	static int32_t want[MAX_ROWS];
	static int32_t got[MAX_ROWS + 1];
	int8_t	   *codes = codes_end - shift - (size_t) n * dim;

	fill(values, q, codes, dim, n);
	/* what follows must not matter */
	memset(codes_end - shift, 99, shift);
	for (int i = 0; i < n; i++)
	{
		int64_t		sum = 0;

		for (int j = 0; j < dim; j++)
			sum += (int64_t) q[j] * codes[i * dim + j];
		unit_case(sum >= INT32_MIN && sum <= INT32_MAX, "overflow dim=%d", dim);
		want[i] = (int32_t) sum;
	}
	for (int v = 0; mr_codemath_variant(v) != NULL; v++)
	{
		const MrCodeMath *math = mr_codemath_variant(v);

		memset(got, 0, sizeof(got));
		got[n] = GUARD;
		math->dots(q, codes, dim, n, got);
		unit_case(memcmp(got, want, n * sizeof(int32_t)) == 0, "%s dim=%d n=%d shift=%d", math->name, dim, n, shift);
		unit_case(got[n] == GUARD, "%s dim=%d n=%d wrote outside", math->name, dim, n);
	}
}

static void
test_dots(void)
{
	static const int longer[] = {256, 511, 512, 513, 1056, 1057, 2000};
	static const int counts[] = {1, 2, 3, 4, 5, 7, 8, 31, 104};

	for (int s = 1; s <= 200 + 7; s++)
	{
		int			dim = s <= 200 ? s : longer[s - 201];

		for (int c = 0; c < (int) (sizeof(counts) / sizeof(counts[0])); c++)
		{
			check_dots(ANY, dim, counts[c], 0);
			check_dots(ANY, dim, counts[c], 1 + c % 5);
		}
		check_dots(LARGEST, dim, 6, 0);
		check_dots(OPPOSITE, dim, 6, 3);
		check_dots(ANY, dim, 0, 0);
	}
	unit_cases("dots: 1 to 200 dimensions, some more up to 2000, 0 to 104 rows, at the end of a page");
}

/* The floats of one case: normal ones, or with all the values that are somehow special. */
static float
some_float(bool special)
{
	static const float values[] = {0, -0.0f, 1e-45f, 1e-38f, 1e-20f, 1e17f, 1e38f, INFINITY, 3e38f};

	if (special && next_random() % 4 == 0)
		return values[next_random() % (sizeof(values) / sizeof(values[0]))];
	return uniform();
}

/* Squared distances and bounds of n rows: equal bits, no NaN, none below 0. */
static void
check_distances(int n, bool special)
{
	static int32_t dots[MAX_ROWS];
	static float scale[MAX_ROWS];
	static float norm[MAX_ROWS];
	static float want[2][MAX_ROWS];
	static float got[MAX_ROWS + 1];
	MrCodeTerms terms = {some_float(special), some_float(special) / 8000, some_float(special), some_float(special) / 10};

	for (int i = 0; i < n; i++)
	{
		dots[i] = (int32_t) next_random() >> (next_random() % 32);
		scale[i] = some_float(special) / 100;
		norm[i] = some_float(special);
		want[0][i] = mr_code_squared(&terms, dots[i], scale[i], norm[i]);
		want[1][i] = mr_code_bound(&terms, dots[i], scale[i], norm[i]);
		unit_case(want[0][i] >= 0 && want[1][i] >= 0, "negative or not a number");
	}
	for (int v = 0; mr_codemath_variant(v) != NULL; v++)
	{
		const MrCodeMath *math = mr_codemath_variant(v);

		for (int what = 0; what < 2; what++)
		{
			got[n] = 7;
			(what ? math->bounds : math->squared) (&terms, dots, scale, norm, n, got);
			unit_case(memcmp(got, want[what], n * sizeof(float)) == 0,
					  "%s %s n=%d", math->name, what ? "bounds" : "squared", n);
			unit_case(got[n] == 7, "%s n=%d wrote outside", math->name, n);
		}
	}
}

/* A page may be damaged: still no NaN. */
static void
test_not_a_number(void)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY, -1, 1};

	for (int i = 0; i < 5 * 5 * 5; i++)
	{
		MrCodeTerms terms = {bad[i % 5], 1, 1, 0};
		int32_t		dots[20];
		float		scale[20];
		float		norm[20];
		float		out[20];

		for (int k = 0; k < 20; k++)
		{
			dots[k] = k - 5;
			scale[k] = bad[i / 5 % 5];
			norm[k] = bad[i / 25];
		}
		for (int v = 0; mr_codemath_variant(v) != NULL; v++)
		{
			mr_codemath_variant(v)->squared(&terms, dots, scale, norm, 20, out);
			for (int k = 0; k < 20; k++)
				unit_case(out[k] >= 0, "squared, case %d", i);
			mr_codemath_variant(v)->bounds(&terms, dots, scale, norm, 20, out);
			for (int k = 0; k < 20; k++)
				unit_case(out[k] >= 0, "bounds, case %d", i);
		}
	}
	unit_cases("neither NaN nor less than 0, whatever comes in");
}

int
main(void)
{
	int			n = 0;

	while (mr_codemath_variant(n) != NULL)
		printf("# variant %d: %s\n", n, mr_codemath_variant(n)->name), n++;
	ok(n >= 1 && strcmp(mr_codemath_variant(0)->name, "portable") == 0, "the reference is always there");
	ok(mr_codemath() == mr_codemath_variant(n - 1), "the best of %d is taken: %s", n, mr_codemath()->name);
	ok(mr_codemath_variant(-1) == NULL && mr_codemath_variant(n + 1) == NULL, "there are no others");
	ok(mr_code_limit(1) == 16000 && mr_code_limit(2000) == 8388 && mr_code_limit(0) == 16000, "limits of q");

	make_guarded_room();
	test_dots();
	for (int rows = 0; rows <= 120; rows++)
	{
		check_distances(rows, false);
		check_distances(rows, true);
	}
	unit_cases("squared distances and bounds: the same bits everywhere");
	test_not_a_number();
	return unit_done();
}
