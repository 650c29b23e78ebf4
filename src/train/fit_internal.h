/*
 * fit_internal.h
 *		What fit.c shares with fit_recipe.c and fit_memory.c; and what tune.c needs of it: one setting of the
 *		hyper-parameters, trained on a split and judged.
 *
 *		run->trial = &trial
 *		for each setting
 *			run->options = ...
 *			mr_fit_check_memory(run, mr_fit_recipe(run), true, more)
 *		for each setting
 *			run->options = ..., trial.stage, trial.epochs
 *			mr_fit_trial(run, &holdout)
 *			value = mr_trial_value(&trial, &run->validation)
 */
#ifndef MR_FIT_INTERNAL_H
#define MR_FIT_INTERNAL_H

#include "train/begin.h"
#include "train/train.h"

/* With fewer held-out positives than this a comparison is noise. */
#define MR_VALIDATION_MIN_USERS 50

/* What a trial is judged by. */
typedef enum MrMetricKind
{
	MR_METRIC_NDCG, MR_METRIC_HIT_RATE, MR_METRIC_RECALL, MR_METRIC_PRECISION, MR_METRIC_MAP, MR_METRIC_MRR
} MrMetricKind;

/* A search's part of a run: run->trial. */
struct MrTrialRun
{
	const char *stage;			/* of the epoch log */
	int32		epochs;			/* a setting with more of its own is trained for these */
	MrMetricKind metric;
	bool		of_tags;		/* of the tags of held-out posts, else of held-out items */
	int32		k;
	bool		share_beginning;	/* no trial has settings of ALS of its own */
	MrBeginning beginnings[2];	/* by item_bias: what a trial has begun with, for the next one */
	int64		validations;	/* counted by fit.c, over all trials */
	double		validation_seconds;
};

/* fit_recipe.c */
extern MrHyper mr_fit_recipe_with_tower(const MrRun *run, MrTowerKind tower);
extern bool mr_fit_recipe(MrRun *run);
extern double mr_fit_fraction(const MrRun *run, bool towers);
extern double mr_fit_trial_fraction(const MrRun *run);

/* fit.c */
extern void mr_fit_trial(MrRun *run, const MrHoldout *holdout);

/* fit_memory.c */
extern MrRankInput mr_fit_rank_input(const MrHyper *hyper, const MrHoldout *holdout);
extern void mr_fit_check_memory(MrRun *run, bool towers, bool validate, Size more);

/* tune.c */
extern double mr_trial_value(const MrTrialRun *trial, const MrValidation *validation);

#endif							/* MR_FIT_INTERNAL_H */
