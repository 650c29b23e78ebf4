/*
 * diversity.c
 *		Last stage: k rows of a larger pool that are near to the query point and
 *		apart from each other.
 *
 * Maximal marginal relevance (Carbonell and Goldstein 1998) with distances in
 * both places.  Rows are chosen one by one; with S chosen so far, the next is
 *
 *		argmin over i not in S of
 *			(1 - diversity) * d(query, i) - diversity * min over s in S of d(i, s)
 *
 * so the first is the nearest, and diversity 0 is the order by distance.  The
 * first term is the distance that the function returns.  Distances between items
 * leave the bias coordinate out: two items are not diverse because one of them
 * is popular.  Ties go to the earlier row of the pool, which is in order.
 *
 * The pool is 5k rows, at least 50: time is pool * k distances, hence the limit
 * on k.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "math/vecmath.h"
#include "recommend/query.h"

#define POOL_FACTOR 5
#define POOL_LEAST 50

/* Rows to fetch so that k of them can be chosen. */
int64
mr_diversity_pool(int64 k)
{
	return Max(k * POOL_FACTOR, POOL_LEAST);
}

/*
 * Puts the k chosen rows first, in the order of the choice, and cuts the list.
 * Every row has its point; `dimensions` of its coordinates count.
 */
void
mr_diversity_choose(MrCandidateList *list, int64 k, double diversity, int dimensions)
{
	MrCandidate *rows = list->rows;
	double	   *apart;			/* of a row not chosen: distance to the nearest chosen */

	if (list->n == 0)
		return;
	apart = palloc(sizeof(double) * list->n);
	for (int64 i = 0; i < list->n; i++)
		apart[i] = 0;
	for (int64 chosen = 0; chosen < Min(k, list->n); chosen++)
	{
		int64		best = chosen;
		double		best_score = 0;
		MrCandidate row;

		CHECK_FOR_INTERRUPTS();
		for (int64 i = chosen; i < list->n; i++)
		{
			double		score;

			if (chosen > 0)
			{
				double		d = mr_l2_distance(rows[i].point, rows[chosen - 1].point, dimensions);

				apart[i] = chosen == 1 ? d : Min(apart[i], d);
			}
			score = (1 - diversity) * rows[i].distance - diversity * apart[i];
			if (i == chosen || score < best_score)
			{
				best = i;
				best_score = score;
			}
		}

		/* The rows between keep their order, for the ties. */
		row = rows[best];
		memmove(&rows[chosen + 1], &rows[chosen], sizeof(MrCandidate) * (best - chosen));
		memmove(&apart[chosen + 1], &apart[chosen], sizeof(double) * (best - chosen));
		rows[chosen] = row;
	}
	list->n = Min(k, list->n);
}
