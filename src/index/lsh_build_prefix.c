/*
 * lsh_build_prefix.c
 *		From the sample to the directory in the projection family: the keys of the
 *		sample say how far each prefix has to be divided until its rows fit a page.
 *
 * The prefixes of the leaves are in order and cover all keys, so that each row of
 * the table has one, also where the sample has none.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "index/lsh_build.h"

/* Of the capacity of a page: cells are not all alike, and a cut is worse than some room. */
#define PREFIX_FILL 0.7

/* Rows between two looks for interrupts. */
#define STEP 256

typedef struct KeyPlace
{
	MrBucketKey key;
	int32		row;
} KeyPlace;

typedef struct Divider
{
	MrLshBuild *build;
	const MrLshList *rows;
	KeyPlace   *keys;			/* [n], sorted */
	double		page;			/* rows of the sample that fill a page */
	int			group_leaves;	/* leaves of a group at most */
	float	   *sum;			/* [dim] */
	int8	   *code;			/* [dim] */
	MrLshList	leaves;
	MrLshList	groups;
	int32	   *leaf_end;		/* for each leaf, the end of its rows in keys */
	int			leaf_room;
	int32	   *group_first;
	int			group_room;
} Divider;

/* ---- keys ---- */

/*
 * Spread of the projection: the root of the mean square of its coordinates, so
 * that it also covers a sample that is not centred.
 */
static float
find_sigma(MrLshBuild *build, const MrLshList *rows)
{
	MrHashQuery query;
	double		sum = 0;
	double		count = (double) rows->n * build->hash.n_directions;

	mr_hash_query_init(&query, rows->dim, palloc(mr_hash_query_size(rows->dim)));
	for (int i = 0; i < rows->n; i++)
	{
		if (i % STEP == 0)
			CHECK_FOR_INTERRUPTS();
		mr_hash_query_from_code(&build->hash, &query, rows->codes + (Size) i * rows->dim, rows->scale[i],
								rows->norm[i]);
		for (int k = 0; k < build->hash.n_directions; k++)
			sum += (double) query.projection[k] * query.projection[k];
	}
	if (!(sum > 0))
		return 1;
	return (float) Max(sqrt(sum / count), 1e-30);
}

static int
compare_keys(const void *a, const void *b)
{
	const KeyPlace *x = a;
	const KeyPlace *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->row < y->row ? -1 : 1;
}

/* The keys of the sample, sorted. */
static KeyPlace *
sorted_keys(const MrLshBuild *build, const MrLshList *rows)
{
	KeyPlace   *keys = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(Max(rows->n, 1), sizeof(KeyPlace)));
	float	   *scratch = palloc(rows->dim * sizeof(float));

	for (int i = 0; i < rows->n; i++)
	{
		if (i % STEP == 0)
			CHECK_FOR_INTERRUPTS();
		keys[i].key = mr_hash_key(&build->hash, rows->codes + (Size) i * rows->dim, rows->scale[i], scratch);
		keys[i].row = i;
	}
	qsort(keys, rows->n, sizeof(KeyPlace), compare_keys);
	return keys;
}

/* ---- prefixes ---- */

/* The same prefix and one bit more. */
static MrBucketKey
longer(MrBucketKey prefix, int bit)
{
	int			length = mr_key_length(prefix);
	uint64		bits = mr_key_bits(prefix) | ((uint64) bit << (MR_KEY_MAX_BITS - 1 - length));

	return mr_key_make(bits, length + 1);
}

/* Appends an entry whose centre is the mean of rows keys[from .. to - 1]; zero if there are none. */
static void
add_prefix(Divider *divider, MrLshList *list, MrBucketKey prefix, int from, int to)
{
	const MrLshList *rows = divider->rows;
	MrLshEntry	entry = {0};

	memset(divider->sum, 0, rows->dim * sizeof(float));
	for (int i = from; i < to; i++)
	{
		int32		row = divider->keys[i].row;

		mr_panelmath()->add(divider->sum, rows->codes + (Size) row * rows->dim, rows->scale[row], rows->dim);
	}
	for (int j = 0; j < rows->dim && to > from; j++)
		divider->sum[j] /= to - from;
	(void) mr_code_encode(divider->sum, rows->dim, divider->code, &entry.scale, &entry.norm);
	entry.code = divider->code;
	entry.key = prefix;
	mr_lsh_list_entry(list, &entry);
}

static void
add_leaf(Divider *divider, MrBucketKey prefix, int from, int to)
{
	add_prefix(divider, &divider->leaves, prefix, from, to);
	if (divider->leaves.n > divider->leaf_room)
	{
		divider->leaf_room *= 2;
		divider->leaf_end = repalloc_huge(divider->leaf_end, mul_size(divider->leaf_room, sizeof(int32)));
	}
	divider->leaf_end[divider->leaves.n - 1] = to;
}

