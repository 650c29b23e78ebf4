/*
 * softmax_shared.c
 *		Shared negatives of the softmax loss, when the items are too many for all
 *		of them to be negatives of every user.
 *
 * `negatives` draws with replacement serve all users of a batch.  The sum over a
 * user's negatives is estimated by importance weighting: log(m / (N q)) is added
 * to the logit of an item that was drawn m times out of N with probability q.
 * Each user's positives are masked as in the full softmax.  q is uniform, or half
 * uniform and half p ~ count^popularity_exponent: without the uniform half, items
 * that nobody likes yet would never be pushed away from anybody.
 */
#include <math.h>
#include <string.h>

#include "model/trainer_state.h"

/* Let value[root] sink to its place in the heap value[0 .. n). */
static void
sift_down(int32_t *value, int32_t root, int32_t n)
{
	int32_t		moving = value[root];

	for (int64_t child = 2 * (int64_t) root + 1; child < n; child = 2 * (int64_t) root + 1)
	{
		if (child + 1 < n && value[child + 1] > value[child])
			child++;
		if (value[child] <= moving)
			break;
		value[root] = value[child];
		root = (int32_t) child;
	}
	value[root] = moving;
}

/* Heap sort, ascending: unlike the library's qsort() it never allocates. */
static MrStatus
sort_items(MrTrainer *t, int32_t *value, int32_t n, MrPoll poll, void *arg)
{
	for (int32_t root = n / 2 - 1; root >= 0; root--)
		sift_down(value, root, n);
	for (int32_t last = n - 1; last > 0; last--)
	{
		int32_t		largest = value[0];

		if (mr_trainer_tick(t, 64, poll, arg))
			return MR_STOPPED;
		value[0] = value[last];
		value[last] = largest;
		sift_down(value, 0, last);
	}
	return MR_OK;
}

/*
 * Draw the negatives of a batch: the columns of the products, in the order of the
 * items, and the correction of each.
 */
MrStatus
mr_softmax_draw(MrTrainer *t, MrPoll poll, void *arg)
{
	MrSoftmax  *s = &t->softmax;
	int32_t		n_items = t->x->n_items;
	int32_t		draws = t->hyper.negatives;
	bool		mixed = t->hyper.sampling == MR_SAMPLING_POPULARITY;
	int32_t		n = 0;

	for (int32_t c = 0; c < s->n_columns; c++)
		s->column_of[s->drawn[c]] = -1;
	for (int32_t i = 0; i < draws; i++)
		s->drawn[i] = mixed && (i & 1) ? mr_alias_draw(&t->alias, &t->rng)
			: (int32_t) mr_rng_below(&t->rng, n_items);
	if (sort_items(t, s->drawn, draws, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t i = 0; i < draws; n++)
	{
		int32_t		item = s->drawn[i];
		int32_t		times = 0;
		double		q = 1.0 / n_items;

		if (mr_trainer_tick(t, 64, poll, arg))
			return MR_STOPPED;
		for (; i < draws && s->drawn[i] == item; i++)
			times++;
		if (mixed && t->item_count[item] > 0)
			q = 0.5 * q + 0.5 * pow(t->item_count[item], t->hyper.popularity_exponent) / t->popularity_sum;
		else if (mixed)
			q *= 0.5;
		s->drawn[n] = item;
		s->column_of[item] = n;
		s->correction[n] = (float) (t->hyper.temperature / 2 * log(times / (draws * q)));
	}
	s->n_columns = n;
	s->n_tiles = (n + s->tile_columns - 1) / s->tile_columns;
	return MR_OK;
}

/* Gather the drawn items' points, corrected. */
MrStatus
mr_softmax_gather(MrTrainer *t, MrPoll poll, void *arg)
{
	MrSoftmax  *s = &t->softmax;

	for (int32_t c = 0; c < s->n_columns; c++)
	{
		float	   *point = s->column_point + (size_t) c * t->stride;

		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		memcpy(point, t->items.hat + (size_t) s->drawn[c] * t->stride, t->stride * sizeof(float));
		point[t->width] += s->correction[c];
	}
	memset(s->column_gradient, 0, (size_t) s->n_columns * t->stride * sizeof(float));
	return MR_OK;
}

/* Hand the columns' gradients on to their items. */
MrStatus
mr_softmax_scatter(MrTrainer *t, MrPoll poll, void *arg)
{
	MrSoftmax  *s = &t->softmax;

	for (int32_t c = 0; c < s->n_columns; c++)
	{
		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		t->math->axpy(mr_points_touch(&t->items, s->drawn[c]), 1.0f,
					  s->column_gradient + (size_t) c * t->stride, t->stride);
	}
	return MR_OK;
}
