/*
 * dataset_posts.h
 *		Taggings (user, item, tag) as they are read, and their way into posts.
 */
#ifndef MR_DATASET_POSTS_H
#define MR_DATASET_POSTS_H

#include "data/idmap.h"
#include "data/pairs.h"

/* dataset_posts.c */
extern void mr_taggings_init(MrPairList *list, MemoryContext context, MrBudget *budget);
extern void mr_taggings_append(MrPairList *list, MrPair pair, int32 tag);
extern void mr_taggings_canonicalise(MrPairList *list, MrIdMap *tags);
extern int64 mr_taggings_to_posts(MrPairList *list, const MrInteractions *pairs, int32 n_tags,
								  MemoryContext context, MrPosts *posts);

#endif							/* MR_DATASET_POSTS_H */
