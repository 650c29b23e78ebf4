/*
 * als_solve.c
 *		The least squares of ALS (see als.h, als_state.h).
 *
 * Given the other side's rows y, a row x with interactions S solves
 *
 *		(a0 G + r I + SUM over S of w y y') x = SUM over S of w y
 *		G = SUM over all y of y y'	r = lambda (SUM over S of w + a0 n_other)
 *
 * The axes.  Scores do not change when all rows of both sides are turned alike, so
 * the given side is turned onto the eigenvectors of G first.  G then is diagonal, and
 * with it D = a0 G + r I, the regular part, whatever r is.  With B for the matrix of the
 * rows sqrt(w) y of S, n of them, and s for the vector of sqrt(w):
 *
 *		n >= width	(D + B'B) x = B's				by Cholesky, width x width
 *		n < width	(I + B D^-1 B') c = s			by Cholesky, n x n
 *					x = D^-1 B' c					(matrix inversion lemma)
 *
 * The second costs n^2 width instead of width^3, which is what makes rows of a few
 * interactions cheap, and sparse data have many of them.
 *
 * The value of the row's part of the objective at the solution comes for free:
 * SUM of w - x.B's in the first case, s.c in the second.
 *
 * Conjugate gradients need no matrix, only products with D and with rows of S.  They
 * start at the row as it was, turned like the others, and are preconditioned by the
 * diagonal of D plus that of G in the share that the row has of it.
 */
#include <math.h>
#include <string.h>

#include "math/gemm.h"
#include "math/lapack.h"
#include "model/als_state.h"

/* Rows of a Gram matrix that are summed in single precision. */
#define GRAM_ROWS 4096

/* Steps of conjugate gradients per row and sweep; it stops when the residual has fallen to CG_ENOUGH of b. */
#define CG_STEPS 6
#define CG_ENOUGH 1e-5f

/* ---- the given side ---- */

/*
 * Add the outer products of rows `first` to `end` - 1 of a side to gram, [width][width],
 * upper part.
 */
MrStatus
mr_als_gram(const MrAls *als, MrAlsSideName given, int32_t first, int32_t end, double *gram,
			MrAlsScratch *scratch, MrPoll poll, void *arg)
{
	int32_t		width = als->width;

	for (int32_t row = first; row < end; row += GRAM_ROWS)
	{
		int32_t		n = end - row < GRAM_ROWS ? end - row : GRAM_ROWS;
		const float *points = als->side[given].points + (size_t) row * als->stride;

		for (int32_t i = 0; i < n; i += als->panel_rows)
		{
			int32_t		part = n - i < als->panel_rows ? n - i : als->panel_rows;

			if (mr_als_tick(scratch, (int64_t) part * width * width, poll, arg))
				return MR_STOPPED;
			mr_syrk_columns(width, part, points + (size_t) i * als->stride, als->stride, i > 0, scratch->normal,
							als->stride);
		}
		for (int32_t i = 0; i < width; i++)
			for (int32_t k = i; k < width; k++)
				gram[(size_t) i * width + k] += scratch->normal[(size_t) i * als->stride + k];
	}
	return MR_OK;
}

/* als->gram as mr_als_gram() left it -> als->spectrum, als->axes. */
MrStatus
mr_als_axes(MrAls *als)
{
	int32_t		width = als->width;

	for (int32_t i = 0; i < width; i++)
		for (int32_t k = i; k < width; k++)
			if (!isfinite(als->gram[(size_t) i * width + k]))
				return MR_DIVERGED;
	if (!mr_eigen(width, als->gram, als->spectrum, als->eigen_doubles, als->eigen_ints))
		return MR_DIVERGED;
	for (int32_t i = 0; i < width; i++)
	{
		if (als->spectrum[i] < 0)
			als->spectrum[i] = 0;	/* what rounding makes of 0 */
		memset(als->axes + (size_t) i * als->stride, 0, als->stride * sizeof(float));
		for (int32_t k = 0; k < width; k++)
			als->axes[(size_t) i * als->stride + k] = (float) als->gram[(size_t) i * width + k];
	}
	return MR_OK;
}

/* Rows `first` to `end` - 1 of a side, turned onto the axes, in place. */
MrStatus
mr_als_turn(const MrAls *als, MrAlsSideName side, int32_t first, int32_t end, MrAlsScratch *scratch,
			MrPoll poll, void *arg)
{
	int32_t		width = als->width;
	int32_t		stride = als->stride;

	for (int32_t row = first; row < end; row += als->panel_rows)
	{
		int32_t		n = end - row < als->panel_rows ? end - row : als->panel_rows;
		float	   *points = als->side[side].points + (size_t) row * stride;

		if (mr_als_tick(scratch, (int64_t) n * width * width, poll, arg))
			return MR_STOPPED;
		mr_gemm(MR_AS_IS, MR_TRANSPOSED, n, width, width, 1, points, stride, als->axes, stride, 0, scratch->panel, stride);
		for (int32_t i = 0; i < n; i++)
			memcpy(points + (size_t) i * stride, scratch->panel + (size_t) i * stride, width * sizeof(float));
	}
	return MR_OK;
}

