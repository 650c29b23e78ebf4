/*
 * evaluate.c
 *		metricrec.evaluate: ranking metrics of a model.
 *
 *	test given		the active version's points; held out = the rows of `test`,
 *					left out = the live interactions and `exclude`
 *	test NULL		there are no held-out rows, so some are made: one positive per
 *					user is held out, the model's recipe is trained on the rest, and
 *					that is evaluated; nothing of it is kept (evaluate_holdout.c)
 *
 * Everything is read as the calling role and with the snapshot of the calling
 * query, and nothing is written: it works on a standby.
 *
 * With tags, held-out posts are evaluated beside (evaluate_tags.c).
 *
 * Limit: a user is ranked from the stored point.  Interactions that came after
 * the training, which recommend() would pool in, are only left out here.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "math/gemm.h"
#include "metricrec.h"
#include "train/evaluate.h"
#include "util/compat.h"
#include "util/guc.h"

PG_FUNCTION_INFO_V1(mr_evaluate);

/* Longer lists are no recommendations; more values of k are a mistake. */
#define MAX_K 10000
#define MAX_N_K 100

/* ---- memory ---- */

/* Refuses what does not fit beside what `context` holds, before it is allocated. */
void
mr_evaluate_check_memory(MemoryContext context, Size more)
{
	Size		needed = add_size(MemoryContextMemAllocated(context, true), more);

	if (needed > (Size) mr_training_memory * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("the evaluation does not fit into metricrec.training_memory"),
				 errdetail("It needs %zu kB; the setting allows %d kB.", needed / 1024 + 1, mr_training_memory),
				 errhint("Raise metricrec.training_memory, or evaluate fewer users or a smaller \"k\".")));
}

/* ---- arguments ---- */

/* The values of k, checked, in the order given. */
static int32 *
read_k(ArrayType *array, int *n)
{
	Datum	   *values;
	bool	   *nulls;
	int32	   *k;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &values, &nulls, n);
	if (*n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be empty", "k")));
	if (*n > MAX_N_K)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" has %d values; the maximum is %d", "k", *n, MAX_N_K)));
	k = palloc(sizeof(int32) * *n);
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not contain nulls", "k")));
		k[i] = DatumGetInt32(values[i]);
		if (k[i] < 1 || k[i] > MAX_K)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("value %d is out of range for \"%s\"", k[i], "k"),
					 errdetail("Valid values are from 1 to %d.", MAX_K)));
	}
	return k;
}

/* ---- reading pairs ---- */

/*
 * Pairs of a relation that has the model's column names.  positives: only rows
 * that training would take as positives, as far as the relation has the rating
 * and the weight column at all; else every row counts.
 */
static MrDatasetSource
source_of(const MrModel *model, Oid relation, bool positives)
{
	MrDatasetSource source = {0};

	source.relation = relation;
	source.user_column = model->user_column;
	source.item_column = model->item_column;
	if (positives && model->rating_column && get_attnum(relation, model->rating_column) > 0)
	{
		source.rating_column = model->rating_column;
		source.has_min_rating = model->has_min_rating;
		source.min_rating = model->min_rating;
	}
	if (positives && model->weight_column && get_attnum(relation, model->weight_column) > 0)
		source.weight_column = model->weight_column;
	return source;
}

MrMappedPairs *
mr_evaluate_load_pairs(MrEvaluation *evaluation, Oid relation, bool positives)
{
	MemoryContext context = evaluation->run->context;
	MrDatasetSource source = source_of(evaluation->run->model, relation, positives);

	return mr_dataset_load_mapped(&source, evaluation->users, evaluation->items, context,
								  mr_training_memory_left(MemoryContextMemAllocated(context, true)));
}

