/*
 * rank_run.h
 *		What rank.c, rank_scan.c and rank_scores.c share: one run and the users of its block.
 */
#ifndef MR_RANK_RUN_H
#define MR_RANK_RUN_H

#include "math/topk.h"
#include "model/ranking.h"

#define POLL_WORK (1 << 21)		/* multiplications between two polls: about 2 ms */

/*
 * One user of the block.  Position p of `held` is the p-th nearest held-out
 * item; others[p] counts the items that come between position p - 1 and p.
 */
typedef struct RankSlot
{
	int32_t		user;
	int32_t		n_held;
	MrTopItem  *held;			/* [n_held] distance and pair number, nearest first */
	int32_t    *others;			/* [n_held] */
	double		norm;			/* |u|^2 */
	MrTopK		top;			/* the list; rows are item rows */
} RankSlot;

typedef struct RankRun
{
	const MrRankInput *in;
	MrRankOutput *out;
	MrPoll		poll;
	void	   *arg;
	bool		stopped;
	int64_t		work;			/* since the last poll */

	/* Sizes of the blocks, then the caller's memory cut into arrays. */
	int32_t		user_block;
	int32_t		item_block;
	int32_t		list;			/* min(top_k, n_items) */
	int64_t		busiest;		/* held-out items of the busiest user */
	int64_t		held_block;
	RankSlot   *slots;			/* [user_block] */
	float	   *users;			/* [user_block][dimensions] */
	float	   *scores;			/* [user_block][item_block] */
	float	   *norms;			/* [n_items] |v|^2 */
	float	   *row;			/* [n_items] with a scorer: the current user's scores */
	MrTopItem  *held;			/* [held_block] */
	int32_t    *others;			/* [held_block] */
	float	   *low;			/* [busiest] s(h) - e of one user and item block */
	float	   *high;			/* [busiest] s(h) + e */
	MrTopItem  *lists;			/* [user_block][list] */
} RankRun;

/*
 * Count work and poll when enough of it is done.
 */
static inline void
tick(RankRun *run, int64_t work)
{
	run->work += work;
	if (run->work < POLL_WORK)
		return;
	run->work = 0;
	if (run->poll != NULL && run->poll(run->arg))
		run->stopped = true;
}

/* rank.c */
extern double mr_rank_pair_distance(RankRun *run, int32_t user, int32_t item);
extern int32_t mr_rank_position(const RankSlot *slot, double d);

/* rank_scores.c */
extern void mr_rank_fetch_scores(RankRun *run, int32_t user);
extern void mr_rank_scores(RankRun *run, RankSlot *slot);

/* rank_scan.c */
extern void mr_rank_all_items(RankRun *run, int32_t n_slots);

#endif							/* MR_RANK_RUN_H */
