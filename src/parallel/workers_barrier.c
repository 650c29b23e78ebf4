/*
 * workers_barrier.c
 *		What all members of a crew do: failing, polling, the barrier.
 *
 * The barrier is one of our own because a phase between two may take less than a
 * millisecond and because the server's waits raise errors: it spins for a while
 * and then sleeps on the process's latch, asking poll() whenever it
 * wakes.
 *
 * How a member learns that another one is gone: an orderly end of a process (an
 * error, SIGTERM) runs the callback on its mapping of the segment, which sets the
 * stop flag and wakes everybody.  After a disorderly one the server restarts all
 * processes anyway.  A worker that never came is left out before the job begins.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "storage/procsignal.h"
#include "storage/s_lock.h"
#include "utils/memutils.h"

#include "parallel/workers_inside.h"

/*
 * How long a member spins before it sleeps.  To be woken takes some 60 microseconds,
 * in which the others go on, come to the next barrier, and wait there for the sleeper:
 * who spins for less than that sleeps, too, and from then on everybody sleeps at every
 * barrier.  So the spinning is longer than a wake-up; but with more members than idle
 * processors it takes time from the one that is waited for.  After SPIN_VAIN vain
 * attempts in a row only one barrier in SPIN_TRIALS spins, until one has succeeded.
 */
#define SPIN_MICROSECONDS 250
#define SPIN_ROUNDS 64				/* between two looks at the clock */
#define SPIN_VAIN 4
#define SPIN_TRIALS 8

/* ---- shared state ---- */

/* The stop flag only grows. */
void
mr_crew_set_stop(CrewShared *shared, uint32 to)
{
	uint32		now = pg_atomic_read_u32(&shared->stop);

	while (now < to && !pg_atomic_compare_exchange_u32(&shared->stop, &now, to))
		;
}

/* Wakes everybody who sleeps, or everybody. */
void
mr_crew_wake(CrewShared *shared, bool only_sleepers)
{
	pg_memory_barrier();
	for (int i = 0; i < MR_CREW_MOST; i++)
	{
		CrewPlace  *place = &shared->places[i];
		uint32		state = pg_atomic_read_u32(&place->state);

		if ((state != MR_PLACE_HERE && state != MR_PLACE_MEMBER) ||
			(only_sleepers && !pg_atomic_read_u32(&place->sleeps)))
			continue;
		pg_read_barrier();		/* the latch was there before the state */
		SetLatch(place->latch);
	}
}

/* Somebody has failed: the first message is kept, everybody stops. */
void
mr_crew_fail(CrewShared *shared, int sqlerrcode, const char *message, const char *detail)
{
	SpinLockAcquire(&shared->mutex);
	if (!shared->has_error && pg_atomic_read_u32(&shared->stop) == MR_CREW_RUNS)
	{
		shared->has_error = true;
		shared->sqlerrcode = sqlerrcode;
		strlcpy(shared->message, message, MR_CREW_ERROR_TEXT);
		strlcpy(shared->detail, detail ? detail : "", MR_CREW_ERROR_TEXT);
	}
	SpinLockRelease(&shared->mutex);
	mr_crew_set_stop(shared, MR_CREW_FAILED);
	mr_crew_wake(shared, false);
}

/* ---- while it runs ---- */

/* A worker's part of mr_crew_poll(). */
static bool
worker_must_stop(CrewInside *inside)
{
	if (ProcSignalBarrierPending)
		ProcessProcSignalBarrier();
	if (LogMemoryContextPending)
		ProcessLogMemoryContextInterrupt();
	if (ShutdownRequestPending)
	{
		mr_crew_fail(inside->shared, ERRCODE_OPERATOR_INTERVENTION, "a metricrec worker was terminated", NULL);
		return true;
	}
	if (QueryCancelPending)
	{
		/* pg_cancel_backend() of the worker: the statement that it works for is meant */
		mr_crew_fail(inside->shared, ERRCODE_QUERY_CANCELED, "a metricrec worker was canceled", NULL);
		return true;
	}
	if (!PostmasterIsAlive())
		proc_exit(1);
	return false;
}

