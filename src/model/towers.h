/*
 * towers.h
 *		A side's tower: from the point of the id and the features to the point.
 *
 * With p the id's point (a free parameter, or a user's pooled history), x the
 * features and net() the network over them:
 *
 *		id			raw = p							the network has no part
 *		features	raw = net(x)
 *		sum			raw = k p + net(x)
 *		both		raw = net([k p; x])				dual tower, arXiv 2411.06374
 *		prior		raw = p, and the loss gets lambda_f |net(x) - point|^2		CML's L_f
 *
 *		point = raw / |raw| (sphere), raw / max(|raw|, 1) (ball), or raw (none)
 *
 * k is 1, and 0 for a share `id_dropout` of the rows in each step of training, so
 * that the network learns to do without the id.  A row without features keeps its
 * id.  A new row has no id: k = 0, and with "prior" raw = net(x).
 *
 * Rows go through in blocks of MR_NET_BLOCK.  The backward pass computes a block's
 * forward again, from the same state of the random numbers, instead of keeping the
 * hidden layers of all rows: a third more work, and memory that does not grow with
 * the rows.
 */
#ifndef MR_TOWERS_H
#define MR_TOWERS_H

#include "model/net.h"

typedef struct MrSideTower
{
	bool		is_on;			/* features take part */
	MrCombination combination;
	MrConstraint constraint;
	const MrFeatures *features;
	int32_t		n_rows;			/* rows with an id; the features may have more */
	int32_t		width;
	int32_t		stride;
	float		dropout;
	float		id_dropout;
	double		prior;			/* lambda_f */
	MrNet	   *net;
	int32_t		n_list;			/* rows of the step */
	int32_t    *list;			/* [n_rows] */
	uint8_t    *is_listed;		/* [n_rows] */
	MrRng	   *block_rng;		/* [blocks] at the beginning of each block's forward */
	float	   *id;				/* [MR_NET_BLOCK][stride] ids' points */
	float	   *kept_id;		/* [MR_NET_BLOCK][stride] k p */
	float	   *point;			/* [MR_NET_BLOCK][stride] */
	float	   *gradient;		/* [MR_NET_BLOCK][stride] */
	float	   *id_gradient;	/* [MR_NET_BLOCK][stride] */
	float	   *scale;			/* [MR_NET_BLOCK] point = scale raw */
	uint8_t    *is_kept;		/* [MR_NET_BLOCK] k */
} MrSideTower;

/* towers.c */
extern void mr_side_tower_place(MrSideTower *w, MrArena *arena, const MrNetShape *shape, const MrHyper *hyper);
extern void mr_side_tower_layout(MrSideTower *w, MrArena *arena, const MrHyper *hyper, MrCombination combination,
								 const MrFeatures *features, int32_t n_rows, int32_t width, int32_t stride);
extern MrStatus mr_side_tower_start(MrSideTower *w, MrRng *rng, double deviation, MrPoll poll, void *arg);

/* Forward: rows [n], ids [n][stride] or NULL, points [n][stride].  rng NULL: not training. */
extern MrStatus mr_side_tower_points(MrSideTower *w, const int32_t *rows, int32_t n, const float *ids, MrRng *rng,
									 float *points, MrPoll poll, void *arg);
/*
 * Backward of the last forward: gradient [n][stride] with respect to the points,
 * then to the ids.  With "prior" ids are the points, and the feature loss joins.
 */
extern MrStatus mr_side_tower_gradients(MrSideTower *w, const int32_t *rows, int32_t n, const float *ids,
										float *gradient, double scale, double *loss, MrPoll poll, void *arg);

/* The list of rows that a step is about. */
extern void mr_side_tower_list_none(MrSideTower *w);
extern void mr_side_tower_list_all(MrSideTower *w);
extern void mr_side_tower_list(MrSideTower *w, int32_t row);

/* The listed rows of a matrix of points: hat from value, and gradient with respect to value. */
extern MrStatus mr_side_tower_refresh(MrSideTower *w, MrPoints *points, MrRng *rng, MrPoll poll, void *arg);
extern MrStatus mr_side_tower_backward(MrSideTower *w, MrPoints *points, bool only_touched, double scale,
									   double *loss, MrPoll poll, void *arg);

#endif							/* MR_TOWERS_H */
