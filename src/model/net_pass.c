/*
 * net_pass.c
 *		Forward and backward through the network of a tower (net.h).
 *
 * With G_l = dL/dz_l, and H_0 the input [S X P]:
 *
 *		dL/dW_l += H_{l-1}' G_l			dL/db_l += column sums of G_l
 *		G_{l-1} = (G_l W_l') * slope_{l-1}
 *
 * The sparse part never becomes a matrix: forward adds the rows of W_s that a
 * row's entries name, backward adds a row of G to their gradients.  All else are
 * matrix products.  These run over padded rows where both sides have them: the
 * padding of weights is zero, so that of results is.
 */
#include <string.h>

#include "math/gemm.h"
#include "model/net.h"

/* A multiplication in a matrix product takes this part of one elsewhere. */
#define PRODUCT_SPEED 16

/* Units whose random bits are made at a time. */
#define DROP_PART 1024

/* Rows of the block by which entries of the sparse part are asked for ahead. */
#define ENTRIES_AHEAD 4

/* Fewer columns than this make a product slow. */
#define LEAST_COLUMNS 16

/*
 * C = A B + beta C, as mr_gemm() has it, in pieces of columns that are short
 * enough to poll between them.
 */
static MrStatus
product(MrNet *net, MrTranspose transpose_a, MrTranspose transpose_b, int32_t m, int32_t n, int32_t k,
		const float *a, int32_t lda, const float *b, int32_t ldb, float beta, float *c, int32_t ldc,
		MrPoll poll, void *arg)
{
	int64_t		column_work = (int64_t) m * k;
	int64_t		columns = MR_POLL_PRODUCT / (column_work > 0 ? column_work : 1) / LEAST_COLUMNS * LEAST_COLUMNS;

	if (columns < LEAST_COLUMNS)
		columns = LEAST_COLUMNS;
	for (int64_t first = 0; first < n; first += columns)
	{
		int32_t		now = (int32_t) (n - first < columns ? n - first : columns);

		if (mr_net_tick(net, column_work * now / PRODUCT_SPEED, poll, arg))
			return MR_STOPPED;
		mr_gemm(transpose_a, transpose_b, m, now, k, 1, a, lda,
				transpose_b == MR_TRANSPOSED ? b + (size_t) first * ldb : b + first, ldb, beta, c + first, ldc);
	}
	return MR_OK;
}

/* The dense features of the rows: where they are if these lie together, else copied. */
static const float *
dense_rows(MrNet *net, const MrFeatures *f, const int32_t *rows, int32_t n)
{
	size_t		width = net->shape.n_dense;
	int32_t		together = 1;

	while (together < n && rows[together] == rows[0] + together)
		together++;
	if (together == n)
		return f->dense + rows[0] * width;
	for (int32_t i = 0; i < n; i++)
		memcpy(net->dense_block + i * width, f->dense + rows[i] * width, width * sizeof(float));
	return net->dense_block;
}

/*
 * The rows of a block lie anywhere among the features, so the entries of one some
 * places ahead are asked for: the first two lines of them.
 */
static inline void
prefetch_entries(const MrFeatures *f, const int32_t *rows, int32_t n, int32_t i)
{
	int64_t		at;

	if (i + ENTRIES_AHEAD >= n)
		return;
	at = f->start[rows[i + ENTRIES_AHEAD]];
	for (int k = 0; k < 32; k += 16)
	{
		__builtin_prefetch(f->column + at + k);
		__builtin_prefetch(f->value + at + k);
	}
}

/*
 * z += S W_s (gradient false), or dL/dW_s += S' z (true).  A row may have any
 * number of entries, so within rows is polled, too.
 */
static MrStatus
pass_sparse(MrNet *net, const MrFeatures *f, const int32_t *rows, int32_t n, float *z, int32_t ldz, bool gradient,
			MrPoll poll, void *arg)
{
	MrPoints   *w = &net->sparse;
	int64_t		part = MR_POLL_WORK / w->stride;

	for (int32_t i = 0; i < n; i++)
	{
		int64_t		end = f->start[rows[i] + 1];
		float	   *row = z + (size_t) i * ldz;

		prefetch_entries(f, rows, n, i);
		for (int64_t first = f->start[rows[i]]; first < end; first += part)
		{
			int64_t		count = end - first < part ? end - first : part;

			if (mr_net_tick(net, count * w->stride, poll, arg))
				return MR_STOPPED;
			if (!gradient)
			{
				net->math->gather_axpy(row, w->value, w->stride, f->column + first, f->value + first, count);
				continue;
			}
			for (int64_t e = first; e < first + count; e++)
				mr_points_touch(w, f->column[e]);
			net->math->scatter_axpy(w->gradient, w->stride, f->column + first, f->value + first, count, row);
		}
	}
	return MR_OK;
}

