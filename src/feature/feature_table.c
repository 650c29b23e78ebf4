/*
 * feature_table.c
 *		From a relation to the feature table of a training.
 *
 *	1. fit: statistics and vocabularies, over all rows that have a key; not if there is
 *	   an encoder already
 *	2. encode: rows of numbers, in the order in which they come
 *	3. order: rows of known keys go to their places, the others behind them, in the
 *	   canonical order of the keys
 *
 * Both passes read under one snapshot.  A view with volatile functions may give
 * other rows to the second all the same; they are encoded by what the first saw.
 *
 * The result depends on the set of the rows, not on their physical order or the plan.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "feature/encoder.h"

/* What the second pass fills. */
typedef struct EncodeState
{
	const MrFeatureQuery *query;
	MrFeatureTable *table;
	const MrIdMap *known;
	bool	   *is_seen;		/* [size(known)] */
	int32	   *place;			/* [n_allocated], by arrival; of others behind known */
	int32		n_allocated;
	MrFeatureRows rows;
	MrBudget   *budget;
	MemoryContext scratch;
} EncodeState;

static int64
integer_of_key(Oid type, Datum key)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(key);
		case INT4OID:
		case DATEOID:
			return DatumGetInt32(key);
		default:
			return DatumGetInt64(key);
	}
}

/*
 * The row in a map of a key that may be of another integer type than the map's;
 * `others` is added to.  Returns -1 for a key that the type of the ids cannot hold.
 */
static int32
row_of_integer(const MrIdMap *map, MrIdMap *others, Oid type, Datum key)
{
	int64		integer = integer_of_key(type, key);
	int32		row;

	if (others == NULL)
	{
		mr_idmap_lookup_integers(map, &integer, 1, &row);
		return row;
	}
	switch (get_typlen(getBaseType(mr_idmap_type(others))))
	{
		case 2:
			if (integer != (int16) integer)
				return -1;
			break;
		case 4:
			if (integer != (int32) integer)
				return -1;
			break;
		default:
			break;
	}
	mr_idmap_insert_integers(others, &integer, 1, &row);
	return row;
}

static void
refuse_duplicate(const EncodeState *state, const MrFeatureRow *row)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("key \"%s\" occurs more than once in relation \"%s\"",
					mr_feature_key_text(row->key_type, row->key), state->query->relation_name),
			 errhint("A feature table has one row per key; a view can put the rows of a key together.")));
}

/* The place of a key of the map, or -1; error if it had a row before. */
static int32
place_of_known(EncodeState *state, const MrFeatureRow *row)
{
	int32		at;

	if (mr_idmap_size(state->known) == 0)
		return -1;
	at = mr_idmap_is_integer(state->known) ?
		row_of_integer(state->known, NULL, row->key_type, row->key) :
		mr_idmap_lookup(state->known, row->key);
	if (at < 0)
		return -1;
	if (state->is_seen[at])
		refuse_duplicate(state, row);
	state->is_seen[at] = true;
	state->table->counts.known++;
	return at;
}

/* The place of a key that the map does not have. */
static int32
place_of_other(EncodeState *state, const MrFeatureRow *row)
{
	MrIdMap    *others = state->table->others;
	int32		before = mr_idmap_size(others);
	int32		at = mr_idmap_is_integer(others) ?
		row_of_integer(NULL, others, row->key_type, row->key) : mr_idmap_insert(others, row->key);

	if (at < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("key \"%s\" in relation \"%s\" is out of range for the model's ids",
						mr_feature_key_text(row->key_type, row->key), state->query->relation_name),
				 errdetail("They are of type %s.", format_type_be(mr_idmap_type(others)))));
	if (at < before)
		refuse_duplicate(state, row);
	if ((int64) at + mr_idmap_size(state->known) >= PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows of features")));
	return mr_idmap_size(state->known) + at;
}

static void
encode_row(void *arg, const MrFeatureRow *row)
{
	EncodeState *state = arg;
	int32		place = place_of_known(state, row);

	if (place < 0)
		place = place_of_other(state, row);
	if (state->rows.n == state->n_allocated)
	{
		Size		old = sizeof(int32) * state->n_allocated;
		int64		n = Min(Max(1024, (int64) state->n_allocated + state->n_allocated / 2), PG_INT32_MAX);

		if (state->place == NULL)
			state->place = mr_budget_alloc(state->budget, state->scratch, sizeof(int32) * n);
		else
			state->place = mr_budget_realloc(state->budget, state->place, old, sizeof(int32) * n);
		state->n_allocated = (int32) n;
	}
	state->place[state->rows.n] = place;
	state->budget->rows = state->rows.n;
	mr_encoder_encode(row, &state->rows);
}

/* Brings the other keys into their canonical order, and the places with them. */
static void
order_others(EncodeState *state)
{
	MrIdMap    *others = state->table->others;
	int32		n_known = mr_idmap_size(state->known);
	Size		size = sizeof(int32) * mr_idmap_size(others);
	int32	   *new_row;

	if (size == 0)
		return;
	new_row = mr_budget_alloc(state->budget, state->scratch, size);
	mr_idmap_canonicalise(others, NULL, new_row);
	for (int32 i = 0; i < state->rows.n; i++)
	{
		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		if (state->place[i] >= n_known)
			state->place[i] = n_known + new_row[state->place[i] - n_known];
	}
	mr_budget_free(state->budget, new_row, size);
}

