/*
 * style.c
 *		The style sheet of a picture: colours on light and on dark pages.
 *
 * The colours of categories were sought by computer: ten, and the grey of the
 * others, that stay apart for people with any of the three colour blindnesses too
 * (smallest distance in OKLab .088 on light, .081 on dark pages; the simulation is
 * that of G. Machado et al., IEEE TVCG 15(6), 2009).  The scale is viridis, which
 * grows evenly in lightness, without the end that a page would swallow.
 */
#include "postgres.h"

#include <math.h>

#include "plot/svg.h"

static const char *const light_colors[MR_SVG_COLORS] = {
	"#006bdc", "#ffa401", "#18ad6f", "#d42000", "#cb4f9e", "#02b2ff", "#7e061b", "#af8d00", "#56369c", "#705c5a"
};

static const char *const dark_colors[MR_SVG_COLORS] = {
	"#1077cc", "#e9a819", "#42d17f", "#f7640a", "#deb3d0", "#a3e9ff", "#cc3650", "#cae153", "#a495ff", "#9c9865"
};

/* Viridis in steps of a tenth. */
static const uint8 viridis[11][3] = {
	{68, 1, 84}, {72, 36, 117}, {65, 68, 135}, {53, 95, 141}, {42, 120, 142}, {33, 145, 140},
	{34, 168, 132}, {68, 191, 112}, {122, 209, 81}, {189, 223, 38}, {253, 231, 37}
};

/* s0 ... s15, from one part of the scale to another. */
static void
scale(StringInfo svg, double from, double to)
{
	for (int i = 0; i < MR_SVG_STEPS; i++)
	{
		double		at = 10 * (from + (to - from) * i / (MR_SVG_STEPS - 1));
		int			below = Min((int) at, 9);
		double		part = at - below;
		int			rgb[3];

		for (int c = 0; c < 3; c++)
			rgb[c] = (int) lround(viridis[below][c] * (1 - part) + viridis[below + 1][c] * part);
		appendStringInfo(svg, ".metricrec .s%d{fill:#%02x%02x%02x}", i, rgb[0], rgb[1], rgb[2]);
	}
	appendStringInfoChar(svg, '\n');
}

/* Categories as areas and, k0 ..., as lines. */
static void
categories(StringInfo svg, const char *const *colors)
{
	for (int i = 0; i < MR_SVG_COLORS; i++)
		appendStringInfo(svg, ".metricrec .c%d{fill:%s}.metricrec .k%d{stroke:%s}", i, colors[i], i, colors[i]);
	appendStringInfoChar(svg, '\n');
}

static void
page(StringInfo svg, const char *background, const char *text, const char *muted, const char *grid,
	 const char *other, const char *none)
{
	appendStringInfo(svg, ".metricrec .bg{fill:%s}.metricrec .t,.metricrec .l{fill:%s}"
					 ".metricrec .s,.metricrec .a,.metricrec .m{fill:%s}.metricrec .g,.metricrec .f{stroke:%s}"
					 ".metricrec .best{stroke:%s}.metricrec .co{fill:%s}.metricrec .cn{fill:%s}"
					 ".metricrec .l,.metricrec .edged circle,.metricrec .ring{stroke:%s}\n",
					 background, text, muted, grid, muted, other, none, background);
}

/* Appends the <style> element. */
void
mr_svg_style(StringInfo svg)
{
	appendStringInfoString(svg, "<style>\n"
						   ".metricrec .t{font-size:20px;font-weight:600}.metricrec .s{font-size:13px}"
						   ".metricrec .a,.metricrec .m{font-size:12px}.metricrec .h{font-weight:600}"
						   ".metricrec .l{font-size:11px;stroke-width:3px;stroke-linejoin:round;paint-order:stroke}"
						   ".metricrec .g,.metricrec .f{stroke-width:1px;fill:none}"
						   ".metricrec .k{stroke-width:2px;fill:none;stroke-linejoin:round;stroke-linecap:round}"
						   ".metricrec .best{stroke-width:1px;stroke-dasharray:3 3;fill:none}"
						   ".metricrec .edged circle{stroke-width:.6px}.metricrec .ring{stroke-width:2px}\n");
	page(svg, "#ffffff", "#1f2328", "#59636e", "#d9dee3", "#a5abb2", "#d0d4d9");
	categories(svg, light_colors);
	scale(svg, 0.0, 0.9);
	appendStringInfoString(svg, "@media (prefers-color-scheme:dark){\n");
	page(svg, "#0d1117", "#e6edf3", "#9aa4af", "#2b323b", "#6e757c", "#454c54");
	categories(svg, dark_colors);
	scale(svg, 0.2, 1.0);
	appendStringInfoString(svg, "}\n</style>\n");
}
