/*
 * version_table.c
 *		The tables of a version: one row per user, item or tag.
 *
 *		CREATE TABLE <model>_item_embedding_v3 (
 *			item_id <key type> NOT NULL,
 *			embedding embedding(d) NOT NULL,
 *			interactions int8 DEFAULT 0)
 *
 * interactions counts the positives (a tag: the posts) that the row was trained on, at least one.
 * So 0, the default, marks a row that somebody has inserted since: the next
 * version takes it over.  NULL marks a point that the version's tower has made
 * from features: the next version makes its own.
 *
 * Rows are written frozen: a table of this transaction is seen by nobody else
 * before it commits, and afterwards a snapshot that is older than the version
 * must see its rows, because the view that leads here is resolved as of now in
 * every snapshot.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "metricrec.h"
#include "store/version.h"
#include "type/embedding.h"
#include "util/compat.h"
#include "util/pgutil.h"

#define EMBEDDING_COLUMN 2

/* Rows per call of the table access method. */
#define FILL_BATCH 500

/* ---- identity ---- */

/*
 * Acts as a role, so that what is made belongs to it, with a search_path that
 * nobody else can put an object into.  The owner's triggers and expressions run
 * in here: they must not leave anything behind that would run later as somebody
 * else (a superuser who trains the model, say).
 */
void
mr_identity_become(Oid role, MrIdentity *before)
{
	int			context;

	GetUserIdAndSecContext(&before->user, &before->security_context);
	before->guc_level = NewGUCNestLevel();
	context = before->security_context | SECURITY_LOCAL_USERID_CHANGE;
	if (before->user != role)
		context |= SECURITY_RESTRICTED_OPERATION;
	SetUserIdAndSecContext(role, context);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* Acts as the model's owner. */
void
mr_owner_become(const MrModel *model, MrIdentity *before)
{
	mr_identity_become(model->owner, before);
}

/* An error needs no restore: the transaction's abort does it. */
void
mr_owner_restore(const MrIdentity *before)
{
	AtEOXact_GUC(false, before->guc_level);
	SetUserIdAndSecContext(before->user, before->security_context);
}

/* ---- the sides ---- */

/* How many of the sides, in their order, the model has. */
int
mr_model_sides(const MrModel *model)
{
	return model->tag_column ? MR_SIDES : MR_SIDE_TAG;
}

const char *
mr_side_name(MrSide side)
{
	static const char *const names[MR_SIDES] = {"user", "item", "tag"};

	return names[side];
}

const char *
mr_side_column(MrSide side)
{
	static const char *const columns[MR_SIDES] = {"user_id", "item_id", "tag"};

	return columns[side];
}

/* The name of a component of one side, in the current context. */
const char *
mr_component_of_side(MrSide side, const char *component)
{
	return psprintf("%s_%s", mr_side_name(side), component);
}

Oid
mr_side_view(const MrModel *model, MrSide side)
{
	const Oid	views[MR_SIDES] = {model->user_view, model->item_view, model->tag_view};

	return views[side];
}

Oid
mr_side_type(const MrModel *model, MrSide side)
{
	const Oid	types[MR_SIDES] = {model->user_type, model->item_type, model->tag_type};

	return types[side];
}

/* "movies_item_embedding_v3" */
char *
mr_version_table_name(const MrModel *model, MrSide side, int32 version)
{
	return psprintf("%s_%s_embedding_v%d", model->name, mr_side_name(side), version);
}

/* ---- create ---- */

/*
 * Makes the empty table; collation is that of the ids in the interactions, so
 * that what was one id there is one id here.
 */
Oid
mr_version_table_create(const MrModel *model, MrSide side, int32 version, int dimensions, Oid collation)
{
	const char *column = mr_side_column(side);
	char	   *name = mr_version_table_name(model, side, version);
	StringInfoData sql;
	Oid			table;

	if (strlen(model->name) > MR_MAX_MODEL_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name of model \"%s\" is too long for the names of its tables", model->name),
				 errdetail("It may have %d bytes.", MR_MAX_MODEL_NAME),
				 errhint("Rename the view %s to a name that ends in \"_item_embedding\".",
						 mr_relation_sql(model->item_view))));
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (%s %s",
					 quote_qualified_identifier(get_namespace_name(model->schema), name),
					 column, mr_type_sql(mr_side_type(model, side)));
	if (OidIsValid(collation) && collation != get_typcollation(mr_side_type(model, side)))
		appendStringInfo(&sql, " COLLATE %s", generate_collation_name(collation));
	appendStringInfo(&sql, " NOT NULL, embedding %s(%d) NOT NULL, interactions pg_catalog.int8 DEFAULT 0)",
					 mr_embedding_sql(), dimensions);
	mr_spi_run(sql.data);

	table = get_relname_relid(name, model->schema);
	if (!OidIsValid(table))
		elog(ERROR, "version table \"%s\" was not created", name);

	resetStringInfo(&sql);
	appendStringInfo(&sql, "COMMENT ON TABLE %s IS %s", mr_relation_sql(table),
					 quote_literal_cstr(psprintf("metricrec: %ss of model %s, version %d",
												 mr_side_name(side), model->name, version)));
	mr_spi_run(sql.data);
	return table;
}

/* ---- fill ---- */

typedef struct Filler
{
	Relation	rel;
	BulkInsertState bulk;
	TupleTableSlot *slots[FILL_BATCH];
	int			used;
	MemoryContext rows;			/* the batch's datums */
} Filler;

