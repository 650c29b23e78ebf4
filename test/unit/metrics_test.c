/*
 * metrics_test.c
 *		Every metric against values worked out by hand.
 *
 * One dimension, so that distances can be read off: user u is at the origin,
 * item j at the place written below.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/ranking.h"
#include "unit.h"

static bool
near(double a, double b)
{
	return fabs(a - b) < 1e-12;
}

/*
 * Five items at 1 2 3 4 5 and four users at 0, so that item j has rank j + 1
 * for everybody.
 *
 *	user 0	held out items 0 and 3					 ranks 1, 4
 *	user 1	held out item 2, and one unknown item	 rank 3, R = 2
 *	user 2	nothing held out: not evaluated
 *	user 3	two unknown held-out items				 R = 2, no hit possible
 *	+ one user whom the model does not know			 => 4 users
 *
 * k = 3
 *	user 0: hits 1 (rank 1).  recall 1/2, precision 1/3, mrr 1,
 *		ndcg = 1 / (1 + 1/log2 3) = 1 / 1.630929753571457 = 0.613147192765...
 *		map  = (1/1) / min(3, 2) = 1/2
 *	user 1: hits 1 (rank 3).  recall 1/2, precision 1/3, mrr 1/3,
 *		ndcg = (1/log2 4) / 1.6309... = 0.5 / 1.6309... = 0.306573596382...
 *		map  = (1/3) / 2 = 1/6
 *	user 3 and the unknown user: 0 each
 *	means over 4: hit_rate 2/4, recall 1/4, precision (2/3)/4 = 1/6,
 *		ndcg 0.919720789148.../4, map (1/2 + 1/6)/4 = 1/6, mrr (4/3)/4 = 1/3
 *
 * Lists of users 0, 1, 3 at k = 3: items 0 1 2 each.
 *	coverage 3/5; counts 8 4 2 (1 0): popularity (8+4+2)/3 = 14/3
 *	novelty with 8 training users: (0 + 1 + 2)/3 = 1
 *
 * k = 1
 *	user 0: hit. recall 1/2, precision 1, ndcg 1 / 1 = 1, map 1 / min(1,2) = 1, mrr 1
 *	means over 4: 1/4, 1/8, 1/4, 1/4, 1/4, 1/4; coverage 1/5, popularity 8, novelty 0
 *
 * k = 5
 *	user 0: ranks 1, 4. recall 1, precision 2/5, mrr 1,
 *		map = (1/1 + 2/4) / min(5, 2) = 3/4
 *		ndcg = (1 + 1/log2 5) / (1 + 1/log2 3)
 *	user 1: as before, precision 1/5
 *	novelty (0 + 1 + 2 + 3 + 3)/5 = 9/5: nobody took item 4, counted as one
 */
static const float places[] = {1, 2, 3, 4, 5};
static const float origin[] = {0, 0, 0, 0};
static int64_t start[] = {0, 2, 3, 3, 3};
static int32_t held[] = {0, 3, 2};
static const MrInteractions held_out = {4, 5, 3, start, held, NULL, NULL};
static const int32_t unknown[] = {0, 1, 0, 2};
static const int64_t counts[] = {8, 4, 2, 1, 0};
static const MrMetricsInput about = {counts, 8, 1};

static MrMetrics
metrics(const MrRankInput *in, const MrMetricsInput *input, int32_t k)
{
	size_t		bytes = mr_rank_bytes(in);
	void	   *memory = malloc(bytes);
	int32_t		ranks[8];
	int32_t		top[64];
	MrRankOutput out = {ranks, in->top_k > 0 ? top : NULL};
	MrMetrics	result;

	memset(top, 0xA5, sizeof(top));
	mr_rank(in, memory, bytes, NULL, NULL, &out);
	free(memory);
	memory = malloc(mr_metrics_bytes(in));
	mr_metrics(in, &out, input, k, memory, &result);
	free(memory);
	return result;
}

