/*
 * map_test.c
 *		PCA, and t-SNE part by part: each against plain loops or what
 *		is known of the points.
 */
#include <stdlib.h>
#include <string.h>

#include "map/tsne.h"
#include "math/lapack.h"
#include "unit.h"
#include "util/rng.h"

static MrRng rng;

static bool
never(void *arg)
{
	return false;
}

/* Stops at the call whose number is counted down to 0. */
static bool
countdown(void *arg)
{
	return --*(int *) arg < 0;
}

static void *
memory(size_t size)
{
	return aligned_alloc(64, (size + 127) / 64 * 64);
}

static MrMapInput
input(int n, int dim, const float *x, uint64_t seed)
{
	return (MrMapInput) {n, dim, x, seed, never, NULL};
}

/* x, brought around 0. */
static void
centre(int n, int dim, float *x)
{
	MrMapInput	in = input(n, dim, x, 1);
	void	   *scratch = memory(mr_map_centre_bytes(dim));

	mr_map_centre(&in, x, scratch);
	free(scratch);
}

/* n points in `clusters` balls of this radius, far from each other; cluster of i: i % clusters. */
static float *
make_clusters(int n, int dim, int clusters, double radius)
{
	float	   *x = malloc(sizeof(float) * n * dim);

	for (int i = 0; i < n; i++)
		for (int d = 0; d < dim; d++)
			x[i * dim + d] = (float) (radius * mr_rng_normal(&rng) + (d == i % clusters ? 1 : 0));
	centre(n, dim, x);
	return x;
}

static double
squared(const float *a, const float *b, int dim)
{
	double		sum = 0;

	for (int d = 0; d < dim; d++)
		sum += ((double) a[d] - b[d]) * ((double) a[d] - b[d]);
	return sum;
}

/* ---- centring ---- */

static void
test_centre(void)
{
	float		x[] = {1e38f, 3, -1e38f, 3, 1e38f, 3, -1e38f, 3};
	float		same[] = {7, 7, 7, 7};

	centre(4, 2, x);
	ok_near(x[0], 1, 1e-6, "the longest has length 1, whatever it was");
	ok(x[1] == 0 && x[2] == -x[0], "the mean is 0");
	centre(2, 2, same);
	ok(same[0] == 0 && same[3] == 0, "equal points become 0");
}

/* ---- PCA ---- */

/*
 * Points with deviations 3 and 2 along two known directions, and 0.5 in every
 * coordinate besides.
 */
static void
test_pca(int n, int dim)
{
	float	   *x = malloc(sizeof(float) * n * dim);
	float	   *y = malloc(sizeof(float) * n * 2);
	double	   *axis[2] = {malloc(sizeof(double) * dim), malloc(sizeof(double) * dim)};
	void	   *scratch = memory(mr_pca_bytes(n, dim));
	double		share[2];
	double		along[2] = {0, 0};
	double		var[3] = {0, 0, 0};
	double		total = 9 + 4 + 0.25 * dim;
	MrMapInput	in = input(n, dim, x, 1);

	for (int d = 0; d < dim; d++)
	{
		axis[0][d] = 1 / sqrt(dim);
		axis[1][d] = (d % 2 ? 1 : -1) / sqrt(dim);
	}
	for (int i = 0; i < n; i++)
	{
		double		a = 3 * mr_rng_normal(&rng);
		double		b = 2 * mr_rng_normal(&rng);

		for (int d = 0; d < dim; d++)
			x[i * dim + d] = (float) (5 + a * axis[0][d] + b * axis[1][d] + 0.5 * mr_rng_normal(&rng));
	}
	centre(n, dim, x);
	ok(mr_pca(&in, scratch, y, share) == MR_MAP_OK, "PCA of %d coordinates", dim);
	for (int i = 0; i < n; i++)
	{
		double		want[2] = {0, 0};

		for (int d = 0; d < dim; d++)
			for (int k = 0; k < 2; k++)
				want[k] += axis[k][d] * x[i * dim + d];
		for (int k = 0; k < 2; k++)
		{
			along[k] += want[k] * y[2 * i + k];
			var[k] += (double) y[2 * i + k] * y[2 * i + k];
		}
		var[2] += want[0] * want[0];
	}
	ok(fabs(along[0]) > 0.97 * sqrt(var[0] * var[2]), "the first coordinate lies along the known direction");
	ok(var[0] > var[1], "more variance along the first");
	ok_near(share[0], 9.25 / total, 0.1 * 9.25 / total, "its share");
	ok_near(share[1], 4.25 / total, 0.15 * 4.25 / total, "that of the second");
	free(x);
	free(y);
	free(axis[0]);
	free(axis[1]);
	free(scratch);
}

