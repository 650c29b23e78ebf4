/*
 * metrics.c
 *		Ranks to metrics.  Formulas in ranking.h, worked examples in
 *		test/unit/metrics_test.c.
 *
 * A user's gain is spread over R_u = known + unknown held-out items: an item
 * that the model cannot name is a miss, not a smaller question.  A user whom
 * the model does not know is a miss in every mean, whatever its R_u.
 *
 * Memory: one row per held-out item of the busiest user (to put its ranks in
 * order) and one byte per item (to count distinct items).
 */
#include <math.h>
#include <string.h>

#include "math/topk.h"
#include "model/ranking.h"

/* Users between two polls, with lists of some thousand items. */
#define POLL_USERS 64

/* Sums over the evaluated users of one user's values. */
typedef struct UserSums
{
	double		hit_rate, recall, precision, ndcg, map, mrr;
} UserSums;

static int64_t busiest_user(const MrInteractions *held_out);
static void add_user(const int32_t *ranks, int64_t known, int64_t unknown, int32_t k,
					 MrTopItem *memory, UserSums *sums);
static MrStatus list_metrics(const MrRankInput *in, const MrRankOutput *ranked, const MrMetricsInput *counts,
							 int32_t k, uint8_t *seen, MrMetrics *result);

/* Bytes of `memory` for mr_metrics(), SIZE_MAX if they cannot be counted. */
size_t
mr_metrics_bytes(const MrRankInput *in)
{
	size_t		most = (size_t) busiest_user(in->held_out);

	if (most > (SIZE_MAX - (size_t) in->held_out->n_items) / sizeof(MrTopItem))
		return SIZE_MAX;
	return most * sizeof(MrTopItem) + (size_t) in->held_out->n_items;
}

/*
 * Metrics at k >= 1 of the ranks that mr_rank() made of `in`.  `memory` has
 * mr_metrics_bytes() bytes, aligned for a double.  O(n_pairs log n_pairs +
 * users * k).  Returns MR_OK, or MR_STOPPED when counts->poll said so.
 */
MrStatus
mr_metrics(const MrRankInput *in, const MrRankOutput *ranked, const MrMetricsInput *counts,
		   int32_t k, void *memory, MrMetrics *result)
{
	const MrInteractions *held_out = in->held_out;
	MrTopItem  *order = memory;
	uint8_t    *seen = (uint8_t *) (order + busiest_user(held_out));
	UserSums	sums = {0};
	double		users;

	memset(result, 0, sizeof(*result));
	result->k = k;
	result->users = counts->unknown_users;
	for (int32_t u = 0; u < held_out->n_users; u++)
	{
		int64_t		start = held_out->user_start[u];
		int64_t		known = held_out->user_start[u + 1] - start;
		int64_t		unknown = in->unknown_items ? in->unknown_items[u] : 0;

		if (u % POLL_USERS == 0 && counts->poll && counts->poll(counts->arg))
			return MR_STOPPED;
		if (known + unknown == 0)
			continue;
		result->users++;
		if (known > 0)
			add_user(ranked->ranks + start, known, unknown, k, order, &sums);
	}

	users = result->users > 0 ? (double) result->users : NAN;
	result->hit_rate = sums.hit_rate / users;
	result->recall = sums.recall / users;
	result->precision = sums.precision / users;
	result->ndcg = sums.ndcg / users;
	result->map = sums.map / users;
	result->mrr = sums.mrr / users;
	return list_metrics(in, ranked, counts, k, seen, result);
}

/* The most held-out items that one user has. */
static int64_t
busiest_user(const MrInteractions *held_out)
{
	int64_t		most = 0;

	for (int32_t u = 0; u < held_out->n_users; u++)
	{
		int64_t		n = held_out->user_start[u + 1] - held_out->user_start[u];

		if (n > most)
			most = n;
	}
	return most;
}

/*
 * Add one user's values.
 *	 ranks	[known], in the order of the item rows
 *	 order	[known], scratch
 */
static void
add_user(const int32_t *ranks, int64_t known, int64_t unknown, int32_t k,
		 MrTopItem *order, UserSums *sums)
{
	int64_t		relevant = known + unknown;
	int64_t		reachable = relevant < k ? relevant : k;
	int64_t		hits;
	double		gain = 0;
	double		ideal = 0;
	double		precisions = 0;
	MrTopK		top;

	mr_topk_init(&top, order, known);
	for (int64_t i = 0; i < known; i++)
	{
		if (ranks[i] <= k)
			mr_topk_push(&top, ranks[i], i);
	}
	hits = top.n;
	if (hits == 0)
		return;
	mr_topk_sort(&top);

	for (int64_t i = 0; i < hits; i++)
	{
		gain += 1 / log2(order[i].distance + 1);
		precisions += (double) (i + 1) / order[i].distance;
	}
	for (int64_t i = 1; i <= reachable; i++)
		ideal += 1 / log2((double) i + 1);

	sums->hit_rate += 1;
	sums->recall += (double) hits / (double) relevant;
	sums->precision += (double) hits / (double) k;
	sums->ndcg += gain / ideal;
	sums->map += precisions / (double) reachable;
	sums->mrr += 1 / order[0].distance;
}

/*
 * Coverage, popularity and novelty of the first k of each list.  An item that
 * nobody took in training is as novel as one that one user took: -log2 of 0
 * would make the mean infinite.
 */
static MrStatus
list_metrics(const MrRankInput *in, const MrRankOutput *ranked, const MrMetricsInput *counts,
			 int32_t k, uint8_t *seen, MrMetrics *result)
{
	const MrInteractions *held_out = in->held_out;
	double		training_users = (double) counts->n_training_users;
	int64_t		distinct = 0;
	double		popularity = 0;
	double		novelty = 0;

	result->coverage = result->popularity = result->novelty = NAN;
	if (ranked->top == NULL || in->top_k < k)
		return MR_OK;

	memset(seen, 0, (size_t) held_out->n_items);
	for (int32_t u = 0; u < held_out->n_users; u++)
	{
		const int32_t *list = ranked->top + (size_t) u * in->top_k;
		double		user_popularity = 0;
		double		user_novelty = 0;
		int32_t		n = 0;

		if (u % POLL_USERS == 0 && counts->poll && counts->poll(counts->arg))
			return MR_STOPPED;
		if (held_out->user_start[u] == held_out->user_start[u + 1] &&
			!(in->unknown_items && in->unknown_items[u] > 0))
			continue;
		for (; n < k && list[n] >= 0; n++)
		{
			double		count = (double) counts->item_counts[list[n]];

			distinct += !seen[list[n]];
			seen[list[n]] = 1;
			user_popularity += count;
			user_novelty -= log2((count > 1 ? count : 1) / training_users);
		}
		if (n == 0)
			continue;			/* nothing is left to recommend to this user */
		result->lists++;
		popularity += user_popularity / n;
		novelty += user_novelty / n;
	}
	if (result->lists == 0)
		return MR_OK;
	result->coverage = (double) distinct / (double) held_out->n_items;
	result->popularity = popularity / (double) result->lists;
	result->novelty = novelty / (double) result->lists;
	return MR_OK;
}
