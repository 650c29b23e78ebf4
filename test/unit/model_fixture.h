/*
 * model_fixture.h
 *		Small interaction matrices and trainers for the unit tests of src/model.
 */
#ifndef MR_MODEL_FIXTURE_H
#define MR_MODEL_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "features_fixture.h"
#include "model/trainer_state.h"
#include "unit.h"

#define FIXTURE_SET(name) (UINT64_C(1) << MR_HYPER_##name)

/* Bytes behind the trainer's memory that it must not touch. */
#define GUARD_BYTES 256

typedef struct Fixture
{
	MrInteractions x;
	void	   *memory;
	size_t		bytes;
	MrTrainer  *t;
	MrStatus	status;
} Fixture;

/*
 * A random matrix: each pair with this probability, at least one per user.
 * Some items may have none.
 */
__attribute__((unused))
static void
fixture_matrix(MrInteractions *x, int32_t n_users, int32_t n_items, double density, bool weighted, uint64_t seed)
{
	MrRng		rng;

	mr_rng_seed(&rng, seed);
	memset(x, 0, sizeof(*x));
	x->n_users = n_users;
	x->n_items = n_items;
	x->user_start = calloc(n_users + 1, sizeof(int64_t));
	x->items = calloc((size_t) n_users * n_items + 1, sizeof(int32_t));
	x->weights = weighted ? calloc((size_t) n_users * n_items + 1, sizeof(float)) : NULL;
	for (int32_t u = 0; u < n_users; u++)
	{
		int32_t		sure = (int32_t) mr_rng_below(&rng, n_items);

		for (int32_t i = 0; i < n_items; i++)
		{
			bool		liked = mr_rng_uniform(&rng) < density || i == sure;

			if (liked && weighted)
				x->weights[x->n_pairs] = (float) (0.5 + 2 * mr_rng_uniform(&rng));
			if (liked)
				x->items[x->n_pairs++] = i;
		}
		x->user_start[u + 1] = x->n_pairs;
	}
}

__attribute__((unused))
static void
fixture_free_matrix(MrInteractions *x)
{
	free(x->user_start);
	free(x->items);
	free(x->weights);
}

/*
 * Random posts on a matrix: most pairs have some of the tags, each at least one.
 */
__attribute__((unused))
static void
fixture_posts(MrPosts *posts, const MrInteractions *x, int32_t n_tags, uint64_t seed)
{
	MrInteractions *lists = &posts->lists;
	MrRng		rng;

	mr_rng_seed(&rng, seed);
	memset(posts, 0, sizeof(*posts));
	posts->n_tags = lists->n_items = n_tags;
	posts->post_user = calloc(x->n_pairs + 1, sizeof(int32_t));
	posts->post_item = calloc(x->n_pairs + 1, sizeof(int32_t));
	lists->user_start = calloc(x->n_pairs + 2, sizeof(int64_t));
	lists->items = calloc((size_t) x->n_pairs * n_tags + 1, sizeof(int32_t));
	for (int32_t u = 0; u < x->n_users; u++)
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
		{
			int32_t		sure = (int32_t) mr_rng_below(&rng, n_tags);

			if (mr_rng_uniform(&rng) < 0.2)
				continue;
			posts->post_user[posts->n_posts] = u;
			posts->post_item[posts->n_posts] = x->items[p];
			for (int32_t tag = 0; tag < n_tags; tag++)
				if (tag == sure || mr_rng_uniform(&rng) < 0.15)
					lists->items[lists->n_pairs++] = tag;
			lists->user_start[++posts->n_posts] = lists->n_pairs;
		}
	lists->n_users = posts->n_posts;
}

__attribute__((unused))
static void
fixture_free_posts(MrPosts *posts)
{
	free(posts->post_user);
	free(posts->post_item);
	free(posts->lists.user_start);
	free(posts->lists.items);
}

/*
 * A trainer in memory of exactly the promised size, guard bytes behind; with
 * set_up its points can be looked at, otherwise the first epoch sets them up.
 */
__attribute__((unused))
static MrTrainer *
fixture_init_tags(Fixture *f, const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts, bool set_up)
{
	static int	started = 0;

	f->x = *x;
	f->bytes = mr_trainer_bytes(hyper, x, posts);
	f->memory = malloc(f->bytes + GUARD_BYTES);

	/*
	 * What is not set by the trainer must show up, not happen to be 0 or the same
	 * as in the run before: 0xff bytes are NaN as floats.
	 */
	memset(f->memory, started++ % 2 ? 0xff : 0xa5, f->bytes);
	memset((char *) f->memory + f->bytes, 0xa5, GUARD_BYTES);
	f->t = mr_trainer_init(f->memory, f->bytes, hyper, x, posts, &f->status);
	if (f->t && set_up)
		mr_trainer_start(f->t, NULL, NULL);
	return f->t;
}

__attribute__((unused))
static MrTrainer *
fixture_init(Fixture *f, const MrHyper *hyper, const MrInteractions *x, bool set_up)
{
	return fixture_init_tags(f, hyper, x, NULL, set_up);
}

__attribute__((unused))
static MrTrainer *
fixture_start(Fixture *f, const MrHyper *hyper, const MrInteractions *x)
{
	return fixture_init(f, hyper, x, true);
}

__attribute__((unused))
static bool
fixture_guarded(const Fixture *f)
{
	for (size_t i = 0; i < GUARD_BYTES; i++)
		if (((unsigned char *) f->memory)[f->bytes + i] != 0xa5)
			return false;
	return true;
}

__attribute__((unused))
static void
fixture_end(Fixture *f)
{
	free(f->memory);
	f->memory = NULL;
}

/* A row of points, set by hand. */
__attribute__((unused))
static void
fixture_set_point(MrTrainer *t, MrPoints *points, int32_t row, const float *value)
{
	float	   *to = points->value + (size_t) row * points->stride;

	memset(to, 0, points->stride * sizeof(float));
	memcpy(to, value, points->width * sizeof(float));
	mr_points_refresh(points, t->math, row);
}

#endif							/* MR_MODEL_FIXTURE_H */
