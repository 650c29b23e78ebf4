/*
 * net_test.c
 *		The network of a tower: its values and gradients against a second
 *		implementation in double precision, a batch worked by hand, dropout,
 *		start, optimiser, memory and polling.  The stored form: net_store_test.c.
 */
#include "math/gemm.h"
#include "net_fixture.h"

#define TOLERANCE 1e-4			/* of gradients, relative to the largest of a matrix */
#define DIFFERENCE 1e-5
#define STRIDE 32				/* more than any width needs: padding that is not the network's */

/* A case of the gradient check: two blocks, rows in any order and more than once, then together. */
typedef struct Check
{
	NetFixture	x;
	MrFeatures	f;
	int32_t		n[2];
	int32_t		rows[2][16];
	float		point[2][16 * STRIDE];
	float		weight[2][16 * STRIDE];	/* the loss is the sum of weight * out */
	float		g_point[2][16 * STRIDE];
	double	   *factor[2][MR_MAX_HIDDEN];
} Check;

static MrRng rng;

static double
check_loss(Check *c, const Change *change, int block)
{
	double		out[64];
	double		sum = 0;

	for (int32_t i = 0; i < c->n[block]; i++)
	{
		reference_forward(c->x.net, &c->f, c->rows[block][i], c->point[block] + i * STRIDE, i,
						  c->factor[block], change, out);
		for (int32_t k = 0; k < c->x.net->shape.width; k++)
			sum += c->weight[block][i * STRIDE + k] * out[k];
	}
	return sum;
}

/* What dropout did, from the units: those that are off anyway do not matter. */
static void
read_factors(Check *c, int block, float dropout)
{
	for (int32_t l = 0; l < c->x.net->shape.n_hidden; l++)
	{
		const MrNetLayer *layer = &c->x.net->layer[l];
		double		scale = 65536 / (65536 - floor(dropout * 65536 + 0.5));

		c->factor[block][l] = malloc(c->n[block] * layer->width * sizeof(double));
		for (int32_t i = 0; i < c->n[block]; i++)
			for (int32_t k = 0; k < layer->width; k++)
			{
				bool		dropped = dropout > 0 && layer->h[i * layer->stride + k] == 0;

				c->factor[block][l][i * layer->width + k] = dropped ? 0 : scale;
			}
	}
}

/* Both blocks forward, compared with the reference, and backward. */
static void
run_blocks(Check *c, float dropout, const char *name)
{
	MrNet	   *net = c->x.net;
	const MrFeatures *f = net->shape.n_sparse + net->shape.n_dense > 0 ? &c->f : NULL;
	Change		none = {-2};

	for (int block = 0; block < 2; block++)
	{
		float		out[16 * STRIDE];
		double		want[64];

		memset(out, 0xff, sizeof(out));
		mr_net_forward(net, f, c->rows[block], c->n[block], c->point[block], dropout, &rng, out, NULL, NULL);
		read_factors(c, block, dropout);
		for (int32_t i = 0; i < c->n[block]; i++)
		{
			reference_forward(net, &c->f, c->rows[block][i], c->point[block] + i * STRIDE, i,
							  c->factor[block], &none, want);
			for (int32_t k = 0; k < STRIDE; k++)
				unit_case(k < net->shape.width ? fabs(out[i * STRIDE + k] - want[k]) < 2e-5 : out[i * STRIDE + k] == 0,
						  "%s: row %d, coordinate %d is %g, not %g", name, i, k, out[i * STRIDE + k],
						  k < net->shape.width ? want[k] : 0);
		}
		mr_net_backward(net, f, c->rows[block], c->n[block], c->point[block], c->weight[block],
						c->g_point[block], NULL, NULL);
	}
}

