/*
 * dataset_describe.c
 *		A data set as one line of text, for the tests of the loader.
 *
 * No SQL object of the extension calls this function; the tests declare it for
 * themselves.  It reads nothing that the caller could not read.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "data/dataset.h"
#include "util/guc.h"

PG_FUNCTION_INFO_V1(mr_dataset_describe);
PG_FUNCTION_INFO_V1(mr_dataset_describe_mapped);
PG_FUNCTION_INFO_V1(mr_dataset_bench_cursor);
PG_FUNCTION_INFO_V1(mr_dataset_describe_posts);
PG_FUNCTION_INFO_V1(mr_dataset_describe_posts_mapped);

/* Arguments from `first` on: relation, user, item, rating, min_rating, weight, time. */
static void
source_from_arguments(FunctionCallInfo fcinfo, int first, MrDatasetSource *source)
{
	const char **columns[] = {&source->user_column, &source->item_column, &source->rating_column,
	NULL, &source->weight_column, &source->time_column};

	memset(source, 0, sizeof(*source));
	if (PG_ARGISNULL(first) || PG_ARGISNULL(first + 1) || PG_ARGISNULL(first + 2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation, user and item column must not be null")));
	source->relation = PG_GETARG_OID(first);
	for (int i = 0; i < lengthof(columns); i++)
		if (columns[i] && !PG_ARGISNULL(first + 1 + i))
			*columns[i] = NameStr(*PG_GETARG_NAME(first + 1 + i));
	source->has_min_rating = !PG_ARGISNULL(first + 4);
	if (source->has_min_rating)
		source->min_rating = PG_GETARG_FLOAT8(first + 4);
}

static uint64
hash_bytes_of(uint64 hash, const void *data, Size size)
{
	const unsigned char *bytes = data;

	while (bytes != NULL && size > 0)
	{
		int			step = (int) Min(size, (Size) 1 << 20);

		hash = hash_bytes_extended(bytes, step, hash);
		bytes += step;
		size -= step;
	}
	return hash;
}

static uint64
hash_matrix(uint64 hash, const MrInteractions *x)
{
	hash = hash_bytes_of(hash, x->user_start, sizeof(int64) * ((Size) x->n_users + 1));
	hash = hash_bytes_of(hash, x->items, sizeof(int32) * x->n_pairs);
	hash = hash_bytes_of(hash, x->weights, sizeof(float) * x->n_pairs);
	return hash_bytes_of(hash, x->times, sizeof(int64) * x->n_pairs);
}

/* The ids' output texts, in the order of the rows; at most `limit` of them. */
static void
append_ids(StringInfo out, const MrIdMap *map, int32 limit)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(mr_idmap_type(map), &output, &is_varlena);
	for (int32 row = 0; row < Min(mr_idmap_size(map), limit); row++)
		appendStringInfo(out, "%s%s", row > 0 ? " " : "", OidOutputFunctionCall(output, mr_idmap_id(map, row)));
}

static uint64
hash_ids(uint64 hash, const MrIdMap *map)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(mr_idmap_type(map), &output, &is_varlena);
	for (int32 row = 0; row < mr_idmap_size(map); row++)
	{
		char	   *text = OidOutputFunctionCall(output, mr_idmap_id(map, row));

		hash = hash_bytes_of(hash, text, strlen(text) + 1);
		pfree(text);
	}
	return hash;
}

/* Pairs as "user:item[*weight][@time]", for small data. */
static void
append_pairs(StringInfo out, const MrInteractions *x)
{
	for (int32 user = 0; user < x->n_users && x->n_pairs <= 24; user++)
		for (int64 p = x->user_start[user]; p < x->user_start[user + 1]; p++)
		{
			appendStringInfo(out, " %d:%d", user, x->items[p]);
			if (x->weights)
				appendStringInfo(out, "*%g", x->weights[p]);
			if (x->times)
				appendStringInfo(out, "@%lld", (long long) x->times[p]);
		}
}

static void
append_counts(StringInfo out, const MrDatasetCounts *counts)
{
	appendStringInfo(out, "rows %lld null %lld bad %lld below %lld dropped %lld duplicates %lld",
					 (long long) counts->rows, (long long) counts->null_keys,
					 (long long) counts->bad_values, (long long) counts->below_min,
					 (long long) counts->dropped, (long long) counts->duplicates);
}

/* An id must be found under its own row, and nothing else may claim it. */
static void
check_map(const MrIdMap *map)
{
	for (int32 row = 0; row < mr_idmap_size(map); row++)
		if (mr_idmap_lookup(map, mr_idmap_id(map, row)) != row)
			elog(ERROR, "row %d is not found by its id", row);
}

