/*
 * lsh_scan_effort.c
 *		How much of the index is worth reading for a row.
 *
 * A candidate at the distance t may go out if all leaves with bounds up to
 * effort * t have been read.  A neighbour's direction leans towards the border of
 * a given cell by about 1/sqrt(d) of its distance, a normal deviate, so the effort
 * is some such deviates: measured, not derived.
 *
 * d is the number of coordinates, or less if the data have fewer dimensions than
 * that where the query is.  In n dimensions a ball has room for rows in proportion
 * to the n-th power of its radius, so that the distances of the nearest candidates
 * tell n.  (Levina and Bickel, 2004, take the mean of the logarithms; two of the
 * distances are enough here.)  Clusters that are spread unevenly over their
 * dimensions look as if they had fewer than leaning takes place in: hence
 * LEAN_DIMENSIONS.
 */
#include "postgres.h"

#include <math.h>

#include "index/lsh_scan.h"

/* At the default target; doc/index.md has figures. */
#define FLOOR 0.40
#define PER_ROOT 3.2
#define PER_ROOT_PROJECTION 2.8
#define PER_DECADE 0.075F
#define FIRST_ROWS 10

/* At least so many candidates tell the dimensions, by the distances of one of them and of the first QUARTER up to it. */
#define ENOUGH 16
#define QUARTER 4
/* Dimensions that count for each that the distances tell, and at least. */
#define LEAN_DIMENSIONS 3
#define LEAST_DIMENSIONS 8

/*
 * What the recall that is aimed at does to the effort: 1 at .99, .65 at .95, 1.25
 * at .999, straight lines between and beyond over the number of nines.
 */
static float
target_factor(double target)
{
	double		nines = -log10(1 - target);

	if (nines >= 2)
		return 1 + (nines - 2) * 0.25;
	return Max(1 - (2 - nines) * (1 - 0.65) / (2 - 1.30103), 0);
}

/*
 * The effort in d dimensions.  The bounds of projections shrink with 1/sqrt(d)
 * themselves, as they see a few directions only.
 */
static float
effort_in(const MrLshScan *scan, double d)
{
	if (scan->lsh.hash.family == MR_HASH_PROJECTION)
		return PER_ROOT_PROJECTION / sqrt(d) * scan->target_factor;
	return Max(FLOOR, PER_ROOT / sqrt(d)) * scan->target_factor;
}

/* Before the first row is asked for. */
void
mr_lsh_scan_start_effort(MrLshScan *scan, double target)
{
	scan->target_factor = target_factor(target);
	scan->effort_base = effort_in(scan, scan->lsh.hash.dim);
	scan->effort_leaves = 0;
}

/* The dimensions that the distances of the candidate `rank` and of its QUARTER tell; 0 = none. */
static double
dimensions_at(const MrLshScan *scan, uint32 rank)
{
	const MrQueue *queue = &scan->candidates;
	/* keys are lower bounds, below the distances by about what coding moves a row */
	float		inner = queue->front[queue->n_front - rank / QUARTER].key + scan->moved;
	float		outer = queue->front[queue->n_front - rank].key + scan->moved;

	if (!(inner > 0 && outer > inner))
		return scan->lsh.hash.dim;
	return log(QUARTER) / log((double) outer / inner);
}

/*
 * The dimensions that the nearest candidates tell: the larger of two answers,
 * because a cluster with few rows more than are near looks as if there was no
 * dimension where it ends.
 */
static double
dimensions_here(const MrLshScan *scan)
{
	uint32		n = scan->candidates.n_front;

	if (n < ENOUGH)
		return scan->lsh.hash.dim;
	return Max(dimensions_at(scan, n), dimensions_at(scan, n / 2));
}

/*
 * The effort for the next row: who asks for many rows wants them as complete.
 * Dimensions are looked at as long as no row has left.
 */
float
mr_lsh_scan_effort(MrLshScan *scan)
{
	int64		rows = scan->counts.ranked - scan->counts.dead;

	if (scan->counts.ranked == 0 && scan->counts.leaves > scan->effort_leaves)
	{
		double		d = Max(LEAN_DIMENSIONS * dimensions_here(scan), LEAST_DIMENSIONS);

		scan->effort_base = effort_in(scan, Min(d, scan->lsh.hash.dim));
		scan->effort_leaves = scan->counts.leaves;
	}
	if (rows <= FIRST_ROWS)
		return scan->effort_base;
	return scan->effort_base + PER_DECADE * log10f((float) rows / FIRST_ROWS);
}
