/*
 * als_test.c
 *		Alternating least squares against dense normal equations in double
 *		precision, and against its own objective.
 */
#include <stdlib.h>
#include <string.h>

#include "model/als_state.h"
#include "model/fold_in.h"
#include "model_fixture.h"

typedef struct Run
{
	void	   *memory;
	size_t		bytes;
	MrAls	   *als;
} Run;

static MrHyper
make_hyper(int32_t dimensions, MrAlsSolver solver)
{
	MrHyper		hyper = {0};

	hyper.algorithm = MR_ALGORITHM_ALS;
	hyper.dimensions = dimensions;
	hyper.epochs = 6;
	hyper.als_unobserved_weight = 0.1;
	hyper.als_regularization = 0.02;
	hyper.als_solver = solver;
	hyper.init_deviation = 0.1;
	hyper.seed = 5;
	return hyper;
}

/* In memory of exactly the promised size, which is not zero, guard bytes behind. */
static MrAls *
run_start(Run *run, const MrHyper *hyper, const MrInteractions *x)
{
	MrStatus	status;

	run->bytes = mr_als_bytes(hyper, x);
	run->memory = malloc(run->bytes + GUARD_BYTES);
	memset(run->memory, 0xff, run->bytes);
	memset((char *) run->memory + run->bytes, 0xa5, GUARD_BYTES);
	run->als = mr_als_init(run->memory, run->bytes, hyper, x, &status);
	return run->als;
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

/* Solve a [n][n] x = b in place by Gauss' elimination; a is positive definite. */
static void
solve_plainly(int n, double *a, double *b)
{
	for (int i = 0; i < n; i++)
		for (int k = i + 1; k < n; k++)
		{
			double		f = a[k * n + i] / a[i * n + i];

			for (int j = i; j < n; j++)
				a[k * n + j] -= f * a[i * n + j];
			b[k] -= f * b[i];
		}
	for (int i = n - 1; i >= 0; i--)
	{
		for (int j = i + 1; j < n; j++)
			b[i] -= a[i * n + j] * b[j];
		b[i] /= a[i * n + i];
	}
}

static double
regularization_of(const MrAls *als, const MrAlsSide *own, const MrAlsSide *other, int32_t row)
{
	double		sum = 0;

	for (int64_t p = own->start[row]; p < own->start[row + 1]; p++)
		sum += own->weights ? own->weights[p] : 1;
	return als->hyper.als_regularization * (sum + als->hyper.als_unobserved_weight * other->n);
}

/* The largest deviation of a row of `side` from the answer to its dense normal equations. */
static double
worst_row(const MrAls *als, MrAlsSideName side)
{
	const MrAlsSide *own = &als->side[side];
	const MrAlsSide *other = &als->side[1 - side];
	int			n = als->width;
	double	   *a = malloc(n * n * sizeof(double));
	double	   *b = malloc(n * sizeof(double));
	double		worst = 0;

	for (int32_t row = 0; row < own->n; row++)
	{
		memset(b, 0, n * sizeof(double));
		for (int i = 0; i < n * n; i++)
			a[i] = i % (n + 1) == 0 ? regularization_of(als, own, other, row) : 0;
		for (int32_t o = 0; o < other->n; o++)
			for (int i = 0; i < n * n; i++)
				a[i] += als->hyper.als_unobserved_weight * other->points[(size_t) o * als->stride + i / n] *
					other->points[(size_t) o * als->stride + i % n];
		for (int64_t p = own->start[row]; p < own->start[row + 1]; p++)
		{
			const float *y = other->points + (size_t) own->columns[p] * als->stride;
			double		w = own->weights ? own->weights[p] : 1;

			for (int i = 0; i < n * n; i++)
				a[i] += w * y[i / n] * y[i % n];
			for (int i = 0; i < n; i++)
				b[i] += w * y[i];
		}
		solve_plainly(n, a, b);
		for (int i = 0; i < n; i++)
			worst = fmax(worst, fabs(b[i] - own->points[(size_t) row * als->stride + i]));
	}
	free(a);
	free(b);
	return worst;
}

/* The objective of als.h, term by term, divided by the sum of weights. */
static double
objective_plainly(const MrAls *als)
{
	const MrAlsSide *users = &als->side[MR_ALS_USERS];
	const MrAlsSide *items = &als->side[MR_ALS_ITEMS];
	double		sum = 0;
	double		weights = 0;

	for (int32_t u = 0; u < users->n; u++)
	{
		const float *x = users->points + (size_t) u * als->stride;
		int64_t		p = users->start[u];

		for (int32_t i = 0; i < items->n; i++)
		{
			double		score = 0;

			for (int k = 0; k < als->width; k++)
				score += (double) x[k] * items->points[(size_t) i * als->stride + k];
			sum += als->hyper.als_unobserved_weight * score * score;
			if (p < users->start[u + 1] && users->columns[p] == i)
			{
				double		w = users->weights ? users->weights[p] : 1;

				sum += w * (score - 1) * (score - 1);
				weights += w;
				p++;
			}
		}
	}
	for (int side = 0; side < 2; side++)
		for (int32_t row = 0; row < als->side[side].n; row++)
		{
			const float *z = als->side[side].points + (size_t) row * als->stride;
			double		square = 0;

			for (int k = 0; k < als->width; k++)
				square += (double) z[k] * z[k];
			sum += regularization_of(als, &als->side[side], &als->side[1 - side], row) * square;
		}
	return sum / weights;
}

/* Every user and every item is the solution of its normal equations; the objective falls. */
static void
test_sweeps(const MrInteractions *x, int32_t dimensions, const char *what)
{
	MrHyper		hyper = make_hyper(dimensions, MR_ALS_CHOLESKY);
	Run			run;
	MrAls	   *als = run_start(&run, &hyper, x);
	double		before = INFINITY;
	double		penalty = 0;
	double		objective = 0;
	bool		falls = true;
	bool		same = true;
	MrEpochResult result;

	ok(als != NULL, "%s: starts", what);
	for (int sweep = 0; sweep < hyper.epochs; sweep++)
	{
		ok(mr_als_sweep(als, NULL, NULL, &result) == MR_OK, "%s: sweep %d", what, sweep);
		falls = falls && result.loss < before;
		same = same && fabs(result.loss - objective_plainly(als)) < 1e-5 * result.loss;
		before = result.loss;
	}
	ok(falls, "%s: the objective falls", what);
	ok(same, "%s: and is what it says", what);
	ok_near(worst_row(als, MR_ALS_USERS), 0, 2e-5, "%s: users solve their equations", what);
	memset(als->gram, 0, als->width * als->width * sizeof(double));
	mr_als_gram(als, MR_ALS_USERS, 0, x->n_users, als->gram, &als->scratch, NULL, NULL);
	mr_als_axes(als);
	mr_als_turn(als, MR_ALS_USERS, 0, x->n_users, &als->scratch, NULL, NULL);
	mr_als_solve(als, MR_ALS_ITEMS, 0, x->n_items, &als->scratch, &objective, &penalty, NULL, NULL);
	ok_near(worst_row(als, MR_ALS_ITEMS), 0, 2e-5, "%s: items solve theirs", what);
	ok(run_end(&run), "%s: stays in its memory", what);
}

/* The same stages over ranges of rows, as several processes would take them. */
static void
test_ranges(const MrInteractions *x)
{
	MrHyper		hyper = make_hyper(9, MR_ALS_CHOLESKY);
	Run			whole;
	Run			parts;
	MrAls	   *a = run_start(&whole, &hyper, x);
	MrAls	   *b = run_start(&parts, &hyper, x);
	int32_t		users = x->n_users;
	int32_t		items = x->n_items;
	double		objective = 0;
	double		penalty = 0;

	mr_als_start(a, NULL, NULL);
	mr_als_start(b, NULL, NULL);
	memset(a->gram, 0, 64 * sizeof(double));
	memset(b->gram, 0, 64 * sizeof(double));
	mr_als_gram(a, MR_ALS_USERS, 0, users, a->gram, &a->scratch, NULL, NULL);
	mr_als_gram(b, MR_ALS_USERS, 0, users, b->gram, &b->scratch, NULL, NULL);
	mr_als_axes(a);
	mr_als_axes(b);
	mr_als_turn(a, MR_ALS_USERS, 0, users, &a->scratch, NULL, NULL);
	mr_als_turn(b, MR_ALS_USERS, users / 3, users, &b->scratch, NULL, NULL);
	mr_als_turn(b, MR_ALS_USERS, 0, users / 3, &b->scratch, NULL, NULL);
	mr_als_solve(a, MR_ALS_ITEMS, 0, items, &a->scratch, &objective, &penalty, NULL, NULL);
	mr_als_solve(b, MR_ALS_ITEMS, items / 2, items, &b->scratch, &objective, &penalty, NULL, NULL);
	mr_als_solve(b, MR_ALS_ITEMS, 0, items / 2, &b->scratch, &objective, &penalty, NULL, NULL);
	ok(memcmp(a->side[MR_ALS_ITEMS].points, b->side[MR_ALS_ITEMS].points,
			  (size_t) items * a->stride * sizeof(float)) == 0, "ranges in any order give the same rows");
	run_end(&whole);
	run_end(&parts);
}

static void
train(const MrHyper *hyper, const MrInteractions *x, float *users, float *items, double *loss)
{
	Run			run;
	MrAls	   *als = run_start(&run, hyper, x);
	MrEpochResult result;

	for (int sweep = 0; sweep < hyper->epochs; sweep++)
		mr_als_sweep(als, NULL, NULL, &result);
	ok(mr_als_export(als, hyper->dimensions, users, items, NULL, NULL) == MR_OK, "exports");
	*loss = result.loss;
	run_end(&run);
}

static double
dot(const float *a, const float *b, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

/* Bits repeat; conjugate gradients come to the same scores. */
static void
test_repeatable_and_cg(const MrInteractions *x, int32_t dimensions)
{
	MrHyper		exact = make_hyper(dimensions, MR_ALS_CHOLESKY);
	MrHyper		cg = make_hyper(dimensions, MR_ALS_CG);
	size_t		n_users = (size_t) x->n_users * dimensions;
	size_t		n_items = (size_t) x->n_items * dimensions;
	float	   *users = malloc(2 * n_users * sizeof(float));
	float	   *items = malloc(2 * n_items * sizeof(float));
	double		loss[2];
	double		worst = 0;

	exact.epochs = cg.epochs = 100;		/* both have arrived by then, each on its own way */
	train(&exact, x, users, items, &loss[0]);
	train(&exact, x, users + n_users, items + n_items, &loss[1]);
	ok(memcmp(users, users + n_users, n_users * sizeof(float)) == 0 &&
	   memcmp(items, items + n_items, n_items * sizeof(float)) == 0 && loss[0] == loss[1], "the same bits again");
	train(&cg, x, users + n_users, items + n_items, &loss[1]);
	for (int32_t u = 0; u < x->n_users; u++)
		for (int32_t i = 0; i < x->n_items; i++)
			worst = fmax(worst, fabs(dot(users + u * dimensions, items + i * dimensions, dimensions) -
									 dot(users + n_users + u * dimensions, items + n_items + i * dimensions, dimensions)));
	ok_near(loss[1], loss[0], 1e-4 * loss[0], "conjugate gradients: the objective");
	ok_near(worst, 0, 0.01, "conjugate gradients: the scores");
	free(users);
	free(items);
}

/* Distances of what is exported rank as the dot products do. */
static void
test_export(const MrInteractions *x)
{
	enum
	{
		D = 12, WIDE = 15
	};
	MrHyper		hyper = make_hyper(D, MR_ALS_CHOLESKY);
	Run			run;
	MrAls	   *als = run_start(&run, &hyper, x);
	float	   *users = malloc(x->n_users * WIDE * sizeof(float));
	float	   *items = malloc(x->n_items * WIDE * sizeof(float));
	MrEpochResult result;
	bool		unit = true;
	bool		ranks = true;

	for (int sweep = 0; sweep < 3; sweep++)
		mr_als_sweep(als, NULL, NULL, &result);
	mr_als_export(als, WIDE, users, items, NULL, NULL);
	for (int32_t i = 0; i < x->n_items; i++)
		unit = unit && fabs(dot(items + i * WIDE, items + i * WIDE, D) - 1) < 1e-5 &&
			items[i * WIDE + D] == 0 && items[i * WIDE + WIDE - 1] == 0;
	for (int32_t u = 0; u < x->n_users; u++)
	{
		const float *user = als->side[MR_ALS_USERS].points + (size_t) u * als->stride;
		double		length = sqrt(dot(user, user, D - 1));
		bool		has = x->user_start[u + 1] > x->user_start[u];

		unit = unit && fabs(dot(users + u * WIDE, users + u * WIDE, WIDE) - has) < 1e-5 && users[u * WIDE + D - 1] == 0;
		for (int32_t i = 1; has && i < x->n_items; i++)
		{
			const float *one = als->side[MR_ALS_ITEMS].points + (size_t) i * als->stride;
			double		gain = (dot(user, one, D - 1) - dot(user, one - als->stride, D - 1)) / length;
			double		nearer = dot(users + u * WIDE, items + i * WIDE, WIDE) - dot(users + u * WIDE, items + (i - 1) * WIDE, WIDE);

			ranks = ranks && (gain > 1e-5) <= (nearer > 0) && (gain < -1e-5) <= (nearer < 0);
		}
	}
	ok(unit, "all points have length 1, a user without interactions has none");
	ok(ranks, "distances rank as the scores");
	free(users);
	free(items);
	run_end(&run);
}

/* A trained user, folded in from the same items, is where the training put it. */
static void
test_fold_in(const MrInteractions *x, int32_t dimensions, const char *what)
{
	MrHyper		hyper = make_hyper(dimensions, MR_ALS_CHOLESKY);
	Run			run;
	MrAls	   *als = run_start(&run, &hyper, x);
	float	   *users = malloc(x->n_users * dimensions * sizeof(float));
	float	   *items = malloc(x->n_items * dimensions * sizeof(float));
	size_t		bytes = mr_fold_in_bytes(&hyper, x->n_items);
	uint8_t    *stored = malloc(bytes);
	void	   *memory;
	MrFoldIn   *f;
	float	   *likes;
	float	   *user;
	double		worst = 0;
	MrTower		tower;
	MrEpochResult result;

	for (int sweep = 0; sweep < 4; sweep++)
		mr_als_sweep(als, NULL, NULL, &result);
	mr_als_export(als, dimensions, users, items, NULL, NULL);
	mr_als_describe(als, &tower);
	ok(mr_fold_in_write(&hyper, tower.radius, NULL, x->n_items, items, x->n_users, users, stored, NULL, NULL) == bytes,
	   "%s: fold-in is stored", what);
	memory = malloc(mr_fold_in_memory(stored, bytes));
	f = mr_fold_in_read(memory, stored, bytes);
	ok(f != NULL && f->dimensions == dimensions, "%s: and read", what);
	ok(mr_fold_in_memory(stored, bytes - 1) == 0, "%s: a damaged one is refused", what);
	likes = calloc((size_t) x->n_items * f->stride, sizeof(float));
	user = calloc(f->stride, sizeof(float));
	for (int32_t u = 0; u < x->n_users; u++)
	{
		int32_t		n = 0;

		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
			memcpy(likes + (size_t) n++ * f->stride, items + x->items[p] * dimensions, dimensions * sizeof(float));
		if (n == 0)
			continue;
		mr_fold_in_solve(f, likes, n, 1, user, NULL, NULL);
		for (int k = 0; k < dimensions; k++)
			worst = fmax(worst, fabs(user[k] - users[u * dimensions + k]));
	}
	ok_near(worst, 0, 1e-4, "%s: trained users fold in to their points", what);
	free(users);
	free(items);
	free(stored);
	free(memory);
	free(likes);
	free(user);
	run_end(&run);
}

/* Given the items of a training, one sweep more is one sweep more. */
static void
test_start(const MrInteractions *x)
{
	enum
	{
		D = 8
	};
	MrHyper		hyper = make_hyper(D, MR_ALS_CHOLESKY);
	Run			first;
	Run			second;
	MrAls	   *a = run_start(&first, &hyper, x);
	MrAls	   *b = run_start(&second, &hyper, x);
	float	   *users = malloc(x->n_users * D * sizeof(float));
	float	   *items = malloc(x->n_items * D * sizeof(float));
	MrStart		start = {0};
	MrTower		tower;
	MrEpochResult result;
	double		loss;

	for (int sweep = 0; sweep < 3; sweep++)
		mr_als_sweep(a, NULL, NULL, &result);
	mr_als_export(a, D, users, items, NULL, NULL);
	mr_als_describe(a, &tower);
	mr_als_sweep(a, NULL, NULL, &result);
	loss = result.loss;
	start.items = items;
	start.radius = tower.radius;
	ok(mr_als_set_start(b, &start, NULL, NULL) == MR_OK && mr_als_sweep(b, NULL, NULL, &result) == MR_OK, "starts from points");
	ok_near(result.loss, loss, 1e-4 * loss, "and goes on where they were");
	items[0] = NAN;
	ok(mr_als_set_start(b, &start, NULL, NULL) == MR_DIVERGED, "but not from what is no number");
	free(users);
	free(items);
	run_end(&first);
	run_end(&second);
}

static bool
stop_at(void *arg)
{
	return --*(int *) arg < 0;
}

static void
test_refusals(const MrInteractions *x)
{
	MrHyper		hyper = make_hyper(8, MR_ALS_CHOLESKY);
	MrInteractions none = *x;
	MrStatus	status;
	MrEpochResult result;
	Run			run;
	int			polls = 0;
	float		points[1];

	run_start(&run, &hyper, x);
	ok(mr_als_init(run.memory, run.bytes - 1, &hyper, x, &status) == NULL && status == MR_OUT_OF_MEMORY, "too little memory");
	none.n_users = 0;
	none.n_pairs = 0;
	ok(mr_als_init(run.memory, run.bytes, &hyper, &none, &status) == NULL && status == MR_NO_NEGATIVE, "no interactions");
	ok(mr_als_export(run.als, 8, points, points, stop_at, &polls) == MR_STOPPED, "stops an export");
	run.als->scratch.unpolled = MR_ALS_POLL_WORK;
	polls = 0;
	ok(mr_als_sweep(run.als, stop_at, &polls, &result) == MR_STOPPED, "stops a sweep");
	run_end(&run);
	hyper.dimensions = 1;
	ok(mr_als_bytes(&hyper, x) == SIZE_MAX, "one dimension is none");
	hyper.dimensions = MR_ALS_MAX_WIDTH + 2;
	ok(mr_als_bytes(&hyper, x) == SIZE_MAX, "too many dimensions");
}

int
main(void)
{
	MrInteractions x;
	MrInteractions weighted;
	MrInteractions tall;

	fixture_matrix(&x, 60, 45, 0.2, false, 1);
	fixture_matrix(&weighted, 40, 50, 0.3, true, 2);
	fixture_matrix(&tall, 700, 6, 0.5, true, 3);	/* rows of more than one panel */
	x.user_start[60] = x.user_start[59];	/* a user without interactions */
	x.n_pairs = x.user_start[60];
	test_sweeps(&x, 9, "plain");
	test_sweeps(&x, 41, "more coordinates than interactions");
	test_sweeps(&weighted, 13, "weighted");
	test_sweeps(&weighted, 2, "one coordinate");
	test_sweeps(&tall, 18, "long rows");
	test_ranges(&weighted);
	test_repeatable_and_cg(&x, 9);
	test_repeatable_and_cg(&weighted, 17);
	test_export(&x);
	test_fold_in(&x, 41, "few likes");
	test_fold_in(&x, 6, "many likes");
	test_start(&weighted);
	test_refusals(&x);
	fixture_free_matrix(&x);
	fixture_free_matrix(&weighted);
	fixture_free_matrix(&tall);
	return unit_done();
}
