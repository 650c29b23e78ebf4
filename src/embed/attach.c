/*
 * attach.c
 *		metricrec.attach and metricrec.detach: triggers on a model's feature tables,
 *		so that a row that is inserted or changed has its point in the same
 *		transaction.
 *
 * The trigger's argument is the model's number in the catalogue.  It works for the
 * feature tables that the model was made with and for nothing else, so that nobody
 * can write into a model by a trigger on a table of their own.
 *
 * A point that was trained stays.  A row whose features cannot be encoded is
 * inserted nevertheless, with a WARNING: a shop must not stop taking items because
 * a recommender cannot read one.  A cancel, a deadlock or a full disk is an error as
 * anywhere.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "embed/embed.h"
#include "store/catalog.h"
#include "util/pgutil.h"

PG_FUNCTION_INFO_V1(mr_attach);
PG_FUNCTION_INFO_V1(mr_detach);
PG_FUNCTION_INFO_V1(mr_embed_changed);

/* ---- triggers ---- */

static char *
trigger_name(const MrModel *model, MrSide side)
{
	return psprintf("metricrec_embed_%s_%d", mr_side_name(side), model->id);
}

/* Makes or drops the trigger on one feature table; false if the model has none there. */
static bool
change_trigger(const MrModel *model, MrSide side, bool attach)
{
	Oid			relation = mr_feature_relation(model, side);
	const char *name = trigger_name(model, side);
	char		kind;

	if (!OidIsValid(relation) || (kind = get_rel_relkind(relation)) == '\0')
		return false;
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_FOREIGN_TABLE)
	{
		if (!attach)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(relation)),
				 errdetail("Only the rows of a table can fire a trigger."),
				 errhint("Call metricrec.refresh_%ss() when rows were added.", mr_side_name(side))));
	}
	if (!attach && OidIsValid(get_trigger_oid(relation, name, true)))
		mr_spi_run(psprintf("DROP TRIGGER %s ON %s", name, mr_relation_sql(relation)));
	if (attach)
		mr_spi_run(psprintf("CREATE OR REPLACE TRIGGER %s AFTER INSERT OR UPDATE ON %s FOR EACH ROW"
							" EXECUTE FUNCTION metricrec.embed_changed('%d')",
							name, mr_relation_sql(relation), model->id));
	return true;
}

static int
change_triggers(FunctionCallInfo fcinfo, bool attach, const char *command)
{
	MrModel    *model;
	int			n = 0;

	PreventCommandIfReadOnly(command);
	model = mr_model_lookup(PG_ARGISNULL(0) ? NULL : NameStr(*PG_GETARG_NAME(0)), MR_MODEL_OWN);
	mr_model_row_lock(model->id);
	mr_model_reload(model, MR_MODEL_OWN);
	SPI_connect();
	for (int side = 0; side < 2; side++)
		n += change_trigger(model, side, attach);
	SPI_finish();
	if (n == 0 && attach)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no feature tables", model->name),
				 errhint("Name them in user_features and item_features when the model is made.")));
	return n;
}

typedef struct Detachment
{
	const MrModel *model;
	MrSide		side;
} Detachment;

static void
detach(void *arg)
{
	const Detachment *detachment = arg;

	change_trigger(detachment->model, detachment->side, false);
}

/*
 * A model is about to be dropped: so are its triggers, if the caller may.  One that
 * stays does nothing.  SPI is connected.
 */
void
mr_detach_dropped(const MrModel *model)
{
	for (int side = 0; side < 2; side++)
	{
		Detachment	detachment = {model, side};
		ErrorData  *error = mr_try(detach, &detachment);

		if (error && mr_must_be_thrown(error->sqlerrcode))
			ReThrowError(error);
		if (error)
			ereport(NOTICE,
					(errmsg("trigger %s on %s stays", trigger_name(model, side),
							mr_relation_sql(mr_feature_relation(model, side))),
					 errdetail("%s", error->message)));
	}
}

/* metricrec.attach(model) -> triggers made */
Datum
mr_attach(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(change_triggers(fcinfo, true, "metricrec.attach()"));
}

/* metricrec.detach(model) -> feature tables without a trigger now */
Datum
mr_detach(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(change_triggers(fcinfo, false, "metricrec.detach()"));
}

/* ---- a changed row ---- */

typedef struct Change
{
	const MrModel *model;
	MrSide		side;
	MrVersion  *version;
	Jsonb	   *json;
	MrEmbedding *point;
	Datum		row;			/* of the table's row type */
	Oid			row_type;
	Datum		key;
	Oid			key_type;
} Change;

