/*
 * plot.h
 *		metricrec.plot_map(): the points of a model as a picture.
 *
 *		views of the model --plot_read.c--> keys, points -+
 *		feature table --plot_features.c--> values, labels -+-> MrMap
 *														   |
 *		plot_compute.c	two coordinates, clusters  <-------+	plot_equal.c equal points
 *		plot_colors.c	a class of colour per point, the legend
 *		plot_draw.c		circles, legend; plot_labels.c labels that do not overlap
 *
 * Everything is read as the calling role, and nothing is written.
 */
#ifndef MR_PLOT_H
#define MR_PLOT_H

#include "data/budget.h"
#include "data/idmap.h"
#include "map/map.h"
#include "plot/svg.h"
#include "store/version.h"

#define MR_PLOT_MAX_POINTS 100000
#define MR_PLOT_MAX_LABELS 1000

/* Characters that are kept of keys, labels and values. */
#define MR_PLOT_TEXT 80

typedef enum MrMapSide
{
	MR_MAP_ITEM,
	MR_MAP_USER,
	MR_MAP_TAG,
	MR_MAP_BOTH					/* items, then users */
} MrMapSide;

typedef enum MrMapMethod
{
	MR_MAP_TSNE,
	MR_MAP_PCA
} MrMapMethod;

typedef enum MrMapSample
{
	MR_MAP_POPULAR,				/* the points with the most interactions */
	MR_MAP_RANDOM
} MrMapSample;

/* What the colours stand for. */
typedef enum MrMapColor
{
	MR_MAP_PLAIN,
	MR_MAP_SIDES,				/* item or user */
	MR_MAP_CLUSTER,
	MR_MAP_POPULARITY,
	MR_MAP_CATEGORY,			/* a column of the feature table, as text */
	MR_MAP_NUMBER,				/* a number of it */
	MR_MAP_TIME					/* a date or time of it, as seconds since 1970 */
} MrMapColor;

typedef struct MrMapOptions
{
	MrMapSide	side;
	MrMapMethod method;
	MrMapSample sample;
	const char *color;			/* as given, NULL = none */
	const char *labels;
	int32		max_labels;
	int32		max_points;
	double		perplexity;
	int32		clusters;		/* 0 = not given */
	int64		seed;
	int32		width;
	int32		height;
	const char *title;			/* NULL = of the model */
} MrMapOptions;

/* One view and the points taken from it. */
typedef struct MrMapPart
{
	MrSide		side;
	int64		total;			/* rows of the view */
	int32		first;			/* of its points in the map */
	int32		n;
} MrMapPart;

/* A line of the legend: a class of colour, what it is, how many points. */
typedef struct MrMapEntry
{
	char		class[4];
	char	   *text;			/* clean */
	int32		n;
} MrMapEntry;

/* Other categories, no value: behind the colours. */
#define MR_MAP_OTHER MR_SVG_COLORS
#define MR_MAP_NONE (MR_SVG_COLORS + 1)

typedef struct MrMap
{
	MemoryContext context;
	MrBudget	budget;
	MrMapOptions options;
	MrModel    *model;
	MrVersion  *version;
	int			dim;			/* without the bias coordinate */
	MrMapPart	parts[2];
	int			n_parts;

	/* of each point; the parts one after the other, the most popular of each first */
	int32		n;
	float	   *x;				/* [n][dim] */
	double	   *interactions;	/* NaN = unknown */
	char	  **key;			/* clean text */
	char	  **label;			/* clean text, NULL = none */
	char	  **value;			/* of a category */
	double	   *number;			/* of a number, NaN = none */
	MrIdMap    *ids;			/* of the first part, rows = points, if features are read */

	/* plot_equal.c: equal points are mapped once */
	int32		n_different;	/* rows of x from then on */
	int32	   *different;		/* [n] row of the point */
	int32	   *copy;			/* [n] 0 = the first of its equals */

	float	   *y;				/* [n_different][2] */
	double		share[2];		/* of the variance, PCA */
	int32	   *cluster;		/* 0 = the largest; NULL without clusters */
	int			n_clusters;

	/* plot_colors.c */
	MrMapColor	color;
	uint8	   *shade;			/* category, or step of the scale */
	int			n_entries;
	MrMapEntry	entries[MR_SVG_COLORS + 2];
	MrAxis		scale;			/* of a number */
	bool		low_clipped;	/* there are values beyond the scale */
	bool		high_clipped;

	ErrorData  *pending_error;	/* of the poll */
} MrMap;

/* plot_map.c */
extern int	mr_plot_size(FunctionCallInfo fcinfo, int arg, const char *name, int otherwise);
extern bool mr_map_poll(void *arg);
extern void mr_map_check(MrMap *map, MrMapStatus status);
extern void *mr_map_alloc(MrMap *map, Size size);
extern void mr_map_check_text(const MrMap *map, const StringInfoData *svg);
extern const char *mr_map_noun(MrSide side, int64 n);

/* plot_read.c */
extern void mr_map_read(MrMap *map);
extern char *mr_map_keep_text(MrMap *map, Datum value);

/* plot_features.c */
extern void mr_map_read_features(MrMap *map);

/* plot_equal.c */
extern void mr_map_merge_equal(MrMap *map);
extern void mr_map_seed(int32 copy, double offset[2]);

/* plot_compute.c */
extern void mr_map_compute(MrMap *map);

/* plot_colors.c */
extern void mr_map_color(MrMap *map);
extern const char *mr_map_class(const MrMap *map, int32 point, char *class);

/* plot_draw.c */
extern void mr_map_draw(MrMap *map, StringInfo svg);

/* plot_labels.c */
extern void mr_map_draw_labels(MrMap *map, StringInfo svg, const double *place, double radius, const double *area);

#endif							/* MR_PLOT_H */
