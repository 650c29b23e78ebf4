/*
 * feature_scan.c
 *		Runs a query and hands its rows, taken apart by column, to a sink.
 *
 * The query runs through SPI, read-only, as the calling role, under the active
 * snapshot.  Its rows go straight from the executor into a receiver of ours:
 * nothing is materialised.  What a row needs lives in a context that is reset
 * after it.
 *
 * Interrupts: the executor checks for each row.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "nodes/params.h"
#include "tcop/dest.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "feature/encoder.h"

typedef struct RowReceiver
{
	DestReceiver pub;			/* first: the executor knows this only */
	MrFeatureRow row;
	Datum	   *values;			/* [n] of the row */
	bool	   *nulls;			/* [n] */
	MrFeatureCounts *counts;	/* or NULL */
	MemoryContext context;		/* of one row */
	MrFeatureRowSink sink;
	void	   *arg;
} RowReceiver;

/* Values that are looked at more than once are detoasted once. */
static inline bool
is_array_kind(MrColumnKind kind)
{
	return kind == MR_COLUMN_LIST || kind == MR_COLUMN_WORDS || kind == MR_COLUMN_VECTOR;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MrFeatureRow *row = &receiver->row;
	MemoryContext old;

	slot_getallattrs(slot);
	if (receiver->counts)
		receiver->counts->rows++;
	if (row->has_key && slot->tts_isnull[0])
	{
		if (receiver->counts)
			receiver->counts->null_keys++;
		return true;
	}
	old = MemoryContextSwitchTo(receiver->context);
	row->key = slot->tts_values[0];
	for (int i = 0; i < row->n; i++)
	{
		receiver->nulls[i] = slot->tts_isnull[i + 1];
		receiver->values[i] = slot->tts_values[i + 1];
		if (!receiver->nulls[i] && is_array_kind(row->columns[i]->kind))
			receiver->values[i] = PointerGetDatum(PG_DETOAST_DATUM(receiver->values[i]));
	}
	receiver->sink(receiver->arg, row);
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->context);
	return true;
}

/* The type by which a column's datums are taken apart; error if the column is read otherwise. */
static Oid
type_of_column(const MrEncoderColumn *column, Oid type)
{
	Oid			base_type = getBaseType(type);
	Oid			element;
	MrColumnKind kind;

	switch (column->kind)
	{
		case MR_COLUMN_CATEGORY:
			if (base_type == TEXTOID)
				return base_type;
			break;
		case MR_COLUMN_LIST:
		case MR_COLUMN_WORDS:
			if (base_type == TEXTARRAYOID)
				return TEXTOID;
			break;
		default:
			if (!mr_feature_kind_of(base_type, &kind) || kind != column->kind)
				break;
			element = get_element_type(base_type);
			return OidIsValid(element) ? getBaseType(element) : base_type;
	}
	elog(ERROR, "query of the features gives unexpected columns");
	return InvalidOid;			/* not reached */
}

/* The planner's word must match ours: datums are taken apart by type. */
static void
receiver_startup(DestReceiver *self, int operation, TupleDesc descriptor)
{
	MrFeatureRow *row = &((RowReceiver *) self)->row;

	if (descriptor->natts != row->n + 1 ||
		(row->has_key && getBaseType(TupleDescAttr(descriptor, 0)->atttypid) != row->key_type))
		elog(ERROR, "query of the features gives unexpected columns");
	for (int i = 0; i < row->n; i++)
		row->types[i] = type_of_column(row->columns[i], TupleDescAttr(descriptor, i + 1)->atttypid);
}

static void
receiver_nothing(DestReceiver *self)
{
}

static void
init_receiver(RowReceiver *receiver, MrEncoder *encoder, bool used_only, Oid key_type)
{
	MrFeatureRow *row = &receiver->row;
	Size		n = Max(encoder->n, 1);

	receiver->pub.receiveSlot = receive_row;
	receiver->pub.rStartup = receiver_startup;
	receiver->pub.rShutdown = receiver_nothing;
	receiver->pub.rDestroy = receiver_nothing;
	receiver->pub.mydest = DestTuplestore;	/* anything but DestSPI */
	receiver->values = palloc(sizeof(Datum) * n);
	receiver->nulls = palloc(sizeof(bool) * n);
	receiver->context = AllocSetContextCreate(CurrentMemoryContext, "metricrec feature row",
											  ALLOCSET_DEFAULT_SIZES);
	row->has_key = OidIsValid(key_type);
	row->key_type = key_type;
	row->columns = palloc(sizeof(MrEncoderColumn *) * n);
	row->types = palloc(sizeof(Oid) * n);
	row->values = receiver->values;
	row->nulls = receiver->nulls;
	for (int i = 0; i < encoder->n; i++)
		if (!used_only || encoder->columns[i].use == MR_COLUMN_USED)
			row->columns[row->n++] = &encoder->columns[i];
}

/*
 * Runs the query, or the plan if there is one, and gives each row to the sink.
 * The query gives the key and then the encoder's columns, all or those that are
 * used.  key_type: base type of the key, InvalidOid if the first column is none.
 * SPI is connected, and a snapshot is active.
 */
void
mr_feature_scan(const char *sql, SPIPlanPtr plan, ParamListInfo parameters, MrEncoder *encoder,
				bool used_only, Oid key_type, MrFeatureCounts *counts, MrFeatureRowSink sink, void *arg)
{
	RowReceiver *receiver = palloc0(sizeof(RowReceiver));
	SPIExecuteOptions options;
	int			result;

	init_receiver(receiver, encoder, used_only, key_type);
	receiver->counts = counts;
	receiver->sink = sink;
	receiver->arg = arg;
	memset(&options, 0, sizeof(options));
	options.read_only = true;
	options.must_return_tuples = true;
	options.params = parameters;
	options.dest = &receiver->pub;
	if (plan)
		result = SPI_execute_plan_extended(plan, &options);
	else
		result = SPI_execute_extended(sql, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read features: SPI returned %s", SPI_result_code_string(result));
	MemoryContextDelete(receiver->context);
}