/* Gradients of one matrix (-1: the points) against central differences of the reference. */
static void
check_matrix(Check *c, int32_t matrix, const char *name)
{
	const MrPoints *p = matrix >= 0 ? mr_net_matrix(c->x.net, matrix) : NULL;
	int32_t		n = p ? p->n : c->n[0] + c->n[1];
	int32_t		width = p ? p->width : c->x.net->shape.n_point;
	double		largest = 0;
	double		worst = 0;

	for (int32_t i = 0; i < n * width; i++)
	{
		Change		change = {matrix, i / width, i % width, DIFFERENCE};
		int			block = p == NULL && change.row >= c->n[0];
		double		got;
		double		want = 0;

		if (p)
			got = p->gradient[(size_t) change.row * p->stride + change.column];
		else
		{
			change.row -= block ? c->n[0] : 0;
			got = c->g_point[block][change.row * STRIDE + change.column] - 1;
		}
		for (int b = p ? 0 : block; b < (p ? 2 : block + 1); b++)
		{
			change.by = DIFFERENCE;
			want += check_loss(c, &change, b) / (2 * DIFFERENCE);
			change.by = -DIFFERENCE;
			want -= check_loss(c, &change, b) / (2 * DIFFERENCE);
		}
		largest = fmax(largest, fabs(want));
		worst = fmax(worst, fabs(got - want));
		if (isnan(got))
			worst = INFINITY;
	}
	unit_case(n * width == 0 || (largest > 0 && worst <= TOLERANCE * largest),
			  "%s: matrix %d, error %g, largest %g", name, matrix, worst, largest);
	/* the padding of gradients stays zero */
	for (int32_t i = 0; p && i < p->n; i++)
		for (int32_t k = p->width; k < p->stride; k++)
			unit_case(p->gradient[(size_t) i * p->stride + k] == 0, "%s: matrix %d, padding", name, matrix);
}

static void
run_check(MrNetShape shape, float dropout)
{
	static Check c;
	static const int32_t scattered[9] = {7, 3, 3, 4, 0, 9, 11, 8, 7};
	MrHyper		hyper = {.optimizer = MR_OPTIMIZER_SGD};
	MrNetInput	input = {1, 1, 1};
	char		name[200];

	snprintf(name, sizeof(name), "%d sparse, %d dense, %d point, %d hidden, activation %d, dropout %g",
			 shape.n_sparse, shape.n_dense, shape.n_point, shape.n_hidden, shape.activation, dropout);
	memset(&c, 0, sizeof(c));
	c.n[0] = 9;
	c.n[1] = 4;
	features_fixture(&c.f, 12, shape.n_sparse, shape.n_dense, 0.5, 3);
	for (int32_t i = 0; i < 9; i++)
		c.rows[0][i] = scattered[i];
	for (int32_t i = 0; i < 4; i++)
		c.rows[1][i] = 5 + i;
	for (int block = 0; block < 2; block++)
		for (int32_t i = 0; i < 16 * STRIDE; i++)
		{
			c.point[block][i] = i % STRIDE < shape.n_point ? (float) mr_rng_normal(&rng) : NAN;
			c.weight[block][i] = i % STRIDE < shape.width ? (float) mr_rng_normal(&rng) : NAN;
			c.g_point[block][i] = 1;	/* is added to */
		}
	net_fixture(&c.x, &shape, &hyper, STRIDE);
	mr_net_start(c.x.net, &rng, &input, 0.7, NULL, NULL);
	for (int32_t l = 0; l < c.x.net->n_layers && shape.n_hidden > 0; l++)
		for (int32_t k = 0; k < c.x.net->layer[l].width; k++)
			c.x.net->layer[l].bias.value[k] = (float) (0.3 * mr_rng_normal(&rng));
	run_blocks(&c, dropout, name);
	for (int32_t matrix = -1; matrix < 0 || mr_net_matrix(c.x.net, matrix) != NULL; matrix++)
		check_matrix(&c, matrix, name);
	for (int32_t i = 0; i < 16 * STRIDE; i++)
		unit_case(i % STRIDE < shape.n_point || c.g_point[0][i] == 1, "%s: behind the point", name);
	unit_case(net_fixture_guarded(&c.x), "%s: memory behind", name);
	for (int i = 0; i < 2 * MR_MAX_HIDDEN; i++)
		free(c.factor[i / MR_MAX_HIDDEN][i % MR_MAX_HIDDEN]);
	features_fixture_free(&c.f);
	net_fixture_end(&c.x);
}

