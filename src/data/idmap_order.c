/*
 * idmap_order.c
 *		The canonical order of the ids of a map.
 *
 * Any order would do that depends on the ids alone; the type's own is taken
 * where it has one, because it is the one that people expect:
 *	 integers		by value
 *	 byte strings	by bytes, then by length (no collation: a new version of the
 *					locale library must not renumber a model)
 *	 others			by the default btree comparison, else by the output text
 * What compares equal there, though the type's hash equality tells it apart, is
 * ordered by its stored bytes.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "data/idmap_internal.h"

typedef struct IntegerEntry
{
	int64		key;
	int32		row;
} IntegerEntry;

typedef struct BytesEntry
{
	uint64		prefix;			/* the first 8 bytes, padded by 0, as a big-endian number */
	int32		row;
} BytesEntry;

typedef struct GenericOrder
{
	MrIdMap    *map;
	bool		has_compare;
	FmgrInfo	compare;
	char	  **texts;			/* by row, if there is no comparison */
} GenericOrder;

static inline int
compare_integers(const IntegerEntry *a, const IntegerEntry *b)
{
	return a->key < b->key ? -1 : a->key > b->key ? 1 : 0;
}

static inline int
compare_bytes(const BytesEntry *a, const BytesEntry *b, MrIdMap *map)
{
	const char *a_bytes;
	const char *b_bytes;
	Size		a_length;
	Size		b_length;
	int			result;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	mr_idmap_bytes_of(map, map->ids[a->row], &a_bytes, &a_length);
	mr_idmap_bytes_of(map, map->ids[b->row], &b_bytes, &b_length);
	result = memcmp(a_bytes, b_bytes, Min(a_length, b_length));
	if (result != 0)
		return result;
	return a_length < b_length ? -1 : a_length > b_length ? 1 : 0;
}

static int
compare_generic(const int32 *a, const int32 *b, GenericOrder *order)
{
	MrIdMap    *map = order->map;
	MemoryContext old;
	int			result;

	if (order->has_compare)
	{
		old = MemoryContextSwitchTo(map->scratch);
		result = DatumGetInt32(FunctionCall2Coll(&order->compare, map->collation,
												 map->ids[*a], map->ids[*b]));
		MemoryContextSwitchTo(old);
		MemoryContextReset(map->scratch);
	}
	else
		result = strcmp(order->texts[*a], order->texts[*b]);
	return result != 0 ? result : mr_idmap_compare_images(map, map->ids[*a], map->ids[*b]);
}

#define ST_SORT sort_integers
#define ST_ELEMENT_TYPE IntegerEntry
#define ST_COMPARE(a, b) compare_integers(a, b)
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

#define ST_SORT sort_bytes
#define ST_ELEMENT_TYPE BytesEntry
#define ST_COMPARE_ARG_TYPE MrIdMap
#define ST_COMPARE(a, b, map) compare_bytes(a, b, map)
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

#define ST_SORT sort_generic
#define ST_ELEMENT_TYPE int32
#define ST_COMPARE_ARG_TYPE GenericOrder
#define ST_COMPARE(a, b, order) compare_generic(a, b, order)
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

static void
order_integers(MrIdMap *map, int32 *rows, int32 n)
{
	Size		size = sizeof(IntegerEntry) * (Size) n;
	IntegerEntry *entries = mr_budget_alloc(map->budget, map->context, size);

	for (int32 i = 0; i < n; i++)
	{
		entries[i].key = map->integers[rows[i]];
		entries[i].row = rows[i];
	}
	sort_integers(entries, n);
	for (int32 i = 0; i < n; i++)
		rows[i] = entries[i].row;
	mr_budget_free(map->budget, entries, size);
}

static void
order_bytes(MrIdMap *map, int32 *rows, int32 n)
{
	Size		size = sizeof(BytesEntry) * (Size) n;
	BytesEntry *entries = mr_budget_alloc(map->budget, map->context, size);

	for (int32 i = 0; i < n; i++)
	{
		const char *bytes;
		Size		length;
		uint64		prefix = 0;

		mr_idmap_bytes_of(map, map->ids[rows[i]], &bytes, &length);
		memcpy(&prefix, bytes, Min(length, sizeof(prefix)));
		entries[i].prefix = pg_ntoh64(prefix);
		entries[i].row = rows[i];
	}
	sort_bytes(entries, n, map);
	for (int32 i = 0; i < n; i++)
		rows[i] = entries[i].row;
	mr_budget_free(map->budget, entries, size);
}

/* The output text of every id; only for types that cannot be compared. */
static void
make_texts(GenericOrder *order, const int32 *rows, int32 n, MemoryContext context)
{
	MrIdMap    *map = order->map;
	MemoryContext old = MemoryContextSwitchTo(context);
	FmgrInfo	output;
	Oid			output_function;
	bool		is_varlena;

	getTypeOutputInfo(map->base_type, &output_function, &is_varlena);
	fmgr_info(output_function, &output);
	order->texts = mr_budget_alloc(map->budget, context, sizeof(char *) * (Size) map->n);
	for (int32 i = 0; i < n; i++)
	{
		char	   *text;
		Size		size;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(map->scratch);
		text = OutputFunctionCall(&output, map->ids[rows[i]]);
		size = strlen(text) + 1;
		order->texts[rows[i]] = memcpy(mr_budget_alloc(map->budget, context, size), text, size);
		MemoryContextReset(map->scratch);
	}
	MemoryContextSwitchTo(old);
}

static void
order_generic(MrIdMap *map, int32 *rows, int32 n)
{
	TypeCacheEntry *cache = lookup_type_cache(map->base_type, TYPECACHE_CMP_PROC);
	GenericOrder order = {.map = map};
	MemoryContext context = AllocSetContextCreate(map->context, "metricrec id order", ALLOCSET_DEFAULT_SIZES);
	Size		used = map->budget ? map->budget->used : 0;

	if (OidIsValid(cache->cmp_proc))
	{
		order.has_compare = true;
		fmgr_info_cxt(cache->cmp_proc, &order.compare, context);
	}
	else
		make_texts(&order, rows, n, context);
	sort_generic(rows, n, &order);
	MemoryContextDelete(context);
	if (map->budget)
		map->budget->used = used;
}

/* Sorts n row numbers into the canonical order of their ids. */
void
mr_idmap_order(MrIdMap *map, int32 *rows, int32 n)
{
	if (n < 2)
		return;
	switch (map->kind)
	{
		case MR_ID_INTEGER:
			order_integers(map, rows, n);
			break;
		case MR_ID_BYTES:
			order_bytes(map, rows, n);
			break;
		case MR_ID_GENERIC:
			order_generic(map, rows, n);
			break;
	}
}
