/*
 * als_state.h
 *		The inside of ALS; nobody but its files, what runs it on several processes,
 *		and the unit tests includes it.
 *
 *	als.c		memory, start, one sweep, points out
 *	als_solve.c	the other side's Gram matrix and its axes, the rows' least squares
 *	als_team.c	several processes at one sweep
 *
 * A sweep solves the items given the users, then the users given the items, so that
 * at the end each user is the exact answer to the items as they are.  One half:
 *
 *		start			once per training
 *		  gram(a,b)		the Gram matrix of the given side's rows a to b; sums add up
 *		  axes			its eigenvectors
 *		  turn(a,b)		rows a to b of the given side in the basis of these
 *		  solve(a,b)	rows a to b of the other side
 *
 * Ranges of one stage may be taken in any order and by several processes, each with
 * an MrAlsScratch of its own; a stage begins when the one before is through.
 */
#ifndef MR_ALS_STATE_H
#define MR_ALS_STATE_H

#include "math/rowmath.h"
#include "model/als.h"
#include "model/points.h"
#include "util/rng.h"

typedef enum MrAlsSideName
{
	MR_ALS_USERS,
	MR_ALS_ITEMS
} MrAlsSideName;

/* The rows of a side, with their interactions. */
typedef struct MrAlsSide
{
	int32_t		n;
	const int64_t *start;		/* [n + 1] where a row's pairs begin */
	const int32_t *columns;		/* [n_pairs] rows of the other side, ascending in a row */
	const float *weights;		/* [n_pairs] or NULL: all 1 */
	float	   *points;			/* [n][stride] zero behind the width */
} MrAlsSide;

/* Where the members of a team (team.h) leave word for each other. */
typedef struct MrAlsBoard
{
	double		sums[MR_TEAM_MOST][3];	/* objective, penalty, whether it failed */
	double		weight_sum;		/* the leader's, as the two below */
	int32_t		sweep;
	bool		has_start;
	bool		failed;			/* there are no axes */
} MrAlsBoard;

/* Of one process. */
typedef struct MrAlsScratch
{
	float	   *panel;			/* [panel_rows][stride] gathered rows */
	float	   *normal;			/* [stride][stride] the matrix of a row's normal equations */
	float	   *diagonal;		/* [stride] of the regular part */
	float	   *root;			/* [stride] diagonal ^ -1/2 */
	float	   *vector;			/* [4][stride] */
	float	   *factor;			/* [panel_rows] */
	int32_t    *place;			/* [panel_rows] 0, 1, 2 ... */
	int64_t		unpolled;		/* work since the last poll */
} MrAlsScratch;

struct MrAls
{
	MrHyper		hyper;
	const MrInteractions *x;
	const MrRowMath *math;
	int32_t		width;			/* dimensions without the extra one */
	int32_t		stride;
	int32_t		panel_rows;
	bool		started;
	bool		has_start;		/* with given items: the users come first */
	int32_t		sweep;			/* sweeps done */
	MrAlsSide	side[2];		/* by MrAlsSideName */
	int64_t    *item_start;		/* [n_items + 1] the items' interactions: x transposed */
	int32_t    *item_users;		/* [n_pairs] */
	float	   *item_weights;	/* [n_pairs] or NULL */
	double	   *gram;			/* [width][width] upper part; then eigenvectors as rows */
	double	   *spectrum;		/* [width] eigenvalues of the given side's Gram matrix */
	double	   *eigen_doubles;
	int		   *eigen_ints;
	float	   *axes;			/* [width][stride] eigenvectors as rows */
	double		items_penalty;	/* the regularisation term of the items, as they were solved */
	double		weight_sum;		/* of all interactions */
	float		radius;			/* the longest item's length, as last exported */
	MrTeam		team;			/* with one, what is above but for gram and eigen_... is shared */
	MrAlsBoard *board;
	double	   *grams;			/* [members][width][width] */
	MrAlsScratch scratch;
};

/* Multiplications in matrix products, or what takes as long, between two polls: some milliseconds. */
#define MR_ALS_POLL_WORK (64 * 1024 * 1024)

/* Count work and poll when enough of it is done; true = stop. */
static inline bool
mr_als_tick(MrAlsScratch *scratch, int64_t work, MrPoll poll, void *arg)
{
	scratch->unpolled += work;
	if (scratch->unpolled < MR_ALS_POLL_WORK)
		return false;
	scratch->unpolled = 0;
	return poll && poll(arg);
}

/* als.c */
extern void mr_als_scratch_layout(const MrAls *als, MrAlsScratch *scratch, MrArena *arena);
extern MrStatus mr_als_start(MrAls *als, MrPoll poll, void *arg);

/* als_team.c */
extern MrStatus mr_als_team_begin(MrAls *als);
extern MrStatus mr_als_team_half_sweep(MrAls *als, MrAlsSideName side, double *objective, double *penalty,
									   MrPoll poll, void *arg);

/* als_solve.c */
extern MrStatus mr_als_gram(const MrAls *als, MrAlsSideName given, int32_t first, int32_t end,
							double *gram, MrAlsScratch *scratch, MrPoll poll, void *arg);
extern MrStatus mr_als_axes(MrAls *als);
extern MrStatus mr_als_turn(const MrAls *als, MrAlsSideName side, int32_t first, int32_t end,
							MrAlsScratch *scratch, MrPoll poll, void *arg);
extern MrStatus mr_als_solve(const MrAls *als, MrAlsSideName side, int32_t first, int32_t end,
							 MrAlsScratch *scratch, double *objective, double *penalty, MrPoll poll, void *arg);

#endif							/* MR_ALS_STATE_H */
