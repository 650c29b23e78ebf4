/*
 * evaluate.h
 *		What the files evaluate*.c share.
 *
 *	evaluate.c			arguments, the test relation, ranking, the result
 *	evaluate_points.c	the active version's points as matrices
 *	evaluate_holdout.c	held-out pairs where there is no test relation
 *	evaluate_tags.c		held-out posts and the ranks of their tags
 *	evaluate_compare.c	other recommenders on the same pairs
 */
#ifndef MR_EVALUATE_H
#define MR_EVALUATE_H

#include "nodes/execnodes.h"

#include "train/train.h"

/* The tags' part, if the model has tags and the held-out rows too. */
typedef struct MrTagEvaluation
{
	MrTower		tower;
	const float *points;		/* [n_tags][dimensions] */
	int32		n_tags;
	const MrPosts *held_out;	/* NULL: no tags are evaluated */
	const MrPosts *given;		/* of the training interactions, or NULL */
	int64		posts;			/* held out, unknown ones included */
	int64		unknown_posts;	/* the model does not know their user or their item */
	int64		unknown_tags;	/* taggings of known posts with unknown tags */
} MrTagEvaluation;

/* What is evaluated: points, ids, and pairs in their row numbers. */
typedef struct MrEvaluation
{
	MrRun	   *run;			/* model, options, memory, interrupts */
	MrRankInput in;
	MrIdMap    *users;
	MrIdMap    *items;
	int64	   *item_counts;	/* [items] training interactions */
	int64		n_training_users;
	int64		unknown_users;
	int64		unknown_items;	/* pairs of known users with unknown items */
	int64		evaluated;		/* users, unknown ones included */
	MrTagEvaluation tags;
} MrEvaluation;

/* One side of the active version. */
typedef struct MrPointTable
{
	MrIdMap    *ids;
	int32		dimensions;
	float	   *points;			/* [rows][dimensions] */
	int64	   *interactions;	/* [rows] positives of the training */
} MrPointTable;

/* Where rows of metrics go; recommender NULL: no column for it. */
typedef struct MrMetricRows
{
	ReturnSetInfo *rsinfo;
	const char *recommender;
} MrMetricRows;

/* evaluate.c */
extern void mr_evaluate_check_memory(MemoryContext context, Size more);
extern MrMappedPairs *mr_evaluate_load_pairs(MrEvaluation *evaluation, Oid relation, bool positives);
extern void mr_evaluate_begin(FunctionCallInfo fcinfo, MrEvaluation *evaluation, int32 **k, int *n_k);
extern void mr_evaluate_rank(MrEvaluation *evaluation, MemoryContext context, MrRankOutput *out);
extern void mr_evaluate_put(const MrMetricRows *rows, MrEvaluation *evaluation, MemoryContext context,
							const MrRankOutput *ranked, const int32 *k, int n_k);

/* evaluate_points.c */
extern void mr_points_read(const MrModel *model, MrSide side, MemoryContext context, MrPointTable *table);

/* evaluate_tags.c */
extern bool mr_evaluate_has_tags(const MrModel *model, Oid test);
extern void mr_evaluate_read_tags(MrEvaluation *evaluation, const MrDatasetSource *test,
								  const MrDatasetSource *interactions);
extern void mr_evaluate_take_tags(MrEvaluation *evaluation);
extern bool mr_evaluate_tags(MrEvaluation *evaluation, const int32 *k, int n_k, MrMetrics *metrics);

/* evaluate_holdout.c */
extern void mr_evaluate_prepare_holdout(MrEvaluation *evaluation);
extern void mr_evaluate_add_pairs(MrEvaluation *evaluation, const MrInteractions *pairs);

#endif							/* MR_EVALUATE_H */
