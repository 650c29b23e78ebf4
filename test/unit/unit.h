/*
 * unit.h
 *		What the C unit tests share: checks that print TAP.
 *
 *		int
 *		main(void)
 *		{
 *			ok(1 + 1 == 2, "sum of %d and %d", 1, 1);
 *			ok_near(sqrt(2.0), 1.41421356, 1e-8, "root of two");
 *			return unit_done();
 *		}
 *
 * One program per file NAME_test.c, linked with the pure C parts of src/.  The
 * checks may be called from any function of that file.  A line per check would
 * drown the reader where thousands of cases are looped over: collect them with
 * unit_case() and report once with unit_cases().
 */
#ifndef MR_UNIT_H
#define MR_UNIT_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int	unit_tests = 0;		/* checks reported so far */
static int	unit_failed = 0;	/* of these, failed */
static long unit_case_count = 0;	/* cases since the last unit_cases() */
static long unit_case_failed = 0;	/* of these, failed */

/* Failed cases that are described one by one; the others are only counted. */
#define UNIT_MAX_SHOWN 5

__attribute__((unused, format(printf, 4, 5)))
static bool
unit_report(bool good, const char *file, int line, const char *format,...)
{
	va_list		args;

	unit_tests++;
	printf("%sok %d - ", good ? "" : "not ", unit_tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!good)
	{
		unit_failed++;
		printf("#   failed at %s line %d\n", file, line);
	}
	fflush(stdout);
	return good;
}

__attribute__((unused, format(printf, 4, 5)))
static bool
unit_one_case(bool good, const char *file, int line, const char *format,...)
{
	va_list		args;

	unit_case_count++;
	if (good)
		return true;
	if (unit_case_failed++ < UNIT_MAX_SHOWN)
	{
		printf("# %s line %d: ", file, line);
		va_start(args, format);
		vprintf(format, args);
		va_end(args);
		printf("\n");
	}
	return false;
}

__attribute__((unused))
static bool
unit_is_near(double got, double want, double tolerance)
{
	if (isfinite(got) && isfinite(want) && fabs(got - want) <= tolerance)
		return true;
	printf("#   got %.17g, want %.17g within %g\n", got, want, tolerance);
	return false;
}

/* One check: condition, printf-like description. */
#define ok(condition, ...) \
	unit_report((condition), __FILE__, __LINE__, __VA_ARGS__)

/* got and want differ by at most the tolerance. */
#define ok_near(got, want, tolerance, ...) \
	unit_report(unit_is_near((got), (want), (tolerance)), __FILE__, __LINE__, __VA_ARGS__)

/* One of many cases; the description is printed only if it fails. */
#define unit_case(condition, ...) \
	unit_one_case((condition), __FILE__, __LINE__, __VA_ARGS__)

/* All cases since the last call as one check; no case at all is a failure. */
#define unit_cases(description) \
	do { \
		ok(unit_case_count > 0 && unit_case_failed == 0, "%s (%ld cases, %ld failed)", \
		   (description), unit_case_count, unit_case_failed); \
		unit_case_count = unit_case_failed = 0; \
	} while (0)

/* The plan, last; its value is the exit status of the program. */
__attribute__((unused))
static int
unit_done(void)
{
	printf("1..%d\n", unit_tests);
	return unit_failed == 0 && unit_tests > 0 ? 0 : 1;
}

#endif							/* MR_UNIT_H */
