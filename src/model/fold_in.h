/*
 * fold_in.h
 *		A user who was not trained, from liked items: a few exact gradient steps of the
 *		model's own loss with the items fixed.
 *
 * With the softmax the first step is none of the loss: it counts the mean a of the
 * trained users in, as two likes more.  Of one who has liked little the items alone say
 * too much.  With the hinges it won nothing, and lost much where radii are free.
 *
 *		u = normalise(SUM v + 2 a)		pooled tower, or points on the sphere
 *		u = (SUM v + 2 a) / (n + 2)		else
 *
 * The negatives of the loss are a sample of the items that the version has stored,
 * each with the weight that makes the sample stand for all items, so that nothing
 * else is read.  Points are stored ones: with a bias, their last coordinate is
 * sqrt(T (b_max - b)), 0 in the user (tower.h), so that -d^2 / T + b of the loss is
 * -d^2 / T of stored points up to a constant.
 *
 * With likes t = 1..n, negatives j of weight w_j that are not liked, distances d:
 *
 *	softmax		mean over t of  log(exp(z_t) + SUM_j w_j exp(z_j)) - z_t,	z = -d^2 / T
 *	hinges		mean over t of  c_t SUM_j r_j [m + D_t - D_j]+,	SUM_j w_j = 1
 *
 * which is the mean of the trainer's loss over its random draws.  To the softmax comes
 * a Gaussian around the mean a of the trained users with their variance s^2 of a
 * coordinate:  + c / (2 n s^2) |u - a|^2, c < 1.  Hinges have no scale on which the two
 * could be added, and go without.
 *
 *	cml			D = d^2, triplet D = d
 *	each draw	r = w (triplet)
 *	nearest		r_j = (1 - W_<j)^U - (1 - W_<=j)^U is the chance that j is the nearest of U
 *				draws, W_<j the weight of what is nearer (cml; triplet with "hardest")
 *	c_t			1, or with the rank weight log(floor(J p_t) + 1), p_t the weight of the
 *				negatives whose hinge is positive: the rank at its mean.  As in the
 *				trainer it is a factor, not a function of the user: it has no gradient
 *	w			of the sampler: uniform, or ~ count^exponent.  Two-stage: that of its first
 *				stage; the second, which looks for negatives like the positive, is left out.
 *
 * A version of ALS has no sample: the user is the solution of a least squares problem
 * (fold_in_als.c).  One of BPR is not folded in: the mean of the likes stands for the user.
 *
 * The user is then a free point under the version's constraint, whatever the tower;
 * only the first step makes a pooled tower's user of length 1 in any case.
 */
#ifndef MR_FOLD_IN_H
#define MR_FOLD_IN_H

#include "model/trainer.h"

/* The sample has at most so many items, and at most so many coordinates. */
#define MR_FOLD_IN_ITEMS 1024
#define MR_FOLD_IN_FLOATS (1 << 20)

/* Likes beyond this leave the mean as it is: it is good, and they would take long. */
#define MR_FOLD_IN_MAX_LIKES 10000

typedef struct MrFoldIn
{
	MrLoss		loss;
	MrConstraint constraint;
	bool		item_bias;
	bool		pooled;			/* the tower's users are of length 1, whatever the constraint */
	bool		nearest;		/* hinges: of the draws, the nearest counts */
	bool		rank_weight;
	int32_t		draws;			/* U */
	int32_t		n_items;		/* J */
	double		temperature;
	double		margin;
	double		prior;			/* 1 / s^2 of the trained users; 0: none */
	int32_t		dimensions;		/* of a stored point */
	int32_t		stride;			/* floats of a row, padded (math/rowmath.h) */
	int32_t		n;				/* items of the sample */
	float	   *weight;			/* [n] log(w) (softmax) or w, SUM = 1 (hinges) */
	float	   *points;			/* [n][stride], ascending in the first coordinate */
	float	   *mean;			/* [stride] a, the mean of the trained users */
	/* scratch */
	uint8_t    *is_liked;		/* [n] */
	float	   *distance;		/* [n] squared */
	float	   *factor;			/* [n] */
	int32_t    *order;			/* [n] */
	float	   *push;			/* [n] */
	float	   *row;			/* [2][stride] */
	/* a version of ALS has, beside dimensions, stride and n_items, these only */
	bool		least_squares;
	double		unobserved_weight;	/* a0 */
	double		regularization; /* lambda / M^2 */
	double	   *diagonal;		/* [dimensions - 1] a0 G */
	double	   *normal;			/* [dimensions - 1]^2 scratch */
	double	   *right;			/* [2][dimensions - 1] scratch */
} MrFoldIn;

/* fold_in_store.c */
extern int32_t mr_fold_in_sample_size(const MrHyper *hyper, int32_t n_items);
extern size_t mr_fold_in_bytes(const MrHyper *hyper, int32_t n_items);
extern size_t mr_fold_in_write(const MrHyper *hyper, float radius, const int32_t *item_count, int32_t n_items, const float *items,
							   int32_t n_users, const float *users, uint8_t *bytes,
							   MrPoll poll, void *arg);
extern size_t mr_fold_in_memory(const uint8_t *bytes, size_t n);
extern MrFoldIn *mr_fold_in_read(void *memory, const uint8_t *bytes, size_t n);

/* fold_in.c: likes [n][stride], padded with zeroes */
extern void mr_fold_in_likes(MrFoldIn *f, const float *likes, int32_t n);
extern double mr_fold_in_loss(MrFoldIn *f, const float *likes, int32_t n, const float *user, float *gradient);
extern MrStatus mr_fold_in_solve(MrFoldIn *f, const float *likes, int32_t n, int32_t steps, float *user,
								 MrPoll poll, void *arg);

#endif							/* MR_FOLD_IN_H */
