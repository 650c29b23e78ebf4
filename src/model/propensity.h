/*
 * propensity.h
 *		Weights of items that take popularity out of a loss; see propensity.c.
 */
#ifndef MR_PROPENSITY_H
#define MR_PROPENSITY_H

#include "model/trainer.h"

/* No item weighs more than this many times an item of average popularity, before the scaling. */
#define MR_PROPENSITY_LIMIT 10.0

extern MrStatus mr_propensity_weights(const int32_t *count, int32_t n, double exponent, float *weight,
									  MrPoll poll, void *arg);

#endif							/* MR_PROPENSITY_H */
