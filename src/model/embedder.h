/*
 * embedder.h
 *		A trained side tower on its own: points of new users and items from their
 *		features, by the weights that a version has stored.
 *
 *		bytes = mr_embedder_bytes(t, side), mr_embedder_write()		after a training
 *
 *		memory of mr_embedder_memory(stored, n) bytes, 0: damaged
 *		e = mr_embedder_read(memory, stored, n)						NULL: damaged
 *		mr_embedder_point(e, features, row, id, point)
 *
 * Matrix products are those of math/gemm.h, which the caller has loaded.
 */
#ifndef MR_EMBEDDER_H
#define MR_EMBEDDER_H

#include "model/trainer.h"

typedef enum MrTowerSide
{
	MR_TOWER_OF_USERS,
	MR_TOWER_OF_ITEMS
} MrTowerSide;

typedef struct MrEmbedder MrEmbedder;

/* What a reader must know of it. */
typedef struct MrEmbedderShape
{
	MrCombination combination;
	int32_t		n_sparse;		/* columns of the features */
	int32_t		n_dense;
	int32_t		width;			/* coordinates of a point without the bias */
	int32_t		dimensions;		/* of a stored point */
	float		new_row_bias;	/* bias coordinate of a new row */
} MrEmbedderShape;

/* embedder.c */
extern size_t mr_embedder_bytes(const MrTrainer *t, MrTowerSide side);	/* 0: that tower is off */
extern MrStatus mr_embedder_write(MrTrainer *t, MrTowerSide side, uint8_t *bytes, MrPoll poll, void *arg);
extern MrStatus mr_embedder_load(MrTrainer *t, MrTowerSide side, const uint8_t *bytes, size_t n, MrPoll poll, void *arg);
extern bool mr_embedder_shape(MrEmbedderShape *shape, const uint8_t *bytes, size_t n);
extern size_t mr_embedder_memory(const uint8_t *bytes, size_t n);
extern MrEmbedder *mr_embedder_read(void *memory, const uint8_t *bytes, size_t n, MrPoll poll, void *arg);
extern void mr_embedder_point(MrEmbedder *e, const MrFeatures *features, int32_t row, const float *id, float *point);

#endif							/* MR_EMBEDDER_H */
