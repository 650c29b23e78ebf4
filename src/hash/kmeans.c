/*
 * kmeans.c
 *		k-means over coded rows (Lloyd's rounds).
 *
 * A cell that got no row takes over a row of the fullest cell, the one farthest
 * from its centre.  If there are fewer distinct rows than cells some cells stay
 * empty, which does no harm: no row will be nearer to them.
 */
#include <math.h>
#include <string.h>

#include "hash/kmeans.h"
#include "util/rng.h"

#define ALIGNMENT 64

/* Centres whose values are computed together; a multiple of MR_PANEL. */
#define CHUNK 256

/* Products of codes in a step. */
#define STEP_PRODUCTS (16 << 20)

/* ---- memory ---- */

static size_t
padded(size_t bytes)
{
	return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Takes a piece from the memory at *next. */
static void *
carve(char **next, size_t bytes)
{
	char	   *piece = *next;

	*next += padded(bytes);
	return piece;
}

/* ---- centres ---- */

/* Bytes of n centres. */
size_t
mr_centres_size(int n, int dim)
{
	size_t		panels = mr_panel_count(n);

	return padded(panels * mr_panel_bytes(dim)) + 2 * padded(panels * MR_PANEL * sizeof(float));
}

/* Finds the arrays in memory that has been filled, perhaps by another process. */
void
mr_centres_attach(MrCentres *centres, int n, int dim, void *memory)
{
	char	   *next = memory;
	size_t		panels = mr_panel_count(n);

	centres->n = n;
	centres->dim = dim;
	centres->panels = carve(&next, panels * mr_panel_bytes(dim));
	centres->scale = carve(&next, panels * MR_PANEL * sizeof(float));
	centres->norm = carve(&next, panels * MR_PANEL * sizeof(float));
}

/* Makes n centres that nothing is near to. */
void
mr_centres_init(MrCentres *centres, int n, int dim, void *memory)
{
	mr_centres_attach(centres, n, dim, memory);
	memset(memory, 0, mr_centres_size(n, dim));
	for (int i = 0; i < mr_panel_count(n) * MR_PANEL; i++)
		centres->norm[i] = INFINITY;
}

/* Puts centre i. */
void
mr_centres_set(MrCentres *centres, int i, const int8_t *code, float scale, float norm)
{
	mr_panel_put(centres->panels, centres->dim, i, code);
	centres->scale[i] = scale;
	centres->norm[i] = norm;
}

/* Reads centre i. */
void
mr_centres_get(const MrCentres *centres, int i, int8_t *code, float *scale, float *norm)
{
	mr_panel_get(centres->panels, centres->dim, i, code);
	*scale = centres->scale[i];
	*norm = centres->norm[i];
}

/* Inserts into an ascending list of m; equal values: the new one first. */
static void
near_insert(MrNear *near, int m, float value, int32_t centre)
{
	int			i = m - 1;

	for (; i > 0 && near[i - 1].value >= value; i--)
		near[i] = near[i - 1];
	near[i].value = value;
	near[i].centre = centre;
}

/* The m nearest of n values into the list; `values` is used up. */
static void
near_merge(MrNear *near, int m, float *values, int n, int first)
{
	const MrPanelMath *math = mr_panelmath();

	for (int i = 0; i < m; i++)
	{
		int			place = math->least(values, n);
		float		value = values[place];

		if (value == INFINITY || value > near[m - 1].value)
			return;
		near_insert(near, m, value, first + place);
		values[place] = INFINITY;
	}
}

/* Merges a range of centres into the lists of nearest ones of a few rows. */
void
mr_centres_nearest(const MrCentres *centres, int first, int last,
				   const int16_t *const rows[MR_PANEL_ROWS], const float *scales, int n_rows,
				   int m, MrNear *const near[MR_PANEL_ROWS])
{
	const MrPanelMath *math = mr_panelmath();
	int32_t		dots[MR_PANEL_ROWS * CHUNK];
	float		values[CHUNK];

	for (int at = first / MR_PANEL * MR_PANEL; at < last; at += CHUNK)
	{
		int			panels = mr_panel_count(last - at);
		int			n;

		if (panels > CHUNK / MR_PANEL)
			panels = CHUNK / MR_PANEL;
		n = panels * MR_PANEL;
		math->dots(rows, centres->panels + (size_t) (at / MR_PANEL) * mr_panel_bytes(centres->dim),
				   mr_panel_pairs(centres->dim), panels, dots, CHUNK);
		for (int r = 0; r < n_rows; r++)
		{
			math->values(dots + r * CHUNK, centres->scale + at, centres->norm + at, 2 * scales[r], n, values);
			/* panels are shared with the centres before and behind the range */
			for (int i = at; i < first; i++)
				values[i - at] = INFINITY;
			for (int i = last; i < at + n; i++)
				values[i - at] = INFINITY;
			near_merge(near[r], m, values, n, at);
		}
	}
}

/* Bytes of MR_PANEL_ROWS widened rows. */
size_t
mr_wide_size(int dim)
{
	return padded(MR_PANEL_ROWS * mr_panel_row(dim) * sizeof(int16_t));
}

/* The nearest centre of each row, and the squared distance. */
void
mr_centres_assign(const MrCentres *centres, const MrCodeRows *rows, int from, int to,
				  void *wide, int32_t *cell, float *distance)
{
	const int	dim = rows->dim;
	int16_t    *buffer = wide;
	const int16_t *row[MR_PANEL_ROWS];
	MrNear		found[MR_PANEL_ROWS];
	MrNear	   *near[MR_PANEL_ROWS];

	for (int r = 0; r < MR_PANEL_ROWS; r++)
	{
		row[r] = buffer + r * mr_panel_row(dim);
		near[r] = &found[r];
	}
	memset(buffer, 0, MR_PANEL_ROWS * mr_panel_row(dim) * sizeof(int16_t));
	for (int i = from; i < to; i += MR_PANEL_ROWS)
	{
		int			n = to - i < MR_PANEL_ROWS ? to - i : MR_PANEL_ROWS;

		for (int r = 0; r < n; r++)
		{
			mr_panel_widen(rows->codes + (size_t) (i + r) * dim, dim, buffer + r * mr_panel_row(dim));
			found[r] = (MrNear) {INFINITY, 0};
		}
		mr_centres_nearest(centres, 0, centres->n, row, rows->scale + i, n, 1, near);
		for (int r = 0; r < n; r++)
		{
			float		squared = rows->norm[i + r] + found[r].value;

			cell[i + r] = found[r].centre;
			distance[i + r] = squared > 0 ? squared : 0;
		}
	}
}

int
mr_rows_per_step(int n_centres, int dim)
{
	/* the centres of a whole panel are computed, and a row is also added to a sum */
	int64_t		products = (int64_t) (mr_panel_count(n_centres) * MR_PANEL) * dim;
	int64_t		rows = STEP_PRODUCTS / products;

	return rows < MR_PANEL_ROWS ? MR_PANEL_ROWS : (int) rows;
}

/* ---- training ---- */

/* Bytes of memory for mr_kmeans_begin(). */
size_t
mr_kmeans_size(int n, int k, int dim)
{
	return mr_centres_size(k, dim) + padded((size_t) k * dim * sizeof(float)) + padded(k * sizeof(int32_t)) +
		padded(n * sizeof(int32_t)) + padded(n * sizeof(float)) + padded(dim) + mr_wide_size(dim);
}

/* The first centres are k rows by chance, none of them twice. */
static void
choose_first(MrKmeans *kmeans, uint64_t seed)
{
	const MrCodeRows *rows = &kmeans->rows;
	int32_t    *order = kmeans->cell;	/* not yet in use */
	MrRng		rng;

	mr_rng_seed(&rng, seed);
	for (int i = 0; i < rows->n; i++)
		order[i] = i;
	for (int i = 0; i < kmeans->centres.n; i++)
	{
		int			other = i + (int) mr_rng_below(&rng, rows->n - i);
		int32_t		row = order[other];

		order[other] = order[i];
		order[i] = row;
		mr_centres_set(&kmeans->centres, i, rows->codes + (size_t) row * rows->dim, rows->scale[row],
					   rows->norm[row]);
	}
}

static void
round_begin(MrKmeans *kmeans)
{
	kmeans->at = 0;
	memset(kmeans->sum, 0, (size_t) kmeans->centres.n * kmeans->rows.dim * sizeof(float));
	memset(kmeans->count, 0, kmeans->centres.n * sizeof(int32_t));
}

/* Prepares to find k centres in so many rounds. */
void
mr_kmeans_begin(MrKmeans *kmeans, const MrCodeRows *rows, int k, int rounds, uint64_t seed, void *memory)
{
	int			n = rows->n;
	int			dim = rows->dim;
	char	   *next = memory;

	kmeans->rows = *rows;
	kmeans->rounds = rounds;
	mr_centres_init(&kmeans->centres, k, dim, carve(&next, mr_centres_size(k, dim)));
	kmeans->sum = carve(&next, (size_t) k * dim * sizeof(float));
	kmeans->count = carve(&next, k * sizeof(int32_t));
	kmeans->cell = carve(&next, n * sizeof(int32_t));
	kmeans->distance = carve(&next, n * sizeof(float));
	kmeans->code = carve(&next, dim);
	kmeans->wide = carve(&next, mr_wide_size(dim));
	choose_first(kmeans, seed);
	round_begin(kmeans);
}

/* The row of a cell that is farthest from the centre; -1 if all are at it. */
static int
farthest_of(const MrKmeans *kmeans, int cell)
{
	int			far = -1;
	float		distance = 0;

	for (int i = 0; i < kmeans->rows.n; i++)
		if (kmeans->cell[i] == cell && kmeans->distance[i] > distance)
		{
			far = i;
			distance = kmeans->distance[i];
		}
	return far;
}

/*
 * Gives an empty cell a row of the fullest one.  Counts are adjusted as if each
 * got half, so that the next empty cell looks elsewhere.  False if no cell has
 * rows to give.
 */
static bool
refill(MrKmeans *kmeans, int empty)
{
	const MrCodeRows *rows = &kmeans->rows;

	for (;;)
	{
		int			fullest = 0;
		int			row;

		for (int j = 1; j < kmeans->centres.n; j++)
			if (kmeans->count[j] > kmeans->count[fullest])
				fullest = j;
		if (kmeans->count[fullest] < 2)
			return false;
		row = farthest_of(kmeans, fullest);
		if (row < 0)
		{
			kmeans->count[fullest] = 1;
			continue;
		}
		mr_centres_set(&kmeans->centres, empty, rows->codes + (size_t) row * rows->dim, rows->scale[row],
					   rows->norm[row]);
		kmeans->distance[row] = 0;
		kmeans->count[fullest] -= kmeans->count[fullest] / 2;
		return true;
	}
}

/* Moves each centre to the mean of its rows. */
static void
round_end(MrKmeans *kmeans)
{
	const int	dim = kmeans->rows.dim;

	for (int j = 0; j < kmeans->centres.n; j++)
	{
		float	   *sum = kmeans->sum + (size_t) j * dim;
		float		scale;
		float		norm;

		if (kmeans->count[j] == 0)
			continue;
		for (int i = 0; i < dim; i++)
			sum[i] /= kmeans->count[j];
		(void) mr_code_encode(sum, dim, kmeans->code, &scale, &norm);
		mr_centres_set(&kmeans->centres, j, kmeans->code, scale, norm);
	}
	for (int j = 0; j < kmeans->centres.n; j++)
		if (kmeans->count[j] == 0 && !refill(kmeans, j))
			break;
}

/* Some rows of a round, or its end. */
bool
mr_kmeans_step(MrKmeans *kmeans)
{
	const MrPanelMath *math = mr_panelmath();
	const MrCodeRows *rows = &kmeans->rows;
	int			to;

	if (kmeans->at >= rows->n)
	{
		round_end(kmeans);
		if (--kmeans->rounds <= 0)
			return false;
		round_begin(kmeans);
		return true;
	}
	to = kmeans->at + mr_rows_per_step(kmeans->centres.n, rows->dim);
	if (to > rows->n)
		to = rows->n;
	mr_centres_assign(&kmeans->centres, rows, kmeans->at, to, kmeans->wide, kmeans->cell, kmeans->distance);
	for (int i = kmeans->at; i < to; i++)
	{
		int			j = kmeans->cell[i];

		math->add(kmeans->sum + (size_t) j * rows->dim, rows->codes + (size_t) i * rows->dim, rows->scale[i],
				  rows->dim);
		kmeans->count[j]++;
	}
	kmeans->at = to;
	return true;
}
