/*
 * softmax_batch.c
 *		The matrix products of a softmax loss, for one group of rows: users that rank
 *		items, or posts that rank tags.
 *
 * With U [rows][K] the rows' points, V [columns][K] the columns' (K = width, plus
 * the extra coordinate: 1 in U; bias, -|v|^2/2, correction in V):
 *
 *		Z = (2/T) U V'				logits, up to a constant of each row
 *		E = exp(Z - row maximum)	0 where the column is a positive of the row
 *		S = row sums of E
 *
 * A target t with e = exp(z_t - row maximum) has the loss  w (log(e + S) - z_t), so
 *
 *		dL/dz_t = -w S / (e + S)
 *		dL/dz_j = E_j c,	c = SUM over the row's targets of w / (e + S)
 *
 * Only c depends on the targets.  So E itself serves in the products of the
 * gradient, with c multiplied into the rows of the small matrices, and the
 * targets' entries of E are set to dL/dz_t / c before:
 *
 *		dL/dU = (2/T) c (E V)		dL/dV += (2/T) E' (c U)
 *
 * Everything goes tile by tile (tile_columns columns), so that a tile is in the
 * cache when it is masked and exponentiated, and poll() is called often.
 */
#include <math.h>
#include <string.h>

#include "math/gemm.h"
#include "model/trainer_state.h"

/* The tile's block of E. */
static inline float *
tile_weight(const MrSoftmax *s, int32_t tile)
{
	return s->weight + (size_t) tile * s->group_rows * s->tile_columns;
}

static inline int32_t
tile_width(const MrSoftmax *s, int32_t tile)
{
	int32_t		left = s->n_columns - tile * s->tile_columns;

	return left < s->tile_columns ? left : s->tile_columns;
}

/*
 * Take the row's positives out of a tile of logits; those of targets are kept in
 * target_logit.  Columns ascend within a row; -1 is a positive without a column.
 */
static void
mask_row(MrSoftmax *s, int32_t row, float *logit, int32_t first, int32_t width)
{
	int64_t		p = s->row_next[row];

	for (; p < s->row_pair[row + 1] && s->column[p] < first + width; p++)
	{
		if (s->column[p] < 0)
			continue;
		if (s->is_target[p])
			s->target_logit[p] = logit[s->column[p] - first];
		logit[s->column[p] - first] = -INFINITY;
	}
	s->row_next[row] = p;
}

/* Logits of all tiles, masked; shift = the row's largest negative logit. */
static MrStatus
compute_logits(MrTrainer *t, MrSoftmax *s, int32_t rows, const float *points, MrPoll poll, void *arg)
{
	float		alpha = (float) (2.0 / s->ranked.temperature);

	for (int32_t row = 0; row < rows; row++)
	{
		s->shift[row] = -INFINITY;
		s->row_next[row] = s->row_pair[row];
	}
	for (int32_t tile = 0; tile < s->n_tiles; tile++)
	{
		int32_t		first = tile * s->tile_columns;
		int32_t		width = tile_width(s, tile);
		float	   *weight = tile_weight(s, tile);

		if (poll && poll(arg))
			return MR_STOPPED;
		mr_gemm(MR_AS_IS, MR_TRANSPOSED, rows, width, t->gemm_width, alpha, s->user, t->stride,
				points + (size_t) first * t->stride, t->stride, 0, weight, s->tile_columns);
		for (int32_t row = 0; row < rows; row++)
		{
			float	   *logit = weight + (size_t) row * s->tile_columns;
			float		top;

			mask_row(s, row, logit, first, width);
			top = t->math->max(logit, width);
			if (top > s->shift[row])
				s->shift[row] = top;
		}
	}
	return MR_OK;
}

/* Logits of the targets when the columns are shared negatives: one dot product each. */
static MrStatus
compute_target_logits(MrTrainer *t, MrSoftmax *s, int32_t rows, MrPoll poll, void *arg)
{
	float		alpha = (float) (2.0 / s->ranked.temperature);

	for (int32_t row = 0; row < rows; row++)
	{
		const int32_t *item = s->ranked.lists->items + s->ranked.lists->user_start[s->row_user[row]];

		for (int64_t p = s->row_pair[row]; p < s->row_pair[row + 1]; p++)
		{
			if (mr_trainer_tick(t, t->stride, poll, arg))
				return MR_STOPPED;
			if (s->is_target[p])
				s->target_logit[p] = alpha * t->math->dot(s->user + (size_t) row * t->stride,
														  s->ranked.points->hat + (size_t) item[p - s->row_pair[row]] * t->stride,
														  t->stride);
		}
	}
	return MR_OK;
}

/* E = exp(Z - shift) and its row sums. */
static MrStatus
exponentiate(MrTrainer *t, MrSoftmax *s, int32_t rows, MrPoll poll, void *arg)
{

	for (int32_t row = 0; row < rows; row++)
	{
		s->sum[row] = 0;
		if (isinf(s->shift[row]))
			s->shift[row] = 0;	/* no negative: E is 0 whatever the shift */
	}
	for (int32_t tile = 0; tile < s->n_tiles; tile++)
	{
		float	   *weight = tile_weight(s, tile);
		int32_t		width = tile_width(s, tile);

		if (poll && poll(arg))
			return MR_STOPPED;
		for (int32_t row = 0; row < rows; row++)
			s->sum[row] += t->math->exp_sum(weight + (size_t) row * s->tile_columns, s->shift[row], width);
	}
	return MR_OK;
}

/*
 * Loss of a row's targets, the row's factor c, and dL/dz_t in target_logit.
 * scale multiplies all gradients.
 */
