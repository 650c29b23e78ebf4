/*
 * hinge.h
 *		Parts of the hinge losses' epoch; inside src/model only.
 */
#ifndef MR_MODEL_HINGE_H
#define MR_MODEL_HINGE_H

#include "model/trainer_state.h"

/* Positives whose stage-2 weights are computed together. */
#define MR_TWO_STAGE_ROWS 64

/* Weights whose sum is kept, so that a draw need not walk over all of them. */
#define MR_TWO_STAGE_BLOCK 64

/* hinge.c */
extern double mr_hinge_rank_weight(int32_t items, int32_t impostors, int32_t draws);
extern double mr_hinge_pair(MrTrainer *t, int32_t user, int32_t positive, double pair_weight);

/* covariance.c */
extern void mr_covariance_layout(MrTrainer *t, MrArena *shared, MrArena *own);
extern MrStatus mr_covariance_add(MrTrainer *t, int64_t first, int32_t n, MrPoll poll, void *arg, double *loss);

/* two_stage.c */
extern void mr_two_stage_layout(MrTrainer *t, MrArena *arena);
extern void mr_two_stage_start(MrTrainer *t);
extern MrStatus mr_two_stage_batch(MrTrainer *t, MrPoll poll, void *arg);
extern MrStatus mr_two_stage_weigh(MrTrainer *t, int64_t first, int32_t n, MrPoll poll, void *arg);
extern double mr_two_stage_weights(const MrRowMath *math, float *cosines, int32_t n, int32_t d, float *block_sums);
extern int32_t mr_two_stage_draw(MrTrainer *t, int32_t user, int32_t row);

#endif							/* MR_MODEL_HINGE_H */
