/*
 * knn_test.c
 *		Item-based nearest neighbours by hand and against plain loops; ranks by the
 *		scores that it gives.
 */
#include <stdlib.h>
#include <string.h>

#include "model/knn.h"
#include "model/ranking.h"
#include "model_fixture.h"

static MrKnn *
build(const MrInteractions *x, int32_t neighbours, double shrinkage)
{
	size_t		bytes = mr_knn_bytes(x, neighbours);
	char	   *memory = aligned_alloc(64, (bytes + GUARD_BYTES + 63) / 64 * 64);	/* aligned: what is freed is knn */
	MrKnn	   *knn;

	memset(memory, 0xff, bytes + GUARD_BYTES);
	ok(mr_knn_init(memory, bytes - 1, x, neighbours) == NULL, "too little memory");
	knn = mr_knn_init(memory, bytes, x, neighbours);
	ok(knn != NULL && mr_knn_build(knn, shrinkage, NULL, NULL) == MR_OK, "builds");
	for (int i = 0; i < GUARD_BYTES; i++)
		unit_case((unsigned char) memory[bytes + i] == 0xff, "byte %d", i);
	unit_cases("stays in its memory");
	return knn;
}

/*
 * Users and their items: 0: a b, 1: a b c, 2: b c, 3: c d.  |a| = sqrt 2, |b| = sqrt 3, |c| = sqrt 3,
 * |d| = 1; a.b = 2, a.c = 1, b.c = 2, c.d = 1.  With shrinkage 1:
 *		a.b: 2 / (sqrt 6 + 1) = .5798	a.c: 1 / (sqrt 6 + 1) = .2899
 *		b.c: 2 / (3 + 1) = .5			c.d: 1 / (sqrt 3 + 1) = .3660
 * One neighbour each: b for a, a for b, b for c, c for d.
 */
static void
test_by_hand(void)
{
	int64_t		start[] = {0, 2, 5, 7, 9};
	int32_t		items[] = {0, 1, 0, 1, 2, 1, 2, 2, 3};
	MrInteractions x = {.n_users = 4, .n_items = 4, .n_pairs = 9, .user_start = start, .items = items};
	MrKnn	   *knn = build(&x, 1, 1);
	double		ab = 2 / (sqrt(6) + 1);
	float		scores[4];

	mr_knn_scores(knn, 0, scores, NULL, NULL);	/* likes a and b */
	ok_near(scores[0], ab, 1e-6, "b speaks for a");
	ok_near(scores[1], ab, 1e-6, "a for b");
	ok_near(scores[2], 0.5, 1e-6, "b for c");
	ok(scores[3] == 0, "nothing for d");
	mr_knn_scores(knn, 3, scores, NULL, NULL);	/* likes c and d */
	ok(scores[0] == 0 && scores[1] == 0 && scores[2] == 0, "c has no say but for d");
	ok_near(scores[3], 1 / (sqrt(3) + 1), 1e-6, "c for d");
	free(knn);
}

/* R as a dense matrix [n_users][n_items]. */
static double *
dense(const MrInteractions *x)
{
	double	   *r = calloc((size_t) x->n_users * x->n_items, sizeof(double));

	for (int32_t u = 0; u < x->n_users; u++)
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
			r[u * x->n_items + x->items[p]] = x->weights ? x->weights[p] : 1;
	return r;
}

static double
similarity(const double *r, const MrInteractions *x, int32_t i, int32_t j, double shrinkage)
{
	double		product = 0;
	double		a = 0;
	double		b = 0;

	for (int32_t u = 0; u < x->n_users; u++)
	{
		product += r[u * x->n_items + i] * r[u * x->n_items + j];
		a += r[u * x->n_items + i] * r[u * x->n_items + i];
		b += r[u * x->n_items + j] * r[u * x->n_items + j];
	}
	return product > 0 ? product / (sqrt(a) * sqrt(b) + shrinkage) : 0;
}

/* The score of j: items of u that less than `neighbours` others are nearer to j than. */
static double
score_plainly(const double *r, const MrInteractions *x, int32_t user, int32_t j, int32_t neighbours, double shrinkage)
{
	double		score = 0;

	for (int32_t i = 0; i < x->n_items; i++)
	{
		double		own = similarity(r, x, i, j, shrinkage);
		int32_t		before = 0;

		if (i == j || r[user * x->n_items + i] == 0 || own == 0)
			continue;
		for (int32_t other = 0; other < x->n_items; other++)
		{
			double		s = similarity(r, x, other, j, shrinkage);

			before += other != j && other != i && (s > own || (s == own && other < i));
		}
		if (before < neighbours)
			score += r[user * x->n_items + i] * own;
	}
	return score;
}

