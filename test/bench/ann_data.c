/*
 * ann_data.c
 *		Vectors like those of a recommender, for ann.sh.
 *
 *		ann_data DIMENSIONS ROWS items|queries|more [SEED]
 *
 * Writes a binary COPY of the columns (integer, embedding): numbers from 1 and
 * points of a mixture of 2,000 clusters.
 *
 *		centre	normal, variance of coordinate j proportional to 1 / (1 + j/8)
 *		weight	of cluster c proportional to 1 / sqrt(c)
 *		point	centre + 0.25 * (a draw like a centre), clipped to the unit ball
 *
 * Items, queries and more items are separate draws of the same mixture.  The same
 * arguments give the same bytes.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTERS 2000
#define MAX_DIMENSIONS 2000
#define SPREAD 0.25
#define TWO_PI 6.283185307179586

/* State of splitmix64: small, and the same everywhere. */
static uint64_t state;

static uint64_t
next_bits(void)
{
	uint64_t	z = (state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* Uniform in (0, 1]. */
static double
next_uniform(void)
{
	return ((next_bits() >> 11) + 1) * 0x1p-53;
}

/* Fill x with normal numbers times scale[j], two at a time (Box and Muller). */
static void
draw_normal(float *x, const float *scale, int dim)
{
	for (int j = 0; j < dim; j += 2)
	{
		float		radius = sqrtf(-2.0f * logf((float) next_uniform()));
		float		angle = (float) (TWO_PI * next_uniform());

		x[j] = scale[j] * radius * cosf(angle);
		if (j + 1 < dim)
			x[j + 1] = scale[j + 1] * radius * sinf(angle);
	}
}

/* Longer vectors are cut to length 1. */
static void
clip(float *x, int dim)
{
	double		sum = 0;

	for (int j = 0; j < dim; j++)
		sum += (double) x[j] * x[j];
	if (sum <= 1)
		return;
	for (int j = 0; j < dim; j++)
		x[j] /= (float) sqrt(sum);
}

/* Numbers of a binary COPY have their high byte first. */
static char *
put_bytes(char *to, uint32_t value, int bytes)
{
	while (bytes-- > 0)
		*to++ = (char) (value >> (8 * bytes));
	return to;
}

/* One row: two columns, each after its length. */
static void
write_row(uint32_t id, const float *x, int dim)
{
	static char row[2 + 4 + 4 + 4 + 4 + 4 * MAX_DIMENSIONS];
	char	   *end = row;

	end = put_bytes(end, 2, 2);
	end = put_bytes(end, 4, 4);
	end = put_bytes(end, id, 4);
	end = put_bytes(end, (uint32_t) (4 + 4 * dim), 4);
	end = put_bytes(end, (uint32_t) dim, 2);
	end = put_bytes(end, 0, 2);
	for (int j = 0; j < dim; j++)
	{
		uint32_t	bits;

		memcpy(&bits, &x[j], sizeof(bits));
		end = put_bytes(end, bits, 4);
	}
	fwrite(row, 1, (size_t) (end - row), stdout);
}

/* The first cluster whose sum of weights reaches u. */
static int
find_cluster(const double *sums, double u)
{
	int			low = 0;
	int			high = CLUSTERS - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (sums[middle] < u)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Which of the three streams of draws, or -1. */
static int
stream_number(const char *name)
{
	static const char *const names[] = {"items", "queries", "more"};

	for (int i = 0; i < 3; i++)
	{
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

int
main(int argc, char **argv)
{
	static float centres[CLUSTERS][MAX_DIMENSIONS];
	static double sums[CLUSTERS];
	float		scale[MAX_DIMENSIONS];
	float		x[MAX_DIMENSIONS];
	int			dim = argc > 1 ? atoi(argv[1]) : 0;
	long		rows = argc > 2 ? atol(argv[2]) : 0;
	uint64_t	seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
	double		total = 0;
	int			stream = 0;

	if (argc < 4 || dim < 1 || dim > MAX_DIMENSIONS || rows < 1 ||
		(stream = stream_number(argv[3])) < 0)
	{
		fprintf(stderr, "usage: ann_data DIMENSIONS ROWS items|queries|more [SEED]\n");
		return 2;
	}

	/* Expected squared length of a point before it is clipped: 1. */
	for (int j = 0; j < dim; j++)
		total += 1 / (1 + j / 8.0);
	for (int j = 0; j < dim; j++)
		scale[j] = (float) sqrt(1 / (1 + j / 8.0) / total / (1 + SPREAD * SPREAD));
	state = seed;
	for (int c = 0; c < CLUSTERS; c++)
	{
		draw_normal(centres[c], scale, dim);
		sums[c] = 1 / sqrt(c + 1) + (c > 0 ? sums[c - 1] : 0);
	}

	/* Far from the centres' part of the sequence, and from one another. */
	state = UINT64_C(0xD1B54A32D192ED03) * (seed * 4 + (uint64_t) stream + 1);
	fwrite("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 1, 19, stdout);
	for (long i = 1; i <= rows; i++)
	{
		const float *centre = centres[find_cluster(sums, next_uniform() * sums[CLUSTERS - 1])];

		draw_normal(x, scale, dim);
		for (int j = 0; j < dim; j++)
			x[j] = centre[j] + (float) SPREAD * x[j];
		clip(x, dim);
		write_row((uint32_t) i, x, dim);
	}
	fwrite("\377\377", 1, 2, stdout);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
