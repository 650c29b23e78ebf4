/*
 * recency.h
 *		Weights of interactions by how many later ones their user has; see recency.c.
 */
#ifndef MR_RECENCY_H
#define MR_RECENCY_H

#include "model/trainer.h"

extern int64_t mr_recency_scratch(const MrInteractions *x);
extern MrStatus mr_recency_weights(const MrInteractions *x, double recency, int64_t *scratch, float *weights,
								   MrPoll poll, void *arg);

#endif							/* MR_RECENCY_H */
