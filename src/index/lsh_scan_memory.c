/*
 * lsh_scan_memory.c
 *		The arrays and queues of a scan.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "index/lsh_scan.h"
#include "util/compat.h"

/* First sizes of the arrays, for the usual query: small, so that fresh memory costs little. */
#define FIRST_ROOM_GROUPS 512
#define FIRST_ROOM_LEAVES 2048
#define FIRST_ROOM_VISITS 64
#define FIRST_ROOM_TIDS 2048
#define FIRST_ROOM_GIVEN 64

/* Makes the arrays that every scan needs, in their first size. */
void
mr_lsh_scan_init_memory(MrLshScan *scan)
{
	MemoryContext before = MemoryContextSwitchTo(scan->context);

	scan->room_groups = FIRST_ROOM_GROUPS;
	scan->groups = palloc(scan->room_groups * sizeof(MrLshScanGroup));
	scan->room_leaves = FIRST_ROOM_LEAVES;
	scan->leaves = palloc(scan->room_leaves * sizeof(MrLshScanLeaf));
	mr_queue_init(&scan->leaf_queue,
				  palloc(MR_QUEUE_FRONT * sizeof(MrQueueItem)),
				  palloc(FIRST_ROOM_LEAVES * sizeof(MrQueueItem)), FIRST_ROOM_LEAVES);
	scan->room_given = FIRST_ROOM_GIVEN;
	scan->given = palloc(scan->room_given * sizeof(ItemPointerData));
	scan->room_visits = FIRST_ROOM_VISITS;
	scan->visits = palloc(scan->room_visits * sizeof(MrLshVisit));
	scan->room_tids = FIRST_ROOM_TIDS;
	scan->tids = palloc(scan->room_tids * sizeof(ItemPointerData));
	mr_queue_init(&scan->candidates,
				  palloc(MR_QUEUE_FRONT * sizeof(MrQueueItem)),
				  palloc(FIRST_ROOM_TIDS * sizeof(MrQueueItem)), FIRST_ROOM_TIDS);
	MemoryContextSwitchTo(before);
}

/* An array with room for twice as much, at least `needed`; huge sizes allowed. */
void *
mr_lsh_scan_enlarge(void *array, uint32 *room, uint32 needed, Size item)
{
	uint32		larger = *room <= PG_UINT32_MAX / 2 ? *room * 2 : PG_UINT32_MAX;

	*room = Max(larger, needed);
	return repalloc_huge(array, mul_size(*room, item));
}

/* Makes room for n more pushes. */
void
mr_lsh_scan_reserve_queue(MrQueue *queue, uint32 n)
{
	while (mr_queue_full(queue, n))
		queue->back = mr_lsh_scan_enlarge(queue->back, &queue->room, 0, sizeof(MrQueueItem));
}
