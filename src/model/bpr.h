/*
 * bpr.h
 *		Bayesian personalised ranking: interactions in, points out.
 *
 * Rendle, Freudenthaler, Gantner and Schmidt-Thieme (UAI 2009): matrix factorisation
 * with an item bias, score(u,i) = x_u.y_i + b_i, that minimises over triples of a user,
 * a liked item i and one j that is not,
 *
 *		-w ln sigmoid(score(u,i) - score(u,j)) + lambda/2 |parameters of the triple|^2
 *
 * by stochastic gradient steps.  As in the paper, triples are drawn with replacement:
 * the interaction and the other item are uniform; an epoch draws as many triples as there
 * are interactions.  w is the interaction's weight over the mean of all (1 without
 * weights); lambda is `weight_decay`.
 *
 * Driven as als.h.  What is exported ranks the same by distance (dot_points.h); the bias
 * and the extra coordinate take two of the dimensions.
 */
#ifndef MR_BPR_H
#define MR_BPR_H

#include "model/trainer.h"

typedef struct MrBpr MrBpr;

/* bpr.c */
extern size_t mr_bpr_bytes(const MrHyper *hyper, const MrInteractions *x);
extern MrBpr *mr_bpr_init(void *memory, size_t bytes, const MrHyper *hyper, const MrInteractions *x,
						  MrStatus *status);
extern MrStatus mr_bpr_epoch(MrBpr *bpr, MrPoll poll, void *arg, MrEpochResult *result);
extern MrStatus mr_bpr_export(MrBpr *bpr, int32_t dimensions, float *users, float *items,
							  MrPoll poll, void *arg);
extern void mr_bpr_describe(const MrBpr *bpr, MrTower *tower);

#endif							/* MR_BPR_H */
