/*
 * pca.c
 *		The two directions in which points vary most, and the points along them.
 *
 * Up to MAX_EXACT coordinates: the eigenvectors of the covariance, exactly.
 * With more the matrix would be large and LAPACK could not be interrupted, so a
 * small subspace is turned towards the first eigenvectors, round after round
 * (N. Halko, P. Martinsson, J. Tropp, SIAM Review 53(2), 2011, algorithm 4.4, with
 * orthonormal bases by the eigenvectors of their products):
 *
 *		Z = X' (X B)		[dim][l]	a round
 *		B = orthonormal(Z)
 *		(X B)' (X B)		[l][l]		its eigenvalues approach those of X' X
 *
 * until the first two stand still.  All products are by gemm, in blocks of rows.
 */
#include <math.h>
#include <string.h>

#include "map/tsne.h"
#include "math/gemm.h"
#include "math/lapack.h"
#include "util/rng.h"

/* The largest covariance that is made: one call of LAPACK on it takes milliseconds. */
#define MAX_EXACT 128

/* Columns of the subspace, and the most rounds. */
#define SUBSPACE 32
#define MAX_ROUNDS 40

/* The first two eigenvalues stand still when they change by less than this part. */
#define STILL 1e-5

/* Multiplications in a block of rows: some milliseconds. */
#define BLOCK_PRODUCTS 50e6

#define VALUES_PER_POLL (1 << 22)

typedef struct Pca
{
	const MrMapInput *in;
	int			l;				/* columns: dim or SUBSPACE */
	int			block;			/* rows at once */
	float	   *basis;			/* [dim][l]; not used if l = dim */
	float	   *turned;			/* [dim][l], Z */
	float	   *product;		/* [block][l], of a block of rows with the basis */
	float	   *part;			/* [l][l] of a block */
	double	   *matrix;			/* [l][l], then its eigenvectors in rows */
	double	   *values;			/* [l], ascending */
	double	   *doubles;		/* scratch of LAPACK */
	int		   *ints;
	float	   *direction;		/* [2][dim] */
} Pca;

static int
columns_of(int dim)
{
	return dim <= MAX_EXACT ? dim : SUBSPACE;
}

static int
block_of(int n, int dim)
{
	double		rows = BLOCK_PRODUCTS / ((double) dim * columns_of(dim));

	return rows < 1 ? 1 : rows > n ? n : (int) rows;
}

/* Bytes of memory for mr_pca(). */
size_t
mr_pca_bytes(int n, int dim)
{
	size_t		l = columns_of(dim);

	return 2 * mr_map_padded(sizeof(float) * dim * l) + mr_map_padded(sizeof(float) * block_of(n, dim) * l) +
		mr_map_padded(sizeof(float) * l * l) + mr_map_padded(sizeof(double) * l * l) +
		mr_map_padded(sizeof(double) * l) + mr_map_padded(sizeof(double) * MR_EIGEN_DOUBLES(l)) + mr_map_padded(sizeof(int) * MR_EIGEN_INTS(l)) +
		mr_map_padded(sizeof(float) * 2 * dim);
}

static void
attach(Pca *pca, const MrMapInput *in, void *memory)
{
	char	   *next = memory;
	size_t		l = columns_of(in->dim);

	pca->in = in;
	pca->l = (int) l;
	pca->block = block_of(in->n, in->dim);
	pca->basis = mr_map_carve(&next, sizeof(float) * in->dim * l);
	pca->turned = mr_map_carve(&next, sizeof(float) * in->dim * l);
	pca->product = mr_map_carve(&next, sizeof(float) * pca->block * l);
	pca->part = mr_map_carve(&next, sizeof(float) * l * l);
	pca->matrix = mr_map_carve(&next, sizeof(double) * l * l);
	pca->values = mr_map_carve(&next, sizeof(double) * l);
	pca->doubles = mr_map_carve(&next, sizeof(double) * MR_EIGEN_DOUBLES(l));
	pca->ints = mr_map_carve(&next, sizeof(int) * MR_EIGEN_INTS(l));
	pca->direction = mr_map_carve(&next, sizeof(float) * 2 * in->dim);
}

/* The matrix becomes its eigenvectors, in rows. */
static bool
find_vectors(Pca *pca)
{
	return mr_eigen(pca->l, pca->matrix, pca->values, pca->doubles, pca->ints);
}

/* matrix += A' A for A [rows][l]. */
static void
add_gram(Pca *pca, const float *a, int rows)
{
	int			l = pca->l;

	mr_gemm(MR_TRANSPOSED, MR_AS_IS, l, l, rows, 1, a, l, a, l, 0, pca->part, l);
	for (int i = 0; i < l * l; i++)
		pca->matrix[i] += pca->part[i];
}

/*
 * matrix = (X B)' (X B), or X' X if there is no basis; if wanted, turned = X' X B.
 */
