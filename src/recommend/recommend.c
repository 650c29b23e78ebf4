/*
 * recommend.c
 *		The query functions of the extension: arguments, stages, rows; for tags see
 *		recommend_tags.c.
 *
 *		query point -> candidates -> [re-scorer] -> left-out rows -> diversity -> k rows
 *
 * All functions are STABLE and write nothing, so that they run on a standby and
 * in read-only transactions.  Each comes in two forms that differ in the type of
 * ids only; see keys.c.
 *
 * A NULL id gives no rows, as a strict function would; a NULL in any other
 * argument is its default.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "recommend/query.h"
#include "util/pgutil.h"

#define DEFAULT_K 10

PG_FUNCTION_INFO_V1(mr_recommend_bigint);
PG_FUNCTION_INFO_V1(mr_recommend_text);
PG_FUNCTION_INFO_V1(mr_recommend_for_items_bigint);
PG_FUNCTION_INFO_V1(mr_recommend_for_items_text);
PG_FUNCTION_INFO_V1(mr_similar_items_bigint);
PG_FUNCTION_INFO_V1(mr_similar_items_text);
PG_FUNCTION_INFO_V1(mr_similar_users_bigint);
PG_FUNCTION_INFO_V1(mr_similar_users_text);
PG_FUNCTION_INFO_V1(mr_explain_recommendation_bigint);
PG_FUNCTION_INFO_V1(mr_explain_recommendation_text);

/* ---- begin and end ---- */

/* The argument k, or its default. */
int64
mr_query_k(FunctionCallInfo fcinfo, int arg)
{
	int32		k = PG_ARGISNULL(arg) ? DEFAULT_K : PG_GETARG_INT32(arg);

	if (k <= 0 || k > MR_MAX_K)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k is out of range: %d", k),
				 errhint("Ask for 1 to %d rows.", MR_MAX_K)));
	return k;
}

static double
get_diversity(FunctionCallInfo fcinfo, int arg, int64 k)
{
	double		diversity = PG_ARGISNULL(arg) ? 0 : PG_GETARG_FLOAT8(arg);

	if (isnan(diversity) || diversity < 0 || diversity >= 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("diversity is out of range: %g", diversity),
				 errhint("It lies between 0, order by distance, and less than 1.")));
	if (diversity > 0 && k > MR_MAX_DIVERSE_K)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k is too large for a diverse answer: %lld", (long long) k),
				 errhint("With diversity, ask for at most %d rows.", MR_MAX_DIVERSE_K)));
	return diversity;
}

/*
 * The rows go into a tuplestore of the caller's.  Its row type is copied from
 * what the caller expects: deriving it from the function would leave a little
 * memory in the calling statement at each call, and a LATERAL makes many.
 */
static void
start_rows(FunctionCallInfo fcinfo)
{
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
}

/*
 * A query on a model, in the current context; SPI is connected.  The views stay
 * locked until the transaction ends, as for any SELECT; they are locked here already
 * so that no other version can come under them between reading the version's tower
 * and reading its points.
 */
MrQuery *
mr_query_open(MrIdForm form, int64 k, const char *model)
{
	MrQuery    *query = palloc0(sizeof(MrQuery));

	query->context = CurrentMemoryContext;
	query->form = form;
	query->k = k;
	query->model = mr_model_lookup(model, MR_MODEL_QUERY);
	LockRelationOid(query->model->user_view, AccessShareLock);
	LockRelationOid(query->model->item_view, AccessShareLock);
	query->version = mr_version_served(query->model);
	mr_key_describe(&query->user_key, "user", "user_id", query->model->user_view);
	mr_key_describe(&query->item_key, "item", "item_id", query->model->item_view);
	query->embedding_type = mr_embedding_type();
	query->distance = mr_distance_sql();
	return query;
}

/*
 * Starts the query of a function: connects SPI, and the current context becomes the
 * query's own.
 */
MrQuery *
mr_query_begin(FunctionCallInfo fcinfo, MrIdForm form, int k_arg, int model_arg)
{
	int64		k = mr_query_k(fcinfo, k_arg);
	MemoryContext context;

	start_rows(fcinfo);
	context = AllocSetContextCreate(CurrentMemoryContext, "metricrec query", ALLOCSET_DEFAULT_SIZES);
	SPI_connect();
	MemoryContextSwitchTo(context);
	return mr_query_open(form, k, PG_ARGISNULL(model_arg) ? NULL : NameStr(*PG_GETARG_NAME(model_arg)));
}

/*
 * Error unless the caller may read something of the view that the answer comes
 * from.  The statements check this by themselves; but the interactions are read
 * first, and without the model a hint at them would mislead.
 */
