/*
 * query.h
 *		What the stages of a query share.
 *
 *	SQL function --> mr_query_begin	model, version, key types
 *				 --> history.c		live interactions: seen items, liked items
 *				 --> query_point.c	the point of a user, of an item, of a set of items
 *					 folding.c		steps from the mean of a set of items
 *				 --> candidates.c	nearest rows by SQL, without the left-out ones
 *				 --> diversity.c	k of a larger pool, apart from each other
 *				 --> rows
 *
 * Every statement runs through plan_cache.c as the calling role, reads only,
 * and sees the snapshot of the statement that called the function.
 *
 * Ids have one form in memory, the key type's `type`: int8 for every integer
 * type, the base type of the column for any other.
 */
#ifndef MR_QUERY_H
#define MR_QUERY_H

#include "data/idmap.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "model/fold_in.h"
#include "store/store.h"
#include "type/embedding.h"

/* Which form of a function was called: its ids are bigint, or the text of any type. */
typedef enum MrIdForm
{
	MR_IDS_BIGINT,
	MR_IDS_TEXT
} MrIdForm;

/* The type of the ids of one kind of row. */
typedef struct MrKeyType
{
	const char *noun;			/* "user", "item" or "tag", for messages */
	const char *column;			/* of the view: "user_id", "item_id" or "tag" */
	Oid			column_type;	/* of that column, domains looked through */
	Oid			type;			/* of ids in memory and of parameters */
	Oid			collation;		/* of that column */
	bool		is_integer;
	bool		typbyval;
	int16		typlen;
	char		typalign;
	const char *equals;			/* OPERATOR(schema.=), for SQL text */
} MrKeyType;

/* Items of one user (or given by the caller), each once. */
typedef struct MrItemSet
{
	MrIdMap    *ids;
	bool	   *liked;			/* [capacity] by row of ids */
	int32		capacity;
	int32		n_liked;
} MrItemSet;

/* One row that may be returned. */
typedef struct MrCandidate
{
	Datum		key;
	double		distance;		/* from the query point, as <-> gives it */
	const float *point;			/* NULL unless the diversity stage needs it */
} MrCandidate;

typedef struct MrCandidateList
{
	MrCandidate *rows;
	int64		n;
	int64		capacity;
} MrCandidateList;

typedef struct MrQuery
{
	MemoryContext context;		/* everything below; deleted at the end */

	/* what is asked */
	MrIdForm	form;
	int64		k;
	bool		exclude_seen;
	Oid			candidates;		/* InvalidOid = all items */
	double		diversity;		/* [0, 1) */

	/* of which model */
	MrModel    *model;
	MrVersion  *version;
	MrKeyType	user_key;
	MrKeyType	item_key;
	Oid			embedding_type;
	const char *distance;		/* OPERATOR(schema.<->), for SQL text */

	/* found on the way */
	Datum		user;			/* id of the user, if the query has one */
	bool		has_user;
	MrItemSet  *history;		/* live interactions, or NULL: not read */
	MrEmbedding *point;			/* the query point */
	MrIdMap    *left_out;		/* keys never returned, or NULL */
} MrQuery;

/* Receives one row of a statement; false = no more rows are wanted. */
typedef bool (*MrRowCallback) (TupleTableSlot *slot, void *arg);

#define MR_MAX_PARAMETERS 4
#define MR_MAX_RESULTS 3

/* A statement with its parameters, none of them NULL. */
typedef struct MrStatement
{
	const char *sql;
	int			n;
	Oid			types[MR_MAX_PARAMETERS];
	Datum		values[MR_MAX_PARAMETERS];
	Oid			results[MR_MAX_RESULTS];	/* types that the callback takes the columns for */
	bool		plan_each_time; /* values decide the plan: never a generic one */
} MrStatement;

#define MR_SEEN_HINT "Pass exclude_seen => false for an answer that does not read the interactions."

/* Likes beyond which the mean of other users adds nothing to a new one. */
#define MR_NEW_USER_LIKES 50

#define MR_NEW_ITEM_HINT "Items join a model when it is trained on interactions with them."