/*
 * mr_dataset_describe(relation regclass, user name, item name, rating name,
 * min_rating float8, weight name, "time" name, hash boolean) returns text
 *
 * Loads, checks the invariants, and says what came out: the contents, or with
 * hash a hash of ids and arrays.  hash NULL: counts only, nothing is checked, so
 * that benchmarks measure the load alone.
 */
Datum
mr_dataset_describe(PG_FUNCTION_ARGS)
{
	MrDatasetSource source;
	MrDataset  *dataset;
	MrDatasetCounts *counts;
	StringInfoData out;

	source_from_arguments(fcinfo, 0, &source);
	dataset = mr_dataset_load(&source, CurrentMemoryContext, (Size) mr_training_memory * 1024);
	counts = &dataset->counts;
	initStringInfo(&out);
	append_counts(&out, counts);
	appendStringInfo(&out, "; users %d items %d positive %lld seen %lld", dataset->positives.n_users,
					 dataset->positives.n_items, (long long) dataset->positives.n_pairs,
					 (long long) dataset->seen.n_pairs);
	if (PG_ARGISNULL(7))
	{
		appendStringInfo(&out, " kB %zu peak %zu", dataset->bytes / 1024, dataset->peak_bytes / 1024);
		MemoryContextDelete(dataset->context);
		PG_RETURN_TEXT_P(cstring_to_text(out.data));
	}
	if (!mr_interactions_valid(&dataset->positives) || !mr_interactions_valid(&dataset->seen))
		elog(ERROR, "matrix is not valid");
	if (counts->rows != counts->null_keys + counts->bad_values + counts->dropped + counts->duplicates +
		dataset->positives.n_pairs + dataset->seen.n_pairs)
		elog(ERROR, "counts do not add up");
	check_map(dataset->users);
	check_map(dataset->items);
	if (PG_GETARG_BOOL(7))
		appendStringInfo(&out, "; hash %llx",
						 (unsigned long long) hash_ids(hash_ids(hash_matrix(hash_matrix(0, &dataset->positives),
																			&dataset->seen), dataset->users), dataset->items));
	else
	{
		appendStringInfoString(&out, "; [");
		append_ids(&out, dataset->users, 24);
		appendStringInfoString(&out, "] [");
		append_ids(&out, dataset->items, 24);
		appendStringInfoString(&out, "]");
		append_pairs(&out, &dataset->positives);
		appendStringInfoString(&out, " |");
		append_pairs(&out, &dataset->seen);
	}
	MemoryContextDelete(dataset->context);
	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}

/*
 * mr_dataset_describe_mapped(relation regclass, user name, item name, rating
 * name, min_rating float8, weight name, "time" name, test regclass) returns text
 *
 * Loads `relation`, then the pairs of `test` (same columns) by its maps.
 */
Datum
mr_dataset_describe_mapped(PG_FUNCTION_ARGS)
{
	MrDatasetSource source;
	MrDataset  *dataset;
	MrMappedPairs *mapped;
	StringInfoData out;
	Size		limit = (Size) mr_training_memory * 1024;

	source_from_arguments(fcinfo, 0, &source);
	dataset = mr_dataset_load(&source, CurrentMemoryContext, limit);
	source.relation = PG_GETARG_OID(7);
	mapped = mr_dataset_load_mapped(&source, dataset->users, dataset->items, CurrentMemoryContext, limit);
	if (!mr_interactions_valid(&mapped->pairs))
		elog(ERROR, "matrix is not valid");

	initStringInfo(&out);
	append_counts(&out, &mapped->counts);
	appendStringInfo(&out, "; pairs %lld; unknown users %lld with %lld pairs; unknown items",
					 (long long) mapped->pairs.n_pairs, (long long) mapped->unknown_users,
					 (long long) mapped->unknown_user_pairs);
	for (int32 user = 0; user < Min(mapped->pairs.n_users, 24); user++)
		appendStringInfo(&out, " %d", mapped->unknown_items[user]);
	appendStringInfoString(&out, ";");
	append_pairs(&out, &mapped->pairs);
	MemoryContextDelete(mapped->context);
	MemoryContextDelete(dataset->context);
	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}

/* Posts as "user:item=tag,tag", for small data. */
static void
append_posts(StringInfo out, const MrPosts *posts)
{
	for (int32 p = 0; p < posts->n_posts && posts->lists.n_pairs <= 48; p++)
	{
		appendStringInfo(out, " %d:%d=", posts->post_user[p], posts->post_item[p]);
		for (int64 i = posts->lists.user_start[p]; i < posts->lists.user_start[p + 1]; i++)
			appendStringInfo(out, "%s%d", i > posts->lists.user_start[p] ? "," : "", posts->lists.items[i]);
	}
}

