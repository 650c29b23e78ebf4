/*
 * axis.c
 *		Ticks at round numbers: 1, 2 or 5 times a power of ten.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "plot/svg.h"

/* The least round number that is not less than x. */
static double
round_up(double x)
{
	double		power = pow(10, floor(log10(x)));
	double		part = x / power;

	if (part <= 1)
		return power;
	if (part <= 2)
		return 2 * power;
	if (part <= 5)
		return 5 * power;
	return 10 * power;
}

/* How many multiples of the step lie on the axis. */
static double
count_ticks(const MrAxis *axis)
{
	return floor(axis->high / axis->step + 1e-6) - ceil(axis->low / axis->step - 1e-6) + 1;
}

/*
 * An axis for low .. high with about so many ticks, and their labels' decimals.
 * whole: ticks at whole numbers only.  If low = high it gets some room.
 */
MrAxis
mr_axis_linear(double low, double high, int ticks, bool whole)
{
	MrAxis		axis = {low, high};

	if (!(high > low))
	{
		double		room = whole || low == 0 ? 1 : fabs(low) * 0.05;

		axis.low = low - room;
		axis.high = high + room;
	}
	axis.step = round_up((axis.high - axis.low) / Max(ticks, 1));
	for (int i = 0; i < 3 && count_ticks(&axis) < 2; i++)
		axis.step = round_up(axis.step / 2.6);	/* the round number before */
	if (whole && axis.step < 1)
		axis.step = 1;
	while (axis.decimals < 15 && axis.step * pow(10, axis.decimals) < 0.999)
		axis.decimals++;
	return axis;
}

/* A logarithmic axis, low > 0. */
MrAxis
mr_axis_log(double low, double high)
{
	MrAxis		axis = {low, high > low ? high : low * 10};

	axis.is_log = true;
	return axis;
}

/* 0 at the low end, 1 at the high one; beyond them, the end. */
double
mr_axis_place(const MrAxis *axis, double value)
{
	double		place;

	if (axis->is_log)
		place = value > 0 ? (log(value) - log(axis->low)) / (log(axis->high) - log(axis->low)) : 0;
	else
		place = (value - axis->low) / (axis->high - axis->low);
	return Max(Min(place, 1), 0);
}

static int
log_ticks(const MrAxis *axis, double *ticks, int max)
{
	bool		few = axis->high / axis->low < 300;
	int			n = 0;

	/* by the exponent: the power below the least of numbers is 0, and ten times that, too */
	for (int exponent = (int) floor(log10(axis->low)); exponent <= DBL_MAX_10_EXP && n < max; exponent++)
	{
		static const int parts[] = {1, 2, 5};
		double		power = pow(10, exponent);

		if (power > axis->high)
			break;
		for (int i = 0; i < (few ? 3 : 1) && n < max; i++)
			if (parts[i] * power >= axis->low * 0.999 && parts[i] * power <= axis->high * 1.001)
				ticks[n++] = parts[i] * power;
	}
	return n;
}

/* The ticks, ascending; returns how many. */
int
mr_axis_ticks(const MrAxis *axis, double *ticks, int max)
{
	double		room = axis->step * 1e-6;
	int			n = 0;

	if (axis->is_log)
		return log_ticks(axis, ticks, max);
	for (double i = ceil((axis->low - room) / axis->step); n < max && i * axis->step <= axis->high + room; i++)
		ticks[n++] = i * axis->step;
	return n;
}

/* A value near a tick, as text: 12,345 or 0.05. */
char *
mr_axis_label(const MrAxis *axis, double value)
{
	if (fabs(value) >= 1e7 || (axis->is_log && value < 0.1))
		return psprintf("%.3g", value);
	if (axis->is_log && value < 10)
		return psprintf("%.2g", value);
	if (axis->is_log || axis->decimals == 0)
		return fabs(value) >= 10000 ? mr_svg_count((int64) llround(value)) : psprintf("%.0f", value + 0.0);
	return psprintf("%.*f", axis->decimals, value + 0.0);	/* -0 is 0 */
}
