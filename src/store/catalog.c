/*
 * catalog.c
 *		Reading and writing rows of the catalogue tables.
 *
 * Rows are read and written directly, not through SQL: nobody holds a privilege
 * on the tables, so callers of this file have done their own checks before.
 * Reads use the latest snapshot: what is served is decided by the view's
 * definition, which is read as of now too, also in a transaction with an older
 * snapshot.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "store/catalog.h"
#include "util/pgutil.h"

/* Initialises a scan key: an int4 column equals this. */
void
mr_catalog_key_int4(ScanKey key, AttrNumber column, int32 value)
{
	ScanKeyInit(key, column, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(value));
}

/* Initialises a scan key: a regclass column equals this. */
void
mr_catalog_key_oid(ScanKey key, AttrNumber column, Oid value)
{
	ScanKeyInit(key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
}

/*
 * Visits the rows that match the keys (heap columns that lead the index), all
 * rows if there is none.  lockmode is RowExclusiveLock if visit() writes.
 */
void
mr_catalog_scan(const char *table, const char *index, LOCKMODE lockmode,
				int nkeys, ScanKey keys, MrCatalogVisit visit, void *arg)
{
	Relation	rel = table_open(mr_catalog_relation(table), lockmode);
	SysScanDesc scan;
	HeapTuple	tuple;

	scan = systable_beginscan(rel, mr_catalog_relation(index), true, NULL, nkeys, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CHECK_FOR_INTERRUPTS();
		if (!visit(rel, tuple, arg))
			break;
	}
	systable_endscan(scan);
	table_close(rel, lockmode == AccessShareLock ? lockmode : NoLock);
}

/* Adds a row; visible to the rest of the transaction at once. */
void
mr_catalog_insert(const char *table, Datum *values, bool *nulls)
{
	Relation	rel = table_open(mr_catalog_relation(table), RowExclusiveLock);
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);

	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* Replaces columns of a row that a scan has found. */
void
mr_catalog_update(Relation rel, HeapTuple tuple, Datum *values, bool *nulls, bool *replace)
{
	HeapTuple	changed = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls, replace);

	CatalogTupleUpdate(rel, &tuple->t_self, changed);
	heap_freetuple(changed);
}

static bool
delete_row(Relation rel, HeapTuple tuple, void *arg)
{
	CatalogTupleDelete(rel, &tuple->t_self);
	(*(int *) arg)++;
	return true;
}

/* Deletes the rows that match the keys; how many there were. */
int
mr_catalog_delete(const char *table, const char *index, int nkeys, ScanKey keys)
{
	int			deleted = 0;

	mr_catalog_scan(table, index, RowExclusiveLock, nkeys, keys, delete_row, &deleted);
	CommandCounterIncrement();
	return deleted;
}
