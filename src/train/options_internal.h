/*
 * options_internal.h
 *		A row of the table of hyper-parameters: for options.c, and for options_json.c,
 *		which checks values that come as jsonb.
 */
#ifndef MR_OPTIONS_INTERNAL_H
#define MR_OPTIONS_INTERNAL_H

#include "train/options.h"

/* How the value of a hyper-parameter is given and stored. */
typedef enum MrOptionKind
{
	OPTION_INT,					/* int32 */
	OPTION_SEED,				/* uint64 from int8 */
	OPTION_FLOAT,				/* double */
	OPTION_BOOL,				/* bool */
	OPTION_WORD,				/* an enum; `words` are its values in order */
	OPTION_WIDTHS,				/* int32 n_hidden, and the array after it */
	OPTION_NAMES				/* MrNames */
} MrOptionKind;

/* A row of the table in options.c. */
typedef struct MrOptionDef
{
	const char *name;
	MrOptionKind kind;
	int			field;			/* MR_HYPER_..., or -1: the leader's own */
	Size		offset;			/* in MrOptions */
	double		min;
	double		max;
	const char *const *words;	/* NULL-terminated */
} MrOptionDef;

/* options_algorithm.c */
extern bool mr_option_belongs(const MrOptionDef *def, MrAlgorithm algorithm);
extern void mr_options_check_algorithm(Jsonb *stored, const MrOptions *options);

/* options.c */
extern const MrOptionDef *mr_option_find(const char *name);
extern const MrOptionDef *mr_option_row(int i);
extern char *mr_option_argument(const MrOptionDef *def, Datum value);

#endif							/* MR_OPTIONS_INTERNAL_H */
