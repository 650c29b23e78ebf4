/*
 * tune_draw.c
 *		The trials of a search: drawn from its space, each different from the others and
 *		free of contradictions.
 *
 * A hyper-parameter that contradicts the others of a trial (the margin of a softmax) is
 * left out of that trial; one of the caller's that contradicts them in every trial is an
 * error.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "train/tune.h"
#include "util/pgutil.h"

/* Any constant: keeps these random numbers apart from those of splits and trainers. */
#define SPACE_STREAM UINT64CONST(0x7475e570ace00000)

/* So many draws that are not new, and the space is taken for exhausted. */
#define MOST_REDRAWS 50

/* ---- trying a trial ---- */

typedef struct Attempt
{
	MrTune	   *tune;
	MrTrial    *trial;
} Attempt;

/* Refuses options that the model cannot have, because of the tags and features that it has not. */
static void
check_relations(const MrModel *model, const MrTrial *trial)
{
	const MrHyper *hyper = &trial->options.hyper;

	mr_check_column_options(model->tag_column, model->time_column, trial->stored);
	if ((!OidIsValid(model->item_features) && hyper->item_combination != MR_COMBINE_ID) ||
		(!OidIsValid(model->user_features) && hyper->user_combination != MR_COMBINE_ID))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("item_combination and user_combination need item_features and user_features")));
}

static void
attempt(void *arg)
{
	const Attempt *a = arg;
	MrRun	   *run = a->tune->run;
	MrTrial    *trial = a->trial;
	const char *names[MR_MAX_AXES + 1];
	const char *values[MR_MAX_AXES + 1];
	int			n = a->tune->space.n_axes;

	for (int i = 0; i < n; i++)
		names[i] = a->tune->space.axes[i].name;
	memcpy(values, trial->values, sizeof(char *) * n);
	if (trial->tower)
	{
		names[n] = "user_tower";
		values[n++] = trial->tower;
	}
	trial->stored = trial->number == 1 ? a->tune->base : mr_options_with(a->tune->base, n, names, values);
	mr_options_read(trial->stored, &trial->options);
	trial->options.refit = true;	/* no trial's points are kept */
	check_relations(run->model, trial);
	run->options = trial->options;
	a->tune->trial.epochs = PG_INT32_MAX;
	trial->towers = mr_fit_recipe(run);
	trial->own_epochs = run->hyper.epochs;
	trial->dimensions = run->hyper.dimensions;
}

/*
 * Fills what follows from the values of a trial; run->hyper is its recipe then.  False:
 * they contradict each other, which *refusal tells.  What else is wrong is an error.
 */
bool
mr_trial_try(MrTune *tune, MrTrial *trial, ErrorData **refusal)
{
	Attempt		a = {tune, trial};
	ErrorData  *error = mr_try(attempt, &a);

	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_INVALID_PARAMETER_VALUE)
		ReThrowError(error);
	if (refusal)
		*refusal = error;
	return false;
}

/* ---- drawing ---- */

static const char *
text_of_number(bool whole, double value)
{
	return whole ? psprintf("%d", (int32) value) :
		DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(value)));
}

/* A value of the axis; of a relative one, the multiple goes to *multiple. */
static const char *
draw_value(const MrAxis *axis, MrRng *rng, double *multiple)
{
	MrRange		multiples = axis->range;

	if (axis->n_values > 0)
		return axis->values[mr_rng_below(rng, axis->n_values)];
	if (!axis->relative)
		return text_of_number(axis->range.whole, mr_range_draw(&axis->range, rng));
	multiples.whole = false;
	*multiple = mr_range_draw(&multiples, rng);
	return NULL;
}

/* So many times what the recipe has chosen, which is `chosen`; NULL if that is 0 or nothing. */
static const char *
multiply(const MrAxis *axis, Jsonb *chosen, double multiple)
{
	char	   *text = mr_space_value_in(chosen, axis->name);
	double		value = text ? DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(text))) : 0;
	double		least;
	double		most;
	bool		whole;

	if (value <= 0)
		return NULL;
	(void) mr_option_range(axis->name, &least, &most, &whole);
	value *= multiple;
	value = whole ? round(value) : mr_three_digits(value);
	return text_of_number(whole, value < least ? least : value > most ? most : value);
}

/* Can the trial have this value of an axis?  The first refusal is kept: it may be told. */
static bool
try_value(MrTune *tune, MrTrial *trial, int axis, const char *value)
{
	ErrorData **refusal = &tune->space.axes[axis].refusal;
	MemoryContext before = MemoryContextSwitchTo(*refusal ? CurrentMemoryContext : tune->run->context);
	bool		good;

	trial->values[axis] = value;
	good = mr_trial_try(tune, trial, *refusal ? NULL : refusal);
	if (!good)
		trial->values[axis] = NULL;
	MemoryContextSwitchTo(before);
	return good;
}

/*
 * Gives the trial these values, by axis.  If they contradict each other, those are taken
 * that do not contradict the ones before them: an axis that does gets none.  False: the
 * model's own options contradict what is left.
 */
