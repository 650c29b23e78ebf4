/*
 * trainer_bench.c
 *		Drive the trainer core from the command line, without a server.
 *
 *		trainer_bench FILE.tsv [name=value ...]
 *
 * FILE has a header line and tab-separated integers: user, item and, for the
 * leave-one-out protocol, the order in the user's history.  Columns are chosen by
 * user=1 item=2 order=4 (numbers from 1).  Protocols:
 *		protocol=loo	the last item of each user is held out (part=test) or the one
 *						before it (part=validation), ranked among 99 random items the
 *						user never touched: hit rate and NDCG; with exact=1 their means
 *						over all draws of the 99, from the rank among all such items
 *		protocol=split	60/20/20 of each user with at least 5 items; all other items
 *						are ranked: recall at 50 and 100; validation is never trained on;
 *						smaller users are trained on unless drop_small=1
 *		protocol=none	train on everything, time only
 * part=validation is the default.  With order=N the training knows the order, too,
 * unless times=0.  Hyper-parameters have the names of trainer.h,
 * e.g. loss=cml epochs=20 tower=free preset=cml_paper, or algorithm=als|bpr; repeat=N trains
 * with N seeds.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "math/gemm.h"
#include "model/als.h"
#include "model/ranking.h"
#include "model/recency.h"
#include "model/trainer.h"
#include "util/rng.h"

#define NEGATIVES_PER_USER 99

typedef struct Row
{
	int64_t		user;
	int64_t		item;
	int64_t		order;
} Row;

typedef struct Data
{
	int64_t		n;
	Row		   *rows;			/* ids already replaced by numbers from 0 */
	int32_t		n_users;
	int32_t		n_items;
} Data;

typedef struct Options
{
	const char *file;
	int			column[3];
	const char *protocol;
	bool		test;
	bool		quiet;
	bool		drop_small;
	bool		exact;			/* expected hit rates, instead of one draw's */
	bool		times;			/* the training knows the order */
	int			repeat;
	MrHyper		hyper;
	uint64_t	set;
} Options;

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + 1e-9 * now.tv_nsec;
}

static void *
get_memory(size_t bytes)
{
	void	   *p = malloc(bytes > 0 ? bytes : 1);

	if (p == NULL)
	{
		fprintf(stderr, "out of memory: %zu bytes\n", bytes);
		exit(1);
	}
	return p;
}

static int
compare_int64(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return x < y ? -1 : x > y;
}

