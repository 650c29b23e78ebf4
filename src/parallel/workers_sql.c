/*
 * workers_sql.c
 *		metricrec.check_workers(): can this server run a training with workers?
 *
 * Starts them over as much shared memory as is asked for and lets them meet at the
 * barrier, so that an operator learns what is short before a training does.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "parallel/workers.h"
#include "util/compat.h"
#include "util/guc.h"

PG_FUNCTION_INFO_V1(mr_check_workers);

#define MEETINGS 1000

extern PGDLLEXPORT void mr_check_workers_entry(MrCrew *crew);

/* The job's memory: who was seen where. */
typedef struct Meeting
{
	int32		seen[2][MR_CREW_MOST];	/* by parity of the round: the last round of each member */
} Meeting;

/* Every member sees in each round that all others are in it. */
static void
meet(MrCrew *crew)
{
	Meeting    *meeting = (Meeting *) crew->job;

	for (int32 round = 1; round <= MEETINGS; round++)
	{
		meeting->seen[round & 1][crew->rank] = round;
		if (!mr_crew_barrier(crew))
			return;
		for (int i = 0; i < crew->size; i++)
			if (meeting->seen[round & 1][i] != round)
				elog(ERROR, "member %d of %d was not seen in round %d", i, crew->size, round);
	}
}

void
mr_check_workers_entry(MrCrew *crew)
{
	meet(crew);
}

static double
microseconds_per_meeting(MrCrew *crew)
{
	instr_time	start;
	instr_time	end;

	INSTR_TIME_SET_CURRENT(start);
	meet(crew);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	return INSTR_TIME_GET_MICROSEC(end) / (double) MEETINGS;
}

/* check_workers(workers, shared_memory in kB) -> workers, barrier_microseconds */
Datum
mr_check_workers(PG_FUNCTION_ARGS)
{
	int			workers = PG_ARGISNULL(0) ? mr_crew_default_workers() : PG_GETARG_INT32(0);
	int32		kilobytes = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	MemoryContext context = AllocSetContextCreate(CurTransactionContext, "metricrec check", ALLOCSET_SMALL_SIZES);
	MrCrewShortage shortage;
	MrCrew	   *crew;
	TupleDesc	desc;
	Datum		values[2] = {0};
	bool		nulls[2] = {false, true};

	if (workers < 0 || workers >= MR_CREW_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workers is %d, but must be between 0 and %d", workers, MR_CREW_MOST - 1)));
	if (kilobytes < 0 || kilobytes > mr_training_memory)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("shared_memory is %d kB, but must be between 0 and metricrec.training_memory, %d kB",
						kilobytes, mr_training_memory)));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	crew = mr_crew_create(context, Max((Size) kilobytes * 1024, sizeof(Meeting)), &shortage);
	if (crew)
	{
		int			came = mr_crew_launch(crew, "mr_check_workers_entry", "metricrec check worker", workers, &shortage);

		values[0] = Int32GetDatum(came);
		values[1] = Float8GetDatum(microseconds_per_meeting(crew));
		nulls[1] = came == 0;
		mr_crew_check(crew);
		mr_crew_end(crew);
	}
	mr_crew_report(&shortage, "the check", workers, DatumGetInt32(values[0]));
	MemoryContextDelete(context);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
