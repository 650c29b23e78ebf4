/*
 * quadtree.c
 *		What repels a point, far groups taken together (J. Barnes and P. Hut, 1986).
 *
 * Points are sorted along a Z curve, so that a quarter of the square is a run of
 * them, and a node's subtree follows it in memory: going down is the next node,
 * passing over is skip[].
 *
 *		y --> code: bits of both coordinates, mixed --radix sort--> order
 *
 *		 +-----+-----+
 *		 | 0 1 | 4 5 |		the code's first two bits: quarter of the square
 *		 | 2 3 | 6 7 |		the next two: quarter of that, ...
 *		 +-----+-----+
 *
 * A level at which all points of a run fall into one quarter has no node.  Points
 * with the same code, nearer than 2^-32 of the square, share a leaf.
 *
 * The tree is gone through for a group of points at once, with the distance from the
 * box around them: that is stricter than for each point, and what the group sees
 * is one list, over which the sums run without a branch, several points of the list
 * at a time.
 */
#include <math.h>
#include <string.h>

#include "map/tsne.h"

/* Points that go through the tree together, and members of a list summed at once. */
#define GROUP 16
#define LANES 8

/* Bytes of memory for mr_quadtree_attach(). */
size_t
mr_quadtree_bytes(int n)
{
	size_t		nodes = 2 * (size_t) n;
	size_t		list = (size_t) n + LANES;

	return 4 * mr_map_padded(sizeof(float) * nodes) + mr_map_padded(sizeof(int32_t) * nodes) +
		2 * mr_map_padded(sizeof(uint64_t) * n) + 2 * mr_map_padded(sizeof(int32_t) * n) +
		3 * mr_map_padded(sizeof(float) * list);
}

/* Lays the arrays out for n points. */
void
mr_quadtree_attach(MrQuadtree *tree, int n, void *memory)
{
	char	   *next = memory;
	size_t		nodes = 2 * (size_t) n;
	size_t		list = (size_t) n + LANES;

	tree->n = n;
	tree->n_nodes = 0;
	tree->x = mr_map_carve(&next, sizeof(float) * nodes);
	tree->y = mr_map_carve(&next, sizeof(float) * nodes);
	tree->mass = mr_map_carve(&next, sizeof(float) * nodes);
	tree->size = mr_map_carve(&next, sizeof(float) * nodes);
	tree->skip = mr_map_carve(&next, sizeof(int32_t) * nodes);
	tree->code = mr_map_carve(&next, sizeof(uint64_t) * n);
	tree->other_code = mr_map_carve(&next, sizeof(uint64_t) * n);
	tree->order = mr_map_carve(&next, sizeof(int32_t) * n);
	tree->other_order = mr_map_carve(&next, sizeof(int32_t) * n);
	tree->list_x = mr_map_carve(&next, sizeof(float) * list);
	tree->list_y = mr_map_carve(&next, sizeof(float) * list);
	tree->list_mass = mr_map_carve(&next, sizeof(float) * list);
	for (int i = 0; i < n; i++)
		tree->order[i] = i;
}

/* ---- the curve ---- */

/* The bits of v with a gap behind each. */
static uint64_t
spread(uint32_t v)
{
	uint64_t	x = v;

	x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
	x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	x = (x | x << 2) & UINT64_C(0x3333333333333333);
	x = (x | x << 1) & UINT64_C(0x5555555555555555);
	return x;
}

/* The square around all points: its corner and side. */
static double
square_around(const double *y, int n, double corner[2])
{
	double		low[2] = {y[0], y[1]};
	double		high[2] = {y[0], y[1]};

	for (int i = 1; i < n; i++)
		for (int d = 0; d < 2; d++)
		{
			double		value = y[2 * i + d];

			low[d] = value < low[d] ? value : low[d];
			high[d] = value > high[d] ? value : high[d];
		}
	corner[0] = low[0];
	corner[1] = low[1];
	return fmax(high[0] - low[0], high[1] - low[1]);
}