static int
compare_rows(const void *a, const void *b)
{
	const Row  *x = a;
	const Row  *y = b;

	if (x->user != y->user)
		return x->user < y->user ? -1 : 1;
	if (x->item != y->item)
		return x->item < y->item ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Replace one id column by numbers in id order; returns how many there are. */
static int32_t
number_ids(Data *d, size_t offset)
{
	int64_t    *ids = get_memory(d->n * sizeof(int64_t));
	int64_t		n = 0;

	for (int64_t i = 0; i < d->n; i++)
		ids[i] = *(int64_t *) ((char *) &d->rows[i] + offset);
	qsort(ids, d->n, sizeof(int64_t), compare_int64);
	for (int64_t i = 0; i < d->n; i++)
		if (i == 0 || ids[i] != ids[i - 1])
			ids[n++] = ids[i];
	for (int64_t i = 0; i < d->n; i++)
	{
		int64_t    *id = (int64_t *) ((char *) &d->rows[i] + offset);

		*id = (int64_t *) bsearch(id, ids, n, sizeof(int64_t), compare_int64) - ids;
	}
	free(ids);
	return (int32_t) n;
}

/* Read the file, drop duplicates, sort by user and item. */
static void
load(const Options *o, Data *d)
{
	FILE	   *f = fopen(o->file, "r");
	char		line[4096];
	int64_t		room = 1 << 20;
	int64_t		n = 0;

	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
	{
		fprintf(stderr, "could not read %s\n", o->file);
		exit(1);
	}
	memset(d, 0, sizeof(*d));
	d->rows = get_memory(room * sizeof(Row));
	while (fgets(line, sizeof(line), f))
	{
		int64_t		value[3] = {0, 0, 0};
		int			column = 1;

		for (char *p = line; p != NULL; p = strchr(p, '\t'), column++)
		{
			if (*p == '\t')
				p++;
			for (int i = 0; i < 3; i++)
				if (o->column[i] == column)
					value[i] = *p == '\\' ? -1 : strtoll(p, NULL, 10);
		}
		if (d->n == room)
		{
			room *= 2;
			d->rows = realloc(d->rows, room * sizeof(Row));
			if (d->rows == NULL)
				exit(1);
		}
		d->rows[d->n++] = (Row) {value[0], value[1], value[2]};
	}
	fclose(f);
	d->n_users = number_ids(d, offsetof(Row, user));
	d->n_items = number_ids(d, offsetof(Row, item));
	qsort(d->rows, d->n, sizeof(Row), compare_rows);
	for (int64_t i = 0; i < d->n; i++)
		if (n == 0 || d->rows[i].user != d->rows[n - 1].user || d->rows[i].item != d->rows[n - 1].item)
			d->rows[n++] = d->rows[i];
	d->n = n;
}

/* The rows whose part is `part` as a matrix. */
static void
select_part(const Data *d, const uint8_t *parts, uint8_t wanted_mask, bool with_times, MrInteractions *x)
{
	memset(x, 0, sizeof(*x));
	x->n_users = d->n_users;
	x->n_items = d->n_items;
	x->user_start = get_memory((d->n_users + 1) * sizeof(int64_t));
	x->items = get_memory(d->n * sizeof(int32_t));
	x->times = with_times ? get_memory(d->n * sizeof(int64_t)) : NULL;
	memset(x->user_start, 0, (d->n_users + 1) * sizeof(int64_t));
	for (int64_t i = 0; i < d->n; i++)
		if (parts[i] & wanted_mask)
		{
			if (with_times)
				x->times[x->n_pairs] = d->rows[i].order;
			x->items[x->n_pairs++] = (int32_t) d->rows[i].item;
			x->user_start[d->rows[i].user + 1]++;
		}
	for (int32_t u = 0; u < d->n_users; u++)
		x->user_start[u + 1] += x->user_start[u];
}

enum
{
	TRAIN = 1, VALIDATION = 2, TEST = 4
};

/* Mark each row as train, validation or test. */
static void
split(const Options *o, const Data *d, uint8_t *parts)
{
	MrRng		rng;

	mr_rng_seed(&rng, 20170403);
	for (int64_t first = 0, end; first < d->n; first = end)
	{
		uint32_t	order[65536];
		int64_t		n;

		for (end = first; end < d->n && d->rows[end].user == d->rows[first].user; end++)
			parts[end] = TRAIN;
		n = end - first;
		if (strcmp(o->protocol, "loo") == 0)
		{
			int64_t		last = first;
			int64_t		before = -1;

			for (int64_t i = first + 1; i < end; i++)
				if (d->rows[i].order > d->rows[last].order)
					last = i;
			for (int64_t i = first; i < end; i++)
				if (i != last && (before < 0 || d->rows[i].order > d->rows[before].order))
					before = i;
			if (n >= 3)
			{
				parts[last] = TEST;
				parts[before] = VALIDATION;
			}
		}
		else if (n < 5 && o->drop_small)
			memset(parts + first, 0, n);
		else if (strcmp(o->protocol, "split") == 0 && n >= 5 && n <= 65536)
		{
			for (int64_t i = 0; i < n; i++)
				order[i] = (uint32_t) i;
			mr_rng_shuffle(&rng, order, (uint32_t) n);
			for (int64_t i = 0; i < n; i++)
				parts[first + order[i]] = i * 5 < n ? TEST : i * 5 < 2 * n ? VALIDATION : TRAIN;
		}
	}
}

static double
squared_distance(const float *a, const float *b, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) (a[i] - b[i]) * (a[i] - b[i]);
	return sum;
}

