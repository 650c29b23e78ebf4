/*
 * export.c
 *		The trained points as they are stored: see tower.h for their form.
 *
 * Light propagation (LightGCN's layer, once, after training): with
 * A = D^-1/2 R D^-1/2 of the interactions R and strength a,
 *
 *		v_i += a SUM over users u of A_ui u		u += a SUM over items i of A_ui v_i
 *
 * both from the points before, then back under the constraint.  A pooled user is
 * pooled from the new items instead, because that is what the queries will do.
 *
 * With start_share s the start that was given keeps a share of what is written:
 * (1 - s) learned + s given, of points, then back under the constraint, and of biases.
 * What is trained goes on from the learned ones.
 */
#include <math.h>
#include <string.h>

#include "model/trainer_state.h"

/* Under the constraint again, after points were added. */
static void
constrain(const MrTrainer *t, float *point)
{
	float		square = t->math->dot(point, point, t->stride);

	if (square > 0 && (t->hyper.constraint == MR_CONSTRAINT_SPHERE ||
					   (t->hyper.constraint == MR_CONSTRAINT_BALL && square > 1)))
		t->math->scale(point, 1.0f / sqrtf(square), point, t->stride);
}

/* The point of row `row`, with its start's share in it. */
static void
blend(const MrTrainer *t, const float *start, int32_t row, float *point)
{
	if (!t->blends || start == NULL)
		return;
	t->math->scale(point, (float) (1 - t->hyper.start_share), point, t->stride);
	t->math->axpy(point, (float) t->hyper.start_share, start + (size_t) row * t->stride, t->stride);
	constrain(t, point);
}

/*
 * With features: the items' points as they are without dropout, whatever the last
 * step made of them.
 */
static MrStatus
settle_items(MrTrainer *t, MrPoll poll, void *arg)
{
	if (!t->item_tower.is_on)
		return MR_OK;
	mr_side_tower_list_all(&t->item_tower);
	if (mr_side_tower_refresh(&t->item_tower, &t->items, NULL, poll, arg) != MR_OK)
		return MR_STOPPED;
	return t->hyper.loss == MR_LOSS_SOFTMAX ? mr_softmax_refresh(t, &t->softmax, poll, arg) : MR_OK;
}

/* Copy a row's coordinates without the trainer's extra one into a zero-padded row. */
static void
copy_point(const MrTrainer *t, float *to, const float *from)
{
	memset(to, 0, t->stride * sizeof(float));
	memcpy(to, from, t->width * sizeof(float));
}

/*
 * The user's point from the items' points [n_items][stride] (pooled), or the
 * learned one (free), into point [stride].  With features of users, this is what
 * the tower takes.
 */
static MrStatus
user_point(MrTrainer *t, int32_t user, const float *items, float *point, MrPoll poll, void *arg)
{
	const MrInteractions *x = t->x;
	int64_t		first = x->user_start[user];
	int64_t		n = x->user_start[user + 1] - first;
	float	   *part = t->export_row;
	int64_t		most = mr_trainer_part(t);
	float		square;

	if (t->hyper.tower == MR_TOWER_FREE)
	{
		bool		raw = t->user_tower.is_on && t->user_tower.combination != MR_COMBINE_PRIOR;

		copy_point(t, point, (raw ? t->users.value : t->users.hat) + (size_t) user * t->stride);
		blend(t, t->start_users, user, point);
		return MR_OK;
	}
	memset(point, 0, t->stride * sizeof(float));
	for (int64_t i = 0; i < n; i += most)
	{
		int64_t		count = n - i < most ? n - i : most;

		if (mr_trainer_tick(t, count * t->stride, poll, arg))
			return MR_STOPPED;
		t->math->gather_sum(part, items, t->stride, x->items + first + i, count);
		t->math->axpy(point, 1.0f, part, t->stride);
	}
	if (t->extra)
		point[t->width] = 0;
	square = t->math->dot(point, point, t->stride);
	if (square > 0)
		t->math->scale(point, 1.0f / sqrtf(square), point, t->stride);
	return MR_OK;
}

