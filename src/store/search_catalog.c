/*
 * search_catalog.c
 *		Rows of metricrec.search and metricrec.trial.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "store/catalog.h"
#include "store/search_catalog.h"

/* ---- reading ---- */

static bool
visit_applied(Relation rel, HeapTuple tuple, void *arg)
{
	int32	   *last = arg;
	bool		isnull;
	Datum		applied = heap_getattr(tuple, MR_SEARCH_APPLIED, RelationGetDescr(rel), &isnull);

	if (!isnull && DatumGetBool(applied))
		*last = Max(*last, DatumGetInt32(heap_getattr(tuple, MR_SEARCH_SEARCH, RelationGetDescr(rel), &isnull)));
	return true;
}

static bool
visit_best(Relation rel, HeapTuple tuple, void *arg)
{
	Jsonb	  **options = arg;
	bool		isnull;

	if (!DatumGetBool(heap_getattr(tuple, MR_TRIAL_BEST, RelationGetDescr(rel), &isnull)))
		return true;
	*options = DatumGetJsonbPCopy(heap_getattr(tuple, MR_TRIAL_OPTIONS, RelationGetDescr(rel), &isnull));
	return false;
}

/* The options that the last search has set which has set any; NULL: none ever has. */
Jsonb *
mr_search_found(const MrModel *model)
{
	ScanKeyData keys[2];
	int32		search = 0;
	Jsonb	   *options = NULL;

	mr_catalog_key_int4(&keys[0], MR_SEARCH_MODEL_ID, model->id);
	mr_catalog_scan("search", "search_pkey", AccessShareLock, 1, keys, visit_applied, &search);
	mr_catalog_key_int4(&keys[0], MR_TRIAL_MODEL_ID, model->id);
	mr_catalog_key_int4(&keys[1], MR_TRIAL_SEARCH, search);
	mr_catalog_scan("trial", "trial_pkey", AccessShareLock, 2, keys, visit_best, &options);
	return options;
}

/* ---- writing ---- */

static bool
visit_last(Relation rel, HeapTuple tuple, void *arg)
{
	int32	   *last = arg;
	bool		isnull;

	*last = Max(*last, DatumGetInt32(heap_getattr(tuple, MR_SEARCH_SEARCH, RelationGetDescr(rel), &isnull)));
	return true;
}

/*
 * Adds the row of a search that begins; returns its number.  The epoch log keeps the
 * epochs of one search, as version 0: those of the one before go.  The caller holds the
 * run lock.
 */