/* Hit rate and NDCG among 99 random items that the user never touched. */
static void
evaluate_sampled(const MrInteractions *all, const MrInteractions *held, int dimensions,
				 const float *users, const float *items, uint64_t seed)
{
	double		hit[3] = {0, 0, 0};
	double		ndcg[3] = {0, 0, 0};
	static const int at[3] = {5, 10, 20};
	int64_t		n = 0;
	MrRng		rng;

	mr_rng_seed(&rng, seed);
	for (int32_t u = 0; u < held->n_users; u++)
		for (int64_t p = held->user_start[u]; p < held->user_start[u + 1]; p++)
		{
			const float *user = users + (size_t) u * dimensions;
			double		own = squared_distance(user, items + (size_t) held->items[p] * dimensions, dimensions);
			int			rank = 1;

			for (int i = 0; i < NEGATIVES_PER_USER;)
			{
				int32_t		item = (int32_t) mr_rng_below(&rng, held->n_items);

				if (mr_interactions_contain(all, u, item))
					continue;
				rank += squared_distance(user, items + (size_t) item * dimensions, dimensions) <= own;
				i++;
			}
			n++;
			for (int i = 0; i < 3; i++)
				if (rank <= at[i])
				{
					hit[i]++;
					ndcg[i] += 1 / log2(rank + 1.0);
				}
		}
	printf("  HR@5 %.4f  HR@10 %.4f  HR@20 %.4f  NDCG@10 %.4f\n", hit[0] / n, hit[1] / n, hit[2] / n, ndcg[1] / n);
}

/* log(n!) */
static double
log_factorial(int32_t n)
{
	return lgamma(n + 1.0);
}

/* The chance that of `draws` different ones of n items, of which `nearer` are nearer, just `hits` are nearer. */
static double
hypergeometric(int32_t n, int32_t nearer, int32_t draws, int32_t hits)
{
	if (hits > nearer || draws - hits > n - nearer)
		return 0;
	return exp(log_factorial(nearer) - log_factorial(hits) - log_factorial(nearer - hits) +
			   log_factorial(n - nearer) - log_factorial(draws - hits) - log_factorial(n - nearer - draws + hits) -
			   log_factorial(n) + log_factorial(draws) + log_factorial(n - draws));
}

/*
 * As evaluate_sampled(), but the means over all draws of 99 different items, so that the
 * draw's noise is not in the difference of two settings.
 */
static void
evaluate_expected(const MrInteractions *all, const MrInteractions *held, int dimensions,
				  const float *users, const float *items)
{
	double		hit[3] = {0, 0, 0};
	double		ndcg = 0;
	int64_t		n = 0;

	for (int32_t u = 0; u < held->n_users; u++)
		for (int64_t p = held->user_start[u]; p < held->user_start[u + 1]; p++)
		{
			const float *user = users + (size_t) u * dimensions;
			double		own = squared_distance(user, items + (size_t) held->items[p] * dimensions, dimensions);
			int32_t		others = 0;
			int32_t		nearer = 0;

			for (int32_t i = 0; i < held->n_items; i++)
			{
				if (mr_interactions_contain(all, u, i))
					continue;
				others++;
				nearer += squared_distance(user, items + (size_t) i * dimensions, dimensions) <= own;
			}
			if (others < NEGATIVES_PER_USER)
				continue;
			n++;
			for (int rank = 1; rank <= 20; rank++)
			{
				double		chance = hypergeometric(others, nearer, NEGATIVES_PER_USER, rank - 1);

				hit[0] += rank <= 5 ? chance : 0;
				hit[1] += rank <= 10 ? chance : 0;
				hit[2] += chance;
				ndcg += rank <= 10 ? chance / log2(rank + 1.0) : 0;
			}
		}
	printf("  expected: HR@5 %.4f  HR@10 %.4f  HR@20 %.4f  NDCG@10 %.4f\n", hit[0] / n, hit[1] / n, hit[2] / n, ndcg / n);
}

