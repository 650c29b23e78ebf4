/*
 * holdout_posts.c
 *		The validation split of the posts: those of the held-out pairs are held out.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "train/train.h"

/* Bytes of what mr_holdout_posts_make() allocates, but for a few per side. */
Size
mr_holdout_posts_bytes(const MrPosts *posts)
{
	Size		per_post = 2 * sizeof(int32) + sizeof(int64);

	return add_size(mul_size(2 * per_post, (Size) posts->n_posts + 1),
					mul_size(2 * sizeof(int32), posts->lists.n_pairs));
}

static void *
allocate(MemoryContext context, Size size, Size n)
{
	return MemoryContextAllocHuge(context, mul_size(size, Max(n, 1)));
}

/* Empty posts with room for `n` posts and `taggings` taggings. */
static void
make_room(MrPosts *to, const MrPosts *like, int32 n, int64 taggings, MemoryContext context)
{
	memset(to, 0, sizeof(*to));
	to->n_tags = to->lists.n_items = like->n_tags;
	to->post_user = allocate(context, sizeof(int32), n);
	to->post_item = allocate(context, sizeof(int32), n);
	to->lists.user_start = allocate(context, sizeof(int64), (Size) n + 1);
	to->lists.items = allocate(context, sizeof(int32), taggings);
	to->lists.user_start[0] = 0;
}

static void
copy_post(MrPosts *to, const MrPosts *from, int32 post)
{
	int64		first = from->lists.user_start[post];
	int64		n = from->lists.user_start[post + 1] - first;

	to->post_user[to->n_posts] = from->post_user[post];
	to->post_item[to->n_posts] = from->post_item[post];
	memcpy(to->lists.items + to->lists.n_pairs, from->lists.items + first, sizeof(int32) * n);
	to->lists.n_pairs += n;
	to->lists.user_start[++to->n_posts] = to->lists.n_pairs;
	to->lists.n_users = to->n_posts;
}

/* Fills the posts of a holdout whose pairs are there. */
void
mr_holdout_posts_make(const MrPosts *posts, MemoryContext context, MrHoldout *holdout)
{
	make_room(&holdout->train_posts, posts, posts->n_posts, posts->lists.n_pairs, context);
	make_room(&holdout->held_posts, posts, posts->n_posts, posts->lists.n_pairs, context);
	for (int32 p = 0; p < posts->n_posts; p++)
	{
		bool		held = mr_interactions_contain(&holdout->held_out, posts->post_user[p], posts->post_item[p]);

		if ((p & 0xFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		copy_post(held ? &holdout->held_posts : &holdout->train_posts, posts, p);
	}
}
