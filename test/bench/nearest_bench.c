/*
 * nearest_bench.c
 *		The lists of all users (src/model/nearest.c) from the command line, without a
 *		server.
 *
 *		nearest_bench [users=100000] [items=100000] [dimensions=64] [k=10] [sample=8192]
 *
 * Built as trainer_bench.c is (README.md here).
 *
 * Points are clusters on the unit sphere, items with a bias coordinate, as a
 * training makes them.  `sample` users are computed, the time of all follows.
 * Prints processor seconds, pairs per second, and the share of what sgemm alone
 * reaches on a product of 1024^3.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "math/gemm.h"
#include "model/nearest.h"
#include "util/rng.h"

#define CLUSTERS 500
#define SEEN 20

static MrRng rng;

static double
processor_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

static float
normal(void)
{
	double		u = (mr_rng_below(&rng, 1000000) + 1) / 1000001.0;

	return (float) (sqrt(-2 * log(u)) * cos(6.283185307179586 * mr_rng_below(&rng, 1000000) / 1e6));
}

/* Points around the centres, brought to the sphere; the last coordinate is the bias. */
static float *
make_points(int32_t n, int32_t d, const float *centres, bool bias)
{
	float	   *points = malloc(sizeof(float) * (size_t) n * d);

	for (int32_t i = 0; i < n; i++)
	{
		float	   *x = points + (size_t) i * d;
		const float *centre = centres + (size_t) mr_rng_below(&rng, CLUSTERS) * d;
		double		square = 0;

		for (int32_t l = 0; l < d - 1; l++)
		{
			x[l] = centre[l] + 0.7f * normal();
			square += (double) x[l] * x[l];
		}
		for (int32_t l = 0; l < d - 1; l++)
			x[l] = (float) (x[l] / sqrt(square));
		x[d - 1] = bias ? fabsf(normal()) * 0.3f : 0;
	}
	return points;
}

static void
make_seen(MrInteractions *x, int32_t n_users, int32_t n_items)
{
	memset(x, 0, sizeof(*x));
	x->n_users = n_users;
	x->n_items = n_items;
	x->user_start = calloc((size_t) n_users + 1, sizeof(int64_t));
	x->items = malloc(sizeof(int32_t) * (size_t) n_users * SEEN);
	for (int32_t u = 0; u < n_users; u++)
	{
		for (int32_t i = 0; i < SEEN; i++)
			x->items[x->n_pairs++] = (int32_t) ((int64_t) n_items * i / SEEN + mr_rng_below(&rng, n_items / SEEN));
		x->user_start[u + 1] = x->n_pairs;
	}
}

static double
sgemm_peak(void)
{
	int			n = 1024;
	float	   *a = calloc((size_t) n * n * 3, sizeof(float));
	double		best = 0;

	for (int i = 0; i < 2 * n * n; i++)
		a[i] = normal();
	for (int round = 0; round < 8; round++)
	{
		double		start = processor_seconds();

		mr_gemm(MR_AS_IS, MR_TRANSPOSED, n, n, n, 1, a, n, a + n * n, n, 0, a + 2 * n * n, n);
		best = fmax(best, 2e-9 * n * n * n / (processor_seconds() - start));
	}
	free(a);
	return best;
}

static long
option(int argc, char **argv, const char *name, long value)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], name, strlen(name)) == 0 && argv[i][strlen(name)] == '=')
			value = atol(argv[i] + strlen(name) + 1);
	return value;
}

int
main(int argc, char **argv)
{
	int32_t		n_users = (int32_t) option(argc, argv, "users", 100000);
	int32_t		n_items = (int32_t) option(argc, argv, "items", 100000);
	int32_t		d = (int32_t) option(argc, argv, "dimensions", 64);
	int32_t		sample = (int32_t) option(argc, argv, "sample", 8192);
	MrNearestInput in = {.dimensions = d, .n_items = n_items, .k = (int32_t) option(argc, argv, "k", 10)};
	MrInteractions seen;
	float	   *centres;
	float	   *half_norms = malloc(sizeof(float) * n_items);
	float	   *largest = malloc(sizeof(float) * mr_nearest_tiles(n_items));
	size_t		bytes;
	void	   *memory;
	MrTopItem  *lists;
	int32_t		counts[MR_NEAREST_BLOCK];
	double		peak;
	double		measured;
	double		seconds;
	double		sum = 0;

	if (mr_gemm_load() != NULL)
	{
		printf("%s\n", mr_gemm_load());
		return 1;
	}
	mr_rng_seed(&rng, 1);
	sample = sample < n_users ? sample : n_users;
	centres = malloc(sizeof(float) * CLUSTERS * d);
	for (int i = 0; i < CLUSTERS * d; i++)
		centres[i] = normal();
	in.items = make_points(n_items, d, centres, true);
	in.users = make_points(sample, d, centres, false);
	make_seen(&seen, sample, n_items);
	in.left_out = &seen;
	in.half_norms = half_norms;
	in.largest = largest;
	bytes = mr_nearest_bytes(&in, MR_NEAREST_BLOCK);
	memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
	lists = malloc(sizeof(MrTopItem) * MR_NEAREST_BLOCK * (size_t) mr_nearest_length(&in));
	peak = sgemm_peak();

	seconds = processor_seconds();
	mr_nearest_measure(&in, half_norms, largest, NULL, NULL);
	measured = processor_seconds() - seconds;
	for (int32_t first = 0; first < sample; first += MR_NEAREST_BLOCK)
	{
		int32_t		n = sample - first < MR_NEAREST_BLOCK ? sample - first : MR_NEAREST_BLOCK;

		mr_nearest(&in, first, n, memory, bytes, NULL, NULL, lists, counts);
		sum += lists[0].distance;
	}
	seconds = (processor_seconds() - seconds - measured) * n_users / sample + measured;
	printf("%d users x %d items x %d, k = %d: %.2f s, %.0f M pairs/s, %.1f Gflop/s, %.0f %% of sgemm's %.1f; "
		   "measuring %.3f s, memory %.1f MB; sum %.6f\n",
		   n_users, n_items, d, in.k, seconds, (double) n_users * n_items / seconds / 1e6,
		   2e-9 * n_users * n_items * d / seconds, 200e-9 * n_users * n_items * d / seconds / peak, peak,
		   measured, bytes / 1048576.0, sum);
	return 0;
}
