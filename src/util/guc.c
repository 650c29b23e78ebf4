/*
 * guc.c
 *		The settings, all in one place.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "util/compat.h"
#include "util/guc.h"

int			mr_training_memory = 1024 * 1024;
char	   *mr_default_model = NULL;
bool		mr_live_history = true;
int			mr_fold_in_steps = -1;
int			mr_swap_timeout = 10000;

/* Defines every setting; called once, from _PG_init. */
void
mr_guc_init(void)
{
	DefineCustomIntVariable("metricrec.training_memory",
							"Sets the maximum memory that one training or evaluation uses.",
							"What is needed is computed before it is allocated.",
							&mr_training_memory,
							1024 * 1024, 1024, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomStringVariable("metricrec.default_model",
							   "Sets the model that recommend() and its siblings use when none is named.",
							   NULL,
							   &mr_default_model,
							   "",
							   PGC_USERSET, 0,
							   NULL, NULL, NULL);
	DefineCustomBoolVariable("metricrec.live_history",
							 "Takes the point of a user from the live interactions where the model pools the history.",
							 "When off, or when the caller may not read the interactions, the stored point is used.",
							 &mr_live_history,
							 true,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("metricrec.fold_in_steps",
							"Sets how many steps fold in a set of items, or a user who was not trained.",
							"With the softmax loss the first counts the mean of the trained users in, the others are gradient steps.  0 takes the mean of the items as it is, -1 what is best for the version's user tower.",
							&mr_fold_in_steps,
							-1, -1, 1000,
							PGC_USERSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("metricrec.swap_timeout",
							"Sets how long a training tries to lock the views that shall serve the new version.",
							"After that the version is ready, but not active.  0 tries once.",
							&mr_swap_timeout,
							10000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	MarkGUCPrefixReserved("metricrec");
}
