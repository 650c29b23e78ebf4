/*
 * svg.h
 *		Writing a picture as SVG text.
 *
 * What comes out is plain ASCII, whatever the encodings of server and client:
 * other characters are written as numbers (&#x2026;).  Text of users goes through
 * mr_svg_clean() first, which gives UTF-8 without anything that could break the
 * file or the picture, and through mr_svg_escape() when it is written.
 *
 * Colours are classes of a style sheet (style.c) that knows light and dark pages:
 *
 *		c0 ... c9	categories			s0 ... s15	a scale, low to high
 *		co			other categories	cn			no value
 *		t s a l m	title, subtitle, axis, label of a point, muted text
 *		bg g f		background, grid line, frame
 */
#ifndef MR_SVG_H
#define MR_SVG_H

#include "lib/stringinfo.h"

/* Colours for categories, and steps of a scale. */
#define MR_SVG_COLORS 10
#define MR_SVG_STEPS 16

typedef enum MrAnchor
{
	MR_ANCHOR_START,
	MR_ANCHOR_MIDDLE,
	MR_ANCHOR_END
} MrAnchor;

/* svg.c */
extern void mr_svg_begin(StringInfo svg, int width, int height, const char *description);
extern void mr_svg_end(StringInfo svg);
extern void mr_svg_number(StringInfo svg, double x);
extern void mr_svg_point(StringInfo svg, double x, double y);
extern void mr_svg_line(StringInfo svg, const char *class, double x1, double y1, double x2, double y2);
extern void mr_svg_rect(StringInfo svg, const char *class, double x, double y, double width, double height);
extern void mr_svg_circle(StringInfo svg, const char *class, double x, double y, double radius, const char *tooltip);
extern void mr_svg_text(StringInfo svg, const char *class, double x, double y, MrAnchor anchor, const char *clean);

/* svg_text.c */
extern char *mr_svg_clean(const char *text, int max_characters);
extern char *mr_svg_fit(const char *clean, double size, double width);
extern void mr_svg_escape(StringInfo svg, const char *clean);
extern double mr_svg_text_width(const char *clean, double size);
extern char *mr_svg_count(int64 n);

/* style.c */
extern void mr_svg_style(StringInfo svg);

/* axis.c */
typedef struct MrAxis
{
	double		low;			/* low < high */
	double		high;
	double		step;			/* between ticks; of a logarithmic axis not used */
	bool		is_log;			/* low > 0 */
	int			decimals;		/* of the ticks' labels */
} MrAxis;

extern MrAxis mr_axis_linear(double low, double high, int ticks, bool whole);
extern MrAxis mr_axis_log(double low, double high);
extern double mr_axis_place(const MrAxis *axis, double value);
extern int	mr_axis_ticks(const MrAxis *axis, double *ticks, int max);
extern char *mr_axis_label(const MrAxis *axis, double value);

#endif							/* MR_SVG_H */
