/*
 * split.c
 *		metricrec.split(): a relation of interactions into two tables, one to train
 *		on and one to evaluate with.
 *
 * The work is one SQL statement, run as the caller, that numbers the rows with
 * window functions and writes both tables.  One statement, because the two
 * tables must see one snapshot of the source and because a view may give other
 * rows when it is read a second time.
 *
 * The unit is the pair (user, item), not the row: all rows of a pair fall on
 * one side, for a held-out item that also is in the training table would be
 * left out of the ranking or, worse, be known.  Equal keys with different texts
 * ('a' and 'A' of a case-insensitive type) are one pair.  A pair's time is that
 * of its first row: a repetition is no news.
 *
 *		keys	 u, i; valid = neither is NULL; hash of (seed, text of u, text of i)
 *		pairs	 h = least hash of the pair, t = first time of the pair
 *		rule	 by method; rows without a user or an item go to train, which
 *				 skips and counts them as it would those of the source
 *
 * Choices depend on the keys' texts and the seed, never on the physical order.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "util/compat.h"
#include "util/pgutil.h"

PG_FUNCTION_INFO_V1(mr_split);

#define DEFAULT_FRACTION 0.2

typedef enum SplitMethod
{
	SPLIT_RANDOM,
	SPLIT_TEMPORAL,
	SPLIT_LEAVE_LAST_OUT
} SplitMethod;

static const char *const method_names[] = {"random", "temporal", "leave_last_out"};

/* What to do, checked. */
typedef struct SplitPlan
{
	Oid			relation;
	SplitMethod method;
	double		fraction;
	int64		seed;
	char	   *source;			/* qualified */
	char	   *train;			/* qualified */
	char	   *test;			/* qualified */
	StringInfoData names;		/* "user_id", "rating", ...: the source's columns */
	StringInfoData aliases;		/* c1, c2, ...: no column of the source is named so below */
	char	   *user;			/* SQL over the aliases that can be sorted */
	char	   *item;
	char	   *time;			/* NULL: not used */
	char	   *hash;			/* SQL: the pair's place in the draw */
} SplitPlan;

/* The arguments by position. */
enum
{
	ARG_INTERACTIONS, ARG_METHOD, ARG_FRACTION, ARG_SEED,
	ARG_USER_COLUMN, ARG_ITEM_COLUMN, ARG_TIME_COLUMN, ARG_TRAIN, ARG_TEST
};

static SplitMethod
find_method(const char *name)
{
	for (int i = 0; i < lengthof(method_names); i++)
	{
		if (strcmp(name, method_names[i]) == 0)
			return (SplitMethod) i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown split method \"%s\"", name),
			 errhint("Valid methods are \"random\", \"temporal\" and \"leave_last_out\".")));
	return SPLIT_RANDOM;		/* not reached */
}

/* Arguments that must not be NULL, by name. */
static void
check_not_null(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"interactions", "method", "fraction", "seed", "user_column", "item_column"};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", names[i])));
	}
}

/* An argument that the method would not look at is a misunderstanding. */
static void
refuse_unused(SplitMethod method, const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" is not used by split method \"%s\"", argument, method_names[method]),
			 errhint("Leave the argument out.")));
}

/*
 * Method, fraction, seed, and which of them belong together.  A default value
 * that is written out cannot be told from one that is not.
 */
static void
read_method(FunctionCallInfo fcinfo, SplitPlan *plan)
{
	plan->method = find_method(text_to_cstring(PG_GETARG_TEXT_PP(ARG_METHOD)));
	plan->fraction = PG_GETARG_FLOAT8(ARG_FRACTION);
	plan->seed = PG_GETARG_INT64(ARG_SEED);

	if (!(plan->fraction > 0 && plan->fraction < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fraction %g is out of range", plan->fraction),
				 errdetail("It is the test table's share and must be greater than 0 and less than 1.")));
	if (plan->method == SPLIT_RANDOM && !PG_ARGISNULL(ARG_TIME_COLUMN))
		refuse_unused(plan->method, "time_column");
	if (plan->method == SPLIT_TEMPORAL && plan->seed != 0)
		refuse_unused(plan->method, "seed");
	if (plan->method == SPLIT_LEAVE_LAST_OUT && plan->fraction != DEFAULT_FRACTION)
		refuse_unused(plan->method, "fraction");
	if (plan->method != SPLIT_RANDOM && PG_ARGISNULL(ARG_TIME_COLUMN))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("split method \"%s\" needs a time column", method_names[plan->method]),
				 errhint("Name it with the argument time_column.")));
}

