/*
 * rank_test.c
 *		Ranks and lists against a naive reference that computes and counts every
 *		distance in double precision; the bounded heap against a full sort.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "math/gemm.h"
#include "math/topk.h"
#include "model/ranking.h"
#include "unit.h"

/* One problem: points and pairs at random, by the settings of make_problem(). */
typedef struct Problem
{
	MrRankInput in;
	MrInteractions held_out, excluded, excluded_more, candidates;
	float	   *users;
	float	   *items;
	int32_t    *unknown;
} Problem;

static uint64_t state = 1;

static uint32_t
draw(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (state >> 33);
}

static double
uniform(void)
{
	return draw() / 2147483648.0;
}

/* Pairs with the given probability each; about `busy` times as many for user 0. */
static void
make_pairs(MrInteractions *x, int32_t n_users, int32_t n_items, double share, double busy)
{
	memset(x, 0, sizeof(*x));
	x->n_users = n_users;
	x->n_items = n_items;
	x->user_start = calloc((size_t) n_users + 1, sizeof(int64_t));
	x->items = malloc(sizeof(int32_t) * ((size_t) n_users * n_items + 1));
	for (int32_t u = 0; u < n_users; u++)
	{
		for (int32_t j = 0; j < n_items; j++)
		{
			if (uniform() < (u == 0 ? share * busy : u % 5 == 4 ? 0 : share))
				x->items[x->n_pairs++] = j;
		}
		x->user_start[u + 1] = x->n_pairs;
	}
}

/*
 * `copies`: share of the items that repeat an earlier row bit for bit.  Every
 * third user repeats an item's row or is zero; the last coordinate of an item
 * is a bias, 0 in a user.
 */
static Problem *
make_problem(int32_t n_users, int32_t n_items, int32_t d, double share, double copies, double scale)
{
	Problem    *p = calloc(1, sizeof(Problem));

	p->users = malloc(sizeof(float) * n_users * d);
	p->items = malloc(sizeof(float) * n_items * d);
	p->unknown = calloc((size_t) n_users, sizeof(int32_t));
	for (int32_t j = 0; j < n_items; j++)
	{
		for (int32_t l = 0; l < d; l++)
			p->items[(size_t) j * d + l] = (float) ((uniform() * 2 - 1) * scale);
		p->items[(size_t) j * d + d - 1] = (float) (uniform() * scale);
		if (j > 0 && uniform() < copies)
			memcpy(p->items + (size_t) j * d, p->items + (size_t) (draw() % (uint32_t) j) * d, sizeof(float) * d);
	}
	for (int32_t u = 0; u < n_users; u++)
	{
		float	   *point = p->users + (size_t) u * d;

		if (u % 3 == 1)
			memcpy(point, p->items + (size_t) (draw() % (uint32_t) n_items) * d, sizeof(float) * d);
		else if (u % 7 == 2)
			memset(point, 0, sizeof(float) * d);
		else
		{
			for (int32_t l = 0; l < d; l++)
				point[l] = (float) ((uniform() * 2 - 1) * scale);
		}
		if (u % 3 != 1)
			point[d - 1] = 0;
		p->unknown[u] = u % 5 == 4 && u % 2 == 0 ? 2 : 0;
	}
	make_pairs(&p->held_out, n_users, n_items, share, 8);
	make_pairs(&p->excluded, n_users, n_items, share * 3, 1);
	make_pairs(&p->excluded_more, n_users, n_items, share, 1);
	make_pairs(&p->candidates, n_users, n_items, 0.3, 1);
	p->in.dimensions = d;
	p->in.users = p->users;
	p->in.items = p->items;
	p->in.held_out = &p->held_out;
	p->in.unknown_items = p->unknown;
	p->in.excluded = &p->excluded;
	p->in.excluded_more = &p->excluded_more;
	p->in.top_k = 10;
	return p;
}

static void
free_problem(Problem *p)
{
	MrInteractions *all[] = {&p->held_out, &p->excluded, &p->excluded_more, &p->candidates};

	for (int i = 0; i < 4; i++)
	{
		free(all[i]->user_start);
		free(all[i]->items);
	}
	free(p->users);
	free(p->items);
	free(p->unknown);
	free(p);
}