/* Every combination of parts, layers, activation and dropout. */
static void
test_gradients(void)
{
	static const char *const names[3] = {"relu", "tanh", "gelu"};

	for (int parts = 1; parts < 8; parts++)
	{
		MrNetShape	shape = {parts & 1 ? 7 : 0, parts & 2 ? 5 : 0, parts & 4 ? 6 : 0, 0, {0}, 4};

		run_check(shape, 0);
	}
	unit_cases("no hidden layer: values and gradients are the reference's");
	for (int activation = 0; activation < 3; activation++)
	{
		for (int parts = 1; parts < 8; parts++)
			for (int n_hidden = 1; n_hidden <= 3; n_hidden++)
				for (int drop = 0; drop < 2; drop++)
				{
					MrNetShape	shape = {parts & 1 ? 7 : 0, parts & 2 ? 5 : 0, parts & 4 ? 6 : 0, n_hidden, {18, 5, 16}, 4,
					activation};

					run_check(shape, drop ? 0.3f : 0);
				}
		unit_cases(names[activation]);
	}
}

static void
set_row(MrPoints *p, int32_t row, float a, float b)
{
	p->value[row * p->stride] = a;
	p->value[row * p->stride + 1] = b;
}

static bool
row_is(const MrPoints *p, const float *matrix, int32_t row, double a, double b)
{
	return fabs(matrix[row * p->stride] - a) < 1e-6 && fabs(matrix[row * p->stride + 1] - b) < 1e-6;
}

/*
 * Worked by hand, relu:
 *
 *	S = (2, 0, 1), X = (1, -1), P = (1)
 *	W_s = (1, 0), (5, 5), (0, 1)	W_x = (2, 0), (0, 2)	W_p = (1, 1)	b_1 = (.5, -1)
 *	z_1 = 2 (1, 0) + (0, 1) + (2, 0) - (0, 2) + (1, 1) + (.5, -1) = (5.5, -1)
 *	h_1 = (5.5, 0)
 *	W_2 = (1, 2), (3, 4)	b_2 = (.25, -.25)		out = (5.75, 10.75)
 *
 *	dL/dout = (1, -1):		db_2 = (1, -1)	dW_2 = (5.5, -5.5), (0, 0)
 *	dL/dh = (1 - 2, 3 - 4) = (-1, -1)		dL/dz = (-1, 0) = db_1
 *	dW_s = (-2, 0), none, (-1, 0)	dW_x = (-1, 0), (1, 0)	dW_p = (-1, 0)	dL/dP = -1
 *
 * SGD, rate .1, decay .5: weights times .95, then .1 dW less; biases do not decay,
 * nor does the row of W_s that had no part.
 */
