/*
 * options_json.c
 *		Hyper-parameters whose values come as jsonb, for tune().
 *
 * They are checked by the table of options.c, with the errors of create_model().
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "train/options_internal.h"

/* A JSON value as a person would write it, for a message. */
static char *
text_of(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return "null";
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvString:
			return psprintf("\"%s\"", pnstrdup(value->val.string.val, value->val.string.len));
		case jbvBinary:
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		default:
			return "?";
	}
}

static void
bad_value(const MrOptionDef *def, const JsonbValue *value, const char *valid)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": %s", def->name, text_of(value)),
			 errhint("Valid values are %s.", valid)));
}

static double
number_of(const MrOptionDef *def, const JsonbValue *value, const char *valid)
{
	double		number;

	if (value->type != jbvNumeric)
		bad_value(def, value, valid);

	/* what float8 cannot hold becomes an infinity here, not an error that says nothing of the name */
	number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	return number;
}

/* A whole number as the Datum of an argument; what int4 cannot hold is out of range anyway. */
static Datum
whole_number(const MrOptionDef *def, const JsonbValue *value)
{
	double		number = number_of(def, value, "whole numbers");

	if (number != floor(number))
		bad_value(def, value, "whole numbers");
	return Int32GetDatum((int32) Min(Max(number, PG_INT32_MIN), PG_INT32_MAX));
}

/* hidden_layers: an array of whole numbers. */
static Datum
widths(const MrOptionDef *def, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;
	Datum		numbers[MR_MAX_HIDDEN + 1];
	int			n = 0;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		bad_value(def, value, "arrays of whole numbers");
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM && n <= MR_MAX_HIDDEN)	/* one too many is an error of its own */
			numbers[n++] = whole_number(def, &element);
	return PointerGetDatum(construct_array(numbers, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/*
 * A value of the hyper-parameter `name` as the JSON text that is stored; NULL for null,
 * which stands for not set.  22023 if there is no such name or no such value.
 */
char *
mr_option_value(const char *name, const JsonbValue *value)
{
	const MrOptionDef *def = mr_option_find(name);

	if (value->type == jbvNull)
		return NULL;
	switch (def->kind)
	{
		case OPTION_INT:
			return mr_option_argument(def, whole_number(def, value));
		case OPTION_FLOAT:
			return mr_option_argument(def, Float8GetDatum(number_of(def, value, "numbers")));
		case OPTION_BOOL:
			if (value->type != jbvBool)
				bad_value(def, value, "true and false");
			return mr_option_argument(def, BoolGetDatum(value->val.boolean));
		case OPTION_WORD:
			if (value->type != jbvString)
				bad_value(def, value, "words");
			return mr_option_argument(def, PointerGetDatum(cstring_to_text_with_len(value->val.string.val,
																					value->val.string.len)));
		case OPTION_WIDTHS:
			return mr_option_argument(def, widths(def, value));
		case OPTION_SEED:
		case OPTION_NAMES:
			break;
	}
	bad_value(def, value, "given to metricrec.alter_model() only");
	return NULL;				/* not reached */
}

/* The range of a hyper-parameter that is a number, and whether it is a whole one; false: no number. */
bool
mr_option_range(const char *name, double *min, double *max, bool *whole)
{
	const MrOptionDef *def = mr_option_find(name);

	if (def->kind != OPTION_INT && def->kind != OPTION_FLOAT)
		return false;
	*min = def->min;
	*max = def->max;
	*whole = def->kind == OPTION_INT;
	return true;
}
