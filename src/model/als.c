/*
 * als.c
 *		Alternating least squares: memory, start, sweeps, points out (see als.h).
 *
 * The memory is laid out by one function that runs twice, as the trainer's
 * (trainer.c).
 */
#include <math.h>
#include <string.h>

#include "math/gemm.h"
#include "math/lapack.h"
#include "model/als_state.h"
#include "model/dot_points.h"

#define ARENA_ALIGNMENT 64

/* Rows of the panel that products are taken of: 64 kB at 64 coordinates, which stays in the cache. */
#define PANEL_ROWS 256

/* Work of a start, in the unit of MR_ALS_POLL_WORK, per interaction and per random number. */
#define PAIR_WORK 256
#define NORMAL_WORK 1024

static void
set_sizes(MrAls *als, const MrHyper *hyper, const MrInteractions *x)
{
	memset(als, 0, sizeof(*als));
	als->hyper = *hyper;
	als->x = x;
	als->math = mr_rowmath();
	als->width = hyper->dimensions - 1;
	als->stride = (als->width + MR_ROW_PAD - 1) / MR_ROW_PAD * MR_ROW_PAD;
	als->panel_rows = als->stride > PANEL_ROWS ? als->stride : PANEL_ROWS;
}

/* What one process needs for itself. */
void
mr_als_scratch_layout(const MrAls *als, MrAlsScratch *scratch, MrArena *arena)
{
	size_t		row = als->stride * sizeof(float);

	memset(scratch, 0, sizeof(*scratch));
	scratch->panel = mr_arena_take(arena, als->panel_rows, row);
	scratch->normal = mr_arena_take(arena, als->stride, row);
	scratch->diagonal = mr_arena_take(arena, 1, row);
	scratch->root = mr_arena_take(arena, 1, row);
	scratch->vector = mr_arena_take(arena, 4, row);
	scratch->factor = mr_arena_take(arena, als->panel_rows, sizeof(float));
	scratch->place = mr_arena_take(arena, als->panel_rows, sizeof(int32_t));
	for (int32_t i = 0; scratch->place && i < als->panel_rows; i++)
		scratch->place[i] = i;
}

/*
 * Place everything, or count it when the arenas have no base.  shared: what all members
 * of a team see; own: what is this one's.  Without a team they are one.
 */
static void
lay_out(MrAls *als, MrArena *shared, MrArena *own)
{
	const MrInteractions *x = als->x;
	MrAlsSide  *users = &als->side[MR_ALS_USERS];
	MrAlsSide  *items = &als->side[MR_ALS_ITEMS];
	size_t		row = als->stride * sizeof(float);
	size_t		width = als->width;

	als->item_start = mr_arena_take(shared, (size_t) x->n_items + 1, sizeof(int64_t));
	als->item_users = mr_arena_take(shared, x->n_pairs, sizeof(int32_t));
	if (x->weights)
		als->item_weights = mr_arena_take(shared, x->n_pairs, sizeof(float));
	*users = (MrAlsSide) {x->n_users, x->user_start, x->items, x->weights, mr_arena_take(shared, x->n_users, row)};
	*items = (MrAlsSide) {x->n_items, als->item_start, als->item_users, als->item_weights,
		mr_arena_take(shared, x->n_items, row)};
	als->gram = mr_arena_take(own, width * width, sizeof(double));
	als->spectrum = mr_arena_take(shared, width, sizeof(double));
	als->eigen_doubles = mr_arena_take(own, MR_EIGEN_DOUBLES(width), sizeof(double));
	als->eigen_ints = mr_arena_take(own, MR_EIGEN_INTS(width), sizeof(int));
	als->axes = mr_arena_take(shared, width, row);
	if (shared->members > 1)
	{
		als->board = mr_arena_take(shared, 1, sizeof(MrAlsBoard));
		als->grams = mr_arena_take(shared, shared->members, width * width * sizeof(double));
	}
	mr_als_scratch_layout(als, &als->scratch, own);
}

/* Can it be done in so many dimensions? */
static bool
has_valid_width(const MrHyper *hyper)
{
	return hyper->dimensions >= 2 && hyper->dimensions <= MR_ALS_MAX_WIDTH + 1;
}

/*
 * Bytes of memory that mr_als_init() needs; SIZE_MAX if the dimensions are not from
 * 2 to MR_ALS_MAX_WIDTH + 1, or the count overflows.
 */
size_t
mr_als_bytes(const MrHyper *hyper, const MrInteractions *x)
{
	MrAls		als;
	MrArena		arena = {NULL, 0, false};

	if (!has_valid_width(hyper))
		return SIZE_MAX;
	set_sizes(&als, hyper, x);
	mr_arena_take(&arena, 1, ARENA_ALIGNMENT - 1);	/* the caller's block may start anywhere */
	mr_arena_take(&arena, 1, sizeof(MrAls));
	lay_out(&als, &arena, &arena);
	return arena.overflow ? SIZE_MAX : arena.used;
}