/* The active version against the rows of a table. */
static void
prepare_test(MrEvaluation *evaluation, Oid test)
{
	MrRun	   *run = evaluation->run;
	const MrModel *model = run->model;
	MrPointTable users;
	MrPointTable items;
	MrMappedPairs *held_out;

	if (get_rel_name(model->interactions) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the interactions of model \"%s\" no longer exist", model->name),
				 errdetail("Items that a user has seen are left out of the ranking, so the interactions must be read.")));

	(void) mr_version_served(model);	/* the error, if there is none */

	/*
	 * The lock that the first read takes on its view keeps an activation off
	 * until the transaction ends: both sides are of one version.
	 */
	mr_points_read(model, MR_SIDE_USER, run->context, &users);
	mr_points_read(model, MR_SIDE_ITEM, run->context, &items);
	if (users.dimensions != items.dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different embedding dimensions %d and %d", users.dimensions, items.dimensions),
				 errdetail("Users and items of model \"%s\" are not points of one space.", model->name)));

	evaluation->users = users.ids;
	evaluation->items = items.ids;
	evaluation->in.dimensions = items.dimensions;
	evaluation->in.users = users.points;
	evaluation->in.items = items.points;
	evaluation->item_counts = items.interactions;
	evaluation->n_training_users = mr_idmap_size(users.ids);

	held_out = mr_evaluate_load_pairs(evaluation, test, true);
	evaluation->in.held_out = &held_out->pairs;
	evaluation->in.unknown_items = held_out->unknown_items;
	evaluation->unknown_users = held_out->unknown_users;
	evaluation->in.excluded = &mr_evaluate_load_pairs(evaluation, model->interactions, false)->pairs;
	if (mr_evaluate_has_tags(model, test))
	{
		MrDatasetSource held = source_of(model, test, true);
		MrDatasetSource given = source_of(model, model->interactions, false);

		held.tag_column = given.tag_column = model->tag_column;
		mr_evaluate_read_tags(evaluation, &held, &given);
	}
}

/* The candidates and further pairs to leave out; InvalidOid = not given. */
static void
read_restrictions(MrEvaluation *evaluation, Oid candidates, Oid exclude)
{
	MrMappedPairs *pairs;

	if (OidIsValid(candidates))
		evaluation->in.candidates = &mr_evaluate_load_pairs(evaluation, candidates, false)->pairs;
	if (!OidIsValid(exclude))
		return;
	pairs = mr_evaluate_load_pairs(evaluation, exclude, false);
	if (evaluation->in.excluded_more)
		mr_evaluate_add_pairs(evaluation, &pairs->pairs);
	else
		evaluation->in.excluded_more = &pairs->pairs;
}

/* ---- ranking ---- */

/*
 * Counts who is evaluated.  A user without a candidate has nothing to be ranked
 * against and so a perfect score, which nobody wants unnoticed.
 */
static void
count_evaluated(MrEvaluation *evaluation)
{
	const MrInteractions *held = evaluation->in.held_out;
	const MrInteractions *candidates = evaluation->in.candidates;
	const int32 *unknown = evaluation->in.unknown_items;
	int64		unopposed = 0;

	for (int32 u = 0; u < held->n_users; u++)
	{
		bool		known = held->user_start[u + 1] > held->user_start[u];
		int32		missing = unknown ? unknown[u] : 0;

		evaluation->unknown_items += missing;
		if (known || missing > 0)
			evaluation->evaluated++;
		if (known && candidates && candidates->user_start[u + 1] == candidates->user_start[u])
			unopposed++;
	}
	evaluation->evaluated += evaluation->unknown_users;
	if (evaluation->evaluated == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("the test relation has no held-out interactions"),
				 errhint("Rows without user or item, and rows that the model would not take as positives, do not count.")));
	if (unopposed > 0)
		ereport(WARNING,
				(errmsg(INT64_FORMAT " of " INT64_FORMAT " users have no candidates",
						unopposed, evaluation->evaluated),
				 errdetail("Their held-out items are ranked against nothing and count as found.")));
}

