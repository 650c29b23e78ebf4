/*
 * publish.c
 *		From points to a version that is served.
 *
 * Runs as the model's owner, so that the tables belong to it.  Nothing here is
 * visible to others before the transaction commits; the swap comes last,
 * because it alone makes readers wait.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "train/train.h"
#include "util/compat.h"

/* ---- jsonb of the version's row ---- */

/* Metrics of the validation split; NULL if there was none. */
static Jsonb *
metrics_json(const MrRun *run)
{
	const MrMetrics *m = &run->validation.at10;

	if (!run->validation.done)
		return NULL;
	return mr_jsonb_of(psprintf("{\"users\": " INT64_FORMAT ", \"hit_rate@10\": %.6f, \"ndcg@10\": %.6f, \"mrr@10\": %.6f}",
								run->validation.users, m->hit_rate, m->ndcg, m->mrr));
}

static Jsonb *
counts_json(const MrRun *run)
{
	const MrDatasetCounts *c = &run->data->counts;

	return mr_jsonb_of(psprintf("{\"rows\": " INT64_FORMAT ", \"null_keys\": " INT64_FORMAT
								", \"bad_values\": " INT64_FORMAT ", \"below_min_rating\": " INT64_FORMAT
								", \"duplicates\": " INT64_FORMAT "}",
								c->rows, c->null_keys, c->bad_values, c->below_min, c->duplicates));
}

/* ---- tables ---- */

static Datum
id_of_row(int64 row, void *arg)
{
	return mr_idmap_id((MrIdMap *) arg, (int32) row);
}

/* How many positives each row was trained on. */
static int64 *
count_positives(const MrInteractions *x, MrSide side, MemoryContext context)
{
	int32		n = side == MR_SIDE_USER ? x->n_users : x->n_items;
	int64	   *counts = MemoryContextAllocExtended(context, mul_size(sizeof(int64), n),
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	if (side == MR_SIDE_ITEM)
	{
		for (int64 p = 0; p < x->n_pairs; p++)
		{
			if ((p & 0xfffff) == 0)
				CHECK_FOR_INTERRUPTS();
			counts[x->items[p]]++;
		}
	}
	else
	{
		for (int32 u = 0; u < n; u++)
			counts[u] = x->user_start[u + 1] - x->user_start[u];
	}
	return counts;
}

/* The table of the version that is served; InvalidOid if the view reads something else. */
static Oid
served_table(const MrRun *run, MrSide side)
{
	Oid			served = mr_view_table(mr_side_view(run->model, side));

	return OidIsValid(served) && list_member_oid(mr_version_all_tables(run->model), served) ? served : InvalidOid;
}

static Oid
make_table(MrRun *run, MrSide side)
{
	const MrInteractions *x = &run->data->positives;
	bool		user = side == MR_SIDE_USER;
	MrIdMap    *ids = user ? run->data->users : run->data->items;
	Oid			table = mr_version_table_create(run->model, side, run->version, run->tower.dimensions,
												mr_idmap_collation(ids));
	int64	   *counts = count_positives(x, side, run->context);

	mr_version_table_fill(table, mr_side_type(run->model, side), user ? x->n_users : x->n_items,
						  run->tower.dimensions, user ? run->users : run->items,
						  id_of_row, ids, counts);
	pfree(counts);
	mr_version_table_finish(table, side, served_table(run, side), run->tower.dimensions);
	return table;
}

/* What users have added to the served tables goes along. */
static void
take_over(MrRun *run, const Oid *tables)
{
	for (int side = 0; side < 2; side++)
	{
		Oid			served = served_table(run, side);

		if (OidIsValid(served))
			mr_version_take_over(served, tables[side]);
	}
}

/* ---- catalogue ---- */

static Interval
elapsed(const MrRun *run)
{
	instr_time	now;
	Interval	interval = {0};

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, run->start);
	interval.time = (TimeOffset) INSTR_TIME_GET_MICROSEC(now);
	return interval;
}

static void
record_version(MrRun *run, const Oid *tables)
{
	const MrInteractions *x = &run->data->positives;
	MrVersionRecord record = {0};
	uint8		bytes[MR_TOWER_BYTES];

	record.version = run->version;
	record.user_table = tables[MR_SIDE_USER];
	record.item_table = tables[MR_SIDE_ITEM];
	record.dimensions = run->tower.dimensions;
	record.users = x->n_users;
	record.items = x->n_items;
	record.interactions = x->n_pairs;
	record.epochs = run->epochs;
	record.loss = run->loss;
	record.metrics = metrics_json(run);
	record.recipe = mr_options_describe(&run->hyper, &run->options);
	record.counts = counts_json(run);
	record.duration = elapsed(run);
	mr_version_record(run->model, &record);
	mr_tower_write(&run->tower, bytes);
	mr_component_write(run->model->id, run->version, MR_COMPONENT_TOWER, bytes, sizeof(bytes));
}

/* ---- all of it ---- */

/*
 * The world may have changed since the run began, if it has committed since:
 * the model must be there, and be ours.
 */
static void
check_again(MrRun *run)
{
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(run->model->item_view)) ||
		!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(run->model->user_view)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s\" was dropped while it was being trained", run->model->name)));
	mr_model_reload(run->model, MR_MODEL_OWN);
	mr_run_check_source(run);
}

/* See train.h.  SPI is connected. */
void
mr_run_publish(MrRun *run)
{
	MemoryContext before = MemoryContextSwitchTo(run->context);
	MrIdentity	identity;
	Oid			tables[2];

	mr_run_progress(&run->lock, MR_RUN_PUBLISHING);
	EnsurePortalSnapshotExists();	/* none after a commit */
	mr_model_row_lock(run->model->id);	/* activate() and alter_model() wait, or we for them */
	check_again(run);
	mr_owner_become(run->model, &identity);
	tables[MR_SIDE_USER] = make_table(run, MR_SIDE_USER);
	tables[MR_SIDE_ITEM] = make_table(run, MR_SIDE_ITEM);
	take_over(run, tables);
	record_version(run, tables);
	run->active = mr_version_activate(run->model, tables[MR_SIDE_USER], tables[MR_SIDE_ITEM]);
	if (run->active)
		mr_version_prune(run->model, run->options.keep_versions);
	mr_owner_restore(&identity);
	MemoryContextSwitchTo(before);
}