static void
test_pca_small(void)
{
	float		x[] = {-1, 0, 1};
	float		same[4] = {0};
	float		y[6];
	double		share[2];
	void	   *scratch = memory(mr_pca_bytes(3, 2));
	MrMapInput	line = input(3, 1, x, 1);
	MrMapInput	point = input(2, 2, same, 1);

	ok(mr_pca(&line, scratch, y, share) == MR_MAP_OK && y[0] == -1 && y[1] == 0 && y[4] == 1 && y[5] == 0,
	   "one coordinate: the second is 0");
	ok_near(share[0], 1, 1e-6, "all variance along the first");
	ok(mr_pca(&point, scratch, y, share) == MR_MAP_OK && y[0] == 0 && y[3] == 0 && share[0] == 0, "equal points");
	free(scratch);
}

/* ---- neighbours and probabilities ---- */

static void
find_near(const MrMapInput *in, MrNeighbors *near, int k)
{
	void	   *scratch = memory(mr_neighbors_bytes(in->n, in->dim, k));

	near->n = in->n;
	near->k = k;
	near->row = malloc(sizeof(int32_t) * in->n * k);
	near->squared = malloc(sizeof(float) * in->n * k);
	mr_neighbors(in, near, scratch);
	free(scratch);
}

static void
test_neighbors(void)
{
	enum
	{
		N = 700, DIM = 7, K = 13
	};
	float	   *x = make_clusters(N, DIM, 4, 0.3);
	MrMapInput	in = input(N, DIM, x, 1);
	MrNeighbors near;

	memcpy(x + 5 * DIM, x + 9 * DIM, sizeof(float) * DIM);
	find_near(&in, &near, K);
	for (int i = 0; i < N; i++)
	{
		double		last = near.squared[i * K + K - 1];
		int			nearer = 0;

		for (int j = 0; j < N; j++)
			nearer += j != i && squared(x + i * DIM, x + j * DIM, DIM) < last * (1 - 1e-5);
		unit_case(nearer < K, "%d points are nearer to %d than its last neighbour", nearer, i);
		for (int k = 0; k < K; k++)
		{
			int			j = near.row[i * K + k];

			unit_case(j != i && fabs(near.squared[i * K + k] - squared(x + i * DIM, x + j * DIM, DIM)) < 1e-5,
					  "distance of %d and %d", i, j);
			unit_case(k == 0 || near.squared[i * K + k] >= near.squared[i * K + k - 1], "order of %d", i);
		}
	}
	unit_cases("nearest neighbours");
	ok(near.row[5 * K] == 9 && near.squared[5 * K] == 0, "an equal point is the nearest");
	free(x);
	free(near.row);
	free(near.squared);
}

static void
test_condition(void)
{
	float		at[40];
	float		p[40];
	float		same[5] = {0.25f, 0.25f, 0.25f, 0.25f, 0.25f};

	for (int scale = -8; scale <= 0; scale += 4)
	{
		double		sum = 0;
		double		entropy = 0;

		for (int i = 0; i < 40; i++)
			at[i] = (float) (pow(10, scale) * (1 + i * i));
		mr_affinities_condition(at, 40, 9, p);
		for (int i = 0; i < 40; i++)
		{
			sum += p[i];
			entropy -= p[i] > 0 ? p[i] * log(p[i]) : 0;
		}
		ok_near(sum, 1, 1e-5, "probabilities at scale 1e%d", scale);
		ok_near(exp(entropy), 9, 1e-3, "their perplexity");
	}
	mr_affinities_condition(same, 5, 2, p);
	ok(p[0] == 0.2f && p[4] == 0.2f, "equal distances, equal probabilities");
}

