/*
 * start_test.c
 *		Trainings that begin with given points.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

#define N_USERS 50
#define N_ITEMS 70
#define DIMENSIONS 12

typedef struct Setting
{
	const char *name;
	MrHyper		hyper;
	uint64_t	set;
} Setting;

static const Setting settings[] = {
	{"softmax, pooled", {.tower = MR_TOWER_POOLED}, 0},
	{"softmax, free, sphere", {.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_SPHERE}, FIXTURE_SET(CONSTRAINT)},
	{"softmax, free, ball", {.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL}, FIXTURE_SET(CONSTRAINT)},
	{"softmax, free, no constraint", {.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_NONE}, FIXTURE_SET(CONSTRAINT)},
	{"softmax, free, no bias", {.tower = MR_TOWER_FREE}, FIXTURE_SET(ITEM_BIAS)},
	{"softmax, shared negatives", {.tower = MR_TOWER_FREE, .sampling = MR_SAMPLING_UNIFORM, .negatives = 20},
	FIXTURE_SET(SAMPLING) | FIXTURE_SET(NEGATIVES)},
	{"cml, ball", {.tower = MR_TOWER_FREE, .preset = MR_PRESET_CML_RELEASED}, 0},
	{"triplet, no constraint", {.tower = MR_TOWER_FREE, .preset = MR_PRESET_TRIPLET}, 0},
	{"two-stage, sphere", {.tower = MR_TOWER_FREE, .preset = MR_PRESET_TWO_STAGE, .candidates = 30}, FIXTURE_SET(CANDIDATES)},
};

typedef struct Points
{
	float		users[N_USERS * DIMENSIONS];
	float		items[N_ITEMS * DIMENSIONS];
	float		new_item;
} Points;

static MrHyper
hyper_of(const Setting *s, const MrInteractions *x)
{
	MrHyper		hyper = s->hyper;

	hyper.dimensions = DIMENSIONS;
	hyper.epochs = 3;
	hyper.batch_size = 16;
	mr_recipe_fill(&hyper, s->set | FIXTURE_SET(TOWER) | FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(EPOCHS) |
				   FIXTURE_SET(BATCH_SIZE), x);
	return hyper;
}

/* Train so many epochs, from *start if there is one, and export. */
static MrStatus
train(const MrHyper *hyper, const MrInteractions *x, const MrStart *start, int epochs, Points *points, double *loss)
{
	Fixture		f;
	MrEpochResult result = {0};
	MrStatus	status;

	fixture_init(&f, hyper, x, false);
	status = f.status;
	if (status == MR_OK && start)
		status = mr_trainer_set_start(f.t, start, NULL, NULL);
	for (int epoch = 0; status == MR_OK && epoch < epochs; epoch++)
	{
		status = mr_trainer_epoch(f.t, NULL, NULL, &result);
		if (epoch == 0 && loss)
			*loss = result.loss;
	}
	if (status == MR_OK)
	{
		status = mr_trainer_export(f.t, NULL, NULL, points->users, points->items);
		points->new_item = mr_trainer_new_item_bias(f.t);
	}
	unit_case(fixture_guarded(&f), "keeps to its memory");
	fixture_end(&f);
	return status;
}

static double
distance(const Points *p, int32_t user, int32_t item)
{
	double		sum = 0;

	for (int32_t k = 0; k < DIMENSIONS; k++)
		sum += pow(p->users[user * DIMENSIONS + k] - p->items[item * DIMENSIONS + k], 2);
	return sum;
}

/* The largest difference between the two's squared distances. */
static double
difference(const Points *a, const Points *b)
{
	double		most = 0;

	for (int32_t u = 0; u < N_USERS; u++)
		for (int32_t i = 0; i < N_ITEMS; i++)
			most = fmax(most, fabs(distance(a, u, i) - distance(b, u, i)));
	return most;
}

/* Export, start from it, export: the same distances.  Training on begins where it ended. */
static void
test_round_trip(const MrInteractions *x)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
	{
		MrHyper		hyper = hyper_of(&settings[i], x);
		Points		first;
		Points		again;
		Points		other;
		MrStart		start = {first.users, first.items, NULL, NULL, 0};
		double		cold = 0;
		double		warm = INFINITY;

		unit_case(train(&hyper, x, NULL, 3, &first, &cold) == MR_OK, "%s trains", settings[i].name);
		hyper.seed = 77;
		unit_case(train(&hyper, x, &start, 0, &again, NULL) == MR_OK && difference(&first, &again) < 1e-4,
				  "%s: distances differ by %g", settings[i].name, difference(&first, &again));
		start.new_item = first.new_item;
		unit_case(train(&hyper, x, &start, 0, &again, NULL) == MR_OK && difference(&first, &again) < 1e-4 &&
				  fabs(again.new_item - first.new_item) < 1e-4,
				  "%s: a new item's bias is %g, was %g", settings[i].name, again.new_item, first.new_item);
		train(&hyper, x, &start, 1, &again, &warm);
		unit_case(warm < cold, "%s: the first loss is %g, at random %g", settings[i].name, warm, cold);
		hyper.temperature *= 1.7;
		unit_case(train(&hyper, x, &start, 0, &other, NULL) == MR_OK && difference(&first, &other) < 1e-4,
				  "%s: another temperature changes distances by %g", settings[i].name, difference(&first, &other));
	}
	unit_cases("a start has the distances of the points that it was given");
}

