/*
 * embed_sql.c
 *		metricrec.embed_item and metricrec.embed_user: the point that the served
 *		version's tower gives to features.
 *
 * They read what the version has stored and nothing else, so that they run on a
 * standby.  Whoever may read the side's view may ask.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "embed/embed.h"

PG_FUNCTION_INFO_V1(mr_embed_item);
PG_FUNCTION_INFO_V1(mr_embed_user);

/* Error unless the caller may read something of the view. */
static void
check_readable(Oid view)
{
	AclResult	result = pg_class_aclcheck(view, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		result = pg_attribute_aclcheck_all(view, GetUserId(), ACL_SELECT, ACLMASK_ANY);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_VIEW, get_rel_name(view));
}

typedef struct Request
{
	Jsonb	   *features;
	MrEmbedding *point;
} Request;

static void
embed_json(MrSideEmbedder *e, void *arg)
{
	Request    *request = arg;
	MrFeatures	row;

	mr_feature_row_from_json(e->encoder, request->features, MR_JSON_PARTIAL, &row);
	request->point = mr_embed_row(e, &row, 0);
}

/* NULL features give NULL; a NULL model is the default one. */
static Datum
embed(FunctionCallInfo fcinfo, MrSide side)
{
	MrModel    *model;
	MrVersion  *version;
	MrSideEmbedder *e;
	Request		request = {0};

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	model = mr_model_lookup(PG_ARGISNULL(0) ? NULL : NameStr(*PG_GETARG_NAME(0)), MR_MODEL_QUERY);
	check_readable(mr_side_view(model, side));
	LockRelationOid(mr_side_view(model, side), AccessShareLock);
	LockRelationOid(model->item_view, AccessShareLock);
	version = mr_version_served(model);
	e = mr_side_embedder(model, version, side);
	if (e == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version %d of model \"%s\" has no %s tower", version->version, model->name, mr_side_name(side)),
				 errhint("Make the model with %s_features and train it, with an %s_combination other than \"id\".",
						 mr_side_name(side), mr_side_name(side))));
	request.features = PG_GETARG_JSONB_P(1);
	mr_side_embedder_use(e, embed_json, &request);
	PG_RETURN_POINTER(request.point);
}

/* metricrec.embed_item(model, features jsonb) -> embedding */
Datum
mr_embed_item(PG_FUNCTION_ARGS)
{
	return embed(fcinfo, MR_SIDE_ITEM);
}

/* metricrec.embed_user(model, features jsonb) -> embedding */
Datum
mr_embed_user(PG_FUNCTION_ARGS)
{
	return embed(fcinfo, MR_SIDE_USER);
}
