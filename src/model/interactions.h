/*
 * interactions.h
 *		The interactions as the trainer sees them: row numbers, no ids.
 *
 *	user_start:  | 0 | 3 | 5 | ...                 | n_pairs |   n_users + 1
 *	items:       | 4 7 9 | 0 4 | ...                         |   n_pairs
 *	weights:     | 1 1 2 | ...                               |   n_pairs, or NULL: all 1
 *	times:       | ...                                       |   n_pairs, or NULL: no order known
 *
 * Invariants, asserted by mr_interactions_valid():
 *	user_start[0] = 0, non-decreasing, user_start[n_users] = n_pairs;
 *	items of one user are strictly ascending and lie in [0, n_items);
 *	weights are finite and > 0.
 *
 * Rows are numbered by the canonical order of the ids, so that the same set of
 * interactions always gives the same structure, whatever their order on disk.
 */
#ifndef MR_INTERACTIONS_H
#define MR_INTERACTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/features.h"

typedef struct MrInteractions
{
	int32_t		n_users;
	int32_t		n_items;
	int64_t		n_pairs;
	int64_t    *user_start;		/* [n_users + 1] */
	int32_t    *items;			/* [n_pairs], ascending inside a user */
	float	   *weights;		/* [n_pairs] or NULL */
	int64_t    *times;			/* [n_pairs] or NULL; larger is later */
	const MrFeatures *user_features;	/* of at least n_users rows, or NULL */
	const MrFeatures *item_features;	/* of at least n_items rows, or NULL */
} MrInteractions;

/*
 * Posts: the pairs that carry tags, each with its tags.
 *
 *	post_user, post_item:  | u | u | u | ...    n_posts, ascending by user, then by item
 *	lists:                 row p holds the tags of post p: n_users = n_posts, n_items = n_tags
 *
 * Every post has at least one tag, and its pair is one of the interactions.
 */
typedef struct MrPosts
{
	int32_t		n_posts;
	int32_t		n_tags;
	int32_t    *post_user;		/* [n_posts] */
	int32_t    *post_item;		/* [n_posts] */
	MrInteractions lists;
} MrPosts;

/* interactions.c */
extern bool mr_interactions_valid(const MrInteractions *x);
extern int64_t mr_interactions_find(const MrInteractions *x, int32_t user, int32_t item);
extern bool mr_posts_valid(const MrPosts *posts, int32_t n_users, int32_t n_items);
extern bool mr_interactions_contain(const MrInteractions *x, int32_t user, int32_t item);

#endif							/* MR_INTERACTIONS_H */
