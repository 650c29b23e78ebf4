/*
 * interactions.c
 *		Checks and look-ups on the interaction matrix.
 */
#include <math.h>

#include "model/interactions.h"

/*
 * True if every invariant of interactions.h holds.  O(n_pairs): for assertions
 * and tests.
 */
bool
mr_interactions_valid(const MrInteractions *x)
{
	if (x->n_users < 0 || x->n_items < 0 || x->user_start[0] != 0 ||
		x->user_start[x->n_users] != x->n_pairs)
		return false;
	for (int32_t u = 0; u < x->n_users; u++)
	{
		if (x->user_start[u] > x->user_start[u + 1])
			return false;
		for (int64_t p = x->user_start[u]; p < x->user_start[u + 1]; p++)
		{
			if (x->items[p] < 0 || x->items[p] >= x->n_items)
				return false;
			if (p > x->user_start[u] && x->items[p] <= x->items[p - 1])
				return false;
			if (x->weights && !(isfinite(x->weights[p]) && x->weights[p] > 0))
				return false;
		}
	}
	return true;
}

/* True if every invariant of the posts holds; users and items lie below these counts. */
bool
mr_posts_valid(const MrPosts *posts, int32_t n_users, int32_t n_items)
{
	if (!mr_interactions_valid(&posts->lists) || posts->lists.n_users != posts->n_posts ||
		posts->lists.n_items != posts->n_tags)
		return false;
	for (int32_t p = 0; p < posts->n_posts; p++)
	{
		int32_t		user = posts->post_user[p];
		int32_t		item = posts->post_item[p];

		if (user < 0 || user >= n_users || item < 0 || item >= n_items)
			return false;
		if (posts->lists.user_start[p + 1] == posts->lists.user_start[p])
			return false;
		if (p > 0 && (user < posts->post_user[p - 1] ||
					  (user == posts->post_user[p - 1] && item <= posts->post_item[p - 1])))
			return false;
	}
	return true;
}

/*
 * The user's first pair whose item is not before this one, or the end of the
 * user's pairs.  Binary search, O(log n).
 */
int64_t
mr_interactions_find(const MrInteractions *x, int32_t user, int32_t item)
{
	int64_t		low = x->user_start[user];
	int64_t		high = x->user_start[user + 1];

	while (low < high)
	{
		int64_t		middle = low + (high - low) / 2;

		if (x->items[middle] < item)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Did this user interact with this item? */
bool
mr_interactions_contain(const MrInteractions *x, int32_t user, int32_t item)
{
	int64_t		at = mr_interactions_find(x, user, item);

	return at < x->user_start[user + 1] && x->items[at] == item;
}