/* The matrix of x as a full one, [n][n]. */
static double *
full_affinities(const MrAffinities *p)
{
	double	   *full = calloc((size_t) p->n * p->n, sizeof(double));

	for (int i = 0; i < p->n; i++)
		for (int64_t e = p->start[i]; e < p->start[i + 1]; e++)
			full[(size_t) i * p->n + p->column[e]] += p->p[e];
	return full;
}

static void *
find_affinities(const MrMapInput *in, int k, double perplexity, MrAffinities *p)
{
	void	   *arrays = memory(mr_affinities_bytes(in->n, k));
	void	   *scratch = memory(mr_affinities_scratch(in->n, k));
	MrNeighbors near;

	find_near(in, &near, k);
	mr_affinities_attach(p, in->n, k, arrays);
	mr_affinities(in, &near, perplexity, p, scratch);
	free(scratch);
	free(near.row);
	free(near.squared);
	return arrays;
}

static void
test_affinities(void)
{
	enum
	{
		N = 150, DIM = 4
	};
	float	   *x = make_clusters(N, DIM, 3, 0.2);
	MrMapInput	in = input(N, DIM, x, 1);
	MrAffinities p;
	void	   *arrays = find_affinities(&in, 15, 5, &p);
	double	   *full = full_affinities(&p);
	double		sum = 0;

	for (int i = 0; i < N; i++)
	{
		unit_case(full[i * N + i] == 0, "%d is no neighbour of itself", i);
		for (int j = 0; j < N; j++)
		{
			unit_case(fabs(full[i * N + j] - full[j * N + i]) < 1e-9, "%d and %d", i, j);
			sum += full[i * N + j];
		}
	}
	unit_cases("the matrix is symmetric");
	ok_near(sum, 1, 1e-5, "and sums to 1");
	free(full);
	free(arrays);
	free(x);
}

/* ---- the tree ---- */

/* n points in the plane, every fifth on top of another, some far out. */
static double *
make_plane(int n)
{
	double	   *y = malloc(sizeof(double) * 2 * n);

	for (int i = 0; i < n; i++)
		for (int d = 0; d < 2; d++)
			y[2 * i + d] = i % 5 == 4 ? y[2 * (i - 1) + d] : mr_rng_normal(&rng) * (i % 50 == 0 ? 100 : 5);
	return y;
}

/* The true sums. */
static double
repel_plainly(const double *y, int n, double *force)
{
	double		z = 0;

	for (int i = 0; i < n; i++)
	{
		force[2 * i] = force[2 * i + 1] = 0;
		for (int j = 0; j < n; j++)
		{
			double		dx = y[2 * i] - y[2 * j];
			double		dy = y[2 * i + 1] - y[2 * j + 1];
			double		w = 1 / (1 + dx * dx + dy * dy);

			z += w;
			force[2 * i] += w * w * dx;
			force[2 * i + 1] += w * w * dy;
		}
	}
	return z;
}

static void
check_tree(const MrQuadtree *tree, int n)
{
	int			node = 0;
	double		leaves = 0;

	unit_case(tree->n_nodes >= 1 && tree->n_nodes <= 2 * n, "%d nodes", tree->n_nodes);
	unit_case(tree->mass[0] == n && tree->skip[0] == tree->n_nodes, "the root has all points");
	for (node = 0; node < tree->n_nodes; node++)
	{
		double		mass = 0;

		if (tree->size[node] == 0)
		{
			leaves += tree->mass[node];
			unit_case(tree->skip[node] == node + 1, "leaf %d has a subtree", node);
			continue;
		}
		for (int child = node + 1; child < tree->skip[node]; child = tree->skip[child])
		{
			mass += tree->mass[child];
			unit_case(tree->size[child] <= tree->size[node] / 4 * 1.0001, "size of %d", child);
		}
		unit_case(mass == tree->mass[node], "mass of node %d", node);
	}
	unit_case(leaves == n, "the leaves have %g points", leaves);
}

