/*
 * fold_in_als.c
 *		A user who was not trained, in a version of ALS: the user's least squares, with
 *		the items as they are (see als.h, fold_in.h).
 *
 * The stored points of items are v = y / M.  For likes v_1 ... v_n, with G the sum of
 * v v' over all items and r = lambda (n + a0 n_items) / M^2, the user's direction is
 *
 *		(a0 G + r I + SUM v_t v_t')^-1 SUM v_t
 *
 * ALS leaves its items on the axes of their own Gram matrix, so that G is diagonal and
 * D stored numbers are all that is needed beside the likes.  With fewer likes than
 * coordinates the system is n x n, as in als_solve.c.  No library is needed: queries do
 * not load one.
 *
 * Stored form, integers and floats (IEEE 754) little-endian:
 *		OFFSET	SIZE	DESCRIPTION
 *		0		4		magic "MRfi"
 *		4		2		format, 2
 *		6		2		0, reserved
 *		8		4		dimensions of a stored point, the extra coordinate counted: D + 1
 *		12		4		items of the model
 *		16		8		a0
 *		24		8		lambda / M^2
 *		32		8 D		a0 G
 */
#include <math.h>
#include <string.h>

#include "math/rowmath.h"
#include "model/als.h"
#include "model/fold_in_als.h"

#define FORMAT 2
#define HEAD_BYTES 32

/* Multiplications between two polls. */
#define POLL_WORK (1 << 22)

static const uint8_t magic[4] = {'M', 'R', 'f', 'i'};

static void
write_64(uint8_t *to, uint64_t x)
{
	for (int i = 0; i < 8; i++)
		to[i] = (uint8_t) (x >> (8 * i));
}

static void
write_double(uint8_t *to, double x)
{
	uint64_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	write_64(to, bits);
}

static uint32_t
read_32(const uint8_t *from)
{
	return from[0] | (uint32_t) from[1] << 8 | (uint32_t) from[2] << 16 | (uint32_t) from[3] << 24;
}

