/*
 * tsne.h
 *		The parts of t-SNE (L. van der Maaten, Accelerating t-SNE using tree-based
 *		algorithms, JMLR 15, 2014), and what they hand on.
 *
 *	p[i|j]	how near i is to j in the many coordinates: a Gaussian around j whose
 *			width gives each point the same number of neighbours, the perplexity
 *	p[ij]	(p[i|j] + p[j|i]) / 2n, of the nearest only: a sparse matrix
 *	w[ij]	1 / (1 + |y_i - y_j|^2), q[ij] = w[ij] / Z, Z = SUM over all pairs w
 *
 *	C		= SUM p[ij] log(p[ij] / q[ij])
 *	dC/dy_i = 4 SUM_j (p[ij] - q[ij]) w[ij] (y_i - y_j)
 *			= 4 (SUM_j p[ij] w[ij] (y_i - y_j)	-  1/Z SUM_j w[ij]^2 (y_i - y_j))
 *						attraction, sparse			  repulsion, by the tree
 */
#ifndef MR_TSNE_H
#define MR_TSNE_H

#include "map/map.h"

/* Pieces of the caller's memory, each at a multiple of 64 bytes. */
static inline size_t
mr_map_padded(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

static inline void *
mr_map_carve(char **next, size_t bytes)
{
	char	   *piece = *next;

	*next += mr_map_padded(bytes);
	return piece;
}

/* ---- neighbors.c ---- */

/* The k nearest other points of each, nearest first; k < n. */
typedef struct MrNeighbors
{
	int			n;
	int			k;
	int32_t    *row;			/* [n][k] */
	float	   *squared;		/* [n][k], squared distances */
} MrNeighbors;

extern size_t mr_neighbors_bytes(int n, int dim, int k);
extern MrMapStatus mr_neighbors(const MrMapInput *in, MrNeighbors *out, void *memory);

/* ---- affinity.c ---- */

/* p[ij], symmetric, sums to 1; row i has the entries start[i] .. start[i + 1] - 1. */
typedef struct MrAffinities
{
	int			n;
	int64_t    *start;			/* [n + 1] */
	int32_t    *column;			/* [start[n]] */
	float	   *p;				/* [start[n]] */
} MrAffinities;

extern size_t mr_affinities_bytes(int n, int k);	/* of the arrays of MrAffinities */
extern void mr_affinities_attach(MrAffinities *out, int n, int k, void *memory);
extern void mr_affinities_condition(const float *squared, int k, double perplexity, float *p);
extern size_t mr_affinities_scratch(int n, int k);
extern MrMapStatus mr_affinities(const MrMapInput *in, const MrNeighbors *near, double perplexity,
								 MrAffinities *out, void *scratch);

/* ---- quadtree.c ---- */

/*
 * The nodes in preorder: a node's subtree is node .. skip[node] - 1.  Points are
 * ordered along a Z curve, so that a node has points that follow each other.
 *
 *		node	0 root | 1 quarter | 2 leaf | 3 leaf | 4 quarter ...
 *		skip	n_nodes	 4			 3		  4
 */
typedef struct MrQuadtree
{
	int			n;				/* points */
	int			n_nodes;		/* at most 2 n */
	float	   *x;				/* [n_nodes] centre of mass */
	float	   *y;
	float	   *mass;			/* points in it */
	float	   *size;			/* side, squared; 0 = a leaf */
	int32_t    *skip;			/* the node behind the subtree */
	uint64_t   *code;			/* [n] place on the curve, ascending */
	uint64_t   *other_code;
	int32_t    *order;			/* [n] the points along the curve */
	int32_t    *other_order;
	float	   *list_x;			/* [n + lanes], what repels a group of points */
	float	   *list_y;
	float	   *list_mass;
	const double *at;			/* [n][2] while it is built */
	double		side;			/* of the root */
} MrQuadtree;

extern size_t mr_quadtree_bytes(int n);
extern void mr_quadtree_attach(MrQuadtree *tree, int n, void *memory);
extern void mr_quadtree_build(MrQuadtree *tree, const double *y);
extern double mr_quadtree_repel(MrQuadtree *tree, const double *y, int from, int to, double theta, double *force);

/* ---- tsne.c ---- */

extern MrMapStatus mr_tsne_gradient(const MrMapInput *in, const MrAffinities *p, MrQuadtree *tree, const double *y,
									double theta, double exaggeration, double *gradient, double *z);
extern double mr_tsne_divergence(const MrAffinities *p, const double *y, double z);

#endif							/* MR_TSNE_H */
