/*
 * plot_map.c
 *		metricrec.plot_map(): arguments, stages, memory, interrupts.
 */
#include "postgres.h"

#include <math.h>

#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "math/lapack.h"
#include "metricrec.h"
#include "plot/plot.h"
#include "util/guc.h"
#include "util/pgutil.h"

PG_FUNCTION_INFO_V1(mr_plot_map);

enum
{
	ARG_MODEL,
	ARG_SIDE,
	ARG_METHOD,
	ARG_COLOR,
	ARG_LABELS,
	ARG_MAX_LABELS,
	ARG_MAX_POINTS,
	ARG_SAMPLE,
	ARG_PERPLEXITY,
	ARG_CLUSTERS,
	ARG_SEED,
	ARG_WIDTH,
	ARG_HEIGHT,
	ARG_TITLE
};

#define DEFAULT_WIDTH 960
#define DEFAULT_HEIGHT 720
#define DEFAULT_MAX_POINTS 5000
#define DEFAULT_MAX_LABELS 40
#define DEFAULT_PERPLEXITY 30
#define DEFAULT_CLUSTERS 8

#define MIN_SIZE 240
#define MAX_SIZE 10000

/* Beyond, the codes of k-means have no room for their products. */
#define MAX_CLUSTER_DIMENSIONS MR_MAX_INDEX_DIMENSIONS

/* ---- arguments ---- */

static int32
get_bounded(FunctionCallInfo fcinfo, int arg, const char *name, int32 otherwise, int32 lowest, int32 highest)
{
	int32		value = PG_ARGISNULL(arg) ? otherwise : PG_GETARG_INT32(arg);

	if (value < lowest || value > highest)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is %d, but must be between %d and %d", name, value, lowest, highest)));
	return value;
}

/* The width or height of a picture, in pixels. */
int
mr_plot_size(FunctionCallInfo fcinfo, int arg, const char *name, int otherwise)
{
	return get_bounded(fcinfo, arg, name, otherwise, MIN_SIZE, MAX_SIZE);
}

static const char *
get_text(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

/* The place of the argument's word among the words; the first if it is null. */
static int
get_word(FunctionCallInfo fcinfo, int arg, const char *name, const char *const *words, int n)
{
	const char *word = get_text(fcinfo, arg);
	StringInfoData list;

	if (word == NULL)
		return 0;
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		if (strcmp(word, words[i]) == 0)
			return i;
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : i == n - 1 ? " or " : ", ", words[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s is \"%s\", but must be %s", name, word, list.data)));
	return 0;					/* not reached */
}

static double
get_perplexity(FunctionCallInfo fcinfo)
{
	double		perplexity = PG_ARGISNULL(ARG_PERPLEXITY) ? DEFAULT_PERPLEXITY : PG_GETARG_FLOAT8(ARG_PERPLEXITY);

	if (!(perplexity >= 1 && perplexity <= 500))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("perplexity is %g, but must be between 1 and 500", perplexity)));
	return perplexity;
}

static void
get_options(FunctionCallInfo fcinfo, MrMapOptions *options)
{
	static const char *const sides[] = {"item", "user", "tag", "both"};
	static const char *const methods[] = {"tsne", "pca"};
	static const char *const samples[] = {"popular", "random"};

	options->side = get_word(fcinfo, ARG_SIDE, "side", sides, lengthof(sides));
	options->method = get_word(fcinfo, ARG_METHOD, "method", methods, lengthof(methods));
	options->sample = get_word(fcinfo, ARG_SAMPLE, "sample", samples, lengthof(samples));
	options->color = get_text(fcinfo, ARG_COLOR);
	options->labels = get_text(fcinfo, ARG_LABELS);
	options->max_labels = get_bounded(fcinfo, ARG_MAX_LABELS, "max_labels", DEFAULT_MAX_LABELS, 0, MR_PLOT_MAX_LABELS);
	options->max_points = get_bounded(fcinfo, ARG_MAX_POINTS, "max_points", DEFAULT_MAX_POINTS, 1, MR_PLOT_MAX_POINTS);
	options->perplexity = get_perplexity(fcinfo);
	options->clusters = PG_ARGISNULL(ARG_CLUSTERS) ? 0 :
		get_bounded(fcinfo, ARG_CLUSTERS, "clusters", 0, 1, MR_SVG_COLORS);
	options->seed = PG_ARGISNULL(ARG_SEED) ? 1 : PG_GETARG_INT64(ARG_SEED);
	options->width = mr_plot_size(fcinfo, ARG_WIDTH, "width", DEFAULT_WIDTH);
	options->height = mr_plot_size(fcinfo, ARG_HEIGHT, "height", DEFAULT_HEIGHT);
	options->title = get_text(fcinfo, ARG_TITLE);
}

/* ---- what the colours stand for, as far as the arguments say ---- */

static void
check_clusters(MrMap *map)
{
	MrMapOptions *options = &map->options;

	if (options->clusters > 0 && map->color != MR_MAP_CLUSTER)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("clusters are not shown where color is \"%s\"", options->color),
				 errhint("Leave color out, or pass color => 'cluster'.")));
	if (map->color != MR_MAP_CLUSTER)
		return;
	if (options->clusters == 0)
		options->clusters = DEFAULT_CLUSTERS;
	if (map->dim > MAX_CLUSTER_DIMENSIONS)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot find clusters of points of more than %d dimensions", MAX_CLUSTER_DIMENSIONS),
				 errdetail("The points have %d.", map->dim)));
}

