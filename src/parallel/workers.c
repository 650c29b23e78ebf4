/*
 * workers.c
 *		The leader of a crew: creating, launching, ending (see workers.h).
 */
#include "postgres.h"

#include <sched.h>
#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "parallel/workers_inside.h"
#include "util/pgutil.h"

/* A worker that has not come after this long is left out. */
#define START_TIMEOUT_MS 10000

/*
 * A worker loads the library anew, and it may have been replaced since the session
 * loaded its own: then the two do not agree on what lies where in a segment.
 */
const char	mr_crew_version[32] = "metricrec " MR_VERSION;

/* ---- create ---- */

/*
 * As many workers as the server's own maintenance would use, and no more than there
 * are other processors: members wait for each other, so that one too many slows all
 * of them down.
 */
int
mr_crew_default_workers(void)
{
	int			processors = (int) sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
	cpu_set_t	set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		processors = CPU_COUNT(&set);
#endif
	return Max(0, Min(Min(max_parallel_maintenance_workers, processors - 1), MR_CREW_MOST - 1));
}

typedef struct SegmentRequest
{
	Size		bytes;
	dsm_segment *segment;
} SegmentRequest;

/* May fail: for mr_try(). */
static void
create_segment(void *arg)
{
	SegmentRequest *request = arg;

	request->segment = dsm_create(request->bytes, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (request->segment)
		dsm_pin_mapping(request->segment);	/* transactions may end meanwhile */
}

static void end_crew(void *arg);

/* The memory of an aborted transaction may live until the user's ROLLBACK; its crews must not. */
static CrewInside *live_crews = NULL;

static void
end_crews(bool all, SubTransactionId of)
{
	for (CrewInside *inside = live_crews, *next; inside; inside = next)
	{
		next = inside->next;
		if (all || inside->subtransaction == of)
			end_crew(inside);
	}
}

static void
on_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		end_crews(true, InvalidSubTransactionId);
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		end_crews(false, mine);
	for (CrewInside *inside = live_crews; inside && event == SUBXACT_EVENT_COMMIT_SUB; inside = inside->next)
		if (inside->subtransaction == mine)
			inside->subtransaction = parent;
}

static void
watch_transactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
	watching = true;
}

/* The crew without a segment, in a context whose end is the crew's. */
static CrewInside *
make_inside(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "metricrec crew", ALLOCSET_SMALL_SIZES);
	CrewInside *inside = MemoryContextAllocZero(context, sizeof(CrewInside));
	MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof(MemoryContextCallback));

	inside->context = context;
	inside->crew.size = 1;
	inside->crew.inside = inside;
	callback->func = end_crew;
	callback->arg = inside;
	MemoryContextRegisterResetCallback(context, callback);
	watch_transactions();
	inside->subtransaction = GetCurrentSubTransactionId();
	inside->next = live_crews;
	live_crews = inside;
	return inside;
}

/* On the leader's leaving it. */
static void
leader_leaves(dsm_segment *segment, Datum arg)
{
	CrewShared *shared = dsm_segment_address(segment);

	pg_atomic_write_u32(&shared->places[0].state, MR_PLACE_LEFT);
	mr_crew_set_stop(shared, MR_CREW_ENDS);
	mr_crew_wake(shared, false);
}

/* Takes the segment over: a crew of the leader alone. */
static void
begin_segment(CrewInside *inside, dsm_segment *segment, Size job_bytes)
{
	CrewShared *shared = dsm_segment_address(segment);

	inside->segment = segment;
	inside->shared = shared;
	inside->crew.job = (char *) shared + mr_crew_job_offset();
	inside->crew.job_bytes = job_bytes;
	memset(shared, 0, mr_crew_job_offset());
	memcpy(shared->version, mr_crew_version, sizeof(shared->version));
	pg_atomic_init_u32(&shared->stop, MR_CREW_RUNS);
	pg_atomic_init_u32(&shared->go, 0);
	pg_atomic_init_u32(&shared->arrived, 0);
	pg_atomic_init_u32(&shared->phase, 0);
	SpinLockInit(&shared->mutex);
	for (int i = 0; i < MR_CREW_MOST; i++)
	{
		pg_atomic_init_u32(&shared->places[i].state, MR_PLACE_EMPTY);
		pg_atomic_init_u32(&shared->places[i].sleeps, 0);
	}
	shared->size = 1;
	shared->leader_pid = MyProcPid;
	shared->job_bytes = job_bytes;
	shared->places[0].latch = MyLatch;
	pg_atomic_write_u32(&shared->places[0].state, MR_PLACE_MEMBER);
	on_dsm_detach(segment, leader_leaves, (Datum) 0);
}

