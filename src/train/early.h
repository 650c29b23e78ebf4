/*
 * early.h
 *		When a training stops early, which towers are tried, and how the best one is
 *		trained on everything; see early.c.
 */
#ifndef MR_EARLY_H
#define MR_EARLY_H

#include "train/train.h"

extern int32 mr_early_patience(const MrRun *run);
extern double mr_early_asked_of_free(const MrInteractions *x);
extern bool mr_early_tries_free(const MrInteractions *x);
extern bool mr_early_is_hopeless(double value, double rival, int32 epoch, int32 epochs);
extern bool mr_early_continues(const MrRun *run);
extern void mr_early_shorten(MrHyper *hyper, int32 *last);

#endif							/* MR_EARLY_H */
