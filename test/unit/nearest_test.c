/*
 * nearest_test.c
 *		Lists of the nearest items against a sort of all distances: the same rows and
 *		the same bits, ties by row, whatever the blocks and with or without OpenBLAS.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "math/gemm.h"
#include "math/rowmath.h"
#include "math/vecmath.h"
#include "model/nearest.h"
#include "unit.h"
#include "util/rng.h"

typedef struct Problem
{
	MrNearestInput in;
	int32_t		n_users;
	float	   *users;
	float	   *items;
	float	   *half_norms;
	float	   *largest;
	MrInteractions left_out;
	MrInteractions candidates;
} Problem;

/* How the points of a problem lie. */
typedef enum Kind
{
	KIND_RANDOM,
	KIND_COPIES,				/* most items repeat another one bit for bit */
	KIND_SPHERE,				/* every third user is zero: all items are equally far */
	KIND_HUGE,					/* scores overflow */
	KIND_TINY,					/* scores underflow */
	KIND_MIXED,					/* a few items are much longer than the others */
	KIND_NEARER,				/* each item is nearer than the one before */
	KINDS
} Kind;

static const char *const kind_names[KINDS] = {
	"random", "copies", "sphere", "huge", "tiny", "mixed", "nearer"
};

static MrRng rng;

static double
uniform(void)
{
	return mr_rng_below(&rng, 1 << 30) / (double) (1 << 30);
}

static void
make_pairs(MrInteractions *x, int32_t n_users, int32_t n_items, double share)
{
	memset(x, 0, sizeof(*x));
	x->n_users = n_users;
	x->n_items = n_items;
	x->user_start = calloc((size_t) n_users + 1, sizeof(int64_t));
	x->items = malloc(sizeof(int32_t) * ((size_t) n_users * n_items + 1));
	for (int32_t u = 0; u < n_users; u++)
	{
		/* some have nothing, some everything */
		double		own = u % 7 == 3 ? 0 : u % 11 == 5 ? 1 : share;

		for (int32_t j = 0; j < n_items; j++)
			if (uniform() < own)
				x->items[x->n_pairs++] = j;
		x->user_start[u + 1] = x->n_pairs;
	}
}

static void
make_item(Problem *p, Kind kind, int32_t j, int32_t n_items)
{
	int32_t		d = p->in.dimensions;
	float	   *v = p->items + (size_t) j * d;
	double		scale = kind == KIND_HUGE ? 1e25 : kind == KIND_TINY ? 1e-25 :
		kind == KIND_MIXED && j % 37 == 0 ? 1e6 : kind == KIND_NEARER ? 1 + n_items - j : 1;
	double		square = 0;

	for (int32_t l = 0; l < d; l++)
	{
		v[l] = (float) ((uniform() * 2 - 1) * scale);
		square += (double) v[l] * v[l];
	}
	if (kind == KIND_SPHERE && square > 0)
		for (int32_t l = 0; l < d; l++)
			v[l] = (float) (v[l] / sqrt(square));
	if (kind == KIND_COPIES && j > 0 && uniform() < 0.9)
		memcpy(v, p->items + (size_t) mr_rng_below(&rng, j) * d, sizeof(float) * d);
}

