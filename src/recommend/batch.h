/*
 * batch.h
 *		The answers of many users at once: what recommend_all() and
 *		recommend_all_into() share.
 *
 *	mr_batch_open()		batch.c			arguments; reads everything, once:
 *						batch_items.c	points of the items, in the order of their ids
 *						batch_users.c	who is answered; stored points; histories; live points
 *	mr_batch_next()		batch_block.c	a block of users: their lists (model/nearest.h)
 *						batch_crew.c	the same with background workers
 *
 * Everything is read by the first call, as the calling role, under one snapshot and
 * of one version; the blocks need no SQL.  What is held for long is counted against
 * metricrec.training_memory before it is allocated, what a block needs against work_mem.
 */
#ifndef MR_BATCH_H
#define MR_BATCH_H

#include "data/dataset.h"
#include "model/nearest.h"
#include "recommend/query.h"

/* What is known of a user. */
#define MR_USER_HAS_POINT 1
#define MR_USER_TRAINED 2		/* on interactions: no new user */

/* A block of users: one after the other in the order of the answer. */
typedef struct MrBatchBlock
{
	int32		first;			/* in MrBatch.order */
	int32		n;
	int32		capacity;		/* users that the arrays have room for */
	float	   *points;			/* [n][dimensions] */
	MrInteractions left_out;	/* of these users, items in the rows of item_points */
	MrInteractions candidates;	/* likewise, if the candidates are pairs */
	MrTopItem  *lists;			/* [n][length] */
	int32	   *counts;			/* [n] */
} MrBatchBlock;

typedef struct MrBatch
{
	MrQuery    *query;
	Oid			users_relation; /* InvalidOid: all users */
	MemoryContext context;		/* of everything here */
	MrBudget	budget;

	/* items: rows of the map are in the order of the ids */
	MrIdMap    *items;
	float	   *item_points;	/* [items][dimensions]; once the users have theirs, of the candidates alone */
	int64		item_capacity;
	bool	   *is_candidate;	/* [items], or NULL: all are */
	int32	   *place;			/* [items] row in item_points, -1: no candidate; NULL: all are */
	int32	   *item_row;		/* the other way round; NULL likewise */
	int32		n_candidates;

	/* users */
	MrIdMap    *users;
	int32		n_sorted;		/* the first rows, in the order of the ids */
	float	   *user_points;	/* [users][dimensions] */
	uint8	   *user_flags;		/* [users] MR_USER_... */
	int64		user_capacity;
	MrHistories *histories;		/* NULL: not read */
	bool		live;			/* points are pooled from the histories */
	MrInteractions *pairs;		/* candidates of each user, or NULL */
	int32	   *order;			/* [n_order] rows of the users who are answered */
	int32		n_order;

	/* blocks */
	MrNearestInput in;			/* the items' part is filled */
	MrBatchBlock block;
	int			blocks;			/* done so far */
	void	   *scratch;		/* of mr_nearest() */
	Size		scratch_bytes;
	bool		no_crew;		/* workers could not be had */
	bool		reported;		/* why not */
} MrBatch;

/* batch.c */
extern MrBatch *mr_batch_open(MemoryContext parent, int64 k, const char *model, bool exclude_seen, Oid users, Oid candidates);
extern void *mr_batch_grow(MrBatch *batch, void *array, int64 from, int64 to, Size size);
extern Datum mr_batch_user(const MrBatch *batch, int32 i);
extern Datum mr_batch_item(const MrBatch *batch, const MrTopItem *item);

/* batch_items.c */
extern void mr_batch_read_items(MrBatch *batch);
extern void mr_batch_keep_candidates(MrBatch *batch);

/* batch_users.c */
extern void mr_batch_read_users(MrBatch *batch);

/* batch_points.c */
extern void mr_batch_make_points(MrBatch *batch);

/* batch_block.c */
extern bool mr_batch_next(MrBatch *batch);
extern bool mr_batch_poll(void *arg);

/* batch_crew.c */
extern bool mr_batch_run_crew(MrBatch *batch);

#endif							/* MR_BATCH_H */