static void
flush_batch(Filler *filler)
{
	table_multi_insert(filler->rel, filler->slots, filler->used, GetCurrentCommandId(true),
					   TABLE_INSERT_SKIP_FSM | TABLE_INSERT_FROZEN, filler->bulk);
	for (int i = 0; i < filler->used; i++)
		ExecClearTuple(filler->slots[i]);
	filler->used = 0;
	MemoryContextReset(filler->rows);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Rows are written below the checks of the executor, and an event trigger may
 * have changed the table since it was made.
 */
static void
check_columns(Relation rel, Oid key_type)
{
	TupleDesc	desc = RelationGetDescr(rel);
	const Oid	expected[3] = {key_type, mr_embedding_type(), INT8OID};
	bool		same = desc->natts == lengthof(expected);

	for (int i = 0; same && i < lengthof(expected); i++)
		same = TupleDescAttr(desc, i)->atttypid == expected[i] && !TupleDescAttr(desc, i)->attisdropped;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("the columns of version table \"%s\" were changed while it was made",
						RelationGetRelationName(rel)),
				 errhint("Event triggers must leave the tables of a new version alone; columns can be added later.")));
}

/*
 * Writes all rows.  points is [rows][dimensions]; key(row) gives an id of
 * key_type.
 */
void
mr_version_table_fill(Oid table, Oid key_type, int64 rows, int dimensions, const float *points,
					  Datum (*key) (int64 row, void *arg), void *arg, const int64 *interactions)
{
	Filler	   *filler = palloc0(sizeof(Filler));

	filler->rel = table_open(table, RowExclusiveLock);
	check_columns(filler->rel, key_type);
	filler->bulk = GetBulkInsertState();
	filler->rows = AllocSetContextCreate(CurrentMemoryContext, "metricrec rows to write",
										 ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < FILL_BATCH; i++)
		filler->slots[i] = table_slot_create(filler->rel, NULL);

	for (int64 row = 0; row < rows; row++)
	{
		TupleTableSlot *slot = filler->slots[filler->used++];
		MemoryContext before = MemoryContextSwitchTo(filler->rows);

		slot->tts_values[0] = key(row, arg);
		slot->tts_values[1] = PointerGetDatum(mr_embedding_from_floats(points + row * dimensions, dimensions));
		slot->tts_values[2] = interactions ? Int64GetDatum(interactions[row]) : (Datum) 0;
		memset(slot->tts_isnull, 0, 3 * sizeof(bool));
		slot->tts_isnull[2] = interactions == NULL;
		ExecStoreVirtualTuple(slot);
		MemoryContextSwitchTo(before);
		if (filler->used == FILL_BATCH)
			flush_batch(filler);
	}
	if (filler->used > 0)
		flush_batch(filler);

	for (int i = 0; i < FILL_BATCH; i++)
		ExecDropSingleTupleTableSlot(filler->slots[i]);
	FreeBulkInsertState(filler->bulk);
	table_finish_bulk_insert(filler->rel, TABLE_INSERT_SKIP_FSM | TABLE_INSERT_FROZEN);
	table_close(filler->rel, NoLock);
	MemoryContextDelete(filler->rows);
	pfree(filler);
	CommandCounterIncrement();
}

/* ---- finish ---- */

/*
 * Does the table have a whole lsh index of its embeddings?  Then the next
 * version takes it over, with the options that somebody may have given it.
 */
static bool
has_lsh_index(Oid table, Oid lsh)
{
	Relation	rel;
	List	   *indexes;
	ListCell   *cell;
	bool		found = false;

	if (!OidIsValid(table))
		return false;
	rel = try_relation_open(table, AccessShareLock);
	if (rel == NULL)
		return false;
	indexes = RelationGetIndexList(rel);
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		found |= index->rd_rel->relam == lsh && index->rd_index->indisvalid &&
			index->rd_index->indkey.values[0] == EMBEDDING_COLUMN &&
			RelationGetIndexPredicate(index) == NIL;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	relation_close(rel, AccessShareLock);
	return found;
}

/*
 * The index that queries go by, unless `served`, the table of the version
 * before, has one of its own (then it is taken over) or the embeddings have more
 * dimensions than an index can hold.
 */
static void
add_embedding_index(Oid table, Oid served, int dimensions)
{
	Oid			lsh = get_index_am_oid("lsh", true);

	if (!OidIsValid(lsh) || dimensions > MR_MAX_INDEX_DIMENSIONS || has_lsh_index(served, lsh))
		return;
	mr_spi_run(psprintf("CREATE INDEX ON %s USING lsh (embedding)", mr_relation_sql(table)));
}

/*
 * Adds the key, the index of the embeddings and the statistics.  A key type
 * without an order (hashable only) gets a hash index instead of a primary key.
 */
void
mr_version_table_finish(Oid table, MrSide side, Oid served, int dimensions)
{
	char	   *name = mr_relation_sql(table);
	const char *column = mr_side_column(side);
	Oid			type = get_atttype(table, 1);

	if (OidIsValid(GetDefaultOpClass(type, BTREE_AM_OID)))
		mr_spi_run(psprintf("ALTER TABLE %s ADD PRIMARY KEY (%s)", name, column));
	else
		mr_spi_run(psprintf("CREATE INDEX ON %s USING hash (%s)", name, column));
	add_embedding_index(table, served, dimensions);
	/* The order of embeddings means nothing to the planner, and sampling them is slow. */
	mr_spi_run(psprintf("ALTER TABLE %s ALTER COLUMN embedding SET STATISTICS 0", name));
	mr_spi_run(psprintf("ANALYZE %s", name));
}
