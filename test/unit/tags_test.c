/*
 * tags_test.c
 *		The tags' loss: by hand, against central differences, repeatable, learning.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

#define TOLERANCE 1e-3

/* ---- one post, worked by hand ---- */

/*
 * u = (1, 0), v = (0, 1), w = 1/2, so q = (1, 1) / sqrt 2.  Tags (1, 0), (0, 1) and
 * (-1, 0), of which the first is given.  T = 1/2:
 *
 *		-d^2 / T = -(2 - 2 q.t) / T:	-1.171573, -1.171573, -6.828427
 *		loss = log(2 + exp(-5.656854)) = 0.694893
 */
static void
test_by_hand(void)
{
	int64_t		user_start[] = {0, 1, 2};
	int32_t		items[] = {0, 1};
	MrInteractions x = {2, 2, 2, user_start, items, NULL, NULL};
	int32_t		post_user[] = {0};
	int32_t		post_item[] = {0};
	int64_t		tag_start[] = {0, 2};
	int32_t		tags[] = {0, 1};
	MrPosts		posts = {1, 3, post_user, post_item, {1, 3, 1, tag_start, tags, NULL, NULL}};
	float		points[3][2] = {{1, 0}, {0, 1}, {-1, 0}};
	MrHyper		hyper = {.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_SPHERE, .optimizer = MR_OPTIMIZER_SGD,
		.dimensions = 2, .tag_temperature = 0.5, .tag_weight = 1, .learning_rate = 0.25, .learning_rate_decay = false};
	MrEpochResult result;
	MrTower		tower;
	Fixture		f;
	double		e = exp(-5.656854249);
	double		share = 1 / (2 + e);
	double		loss[2] = {0.694893, 0.003488};

	mr_recipe_fill(&hyper, FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(OPTIMIZER) | FIXTURE_SET(DIMENSIONS) |
				   FIXTURE_SET(TAG_TEMPERATURE) | FIXTURE_SET(TAG_WEIGHT) | FIXTURE_SET(LEARNING_RATE) |
				   FIXTURE_SET(LEARNING_RATE_DECAY), &x);
	/* with one tag, then with two, of which each is masked for the other */
	for (int n = 1; n <= 2; n++)
	{
		tag_start[1] = posts.lists.n_pairs = n;
		fixture_init_tags(&f, &hyper, &x, &posts, true);
		fixture_set_point(f.t, &f.t->users, 0, points[0]);
		fixture_set_point(f.t, &f.t->items, 0, points[1]);
		for (int i = 0; i < 3; i++)
			fixture_set_point(f.t, &f.t->tags.points, i, points[i]);
		mr_trainer_describe(f.t, &tower);
		ok(tower.has_tags && tower.user_weight == 0.5f, "user and item weigh the same at the start");
		mr_trainer_epoch(f.t, NULL, NULL, &result);
		ok_near(result.tag_loss, loss[n - 1], 1e-5, "loss of a post with %d of three tags", n);
		ok(result.loss == result.tag_loss && result.positives == n, "it is the whole loss");
		if (n == 1)
		{
			/* dL/dt_2 = (2/T) share q, of which (0.7071, 0) is tangent */
			ok_near(f.t->tags.points.value[f.t->tags.points.stride], -0.25 * 4 * share * 0.70710678, 1e-5,
					"a tag that is not given moves away");
			ok_near(f.t->tags.points.value[f.t->tags.points.stride + 1], 1, 1e-5, "along the sphere");
			/* the given tag is as near as the other: q turns to it, so w grows */
			mr_trainer_describe(f.t, &tower);
			ok(tower.user_weight > 0.5f, "the user's weight grows towards the given tag");
		}
		ok(fixture_guarded(&f), "nothing is written behind the memory");
		fixture_end(&f);
	}
}

/* ---- gradients ---- */

