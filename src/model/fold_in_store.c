/*
 * fold_in_store.c
 *		The sample of items that a version keeps for folding users in, and its stored
 *		form (see fold_in.h).
 *
 * Integers and floats (IEEE 754) little-endian:
 *		OFFSET	SIZE	DESCRIPTION
 *		0		4		magic "MRfi"
 *		4		2		format, 1
 *		6		1		loss: 0 softmax, 1 cml, 2 triplet
 *		7		1		constraint: 0 sphere, 1 ball, 2 none
 *		8		4		flags: 1 item bias, 2 nearest draw, 4 rank weight, 8 pooled
 *		12		4		dimensions D of a stored point
 *		16		4		N, items of the sample
 *		20		4		draws
 *		24		4		items of the model
 *		28		4		0, reserved
 *		32		8		temperature
 *		40		8		margin
 *		48		8		prior: 1 / variance of a coordinate of the trained users, 0 if there is none
 *		56		4 D		mean of the trained users
 *				4 N		weights
 *				4 N D	points
 *
 * Few items are taken all.  Of many, item i is taken N q_i times in the mean, q half
 * uniform and half ~ count^0.75, by systematic sampling: the sums of N q up to each
 * item are laid on a line with a mark in every unit, all marks at one random offset.
 * That takes an item floor(N q) or ceil(N q) times.  m times stand for m / (N q) items.
 */
#include <math.h>
#include <string.h>

#include "math/rowmath.h"
#include "metricrec.h"
#include "model/fold_in_als.h"

#define FOLD_IN_FORMAT 1
#define HEAD_BYTES 56
#define FLAG_BIAS 1
#define FLAG_NEAREST 2
#define FLAG_RANK 4
#define FLAG_POOLED 8
#define ALIGNMENT 64

/* Users between two polls. */
#define POLL_USERS 4096

#define POPULARITY_EXPONENT 0.75

/* Less is a single user, or users who are all the same: nothing is known of others. */
#define LEAST_VARIANCE 1e-6

static const uint8_t fold_in_magic[4] = {'M', 'R', 'f', 'i'};

static void
write_32(uint8_t *to, uint32_t x)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t) (x >> (8 * i));
}

static uint32_t
read_32(const uint8_t *from)
{
	return from[0] | (uint32_t) from[1] << 8 | (uint32_t) from[2] << 16 | (uint32_t) from[3] << 24;
}

static void
write_float(uint8_t *to, float x)
{
	uint32_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	write_32(to, bits);
}

