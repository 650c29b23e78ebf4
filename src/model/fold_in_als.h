/*
 * fold_in_als.h
 *		The users' side of ALS for users who were not trained; see fold_in_als.c.  Used by
 *		fold_in.c and fold_in_store.c, which everybody else calls.
 */
#ifndef MR_FOLD_IN_ALS_H
#define MR_FOLD_IN_ALS_H

#include "model/fold_in.h"
#include "model/points.h"

/* fold_in_als.c */
extern size_t mr_fold_in_als_bytes(int32_t dimensions);
extern size_t mr_fold_in_als_write(const MrHyper *hyper, float radius, int32_t n_items, const float *items,
								   uint8_t *bytes, MrPoll poll, void *arg);
extern bool mr_fold_in_is_als(const uint8_t *bytes, size_t n);
extern size_t mr_fold_in_als_memory(const uint8_t *bytes, size_t n);
extern MrFoldIn *mr_fold_in_als_read(void *memory, const uint8_t *bytes, size_t n);
extern MrStatus mr_fold_in_als_solve(MrFoldIn *f, const float *likes, int32_t n, float *user,
									 MrPoll poll, void *arg);

#endif							/* MR_FOLD_IN_ALS_H */
