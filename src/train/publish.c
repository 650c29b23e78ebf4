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
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "embed/embed.h"
#include "model/fold_in.h"
#include "train/warm.h"
#include "util/compat.h"
#include "util/pgutil.h"

/* ---- jsonb of the version's row ---- */

/* Metrics of the validation split; NULL if there was none. */
static Jsonb *
metrics_json(const MrRun *run)
{
	const MrMetrics *m = &run->validation.at10;
	const MrMetrics *tags = &run->validation.tags_at10;
	const MrMetrics *plain = &run->plain.at10;
	StringInfoData json;

	if (!run->validation.done)
		return NULL;
	initStringInfo(&json);
	appendStringInfo(&json, "{\"users\": " INT64_FORMAT ", \"hit_rate@10\": %.6f, \"ndcg@10\": %.6f, \"mrr@10\": %.6f",
					 run->validation.users, m->hit_rate, m->ndcg, m->mrr);
	if (run->validation.posts > 0)
		appendStringInfo(&json, ", \"posts\": " INT64_FORMAT ", \"tag_recall@10\": %.6f, \"tag_ndcg@10\": %.6f, \"tag_mrr@10\": %.6f",
						 run->validation.posts, tags->recall, tags->ndcg, tags->mrr);
	if (run->plain.done)
		appendStringInfo(&json, ", \"without_features\": {\"hit_rate@10\": %.6f, \"ndcg@10\": %.6f, \"mrr@10\": %.6f}",
						 plain->hit_rate, plain->ndcg, plain->mrr);
	appendStringInfoChar(&json, '}');
	return mr_jsonb_of(json.data);
}

/* Hyper-parameters, chosen or given, and what the run started from. */
static Jsonb *
recipe_json(const MrRun *run)
{
	MrOptions	used = run->options;

	used.num_workers = run->workers;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(mr_options_describe(&run->hyper, &used)),
											  JsonbPGetDatum(mr_warm_describe(run))));
}

static Jsonb *
counts_json(const MrRun *run)
{
	const MrDatasetCounts *c = &run->data->counts;
	const MrPosts *posts = run->data->posts;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"rows\": " INT64_FORMAT ", \"null_keys\": " INT64_FORMAT
								", \"bad_values\": " INT64_FORMAT ", \"below_min_rating\": " INT64_FORMAT
					 ", \"duplicates\": " INT64_FORMAT,
					 c->rows, c->null_keys, c->bad_values, c->below_min, c->duplicates);
	if (posts)
		appendStringInfo(&json, ", \"null_tags\": " INT64_FORMAT ", \"posts\": %d, \"taggings\": " INT64_FORMAT,
						 c->null_tags, posts->n_posts, posts->lists.n_pairs);
	for (int side = 0; side < 2; side++)
	{
		const MrFeatureTable *table = run->features[side];

		if (table)
			appendStringInfo(&json, ", \"%s_features\": {\"rows\": " INT64_FORMAT ", \"null_keys\": " INT64_FORMAT
							 ", \"missing\": " INT64_FORMAT ", \"new\": %d}", mr_side_name(side), table->counts.rows,
							 table->counts.null_keys, table->counts.missing, mr_idmap_size(table->others));
	}
	appendStringInfoChar(&json, '}');
	return mr_jsonb_of(json.data);
}

/* ---- tables ---- */

static void *
allocate_huge(MrRun *run, Size bytes)
{
	return MemoryContextAllocHuge(run->context, bytes);
}

static Datum
id_of_row(int64 row, void *arg)
{
	return mr_idmap_id((MrIdMap *) arg, (int32) row);
}

