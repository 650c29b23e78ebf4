/*
 * model_lookup.c
 *		From a model's name to its catalogue row and its served version.
 *
 * A name is tried as <name>_item_embedding in each schema of the search_path,
 * so that two tenants may have models of one name; then among all models that
 * the caller may see, so that an empty search_path works too.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "metricrec.h"
#include "store/catalog.h"
#include "store/version.h"
#include "util/compat.h"
#include "util/guc.h"
#include "util/pgutil.h"

#define ITEM_SUFFIX "_item_embedding"

/* ---- a row as a struct ---- */

static const char *
name_or_null(HeapTuple tuple, TupleDesc desc, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL : pstrdup(NameStr(*DatumGetName(value)));
}

static Oid
oid_column(HeapTuple tuple, TupleDesc desc, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* Owner, schema and name from the item view; false if it has been dropped. */
static bool
read_identity(MrModel *model)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(model->item_view));
	Form_pg_class form;
	size_t		length;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind != RELKIND_VIEW)
	{
		/* The Oid of a view that was dropped by hand, used again. */
		ReleaseSysCache(tuple);
		return false;
	}
	model->owner = form->relowner;
	model->schema = form->relnamespace;
	strlcpy(model->name, NameStr(form->relname), NAMEDATALEN);
	ReleaseSysCache(tuple);

	length = strlen(model->name);
	if (length > strlen(ITEM_SUFFIX) &&
		strcmp(model->name + length - strlen(ITEM_SUFFIX), ITEM_SUFFIX) == 0)
		model->name[length - strlen(ITEM_SUFFIX)] = '\0';
	return true;
}

/* The row as a struct in the current context; NULL if its item view is gone. */
static MrModel *
model_from_row(HeapTuple tuple, TupleDesc desc)
{
	MrModel    *model = palloc0(sizeof(MrModel));
	bool		isnull;
	Datum		value;

	model->id = DatumGetInt32(heap_getattr(tuple, MR_MODEL_ID, desc, &isnull));
	model->item_view = oid_column(tuple, desc, MR_MODEL_ITEM_VIEW);
	if (!read_identity(model))
		return NULL;
	model->user_view = oid_column(tuple, desc, MR_MODEL_USER_VIEW);
	model->interactions = oid_column(tuple, desc, MR_MODEL_INTERACTIONS);
	model->user_column = name_or_null(tuple, desc, MR_MODEL_USER_COLUMN);
	model->item_column = name_or_null(tuple, desc, MR_MODEL_ITEM_COLUMN);
	model->rating_column = name_or_null(tuple, desc, MR_MODEL_RATING_COLUMN);
	model->weight_column = name_or_null(tuple, desc, MR_MODEL_WEIGHT_COLUMN);
	model->time_column = name_or_null(tuple, desc, MR_MODEL_TIME_COLUMN);
	value = heap_getattr(tuple, MR_MODEL_MIN_RATING, desc, &isnull);
	model->has_min_rating = !isnull;
	model->min_rating = isnull ? 0 : DatumGetFloat8(value);
	model->user_type = oid_column(tuple, desc, MR_MODEL_USER_TYPE);
	model->item_type = oid_column(tuple, desc, MR_MODEL_ITEM_TYPE);
	model->user_features = oid_column(tuple, desc, MR_MODEL_USER_FEATURES);
	model->item_features = oid_column(tuple, desc, MR_MODEL_ITEM_FEATURES);
	model->tag_column = name_or_null(tuple, desc, MR_MODEL_TAG_COLUMN);
	model->tag_type = oid_column(tuple, desc, MR_MODEL_TAG_TYPE);
	model->tag_view = oid_column(tuple, desc, MR_MODEL_TAG_VIEW);
	value = heap_getattr(tuple, MR_MODEL_OPTIONS, desc, &isnull);
	model->options = DatumGetJsonbPCopy(value);
	return model;
}

/* ---- finding the row ---- */

static bool
visit_first(Relation rel, HeapTuple tuple, void *arg)
{
	*(MrModel **) arg = model_from_row(tuple, RelationGetDescr(rel));
	return false;
}

/* The model whose item view this is, or NULL. */
static MrModel *
model_of_view(Oid item_view)
{
	ScanKeyData key;
	MrModel    *model = NULL;

	mr_catalog_key_oid(&key, MR_MODEL_ITEM_VIEW, item_view);
	mr_catalog_scan("model", "model_item_view_key", AccessShareLock, 1, &key, visit_first, &model);
	return model;
}

/* The model of this number, whoever may see it; NULL if there is none. */
MrModel *
mr_model_by_id(int32 id)
{
	ScanKeyData key;
	MrModel    *model = NULL;

	mr_catalog_key_int4(&key, MR_MODEL_ID, id);
	mr_catalog_scan("model", "model_pkey", AccessShareLock, 1, &key, visit_first, &model);
	return model;
}

