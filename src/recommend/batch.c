/*
 * batch.c
 *		The answers of many users at once: the order of the reading.  See batch.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "math/gemm.h"
#include "recommend/batch.h"
#include "util/guc.h"

/* An array of `to` elements where there were `from`, counted before it is allocated. */
void *
mr_batch_grow(MrBatch *batch, void *array, int64 from, int64 to, Size size)
{
	if (array == NULL)
		return mr_budget_alloc(&batch->budget, batch->context, mul_size(size, Max(to, 1)));
	return mr_budget_realloc(&batch->budget, array, mul_size(size, Max(from, 1)), mul_size(size, Max(to, 1)));
}

static void
measure_items(MrBatch *batch)
{
	MrNearestInput *in = &batch->in;
	float	   *half_norms;
	float	   *largest;

	in->dimensions = batch->query->version->tower.dimensions;
	in->n_items = batch->n_candidates;
	in->items = batch->item_points;
	in->k = (int32) batch->query->k;
	half_norms = mr_batch_grow(batch, NULL, 0, in->n_items, sizeof(float));
	largest = mr_batch_grow(batch, NULL, 0, mr_nearest_tiles(in->n_items), sizeof(float));
	in->half_norms = half_norms;
	in->largest = largest;
	while (mr_nearest_measure(in, half_norms, largest, mr_batch_poll, NULL) == MR_STOPPED)
		CHECK_FOR_INTERRUPTS();
}

/*
 * Reads what the answers of all users need.  SPI is connected.  What is returned lies
 * in a context of its own under `parent`.
 *
 * users, candidates: relations that restrict the answer, or InvalidOid.
 *
 * Errors: those of recommend(), a user who is not in the model excepted; 53200 beyond
 * metricrec.training_memory.
 */
MrBatch *
mr_batch_open(MemoryContext parent, int64 k, const char *model, bool exclude_seen, Oid users, Oid candidates)
{
	MemoryContext context = AllocSetContextCreate(parent, "metricrec batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	MrBatch    *batch = palloc0(sizeof(MrBatch));

	batch->context = context;
	batch->budget.limit = (Size) mr_training_memory * 1024;
	batch->budget.what = "points of users and items, and what users have seen,";
	batch->budget.hint = "Raise metricrec.training_memory, or ask for fewer users at a time.";
	batch->users_relation = users;
	batch->query = mr_query_open(MR_IDS_TEXT, k, model);
	batch->query->exclude_seen = exclude_seen;
	batch->query->candidates = candidates;
	mr_query_check_readable(batch->query->model->item_view);
	mr_query_check_readable(batch->query->model->user_view);

	/* Without OpenBLAS the answers are the same, only slower. */
	(void) mr_gemm_load();
	mr_batch_read_items(batch);
	mr_batch_read_users(batch);
	mr_batch_make_points(batch);
	mr_batch_keep_candidates(batch);
	measure_items(batch);
	MemoryContextSwitchTo(before);
	return batch;
}

/* The id of the i-th user of the block. */
Datum
mr_batch_user(const MrBatch *batch, int32 i)
{
	return mr_idmap_id(batch->users, batch->order[batch->block.first + i]);
}

/* The id of an item of a list. */
Datum
mr_batch_item(const MrBatch *batch, const MrTopItem *item)
{
	return mr_idmap_id(batch->items, batch->item_row ? batch->item_row[item->row] : (int32) item->row);
}