/* Ranks and lists, allocated in `context`, which is run->context or below it. */
void
mr_evaluate_rank(MrEvaluation *evaluation, MemoryContext context, MrRankOutput *out)
{
	MrRun	   *run = evaluation->run;
	const MrInteractions *held = evaluation->in.held_out;
	Size		bytes = mr_rank_bytes(&evaluation->in);
	Size		lists = mul_size(mul_size(sizeof(int32), held->n_users), evaluation->in.top_k);
	Size		ranks = mul_size(sizeof(int32), Max(held->n_pairs, 1));
	void	   *memory;

	/* Without OpenBLAS the ranks are the same, only slower. */
	if (evaluation->in.candidates == NULL)
		(void) mr_gemm_load();
	mr_evaluate_check_memory(run->context,
							 add_size(add_size(bytes, mr_metrics_bytes(&evaluation->in)),
									  add_size(lists, ranks)));
	memory = MemoryContextAllocHuge(context, bytes);
	out->ranks = MemoryContextAllocHuge(context, ranks);
	out->top = MemoryContextAllocHuge(context, Max(lists, 1));
	mr_run_check_status(run, mr_rank(&evaluation->in, memory, bytes, mr_run_poll, run, out));
	pfree(memory);
}

/* ---- the result ---- */

/* A row; k = 0 and a value that is not a number become nulls. */
static void
put_row(const MrMetricRows *rows, const char *metric, int32 k, double value)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, k == 0, isnan(value)};
	int			first = rows->recommender ? 0 : 1;

	if (rows->recommender)
		values[0] = CStringGetTextDatum(rows->recommender);
	values[1] = CStringGetTextDatum(metric);
	values[2] = Int32GetDatum(k);
	values[3] = Float8GetDatum(value);
	tuplestore_putvalues(rows->rsinfo->setResult, rows->rsinfo->setDesc, values + first, nulls + first);
}

static void
put_metrics(const MrMetricRows *rows, const MrMetrics *m)
{
	put_row(rows, "hit_rate", m->k, m->hit_rate);
	put_row(rows, "recall", m->k, m->recall);
	put_row(rows, "precision", m->k, m->precision);
	put_row(rows, "ndcg", m->k, m->ndcg);
	put_row(rows, "map", m->k, m->map);
	put_row(rows, "mrr", m->k, m->mrr);
	put_row(rows, "coverage", m->k, m->coverage);
	put_row(rows, "popularity", m->k, m->popularity);
	put_row(rows, "novelty", m->k, m->novelty);
}

/* Beside the means of precision and recall, the harmonic mean of the two. */
static void
put_tag_metrics(const MrMetricRows *rows, const MrMetrics *m)
{
	double		sum = m->precision + m->recall;

	put_row(rows, "tag_hit_rate", m->k, m->hit_rate);
	put_row(rows, "tag_recall", m->k, m->recall);
	put_row(rows, "tag_precision", m->k, m->precision);
	put_row(rows, "tag_f1", m->k, sum > 0 ? 2 * m->precision * m->recall / sum : sum);
	put_row(rows, "tag_ndcg", m->k, m->ndcg);
	put_row(rows, "tag_mrr", m->k, m->mrr);
}

/* The tags' rows, if there are any. */
static void
put_tags(const MrMetricRows *rows, MrEvaluation *evaluation, const int32 *k, int n_k)
{
	MrMetrics  *metrics = palloc(sizeof(MrMetrics) * n_k);

	if (!mr_evaluate_tags(evaluation, k, n_k, metrics))
		return;
	for (int i = 0; i < n_k; i++)
		put_tag_metrics(rows, &metrics[i]);
	put_row(rows, "posts", 0, (double) evaluation->tags.posts);
	put_row(rows, "unknown_posts", 0, (double) evaluation->tags.unknown_posts);
	put_row(rows, "unknown_tags", 0, (double) evaluation->tags.unknown_tags);
}

/*
 * The rows of one recommender.  Scratch comes from `context`, which is run->context or
 * below it.
 */
