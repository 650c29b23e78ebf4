/*
 * bpr_test.c
 *		BPR: its step against finite differences of the loss, learning, points out.
 */
#include <stdlib.h>
#include <string.h>

#include "model/bpr_state.h"
#include "model_fixture.h"

typedef struct Run
{
	void	   *memory;
	size_t		bytes;
	MrBpr	   *bpr;
} Run;

static MrHyper
make_hyper(int32_t dimensions)
{
	MrHyper		hyper = {0};

	hyper.algorithm = MR_ALGORITHM_BPR;
	hyper.dimensions = dimensions;
	hyper.epochs = 40;
	hyper.learning_rate = 0.1;
	hyper.learning_rate_decay = true;
	hyper.weight_decay = 0.01;
	hyper.init_deviation = 0.3;
	hyper.seed = 3;
	return hyper;
}

/* In memory of exactly the promised size, which is not zero, guard bytes behind. */
static MrBpr *
run_start(Run *run, const MrHyper *hyper, const MrInteractions *x)
{
	MrStatus	status;

	run->bytes = mr_bpr_bytes(hyper, x);
	run->memory = malloc(run->bytes + GUARD_BYTES);
	memset(run->memory, 0xff, run->bytes);
	memset((char *) run->memory + run->bytes, 0xa5, GUARD_BYTES);
	run->bpr = mr_bpr_init(run->memory, run->bytes, hyper, x, &status);
	return run->bpr;
}

static bool
run_end(Run *run)
{
	bool		good = true;

	for (int i = 0; i < GUARD_BYTES; i++)
		good = good && ((unsigned char *) run->memory)[run->bytes + i] == 0xa5;
	free(run->memory);
	return good;
}