typedef enum Where
{
	TAG, ITEM, USER, BIAS, WEIGHT, ITEM_NET, USER_NET
} Where;

static const char *const where_names[] = {"tags", "items", "users", "biases", "user's weight", "items' network", "users' network"};

static float *
value_at(MrTrainer *t, Where where, int32_t index)
{
	MrPoints   *points = where == USER ? &t->users : where == ITEM ? &t->items : &t->tags.points;

	if (where == WEIGHT)
		return &t->tags.logit;
	if (where == ITEM_NET || where == USER_NET)
		points = mr_net_matrix(where == ITEM_NET ? t->item_tower.net : t->user_tower.net, 0);	/* W_s */
	if (where == BIAS)
		return t->tags.softmax.ranked.bias + index;
	return points->value + (size_t) (index / points->width) * points->stride + index % points->width;
}

static int32_t
count_of(const MrTrainer *t, Where where)
{
	if (where == WEIGHT)
		return 1;
	if (where == BIAS)
		return t->tags.points.n;
	if (where == ITEM_NET || where == USER_NET)
		return mr_net_matrix(where == ITEM_NET ? t->item_tower.net : t->user_tower.net, 0)->n * t->width;
	return (where == USER ? t->users.n : where == ITEM ? t->items.n : t->tags.points.n) * t->width;
}

/* Points well inside the ball, biases that are not 0, w that is not 1/2. */
static void
arrange(MrTrainer *t)
{
	MrPoints   *all[] = {&t->tags.points, &t->items, &t->users};

	for (int m = 0; m < 3; m++)
		for (int32_t i = 0; t->hyper.constraint == MR_CONSTRAINT_BALL && i < all[m]->n * all[m]->stride; i++)
			all[m]->value[i] *= 0.4f;
	for (int32_t i = 0; t->tags.softmax.ranked.bias && i < t->tags.points.n; i++)
		t->tags.softmax.ranked.bias[i] = 0.1f * (i % 5);
	t->tags.logit = 0.7f;
}

static void
refresh(MrTrainer *t)
{
	MrPoints   *all[] = {&t->tags.points, &t->items, &t->users};

	for (int m = 0; m < 3; m++)
		for (int32_t i = 0; i < all[m]->n; i++)
			mr_points_refresh(all[m], t->math, i);
	mr_softmax_refresh(t, &t->softmax, NULL, NULL);
	mr_softmax_refresh(t, &t->tags.softmax, NULL, NULL);
}

static double
disturbed_loss(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts, Where where, int32_t index, double by)
{
	MrHyper		still = *hyper;
	MrEpochResult result = {0};
	Fixture		f;

	still.learning_rate = 0;
	fixture_init_tags(&f, &still, x, posts, true);
	arrange(f.t);
	*value_at(f.t, where, index) += (float) by;
	refresh(f.t);
	mr_tags_epoch(f.t, NULL, NULL, &result);
	fixture_end(&f);
	return result.tag_loss;
}

/*
 * One step of SGD over all posts moves a number by -rate * gradient; users and
 * items by their share of that.
 */
static void
check(const char *name, const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts, Where where)
{
	double		share = where == TAG ? 1 : where == BIAS || where == WEIGHT ? MR_BIAS_RATE : hyper->tag_weight;
	double		difference = 5e-3;
	double		largest = 0;
	double		worst = 0;
	MrEpochResult result = {0};
	Fixture		f;
	int32_t		n;
	int32_t		step;
	double	   *gradient;

	fixture_init_tags(&f, hyper, x, posts, true);
	arrange(f.t);
	refresh(f.t);
	n = count_of(f.t, where);
	gradient = calloc(n, sizeof(double));
	for (int32_t i = 0; i < n; i++)
		gradient[i] = *value_at(f.t, where, i);
	mr_tags_epoch(f.t, NULL, NULL, &result);
	for (int32_t i = 0; i < n; i++)
	{
		gradient[i] = (gradient[i] - *value_at(f.t, where, i)) / (hyper->learning_rate * share);
		largest = fmax(largest, fabs(gradient[i]));
	}
	step = n > 400 ? n / 200 : 1;	/* of very many, some */
	for (int32_t i = 0; i < n; i += step)
	{
		double		up = disturbed_loss(hyper, x, posts, where, i, difference);
		double		down = disturbed_loss(hyper, x, posts, where, i, -difference);

		worst = fmax(worst, fabs((up - down) / (2 * difference) - gradient[i]) / largest);
	}
	ok(worst < TOLERANCE && largest > 0, "%s: gradient of the %s (%d numbers, worst error %.2g)",
	   name, where_names[where], n, worst);
	free(gradient);
	fixture_end(&f);
}

