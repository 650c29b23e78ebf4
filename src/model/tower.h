/*
 * tower.h
 *		How a version makes a user's point: stored with the version, read by the
 *		queries.
 *
 * A stored point has `dimensions` coordinates.  With a bias the last one holds
 * sqrt(T * (b_max - b_i)) for an item and 0 for a user, so that the ranking by
 * plain Euclidean distance is the ranking by -d^2 / T + b_i.
 *
 *		item   | x_1 ... x_D'                | sqrt(T (b_max - b)) |
 *		user   | u_1 ... u_D'                | 0                   |
 *
 * Pooled tower:  u = normalise(SUM over the liked items of x), 0 if there is none.
 *
 * Factorisations, whose scores are dot products, have points of this form, too: see
 * dot_points.h.  The last coordinate is then the extra one, and counts as the bias here:
 * users have 0 there, and pools leave it out.
 *
 * With tags, a tag's point is like an item's, with its own bias, and what a user
 * may call an item are the tags nearest to  w u + (1 - w) x,  brought back to the
 * sphere if the points lie on one, its last coordinate 0 if there is a bias.
 */
#ifndef MR_TOWER_H
#define MR_TOWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MrTowerKind
{
	MR_TOWER_POOLED,			/* the user's point is pooled from the liked items' points */
	MR_TOWER_FREE				/* the user has a learned point */
} MrTowerKind;

typedef struct MrTower
{
	MrTowerKind kind;
	bool		item_bias;		/* the last coordinate is the bias */
	bool		sphere;			/* points lie on the unit sphere (without the bias; of factorisations: with it) */
	bool		ball;			/* points lie in the unit ball */
	int32_t		dimensions;
	bool		has_tags;
	float		user_weight;	/* w, 0 to 1; with tags */
	float		radius;			/* of ALS: the length that items' lengths were divided by; else 0 */
} MrTower;

/* Bytes of a tower in the version's storage; little-endian, see tower.c. */
#define MR_TOWER_BYTES 16

/* tower.c */
extern void mr_tower_write(const MrTower *tower, uint8_t bytes[MR_TOWER_BYTES]);
extern bool mr_tower_read(MrTower *tower, const uint8_t *bytes, size_t n);
extern bool mr_tower_tag_query(const MrTower *tower, const float *user, const float *item, float *query);
extern bool mr_tower_pool(const MrTower *tower, const float *items, int64_t n, double *sum, float *point);

#endif							/* MR_TOWER_H */
