/*
 * batch_crew.c
 *		A block of users with background workers.
 *
 * The segment holds all that a block needs, so that the workers touch nothing else:
 *
 *	| CrewBlock | items | half norms | largest | users | left out | candidates | lists | counts |
 *
 * Members take chunks of users one after the other; who is faster does more.  The
 * workers' work, and their lives, end before a row of the block is given on: whoever
 * leaves a cursor open, or never reads it to its end, leaves no worker running.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "port/atomics.h"
#include "utils/memutils.h"

#include "math/gemm.h"
#include "parallel/workers.h"
#include "recommend/batch.h"
#include "util/compat.h"

extern PGDLLEXPORT void mr_batch_worker(MrCrew *crew);

/* Multiplications of a block that are worth the start of workers: a tenth of a second or two. */
#define WORTH_WORKERS 8e9

/* A sparse matrix of the block's users; offsets in the job. */
typedef struct CrewPairs
{
	bool		is_there;
	Size		start;			/* int64[n_users + 1] */
	Size		items;			/* int32[...] */
} CrewPairs;

/* The head of the job.  All but `next` is fixed before the workers come. */
typedef struct CrewBlock
{
	int32		dimensions;
	int32		n_items;
	int32		k;
	int32		n_users;
	int32		chunk;			/* users that a member takes at once */
	Size		points;			/* offsets of the arrays */
	Size		half_norms;
	Size		largest;
	Size		users;
	Size		lists;
	Size		counts;
	CrewPairs	left_out;
	CrewPairs	candidates;
	pg_atomic_uint32 next;		/* chunk that nobody has taken yet */
} CrewBlock;

/* ---- what every member does ---- */

static const MrInteractions *
pairs_of_job(const MrCrew *crew, const CrewPairs *pairs, MrInteractions *x)
{
	const CrewBlock *job = (const CrewBlock *) crew->job;

	if (!pairs->is_there)
		return NULL;
	memset(x, 0, sizeof(*x));
	x->n_users = job->n_users;
	x->n_items = job->n_items;
	x->user_start = (int64 *) (crew->job + pairs->start);
	x->items = (int32 *) (crew->job + pairs->items);
	x->n_pairs = x->user_start[x->n_users];
	return x;
}

static void
work(MrCrew *crew)
{
	CrewBlock  *job = (CrewBlock *) crew->job;
	MrInteractions left_out;
	MrInteractions candidates;
	MrNearestInput in = {job->dimensions, job->n_items};
	Size		bytes;
	void	   *scratch;
	MrStatus	status = MR_OK;

	in.items = (float *) (crew->job + job->points);
	in.users = (float *) (crew->job + job->users);
	in.half_norms = (float *) (crew->job + job->half_norms);
	in.largest = (float *) (crew->job + job->largest);
	in.left_out = pairs_of_job(crew, &job->left_out, &left_out);
	in.candidates = pairs_of_job(crew, &job->candidates, &candidates);
	in.k = job->k;
	bytes = mr_nearest_bytes(&in, job->chunk);
	scratch = MemoryContextAllocHuge(CurrentMemoryContext, bytes);
	while (status == MR_OK)
	{
		Size		first = (Size) pg_atomic_fetch_add_u32(&job->next, 1) * job->chunk;

		if (first >= job->n_users)
			break;
		status = mr_nearest(&in, (int32) first, Min(job->n_users - (int32) first, job->chunk), scratch, bytes,
							mr_crew_poll, crew,
							(MrTopItem *) (crew->job + job->lists) + first * mr_nearest_length(&in),
							(int32 *) (crew->job + job->counts) + first);
	}
	if (status == MR_OUT_OF_MEMORY)
		elog(ERROR, "a block needs more memory than was computed");
	pfree(scratch);
	(void) mr_crew_barrier(crew);
}

/* What a worker runs. */
void
mr_batch_worker(MrCrew *crew)
{
	(void) mr_gemm_load();
	work(crew);
}

/* ---- the leader ---- */

/* A place of n * size bytes at the end of the job. */
static Size
place(Size *end, Size n, Size size)
{
	Size		at = *end;

	*end = TYPEALIGN(64, add_size(at, mul_size(n, size)));
	return at;
}

static void
place_pairs(Size *end, const MrInteractions *x, CrewPairs *pairs)
{
	pairs->is_there = x != NULL;
	if (x == NULL)
		return;
	pairs->start = place(end, (Size) x->n_users + 1, sizeof(int64));
	pairs->items = place(end, x->n_pairs, sizeof(int32));
}

