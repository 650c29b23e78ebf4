/*
 * refresh.c
 *		metricrec.refresh_items and metricrec.refresh_users: points for the rows of
 *		the feature table that have none yet.
 *
 * The feature table is read as the calling role, the version's table is written as
 * the model's owner.  Rows that the tower has made have interactions NULL: the next
 * version does not take them over but makes its own.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "embed/embed.h"
#include "util/pgutil.h"

PG_FUNCTION_INFO_V1(mr_refresh_items);
PG_FUNCTION_INFO_V1(mr_refresh_users);

typedef struct Refresh
{
	const MrModel *model;
	MrSideEmbedder *e;
	SPIPlanPtr	insert;
	int64		added;
} Refresh;

static void
add_rows(void *arg, const Datum *keys, const MrFeatures *rows)
{
	Refresh    *refresh = arg;
	MrIdentity	before;

	SPI_connect();				/* on the level of the query that gives the rows, it would lose its state */
	mr_owner_become(refresh->model, &before);
	for (int32 i = 0; i < rows->n_rows; i++)
	{
		Datum		values[2];

		CHECK_FOR_INTERRUPTS();
		values[0] = keys[i];
		values[1] = PointerGetDatum(mr_embed_row(refresh->e, rows, i));
		if (SPI_execute_plan(refresh->insert, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not insert into a version table");
		refresh->added += SPI_processed;
	}
	mr_owner_restore(&before);
	SPI_finish();
}

/*
 * Adds the rows of `relation` whose keys `table`, a version's, does not have; how
 * many.  SPI is connected.
 */
int64
mr_embed_missing(const MrModel *model, MrSide side, MrSideEmbedder *e, Oid relation, Oid table)
{
	Refresh		refresh = {model, e};
	const char *column = mr_side_column(side);
	const char *key = quote_identifier(side == MR_SIDE_USER ? model->user_column : model->item_column);
	Oid			type = mr_side_type(model, side);
	Oid			types[2];
	char	   *condition = psprintf("NOT EXISTS (SELECT FROM %s v WHERE v.%s %s t.%s)",
									 mr_relation_sql(table), column, mr_equality_sql(type), key);

	types[0] = getBaseType(type);
	types[1] = mr_embedding_type();
	refresh.insert = SPI_prepare(psprintf("INSERT INTO %s (%s, embedding, interactions) VALUES ($1, $2, NULL)"
										  " ON CONFLICT DO NOTHING", mr_relation_sql(table), column), 2, types);
	if (refresh.insert == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	mr_feature_read_new(e->encoder, relation, type, condition, add_rows, &refresh);
	SPI_freeplan(refresh.insert);
	return refresh.added;
}

typedef struct Work
{
	const MrModel *model;
	MrSide		side;
	Oid			relation;
	Oid			table;
	int64		added;
} Work;

static void
embed_missing(MrSideEmbedder *e, void *arg)
{
	Work	   *work = arg;

	work->added = mr_embed_missing(work->model, work->side, e, work->relation, work->table);
}

static Datum
refresh_side(FunctionCallInfo fcinfo, MrSide side, const char *command)
{
	MrModel    *model;
	MrVersion  *version;
	MrSideEmbedder *e;
	Oid			relation;
	Work		work;

	PreventCommandIfReadOnly(command);
	model = mr_model_lookup(PG_ARGISNULL(0) ? NULL : NameStr(*PG_GETARG_NAME(0)), MR_MODEL_OWN);
	mr_model_row_lock(model->id);
	mr_model_reload(model, MR_MODEL_OWN);
	version = mr_version_served(model);
	relation = mr_feature_relation(model, side);
	e = mr_side_embedder(model, version, side);
	if (e == NULL || !OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version %d of model \"%s\" has no %s tower", version->version, model->name, mr_side_name(side)),
				 errhint("Make the model with %s_features and train it, with an %s_combination other than \"id\".",
						 mr_side_name(side), mr_side_name(side))));
	if (get_rel_name(relation) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the %s features of model \"%s\" no longer exist", mr_side_name(side), model->name)));
	SPI_connect();
	work = (Work) {model, side, relation, side == MR_SIDE_USER ? version->user_table : version->item_table, 0};
	mr_side_embedder_use(e, embed_missing, &work);
	SPI_finish();
	PG_RETURN_INT64(work.added);
}

/* metricrec.refresh_items(model) -> rows added */
Datum
mr_refresh_items(PG_FUNCTION_ARGS)
{
	return refresh_side(fcinfo, MR_SIDE_ITEM, "metricrec.refresh_items()");
}

/* metricrec.refresh_users(model) -> rows added */
Datum
mr_refresh_users(PG_FUNCTION_ARGS)
{
	return refresh_side(fcinfo, MR_SIDE_USER, "metricrec.refresh_users()");
}