static float
read_float(const uint8_t *from)
{
	uint32_t	bits = read_32(from);
	float		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

static void
write_double(uint8_t *to, double x)
{
	uint64_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	write_32(to, (uint32_t) bits);
	write_32(to + 4, (uint32_t) (bits >> 32));
}

static double
read_double(const uint8_t *from)
{
	uint64_t	bits = read_32(from) | (uint64_t) read_32(from + 4) << 32;
	double		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* ---- write ---- */

/* Items of the sample. */
int32_t
mr_fold_in_sample_size(const MrHyper *hyper, int32_t n_items)
{
	int32_t		most = MR_FOLD_IN_FLOATS / hyper->dimensions;

	if (most > MR_FOLD_IN_ITEMS)
		most = MR_FOLD_IN_ITEMS;
	return n_items < most ? n_items : most;
}

static size_t
stored_bytes(int32_t n, int32_t dimensions)
{
	return HEAD_BYTES + 4 * ((size_t) dimensions + n + (size_t) n * dimensions);
}

/* Bytes that mr_fold_in_write() writes at most; 0 if there is nothing to write. */
size_t
mr_fold_in_bytes(const MrHyper *hyper, int32_t n_items)
{
	if (hyper->algorithm == MR_ALGORITHM_ALS)
		return mr_fold_in_als_bytes(hyper->dimensions);
	if (hyper->algorithm == MR_ALGORITHM_BPR)
		return 0;
	return stored_bytes(mr_fold_in_sample_size(hyper, n_items), hyper->dimensions);
}

static double
popularity(int32_t count, double exponent)
{
	return count > 0 ? pow(count, exponent) : 0;
}

/* The weight of an item that stands for `items` items, by the loss and its sampler. */
static double
weight_of(const MrHyper *hyper, int32_t count, double items)
{
	if (hyper->loss == MR_LOSS_SOFTMAX)
		return log(items);
	if (hyper->sampling == MR_SAMPLING_POPULARITY || hyper->sampling == MR_SAMPLING_TWO_STAGE)
		return items * popularity(count, hyper->popularity_exponent);
	return items;
}

/* The items of the sample and their weights, in the order of the items; how many. */
static int32_t
draw_sample(const MrHyper *hyper, const int32_t *item_count, int32_t n_items, int32_t *item, float *weight)
{
	int32_t		size = mr_fold_in_sample_size(hyper, n_items);
	double		sum = 0;
	double		line;
	int32_t		n = 0;
	MrRng		rng;

	for (int32_t i = 0; i < n_items; i++)
		sum += popularity(item_count[i], POPULARITY_EXPONENT);
	mr_rng_seed(&rng, hyper->seed);
	line = mr_rng_uniform(&rng);
	for (int32_t i = 0; i < n_items && n < size; i++)
	{
		double		expected = 1;
		double		before = floor(line);
		double		times = 1;

		if (size < n_items)
		{
			expected = size * 0.5 / n_items;
			expected += sum > 0 ? size * 0.5 * popularity(item_count[i], POPULARITY_EXPONENT) / sum : expected;
			line += expected;
			times = floor(line) - before;
		}
		if (times < 1)
			continue;
		item[n] = i;
		weight[n++] = (float) weight_of(hyper, item_count[i], times / expected);
	}
	return n;
}

/* Heap sort by the first coordinate of the items' points; weights go along. */
static void
sort_sample(int32_t *item, float *weight, int32_t n, const float *items, int32_t dimensions)
{
#define KEY(i) items[(size_t) item[i] * dimensions]
	for (int32_t end = n, start = n / 2; end > 1;)
	{
		int32_t		root;

		if (start > 0)
			root = --start;
		else
		{
			int32_t		swap_item = item[--end];
			float		swap_weight = weight[end];

			item[end] = item[0];
			weight[end] = weight[0];
			item[0] = swap_item;
			weight[0] = swap_weight;
			root = 0;
		}
		for (int32_t child = 2 * root + 1; child < end; root = child, child = 2 * root + 1)
		{
			int32_t		swap_item = item[root];
			float		swap_weight = weight[root];

			if (child + 1 < end && KEY(child + 1) > KEY(child))
				child++;
			if (KEY(child) <= KEY(root))
				break;
			item[root] = item[child];
			weight[root] = weight[child];
			item[child] = swap_item;
			weight[child] = swap_weight;
		}
	}
#undef KEY
}

/* Weights of a hinge's sample add up to 1. */
static void
normalise(float *weight, int32_t n)
{
	double		sum = 0;

	for (int32_t j = 0; j < n; j++)
		sum += weight[j];
	for (int32_t j = 0; j < n && sum > 0; j++)
		weight[j] = (float) (weight[j] / sum);
}

static void
write_head(const MrHyper *hyper, int32_t n_items, int32_t n, uint8_t *bytes)
{
	bool		nearest = hyper->loss == MR_LOSS_CML ||
		(hyper->loss == MR_LOSS_TRIPLET && hyper->sampling == MR_SAMPLING_HARDEST);

	memset(bytes, 0, HEAD_BYTES);
	memcpy(bytes, fold_in_magic, sizeof(fold_in_magic));
	bytes[4] = FOLD_IN_FORMAT;
	bytes[6] = (uint8_t) hyper->loss;
	bytes[7] = (uint8_t) hyper->constraint;
	write_32(bytes + 8, (hyper->loss == MR_LOSS_SOFTMAX && hyper->item_bias ? FLAG_BIAS : 0) |
			 (nearest ? FLAG_NEAREST : 0) | (hyper->rank_weight ? FLAG_RANK : 0) |
			 (hyper->tower == MR_TOWER_POOLED ? FLAG_POOLED : 0));
	write_32(bytes + 12, (uint32_t) hyper->dimensions);
	write_32(bytes + 16, (uint32_t) n);
	write_32(bytes + 20, (uint32_t) (hyper->negatives > 0 ? hyper->negatives : 1));
	write_32(bytes + 24, (uint32_t) n_items);
	write_double(bytes + 32, hyper->temperature);
	write_double(bytes + 40, hyper->margin);
}

/*
 * The mean of the users, into its place behind the head; 1 / their variance of a
 * coordinate, or -1 if poll() said stop.  Users without a point, all zeroes, do not
 * count.
 */
static double
write_mean(int32_t n_users, const float *users, int32_t dimensions, int32_t width, uint8_t *to,
		   MrPoll poll, void *arg)
{
	double		sum[MR_MAX_DIMENSIONS] = {0};
	double		squares = 0;
	double		square_of_mean = 0;
	double		variance;
	int64_t		n = 0;

	for (int32_t u = 0; u < n_users; u++)
	{
		double		square = 0;

		if (poll && u % POLL_USERS == 0 && poll(arg))
			return -1;
		for (int32_t k = 0; k < width; k++)
		{
			double		x = users[(size_t) u * dimensions + k];

			square += x * x;
			sum[k] += x;
		}
		squares += square;
		n += square > 0;
	}
	for (int32_t k = 0; k < dimensions; k++)
	{
		double		mean = k < width && n > 0 ? sum[k] / n : 0;

		write_float(to + 4 * k, (float) mean);
		square_of_mean += mean * mean;
	}
	variance = n > 0 ? (squares / n - square_of_mean) / width : 0;
	return variance > LEAST_VARIANCE ? 1 / variance : 0;
}

/*
 * Draws the sample from the stored points items [n_items][dimensions], of which
 * item_count [n_items] says how often they are liked, and writes it, with what the
 * prior needs of users [n_users][dimensions]; radius is that of the tower.  Returns the bytes written, at most
 * mr_fold_in_bytes(); 0 if poll(), which may be NULL, said stop.
 */
size_t
mr_fold_in_write(const MrHyper *hyper, float radius, const int32_t *item_count, int32_t n_items, const float *items,
				 int32_t n_users, const float *users, uint8_t *bytes, MrPoll poll, void *arg)
{
	bool		softmax = hyper->loss == MR_LOSS_SOFTMAX;
	int32_t		width = hyper->dimensions - (softmax && hyper->item_bias ? 1 : 0);
	int32_t		item[MR_FOLD_IN_ITEMS];
	float		weight[MR_FOLD_IN_ITEMS];
	uint8_t    *to = bytes + HEAD_BYTES + 4 * (size_t) hyper->dimensions;
	int32_t		n;
	double		prior;

	if (hyper->algorithm == MR_ALGORITHM_ALS)
		return mr_fold_in_als_write(hyper, radius, n_items, items, bytes, poll, arg);
	n = draw_sample(hyper, item_count, n_items, item, weight);
	sort_sample(item, weight, n, items, hyper->dimensions);
	if (hyper->loss != MR_LOSS_SOFTMAX)
		normalise(weight, n);
	write_head(hyper, n_items, n, bytes);
	prior = write_mean(n_users, users, hyper->dimensions, width, bytes + HEAD_BYTES, poll, arg);
	if (prior < 0)
		return 0;
	write_double(bytes + 48, softmax ? prior : 0);
	for (int32_t j = 0; j < n; j++, to += 4)
		write_float(to, weight[j]);
	for (int32_t j = 0; j < n; j++)
		for (int32_t k = 0; k < hyper->dimensions; k++, to += 4)
			write_float(to, items[(size_t) item[j] * hyper->dimensions + k]);
	return to - bytes;
}

/* ---- read ---- */

/* The head, checked; false if the bytes cannot be a sample. */
static bool
read_head(const uint8_t *bytes, size_t n, MrFoldIn *f)
{
	uint32_t	flags;

	if (n < HEAD_BYTES || memcmp(bytes, fold_in_magic, sizeof(fold_in_magic)) != 0 || bytes[4] != FOLD_IN_FORMAT ||
		bytes[5] != 0 || bytes[6] > MR_LOSS_TRIPLET || bytes[7] > MR_CONSTRAINT_NONE || read_32(bytes + 28) != 0)
		return false;
	memset(f, 0, sizeof(*f));
	flags = read_32(bytes + 8);
	f->loss = (MrLoss) bytes[6];
	f->constraint = (MrConstraint) bytes[7];
	f->item_bias = flags & FLAG_BIAS;
	f->nearest = flags & FLAG_NEAREST;
	f->rank_weight = flags & FLAG_RANK;
	f->pooled = flags & FLAG_POOLED;
	f->dimensions = (int32_t) read_32(bytes + 12);
	f->n = (int32_t) read_32(bytes + 16);
	f->draws = (int32_t) read_32(bytes + 20);
	f->n_items = (int32_t) read_32(bytes + 24);
	f->temperature = read_double(bytes + 32);
	f->margin = read_double(bytes + 40);
	f->prior = read_double(bytes + 48);
	if (flags & ~(uint32_t) (FLAG_BIAS | FLAG_NEAREST | FLAG_RANK | FLAG_POOLED) || f->dimensions < 1 ||
		f->dimensions > MR_MAX_DIMENSIONS || f->n < 1 || f->n > MR_FOLD_IN_ITEMS || f->draws < 1 || f->n_items < f->n ||
		!isfinite(f->temperature) || !isfinite(f->margin) ||
		!isfinite(f->prior) || f->prior < 0 || (f->loss == MR_LOSS_SOFTMAX && f->temperature <= 0))
		return false;
	f->stride = (f->dimensions + MR_ROW_PAD - 1) / MR_ROW_PAD * MR_ROW_PAD;
	return n == stored_bytes(f->n, f->dimensions);
}

static MrFoldIn *
place(MrArena *arena, const MrFoldIn *head)
{
	MrFoldIn   *taken = mr_arena_take(arena, 1, sizeof(MrFoldIn));
	MrFoldIn	counted;
	MrFoldIn   *f = taken ? taken : &counted;

	*f = *head;
	f->weight = mr_arena_take(arena, f->n, sizeof(float));
	f->points = mr_arena_take(arena, f->n, f->stride * sizeof(float));
	f->mean = mr_arena_take(arena, f->stride, sizeof(float));
	f->is_liked = mr_arena_take(arena, f->n, sizeof(uint8_t));
	f->distance = mr_arena_take(arena, f->n, sizeof(float));
	f->factor = mr_arena_take(arena, f->n, sizeof(float));
	f->order = mr_arena_take(arena, f->n, sizeof(int32_t));
	f->push = mr_arena_take(arena, f->n, sizeof(float));
	f->row = mr_arena_take(arena, 2, f->stride * sizeof(float));
	return taken;
}

/* Bytes of memory that mr_fold_in_read() needs; 0 if the stored form is damaged. */
size_t
mr_fold_in_memory(const uint8_t *bytes, size_t n)
{
	MrArena		arena = {NULL, 0, false};
	MrFoldIn	head;

	if (mr_fold_in_is_als(bytes, n))
		return mr_fold_in_als_memory(bytes, n);
	if (!read_head(bytes, n, &head))
		return 0;
	mr_arena_take(&arena, 1, ALIGNMENT - 1);
	place(&arena, &head);
	return arena.overflow ? 0 : arena.used;
}

/* A padded row; false if a coordinate is not finite. */
static bool
read_row(float *row, const uint8_t *from, int32_t dimensions, int32_t stride)
{
	memset(row, 0, stride * sizeof(float));
	for (int32_t k = 0; k < dimensions; k++)
	{
		row[k] = read_float(from + 4 * (size_t) k);
		if (!isfinite(row[k]))
			return false;
	}
	return true;
}

/* The sample, in mr_fold_in_memory() bytes; NULL if it is damaged. */
MrFoldIn *
mr_fold_in_read(void *memory, const uint8_t *bytes, size_t n)
{
	MrArena		arena = {NULL, 0, false};
	const uint8_t *from = bytes + HEAD_BYTES;
	MrFoldIn	head;
	MrFoldIn   *f;

	if (mr_fold_in_is_als(bytes, n))
		return mr_fold_in_als_read(memory, bytes, n);
	if (!read_head(bytes, n, &head))
		return NULL;
	arena.base = (char *) (((uintptr_t) memory + ALIGNMENT - 1) & ~(uintptr_t) (ALIGNMENT - 1));
	f = place(&arena, &head);
	if (!read_row(f->mean, from, f->dimensions, f->stride))
		return NULL;
	from += 4 * (size_t) f->dimensions;
	for (int32_t j = 0; j < f->n; j++, from += 4)
	{
		f->weight[j] = read_float(from);
		if (!isfinite(f->weight[j]) || (f->loss != MR_LOSS_SOFTMAX && f->weight[j] < 0))
			return NULL;
	}
	for (int32_t j = 0; j < f->n; j++, from += 4 * (size_t) f->dimensions)
	{
		float	   *point = f->points + (size_t) j * f->stride;

		if (!read_row(point, from, f->dimensions, f->stride) || (j > 0 && point[0] < (point - f->stride)[0]))
			return NULL;
	}
	return f;
}
