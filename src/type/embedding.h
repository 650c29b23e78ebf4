/*
 * embedding.h
 *		The type embedding: a point, 1 to MR_MAX_DIMENSIONS finite float4.
 *
 * In memory and on disk (a varlena, storage EXTERNAL: never compressed, because
 * learned coordinates do not compress; moved out of line beyond about 2 kB):
 *
 *		offset	size	field
 *		0		4		vl_len_		varlena header; 1 byte on disk when short
 *		4		2		dim			coordinates
 *		6		2		unused		0
 *		8		4*dim	x[]			coordinates, native byte order
 *
 * On the wire: int16 dim, int16 0, dim x float4, all big-endian.
 *
 * Invariants of every value: 1 <= dim <= MR_MAX_DIMENSIONS, no NaN, no infinity,
 * VARSIZE == MR_EMBEDDING_SIZE(dim), unused == 0.  Whoever makes a value keeps
 * them; whoever reads one may rely on them.
 *
 * Include postgres.h first.
 */
#ifndef MR_EMBEDDING_H
#define MR_EMBEDDING_H

#include "fmgr.h"

#include "metricrec.h"

typedef struct MrEmbedding
{
	int32		vl_len_;		/* varlena header: use VARSIZE, SET_VARSIZE */
	int16		dim;
	int16		unused;
	float4		x[FLEXIBLE_ARRAY_MEMBER];
} MrEmbedding;

#define MR_EMBEDDING_SIZE(dim) (offsetof(MrEmbedding, x) + sizeof(float4) * (dim))

/* The detoasted value: a copy only if it was toasted, packed or compressed. */
#define DatumGetMrEmbedding(datum) ((MrEmbedding *) PG_DETOAST_DATUM(datum))
#define PG_GETARG_MR_EMBEDDING(n) DatumGetMrEmbedding(PG_GETARG_DATUM(n))
#define PG_RETURN_MR_EMBEDDING(e) PG_RETURN_POINTER(e)

/* embedding_io.c */
extern MrEmbedding *mr_embedding_create(int dim);
extern MrEmbedding *mr_embedding_from_floats(const float4 *x, int dim);
extern void mr_embedding_check_dimensions(int64 dim);
extern void mr_embedding_check_typmod(int dim, int32 typmod);
extern void mr_embedding_check_elements(const MrEmbedding *e);

/* embedding_ops.c */
extern void mr_embedding_check_same_dimensions(const MrEmbedding *a, const MrEmbedding *b);
extern int	mr_embedding_compare(const MrEmbedding *a, const MrEmbedding *b);

#endif							/* MR_EMBEDDING_H */