/* ---- one row ---- */

/* A row that is being solved. */
typedef struct Row
{
	const MrAls *als;
	MrAlsScratch *s;
	const int32_t *columns;		/* [n] */
	const float *weights;		/* [n] or NULL */
	const float *others;		/* the given side's points */
	int64_t		n;
	int32_t		n_others;		/* rows of the given side */
	double		weight_sum;
	double		regularization; /* r */
	float	   *x;				/* [stride] */
	double		objective;		/* out */
} Row;

/* D and, where it is wanted, D^-1/2. */
static void
set_diagonal(Row *row, bool root)
{
	const MrAls *als = row->als;

	for (int32_t k = 0; k < als->width; k++)
		row->s->diagonal[k] = (float) (als->hyper.als_unobserved_weight * als->spectrum[k] + row->regularization);
	for (int32_t k = als->width; k < als->stride; k++)
		row->s->diagonal[k] = 1;
	for (int32_t k = 0; root && k < als->stride; k++)
		row->s->root[k] = 1 / sqrtf(row->s->diagonal[k]);
}

/* Interactions `first` to `first` + n - 1 as rows of the panel: sqrt(w) y. */
static void
gather(Row *row, int64_t first, int32_t n)
{
	const MrAls *als = row->als;
	size_t		stride = als->stride;
	float	   *to = row->s->panel;

	for (int32_t i = 0; i < n; i++, to += stride)
	{
		const float *from = row->others + (size_t) row->columns[first + i] * stride;

		row->s->factor[i] = row->weights ? sqrtf(row->weights[first + i]) : 1;
		if (row->weights)
			als->math->scale(to, row->s->factor[i], from, stride);
		else
			memcpy(to, from, stride * sizeof(float));
	}
}

/* The large form; see the head of this file. */
static MrStatus
solve_dense(Row *row, MrPoll poll, void *arg)
{
	const MrAls *als = row->als;
	MrAlsScratch *s = row->s;
	int32_t		width = als->width;
	size_t		stride = als->stride;
	float	   *right = s->vector;

	set_diagonal(row, false);
	memset(right, 0, stride * sizeof(float));
	for (int64_t first = 0; first < row->n; first += als->panel_rows)
	{
		int32_t		n = row->n - first < als->panel_rows ? (int32_t) (row->n - first) : als->panel_rows;

		if (mr_als_tick(s, (int64_t) n * width * width, poll, arg))
			return MR_STOPPED;
		gather(row, first, n);
		als->math->gather_axpy(right, s->panel, stride, s->place, s->factor, n);
		mr_syrk_columns(width, n, s->panel, (int) stride, first > 0, s->normal, (int) stride);
	}
	for (int32_t k = 0; k < width; k++)
		s->normal[k * stride + k] += s->diagonal[k];
	memcpy(row->x, right, stride * sizeof(float));
	if (mr_als_tick(s, (int64_t) width * width * width / 3, poll, arg))
		return MR_STOPPED;
	if (!mr_cholesky_solve(width, s->normal, (int) stride, row->x))
		return MR_DIVERGED;
	row->objective = row->weight_sum - als->math->dot(row->x, right, stride);
	return MR_OK;
}

/* The small form, for fewer interactions than coordinates. */
static MrStatus
solve_sparse(Row *row, MrPoll poll, void *arg)
{
	const MrAls *als = row->als;
	MrAlsScratch *s = row->s;
	int32_t		n = (int32_t) row->n;
	size_t		stride = als->stride;
	float	   *c = s->vector;

	if (mr_als_tick(s, (int64_t) (n + 16) * n * als->width, poll, arg))
		return MR_STOPPED;
	set_diagonal(row, true);
	gather(row, 0, n);
	memcpy(c, s->factor, n * sizeof(float));
	for (int32_t i = 0; i < n; i++)
		als->math->multiply(s->panel + i * stride, s->root, stride);
	mr_syrk_rows(n, (int) stride, s->panel, (int) stride, s->normal, (int) stride);
	for (int32_t i = 0; i < n; i++)
		s->normal[i * stride + i] += 1;
	if (!mr_cholesky_solve(n, s->normal, (int) stride, c))
		return MR_DIVERGED;
	memset(row->x, 0, stride * sizeof(float));
	als->math->gather_axpy(row->x, s->panel, stride, s->place, c, n);
	als->math->multiply(row->x, s->root, stride);
	row->objective = 0;
	for (int32_t i = 0; i < n; i++)
		row->objective += (double) s->factor[i] * c[i];
	return MR_OK;
}

/*
 * out += SUM over S of w (constant + sign y.p) y;  *square += SUM of w (constant + sign y.p)^2.
 */
