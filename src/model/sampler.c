/*
 * sampler.c
 *		Negatives: items that a user did not interact with.
 *
 * Positives are never drawn.  The uniform sampler needs no rejection: the r-th
 * item that is not among a user's ascending positives is found by binary search.
 * The popularity sampler rejects positives, which leaves p ~ count^exponent on
 * the others; a user whose positives hold nearly all of the mass would reject
 * for ever, so after MAX_REJECTIONS draws a uniform negative is taken.
 */
#include <math.h>
#include <string.h>

#include "model/trainer_state.h"

#define MAX_REJECTIONS 64

#define POLL_ENTRIES 65536

/* Take the table's memory from the arena. */
void
mr_alias_layout(MrAlias *alias, MrArena *arena, int32_t n)
{
	alias->n = n;
	alias->threshold = mr_arena_take(arena, n, sizeof(float));
	alias->other = mr_arena_take(arena, n, sizeof(int32_t));
}

/*
 * Make the table of p(i) ~ count[i]^exponent (Walker, Vose).  Entries with
 * count 0 are never drawn.  At least one count must be positive.
 *
 * A slot holds probability 1/n.  Slots are filled in one sweep: `small` walks
 * over the entries with less than their slot, `large` over those with more,
 * which give the rest away.  *sum = SUM of count^exponent.
 */
MrStatus
mr_alias_fill(MrAlias *alias, const int32_t *count, double exponent, double *sum,
			  MrPoll poll, void *arg)
{
	int32_t		n = alias->n;
	int32_t		large = 0;
	int32_t		small = 0;
	int32_t		first = 0;

	*sum = 0;
	for (int32_t i = 0; i < n; i++)
	{
		if (i % POLL_ENTRIES == 0 && poll && poll(arg))
			return MR_STOPPED;
		if (count[i] > 0)
			*sum += pow(count[i], exponent);
	}
	for (int32_t i = 0; i < n; i++)
	{
		if (i % POLL_ENTRIES == 0 && poll && poll(arg))
			return MR_STOPPED;
		alias->threshold[i] = count[i] > 0 ? (float) (pow(count[i], exponent) * n / *sum) : 0;
		alias->other[i] = -1;
	}
	while (small < n)
	{
		int32_t		i = small;

		if (small % POLL_ENTRIES == 0 && poll && poll(arg))
			return MR_STOPPED;
		if (alias->threshold[i] >= 1 || alias->other[i] >= 0)
		{
			small++;
			continue;
		}
		/* i is below its slot; give it to a larger one, which may then be below itself */
		for (;;)
		{
			while (large < n && !(alias->threshold[large] > 1 && alias->other[large] < 0))
				large++;
			if (large >= n)
				break;
			alias->other[i] = large;
			alias->threshold[large] -= 1 - alias->threshold[i];
			if (alias->threshold[large] >= 1 || large > small)
				break;
			i = large;			/* behind the sweep: close it now */
		}
		small++;
	}
	/* what rounding left open is a full slot, or an entry that must not be drawn */
	while (first < n - 1 && count[first] <= 0)
		first++;
	for (int32_t i = 0; i < n; i++)
		if (alias->other[i] < 0)
			alias->other[i] = count[i] > 0 ? i : first;
	return MR_OK;
}

/* An entry of the table: one random number. */
int32_t
mr_alias_draw(const MrAlias *alias, MrRng *rng)
{
	uint64_t	bits = mr_rng_next(rng);
	uint64_t	product = (bits >> 32) * (uint64_t) alias->n;
	int32_t		slot = (int32_t) (product >> 32);
	float		fraction = (float) (bits & 0xffffff) * 0x1.0p-24f;

	return fraction < alias->threshold[slot] ? slot : alias->other[slot];
}

/* Did the user interact with the item? */
bool
mr_sampler_likes(const MrTrainer *t, int32_t user, int32_t item)
{
	const uint8_t *bitmap = t->hinge.bitmap;

	if (bitmap != NULL)
		return bitmap[(size_t) user * t->hinge.bitmap_bytes + (item >> 3)] >> (item & 7) & 1;
	return mr_interactions_contain(t->x, user, item);
}

/*
 * A uniform negative of the user, who must not like every item.  With r uniform
 * in [0, items - positives), it is item r + i, i being the number of positives
 * below it: the first i with positive[i] - i > r.
 */
int32_t
mr_sampler_uniform(MrTrainer *t, int32_t user)
{
	const int32_t *positive = t->x->items + t->x->user_start[user];
	int32_t		n = (int32_t) (t->x->user_start[user + 1] - t->x->user_start[user]);
	int32_t		rank;
	int32_t		low = 0;
	int32_t		high = n;

	/* with a bitmap and few positives, trying is faster than searching */
	if (t->hinge.bitmap != NULL && n < t->x->n_items / 2)
	{
		for (;;)
		{
			int32_t		item = (int32_t) mr_rng_below(mr_trainer_own_rng(t), t->x->n_items);

			if (!mr_sampler_likes(t, user, item))
				return item;
		}
	}
	rank = (int32_t) mr_rng_below(mr_trainer_own_rng(t), t->x->n_items - n);
	while (low < high)
	{
		int32_t		middle = low + (high - low) / 2;

		if (positive[middle] - middle > rank)
			high = middle;
		else
			low = middle + 1;
	}
	return rank + low;
}

/* A negative of the user, p ~ count^popularity_exponent. */
int32_t
mr_sampler_popular(MrTrainer *t, int32_t user)
{
	for (int i = 0; i < MAX_REJECTIONS; i++)
	{
		int32_t		item = mr_alias_draw(&t->alias, mr_trainer_own_rng(t));

		if (!mr_sampler_likes(t, user, item))
			return item;
	}
	return mr_sampler_uniform(t, user);
}
