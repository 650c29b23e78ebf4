/*
 * catalog.h
 *		The columns of the catalogue tables, and reading and writing their rows.
 *
 * The order of the columns here is that of the extension script.
 */
#ifndef MR_CATALOG_H
#define MR_CATALOG_H

#include "access/htup.h"
#include "access/skey.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

#include "store/store.h"

enum
{
	MR_MODEL_ID = 1, MR_MODEL_ITEM_VIEW, MR_MODEL_USER_VIEW, MR_MODEL_INTERACTIONS,
	MR_MODEL_USER_COLUMN, MR_MODEL_ITEM_COLUMN, MR_MODEL_RATING_COLUMN, MR_MODEL_WEIGHT_COLUMN,
	MR_MODEL_TIME_COLUMN, MR_MODEL_MIN_RATING, MR_MODEL_USER_TYPE, MR_MODEL_ITEM_TYPE,
	MR_MODEL_OPTIONS, MR_MODEL_CREATED,
	MR_MODEL_USER_FEATURES, MR_MODEL_ITEM_FEATURES, MR_MODEL_TAG_COLUMN, MR_MODEL_TAG_TYPE, MR_MODEL_TAG_VIEW,
	MR_MODEL_NATTS = MR_MODEL_TAG_VIEW
};

enum
{
	MR_VERSION_MODEL_ID = 1, MR_VERSION_VERSION, MR_VERSION_USER_TABLE, MR_VERSION_ITEM_TABLE,
	MR_VERSION_DIMENSIONS, MR_VERSION_USERS, MR_VERSION_ITEMS, MR_VERSION_INTERACTIONS,
	MR_VERSION_EPOCHS, MR_VERSION_LOSS, MR_VERSION_METRICS, MR_VERSION_RECIPE, MR_VERSION_COUNTS,
	MR_VERSION_DURATION, MR_VERSION_TRAINED, MR_VERSION_TAG_TABLE, MR_VERSION_TAGS,
	MR_VERSION_NATTS = MR_VERSION_TAGS
};

enum
{
	MR_COMPONENT_MODEL_ID = 1, MR_COMPONENT_VERSION, MR_COMPONENT_NAME, MR_COMPONENT_DATA,
	MR_COMPONENT_NATTS = MR_COMPONENT_DATA
};

enum
{
	MR_EPOCH_MODEL_ID = 1, MR_EPOCH_VERSION, MR_EPOCH_STEP, MR_EPOCH_STAGE, MR_EPOCH_EPOCH,
	MR_EPOCH_LOSS, MR_EPOCH_NDCG, MR_EPOCH_LEARNING_RATE, MR_EPOCH_POSITIVES, MR_EPOCH_NEGATIVES,
	MR_EPOCH_SECONDS, MR_EPOCH_LOGGED,
	MR_EPOCH_NATTS = MR_EPOCH_LOGGED
};

/* Called for every row of a scan; false ends the scan. */
typedef bool (*MrCatalogVisit) (Relation rel, HeapTuple tuple, void *arg);

/* catalog.c */
extern void mr_catalog_scan(const char *table, const char *index, LOCKMODE lockmode,
							int nkeys, ScanKey keys, MrCatalogVisit visit, void *arg);
extern void mr_catalog_insert(const char *table, Datum *values, bool *nulls);
extern void mr_catalog_update(Relation rel, HeapTuple tuple, Datum *values, bool *nulls, bool *replace);
extern int	mr_catalog_delete(const char *table, const char *index, int nkeys, ScanKey keys);
extern void mr_catalog_key_int4(ScanKey key, AttrNumber column, int32 value);
extern void mr_catalog_key_oid(ScanKey key, AttrNumber column, Oid value);

#endif							/* MR_CATALOG_H */
