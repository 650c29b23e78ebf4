/*
 * ranking.h
 *		Ranks of held-out items and the metrics made of them.
 *
 * rank.c computes, for every (user, held-out item) pair, the item's rank among
 * the user's candidates, by blocked GEMM:  s = 2 u.v - |v|^2  orders as -d^2.
 * With a scorer the ranks are those of its scores, user by user (rank_scores.c).
 * metrics.c turns ranks into hit_rate, recall, precision, ndcg, map, mrr and
 * top-k lists into coverage, popularity, novelty.
 *
 *		mr_rank(&in, memory, mr_rank_bytes(&in), poll, arg, &ranked)	once
 *		for each k
 *			mr_metrics(&in, &ranked, &counts, k, memory, &result)
 */
#ifndef MR_RANKING_H
#define MR_RANKING_H

#include "model/interactions.h"
#include "model/trainer.h"

/*
 * Scores in place of distances, for what has no points: larger is better, never
 * infinite, and what is not a number comes last.
 */
typedef struct MrScorer
{
	/* scores [n_items] of one user; MR_OK or MR_STOPPED */
	MrStatus	(*scores) (void *arg, int32_t user, float *scores, MrPoll poll, void *poll_arg);
	void	   *arg;
} MrScorer;

/*
 * What to rank.  All matrices share the users' and items' row numbers; a user
 * is evaluated if it has held-out items, known or unknown.
 *	 held_out   the positives to find; never masked, never negatives of their own
 *	 unknown_items  per user the number of held-out items that the model does not
 *				know: they can be in no list, so they count as misses; NULL: none
 *	 excluded, excluded_more   pairs left out of the ranking (seen in training),
 *				or NULL; a pair that is held out too stays in
 *	 candidates if given, a user's ranking is restricted to these and the held-out
 */
typedef struct MrRankInput
{
	int32_t		dimensions;
	const float *users;			/* [n_users][dimensions] */
	const float *items;			/* [n_items][dimensions] */
	const MrInteractions *held_out;
	const int32_t *unknown_items;	/* [n_users] or NULL */
	const MrInteractions *excluded;
	const MrInteractions *excluded_more;
	const MrInteractions *candidates;
	int32_t		top_k;			/* lists to keep for coverage ...; 0: none */
	int32_t		part;			/* only the users of this part of `parts` equal ones: several processes */
	int32_t		parts;			/* rank at once, into one output; 0: all users */
	const MrScorer *scorer;		/* NULL: ranked by the points above, else they are not looked at */
} MrRankInput;

/* The first user of a part. */
static inline int32_t
mr_rank_part(const MrRankInput *in, int32_t part)
{
	if (in->parts == 0)
		return part == in->part ? 0 : in->held_out->n_users;
	return (int32_t) ((int64_t) in->held_out->n_users * part / in->parts);
}

/*
 * Both arrays belong to the caller, who counts their bytes apart from
 * mr_rank_bytes().
 *
 *	 ranks	1 = first.  Ties with other items count against us, ties among the
 *			user's held-out items are broken by row number.
 *	 top	the list the user would see, nearest first: candidates that are not
 *			excluded and the held-out items.  Ties by row number.
 */
typedef struct MrRankOutput
{
	int32_t    *ranks;			/* [held_out->n_pairs] */
	int32_t    *top;			/* [n_users][top_k] item rows, -1 = none; not touched for users
								 * who are not evaluated; NULL if top_k = 0 */
} MrRankOutput;

/* rank.c */
extern size_t mr_rank_bytes(const MrRankInput *in);
extern MrStatus mr_rank(const MrRankInput *in, void *memory, size_t bytes,
						MrPoll poll, void *arg, MrRankOutput *out);
extern double mr_rank_distance(const float *u, const float *v, int32_t dimensions);

/*
 * What the list metrics and the means need besides the ranks.
 */
typedef struct MrMetricsInput
{
	const int64_t *item_counts; /* [n_items] training interactions of an item */
	int64_t		n_training_users;
	int64_t		unknown_users;	/* users with held-out items whom the model does not know */
	MrPoll		poll;			/* NULL: never stops */
	void	   *arg;
} MrMetricsInput;

/*
 * Metrics of one k, means over the evaluated users plus `unknown_users`
 * misses.  With R_u held-out items of user u, the unknown ones included, and
 * hits counted in the first k:
 *	 hit_rate  1 if any hit
 *	 recall    hits / R_u
 *	 precision hits / k
 *	 ndcg      SUM 1/log2(rank+1) / SUM_{i=1..min(k,R_u)} 1/log2(i+1)
 *	 map       SUM over hits of (hits so far / rank) / min(k, R_u)
 *	 mrr       1 / rank of the first hit, 0 if beyond k
 *	 coverage  distinct items in all lists / n_items
 *	 popularity mean over lists of the mean training count of their items
 *	 novelty   mean over lists of the mean -log2(count / n_training_users)
 * The last three are NaN if no list was kept (top_k < k, or no list has an
 * item); all are NaN if there is no user at all.
 */
typedef struct MrMetrics
{
	int32_t		k;
	int64_t		users;			/* unknown ones included */
	int64_t		lists;			/* that have at least one item */
	double		hit_rate, recall, precision, ndcg, map, mrr;
	double		coverage, popularity, novelty;
} MrMetrics;

/* metrics.c */
extern size_t mr_metrics_bytes(const MrRankInput *in);
extern MrStatus mr_metrics(const MrRankInput *in, const MrRankOutput *ranked, const MrMetricsInput *counts,
						   int32_t k, void *memory, MrMetrics *result);

#endif							/* MR_RANKING_H */
