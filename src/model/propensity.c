/*
 * propensity.c
 *		Weights of items that take popularity out of a loss.
 *
 * Which interactions are seen depends on how popular an item is already: it is
 * shown more often.  If a liked item i is seen with the propensity p_i ~ count_i ^
 * exponent (Yang et al., RecSys 2018, have such a power law), then 1/p_i as the
 * weight of its interactions makes the loss one of all likes, not of the seen ones
 * (inverse propensity scoring).  With mean the count of an average liked item,
 *
 *		w_i = a min((count_i / mean) ^ -exponent, MR_PROPENSITY_LIMIT),
 *
 * a being such that the mean of w over all interactions is 1.  So the loss keeps
 * its size and the learning rate its meaning.  Exponent 0 weighs all interactions
 * alike; at 1 every item has the same say, however often it was liked.
 *
 * The limit is what keeps the variance of the gradient within bounds: an item that
 * was liked once would else weigh as much as one that was liked a thousand times.
 */
#include <math.h>

#include "model/propensity.h"

/* Entries between two polls. */
#define POLL_ENTRIES 65536

/*
 * count	[n] interactions of each item
 * weight	[n] out; items without interactions get the largest weight, unused
 *
 * Returns MR_OK, or MR_STOPPED when poll() said so.
 */
MrStatus
mr_propensity_weights(const int32_t *count, int32_t n, double exponent, float *weight, MrPoll poll, void *arg)
{
	double		interactions = 0;
	double		liked = 0;
	double		sum = 0;

	for (int32_t i = 0; i < n; i++)
	{
		if (i % POLL_ENTRIES == 0 && poll && poll(arg))
			return MR_STOPPED;
		interactions += count[i];
		liked += count[i] > 0;
	}
	for (int32_t i = 0; i < n; i++)
	{
		double		w = MR_PROPENSITY_LIMIT;

		if (i % POLL_ENTRIES == 0 && poll && poll(arg))
			return MR_STOPPED;
		if (count[i] > 0)
			w = pow(count[i] * liked / interactions, -exponent);
		weight[i] = (float) (w < MR_PROPENSITY_LIMIT ? w : MR_PROPENSITY_LIMIT);
		sum += (double) weight[i] * count[i];
	}
	for (int32_t i = 0; i < n; i++)
	{
		if (i % POLL_ENTRIES == 0 && poll && poll(arg))
			return MR_STOPPED;
		weight[i] = sum > 0 ? (float) (weight[i] * (interactions / sum)) : 1;
	}
	return MR_OK;
}
