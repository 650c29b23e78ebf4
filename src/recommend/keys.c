/*
 * keys.c
 *		Ids of any type: from the arguments of a query, through SQL, to its rows.
 *
 * Integers of all sizes are int8 here, so that an id beyond the range of the
 * key column is an id that is not in the model, not an error of its own, and so
 * that both forms of a function go the same way.  Any other id is a datum of
 * the column's base type; its text is what the type's output function gives.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "recommend/query.h"
#include "util/compat.h"
#include "util/pgutil.h"

static bool
is_integer_type(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* Fills in the key type of a view's key column. */
void
mr_key_describe(MrKeyType *key, const char *noun, const char *column, Oid view)
{
	AttrNumber	attnum = get_attnum(view, column);
	Oid			type;
	int32		typmod;

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of view %u does not exist", column, view),
				 errhint("The views of a model are made by metricrec.create_model(): drop the model and make it again.")));
	get_atttypetypmodcoll(view, attnum, &type, &typmod, &key->collation);
	key->noun = noun;
	key->column = column;
	key->column_type = getBaseType(type);
	key->is_integer = is_integer_type(key->column_type);
	key->type = key->is_integer ? INT8OID : key->column_type;
	get_typlenbyvalalign(key->type, &key->typlen, &key->typbyval, &key->typalign);
	key->equals = key->is_integer ? "OPERATOR(pg_catalog.=)" : mr_equality_sql(key->type);
}

/* Error unless ids of this type have the form that was called. */
void
mr_key_check_form(const MrKeyType *key, MrIdForm form, const char *model)
{
	if (form == MR_IDS_BIGINT && !key->is_integer)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the %s ids of model \"%s\" are not integers", key->noun, model),
				 errdetail("They are of type %s.", format_type_be(key->column_type)),
				 errhint("Call the form that takes and returns text: cast the id to text.")));
}

typedef struct ParseContext
{
	const MrKeyType *key;
	const char *text;
	const char *model;
} ParseContext;

static void
parse_error_context(void *arg)
{
	ParseContext *context = arg;

	errcontext("reading the %s id \"%s\" of model \"%s\"", context->key->noun, context->text, context->model);
}

/* An argument of the function, of type bigint or text, as an id in memory. */
Datum
mr_key_parse(const MrKeyType *key, MrIdForm form, Datum argument, const char *model)
{
	ErrorContextCallback callback;
	ParseContext context;
	char	   *string;
	Oid			input;
	Oid			ioparam;
	Datum		result;

	mr_key_check_form(key, form, model);
	if (form == MR_IDS_BIGINT)
		return Int64GetDatum(DatumGetInt64(argument));

	string = TextDatumGetCString(argument);
	context.key = key;
	context.text = string;
	context.model = model;
	callback.callback = parse_error_context;
	callback.arg = &context;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	getTypeInputInfo(key->type, &input, &ioparam);
	result = OidInputFunctionCall(input, string, ioparam, -1);
	error_context_stack = callback.previous;
	return result;
}

/* Looks up the output function once for many mr_key_print(). */
void
mr_key_output(const MrKeyType *key, FmgrInfo *output)
{
	Oid			function;
	bool		varlena;

	getTypeOutputInfo(key->type, &function, &varlena);
	fmgr_info(function, output);
}

/* An id as the form's result type. */
Datum
mr_key_print(const MrKeyType *key, MrIdForm form, Datum id, FmgrInfo *output)
{
	if (form == MR_IDS_BIGINT)
		return id;
	return CStringGetTextDatum(OutputFunctionCall(output, id));
}

/* The text of an id, for messages. */
char *
mr_key_text(const MrKeyType *key, Datum id)
{
	FmgrInfo	output;

	mr_key_output(key, &output);
	return OutputFunctionCall(&output, id);
}

Datum
mr_key_copy(const MrKeyType *key, Datum id)
{
	if (!key->typbyval && key->typlen == -1)
		return PointerGetDatum(PG_DETOAST_DATUM_COPY(id));
	return datumCopy(id, key->typbyval, key->typlen);
}

/* May a column of this type hold the same ids? */
bool
mr_key_compatible(const MrKeyType *key, Oid type)
{
	Oid			base = getBaseType(type);

	if (key->is_integer)
		return is_integer_type(base);
	return base == key->type ||
		(IsBinaryCoercible(base, key->type) && IsBinaryCoercible(key->type, base));
}

/* alias.column for a SELECT list, cast to the ids' type in memory if it has another. */
char *
mr_key_column_sql(const MrKeyType *key, const char *alias, const char *column, Oid type)
{
	if (type == key->type)
		return psprintf("%s.%s", alias, quote_identifier(column));
	return psprintf("%s.%s::%s", alias, quote_identifier(column), format_type_be_qualified(key->type));
}

/* " ORDER BY alias.column", or "" if ids of this type have no order. */
char *
mr_key_order_sql(const MrKeyType *key, const char *alias, const char *column)
{
	if (!OidIsValid(lookup_type_cache(key->type, TYPECACHE_CMP_PROC)->cmp_proc))
		return "";
	return psprintf(" ORDER BY %s.%s", alias, quote_identifier(column));
}

/* The type of arrays of ids; error if there is none. */
Oid
mr_key_array_type(const MrKeyType *key)
{
	Oid			type = get_array_type(key->type);

	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("could not find array type for data type %s", format_type_be(key->type))));
	return type;
}

/* The ids of a set as an array datum, for "= ANY ($1)". */
Datum
mr_key_array(const MrKeyType *key, const MrItemSet *set, bool only_liked, Oid *array_type)
{
	int32		size = mr_idmap_size(set->ids);
	Datum	   *ids = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * Max(size, 1));
	int			n = 0;
	ArrayType  *array;

	*array_type = mr_key_array_type(key);
	for (int32 row = 0; row < size; row++)
	{
		if (!only_liked || set->liked[row])
			ids[n++] = mr_idmap_id(set->ids, row);
	}
	array = construct_array(ids, n, key->type, key->typlen, key->typbyval, key->typalign);
	pfree(ids);
	return PointerGetDatum(array);
}

/* Error: the model has no such row. */
void
mr_key_not_in_model(const MrKeyType *key, Datum id, const char *model, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("%s \"%s\" is not in model \"%s\"", key->noun, mr_key_text(key, id), model),
			 hint ? errhint("%s", hint) : 0));
}
