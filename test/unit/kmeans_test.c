/*
 * kmeans_test.c
 *		Panels, k-means and the assignment of rows to leaves, each against plain
 *		loops.
 */
#include <stdlib.h>
#include <string.h>

#include "hash/assign.h"
#include "hash/kmeans.h"
#include "math/panelmath.h"
#include "unit.h"
#include "util/rng.h"

static MrRng rng;

/* All memory, the latest first: a block begins with the address of the one before. */
static void *blocks;

/* Memory at a multiple of 64, until free_memory(). */
static void *
memory(size_t size)
{
	char	   *block = aligned_alloc(64, 64 + (size + 127) / 64 * 64);

	*(void **) block = blocks;
	blocks = block;
	return block + 64;
}

static void
free_memory(void)
{
	while (blocks != NULL)
	{
		void	   *next = *(void **) blocks;

		free(blocks);
		blocks = next;
	}
}

/* n rows around `clusters` points; the spread of a cluster is `noise`. */
static MrCodeRows
make_rows(int n, int dim, int clusters, float noise)
{
	int8_t	   *codes = memory((size_t) n * dim);
	float	   *scale = memory(n * sizeof(float));
	float	   *norm = memory(n * sizeof(float));
	float	   *centres = memory((size_t) clusters * dim * sizeof(float));
	float	   *x = memory(dim * sizeof(float));

	for (int i = 0; i < clusters * dim; i++)
		centres[i] = (float) mr_rng_normal(&rng);
	for (int i = 0; i < n; i++)
	{
		const float *c = centres + (size_t) mr_rng_below(&rng, clusters) * dim;

		for (int j = 0; j < dim; j++)
			x[j] = c[j] + noise * (float) mr_rng_normal(&rng);
		(void) mr_code_encode(x, dim, codes + (size_t) i * dim, &scale[i], &norm[i]);
	}
	return (MrCodeRows) {n, dim, codes, scale, norm};
}

static double
squared_distance(const MrCodeRows *rows, int i, const int8_t *code, float scale)
{
	double		sum = 0;

	for (int j = 0; j < rows->dim; j++)
	{
		double		d = (double) rows->scale[i] * rows->codes[(size_t) i * rows->dim + j] - (double) scale * code[j];

		sum += d * d;
	}
	return sum;
}

static double
to_centre(const MrCodeRows *rows, int i, const MrCentres *centres, int j)
{
	int8_t		code[2048];
	float		scale;
	float		norm;

	mr_centres_get(centres, j, code, &scale, &norm);
	return squared_distance(rows, i, code, scale);
}

/* ---- panels ---- */

/* Every variant gives what the portable one gives. */
static void
test_variants(void)
{
	const int	dims[] = {1, 2, 3, 15, 64, 100, 257, 2000};

	for (int v = 0; mr_panelmath_variant(v) != NULL; v++)
		for (int d = 0; d < 8; d++)
			for (int n = 1; n <= 67; n += 11)
			{
				const MrPanelMath *plain = mr_panelmath_variant(0);
				const MrPanelMath *math = mr_panelmath_variant(v);
				int			dim = dims[d];
				int			panels = mr_panel_count(n);
				int8_t	   *at = memory(panels * mr_panel_bytes(dim));
				int16_t    *wide = memory(4 * mr_panel_row(dim) * sizeof(int16_t));
				const int16_t *rows[4];
				int8_t		code[2000];
				int32_t		want[4 * 80];
				int32_t		got[4 * 80];
				float		values[2][80];
				float		scale[80];
				float		norm[80];
				float		sums[2][2000] = {{0}};

				memset(at, 0, panels * mr_panel_bytes(dim));
				for (int i = 0; i < n + 4; i++)
				{
					for (int j = 0; j < dim; j++)
						code[j] = (int8_t) ((int) mr_rng_below(&rng, 255) - 127);
					if (i < n)
						mr_panel_put(at, dim, i, code);
					else
						mr_panel_widen(code, dim, wide + (i - n) * mr_panel_row(dim));
				}
				for (int r = 0; r < 4; r++)
					rows[r] = wide + r * mr_panel_row(dim);
				for (int i = 0; i < 80; i++)
				{
					scale[i] = (float) mr_rng_uniform(&rng);
					norm[i] = (float) mr_rng_below(&rng, 3);
				}
				plain->dots(rows, at, mr_panel_pairs(dim), panels, want, 80);
				math->dots(rows, at, mr_panel_pairs(dim), panels, got, 80);
				plain->values(want, scale, norm, 0.5f, panels * MR_PANEL, values[0]);
				math->values(want, scale, norm, 0.5f, panels * MR_PANEL, values[1]);
				plain->add(sums[0], code, 0.1f, dim);
				math->add(sums[1], code, 0.1f, dim);
				for (int r = 0; r < 4; r++)
					unit_case(memcmp(want + r * 80, got + r * 80, panels * MR_PANEL * sizeof(int32_t)) == 0,
							  "dots, %s, dim %d, n %d", math->name, dim, n);
				unit_case(memcmp(values[0], values[1], panels * MR_PANEL * sizeof(float)) == 0,
						  "values, %s, dim %d, n %d", math->name, dim, n);
				unit_case(memcmp(sums[0], sums[1], dim * sizeof(float)) == 0, "add, %s, dim %d", math->name, dim);
				unit_case(plain->least(norm, panels * MR_PANEL) == math->least(norm, panels * MR_PANEL),
						  "least, %s, n %d", math->name, panels * MR_PANEL);
			}
	unit_cases("variants of panel arithmetic");
}