/* z += [S X P] [W_s W_x W_p] */
static MrStatus
add_inputs(MrNet *net, const MrFeatures *f, const int32_t *rows, int32_t n, const float *point,
		   float *z, int32_t ldz, MrPoll poll, void *arg)
{
	const MrNetShape *shape = &net->shape;
	int32_t		width = net->layer[0].stride;

	if (shape->n_sparse > 0 && pass_sparse(net, f, rows, n, z, ldz, false, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (shape->n_dense > 0 &&
		product(net, MR_AS_IS, MR_AS_IS, n, width, shape->n_dense, dense_rows(net, f, rows, n), shape->n_dense,
				net->dense.value, width, 1, z, ldz, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (shape->n_point > 0 &&
		product(net, MR_AS_IS, MR_AS_IS, n, width, shape->n_point, point, net->stride,
				net->point.value, width, 1, z, ldz, poll, arg) != MR_OK)
		return MR_STOPPED;
	return MR_OK;
}

/*
 * Drop units at random, each with this probability, and scale the others up so
 * that the expectation stays.  One random number decides four units, each by 16
 * of its bits, lowest first, in the order in which they lie in memory.
 */
static void
drop_units(const MrNet *net, float *h, float *slope, size_t n, float dropout, MrRng *rng)
{
	int32_t		threshold = (int32_t) (dropout * 65536.0f + 0.5f);
	float		scale;
	uint16_t	random[DROP_PART];
	size_t		now;

	if (threshold > 65535)
		threshold = 65535;
	scale = 65536.0f / (float) (65536 - threshold);
	for (size_t first = 0; first < n; first += now)
	{
		now = n - first < DROP_PART ? n - first : DROP_PART;
		for (size_t i = 0; i < now; i += 4)
		{
			uint64_t	bits = mr_rng_next(rng);

			random[i] = (uint16_t) bits;
			random[i + 1] = (uint16_t) (bits >> 16);
			random[i + 2] = (uint16_t) (bits >> 32);
			random[i + 3] = (uint16_t) (bits >> 48);
		}
		net->math->drop(h + first, slope != NULL ? slope + first : NULL, random, threshold, scale, now);
	}
}

/* h = dropout(f(z)) in place, and its slope. */
static void
activate(const MrNet *net, const MrNetLayer *layer, int32_t n, float dropout, MrRng *rng)
{
	size_t		count = (size_t) n * layer->stride;

	switch (net->shape.activation)
	{
		case MR_ACTIVATION_RELU:
			net->math->relu(layer->h, layer->slope, count);
			break;
		case MR_ACTIVATION_TANH:
			net->math->tanh(layer->h, layer->slope, count);
			break;
		case MR_ACTIVATION_GELU:
			net->math->gelu(layer->h, layer->slope, count);
			break;
	}
	if (dropout > 0)
		drop_units(net, layer->h, layer->slope, count, dropout, rng);
}

/*
 * Send a block of rows through.
 *
 * rows		[n] row numbers of f, n <= MR_NET_BLOCK; not read without features
 * f		may be NULL if both of its parts are empty
 * point	[n][stride], NULL if the network sees none
 * dropout	probability in [0, 1) of each hidden unit; with 0 rng is not used
 * out		[n][stride], all of it is set: zeroes behind the width
 */
MrStatus
mr_net_forward(MrNet *net, const MrFeatures *f, const int32_t *rows, int32_t n, const float *point,
			   float dropout, MrRng *rng, float *out, MrPoll poll, void *arg)
{
	if (n <= 0)
		return MR_OK;
	for (int32_t l = 0; l < net->n_layers; l++)
	{
		MrNetLayer *layer = &net->layer[l];
		const MrNetLayer *below = l > 0 ? layer - 1 : NULL;
		bool		is_last = l == net->n_layers - 1;
		float	   *z = is_last ? out : layer->h;
		int32_t		ldz = is_last ? net->stride : layer->stride;
		MrStatus	status;

		if (is_last || layer->bias.n == 0)
			memset(z, 0, (size_t) n * ldz * sizeof(float));
		for (int32_t i = 0; i < n && layer->bias.n > 0; i++)
			memcpy(z + (size_t) i * ldz, layer->bias.value, layer->stride * sizeof(float));
		if (below == NULL)
			status = add_inputs(net, f, rows, n, point, z, ldz, poll, arg);
		else
			status = product(net, MR_AS_IS, MR_AS_IS, n, layer->stride, layer->n_in, below->h, below->stride,
							 layer->weight.value, layer->stride, 1, z, ldz, poll, arg);
		if (status != MR_OK)
			return status;
		if (!is_last)
			activate(net, layer, n, dropout, rng);
		if (mr_net_tick(net, 4 * (int64_t) n * layer->stride, poll, arg))
			return MR_STOPPED;
	}
	return MR_OK;
}

/* Gradients of the matrices of the first layer from G = dL/dz_1, and of the points. */
static MrStatus
input_gradients(MrNet *net, const MrFeatures *f, const int32_t *rows, int32_t n, const float *point,
				float *g, float *g_point, MrPoll poll, void *arg)
{
	const MrNetShape *shape = &net->shape;
	int32_t		width = net->layer[0].stride;

	if (shape->n_sparse > 0 && pass_sparse(net, f, rows, n, g, width, true, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (shape->n_dense > 0 &&
		product(net, MR_TRANSPOSED, MR_AS_IS, shape->n_dense, width, n, dense_rows(net, f, rows, n), shape->n_dense,
				g, width, 1, net->dense.gradient, width, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (shape->n_point > 0 &&
		product(net, MR_TRANSPOSED, MR_AS_IS, shape->n_point, width, n, point, net->stride,
				g, width, 1, net->point.gradient, width, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (shape->n_point > 0 && g_point != NULL)
		return product(net, MR_AS_IS, MR_TRANSPOSED, n, shape->n_point, width, g, width,
					   net->point.value, width, 1, g_point, net->stride, poll, arg);
	return MR_OK;
}

/* Zero what lies behind the width of each row. */
static void
clear_padding(float *x, int32_t n, int32_t width, int32_t stride)
{
	for (int32_t i = 0; i < n && width < stride; i++)
		memset(x + (size_t) i * stride + width, 0, (stride - width) * sizeof(float));
}

/*
 * Send the gradients of a block's output back; the arguments are those of its
 * mr_net_forward(), which was the last one.
 *
 * g_out	[n][stride] dL/dout; what is behind the width is not read
 * g_point	[n][stride] dL/dpoint is ADDED to its first n_point coordinates; or NULL
 */
MrStatus
mr_net_backward(MrNet *net, const MrFeatures *f, const int32_t *rows, int32_t n, const float *point,
				const float *g_out, float *g_point, MrPoll poll, void *arg)
{
	const MrNetLayer *layer = &net->layer[net->n_layers - 1];
	float	   *g = net->back[0];

	if (n <= 0)
		return MR_OK;
	for (int32_t i = 0; i < n; i++)
		memcpy(g + (size_t) i * layer->stride, g_out + (size_t) i * net->stride, layer->width * sizeof(float));
	clear_padding(g, n, layer->width, layer->stride);
	for (int32_t l = net->n_layers - 1;; l--)
	{
		const MrNetLayer *below;
		float	   *g_below = net->back[g == net->back[0]];

		for (int32_t i = 0; i < n && layer->bias.n > 0; i++)
			net->math->axpy(layer->bias.gradient, 1, g + (size_t) i * layer->stride, layer->stride);
		if (mr_net_tick(net, 4 * (int64_t) n * layer->stride, poll, arg))
			return MR_STOPPED;
		if (l == 0)
			return input_gradients(net, f, rows, n, point, g, g_point, poll, arg);
		below = layer - 1;
		if (product(net, MR_TRANSPOSED, MR_AS_IS, layer->n_in, layer->stride, n, below->h, below->stride,
					g, layer->stride, 1, layer->weight.gradient, layer->stride, poll, arg) != MR_OK ||
			product(net, MR_AS_IS, MR_TRANSPOSED, n, layer->n_in, layer->stride, g, layer->stride,
					layer->weight.value, layer->stride, 0, g_below, below->stride, poll, arg) != MR_OK)
			return MR_STOPPED;
		clear_padding(g_below, n, below->width, below->stride);
		net->math->multiply(g_below, below->slope, (size_t) n * below->stride);
		g = g_below;
		layer = below;
	}
}