/* (1 - share) learned + share given of the rows' first `width` coordinates, under the constraint. */
static double
blend_error(const float *learned, const float *given, const float *got, int32_t n, int32_t width, MrConstraint constraint,
			double share)
{
	double		most = 0;

	for (int32_t row = 0; row < n; row++)
	{
		double		blended[DIMENSIONS];
		double		square = 0;

		for (int32_t k = 0; k < width; k++)
		{
			blended[k] = (1 - share) * learned[row * DIMENSIONS + k] + share * given[row * DIMENSIONS + k];
			square += blended[k] * blended[k];
		}
		if (constraint == MR_CONSTRAINT_NONE || (constraint == MR_CONSTRAINT_BALL && square <= 1))
			square = 1;
		for (int32_t k = 0; k < width; k++)
			most = fmax(most, fabs(blended[k] / sqrt(square) - got[row * DIMENSIONS + k]));
	}
	return most;
}

/* The blended biases, which the last coordinates c have as T (largest - b) = c^2. */
static double
bias_error(const Points *learned, const Points *given, const Points *got, double share)
{
	double		least = INFINITY;
	double		most = 0;

	for (int pass = 0; pass < 2; pass++)
		for (int32_t i = 0; i < N_ITEMS; i++)
		{
			int32_t		at = i * DIMENSIONS + DIMENSIONS - 1;
			double		square = (1 - share) * pow(learned->items[at], 2) + share * pow(given->items[at], 2);

			if (pass == 0)
				least = fmin(least, square);
			else
				most = fmax(most, fabs(square - least - pow(got->items[at], 2)));
		}
	return most;
}

/* A start keeps its share of what is written, and changes nothing of what is learned. */
static void
test_share(const MrInteractions *x)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
	{
		MrHyper		hyper = hyper_of(&settings[i], x);
		int32_t		width = DIMENSIONS - hyper.item_bias;
		double		loss[2];
		Points		given;
		Points		learned;
		Points		got;
		MrStart		start = {given.users, given.items, NULL, NULL, 0};

		if (hyper.loss != MR_LOSS_SOFTMAX || hyper.tower != MR_TOWER_FREE)
			continue;
		hyper.start_share = 0;
		train(&hyper, x, NULL, 3, &given, NULL);
		hyper.seed = 5;
		train(&hyper, x, NULL, 1, &learned, NULL);
		hyper.start_share = 0.3;
		unit_case(train(&hyper, x, NULL, 1, &got, NULL) == MR_OK && memcmp(&got, &learned, sizeof(got)) == 0,
				  "%s: a share of no start", settings[i].name);
		unit_case(train(&hyper, x, &start, 0, &got, NULL) == MR_OK && difference(&got, &given) < 1e-4,
				  "%s: a share of itself", settings[i].name);
		train(&hyper, x, &start, 2, &got, &loss[0]);
		hyper.start_share = 0;
		train(&hyper, x, &start, 2, &learned, &loss[1]);
		unit_case(loss[0] == loss[1], "%s: the loss is another", settings[i].name);
		unit_case(blend_error(learned.items, given.items, got.items, N_ITEMS, width, hyper.constraint, 0.3) < 1e-5,
				  "%s: items are not between", settings[i].name);
		unit_case(blend_error(learned.users, given.users, got.users, N_USERS, width, hyper.constraint, 0.3) < 1e-5,
				  "%s: users are not between", settings[i].name);
		unit_case(!hyper.item_bias || bias_error(&learned, &given, &got, 0.3) < 1e-4,
				  "%s: biases are not between", settings[i].name);
	}
	unit_cases("a start keeps its share");
}

