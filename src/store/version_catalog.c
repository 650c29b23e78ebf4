/*
 * version_catalog.c
 *		Rows of metricrec.version, component and epoch_log.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "store/catalog.h"
#include "store/version.h"
#include "util/compat.h"
#include "util/pgutil.h"

/* ---- numbers ---- */

typedef struct Largest
{
	AttrNumber	column;
	int32		value;
} Largest;

static bool
visit_largest(Relation rel, HeapTuple tuple, void *arg)
{
	Largest    *largest = arg;
	bool		isnull;
	int32		value = DatumGetInt32(heap_getattr(tuple, largest->column, RelationGetDescr(rel), &isnull));

	largest->value = Max(largest->value, value);
	return true;
}

/* Is the name of a version's table taken, by whatever relation? */
static bool
table_exists(const MrModel *model, MrSide side, int32 version)
{
	return OidIsValid(get_relname_relid(mr_version_table_name(model, side, version), model->schema));
}

/*
 * The number of the next version: after all that were recorded and all that a
 * failed run left in the epoch log, and one whose tables' names are free.  The
 * caller holds the run lock.
 */
int32
mr_version_next(const MrModel *model)
{
	ScanKeyData key;
	Largest		version = {MR_VERSION_VERSION, 0};
	Largest		logged = {MR_EPOCH_VERSION, 0};
	int32		number;

	mr_catalog_key_int4(&key, MR_VERSION_MODEL_ID, model->id);
	mr_catalog_scan("version", "version_pkey", AccessShareLock, 1, &key, visit_largest, &version);
	mr_catalog_key_int4(&key, MR_EPOCH_MODEL_ID, model->id);
	mr_catalog_scan("epoch_log", "epoch_log_pkey", AccessShareLock, 1, &key, visit_largest, &logged);
	number = Max(version.value, logged.value) + 1;
	while (table_exists(model, MR_SIDE_USER, number) || table_exists(model, MR_SIDE_ITEM, number) ||
		   table_exists(model, MR_SIDE_TAG, number))
		number++;
	return number;
}

/* ---- writing ---- */

