/*
 * idmap.c
 *		A map between ids of any hashable type and row numbers.
 *
 * Open addressing with linear probing.  Slots of integers hold the key itself,
 * so that a probe touches one cache line; other slots hold 32 bits of hash and
 * look at the id only if these agree.  idmap_batch.c does many ids at a time.
 *
 * Equal ids may have several stored forms (numeric 1.0 and 1.00, text under a
 * nondeterministic collation).  The least of the forms seen is kept, so that
 * the ids, too, do not depend on the order of insertion.
 *
 * Memory: 8 bytes per id and 16 per slot for integers; else 12 bytes per id, 8
 * per slot, and the ids' copies.  Tables are between 3/8 and 3/4 full; while
 * one grows, the old and the new one exist together.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "data/idmap_internal.h"

#define FIRST_CAPACITY 1024
#define FIRST_CHUNK ((Size) 8192)
#define LAST_CHUNK ((Size) 4 * 1024 * 1024)

static inline int64
integer_of(const MrIdMap *map, Datum id)
{
	switch (map->typlen)
	{
		case 2:
			return DatumGetInt16(id);
		case 4:
			return DatumGetInt32(id);
		default:
			return DatumGetInt64(id);
	}
}

/*
 * Makes an empty map.  `collation` is that of the key column (InvalidOid for
 * types without).  Errors: 42883 if the type cannot be hashed.
 */
MrIdMap *
mr_idmap_create(Oid type, Oid collation, MemoryContext context)
{
	MrIdMap    *map = MemoryContextAllocZero(context, sizeof(MrIdMap));

	map->context = context;
	map->type = type;
	map->collation = collation;
	mr_idmap_init_type(map);
	return map;
}

/* From now on all growth counts against this budget, which must outlive the map. */
void
mr_idmap_set_budget(MrIdMap *map, MrBudget *budget)
{
	Assert(map->n_slots == 0);
	map->budget = budget;
}

int32
mr_idmap_size(const MrIdMap *map)
{
	return map->n;
}

Oid
mr_idmap_type(const MrIdMap *map)
{
	return map->type;
}

Oid
mr_idmap_collation(const MrIdMap *map)
{
	return map->collation;
}

/*
 * The id of a row.  A pass-by-reference datum points into the map; it stays
 * valid as long as the map's context.
 */
Datum
mr_idmap_id(const MrIdMap *map, int32 row)
{
	Assert(row >= 0 && row < map->n);
	if (map->kind != MR_ID_INTEGER)
		return map->ids[row];
	switch (map->typlen)
	{
		case 2:
			return Int16GetDatum((int16) map->integers[row]);
		case 4:
			return Int32GetDatum((int32) map->integers[row]);
		default:
			return Int64GetDatum(map->integers[row]);
	}
}

static Size
row_size(const MrIdMap *map)
{
	return map->kind == MR_ID_INTEGER ? sizeof(int64) : sizeof(Datum) + sizeof(uint32);
}

static Size
slot_size(const MrIdMap *map)
{
	return map->kind == MR_ID_INTEGER ? sizeof(MrIntegerSlot) : sizeof(MrHashSlot);
}

/* Resizes the arrays by row. */
static void
set_capacity(MrIdMap *map, int32 capacity)
{
	MrBudget   *budget = map->budget;
	Size		old = map->capacity;
	Size		new = capacity;

	if (map->kind == MR_ID_INTEGER)
	{
		if (map->integers == NULL)
			map->integers = mr_budget_alloc(budget, map->context, new * sizeof(int64));
		else
			map->integers = mr_budget_realloc(budget, map->integers,
											  old * sizeof(int64), new * sizeof(int64));
	}
	else if (map->ids == NULL)
	{
		map->ids = mr_budget_alloc(budget, map->context, new * sizeof(Datum));
		map->hashes = mr_budget_alloc(budget, map->context, new * sizeof(uint32));
	}
	else
	{
		map->ids = mr_budget_realloc(budget, map->ids, old * sizeof(Datum), new * sizeof(Datum));
		map->hashes = mr_budget_realloc(budget, map->hashes,
										old * sizeof(uint32), new * sizeof(uint32));
	}
	map->capacity = capacity;
}

