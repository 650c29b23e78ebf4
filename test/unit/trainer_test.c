/*
 * trainer_test.c
 *		The trainer as its caller sees it: memory, stopping, repeatability,
 *		learning, and matrices with nothing to learn from.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

typedef struct Setting
{
	const char *name;
	MrHyper		hyper;
	uint64_t	set;
} Setting;

/* Every path through the trainer. */
static const Setting settings[] = {
	{"default", {0}, 0},
	{"free", {.tower = MR_TOWER_FREE}, FIXTURE_SET(TOWER)},
	{"free, ball", {.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL}, FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT)},
	{"no constraint, no bias", {.constraint = MR_CONSTRAINT_NONE, .weight_decay = 0.01},
	FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(ITEM_BIAS) | FIXTURE_SET(WEIGHT_DECAY)},
	{"uniform samples", {.sampling = MR_SAMPLING_UNIFORM, .negatives = 7}, FIXTURE_SET(SAMPLING) | FIXTURE_SET(NEGATIVES)},
	{"popular samples, free, adagrad", {.sampling = MR_SAMPLING_POPULARITY, .negatives = 600, .tower = MR_TOWER_FREE,
		.optimizer = MR_OPTIMIZER_ADAGRAD},
	FIXTURE_SET(SAMPLING) | FIXTURE_SET(NEGATIVES) | FIXTURE_SET(TOWER) | FIXTURE_SET(OPTIMIZER)},
	{"propagation", {.propagation = 0.5}, FIXTURE_SET(PROPAGATION)},
	{"propagation, free, ball", {.propagation = 0.5, .tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL},
	FIXTURE_SET(PROPAGATION) | FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT)},
	{"cml_paper", {.preset = MR_PRESET_CML_PAPER}, 0},
	{"cml_released", {.preset = MR_PRESET_CML_RELEASED}, 0},
	{"two_stage", {.preset = MR_PRESET_TWO_STAGE, .candidates = 70}, FIXTURE_SET(CANDIDATES)},
	{"triplet", {.preset = MR_PRESET_TRIPLET}, 0},
	{"dual_tower", {.preset = MR_PRESET_DUAL_TOWER}, 0},
	{"triplet, popular, sgd", {.loss = MR_LOSS_TRIPLET, .sampling = MR_SAMPLING_POPULARITY, .optimizer = MR_OPTIMIZER_SGD,
		.learning_rate = 0.01}, FIXTURE_SET(LOSS) | FIXTURE_SET(SAMPLING) | FIXTURE_SET(OPTIMIZER) | FIXTURE_SET(LEARNING_RATE)},
};

#define N_SETTINGS ((int) (sizeof(settings) / sizeof(settings[0])))

static void
fill_hyper(const Setting *s, int32_t dimensions, const MrInteractions *x, MrHyper *hyper)
{
	*hyper = s->hyper;
	hyper->dimensions = dimensions;
	hyper->epochs = 3;
	hyper->batch_size = 16;
	mr_recipe_fill(hyper, s->set | FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(EPOCHS) | FIXTURE_SET(BATCH_SIZE), x);
}

typedef struct Run
{
	MrStatus	status;
	float	   *users;
	float	   *items;
	size_t		user_floats;
	size_t		item_floats;
	bool		guarded;
	double		first_loss;
	double		last_loss;
	int64_t		positives;
	MrTower		tower;
} Run;

/* Train to the end, export between guard bytes. */
static Run
run(const MrHyper *hyper, const MrInteractions *x)
{
	Run			r = {0};
	Fixture		f;
	size_t		guard = GUARD_BYTES / sizeof(float);

	r.user_floats = (size_t) x->n_users * hyper->dimensions;
	r.item_floats = (size_t) x->n_items * hyper->dimensions;
	r.users = malloc((r.user_floats + guard) * sizeof(float));
	r.items = malloc((r.item_floats + guard) * sizeof(float));
	memset(r.users, 0x5a, (r.user_floats + guard) * sizeof(float));
	memset(r.items, 0x5a, (r.item_floats + guard) * sizeof(float));
	fixture_init(&f, hyper, x, false);
	r.status = f.status;
	for (int epoch = 0; r.status == MR_OK && epoch < hyper->epochs; epoch++)
	{
		MrEpochResult result;

		r.status = mr_trainer_epoch(f.t, NULL, NULL, &result);
		if (epoch == 0)
			r.first_loss = result.loss;
		r.last_loss = result.loss;
		r.positives = result.positives;
	}
	if (r.status == MR_OK)
		r.status = mr_trainer_export(f.t, NULL, NULL, r.users, r.items);
	if (f.t)
		mr_trainer_describe(f.t, &r.tower);
	r.guarded = fixture_guarded(&f);
	for (size_t i = 0; i < GUARD_BYTES; i++)
		r.guarded = r.guarded && ((unsigned char *) (r.users + r.user_floats))[i] == 0x5a &&
			((unsigned char *) (r.items + r.item_floats))[i] == 0x5a;
	fixture_end(&f);
	return r;
}

