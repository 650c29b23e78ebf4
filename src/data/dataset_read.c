/*
 * dataset_read.c
 *		Reads the rows of a query into batches of row numbers.
 *
 * The query runs through SPI, read-only, as the calling role.  Its rows do not
 * go into an SPI tuple table but straight from the executor into a receiver of
 * ours: nothing is copied or materialised, whatever the number of rows, and
 * foreign or distributed tables stream as their own executor lets them.
 *
 *	executor --slot--> receive_row: NULLs, rating, weight, time; keys are kept as
 *							  integers, or as copies of their bytes; those of other
 *							  types become rows here, because a slot's datum lives
 *							  for one call only
 *			 --256 rows--> flush_batch: keys to rows, all probes prefetched
 *			 --batch--> sink
 *
 * Tags may be NULL, so they are kept apart: the t-th tag of a batch belongs to the
 * row that says so.
 *
 * Interrupts: the executor checks for each row.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "tcop/dest.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "data/dataset_internal.h"

/* Staged keys are looked up when they take that much, if not before. */
#define MAX_STAGED_BYTES (64 * 1024)

typedef enum KeyPath
{
	KEY_INTEGER,				/* kept until the batch is full */
	KEY_STAGED,					/* copied, and kept until the batch is full */
	KEY_AT_ONCE					/* looked up row by row */
} KeyPath;

/* One key column of the query. */
typedef struct KeyColumn
{
	const MrKeyTarget *target;
	Oid			base_type;		/* as the query gives it */
	KeyPath		path;
	int64		integers[MR_IDMAP_BATCH];
	MrByteKeys	staged;
} KeyColumn;

typedef struct RowReceiver
{
	DestReceiver pub;			/* first: the executor knows this only */
	const MrDatasetQuery *query;
	MrRowSink	sink;
	void	   *arg;
	MrBudget   *budget;
	MrDatasetCounts *counts;
	MemoryContext context;		/* of the staged keys */
	KeyColumn	user;
	KeyColumn	item;
	KeyColumn	tag;			/* with a tag column */
	int			n_tags;			/* of the batch, NULLs not counted */
	int32		tags[MR_IDMAP_BATCH];	/* their rows */
	MrRowBatch	batch;
} RowReceiver;

