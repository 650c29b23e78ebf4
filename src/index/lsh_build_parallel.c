/*
 * lsh_build_parallel.c
 *		Assigning rows by several processes.
 *
 * Life cycle: the leader puts the directory, a parallel table scan and a shared
 * sort into a segment of shared memory and launches workers.  Each participant,
 * the leader too, takes blocks of the table from the scan, assigns their rows and
 * sorts them; when all are done the leader merges the sorted runs, and ends the
 * workers after it has read the last row.
 *
 * The result is the same however many take part: a row's leaf depends on nothing
 * but the row, and rows of a leaf are put in TID order afterwards.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "index/lsh_build.h"

enum
{
	KEY_SHARED = 1,
	KEY_SCAN,
	KEY_SORT,
	KEY_DIRECTORY,
	KEY_QUERY,
	KEY_BUFFER_USAGE,
	KEY_WAL_USAGE
};

typedef struct Shared
{
	/* fixed before the launch */
	Oid			heap;
	Oid			index;
	bool		concurrent;
	int			memory;			/* of one participant's sort, kB */
	MrHash		hash;			/* without directions */
	MrDirectory directory;		/* counts; each process sets its pointers */

	/* what participants report when they are done */
	slock_t		mutex;
	ConditionVariable done_signal;
	int			done;
	double		heap_tuples;
	double		index_tuples;
	bool		broken_hot_chain;
} Shared;

typedef struct Leader
{
	ParallelContext *context;
	Snapshot	snapshot;
	Shared	   *shared;
	Sharedsort *sort;
	int			participants;
	BufferUsage *buffer_usage;	/* [workers] */
	WalUsage   *wal_usage;		/* [workers] */
} Leader;

extern PGDLLEXPORT void mr_lsh_build_worker(dsm_segment *segment, shm_toc *toc);

/* ---- a participant ---- */

/* Takes part: rows from the scan, assigned, into a sorted run. */
static void
participate(Relation heap, Relation index, Shared *shared, ParallelTableScanDesc scan_desc, Sharedsort *sort,
			const MrDirectory *directory, const MrHash *hash, bool leader)
{
	SortCoordinate coordinate = palloc0(sizeof(SortCoordinateData));
	IndexInfo  *info = BuildIndexInfo(index);
	TupleDesc	desc = mr_lsh_sort_desc();
	Tuplesortstate *run;
	MrLshAssign *assign;
	double		heap_tuples;
	double		index_tuples;

	coordinate->isWorker = true;
	coordinate->nParticipants = -1;
	coordinate->sharedsort = sort;
	info->ii_Concurrent = shared->concurrent;
	run = mr_lsh_sort_begin(desc, shared->memory, coordinate);
	assign = mr_lsh_assign_begin(directory, hash, run, desc, shared->concurrent, false);
	heap_tuples = table_index_build_scan(heap, index, info, true, leader, mr_lsh_assign_row, assign,
										 table_beginscan_parallel(heap, scan_desc));
	index_tuples = mr_lsh_assign_end(assign);
	tuplesort_performsort(run);

	SpinLockAcquire(&shared->mutex);
	shared->done++;
	shared->heap_tuples += heap_tuples;
	shared->index_tuples += index_tuples;
	shared->broken_hot_chain |= info->ii_BrokenHotChain;
	SpinLockRelease(&shared->mutex);
	ConditionVariableSignal(&shared->done_signal);
	tuplesort_end(run);
}

/* What a worker runs; called by the server. */
void
mr_lsh_build_worker(dsm_segment *segment, shm_toc *toc)
{
	Shared	   *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	Sharedsort *sort = shm_toc_lookup(toc, KEY_SORT, false);
	BufferUsage *buffer_usage = shm_toc_lookup(toc, KEY_BUFFER_USAGE, false);
	WalUsage   *wal_usage = shm_toc_lookup(toc, KEY_WAL_USAGE, false);
	/* the locks that the leader holds */
	LOCKMODE	heap_lock = shared->concurrent ? ShareUpdateExclusiveLock : ShareLock;
	LOCKMODE	index_lock = shared->concurrent ? RowExclusiveLock : AccessExclusiveLock;
	MrDirectory directory = shared->directory;
	MrHash		hash = shared->hash;
	Relation	heap;
	Relation	index;

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	heap = table_open(shared->heap, heap_lock);
	index = index_open(shared->index, index_lock);
	tuplesort_attach_shared(sort, segment);
	mr_directory_attach(&directory, shm_toc_lookup(toc, KEY_DIRECTORY, false), false);
	mr_lsh_hash_complete(&hash);

	InstrStartParallelQuery();
	participate(heap, index, shared, shm_toc_lookup(toc, KEY_SCAN, false), sort, &directory, &hash, false);
	InstrEndParallelQuery(&buffer_usage[ParallelWorkerNumber], &wal_usage[ParallelWorkerNumber]);

	index_close(index, index_lock);
	table_close(heap, heap_lock);
}

/* ---- the leader ---- */

/* Says how much of what will be put into the segment. */
static void
estimate_segment(ParallelContext *context, const MrLshBuild *build, Snapshot snapshot)
{
	shm_toc_estimator *estimator = &context->estimator;

	shm_toc_estimate_chunk(estimator, sizeof(Shared));
	shm_toc_estimate_chunk(estimator, table_parallelscan_estimate(build->heap, snapshot));
	shm_toc_estimate_chunk(estimator, tuplesort_estimate_shared(context->nworkers + 1));
	shm_toc_estimate_chunk(estimator, add_size(mr_directory_size(&build->directory), 64));
	shm_toc_estimate_chunk(estimator, mul_size(sizeof(BufferUsage), context->nworkers));
	shm_toc_estimate_chunk(estimator, mul_size(sizeof(WalUsage), context->nworkers));
	shm_toc_estimate_keys(estimator, 6);
	if (debug_query_string)
	{
		shm_toc_estimate_chunk(estimator, strlen(debug_query_string) + 1);
		shm_toc_estimate_keys(estimator, 1);
	}
}

