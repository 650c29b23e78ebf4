/*
 * net.c
 *		The network of a tower (net.h): memory, start, and the optimiser's step.
 *		The passes are in net_pass.c, the stored form in net_store.c.
 *
 * The start gives every layer what it needs to pass signals on: hidden layers
 * keep the mean square of h about where it is (He et al. 2015 for relu and gelu; for
 * tanh Glorot and Bengio 2010), the output has coordinates of the deviation that the
 * points of the trainer start with.  The first layer divides by the length that
 * its input really has, because sparse rows have few entries of many and vectors
 * often come with length 1: the book's rule, by the number of columns, would
 * start them near 0.  Each of its parts has an equal share.
 */
#include <math.h>
#include <string.h>

#include "model/net.h"

/* What mr_net_place() aligns memory to: a cache line, as the arena does. */
#define ALIGNMENT 64

/*
 * tanh passes on less than it gets: with this gain its layers keep z at a mean
 * square of TANH_Z, and h at TANH_H.
 */
#define TANH_GAIN (5.0 / 3)
#define TANH_Z 1.2
#define TANH_H 0.43

/* Inputs shorter than this are all zero. */
#define MINIMAL_SQUARE 1e-12

/*
 * Count work and poll when enough of it is done; true = stop.
 */
bool
mr_net_tick(MrNet *net, int64_t work, MrPoll poll, void *arg)
{
	net->unpolled += work;
	if (net->unpolled < MR_POLL_WORK)
		return false;
	net->unpolled = 0;
	return poll && poll(arg);
}

/* Can there be a network of this shape?  Everything else relies on it. */
bool
mr_net_shape_valid(const MrNetShape *shape)
{
	if (shape->n_sparse < 0 || shape->n_sparse > MR_NET_MAX_SPARSE ||
		shape->n_dense < 0 || shape->n_dense > MR_NET_MAX_DENSE ||
		shape->n_point < 0 || shape->n_point > MR_NET_MAX_WIDTH ||
		shape->width < 1 || shape->width > MR_NET_MAX_WIDTH ||
		shape->n_hidden < 0 || shape->n_hidden > MR_MAX_HIDDEN)
		return false;
	if (shape->n_sparse == 0 && shape->n_dense == 0 && shape->n_point == 0)
		return false;
	for (int32_t l = 0; l < shape->n_hidden; l++)
		if (shape->hidden[l] < 1 || shape->hidden[l] > MR_NET_MAX_WIDTH)
			return false;
	return shape->activation == MR_ACTIVATION_RELU || shape->activation == MR_ACTIVATION_TANH ||
		shape->activation == MR_ACTIVATION_GELU;
}

/* The width as rows in memory have it. */
static int32_t
padded(int32_t width)
{
	return (width + MR_ROW_PAD - 1) / MR_ROW_PAD * MR_ROW_PAD;
}

/*
 * Take the network from the arena; NULL while the arena only counts.
 *
 * hyper	the optimiser; NULL: no gradients, forward only
 * stride	floats of the caller's rows (point, out): a multiple of MR_ROW_PAD, not
 *			less than width or n_point
 */
