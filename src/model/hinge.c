/*
 * hinge.c
 *		Epoch of the hinge losses: CML and the unsquared triplet.
 *
 * For a positive pair (u, v) and negatives k of the user:
 *
 *		cml		 w [m + |u-v|^2 - |u-k|^2]+		k = the draw with the largest hinge
 *		triplet	   [m + |u-v|	- |u-k|	 ]+		the same with plain distances
 *
 * cml is Hsieh et al. 2017 with w = log(floor(J M / U) + 1) when rank_weight is
 * on: J items, U draws, M of them with a positive hinge (so w = 0 if there is
 * none); otherwise w = 1.  The largest hinge belongs to the nearest draw, so one
 * loop serves both losses.  The interaction's weight, and that of its item
 * (propensity.c), multiply w.
 *
 * Gradients of an active hinge, squared:	dL/du = 2w (k - v), dL/dv = 2w (v - u),
 * dL/dk = 2w (u - k).  Plain, with unit vectors a = (u-v)/|u-v|, b = (u-k)/|u-k|:
 * dL/du = w (a - b), dL/dv = -w a, dL/dk = w b (0 where a distance is 0).
 *
 * A batch is batch_size pairs.  Its gradients are summed per row at the points of
 * the batch's start, then every touched row takes one step and is brought back
 * under its constraint, as the released codes of the papers do.
 */
#include <math.h>
#include <string.h>

#include "model/hinge.h"

/* The likes are kept as bits, too, if they fit in this. */
#define BITMAP_LIMIT ((size_t) 64 * 1024 * 1024)

/* A draw, its drift and its share of the bookkeeping, in multiplications. */
#define DRAW_WORK 64

/* Take the scratch memory from the arena. */
void
mr_hinge_layout(MrTrainer *t, MrArena *shared, MrArena *own)
{
	MrHinge    *h = &t->hinge;
	const MrInteractions *x = t->x;
	size_t		bytes = ((size_t) x->n_items + 7) / 8;

	/* pairs are numbered by 32 bits in the epoch's order */
	if (x->n_pairs > UINT32_MAX)
		shared->overflow = true;
	h->order = mr_arena_take(shared, x->n_pairs, sizeof(uint32_t));
	h->pair_user = mr_arena_take(shared, x->n_pairs, sizeof(int32_t));
	h->draws = mr_arena_take(own, t->hyper.negatives, sizeof(int32_t));
	h->distances = mr_arena_take(own, t->hyper.negatives, sizeof(float));
	if (shared->members > 1 && t->hyper.optimizer == MR_OPTIMIZER_ADAM)
	{
		int64_t		batch = x->n_pairs < t->hyper.batch_size ? x->n_pairs : t->hyper.batch_size;

		/* half of a batch is the largest part of one */
		h->batch_draws = mr_arena_take(own, batch / 2 + 1, t->hyper.negatives * sizeof(int32_t));
	}
	h->bitmap_bytes = bytes;
	h->has_bitmap = bytes > 0 && (size_t) x->n_users <= BITMAP_LIMIT / bytes;
	if (h->has_bitmap)
		h->bitmap = mr_arena_take(own, x->n_users, bytes);
	if (t->hyper.sampling == MR_SAMPLING_TWO_STAGE)
		mr_two_stage_layout(t, own);
	if (t->hyper.covariance > 0)
		mr_covariance_layout(t, shared, own);
}

/* Fill what does not change between epochs; of the shared part it is the leader who does. */
MrStatus
mr_hinge_start(MrTrainer *t, MrPoll poll, void *arg)
{
	MrHinge    *h = &t->hinge;
	const MrInteractions *x = t->x;
	bool		leads = t->team.rank == 0;

	if (h->has_bitmap)
		memset(h->bitmap, 0, x->n_users * h->bitmap_bytes);
	for (int32_t u = 0; u < x->n_users; u++)
	{
		if (mr_trainer_tick(t, 8 * (1 + x->user_start[u + 1] - x->user_start[u]), poll, arg))
			return MR_STOPPED;
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
		{
			if (leads)
			{
				h->order[p] = (uint32_t) p;
				h->pair_user[p] = u;
			}
			if (h->has_bitmap)
				h->bitmap[u * h->bitmap_bytes + (x->items[p] >> 3)] |= 1 << (x->items[p] & 7);
		}
	}
	if (t->hyper.sampling == MR_SAMPLING_TWO_STAGE)
		mr_two_stage_start(t);
	return MR_OK;
}