static void
weigh_row(MrTrainer *t, MrSoftmax *s, int32_t row, double scale, double *loss, double *weight)
{
	const float *pair_weight = s->ranked.lists->weights;
	const float *item_weight = s->ranked.item_weight;
	const int32_t *item = s->ranked.lists->items + s->ranked.lists->user_start[s->row_user[row]];
	int64_t		first = s->row_pair[row];
	int64_t		n = s->row_pair[row + 1] - first;
	double		sum = s->sum[row];
	double		factor = 0;

	if (pair_weight)
		pair_weight += s->ranked.lists->user_start[s->row_user[row]];
	for (int64_t i = 0; i < n; i++)
		s->target_exp[first + i] = s->is_target[first + i] ? s->target_logit[first + i] : -INFINITY;
	t->math->exp_sum(s->target_exp + first, s->shift[row], n);
	for (int64_t i = 0; i < n; i++)
	{
		double		w = (pair_weight ? pair_weight[i] : 1.0) * (item_weight ? item_weight[item[i]] : 1.0);
		double		above = (double) s->target_logit[first + i] - s->shift[row];
		double		denominator = s->target_exp[first + i] + sum;

		if (!s->is_target[first + i])
			continue;
		*weight += w;
		if (!(sum > 0) && isfinite(above))
		{
			s->target_logit[first + i] = 0;
			continue;			/* no negative, nothing to learn */
		}
		/* the second form keeps its digits when the target is far above */
		*loss += w * (above < 30 ? log(denominator) - above : sum * exp(-above));
		factor += w / denominator;
		s->target_logit[first + i] = (float) (-scale * w * sum / denominator);
	}
	s->factor[row] = (float) (scale * factor);
}

/* Put the targets' gradients into E, or straight into the points' gradients. */
static MrStatus
place_targets(MrTrainer *t, MrSoftmax *s, int32_t row, MrPoll poll, void *arg)
{
	float		inverse = s->factor[row] > 0 ? 1.0f / s->factor[row] : 0;
	const int32_t *item = s->ranked.lists->items + s->ranked.lists->user_start[s->row_user[row]];

	for (int64_t p = s->row_pair[row]; p < s->row_pair[row + 1]; p++)
	{
		int32_t		column = s->column[p];

		if (!s->is_target[p])
			continue;
		if (mr_trainer_tick(t, s->sampled ? 2 * t->stride : 1, poll, arg))
			return MR_STOPPED;
		if (!s->sampled)
			tile_weight(s, column / s->tile_columns)[(size_t) row * s->tile_columns + column % s->tile_columns] =
				s->target_logit[p] * inverse;
		else
		{
			float		g = s->target_logit[p] * (float) (2.0 / s->ranked.temperature);
			int32_t		target = item[p - s->row_pair[row]];

			t->math->axpy(s->back + (size_t) row * t->stride, g,
						  s->ranked.points->hat + (size_t) target * t->stride, t->stride);
			t->math->axpy(mr_points_touch(s->ranked.points, target), g,
						  s->user + (size_t) row * t->stride, t->stride);
		}
	}
	return MR_OK;
}

/* dL/dU into back, dL/dV added to the columns' gradients. */
static MrStatus
compute_gradients(MrTrainer *t, MrSoftmax *s, int32_t rows, const float *points, float *gradients, MrPoll poll, void *arg)
{
	float		alpha = (float) (2.0 / s->ranked.temperature);

	for (int32_t tile = 0; tile < s->n_tiles; tile++)
	{
		size_t		at = (size_t) tile * s->tile_columns * t->stride;
		int32_t		width = tile_width(s, tile);
		float	   *weight = tile_weight(s, tile);

		if (poll && poll(arg))
			return MR_STOPPED;
		mr_gemm(MR_AS_IS, MR_AS_IS, rows, t->gemm_width, width, alpha, weight, s->tile_columns,
				points + at, t->stride, 1, s->back, t->stride);
		mr_gemm(MR_TRANSPOSED, MR_AS_IS, width, t->gemm_width, rows, alpha, weight, s->tile_columns,
				s->scaled, t->stride, 1, gradients + at, t->stride);
	}
	return MR_OK;
}

/*
 * Loss and gradients of a group that fill_group() has set up: adds the weighted
 * loss and the weights to *loss and *weight, leaves dL/dU in back, and adds
 * dL/dV to the ranked points' (full) or the drawn columns' (sampled) gradients.
 */
MrStatus
mr_softmax_group(MrTrainer *t, MrSoftmax *s, int32_t rows, double gradient_scale,
				 MrPoll poll, void *arg, double *loss, double *weight)
{
	const float *points = s->sampled ? s->column_point : s->ranked.points->hat;
	float	   *gradients = s->sampled ? s->column_gradient : s->ranked.points->gradient;

	if (compute_logits(t, s, rows, points, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (s->sampled && compute_target_logits(t, s, rows, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (exponentiate(t, s, rows, poll, arg) != MR_OK)
		return MR_STOPPED;
	memset(s->back, 0, (size_t) rows * t->stride * sizeof(float));
	for (int32_t row = 0; row < rows; row++)
	{
		weigh_row(t, s, row, gradient_scale, loss, weight);
		t->math->scale(s->scaled + (size_t) row * t->stride, s->factor[row],
					   s->user + (size_t) row * t->stride, t->stride);
		if (!s->sampled && place_targets(t, s, row, poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	if (compute_gradients(t, s, rows, points, gradients, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t row = 0; row < rows; row++)
	{
		float	   *back = s->back + (size_t) row * t->stride;

		t->math->scale(back, s->factor[row], back, t->stride);
		if (s->sampled && place_targets(t, s, row, poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	return MR_OK;
}
