/*
 * trainer.c
 *		The trainer's memory, start and epochs (see trainer.h).
 *
 * The memory is laid out by one function that runs twice: over no memory, to
 * count the bytes, and over the caller's, to place the pieces.  So the count is
 * exact by construction.
 */
#include <math.h>
#include <string.h>

#include "math/gemm.h"
#include "math/lapack.h"
#include "model/propensity.h"
#include "model/trainer_state.h"

/* Every piece starts on a cache line. */
#define ARENA_ALIGNMENT 64

/* Rows beyond this would not be addressable by the 32-bit sizes of BLAS. */
#define MAX_STRIDE 65536

/* Work between two polls. */
#define POLL_SWAPS 262144

/*
 * The next `count` elements of `size` bytes; NULL while counting.  An overflow
 * of size_t is remembered in the arena.
 */
void *
mr_arena_take(MrArena *arena, size_t count, size_t size)
{
	size_t		bytes;
	size_t		start = arena->used;

	if (__builtin_mul_overflow(count, size, &bytes) ||
		__builtin_add_overflow(bytes, ARENA_ALIGNMENT - 1, &bytes) ||
		__builtin_add_overflow(start, bytes & ~(size_t) (ARENA_ALIGNMENT - 1), &arena->used))
	{
		arena->overflow = true;
		return NULL;
	}
	return arena->base != NULL ? arena->base + start : NULL;
}

/* Sizes that follow from the hyper-parameters and the data. */
static void
set_sizes(MrTrainer *t, const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts)
{
	bool		softmax = hyper->loss == MR_LOSS_SOFTMAX;

	memset(t, 0, sizeof(*t));
	t->hyper = *hyper;
	t->x = x;
	if (hyper->algorithm != MR_ALGORITHM_METRIC)
	{
		t->factors_bytes = hyper->algorithm == MR_ALGORITHM_ALS ? mr_als_bytes(hyper, x) : mr_bpr_bytes(hyper, x);
		return;
	}
	t->tags.posts = posts;
	if (posts == NULL)
		t->hyper.tag_weight = 0;
	t->math = mr_rowmath();
	t->width = hyper->dimensions - (softmax && hyper->item_bias ? 1 : 0);
	t->sampled = softmax && hyper->sampling != MR_SAMPLING_FULL;
	t->extra = softmax && (hyper->item_bias || t->sampled || hyper->constraint != MR_CONSTRAINT_SPHERE);
	t->gemm_width = t->width + (t->extra ? 1 : 0);
	t->stride = (t->gemm_width + MR_ROW_PAD - 1) / MR_ROW_PAD * MR_ROW_PAD;
	for (int32_t u = 0; u < x->n_users; u++)
		if (x->user_start[u + 1] > x->user_start[u])
			t->n_active++;
	t->n_active_pairs = x->n_pairs;
	if (mr_tags_only(hyper, posts))
		t->steps_per_epoch = 0;
	else if (softmax)
		t->steps_per_epoch = ((int64_t) t->n_active + hyper->batch_size - 1) / hyper->batch_size;
	else
		t->steps_per_epoch = (x->n_pairs + hyper->batch_size - 1) / hyper->batch_size;
	if (posts)
		t->steps_per_epoch += ((int64_t) posts->n_posts + hyper->batch_size - 1) / hyper->batch_size;
}

/*
 * What the optimiser does for a side's ids: under a tower they are parameters
 * like others, the constraint is the tower's; and they do not drift, because the
 * tower would have to follow every row.
 */
static MrHyper
id_hyper(const MrTrainer *t, const MrSideTower *tower, int *flags)
{
	MrHyper		hyper = t->hyper;

	if (tower->is_on)
	{
		*flags = (*flags | MR_POINTS_OWN_HAT) & ~MR_POINTS_DRIFT;
		if (tower->combination != MR_COMBINE_PRIOR)
			hyper.constraint = MR_CONSTRAINT_NONE;
	}
	return hyper;
}

/*
 * Place everything, or count it when the arenas have no base.  shared: what all
 * members of a team see; own: what is this one's.  Without a team they are one.
 */