static MrMapStatus
project(Pca *pca, bool with_basis, bool with_turned)
{
	const MrMapInput *in = pca->in;
	int			l = pca->l;

	memset(pca->matrix, 0, sizeof(double) * l * l);
	for (int from = 0; from < in->n; from += pca->block)
	{
		const float *x = in->x + (size_t) from * in->dim;
		int			rows = in->n - from < pca->block ? in->n - from : pca->block;

		if (in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		if (with_basis)
			mr_gemm(MR_AS_IS, MR_AS_IS, rows, l, in->dim, 1, x, in->dim, pca->basis, l, 0, pca->product, l);
		add_gram(pca, with_basis ? pca->product : x, rows);
		if (with_turned)
			mr_gemm(MR_TRANSPOSED, MR_AS_IS, in->dim, l, rows, 1, x, in->dim, pca->product, l,
					from > 0 ? 1 : 0, pca->turned, l);
	}
	return MR_MAP_OK;
}

/*
 * basis = turned, made orthonormal: with turned' turned = V S V', basis = turned V
 * S^-1/2.  Directions that hold nothing become 0.
 */
static bool
orthonormalise(Pca *pca)
{
	int			l = pca->l;
	int			dim = pca->in->dim;

	memset(pca->matrix, 0, sizeof(double) * l * l);
	add_gram(pca, pca->turned, dim);
	if (!find_vectors(pca))
		return false;
	for (int i = 0; i < l; i++)
	{
		double		value = pca->values[i];
		double		factor = value > 1e-6 * pca->values[l - 1] && value > 0 ? 1 / sqrt(value) : 0;

		for (int j = 0; j < l; j++)
			pca->part[i * l + j] = (float) (factor * pca->matrix[i * l + j]);
	}
	mr_gemm(MR_AS_IS, MR_TRANSPOSED, dim, l, l, 1, pca->turned, l, pca->part, l, 0, pca->basis, l);
	return true;
}

static void
draw_turned(Pca *pca)
{
	size_t		n = (size_t) pca->in->dim * pca->l;
	MrRng		rng;

	mr_rng_seed(&rng, pca->in->seed);
	for (size_t i = 0; i < n; i++)
		pca->turned[i] = (float) mr_rng_normal(&rng);
}

/* The basis turns until the first two values stand still. */
static MrMapStatus
turn(Pca *pca)
{
	int			last = pca->l - 1;
	double		before[2] = {0, 0};

	draw_turned(pca);
	for (int round = 0; round < MAX_ROUNDS; round++)
	{
		MrMapStatus status;
		bool		still;

		if (!orthonormalise(pca))
			return MR_MAP_FAILED;
		status = project(pca, true, true);
		if (status != MR_MAP_OK)
			return status;
		if (!find_vectors(pca))
			return MR_MAP_FAILED;
		still = fabs(pca->values[last] - before[0]) <= STILL * pca->values[last] &&
			fabs(pca->values[last - 1] - before[1]) <= STILL * pca->values[last - 1];
		if (still)
			break;
		before[0] = pca->values[last];
		before[1] = pca->values[last - 1];
	}
	return MR_MAP_OK;
}

/* Direction i in the points' coordinates; its sign is such that the largest part is positive. */
static void
take_direction(Pca *pca, int i)
{
	int			dim = pca->in->dim;
	int			l = pca->l;
	const double *vector = pca->matrix + (size_t) (l - 1 - i) * l;
	float	   *direction = pca->direction + (size_t) i * dim;
	float		largest = 0;

	for (int d = 0; d < dim; d++)
	{
		double		sum = 0;

		if (l == dim)
			sum = vector[d];
		else
			for (int j = 0; j < l; j++)
				sum += vector[j] * pca->basis[(size_t) d * l + j];
		direction[d] = (float) sum;
		if (fabsf(direction[d]) > fabsf(largest))
			largest = direction[d];
	}
	for (int d = 0; largest < 0 && d < dim; d++)
		direction[d] = -direction[d];
}

/* SUM of all squares: n times the variance. */
static MrMapStatus
add_squares(const MrMapInput *in, double *total)
{
	*total = 0;
	for (size_t i = 0; i < (size_t) in->n * in->dim; i++)
	{
		if (i % VALUES_PER_POLL == 0 && in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		*total += (double) in->x[i] * in->x[i];
	}
	return MR_MAP_OK;
}

/*
 * y [n][2]: the centred points along the two directions of greatest variance, the
 * greater one first; share: of the variance.  mr_lapack_load() must have succeeded.
 */
MrMapStatus
mr_pca(const MrMapInput *in, void *memory, float *y, double share[2])
{
	double		total;
	MrMapStatus status = add_squares(in, &total);
	Pca			pca;

	attach(&pca, in, memory);
	memset(pca.direction, 0, sizeof(float) * 2 * in->dim);
	if (status == MR_MAP_OK)
		status = pca.l == in->dim ? project(&pca, false, false) : turn(&pca);
	if (status != MR_MAP_OK)
		return status;
	if (pca.l == in->dim && !find_vectors(&pca))
		return MR_MAP_FAILED;
	for (int i = 0; i < 2; i++)
	{
		share[i] = 0;
		if (i >= pca.l)
			continue;
		take_direction(&pca, i);
		if (total > 0 && pca.values[pca.l - 1 - i] > 0)
			share[i] = pca.values[pca.l - 1 - i] / total;
	}
	for (int from = 0; from < in->n; from += pca.block)
	{
		int			rows = in->n - from < pca.block ? in->n - from : pca.block;

		if (in->poll(in->poll_arg))
			return MR_MAP_STOPPED;
		mr_gemm(MR_AS_IS, MR_TRANSPOSED, rows, 2, in->dim, 1, in->x + (size_t) from * in->dim, in->dim,
				pca.direction, in->dim, 0, y + (size_t) from * 2, 2);
	}
	return MR_MAP_OK;
}
