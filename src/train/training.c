/*
 * training.c
 *		One training of a run, by the session alone or with background workers.
 *
 * The leader puts interactions, posts and the trainer's shared part into a crew's
 * segment (parallel/workers.h); each member makes a trainer over it (model/team.h):
 *
 *	segment:  | TrainJob | user_start | items | weights | posts ... | held-out pairs,
 *			  their ranks, points to rank them by | trainer, shared |
 *
 *		leader							worker, mr_train_worker()
 *		command = EPOCH, barrier		barrier, reads the command
 *		mr_trainer_epoch()				mr_trainer_epoch()
 *		exports, writes the log; workers sleep at the barrier
 *		command = RANK, barrier			barrier, reads the command
 *		mr_rank() of its users			mr_rank() of its users
 *		barrier							barrier
 *		mr_crew_end()					the barrier says stop
 *
 * If workers or shared memory are short it goes on with fewer or with none, and a
 * NOTICE says so once in a run.  With none everything is as if this file were not.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "parallel/workers.h"
#include "train/train.h"
#include "train/training.h"
#include "util/compat.h"

extern PGDLLEXPORT void mr_train_worker(MrCrew *crew);

/*
 * Multiplications of an epoch from which on workers come without being asked for:
 * some ten milliseconds, which is what it costs to start them.
 */
#define WORK_FOR_WORKERS 1e9

typedef enum TrainCommand
{
	TRAIN_EPOCH,
	TRAIN_RANK
} TrainCommand;

/* The head of the job's memory; offsets from its beginning, 0: not there. */
typedef struct TrainJob
{
	MrHyper		hyper;
	int32		members;		/* that the trainer's part is laid out for */
	int32		n_users;
	int32		n_items;
	int64		n_pairs;
	int32		n_posts;
	int32		n_tags;
	int64		n_taggings;
	int64		n_held;
	TrainCommand command;		/* of the leader, before a barrier */
	Size		user_start;
	Size		items;
	Size		weights;
	Size		post_user;
	Size		post_item;
	Size		tag_start;
	Size		tags;
	Size		held_start;
	Size		held_items;
	Size		ranks;
	Size		points;			/* of users, then of items */
	Size		trainer;
	Size		own_bytes;		/* what a member needs for itself */
	Size		rank_bytes;		/* and while it ranks */
	Size		bytes;			/* of all */
} TrainJob;

/* ---- the segment ---- */

/* The place of the next array; everything begins on a cache line. */
static Size
take(Size *used, Size count, Size size)
{
	Size		at = *used;

	*used = add_size(at, TYPEALIGN(64, mul_size(count, size)));
	return at;
}

/* A ranking of the held-out pairs; points are to be filled in. */
static MrRankInput
rank_input(const MrHyper *hyper, const MrInteractions *held_out, const MrInteractions *train)
{
	MrRankInput in = {0};

	in.dimensions = hyper->dimensions;
	in.held_out = held_out;
	in.excluded = train;
	return in;
}

/* Where everything lies, for so many members; false if the trainer's sizes overflow. */
static bool
plan_job(TrainJob *job, const MrTrainingData *data, int members)
{
	const MrHyper *hyper = data->hyper;
	const MrInteractions *x = data->x;
	const MrPosts *posts = data->posts;
	Size		used = TYPEALIGN(64, sizeof(TrainJob));
	size_t		shared;
	size_t		own;

	memset(job, 0, sizeof(*job));
	if (!mr_trainer_team_bytes(hyper, x, posts, members, &shared, &own))
		return false;
	job->hyper = *hyper;
	job->members = members;
	job->own_bytes = own;
	job->n_users = x->n_users;
	job->n_items = x->n_items;
	job->n_pairs = x->n_pairs;
	job->user_start = take(&used, (Size) x->n_users + 1, sizeof(int64));
	job->items = take(&used, x->n_pairs, sizeof(int32));
	if (x->weights)
		job->weights = take(&used, x->n_pairs, sizeof(float));
	if (posts)
	{
		job->n_posts = posts->n_posts;
		job->n_tags = posts->n_tags;
		job->n_taggings = posts->lists.n_pairs;
		job->post_user = take(&used, posts->n_posts, sizeof(int32));
		job->post_item = take(&used, posts->n_posts, sizeof(int32));
		job->tag_start = take(&used, (Size) posts->n_posts + 1, sizeof(int64));
		job->tags = take(&used, posts->lists.n_pairs, sizeof(int32));
	}
	if (data->held_out)
	{
		MrRankInput in = rank_input(hyper, data->held_out, x);

		job->n_held = data->held_out->n_pairs;
		job->held_start = take(&used, (Size) x->n_users + 1, sizeof(int64));
		job->held_items = take(&used, job->n_held, sizeof(int32));
		job->ranks = take(&used, job->n_held, sizeof(int32));
		job->points = take(&used, add_size(x->n_users, x->n_items), mul_size(hyper->dimensions, sizeof(float)));
		job->rank_bytes = mr_rank_bytes(&in);
	}
	job->trainer = take(&used, shared, 1);
	job->bytes = used;
	return true;
}

