/*
 * search_catalog.h
 *		Rows of metricrec.search and metricrec.trial: what metricrec.tune has tried.
 *
 * The order of the columns here is that of the extension script.
 */
#ifndef MR_SEARCH_CATALOG_H
#define MR_SEARCH_CATALOG_H

#include "store/version.h"

enum
{
	MR_SEARCH_MODEL_ID = 1, MR_SEARCH_SEARCH, MR_SEARCH_METHOD, MR_SEARCH_METRIC, MR_SEARCH_K, MR_SEARCH_SEED,
	MR_SEARCH_SPACE, MR_SEARCH_TRIALS, MR_SEARCH_USERS, MR_SEARCH_ROLE, MR_SEARCH_STARTED, MR_SEARCH_DURATION,
	MR_SEARCH_APPLIED,
	MR_SEARCH_NATTS = MR_SEARCH_APPLIED
};

enum
{
	MR_TRIAL_MODEL_ID = 1, MR_TRIAL_SEARCH, MR_TRIAL_TRIAL, MR_TRIAL_RUNG, MR_TRIAL_EPOCHS, MR_TRIAL_OPTIONS,
	MR_TRIAL_VALUE, MR_TRIAL_CHECKED, MR_TRIAL_SECONDS, MR_TRIAL_BEST,
	MR_TRIAL_NATTS = MR_TRIAL_BEST
};

/* A search, when it begins. */
typedef struct MrSearchRecord
{
	const char *method;
	const char *metric;
	int32		k;
	int64		seed;
	Jsonb	   *space;
	int32		trials;			/* planned */
	int64		users;			/* of the validation split */
} MrSearchRecord;

/* One training of a trial. */
typedef struct MrTrialRecord
{
	int32		trial;
	int32		rung;
	int32		epochs;			/* up to the best one */
	Jsonb	   *options;		/* that the trial sets */
	double		value;			/* NaN, stored as NULL: it diverged */
	double		checked;		/* on the second split; NaN, stored as NULL: not done */
	double		seconds;
	bool		best;
} MrTrialRecord;

/* search_catalog.c */
extern Jsonb *mr_search_found(const MrModel *model);
extern int32 mr_search_begin(const MrModel *model, const MrSearchRecord *record);
extern void mr_search_end(const MrModel *model, int32 search, int32 trials, const Interval *duration, bool applied);
extern void mr_trial_write(const MrModel *model, int32 search, const MrTrialRecord *record);
extern void mr_trial_judge(const MrModel *model, int32 search, const MrTrialRecord *record);

#endif							/* MR_SEARCH_CATALOG_H */
