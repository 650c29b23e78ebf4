/*
 * tags.c
 *		Epoch of the tags' loss.
 *
 * Tags are points of the same space.  A post, a user's tags on an item, asks from
 *
 *		q = project(w u + (1 - w) v),	w = 1 / (1 + exp(-logit)) learned,
 *
 * project = normalise on the sphere, identity otherwise.  For squared distances the
 * order of the tags around q is that of  w |t - u|^2 + (1 - w) |t - v|^2.  The loss
 * is the softmax over all tags, logits  -|q - t|^2 / T + bias,  each tag of the post
 * a target, its other tags masked: softmax_batch.c with tags in the place of items.
 *
 * The gradient goes to the tags and w whole; to the item's and the user's points
 * by the share tag_weight, the interactions' loss having the rest.  At share 0 tags
 * follow points that they do not move.
 *
 * u is the user's learned point, or pooled: then the post's own item is left out of
 * the pool, as a query asks about an item that the user has yet to describe.  Of a
 * history longer than POOL_MOST a random stretch is pooled, so that a user with
 * very many posts costs no more than the product of history and posts allows.
 */
#include <math.h>
#include <string.h>

#include "model/trainer_state.h"

/* Items pooled into the user's point of one post. */
#define POOL_MOST 512

/* Is there a loss of the tags only? */
bool
mr_tags_only(const MrHyper *hyper, const MrPosts *posts)
{
	return posts != NULL && hyper->tag_weight >= 1;
}

/* w, the user's weight in a query. */
double
mr_tags_user_weight(const MrTags *tags)
{
	return 1 / (1 + exp(-(double) tags->logit));
}

/* Within 1e-3 of 0 and 1: from a weight of 0 no gradient would lead away. */
void
mr_tags_set_user_weight(MrTags *tags, double weight)
{
	weight = weight < 1e-3 ? 1e-3 : weight > 1 - 1e-3 ? 1 - 1e-3 : weight;
	tags->logit = (float) log(weight / (1 - weight));
}

/* Take the tags' memory from the arena. */
void
mr_tags_layout(MrTrainer *t, MrArena *shared, MrArena *own)
{
	MrTags	   *tags = &t->tags;
	MrSoftmax  *s = &tags->softmax;
	const MrPosts *posts = tags->posts;
	size_t		row_size = t->stride * sizeof(float);

	mr_points_layout(&tags->points, shared, posts->n_tags, t->width, t->stride, &t->hyper,
					 MR_POINTS_OWN_HAT | MR_POINTS_GRADIENT);
	memset(&s->ranked, 0, sizeof(s->ranked));
	s->ranked.lists = &posts->lists;
	s->ranked.points = &tags->points;
	s->ranked.temperature = t->hyper.tag_temperature;
	if (t->bias || t->hyper.item_bias)
	{
		s->ranked.bias = mr_arena_take(shared, posts->n_tags, sizeof(float));
		s->ranked.bias_first = mr_arena_take(shared, posts->n_tags, sizeof(float));
		s->ranked.bias_second = mr_arena_take(shared, posts->n_tags, sizeof(float));
	}
	s->sampled = false;
	mr_softmax_layout(t, s, posts->n_posts, own);
	tags->order = mr_arena_take(shared, posts->n_posts, sizeof(uint32_t));
	tags->user = mr_arena_take(own, s->group_rows, row_size);
	tags->user_inverse = mr_arena_take(own, s->group_rows, sizeof(float));
	tags->pool_first = mr_arena_take(own, s->group_rows, sizeof(int64_t));
}

