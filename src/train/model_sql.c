/*
 * model_sql.c
 *		metricrec.create_model, alter_model, drop_model, activate.
 *
 * A model is a row of metricrec.model and two views in the creation schema, three
 * with tags, which have no rows before the first training.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "data/dataset.h"
#include "embed/embed.h"
#include "metricrec.h"
#include "store/catalog.h"
#include "store/version.h"
#include "train/options.h"
#include "train/train.h"
#include "util/compat.h"
#include "util/pgutil.h"

PG_FUNCTION_INFO_V1(mr_create_model);
PG_FUNCTION_INFO_V1(mr_alter_model);
PG_FUNCTION_INFO_V1(mr_drop_model);
PG_FUNCTION_INFO_V1(mr_activate);

/* Arguments of create_model before the hyper-parameters. */
enum
{
	ARG_NAME, ARG_INTERACTIONS, ARG_USER_COLUMN, ARG_ITEM_COLUMN, ARG_RATING_COLUMN,
	ARG_MIN_RATING, ARG_WEIGHT_COLUMN, ARG_TAG_COLUMN, ARG_TIME_COLUMN, ARG_USER_FEATURES,
	ARG_ITEM_FEATURES, ARG_HYPER
};

/* ---- shared ---- */

/* Builds the one row that a management function returns. */
Datum
mr_result_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* The model's name argument; NULL stands for the default model. */
const char *
mr_name_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : NameStr(*PG_GETARG_NAME(n));
}

/* Which columns the model's interactions have. */
void
mr_model_source(const MrModel *model, MrDatasetSource *source)
{
	memset(source, 0, sizeof(*source));
	source->relation = model->interactions;
	source->user_column = model->user_column;
	source->item_column = model->item_column;
	source->rating_column = model->rating_column;
	source->weight_column = model->weight_column;
	source->time_column = model->time_column;
	source->tag_column = model->tag_column;
	source->has_min_rating = model->has_min_rating;
	source->min_rating = model->min_rating;
}

/* ---- create_model ---- */

static const char *
column_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(n)));
}

static void
required(bool given, const char *argument)
{
	if (!given)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", argument)));
}

static void
check_model_name(const char *name)
{
	if (name[0] == '\0' || strlen(name) > MR_MAX_MODEL_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid model name \"%s\"", name),
				 errdetail("A model name has 1 to %d bytes, so that the names of its tables fit into an identifier.",
						   MR_MAX_MODEL_NAME)));
}

static void
read_source(FunctionCallInfo fcinfo, MrDatasetSource *source)
{
	memset(source, 0, sizeof(*source));
	required(!PG_ARGISNULL(ARG_INTERACTIONS), "interactions");
	required(!PG_ARGISNULL(ARG_USER_COLUMN), "user_column");
	required(!PG_ARGISNULL(ARG_ITEM_COLUMN), "item_column");
	source->relation = PG_GETARG_OID(ARG_INTERACTIONS);
	source->user_column = column_argument(fcinfo, ARG_USER_COLUMN);
	source->item_column = column_argument(fcinfo, ARG_ITEM_COLUMN);
	source->rating_column = column_argument(fcinfo, ARG_RATING_COLUMN);
	source->weight_column = column_argument(fcinfo, ARG_WEIGHT_COLUMN);
	source->time_column = column_argument(fcinfo, ARG_TIME_COLUMN);
	source->tag_column = column_argument(fcinfo, ARG_TAG_COLUMN);
	source->has_min_rating = !PG_ARGISNULL(ARG_MIN_RATING);
	source->min_rating = source->has_min_rating ? PG_GETARG_FLOAT8(ARG_MIN_RATING) : 0;

	if (source->has_min_rating && source->rating_column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_rating needs a rating_column"),
				 errhint("Name the column that holds the ratings in rating_column.")));
	if (source->has_min_rating && isnan(source->min_rating))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_rating must not be NaN")));
	if (strcmp(source->user_column, source->item_column) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("user_column and item_column are the same column \"%s\"", source->user_column)));
	if (source->tag_column &&
		(strcmp(source->tag_column, source->user_column) == 0 || strcmp(source->tag_column, source->item_column) == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tag_column and the column of users or items are the same column \"%s\"", source->tag_column)));
}