/* The segment's data, as one process sees them. */
static void
map_job(char *base, MrInteractions *x, MrPosts *posts, MrInteractions *held_out)
{
	TrainJob   *job = (TrainJob *) base;

	memset(held_out, 0, sizeof(*held_out));
	held_out->n_users = job->n_users;
	held_out->n_items = job->n_items;
	held_out->n_pairs = job->n_held;
	held_out->user_start = (int64_t *) (base + job->held_start);
	held_out->items = (int32_t *) (base + job->held_items);

	memset(x, 0, sizeof(*x));
	x->n_users = job->n_users;
	x->n_items = job->n_items;
	x->n_pairs = job->n_pairs;
	x->user_start = (int64_t *) (base + job->user_start);
	x->items = (int32_t *) (base + job->items);
	x->weights = job->weights ? (float *) (base + job->weights) : NULL;
	memset(posts, 0, sizeof(*posts));
	if (job->tags == 0)
		return;
	posts->n_posts = posts->lists.n_users = job->n_posts;
	posts->n_tags = posts->lists.n_items = job->n_tags;
	posts->lists.n_pairs = job->n_taggings;
	posts->post_user = (int32_t *) (base + job->post_user);
	posts->post_item = (int32_t *) (base + job->post_item);
	posts->lists.user_start = (int64_t *) (base + job->tag_start);
	posts->lists.items = (int32_t *) (base + job->tags);
}

/* Copies the leader's data into the segment. */
static void
fill_job(char *base, const TrainJob *plan, const MrTrainingData *data)
{
	const MrInteractions *x = data->x;
	const MrPosts *posts = data->posts;
	MrInteractions to;
	MrInteractions to_held;
	MrPosts		to_posts;

	*(TrainJob *) base = *plan;
	map_job(base, &to, &to_posts, &to_held);
	if (data->held_out)
	{
		memcpy(to_held.user_start, data->held_out->user_start, ((Size) x->n_users + 1) * sizeof(int64));
		memcpy(to_held.items, data->held_out->items, data->held_out->n_pairs * sizeof(int32));
	}
	memcpy(to.user_start, x->user_start, ((Size) x->n_users + 1) * sizeof(int64));
	memcpy(to.items, x->items, x->n_pairs * sizeof(int32));
	if (x->weights)
		memcpy(to.weights, x->weights, x->n_pairs * sizeof(float));
	if (!posts)
		return;
	memcpy(to_posts.post_user, posts->post_user, posts->n_posts * sizeof(int32));
	memcpy(to_posts.post_item, posts->post_item, posts->n_posts * sizeof(int32));
	memcpy(to_posts.lists.user_start, posts->lists.user_start, ((Size) posts->n_posts + 1) * sizeof(int64));
	memcpy(to_posts.lists.items, posts->lists.items, posts->lists.n_pairs * sizeof(int32));
}

/* A member's trainer; its own memory comes from `context`. */
static MrTrainer *
join_job(MrCrew *crew, MemoryContext context, const MrInteractions *x, const MrPosts *posts, MrStatus *status)
{
	TrainJob   *job = (TrainJob *) crew->job;
	MrTeam		team = {crew->size, crew->rank, mr_crew_barrier, crew};

	return mr_trainer_join(&team, job->members, crew->job + job->trainer, MemoryContextAllocHuge(context, job->own_bytes),
						   &job->hyper, x, posts, status);
}

/* A member's part of a ranking, by the points in the segment; the scratch memory is the caller's. */
static MrStatus
rank_part(MrCrew *crew, const MrInteractions *x, const MrInteractions *held_out, void *memory)
{
	TrainJob   *job = (TrainJob *) crew->job;
	MrRankInput in = rank_input(&job->hyper, held_out, x);
	MrRankOutput out = {(int32 *) (crew->job + job->ranks), NULL};

	in.users = (float *) (crew->job + job->points);
	in.items = in.users + (Size) x->n_users * in.dimensions;
	in.part = crew->rank;
	in.parts = crew->size;
	return mr_rank(&in, memory, job->rank_bytes, mr_crew_poll, crew, &out);
}

/* ---- the worker ---- */

