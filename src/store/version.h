/*
 * version.h
 *		Making, serving and dropping a version of a model.
 *
 *	1. mr_version_next()			its number
 *	2. mr_version_table_create()	an empty table, then fill, then
 *	   mr_version_table_finish()	primary key, lsh index, statistics
 *	3. mr_version_record()			rows of the catalogue
 *	4. mr_version_take_over()		what users have added to the tables of the active version
 *	5. mr_version_activate()		the views point at it
 *	6. mr_version_prune()			old ones go, if nobody uses them
 *
 * Steps 2 to 6 run under the identity of the model's owner (mr_owner_become).
 */
#ifndef MR_VERSION_H
#define MR_VERSION_H

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "store/store.h"

/* The component that every version has. */
#define MR_COMPONENT_TOWER "tower"

/* A sample of the items for folding users in (model/fold_in.h). */
#define MR_COMPONENT_FOLD_IN "fold_in"

/* With features: "user_tower", "user_encoder", "item_tower", "item_encoder". */
#define MR_COMPONENT_ENCODER "encoder"

/* One of the tables of a version, or the view that serves it. */
typedef enum MrSide
{
	MR_SIDE_USER,
	MR_SIDE_ITEM,
	MR_SIDE_TAG					/* of a model with tags only */
} MrSide;

#define MR_SIDES 3

/* What the catalogue keeps of a version. */
typedef struct MrVersionRecord
{
	int32		version;
	Oid			tables[MR_SIDES];	/* by MrSide; that of the tags InvalidOid without tags */
	int32		dimensions;
	int64		users;
	int64		items;
	int64		tags;
	int64		interactions;
	int32		epochs;
	double		loss;
	Jsonb	   *metrics;		/* NULL = not validated */
	Jsonb	   *recipe;
	Jsonb	   *counts;
	Interval	duration;
} MrVersionRecord;

/* A row of the epoch log. */
typedef struct MrEpochRecord
{
	int32		step;			/* counts the rows of one run, from 1 */
	const char *stage;			/* "validate pooled", ..., "train" */
	int32		epoch;
	double		loss;
	bool		has_ndcg;
	double		ndcg;			/* at 10, on the validation split */
	double		learning_rate;
	int64		positives;
	int64		negatives;
	double		seconds;
} MrEpochRecord;

/* Who we were before mr_owner_become(). */
typedef struct MrIdentity
{
	Oid			user;
	int			security_context;
	int			guc_level;
} MrIdentity;

/* The run lock and the step that it shows; see run_lock.c. */
typedef struct MrRunLock
{
	Oid			catalog;
	int32		model_id;
	bool		session;
	bool		held;
	int			step;
} MrRunLock;

/* In the epoch log, the version that stands for the last search of metricrec.tune(). */
#define MR_SEARCH_VERSION 0

/* Steps of mr_run_progress(): 0 = reading, then the epochs, then this. */
#define MR_RUN_PUBLISHING (32767 - 2)

/* version_catalog.c */
extern int32 mr_version_next(const MrModel *model);
extern void mr_version_record(const MrModel *model, const MrVersionRecord *record);
extern void mr_component_write(int32 model_id, int32 version, const char *component,
							   const void *data, Size bytes);
extern bytea *mr_component_read(int32 model_id, int32 version, const char *component);
extern void mr_epoch_write(const MrModel *model, int32 version, const MrEpochRecord *record);
extern bool mr_version_tables(const MrModel *model, int32 version, Oid *tables);
extern void mr_version_values(const MrModel *model, int32 version, Datum *values, bool *nulls);
extern List *mr_version_all_tables(const MrModel *model);
extern bool mr_relation_holds_points(Oid relation, char relkind);
extern void mr_relation_drop(Oid relation);
extern void mr_version_prune(const MrModel *model, int32 keep);
extern void mr_model_delete(int32 model_id);
extern void mr_model_forget_dropped(void);

/* version_table.c */
extern void mr_identity_become(Oid role, MrIdentity *before);
extern void mr_owner_become(const MrModel *model, MrIdentity *before);
extern void mr_owner_restore(const MrIdentity *before);
extern int	mr_model_sides(const MrModel *model);
extern const char *mr_side_name(MrSide side);
extern const char *mr_side_column(MrSide side);
extern const char *mr_component_of_side(MrSide side, const char *component);
extern Oid	mr_side_view(const MrModel *model, MrSide side);
extern Oid	mr_side_type(const MrModel *model, MrSide side);
extern char *mr_version_table_name(const MrModel *model, MrSide side, int32 version);
extern Oid	mr_version_table_create(const MrModel *model, MrSide side, int32 version, int dimensions,
									Oid collation);
extern void mr_version_table_fill(Oid table, Oid key_type, int64 rows, int dimensions, const float *points,
								  Datum (*key) (int64 row, void *arg), void *arg,
								  const int64 *interactions);
extern void mr_version_table_finish(Oid table, MrSide side, Oid served, int dimensions);

/* takeover.c */
extern void mr_version_take_over(Oid from, Oid to);
extern int64 mr_version_take_over_rows(Oid from, Oid to, MrSide side);

/* activate.c */
extern char *mr_view_create_sql(const MrModel *model, MrSide side, Oid collation);
extern bool mr_version_activate(const MrModel *model, const Oid *tables);

/* run_lock.c */
extern bool mr_run_lock(MrRunLock *lock, int32 model_id, bool session);
extern void mr_run_progress(MrRunLock *lock, int step);
extern void mr_run_unlock(MrRunLock *lock);
extern void mr_model_row_lock(int32 model_id);

/* model_lookup.c */
extern Oid	mr_view_table(Oid view);

#endif							/* MR_VERSION_H */
