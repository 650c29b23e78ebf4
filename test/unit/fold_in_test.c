/*
 * fold_in_test.c
 *		Folding users in: losses against hand-worked values, gradients against central
 *		differences, steps, the sample and its stored form.
 */
#include <stdlib.h>
#include <string.h>

#include "math/rowmath.h"
#include "model/fold_in.h"
#include "unit.h"
#include "util/rng.h"

typedef struct Case
{
	MrHyper		hyper;
	float		radius;
	int32_t		n_items;
	float	   *items;			/* [n_items][dimensions] */
	int32_t		n_users;
	float	   *users;			/* [n_users][dimensions] */
	int32_t    *count;
	uint8_t    *bytes;
	size_t		n_bytes;
	void	   *memory;
	MrFoldIn   *f;
} Case;

static void
open_case(Case *c)
{
	c->bytes = malloc(mr_fold_in_bytes(&c->hyper, c->n_items));
	c->n_bytes = mr_fold_in_write(&c->hyper, c->radius, c->count, c->n_items, c->items, c->n_users, c->users, c->bytes, NULL, NULL);
	c->memory = malloc(mr_fold_in_memory(c->bytes, c->n_bytes));
	c->f = mr_fold_in_read(c->memory, c->bytes, c->n_bytes);
}

static void
close_case(Case *c)
{
	free(c->items);
	free(c->users);
	free(c->count);
	free(c->bytes);
	free(c->memory);
}

static MrHyper
softmax_hyper(int32_t dimensions, bool bias)
{
	MrHyper		hyper = {0};

	hyper.loss = MR_LOSS_SOFTMAX;
	hyper.constraint = MR_CONSTRAINT_SPHERE;
	hyper.dimensions = dimensions;
	hyper.item_bias = bias;
	hyper.temperature = 0.3;
	hyper.popularity_exponent = 1;
	hyper.negatives = 1;
	hyper.seed = 7;
	return hyper;
}

static MrHyper
hinge_hyper(MrLoss loss, MrSampling sampling, bool rank_weight, int32_t dimensions)
{
	MrHyper		hyper = softmax_hyper(dimensions, false);

	hyper.loss = loss;
	hyper.constraint = MR_CONSTRAINT_BALL;
	hyper.sampling = sampling;
	hyper.rank_weight = rank_weight;
	hyper.margin = loss == MR_LOSS_CML ? 1.9 : 1.2;
	hyper.negatives = 5;
	return hyper;
}

static void
random_items(Case *c, int32_t n, uint64_t seed)
{
	int32_t		d = c->hyper.dimensions;
	MrRng		rng;

	mr_rng_seed(&rng, seed);
	c->n_items = n;
	c->items = malloc(sizeof(float) * n * d);
	c->count = malloc(sizeof(int32_t) * n);
	for (int32_t i = 0; i < n; i++)
	{
		double		square = 0;

		for (int32_t k = 0; k < d; k++)
		{
			c->items[i * d + k] = (float) mr_rng_normal(&rng);
			square += c->items[i * d + k] * c->items[i * d + k];
		}
		for (int32_t k = 0; k < d; k++)
			c->items[i * d + k] /= (float) sqrt(square);
		if (c->hyper.item_bias)
			c->items[i * d + d - 1] = (float) mr_rng_uniform(&rng);
		c->count[i] = (int32_t) mr_rng_below(&rng, 50);
	}
	c->n_users = 20;
	c->users = calloc((size_t) c->n_users * d, sizeof(float));
	for (int32_t i = 0; i < c->n_users; i++)
		for (int32_t k = 0; k < d - (c->hyper.item_bias ? 1 : 0); k++)
			c->users[i * d + k] = c->items[i % n * d + k] * 0.9f;
}

/* Likes: the first n items, padded. */
static float *
take_likes(const Case *c, int32_t n)
{
	int32_t		stride = c->f->stride;
	float	   *likes = calloc((size_t) n * stride, sizeof(float));

	for (int32_t t = 0; t < n; t++)
		memcpy(likes + t * stride, c->items + t * c->hyper.dimensions, c->hyper.dimensions * sizeof(float));
	return likes;
}

/* A user's point between the likes and chance. */
static float *
some_user(const Case *c, uint64_t seed)
{
	float	   *user = calloc(c->f->stride, sizeof(float));
	int32_t		width = c->hyper.dimensions - (c->hyper.item_bias ? 1 : 0);
	MrRng		rng;

	mr_rng_seed(&rng, seed);
	for (int32_t k = 0; k < width; k++)
		user[k] = (float) (mr_rng_normal(&rng) / sqrt(width) * 0.8);
	return user;
}

