/*
 * als.h
 *		Implicit alternating least squares: interactions in, points out.
 *
 * Hu, Koren and Volinsky (ICDM 2008) in the form of Rendle, Krichene, Zhang and
 * Koren ("Revisiting the Performance of iALS on Item Recommendation Benchmarks",
 * RecSys 2022).  With x_u for users and y_i for items, w for the weight of an
 * interaction (1 unless given), it minimises
 *
 *		SUM over observed (u,i) of w (x_u.y_i - 1)^2
 *		+ a0 SUM over all (u,i) of (x_u.y_i)^2
 *		+ SUM over rows z of either side of lambda (n_z + a0 n_other) |z|^2
 *
 * where n_z is the sum of the row's weights and n_other the number of rows of the
 * other side (frequency-scaled regularisation, their nu = 1).  Given one side, each
 * row of the other is the solution of a least squares problem of its own.
 *
 * Driven like the trainer (trainer.h), with which it shares hyper-parameters, status
 * and poll:
 *
 *		bytes = mr_als_bytes(&hyper, &x)
 *		als = mr_als_init(memory, bytes, &hyper, &x, &status)
 *		while (sweep < hyper.epochs)
 *			status = mr_als_sweep(als, poll, arg, &result)
 *		mr_als_export(als, hyper.dimensions, users, items, poll, arg)
 *
 * The scores are dot products; what is exported ranks the same by distance, see
 * dot_points.h, which takes one extra coordinate.  A user without interactions is 0 in
 * all coordinates.
 */
#ifndef MR_ALS_H
#define MR_ALS_H

#include "model/points.h"
#include "model/trainer.h"

/* Coordinates of a row without the extra one: an eigen decomposition of this size takes .3 s. */
#define MR_ALS_MAX_WIDTH 1024

typedef struct MrAls MrAls;

/* als.c */
extern size_t mr_als_bytes(const MrHyper *hyper, const MrInteractions *x);
extern MrAls *mr_als_init(void *memory, size_t bytes, const MrHyper *hyper, const MrInteractions *x,
						  MrStatus *status);
extern MrAls *mr_als_join(const MrHyper *hyper, const MrInteractions *x, const MrTeam *team,
						  MrArena *shared, MrArena *own);
extern MrStatus mr_als_set_start(MrAls *als, const MrStart *start, MrPoll poll, void *arg);
extern MrStatus mr_als_sweep(MrAls *als, MrPoll poll, void *arg, MrEpochResult *result);
extern MrStatus mr_als_export(MrAls *als, int32_t dimensions, float *users, float *items,
							  MrPoll poll, void *arg);
extern void mr_als_describe(const MrAls *als, MrTower *tower);

#endif							/* MR_ALS_H */
