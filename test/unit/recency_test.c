/*
 * recency_test.c
 *		Weights by recency: ranks, ties, own weights, stopping.
 */
#include <stdlib.h>
#include <string.h>

#include "model/recency.h"
#include "model_fixture.h"

/* Slowly and plainly. */
static float
expected(const MrInteractions *x, int32_t user, int64_t pair, double recency)
{
	int64_t		later = 0;

	for (int64_t p = x->user_start[user]; p < x->user_start[user + 1]; p++)
		later += x->times[p] > x->times[pair];
	return (float) ((x->weights ? x->weights[pair] : 1.0) / (1 + later / recency));
}

static void
test_weights(bool weighted)
{
	MrInteractions x;
	MrRng		rng;
	int64_t    *scratch;
	float	   *weights;

	fixture_matrix(&x, 40, 300, 0.3, weighted, 8);
	mr_rng_seed(&rng, 9);
	x.times = calloc(x.n_pairs, sizeof(int64_t));
	for (int64_t p = 0; p < x.n_pairs; p++)
		x.times[p] = p % 7 == 0 ? INT64_MIN : p % 11 == 0 ? INT64_MAX : (int64_t) mr_rng_below(&rng, 60) - 30;
	scratch = malloc(mr_recency_scratch(&x) * sizeof(int64_t));
	weights = malloc(x.n_pairs * sizeof(float));
	unit_case(mr_recency_weights(&x, 5, scratch, weights, NULL, NULL) == MR_OK, "status");
	for (int32_t u = 0; u < x.n_users; u++)
		for (int64_t p = x.user_start[u]; p < x.user_start[u + 1]; p++)
			unit_case(fabsf(weights[p] - expected(&x, u, p, 5)) < 1e-6f, "user %d, pair %lld: %g", u, (long long) p, weights[p]);
	for (int64_t p = 0; p < x.n_pairs; p++)
		x.times[p] = 77;
	mr_recency_weights(&x, 5, scratch, weights, NULL, NULL);
	for (int64_t p = 0; p < x.n_pairs; p++)
		unit_case(weights[p] == (x.weights ? x.weights[p] : 1), "the same time weighs the same");
	unit_cases(weighted ? "times own weights" : "weights are as the formula says");
	free(weights);
	free(scratch);
	free(x.times);
	fixture_free_matrix(&x);
}

static int	calls;

static bool
stop_at_second(void *arg)
{
	return ++calls >= *(int *) arg;
}

static void
test_stops(void)
{
	enum
	{
		N = 400000
	};
	int64_t		start[2] = {0, N};
	int64_t    *times = malloc(N * sizeof(int64_t));
	int64_t    *scratch = malloc(N * sizeof(int64_t));
	float	   *weights = malloc(N * sizeof(float));
	MrInteractions x = {.n_users = 1, .n_items = N, .n_pairs = N, .user_start = start, .times = times};
	MrRng		rng;
	int			at = 3;

	mr_rng_seed(&rng, 1);
	for (int64_t i = 0; i < N; i++)
		times[i] = (int64_t) mr_rng_next(&rng);
	ok(mr_recency_weights(&x, 5, scratch, weights, stop_at_second, &at) == MR_STOPPED && calls == 3, "stops in a long history");
	at = 1000000;
	ok(mr_recency_weights(&x, 5, scratch, weights, stop_at_second, &at) == MR_OK && calls > 10, "polls %d times", calls);
	free(times);
	free(scratch);
	free(weights);
}

int
main(void)
{
	test_weights(false);
	test_weights(true);
	test_stops();
	return unit_done();
}
