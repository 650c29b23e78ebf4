/*
 * team.c
 *		What a trainer does beside its work when it has a team (team.h): starting an
 *		epoch together, sums over the members, the walk over the rows that are a
 *		member's to step.
 *
 * Gradients: each member adds to its own matrix.  After a barrier the owner of a row
 * adds the other members' to the first one's, which it alone touches now, zeroes
 * theirs, and takes the step.  After the next barrier all matrices are zero again.
 */
#include <math.h>
#include <string.h>

#include "model/trainer_state.h"

/* See MrTeam.barrier; alone there is nobody to wait for. */
bool
mr_team_barrier(const MrTrainer *t)
{
	return !mr_trainer_has_team(t) || t->team.barrier(t->team.arg);
}

/* The leader's state that all members must have. */
static void
put_state(const MrTrainer *t, MrTeamState *state)
{
	const MrTags *tags = &t->tags;

	state->rng = t->rng;
	state->epoch = t->epoch;
	state->step = t->step;
	state->popularity_sum = t->popularity_sum;
	state->logit[0] = tags->logit;
	state->logit[1] = tags->logit_first;
	state->logit[2] = tags->logit_second;
	state->logit[3] = tags->logit_power1;
	state->logit[4] = tags->logit_power2;
}

static void
take_state(MrTrainer *t, const MrTeamState *state)
{
	MrTags	   *tags = &t->tags;

	t->rng = state->rng;
	t->epoch = state->epoch;
	t->step = state->step;
	t->popularity_sum = state->popularity_sum;
	tags->logit = state->logit[0];
	tags->logit_first = state->logit[1];
	tags->logit_second = state->logit[2];
	tags->logit_power1 = state->logit[3];
	tags->logit_power2 = state->logit[4];
}

/*
 * The beginning of an epoch over `values`, shared by all: the leader shuffles them,
 * and all go on with its random numbers.  For draws that differ between members each
 * has others, which follow from them.
 */
MrStatus
mr_team_shuffle(MrTrainer *t, uint32_t *values, uint32_t n, MrPoll poll, void *arg)
{
	MrRng		seeds;

	if (!mr_trainer_has_team(t))
		return mr_trainer_shuffle(t, values, n, poll, arg);
	if (t->team.rank == 0)
	{
		if (mr_trainer_shuffle(t, values, n, poll, arg) != MR_OK)
			return MR_STOPPED;
		put_state(t, &t->board->state);
	}
	if (!mr_team_barrier(t))
		return MR_STOPPED;
	take_state(t, &t->board->state);
	/* from a copy: what all members draw is what a training without a team draws */
	seeds = t->rng;
	mr_rng_seed(&t->own_rng, mr_rng_next(&seeds) + (uint64_t) t->team.rank);
	/* nobody writes the next state before all have this one */
	return mr_team_barrier(t) ? MR_OK : MR_STOPPED;
}

/*
 * Sums of the members' values, the same in all of them; a barrier.  Two boards by
 * turns: nobody comes to the next sum but one before all have read this one.
 */
MrStatus
mr_team_sum(MrTrainer *t, double *values, int32_t n)
{
	double		(*sums)[MR_TEAM_SUMS];

	if (!mr_trainer_has_team(t))
		return MR_OK;
	sums = t->board->sums[t->sum_round++ & 1];
	memcpy(sums[t->team.rank], values, n * sizeof(double));
	if (!mr_team_barrier(t))
		return MR_STOPPED;
	for (int32_t i = 0; i < n; i++)
	{
		values[i] = 0;
		for (int32_t k = 0; k < t->team.size; k++)
			values[i] += sums[k][i];
	}
	return MR_OK;
}

/* Sums up what the members have done of an epoch: loss and weight (in *loss, *weight), and the result's counts. */
MrStatus
mr_team_sum_result(MrTrainer *t, MrEpochResult *result, double *loss, double *weight, double *prior)
{
	double		values[5] = {*loss, *weight, *prior, (double) result->positives, (double) result->negatives};

	if (!mr_trainer_has_team(t))
		return MR_OK;
	if (mr_team_sum(t, values, 5) != MR_OK)
		return MR_STOPPED;
	*loss = values[0];
	*weight = values[1];
	*prior = values[2];
	result->positives = (int64_t) values[3];
	result->negatives = (int64_t) values[4];
	return MR_OK;
}

/* The member's part of [*first, *end): parts of equal length, the earlier ones one longer if need be. */
void
mr_team_part(const MrTrainer *t, int64_t *first, int64_t *end)
{
	int64_t		start = *first;
	int64_t		n = *end - start;

	if (!mr_trainer_has_team(t))
		return;
	*first = start + n * t->team.rank / t->team.size;
	*end = start + n * (t->team.rank + 1) / t->team.size;
}

/* ---- the walk over rows to step ---- */

