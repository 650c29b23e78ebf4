/*
 * warm.h
 *		A training that starts from the version that is served.
 *
 *	 warm_fit.c		does the version fit, and what is kept of its recipe
 *	 warm.c			its points, its networks, the schedule
 */
#ifndef MR_WARM_H
#define MR_WARM_H

#include "train/train.h"

typedef struct MrWarm
{
	int32		version;		/* that it starts from */
	MrTower		tower;			/* of that version */
	Jsonb	   *recipe;			/* of that version */
	int32		full_epochs;	/* of the last full training */
	MrHyper		hyper;			/* of a full training with what is kept */
	bool		free_users;		/* they have points of their own, */
	bool		keeps_users;	/* and begin there, not at their items */
	int32		stop;			/* epochs that the version was trained for, which may be fewer than its recipe's; 0: all */
	bool		through_als;	/* ALS goes on from the version's items, and the whole recipe from there */
	MrStart		start;
	int32		known_items;	/* items that the version has */
	int64		new_pairs;		/* that it was not trained on */
	uint8	   *grown;			/* [n_users] the latest pair is new; NULL: without times nobody knows */
	MrEncoder  *encoder[2];		/* of the version's features, by MrSide; NULL: none */
} MrWarm;

/* Sweeps of an ALS that goes on from the items of a version. */
#define MR_WARM_SWEEPS 2

/* Does the trainer of this run begin at the points of the version themselves? */
static inline bool
mr_warm_is_direct(const MrRun *run)
{
	return run->warm && !run->warm->through_als;
}

/* warm.c */
extern void mr_warm_prepare(MrRun *run);
extern Size mr_warm_begin_bytes(const MrRun *run, const MrInteractions *x);
extern void mr_warm_begin(MrRun *run, const MrInteractions *x, MrTrainer *trainer);
extern void mr_warm_begin_als(MrRun *run, MrTrainer *trainer);
extern int32 mr_warm_validated_users(const MrRun *run);

/* warm_fit.c: NULL, or why it does not fit */
extern const char *mr_warm_fits(MrRun *run);
extern void mr_warm_keep(MrRun *run);
extern const char *mr_warm_check_known(const MrRun *run);
extern void mr_warm_schedule(MrRun *run);
extern Jsonb *mr_warm_describe(const MrRun *run);
extern int32 mr_warm_full_epochs(Jsonb *recipe, int32 epochs);

#endif							/* MR_WARM_H */