int32
mr_search_begin(const MrModel *model, const MrSearchRecord *record)
{
	Datum		values[MR_SEARCH_NATTS];
	bool		nulls[MR_SEARCH_NATTS] = {0};
	NameData	role;
	ScanKeyData keys[2];
	int32		search = 0;

	mr_catalog_key_int4(&keys[0], MR_EPOCH_MODEL_ID, model->id);
	mr_catalog_key_int4(&keys[1], MR_EPOCH_VERSION, MR_SEARCH_VERSION);
	(void) mr_catalog_delete("epoch_log", "epoch_log_pkey", 2, keys);
	mr_catalog_key_int4(&keys[0], MR_SEARCH_MODEL_ID, model->id);
	mr_catalog_scan("search", "search_pkey", AccessShareLock, 1, keys, visit_last, &search);
	search++;

	namestrcpy(&role, GetUserNameFromId(GetUserId(), false));
	values[MR_SEARCH_MODEL_ID - 1] = Int32GetDatum(model->id);
	values[MR_SEARCH_SEARCH - 1] = Int32GetDatum(search);
	values[MR_SEARCH_METHOD - 1] = CStringGetTextDatum(record->method);
	values[MR_SEARCH_METRIC - 1] = CStringGetTextDatum(record->metric);
	values[MR_SEARCH_K - 1] = Int32GetDatum(record->k);
	values[MR_SEARCH_SEED - 1] = Int64GetDatum(record->seed);
	values[MR_SEARCH_SPACE - 1] = PointerGetDatum(record->space);
	values[MR_SEARCH_TRIALS - 1] = Int32GetDatum(record->trials);
	values[MR_SEARCH_USERS - 1] = Int64GetDatum(record->users);
	values[MR_SEARCH_ROLE - 1] = NameGetDatum(&role);
	values[MR_SEARCH_STARTED - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[MR_SEARCH_DURATION - 1] = nulls[MR_SEARCH_APPLIED - 1] = true;
	mr_catalog_insert("search", values, nulls);
	return search;
}

typedef struct Change
{
	Datum	   *values;
	bool	   *nulls;
	bool	   *replace;
} Change;

static bool
visit_change(Relation rel, HeapTuple tuple, void *arg)
{
	const Change *change = arg;

	mr_catalog_update(rel, tuple, change->values, change->nulls, change->replace);
	return false;
}

/* What is known of a search when it has ended. */
void
mr_search_end(const MrModel *model, int32 search, int32 trials, const Interval *duration, bool applied)
{
	Datum		values[MR_SEARCH_NATTS] = {0};
	bool		nulls[MR_SEARCH_NATTS] = {0};
	bool		replace[MR_SEARCH_NATTS] = {0};
	Change		change = {values, nulls, replace};
	ScanKeyData keys[2];

	values[MR_SEARCH_TRIALS - 1] = Int32GetDatum(trials);
	values[MR_SEARCH_DURATION - 1] = IntervalPGetDatum(duration);
	values[MR_SEARCH_APPLIED - 1] = BoolGetDatum(applied);
	replace[MR_SEARCH_TRIALS - 1] = replace[MR_SEARCH_DURATION - 1] = replace[MR_SEARCH_APPLIED - 1] = true;
	mr_catalog_key_int4(&keys[0], MR_SEARCH_MODEL_ID, model->id);
	mr_catalog_key_int4(&keys[1], MR_SEARCH_SEARCH, search);
	mr_catalog_scan("search", "search_pkey", RowExclusiveLock, 2, keys, visit_change, &change);
	CommandCounterIncrement();
}

/* Adds the row of a training. */
void
mr_trial_write(const MrModel *model, int32 search, const MrTrialRecord *record)
{
	Datum		values[MR_TRIAL_NATTS];
	bool		nulls[MR_TRIAL_NATTS] = {0};

	values[MR_TRIAL_MODEL_ID - 1] = Int32GetDatum(model->id);
	values[MR_TRIAL_SEARCH - 1] = Int32GetDatum(search);
	values[MR_TRIAL_TRIAL - 1] = Int32GetDatum(record->trial);
	values[MR_TRIAL_RUNG - 1] = Int32GetDatum(record->rung);
	values[MR_TRIAL_EPOCHS - 1] = Int32GetDatum(record->epochs);
	values[MR_TRIAL_OPTIONS - 1] = PointerGetDatum(record->options);
	values[MR_TRIAL_VALUE - 1] = Float8GetDatum(record->value);
	nulls[MR_TRIAL_VALUE - 1] = isnan(record->value);
	values[MR_TRIAL_CHECKED - 1] = Float8GetDatum(record->checked);
	nulls[MR_TRIAL_CHECKED - 1] = isnan(record->checked);
	values[MR_TRIAL_SECONDS - 1] = Float8GetDatum(record->seconds);
	values[MR_TRIAL_BEST - 1] = BoolGetDatum(record->best);
	mr_catalog_insert("trial", values, nulls);
}

/* Puts `checked` and `best` into the row of a training. */
void
mr_trial_judge(const MrModel *model, int32 search, const MrTrialRecord *record)
{
	Datum		values[MR_TRIAL_NATTS] = {0};
	bool		nulls[MR_TRIAL_NATTS] = {0};
	bool		replace[MR_TRIAL_NATTS] = {0};
	Change		change = {values, nulls, replace};
	ScanKeyData keys[4];

	values[MR_TRIAL_CHECKED - 1] = Float8GetDatum(record->checked);
	nulls[MR_TRIAL_CHECKED - 1] = isnan(record->checked);
	values[MR_TRIAL_BEST - 1] = BoolGetDatum(record->best);
	replace[MR_TRIAL_CHECKED - 1] = replace[MR_TRIAL_BEST - 1] = true;
	mr_catalog_key_int4(&keys[0], MR_TRIAL_MODEL_ID, model->id);
	mr_catalog_key_int4(&keys[1], MR_TRIAL_SEARCH, search);
	mr_catalog_key_int4(&keys[2], MR_TRIAL_TRIAL, record->trial);
	mr_catalog_key_int4(&keys[3], MR_TRIAL_RUNG, record->rung);
	mr_catalog_scan("trial", "trial_pkey", RowExclusiveLock, 4, keys, visit_change, &change);
	CommandCounterIncrement();
}
