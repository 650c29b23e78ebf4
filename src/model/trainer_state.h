/*
 * trainer_state.h
 *		The inside of the trainer; nobody but src/model's trainer files and the
 *		unit tests includes it.
 *
 *	trainer.c	memory, random start, one epoch, description
 *	start.c		given points to start from, start_towers.c networks
 *	points.c	a matrix of points: constraint, optimiser step
 *	softmax.c	epoch of the softmax loss, softmax_batch.c its matrix products,
 *				softmax_shared.c its negatives when items are many
 *	hinge.c		epoch of the hinge losses (CML, triplet), covariance.c its regulariser
 *	tags.c		epoch of the tags' loss: a softmax, too
 *	sampler.c	negatives;  two_stage.c  those of arXiv 1909.10912
 *	towers.c	points from ids and features, net.c the network in them
 *	export.c	points out, light propagation
 *	team.c		several processes at one training
 */
#ifndef MR_TRAINER_STATE_H
#define MR_TRAINER_STATE_H

#include "math/rowmath.h"
#include "math/topk.h"
#include "model/als.h"
#include "model/bpr.h"
#include "model/embedder.h"
#include "model/points.h"
#include "model/team.h"
#include "model/towers.h"
#include "model/trainer.h"
#include "util/rng.h"

/* Alias table: one draw costs one random number. */
typedef struct MrAlias
{
	int32_t		n;
	float	   *threshold;		/* [n] */
	int32_t    *other;			/* [n] */
} MrAlias;

/*
 * What a softmax ranks: the columns, and which of them belong to a row.  Items
 * for users, or tags for posts.
 */
typedef struct MrRanked
{
	const MrInteractions *lists;	/* per row its positives among the columns */
	MrPoints   *points;			/* of the columns */
	double		temperature;
	const float *item_weight;	/* [columns] what a target's weight is multiplied by, or NULL: 1 */
	float	   *bias;			/* [columns], or NULL as the two below */
	float	   *bias_first;
	float	   *bias_second;
} MrRanked;

/*
 * Scratch of a softmax loss.  A batch of users (of posts, for tags) is handled in groups of at most
 * group_rows users and group_pairs of their pairs; columns are the items (full)
 * or the shared negatives (sampled), in tiles of tile_columns.
 */
typedef struct MrSoftmax
{
	MrRanked	ranked;
	bool		sampled;		/* columns are shared negatives, not all */
	int32_t		group_rows;
	int64_t		group_pairs;
	int32_t		tile_columns;
	int32_t		n_columns;
	int32_t		n_tiles;
	int32_t		n_rows;			/* rows of the current group */
	float	   *weight;			/* [n_tiles][group_rows][tile_columns] logits, then exp, then coefficients */
	float	   *user;			/* [group_rows][stride] users' points, 1 in the extra coordinate */
	float	   *scaled;			/* [group_rows][stride] the same times the row's factor */
	float	   *back;			/* [group_rows][stride] gradients of the users' points */
	float	   *id;				/* [group_rows][stride] users' points before the tower, with features only */
	float	   *inverse_norm;	/* [group_rows] of the pooled sums */
	float	   *shift;			/* [group_rows] taken off the logits before exp */
	float	   *factor;			/* [group_rows] dL/dlogit = factor * exp(logit - shift) */
	double	   *sum;			/* [group_rows] SUM over the negatives of exp(logit - shift) */
	int32_t    *row_user;		/* [group_rows] row of the lists */
	int64_t    *row_pair;		/* [group_rows + 1] where the row's pairs start below */
	int64_t    *row_next;		/* [group_rows] the row's first pair in a later tile */
	int64_t    *row_input;		/* [group_rows] items pooled */
	uint8_t    *is_target;		/* [group_pairs] */
	float	   *target_logit;	/* [group_pairs] */
	float	   *target_exp;		/* [group_pairs] */
	int32_t    *column;			/* [group_pairs] column of the pair's item, -1 none */
	int32_t    *input;			/* [group_pairs] items of the pooled half, packed per row */
	/* shared negatives, sampled only */
	int32_t    *drawn;			/* [negatives] */
	int32_t    *column_of;		/* [n_items], -1: not drawn */
	float	   *correction;		/* [negatives] added to the extra coordinate */
	float	   *column_point;	/* [negatives][stride] */
	float	   *column_gradient;	/* [negatives][stride] */
} MrSoftmax;