typedef struct Case
{
	const char *name;
	MrHyper		hyper;
	uint64_t	set;
	bool		large;			/* histories longer than what is pooled */
	bool		features;		/* of items, and of free users */
} Case;

#define COMMON .optimizer = MR_OPTIMIZER_SGD, .batch_size = 100000, .dimensions = 6, .tag_weight = 0.6, .tag_temperature = 0.3

static void
test_gradients(void)
{
	static const Case cases[] = {
		{"pooled, sphere, bias", {COMMON, .learning_rate = 1}},
		{"pooled, sphere, no bias", {COMMON, .learning_rate = 1}, FIXTURE_SET(ITEM_BIAS)},
		{"pooled, ball", {COMMON, .learning_rate = 0.1, .constraint = MR_CONSTRAINT_BALL}, FIXTURE_SET(CONSTRAINT)},
		{"pooled, long histories", {COMMON, .learning_rate = 100}, 0, true},
		{"free, sphere, bias", {COMMON, .learning_rate = 1, .tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_SPHERE},
		FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT)},
		{"free, ball, no bias", {COMMON, .learning_rate = 0.1, .tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL},
		FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(ITEM_BIAS)},
		{"free, no constraint, bias", {COMMON, .learning_rate = 0.1, .tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_NONE},
		FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT)},
		{"free, sphere, sampled items", {COMMON, .learning_rate = 1, .tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_SPHERE,
			.sampling = MR_SAMPLING_UNIFORM, .negatives = 9},
		FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(SAMPLING) | FIXTURE_SET(NEGATIVES)},
		{"pooled, features", {COMMON, .learning_rate = 10}, 0, false, true},
		{"free, ball, features", {COMMON, .learning_rate = 0.1, .tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL},
		FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT), false, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const Case *c = &cases[i];
		MrHyper		hyper = c->hyper;
		MrInteractions x;
		MrPosts		posts;
		MrFeatures	features[2];

		if (c->large)
			fixture_matrix(&x, 2, 620, 0.9, false, 5);
		else
			fixture_matrix(&x, 12, 17, 0.3, true, 5);
		fixture_posts(&posts, &x, 11, 6);
		if (c->large)
		{
			/* two posts of the second user, that the rest be few */
			posts.post_user[0] = posts.post_user[1] = 1;
			posts.post_item[0] = x.items[x.user_start[1] + 3];
			posts.post_item[1] = x.items[x.user_start[1] + 400];
			posts.n_posts = posts.lists.n_users = 2;
			posts.lists.n_pairs = posts.lists.user_start[2];
		}
		features_fixture(&features[0], x.n_users, 5, 0, 0.5, 6);
		features_fixture(&features[1], x.n_items, 7, 0, 0.5, 21);
		if (c->features)
			x.item_features = &features[1];
		if (c->features && hyper.tower == MR_TOWER_FREE)
			x.user_features = &features[0];
		ok(mr_posts_valid(&posts, x.n_users, x.n_items), "%s: the posts are valid", c->name);
		mr_recipe_fill(&hyper, c->set | FIXTURE_SET(OPTIMIZER) | FIXTURE_SET(BATCH_SIZE) | FIXTURE_SET(LEARNING_RATE) |
					   FIXTURE_SET(LEARNING_RATE_DECAY) | FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(TAG_WEIGHT) |
					   FIXTURE_SET(TAG_TEMPERATURE), &x);
		hyper.init_deviation = 0.5;
		check(c->name, &hyper, &x, &posts, TAG);
		if (c->features)
			check(c->name, &hyper, &x, &posts, ITEM_NET);
		if (c->features && hyper.tower == MR_TOWER_FREE)
			check(c->name, &hyper, &x, &posts, USER_NET);
		check(c->name, &hyper, &x, &posts, ITEM);
		if (hyper.tower == MR_TOWER_FREE)
			check(c->name, &hyper, &x, &posts, USER);
		if (hyper.item_bias)
			check(c->name, &hyper, &x, &posts, BIAS);
		check(c->name, &hyper, &x, &posts, WEIGHT);
		fixture_free_posts(&posts);
		fixture_free_matrix(&x);
		features_fixture_free(&features[0]);
		features_fixture_free(&features[1]);
	}
}

