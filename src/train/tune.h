/*
 * tune.h
 *		metricrec.tune: a search for hyper-parameters, and what its files share.
 *
 *	tune_sql.c		arguments, the result, the options that are set in the end
 *	tune_space.c	from jsonb to axes
 *	tune_draw.c		drawing trials
 *	tune.c			training the trials on one split, rung by rung; the choice
 *	store/search_catalog.c		rows of metricrec.search and trial
 *
 *	space	what is searched: axes, each a list of values or a range
 *	trial	a value for each axis; trial 1 has none, it is the model as it stands
 *	rung	see model/search.h
 */
#ifndef MR_TUNE_H
#define MR_TUNE_H

#include "model/search.h"
#include "store/search_catalog.h"
#include "train/fit_internal.h"

/* More hyper-parameters than there are. */
#define MR_MAX_AXES 64

/* One hyper-parameter of the space. */
typedef struct MrAxis
{
	const char *name;
	bool		given;			/* by the caller, else of the default space */
	bool		used;			/* a trial has a value of it */
	ErrorData  *refusal;		/* why one had not */
	int			n_values;		/* 0: the range */
	const char **values;		/* JSON texts; NULL = the recipe chooses */
	MrRange		range;			/* if relative, of what the recipe chooses for the trial, in multiples */
	bool		relative;
} MrAxis;

typedef struct MrSpace
{
	bool		with_default;	/* the default axes belong to it */
	Jsonb	   *found;			/* what the last search has set on the model; NULL: nothing */
	int			n_axes;
	MrAxis		axes[MR_MAX_AXES];	/* in the order of the table of options */
} MrSpace;

typedef struct MrTrial
{
	int32		number;			/* from 1 */
	const char *values[MR_MAX_AXES];	/* JSON texts by axis; NULL = not set */
	const char *tower;			/* JSON text: the tower that trial 1 chose, where the trial has none of its own */
	bool		towers;			/* both are tried: trial 1, if the user has set none */
	Jsonb	   *stored;			/* the model's options with these */
	MrOptions	options;		/* the same */
	int32		own_epochs;		/* of a whole training */
	int32		dimensions;
	bool		complete;		/* trained for all of them */
	double		value;			/* of the last rung; NaN: not trained, or diverged */
	double		checked;		/* on the second split; NaN: not done */
	MrTrialRecord *row;			/* of the last rung; NULL: not trained */
} MrTrial;

typedef struct MrTune
{
	MrRun	   *run;
	MrTrialRun	trial;
	MrSpace		space;
	bool		halving;
	bool		limited;
	double		limit;			/* seconds from run->start */
	uint64		seed;
	const char *metric;			/* as the caller has named it, or the default */
	Jsonb	   *base;			/* options of the model when the search began */
	int32		search;			/* number of the search */
	int32		n_trials;		/* trial 1 counted */
	MrTrial    *trials;
	double		rate;			/* seconds per epoch and dimension, the slowest training so far */
	double		validation;		/* seconds of one, the slowest so far */
	MrTrial    *best;
	bool		applied;
	List	   *rows;			/* MrTrialRecord *, in the order of training */
} MrTune;

/* tune_space.c */
extern void mr_space_parse(Jsonb *given, MrSpace *space);
extern void mr_space_add_default(MrSpace *space, const MrRun *run);
extern char *mr_space_value_in(Jsonb *options, const char *name);
extern Jsonb *mr_space_describe(const MrSpace *space);
extern Jsonb *mr_space_settings(const MrSpace *space, const MrTrial *trial);

/* tune_draw.c */
extern bool mr_trial_try(MrTune *tune, MrTrial *trial, ErrorData **refusal);
extern char *mr_trial_recipe(const MrTune *tune, const MrTrial *trial);
extern void mr_trials_draw(MrTune *tune, Size more);

/* tune.c */
extern void mr_tune_run(MrTune *tune);
extern Jsonb *mr_tune_best_options(MrTune *tune);

#endif							/* MR_TUNE_H */
