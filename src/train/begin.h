/*
 * begin.h
 *		What a training begins with: weights by recency, points by ALS.  See begin.c.
 */
#ifndef MR_BEGIN_H
#define MR_BEGIN_H

#include "train/train.h"

/*
 * Points for one set of interactions, of ALS or of a training on a part of them, kept for
 * the next training on the same.
 * All zero at first; mr_begin_free() gives the memory back.
 */
typedef struct MrBeginning
{
	const MrInteractions *of;	/* of which they are; NULL: none yet */
	int32		dimensions;
	bool		item_bias;
	bool		is_given;		/* not of ALS: for a training with any `start` */
	float	   *users;			/* [n_users][dimensions] */
	float	   *items;			/* [n_items][dimensions] */
} MrBeginning;

extern void mr_begin_check(MrRun *run);
extern Size mr_begin_bytes(const MrRun *run, const MrHyper *hyper, const MrInteractions *x);
extern void mr_begin_weights(MrRun *run, const MrHyper *hyper, MrInteractions *x);
extern void mr_begin_make(MrRun *run, const MrHyper *hyper, const MrInteractions *x, MrBeginning *beginning);
extern void mr_begin_points(MrRun *run, const MrHyper *hyper, const MrInteractions *x,
							const MrBeginning *beginning, MrTrainer *trainer);
extern bool mr_begin_pass(MrBeginning *beginning, const MrInteractions *x, const MrHyper *hyper);
extern void mr_begin_at(MrBeginning *beginning, const MrInteractions *x, const MrHyper *hyper, float *users, float *items);
extern void mr_begin_free(MrBeginning *beginning);

#endif							/* MR_BEGIN_H */
