/*
 * view_insert.c
 *		INSERT into a model's view: the row goes to the served version's table.
 *
 * The view's embedding column is a cast (it carries no typmod, see activate.c),
 * so that the server cannot insert through it by itself.  The trigger
 * metricrec_insert, which create_model makes on all views, does what it would
 * do: the executor has checked the privilege on the view, the table is written
 * as the view's owner.
 *
 * A row whose "interactions" is 0 or not given belongs to no training, and the
 * next version takes it over.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "store/catalog.h"
#include "store/version.h"
#include "util/compat.h"
#include "util/pgutil.h"

PG_FUNCTION_INFO_V1(mr_insert_embedding);

typedef struct FindView
{
	Oid			view;
	bool		found;
	MrSide		side;
} FindView;

static bool
visit_view(Relation rel, HeapTuple tuple, void *arg)
{
	FindView   *find = arg;
	TupleDesc	desc = RelationGetDescr(rel);
	bool		isnull;

	if (DatumGetObjectId(heap_getattr(tuple, MR_MODEL_ITEM_VIEW, desc, &isnull)) == find->view)
		find->side = MR_SIDE_ITEM;
	else if (DatumGetObjectId(heap_getattr(tuple, MR_MODEL_USER_VIEW, desc, &isnull)) == find->view)
		find->side = MR_SIDE_USER;
	else
	{
		Oid			tag_view = DatumGetObjectId(heap_getattr(tuple, MR_MODEL_TAG_VIEW, desc, &isnull));

		if (isnull || tag_view != find->view)
			return true;
		find->side = MR_SIDE_TAG;
	}
	find->found = true;
	return false;
}

/* Of which side of a model is this the view?  The trigger works on no other. */
static MrSide
side_of_view(Relation view)
{
	FindView	find = {RelationGetRelid(view), false, MR_SIDE_ITEM};

	mr_catalog_scan("model", "model_pkey", AccessShareLock, 0, NULL, visit_view, &find);
	if (!find.found)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not the view of a model", RelationGetRelationName(view))));
	return find.side;
}

/* Writes the row into the table. */
static void
insert_row(Oid table, MrSide side, TupleDesc desc, HeapTuple row)
{
	Oid			types[3];
	Datum		values[3];
	char		nulls[3];

	for (int i = 0; i < 3; i++)
	{
		bool		isnull;

		types[i] = TupleDescAttr(desc, i)->atttypid;
		values[i] = heap_getattr(row, i + 1, desc, &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	if (SPI_execute_with_args(psprintf("INSERT INTO %s (%s, embedding, interactions)"
									   " VALUES ($1, $2, COALESCE($3, 0))",
									   mr_relation_sql(table), mr_side_column(side)),
							  3, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not insert into a version table");
}

/* The trigger function metricrec.insert_embedding(). */
Datum
mr_insert_embedding(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation	view;
	MrSide		side;
	Oid			table;
	MrIdentity	before;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_INSTEAD(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("metricrec.insert_embedding() was not called by an INSTEAD OF INSERT trigger")));
	view = trigger->tg_relation;
	side = side_of_view(view);
	table = mr_view_table(RelationGetRelid(view));
	if (!OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("view \"%s\" serves no version", RelationGetRelationName(view)),
				 errhint("Train the model first.")));

	SPI_connect();
	if (RelationHasSecurityInvoker(view))
		mr_identity_become(GetUserId(), &before);
	else
		mr_identity_become(view->rd_rel->relowner, &before);
	insert_row(table, side, RelationGetDescr(view), trigger->tg_trigtuple);
	mr_owner_restore(&before);
	SPI_finish();
	return PointerGetDatum(trigger->tg_trigtuple);
}