static bool
is_visible(const MrModel *model)
{
	return has_privs_of_role(GetUserId(), model->owner) ||
		pg_class_aclcheck(model->item_view, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(model->item_view, GetUserId(), ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK;
}

static bool
visit_visible(Relation rel, HeapTuple tuple, void *arg)
{
	List	  **models = arg;
	MrModel    *model = model_from_row(tuple, RelationGetDescr(rel));

	if (model && is_visible(model))
		*models = lappend(*models, model);
	return true;
}

static List *
visible_models(void)
{
	List	   *models = NIL;

	mr_catalog_scan("model", "model_pkey", AccessShareLock, 0, NULL, visit_visible, &models);
	return models;
}

/* "a, b, c": at most a handful, for a DETAIL. */
static char *
list_models(List *models)
{
	StringInfoData text;
	ListCell   *cell;
	int			shown = 0;

	initStringInfo(&text);
	foreach(cell, models)
	{
		MrModel    *model = lfirst(cell);

		if (shown++ == 10)
		{
			appendStringInfoString(&text, ", ...");
			break;
		}
		appendStringInfo(&text, "%s%s", shown > 1 ? ", " : "",
						 quote_qualified_identifier(get_namespace_name(model->schema), model->name));
	}
	return text.data;
}

/* The model of this name that comes first in the search_path, or NULL. */
static MrModel *
model_in_path(const char *name)
{
	List	   *path = fetch_search_path(false);
	ListCell   *cell;
	MrModel    *found = NULL;
	char		view[NAMEDATALEN];

	if (strlen(name) > MR_MAX_MODEL_NAME)
		return NULL;
	snprintf(view, sizeof(view), "%s" ITEM_SUFFIX, name);
	foreach(cell, path)
	{
		Oid			relation = get_relname_relid(view, lfirst_oid(cell));

		if (OidIsValid(relation))
			found = model_of_view(relation);
		if (found)
			break;
	}
	list_free(path);
	return found;
}

static MrModel *
model_by_name(const char *name)
{
	MrModel    *model = model_in_path(name);
	List	   *matches = NIL;
	ListCell   *cell;

	if (model)
		return model;
	foreach(cell, visible_models())
	{
		MrModel    *candidate = lfirst(cell);

		if (strcmp(candidate->name, name) == 0)
			matches = lappend(matches, candidate);
	}
	if (matches == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" does not exist", name),
				 errhint("The view metricrec.models lists the models that you may use.")));
	if (list_length(matches) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg("model name \"%s\" is ambiguous", name),
				 errdetail("There are %s.", list_models(matches)),
				 errhint("Put the schema of the one you mean into search_path.")));
	return linitial(matches);
}

static MrModel *
only_model(void)
{
	List	   *models = visible_models();

	if (models == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no model"),
				 errhint("Make one with metricrec.create_model(), then call metricrec.train().")));
	if (list_length(models) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg("there is more than one model"),
				 errdetail("You may use %s.", list_models(models)),
				 errhint("Name one in the argument \"model\", or set metricrec.default_model.")));
	return linitial(models);
}

static void
check_access(const MrModel *model, MrModelAccess access)
{
	if (access == MR_MODEL_OWN && !has_privs_of_role(GetUserId(), model->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of model %s", model->name)));
}

/* See store.h. */
void
mr_model_reload(MrModel *model, MrModelAccess access)
{
	MrModel    *now = model_of_view(model->item_view);

	if (now == NULL || now->id != model->id)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" no longer exists", model->name)));
	check_access(now, access);
	*model = *now;
}

/* See store.h. */
MrModel *
mr_model_lookup(const char *name, MrModelAccess access)
{
	MrModel    *model;

	if (name == NULL && mr_default_model && mr_default_model[0] != '\0')
		name = mr_default_model;
	model = name ? model_by_name(name) : only_model();
	check_access(model, access);
	return model;
}

/* ---- the served version ---- */

/* The only table that the view's query reads, or InvalidOid. */
Oid
mr_view_table(Oid view)
{
	Relation	rel = try_relation_open(view, AccessShareLock);
	Oid			table = InvalidOid;
	ListCell   *cell;

	if (rel == NULL)
		return InvalidOid;
	if (rel->rd_rel->relkind == RELKIND_VIEW)
	{
		foreach(cell, get_view_query(rel)->rtable)
		{
			RangeTblEntry *rte = lfirst(cell);

			if (rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_VIEW)
				table = rte->relid;
		}
	}
	relation_close(rel, AccessShareLock);
	return table;
}

typedef struct FindVersion
{
	Oid			item_table;
	MrVersion  *found;
} FindVersion;

static bool
visit_version(Relation rel, HeapTuple tuple, void *arg)
{
	FindVersion *find = arg;
	TupleDesc	desc = RelationGetDescr(rel);
	Oid			table = oid_column(tuple, desc, MR_VERSION_ITEM_TABLE);
	bool		isnull;

	if (!OidIsValid(table) || table != find->item_table)
		return true;
	find->found = palloc0(sizeof(MrVersion));
	find->found->version = DatumGetInt32(heap_getattr(tuple, MR_VERSION_VERSION, desc, &isnull));
	find->found->item_table = table;
	find->found->user_table = oid_column(tuple, desc, MR_VERSION_USER_TABLE);
	return false;
}

/* The version whose table the item view reads, without its components. */
static MrVersion *
find_served(const MrModel *model)
{
	FindVersion find = {mr_view_table(model->item_view), NULL};
	ScanKeyData key;

	if (!OidIsValid(find.item_table))
		return NULL;
	mr_catalog_key_int4(&key, MR_VERSION_MODEL_ID, model->id);
	mr_catalog_scan("version", "version_pkey", AccessShareLock, 1, &key, visit_version, &find);
	return find.found;
}

int32
mr_version_active(const MrModel *model)
{
	MrVersion  *served = find_served(model);

	return served ? served->version : 0;
}

/* See store.h. */
MrVersion *
mr_version_served(const MrModel *model)
{
	MrVersion  *version = find_served(model);
	bytea	   *data;

	if (version == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no active version", model->name),
				 errhint("Train it with SELECT * FROM metricrec.train(%s), or activate a version that is ready.",
						 quote_literal_cstr(model->name))));
	data = mr_component_read(model->id, version->version, MR_COMPONENT_TOWER);
	if (data == NULL ||
		!mr_tower_read(&version->tower, (uint8 *) VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("version %d of model \"%s\" has no readable tower", version->version, model->name),
				 errhint("Train the model again, or activate another version.")));
	return version;
}
