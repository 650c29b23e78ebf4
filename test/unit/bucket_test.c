/*
 * bucket_test.c
 *		The hash families: bounds are bounds, splits keep their promises.
 */
#include <stdlib.h>
#include <string.h>

#include "hash/bucket.h"
#include "unit.h"
#include "util/rng.h"

/* Coded vectors and the vectors they stand for. */
typedef struct Sample
{
	MrCodeRows	rows;
	int8_t	   *codes;
	float	   *scale;
	float	   *norm;
	float	   *decoded;
	MrBucketKey *keys;
} Sample;

static void *
need(size_t bytes)
{
	void	   *memory = malloc(bytes > 0 ? bytes : 1);

	if (memory == NULL)
		exit(1);
	return memory;
}

static void
sample_make(Sample *sample, int n, int dim)
{
	sample->codes = need((size_t) n * dim);
	sample->scale = need(n * sizeof(float));
	sample->norm = need(n * sizeof(float));
	sample->decoded = need((size_t) n * dim * sizeof(float));
	sample->keys = need(n * sizeof(MrBucketKey));
	sample->rows = (MrCodeRows) {n, dim, sample->codes, sample->scale, sample->norm};
}

static void
sample_free(Sample *sample)
{
	free(sample->codes);
	free(sample->scale);
	free(sample->norm);
	free(sample->decoded);
	free(sample->keys);
}

static void
sample_set(Sample *sample, int i, const float *x)
{
	int			dim = sample->rows.dim;
	int8_t	   *code = sample->codes + (size_t) i * dim;

	mr_code_encode(x, dim, code, &sample->scale[i], &sample->norm[i]);
	mr_code_decode(code, sample->scale[i], dim, sample->decoded + (size_t) i * dim);
}

static void
random_vector(MrRng *rng, int dim, float spread, float offset, float *x)
{
	for (int j = 0; j < dim; j++)
		x[j] = (float) mr_rng_normal(rng) * spread + offset;
}

/* n normal vectors of a spread around (offset, offset, ..). */
static void
sample_random(Sample *sample, MrRng *rng, int n, int dim, float spread, float offset)
{
	float	   *x = need(dim * sizeof(float));

	sample_make(sample, n, dim);
	for (int i = 0; i < n; i++)
	{
		random_vector(rng, dim, spread, offset, x);
		sample_set(sample, i, x);
	}
	free(x);
}

static double
distance(const float *a, const float *b, int dim)
{
	double		sum = 0;

	for (int j = 0; j < dim; j++)
		sum += ((double) a[j] - b[j]) * ((double) a[j] - b[j]);
	return sqrt(sum);
}

static int
nearest(const Sample *centres, const float *x)
{
	int			dim = centres->rows.dim;
	int			best = 0;
	double		least = INFINITY;

	for (int i = 0; i < centres->rows.n; i++)
	{
		double		d = distance(centres->decoded + (size_t) i * dim, x, dim);

		if (d < least)
		{
			best = i;
			least = d;
		}
	}
	return best;
}

/* A hash with its directions. */
static MrHash
hash_make(MrHashFamily family, int dim, uint64_t seed, float sigma)
{
	MrHash		hash = {family, dim, seed, sigma, 0, NULL};
	float	   *directions;

	if (family == MR_HASH_PROJECTION)
		hash.n_directions = dim < MR_PROJECTION_DIRECTIONS ? dim : MR_PROJECTION_DIRECTIONS;
	directions = need(mr_hash_directions_size(&hash));
	mr_hash_directions(&hash, directions);
	hash.directions = directions;
	return hash;
}

static void
hash_free(MrHash *hash)
{
	free((void *) hash->directions);
}

/* ---- voronoi ---- */

