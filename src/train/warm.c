/*
 * warm.c
 *		A training that starts from the version that is served.
 *
 *		fits?	the version was trained with the same hyper-parameters	warm_fit.c
 *		keep	what its recipe chose from the data						warm_fit.c
 *		read	its points, by key into the rows of the new data set
 *		shorten	fewer epochs, another rate								warm_fit.c
 *		begin	the trainer starts with the points
 *
 *	version table  (key, point, interactions) --idmap--> row --> start.items[row]
 *	made by ALS						ALS goes on from the items, then the recipe as it is
 *	new item						no start: at random, or by its features
 *	free user						mean of the items' points, or the user's own
 *	pooled user						nothing: it is made of the items
 *	key that is in no interaction	gone
 *
 * A start that is not possible is no error: a job that runs every night must not fail
 * for ever because somebody has altered the model.  It trains in full then, with a
 * NOTICE and in the words of the result's advice.
 *
 * The version has been trained on nearly all of the interactions, so a random held-out
 * pair measures what was learned by heart.  Only with a time column can pairs be told
 * that it has not seen: the latest of users who have more of them than before.  On these
 * a warm start is validated; without times it is not.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "embed/embed.h"
#include "train/warm.h"
#include "type/embedding.h"
#include "util/pgutil.h"

/* ---- the served tables ---- */

/* What becomes of the rows of one table. */
typedef struct Rows
{
	MrIdMap    *ids;
	int32		dimensions;
	float	   *points;			/* [size of ids][dimensions], or NULL */
	uint8	   *has;			/* [size of ids] */
	int64	   *interactions;	/* [size of ids] that the version was trained on, or NULL */
	int32		known;			/* rows of ids that the table has */
} Rows;

/* Columns may have been added, but the first three are ours. */
static bool
has_our_columns(Relation rel, Oid key_type)
{
	TupleDesc	desc = RelationGetDescr(rel);
	const Oid	expected[3] = {key_type, mr_embedding_type(), INT8OID};

	for (int i = 0; i < lengthof(expected); i++)
		if (desc->natts <= i || TupleDescAttr(desc, i)->attisdropped || TupleDescAttr(desc, i)->atttypid != expected[i])
			return false;
	return true;
}

static void
take_row(Rows *rows, TupleTableSlot *slot)
{
	int32		row;

	slot_getsomeattrs(slot, 3);
	if (slot->tts_isnull[0] || slot->tts_isnull[1])
		return;
	row = mr_idmap_lookup(rows->ids, slot->tts_values[0]);
	if (row < 0 || rows->has[row])
		return;
	if (rows->points)
	{
		MrEmbedding *point = (MrEmbedding *) PG_DETOAST_DATUM(slot->tts_values[1]);

		if (point->dim != rows->dimensions)
			return;
		memcpy(rows->points + (Size) row * rows->dimensions, point->x, sizeof(float) * rows->dimensions);
	}
	if (rows->interactions && !slot->tts_isnull[2])
		rows->interactions[row] = DatumGetInt64(slot->tts_values[2]);
	rows->has[row] = 1;
	rows->known++;
}

/*
 * Reads a table of the version, below the checks of the executor: the model is the
 * caller's, and a policy is for those who ask, not for the training.  The latest
 * snapshot, because it sees the rows of the table that is served now.  False if it is
 * gone, or not ours any more.
 */
static bool
read_rows(Oid table, Oid key_type, Rows *rows)
{
	Relation	rel = try_table_open(table, AccessShareLock);
	MemoryContext scratch;
	MemoryContext before;
	TupleTableSlot *slot;
	TableScanDesc scan;
	Snapshot	snapshot;

	if (rel == NULL)
		return false;
	if (!has_our_columns(rel, key_type))
	{
		table_close(rel, AccessShareLock);
		return false;
	}
	scratch = AllocSetContextCreate(CurrentMemoryContext, "metricrec warm start", ALLOCSET_DEFAULT_SIZES);
	slot = table_slot_create(rel, NULL);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = table_beginscan(rel, snapshot, 0, NULL);
	before = MemoryContextSwitchTo(scratch);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		take_row(rows, slot);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(before);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	MemoryContextDelete(scratch);
	return true;
}

/* ---- reading ---- */

