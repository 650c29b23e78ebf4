/*
 * store.h
 *		Models and their versions: the catalogue, the version tables, the swap.
 *
 *	metricrec.model       a row per model; its identity is the item view
 *	metricrec.version     a row per version
 *	metricrec.component   named byte strings of a version ("tower", ...)
 *	metricrec.epoch_log   a row per epoch
 *	metricrec.search      a row per search of metricrec.tune
 *	metricrec.trial       a row per training of such a search
 *
 *	<model>_item_embedding (view) --> <model>_item_embedding_v3 (table)   active
 *									  <model>_item_embedding_v2			  kept
 *
 * Nobody but the extension's owner holds a privilege on the catalogue tables:
 * this folder reads and writes them below the privilege checks, after its own.
 * A model's owner and schema are those of its item view, so ALTER VIEW ... OWNER
 * TO, SET SCHEMA and RENAME TO are followed.
 *
 * Locks, all of class metricrec.model:
 *	 (model_id, 0) ShareUpdateExclusive	whoever changes the model's row or what is served; transaction
 *	 (model_id, 1) Exclusive			the one training run of the model; session
 *	 (model_id, 2 + n) Share			progress: epoch n of that run; session
 * Whoever needs both takes 1 first.  Only 0 is waited for; 1 and the others are
 * taken at once or not at all, so these locks make no deadlock among themselves.
 */
#ifndef MR_STORE_H
#define MR_STORE_H

#include "access/attnum.h"
#include "model/tower.h"
#include "utils/jsonb.h"

typedef struct MrModel
{
	int32		id;
	char		name[NAMEDATALEN];
	Oid			schema;			/* of the item view */
	Oid			owner;			/* of the item view */
	Oid			user_view;
	Oid			item_view;
	Oid			interactions;	/* may have been dropped */
	const char *user_column;
	const char *item_column;
	const char *rating_column;	/* NULL = none, likewise below */
	const char *weight_column;
	const char *time_column;
	bool		has_min_rating;
	double		min_rating;
	Oid			user_type;
	Oid			item_type;
	Oid			user_features;	/* InvalidOid = none; may have been dropped */
	Oid			item_features;
	const char *tag_column;		/* NULL = no tags */
	Oid			tag_type;
	Oid			tag_view;		/* InvalidOid without tags */
	Jsonb	   *options;		/* hyper-parameters that the user has set */
} MrModel;

typedef enum MrModelAccess
{
	MR_MODEL_QUERY,				/* SELECT on the view is checked when it is read */
	MR_MODEL_OWN				/* membership in the owner, else 42501 */
} MrModelAccess;

typedef struct MrVersion
{
	int32		version;
	Oid			user_table;		/* InvalidOid once dropped */
	Oid			item_table;
	MrTower		tower;
} MrVersion;

/*
 * model_lookup.c
 *
 * name NULL: metricrec.default_model, else the only model visible to the
 * caller, else an error that lists them.  A name is looked up along the
 * search_path first, then among all visible models; two matches are an error.
 * Visible = member of the owner, or SELECT on the item view.  The result is
 * palloc'd in the current context.
 */
extern MrModel *mr_model_lookup(const char *name, MrModelAccess access);

/* The model of this number, without a check of privileges; NULL if there is none. */
extern MrModel *mr_model_by_id(int32 id);

/* Reads the row again, in place; error if it is gone or access is. */
extern void mr_model_reload(MrModel *model, MrModelAccess access);

/* The version that the item view serves now; error if the model was never trained. */
extern MrVersion *mr_version_served(const MrModel *model);
extern int32 mr_version_active(const MrModel *model);	/* 0 = none */

#endif							/* MR_STORE_H */
