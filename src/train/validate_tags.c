/*
 * validate_tags.c
 *		What a fit's points are worth for tags: the tags of held-out posts, ranked
 *		among all tags.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "train/train.h"

static MrRankInput
input_of(int32 dimensions, const MrInteractions *lists)
{
	MrRankInput in = {0};

	in.dimensions = dimensions;
	in.held_out = lists;
	return in;
}

/* Bytes that mr_validate_tags() needs at most for `n_held` of these posts. */
Size
mr_validate_tags_bytes(const MrHyper *hyper, const MrPosts *posts, int64 n_held)
{
	MrRankInput in = input_of(hyper->dimensions, &posts->lists);

	Size		bytes = add_size(mr_rank_bytes(&in), mr_metrics_bytes(&in));

	bytes = add_size(bytes, mul_size(sizeof(int32), posts->lists.n_pairs));	/* ranks */
	return add_size(bytes, mul_size(mul_size(sizeof(float), hyper->dimensions), n_held));
}

/* The points from which posts ask for their tags, [n_posts][dimensions]. */
static float *
query_points(MrRun *run, const MrTower *tower, const MrPosts *posts, const float *users, const float *items)
{
	Size		d = tower->dimensions;
	float	   *queries = MemoryContextAllocHuge(run->context, mul_size(mul_size(sizeof(float), d), Max(posts->n_posts, 1)));

	for (int32 p = 0; p < posts->n_posts; p++)
	{
		if ((p & 0xFF) == 0)
			CHECK_FOR_INTERRUPTS();
		(void) mr_tower_tag_query(tower, users + posts->post_user[p] * d, items + posts->post_item[p] * d,
								  queries + p * d);
	}
	return queries;
}

/* Fills posts and tags_at10 of the validation. */
void
mr_validate_tags(MrRun *run, const MrTower *tower, const MrPosts *held_out,
				 const float *users, const float *items, const float *tags, MrValidation *validation)
{
	MrRankInput in = input_of(tower->dimensions, &held_out->lists);
	MrRankOutput out = {0};
	MrMetricsInput counts = {0};
	Size		bytes = mr_rank_bytes(&in);
	void	   *memory;
	void	   *scratch;
	float	   *queries;

	validation->posts = held_out->n_posts;
	if (held_out->n_posts == 0)
		return;
	queries = query_points(run, tower, held_out, users, items);
	in.users = queries;
	in.items = tags;
	memory = MemoryContextAllocHuge(run->context, bytes);
	out.ranks = MemoryContextAllocHuge(run->context, mul_size(sizeof(int32), held_out->lists.n_pairs));
	mr_run_check_status(run, mr_rank(&in, memory, bytes, mr_run_poll, run, &out));
	scratch = MemoryContextAllocHuge(run->context, Max(mr_metrics_bytes(&in), 1));
	mr_metrics(&in, &out, &counts, mr_run_judged_k(run), scratch, &validation->tags_at10);
	pfree(scratch);
	pfree(out.ranks);
	pfree(memory);
	pfree(queries);
}
