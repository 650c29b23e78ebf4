/*
 * net_fixture.h
 *		Networks and features for their unit tests, and a second implementation of
 *		the forward pass: plain loops in double precision.
 */
#ifndef MR_NET_FIXTURE_H
#define MR_NET_FIXTURE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "features_fixture.h"
#include "model/net.h"
#include "unit.h"

/* Bytes behind the network's memory that it must not touch. */
#define GUARD_BYTES 256

#define FIXTURE_ROWS 40

/* A network in memory of exactly the promised size, guard bytes behind. */
typedef struct NetFixture
{
	void	   *memory;
	size_t		bytes;
	MrNet	   *net;
} NetFixture;

__attribute__((unused))
static MrNet *
net_fixture(NetFixture *x, const MrNetShape *shape, const MrHyper *hyper, int32_t stride)
{
	x->bytes = mr_net_memory(shape, hyper, stride);
	x->memory = malloc(x->bytes + GUARD_BYTES);
	/* what is not set must show up: 0xff bytes are NaN as floats */
	memset(x->memory, 0xff, x->bytes);
	memset((char *) x->memory + x->bytes, 0xa5, GUARD_BYTES);
	x->net = mr_net_place(x->memory, shape, hyper, stride);
	return x->net;
}

__attribute__((unused))
static bool
net_fixture_guarded(const NetFixture *x)
{
	for (size_t i = 0; i < GUARD_BYTES; i++)
		if (((unsigned char *) x->memory)[x->bytes + i] != 0xa5)
			return false;
	return true;
}

__attribute__((unused))
static void
net_fixture_end(NetFixture *x)
{
	free(x->memory);
	x->memory = NULL;
}

/* One number of the network or of a point, and what is added to it. */
typedef struct Change
{
	int32_t		matrix;			/* as mr_net_matrix() counts; -1: the point */
	int32_t		row;			/* of the matrix; of the block for the point */
	int32_t		column;
	double		by;
} Change;

__attribute__((unused))
static double
reference_weight(MrNet *net, int32_t matrix, int32_t row, int32_t column, const Change *change)
{
	const MrPoints *p = mr_net_matrix(net, matrix);
	double		value = p->value[(size_t) row * p->stride + column];

	if (change->matrix == matrix && change->row == row && change->column == column)
		value += change->by;
	return value;
}

__attribute__((unused))
static double
reference_activation(MrActivation activation, double x)
{
	switch (activation)
	{
		case MR_ACTIVATION_RELU:
			return x > 0 ? x : 0;
		case MR_ACTIVATION_TANH:
			return tanh(x);
		case MR_ACTIVATION_GELU:
			return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
	}
	return NAN;
}

/* z of the first layer, coordinate k, of row `row` of the features. */
static double
reference_input(MrNet *net, const MrFeatures *f, int32_t row, const float *point, int32_t block_row, int32_t k,
				const Change *change)
{
	const MrNetShape *shape = &net->shape;
	double		sum = shape->n_hidden > 0 ? reference_weight(net, 3, 0, k, change) : 0;

	for (int64_t e = shape->n_sparse > 0 ? f->start[row] : 0; shape->n_sparse > 0 && e < f->start[row + 1]; e++)
		sum += f->value[e] * reference_weight(net, 0, f->column[e], k, change);
	for (int32_t i = 0; i < shape->n_dense; i++)
		sum += f->dense[(size_t) row * shape->n_dense + i] * reference_weight(net, 1, i, k, change);
	for (int32_t i = 0; i < shape->n_point; i++)
	{
		double		p = point[i];

		if (change->matrix == -1 && change->row == block_row && change->column == i)
			p += change->by;
		sum += p * reference_weight(net, 2, i, k, change);
	}
	return sum;
}

/*
 * Output of one row; factor[layer] has the factors of dropout of its hidden units
 * (0 or the scale), or is NULL: none is dropped.
 */
__attribute__((unused))
static void
reference_forward(MrNet *net, const MrFeatures *f, int32_t row, const float *point, int32_t block_row,
				  double *const *factor, const Change *change, double *out)
{
	double		below[64];
	double		z[64];

	for (int32_t l = 0; l < net->n_layers; l++)
	{
		const MrNetLayer *layer = &net->layer[l];
		bool		is_last = l == net->n_layers - 1;

		for (int32_t k = 0; k < layer->width; k++)
		{
			if (l == 0)
				z[k] = reference_input(net, f, row, point, block_row, k, change);
			else
				z[k] = reference_weight(net, 3 + 2 * l, 0, k, change);
			for (int32_t i = 0; l > 0 && i < layer->n_in; i++)
				z[k] += below[i] * reference_weight(net, 2 + 2 * l, i, k, change);
		}
		for (int32_t k = 0; k < layer->width; k++)
			if (is_last)
				out[k] = z[k];
			else
				below[k] = reference_activation(net->shape.activation, z[k]) *
					(factor != NULL ? factor[l][block_row * layer->width + k] : 1);
	}
}

#endif							/* MR_NET_FIXTURE_H */