/* Sets of ids are arrays of them, and there are no arrays of arrays. */
static void
refuse_array(const char *column, Oid type)
{
	if (OidIsValid(get_element_type(getBaseType(type))))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of type %s cannot hold ids", column, format_type_be(type)),
				 errhint("Read it through a view that makes a row or a text of it.")));
}

static bool
is_used(const MrDatasetSource *source, const char *column)
{
	const char *used[] = {source->user_column, source->item_column, source->rating_column,
	source->weight_column, source->time_column, source->tag_column};

	for (int i = 0; i < lengthof(used); i++)
		if (used[i] && strcmp(used[i], column) == 0)
			return true;
	return false;
}

/* One NOTICE that lists the columns which are not used: silence would hide a typo. */
static void
notice_unused_columns(const MrDatasetSource *source)
{
	Relation	rel = table_open(source->relation, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData unused;

	initStringInfo(&unused);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && !is_used(source, NameStr(column->attname)))
			appendStringInfo(&unused, "%s%s", unused.len ? ", " : "", quote_identifier(NameStr(column->attname)));
	}
	if (unused.len)
		ereport(NOTICE,
				(errmsg("columns of \"%s\" that are not used: %s", RelationGetRelationName(rel), unused.data)));
	table_close(rel, AccessShareLock);
}

/* Does a valid index of the relation lead with this column? */
static bool
has_leading_index(Relation rel, AttrNumber column)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;
	bool		found = false;

	foreach(cell, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));

		if (!HeapTupleIsValid(tuple))
			continue;
		found |= ((Form_pg_index) GETSTRUCT(tuple))->indkey.values[0] == column &&
			((Form_pg_index) GETSTRUCT(tuple))->indisvalid &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/*
 * recommend() reads the user's rows at each call, recommend_tags() the item's:
 * without an index, all of them.
 */
static void
warn_missing_index(const MrDatasetSource *source, bool items)
{
	const char *column = items ? source->item_column : source->user_column;
	const char *other = items ? source->user_column : source->item_column;
	Relation	rel = table_open(source->relation, AccessShareLock);
	char		kind = rel->rd_rel->relkind;

	if ((kind == RELKIND_RELATION || kind == RELKIND_MATVIEW || kind == RELKIND_PARTITIONED_TABLE) &&
		!has_leading_index(rel, get_attnum(source->relation, column)))
		ereport(WARNING,
				(errmsg("no index of \"%s\" begins with column \"%s\"",
						RelationGetRelationName(rel), column),
				 items ? errdetail("Each call of recommend_tags() without a user reads the rows of one item, and would scan the whole table.") :
				 errdetail("Each call of recommend() reads the rows of one user, and would scan the whole table."),
				 errhint("CREATE INDEX ON %s (%s, %s);", mr_relation_sql(source->relation),
						 quote_identifier(column), quote_identifier(other))));
	table_close(rel, AccessShareLock);
}

/* The feature tables can be read as such, and the options fit. */
static void
check_features(const MrModel *model, const MrDatasetSource *source)
{
	MrOptions	options;

	mr_options_read(model->options, &options);
	for (int side = 0; side < 2; side++)
	{
		const MrNames *words = side == MR_SIDE_USER ? &options.user_word_columns : &options.item_word_columns;
		MrCombination combination = side == MR_SIDE_USER ? options.hyper.user_combination : options.hyper.item_combination;
		MrFeatureSource features = {0};

		features.relation = side == MR_SIDE_USER ? model->user_features : model->item_features;
		if (!OidIsValid(features.relation))
		{
			if (combination == MR_COMBINE_ID && words->n == 0)
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s_combination and %s_word_columns need %s_features", mr_side_name(side),
							mr_side_name(side), mr_side_name(side))));
		}
		features.key_column = side == MR_SIDE_USER ? source->user_column : source->item_column;
		features.n_word_columns = words->n;
		features.word_columns = words->names;
		features.min_count = options.min_feature_count;
		features.max_vocabulary = options.max_vocabulary;
		mr_feature_check_columns(&features, side == MR_SIDE_USER ? model->user_type : model->item_type);
	}
}