/* Into the items' gradients, which are free now: SUM over users of A_ui u. */
static MrStatus
propagate_to_items(MrTrainer *t, MrPoll poll, void *arg)
{
	const MrInteractions *x = t->x;
	float	   *point = t->export_row + t->stride;

	memset(t->items.gradient, 0, (size_t) x->n_items * t->stride * sizeof(float));
	for (int32_t user = 0; user < x->n_users; user++)
	{
		int64_t		n = x->user_start[user + 1] - x->user_start[user];

		if (user_point(t, user, t->items.hat, point, poll, arg) != MR_OK)
			return MR_STOPPED;
		for (int64_t p = x->user_start[user]; p < x->user_start[user + 1]; p++)
		{
			if (mr_trainer_tick(t, t->stride, poll, arg))
				return MR_STOPPED;
			t->math->axpy(t->items.gradient + (size_t) x->items[p] * t->stride,
						  1.0f / sqrtf((float) n * t->item_count[x->items[p]]), point, t->stride);
		}
	}
	return MR_OK;
}

/* Add a SUM over items of A_ui v_i to a free user's point. */
static MrStatus
propagate_to_user(MrTrainer *t, int32_t user, float *point, MrPoll poll, void *arg)
{
	const MrInteractions *x = t->x;
	int64_t		n = x->user_start[user + 1] - x->user_start[user];

	for (int64_t p = x->user_start[user]; p < x->user_start[user + 1]; p++)
	{
		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		t->math->axpy(point, (float) t->hyper.propagation / sqrtf((float) n * t->item_count[x->items[p]]),
					  t->items.hat + (size_t) x->items[p] * t->stride, t->stride);
	}
	if (t->extra)
		point[t->width] = 0;
	constrain(t, point);
	return MR_OK;
}

/*
 * The items' final points into the gradients' memory, [n_items][stride], zero
 * behind the width.
 */