/*
 * The column's alias c<n> and its type.  `argument` is the name of the function
 * argument, for the hint.
 */
static char *
find_column(Relation rel, const char *column, const char *argument, Oid *type)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			place = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped)
			continue;
		place++;
		if (strcmp(NameStr(attribute->attname), column) == 0)
		{
			*type = attribute->atttypid;
			return psprintf("c%d", place);
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of relation \"%s\" does not exist", column, RelationGetRelationName(rel)),
			 errhint("Name the column with the argument %s.", argument)));
	return NULL;				/* not reached */
}

static bool
can_be_sorted(Oid type)
{
	return OidIsValid(lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr);
}

/* The text of a column, in bytewise order. */
static char *
text_of(const char *alias)
{
	return psprintf("((k.%s)::pg_catalog.text COLLATE pg_catalog.\"C\")", alias);
}

/* A key as SQL: itself, or its text where its type has no order. */
static char *
key_of(const char *alias, Oid type)
{
	return can_be_sorted(type) ? psprintf("k.%s", alias) : text_of(alias);
}

static void
read_columns(FunctionCallInfo fcinfo, Relation rel, SplitPlan *plan)
{
	const char *user_column = NameStr(*PG_GETARG_NAME(ARG_USER_COLUMN));
	const char *item_column = NameStr(*PG_GETARG_NAME(ARG_ITEM_COLUMN));
	TupleDesc	desc = RelationGetDescr(rel);
	char	   *user;
	char	   *item;
	Oid			user_type;
	Oid			item_type;
	Oid			time_type;
	int			place = 0;

	if (strcmp(user_column, item_column) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("user column and item column are both \"%s\"", user_column)));
	user = find_column(rel, user_column, "user_column", &user_type);
	item = find_column(rel, item_column, "item_column", &item_type);
	plan->user = key_of(user, user_type);
	plan->item = key_of(item, item_type);
	plan->hash = psprintf("pg_catalog.hashtextextended(%s, pg_catalog.hashtextextended(%s, $2))",
						  text_of(item), text_of(user));
	if (plan->method != SPLIT_RANDOM)
	{
		const char *column = NameStr(*PG_GETARG_NAME(ARG_TIME_COLUMN));

		plan->time = psprintf("k.%s", find_column(rel, column, "time_column", &time_type));
		if (!can_be_sorted(time_type))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("column \"%s\" cannot be used as time", column),
					 errdetail("Its type %s has no order.", format_type_be(time_type))));
	}

	initStringInfo(&plan->names);
	initStringInfo(&plan->aliases);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped)
			continue;
		appendStringInfo(&plan->names, "%s%s", place ? ", " : "", quote_identifier(NameStr(attribute->attname)));
		appendStringInfo(&plan->aliases, "%sc%d", place ? ", " : "", place + 1);
		place++;
	}
}

/*
 * Qualified name of a table to make: as given, or <relation>_<label>, cut to
 * the length of a name.
 */
static char *
table_name(FunctionCallInfo fcinfo, int argument, Relation rel, const char *label)
{
	char	   *name;
	Oid			schema;

	if (PG_ARGISNULL(argument))
		name = makeObjectName(RelationGetRelationName(rel), NULL, label);
	else
		name = pstrdup(NameStr(*PG_GETARG_NAME(argument)));
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of the %s table must not be empty", label)));
	schema = RangeVarGetCreationNamespace(makeRangeVar(NULL, name, -1));
	if (OidIsValid(get_relname_relid(name, schema)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", name),
				 errhint("Drop it, or name another table with the argument %s.", label)));
	return quote_qualified_identifier(get_namespace_name(schema), name);
}