MrNet *
mr_net_layout(MrArena *arena, const MrNetShape *shape, const MrHyper *hyper, int32_t stride)
{
	MrNet	   *taken = mr_arena_take(arena, 1, sizeof(MrNet));
	MrNet		counted;
	MrNet	   *net = taken != NULL ? taken : &counted;
	MrHyper		free_points = {0};
	int			flags = hyper != NULL ? MR_POINTS_GRADIENT : 0;
	size_t		row_size;
	int32_t		n_in = 0;
	int32_t		widest = 0;

	memset(net, 0, sizeof(*net));
	net->shape = *shape;
	for (int32_t l = shape->n_hidden; l < MR_MAX_HIDDEN; l++)
		net->shape.hidden[l] = 0;	/* shapes are compared as a whole */
	net->math = mr_rowmath();
	net->stride = stride;
	net->has_optimizer = hyper != NULL;
	net->n_layers = shape->n_hidden + 1;
	/* without moments, SGD has nothing but the values */
	free_points.optimizer = hyper != NULL ? hyper->optimizer : MR_OPTIMIZER_SGD;
	free_points.constraint = MR_CONSTRAINT_NONE;
	for (int32_t l = 0; l < net->n_layers; l++)
	{
		MrNetLayer *layer = &net->layer[l];
		bool		is_last = l == shape->n_hidden;

		layer->n_in = n_in;
		layer->width = is_last ? shape->width : shape->hidden[l];
		layer->stride = padded(layer->width);
		row_size = layer->stride * sizeof(float);
		mr_points_layout(&layer->weight, arena, n_in, layer->width, layer->stride, &free_points, flags);
		mr_points_layout(&layer->bias, arena, shape->n_hidden > 0, layer->width, layer->stride, &free_points, flags);
		if (!is_last)
			layer->h = mr_arena_take(arena, MR_NET_BLOCK, row_size);
		if (!is_last && hyper != NULL)
			layer->slope = mr_arena_take(arena, MR_NET_BLOCK, row_size);
		n_in = layer->width;
		widest = layer->stride > widest ? layer->stride : widest;
	}
	mr_points_layout(&net->sparse, arena, shape->n_sparse, net->layer[0].width, net->layer[0].stride, &free_points,
					 hyper != NULL ? flags | MR_POINTS_SPARSE : 0);
	mr_points_layout(&net->dense, arena, shape->n_dense, net->layer[0].width, net->layer[0].stride, &free_points, flags);
	mr_points_layout(&net->point, arena, shape->n_point, net->layer[0].width, net->layer[0].stride, &free_points, flags);
	net->dense_block = mr_arena_take(arena, MR_NET_BLOCK, shape->n_dense * sizeof(float));
	for (int i = 0; i < 2 && hyper != NULL; i++)
		net->back[i] = mr_arena_take(arena, MR_NET_BLOCK, widest * sizeof(float));
	return taken;
}

/* Bytes that mr_net_place() needs; SIZE_MAX if the count overflows. */
size_t
mr_net_memory(const MrNetShape *shape, const MrHyper *hyper, int32_t stride)
{
	MrArena		arena = {NULL, 0, false};

	mr_arena_take(&arena, 1, ALIGNMENT - 1);	/* the caller's block may start anywhere */
	mr_net_layout(&arena, shape, hyper, stride);
	return arena.overflow ? SIZE_MAX : arena.used;
}

/* As mr_net_layout(), in mr_net_memory() bytes of the caller's. */
MrNet *
mr_net_place(void *memory, const MrNetShape *shape, const MrHyper *hyper, int32_t stride)
{
	MrArena		arena = {NULL, 0, false};

	arena.base = (char *) (((uintptr_t) memory + ALIGNMENT - 1) & ~(uintptr_t) (ALIGNMENT - 1));
	return mr_net_layout(&arena, shape, hyper, stride);
}

/*
 * The matrices of weights in their canonical order: W_s, W_x, W_p, b_1, W_2, b_2 ...
 * NULL beyond the last; some may have no rows.
 */
MrPoints *
mr_net_matrix(MrNet *net, int32_t number)
{
	int32_t		rest = number - 3;

	if (number < 3)
		return number == 0 ? &net->sparse : number == 1 ? &net->dense : &net->point;
	if (rest > 2 * net->shape.n_hidden)
		return NULL;
	/* b_1 = 0, W_2 = 1, b_2 = 2, ... */
	return rest % 2 ? &net->layer[(rest + 1) / 2].weight : &net->layer[rest / 2].bias;
}

/*
 * Mean squared length of the sparse and the dense part of the rows that have
 * features; 1 where there is nothing to measure, and for the point, which the
 * caller knows.
 */
