/*
 * idmap_type.c
 *		What a map of ids has to know about the type of the ids.
 *
 * The kind of a type decides speed only; all three give the equality of the
 * type itself.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "data/idmap_internal.h"

/* Can a map be made of this type?  Domains are looked through. */
bool
mr_idmap_hashable(Oid type)
{
	TypeCacheEntry *cache;

	/* A pseudo-type cannot be the type of a version table's key. */
	type = getBaseType(type);
	if (get_typtype(type) == TYPTYPE_PSEUDO)
		return false;
	cache = lookup_type_cache(type, TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR);
	return OidIsValid(cache->hash_proc) && OidIsValid(cache->eq_opr);
}

static MrIdKind
kind_of(Oid base_type, Oid collation)
{
	switch (base_type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return MR_ID_INTEGER;
		case UUIDOID:
		case BYTEAOID:
			return MR_ID_BYTES;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:

			/*
			 * A nondeterministic collation calls different bytes equal; the
			 * type's own functions know which.
			 */
			if (!OidIsValid(collation) || get_collation_isdeterministic(collation))
				return MR_ID_BYTES;
			return MR_ID_GENERIC;
		default:
			return MR_ID_GENERIC;
	}
}

/* Fills the fields that follow from map->type and map->collation. */
void
mr_idmap_init_type(MrIdMap *map)
{
	TypeCacheEntry *cache;

	if (!mr_idmap_hashable(map->type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify a hash function for type %s", format_type_be(map->type)),
				 errhint("Use keys of a hashable type; a view can cast them, for example to text.")));
	map->base_type = getBaseType(map->type);
	map->kind = kind_of(map->base_type, map->collation);
	get_typlenbyvalalign(map->base_type, &map->typlen, &map->typbyval, &map->typalign);
	if (map->kind != MR_ID_GENERIC)
		return;
	cache = lookup_type_cache(map->base_type, TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR);
	fmgr_info_cxt(cache->hash_proc, &map->hash_function, map->context);
	fmgr_info_cxt(get_opcode(cache->eq_opr), &map->equal_function, map->context);
	map->scratch = AllocSetContextCreate(map->context, "metricrec id scratch", ALLOCSET_DEFAULT_SIZES);
}

/*
 * The id in its plain form: not compressed, out of line, expanded or with a
 * short header.  The same datum if it is plain already, else a copy in the
 * current memory context.
 */
Datum
mr_idmap_flatten(const MrIdMap *map, Datum id)
{
	if (map->typlen == -1 && VARATT_IS_EXTENDED(DatumGetPointer(id)))
		return PointerGetDatum(detoast_attr((struct varlena *) DatumGetPointer(id)));
	return id;
}

/* Bytes of a plain id that is passed by reference. */
Size
mr_idmap_image_size(const MrIdMap *map, Datum id)
{
	if (map->typlen == -1)
		return VARSIZE_ANY(DatumGetPointer(id));
	if (map->typlen == -2)
		return strlen(DatumGetCString(id)) + 1;
	return map->typlen;
}

/*
 * Any total order of the stored forms of two plain ids; 0 only if they are the
 * same bit for bit.  Equal ids may differ here (numeric 1.0 and 1.00).
 */
int
mr_idmap_compare_images(const MrIdMap *map, Datum a, Datum b)
{
	Size		a_size;
	Size		b_size;
	int			result;

	if (map->typbyval)
		return a < b ? -1 : a > b ? 1 : 0;
	a_size = mr_idmap_image_size(map, a);
	b_size = mr_idmap_image_size(map, b);
	result = memcmp(DatumGetPointer(a), DatumGetPointer(b), Min(a_size, b_size));
	if (result != 0)
		return result;
	return a_size < b_size ? -1 : a_size > b_size ? 1 : 0;
}