/* Recall of all held-out items among all items but those trained on (or masked). */
static void
evaluate_full(const MrInteractions *masked, const MrInteractions *held, int dimensions,
			  const float *users, const float *items)
{
	static const int at[3] = {20, 50, 100};
	double		recall[3] = {0, 0, 0};
	float	   *score = get_memory(held->n_items * sizeof(float));
	float	   *norm = get_memory(held->n_items * sizeof(float));
	int64_t		n = 0;

	for (int32_t i = 0; i < held->n_items; i++)
	{
		norm[i] = 0;
		for (int k = 0; k < dimensions; k++)
			norm[i] += items[(size_t) i * dimensions + k] * items[(size_t) i * dimensions + k];
	}
	for (int32_t u = 0; u < held->n_users; u++)
	{
		int64_t		size = held->user_start[u + 1] - held->user_start[u];

		if (size == 0)
			continue;
		mr_gemm(MR_AS_IS, MR_TRANSPOSED, 1, held->n_items, dimensions, 2, users + (size_t) u * dimensions, dimensions,
				items, dimensions, 0, score, held->n_items);
		for (int32_t i = 0; i < held->n_items; i++)
			score[i] -= norm[i];
		for (int64_t p = masked->user_start[u]; p < masked->user_start[u + 1]; p++)
			score[masked->items[p]] = -INFINITY;
		for (int64_t p = held->user_start[u]; p < held->user_start[u + 1]; p++)
		{
			float		own = score[held->items[p]];
			int64_t		rank = 0;

			for (int32_t i = 0; i < held->n_items; i++)
				rank += score[i] >= own;
			for (int i = 0; i < 3; i++)
				recall[i] += rank <= at[i] ? 1.0 / size : 0;
		}
		n++;
	}
	printf("  recall@20 %.4f  recall@50 %.4f  recall@100 %.4f  (%lld users)\n",
		   recall[0] / n, recall[1] / n, recall[2] / n, (long long) n);
	free(score);
	free(norm);
}

/*
 * What metricrec.evaluate() has at 10 among all items but those trained on (or
 * masked): who is found, and which items are in the lists.
 */
static void
evaluate_lists(const MrInteractions *trained, const MrInteractions *masked, const MrInteractions *held, int dimensions,
			   const float *users, const float *items)
{
	MrRankInput in = {.dimensions = dimensions, .users = users, .items = items, .held_out = held, .excluded = masked, .top_k = 10};
	MrRankOutput out;
	MrMetricsInput counts = {0};
	MrMetrics	m;
	int64_t    *item_counts = get_memory(held->n_items * sizeof(int64_t));
	void	   *memory = get_memory(mr_rank_bytes(&in));

	out.ranks = get_memory(held->n_pairs * sizeof(int32_t));
	out.top = get_memory((size_t) held->n_users * in.top_k * sizeof(int32_t));
	memset(item_counts, 0, held->n_items * sizeof(int64_t));
	for (int32_t u = 0; u < trained->n_users; u++)
	{
		counts.n_training_users += trained->user_start[u + 1] > trained->user_start[u];
		for (int64_t p = trained->user_start[u]; p < trained->user_start[u + 1]; p++)
			item_counts[trained->items[p]]++;
	}
	counts.item_counts = item_counts;
	if (mr_rank(&in, memory, mr_rank_bytes(&in), NULL, NULL, &out) != MR_OK)
		exit(1);
	free(memory);
	memory = get_memory(mr_metrics_bytes(&in));
	mr_metrics(&in, &out, &counts, in.top_k, memory, &m);
	printf("  all items: HR@10 %.4f  NDCG@10 %.4f  coverage@10 %.4f  popularity@10 %.1f  novelty@10 %.3f\n",
		   m.hit_rate, m.ndcg, m.coverage, m.popularity, m.novelty);
	free(memory);
	free(out.ranks);
	free(out.top);
	free(item_counts);
}

