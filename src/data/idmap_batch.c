/*
 * idmap_batch.c
 *		Many ids at a time: the same as one by one, but faster.
 *
 * A load is bound by cache misses: one per look-up of an integer, three (slot,
 * pointer, bytes) of a string.  In a batch, each pass over the keys prefetches
 * what the next pass needs, so that the misses of the keys overlap.
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "data/idmap_internal.h"

bool
mr_idmap_is_integer(const MrIdMap *map)
{
	return map->kind == MR_ID_INTEGER;
}

bool
mr_idmap_is_bytes(const MrIdMap *map)
{
	return map->kind == MR_ID_BYTES;
}

/*
 * Rows of n <= MR_IDMAP_BATCH integer keys; keys not seen before get new rows,
 * in the order of the batch.
 */
void
mr_idmap_insert_integers(MrIdMap *map, const int64 *keys, int n, int32 *rows)
{
	uint64		at[MR_IDMAP_BATCH];
	MrIntegerSlot *slots;
	uint64		mask;

	Assert(map->kind == MR_ID_INTEGER && n <= MR_IDMAP_BATCH);
	mr_idmap_reserve(map, n);
	slots = map->integer_slots;
	mask = map->n_slots - 1;
	for (int i = 0; i < n; i++)
	{
		at[i] = mr_hash_integer(keys[i]) & mask;
		__builtin_prefetch(&slots[at[i]]);
	}
	for (int i = 0; i < n; i++)
	{
		MrIntegerSlot *slot = &slots[at[i]];

		while (slot->row >= 0 && slot->key != keys[i])
		{
			at[i] = (at[i] + 1) & mask;
			slot = &slots[at[i]];
		}
		if (slot->row < 0)
		{
			slot->key = keys[i];
			slot->row = map->n;
			map->integers[map->n++] = keys[i];
		}
		rows[i] = slot->row;
	}
}

/* Rows of n <= MR_IDMAP_BATCH integer keys, -1 where the map has none. */
void
mr_idmap_lookup_integers(const MrIdMap *map, const int64 *keys, int n, int32 *rows)
{
	uint64		at[MR_IDMAP_BATCH];
	const MrIntegerSlot *slots = map->integer_slots;
	uint64		mask = map->n_slots - 1;

	Assert(map->kind == MR_ID_INTEGER && n <= MR_IDMAP_BATCH);
	if (map->n_slots == 0)
	{
		memset(rows, 0xFF, sizeof(int32) * n);
		return;
	}
	for (int i = 0; i < n; i++)
	{
		at[i] = mr_hash_integer(keys[i]) & mask;
		__builtin_prefetch(&slots[at[i]]);
	}
	for (int i = 0; i < n; i++)
	{
		while (slots[at[i]].row >= 0 && slots[at[i]].key != keys[i])
			at[i] = (at[i] + 1) & mask;
		rows[i] = slots[at[i]].row;
	}
}

/*
 * Appends a copy of an id to the staged keys.  The caller empties these by
 * setting n to 0, at the latest when n = MR_IDMAP_BATCH, and earlier if
 * mr_byte_keys_size() grows large.  The buffer comes from the current memory
 * context.
 */
void
mr_idmap_stage(const MrIdMap *map, MrByteKeys *keys, Datum id)
{
	Datum		plain = mr_idmap_readable(map, id);
	Size		start = mr_byte_keys_size(keys);
	const char *bytes;
	Size		length;

	Assert(map->kind == MR_ID_BYTES && keys->n < MR_IDMAP_BATCH);
	mr_idmap_bytes_of(map, plain, &bytes, &length);
	if (start + length > keys->allocated)
	{
		keys->allocated = (start + length) * 2 + 4096;
		keys->bytes = keys->bytes == NULL ?
			MemoryContextAllocHuge(CurrentMemoryContext, keys->allocated) :
			repalloc_huge(keys->bytes, keys->allocated);
	}
	memcpy(keys->bytes + start, bytes, length);
	keys->hash[keys->n] = hash_bytes((const unsigned char *) bytes, (int) length);
	keys->n++;
	keys->end[keys->n] = start + length;
	if (plain != id)
		pfree(DatumGetPointer(plain));
}

/* Brings what the staged keys' look-ups touch into the cache. */
static void
prefetch_staged(const MrIdMap *map, const MrByteKeys *keys)
{
	const MrHashSlot *slots = map->hash_slots;
	uint64		mask = map->n_slots - 1;
	int32		row[MR_IDMAP_BATCH];

	for (int i = 0; i < keys->n; i++)
		__builtin_prefetch(&slots[keys->hash[i] & mask]);
	for (int i = 0; i < keys->n; i++)
	{
		uint64		at = keys->hash[i] & mask;

		while (slots[at].row >= 0 && slots[at].hash != keys->hash[i])
			at = (at + 1) & mask;
		row[i] = slots[at].row;
		if (row[i] >= 0)
			__builtin_prefetch(&map->ids[row[i]]);
	}
	for (int i = 0; i < keys->n; i++)
		if (row[i] >= 0)
			__builtin_prefetch(DatumGetPointer(map->ids[row[i]]));
}

/* Rows of the staged keys; those not seen before get new rows. */
void
mr_idmap_insert_staged(MrIdMap *map, const MrByteKeys *keys, int32 *rows)
{
	mr_idmap_reserve(map, keys->n);
	prefetch_staged(map, keys);
	for (int i = 0; i < keys->n; i++)
	{
		const char *bytes = keys->bytes + keys->end[i];
		Size		length = keys->end[i + 1] - keys->end[i];
		uint64		at = mr_idmap_find_bytes(map, bytes, length, keys->hash[i]);

		rows[i] = map->hash_slots[at].row;
		if (rows[i] < 0)
			rows[i] = mr_idmap_add_bytes(map, at, keys->hash[i], bytes, length);
	}
}

/* Rows of the staged keys, -1 where the map has none. */
void
mr_idmap_lookup_staged(const MrIdMap *map, const MrByteKeys *keys, int32 *rows)
{
	if (map->n_slots == 0)
	{
		memset(rows, 0xFF, sizeof(int32) * keys->n);
		return;
	}
	prefetch_staged(map, keys);
	for (int i = 0; i < keys->n; i++)
		rows[i] = map->hash_slots[mr_idmap_find_bytes(map, keys->bytes + keys->end[i],
													  keys->end[i + 1] - keys->end[i],
													  keys->hash[i])].row;
}

/* The row of one staged key of many, a new one if it is new. */
int32
mr_idmap_insert_one_staged(MrIdMap *map, const MrByteKeys *keys, int i)
{
	const char *bytes = keys->bytes + keys->end[i];
	Size		length = keys->end[i + 1] - keys->end[i];
	uint64		at;
	int32		row;

	mr_idmap_reserve(map, 1);
	at = mr_idmap_find_bytes(map, bytes, length, keys->hash[i]);
	row = map->hash_slots[at].row;
	return row >= 0 ? row : mr_idmap_add_bytes(map, at, keys->hash[i], bytes, length);
}