/* Does what the leader says; true: and goes on. */
static bool
obey(MrCrew *crew, MrTrainer *trainer, const MrInteractions *x, const MrInteractions *held_out)
{
	TrainJob   *job = (TrainJob *) crew->job;
	MrEpochResult result;
	MrStatus	status;
	void	   *memory;

	if (job->command == TRAIN_EPOCH)
		return mr_trainer_epoch(trainer, mr_crew_poll, crew, &result) == MR_OK;
	memory = MemoryContextAllocHuge(CurrentMemoryContext, job->rank_bytes);
	status = rank_part(crew, x, held_out, memory);
	pfree(memory);
	return status == MR_OK && mr_crew_barrier(crew);
}

void
mr_train_worker(MrCrew *crew)
{
	TrainJob   *job = (TrainJob *) crew->job;
	MrInteractions x;
	MrInteractions held_out;
	MrPosts		posts;
	MrStatus	status;
	MrTrainer  *trainer;

	map_job(crew->job, &x, &posts, &held_out);
	trainer = join_job(crew, CurrentMemoryContext, &x, job->tags ? &posts : NULL, &status);
	if (status == MR_NO_BLAS)
		elog(ERROR, "a worker could not load OpenBLAS");
	if (trainer == NULL)
		elog(ERROR, "a worker has nothing to learn from");
	/* what stops it, or makes it diverge, the leader knows, too */
	while (mr_crew_barrier(crew) && obey(crew, trainer, &x, &held_out))
		;
}

/* ---- the leader ---- */

/* Multiplications of an epoch, roughly. */
static double
work_of_epoch(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts)
{
	double		pairs = x->n_pairs;
	double		work;

	if (hyper->algorithm == MR_ALGORITHM_ALS)
		work = (2 * pairs + ((double) x->n_users + x->n_items) * hyper->dimensions / 3) * hyper->dimensions;
	else if (hyper->loss != MR_LOSS_SOFTMAX)
		work = 3 * pairs * hyper->negatives;
	else
		work = 3.0 * x->n_users * (hyper->sampling == MR_SAMPLING_FULL ? x->n_items : hyper->negatives) + 2 * pairs;
	if (posts)
		work += 3.0 * posts->n_posts * posts->n_tags;
	return work * hyper->dimensions;
}

/* How many workers to ask for; what speaks against any is told, if they were asked for. */
static int
wanted_workers(MrRun *run, const MrTrainingData *data)
{
	bool		asked = run->options.num_workers > 0;
	int			wanted = asked ? run->options.num_workers : mr_crew_default_workers();
	const char *alone = mr_trainer_alone(data->hyper, data->x);

	if (run->options.num_workers == 0 || wanted == 0 ||
		(!asked && work_of_epoch(data->hyper, data->x, data->posts) < WORK_FOR_WORKERS))
		return 0;
	if (alone && asked && !run->shortage_told)
	{
		run->shortage_told = true;
		ereport(NOTICE,
				(errmsg("the training runs without workers: %s", alone)));
	}
	return alone ? 0 : Min(wanted, MR_CREW_MOST - 1);
}

static void
tell_shortage(MrRun *run, const MrCrewShortage *shortage, int wanted, int got)
{
	if (run->shortage_told || shortage->reason == NULL)
		return;
	run->shortage_told = true;
	mr_crew_report(shortage, "the training", wanted, got);
}

/*
 * The most workers, of those wanted, that metricrec.training_memory has room for
 * beside what the run needs without them; *plan is for these.
 */
static int
plan_workers(MrRun *run, TrainJob *plan, const MrTrainingData *data, int wanted, MrCrewShortage *shortage)
{
	Size		alone = mr_trainer_bytes(data->hyper, data->x, data->posts);
	Size		others = run->memory_needed > alone ? run->memory_needed - alone : 0;
	Size		limit = mr_training_memory_left(0);
	int			workers = wanted;

	memset(shortage, 0, sizeof(*shortage));
	for (; workers > 0; workers--)
		if (plan_job(plan, data, workers + 1) &&
			add_size(add_size(others, plan->bytes),
					 add_size(mul_size(plan->own_bytes, workers + 1), mul_size(plan->rank_bytes, workers))) <= limit)
			break;
	if (workers < wanted)
	{
		shortage->reason = "more do not fit into metricrec.training_memory";
		shortage->hint = "Raise metricrec.training_memory, or lower num_workers.";
	}
	return workers;
}

