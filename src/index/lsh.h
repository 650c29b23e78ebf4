/*
 * lsh.h
 *		The index access method lsh: what its files share.
 *
 *		lsh.c			handler, options, settings
 *		lsh_page.c		pages
 *		lsh_free.c		deleted pages, and where new ones come from
 *		lsh_directory.c	which group, which leaf: the descent of an insert
 *		lsh_insert.c	one row in
 *		lsh_split.c		a full leaf, a full inner page
 *		lsh_scan.c		nearest rows out
 *		lsh_vacuum.c	dead rows out
 *		lsh_build.c		many rows in: sample, train, assign, write
 *		lsh_cost.c		what the planner is told
 *		lsh_check.c, lsh_check_rows.c, lsh_recall.c, lsh_stats.c, lsh_user.c
 *						functions for users
 */
#ifndef MR_LSH_H
#define MR_LSH_H

#include "postgres.h"

#include "access/amapi.h"
#include "access/generic_xlog.h"
#include "access/genam.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "utils/rel.h"

#include "index/lsh_page.h"

#define MR_LSH_DISTANCE_STRATEGY 1		/* <-> */
#define MR_LSH_DISTANCE_PROC 1			/* its function */

/*
 * Groups whose leaves are candidates for a new row: so many at least, and at
 * most; between them, those whose cell begins nearer to the row than LEAN times
 * the distance of the best centre so far.  (An index of a million rows grown from
 * nothing has recall .968 with 4 groups, .977 with 8, .987 with 16, and .990 by
 * this rule, which takes 6 on average: those that are short of groups are few.)
 */
#define MR_LSH_INSERT_GROUPS 3
#define MR_LSH_INSERT_GROUPS_MOST 16
#define MR_LSH_INSERT_LEAN 0.4f

/* Phases of a build, for pg_stat_progress_create_index (1 is "initializing"). */
#define MR_LSH_PHASE_SAMPLE 2
#define MR_LSH_PHASE_TRAIN 3
#define MR_LSH_PHASE_ASSIGN 4
#define MR_LSH_PHASE_WRITE 5
#define MR_LSH_PHASE_LOG 6

/* ---- options of an index and settings of a session ---- */

typedef struct MrLshOptions
{
	int32		vl_len_;
	int			family;			/* MrHashFamily */
	double		target_recall;
} MrLshOptions;

#define MR_LSH_DEFAULT_TARGET 0.99

extern double mr_lsh_target_recall;		/* lsh.target_recall; 0 = the index's */
extern int	mr_lsh_min_probe;			/* lsh.min_probe, pages */
extern int	mr_lsh_max_scan;			/* lsh.max_scan, rows; 0 = no limit */
extern bool mr_lsh_exact;				/* lsh.exact */

/* lsh.c */
extern MrHashFamily mr_lsh_option_family(Relation index);
extern double mr_lsh_effective_target(Relation index);	/* setting, else option, else default */
extern void mr_lsh_init(void);			/* from _PG_init */

/* What the index is told of a value: NULL, or its coordinates (detoasted). */
extern const float *mr_lsh_value(Datum value, bool isnull, int dim, int *value_dim);

/* ---- what the files call of each other ---- */

/* lsh_build.c */
extern IndexBuildResult *mr_lsh_build(Relation heap, Relation index, IndexInfo *info);
extern void mr_lsh_buildempty(Relation index);

/* lsh_insert.c */
extern bool mr_lsh_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
						  Relation heap, IndexUniqueCheck unique, bool unchanged, IndexInfo *info);

/*
 * lsh_split.c.  Both take the pages that the descent went through; nothing is
 * locked on entry and on return.  They do nothing if somebody else has been
 * there first; the caller descends again.
 */
extern void mr_lsh_split_leaf(Relation index, const MrLshIndex *lsh, BlockNumber group, uint32 group_birth,
							  BlockNumber leaf, uint32 leaf_birth);
extern void mr_lsh_split_group(Relation index, const MrLshIndex *lsh, BlockNumber group, uint32 group_birth);

/* lsh_scan.c */
extern IndexScanDesc mr_lsh_beginscan(Relation index, int nkeys, int norderbys);
extern void mr_lsh_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool mr_lsh_gettuple(IndexScanDesc scan, ScanDirection direction);
extern void mr_lsh_endscan(IndexScanDesc scan);

/* Of the session's last scan that ended (lsh_last_scan()). */
typedef struct MrLshScanCounts
{
	Oid			index;
	int64		groups;			/* inner pages read */
	int64		leaves;			/* leaf pages read */
	int64		candidates;		/* rows whose code was compared */
	int64		ranked;			/* of these, rows that were fetched and ranked by exact distance */
	int64		dead;			/* of these, rows that nobody can see any more */
	int64		late;			/* of these, rows nearer than one handed out before */
	bool		exhausted;		/* every page was read */
	bool		exact;
} MrLshScanCounts;

extern MrLshScanCounts mr_lsh_last_scan_counts;

/* lsh_vacuum.c */
extern IndexBulkDeleteResult *mr_lsh_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
												IndexBulkDeleteCallback callback, void *state);
extern IndexBulkDeleteResult *mr_lsh_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);

/* lsh_cost.c */
extern void mr_lsh_costestimate(PlannerInfo *root, IndexPath *path, double loop_count,
								Cost *startup, Cost *total, Selectivity *selectivity,
								double *correlation, double *pages);

#endif							/* MR_LSH_H */