static Problem *
make_problem(Kind kind, int32_t n_users, int32_t n_items, int32_t d, int32_t k)
{
	Problem    *p = calloc(1, sizeof(Problem));

	p->n_users = n_users;
	p->in.dimensions = d;
	p->in.n_items = n_items;
	p->in.k = k;
	p->in.users = p->users = calloc((size_t) n_users * d + 1, sizeof(float));
	p->in.items = p->items = calloc((size_t) n_items * d + 1, sizeof(float));
	p->in.half_norms = p->half_norms = malloc(sizeof(float) * (n_items + 1));
	p->in.largest = p->largest = malloc(sizeof(float) * (mr_nearest_tiles(n_items) + 1));
	for (int32_t j = 0; j < n_items; j++)
		make_item(p, kind, j, n_items);
	for (int32_t u = 0; u < n_users; u++)
	{
		float	   *point = p->users + (size_t) u * d;

		if (u % 3 == 1 && n_items > 0)
			memcpy(point, p->items + (size_t) mr_rng_below(&rng, n_items) * d, sizeof(float) * d);
		else if (u % 3 == 2)
			for (int32_t l = 0; l < d; l++)
				point[l] = (float) ((uniform() * 2 - 1) * (kind == KIND_HUGE ? 1e25 : kind == KIND_TINY ? 1e-25 : 1));
	}
	make_pairs(&p->left_out, n_users, n_items, 0.2);
	make_pairs(&p->candidates, n_users, n_items, 0.3);
	mr_nearest_measure(&p->in, p->half_norms, p->largest, NULL, NULL);
	return p;
}

static void
free_problem(Problem *p)
{
	free(p->left_out.user_start);
	free(p->left_out.items);
	free(p->candidates.user_start);
	free(p->candidates.items);
	free(p->half_norms);
	free(p->largest);
	free(p->users);
	free(p->items);
	free(p);
}

static int
compare_items(const void *a, const void *b)
{
	return mr_topk_before(*(const MrTopItem *) a, *(const MrTopItem *) b) ? -1 : 1;
}

/* The list of a user by sorting all distances; returns its length. */
static int32_t
naive_list(const Problem *p, int32_t u, MrTopItem *list)
{
	const MrNearestInput *in = &p->in;
	int32_t		n = 0;

	for (int32_t j = 0; j < in->n_items; j++)
	{
		if ((in->left_out && mr_interactions_contain(in->left_out, u, j)) ||
			(in->candidates && !mr_interactions_contain(in->candidates, u, j)))
			continue;
		list[n].distance = mr_l2_distance(in->users + (size_t) u * in->dimensions,
										  in->items + (size_t) j * in->dimensions, in->dimensions);
		list[n++].row = j;
	}
	qsort(list, n, sizeof(MrTopItem), compare_items);
	return n < in->k ? n : in->k;
}

/* Every user's list, in blocks of `block` users. */
static void
check(const Problem *p, int32_t block, const char *what)
{
	const MrNearestInput *in = &p->in;
	size_t		length = (size_t) mr_nearest_length(in);
	size_t		bytes = mr_nearest_bytes(in, block);
	void	   *memory = malloc(bytes);
	MrTopItem  *lists = malloc(sizeof(MrTopItem) * (length * block + 1));
	int32_t    *counts = malloc(sizeof(int32_t) * block);
	MrTopItem  *naive = malloc(sizeof(MrTopItem) * (in->n_items + 1));

	for (int32_t first = 0; first < p->n_users; first += block)
	{
		int32_t		n = p->n_users - first < block ? p->n_users - first : block;

		unit_case(mr_nearest(in, first, n, memory, bytes, NULL, NULL, lists, counts) == MR_OK, "%s: status", what);
		for (int32_t i = 0; i < n; i++)
		{
			const MrTopItem *list = lists + i * length;
			int32_t		want = naive_list(p, first + i, naive);

			unit_case(counts[i] == want, "%s: user %d has %d items, not %d", what, first + i, counts[i], want);
			for (int32_t r = 0; r < want && r < counts[i]; r++)
				unit_case(list[r].row == naive[r].row && list[r].distance == naive[r].distance,
						  "%s: user %d, rank %d: item %d at %g, not %d at %g", what, first + i, r,
						  (int) list[r].row, list[r].distance, (int) naive[r].row, naive[r].distance);
		}
	}
	free(memory);
	free(lists);
	free(counts);
	free(naive);
}