/*
 * A segment with `bytes` bytes for the job, not initialised, and a crew of the
 * leader alone, which lives as long as `parent` at most.  NULL, with the reason, if
 * the server has no shared memory for it.
 */
MrCrew *
mr_crew_create(MemoryContext parent, Size bytes, MrCrewShortage *shortage)
{
	CrewInside *inside = make_inside(parent);
	SegmentRequest request = {add_size(mr_crew_job_offset(), bytes), NULL};
	ErrorData  *error = mr_try(create_segment, &request);

	memset(shortage, 0, sizeof(*shortage));
	if (request.segment)
	{
		begin_segment(inside, request.segment, bytes);
		return &inside->crew;
	}
	MemoryContextDelete(inside->context);
	if (error && (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION ||
				  ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK))
		ReThrowError(error);
	shortage->reason = psprintf("could not get %zu kB of shared memory", request.bytes / 1024 + 1);
	shortage->detail = error ? error->message : pstrdup("The server has as many segments as it can manage.");
	shortage->hint = "Enlarge /dev/shm (Docker: --shm-size), or set min_dynamic_shared_memory, or num_workers => 0.";
	return NULL;
}

/* ---- launch ---- */

/* Asks the postmaster for the worker of a place; false if it has no slot left. */
static bool
register_worker(CrewInside *inside, int place, const char *entry, const char *type)
{
	BackgroundWorker worker = {0};
	CrewOrder	order = {0};
	MemoryContext before = MemoryContextSwitchTo(inside->context);
	bool		done;

	StaticAssertStmt(sizeof(CrewOrder) <= BGW_EXTRALEN, "a worker's order does not fit");
	order.place = place;
	strlcpy(order.entry, entry, sizeof(order.entry));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "metricrec", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "mr_crew_worker", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s %d for PID %d", type, place, MyProcPid);
	strlcpy(worker.bgw_type, type, BGW_MAXLEN);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(inside->segment));
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &order, sizeof(order));
	done = RegisterDynamicBackgroundWorker(&worker, &inside->handles[place]);
	MemoryContextSwitchTo(before);
	return done;
}

/* Is the worker of this place neither here nor gone? */
static bool
is_on_its_way(CrewInside *inside, int place)
{
	pid_t		pid;

	return pg_atomic_read_u32(&inside->shared->places[place].state) == MR_PLACE_EMPTY &&
		GetBackgroundWorkerPid(inside->handles[place], &pid) != BGWH_STOPPED;
}

/* Waits until every worker has come, or has failed to, or is too late. */
static void
wait_for_workers(CrewInside *inside)
{
	TimestampTz latest = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), START_TIMEOUT_MS);

	for (;;)
	{
		bool		waiting = false;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		for (int place = 1; place <= inside->workers; place++)
			waiting |= is_on_its_way(inside, place);
		if (!waiting || GetCurrentTimestamp() >= latest)
			return;
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100, PG_WAIT_EXTENSION);
	}
}

/* Who has come gets a rank; then the job begins. */
static int
assign_ranks(CrewInside *inside)
{
	CrewShared *shared = inside->shared;
	int			rank = 0;

	for (int place = 1; place <= inside->workers; place++)
	{
		uint32		state = MR_PLACE_HERE;

		if (pg_atomic_compare_exchange_u32(&shared->places[place].state, &state, MR_PLACE_MEMBER))
			shared->places[place].rank = ++rank;
		else
			TerminateBackgroundWorker(inside->handles[place]);
	}
	shared->size = inside->crew.size = rank + 1;
	pg_memory_barrier();
	pg_atomic_write_u32(&shared->go, 1);
	mr_crew_wake(shared, false);
	return rank;
}