/* Adds the version's row. */
void
mr_version_record(const MrModel *model, const MrVersionRecord *record)
{
	Datum		values[MR_VERSION_NATTS];
	bool		nulls[MR_VERSION_NATTS] = {0};
	Interval   *duration = palloc(sizeof(Interval));

	*duration = record->duration;
	values[MR_VERSION_MODEL_ID - 1] = Int32GetDatum(model->id);
	values[MR_VERSION_VERSION - 1] = Int32GetDatum(record->version);
	values[MR_VERSION_USER_TABLE - 1] = ObjectIdGetDatum(record->tables[MR_SIDE_USER]);
	values[MR_VERSION_ITEM_TABLE - 1] = ObjectIdGetDatum(record->tables[MR_SIDE_ITEM]);
	values[MR_VERSION_DIMENSIONS - 1] = Int32GetDatum(record->dimensions);
	values[MR_VERSION_USERS - 1] = Int64GetDatum(record->users);
	values[MR_VERSION_ITEMS - 1] = Int64GetDatum(record->items);
	values[MR_VERSION_INTERACTIONS - 1] = Int64GetDatum(record->interactions);
	values[MR_VERSION_EPOCHS - 1] = Int32GetDatum(record->epochs);
	values[MR_VERSION_LOSS - 1] = Float8GetDatum(record->loss);
	values[MR_VERSION_METRICS - 1] = PointerGetDatum(record->metrics);
	nulls[MR_VERSION_METRICS - 1] = record->metrics == NULL;
	values[MR_VERSION_RECIPE - 1] = PointerGetDatum(record->recipe);
	values[MR_VERSION_COUNTS - 1] = PointerGetDatum(record->counts);
	values[MR_VERSION_DURATION - 1] = IntervalPGetDatum(duration);
	values[MR_VERSION_TRAINED - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[MR_VERSION_TAG_TABLE - 1] = ObjectIdGetDatum(record->tables[MR_SIDE_TAG]);
	values[MR_VERSION_TAGS - 1] = Int64GetDatum(record->tags);
	nulls[MR_VERSION_TAG_TABLE - 1] = nulls[MR_VERSION_TAGS - 1] = !OidIsValid(record->tables[MR_SIDE_TAG]);
	mr_catalog_insert("version", values, nulls);
}

/* Adds a component of a version. */
void
mr_component_write(int32 model_id, int32 version, const char *component, const void *data, Size bytes)
{
	Datum		values[MR_COMPONENT_NATTS];
	bool		nulls[MR_COMPONENT_NATTS] = {0};
	NameData	name;
	bytea	   *value = palloc(VARHDRSZ + bytes);

	SET_VARSIZE(value, VARHDRSZ + bytes);
	memcpy(VARDATA(value), data, bytes);
	namestrcpy(&name, component);
	values[MR_COMPONENT_MODEL_ID - 1] = Int32GetDatum(model_id);
	values[MR_COMPONENT_VERSION - 1] = Int32GetDatum(version);
	values[MR_COMPONENT_NAME - 1] = NameGetDatum(&name);
	values[MR_COMPONENT_DATA - 1] = PointerGetDatum(value);
	mr_catalog_insert("component", values, nulls);
}

/* Adds a row to the epoch log. */
void
mr_epoch_write(const MrModel *model, int32 version, const MrEpochRecord *record)
{
	Datum		values[MR_EPOCH_NATTS];
	bool		nulls[MR_EPOCH_NATTS] = {0};

	values[MR_EPOCH_MODEL_ID - 1] = Int32GetDatum(model->id);
	values[MR_EPOCH_VERSION - 1] = Int32GetDatum(version);
	values[MR_EPOCH_STEP - 1] = Int32GetDatum(record->step);
	values[MR_EPOCH_STAGE - 1] = CStringGetTextDatum(record->stage);
	values[MR_EPOCH_EPOCH - 1] = Int32GetDatum(record->epoch);
	values[MR_EPOCH_LOSS - 1] = Float8GetDatum(record->loss);
	values[MR_EPOCH_NDCG - 1] = Float8GetDatum(record->ndcg);
	nulls[MR_EPOCH_NDCG - 1] = !record->has_ndcg;
	values[MR_EPOCH_LEARNING_RATE - 1] = Float8GetDatum(record->learning_rate);
	values[MR_EPOCH_POSITIVES - 1] = Int64GetDatum(record->positives);
	values[MR_EPOCH_NEGATIVES - 1] = Int64GetDatum(record->negatives);
	values[MR_EPOCH_SECONDS - 1] = Float8GetDatum(record->seconds);
	values[MR_EPOCH_LOGGED - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	mr_catalog_insert("epoch_log", values, nulls);
}

/* ---- reading ---- */

typedef struct FindComponent
{
	const char *name;
	bytea	   *data;
} FindComponent;

static bool
visit_component(Relation rel, HeapTuple tuple, void *arg)
{
	FindComponent *find = arg;
	TupleDesc	desc = RelationGetDescr(rel);
	bool		isnull;

	if (strcmp(NameStr(*DatumGetName(heap_getattr(tuple, MR_COMPONENT_NAME, desc, &isnull))), find->name) != 0)
		return true;
	find->data = DatumGetByteaPCopy(heap_getattr(tuple, MR_COMPONENT_DATA, desc, &isnull));
	return false;
}

/* A component's bytes, palloc'd; NULL if the version has none of that name. */
bytea *
mr_component_read(int32 model_id, int32 version, const char *component)
{
	ScanKeyData keys[2];
	FindComponent find = {component, NULL};

	mr_catalog_key_int4(&keys[0], MR_COMPONENT_MODEL_ID, model_id);
	mr_catalog_key_int4(&keys[1], MR_COMPONENT_VERSION, version);
	mr_catalog_scan("component", "component_pkey", AccessShareLock, 2, keys, visit_component, &find);
	return find.data;
}

typedef struct Tables
{
	bool		found;
	Oid			tables[MR_SIDES];
} Tables;

/* The columns of metricrec.version that hold them. */
static const AttrNumber table_columns[MR_SIDES] =
{MR_VERSION_USER_TABLE, MR_VERSION_ITEM_TABLE, MR_VERSION_TAG_TABLE};

/*
 * Is this a relation of that kind with a column of type embedding?  The Oid of a
 * table or view that was dropped by hand may belong to something else by now:
 * that must be neither served nor dropped.
 */
bool
mr_relation_holds_points(Oid relation, char relkind)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	AttrNumber	columns = 0;
	Oid			type = mr_embedding_type();

	if (!HeapTupleIsValid(tuple))
		return false;
	if (((Form_pg_class) GETSTRUCT(tuple))->relkind == relkind)
		columns = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	for (AttrNumber i = 1; i <= columns; i++)
		if (get_atttype(relation, i) == type)
			return true;
	return false;
}

static Oid
table_column(Relation rel, HeapTuple tuple, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, RelationGetDescr(rel), &isnull);

	return !isnull && mr_relation_holds_points(DatumGetObjectId(value), RELKIND_RELATION) ?
		DatumGetObjectId(value) : InvalidOid;
}