/*
 * On a line: user 0, like at 1, others at -1 and 2, temperature 1, no bias.
 * z = -1, -1, -4:  loss = log(e^-1 + e^-1 + e^-4) + 1 = log(2 + e^-3) = .717737,
 * gradient 2 (SUM of p v - 1), p = (1, 1, e^-3) / (2 + e^-3):
 * SUM of p v = 2 e^-3 / (2 + e^-3) = .048578, gradient -1.902843.
 */
static void
test_softmax_by_hand(void)
{
	Case		c = {softmax_hyper(1, false)};
	float		user[16] = {0};
	float		gradient[16];
	float	   *likes;

	c.hyper.temperature = 1;
	c.hyper.constraint = MR_CONSTRAINT_NONE;
	c.n_items = 3;
	c.items = calloc(3, sizeof(float));
	c.count = calloc(3, sizeof(int32_t));
	c.items[0] = 1;
	c.items[1] = -1;
	c.items[2] = 2;
	open_case(&c);
	likes = take_likes(&c, 1);
	mr_fold_in_likes(c.f, likes, 1);
	ok(c.f->n == 3 && c.f->points[0] == -1 && c.f->points[16] == 1 && c.f->points[32] == 2, "few items: all of them, in order");
	ok(!c.f->is_liked[0] && c.f->is_liked[1] && !c.f->is_liked[2], "the like is known by its point");
	ok_near(mr_fold_in_loss(c.f, likes, 1, user, gradient), 0.717737, 1e-5, "softmax: the loss by hand");
	ok_near(gradient[0], -1.902843, 1e-5, "its gradient");
	free(likes);
	close_case(&c);
}

/*
 * On a line: user 0, like at 1, others at -.5 and 2, margin 1.
 * cml: hinges 1 + 1 - .25 = 1.75 and 1 + 1 - 4 < 0; uniform, U = 2 draws: the nearest is
 * -.5 with chance 1 - (1/2)^2 = .75.  loss .75 * 1.75 = 1.3125, gradient .75 * 2 (-.5 - 1)
 * = -2.25.  Rank weight: J = 3, half of the negatives are impostors, log(floor(1.5) + 1) = .693147.
 * triplet: 1 + 1 - .5 = 1.5 for -.5, 1 + 1 - 2 = 0 for 2: loss 1.5 / 2, gradient (-1 - 1) / 2 = -1.
 */
static void
test_hinge_by_hand(void)
{
	float		user[16] = {0};
	float		gradient[16];

	for (int kind = 0; kind < 3; kind++)
	{
		Case		c = {hinge_hyper(kind == 2 ? MR_LOSS_TRIPLET : MR_LOSS_CML, MR_SAMPLING_UNIFORM, kind == 1, 1)};
		double		factor = kind == 1 ? log(2) : 1;
		float	   *likes;

		c.hyper.margin = 1;
		c.hyper.negatives = 2;
		c.n_items = 3;
		c.items = calloc(3, sizeof(float));
		c.count = calloc(3, sizeof(int32_t));
		c.items[0] = 1;
		c.items[1] = -0.5f;
		c.items[2] = 2;
		open_case(&c);
		likes = take_likes(&c, 1);
		mr_fold_in_likes(c.f, likes, 1);
		ok_near(mr_fold_in_loss(c.f, likes, 1, user, gradient), kind == 2 ? 0.75 : 1.3125 * factor, 1e-5, "hinge %d: the loss by hand", kind);
		ok_near(gradient[0], kind == 2 ? -1 : -2.25 * factor, 1e-5, "hinge %d: its gradient", kind);
		free(likes);
		close_case(&c);
	}
}

static void
check_gradient(Case *c, int32_t n_likes, const char *name)
{
	float	   *likes = take_likes(c, n_likes);
	float	   *user = some_user(c, 11);
	float	   *gradient = calloc(c->f->stride, sizeof(float));
	int32_t		width = c->hyper.dimensions - (c->hyper.item_bias ? 1 : 0);
	double		error = 0;
	double		size = 0;

	mr_fold_in_likes(c->f, likes, n_likes);
	mr_fold_in_loss(c->f, likes, n_likes, user, gradient);
	for (int32_t k = 0; k < width; k++)
	{
		float		x = user[k];
		float		step = 2e-3f;
		double		up;
		double		down;

		user[k] = x + step;
		up = mr_fold_in_loss(c->f, likes, n_likes, user, NULL);
		user[k] = x - step;
		down = mr_fold_in_loss(c->f, likes, n_likes, user, NULL);
		user[k] = x;
		error += pow((up - down) / (2 * step) - gradient[k], 2);
		size += gradient[k] * gradient[k];
	}
	ok(size > 0 && sqrt(error / size) < 1e-3, "%s, %d likes: gradient within %.1e of central differences", name, n_likes, sqrt(error / size));
	for (int32_t k = width; k < c->f->stride; k++)
		unit_case(gradient[k] == 0, "coordinate %d", k);
	unit_cases("bias coordinate and padding have no gradient");
	free(likes);
	free(user);
	free(gradient);
}