/* The leader's poll unless the job has one: interrupts, their error kept for later. */
static bool
leader_must_stop(CrewInside *inside)
{
	MemoryContext context = CurrentMemoryContext;

	if (!INTERRUPTS_PENDING_CONDITION())
		return false;
	PG_TRY();
	{
		CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(inside->context);
		inside->pending_error = CopyErrorData();
		FlushErrorState();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	return inside->pending_error != NULL;
}

/*
 * Shall this member stop?  Cheap: to be asked at least every 50 ms of work.  In the
 * leader it asks crew->poll, too, or looks for interrupts, and if that says so
 * everybody stops.
 */
bool
mr_crew_poll(void *arg)
{
	MrCrew	   *crew = arg;
	CrewInside *inside = crew->inside;

	if (pg_atomic_read_u32(&inside->shared->stop) != MR_CREW_RUNS)
		return true;
	if (crew->rank > 0)
		return worker_must_stop(inside);
	if (crew->poll ? crew->poll(crew->poll_arg) : leader_must_stop(inside))
	{
		mr_crew_stop(crew);
		return true;
	}
	return false;
}

/* Everybody stops; not an error. */
void
mr_crew_stop(MrCrew *crew)
{
	mr_crew_set_stop(crew->inside->shared, MR_CREW_ENDS);
	mr_crew_wake(crew->inside->shared, false);
}

/* Sleeps until the phase has changed; false if it is time to stop. */
static bool
sleep_at_barrier(MrCrew *crew, uint32 phase)
{
	CrewShared *shared = crew->inside->shared;
	CrewPlace  *place = &shared->places[crew->inside->place];
	bool		go_on = true;

	pg_atomic_write_u32(&place->sleeps, 1);
	pg_memory_barrier();
	for (;;)
	{
		ResetLatch(MyLatch);
		if (pg_atomic_read_u32(&shared->phase) != phase)
			break;
		go_on = !mr_crew_poll(crew);
		if (!go_on)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, MR_CREW_LOOK_AROUND_MS, PG_WAIT_EXTENSION);
	}
	pg_atomic_write_u32(&place->sleeps, 0);
	return go_on;
}

/* Spins until the phase has changed; false if that takes too long. */
static bool
spin_at_barrier(CrewInside *inside, uint32 phase)
{
	CrewShared *shared = inside->shared;
	instr_time	start;
	instr_time	now;

	if (inside->in_vain >= SPIN_VAIN && ++inside->unspun < SPIN_TRIALS)
		return false;
	inside->unspun = 0;
	INSTR_TIME_SET_CURRENT(start);
	do
	{
		for (int i = 0; i < SPIN_ROUNDS; i++)
		{
			if (pg_atomic_read_u32(&shared->phase) != phase)
			{
				inside->in_vain = 0;
				return true;
			}
			pg_spin_delay();
		}
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
	} while (INSTR_TIME_GET_MICROSEC(now) < SPIN_MICROSECONDS);
	inside->in_vain++;
	return false;
}

/*
 * Waits until all members have come here; what they wrote before is then seen by
 * all.  False if the crew has been stopped: then nobody may go on.
 */
bool
mr_crew_barrier(void *arg)
{
	MrCrew	   *crew = arg;
	CrewShared *shared = crew->inside->shared;
	uint32		phase = pg_atomic_read_u32(&shared->phase);

	if (crew->size == 1)
		return !mr_crew_poll(crew);
	if (pg_atomic_read_u32(&shared->stop) != MR_CREW_RUNS)
		return false;
	if (pg_atomic_add_fetch_u32(&shared->arrived, 1) == (uint32) crew->size)
	{
		pg_atomic_write_u32(&shared->arrived, 0);
		pg_atomic_fetch_add_u32(&shared->phase, 1);
		mr_crew_wake(shared, true);
		return true;
	}
	if (!spin_at_barrier(crew->inside, phase) && !sleep_at_barrier(crew, phase))
		return false;
	pg_memory_barrier();
	return true;
}

/* Leader: raises what its own poll has caught, or the error of a worker that has failed. */
void
mr_crew_check(MrCrew *crew)
{
	CrewShared *shared = crew->inside->shared;

	if (crew->inside->pending_error)
		ReThrowError(crew->inside->pending_error);
	if (pg_atomic_read_u32(&shared->stop) != MR_CREW_FAILED)
		return;
	pg_read_barrier();			/* the error was there before the flag */
	if (!shared->has_error)
		return;
	CHECK_FOR_INTERRUPTS();		/* a shutdown is for this session, too, and that is what to tell */
	ereport(ERROR,
			(errcode(shared->sqlerrcode),
			 errmsg("%s", shared->message),
			 shared->detail[0] ? errdetail_internal("%s", shared->detail) : 0,
			 shared->sqlerrcode == ERRCODE_QUERY_CANCELED ? 0 :
			 errhint("The server's log tells more.  With num_workers => 0 there are no workers.")));
}