/* A row number for an id that `target->map` lacks. */
static int32
unknown_row(const MrKeyTarget *target, int32 unknown)
{
	int64		row = (int64) mr_idmap_size(target->map) + unknown;

	if (row >= PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many distinct ids")));
	return (int32) row;
}

static int32
row_of_id(const MrKeyTarget *target, Datum id)
{
	int32		row;

	if (target->unknown == NULL)
		return mr_idmap_insert(target->map, id);
	row = mr_idmap_lookup(target->map, id);
	return row >= 0 ? row : unknown_row(target, mr_idmap_insert(target->unknown, id));
}

static void
rows_of_integers(const MrKeyTarget *target, const int64 *keys, int n, int32 *rows)
{
	if (target->unknown == NULL)
	{
		mr_idmap_insert_integers(target->map, keys, n, rows);
		return;
	}
	mr_idmap_lookup_integers(target->map, keys, n, rows);
	for (int i = 0; i < n; i++)
	{
		int32		unknown;

		if (rows[i] >= 0)
			continue;
		mr_idmap_insert_integers(target->unknown, &keys[i], 1, &unknown);
		rows[i] = unknown_row(target, unknown);
	}
}

static void
rows_of_staged(const MrKeyTarget *target, const MrByteKeys *keys, int32 *rows)
{
	if (target->unknown == NULL)
	{
		mr_idmap_insert_staged(target->map, keys, rows);
		return;
	}
	mr_idmap_lookup_staged(target->map, keys, rows);
	for (int i = 0; i < keys->n; i++)
		if (rows[i] < 0)
			rows[i] = unknown_row(target, mr_idmap_insert_one_staged(target->unknown, keys, i));
}

static inline int64
integer_key(Oid base_type, Datum value)
{
	switch (base_type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
		case DATEOID:
			return DatumGetInt32(value);
		default:
			return DatumGetInt64(value);
	}
}

/*
 * A float as an integer in the same order: IEEE numbers of one sign are ordered
 * as their bits are, negative ones the other way round.  NaN counts as unknown.
 */
static int64
float_order_key(double value)
{
	int64		bits;

	if (isnan(value))
		return PG_INT64_MIN;
	if (value == 0)
		return 0;				/* -0 is 0 */
	memcpy(&bits, &value, sizeof(bits));
	return bits >= 0 ? bits : -(bits & PG_INT64_MAX);
}

/* The time as a number whose order is that of the times; unknown is earliest. */
static int64
time_order_key(Oid base_type, Datum value, bool is_null)
{
	if (is_null)
		return PG_INT64_MIN;
	switch (base_type)
	{
		case FLOAT4OID:
			return float_order_key(DatumGetFloat4(value));
		case FLOAT8OID:
			return float_order_key(DatumGetFloat8(value));
		default:
			return integer_key(base_type, value);
	}
}

static void
flush_column(KeyColumn *column, int n, int32 *rows)
{
	switch (column->path)
	{
		case KEY_INTEGER:
			rows_of_integers(column->target, column->integers, n, rows);
			break;
		case KEY_STAGED:
			Assert(column->staged.n == n);
			rows_of_staged(column->target, &column->staged, rows);
			column->staged.n = 0;
			break;
		case KEY_AT_ONCE:
			break;
	}
}

static void
flush_batch(RowReceiver *receiver)
{
	MrRowBatch *batch = &receiver->batch;

	if (batch->n == 0)
		return;
	receiver->budget->rows = receiver->counts->rows;
	flush_column(&receiver->user, batch->n, batch->user);
	flush_column(&receiver->item, batch->n, batch->item);
	if (receiver->query->tag_at >= 0)
	{
		flush_column(&receiver->tag, receiver->n_tags, receiver->tags);
		for (int i = 0; i < batch->n; i++)
			if (batch->tag[i] >= 0)
				batch->tag[i] = receiver->tags[batch->tag[i]];
		receiver->n_tags = 0;
	}
	receiver->sink(receiver->arg, batch);
	batch->n = 0;
}

/* Takes the key of place i; its row, if it is known at once, goes to rows[i]. */
static inline void
take_key(KeyColumn *column, Datum value, int i, int32 *rows)
{
	switch (column->path)
	{
		case KEY_INTEGER:
			column->integers[i] = integer_key(column->base_type, value);
			break;
		case KEY_STAGED:
			mr_idmap_stage(column->target->map, &column->staged, value);
			break;
		case KEY_AT_ONCE:
			rows[i] = row_of_id(column->target, value);
			break;
	}
}

/*
 * Rating, weight and time of a row into place i of the batch; false if the row
 * is to be skipped.  A weight must survive the way into a float.
 */
static inline bool
take_values(RowReceiver *receiver, const TupleTableSlot *slot, int i)
{
	const MrDatasetQuery *query = receiver->query;
	MrRowBatch *batch = &receiver->batch;

	batch->positive[i] = true;
	batch->weight[i] = 1;
	batch->time[i] = 0;
	if (query->rating_at >= 0)
	{
		double		rating = DatumGetFloat8(slot->tts_values[query->rating_at]);

		if (slot->tts_isnull[query->rating_at] || !isfinite(rating))
			return false;
		batch->positive[i] = !(query->has_min_rating && rating < query->min_rating);
	}
	if (query->weight_at >= 0)
	{
		float		weight = (float) DatumGetFloat8(slot->tts_values[query->weight_at]);

		if (slot->tts_isnull[query->weight_at] || !isfinite(weight) || !(weight > 0))
			return false;
		batch->weight[i] = weight;
	}
	if (query->time_at >= 0)
		batch->time[i] = time_order_key(query->time_base_type, slot->tts_values[query->time_at],
										slot->tts_isnull[query->time_at]);
	return true;
}

/* The tag of place i, if it has one: for now its number among those of the batch. */
static inline void
take_tag(RowReceiver *receiver, const TupleTableSlot *slot, int i)
{
	int			at = receiver->query->tag_at;

	receiver->batch.tag[i] = -1;
	if (at < 0)
		return;
	if (slot->tts_isnull[at])
	{
		receiver->counts->null_tags += receiver->batch.positive[i];
		return;
	}
	take_key(&receiver->tag, slot->tts_values[at], receiver->n_tags, receiver->tags);
	receiver->batch.tag[i] = receiver->n_tags++;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MrRowBatch *batch = &receiver->batch;
	MemoryContext old;
	int			i = batch->n;

	slot_getallattrs(slot);
	receiver->counts->rows++;
	if (slot->tts_isnull[0] || slot->tts_isnull[1])
	{
		receiver->counts->null_keys++;
		return true;
	}
	if (!take_values(receiver, slot, i))
	{
		receiver->counts->bad_values++;
		if (!receiver->query->keep_bad_values)
			return true;
		batch->positive[i] = false;
	}
	if (!batch->positive[i])
		receiver->counts->below_min++;
	old = MemoryContextSwitchTo(receiver->context);
	take_key(&receiver->user, slot->tts_values[0], i, batch->user);
	take_key(&receiver->item, slot->tts_values[1], i, batch->item);
	take_tag(receiver, slot, i);
	batch->n++;
	if (batch->n == MR_IDMAP_BATCH ||
		mr_byte_keys_size(&receiver->user.staged) + mr_byte_keys_size(&receiver->item.staged) +
		mr_byte_keys_size(&receiver->tag.staged) > MAX_STAGED_BYTES)
		flush_batch(receiver);
	MemoryContextSwitchTo(old);
	return true;
}

/* The planner's word must match ours: datums are taken apart by type. */
static void
receiver_startup(DestReceiver *self, int operation, TupleDesc descriptor)
{
	const MrDatasetQuery *query = ((RowReceiver *) self)->query;

	if (descriptor->natts != query->n_columns ||
		getBaseType(TupleDescAttr(descriptor, 0)->atttypid) != query->user_base_type ||
		getBaseType(TupleDescAttr(descriptor, 1)->atttypid) != query->item_base_type ||
		(query->tag_at >= 0 && getBaseType(TupleDescAttr(descriptor, query->tag_at)->atttypid) != query->tag_base_type))
		elog(ERROR, "query of the interactions gives unexpected columns");
}

static void
receiver_nothing(DestReceiver *self)
{
}

static void
init_column(KeyColumn *column, const MrKeyTarget *target, Oid base_type)
{
	column->target = target;
	column->base_type = base_type;
	column->path = mr_idmap_is_integer(target->map) ? KEY_INTEGER :
		mr_idmap_is_bytes(target->map) ? KEY_STAGED : KEY_AT_ONCE;
}

static void
run_query(RowReceiver *receiver)
{
	SPIExecuteOptions options;
	bool		own_snapshot = !ActiveSnapshotSet();
	int			result;

	if (own_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	memset(&options, 0, sizeof(options));
	options.read_only = true;
	options.must_return_tuples = true;
	options.dest = &receiver->pub;
	result = SPI_execute_extended(receiver->query->text, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_extended failed: %s", SPI_result_code_string(result));
	flush_batch(receiver);
	SPI_finish();
	if (own_snapshot)
		PopActiveSnapshot();
}

/*
 * Runs the query and gives its rows to the sink, batch by batch.  counts: rows,
 * null_keys, bad_values, below_min and null_tags are added to.  tags may be NULL if
 * the query has no tags.
 */
void
mr_dataset_read(const MrDatasetQuery *query, const MrKeyTarget *users, const MrKeyTarget *items,
				const MrKeyTarget *tags, MrBudget *budget, MrRowSink sink, void *arg, MrDatasetCounts *counts)
{
	RowReceiver *receiver = palloc0(sizeof(RowReceiver));

	receiver->pub.receiveSlot = receive_row;
	receiver->pub.rStartup = receiver_startup;
	receiver->pub.rShutdown = receiver_nothing;
	receiver->pub.rDestroy = receiver_nothing;
	receiver->pub.mydest = DestTuplestore;	/* anything but DestSPI */
	receiver->query = query;
	init_column(&receiver->user, users, query->user_base_type);
	init_column(&receiver->item, items, query->item_base_type);
	if (query->tag_at >= 0)
		init_column(&receiver->tag, tags, query->tag_base_type);
	receiver->context = CurrentMemoryContext;
	receiver->sink = sink;
	receiver->arg = arg;
	receiver->budget = budget;
	receiver->counts = counts;
	run_query(receiver);
	pfree(receiver);
}
