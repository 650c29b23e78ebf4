/*
 * map.h
 *		From points of many coordinates to two, for a picture.
 *
 *		points [n][dim] --pca.c--> two coordinates of greatest variance
 *						|							  |
 *						|							  v start
 *						+--neighbors.c--> nearest --affinity.c--> p --tsne.c--> two coordinates
 *														   ^ quadtree.c: repulsion
 *
 * Pure C over math/: the caller gives the memory, polls, gets a status.  One seed
 * gives the same bits on one machine.
 */
#ifndef MR_MAP_H
#define MR_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MrMapStatus
{
	MR_MAP_OK = 0,
	MR_MAP_STOPPED,				/* poll() asked to stop */
	MR_MAP_FAILED				/* eigenvalues did not converge: the points are not finite */
} MrMapStatus;

/* Called at least every 50 ms of work; true = stop. */
typedef bool (*MrMapPoll) (void *arg);

/*
 * What is mapped: n >= 1 points, finite; for all but mr_map_centre() with mean 0
 * and not longer than 1, as that leaves them.
 */
typedef struct MrMapInput
{
	int			n;
	int			dim;
	const float *x;				/* [n][dim] */
	uint64_t	seed;
	MrMapPoll	poll;
	void	   *poll_arg;
} MrMapInput;

/* centre.c */
extern size_t mr_map_centre_bytes(int dim);
extern MrMapStatus mr_map_centre(const MrMapInput *in, float *x, void *memory);

/* ---- PCA ---- */

/* pca.c */
extern size_t mr_pca_bytes(int n, int dim);
extern MrMapStatus mr_pca(const MrMapInput *in, void *memory, float *y, double share[2]);

/* ---- t-SNE ---- */

typedef struct MrTsneOptions
{
	double		perplexity;		/* > 0; lowered to a third of the other points */
	double		theta;			/* 0 exact ... 0.7 coarse */
	int			iterations;
} MrTsneOptions;

/* tsne.c */
extern double mr_tsne_perplexity(int n, double wanted);
extern size_t mr_tsne_bytes(int n, int dim, double perplexity);
extern MrMapStatus mr_tsne(const MrMapInput *in, const MrTsneOptions *options, void *memory,
						   float *y, double *divergence);

#endif							/* MR_MAP_H */