static double
naive_distance(const MrRankInput *in, int32_t u, int32_t j)
{
	double		sum = 0;

	for (int32_t l = 0; l < in->dimensions; l++)
	{
		double		difference = (double) in->users[(size_t) u * in->dimensions + l] -
			in->items[(size_t) j * in->dimensions + l];

		sum += difference * difference;
	}
	return isnan(sum) ? INFINITY : sum;
}

static bool
among(const MrInteractions *x, int32_t u, int32_t j)
{
	return x != NULL && mr_interactions_contain(x, u, j);
}

/* Is every rank and list of `out` what counting says?  Returns the number of differences. */
static int
differences(const MrRankInput *in, const MrRankOutput *out)
{
	int			wrong = 0;
	int32_t		n_items = in->held_out->n_items;
	double	   *d = malloc(sizeof(double) * n_items);
	bool	   *in_list = malloc(n_items);

	for (int32_t u = 0; u < in->held_out->n_users; u++)
	{
		int64_t		start = in->held_out->user_start[u];
		int64_t		end = in->held_out->user_start[u + 1];

		if (start == end && in->unknown_items[u] == 0)
			continue;
		for (int32_t j = 0; j < n_items; j++)
		{
			d[j] = naive_distance(in, u, j);
			in_list[j] = among(in->held_out, u, j) ||
				((in->candidates == NULL || among(in->candidates, u, j)) &&
				 !among(in->excluded, u, j) && !among(in->excluded_more, u, j));
		}
		for (int64_t p = start; p < end; p++)
		{
			int32_t		h = in->held_out->items[p];
			int32_t		rank = 1;

			for (int32_t j = 0; j < n_items; j++)
			{
				if (j == h || !in_list[j])
					continue;
				if (d[j] < d[h] || (d[j] == d[h] && (!among(in->held_out, u, j) || j < h)))
					rank++;
			}
			wrong += rank != out->ranks[p];
		}
		for (int32_t i = 0; i < in->top_k; i++)
		{
			int32_t		best = -1;

			for (int32_t j = 0; j < n_items; j++)
			{
				if (in_list[j] && (best < 0 || d[j] < d[best]))
					best = j;
			}
			wrong += best != out->top[(size_t) u * in->top_k + i];
			if (best >= 0)
				in_list[best] = false;
		}
	}
	free(d);
	free(in_list);
	return wrong;
}

typedef struct PollState
{
	int			calls;
	int			stop_at;		/* 0: never */
} PollState;

static bool
count_poll(void *arg)
{
	PollState  *poll = arg;

	poll->calls++;
	return poll->stop_at > 0 && poll->calls >= poll->stop_at;
}

/* Exactly the bytes that are asked for, so that ASan sees a step beyond. */
static MrStatus
run(const MrRankInput *in, PollState *poll, int *wrong)
{
	size_t		bytes = mr_rank_bytes(in);
	void	   *memory = malloc(bytes);
	size_t		lists = (size_t) in->held_out->n_users * in->top_k;
	MrRankOutput out;
	MrStatus	status;

	out.ranks = malloc(sizeof(int32_t) * (in->held_out->n_pairs + 1));
	out.top = malloc(sizeof(int32_t) * (lists + 1));
	memset(memory, 0xA5, bytes);
	memset(out.ranks, 0xA5, sizeof(int32_t) * in->held_out->n_pairs);
	status = mr_rank(in, memory, bytes, poll ? count_poll : NULL, poll, &out);
	if (wrong)
		*wrong = status == MR_OK ? differences(in, &out) : -1;
	free(memory);
	free(out.ranks);
	free(out.top);
	return status;
}

static int
wrong_of(const MrRankInput *in)
{
	int			wrong;

	run(in, NULL, &wrong);
	return wrong;
}

/* Every combination of masks and candidates for one shape. */
static void
test_shape(const char *name, int32_t n_users, int32_t n_items, int32_t d, double share, double copies, double scale)
{
	Problem    *p = make_problem(n_users, n_items, d, share, copies, scale);

	ok(wrong_of(&p->in) == 0, "%s: masked", name);
	p->in.candidates = &p->candidates;
	ok(wrong_of(&p->in) == 0, "%s: candidates, masked", name);
	p->in.excluded = p->in.excluded_more = NULL;
	ok(wrong_of(&p->in) == 0, "%s: candidates", name);
	p->in.candidates = NULL;
	p->in.top_k = 0;
	ok(wrong_of(&p->in) == 0, "%s: all items, no list", name);
	p->in.top_k = n_items + 3;
	ok(wrong_of(&p->in) == 0, "%s: list longer than the items", name);
	free_problem(p);
}

