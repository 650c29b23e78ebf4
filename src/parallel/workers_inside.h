/*
 * workers_inside.h
 *		The inside of a crew: the head of its segment, and what each member keeps.
 *
 *	workers.c			the leader: create, launch, end
 *	workers_barrier.c	all members: failing, polling, the barrier
 *	workers_main.c		the process of a worker
 */
#ifndef MR_WORKERS_INSIDE_H
#define MR_WORKERS_INSIDE_H

#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/spin.h"
#include "utils/elog.h"

#include "parallel/workers.h"

/* A sleeper looks around this often, should a wake-up be lost. */
#define MR_CREW_LOOK_AROUND_MS 1000

#define MR_CREW_ERROR_TEXT 512

/* The stop flag; it only grows. */
enum
{
	MR_CREW_RUNS,
	MR_CREW_ENDS,					/* the leader has no more work */
	MR_CREW_FAILED					/* somebody has failed; `error` says how, unless it was the leader */
};

/*
 * A worker's place in the segment.  From HERE two ways lead on, the leader's to MEMBER
 * and the worker's to LEFT; each is an atomic exchange, so that the leader never counts
 * on a worker who is leaving, and a worker never leaves unnoticed who is counted on.
 */
enum
{
	MR_PLACE_EMPTY,
	MR_PLACE_HERE,
	MR_PLACE_MEMBER,				/* has a rank: the others wait for it */
	MR_PLACE_DONE,					/* the entry has returned */
	MR_PLACE_LEFT					/* the process has let go of the segment */
};

typedef struct CrewPlace
{
	pg_atomic_uint32 state;
	pg_atomic_uint32 sleeps;	/* at the barrier: wants its latch set */
	Latch	   *latch;			/* valid from MR_PLACE_HERE on; latches lie at one address everywhere */
	int			rank;			/* of a member */
	char		pad[64 - 2 * sizeof(pg_atomic_uint32) - sizeof(Latch *) - sizeof(int)];
} CrewPlace;

typedef struct CrewShared
{
	char		version[32];	/* mr_crew_version; stays the first in all versions */
	pg_atomic_uint32 stop;
	pg_atomic_uint32 go;		/* ranks and size are fixed */
	int			size;
	int			leader_pid;
	Size		job_bytes;
	pg_atomic_uint32 arrived pg_attribute_aligned(64);
	pg_atomic_uint32 phase pg_attribute_aligned(64);
	slock_t		mutex pg_attribute_aligned(64);	/* guards what follows */
	bool		has_error;
	int			sqlerrcode;
	char		message[MR_CREW_ERROR_TEXT];
	char		detail[MR_CREW_ERROR_TEXT];
	CrewPlace	places[MR_CREW_MOST] pg_attribute_aligned(64);	/* 0: the leader */
} CrewShared;

typedef struct CrewInside
{
	MrCrew		crew;
	MemoryContext context;		/* the leader's; NULL in a worker */
	dsm_segment *segment;
	CrewShared *shared;
	int			place;
	int			workers;		/* leader: launched */
	int			in_vain;		/* vain spinnings at the barrier, in a row */
	int			unspun;			/* barriers since the last one */
	ErrorData  *pending_error;	/* leader: caught by its poll, thrown by mr_crew_check() */
	BackgroundWorkerHandle *handles[MR_CREW_MOST];	/* by place */
	SubTransactionId subtransaction;	/* leader: whose abort is the crew's end */
	struct CrewInside *next;	/* leader: crews that live */
} CrewInside;

/* What a worker is told; fits into bgw_extra. */
typedef struct CrewOrder
{
	int			place;
	char		entry[64];
} CrewOrder;

/* Where the job's memory begins. */
static inline Size
mr_crew_job_offset(void)
{
	return TYPEALIGN(64, sizeof(CrewShared));
}

/* workers.c */
extern const char mr_crew_version[32];

/* workers_barrier.c */
extern void mr_crew_set_stop(CrewShared *shared, uint32 to);
extern void mr_crew_wake(CrewShared *shared, bool only_sleepers);
extern void mr_crew_fail(CrewShared *shared, int sqlerrcode, const char *message, const char *detail);

#endif							/* MR_WORKERS_INSIDE_H */