static void
test_by_hand(void)
{
	static int64_t start[2] = {0, 2};
	static int32_t column[2] = {0, 2};
	static float value[2] = {2, 1};
	static float dense[2] = {1, -1};
	static uint8_t present[1] = {1};
	MrFeatures	f = {1, 3, 2, start, column, value, dense, present};
	MrNetShape	shape = {3, 2, 1, 1, {2}, 2, MR_ACTIVATION_RELU};
	MrHyper		hyper = {.optimizer = MR_OPTIMIZER_SGD};
	MrNetInput	input = {1, 1, 1};
	MrStep		step = {1, 0.1, 0.5};
	NetFixture	x;
	MrNet	   *net = net_fixture(&x, &shape, &hyper, 16);
	MrPoints   *bias = &net->layer[0].bias;
	MrPoints   *bias2 = &net->layer[1].bias;
	MrPoints   *weight2 = &net->layer[1].weight;
	int32_t		row = 0;
	float		point[16] = {1};
	float		out[16];
	float		g_out[16] = {1, -1};
	float		g_point[16] = {0};

	mr_net_start(net, &rng, &input, 1, NULL, NULL);
	set_row(&net->sparse, 0, 1, 0);
	set_row(&net->sparse, 1, 5, 5);
	set_row(&net->sparse, 2, 0, 1);
	set_row(&net->dense, 0, 2, 0);
	set_row(&net->dense, 1, 0, 2);
	set_row(&net->point, 0, 1, 1);
	set_row(bias, 0, 0.5f, -1);
	set_row(weight2, 0, 1, 2);
	set_row(weight2, 1, 3, 4);
	set_row(bias2, 0, 0.25f, -0.25f);
	mr_net_forward(net, &f, &row, 1, point, 0, NULL, out, NULL, NULL);
	ok(out[0] == 5.75f && out[1] == 10.75f && out[2] == 0, "by hand: forward");
	mr_net_backward(net, &f, &row, 1, point, g_out, g_point, NULL, NULL);
	ok(row_is(bias2, bias2->gradient, 0, 1, -1) && row_is(weight2, weight2->gradient, 0, 5.5, -5.5) &&
	   row_is(weight2, weight2->gradient, 1, 0, 0), "by hand: gradients of the output's layer");
	ok(row_is(bias, bias->gradient, 0, -1, 0) && row_is(&net->sparse, net->sparse.gradient, 0, -2, 0) &&
	   row_is(&net->sparse, net->sparse.gradient, 1, 0, 0) && row_is(&net->sparse, net->sparse.gradient, 2, -1, 0) &&
	   row_is(&net->dense, net->dense.gradient, 0, -1, 0) && row_is(&net->dense, net->dense.gradient, 1, 1, 0) &&
	   row_is(&net->point, net->point.gradient, 0, -1, 0) && g_point[0] == -1, "by hand: gradients of the first layer");
	ok(net->sparse.n_touched == 2, "two rows of the sparse matrix are touched");
	mr_net_step(net, &step, NULL, NULL);
	ok(row_is(&net->sparse, net->sparse.value, 0, 1.15, 0) && row_is(&net->sparse, net->sparse.value, 1, 5, 5) &&
	   row_is(&net->sparse, net->sparse.value, 2, 0.1, 0.95) && row_is(&net->dense, net->dense.value, 0, 2, 0) &&
	   row_is(&net->dense, net->dense.value, 1, -0.1, 1.9) && row_is(&net->point, net->point.value, 0, 1.05, 0.95),
	   "by hand: step of the first layer");
	ok(row_is(bias, bias->value, 0, 0.6, -1) && row_is(bias2, bias2->value, 0, 0.15, -0.15) &&
	   row_is(weight2, weight2->value, 0, 0.4, 2.45) && row_is(weight2, weight2->value, 1, 2.85, 3.8),
	   "by hand: step of the output's layer, biases do not decay");
	ok(net->sparse.n_touched == 0 && row_is(&net->sparse, net->sparse.gradient, 0, 0, 0) &&
	   row_is(bias, bias->gradient, 0, 0, 0) && row_is(weight2, weight2->gradient, 0, 0, 0), "gradients are used up");
	net_fixture_end(&x);
}

/* Adam: rows that no block touched keep value and moments, bit for bit. */
static void
test_touched(void)
{
	MrNetShape	shape = {30, 0, 0, 1, {20}, 5, MR_ACTIVATION_TANH};
	MrHyper		hyper = {.optimizer = MR_OPTIMIZER_ADAM};
	MrNetInput	input = {1, 1, 1};
	MrFeatures	f;
	NetFixture	x;
	MrNet	   *net = net_fixture(&x, &shape, &hyper, 16);
	MrPoints   *p = &net->sparse;
	size_t		size = 30 * p->stride * sizeof(float);
	float	   *before = malloc(size);
	bool		used[30] = {false};
	int32_t		rows[3] = {0, 1, 2};
	float		out[3 * 16];
	float		g_out[3 * 16];
	int			n_used = 0;

	features_fixture(&f, 10, 30, 0, 0.1, 8);
	mr_net_start(net, &rng, &input, 1, NULL, NULL);
	memcpy(before, p->value, size);
	for (int i = 0; i < 3 * 16; i++)
		g_out[i] = 1;
	for (int64_t e = 0; e < f.start[3]; e++)
		used[f.column[e]] = true;
	for (int number = 1; number <= 3; number++)
	{
		MrStep		step = {number, 0.01, 0.1};

		mr_net_forward(net, &f, rows, 3, NULL, 0, NULL, out, NULL, NULL);
		mr_net_backward(net, &f, rows, 3, NULL, g_out, NULL, NULL, NULL);
		mr_net_step(net, &step, NULL, NULL);
	}
	for (int row = 0; row < 30; row++)
	{
		size_t		at = (size_t) row * p->stride;
		bool		same = memcmp(before + at, p->value + at, p->stride * sizeof(float)) == 0;

		n_used += used[row];
		unit_case(same == !used[row] && (p->second[at] == 0) == !used[row] && fabs(p->power1[row] - (used[row] ? 0.729 : 1)) < 1e-6,
				  "row %d, used %d", row, used[row]);
	}
	unit_cases("only touched rows of the sparse matrix move, and at each of three steps");
	ok(n_used > 0 && n_used < 20, "some rows were touched, some not");
	free(before);
	features_fixture_free(&f);
	net_fixture_end(&x);
}