/* A column's kind is decided when its type is seen, in plot_features.c. */
static void
choose_color(MrMap *map)
{
	const MrMapOptions *options = &map->options;

	if (options->color == NULL && options->clusters > 0)
		map->color = MR_MAP_CLUSTER;
	else if (options->color == NULL)
		map->color = options->side == MR_MAP_BOTH ? MR_MAP_SIDES : MR_MAP_PLAIN;
	else if (strcmp(options->color, "cluster") == 0)
		map->color = MR_MAP_CLUSTER;
	else if (strcmp(options->color, "popularity") == 0)
		map->color = MR_MAP_POPULARITY;
	else
		map->color = MR_MAP_CATEGORY;
	check_clusters(map);
}

/* ---- what the stages need ---- */

/* "item" or "items" */
const char *
mr_map_noun(MrSide side, int64 n)
{
	switch (side)
	{
		case MR_SIDE_USER:
			return n == 1 ? "user" : "users";
		case MR_SIDE_ITEM:
			return n == 1 ? "item" : "items";
		case MR_SIDE_TAG:
			return n == 1 ? "tag" : "tags";
	}
	return NULL;				/* not reached */
}

/* Refuses what does not fit beside what the map holds. */
static void
check_room(const MrMap *map, Size size)
{
	const MrBudget *budget = &map->budget;

	if (budget->used > budget->limit || size > budget->limit - budget->used)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("the map does not fit into metricrec.training_memory"),
				 errdetail("It needs at least %zu kB; the setting allows %zu kB.",
						   (budget->used + size) / 1024 + 1, budget->limit / 1024),
				 errhint("Lower max_points, or raise metricrec.training_memory.")));
}

/*
 * The same for the picture's text while it grows: it is twice as large when it has no
 * room left, and copied at the end.
 */
void
mr_map_check_text(const MrMap *map, const StringInfoData *svg)
{
	check_room(map, 3 * (Size) svg->maxlen);
}

/* Memory at a multiple of 64 bytes, checked against the limit first; goes with the map. */
void *
mr_map_alloc(MrMap *map, Size size)
{
	MrBudget   *budget = &map->budget;

	size = add_size(size, 64);
	check_room(map, size);
	return (void *) TYPEALIGN(64, mr_budget_alloc(budget, map->context, size));
}

/*
 * The core's poll callback: true = stop.  An error of the interrupt handling is
 * kept and thrown once the core has returned: nothing jumps through it.
 */
bool
mr_map_poll(void *arg)
{
	MrMap	   *map = arg;
	MemoryContext context = CurrentMemoryContext;

	if (!INTERRUPTS_PENDING_CONDITION())
		return false;
	PG_TRY();
	{
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(map->context);
		map->pending_error = CopyErrorData();
		FlushErrorState();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	return map->pending_error != NULL;
}

/* Turns what the core has returned into an error, if it is one. */
void
mr_map_check(MrMap *map, MrMapStatus status)
{
	switch (status)
	{
		case MR_MAP_OK:
			return;
		case MR_MAP_STOPPED:
			if (map->pending_error)
				ReThrowError(map->pending_error);
			elog(ERROR, "the map stopped without an interrupt");
			break;
		case MR_MAP_FAILED:
			elog(ERROR, "no principal components were found");
			break;
	}
}

static void
check_blas(void)
{
	const char *why = mr_lapack_load();

	if (why)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("could not load OpenBLAS: %s", why),
				 errhint("Install it (on Debian: libopenblas0-serial).")));
}

/* ---- the function ---- */

/*
 * The views stay locked until the transaction ends, so that no other version comes
 * under them between reading the version's tower and reading its points.
 */
static void
find_version(MrMap *map, const char *name)
{
	MrModel    *model = mr_model_lookup(name, MR_MODEL_QUERY);

	map->model = model;
	if (map->options.side == MR_MAP_TAG && model->tag_column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no tags", model->name),
				 errhint("Make a model whose tag_column names the column of tags in the interactions.")));
	LockRelationOid(model->user_view, AccessShareLock);
	LockRelationOid(model->item_view, AccessShareLock);
	if (OidIsValid(model->tag_view))
		LockRelationOid(model->tag_view, AccessShareLock);
	map->version = mr_version_served(model);
	map->dim = map->version->tower.dimensions - (map->version->tower.item_bias ? 1 : 0);
}

static MrMap *
begin_map(FunctionCallInfo fcinfo)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec map", ALLOCSET_DEFAULT_SIZES);
	MrMap	   *map;

	MemoryContextSwitchTo(context);
	map = palloc0(sizeof(MrMap));
	map->context = context;
	map->budget.limit = (Size) mr_training_memory * 1024;
	map->budget.what = "points of the map";
	get_options(fcinfo, &map->options);
	find_version(map, PG_ARGISNULL(ARG_MODEL) ? NULL : NameStr(*PG_GETARG_NAME(ARG_MODEL)));
	choose_color(map);
	return map;
}

/*
 * metricrec.plot_map(model, side, method, color, labels, max_labels, max_points, sample,
 * perplexity, clusters, seed, width, height, title) -> text
 *
 * Errors: 22023 an argument out of range; 42704 no such model; 55000 not trained, no
 * tags, no feature table; 42703 no such column; 42501 no privilege; 23505 a key twice
 * among the features; 53200 beyond metricrec.training_memory; 0A000 no OpenBLAS.
 */
Datum
mr_plot_map(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	StringInfoData svg;
	text	   *result;
	MrMap	   *map;

	SPI_connect();
	map = begin_map(fcinfo);
	check_blas();
	mr_map_read(map);
	mr_map_read_features(map);
	mr_map_compute(map);
	mr_map_color(map);
	initStringInfo(&svg);
	mr_map_draw(map, &svg);
	MemoryContextSwitchTo(caller);
	result = cstring_to_text_with_len(svg.data, svg.len);
	SPI_finish();
	PG_RETURN_TEXT_P(result);
}