/* CML's rank weight log(floor(J M / U) + 1). */
double
mr_hinge_rank_weight(int32_t items, int32_t impostors, int32_t draws)
{
	return log(floor((double) items * impostors / draws) + 1.0);
}

/* One negative of the user for the positive at position `at` of the batch. */
static int32_t
draw_negative(MrTrainer *t, int32_t user, int32_t at)
{
	switch (t->hyper.sampling)
	{
		case MR_SAMPLING_POPULARITY:
			return mr_sampler_popular(t, user);
		case MR_SAMPLING_TWO_STAGE:
			return mr_two_stage_draw(t, user, at);
		default:
			return mr_sampler_uniform(t, user);
	}
}

/* Add the gradients of one active hinge; near and far are the loss's distances. */
static void
add_gradients(MrTrainer *t, int32_t user, int32_t positive, int32_t negative,
			  float weight, float near, float far)
{
	size_t		n = t->stride;
	float	   *user_gradient = mr_points_touch(&t->users, user);
	float	   *positive_gradient = mr_points_touch(&t->items, positive);
	float	   *negative_gradient = mr_points_touch(&t->items, negative);
	float		pull = 2 * weight;
	float		push = 2 * weight;

	if (t->hyper.loss == MR_LOSS_TRIPLET)
	{
		pull = near > 0 ? weight / near : 0;
		push = far > 0 ? weight / far : 0;
	}
	t->math->hinge(user_gradient, positive_gradient, negative_gradient, t->users.hat + user * n,
				   t->items.hat + positive * n, t->items.hat + negative * n, pull, push, n);
}

/* Distances of the loss, squared (cml) or plain (triplet), to several items. */
static void
loss_distances(const MrTrainer *t, int32_t user, const int32_t *items, int32_t n, float *distances)
{
	t->math->squared_distances(distances, t->users.hat + (size_t) user * t->stride, t->items.hat, t->stride, items, n);
	if (t->hyper.loss == MR_LOSS_TRIPLET)
		for (int32_t i = 0; i < n; i++)
			distances[i] = sqrtf(distances[i]);
}

/* Loss of a pair against every draw on its own: `negatives` plain triplets. */
static double
each_draw(MrTrainer *t, int32_t user, int32_t positive, double weight, float near)
{
	double		loss = 0;

	for (int32_t i = 0; i < t->hyper.negatives; i++)
	{
		float		far = t->hinge.distances[i];
		double		hinge = t->hyper.margin + near - far;

		if (hinge <= 0)
			continue;
		add_gradients(t, user, positive, t->hinge.draws[i], (float) weight, near, far);
		loss += weight * hinge;
	}
	return loss;
}

/* Loss of a pair against the nearest draw, which has the largest hinge. */
static double
nearest_draw(MrTrainer *t, int32_t user, int32_t positive, double weight, float near)
{
	int32_t		draws = t->hyper.negatives;
	float		far = INFINITY;
	int32_t		nearest = -1;
	int32_t		impostors = 0;
	double		hinge;

	for (int32_t i = 0; i < draws; i++)
	{
		float		distance = t->hinge.distances[i];

		impostors += t->hyper.margin + near - distance > 0;
		if (distance < far)
		{
			far = distance;
			nearest = t->hinge.draws[i];
		}
	}
	if (nearest < 0)
		return NAN;				/* not a finite distance: reported as divergence */
	hinge = t->hyper.margin + near - far;
	if (hinge <= 0)
		return 0;
	if (t->hyper.rank_weight)
		weight *= mr_hinge_rank_weight(t->x->n_items, impostors, draws);
	add_gradients(t, user, positive, nearest, (float) weight, near, far);
	return weight * hinge;
}

/*
 * Loss of one positive pair against the negatives in hinge.draws, its gradients
 * added.  The triplet loss takes every draw for itself unless the sampler is
 * "hardest"; CML keeps the nearest.
 */
double
mr_hinge_pair(MrTrainer *t, int32_t user, int32_t positive, double pair_weight)
{
	float		near;

	loss_distances(t, user, &positive, 1, &near);
	loss_distances(t, user, t->hinge.draws, t->hyper.negatives, t->hinge.distances);
	if (t->hyper.loss == MR_LOSS_TRIPLET && t->hyper.sampling != MR_SAMPLING_HARDEST)
		return each_draw(t, user, positive, pair_weight, near);
	return nearest_draw(t, user, positive, pair_weight, near);
}

