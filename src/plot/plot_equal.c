/*
 * plot_equal.c
 *		Points that are equal to the last bit: users with one history, say.
 *
 * There can be thousands of them, and t-SNE would blow them up into a region of their
 * own, with hubs among them that are nobody's: the first k of all that are equally near.
 * So each different point is mapped once, and in the picture its copies lie around it
 * in a disc, as the seeds of a sunflower.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "miscadmin.h"

#include "plot/plot.h"

/* The angle between a seed and the next. */
#define GOLDEN_ANGLE (M_PI * (3 - 2.2360679774997896))

typedef struct Hashed
{
	uint64		hash;
	int32		point;
} Hashed;

static int
compare_hashed(const void *a, const void *b)
{
	const Hashed *x = a;
	const Hashed *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->point < y->point ? -1 : x->point > y->point;
}

static Hashed *
sort_by_hash(MrMap *map, Size width)
{
	Hashed	   *sorted = mr_map_alloc(map, sizeof(Hashed) * map->n);

	for (int32 i = 0; i < map->n; i++)
	{
		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		sorted[i].hash = hash_bytes_extended((const unsigned char *) map->x + i * width, (int) width, 0);
		sorted[i].point = i;
	}
	qsort(sorted, map->n, sizeof(Hashed), compare_hashed);
	return sorted;
}

/* Sets first[i], the first point that is equal to i, and map->copy. */
static void
find_first(MrMap *map, const Hashed *sorted, Size width, int32 *first)
{
	const char *x = (const char *) map->x;
	int32		copies = 0;

	for (int32 i = 0; i < map->n; i++)
	{
		int32		point = sorted[i].point;
		int32		before = i > 0 ? first[sorted[i - 1].point] : 0;

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (i > 0 && sorted[i].hash == sorted[i - 1].hash && memcmp(x + point * width, x + before * width, width) == 0)
		{
			first[point] = before;
			map->copy[point] = ++copies;
		}
		else
		{
			first[point] = point;
			map->copy[point] = copies = 0;
		}
	}
}

/*
 * Moves the different points to the front of x, in their order; sets n_different,
 * different[i], the row of point i there, and copy[i], the how manieth of its equals
 * it is, from 0.
 */
void
mr_map_merge_equal(MrMap *map)
{
	Size		width = sizeof(float) * map->dim;
	int32	   *first = mr_map_alloc(map, sizeof(int32) * map->n);
	Hashed	   *sorted = sort_by_hash(map, width);
	char	   *x = (char *) map->x;

	map->different = mr_map_alloc(map, sizeof(int32) * map->n);
	map->copy = mr_map_alloc(map, sizeof(int32) * map->n);
	find_first(map, sorted, width, first);
	map->n_different = 0;
	for (int32 i = 0; i < map->n; i++)
	{
		if (first[i] != i)
		{
			map->different[i] = map->different[first[i]];
			continue;
		}
		memmove(x + map->n_different * width, x + i * width, width);
		map->different[i] = map->n_different++;
	}
}

/* Where a copy lies from the first one: in parts of the distance between seeds. */
void
mr_map_seed(int32 copy, double offset[2])
{
	double		angle = fmod(copy * GOLDEN_ANGLE, 2 * M_PI);

	offset[0] = sqrt(copy) * cos(angle);
	offset[1] = sqrt(copy) * sin(angle);
}