static void
end_run(Run *r)
{
	free(r->users);
	free(r->items);
}

/* Points are finite, on the sphere or in the ball, users' bias coordinate is 0. */
static bool
points_valid(const Run *r, const MrHyper *hyper, const MrInteractions *x)
{
	int32_t		d = hyper->dimensions;
	int32_t		width = d - r->tower.item_bias;

	for (int32_t i = 0; i < x->n_users + x->n_items; i++)
	{
		const float *p = i < x->n_users ? r->users + (size_t) i * d : r->items + (size_t) (i - x->n_users) * d;
		double		square = 0;

		for (int32_t k = 0; k < d; k++)
			if (!isfinite(p[k]))
				return false;
		for (int32_t k = 0; k < width; k++)
			square += p[k] * p[k];
		/* a pooled user whose items cancel out has no direction */
		if (r->tower.sphere && fabs(square - 1) > 1e-4 && !(square == 0 && hyper->tower == MR_TOWER_POOLED && i < x->n_users))
			return false;
		if (r->tower.ball && square > 1 + 1e-4)
			return false;
		if (r->tower.item_bias && (i < x->n_users ? p[width] != 0 : p[width] < 0))
			return false;
	}
	return true;
}

/* Every setting, several dimensions: in its memory, repeatable, valid points. */
static void
test_settings(void)
{
	MrInteractions x;

	fixture_matrix(&x, 70, 90, 0.15, true, 21);
	for (int i = 0; i < N_SETTINGS; i++)
		for (int32_t dimensions = 2; dimensions <= 40; dimensions += 13)
		{
			MrHyper		hyper;
			Run			a;
			Run			b;
			Run			c;

			fill_hyper(&settings[i], dimensions, &x, &hyper);
			unit_case(mr_recipe_conflict(&hyper) == NULL, "%s: hyper-parameters agree", settings[i].name);
			a = run(&hyper, &x);
			b = run(&hyper, &x);
			hyper.seed++;
			c = run(&hyper, &x);
			unit_case(a.status == MR_OK && isfinite(a.last_loss) && a.positives > 0, "%s in %d dimensions: status %d, loss %g",
					  settings[i].name, dimensions, a.status, a.last_loss);
			unit_case(a.guarded, "%s in %d dimensions: keeps to its memory", settings[i].name, dimensions);
			unit_case(points_valid(&a, &hyper, &x), "%s in %d dimensions: valid points", settings[i].name, dimensions);
			unit_case(memcmp(a.users, b.users, a.user_floats * sizeof(float)) == 0 &&
					  memcmp(a.items, b.items, a.item_floats * sizeof(float)) == 0,
					  "%s in %d dimensions: bit for bit the same", settings[i].name, dimensions);
			unit_case(memcmp(a.items, c.items, a.item_floats * sizeof(float)) != 0,
					  "%s in %d dimensions: another seed, another model", settings[i].name, dimensions);
			end_run(&a);
			end_run(&b);
			end_run(&c);
		}
	unit_cases("every setting in 2, 15 and 28 dimensions");
	fixture_free_matrix(&x);
}

/* Two groups of users with tastes of their own: the other group's items must end up farther away. */
static void
test_learns(void)
{
	MrInteractions x;
	int64_t		n = 0;

	fixture_matrix(&x, 60, 40, 1, false, 1);
	for (int32_t u = 0; u < 60; u++)
	{
		x.user_start[u] = n;
		for (int32_t i = 0; i < 40; i++)
			if (i % 2 == u % 2 && (i * 7 + u * 3) % 5 != 0)
				x.items[n++] = i;
	}
	x.user_start[60] = x.n_pairs = n;
	for (int i = 0; i < N_SETTINGS; i++)
	{
		MrHyper		hyper;
		Run			r;
		int			good = 0;
		int			all = 0;

		fill_hyper(&settings[i], 16, &x, &hyper);
		hyper.epochs = 40;
		hyper.learning_rate = fmax(hyper.learning_rate, 0.01);
		r = run(&hyper, &x);
		for (int32_t u = 0; u < 60; u++)
			for (int32_t k = 0; k < 40; k += 2)
			{
				double		own = 0;
				double		other = 0;

				/* items of the own group that were not trained on count, too */
				for (int32_t c = 0; c < 16; c++)
				{
					own += pow(r.users[u * 16 + c] - r.items[(k + u % 2) * 16 + c], 2);
					other += pow(r.users[u * 16 + c] - r.items[(k + 1 - u % 2) * 16 + c], 2);
				}
				good += own < other;
				all++;
			}
		unit_case(good > 0.9 * all && r.last_loss < r.first_loss, "%s: %d of %d, loss %g to %g", settings[i].name, good, all,
				  r.first_loss, r.last_loss);
		end_run(&r);
	}
	unit_cases("every setting learns which items belong together");
	fixture_free_matrix(&x);
}

