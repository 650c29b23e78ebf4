/*
 * plot_training.c
 *		metricrec.plot_training(): the course of a training as a picture.
 *
 *		 title
 *		 what, how long
 *		 --- stage   --- stage   --- stage
 *		 +------------------------------+
 *		 | loss per epoch				|
 *		 +------------------------------+
 *		 | validation, if there was one | best epoch marked
 *		 +------------------------------+
 *					 epoch
 *
 * What is drawn is what the view metricrec.training_log shows to the caller: a
 * line per stage, in the order in which they began.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "plot/plot.h"
#include "plot/svg.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(mr_plot_training);

enum
{
	ARG_MODEL,
	ARG_VERSION,
	ARG_WIDTH,
	ARG_HEIGHT
};

#define DEFAULT_WIDTH 800
#define DEFAULT_HEIGHT 560

#define MARGIN 24
#define LEFT 72					/* room for the labels of the ticks */
#define BETWEEN 42				/* of the panels */
#define BOTTOM 52

/* More lines could not be told apart. */
#define MAX_STAGES MR_SVG_COLORS

#define MAX_TICKS 32

/* Dots on a line with at most so many epochs. */
#define MAX_DOTS 60

typedef struct Epoch
{
	int32		epoch;
	double		loss;
	double		ndcg;			/* NaN: not validated */
} Epoch;

typedef struct Stage
{
	char	   *name;			/* clean */
	int			n;
	Epoch	   *epochs;
	int			best;			/* of greatest ndcg; -1: none was validated */
} Stage;

typedef struct Course
{
	const MrModel *model;
	int32		version;
	int			n_stages;
	Stage		stages[MAX_STAGES];
	int64		n_epochs;		/* rows of the log */
	double		seconds;
	int32		last_epoch;		/* greatest number */
	bool		validated;
} Course;

/* One panel of the picture. */
typedef struct Panel
{
	double		left;
	double		top;
	double		width;
	double		height;
	MrAxis		x;
	MrAxis		y;
} Panel;

typedef double (*Measure) (const Epoch *epoch);

static double
loss_of(const Epoch *epoch)
{
	return epoch->loss;
}

static double
ndcg_of(const Epoch *epoch)
{
	return epoch->ndcg;
}

/* ---- reading ---- */

static Stage *
stage_of(Course *course, const char *name, uint64 n_rows)
{
	Stage	   *stage;

	for (int i = 0; i < course->n_stages; i++)
		if (strcmp(course->stages[i].name, name) == 0)
			return &course->stages[i];
	if (course->n_stages >= MAX_STAGES)
		return &course->stages[MAX_STAGES - 1];
	stage = &course->stages[course->n_stages++];
	stage->name = pstrdup(name);
	stage->epochs = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Epoch) * n_rows);
	stage->best = -1;
	return stage;
}

static double
number_at(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? NAN : DatumGetFloat8(value);
}

static void
take_epoch(Course *course, HeapTuple tuple, TupleDesc desc, uint64 n_rows)
{
	char	   *name = SPI_getvalue(tuple, desc, 1);
	Stage	   *stage = stage_of(course, mr_svg_clean(name ? name : "", 40), n_rows);
	Epoch	   *epoch = &stage->epochs[stage->n++];
	double		seconds = number_at(tuple, desc, 5);

	epoch->epoch = (int32) number_at(tuple, desc, 2);
	epoch->loss = number_at(tuple, desc, 3);
	epoch->ndcg = number_at(tuple, desc, 4);
	if (isfinite(epoch->ndcg) && (stage->best < 0 || epoch->ndcg > stage->epochs[stage->best].ndcg))
		stage->best = stage->n - 1;
	course->validated = course->validated || stage->best >= 0;
	course->last_epoch = Max(course->last_epoch, epoch->epoch);
	course->n_epochs++;
	if (isfinite(seconds))
		course->seconds += seconds;
}

