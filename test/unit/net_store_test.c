/*
 * net_store_test.c
 *		The stored form of a network: byte for byte, there and back, and damaged.
 */
#include "math/gemm.h"
#include "net_fixture.h"

static MrRng rng;

static void
put_32(uint8_t *to, uint32_t x)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t) (x >> (8 * i));
}

/*
 * The form must never change.  One column, no point, gelu, one hidden unit, one
 * coordinate: 24 + 4 bytes, then W_s = 1, b_1 = -2, W_2 = 0.5, b_2 = 0.
 */
static void
test_form(void)
{
	static const uint8_t want[44] = {'M', 'R', 'n', 't', 1, 0, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
	0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0x3f, 0, 0, 0, 0};
	MrNetShape	shape = {1, 0, 0, 1, {1}, 1, MR_ACTIVATION_GELU};
	NetFixture	x;
	MrNet	   *net = net_fixture(&x, &shape, NULL, 16);
	uint8_t		bytes[45];

	net->sparse.value[0] = 1;
	net->layer[0].bias.value[0] = -2;
	net->layer[1].weight.value[0] = 0.5f;
	net->layer[1].bias.value[0] = 0;
	bytes[44] = 0xa5;
	ok(mr_net_bytes(&shape) == 44 && mr_net_write(net, bytes, NULL, NULL) == MR_OK, "44 bytes");
	ok(memcmp(bytes, want, 44) == 0 && bytes[44] == 0xa5, "the stored form is the one of the comment");
	net_fixture_end(&x);
}

static MrNetShape
some_shape(int i)
{
	MrNetShape	shape = {i & 1 ? 31 : 0, i & 2 ? 20 : 0, i & 4 ? 17 : 0, i % 4, {33, 16, 5}, 19, i % 3};

	/* what is not a layer does not count */
	shape.hidden[7] = 12345;
	if ((i & 7) == 0)
		shape.n_point = 1;
	for (int l = shape.n_hidden; l < 3; l++)
		shape.hidden[l] = 0;
	return shape;
}

/* Written by a network in training, read into one that is not: the same bits come out. */
static void
test_round_trip(void)
{
	MrHyper		hyper = {.optimizer = MR_OPTIMIZER_ADAM};
	MrNetInput	input = {1, 1, 1};

	for (int i = 0; i < 48; i++)
	{
		MrNetShape	shape = some_shape(i);
		MrNetShape	back;
		MrFeatures	f;
		NetFixture	x;
		NetFixture	y;
		MrNet	   *net = net_fixture(&x, &shape, &hyper, 32);
		size_t		n = mr_net_bytes(&shape);
		uint8_t    *bytes = malloc(n);
		uint8_t    *again = malloc(n);
		int32_t		rows[20];
		static float point[20 * 32];
		static float out[2][20 * 32];
		bool		stopped;
		bool		read;

		features_fixture(&f, 20, shape.n_sparse, shape.n_dense, 0.3, i);
		for (int32_t row = 0; row < 20; row++)
			rows[row] = row;
		for (int k = 0; k < 20 * 32; k++)
			point[k] = (float) mr_rng_normal(&rng);
		mr_net_start(net, &rng, &input, 1, NULL, NULL);
		mr_net_forward(net, &f, rows, 20, point, 0, NULL, out[0], NULL, NULL);
		mr_net_write(net, bytes, NULL, NULL);
		read = mr_net_read_shape(&back, bytes, n);
		unit_case(read, "%d: shape", i);
		net_fixture(&y, &back, NULL, 32);
		unit_case(mr_net_read(y.net, bytes, n, NULL, NULL, &stopped) && !stopped, "%d: read", i);
		mr_net_forward(y.net, &f, rows, 20, point, 0, NULL, out[1], NULL, NULL);
		unit_case(memcmp(out[0], out[1], sizeof(out[0])) == 0, "%d: forward", i);
		mr_net_write(y.net, again, NULL, NULL);
		unit_case(memcmp(bytes, again, n) == 0, "%d: written again", i);
		unit_case(net_fixture_guarded(&y) && y.bytes < x.bytes, "%d: memory", i);
		net_fixture_end(&x);
		net_fixture_end(&y);
		features_fixture_free(&f);
		free(bytes);
		free(again);
	}
	unit_cases("written networks are read back, bit for bit");
}

