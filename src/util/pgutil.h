/*
 * pgutil.h
 *		Small things that several folders need of the server: our own objects'
 *		Oids, quoted names, statements through SPI.
 */
#ifndef MR_PGUTIL_H
#define MR_PGUTIL_H

#include "lib/stringinfo.h"
#include "utils/elog.h"
#include "utils/relcache.h"

/* Name of the schema of the management functions and of the catalogue. */
#define MR_SCHEMA "metricrec"

extern Oid	mr_extension_schema(void);	/* where the type lives */
extern Oid	mr_embedding_type(void);
extern Oid	mr_catalog_relation(const char *name);	/* metricrec.<name> */
extern char *mr_relation_sql(Oid relation); /* quoted, qualified; error if dropped */
extern char *mr_distance_sql(void); /* OPERATOR(schema.<->), for SQL text */
extern bool mr_relation_has_rows(Relation relation);
extern bool mr_relation_reachable(Oid relation);
extern bool mr_column_readable(Oid relation, const char *column);
extern char *mr_type_sql(Oid type); /* qualified, any typmod, for SQL text */
extern char *mr_equality_sql(Oid type); /* OPERATOR(schema.=), for SQL text */
extern char *mr_embedding_sql(void);	/* schema.embedding, for SQL text */

extern void mr_spi_run(const char *sql);	/* a utility command or DML; error if it fails */
extern bool mr_must_be_thrown(int sqlerrcode);	/* an error of mr_try() that is nobody's to swallow */
extern ErrorData *mr_try(void (*work) (void *arg), void *arg);	/* in a subtransaction */

#endif							/* MR_PGUTIL_H */