/*
 * Start a training in the caller's memory (any alignment, `bytes` long).  x must live
 * as long; the memory may simply be freed at any time.
 *
 * hyper	dimensions, the extra one counted, epochs (sweeps), als_..., init_deviation, seed
 *
 * Returns NULL with *status
 *		MR_OUT_OF_MEMORY	bytes is less than mr_als_bytes()
 *		MR_NO_NEGATIVE		there is no interaction
 *		MR_NO_BLAS			least squares are not available: ask mr_lapack_load() why
 */
MrAls *
mr_als_init(void *memory, size_t bytes, const MrHyper *hyper, const MrInteractions *x, MrStatus *status)
{
	MrArena		arena = {NULL, 0, false};
	size_t		needed = mr_als_bytes(hyper, x);
	MrAls	   *als;

	if (needed == SIZE_MAX || bytes < needed)
		*status = MR_OUT_OF_MEMORY;
	else if (x->n_pairs == 0)
		*status = MR_NO_NEGATIVE;
	else if (mr_lapack_load() != NULL)
		*status = MR_NO_BLAS;
	else
		*status = MR_OK;
	if (*status != MR_OK)
		return NULL;

	arena.base = (char *) (((uintptr_t) memory + ARENA_ALIGNMENT - 1) & ~(uintptr_t) (ARENA_ALIGNMENT - 1));
	als = mr_arena_take(&arena, 1, sizeof(MrAls));
	set_sizes(als, hyper, x);
	lay_out(als, &arena, &arena);
	return als;
}

/*
 * A member's ALS in the memory of a team's trainer (trainer.c), or, while its arenas
 * have no base, only counted: then NULL.  The libraries are the caller's to load.
 */
MrAls *
mr_als_join(const MrHyper *hyper, const MrInteractions *x, const MrTeam *team, MrArena *shared, MrArena *own)
{
	MrAls		sizes;
	MrAls	   *als = mr_arena_take(own, 1, sizeof(MrAls));

	if (!has_valid_width(hyper))
	{
		shared->overflow = true;
		return NULL;
	}
	set_sizes(&sizes, hyper, x);
	sizes.team = *team;
	lay_out(&sizes, shared, own);
	if (als)
		*als = sizes;
	return als;
}

/*
 * The interactions by item.  item_start serves as the place of each item's next pair
 * meanwhile, one entry late: entry i + 1 is where item i goes on.
 */
static MrStatus
transpose(MrAls *als, MrPoll poll, void *arg)
{
	const MrInteractions *x = als->x;
	int64_t    *start = als->item_start;
	int64_t		before = 0;

	memset(start, 0, ((size_t) x->n_items + 1) * sizeof(int64_t));
	als->weight_sum = 0;
	for (int32_t u = 0; u < x->n_users; u++)
	{
		if (mr_als_tick(&als->scratch, PAIR_WORK * (1 + x->user_start[u + 1] - x->user_start[u]), poll, arg))
			return MR_STOPPED;
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
		{
			start[x->items[p] + 1]++;
			als->weight_sum += x->weights ? x->weights[p] : 1;
		}
	}
	for (int32_t i = 0; i < x->n_items; i++)
	{
		int64_t		n = start[i + 1];

		start[i + 1] = before;
		before += n;
	}
	for (int32_t u = 0; u < x->n_users; u++)
	{
		if (mr_als_tick(&als->scratch, PAIR_WORK * (1 + x->user_start[u + 1] - x->user_start[u]), poll, arg))
			return MR_STOPPED;
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
		{
			int64_t		at = start[x->items[p] + 1]++;

			als->item_users[at] = u;
			if (x->weights)
				als->item_weights[at] = x->weights[p];
		}
	}
	return MR_OK;
}

/* Transposed interactions, random users, items at 0; done by the first sweep. */
MrStatus
mr_als_start(MrAls *als, MrPoll poll, void *arg)
{
	MrRng		rng;
	size_t		row = als->stride * sizeof(float);

	if (als->started)
		return MR_OK;
	als->started = als->team.rank > 0;
	if (als->started)
		return MR_OK;			/* what it would fill is the leader's to fill */
	if (transpose(als, poll, arg) != MR_OK)
		return MR_STOPPED;
	mr_rng_seed(&rng, als->hyper.seed);
	for (int32_t u = 0; u < als->x->n_users; u++)
	{
		float	   *point = als->side[MR_ALS_USERS].points + (size_t) u * als->stride;

		if (mr_als_tick(&als->scratch, (int64_t) NORMAL_WORK * als->width, poll, arg))
			return MR_STOPPED;
		memset(point, 0, row);
		for (int32_t k = 0; k < als->width; k++)
			point[k] = (float) (als->hyper.init_deviation * mr_rng_normal(&rng));
	}
	memset(als->side[MR_ALS_ITEMS].points, 0, als->x->n_items * row);
	als->started = true;
	return MR_OK;
}

/*
 * Begin with the items of *start (trainer.h), times its radius, instead of random users:
 * the first sweep solves the users given these before anything else.  Items that have no
 * start begin at 0.  Call it before the first sweep.
 *
 * Returns MR_OK, MR_STOPPED, or MR_DIVERGED if a coordinate is not finite.
 */
