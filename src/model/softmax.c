/*
 * softmax.c
 *		Epoch of the softmax loss: users, halves, steps.
 *
 * With logits  z_i = -|u - v_i|^2 / T + b_i  the loss of a target t of user u is
 *
 *		l(u, t) = log(exp(z_t) + SUM over negatives j of exp(z_j)) - z_t,
 *
 * weighted by the interaction's weight.  The negatives are the items that the
 * user has no interaction with: other positives of the user, whether target or
 * pooled, are not in the denominator.
 *
 * A user is visited once an epoch.  Free tower: all positives are targets.
 * Pooled tower: a random half of the positives is pooled into the user's point
 * u = normalise(SUM v), the other half are targets, so that a target is never in
 * the history that must find it.  (With an odd number, the larger half is drawn.)
 * A user with a single positive has nothing left to pool: u = 0, and only the
 * item's bias learns from the visit.
 */
#include <math.h>
#include <string.h>

#include "model/trainer_state.h"

/* Floats of the buffer of logits; bounds its memory to 16 MB unless items are very many. */
#define GROUP_FLOATS (4 * 1024 * 1024)
#define GROUP_MIN_ROWS 16
#define GROUP_MIN_PAIRS 65536
#define TILE_COLUMNS 512

/* rows * stride at most this: a product of one tile then takes well under 50 ms. */
#define PRODUCT_LIMIT (1024 * 1024)

/* A random number and what goes with it, in multiplications. */
#define DRAW_WORK 16

/*
 * Take the scratch memory from the arena.  s->ranked and s->sampled are set; at
 * most most_rows rows of the lists are ever used.
 */
void
mr_softmax_layout(MrTrainer *t, MrSoftmax *s, int32_t most_rows, MrArena *arena)
{
	const MrInteractions *x = s->ranked.lists;
	int64_t		longest = 0;
	int64_t		rows;
	size_t		row_size = t->stride * sizeof(float);

	for (int32_t u = 0; u < x->n_users; u++)
		if (x->user_start[u + 1] - x->user_start[u] > longest)
			longest = x->user_start[u + 1] - x->user_start[u];
	s->group_pairs = longest > GROUP_MIN_PAIRS ? longest : GROUP_MIN_PAIRS;
	if (s->group_pairs > x->n_pairs)
		s->group_pairs = x->n_pairs;
	s->n_columns = s->sampled ? t->hyper.negatives : x->n_items;
	s->tile_columns = TILE_COLUMNS;
	s->n_tiles = (int32_t) (((int64_t) s->n_columns + TILE_COLUMNS - 1) / TILE_COLUMNS);
	rows = GROUP_FLOATS / ((int64_t) s->n_tiles * TILE_COLUMNS);
	if (rows < GROUP_MIN_ROWS)
		rows = GROUP_MIN_ROWS;
	if (rows > t->hyper.batch_size)
		rows = t->hyper.batch_size;
	if (rows > most_rows)
		rows = most_rows;
	if (rows > PRODUCT_LIMIT / t->stride)
		rows = PRODUCT_LIMIT / t->stride;
	s->group_rows = (int32_t) rows;

	s->weight = mr_arena_take(arena, (size_t) s->n_tiles * rows, TILE_COLUMNS * sizeof(float));
	s->user = mr_arena_take(arena, rows, row_size);
	s->scaled = mr_arena_take(arena, rows, row_size);
	s->back = mr_arena_take(arena, rows, row_size);
	if (t->user_tower.is_on)
		s->id = mr_arena_take(arena, rows, row_size);
	s->inverse_norm = mr_arena_take(arena, rows, sizeof(float));
	s->shift = mr_arena_take(arena, rows, sizeof(float));
	s->factor = mr_arena_take(arena, rows, sizeof(float));
	s->sum = mr_arena_take(arena, rows, sizeof(double));
	s->row_user = mr_arena_take(arena, rows, sizeof(int32_t));
	s->row_pair = mr_arena_take(arena, rows + 1, sizeof(int64_t));
	s->row_next = mr_arena_take(arena, rows, sizeof(int64_t));
	s->row_input = mr_arena_take(arena, rows, sizeof(int64_t));
	s->is_target = mr_arena_take(arena, s->group_pairs, sizeof(uint8_t));
	s->target_logit = mr_arena_take(arena, s->group_pairs, sizeof(float));
	s->target_exp = mr_arena_take(arena, s->group_pairs, sizeof(float));
	s->column = mr_arena_take(arena, s->group_pairs, sizeof(int32_t));
	s->input = mr_arena_take(arena, s->group_pairs, sizeof(int32_t));
	if (s->sampled)
	{
		s->drawn = mr_arena_take(arena, t->hyper.negatives, sizeof(int32_t));
		s->column_of = mr_arena_take(arena, x->n_items, sizeof(int32_t));
		s->correction = mr_arena_take(arena, t->hyper.negatives, sizeof(float));
		s->column_point = mr_arena_take(arena, t->hyper.negatives, row_size);
		s->column_gradient = mr_arena_take(arena, t->hyper.negatives, row_size);
	}
}