/* Bounds of rows in their nearest cells, and the order, on random data. */
static void
test_voronoi_score(int dim)
{
	MrRng		rng;
	MrHash		hash = hash_make(MR_HASH_VORONOI, dim, 1, 0);
	Sample		centres;
	MrHashQuery query;
	void	   *memory = need(mr_hash_query_size(dim));
	float	   *q = need(dim * sizeof(float));
	float	   *x = need(dim * sizeof(float));
	float		order[90];
	float		expected[90];
	float		centre[90];
	float		bound[90];

	mr_rng_seed(&rng, dim);
	sample_random(&centres, &rng, 90, dim, 1, 0);
	mr_hash_query_init(&query, dim, memory);
	for (int k = 0; k < 20; k++)
	{
		/* two pages, so that the reference of the second may lie in the first */
		MrCodeRows	half = {45, dim, centres.codes, centres.scale, centres.norm};
		MrBuckets	first = {half, NULL};
		MrBuckets	second = {half, NULL};

		second.centres.codes += (size_t) 45 * dim;
		second.centres.scale += 45;
		second.centres.norm += 45;
		random_vector(&rng, dim, k % 2 == 0 ? 1 : 0.3f, 0, q);
		mr_hash_query(&hash, &query, q);
		mr_hash_score(&hash, &query, 1, &first, order, centre, bound);
		mr_hash_score(&hash, &query, 1, &second, order + 45, centre + 45, bound + 45);
		mr_code_squared_distances(&query.code, &centres.rows, expected);
		for (int i = 0; i < 90; i++)
		{
			unit_case(order[i] == expected[i] && centre[i] == expected[i], "order %g, code distance %g",
					  order[i], expected[i]);
			unit_case(bound[i] >= 0, "bound %g", bound[i]);
			unit_case(i == nearest(&centres, q) ? bound[i] == 0 : true, "bound %g of the own cell", bound[i]);
		}
		for (int r = 0; r < 200; r++)
		{
			int			cell;

			random_vector(&rng, dim, r % 2 == 0 ? 1 : 0.3f, 0, x);
			cell = nearest(&centres, x);
			unit_case(bound[cell] <= distance(q, x, dim) + query.code.error + 1e-4, "bound %g, distance %g",
					  bound[cell], distance(q, x, dim));
		}
		mr_hash_score(&hash, &query, 0, &first, order, NULL, NULL);
		unit_case(memcmp(order, expected, 45 * sizeof(float)) == 0, "order without bounds");
	}
	printf("# dim %d\n", dim);
	unit_cases("voronoi: order and bounds");
	sample_free(&centres);
	hash_free(&hash);
	free(memory);
	free(q);
	free(x);
}

/* Equal, zero, wild centres; a wild and a zero query. */
static void
test_voronoi_odd(void)
{
	MrHash		hash = hash_make(MR_HASH_VORONOI, 3, 1, 0);
	float		vectors[6][3] = {{1, 0, 0}, {1, 0, 0}, {0, 0, 0}, {3e38f, 0, 0}, {0, 2, 0}, {1e17f, 1e17f, 0}};
	float		queries[4][3] = {{0.9f, 0, 0}, {0, 0, 0}, {3e38f, 3e38f, 3e38f}, {-1e17f, -1e17f, -1e17f}};
	Sample		sample;
	MrHashQuery query;
	void	   *memory = need(mr_hash_query_size(3));
	float		order[6];
	float		centre[6];
	float		bound[6];

	sample_make(&sample, 6, 3);
	for (int i = 0; i < 6; i++)
		sample_set(&sample, i, vectors[i]);
	mr_hash_query_init(&query, 3, memory);
	for (int k = 0; k < 4; k++)
	{
		MrBuckets	buckets = {sample.rows, NULL};

		mr_hash_query(&hash, &query, queries[k]);
		mr_hash_score(&hash, &query, 0, &buckets, order, centre, bound);
		for (int i = 0; i < 6; i++)
			unit_case(order[i] >= 0 && bound[i] >= 0 && bound[i] < INFINITY, "query %d, centre %d: %g %g",
					  k, i, order[i], bound[i]);
		unit_case(isinf(order[3]) && bound[3] == 0, "wild centre: %g %g", order[3], bound[3]);
		unit_case(order[0] == order[1] && bound[0] == bound[1], "equal centres");
		if (k == 0)
			unit_case(bound[0] == 0 && bound[4] > 0 && fabsf(bound[2] - 0.4f) < 1e-3, "bounds of query 0: %g %g %g",
					  bound[0], bound[4], bound[2]);
		if (k == 2)
			unit_case(isinf(order[0]) && bound[0] == 0, "wild query: %g %g", order[0], bound[0]);
	}
	unit_cases("voronoi: equal, zero, wild");
	sample_free(&sample);
	hash_free(&hash);
	free(memory);
}

