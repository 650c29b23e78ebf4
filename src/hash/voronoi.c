/*
 * voronoi.c
 *		The voronoi family: how far a query is from other centres' cells.
 *
 * The order of probing is the distance to the centre.  The bound of a bucket is
 * the distance to the hyperplane between its cell and that of a reference
 * centre.  Any reference gives a valid bound, and the nearest centre gives the
 * best: so the reference of a level is the nearest one of all pages scored so
 * far.  Bounds that were given out earlier stay valid when it changes.
 */
#include <math.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "hash/family.h"

/* Four floats at a time: the roots and divisions are most of the work here. */
#define LANES 4

typedef float Lanes __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t LaneMask __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

#if defined(__SSE2__)
#define LANES_SQRT(x) ((Lanes) _mm_sqrt_ps((__m128) (x)))
#elif defined(__aarch64__)
#define LANES_SQRT(x) ((Lanes) vsqrtq_f32((float32x4_t) (x)))
#else
#define LANES_SQRT(x) ((Lanes) {sqrtf((x)[0]), sqrtf((x)[1]), sqrtf((x)[2]), sqrtf((x)[3])})
#endif

/*
 * Makes the nearest of these centres the reference of the level, if it is nearer
 * than what is there.  squared[] are the distances to the query.
 */
static void
refer_to_nearest(MrHashQuery *query, int level, const MrCodeRows *centres, const float *squared)
{
	int			best = -1;
	float		least = query->reference_squared[level];

	for (int i = 0; i < centres->n; i++)
	{
		if (squared[i] < least)
		{
			best = i;
			least = squared[i];
		}
	}
	if (best >= 0)
	{
		mr_code_query_from_code(&query->reference[level], centres->codes + (size_t) best * centres->dim,
								centres->scale[best], centres->norm[best]);
		query->reference_squared[level] = least;
	}
}

/*
 * Bounds from the squared distances of centres to the query, squared[], and to
 * the reference, which bound[] has before.  A centre that is not farther from
 * the query than the reference, or is equal to it, or is wild, gets 0.
 */
static void
bounds(const float *squared, float reference, int n, float *bound)
{
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		Lanes		farther = *(const Lanes *) (squared + i) - reference;
		Lanes		apart = *(Lanes *) (bound + i);
		LaneMask	counts = (farther > 0) & (farther < INFINITY) & (apart > 0);
		Lanes		away = 0.5f * farther / LANES_SQRT(apart);

		*(LaneMask *) (bound + i) = (LaneMask) away & counts;
	}
	for (; i < n; i++)
	{
		float		farther = squared[i] - reference;

		bound[i] = farther > 0 && farther < INFINITY && bound[i] > 0 ? 0.5f * farther / sqrtf(bound[i]) : 0;
	}
}

/*
 * order[] becomes the squared distances to the centres; bound[], unless it is
 * NULL, the distances to the cells.  A bucket whose centre is wild has an
 * infinite order and the bound 0.
 */
void
mr_voronoi_score(MrHashQuery *query, int level, const MrCodeRows *centres, float *order, float *bound)
{
	float		reference;

	mr_code_squared_distances(&query->code, centres, order);
	if (bound == NULL)
		return;

	refer_to_nearest(query, level, centres, order);
	reference = query->reference_squared[level];
	if (!(reference < INFINITY))
	{
		for (int i = 0; i < centres->n; i++)
			bound[i] = 0;
		return;
	}

	mr_code_squared_distances(&query->reference[level], centres, bound);
	bounds(order, reference, centres->n, bound);
}