/* name=value pairs of the hyper-parameters. */
static int
find_word(const char *value, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(value, words[i]) == 0)
			return i;
	fprintf(stderr, "unknown word \"%s\"\n", value);
	exit(1);
}

static bool
set_hyper(Options *o, const char *name, const char *value)
{
	static const char *const losses[] = {"softmax", "cml", "triplet", NULL};
	static const char *const samplings[] = {"full", "uniform", "popularity", "hardest", "two_stage", NULL};
	static const char *const towers[] = {"pooled", "free", NULL};
	static const char *const constraints[] = {"sphere", "ball", "none", NULL};
	static const char *const optimizers[] = {"adam", "adagrad", "sgd", NULL};
	static const char *const presets[] = {"none", "cml_paper", "cml_released", "two_stage", "triplet", "dual_tower", NULL};
	static const char *const starts[] = {"random", "als", NULL};
	static const char *const algorithms[] = {"metric", "als", "bpr", NULL};
	static const char *const solvers[] = {"cholesky", "cg", NULL};
	MrHyper    *h = &o->hyper;

#define WORD(n, field, words, BIT) \
	if (strcmp(name, n) == 0) { h->field = find_word(value, words); o->set |= UINT64_C(1) << BIT; return true; }
#define NUMBER(n, field, BIT) \
	if (strcmp(name, n) == 0) { h->field = strtod(value, NULL); o->set |= UINT64_C(1) << BIT; return true; }

	if (strcmp(name, "preset") == 0)
	{
		h->preset = find_word(value, presets);
		return true;
	}
	WORD("algorithm", algorithm, algorithms, MR_HYPER_ALGORITHM);
	WORD("als_solver", als_solver, solvers, MR_HYPER_ALS_SOLVER);
	NUMBER("als_unobserved_weight", als_unobserved_weight, MR_HYPER_ALS_UNOBSERVED_WEIGHT);
	NUMBER("als_regularization", als_regularization, MR_HYPER_ALS_REGULARIZATION);
	WORD("loss", loss, losses, MR_HYPER_LOSS);
	WORD("sampling", sampling, samplings, MR_HYPER_SAMPLING);
	WORD("tower", tower, towers, MR_HYPER_TOWER);
	WORD("constraint", constraint, constraints, MR_HYPER_CONSTRAINT);
	WORD("optimizer", optimizer, optimizers, MR_HYPER_OPTIMIZER);
	NUMBER("dimensions", dimensions, MR_HYPER_DIMENSIONS);
	NUMBER("item_bias", item_bias, MR_HYPER_ITEM_BIAS);
	NUMBER("epochs", epochs, MR_HYPER_EPOCHS);
	NUMBER("batch_size", batch_size, MR_HYPER_BATCH_SIZE);
	NUMBER("learning_rate", learning_rate, MR_HYPER_LEARNING_RATE);
	NUMBER("learning_rate_decay", learning_rate_decay, MR_HYPER_LEARNING_RATE_DECAY);
	NUMBER("temperature", temperature, MR_HYPER_TEMPERATURE);
	NUMBER("margin", margin, MR_HYPER_MARGIN);
	NUMBER("rank_weight", rank_weight, MR_HYPER_RANK_WEIGHT);
	NUMBER("negatives", negatives, MR_HYPER_NEGATIVES);
	NUMBER("candidates", candidates, MR_HYPER_CANDIDATES);
	NUMBER("popularity_exponent", popularity_exponent, MR_HYPER_POPULARITY_EXPONENT);
	WORD("start", start, starts, MR_HYPER_START);
	NUMBER("recency", recency, MR_HYPER_RECENCY);
	NUMBER("propensity_exponent", propensity_exponent, MR_HYPER_PROPENSITY_EXPONENT);
	NUMBER("covariance", covariance, MR_HYPER_COVARIANCE);
	NUMBER("weight_decay", weight_decay, MR_HYPER_WEIGHT_DECAY);
	NUMBER("propagation", propagation, MR_HYPER_PROPAGATION);
	NUMBER("seed", seed, MR_HYPER_SEED);
	return false;
}

