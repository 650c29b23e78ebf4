/*
 * team_test.c
 *		Training by several processes: the same as by one where nothing is drawn
 *		apart, about the same elsewhere, repeatable, and everybody stops when one does.
 *
 * Members are processes of this program, their shared memory a mapping, their
 * barrier a spin loop.
 */
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model_fixture.h"

#define MOST_EPOCHS 6

/* The head of the shared memory. */
typedef struct Common
{
	_Atomic int arrived;
	_Atomic int phase;
	_Atomic int stop;
	_Atomic int polls;
	int			size;
} Common;

static bool
meet(void *arg)
{
	Common	   *common = arg;
	int			phase = atomic_load(&common->phase);

	if (atomic_fetch_add(&common->arrived, 1) + 1 == common->size)
	{
		atomic_store(&common->arrived, 0);
		atomic_fetch_add(&common->phase, 1);
		return true;
	}
	while (atomic_load(&common->phase) == phase)
	{
		if (atomic_load(&common->stop))
			return false;
		sched_yield();
	}
	return true;
}

static bool
stopped(void *arg)
{
	return atomic_load(&((Common *) arg)->stop) != 0;
}

/* Stops everybody after some polls. */
static bool
stops_soon(void *arg)
{
	Common	   *common = arg;

	if (atomic_fetch_add(&common->polls, 1) > 20)
		atomic_store(&common->stop, 1);
	return stopped(arg);
}

typedef struct Run
{
	MrStatus	status;
	double		loss[MOST_EPOCHS];
	int64_t		positives;
	int64_t		negatives;
	size_t		n;
	float	   *points;			/* users, items, tags */
} Run;

/* A member's part: all epochs. */
static MrStatus
take_part(MrTrainer *t, int epochs, MrPoll poll, void *arg, Run *run)
{
	MrStatus	status = MR_OK;

	for (int epoch = 0; status == MR_OK && epoch < epochs; epoch++)
	{
		MrEpochResult result;

		status = mr_trainer_epoch(t, poll, arg, &result);
		run->loss[epoch] = result.loss;
		run->positives = result.positives;
		run->negatives = result.negatives;
	}
	return status;
}

static Run
make_run(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts)
{
	Run			run = {0};

	run.n = ((size_t) x->n_users + x->n_items + (posts ? posts->n_tags : 0)) * hyper->dimensions;
	run.points = calloc(run.n, sizeof(float));
	return run;
}

static void
export_points(MrTrainer *t, const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts, Run *run)
{
	float	   *items = run->points + (size_t) x->n_users * hyper->dimensions;

	run->status = mr_trainer_export(t, NULL, NULL, run->points, items);
	if (run->status == MR_OK && posts)
		run->status = mr_trainer_export_tags(t, NULL, NULL, items + (size_t) x->n_items * hyper->dimensions);
}

static Run
train_alone(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts)
{
	Run			run = make_run(hyper, x, posts);
	Fixture		f;

	fixture_init_tags(&f, hyper, x, posts, false);
	run.status = take_part(f.t, hyper->epochs, NULL, NULL, &run);
	if (run.status == MR_OK)
		export_points(f.t, hyper, x, posts, &run);
	fixture_end(&f);
	return run;
}

/* What a child does: its part, then its status is the process's. */
static void
be_member(const MrTeam *team, int members, Common *common, void *shared, size_t own, const MrHyper *hyper,
		  const MrInteractions *x, const MrPosts *posts, MrPoll poll)
{
	MrStatus	status;
	Run			run;
	MrTrainer  *t = mr_trainer_join(team, members, shared, memset(malloc(own), 0xff, own), hyper, x, posts, &status);

	if (t)
		status = take_part(t, hyper->epochs, poll, common, &run);
	_exit(status);
}

