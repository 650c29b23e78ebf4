/*
 * guc.h
 *		The settings.
 */
#ifndef MR_GUC_H
#define MR_GUC_H

extern int	mr_training_memory;		/* metricrec.training_memory, kB */
extern char *mr_default_model;		/* metricrec.default_model, or NULL or "" */
extern bool mr_live_history;		/* metricrec.live_history */
extern int	mr_fold_in_steps;		/* metricrec.fold_in_steps, -1: by the tower */
extern int	mr_swap_timeout;		/* metricrec.swap_timeout, ms */

extern void mr_guc_init(void);

#endif							/* MR_GUC_H */