/* Scratch of the hinge losses. */
typedef struct MrHinge
{
	uint32_t   *order;			/* [n_pairs] pairs in the order of the epoch */
	int32_t    *pair_user;		/* [n_pairs] */
	bool		has_bitmap;
	uint8_t    *bitmap;			/* [n_users][bitmap_bytes] likes, or NULL if too large */
	size_t		bitmap_bytes;
	int32_t    *draws;			/* [negatives] of one positive */
	float	   *distances;		/* [negatives] the loss's distances to them */
	/* two-stage */
	int32_t		n_candidates;
	int32_t		drawn_candidates;	/* fewer if not so many items were ever liked */
	float	   *snapshot;		/* [n_items][stride] unit item points of some batches ago */
	int32_t    *candidates;		/* [n_candidates] */
	uint8_t    *is_candidate;	/* [n_items], all 0 between batches */
	MrTopItem  *rest;			/* [n_candidates] */
	float	   *candidate_points;	/* [n_candidates][stride] */
	float	   *positive_points;	/* [MR_TWO_STAGE_ROWS][stride] */
	float	   *cosines;		/* [MR_TWO_STAGE_ROWS][n_candidates], then the weights */
	double	   *weight_sum;		/* [MR_TWO_STAGE_ROWS] */
	int32_t		n_blocks;
	float	   *block_sums;		/* [MR_TWO_STAGE_ROWS][n_blocks] */
	int32_t    *batch_draws;	/* [pairs of a member's part][negatives], with a team and drift only */
	/* covariance */
	float	   *covariance_points;	/* [rows of a part][stride] */
	float	   *covariance_gradient;	/* [rows of a part][stride] */
	float	   *covariance_matrix;	/* [stride][stride] */
	double	   *covariance_mean;	/* [stride] */
	float	   *covariance_matrices;	/* [members][stride][stride] with a team */
	double	   *covariance_means;	/* [members][stride] */
} MrHinge;

/* The tags, if there are any; see tags.c. */
typedef struct MrTags
{
	const MrPosts *posts;		/* NULL: none */
	int64_t		steps_per_epoch;
	MrPoints	points;
	MrSoftmax	softmax;
	uint32_t   *order;			/* [n_posts] shuffled each epoch */
	float	   *user;			/* [group_rows][stride] the rows' users */
	float	   *user_inverse;	/* [group_rows] inverse norms of their pooled sums */
	int64_t    *pool_first;		/* [group_rows] where the pooled part of the history starts */
	float		logit;			/* of the user's weight w in a query */
	float		logit_first;
	float		logit_second;
	float		logit_power1;
	float		logit_power2;
	double		logit_gradient;
} MrTags;

/* What the leader knows and all members of a team must. */
typedef struct MrTeamState
{
	MrRng		rng;
	int32_t		epoch;
	int64_t		step;
	double		popularity_sum;
	float		logit[5];		/* of the tags' user weight, with what the optimiser keeps */
} MrTeamState;

#define MR_TEAM_SUMS 8

/* Where the members of a team leave word for each other. */
typedef struct MrTeamBoard
{
	MrTeamState state;
	double		sums[2][MR_TEAM_MOST][MR_TEAM_SUMS];
} MrTeamBoard;

/*
 * With a team the pieces marked (s) are shared by its members, who change them only
 * where the epoch's phases allow it; the others are each member's own.
 */