/* ---- splits ---- */

/* Is `key` what all of `row` starts with? */
static bool
starts_with(MrBucketKey row, MrBucketKey key)
{
	int			length = mr_key_length(key);

	return mr_key_length(row) >= length && (length == 0 || (row ^ key) >> (64 - length) == 0);
}

/*
 * Splits twice, and checks what holds of every split.  With sides[] of the rows
 * and parts[], whose codes are code[2][dim].
 */
static void
split_check(const MrHash *hash, const MrBuckets *rows, MrBucketKey parent, bool quarter,
			uint8_t *side, MrNewBucket parts[2], int8_t *code)
{
	int			n = rows->centres.n;
	int			dim = rows->centres.dim;
	void	   *scratch = need(mr_hash_split_scratch(hash, n) + 1);
	uint8_t    *again = need(n);
	int8_t	   *code_again = need(2 * dim);
	MrNewBucket parts_again[2] = {{code_again}, {code_again + dim}};
	int			count = 0;
	int			least = quarter ? (n + 3) / 4 : 1;

	parts[0].code = code;
	parts[1].code = code + dim;
	mr_hash_split(hash, rows, parent, side, parts, scratch);
	/* other memory, another alignment, other contents: the same result */
	memset(scratch, 0xAA, mr_hash_split_scratch(hash, n) + 1);
	mr_hash_split(hash, rows, parent, again, parts_again, (char *) scratch + 1);

	for (int i = 0; i < n; i++)
	{
		unit_case(side[i] <= 1, "side %d", side[i]);
		count += side[i];
	}
	unit_case(parts[1].n == count && parts[0].n == n - count, "counts %d, %d", parts[0].n, parts[1].n);
	unit_case(count >= least && n - count >= least, "%d of %d rows on side 1", count, n);
	unit_case(memcmp(side, again, n) == 0 && memcmp(code, code_again, 2 * dim) == 0, "repeatable");
	for (int k = 0; k < 2; k++)
		unit_case(parts[k].key == parts_again[k].key && parts[k].scale == parts_again[k].scale &&
				  parts[k].norm == parts_again[k].norm, "repeatable: part %d", k);
	free(scratch);
	free(again);
	free(code_again);
}

/* The parts' centres are the means of their rows. */
static void
means_check(const Sample *sample, const uint8_t *side, const MrNewBucket parts[2])
{
	int			dim = sample->rows.dim;

	for (int k = 0; k < 2; k++)
	{
		for (int j = 0; j < dim; j++)
		{
			double		mean = 0;

			for (int i = 0; i < sample->rows.n; i++)
				mean += side[i] == k ? sample->decoded[(size_t) i * dim + j] / parts[k].n : 0;
			unit_case(fabs(parts[k].scale * parts[k].code[j] - mean) <= parts[k].scale * 0.51 + 1e-6 * fabs(mean),
					  "centre %g, mean %g", parts[k].scale * parts[k].code[j], mean);
		}
	}
}

static void
test_voronoi_split(int n, int dim, float spread)
{
	MrRng		rng;
	MrHash		hash = hash_make(MR_HASH_VORONOI, dim, 1, 0);
	Sample		sample;
	MrBuckets	rows;
	MrNewBucket parts[2];
	uint8_t    *side = need(n);
	int8_t	   *code = need(2 * dim);

	mr_rng_seed(&rng, n + dim);
	sample_random(&sample, &rng, n, dim, spread, 0);
	rows = (MrBuckets) {sample.rows, NULL};
	split_check(&hash, &rows, 0, true, side, parts, code);
	means_check(&sample, side, parts);
	sample_free(&sample);
	hash_free(&hash);
	free(side);
	free(code);
}