/* Trains by `size` processes in memory laid out for `members`; *agree: all had the same status. */
static Run
train_together(const MrHyper *hyper, const MrInteractions *x, const MrPosts *posts, int size, int members,
			   MrPoll poll, bool *agree)
{
	Run			run = make_run(hyper, x, posts);
	size_t		shared_bytes;
	size_t		own_bytes;
	Common	   *common;
	char	   *shared;
	char	   *own;
	MrTrainer  *t = NULL;
	pid_t		children[MR_TEAM_MOST];

	*agree = mr_trainer_team_bytes(hyper, x, posts, members, &shared_bytes, &own_bytes);
	common = mmap(NULL, shared_bytes + 4096 + GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared = (char *) common + 4096;
	memset(shared, 0xa5, shared_bytes + GUARD_BYTES);
	common->size = size;
	own = memset(malloc(own_bytes + GUARD_BYTES), 0xa5, own_bytes + GUARD_BYTES);
	for (int rank = size - 1; rank >= 0; rank--)
	{
		MrTeam		team = {size, rank, meet, common};

		if (rank > 0 && (children[rank] = fork()) == 0)
			be_member(&team, members, common, shared, own_bytes, hyper, x, posts, rank == 1 && poll ? poll : stopped);
		if (rank == 0)
			t = mr_trainer_join(&team, members, shared, own, hyper, x, posts, &run.status);
	}
	if (t)
		run.status = take_part(t, hyper->epochs, stopped, common, &run);
	for (int rank = 1; rank < size; rank++)
	{
		int			status;

		*agree = waitpid(children[rank], &status, 0) == children[rank] && WIFEXITED(status) &&
			WEXITSTATUS(status) == (int) run.status && *agree;
	}
	if (run.status == MR_OK)
		export_points(t, hyper, x, posts, &run);
	for (int i = 0; i < GUARD_BYTES; i++)
		*agree = *agree && (unsigned char) shared[shared_bytes + i] == 0xa5 && (unsigned char) own[own_bytes + i] == 0xa5;
	free(own);
	munmap(common, shared_bytes + 4096 + GUARD_BYTES);
	return run;
}

typedef struct Setting
{
	const char *name;
	MrHyper		hyper;
	uint64_t	set;
	bool		tags;
	bool		same;			/* nothing is drawn that members draw apart */
} Setting;

#define SET(name) FIXTURE_SET(name)

static const Setting settings[] = {
	{"free", {.tower = MR_TOWER_FREE}, SET(TOWER), false, true},
	{"pooled", {.tower = MR_TOWER_POOLED}, SET(TOWER), false, false},
	{"free, ball, sgd", {.tower = MR_TOWER_FREE, .constraint = MR_CONSTRAINT_BALL, .optimizer = MR_OPTIMIZER_SGD,
		.learning_rate = 0.5}, SET(TOWER) | SET(CONSTRAINT) | SET(OPTIMIZER) | SET(LEARNING_RATE), false, true},
	{"free, uniform samples", {.tower = MR_TOWER_FREE, .sampling = MR_SAMPLING_UNIFORM, .negatives = 200},
	SET(TOWER) | SET(SAMPLING) | SET(NEGATIVES), false, true},
	{"free, popular samples, no constraint", {.tower = MR_TOWER_FREE, .sampling = MR_SAMPLING_POPULARITY, .negatives = 200,
		.constraint = MR_CONSTRAINT_NONE}, SET(TOWER) | SET(SAMPLING) | SET(NEGATIVES) | SET(CONSTRAINT), false, true},
	{"pooled, uniform samples, adagrad", {.tower = MR_TOWER_POOLED, .sampling = MR_SAMPLING_UNIFORM, .negatives = 200,
		.optimizer = MR_OPTIMIZER_ADAGRAD, .learning_rate = 0.1},
	SET(TOWER) | SET(SAMPLING) | SET(NEGATIVES) | SET(OPTIMIZER) | SET(LEARNING_RATE), false, false},
	{"tags, free", {.tower = MR_TOWER_FREE}, SET(TOWER), true, true},
	{"tags, pooled", {.tower = MR_TOWER_POOLED}, SET(TOWER), true, false},
	{"tags alone, free, samples", {.tower = MR_TOWER_FREE, .sampling = MR_SAMPLING_UNIFORM, .tag_weight = 1},
	SET(TOWER) | SET(SAMPLING) | SET(TAG_WEIGHT), true, true},
	{"als", {.algorithm = MR_ALGORITHM_ALS}, SET(ALGORITHM), false, true},
	{"als, conjugate gradients", {.algorithm = MR_ALGORITHM_ALS, .als_solver = MR_ALS_CG},
	SET(ALGORITHM) | SET(ALS_SOLVER), false, true},
	{"cml_paper", {.preset = MR_PRESET_CML_PAPER}, 0, false, false},
	{"cml_released", {.preset = MR_PRESET_CML_RELEASED}, 0, false, false},
	{"cml, adam", {.loss = MR_LOSS_CML, .optimizer = MR_OPTIMIZER_ADAM, .covariance = 1, .learning_rate = 0.01},
	SET(LOSS) | SET(OPTIMIZER) | SET(COVARIANCE) | SET(LEARNING_RATE), false, false},
	{"two_stage", {.preset = MR_PRESET_TWO_STAGE, .candidates = 150}, SET(CANDIDATES), false, false},
	{"triplet", {.preset = MR_PRESET_TRIPLET}, 0, false, false},
	{"triplet, hardest, adagrad", {.loss = MR_LOSS_TRIPLET, .sampling = MR_SAMPLING_HARDEST, .optimizer = MR_OPTIMIZER_ADAGRAD},
	SET(LOSS) | SET(SAMPLING) | SET(OPTIMIZER), false, false},
};

#define N_SETTINGS ((int) (sizeof(settings) / sizeof(settings[0])))

static void
fill_hyper(const Setting *s, const MrInteractions *x, const MrPosts *posts, MrHyper *hyper)
{
	*hyper = s->hyper;
	hyper->dimensions = 17;
	hyper->epochs = MOST_EPOCHS;
	hyper->batch_size = 64;
	hyper->seed = 5;
	mr_recipe_fill_tags(hyper, s->set | SET(DIMENSIONS) | SET(EPOCHS) | SET(BATCH_SIZE) | SET(SEED), x, posts);
}

/* The largest difference of two runs' points, and that of the losses relative to them. */
static double
difference(const Run *a, const Run *b)
{
	double		largest = 0;

	for (size_t i = 0; i < a->n; i++)
		largest = fmax(largest, fabs(a->points[i] - b->points[i]));
	return largest;
}

static double
loss_difference(const Run *a, const Run *b)
{
	double		largest = 0;

	for (int epoch = 0; epoch < MOST_EPOCHS; epoch++)
		largest = fmax(largest, fabs(a->loss[epoch] / b->loss[epoch] - 1));
	return largest;
}

static void
check(const Setting *s, const MrInteractions *x, const MrPosts *posts)
{
	MrHyper		hyper;
	Run			alone;
	bool		agree;

	fill_hyper(s, x, posts, &hyper);
	alone = train_alone(&hyper, x, posts);
	ok(alone.status == MR_OK, "%s: alone", s->name);
	for (int size = 2; size <= 3; size++)
	{
		bool		agree_again;
		Run			team = train_together(&hyper, x, posts, size, size, NULL, &agree);
		Run			again = train_together(&hyper, x, posts, size, 4, NULL, &agree_again);

		ok(team.status == MR_OK && agree && agree_again, "%s: %d members, memory as promised", s->name, size);
		ok(team.positives == alone.positives || !s->same, "%s: %d members visit the same pairs", s->name, size);
		ok_near(loss_difference(&team, &alone), 0, s->same ? 1e-5 : 0.1, "%s: %d members, loss", s->name, size);
		if (s->same)
			ok_near(difference(&team, &alone), 0, 0.01, "%s: %d members, points", s->name, size);
		ok(memcmp(team.points, again.points, team.n * sizeof(float)) == 0 &&
		   memcmp(team.loss, again.loss, sizeof(team.loss)) == 0, "%s: %d members, twice the same", s->name, size);
		free(team.points);
		free(again.points);
	}
	free(alone.points);
}

/* A team whose second member is stopped: everybody ends, and says so. */
static void
check_stop(const Setting *s, const MrInteractions *x, const MrPosts *posts)
{
	MrHyper		hyper;
	Run			run;
	bool		agree;

	fill_hyper(s, x, posts, &hyper);
	hyper.epochs = MOST_EPOCHS;
	run = train_together(&hyper, x, posts, 3, 3, stops_soon, &agree);
	ok(run.status == MR_STOPPED && agree, "%s: all members stop with the second one", s->name);
	free(run.points);
}

int
main(void)
{
	MrInteractions x;
	MrPosts		posts;
	MrHyper		hyper = {0};

	fixture_matrix(&x, 300, 180, 0.08, true, 11);
	fixture_posts(&posts, &x, 40, 12);
	alarm(600);
	for (int i = 0; i < N_SETTINGS; i++)
		check(&settings[i], &x, settings[i].tags ? &posts : NULL);
	/* ALS polls too seldom for data of this size */
	for (int i = 0; i < N_SETTINGS; i += 3)
		if (settings[i].hyper.algorithm == MR_ALGORITHM_METRIC)
			check_stop(&settings[i], &x, settings[i].tags ? &posts : NULL);
	ok(mr_trainer_alone(&hyper, &x) == NULL, "without features a team can train");
	fixture_free_matrix(&x);
	fixture_free_posts(&posts);
	return unit_done();
}