static void
parse(Options *o, int argc, char **argv)
{
	memset(o, 0, sizeof(*o));
	o->protocol = "none";
	o->column[0] = 1;
	o->column[1] = 2;
	o->repeat = 1;
	o->times = true;
	if (argc < 2)
	{
		fprintf(stderr, "usage: trainer_bench FILE.tsv [name=value ...]\n");
		exit(1);
	}
	o->file = argv[1];
	for (int i = 2; i < argc; i++)
	{
		char	   *value = strchr(argv[i], '=');

		if (value == NULL)
		{
			fprintf(stderr, "not name=value: %s\n", argv[i]);
			exit(1);
		}
		*value++ = '\0';
		if (strcmp(argv[i], "user") == 0)
			o->column[0] = atoi(value);
		else if (strcmp(argv[i], "item") == 0)
			o->column[1] = atoi(value);
		else if (strcmp(argv[i], "order") == 0)
			o->column[2] = atoi(value);
		else if (strcmp(argv[i], "protocol") == 0)
			o->protocol = value;
		else if (strcmp(argv[i], "part") == 0)
			o->test = strcmp(value, "test") == 0;
		else if (strcmp(argv[i], "quiet") == 0)
			o->quiet = atoi(value) != 0;
		else if (strcmp(argv[i], "drop_small") == 0)
			o->drop_small = atoi(value) != 0;
		else if (strcmp(argv[i], "exact") == 0)
			o->exact = atoi(value) != 0;
		else if (strcmp(argv[i], "times") == 0)
			o->times = atoi(value) != 0;
		else if (strcmp(argv[i], "repeat") == 0)
			o->repeat = atoi(value);
		else if (!set_hyper(o, argv[i], value))
		{
			fprintf(stderr, "unknown name \"%s\"\n", argv[i]);
			exit(1);
		}
	}
}

/* Put the trainer at the points of ALS, as metricrec.train() does. */
static MrStatus
start_from_als(const MrHyper *hyper, const MrInteractions *x, MrTrainer *t)
{
	MrHyper		settings = {0};
	size_t		bytes;
	void	   *memory;
	MrAls	   *als;
	MrStatus	status;
	MrEpochResult result;
	MrStart		start = {0};
	float	   *users = get_memory((size_t) x->n_users * hyper->dimensions * sizeof(float));
	float	   *items = get_memory((size_t) x->n_items * hyper->dimensions * sizeof(float));

	mr_recipe_fill_als_start(&settings, 0, hyper, x);
	bytes = mr_als_bytes(&settings, x);
	memory = get_memory(bytes);
	als = mr_als_init(memory, bytes, &settings, x, &status);
	for (int sweep = 0; als && status == MR_OK && sweep < settings.epochs; sweep++)
		status = mr_als_sweep(als, NULL, NULL, &result);
	if (als && status == MR_OK)
		status = mr_als_export(als, hyper->dimensions, users, items, NULL, NULL);
	start.users = users;
	start.items = items;
	if (status == MR_OK)
		status = mr_trainer_set_start(t, &start, NULL, NULL);
	free(memory);
	free(users);
	free(items);
	return status;
}

/* Weights by recency in place of x's own. */
static void
weigh_by_recency(const MrHyper *hyper, MrInteractions *x)
{
	int64_t    *scratch;
	float	   *weights;

	if (!(hyper->recency > 0) || x->times == NULL)
		return;
	scratch = get_memory(mr_recency_scratch(x) * sizeof(int64_t));
	weights = get_memory(x->n_pairs * sizeof(float));
	mr_recency_weights(x, hyper->recency, scratch, weights, NULL, NULL);
	x->weights = weights;
	free(scratch);
}

