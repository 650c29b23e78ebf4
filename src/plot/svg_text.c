/*
 * svg_text.c
 *		Text of users in a picture: what may stay of it, how wide it is, how it is
 *		written.
 *
 * A label can hold anything: markup, control characters, which XML forbids even as
 * numbers, marks that turn the direction of what follows, megabytes.  Clean text
 * is valid UTF-8 without these, on one line, and cut.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "plot/svg.h"

#define REPLACEMENT 0xFFFD
#define ELLIPSIS "\xE2\x80\xA6"

/* ---- cleaning ---- */

/* Controls, separators of lines: they become spaces. */
static bool
is_space(pg_wchar c)
{
	return c <= 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0x2028 || c == 0x2029 || c == 0x3000 ||
		(c >= 0x2000 && c <= 0x200A);
}

/* Invisible, and changes how others look: direction, annotation, tags, width 0. */
static bool
is_dropped(pg_wchar c)
{
	return c == 0x061C || c == 0x200B || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
		(c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
		(c >= 0xE0000 && c <= 0xE0FFF);
}

/* Not allowed in XML, or no character. */
static bool
is_invalid(pg_wchar c)
{
	return (c >= 0xD800 && c <= 0xDFFF) || (c & 0xFFFE) == 0xFFFE || c > 0x10FFFF || (c >= 0xFDD0 && c <= 0xFDEF);
}

/* As UTF-8; of a server without an encoding only ASCII is known. */
static char *
to_utf8(const char *text)
{
	char	   *copy;

	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		return pg_server_to_any(text, strlen(text), PG_UTF8);
	copy = pstrdup(text);
	for (char *c = copy; *c; c++)
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	return copy;
}

/*
 * The text, clean, at most so many characters; longer ones end in an ellipsis.
 * Spaces at the ends go, several become one.
 */
char *
mr_svg_clean(const char *text, int max_characters)
{
	const unsigned char *in = (const unsigned char *) to_utf8(text);
	StringInfoData out;
	int			n = 0;
	bool		space = false;

	initStringInfo(&out);
	for (; *in; in += pg_utf_mblen(in))
	{
		pg_wchar	c = utf8_to_unicode(in);
		unsigned char bytes[4];

		if (is_dropped(c))
			continue;
		if (is_space(c))
		{
			space = n > 0;
			continue;
		}
		if (n + space >= max_characters)
		{
			appendStringInfoString(&out, ELLIPSIS);
			break;
		}
		if (space)
			appendStringInfoChar(&out, ' ');
		n += 1 + space;
		space = false;
		unicode_to_utf8(is_invalid(c) ? REPLACEMENT : c, bytes);
		appendBinaryStringInfo(&out, (char *) bytes, pg_utf_mblen(bytes));
	}
	return out.data;
}

/* ---- width ---- */

/*
 * Of a character, in parts of the font's size: between the narrow and the wide of
 * the usual fonts without serifs, on the wide side, as labels must not overlap.
 */
static double
character_width(pg_wchar c)
{
	if ((c >= 0x300 && c <= 0x36F) || c == 0x200C || c == 0x200D || (c >= 0xFE00 && c <= 0xFE0F))
		return 0;
	if (c >= 0x1100 && (c <= 0x115F || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
						(c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) ||
						(c >= 0xFF00 && c <= 0xFF60) || (c >= 0x1F000 && c <= 0x3FFFF)))
		return 1.05;
	if (c < 0x80)
	{
		if (strchr("iljI.,:;'|! ", (int) c))
			return 0.32;
		if (strchr("ftr()[]{}-/\\\"*", (int) c))
			return 0.42;
		if (strchr("mwMW%@", (int) c))
			return 0.92;
		if ((c >= 'A' && c <= 'Z') || strchr("&#+=<>~", (int) c))
			return 0.7;
	}
	return 0.6;
}

/* In pixels, at this size of the font. */
double
mr_svg_text_width(const char *clean, double size)
{
	double		width = 0;

	for (const unsigned char *in = (const unsigned char *) clean; *in; in += pg_utf_mblen(in))
		width += character_width(utf8_to_unicode(in));
	return width * size;
}

/* The text, cut to this width. */
char *
mr_svg_fit(const char *clean, double size, double width)
{
	const unsigned char *start = (const unsigned char *) clean;
	double		used = 0.8;		/* of the ellipsis */
	const unsigned char *in;

	if (mr_svg_text_width(clean, size) <= width)
		return pstrdup(clean);
	for (in = start; *in; in += pg_utf_mblen(in))
	{
		used += character_width(utf8_to_unicode(in));
		if (used * size > width)
			break;
	}
	while (in > start && in[-1] == ' ')
		in--;
	return psprintf("%.*s%s", (int) (in - start), clean, ELLIPSIS);
}

/* ---- writing ---- */

/* Appends clean text, as element content or attribute, in ASCII. */
void
mr_svg_escape(StringInfo svg, const char *clean)
{
	for (const unsigned char *in = (const unsigned char *) clean; *in; in += pg_utf_mblen(in))
	{
		pg_wchar	c = utf8_to_unicode(in);

		if (c >= 0x80)
			appendStringInfo(svg, "&#x%X;", (unsigned int) c);
		else if (c == '<')
			appendStringInfoString(svg, "&lt;");
		else if (c == '>')
			appendStringInfoString(svg, "&gt;");
		else if (c == '&')
			appendStringInfoString(svg, "&amp;");
		else if (c == '"')
			appendStringInfoString(svg, "&quot;");
		else
			appendStringInfoChar(svg, (char) c);
	}
}

/* 12,345 */
char *
mr_svg_count(int64 n)
{
	char		digits[32];
	int			length = snprintf(digits, sizeof(digits), INT64_FORMAT, n);
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < length; i++)
	{
		if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
			appendStringInfoChar(&out, ',');
		appendStringInfoChar(&out, digits[i]);
	}
	return out.data;
}
