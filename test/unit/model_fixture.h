/*
 * model_fixture.h
 *		Small interaction matrices and trainers for the unit tests of src/model.
 */
#ifndef MR_MODEL_FIXTURE_H
#define MR_MODEL_FIXTURE_H

#include <stdlib.h>
#include <string.h>

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
 * A trainer in memory of exactly the promised size, guard bytes behind; with
 * set_up its points can be looked at, otherwise the first epoch sets them up.
 */
__attribute__((unused))
static MrTrainer *
fixture_init(Fixture *f, const MrHyper *hyper, const MrInteractions *x, bool set_up)
{
	static int	started = 0;

	f->x = *x;
	f->bytes = mr_trainer_bytes(hyper, x);
	f->memory = malloc(f->bytes + GUARD_BYTES);

	/*
	 * What is not set by the trainer must show up, not happen to be 0 or the same
	 * as in the run before: 0xff bytes are NaN as floats.
	 */
	memset(f->memory, started++ % 2 ? 0xff : 0xa5, f->bytes);
	memset((char *) f->memory + f->bytes, 0xa5, GUARD_BYTES);
	f->t = mr_trainer_init(f->memory, f->bytes, hyper, x, &f->status);
	if (f->t && set_up)
		mr_trainer_start(f->t, NULL, NULL);
	return f->t;
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