void
mr_query_check_readable(Oid view)
{
	AclResult	result = pg_class_aclcheck(view, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		result = pg_attribute_aclcheck_all(view, GetUserId(), ACL_SELECT, ACLMASK_ANY);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_VIEW, get_rel_name(view));
}

/* Returns the rows, and frees everything. */
Datum
mr_query_end(FunctionCallInfo fcinfo, MrQuery *query, const MrKeyType *key, const MrCandidateList *list)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FmgrInfo	output;

	mr_key_output(key, &output);
	for (int64 i = 0; i < list->n; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};

		values[0] = mr_key_print(key, query->form, list->rows[i].key, &output);
		values[1] = Float8GetDatum(list->rows[i].distance);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	SPI_finish();
	MemoryContextDelete(query->context);
	return (Datum) 0;
}

/* No rows: the id is NULL. */
Datum
mr_query_no_rows(FunctionCallInfo fcinfo)
{
	start_rows(fcinfo);
	return (Datum) 0;
}

/* ---- the pipeline after the query point ---- */

static void
find_items(MrQuery *query, MrCandidateList *list)
{
	const MrTower *tower = &query->version->tower;
	bool		diverse = query->diversity > 0;
	int64		wanted = diverse ? mr_diversity_pool(query->k) : query->k;

	/* Left-out rows never enter the list. */
	mr_candidates_nearest(query, &query->item_key, query->model->item_view, wanted, diverse, list);

	/*
	 * A model whose score depends on the pair of user and item (a relation
	 * vector per pair) has its place here: a re-scorer, found by the name of
	 * the version's component, reorders the list, and `wanted` above is then
	 * its pool.  No version has one yet.
	 */

	if (diverse)
		mr_diversity_choose(list, query->k, query->diversity,
							tower->dimensions - (tower->item_bias ? 1 : 0));
}

/* ---- recommend ---- */

static Datum
recommend(FunctionCallInfo fcinfo, MrIdForm form)
{
	MrCandidateList list = {0};
	MrQuery    *query;
	double		diversity;

	if (PG_ARGISNULL(0))
		return mr_query_no_rows(fcinfo);
	diversity = get_diversity(fcinfo, 5, mr_query_k(fcinfo, 1));
	query = mr_query_begin(fcinfo, form, 1, 2);
	mr_query_check_readable(query->model->item_view);
	query->diversity = diversity;
	query->exclude_seen = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	query->candidates = PG_ARGISNULL(4) ? InvalidOid : PG_GETARG_OID(4);
	query->user = mr_key_parse(&query->user_key, form, PG_GETARG_DATUM(0), query->model->name);
	query->has_user = true;
	mr_key_check_form(&query->item_key, form, query->model->name);

	mr_history_read(query, query->exclude_seen, false, MR_SEEN_HINT);
	if (query->exclude_seen)
		query->left_out = query->history->ids;
	mr_point_of_user(query);
	find_items(query, &list);
	return mr_query_end(fcinfo, query, &query->item_key, &list);
}

Datum
mr_recommend_bigint(PG_FUNCTION_ARGS)
{
	return recommend(fcinfo, MR_IDS_BIGINT);
}

Datum
mr_recommend_text(PG_FUNCTION_ARGS)
{
	return recommend(fcinfo, MR_IDS_TEXT);
}

/* ---- recommend_for_items ---- */

/* The ids of an array argument; NULL elements are passed over. */
static MrItemSet *
items_from_array(MrQuery *query, ArrayType *array)
{
	MrItemSet  *items = mr_item_set_create(&query->item_key, query->context);
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (query->form == MR_IDS_BIGINT)
		deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
						  &elements, &nulls, &n);
	else
		deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			mr_item_set_add(items, mr_key_parse(&query->item_key, query->form, elements[i],
												query->model->name), true);
	}
	if (mr_idmap_size(items->ids) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there are no items to start from"),
				 errdetail("The array holds no id that is not NULL.")));
	return items;
}

static Datum
recommend_for_items(FunctionCallInfo fcinfo, MrIdForm form)
{
	MrCandidateList list = {0};
	MrItemSet  *items;
	MrQuery    *query;
	double		diversity;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the array of items is NULL")));
	diversity = get_diversity(fcinfo, 5, mr_query_k(fcinfo, 1));
	query = mr_query_begin(fcinfo, form, 1, 2);
	mr_query_check_readable(query->model->item_view);
	query->diversity = diversity;
	query->exclude_seen = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	query->candidates = PG_ARGISNULL(4) ? InvalidOid : PG_GETARG_OID(4);
	mr_key_check_form(&query->item_key, form, query->model->name);

	items = items_from_array(query, PG_GETARG_ARRAYTYPE_P(0));
	if (query->exclude_seen)
		query->left_out = items->ids;
	mr_point_of_items(query, items);
	find_items(query, &list);
	return mr_query_end(fcinfo, query, &query->item_key, &list);
}