static void
test_gradients(void)
{
	static const int32_t counts[] = {1, 3, 40};

	for (int i = 0; i < 3; i++)
	{
		Case		c = {softmax_hyper(24, true)};

		random_items(&c, 3000, 3);
		open_case(&c);
		check_gradient(&c, counts[i], "softmax, sampled, bias");
		close_case(&c);
	}
	for (int kind = 0; kind < 4; kind++)
	{
		static const char *const names[] = {"cml", "triplet", "triplet, hardest", "triplet, popularity"};
		static const MrSampling samplings[] = {MR_SAMPLING_UNIFORM, MR_SAMPLING_UNIFORM, MR_SAMPLING_HARDEST, MR_SAMPLING_POPULARITY};
		Case		c = {hinge_hyper(kind == 0 ? MR_LOSS_CML : MR_LOSS_TRIPLET, samplings[kind], false, 20)};

		random_items(&c, 300, 5);
		open_case(&c);
		check_gradient(&c, 4, names[kind]);
		close_case(&c);
	}
}

/* Steps lessen the loss, stay under the constraint, and are the same again. */
static void
test_steps(void)
{
	static const MrConstraint constraints[] = {MR_CONSTRAINT_SPHERE, MR_CONSTRAINT_BALL, MR_CONSTRAINT_NONE};

	for (int i = 0; i < 9; i++)
	{
		MrLoss		loss = (MrLoss) (i / 3);
		Case		c = {loss == MR_LOSS_SOFTMAX ? softmax_hyper(16, true) : hinge_hyper(loss, MR_SAMPLING_UNIFORM, loss == MR_LOSS_CML, 16)};
		float	   *likes;
		float	   *user;
		float		again[16];
		double		before;
		double		norm = 0;

		c.hyper.constraint = constraints[i % 3];
		random_items(&c, 400, 9);
		open_case(&c);
		likes = take_likes(&c, 5);
		user = some_user(&c, 13);
		memcpy(again, user, sizeof(again));
		mr_fold_in_solve(c.f, likes, 5, 0, user, NULL, NULL);
		unit_case(memcmp(again, user, sizeof(again)) == 0, "%d: no steps", i);
		mr_fold_in_solve(c.f, likes, 5, 1, user, NULL, NULL);
		mr_fold_in_likes(c.f, likes, 5);
		before = mr_fold_in_loss(c.f, likes, 5, user, NULL);
		memcpy(user, again, sizeof(again));
		mr_fold_in_solve(c.f, likes, 5, 9, user, NULL, NULL);
		mr_fold_in_solve(c.f, likes, 5, 9, again, NULL, NULL);
		unit_case(memcmp(again, user, sizeof(again)) == 0, "%d: the same again", i);
		unit_case(mr_fold_in_loss(c.f, likes, 5, user, NULL) < before, "%d: less", i);
		for (int k = 0; k < 16; k++)
			norm += user[k] * user[k];
		unit_case(isfinite(norm) && (c.hyper.constraint == MR_CONSTRAINT_NONE ||
									 (c.hyper.constraint == MR_CONSTRAINT_SPHERE ? fabs(norm - 1) < 1e-5 : norm < 1 + 1e-5)), "%d: %g", i, norm);
		unit_case(!c.hyper.item_bias || user[15] == 0, "%d: bias coordinate", i);
		free(likes);
		free(user);
		close_case(&c);
	}
	unit_cases("steps of three losses under three constraints");
}

/*
 * Likes (1, 0) and (.6, .8), mean of the users (0, .5), bias coordinate last:
 * pooled: sum (1.6, .8) + 2 (0, .5) = (1.6, 1.8), over its length 2.408319;
 * free: that over 2 + 2.
 */
