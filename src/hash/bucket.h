/*
 * bucket.h
 *		Locality-sensitive hash functions: which bucket a vector belongs to, in
 *		which order the buckets are worth looking at for a query, and how a full
 *		bucket becomes two.
 *
 * There are two families behind one interface.
 *
 * MR_HASH_VORONOI, learned (k-means LSH: Pauleve, Jegou, Amsaleg, 2010).  A
 * bucket has a centre; h(x) is the bucket whose centre is nearest.  Buckets are
 * probed in the order of |q - c|.  The bound of bucket j is the distance of q
 * to the hyperplane that parts its cell from the cell of a reference centre r
 * near q:
 *
 *		b_j = (|q - c_j|^2 - |q - r|^2) / (2 |c_j - r|)
 *
 * Every x of cell j has |q - x| >= b_j, whichever centre r is.
 *
 * MR_HASH_PROJECTION, data-independent (random projections, E2LSH's family, as
 * an LSH forest: Datar et al. 2004, Bawa et al. 2005).  K orthonormal random
 * directions from a stored seed; coordinate i of the projection is cut in two
 * at its quantile 1/2 under N(0, sigma^2), each half again at 1/4 or 3/4, and
 * so on.  The bits are interleaved: bit m is digit m / K of direction m % K.
 * A bucket is a prefix of these bits, its key; the bound is the distance of q's
 * projection to the box of the prefix (a true lower bound, as the directions
 * are orthonormal).  Buckets are probed by the squared bound plus a part of the
 * squared distance to the centre.
 *
 * In both families a bucket also has a centre code, from which the index keeps
 * the radius of its rows: exact search needs that only, never the hash.
 *
 * Buckets come on two levels: groups of buckets, then buckets.  The functions
 * are the same for both.
 *
 * Pure C: the caller gives the memory.
 */
#ifndef MR_BUCKET_H
#define MR_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash/code.h"
#include "util/rng.h"

typedef enum MrHashFamily
{
	MR_HASH_VORONOI = 1,
	MR_HASH_PROJECTION = 2
} MrHashFamily;

#define MR_PROJECTION_DIRECTIONS 16

/* A key of the projection family: the bits, first bit highest, and their number. */
typedef uint64_t MrBucketKey;

#define MR_KEY_MAX_BITS 56
#define mr_key_length(key) ((int) ((key) & 63))
#define mr_key_bits(key) ((key) >> 8)	/* MR_KEY_MAX_BITS wide, left-justified */
#define mr_key_make(bits, length) (((uint64_t) (bits) << 8) | (uint64_t) (length))

/* The hash function of one index: made of what its meta page says. */
typedef struct MrHash
{
	MrHashFamily family;
	int			dim;
	uint64_t	seed;
	float		sigma;			/* projection: spread of a coordinate of the projection */
	int			n_directions;	/* projection: min(dim, MR_PROJECTION_DIRECTIONS), else 0 */
	const float *directions;	/* projection: [n_directions][dim] */
} MrHash;

/* Buckets of one page, or of the directory of a build. */
typedef struct MrBuckets
{
	MrCodeRows	centres;
	const MrBucketKey *keys;	/* [n]; NULL in the voronoi family */
} MrBuckets;

/* One vector prepared for scoring buckets. */
typedef struct MrHashQuery
{
	MrCodeQuery code;
	/* projection: where the vector lies, its key, and memory for projection.c */
	float		projection[MR_PROJECTION_DIRECTIONS];
	MrBucketKey key;
	float	   *work;
	/* voronoi: the nearest centre seen so far on each of the two levels */
	MrCodeQuery reference[2];
	float		reference_squared[2];	/* |q - r|^2; infinite = none yet */
} MrHashQuery;

/* The two buckets that a split makes. */
typedef struct MrNewBucket
{
	int8_t	   *code;			/* [dim], the caller's memory */
	float		scale;
	float		norm;
	MrBucketKey key;
	int			n;				/* rows that go there */
} MrNewBucket;

/* bucket.c */
extern const char *mr_hash_name(MrHashFamily family);
extern size_t mr_hash_directions_size(const MrHash *hash);	/* bytes; 0 in the voronoi family */
extern void mr_hash_directions(const MrHash *hash, float *directions);	/* from the seed */
extern size_t mr_hash_query_size(int dim);	/* bytes that mr_hash_query takes from `memory` */
extern void mr_hash_query_init(MrHashQuery *query, int dim, void *memory);
extern void mr_hash_query(const MrHash *hash, MrHashQuery *query, const float *x);
extern void mr_hash_query_from_code(const MrHash *hash, MrHashQuery *query,
									const int8_t *code, float scale, float norm);

/*
 * order[i]: buckets are worth looking at in ascending order of it; equal values
 * are told apart by the caller (the later entry first: it is the newer bucket).
 * centre[i]: squared distance of q^ to the centre (equal to order in the voronoi
 * family).  bound[i]: a row of the bucket that lies where the hash sends it is
 * not nearer than that.  bound and centre may be NULL.
 *
 * bound == NULL means that a row looks for its bucket.  Then the first in order
 * is the bucket that the hash sends it to: in the projection family the one with
 * the longest key that fits, whatever its centre.
 */
extern void mr_hash_score(const MrHash *hash, MrHashQuery *query, int level,
						  const MrBuckets *buckets, float *order, float *centre, float *bound);

/* The key that a coded row hashes to, all bits (projection); 0 (voronoi). */
extern MrBucketKey mr_hash_key(const MrHash *hash, const int8_t *code, float scale, float *scratch);

/*
 * Parts rows (leaf: keys NULL in both families) or buckets (inner page: with
 * their keys in the projection family) in two.  n >= 2.  side[i] is 0 or 1;
 * both sides get at least one row, a quarter where the family can.  parent is
 * the key of the bucket that is split.  Repeatable: the same input gives the
 * same parts.  Rows that are all equal: side 0 keeps all but the last.
 */
extern size_t mr_hash_split_scratch(const MrHash *hash, int n);	/* bytes */
extern void mr_hash_split(const MrHash *hash, const MrBuckets *rows, MrBucketKey parent,
						  uint8_t *side, MrNewBucket parts[2], void *scratch);

#endif							/* MR_BUCKET_H */