/*
 * Starts workers, waits until they are here, and lets them run `entry`, an exported
 * MrCrewEntry.  type: their name in pg_stat_activity.  What the job's memory holds
 * must be complete.  Returns how many came; if fewer than asked for, why.
 */
int
mr_crew_launch(MrCrew *crew, const char *entry, const char *type, int workers, MrCrewShortage *shortage)
{
	CrewInside *inside = crew->inside;
	int			came;

	memset(shortage, 0, sizeof(*shortage));
	workers = Min(workers, MR_CREW_MOST - 1);
	while (inside->workers < workers && register_worker(inside, inside->workers + 1, entry, type))
		inside->workers++;
	if (inside->workers < workers)
	{
		shortage->reason = "no more background workers could be started";
		shortage->hint = "Raise max_worker_processes, or lower num_workers.";
	}
	wait_for_workers(inside);
	came = assign_ranks(inside);
	if (came < inside->workers)
	{
		shortage->reason = "background workers did not start";
		shortage->hint = "Look into the server's log.";
	}
	return came;
}

/* Tells the user that `what` ("the training") goes on with fewer workers, and why. */
void
mr_crew_report(const MrCrewShortage *shortage, const char *what, int wanted, int got)
{
	if (shortage->reason == NULL)
		return;
	ereport(NOTICE,
			(got == 0 ? errmsg("%s runs without workers: %s", what, shortage->reason)
			 : errmsg("%s runs with %d instead of %d workers: %s", what, got, wanted, shortage->reason),
			 shortage->detail ? errdetail_internal("%s", shortage->detail) : 0,
			 shortage->hint ? errhint("%s", shortage->hint) : 0));
}

/* ---- end ---- */

/*
 * Waits until no worker is left.  Whose place is still empty need not come any more; who does not
 * go is terminated.
 *
 * Without a postmaster nobody can say who is left, and the workers see that by themselves.  Nor
 * may this process end here: an abort that calls us would begin once more, in its own midst.
 */
static void
wait_for_end(CrewInside *inside)
{
	TimestampTz patience = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), START_TIMEOUT_MS);
	bool		terminated = false;

	for (int place = 1; place <= inside->workers; place++)
	{
		pid_t		pid;

		if (pg_atomic_read_u32(&inside->shared->places[place].state) == MR_PLACE_EMPTY)
			TerminateBackgroundWorker(inside->handles[place]);
		while (GetBackgroundWorkerPid(inside->handles[place], &pid) != BGWH_STOPPED)
		{
			if (!terminated && GetCurrentTimestamp() >= patience)
			{
				terminated = true;
				for (int i = place; i <= inside->workers; i++)
					TerminateBackgroundWorker(inside->handles[i]);
			}
			if (WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, 100, PG_WAIT_EXTENSION) &
				WL_POSTMASTER_DEATH)
				return;
			ResetLatch(MyLatch);
		}
	}
}

/*
 * The callback of the context and of aborts: no worker and no segment stays.  Workers see the stop
 * flag within some milliseconds; one that the postmaster has not started yet is
 * taken off its list.
 */
static void
end_crew(void *arg)
{
	CrewInside *inside = arg;

	for (CrewInside **link = &live_crews; *link; link = &(*link)->next)
		if (*link == inside)
		{
			*link = inside->next;
			break;
		}
	if (inside->segment == NULL)
		return;
	HOLD_INTERRUPTS();
	mr_crew_set_stop(inside->shared, MR_CREW_ENDS);
	mr_crew_wake(inside->shared, false);
	wait_for_end(inside);
	dsm_detach(inside->segment);
	inside->segment = NULL;
	RESUME_INTERRUPTS();
	/* what set the latch meanwhile may have been meant for somebody else */
	SetLatch(MyLatch);
}

/* The end in good order; frees the crew. */
void
mr_crew_end(MrCrew *crew)
{
	MemoryContextDelete(crew->inside->context);
}
