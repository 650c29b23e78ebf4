/*
 * idmap.h
 *		A map between ids of any hashable type and row numbers 0 .. n-1.
 *
 * Three representations behind one interface, chosen from the type:
 *	 integers (int2, int4, int8, date, timestamp)	the value itself
 *	 byte strings (uuid, bytea, text and char under a deterministic
 *	 collation)		equality is equality of bytes
 *	 any other hashable type	the type's own hash and equality functions
 *
 * Domains count as their base type.  Rows are numbered in the order of
 * insertion until mr_idmap_canonicalise() brings them into an order that
 * depends on the set of ids only.
 */
#ifndef MR_IDMAP_H
#define MR_IDMAP_H

#include "data/budget.h"

typedef struct MrIdMap MrIdMap;

/* The most keys that one call of the batch functions takes. */
#define MR_IDMAP_BATCH 256

/* Ids of kind byte string, copied out of the tuples they came in. */
typedef struct MrByteKeys
{
	int			n;
	uint32		hash[MR_IDMAP_BATCH];
	Size		end[MR_IDMAP_BATCH + 1];	/* key i: bytes[end[i]] to bytes[end[i + 1]]; end[0] = 0 */
	char	   *bytes;
	Size		allocated;
} MrByteKeys;

static inline Size
mr_byte_keys_size(const MrByteKeys *keys)
{
	return keys->end[keys->n];
}

/* idmap.c */
extern MrIdMap *mr_idmap_create(Oid type, Oid collation, MemoryContext context);
extern void mr_idmap_set_budget(MrIdMap *map, MrBudget *budget);
extern int32 mr_idmap_insert(MrIdMap *map, Datum id);	/* row of the id, new or old */
extern int32 mr_idmap_lookup(const MrIdMap *map, Datum id); /* -1 = not there */
extern int32 mr_idmap_size(const MrIdMap *map);
extern Datum mr_idmap_id(const MrIdMap *map, int32 row);
extern Oid	mr_idmap_type(const MrIdMap *map);
extern Oid	mr_idmap_collation(const MrIdMap *map);

/* idmap_batch.c: the same for up to MR_IDMAP_BATCH ids at once, faster */
extern bool mr_idmap_is_integer(const MrIdMap *map);
extern void mr_idmap_insert_integers(MrIdMap *map, const int64 *keys, int n, int32 *rows);
extern void mr_idmap_lookup_integers(const MrIdMap *map, const int64 *keys, int n, int32 *rows);
extern bool mr_idmap_is_bytes(const MrIdMap *map);
extern void mr_idmap_stage(const MrIdMap *map, MrByteKeys *keys, Datum id);
extern void mr_idmap_insert_staged(MrIdMap *map, const MrByteKeys *keys, int32 *rows);
extern void mr_idmap_lookup_staged(const MrIdMap *map, const MrByteKeys *keys, int32 *rows);
extern int32 mr_idmap_insert_one_staged(MrIdMap *map, const MrByteKeys *keys, int i);

/*
 * Renumbers the rows into the canonical order of the ids; keep[row] false drops
 * the id (keep NULL: all stay).  new_row[old row] receives the new number, -1
 * for a dropped one.
 */
extern void mr_idmap_canonicalise(MrIdMap *map, const bool *keep, int32 *new_row);

/* idmap_type.c */
extern bool mr_idmap_hashable(Oid type);

#endif							/* MR_IDMAP_H */
