/*
 * lsh_scan_memory.c
 *		The arrays and queues of a scan.
 *
 * A short query takes less time than the operating system needs to give a process
 * fresh memory for them.  So the arrays of one scan are kept for the next one of
 * the session; a scan that begins while another one has them makes its own.  They
 * come back when the scan's memory context goes, which it does on errors too.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "index/lsh_scan.h"
#include "util/compat.h"

/* Larger arrays are not kept. */
#define MOST_KEPT ((Size) 256 * 1024)

typedef struct ArrayKind
{
	Size		array;			/* where MrLshScan has it */
	Size		room;			/* and how many items it has room for */
	Size		item;
	uint32		first_room;		/* for the usual query */
} ArrayKind;

#define ARRAY(array, room, first_room) \
	{offsetof(MrLshScan, array), offsetof(MrLshScan, room), sizeof(*((MrLshScan *) NULL)->array), first_room}

static const ArrayKind kinds[] = {
	ARRAY(groups, room_groups, 512),
	ARRAY(leaves, room_leaves, 2048),
	ARRAY(leaf_queue.front, room_fronts, MR_QUEUE_FRONT),
	ARRAY(leaf_queue.back, leaf_queue.room, 2048),
	ARRAY(candidates.front, room_fronts, MR_QUEUE_FRONT),
	ARRAY(candidates.back, candidates.room, 2048),
	ARRAY(tids, room_tids, 2048),
	ARRAY(given, room_given, 64),
};

#define array_of(scan, i) (*(void **) ((char *) (scan) + kinds[i].array))
#define room_of(scan, i) (*(uint32 *) ((char *) (scan) + kinds[i].room))

/* What no scan has at the moment. */
static struct
{
	MemoryContext context;
	bool		lent;
	void	   *array[lengthof(kinds)];	/* NULL = none */
	uint32		room[lengthof(kinds)];
}			kept;

/* The scan ends, one way or another: takes back what it still has of ours. */
static void
take_back(void *arg)
{
	MrLshScan  *scan = arg;

	for (int i = 0; i < lengthof(kinds); i++)
	{
		void	   *array = array_of(scan, i);

		if (array == NULL || GetMemoryChunkContext(array) != kept.context)
			continue;
		if (room_of(scan, i) * kinds[i].item <= MOST_KEPT)
		{
			kept.array[i] = array;
			kept.room[i] = room_of(scan, i);
		}
		else
			pfree(array);
	}
	kept.lent = false;
}

/* Lends the kept arrays to a scan; false if another scan has them. */
static bool
lend(MrLshScan *scan)
{
	if (kept.lent)
		return false;
	if (kept.context == NULL)
		kept.context = AllocSetContextCreate(TopMemoryContext, "lsh scan arrays", ALLOCSET_DEFAULT_SIZES);
	scan->take_back.func = take_back;
	scan->take_back.arg = scan;
	MemoryContextRegisterResetCallback(scan->context, &scan->take_back);
	kept.lent = true;
	for (int i = 0; i < lengthof(kinds); i++)
	{
		array_of(scan, i) = kept.array[i];
		room_of(scan, i) = kept.room[i];
		kept.array[i] = NULL;
	}
	return true;
}

/* Makes the arrays that every scan needs. */
void
mr_lsh_scan_init_memory(MrLshScan *scan)
{
	MemoryContext context = lend(scan) ? kept.context : scan->context;

	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (array_of(scan, i) != NULL)
			continue;
		array_of(scan, i) = MemoryContextAlloc(context, kinds[i].first_room * kinds[i].item);
		room_of(scan, i) = kinds[i].first_room;
	}
	mr_queue_init(&scan->leaf_queue, scan->leaf_queue.front, scan->leaf_queue.back, scan->leaf_queue.room);
	mr_queue_init(&scan->candidates, scan->candidates.front, scan->candidates.back, scan->candidates.room);
}

/* An array with room for twice as much, at least `needed`; huge sizes allowed. */
void *
mr_lsh_scan_enlarge(void *array, uint32 *room, uint32 needed, Size item)
{
	uint32		larger = *room <= PG_UINT32_MAX / 2 ? *room * 2 : PG_UINT32_MAX;

	larger = Max(larger, needed);
	array = repalloc_huge(array, mul_size(larger, item));
	*room = larger;
	return array;
}

/* Makes room for n more pushes. */
void
mr_lsh_scan_reserve_queue(MrQueue *queue, uint32 n)
{
	while (mr_queue_full(queue, n))
		queue->back = mr_lsh_scan_enlarge(queue->back, &queue->room, 0, sizeof(MrQueueItem));
}
