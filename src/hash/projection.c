/*
 * projection.c
 *		The projection family: keys, and how far a query is from their boxes.
 *
 * A coordinate p of the projection becomes a number u of [0, 1), whose binary
 * digits are those of the key.  u = F(p / sigma), with F increasing:
 *
 *		u = k/16			at the quantiles of N(0, 1), exactly
 *		between two			linear
 *		outside the last	exponential: a tail halves every TAIL_HALF
 *
 * So the first four digits, all that there are from 14 directions on, cut at the
 * normal quantiles, and the deeper ones need no inverse of the normal
 * distribution.  They cut as finely as there are digits, in the tails too.
 *
 * Buckets are scored in two ways.  A search (it asks for bounds) wants the
 * order in which to look: the squared distance to the box plus CENTRE_WEIGHT
 * times that to the centre.  For the same recall, boxes alone (many near buckets
 * have the distance 0) read about a tenth more rows, centres alone half as many
 * again.  An insertion (it asks for none) wants the one bucket that the row
 * belongs to: buckets whose key is a prefix of the row's come first, the longest
 * before all, and only if there is none the nearest box.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "hash/family.h"
#include "math/vecmath.h"

/* In which distance a tail halves, beyond the last quantile: about as that of N(0, 1). */
#define TAIL_HALF 0.3

#define CELLS (MR_PROJECTION_BOXES / 2)
#define CELL_DIGITS 4			/* CELLS = 2^CELL_DIGITS */
#define FRACTION_DIGITS (MR_KEY_MAX_BITS - CELL_DIGITS)
#define FRACTION_UNIT 0x1p52	/* 2^FRACTION_DIGITS */

/*
 * What the distance to the centre weighs in a search, beside that to the box.
 * Measured on mixtures of clusters of 8 to 128 dimensions, where .1 to .3 are
 * about equally good.
 */
#define CENTRE_WEIGHT 0.2f

/* In an insertion, what parts a bucket whose key does not fit from all that do. */
#define MISMATCH (64 * FLT_MIN)

/* The quantiles k/16 of N(0, 1). */
static const double quantile[CELLS + 1] = {
	-INFINITY,
	-1.5341205443525459, -1.1503493803760079, -0.8871465590188758, -0.6744897501960817,
	-0.4887764111146694, -0.31863936396437514, -0.15731068461017067, 0,
	0.15731068461017067, 0.31863936396437514, 0.4887764111146694, 0.6744897501960817,
	0.8871465590188758, 1.1503493803760079, 1.5341205443525459,
	INFINITY
};

/* ---- directions ---- */

/* Makes v orthogonal to the n unit vectors before it. */
static void
orthogonalise(const float *before, int n, int dim, float *v)
{
	for (int k = 0; k < n; k++)
	{
		const float *unit = before + (size_t) k * dim;
		double		dot = 0;

		for (int j = 0; j < dim; j++)
			dot += (double) unit[j] * v[j];
		for (int j = 0; j < dim; j++)
			v[j] = (float) (v[j] - dot * unit[j]);
	}
}

static double
length_of(const float *v, int dim)
{
	double		sum = 0;

	for (int j = 0; j < dim; j++)
		sum += (double) v[j] * v[j];
	return sqrt(sum);
}

static void
normalise(float *v, int dim)
{
	double		length = length_of(v, dim);

	for (int j = 0; j < dim; j++)
		v[j] = (float) (v[j] / length);
}

/*
 * Orthonormal directions: normal random vectors, each made orthogonal to those
 * before it, twice, because the first time leaves rounding behind.  A vector of
 * which next to nothing is left is drawn again.
 */
void
mr_projection_directions(const MrHash *hash, float *directions)
{
	int			dim = hash->dim;
	MrRng		rng;

	mr_rng_seed(&rng, hash->seed);
	for (int k = 0; k < hash->n_directions; k++)
	{
		float	   *v = directions + (size_t) k * dim;

		do
		{
			for (int j = 0; j < dim; j++)
				v[j] = (float) mr_rng_normal(&rng);
			normalise(v, dim);
			orthogonalise(directions, k, dim, v);
		} while (length_of(v, dim) < 1e-3);
		normalise(v, dim);
		orthogonalise(directions, k, dim, v);
		normalise(v, dim);
	}
}

/* ---- keys ---- */

/* sigma as it is used: 1 where it says nothing */
static double
spread(const MrHash *hash)
{
	return hash->sigma > 0 && hash->sigma < INFINITY ? hash->sigma : 1;
}

static void
project(const MrHash *hash, const float *x, float *projection)
{
	for (int i = 0; i < hash->n_directions; i++)
		projection[i] = mr_vecmath.dot(hash->directions + (size_t) i * hash->dim, x, hash->dim);
}