static void
test_against_loops(const MrInteractions *x, const char *what)
{
	double	   *r = dense(x);
	MrKnn	   *knn = build(x, 4, 2.5);
	float	   *scores = malloc(x->n_items * sizeof(float));

	for (int32_t u = 0; u < x->n_users; u++)
	{
		mr_knn_scores(knn, u, scores, NULL, NULL);
		for (int32_t j = 0; j < x->n_items; j++)
			unit_case(fabs(scores[j] - score_plainly(r, x, u, j, 4, 2.5)) < 1e-5, "user %d item %d: %g", u, j, scores[j]);
	}
	unit_cases("scores as plain loops have them");
	ok(true, "%s", what);
	free(scores);
	free(knn);
	free(r);
}

/* Ranks by scores: all items, then candidates, against counting. */
static void
test_ranks(const MrInteractions *train, const MrInteractions *held, const MrInteractions *candidates)
{
	MrKnn	   *knn = build(train, 3, 1);
	MrScorer	scorer = {mr_knn_scores, knn};
	MrRankInput in = {.held_out = held, .excluded = train, .candidates = candidates, .top_k = 5, .scorer = &scorer};
	size_t		bytes = mr_rank_bytes(&in);
	void	   *memory = malloc(bytes);
	int32_t    *ranks = malloc(held->n_pairs * sizeof(int32_t));
	int32_t    *top = malloc((size_t) held->n_users * 5 * sizeof(int32_t));
	MrRankOutput out = {ranks, top};
	float	   *scores = malloc(train->n_items * sizeof(float));

	ok(mr_rank(&in, memory, bytes, NULL, NULL, &out) == MR_OK, "ranks");
	for (int32_t u = 0; u < held->n_users; u++)
	{
		mr_knn_scores(knn, u, scores, NULL, NULL);
		for (int64_t p = held->user_start[u]; p < held->user_start[u + 1]; p++)
		{
			int32_t		own = held->items[p];
			int32_t		rank = 1;

			for (int32_t j = 0; j < train->n_items; j++)
			{
				if (mr_interactions_contain(held, u, j))
					rank += scores[j] > scores[own] || (scores[j] == scores[own] && j < own);
				else if (!mr_interactions_contain(train, u, j) && (!candidates || mr_interactions_contain(candidates, u, j)))
					rank += scores[j] >= scores[own];
			}
			unit_case(ranks[p] == rank, "user %d item %d: %d, want %d", u, own, ranks[p], rank);
		}
		for (int i = 1; held->user_start[u + 1] > held->user_start[u] && i < 5 && top[u * 5 + i] >= 0; i++)
			unit_case(scores[top[u * 5 + i - 1]] > scores[top[u * 5 + i]] ||
					  (scores[top[u * 5 + i - 1]] == scores[top[u * 5 + i]] && top[u * 5 + i - 1] < top[u * 5 + i]),
					  "list of user %d", u);
	}
	unit_cases(candidates ? "ranks among candidates" : "ranks among all items");
	free(scores);
	free(top);
	free(ranks);
	free(memory);
	free(knn);
}

static bool
stop_always(void *arg)
{
	return true;
}

int
main(void)
{
	MrInteractions x;
	MrInteractions weighted;
	MrInteractions held;
	MrInteractions candidates;
	MrInteractions large;
	MrKnn	   *knn;

	fixture_matrix(&x, 20, 18, 0.2, false, 1);
	fixture_matrix(&weighted, 20, 18, 0.3, true, 2);
	fixture_matrix(&held, 20, 18, 0.15, false, 3);
	fixture_matrix(&candidates, 20, 18, 0.5, false, 4);
	fixture_matrix(&large, 400, 200, 0.5, false, 5);
	test_by_hand();
	test_against_loops(&x, "plain");
	test_against_loops(&weighted, "weighted");
	test_ranks(&x, &held, NULL);
	test_ranks(&x, &held, &candidates);
	knn = build(&large, 10, 1);
	ok(mr_knn_build(knn, 1, stop_always, NULL) == MR_STOPPED, "stops");
	free(knn);
	fixture_free_matrix(&x);
	fixture_free_matrix(&weighted);
	fixture_free_matrix(&held);
	fixture_free_matrix(&candidates);
	fixture_free_matrix(&large);
	return unit_done();
}
