/*
 * embed.c
 *		The encoder and the tower of one side of a version, read from the version's
 *		components and kept by the backend.
 *
 * A version never changes, so that what is kept need not be invalidated; it is
 * known by the Oid of the version's table, which is never used again while the
 * table exists.  A few are kept, the least recently used goes first.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "embed/embed.h"
#include "math/gemm.h"
#include "util/compat.h"

#define MAX_KEPT 8

static MrSideEmbedder *kept[MAX_KEPT];
static uint64 clock_hand;

/* The model's feature table of a side, or InvalidOid. */
Oid
mr_feature_relation(const MrModel *model, MrSide side)
{
	return side == MR_SIDE_USER ? model->user_features : model->item_features;
}

static void
damaged(const MrModel *model, const MrVersion *version, MrSide side)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("version %d of model \"%s\" has no readable %s tower", version->version, model->name,
					mr_side_name(side)),
			 errhint("Train the model again, or activate another version.")));
}

/* Remembers that it said stop: what is pending need not be a cancel. */
static bool
poll_interrupts(void *arg)
{
	bool		stop = INTERRUPTS_PENDING_CONDITION();

	*(bool *) arg |= stop;
	return stop;
}

/* Tower and encoder must speak of the same columns and dimensions. */
static void
check_agreement(const MrModel *model, const MrVersion *version, MrSide side, const MrSideEmbedder *e)
{
	if (e->shape.n_sparse != mr_encoder_sparse_columns(e->encoder) ||
		e->shape.n_dense != mr_encoder_dense_columns(e->encoder) ||
		e->shape.dimensions != version->tower.dimensions)
		damaged(model, version, side);
}

static MrEmbedder *
read_embedder(const MrModel *model, const MrVersion *version, MrSide side, const bytea *stored, MrSideEmbedder *e)
{
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(stored);
	Size		n = VARSIZE_ANY_EXHDR(stored);
	Size		memory;
	void	   *place;
	bool		stopped;
	MrEmbedder *embedder;

	if (!mr_embedder_shape(&e->shape, bytes, n))
		damaged(model, version, side);
	memory = mr_embedder_memory(bytes, n);
	if (memory == 0)
		damaged(model, version, side);
	if (mr_gemm_load() != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("could not load OpenBLAS: %s", mr_gemm_load()),
				 errhint("Install it (on Debian: libopenblas0-serial).")));
	place = MemoryContextAllocHuge(e->context, memory);
	do
	{
		CHECK_FOR_INTERRUPTS();
		stopped = false;
		embedder = mr_embedder_read(place, bytes, n, poll_interrupts, &stopped);
	} while (embedder == NULL && stopped);
	if (embedder == NULL)
		damaged(model, version, side);
	return embedder;
}

/* Reads both components into a context of their own; NULL if the version has no tower of that side. */
static MrSideEmbedder *
load(const MrModel *model, const MrVersion *version, MrSide side, Oid table)
{
	bytea	   *tower = mr_component_read(model->id, version->version, mr_component_of_side(side, MR_COMPONENT_TOWER));
	bytea	   *encoder;
	MemoryContext context;
	MrSideEmbedder *e;

	if (tower == NULL)
		return NULL;
	encoder = mr_component_read(model->id, version->version, mr_component_of_side(side, MR_COMPONENT_ENCODER));
	if (encoder == NULL)
		damaged(model, version, side);
	/* a child of the caller's, until it is complete: an error frees it */
	context = AllocSetContextCreate(CurrentMemoryContext, "metricrec tower", ALLOCSET_DEFAULT_SIZES);
	e = MemoryContextAllocZero(context, sizeof(MrSideEmbedder));
	e->context = context;
	e->table = table;
	e->embedder = read_embedder(model, version, side, tower, e);
	e->encoder = mr_encoder_read(VARDATA_ANY(encoder), VARSIZE_ANY_EXHDR(encoder), context);
	check_agreement(model, version, side, e);
	pfree(tower);
	pfree(encoder);
	MemoryContextSetParent(context, CacheMemoryContext);
	return e;
}

/*
 * A place for one more: a free one, or else of those that are not pinned the one
 * that was used longest ago; -1 if there is none.
 */
static int
find_place(void)
{
	int			place = -1;

	for (int i = 0; i < MAX_KEPT; i++)
	{
		if (kept[i] == NULL)
			return i;
		if (kept[i]->pinned == 0 && (place < 0 || kept[i]->used < kept[place]->used))
			place = i;
	}
	return place;
}

/* See embed.h.  What is returned stays as it is until the next call, or while it is pinned. */
MrSideEmbedder *
mr_side_embedder(const MrModel *model, const MrVersion *version, MrSide side)
{
	Oid			table = side == MR_SIDE_USER ? version->user_table : version->item_table;
	MrSideEmbedder *e;
	int			place;

	for (int i = 0; i < MAX_KEPT; i++)
		if (kept[i] && kept[i]->table == table)
		{
			kept[i]->used = ++clock_hand;
			return kept[i];
		}
	place = find_place();
	if (place < 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("queries are nested too deeply"),
				 errdetail("Towers of %d versions are in use.", MAX_KEPT)));
	e = load(model, version, side, table);
	if (e == NULL)
		return NULL;
	if (kept[place])
		MemoryContextDelete(kept[place]->context);
	kept[place] = e;
	e->used = ++clock_hand;
	return e;
}

/*
 * Works with it pinned: what the work runs, casts, views, policies, may ask for other
 * towers, and more of them than are kept.
 */
void
mr_side_embedder_use(MrSideEmbedder *e, void (*work) (MrSideEmbedder *e, void *arg), void *arg)
{
	e->pinned++;
	PG_TRY();
	{
		work(e, arg);
	}
	PG_FINALLY();
	{
		e->pinned--;
	}
	PG_END_TRY();
}

/* The point of a row of features, as of a new user or item. */
MrEmbedding *
mr_embed_row(MrSideEmbedder *e, const MrFeatures *features, int32 row)
{
	MrEmbedding *point = mr_embedding_create(e->shape.dimensions);

	mr_embedder_point(e->embedder, features, row, NULL, point->x);
	return point;
}