/* The first MR_KEY_MAX_BITS digits of F(z), or the first four of them. */
static uint64_t
digits_of(double z, bool all)
{
	int			cell = 0;
	double		fraction;

	for (int step = CELLS / 2; step > 0; step /= 2)
	{
		if (z >= quantile[cell + step])
			cell += step;
	}
	if (!all)
		return (uint64_t) cell << FRACTION_DIGITS;

	if (cell == 0)
		fraction = exp2((z - quantile[1]) / TAIL_HALF);
	else if (cell == CELLS - 1)
		fraction = 1 - exp2((quantile[CELLS - 1] - z) / TAIL_HALF);
	else
		fraction = (z - quantile[cell]) / (quantile[cell + 1] - quantile[cell]);
	fraction *= FRACTION_UNIT;
	if (fraction > FRACTION_UNIT - 1)
		fraction = FRACTION_UNIT - 1;
	return ((uint64_t) cell << FRACTION_DIGITS) + (uint64_t) fraction;
}

/* The inverse: z where F(z) has these digits, which may be 1.0 as well. */
static double
edge_at(uint64_t digits)
{
	int			cell = (int) (digits >> FRACTION_DIGITS);
	double		fraction = (digits & ((UINT64_C(1) << FRACTION_DIGITS) - 1)) / FRACTION_UNIT;

	if (cell == CELLS)
		return INFINITY;
	if (cell == 0)
		return fraction > 0 ? quantile[1] + TAIL_HALF * log2(fraction) : -INFINITY;
	if (cell == CELLS - 1)
		return quantile[cell] - TAIL_HALF * log2(1 - fraction);
	return quantile[cell] + fraction * (quantile[cell + 1] - quantile[cell]);
}

/* The key, all bits, of a place in the projection. */
static MrBucketKey
key_at(const MrHash *hash, const float *projection)
{
	int			n = hash->n_directions;
	bool		all = n * CELL_DIGITS < MR_KEY_MAX_BITS;
	double		sigma = spread(hash);
	uint64_t	digits[MR_PROJECTION_DIRECTIONS];
	uint64_t	bits = 0;
	int			digit = MR_KEY_MAX_BITS;

	for (int i = 0; i < n; i++)
		digits[i] = digits_of(projection[i] / sigma, all);
	for (int m = 0, i = n; m < MR_KEY_MAX_BITS; m++, i++)
	{
		if (i == n)
		{
			i = 0;
			digit--;
		}
		bits = bits << 1 | (digits[i] >> digit & 1);
	}
	return mr_key_make(bits, MR_KEY_MAX_BITS);
}

/* The key, all bits, of a decoded row. */
MrBucketKey
mr_projection_key(const MrHash *hash, const float *x)
{
	float		projection[MR_PROJECTION_DIRECTIONS];

	project(hash, x, projection);
	return key_at(hash, projection);
}

/* ---- queries ---- */

/* How far z is from [low, high], in units of the projection. */
static float
gap(double z, double low, double high, double sigma)
{
	if (z < low)
		return (float) ((low - z) * sigma);
	if (z > high)
		return (float) ((z - high) * sigma);
	return 0;
}

/*
 * For direction i, what every box of up to four digits adds to the squared
 * distance, beyond what the box of one digit less adds.  Boxes are numbered as
 * the nodes of a heap: 1 is all, 2n and 2n + 1 are the halves of n.
 */
static void
measure_boxes(double z, double sigma, float *more)
{
	float		squared[MR_PROJECTION_BOXES];

	more[0] = more[1] = squared[1] = 0;
	for (int width = CELLS / 2, node = 2; width > 0; width /= 2)
	{
		for (int cell = 0; cell < CELLS; cell += width, node++)
		{
			float		away = gap(z, quantile[cell], quantile[cell + width], sigma);

			squared[node] = away * away;
			more[node] = squared[node] - squared[node / 2];
		}
	}
}

/*
 * Most keys have one digit of each direction at most.  Such a digit is the
 * query's own or it adds the square of the projection.  sums[g][w] is the sum
 * over the directions 4g .. 4g + 3 whose bit in w, the highest for the first, is
 * set.
 */
static void
measure_halves(const MrHash *hash, const float *projection, float *sums)
{
	for (int g = 0; g < MR_PROJECTION_DIRECTIONS / 4; g++, sums += 16)
	{
		sums[0] = 0;
		for (int w = 1; w < 16; w++)
		{
			int			lowest = __builtin_ctz(w);
			float		p = projection[4 * g + 3 - lowest];

			sums[w] = sums[w & (w - 1)] + p * p;
		}
	}
}

/*
 * Prepares a query: its place, its key, and the distances above.  A wild query
 * lies nowhere: it is taken as zero.
 */