/* Two clusters of 30 and 70 rows are told apart, also if one is of tiny or huge vectors. */
static void
test_voronoi_clusters(float spread)
{
	MrRng		rng;
	MrHash		hash = hash_make(MR_HASH_VORONOI, 8, 1, 0);
	Sample		sample;
	MrBuckets	rows;
	MrNewBucket parts[2];
	uint8_t		side[100];
	int8_t		code[16];
	float		x[8];
	bool		apart = true;

	mr_rng_seed(&rng, 5);
	sample_make(&sample, 100, 8);
	for (int i = 0; i < 100; i++)
	{
		random_vector(&rng, 8, 0.2f * spread, i % 10 < 3 ? spread : -spread, x);
		sample_set(&sample, i, x);
	}
	rows = (MrBuckets) {sample.rows, NULL};
	split_check(&hash, &rows, 0, true, side, parts, code);
	means_check(&sample, side, parts);
	for (int i = 0; i < 100; i++)
		apart = apart && (side[i] == side[0]) == (i % 10 < 3);
	unit_case(apart, "clusters, spread %g", spread);
	sample_free(&sample);
	hash_free(&hash);
}

/* Equal rows, many ties, wild rows, one outlier, rows that differ in scale only. */
static void
test_split_odd(MrHashFamily family)
{
	MrHash		hash = hash_make(family, 4, 3, 1);
	Sample		sample;
	MrBuckets	rows;
	MrNewBucket parts[2];
	uint8_t		side[20];
	int8_t		code[8];
	float		x[4] = {1, 2, 3, 4};
	bool		quarter = family == MR_HASH_VORONOI;

	sample_make(&sample, 20, 4);
	rows = (MrBuckets) {sample.rows, NULL};
	for (int kind = 0; kind < 8; kind++)
	{
		for (int i = 0; i < 20; i++)
		{
			float		y[4];
			float		factor = 1;

			if (kind == 1)
				factor = 0;		/* all zero */
			else if (kind == 2)
				factor = 3e38f; /* all wild */
			else if (kind == 3)
				factor = i == 7 ? 100 : 1;	/* one outlier */
			else if (kind == 4)
				factor = i % 2 == 0 ? 3e38f : 1 + i;	/* half of them wild */
			else if (kind == 5)
				factor = 1 + 1e-7f * (i / 10);	/* two values, very near each other */
			else if (kind == 6)
				factor = i < 10 ? 1e-21f : 1e16f;	/* tiny and huge */
			else if (kind == 7)
				factor = i == 3 ? 3e38f : 0;	/* zero, one wild */
			for (int j = 0; j < 4; j++)
				y[j] = x[j] * factor > 3e38f ? 3e38f : x[j] * factor;
			sample_set(&sample, i, y);
		}
		split_check(&hash, &rows, 0, quarter && kind > 2 && kind < 7, side, parts, code);
		if (kind <= 2)
			unit_case(parts[0].n == 19 && side[19] == 1, "kind %d: %d rows stay", kind, parts[0].n);
		if (kind == 7)
			unit_case(parts[0].n == 19 && side[3] == 1, "the wild row goes");
	}
	for (int n = 2; n < 10; n++)
	{
		for (int i = 0; i < n; i++)
		{
			float		y[4] = {1, i, 0, -i};

			sample_set(&sample, i, y);
		}
		rows.centres.n = n;
		split_check(&hash, &rows, 0, quarter, side, parts, code);
	}
	unit_cases(family == MR_HASH_VORONOI ? "voronoi: odd rows" : "projection: odd rows");
	sample_free(&sample);
	hash_free(&hash);
}

/* ---- projection ---- */

static void
test_directions(int dim)
{
	MrHash		hash = hash_make(MR_HASH_PROJECTION, dim, 42, 1);
	MrHash		again = hash_make(MR_HASH_PROJECTION, dim, 42, 1);
	MrHash		other = hash_make(MR_HASH_PROJECTION, dim, 43, 1);
	size_t		bytes = mr_hash_directions_size(&hash);

	unit_case(bytes == hash.n_directions * dim * sizeof(float), "size");
	unit_case(memcmp(hash.directions, again.directions, bytes) == 0, "repeatable");
	unit_case(dim == 1 || memcmp(hash.directions, other.directions, bytes) != 0, "another seed");
	for (int a = 0; a < hash.n_directions; a++)
	{
		for (int b = 0; b <= a; b++)
		{
			double		dot = 0;

			for (int j = 0; j < dim; j++)
				dot += (double) hash.directions[a * dim + j] * hash.directions[b * dim + j];
			unit_case(fabs(dot - (a == b)) < 5e-7, "dim %d: directions %d, %d: %g", dim, a, b, dot);
		}
	}
	hash_free(&hash);
	hash_free(&again);
	hash_free(&other);
}

