/*
 * rank_scores.c
 *		All items against one user by scores that are given, not computed from points.
 */
#include <math.h>

#include "model/rank_run.h"

/* The row of a user's scores; zeroes if the scorer stops. */
void
mr_rank_fetch_scores(RankRun *run, int32_t user)
{
	const MrScorer *scorer = run->in->scorer;

	if (scorer->scores(scorer->arg, user, run->row, run->poll, run->arg) != MR_OK)
		run->stopped = true;
	tick(run, run->in->held_out->n_items);
}

/* Takes the user's items of `pairs` out of the row: they are no items to be ranked. */
static void
mask(const MrInteractions *pairs, int32_t user, float *row)
{
	for (int64_t p = pairs->user_start[user]; p < pairs->user_start[user + 1]; p++)
		row[pairs->items[p]] = -INFINITY;
}

/*
 * Count the items against the user's held-out ones, which are in order already, and
 * offer them to the list.
 */
void
mr_rank_scores(RankRun *run, RankSlot *slot)
{
	const MrRankInput *in = run->in;
	int32_t		n_items = in->held_out->n_items;

	if (in->excluded)
		mask(in->excluded, slot->user, run->row);
	if (in->excluded_more)
		mask(in->excluded_more, slot->user, run->row);
	mask(in->held_out, slot->user, run->row);
	for (int32_t j = 0; j < n_items && !run->stopped; j++)
	{
		double		d;
		int32_t		p;

		if (run->row[j] == -INFINITY)
			continue;
		d = mr_rank_pair_distance(run, slot->user, j);
		p = mr_rank_position(slot, d);
		if (p < slot->n_held)
			slot->others[p]++;
		if (slot->top.k > 0)
			mr_topk_push(&slot->top, d, j);
	}
	tick(run, 4 * (int64_t) n_items);
}