/* Tries to train with workers; false: there are none. */
static bool
begin_with_workers(MrTraining *training, const MrTrainingData *data)
{
	MrRun	   *run = training->run;
	int			wanted = wanted_workers(run, data);
	MrCrewShortage shortage;
	TrainJob	plan;
	int			workers;
	int			came;

	if (wanted == 0)
		return false;
	workers = plan_workers(run, &plan, data, wanted, &shortage);
	tell_shortage(run, &shortage, wanted, workers);
	if (workers == 0)
		return false;
	training->crew = mr_crew_create(training->context, plan.bytes, &shortage);
	if (training->crew == NULL)
	{
		tell_shortage(run, &shortage, wanted, 0);
		return false;
	}
	training->crew->poll = mr_run_poll;
	training->crew->poll_arg = run;
	fill_job(training->crew->job, &plan, data);
	came = mr_crew_launch(training->crew, "mr_train_worker", "metricrec training worker", workers, &shortage);
	tell_shortage(run, &shortage, wanted, came);
	if (came == 0)
	{
		mr_crew_end(training->crew);
		training->crew = NULL;
		return false;
	}
	training->workers = came;
	return true;
}

/*
 * A training of these data, which must live as long as it does.  Its memory is part of
 * the run's; mr_training_end() frees it.
 */
MrTraining *
mr_training_begin(MrRun *run, const MrTrainingData *data)
{
	MemoryContext context = AllocSetContextCreate(run->context, "metricrec trainer", ALLOCSET_SMALL_SIZES);
	MrTraining *training = MemoryContextAllocZero(context, sizeof(MrTraining));
	MrStatus	status;

	training->run = run;
	training->context = context;
	training->data = *data;
	if (begin_with_workers(training, data))
	{
		map_job(training->crew->job, &training->x, &training->posts, &training->held_out);
		training->trainer = join_job(training->crew, context, &training->x, data->posts ? &training->posts : NULL, &status);
	}
	else
	{
		Size		bytes = mr_trainer_bytes(data->hyper, data->x, data->posts);

		training->trainer = mr_trainer_init(MemoryContextAllocHuge(context, bytes), bytes, data->hyper, data->x,
											data->posts, &status);
	}
	mr_run_check_status(run, status);
	run->workers = training->workers;
	return training;
}

/* Tells the workers what comes now; false: they have been stopped. */
static bool
command_crew(MrCrew *crew, TrainCommand command)
{
	((TrainJob *) crew->job)->command = command;
	return mr_crew_barrier(crew);
}

/* Raises the error of what has stopped the members, if they have been. */
static void
check_status(MrTraining *training, MrStatus status)
{
	if (status == MR_STOPPED && training->crew && training->run->pending_error == NULL)
		mr_crew_check(training->crew);
	mr_run_check_status(training->run, status);
}

/* An epoch, by all members: MR_OK or MR_DIVERGED; whatever else stops it is raised. */
MrStatus
mr_training_epoch(MrTraining *training, MrEpochResult *result)
{
	MrRun	   *run = training->run;
	MrStatus	status = MR_STOPPED;

	if (training->crew == NULL)
		status = mr_trainer_epoch(training->trainer, mr_run_poll, run, result);
	else if (command_crew(training->crew, TRAIN_EPOCH))
		status = mr_trainer_epoch(training->trainer, mr_crew_poll, training->crew, result);
	if (status != MR_DIVERGED)
		check_status(training, status);
	return status;
}

/*
 * Ranks the held-out pairs by these points, [n_users][dimensions] and
 * [n_items][dimensions], by all members: ranks [held_out->n_pairs], the same whoever
 * makes them.
 */
void
mr_training_rank(MrTraining *training, const float *users, const float *items, int32 *ranks)
{
	const MrTrainingData *data = &training->data;
	MrRankInput in = rank_input(data->hyper, data->held_out, data->x);
	MrRankOutput out = {ranks, NULL};
	Size		bytes = mr_rank_bytes(&in);
	void	   *memory = MemoryContextAllocHuge(training->context, Max(bytes, 1));
	MrCrew	   *crew = training->crew;
	MrStatus	status = MR_STOPPED;

	in.users = users;
	in.items = items;
	if (crew == NULL)
		status = mr_rank(&in, memory, bytes, mr_run_poll, training->run, &out);
	else
	{
		TrainJob   *job = (TrainJob *) crew->job;
		Size		row = sizeof(float) * data->hyper->dimensions;
		char	   *points = crew->job + job->points;

		memcpy(points, users, data->x->n_users * row);
		memcpy(points + data->x->n_users * row, items, data->x->n_items * row);
		if (command_crew(crew, TRAIN_RANK))
			status = rank_part(crew, &training->x, &training->held_out, memory);
		if (status == MR_OK && !mr_crew_barrier(crew))
			status = MR_STOPPED;
		if (status == MR_OK)
			memcpy(ranks, crew->job + job->ranks, job->n_held * sizeof(int32));
	}
	check_status(training, status);
	pfree(memory);
}

/* No worker and no memory of it stays. */
void
mr_training_end(MrTraining *training)
{
	MemoryContextDelete(training->context);
}