/* Share of dropped units, scale, and the same mask from the same generator. */
static void
test_dropout(void)
{
	MrNetShape	shape = {0, 0, 16, 1, {1000}, 8, MR_ACTIVATION_TANH};
	MrHyper		hyper = {.optimizer = MR_OPTIMIZER_SGD};
	MrNetInput	input = {1, 1, 1};
	NetFixture	x;
	MrNet	   *net = net_fixture(&x, &shape, &hyper, 16);
	const MrNetLayer *layer = &net->layer[0];
	int32_t		rows[64];
	static float point[64 * 16];
	static float out[3][64 * 16];
	static float plain[64 * 1008];
	MrRng		before;
	MrRng		again;
	int64_t		dropped = 0;
	double		mean = 0;

	mr_net_start(net, &rng, &input, 1, NULL, NULL);
	for (int i = 0; i < 64 * 16; i++)
		point[i] = (float) mr_rng_normal(&rng);
	before = again = rng;
	mr_net_forward(net, NULL, rows, 64, point, 0, &rng, out[0], NULL, NULL);
	ok(memcmp(&before, &rng, sizeof(rng)) == 0, "no dropout draws nothing");
	memcpy(plain, layer->h, sizeof(plain));
	mr_net_forward(net, NULL, rows, 64, point, 0.25f, &rng, out[1], NULL, NULL);
	for (int i = 0; i < 64; i++)
		for (int k = 0; k < 1000; k++)
		{
			float		was = plain[i * 1008 + k];
			float		is = layer->h[i * 1008 + k];

			dropped += is == 0;
			mean += is / was / 64000;
			unit_case(is == 0 || fabs(is - was / 0.75) < 1e-6, "%g of %g", is, was);
		}
	unit_cases("units are dropped or scaled by 1 / (1 - p)");
	ok(fabs(dropped / 64000.0 - 0.25) < 0.01, "a quarter is dropped (%.4f)", dropped / 64000.0);
	ok_near(mean, 1, 0.01, "the expectation stays");
	mr_net_forward(net, NULL, rows, 64, point, 0.25f, &again, out[2], NULL, NULL);
	ok(memcmp(out[1], out[2], sizeof(out[1])) == 0 && memcmp(&again, &rng, sizeof(rng)) == 0,
	   "the generator's state decides the mask");
	ok(memcmp(out[0], out[1], sizeof(out[0])) != 0, "and dropout does something");
	mr_net_forward(net, NULL, rows, 64, point, 0.99999f, &again, out[2], NULL, NULL);
	ok(isfinite(out[2][0]), "a probability next to 1 is no division by zero");
	net_fixture_end(&x);
}

/* Standard deviation of the output's coordinates right after the start. */
static double
start_deviation(MrNetShape shape, double scale, double deviation)
{
	MrNetInput	input;
	MrFeatures	f;
	NetFixture	x;
	MrNet	   *net = net_fixture(&x, &shape, NULL, 64);
	int32_t		rows[200];
	int32_t		n = 0;
	float	   *point = malloc(200 * 64 * sizeof(float));
	float	   *out = malloc(200 * 64 * sizeof(float));
	double		sum = 0;

	features_fixture(&f, 200, shape.n_sparse, shape.n_dense, 0.05, 17);
	for (int32_t i = 0; i < 200; i++)
		if (f.is_present[i])
			rows[n++] = i;
	for (int64_t e = 0; e < f.start[200]; e++)
		f.value[e] *= (float) scale;
	for (int32_t i = 0; i < 200 * shape.n_dense; i++)
		f.dense[i] *= (float) scale;
	for (int32_t i = 0; i < 200 * 64; i++)
		point[i] = (float) (mr_rng_normal(&rng) / 8);
	mr_net_measure(&f, &input, NULL, NULL);
	mr_net_start(net, &rng, &input, deviation, NULL, NULL);
	mr_net_forward(net, &f, rows, n, point, 0, NULL, out, NULL, NULL);
	for (int32_t i = 0; i < n * 64; i++)
		sum += (double) out[i] * out[i];
	free(point);
	free(out);
	features_fixture_free(&f);
	net_fixture_end(&x);
	return sqrt(sum / (n * 64));
}