/* Puts every row into its slot; the slots must be empty. */
static void
fill_slots(MrIdMap *map)
{
	uint64		mask = map->n_slots - 1;

	for (int32 row = 0; row < map->n; row++)
	{
		uint64		at;

		if ((row & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		if (map->kind == MR_ID_INTEGER)
		{
			at = mr_hash_integer(map->integers[row]) & mask;
			while (map->integer_slots[at].row >= 0)
				at = (at + 1) & mask;
			map->integer_slots[at].key = map->integers[row];
			map->integer_slots[at].row = row;
		}
		else
		{
			at = map->hashes[row] & mask;
			while (map->hash_slots[at].row >= 0)
				at = (at + 1) & mask;
			map->hash_slots[at].hash = map->hashes[row];
			map->hash_slots[at].row = row;
		}
	}
}

/*
 * Makes a table of n_slots slots in place of the present one.  A failure must
 * leave a map that is whole: the old table goes last.
 */
static void
set_slots(MrIdMap *map, uint64 n_slots)
{
	Size		size = n_slots * slot_size(map);
	void	   *old = map->kind == MR_ID_INTEGER ? (void *) map->integer_slots : (void *) map->hash_slots;
	Size		old_size = map->n_slots * slot_size(map);
	void	   *new = mr_budget_alloc(map->budget, map->context, size);

	memset(new, 0xFF, size);	/* row = -1 everywhere */
	if (map->kind == MR_ID_INTEGER)
		map->integer_slots = new;
	else
		map->hash_slots = new;
	map->n_slots = n_slots;
	mr_budget_free(map->budget, old, old_size);
	fill_slots(map);
}

/* Makes room for `more` new ids, in all arrays. */
void
mr_idmap_reserve(MrIdMap *map, int32 more)
{
	int64		need = (int64) map->n + more;

	if (need > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many distinct ids"),
				 errdetail("A model holds at most %d users and as many items.", PG_INT32_MAX)));
	if (need > map->capacity)
	{
		int64		capacity = Max(FIRST_CAPACITY, (int64) map->capacity + map->capacity / 2);

		set_capacity(map, (int32) Min(Max(capacity, need), PG_INT32_MAX));
	}
	if ((uint64) need > map->n_slots / 4 * 3)
	{
		uint64		n_slots = Max(map->n_slots, FIRST_CAPACITY);

		while ((uint64) need > n_slots / 4 * 3)
			n_slots *= 2;
		set_slots(map, n_slots);
	}
}

/* Room for `size` bytes in the arena, aligned as a varlena needs it. */
static char *
arena_take(MrIdMap *map, Size size)
{
	char	   *result;

	size = MAXALIGN(size);
	if (size > map->chunk_size - map->chunk_used)
	{
		Size		wanted = Min(Max(FIRST_CHUNK, map->chunk_size * 2), LAST_CHUNK);

		wanted = Max(wanted, size);
		map->chunk = mr_budget_alloc(map->budget, map->context, wanted);
		map->chunk_size = wanted;
		map->chunk_used = 0;
		map->arena_bytes += wanted;
	}
	result = map->chunk + map->chunk_used;
	map->chunk_used += size;
	return result;
}

/* A copy of a byte-string id, in the canonical form of the type. */
static Datum
copy_bytes(MrIdMap *map, const char *bytes, Size length)
{
	char	   *copy;

	if (map->typlen > 0)
	{
		copy = arena_take(map, length);
		memcpy(copy, bytes, length);
	}
	else
	{
		copy = arena_take(map, VARHDRSZ + length);
		SET_VARSIZE(copy, VARHDRSZ + length);
		memcpy(VARDATA(copy), bytes, length);
	}
	return PointerGetDatum(copy);
}

/* The slot of an id by the type's own equality, or the empty slot where it belongs. */
static uint64
find_generic(const MrIdMap *map, Datum id, uint32 hash)
{
	uint64		mask = map->n_slots - 1;
	uint64		at = hash & mask;

	for (; map->hash_slots[at].row >= 0; at = (at + 1) & mask)
	{
		if (map->hash_slots[at].hash != hash)
			continue;
		if (DatumGetBool(FunctionCall2Coll((FmgrInfo *) &map->equal_function, map->collation,
										   map->ids[map->hash_slots[at].row], id)))
			break;
	}
	return at;
}

static int32
add_row(MrIdMap *map, uint64 at, uint32 hash, Datum copy)
{
	int32		row = map->n;

	map->ids[row] = copy;
	map->hashes[row] = hash;
	map->hash_slots[at].hash = hash;
	map->hash_slots[at].row = row;
	map->n++;
	return row;
}

/* Adds a byte-string id whose empty slot is known.  Returns its row. */
int32
mr_idmap_add_bytes(MrIdMap *map, uint64 at, uint32 hash, const char *bytes, Size length)
{
	return add_row(map, at, hash, copy_bytes(map, bytes, length));
}

static Datum
copy_generic(MrIdMap *map, Datum id)
{
	char	   *copy;
	Size		size;

	if (map->typbyval)
		return id;
	size = mr_idmap_image_size(map, id);
	copy = arena_take(map, size);
	memcpy(copy, DatumGetPointer(id), size);
	return PointerGetDatum(copy);
}

static int32
insert_bytes(MrIdMap *map, Datum id)
{
	Datum		plain = mr_idmap_readable(map, id);
	const char *bytes;
	Size		length;
	uint32		hash;
	uint64		at;
	int32		row;

	mr_idmap_bytes_of(map, plain, &bytes, &length);
	hash = hash_bytes((const unsigned char *) bytes, (int) length);
	at = mr_idmap_find_bytes(map, bytes, length, hash);
	row = map->hash_slots[at].row;
	if (row < 0)
		row = mr_idmap_add_bytes(map, at, hash, bytes, length);
	if (plain != id)
		pfree(DatumGetPointer(plain));
	return row;
}

static int32
insert_generic(MrIdMap *map, Datum id)
{
	MemoryContext old = MemoryContextSwitchTo(map->scratch);
	Datum		plain = mr_idmap_flatten(map, id);
	uint32		hash = DatumGetUInt32(FunctionCall1Coll(&map->hash_function, map->collation, plain));
	uint64		at = find_generic(map, plain, hash);
	int32		row = map->hash_slots[at].row;

	if (row < 0)
		row = add_row(map, at, hash, copy_generic(map, plain));
	else if (mr_idmap_compare_images(map, plain, map->ids[row]) < 0)
		map->ids[row] = copy_generic(map, plain);
	MemoryContextSwitchTo(old);
	MemoryContextReset(map->scratch);
	return row;
}

/*
 * The row of an id, a new one if the id is new.  The id may be toasted; what is
 * kept is a copy.  Errors: 53200 over the budget, 54000 with 2^31 - 1 ids.
 */
int32
mr_idmap_insert(MrIdMap *map, Datum id)
{
	if (map->kind == MR_ID_INTEGER)
	{
		int64		key = integer_of(map, id);
		int32		row;

		mr_idmap_insert_integers(map, &key, 1, &row);
		return row;
	}
	mr_idmap_reserve(map, 1);
	return map->kind == MR_ID_BYTES ? insert_bytes(map, id) : insert_generic(map, id);
}

static int32
lookup_bytes(const MrIdMap *map, Datum id)
{
	Datum		plain = mr_idmap_readable(map, id);
	const char *bytes;
	Size		length;
	uint64		at;

	mr_idmap_bytes_of(map, plain, &bytes, &length);
	at = mr_idmap_find_bytes(map, bytes, length, hash_bytes((const unsigned char *) bytes, (int) length));
	if (plain != id)
		pfree(DatumGetPointer(plain));
	return map->hash_slots[at].row;
}

static int32
lookup_generic(const MrIdMap *map, Datum id)
{
	MemoryContext old = MemoryContextSwitchTo(map->scratch);
	Datum		plain = mr_idmap_flatten(map, id);
	Datum		hash = FunctionCall1Coll((FmgrInfo *) &map->hash_function, map->collation, plain);
	uint64		at = find_generic(map, plain, DatumGetUInt32(hash));

	MemoryContextSwitchTo(old);
	MemoryContextReset(map->scratch);
	return map->hash_slots[at].row;
}

/* The row of an id, or -1. */
int32
mr_idmap_lookup(const MrIdMap *map, Datum id)
{
	if (map->kind == MR_ID_INTEGER)
	{
		int64		key = integer_of(map, id);
		int32		row;

		mr_idmap_lookup_integers(map, &key, 1, &row);
		return row;
	}
	if (map->n_slots == 0)
		return -1;
	return map->kind == MR_ID_BYTES ? lookup_bytes(map, id) : lookup_generic(map, id);
}

/* Brings the arrays by row into the given order of n rows out of `old_n`. */
static void
permute_rows(MrIdMap *map, const int32 *order, int32 n, Size old_n)
{
	Size		copy_size = row_size(map) * old_n;
	void	   *copy = mr_budget_alloc(map->budget, map->context, copy_size);

	if (map->kind == MR_ID_INTEGER)
	{
		int64	   *integers = memcpy(copy, map->integers, sizeof(int64) * old_n);

		for (int32 i = 0; i < n; i++)
			map->integers[i] = integers[order[i]];
	}
	else
	{
		Datum	   *ids = memcpy(copy, map->ids, sizeof(Datum) * old_n);
		uint32	   *hashes = memcpy(ids + old_n, map->hashes, sizeof(uint32) * old_n);

		for (int32 i = 0; i < n; i++)
		{
			map->ids[i] = ids[order[i]];
			map->hashes[i] = hashes[order[i]];
		}
	}
	map->n = n;
	mr_budget_free(map->budget, copy, copy_size);
}

/*
 * See idmap.h.  Needs, for a moment, 12 (integers) or 16 bytes per id more, and
 * 8 or 12 after that.
 */
void
mr_idmap_canonicalise(MrIdMap *map, const bool *keep, int32 *new_row)
{
	Size		old_n = map->n;
	Size		order_size = sizeof(int32) * old_n;
	int32		n = 0;
	int32	   *order;

	if (old_n == 0)
		return;
	order = mr_budget_alloc(map->budget, map->context, order_size);
	for (Size row = 0; row < old_n; row++)
	{
		new_row[row] = -1;
		if (keep == NULL || keep[row])
			order[n++] = (int32) row;
	}
	mr_idmap_order(map, order, n);
	permute_rows(map, order, n, old_n);
	for (int32 i = 0; i < n; i++)
		new_row[order[i]] = i;
	mr_budget_free(map->budget, order, order_size);
	memset(map->kind == MR_ID_INTEGER ? (void *) map->integer_slots : (void *) map->hash_slots,
		   0xFF, map->n_slots * slot_size(map));
	fill_slots(map);
}