static void
lay_out(MrTrainer *t, MrArena *shared, MrArena *own)
{
	bool		softmax = t->hyper.loss == MR_LOSS_SOFTMAX;
	int			hinge_flags = MR_POINTS_GRADIENT | MR_POINTS_SPARSE | MR_POINTS_DRIFT;
	bool		tags = t->tags.posts != NULL;
	size_t		n_items = t->x->n_items;
	int			item_flags = softmax ? MR_POINTS_OWN_HAT | MR_POINTS_GRADIENT | (t->sampled || tags ? MR_POINTS_SPARSE : 0)
		: hinge_flags;
	int			user_flags = softmax ? (tags ? MR_POINTS_GRADIENT | MR_POINTS_SPARSE : 0) : hinge_flags;
	MrHyper		hyper;

	if (shared->members > 1 && t->hyper.algorithm == MR_ALGORITHM_ALS)
	{
		t->als = mr_als_join(&t->hyper, t->x, &t->team, shared, own);
		return;
	}
	if (t->hyper.algorithm != MR_ALGORITHM_METRIC)
	{
		t->factors = mr_arena_take(own, t->factors_bytes, 1);
		return;
	}
	if (shared->members > 1)
		t->board = mr_arena_take(shared, 1, sizeof(MrTeamBoard));
	mr_side_tower_layout(&t->item_tower, own, &t->hyper, t->hyper.item_combination, t->x->item_features,
						 t->x->n_items, t->width, t->stride);
	mr_side_tower_layout(&t->user_tower, own, &t->hyper, t->hyper.user_combination, t->x->user_features,
						 t->x->n_users, t->width, t->stride);
	t->active = mr_arena_take(shared, t->n_active, sizeof(uint32_t));
	t->item_count = mr_arena_take(shared, n_items, sizeof(int32_t));
	if (t->hyper.propensity_exponent > 0)
		t->item_weight = mr_arena_take(shared, n_items, sizeof(float));
	hyper = id_hyper(t, &t->item_tower, &item_flags);
	mr_points_layout(&t->items, shared, t->x->n_items, t->width, t->stride, &hyper, item_flags);
	hyper = id_hyper(t, &t->user_tower, &user_flags);
	if (t->hyper.tower == MR_TOWER_FREE)
		mr_points_layout(&t->users, shared, t->x->n_users, t->width, t->stride, &hyper, user_flags);
	if (softmax && t->hyper.item_bias)
	{
		t->bias = mr_arena_take(shared, n_items, sizeof(float));
		t->bias_first = mr_arena_take(shared, n_items, sizeof(float));
		t->bias_second = mr_arena_take(shared, n_items, sizeof(float));
	}
	if (t->hyper.start_share > 0)
	{
		t->start_items = mr_arena_take(shared, n_items, t->stride * sizeof(float));
		if (t->hyper.tower == MR_TOWER_FREE)
			t->start_users = mr_arena_take(shared, t->x->n_users, t->stride * sizeof(float));
		if (softmax && t->hyper.item_bias)
			t->start_bias = mr_arena_take(shared, n_items, sizeof(float));
	}
	if (t->hyper.sampling == MR_SAMPLING_POPULARITY || t->hyper.sampling == MR_SAMPLING_TWO_STAGE)
		mr_alias_layout(&t->alias, shared, t->x->n_items);
	t->export_row = mr_arena_take(own, 2, t->stride * sizeof(float));
	if (softmax)
	{
		MrRanked	items = {t->x, &t->items, t->hyper.temperature, t->item_weight, t->bias, t->bias_first, t->bias_second};

		t->softmax.ranked = items;
		t->softmax.sampled = t->sampled;
		mr_softmax_layout(t, &t->softmax, t->n_active, own);
	}
	else
		mr_hinge_layout(t, shared, own);
	if (tags)
		mr_tags_layout(t, shared, own);
}

/* The first cache line in the caller's block, which may start anywhere. */
static char *
aligned(void *memory)
{
	return (char *) (((uintptr_t) memory + ARENA_ALIGNMENT - 1) & ~(uintptr_t) (ARENA_ALIGNMENT - 1));
}

/*
 * Bytes of memory that mr_trainer_init() needs; SIZE_MAX if the count overflows
 * or the sizes are beyond what the trainer can address.
 */