/* Where everything lies; returns the bytes of the job. */
static Size
lay_out(const MrBatch *batch, int members, CrewBlock *job)
{
	const MrNearestInput *in = &batch->in;
	int32		n = batch->block.n;
	Size		end = TYPEALIGN(64, sizeof(CrewBlock));

	memset(job, 0, sizeof(*job));
	job->dimensions = in->dimensions;
	job->n_items = in->n_items;
	job->k = in->k;
	job->n_users = n;
	job->chunk = Min(MR_NEAREST_BLOCK, Max(n / (4 * members), 16));
	job->points = place(&end, mul_size(in->n_items, in->dimensions), sizeof(float));
	job->half_norms = place(&end, in->n_items, sizeof(float));
	job->largest = place(&end, mr_nearest_tiles(in->n_items), sizeof(float));
	job->users = place(&end, mul_size(n, in->dimensions), sizeof(float));
	place_pairs(&end, in->left_out, &job->left_out);
	place_pairs(&end, in->candidates, &job->candidates);
	job->lists = place(&end, mul_size(n, mr_nearest_length(in)), sizeof(MrTopItem));
	job->counts = place(&end, n, sizeof(int32));
	return end;
}

static void
copy_pairs(char *job, const MrInteractions *x, const CrewPairs *pairs)
{
	if (x == NULL)
		return;
	memcpy(job + pairs->start, x->user_start, sizeof(int64) * (x->n_users + 1));
	memcpy(job + pairs->items, x->items, sizeof(int32) * x->n_pairs);
}

static void
fill_job(const MrBatch *batch, const CrewBlock *head, char *job)
{
	const MrNearestInput *in = &batch->in;

	memcpy(job, head, sizeof(*head));
	pg_atomic_init_u32(&((CrewBlock *) job)->next, 0);
	memcpy(job + head->points, in->items, sizeof(float) * in->dimensions * in->n_items);
	memcpy(job + head->half_norms, in->half_norms, sizeof(float) * in->n_items);
	memcpy(job + head->largest, in->largest, sizeof(float) * mr_nearest_tiles(in->n_items));
	memcpy(job + head->users, in->users, sizeof(float) * in->dimensions * head->n_users);
	copy_pairs(job, in->left_out, &head->left_out);
	copy_pairs(job, in->candidates, &head->candidates);
}

static void
report(MrBatch *batch, const MrCrewShortage *shortage, int wanted, int got)
{
	if (!batch->reported)
		mr_crew_report(shortage, "the answer", wanted, got);
	batch->reported |= shortage->reason != NULL;
}

/* Is the block large enough?  For tests any is, with debug_parallel_query. */
static bool
pays(const MrBatch *batch)
{
	const MrNearestInput *in = &batch->in;

	return MR_DEBUG_PARALLEL || (double) batch->block.n * in->n_items * in->dimensions >= WORTH_WORKERS;
}

/*
 * Computes the block with workers; false: not done, because there are none, they are
 * not worth their start, or memory is short.
 *
 * Not the first block: nobody knows yet whether a second one is asked for.
 */
bool
mr_batch_run_crew(MrBatch *batch)
{
	const MrNearestInput *in = &batch->in;
	MrBatchBlock *block = &batch->block;
	int			workers = mr_crew_default_workers();
	MrCrewShortage shortage;
	CrewBlock	head;
	MrCrew	   *crew;
	Size		bytes;
	int			came;

	if (workers == 0 || batch->no_crew || batch->blocks == 0 || !pays(batch))
		return false;
	bytes = lay_out(batch, workers + 1, &head);
	if (batch->budget.used >= batch->budget.limit || bytes > batch->budget.limit - batch->budget.used)
		return false;
	crew = mr_crew_create(batch->context, bytes, &shortage);
	if (crew == NULL)
	{
		report(batch, &shortage, workers, 0);
		batch->no_crew = true;
		return false;
	}
	fill_job(batch, &head, crew->job);
	came = mr_crew_launch(crew, "mr_batch_worker", "metricrec recommendations", workers, &shortage);
	report(batch, &shortage, workers, came);
	batch->no_crew = came == 0;
	work(crew);
	mr_crew_check(crew);
	memcpy(block->lists, crew->job + head.lists, sizeof(MrTopItem) * mr_nearest_length(in) * block->n);
	memcpy(block->counts, crew->job + head.counts, sizeof(int32) * block->n);
	mr_crew_end(crew);
	return true;
}
