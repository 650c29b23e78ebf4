/*
 * dot_points.h
 *		From scores that are dot products to points whose distances rank the same.
 *
 * With x for users, y and perhaps a bias b for items, score = x.y + b, the constant 1
 * taken as a coordinate of the user:
 *
 *		item   | y_1 / M  ...  y_D / M   | b / M   | sqrt(M^2 - |y|^2 - b^2) / M |
 *		user   | x_1 / R  ...  x_D / R   | 1 / R   | 0                           |
 *
 * M is the largest length of an item's (y, b), R that of the user's (x, 1).  All points
 * then have length 1, so that |user - item|^2 = 2 - 2 score / (R M).  Users are brought to
 * the items' radius because with lengths of their own all their distances would be
 * alike, which is where an index is hopeless.  Without a bias its coordinate is left out.
 */
#ifndef MR_DOT_POINTS_H
#define MR_DOT_POINTS_H

#include "model/trainer.h"

/* The rows of one side. */
typedef struct MrDotPoints
{
	int32_t		n;
	int32_t		width;			/* D */
	int32_t		stride;			/* floats of a row, zero behind the width */
	const float *points;		/* [n][stride] */
	const float *bias;			/* [n] of items, or NULL */
	bool		constant;		/* of users: the items have a bias */
} MrDotPoints;

/* dot_points.c: out [n][dimensions], zero behind the coordinates above */
extern MrStatus mr_dot_points_items(const MrDotPoints *items, int32_t dimensions, float *out, float *radius,
									MrPoll poll, void *arg);
extern MrStatus mr_dot_points_users(const MrDotPoints *users, int32_t dimensions, float *out,
									MrPoll poll, void *arg);

#endif							/* MR_DOT_POINTS_H */