/*
 * The extra coordinate of a column's point: the products compute
 * (2/T) (u.v + extra), which is the logit up to a constant of the row.
 */
static void
refresh_extra(MrTrainer *t, const MrRanked *ranked, int32_t column)
{
	float	   *hat = ranked->points->hat + (size_t) column * t->stride;
	float		extra = 0;

	if (!t->extra)
		return;
	if (ranked->bias)
		extra = (float) (ranked->temperature / 2) * ranked->bias[column];
	if (t->hyper.constraint != MR_CONSTRAINT_SPHERE)
	{
		hat[t->width] = 0;
		extra -= 0.5f * t->math->dot(hat, hat, t->stride);
	}
	hat[t->width] = extra;
}

/* All columns' extra coordinates, after points or biases were set from outside. */
MrStatus
mr_softmax_refresh(MrTrainer *t, MrSoftmax *s, MrPoll poll, void *arg)
{
	for (int32_t i = 0; i < s->ranked.points->n; i++)
	{
		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		refresh_extra(t, &s->ranked, i);
	}
	return MR_OK;
}

/* Nothing is drawn yet. */
void
mr_softmax_start_own(MrSoftmax *s)
{
	if (!s->sampled)
		return;
	s->n_columns = 0;
	for (int32_t i = 0; i < s->ranked.points->n; i++)
		s->column_of[i] = -1;
}

/* Biases start at 0. */
MrStatus
mr_softmax_start(MrTrainer *t, MrSoftmax *s, MrPoll poll, void *arg)
{
	int32_t		n = s->ranked.points->n;

	if (s->ranked.bias)
	{
		memset(s->ranked.bias, 0, n * sizeof(float));
		memset(s->ranked.bias_first, 0, n * sizeof(float));
		memset(s->ranked.bias_second, 0, n * sizeof(float));
	}
	mr_softmax_start_own(s);
	return mr_softmax_refresh(t, s, poll, arg);
}

/*
 * The optimiser's step of a single number.  power1 and power2: beta1 and beta2 to
 * the number of steps, this one included (Adam).
 */
void
mr_softmax_step_number(const MrTrainer *t, double rate, float *value, float *first, float *second,
					   float power1, float power2, float gradient)
{
	float		r = (float) rate;

	if (t->hyper.optimizer == MR_OPTIMIZER_ADAM)
	{
		*first = MR_ADAM_BETA1 * *first + (1 - MR_ADAM_BETA1) * gradient;
		*second = MR_ADAM_BETA2 * *second + (1 - MR_ADAM_BETA2) * gradient * gradient;
		*value -= r * *first / (1 - power1) / (sqrtf(*second / (1 - power2)) + MR_ADAM_EPSILON);
	}
	else if (t->hyper.optimizer == MR_OPTIMIZER_ADAGRAD)
	{
		*second += gradient * gradient;
		*value -= r * gradient / (sqrtf(*second + MR_ADAGRAD_START) + MR_ADAM_EPSILON);
	}
	else
		*value -= r * gradient;
}

