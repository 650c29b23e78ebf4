/*
 * points.c
 *		A matrix of points: its constraint and its optimiser.
 *
 * On the sphere the loss sees hat = value / |value|.  Its gradient with respect
 * to `value` is the part of the gradient that is tangent to the sphere, divided
 * by |value|:	(g - (g.hat) hat) / |value|.
 *
 * Adam and rows that have no gradient in a step: by the book their moments decay
 * and they drift on by the first one.  The hinge presets rely on that, because a
 * row meets a gradient only every few hundred steps there.  Stepping all rows
 * would cost too much, so a row catches up when it is next read
 * (mr_points_drift): k steps without a gradient move it by
 *
 *		rate m1 / sqrt(m2) (r + r^2 + ... + r^k),	r = beta1 / sqrt(beta2)
 *
 * up to epsilon and the slow change of rate and bias correction meanwhile.
 * Without MR_POINTS_DRIFT (softmax) a row's clock stands between its gradients.
 */
#include <math.h>
#include <string.h>

#include "model/trainer_state.h"

/* Norms below this are treated as this: a point must not be divided by zero. */
#define MINIMAL_NORM 1e-12f

/* Steps without a gradient after which a row no longer moves: r^150 < 2e-7. */
#define DRIFT_STEPS 150

/* Random coordinates between two polls. */
#define POLL_COORDINATES 262144

/*
 * Take the matrix's memory from the arena; flags: MR_POINTS_...
 */
void
mr_points_layout(MrPoints *p, MrArena *arena, int32_t n, int32_t width, int32_t stride,
				 const MrHyper *hyper, int flags)
{
	size_t		rows = n;
	size_t		row_size = stride * sizeof(float);
	size_t		members = arena->members > 1 ? arena->members : 1;

	memset(p, 0, sizeof(*p));
	p->n = n;
	p->rank = arena->rank;
	p->size = arena->size;
	p->width = width;
	p->stride = stride;
	p->constraint = hyper->constraint;
	p->optimizer = hyper->optimizer;
	p->value = mr_arena_take(arena, rows, row_size);
	if (p->constraint != MR_CONSTRAINT_SPHERE && !(flags & MR_POINTS_OWN_HAT))
		p->hat = p->value;
	else
		p->hat = mr_arena_take(arena, rows, row_size);
	if (p->constraint == MR_CONSTRAINT_SPHERE)
		p->inverse_norm = mr_arena_take(arena, rows, sizeof(float));
	if (p->optimizer == MR_OPTIMIZER_ADAM)
	{
		p->first = mr_arena_take(arena, rows, row_size);
		p->power1 = mr_arena_take(arena, rows, sizeof(float));
		p->power2 = mr_arena_take(arena, rows, sizeof(float));
		if (flags & MR_POINTS_DRIFT)
		{
			p->last_step = mr_arena_take(arena, rows, sizeof(int32_t));
			p->no_gradient = mr_arena_take(arena, 1, row_size);
		}
	}
	if (p->optimizer != MR_OPTIMIZER_SGD)
		p->second = mr_arena_take(arena, rows, row_size);
	if (flags & MR_POINTS_GRADIENT)
		p->gradient = p->gradients = mr_arena_take(arena, rows, members * row_size);
	if (flags & MR_POINTS_SPARSE)
	{
		p->is_touched = p->marks = mr_arena_take(arena, rows, members * sizeof(uint8_t));
		p->touched = p->lists = mr_arena_take(arena, rows, members * sizeof(int32_t));
		if (members > 1)
			p->counts = mr_arena_take(arena, members, sizeof(int32_t));
	}
	if (p->rank > 0 && p->gradient)
		p->gradient += p->rank * rows * stride;
	if (p->rank > 0 && p->is_touched)
	{
		p->is_touched += p->rank * rows;
		p->touched += p->rank * rows;
	}
}

