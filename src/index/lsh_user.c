/*
 * lsh_user.c
 *		An index named by a user: opened, if it is one of ours and the user may.
 *
 * Expressions and predicate of an index are functions that the table's owner
 * chose.  They must not run with the rights of whoever looks at the index, so
 * they run with the owner's, as when the server maintains the index.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "index/lsh_user.h"
#include "util/compat.h"

/* Refuses what is not an index that this access method can read. */
static void
check_index(Relation index)
{
	const char *name = RelationGetRelationName(index);

	if (index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partitioned index", name),
				 errhint("Name the index of a partition.")));
	if (index->rd_indam->ambuild != mr_lsh_build)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an lsh index", name)));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary tables of other sessions")));
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid", name)));
	if (RecoveryInProgress() && !RelationNeedsWAL(index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot access temporary or unlogged relations during recovery")));
}

/* Refuses a caller without that right. */
static void
check_right(Oid heap, MrLshRight right)
{
	bool		owner = MR_OWNS_TABLE(heap);

	if (right == MR_LSH_OWNS && !owner)
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(heap)), get_rel_name(heap));
	if ((right == MR_LSH_MAY_READ || !owner) &&
		pg_class_aclcheck(heap, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(heap)), get_rel_name(heap));
	if (right != MR_LSH_OWNS && check_enable_rls(heap, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot read all rows of table \"%s\"", get_rel_name(heap)),
				 errdetail("Row-level security policies apply to you.")));
}

/* See lsh_user.h.  The table is locked first, as everywhere, so nobody deadlocks with a DROP. */
void
mr_lsh_use(MrLshUse *use, Oid index, MrLshRight right)
{
	Oid			heap = IndexGetRelation(index, true);

	if (!OidIsValid(heap))
	{
		char	   *name = get_rel_name(index);

		if (name == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist", index)));
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index", name)));
	}
	use->heap = table_open(heap, AccessShareLock);
	use->index = index_open(index, AccessShareLock);
	/* before the lock the index could be dropped, and its Oid be used again */
	if (use->index->rd_index->indrelid != heap)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", index)));
	check_index(use->index);
	check_right(heap, right);

	GetUserIdAndSecContext(&use->user, &use->security);
	SetUserIdAndSecContext(use->heap->rd_rel->relowner, use->security | SECURITY_RESTRICTED_OPERATION);
	use->nest_level = NewGUCNestLevel();
	RestrictSearchPath();
}

/* Back to the caller's identity; the relations are closed and unlocked. */
void
mr_lsh_end_use(MrLshUse *use)
{
	AtEOXact_GUC(false, use->nest_level);
	SetUserIdAndSecContext(use->user, use->security);
	index_close(use->index, AccessShareLock);
	table_close(use->heap, AccessShareLock);
}

/*
 * A snapshot older than the index sees versions of rows that were never in it:
 * their HOT chains were broken.  The planner does not use the index for them.
 */
void
mr_lsh_refuse_old_snapshot(Relation index, Snapshot snapshot)
{
	if (IsolationUsesXactSnapshot() && index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), snapshot->xmin))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("index \"%s\" cannot be checked against a snapshot that is older than the index",
						RelationGetRelationName(index))));
}
