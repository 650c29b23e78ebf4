/*
 * recommend_tags.c
 *		recommend_tags(): the tags that a user, or anybody, may give an item.
 *
 *		item's point, user's point --> their weighted midpoint --> nearest tags,
 *		without those that are given already
 *
 * The weight was learned in the training (model/tower.h).  A pooled user's point
 * comes from the live interactions, as everywhere, but without the item itself: that
 * is how it was trained.  Given tags are read live, too: those of this user on this
 * item, or without a user those of anybody on it.
 */
#include "postgres.h"

#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "recommend/query.h"
#include "util/pgutil.h"

#define GIVEN_HINT "Pass exclude_given => false for an answer that does not read the interactions."

PG_FUNCTION_INFO_V1(mr_recommend_tags_bigint);
PG_FUNCTION_INFO_V1(mr_recommend_tags_text);

static void
check_has_tags(const MrModel *model)
{
	if (model->tag_column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no tags", model->name),
				 errhint("Make a model whose tag_column names the column of tags in the interactions.")));
}

/* ---- the query point ---- */

/* query->point = the midpoint of the item and, if there is one, of query->user. */
static void
midpoint(MrQuery *query, Datum item)
{
	const MrTower *tower = &query->version->tower;
	const float *user = NULL;
	MrEmbedding *item_point;
	MrEmbedding *point;

	mr_point_of_row(query, &query->item_key, query->model->item_view, item, MR_NEW_ITEM_HINT);
	item_point = query->point;
	if (query->has_user)
	{
		mr_history_read(query, false, false, NULL);
		if (query->history)
			mr_history_forget(query->history, item);
		mr_point_of_user(query);
		user = query->point->x;
	}
	point = mr_embedding_create(tower->dimensions);
	(void) mr_tower_tag_query(tower, user, item_point->x, point->x);
	query->point = point;
}

/* ---- tags that are given ---- */

static char *
given_sql(const MrQuery *query, const MrKeyType *tag_key)
{
	const MrModel *model = query->model;
	Oid			type = get_atttype(model->interactions, get_attnum(model->interactions, model->tag_column));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT DISTINCT %s FROM %s t WHERE t.%s %s $1",
					 mr_key_column_sql(tag_key, "t", model->tag_column, type),
					 mr_relation_sql(model->interactions),
					 quote_identifier(model->item_column), query->item_key.equals);
	if (query->has_user)
		appendStringInfo(&sql, " AND t.%s %s $2", quote_identifier(model->user_column), query->user_key.equals);
	return sql.data;
}

static bool
receive_tag(TupleTableSlot *slot, void *arg)
{
	bool		isnull;
	Datum		tag = slot_getattr(slot, 1, &isnull);

	if (!isnull)
		mr_idmap_insert((MrIdMap *) arg, tag);
	return true;
}

/* Reads the given tags into query->left_out. */
static void
read_given(MrQuery *query, const MrKeyType *tag_key, Datum item)
{
	const MrModel *model = query->model;
	MrStatement statement = {0};

	mr_history_check_relation(model, GIVEN_HINT);
	mr_history_check_column(model, &query->item_key, model->item_column, GIVEN_HINT);
	mr_history_check_column(model, tag_key, model->tag_column, GIVEN_HINT);
	if (query->has_user)
		mr_history_check_column(model, &query->user_key, model->user_column, GIVEN_HINT);
	statement.sql = given_sql(query, tag_key);
	mr_statement_add(&statement, query->item_key.type, item);
	if (query->has_user)
		mr_statement_add(&statement, query->user_key.type, query->user);
	statement.results[0] = tag_key->type;
	query->left_out = mr_idmap_create(tag_key->type, tag_key->collation, query->context);
	mr_history_run(&statement, receive_tag, query->left_out, GIVEN_HINT);
}

/* ---- the function ---- */

/* (item_id, k, user_id, model, exclude_given) -> rows (tag text, distance). */
static Datum
recommend_tags(FunctionCallInfo fcinfo, MrIdForm form)
{
	MrCandidateList list = {0};
	MrKeyType	tag_key;
	MrQuery    *query;
	Datum		item;

	if (PG_ARGISNULL(0))
		return mr_query_no_rows(fcinfo);
	query = mr_query_begin(fcinfo, form, 1, 3);
	check_has_tags(query->model);
	mr_query_check_readable(query->model->tag_view);
	LockRelationOid(query->model->tag_view, AccessShareLock);
	mr_key_describe(&tag_key, "tag", "tag", query->model->tag_view);
	item = mr_key_parse(&query->item_key, form, PG_GETARG_DATUM(0), query->model->name);
	query->has_user = !PG_ARGISNULL(2);
	if (query->has_user)
		query->user = mr_key_parse(&query->user_key, form, PG_GETARG_DATUM(2), query->model->name);

	midpoint(query, item);
	if (PG_ARGISNULL(4) || PG_GETARG_BOOL(4))
		read_given(query, &tag_key, item);
	mr_candidates_nearest(query, &tag_key, query->model->tag_view, query->k, false, &list);
	query->form = MR_IDS_TEXT;	/* of the tags, whatever that of the ids */
	return mr_query_end(fcinfo, query, &tag_key, &list);
}

Datum
mr_recommend_tags_bigint(PG_FUNCTION_ARGS)
{
	return recommend_tags(fcinfo, MR_IDS_BIGINT);
}

Datum
mr_recommend_tags_text(PG_FUNCTION_ARGS)
{
	return recommend_tags(fcinfo, MR_IDS_TEXT);
}
