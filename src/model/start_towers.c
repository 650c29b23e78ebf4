/*
 * start_towers.c
 *		A warm start of what is more than points: the networks of the towers, and the
 *		free users.
 *
 * With a stored network the given points are those that the tower made of id and
 * features.  Where the id can be had from them it is:
 *
 *		sum			p = point - net(x)			the tower makes the given point again
 *		prior		p = point
 *		features	no id takes part
 *		both		p cannot be had: left as start.c put it
 *
 * and a row without a given point begins where the tower puts it by its features, if
 * it has some.
 *
 * Free users may begin at the mean of their items' points, too, old users as well.  Their
 * own points would be nearer to the end, but where a user's point was trained for long, or for
 * what was recent then, users who go on from it end worse (doc/training.md has the figures).
 */
#include <math.h>
#include <string.h>

#include "model/trainer_state.h"

/* ---- networks ---- */

/* The ids' values of a block of rows, so that the tower begins with the given points. */
static void
settle_ids(const MrSideTower *w, MrPoints *points, const uint8_t *has, const int32_t *rows, int32_t n)
{
	const MrRowMath *math = mr_rowmath();
	bool		sum = w->combination == MR_COMBINE_SUM;

	for (int32_t i = 0; i < n; i++)
	{
		float	   *value = points->value + (size_t) rows[i] * points->stride;
		const float *net = w->point + (size_t) i * w->stride;
		bool		given = has == NULL || has[rows[i]];

		/* a network with hidden layers makes something of no features, too */
		if (given && sum)
			math->axpy(value, -1.0f, net, points->stride);
		else if (given || !w->features->is_present[rows[i]])
			continue;
		else if (sum)
			memset(value, 0, points->stride * sizeof(float));
		else
			memcpy(value, net, points->width * sizeof(float));
		mr_points_refresh(points, math, rows[i]);
	}
}

/*
 * Read the stored network into a tower, and take its part off the ids' points, which
 * stand where start.c put them (points NULL: there are no ids).
 */
static MrStatus
start_tower(MrTrainer *t, MrTowerSide side, MrPoints *points, const MrStart *start, const uint8_t *has,
			MrPoll poll, void *arg)
{
	MrSideTower *w = side == MR_TOWER_OF_USERS ? &t->user_tower : &t->item_tower;
	MrStatus	status;

	if (start->tower[side] == NULL)
		return MR_OK;
	status = mr_embedder_load(t, side, start->tower[side], start->tower_bytes[side], poll, arg);
	if (status != MR_OK || points == NULL ||
		(w->combination != MR_COMBINE_SUM && w->combination != MR_COMBINE_PRIOR))
		return status;
	for (int32_t first = 0; first < w->n_rows; first += MR_NET_BLOCK)
	{
		int32_t		rows[MR_NET_BLOCK];
		int32_t		n = 0;

		for (; n < MR_NET_BLOCK && first + n < w->n_rows; n++)
			rows[n] = first + n;
		if (mr_net_forward(w->net, w->features, rows, n, NULL, 0, NULL, w->point, poll, arg) != MR_OK)
			return MR_STOPPED;
		settle_ids(w, points, has, rows, n);
	}
	return MR_OK;
}

/*
 * The networks of *start, after the points of both sides.  MR_DIVERGED: one is damaged,
 * or of another layout than the trainer's.
 */
MrStatus
mr_start_towers(MrTrainer *t, const MrStart *start, MrPoll poll, void *arg)
{
	MrStatus	status = start_tower(t, MR_TOWER_OF_ITEMS, start->items ? &t->items : NULL, start, start->has_item,
									 poll, arg);

	if (status != MR_OK)
		return status;
	return start_tower(t, MR_TOWER_OF_USERS, start->users && t->hyper.tower == MR_TOWER_FREE ? &t->users : NULL,
					   start, start->has_user, poll, arg);
}

/* ---- users ---- */

static inline double
weight_of(const MrInteractions *x, int64_t p)
{
	return x->weights ? x->weights[p] : 1;
}

/* Of a user's interactions with given items.  Weights can be as large as floats are. */
static double
sum_of_weights(const MrInteractions *x, int32_t user, const uint8_t *has_item)
{
	double		sum = 0;

	for (int64_t p = x->user_start[user]; p < x->user_start[user + 1]; p++)
		sum += has_item[x->items[p]] ? weight_of(x, p) : 0;
	return sum;
}

/*
 * The mean of the given points of each user's items, by the weights of the
 * interactions, into users [n_users][dimensions]; has_user [n_users] is 0 for a user none
 * of whose items has one.  The last coordinate of a user is 0, if it is a bias.
 *
 * items		[n_items][dimensions], has_item [n_items]
 */
MrStatus
mr_start_users(const MrInteractions *x, int32_t dimensions, bool item_bias, const float *items,
			   const uint8_t *has_item, float *users, uint8_t *has_user, MrPoll poll, void *arg)
{
	int32_t		width = dimensions - (item_bias ? 1 : 0);
	int64_t		work = 0;

	for (int32_t u = 0; u < x->n_users; u++)
	{
		float	   *user = users + (size_t) u * dimensions;
		double		sum = sum_of_weights(x, u, has_item);

		memset(user, 0, dimensions * sizeof(float));
		has_user[u] = sum > 0;
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
		{
			const float *item = items + (size_t) x->items[p] * dimensions;
			float		share;

			work += dimensions;
			if (work >= MR_POLL_WORK)
			{
				work = 0;
				if (poll && poll(arg))
					return MR_STOPPED;
			}
			if (!has_item[x->items[p]])
				continue;
			share = (float) (weight_of(x, p) / sum);
			for (int32_t k = 0; k < width; k++)
				user[k] += share * item[k];
		}
	}
	return MR_OK;
}
