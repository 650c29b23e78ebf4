/*
 * assign.c
 *		Which leaf each of many rows belongs to.
 *
 * Rows are handled in batches, and a batch level by level: rows that want the
 * same part of the next level are brought together, so that its centres are
 * read from the cache by four rows at a time.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "hash/assign.h"

#define ALIGNMENT 64

/* At least so many tops are candidates, or a share of all. */
#define MIN_BEAM 4
#define BEAM_SHARE 6

#define MIN_ROOM 64
#define MAX_ROOM 8192

static size_t
padded(size_t bytes)
{
	return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void *
carve(char **next, size_t bytes)
{
	char	   *piece = *next;

	*next += padded(bytes);
	return piece;
}

static int
smaller(int a, int b)
{
	return a < b ? a : b;
}

static int
larger(int a, int b)
{
	return a > b ? a : b;
}

/* ---- the directory ---- */

size_t
mr_directory_size(const MrDirectory *directory)
{
	size_t		size = padded((directory->n_tops + 1) * sizeof(int32_t)) +
		padded((directory->n_groups + 1) * sizeof(int32_t)) +
		mr_centres_size(directory->n_tops, directory->dim) +
		mr_centres_size(directory->n_groups, directory->dim) +
		mr_centres_size(directory->n_leaves, directory->dim);

	if (directory->family == MR_HASH_PROJECTION)
		size += padded(directory->n_groups * sizeof(MrBucketKey)) + padded(directory->n_leaves * sizeof(MrBucketKey));
	return size;
}

void
mr_directory_attach(MrDirectory *directory, void *memory, bool fresh)
{
	void		(*attach) (MrCentres *centres, int n, int dim, void *memory) =
		fresh ? mr_centres_init : mr_centres_attach;
	const int	dim = directory->dim;
	char	   *next = memory;

	directory->top_first = carve(&next, (directory->n_tops + 1) * sizeof(int32_t));
	directory->group_first = carve(&next, (directory->n_groups + 1) * sizeof(int32_t));
	attach(&directory->tops, directory->n_tops, dim, carve(&next, mr_centres_size(directory->n_tops, dim)));
	attach(&directory->groups, directory->n_groups, dim, carve(&next, mr_centres_size(directory->n_groups, dim)));
	attach(&directory->leaves, directory->n_leaves, dim, carve(&next, mr_centres_size(directory->n_leaves, dim)));
	directory->group_keys = NULL;
	directory->leaf_keys = NULL;
	if (directory->family == MR_HASH_PROJECTION)
	{
		directory->group_keys = carve(&next, directory->n_groups * sizeof(MrBucketKey));
		directory->leaf_keys = carve(&next, directory->n_leaves * sizeof(MrBucketKey));
	}
}

/* ---- memory of a batch ---- */

static int
beam_of(const MrDirectory *directory)
{
	return smaller(directory->n_tops, larger(MIN_BEAM, directory->n_tops / BEAM_SHARE));
}

/* Enough rows that several want the same group, as far as their time and memory allow. */
int
mr_assign_room(const MrDirectory *directory)
{
	int64_t		centres = MR_PANEL;
	int			rows;

	if (directory->family == MR_HASH_VORONOI)
		centres = directory->n_tops + (int64_t) directory->n_groups * beam_of(directory) / directory->n_tops +
			(int64_t) directory->n_leaves * MR_ASSIGN_GROUPS / larger(directory->n_groups, 1);
	rows = mr_rows_per_step((int) (centres < INT32_MAX / 2 ? centres : INT32_MAX / 2), directory->dim) * 4;
	return larger(MIN_ROOM, smaller(rows, smaller(MAX_ROOM, (4 << 20) / directory->dim)));
}

size_t
mr_assigner_size(const MrDirectory *directory, int room)
{
	int			beam = beam_of(directory);

	return padded((size_t) room * mr_panel_row(directory->dim) * sizeof(int16_t)) +
		padded((size_t) room * beam * sizeof(MrNear)) +
		padded((size_t) room * MR_ASSIGN_GROUPS * sizeof(MrNear)) +
		padded(room * sizeof(MrNear)) +
		padded((larger(directory->n_tops, directory->n_groups) + 1) * sizeof(int32_t)) +
		padded((size_t) room * larger(beam, MR_ASSIGN_GROUPS) * sizeof(int32_t)) +
		padded(directory->dim * sizeof(float));
}

void
mr_assigner_init(MrAssigner *assigner, const MrDirectory *directory, const MrHash *hash, int room, void *memory)
{
	char	   *next = memory;

	assigner->directory = directory;
	assigner->hash = hash;
	assigner->room = room;
	assigner->beam = beam_of(directory);
	assigner->wide = carve(&next, (size_t) room * mr_panel_row(directory->dim) * sizeof(int16_t));
	assigner->tops = carve(&next, (size_t) room * assigner->beam * sizeof(MrNear));
	assigner->groups = carve(&next, (size_t) room * MR_ASSIGN_GROUPS * sizeof(MrNear));
	assigner->leaves = carve(&next, room * sizeof(MrNear));
	assigner->start = carve(&next, (larger(directory->n_tops, directory->n_groups) + 1) * sizeof(int32_t));
	assigner->list = carve(&next, (size_t) room * larger(assigner->beam, MR_ASSIGN_GROUPS) * sizeof(int32_t));
	assigner->decoded = carve(&next, directory->dim * sizeof(float));
}

/* ---- levels ---- */

/* Lists of nearest centres, all empty. */
static void
near_clear(MrNear *near, size_t n)
{
	for (size_t i = 0; i < n; i++)
		near[i] = (MrNear) {INFINITY, -1};
}

/*
 * Compares rows list[0 .. n-1] (NULL: rows 0 .. n-1) with a range of centres;
 * row i's list of nearest is out + i * m.
 */
static void
compare(const MrAssigner *assigner, const MrCodeRows *rows, const int32_t *list, int n,
		const MrCentres *centres, int first, int last, MrNear *out, int m)
{
	const int	width = mr_panel_row(rows->dim);

	for (int at = 0; at < n; at += MR_PANEL_ROWS)
	{
		const int16_t *row[MR_PANEL_ROWS];
		float		scale[MR_PANEL_ROWS];
		MrNear	   *near[MR_PANEL_ROWS];
		int			some = smaller(n - at, MR_PANEL_ROWS);

		for (int r = 0; r < MR_PANEL_ROWS; r++)
		{
			/* what is missing of four rows is the last one again */
			int			j = at + smaller(r, some - 1);
			int			i = list == NULL ? j : list[j];

			row[r] = assigner->wide + (size_t) i * width;
			scale[r] = rows->scale[i];
			near[r] = out + (size_t) i * m;
		}
		mr_centres_nearest(centres, first, last, row, scale, some, m, near);
	}
}

/* Brings the rows together that have the same part in their lists of m parts. */
static void
gather(MrAssigner *assigner, int n_rows, const MrNear *parts, int m, int n_parts)
{
	int32_t    *start = assigner->start;
	int32_t		total = 0;

	memset(start, 0, (n_parts + 1) * sizeof(int32_t));
	for (int i = 0; i < n_rows * m; i++)
		if (parts[i].centre >= 0)
			start[parts[i].centre]++;
	for (int part = 0; part <= n_parts; part++)
	{
		total += start[part];
		start[part] = total;
	}
	/* backwards, so that each start ends at its first row */
	for (int i = n_rows * m - 1; i >= 0; i--)
		if (parts[i].centre >= 0)
			assigner->list[--start[parts[i].centre]] = i / m;
}

/* From the parts that each row wants to the nearest centres in them. */
static void
descend(MrAssigner *assigner, const MrCodeRows *rows, const MrNear *parts, int m_parts, int n_parts,
		const int32_t *part_first, const MrCentres *centres, MrNear *out, int m)
{
	gather(assigner, rows->n, parts, m_parts, n_parts);
	near_clear(out, (size_t) rows->n * m);
	for (int part = 0; part < n_parts; part++)
		compare(assigner, rows, assigner->list + assigner->start[part],
				assigner->start[part + 1] - assigner->start[part],
				centres, part_first[part], part_first[part + 1], out, m);
}

static void
assign_voronoi(MrAssigner *assigner, const MrCodeRows *rows, int32_t *leaf)
{
	const MrDirectory *directory = assigner->directory;

	for (int i = 0; i < rows->n; i++)
		mr_panel_widen(rows->codes + (size_t) i * rows->dim, rows->dim,
					   assigner->wide + (size_t) i * mr_panel_row(rows->dim));
	if (directory->n_tops > 1)
	{
		near_clear(assigner->tops, (size_t) rows->n * assigner->beam);
		compare(assigner, rows, NULL, rows->n, &directory->tops, 0, directory->n_tops, assigner->tops,
				assigner->beam);
		descend(assigner, rows, assigner->tops, assigner->beam, directory->n_tops, directory->top_first,
				&directory->groups, assigner->groups, MR_ASSIGN_GROUPS);
	}
	else
	{
		near_clear(assigner->groups, (size_t) rows->n * MR_ASSIGN_GROUPS);
		compare(assigner, rows, NULL, rows->n, &directory->groups, 0, directory->n_groups, assigner->groups,
				MR_ASSIGN_GROUPS);
	}
	descend(assigner, rows, assigner->groups, MR_ASSIGN_GROUPS, directory->n_groups, directory->group_first,
			&directory->leaves, assigner->leaves, 1);
	for (int i = 0; i < rows->n; i++)
		leaf[i] = assigner->leaves[i].centre >= 0 ? assigner->leaves[i].centre : directory->n_leaves - 1;
}

/* The last leaf whose key does not begin behind the row's. */
static int
leaf_of_key(const MrDirectory *directory, MrBucketKey key)
{
	int			low = 0;
	int			high = directory->n_leaves;

	while (high - low > 1)
	{
		int			middle = low + (high - low) / 2;

		if (mr_key_bits(directory->leaf_keys[middle]) <= mr_key_bits(key))
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The leaf of each row. */
void
mr_assign(MrAssigner *assigner, const MrCodeRows *rows, int32_t *leaf)
{
	if (assigner->directory->family == MR_HASH_VORONOI)
	{
		assign_voronoi(assigner, rows, leaf);
		return;
	}
	for (int i = 0; i < rows->n; i++)
		leaf[i] = leaf_of_key(assigner->directory,
							  mr_hash_key(assigner->hash, rows->codes + (size_t) i * rows->dim, rows->scale[i],
										  assigner->decoded));
}