MrStatus
mr_net_measure(const MrFeatures *f, MrNetInput *input, MrPoll poll, void *arg)
{
	double		sparse = 0;
	double		dense = 0;
	int64_t		n = 0;
	int64_t		unpolled = 0;

	input->sparse = input->dense = input->point = 1;
	for (int32_t row = 0; f != NULL && row < f->n_rows; row++)
	{
		const float *x = f->n_dense > 0 ? f->dense + (size_t) row * f->n_dense : NULL;
		int64_t		first = f->n_sparse > 0 ? f->start[row] : 0;
		int64_t		end = f->n_sparse > 0 ? f->start[row + 1] : 0;

		unpolled += 1 + f->n_dense + (end - first);
		if (unpolled >= MR_POLL_WORK)
		{
			unpolled = 0;
			if (poll && poll(arg))
				return MR_STOPPED;
		}
		if (!f->is_present[row])
			continue;
		n++;
		for (int64_t i = first; i < end; i++)
			sparse += (double) f->value[i] * f->value[i];
		for (int32_t i = 0; i < f->n_dense; i++)
			dense += (double) x[i] * x[i];
	}
	if (n > 0 && sparse / n > MINIMAL_SQUARE)
		input->sparse = sparse / n;
	if (n > 0 && dense / n > MINIMAL_SQUARE)
		input->dense = dense / n;
	return MR_OK;
}

/* Deviation of the weights that layer l > 0 starts with. */
static double
start_deviation(const MrNet *net, int32_t l, double out_deviation)
{
	const MrNetLayer *layer = &net->layer[l];
	bool		is_tanh = net->shape.activation == MR_ACTIVATION_TANH;

	if (l == net->n_layers - 1)
		return out_deviation / sqrt(layer->n_in * (is_tanh ? TANH_H : 1.0));
	if (is_tanh)
		return TANH_GAIN * sqrt(2.0 / ((double) layer->n_in + layer->width));
	return sqrt(2.0 / layer->n_in);
}

/*
 * Random weights, biases 0, the optimiser at its start.
 *
 * input		lengths of what goes in, from mr_net_measure(); a part that is not
 *				positive counts as 1
 * deviation	that a coordinate of the output shall have
 */
MrStatus
mr_net_start(MrNet *net, MrRng *rng, const MrNetInput *input, double deviation, MrPoll poll, void *arg)
{
	const double squares[3] = {input->sparse, input->dense, input->point};
	int			parts = (net->shape.n_sparse > 0) + (net->shape.n_dense > 0) + (net->shape.n_point > 0);
	double		first = deviation;

	net->unpolled = 0;
	if (net->shape.n_hidden > 0)
		first = sqrt(net->shape.activation == MR_ACTIVATION_TANH ? TANH_Z : 2.0);
	for (int32_t i = 0; i < 3; i++)
	{
		double		square = squares[i] > MINIMAL_SQUARE ? squares[i] : 1;

		if (mr_points_start(mr_net_matrix(net, i), rng, first / sqrt(parts * square), poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	for (int32_t l = 0; l < net->n_layers; l++)
	{
		if (mr_points_start(&net->layer[l].bias, rng, 0, poll, arg) != MR_OK)
			return MR_STOPPED;
		if (l > 0 &&
			mr_points_start(&net->layer[l].weight, rng, start_deviation(net, l, deviation), poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	return MR_OK;
}

/* Step the rows of W_s that a block since the last step has touched. */
static MrStatus
step_touched(MrNet *net, const MrStep *step, MrPoll poll, void *arg)
{
	MrPoints   *p = &net->sparse;

	for (int32_t i = 0; i < p->n_touched; i++)
	{
		int32_t		row = p->touched[i];

		if (mr_net_tick(net, 4 * p->stride, poll, arg))
			return MR_STOPPED;
		mr_points_step(p, net->math, step, row, p->gradient + (size_t) row * p->stride);
		p->is_touched[row] = 0;
	}
	p->n_touched = 0;
	return MR_OK;
}

/*
 * A step of the optimiser with the gradients of all blocks since the last one,
 * which are 0 afterwards.  Biases do not decay.  After MR_STOPPED the network is
 * of no further use.
 */
MrStatus
mr_net_step(MrNet *net, const MrStep *step, MrPoll poll, void *arg)
{
	MrStep		without_decay = *step;
	MrPoints   *p;

	without_decay.weight_decay = 0;
	if (step_touched(net, step, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t i = 1; (p = mr_net_matrix(net, i)) != NULL; i++)
	{
		bool		is_bias = i >= 3 && i % 2;

		for (int32_t row = 0; row < p->n; row++)
		{
			if (mr_net_tick(net, 4 * p->stride, poll, arg))
				return MR_STOPPED;
			mr_points_step(p, net->math, is_bias ? &without_decay : step, row,
						   p->gradient + (size_t) row * p->stride);
		}
	}
	return MR_OK;
}