MrStatus
mr_als_set_start(MrAls *als, const MrStart *start, MrPoll poll, void *arg)
{
	MrStatus	status = mr_als_start(als, poll, arg);
	float		radius = start->radius > 0 ? start->radius : 1;
	int32_t		stride = start->item_stride > 0 ? start->item_stride : als->hyper.dimensions;

	for (int32_t i = 0; status == MR_OK && start->items && i < als->x->n_items; i++)
	{
		const float *from = start->items + (size_t) i * stride;
		float	   *to = als->side[MR_ALS_ITEMS].points + (size_t) i * als->stride;

		if (mr_als_tick(&als->scratch, 16 * als->stride, poll, arg))
			return MR_STOPPED;
		for (int32_t k = 0; k < als->width && (start->has_item == NULL || start->has_item[i]); k++)
		{
			to[k] = radius * from[k];
			if (!isfinite(to[k]))
				return MR_DIVERGED;
		}
	}
	als->has_start = start->items != NULL;
	return status;
}

/* All rows of `side` given the other one: the stages of als_state.h in turn. */
static MrStatus
half_sweep(MrAls *als, MrAlsSideName side, double *objective, double *penalty, MrPoll poll, void *arg)
{
	MrAlsSideName given = side == MR_ALS_USERS ? MR_ALS_ITEMS : MR_ALS_USERS;
	MrStatus	status;

	if (als->team.size > 1)
		return mr_als_team_half_sweep(als, side, objective, penalty, poll, arg);
	memset(als->gram, 0, (size_t) als->width * als->width * sizeof(double));
	status = mr_als_gram(als, given, 0, als->side[given].n, als->gram, &als->scratch, poll, arg);
	if (status == MR_OK)
		status = mr_als_axes(als);
	if (status == MR_OK)
		status = mr_als_turn(als, given, 0, als->side[given].n, &als->scratch, poll, arg);
	if (status == MR_OK && als->hyper.als_solver == MR_ALS_CG)
		status = mr_als_turn(als, side, 0, als->side[side].n, &als->scratch, poll, arg);
	if (status == MR_OK)
		status = mr_als_solve(als, side, 0, als->side[side].n, &als->scratch, objective, penalty, poll, arg);
	return status;
}

/*
 * One sweep: the items, then the users; the first one after mr_als_set_start() begins with
 * the users.  poll may be NULL.
 *
 * result->loss is the objective (als.h) divided by the sum of the interactions'
 * weights; it falls from sweep to sweep.
 *
 * Returns MR_OK, MR_STOPPED when poll() said so, or MR_DIVERGED when the least squares
 * have no finite solution; after the last two the state is of no further use.
 */
MrStatus
mr_als_sweep(MrAls *als, MrPoll poll, void *arg, MrEpochResult *result)
{
	double		objective = 0;
	double		ignored = 0;
	double		penalty = 0;
	MrStatus	status;

	memset(result, 0, sizeof(*result));
	status = mr_als_start(als, poll, arg);
	if (status == MR_OK)
		status = mr_als_team_begin(als);
	if (status == MR_OK && als->has_start && als->sweep == 0)
		status = half_sweep(als, MR_ALS_USERS, &objective, &ignored, poll, arg);
	if (status == MR_OK)
		status = half_sweep(als, MR_ALS_ITEMS, &objective, &penalty, poll, arg);
	als->items_penalty = penalty;
	objective = 0;
	if (status == MR_OK)
		status = half_sweep(als, MR_ALS_USERS, &objective, &ignored, poll, arg);
	if (status != MR_OK)
		return status;
	als->sweep++;
	result->loss = (objective + als->items_penalty) / als->weight_sum;
	result->positives = als->x->n_pairs;
	return isfinite(result->loss) ? MR_OK : MR_DIVERGED;
}

/*
 * Write the points in the form of dot_points.h: users [n_users][dimensions], items
 * [n_items][dimensions].  dimensions is that of the hyper-parameters or larger, what is
 * beyond is 0.  May be called between sweeps.
 *
 * Returns MR_OK, MR_STOPPED, or MR_DIVERGED if a coordinate is not finite.
 */
MrStatus
mr_als_export(MrAls *als, int32_t dimensions, float *users, float *items, MrPoll poll, void *arg)
{
	MrDotPoints from_users = {als->x->n_users, als->width, als->stride, als->side[MR_ALS_USERS].points};
	MrDotPoints from_items = {als->x->n_items, als->width, als->stride, als->side[MR_ALS_ITEMS].points};
	MrStatus	status = mr_als_start(als, poll, arg);

	if (status == MR_OK)
		status = mr_dot_points_items(&from_items, dimensions, items, &als->radius, poll, arg);
	if (status == MR_OK)
		status = mr_dot_points_users(&from_users, dimensions, users, poll, arg);
	return status;
}

/* How the points that were exported last are to be read; stored with the version. */
void
mr_als_describe(const MrAls *als, MrTower *tower)
{
	memset(tower, 0, sizeof(*tower));
	tower->kind = MR_TOWER_FREE;
	tower->item_bias = true;
	tower->sphere = true;
	tower->dimensions = als->hyper.dimensions;
	tower->radius = als->radius;
}
