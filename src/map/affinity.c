/*
 * affinity.c
 *		From nearest neighbours to the symmetric probabilities of t-SNE (tsne.h).
 *
 * A point's Gaussian is as wide as makes the entropy of its neighbours log of the
 * perplexity: dense and thin regions get the same room in the picture.  The width
 * is found by bisection.
 */
#include <math.h>
#include <string.h>

#include "map/tsne.h"

/* Steps of the bisection, and how near the entropy must come. */
#define MAX_STEPS 100
#define TOLERANCE 1e-5

#define ROWS_PER_POLL 256
#define ENTRIES_PER_POLL (1 << 20)

/* p of the k neighbours for this precision; returns their entropy. */
static double
entropy_at(const float *squared, int k, double beta, float *p)
{
	double		sum = 0;
	double		mean = 0;

	/* The nearest one's distance is taken off all: exp() of it is 1, never 0. */
	for (int i = 0; i < k; i++)
	{
		double		distance = (double) squared[i] - squared[0];
		double		value = exp(-beta * distance);

		p[i] = (float) value;
		sum += value;
		mean += value * distance;
	}
	for (int i = 0; i < k; i++)
		p[i] = (float) (p[i] / sum);
	return log(sum) + beta * mean / sum;
}

/*
 * p[0 .. k-1], summing to 1: squared distances, ascending, as probabilities of
 * this perplexity (1 .. k).
 *
 * Where several neighbours are equally near the perplexity cannot be lower than
 * their number, and the search ends at its bound.
 */
void
mr_affinities_condition(const float *squared, int k, double perplexity, float *p)
{
	double		wanted = log(perplexity);
	double		scale = (double) squared[k - 1] - squared[0];
	double		low = 0;
	double		high = INFINITY;
	double		beta = scale > 0 ? 1 / scale : 1;

	for (int step = 0; step < MAX_STEPS; step++)
	{
		double		excess = entropy_at(squared, k, beta, p) - wanted;

		if (fabs(excess) < TOLERANCE || !(scale > 0) || beta * scale > 1e30)
			return;
		if (excess > 0)
			low = beta;
		else
			high = beta;
		beta = isinf(high) ? 2 * beta : (low + high) / 2;
	}
}

/* Bytes of the arrays: each pair may stand in both rows. */
size_t
mr_affinities_bytes(int n, int k)
{
	size_t		entries = 2 * (size_t) n * k;

	return mr_map_padded(sizeof(int64_t) * (n + 1)) + mr_map_padded(sizeof(int32_t) * entries) +
		mr_map_padded(sizeof(float) * entries);
}

void
mr_affinities_attach(MrAffinities *out, int n, int k, void *memory)
{
	char	   *next = memory;
	size_t		entries = 2 * (size_t) n * k;

	out->n = n;
	out->start = mr_map_carve(&next, sizeof(int64_t) * (n + 1));
	out->column = mr_map_carve(&next, sizeof(int32_t) * entries);
	out->p = mr_map_carve(&next, sizeof(float) * entries);
}

/* What mr_affinities() needs besides. */
typedef struct Scratch
{
	float	   *p;				/* [n][k], p[j|i], rows i */
	int64_t    *start;			/* [n + 1], of those that have i as a neighbour */
	int32_t    *row;			/* [n * k] them */
	float	   *other;			/* [n * k] their p */
	int64_t    *place;			/* [n] where in the row under work, -1 = nowhere */
} Scratch;

size_t
mr_affinities_scratch(int n, int k)
{
	size_t		entries = (size_t) n * k;

	return 2 * mr_map_padded(sizeof(float) * entries) + mr_map_padded(sizeof(int64_t) * (n + 1)) +
		mr_map_padded(sizeof(int32_t) * entries) + mr_map_padded(sizeof(int64_t) * n);
}

static void
attach(Scratch *s, int n, int k, void *memory)
{
	char	   *next = memory;
	size_t		entries = (size_t) n * k;

	s->p = mr_map_carve(&next, sizeof(float) * entries);
	s->other = mr_map_carve(&next, sizeof(float) * entries);
	s->start = mr_map_carve(&next, sizeof(int64_t) * (n + 1));
	s->row = mr_map_carve(&next, sizeof(int32_t) * entries);
	s->place = mr_map_carve(&next, sizeof(int64_t) * n);
}

/* Those that have i as a neighbour, in ascending order, for each i. */
static MrMapStatus
transpose(const MrMapInput *in, const MrNeighbors *near, Scratch *s)
{
	size_t		entries = (size_t) near->n * near->k;

	memset(s->start, 0, sizeof(int64_t) * (near->n + 1));
	for (size_t e = 0; e < entries; e++)
	{
		if (e % ENTRIES_PER_POLL == 0 && in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		s->start[near->row[e] + 1]++;
	}
	for (int i = 0; i < near->n; i++)
	{
		s->start[i + 1] += s->start[i];
		s->place[i] = s->start[i];
	}
	for (size_t e = 0; e < entries; e++)
	{
		int64_t		at = s->place[near->row[e]]++;

		if (e % ENTRIES_PER_POLL == 0 && in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		s->row[at] = (int32_t) (e / near->k);
		s->other[at] = s->p[e];
	}
	for (int i = 0; i < near->n; i++)
		s->place[i] = -1;
	return MR_MAP_OK;
}

/* Row i: its own neighbours, then those that have it as one. */
static void
merge_row(const MrNeighbors *near, Scratch *s, int i, MrAffinities *out)
{
	int64_t		begin = out->start[i];
	int64_t		end = begin;
	float		half = 0.5f / near->n;

	for (int j = 0; j < near->k; j++)
	{
		size_t		e = (size_t) i * near->k + j;

		s->place[near->row[e]] = end;
		out->column[end] = near->row[e];
		out->p[end++] = half * s->p[e];
	}
	for (int64_t e = s->start[i]; e < s->start[i + 1]; e++)
	{
		int64_t		at = s->place[s->row[e]];

		if (at >= begin)
		{
			out->p[at] += half * s->other[e];
			continue;
		}
		out->column[end] = s->row[e];
		out->p[end++] = half * s->other[e];
	}
	/* Places below the next row's begin count as nowhere: no need to reset them. */
	out->start[i + 1] = end;
}

/* The matrix of all pairs of which one is a neighbour of the other. */
MrMapStatus
mr_affinities(const MrMapInput *in, const MrNeighbors *near, double perplexity, MrAffinities *out, void *scratch)
{
	Scratch		s;

	attach(&s, near->n, near->k, scratch);
	for (int i = 0; i < near->n; i++)
	{
		if (i % ROWS_PER_POLL == 0 && in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		mr_affinities_condition(near->squared + (size_t) i * near->k, near->k, perplexity, s.p + (size_t) i * near->k);
	}
	if (transpose(in, near, &s) != MR_MAP_OK)
		return MR_MAP_STOPPED;
	out->start[0] = 0;
	for (int i = 0; i < near->n; i++)
	{
		if (i % ROWS_PER_POLL == 0 && in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		merge_row(near, &s, i, out);
	}
	return MR_MAP_OK;
}
