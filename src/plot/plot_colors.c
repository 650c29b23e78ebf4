/*
 * plot_colors.c
 *		A colour for each point, and the legend that says what it means.
 *
 * Categories: the most frequent have colours of their own, the others share one; no
 * value is a colour, too.  Numbers: a scale in steps, from the 2nd to the 98th part
 * in a hundred of the values, as a few outliers would leave one colour to all others;
 * logarithmic where values span two powers of ten and more.
 */
#include "postgres.h"

#include <math.h>

#include "math/topk.h"
#include "plot/plot.h"

/* Parts of the values below and above the scale, and from how many values on. */
#define CLIPPED 0.02
#define MIN_CLIPPED 50

#define LOG_SPAN 100.0

/* ---- the legend ---- */

static MrMapEntry *
add_entry(MrMap *map, const char *class, const char *text, int32 n)
{
	MrMapEntry *entry = &map->entries[map->n_entries++];

	strlcpy(entry->class, class, sizeof(entry->class));
	entry->text = pstrdup(text);
	entry->n = n;
	return entry;
}

static void
add_color(MrMap *map, int color, const char *text, int32 n)
{
	char		class[8];

	snprintf(class, sizeof(class), "c%d", color);
	add_entry(map, class, text, n);
}

static int32
count_shade(const MrMap *map, int shade)
{
	int32		n = 0;

	for (int32 i = 0; i < map->n; i++)
		n += map->shade[i] == shade;
	return n;
}

/* What the points without a value are: of two sides, only the items can have one. */
static const char *
text_of_none(const MrMap *map, int32 none)
{
	if (map->n_parts < 2)
		return "no value";
	return none > map->parts[1].n ? "users; no value" : "users";
}

/* Behind the others, if there are any: the values without a colour, points without a value. */
static void
add_rest(MrMap *map, int64 n_other_values)
{
	int32		other = count_shade(map, MR_MAP_OTHER);
	int32		none = count_shade(map, MR_MAP_NONE);

	if (other > 0)
		add_entry(map, "co", psprintf("%s others", mr_svg_count(n_other_values)), other);
	if (none > 0)
		add_entry(map, "cn", text_of_none(map, none), none);
}

/* ---- categories ---- */

typedef struct Category
{
	const char *value;
	int32		n;
} Category;

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* The most frequent first, equals by their text. */
static int
compare_categories(const void *a, const void *b)
{
	const Category *x = a;
	const Category *y = b;

	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return strcmp(x->value, y->value);
}

/* All values and how often they occur, the most frequent first; returns how many. */
static int32
count_categories(MrMap *map, Category **categories)
{
	const char **sorted = mr_map_alloc(map, sizeof(char *) * Max(map->n, 1));
	int32		n = 0;
	int32		n_categories = 0;

	for (int32 i = 0; i < map->n; i++)
		if (map->value[i])
			sorted[n++] = map->value[i];
	qsort(sorted, n, sizeof(char *), compare_texts);
	*categories = mr_map_alloc(map, sizeof(Category) * Max(n, 1));
	for (int32 i = 0; i < n; i++)
	{
		if (i == 0 || strcmp(sorted[i], sorted[i - 1]) != 0)
			(*categories)[n_categories++] = (Category) {sorted[i], 0};
		(*categories)[n_categories - 1].n++;
	}
	qsort(*categories, n_categories, sizeof(Category), compare_categories);
	return n_categories;
}

static uint8
shade_of(const char *value, const Category *categories, int n)
{
	if (value == NULL)
		return MR_MAP_NONE;
	for (int c = 0; c < n; c++)
		if (strcmp(value, categories[c].value) == 0)
			return (uint8) c;
	return MR_MAP_OTHER;
}

static void
color_categories(MrMap *map)
{
	Category   *categories;
	int32		n = count_categories(map, &categories);
	int			shown = Min(n, MR_SVG_COLORS);

	for (int32 i = 0; i < map->n; i++)
		map->shade[i] = shade_of(map->value[i], categories, shown);
	for (int c = 0; c < shown; c++)
		add_color(map, c, categories[c].value, categories[c].n);
	add_rest(map, n - shown);
}

/* ---- clusters and sides ---- */