static void
test_start(void)
{
	static int64_t start[4] = {0, 2, 2, 3};
	static int32_t column[3] = {0, 1, 1};
	static float value[3] = {3, 4, 1};
	static float dense[6] = {1, 1, 0, 0, 2, 0};
	static uint8_t present[3] = {1, 0, 1};
	MrFeatures	f = {3, 2, 2, start, column, value, dense, present};
	MrNetInput	input;

	mr_net_measure(&f, &input, NULL, NULL);
	ok(input.sparse == 13 && input.dense == 3 && input.point == 1, "lengths of rows: (25 + 1) / 2, (2 + 4) / 2");
	mr_net_measure(NULL, &input, NULL, NULL);
	ok(input.sparse == 1 && input.dense == 1, "no features, nothing to measure");
	for (int activation = 0; activation < 3; activation++)
		for (int parts = 1; parts < 8; parts++)
			for (int n_hidden = 0; n_hidden <= 3; n_hidden++)
				for (double scale = 0.05; scale < 30; scale *= 20)
				{
					MrNetShape	shape = {parts & 1 ? 300 : 0, parts & 2 ? 100 : 0, parts & 4 ? 64 : 0, n_hidden,
					{150, 120, 100}, 64, activation};
					double		got = start_deviation(shape, scale, 0.125);

					unit_case(got > 0.125 * 0.45 && got < 0.125 * 1.4, "%d parts, %d hidden, activation %d, scale %g: %g",
							  parts, n_hidden, activation, scale, got);
				}
	unit_cases("the output starts with the deviation asked for, whatever goes in");
}

/* Same seed, same bits; and what a network of 16 x 24 units learns: a sign of x y. */
static double
learn(MrOptimizer optimizer, double rate, MrActivation activation, int steps, float *last_out)
{
	MrNetShape	shape = {0, 2, 0, 2, {24, 16}, 1, activation};
	MrHyper		hyper = {.optimizer = optimizer};
	MrNetInput	input;
	MrFeatures	f;
	NetFixture	x;
	MrNet	   *net = net_fixture(&x, &shape, &hyper, 16);
	int32_t		rows[200];
	static float out[200 * 16];
	static float g_out[200 * 16];
	double		loss = 0;
	MrRng		own;

	mr_rng_seed(&own, 4);
	features_fixture(&f, 200, 0, 2, 0, 12);
	mr_net_measure(&f, &input, NULL, NULL);
	mr_net_start(net, &own, &input, 1, NULL, NULL);
	for (int32_t i = 0; i < 200; i++)
		rows[i] = i;
	for (int number = 1; number <= steps; number++)
	{
		MrStep		step = {number, rate, 0};

		loss = 0;
		for (int half = 0; half < 200; half += 100)
		{
			mr_net_forward(net, &f, rows + half, 100, NULL, number < steps ? 0.02f : 0, &own, out + half * 16, NULL, NULL);
			for (int32_t i = half; i < half + 100; i++)
			{
				double		want = f.dense[2 * i] * f.dense[2 * i + 1] > 0 ? 1 : -1;
				double		error = out[i * 16] - (f.is_present[i] ? want : 0);

				loss += error * error / 200;
				g_out[i * 16] = (float) (error / 100);
			}
			mr_net_backward(net, &f, rows + half, 100, NULL, g_out + half * 16, NULL, NULL, NULL);
		}
		mr_net_step(net, &step, NULL, NULL);
	}
	memcpy(last_out, out, sizeof(out));
	features_fixture_free(&f);
	net_fixture_end(&x);
	return loss;
}

static void
test_learning(void)
{
	static float first[200 * 16];
	static float second[200 * 16];

	for (int activation = 0; activation < 3; activation++)
	{
		double		start = learn(MR_OPTIMIZER_ADAM, 0, activation, 1, first);
		double		adam = learn(MR_OPTIMIZER_ADAM, 0.01, activation, 300, first);
		double		adagrad = learn(MR_OPTIMIZER_ADAGRAD, 0.05, activation, 300, second);

		unit_case(start > 0.8 && adam < 0.15 && adagrad < 0.5, "activation %d: loss %g, with adam %g, adagrad %g",
				  activation, start, adam, adagrad);
		learn(MR_OPTIMIZER_ADAM, 0.01, activation, 300, second);
		unit_case(memcmp(first, second, sizeof(first)) == 0, "activation %d: the same bits again", activation);
	}
	unit_cases("learns what no sum can, deterministically");
}