/* Rows without a start, and sides without one, begin at random as always. */
static void
test_partly(const MrInteractions *x)
{
	MrHyper		hyper = hyper_of(&settings[1], x);
	static Points given;
	static Points random;
	static Points got;
	uint8_t		has_user[N_USERS];
	uint8_t		has_item[N_ITEMS];
	MrStart		start = {given.users, given.items, has_user, has_item, 0};
	int			same = 0;
	int			kept = 0;

	train(&hyper, x, NULL, 2, &given, NULL);
	train(&hyper, x, NULL, 0, &random, NULL);
	for (int32_t u = 0; u < N_USERS; u++)
		has_user[u] = u % 3 == 0;
	for (int32_t i = 0; i < N_ITEMS; i++)
		has_item[i] = i % 2;
	for (int32_t k = 0; k < DIMENSIONS; k++)
		given.items[k] = NAN;	/* of a row that has no start: not read */
	ok(train(&hyper, x, &start, 0, &got, NULL) == MR_OK, "a start of some rows");
	for (int32_t i = 0; i < N_ITEMS; i++)
		for (int32_t k = 0; k < DIMENSIONS - 1; k++)
		{
			int32_t		at = i * DIMENSIONS + k;

			same += has_item[i] && fabsf(got.items[at] - given.items[at]) < 1e-5f;
			kept += !has_item[i] && got.items[at] == random.items[at];
		}
	ok(same == N_ITEMS / 2 * (DIMENSIONS - 1) && kept == N_ITEMS / 2 * (DIMENSIONS - 1), "the others are at random");
	start = (MrStart) {.users = given.users};
	ok(train(&hyper, x, &start, 0, &got, NULL) == MR_OK && memcmp(got.items, random.items, sizeof(got.items)) == 0 &&
	   memcmp(got.users, random.users, sizeof(got.users)) != 0, "users alone");
	memset(given.users, 0, sizeof(given.users));
	ok(train(&hyper, x, &start, 0, &got, NULL) == MR_OK && memcmp(got.users, random.users, sizeof(got.users)) == 0,
	   "points without a direction begin at random on the sphere");
	start = (MrStart) {.items = given.items};
	ok(train(&hyper, x, &start, 0, &got, NULL) == MR_DIVERGED, "what is not finite is refused");
}

/* A start under a tower of features is that of the ids. */
static void
test_tower(const MrInteractions *x)
{
	MrInteractions with = *x;
	MrHyper		hyper = {.dimensions = DIMENSIONS, .epochs = 2, .batch_size = 16};
	static Points given;
	static Points got;
	MrStart		start = {given.users, given.items, NULL, NULL, 0};
	MrFeatures	features;
	double		warm = INFINITY;
	double		cold = 0;

	features_fixture(&features, N_ITEMS, 9, 4, 0.3, 31);
	with.item_features = &features;
	mr_recipe_fill(&hyper, FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(EPOCHS) | FIXTURE_SET(BATCH_SIZE), &with);
	train(&hyper, &with, NULL, 2, &given, &cold);
	train(&hyper, &with, &start, 2, &got, &warm);
	ok(warm < cold, "with features: loss %g, at random %g", warm, cold);
	features_fixture_free(&features);
}

typedef struct Countdown
{
	int			left;
} Countdown;

static bool
count_down(void *arg)
{
	return --((Countdown *) arg)->left < 0;
}

/* Stops at every call of poll(). */
static void
test_stops(void)
{
	MrInteractions x;
	MrHyper		hyper = {.tower = MR_TOWER_FREE, .dimensions = 1000};
	float	   *users;
	float	   *items;
	int			stop = 0;

	fixture_matrix(&x, 2500, 2500, 0, false, 3);
	users = calloc(2500 * 1000, sizeof(float));
	items = calloc(2500 * 1000, sizeof(float));
	mr_recipe_fill(&hyper, FIXTURE_SET(TOWER) | FIXTURE_SET(DIMENSIONS), &x);
	for (;; stop++)
	{
		Fixture		f;
		Countdown	countdown = {stop};
		MrStart		start = {users, items, NULL, NULL, 0};
		MrStatus	status;

		fixture_init(&f, &hyper, &x, true);
		status = mr_trainer_set_start(f.t, &start, count_down, &countdown);
		unit_case(fixture_guarded(&f) && (status == MR_OK) == (countdown.left >= 0), "stopped at call %d", stop);
		fixture_end(&f);
		if (status == MR_OK || stop > 1000)
			break;
	}
	unit_case(stop > 0 && stop < 1000, "it polls");
	unit_cases("stops when it is asked to");
	free(users);
	free(items);
	fixture_free_matrix(&x);
}

int
main(void)
{
	MrInteractions x;

	fixture_matrix(&x, N_USERS, N_ITEMS, 0.2, false, 5);
	test_round_trip(&x);
	test_share(&x);
	test_partly(&x);
	test_tower(&x);
	test_stops();
	fixture_free_matrix(&x);
	return unit_done();
}
