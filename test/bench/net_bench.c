/*
 * net_bench.c
 *		Speed of the network of a tower, without a server.
 *
 *		net_bench [name=value ...]
 *
 * Without arguments: the two shapes of test/bench/README.md, all activations.
 * With any of sparse, nonzero, dense, point, width (numbers), hidden (widths with
 * commas between them), activation, dropout: that shape alone.  seconds=S is
 * how long each figure is measured.
 *
 * Prints, on one core:
 *		forward		rows/s through mr_net_forward(), blocks of 256
 *		both		rows/s through forward and backward
 *		step		milliseconds of a step of the optimiser (Adam)
 *		peak		share of sgemm's speed: multiplications of the matrix products only,
 *					over the whole time, divided by those of a product 1024 x 1024 x 1024
 *		products	the same products alone, as a share of the time of `both`, and
 *					the speed that they reach: more is not to be had from OpenBLAS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "math/gemm.h"
#include "model/net.h"

#define FEATURE_ROWS 8192

typedef struct Bench
{
	MrNetShape	shape;
	int			nonzero;
	double		dropout;
	double		seconds;
	MrFeatures	f;
	int32_t    *rows;			/* [FEATURE_ROWS] shuffled */
	float	   *point;
	float	   *out;
	float	   *g_out;
	float	   *g_point;
	MrNet	   *net;
	MrRng		rng;
	double		peak;			/* multiplications per second */
} Bench;

typedef void (*Work) (Bench *b, int32_t block);

static const char *const activations[] = {"relu", "tanh", "gelu"};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void *
get_memory(size_t bytes)
{
	void	   *p = calloc(bytes > 0 ? bytes : 1, 1);

	if (p == NULL)
	{
		fprintf(stderr, "out of memory: %zu bytes\n", bytes);
		exit(1);
	}
	return p;
}

static float *
random_floats(MrRng *rng, size_t n)
{
	float	   *x = get_memory(n * sizeof(float));

	for (size_t i = 0; i < n; i++)
		x[i] = (float) mr_rng_normal(rng);
	return x;
}

/* Multiplications per second of a large product. */
static double
measure_peak(MrRng *rng, double limit)
{
	float	   *a = random_floats(rng, 1 << 20);
	float	   *b = random_floats(rng, 1 << 20);
	float	   *c = random_floats(rng, 1 << 20);
	double		best = 0;
	double		end = now() + limit;

	while (now() < end)
	{
		double		start = now();

		mr_gemm(MR_AS_IS, MR_AS_IS, 1024, 1024, 1024, 1, a, 1024, b, 1024, 0, c, 1024);
		start = 1073741824.0 / (now() - start);
		best = start > best ? start : best;
	}
	free(a);
	free(b);
	free(c);
	return best;
}

static void
forward(Bench *b, int32_t block)
{
	mr_net_forward(b->net, &b->f, b->rows + block * MR_NET_BLOCK, MR_NET_BLOCK, b->point, (float) b->dropout, &b->rng,
				   b->out, NULL, NULL);
}

static void
both(Bench *b, int32_t block)
{
	forward(b, block);
	mr_net_backward(b->net, &b->f, b->rows + block * MR_NET_BLOCK, MR_NET_BLOCK, b->point, b->g_out, b->g_point, NULL, NULL);
}

/* The products of one matrix of weights, forward and backward, with nothing around. */
static void
matrix_products(Bench *b, const float *in, int32_t ld, const MrPoints *w, bool goes_back)
{
	const float *g = b->net->back[0];

	if (w->n == 0)
		return;
	mr_gemm(MR_AS_IS, MR_AS_IS, MR_NET_BLOCK, w->stride, w->n, 1, in, ld, w->value, w->stride, 1, b->net->back[1], w->stride);
	mr_gemm(MR_TRANSPOSED, MR_AS_IS, w->n, w->stride, MR_NET_BLOCK, 1, in, ld, g, w->stride, 1, w->gradient, w->stride);
	if (goes_back)
		mr_gemm(MR_AS_IS, MR_TRANSPOSED, MR_NET_BLOCK, w->n, w->stride, 1, g, w->stride, w->value, w->stride, 0,
				b->g_point, ld);
}

static void
products(Bench *b, int32_t block)
{
	const MrNet *net = b->net;

	/* numbers that stay as they are: products of nothing with nothing */
	if (block == 1)
		for (int i = 0; i < 2; i++)
			memset(net->back[i], 0, (size_t) MR_NET_BLOCK * net->layer[0].stride * sizeof(float));
	matrix_products(b, net->dense_block, b->shape.n_dense, &net->dense, false);
	matrix_products(b, b->point, net->stride, &net->point, true);
	for (int32_t l = 1; l < net->n_layers; l++)
		matrix_products(b, (net->layer + l - 1)->h, (net->layer + l - 1)->stride, &net->layer[l].weight, true);
}