/* Makes the empty views; where they go is where CREATE TABLE would put a table. */
static void
create_views(MrModel *model, const MrDatasetSource *source)
{
	const char *columns[MR_SIDES] = {source->user_column, source->item_column, source->tag_column};
	Oid		   *views[MR_SIDES] = {&model->user_view, &model->item_view, &model->tag_view};

	for (int side = 0; side < mr_model_sides(model); side++)
	{
		char	   *view = psprintf("%s_%s_embedding", model->name, mr_side_name(side));
		Oid			relation;

		if (OidIsValid(get_relname_relid(view, model->schema)))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("model \"%s\" already exists in schema \"%s\"", model->name,
							get_namespace_name(model->schema)),
					 errdetail("There is a relation \"%s\".", view),
					 errhint("Use another name, metricrec.alter_model(), or metricrec.drop_model().")));
		mr_spi_run(mr_view_create_sql(model, side, mr_column_collation(source->relation, columns[side])));
		relation = get_relname_relid(view, model->schema);
		mr_spi_run(psprintf("COMMENT ON VIEW %s IS %s", mr_relation_sql(relation),
							quote_literal_cstr(psprintf("metricrec: %ss of the active version of model %s",
														mr_side_name(side), model->name))));
		mr_spi_run(psprintf("CREATE TRIGGER metricrec_insert INSTEAD OF INSERT ON %s"
							" FOR EACH ROW EXECUTE FUNCTION metricrec.insert_embedding()",
							mr_relation_sql(relation)));
		*views[side] = relation;
	}
}