/* A binary tree of splits; checks every leaf of it. */
typedef struct Forest
{
	MrHash	   *hash;
	MrHashQuery *query;			/* of q */
	const float *q;
	int			capacity;
	int			twins;			/* parts whose rows do not all start with their key */
	int			leaves;
} Forest;

/* Rows of a leaf: their keys start with its key, and the bound holds for them. */
static void
leaf_check(Forest *forest, const Sample *sample, const int *ids, int n, const MrNewBucket *leaf, int8_t *code)
{
	int			dim = forest->hash->dim;
	MrCodeRows	centre = {1, dim, code, &leaf->scale, &leaf->norm};
	MrBuckets	buckets = {centre, &leaf->key};
	float		order;
	float		squared;
	float		bound;
	bool		inside = true;

	forest->leaves++;
	for (int i = 0; i < n; i++)
		inside = inside && starts_with(sample->keys[ids[i]], leaf->key);
	unit_case(inside, "dim %d: rows and key of a leaf of %d bits", dim, mr_key_length(leaf->key));
	mr_hash_score(forest->hash, forest->query, 1, &buckets, &order, &squared, &bound);
	unit_case(order >= 0 && bound >= 0 && squared >= 0, "score %g %g %g", order, squared, bound);
	for (int i = 0; i < n; i++)
	{
		double		true_distance = distance(forest->q, sample->decoded + (size_t) ids[i] * dim, dim);

		unit_case(bound <= true_distance, "dim %d: bound %.9g, distance %.9g", dim, bound, true_distance);
	}
	if (starts_with(forest->query->key, leaf->key))
		unit_case(bound == 0, "dim %d: bound %g of the own bucket", dim, bound);
}

static void
grow(Forest *forest, const Sample *sample, int *ids, int n, MrNewBucket *bucket)
{
	int			dim = forest->hash->dim;
	Sample		part;
	MrBuckets	rows;
	MrNewBucket parts[2];
	uint8_t    *side;
	int		   *side_ids[2];
	int8_t	   *code;

	if (n <= forest->capacity)
	{
		leaf_check(forest, sample, ids, n, bucket, bucket->code);
		return;
	}
	side = need(n);
	code = need(2 * dim);
	sample_make(&part, n, dim);
	for (int i = 0; i < n; i++)
		sample_set(&part, i, sample->decoded + (size_t) ids[i] * dim);
	/* coding a decoded row may round: the codes are to be those of the sample */
	for (int i = 0; i < n; i++)
	{
		memcpy(part.codes + (size_t) i * dim, sample->codes + (size_t) ids[i] * dim, dim);
		part.scale[i] = sample->scale[ids[i]];
		part.norm[i] = sample->norm[ids[i]];
	}
	rows = (MrBuckets) {part.rows, NULL};
	split_check(forest->hash, &rows, bucket->key, false, side, parts, code);
	if (parts[0].key == parts[1].key)
		forest->twins++;
	for (int k = 0; k < 2; k++)
	{
		int			m = 0;

		side_ids[k] = need(n * sizeof(int));
		for (int i = 0; i < n; i++)
		{
			if (side[i] == k)
				side_ids[k][m++] = ids[i];
		}
		unit_case(starts_with(parts[k].key, bucket->key), "a part's key starts with the parent's");
		grow(forest, sample, side_ids[k], m, &parts[k]);
		free(side_ids[k]);
	}
	sample_free(&part);
	free(side);
	free(code);
}

