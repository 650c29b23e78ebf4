/*
 * plot_labels.c
 *		Labels of points that do not overlap.
 *
 * The points are asked one by one, and a label stays where it is put: at the right of
 * its point, the left, above or below, wherever it meets no other label, no labelled
 * point and not the edge.  The area is divided into fields, and the most popular
 * point of each field is asked first, then the second of each, ...: by popularity alone
 * all labels would lie in one corner, where the popular ones are.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "plot/plot.h"

#define SIZE 11					/* of the font, as in style.c */
#define ABOVE 8					/* the base line */
#define BELOW 3
#define GAP 3					/* between labels */

/* Of a label, in pixels. */
#define MAX_WIDTH 180

/* Fields of the area. */
#define FIELD_WIDTH 90
#define FIELD_HEIGHT 60

typedef struct Box
{
	double		left;
	double		top;
	double		right;
	double		bottom;
} Box;

typedef struct Placing
{
	const MrMap *map;
	const double *place;
	double		radius;
	Box			area;
	int			n;				/* labels that are placed */
	Box		   *taken;			/* [2 n], labels and their points */
} Placing;

static bool
is_free(const Placing *p, const Box *box)
{
	if (box->left < p->area.left || box->right > p->area.right || box->top < p->area.top ||
		box->bottom > p->area.bottom)
		return false;
	for (int i = 0; i < 2 * p->n; i++)
	{
		const Box  *other = &p->taken[i];

		if (box->left < other->right + GAP && other->left < box->right + GAP &&
			box->top < other->bottom + GAP && other->top < box->bottom + GAP)
			return false;
	}
	return true;
}

/* Puts the label of a point where it is free, if anywhere. */
static bool
put_label(Placing *p, StringInfo svg, int32 point)
{
	static const double sides[][2] = {{1, 0}, {-1, 0}, {0, -1}, {0, 1}};
	char	   *text = mr_svg_fit(p->map->label[point], SIZE, MAX_WIDTH);
	double		width = mr_svg_text_width(text, SIZE);
	double		x = p->place[2 * (Size) point];
	double		y = p->place[2 * (Size) point + 1];
	bool		done = false;

	for (int s = 0; s < lengthof(sides) && !done; s++)
	{
		double		away = p->radius + 3;
		double		left = sides[s][0] > 0 ? x + away : sides[s][0] < 0 ? x - away - width : x - width / 2;
		double		base = sides[s][1] < 0 ? y - away - 1 : sides[s][1] > 0 ? y + away + ABOVE : y + 4;
		Box			box = {left, base - ABOVE, left + width, base + BELOW};

		if (!is_free(p, &box))
			continue;
		p->taken[2 * p->n] = box;
		p->taken[2 * p->n + 1] = (Box) {x - p->radius, y - p->radius, x + p->radius, y + p->radius};
		p->n++;
		mr_svg_text(svg, "l", sides[s][0] > 0 ? left : sides[s][0] < 0 ? left + width : x, base,
					sides[s][0] > 0 ? MR_ANCHOR_START : sides[s][0] < 0 ? MR_ANCHOR_END : MR_ANCHOR_MIDDLE, text);
		done = true;
	}
	pfree(text);
	return done;
}

/* The field of a point, of columns x rows. */
static int
field_of(const double *at, const Box *area, int columns, int rows)
{
	int			column = (int) ((at[0] - area->left) / FIELD_WIDTH);
	int			row = (int) ((at[1] - area->top) / FIELD_HEIGHT);

	column = Max(Min(column, columns - 1), 0);
	row = Max(Min(row, rows - 1), 0);
	return row * columns + column;
}

/*
 * The points that have a label in the order in which they are asked: the first of each
 * field, the second of each, ...  Returns how many.
 */
static int32
order_points(MrMap *map, const double *place, const Box *area, int32 *order)
{
	int			columns = (int) ((area->right - area->left) / FIELD_WIDTH) + 1;
	int			rows = (int) ((area->bottom - area->top) / FIELD_HEIGHT) + 1;
	int32	   *in_field = mr_map_alloc(map, sizeof(int32) * columns * rows);
	int32	   *rank = mr_map_alloc(map, sizeof(int32) * map->n);
	int32	   *begin = mr_map_alloc(map, sizeof(int32) * (map->n + 1));
	int32		n = 0;

	memset(in_field, 0, sizeof(int32) * columns * rows);
	memset(begin, 0, sizeof(int32) * (map->n + 1));
	for (int32 i = 0; i < map->n; i++)
	{
		if (map->label[i] == NULL)
			continue;
		rank[i] = in_field[field_of(place + 2 * (Size) i, area, columns, rows)]++;
		begin[rank[i] + 1]++;
		n++;
	}
	for (int32 r = 0; r < map->n; r++)
		begin[r + 1] += begin[r];
	for (int32 i = 0; i < map->n; i++)
		if (map->label[i])
			order[begin[rank[i]]++] = i;
	return n;
}

/*
 * Appends up to max_labels labels.  place [n][2]: centres of the points; area: left,
 * top, right, bottom.
 */
void
mr_map_draw_labels(MrMap *map, StringInfo svg, const double *place, double radius, const double *area)
{
	Placing		p = {map, place, radius, {area[0], area[1], area[2], area[3]}};
	int			most = map->options.max_labels;
	int32	   *order;
	int32		n;

	if (map->options.labels == NULL || most == 0)
		return;
	order = mr_map_alloc(map, sizeof(int32) * map->n);
	n = order_points(map, place, &p.area, order);
	p.taken = mr_map_alloc(map, sizeof(Box) * 2 * most);
	for (int32 i = 0; i < n && p.n < most; i++)
	{
		if (i % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		(void) put_label(&p, svg, order[i]);
	}
}