size_t
mr_trainer_bytes(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts)
{
	MrTrainer	t;
	MrArena		arena = {NULL, 0, false};

	set_sizes(&t, hyper, x, posts);
	if (t.stride > MAX_STRIDE)
		return SIZE_MAX;
	mr_arena_take(&arena, 1, ARENA_ALIGNMENT - 1);
	mr_arena_take(&arena, 1, sizeof(MrTrainer));
	lay_out(&t, &arena, &arena);
	return arena.overflow ? SIZE_MAX : arena.used;
}

/*
 * Bytes that a team needs: shared, once, on a cache line; and each member's own.
 * False if a count overflows or the sizes are beyond what the trainer can address.
 */
bool
mr_trainer_team_bytes(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts,
					  int32_t members, size_t *shared, size_t *own)
{
	MrTrainer	t;
	MrArena		common = {NULL, 0, false, members};
	MrArena		private = {NULL, 0, false};

	set_sizes(&t, hyper, x, posts);
	if (t.stride > MAX_STRIDE)
		return false;
	t.team.size = members;
	mr_arena_take(&private, 1, ARENA_ALIGNMENT - 1);
	mr_arena_take(&private, 1, sizeof(MrTrainer));
	lay_out(&t, &common, &private);
	*shared = common.used;
	*own = private.used;
	return !common.overflow && !private.overflow;
}

/* Is there a user who does not like every item? */
static bool
has_negative(const MrInteractions *x)
{
	for (int32_t u = 0; u < x->n_users; u++)
	{
		int64_t		n = x->user_start[u + 1] - x->user_start[u];

		if (n > 0 && n < x->n_items)
			return true;
	}
	return false;
}

/* The list of users with a positive, and how often each item is liked. */
static MrStatus
count_interactions(MrTrainer *t, MrPoll poll, void *arg)
{
	const MrInteractions *x = t->x;
	int32_t		n = 0;

	memset(t->item_count, 0, x->n_items * sizeof(int32_t));
	for (int32_t u = 0; u < x->n_users; u++)
	{
		if (mr_trainer_tick(t, 8 + x->user_start[u + 1] - x->user_start[u], poll, arg))
			return MR_STOPPED;
		if (x->user_start[u + 1] > x->user_start[u])
			t->active[n++] = (uint32_t) u;
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
			t->item_count[x->items[p]]++;
	}
	return MR_OK;
}

/* Is there anything to learn, and with what? */
static MrStatus
check_start(const MrInteractions *x)
{
	if (!has_negative(x))
		return MR_NO_NEGATIVE;
	return mr_gemm_load() != NULL ? MR_NO_BLAS : MR_OK;
}

/*
 * Start a training in the caller's memory (any alignment, `bytes` long).  x and
 * posts (NULL: no tags; softmax only) must live as long as the trainer; the memory
 * may simply be freed at any time.
 *
 * Returns NULL with *status
 *		MR_OUT_OF_MEMORY	bytes is less than mr_trainer_bytes()
 *		MR_NO_NEGATIVE		no interaction, or every user likes every item
 *		MR_NO_BLAS			matrix products are not available: ask mr_gemm_load() why, for
 *							ALS mr_lapack_load()
 */
MrTrainer *
mr_trainer_init(void *memory, size_t bytes, const MrHyper *hyper,
				const MrInteractions *x, const MrPosts *posts, MrStatus *status)
{
	MrArena		arena = {NULL, 0, false};
	size_t		needed = mr_trainer_bytes(hyper, x, posts);
	MrTrainer  *t;

	if (needed == SIZE_MAX || bytes < needed)
		*status = MR_OUT_OF_MEMORY;
	else
		*status = check_start(x);
	if (*status != MR_OK)
		return NULL;

	arena.base = aligned(memory);
	t = mr_arena_take(&arena, 1, sizeof(MrTrainer));
	set_sizes(t, hyper, x, posts);
	lay_out(t, &arena, &arena);
	if (t->hyper.algorithm == MR_ALGORITHM_ALS)
		t->als = mr_als_init(t->factors, t->factors_bytes, hyper, x, status);
	else if (t->hyper.algorithm == MR_ALGORITHM_BPR)
		t->bpr = mr_bpr_init(t->factors, t->factors_bytes, hyper, x, status);
	return *status == MR_OK ? t : NULL;
}

