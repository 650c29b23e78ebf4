/*
 * start_towers_test.c
 *		Starts with the networks of towers, with tags, and of free users.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/embedder.h"
#include "model_fixture.h"

#define N_USERS 40
#define N_ITEMS 70
#define N_TAGS 9
#define DIMENSIONS 12

/* A training's outcome, as a version stores it. */
typedef struct Version
{
	float		users[N_USERS * DIMENSIONS];
	float		items[N_ITEMS * DIMENSIONS];
	float		tags[N_TAGS * DIMENSIONS];
	float		new_item;
	MrTower		tower;
	uint8_t    *stored[2];
	size_t		bytes[2];
} Version;

static MrInteractions x;
static MrPosts posts;

/* Train so many epochs, from *start if there is one; the outcome into *v. */
static MrStatus
train(const MrHyper *hyper, bool with_tags, const MrStart *start, int epochs, Version *v)
{
	Fixture		f;
	MrEpochResult result;
	MrStatus	status;

	memset(v, 0, sizeof(*v));
	fixture_init_tags(&f, hyper, &x, with_tags ? &posts : NULL, true);
	status = f.status;
	if (status == MR_OK && start)
		status = mr_trainer_set_start(f.t, start, NULL, NULL);
	for (int epoch = 0; status == MR_OK && epoch < epochs; epoch++)
		status = mr_trainer_epoch(f.t, NULL, NULL, &result);
	if (status == MR_OK)
		status = mr_trainer_export(f.t, NULL, NULL, v->users, v->items);
	if (status == MR_OK && with_tags)
		status = mr_trainer_export_tags(f.t, NULL, NULL, v->tags);
	for (int side = 0; status == MR_OK && side < 2; side++)
	{
		v->bytes[side] = mr_embedder_bytes(f.t, side);
		v->stored[side] = v->bytes[side] ? malloc(v->bytes[side]) : NULL;
		if (v->stored[side])
			mr_embedder_write(f.t, side, v->stored[side], NULL, NULL);
	}
	v->new_item = mr_trainer_new_item_bias(f.t);
	mr_trainer_describe(f.t, &v->tower);
	unit_case(fixture_guarded(&f), "keeps to its memory");
	fixture_end(&f);
	return status;
}

static void
free_version(Version *v)
{
	free(v->stored[0]);
	free(v->stored[1]);
}

static MrStart
start_of(const Version *v)
{
	MrStart		start = {.users = v->users, .items = v->items, .new_item = v->new_item};

	start.tags = v->tags;
	start.user_weight = v->tower.user_weight;
	for (int side = 0; side < 2; side++)
	{
		start.tower[side] = v->stored[side];
		start.tower_bytes[side] = v->bytes[side];
	}
	return start;
}

static double
largest_difference(const float *a, const float *b, int n)
{
	double		largest = 0;

	for (int i = 0; i < n; i++)
		largest = fmax(largest, fabsf(a[i] - b[i]));
	return largest;
}

static MrHyper
hyper_of(MrTowerKind tower, MrConstraint constraint, MrCombination combination, int32_t n_hidden)
{
	MrHyper		hyper = {.tower = tower, .constraint = constraint, .item_combination = combination, .user_combination = combination,
	.dimensions = DIMENSIONS, .epochs = 3, .batch_size = 16, .n_hidden = n_hidden, .hidden = {7}};

	mr_recipe_fill(&hyper, FIXTURE_SET(TOWER) | FIXTURE_SET(CONSTRAINT) | FIXTURE_SET(ITEM_COMBINATION) |
				   FIXTURE_SET(USER_COMBINATION) | FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(EPOCHS) |
				   FIXTURE_SET(BATCH_SIZE) | FIXTURE_SET(HIDDEN_LAYERS), &x);
	return hyper;
}