/* poll() is obeyed at every single call. */
typedef struct Countdown
{
	int			left;
} Countdown;

static bool
count_down(void *arg)
{
	return --((Countdown *) arg)->left < 0;
}

static void
test_stops(void)
{
	MrInteractions x;
	float	   *users = malloc(70 * 20 * sizeof(float));
	float	   *items = malloc(90 * 20 * sizeof(float));

	fixture_matrix(&x, 70, 90, 0.15, false, 22);
	for (int i = 0; i < N_SETTINGS; i++)
	{
		MrHyper		hyper;

		fill_hyper(&settings[i], 20, &x, &hyper);
		for (int stop = 0; stop < 1000; stop++)
		{
			Fixture		f;
			Countdown	countdown = {stop};
			MrEpochResult result;
			MrStatus	status;

			fixture_init(&f, &hyper, &x, false);
			status = mr_trainer_epoch(f.t, count_down, &countdown, &result);
			if (status == MR_OK)
				status = mr_trainer_export(f.t, count_down, &countdown, users, items);
			unit_case(fixture_guarded(&f) && (status == MR_OK) == (countdown.left >= 0) && (status == MR_OK || status == MR_STOPPED),
					  "%s stopped at call %d: status %d", settings[i].name, stop, status);
			fixture_end(&f);
			if (status == MR_OK)
			{
				unit_case(stop > 0, "%s polls", settings[i].name);
				break;
			}
		}
	}
	unit_cases("stops whenever it is asked to");
	free(users);
	free(items);
	fixture_free_matrix(&x);
}

/* Nothing to learn from, or hardly anything: a status, never a crash. */
static void
test_degenerate(void)
{
	static const struct
	{
		const char *name;
		int32_t		n_users;
		int32_t		n_items;
		double		density;
		MrStatus	want;
	}			shapes[] = {
		{"one user, one item", 1, 1, 1, MR_NO_NEGATIVE},
		{"everything liked by everyone", 5, 4, 1, MR_NO_NEGATIVE},
		{"one item, many users", 30, 1, 1, MR_NO_NEGATIVE},
		{"one user", 1, 10, 0.4, MR_OK},
		{"one pair", 1, 2, 0, MR_OK},
		{"users with one item each", 20, 30, 0, MR_OK},
		{"nearly everything liked", 6, 40, 0.97, MR_OK},
		{"more users than a batch, two items", 300, 2, 0.1, MR_OK},
	};

	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (int i = 0; i < N_SETTINGS; i++)
		{
			MrInteractions x;
			MrHyper		hyper;
			Run			r;

			fixture_matrix(&x, shapes[s].n_users, shapes[s].n_items, shapes[s].density, i % 2, 30 + s);
			fill_hyper(&settings[i], 2 + i % 3, &x, &hyper);
			r = run(&hyper, &x);
			unit_case(r.status == shapes[s].want, "%s, %s: status %d", shapes[s].name, settings[i].name, r.status);
			unit_case(r.guarded && (r.status != MR_OK || points_valid(&r, &hyper, &x)), "%s, %s: points", shapes[s].name,
					  settings[i].name);
			end_run(&r);
			fixture_free_matrix(&x);
		}
	unit_cases("degenerate matrices");
}

/* Users and items without interactions, as a held-out split leaves them. */
static void
test_empty_rows(void)
{
	static int64_t user_start[6] = {0, 0, 3, 3, 5, 5};
	static int32_t items[5] = {1, 3, 4, 1, 4};
	MrInteractions x = {5, 7, 5, user_start, items, NULL, NULL};
	MrInteractions nothing = {5, 7, 0, (int64_t[6]) {0}, items, NULL, NULL};
	Fixture		f;

	for (int i = 0; i < N_SETTINGS; i++)
	{
		MrHyper		hyper;
		Run			r;

		fill_hyper(&settings[i], 8, &x, &hyper);
		r = run(&hyper, &x);
		unit_case(r.status == MR_OK && r.guarded, "%s: status %d", settings[i].name, r.status);
		for (int32_t k = 0; hyper.tower == MR_TOWER_POOLED && k < 8; k++)
			unit_case(r.users[k] == 0, "%s: a pooled user without items has zeroes", settings[i].name);
		end_run(&r);
		fill_hyper(&settings[i], 8, &nothing, &hyper);
		fixture_start(&f, &hyper, &nothing);
		unit_case(f.t == NULL && f.status == MR_NO_NEGATIVE, "%s: no interactions", settings[i].name);
		fixture_end(&f);
	}
	unit_cases("users and items without interactions");
}