/* The counting run and the placing run take the same; memory may start anywhere. */
static void
test_memory(void)
{
	MrHyper		hyper = {.optimizer = MR_OPTIMIZER_ADAM};

	for (int i = 0; i < 64; i++)
	{
		MrNetShape	shape = {i % 3 * 50, i % 2 * 33, 1 + i % 5, i % 4, {17, 40, 5}, 9, i % 3};
		const MrHyper *optimizer = i % 7 ? &hyper : NULL;
		size_t		bytes = mr_net_memory(&shape, optimizer, 16);
		char	   *block = malloc(bytes + 64);
		char	   *memory = block + i % 64;
		MrArena		counted = {NULL, 0, false};
		MrArena		used = {(char *) (((uintptr_t) memory + 63) & ~(uintptr_t) 63), 0, false};
		MrNet	   *net = mr_net_layout(&used, &shape, optimizer, 16);

		unit_case(mr_net_layout(&counted, &shape, optimizer, 16) == NULL && counted.used == used.used &&
				  used.base + used.used <= memory + bytes, "%d: %zu counted, %zu used", i, counted.used, used.used);
		unit_case((net->layer[0].bias.gradient != NULL) == (optimizer != NULL && shape.n_hidden > 0) ||
				  shape.n_hidden == 0, "%d: gradients only with an optimiser", i);
		free(block);
	}
	unit_cases("memory counted is memory used");
	{
		MrNetShape	shape = {MR_NET_MAX_SPARSE, 0, 0, 0, {0}, MR_NET_MAX_WIDTH};

		ok(mr_net_memory(&shape, &hyper, MR_NET_MAX_WIDTH) > (size_t) 1 << 40, "the largest shape is counted, not wrapped");
	}
}

typedef struct Polls
{
	int			calls;
	int			stop_at;
} Polls;

static bool
count_poll(void *arg)
{
	Polls	   *polls = arg;

	return ++polls->calls == polls->stop_at;
}

/* A wide network polls in the middle of its products and between rows, and stops. */
static void
test_polling(void)
{
	MrNetShape	shape = {2000, 0, 2048, 1, {2048}, 2048, MR_ACTIVATION_RELU};
	MrHyper		hyper = {.optimizer = MR_OPTIMIZER_SGD};
	MrNetInput	input = {1, 1, 1};
	MrStep		step = {1, 0.1, 0};
	NetFixture	x;
	MrFeatures	f;
	MrNet	   *net = net_fixture(&x, &shape, &hyper, 2048);
	int32_t		rows[64];
	float	   *point = calloc(64 * 2048, sizeof(float));
	float	   *out = calloc(64 * 2048, sizeof(float));
	Polls		polls = {0};
	MrStatus	status;

	features_fixture(&f, 64, 2000, 0, 0.05, 6);
	for (int32_t i = 0; i < 64; i++)
		rows[i] = i;
	status = mr_net_start(net, &rng, &input, 1, count_poll, &polls);
	ok(status == MR_OK && polls.calls >= 30, "start polls (%d)", polls.calls);
	polls.calls = 0;
	status = mr_net_forward(net, &f, rows, 64, point, 0, NULL, out, count_poll, &polls);
	ok(status == MR_OK && polls.calls >= 4, "forward polls (%d)", polls.calls);
	polls.calls = 0;
	status = mr_net_backward(net, &f, rows, 64, point, out, point, count_poll, &polls);
	ok(status == MR_OK && polls.calls >= 6, "backward polls (%d)", polls.calls);
	polls.calls = 0;
	status = mr_net_step(net, &step, count_poll, &polls);
	ok(status == MR_OK && polls.calls >= 5, "step polls (%d)", polls.calls);
	for (int stop = 1; stop < 4; stop++)
	{
		polls = (Polls) {0, stop};
		unit_case(mr_net_forward(net, &f, rows, 64, point, 0, NULL, out, count_poll, &polls) == MR_STOPPED &&
				  polls.calls == stop, "forward at %d", stop);
		polls = (Polls) {0, stop};
		unit_case(mr_net_backward(net, &f, rows, 64, point, out, NULL, count_poll, &polls) == MR_STOPPED &&
				  polls.calls == stop, "backward at %d", stop);
		polls = (Polls) {0, stop};
		unit_case(mr_net_step(net, &step, count_poll, &polls) == MR_STOPPED && polls.calls == stop, "step at %d", stop);
	}
	unit_cases("stops when told");
	free(point);
	free(out);
	features_fixture_free(&f);
	net_fixture_end(&x);
}

