/*
 * tsne.c
 *		t-SNE: gradient descent on the divergence of tsne.h.
 *
 * As the paper has it: for the first 250 steps the probabilities are 12 times as
 * large, which draws clusters together early; momentum 0.5, then 0.8; a gain for each
 * coordinate, which grows while it keeps its direction.  Otherwise than the paper:
 *	- it starts from the two principal components, scaled down to a deviation of
 *	  1e-4, so that the place of clusters to each other means something (D. Kobak
 *	  and P. Berens, Nature Communications 10, 2019);
 *	- the learning rate grows with the number of points (A. Belkina et al., the
 *	  same volume), or large maps would not get done in the steps that there are.
 */
#include <math.h>
#include <string.h>

#include "map/tsne.h"
#include "util/rng.h"

#define EXAGGERATION 12.0
#define EARLY_STEPS 250
#define START_DEVIATION 1e-4
#define MIN_GAIN 0.01

/* A neighbourhood reaches as far as three times the perplexity. */
#define REACH 3

/* Points between two polls. */
#define CHUNK 1024

typedef struct Descent
{
	MrAffinities p;
	MrQuadtree	tree;
	double	   *y;				/* [n][2] */
	double	   *gradient;
	double	   *speed;
	double	   *gain;
} Descent;

/* The perplexity that n points allow: a third of the others, at least 1. */
double
mr_tsne_perplexity(int n, double wanted)
{
	double		most = (n - 1) / (double) REACH;

	if (wanted > most)
		wanted = most;
	return wanted < 1 ? 1 : wanted;
}

static int
neighbors_of(int n, double perplexity)
{
	int			k = (int) (REACH * mr_tsne_perplexity(n, perplexity));

	return k < n ? k : n - 1;
}

static size_t
descent_bytes(int n)
{
	return mr_quadtree_bytes(n) + 4 * mr_map_padded(sizeof(double) * 2 * n);
}

/* What is only needed before the descent lies in the same place as what it needs. */
static size_t
before_bytes(int n, int dim, int k)
{
	size_t		near = mr_map_padded(sizeof(int32_t) * n * k) + mr_map_padded(sizeof(float) * n * k);
	size_t		search = mr_neighbors_bytes(n, dim, k);
	size_t		scratch = mr_affinities_scratch(n, k);

	return near + (search > scratch ? search : scratch);
}

/* Bytes of memory for mr_tsne(). */
size_t
mr_tsne_bytes(int n, int dim, double perplexity)
{
	int			k = neighbors_of(n, perplexity);
	size_t		before = before_bytes(n, dim, k);
	size_t		descent = descent_bytes(n);
	size_t		pca = mr_pca_bytes(n, dim);
	size_t		largest = before > descent ? before : descent;

	return mr_affinities_bytes(n, k) + (largest > pca ? largest : pca);
}

/* ---- the gradient ---- */

/* gradient = 4 (attraction - repulsion / z) for points i of from..to - 1; it has the repulsion in it. */
static void
attract(const MrAffinities *p, const double *y, int from, int to, double exaggeration, double z, double *gradient)
{
	for (int i = from; i < to; i++)
	{
		double		x0 = y[2 * (size_t) i];
		double		x1 = y[2 * (size_t) i + 1];
		double		sum[2] = {0, 0};

		for (int64_t e = p->start[i]; e < p->start[i + 1]; e++)
		{
			const double *other = y + 2 * (size_t) p->column[e];
			double		d0 = x0 - other[0];
			double		d1 = x1 - other[1];
			double		pull = p->p[e] / (1 + d0 * d0 + d1 * d1);

			sum[0] += pull * d0;
			sum[1] += pull * d1;
		}
		for (int d = 0; d < 2; d++)
			gradient[2 * (size_t) i + d] = 4 * (exaggeration * sum[d] - gradient[2 * (size_t) i + d] / z);
	}
}

