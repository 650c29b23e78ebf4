/*
 * plot_draw.c
 *		The picture of a map.
 *
 *		 title
 *		 what is drawn, how many of how many
 *		 +---------------------+  column
 *		 |	 .  .: .		   |  o value  n
 *		 |	.::.	 . .	   |  o value  n
 *		 |		.  :: :.	   |
 *		 +---------------------+
 *
 * Both coordinates have one scale: a distance is as long to the side as upwards.
 * Points without a value lie below the others, and popular ones on top.
 */
#include "postgres.h"

#include <math.h>

#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "plot/plot.h"

#define MARGIN 24
#define TOP 76
#define MIN_LEGEND 110			/* its width */
#define MAX_LEGEND 190
#define LINE 21					/* of the legend */
#define BAR_WIDTH 14
#define BAR_HEIGHT 200

/* Room around the points. */
#define PADDING 10

#define MAX_TICKS 32

/* Between equal points, in parts of the radius. */
#define SEED 0.8

/* Up to so many points have an edge in the colour of the page. */
#define MAX_EDGED 3000

/* Where the points go. */
typedef struct Area
{
	double		left;
	double		top;
	double		width;
	double		height;
} Area;

/* ---- text above ---- */

/* "3,706 items", "the 5,000 most popular of 56,936 items", "5,000 random of ..." */
static char *
describe_part(const MrMap *map, const MrMapPart *part)
{
	const char *noun = mr_map_noun(part->side, part->total);

	if (part->n >= part->total)
		return psprintf("%s %s", mr_svg_count(part->n), noun);
	if (map->options.sample == MR_MAP_RANDOM)
		return psprintf("%s random of %s %s", mr_svg_count(part->n), mr_svg_count(part->total), noun);
	return psprintf("the %s most %s of %s %s", mr_svg_count(part->n), part->side == MR_SIDE_USER ? "active" : "popular",
					mr_svg_count(part->total), noun);
}

static char *
describe(const MrMap *map)
{
	char	   *points = describe_part(map, &map->parts[0]);

	if (map->n_parts == 2)
		points = psprintf("%s and %s", points, describe_part(map, &map->parts[1]));
	if (map->n_different < map->n)
		points = psprintf("%s, %s of them different", points, mr_svg_count(map->n_different));
	if (map->options.method == MR_MAP_PCA)
		return psprintf("%s, principal components with %.0f%% and %.0f%% of the variance, version %d", points,
						100 * map->share[0], 100 * map->share[1], map->version->version);
	return psprintf("%s, t-SNE with perplexity %.3g, version %d", points,
					mr_tsne_perplexity(Max(map->n_different, 1), map->options.perplexity), map->version->version);
}

static char *
title_of(const MrMap *map)
{
	if (map->options.title)
		return mr_svg_clean(map->options.title, 200);
	if (map->n_parts == 2)
		return psprintf("Items and users of %s", mr_svg_clean(map->model->name, NAMEDATALEN));
	return psprintf("%s of %s", map->parts[0].side == MR_SIDE_USER ? "Users" :
					map->parts[0].side == MR_SIDE_TAG ? "Tags" : "Items",
					mr_svg_clean(map->model->name, NAMEDATALEN));
}

/* ---- points ---- */

/* Smaller the more there are. */
static double
radius_of(const MrMap *map, const Area *area)
{
	double		radius = sqrt(area->width * area->height * 0.12 / (M_PI * Max(map->n, 1)));

	return Max(Min(radius, 6), 1.4);
}

/* Where a point lies if a unit of the map has this many pixels, from the map's origin. */
static void
place_at(const MrMap *map, int32 point, double scale, double seed, double at[2])
{
	const float *y = map->y + 2 * (Size) map->different[point];
	double		offset[2];

	mr_map_seed(map->copy[point], offset);
	at[0] = y[0] * scale + offset[0] * seed;
	at[1] = -y[1] * scale + offset[1] * seed;
}

/* The box around all points. */
static void
bounds_at(const MrMap *map, double scale, double seed, double low[2], double high[2])
{
	low[0] = low[1] = INFINITY;
	high[0] = high[1] = -INFINITY;
	for (int32 i = 0; i < map->n; i++)
	{
		double		at[2];

		place_at(map, i, scale, seed, at);
		for (int d = 0; d < 2; d++)
		{
			low[d] = Min(low[d], at[d]);
			high[d] = Max(high[d], at[d]);
		}
	}
}

/*
 * The pixels of a unit with which all points fit into the room, discs of equal points
 * included.  These do not grow with the map, so the scale is approached.
 */
static double
fit_scale(const MrMap *map, const double room[2], double seed)
{
	double		low[2];
	double		high[2];
	double		scale = INFINITY;

	bounds_at(map, 1, 0, low, high);
	for (int d = 0; d < 2; d++)
		if (high[d] > low[d])
			scale = Min(scale, room[d] / (high[d] - low[d]));
	if (!isfinite(scale))
		return 0;
	for (int round = 0; round < 10; round++)
	{
		double		excess;

		CHECK_FOR_INTERRUPTS();
		bounds_at(map, scale, seed, low, high);
		excess = Max((high[0] - low[0]) / room[0], (high[1] - low[1]) / room[1]);
		if (excess <= 1)
			break;
		scale /= excess;
	}
	return scale;
}

