/*
 * folding.c
 *		A set of items as a user: gradient steps from their mean, by the sample of items
 *		that the version has stored (model/fold_in.h).
 *
 * The samples of a few versions are kept by the backend.  A version never changes;
 * it is known by the Oid of its table, as in embed/embed.c.  Nothing runs between
 * mr_folding_begin() and the steps that could ask for another version's, but the
 * reading of the items' points: a policy or view there may call query functions,
 * so that begin is called after it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "recommend/query.h"
#include "store/version.h"
#include "util/compat.h"
#include "util/guc.h"

#define MAX_KEPT 4

/*
 * Steps where the setting leaves it to us, measured on validation splits: see
 * doc/training.md, "Folding users in".
 */
#define STEPS_FREE 4
#define STEPS_POOLED 1

typedef struct KeptSample
{
	Oid			table;			/* of the version's items */
	MemoryContext context;
	MrFoldIn   *fold_in;
	uint64		used;			/* the least is the first to go */
} KeptSample;

static KeptSample kept[MAX_KEPT];
static uint64 clock_hand;

/* How many steps are wanted. */
int
mr_folding_steps(const MrQuery *query)
{
	if (mr_fold_in_steps >= 0)
		return mr_fold_in_steps;
	return query->version->tower.kind == MR_TOWER_FREE ? STEPS_FREE : STEPS_POOLED;
}

/* The version's sample in a context of its own, or NULL: it was trained before there were samples. */
static MrFoldIn *
load(const MrQuery *query, MemoryContext *context)
{
	bytea	   *stored = mr_component_read(query->model->id, query->version->version, MR_COMPONENT_FOLD_IN);
	const uint8 *bytes;
	Size		memory;
	MrFoldIn   *f = NULL;

	if (stored == NULL)
		return NULL;
	bytes = (const uint8 *) VARDATA_ANY(stored);
	memory = mr_fold_in_memory(bytes, VARSIZE_ANY_EXHDR(stored));
	*context = AllocSetContextCreate(CurrentMemoryContext, "metricrec fold-in", ALLOCSET_DEFAULT_SIZES);
	if (memory > 0)
		f = mr_fold_in_read(MemoryContextAlloc(*context, memory), bytes, VARSIZE_ANY_EXHDR(stored));
	if (f == NULL || f->dimensions != query->version->tower.dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("version %d of model \"%s\" has no readable sample of its items",
						query->version->version, query->model->name),
				 errhint("Train the model again, or set metricrec.fold_in_steps to 0.")));
	pfree(stored);
	return f;
}

/* See query.h. */
MrFoldIn *
mr_folding_begin(const MrQuery *query)
{
	KeptSample *place = &kept[0];
	MemoryContext context = NULL;
	MrFoldIn   *f;

	if (mr_folding_steps(query) == 0)
		return NULL;
	for (int i = 0; i < MAX_KEPT; i++)
	{
		if (kept[i].fold_in && kept[i].table == query->version->item_table)
		{
			kept[i].used = ++clock_hand;
			return kept[i].fold_in;
		}
		if (place->fold_in && (kept[i].fold_in == NULL || kept[i].used < place->used))
			place = &kept[i];
	}
	f = load(query, &context);
	if (f == NULL)
		return NULL;
	MemoryContextSetParent(context, CacheMemoryContext);
	if (place->fold_in)
		MemoryContextDelete(place->context);
	place->table = query->version->item_table;
	place->context = context;
	place->fold_in = f;
	place->used = ++clock_hand;
	return f;
}

static bool
poll_interrupts(void *arg)
{
	return INTERRUPTS_PENDING_CONDITION();
}

/* Takes point [dimensions] by steps to likes [n][dimensions]. */
void
mr_folding_steps_from(MrFoldIn *f, const float *likes, int64 n, int steps, float *point)
{
	float	   *rows = palloc0(sizeof(float) * f->stride * (n + 1));
	float	   *user = rows + f->stride * n;

	for (int64 t = 0; t < n; t++)
		memcpy(rows + t * f->stride, likes + t * f->dimensions, sizeof(float) * f->dimensions);
	memcpy(user, point, sizeof(float) * f->dimensions);
	while (mr_fold_in_solve(f, rows, (int32) n, steps, user, poll_interrupts, NULL) == MR_STOPPED)
	{
		CHECK_FOR_INTERRUPTS();
		/* not one that ends the query: once more */
		memcpy(user, point, sizeof(float) * f->dimensions);
	}
	memcpy(point, user, sizeof(float) * f->dimensions);
	pfree(rows);
}
