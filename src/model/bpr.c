/*
 * bpr.c
 *		Bayesian personalised ranking (see bpr.h).
 */
#include <math.h>
#include <string.h>

#include "model/bpr_state.h"
#include "model/dot_points.h"

#define ARENA_ALIGNMENT 64

/* Triples, random rows or pairs between two polls: some milliseconds at 64 coordinates. */
#define POLL_FLOATS (1 << 20)

/* Draws until a user of many items gets one that is not liked; then the triple is left out. */
#define MAX_DRAWS 1000

static void
set_sizes(MrBpr *bpr, const MrHyper *hyper, const MrInteractions *x)
{
	memset(bpr, 0, sizeof(*bpr));
	bpr->hyper = *hyper;
	bpr->x = x;
	bpr->math = mr_rowmath();
	bpr->width = hyper->dimensions - 2;
	bpr->stride = (bpr->width + MR_ROW_PAD - 1) / MR_ROW_PAD * MR_ROW_PAD;
}

/* Place everything, or count it when the arena has no base. */
static void
lay_out(MrBpr *bpr, MrArena *arena)
{
	size_t		row = bpr->stride * sizeof(float);

	bpr->users = mr_arena_take(arena, bpr->x->n_users, row);
	bpr->items = mr_arena_take(arena, bpr->x->n_items, row);
	bpr->bias = mr_arena_take(arena, bpr->x->n_items, sizeof(float));
	bpr->pair_user = mr_arena_take(arena, bpr->x->n_pairs, sizeof(int32_t));
	bpr->before = mr_arena_take(arena, 1, row);
}

/*
 * Bytes of memory that mr_bpr_init() needs; SIZE_MAX if the dimensions are fewer than 3,
 * or the count overflows.
 */
size_t
mr_bpr_bytes(const MrHyper *hyper, const MrInteractions *x)
{
	MrBpr		bpr;
	MrArena		arena = {NULL, 0, false};

	if (hyper->dimensions < 3)
		return SIZE_MAX;
	set_sizes(&bpr, hyper, x);
	mr_arena_take(&arena, 1, ARENA_ALIGNMENT - 1);	/* the caller's block may start anywhere */
	mr_arena_take(&arena, 1, sizeof(MrBpr));
	lay_out(&bpr, &arena);
	return arena.overflow ? SIZE_MAX : arena.used;
}

/*
 * Start a training in the caller's memory (any alignment, `bytes` long).  x must live
 * as long; the memory may simply be freed at any time.
 *
 * hyper	dimensions, epochs, learning_rate, learning_rate_decay, weight_decay,
 *			init_deviation, seed
 *
 * Returns NULL with *status
 *		MR_OUT_OF_MEMORY	bytes is less than mr_bpr_bytes()
 *		MR_NO_NEGATIVE		there is no interaction
 */
MrBpr *
mr_bpr_init(void *memory, size_t bytes, const MrHyper *hyper, const MrInteractions *x, MrStatus *status)
{
	MrArena		arena = {NULL, 0, false};
	size_t		needed = mr_bpr_bytes(hyper, x);
	MrBpr	   *bpr;

	*status = needed == SIZE_MAX || bytes < needed ? MR_OUT_OF_MEMORY : x->n_pairs == 0 ? MR_NO_NEGATIVE : MR_OK;
	if (*status != MR_OK)
		return NULL;
	arena.base = (char *) (((uintptr_t) memory + ARENA_ALIGNMENT - 1) & ~(uintptr_t) (ARENA_ALIGNMENT - 1));
	bpr = mr_arena_take(&arena, 1, sizeof(MrBpr));
	set_sizes(bpr, hyper, x);
	lay_out(bpr, &arena);
	return bpr;
}

/* Random rows of one side. */
static MrStatus
start_rows(MrBpr *bpr, float *rows, int32_t n, MrPoll poll, void *arg)
{
	int32_t		poll_rows = POLL_FLOATS / 8 / bpr->stride;

	for (int32_t row = 0; row < n; row++)
	{
		float	   *point = rows + (size_t) row * bpr->stride;

		if (row % (poll_rows > 1 ? poll_rows : 1) == 0 && poll && poll(arg))
			return MR_STOPPED;
		memset(point, 0, bpr->stride * sizeof(float));
		for (int32_t k = 0; k < bpr->width; k++)
			point[k] = (float) (bpr->hyper.init_deviation * mr_rng_normal(&bpr->rng));
	}
	return MR_OK;
}

/* Random rows, biases at 0, the users of the pairs; done by the first epoch. */
MrStatus
mr_bpr_start(MrBpr *bpr, MrPoll poll, void *arg)
{
	const MrInteractions *x = bpr->x;
	double		sum = 0;

	if (bpr->started)
		return MR_OK;
	mr_rng_seed(&bpr->rng, bpr->hyper.seed);
	if (start_rows(bpr, bpr->users, x->n_users, poll, arg) != MR_OK ||
		start_rows(bpr, bpr->items, x->n_items, poll, arg) != MR_OK)
		return MR_STOPPED;
	memset(bpr->bias, 0, x->n_items * sizeof(float));
	for (int32_t u = 0; u < x->n_users; u++)
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
		{
			if (p % POLL_FLOATS == 0 && poll && poll(arg))
				return MR_STOPPED;
			bpr->pair_user[p] = u;
			sum += x->weights ? x->weights[p] : 1;
		}
	bpr->mean_weight = sum / x->n_pairs;
	bpr->started = true;
	return MR_OK;
}