struct MrTrainer
{
	MrHyper		hyper;
	const MrInteractions *x;
	const MrRowMath *math;
	MrTeam		team;
	MrTeamBoard *board;			/* (s) with a team */
	uint32_t	sum_round;
	MrRng		rng;			/* with a team: the same in all members */
	MrRng		own_rng;		/* with a team: for draws of this member only */
	int32_t		width;			/* coordinates without the bias */
	int32_t		stride;			/* floats of a row */
	int32_t		gemm_width;		/* coordinates of the matrix products */
	bool		sampled;		/* softmax with shared negatives */
	bool		extra;			/* the products have an extra coordinate: bias, -|v|^2/2, correction */
	bool		started;		/* mr_trainer_start() is through */
	int32_t		epoch;			/* epochs done */
	int64_t		step;			/* steps done */
	int64_t		unpolled;		/* work since the last poll, see mr_trainer_tick() */
	int64_t		steps_per_epoch;
	int32_t		n_active;		/* users with a positive */
	uint32_t   *active;			/* (s) [n_active] their numbers, shuffled each epoch */
	int64_t		n_active_pairs;
	int32_t    *item_count;		/* (s) [n_items] interactions of each item */
	float	   *item_weight;	/* (s) [n_items] of its interactions, or NULL: 1; see propensity.c */
	MrPoints	items;			/* (s) */
	MrPoints	users;			/* (s) free tower only */
	MrSideTower item_tower;		/* on, if the items have features */
	MrSideTower user_tower;
	float	   *bias;			/* (s) [n_items], item_bias only, as the two below */
	float	   *bias_first;
	float	   *bias_second;
	bool		blends;			/* there is a start that keeps a share of what is exported */
	float	   *start_items;	/* (s) [n_items][stride] its points, with a share only, as the two below */
	float	   *start_users;	/* (s) [n_users][stride] */
	float	   *start_bias;		/* (s) [n_items] */
	MrAlias		alias;			/* (s) popularity */
	double		popularity_sum; /* SUM of count ^ popularity_exponent */
	float	   *export_row;		/* [2][stride] */
	MrSoftmax	softmax;
	MrHinge		hinge;
	MrTags		tags;

	/* a factorisation: one of these is all there is */
	void	   *factors;		/* [factors_bytes] its memory */
	size_t		factors_bytes;
	MrAls	   *als;
	MrBpr	   *bpr;
};

static inline bool
mr_trainer_has_team(const MrTrainer *t)
{
	return t->team.size > 1;
}

/* The random numbers for what only this member does. */
static inline MrRng *
mr_trainer_own_rng(MrTrainer *t)
{
	return mr_trainer_has_team(t) ? &t->own_rng : &t->rng;
}

/* Adam's constants and the learning rate of the bias relative to the points'. */
#define MR_ADAM_BETA1 0.9f
#define MR_ADAM_BETA2 0.999f
#define MR_ADAM_EPSILON 1e-8f
#define MR_BIAS_RATE 0.3f

/* The rate of networks with hidden layers under the softmax, relative to the points'. */
#define MR_NET_RATE 0.1

/* TensorFlow's start value of AdaGrad's sums, which CML's released code uses. */
#define MR_ADAGRAD_START 0.1f

/*
 * Count work and poll when enough of it is done; true = stop.  Rows may be of
 * any width and histories of any length, so loops count work and not rounds.
 */
static inline bool
mr_trainer_tick(MrTrainer *t, int64_t work, MrPoll poll, void *arg)
{
	t->unpolled += work;
	if (t->unpolled < MR_POLL_WORK)
		return false;
	t->unpolled = 0;
	return poll && poll(arg);
}

/* Rows that may be summed up between two polls. */
static inline int64_t
mr_trainer_part(const MrTrainer *t)
{
	int64_t		rows = MR_POLL_WORK / t->stride;

	return rows > 1024 ? rows : 1024;
}

/* trainer.c */
extern MrStatus mr_trainer_start(MrTrainer *t, MrPoll poll, void *arg);
extern MrStep mr_trainer_step_now(const MrTrainer *t);
extern MrStatus mr_trainer_step_towers(MrTrainer *t, const MrStep *step, MrPoll poll, void *arg);
extern MrStatus mr_trainer_shuffle(MrTrainer *t, uint32_t *values, uint32_t n, MrPoll poll, void *arg);