static double
read_double(const uint8_t *from)
{
	uint64_t	bits = read_32(from) | (uint64_t) read_32(from + 4) << 32;
	double		x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* Bytes of the stored form. */
size_t
mr_fold_in_als_bytes(int32_t dimensions)
{
	return HEAD_BYTES + 8 * (size_t) (dimensions - 1);
}

/*
 * Write the stored form for items [n_items][hyper->dimensions] as exported, radius the
 * tower's.  Returns the bytes written; 0 if poll(), which may be NULL, said stop.
 */
size_t
mr_fold_in_als_write(const MrHyper *hyper, float radius, int32_t n_items, const float *items, uint8_t *bytes,
					 MrPoll poll, void *arg)
{
	int32_t		width = hyper->dimensions - 1;
	double		scale = radius > 0 ? 1.0 / radius / radius : 1;
	int32_t		poll_rows = POLL_WORK / hyper->dimensions;
	double		gram[MR_ALS_MAX_WIDTH] = {0};

	memset(bytes, 0, HEAD_BYTES);
	memcpy(bytes, magic, sizeof(magic));
	bytes[4] = FORMAT;
	for (int i = 0; i < 4; i++)
	{
		bytes[8 + i] = (uint8_t) ((uint32_t) hyper->dimensions >> (8 * i));
		bytes[12 + i] = (uint8_t) ((uint32_t) n_items >> (8 * i));
	}
	write_double(bytes + 16, hyper->als_unobserved_weight);
	write_double(bytes + 24, hyper->als_regularization * scale);
	for (int32_t i = 0; i < n_items; i++)
	{
		if (i % poll_rows == 0 && poll && poll(arg))
			return 0;
		for (int32_t k = 0; k < width; k++)
			gram[k] += (double) items[(size_t) i * hyper->dimensions + k] * items[(size_t) i * hyper->dimensions + k];
	}
	for (int32_t k = 0; k < width; k++)
		write_double(bytes + HEAD_BYTES + 8 * (size_t) k, hyper->als_unobserved_weight * gram[k]);
	return mr_fold_in_als_bytes(hyper->dimensions);
}

/* Are these bytes of this form? */
bool
mr_fold_in_is_als(const uint8_t *bytes, size_t n)
{
	return n >= HEAD_BYTES && memcmp(bytes, magic, sizeof(magic)) == 0 && bytes[4] == FORMAT && bytes[5] == 0;
}

/* Place everything in the arena, or count it; NULL while counting. */
static MrFoldIn *
place(MrArena *arena, int32_t dimensions)
{
	MrFoldIn   *f = mr_arena_take(arena, 1, sizeof(MrFoldIn));
	double	   *diagonal = mr_arena_take(arena, dimensions - 1, sizeof(double));
	double	   *normal = mr_arena_take(arena, (size_t) (dimensions - 1) * (dimensions - 1), sizeof(double));
	double	   *right = mr_arena_take(arena, 2 * (size_t) (dimensions - 1), sizeof(double));

	if (f == NULL)
		return NULL;
	memset(f, 0, sizeof(*f));
	f->least_squares = true;
	f->dimensions = dimensions;
	f->stride = (dimensions + MR_ROW_PAD - 1) / MR_ROW_PAD * MR_ROW_PAD;
	f->diagonal = diagonal;
	f->normal = normal;
	f->right = right;
	return f;
}

/* Bytes of memory that mr_fold_in_als_read() needs; 0 if the stored form is damaged. */
size_t
mr_fold_in_als_memory(const uint8_t *bytes, size_t n)
{
	MrArena		arena = {NULL, 0, false};
	uint32_t	dimensions;

	if (!mr_fold_in_is_als(bytes, n))
		return 0;
	dimensions = read_32(bytes + 8);
	if (bytes[6] != 0 || bytes[7] != 0 || dimensions < 2 || dimensions > MR_ALS_MAX_WIDTH + 1 ||
		n != mr_fold_in_als_bytes((int32_t) dimensions))
		return 0;
	mr_arena_take(&arena, 1, 63);	/* the caller's block may start anywhere */
	place(&arena, (int32_t) dimensions);
	return arena.overflow ? 0 : arena.used;
}

/* What is needed, in mr_fold_in_als_memory() bytes; NULL if the stored form is damaged. */
MrFoldIn *
mr_fold_in_als_read(void *memory, const uint8_t *bytes, size_t n)
{
	MrArena		arena = {NULL, 0, false};
	MrFoldIn   *f;

	if (mr_fold_in_als_memory(bytes, n) == 0)
		return NULL;
	arena.base = (char *) (((uintptr_t) memory + 63) & ~(uintptr_t) 63);
	f = place(&arena, (int32_t) read_32(bytes + 8));
	f->n_items = (int32_t) read_32(bytes + 12);
	f->unobserved_weight = read_double(bytes + 16);
	f->regularization = read_double(bytes + 24);
	if (f->n_items < 1 || !(f->unobserved_weight >= 0) || !isfinite(f->unobserved_weight) ||
		!(f->regularization > 0) || !isfinite(f->regularization))
		return NULL;
	for (int32_t k = 0; k < f->dimensions - 1; k++)
	{
		f->diagonal[k] = read_double(bytes + HEAD_BYTES + 8 * (size_t) k);
		if (!(f->diagonal[k] >= 0) || !isfinite(f->diagonal[k]))
			return NULL;
	}
	return f;
}

/* ---- the user ---- */

/* Counts work; true = stop. */
static bool
tick(int64_t *work, int64_t more, MrPoll poll, void *arg)
{
	*work += more;
	if (*work < POLL_WORK)
		return false;
	*work = 0;
	return poll && poll(arg);
}

/*
 * Solve a x = b, a symmetric and positive definite, [n][n], lower part, which becomes its
 * Cholesky factor; b becomes x.
 */
static MrStatus
solve(int32_t n, double *a, double *b, int64_t *work, MrPoll poll, void *arg)
{
	for (int32_t i = 0; i < n; i++)
	{
		double	   *row = a + (size_t) i * n;

		if (tick(work, (int64_t) i * i / 2 + 16, poll, arg))
			return MR_STOPPED;
		for (int32_t j = 0; j <= i; j++)
		{
			const double *other = a + (size_t) j * n;
			double		sum = row[j];

			for (int32_t k = 0; k < j; k++)
				sum -= row[k] * other[k];
			if (j < i)
				row[j] = sum / other[j];
			else if (sum > 0)
				row[i] = sqrt(sum);
			else
				return MR_DIVERGED;
		}
		for (int32_t k = 0; k < i; k++)
			b[i] -= row[k] * b[k];
		b[i] /= row[i];
	}
	for (int32_t i = n - 1; i >= 0; i--)
	{
		b[i] /= a[(size_t) i * n + i];
		for (int32_t k = 0; k < i; k++)
			b[k] -= a[(size_t) i * n + k] * b[i];
	}
	return MR_OK;
}

/* n >= width: the system in the coordinates. */
static MrStatus
solve_dense(MrFoldIn *f, const float *likes, int32_t n, double ridge, double *x, int64_t *work, MrPoll poll, void *arg)
{
	int32_t		width = f->dimensions - 1;

	memset(f->normal, 0, (size_t) width * width * sizeof(double));
	memset(x, 0, width * sizeof(double));
	for (int32_t t = 0; t < n; t++)
	{
		const float *v = likes + (size_t) t * f->stride;

		if (tick(work, (int64_t) width * width / 2, poll, arg))
			return MR_STOPPED;
		for (int32_t i = 0; i < width; i++)
		{
			double	   *row = f->normal + (size_t) i * width;

			x[i] += v[i];
			for (int32_t j = 0; j <= i; j++)
				row[j] += (double) v[i] * v[j];
		}
	}
	for (int32_t i = 0; i < width; i++)
		f->normal[(size_t) i * width + i] += f->diagonal[i] + ridge;
	return solve(width, f->normal, x, work, poll, arg);
}

/* n < width: (I + V D^-1 V') c = 1, x = D^-1 V' c, D = a0 G + r I. */
static MrStatus
solve_sparse(MrFoldIn *f, const float *likes, int32_t n, double ridge, double *x, int64_t *work, MrPoll poll, void *arg)
{
	int32_t		width = f->dimensions - 1;
	double	   *c = x + width;
	MrStatus	status;

	for (int32_t i = 0; i < n; i++)
	{
		if (tick(work, (int64_t) (i + 1) * width, poll, arg))
			return MR_STOPPED;
		c[i] = 1;
		for (int32_t j = 0; j <= i; j++)
		{
			const float *v = likes + (size_t) i * f->stride;
			const float *w = likes + (size_t) j * f->stride;
			double		sum = i == j;

			for (int32_t k = 0; k < width; k++)
				sum += (double) v[k] * w[k] / (f->diagonal[k] + ridge);
			f->normal[(size_t) i * n + j] = sum;
		}
	}
	status = solve(n, f->normal, c, work, poll, arg);
	if (status != MR_OK)
		return status;
	memset(x, 0, width * sizeof(double));
	for (int32_t i = 0; i < n; i++)
		for (int32_t k = 0; k < width; k++)
			x[k] += c[i] * likes[(size_t) i * f->stride + k];
	for (int32_t k = 0; k < width; k++)
		x[k] /= f->diagonal[k] + ridge;
	return MR_OK;
}

/*
 * The user who likes `likes` [n][stride], n > 0, into user [stride], of length 1, 0 in the
 * extra coordinate.  If there is no direction, or the system cannot be solved, the user
 * stays as it was.  Returns MR_OK or MR_STOPPED.
 */
MrStatus
mr_fold_in_als_solve(MrFoldIn *f, const float *likes, int32_t n, float *user, MrPoll poll, void *arg)
{
	int32_t		width = f->dimensions - 1;
	double		ridge = f->regularization * (n + f->unobserved_weight * f->n_items);
	double	   *x = f->right;
	double		square = 0;
	int64_t		work = 0;
	MrStatus	status;

	status = n < width ? solve_sparse(f, likes, n, ridge, x, &work, poll, arg)
		: solve_dense(f, likes, n, ridge, x, &work, poll, arg);
	if (status == MR_STOPPED)
		return MR_STOPPED;
	for (int32_t k = 0; k < width; k++)
		square += x[k] * x[k];
	if (status != MR_OK || !(square > 0) || !isfinite(square))
		return MR_OK;
	for (int32_t k = 0; k < width; k++)
		user[k] = (float) (x[k] / sqrt(square));
	user[width] = 0;
	return MR_OK;
}