static void
test_kind(Kind kind, const char *library)
{
	const int32_t sizes[][4] = {
		/* users, items, dimensions, k */
		{30, 1000, 16, 10}, {20, 1500, 7, 1}, {20, 700, 33, 100}, {12, 300, 3, 300}, {12, 300, 5, 1000},
		{40, 257, 64, 40}, {15, 1, 2, 3}, {9, 2000, 1, 20}
	};
	char		what[100];

	for (int s = 0; s < (int) (sizeof(sizes) / sizeof(sizes[0])); s++)
	{
		Problem    *p = make_problem(kind, sizes[s][0], sizes[s][1], sizes[s][2], sizes[s][3]);

		snprintf(what, sizeof(what), "%s, %s, %d", library, kind_names[kind], s);
		check(p, 16, what);
		p->in.left_out = &p->left_out;
		check(p, 5, what);
		p->in.candidates = &p->candidates;
		check(p, 1, what);
		p->in.left_out = NULL;
		check(p, 8, what);
		free_problem(p);
	}
	snprintf(what, sizeof(what), "%s, %s: as a sort of all distances", library, kind_names[kind]);
	unit_cases(what);
}

static bool
stop_later(void *arg)
{
	return ++*(int *) arg >= 2;
}

static void
test_limits(void)
{
	Problem    *p = make_problem(KIND_RANDOM, 64, 20000, 64, 10);
	size_t		bytes = mr_nearest_bytes(&p->in, 64);
	void	   *memory = malloc(bytes);
	MrTopItem  *lists = malloc(sizeof(MrTopItem) * 64 * 10);
	int32_t		counts[64];
	int			polls = 0;
	Problem    *empty = make_problem(KIND_RANDOM, 5, 0, 8, 10);

	ok(mr_nearest(&p->in, 0, 64, memory, bytes - 1, NULL, NULL, lists, counts) == MR_OUT_OF_MEMORY,
	   "too little memory is refused");
	ok(mr_nearest(&p->in, 0, 64, memory, bytes, stop_later, &polls, lists, counts) == MR_STOPPED && polls == 2,
	   "stops when the poll says so");
	polls = 1;
	while (mr_nearest_measure(&p->in, p->half_norms, p->largest, stop_later, &polls) != MR_STOPPED && polls < 10)
		polls++;
	ok(polls <= 10, "measuring polls");
	check(empty, 5, "no items");
	unit_cases("no items: empty lists");
	free(memory);
	free(lists);
	free_problem(p);
	free_problem(empty);
}

/* above(): every length and place against a loop. */
static void
test_above(const MrRowMath *math)
{
	float		x[300];
	float		shift[300];
	int32_t		ids[300];

	for (int n = 0; n <= 300; n++)
	{
		size_t		count = 0;
		size_t		found;

		for (int i = 0; i < n; i++)
		{
			x[i] = uniform() < 0.1 ? -INFINITY : (float) (uniform() * 2 - 1);
			shift[i] = (float) uniform() / 2;
		}
		found = math->above(x, shift, n % 3 == 0 ? -FLT_MAX : 0.6f, (size_t) n, ids);
		for (int i = 0; i < n; i++)
			if (x[i] - shift[i] >= (n % 3 == 0 ? -FLT_MAX : 0.6f))
			{
				unit_case(count < found && ids[count] == i, "%s: %d of %d", math->name, i, n);
				count++;
			}
		unit_case(count == found, "%s: %d found of %d", math->name, (int) found, (int) count);
	}
	unit_cases("above, every length");
}

int
main(void)
{
	const MrRowMath *math;

	mr_rng_seed(&rng, 5);
	for (int i = 0; (math = mr_rowmath_variant(i)) != NULL; i++)
		test_above(math);
	for (int kind = 0; kind < KINDS; kind++)
		test_kind((Kind) kind, "plain products");
	if (mr_gemm_load() == NULL)
	{
		for (int kind = 0; kind < KINDS; kind++)
			test_kind((Kind) kind, "OpenBLAS");
	}
	test_limits();
	return unit_done();
}