static void *
allocate_zero(MrRun *run, Size size, Size n)
{
	return MemoryContextAllocExtended(run->context, mul_size(size, Max(n, 1)), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static MrIdMap *
ids_of(const MrRun *run, MrSide side)
{
	return side == MR_SIDE_USER ? run->data->users : side == MR_SIDE_ITEM ? run->data->items : run->data->tags;
}

/* Which sides' points are read; of the others keys and counts at most. */
static bool
wants_points(const MrRun *run, MrSide side)
{
	return side != MR_SIDE_USER || run->warm->keeps_users;
}

static bool
wants_rows(const MrRun *run, MrSide side)
{
	return side != MR_SIDE_USER || wants_points(run, side) || run->data->positives.times != NULL;
}

/* What the start holds, before it is allocated. */
static void
check_memory(const MrRun *run)
{
	const MrWarm *warm = run->warm;
	Size		needed = MemoryContextMemAllocated(run->context, true);

	for (int side = 0; side < mr_model_sides(run->model); side++)
	{
		Size		row = sizeof(uint8) + sizeof(int64);

		if (wants_points(run, side))
			row += mul_size(sizeof(float), warm->tower.dimensions);
		needed = add_size(needed, mul_size(row, mr_idmap_size(ids_of(run, side))));
	}
	mr_check_training_memory(needed, "the warm start");
}

static bool
read_side(MrRun *run, MrSide side, Oid table, Rows *rows)
{
	int32		n;

	rows->ids = ids_of(run, side);
	rows->dimensions = run->warm->tower.dimensions;
	n = mr_idmap_size(rows->ids);
	rows->has = allocate_zero(run, sizeof(uint8), n);
	if (side != MR_SIDE_TAG)
		rows->interactions = allocate_zero(run, sizeof(int64), n);
	if (wants_points(run, side))
		rows->points = allocate_zero(run, mul_size(sizeof(float), rows->dimensions), n);
	return !wants_rows(run, side) || read_rows(table, mr_side_type(run->model, side), rows);
}

/* Pairs that the version was not trained on, as far as the items' counts tell. */
static int64
count_new_pairs(const MrRun *run, const int64 *before)
{
	const MrInteractions *x = &run->data->positives;
	int64	   *left = MemoryContextAllocHuge(run->context, mul_size(sizeof(int64), x->n_items));
	int64		n = 0;

	memcpy(left, before, sizeof(int64) * x->n_items);
	for (int64 p = 0; p < x->n_pairs; p++)
	{
		if ((p & 0xfffff) == 0)
			CHECK_FOR_INTERRUPTS();
		n += left[x->items[p]]-- <= 0;
	}
	pfree(left);
	return n;
}

/* Users whose latest pair the version has not seen: they have more of them. */
static void
mark_grown(MrRun *run, const int64 *before)
{
	const MrInteractions *x = &run->data->positives;

	run->warm->grown = allocate_zero(run, sizeof(uint8), x->n_users);
	for (int32 u = 0; u < x->n_users; u++)
		run->warm->grown[u] = x->user_start[u + 1] - x->user_start[u] > before[u];
}

/* The points of all sides; NULL, or why not. */
static const char *
read_points(MrRun *run, const Oid *tables)
{
	MrWarm	   *warm = run->warm;
	Rows		rows[MR_SIDES] = {{0}};

	check_memory(run);
	for (int side = 0; side < mr_model_sides(run->model); side++)
		if (!read_side(run, side, tables[side], &rows[side]))
			return psprintf("the table of the %ss of version %d is gone, or its columns were changed",
							mr_side_name(side), warm->version);
	if (rows[MR_SIDE_ITEM].known == 0)
		return psprintf("version %d has none of the items", warm->version);
	warm->known_items = rows[MR_SIDE_ITEM].known;
	warm->new_pairs = count_new_pairs(run, rows[MR_SIDE_ITEM].interactions);
	if (run->data->positives.times)
		mark_grown(run, rows[MR_SIDE_USER].interactions);
	warm->start.items = rows[MR_SIDE_ITEM].points;
	warm->start.has_item = rows[MR_SIDE_ITEM].has;
	warm->start.tags = rows[MR_SIDE_TAG].points;
	warm->start.has_tag = rows[MR_SIDE_TAG].has;
	warm->start.user_weight = warm->tower.user_weight;
	warm->start.radius = warm->tower.radius;
	if (warm->keeps_users)
	{
		warm->start.users = rows[MR_SIDE_USER].points;
		warm->start.has_user = rows[MR_SIDE_USER].has;
	}
	return NULL;
}

/* ---- networks ---- */

/* The stored network of a side, if it has one, and what a new item's bias was. */
static const char *
read_tower(MrRun *run, MrSide side)
{
	MrWarm	   *warm = run->warm;
	MrTowerSide of = side == MR_SIDE_USER ? MR_TOWER_OF_USERS : MR_TOWER_OF_ITEMS;
	bytea	   *stored = mr_component_read(run->model->id, warm->version,
										   mr_component_of_side(side, MR_COMPONENT_TOWER));
	MrEmbedderShape shape;

	if (stored == NULL)
		return NULL;
	warm->start.tower[of] = (const uint8_t *) VARDATA_ANY(stored);
	warm->start.tower_bytes[of] = VARSIZE_ANY_EXHDR(stored);
	if (!mr_embedder_shape(&shape, warm->start.tower[of], warm->start.tower_bytes[of]))
		return psprintf("the %s tower of version %d is damaged", mr_side_name(side), warm->version);
	if (shape.combination == MR_COMBINE_BOTH)
		return psprintf("with %s_combination \"both\" the points of a version do not tell those of its ids",
						mr_side_name(side));
	if (side == MR_SIDE_ITEM)
		warm->start.new_item = shape.new_row_bias;
	return NULL;
}

/* ---- all of it ---- */

/* NULL, or why it is not possible. */
static const char *
prepare(MrRun *run)
{
	const char *why = mr_warm_fits(run);
	Oid			tables[MR_SIDES] = {InvalidOid};

	if (why)
		return why;
	mr_warm_keep(run);
	if (run->warm->hyper.dimensions != run->warm->tower.dimensions)
		return psprintf("the recipe of version %d is not that of its points", run->warm->version);
	if (!mr_version_tables(run->model, run->warm->version, tables))
		return psprintf("version %d is gone", run->warm->version);
	for (int side = 0; why == NULL && side < 2; side++)
		why = read_tower(run, side);
	if (why == NULL)
		why = read_points(run, tables);
	return why ? why : mr_warm_check_known(run);
}

/* After the interactions and before the features, which the version's encoders read then. */
void
mr_warm_prepare(MrRun *run)
{
	MrOptions	options = run->options;
	const char *why;

	run->warm = palloc0(sizeof(MrWarm));
	why = prepare(run);
	if (why == NULL)
		mr_warm_schedule(run);
	else
	{
		run->options = options;
		run->warm = NULL;
		run->cold_because = why;
		ereport(NOTICE,
				(errmsg("model \"%s\" is trained in full, without a warm start", run->model->name),
				 errdetail("The reason: %s.", why)));
	}
}

/* ---- the beginning of a training ---- */

/* What it holds beside the trainer. */
Size
mr_warm_begin_bytes(const MrRun *run, const MrInteractions *x)
{
	if (!run->warm->free_users || run->warm->keeps_users)
		return 0;
	return mul_size(add_size(mul_size(sizeof(float), run->warm->tower.dimensions), sizeof(uint8)), Max(x->n_users, 1));
}

/* Free users at the mean of their items' points, as far as these are trained on. */
static void
place_users(MrRun *run, const MrInteractions *x, MrStart *start)
{
	const MrTower *tower = &run->warm->tower;
	float	   *users = allocate_zero(run, mul_size(sizeof(float), tower->dimensions), x->n_users);
	uint8	   *has_user = allocate_zero(run, sizeof(uint8), x->n_users);

	mr_run_check_status(run, mr_start_users(x, tower->dimensions, tower->item_bias, start->items, start->has_item,
											users, has_user, mr_run_poll, run));
	start->users = users;
	start->has_user = has_user;
}

static void
set_start(MrRun *run, MrTrainer *trainer, const MrStart *start)
{
	MrStatus	status = mr_trainer_set_start(trainer, start, mr_run_poll, run);

	if (status == MR_DIVERGED)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("cannot start from version %d of model \"%s\"", run->warm->version, run->model->name),
				 errdetail("A point is not finite, or a tower is damaged."),
				 errhint("Train without warm_start.")));
	mr_run_check_status(run, status);
}