/* team.c */
extern bool mr_team_barrier(const MrTrainer *t);
extern MrStatus mr_team_shuffle(MrTrainer *t, uint32_t *values, uint32_t n, MrPoll poll, void *arg);
extern MrStatus mr_team_sum(MrTrainer *t, double *values, int32_t n);
extern MrStatus mr_team_sum_result(MrTrainer *t, MrEpochResult *result, double *loss, double *weight, double *prior);
extern MrStatus mr_points_step_touched(MrTrainer *t, MrPoints *points, const MrStep *step, MrPoll poll, void *arg);
extern void mr_team_part(const MrTrainer *t, int64_t *first, int64_t *end);

/* softmax.c */
extern void mr_softmax_layout(MrTrainer *t, MrSoftmax *s, int32_t most_rows, MrArena *arena);
extern MrStatus mr_softmax_start(MrTrainer *t, MrSoftmax *s, MrPoll poll, void *arg);
extern void mr_softmax_start_own(MrSoftmax *s);
extern MrStatus mr_softmax_refresh(MrTrainer *t, MrSoftmax *s, MrPoll poll, void *arg);
extern MrStatus mr_softmax_epoch(MrTrainer *t, MrPoll poll, void *arg, MrEpochResult *result);
extern MrStatus mr_softmax_step_columns(MrTrainer *t, MrSoftmax *s, const MrStep *step, bool only_touched,
										double *loss, MrPoll poll, void *arg);
extern MrStatus mr_softmax_refresh_items(MrTrainer *t, MrPoll poll, void *arg);
extern void mr_softmax_step_number(const MrTrainer *t, double rate, float *value, float *first, float *second,
								   float power1, float power2, float gradient);

/* softmax_shared.c */
extern MrStatus mr_softmax_draw(MrTrainer *t, MrPoll poll, void *arg);
extern MrStatus mr_softmax_gather(MrTrainer *t, MrPoll poll, void *arg);
extern MrStatus mr_softmax_scatter(MrTrainer *t, MrPoll poll, void *arg);

/* softmax_batch.c */
extern MrStatus mr_softmax_group(MrTrainer *t, MrSoftmax *s, int32_t rows, double gradient_scale,
								 MrPoll poll, void *arg, double *loss, double *weight);

/* start_towers.c */
extern MrStatus mr_start_towers(MrTrainer *t, const MrStart *start, MrPoll poll, void *arg);

/* tags.c */
extern void mr_tags_set_user_weight(MrTags *tags, double weight);
extern bool mr_tags_only(const MrHyper *hyper, const MrPosts *posts);
extern void mr_tags_layout(MrTrainer *t, MrArena *shared, MrArena *own);
extern MrStatus mr_tags_start(MrTrainer *t, MrPoll poll, void *arg);
extern MrStatus mr_tags_epoch(MrTrainer *t, MrPoll poll, void *arg, MrEpochResult *result);
extern double mr_tags_user_weight(const MrTags *tags);

/* hinge.c */
extern void mr_hinge_layout(MrTrainer *t, MrArena *shared, MrArena *own);
extern MrStatus mr_hinge_start(MrTrainer *t, MrPoll poll, void *arg);
extern MrStatus mr_hinge_epoch(MrTrainer *t, MrPoll poll, void *arg, MrEpochResult *result);

/* sampler.c */
extern void mr_alias_layout(MrAlias *alias, MrArena *arena, int32_t n);
extern MrStatus mr_alias_fill(MrAlias *alias, const int32_t *count, double exponent, double *sum,
							  MrPoll poll, void *arg);
extern int32_t mr_alias_draw(const MrAlias *alias, MrRng *rng);
extern bool mr_sampler_likes(const MrTrainer *t, int32_t user, int32_t item);
extern int32_t mr_sampler_uniform(MrTrainer *t, int32_t user);
extern int32_t mr_sampler_popular(MrTrainer *t, int32_t user);

#endif							/* MR_TRAINER_STATE_H */
