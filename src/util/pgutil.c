/*
 * pgutil.c
 *		Our own objects' Oids, quoted names, statements through SPI, things that
 *		may fail.
 *
 * Oids are looked up each time: the look-ups are catalogue cache hits, and an
 * extension that is dropped and made again in one session must not be served
 * from a stale static.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "util/pgutil.h"

/*
 * The schema that the extension was created in: that of the type, its operators
 * and the query functions.  Error if the extension is not there (a function
 * that outlived it).
 */
Oid
mr_extension_schema(void)
{
	Relation	catalog = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("metricrec"));
	scan = systable_beginscan(catalog, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	if (!OidIsValid(schema))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", "metricrec")));
	return schema;
}

/* The Oid of the type embedding. */
Oid
mr_embedding_type(void)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
									   CStringGetDatum("embedding"),
									   ObjectIdGetDatum(mr_extension_schema()));

	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type \"%s\" does not exist", "embedding")));
	return type;
}

/* The Oid of a table or index of the catalogue. */
Oid
mr_catalog_relation(const char *name)
{
	Oid			schema = get_namespace_oid(MR_SCHEMA, false);
	Oid			relation = get_relname_relid(name, schema);

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist", MR_SCHEMA, name),
				 errhint("The extension's objects are incomplete: check with ALTER EXTENSION metricrec UPDATE.")));
	return relation;
}

/* Quoted, qualified name of a relation for SQL text. */
char *
mr_relation_sql(Oid relation)
{
	char	   *name = get_rel_name(relation);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relation)));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name);
}

/* The distance operator, qualified, for SQL text. */
char *
mr_distance_sql(void)
{
	return psprintf("OPERATOR(%s.<->)",
					quote_identifier(get_namespace_name(mr_extension_schema())));
}

/* Is this a kind of relation that has rows to read? */
bool
mr_relation_has_rows(Relation relation)
{
	switch (relation->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
			return true;
		default:
			return false;
	}
}

/*
 * A type's own equality, qualified, for SQL text: a plain "=" would be that of
 * another type where the search_path does not have it (text for citext, say).
 */
char *
mr_equality_sql(Oid type)
{
	Oid			operator = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *sql;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify an equality operator for type %s", format_type_be(type))));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	sql = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
				   NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return sql;
}

/* The type embedding, qualified, for SQL text. */
char *
mr_embedding_sql(void)
{
	return quote_qualified_identifier(get_namespace_name(mr_extension_schema()), "embedding");
}

/*
 * A type's qualified name for SQL text, standing for any typmod: plain
 * "character" would mean character(1).
 */
char *
mr_type_sql(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* Runs a statement of ours whose result nobody needs; SPI is connected. */
void
mr_spi_run(const char *sql)
{
	int			code = SPI_execute(sql, false, 0);

	if (code < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(code));
}

/* May the caller read the column?  False, too, if it is not there. */
bool
mr_column_readable(Oid relation, const char *column)
{
	AttrNumber	attnum = get_attnum(relation, column);

	return attnum != InvalidAttrNumber &&
		(pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		 pg_attribute_aclcheck(relation, attnum, GetUserId(), ACL_SELECT) == ACLCHECK_OK);
}

/* Is it there, and may the caller use its schema? */
bool
mr_relation_reachable(Oid relation)
{
	return get_rel_relkind(relation) != '\0' &&
		DatumGetBool(DirectFunctionCall2(has_schema_privilege_id,
										 ObjectIdGetDatum(get_rel_namespace(relation)),
										 PointerGetDatum(cstring_to_text("USAGE"))));
}

/*
 * Runs work(arg) in a subtransaction of its own.  NULL if it went through.  If
 * it raised an error, nothing of it is left, no lock either, and the error is
 * returned, in the current memory context: whoever has no answer to it passes
 * it to ReThrowError().
 */
ErrorData *
mr_try(void (*work) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);	/* else what the work leaves keeps the subtransaction's context */
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/* Cancel and shutdown, serialization and deadlock, no memory or disk. */
bool
mr_must_be_thrown(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_TRANSACTION_ROLLBACK ||
		category == ERRCODE_INSUFFICIENT_RESOURCES || category == ERRCODE_SYSTEM_ERROR;
}
