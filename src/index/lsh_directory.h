/*
 * lsh_directory.h
 *		The way from the root to a leaf and to its entry.
 */
#ifndef MR_LSH_DIRECTORY_H
#define MR_LSH_DIRECTORY_H

#include "index/lsh_page.h"

/*
 * Where a row belongs: the entry of a leaf, as it was when it was read.  While
 * the leaf has as many splits as the link says, the entry has the centre that
 * `reach` was measured to, and a radius that is not smaller.
 */
typedef struct MrLshPlace
{
	BlockNumber group;			/* the inner page that had the entry */
	uint32		group_birth;
	MrLshLink	link;
	float		reach;			/* >= distance of the query to the centre */
} MrLshPlace;

/* lsh_directory.c */

/* Ends a walk along right links that is longer than the index: links in a circle. */
extern void mr_lsh_check_walk(Relation index, BlockNumber block, uint32 steps);

/* Scores of the entries of one page: what mr_lsh_find_place takes. */
#define mr_lsh_place_scratch(layout) (2 * sizeof(float) * (layout)->entry_capacity)

/* False: no leaf was found, because there is no group yet or all of them are going. */
extern bool mr_lsh_find_place(Relation index, const MrLshIndex *lsh, MrHashQuery *query, float *scratch,
							  MrLshPlace *place);

/*
 * The inner page that has the entry of a leaf now, locked; InvalidBuffer if
 * there is none any more.  group is where it once was.
 */
extern Buffer mr_lsh_lock_entry(Relation index, const MrLshIndex *lsh, BlockNumber group, uint32 group_birth,
								BlockNumber leaf, uint32 leaf_birth, int lockmode, int *entry);

/*
 * The same for the entry of a group.  The caller holds root page 1 exclusively;
 * the buffer may be that very one, then it is not locked twice.
 */
extern Buffer mr_lsh_lock_group_entry(Relation index, const MrLshIndex *lsh, Buffer first,
									  BlockNumber group, uint32 group_birth, int *entry);

/* Error if a link says something else than the page it leads to. */
extern void mr_lsh_verify_place(Relation index, const MrLshIndex *lsh, const MrLshPlace *place);

#endif							/* MR_LSH_DIRECTORY_H */