/* Heads that are no network, or none of this length. */
static void
test_refused_heads(void)
{
	static const struct
	{
		int			at;
		uint32_t	value;
		const char *what;
	}			changes[] = {
		{0, 0x584e524d, "magic"}, {4, 0x03010002, "format 2"}, {4, 0x03010101, "format 257"},
		{4, 0x03030001, "activation 3"}, {4, 0x09000001, "9 hidden layers"}, {4, 0xff000001, "255 hidden layers"},
		{4, 0x01000001, "another number of layers"},
		{8, 32, "one column more"}, {8, 30, "one column less"}, {8, 0xffffffff, "-1 columns"},
		{8, 0x7fffffff, "too many columns"}, {8, MR_NET_MAX_SPARSE + 1, "more columns than allowed"},
		{12, 0x80000000, "a negative number of dense columns"}, {12, 0x7fffffff, "too many dense columns"},
		{16, 0xfffffffe, "-2 coordinates of the point"}, {16, 16385, "a point too wide"},
		{20, 0, "no output"}, {20, 16385, "an output too wide"}, {20, 0xffffffff, "an output of -1"},
		{24, 0, "a layer without units"}, {24, 16385, "a layer too wide"}, {28, 0xffffffff, "a layer of -1 units"},
	};
	MrNetShape	shape = some_shape(7 + 8 * 3);	/* all parts, 3 hidden layers */
	MrNetShape	back = {1, 2, 3};
	size_t		n = mr_net_bytes(&shape);
	uint8_t    *bytes = malloc(n + 1);
	MrNetInput	input = {1, 1, 1};
	NetFixture	x;

	net_fixture(&x, &shape, NULL, 32);
	mr_net_start(x.net, &rng, &input, 1, NULL, NULL);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
	{
		mr_net_write(x.net, bytes, NULL, NULL);
		put_32(bytes + changes[i].at, changes[i].value);
		unit_case(!mr_net_read_shape(&back, bytes, n), "%s", changes[i].what);
	}
	unit_cases("heads that are not of a network, or of another one, are refused");
	mr_net_write(x.net, bytes, NULL, NULL);
	memset(bytes + 8, 0, 12);
	unit_case(!mr_net_read_shape(&back, bytes, 24 + 12 + 4 * (33 + 34 * 16 + 17 * 5 + 6 * 19)), "no input at all");
	unit_cases("neither is one without input");
	mr_net_write(x.net, bytes, NULL, NULL);
	for (size_t length = 0; length < n; length++)
	{
		/* a copy of its own, so that a sanitizer sees reads behind it */
		uint8_t    *part = malloc(length > 0 ? length : 1);

		memcpy(part, bytes, length);
		unit_case(!mr_net_read_shape(&back, part, length), "%zu bytes", length);
		free(part);
	}
	unit_case(!mr_net_read_shape(&back, bytes, n + 1), "a byte more");
	unit_cases("truncated, or with a byte more");
	ok(back.n_sparse == 1 && back.n_dense == 2 && back.n_point == 3, "a refused head changes nothing");
	free(bytes);
	net_fixture_end(&x);
}

/* Sums of sizes that would wrap around 32 or 64 bits. */
static void
test_absurd_sizes(void)
{
	MrNetShape	shape = {MR_NET_MAX_SPARSE, MR_NET_MAX_DENSE, MR_NET_MAX_WIDTH, 8, {0}, MR_NET_MAX_WIDTH};
	uint64_t	columns = (uint64_t) MR_NET_MAX_SPARSE + MR_NET_MAX_DENSE + MR_NET_MAX_WIDTH + 1;

	for (int l = 0; l < 8; l++)
		shape.hidden[l] = MR_NET_MAX_WIDTH;
	ok(mr_net_shape_valid(&shape) &&
	   mr_net_bytes(&shape) == 24 + 32 + 4 * (columns * 16384 + 8 * UINT64_C(16385) * 16384), "the largest shape has the right size");
}

