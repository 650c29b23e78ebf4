/*
 * workers.h
 *		A crew: a session (the leader) and dynamic background workers that do one
 *		job together over a segment of shared memory.
 *
 *		leader									worker
 *		mr_crew_create(bytes)
 *		fills crew->job
 *		mr_crew_launch("entry", ...)			entry(crew) is called
 *		works, mr_crew_barrier(crew)			works, mr_crew_barrier(crew)
 *		mr_crew_check(crew)						returns
 *		mr_crew_end(crew)
 *
 *	segment:  | CrewShared (workers_inside.h) | the job's bytes, from a cache line on |
 *
 * Invariants
 *	- Workers are connected to no database and hold no snapshot, so they forbid
 *	  nobody anything, however long the job takes.  Whatever needs SQL, catalogue or
 *	  settings is the leader's.
 *	- Segments lie at different addresses in different processes: the job's memory
 *	  holds offsets and never pointers.
 *	- The crew's life is that of its memory context: deleting it, on whatever path,
 *	  stops the workers, waits for their end and gives the segment back.  An abort of
 *	  the (sub)transaction does so, too, at once.  It may outlive commits.
 *	- Nobody waits for somebody who is gone: a member that fails, is terminated or
 *	  sees the stop flag makes every barrier return false, at once.
 *	- Nothing here jumps through the caller between launch and end: a poll callback
 *	  says "stop", mr_crew_check() raises the error.
 */
#ifndef MR_WORKERS_H
#define MR_WORKERS_H

#include "utils/palloc.h"

/* Members of a crew, the leader among them. */
#define MR_CREW_MOST 64

/* true = stop; must not raise an error. */
typedef bool (*MrCrewPoll) (void *arg);

/* Why there are fewer workers than asked for. */
typedef struct MrCrewShortage
{
	const char *reason;			/* NULL: nothing is short */
	char	   *detail;			/* may be NULL, as the hint */
	const char *hint;
} MrCrewShortage;

typedef struct MrCrew
{
	int			rank;			/* 0: the leader */
	int			size;			/* members, the leader among them */
	char	   *job;			/* the job's shared memory, in this process */
	Size		job_bytes;
	MrCrewPoll	poll;			/* the leader's own; NULL: interrupts, which mr_crew_check() raises */
	void	   *poll_arg;
	struct CrewInside *inside;	/* workers_inside.h */
} MrCrew;

/* What a worker runs: exported, and named to mr_crew_launch(). */
typedef void (*MrCrewEntry) (MrCrew *crew);

extern int	mr_crew_default_workers(void);
extern MrCrew *mr_crew_create(MemoryContext parent, Size bytes, MrCrewShortage *shortage);
extern int	mr_crew_launch(MrCrew *crew, const char *entry, const char *type, int workers, MrCrewShortage *shortage);
extern void mr_crew_report(const MrCrewShortage *shortage, const char *what, int wanted, int got);
extern bool mr_crew_barrier(void *crew);	/* false: stop */
extern bool mr_crew_poll(void *crew);	/* true: stop */
extern void mr_crew_stop(MrCrew *crew);
extern void mr_crew_check(MrCrew *crew);
extern void mr_crew_end(MrCrew *crew);

#endif							/* MR_WORKERS_H */