/* Why this can only be trained alone, in words; NULL: a team can do it. */
const char *
mr_trainer_alone(const MrHyper *hyper, const MrInteractions *x)
{
	if (hyper->algorithm == MR_ALGORITHM_BPR)
		return "BPR takes one interaction after the other, in one process";
	if (hyper->algorithm == MR_ALGORITHM_ALS)
		return NULL;
	if ((x->user_features && hyper->user_combination != MR_COMBINE_ID) ||
		(x->item_features && hyper->item_combination != MR_COMBINE_ID))
		return "the networks of features are trained by one process";
	return NULL;
}

/*
 * A member's trainer.  shared: the same memory in all members, on a cache line, of
 * the size that mr_trainer_team_bytes() says for `members`, which may be more than
 * team->size; own: this member's.  Everything else must be the same in all of them,
 * and mr_trainer_alone() have no objection.  NULL with *status as mr_trainer_init().
 */
MrTrainer *
mr_trainer_join(const MrTeam *team, int32_t members, void *shared, void *own, const MrHyper *hyper,
				const MrInteractions *x, const MrPosts *posts, MrStatus *status)
{
	MrArena		common = {shared, 0, false, members, team->rank, team->size};
	MrArena		private = {aligned(own), 0, false};
	MrTrainer  *t;

	*status = check_start(x);
	if (*status == MR_OK && hyper->algorithm == MR_ALGORITHM_ALS && mr_lapack_load() != NULL)
		*status = MR_NO_BLAS;
	if (*status != MR_OK)
		return NULL;
	t = mr_arena_take(&private, 1, sizeof(MrTrainer));
	set_sizes(t, hyper, x, posts);
	t->team = *team;
	lay_out(t, &common, &private);
	return t;
}

/* The part of the start that is about a member's own memory; the leader does it with the rest. */
static MrStatus
start_own(MrTrainer *t, MrPoll poll, void *arg)
{
	if (t->hyper.loss == MR_LOSS_SOFTMAX)
		mr_softmax_start_own(&t->softmax);
	else if (mr_hinge_start(t, poll, arg) != MR_OK)
		return MR_STOPPED;
	t->started = true;
	return MR_OK;
}

/*
 * Fill the memory: counts, random points.  Done by the first epoch (or export)
 * and not by mr_trainer_init(), because it takes time and so must poll.
 */