/* The version asked for, or the last one with a log; error if there is no log. */
static void
choose_version(Course *course, bool given, int32 version)
{
	const MrModel *model = course->model;
	Oid			types[2] = {NAMEOID, NAMEOID};
	NameData	schema;
	NameData	name;
	Datum		values[2] = {NameGetDatum(&schema), NameGetDatum(&name)};
	bool		isnull;

	course->version = version;
	if (given)
		return;
	namestrcpy(&schema, get_namespace_name(model->schema));
	namestrcpy(&name, model->name);
	if (SPI_execute_with_args("SELECT pg_catalog.max(version) FROM metricrec.training_log "
							  "WHERE schema OPERATOR(pg_catalog.=) $1 AND model OPERATOR(pg_catalog.=) $2",
							  2, types, values, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the training log");
	course->version = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("model \"%s\" has no training log", model->name),
				 errhint("Train it with SELECT * FROM metricrec.train(%s).", quote_literal_cstr(model->name))));
}

static void
read_course(Course *course)
{
	const MrModel *model = course->model;
	Oid			types[3] = {NAMEOID, NAMEOID, INT4OID};
	NameData	schema;
	NameData	name;
	Datum		values[3] = {NameGetDatum(&schema), NameGetDatum(&name), Int32GetDatum(course->version)};

	namestrcpy(&schema, get_namespace_name(model->schema));
	namestrcpy(&name, model->name);
	if (SPI_execute_with_args("SELECT stage, epoch::pg_catalog.float8, loss, ndcg, seconds FROM metricrec.training_log "
							  "WHERE schema OPERATOR(pg_catalog.=) $1 AND model OPERATOR(pg_catalog.=) $2 "
							  "AND version OPERATOR(pg_catalog.=) $3 ORDER BY step",
							  3, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the training log");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("version %d of model \"%s\" has no training log", course->version, model->name),
				 errhint("The view metricrec.training_log has the versions that have one.")));
	for (uint64 i = 0; i < SPI_processed; i++)
		take_epoch(course, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, SPI_processed);
}

/* ---- panels ---- */

static double
place_x(const Panel *panel, double epoch)
{
	return panel->left + panel->width * mr_axis_place(&panel->x, epoch);
}

static double
place_y(const Panel *panel, double value)
{
	return panel->top + panel->height * (1 - mr_axis_place(&panel->y, value));
}

/* Over all stages; false if there is no value. */
static bool
range_of(const Course *course, Measure measure, double *low, double *high)
{
	*low = INFINITY;
	*high = -INFINITY;
	for (int s = 0; s < course->n_stages; s++)
		for (int i = 0; i < course->stages[s].n; i++)
		{
			double		value = measure(&course->stages[s].epochs[i]);

			if (!isfinite(value))
				continue;
			*low = Min(*low, value);
			*high = Max(*high, value);
		}
	return *low <= *high;
}

static void
set_axes(Panel *panel, const Course *course, Measure measure)
{
	double		low = 0;
	double		high = 1;
	double		room;

	(void) range_of(course, measure, &low, &high);
	room = high > low ? (high - low) * 0.04 : 0;
	panel->y = mr_axis_linear(low >= 0 ? Max(low - room, 0) : low - room, high + room,
							  Max((int) (panel->height / 30), 2), false);
	panel->x = mr_axis_linear(1, course->last_epoch, Max((int) (panel->width / 70), 2), true);
	if (course->last_epoch <= 1)
		panel->x.low = 0;
}

static void
draw_axes(StringInfo svg, const Panel *panel, const char *title, bool with_epochs)
{
	double		ticks[MAX_TICKS];
	double		bottom = panel->top + panel->height;
	int			n = mr_axis_ticks(&panel->y, ticks, MAX_TICKS);

	mr_svg_text(svg, "a h", panel->left, panel->top - 10, MR_ANCHOR_START, title);
	for (int i = 0; i < n; i++)
	{
		double		y = place_y(panel, ticks[i]);

		mr_svg_line(svg, "g", panel->left, y, panel->left + panel->width, y);
		mr_svg_text(svg, "a", panel->left - 8, y + 4, MR_ANCHOR_END, mr_axis_label(&panel->y, ticks[i]));
	}
	mr_svg_line(svg, "f", panel->left, bottom, panel->left + panel->width, bottom);
	n = mr_axis_ticks(&panel->x, ticks, MAX_TICKS);
	for (int i = 0; i < n; i++)
	{
		double		x = place_x(panel, ticks[i]);

		if (ticks[i] < 1)
			continue;
		mr_svg_line(svg, "f", x, bottom, x, bottom + 4);
		if (with_epochs)
			mr_svg_text(svg, "a", x, bottom + 19, MR_ANCHOR_MIDDLE, mr_axis_label(&panel->x, ticks[i]));
	}
	if (with_epochs)
		mr_svg_text(svg, "a", panel->left + panel->width / 2, bottom + 38, MR_ANCHOR_MIDDLE, "epoch");
}