/* Products in pieces are the products: widths that a piece's size does not divide. */
static void
test_pieces(void)
{
	enum
	{
		POINT = 8000, WIDTH = 600
	};
	MrNetShape	shape = {0, 0, POINT, 0, {0}, WIDTH};
	MrHyper		hyper = {.optimizer = MR_OPTIMIZER_SGD};
	MrNetInput	input = {1, 1, POINT};
	NetFixture	x;
	MrNet	   *net = net_fixture(&x, &shape, &hyper, POINT);
	float	   *point = malloc((size_t) MR_NET_BLOCK * POINT * sizeof(float));
	float	   *g_point = calloc((size_t) MR_NET_BLOCK * POINT, sizeof(float));
	float	   *out = malloc((size_t) MR_NET_BLOCK * POINT * sizeof(float));
	Polls		polls[2] = {{0}, {0}};

	mr_net_start(net, &rng, &input, 1, NULL, NULL);
	for (int32_t i = 0; i < MR_NET_BLOCK * POINT; i++)
		point[i] = (float) mr_rng_normal(&rng);
	mr_net_forward(net, NULL, NULL, MR_NET_BLOCK, point, 0, NULL, out, count_poll, &polls[0]);
	/* the output serves as its own gradient */
	mr_net_backward(net, NULL, NULL, MR_NET_BLOCK, point, out, g_point, count_poll, &polls[1]);
	ok(polls[0].calls >= 3 && polls[1].calls >= 6, "products of thousands go in pieces (%d, %d)", polls[0].calls, polls[1].calls);
	for (int32_t i = 0; i < MR_NET_BLOCK; i += 51)
		for (int32_t k = 0; k < WIDTH; k += 37)
		{
			double		want = 0;

			for (int32_t j = 0; j < POINT; j++)
				want += (double) point[(size_t) i * POINT + j] * net->point.value[(size_t) j * net->point.stride + k];
			unit_case(fabs(out[(size_t) i * POINT + k] - want) < 1e-4, "row %d, coordinate %d", i, k);
		}
	unit_cases("large products in pieces: output");
	for (int32_t j = 0; j < POINT; j += 331)
		for (int32_t k = 0; k < WIDTH; k += 37)
		{
			double		want = 0;
			double		got = net->point.gradient[(size_t) j * net->point.stride + k];

			for (int32_t i = 0; i < MR_NET_BLOCK; i++)
				want += (double) point[(size_t) i * POINT + j] * out[(size_t) i * POINT + k];
			unit_case(fabs(got - want) < 1e-3, "weight %d, %d: %g, not %g", j, k, got, want);
		}
	unit_cases("large products in pieces: gradient of the weights");
	for (int32_t i = 0; i < MR_NET_BLOCK; i += 51)
		for (int32_t j = 0; j < POINT; j += 331)
		{
			double		want = 0;
			double		got = g_point[(size_t) i * POINT + j];

			for (int32_t k = 0; k < WIDTH; k++)
				want += (double) out[(size_t) i * POINT + k] * net->point.value[(size_t) j * net->point.stride + k];
			unit_case(fabs(got - want) < 1e-4, "row %d, coordinate %d: %g, not %g", i, j, got, want);
		}
	unit_cases("large products in pieces: gradient of the points");
	free(point);
	free(g_point);
	free(out);
	net_fixture_end(&x);
}

int
main(void)
{
	if (!ok(mr_gemm_load() == NULL, "OpenBLAS is there"))
		return unit_done();
	mr_rng_seed(&rng, 20);
	test_by_hand();
	test_gradients();
	test_touched();
	test_dropout();
	test_start();
	test_learning();
	test_memory();
	test_polling();
	test_pieces();
	return unit_done();
}
