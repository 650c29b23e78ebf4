/*
 * evaluate_tags.c
 *		The tags' part of metricrec.evaluate(): held-out posts.
 *
 * Per post all tags are ranked, from the weighted midpoint of the stored points of
 * its user and its item.  Tags that this user has given this item in the training
 * interactions are left out.  A post whose user or item the model does not know is
 * a miss, and so is a tag that it does not know.
 *
 * Everything becomes the input of ranking.h with posts for users and tags for items.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "math/gemm.h"
#include "train/evaluate.h"
#include "util/guc.h"

/* The posts that are ranked, in the row numbers of the evaluation. */
typedef struct Held
{
	MrInteractions lists;		/* known tags, per post */
	MrInteractions given;		/* tags left out, per post */
	int32	   *unknown_tags;	/* [posts] */
	float	   *queries;		/* [posts][dimensions] */
} Held;

static void *
allocate(MrEvaluation *evaluation, Size size, Size n)
{
	Size		bytes = mul_size(size, Max(n, 1));

	mr_evaluate_check_memory(evaluation->run->context, bytes);
	return MemoryContextAllocHuge(evaluation->run->context, bytes);
}

/* The post of this user and item, or -1: they are ordered. */
static int32
find_post(const MrPosts *posts, int32 user, int32 item)
{
	int32		low = 0;
	int32		high = posts->n_posts;

	while (low < high)
	{
		int32		middle = low + (high - low) / 2;

		if (posts->post_user[middle] < user || (posts->post_user[middle] == user && posts->post_item[middle] < item))
			low = middle + 1;
		else
			high = middle;
	}
	return low < posts->n_posts && posts->post_user[low] == user && posts->post_item[low] == item ? low : -1;
}

static void
start_lists(MrEvaluation *evaluation, MrInteractions *lists, int32 n, int64 n_pairs, int32 n_tags)
{
	memset(lists, 0, sizeof(*lists));
	lists->n_items = n_tags;
	lists->user_start = allocate(evaluation, sizeof(int64), (Size) n + 1);
	lists->items = allocate(evaluation, sizeof(int32), n_pairs);
	lists->user_start[0] = 0;
}

/* Appends a post's tags below n_tags; returns how many are not. */
static int32
append_tags(MrInteractions *to, const MrPosts *from, int32 post)
{
	int32		unknown = 0;

	for (int64 p = post < 0 ? 0 : from->lists.user_start[post]; post >= 0 && p < from->lists.user_start[post + 1]; p++)
	{
		if (from->lists.items[p] < to->n_items)
			to->items[to->n_pairs++] = from->lists.items[p];
		else
			unknown++;
	}
	to->user_start[++to->n_users] = to->n_pairs;
	return unknown;
}

/*
 * The posts whose user and item are known, with their queries.  `given` is NULL if
 * there are no tags to leave out.
 */
static void
take_posts(MrEvaluation *evaluation, const MrPosts *posts, const MrPosts *given, Held *held)
{
	MrTagEvaluation *tags = &evaluation->tags;
	Size		d = tags->tower.dimensions;
	int32		n_users = mr_idmap_size(evaluation->users);
	int32		n_items = mr_idmap_size(evaluation->items);

	start_lists(evaluation, &held->lists, posts->n_posts, posts->lists.n_pairs, tags->n_tags);
	start_lists(evaluation, &held->given, posts->n_posts, given ? given->lists.n_pairs : 0, tags->n_tags);
	held->unknown_tags = allocate(evaluation, sizeof(int32), posts->n_posts);
	held->queries = allocate(evaluation, mul_size(sizeof(float), d), posts->n_posts);
	for (int32 p = 0; p < posts->n_posts; p++)
	{
		int32		user = posts->post_user[p];
		int32		item = posts->post_item[p];
		int32		row = held->lists.n_users;

		if ((p & 0xFF) == 0)
			CHECK_FOR_INTERRUPTS();
		if (user >= n_users || item >= n_items)
		{
			tags->unknown_posts++;
			continue;
		}
		held->unknown_tags[row] = append_tags(&held->lists, posts, p);
		tags->unknown_tags += held->unknown_tags[row];
		append_tags(&held->given, given, given ? find_post(given, user, item) : -1);
		(void) mr_tower_tag_query(&tags->tower, evaluation->in.users + user * d, evaluation->in.items + item * d,
								  held->queries + row * d);
	}
	tags->posts = posts->n_posts;
}

