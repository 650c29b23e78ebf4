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

/*
 * An access method says from 17 on that it can build in parallel; before, it
 * asks plan_create_index_workers() by itself.
 */
#if PG_VERSION_NUM >= 170000
#define MR_AM_CAN_BUILD_PARALLEL(am) ((am)->amcanbuildparallel = true)
#else
#define MR_AM_CAN_BUILD_PARALLEL(am) ((void) (am))
#endif

/*
 * Paths count from 18 on how much of them is disabled, and infinite costs alone
 * would lose against another path with enable_seqscan = off.
 */
#if PG_VERSION_NUM >= 180000
#define MR_PATH_DISABLE(path) ((path)->disabled_nodes = 2)
#else
#define MR_PATH_DISABLE(path) ((void) (path))
#endif

/* Before the declaration of a function that does not return; 18 has a keyword of its own. */
#if PG_VERSION_NUM >= 180000
#define MR_NORETURN pg_noreturn
#else
#define MR_NORETURN pg_attribute_noreturn()
#endif

/* Ownership of a table; needs utils/acl.h, and from 16 on catalog/pg_class.h. */
#if PG_VERSION_NUM >= 160000
#define MR_OWNS_TABLE(oid) object_ownercheck(RelationRelationId, (oid), GetUserId())
#else
#define MR_OWNS_TABLE(oid) pg_class_ownercheck((oid), GetUserId())
#endif

/*
 * The functions of an index are run with a safe search_path by the server itself
 * since 17 only; our own functions, which others than the owner may call, do so on
 * every version.
 */
#if PG_VERSION_NUM < 170000
#include "utils/guc.h"
#define RestrictSearchPath() \
	((void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, \
							  GUC_ACTION_SAVE, true, 0, false))
#endif

/* 16 lets the caller of tuplesort_getdatum() decide on a copy. */
#if PG_VERSION_NUM >= 160000
#define MR_TUPLESORT_GETDATUM(sort, value, isnull) tuplesort_getdatum((sort), true, true, (value), (isnull), NULL)
#else
#define MR_TUPLESORT_GETDATUM(sort, value, isnull) tuplesort_getdatum((sort), true, (value), (isnull), NULL)
#endif

/* 18 tells VACUUM from ANALYZE; needs commands/vacuum.h. */
#if PG_VERSION_NUM >= 180000
#define MR_VACUUM_DELAY_POINT() vacuum_delay_point(false)
#else
#define MR_VACUUM_DELAY_POINT() vacuum_delay_point()
#endif

/* 18 counts the searches of a scan, for EXPLAIN. */
#if PG_VERSION_NUM >= 180000
#define MR_INDEX_BEGINSCAN(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan((heap), (index), (snapshot), NULL, (nkeys), (norderbys))
#else
#define MR_INDEX_BEGINSCAN(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan((heap), (index), (snapshot), (nkeys), (norderbys))
#endif

/* And an access method counts them where EXPLAIN ANALYZE asked for it. */
#if PG_VERSION_NUM >= 180000
#define MR_COUNT_INDEX_SEARCH(desc) \
	do { \
		if ((desc)->instrument) \
			(desc)->instrument->nsearches++; \
	} while (0)
#else
#define MR_COUNT_INDEX_SEARCH(desc) ((void) (desc))
#endif

/* The setting that lets parallel plans run where they do not pay; 16 renamed it.  Needs optimizer/optimizer.h. */
#if PG_VERSION_NUM >= 160000
#define MR_DEBUG_PARALLEL (debug_parallel_query != DEBUG_PARALLEL_OFF)
#else
#define MR_DEBUG_PARALLEL (force_parallel_mode != FORCE_PARALLEL_OFF)
#endif

/* Pins a page if it is still where it was seen; 16 renamed the name of a file. */
#if PG_VERSION_NUM >= 160000
#define MR_READ_RECENT_BUFFER(relation, block, buffer) \
	ReadRecentBuffer((relation)->rd_locator, MAIN_FORKNUM, (block), (buffer))
#else
#define MR_READ_RECENT_BUFFER(relation, block, buffer) \
	ReadRecentBuffer((relation)->rd_node, MAIN_FORKNUM, (block), (buffer))
#endif

/*
 * Until 16 old_snapshot_threshold lets VACUUM remove what an old snapshot still
 * sees; then whoever reads the page has to say so.  Needs storage/bufmgr.h.
 */
#if PG_VERSION_NUM >= 170000
#define MR_TEST_OLD_SNAPSHOT(snapshot, relation, page) ((void) (snapshot))
#else
#define MR_TEST_OLD_SNAPSHOT(snapshot, relation, page) TestForOldSnapshot((snapshot), (relation), (page))
#endif

#endif							/* MR_COMPAT_H */
