/*
 * options.h
 *		The hyper-parameters: names, types, ranges, one table for all of them.
 *
 * The SQL functions create_model and alter_model have one argument per row of
 * the table; the catalogue keeps what the user has set as jsonb; NULL means
 * that the recipe chooses.
 */
#ifndef MR_OPTIONS_H
#define MR_OPTIONS_H

#include "fmgr.h"
#include "utils/array.h"
#include "utils/jsonb.h"

#include "model/trainer.h"

/* A list of column names. */
typedef struct MrNames
{
	int			n;
	const char **names;
} MrNames;

typedef struct MrOptions
{
	MrHyper		hyper;
	uint64		set;			/* 1 << MR_HYPER_... */
	double		validation_fraction;	/* of the users; < 0 = the recipe chooses */
	int32		patience;		/* epochs without a better validation; 0 = all epochs run; < 0 = the recipe chooses */
	int32		num_workers;	/* beside the session; < 0 = as many as help */
	bool		refit;			/* after validation, train on everything */
	int32		keep_versions;
	MrNames		item_word_columns;
	MrNames		user_word_columns;
	int32		min_feature_count;	/* values in fewer rows share a place */
	int32		max_vocabulary; /* values per column with a place of their own */
} MrOptions;

/* Has the user set the hyper-parameter MR_HYPER_...? */
static inline bool
mr_option_is_set(const MrOptions *options, int field)
{
	return (options->set & (UINT64CONST(1) << field)) != 0;
}

/* options_list.c */
extern char *mr_widths_to_json(const char *name, ArrayType *array);
extern char *mr_names_to_json(ArrayType *array);
extern void mr_widths_read(const char *name, MrHyper *hyper, const char *text);
extern void mr_names_read(MrNames *names, const char *text);
extern char *mr_widths_describe(const MrHyper *hyper);
extern char *mr_names_describe(const MrNames *names);

/* options_json.c */
extern bool mr_option_range(const char *name, double *min, double *max, bool *whole);
extern char *mr_option_value(const char *name, const JsonbValue *value);

/* options_algorithm.c */
extern void mr_options_check_inputs(Jsonb *stored, const char *tag_column, bool has_features);

/* options.c */
extern int	mr_option_number(const char *name);
extern Jsonb *mr_options_with(Jsonb *before, int n, const char *const *names, const char *const *values);
extern Jsonb *mr_jsonb_of(const char *json);
extern Jsonb *mr_options_from_arguments(FunctionCallInfo fcinfo, int first, Jsonb *before, ArrayType *reset);
extern void mr_options_read(Jsonb *stored, MrOptions *options);
extern MrLoss mr_options_loss(const MrOptions *options);
extern const char *mr_options_altered(Jsonb *before, Jsonb *now, const char *const *ignored);
extern void mr_options_keep(MrOptions *options, Jsonb *recipe, const char *const *names);
extern Jsonb *mr_options_describe(const MrHyper *hyper, const MrOptions *options);

#endif							/* MR_OPTIONS_H */
