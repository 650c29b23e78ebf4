/*
 * compat.h
 *		Every difference between the supported PostgreSQL versions (15 to 18).
 *
 * No other file tests PG_VERSION_NUM.  Include it after postgres.h.
 */
#ifndef MR_COMPAT_H
#define MR_COMPAT_H

#include "fmgr.h"

#if PG_VERSION_NUM < 150000
#error "metricrec needs PostgreSQL 15 or later"
#endif

/* 16 moved VARSIZE and its like out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * Soft errors (16): an input function that is called with an ErrorSaveContext
 * reports bad input there and returns.  On 15 they are ordinary errors.
 *
 * MR_ESCONTEXT(fcinfo) is what to hand down to ereturn().
 */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#define MR_ESCONTEXT(fcinfo) ((fcinfo)->context)
#else
#define MR_ESCONTEXT(fcinfo) ((struct Node *) NULL)
#define ereturn(escontext, dummy_value, ...) \
	do { \
		(void) (escontext); \
		ereport(ERROR, __VA_ARGS__); \
		return dummy_value; \
	} while (0)
#define SOFT_ERROR_OCCURRED(escontext) ((void) (escontext), false)
#endif

#endif							/* MR_COMPAT_H */
