/*
 * holdout.c
 *		The validation split: one positive of a user is held out.
 *
 * A random share of the users who have two positives or more loses one: the
 * latest, if the times are known, else a random one.  The split depends on the
 * seed and the set of interactions only.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "train/train.h"
#include "util/rng.h"

/* Any constant: keeps the split's random numbers apart from the trainer's. */
#define HOLDOUT_STREAM UINT64CONST(0x686f6c646f757400)

static Size
matrix_bytes(const MrInteractions *x)
{
	return add_size(mul_size(sizeof(int64), (Size) x->n_users + 1),
					mul_size(sizeof(int32) + sizeof(float) + sizeof(int64), (Size) x->n_pairs));
}

/* Upper bound of what mr_holdout_make() allocates. */
Size
mr_holdout_bytes(const MrInteractions *x)
{
	return add_size(matrix_bytes(x),
					mul_size(sizeof(int64) + sizeof(int32), (Size) x->n_users + 1));
}

/* The pair to hold out of user u, or -1. */
static int64
choose_pair(const MrInteractions *x, int32 u, double fraction, MrRng *rng)
{
	int64		first = x->user_start[u];
	int64		n = x->user_start[u + 1] - first;
	double		draw = mr_rng_uniform(rng);
	uint64		place = mr_rng_below64(rng, (uint64) Max(n, 1));
	int64		latest = first;

	if (n < 2 || draw >= fraction)
		return -1;
	if (x->times == NULL)
		return first + (int64) place;
	for (int64 p = first + 1; p < first + n; p++)
		if (x->times[p] > x->times[latest])
			latest = p;
	return latest;
}

static void
copy_pair(MrInteractions *to, const MrInteractions *from, int64 p)
{
	to->items[to->n_pairs] = from->items[p];
	if (to->weights)
		to->weights[to->n_pairs] = from->weights[p];
	if (to->times)
		to->times[to->n_pairs] = from->times[p];
	to->n_pairs++;
}

static void *
allocate(MemoryContext context, Size size, Size n)
{
	return MemoryContextAllocHuge(context, mul_size(size, Max(n, 1)));
}

/* fraction is of the users, 0 to 1; eligible [n_users], 0 = never this one; NULL: all are. */
void
mr_holdout_make(const MrInteractions *x, double fraction, const uint8 *eligible, uint64 seed,
				MemoryContext context, MrHoldout *holdout)
{
	MrInteractions *train = &holdout->train;
	MrInteractions *held = &holdout->held_out;
	MrRng		rng;

	memset(holdout, 0, sizeof(*holdout));
	train->n_users = held->n_users = x->n_users;
	train->n_items = held->n_items = x->n_items;
	train->user_features = x->user_features;
	train->item_features = x->item_features;
	train->user_start = allocate(context, sizeof(int64), (Size) x->n_users + 1);
	held->user_start = allocate(context, sizeof(int64), (Size) x->n_users + 1);
	train->items = allocate(context, sizeof(int32), x->n_pairs);
	held->items = allocate(context, sizeof(int32), x->n_users);
	if (x->weights)
		train->weights = allocate(context, sizeof(float), x->n_pairs);
	if (x->times)
		train->times = allocate(context, sizeof(int64), x->n_pairs);

	mr_rng_seed(&rng, seed ^ HOLDOUT_STREAM);
	for (int32 u = 0; u < x->n_users; u++)
	{
		int64		out = choose_pair(x, u, fraction, &rng);

		CHECK_FOR_INTERRUPTS();
		if (eligible && !eligible[u])
			out = -1;
		train->user_start[u] = train->n_pairs;
		held->user_start[u] = held->n_pairs;
		for (int64 p = x->user_start[u]; p < x->user_start[u + 1]; p++)
			copy_pair(p == out ? held : train, x, p);
	}
	train->user_start[x->n_users] = train->n_pairs;
	held->user_start[x->n_users] = held->n_pairs;
	holdout->users = held->n_pairs;
}
