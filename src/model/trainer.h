/*
 * trainer.h
 *		The trainer core: interactions in, points out.
 *
 * Pure C over math/: no PostgreSQL type, no allocation, no jump, no thread.
 * The caller gives the memory, drives the epochs one by one and may stop at
 * any time:
 *
 *		mr_recipe_fill(&hyper, set, &x)			what is not set, from the data; mr_recipe_fill_tags()
 *												if there may be posts
 *		bytes = mr_trainer_bytes(&hyper, &x, posts)	check against the limit
 *		t = mr_trainer_init(memory, bytes, &hyper, &x, posts)
 *		mr_trainer_set_start(t, &start, ...)	or else the points begin at random
 *		while (epoch < hyper.epochs)
 *			status = mr_trainer_epoch(t, poll, arg, &result)
 *		mr_trainer_export(t, users, items), mr_trainer_export_tags(t, tags)
 *
 * The factorisations, hyper.algorithm ALS and BPR, are driven by the same functions and
 * leave points of the same form; they know neither features nor tags.
 *
 * With one seed, two runs on one machine give the same points bit for bit.
 *
 * With a team (team.h) each member has a trainer over the same shared memory.  The
 * members call mr_trainer_epoch() together, everything else is the leader's:
 *
 *		mr_trainer_team_bytes(&hyper, &x, posts, members, &shared, &own)
 *		t = mr_trainer_join(&team, ...)
 *		while (epoch < hyper.epochs)
 *			status = mr_trainer_epoch(t, poll, arg, &result)
 */
#ifndef MR_TRAINER_H
#define MR_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/features.h"
#include "model/interactions.h"
#include "model/team.h"
#include "model/tower.h"

typedef enum MrLoss
{
	MR_LOSS_SOFTMAX,			/* softmax over -d^2 / temperature + item bias */
	MR_LOSS_CML,				/* squared hinge, rank weight (Hsieh et al. 2017) */
	MR_LOSS_TRIPLET				/* unsquared hinge (arXiv 2411.06374) */
} MrLoss;

typedef enum MrSampling
{
	MR_SAMPLING_FULL,			/* softmax: every item that is not positive */
	MR_SAMPLING_UNIFORM,
	MR_SAMPLING_POPULARITY,		/* p ~ count ^ popularity_exponent */
	MR_SAMPLING_HARDEST,		/* the nearest of `negatives` uniform draws */
	MR_SAMPLING_TWO_STAGE		/* arXiv 1909.10912 */
} MrSampling;

typedef enum MrConstraint
{
	MR_CONSTRAINT_SPHERE,		/* points normalised inside the loss */
	MR_CONSTRAINT_BALL,			/* clipped to radius 1 after each step */
	MR_CONSTRAINT_NONE
} MrConstraint;

typedef enum MrOptimizer
{
	MR_OPTIMIZER_ADAM,
	MR_OPTIMIZER_ADAGRAD,
	MR_OPTIMIZER_SGD
} MrOptimizer;

/* How the id's point and the features make a point; see towers.c. */
typedef enum MrCombination
{
	MR_COMBINE_ID,				/* the id's point alone */
	MR_COMBINE_FEATURES,		/* the network over the features alone */
	MR_COMBINE_SUM,				/* id's point + network over the features */
	MR_COMBINE_BOTH,			/* network over [id's point; features] (arXiv 2411.06374) */
	MR_COMBINE_PRIOR			/* id's point, drawn to the network over the features (CML+F) */
} MrCombination;

/* Of the hidden layers of a tower's network. */
typedef enum MrActivation
{
	MR_ACTIVATION_RELU,
	MR_ACTIVATION_TANH,
	MR_ACTIVATION_GELU
} MrActivation;

#define MR_MAX_HIDDEN 8

/* What kind of model is trained. */
typedef enum MrAlgorithm
{
	MR_ALGORITHM_METRIC,		/* metric learning */
	MR_ALGORITHM_ALS,			/* implicit alternating least squares: als.h */
	MR_ALGORITHM_BPR			/* Bayesian personalised ranking: bpr.h */
} MrAlgorithm;

/* Where the points of the softmax begin. */
typedef enum MrStartKind
{
	MR_START_RANDOM,
	MR_START_ALS				/* at the points of some sweeps of ALS, made distances */
} MrStartKind;

/* How ALS solves the least squares of a row. */
typedef enum MrAlsSolver
{
	MR_ALS_CHOLESKY,
	MR_ALS_CG					/* some steps of conjugate gradients from the row as it was */
} MrAlsSolver;