/* recommend.c */
extern int64 mr_query_k(FunctionCallInfo fcinfo, int arg);
extern MrQuery *mr_query_open(MrIdForm form, int64 k, const char *model);
extern MrQuery *mr_query_begin(FunctionCallInfo fcinfo, MrIdForm form, int k_arg, int model_arg);
extern void mr_query_check_readable(Oid view);
extern Datum mr_query_end(FunctionCallInfo fcinfo, MrQuery *query, const MrKeyType *key, const MrCandidateList *list);
extern Datum mr_query_no_rows(FunctionCallInfo fcinfo);

/* plan_cache.c */
extern void mr_statement_add(MrStatement *statement, Oid type, Datum value);
extern void mr_statement_run(const MrStatement *statement, MrRowCallback callback, void *arg);

/* keys.c */
extern void mr_key_describe(MrKeyType *key, const char *noun, const char *column, Oid view);
extern void mr_key_check_form(const MrKeyType *key, MrIdForm form, const char *model);
extern Datum mr_key_parse(const MrKeyType *key, MrIdForm form, Datum argument, const char *model);
extern Datum mr_key_print(const MrKeyType *key, MrIdForm form, Datum id, FmgrInfo *output);
extern void mr_key_output(const MrKeyType *key, FmgrInfo *output);
extern char *mr_key_text(const MrKeyType *key, Datum id);
extern Datum mr_key_copy(const MrKeyType *key, Datum id);
extern bool mr_key_compatible(const MrKeyType *key, Oid type);
extern char *mr_key_column_sql(const MrKeyType *key, const char *alias, const char *column, Oid type);
extern char *mr_key_order_sql(const MrKeyType *key, const char *alias, const char *column);
extern Oid	mr_key_array_type(const MrKeyType *key);
extern Datum mr_key_array(const MrKeyType *key, const MrItemSet *set, bool only_liked, Oid *array_type);
extern void mr_key_not_in_model(const MrKeyType *key, Datum id, const char *model, const char *hint);

/* history.c */
extern MrItemSet *mr_item_set_create(const MrKeyType *key, MemoryContext context);
extern void mr_item_set_add(MrItemSet *set, Datum id, bool liked);
extern bool mr_history_read(MrQuery *query, bool need_seen, bool need_liked, const char *hint);
extern void mr_history_forget(MrItemSet *set, Datum id);
extern bool mr_history_readable(const MrQuery *query);
extern void mr_history_check(const MrQuery *query, bool need_liked, const char *hint);
extern void mr_history_work(void (*work) (void *arg), void *arg, const char *hint);
extern void mr_history_check_relation(const MrModel *model, const char *hint);
extern void mr_history_check_column(const MrModel *model, const MrKeyType *key, const char *column, const char *hint);
extern void mr_history_run(const MrStatement *statement, MrRowCallback callback, void *arg, const char *hint);

/* query_point.c */
extern void mr_point_check_dimensions(const MrQuery *query, const MrEmbedding *point);
extern void mr_point_of_user(MrQuery *query);
extern void mr_point_of_row(MrQuery *query, const MrKeyType *key, Oid view, Datum id, const char *hint);
extern void mr_point_of_items(MrQuery *query, const MrItemSet *items);

/* folding.c */
extern int	mr_folding_steps(const MrQuery *query);
extern MrFoldIn *mr_folding_begin(const MrQuery *query);	/* NULL: the version cannot, or no steps are wanted */
extern void mr_folding_steps_from(MrFoldIn *f, const float *likes, int64 n, int steps, float *point);

/* candidates.c */
extern void mr_candidates_check_column(const MrQuery *query, Oid relation, const char *what, const MrKeyType *key,
									   const char *column);
extern bool mr_candidates_are_pairs(const MrQuery *query);
extern void mr_candidates_nearest(MrQuery *query, const MrKeyType *key, Oid view, int64 wanted,
								  bool with_points, MrCandidateList *list);
extern void mr_candidates_among(MrQuery *query, const MrItemSet *items, int64 wanted,
								MrCandidateList *list);

/* diversity.c */
#define MR_MAX_DIVERSE_K 1000
extern int64 mr_diversity_pool(int64 k);
extern void mr_diversity_choose(MrCandidateList *list, int64 k, double diversity, int dimensions);

#endif							/* MR_QUERY_H */