void
mr_projection_query(const MrHash *hash, MrHashQuery *query, const float *x)
{
	double		sigma = spread(hash);

	memset(query->projection, 0, sizeof(query->projection));
	if (query->code.norm < INFINITY)
		project(hash, x, query->projection);
	query->key = key_at(hash, query->projection);
	for (int i = 0; i < hash->n_directions; i++)
		measure_boxes(query->projection[i] / sigma, sigma, query->work + i * MR_PROJECTION_BOXES);
	measure_halves(hash, query->projection, query->work + MR_PROJECTION_DIRECTIONS * MR_PROJECTION_BOXES);
}

/* The squared distance of the query to a box with more than four digits of some direction. */
static float
squared_to_small_box(const MrHash *hash, const MrHashQuery *query, MrBucketKey key)
{
	int			n = hash->n_directions;
	int			length = mr_key_length(key);
	double		sigma = spread(hash);
	float		sum = 0;

	if (mr_key_same(key, query->key, length))
		return 0;
	for (int i = 0; i < n && i < length; i++)
	{
		uint64_t	low = 0;
		uint64_t	width = UINT64_C(1) << MR_KEY_MAX_BITS;
		float		away;

		for (int m = i; m < length; m += n)
		{
			width >>= 1;
			if (key << m >> 63)
				low += width;
		}
		away = gap(query->projection[i] / sigma, edge_at(low), edge_at(low + width), sigma);
		sum += away * away;
	}
	return sum;
}

/* What the digits behind the first of each direction add; no direction has more than four. */
static float
squared_behind_first(const MrHash *hash, const MrHashQuery *query, MrBucketKey key)
{
	int			n = hash->n_directions;
	uint8_t		node[MR_PROJECTION_DIRECTIONS];
	float		sum = 0;

	for (int i = 0; i < n; i++)
		node[i] = 2 + (key << i >> 63);
	for (int m = n, i = 0; m < mr_key_length(key); m++)
	{
		node[i] = 2 * node[i] + (key << m >> 63);
		sum += query->work[i * MR_PROJECTION_BOXES + node[i]];
		if (++i == n)
			i = 0;
	}
	return sum;
}

/* The squared distance of the query's place to the box of a key. */
static inline float
squared_to_box(const MrHash *hash, const MrHashQuery *query, MrBucketKey key)
{
	const float *sums = query->work + MR_PROJECTION_DIRECTIONS * MR_PROJECTION_BOXES;
	int			n = hash->n_directions;
	int			length = mr_key_length(key);
	int			first = length < n ? length : n;
	unsigned	other;
	float		sum;

	/* bits of the first digits that are not the query's, as the highest of 16 */
	other = (unsigned) ((key ^ query->key) >> 48) & (0xFFFF0000u >> first);
	sum = (sums[other >> 12 & 15] + sums[16 + (other >> 8 & 15)]) +
		(sums[32 + (other >> 4 & 15)] + sums[48 + (other & 15)]);
	if (length <= n)
		return sum;
	if (length > n * CELL_DIGITS)
		return squared_to_small_box(hash, query, key);
	return sum + squared_behind_first(hash, query, key);
}

/* order[] for an insertion; see the head of the file. */
static void
score_insertion(const MrHash *hash, const MrHashQuery *query, const MrBuckets *buckets, float *order)
{
	for (int i = 0; i < buckets->centres.n; i++)
	{
		MrBucketKey key = buckets->keys[i];
		int			length = mr_key_length(key);

		if (mr_key_same(key, query->key, length))
			order[i] = (MR_KEY_MAX_BITS - length) * FLT_MIN;
		else
			order[i] = squared_to_box(hash, query, key) + MISMATCH;
	}
}

/*
 * Scores buckets.  Why the bounds hold: with A the directions and e the relative
 * error of a dot product, the places of q and of a row x differ from Aq and Ax
 * by up to e|q| and e|x| in each of at most 16 coordinates, so the distance to
 * the box is at most
 *
 *		|A (q - x)| + 4e (|q| + |x|)  <=  |q - x| (1 + 4e) + 8e |q|
 *
 * and A lengthens nothing by more than rounding, which the rest of the 6e covers.
 */
void
mr_projection_score(const MrHash *hash, const MrHashQuery *query, const MrBuckets *buckets,
					float *order, float *centre, float *bound)
{
	float		error = (float) MR_VECMATH_ERROR(hash->dim);
	float		slack = 9 * error * sqrtf(query->code.norm);

	if (bound == NULL)
	{
		if (centre != NULL)
			mr_code_squared_distances(&query->code, &buckets->centres, centre);
		score_insertion(hash, query, buckets, order);
		return;
	}

	mr_code_squared_distances(&query->code, &buckets->centres, order);
	if (centre != NULL)
		memcpy(centre, order, buckets->centres.n * sizeof(float));
	for (int i = 0; i < buckets->centres.n; i++)
	{
		float		squared = squared_to_box(hash, query, buckets->keys[i]);
		float		least = sqrtf(squared) * (1 - 6 * error) - slack;

		order[i] = squared + CENTRE_WEIGHT * order[i];
		bound[i] = least > 0 ? least : 0;
	}
}
