/*
 * takeover.c
 *		What users have added to a version's table goes on to the next version.
 *
 * Each kind of thing is one query over the catalogues that prints the commands
 * which make it again on the new table: privileges, row-level security,
 * constraints, indexes, triggers, comments, publications.  The commands run as
 * the owner with only pg_catalog in the search_path, so every name in them is
 * qualified by the server's own deparsing.
 *
 * Not taken over: columns that users have added, storage parameters, extended
 * statistics, inserted rows that a policy with FORCE hides from the owner.  A
 * version that is activated again has on its tables what it had; only inserted
 * rows go along.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "metricrec.h"
#include "store/version.h"
#include "type/embedding.h"
#include "util/pgutil.h"

/*
 * $1 = old table's oid, $2 = new table's oid, $3 and $4 = their qualified names.
 * A command that fails is an error, unless `optional`: then it is a warning.
 */
typedef struct TakeOver
{
	const char *what;
	bool		optional;
	const char *query;
} TakeOver;

static const TakeOver take_overs[] =
{
	/* Default privileges must not add what the old table does not grant. */
	{"privileges", false,
		"SELECT pg_catalog.format('REVOKE ALL ON TABLE %s FROM %s', $4,"
		"  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END)"
		"  FROM pg_catalog.pg_class c, LATERAL pg_catalog.aclexplode(c.relacl) a"
		" WHERE c.oid = $2 AND a.grantee <> c.relowner GROUP BY a.grantee"},
	{"privileges", false,
		"SELECT pg_catalog.format('GRANT %s ON TABLE %s TO %s%s', a.privilege_type, $4,"
		"  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,"
		"  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
		"  FROM pg_catalog.pg_class c, LATERAL pg_catalog.aclexplode(c.relacl) a"
		" WHERE c.oid = $1 AND a.grantee <> c.relowner"},
	{"privileges", false,
		"SELECT pg_catalog.format('GRANT %s (%I) ON TABLE %s TO %s%s', a.privilege_type, t.attname, $4,"
		"  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,"
		"  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
		"  FROM pg_catalog.pg_attribute t, LATERAL pg_catalog.aclexplode(t.attacl) a"
		" WHERE t.attrelid = $1 AND t.attnum BETWEEN 1 AND 3 AND NOT t.attisdropped"},

	/* The name of a unique or an exclusion constraint is its index's too, and taken. */
	{"constraint", false,
		"SELECT pg_catalog.format('ALTER TABLE %s ADD %s%s', $4,"
		"  CASE WHEN o.contype IN ('u', 'x') THEN '' ELSE pg_catalog.format('CONSTRAINT %I ', o.conname) END,"
		"  pg_catalog.pg_get_constraintdef(o.oid))"
		"  FROM pg_catalog.pg_constraint o"
		" WHERE o.conrelid = $1 AND o.contype IN ('c', 'f', 'x', 'u') ORDER BY o.contype, o.conname"},

	/*
	 * All but the key's, the constraints', those that the new table has already, and
	 * those that it cannot have: embeddings of so many dimensions are not indexed.
	 */
	{"index", false,
		"SELECT pg_catalog.format('CREATE %sINDEX ON %s USING %s',"
		"  CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, $4, d.method_and_columns)"
		"  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid"
		"  JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace,"
		"  LATERAL (SELECT pg_catalog.substr(pg_catalog.pg_get_indexdef(i.indexrelid),"
		"    1 + pg_catalog.length(pg_catalog.format('CREATE %sINDEX %I ON %s USING ',"
		"      CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, x.relname, $3))) AS method_and_columns) d"
		" WHERE i.indrelid = $1 AND NOT i.indisprimary AND i.indisvalid"
		"   AND NOT EXISTS (SELECT FROM pg_catalog.pg_am m, pg_catalog.pg_attribute e"
		"    WHERE m.oid = x.relam AND m.amname = 'lsh' AND e.attrelid = $2 AND e.attnum = 2"
		"      AND e.atttypmod > " CppAsString2(MR_MAX_INDEX_DIMENSIONS) ")"
		"   AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conindid = i.indexrelid AND o.conrelid = $1)"
		"   AND NOT EXISTS (SELECT FROM pg_catalog.pg_index j JOIN pg_catalog.pg_class y ON y.oid = j.indexrelid"
		"    WHERE j.indrelid = $2 AND pg_catalog.substr(pg_catalog.pg_get_indexdef(j.indexrelid),"
		"      1 + pg_catalog.length(pg_catalog.format('CREATE %sINDEX %I ON %s USING ',"
		"        CASE WHEN j.indisunique THEN 'UNIQUE ' ELSE '' END, y.relname, $4))) = d.method_and_columns)"
		" ORDER BY x.relname"},

	{"trigger", false,
		"SELECT pg_catalog.overlay(d.text, $4, d.at, pg_catalog.length($3))"
		"  FROM (SELECT pg_catalog.pg_get_triggerdef(t.oid) AS text,"
		"          pg_catalog.strpos(pg_catalog.pg_get_triggerdef(t.oid), ' ON ' || $3 || ' ') + 4 AS at, t.tgname"
		"          FROM pg_catalog.pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal) d"
		" WHERE d.at > 4 ORDER BY d.tgname"},
	{"trigger", false,
		"SELECT pg_catalog.format('ALTER TABLE %s %s TRIGGER %I', $4,"
		"  CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, t.tgname)"
		"  FROM pg_catalog.pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgenabled <> 'O'"},

	{"policy", false,
		"SELECT pg_catalog.format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, $4,"
		"  CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,"
		"  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,"
		"  CASE WHEN p.polroles = '{0}' THEN 'PUBLIC' ELSE (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(r.rolname), ', ')"
		"    FROM pg_catalog.pg_roles r WHERE r.oid = ANY (p.polroles)) END,"
		"  ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',"
		"  ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')"
		"  FROM pg_catalog.pg_policy p WHERE p.polrelid = $1 ORDER BY p.polname"},
	{"row-level security", false,
		"SELECT pg_catalog.format('ALTER TABLE %s %s ROW LEVEL SECURITY', $4, x.word)"
		"  FROM pg_catalog.pg_class c,"
		"  LATERAL (VALUES ('ENABLE', c.relrowsecurity), ('FORCE', c.relforcerowsecurity)) x (word, is_set)"
		" WHERE c.oid = $1 AND x.is_set"},

	/* Our own comment on the table stands already. */
	{"comment", false,
		"SELECT pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', $4, t.attname, d.description)"
		"  FROM pg_catalog.pg_description d JOIN pg_catalog.pg_attribute t ON t.attrelid = d.objoid AND t.attnum = d.objsubid"
		" WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = $1 AND d.objsubid BETWEEN 1 AND 3"},
	{"comment", false,
		"SELECT pg_catalog.format('COMMENT ON TABLE %s IS %L', $4, d.description)"
		"  FROM pg_catalog.pg_description d"
		" WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = $1 AND d.objsubid = 0"
		"   AND d.description NOT LIKE 'metricrec: %'"},

	/* A publication may belong to somebody else. */
	{"publication", true,
		"SELECT pg_catalog.format('ALTER PUBLICATION %I ADD TABLE %s%s%s', p.pubname, $4,"
		"  (SELECT ' (' || pg_catalog.string_agg(pg_catalog.quote_ident(t.attname), ', ' ORDER BY t.attnum) || ')'"
		"     FROM pg_catalog.pg_attribute t WHERE t.attrelid = $1 AND t.attnum = ANY (r.prattrs)),"
		"  ' WHERE (' || pg_catalog.pg_get_expr(r.prqual, r.prrelid) || ')')"
		"  FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
		" WHERE r.prrelid = $1 ORDER BY p.pubname"},
};

