/*
 * begin.c
 *		What a training begins with, before its first epoch.
 *
 *	recency > 0		the interactions get weights by how many later ones there are
 *					(model/recency.h), times their own
 *	start 'als'		some sweeps of alternating least squares (model/als.h) on the same
 *					interactions give the points; they are rows of the log with the
 *					stage "start"; in a warm start they go on from the version's items (warm.c)
 *
 * The points are those of the unweighted interactions (but for the user's own weights):
 * recency is for the fine tuning.  They are kept for the next candidate of a
 * validation, which begins at the same ones.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "math/lapack.h"
#include "model/als.h"
#include "model/recency.h"
#include "train/begin.h"
#include "train/training.h"
#include "train/warm.h"
#include "util/compat.h"

/* An OpenBLAS without LAPACK knows no least squares: the recipe begins at random then. */
void
mr_begin_check(MrRun *run)
{
	if (!mr_option_is_set(&run->options, MR_HYPER_START) && mr_lapack_load() != NULL)
	{
		run->options.hyper.start = MR_START_RANDOM;
		run->options.set |= UINT64CONST(1) << MR_HYPER_START;
	}
}

/* ALS for this training: with the model's own settings of ALS, if there are some. */
static MrHyper
als_hyper(const MrRun *run, const MrHyper *hyper, const MrInteractions *x)
{
	MrHyper		als = run->options.hyper;

	mr_recipe_fill_als_start(&als, run->options.set, hyper, x);
	if (run->warm)
		als.epochs = MR_WARM_SWEEPS;
	return als;
}

static Size
points_bytes(const MrHyper *hyper, int32 n)
{
	return mul_size(mul_size(sizeof(float), hyper->dimensions), Max(n, 1));
}

/*
 * What the beginning needs beside the trainer at most.  The weights live as long as the
 * training; ALS and its points are gone, or kept for another, when the epochs begin.
 */
Size
mr_begin_bytes(const MrRun *run, const MrHyper *hyper, const MrInteractions *x)
{
	Size		bytes = 0;

	if (mr_warm_is_direct(run))
		bytes = mr_warm_begin_bytes(run, x);
	else if (hyper->start == MR_START_ALS)
	{
		MrHyper		als = als_hyper(run, hyper, x);

		bytes = add_size(mr_als_bytes(&als, x),
						 add_size(points_bytes(hyper, x->n_users), points_bytes(hyper, x->n_items)));
	}
	if (hyper->recency > 0 && x->times)
		bytes = add_size(bytes, add_size(mul_size(sizeof(float), x->n_pairs),
										 mul_size(sizeof(int64), mr_recency_scratch(x))));
	return bytes;
}

/* Gives x, a copy of the caller's, the weights of its recency, in run->context. */
void
mr_begin_weights(MrRun *run, const MrHyper *hyper, MrInteractions *x)
{
	float	   *weights;
	int64	   *scratch;

	if (!(hyper->recency > 0) || x->times == NULL)
		return;
	weights = MemoryContextAllocHuge(run->context, mul_size(sizeof(float), Max(x->n_pairs, 1)));
	scratch = MemoryContextAllocHuge(run->context, mul_size(sizeof(int64), mr_recency_scratch(x)));
	mr_run_check_status(run, mr_recency_weights(x, hyper->recency, scratch, weights, mr_run_poll, run));
	pfree(scratch);
	x->weights = weights;
}

/* The sweeps, each a row of the log. */
static void
sweep(MrRun *run, MrTraining *training, int32 sweeps)
{
	for (int32 i = 1; i <= sweeps; i++)
	{
		MrEpochRecord record = {0};
		MrEpochResult result;
		instr_time	start;
		instr_time	end;

		INSTR_TIME_SET_CURRENT(start);
		mr_run_check_status(run, mr_training_epoch(training, &result));
		INSTR_TIME_SET_CURRENT(end);
		INSTR_TIME_SUBTRACT(end, start);
		record.stage = "start";
		record.epoch = i;
		record.loss = result.loss;
		record.positives = result.positives;
		record.seconds = INSTR_TIME_GET_DOUBLE(end);
		mr_run_log_epoch(run, &record);
	}
}

/* Runs ALS on x and leaves its points in *beginning. */
static void
make_points(MrRun *run, const MrHyper *hyper, const MrInteractions *x, MrBeginning *beginning)
{
	MrHyper		settings = als_hyper(run, hyper, x);
	MrTrainingData data = {.hyper = &settings,.x = x};
	MrTraining *training = mr_training_begin(run, &data);

	if (run->warm)
		mr_warm_begin_als(run, training->trainer);
	sweep(run, training, settings.epochs);
	mr_begin_free(beginning);
	beginning->users = MemoryContextAllocHuge(run->context, points_bytes(hyper, x->n_users));
	beginning->items = MemoryContextAllocHuge(run->context, points_bytes(hyper, x->n_items));
	mr_run_check_status(run, mr_trainer_export_als(training->trainer, hyper->dimensions, mr_run_poll, run,
												   beginning->users, beginning->items));
	beginning->of = x;
	beginning->dimensions = hyper->dimensions;
	beginning->item_bias = hyper->item_bias;
	mr_training_end(training);
}

/* Are there points to begin this training with? */
static bool
serves(const MrBeginning *beginning, const MrHyper *hyper, const MrInteractions *x)
{
	return (beginning->is_given || hyper->start == MR_START_ALS) && beginning->of == x &&
		beginning->dimensions == hyper->dimensions && beginning->item_bias == hyper->item_bias;
}

/*
 * The points that hyper->start asks for; before the training begins, so that there is
 * one trainer at a time.  x must be the interactions without the weights of recency, and
 * *beginning what the training before left, or zero.
 */
void
mr_begin_make(MrRun *run, const MrHyper *hyper, const MrInteractions *x, MrBeginning *beginning)
{
	if (hyper->start == MR_START_ALS && !serves(beginning, hyper, x))
		make_points(run, hyper, x, beginning);
}

/* Puts the trainer onto the points of mr_begin_make() or mr_begin_at(), if there are some. */
void
mr_begin_points(MrRun *run, const MrHyper *hyper, const MrInteractions *x, const MrBeginning *beginning,
				MrTrainer *trainer)
{
	MrStart		start = {0};

	if (!serves(beginning, hyper, x))
		return;
	start.users = beginning->users;
	start.items = beginning->items;
	mr_run_check_status(run, mr_trainer_set_start(trainer, &start, mr_run_poll, run));
}

/* The same points for a training on x, which has nearly the interactions that they are of; false if there are none. */
bool
mr_begin_pass(MrBeginning *beginning, const MrInteractions *x, const MrHyper *hyper)
{
	if (beginning->of == NULL || !serves(beginning, hyper, beginning->of))
		return false;
	beginning->of = x;
	return true;
}

/* The next training on x shall begin at these points, which belong to *beginning from now on. */
void
mr_begin_at(MrBeginning *beginning, const MrInteractions *x, const MrHyper *hyper, float *users, float *items)
{
	mr_begin_free(beginning);
	beginning->of = x;
	beginning->dimensions = hyper->dimensions;
	beginning->item_bias = hyper->item_bias;
	beginning->is_given = true;
	beginning->users = users;
	beginning->items = items;
}

void
mr_begin_free(MrBeginning *beginning)
{
	if (beginning->of)
	{
		pfree(beginning->users);
		pfree(beginning->items);
	}
	memset(beginning, 0, sizeof(*beginning));
}
