/*
 * bucket.c
 *		The two hash families behind one interface.  See bucket.h.
 *
 * What both families need is here: the memory of queries and splits, and the
 * centres of the buckets that a split makes.
 */
#include <math.h>
#include <string.h>

#include "hash/family.h"
#include "math/vecmath.h"

/* Pieces of memory start at multiples of this. */
#define ALIGNMENT 64

/* What a piece takes. */
static size_t
padded(size_t bytes)
{
	return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Takes a piece from the memory at *next. */
static void *
carve(char **next, size_t bytes)
{
	char	   *piece = *next;

	*next += padded(bytes);
	return piece;
}

/* The first aligned byte of the caller's memory, which has ALIGNMENT to spare. */
static char *
aligned(void *memory)
{
	uintptr_t	off = (uintptr_t) memory % ALIGNMENT;

	return (char *) memory + (off == 0 ? 0 : ALIGNMENT - off);
}

/* The name of a family, as it is written in SQL. */
const char *
mr_hash_name(MrHashFamily family)
{
	switch (family)
	{
		case MR_HASH_VORONOI:
			return "voronoi";
		case MR_HASH_PROJECTION:
			return "projection";
	}
	return "unknown";
}

/* ---- directions ---- */

/* How many bytes the directions take. */
size_t
mr_hash_directions_size(const MrHash *hash)
{
	return hash->family == MR_HASH_PROJECTION ? (size_t) hash->n_directions * hash->dim * sizeof(float) : 0;
}

/* Makes the directions from the seed. */
void
mr_hash_directions(const MrHash *hash, float *directions)
{
	if (hash->family == MR_HASH_PROJECTION)
		mr_projection_directions(hash, directions);
}

/* ---- queries ---- */

/* Bytes of a vector coded as a query. */
static size_t
coded_size(int dim)
{
	return mr_code_padded(dim) * sizeof(int16_t);
}

/* Bytes of MrHashQuery.work: the projection family's numbers, and a decoded row. */
static size_t
work_size(int dim)
{
	return (MR_PROJECTION_WORK + dim) * sizeof(float);
}

/* How many bytes mr_hash_query_init() wants. */
size_t
mr_hash_query_size(int dim)
{
	return ALIGNMENT + 3 * padded(coded_size(dim)) + padded(work_size(dim));
}

/* Gives a query its memory. */
void
mr_hash_query_init(MrHashQuery *query, int dim, void *memory)
{
	char	   *next = aligned(memory);

	memset(query, 0, sizeof(MrHashQuery));
	query->code.dim = dim;
	query->code.q = carve(&next, coded_size(dim));
	for (int level = 0; level < 2; level++)
	{
		query->reference[level].dim = dim;
		query->reference[level].q = carve(&next, coded_size(dim));
		query->reference_squared[level] = INFINITY;
	}
	query->work = carve(&next, work_size(dim));
}

/* What is prepared beside the code; x is decoded already or the vector itself. */
static void
query_prepare(const MrHash *hash, MrHashQuery *query, const float *x)
{
	query->reference_squared[0] = INFINITY;
	query->reference_squared[1] = INFINITY;
	query->key = 0;
	if (hash->family == MR_HASH_PROJECTION)
		mr_projection_query(hash, query, x);
}

/* Prepares a vector for scoring. */
void
mr_hash_query(const MrHash *hash, MrHashQuery *query, const float *x)
{
	mr_code_query(&query->code, x);
	query_prepare(hash, query, x);
}

/*
 * The same for a coded row.  In the projection family a row is to be hashed by
 * this and not by mr_hash_query(): its key is that of the code, which a split
 * will compute again.
 */
void
mr_hash_query_from_code(const MrHash *hash, MrHashQuery *query, const int8_t *code, float scale, float norm)
{
	float	   *x = query->work + MR_PROJECTION_WORK;

	mr_code_query_from_code(&query->code, code, scale, norm);
	if (hash->family == MR_HASH_PROJECTION)
		mr_code_decode(code, scale, hash->dim, x);
	query_prepare(hash, query, x);
}

/* ---- buckets ---- */

/* Scores the buckets of a page. */
void
mr_hash_score(const MrHash *hash, MrHashQuery *query, int level,
			  const MrBuckets *buckets, float *order, float *centre, float *bound)
{
	if (hash->family == MR_HASH_PROJECTION)
	{
		mr_projection_score(hash, query, buckets, order, centre, bound);
		return;
	}
	mr_voronoi_score(query, level, &buckets->centres, order, bound);
	if (centre != NULL)
		memcpy(centre, order, buckets->centres.n * sizeof(float));
}

/* The key of a coded row. */
MrBucketKey
mr_hash_key(const MrHash *hash, const int8_t *code, float scale, float *scratch)
{
	if (hash->family != MR_HASH_PROJECTION)
		return 0;
	mr_code_decode(code, scale, hash->dim, scratch);
	return mr_projection_key(hash, scratch);
}

/* ---- splits ---- */

/* How many bytes of scratch memory a split of n rows wants. */
size_t
mr_hash_split_scratch(const MrHash *hash, int n)
{
	size_t		vector = hash->dim * sizeof(float);

	return ALIGNMENT + padded(n * vector) + 4 * padded(vector) + padded(n * sizeof(MrTopItem)) +
		padded(n * sizeof(MrBucketKey));
}

/* Lays out the scratch memory and decodes the rows. */
static void
split_prepare(MrSplitWork *work, const MrCodeRows *rows, void *scratch)
{
	char	   *next = aligned(scratch);
	size_t		vector = rows->dim * sizeof(float);
	int			n = rows->n;

	work->codes = rows;
	work->rows = carve(&next, n * vector);
	for (int i = 0; i < 4; i++)
		work->vectors[i] = carve(&next, vector);
	work->items = carve(&next, n * sizeof(MrTopItem));
	work->keys = carve(&next, n * sizeof(MrBucketKey));

	work->unit = 0;
	for (int i = 0; i < n; i++)
		work->unit = rows->scale[i] > work->unit ? rows->scale[i] : work->unit;
	for (int i = 0; i < n; i++)
		mr_code_decode(rows->codes + (size_t) i * rows->dim, work->unit > 0 ? rows->scale[i] / work->unit : 0,
					   rows->dim, work->rows + (size_t) i * rows->dim);
}

/* The sizes of the parts, and the means of their rows as their centres. */
static void
describe_parts(const MrSplitWork *work, const uint8_t *side, MrNewBucket parts[2])
{
	int			dim = work->codes->dim;
	float	   *mean[2] = {work->vectors[0], work->vectors[1]};

	for (int k = 0; k < 2; k++)
	{
		parts[k].n = 0;
		memset(mean[k], 0, dim * sizeof(float));
	}
	for (int i = 0; i < work->codes->n; i++)
	{
		parts[side[i]].n++;
		mr_vecmath.axpy(mean[side[i]], 1, work->rows + (size_t) i * dim, dim);
	}
	for (int k = 0; k < 2; k++)
	{
		/* two factors, for a product of them may be too small for a float */
		mr_vecmath.scale(mean[k], 1.0f / parts[k].n, dim);
		mr_vecmath.scale(mean[k], work->unit, dim);
		mr_code_encode(mean[k], dim, parts[k].code, &parts[k].scale, &parts[k].norm);
	}
}

/*
 * Parts rows whose codes are equal: the full bucket stays full, and new rows go
 * to the other one, which gets the last row.  Wild rows have the same code as
 * zero, but are something else: they go to the other one if there are both.
 */
static void
part_equal(const MrCodeRows *rows, uint8_t *side)
{
	int			wild = 0;

	for (int i = 0; i < rows->n; i++)
	{
		side[i] = isinf(rows->norm[i]) ? 1 : 0;
		wild += side[i];
	}
	if (wild == 0 || wild == rows->n)
	{
		memset(side, 0, rows->n);
		side[rows->n - 1] = 1;
	}
}

/* Parts rows or buckets in two. */
void
mr_hash_split(const MrHash *hash, const MrBuckets *rows, MrBucketKey parent,
			  uint8_t *side, MrNewBucket parts[2], void *scratch)
{
	MrSplitWork work;
	bool		parted;

	split_prepare(&work, &rows->centres, scratch);
	parts[0].key = parts[1].key = parent;
	if (hash->family == MR_HASH_PROJECTION)
		parted = mr_projection_split(hash, rows, parent, &work, side, parts);
	else
		parted = mr_two_means_split(&work, side);
	if (!parted)
		part_equal(&rows->centres, side);
	describe_parts(&work, side, parts);
}
