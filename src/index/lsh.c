/*
 * lsh.c
 *		The access method's handler: what it can do, options of an index,
 *		settings of a session, names of build phases, the operator class checked.
 */
#include "postgres.h"

#include <limits.h>

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "index/lsh.h"
#include "type/embedding.h"
#include "util/compat.h"

PG_FUNCTION_INFO_V1(mr_lsh_handler);

double		mr_lsh_target_recall = 0;
int			mr_lsh_min_probe = 16;
int			mr_lsh_max_scan = 0;
bool		mr_lsh_exact = false;

static relopt_kind lsh_relopt_kind;

static relopt_enum_elt_def family_names[] = {
	{"voronoi", MR_HASH_VORONOI},
	{"projection", MR_HASH_PROJECTION},
	{NULL, 0}
};

/*
 * Options of an index and settings of a session; called once, from _PG_init.
 * The hash of an index is fixed by its build, so that its option takes effect
 * with the next REINDEX, and changing it disturbs nobody.
 */
void
mr_lsh_init(void)
{
	lsh_relopt_kind = add_reloption_kind();
	add_enum_reloption(lsh_relopt_kind, "hash", "Family of hash functions",
					   family_names, MR_HASH_VORONOI,
					   "Valid values are \"voronoi\" and \"projection\".",
					   ShareUpdateExclusiveLock);
	add_real_reloption(lsh_relopt_kind, "target_recall", "Share of the nearest rows that a scan shall find",
					   MR_LSH_DEFAULT_TARGET, 0.5, 1, ShareUpdateExclusiveLock);

	DefineCustomRealVariable("lsh.target_recall",
							 "Sets the share of the nearest rows that a scan of an lsh index shall find.",
							 "0 takes the option target_recall of the index.",
							 &mr_lsh_target_recall,
							 0, 0, 1,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("lsh.min_probe",
							"Sets how many leaf pages a scan of an lsh index reads at least.",
							NULL,
							&mr_lsh_min_probe,
							16, 1, 1000000,
							PGC_USERSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("lsh.max_scan",
							"Sets after how many rows a scan of an lsh index reads no further pages.",
							"0 means no limit.  A scan that is stopped returns fewer rows than there are.",
							&mr_lsh_max_scan,
							0, 0, INT_MAX,
							PGC_USERSET, 0,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("lsh.exact",
							 "Makes scans of lsh indexes return rows in exact order.",
							 NULL,
							 &mr_lsh_exact,
							 false,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	MarkGUCPrefixReserved("lsh");
}

/* The options of CREATE INDEX ... WITH (...), parsed. */
static bytea *
lsh_options(Datum reloptions, bool validate)
{
	static const relopt_parse_elt table[] = {
		{"hash", RELOPT_TYPE_ENUM, offsetof(MrLshOptions, family)},
		{"target_recall", RELOPT_TYPE_REAL, offsetof(MrLshOptions, target_recall)},
	};

	return (bytea *) build_reloptions(reloptions, validate, lsh_relopt_kind, sizeof(MrLshOptions),
									  table, lengthof(table));
}

/* The hash family that a build of the index shall use. */
MrHashFamily
mr_lsh_option_family(Relation index)
{
	const MrLshOptions *options = (const MrLshOptions *) index->rd_options;

	return options == NULL ? MR_HASH_VORONOI : (MrHashFamily) options->family;
}

/* The recall that a scan aims at: the setting, else the index's option, else the default. */
double
mr_lsh_effective_target(Relation index)
{
	const MrLshOptions *options = (const MrLshOptions *) index->rd_options;

	if (mr_lsh_target_recall > 0)
		return mr_lsh_target_recall;
	return options == NULL ? MR_LSH_DEFAULT_TARGET : options->target_recall;
}

/*
 * A value on its way into the index, or a query: NULL, or its coordinates,
 * detoasted in the current memory context.  dim is what the index has, 0 while
 * it has no row; a value of another dimension has no place in it.
 */
const float *
mr_lsh_value(Datum value, bool isnull, int dim, int *value_dim)
{
	MrEmbedding *e;

	if (isnull)
		return NULL;
	e = DatumGetMrEmbedding(value);
	if (dim != 0 && e->dim != dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different embedding dimensions %d and %d", e->dim, dim),
				 errdetail("All embeddings of an lsh index have the same number of dimensions.")));
	if (e->dim > MR_LSH_MAX_DIMENSIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for an lsh index", MR_LSH_MAX_DIMENSIONS)));
	*value_dim = e->dim;
	return e->x;
}

/* Names of the phases in pg_stat_progress_create_index. */
static char *
lsh_phase_name(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case MR_LSH_PHASE_SAMPLE:
			return "sampling rows";
		case MR_LSH_PHASE_TRAIN:
			return "training centres";
		case MR_LSH_PHASE_ASSIGN:
			return "assigning rows";
		case MR_LSH_PHASE_WRITE:
			return "writing pages";
		case MR_LSH_PHASE_LOG:
			return "writing WAL";
		default:
			return NULL;
	}
}

/*
 * pg_index_column_has_property(): the server leaves it to the access method
 * whether a column is distance_orderable, and ours all are.
 */
static bool
lsh_property(Oid index, int attno, IndexAMProperty property, const char *name, bool *result, bool *isnull)
{
	if (attno != 1 || property != AMPROP_DISTANCE_ORDERABLE)
		return false;
	*result = true;
	*isnull = false;
	return true;
}

/* Name of an operator family. */
static char *
family_name(Oid family)
{
	HeapTuple	tuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(family));
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator family %u", family);
	name = pstrdup(NameStr(((Form_pg_opfamily) GETSTRUCT(tuple))->opfname));
	ReleaseSysCache(tuple);
	return name;
}

/* Reports one fault of an operator class; always false, so that it can be and-ed. */
static bool
fault(const char *family, const char *what, const char *object)
{
	ereport(INFO,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("operator family \"%s\" of access method %s contains %s: %s", family, "lsh", what, object)));
	return false;
}

/* Is the member of pg_amproc the distance function of the type? */
static bool
validate_function(const char *family, Form_pg_amproc member, Oid type)
{
	char	   *name = format_procedure(member->amproc);

	if (member->amproclefttype != member->amprocrighttype || member->amproclefttype != type)
		return fault(family, "a function for other types than the operator class", name);
	if (member->amprocnum != MR_LSH_DISTANCE_PROC)
		return fault(family, "a function with an invalid support number", name);
	if (!check_amproc_signature(member->amproc, FLOAT8OID, true, 2, 2, type, type))
		return fault(family, "a function with a wrong signature", name);
	return true;
}

/* Is the member of pg_amop the distance operator of the type, for ORDER BY? */
static bool
validate_operator(const char *family, Form_pg_amop member, Oid type)
{
	char	   *name = format_operator(member->amopopr);

	if (member->amoplefttype != member->amoprighttype || member->amoplefttype != type)
		return fault(family, "an operator for other types than the operator class", name);
	if (member->amopstrategy != MR_LSH_DISTANCE_STRATEGY)
		return fault(family, "an operator with an invalid strategy number", name);
	if (member->amoppurpose != AMOP_ORDER)
		return fault(family, "an operator that is not for ORDER BY", name);
	if (!check_amop_signature(member->amopopr, FLOAT8OID, type, type))
		return fault(family, "an operator with a wrong signature", name);
	if (!opfamily_can_sort_type(member->amopsortfamily, FLOAT8OID))
		return fault(family, "an operator with an incorrect sort family", name);
	return true;
}

/*
 * Checks an operator class: exactly one operator and one function, both over
 * its input type.  What is wrong is told by INFO messages.
 */
static bool
lsh_validate(Oid opclass)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass form;
	char	   *family;
	CatCList   *operators;
	CatCList   *functions;
	bool		valid = true;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(tuple);
	family = family_name(form->opcfamily);
	operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(form->opcfamily));
	functions = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(form->opcfamily));

	for (int i = 0; i < functions->n_members; i++)
		valid &= validate_function(family, (Form_pg_amproc) GETSTRUCT(&functions->members[i]->tuple),
								   form->opcintype);
	for (int i = 0; i < operators->n_members; i++)
		valid &= validate_operator(family, (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple),
								   form->opcintype);
	if (operators->n_members == 0)
		valid = fault(family, "no operator for type", format_type_be(form->opcintype));
	if (functions->n_members == 0)
		valid = fault(family, "no distance function for type", format_type_be(form->opcintype));

	ReleaseCatCacheList(functions);
	ReleaseCatCacheList(operators);
	ReleaseSysCache(tuple);
	return valid;
}