/* The points' centres in pixels, [n][2]: as large as fits, in the middle. */
static double *
place_points(MrMap *map, const Area *area, double radius)
{
	double	   *place = mr_map_alloc(map, sizeof(double) * 2 * map->n);
	double		room[2] = {area->width - 2 * PADDING, area->height - 2 * PADDING};
	double		corner[2] = {area->left, area->top};
	double		seed = radius * SEED;
	double		scale = fit_scale(map, room, seed);
	double		low[2];
	double		high[2];

	bounds_at(map, scale, seed, low, high);
	for (int32 i = 0; i < map->n; i++)
	{
		double		at[2];

		place_at(map, i, scale, seed, at);
		for (int d = 0; d < 2; d++)
			place[2 * (Size) i + d] = corner[d] + PADDING + room[d] / 2 + at[d] - (low[d] + high[d]) / 2;
	}
	return place;
}

/* "label (key): value" */
static char *
tooltip_of(const MrMap *map, int32 point)
{
	const char *label = map->label[point];
	const char *key = map->key[point];
	char	   *text = label && strcmp(label, key) != 0 ? psprintf("%s (%s)", label, key) : pstrdup(key);

	if (map->value[point])
		return psprintf("%s: %s", text, map->value[point]);
	if (isfinite(map->number[point]) && map->color != MR_MAP_TIME)
		return psprintf("%s: %.10g", text, map->number[point]);
	return text;
}

static void
draw_point(const MrMap *map, StringInfo svg, int32 point, const double *place, double radius)
{
	char		class[4];
	char	   *tooltip = tooltip_of(map, point);

	mr_svg_circle(svg, mr_map_class(map, point, class), place[2 * (Size) point], place[2 * (Size) point + 1], radius,
				  tooltip);
	pfree(tooltip);
}

/* First those that are only there for the others to be seen against. */
static void
draw_points(MrMap *map, StringInfo svg, const double *place, double radius)
{
	appendStringInfo(svg, "<g%s fill-opacity=\"%s\">\n", map->n <= MAX_EDGED ? " class=\"edged\"" : "",
					 map->n <= MAX_EDGED ? ".9" : ".7");
	for (int pass = 0; pass < 2; pass++)
		for (int32 i = map->n - 1; i >= 0; i--)
		{
			bool		is_back = map->shade[i] == MR_MAP_OTHER || map->shade[i] == MR_MAP_NONE;

			if (i % 1024 == 0)
			{
				CHECK_FOR_INTERRUPTS();
				mr_map_check_text(map, svg);
			}
			if (is_back == (pass == 0))
				draw_point(map, svg, i, place, radius);
		}
	appendStringInfoString(svg, "</g>\n");
}

/* ---- the legend ---- */

/* Its width: a fifth of the picture's. */
static int
legend_width(const MrMap *map)
{
	return Max(Min(map->options.width / 5, MAX_LEGEND), MIN_LEGEND);
}

static const char *
legend_title(const MrMap *map)
{
	switch (map->color)
	{
		case MR_MAP_CLUSTER:
			return "cluster";
		case MR_MAP_POPULARITY:
			return "interactions";
		case MR_MAP_SIDES:
			return "";
		default:
			return mr_svg_clean(map->options.color, NAMEDATALEN);
	}
}

/* The entries, each with its count at the right; as many as there is room for. */
static void
draw_entries(const MrMap *map, StringInfo svg, double left, double top, double bottom)
{
	int			width = legend_width(map);

	for (int i = 0; i < map->n_entries && top <= bottom; i++)
	{
		const MrMapEntry *entry = &map->entries[i];
		char	   *count = mr_svg_count(entry->n);
		double		room = width - 20 - mr_svg_text_width(count, 12) - 10;

		mr_svg_circle(svg, entry->class, left + 6, top - 4, 5.5, NULL);
		mr_svg_text(svg, "m", left + 20, top, MR_ANCHOR_START, mr_svg_fit(entry->text, 12, room));
		mr_svg_text(svg, "m", left + width, top, MR_ANCHOR_END, count);
		top += LINE;
	}
}

/* Seconds since 1970 as a date. */
static char *
date_text(double seconds)
{
	double		days = floor(seconds / SECS_PER_DAY) + UNIX_EPOCH_JDATE;
	int			year;
	int			month;
	int			day;

	if (!(days >= 0 && days < DATE_END_JULIAN))
		return psprintf("%.3g", seconds);
	j2date((int) days, &year, &month, &day);
	return psprintf("%04d-%02d-%02d", year, month, day);
}

static char *
scale_label(const MrMap *map, double value)
{
	return map->color == MR_MAP_TIME ? date_text(value) : mr_axis_label(&map->scale, value);
}

