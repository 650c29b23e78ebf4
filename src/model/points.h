/*
 * points.h
 *		Matrices of points, as the trainer and the networks keep them: values,
 *		constraint, gradient, optimiser.
 */
#ifndef MR_POINTS_H
#define MR_POINTS_H

#include "math/rowmath.h"
#include "model/trainer.h"
#include "util/rng.h"

/* Gives out pieces of one block; with base NULL it only counts. */
typedef struct MrArena
{
	char	   *base;
	size_t		used;
	bool		overflow;
	/* memory that a team shares: places for that many members, who is this one, of how many */
	int32_t		members;
	int32_t		rank;
	int32_t		size;
} MrArena;

/*
 * A matrix of points with what the optimiser keeps for each.
 *
 * `value` is what is learned, `hat` the point itself: value / |value| on the
 * sphere, otherwise value.  Losses read `hat` and leave the gradient with respect
 * to it in `gradient`; mr_points_step() takes it from there to `value`.
 * All rows are padded (rowmath.h): `stride` floats, the first `width` are used.
 */
typedef struct MrPoints
{
	int32_t		n;
	int32_t		width;
	int32_t		stride;
	MrConstraint constraint;
	MrOptimizer optimizer;
	float	   *value;			/* [n][stride] */
	float	   *hat;			/* [n][stride]; may be the same memory as value */
	float	   *inverse_norm;	/* [n], sphere only */
	float	   *first;			/* [n][stride] Adam's mean of gradients */
	float	   *second;			/* [n][stride] mean (Adam) or sum (AdaGrad) of their squares */
	float	   *power1;			/* [n] beta1^steps of the row, Adam */
	float	   *power2;			/* [n] beta2^steps of the row */
	int32_t    *last_step;		/* [n] step up to which the row drifted, or NULL: see points.c */
	float	   *no_gradient;	/* [stride] zeroes, with last_step */
	float	   *gradient;		/* [n][stride] or NULL, zero where not touched */
	uint8_t    *is_touched;		/* [n] or NULL: the gradient is dense; MR_LISTED, MR_TOUCHED or 0 */
	int32_t    *touched;		/* [n] rows with a gradient in this batch */
	int32_t		n_touched;
	/* with a team (team.c): those of all members, the pieces above being this one's */
	int32_t		rank;
	int32_t		size;			/* members, 0 or 1 without a team */
	float	   *gradients;		/* [members][n][stride] */
	uint8_t    *marks;			/* [members][n] is_touched */
	int32_t    *lists;			/* [members][n] touched */
	int32_t    *counts;			/* [members] n_touched */
} MrPoints;

/* Why a row is in the list of touched ones. */
#define MR_LISTED 1				/* it will be read */
#define MR_TOUCHED 2			/* it has a gradient */

/* A walk over rows, see mr_team_next_row(). */
typedef struct MrRowWalk
{
	int32_t		row;
	int32_t		member;
	int32_t		at;
} MrRowWalk;

/* The moment of a step. */
typedef struct MrStep
{
	int64_t		number;			/* from 1 */
	double		rate;
	double		weight_decay;
} MrStep;

/* What mr_points_layout() gives to a matrix. */
#define MR_POINTS_OWN_HAT 1		/* hat is a copy even without normalisation */
#define MR_POINTS_GRADIENT 2	/* a gradient per row */
#define MR_POINTS_SPARSE 4		/* a list of touched rows */
#define MR_POINTS_DRIFT 8		/* Adam moves rows between their gradients, too */

/* Multiplications, or what takes as long, between two polls: some milliseconds. */
#define MR_POLL_WORK (4 * 1024 * 1024)

/* Multiplications of one matrix product between two polls. */
#define MR_POLL_PRODUCT (512 * 1024 * 1024)

/* trainer.c */
extern void *mr_arena_take(MrArena *arena, size_t count, size_t size);

/* points.c */
extern void mr_points_layout(MrPoints *p, MrArena *arena, int32_t n, int32_t width, int32_t stride,
							 const MrHyper *hyper, int flags);
extern MrStatus mr_points_start(MrPoints *p, MrRng *rng, double deviation, MrPoll poll, void *arg);
extern void mr_points_step(MrPoints *p, const MrRowMath *math, const MrStep *step, int32_t row, float *gradient);
extern void mr_points_refresh(MrPoints *p, const MrRowMath *math, int32_t row);
extern void mr_points_drift(MrPoints *p, const MrRowMath *math, const MrStep *step, int32_t row);
extern float *mr_points_touch(MrPoints *p, int32_t row);
extern void mr_points_list(MrPoints *p, int32_t row);

/* team.c */
extern void mr_team_publish(MrPoints *p);
extern bool mr_team_next_row(MrPoints *p, const MrRowMath *math, bool only_touched, MrRowWalk *walk);
extern bool mr_team_next_listed(MrPoints *p, MrRowWalk *walk);

#endif							/* MR_POINTS_H */