/*
 * lsh_handler(internal) returns index_am_handler.  Fields that are not set are
 * zero: what the access method cannot do.
 */
Datum
mr_lsh_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *am = makeNode(IndexAmRoutine);

	am->amstrategies = MR_LSH_DISTANCE_STRATEGY;
	am->amsupport = MR_LSH_DISTANCE_PROC;
	am->amcanorderbyop = true;
	am->amoptionalkey = true;
	am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL | VACUUM_OPTION_PARALLEL_COND_CLEANUP;
	am->amkeytype = InvalidOid;
	MR_AM_CAN_BUILD_PARALLEL(am);

	am->ambuild = mr_lsh_build;
	am->ambuildempty = mr_lsh_buildempty;
	am->aminsert = mr_lsh_insert;
	am->ambulkdelete = mr_lsh_bulkdelete;
	am->amvacuumcleanup = mr_lsh_vacuumcleanup;
	am->amcostestimate = mr_lsh_costestimate;
	am->amoptions = lsh_options;
	am->amproperty = lsh_property;
	am->ambuildphasename = lsh_phase_name;
	am->amvalidate = lsh_validate;
	am->ambeginscan = mr_lsh_beginscan;
	am->amrescan = mr_lsh_rescan;
	am->amgettuple = mr_lsh_gettuple;
	am->amendscan = mr_lsh_endscan;
	PG_RETURN_POINTER(am);
}