/* Sizes: exact, refused when too small or too large to count. */
static void
test_bytes(void)
{
	MrInteractions x;
	MrHyper		hyper;
	MrStatus	status;
	size_t		bytes;
	char	   *memory;

	fixture_matrix(&x, 20, 30, 0.3, false, 4);
	fill_hyper(&settings[0], 16, &x, &hyper);
	bytes = mr_trainer_bytes(&hyper, &x, NULL);
	memory = malloc(bytes + 7);
	ok(mr_trainer_init(memory, bytes - 1, &hyper, &x, NULL, &status) == NULL && status == MR_OUT_OF_MEMORY, "a byte too few is refused");
	ok(mr_trainer_init(memory + 7, bytes, &hyper, &x, NULL, &status) != NULL, "the memory may start at an odd address");
	free(memory);
	hyper.sampling = MR_SAMPLING_UNIFORM;
	hyper.negatives = INT32_MAX;
	ok(mr_trainer_bytes(&hyper, &x, NULL) > (size_t) INT32_MAX * 16 * sizeof(float), "huge counts do not wrap around");
	x.n_items = INT32_MAX;
	x.n_pairs = x.user_start[20];
	hyper.sampling = MR_SAMPLING_FULL;
	hyper.dimensions = 16000;
	ok(mr_trainer_bytes(&hyper, &x, NULL) > (size_t) INT32_MAX * 16000 * 4, "two thousand million items of 16,000 coordinates");
	fixture_free_matrix(&x);
}

/* The softmax's positives are no negatives: with nothing else to tell apart, nothing moves. */
static void
test_positives_are_not_negatives(void)
{
	MrInteractions x;
	MrHyper		hyper = {.tower = MR_TOWER_FREE, .dimensions = 8, .epochs = 1};
	Fixture		f;
	MrEpochResult result;
	float		before[8 * 16];

	/* user 0 likes all items but the last, which user 1 alone likes; user 2 likes everything */
	fixture_matrix(&x, 3, 8, 1, false, 1);
	x.user_start[1] = 7;
	x.items[7] = 7;
	x.user_start[2] = 8;
	for (int i = 0; i < 8; i++)
		x.items[8 + i] = i;
	x.user_start[3] = x.n_pairs = 16;
	mr_recipe_fill(&hyper, FIXTURE_SET(TOWER) | FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(EPOCHS), &x);
	fixture_start(&f, &hyper, &x);
	memcpy(before, f.t->users.value + 2 * f.t->stride, f.t->stride * sizeof(float));
	mr_trainer_epoch(f.t, NULL, NULL, &result);
	ok(memcmp(before, f.t->users.value + 2 * f.t->stride, f.t->stride * sizeof(float)) == 0,
	   "a user who likes everything learns nothing");
	ok(result.positives == 16, "all positives are visited");
	fixture_end(&f);
	fixture_free_matrix(&x);
}

/* A rate far too high is reported, not returned as a model. */
static void
test_diverges(void)
{
	MrInteractions x;
	MrHyper		hyper = {.constraint = MR_CONSTRAINT_NONE, .optimizer = MR_OPTIMIZER_SGD, .learning_rate = 1e30,
		.tower = MR_TOWER_FREE};
	Run			r;

	fixture_matrix(&x, 20, 30, 0.3, false, 4);
	mr_recipe_fill(&hyper, FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(OPTIMIZER) | FIXTURE_SET(LEARNING_RATE) | FIXTURE_SET(TOWER), &x);
	r = run(&hyper, &x);
	ok(r.status == MR_DIVERGED, "softmax: divergence is reported (status %d)", r.status);
	end_run(&r);
	hyper = (MrHyper) {.preset = MR_PRESET_TRIPLET, .optimizer = MR_OPTIMIZER_SGD, .learning_rate = 1e30};
	mr_recipe_fill(&hyper, FIXTURE_SET(OPTIMIZER) | FIXTURE_SET(LEARNING_RATE), &x);
	r = run(&hyper, &x);
	ok(r.status == MR_DIVERGED, "triplet: divergence is reported (status %d)", r.status);
	end_run(&r);
	fixture_free_matrix(&x);
}

int
main(void)
{
	test_settings();
	test_learns();
	test_stops();
	test_degenerate();
	test_empty_rows();
	test_bytes();
	test_positives_are_not_negatives();
	test_diverges();
	return unit_done();
}