/* Before the barrier: the list of touched rows is complete. */
void
mr_team_publish(MrPoints *p)
{
	if (p->size > 1 && p->counts)
	{
		p->counts[p->rank] = p->n_touched;
		p->n_touched = 0;
	}
}

/*
 * Adds up a touched row's gradients in the first matrix, from member `first` on, and
 * takes the marks away.  False if nobody had a gradient.
 */
static bool
sum_touched(MrPoints *p, const MrRowMath *math, int32_t row, int32_t first)
{
	size_t		matrix = (size_t) p->n * p->stride;
	float	   *sum = p->gradients + (size_t) row * p->stride;
	bool		has = false;

	for (int32_t k = first; k < p->size; k++)
	{
		uint8_t    *mark = p->marks + (size_t) k * p->n + row;
		float	   *own = sum + k * matrix;

		if (*mark == MR_TOUCHED)
		{
			has = true;
			if (k > 0)
			{
				math->axpy(sum, 1.0f, own, p->stride);
				memset(own, 0, p->stride * sizeof(float));
			}
		}
		*mark = 0;
	}
	return has;
}

/* The member's next row that somebody has touched; false at the end. */
static bool
next_touched(MrPoints *p, const MrRowMath *math, MrRowWalk *walk)
{
	for (; walk->member < p->size; walk->member++, walk->at = 0)
	{
		const int32_t *list = p->lists + (size_t) walk->member * p->n;
		const uint8_t *marks = p->marks + (size_t) walk->member * p->n;

		while (walk->at < p->counts[walk->member])
		{
			int32_t		row = list[walk->at++];

			if (mr_team_owner(row, p->size) != p->rank || marks[row] == 0 ||
				!sum_touched(p, math, row, walk->member))
				continue;
			walk->row = row;
			return true;
		}
	}
	return false;
}

/* As next_touched(), of a matrix without lists: every row has a gradient. */
static bool
next_dense(MrPoints *p, const MrRowMath *math, MrRowWalk *walk)
{
	int32_t		row = walk->at;
	float	   *sum;

	while (row < p->n && mr_team_owner(row, p->size) != p->rank)
		row += MR_TEAM_BLOCK - row % MR_TEAM_BLOCK;
	if (row >= p->n)
		return false;
	sum = p->gradients + (size_t) row * p->stride;
	for (int32_t k = 1; k < p->size; k++)
	{
		float	   *own = sum + k * (size_t) p->n * p->stride;

		math->axpy(sum, 1.0f, own, p->stride);
		memset(own, 0, p->stride * sizeof(float));
	}
	for (int32_t k = 0; p->marks && k < p->size; k++)
		p->marks[(size_t) k * p->n + row] = 0;
	walk->row = row;
	walk->at = row + 1;
	return true;
}

/*
 * The next row that is this member's to step, walk->row, its gradient summed up in
 * p->gradients; false at the end.  A walk begins as zeroes.
 */
bool
mr_team_next_row(MrPoints *p, const MrRowMath *math, bool only_touched, MrRowWalk *walk)
{
	return only_touched ? next_touched(p, math, walk) : next_dense(p, math, walk);
}

/* The next row of this member's that somebody has listed, each once; marks stay. */
bool
mr_team_next_listed(MrPoints *p, MrRowWalk *walk)
{
	for (; walk->member < p->size; walk->member++, walk->at = 0)
	{
		const int32_t *list = p->lists + (size_t) walk->member * p->n;

		while (walk->at < p->counts[walk->member])
		{
			int32_t		row = list[walk->at++];
			bool		seen = false;

			if (mr_team_owner(row, p->size) != p->rank)
				continue;
			for (int32_t k = 0; k < walk->member; k++)
				seen |= p->marks[(size_t) k * p->n + row] != 0;
			if (seen)
				continue;
			walk->row = row;
			return true;
		}
	}
	return false;
}

/* Step all rows that the batch has touched; with a team, those of this member. */
MrStatus
mr_points_step_touched(MrTrainer *t, MrPoints *points, const MrStep *step, MrPoll poll, void *arg)
{
	MrRowWalk	walk = {0};

	while (mr_trainer_has_team(t) && mr_team_next_row(points, t->math, true, &walk))
	{
		if (mr_trainer_tick(t, (4 + points->size) * t->stride, poll, arg))
			return MR_STOPPED;
		mr_points_step(points, t->math, step, walk.row, points->gradients + (size_t) walk.row * points->stride);
	}
	for (int32_t i = 0; i < points->n_touched; i++)
	{
		int32_t		row = points->touched[i];

		if (mr_trainer_tick(t, 4 * t->stride, poll, arg))
			return MR_STOPPED;
		mr_points_step(points, t->math, step, row, points->gradient + (size_t) row * points->stride);
		points->is_touched[row] = 0;
	}
	points->n_touched = 0;
	return MR_OK;
}
