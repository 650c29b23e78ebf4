/*
 * family.h
 *		What the two hash families give to bucket.c.  Nobody else includes this.
 */
#ifndef MR_FAMILY_H
#define MR_FAMILY_H

#include "hash/bucket.h"
#include "math/topk.h"

/*
 * Floats at the head of MrHashQuery.work: for each direction squared distances
 * to MR_PROJECTION_BOXES boxes, and MR_PROJECTION_SUMS sums of some of them.
 */
#define MR_PROJECTION_BOXES 32
#define MR_PROJECTION_SUMS 64
#define MR_PROJECTION_WORK (MR_PROJECTION_DIRECTIONS * MR_PROJECTION_BOXES + MR_PROJECTION_SUMS)

/*
 * Memory of a split, carved from the caller's.  `rows` are the decoded rows in
 * the unit of the largest scale among them, so that neither their squares
 * overflow nor those of small vectors vanish.
 */
typedef struct MrSplitWork
{
	const MrCodeRows *codes;
	float		unit;			/* row = unit * rows[i]; 0 = all rows are zero */
	float	   *rows;			/* [n][dim] */
	float	   *vectors[4];		/* [dim] each */
	MrTopItem  *items;			/* [n] */
	MrBucketKey *keys;			/* [n] */
} MrSplitWork;

/* The first `length` bits are equal. */
static inline bool
mr_key_same(MrBucketKey a, MrBucketKey b, int length)
{
	return length == 0 || ((a ^ b) >> (64 - length)) == 0;
}

/* voronoi.c */
extern void mr_voronoi_score(MrHashQuery *query, int level, const MrCodeRows *centres,
							 float *order, float *bound);

/* two_means.c */
extern bool mr_two_means_split(const MrSplitWork *work, uint8_t *side);

/* projection.c */
extern void mr_projection_directions(const MrHash *hash, float *directions);
extern void mr_projection_query(const MrHash *hash, MrHashQuery *query, const float *x);
extern void mr_projection_score(const MrHash *hash, const MrHashQuery *query, const MrBuckets *buckets,
								float *order, float *centre, float *bound);
extern MrBucketKey mr_projection_key(const MrHash *hash, const float *x);

/* projection_split.c */
extern bool mr_projection_split(const MrHash *hash, const MrBuckets *rows, MrBucketKey parent,
								const MrSplitWork *work, uint8_t *side, MrNewBucket parts[2]);

#endif							/* MR_FAMILY_H */
