/*
 * budget.h
 *		Memory that is counted against a limit before it is allocated.
 *
 * Every large array of a dataset is taken through these functions.  The caller
 * remembers the size of each piece and hands it back when it frees or resizes,
 * so that no header is spent on it.  A NULL budget means: no limit.
 */
#ifndef MR_BUDGET_H
#define MR_BUDGET_H

typedef struct MrBudget
{
	Size		limit;			/* bytes; 0 = none */
	Size		used;			/* bytes held now */
	Size		peak;			/* the most that was ever held, copies included */
	int64		rows;			/* rows read so far, for the error's detail */
	const char *what;			/* is read, for the error: NULL = "interactions" */
	const char *hint;			/* for the error, or NULL */
} MrBudget;

/* budget.c */
extern void *mr_budget_alloc(MrBudget *budget, MemoryContext context, Size size);
extern void *mr_budget_realloc(MrBudget *budget, void *pointer, Size old_size, Size new_size);
extern void mr_budget_free(MrBudget *budget, void *pointer, Size size);

#endif							/* MR_BUDGET_H */