/* How many positives (a tag: posts) each row was trained on. */
static int64 *
count_positives(const MrInteractions *x, MrSide side, MemoryContext context)
{
	int32		n = side == MR_SIDE_USER ? x->n_users : x->n_items;
	int64	   *counts = MemoryContextAllocExtended(context, mul_size(sizeof(int64), n),
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	if (side != MR_SIDE_USER)
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
	const MrInteractions *x = side == MR_SIDE_TAG ? &run->data->posts->lists : &run->data->positives;
	MrIdMap    *ids = side == MR_SIDE_USER ? run->data->users : side == MR_SIDE_ITEM ? run->data->items : run->data->tags;
	const float *points = side == MR_SIDE_USER ? run->users : side == MR_SIDE_ITEM ? run->items : run->tags;
	Oid			table = mr_version_table_create(run->model, side, run->version, run->tower.dimensions,
												mr_idmap_collation(ids));
	int64	   *counts = count_positives(x, side, run->context);

	mr_version_table_fill(table, mr_side_type(run->model, side), mr_idmap_size(ids),
						  run->tower.dimensions, points, id_of_row, ids, counts);
	pfree(counts);
	if (side != MR_SIDE_TAG && run->output[side].tower)
		mr_version_table_fill(table, mr_side_type(run->model, side), mr_idmap_size(run->features[side]->others),
							  run->tower.dimensions, run->output[side].points, id_of_row, run->features[side]->others,
							  NULL);
	mr_version_table_finish(table, side, served_table(run, side), run->tower.dimensions);
	return table;
}

/* What users have added to the served tables goes along. */
static void
take_over(MrRun *run, const Oid *tables)
{
	for (int side = 0; side < mr_model_sides(run->model); side++)
	{
		Oid			served = served_table(run, side);

		if (OidIsValid(served))
			mr_version_take_over(served, tables[side]);
	}
}

typedef struct Latecomers
{
	MrRun	   *run;
	MrSide		side;
	Oid			table;
} Latecomers;

static void
embed_latecomers_of(void *arg)
{
	Latecomers *late = arg;
	MrRun	   *run = late->run;
	const MrSideOutput *output = &run->output[late->side];
	MrSideEmbedder e = {0};
	void	   *memory = allocate_huge(run, mr_embedder_memory(output->tower, output->bytes));

	e.table = late->table;
	e.context = run->context;
	e.encoder = run->features[late->side]->encoder;
	mr_embedder_shape(&e.shape, output->tower, output->bytes);
	e.embedder = mr_embedder_read(memory, output->tower, output->bytes, NULL, NULL);
	if (e.embedder == NULL)
		elog(ERROR, "the %s tower that was just written cannot be read", mr_side_name(late->side));
	PushActiveSnapshot(GetLatestSnapshot());
	mr_embed_missing(run->model, late->side, &e, mr_feature_relation(run->model, late->side), late->table);
	PopActiveSnapshot();
	pfree(memory);
}

/*
 * Rows of the feature tables that came while the training ran, as the calling
 * role: the trigger of metricrec.attach() has put them into the version that is
 * served, where the next one would lose them.  One that cannot be encoded must not
 * cost the training.
 */
static void
embed_latecomers(MrRun *run, const Oid *tables)
{
	for (int side = 0; side < 2; side++)
	{
		Latecomers	late = {run, side, tables[side]};
		ErrorData  *error;

		if (run->output[side].tower == NULL)
			continue;
		error = mr_try(embed_latecomers_of, &late);
		if (error == NULL)
			continue;
		if (mr_must_be_thrown(error->sqlerrcode))
			ReThrowError(error);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("new rows of the %s features have no point in version %d", mr_side_name(side), run->version),
				 errdetail("%s", error->message),
				 errhint("Mend the rows, and call metricrec.refresh_%ss().", mr_side_name(side))));
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

/* What makes points of new rows of a side: its tower and its encoder. */
static void
record_side(MrRun *run, MrSide side)
{
	bytea	   *encoder = mr_encoder_write(run->features[side]->encoder);

	mr_component_write(run->model->id, run->version, mr_component_of_side(side, MR_COMPONENT_TOWER),
					   run->output[side].tower, run->output[side].bytes);
	mr_component_write(run->model->id, run->version, mr_component_of_side(side, MR_COMPONENT_ENCODER),
					   VARDATA_ANY(encoder), VARSIZE_ANY_EXHDR(encoder));
	pfree(encoder);
}

/* What folds users in who were not trained. */
static void
record_fold_in(MrRun *run)
{
	const MrInteractions *x = &run->data->positives;
	int32	   *counts = MemoryContextAllocExtended(run->context, mul_size(sizeof(int32), x->n_items),
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint8	   *bytes = allocate_huge(run, mr_fold_in_bytes(&run->hyper, x->n_items));
	Size		size;

	for (int64 p = 0; p < x->n_pairs; p++)
	{
		if ((p & 0xfffff) == 0)
			CHECK_FOR_INTERRUPTS();
		counts[x->items[p]]++;
	}
	size = mr_fold_in_write(&run->hyper, run->tower.radius, counts, x->n_items, run->items, x->n_users, run->users, bytes,
							mr_run_poll, run);
	if (size == 0)
		mr_run_check_status(run, MR_STOPPED);
	mr_component_write(run->model->id, run->version, MR_COMPONENT_FOLD_IN, bytes, size);
	pfree(bytes);
	pfree(counts);
}

static void
record_version(MrRun *run, const Oid *tables)
{
	const MrInteractions *x = &run->data->positives;
	MrVersionRecord record = {0};
	uint8		bytes[MR_TOWER_BYTES];

	record.version = run->version;
	memcpy(record.tables, tables, sizeof(record.tables));
	record.dimensions = run->tower.dimensions;
	record.users = x->n_users;
	record.items = x->n_items;
	record.tags = run->data->posts ? run->data->posts->n_tags : 0;
	record.interactions = x->n_pairs;
	record.epochs = run->epochs;
	record.loss = run->loss;
	record.metrics = metrics_json(run);
	record.recipe = recipe_json(run);
	record.counts = counts_json(run);
	record.duration = elapsed(run);
	mr_version_record(run->model, &record);
	mr_tower_write(&run->tower, bytes);
	mr_component_write(run->model->id, run->version, MR_COMPONENT_TOWER, bytes, sizeof(bytes));
	if (mr_fold_in_bytes(&run->hyper, x->n_items) > 0)
		record_fold_in(run);
	for (int side = 0; side < 2; side++)
		if (run->output[side].tower)
			record_side(run, side);
}

/* ---- all of it ---- */

/*
 * The world may have changed since the run began, if it has committed since:
 * the model must be there, and be ours.
 */
static void
check_again(MrRun *run)
{
	for (int side = 0; side < mr_model_sides(run->model); side++)
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(mr_side_view(run->model, side))))
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
	Oid			tables[MR_SIDES] = {InvalidOid};

	mr_run_progress(&run->lock, MR_RUN_PUBLISHING);
	EnsurePortalSnapshotExists();	/* none after a commit */
	mr_model_row_lock(run->model->id);	/* activate() and alter_model() wait, or we for them */
	check_again(run);
	mr_owner_become(run->model, &identity);
	for (int side = 0; side < mr_model_sides(run->model); side++)
		tables[side] = make_table(run, side);
	mr_owner_restore(&identity);
	embed_latecomers(run, tables);
	mr_owner_become(run->model, &identity);
	take_over(run, tables);
	record_version(run, tables);
	run->active = mr_version_activate(run->model, tables);
	mr_owner_restore(&identity);
	if (run->active)
		embed_latecomers(run, tables);	/* again: nobody can write any more, see attach.c */
	mr_owner_become(run->model, &identity);
	if (run->active)
		mr_version_prune(run->model, run->options.keep_versions);
	mr_owner_restore(&identity);
	MemoryContextSwitchTo(before);
}