static char *
tooltip(const Stage *stage, const Epoch *epoch)
{
	if (isnan(epoch->ndcg))
		return psprintf("%s, epoch %d: loss %.4g", stage->name, epoch->epoch, epoch->loss);
	return psprintf("%s, epoch %d: loss %.4g, nDCG@10 %.4f", stage->name, epoch->epoch, epoch->loss, epoch->ndcg);
}

/* A stage's line, with a gap where there is no value. */
static void
draw_line(StringInfo svg, const Panel *panel, const Stage *stage, int color, Measure measure)
{
	bool		open = false;

	appendStringInfo(svg, "<path class=\"k k%d\" d=\"", color);
	for (int i = 0; i < stage->n; i++)
	{
		double		value = measure(&stage->epochs[i]);

		if (!isfinite(value))
		{
			open = false;
			continue;
		}
		appendStringInfoChar(svg, open ? 'L' : 'M');
		mr_svg_point(svg, place_x(panel, stage->epochs[i].epoch), place_y(panel, value));
		open = true;
	}
	appendStringInfoString(svg, "\"/>\n");
}

static void
draw_dots(StringInfo svg, const Panel *panel, const Stage *stage, int color, Measure measure, double radius)
{
	char		class[8];

	snprintf(class, sizeof(class), "c%d", color);
	for (int i = 0; i < stage->n; i++)
	{
		const Epoch *epoch = &stage->epochs[i];

		if (isfinite(measure(epoch)))
			mr_svg_circle(svg, class, place_x(panel, epoch->epoch), place_y(panel, measure(epoch)), radius,
						  tooltip(stage, epoch));
	}
}

/* The best epoch of each stage, larger than the others and with an edge. */
static void
draw_best(StringInfo svg, const Panel *panel, const Course *course)
{
	for (int s = 0; s < course->n_stages; s++)
	{
		const Stage *stage = &course->stages[s];
		char		class[16];

		if (stage->best < 0)
			continue;
		snprintf(class, sizeof(class), "ring c%d", s);
		mr_svg_circle(svg, class, place_x(panel, stage->epochs[stage->best].epoch),
					  place_y(panel, stage->epochs[stage->best].ndcg), 6, tooltip(stage, &stage->epochs[stage->best]));
	}
}

static void
draw_panel(StringInfo svg, const Panel *panel, const Course *course, const char *title, Measure measure, bool with_epochs)
{
	draw_axes(svg, panel, title, with_epochs);
	for (int s = 0; s < course->n_stages; s++)
	{
		const Stage *stage = &course->stages[s];

		CHECK_FOR_INTERRUPTS();
		if (measure == ndcg_of && stage->best < 0)
			continue;
		draw_line(svg, panel, stage, s, measure);
		if (stage->n <= MAX_DOTS)
			draw_dots(svg, panel, stage, s, measure, stage->n == 1 ? 4 : 2.2);
	}
}

/* ---- the picture ---- */

/* The stage whose best epoch is the best of all, or NULL. */
static const Stage *
best_stage(const Course *course)
{
	const Stage *best = NULL;

	for (int s = 0; s < course->n_stages; s++)
	{
		const Stage *stage = &course->stages[s];

		if (stage->best >= 0 && (best == NULL || stage->epochs[stage->best].ndcg > best->epochs[best->best].ndcg))
			best = stage;
	}
	return best;
}

/* "validate free: best .4123 at epoch 14" */
static char *
legend_text(const Stage *stage)
{
	if (stage->best < 0)
		return pstrdup(stage->name);
	return psprintf("%s: best %.4f at epoch %d", stage->name, stage->epochs[stage->best].ndcg,
					stage->epochs[stage->best].epoch);
}

