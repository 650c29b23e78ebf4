/*
 * exactsum.h
 *		Sums of doubles without rounding, so that the order of the numbers does
 *		not matter.
 *
 * A number in fixed point: limb i counts units of 2^(32 i - 1126), from below the
 * smallest double up to 2^400.  Every double is a whole number of units, so adding
 * is exact; the sum is rounded once, when it is read.
 *
 * mr_exact_moments() is what this is for: mean and deviation that depend on the
 * set of the rows only, and do not suffer where the mean is large and the deviation
 * small.
 *
 * |x| <= 1e39 and less than 2^40 numbers, or the highest limb runs over.
 */
#ifndef MR_EXACTSUM_H
#define MR_EXACTSUM_H

#include <stdint.h>

#define MR_EXACT_LIMBS 50

typedef struct MrExactSum
{
	int64_t		limb[MR_EXACT_LIMBS];
	int32_t		n_pending;		/* numbers added since the limbs were carried */
} MrExactSum;

/* exactsum.c; a sum of zeroes is {0} */
extern void mr_exact_add(MrExactSum *sum, double x);
extern void mr_exact_add_product(MrExactSum *sum, double x, double y);
extern double mr_exact_value(const MrExactSum *sum);
extern void mr_exact_moments(const MrExactSum *sum, const MrExactSum *squares, int64_t n,
							 double *mean, double *deviation);

#endif							/* MR_EXACTSUM_H */
