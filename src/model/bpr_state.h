/*
 * bpr_state.h
 *		The inside of BPR; nobody but bpr.c and the unit tests includes it.
 */
#ifndef MR_BPR_STATE_H
#define MR_BPR_STATE_H

#include "math/rowmath.h"
#include "model/bpr.h"
#include "model/points.h"
#include "util/rng.h"

struct MrBpr
{
	MrHyper		hyper;
	const MrInteractions *x;
	const MrRowMath *math;
	MrRng		rng;
	int32_t		width;			/* dimensions without the bias and the extra one */
	int32_t		stride;
	bool		started;
	int32_t		epoch;			/* epochs done */
	double		mean_weight;
	float	   *users;			/* [n_users][stride] zero behind the width */
	float	   *items;			/* [n_items][stride] */
	float	   *bias;			/* [n_items] */
	int32_t    *pair_user;		/* [n_pairs] */
	float	   *before;			/* [stride] the user's row before its step */
};

/* bpr.c */
extern MrStatus mr_bpr_start(MrBpr *bpr, MrPoll poll, void *arg);
extern double mr_bpr_step(MrBpr *bpr, int32_t user, int32_t liked, int32_t other, double weight, double rate);

#endif							/* MR_BPR_STATE_H */