static uint32_t
cell_of(double offset, double side)
{
	double		cell = side > 0 ? offset / side * 4294967296.0 : 0;

	return cell >= 4294967295.0 ? UINT32_MAX : (uint32_t) cell;
}

/* One pass of a radix sort by the eight bits from `shift` on; false if they are all the same. */
static bool
sort_pass(MrQuadtree *tree, int shift)
{
	int32_t		count[257] = {0};

	for (int i = 0; i < tree->n; i++)
		count[(tree->code[i] >> shift & 255) + 1]++;
	if (count[(tree->code[0] >> shift & 255) + 1] == tree->n)
		return false;
	for (int b = 0; b < 256; b++)
		count[b + 1] += count[b];
	for (int i = 0; i < tree->n; i++)
	{
		int32_t		at = count[tree->code[i] >> shift & 255]++;

		tree->other_code[at] = tree->code[i];
		tree->other_order[at] = tree->order[i];
	}
	return true;
}

static void
sort_codes(MrQuadtree *tree)
{
	for (int shift = 0; shift < 64; shift += 8)
	{
		uint64_t   *code = tree->code;
		int32_t    *order = tree->order;

		if (!sort_pass(tree, shift))
			continue;
		tree->code = tree->other_code;
		tree->other_code = code;
		tree->order = tree->other_order;
		tree->other_order = order;
	}
}

/* ---- the tree ---- */