static MrStatus
add_products(Row *row, const float *p, float constant, float sign, float *out, double *square, MrPoll poll, void *arg)
{
	const MrAls *als = row->als;
	MrAlsScratch *s = row->s;
	size_t		stride = als->stride;

	for (int64_t first = 0; first < row->n; first += als->panel_rows)
	{
		int32_t		n = row->n - first < als->panel_rows ? (int32_t) (row->n - first) : als->panel_rows;

		if (mr_als_tick(s, 16 * (int64_t) n * stride, poll, arg))
			return MR_STOPPED;
		for (int32_t i = 0; i < n; i++)
		{
			float		weight = row->weights ? row->weights[first + i] : 1;
			float		value = constant + sign * als->math->dot(p, row->others + row->columns[first + i] * stride, stride);

			*square += (double) weight * value * value;
			s->factor[i] = weight * value;
		}
		als->math->gather_axpy(out, row->others, stride, row->columns + first, s->factor, n);
	}
	return MR_OK;
}

/* Steps of conjugate gradients from row->x. */
static MrStatus
solve_cg(Row *row, MrPoll poll, void *arg)
{
	const MrAls *als = row->als;
	MrAlsScratch *s = row->s;
	size_t		stride = als->stride;
	float	   *residual = s->vector;
	float	   *direction = s->vector + stride;
	float	   *product = s->vector + 2 * stride;
	float	   *scaled = s->vector + 3 * stride;
	double		share = row->weight_sum / row->n_others;
	double		rho = 0;
	double		first_rho = 0;

	set_diagonal(row, false);
	for (int32_t k = 0; k < stride; k++)
	{
		s->root[k] = 1 / (s->diagonal[k] + (k < als->width ? (float) (share * als->spectrum[k]) : 0));
		residual[k] = -s->diagonal[k] * row->x[k];
	}
	row->objective = -als->math->dot(residual, row->x, stride);
	if (add_products(row, row->x, 1, -1, residual, &row->objective, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (int step = 0; step < CG_STEPS; step++)
	{
		double		before = rho;
		double		ignored = 0;
		double		curvature;

		memcpy(scaled, residual, stride * sizeof(float));
		als->math->multiply(scaled, s->root, stride);
		rho = als->math->dot(residual, scaled, stride);
		if (step == 0)
			first_rho = rho;
		if (!(rho > CG_ENOUGH * CG_ENOUGH * first_rho))
			break;
		for (int32_t k = 0; k < stride; k++)
			direction[k] = scaled[k] + (step > 0 ? (float) (rho / before) * direction[k] : 0);
		memcpy(product, direction, stride * sizeof(float));
		als->math->multiply(product, s->diagonal, stride);
		if (add_products(row, direction, 0, 1, product, &ignored, poll, arg) != MR_OK)
			return MR_STOPPED;
		curvature = als->math->dot(direction, product, stride);
		if (!(curvature > 0))
			return MR_DIVERGED;
		als->math->axpy(row->x, (float) (rho / curvature), direction, stride);
		als->math->axpy(residual, (float) (-rho / curvature), product, stride);
		row->objective -= rho * rho / curvature;
	}
	return MR_OK;
}

static double
sum_of_weights(const float *weights, int64_t n)
{
	double		sum = 0;

	if (weights == NULL)
		return (double) n;
	for (int64_t i = 0; i < n; i++)
		sum += weights[i];
	return sum;
}

/*
 * Solve rows `first` to `end` - 1 of `side`; the other side lies on the axes of its
 * own Gram matrix (mr_als_turn), and with conjugate gradients this side, too.
 *
 * *objective	+= the rows' part of the objective, their own regularisation included
 * *penalty		+= that regularisation alone
 *
 * Rows without interactions become 0.  Returns MR_DIVERGED if a matrix is not positive
 * definite: the regularisation is too small for single precision.
 */
MrStatus
mr_als_solve(const MrAls *als, MrAlsSideName side, int32_t first, int32_t end, MrAlsScratch *scratch,
			 double *objective, double *penalty, MrPoll poll, void *arg)
{
	const MrAlsSide *own = &als->side[side];
	const MrAlsSide *other = &als->side[side == MR_ALS_USERS ? MR_ALS_ITEMS : MR_ALS_USERS];

	for (int32_t r = first; r < end; r++)
	{
		Row			row = {als, scratch};
		MrStatus	status;

		row.columns = own->columns + own->start[r];
		row.weights = own->weights ? own->weights + own->start[r] : NULL;
		row.others = other->points;
		row.n_others = other->n;
		row.n = own->start[r + 1] - own->start[r];
		row.x = own->points + (size_t) r * als->stride;
		if (row.n == 0)
		{
			memset(row.x, 0, als->stride * sizeof(float));
			continue;
		}
		row.weight_sum = sum_of_weights(row.weights, row.n);
		row.regularization = als->hyper.als_regularization *
			(row.weight_sum + als->hyper.als_unobserved_weight * other->n);
		if (als->hyper.als_solver == MR_ALS_CG)
			status = solve_cg(&row, poll, arg);
		else if (row.n < als->width && row.n <= als->panel_rows)
			status = solve_sparse(&row, poll, arg);
		else
			status = solve_dense(&row, poll, arg);
		if (status != MR_OK)
			return status;
		*objective += row.objective;
		*penalty += row.regularization * als->math->dot(row.x, row.x, als->stride);
	}
	return MR_OK;
}
