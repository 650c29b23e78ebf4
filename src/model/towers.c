/*
 * towers.c
 *		A side's tower, forward and backward (see towers.h).
 */
#include <math.h>
#include <string.h>

#include "model/towers.h"

/*
 * A shorter one has no direction: the point is 0 and gets no gradient, which would
 * be without bound.  So are new rows without features, as long as biases are 0.
 */
#define MINIMAL_NORM 1e-6f

/* ---- memory and start ---- */

/* Does the network see the id's point? */
static bool
net_sees_id(const MrSideTower *w)
{
	return w->combination == MR_COMBINE_BOTH;
}

/* The network and the scratch of a block; hyper NULL: forward only. */
void
mr_side_tower_place(MrSideTower *w, MrArena *arena, const MrNetShape *shape, const MrHyper *hyper)
{
	size_t		row_size = w->stride * sizeof(float);

	w->net = mr_net_layout(arena, shape, hyper, w->stride);
	w->id = mr_arena_take(arena, MR_NET_BLOCK, row_size);
	w->kept_id = mr_arena_take(arena, MR_NET_BLOCK, row_size);
	w->point = mr_arena_take(arena, MR_NET_BLOCK, row_size);
	w->gradient = mr_arena_take(arena, MR_NET_BLOCK, row_size);
	w->id_gradient = mr_arena_take(arena, MR_NET_BLOCK, row_size);
	w->scale = mr_arena_take(arena, MR_NET_BLOCK, sizeof(float));
	w->is_kept = mr_arena_take(arena, MR_NET_BLOCK, sizeof(uint8_t));
}

/* Take the tower's memory; without features, or with combination "id", it stays off. */
void
mr_side_tower_layout(MrSideTower *w, MrArena *arena, const MrHyper *hyper, MrCombination combination,
					 const MrFeatures *features, int32_t n_rows, int32_t width, int32_t stride)
{
	MrNetShape	shape = {0};

	memset(w, 0, sizeof(*w));
	w->is_on = features != NULL && combination != MR_COMBINE_ID;
	if (!w->is_on)
		return;
	w->combination = combination;
	w->constraint = hyper->constraint;
	w->features = features;
	w->n_rows = n_rows;
	w->width = width;
	w->stride = stride;
	w->dropout = (float) hyper->dropout;
	w->id_dropout = combination == MR_COMBINE_SUM || combination == MR_COMBINE_BOTH ? (float) hyper->id_dropout : 0;
	w->prior = hyper->feature_regularization;

	shape.n_sparse = features->n_sparse;
	shape.n_dense = features->n_dense;
	shape.n_point = net_sees_id(w) ? width : 0;
	shape.n_hidden = hyper->n_hidden;
	memcpy(shape.hidden, hyper->hidden, sizeof(shape.hidden));
	shape.width = width;
	shape.activation = hyper->activation;
	mr_side_tower_place(w, arena, &shape, hyper);

	w->list = mr_arena_take(arena, n_rows, sizeof(int32_t));
	w->is_listed = mr_arena_take(arena, n_rows, sizeof(uint8_t));
	w->block_rng = mr_arena_take(arena, n_rows / MR_NET_BLOCK + 1, sizeof(MrRng));
}

/* Random weights; deviation is that of a coordinate of an id's point at the start. */
MrStatus
mr_side_tower_start(MrSideTower *w, MrRng *rng, double deviation, MrPoll poll, void *arg)
{
	MrNetInput	input;

	if (!w->is_on)
		return MR_OK;
	w->n_list = 0;
	memset(w->is_listed, 0, w->n_rows);
	if (mr_net_measure(w->features, &input, poll, arg) != MR_OK)
		return MR_STOPPED;
	input.point = deviation * deviation * w->width;
	return mr_net_start(w->net, rng, &input, deviation, poll, arg);
}

/* ---- one block ---- */

/* Which rows keep their id in this step; the draws are the same whatever the rows are. */
static void
draw_kept(MrSideTower *w, const int32_t *rows, int32_t n, bool has_id, MrRng *rng)
{
	for (int32_t i = 0; i < n; i++)
	{
		bool		drop = rng != NULL && w->id_dropout > 0 && mr_rng_uniform(rng) < w->id_dropout;

		if (!has_id || w->combination == MR_COMBINE_FEATURES)
			w->is_kept[i] = 0;
		else
			w->is_kept[i] = !drop || !w->features->is_present[rows[i]];
	}
}

