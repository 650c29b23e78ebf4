/*
 * propensity_test.c
 *		Inverse propensities: worked by hand, and what they do to a trained model.
 */
#include <math.h>

#include "math/gemm.h"
#include "model/propensity.h"
#include "model/ranking.h"
#include "model_fixture.h"

static bool
near(double a, double b)
{
	return fabs(a - b) < 1e-5 * fmax(1, fabs(b));
}

/* Stops at the call number `*left`. */
static bool
stop_after(void *arg)
{
	return --*(int *) arg < 0;
}

static void
test_by_hand(void)
{
	/* liked items 4, interactions 16, mean 4: ratios 1/4, 1, 2 and 3/4 */
	const int32_t count[] = {1, 4, 0, 8, 3};
	const double raw[] = {4, 1, 0, 0.5, 4.0 / 3};
	float		w[5];
	double		sum = 0;

	ok(mr_propensity_weights(count, 5, 1, w, NULL, NULL) == MR_OK, "weights of exponent 1");
	for (int i = 0; i < 5; i++)
		sum += count[i] * w[i];
	ok(near(sum, 16), "their mean over the interactions is 1");
	for (int i = 0; i < 5; i++)
		if (count[i] > 0)
			ok(near(w[i], raw[i]), "weight of an item that was liked %d times", count[i]);
	mr_propensity_weights(count, 5, 0.5, w, NULL, NULL);
	ok(near(w[0] / w[1], 2) && near(w[3] / w[1], sqrt(0.5)), "weights of exponent 0.5");
	mr_propensity_weights(count, 5, 0, w, NULL, NULL);
	ok(near(w[0], 1) && near(w[1], 1) && near(w[3], 1), "exponent 0: all alike");
}

static void
test_limit(void)
{
	const int32_t count[] = {1, 100, 200, 1000, 2000, 30000};
	float		w[6];
	int			left = 1;

	mr_propensity_weights(count, 6, 2, w, NULL, NULL);
	ok(w[0] == w[1] && w[1] == w[2] && w[2] == w[3], "rare items are at the limit");
	ok(near(w[0] / w[5], MR_PROPENSITY_LIMIT / pow(30000 / (33301.0 / 6), -2)), "the limit is in units of an average item");
	ok(mr_propensity_weights(count, 6, 1, w, stop_after, &left) == MR_STOPPED, "polls");
}

/* Mean popularity of the nearest `k` items of all users that they have not seen. */
static double
popularity_of_lists(const MrHyper *hyper, const MrInteractions *x, double *coverage)
{
	Fixture		f;
	MrEpochResult result;
	MrRankInput in = {.dimensions = hyper->dimensions, .held_out = x, .top_k = 5};
	MrRankOutput out;
	MrMetricsInput counts = {.n_training_users = x->n_users};
	MrMetrics	m;
	float	   *users = calloc((size_t) x->n_users * hyper->dimensions, sizeof(float));
	float	   *items = calloc((size_t) x->n_items * hyper->dimensions, sizeof(float));
	int64_t    *item_counts = calloc(x->n_items, sizeof(int64_t));
	void	   *memory;

	fixture_start(&f, hyper, x);
	for (int epoch = 0; epoch < hyper->epochs; epoch++)
		mr_trainer_epoch(f.t, NULL, NULL, &result);
	mr_trainer_export(f.t, NULL, NULL, users, items);
	for (int64_t p = 0; p < x->n_pairs; p++)
		item_counts[x->items[p]]++;
	in.users = users;
	in.items = items;
	counts.item_counts = item_counts;
	out.ranks = calloc(x->n_pairs, sizeof(int32_t));
	out.top = calloc((size_t) x->n_users * in.top_k, sizeof(int32_t));
	memory = malloc(mr_rank_bytes(&in));
	mr_rank(&in, memory, mr_rank_bytes(&in), NULL, NULL, &out);
	free(memory);
	memory = malloc(mr_metrics_bytes(&in));
	mr_metrics(&in, &out, &counts, in.top_k, memory, &m);
	*coverage = m.coverage;
	free(memory);
	free(out.ranks);
	free(out.top);
	free(users);
	free(items);
	free(item_counts);
	fixture_end(&f);
	return m.popularity;
}

/* Items of very unequal popularity: number i with probability 0.9 / (1 + i / 4). */
static void
skewed_matrix(MrInteractions *x, int32_t n_users, int32_t n_items)
{
	MrRng		rng;

	fixture_matrix(x, n_users, n_items, 0, false, 3);
	mr_rng_seed(&rng, 3);
	x->n_pairs = 0;
	for (int32_t u = 0; u < n_users; u++)
	{
		for (int32_t i = 0; i < n_items; i++)
			if (i == u % n_items || mr_rng_uniform(&rng) < 0.9 / (1 + i / 4.0))
				x->items[x->n_pairs++] = i;
		x->user_start[u + 1] = x->n_pairs;
	}
}

static void
test_lists(MrLoss loss, const char *name)
{
	MrInteractions x;
	MrHyper		hyper = {.loss = loss, .dimensions = 16, .epochs = 20};
	double		coverage[2];
	double		popularity[2];

	skewed_matrix(&x, 300, 60);
	mr_recipe_fill(&hyper, FIXTURE_SET(LOSS) | FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(EPOCHS), &x);
	for (int i = 0; i < 2; i++)
	{
		hyper.propensity_exponent = i;
		popularity[i] = popularity_of_lists(&hyper, &x, &coverage[i]);
	}
	ok(popularity[1] < 0.9 * popularity[0], "%s: items of the lists are less popular (%.1f, %.1f)", name, popularity[0], popularity[1]);
	ok(coverage[1] >= coverage[0], "%s: no fewer items are in them (%.2f, %.2f)", name, coverage[0], coverage[1]);
	fixture_free_matrix(&x);
}

int
main(void)
{
	test_by_hand();
	test_limit();
	if (mr_gemm_load() != NULL)
		return unit_done();
	test_lists(MR_LOSS_SOFTMAX, "softmax");
	test_lists(MR_LOSS_CML, "cml");
	test_lists(MR_LOSS_TRIPLET, "triplet");
	return unit_done();
}