/* The first of keys[from .. to - 1] that has 1 at this bit; they agree in all bits before. */
static int
first_with_bit(const KeyPlace *keys, int from, int to, int bit)
{
	while (from < to)
	{
		int			middle = from + (to - from) / 2;

		if ((mr_key_bits(keys[middle].key) >> (MR_KEY_MAX_BITS - 1 - bit)) & 1)
			to = middle;
		else
			from = middle + 1;
	}
	return from;
}

/* Divides a prefix until its rows fit a page. */
static void
divide(Divider *divider, MrBucketKey prefix, int from, int to)
{
	int			length = mr_key_length(prefix);
	int			middle;

	CHECK_FOR_INTERRUPTS();
	if (to - from <= divider->page || length >= MR_KEY_MAX_BITS)
	{
		add_leaf(divider, prefix, from, to);
		return;
	}
	middle = first_with_bit(divider->keys, from, to, length);
	divide(divider, longer(prefix, 0), from, middle);
	divide(divider, longer(prefix, 1), middle, to);
}

/* The first leaf in [from, to) whose key has 1 at this bit. */
static int
first_leaf_with_bit(const MrLshList *leaves, int from, int to, int bit)
{
	while (from < to && ((mr_key_bits(leaves->key[from]) >> (MR_KEY_MAX_BITS - 1 - bit)) & 1) == 0)
		from++;
	return from;
}

/* Makes groups of the leaves [from, to), all those under a prefix. */
static void
divide_groups(Divider *divider, MrBucketKey prefix, int from, int to)
{
	int			middle;

	if (to - from > divider->group_leaves)
	{
		middle = first_leaf_with_bit(&divider->leaves, from, to, mr_key_length(prefix));
		divide_groups(divider, longer(prefix, 0), from, middle);
		divide_groups(divider, longer(prefix, 1), middle, to);
		return;
	}
	add_prefix(divider, &divider->groups, prefix, from == 0 ? 0 : divider->leaf_end[from - 1],
			   divider->leaf_end[to - 1]);
	if (divider->groups.n >= divider->group_room)
	{
		divider->group_room *= 2;
		divider->group_first = repalloc_huge(divider->group_first, mul_size(divider->group_room, sizeof(int32)));
	}
	divider->group_first[divider->groups.n - 1] = from;
	divider->group_first[divider->groups.n] = to;
}

/* ---- result ---- */

static void
copy_entries(MrCentres *centres, MrBucketKey *keys, const MrLshList *list)
{
	for (int i = 0; i < list->n; i++)
	{
		mr_centres_set(centres, i, list->codes + (Size) i * list->dim, list->scale[i], list->norm[i]);
		keys[i] = list->key[i];
	}
}

/* The directory in one piece, in the current memory context. */
static void
make_directory(MrDirectory *directory, const Divider *divider)
{
	directory->n_tops = 1;
	directory->n_groups = divider->groups.n;
	directory->n_leaves = divider->leaves.n;
	mr_directory_attach(directory, mr_lsh_palloc_aligned(mr_directory_size(directory)), true);
	directory->top_first[0] = 0;
	directory->top_first[1] = directory->n_groups;
	memcpy(directory->group_first, divider->group_first, (directory->n_groups + 1) * sizeof(int32));
	copy_entries(&directory->groups, directory->group_keys, &divider->groups);
	copy_entries(&directory->leaves, directory->leaf_keys, &divider->leaves);
}

/* Finds the prefixes of the projection family. */
void
mr_lsh_build_prefixes(MrLshBuild *build, const MrLshSample *sample)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec index prefixes",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	const int	dim = build->meta.dim;
	double		pages = build->rows_expected / (PREFIX_FILL * build->layout.leaf_capacity);
	Divider		divider = {build, &sample->rows};

	build->meta.sigma = build->hash.sigma = find_sigma(build, &sample->rows);
	divider.keys = sorted_keys(build, &sample->rows);
	pages = Min(pages, mr_lsh_planned_leaves(build, sample) * MR_LSH_LEAF_FILL / PREFIX_FILL);
	divider.page = Max(sample->rows.n / Max(pages, 1), 1);
	divider.group_leaves = Max((int) (MR_LSH_INNER_FILL * build->layout.entry_capacity), 1);
	divider.sum = palloc(dim * sizeof(float));
	divider.code = palloc(dim);
	divider.leaf_room = divider.group_room = 64;
	divider.leaf_end = palloc(divider.leaf_room * sizeof(int32));
	divider.group_first = palloc(divider.group_room * sizeof(int32));
	mr_lsh_list_init(&divider.leaves, dim, true);
	mr_lsh_list_init(&divider.groups, dim, true);
	divide(&divider, mr_key_make(0, 0), 0, sample->rows.n);
	divide_groups(&divider, mr_key_make(0, 0), 0, divider.leaves.n);
	MemoryContextSwitchTo(before);
	make_directory(&build->directory, &divider);
	MemoryContextDelete(context);
}
