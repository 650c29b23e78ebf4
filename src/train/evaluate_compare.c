/*
 * evaluate_compare.c
 *		metricrec.compare: the model beside other recommenders, on the same pairs.
 *
 *	model		as metricrec.evaluate() has it
 *	popularity	the items of most training interactions first
 *	item_knn	item-based nearest neighbours (model/knn.h)
 *	als, bpr	factorisations with the hyper-parameters of their recipe, as many
 *				dimensions as the model's points have
 *
 * All but the first are made here from the model's training interactions as they are
 * now, of users and items that the model knows, and nothing of them is kept.  Held-out
 * items, candidates and what is left out are those of the evaluation, so are the rules.
 * They follow each other, each in a memory context of its own.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "model/als.h"
#include "model/knn.h"
#include "train/evaluate.h"
#include "util/compat.h"

PG_FUNCTION_INFO_V1(mr_compare);

/* Of item_knn; chosen on validation splits, see doc/training.md. */
#define KNN_NEIGHBOURS 100
#define KNN_SHRINKAGE 50.0

typedef enum Recommender
{
	RECOMMENDER_MODEL,
	RECOMMENDER_POPULARITY,
	RECOMMENDER_ITEM_KNN,
	RECOMMENDER_ALS,
	RECOMMENDER_BPR,
	RECOMMENDERS
} Recommender;

static const char *const recommender_words[RECOMMENDERS] = {"model", "popularity", "item_knn", "als", "bpr"};

/* What the comparators are made of and where. */
typedef struct Comparison
{
	MrEvaluation *evaluation;
	const MrInteractions *train;
	MemoryContext context;		/* of the current one, below that of the run */
	MrRankInput in;				/* what evaluation->in was */
	MrScorer	scorer;
} Comparison;

/* ---- arguments ---- */

static Recommender
recommender_of(const char *word)
{
	for (int i = 0; i < RECOMMENDERS; i++)
		if (pg_strcasecmp(recommender_words[i], word) == 0)
			return (Recommender) i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"", "recommenders", word),
			 errhint("Valid values are \"model\", \"popularity\", \"item_knn\", \"als\", \"bpr\".")));
}

/* Which ones are wanted, each once, in the order given. */
static int
read_recommenders(ArrayType *array, Recommender *wanted)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			n_wanted = 0;
	bool		has[RECOMMENDERS] = {false};

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		Recommender r;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not contain nulls", "recommenders")));
		r = recommender_of(TextDatumGetCString(values[i]));
		if (!has[r])
			wanted[n_wanted++] = r;
		has[r] = true;
	}
	if (n_wanted == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be empty", "recommenders")));
	return n_wanted;
}

/* ---- making them ---- */

/* Memory of the current one, checked against the limit. */
static void *
allocate(Comparison *c, Size bytes)
{
	mr_evaluate_check_memory(c->evaluation->run->context, bytes);
	return MemoryContextAllocHuge(c->context, Max(bytes, 1));
}

static int
compare_counts(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/*
 * The items on a line, the users at its end: the place of an item is the number of
 * greater counts that there are, so that places are exact and ties remain ties.
 */
static void
make_popularity(Comparison *c)
{
	MrRankInput *in = &c->evaluation->in;
	int32		n_items = c->train->n_items;
	int64	   *count = allocate(c, mul_size(2 * sizeof(int64), n_items));
	int64	   *sorted = count + n_items;
	float	   *items = allocate(c, mul_size(sizeof(float), n_items));
	float	   *users = allocate(c, mul_size(sizeof(float), c->train->n_users));
	int32		n = 0;

	memset(count, 0, sizeof(int64) * n_items);
	for (int64 p = 0; p < c->train->n_pairs; p++)
	{
		if ((p & 0xfffff) == 0)
			CHECK_FOR_INTERRUPTS();
		count[c->train->items[p]]++;
	}
	memcpy(sorted, count, sizeof(int64) * n_items);
	qsort(sorted, n_items, sizeof(int64), compare_counts);
	for (int32 i = 0; i < n_items; i++)
		if (n == 0 || sorted[i] != sorted[n - 1])
			sorted[n++] = sorted[i];
	for (int32 i = 0; i < n_items; i++)
	{
		int64	   *place = bsearch(&count[i], sorted, n, sizeof(int64), compare_counts);

		items[i] = (float) (place - sorted);
	}
	memset(users, 0, mul_size(sizeof(float), c->train->n_users));
	in->dimensions = 1;
	in->users = users;
	in->items = items;
}

static void
make_item_knn(Comparison *c)
{
	MrRun	   *run = c->evaluation->run;
	Size		bytes = mr_knn_bytes(c->train, KNN_NEIGHBOURS);
	MrKnn	   *knn = mr_knn_init(allocate(c, bytes), bytes, c->train, KNN_NEIGHBOURS);

	mr_run_check_status(run, mr_knn_build(knn, KNN_SHRINKAGE, mr_run_poll, run));
	c->scorer.scores = mr_knn_scores;
	c->scorer.arg = knn;
	c->evaluation->in.scorer = &c->scorer;
}

/* The hyper-parameters of a factorisation: its recipe, the model's seed and dimensions. */
static MrHyper
hyper_of(const Comparison *c, MrAlgorithm algorithm)
{
	const MrOptions *options = &c->evaluation->run->options;
	MrHyper		hyper = {0};
	uint64		set = (UINT64CONST(1) << MR_HYPER_ALGORITHM) | (UINT64CONST(1) << MR_HYPER_DIMENSIONS);

	hyper.algorithm = algorithm;
	hyper.dimensions = Min(Max(c->in.dimensions, 3), MR_ALS_MAX_WIDTH + 1);
	if (mr_option_is_set(options, MR_HYPER_SEED))
	{
		hyper.seed = options->hyper.seed;
		set |= UINT64CONST(1) << MR_HYPER_SEED;
	}
	mr_recipe_fill(&hyper, set, c->train);
	return hyper;
}

static const char *
word_of(MrAlgorithm algorithm)
{
	return recommender_words[algorithm == MR_ALGORITHM_ALS ? RECOMMENDER_ALS : RECOMMENDER_BPR];
}

/* The hyper-parameters are not the user's, so the hint of a training would mislead. */
static void
check_factors(const Comparison *c, MrAlgorithm algorithm, MrStatus status)
{
	if (status == MR_DIVERGED)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" diverged on the interactions of model \"%s\"", word_of(algorithm), c->evaluation->run->model->name),
				 errdetail("Very large or very different weights of interactions can do that."),
				 errhint("Leave it out of \"recommenders\".")));
	mr_run_check_status(c->evaluation->run, status);
}