/*
 * Seconds per block: of rounds of some milliseconds the fastest, because others
 * use the machine, too.
 */
static double
measure(Bench *b, Work work)
{
	double		end = now() + b->seconds;
	double		best = 1e30;
	int			n = 0;

	work(b, 0);
	while (now() < end)
	{
		double		start = now();
		double		taken;
		int			count = 0;

		do
		{
			work(b, ++n % (FEATURE_ROWS / MR_NET_BLOCK));
			count++;
			taken = now() - start;
		} while (taken < 0.005);
		best = taken / count < best ? taken / count : best;
	}
	return best;
}

static double
measure_step(Bench *b)
{
	MrStep		step = {1, 1e-4, 0};
	double		taken = 0;
	int			n = 0;

	while (taken < b->seconds / 4)
	{
		both(b, n++ % (FEATURE_ROWS / MR_NET_BLOCK));
		taken -= now();
		mr_net_step(b->net, &step, NULL, NULL);
		taken += now();
		step.number++;
	}
	return taken / n;
}

static void
make_features(Bench *b)
{
	MrFeatures *f = &b->f;

	f->n_rows = FEATURE_ROWS;
	f->n_sparse = b->shape.n_sparse;
	f->n_dense = b->shape.n_dense;
	f->start = get_memory((FEATURE_ROWS + 1) * sizeof(int64_t));
	f->column = get_memory((size_t) FEATURE_ROWS * b->nonzero * sizeof(int32_t));
	f->value = random_floats(&b->rng, (size_t) FEATURE_ROWS * b->nonzero);
	f->dense = random_floats(&b->rng, (size_t) FEATURE_ROWS * f->n_dense);
	f->is_present = get_memory(FEATURE_ROWS);
	b->rows = get_memory(FEATURE_ROWS * sizeof(int32_t));
	for (int32_t row = 0; row < FEATURE_ROWS; row++)
	{
		f->is_present[row] = 1;
		f->start[row] = (int64_t) row * b->nonzero;
		/* one column of each of `nonzero` equal parts, so that they ascend */
		for (int32_t i = 0; i < b->nonzero; i++)
			f->column[f->start[row] + i] = (int32_t) ((i + mr_rng_uniform(&b->rng)) * f->n_sparse / b->nonzero);
		b->rows[row] = row;
	}
	f->start[FEATURE_ROWS] = (int64_t) FEATURE_ROWS * b->nonzero;
	mr_rng_shuffle(&b->rng, (uint32_t *) b->rows, FEATURE_ROWS);
}

/* Multiplications of the matrix products, forward only. */
static double
forward_work(const MrNetShape *s)
{
	double		first = s->n_hidden > 0 ? s->hidden[0] : s->width;
	double		work = ((double) s->n_dense + s->n_point) * first;

	for (int l = 1; l <= s->n_hidden; l++)
		work += (double) s->hidden[l - 1] * (l < s->n_hidden ? s->hidden[l] : s->width);
	return work * MR_NET_BLOCK;
}

static void
run(Bench *b)
{
	MrHyper		hyper = {.optimizer = MR_OPTIMIZER_ADAM};
	MrNetInput	input;
	int32_t		widest = b->shape.width > b->shape.n_point ? b->shape.width : b->shape.n_point;
	int32_t		stride = (widest + MR_ROW_PAD - 1) / MR_ROW_PAD * MR_ROW_PAD;
	size_t		bytes = mr_net_memory(&b->shape, &hyper, stride);
	void	   *memory = get_memory(bytes);
	double		work = forward_work(&b->shape);
	/* no gradient goes back to the dense features */
	double		work_both = 3 * work - (double) MR_NET_BLOCK * b->shape.n_dense *
		(b->shape.n_hidden > 0 ? b->shape.hidden[0] : b->shape.width);
	double		alone;
	double		t;
	double		t_both;
	double		step;
	size_t		block_floats;

	mr_rng_seed(&b->rng, 1);
	make_features(b);
	block_floats = (size_t) MR_NET_BLOCK * (stride > MR_NET_MAX_WIDTH ? stride : MR_NET_MAX_WIDTH);
	b->point = random_floats(&b->rng, block_floats);
	b->g_out = random_floats(&b->rng, block_floats);
	b->out = get_memory(block_floats * sizeof(float));
	b->g_point = get_memory(block_floats * sizeof(float));
	b->net = mr_net_place(memory, &b->shape, &hyper, stride);
	mr_net_measure(&b->f, &input, NULL, NULL);
	mr_net_start(b->net, &b->rng, &input, 0.1, NULL, NULL);
	t = measure(b, forward);
	t_both = measure(b, both);
	alone = measure(b, products);
	step = measure_step(b);
	printf("%d point + %d sparse (%d set) + %d dense ->", b->shape.n_point, b->shape.n_sparse, b->nonzero, b->shape.n_dense);
	for (int l = 0; l < b->shape.n_hidden; l++)
		printf(" %d ->", b->shape.hidden[l]);
	printf(" %d, %s, dropout %g: forward %.0f rows/s (%.0f %% of peak), both %.0f rows/s (%.0f %%), "
		   "products alone %.0f %% of the time and %.0f %% of peak, step %.3f ms, %.1f MB\n",
		   b->shape.width, activations[b->shape.activation], b->dropout,
		   MR_NET_BLOCK / t, 100 * work / t / b->peak, MR_NET_BLOCK / t_both, 100 * work_both / t_both / b->peak,
		   100 * alone / t_both, 100 * work_both / alone / b->peak, 1000 * step, bytes / 1e6);
	fflush(stdout);
	free(memory);
	free(b->f.start);
	free(b->f.column);
	free(b->f.value);
	free(b->f.dense);
	free(b->f.is_present);
	free(b->rows);
	free(b->point);
	free(b->g_out);
	free(b->out);
	free(b->g_point);
}

