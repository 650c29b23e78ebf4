/*
 * centre.c
 *		Brings points around 0 and to a length of at most 1.
 *
 * Neither PCA nor t-SNE sees the difference, but squares of what comes out
 * neither overflow nor vanish, whatever finite numbers came in.
 */
#include <math.h>

#include "map/map.h"

/* Rows between two polls. */
#define ROWS_PER_POLL(dim) (1 + 4000000 / (dim))

/* mean[d] = the mean of coordinate d. */
static MrMapStatus
means(const MrMapInput *in, double *mean)
{
	for (int d = 0; d < in->dim; d++)
		mean[d] = 0;
	for (int i = 0; i < in->n; i++)
	{
		const float *x = in->x + (size_t) i * in->dim;

		if (i % ROWS_PER_POLL(in->dim) == 0 && in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		for (int d = 0; d < in->dim; d++)
			mean[d] += x[d];
	}
	for (int d = 0; d < in->dim; d++)
		mean[d] /= in->n;
	return MR_MAP_OK;
}

/* The length of a row from the mean. */
static double
length(const float *x, const double *mean, int dim)
{
	double		sum = 0;

	for (int d = 0; d < dim; d++)
		sum += (x[d] - mean[d]) * (x[d] - mean[d]);
	return sqrt(sum);
}

/* Bytes of memory for mr_map_centre(). */
size_t
mr_map_centre_bytes(int dim)
{
	return sizeof(double) * dim;
}

/*
 * x [n][dim], the points of `in`, are changed in place: mean 0, the longest of
 * length 1.  Points that are all the same become 0.
 */
MrMapStatus
mr_map_centre(const MrMapInput *in, float *x, void *memory)
{
	double	   *mean = memory;
	double		longest = 0;
	MrMapStatus status = means(in, mean);

	for (int i = 0; status == MR_MAP_OK && i < in->n; i++)
	{
		double		l = length(x + (size_t) i * in->dim, mean, in->dim);

		if (l > longest)
			longest = l;
		if (i % ROWS_PER_POLL(in->dim) == 0 && in->poll(in->poll_arg))
			status = MR_MAP_STOPPED;
	}
	for (int i = 0; status == MR_MAP_OK && i < in->n; i++)
	{
		float	   *row = x + (size_t) i * in->dim;

		for (int d = 0; d < in->dim; d++)
			row[d] = longest > 0 ? (float) ((row[d] - mean[d]) / longest) : 0;
		if (i % ROWS_PER_POLL(in->dim) == 0 && in->poll(in->poll_arg))
			status = MR_MAP_STOPPED;
	}
	return status;
}
