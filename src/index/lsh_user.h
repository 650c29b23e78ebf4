/*
 * lsh_user.h
 *		What the functions for users share: an index opened by somebody who may.
 */
#ifndef MR_LSH_USER_H
#define MR_LSH_USER_H

#include "utils/snapshot.h"

#include "index/lsh.h"

typedef enum MrLshRight
{
	MR_LSH_MAY_COUNT,			/* may read every row of the table, or owns it */
	MR_LSH_MAY_READ,			/* may read every row of the table */
	MR_LSH_OWNS					/* owns the table */
} MrLshRight;

typedef struct MrLshUse
{
	Relation	heap;
	Relation	index;
	Oid			user;			/* to go back to */
	int			security;
	int			nest_level;
} MrLshUse;

/*
 * Opens and share-locks index and table, or refuses; from here to the closing
 * the table's owner is the current user, because the index may have expressions.
 */
extern void mr_lsh_use(MrLshUse *use, Oid index, MrLshRight right);
extern void mr_lsh_end_use(MrLshUse *use);

/* Refuses a snapshot that sees versions of rows that were never in the index. */
extern void mr_lsh_refuse_old_snapshot(Relation index, Snapshot snapshot);

#endif							/* MR_LSH_USER_H */