/* ---- as the caller sees it ---- */

typedef struct Result
{
	float	   *points;			/* users, items, tags */
	size_t		n;
	double		first_loss;
	double		last_loss;
	bool		good;
	MrTower		tower;
} Result;

static Result
train(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts)
{
	Result		r = {0};
	Fixture		f;
	size_t		users = (size_t) x->n_users * hyper->dimensions;
	size_t		items = (size_t) x->n_items * hyper->dimensions;
	MrStatus	status;

	r.n = users + items + (size_t) posts->n_tags * hyper->dimensions;
	r.points = calloc(r.n, sizeof(float));
	fixture_init_tags(&f, hyper, x, posts, false);
	status = f.status;
	for (int epoch = 0; status == MR_OK && epoch < hyper->epochs; epoch++)
	{
		MrEpochResult result;

		status = mr_trainer_epoch(f.t, NULL, NULL, &result);
		if (epoch == 0)
			r.first_loss = result.tag_loss;
		r.last_loss = result.tag_loss;
	}
	if (status == MR_OK)
		status = mr_trainer_export(f.t, NULL, NULL, r.points, r.points + users);
	if (status == MR_OK)
		status = mr_trainer_export_tags(f.t, NULL, NULL, r.points + users + items);
	mr_trainer_describe(f.t, &r.tower);
	r.good = status == MR_OK && fixture_guarded(&f);
	for (size_t i = 0; i < r.n; i++)
		r.good = r.good && isfinite(r.points[i]);
	fixture_end(&f);
	return r;
}

/* Every path: in its memory, repeatable, better than at the start. */
static void
test_training(void)
{
	static const MrHyper hypers[] = {
		{.tag_weight = 1}, {.tag_weight = 0.5}, {.tag_weight = 0},
		{.tag_weight = 0.5, .tower = MR_TOWER_FREE}, {.tag_weight = 1, .tower = MR_TOWER_FREE},
	};

	for (int i = 0; i < 5; i++)
		for (int adam = 0; adam < 2; adam++)
		{
			MrInteractions x;
			MrPosts		posts;
			MrHyper		hyper = hypers[i];
			Result		a;
			Result		b;

			fixture_matrix(&x, 60, 40, 0.2, false, 3);
			fixture_posts(&posts, &x, 30, 4);
			/* tags that say something: those of a post are the item's */
			for (int32_t p = 0; p < posts.n_posts; p++)
			{
				posts.lists.user_start[p + 1] = p + 1;
				posts.lists.items[p] = posts.post_item[p] % 30;
			}
			posts.lists.n_pairs = posts.n_posts;
			hyper.dimensions = 16;
			hyper.epochs = 8;
			hyper.batch_size = 32;
			hyper.tag_temperature = 0.2;
			hyper.optimizer = adam ? MR_OPTIMIZER_ADAM : MR_OPTIMIZER_ADAGRAD;
			mr_recipe_fill(&hyper, FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(EPOCHS) | FIXTURE_SET(BATCH_SIZE) |
						   FIXTURE_SET(TAG_WEIGHT) | FIXTURE_SET(TAG_TEMPERATURE) | FIXTURE_SET(TOWER) |
						   FIXTURE_SET(OPTIMIZER), &x);
			a = train(&hyper, &x, &posts);
			b = train(&hyper, &x, &posts);
			unit_case(a.good && b.good, "case %d: status and memory", i);
			unit_case(memcmp(a.points, b.points, a.n * sizeof(float)) == 0, "case %d: repeatable", i);
			unit_case(a.last_loss < 0.7 * a.first_loss, "case %d: loss %g -> %g", i, a.first_loss, a.last_loss);
			unit_case(a.tower.has_tags && a.tower.user_weight > 0 && a.tower.user_weight < 1, "case %d: tower", i);
			free(a.points);
			free(b.points);
			fixture_free_posts(&posts);
			fixture_free_matrix(&x);
		}
	unit_cases("training with tags");
}