/* Ranks the posts' tags; the metrics of each k. */
static void
rank_posts(MrEvaluation *evaluation, const Held *held, const int32 *k, int n_k, MrMetrics *metrics)
{
	MrRun	   *run = evaluation->run;
	MrTagEvaluation *tags = &evaluation->tags;
	MrRankInput in = {0};
	MrRankOutput out = {0};
	MrMetricsInput counts = {NULL, 0, tags->unknown_posts, mr_run_poll, run};
	Size		bytes;
	void	   *memory;

	in.dimensions = tags->tower.dimensions;
	in.users = held->queries;
	in.items = tags->points;
	in.held_out = &held->lists;
	in.unknown_items = held->unknown_tags;
	in.excluded = &held->given;
	bytes = mr_rank_bytes(&in);
	(void) mr_gemm_load();		/* without it the ranks are the same, only slower */
	mr_evaluate_check_memory(run->context, add_size(bytes, mr_metrics_bytes(&in)));
	memory = MemoryContextAllocHuge(run->context, Max(bytes, mr_metrics_bytes(&in)));
	out.ranks = allocate(evaluation, sizeof(int32), held->lists.n_pairs);
	mr_run_check_status(run, mr_rank(&in, memory, bytes, mr_run_poll, run, &out));
	for (int i = 0; i < n_k; i++)
		mr_run_check_status(run, mr_metrics(&in, &out, &counts, k[i], memory, &metrics[i]));
	pfree(memory);
}

/* Has the evaluation posts?  test: the relation of held-out rows, or InvalidOid. */
bool
mr_evaluate_has_tags(const MrModel *model, Oid test)
{
	return model->tag_column != NULL && (!OidIsValid(test) || get_attnum(test, model->tag_column) > 0);
}

/* The posts of a relation with the model's columns. */
static const MrPosts *
read_posts(MrEvaluation *evaluation, MrIdMap *tags, const MrDatasetSource *source)
{
	MemoryContext context = evaluation->run->context;

	return &mr_dataset_load_posts(source, evaluation->users, evaluation->items, tags, context,
								  mr_training_memory_left(MemoryContextMemAllocated(context, true)))->posts;
}

/* The active version's tags, and the rows of a table as posts.  SPI is connected. */
void
mr_evaluate_read_tags(MrEvaluation *evaluation, const MrDatasetSource *test, const MrDatasetSource *interactions)
{
	const MrModel *model = evaluation->run->model;
	MrTagEvaluation *tags = &evaluation->tags;
	MrPointTable table;

	tags->tower = mr_version_served(model)->tower;
	mr_points_read(model, MR_SIDE_TAG, evaluation->run->context, &table);
	if (table.dimensions != evaluation->in.dimensions || tags->tower.dimensions != table.dimensions || !tags->tower.has_tags)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different embedding dimensions %d and %d", evaluation->in.dimensions, table.dimensions),
				 errdetail("Items and tags of model \"%s\" are not points of one space.", model->name)));
	tags->points = table.points;
	tags->n_tags = mr_idmap_size(table.ids);
	tags->held_out = read_posts(evaluation, table.ids, test);
	tags->given = read_posts(evaluation, table.ids, interactions);
}

/* The same of a throw-away model and its own split. */
void
mr_evaluate_take_tags(MrEvaluation *evaluation)
{
	const MrRun *run = evaluation->run;
	MrTagEvaluation *tags = &evaluation->tags;

	tags->tower = run->tower;
	tags->points = run->tags;
	tags->n_tags = run->data->posts->n_tags;
	tags->held_out = &run->holdout.held_posts;
}

/*
 * Metrics of the tags at each k, [n_k]; false if no post is held out.
 */
bool
mr_evaluate_tags(MrEvaluation *evaluation, const int32 *k, int n_k, MrMetrics *metrics)
{
	MrTagEvaluation *tags = &evaluation->tags;
	Held		held;

	if (tags->held_out == NULL || tags->held_out->n_posts == 0)
		return false;
	take_posts(evaluation, tags->held_out, tags->given, &held);
	rank_posts(evaluation, &held, k, n_k, metrics);
	return true;
}