typedef enum MrPreset
{
	MR_PRESET_NONE,
	MR_PRESET_CML_PAPER,		/* CML as the paper states it */
	MR_PRESET_CML_RELEASED,		/* CML as its released code has it */
	MR_PRESET_TWO_STAGE,		/* arXiv 1909.10912 as its released code has it */
	MR_PRESET_TRIPLET,			/* unsquared triplet of arXiv 2411.06374 */
	MR_PRESET_DUAL_TOWER		/* the same over towers of features, as the paper has it */
} MrPreset;

/*
 * Every hyper-parameter.  A bit of `set` (1 << MR_HYPER_...) says that the user
 * gave it; mr_recipe_fill() chooses the others.
 */
typedef enum MrHyperField
{
	MR_HYPER_LOSS, MR_HYPER_SAMPLING, MR_HYPER_TOWER, MR_HYPER_CONSTRAINT, MR_HYPER_OPTIMIZER,
	MR_HYPER_DIMENSIONS, MR_HYPER_ITEM_BIAS, MR_HYPER_EPOCHS, MR_HYPER_BATCH_SIZE,
	MR_HYPER_LEARNING_RATE, MR_HYPER_LEARNING_RATE_DECAY, MR_HYPER_TEMPERATURE, MR_HYPER_MARGIN,
	MR_HYPER_RANK_WEIGHT, MR_HYPER_NEGATIVES, MR_HYPER_CANDIDATES, MR_HYPER_POPULARITY_EXPONENT,
	MR_HYPER_COVARIANCE, MR_HYPER_WEIGHT_DECAY, MR_HYPER_PROPAGATION, MR_HYPER_SEED,
	MR_HYPER_ITEM_COMBINATION, MR_HYPER_USER_COMBINATION, MR_HYPER_HIDDEN_LAYERS, MR_HYPER_ACTIVATION,
	MR_HYPER_DROPOUT, MR_HYPER_ID_DROPOUT, MR_HYPER_FEATURE_REGULARIZATION,
	MR_HYPER_TAG_WEIGHT, MR_HYPER_TAG_TEMPERATURE,
	MR_HYPER_ALGORITHM, MR_HYPER_ALS_UNOBSERVED_WEIGHT, MR_HYPER_ALS_REGULARIZATION, MR_HYPER_ALS_SOLVER,
	MR_HYPER_PROPENSITY_EXPONENT, MR_HYPER_START, MR_HYPER_RECENCY
} MrHyperField;

typedef struct MrHyper
{
	MrPreset	preset;
	MrLoss		loss;
	MrSampling	sampling;
	MrTowerKind tower;			/* pooled or free user point */
	MrConstraint constraint;
	MrOptimizer optimizer;
	int32_t		dimensions;		/* coordinates of a stored point, the bias coordinate counted */
	bool		item_bias;		/* softmax only: the last coordinate holds the bias */
	int32_t		epochs;
	int32_t		batch_size;		/* softmax: users; else: positive pairs */
	double		learning_rate;
	bool		learning_rate_decay;	/* falls linearly to 0 over the epochs */
	double		temperature;
	double		margin;
	bool		rank_weight;	/* CML: log(rank + 1), rank estimated by WARP */
	int32_t		negatives;		/* draws per positive; softmax: shared draws per batch */
	int32_t		candidates;		/* two-stage: size C of stage 1 */
	double		popularity_exponent;
	MrStartKind start;			/* the caller's work: als.h, then mr_trainer_set_start() */
	double		start_share;	/* of the given start in what is exported, see export.c; set by the recipe */
	double		recency;		/* the last so many of a user weigh most, 0: all alike; the caller's work: recency.h */
	double		propensity_exponent;	/* positives weigh ~ count ^ -this, 0: alike (propensity.c) */
	double		covariance;		/* CML's lambda_c */
	double		weight_decay;
	double		propagation;	/* strength of the light propagation step after training, 0: none */
	MrCombination item_combination;
	MrCombination user_combination;
	int32_t		n_hidden;		/* hidden layers of the towers' networks; 0: sums of feature points */
	int32_t		hidden[MR_MAX_HIDDEN];	/* their widths */
	MrActivation activation;
	double		dropout;		/* of hidden units */
	double		id_dropout;		/* of the id's point, per row and step */
	double		feature_regularization; /* CML's lambda_f, combination "prior" */
	double		tag_weight;		/* share of the tags' loss in what moves users and items; 1: tags only */
	double		tag_temperature;	/* 0: no tags are learned */
	double		init_deviation; /* standard deviation of a coordinate at the start; set by the recipe */
	MrAlgorithm algorithm;
	double		als_unobserved_weight;	/* alpha_0: of a pair that was not observed */
	double		als_regularization; /* lambda, times the row's frequency */
	MrAlsSolver als_solver;
	uint64_t	seed;
} MrHyper;

