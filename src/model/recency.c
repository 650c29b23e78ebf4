/*
 * recency.c
 *		Weights of interactions by how many later ones their user has.
 *
 * What somebody will like next resembles what they liked last.  With r the number of
 * the user's interactions that are later than this one, it weighs
 *
 *		w = 1 / (1 + r / recency)
 *
 * times its own weight: the last `recency` interactions weigh most, and none is
 * forgotten.  Interactions of the same time have the same r, so that times that say
 * nothing (an import's) change nothing.  The weights of a user are not scaled to a
 * common sum, so a long history counts for less than one row after the other would;
 * both were measured, doc/training.md.
 *
 * The weights go into the loss in the place of the interactions' own.
 */
#include "model/recency.h"

/* Steps of sorting between two polls. */
#define POLL_STEPS 1048576

/* The longest history: the scratch that mr_recency_weights() needs, in int64. */
int64_t
mr_recency_scratch(const MrInteractions *x)
{
	int64_t		longest = 1;

	for (int32_t u = 0; u < x->n_users; u++)
		if (x->user_start[u + 1] - x->user_start[u] > longest)
			longest = x->user_start[u + 1] - x->user_start[u];
	return longest;
}

typedef struct Clock
{
	int64_t		steps;
	MrPoll		poll;
	void	   *arg;
} Clock;

static bool
tick(Clock *clock, int64_t steps)
{
	clock->steps += steps;
	if (clock->steps < POLL_STEPS)
		return false;
	clock->steps = 0;
	return clock->poll && clock->poll(clock->arg);
}

/* Let time[root] sink in the heap time[0 .. n), largest on top; the steps it took. */
static int64_t
sink(int64_t *time, int64_t root, int64_t n)
{
	int64_t		value = time[root];
	int64_t		steps = 1;

	for (int64_t child; (child = 2 * root + 1) < n; root = child, steps++)
	{
		if (child + 1 < n && time[child + 1] > time[child])
			child++;
		if (time[child] <= value)
			break;
		time[root] = time[child];
	}
	time[root] = value;
	return steps;
}

/* Ascending; a heap, because a history may be long and the sort must poll. */
static bool
sort(int64_t *time, int64_t n, Clock *clock)
{
	for (int64_t root = n / 2; root-- > 0;)
		if (tick(clock, sink(time, root, n)))
			return false;
	while (n-- > 1)
	{
		int64_t		largest = time[0];

		time[0] = time[n];
		time[n] = largest;
		if (tick(clock, sink(time, 0, n)))
			return false;
	}
	return true;
}

/* How many of the sorted times are later. */
static int64_t
count_later(const int64_t *sorted, int64_t n, int64_t time)
{
	int64_t		low = 0;
	int64_t		high = n;

	while (low < high)
	{
		int64_t		middle = low + (high - low) / 2;

		if (sorted[middle] > time)
			high = middle;
		else
			low = middle + 1;
	}
	return n - low;
}

/*
 * x			interactions with times
 * recency		> 0
 * scratch		[mr_recency_scratch(x)]
 * weights		[n_pairs] out; may be the memory of x->weights
 *
 * Returns MR_OK, or MR_STOPPED when poll() said so.
 */
MrStatus
mr_recency_weights(const MrInteractions *x, double recency, int64_t *scratch, float *weights, MrPoll poll, void *arg)
{
	Clock		clock = {0, poll, arg};

	for (int32_t u = 0; u < x->n_users; u++)
	{
		int64_t		first = x->user_start[u];
		int64_t		n = x->user_start[u + 1] - first;

		for (int64_t i = 0; i < n; i++)
			scratch[i] = x->times[first + i];
		if (tick(&clock, n + 1) || !sort(scratch, n, &clock))
			return MR_STOPPED;
		for (int64_t i = first; i < first + n; i++)
		{
			double		later = (double) count_later(scratch, n, x->times[i]);

			if (tick(&clock, 16))
				return MR_STOPPED;
			weights[i] = (float) ((x->weights ? x->weights[i] : 1.0) / (1 + later / recency));
		}
	}
	return MR_OK;
}
