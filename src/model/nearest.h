/*
 * nearest.h
 *		The k nearest items of many users, by blocked matrix products and bounded
 *		selection.
 *
 *		mr_nearest_measure(&in, half_norms, largest, ...)		once
 *		mr_nearest(&in, first, n, memory, bytes, ..., lists, counts)	for each block of users
 *
 *						items, tiles of MR_NEAREST_TILE
 *					+---------+---------+---------+-
 *		users of a	| sgemm	  |			|		  |		scores u.v - |v|^2 / 2
 *		  block		| + select|	  ->	|	->	  |
 *					+---------+---------+---------+-
 *							  each user's pool of what may be among the k nearest
 *
 * Pure C, and all arrays are the caller's: several processes may work on
 * different blocks of one input in shared memory.
 */
#ifndef MR_NEAREST_H
#define MR_NEAREST_H

#include "math/topk.h"
#include "model/interactions.h"
#include "model/trainer.h"

#define MR_NEAREST_TILE 256
/* More users at once make the products no faster. */
#define MR_NEAREST_BLOCK 256

#define mr_nearest_tiles(n_items) (((n_items) + MR_NEAREST_TILE - 1) / MR_NEAREST_TILE)

/*
 * left_out and candidates have the row numbers of `users` and `items`; either may be
 * NULL: nothing is left out, all items are candidates.
 */
typedef struct MrNearestInput
{
	int32_t		dimensions;
	int32_t		n_items;
	const float *items;			/* [n_items][dimensions], finite */
	const float *users;			/* [n_users][dimensions], finite */
	const MrInteractions *left_out;
	const MrInteractions *candidates;
	int32_t		k;				/* > 0 */
	const float *half_norms;	/* [n_items], by mr_nearest_measure(); not read with candidates */
	const float *largest;		/* [mr_nearest_tiles(n_items)], likewise */
} MrNearestInput;

/* nearest.c */
extern MrStatus mr_nearest_measure(const MrNearestInput *in, float *half_norms, float *largest, MrPoll poll, void *arg);
extern int32_t mr_nearest_length(const MrNearestInput *in); /* of a list: min(k, n_items) */
extern size_t mr_nearest_bytes(const MrNearestInput *in, int32_t n_users);
extern MrStatus mr_nearest(const MrNearestInput *in, int32_t first, int32_t n, void *memory, size_t bytes,
						   MrPoll poll, void *arg, MrTopItem *lists, int32_t *counts);

#endif							/* MR_NEAREST_H */