/* The ALS that the trainer runs begins at the version's items, without their biases. */
void
mr_warm_begin_als(MrRun *run, MrTrainer *trainer)
{
	MrStart		start = {0};

	start.items = run->warm->start.items;
	start.has_item = run->warm->start.has_item;
	start.item_stride = run->warm->tower.dimensions;
	set_start(run, trainer, &start);
}

/*
 * Puts the trainer at the version's points.  x is what it trains on, with all weights: a
 * held-out pair must not say where its user begins.
 */
void
mr_warm_begin(MrRun *run, const MrInteractions *x, MrTrainer *trainer)
{
	MrWarm	   *warm = run->warm;
	MrStart		start = warm->start;
	bool		places = warm->free_users && !warm->keeps_users;

	if (places)
		place_users(run, x, &start);
	set_start(run, trainer, &start);
	if (places)
	{
		pfree(unconstify(float *, start.users));
		pfree(unconstify(uint8 *, start.has_user));
	}
}

/* Users on whose latest pair a warm start can be validated. */
int32
mr_warm_validated_users(const MrRun *run)
{
	const MrInteractions *x = &run->data->positives;
	int32		n = 0;

	for (int32 u = 0; run->warm->grown && u < x->n_users; u++)
		n += run->warm->grown[u] && x->user_start[u + 1] - x->user_start[u] > 1;
	return n;
}