static uint64
hash_posts(uint64 hash, const MrPosts *posts)
{
	hash = hash_bytes_of(hash, posts->post_user, sizeof(int32) * posts->n_posts);
	hash = hash_bytes_of(hash, posts->post_item, sizeof(int32) * posts->n_posts);
	return hash_matrix(hash, &posts->lists);
}

/*
 * mr_dataset_describe_posts(relation regclass, user name, item name, rating name,
 * min_rating float8, weight name, "time" name, tag name, hash boolean) returns text
 *
 * The posts of a relation.
 */
Datum
mr_dataset_describe_posts(PG_FUNCTION_ARGS)
{
	MrDatasetSource source;
	MrDataset  *dataset;
	StringInfoData out;

	source_from_arguments(fcinfo, 0, &source);
	source.tag_column = NameStr(*PG_GETARG_NAME(7));
	dataset = mr_dataset_load(&source, CurrentMemoryContext, (Size) mr_training_memory * 1024);
	if (!mr_interactions_valid(&dataset->positives) ||
		!mr_posts_valid(dataset->posts, dataset->positives.n_users, dataset->positives.n_items))
		elog(ERROR, "posts are not valid");
	for (int32 p = 0; p < dataset->posts->n_posts; p++)
		if (!mr_interactions_contain(&dataset->positives, dataset->posts->post_user[p], dataset->posts->post_item[p]))
			elog(ERROR, "post %d is not an interaction", p);
	check_map(dataset->tags);
	initStringInfo(&out);
	append_counts(&out, &dataset->counts);
	appendStringInfo(&out, " null tags %lld repeated %lld; users %d items %d positive %lld tags %d posts %d taggings %lld",
					 (long long) dataset->counts.null_tags, (long long) dataset->counts.repeated_tags,
					 dataset->positives.n_users, dataset->positives.n_items, (long long) dataset->positives.n_pairs,
					 dataset->posts->n_tags, dataset->posts->n_posts, (long long) dataset->posts->lists.n_pairs);
	if (PG_GETARG_BOOL(8))
		appendStringInfo(&out, "; hash %llx", (unsigned long long) hash_ids(hash_posts(0, dataset->posts), dataset->tags));
	else
	{
		appendStringInfoString(&out, "; [");
		append_ids(&out, dataset->tags, 24);
		appendStringInfoString(&out, "]");
		append_posts(&out, dataset->posts);
	}
	MemoryContextDelete(dataset->context);
	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}

/*
 * mr_dataset_describe_posts_mapped(relation regclass, user name, item name, rating
 * name, min_rating float8, weight name, "time" name, tag name, test regclass)
 * returns text
 *
 * Loads `relation`, then the posts of `test` (same columns) by its maps.
 */
Datum
mr_dataset_describe_posts_mapped(PG_FUNCTION_ARGS)
{
	MrDatasetSource source;
	MrDataset  *dataset;
	MrMappedPosts *mapped;
	StringInfoData out;
	Size		limit = (Size) mr_training_memory * 1024;

	source_from_arguments(fcinfo, 0, &source);
	source.tag_column = NameStr(*PG_GETARG_NAME(7));
	dataset = mr_dataset_load(&source, CurrentMemoryContext, limit);
	source.relation = PG_GETARG_OID(8);
	mapped = mr_dataset_load_posts(&source, dataset->users, dataset->items, dataset->tags, CurrentMemoryContext, limit);
	initStringInfo(&out);
	append_counts(&out, &mapped->counts);
	appendStringInfo(&out, " null tags %lld repeated %lld; of %d users %d items %d tags;",
					 (long long) mapped->counts.null_tags, (long long) mapped->counts.repeated_tags,
					 mr_idmap_size(dataset->users), mr_idmap_size(dataset->items), mr_idmap_size(dataset->tags));
	append_posts(&out, &mapped->posts);
	MemoryContextDelete(mapped->context);
	MemoryContextDelete(dataset->context);
	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}

/*
 * mr_dataset_bench_cursor(relation regclass) returns bigint
 *
 * Reads user_id and item_id through a bare SPI cursor, 4,096 rows at a time, and
 * looks at nothing: what the speed of the loader is compared with.
 */
Datum
mr_dataset_bench_cursor(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	int64		rows = 0;
	SPIPlanPtr	plan;
	Portal		portal;

	if (get_rel_name(relid) == NULL)
		elog(ERROR, "relation with OID %u does not exist", relid);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = SPI_prepare(psprintf("SELECT user_id, item_id FROM %s",
								quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
														   get_rel_name(relid))), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, 4096);
		if (SPI_processed == 0)
			break;
		rows += SPI_processed;
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
	PG_RETURN_INT64(rows);
}
