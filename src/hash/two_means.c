/*
 * two_means.c
 *		Parts rows in two by 2-means.
 *
 * The two centres only give the direction in which the rows are parted, and how
 * many go to each side; who goes where is decided by rank along that direction.
 * A threshold would not do: where many rows are equal, or lie on one side, it
 * peels off single rows, and an index that grows would be split over and over.
 */
#include <string.h>

#include "hash/family.h"
#include "math/vecmath.h"

#define ROUNDS 8

/* The row that is farthest from `from`; -1 if all are equal to it. */
static int
farthest(const MrSplitWork *work, const float *from)
{
	int			dim = work->codes->dim;
	int			best = -1;
	float		most = 0;

	for (int i = 0; i < work->codes->n; i++)
	{
		float		squared = mr_l2_squared(work->rows + (size_t) i * dim, from, dim);

		if (squared > most)
		{
			best = i;
			most = squared;
		}
	}
	return best;
}

/*
 * Two rows far from each other, as the first centres.  False if all rows are
 * equal.
 */
static bool
seeds(const MrSplitWork *work, float *mean, float *centre[2])
{
	int			n = work->codes->n;
	int			dim = work->codes->dim;
	int			row;

	memset(mean, 0, dim * sizeof(float));
	for (int i = 0; i < n; i++)
		mr_vecmath.axpy(mean, 1.0f / n, work->rows + (size_t) i * dim, dim);

	/*
	 * If the rows are equal the mean may still differ from them by rounding, but
	 * then no row is apart from the one that is found.
	 */
	row = farthest(work, mean);
	if (row < 0)
		return false;
	memcpy(centre[0], work->rows + (size_t) row * dim, dim * sizeof(float));
	row = farthest(work, centre[0]);
	if (row < 0)
		return false;
	memcpy(centre[1], work->rows + (size_t) row * dim, dim * sizeof(float));
	return true;
}

/*
 * Puts the rows on the side of the nearer centre, the nearer to 1 the larger
 * items[i].distance, negated.  Returns the number on side 1; *moved = some row
 * changed its side.
 */
static int
assign(const MrSplitWork *work, float *centre[2], float *across, float *middle, uint8_t *side, bool *moved)
{
	int			dim = work->codes->dim;
	int			n_far = 0;
	float		threshold;

	for (int j = 0; j < dim; j++)
	{
		across[j] = centre[1][j] - centre[0][j];
		middle[j] = 0.5f * (centre[0][j] + centre[1][j]);
	}
	threshold = mr_vecmath.dot(across, middle, dim);
	*moved = false;
	for (int i = 0; i < work->codes->n; i++)
	{
		float		along = mr_vecmath.dot(across, work->rows + (size_t) i * dim, dim);
		uint8_t		far = along > threshold;

		work->items[i].distance = -(double) along;
		n_far += far;
		*moved = *moved || far != side[i];
		side[i] = far;
	}
	return n_far;
}

/* The means of both sides, which have n_far and n - n_far rows, neither 0. */
static void
means(const MrSplitWork *work, const uint8_t *side, int n_far, float *centre[2])
{
	int			n = work->codes->n;
	int			dim = work->codes->dim;

	memset(centre[0], 0, dim * sizeof(float));
	memset(centre[1], 0, dim * sizeof(float));
	for (int i = 0; i < n; i++)
		mr_vecmath.axpy(centre[side[i]], 1, work->rows + (size_t) i * dim, dim);
	mr_vecmath.scale(centre[0], 1.0f / (n - n_far), dim);
	mr_vecmath.scale(centre[1], 1.0f / n_far, dim);
}

/*
 * The `goal` rows that are farthest along go to side 1; of rows that are equally
 * far, the earlier ones.  items[i].distance is the negated projection of row i.
 */
static void
part_by_rank(const MrSplitWork *work, int goal, uint8_t *side)
{
	int			n = work->codes->n;
	MrTopK		top;

	/* the heap grows over items that have been read already */
	mr_topk_init(&top, work->items, goal);
	for (int i = 0; i < n; i++)
		mr_topk_push(&top, work->items[i].distance, i);
	memset(side, 0, n);
	for (int i = 0; i < top.n; i++)
		side[top.items[i].row] = 1;
}

/*
 * Sets side[], at least a quarter of the rows on each.  False, and nothing is
 * set, if all rows are equal.
 */
bool
mr_two_means_split(const MrSplitWork *work, uint8_t *side)
{
	int			n = work->codes->n;
	int			quarter = n / 4 + 1;
	float	   *centre[2] = {work->vectors[0], work->vectors[1]};
	int			n_far = 0;

	if (work->unit == 0 || !seeds(work, work->vectors[2], centre))
		return false;

	memset(side, 0, n);
	for (int round = 0; round < ROUNDS; round++)
	{
		bool		moved;

		n_far = assign(work, centre, work->vectors[2], work->vectors[3], side, &moved);
		if (!moved || n_far == 0 || n_far == n)
			break;
		means(work, side, n_far, centre);
	}
	if (n_far < quarter)
		n_far = quarter;
	if (n_far > n - quarter)
		n_far = n - quarter;
	part_by_rank(work, n_far, side);
	return true;
}
