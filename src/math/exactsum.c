/*
 * exactsum.c
 *		Sums of doubles without rounding.  See exactsum.h.
 */
#include "math/exactsum.h"

#include <math.h>

/* A unit of limb 0: the lowest bit of a subnormal double's mantissa, as frexp() gives it. */
#define LOWEST_BIT (-1126)

/* One number changes a limb by less than 2^34, and limbs are 64 bits wide. */
#define MAX_PENDING (1 << 28)

/*
 * Brings all limbs but the highest into 0 .. 2^32 - 1.  That form of a number is
 * the only one, whatever was added in which order.
 */
static void
carry(MrExactSum *sum)
{
	for (int i = 0; i < MR_EXACT_LIMBS - 1; i++)
	{
		int64_t		low = (int64_t) ((uint64_t) sum->limb[i] & 0xFFFFFFFFu);

		sum->limb[i + 1] += (sum->limb[i] - low) / ((int64_t) 1 << 32);
		sum->limb[i] = low;
	}
	sum->n_pending = 0;
}

/* Adds a finite number. */
void
mr_exact_add(MrExactSum *sum, double x)
{
	int			exponent;
	double		fraction = frexp(fabs(x), &exponent);
	uint64_t	mantissa = (uint64_t) ldexp(fraction, 53);
	int64_t		sign = x < 0 ? -1 : 1;
	int			bit;
	uint64_t	low;
	uint64_t	high;
	int64_t    *limb;

	if (mantissa == 0)
		return;
	bit = exponent - 53 - LOWEST_BIT;
	low = (mantissa & 0xFFFFFFFFu) << (bit % 32);
	high = (mantissa >> 32) << (bit % 32);
	if (bit / 32 > MR_EXACT_LIMBS - 3)
		return;					/* beyond what exactsum.h allows: no sum, but no damage */
	limb = sum->limb + bit / 32;
	limb[0] += sign * (int64_t) (low & 0xFFFFFFFFu);
	limb[1] += sign * (int64_t) ((low >> 32) + (high & 0xFFFFFFFFu));
	limb[2] += sign * (int64_t) (high >> 32);
	if (++sum->n_pending == MAX_PENDING)
		carry(sum);
}

/* Adds x * y: a product is the sum of two doubles, its rounded value and what that lacks. */
void
mr_exact_add_product(MrExactSum *sum, double x, double y)
{
	double		rounded = x * y;

	mr_exact_add(sum, rounded);
	mr_exact_add(sum, fma(x, y, -rounded));
}

/*
 * Brings the number into the form of carry() without its sign, which is returned: a
 * negative one would have a highest limb of -1, of a huge unit, and small others.
 */
static int
take_sign(MrExactSum *sum)
{
	carry(sum);
	if (sum->limb[MR_EXACT_LIMBS - 1] >= 0)
		return 1;
	for (int i = 0; i < MR_EXACT_LIMBS; i++)
		sum->limb[i] = -sum->limb[i];
	carry(sum);
	return -1;
}

/* The sum, with an error of at most a few units in the last place. */
double
mr_exact_value(const MrExactSum *sum)
{
	MrExactSum	form = *sum;
	int			sign = take_sign(&form);
	double		value = 0;

	for (int i = MR_EXACT_LIMBS - 1; i >= 0; i--)
		if (form.limb[i] != 0)
			value += ldexp((double) form.limb[i], 32 * i + LOWEST_BIT);
	return sign * value;
}

/*
 * Mean and deviation (of the population) of n numbers, from their sum and that of
 * their squares.  With p = the mean, nearly, both of
 *		sum of (x - p)   = sum - n p
 *		sum of (x - p)^2 = squares - 2 p sum + n p^2
 * are computed without rounding: nothing cancels out.
 */
void
mr_exact_moments(const MrExactSum *sum, const MrExactSum *squares, int64_t n, double *mean, double *deviation)
{
	MrExactSum	form = *sum;
	MrExactSum	offset = *sum;
	MrExactSum	rest = *squares;
	double		p = mr_exact_value(sum) / (double) n;
	double		square = p * p;
	double		beside;
	double		variance;
	int			sign = take_sign(&form);

	carry(&offset);
	carry(&rest);
	mr_exact_add_product(&offset, -(double) n, p);
	for (int i = 0; i < MR_EXACT_LIMBS; i++)
		if (form.limb[i] != 0)
			mr_exact_add_product(&rest, -2 * p * sign, ldexp((double) form.limb[i], 32 * i + LOWEST_BIT));
	mr_exact_add_product(&rest, (double) n, square);
	mr_exact_add_product(&rest, (double) n, fma(p, p, -square));
	beside = mr_exact_value(&offset) / (double) n;
	variance = mr_exact_value(&rest) / (double) n - beside * beside;
	*mean = p + beside;
	*deviation = variance > 0 ? sqrt(variance) : 0;
}