/* Train once and print time and speed; the points go to users and items. */
static void
train(const Options *o, const MrHyper *hyper, const MrInteractions *x, float **users, float **items)
{
	size_t		bytes = mr_trainer_bytes(hyper, x, NULL);
	void	   *memory = get_memory(bytes);
	MrStatus	status;
	double		start = seconds();
	MrInteractions weighted = *x;
	MrTrainer  *t;
	int64_t		positives = 0;
	int64_t		negatives = 0;
	double		elapsed;

	weigh_by_recency(hyper, &weighted);
	t = mr_trainer_init(memory, bytes, hyper, &weighted, NULL, &status);
	if (t && hyper->start == MR_START_ALS)
	{
		status = start_from_als(hyper, x, t);
		printf("  start from ALS %.2f s\n", seconds() - start);
	}
	if (t == NULL || status != MR_OK)
	{
		fprintf(stderr, "could not start: status %d\n", status);
		exit(1);
	}
	for (int epoch = 0; epoch < hyper->epochs; epoch++)
	{
		MrEpochResult result;

		status = mr_trainer_epoch(t, NULL, NULL, &result);
		if (status != MR_OK)
		{
			fprintf(stderr, "epoch %d: status %d\n", epoch, status);
			exit(1);
		}
		positives += result.positives;
		negatives += result.negatives;
		if (!o->quiet)
			printf("  epoch %d loss %.5f rate %.4g  %.2f s\n", epoch + 1, result.loss, result.learning_rate,
				   seconds() - start);
	}
	*users = get_memory((size_t) x->n_users * hyper->dimensions * sizeof(float));
	*items = get_memory((size_t) x->n_items * hyper->dimensions * sizeof(float));
	status = mr_trainer_export(t, NULL, NULL, *users, *items);
	elapsed = seconds() - start;
	printf("  %d epochs %.2f s (status %d, %.1f MB): %.2f M positives/s, %.1f M negatives/s\n", hyper->epochs, elapsed,
		   status, bytes / 1e6, positives / elapsed / 1e6, negatives / elapsed / 1e6);
	free(memory);
}

int
main(int argc, char **argv)
{
	Options		o;
	Data		d;
	uint8_t    *parts;
	MrInteractions all;
	MrInteractions trained;
	MrInteractions masked;
	MrInteractions held;
	bool		loo;

	parse(&o, argc, argv);
	load(&o, &d);
	parts = get_memory(d.n);
	split(&o, &d, parts);
	loo = strcmp(o.protocol, "loo") == 0;
	select_part(&d, parts, TRAIN | VALIDATION | TEST, false, &all);
	/* leave-one-out trains on validation items when testing; the 60/20/20 protocol never does */
	select_part(&d, parts, loo && o.test ? TRAIN | VALIDATION : TRAIN, o.times && o.column[2] > 0, &trained);
	select_part(&d, parts, o.test ? TRAIN | VALIDATION : TRAIN, false, &masked);
	select_part(&d, parts, o.test ? TEST : VALIDATION, false, &held);
	if (!o.quiet)
		printf("%d users, %d items, %lld pairs to train on, %lld held out\n", d.n_users, d.n_items,
			   (long long) trained.n_pairs, (long long) held.n_pairs);
	for (int i = 0; i < o.repeat; i++)
	{
		MrHyper		hyper = o.hyper;
		float	   *users;
		float	   *items;

		mr_recipe_fill(&hyper, o.set, &trained);
		hyper.seed += i;
		train(&o, &hyper, &trained, &users, &items);
		if (loo && o.exact)
			evaluate_expected(&all, &held, hyper.dimensions, users, items);
		else if (loo)
			evaluate_sampled(&all, &held, hyper.dimensions, users, items, o.test ? 99 : 98);
		else if (held.n_pairs > 0)
			evaluate_full(&masked, &held, hyper.dimensions, users, items);
		if (held.n_pairs > 0)
			evaluate_lists(&trained, &masked, &held, hyper.dimensions, users, items);
		free(users);
		free(items);
	}
	return 0;
}