static bool
visit_tables(Relation rel, HeapTuple tuple, void *arg)
{
	Tables	   *tables = arg;

	tables->found = true;
	for (int side = 0; side < MR_SIDES; side++)
		tables->tables[side] = table_column(rel, tuple, table_columns[side]);
	return false;
}

static void
scan_version(int32 model_id, int32 version, LOCKMODE lockmode, MrCatalogVisit visit, void *arg)
{
	ScanKeyData keys[2];

	mr_catalog_key_int4(&keys[0], MR_VERSION_MODEL_ID, model_id);
	mr_catalog_key_int4(&keys[1], MR_VERSION_VERSION, version);
	mr_catalog_scan("version", "version_pkey", lockmode, 2, keys, visit, arg);
}

/*
 * The tables of a version by MrSide, InvalidOid for a dropped one and for one that
 * the model does not have; false: no such version.
 */
bool
mr_version_tables(const MrModel *model, int32 version, Oid *tables)
{
	Tables		found = {0};

	scan_version(model->id, version, AccessShareLock, visit_tables, &found);
	memcpy(tables, found.tables, sizeof(found.tables));
	return found.found;
}

typedef struct Row
{
	bool		found;
	Datum	   *values;
	bool	   *nulls;
} Row;

static bool
visit_values(Relation rel, HeapTuple tuple, void *arg)
{
	Row		   *row = arg;

	heap_deform_tuple(heap_copytuple(tuple), RelationGetDescr(rel), row->values, row->nulls);
	row->found = true;
	return false;
}

/* All columns of a version's row, copied into the current context. */
void
mr_version_values(const MrModel *model, int32 version, Datum *values, bool *nulls)
{
	Row			row = {false, values, nulls};

	scan_version(model->id, version, AccessShareLock, visit_values, &row);
	if (!row.found)
		elog(ERROR, "version %d of model %d is not in the catalogue", version, model->id);
}

static bool
visit_all_tables(Relation rel, HeapTuple tuple, void *arg)
{
	List	  **tables = arg;

	for (int side = 0; side < MR_SIDES; side++)
		*tables = lappend_oid(*tables, table_column(rel, tuple, table_columns[side]));
	return true;
}

/* The tables of all versions, InvalidOid for dropped ones. */
List *
mr_version_all_tables(const MrModel *model)
{
	ScanKeyData key;
	List	   *tables = NIL;

	mr_catalog_key_int4(&key, MR_VERSION_MODEL_ID, model->id);
	mr_catalog_scan("version", "version_pkey", AccessShareLock, 1, &key, visit_all_tables, &tables);
	return tables;
}

/* ---- dropping ---- */

