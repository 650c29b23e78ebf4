/*
 * dot_points.c
 *		See dot_points.h.
 */
#include <math.h>
#include <string.h>

#include "math/rowmath.h"
#include "model/dot_points.h"

/* Floats between two polls: some milliseconds. */
#define POLL_FLOATS (1 << 22)

/* Should the loop stop before row `row`? */
static bool
stops(const MrDotPoints *p, int32_t row, MrPoll poll, void *arg)
{
	int32_t		rows = POLL_FLOATS / p->stride;

	return row % (rows > 1 ? rows : 1) == 0 && poll && poll(arg);
}

/* The squared length of a row with what stands for the bias. */
static double
square_of(const MrDotPoints *p, int32_t row)
{
	const float *point = p->points + (size_t) row * p->stride;
	double		last = p->bias ? p->bias[row] : p->constant ? 1 : 0;

	return mr_rowmath()->dot(point, point, p->stride) + last * last;
}

/* A row times factor, the extra coordinate behind it; false if one is not finite. */
static bool
write_row(const MrDotPoints *p, int32_t row, double factor, double extra, int32_t dimensions, float *out)
{
	const float *from = p->points + (size_t) row * p->stride;
	float	   *to = out + (size_t) row * dimensions;
	int32_t		n = p->width;
	bool		finite = isfinite(extra);

	memset(to, 0, dimensions * sizeof(float));
	for (int32_t k = 0; k < p->width; k++)
		to[k] = (float) (from[k] * factor);
	if (p->bias)
		to[n++] = (float) (p->bias[row] * factor);
	else if (p->constant)
		to[n++] = (float) factor;
	to[n++] = (float) extra;
	for (int32_t k = 0; k < n; k++)
		finite = finite && isfinite(to[k]);
	return finite;
}

/*
 * Write the items' points; *radius = M.  Returns MR_OK, MR_STOPPED, or MR_DIVERGED if a
 * coordinate is not finite.
 */
MrStatus
mr_dot_points_items(const MrDotPoints *items, int32_t dimensions, float *out, float *radius,
					MrPoll poll, void *arg)
{
	double		largest = 0;

	for (int32_t i = 0; i < items->n; i++)
	{
		if (stops(items, i, poll, arg))
			return MR_STOPPED;
		largest = fmax(largest, square_of(items, i));
	}
	*radius = (float) sqrt(largest);
	for (int32_t i = 0; i < items->n; i++)
	{
		double		share = largest > 0 ? square_of(items, i) / largest : 0;

		if (stops(items, i, poll, arg))
			return MR_STOPPED;
		if (!write_row(items, i, largest > 0 ? 1 / sqrt(largest) : 0, sqrt(fmax(1 - share, 0)), dimensions, out))
			return MR_DIVERGED;
	}
	return MR_OK;
}

/* Write the users' points; a row of zeroes that has no constant either stays 0. */
MrStatus
mr_dot_points_users(const MrDotPoints *users, int32_t dimensions, float *out, MrPoll poll, void *arg)
{
	for (int32_t u = 0; u < users->n; u++)
	{
		double		square = square_of(users, u);

		if (stops(users, u, poll, arg))
			return MR_STOPPED;
		if (!write_row(users, u, square > 0 ? 1 / sqrt(square) : 0, 0, dimensions, out))
			return MR_DIVERGED;
	}
	return MR_OK;
}
