/*
 * batch_points.c
 *		The points that the users of a batch are answered from, and their order.
 *
 * As recommend() takes them, query_point.c: with a pooled tower and live history the
 * pool of the liked items, taken through the tower with the user's features; one who
 * came after the training is folded in; else the stored point, else that of the
 * features alone.  Users of whom nothing is known are left out.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "embed/live.h"
#include "recommend/batch.h"
#include "util/guc.h"

/* What the making of points keeps from user to user. */
typedef struct PointMaker
{
	MrBatch    *batch;
	int			steps;			/* of folding in; 0: none */
	double	   *sum;			/* [dimensions] */
	MemoryContext scratch;		/* of one user */
} PointMaker;

static float *
stored_point(const MrBatch *batch, int32 row)
{
	return batch->user_points + (Size) row * batch->query->version->tower.dimensions;
}

/* Takes the point of a new user by steps to the one that the loss wants. */
static void
fold_in(const PointMaker *maker, const int32 *items, int64 n, float *point)
{
	const MrBatch *batch = maker->batch;
	Size		d = batch->query->version->tower.dimensions;
	MrFoldIn   *f = n <= MR_FOLD_IN_MAX_LIKES ? mr_folding_begin(batch->query) : NULL;
	float	   *likes;

	if (f == NULL)
		return;
	likes = palloc(sizeof(float) * d * n);
	for (int64 i = 0; i < n; i++)
		memcpy(likes + d * i, batch->item_points + d * items[i], sizeof(float) * d);
	mr_folding_steps_from(f, likes, n, maker->steps, point);
}

/* The point by the history and the features as they are now; false: there is no better one than that stored. */
static bool
live_point(const PointMaker *maker, int32 row, const MrLiveUser *user, float *point)
{
	const MrBatch *batch = maker->batch;
	const MrQuery *query = batch->query;
	const MrTower *tower = &query->version->tower;
	const MrInteractions *liked = &batch->histories->positives;
	const int32 *items = liked->items + liked->user_start[row];
	int64		n = liked->user_start[row + 1] - liked->user_start[row];
	uint8		flags = batch->user_flags[row];
	bool		is_new = maker->steps > 0 && n <= MR_NEW_USER_LIKES && !(flags & MR_USER_TRAINED);

	memset(maker->sum, 0, sizeof(double) * tower->dimensions);
	for (int64 i = 0; i < n; i++)
		mr_tower_pool(tower, batch->item_points + (Size) items[i] * tower->dimensions, 1, maker->sum, NULL);
	if (n == 0 || !mr_tower_pool(tower, NULL, 0, maker->sum, point))
		return false;
	if (mr_live_point(query->model, query->version, user, point, point) == MR_LIVE_UNREADABLE)
	{
		if (!is_new && (flags & MR_USER_HAS_POINT))
			return false;
		(void) mr_live_point(query->model, query->version, NULL, point, point);
	}
	if (is_new)
		fold_in(maker, items, n, point);
	return true;
}

/* Makes the point of one user, if there is a better one than that stored. */
static void
make_point(PointMaker *maker, int32 row)
{
	MrBatch    *batch = maker->batch;
	const MrQuery *query = batch->query;
	int32		d = query->version->tower.dimensions;
	MrLiveUser	user = {mr_idmap_id(batch->users, row), query->user_key.type, query->user_key.equals};
	float	   *point = palloc(sizeof(float) * d);
	bool		made = batch->live && live_point(maker, row, &user, point);

	if (!made && !(batch->user_flags[row] & MR_USER_HAS_POINT) && mr_live_history)
		made = mr_live_point(query->model, query->version, &user, NULL, point) == MR_LIVE_POINT;
	if (!made)
		return;
	memcpy(stored_point(batch, row), point, sizeof(float) * d);
	batch->user_flags[row] |= MR_USER_HAS_POINT;
}

/* ---- the order of the answer ---- */

typedef struct UserOrder
{
	const MrIdMap *users;
	FmgrInfo   *compare;
	Oid			collation;
} UserOrder;

static int
compare_users(const void *a, const void *b, void *arg)
{
	UserOrder  *order = arg;

	CHECK_FOR_INTERRUPTS();
	return DatumGetInt32(FunctionCall2Coll(order->compare, order->collation,
										   mr_idmap_id(order->users, *(const int32 *) a),
										   mr_idmap_id(order->users, *(const int32 *) b)));
}

/* Those who have a point, in the order of their ids. */
static void
order_users(MrBatch *batch)
{
	const MrKeyType *key = &batch->query->user_key;
	TypeCacheEntry *type = lookup_type_cache(key->type, TYPECACHE_CMP_PROC_FINFO);
	UserOrder	order = {batch->users, &type->cmp_proc_finfo, key->collation};
	int32		n = mr_idmap_size(batch->users);

	batch->order = mr_batch_grow(batch, NULL, 0, n, sizeof(int32));
	for (int32 row = 0; row < n; row++)
		if (batch->user_flags[row] & MR_USER_HAS_POINT)
			batch->order[batch->n_order++] = row;
	if (n > batch->n_sorted && OidIsValid(type->cmp_proc))
		qsort_arg(batch->order, batch->n_order, sizeof(int32), compare_users, &order);
}

/* Makes the points and the order of the users who have one. */
void
mr_batch_make_points(MrBatch *batch)
{
	PointMaker	maker = {batch};
	int32		n = mr_idmap_size(batch->users);

	maker.steps = batch->live ? mr_folding_steps(batch->query) : 0;
	maker.sum = palloc(sizeof(double) * batch->query->version->tower.dimensions);
	maker.scratch = AllocSetContextCreate(batch->context, "metricrec point", ALLOCSET_DEFAULT_SIZES);
	for (int32 row = 0; row < n; row++)
	{
		MemoryContext before = MemoryContextSwitchTo(maker.scratch);

		CHECK_FOR_INTERRUPTS();
		make_point(&maker, row);
		MemoryContextSwitchTo(before);
		MemoryContextReset(maker.scratch);
	}
	MemoryContextDelete(maker.scratch);
	order_users(batch);
}