/* The second pass. */
static void
encode_rows(EncodeState *state)
{
	MrFeatureTable *table = state->table;
	MrEncoder  *encoder = table->encoder;
	Size		n_known = mr_idmap_size(state->known);

	state->is_seen = mr_budget_alloc(state->budget, state->scratch, Max(n_known, 1));
	memset(state->is_seen, 0, Max(n_known, 1));
	mr_feature_rows_init(&state->rows, encoder->n_dense, table->context, state->budget);
	mr_feature_scan(mr_feature_query_text(state->query, encoder, true), NULL, NULL, encoder, true,
					state->query->key_base_type, &table->counts, encode_row, state);
	table->counts.missing = n_known - table->counts.known;
	order_others(state);
	mr_feature_rows_order(&state->rows, state->place, (int32) n_known + mr_idmap_size(table->others),
						  encoder->n_sparse, table->context, &table->features);
	mr_budget_free(state->budget, state->is_seen, Max(n_known, 1));
	mr_budget_free(state->budget, state->place, sizeof(int32) * state->n_allocated);
}

/* Says which columns are left out; error if that is all of them. */
static void
report_columns(const MrEncoder *encoder, const MrFeatureQuery *query)
{
	StringInfoData idle;
	int			n_idle = 0;

	initStringInfo(&idle);
	for (int i = 0; i < encoder->n; i++)
		if (encoder->columns[i].use != MR_COLUMN_USED)
			appendStringInfo(&idle, "%s%s", n_idle++ > 0 ? ", " : "", encoder->columns[i].name);
	if (n_idle == encoder->n)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("relation \"%s\" has no usable feature", query->relation_name),
				 encoder->n == 0 ? errdetail("The key is its only column.") :
				 encoder->n_rows == 0 ? errdetail("It has no row with a key.") :
				 errdetail("Columns that carry nothing: %s.", idle.data),
				 errhint("metricrec.describe_features() tells how each column is read.")));
	if (n_idle > 0)
		ereport(NOTICE,
				(errmsg("columns of \"%s\" that carry nothing: %s", query->relation_name, idle.data)));
}

static void
run_passes(EncodeState *state, const MrFeatureSource *source, bool strict)
{
	bool		own_snapshot = !ActiveSnapshotSet();

	if (own_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (source->encoder == NULL)
		mr_encoder_fit(state->table->encoder, source, state->query, state->budget);
	if (strict)
		report_columns(state->table->encoder, state->query);
	encode_rows(state);
	SPI_finish();
	if (own_snapshot)
		PopActiveSnapshot();
}

/*
 * Reads and encodes the relation.  strict: columns that carry nothing are told, and
 * it is an error if all of them do.
 */
MrFeatureTable *
mr_feature_load(const MrFeatureSource *source, const MrIdMap *known, bool strict, MemoryContext parent, Size limit)
{
	MemoryContext context = AllocSetContextCreate(parent, "metricrec features", ALLOCSET_DEFAULT_SIZES);
	MemoryContext scratch = AllocSetContextCreate(context, "metricrec features scratch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	MrFeatureTable *table = MemoryContextAllocZero(context, sizeof(MrFeatureTable));
	MrBudget   *budget = MemoryContextAllocZero(context, sizeof(MrBudget));
	EncodeState state = {.table = table, .budget = budget, .scratch = scratch};
	MrFeatureQuery query;

	budget->limit = limit;
	budget->what = "features";
	table->context = context;
	table->encoder = mr_feature_prepare(source, known ? mr_idmap_type(known) : InvalidOid, context, &query);
	if (source->encoder)
		table->encoder = source->encoder;	/* its columns are these: mr_encoder_matches() */
	table->others = known ? mr_idmap_create(mr_idmap_type(known), mr_idmap_collation(known), context) :
		mr_idmap_create(query.key_type, query.key_collation, context);
	mr_idmap_set_budget(table->others, budget);
	state.query = &query;
	state.known = known ? known : mr_idmap_create(query.key_type, query.key_collation, scratch);
	run_passes(&state, source, strict);

	table->bytes = budget->used;
	table->peak_bytes = budget->peak;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return table;
}

/*
 * Reads the features of `source` as the calling role.
 *
 * known: keys of the model, whose rows come first; NULL: all keys are others, in the
 * type of the column.  limit: bytes that may be held at any time, 0 = no limit.
 * The result lies in a context of its own under `parent`.
 *
 * Errors: those of mr_feature_check_columns(), 22000 no usable column, or vectors
 * of different lengths, 22003 a number that float4 cannot hold or a key out of
 * range, 22004 a vector with a NULL element, 23505 a key twice, 53200 beyond the
 * limit, 54000 too many columns, and what the query itself raises.
 */
MrFeatureTable *
mr_feature_read(const MrFeatureSource *source, const MrIdMap *known, MemoryContext parent, Size limit)
{
	return mr_feature_load(source, known, true, parent, limit);
}