typedef enum MrStatus
{
	MR_OK = 0,
	MR_STOPPED,					/* poll() asked to stop */
	MR_DIVERGED,				/* a loss or a point is not finite */
	MR_NO_NEGATIVE,				/* every user likes every item: nothing to learn from */
	MR_OUT_OF_MEMORY,			/* the given memory is smaller than mr_trainer_bytes() */
	MR_NO_BLAS					/* no matrix products: mr_gemm_load() says why */
} MrStatus;

/* Called at least every 50 ms of work; true = stop. */
typedef bool (*MrPoll) (void *arg);

typedef struct MrEpochResult
{
	double		loss;			/* mean over the positives of the epoch; with tags, both losses by tag_weight */
	double		tag_loss;		/* mean over the taggings of the epoch */
	int64_t		positives;		/* pairs visited */
	int64_t		negatives;		/* distances to negatives computed */
	double		learning_rate;
} MrEpochResult;

typedef struct MrTrainer MrTrainer;

/*
 * Points to begin with, in place of random ones, in the stored form of
 * mr_trainer_export() and of the trainer's dimensions and item_bias; see start.c.
 */
typedef struct MrStart
{
	const float *users;			/* [n_users][dimensions], or NULL: all at random */
	const float *items;			/* [n_items][dimensions], or NULL */
	const uint8_t *has_user;	/* [n_users], 0 = this row begins at random; NULL: all have a start */
	const uint8_t *has_item;	/* [n_items] */
	float		radius;			/* of the tower that goes with the points; ALS only */
	float		new_item;		/* mr_trainer_new_item_bias() of the training that made the points; 0: not known */
	const float *tags;			/* [n_tags][dimensions], or NULL */
	const uint8_t *has_tag;		/* [n_tags] */
	float		user_weight;	/* w of the tags' queries (tower.h); 0: not known */
	const uint8_t *tower[2];	/* by MrTowerSide: stored forms of embedder.h, or NULL: networks begin at random */
	size_t		tower_bytes[2];
	int32_t		item_stride;	/* floats from a row of items to the next; 0: dimensions, the only choice but for ALS */
} MrStart;

/* recipe.c */
extern void mr_recipe_fill(MrHyper *hyper, uint64_t set, const MrInteractions *x);
extern const char *mr_recipe_conflict(const MrHyper *hyper);

/* trainer.c */
extern size_t mr_trainer_bytes(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts);
extern MrTrainer *mr_trainer_init(void *memory, size_t bytes, const MrHyper *hyper,
								  const MrInteractions *x, const MrPosts *posts, MrStatus *status);
extern const char *mr_trainer_alone(const MrHyper *hyper, const MrInteractions *x);
extern bool mr_trainer_team_bytes(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts,
								  int32_t members, size_t *shared, size_t *own);
extern MrTrainer *mr_trainer_join(const MrTeam *team, int32_t members, void *shared, void *own, const MrHyper *hyper,
								  const MrInteractions *x, const MrPosts *posts, MrStatus *status);
extern MrStatus mr_trainer_epoch(MrTrainer *t, MrPoll poll, void *arg, MrEpochResult *result);
extern MrStatus mr_trainer_export(MrTrainer *t, MrPoll poll, void *arg, float *users, float *items);
extern MrStatus mr_trainer_export_als(MrTrainer *t, int32_t dimensions, MrPoll poll, void *arg,
									  float *users, float *items);
extern MrStatus mr_trainer_export_new(MrTrainer *t, MrPoll poll, void *arg, float *users, float *items);
extern float mr_trainer_new_item_bias(const MrTrainer *t);
extern MrStatus mr_trainer_export_tags(MrTrainer *t, MrPoll poll, void *arg, float *tags);
extern void mr_trainer_describe(const MrTrainer *t, MrTower *tower);

/* start.c */
extern MrStatus mr_trainer_set_start(MrTrainer *t, const MrStart *start, MrPoll poll, void *arg);

/* start_towers.c */
extern MrStatus mr_start_users(const MrInteractions *x, int32_t dimensions, bool item_bias, const float *items,
							   const uint8_t *has_item, float *users, uint8_t *has_user, MrPoll poll, void *arg);

/* recipe_factors.c */
extern void mr_recipe_fill_factors(MrHyper *hyper, uint64_t set, const MrInteractions *x);
extern void mr_recipe_fill_als_start(MrHyper *als, uint64_t set, const MrHyper *hyper, const MrInteractions *x);
extern const char *mr_recipe_factors_conflict(const MrHyper *hyper);

/* recipe_tags.c */
extern void mr_recipe_fill_tags(MrHyper *hyper, uint64_t set, const MrInteractions *x, const MrPosts *posts);

#endif							/* MR_TRAINER_H */