static void
test_mean(void)
{
	for (int pooled = 0; pooled < 2; pooled++)
	{
		Case		c = {softmax_hyper(3, true)};
		float		user[16] = {0.894427f, 0.447214f};
		float	   *likes;
		double		length = pooled ? sqrt(1.6 * 1.6 + 1.8 * 1.8) : 4;

		random_items(&c, 3, 1);
		memcpy(c.items, (float[6]) {1, 0, 3, 0.6f, 0.8f, 2}, 6 * sizeof(float));
		memset(c.users, 0, sizeof(float) * c.n_users * 3);
		c.users[0] = 0.5f;
		c.users[1] = 1;
		c.users[3] = -0.5f;
		c.hyper.tower = pooled ? MR_TOWER_POOLED : MR_TOWER_FREE;
		c.hyper.constraint = pooled ? MR_CONSTRAINT_SPHERE : MR_CONSTRAINT_BALL;
		open_case(&c);
		likes = take_likes(&c, 2);
		ok(c.f->mean[0] == 0 && c.f->mean[1] == 0.5f && c.f->mean[2] == 0, "the mean of two users, those without a point apart");
		/* squares 1.25 + .25, less the mean's .25, over 2 coordinates */
		ok_near(c.f->prior, 1 / ((1.5 / 2 - 0.25) / 2), 1e-5, "1 / their variance");
		if (!pooled)
			memcpy(user, (float[2]) {0.8f, 0.4f}, 2 * sizeof(float));
		mr_fold_in_solve(c.f, likes, 2, 1, user, NULL, NULL);
		ok(fabs(user[0] - 1.6 / length) < 1e-5 && fabs(user[1] - 1.8 / length) < 1e-5 && user[2] == 0, "counts in, pooled %d", pooled);
		free(likes);
		close_case(&c);
	}
}

static bool
stop(void *arg)
{
	return true;
}

static void
test_edges(void)
{
	Case		c = {softmax_hyper(8, false)};
	float	   *likes;
	float	   *user;

	random_items(&c, 6, 21);
	open_case(&c);
	likes = take_likes(&c, 6);
	user = some_user(&c, 2);
	mr_fold_in_likes(c.f, likes, 6);
	c.f->prior = 0;
	ok(mr_fold_in_loss(c.f, likes, 6, user, NULL) == 0, "who likes everything has no loss");
	ok(mr_fold_in_solve(c.f, likes, 6, 5, user, NULL, NULL) == MR_OK, "and no step to take");
	ok(mr_fold_in_solve(c.f, likes, 2, 5, user, stop, NULL) == MR_STOPPED, "a poll stops it");
	free(likes);
	free(user);
	close_case(&c);
}

/* The sample of many items: its weights add up to all items, popular ones are there. */
static void
test_sample(void)
{
	Case		c = {softmax_hyper(4, true)};
	double		items = 0;

	random_items(&c, 20000, 17);
	c.count[4711] = 1000000;
	open_case(&c);
	for (int32_t j = 0; j < c.f->n; j++)
	{
		items += exp(c.f->weight[j]);
		unit_case(j == 0 || c.f->points[j * c.f->stride] >= c.f->points[(j - 1) * c.f->stride], "order at %d", j);
	}
	unit_cases("the sample is in order");
	ok(c.f->n > 500 && c.f->n <= MR_FOLD_IN_ITEMS, "%d of 20000 items", c.f->n);
	ok(items > 15000 && items < 25000, "that stand for %.0f", items);
	mr_fold_in_likes(c.f, (float[16]) {c.items[4711 * 4], c.items[4711 * 4 + 1], c.items[4711 * 4 + 2], c.items[4711 * 4 + 3]}, 1);
	items = 0;
	for (int32_t j = 0; j < c.f->n; j++)
		items += c.f->is_liked[j];
	ok(items == 1, "the most popular one is among them");
	close_case(&c);

	c.hyper = softmax_hyper(4, true);
	c.hyper.dimensions = 16000;
	ok(mr_fold_in_sample_size(&c.hyper, 5000) == MR_FOLD_IN_FLOATS / 16000, "long points: fewer of them");
}

static void
test_refused(void)
{
	Case		c = {softmax_hyper(3, true)};
	static const struct
	{
		int			at;
		uint8_t		value;
	}			changes[] = {{0, 'X'}, {4, 2}, {5, 1}, {6, 3}, {7, 3}, {8, 16}, {12, 0}, {12, 4}, {15, 1}, {16, 0}, {16, 3}, {20, 0}, {24, 1}, {28, 1}, {39, 0xff}, {55, 0xff}};

	random_items(&c, 5, 1);
	open_case(&c);
	ok(c.f != NULL && mr_fold_in_memory(c.bytes, c.n_bytes - 1) == 0 && mr_fold_in_memory(c.bytes, 0) == 0, "too short");
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
	{
		uint8_t		was = c.bytes[changes[i].at];

		c.bytes[changes[i].at] = changes[i].value;
		unit_case(mr_fold_in_memory(c.bytes, c.n_bytes) == 0, "byte %d = %d", changes[i].at, changes[i].value);
		c.bytes[changes[i].at] = was;
	}
	unit_cases("unknown forms are refused");
	memset(c.bytes + c.n_bytes - 4, 0xff, 4);
	ok(mr_fold_in_read(c.memory, c.bytes, c.n_bytes) == NULL, "not a number");
	close_case(&c);
}

int
main(void)
{
	test_softmax_by_hand();
	test_hinge_by_hand();
	test_gradients();
	test_mean();
	test_steps();
	test_edges();
	test_sample();
	test_refused();
	return unit_done();
}
