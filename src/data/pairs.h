/*
 * pairs.h
 *		Pairs of row numbers as they are read, and their way into a sparse
 *		matrix.
 *
 * Pairs are appended to a list of chunks, which never move; so nothing is
 * copied while a load grows.  mr_pairs_to_matrix() sorts them by two counting
 * passes, merges duplicates and frees the chunks.
 */
#ifndef MR_PAIRS_H
#define MR_PAIRS_H

#include "data/budget.h"
#include "model/interactions.h"

typedef struct MrPair
{
	int32		user;
	int32		item;
} MrPair;

typedef struct MrPairChunk
{
	struct MrPairChunk *next;
	int32		n;
	int32		capacity;
	MrPair	   *pairs;
	float	   *weights;		/* NULL if the list has none */
	int64	   *times;			/* NULL if the list has none */
	int32	   *tags;			/* NULL if the list has none */
} MrPairChunk;

typedef struct MrPairList
{
	MemoryContext context;
	MrBudget   *budget;
	bool		has_weights;
	bool		has_times;
	bool		has_tags;		/* set after mr_pairs_init(); see dataset_posts.c */
	int64		n;
	MrPairChunk *first;
	MrPairChunk *last;
} MrPairList;

/* pairs.c */
extern void mr_pairs_init(MrPairList *list, MemoryContext context, MrBudget *budget,
						  bool has_weights, bool has_times);
extern void mr_pairs_append(MrPairList *list, MrPair pair, float weight, int64 time);
extern void mr_pairs_mark(const MrPairList *list, bool *users, bool *items);
extern int64 mr_pairs_renumber(MrPairList *list, const int32 *new_user, const int32 *new_item);
extern void mr_pairs_free(MrPairList *list);

/* pairs_matrix.c */
extern int64 mr_pairs_to_matrix(MrPairList *list, int32 n_users, int32 n_items,
								MemoryContext context, MrInteractions *matrix);
extern int64 mr_matrix_subtract(MrInteractions *matrix, const MrInteractions *other);

#endif							/* MR_PAIRS_H */