/* Returns false if the name is not one of a shape's. */
static bool
set(Bench *b, const char *name, const char *value)
{
	double		number = strtod(value, NULL);

	if (strcmp(name, "sparse") == 0)
		b->shape.n_sparse = (int32_t) number;
	else if (strcmp(name, "nonzero") == 0)
		b->nonzero = (int) number;
	else if (strcmp(name, "dense") == 0)
		b->shape.n_dense = (int32_t) number;
	else if (strcmp(name, "point") == 0)
		b->shape.n_point = (int32_t) number;
	else if (strcmp(name, "width") == 0)
		b->shape.width = (int32_t) number;
	else if (strcmp(name, "dropout") == 0)
		b->dropout = number;
	else if (strcmp(name, "activation") == 0)
	{
		for (int i = 0; i < 3; i++)
			if (strcmp(value, activations[i]) == 0)
				b->shape.activation = (MrActivation) i;
	}
	else if (strcmp(name, "hidden") == 0)
	{
		char	   *rest = (char *) value;

		for (b->shape.n_hidden = 0; *rest && b->shape.n_hidden < MR_MAX_HIDDEN; rest += *rest == ',')
			b->shape.hidden[b->shape.n_hidden++] = (int32_t) strtol(rest, &rest, 10);
	}
	else
		return false;
	return true;
}

int
main(int argc, char **argv)
{
	Bench		b = {{0, 0, 64, 1, {128}, 64, MR_ACTIVATION_RELU}, 20, 0, 1};
	bool		own_shape = false;

	if (mr_gemm_load() != NULL)
	{
		fprintf(stderr, "%s\n", mr_gemm_load());
		return 1;
	}
	for (int i = 1; i < argc; i++)
	{
		char	   *value = strchr(argv[i], '=');

		if (value != NULL)
			*value++ = '\0';
		if (value != NULL && strcmp(argv[i], "seconds") == 0)
			b.seconds = strtod(value, NULL);
		else if (value != NULL && set(&b, argv[i], value))
			own_shape = true;
		else
		{
			fprintf(stderr, "not one of the names: %s\n", argv[i]);
			return 1;
		}
	}
	mr_rng_seed(&b.rng, 2);
	b.peak = measure_peak(&b.rng, b.seconds);
	printf("%s; sgemm 1024^3: %.1f Gflop/s; rows by %s\n", mr_gemm_config(), 2e-9 * b.peak, mr_rowmath()->name);
	if (own_shape)
	{
		if (!mr_net_shape_valid(&b.shape))
		{
			fprintf(stderr, "no such network\n");
			return 1;
		}
		if (b.nonzero > b.shape.n_sparse)
			b.nonzero = b.shape.n_sparse;
		run(&b);
		return 0;
	}
	for (int activation = 0; activation < 3; activation++)
		for (int dropout = 0; dropout < 2; dropout++)
		{
			double		limit = b.seconds;
			double		peak = b.peak;

			b = (Bench) {{500, 0, 64, 1, {128}, 64, activation}, 20, 0.2 * dropout, limit};
			b.peak = peak;
			run(&b);
			b = (Bench) {{0, 768, 0, 1, {256}, 64, activation}, 0, 0.2 * dropout, limit};
			b.peak = peak;
			run(&b);
		}
	return 0;
}
