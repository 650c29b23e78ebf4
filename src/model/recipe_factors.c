/*
 * recipe_factors.c
 *		Hyper-parameters of the factorisations, ALS and BPR.
 *
 * The constants were chosen on the validation splits that doc/training.md describes.
 */
#include <math.h>

#include "model/als.h"

/*
 * ALS, for sparse and for dense data: a0 lambda n_items, which does not depend on the number
 * of items, lambda, and sweeps.  Between mean histories of 15 and 100 items they follow the
 * logarithm, as the metric model's temperature does.
 */
#define SPARSE_HISTORY 15.0
#define DENSE_HISTORY 100.0
#define SPARSE_BALANCE 1.2
#define DENSE_BALANCE 3.5
#define SPARSE_REGULARIZATION 0.03
#define DENSE_REGULARIZATION 0.01
#define SPARSE_SWEEPS 16
#define DENSE_SWEEPS 8

/* Sweeps of the ALS that a softmax begins at, whatever the data (doc/training.md). */
#define START_SWEEPS 8

/* BPR: triples of a training, epochs, regularisation for sparse and for dense data. */
#define BPR_TRIPLES 3e7
#define BPR_MOST_EPOCHS 400
#define BPR_LEAST_EPOCHS 10
#define BPR_RATE 0.1
#define SPARSE_DECAY 0.05
#define DENSE_DECAY 0.005

/* Standard deviation of a row's length at the start of ALS; of a coordinate at that of BPR. */
#define ALS_START 0.1
#define BPR_START 0.1

static inline bool
is_set(uint64_t set, MrHyperField field)
{
	return set >> field & 1;
}

/* 0 for sparse data to 1 for dense, by the mean number of items of the users that have any. */
static double
density(const MrInteractions *x)
{
	int64_t		users = 0;
	double		share;

	for (int32_t u = 0; u < x->n_users; u++)
		users += x->user_start[u + 1] > x->user_start[u];
	if (users == 0)
		return 0;
	share = log((double) x->n_pairs / users / SPARSE_HISTORY) / log(DENSE_HISTORY / SPARSE_HISTORY);
	return share < 0 ? 0 : share > 1 ? 1 : share;
}

/* From one number to another, by the logarithm. */
static double
between(double sparse, double dense, double share)
{
	return sparse * pow(dense / sparse, share);
}

/* What the user did not give of ALS. */
static void
fill_als(MrHyper *als, uint64_t set, const MrInteractions *x)
{
	double		share = density(x);
	double		items = x->n_items > 0 ? x->n_items : 1;

	if (!is_set(set, MR_HYPER_EPOCHS))
		als->epochs = (int32_t) (between(SPARSE_SWEEPS, DENSE_SWEEPS, share) + 0.5);
	if (!is_set(set, MR_HYPER_ALS_REGULARIZATION))
		als->als_regularization = round(between(SPARSE_REGULARIZATION, DENSE_REGULARIZATION, share) * 1000) / 1000;
	if (!is_set(set, MR_HYPER_ALS_UNOBSERVED_WEIGHT))
		als->als_unobserved_weight = fmin(1, between(SPARSE_BALANCE, DENSE_BALANCE, share) /
										  (fmax(als->als_regularization, 1e-9) * items));
}

/* Epochs of BPR: few pairs need as many triples as many pairs do, within reason. */
static int32_t
bpr_epochs(const MrInteractions *x)
{
	double		epochs = BPR_TRIPLES / (x->n_pairs > 0 ? x->n_pairs : 1);

	return (int32_t) fmin(fmax(epochs, BPR_LEAST_EPOCHS), BPR_MOST_EPOCHS);
}

/*
 * Choose every hyper-parameter of a factorisation that the user did not give; see
 * mr_recipe_fill().  As many dimensions as the metric model has, so that points are of
 * one size.
 *
 * ALS: the weight of an unobserved pair falls with the number of items, so that all pairs
 * of a user together weigh the same against the regularisation.
 */
void
mr_recipe_fill_factors(MrHyper *hyper, uint64_t set, const MrInteractions *x)
{
	bool		als = hyper->algorithm == MR_ALGORITHM_ALS;
	MrHyper		f = {0};

#define TAKE(BIT, field, value) f.field = is_set(set, MR_HYPER_##BIT) ? hyper->field : (value)
	f.algorithm = hyper->algorithm;
	f.tower = MR_TOWER_FREE;
	f.constraint = MR_CONSTRAINT_SPHERE;
	f.optimizer = MR_OPTIMIZER_SGD;
	TAKE(DIMENSIONS, dimensions, 64);
	TAKE(SEED, seed, 1);
	TAKE(EPOCHS, epochs, bpr_epochs(x));
	if (als)
	{
		TAKE(ALS_SOLVER, als_solver, MR_ALS_CHOLESKY);
		TAKE(ALS_REGULARIZATION, als_regularization, 0);
		TAKE(ALS_UNOBSERVED_WEIGHT, als_unobserved_weight, 0);
		fill_als(&f, set, x);
	}
	else
	{
		TAKE(LEARNING_RATE, learning_rate, BPR_RATE);
		TAKE(LEARNING_RATE_DECAY, learning_rate_decay, true);
		TAKE(WEIGHT_DECAY, weight_decay, between(SPARSE_DECAY, DENSE_DECAY, density(x)));
	}
#undef TAKE
	f.init_deviation = als ? ALS_START / sqrt(f.dimensions > 1 ? f.dimensions - 1 : 1) : BPR_START;
	*hyper = f;
}

/*
 * The ALS whose points a softmax with `hyper` begins at.  als and set: what the user gave
 * of ALS, as for mr_recipe_fill().
 */
void
mr_recipe_fill_als_start(MrHyper *als, uint64_t set, const MrHyper *hyper, const MrInteractions *x)
{
	als->algorithm = MR_ALGORITHM_ALS;
	als->dimensions = hyper->dimensions - (hyper->item_bias ? 1 : 0);
	als->epochs = START_SWEEPS;
	als->seed = hyper->seed;
	mr_recipe_fill_factors(als, set | UINT64_C(1) << MR_HYPER_DIMENSIONS | UINT64_C(1) << MR_HYPER_EPOCHS |
						   UINT64_C(1) << MR_HYPER_SEED, x);
}

/* As mr_recipe_conflict(), of a factorisation. */
const char *
mr_recipe_factors_conflict(const MrHyper *hyper)
{
	if (hyper->algorithm == MR_ALGORITHM_ALS && (hyper->dimensions < 2 || hyper->dimensions > MR_ALS_MAX_WIDTH + 1))
		return "the algorithm \"als\" takes from 2 to 1025 dimensions";
	if (hyper->algorithm == MR_ALGORITHM_BPR && hyper->dimensions < 3)
		return "the algorithm \"bpr\" takes at least 3 dimensions: the bias and the extra coordinate count";
	return NULL;
}
