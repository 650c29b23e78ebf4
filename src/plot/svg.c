/*
 * svg.c
 *		The elements of a picture.
 */
#include "postgres.h"

#include <math.h>

#include "plot/svg.h"

/*
 * Opens a picture of width x height pixels; it scales to whatever room it gets.
 * The description, clean text, is for who does not see it.
 */
void
mr_svg_begin(StringInfo svg, int width, int height, const char *description)
{
	appendStringInfo(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"metricrec\" width=\"%d\" height=\"%d\" "
					 "viewBox=\"0 0 %d %d\" role=\"img\" font-family=\"sans-serif\">\n<desc>",
					 width, height, width, height);
	mr_svg_escape(svg, description);
	appendStringInfoString(svg, "</desc>\n");
	mr_svg_style(svg);
	mr_svg_rect(svg, "bg", 0, 0, width, height);
}

void
mr_svg_end(StringInfo svg)
{
	appendStringInfoString(svg, "</svg>\n");
}

/* A coordinate: tenths of a pixel, no zeros behind the point. */
void
mr_svg_number(StringInfo svg, double x)
{
	long		tenths = isfinite(x) ? lround(Max(Min(x, 1e6), -1e6) * 10) : 0;

	if (tenths < 0)
		appendStringInfoChar(svg, '-');
	tenths = labs(tenths);
	appendStringInfo(svg, "%ld", tenths / 10);
	if (tenths % 10 != 0)
		appendStringInfo(svg, ".%ld", tenths % 10);
}

/* "x,y", of a path. */
void
mr_svg_point(StringInfo svg, double x, double y)
{
	mr_svg_number(svg, x);
	appendStringInfoChar(svg, ',');
	mr_svg_number(svg, y);
}

static void
attribute(StringInfo svg, const char *name, double value)
{
	appendStringInfo(svg, " %s=\"", name);
	mr_svg_number(svg, value);
	appendStringInfoChar(svg, '"');
}

void
mr_svg_line(StringInfo svg, const char *class, double x1, double y1, double x2, double y2)
{
	appendStringInfo(svg, "<line class=\"%s\"", class);
	attribute(svg, "x1", x1);
	attribute(svg, "y1", y1);
	attribute(svg, "x2", x2);
	attribute(svg, "y2", y2);
	appendStringInfoString(svg, "/>\n");
}

void
mr_svg_rect(StringInfo svg, const char *class, double x, double y, double width, double height)
{
	appendStringInfo(svg, "<rect class=\"%s\"", class);
	attribute(svg, "x", x);
	attribute(svg, "y", y);
	attribute(svg, "width", width);
	attribute(svg, "height", height);
	appendStringInfoString(svg, "/>\n");
}

/* tooltip: clean text, or NULL. */
void
mr_svg_circle(StringInfo svg, const char *class, double x, double y, double radius, const char *tooltip)
{
	appendStringInfo(svg, "<circle class=\"%s\"", class);
	attribute(svg, "cx", x);
	attribute(svg, "cy", y);
	attribute(svg, "r", radius);
	if (tooltip == NULL)
	{
		appendStringInfoString(svg, "/>\n");
		return;
	}
	appendStringInfoString(svg, "><title>");
	mr_svg_escape(svg, tooltip);
	appendStringInfoString(svg, "</title></circle>\n");
}

/* y: of the base line. */
void
mr_svg_text(StringInfo svg, const char *class, double x, double y, MrAnchor anchor, const char *clean)
{
	appendStringInfo(svg, "<text class=\"%s\"", class);
	attribute(svg, "x", x);
	attribute(svg, "y", y);
	if (anchor != MR_ANCHOR_START)
		appendStringInfo(svg, " text-anchor=\"%s\"", anchor == MR_ANCHOR_END ? "end" : "middle");
	appendStringInfoChar(svg, '>');
	mr_svg_escape(svg, clean);
	appendStringInfoString(svg, "</text>\n");
}