static bool
take_values(MrTune *tune, MrTrial *trial, const char *const *values)
{
	MrTrial		before = *trial;

	for (int i = 0; i < tune->space.n_axes; i++)
		if (values[i])
			trial->values[i] = values[i];
	if (mr_trial_try(tune, trial, NULL))
		return true;
	*trial = before;
	for (int i = 0; i < tune->space.n_axes; i++)
		if (values[i])
			(void) try_value(tune, trial, i, values[i]);
	return mr_trial_try(tune, trial, NULL);
}

/* One draw: first what stands for itself, then the multiples of what the recipe makes of it. */
static bool
draw_trial(MrTune *tune, MrTrial *trial, MrRng *rng)
{
	const MrSpace *space = &tune->space;
	const char *values[MR_MAX_AXES] = {NULL};
	double		multiples[MR_MAX_AXES];
	Jsonb	   *chosen;

	memset(trial->values, 0, sizeof(trial->values));
	for (int i = 0; i < space->n_axes; i++)
		values[i] = draw_value(&space->axes[i], rng, &multiples[i]);
	if (!take_values(tune, trial, values))
		return false;
	chosen = mr_options_describe(&tune->run->hyper, &trial->options);
	for (int i = 0; i < space->n_axes; i++)
		values[i] = space->axes[i].relative ? multiply(&space->axes[i], chosen, multiples[i]) : NULL;
	return take_values(tune, trial, values);
}

/* Copies what a trial holds into the current context. */
static void
keep_trial(MrTrial *trial)
{
	for (int i = 0; i < MR_MAX_AXES; i++)
		if (trial->values[i])
			trial->values[i] = pstrdup(trial->values[i]);
	trial->stored = (Jsonb *) PG_DETOAST_DATUM_COPY(PointerGetDatum(trial->stored));
	mr_options_read(trial->stored, &trial->options);	/* has lists of names */
	trial->options.refit = true;
}

/* What a trial trains that has just been tried, as text: two trials with the same one are one. */
char *
mr_trial_recipe(const MrTune *tune, const MrTrial *trial)
{
	Jsonb	   *used = mr_options_describe(&tune->run->hyper, &trial->options);

	return psprintf("%d%s", trial->towers, JsonbToCString(NULL, &used->root, VARSIZE(used)));
}

/* The same as a number: one in 2^64 different ones would be taken for the same. */
static uint64
key_of(const MrTune *tune, const MrTrial *trial)
{
	char	   *recipe = mr_trial_recipe(tune, trial);

	return hash_bytes_extended((unsigned char *) recipe, strlen(recipe), 0);
}

static bool
is_new(const uint64 *keys, int n, uint64 key)
{
	for (int i = 0; i < n; i++)
		if (keys[i] == key)
			return false;
	return true;
}

/* What the caller has named must be in some trial; drawn: other trials than the first were asked for. */
static void
check_given_used(MrTune *tune, bool drawn)
{
	MrSpace    *space = &tune->space;

	for (int t = 1; t < tune->n_trials; t++)
		for (int i = 0; i < space->n_axes; i++)
			space->axes[i].used |= tune->trials[t].values[i] != NULL;
	for (int i = 0; i < space->n_axes; i++)
		if (space->axes[i].given && !space->axes[i].used && space->axes[i].refusal)
			ReThrowError(space->axes[i].refusal);
	for (int i = 0; drawn && i < space->n_axes; i++)
		if (space->axes[i].given && !space->axes[i].used && space->axes[i].relative)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" has no multiples", space->axes[i].name),
					 errdetail("The recipe chooses 0, or nothing, for every trial."),
					 errhint("Give values, not multiples of the recipe.")));
}

/*
 * Draws the trials 2 .. n_trials, each different from all before it; fewer if the space
 * has not so many.  Depends on the seed, the space and the model's options only, and a
 * smaller n_trials gives the first ones of a larger.  Error if one does not fit into
 * metricrec.training_memory beside `more` bytes.
 */
void
mr_trials_draw(MrTune *tune, Size more)
{
	uint64	   *keys = palloc(sizeof(uint64) * tune->n_trials);
	MemoryContext context = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(context, "metricrec draw", ALLOCSET_DEFAULT_SIZES);
	bool		drawn = tune->n_trials > 1;
	int			n = 1;
	int			redraws = 0;
	MrRng		rng;

	(void) mr_trial_try(tune, &tune->trials[0], NULL);
	mr_fit_check_memory(tune->run, tune->trials[0].towers, true, more);
	keys[0] = key_of(tune, &tune->trials[0]);
	mr_rng_seed(&rng, tune->seed ^ SPACE_STREAM);
	while (n < tune->n_trials && redraws < MOST_REDRAWS)
	{
		MrTrial    *trial = &tune->trials[n];

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		trial->number = n + 1;
		redraws++;
		if (!draw_trial(tune, trial, &rng))
			continue;
		mr_fit_check_memory(tune->run, trial->towers, true, more);
		keys[n] = key_of(tune, trial);
		if (!is_new(keys, n, keys[n]))
			continue;
		MemoryContextSwitchTo(context);
		keep_trial(trial);
		n++;
		redraws = 0;
	}
	MemoryContextSwitchTo(context);
	MemoryContextDelete(scratch);
	tune->n_trials = n;
	check_given_used(tune, drawn);
}