/* The stages' colours, in as many lines as they need from y on; returns where the last one ends. */
static double
draw_legend(StringInfo svg, const Course *course, int width, double y)
{
	double		x = MARGIN;

	for (int s = 0; s < course->n_stages; s++)
	{
		char	   *text = mr_svg_fit(legend_text(&course->stages[s]), 12, width - 2 * MARGIN - 26);
		double		needed = 26 + mr_svg_text_width(text, 12) + 22;

		if (x > MARGIN && x + needed > width)
		{
			x = MARGIN;
			y += 20;
		}
		appendStringInfo(svg, "<path class=\"k k%d\" d=\"M", s);
		mr_svg_point(svg, x, y - 4);
		appendStringInfoChar(svg, 'H');
		mr_svg_number(svg, x + 18);
		appendStringInfoString(svg, "\"/>\n");
		mr_svg_text(svg, "m", x + 26, y, MR_ANCHOR_START, text);
		x += needed;
	}
	return y;
}

static char *
subtitle(const Course *course)
{
	const char *epochs = course->n_epochs == 1 ? "epoch" : "epochs";

	if (course->seconds < 120)
		return psprintf("version %d, %s %s, %.1f s", course->version, mr_svg_count(course->n_epochs), epochs,
						course->seconds);
	return psprintf("version %d, %s %s, %s minutes", course->version, mr_svg_count(course->n_epochs), epochs,
					mr_svg_count((int64) (course->seconds / 60)));
}

/* The line down both panels through the best epoch of all. */
static void
draw_best_line(StringInfo svg, const Course *course, const Panel *first, const Panel *last)
{
	const Stage *best = best_stage(course);
	double		x;

	if (best == NULL)
		return;
	x = place_x(first, best->epochs[best->best].epoch);
	mr_svg_line(svg, "best", x, first->top, x, last->top + last->height);
}

static void
draw_course(StringInfo svg, const Course *course, int width, int height)
{
	char	   *name = mr_svg_clean(course->model->name, NAMEDATALEN);
	char	   *title = mr_svg_fit(psprintf("Training of %s", name), 21, width - 2 * MARGIN);
	Panel		loss;
	Panel		ndcg;
	double		top;
	double		room;

	mr_svg_begin(svg, width, height, psprintf("Training of %s, %s: loss%s per epoch", name, subtitle(course),
											  course->validated ? " and nDCG@10 of the validation" : ""));
	mr_svg_text(svg, "t", MARGIN, 36, MR_ANCHOR_START, title);
	mr_svg_text(svg, "s", MARGIN, 57, MR_ANCHOR_START, mr_svg_fit(subtitle(course), 13, width - 2 * MARGIN));
	top = draw_legend(svg, course, width, 82) + 40;
	room = Max(height - top - BOTTOM, 20);

	loss.left = LEFT;
	loss.width = width - LEFT - MARGIN;
	loss.top = top;
	loss.height = course->validated ? Max((room - BETWEEN) / 2, 10) : room;
	ndcg = loss;
	ndcg.top = top + loss.height + BETWEEN;
	set_axes(&loss, course, loss_of);
	set_axes(&ndcg, course, ndcg_of);
	draw_best_line(svg, course, &loss, &ndcg);
	draw_panel(svg, &loss, course, "loss", loss_of, !course->validated);
	if (course->validated)
	{
		draw_panel(svg, &ndcg, course, "nDCG@10 on the validation split", ndcg_of, true);
		draw_best(svg, &ndcg, course);
	}
	mr_svg_end(svg);
}

/*
 * metricrec.plot_training(model name, version int4, width int4, height int4) -> text
 *
 * Errors: 42704 no such model; P0002 no log; 22023 a size out of range.
 */
Datum
mr_plot_training(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	int			width = mr_plot_size(fcinfo, ARG_WIDTH, "width", DEFAULT_WIDTH);
	int			height = mr_plot_size(fcinfo, ARG_HEIGHT, "height", DEFAULT_HEIGHT);
	Course	   *course;
	StringInfoData svg;
	text	   *result;

	SPI_connect();
	course = palloc0(sizeof(Course));
	course->model = mr_model_lookup(PG_ARGISNULL(ARG_MODEL) ? NULL : NameStr(*PG_GETARG_NAME(ARG_MODEL)),
									MR_MODEL_QUERY);
	choose_version(course, !PG_ARGISNULL(ARG_VERSION), PG_ARGISNULL(ARG_VERSION) ? 0 : PG_GETARG_INT32(ARG_VERSION));
	read_course(course);
	initStringInfo(&svg);
	draw_course(&svg, course, width, height);
	MemoryContextSwitchTo(caller);
	result = cstring_to_text_with_len(svg.data, svg.len);
	SPI_finish();
	PG_RETURN_TEXT_P(result);
}