static void
test_shapes(void)
{
	test_shape("random", 70, 700, 16, 0.01, 0, 1);
	test_shape("odd sizes", 67, 1031, 13, 0.01, 0, 1);
	test_shape("many held out", 20, 600, 8, 0.3, 0, 1);
	test_shape("copied rows", 70, 1100, 17, 0.02, 0.5, 1);
	test_shape("copied rows, many held out", 30, 600, 17, 0.2, 0.7, 1);
	test_shape("all rows equal", 9, 40, 3, 0.2, 1, 1);
	test_shape("one item", 5, 1, 4, 0.6, 0, 1);
	test_shape("one user", 1, 300, 4, 0.1, 0, 1);
	test_shape("one dimension", 20, 300, 1, 0.1, 0.2, 1);
	test_shape("many dimensions", 5, 100, 2000, 0.1, 0.2, 1);
	test_shape("beyond single precision", 15, 200, 6, 0.1, 0.3, 1e25);
	test_shape("below single precision", 15, 200, 6, 0.1, 0.3, 1e-30);
	test_shape("more held out than a block takes", 90, 400, 5, 0.5, 0.1, 1);
	test_shape("long user block", 300, 90, 5, 0.05, 0.1, 1);
}

/* A long user among short items: the score cancels where the distance does not. */
static void
test_cancellation(void)
{
	Problem    *p = make_problem(60, 300, 1, 0.05, 0.2, 1);

	/* One dimension: the reference then rounds as mr_rank_distance() does. */
	for (int32_t i = 0; i < 60; i++)
		p->users[i] *= 1e11f;
	for (int32_t i = 0; i < 300; i++)
		p->items[i] *= 1e-3f;
	ok(wrong_of(&p->in) == 0, "long users, short items");
	free_problem(p);
}

/* Points that are not numbers are last, and harm nobody else. */
static void
test_not_finite(void)
{
	Problem    *p = make_problem(40, 700, 6, 0.05, 0.2, 1);

	p->items[3 * 6] = NAN;
	p->items[10 * 6 + 2] = INFINITY;
	p->items[650 * 6] = -INFINITY;
	p->users[0] = NAN;
	p->users[2 * 6] = INFINITY;
	ok(wrong_of(&p->in) == 0, "NaN and infinity");
	p->in.candidates = &p->candidates;
	ok(wrong_of(&p->in) == 0, "NaN and infinity among candidates");
	free_problem(p);
}

static void
test_limits(void)
{
	Problem    *p = make_problem(64, 2000, 512, 0.005, 0.1, 1);
	PollState	poll = {0, 0};
	int			calls;
	int			wrong;

	ok(run(&p->in, &poll, &wrong) == MR_OK && wrong == 0 && poll.calls > 0, "poll is called");
	calls = poll.calls;
	poll.calls = 0;
	poll.stop_at = calls / 2 + 1;
	ok(run(&p->in, &poll, NULL) == MR_STOPPED && poll.calls == poll.stop_at, "poll stops, and is not called again");
	ok(mr_rank(&p->in, NULL, mr_rank_bytes(&p->in) - 1, NULL, NULL, NULL) == MR_OUT_OF_MEMORY, "too little memory");
	ok(mr_rank_bytes(&p->in) < 8 << 20, "memory is bounded by the blocks");
	free_problem(p);

	p = make_problem(200, 1000, 3, 0, 0, 1);
	memset(p->unknown, 0, sizeof(int32_t) * 200);
	ok(wrong_of(&p->in) == 0, "nothing held out");
	free_problem(p);
}