/*
 * FROM clause with the keys (columns u, i, valid, h, t) beside the source's
 * columns under their aliases.
 */
static void
append_pairs(StringInfo sql, const SplitPlan *plan)
{
	appendStringInfo(sql,
					 "(SELECT o.*, pg_catalog.min(o.hash) OVER (PARTITION BY o.u, o.i) AS h");
	if (plan->time)
		appendStringInfoString(sql,
							   ", pg_catalog.first_value(o.time) OVER (PARTITION BY o.u, o.i"
							   " ORDER BY o.time ASC NULLS LAST) AS t");
	appendStringInfo(sql,
					 " FROM (SELECT k.*, %s AS u, %s AS i, %s AS hash, %s AS time,"
					 " pg_catalog.num_nulls(%s, %s) OPERATOR(pg_catalog.=) 0 AS valid"
					 " FROM %s AS k (%s)) AS o) AS p",
					 plan->user, plan->item, plan->hash, plan->time ? plan->time : "NULL::pg_catalog.int4",
					 plan->user, plan->item, plan->source, plan->aliases.data);
}

/*
 * SELECT of the source's columns and is_test.
 *
 *	random			in each user the floor(fraction * n + 1/2) first of the n pairs by
 *					hash, one of them stays
 *	leave_last_out	in each user the last pair by (t, hash), if there are two
 *	temporal		the pairs with at least (1 - fraction) of the rows strictly before
 *					them, which is: later than the (1 - fraction) quantile
 */
static void
append_rule(StringInfo sql, const SplitPlan *plan)
{
	if (plan->method == SPLIT_TEMPORAL)
	{
		/* 1e-9: 10 - 0.7 * 10 must not depend on how 0.7 is rounded. */
		appendStringInfo(sql,
						 "SELECT %s, q.timed AND q.place::pg_catalog.float8 OPERATOR(pg_catalog.-) 1"
						 " OPERATOR(pg_catalog.>=) (q.n OPERATOR(pg_catalog.*)"
						 " (1::pg_catalog.float8 OPERATOR(pg_catalog.-) $1 OPERATOR(pg_catalog.-) 1e-9::pg_catalog.float8)) AS is_test"
						 " FROM (SELECT s.*, pg_catalog.rank() OVER (PARTITION BY s.timed ORDER BY s.t) AS place,"
						 " (pg_catalog.count(*) OVER (PARTITION BY s.timed))::pg_catalog.float8 AS n"
						 " FROM (SELECT p.*, p.valid AND pg_catalog.num_nulls(p.t) OPERATOR(pg_catalog.=) 0 AS timed FROM ",
						 plan->aliases.data);
		append_pairs(sql, plan);
		appendStringInfoString(sql, ") AS s) AS q");
		return;
	}

	appendStringInfo(sql, "SELECT %s, q.valid AND q.n OPERATOR(pg_catalog.>) 1 AND q.place", plan->aliases.data);
	if (plan->method == SPLIT_RANDOM)
		appendStringInfoString(sql,
							   "::pg_catalog.float8 OPERATOR(pg_catalog.<=) LEAST("
							   "pg_catalog.floor($1 OPERATOR(pg_catalog.*) q.n::pg_catalog.float8 OPERATOR(pg_catalog.+) 0.5::pg_catalog.float8),"
							   " (q.n OPERATOR(pg_catalog.-) 1)::pg_catalog.float8)");
	else
		appendStringInfoString(sql, " OPERATOR(pg_catalog.=) 1");
	appendStringInfo(sql,
					 " AS is_test FROM (SELECT s.*, pg_catalog.max(s.place) OVER (PARTITION BY s.u, s.valid) AS n"
					 " FROM (SELECT p.*, pg_catalog.dense_rank() OVER (PARTITION BY p.u, p.valid ORDER BY %s p.h, p.i) AS place FROM ",
					 plan->time ? "p.t DESC NULLS LAST," : "");
	append_pairs(sql, plan);
	appendStringInfoString(sql, ") AS s) AS q");
}

