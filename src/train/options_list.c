/*
 * options_list.c
 *		Hyper-parameters that are lists: widths of layers, names of columns.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

#include "model/net.h"
#include "train/options.h"

static void
bad_width(const char *name, const char *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("value %s is out of range for \"%s\"", value, name),
			 errdetail("Valid values are from %d to %d.", 1, MR_NET_MAX_WIDTH)));
}

/* hidden_layers, checked, as a JSON array. */
char *
mr_widths_to_json(const char *name, ArrayType *array)
{
	StringInfoData json;
	Datum	   *widths;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &widths, &nulls, &n);
	if (n > MR_MAX_HIDDEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" has %d layers; the maximum is %d", name, n, MR_MAX_HIDDEN)));
	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < n; i++)
	{
		if (nulls[i] || DatumGetInt32(widths[i]) < 1 || DatumGetInt32(widths[i]) > MR_NET_MAX_WIDTH)
			bad_width(name, nulls[i] ? "null" : psprintf("%d", DatumGetInt32(widths[i])));
		appendStringInfo(&json, "%s%d", i ? ", " : "", DatumGetInt32(widths[i]));
	}
	appendStringInfoChar(&json, ']');
	return json.data;
}

/* A list of columns as a JSON array; NULL elements are passed over. */
char *
mr_names_to_json(ArrayType *array)
{
	StringInfoData json;
	Datum	   *names;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, &nulls, &n);
	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			continue;
		if (json.len > 1)
			appendStringInfoString(&json, ", ");
		escape_json(&json, NameStr(*DatumGetName(names[i])));
	}
	appendStringInfoChar(&json, ']');
	return json.data;
}

/*
 * The next element of a JSON array of ours, numbers or strings; false at its end.
 * *it is NULL at first.
 */
static bool
next_element(Jsonb *json, JsonbIterator **it, JsonbValue *value)
{
	JsonbIteratorToken token;

	if (*it == NULL)
		*it = JsonbIteratorInit(&json->root);
	do
		token = JsonbIteratorNext(it, value, true);
	while (token == WJB_BEGIN_ARRAY);
	return token == WJB_ELEM;
}

void
mr_widths_read(const char *name, MrHyper *hyper, const char *text)
{
	Jsonb	   *json = mr_jsonb_of(text);
	JsonbIterator *it = NULL;
	JsonbValue	value;

	hyper->n_hidden = 0;
	while (next_element(json, &it, &value))
	{
		double		width = value.type == jbvNumeric
			? DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value.val.numeric))) : 0;

		if (!(width >= 1 && width <= MR_NET_MAX_WIDTH) || hyper->n_hidden == MR_MAX_HIDDEN)
			bad_width(name, text);
		hyper->hidden[hyper->n_hidden++] = (int32) width;
	}
}

void
mr_names_read(MrNames *names, const char *text)
{
	Jsonb	   *json = mr_jsonb_of(text);
	JsonbIterator *it = NULL;
	JsonbValue	value;

	names->n = 0;
	names->names = palloc(sizeof(char *) * (JB_ROOT_COUNT(json) + 1));
	while (next_element(json, &it, &value))
		if (value.type == jbvString)
			names->names[names->n++] = pnstrdup(value.val.string.val, value.val.string.len);
}

/* The same two as JSON again, for the recipe of a version. */
char *
mr_widths_describe(const MrHyper *hyper)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < hyper->n_hidden; i++)
		appendStringInfo(&json, "%s%d", i ? ", " : "", hyper->hidden[i]);
	appendStringInfoChar(&json, ']');
	return json.data;
}

char *
mr_names_describe(const MrNames *names)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < names->n; i++)
	{
		if (i)
			appendStringInfoString(&json, ", ");
		escape_json(&json, names->names[i]);
	}
	appendStringInfoChar(&json, ']');
	return json.data;
}
