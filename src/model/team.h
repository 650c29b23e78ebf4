/*
 * team.h
 *		Several processes that train one model.
 *
 * Each member has a trainer of its own, whose shared part (points, what the
 * optimiser keeps, gradients, orders) lies in memory that all of them see and whose
 * own part (scratch) nobody else does.  All run the same epochs:
 *
 *		member:		0				1				2
 *				| rows of the batch split: loss, gradients into the member's own |
 *				------------------------------ barrier ---------------------------
 *				| points split: gradients of all members summed up, step		 |
 *				------------------------------ barrier ---------------------------
 *
 * Sums are made in the order of the members, and a row belongs to a member by its
 * number, so that a training with a given number of members repeats itself bit for
 * bit.
 *
 * How members are started and wait is the caller's: pure C here.
 */
#ifndef MR_TEAM_H
#define MR_TEAM_H

#include <stdbool.h>
#include <stdint.h>

#define MR_TEAM_MOST 64

typedef struct MrTeam
{
	int32_t		size;			/* members; 0 or 1: alone */
	int32_t		rank;			/* 0: the leader */
	bool		(*barrier) (void *arg); /* all have come, and see what all wrote before; false: stop */
	void	   *arg;
} MrTeam;

/* The member that takes the step of a row: blocks of rows by turns. */
#define MR_TEAM_BLOCK 64

static inline int32_t
mr_team_owner(int32_t row, int32_t size)
{
	return row / MR_TEAM_BLOCK % size;
}

#endif							/* MR_TEAM_H */