static void
insert_model(MrModel *model, const MrDatasetSource *source)
{
	Datum		values[MR_MODEL_NATTS];
	bool		nulls[MR_MODEL_NATTS] = {0};
	const char *columns[] = {source->user_column, source->item_column, source->rating_column,
	source->weight_column, source->time_column};

	for (int i = 0; i < lengthof(columns); i++)
	{
		NameData   *name = palloc0(sizeof(NameData));

		nulls[MR_MODEL_USER_COLUMN - 1 + i] = columns[i] == NULL;
		if (columns[i])
			namestrcpy(name, columns[i]);
		values[MR_MODEL_USER_COLUMN - 1 + i] = NameGetDatum(name);
	}
	model->id = (int32) nextval_internal(mr_catalog_relation("model_id_seq"), false);
	values[MR_MODEL_ID - 1] = Int32GetDatum(model->id);
	values[MR_MODEL_ITEM_VIEW - 1] = ObjectIdGetDatum(model->item_view);
	values[MR_MODEL_USER_VIEW - 1] = ObjectIdGetDatum(model->user_view);
	values[MR_MODEL_INTERACTIONS - 1] = ObjectIdGetDatum(source->relation);
	values[MR_MODEL_MIN_RATING - 1] = Float8GetDatum(source->min_rating);
	nulls[MR_MODEL_MIN_RATING - 1] = !source->has_min_rating;
	values[MR_MODEL_USER_TYPE - 1] = ObjectIdGetDatum(model->user_type);
	values[MR_MODEL_ITEM_TYPE - 1] = ObjectIdGetDatum(model->item_type);
	values[MR_MODEL_OPTIONS - 1] = PointerGetDatum(model->options);
	values[MR_MODEL_CREATED - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[MR_MODEL_USER_FEATURES - 1] = ObjectIdGetDatum(model->user_features);
	nulls[MR_MODEL_USER_FEATURES - 1] = !OidIsValid(model->user_features);
	values[MR_MODEL_ITEM_FEATURES - 1] = ObjectIdGetDatum(model->item_features);
	nulls[MR_MODEL_ITEM_FEATURES - 1] = !OidIsValid(model->item_features);
	values[MR_MODEL_TAG_COLUMN - 1] = DirectFunctionCall1(namein, CStringGetDatum(source->tag_column ? source->tag_column : ""));
	values[MR_MODEL_TAG_TYPE - 1] = ObjectIdGetDatum(model->tag_type);
	values[MR_MODEL_TAG_VIEW - 1] = ObjectIdGetDatum(model->tag_view);
	nulls[MR_MODEL_TAG_COLUMN - 1] = nulls[MR_MODEL_TAG_TYPE - 1] = nulls[MR_MODEL_TAG_VIEW - 1] =
		source->tag_column == NULL;
	mr_catalog_insert("model", values, nulls);
}

/*
 * metricrec.create_model(name, interactions, columns ..., hyper-parameters ...)
 *	-> (schema, model, user_embedding, item_embedding)
 */
Datum
mr_create_model(PG_FUNCTION_ARGS)
{
	MrDatasetSource source;
	MrModel		model = {0};
	List	   *path;
	Datum		values[4];
	bool		nulls[4] = {0};

	required(!PG_ARGISNULL(ARG_NAME), "name");
	strlcpy(model.name, NameStr(*PG_GETARG_NAME(ARG_NAME)), NAMEDATALEN);
	check_model_name(model.name);
	read_source(fcinfo, &source);
	mr_dataset_check_columns(&source, &model.user_type, &model.item_type, &model.tag_type);
	model.tag_column = source.tag_column;
	refuse_array(source.user_column, model.user_type);
	refuse_array(source.item_column, model.item_type);
	if (source.tag_column)
		refuse_array(source.tag_column, model.tag_type);
	model.user_features = PG_ARGISNULL(ARG_USER_FEATURES) ? InvalidOid : PG_GETARG_OID(ARG_USER_FEATURES);
	model.item_features = PG_ARGISNULL(ARG_ITEM_FEATURES) ? InvalidOid : PG_GETARG_OID(ARG_ITEM_FEATURES);
	model.options = mr_options_from_arguments(fcinfo, ARG_HYPER, NULL, NULL);
	mr_check_column_options(source.tag_column, source.time_column, model.options);
	mr_options_check_inputs(model.options, source.tag_column, OidIsValid(model.user_features) || OidIsValid(model.item_features));

	check_features(&model, &source);
	path = fetch_search_path(false);
	if (path == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("no schema has been selected to create in"),
				 errhint("Put the schema in which the model's tables are to be made into search_path.")));
	model.schema = linitial_oid(path);
	if (isAnyTempNamespace(model.schema))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_SCHEMA_NAME),
				 errmsg("cannot create a model in a temporary schema"),
				 errhint("Put another schema first in search_path.")));

	PreventCommandIfReadOnly("metricrec.create_model()");
	mr_model_forget_dropped();
	SPI_connect();
	create_views(&model, &source);
	SPI_finish();
	insert_model(&model, &source);
	notice_unused_columns(&source);
	warn_missing_index(&source, false);
	if (source.tag_column)
		warn_missing_index(&source, true);

	values[0] = DirectFunctionCall1(namein, CStringGetDatum(get_namespace_name(model.schema)));
	values[1] = DirectFunctionCall1(namein, CStringGetDatum(model.name));
	values[2] = ObjectIdGetDatum(model.user_view);
	values[3] = ObjectIdGetDatum(model.item_view);
	return mr_result_row(fcinfo, values, nulls);
}

/* ---- alter_model ---- */

/*
 * The model, owned by the caller, with the lock on its row; read again under the
 * lock, because somebody else may have just changed or dropped it.
 */
static MrModel *
lock_model(const char *name, const char *command)
{
	MrModel    *model;

	PreventCommandIfReadOnly(command);
	model = mr_model_lookup(name, MR_MODEL_OWN);
	mr_model_row_lock(model->id);
	mr_model_reload(model, MR_MODEL_OWN);
	return model;
}

static bool
visit_set_options(Relation rel, HeapTuple tuple, void *arg)
{
	Datum		values[MR_MODEL_NATTS] = {0};
	bool		nulls[MR_MODEL_NATTS] = {0};
	bool		replace[MR_MODEL_NATTS] = {0};

	values[MR_MODEL_OPTIONS - 1] = PointerGetDatum((Jsonb *) arg);
	replace[MR_MODEL_OPTIONS - 1] = true;
	mr_catalog_update(rel, tuple, values, nulls, replace);
	return false;
}

/* Stores checked options; the caller holds the lock on the model's row. */
void
mr_model_set_options(const MrModel *model, Jsonb *options)
{
	ScanKeyData key;

	mr_catalog_key_int4(&key, MR_MODEL_ID, model->id);
	mr_catalog_scan("model", "model_pkey", RowExclusiveLock, 1, &key, visit_set_options, options);
	CommandCounterIncrement();
}