Datum
mr_recommend_for_items_bigint(PG_FUNCTION_ARGS)
{
	return recommend_for_items(fcinfo, MR_IDS_BIGINT);
}

Datum
mr_recommend_for_items_text(PG_FUNCTION_ARGS)
{
	return recommend_for_items(fcinfo, MR_IDS_TEXT);
}

/* ---- similar_items, similar_users ---- */

/* A set of one key: the row that is asked about is never in the answer. */
static MrIdMap *
only_this(MrQuery *query, const MrKeyType *key, Datum id)
{
	MrIdMap    *map = mr_idmap_create(key->type, key->collation, query->context);

	mr_idmap_insert(map, id);
	return map;
}

static Datum
similar_items(FunctionCallInfo fcinfo, MrIdForm form)
{
	MrCandidateList list = {0};
	MrQuery    *query;
	Datum		item;

	if (PG_ARGISNULL(0))
		return mr_query_no_rows(fcinfo);
	query = mr_query_begin(fcinfo, form, 1, 2);
	mr_query_check_readable(query->model->item_view);
	item = mr_key_parse(&query->item_key, form, PG_GETARG_DATUM(0), query->model->name);
	query->left_out = only_this(query, &query->item_key, item);
	mr_point_of_row(query, &query->item_key, query->model->item_view, item, MR_NEW_ITEM_HINT);
	find_items(query, &list);
	return mr_query_end(fcinfo, query, &query->item_key, &list);
}

Datum
mr_similar_items_bigint(PG_FUNCTION_ARGS)
{
	return similar_items(fcinfo, MR_IDS_BIGINT);
}

Datum
mr_similar_items_text(PG_FUNCTION_ARGS)
{
	return similar_items(fcinfo, MR_IDS_TEXT);
}

static Datum
similar_users(FunctionCallInfo fcinfo, MrIdForm form)
{
	MrCandidateList list = {0};
	MrQuery    *query;

	if (PG_ARGISNULL(0))
		return mr_query_no_rows(fcinfo);
	query = mr_query_begin(fcinfo, form, 1, 2);
	mr_query_check_readable(query->model->user_view);
	query->user = mr_key_parse(&query->user_key, form, PG_GETARG_DATUM(0), query->model->name);
	query->has_user = true;
	query->left_out = only_this(query, &query->user_key, query->user);
	mr_history_read(query, false, false, NULL);
	mr_point_of_user(query);
	mr_candidates_nearest(query, &query->user_key, query->model->user_view, query->k, false, &list);
	return mr_query_end(fcinfo, query, &query->user_key, &list);
}

Datum
mr_similar_users_bigint(PG_FUNCTION_ARGS)
{
	return similar_users(fcinfo, MR_IDS_BIGINT);
}

Datum
mr_similar_users_text(PG_FUNCTION_ARGS)
{
	return similar_users(fcinfo, MR_IDS_TEXT);
}

/* ---- explain_recommendation ---- */

static Datum
explain_recommendation(FunctionCallInfo fcinfo, MrIdForm form)
{
	MrCandidateList list = {0};
	MrQuery    *query;
	Datum		item;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return mr_query_no_rows(fcinfo);
	query = mr_query_begin(fcinfo, form, 2, 3);
	mr_query_check_readable(query->model->item_view);
	query->user = mr_key_parse(&query->user_key, form, PG_GETARG_DATUM(0), query->model->name);
	query->has_user = true;
	item = mr_key_parse(&query->item_key, form, PG_GETARG_DATUM(1), query->model->name);
	query->left_out = only_this(query, &query->item_key, item);

	mr_history_read(query, false, true, NULL);
	if (query->history->n_liked > 0)
	{
		mr_point_of_row(query, &query->item_key, query->model->item_view, item, MR_NEW_ITEM_HINT);
		mr_candidates_among(query, query->history, query->k, &list);
	}
	else
		mr_point_of_user(query);	/* error if the model does not know the user */
	return mr_query_end(fcinfo, query, &query->item_key, &list);
}

Datum
mr_explain_recommendation_bigint(PG_FUNCTION_ARGS)
{
	return explain_recommendation(fcinfo, MR_IDS_BIGINT);
}

Datum
mr_explain_recommendation_text(PG_FUNCTION_ARGS)
{
	return explain_recommendation(fcinfo, MR_IDS_TEXT);
}