void
mr_evaluate_put(const MrMetricRows *rows, MrEvaluation *evaluation, MemoryContext context,
				const MrRankOutput *ranked, const int32 *k, int n_k)
{
	MrMetricsInput counts = {evaluation->item_counts, evaluation->n_training_users, evaluation->unknown_users,
	mr_run_poll, evaluation->run};
	void	   *scratch = MemoryContextAllocHuge(context, Max(mr_metrics_bytes(&evaluation->in), 1));

	for (int i = 0; i < n_k; i++)
	{
		MrMetrics	metrics;

		mr_run_check_status(evaluation->run,
							mr_metrics(&evaluation->in, ranked, &counts, k[i], scratch, &metrics));
		put_metrics(rows, &metrics);
	}
}

/* What the means are over. */
static void
put_counts(const MrMetricRows *rows, const MrEvaluation *evaluation)
{
	put_row(rows, "users", 0, (double) evaluation->evaluated);
	put_row(rows, "unknown_users", 0, (double) evaluation->unknown_users);
	put_row(rows, "unknown_items", 0, (double) evaluation->unknown_items);
}

/* ---- the function ---- */

/* A run that only evaluates: no lock, no log, no version. */
static MrRun *
begin(const char *name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "metricrec evaluation",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	MrRun	   *run = palloc0(sizeof(MrRun));

	run->context = context;
	run->quiet = true;
	run->model = mr_model_lookup(name, MR_MODEL_QUERY);
	mr_check_views(run->model);
	mr_options_read(run->model->options, &run->options);
	MemoryContextSwitchTo(before);
	return run;
}

/*
 * Everything up to the ranking, from the arguments name, test, k, candidates, exclude
 * that a function begins with; *k with n_k values.  Leaves evaluation->run->context to be
 * deleted.
 */
void
mr_evaluate_begin(FunctionCallInfo fcinfo, MrEvaluation *evaluation, int32 **k, int *n_k)
{
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "k")));
	*k = read_k(PG_GETARG_ARRAYTYPE_P(2), n_k);
	evaluation->run = begin(mr_name_argument(fcinfo, 0));
	for (int i = 0; i < *n_k; i++)
		evaluation->in.top_k = Max(evaluation->in.top_k, (*k)[i]);

	SPI_connect();
	if (PG_ARGISNULL(1))
		mr_evaluate_prepare_holdout(evaluation);
	else
		prepare_test(evaluation, PG_GETARG_OID(1));
	read_restrictions(evaluation, PG_ARGISNULL(3) ? InvalidOid : PG_GETARG_OID(3),
					  PG_ARGISNULL(4) ? InvalidOid : PG_GETARG_OID(4));
	SPI_finish();
	count_evaluated(evaluation);
}

/*
 * metricrec.evaluate(name, test, k, candidates, exclude)
 *	-> rows (metric, k, value)
 *
 * Metrics and rules: ranking.h and doc/evaluation.md.  At the end, without k:
 * users (evaluated, unknown ones included), unknown_users, unknown_items; with tags
 * posts, unknown_posts, unknown_tags.
 *
 * Errors: 22023, 22004 k; 55000 never trained; 42P01 interactions dropped;
 * P0002 nothing to evaluate; 22000 points of different dimensions; 53200 beyond
 * metricrec.training_memory; those of mr_dataset_load_mapped() for each relation.
 */
Datum
mr_evaluate(PG_FUNCTION_ARGS)
{
	MrMetricRows rows = {(ReturnSetInfo *) fcinfo->resultinfo, NULL};
	MrEvaluation evaluation = {0};
	MrRankOutput ranked = {0};
	int32	   *k;
	int			n_k;

	InitMaterializedSRF(fcinfo, 0);
	mr_evaluate_begin(fcinfo, &evaluation, &k, &n_k);
	mr_evaluate_rank(&evaluation, evaluation.run->context, &ranked);
	mr_evaluate_put(&rows, &evaluation, evaluation.run->context, &ranked, k, n_k);
	put_counts(&rows, &evaluation);
	put_tags(&rows, &evaluation, k, n_k);
	MemoryContextDelete(evaluation.run->context);
	return (Datum) 0;
}