/* What was put into panels is what is got from them. */
static void
test_put_get(void)
{
	int8_t	   *at = memory(3 * mr_panel_bytes(7));
	int8_t		code[7] = {-127, 127, 0, 1, -1, 5, 9};
	int8_t		got[7];

	mr_panel_put(at, 7, 33, code);
	mr_panel_get(at, 7, 33, got);
	ok(memcmp(code, got, 7) == 0, "a centre comes back from a panel");
}

/* ---- nearest ---- */

static MrCentres
centres_of(const MrCodeRows *rows)
{
	MrCentres	centres;

	mr_centres_init(&centres, rows->n, rows->dim, memory(mr_centres_size(rows->n, rows->dim)));
	for (int i = 0; i < rows->n; i++)
		mr_centres_set(&centres, i, rows->codes + (size_t) i * rows->dim, rows->scale[i], rows->norm[i]);
	return centres;
}

/* mr_centres_assign finds the nearest of all. */
static void
test_assign(int n, int k, int dim)
{
	MrCodeRows	rows = make_rows(n, dim, 20, 0.4f);
	MrCodeRows	some = make_rows(k, dim, 20, 0.4f);
	MrCentres	centres = centres_of(&some);
	int32_t    *cell = memory(n * sizeof(int32_t));
	float	   *distance = memory(n * sizeof(float));

	mr_centres_assign(&centres, &rows, 0, n, memory(mr_wide_size(dim)), cell, distance);
	for (int i = 0; i < n; i++)
	{
		double		best = INFINITY;

		for (int j = 0; j < k; j++)
			best = fmin(best, to_centre(&rows, i, &centres, j));
		unit_case(to_centre(&rows, i, &centres, cell[i]) <= best * (1 + 1e-4) + 1e-4 &&
				  fabs(distance[i] - best) <= best * 1e-4 + 1e-4, "row %d, dim %d", i, dim);
	}
	unit_cases("nearest centres");
}

/* Of equal centres the last is taken. */
static void
test_ties(void)
{
	MrCodeRows	row = make_rows(1, 5, 1, 1);
	MrCentres	centres;
	int32_t		cell;
	float		distance;

	mr_centres_init(&centres, 300, 5, memory(mr_centres_size(300, 5)));
	for (int i = 0; i < 290; i++)
		mr_centres_set(&centres, i, row.codes, row.scale[0], row.norm[0]);
	mr_centres_assign(&centres, &row, 0, 1, memory(mr_wide_size(5)), &cell, &distance);
	ok(cell == 289, "of equal centres the last: %d", cell);
}

/* ---- k-means ---- */

static MrKmeans
run_kmeans(const MrCodeRows *rows, int k, int rounds, uint64_t seed)
{
	MrKmeans	kmeans;

	mr_kmeans_begin(&kmeans, rows, k, rounds, seed, memory(mr_kmeans_size(rows->n, k, rows->dim)));
	while (mr_kmeans_step(&kmeans))
		;
	return kmeans;
}

static double
inertia(const MrCodeRows *rows, const MrCentres *centres)
{
	int32_t    *cell = memory(rows->n * sizeof(int32_t));
	float	   *distance = memory(rows->n * sizeof(float));
	double		sum = 0;

	mr_centres_assign(centres, rows, 0, rows->n, memory(mr_wide_size(rows->dim)), cell, distance);
	for (int i = 0; i < rows->n; i++)
		sum += distance[i];
	return sum / rows->n;
}

/* More rounds fit better; few clusters are all found; the same seed gives the same. */
static void
test_kmeans(void)
{
	MrCodeRows	rows = make_rows(4000, 24, 12, 0.05f);
	MrKmeans	once = run_kmeans(&rows, 40, 1, 7);
	MrKmeans	often = run_kmeans(&rows, 40, 12, 7);
	MrKmeans	again = run_kmeans(&rows, 40, 12, 7);
	double		noise = 24 * 0.05 * 0.05;

	ok(inertia(&rows, &often.centres) <= inertia(&rows, &once.centres), "more rounds do not fit worse");
	ok(inertia(&rows, &often.centres) < 1.2 * noise, "clusters are found: %g", inertia(&rows, &often.centres));
	ok(memcmp(often.centres.panels, again.centres.panels, mr_panel_count(40) * mr_panel_bytes(24)) == 0,
	   "the same seed gives the same centres");
}