static void
make_factors(Comparison *c, MrAlgorithm algorithm)
{
	MrRun	   *run = c->evaluation->run;
	MrRankInput *in = &c->evaluation->in;
	MrHyper		hyper = hyper_of(c, algorithm);
	MrInteractions x = *c->train;
	Size		bytes;
	Size		point = mul_size(sizeof(float), hyper.dimensions);
	float	   *users = allocate(c, mul_size(point, x.n_users));
	float	   *items = allocate(c, mul_size(point, x.n_items));
	void	   *memory;
	MrTrainer  *trainer;
	MrStatus	status;
	MrEpochResult result;

	x.user_features = x.item_features = NULL;
	run->hyper = hyper;			/* for messages */
	bytes = mr_trainer_bytes(&hyper, &x, NULL);
	memory = allocate(c, bytes);
	trainer = mr_trainer_init(memory, bytes, &hyper, &x, NULL, &status);
	if (status == MR_NO_NEGATIVE)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("\"%s\" has nothing to learn from in the interactions of model \"%s\"", word_of(algorithm), run->model->name),
				 errdetail("There is no pair of a user and an item that it could tell from the others."),
				 errhint("Leave it out of \"recommenders\".")));
	mr_run_check_status(run, status);
	for (int32 epoch = 0; epoch < hyper.epochs; epoch++)
		check_factors(c, algorithm, mr_trainer_epoch(trainer, mr_run_poll, run, &result));
	check_factors(c, algorithm, mr_trainer_export(trainer, mr_run_poll, run, users, items));
	pfree(memory);
	in->dimensions = hyper.dimensions;
	in->users = users;
	in->items = items;
}

static void
make(Comparison *c, Recommender recommender)
{
	switch (recommender)
	{
		case RECOMMENDER_POPULARITY:
			make_popularity(c);
			break;
		case RECOMMENDER_ITEM_KNN:
			make_item_knn(c);
			break;
		case RECOMMENDER_ALS:
			make_factors(c, MR_ALGORITHM_ALS);
			break;
		case RECOMMENDER_BPR:
			make_factors(c, MR_ALGORITHM_BPR);
			break;
		default:
			break;
	}
}

/* ---- the function ---- */

/* The pairs that the comparators learn from. */
static const MrInteractions *
training_pairs(MrEvaluation *evaluation)
{
	const MrInteractions *x = &evaluation->run->holdout.train;

	if (x->user_start == NULL)	/* a test relation was given, nothing was held out here */
	{
		SPI_connect();
		x = &mr_evaluate_load_pairs(evaluation, evaluation->run->model->interactions, true)->pairs;
		SPI_finish();
	}
	if (x->n_pairs == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("the interactions of model \"%s\" have no pair of a user and an item that it knows",
						evaluation->run->model->name)));
	return x;
}

/*
 * metricrec.compare(name, test, k, candidates, exclude, recommenders)
 *	-> rows (recommender, metric, k, value)
 *
 * Metrics as metricrec.evaluate(), whose arguments the first five are; those of tags and
 * the counts are left to it.
 *
 * Errors: those of metricrec.evaluate(); 22023, 22004 recommenders.
 */
Datum
mr_compare(PG_FUNCTION_ARGS)
{
	MrMetricRows rows = {(ReturnSetInfo *) fcinfo->resultinfo, NULL};
	MrEvaluation evaluation = {0};
	Comparison	c = {&evaluation};
	Recommender wanted[RECOMMENDERS];
	int32	   *k;
	int			n_k;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(5))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "recommenders")));
	n = read_recommenders(PG_GETARG_ARRAYTYPE_P(5), wanted);
	mr_evaluate_begin(fcinfo, &evaluation, &k, &n_k);
	c.train = training_pairs(&evaluation);
	c.in = evaluation.in;
	for (int i = 0; i < n; i++)
	{
		MrRankOutput ranked = {0};

		c.context = AllocSetContextCreate(evaluation.run->context, "metricrec comparator", ALLOCSET_DEFAULT_SIZES);
		evaluation.in = c.in;
		make(&c, wanted[i]);
		mr_evaluate_rank(&evaluation, c.context, &ranked);
		rows.recommender = recommender_words[wanted[i]];
		mr_evaluate_put(&rows, &evaluation, c.context, &ranked, k, n_k);
		MemoryContextDelete(c.context);
	}
	MemoryContextDelete(evaluation.run->context);
	return (Datum) 0;
}