/*
 * One gradient step on a triple.  Returns its loss before the step, without the
 * regularisation.  With s the difference of the scores and g = w sigmoid(-s):
 *
 *		x   += rate (g (y_i - y_j) - lambda x)
 *		y_i += rate (g x - lambda y_i)		b_i += rate (g - lambda b_i)
 *		y_j -= rate (g x + lambda y_j)		b_j -= rate (g + lambda b_j)
 */
double
mr_bpr_step(MrBpr *bpr, int32_t user, int32_t liked, int32_t other, double weight, double rate)
{
	const MrRowMath *math = bpr->math;
	size_t		stride = bpr->stride;
	float	   *x = bpr->users + user * stride;
	float	   *near = bpr->items + liked * stride;
	float	   *far = bpr->items + other * stride;
	double		s = math->dot(x, near, stride) - math->dot(x, far, stride) + bpr->bias[liked] - bpr->bias[other];
	double		e = exp(-fabs(s));
	double		g = weight * (s > 0 ? e : 1) / (1 + e);
	float		keep = (float) (1 - rate * bpr->hyper.weight_decay);
	float		step = (float) (rate * g);

	memcpy(bpr->before, x, stride * sizeof(float));
	math->scale(x, keep, x, stride);
	math->axpy(x, step, near, stride);
	math->axpy(x, -step, far, stride);
	math->scale(near, keep, near, stride);
	math->axpy(near, step, bpr->before, stride);
	math->scale(far, keep, far, stride);
	math->axpy(far, -step, bpr->before, stride);
	bpr->bias[liked] = keep * bpr->bias[liked] + step;
	bpr->bias[other] = keep * bpr->bias[other] - step;
	return weight * (log1p(e) + (s < 0 ? -s : 0));
}

/* An item that the user does not like, or -1 if the draws did not find one. */
static int32_t
draw_other(MrBpr *bpr, int32_t user)
{
	const MrInteractions *x = bpr->x;

	if (x->user_start[user + 1] - x->user_start[user] >= x->n_items)
		return -1;
	for (int draw = 0; draw < MAX_DRAWS; draw++)
	{
		int32_t		item = (int32_t) mr_rng_below(&bpr->rng, x->n_items);

		if (!mr_interactions_contain(x, user, item))
			return item;
	}
	return -1;
}

/*
 * One epoch.  poll may be NULL.  result->loss is the mean of -w ln sigmoid over the
 * triples, each before its step.
 *
 * Returns MR_OK, MR_STOPPED when poll() said so, or MR_DIVERGED when the loss is not
 * finite; after the last two the state is of no further use.
 */
MrStatus
mr_bpr_epoch(MrBpr *bpr, MrPoll poll, void *arg, MrEpochResult *result)
{
	const MrInteractions *x = bpr->x;
	int64_t		poll_triples = POLL_FLOATS / 8 / (bpr->stride + 64) + 1;
	double		loss = 0;

	memset(result, 0, sizeof(*result));
	if (mr_bpr_start(bpr, poll, arg) != MR_OK)
		return MR_STOPPED;
	result->learning_rate = bpr->hyper.learning_rate;
	if (bpr->hyper.learning_rate_decay)
		result->learning_rate *= 1 - (double) bpr->epoch / bpr->hyper.epochs;
	for (int64_t n = 0; n < x->n_pairs; n++)
	{
		int64_t		p = (int64_t) mr_rng_below64(&bpr->rng, x->n_pairs);
		int32_t		user = bpr->pair_user[p];
		int32_t		other = draw_other(bpr, user);

		if (n % poll_triples == 0 && poll && poll(arg))
			return MR_STOPPED;
		if (other < 0)
			continue;
		loss += mr_bpr_step(bpr, user, x->items[p], other, x->weights ? x->weights[p] / bpr->mean_weight : 1,
							result->learning_rate);
		result->positives++;
	}
	bpr->epoch++;
	result->negatives = result->positives;
	result->loss = result->positives > 0 ? loss / result->positives : 0;
	return isfinite(result->loss) ? MR_OK : MR_DIVERGED;
}

/*
 * Write the points in the form of dot_points.h: users [n_users][dimensions], items
 * [n_items][dimensions].  May be called between epochs.
 *
 * Returns MR_OK, MR_STOPPED, or MR_DIVERGED if a coordinate is not finite.
 */
MrStatus
mr_bpr_export(MrBpr *bpr, int32_t dimensions, float *users, float *items, MrPoll poll, void *arg)
{
	MrDotPoints from_users = {bpr->x->n_users, bpr->width, bpr->stride, bpr->users, NULL, true};
	MrDotPoints from_items = {bpr->x->n_items, bpr->width, bpr->stride, bpr->items, bpr->bias, false};
	MrStatus	status = mr_bpr_start(bpr, poll, arg);
	float		radius;

	if (status == MR_OK)
		status = mr_dot_points_items(&from_items, dimensions, items, &radius, poll, arg);
	if (status == MR_OK)
		status = mr_dot_points_users(&from_users, dimensions, users, poll, arg);
	return status;
}

/* How the exported points are to be read; stored with the version. */
void
mr_bpr_describe(const MrBpr *bpr, MrTower *tower)
{
	memset(tower, 0, sizeof(*tower));
	tower->kind = MR_TOWER_FREE;
	tower->item_bias = true;
	tower->sphere = true;
	tower->dimensions = bpr->hyper.dimensions;
}