MrStatus
mr_trainer_start(MrTrainer *t, MrPoll poll, void *arg)
{
	if (t->started)
		return MR_OK;
	if (t->team.rank > 0)
		return start_own(t, poll, arg);
	mr_rng_seed(&t->rng, t->hyper.seed);
	if (count_interactions(t, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (t->item_weight &&
		mr_propensity_weights(t->item_count, t->x->n_items, t->hyper.propensity_exponent, t->item_weight, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (t->alias.n > 0 &&
		mr_alias_fill(&t->alias, t->item_count, t->hyper.popularity_exponent, &t->popularity_sum, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (mr_points_start(&t->items, &t->rng, t->hyper.init_deviation, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (t->hyper.tower == MR_TOWER_FREE &&
		mr_points_start(&t->users, &t->rng, t->hyper.init_deviation, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (mr_side_tower_start(&t->item_tower, &t->rng, t->hyper.init_deviation, poll, arg) != MR_OK ||
		mr_side_tower_start(&t->user_tower, &t->rng, t->hyper.init_deviation, poll, arg) != MR_OK)
		return MR_STOPPED;
	if ((t->hyper.loss == MR_LOSS_SOFTMAX ? mr_softmax_start(t, &t->softmax, poll, arg) : mr_hinge_start(t, poll, arg)) != MR_OK)
		return MR_STOPPED;
	if (t->tags.posts && mr_tags_start(t, poll, arg) != MR_OK)
		return MR_STOPPED;
	t->started = true;
	return MR_OK;
}

/* Every order of the values equally likely: mr_rng_shuffle() with polling. */
MrStatus
mr_trainer_shuffle(MrTrainer *t, uint32_t *values, uint32_t n, MrPoll poll, void *arg)
{
	for (uint32_t i = n; i > 1; i--)
	{
		uint32_t	j = mr_rng_below(&t->rng, i);
		uint32_t	swap = values[i - 1];

		if (i % POLL_SWAPS == 0 && poll && poll(arg))
			return MR_STOPPED;
		values[i - 1] = values[j];
		values[j] = swap;
	}
	return MR_OK;
}

/* Learning rate and weight decay of the current step. */
MrStep
mr_trainer_step_now(const MrTrainer *t)
{
	double		total = (double) t->steps_per_epoch * t->hyper.epochs;
	MrStep		step;

	step.number = t->step + 1;
	step.rate = t->hyper.learning_rate;
	step.weight_decay = t->hyper.weight_decay;
	if (t->hyper.learning_rate_decay)
	{
		double		left = 1.0 - t->step / total;

		step.rate *= left > 0 ? left : 0;
	}
	return step;
}

/*
 * The networks of the towers take a step.  Without hidden layers their weights are
 * points of features and learn as points do; else all rows share all weights, and
 * the rate of the softmax's points, 0.05 and more, is too high for them.
 */
MrStatus
mr_trainer_step_towers(MrTrainer *t, const MrStep *step, MrPoll poll, void *arg)
{
	MrStep		own = *step;

	if (t->hyper.n_hidden > 0 && t->hyper.loss == MR_LOSS_SOFTMAX)
		own.rate *= MR_NET_RATE;
	if (t->item_tower.is_on && mr_net_step(t->item_tower.net, &own, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (t->user_tower.is_on && mr_net_step(t->user_tower.net, &own, poll, arg) != MR_OK)
		return MR_STOPPED;
	return MR_OK;
}

/*
 * One epoch: every positive once (softmax with a pooled user: every user once,
 * half of the positives), then every post once.  poll may be NULL.
 *
 * Returns MR_OK, MR_STOPPED when poll() said so, or MR_DIVERGED when the loss is
 * not finite; after the last two the trainer is of no further use.  All members of a
 * team get the same result.
 */
MrStatus
mr_trainer_epoch(MrTrainer *t, MrPoll poll, void *arg, MrEpochResult *result)
{
	MrStatus	status;

	if (t->als)
		return mr_als_sweep(t->als, poll, arg, result);
	if (t->bpr)
		return mr_bpr_epoch(t->bpr, poll, arg, result);
	memset(result, 0, sizeof(*result));
	status = mr_trainer_start(t, poll, arg);
	if (status != MR_OK)
		return status;
	result->learning_rate = mr_trainer_step_now(t).rate;
	if (mr_tags_only(&t->hyper, t->tags.posts))
		status = MR_OK;
	else if (t->hyper.loss == MR_LOSS_SOFTMAX)
		status = mr_softmax_epoch(t, poll, arg, result);
	else
		status = mr_hinge_epoch(t, poll, arg, result);
	if (status == MR_OK && t->tags.posts)
		status = mr_tags_epoch(t, poll, arg, result);
	if (status != MR_OK)
		return status;
	t->epoch++;
	return isfinite(result->loss) ? MR_OK : MR_DIVERGED;
}

/* How the exported points are to be read; stored with the version. */
void
mr_trainer_describe(const MrTrainer *t, MrTower *tower)
{
	if (t->als)
	{
		mr_als_describe(t->als, tower);
		return;
	}
	if (t->bpr)
	{
		mr_bpr_describe(t->bpr, tower);
		return;
	}
	memset(tower, 0, sizeof(*tower));
	tower->kind = t->hyper.tower;
	tower->item_bias = t->bias != NULL;
	tower->sphere = t->hyper.constraint == MR_CONSTRAINT_SPHERE;
	tower->ball = t->hyper.constraint == MR_CONSTRAINT_BALL;
	tower->dimensions = t->hyper.dimensions;
	tower->has_tags = t->tags.posts != NULL;
	tower->user_weight = t->tags.posts ? (float) mr_tags_user_weight(&t->tags) : 0;
}