static void
test_tree(void)
{
	enum
	{
		N = 1003
	};
	double	   *y = make_plane(N);
	double	   *force = malloc(sizeof(double) * 2 * N);
	double	   *want = malloc(sizeof(double) * 2 * N);
	void	   *arrays = memory(mr_quadtree_bytes(N));
	double		z = repel_plainly(y, N, want);
	double		wrong = 0;
	double		length = 0;
	MrQuadtree	tree;

	mr_quadtree_attach(&tree, N, arrays);
	mr_quadtree_build(&tree, y);
	check_tree(&tree, N);
	mr_quadtree_build(&tree, y);
	check_tree(&tree, N);
	unit_cases("the tree, also when it is built again");

	ok_near(mr_quadtree_repel(&tree, y, 0, 500, 0, force) + mr_quadtree_repel(&tree, y, 500, N, 0, force), z, 1e-5 * z,
			"theta 0: the sum of all pairs");
	for (int i = 0; i < 2 * N; i++)
		unit_case(fabs(force[i] - want[i]) < 1e-3, "force %d is %g, not %g", i, force[i], want[i]);
	unit_cases("theta 0: the forces of all pairs");

	ok_near(mr_quadtree_repel(&tree, y, 0, N, 0.5, force), z, 0.01 * z, "theta 0.5: nearly the sum");
	for (int i = 0; i < 2 * N; i++)
	{
		wrong += (force[i] - want[i]) * (force[i] - want[i]);
		length += want[i] * want[i];
	}
	ok(wrong < 0.02 * 0.02 * length && wrong > 0, "nearly the forces: off by %g of their length", sqrt(wrong / length));

	memset(y, 0, sizeof(double) * 2 * N);
	mr_quadtree_build(&tree, y);
	ok(tree.n_nodes == 1 && tree.size[0] == 0, "equal points are one leaf");
	ok_near(mr_quadtree_repel(&tree, y, 0, N, 0.5, force), (double) N * N, 1e-3 * N, "each pair repels by 1");
	ok(force[0] == 0 && force[2 * N - 1] == 0, "in no direction");
	free(arrays);
	free(y);
	free(force);
	free(want);
}

/* ---- the gradient ---- */

static double
exact_divergence(const MrAffinities *p, const double *y)
{
	double	   *force = malloc(sizeof(double) * 2 * p->n);
	double		z = repel_plainly(y, p->n, force) - p->n;

	free(force);
	return mr_tsne_divergence(p, y, z);
}

static void
test_gradient(void)
{
	enum
	{
		N = 60, DIM = 5
	};
	float	   *x = make_clusters(N, DIM, 3, 0.3);
	MrMapInput	in = input(N, DIM, x, 1);
	MrAffinities p;
	void	   *arrays = find_affinities(&in, 12, 4, &p);
	void	   *tree_memory = memory(mr_quadtree_bytes(N));
	double		y[2 * N];
	double		gradient[2 * N];
	double		largest = 0;
	double		z;
	MrQuadtree	tree;

	for (int i = 0; i < 2 * N; i++)
		y[i] = 2 * mr_rng_normal(&rng);
	mr_quadtree_attach(&tree, N, tree_memory);
	ok(mr_tsne_gradient(&in, &p, &tree, y, 0, 1, gradient, &z) == MR_MAP_OK, "gradient");
	for (int i = 0; i < 2 * N; i++)
		largest = fmax(largest, fabs(gradient[i]));
	for (int i = 0; i < 2 * N; i++)
	{
		const double h = 1e-5;
		double		at = y[i];
		double		slope;

		y[i] = at + h;
		slope = exact_divergence(&p, y);
		y[i] = at - h;
		slope = (slope - exact_divergence(&p, y)) / (2 * h);
		y[i] = at;
		unit_case(fabs(slope - gradient[i]) < 1e-5 * largest, "coordinate %d: %g, not %g", i, gradient[i], slope);
	}
	unit_cases("theta 0: the gradient is that of the divergence");
	free(tree_memory);
	free(arrays);
	free(x);
}

/* ---- all of it ---- */

static MrMapStatus
run(int n, int dim, const float *x, uint64_t seed, float *y, double *divergence)
{
	MrTsneOptions options = {30, 0.5, 1000};
	MrMapInput	in = input(n, dim, x, seed);
	void	   *scratch = memory(mr_tsne_bytes(n, dim, options.perplexity));
	MrMapStatus status = mr_tsne(&in, &options, scratch, y, divergence);

	free(scratch);
	return status;
}

