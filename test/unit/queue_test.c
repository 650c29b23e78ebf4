/*
 * queue_test.c
 *		The queue against a plain sorted list: random interleavings of pushes,
 *		peeks and pops, with keys that are all different, mostly equal or
 *		infinite, in queues from a few items to some hundred thousand.
 *
 * The reference keeps all items in an array and looks for the smallest one by
 * one in the small tests; the big ones compare with qsort().
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hash/queue.h"
#include "unit.h"

static uint64_t random_state = 7;

/* splitmix64 */
static uint64_t
next_random(void)
{
	uint64_t	z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

typedef enum Keys
{
	DIFFERENT,
	FEW,						/* one of five values, infinity among them */
	EQUAL,
	RISING,						/* each above the ones before */
	FALLING,
	INFINITE,
	N_KEYS
} Keys;

static float
make_key(Keys kind, uint32_t payload)
{
	static const float few[] = {0, 0.5f, 1, 1e30f, INFINITY};

	switch (kind)
	{
		case DIFFERENT:
			return (float) (next_random() >> 40) / 1000;
		case FEW:
			return few[next_random() % 5];
		case RISING:
			return (float) payload;
		case FALLING:
			return 1e7f - (float) payload;
		case INFINITE:
			return INFINITY;
		default:
			return 1;
	}
}

static bool
before(MrQueueItem a, MrQueueItem b)
{
	return a.key < b.key || (a.key == b.key && a.payload < b.payload);
}

static int
compare(const void *a, const void *b)
{
	const MrQueueItem *x = a;
	const MrQueueItem *y = b;

	return before(*x, *y) ? -1 : before(*y, *x) ? 1 : 0;
}

/* The queue with its memory, and the reference: what should be in it. */
typedef struct Both
{
	MrQueue		queue;
	MrQueueItem front[MR_QUEUE_FRONT];
	MrQueueItem *reference;
	uint32_t	n;
	uint32_t	reference_room;
	uint32_t	pushed;
} Both;

static void
begin(Both *both, uint32_t room)
{
	mr_queue_init(&both->queue, both->front, malloc(room * sizeof(MrQueueItem)), room);
	both->reference = NULL;
	both->reference_room = 0;
	both->n = 0;
	both->pushed = 0;
}

static void
end(Both *both)
{
	free(both->queue.back);
	free(both->reference);
}

/* Push some keys to both; the back grows as a caller would let it grow. */
static void
push(Both *both, Keys kind, uint32_t n)
{
	float	   *keys = malloc((n + 1) * sizeof(float));

	if (both->n + n > both->reference_room)
	{
		both->reference_room = (both->n + n) * 2;
		both->reference = realloc(both->reference, both->reference_room * sizeof(MrQueueItem));
	}
	for (uint32_t i = 0; i < n; i++)
	{
		keys[i] = make_key(kind, both->pushed + i);
		both->reference[both->n++] = (MrQueueItem) {keys[i], both->pushed + i};
	}
	while (mr_queue_full(&both->queue, n))
	{
		both->queue.room = both->queue.room * 3 / 2 + 1;
		both->queue.back = realloc(both->queue.back, both->queue.room * sizeof(MrQueueItem));
	}
	mr_queue_push(&both->queue, keys, n, both->pushed);
	both->pushed += n;
	free(keys);
}

/* Take one from both; false when both are empty. */
static bool
pop(Both *both, const char *what)
{
	MrQueueItem got = {0};
	MrQueueItem peeked = {0};
	uint32_t	best = 0;
	bool		some = mr_queue_peek(&both->queue, &peeked);

	unit_case(some == (both->n > 0), "%s: empty or not", what);
	unit_case(mr_queue_pop(&both->queue, &got) == some, "%s: pop and peek disagree", what);
	if (!some || both->n == 0)
		return false;
	unit_case(memcmp(&got, &peeked, sizeof(got)) == 0, "%s: popped is not peeked", what);
	for (uint32_t i = 1; i < both->n; i++)
	{
		if (before(both->reference[i], both->reference[best]))
			best = i;
	}
	unit_case(got.key == both->reference[best].key && got.payload == both->reference[best].payload,
			  "%s: got %g/%u, not %g/%u", what, got.key, got.payload,
			  both->reference[best].key, both->reference[best].payload);
	both->reference[best] = both->reference[--both->n];
	return true;
}

/* What queue.h says about limits, and that nothing was lost. */
static void
check_invariants(const Both *both, const char *what)
{
	const MrQueue *queue = &both->queue;
	uint32_t	at = 0;

	unit_case(queue->n_front + queue->n_back == both->n, "%s: %u and %u items, not %u", what,
			  queue->n_front, queue->n_back, both->n);
	unit_case(queue->n_front <= queue->front_goal && queue->front_goal <= MR_QUEUE_FRONT, "%s: front", what);
	unit_case(queue->part[queue->n_parts - 1].end == queue->n_back, "%s: end of the last part", what);
	for (uint32_t i = 0; i < queue->n_front; i++)
	{
		unit_case(!before(queue->part[0].limit, queue->front[i]), "%s: front item after the limit", what);
		unit_case(i == 0 || before(queue->front[i], queue->front[i - 1]), "%s: front is not in order", what);
	}
	for (uint32_t p = 0; p < queue->n_parts; p++)
	{
		for (; at < queue->part[p].end; at++)
		{
			unit_case(!before(queue->back[at], queue->part[p].limit), "%s: part %u below its limit", what, p);
			unit_case(p + 1 == queue->n_parts || !before(queue->part[p + 1].limit, queue->back[at]),
					  "%s: part %u beyond its end", what, p);
		}
	}
}

/* Small queues, every step checked. */
static void
test_interleaved(void)
{
	for (int round = 0; round < 90; round++)
	{
		Keys		kind = round % N_KEYS;
		Both		both;

		begin(&both, round % 7);
		for (int step = 0; step < 60; step++)
		{
			uint32_t	n = next_random() % (round % 3 == 0 ? 4 : 150);

			if (next_random() % 3 != 0)
				push(&both, step % 9 == 8 ? FEW : kind, n);
			else
			{
				while (n-- > 0 && pop(&both, "interleaved"))
					;
			}
			check_invariants(&both, "interleaved");
		}
		while (pop(&both, "drained"))
			;
		end(&both);
	}
	unit_cases("small queues, pushes and pops mixed");
}

/* Many items, pushed in pages, some taken in between, drained at the end. */
static void
test_big(Keys kind, uint32_t n)
{
	Both		both;
	MrQueueItem *sorted;
	MrQueueItem item;
	uint32_t	taken = 0;

	begin(&both, 100);
	for (uint32_t i = 0; i < n; i += 100)
	{
		push(&both, kind, 100);
		if (i == n / 2)
		{
			for (int k = 0; k < 50; k++)
				pop(&both, "big, first");
			check_invariants(&both, "big, first");
		}
	}
	for (int k = 0; k < 20; k++)
		pop(&both, "big, second");
	push(&both, kind, 1000);
	push(&both, FEW, 1000);
	pop(&both, "big, third");
	check_invariants(&both, "big");

	sorted = both.reference;
	qsort(sorted, both.n, sizeof(MrQueueItem), compare);
	while (mr_queue_pop(&both.queue, &item))
	{
		unit_case(taken < both.n && item.key == sorted[taken].key && item.payload == sorted[taken].payload,
				  "big, keys %d: item %u", (int) kind, taken);
		taken++;
	}
	unit_case(taken == both.n, "big: %u of %u items", taken, both.n);
	end(&both);
}

/* The order in which the same items come does not matter. */
static void
test_order(void)
{
	float		keys[500];
	static MrQueueItem front[MR_QUEUE_FRONT];
	static MrQueueItem back[1000];
	MrQueue		queue;
	MrQueueItem item;

	for (int round = 0; round < 20; round++)
	{
		for (int i = 0; i < 500; i++)
			keys[i] = (float) (i * 7919 % 13);
		mr_queue_init(&queue, front, back, 1000);
		for (int left = 500, at = 0; left > 0;)
		{
			int			some = 1 + (int) (next_random() % left);

			/* rounds differ in the cuts, and odd ones push the end first */
			at = round % 2 ? left - some : 500 - left;
			mr_queue_push(&queue, keys + at, some, at);
			if (round % 5 == 4)
				mr_queue_peek(&queue, &item);
			left -= some;
		}
		for (uint32_t i = 0, rank = 0; i < 13; i++)
		{
			for (uint32_t payload = 0; payload < 500; payload++)
			{
				if (keys[payload] != i)
					continue;
				unit_case(mr_queue_pop(&queue, &item) && item.key == i && item.payload == payload,
						  "round %d rank %u", round, rank);
				rank++;
			}
		}
		unit_case(!mr_queue_pop(&queue, &item), "round %d: more than 500", round);
	}
	unit_cases("equal keys leave by payload, whatever the order of the pushes");
}

/* Payloads of one push after the wrap, and a queue that is used again. */
static void
test_reset(void)
{
	static MrQueueItem front[MR_QUEUE_FRONT];
	MrQueueItem back[8];
	MrQueue		queue;
	MrQueueItem item;
	static const float keys[] = {3, 1, 2};

	mr_queue_init(&queue, front, back, 8);
	ok(!mr_queue_peek(&queue, &item) && !mr_queue_pop(&queue, &item), "a new queue is empty");
	ok(!mr_queue_full(&queue, 8) && mr_queue_full(&queue, 9), "room for 8");
	mr_queue_push(&queue, keys, 3, 40);
	ok(!mr_queue_full(&queue, 5) && mr_queue_full(&queue, 6), "room for 5 more");
	ok(mr_queue_pop(&queue, &item) && item.key == 1 && item.payload == 41, "the smallest first");
	mr_queue_push(&queue, NULL, 0, 0);
	mr_queue_reset(&queue);
	ok(!mr_queue_pop(&queue, &item), "empty after a reset");
	mr_queue_push(&queue, keys, 3, UINT32_MAX - 2);
	ok(mr_queue_pop(&queue, &item) && item.key == 1 && item.payload == UINT32_MAX - 1, "large payloads");
	ok(mr_queue_pop(&queue, &item) && item.key == 2 && item.payload == UINT32_MAX, "the largest payload");
}

int
main(void)
{
	test_reset();
	test_order();
	test_interleaved();
	for (Keys kind = 0; kind < N_KEYS; kind++)
	{
		test_big(kind, 2000);
		test_big(kind, 30000);
	}
	unit_cases("queues of some thousand items");
	test_big(DIFFERENT, 400000);
	test_big(FEW, 300000);
	unit_cases("queues of several parts");
	return unit_done();
}