/* With the stored towers, the points before the first epoch are the given ones. */
static void
test_round_trip(void)
{
	static const MrCombination combinations[] = {MR_COMBINE_SUM, MR_COMBINE_PRIOR, MR_COMBINE_FEATURES};

	for (int i = 0; i < 3 * 2 * 3 * 2; i++)
	{
		MrCombination combination = combinations[i % 3];
		MrTowerKind tower = i / 3 % 2 ? MR_TOWER_FREE : MR_TOWER_POOLED;
		MrConstraint constraint = (MrConstraint) (i / 6 % 3);
		MrHyper		hyper = hyper_of(tower, constraint, combination, i / 18);
		Version		first;
		Version		again;
		MrStart		start;

		if (combination == MR_COMBINE_PRIOR && tower == MR_TOWER_POOLED)
			continue;
		unit_case(train(&hyper, false, NULL, 3, &first) == MR_OK, "case %d trains", i);
		start = start_of(&first);
		hyper.seed = 77;
		unit_case(train(&hyper, false, &start, 0, &again) == MR_OK &&
				  largest_difference(first.items, again.items, N_ITEMS * DIMENSIONS) < 1e-3 &&
				  largest_difference(first.users, again.users, N_USERS * DIMENSIONS) < 1e-3,
				  "case %d: items differ by %g, users by %g", i,
				  largest_difference(first.items, again.items, N_ITEMS * DIMENSIONS),
				  largest_difference(first.users, again.users, N_USERS * DIMENSIONS));
		unit_case(first.bytes[1] == again.bytes[1] && memcmp(first.stored[1] + 24, again.stored[1] + 24, first.bytes[1] - 24) == 0,
				  "case %d: another tower", i);
		free_version(&first);
		free_version(&again);
	}
	unit_cases("a start with the stored towers has the points that they made");
}

/* Rows without a start begin where the tower puts them by their features. */
static void
test_new_rows(const MrFeatures *features)
{
	static const MrCombination combinations[] = {MR_COMBINE_SUM, MR_COMBINE_PRIOR};
	uint8_t		has_item[N_ITEMS];

	for (int i = 0; i < N_ITEMS; i++)
		has_item[i] = i % 3 != 0;
	for (int c = 0; c < 2; c++)
	{
		MrHyper		hyper = hyper_of(MR_TOWER_FREE, MR_CONSTRAINT_SPHERE, combinations[c], 0);
		Version		first;
		Version		again;
		MrStart		start;
		MrEmbedder *e;
		void	   *memory;
		double		largest = 0;

		train(&hyper, false, NULL, 3, &first);
		start = start_of(&first);
		start.has_item = has_item;
		hyper.seed = 77;
		train(&hyper, false, &start, 0, &again);
		memory = malloc(mr_embedder_memory(first.stored[MR_TOWER_OF_ITEMS], first.bytes[MR_TOWER_OF_ITEMS]));
		e = mr_embedder_read(memory, first.stored[MR_TOWER_OF_ITEMS], first.bytes[MR_TOWER_OF_ITEMS], NULL, NULL);
		for (int i = 0; i < N_ITEMS; i += 3)
		{
			float		point[DIMENSIONS];

			if (!features->is_present[i])
				continue;
			mr_embedder_point(e, features, i, NULL, point);
			largest = fmax(largest, largest_difference(point, again.items + i * DIMENSIONS, DIMENSIONS - 1));
		}
		ok(largest < 1e-3, "rows without a start are where the tower puts them, combination %d: %g", combinations[c], largest);
		free(memory);
		free_version(&first);
		free_version(&again);
	}
}

static void
test_damaged(void)
{
	MrHyper		hyper = hyper_of(MR_TOWER_POOLED, MR_CONSTRAINT_SPHERE, MR_COMBINE_SUM, 1);
	Version		first;
	Version		again;
	MrStart		start;

	train(&hyper, false, NULL, 1, &first);
	start = start_of(&first);
	start.tower_bytes[MR_TOWER_OF_ITEMS]--;
	ok(train(&hyper, false, &start, 0, &again) == MR_DIVERGED, "a tower that is cut short is refused");
	start = start_of(&first);
	first.stored[MR_TOWER_OF_ITEMS][first.bytes[MR_TOWER_OF_ITEMS] - 1] = 0x7f;
	first.stored[MR_TOWER_OF_ITEMS][first.bytes[MR_TOWER_OF_ITEMS] - 2] = 0x80;
	ok(train(&hyper, false, &start, 0, &again) == MR_DIVERGED, "a weight that is not finite is refused");
	hyper = hyper_of(MR_TOWER_POOLED, MR_CONSTRAINT_SPHERE, MR_COMBINE_SUM, 0);
	start.tower[MR_TOWER_OF_ITEMS] = NULL;
	ok(train(&hyper, false, &start, 0, &again) == MR_DIVERGED, "a tower of another layout is refused");
	hyper.user_combination = MR_COMBINE_ID;
	ok(train(&hyper, false, &start, 0, &again) == MR_DIVERGED, "a tower where there is none now is refused");
	free_version(&first);
}

