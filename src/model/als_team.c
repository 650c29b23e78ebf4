/*
 * als_team.c
 *		A half sweep of ALS by the members of a team (team.h).
 *
 *		gram	each member of its part of the given side	barrier
 *		axes	the leader, of the sum of all				barrier
 *		turn	each its part of the given side				barrier
 *		solve	each its part of the rows					sum, a barrier
 *
 * Given the axes, rows are independent of each other, so that what a row becomes does
 * not depend on who solves it.  Gram matrices are added up in the members' order.
 */
#include <math.h>
#include <string.h>

#include "model/als_state.h"

static bool
meet(const MrAls *als)
{
	return als->team.barrier(als->team.arg);
}

/* What the leader knows and all members must; a barrier. */
MrStatus
mr_als_team_begin(MrAls *als)
{
	MrAlsBoard *board = als->board;

	if (als->team.size <= 1)
		return MR_OK;
	if (als->team.rank == 0)
	{
		board->weight_sum = als->weight_sum;
		board->sweep = als->sweep;
		board->has_start = als->has_start;
	}
	if (!meet(als))
		return MR_STOPPED;
	als->weight_sum = board->weight_sum;
	als->sweep = board->sweep;
	als->has_start = board->has_start;
	return MR_OK;
}

/*
 * The first row of a member's part of a side, the parts being of about equal work: a
 * row costs width^2 for each of its interactions and width^3 / 3 for the solution.
 */
static int32_t
first_of_part(const MrAls *als, MrAlsSideName side, int32_t part)
{
	const MrAlsSide *s = &als->side[side];
	int64_t		row_work = als->width / 3 + 1;
	double		wanted = (double) (s->start[s->n] + row_work * s->n) * part / als->team.size;
	int32_t		low = 0;
	int32_t		high = s->n;

	while (low < high)
	{
		int32_t		middle = low + (high - low) / 2;

		if (s->start[middle] + row_work * middle >= wanted)
			high = middle;
		else
			low = middle + 1;
	}
	return part == als->team.size ? s->n : low;
}

/* The members' Gram matrices -> als->spectrum, als->axes, by the leader. */
static MrStatus
find_axes(MrAls *als)
{
	size_t		n = (size_t) als->width * als->width;
	MrStatus	status;

	memcpy(als->gram, als->grams, n * sizeof(double));
	for (int32_t k = 1; k < als->team.size; k++)
		for (size_t i = 0; i < n; i++)
			als->gram[i] += als->grams[k * n + i];
	status = mr_als_axes(als);
	als->board->failed = status != MR_OK;
	return MR_OK;
}

/* Sums over the members, the same in all of them; MR_DIVERGED if one of them did. */
static MrStatus
sum_up(MrAls *als, MrStatus status, double *objective, double *penalty)
{
	double		(*sums)[3] = als->board->sums;
	double	   *own = sums[als->team.rank];
	double		failed = 0;

	own[0] = *objective;
	own[1] = *penalty;
	own[2] = status != MR_OK;
	if (!meet(als))
		return MR_STOPPED;
	*objective = *penalty = 0;
	for (int32_t k = 0; k < als->team.size; k++)
	{
		*objective += sums[k][0];
		*penalty += sums[k][1];
		failed += sums[k][2];
	}
	return failed > 0 ? MR_DIVERGED : MR_OK;
}

/* See half_sweep() in als.c. */
MrStatus
mr_als_team_half_sweep(MrAls *als, MrAlsSideName side, double *objective, double *penalty, MrPoll poll, void *arg)
{
	MrAlsSideName given = side == MR_ALS_USERS ? MR_ALS_ITEMS : MR_ALS_USERS;
	int32_t		rank = als->team.rank;
	double	   *gram = als->grams + (size_t) rank * als->width * als->width;
	int32_t		given_first = first_of_part(als, given, rank);
	int32_t		given_end = first_of_part(als, given, rank + 1);
	int32_t		first = first_of_part(als, side, rank);
	int32_t		end = first_of_part(als, side, rank + 1);
	MrStatus	status;

	memset(gram, 0, (size_t) als->width * als->width * sizeof(double));
	if (mr_als_gram(als, given, given_first, given_end, gram, &als->scratch, poll, arg) != MR_OK || !meet(als))
		return MR_STOPPED;
	if (rank == 0 && find_axes(als) != MR_OK)
		return MR_STOPPED;
	if (!meet(als))
		return MR_STOPPED;
	if (als->board->failed)
		return MR_DIVERGED;
	if (mr_als_turn(als, given, given_first, given_end, &als->scratch, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (als->hyper.als_solver == MR_ALS_CG && mr_als_turn(als, side, first, end, &als->scratch, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (!meet(als))
		return MR_STOPPED;
	status = mr_als_solve(als, side, first, end, &als->scratch, objective, penalty, poll, arg);
	return status == MR_STOPPED ? status : sum_up(als, status, objective, penalty);
}