/* Random points; user and item weigh the same. */
MrStatus
mr_tags_start(MrTrainer *t, MrPoll poll, void *arg)
{
	MrTags	   *tags = &t->tags;

	if (mr_points_start(&tags->points, &t->rng, t->hyper.init_deviation, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t p = 0; p < tags->posts->n_posts; p++)
		tags->order[p] = (uint32_t) p;
	tags->logit = tags->logit_first = tags->logit_second = 0;
	tags->logit_power1 = tags->logit_power2 = 1;
	return mr_softmax_start(t, &tags->softmax, poll, arg);
}

/* ---- the user of a post, pooled ---- */

/* The stretch of a user's history that a row pools, around its end if need be. */
typedef struct Stretch
{
	const int32_t *items;		/* the whole history */
	int64_t		n;
	int64_t		first;
	int64_t		count;			/* of which the post's item is not used */
	int64_t		at;				/* of the post's item in the history */
} Stretch;

static Stretch
stretch_of(const MrTrainer *t, int32_t row)
{
	const MrPosts *posts = t->tags.posts;
	int32_t		post = t->tags.softmax.row_user[row];
	int32_t		user = posts->post_user[post];
	int64_t		start = t->x->user_start[user];
	Stretch		stretch;

	stretch.items = t->x->items + start;
	stretch.n = t->x->user_start[user + 1] - start;
	stretch.first = t->tags.pool_first[row];
	stretch.count = stretch.n < POOL_MOST ? stretch.n : POOL_MOST;
	stretch.at = mr_interactions_find(t->x, user, posts->post_item[post]) - start;
	return stretch;
}

/* Its k-th place in the history, or -1: the post's own item. */
static inline int64_t
stretch_place(const Stretch *stretch, int64_t k)
{
	int64_t		place = stretch->first + k;

	if (place >= stretch->n)
		place -= stretch->n;
	return place == stretch->at ? -1 : place;
}

/* u = normalise(SUM of the stretch's items); 0 if there are none. */
static MrStatus
pool_user(MrTrainer *t, int32_t row, MrPoll poll, void *arg)
{
	MrTags	   *tags = &t->tags;
	float	   *user = tags->user + (size_t) row * t->stride;
	Stretch		stretch = stretch_of(t, row);
	float		square;

	if (stretch.n > POOL_MOST)
		stretch.first = (int64_t) mr_rng_below64(mr_trainer_own_rng(t), stretch.n);
	else
		stretch.first = 0;
	tags->pool_first[row] = stretch.first;
	memset(user, 0, t->stride * sizeof(float));
	for (int64_t k = 0; k < stretch.count; k++)
	{
		int64_t		place = stretch_place(&stretch, k);

		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		if (place >= 0)
			t->math->axpy(user, 1.0f, t->items.hat + (size_t) stretch.items[place] * t->stride, t->stride);
	}
	if (t->extra)
		user[t->width] = 0;
	square = t->math->dot(user, user, t->stride);
	tags->user_inverse[row] = square > 0 ? 1.0f / sqrtf(square) : 0;
	t->math->scale(user, tags->user_inverse[row], user, t->stride);
	return MR_OK;
}

/* Take a gradient with respect to u through the pooling to the items. */
static MrStatus
unpool_user(MrTrainer *t, int32_t row, float *gradient, MrPoll poll, void *arg)
{
	MrTags	   *tags = &t->tags;
	const float *user = tags->user + (size_t) row * t->stride;
	Stretch		stretch = stretch_of(t, row);
	float		radial = t->math->dot(gradient, user, t->stride);

	t->math->axpy(gradient, -radial, user, t->stride);
	for (int64_t k = 0; k < stretch.count; k++)
	{
		int64_t		place = stretch_place(&stretch, k);

		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		if (place >= 0)
			t->math->axpy(mr_points_touch(&t->items, stretch.items[place]), tags->user_inverse[row],
						  gradient, t->stride);
	}
	return MR_OK;
}

/* ---- a group of posts ---- */

/* The row's query point into the products' matrix. */
static MrStatus
fill_query(MrTrainer *t, int32_t row, MrPoll poll, void *arg)
{
	MrTags	   *tags = &t->tags;
	MrSoftmax  *s = &tags->softmax;
	int32_t		post = s->row_user[row];
	float	   *user = tags->user + (size_t) row * t->stride;
	float	   *query = s->user + (size_t) row * t->stride;
	float		w = (float) mr_tags_user_weight(tags);

	if (t->hyper.tower == MR_TOWER_FREE)
		memcpy(user, t->users.hat + (size_t) tags->posts->post_user[post] * t->stride, t->stride * sizeof(float));
	else if (pool_user(t, row, poll, arg) != MR_OK)
		return MR_STOPPED;
	t->math->scale(query, 1 - w, t->items.hat + (size_t) tags->posts->post_item[post] * t->stride, t->stride);
	t->math->axpy(query, w, user, t->stride);
	if (t->extra)
		query[t->width] = 0;
	s->inverse_norm[row] = 1;
	if (t->hyper.constraint == MR_CONSTRAINT_SPHERE)
	{
		float		square = t->math->dot(query, query, t->stride);

		s->inverse_norm[row] = square > 0 ? 1.0f / sqrtf(square) : 0;
		t->math->scale(query, s->inverse_norm[row], query, t->stride);
	}
	if (t->extra)
		query[t->width] = 1;
	return MR_OK;
}

/* The next posts of the batch that ends at `end`, as many as fit into a group. */
static MrStatus
fill_group(MrTrainer *t, int32_t *next, int32_t end, MrPoll poll, void *arg)
{
	MrTags	   *tags = &t->tags;
	MrSoftmax  *s = &tags->softmax;
	const MrInteractions *lists = &tags->posts->lists;
	int64_t		at = 0;

	s->n_rows = 0;
	for (; *next < end && s->n_rows < s->group_rows; (*next)++)
	{
		int32_t		post = (int32_t) tags->order[*next];
		int64_t		first = lists->user_start[post];
		int64_t		n = lists->user_start[post + 1] - first;

		if (at + n > s->group_pairs)
			break;
		if (mr_trainer_tick(t, t->stride + n, poll, arg))
			return MR_STOPPED;
		s->row_user[s->n_rows] = post;
		s->row_pair[s->n_rows] = at;
		memset(s->is_target + at, 1, n);
		memcpy(s->column + at, lists->items + first, n * sizeof(int32_t));
		if (fill_query(t, s->n_rows, poll, arg) != MR_OK)
			return MR_STOPPED;
		at += n;
		s->n_rows++;
	}
	s->row_pair[s->n_rows] = at;
	return MR_OK;
}

/*
 * The group's gradients with respect to the queries, which lie in `back`, go on to
 * w, to the posts' items and to their users.
 */
static MrStatus
spread_queries(MrTrainer *t, MrPoll poll, void *arg)
{
	MrTags	   *tags = &t->tags;
	MrSoftmax  *s = &tags->softmax;
	double		w = mr_tags_user_weight(tags);
	float		share = (float) t->hyper.tag_weight;

	for (int32_t row = 0; row < s->n_rows; row++)
	{
		int32_t		post = s->row_user[row];
		int32_t		item = tags->posts->post_item[post];
		float	   *gradient = s->back + (size_t) row * t->stride;
		float	   *query = s->user + (size_t) row * t->stride;
		const float *user = tags->user + (size_t) row * t->stride;

		if (mr_trainer_tick(t, 8 * t->stride, poll, arg))
			return MR_STOPPED;
		if (t->extra)
			gradient[t->width] = query[t->width] = 0;
		if (t->hyper.constraint == MR_CONSTRAINT_SPHERE)
		{
			float		radial = t->math->dot(gradient, query, t->stride);

			t->math->axpy(gradient, -radial, query, t->stride);
			t->math->scale(gradient, s->inverse_norm[row], gradient, t->stride);
		}
		/* behind the width the gradient is 0, whatever the item has there */
		tags->logit_gradient += w * (1 - w) *
			((double) t->math->dot(gradient, user, t->stride) -
			 t->math->dot(gradient, t->items.hat + (size_t) item * t->stride, t->stride));
		if (share == 0)
			continue;
		t->math->axpy(mr_points_touch(&t->items, item), (float) (1 - w) * share, gradient, t->stride);
		if (t->hyper.tower == MR_TOWER_FREE)
		{
			t->math->axpy(mr_points_touch(&t->users, tags->posts->post_user[post]), (float) w * share,
						  gradient, t->stride);
			continue;
		}
		t->math->scale(gradient, (float) w * share, gradient, t->stride);
		if (unpool_user(t, row, gradient, poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	return MR_OK;
}

/* ---- towers ---- */

/*
 * With features: the points that the batch's posts will read, made anew.  A pooled
 * user may read any item.
 */
static MrStatus
refresh_towers(MrTrainer *t, int32_t next, int32_t end, MrPoll poll, void *arg)
{
	const MrTags *tags = &t->tags;
	bool		items = t->item_tower.is_on;
	bool		users = t->user_tower.is_on && t->hyper.tower == MR_TOWER_FREE;

	if (items && t->hyper.tower == MR_TOWER_POOLED)
		mr_side_tower_list_all(&t->item_tower);
	else if (items)
		mr_side_tower_list_none(&t->item_tower);
	if (users)
		mr_side_tower_list_none(&t->user_tower);
	for (; next < end; next++)
	{
		if (items)
			mr_side_tower_list(&t->item_tower, tags->posts->post_item[tags->order[next]]);
		if (users)
			mr_side_tower_list(&t->user_tower, tags->posts->post_user[tags->order[next]]);
	}
	if (items && mr_softmax_refresh_items(t, poll, arg) != MR_OK)
		return MR_STOPPED;
	return users ? mr_side_tower_refresh(&t->user_tower, &t->users, &t->rng, poll, arg) : MR_OK;
}

/* ---- steps and epoch ---- */

/* Step the free users that have a gradient. */
static MrStatus
step_users(MrTrainer *t, const MrStep *step, double *loss, MrPoll poll, void *arg)
{
	MrPoints   *users = &t->users;

	if (t->user_tower.is_on && users->n_touched > 0 &&
		mr_side_tower_backward(&t->user_tower, users, true, 1.0 / users->n_touched, loss, poll, arg) != MR_OK)
		return MR_STOPPED;

	return mr_points_step_touched(t, users, step, poll, arg);
}

static void
step_user_weight(MrTrainer *t, const MrStep *step)
{
	MrTags	   *tags = &t->tags;

	tags->logit_power1 *= MR_ADAM_BETA1;
	tags->logit_power2 *= MR_ADAM_BETA2;
	mr_softmax_step_number(t, step->rate * MR_BIAS_RATE, &tags->logit, &tags->logit_first, &tags->logit_second,
						   tags->logit_power1, tags->logit_power2, (float) tags->logit_gradient);
	tags->logit_gradient = 0;
}

/* One step: everything that the batch's posts have touched. */
static MrStatus
step_batch(MrTrainer *t, const MrStep *step, double *loss, MrPoll poll, void *arg)
{
	if (mr_softmax_step_columns(t, &t->tags.softmax, step, false, loss, poll, arg) != MR_OK ||
		mr_softmax_step_columns(t, &t->softmax, step, true, loss, poll, arg) != MR_OK)
		return MR_STOPPED;
	if (t->hyper.tower == MR_TOWER_FREE && step_users(t, step, loss, poll, arg) != MR_OK)
		return MR_STOPPED;
	step_user_weight(t, step);
	return mr_trainer_step_towers(t, step, poll, arg);
}

/* Loss and gradients of the posts order[next .. end), of those that are this member's. */
static MrStatus
add_posts(MrTrainer *t, int32_t next, int32_t end, double scale, double *loss, double *weight,
		  MrPoll poll, void *arg, MrEpochResult *result)
{
	MrSoftmax  *s = &t->tags.softmax;
	int64_t		own_next = next;
	int64_t		own_end = end;

	mr_team_part(t, &own_next, &own_end);
	next = (int32_t) own_next;
	while (next < own_end)
	{
		if (fill_group(t, &next, (int32_t) own_end, poll, arg) != MR_OK ||
			mr_softmax_group(t, s, s->n_rows, scale, poll, arg, loss, weight) != MR_OK ||
			spread_queries(t, poll, arg) != MR_OK)
			return MR_STOPPED;
		result->positives += s->row_pair[s->n_rows];
		result->negatives += (int64_t) s->n_rows * s->n_columns;
	}
	return MR_OK;
}

/*
 * One epoch: all posts in random order, hyper.batch_size of them per step.  The
 * gradient is that of the mean loss of a tag of an average batch.  Adds to the
 * result what the items' epoch has left there.
 */
MrStatus
mr_tags_epoch(MrTrainer *t, MrPoll poll, void *arg, MrEpochResult *result)
{
	MrTags	   *tags = &t->tags;
	int32_t		n = tags->posts->n_posts;
	int32_t		batch = t->hyper.batch_size < n ? t->hyper.batch_size : n;
	double		scale = n / ((double) tags->posts->lists.n_pairs * batch);
	MrEpochResult counts = {0};
	double		loss = 0;
	double		weight = 0;
	double		prior = 0;
	int64_t		steps;

	tags->logit_gradient = 0;
	if (mr_team_shuffle(t, tags->order, n, poll, arg) != MR_OK)
		return MR_STOPPED;
	steps = t->step;
	for (int32_t next = 0; next < n;)
	{
		int32_t		end = n - next < batch ? n : next + batch;
		MrStep		step = mr_trainer_step_now(t);

		if (refresh_towers(t, next, end, poll, arg) != MR_OK ||
			add_posts(t, next, end, scale, &loss, &weight, poll, arg, &counts) != MR_OK)
			return MR_STOPPED;
		mr_team_publish(&t->items);
		mr_team_publish(&t->users);
		/* the sum is the barrier, too */
		if (mr_team_sum(t, &tags->logit_gradient, 1) != MR_OK ||
			step_batch(t, &step, &prior, poll, arg) != MR_OK ||
			!mr_team_barrier(t))
			return MR_STOPPED;
		next = end;
		t->step++;
	}
	if (mr_team_sum_result(t, &counts, &loss, &weight, &prior) != MR_OK)
		return MR_STOPPED;
	result->positives += counts.positives;
	result->negatives += counts.negatives;
	result->tag_loss = (weight > 0 ? loss / weight : 0) + prior / (t->step > steps ? t->step - steps : 1);
	result->loss = (1 - t->hyper.tag_weight) * result->loss + t->hyper.tag_weight * result->tag_loss;
	return isfinite(result->tag_loss) ? MR_OK : MR_DIVERGED;
}

/* ---- export ---- */

/*
 * Write the tags' points, [n_tags][dimensions], as items are written: with a bias,
 * the last coordinate is sqrt(T (b_max - b)).  Returns as mr_trainer_export().
 */
MrStatus
mr_trainer_export_tags(MrTrainer *t, MrPoll poll, void *arg, float *tags)
{
	const MrRanked *ranked = &t->tags.softmax.ranked;
	int32_t		dimensions = t->hyper.dimensions;
	float		largest = -INFINITY;

	if (mr_trainer_start(t, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t i = 0; ranked->bias && i < ranked->points->n; i++)
		if (ranked->bias[i] > largest)
			largest = ranked->bias[i];
	for (int32_t i = 0; i < ranked->points->n; i++)
	{
		float	   *to = tags + (size_t) i * dimensions;

		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		memcpy(to, ranked->points->hat + (size_t) i * t->stride, t->width * sizeof(float));
		if (ranked->bias)
			to[t->width] = sqrtf((float) ranked->temperature * (largest - ranked->bias[i]));
		for (int32_t k = 0; k < dimensions; k++)
			if (!isfinite(to[k]))
				return MR_DIVERGED;
	}
	return MR_OK;
}