/* The first of the points from..to - 1 whose code, shifted, is not less than `least`. */
static int
first_from(const MrQuadtree *tree, int from, int to, int shift, uint64_t least)
{
	while (from < to)
	{
		int			middle = from + (to - from) / 2;

		if (tree->code[middle] >> shift < least)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* Points with one code. */
static void
make_leaf(MrQuadtree *tree, int node, int from, int to, double sum[2])
{
	sum[0] = sum[1] = 0;
	for (int i = from; i < to; i++)
		for (int d = 0; d < 2; d++)
			sum[d] += tree->at[2 * (size_t) tree->order[i] + d];
	tree->size[node] = 0;
}

/*
 * The subtree of the points from..to - 1; sum: of their coordinates.  A node's
 * quarters differ in their codes, so the depth is at most 32.
 */
static void
make_node(MrQuadtree *tree, int from, int to, double sum[2])
{
	int			node = tree->n_nodes++;
	uint64_t	differ = tree->code[from] ^ tree->code[to - 1];

	if (differ == 0)
		make_leaf(tree, node, from, to, sum);
	else
	{
		int			level = __builtin_clzll(differ) / 2;
		int			shift = 62 - 2 * level;
		uint64_t	prefix = tree->code[from] >> shift & ~UINT64_C(3);
		double		side = ldexp(tree->side, -level);
		int			at = from;

		tree->size[node] = (float) (side * side);
		sum[0] = sum[1] = 0;
		for (int quarter = 1; quarter <= 4; quarter++)
		{
			int			end = quarter == 4 ? to : first_from(tree, at, to, shift, prefix + quarter);
			double		part[2];

			if (end > at)
			{
				make_node(tree, at, end, part);
				sum[0] += part[0];
				sum[1] += part[1];
			}
			at = end;
		}
	}
	tree->mass[node] = (float) (to - from);
	tree->x[node] = (float) (sum[0] / (to - from));
	tree->y[node] = (float) (sum[1] / (to - from));
	tree->skip[node] = tree->n_nodes;
}

/* Builds the tree over y [n][2], n >= 1. */
void
mr_quadtree_build(MrQuadtree *tree, const double *y)
{
	double		corner[2];
	double		sum[2];

	tree->side = square_around(y, tree->n, corner);
	tree->at = y;
	/* From the last order, which will be nearly that of now. */
	for (int i = 0; i < tree->n; i++)
	{
		const double *point = y + 2 * (size_t) tree->order[i];

		tree->code[i] = spread(cell_of(point[0] - corner[0], tree->side)) |
			spread(cell_of(point[1] - corner[1], tree->side)) << 1;
	}
	sort_codes(tree);
	tree->n_nodes = 0;
	make_node(tree, 0, tree->n, sum);
}

/* ---- repulsion ---- */

/* The box around the points from..to - 1 of the order. */
typedef struct Box
{
	float		low[2];
	float		high[2];
} Box;

static Box
box_of(const MrQuadtree *tree, const double *y, int from, int to)
{
	Box			box = {{INFINITY, INFINITY}, {-INFINITY, -INFINITY}};

	for (int i = from; i < to; i++)
		for (int d = 0; d < 2; d++)
		{
			float		value = (float) y[2 * (size_t) tree->order[i] + d];

			box.low[d] = value < box.low[d] ? value : box.low[d];
			box.high[d] = value > box.high[d] ? value : box.high[d];
		}
	return box;
}

/* How far a number is outside of a range. */
static inline float
outside(float value, float low, float high)
{
	float		below = low - value;
	float		above = value - high;
	float		far = below > above ? below : above;

	return far > 0 ? far : 0;
}

/*
 * What the group sees: nodes whose side is at most theta of their distance, and
 * leaves.  Returns how many, padded with nodes of no mass to whole lanes.
 */
static int
make_list(MrQuadtree *tree, const Box *box, float theta2)
{
	int			n = 0;
	int			node = 0;

	while (node < tree->n_nodes)
	{
		float		x = outside(tree->x[node], box->low[0], box->high[0]);
		float		y = outside(tree->y[node], box->low[1], box->high[1]);

		if (tree->size[node] > theta2 * (x * x + y * y))
		{
			node++;
			continue;
		}
		tree->list_x[n] = tree->x[node];
		tree->list_y[n] = tree->y[node];
		tree->list_mass[n++] = tree->mass[node];
		node = tree->skip[node];
	}
	for (; n % LANES != 0; n++)
	{
		tree->list_x[n] = tree->list_y[n] = 0;
		tree->list_mass[n] = 0;
	}
	return n;
}

/* The list's effect on one point; returns SUM w. */
static double
sum_list(const MrQuadtree *tree, int n, float px, float py, double force[2])
{
	float		w[LANES] = {0};
	float		fx[LANES] = {0};
	float		fy[LANES] = {0};
	double		sum = 0;

	for (int i = 0; i < n; i += LANES)
	{
		const float *x = tree->list_x + i;
		const float *y = tree->list_y + i;
		const float *mass = tree->list_mass + i;

		for (int l = 0; l < LANES; l++)
		{
			float		dx = px - x[l];
			float		dy = py - y[l];
			float		q = 1 / (1 + dx * dx + dy * dy);
			float		mq = mass[l] * q;
			float		mqq = mq * q;

			w[l] += mq;
			fx[l] += mqq * dx;
			fy[l] += mqq * dy;
		}
	}
	force[0] = force[1] = 0;
	for (int l = 0; l < LANES; l++)
	{
		sum += w[l];
		force[0] += fx[l];
		force[1] += fy[l];
	}
	return sum;
}

/*
 * Of the points from .. to - 1 of the tree's order: force [n][2], at each point's
 * own place, receives SUM over all points j of w[ij]^2 (y_i - y_j).  Returns the sum
 * of their w[ij], i itself counted with 1.
 *
 * theta: sizes up to this part of a distance count as one point; at most 0.7, or a
 * group could take a node for far that has one of its own points in it.
 */
double
mr_quadtree_repel(MrQuadtree *tree, const double *y, int from, int to, double theta, double *force)
{
	double		sum = 0;

	for (int begin = from; begin < to; begin += GROUP)
	{
		int			end = to - begin < GROUP ? to : begin + GROUP;
		Box			box = box_of(tree, y, begin, end);
		int			n = make_list(tree, &box, (float) (theta * theta));

		for (int i = begin; i < end; i++)
		{
			size_t		at = 2 * (size_t) tree->order[i];

			sum += sum_list(tree, n, (float) y[at], (float) y[at + 1], force + at);
		}
	}
	return sum;
}