static void
test_tags(void)
{
	MrInteractions plain = x;
	MrHyper		hyper = {.dimensions = DIMENSIONS, .epochs = 3, .batch_size = 16};
	Version		first;
	Version		again;
	MrStart		start;
	uint8_t		has_tag[N_TAGS] = {1, 1, 0, 1, 1, 1, 1, 1, 1};

	x.user_features = x.item_features = NULL;
	mr_recipe_fill_tags(&hyper, FIXTURE_SET(DIMENSIONS) | FIXTURE_SET(EPOCHS) | FIXTURE_SET(BATCH_SIZE), &x, &posts);
	train(&hyper, true, NULL, 3, &first);
	start = start_of(&first);
	hyper.seed = 77;
	ok(train(&hyper, true, &start, 0, &again) == MR_OK, "a start with tags");
	ok(largest_difference(first.tags, again.tags, N_TAGS * DIMENSIONS) < 1e-3 &&
	   largest_difference(first.users, again.users, N_USERS * DIMENSIONS) < 1e-3,
	   "tags and users begin where they were: %g", largest_difference(first.tags, again.tags, N_TAGS * DIMENSIONS));
	ok_near(first.tower.user_weight, again.tower.user_weight, 1e-5, "and the user's weight in a query");
	start.has_tag = has_tag;
	train(&hyper, true, &start, 0, &again);
	ok(largest_difference(first.tags + 2 * DIMENSIONS, again.tags + 2 * DIMENSIONS, DIMENSIONS) > 1e-2 &&
	   largest_difference(first.tags, again.tags, 2 * DIMENSIONS - 1) < 1e-3, "a tag without a start begins at random");
	x = plain;
}

/* Two users by hand: one item has no point, one user has no item with a point. */
static void
test_users(void)
{
	int64_t		user_start[] = {0, 3, 4};
	int32_t		liked[] = {0, 1, 2, 2};
	MrInteractions y = {.n_users = 2, .n_items = 3, .n_pairs = 4, .user_start = user_start, .items = liked};
	float		items[] = {1, 2, 50, 3, 6, 60, NAN, NAN, NAN};
	uint8_t		has_item[] = {1, 1, 0};
	float		weights[] = {3, 1, 9, 9};
	float		users[6];
	uint8_t		has_user[2];

	ok(mr_start_users(&y, 3, true, items, has_item, users, has_user, NULL, NULL) == MR_OK, "users from their items");
	ok(users[0] == 2 && users[1] == 4 && users[2] == 0 && has_user[0] == 1, "the mean, without the bias");
	ok(has_user[1] == 0, "no item with a point");
	mr_start_users(&y, 3, false, items, has_item, users, has_user, NULL, NULL);
	ok(users[2] == 55, "without a bias the last coordinate is one as the others");
	y.weights = weights;
	mr_start_users(&y, 3, true, items, has_item, users, has_user, NULL, NULL);
	ok(users[0] == 1.5f && users[1] == 3, "the mean by weights");
	weights[0] = 3e38f;
	weights[1] = 1e38f;
	mr_start_users(&y, 3, true, items, has_item, users, has_user, NULL, NULL);
	ok(fabsf(users[0] - 1.5f) < 1e-5f && fabsf(users[1] - 3) < 1e-5f, "weights whose sum no float holds");
}

static int	polls_left;

static bool
count_down(void *arg)
{
	return --polls_left < 0;
}

/* Stops at every call of poll(). */
static void
test_stops(void)
{
	MrHyper		hyper = hyper_of(MR_TOWER_FREE, MR_CONSTRAINT_SPHERE, MR_COMBINE_SUM, 1);
	Version		first;
	MrStart		start;
	int			stop = 0;

	train(&hyper, false, NULL, 1, &first);
	start = start_of(&first);
	for (;; stop++)
	{
		Fixture		f;
		MrStatus	status;

		fixture_init(&f, &hyper, &x, false);
		polls_left = stop;
		status = mr_trainer_set_start(f.t, &start, count_down, NULL);
		unit_case(fixture_guarded(&f) && status == (polls_left < 0 ? MR_STOPPED : MR_OK), "stopped at call %d", stop);
		fixture_end(&f);
		if (status == MR_OK || stop > 1000)
			break;
	}
	unit_case(stop > 0 && stop < 1000, "it polls");
	unit_cases("stops when it is asked to");
	free_version(&first);
}

int
main(void)
{
	MrFeatures	of_items;
	MrFeatures	of_users;

	fixture_matrix(&x, N_USERS, N_ITEMS, 0.2, false, 5);
	fixture_posts(&posts, &x, N_TAGS, 6);
	features_fixture(&of_items, N_ITEMS, 9, 4, 0.3, 31);
	features_fixture(&of_users, N_USERS, 5, 2, 0.3, 32);
	x.item_features = &of_items;
	x.user_features = &of_users;
	test_round_trip();
	test_new_rows(&of_items);
	test_damaged();
	test_tags();
	test_users();
	test_stops();
	features_fixture_free(&of_items);
	features_fixture_free(&of_users);
	fixture_free_posts(&posts);
	fixture_free_matrix(&x);
	return unit_done();
}