static void
make_table(const SplitPlan *plan, const char *table)
{
	mr_spi_run(psprintf("CREATE TABLE %s AS SELECT %s FROM %s WITH NO DATA",
						table, plan->names.data, plan->source));
}

/* Fills both tables; the counts of their rows. */
static void
fill_tables(const SplitPlan *plan, int64 *train_rows, int64 *test_rows)
{
	Oid			types[2] = {FLOAT8OID, INT8OID};
	Datum		values[2];
	StringInfoData sql;
	int			code;
	bool		isnull;

	values[0] = Float8GetDatum(plan->fraction);
	values[1] = Int64GetDatum(plan->seed);

	initStringInfo(&sql);
	appendStringInfoString(&sql, "WITH split AS MATERIALIZED (");
	append_rule(&sql, plan);
	appendStringInfo(&sql,
					 "), train AS (INSERT INTO %s SELECT %s FROM split WHERE NOT is_test RETURNING 1),"
					 " test AS (INSERT INTO %s SELECT %s FROM split WHERE is_test RETURNING 1)"
					 " SELECT (SELECT pg_catalog.count(*) FROM train), (SELECT pg_catalog.count(*) FROM test),"
					 " pg_catalog.num_nulls($1, $2)",
					 plan->train, plan->aliases.data, plan->test, plan->aliases.data);

	code = SPI_execute_with_args(sql.data, 2, types, values, NULL, false, 0);
	if (code != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not split the interactions: SPI returned %d", code);
	*train_rows = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	*test_rows = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
}

/* A side without a row is no split. */
static void
check_sides(const SplitPlan *plan, int64 train_rows, int64 test_rows)
{
	if (train_rows > 0 && test_rows > 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("split leaves no row for the %s table", test_rows > 0 ? "training" : "test"),
			 errdetail("Rows in relation %s: " INT64_FORMAT ".", plan->source, train_rows + test_rows),
			 plan->method == SPLIT_TEMPORAL
			 ? errhint("The times must differ: rows of one time stay together.")
			 : errhint("At least one user must have two items or more; each keeps one for training.")));
}

/*
 * metricrec.split(interactions, method, fraction, seed, user_column,
 *				   item_column, time_column, train, test)
 *
 * Returns the tables that it made and the counts of their rows.
 */
Datum
mr_split(PG_FUNCTION_ARGS)
{
	SplitPlan	plan;
	Relation	rel;
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};
	int64		train_rows;
	int64		test_rows;

	memset(&plan, 0, sizeof(plan));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	check_not_null(fcinfo);
	read_method(fcinfo, &plan);

	plan.relation = PG_GETARG_OID(ARG_INTERACTIONS);
	rel = relation_open(plan.relation, AccessShareLock);
	if (!mr_relation_has_rows(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot split relation \"%s\"", RelationGetRelationName(rel)),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind)));
	read_columns(fcinfo, rel, &plan);
	plan.source = mr_relation_sql(plan.relation);
	plan.train = table_name(fcinfo, ARG_TRAIN, rel, "train");
	plan.test = table_name(fcinfo, ARG_TEST, rel, "test");
	if (strcmp(plan.train, plan.test) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("training and test table are both named %s", plan.train)));
	relation_close(rel, NoLock);	/* the lock stays: the columns must */

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	make_table(&plan, plan.train);
	make_table(&plan, plan.test);
	fill_tables(&plan, &train_rows, &test_rows);
	check_sides(&plan, train_rows, test_rows);
	SPI_finish();

	values[0] = DirectFunctionCall1(regclassin, CStringGetDatum(plan.train));
	values[1] = DirectFunctionCall1(regclassin, CStringGetDatum(plan.test));
	values[2] = Int64GetDatum(train_rows);
	values[3] = Int64GetDatum(test_rows);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
