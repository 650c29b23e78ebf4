/*
 * covariance.c
 *		CML's covariance regulariser (Hsieh et al. 2017, section 3.4).
 *
 *		L_c = (1/N) (|C|_F - |diag(C)|_2^2),	C = (1/N) SUM (y - mu)(y - mu)'
 *
 * over the N points y of the batch: the user and the item of each of its pairs.
 * The formula is the paper's as printed, first norm not squared.  With
 * G = dL_c/dC = (1/N) (C / |C|_F - 2 diag(C)) and the symmetry of C,
 *
 *		dL_c/dy = (2/N) G (y - mu);
 *
 * the mean's own derivative vanishes, since SUM (y - mu) = 0.
 */
#include <math.h>
#include <string.h>

#include "math/gemm.h"
#include "model/hinge.h"

/* Points at a time: bounds the memory. */
#define PART_ROWS 4096

/* Take the scratch memory from the arena. */
void
mr_covariance_layout(MrTrainer *t, MrArena *shared, MrArena *own)
{
	MrHinge    *h = &t->hinge;
	size_t		row_size = t->stride * sizeof(float);

	h->covariance_points = mr_arena_take(own, PART_ROWS, row_size);
	h->covariance_gradient = mr_arena_take(own, PART_ROWS, row_size);
	h->covariance_matrix = mr_arena_take(own, t->stride, row_size);
	h->covariance_mean = mr_arena_take(own, t->stride, sizeof(double));
	if (shared->members > 1)
	{
		h->covariance_matrices = mr_arena_take(shared, shared->members, t->stride * row_size);
		h->covariance_means = mr_arena_take(shared, shared->members, t->stride * sizeof(double));
	}
}

/* Point `i` of the batch's 2n: users first, then items. */
static inline const float *
batch_point(const MrTrainer *t, int64_t first, int32_t n, int64_t i)
{
	const MrHinge *h = &t->hinge;
	uint32_t	pair = h->order[first + (i < n ? i : i - n)];

	if (i < n)
		return t->users.hat + (size_t) h->pair_user[pair] * t->stride;
	return t->items.hat + (size_t) t->x->items[pair] * t->stride;
}

/* Points [start .. start + count) of the batch, the mean taken off, into covariance_points. */
static void
gather_part(MrTrainer *t, int64_t first, int32_t n, int64_t start, int32_t count)
{
	MrHinge    *h = &t->hinge;

	for (int32_t row = 0; row < count; row++)
	{
		const float *point = batch_point(t, first, n, start + row);
		float	   *to = h->covariance_points + (size_t) row * t->stride;

		for (int32_t k = 0; k < t->stride; k++)
			to[k] = point[k] - (float) h->covariance_mean[k];
	}
}

/* Replace C by lambda_c (2/N) G and add lambda_c L_c to *loss. */
static MrStatus
weigh_matrix(MrTrainer *t, double points, MrPoll poll, void *arg, double *loss)
{
	MrHinge    *h = &t->hinge;
	float	   *c = h->covariance_matrix;
	double		frobenius = 0;
	double		diagonal = 0;
	double		outer = t->hyper.covariance / points;

	for (int32_t i = 0; i < t->width; i++)
	{
		if (mr_trainer_tick(t, t->width, poll, arg))
			return MR_STOPPED;
		for (int32_t k = 0; k < t->width; k++)
			frobenius += (double) c[i * t->stride + k] * c[i * t->stride + k];
		diagonal += (double) c[i * t->stride + i] * c[i * t->stride + i];
	}
	frobenius = sqrt(frobenius);
	for (int32_t i = 0; i < t->width; i++)
	{
		if (mr_trainer_tick(t, 4 * t->width, poll, arg))
			return MR_STOPPED;
		for (int32_t k = 0; k < t->width; k++)
		{
			double		value = c[i * t->stride + k];
			double		gradient = frobenius > 0 ? value / frobenius : 0;

			if (i == k)
				gradient -= 2 * value;
			c[i * t->stride + k] = (float) (outer * 2 / points * gradient);
		}
	}
	*loss += outer * (frobenius - diagonal);
	return MR_OK;
}

/* The members' sums of their parts' points, added up. */
static MrStatus
sum_means(MrTrainer *t)
{
	MrHinge    *h = &t->hinge;

	if (!mr_trainer_has_team(t))
		return MR_OK;
	memcpy(h->covariance_means + (size_t) t->team.rank * t->stride, h->covariance_mean, t->stride * sizeof(double));
	if (!mr_team_barrier(t))
		return MR_STOPPED;
	memcpy(h->covariance_mean, h->covariance_means, t->stride * sizeof(double));
	for (int32_t k = 1; k < t->team.size; k++)
		for (int32_t i = 0; i < t->stride; i++)
			h->covariance_mean[i] += h->covariance_means[(size_t) k * t->stride + i];
	return MR_OK;
}

