/*
 * net.h
 *		The network of a tower: from features, and perhaps a point, to a point.
 *
 *		z_1 = S W_s + X W_x + P W_p + b_1		S sparse, X dense features, P [rows][n_point]
 *		h_1 = dropout(f(z_1))
 *		z_l = h_{l-1} W_l + b_l
 *		out = h_{L-1} W_L + b_L					[rows][width], no activation
 *
 * Without hidden layers it is a sum:  out = S W_s + X W_x + P W_p, no bias, so that
 * a row without features gets 0.  That is the "sum of feature points".
 *
 * Rows go through in blocks of at most MR_NET_BLOCK.  mr_net_forward() keeps what
 * mr_net_backward() of the same block needs, until the next forward.  Gradients
 * add up over blocks until mr_net_step().  Who needs all points before the first
 * gradient (a loss over all items) runs a block's forward again, with the random
 * generator as it was before the first time, and then its backward.
 *
 * Weights are matrices of points (points.h) without a constraint: row i of
 * W_s is what column i of the sparse part adds.  So they share the optimisers.
 * A network without an optimiser (hyper NULL) has the weights only: it can run
 * forward, be read and be written.
 *
 *		bytes = mr_net_memory(&shape, hyper, stride)		or mr_net_layout() in
 *		net = mr_net_place(memory, &shape, hyper, stride)	an arena of the trainer's
 *		mr_net_measure(features, &input), mr_net_start(net, rng, &input, deviation)
 *			or mr_net_read_shape(&shape, ...), mr_net_read(net, ...)
 *		mr_net_forward(), mr_net_backward() for each block, mr_net_step()
 *
 * Pure C: no allocation, no error but a status.  Matrix products are those of
 * math/gemm.h, which the caller has loaded.
 */
#ifndef MR_NET_H
#define MR_NET_H

#include "model/features.h"
#include "model/points.h"

#define MR_NET_BLOCK 256

/* Widths of layers, of the point and of the output; columns of the two parts. */
#define MR_NET_MAX_WIDTH 16384
#define MR_NET_MAX_DENSE (1 << 18)
#define MR_NET_MAX_SPARSE (1 << 24)

typedef struct MrNetShape
{
	int32_t		n_sparse;
	int32_t		n_dense;
	int32_t		n_point;		/* coordinates of the point that it sees, 0: none */
	int32_t		n_hidden;		/* layers */
	int32_t		hidden[MR_MAX_HIDDEN];	/* their widths */
	int32_t		width;			/* coordinates of the output */
	MrActivation activation;
} MrNetShape;

/* Mean squared length of the parts of a row that goes in; scales the start. */
typedef struct MrNetInput
{
	double		sparse;
	double		dense;
	double		point;
} MrNetInput;

/*
 * A layer.  The rows of its matrices are padded; so are those of h and slope,
 * with zeroes in h.  The first layer has three matrices of its own in MrNet
 * instead of `weight`; the last has neither h nor slope.
 */
typedef struct MrNetLayer
{
	int32_t		n_in;
	int32_t		width;
	int32_t		stride;			/* floats of a row */
	MrPoints	weight;			/* [n_in] W_l */
	MrPoints	bias;			/* [1] b_l; no row if there is no hidden layer */
	float	   *h;				/* [MR_NET_BLOCK][stride] */
	float	   *slope;			/* [MR_NET_BLOCK][stride] dh/dz, dropout included; NULL: no backward */
} MrNetLayer;

typedef struct MrNet
{
	MrNetShape	shape;
	const MrRowMath *math;
	int32_t		stride;			/* floats of a caller's row: point, out and their gradients */
	bool		has_optimizer;
	int32_t		n_layers;		/* hidden layers and the output */
	MrPoints	sparse;			/* [n_sparse] W_s */
	MrPoints	dense;			/* [n_dense] W_x */
	MrPoints	point;			/* [n_point] W_p */
	MrNetLayer	layer[MR_MAX_HIDDEN + 1];
	float	   *dense_block;	/* [MR_NET_BLOCK][n_dense] rows that do not lie together */
	float	   *back[2];		/* [MR_NET_BLOCK][widest stride] dL/dz of two neighbouring layers */
	int64_t		unpolled;		/* work since the last poll */
} MrNet;

/* net.c */
extern bool mr_net_shape_valid(const MrNetShape *shape);
extern MrNet *mr_net_layout(MrArena *arena, const MrNetShape *shape, const MrHyper *hyper, int32_t stride);
extern size_t mr_net_memory(const MrNetShape *shape, const MrHyper *hyper, int32_t stride);
extern MrNet *mr_net_place(void *memory, const MrNetShape *shape, const MrHyper *hyper, int32_t stride);
extern MrStatus mr_net_measure(const MrFeatures *f, MrNetInput *input, MrPoll poll, void *arg);
extern MrStatus mr_net_start(MrNet *net, MrRng *rng, const MrNetInput *input, double deviation,
							 MrPoll poll, void *arg);
extern MrStatus mr_net_step(MrNet *net, const MrStep *step, MrPoll poll, void *arg);
extern MrPoints *mr_net_matrix(MrNet *net, int32_t number);
extern bool mr_net_tick(MrNet *net, int64_t work, MrPoll poll, void *arg);

/* net_pass.c */
extern MrStatus mr_net_forward(MrNet *net, const MrFeatures *f, const int32_t *rows, int32_t n, const float *point,
							   float dropout, MrRng *rng, float *out, MrPoll poll, void *arg);
extern MrStatus mr_net_backward(MrNet *net, const MrFeatures *f, const int32_t *rows, int32_t n, const float *point,
								const float *g_out, float *g_point, MrPoll poll, void *arg);

/* net_store.c */
extern size_t mr_net_bytes(const MrNetShape *shape);
extern MrStatus mr_net_write(MrNet *net, uint8_t *bytes, MrPoll poll, void *arg);
extern bool mr_net_read_shape(MrNetShape *shape, const uint8_t *bytes, size_t n);
extern bool mr_net_read(MrNet *net, const uint8_t *bytes, size_t n, MrPoll poll, void *arg, bool *stopped);

#endif							/* MR_NET_H */
