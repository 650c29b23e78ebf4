/*
 * embed.h
 *		Points of users and items that no training has seen, from their features.
 *
 *	 embed_sql.c	metricrec.embed_item, embed_user: a point of a jsonb
 *	 refresh.c		metricrec.refresh_items, refresh_users: every row of the feature
 *					table that has no point yet gets one
 *	 attach.c		metricrec.attach, detach: a trigger that does it row by row
 *	 live.c			a user's point from what is known of the user now
 *	 embed.c		the encoder and the tower of a version, kept by the backend
 */
#ifndef MR_EMBED_H
#define MR_EMBED_H

#include "feature/feature.h"
#include "model/embedder.h"
#include "store/version.h"
#include "type/embedding.h"

/* One side of a version: from features to points. */
typedef struct MrSideEmbedder
{
	Oid			table;			/* of that side in the version: its identity */
	MemoryContext context;
	uint64		used;			/* the least is the first to go */
	int			pinned;			/* while it runs SQL that may ask for other towers */
	MrEncoder  *encoder;
	MrEmbedder *embedder;
	MrEmbedderShape shape;
} MrSideEmbedder;

/* embed.c */
extern Oid	mr_feature_relation(const MrModel *model, MrSide side);
extern MrSideEmbedder *mr_side_embedder(const MrModel *model, const MrVersion *version, MrSide side);	/* NULL: no tower */
extern void mr_side_embedder_use(MrSideEmbedder *e, void (*work) (MrSideEmbedder *e, void *arg), void *arg);
extern MrEmbedding *mr_embed_row(MrSideEmbedder *e, const MrFeatures *features, int32 row);

/* attach.c: SPI is connected */
extern void mr_detach_dropped(const MrModel *model);

/* refresh.c: SPI is connected */
extern int64 mr_embed_missing(const MrModel *model, MrSide side, MrSideEmbedder *e, Oid relation, Oid table);

#endif							/* MR_EMBED_H */