/* The bias's own step; its clock is the point's, read before the point's step. */
static void
step_bias(const MrTrainer *t, const MrRanked *ranked, const MrStep *step, int32_t column, float gradient)
{
	bool		adam = t->hyper.optimizer == MR_OPTIMIZER_ADAM;

	mr_softmax_step_number(t, (float) step->rate * MR_BIAS_RATE, &ranked->bias[column],
						   &ranked->bias_first[column], &ranked->bias_second[column],
						   adam ? ranked->points->power1[column] * MR_ADAM_BETA1 : 0,
						   adam ? ranked->points->power2[column] * MR_ADAM_BETA2 : 0, gradient);
}

/*
 * Take a column's gradient, as the products left it, to point and bias.  Its
 * extra coordinate holds (2/T) SUM of dL/dz, from which come the bias's gradient
 * and, off the sphere, that of the -|v|^2/T in the logit.
 */
static void
settle_extra(MrTrainer *t, const MrRanked *ranked, const MrStep *step, int32_t column)
{
	size_t		at = (size_t) column * t->stride;
	float	   *gradient = ranked->points->gradients + at;
	float		extra;

	if (!t->extra)
		return;
	extra = gradient[t->width];
	if (ranked->bias)
		step_bias(t, ranked, step, column, extra * (float) (ranked->temperature / 2));
	if (t->hyper.constraint != MR_CONSTRAINT_SPHERE)
		t->math->axpy(gradient, -extra, ranked->points->hat + at, t->stride);
	gradient[t->width] = 0;
}

/* As mr_softmax_step_columns(), of the columns that are this member's. */
static MrStatus
step_own_columns(MrTrainer *t, MrSoftmax *s, const MrStep *step, bool only_touched, MrPoll poll, void *arg)
{
	MrPoints   *points = s->ranked.points;
	MrRowWalk	walk = {0};

	while (mr_team_next_row(points, t->math, only_touched, &walk))
	{
		if (mr_trainer_tick(t, (5 + points->size) * t->stride, poll, arg))
			return MR_STOPPED;
		settle_extra(t, &s->ranked, step, walk.row);
		mr_points_step(points, t->math, step, walk.row, points->gradients + (size_t) walk.row * t->stride);
		refresh_extra(t, &s->ranked, walk.row);
	}
	return MR_OK;
}

/*
 * Step every column, or every one that was touched.  Items' gradients go through
 * their tower, if they have one: its feature loss is added to *loss, its network's
 * step is the caller's.
 */