/* Rows about to be read drift up to this step (points.c). */
static void
catch_up(MrTrainer *t, const MrStep *step, int32_t user, int32_t positive)
{
	mr_points_drift(&t->users, t->math, step, user);
	mr_points_drift(&t->items, t->math, step, positive);
	for (int32_t i = 0; i < t->hyper.negatives; i++)
		mr_points_drift(&t->items, t->math, step, t->hinge.draws[i]);
}

/*
 * The points of a batch, made anew from ids and features: its users, and all
 * items, because any may be drawn.
 */
static MrStatus
refresh_towers(MrTrainer *t, int64_t first, int32_t n, MrPoll poll, void *arg)
{
	if (t->item_tower.is_on)
	{
		mr_side_tower_list_all(&t->item_tower);
		if (mr_side_tower_refresh(&t->item_tower, &t->items, &t->rng, poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	if (t->user_tower.is_on)
	{
		mr_side_tower_list_none(&t->user_tower);
		for (int32_t at = 0; at < n; at++)
			mr_side_tower_list(&t->user_tower, t->hinge.pair_user[t->hinge.order[first + at]]);
		if (mr_side_tower_refresh(&t->user_tower, &t->users, &t->rng, poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	return MR_OK;
}

/*
 * Gradients of the points, through the towers, to the ids.  As the hinges are
 * summed over the batch, so is the feature loss over the touched rows.
 */
static MrStatus
towers_backward(MrTrainer *t, double *loss, MrPoll poll, void *arg)
{
	if (t->item_tower.is_on && mr_side_tower_backward(&t->item_tower, &t->items, true, 1, loss, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (t->user_tower.is_on && mr_side_tower_backward(&t->user_tower, &t->users, true, 1, loss, poll, arg) != MR_OK)
		return MR_STOPPED;
	return MR_OK;
}

/* The interaction's own weight, times that of its item. */
static double
pair_weight(const MrTrainer *t, uint32_t pair)
{
	const MrInteractions *x = t->x;

	return (x->weights ? x->weights[pair] : 1.0) * (t->item_weight ? t->item_weight[x->items[pair]] : 1.0);
}

/*
 * With a team, rows drift before anybody reads them: all members draw the negatives
 * of their pairs and list what they will read, then each row's owner lets it drift.
 */
static MrStatus
draw_and_drift(MrTrainer *t, const MrStep *step, int64_t first, int32_t n, MrPoll poll, void *arg)
{
	MrHinge    *h = &t->hinge;
	const MrInteractions *x = t->x;
	MrPoints   *const sides[] = {&t->users, &t->items};

	for (int32_t at = 0; at < n; at++)
	{
		uint32_t	pair = h->order[first + at];
		int32_t		user = h->pair_user[pair];
		int32_t    *draws = h->batch_draws + (size_t) at * t->hyper.negatives;

		if (mr_trainer_tick(t, t->hyper.negatives * (int64_t) DRAW_WORK, poll, arg))
			return MR_STOPPED;
		if (t->hyper.sampling == MR_SAMPLING_TWO_STAGE && at % MR_TWO_STAGE_ROWS == 0 &&
			mr_two_stage_weigh(t, first + at, n - at < MR_TWO_STAGE_ROWS ? n - at : MR_TWO_STAGE_ROWS,
							   poll, arg) != MR_OK)
			return MR_STOPPED;
		if (x->user_start[user + 1] - x->user_start[user] >= x->n_items)
			continue;
		mr_points_list(&t->users, user);
		mr_points_list(&t->items, x->items[pair]);
		for (int32_t i = 0; i < t->hyper.negatives; i++)
		{
			draws[i] = draw_negative(t, user, at % MR_TWO_STAGE_ROWS);
			mr_points_list(&t->items, draws[i]);
		}
	}
	for (int side = 0; side < 2; side++)
		sides[side]->counts[t->team.rank] = sides[side]->n_touched;
	if (!mr_team_barrier(t))
		return MR_STOPPED;
	for (int side = 0; side < 2; side++)
	{
		MrRowWalk	walk = {0};

		while (mr_team_next_listed(sides[side], &walk))
		{
			if (mr_trainer_tick(t, 4 * t->stride, poll, arg))
				return MR_STOPPED;
			mr_points_drift(sides[side], t->math, step, walk.row);
		}
	}
	return mr_team_barrier(t) ? MR_OK : MR_STOPPED;
}

/* The negatives of the pair at this place of the member's part; its rows have drifted. */
static void
take_draws(MrTrainer *t, const MrStep *step, int32_t user, int32_t positive, int32_t at)
{
	MrHinge    *h = &t->hinge;

	if (h->batch_draws)
	{
		memcpy(h->draws, h->batch_draws + (size_t) at * t->hyper.negatives, t->hyper.negatives * sizeof(int32_t));
		return;
	}
	for (int32_t i = 0; i < t->hyper.negatives; i++)
		h->draws[i] = draw_negative(t, user, at % MR_TWO_STAGE_ROWS);
	if (t->hyper.optimizer == MR_OPTIMIZER_ADAM)
		catch_up(t, step, user, positive);
}

/*
 * Loss and gradients of the pairs order[first .. first + n), with a team of those
 * that are this member's; users that like every item are left out.
 */
static MrStatus
add_batch(MrTrainer *t, const MrStep *step, int64_t first, int32_t n,
		  MrPoll poll, void *arg, MrEpochResult *result)
{
	MrHinge    *h = &t->hinge;
	const MrInteractions *x = t->x;
	int64_t		end = first + n;

	mr_team_part(t, &first, &end);
	n = (int32_t) (end - first);
	if (poll && poll(arg))
		return MR_STOPPED;
	if (h->batch_draws && draw_and_drift(t, step, first, n, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t at = 0; at < n; at++)
	{
		uint32_t	pair = h->order[first + at];
		int32_t		user = h->pair_user[pair];

		if (mr_trainer_tick(t, t->hyper.negatives * (int64_t) (t->stride + DRAW_WORK), poll, arg))
			return MR_STOPPED;
		if (t->hyper.sampling == MR_SAMPLING_TWO_STAGE && at % MR_TWO_STAGE_ROWS == 0 && !h->batch_draws &&
			mr_two_stage_weigh(t, first + at, n - at < MR_TWO_STAGE_ROWS ? n - at : MR_TWO_STAGE_ROWS,
							   poll, arg) != MR_OK)
			return MR_STOPPED;
		if (x->user_start[user + 1] - x->user_start[user] >= x->n_items)
			continue;
		take_draws(t, step, user, x->items[pair], at);
		result->loss += mr_hinge_pair(t, user, x->items[pair], pair_weight(t, pair));
		result->positives++;
		result->negatives += t->hyper.negatives;
	}
	return MR_OK;
}

/* One epoch: all pairs in random order. */
MrStatus
mr_hinge_epoch(MrTrainer *t, MrPoll poll, void *arg, MrEpochResult *result)
{
	int64_t		n_pairs = t->x->n_pairs;
	double		weight = 0;
	double		none = 0;

	if (mr_team_shuffle(t, t->hinge.order, (uint32_t) n_pairs, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int64_t first = 0; first < n_pairs; first += t->hyper.batch_size)
	{
		int32_t		n = n_pairs - first < t->hyper.batch_size ? (int32_t) (n_pairs - first) : t->hyper.batch_size;
		MrStep		step = mr_trainer_step_now(t);

		if (t->hyper.sampling == MR_SAMPLING_TWO_STAGE &&
			mr_two_stage_batch(t, poll, arg) != MR_OK)
			return MR_STOPPED;
		if (refresh_towers(t, first, n, poll, arg) != MR_OK)
			return MR_STOPPED;
		if (add_batch(t, &step, first, n, poll, arg, result) != MR_OK)
			return MR_STOPPED;
		if (t->hyper.covariance > 0 &&
			mr_covariance_add(t, first, n, poll, arg, &result->loss) != MR_OK)
			return MR_STOPPED;
		mr_team_publish(&t->users);
		mr_team_publish(&t->items);
		if (!mr_team_barrier(t) ||
			towers_backward(t, &result->loss, poll, arg) != MR_OK ||
			mr_points_step_touched(t, &t->users, &step, poll, arg) != MR_OK ||
			mr_points_step_touched(t, &t->items, &step, poll, arg) != MR_OK ||
			mr_trainer_step_towers(t, &step, poll, arg) != MR_OK ||
			!mr_team_barrier(t))
			return MR_STOPPED;
		t->step++;
	}
	if (mr_team_sum_result(t, result, &result->loss, &weight, &none) != MR_OK)
		return MR_STOPPED;
	if (result->positives > 0)
		result->loss /= result->positives;
	return MR_OK;
}