/* A cluster is called by its most popular point, which comes first. */
static void
color_clusters(MrMap *map)
{
	for (int32 i = 0; i < map->n; i++)
		map->shade[i] = (uint8) map->cluster[i];
	for (int c = 0; c < map->n_clusters; c++)
	{
		const char *name = NULL;

		for (int32 i = 0; i < map->n && name == NULL; i++)
			if (map->shade[i] == c)
				name = map->label[i] ? map->label[i] : map->key[i];
		add_color(map, c, psprintf("%d: %s", c + 1, name), count_shade(map, c));
	}
}

static void
color_sides(MrMap *map)
{
	for (int p = 0; p < map->n_parts; p++)
	{
		const MrMapPart *part = &map->parts[p];

		memset(map->shade + part->first, p, part->n);
		if (part->n > 0)
			add_color(map, p, mr_map_noun(part->side, part->n), part->n);
	}
}

/* ---- numbers ---- */

/* The numbers of the points that have one, ascending; returns how many. */
static int32
sort_numbers(MrMap *map, MrTopItem **items)
{
	MrTopK		top;

	*items = mr_map_alloc(map, sizeof(MrTopItem) * Max(map->n, 1));
	mr_topk_init(&top, *items, Max(map->n, 1));
	for (int32 i = 0; i < map->n; i++)
		if (isfinite(map->number[i]))
			mr_topk_push(&top, map->number[i], i);
	mr_topk_sort(&top);
	return (int32) top.n;
}

/* From where to where the scale goes. */
static void
set_scale(MrMap *map, const MrTopItem *items, int32 n)
{
	int32		clipped = n >= MIN_CLIPPED ? (int32) (CLIPPED * n) : 0;
	double		low = items[clipped].distance;
	double		high = items[n - 1 - clipped].distance;

	if (low == high)
	{
		low = items[0].distance;
		high = items[n - 1].distance;
	}
	if (map->color != MR_MAP_TIME && low > 0 && high / low >= LOG_SPAN)
		map->scale = mr_axis_log(low, high);
	else
		map->scale = mr_axis_linear(low, high, 5, false);
	map->low_clipped = items[0].distance < low;
	map->high_clipped = items[n - 1].distance > high;
}

static void
color_numbers(MrMap *map)
{
	MrTopItem  *items;
	int32		n = sort_numbers(map, &items);

	if (n > 0)
		set_scale(map, items, n);
	for (int32 i = 0; i < map->n; i++)
	{
		double		place;

		if (!isfinite(map->number[i]))
		{
			map->shade[i] = MR_MAP_NONE;
			continue;
		}
		place = mr_axis_place(&map->scale, map->number[i]) * MR_SVG_STEPS;
		/* Behind the two that are no step. */
		map->shade[i] = (uint8) (MR_MAP_NONE + 1 + Min((int) place, MR_SVG_STEPS - 1));
	}
	add_rest(map, 0);
}

static void
color_popularity(MrMap *map)
{
	for (int32 i = 0; i < map->n; i++)
		map->number[i] = i < map->parts[0].n ? map->interactions[i] : NAN;
	color_numbers(map);
}

/* ---- all of them ---- */

/* Sets the shade of each point, the legend, the scale. */
void
mr_map_color(MrMap *map)
{
	map->shade = mr_map_alloc(map, Max(map->n, 1));
	memset(map->shade, 0, Max(map->n, 1));
	if (map->n == 0)
		return;
	switch (map->color)
	{
		case MR_MAP_PLAIN:
			break;
		case MR_MAP_SIDES:
			color_sides(map);
			break;
		case MR_MAP_CLUSTER:
			color_clusters(map);
			break;
		case MR_MAP_POPULARITY:
			color_popularity(map);
			break;
		case MR_MAP_CATEGORY:
			color_categories(map);
			break;
		case MR_MAP_NUMBER:
		case MR_MAP_TIME:
			color_numbers(map);
			break;
	}
}

/* The class of a point's colour, in class[4]. */
const char *
mr_map_class(const MrMap *map, int32 point, char *class)
{
	int			shade = map->shade[point];

	if (shade == MR_MAP_OTHER)
		return "co";
	if (shade == MR_MAP_NONE)
		return "cn";
	if (shade > MR_MAP_NONE)
		snprintf(class, 4, "s%d", (shade - MR_MAP_NONE - 1) % MR_SVG_STEPS);
	else
		snprintf(class, 4, "c%d", shade % MR_SVG_COLORS);
	return class;
}