/* gradient [n][2] at y, and Z; n >= 2.  With theta 0 exact but for rounding to float. */
MrMapStatus
mr_tsne_gradient(const MrMapInput *in, const MrAffinities *p, MrQuadtree *tree, const double *y,
				 double theta, double exaggeration, double *gradient, double *z)
{
	int			n = p->n;

	mr_quadtree_build(tree, y);
	*z = -n;					/* each point repels itself by 1 */
	for (int from = 0; from < n; from += CHUNK)
	{
		if (in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		*z += mr_quadtree_repel(tree, y, from, n - from < CHUNK ? n : from + CHUNK, theta, gradient);
	}
	if (*z < 1e-30)
		*z = 1e-30;
	for (int from = 0; from < n; from += CHUNK)
	{
		if (in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		attract(p, y, from, n - from < CHUNK ? n : from + CHUNK, exaggeration, *z, gradient);
	}
	return MR_MAP_OK;
}

/* SUM p log(p / q): how much of the neighbourhoods the map does not show, 0 = nothing. */
double
mr_tsne_divergence(const MrAffinities *p, const double *y, double z)
{
	double		sum = 0;

	for (int i = 0; i < p->n; i++)
		for (int64_t e = p->start[i]; e < p->start[i + 1]; e++)
		{
			double		d0 = y[2 * (size_t) i] - y[2 * (size_t) p->column[e]];
			double		d1 = y[2 * (size_t) i + 1] - y[2 * (size_t) p->column[e] + 1];

			if (p->p[e] > 0)
				sum += p->p[e] * log(p->p[e] * z * (1 + d0 * d0 + d1 * d1));
		}
	return sum;
}

/* ---- before the descent ---- */

/* From the principal components in y, with a little noise that parts equal points. */
static void
start_from(const MrMapInput *in, const float *start, double *y)
{
	size_t		n = 2 * (size_t) in->n;
	double		square = 0;
	double		scale;
	MrRng		rng;

	for (int i = 0; i < in->n; i++)
		square += (double) start[2 * (size_t) i] * start[2 * (size_t) i];
	scale = square > 0 ? START_DEVIATION / sqrt(square / in->n) : 0;
	mr_rng_seed(&rng, in->seed);
	for (size_t i = 0; i < n; i++)
		y[i] = scale * start[i] + 0.01 * START_DEVIATION * mr_rng_normal(&rng);
}

static MrMapStatus
find_affinities(const MrMapInput *in, double perplexity, void *memory, MrAffinities *p)
{
	char	   *next = memory;
	MrNeighbors near = {in->n, neighbors_of(in->n, perplexity)};
	MrMapStatus status;

	near.row = mr_map_carve(&next, sizeof(int32_t) * near.n * near.k);
	near.squared = mr_map_carve(&next, sizeof(float) * near.n * near.k);
	status = mr_neighbors(in, &near, next);
	return status == MR_MAP_OK ? mr_affinities(in, &near, perplexity, p, next) : status;
}

/* ---- the descent ---- */

/* A step down the gradient. */
static void
step(Descent *descent, int n, double rate, double momentum)
{
	double		mean[2] = {0, 0};

	for (size_t i = 0; i < 2 * (size_t) n; i++)
	{
		double		gradient = descent->gradient[i];
		double		gain = descent->gain[i];

		/* The speed goes down the gradient: other signs mean the same direction. */
		gain = (gradient > 0) != (descent->speed[i] > 0) ? gain + 0.2 : gain * 0.8;
		descent->gain[i] = gain < MIN_GAIN ? MIN_GAIN : gain;
		descent->speed[i] = momentum * descent->speed[i] - rate * descent->gain[i] * gradient;
		descent->y[i] += descent->speed[i];
		mean[i % 2] += descent->y[i];
	}
	for (size_t i = 0; i < 2 * (size_t) n; i++)
		descent->y[i] -= mean[i % 2] / n;
}

static MrMapStatus
descend(const MrMapInput *in, const MrTsneOptions *options, Descent *descent, double *divergence)
{
	int			n = in->n;
	double		rate = fmax(n / EXAGGERATION / 4, 50);
	double		z = 1;
	MrMapStatus status = MR_MAP_OK;

	memset(descent->speed, 0, sizeof(double) * 2 * n);
	for (size_t i = 0; i < 2 * (size_t) n; i++)
		descent->gain[i] = 1;
	for (int i = 0; status == MR_MAP_OK && i < options->iterations; i++)
	{
		bool		early = i < EARLY_STEPS && i < options->iterations / 2;

		status = mr_tsne_gradient(in, &descent->p, &descent->tree, descent->y, options->theta,
								  early ? EXAGGERATION : 1, descent->gradient, &z);
		if (status == MR_MAP_OK)
			step(descent, n, rate, early ? 0.5 : 0.8);
	}
	if (status == MR_MAP_OK && divergence)
		*divergence = mr_tsne_divergence(&descent->p, descent->y, z);
	return status;
}

/*
 * y [n][2]: the map; divergence: of its last step, or NULL.  memory: mr_tsne_bytes(), at a
 * multiple of 64.  mr_lapack_load() must have succeeded.
 */
MrMapStatus
mr_tsne(const MrMapInput *in, const MrTsneOptions *options, void *memory, float *y, double *divergence)
{
	int			n = in->n;
	int			k = neighbors_of(n, options->perplexity);
	char	   *next = memory;
	Descent		descent;
	double		share[2];
	MrMapStatus status;

	if (n < 2)
	{
		if (divergence)
			*divergence = 0;
		y[0] = y[1] = 0;
		return MR_MAP_OK;
	}
	mr_affinities_attach(&descent.p, n, k, mr_map_carve(&next, mr_affinities_bytes(n, k)));
	status = mr_pca(in, next, y, share);
	if (status == MR_MAP_OK)
		status = find_affinities(in, mr_tsne_perplexity(n, options->perplexity), next, &descent.p);
	if (status != MR_MAP_OK)
		return status;

	/* The neighbours have done their work: the descent takes over their memory. */
	mr_quadtree_attach(&descent.tree, n, mr_map_carve(&next, mr_quadtree_bytes(n)));
	descent.y = mr_map_carve(&next, sizeof(double) * 2 * n);
	descent.gradient = mr_map_carve(&next, sizeof(double) * 2 * n);
	descent.speed = mr_map_carve(&next, sizeof(double) * 2 * n);
	descent.gain = mr_map_carve(&next, sizeof(double) * 2 * n);
	start_from(in, y, descent.y);
	status = descend(in, options, &descent, divergence);
	for (size_t i = 0; status == MR_MAP_OK && i < 2 * (size_t) n; i++)
		y[i] = (float) descent.y[i];
	return status;
}