/* The row as a jsonb. */
static Jsonb *
row_json(const Change *change)
{
	Oid			types[1] = {change->row_type};
	Datum		values[1] = {change->row};
	bool		isnull;
	Datum		json;

	if (SPI_execute_with_args("SELECT pg_catalog.to_jsonb($1)", 1, types, values, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not make a JSON object of a row");
	json = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return DatumGetJsonbPCopy(json);
}

/* Writes the point, unless the row has a trained one. */
static void
write_point(const Change *change, MrEmbedding *point)
{
	Oid			table = change->side == MR_SIDE_USER ? change->version->user_table : change->version->item_table;
	const char *column = mr_side_column(change->side);
	Oid			type = getBaseType(mr_side_type(change->model, change->side));
	Oid			types[2] = {type, mr_embedding_type()};
	Datum		values[2] = {change->key, PointerGetDatum(point)};
	const char *equals = mr_equality_sql(type);
	MrIdentity	before;

	mr_owner_become(change->model, &before);
	if (SPI_execute_with_args(psprintf("UPDATE %s SET embedding = $2 WHERE %s %s $1 AND interactions IS NULL",
									   mr_relation_sql(table), column, equals), 2, types, values, NULL, false, 0) != SPI_OK_UPDATE ||
		(SPI_processed == 0 &&
		 SPI_execute_with_args(psprintf("INSERT INTO %s (%s, embedding, interactions) SELECT $1, $2, NULL"
										" WHERE NOT EXISTS (SELECT FROM %s v WHERE v.%s %s $1) ON CONFLICT DO NOTHING",
										mr_relation_sql(table), column, mr_relation_sql(table), column, equals),
							   2, types, values, NULL, false, 0) != SPI_OK_INSERT))
		elog(ERROR, "could not write into a version table");
	mr_owner_restore(&before);
}

/* The key in the type of the model's ids: integers of any size may stand for each other. */
static bool
fit_key(Change *change)
{
	Oid			type = getBaseType(mr_side_type(change->model, change->side));
	int64		value;

	if (change->key_type == type)
		return true;
	if ((type != INT2OID && type != INT4OID && type != INT8OID) ||
		(change->key_type != INT2OID && change->key_type != INT4OID && change->key_type != INT8OID))
		return false;
	value = change->key_type == INT8OID ? DatumGetInt64(change->key) :
		change->key_type == INT4OID ? DatumGetInt32(change->key) : DatumGetInt16(change->key);
	change->key = type == INT8OID ? Int64GetDatum(value) :
		type == INT4OID ? DirectFunctionCall1(int84, Int64GetDatum(value)) : DirectFunctionCall1(int82, Int64GetDatum(value));
	return true;
}

static void
embed_json(MrSideEmbedder *e, void *arg)
{
	Change	   *change = arg;
	MrFeatures	features;

	mr_feature_row_from_json(e->encoder, change->json, MR_JSON_ROW, &features);
	change->point = mr_embed_row(e, &features, 0);
}

/*
 * In a subtransaction: what fails here becomes a WARNING.  The view stays locked until
 * the transaction ends, so that no other version is served before our row is there
 * for its training to see.
 */
static void
embed_change(void *arg)
{
	Change	   *change = arg;
	MrSideEmbedder *e;

	if (!fit_key(change))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the key is of type %s, but the %s ids of the model are of type %s", format_type_be(change->key_type),
						mr_side_name(change->side), format_type_be(mr_side_type(change->model, change->side)))));
	change->json = row_json(change);
	LockRelationOid(mr_side_view(change->model, change->side), AccessShareLock);
	LockRelationOid(change->model->item_view, AccessShareLock);
	change->version = mr_version_served(change->model);
	e = mr_side_embedder(change->model, change->version, change->side);
	if (e == NULL)
		return;
	mr_side_embedder_use(e, embed_json, change);
	write_point(change, change->point);
}

/* Is this the table, or a partition of it, where the trigger is a copy? */
static bool
is_of_table(Relation rel, Oid table)
{
	return RelationGetRelid(rel) == table ||
		(rel->rd_rel->relispartition && list_member_oid(get_partition_ancestors(RelationGetRelid(rel)), table));
}

/* The model of the trigger, if it is one of this table's; NULL if it is gone. */
static MrModel *
model_of_trigger(const TriggerData *trigger, MrSide *side)
{
	MrModel    *model;

	if (trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("metricrec.embed_changed() needs the number of a model"),
				 errhint("Use metricrec.attach().")));
	model = mr_model_by_id(pg_strtoint32(trigger->tg_trigger->tgargs[0]));
	if (model == NULL)
		return NULL;
	for (int s = 0; s < 2; s++)
		if (is_of_table(trigger->tg_relation, mr_feature_relation(model, s)) &&
			strcmp(trigger->tg_trigger->tgname, trigger_name(model, s)) == 0)
		{
			*side = s;
			return model;
		}
	return NULL;
}

static void
embed_tuple(const TriggerData *trigger, const MrModel *model, MrSide side)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	int			column = SPI_fnumber(desc, side == MR_SIDE_USER ? model->user_column : model->item_column);
	Change		change = {model, side};
	ErrorData  *error;
	bool		isnull;

	if (mr_version_active(model) == 0)
		return;
	if (column <= 0)
	{
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("a row of \"%s\" has no point in model \"%s\"", RelationGetRelationName(trigger->tg_relation),
						model->name),
				 errdetail("The column of the key no longer exists.")));
		return;
	}
	change.key = heap_getattr(tuple, column, desc, &isnull);
	if (isnull)
		return;
	change.key_type = getBaseType(TupleDescAttr(desc, column - 1)->atttypid);
	change.row = heap_copy_tuple_as_datum(tuple, desc);
	change.row_type = desc->tdtypeid;
	error = mr_try(embed_change, &change);
	if (error && mr_must_be_thrown(error->sqlerrcode))
		ReThrowError(error);
	if (error)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("a row of \"%s\" has no point in model \"%s\"", RelationGetRelationName(trigger->tg_relation),
						model->name),
				 errdetail("%s", error->message),
				 error->hint ? errhint("%s", error->hint) : 0));
}

/* The trigger function metricrec.embed_changed(model). */
Datum
mr_embed_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MrModel    *model;
	MrSide		side;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("metricrec.embed_changed() was not called by an AFTER INSERT OR UPDATE trigger")));
	model = model_of_trigger(trigger, &side);
	if (model)
	{
		SPI_connect();
		embed_tuple(trigger, model, side);
		SPI_finish();
	}
	return PointerGetDatum(NULL);
}