static MrStatus
finish_items(MrTrainer *t, MrPoll poll, void *arg)
{
	bool		spread = t->hyper.propagation > 0;

	if (spread && propagate_to_items(t, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t i = 0; i < t->x->n_items; i++)
	{
		float	   *point = t->items.gradient + (size_t) i * t->stride;
		const float *hat = t->items.hat + (size_t) i * t->stride;

		if (mr_trainer_tick(t, 4 * t->stride, poll, arg))
			return MR_STOPPED;
		if (!spread)
		{
			copy_point(t, point, hat);
			blend(t, t->start_items, i, point);
			continue;
		}
		t->math->scale(point, (float) t->hyper.propagation, point, t->stride);
		for (int32_t k = 0; k < t->width; k++)
			point[k] += hat[k];
		constrain(t, point);
	}
	return MR_OK;
}

/* An item's bias as it is written. */
static float
final_bias(const MrTrainer *t, int32_t item)
{
	float		share = (float) t->hyper.start_share;

	return t->blends ? (1 - share) * t->bias[item] + share * t->start_bias[item] : t->bias[item];
}

/* The largest bias; the stored coordinate is sqrt(T (largest - b)). */
static float
largest_bias(const MrTrainer *t)
{
	float		largest = final_bias(t, 0);

	for (int32_t i = 1; i < t->x->n_items; i++)
		largest = fmaxf(largest, final_bias(t, i));
	return largest;
}

static MrStatus
export_items(MrTrainer *t, float *items, MrPoll poll, void *arg)
{
	int32_t		dimensions = t->hyper.dimensions;
	float		largest = t->bias ? largest_bias(t) : 0;

	for (int32_t i = 0; i < t->x->n_items; i++)
	{
		float	   *to = items + (size_t) i * dimensions;

		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		memcpy(to, t->items.gradient + (size_t) i * t->stride, t->width * sizeof(float));
		if (t->bias)
			to[t->width] = sqrtf((float) t->hyper.temperature * (largest - final_bias(t, i)));
		for (int32_t k = 0; k < dimensions; k++)
			if (!isfinite(to[k]))
				return MR_DIVERGED;
	}
	return MR_OK;
}

/*
 * As mr_trainer_export(), of ALS, in rows of `dimensions`, which may be more than the
 * trainer's: what is beyond is 0.
 */
MrStatus
mr_trainer_export_als(MrTrainer *t, int32_t dimensions, MrPoll poll, void *arg, float *users, float *items)
{
	return mr_als_export(t->als, dimensions, users, items, poll, arg);
}

/*
 * Write the points: users [n_users][dimensions], items [n_items][dimensions].
 * A pooled user without interactions gets zeroes.  May be called between epochs;
 * training may go on afterwards.  Propagation is applied to what is written, not
 * to what is trained.
 *
 * Returns MR_OK, MR_STOPPED, or MR_DIVERGED if a coordinate is not finite.
 */
MrStatus
mr_trainer_export(MrTrainer *t, MrPoll poll, void *arg, float *users, float *items)
{
	int32_t		dimensions = t->hyper.dimensions;
	float	   *point = t->export_row + t->stride;
	MrStatus	status;

	if (t->als)
		return mr_als_export(t->als, dimensions, users, items, poll, arg);
	if (t->bpr)
		return mr_bpr_export(t->bpr, dimensions, users, items, poll, arg);
	status = poll && poll(arg) ? MR_STOPPED : mr_trainer_start(t, poll, arg);
	if (status == MR_OK)
		status = settle_items(t, poll, arg);
	if (status == MR_OK)
		status = finish_items(t, poll, arg);
	if (status == MR_OK)
		status = export_items(t, items, poll, arg);
	for (int32_t user = 0; status == MR_OK && user < t->x->n_users; user++)
	{
		float	   *to = users + (size_t) user * dimensions;

		if (mr_trainer_tick(t, t->stride, poll, arg))
			status = MR_STOPPED;
		else
			status = user_point(t, user, t->items.gradient, point, poll, arg);
		if (status == MR_OK && t->user_tower.is_on)
			status = mr_side_tower_points(&t->user_tower, &user, 1, point, NULL, point, poll, arg);
		if (status == MR_OK && t->hyper.tower == MR_TOWER_FREE && t->hyper.propagation > 0)
			status = propagate_to_user(t, user, point, poll, arg);
		if (t->bias)
			to[t->width] = 0;
		memcpy(to, point, t->width * sizeof(float));
		for (int32_t k = 0; status == MR_OK && k < t->width; k++)
			if (!isfinite(point[k]))
				status = MR_DIVERGED;
	}
	/* the gradients' memory belongs to the next epoch again */
	memset(t->items.gradient, 0, (size_t) t->x->n_items * t->stride * sizeof(float));
	return status;
}

/*
 * The last coordinate of an item that has no interactions, whose bias is where all
 * biases began, at 0.  (The mean of the learned ones put new papers too far back:
 * recall@50 among all of .442 instead of .470, doc/training.md.)  0 without a bias.
 */
float
mr_trainer_new_item_bias(const MrTrainer *t)
{
	if (t->bias == NULL)
		return 0;
	return sqrtf((float) t->hyper.temperature * fmaxf(largest_bias(t), 0));
}

/*
 * The points of the rows that have features and no interactions: those of `tower`
 * behind its n_rows, [features->n_rows - n_rows][dimensions], `last` in the bias
 * coordinate, if there is one.
 */
static MrStatus
export_new(MrTrainer *t, MrSideTower *tower, float last, float *points, MrPoll poll, void *arg)
{
	int32_t		dimensions = t->hyper.dimensions;

	for (int32_t row = tower->n_rows; row < tower->features->n_rows; row += MR_NET_BLOCK)
	{
		int32_t		rows[MR_NET_BLOCK];
		int32_t		n = 0;

		for (; n < MR_NET_BLOCK && row + n < tower->features->n_rows; n++)
			rows[n] = row + n;
		if (mr_side_tower_points(tower, rows, n, NULL, NULL, tower->gradient, poll, arg) != MR_OK)
			return MR_STOPPED;
		for (int32_t i = 0; i < n; i++, points += dimensions)
		{
			memcpy(points, tower->gradient + (size_t) i * t->stride, t->width * sizeof(float));
			if (t->bias)
				points[t->width] = last;
			for (int32_t k = 0; k < dimensions; k++)
				if (!isfinite(points[k]))
					return MR_DIVERGED;
		}
	}
	return MR_OK;
}

/*
 * Write the points of users and items that have features and no interactions, if
 * that side's tower is on; after mr_trainer_export().
 */
MrStatus
mr_trainer_export_new(MrTrainer *t, MrPoll poll, void *arg, float *users, float *items)
{
	MrStatus	status = MR_OK;

	if (t->user_tower.is_on)
		status = export_new(t, &t->user_tower, 0, users, poll, arg);
	if (status == MR_OK && t->item_tower.is_on)
		status = export_new(t, &t->item_tower, mr_trainer_new_item_bias(t), items, poll, arg);
	return status;
}
