/*
 * lsh_scan_lean.c
 *		How far out the neighbours found so far were, as a correction of the
 *		rule that says when a scan may stop.
 *
 * The rule (lsh_scan.c) supposes that the neighbours of a point lie around it in
 * all directions of the space, so that few of them lean far towards any one
 * border of a cell.  In data that have fewer dimensions than coordinates they
 * do.  But then the nearest rows found so far come from leaves with large bounds,
 * too.  So a leaf is also read if its bound is not beyond a factor times the
 * largest bound of a leaf that one of the NEAR nearest rows came from.  Where the
 * rule's supposition holds, this is less than the rule asks for, and costs
 * nothing.
 *
 * Which leaf a candidate came from is told by its number: the rows of a leaf are
 * numbered in one go.
 */
#include "postgres.h"

#include "index/lsh_scan.h"

#define NEAR 10

/* The bound of the leaf that candidate `row` came from; 0 if that was forgotten. */
static float
bound_of_row(const MrLshScan *scan, uint32 row)
{
	uint32		low = 0;
	uint32		high = scan->n_visits;

	if (high == 0 || row < scan->visits[0].first_row)
		return 0;
	/* the last visit that began at or before the row */
	while (high - low > 1)
	{
		uint32		middle = low + (high - low) / 2;

		if (scan->visits[middle].first_row <= row)
			low = middle;
		else
			high = middle;
	}
	return scan->visits[low].bound;
}

/* Called before a leaf is read, whose rows are then candidates. */
void
mr_lsh_scan_visit(MrLshScan *scan, float bound)
{
	MrLshVisit *visit;

	if (scan->n_visits >= scan->room_visits)
		scan->visits = mr_lsh_scan_enlarge(scan->visits, &scan->room_visits, 0, sizeof(MrLshVisit));
	visit = &scan->visits[scan->n_visits++];
	visit->first_row = scan->n_tids;
	visit->bound = bound;
	scan->lean_rows = 0;
}

/*
 * The largest bound of a leaf that one of the nearest candidates came from.
 * Looked up again when a leaf was read, or when those rows were given out.
 */
float
mr_lsh_scan_lean(MrLshScan *scan)
{
	const MrQueue *queue = &scan->candidates;
	uint32		n = Min(queue->n_front, NEAR);

	if (scan->lean_rows > 0)
		return scan->lean;
	scan->lean = 0;
	for (uint32 i = 0; i < n; i++)
	{
		float		bound = bound_of_row(scan, queue->front[queue->n_front - 1 - i].payload);

		if (bound > scan->lean)
			scan->lean = bound;
	}
	scan->lean_rows = n;
	return scan->lean;
}

/* Candidates get other numbers: which leaf they came from is forgotten. */
void
mr_lsh_scan_forget_visits(MrLshScan *scan)
{
	scan->n_visits = 0;
	scan->lean_rows = 0;
}
