/*
 * evaluate.h
 *		What the files evaluate*.c share.
 *
 *	evaluate.c			arguments, the test relation, ranking, the result
 *	evaluate_points.c	the active version's points as matrices
 *	evaluate_holdout.c	held-out pairs where there is no test relation
 */
#ifndef MR_EVALUATE_H
#define MR_EVALUATE_H

#include "train/train.h"

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
} MrEvaluation;

/* One side of the active version. */
typedef struct MrPointTable
{
	MrIdMap    *ids;
	int32		dimensions;
	float	   *points;			/* [rows][dimensions] */
	int64	   *interactions;	/* [rows] positives of the training */
} MrPointTable;

/* evaluate.c */
extern void mr_evaluate_check_memory(MemoryContext context, Size more);

/* evaluate_points.c */
extern void mr_points_read(const MrModel *model, MrSide side, MemoryContext context, MrPointTable *table);

/* evaluate_holdout.c */
extern void mr_evaluate_prepare_holdout(MrEvaluation *evaluation);
extern void mr_evaluate_add_pairs(MrEvaluation *evaluation, const MrInteractions *pairs);

#endif							/* MR_EVALUATE_H */
