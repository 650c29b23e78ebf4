/*
 * idmap_internal.h
 *		What the files idmap*.c share.
 *
 *	slots (2^k, open addressing, linear probing)		ids by row
 *	 integers:	{ key, row }  . . { -, -1 } . . 		integers[row]
 *	 others:	{ hash, row } . . { -, -1 } . . 		ids[row], hashes[row]
 *														   |
 *														   v
 *													arena chunks: copies of the ids
 *
 * Invariants: every row of 0 .. n-1 is in exactly one slot; at least a quarter
 * of the slots is empty; ids[row] points into an arena chunk (or is the value,
 * if the type is passed by value) and stays where it is until the map's context
 * goes.
 */
#ifndef MR_IDMAP_INTERNAL_H
#define MR_IDMAP_INTERNAL_H

#include "catalog/pg_type_d.h"
#include "fmgr.h"

#include "data/idmap.h"
#include "util/compat.h"

typedef enum MrIdKind
{
	MR_ID_INTEGER,
	MR_ID_BYTES,
	MR_ID_GENERIC
} MrIdKind;

typedef struct MrIntegerSlot
{
	int64		key;
	int32		row;			/* -1 = empty */
} MrIntegerSlot;

typedef struct MrHashSlot
{
	uint32		hash;
	int32		row;			/* -1 = empty */
} MrHashSlot;

struct MrIdMap
{
	MemoryContext context;
	MemoryContext scratch;		/* what a type's functions leave; reset often */
	MrBudget   *budget;			/* NULL = no limit */

	Oid			type;			/* as given: may be a domain */
	Oid			base_type;
	Oid			collation;
	MrIdKind	kind;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	FmgrInfo	hash_function;	/* generic only */
	FmgrInfo	equal_function; /* generic only */

	int32		n;
	int32		capacity;		/* of the arrays by row */
	int64	   *integers;
	Datum	   *ids;
	uint32	   *hashes;

	uint64		n_slots;		/* a power of two; 0 = none yet */
	MrIntegerSlot *integer_slots;
	MrHashSlot *hash_slots;

	char	   *chunk;			/* the arena chunk being filled */
	Size		chunk_size;
	Size		chunk_used;
	Size		arena_bytes;	/* of all chunks */
};

/* idmap.c */
extern void mr_idmap_reserve(MrIdMap *map, int32 more);
extern int32 mr_idmap_add_bytes(MrIdMap *map, uint64 at, uint32 hash, const char *bytes, Size length);

/* idmap_type.c */
extern void mr_idmap_init_type(MrIdMap *map);
extern Datum mr_idmap_flatten(const MrIdMap *map, Datum id);
extern Size mr_idmap_image_size(const MrIdMap *map, Datum id);
extern int	mr_idmap_compare_images(const MrIdMap *map, Datum a, Datum b);

/* idmap_order.c */
extern void mr_idmap_order(MrIdMap *map, int32 *rows, int32 n);

/* Two rounds of multiply and fold: the low bits must depend on all bits. */
static inline uint64
mr_hash_integer(int64 key)
{
	uint64		h = (uint64) key;

	h = (h ^ (h >> 32)) * UINT64CONST(0x9E3779B97F4A7C15);
	h = (h ^ (h >> 29)) * UINT64CONST(0xBF58476D1CE4E5B9);
	return h ^ (h >> 32);
}

/*
 * The id in a form that can be read in place: as it is, short header or not,
 * unless it is compressed, out of line or expanded.
 */
static inline Datum
mr_idmap_readable(const MrIdMap *map, Datum id)
{
	if (map->typlen == -1 && (VARATT_IS_EXTERNAL(DatumGetPointer(id)) ||
							  VARATT_IS_COMPRESSED(DatumGetPointer(id))))
		return mr_idmap_flatten(map, id);
	return id;
}

/*
 * The bytes whose equality is that of the ids (kind MR_ID_BYTES); the id must
 * be readable.  Trailing blanks of a char(n) do not count, and are not stored.
 */
static inline void
mr_idmap_bytes_of(const MrIdMap *map, Datum id, const char **bytes, Size *length)
{
	if (map->typlen > 0)
	{
		*bytes = DatumGetPointer(id);
		*length = map->typlen;
		return;
	}
	*bytes = VARDATA_ANY(DatumGetPointer(id));
	*length = VARSIZE_ANY_EXHDR(DatumGetPointer(id));
	if (map->base_type == BPCHAROID)
		while (*length > 0 && (*bytes)[*length - 1] == ' ')
			(*length)--;
}

/* The slot of a byte string, or the empty slot where it belongs. */
static inline uint64
mr_idmap_find_bytes(const MrIdMap *map, const char *bytes, Size length, uint32 hash)
{
	uint64		mask = map->n_slots - 1;
	uint64		at = hash & mask;

	for (; map->hash_slots[at].row >= 0; at = (at + 1) & mask)
	{
		const char *other;
		Size		other_length;

		if (map->hash_slots[at].hash != hash)
			continue;
		mr_idmap_bytes_of(map, map->ids[map->hash_slots[at].row], &other, &other_length);
		if (other_length == length && memcmp(other, bytes, length) == 0)
			break;
	}
	return at;
}

#endif							/* MR_IDMAP_INTERNAL_H */
