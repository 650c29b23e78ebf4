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
#include "utils/jsonb.h"

#include "model/trainer.h"

typedef struct MrOptions
{
	MrHyper		hyper;
	uint64		set;			/* 1 << MR_HYPER_... */
	double		validation_fraction;	/* of the users; < 0 = the recipe chooses */
	int32		patience;		/* epochs without a better validation; 0 = all epochs run */
	bool		refit;			/* after validation, train on everything */
	int32		keep_versions;
} MrOptions;

/* Has the user set the hyper-parameter MR_HYPER_...? */
static inline bool
mr_option_is_set(const MrOptions *options, int field)
{
	return (options->set & (UINT64CONST(1) << field)) != 0;
}

/* options.c */
extern Jsonb *mr_jsonb_of(const char *json);
extern Jsonb *mr_options_from_arguments(FunctionCallInfo fcinfo, int first, Jsonb *before, ArrayType *reset);
extern void mr_options_read(Jsonb *stored, MrOptions *options);
extern Jsonb *mr_options_describe(const MrHyper *hyper, const MrOptions *options);

#endif							/* MR_OPTIONS_H */