/*
 * metricrec.alter_model(name, reset, hyper-parameters ...) -> (model, options)
 *
 * Takes effect at the next training.
 */
Datum
mr_alter_model(PG_FUNCTION_ARGS)
{
	MrModel    *model = lock_model(mr_name_argument(fcinfo, 0), "metricrec.alter_model()");
	Jsonb	   *options;
	Datum		values[2];
	bool		nulls[2] = {0};

	options = mr_options_from_arguments(fcinfo, 2, model->options,
										PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1));
	mr_check_column_options(model->tag_column, model->time_column, options);
	mr_options_check_inputs(options, model->tag_column, OidIsValid(model->user_features) || OidIsValid(model->item_features));
	mr_model_set_options(model, options);

	values[0] = DirectFunctionCall1(namein, CStringGetDatum(model->name));
	values[1] = PointerGetDatum(options);
	return mr_result_row(fcinfo, values, nulls);
}

/* ---- drop_model ---- */

/*
 * metricrec.drop_model(name) -> boolean
 *
 * Drops the views and every version.  Objects of users that depend on them
 * stand in the way, as with DROP TABLE.
 */
Datum
mr_drop_model(PG_FUNCTION_ARGS)
{
	MrModel    *model;
	MrRunLock	lock;
	ListCell   *cell;
	List	   *tables;

	required(!PG_ARGISNULL(0), "name");
	PreventCommandIfReadOnly("metricrec.drop_model()");
	model = mr_model_lookup(NameStr(*PG_GETARG_NAME(0)), MR_MODEL_OWN);
	mr_lock_run_or_fail(&lock, model, false);
	mr_model_row_lock(model->id);
	mr_model_reload(model, MR_MODEL_OWN);

	SPI_connect();
	mr_detach_dropped(model);
	SPI_finish();
	tables = mr_version_all_tables(model);
	if (mr_relation_holds_points(model->user_view, RELKIND_VIEW))
		mr_relation_drop(model->user_view);
	if (OidIsValid(model->tag_view) && mr_relation_holds_points(model->tag_view, RELKIND_VIEW))
		mr_relation_drop(model->tag_view);
	mr_relation_drop(model->item_view);
	foreach(cell, tables)
		mr_relation_drop(lfirst_oid(cell));
	mr_model_delete(model->id);
	PG_RETURN_BOOL(true);
}

/* ---- activate ---- */

static void
not_usable(const MrModel *model, int32 version, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("version %d of model \"%s\" cannot be activated", version, model->name),
			 errdetail("%s", detail),
			 errhint("The view metricrec.model_versions lists the versions that are ready.")));
}

/*
 * metricrec.activate(name, version) -> (model, version, previous_version)
 *
 * Roll back or forward, also while a training computes.  Error 55P03 if readers
 * keep the views locked.
 */
Datum
mr_activate(PG_FUNCTION_ARGS)
{
	MrModel    *model;
	int32		version;
	int32		previous;
	MrIdentity	before;
	Oid			tables[MR_SIDES];
	bool		done;
	Datum		values[3];
	bool		nulls[3] = {0};

	required(!PG_ARGISNULL(1), "version");
	version = PG_GETARG_INT32(1);
	model = lock_model(mr_name_argument(fcinfo, 0), "metricrec.activate()");
	previous = mr_version_active(model);
	if (!mr_version_tables(model, version, tables))
		not_usable(model, version, "There is no such version.");
	for (int side = 0; side < mr_model_sides(model); side++)
		if (!OidIsValid(tables[side]))
			not_usable(model, version, "Its tables have been dropped.");

	SPI_connect();
	mr_owner_become(model, &before);
	done = mr_version_activate(model, tables);
	mr_owner_restore(&before);
	SPI_finish();
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock the views of model \"%s\"", model->name),
				 errdetail("Transactions that read them did not end in time."),
				 errhint("Try again, or look into pg_locks for who holds a lock on %s.",
						 mr_relation_sql(model->item_view))));

	values[0] = DirectFunctionCall1(namein, CStringGetDatum(model->name));
	values[1] = Int32GetDatum(version);
	values[2] = Int32GetDatum(previous);
	nulls[2] = previous == 0;
	return mr_result_row(fcinfo, values, nulls);
}