/* What stands at an end of the scale: its value, and whether there is more beyond. */
static char *
end_label(const MrMap *map, bool high)
{
	bool		clipped = high ? map->high_clipped : map->low_clipped;
	const char *sign = !clipped ? "" : high ? "\xE2\x89\xA5 " : "\xE2\x89\xA4 ";
	double		value = high ? map->scale.high : map->scale.low;
	MrAxis		axis = map->scale;

	/* An end is not at a tick: one digit more, if ticks have some. */
	if (axis.decimals > 0)
		axis.decimals++;
	return psprintf("%s%s", sign, map->color == MR_MAP_TIME ? date_text(value) : mr_axis_label(&axis, value));
}

/* The scale from top to bottom, high to low; returns where it ends. */
static double
draw_bar(const MrMap *map, StringInfo svg, double left, double top, double height)
{
	double		ticks[MAX_TICKS];
	int			n = map->color == MR_MAP_TIME ? 0 : mr_axis_ticks(&map->scale, ticks, MAX_TICKS);
	double		right = left + BAR_WIDTH;

	if (map->color == MR_MAP_TIME)
		ticks[n++] = (map->scale.low + map->scale.high) / 2;
	for (int i = 0; i < MR_SVG_STEPS; i++)
	{
		char		class[8];
		double		step = height / MR_SVG_STEPS;

		snprintf(class, sizeof(class), "s%d", MR_SVG_STEPS - 1 - i);
		/* A little more than a step: no gap between them, whatever the rounding. */
		mr_svg_rect(svg, class, left, top + i * step, BAR_WIDTH, step + (i < MR_SVG_STEPS - 1 ? 0.5 : 0));
	}
	mr_svg_text(svg, "m", right + 9, top + 9, MR_ANCHOR_START, end_label(map, true));
	mr_svg_text(svg, "m", right + 9, top + height, MR_ANCHOR_START, end_label(map, false));
	for (int i = 0; i < n; i++)
	{
		double		y = top + height * (1 - mr_axis_place(&map->scale, ticks[i]));

		if (y < top + 20 || y > top + height - 16)
			continue;
		mr_svg_line(svg, "f", right, y, right + 5, y);
		mr_svg_text(svg, "m", right + 9, y + 4, MR_ANCHOR_START, scale_label(map, ticks[i]));
	}
	return top + height;
}

/* Has any point a step of the scale? */
static bool
has_scale(const MrMap *map)
{
	for (int32 i = 0; i < map->n; i++)
		if (map->shade[i] > MR_MAP_NONE)
			return true;
	return false;
}

static void
draw_legend(const MrMap *map, StringInfo svg, double left)
{
	const char *title = legend_title(map);
	double		bottom = map->options.height - MARGIN;
	double		top = TOP + 12;

	if (title[0] != '\0')
	{
		mr_svg_text(svg, "m h", left, top, MR_ANCHOR_START, mr_svg_fit(title, 13, legend_width(map)));
		top += LINE + 2;
	}
	if (has_scale(map))
		top = draw_bar(map, svg, left, top - 8, Max(Min(BAR_HEIGHT, bottom - top - 3 * LINE), 40)) + LINE + 8;
	draw_entries(map, svg, left, top, bottom);
}

/* ---- all of it ---- */

/* Is there something to say about colours? */
static bool
has_legend(const MrMap *map)
{
	return map->n > 0 && map->color != MR_MAP_PLAIN && map->options.width >= 3 * MIN_LEGEND;
}

/* Appends the whole picture. */
void
mr_map_draw(MrMap *map, StringInfo svg)
{
	const MrMapOptions *options = &map->options;
	double		text_width = options->width - 2 * MARGIN;
	Area		area = {MARGIN, TOP, text_width, options->height - TOP - MARGIN};
	char	   *title = title_of(map);
	char	   *description = describe(map);

	if (has_legend(map))
		area.width -= legend_width(map) + MARGIN;
	mr_svg_begin(svg, options->width, options->height, psprintf("%s: %s", title, description));
	mr_svg_text(svg, "t", MARGIN, 36, MR_ANCHOR_START, mr_svg_fit(title, 21, text_width));
	mr_svg_text(svg, "s", MARGIN, 57, MR_ANCHOR_START, mr_svg_fit(description, 13, text_width));
	if (map->n == 0)
		mr_svg_text(svg, "s", options->width / 2.0, options->height / 2.0, MR_ANCHOR_MIDDLE,
					"there is no point that you may read");
	else
	{
		double		radius = radius_of(map, &area);
		double	   *place = place_points(map, &area, radius);
		double		box[4] = {area.left, area.top, area.left + area.width, area.top + area.height};

		draw_points(map, svg, place, radius);
		mr_map_draw_labels(map, svg, place, radius, box);
	}
	if (has_legend(map))
		draw_legend(map, svg, options->width - MARGIN - legend_width(map));
	mr_svg_end(svg);
}
