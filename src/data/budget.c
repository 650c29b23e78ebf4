/*
 * budget.c
 *		Memory that is counted against a limit before it is allocated.
 *
 * The check comes before the allocation: the kernel's out-of-memory killer
 * would take the whole server down, an error takes one statement.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "data/budget.h"

/*
 * Raises the error if `size` more bytes do not fit.  `size` counts both copies
 * while an array moves.
 */
static void
budget_check(MrBudget *budget, Size size)
{
	const char *what = budget && budget->what ? budget->what : "interactions";

	if (size > MaxAllocHugeSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s are too large for the address space", what)));
	if (budget == NULL)
		return;
	if (budget->limit > 0 && (budget->used > budget->limit || size > budget->limit - budget->used))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("%s do not fit into metricrec.training_memory", what),
				 errdetail("After %lld rows, at least %zu kB are needed; the limit is %zu kB.",
						   (long long) budget->rows,
						   (budget->used + size + 1023) / 1024, budget->limit / 1024),
				 errhint("%s", budget->hint ? budget->hint :
						 "Raise metricrec.training_memory, or read fewer rows through a view.")));
	budget->peak = Max(budget->peak, budget->used + size);
}

/* Allocates `size` bytes, not initialised; more than 1 GB is allowed. */
void *
mr_budget_alloc(MrBudget *budget, MemoryContext context, Size size)
{
	void	   *pointer;

	budget_check(budget, size);
	pointer = MemoryContextAllocHuge(context, size);
	if (budget)
		budget->used += size;
	return pointer;
}

/* Resizes; shrinking never fails for the limit. */
void *
mr_budget_realloc(MrBudget *budget, void *pointer, Size old_size, Size new_size)
{
	if (new_size > old_size)
		budget_check(budget, new_size);
	pointer = repalloc_huge(pointer, new_size);
	if (budget)
		budget->used = budget->used - old_size + new_size;
	return pointer;
}

/* Frees what mr_budget_alloc gave; NULL is allowed, with any size. */
void
mr_budget_free(MrBudget *budget, void *pointer, Size size)
{
	if (pointer == NULL)
		return;
	pfree(pointer);
	if (budget)
		budget->used -= size;
}
