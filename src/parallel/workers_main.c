/*
 * workers_main.c
 *		The process of a worker.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procsignal.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "parallel/workers_inside.h"

extern PGDLLEXPORT void mr_crew_worker(Datum main_arg);

/* On a worker's leaving the segment, however it ends. */
static void
worker_leaves(dsm_segment *segment, Datum arg)
{
	CrewShared *shared = dsm_segment_address(segment);
	CrewPlace  *place = &shared->places[DatumGetInt32(arg)];

	if (pg_atomic_exchange_u32(&place->state, MR_PLACE_LEFT) == MR_PLACE_MEMBER)
		mr_crew_fail(shared, ERRCODE_OPERATOR_INTERVENTION, "a metricrec worker has ended before its work was done", NULL);
	SetLatch(shared->places[0].latch);
}

/* Leaves unless the session's library is of this one's version. */
static void
check_version(dsm_segment *segment)
{
	const CrewShared *shared = dsm_segment_address(segment);

	if (memcmp(shared->version, mr_crew_version, sizeof(shared->version)) != 0)
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a worker with the library of \"%s\" cannot work for a session with that of \"%.31s\"",
						mr_crew_version, shared->version),
				 errdetail("The library was replaced after the session had loaded it."),
				 errhint("Sessions that begin from now on have the new one.")));
}

/* Waits until the leader has given ranks out; false if this worker is not needed. */
static bool
wait_for_rank(CrewInside *inside)
{
	CrewShared *shared = inside->shared;
	CrewPlace  *place = &shared->places[inside->place];

	for (;;)
	{
		ResetLatch(MyLatch);
		if (pg_atomic_read_u32(&shared->go))
			break;
		if (pg_atomic_read_u32(&shared->stop) != MR_CREW_RUNS || ShutdownRequestPending)
			return false;
		if (ProcSignalBarrierPending)
			ProcessProcSignalBarrier();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, MR_CREW_LOOK_AROUND_MS, PG_WAIT_EXTENSION);
	}
	pg_memory_barrier();
	if (pg_atomic_read_u32(&place->state) != MR_PLACE_MEMBER)
		return false;			/* came too late */
	inside->crew.rank = place->rank;
	inside->crew.size = shared->size;
	return true;
}

/* Runs the job; an error is the leader's to raise, and goes to the log as it is. */
static void
run_entry(CrewInside *inside, const char *name)
{
	MrCrewEntry entry = (MrCrewEntry) load_external_function("metricrec", name, true, NULL);

	PG_TRY();
	{
		entry(&inside->crew);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(TopMemoryContext);
		EmitErrorReport();
		error = CopyErrorData();
		mr_crew_fail(inside->shared, error->sqlerrcode, error->message, error->detail);
		FlushErrorState();
	}
	PG_END_TRY();
}

/*
 * What the postmaster runs.  The connection is to no database: it is made only
 * because without one the worker would not be in pg_stat_activity, and could not
 * be terminated from SQL.
 */
void
mr_crew_worker(Datum main_arg)
{
	CrewInside *inside;
	CrewOrder	order;
	dsm_segment *segment;
	CrewPlace  *place;
	char		activity[128];

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "metricrec worker");
	segment = dsm_attach(DatumGetUInt32(main_arg));
	if (segment == NULL)
		proc_exit(0);			/* the leader has gone already */
	dsm_pin_mapping(segment);
	check_version(segment);

	inside = MemoryContextAllocZero(TopMemoryContext, sizeof(CrewInside));
	inside->segment = segment;
	inside->shared = dsm_segment_address(segment);
	inside->place = order.place;
	inside->crew.job = (char *) inside->shared + mr_crew_job_offset();
	inside->crew.job_bytes = inside->shared->job_bytes;
	inside->crew.inside = inside;
	place = &inside->shared->places[order.place];
	snprintf(activity, sizeof(activity), "works for the session with PID %d", inside->shared->leader_pid);
	pgstat_report_activity(STATE_RUNNING, activity);
	on_dsm_detach(segment, worker_leaves, Int32GetDatum(order.place));
	place->latch = MyLatch;
	pg_memory_barrier();
	pg_atomic_write_u32(&place->state, MR_PLACE_HERE);
	SetLatch(inside->shared->places[0].latch);
	if (wait_for_rank(inside))
	{
		run_entry(inside, order.entry);
		pg_atomic_write_u32(&place->state, MR_PLACE_DONE);
	}
	proc_exit(0);
}