/* The share of points whose 5 nearest in the map are all of their own cluster. */
static double
kept(int n, int clusters, const float *y)
{
	MrMapInput	in = input(n, 2, y, 1);
	MrNeighbors near;
	int			good = 0;

	find_near(&in, &near, 5);
	for (int i = 0; i < n; i++)
	{
		int			same = 0;

		for (int k = 0; k < 5; k++)
			same += near.row[5 * i + k] % clusters == i % clusters;
		good += same == 5;
	}
	free(near.row);
	free(near.squared);
	return (double) good / n;
}

static void
test_clusters(void)
{
	enum
	{
		N = 400, DIM = 10, CLUSTERS = 5
	};
	float	   *x = make_clusters(N, DIM, CLUSTERS, 0.1);
	float	   *y = malloc(sizeof(float) * 2 * N);
	float	   *again = malloc(sizeof(float) * 2 * N);
	double		divergence;

	ok(run(N, DIM, x, 1, y, &divergence) == MR_MAP_OK, "a map of %d points", N);
	ok(kept(N, CLUSTERS, y) == 1, "neighbours in the map are of the same cluster: %g", kept(N, CLUSTERS, y));
	ok(divergence > 0 && divergence < 1, "divergence %g", divergence);
	run(N, DIM, x, 1, again, &divergence);
	ok(memcmp(y, again, sizeof(float) * 2 * N) == 0, "one seed, the same bits");
	run(N, DIM, x, 2, again, &divergence);
	ok(memcmp(y, again, sizeof(float) * 2 * N) != 0, "another seed, another map");
	ok(kept(N, CLUSTERS, again) == 1, "but the same clusters");
	free(x);
	free(y);
	free(again);
}

static void
test_few(void)
{
	float		x[7 * 3];
	float		y[14];
	double		divergence;

	for (int n = 1; n <= 7; n++)
	{
		for (int i = 0; i < 3 * n; i++)
			x[i] = (float) mr_rng_normal(&rng);
		centre(n, 3, x);
		unit_case(run(n, 3, x, 1, y, &divergence) == MR_MAP_OK, "%d points", n);
		for (int i = 0; i < 2 * n; i++)
			unit_case(isfinite(y[i]), "%d points: coordinate %d", n, i);
		memset(x, 0, sizeof(x));
		unit_case(run(n, 3, x, 1, y, &divergence) == MR_MAP_OK, "%d equal points", n);
		for (int i = 0; i < 2 * n; i++)
			unit_case(isfinite(y[i]), "%d equal points: coordinate %d", n, i);
	}
	unit_cases("few points, and equal ones");
}

/* Whenever the caller says stop, the map stops. */
static void
test_stop(void)
{
	enum
	{
		N = 200, DIM = 150
	};
	float	   *x = make_clusters(N, DIM, 3, 0.2);
	float	   *y = malloc(sizeof(float) * 2 * N);
	MrTsneOptions options = {20, 0.5, 30};
	void	   *scratch = memory(mr_tsne_bytes(N, DIM, options.perplexity));
	double		divergence;
	double		share[2];

	for (int calls = 0; calls < 400; calls += 1 + calls / 4)
	{
		int			left = calls;
		MrMapInput	in = {N, DIM, x, 1, countdown, &left};
		MrMapStatus status = mr_tsne(&in, &options, scratch, y, &divergence);

		unit_case(status == (left < 0 ? MR_MAP_STOPPED : MR_MAP_OK), "t-SNE after %d polls", calls);
		left = calls;
		status = mr_pca(&in, scratch, y, share);
		unit_case(status == (left < 0 ? MR_MAP_STOPPED : MR_MAP_OK), "PCA after %d polls", calls);
	}
	unit_cases("stopped at any poll");
	free(scratch);
	free(x);
	free(y);
}

int
main(void)
{
	const char *why = mr_lapack_load();

	if (!ok(why == NULL, "LAPACK%s%s", why ? ": " : "", why ? why : ""))
		return unit_done();
	mr_rng_seed(&rng, 1);
	test_centre();
	test_pca(3000, 6);
	test_pca(3000, 200);
	test_pca_small();
	test_neighbors();
	test_condition();
	test_affinities();
	test_tree();
	test_gradient();
	test_clusters();
	test_few();
	test_stop();
	return unit_done();
}
