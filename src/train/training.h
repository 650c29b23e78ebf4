/*
 * training.h
 *		One training of a run, with or without background workers; see training.c.
 */
#ifndef MR_TRAINING_H
#define MR_TRAINING_H

#include "parallel/workers.h"
#include "train/train.h"

typedef struct MrTrainingData
{
	const MrHyper *hyper;
	const MrInteractions *x;
	const MrPosts *posts;		/* NULL: no tags */
	const MrInteractions *held_out; /* what mr_training_rank() will rank, or NULL */
} MrTrainingData;

typedef struct MrTraining
{
	MrRun	   *run;
	MemoryContext context;
	MrTrainingData data;
	MrTrainer  *trainer;		/* for everything but epochs, which are mr_training_epoch()'s */
	MrCrew	   *crew;			/* NULL: alone */
	int			workers;
	/* with a crew: the data in shared memory */
	MrInteractions x;
	MrInteractions held_out;
	MrPosts		posts;
} MrTraining;

extern MrTraining *mr_training_begin(MrRun *run, const MrTrainingData *data);
extern MrStatus mr_training_epoch(MrTraining *training, MrEpochResult *result);
extern void mr_training_rank(MrTraining *training, const float *users, const float *items, int32 *ranks);
extern void mr_training_end(MrTraining *training);

#endif							/* MR_TRAINING_H */