/* Room in the segment that workers find by a key. */
static void *
share(ParallelContext *context, uint64 key, Size size)
{
	void	   *room = shm_toc_allocate(context->toc, size);

	shm_toc_insert(context->toc, key, room);
	return room;
}

/* The directory; its arrays begin where the segment happens to be aligned well. */
static void
share_directory(ParallelContext *context, const MrLshBuild *build)
{
	Size		size = mr_directory_size(&build->directory);
	char	   *room = shm_toc_allocate(context->toc, size + 64);

	room = (char *) TYPEALIGN(64, room);
	memcpy(room, build->directory.top_first, size);
	shm_toc_insert(context->toc, KEY_DIRECTORY, room);
}

static void
fill_segment(Leader *leader, const MrLshBuild *build)
{
	ParallelContext *context = leader->context;
	int			participants = context->nworkers + 1;
	Shared	   *shared = share(context, KEY_SHARED, sizeof(Shared));

	memset(shared, 0, sizeof(*shared));
	shared->heap = RelationGetRelid(build->heap);
	shared->index = RelationGetRelid(build->index);
	shared->concurrent = build->info->ii_Concurrent;
	shared->memory = maintenance_work_mem / participants;
	shared->hash = build->hash;
	shared->hash.directions = NULL;
	shared->directory = build->directory;
	SpinLockInit(&shared->mutex);
	ConditionVariableInit(&shared->done_signal);
	leader->shared = shared;

	table_parallelscan_initialize(build->heap,
								  share(context, KEY_SCAN, table_parallelscan_estimate(build->heap, leader->snapshot)),
								  leader->snapshot);
	leader->sort = share(context, KEY_SORT, tuplesort_estimate_shared(participants));
	tuplesort_initialize_shared(leader->sort, participants, context->seg);
	share_directory(context, build);
	leader->buffer_usage = share(context, KEY_BUFFER_USAGE, mul_size(sizeof(BufferUsage), context->nworkers));
	leader->wal_usage = share(context, KEY_WAL_USAGE, mul_size(sizeof(WalUsage), context->nworkers));
	if (debug_query_string)
		strcpy(share(context, KEY_QUERY, strlen(debug_query_string) + 1), debug_query_string);
}

static void
end_context(Leader *leader)
{
	if (IsMVCCSnapshot(leader->snapshot))
		UnregisterSnapshot(leader->snapshot);
	DestroyParallelContext(leader->context);
	ExitParallelMode();
}

/* Launches workers; NULL if there is none to be had. */
static Leader *
launch(const MrLshBuild *build, int workers)
{
	Leader	   *leader = palloc0(sizeof(Leader));

	EnterParallelMode();
	leader->context = CreateParallelContext("metricrec", "mr_lsh_build_worker", workers);
	leader->snapshot = build->info->ii_Concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;
	estimate_segment(leader->context, build, leader->snapshot);
	InitializeParallelDSM(leader->context);
	if (leader->context->seg == NULL)
	{
		end_context(leader);
		return NULL;
	}
	fill_segment(leader, build);
	LaunchParallelWorkers(leader->context);
	if (leader->context->nworkers_launched == 0)
	{
		WaitForParallelWorkersToFinish(leader->context);
		end_context(leader);
		return NULL;
	}
	leader->participants = leader->context->nworkers_launched + 1;
	return leader;
}

/* Waits until every participant has its run ready. */
static void
wait_for_runs(Leader *leader, MrLshBuild *build)
{
	Shared	   *shared = leader->shared;
	bool		all = false;

	for (;;)
	{
		SpinLockAcquire(&shared->mutex);
		all = shared->done == leader->participants;
		build->heap_tuples = shared->heap_tuples;
		build->index_tuples = shared->index_tuples;
		build->info->ii_BrokenHotChain |= shared->broken_hot_chain;
		SpinLockRelease(&shared->mutex);
		if (all)
			break;
		ConditionVariableSleep(&shared->done_signal, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	}
	ConditionVariableCancelSleep();
}

/*
 * Assigns the rows together with up to so many workers.  Returns the sort that
 * merges the runs, not yet performed, and what is to be ended after it; NULL if
 * no worker could be had.
 */
Tuplesortstate *
mr_lsh_assign_parallel(MrLshBuild *build, TupleDesc desc, int workers, void **parallel)
{
	Leader	   *leader = launch(build, workers);
	SortCoordinate coordinate;

	if (leader == NULL)
		return NULL;
	participate(build->heap, build->index, leader->shared,
				shm_toc_lookup(leader->context->toc, KEY_SCAN, false), leader->sort, &build->directory,
				&build->hash, true);
	/* an error of a worker that never came up shall not leave us waiting */
	WaitForParallelWorkersToAttach(leader->context);
	wait_for_runs(leader, build);

	coordinate = palloc0(sizeof(SortCoordinateData));
	coordinate->isWorker = false;
	coordinate->nParticipants = leader->participants;
	coordinate->sharedsort = leader->sort;
	*parallel = leader;
	return mr_lsh_sort_begin(desc, maintenance_work_mem, coordinate);
}

/* Ends the workers; the sort has been read and ended. */
void
mr_lsh_parallel_end(void *parallel)
{
	Leader	   *leader = parallel;

	WaitForParallelWorkersToFinish(leader->context);
	for (int i = 0; i < leader->context->nworkers_launched; i++)
		InstrAccumParallelQuery(&leader->buffer_usage[i], &leader->wal_usage[i]);
	end_context(leader);
}