/* Bring hat up to date with value. */
void
mr_points_refresh(MrPoints *p, const MrRowMath *math, int32_t row)
{
	size_t		at = (size_t) row * p->stride;

	if (p->constraint == MR_CONSTRAINT_SPHERE)
	{
		float		norm = sqrtf(math->dot(p->value + at, p->value + at, p->stride));
		float		inverse = 1.0f / (norm > MINIMAL_NORM ? norm : MINIMAL_NORM);

		p->inverse_norm[row] = inverse;
		math->scale(p->hat + at, inverse, p->value + at, p->stride);
	}
	else if (p->hat != p->value)
		memcpy(p->hat + at, p->value + at, p->stride * sizeof(float));
}

/* Clip to radius 1 (CML: y / max(|y|, 1)). */
static void
clip_to_ball(float *value, const MrRowMath *math, size_t n)
{
	float		square = math->dot(value, value, n);

	if (square > 1.0f)
		math->scale(value, 1.0f / sqrtf(square), value, n);
}

/* Random normal coordinates of this standard deviation, optimiser at its start. */
MrStatus
mr_points_start(MrPoints *p, MrRng *rng, double deviation, MrPoll poll, void *arg)
{
	const MrRowMath *math = mr_rowmath();
	size_t		row_size = p->stride * sizeof(float);
	int32_t		poll_rows = POLL_COORDINATES / p->stride;
	int32_t		members = p->size > 1 ? p->size : 1;

	for (int32_t k = 0; p->marks && k < members; k++)
		memset(p->marks + (size_t) k * p->n, 0, p->n);
	if (p->last_step)
	{
		memset(p->last_step, 0, p->n * sizeof(int32_t));
		memset(p->no_gradient, 0, p->stride * sizeof(float));
	}
	for (int32_t row = 0; row < p->n; row++)
	{
		float	   *value = p->value + (size_t) row * p->stride;

		if (row % (poll_rows > 1 ? poll_rows : 1) == 0 && poll && poll(arg))
			return MR_STOPPED;
		memset(value, 0, row_size);
		if (p->first)
			memset(p->first + (size_t) row * p->stride, 0, row_size);
		for (int32_t k = 0; p->gradients && k < members; k++)
			memset(p->gradients + ((size_t) k * p->n + row) * p->stride, 0, row_size);
		for (int32_t i = 0; p->second && i < p->stride; i++)
			p->second[(size_t) row * p->stride + i] = p->optimizer == MR_OPTIMIZER_ADAGRAD ? MR_ADAGRAD_START : 0;
		for (int32_t i = 0; i < p->width; i++)
			value[i] = (float) (deviation * mr_rng_normal(rng));
		if (p->constraint == MR_CONSTRAINT_BALL)
			clip_to_ball(value, math, p->stride);
		if (p->power1)
			p->power1[row] = p->power2[row] = 1;
		mr_points_refresh(p, math, row);
	}
	return MR_OK;
}

/*
 * One optimiser step of a row.  gradient: [stride], with respect to hat, zero
 * behind the width; it is used up and zeroed.
 */
void
mr_points_step(MrPoints *p, const MrRowMath *math, const MrStep *step, int32_t row, float *gradient)
{
	size_t		at = (size_t) row * p->stride;
	size_t		n = p->stride;
	float	   *value = p->value + at;
	MrStepRates rates = {0};

	if (p->constraint == MR_CONSTRAINT_SPHERE)
	{
		const float *hat = p->hat + at;
		float		radial;

		radial = math->dot(gradient, hat, n);
		math->axpy(gradient, -radial, hat, n);
		math->scale(gradient, p->inverse_norm[row], gradient, n);
		/* hat may carry the caller's extra coordinate behind the width */
		for (int32_t i = p->width; i < p->stride; i++)
			gradient[i] = 0;
	}
	if (p->last_step)
		p->last_step[row] = (int32_t) step->number;
	rates.rate = (float) step->rate;
	rates.keep = (float) (1.0 - step->rate * step->weight_decay);
	switch (p->optimizer)
	{
		case MR_OPTIMIZER_ADAM:
			{
				float		power1 = p->power1[row] *= MR_ADAM_BETA1;
				float		power2 = p->power2[row] *= MR_ADAM_BETA2;
				float		correction = sqrtf(1.0f - power2);

				rates.beta1 = MR_ADAM_BETA1;
				rates.beta2 = MR_ADAM_BETA2;
				rates.rate *= correction / (1.0f - power1);
				rates.epsilon = MR_ADAM_EPSILON * correction;
				math->adam(value, p->first + at, p->second + at, gradient, n, &rates);
				break;
			}
		case MR_OPTIMIZER_ADAGRAD:
			rates.epsilon = MR_ADAM_EPSILON;
			math->adagrad(value, p->second + at, gradient, n, &rates);
			break;
		case MR_OPTIMIZER_SGD:
			if (rates.keep != 1.0f)
				math->scale(value, rates.keep, value, n);
			math->axpy(value, -rates.rate, gradient, n);
			break;
	}
	if (p->constraint == MR_CONSTRAINT_BALL)
		clip_to_ball(value, math, n);
	mr_points_refresh(p, math, row);
	memset(gradient, 0, n * sizeof(float));
}