static void
test_worked_example(void)
{
	MrRankInput in = {1, origin, places, &held_out, unknown, NULL, NULL, NULL, 6};
	double		ideal = 1 + 1 / log2(3);
	MrMetrics	m = metrics(&in, &about, 3);

	ok(m.k == 3 && m.users == 4 && m.lists == 3, "k = 3: users and lists");
	ok(near(m.hit_rate, 0.5), "k = 3: hit_rate");
	ok(near(m.recall, 0.25), "k = 3: recall counts unknown items as misses");
	ok(near(m.precision, 1.0 / 6), "k = 3: precision");
	ok(fabs(m.ndcg - (0.613147192765 + 0.306573596382) / 4) < 1e-11, "k = 3: ndcg");
	ok(near(m.map, 1.0 / 6), "k = 3: map");
	ok(near(m.mrr, 1.0 / 3), "k = 3: mrr");
	ok(near(m.coverage, 0.6), "k = 3: coverage");
	ok(near(m.popularity, 14.0 / 3), "k = 3: popularity");
	ok(near(m.novelty, 1), "k = 3: novelty");

	m = metrics(&in, &about, 1);
	ok(near(m.hit_rate, 0.25) && near(m.recall, 0.125) && near(m.precision, 0.25), "k = 1: hit_rate, recall, precision");
	ok(near(m.ndcg, 0.25) && near(m.map, 0.25) && near(m.mrr, 0.25), "k = 1: ndcg, map, mrr");
	ok(near(m.coverage, 0.2) && near(m.popularity, 8) && near(m.novelty, 0), "k = 1: lists");

	m = metrics(&in, &about, 5);
	ok(near(m.recall, (1 + 0.5) / 4) && near(m.precision, (0.4 + 0.2) / 4), "k = 5: recall, precision");
	ok(near(m.map, (0.75 + 1.0 / 6) / 4), "k = 5: map with two hits");
	ok(near(m.ndcg, ((1 + 1 / log2(5)) / ideal + 0.5 / ideal) / 4), "k = 5: ndcg with two hits");
	ok(near(m.coverage, 1) && near(m.popularity, 3) && near(m.novelty, 1.8), "k = 5: lists, an item nobody took");

	/* Six wanted, five there: precision still divides by k, lists by their length. */
	m = metrics(&in, &about, 6);
	ok(near(m.precision, (2.0 / 6 + 1.0 / 6) / 4) && near(m.popularity, 3), "k = 6: fewer candidates than k");

	m = metrics(&in, &about, 7);
	ok(isnan(m.coverage) && isnan(m.popularity) && isnan(m.novelty) && near(m.recall, 1.5 / 4),
	   "k beyond the lists that were kept: no list metrics");
	in.top_k = 0;
	m = metrics(&in, &about, 3);
	ok(isnan(m.coverage) && near(m.hit_rate, 0.5), "no lists kept");
}

/*
 * Ties: items 0 and 2 share a place, the held-out one (row 0) is listed first
 * but has rank 2.  mrr 1/2, hit_rate at 1 is 0, at 2 it is 1.
 */
static void
test_ties(void)
{
	static const float tied[] = {1, 2, 1};
	int64_t		one[] = {0, 1};
	int32_t		first[] = {0};
	MrInteractions h = {1, 3, 1, one, first, NULL, NULL};
	MrMetricsInput input = {counts, 8, 0};
	MrRankInput in = {1, origin, tied, &h, NULL, NULL, NULL, NULL, 2};
	MrMetrics	m = metrics(&in, &input, 1);

	ok(near(m.hit_rate, 0), "a tie is lost");
	m = metrics(&in, &input, 2);
	ok(near(m.hit_rate, 1) && near(m.mrr, 0.5) && near(m.precision, 0.5) && near(m.map, 0.5) &&
	   near(m.ndcg, 1 / log2(3)), "a tie is lost: rank 2");
}

/* Leave-one-out: precision = hit_rate / k, recall = hit_rate, map = mrr. */
static void
test_leave_one_out(void)
{
	int64_t		four[] = {0, 1, 2, 3, 4};
	int32_t		last[] = {0, 1, 4, 2};
	MrInteractions h = {4, 5, 4, four, last, NULL, NULL};
	MrMetricsInput input = {counts, 8, 0};
	MrRankInput in = {1, origin, places, &h, NULL, NULL, NULL, NULL, 3};
	MrMetrics	m = metrics(&in, &input, 3);

	ok(near(m.hit_rate, 0.75) && near(m.recall, m.hit_rate) && near(m.precision, m.hit_rate / 3) &&
	   near(m.map, m.mrr) && near(m.mrr, (1 + 1.0 / 2 + 1.0 / 3) / 4), "one held-out item each");
}

static void
test_nobody(void)
{
	int64_t		none[] = {0, 0};
	MrInteractions h = {1, 5, 0, none, NULL, NULL, NULL};
	MrMetricsInput input = {counts, 8, 0};
	MrRankInput in = {1, origin, places, &h, NULL, NULL, NULL, NULL, 3};
	MrMetrics	m = metrics(&in, &input, 3);

	ok(m.users == 0 && isnan(m.hit_rate) && isnan(m.ndcg) && isnan(m.coverage), "nobody to evaluate: NaN");
	input.unknown_users = 2;
	m = metrics(&in, &input, 3);
	ok(m.users == 2 && m.hit_rate == 0 && m.mrr == 0 && isnan(m.novelty), "unknown users only: misses");
}

static bool
always(void *arg)
{
	return true;
}

/* A poll that says stop is obeyed. */
static void
test_stops(void)
{
	MrRankInput in = {1, origin, places, &held_out, unknown, NULL, NULL, NULL, 6};
	MrMetricsInput input = about;
	MrRankOutput out = {(int32_t[8]) {1, 4, 3}, NULL};
	void	   *memory = malloc(mr_metrics_bytes(&in));
	MrMetrics	m;

	ok(mr_metrics(&in, &out, &input, 3, memory, &m) == MR_OK, "without a poll it does not stop");
	input.poll = always;
	ok(mr_metrics(&in, &out, &input, 3, memory, &m) == MR_STOPPED, "stops when it is asked to");
	free(memory);
}

int
main(void)
{
	test_worked_example();
	test_ties();
	test_leave_one_out();
	test_nobody();
	test_stops();
	return unit_done();
}