/* Under the constraint; scale says by what a row was multiplied. */
static void
constrain(MrSideTower *w, int32_t n)
{
	const MrRowMath *math = mr_rowmath();

	for (int32_t i = 0; i < n; i++)
	{
		float	   *point = w->point + (size_t) i * w->stride;
		float		norm;

		w->scale[i] = 1;
		if (w->constraint == MR_CONSTRAINT_NONE)
			continue;
		norm = sqrtf(math->dot(point, point, w->stride));
		if (w->constraint == MR_CONSTRAINT_BALL && norm <= 1)
			continue;
		w->scale[i] = norm > MINIMAL_NORM ? 1.0f / norm : 0;
		math->scale(point, w->scale[i], point, w->stride);
	}
}

/*
 * Points of a block of rows into w->point.  ids NULL: new rows, which have none.
 * What the backward pass needs stays in the tower and the network.
 */
static MrStatus
forward_block(MrSideTower *w, const int32_t *rows, int32_t n, const float *ids, MrRng *rng, MrPoll poll, void *arg)
{
	const MrRowMath *math = mr_rowmath();

	draw_kept(w, rows, n, ids != NULL, rng);
	for (int32_t i = 0; i < n; i++)
	{
		float	   *kept = w->kept_id + (size_t) i * w->stride;

		memset(kept, 0, w->stride * sizeof(float));
		if (w->is_kept[i])
			memcpy(kept, ids + (size_t) i * w->stride, w->width * sizeof(float));
	}
	if (mr_net_forward(w->net, w->features, rows, n, net_sees_id(w) ? w->kept_id : NULL,
					   rng ? w->dropout : 0, rng, w->point, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (w->combination == MR_COMBINE_SUM)
		for (int32_t i = 0; i < n; i++)
			math->axpy(w->point + (size_t) i * w->stride, 1.0f, w->kept_id + (size_t) i * w->stride, w->stride);
	constrain(w, n);
	return MR_OK;
}

/*
 * From the gradient with respect to the points [n][stride] to that with respect
 * to the ids, in place; the network's gradients are added up.
 */
static MrStatus
backward_block(MrSideTower *w, const int32_t *rows, int32_t n, float *gradient, MrPoll poll, void *arg)
{
	const MrRowMath *math = mr_rowmath();
	bool		sees_id = net_sees_id(w);

	for (int32_t i = 0; i < n; i++)
	{
		float	   *g = gradient + (size_t) i * w->stride;
		const float *point = w->point + (size_t) i * w->stride;

		/* what lies behind the width belongs to the caller, not to the point */
		memset(g + w->width, 0, (w->stride - w->width) * sizeof(float));
		if (w->scale[i] == 1 && w->constraint != MR_CONSTRAINT_SPHERE)
			continue;
		math->axpy(g, -math->dot(g, point, w->stride), point, w->stride);
		math->scale(g, w->scale[i], g, w->stride);
	}
	if (sees_id)
		memset(w->id_gradient, 0, (size_t) n * w->stride * sizeof(float));
	if (mr_net_backward(w->net, w->features, rows, n, sees_id ? w->kept_id : NULL, gradient,
						sees_id ? w->id_gradient : NULL, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t i = 0; i < n; i++)
	{
		float	   *g = gradient + (size_t) i * w->stride;

		if (!w->is_kept[i])
			memset(g, 0, w->stride * sizeof(float));
		else if (sees_id)
			memcpy(g, w->id_gradient + (size_t) i * w->stride, w->stride * sizeof(float));
	}
	return MR_OK;
}

/*
 * CML's feature loss of a block:  scale * lambda_f SUM |net(x) - point|^2, added to
 * *loss; its gradients are added to those of the points [n][stride] and of the
 * network.  Every row has features.
 */
static MrStatus
prior_block(MrSideTower *w, const int32_t *rows, int32_t n, const float *points, float *gradient, MrRng *rng,
			double scale, double *loss, MrPoll poll, void *arg)
{
	const MrRowMath *math = mr_rowmath();
	float		factor = (float) (2 * w->prior * scale);

	if (mr_net_forward(w->net, w->features, rows, n, NULL, w->dropout, rng, w->point, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t i = 0; i < n; i++)
	{
		float	   *difference = w->id_gradient + (size_t) i * w->stride;

		memset(difference, 0, w->stride * sizeof(float));
		for (int32_t k = 0; k < w->width; k++)
			difference[k] = w->point[(size_t) i * w->stride + k] - points[(size_t) i * w->stride + k];
		*loss += w->prior * scale * math->dot(difference, difference, w->stride);
		math->scale(difference, factor, difference, w->stride);
		math->axpy(gradient + (size_t) i * w->stride, -1.0f, difference, w->stride);
	}
	return mr_net_backward(w->net, w->features, rows, n, NULL, w->id_gradient, NULL, poll, arg);
}

/* ---- many rows ---- */

static inline int32_t
block_size(int32_t n, int32_t first)
{
	return n - first < MR_NET_BLOCK ? n - first : MR_NET_BLOCK;
}

/* Random numbers of a block's own, so that its forward can be computed again. */
static MrRng
begin_block(MrSideTower *w, int32_t first, MrRng *rng)
{
	MrRng	   *own = &w->block_rng[first / MR_NET_BLOCK];

	mr_rng_seed(own, mr_rng_next(rng));
	return *own;
}

/* See towers.h. */
MrStatus
mr_side_tower_points(MrSideTower *w, const int32_t *rows, int32_t n, const float *ids, MrRng *rng, float *points,
					 MrPoll poll, void *arg)
{
	for (int32_t first = 0; first < n; first += MR_NET_BLOCK)
	{
		int32_t		size = block_size(n, first);
		size_t		at = (size_t) first * w->stride;
		MrRng		own;

		if (poll && poll(arg))
			return MR_STOPPED;
		if (rng)
			own = begin_block(w, first, rng);
		if (w->combination == MR_COMBINE_PRIOR && ids)
		{
			memcpy(points + at, ids + at, (size_t) size * w->stride * sizeof(float));
			continue;
		}
		if (forward_block(w, rows + first, size, ids ? ids + at : NULL, rng ? &own : NULL, poll, arg) != MR_OK)
			return MR_STOPPED;
		memcpy(points + at, w->point, (size_t) size * w->stride * sizeof(float));
	}
	return MR_OK;
}

/* The feature loss of the rows of a block that have features, in their places. */
static MrStatus
prior_of_rows(MrSideTower *w, const int32_t *rows, int32_t n, const float *points, float *gradient, MrRng *rng,
			  double scale, double *loss, MrPoll poll, void *arg)
{
	for (int32_t i = 0; i < n;)
	{
		int32_t		m = 0;

		while (i < n && !w->features->is_present[rows[i]])
			i++;
		while (i + m < n && w->features->is_present[rows[i + m]])
			m++;
		if (m > 0 && prior_block(w, rows + i, m, points + (size_t) i * w->stride, gradient + (size_t) i * w->stride, rng,
								 scale, loss, poll, arg) != MR_OK)
			return MR_STOPPED;
		i += m;
	}
	return MR_OK;
}

/* See towers.h. */
MrStatus
mr_side_tower_gradients(MrSideTower *w, const int32_t *rows, int32_t n, const float *ids, float *gradient,
						double scale, double *loss, MrPoll poll, void *arg)
{
	for (int32_t first = 0; first < n; first += MR_NET_BLOCK)
	{
		int32_t		size = block_size(n, first);
		size_t		at = (size_t) first * w->stride;
		MrRng		rng = w->block_rng[first / MR_NET_BLOCK];

		if (poll && poll(arg))
			return MR_STOPPED;
		if (w->combination == MR_COMBINE_PRIOR)
		{
			if (prior_of_rows(w, rows + first, size, ids + at, gradient + at, &rng, scale, loss, poll, arg) != MR_OK)
				return MR_STOPPED;
			continue;
		}
		if (forward_block(w, rows + first, size, ids + at, &rng, poll, arg) != MR_OK ||
			backward_block(w, rows + first, size, gradient + at, poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	return MR_OK;
}

/* ---- the list of a step ---- */

void
mr_side_tower_list_none(MrSideTower *w)
{
	for (int32_t i = 0; i < w->n_list; i++)
		w->is_listed[w->list[i]] = 0;
	w->n_list = 0;
}

void
mr_side_tower_list(MrSideTower *w, int32_t row)
{
	if (w->is_listed[row])
		return;
	w->is_listed[row] = 1;
	w->list[w->n_list++] = row;
}

void
mr_side_tower_list_all(MrSideTower *w)
{
	if (w->n_list == w->n_rows)
		return;
	mr_side_tower_list_none(w);
	for (int32_t row = 0; row < w->n_rows; row++)
		mr_side_tower_list(w, row);
}

/* The ids' points of a block of the list. */
static void
gather_ids(MrSideTower *w, const MrPoints *points, int32_t first, int32_t n)
{
	for (int32_t i = 0; i < n; i++)
		memcpy(w->id + (size_t) i * w->stride, points->value + (size_t) w->list[first + i] * w->stride,
			   w->stride * sizeof(float));
}

/* See towers.h.  With "prior" the points are the ids', and up to date already. */
MrStatus
mr_side_tower_refresh(MrSideTower *w, MrPoints *points, MrRng *rng, MrPoll poll, void *arg)
{
	for (int32_t first = 0; first < w->n_list; first += MR_NET_BLOCK)
	{
		int32_t		n = block_size(w->n_list, first);
		MrRng		own;

		if (poll && poll(arg))
			return MR_STOPPED;
		if (rng)
			own = begin_block(w, first, rng);
		if (w->combination == MR_COMBINE_PRIOR)
			continue;
		gather_ids(w, points, first, n);
		if (forward_block(w, w->list + first, n, w->id, rng ? &own : NULL, poll, arg) != MR_OK)
			return MR_STOPPED;
		for (int32_t i = 0; i < n; i++)
			memcpy(points->hat + (size_t) w->list[first + i] * w->stride, w->point + (size_t) i * w->stride,
				   w->width * sizeof(float));
	}
	return MR_OK;
}

/* Does a block of the list have a gradient? */
static bool
block_is_touched(const MrSideTower *w, const MrPoints *points, int32_t first, int32_t n)
{
	for (int32_t i = 0; i < n; i++)
		if (points->is_touched[w->list[first + i]])
			return true;
	return false;
}

/* The feature loss of the rows of a block of the list, of those with a gradient if only_touched, that have features. */
static MrStatus
prior_of_list(MrSideTower *w, MrPoints *points, bool only_touched, int32_t first, int32_t n, double scale,
			  double *loss, MrPoll poll, void *arg)
{
	int32_t		rows[MR_NET_BLOCK] = {0};
	int32_t		taken = 0;

	for (int32_t i = first; i < first + n; i++)
	{
		int32_t		row = w->list[i];
		size_t		at = (size_t) row * w->stride;

		if ((only_touched && !points->is_touched[row]) || !w->features->is_present[row])
			continue;
		memcpy(w->id + (size_t) taken * w->stride, points->hat + at, w->stride * sizeof(float));
		memset(w->gradient + (size_t) taken * w->stride, 0, w->stride * sizeof(float));
		rows[taken++] = row;
	}
	if (prior_block(w, rows, taken, w->id, w->gradient, &w->block_rng[first / MR_NET_BLOCK], scale, loss,
					poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t i = 0; i < taken; i++)
		mr_rowmath()->axpy(points->gradient + (size_t) rows[i] * w->stride, 1.0f,
						   w->gradient + (size_t) i * w->stride, w->stride);
	return MR_OK;
}

/*
 * The listed rows' gradients, from that with respect to hat to that with respect
 * to value; those of the network are added up.  With "prior" the feature loss is
 * added to the gradients with respect to hat, and `scale` of it to *loss.
 */
MrStatus
mr_side_tower_backward(MrSideTower *w, MrPoints *points, bool only_touched, double scale, double *loss,
					   MrPoll poll, void *arg)
{
	for (int32_t first = 0; first < w->n_list; first += MR_NET_BLOCK)
	{
		int32_t		n = block_size(w->n_list, first);
		MrRng		rng = w->block_rng[first / MR_NET_BLOCK];

		if (poll && poll(arg))
			return MR_STOPPED;
		if (only_touched && !block_is_touched(w, points, first, n))
			continue;
		if (w->combination == MR_COMBINE_PRIOR)
		{
			if (prior_of_list(w, points, only_touched, first, n, scale, loss, poll, arg) != MR_OK)
				return MR_STOPPED;
			continue;
		}
		gather_ids(w, points, first, n);
		for (int32_t i = 0; i < n; i++)
			memcpy(w->gradient + (size_t) i * w->stride, points->gradient + (size_t) w->list[first + i] * w->stride,
				   w->stride * sizeof(float));
		if (forward_block(w, w->list + first, n, w->id, &rng, poll, arg) != MR_OK ||
			backward_block(w, w->list + first, n, w->gradient, poll, arg) != MR_OK)
			return MR_STOPPED;
		for (int32_t i = 0; i < n; i++)
			memcpy(points->gradient + (size_t) w->list[first + i] * w->stride, w->gradient + (size_t) i * w->stride,
				   w->stride * sizeof(float));
	}
	return MR_OK;
}