MrStatus
mr_softmax_step_columns(MrTrainer *t, MrSoftmax *s, const MrStep *step, bool only_touched, double *loss,
						MrPoll poll, void *arg)
{
	MrPoints   *points = s->ranked.points;
	int32_t		n = only_touched ? points->n_touched : points->n;

	if (mr_trainer_has_team(t))
		return step_own_columns(t, s, step, only_touched, poll, arg);
	for (int32_t i = 0; i < n; i++)
	{
		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		settle_extra(t, &s->ranked, step, only_touched ? points->touched[i] : i);
	}
	if (points == &t->items && t->item_tower.is_on &&
		mr_side_tower_backward(&t->item_tower, points, only_touched, n > 0 ? 1.0 / n : 0, loss, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t i = 0; i < n; i++)
	{
		int32_t		column = only_touched ? points->touched[i] : i;

		if (mr_trainer_tick(t, 4 * t->stride, poll, arg))
			return MR_STOPPED;
		mr_points_step(points, t->math, step, column, points->gradient + (size_t) column * t->stride);
		refresh_extra(t, &s->ranked, column);
		if (points->is_touched)
			points->is_touched[column] = 0;
	}
	points->n_touched = 0;
	return MR_OK;
}

/*
 * The items whose points the batch will read: all, or the drawn ones and those of
 * its users.  Their points are made anew from ids and features.
 */
static MrStatus
refresh_items(MrTrainer *t, int32_t next, int32_t end, MrPoll poll, void *arg)
{
	MrSideTower *w = &t->item_tower;
	const MrInteractions *x = t->x;

	if (!w->is_on)
		return MR_OK;
	if (!t->sampled)
		mr_side_tower_list_all(w);
	else
	{
		mr_side_tower_list_none(w);
		for (int32_t c = 0; c < t->softmax.n_columns; c++)
			mr_side_tower_list(w, t->softmax.drawn[c]);
		for (; next < end; next++)
		{
			int32_t		user = (int32_t) t->active[next];

			if (mr_trainer_tick(t, 8 * (1 + x->user_start[user + 1] - x->user_start[user]), poll, arg))
				return MR_STOPPED;
			for (int64_t p = x->user_start[user]; p < x->user_start[user + 1]; p++)
				mr_side_tower_list(w, x->items[p]);
		}
	}
	return mr_softmax_refresh_items(t, poll, arg);
}

/* The points of the items in their tower's list, and what goes with them. */
MrStatus
mr_softmax_refresh_items(MrTrainer *t, MrPoll poll, void *arg)
{
	MrSideTower *w = &t->item_tower;

	if (mr_side_tower_refresh(w, &t->items, &t->rng, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t i = 0; i < w->n_list; i++)
		refresh_extra(t, &t->softmax.ranked, w->list[i]);
	return MR_OK;
}

/* Which positives are targets and which are pooled; the latter are packed into input. */
static MrStatus
split_history(MrTrainer *t, int64_t first, int64_t at, int64_t n, MrPoll poll, void *arg)
{
	MrSoftmax  *s = &t->softmax;
	MrRng	   *rng = mr_trainer_own_rng(t);
	int64_t		pooled = 0;
	int64_t		left;

	if (t->hyper.tower == MR_TOWER_POOLED && n > 1)
		left = n / 2 + ((n & 1) && (mr_rng_next(rng) >> 63));
	else
		left = 0;
	for (int64_t i = 0; i < n; i++)
	{
		bool		take;

		if (mr_trainer_tick(t, DRAW_WORK, poll, arg))
			return MR_STOPPED;
		take = left > 0 && (int64_t) mr_rng_below64(rng, n - i) < left;

		s->is_target[at + i] = !take;
		if (take)
		{
			s->input[at + pooled++] = t->x->items[first + i];
			left--;
		}
	}
	s->row_input[s->n_rows] = pooled;
	return MR_OK;
}

/* u = normalise(SUM of the pooled items' points); 0 if nothing is pooled. */
static MrStatus
pool_row(MrTrainer *t, int32_t row, int64_t at, MrPoll poll, void *arg)
{
	MrSoftmax  *s = &t->softmax;
	float	   *user = s->user + (size_t) row * t->stride;
	float	   *part = s->back + (size_t) row * t->stride;
	int64_t		n = s->row_input[row];
	int64_t		most = mr_trainer_part(t);
	float		square;

	memset(user, 0, t->stride * sizeof(float));
	for (int64_t i = 0; i < n; i += most)
	{
		size_t		count = n - i < most ? n - i : most;

		if (poll && poll(arg))
			return MR_STOPPED;
		t->math->gather_sum(part, t->items.hat, t->stride, s->input + at + i, count);
		t->math->axpy(user, 1.0f, part, t->stride);
	}
	if (t->extra)
		user[t->width] = 0;
	square = t->math->dot(user, user, t->stride);
	s->inverse_norm[row] = square > 0 ? 1.0f / sqrtf(square) : 0;
	t->math->scale(user, s->inverse_norm[row], user, t->stride);
	return MR_OK;
}

/* A free user's point as the tower takes it. */
static const float *
id_of_user(const MrTrainer *t, int32_t user)
{
	bool		raw = t->user_tower.is_on && t->user_tower.combination != MR_COMBINE_PRIOR;

	return (raw ? t->users.value : t->users.hat) + (size_t) user * t->stride;
}

/*
 * Set up the next group: users active[*next ..) of the batch that ends at `end`,
 * as many as fit.  Returns the number of rows in *rows.
 */
static MrStatus
fill_group(MrTrainer *t, int32_t *next, int32_t end, int32_t *rows, MrPoll poll, void *arg)
{
	MrSoftmax  *s = &t->softmax;
	const MrInteractions *x = t->x;
	int64_t		at = 0;

	s->n_rows = 0;
	while (*next < end && s->n_rows < s->group_rows)
	{
		int32_t		user = (int32_t) t->active[*next];
		int64_t		first = x->user_start[user];
		int64_t		n = x->user_start[user + 1] - first;
		float	   *point = s->user + (size_t) s->n_rows * t->stride;

		if (at + n > s->group_pairs)
			break;
		s->row_user[s->n_rows] = user;
		s->row_pair[s->n_rows] = at;
		if (split_history(t, first, at, n, poll, arg) != MR_OK)
			return MR_STOPPED;
		for (int64_t i = 0; i < n; i++)
			s->column[at + i] = t->sampled ? s->column_of[x->items[first + i]] : x->items[first + i];
		if (t->hyper.tower == MR_TOWER_FREE)
			memcpy(point, id_of_user(t, user), t->stride * sizeof(float));
		else if (pool_row(t, s->n_rows, at, poll, arg) != MR_OK)
			return MR_STOPPED;
		at += n;
		s->n_rows++;
		(*next)++;
	}
	s->row_pair[s->n_rows] = at;
	*rows = s->n_rows;
	if (t->user_tower.is_on)
	{
		memcpy(s->id, s->user, (size_t) s->n_rows * t->stride * sizeof(float));
		if (mr_side_tower_points(&t->user_tower, s->row_user, s->n_rows, s->id, &t->rng, s->user, poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	for (int32_t row = 0; t->extra && row < s->n_rows; row++)
		s->user[(size_t) row * t->stride + t->width] = 1;
	return MR_OK;
}

/*
 * Take the gradients of the group's users to their own points, or through the
 * pooling to the items of their histories.
 */
static MrStatus
step_users(MrTrainer *t, const MrStep *step, int32_t rows, double *loss, MrPoll poll, void *arg)
{
	MrSoftmax  *s = &t->softmax;
	float	   *users = t->user_tower.is_on ? s->id : s->user;

	for (int32_t row = 0; t->extra && row < rows; row++)
		s->back[(size_t) row * t->stride + t->width] = users[(size_t) row * t->stride + t->width] = 0;
	if (t->user_tower.is_on &&
		mr_side_tower_gradients(&t->user_tower, s->row_user, rows, s->id, s->back,
								1.0 / (t->hyper.batch_size < t->n_active ? t->hyper.batch_size : t->n_active),
								loss, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int32_t row = 0; row < rows; row++)
	{
		float	   *gradient = s->back + (size_t) row * t->stride;
		float	   *user = users + (size_t) row * t->stride;
		float		radial;

		if (t->hyper.tower == MR_TOWER_FREE)
		{
			mr_points_step(&t->users, t->math, step, s->row_user[row], gradient);
			continue;
		}
		radial = t->math->dot(gradient, user, t->stride);
		t->math->axpy(gradient, -radial, user, t->stride);
		t->math->scale(gradient, s->inverse_norm[row], gradient, t->stride);
		for (int64_t i = 0; i < s->row_input[row]; i++)
		{
			if (mr_trainer_tick(t, t->stride, poll, arg))
				return MR_STOPPED;
			t->math->axpy(mr_points_touch(&t->items, s->input[s->row_pair[row] + i]), 1.0f,
						  gradient, t->stride);
		}
	}
	return MR_OK;
}

/*
 * The users of the batch active[*next .. *end) that are this member's: of about equal
 * work, which is a column's and an interaction's alike.
 */
static void
take_part(const MrTrainer *t, int32_t *next, int32_t *end)
{
	const int64_t *start = t->x->user_start;
	int64_t		columns = t->softmax.n_columns;
	int64_t		work = 0;
	int64_t		done = 0;
	int32_t		first = -1;
	int32_t		last = -1;

	if (!mr_trainer_has_team(t))
		return;
	for (int32_t i = *next; i < *end; i++)
		work += columns + start[t->active[i] + 1] - start[t->active[i]];
	for (int32_t i = *next; i < *end; i++)
	{
		/* a user is the member's in whose part of the work it begins */
		if (first < 0 && done * t->team.size >= work * t->team.rank)
			first = i;
		if (last < 0 && done * t->team.size >= work * (t->team.rank + 1))
			last = i;
		done += columns + start[t->active[i] + 1] - start[t->active[i]];
	}
	*next = first < 0 ? *end : first;
	*end = last < 0 ? *end : last;
}

/* Loss and gradients of the users active[next .. end). */
static MrStatus
add_users(MrTrainer *t, const MrStep *step, int32_t next, int32_t end, double scale, double *loss, double *weight,
		  double *prior, MrPoll poll, void *arg, MrEpochResult *result)
{
	MrSoftmax  *s = &t->softmax;

	while (next < end)
	{
		int32_t		rows;

		if (fill_group(t, &next, end, &rows, poll, arg) != MR_OK ||
			mr_softmax_group(t, s, rows, scale, poll, arg, loss, weight) != MR_OK)
			return MR_STOPPED;
		for (int64_t i = 0; i < s->row_pair[rows]; i++)
			result->positives += s->is_target[i];
		result->negatives += (int64_t) rows * s->n_columns;
		if (step_users(t, step, rows, prior, poll, arg) != MR_OK)
			return MR_STOPPED;
	}
	return MR_OK;
}

/*
 * One epoch: all users in random order, hyper.batch_size of them per step of the
 * items.  The gradient is that of the mean loss of a target of an average batch,
 * so that every pair counts the same, whatever batch it falls into.
 */
MrStatus
mr_softmax_epoch(MrTrainer *t, MrPoll poll, void *arg, MrEpochResult *result)
{
	MrSoftmax  *s = &t->softmax;
	int32_t		batch = t->hyper.batch_size < t->n_active ? t->hyper.batch_size : t->n_active;
	double		scale = (1 - t->hyper.tag_weight) * t->n_active / ((double) t->n_active_pairs * batch);
	double		loss = 0;
	double		weight = 0;
	double		prior = 0;
	int64_t		steps;

	if (mr_team_shuffle(t, t->active, t->n_active, poll, arg) != MR_OK)
		return MR_STOPPED;
	steps = t->step;
	for (int32_t next = 0; next < t->n_active;)
	{
		int32_t		end = t->n_active - next < t->hyper.batch_size ? t->n_active : next + t->hyper.batch_size;
		int32_t		own_next = next;
		int32_t		own_end = end;
		MrStep		step = mr_trainer_step_now(t);

		if (t->sampled && mr_softmax_draw(t, poll, arg) != MR_OK)
			return MR_STOPPED;
		if (refresh_items(t, next, end, poll, arg) != MR_OK)
			return MR_STOPPED;
		if (t->sampled && mr_softmax_gather(t, poll, arg) != MR_OK)
			return MR_STOPPED;
		take_part(t, &own_next, &own_end);
		if (add_users(t, &step, own_next, own_end, scale, &loss, &weight, &prior, poll, arg, result) != MR_OK)
			return MR_STOPPED;
		if (t->sampled && mr_softmax_scatter(t, poll, arg) != MR_OK)
			return MR_STOPPED;
		mr_team_publish(&t->items);
		if (!mr_team_barrier(t) ||
			mr_softmax_step_columns(t, s, &step, t->sampled, &prior, poll, arg) != MR_OK ||
			mr_trainer_step_towers(t, &step, poll, arg) != MR_OK ||
			!mr_team_barrier(t))
			return MR_STOPPED;
		next = end;
		t->step++;
	}
	if (mr_team_sum_result(t, result, &loss, &weight, &prior) != MR_OK)
		return MR_STOPPED;
	result->loss = (weight > 0 ? loss / weight : 0) + prior / (t->step > steps ? t->step - steps : 1);
	return MR_OK;
}