/* A forest over random rows, for queries among them and beside them. */
static void
test_forest(int dim, int n, float sigma, float offset)
{
	MrRng		rng;
	MrHash		hash = hash_make(MR_HASH_PROJECTION, dim, 7, sigma);
	Sample		sample;
	MrHashQuery query;
	void	   *memory = need(mr_hash_query_size(dim));
	float	   *q = need(dim * sizeof(float));
	float	   *scratch = need(dim * sizeof(float));
	int		   *ids = need(n * sizeof(int));
	int8_t	   *code = need(dim);

	mr_rng_seed(&rng, dim);
	sample_random(&sample, &rng, n, dim, 1, offset);
	mr_hash_query_init(&query, dim, memory);
	for (int i = 0; i < n; i++)
	{
		sample.keys[i] = mr_hash_key(&hash, sample.codes + (size_t) i * dim, sample.scale[i], scratch);
		ids[i] = i;
		mr_hash_query_from_code(&hash, &query, sample.codes + (size_t) i * dim, sample.scale[i], sample.norm[i]);
		unit_case(query.key == sample.keys[i] && mr_key_length(query.key) == MR_KEY_MAX_BITS,
				  "key of a row and of the query made of it");
	}
	for (int k = 0; k < 3; k++)
	{
		MrNewBucket root = {code, 0, 0, mr_key_make(0, 0), n};
		Forest		forest = {&hash, &query, q, 10};

		memset(code, 0, dim);
		if (k == 0)
			memcpy(q, sample.decoded, dim * sizeof(float));
		else
			random_vector(&rng, dim, k == 1 ? 1 : 3, offset, q);
		mr_hash_query(&hash, &query, q);
		grow(&forest, &sample, ids, n, &root);
		printf("# dim %d, sigma %g, offset %g: %d leaves, %d twins\n", dim, sigma, offset, forest.leaves,
			   forest.twins);
	}
	sample_free(&sample);
	hash_free(&hash);
	free(memory);
	free(q);
	free(scratch);
	free(ids);
	free(code);
}

/* The digits cut where they should: shares of rows, for normal data. */
static void
test_shares(void)
{
	MrRng		rng;
	MrHash		hash = hash_make(MR_HASH_PROJECTION, 20, 11, 0.5f);
	Sample		sample;
	float		scratch[20];
	int			ones[40] = {0};

	mr_rng_seed(&rng, 3);
	sample_random(&sample, &rng, 4000, 20, 0.5f, 0);
	for (int i = 0; i < 4000; i++)
	{
		MrBucketKey key = mr_hash_key(&hash, sample.codes + i * 20, sample.scale[i], scratch);

		for (int m = 0; m < 40; m++)
			ones[m] += key << m >> 63;
	}
	for (int m = 0; m < 40; m++)
		unit_case(abs(ones[m] - 2000) < 150, "bit %d is 1 in %d of 4000", m, ones[m]);
	unit_cases("projection: each bit halves normal data");
	sample_free(&sample);
	hash_free(&hash);
}

/* For an insertion the order is: longest key that fits, then nearest box. */
static void
test_insertion(void)
{
	MrHash		hash = hash_make(MR_HASH_PROJECTION, 2, 1, 1);
	MrBucketKey keys[5];
	float		x[2] = {0.3f, 0.7f};
	int8_t		codes[10] = {0};
	float		zero[5] = {0};
	MrBuckets	buckets = {{5, 2, codes, zero, zero}, keys};
	MrHashQuery query;
	void	   *memory = need(mr_hash_query_size(2));
	float		order[5];
	MrBucketKey bits;

	mr_hash_query_init(&query, 2, memory);
	mr_hash_query(&hash, &query, x);
	bits = mr_key_bits(query.key);
	keys[0] = mr_key_make(0, 0);
	keys[1] = mr_key_make(bits >> 53 << 53, 3);
	keys[2] = mr_key_make(bits >> 53 << 53, 3);
	keys[3] = mr_key_make((bits >> 53 ^ 4) << 53, 3);
	keys[4] = mr_key_make((bits >> 16 ^ 1) << 16, 40);
	mr_hash_score(&hash, &query, 1, &buckets, order, NULL, NULL);
	ok(order[1] == order[2] && order[1] < order[0] && order[0] < order[3] && order[0] < order[4] &&
	   order[4] < order[3], "insertion order: %g %g %g %g %g", order[0], order[1], order[2], order[3], order[4]);
	hash_free(&hash);
	free(memory);
}

