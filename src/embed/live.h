/*
 * live.h
 *		A user's point from what is known of the user now, for the queries: the
 *		version's user tower over the live history and the user's row of features.
 */
#ifndef MR_LIVE_H
#define MR_LIVE_H

#include "store/version.h"

/* Whose features; how the key column of the feature table is compared. */
typedef struct MrLiveUser
{
	Datum		id;
	Oid			type;			/* of the id */
	const char *equals;			/* operator, for SQL text */
} MrLiveUser;

typedef enum MrLiveOutcome
{
	MR_LIVE_NO_TOWER,			/* nothing to add to the history */
	MR_LIVE_UNREADABLE,			/* the features cannot be read by the caller, or OpenBLAS is not there */
	MR_LIVE_NO_FEATURES,		/* the user has no row, and no history was given */
	MR_LIVE_POINT				/* the point was made */
} MrLiveOutcome;

/* live.c: SPI is connected */
extern MrLiveOutcome mr_live_point(const MrModel *model, const MrVersion *version, const MrLiveUser *user,
								   const float *history, float *point);

#endif							/* MR_LIVE_H */
