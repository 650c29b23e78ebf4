/*
 * lsh_build_list.c
 *		Coded rows and entries in memory, as arrays that the hash functions take.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "index/lsh_build.h"

/* ---- memory ---- */

/* An empty list in the current memory context. */
void
mr_lsh_list_init(MrLshList *list, int dim, bool entries)
{
	memset(list, 0, sizeof(*list));
	list->context = CurrentMemoryContext;
	list->dim = dim;
	list->room = 64;
	list->codes = palloc(list->room * dim);
	list->scale = palloc(list->room * sizeof(float));
	list->norm = palloc(list->room * sizeof(float));
	if (entries)
	{
		list->key = palloc(list->room * sizeof(MrBucketKey));
		list->link = palloc(list->room * sizeof(MrLshLink));
	}
	else
	{
		list->error = palloc(list->room * sizeof(float));
		list->tid = palloc(list->room * sizeof(ItemPointerData));
	}
}

static void *
enlarged(void *array, Size n, Size size)
{
	return array == NULL ? NULL : repalloc_huge(array, mul_size(n, size));
}

/* Room for one more. */
static void
reserve(MrLshList *list)
{
	if (list->n < list->room)
		return;
	if (list->room > PG_INT32_MAX / 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows for an lsh index")));
	list->room *= 2;
	list->codes = enlarged(list->codes, list->room, list->dim);
	list->scale = enlarged(list->scale, list->room, sizeof(float));
	list->norm = enlarged(list->norm, list->room, sizeof(float));
	list->error = enlarged(list->error, list->room, sizeof(float));
	list->tid = enlarged(list->tid, list->room, sizeof(ItemPointerData));
	list->key = enlarged(list->key, list->room, sizeof(MrBucketKey));
	list->link = enlarged(list->link, list->room, sizeof(MrLshLink));
}

void
mr_lsh_list_free(MrLshList *list)
{
	pfree(list->codes);
	pfree(list->scale);
	pfree(list->norm);
	if (list->error)
		pfree(list->error);
	if (list->tid)
		pfree(list->tid);
	if (list->key)
		pfree(list->key);
	if (list->link)
		pfree(list->link);
	memset(list, 0, sizeof(*list));
}

/* ---- items ---- */

static void
append_code(MrLshList *list, const int8 *code, float scale, float norm)
{
	reserve(list);
	memcpy(list->codes + (Size) list->n * list->dim, code, list->dim);
	list->scale[list->n] = scale;
	list->norm[list->n] = norm;
}

/* Appends a row; row->code may not lie in the list. */
void
mr_lsh_list_row(MrLshList *list, const MrLshRow *row)
{
	append_code(list, row->code, row->scale, row->norm);
	list->error[list->n] = row->error;
	list->tid[list->n] = row->tid;
	list->n++;
}

/* Appends an entry; entry->code may not lie in the list. */
void
mr_lsh_list_entry(MrLshList *list, const MrLshEntry *entry)
{
	append_code(list, entry->code, entry->scale, entry->norm);
	list->key[list->n] = entry->key;
	list->link[list->n] = entry->link;
	list->n++;
}

/* Row i; its code stays in the list. */
void
mr_lsh_list_get_row(const MrLshList *list, int i, MrLshRow *row)
{
	row->tid = list->tid[i];
	row->scale = list->scale[i];
	row->norm = list->norm[i];
	row->error = list->error[i];
	row->code = list->codes + (Size) i * list->dim;
}

/* Entry i; its code stays in the list. */
void
mr_lsh_list_get_entry(const MrLshList *list, int i, MrLshEntry *entry)
{
	entry->code = list->codes + (Size) i * list->dim;
	entry->scale = list->scale[i];
	entry->norm = list->norm[i];
	entry->key = list->key[i];
	entry->link = list->link[i];
}

/* n items from `first` on, as the hash functions take them. */
void
mr_lsh_list_buckets(const MrLshList *list, int first, int n, MrBuckets *buckets)
{
	buckets->centres.n = n;
	buckets->centres.dim = list->dim;
	buckets->centres.codes = list->codes + (Size) first * list->dim;
	buckets->centres.scale = list->scale + first;
	buckets->centres.norm = list->norm + first;
	buckets->keys = list->key == NULL ? NULL : list->key + first;
}

/* Are n items from `first` on the same vector, and have the same key? */
bool
mr_lsh_list_equal(const MrLshList *list, int first, int n)
{
	const int8 *code = list->codes + (Size) first * list->dim;

	for (int i = first + 1; i < first + n; i++)
	{
		if (list->scale[i] != list->scale[first] || list->norm[i] != list->norm[first] ||
			memcmp(list->codes + (Size) i * list->dim, code, list->dim) != 0)
			return false;
		if (list->key && list->key[i] != list->key[first])
			return false;
	}
	return true;
}

/* ---- order ---- */

/* Puts one array in a new order: what is at place order[i] comes to place i. */
static void
permute(void *array, Size size, int first, int n, const int32 *order, char *work)
{
	char	   *at = (char *) array + (Size) first * size;

	if (array == NULL)
		return;
	for (int i = 0; i < n; i++)
		memcpy(work + (Size) i * size, at + (Size) order[i] * size, size);
	memcpy(at, work, (Size) n * size);
}

/* Brings n items from `first` on into a new order: the one at first + order[i] comes to first + i. */
void
mr_lsh_list_reorder(MrLshList *list, int first, int n, const int32 *order)
{
	char	   *work = MemoryContextAllocHuge(CurrentMemoryContext,
											  mul_size(n, Max(list->dim, (int) sizeof(MrLshLink))));

	permute(list->codes, list->dim, first, n, order, work);
	permute(list->scale, sizeof(float), first, n, order, work);
	permute(list->norm, sizeof(float), first, n, order, work);
	permute(list->error, sizeof(float), first, n, order, work);
	permute(list->tid, sizeof(ItemPointerData), first, n, order, work);
	permute(list->key, sizeof(MrBucketKey), first, n, order, work);
	permute(list->link, sizeof(MrLshLink), first, n, order, work);
	pfree(work);
}

/*
 * Brings the items of side 0 before those of side 1, each in the order in which
 * they were.  Returns how many are on side 0.
 */
int
mr_lsh_list_part(MrLshList *list, int first, int n, const uint8 *side)
{
	int32	   *order = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, sizeof(int32)));
	int			zeroes = 0;
	int			at = 0;

	for (int i = 0; i < n; i++)
		if (side[i] == 0)
			order[zeroes++] = i;
	at = zeroes;
	for (int i = 0; i < n; i++)
		if (side[i] != 0)
			order[at++] = i;
	mr_lsh_list_reorder(list, first, n, order);
	pfree(order);
	return zeroes;
}

typedef struct TidPlace
{
	ItemPointerData tid;
	int32		place;
} TidPlace;

static int
compare_tids(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) &((const TidPlace *) a)->tid, (ItemPointer) &((const TidPlace *) b)->tid);
}

/* Sorts rows by their TIDs. */
void
mr_lsh_list_sort(MrLshList *list, int first, int n)
{
	TidPlace   *tids;
	int32	   *order;
	bool		sorted = true;

	for (int i = first + 1; i < first + n && sorted; i++)
		sorted = ItemPointerCompare(&list->tid[i - 1], &list->tid[i]) <= 0;
	if (sorted)
		return;
	tids = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, sizeof(TidPlace)));
	order = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(n, sizeof(int32)));
	for (int i = 0; i < n; i++)
	{
		tids[i].tid = list->tid[first + i];
		tids[i].place = i;
	}
	qsort(tids, n, sizeof(TidPlace), compare_tids);
	for (int i = 0; i < n; i++)
		order[i] = tids[i].place;
	mr_lsh_list_reorder(list, first, n, order);
	pfree(order);
	pfree(tids);
}
