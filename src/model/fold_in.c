/*
 * fold_in.c
 *		The loss of a folded-in user, its gradient, and the steps (see fold_in.h).
 */
#include <math.h>
#include <string.h>

#include "math/rowmath.h"
#include "model/fold_in_als.h"

/*
 * A gradient step moves the user by this share of the way between the mean of the
 * likes and what the model expects in their place (softmax, cml), or so far (triplet).
 */
#define STEP 0.3
#define TRIPLET_STEP 1.0

/*
 * Likes that the mean of the trained users counts for, and what the prior counts for.
 * These and the steps are what was best on validation splits (doc/training.md).
 */
#define MEAN_LIKES 2
#define PRIOR_STRENGTH 0.1

/* A step that does not lessen the loss is halved so often, then the user stays. */
#define MAX_HALVINGS 6

/* Negatives whose chance to be the nearest draw is less than this are left out. */
#define LEAST_CHANCE 1e-7

/* ---- which of the sample are liked ---- */

/* The first row of the sample whose first coordinate is not less than x. */
static int32_t
first_not_less(const MrFoldIn *f, float x)
{
	int32_t		low = 0;
	int32_t		high = f->n;

	while (low < high)
	{
		int32_t		middle = low + (high - low) / 2;

		if (f->points[(size_t) middle * f->stride] < x)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Marks the items of the sample that are liked: they are no negatives.  An item is
 * known by its point, so that the sample needs no ids.
 */
void
mr_fold_in_likes(MrFoldIn *f, const float *likes, int32_t n)
{
	memset(f->is_liked, 0, f->n);
	for (int32_t t = 0; t < n; t++)
	{
		const float *like = likes + (size_t) t * f->stride;

		for (int32_t j = first_not_less(f, like[0]); j < f->n && f->points[(size_t) j * f->stride] == like[0]; j++)
			if (memcmp(f->points + (size_t) j * f->stride, like, f->dimensions * sizeof(float)) == 0)
				f->is_liked[j] = 1;
	}
}

/* ---- softmax ---- */

/*
 * With e = exp(z) and S = SUM_j w_j e_j:  dL/dz_j = w_j e_j C, C = mean over t of
 * 1 / (e_t + S), and dL/dz_t = -S / (n (e_t + S)).  These add up to 0, so that
 * dz/du = 2 (v - u) / T leaves  dL/du = (2/T) SUM of dL/dz v  over all items.
 */
static double
softmax_loss(MrFoldIn *f, const float *likes, int32_t n, const float *user, float *gradient)
{
	const MrRowMath *math = mr_rowmath();
	double		loss = 0;
	double		all = 0;
	float		shift;
	float		sum;

	for (int32_t j = 0; j < f->n; j++)
		f->factor[j] = f->is_liked[j] ? -INFINITY : f->weight[j] - f->distance[j] / (float) f->temperature;
	shift = math->max(f->factor, f->n);
	if (!isfinite(shift))
		return 0;				/* everything is liked */
	sum = math->exp_sum(f->factor, shift, f->n);
	for (int32_t t = 0; t < n; t++)
	{
		const float *like = likes + (size_t) t * f->stride;
		double		z = -math->squared_distance(user, like, f->stride) / f->temperature - shift;
		double		rest = z > 0 ? 1 + sum * exp(-z) : exp(z) + sum;	/* over exp(max(z, 0)) */
		double		scale = z > 0 ? exp(-z) : 1;

		loss += (log(rest) + (z > 0 ? z : 0) - z) / n;
		all += scale / rest / n;
		if (gradient)
			math->axpy(gradient, (float) (-2 / f->temperature * sum * scale / rest / n), like, f->stride);
	}
	for (int32_t j = 0; gradient && j < f->n; j++)
		if (!f->is_liked[j] && f->factor[j] > 0)
			math->axpy(gradient, (float) (2 / f->temperature * all) * f->factor[j],
					   f->points + (size_t) j * f->stride, f->stride);
	return loss;
}

/* The prior's part of the loss. */
static double
prior_loss(MrFoldIn *f, int32_t n, const float *user, float *gradient)
{
	const MrRowMath *math = mr_rowmath();
	double		weight = PRIOR_STRENGTH * f->prior / n;

	if (weight <= 0)
		return 0;
	if (gradient)
	{
		math->axpy(gradient, (float) weight, user, f->stride);
		math->axpy(gradient, (float) -weight, f->mean, f->stride);
	}
	return weight / 2 * math->squared_distance(user, f->mean, f->stride);
}

/* ---- hinges ---- */

/* Let order[root] sink to its place in the heap order[0 .. n), the nearest at the root. */
static void
sift_down(const MrFoldIn *f, int32_t root, int32_t n)
{
	int32_t    *order = f->order;
	int32_t		moving = order[root];

	for (int32_t child = 2 * root + 1; child < n; child = 2 * root + 1)
	{
		if (child + 1 < n && f->distance[order[child + 1]] < f->distance[order[child]])
			child++;
		if (f->distance[order[child]] >= f->distance[moving])
			break;
		order[root] = order[child];
		root = child;
	}
	order[root] = moving;
}

/* The chance r of every negative; 0 for likes.  total: the weight of the negatives. */
static void
nearest_chances(MrFoldIn *f, double total)
{
	int32_t		n = 0;
	double		left = 1;		/* chance that all draws are farther than what was looked at */
	double		weight = 0;

	for (int32_t j = 0; j < f->n; j++)
	{
		f->factor[j] = 0;
		if (!f->is_liked[j] && f->weight[j] > 0)
			f->order[n++] = j;
	}
	for (int32_t root = n / 2 - 1; root >= 0; root--)
		sift_down(f, root, n);
	while (n > 0 && left > LEAST_CHANCE)
	{
		int32_t		j = f->order[0];
		double		rest;

		weight += f->weight[j] / total;
		rest = n > 1 && weight < 1 ? pow(1 - weight, f->draws) : 0;
		f->factor[j] = (float) (left - rest);
		left = rest;
		f->order[0] = f->order[--n];
		sift_down(f, 0, n);
	}
}

/*
 * One like at distance `near`; f->distance holds the negatives' D by now, f->factor
 * their r.  Adds up in f->push what pushes the user off each negative; *pull becomes
 * what pulls it to the like.
 */
static double
hinge_of_like(MrFoldIn *f, double near, double total, double share, double *pull)
{
	double		loss = 0;
	double		active = 0;		/* SUM of r over positive hinges */
	double		impostors = 0;	/* SUM of w, likewise */
	double		scale = share;

	for (int32_t j = 0; j < f->n; j++)
	{
		double		hinge = f->margin + near - f->distance[j];

		if (f->is_liked[j] || hinge <= 0)
			continue;
		impostors += f->weight[j] / total;
		loss += f->factor[j] * hinge;
		active += f->factor[j];
	}
	if (f->rank_weight)
		scale *= log(floor(f->n_items * impostors + 1e-6) + 1);
	for (int32_t j = 0; j < f->n; j++)
		if (!f->is_liked[j] && f->margin + near - f->distance[j] > 0)
			f->push[j] += (float) (scale * f->factor[j]);
	*pull = scale * active;
	return scale * loss;
}

/* Adds a dD/du: 2 a (u - v), or a (u - v) / d. */
static void
add_slope(const MrFoldIn *f, float *gradient, double a, const float *user, const float *v, double distance)
{
	const MrRowMath *math = mr_rowmath();

	if (f->loss == MR_LOSS_TRIPLET)
		a = distance > 0 ? a / distance : 0;
	else
		a *= 2;
	math->axpy(gradient, (float) a, user, f->stride);
	math->axpy(gradient, (float) -a, v, f->stride);
}

static double
hinge_loss(MrFoldIn *f, const float *likes, int32_t n, const float *user, float *gradient)
{
	const MrRowMath *math = mr_rowmath();
	bool		plain = f->loss == MR_LOSS_TRIPLET;
	double		total = 0;
	double		loss = 0;

	for (int32_t j = 0; j < f->n; j++)
		total += f->is_liked[j] ? 0 : f->weight[j];
	if (total <= 0)
		return 0;				/* everything is liked */
	if (f->nearest)
		nearest_chances(f, total);
	for (int32_t j = 0; j < f->n; j++)
	{
		if (!f->nearest)
			f->factor[j] = f->is_liked[j] ? 0 : (float) (f->weight[j] / total);
		if (plain)
			f->distance[j] = sqrtf(f->distance[j]);
	}
	memset(f->push, 0, f->n * sizeof(float));
	for (int32_t t = 0; t < n; t++)
	{
		const float *like = likes + (size_t) t * f->stride;
		double		near = math->squared_distance(user, like, f->stride);
		double		pull;

		if (plain)
			near = sqrt(near);
		loss += hinge_of_like(f, near, total, 1.0 / n, &pull);
		if (gradient)
			add_slope(f, gradient, pull, user, like, near);
	}
	for (int32_t j = 0; gradient && j < f->n; j++)
		if (f->push[j] > 0)
			add_slope(f, gradient, -f->push[j], user, f->points + (size_t) j * f->stride, f->distance[j]);
	return loss;
}

/* ---- the user ---- */

/*
 * The loss of a user's point [stride], and its gradient [stride] unless that is
 * NULL.  mr_fold_in_likes() has seen the likes; there is at least one.
 */
double
mr_fold_in_loss(MrFoldIn *f, const float *likes, int32_t n, const float *user, float *gradient)
{
	const MrRowMath *math = mr_rowmath();
	double		loss;

	for (int32_t j = 0; j < f->n; j++)
		f->distance[j] = math->squared_distance(user, f->points + (size_t) j * f->stride, f->stride);
	if (gradient)
		memset(gradient, 0, f->stride * sizeof(float));
	if (f->loss == MR_LOSS_SOFTMAX)
		loss = softmax_loss(f, likes, n, user, gradient) + prior_loss(f, n, user, gradient);
	else
		loss = hinge_loss(f, likes, n, user, gradient);
	if (gradient && f->item_bias)
		gradient[f->dimensions - 1] = 0;	/* the user's stays 0 */
	return loss;
}

/* Under the constraint. */
static void
constrain(const MrFoldIn *f, float *user)
{
	const MrRowMath *math = mr_rowmath();
	float		square = math->dot(user, user, f->stride);

	if (square > 0 && (f->constraint == MR_CONSTRAINT_SPHERE || (f->constraint == MR_CONSTRAINT_BALL && square > 1)))
		math->scale(user, 1 / sqrtf(square), user, f->stride);
}

/* The first step: the mean of the trained users counts in. */
static void
count_mean_in(MrFoldIn *f, const float *likes, int32_t n, float *user)
{
	const MrRowMath *math = mr_rowmath();
	bool		is_unit = f->pooled || f->constraint == MR_CONSTRAINT_SPHERE;
	float	   *sum = f->row;
	float		weight = (float) n;
	float		square;

	memset(sum, 0, f->stride * sizeof(float));
	if (is_unit)
	{
		for (int32_t t = 0; t < n; t++)
			math->axpy(sum, 1, likes + (size_t) t * f->stride, f->stride);
		if (f->item_bias)
			sum[f->dimensions - 1] = 0;
		weight = sqrtf(math->dot(sum, sum, f->stride));
	}
	math->scale(sum, weight, user, f->stride);
	math->axpy(sum, MEAN_LIKES, f->mean, f->stride);
	square = math->dot(sum, sum, f->stride);
	if (!is_unit)
		math->scale(user, 1 / (weight + MEAN_LIKES), sum, f->stride);
	else if (square > 0)
		math->scale(user, 1 / sqrtf(square), sum, f->stride);
	constrain(f, user);
}

/* Gradient times this is a way in space, not in units of the loss. */
static double
first_rate(const MrFoldIn *f, int32_t n)
{
	double		half = f->n_items / 2.0;
	double		rank = f->rank_weight ? log(half + 2) : 1;

	switch (f->loss)
	{
		case MR_LOSS_SOFTMAX:
			return 1 / (2 / f->temperature / STEP + PRIOR_STRENGTH * f->prior / n);
		case MR_LOSS_CML:
			return STEP / 2 / rank;
		default:
			return TRIPLET_STEP / rank;
	}
}

/*
 * Takes at most `steps` steps from the user's point [stride], the mean of the likes or
 * what the tower makes of it.  With the softmax the first counts the mean of the trained
 * users in; each other one lessens the loss, or is the last.  With ALS, any number of
 * steps is the solution.  Deterministic.  Returns MR_OK or MR_STOPPED.
 */
MrStatus
mr_fold_in_solve(MrFoldIn *f, const float *likes, int32_t n, int32_t steps, float *user, MrPoll poll, void *arg)
{
	const MrRowMath *math = mr_rowmath();
	float	   *gradient = f->row;
	float	   *next = f->row + f->stride;
	double		rate;
	double		loss;

	if (steps <= 0 || n <= 0)
		return MR_OK;
	if (f->least_squares)
		return mr_fold_in_als_solve(f, likes, n, user, poll, arg);
	rate = first_rate(f, n);
	if (f->loss == MR_LOSS_SOFTMAX)
	{
		count_mean_in(f, likes, n, user);
		if (--steps == 0)
			return MR_OK;
	}
	else
		constrain(f, user);
	mr_fold_in_likes(f, likes, n);
	loss = mr_fold_in_loss(f, likes, n, user, gradient);
	for (int32_t step = 0; step < steps; step++)
	{
		double		after = INFINITY;
		int			halvings = 0;

		for (; halvings <= MAX_HALVINGS; halvings++, rate /= 2)
		{
			if (poll && poll(arg))
				return MR_STOPPED;
			memcpy(next, user, f->stride * sizeof(float));
			math->axpy(next, (float) -rate, gradient, f->stride);
			constrain(f, next);
			after = mr_fold_in_loss(f, likes, n, next, NULL);
			if (after < loss)
				break;
		}
		if (!(after < loss))
			break;
		memcpy(user, next, f->stride * sizeof(float));
		if (step + 1 < steps)
			loss = mr_fold_in_loss(f, likes, n, user, gradient);
	}
	return MR_OK;
}
