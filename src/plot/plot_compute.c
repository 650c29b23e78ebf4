/*
 * plot_compute.c
 *		Two coordinates for each point of a map, and its cluster.
 *
 * Clusters are found among the points themselves, not in the picture, by the
 * k-means that the index learns its centres with: over int8 codes, several times from
 * other starts, of which the tightest is kept.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "hash/kmeans.h"
#include "plot/plot.h"

/* As in the paper. */
#define THETA 0.5
#define STEPS 1000

#define KMEANS_STARTS 5
#define KMEANS_ROUNDS 25

/* ---- coordinates ---- */

static MrMapInput
input_of(MrMap *map, int32 n)
{
	return (MrMapInput) {n, map->dim, map->x, (uint64_t) map->options.seed, mr_map_poll, map};
}

static void
find_places(MrMap *map)
{
	int32		n = map->n_different;
	MrMapInput	in = input_of(map, n);
	MrTsneOptions tsne = {map->options.perplexity, THETA, STEPS};
	void	   *memory;

	map->y = mr_map_alloc(map, sizeof(float) * 2 * n);
	if (map->options.method == MR_MAP_PCA)
	{
		memory = mr_map_alloc(map, mr_pca_bytes(n, map->dim));
		mr_map_check(map, mr_pca(&in, memory, map->y, map->share));
		return;
	}
	memory = mr_map_alloc(map, mr_tsne_bytes(n, map->dim, map->options.perplexity));
	mr_map_check(map, mr_tsne(&in, &tsne, memory, map->y, NULL));
}

/* ---- clusters ---- */

static MrCodeRows
encode(MrMap *map)
{
	int8_t	   *codes = mr_map_alloc(map, mul_size(map->n, map->dim));
	float	   *scale = mr_map_alloc(map, sizeof(float) * map->n);
	float	   *norm = mr_map_alloc(map, sizeof(float) * map->n);

	for (int32 i = 0; i < map->n; i++)
	{
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		(void) mr_code_encode(map->x + (Size) i * map->dim, map->dim, codes + (Size) i * map->dim, &scale[i], &norm[i]);
	}
	return (MrCodeRows) {map->n, map->dim, codes, scale, norm};
}

/* One k-means; its cells and the sum of the squared distances. */
static double
run_kmeans(MrMap *map, const MrCodeRows *rows, int k, uint64_t seed, void *memory, int32 *cell, float *distance)
{
	int			step = mr_rows_per_step(k, map->dim);
	void	   *wide;
	double		sum = 0;
	MrKmeans	kmeans;

	mr_kmeans_begin(&kmeans, rows, k, KMEANS_ROUNDS, seed, memory);
	while (mr_kmeans_step(&kmeans))
		CHECK_FOR_INTERRUPTS();
	wide = kmeans.wide;
	for (int32 from = 0; from < map->n; from += step)
	{
		CHECK_FOR_INTERRUPTS();
		mr_centres_assign(&kmeans.centres, rows, from, Min(map->n, from + step), wide, cell, distance);
	}
	for (int32 i = 0; i < map->n; i++)
		sum += distance[i];
	return sum;
}

/* Numbers the clusters by size, the largest first, and leaves out the empty ones. */
static void
number_clusters(MrMap *map, int k)
{
	int32		count[MR_SVG_COLORS] = {0};
	int			number[MR_SVG_COLORS];

	for (int32 i = 0; i < map->n; i++)
		count[map->cluster[i]]++;
	map->n_clusters = 0;
	for (int c = 0; c < k; c++)
	{
		number[c] = 0;
		for (int other = 0; other < k; other++)
			number[c] += count[other] > count[c] || (count[other] == count[c] && other < c);
		map->n_clusters += count[c] > 0;
	}
	for (int32 i = 0; i < map->n; i++)
		map->cluster[i] = number[map->cluster[i]];
}

static void
find_clusters(MrMap *map)
{
	MrCodeRows	rows = encode(map);
	int			k = Min(map->options.clusters, map->n);
	void	   *memory = mr_map_alloc(map, mr_kmeans_size(map->n, k, map->dim));
	int32	   *cell = mr_map_alloc(map, sizeof(int32) * map->n);
	float	   *distance = mr_map_alloc(map, sizeof(float) * map->n);
	double		best = INFINITY;

	map->cluster = mr_map_alloc(map, sizeof(int32) * map->n);
	for (int start = 0; start < KMEANS_STARTS; start++)
	{
		double		sum = run_kmeans(map, &rows, k, (uint64_t) map->options.seed + start, memory, cell, distance);

		if (sum >= best)
			continue;
		best = sum;
		memcpy(map->cluster, cell, sizeof(int32) * map->n);
	}
	number_clusters(map, k);
}

/* Sets y, and the clusters if they are wanted. */
void
mr_map_compute(MrMap *map)
{
	MrMapInput	in = input_of(map, map->n);
	void	   *memory;

	if (map->n == 0)
		return;
	if (map->dim == 0)			/* the bias was the only coordinate */
	{
		map->dim = 1;
		in.dim = 1;
		memset(map->x, 0, sizeof(float) * map->n);
	}
	memory = mr_map_alloc(map, mr_map_centre_bytes(map->dim));
	mr_map_check(map, mr_map_centre(&in, map->x, memory));
	if (map->color == MR_MAP_CLUSTER)
		find_clusters(map);
	mr_map_merge_equal(map);
	find_places(map);
}