/*
 * Let the row catch up with the steps before this one in which it had no
 * gradient.  Call before its point is read.
 */
void
mr_points_drift(MrPoints *p, const MrRowMath *math, const MrStep *step, int32_t row)
{
	size_t		at = (size_t) row * p->stride;
	int64_t		missed;
	MrStepRates rates = {0};
	double		ratio = MR_ADAM_BETA1 / sqrt(MR_ADAM_BETA2);
	double		sum;
	int			moved;

	if (p->last_step == NULL)
		return;
	missed = step->number - 1 - p->last_step[row];
	if (missed <= 0)
		return;
	p->last_step[row] = (int32_t) (step->number - 1);
	if (p->power1[row] == 1.0f)
	{
		/* never had a gradient: only the clock runs */
		p->power1[row] = powf(MR_ADAM_BETA1, (float) missed);
		p->power2[row] = powf(MR_ADAM_BETA2, (float) missed);
		return;
	}

	/*
	 * The kernel decays the moments first and then moves by them, so the sum is
	 * divided by the decay.  After DRIFT_STEPS the rest of the sum is nothing.
	 */
	moved = missed < DRIFT_STEPS ? (int) missed : DRIFT_STEPS;
	sum = ratio * (1 - pow(ratio, moved)) / (1 - ratio);
	p->power1[row] *= powf(MR_ADAM_BETA1, (float) missed);
	p->power2[row] *= powf(MR_ADAM_BETA2, (float) missed);
	rates.beta1 = powf(MR_ADAM_BETA1, (float) moved);
	rates.beta2 = powf(MR_ADAM_BETA2, (float) moved);
	rates.keep = 1;
	rates.rate = (float) (step->rate * sum / pow(ratio, moved) * sqrt(1 - p->power2[row]) / (1 - p->power1[row]));
	rates.epsilon = MR_ADAM_EPSILON;
	math->adam(p->value + at, p->first + at, p->second + at, p->no_gradient, p->stride, &rates);
	if (missed > moved)
	{
		math->scale(p->first + at, powf(MR_ADAM_BETA1, (float) (missed - moved)), p->first + at, p->stride);
		math->scale(p->second + at, powf(MR_ADAM_BETA2, (float) (missed - moved)), p->second + at, p->stride);
	}
	if (p->constraint == MR_CONSTRAINT_BALL)
		clip_to_ball(p->value + at, math, p->stride);
	mr_points_refresh(p, math, row);
}

/* Put the row on the list of the batch, without a gradient yet. */
void
mr_points_list(MrPoints *p, int32_t row)
{
	if (!p->is_touched[row])
	{
		p->is_touched[row] = MR_LISTED;
		p->touched[p->n_touched++] = row;
	}
}

/* The row's gradient, noted as touched in this batch. */
float *
mr_points_touch(MrPoints *p, int32_t row)
{
	if (p->is_touched && p->is_touched[row] != MR_TOUCHED)
	{
		if (!p->is_touched[row])
			p->touched[p->n_touched++] = row;
		p->is_touched[row] = MR_TOUCHED;
	}
	return p->gradient + (size_t) row * p->stride;
}
