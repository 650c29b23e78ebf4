/*
 * recommend_all.c
 *		metricrec.recommend_all: the answers of all users, row by row.
 *
 * What people call is a function in SQL around mr_recommend_all(), and the planner
 * puts its body in the place of the call.  There our function stands in a SELECT
 * list, where the executor asks for one row at a time; in FROM it would take all
 * rows before it gave the first one on.
 *
 * All reading is done by the first call; the later ones compute, block by block, and
 * run no SQL.  Whoever stops asking leaves nothing behind.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "recommend/batch.h"

PG_FUNCTION_INFO_V1(mr_recommend_all);

#define RESULT_COLUMNS 4

/* Where the answer stands. */
typedef struct AnswerState
{
	MrBatch    *batch;
	FmgrInfo	user_output;
	FmgrInfo	item_output;
	int32		user;			/* of the block; block.n: it is done */
	int32		rank;			/* of the user's list, from 0 */
	Datum		user_text;		/* of that user, in user_context */
	MemoryContext user_context;
} AnswerState;

static AnswerState *
open_answer(FunctionCallInfo fcinfo, MemoryContext context)
{
	AnswerState *state = MemoryContextAllocZero(context, sizeof(AnswerState));
	int64		k = mr_query_k(fcinfo, 1);
	MemoryContext before;

	SPI_connect();
	state->batch = mr_batch_open(context, k, PG_ARGISNULL(0) ? NULL : NameStr(*PG_GETARG_NAME(0)),
								 PG_ARGISNULL(2) || PG_GETARG_BOOL(2),
								 PG_ARGISNULL(3) ? InvalidOid : PG_GETARG_OID(3),
								 PG_ARGISNULL(4) ? InvalidOid : PG_GETARG_OID(4));
	SPI_finish();
	before = MemoryContextSwitchTo(context);
	mr_key_output(&state->batch->query->user_key, &state->user_output);
	mr_key_output(&state->batch->query->item_key, &state->item_output);
	state->user_context = AllocSetContextCreate(context, "metricrec user", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(before);
	return state;
}

/* Goes on to the next row; false: there is none. */
static bool
next_row(AnswerState *state)
{
	MrBatchBlock *block = &state->batch->block;

	for (;;)
	{
		if (state->user < block->n && state->rank < block->counts[state->user])
			break;
		state->rank = 0;
		state->user++;
		if (state->user < block->n)
			continue;
		if (!mr_batch_next(state->batch))
			return false;
		state->user = 0;
	}
	if (state->rank == 0)
	{
		MemoryContext before = MemoryContextSwitchTo(state->user_context);

		MemoryContextReset(state->user_context);
		state->user_text = CStringGetTextDatum(OutputFunctionCall(&state->user_output,
																  mr_batch_user(state->batch, state->user)));
		MemoryContextSwitchTo(before);
	}
	return true;
}

/*
 * metricrec.recommend_all_rows(model, k, exclude_seen, users, candidates)
 *		-> rows (user_id text, item_id text, distance, rank)
 */
Datum
mr_recommend_all(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	AnswerState *state;
	const MrTopItem *item;
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS] = {0};
	HeapTuple	tuple;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext before;

		call = SRF_FIRSTCALL_INIT();
		before = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &call->tuple_desc) != TYPEFUNC_COMPOSITE ||
			call->tuple_desc->natts != RESULT_COLUMNS)
			elog(ERROR, "return type must be a row type");
		call->tuple_desc = BlessTupleDesc(call->tuple_desc);
		MemoryContextSwitchTo(before);
		call->user_fctx = open_answer(fcinfo, call->multi_call_memory_ctx);
	}
	call = SRF_PERCALL_SETUP();
	state = call->user_fctx;
	if (!next_row(state))
	{
		MemoryContextDelete(state->batch->context);
		SRF_RETURN_DONE(call);
	}
	item = &state->batch->block.lists[(Size) state->user * mr_nearest_length(&state->batch->in) + state->rank];
	values[0] = state->user_text;
	values[1] = CStringGetTextDatum(OutputFunctionCall(&state->item_output, mr_batch_item(state->batch, item)));
	values[2] = Float8GetDatum(item->distance);
	values[3] = Int32GetDatum(++state->rank);
	tuple = heap_form_tuple(call->tuple_desc, values, nulls);
	SRF_RETURN_NEXT(call, HeapTupleGetDatum(tuple));
}
