/*
 * kmeans.h
 *		k-means over coded rows: how a build learns its centres.
 *
 * Centres are codes themselves, as a page has them, so that training and
 * assigning see the same distances as an insert and a scan will.  They lie in
 * panels (math/panelmath.h).
 *
 * A training runs in steps of a few milliseconds, so that the caller can look
 * for interrupts in between.  It is repeatable: the same rows and seed give the
 * same centres on every machine.
 *
 * Pure C: the caller gives the memory.
 */
#ifndef MR_KMEANS_H
#define MR_KMEANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash/code.h"
#include "math/panelmath.h"

/* ---- centres ---- */

typedef struct MrCentres
{
	int			n;
	int			dim;
	int8_t	   *panels;			/* mr_panel_count(n) of them */
	float	   *scale;			/* padded to whole panels with 0 */
	float	   *norm;			/* padded with infinity: nothing is near the padding */
} MrCentres;

/* One of the centres that are nearest to a row. */
typedef struct MrNear
{
	float		value;			/* |x^ - c^|^2 - |x^|^2 */
	int32_t		centre;			/* -1 = none */
} MrNear;

extern size_t mr_centres_size(int n, int dim);	/* bytes, a multiple of 64 */
extern void mr_centres_init(MrCentres *centres, int n, int dim, void *memory);	/* memory at a multiple of 64 */
extern void mr_centres_attach(MrCentres *centres, int n, int dim, void *memory);	/* memory that was filled elsewhere */
extern void mr_centres_set(MrCentres *centres, int i, const int8_t *code, float scale, float norm);
extern void mr_centres_get(const MrCentres *centres, int i, int8_t *code, float *scale, float *norm);

/*
 * Up to MR_PANEL_ROWS rows, widened.  Merges the centres first .. last - 1 into
 * near[r][0 .. m-1], the m nearest seen so far, ascending; of equally near ones
 * the later comes first.
 */
extern void mr_centres_nearest(const MrCentres *centres, int first, int last,
							   const int16_t *const rows[MR_PANEL_ROWS], const float *scales, int n_rows,
							   int m, MrNear *const near[MR_PANEL_ROWS]);

/* cell[i] of rows from .. to - 1 is the nearest centre; wide has mr_wide_size(dim) bytes. */
extern size_t mr_wide_size(int dim);
extern void mr_centres_assign(const MrCentres *centres, const MrCodeRows *rows, int from, int to,
							  void *wide, int32_t *cell, float *distance);

/* Rows for which n_centres distances of dim coordinates take a few milliseconds. */
extern int	mr_rows_per_step(int n_centres, int dim);

/* ---- training ---- */

typedef struct MrKmeans
{
	MrCodeRows	rows;			/* none of them wild */
	int			rounds;			/* still to do */
	int			at;				/* next row of the round */
	MrCentres	centres;		/* the result, when the last step is done */
	float	   *sum;			/* [k][dim], of the rows seen in this round */
	int32_t    *count;			/* [k]; at the end: 0 = the cell got no row in the last round */
	int32_t    *cell;			/* [n] */
	float	   *distance;		/* [n], squared, to the centre of the cell */
	int8_t	   *code;			/* [dim], scratch */
	void	   *wide;
} MrKmeans;

extern size_t mr_kmeans_size(int n, int k, int dim);	/* bytes */
extern void mr_kmeans_begin(MrKmeans *kmeans, const MrCodeRows *rows, int k, int rounds, uint64_t seed,
							void *memory);	/* 1 <= k <= rows->n; memory at a multiple of 64 */
extern bool mr_kmeans_step(MrKmeans *kmeans);	/* false: that was the last step */

#endif							/* MR_KMEANS_H */