/* Rows that are equal, or fewer kinds than cells. */
static void
test_few_kinds(void)
{
	MrCodeRows	rows = make_rows(500, 3, 4, 0);
	MrKmeans	kmeans = run_kmeans(&rows, 50, 5, 1);

	ok(inertia(&rows, &kmeans.centres) < 1e-4, "four kinds of rows, fifty cells: %g", inertia(&rows, &kmeans.centres));
	rows = make_rows(300, 1, 1, 0);
	kmeans = run_kmeans(&rows, 1, 1, 1);
	ok(inertia(&rows, &kmeans.centres) < 1e-6, "all rows equal, one cell");
}

/* ---- directory ---- */

/* A directory of given size; leaves lie around the centre of their group. */
static MrDirectory
make_directory(int tops, int groups, int leaves, int dim)
{
	MrDirectory directory = {MR_HASH_VORONOI, dim, tops, groups, leaves};
	MrCodeRows	some = make_rows(leaves, dim, groups, 0.5f);

	mr_directory_attach(&directory, memory(mr_directory_size(&directory)), true);
	for (int i = 0; i <= tops; i++)
		directory.top_first[i] = (int64_t) i * groups / tops;
	for (int i = 0; i <= groups; i++)
		directory.group_first[i] = (int64_t) i * leaves / groups;
	for (int i = 0; i < leaves; i++)
		mr_centres_set(&directory.leaves, i, some.codes + (size_t) i * dim, some.scale[i], some.norm[i]);
	for (int i = 0; i < groups; i++)
	{
		int			j = directory.group_first[i];

		mr_centres_set(&directory.groups, i, some.codes + (size_t) j * dim, some.scale[j], some.norm[j]);
	}
	for (int i = 0; i < tops; i++)
	{
		int			j = directory.group_first[directory.top_first[i]];

		mr_centres_set(&directory.tops, i, some.codes + (size_t) j * dim, some.scale[j], some.norm[j]);
	}
	return directory;
}

/* The nearest leaf of the four nearest groups, by plain loops. */
static double
best_leaf(const MrDirectory *directory, const MrCodeRows *rows, int i)
{
	double		taken = -1;
	double		best = INFINITY;

	for (int round = 0; round < MR_ASSIGN_GROUPS; round++)
	{
		double		nearest = INFINITY;
		int			group = -1;

		for (int g = 0; g < directory->n_groups; g++)
		{
			double		d = to_centre(rows, i, &directory->groups, g);

			if (d > taken && d < nearest)
			{
				nearest = d;
				group = g;
			}
		}
		if (group < 0)
			break;
		taken = nearest;
		for (int j = directory->group_first[group]; j < directory->group_first[group + 1]; j++)
			best = fmin(best, to_centre(rows, i, &directory->leaves, j));
	}
	return best;
}

static void
test_directory(int groups, int leaves, int dim, int n)
{
	MrDirectory directory = make_directory(1, groups, leaves, dim);
	MrCodeRows	rows = make_rows(n, dim, 10, 1);
	MrHash		hash = {MR_HASH_VORONOI, dim};
	int32_t    *leaf = memory(n * sizeof(int32_t));
	MrAssigner	assigner;

	mr_assigner_init(&assigner, &directory, &hash, n, memory(mr_assigner_size(&directory, n)));
	mr_assign(&assigner, &rows, leaf);
	for (int i = 0; i < n; i++)
	{
		double		best = best_leaf(&directory, &rows, i);

		unit_case(fabs(to_centre(&rows, i, &directory.leaves, leaf[i]) - best) <= 1e-3 * best,
				  "%d groups, %d leaves, row %d", groups, leaves, i);
	}
	unit_cases("the nearest leaf of the nearest groups");
}

/* With tops, nearly all rows find the leaf that they find without. */
static void
test_tops(void)
{
	MrDirectory directory = make_directory(30, 900, 9000, 16);
	MrCodeRows	rows = make_rows(1000, 16, 10, 1);
	MrHash		hash = {MR_HASH_VORONOI, 16};
	int32_t		leaf[1000];
	MrAssigner	assigner;
	bool		valid = true;

	mr_assigner_init(&assigner, &directory, &hash, 1000, memory(mr_assigner_size(&directory, 1000)));
	mr_assign(&assigner, &rows, leaf);
	for (int i = 0; i < 1000; i++)
		valid &= leaf[i] >= 0 && leaf[i] < 9000;
	ok(valid, "every row has a leaf");
	ok(mr_assign_room(&directory) >= 64, "room for a batch");
}

int
main(void)
{
	mr_rng_seed(&rng, 42);
	test_variants();
	test_put_get();
	test_assign(500, 37, 64);
	test_assign(203, 300, 9);
	test_assign(10, 1, 1);
	test_assign(33, 700, 129);
	test_ties();
	test_kmeans();
	test_few_kinds();
	test_directory(1, 1, 8, 10);
	test_directory(3, 40, 8, 50);
	test_directory(60, 700, 33, 600);
	test_directory(176, 2000, 64, 500);
	test_tops();
	free_memory();
	return unit_done();
}