/* Drops a table or a view unless it is gone; error if something depends on it. */
void
mr_relation_drop(Oid relation)
{
	ObjectAddress object = {RelationRelationId, relation, 0};

	if (OidIsValid(relation) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		performDeletion(&object, DROP_RESTRICT, 0);
}

static void
lock_at_once(Oid table)
{
	if (OidIsValid(table) && !ConditionalLockRelationOid(table, AccessExclusiveLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not obtain lock on relation with OID %u", table)));
}

static void
drop_tables(void *arg)
{
	const Tables *tables = arg;

	for (int side = 0; side < MR_SIDES; side++)
		lock_at_once(tables->tables[side]);
	for (int side = 0; side < MR_SIDES; side++)
		mr_relation_drop(tables->tables[side]);
}

/*
 * Drops all tables of a version if their locks come at once, nothing depends
 * on them and no open query of this session reads them; true if they are gone.
 */
static bool
drop_at_once(Tables *tables)
{
	ErrorData  *error = mr_try(drop_tables, tables);

	if (error == NULL)
		return true;
	if (error->sqlerrcode == ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST ||
		error->sqlerrcode == ERRCODE_OBJECT_IN_USE)
		ereport(NOTICE,
				(errmsg("the tables of an old version are kept: %s", error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0));
	else if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}

/* Collects the numbers of the versions that still have a table. */
static bool
visit_versions(Relation rel, HeapTuple tuple, void *arg)
{
	List	  **versions = arg;
	bool		isnull;
	bool		any = false;

	for (int side = 0; side < MR_SIDES; side++)
		any |= OidIsValid(table_column(rel, tuple, table_columns[side]));
	if (any)
		*versions = lappend_int(*versions,
								DatumGetInt32(heap_getattr(tuple, MR_VERSION_VERSION,
														   RelationGetDescr(rel), &isnull)));
	return true;
}

static bool
visit_forget_tables(Relation rel, HeapTuple tuple, void *arg)
{
	Datum		values[MR_VERSION_NATTS] = {0};
	bool		nulls[MR_VERSION_NATTS] = {0};
	bool		replace[MR_VERSION_NATTS] = {0};

	for (int side = 0; side < MR_SIDES; side++)
		nulls[table_columns[side] - 1] = replace[table_columns[side] - 1] = true;
	mr_catalog_update(rel, tuple, values, nulls, replace);
	return false;
}

static void
drop_version(const MrModel *model, int32 version)
{
	ScanKeyData keys[2];
	Tables		tables;

	if (!mr_version_tables(model, version, tables.tables))
		return;
	if (!drop_at_once(&tables))
		return;
	scan_version(model->id, version, RowExclusiveLock, visit_forget_tables, NULL);
	CommandCounterIncrement();
	mr_catalog_key_int4(&keys[0], MR_COMPONENT_MODEL_ID, model->id);
	mr_catalog_key_int4(&keys[1], MR_COMPONENT_VERSION, version);
	mr_catalog_delete("component", "component_pkey", 2, keys);
}

/*
 * Drops the tables of all but the newest `keep` versions and the active one, if
 * their locks come at once; what stays is tried again next time.  The rows of
 * the catalogue stay as history, without their components.
 */
void
mr_version_prune(const MrModel *model, int32 keep)
{
	int32		active = mr_version_active(model);
	List	   *versions = NIL;
	ScanKeyData key;
	ListCell   *cell;

	mr_catalog_key_int4(&key, MR_VERSION_MODEL_ID, model->id);
	mr_catalog_scan("version", "version_pkey", AccessShareLock, 1, &key, visit_versions, &versions);
	list_sort(versions, list_int_cmp);
	foreach(cell, versions)
	{
		int32		newer = list_length(versions) - 1 - foreach_current_index(cell);

		if (newer >= keep && lfirst_int(cell) != active)
			drop_version(model, lfirst_int(cell));
	}
}

/* Deletes every catalogue row of a model. */
void
mr_model_delete(int32 model_id)
{
	ScanKeyData key;

	mr_catalog_key_int4(&key, 1, model_id); /* the first column of all six */
	mr_catalog_delete("version", "version_pkey", 1, &key);
	mr_catalog_delete("component", "component_pkey", 1, &key);
	mr_catalog_delete("epoch_log", "epoch_log_pkey", 1, &key);
	mr_catalog_delete("search", "search_pkey", 1, &key);
	mr_catalog_delete("trial", "trial_pkey", 1, &key);
	mr_catalog_delete("model", "model_pkey", 1, &key);
}

/* Collects the models whose item view is gone. */
static bool
visit_forgotten(Relation rel, HeapTuple tuple, void *arg)
{
	List	  **models = arg;
	bool		isnull;

	if (get_rel_relkind(DatumGetObjectId(heap_getattr(tuple, MR_MODEL_ITEM_VIEW,
													  RelationGetDescr(rel), &isnull))) != RELKIND_VIEW)
		*models = lappend_int(*models, DatumGetInt32(heap_getattr(tuple, MR_MODEL_ID,
																  RelationGetDescr(rel), &isnull)));
	return true;
}

/*
 * Forgets the models whose views were dropped by hand (DROP VIEW, DROP OWNED,
 * DROP SCHEMA): their rows would stay for ever, and an Oid may be used again.
 * Not now if somebody else writes the catalogue.
 */
void
mr_model_forget_dropped(void)
{
	List	   *models = NIL;
	ListCell   *cell;

	if (!ConditionalLockRelationOid(mr_catalog_relation("model"), ShareRowExclusiveLock))
		return;
	mr_catalog_scan("model", "model_pkey", AccessShareLock, 0, NULL, visit_forgotten, &models);
	foreach(cell, models)
		mr_model_delete(lfirst_int(cell));
	if (models == NIL)
		UnlockRelationOid(mr_catalog_relation("model"), ShareRowExclusiveLock);
}