/* Inner pages: parted by the keys of their leaves. */
static void
test_inner_split(void)
{
	MrRng		rng;
	MrHash		hash = hash_make(MR_HASH_PROJECTION, 6, 1, 1);
	Sample		sample;
	MrBuckets	rows;
	MrNewBucket parts[2];
	uint8_t		side[12];
	int8_t		code[12];
	MrBucketKey parent = mr_key_make(UINT64_C(1) << 55, 2); /* 10 */
	MrBucketKey keys[12];

	mr_rng_seed(&rng, 1);
	sample_random(&sample, &rng, 12, 6, 1, 0);
	rows = (MrBuckets) {sample.rows, keys};

	/* 1000.., 1001..: parted at the fourth bit */
	for (int i = 0; i < 12; i++)
		keys[i] = mr_key_make(UINT64_C(8) << 52 | (uint64_t) (i % 3 == 0) << 52 | (uint64_t) i << 45, 11);
	split_check(&hash, &rows, parent, false, side, parts, code);
	for (int i = 0; i < 12; i++)
		unit_case(side[i] == (i % 3 == 0) && starts_with(keys[i], parts[side[i]].key), "leaf %d", i);
	unit_case(parts[0].key == mr_key_make(UINT64_C(8) << 52, 4), "key of side 0");
	unit_case(parts[1].key == mr_key_make(UINT64_C(9) << 52, 4), "key of side 1");

	/* one key that ends before that bit */
	keys[5] = parent;
	split_check(&hash, &rows, parent, false, side, parts, code);
	unit_case(side[5] == 0 && parts[0].key == parent, "short key");
	for (int i = 0; i < 12; i++)
		unit_case(starts_with(keys[i], parts[side[i]].key), "leaf %d", i);

	/* no bit differs */
	for (int i = 0; i < 12; i++)
		keys[i] = i < 3 ? parent : mr_key_make(UINT64_C(9) << 52, 4);
	split_check(&hash, &rows, parent, true, side, parts, code);
	unit_case(parts[0].key == parent && parts[1].key == parent, "twin groups");
	unit_cases("projection: inner pages");
	sample_free(&sample);
	hash_free(&hash);
}

int
main(void)
{
	static const int dims[] = {1, 2, 3, 16, 64, 2000};

	ok(strcmp(mr_hash_name(MR_HASH_VORONOI), "voronoi") == 0 &&
	   strcmp(mr_hash_name(MR_HASH_PROJECTION), "projection") == 0, "names");
	for (int i = 0; i < 6; i++)
		test_voronoi_score(dims[i]);
	test_voronoi_odd();

	for (int i = 0; i < 6; i++)
	{
		test_voronoi_split(2, dims[i], 1);
		test_voronoi_split(3, dims[i], 1);
		test_voronoi_split(104, dims[i], 1);
		test_voronoi_split(104, dims[i], 1e-19f);
		test_voronoi_split(104, dims[i], 1e15f);
	}
	unit_cases("voronoi: splits");
	test_voronoi_clusters(1);
	test_voronoi_clusters(1e-18f);
	test_voronoi_clusters(3e16f);
	unit_cases("voronoi: clusters");
	test_split_odd(MR_HASH_VORONOI);
	test_split_odd(MR_HASH_PROJECTION);

	for (int i = 0; i < 6; i++)
		test_directions(dims[i]);
	unit_cases("projection: directions");
	test_shares();
	for (int i = 0; i < 6; i++)
	{
		test_forest(dims[i], dims[i] < 100 ? 1000 : 100, 1, 0);
		test_forest(dims[i], dims[i] < 100 ? 1000 : 100, 0, 2);
		test_forest(dims[i], 100, 0.01f, 0);
		test_forest(dims[i], 100, 100, 0);
	}
	unit_cases("projection: leaves of a forest");
	test_insertion();
	test_inner_split();
	return unit_done();
}