/* Equal rows at every place of a block, ranks worked out: the tie is lost. */
static void
test_ties(void)
{
	float		users[] = {1, 2, 3};
	float		items[7 * 3];
	int64_t		start[] = {0, 2};
	int32_t		held[] = {2, 5};
	MrInteractions held_out = {1, 7, 2, start, held, NULL, NULL};
	int64_t		excluded_start[] = {0, 3};
	int32_t		excluded_items[] = {0, 2, 6};
	MrInteractions excluded = {1, 7, 3, excluded_start, excluded_items, NULL, NULL};
	MrRankInput in = {3, users, items, &held_out, NULL, NULL, NULL, NULL, 4};
	int32_t		ranks[2];
	int32_t		top[4];
	MrRankOutput out = {ranks, top};
	size_t		bytes = mr_rank_bytes(&in);
	void	   *memory = malloc(bytes);

	for (int i = 0; i < 7 * 3; i++)
		items[i] = 0.1f * (float) (i % 3);
	mr_rank(&in, memory, bytes, NULL, NULL, &out);
	ok(ranks[0] == 6 && ranks[1] == 7, "all tie: behind the five others, in order of the rows");
	ok(top[0] == 0 && top[1] == 1 && top[2] == 2 && top[3] == 3, "all tie: the list is in order of the rows");
	in.excluded = &excluded;
	mr_rank(&in, memory, bytes, NULL, NULL, &out);
	ok(ranks[0] == 4 && ranks[1] == 5, "two excluded; a held-out item that is excluded stays");
	ok(top[0] == 1 && top[1] == 2 && top[2] == 3 && top[3] == 4, "excluded items leave the list");
	free(memory);
}

static int
compare_items(const void *a, const void *b)
{
	return mr_topk_before(*(const MrTopItem *) a, *(const MrTopItem *) b) ? -1 : 1;
}

static void
test_topk(void)
{
	MrTopItem	all[500];
	MrTopItem	kept[600];
	MrTopK		top;
	int			wrong = 0;

	for (int64_t k = 0; k <= 600; k += k < 10 ? 1 : 59)
	{
		mr_topk_init(&top, kept, k);
		for (int64_t i = 0; i < 500; i++)
		{
			all[i].row = (i * 7) % 500;
			all[i].distance = draw() % 50;
			wrong += mr_topk_push(&top, all[i].distance, all[i].row) && k == 0;
		}
		mr_topk_sort(&top);
		qsort(all, 500, sizeof(MrTopItem), compare_items);
		wrong += top.n != (k < 500 ? k : 500);
		for (int64_t i = 0; i < top.n; i++)
			wrong += kept[i].row != all[i].row || kept[i].distance != all[i].distance;
	}
	ok(wrong == 0, "heap: the k nearest, ties by row, k from 0 to beyond the rows");

	mr_topk_init(&top, kept, 2);
	ok(isinf(mr_topk_bound(&top)), "heap: everything enters while there is room");
	mr_topk_push(&top, NAN, 1);
	mr_topk_push(&top, 5, 2);
	mr_topk_push(&top, 7, 3);
	ok(mr_topk_bound(&top) == 7 && !mr_topk_push(&top, NAN, 0), "heap: NaN is the farthest");
}

/* Several processes, a part each, write what one does. */
static void
test_parts(void)
{
	Problem    *p = make_problem(67, 300, 7, 0.1, 0.2, 1);
	MrRankOutput whole = {0};
	MrRankOutput parts = {0};
	size_t		n = p->in.held_out->n_pairs;
	void	   *memory;

	p->in.top_k = 0;
	memory = malloc(mr_rank_bytes(&p->in));
	whole.ranks = calloc(n, sizeof(int32_t));
	parts.ranks = calloc(n, sizeof(int32_t));
	mr_rank(&p->in, memory, mr_rank_bytes(&p->in), NULL, NULL, &whole);
	for (p->in.parts = 1; p->in.parts < 80; p->in.parts += 13)
	{
		memset(parts.ranks, 0, n * sizeof(int32_t));
		for (p->in.part = p->in.parts - 1; p->in.part >= 0; p->in.part--)
			mr_rank(&p->in, memory, mr_rank_bytes(&p->in), NULL, NULL, &parts);
		unit_case(memcmp(whole.ranks, parts.ranks, n * sizeof(int32_t)) == 0, "%d parts", p->in.parts);
	}
	unit_cases("ranks made in parts");
	free(memory);
	free(whole.ranks);
	free(parts.ranks);
	free_problem(p);
}

int
main(void)
{
	test_topk();
	test_parts();
	test_ties();
	test_shapes();
	test_cancellation();
	test_not_finite();
	test_limits();

	/* The same with the library's products, if it is there. */
	if (mr_gemm_load() == NULL)
	{
		test_ties();
		test_shapes();
		test_cancellation();
		test_not_finite();
		test_limits();
	}
	return unit_done();
}