static void
run_command(void *arg)
{
	mr_spi_run(arg);
}

/* Runs a command that may fail: its error becomes a warning. */
static void
run_optional(const char *what, char *command)
{
	ErrorData  *error = mr_try(run_command, command);

	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("a %s of the old version could not be taken over: %s", what, error->message),
			 errdetail("The command was: %s", command)));
	FreeErrorData(error);
}

/* The commands that a query prints; NULL rows are left out. */
static List *
print_commands(const TakeOver *kind, Oid from, Oid to)
{
	Oid			types[4] = {OIDOID, OIDOID, TEXTOID, TEXTOID};
	Datum		values[4];
	List	   *commands = NIL;

	values[0] = ObjectIdGetDatum(from);
	values[1] = ObjectIdGetDatum(to);
	values[2] = CStringGetTextDatum(mr_relation_sql(from));
	values[3] = CStringGetTextDatum(mr_relation_sql(to));
	if (SPI_execute_with_args(kind->query, 4, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the %s of a version table", kind->what);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *command = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		if (command)
			commands = lappend(commands, command);
	}
	SPI_freetuptable(SPI_tuptable);
	return commands;
}

/* Makes on `to` what users have added to `from`; SPI is connected. */
void
mr_version_take_over(Oid from, Oid to)
{
	for (int i = 0; i < lengthof(take_overs); i++)
	{
		ListCell   *cell;

		foreach(cell, print_commands(&take_overs[i], from, to))
		{
			if (take_overs[i].optional)
				run_optional(take_overs[i].what, lfirst(cell));
			else
				mr_spi_run(lfirst(cell));
		}
	}
}

/*
 * Copies the rows that somebody has inserted since `from` was filled and that
 * `to` does not have; how many.  Points of another dimension cannot go along:
 * they are counted in a warning.
 */
int64
mr_version_take_over_rows(Oid from, Oid to, MrSide side)
{
	SPIPlanPtr	plan;
	int			code;
	const char *column = mr_side_column(side);
	char	   *where = psprintf("o.interactions OPERATOR(pg_catalog.=) 0 AND NOT EXISTS"
								 " (SELECT FROM %s n WHERE n.%s %s o.%s)",
								 mr_relation_sql(to), column, mr_equality_sql(get_atttype(to, 1)), column);
	int32		dimensions[2];
	Oid			type;
	Oid			collation;

	get_atttypetypmodcoll(from, 2, &type, &dimensions[0], &collation);
	get_atttypetypmodcoll(to, 2, &type, &dimensions[1], &collation);
	if (dimensions[0] != dimensions[1])
	{
		SPI_execute(psprintf("SELECT FROM %s o WHERE %s", mr_relation_sql(from), where), false, 0);
		if (SPI_processed > 0)
			ereport(WARNING,
					(errmsg_plural("%llu row that was inserted into %s is not taken over because the dimensions differ",
								   "%llu rows that were inserted into %s are not taken over because the dimensions differ",
								   SPI_processed, (unsigned long long) SPI_processed, mr_relation_sql(from))));
		return 0;
	}

	/*
	 * The latest snapshot, whatever the isolation level: what was committed
	 * since the transaction's snapshot was taken must go along too.
	 */
	plan = SPI_prepare(psprintf("INSERT INTO %s (%s, embedding, interactions)"
								" SELECT o.%s, o.embedding, o.interactions FROM %s o WHERE %s",
								mr_relation_sql(to), column, column, mr_relation_sql(from), where), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	code = SPI_execute_snapshot(plan, NULL, NULL, GetLatestSnapshot(), InvalidSnapshot, false, true, 0);
	if (code != SPI_OK_INSERT)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(code));
	SPI_freeplan(plan);
	return SPI_processed;
}
