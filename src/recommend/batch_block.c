/*
 * batch_block.c
 *		The answers of a batch, a block of users at a time.
 *
 * A block is as large as work_mem allows for its lists, and one user at least.  The
 * first one is small: who wants only a few rows does not wait for many.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "recommend/batch.h"

/* The core's poll callback: true = stop. */
bool
mr_batch_poll(void *arg)
{
	return INTERRUPTS_PENDING_CONDITION();
}

/* ---- size ---- */

/* Bytes of a block beside what its users have seen. */
static Size
block_bytes(const MrBatch *batch, Size n)
{
	const MrNearestInput *in = &batch->in;
	Size		user = sizeof(MrTopItem) * mr_nearest_length(in) + sizeof(float) * in->dimensions + 64;

	return n * user + mr_nearest_bytes(in, (int32) Min(n, MR_NEAREST_BLOCK));
}

/* How many users the next block has. */
static int32
choose_size(const MrBatch *batch)
{
	int32		left = batch->n_order - (batch->block.first + batch->block.n);
	int32		n = MR_NEAREST_BLOCK;

	while (n > 1 && block_bytes(batch, n) > (Size) work_mem * 1024)
		n /= 2;
	while (batch->blocks > 0 && n >= MR_NEAREST_BLOCK && n < left &&
		   block_bytes(batch, 2 * (Size) n) <= (Size) work_mem * 1024)
		n *= 2;
	return Min(n, left);
}

static void
make_room(MrBatch *batch, int32 n)
{
	MrBatchBlock *block = &batch->block;
	const MrNearestInput *in = &batch->in;
	MemoryContext context = batch->context;
	Size		bytes = mr_nearest_bytes(in, Min(n, MR_NEAREST_BLOCK));

	if (bytes > batch->scratch_bytes)
	{
		if (batch->scratch)
			pfree(batch->scratch);
		batch->scratch = NULL;
		batch->scratch = MemoryContextAllocHuge(context, bytes);
		batch->scratch_bytes = bytes;
	}
	if (n <= block->capacity)
		return;
	if (block->capacity > 0)
	{
		pfree(block->points);
		pfree(block->lists);
		pfree(block->counts);
		pfree(block->left_out.user_start);
		pfree(block->candidates.user_start);
	}
	block->capacity = n;
	block->points = MemoryContextAllocHuge(context, sizeof(float) * in->dimensions * n);
	block->lists = MemoryContextAllocHuge(context, Max(sizeof(MrTopItem) * mr_nearest_length(in) * n, 1));
	block->counts = MemoryContextAllocHuge(context, sizeof(int32) * n);
	block->left_out.user_start = MemoryContextAllocHuge(context, sizeof(int64) * (n + 1));
	block->candidates.user_start = MemoryContextAllocHuge(context, sizeof(int64) * (n + 1));
}

/* ---- contents ---- */

static int64
pairs_of(const MrInteractions *x, int32 row)
{
	return x->user_start[row + 1] - x->user_start[row];
}

/* Appends a row number of the map as one of item_points, if it is there. */
static inline void
append_item(const MrBatch *batch, MrInteractions *to, int32 row)
{
	int32		place = batch->place ? batch->place[row] : row;

	if (place >= 0)
		to->items[to->n_pairs++] = place;
}

/*
 * Writes the rows of the block's users of one or two matrices into one; the items of
 * a user ascend in all of them.
 */
static void
gather_pairs(const MrBatch *batch, const MrInteractions *a, const MrInteractions *b, MrInteractions *to)
{
	const MrBatchBlock *block = &batch->block;
	const int32 *order = batch->order + block->first;
	int64		most = 0;

	for (int32 i = 0; i < block->n; i++)
		most += pairs_of(a, order[i]) + (b ? pairs_of(b, order[i]) : 0);
	if (to->items)
		pfree(to->items);
	to->items = MemoryContextAllocHuge(batch->context, Max(sizeof(int32) * most, 1));
	to->n_users = block->n;
	to->n_items = batch->n_candidates;
	to->n_pairs = 0;
	for (int32 i = 0; i < block->n; i++)
	{
		int64		p = a->user_start[order[i]];
		int64		p_end = a->user_start[order[i] + 1];
		int64		q = b ? b->user_start[order[i]] : 0;
		int64		q_end = b ? b->user_start[order[i] + 1] : 0;

		to->user_start[i] = to->n_pairs;
		while (p < p_end || q < q_end)
		{
			int32		x = p < p_end ? a->items[p] : PG_INT32_MAX;
			int32		y = q < q_end ? b->items[q] : PG_INT32_MAX;

			append_item(batch, to, Min(x, y));
			p += x <= y;
			q += y <= x;
		}
	}
	to->user_start[block->n] = to->n_pairs;
}

/* Points and items of the block's users. */
static void
fill_block(MrBatch *batch)
{
	MrBatchBlock *block = &batch->block;
	Size		d = batch->in.dimensions;

	for (int32 i = 0; i < block->n; i++)
		memcpy(block->points + d * i, batch->user_points + d * batch->order[block->first + i], sizeof(float) * d);
	batch->in.users = block->points;
	batch->in.left_out = batch->in.candidates = NULL;
	if (batch->query->exclude_seen)
	{
		gather_pairs(batch, &batch->histories->positives, &batch->histories->others, &block->left_out);
		batch->in.left_out = &block->left_out;
	}
	if (batch->pairs)
	{
		gather_pairs(batch, batch->pairs, NULL, &block->candidates);
		batch->in.candidates = &block->candidates;
	}
}

/* In this process. */
static void
run_alone(MrBatch *batch)
{
	MrBatchBlock *block = &batch->block;
	Size		length = mr_nearest_length(&batch->in);
	MrStatus	status;

	for (int32 first = 0; first < block->n; first += MR_NEAREST_BLOCK)
	{
		do
		{
			CHECK_FOR_INTERRUPTS();
			status = mr_nearest(&batch->in, first, Min(block->n - first, MR_NEAREST_BLOCK),
								batch->scratch, batch->scratch_bytes, mr_batch_poll, NULL,
								block->lists + length * first, block->counts + first);
			if (status != MR_OK && status != MR_STOPPED)
				elog(ERROR, "a block needs more memory than was computed");
		} while (status == MR_STOPPED);
	}
}

/*
 * The next block of users; false: there is none.  Afterwards block->lists has the
 * lists of its users.
 */
bool
mr_batch_next(MrBatch *batch)
{
	MrBatchBlock *block = &batch->block;
	int32		n = choose_size(batch);

	if (n <= 0)
		return false;
	make_room(batch, n);
	block->first += block->n;
	block->n = n;
	fill_block(batch);
	if (!mr_batch_run_crew(batch))
		run_alone(batch);
	batch->blocks++;
	return true;
}
