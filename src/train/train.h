/*
 * train.h
 *		A training run: from a model's name to a new version.
 *
 *	train():	begin | read | fit | publish				one transaction
 *	retrain():	begin, read | commit | fit, a commit per epoch | publish | commit
 *
 *	begin	 run.c		model, options, run lock
 *	read	 run.c		interactions -> MrDataset, as the calling role; features.c the feature tables;
 *						warm.c the points to start from
 *	fit		 fit.c		recipe, choice by validation, epochs -> points; training.c with workers
 *	publish	 publish.c	version tables, catalogue rows, swap
 *
 * Everything a run holds lives in run->context: in retrain() a child of the
 * portal's context, so that it survives the commits.
 */
#ifndef MR_TRAIN_H
#define MR_TRAIN_H

#include "data/dataset.h"
#include "feature/feature.h"
#include "model/ranking.h"
#include "model/trainer.h"
#include "portability/instr_time.h"
#include "store/version.h"
#include "train/options.h"

/* What the points of a fit are worth on the validation split. */
typedef struct MrValidation
{
	bool		done;
	int64		users;
	MrMetrics	at10;			/* in a search: at its k */
	double		judged_ndcg;	/* what candidates and epochs are judged by, fit.c */
	int64		posts;			/* with tags: held-out posts */
	MrMetrics	tags_at10;		/* of the tags of these */
} MrValidation;

typedef struct MrTrialRun MrTrialRun;	/* fit_internal.h */

/* One validation split; see holdout.c. */
typedef struct MrHoldout
{
	MrInteractions train;		/* without the held-out pairs */
	MrInteractions held_out;	/* at most one per user */
	int64		users;			/* that have one */
	MrPosts		train_posts;	/* with tags: without those of the held-out pairs */
	MrPosts		held_posts;		/* those */
} MrHoldout;

/* What the tower of one side leaves; nothing without features. */
typedef struct MrSideOutput
{
	float	   *points;			/* [rows of features without interactions][dimensions] */
	uint8	   *tower;			/* stored form (model/embedder.h) */
	Size		bytes;
} MrSideOutput;

typedef struct MrRun
{
	MemoryContext context;
	bool		commits;		/* retrain: commit between the phases and after each epoch */
	bool		quiet;			/* evaluate: no epoch log, nothing is published */
	bool		warm_start;		/* asked for */
	struct MrWarm *warm;		/* what it starts from (warm.h); NULL: at random */
	const char *cold_because;	/* warm_start was asked for and is not possible */
	MrModel    *model;
	Jsonb	   *given;			/* hyper-parameters that the user had set when the run began */
	MrOptions	options;
	MrRunLock	lock;
	int32		version;		/* number of the version to be */
	instr_time	start;

	MrDataset  *data;
	MrFeatureTable *features[2];	/* by MrSide; NULL: none */

	MrHyper		hyper;			/* as chosen by the recipe and the validation */
	MrTower		tower;
	float	   *users;			/* [n_users][dimensions] */
	float	   *items;			/* [n_items][dimensions] */
	MrSideOutput output[2];		/* by MrSide */
	float	   *tags;			/* [n_tags][dimensions], NULL without tags */
	int32		stop_epoch;		/* evaluate: where the version's training stopped, 0: at the end of its schedule */
	int32		epochs;			/* of the training that gave the points */
	double		loss;			/* of its last epoch */
	MrValidation validation;
	MrValidation plain;			/* the same without features, if there are some */
	MrHoldout	holdout;		/* the validation split, if there was one */
	int32		log_step;		/* rows written to the epoch log */
	Size		memory_needed;	/* the run's peak, without workers */
	int			workers;		/* of the last training */
	bool		shortage_told;	/* the user knows that they are fewer than asked for */
	MrTrialRun *trial;			/* tune: the trial that is trained; NULL: an ordinary run */

	bool		active;			/* the views serve the version */
	int64		user_rows;		/* rows of users' own that were taken over */
	ErrorData  *pending_error;	/* caught by the poll callback, thrown when the core has returned */
} MrRun;

/* model_sql.c */
extern Datum mr_result_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls);
extern const char *mr_name_argument(FunctionCallInfo fcinfo, int n);
extern void mr_check_column_options(const char *tag_column, const char *time_column, Jsonb *stored);
extern void mr_model_set_options(const MrModel *model, Jsonb *options);
extern void mr_model_source(const MrModel *model, MrDatasetSource *source);

/* run.c */
extern void mr_lock_run_or_fail(MrRunLock *lock, const MrModel *model, bool session);
extern MrRun *mr_run_begin(const char *name, bool commits);
extern Oid	mr_column_collation(Oid relation, const char *column);
extern void mr_check_views(const MrModel *model);
extern void mr_run_check_source(MrRun *run);
extern void mr_run_read(MrRun *run);
extern Size mr_training_memory_left(Size used);
extern void mr_check_training_memory(Size needed, const char *what);
extern bool mr_run_poll(void *arg);
extern void mr_run_check_status(MrRun *run, MrStatus status);
extern int32 mr_run_judged_k(const MrRun *run);
extern void mr_run_log_epoch(MrRun *run, MrEpochRecord *record);

/* features.c */
extern bool mr_run_feature_source(const MrRun *run, MrSide side, MrFeatureSource *source);
extern void mr_run_read_features(MrRun *run);

/* holdout.c */
extern Size mr_holdout_bytes(const MrInteractions *x);
extern void mr_holdout_make(const MrInteractions *x, double fraction, const uint8 *eligible, uint64 seed,
							MemoryContext context, MrHoldout *holdout);

/* holdout_posts.c */
extern Size mr_holdout_posts_bytes(const MrPosts *posts);
extern void mr_holdout_posts_make(const MrPosts *posts, MemoryContext context, MrHoldout *holdout);

/* validate_tags.c */
extern Size mr_validate_tags_bytes(const MrHyper *hyper, const MrPosts *posts, int64 n_held);
extern void mr_validate_tags(MrRun *run, const MrTower *tower, const MrPosts *held_out,
							 const float *users, const float *items, const float *tags, MrValidation *validation);

/* fit.c */
extern void mr_run_fit(MrRun *run);

/* publish.c */
extern void mr_run_publish(MrRun *run);

#endif							/* MR_TRAIN_H */
