/*
 * assign.h
 *		Which leaf each of many rows belongs to: the directory of a build, in
 *		memory.
 *
 * Three levels: tops, groups, leaves.  Groups and leaves become the levels of the
 * index; tops exist in memory only, because the groups of a large index are too
 * many to compare each row with all of them.  A small directory has one top.
 *
 * MR_HASH_VORONOI: the nearest leaf of the MR_ASSIGN_GROUPS nearest groups, as an
 * insert finds it.  MR_HASH_PROJECTION: the leaf whose key is a prefix of the
 * row's key; the keys of the leaves are in order and cover all keys.
 *
 * A directory is one piece of memory without pointers in it, so that it can be
 * shared between processes.  Pure C: the caller gives the memory.
 */
#ifndef MR_ASSIGN_H
#define MR_ASSIGN_H

#include <stddef.h>
#include <stdint.h>

#include "hash/bucket.h"
#include "hash/kmeans.h"

/* Groups whose leaves are candidates for a row. */
#define MR_ASSIGN_GROUPS 4

typedef struct MrDirectory
{
	MrHashFamily family;
	int			dim;
	int			n_tops;
	int			n_groups;
	int			n_leaves;
	int32_t    *top_first;		/* [n_tops + 1], first group of a top */
	int32_t    *group_first;	/* [n_groups + 1], first leaf of a group */
	MrCentres	tops;
	MrCentres	groups;
	MrCentres	leaves;
	MrBucketKey *group_keys;	/* [n_groups], projection; else NULL */
	MrBucketKey *leaf_keys;		/* [n_leaves], projection; else NULL */
} MrDirectory;

extern size_t mr_directory_size(const MrDirectory *directory);	/* from family, dim and counts */
/* Sets the pointers.  fresh: the memory is not filled yet. */
extern void mr_directory_attach(MrDirectory *directory, void *memory, bool fresh);

/* What assigning needs, for up to `room` rows at once. */
typedef struct MrAssigner
{
	const MrDirectory *directory;
	const MrHash *hash;
	int			room;
	int			beam;			/* tops whose groups are candidates */
	int16_t    *wide;			/* [room][mr_panel_row(dim)] */
	MrNear	   *tops;			/* [room][beam] */
	MrNear	   *groups;			/* [room][MR_ASSIGN_GROUPS] */
	MrNear	   *leaves;			/* [room] */
	int32_t    *start;			/* [max(n_tops, n_groups) + 1], where a part's rows begin in list */
	int32_t    *list;			/* [room * max(beam, MR_ASSIGN_GROUPS)] */
	float	   *decoded;		/* [dim] */
} MrAssigner;

extern int	mr_assign_room(const MrDirectory *directory);	/* rows that take some milliseconds */
extern size_t mr_assigner_size(const MrDirectory *directory, int room);
extern void mr_assigner_init(MrAssigner *assigner, const MrDirectory *directory, const MrHash *hash, int room,
							 void *memory);	/* memory at a multiple of 64 */
extern void mr_assign(MrAssigner *assigner, const MrCodeRows *rows, int32_t *leaf);	/* rows->n <= room */

#endif							/* MR_ASSIGN_H */
