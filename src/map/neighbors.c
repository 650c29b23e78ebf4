/*
 * neighbors.c
 *		The k nearest other points of each point, exactly.
 *
 * |a - b|^2 = |a|^2 + |b|^2 - 2 a b: blocks of products by gemm, a heap per row.
 * That finds who is near; the distances of these are then computed from the
 * difference, because the formula above loses small ones to rounding.  n^2 products,
 * for 100,000 points some seconds: a tree saves nothing in tens of coordinates.
 */
#include <math.h>

#include "map/tsne.h"
#include "math/gemm.h"
#include "math/topk.h"

/* Points whose neighbours are looked for at once, and among how many at once. */
#define ROWS 128
#define COLUMNS 512

typedef struct Search
{
	const MrMapInput *in;
	MrNeighbors *out;
	float	   *norm;			/* [n] squared lengths */
	float	   *dots;			/* [ROWS][COLUMNS] */
	MrTopItem  *items;			/* [ROWS][k] */
	MrTopK		top[ROWS];
} Search;

/* Bytes of memory for mr_neighbors(). */
size_t
mr_neighbors_bytes(int n, int dim, int k)
{
	(void) dim;
	return mr_map_padded(sizeof(float) * n) + mr_map_padded(sizeof(float) * ROWS * COLUMNS) +
		mr_map_padded(sizeof(MrTopItem) * ROWS * k);
}

static const float *
point(const Search *s, int row)
{
	return s->in->x + (size_t) row * s->in->dim;
}

static float
squared_distance(const float *a, const float *b, int dim)
{
	float		sum = 0;

	for (int d = 0; d < dim; d++)
		sum += (a[d] - b[d]) * (a[d] - b[d]);
	return sum;
}

/* Shows the points from `column` on to the heaps of the points from `row` on. */
static void
look(Search *s, int row, int rows, int column, int columns)
{
	int			dim = s->in->dim;

	mr_gemm(MR_AS_IS, MR_TRANSPOSED, rows, columns, dim, -2, point(s, row), dim, point(s, column), dim,
			0, s->dots, COLUMNS);
	for (int r = 0; r < rows; r++)
	{
		const float *dots = s->dots + (size_t) r * COLUMNS;
		const float *norm = s->norm + column;
		float		bound = (float) mr_topk_bound(&s->top[r]);

		for (int c = 0; c < columns; c++)
		{
			float		value = norm[c] + dots[c];

			if (value > bound || column + c == row + r)
				continue;
			mr_topk_push(&s->top[r], value, column + c);
			bound = (float) mr_topk_bound(&s->top[r]);
		}
	}
}

/* The row's neighbours, ordered by what their distance truly is. */
static void
finish(Search *s, int row, MrTopK *top)
{
	int			k = s->out->k;

	for (int i = 0; i < k; i++)
		top->items[i].distance = squared_distance(point(s, row), point(s, (int) top->items[i].row), s->in->dim);
	for (int i = 1; i < k; i++)
	{
		MrTopItem	item = top->items[i];
		int			at = i;

		for (; at > 0 && mr_topk_before(item, top->items[at - 1]); at--)
			top->items[at] = top->items[at - 1];
		top->items[at] = item;
	}
	for (int i = 0; i < k; i++)
	{
		s->out->row[(size_t) row * k + i] = (int32_t) top->items[i].row;
		s->out->squared[(size_t) row * k + i] = (float) top->items[i].distance;
	}
}

static MrMapStatus
search_block(Search *s, int row, int rows)
{
	const MrMapInput *in = s->in;
	int			k = s->out->k;

	for (int r = 0; r < rows; r++)
		mr_topk_init(&s->top[r], s->items + (size_t) r * k, k);
	for (int column = 0; column < in->n; column += COLUMNS)
	{
		if (in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		look(s, row, rows, column, in->n - column < COLUMNS ? in->n - column : COLUMNS);
	}
	for (int r = 0; r < rows; r++)
	{
		if (in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		mr_topk_sort(&s->top[r]);	/* nearly in order already */
		finish(s, row + r, &s->top[r]);
	}
	return MR_MAP_OK;
}

/* out->row and out->squared are filled; 1 <= k < n. */
MrMapStatus
mr_neighbors(const MrMapInput *in, MrNeighbors *out, void *memory)
{
	char	   *next = memory;
	Search		s = {in, out};
	MrMapStatus status = MR_MAP_OK;

	s.norm = mr_map_carve(&next, sizeof(float) * in->n);
	s.dots = mr_map_carve(&next, sizeof(float) * ROWS * COLUMNS);
	s.items = mr_map_carve(&next, sizeof(MrTopItem) * ROWS * out->k);
	for (int i = 0; i < in->n; i++)
	{
		const float *x = point(&s, i);
		float		sum = 0;

		if (i % ROWS == 0 && in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		for (int d = 0; d < in->dim; d++)
			sum += x[d] * x[d];
		s.norm[i] = sum;
	}
	for (int row = 0; status == MR_MAP_OK && row < in->n; row += ROWS)
		status = search_block(&s, row, in->n - row < ROWS ? in->n - row : ROWS);
	return status;
}