static void
test_refused_weights(void)
{
	static const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff};
	MrNetShape	shape = some_shape(7);
	MrNetShape	other = some_shape(7);
	size_t		n = mr_net_bytes(&shape);
	uint8_t    *bytes = malloc(n);
	size_t		head = 24 + 4 * shape.n_hidden;
	MrNetInput	input = {1, 1, 1};
	NetFixture	x;
	NetFixture	y;
	bool		stopped = true;

	net_fixture(&x, &shape, NULL, 32);
	mr_net_start(x.net, &rng, &input, 1, NULL, NULL);
	for (size_t at = head; at < n; at += 4 * 97)
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		{
			mr_net_write(x.net, bytes, NULL, NULL);
			put_32(bytes + at, bad[i]);
			unit_case(!mr_net_read(x.net, bytes, n, NULL, NULL, &stopped) && !stopped, "0x%x at %zu", bad[i], at);
			mr_net_start(x.net, &rng, &input, 1, NULL, NULL);
		}
	mr_net_write(x.net, bytes, NULL, NULL);
	put_32(bytes + n - 4, 0x7f800000);
	unit_case(!mr_net_read(x.net, bytes, n, NULL, NULL, &stopped), "the last weight");
	put_32(bytes + n - 4, 0x7f7fffff);
	unit_case(mr_net_read(x.net, bytes, n, NULL, NULL, &stopped), "the largest number is one");
	unit_cases("weights that are not finite are refused");
	other.activation = MR_ACTIVATION_GELU;
	net_fixture(&y, &other, NULL, 32);
	ok(!mr_net_read(y.net, bytes, n, NULL, NULL, &stopped), "a network of another shape does not take them");
	net_fixture_end(&x);
	net_fixture_end(&y);
	free(bytes);
}

/* Any damage: refused, or a network of finite weights; never a crash. */
static void
test_random_damage(void)
{
	MrNetShape	shape = some_shape(7 + 8);
	size_t		n = mr_net_bytes(&shape);
	uint8_t    *good = malloc(n);
	MrNetInput	input = {1, 1, 1};
	NetFixture	x;
	int			refused = 0;

	net_fixture(&x, &shape, NULL, 32);
	mr_net_start(x.net, &rng, &input, 1, NULL, NULL);
	mr_net_write(x.net, good, NULL, NULL);
	for (int i = 0; i < 20000; i++)
	{
		size_t		length = i % 3 ? n : mr_rng_below(&rng, n + 1);
		uint8_t    *bytes = malloc(length > 0 ? length : 1);
		size_t		reach = i % 2 ? length : 36;
		MrNetShape	back;

		memcpy(bytes, good, length);
		for (int k = 0; k < 1 + i % 4 && length > 0; k++)
			bytes[mr_rng_below(&rng, reach < length ? reach : length)] = (uint8_t) mr_rng_next(&rng);
		if (mr_net_read_shape(&back, bytes, length))
		{
			NetFixture	y;
			bool		stopped;

			unit_case(mr_net_shape_valid(&back) && mr_net_bytes(&back) == length, "%d", i);
			net_fixture(&y, &back, NULL, MR_NET_MAX_WIDTH);
			if (mr_net_read(y.net, bytes, length, NULL, NULL, &stopped))
			{
				MrPoints   *p;

				for (int m = 0; (p = mr_net_matrix(y.net, m)) != NULL; m++)
					for (size_t k = 0; k < (size_t) p->n * p->stride; k++)
						unit_case(isfinite(p->value[k]), "%d: matrix %d", i, m);
			}
			else
				refused++;
			net_fixture_end(&y);
		}
		else
			refused++;
		free(bytes);
	}
	unit_cases("damaged at random: refused or usable");
	ok(refused > 5000, "most damage of heads is seen (%d of 20000)", refused);
	free(good);
	net_fixture_end(&x);
}

static bool
stop_at_once(void *arg)
{
	(*(int *) arg)++;
	return true;
}

static void
test_polling(void)
{
	MrNetShape	shape = {0, 0, 4096, 0, {0}, 2048};
	MrNetInput	input = {1, 1, 1};
	uint8_t    *bytes = malloc(mr_net_bytes(&shape));
	NetFixture	x;
	bool		stopped = false;
	int			calls = 0;

	net_fixture(&x, &shape, NULL, 4096);
	mr_net_start(x.net, &rng, &input, 1, NULL, NULL);
	ok(mr_net_write(x.net, bytes, stop_at_once, &calls) == MR_STOPPED && calls == 1, "a long write stops when told");
	mr_net_write(x.net, bytes, NULL, NULL);
	ok(!mr_net_read(x.net, bytes, mr_net_bytes(&shape), stop_at_once, &calls, &stopped) && stopped && calls == 2,
	   "a long read stops when told, and says so");
	net_fixture_end(&x);
	free(bytes);
}

int
main(void)
{
	if (!ok(mr_gemm_load() == NULL, "OpenBLAS is there"))
		return unit_done();
	mr_rng_seed(&rng, 21);
	test_form();
	test_round_trip();
	test_refused_heads();
	test_absurd_sizes();
	test_refused_weights();
	test_random_damage();
	test_polling();
	return unit_done();
}
