/*
 * start.c
 *		Points to begin with, in place of random ones.
 *
 * What mr_trainer_export() wrote, or what another algorithm made in the same form,
 * becomes what is learned from the first epoch on: warm starts and the start from
 * alternating least squares.
 *
 * The coordinates become the rows' values as they are, under the constraint.  The
 * bias comes back from the last coordinate, c = sqrt(T (b_max - b)):
 *
 *		b = b_max - c^2 / T
 *
 * with the temperature T of this training, so that the distances are those of the
 * stored points, whatever T they were trained with.  b_max is not stored; it is free,
 * because a number added to all biases changes no probability.  It matters only
 * beside items that begin at random, with bias 0, and for what a new item gets
 * (mr_trainer_new_item_bias()): `new_item` of the start tells it, or else the mean of
 * the given biases is put to 0.
 *
 * With a tower of features the points given are those of the ids, before the
 * network's are added: a network that starts at random leaves the first points near
 * the given ones and not the same.  A network that is given, too: start_towers.c.
 *
 * A pooled user has no point of its own: `users` is not read then.  ALS needs the items
 * only; BPR begins at random all the same, because the scale of its scores is not kept.
 */
#include <math.h>
#include <string.h>

#include "model/trainer_state.h"

/* A row of less length has no direction and begins at random. */
#define MINIMAL_NORM 1e-6f

/* Of a stored row, which is not padded; not finite if a coordinate is not. */
static double
square_length(const float *row, int32_t n)
{
	double		square = 0;

	for (int32_t i = 0; i < n; i++)
		square += (double) row[i] * row[i];
	return square;
}

/* One row's value; its optimiser stays at its start. */
static void
start_row(MrTrainer *t, MrPoints *points, int32_t row, const float *from)
{
	float	   *value = points->value + (size_t) row * t->stride;
	double		square = square_length(from, t->width);

	if (points->constraint == MR_CONSTRAINT_SPHERE && square < MINIMAL_NORM * MINIMAL_NORM)
		return;
	memcpy(value, from, t->width * sizeof(float));
	if (points->constraint == MR_CONSTRAINT_BALL && square > 1)
		t->math->scale(value, (float) (1 / sqrt(square)), value, t->stride);
	mr_points_refresh(points, t->math, row);
}

/* Rows of one side; rows whose `has` is 0 keep their random points. */
static MrStatus
start_points(MrTrainer *t, MrPoints *points, const float *from, const uint8_t *has, MrPoll poll, void *arg)
{
	int32_t		dimensions = t->hyper.dimensions;

	for (int32_t row = 0; row < points->n; row++)
	{
		const float *given = from + (size_t) row * dimensions;

		if (mr_trainer_tick(t, 4 * t->stride, poll, arg))
			return MR_STOPPED;
		if (has && !has[row])
			continue;
		if (!isfinite(square_length(given, dimensions)))
			return MR_DIVERGED;
		start_row(t, points, row, given);
	}
	return MR_OK;
}

/* A side's biases from the last coordinates; new_row as in MrStart. */
static MrStatus
start_biases(MrTrainer *t, const MrRanked *ranked, const float *from, const uint8_t *has, float new_row,
			 MrPoll poll, void *arg)
{
	int32_t		dimensions = t->hyper.dimensions;
	double		largest = 0;
	int64_t		n = 0;

	for (int32_t i = 0; i < ranked->points->n; i++)
	{
		double		c = from[(size_t) i * dimensions + t->width];

		if (mr_trainer_tick(t, 8, poll, arg))
			return MR_STOPPED;
		if (has && !has[i])
			continue;
		ranked->bias[i] = (float) (-c * c / ranked->temperature);
		largest += c * c / ranked->temperature;
		n++;
	}
	largest = new_row > 0 ? (double) new_row * new_row / ranked->temperature : n > 0 ? largest / n : 0;
	for (int32_t i = 0; i < ranked->points->n; i++)
		if (has == NULL || has[i])
			ranked->bias[i] += (float) largest;
	return MR_OK;
}

/* The tags, and the weight of the user in their queries. */
static MrStatus
start_tags(MrTrainer *t, const MrStart *start, MrPoll poll, void *arg)
{
	MrTags	   *tags = &t->tags;
	MrStatus	status = start_points(t, &tags->points, start->tags, start->has_tag, poll, arg);

	if (status == MR_OK && tags->softmax.ranked.bias)
		status = start_biases(t, &tags->softmax.ranked, start->tags, start->has_tag, 0, poll, arg);
	if (status == MR_OK && start->user_weight > 0)
		mr_tags_set_user_weight(tags, start->user_weight);
	return status == MR_OK ? mr_softmax_refresh(t, &tags->softmax, poll, arg) : status;
}

/*
 * Keep the points that the training begins with for their share of what it ends with:
 * rows, padded, without the trainer's extra coordinate.
 */
static MrStatus
keep_points(MrTrainer *t, const MrPoints *points, float *to, MrPoll poll, void *arg)
{
	for (int32_t row = 0; row < points->n; row++)
	{
		float	   *kept = to + (size_t) row * t->stride;

		if (mr_trainer_tick(t, 4 * t->stride, poll, arg))
			return MR_STOPPED;
		memset(kept, 0, t->stride * sizeof(float));
		memcpy(kept, points->hat + (size_t) row * t->stride, t->width * sizeof(float));
	}
	return MR_OK;
}

static MrStatus
keep_start(MrTrainer *t, MrPoll poll, void *arg)
{
	MrStatus	status = MR_OK;

	if (t->start_items == NULL)
		return MR_OK;
	status = keep_points(t, &t->items, t->start_items, poll, arg);
	if (status == MR_OK && t->start_users)
		status = keep_points(t, &t->users, t->start_users, poll, arg);
	if (status == MR_OK && t->start_bias)
		memcpy(t->start_bias, t->bias, t->x->n_items * sizeof(float));
	t->blends = status == MR_OK;
	return status;
}

/*
 * Begin with the points of *start (trainer.h), which is not needed afterwards.  Call
 * it after mr_trainer_init() and before the first epoch; later, points are replaced
 * while the optimiser keeps what it knows of the old ones.
 *
 * Returns MR_OK, MR_STOPPED, or MR_DIVERGED if a coordinate is not finite, or a
 * network is damaged or of another layout; after the last two the trainer is of no further use.
 */
MrStatus
mr_trainer_set_start(MrTrainer *t, const MrStart *start, MrPoll poll, void *arg)
{
	MrStatus	status;

	if (t->als)
		return mr_als_set_start(t->als, start, poll, arg);
	if (t->bpr)
		return MR_OK;
	status = mr_trainer_start(t, poll, arg);
	if (status == MR_OK && start->items)
		status = start_points(t, &t->items, start->items, start->has_item, poll, arg);
	if (status == MR_OK && start->items && t->bias)
		status = start_biases(t, &t->softmax.ranked, start->items, start->has_item, start->new_item, poll, arg);
	if (status == MR_OK && start->users && t->hyper.tower == MR_TOWER_FREE)
		status = start_points(t, &t->users, start->users, start->has_user, poll, arg);
	if (status == MR_OK)
		status = mr_start_towers(t, start, poll, arg);
	if (status == MR_OK)
		status = keep_start(t, poll, arg);
	if (status == MR_OK && start->tags && t->tags.posts)
		status = start_tags(t, start, poll, arg);
	if (status == MR_OK && t->hyper.loss == MR_LOSS_SOFTMAX)
		status = mr_softmax_refresh(t, &t->softmax, poll, arg);
	return status;
}