static bool
stop_later(void *arg)
{
	return --*(int *) arg < 0;
}

/* Every poll may be the last. */
static void
test_stopping(void)
{
	MrInteractions x;
	MrPosts		posts;
	MrHyper		hyper = {.dimensions = 8, .tag_weight = 0.5, .tag_temperature = 0.3};
	MrStatus	status = MR_STOPPED;

	fixture_matrix(&x, 12, 17, 0.3, false, 5);
	fixture_posts(&posts, &x, 11, 6);
	mr_recipe_fill(&hyper, FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(TAG_WEIGHT) | FIXTURE_SET(TAG_TEMPERATURE), &x);
	for (int polls = 0; status == MR_STOPPED && polls < 10000; polls++)
	{
		MrEpochResult result;
		Fixture		f;
		int			left = polls;

		fixture_init_tags(&f, &hyper, &x, &posts, false);
		status = mr_trainer_epoch(f.t, stop_later, &left, &result);
		unit_case(fixture_guarded(&f) && (status == MR_OK || status == MR_STOPPED), "%d polls", polls);
		fixture_end(&f);
	}
	unit_case(status == MR_OK, "it ends without a stop");
	unit_cases("an epoch stops when it is told to");
	fixture_free_posts(&posts);
	fixture_free_matrix(&x);
}

/* What a query asks from is what the training asked from. */
static void
test_query(void)
{
	MrTower		sphere = {MR_TOWER_FREE, true, true, false, 3, true, 0.25f};
	MrTower		ball = {MR_TOWER_FREE, false, false, true, 2, true, 0.25f};
	float		user[] = {1, 0, 0};
	float		item[] = {0, 1, 0.9f};
	float		opposite[] = {-3, 0, 0.5f};
	float		q[3];

	ok(mr_tower_tag_query(&sphere, user, item, q) && fabs(q[0] - 0.316228) < 1e-5 && fabs(q[1] - 0.948683) < 1e-5 && q[2] == 0,
	   "a weighted midpoint on the sphere, without bias");
	ok(mr_tower_tag_query(&sphere, NULL, item, q) && q[0] == 0 && q[1] == 1 && q[2] == 0, "without user: the item itself");
	ok(mr_tower_tag_query(&ball, user, item, q) && q[0] == 0.25f && q[1] == 0.75f, "off the sphere: not normalised");
	sphere.user_weight = 0.75f;
	ok(mr_tower_tag_query(&sphere, user, opposite, q) && fabs(q[0] + 1) < 1e-6 && q[1] == 0, "points that cancel out: the item alone");
}

int
main(void)
{
	test_by_hand();
	test_gradients();
	test_training();
	test_stopping();
	test_query();
	return unit_done();
}