/* The same of their parts of C. */
static MrStatus
sum_matrices(MrTrainer *t, MrPoll poll, void *arg)
{
	MrHinge    *h = &t->hinge;
	size_t		row_size = t->stride * sizeof(float);
	size_t		matrix = (size_t) t->stride * t->stride;

	if (!mr_trainer_has_team(t))
		return MR_OK;
	memcpy(h->covariance_matrices + t->team.rank * matrix, h->covariance_matrix, t->stride * row_size);
	if (!mr_team_barrier(t))
		return MR_STOPPED;
	for (int32_t row = 0; row < t->stride; row++)
	{
		size_t		at = (size_t) row * t->stride;

		if (mr_trainer_tick(t, t->team.size * (int64_t) t->stride, poll, arg))
			return MR_STOPPED;
		memcpy(h->covariance_matrix + at, h->covariance_matrices + at, row_size);
		for (int32_t k = 1; k < t->team.size; k++)
			t->math->axpy(h->covariance_matrix + at, 1.0f, h->covariance_matrices + k * matrix + at, t->stride);
	}
	return MR_OK;
}

/* The mean of the batch's points, `all` of them, of which 2n are this member's. */
static MrStatus
compute_mean(MrTrainer *t, int64_t first, int32_t n, int64_t all, MrPoll poll, void *arg)
{
	MrHinge    *h = &t->hinge;
	int64_t		points = 2 * (int64_t) n;

	memset(h->covariance_mean, 0, t->stride * sizeof(double));
	for (int64_t i = 0; i < points; i++)
	{
		const float *point = batch_point(t, first, n, i);

		if (mr_trainer_tick(t, 2 * t->stride, poll, arg))
			return MR_STOPPED;
		for (int32_t k = 0; k < t->width; k++)
			h->covariance_mean[k] += point[k];
	}
	if (sum_means(t) != MR_OK)
		return MR_STOPPED;
	for (int32_t k = 0; k < t->width; k++)
		h->covariance_mean[k] /= all;
	return MR_OK;
}

/* Add the rows of covariance_gradient to the gradients of points [start .. start + count). */
static void
scatter_part(MrTrainer *t, int64_t first, int32_t n, int64_t start, int32_t count)
{
	MrHinge    *h = &t->hinge;

	for (int32_t row = 0; row < count; row++)
	{
		int64_t		i = start + row;
		uint32_t	pair = h->order[first + (i < n ? i : i - n)];
		float	   *gradient = i < n ? mr_points_touch(&t->users, h->pair_user[pair])
			: mr_points_touch(&t->items, t->x->items[pair]);

		t->math->axpy(gradient, 1, h->covariance_gradient + (size_t) row * t->stride, t->stride);
	}
}

/*
 * The product of one part: adds to C (gradient false), or makes the part's
 * gradients of C.  By blocks of columns of the result, so that poll() is called
 * between them where rows are wide.
 */
static MrStatus
multiply_part(MrTrainer *t, bool gradient, bool is_first, int32_t count, float scale, MrPoll poll, void *arg)
{
	MrHinge    *h = &t->hinge;
	int32_t		stride = t->stride;
	int32_t		block = (int32_t) (MR_POLL_PRODUCT / ((int64_t) count * stride));

	block = block > 1 ? block : 1;
	for (int32_t column = 0; column < stride; column += block)
	{
		int32_t		n = stride - column < block ? stride - column : block;

		if (poll && poll(arg))
			return MR_STOPPED;
		if (gradient)
			mr_gemm(MR_AS_IS, MR_AS_IS, count, n, stride, 1, h->covariance_points, stride,
					h->covariance_matrix + column, stride, 0, h->covariance_gradient + column, stride);
		else
			mr_gemm(MR_TRANSPOSED, MR_AS_IS, stride, n, count, scale, h->covariance_points, stride,
					h->covariance_points + column, stride, !is_first, h->covariance_matrix + column, stride);
	}
	return MR_OK;
}

/*
 * Add the gradient of lambda_c L_c of the pairs order[first .. first + n) to
 * their points, and lambda_c L_c to *loss.
 */
MrStatus
mr_covariance_add(MrTrainer *t, int64_t first, int32_t n, MrPoll poll, void *arg, double *loss)
{
	int64_t		all = 2 * (int64_t) n;
	int64_t		end = first + n;
	int64_t		points;
	double		none = 0;

	mr_team_part(t, &first, &end);
	n = (int32_t) (end - first);
	points = 2 * (int64_t) n;
	if (compute_mean(t, first, n, all, poll, arg) != MR_OK)
		return MR_STOPPED;

	/* first C itself, then the gradient with C replaced by the weighted G */
	if (points == 0)
		memset(t->hinge.covariance_matrix, 0, (size_t) t->stride * t->stride * sizeof(float));
	for (int pass = 0; pass < 2; pass++)
	{
		if (pass == 1 && (sum_matrices(t, poll, arg) != MR_OK ||
						  weigh_matrix(t, all, poll, arg, t->team.rank == 0 ? loss : &none) != MR_OK))
			return MR_STOPPED;
		for (int64_t start = 0; start < points; start += PART_ROWS)
		{
			int32_t		count = points - start < PART_ROWS ? (int32_t) (points - start) : PART_ROWS;

			gather_part(t, first, n, start, count);
			if (multiply_part(t, pass == 1, start == 0, count, 1.0f / all, poll, arg) != MR_OK)
				return MR_STOPPED;
			if (pass == 1)
				scatter_part(t, first, n, start, count);
		}
	}
	return MR_OK;
}