static double
dot(const float *a, const float *b, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

/* The regularised loss of a triple, as bpr.h has it. */
static double
loss_of(const MrBpr *b, int32_t user, int32_t liked, int32_t other, double weight)
{
	const float *x = b->users + user * b->stride;
	const float *near = b->items + liked * b->stride;
	const float *far = b->items + other * b->stride;
	double		s = dot(x, near, b->width) + b->bias[liked] - dot(x, far, b->width) - b->bias[other];

	return weight * log1p(exp(-s)) + b->hyper.weight_decay / 2 *
		(dot(x, x, b->width) + dot(near, near, b->width) + dot(far, far, b->width) +
		 (double) b->bias[liked] * b->bias[liked] + (double) b->bias[other] * b->bias[other]);
}

static void
test_gradient(const MrInteractions *x)
{
	MrHyper		hyper = make_hyper(9);
	Run			run;
	MrBpr	   *b;
	int32_t		user = 3;
	int32_t		liked = 1;
	int32_t		other = 5;
	double		rate = 1e-3;

	hyper.weight_decay = 0.7;
	b = run_start(&run, &hyper, x);
	mr_bpr_start(b, NULL, NULL);
	b->bias[liked] = 0.4f;
	b->bias[other] = -0.2f;
	for (int p = 0; p < 3 * b->width + 2; p++)
	{
		int			k = p % b->width;
		float	   *place = p >= 3 * b->width ? &b->bias[p % 3 ? other : liked] :
			p < b->width ? b->users + user * b->stride + k :
			b->items + (p < 2 * b->width ? liked : other) * b->stride + k;
		float		value = *place;
		float		kept[3 * 16 + 2];
		double		slope;

		*place = value + 0.01f;
		slope = loss_of(b, user, liked, other, 1.5);
		*place = value - 0.01f;
		slope = (slope - loss_of(b, user, liked, other, 1.5)) / 0.02;
		*place = value;

		memcpy(kept, b->users + user * b->stride, 16 * sizeof(float));
		memcpy(kept + 16, b->items + liked * b->stride, 16 * sizeof(float));
		memcpy(kept + 32, b->items + other * b->stride, 16 * sizeof(float));
		kept[48] = b->bias[liked];
		kept[49] = b->bias[other];
		mr_bpr_step(b, user, liked, other, 1.5, rate);
		unit_case(fabs((value - *place) / rate - slope) < 2e-3 * (1 + fabs(slope)), "parameter %d: %g, want %g", p,
				  (value - *place) / rate, slope);
		memcpy(b->users + user * b->stride, kept, 16 * sizeof(float));
		memcpy(b->items + liked * b->stride, kept + 16, 16 * sizeof(float));
		memcpy(b->items + other * b->stride, kept + 32, 16 * sizeof(float));
		b->bias[liked] = kept[48];
		b->bias[other] = kept[49];
	}
	unit_cases("a step goes down the slope of the loss");
	ok_near(mr_bpr_step(b, user, liked, other, 1.5, 0),
			loss_of(b, user, liked, other, 1.5) - loss_of(b, user, liked, other, 0), 1e-5, "the loss that a step returns");
	run_end(&run);
}

/* How often a liked item scores above one that is not. */
static double
share_in_order(const MrBpr *b, const MrInteractions *x)
{
	int64_t		right = 0;
	int64_t		all = 0;

	for (int32_t u = 0; u < x->n_users; u++)
		for (int32_t i = 0; i < x->n_items; i++)
			for (int32_t j = 0; j < x->n_items; j++)
				if (mr_interactions_contain(x, u, i) && !mr_interactions_contain(x, u, j))
				{
					all++;
					right += dot(b->users + u * b->stride, b->items + i * b->stride, b->width) + b->bias[i] >
						dot(b->users + u * b->stride, b->items + j * b->stride, b->width) + b->bias[j];
				}
	return (double) right / all;
}

static void
test_learning(const MrInteractions *x, const char *what)
{
	enum
	{
		D = 14
	};
	MrHyper		hyper = make_hyper(D);
	Run			run;
	Run			again;
	MrBpr	   *b = run_start(&run, &hyper, x);
	MrBpr	   *c = run_start(&again, &hyper, x);
	float	   *users = malloc(x->n_users * D * sizeof(float));
	float	   *items = malloc(x->n_items * D * sizeof(float));
	double		first = 0;
	bool		same = true;
	bool		ranks = true;
	bool		unit = true;
	MrTower		tower;
	MrEpochResult result;

	for (int epoch = 0; epoch < hyper.epochs; epoch++)
	{
		mr_bpr_epoch(c, NULL, NULL, &result);
		ok(mr_bpr_epoch(b, NULL, NULL, &result) == MR_OK, "%s: epoch %d", what, epoch);
		if (epoch == 0)
			first = result.loss;
	}
	ok(result.loss < 0.7 * first, "%s: the loss falls from %g to %g", what, first, result.loss);
	ok(share_in_order(b, x) > 0.85, "%s: %g of the pairs in order", what, share_in_order(b, x));
	same = memcmp(b->users, c->users, x->n_users * b->stride * sizeof(float)) == 0 &&
		memcmp(b->items, c->items, x->n_items * b->stride * sizeof(float)) == 0;
	ok(same, "%s: the same bits again", what);
	ok(mr_bpr_export(b, D, users, items, NULL, NULL) == MR_OK, "%s: exports", what);
	for (int32_t u = 0; u < x->n_users; u++)
	{
		const float *user = b->users + u * b->stride;

		unit = unit && fabs(dot(users + u * D, users + u * D, D) - 1) < 1e-5 && users[u * D + D - 1] == 0;
		for (int32_t i = 1; i < x->n_items; i++)
		{
			double		gain = dot(user, b->items + i * b->stride, b->width) + b->bias[i] -
				dot(user, b->items + (i - 1) * b->stride, b->width) - b->bias[i - 1];
			double		nearer = dot(users + u * D, items + i * D, D) - dot(users + u * D, items + (i - 1) * D, D);

			unit = unit && fabs(dot(items + i * D, items + i * D, D) - 1) < 1e-5;
			ranks = ranks && (gain > 1e-4) <= (nearer > 0) && (gain < -1e-4) <= (nearer < 0);
		}
	}
	ok(unit, "%s: all points have length 1", what);
	ok(ranks, "%s: distances rank as the scores", what);
	mr_bpr_describe(b, &tower);
	ok(tower.kind == MR_TOWER_FREE && tower.dimensions == D, "%s: the tower", what);
	ok(run_end(&run) && run_end(&again), "%s: stays in its memory", what);
	free(users);
	free(items);
}

static bool
stop_at(void *arg)
{
	return --*(int *) arg < 0;
}

static void
test_refusals(const MrInteractions *x)
{
	MrHyper		hyper = make_hyper(8);
	MrInteractions all = *x;
	int64_t		start[2] = {0, 2};
	int32_t		items[2] = {0, 1};
	MrStatus	status;
	MrEpochResult result;
	Run			run;
	int			polls = 0;

	run_start(&run, &hyper, x);
	ok(mr_bpr_init(run.memory, run.bytes - 1, &hyper, x, &status) == NULL && status == MR_OUT_OF_MEMORY, "too little memory");
	ok(mr_bpr_epoch(run.bpr, stop_at, &polls, &result) == MR_STOPPED, "stops");
	run_end(&run);
	all.n_users = 1;
	all.n_items = 2;
	all.n_pairs = 2;
	all.user_start = start;
	all.items = items;
	run_start(&run, &hyper, &all);
	ok(mr_bpr_epoch(run.bpr, NULL, NULL, &result) == MR_OK && result.positives == 0, "nothing to tell apart: no triple");
	run_end(&run);
	hyper.dimensions = 2;
	ok(mr_bpr_bytes(&hyper, x) == SIZE_MAX, "two dimensions are none");
}

int
main(void)
{
	MrInteractions x;
	MrInteractions weighted;

	fixture_matrix(&x, 30, 25, 0.2, false, 1);
	fixture_matrix(&weighted, 30, 25, 0.2, true, 2);
	test_gradient(&x);
	test_learning(&x, "plain");
	test_learning(&weighted, "weighted");
	test_refusals(&x);
	fixture_free_matrix(&x);
	fixture_free_matrix(&weighted);
	return unit_done();
}
