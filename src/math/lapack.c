/*
 * lapack.c
 *		The part of BLAS and LAPACK that least squares need (see lapack.h).
 *
 * The functions are looked up in the library that gemm.c has opened.  LAPACK's own
 * interface is Fortran's: everything by reference, matrices column-major, and behind
 * the arguments the length of each text.  A symmetric matrix is its own transpose, so
 * the row-major upper part is what Fortran calls the lower one.
 */
#include <string.h>

#include "math/gemm.h"
#include "math/lapack.h"

/* The constants of the C interface of BLAS. */
#define CBLAS_ROW_MAJOR 101
#define CBLAS_NO_TRANS 111
#define CBLAS_TRANS 112
#define CBLAS_UPPER 121

typedef void (*SsyrkFunction) (int order, int uplo, int transpose, int n, int k, float alpha, const float *a,
							   int lda, float beta, float *c, int ldc);
typedef void (*SpotrfFunction) (const char *uplo, const int *n, float *a, const int *lda, int *info, size_t length);
typedef void (*SpotrsFunction) (const char *uplo, const int *n, const int *columns, const float *a, const int *lda,
								float *b, const int *ldb, int *info, size_t length);
typedef void (*DsyevdFunction) (const char *job, const char *uplo, const int *n, double *a, const int *lda,
								double *values, double *doubles, const int *n_doubles, int *ints,
								const int *n_ints, int *info, size_t job_length, size_t uplo_length);

/* Set once by mr_lapack_load(), never changed afterwards. */
static SsyrkFunction ssyrk_function;
static SpotrfFunction spotrf_function;
static SpotrsFunction spotrs_function;
static DsyevdFunction dsyevd_function;

/*
 * Open the library unless this process has it already.  Returns NULL, or why its
 * functions are not available (valid until the next call).
 */
const char *
mr_lapack_load(void)
{
	const char *error = mr_gemm_load();

	if (error != NULL)
		return error;
	mr_gemm_find("cblas_ssyrk", &ssyrk_function, sizeof(ssyrk_function));
	mr_gemm_find("spotrf_", &spotrf_function, sizeof(spotrf_function));
	mr_gemm_find("spotrs_", &spotrs_function, sizeof(spotrs_function));
	mr_gemm_find("dsyevd_", &dsyevd_function, sizeof(dsyevd_function));
	if (ssyrk_function == NULL || spotrf_function == NULL || spotrs_function == NULL || dsyevd_function == NULL)
		return "the library was built without LAPACK";
	return NULL;
}

/*
 * C = A'A + beta C, upper part.
 *
 *	A  k x n	rows [k][ld >= n]
 *	C  n x n	[n][ldc >= n]; not read when beta is 0
 */
void
mr_syrk_columns(int n, int k, const float *rows, int ld, float beta, float *c, int ldc)
{
	ssyrk_function(CBLAS_ROW_MAJOR, CBLAS_UPPER, CBLAS_TRANS, n, k, 1, rows, ld, beta, c, ldc);
}

/*
 * C = A A', upper part.
 *
 *	A  n x k	rows [n][ld >= k]
 *	C  n x n	[n][ldc >= n]
 */
void
mr_syrk_rows(int n, int k, const float *rows, int ld, float *c, int ldc)
{
	ssyrk_function(CBLAS_ROW_MAJOR, CBLAS_UPPER, CBLAS_NO_TRANS, n, k, 1, rows, ld, 0, c, ldc);
}

/*
 * Solve A x = b for symmetric positive definite A, n x n, upper part, [n][lda].
 *
 * x	[n] in: b; out: the solution
 *
 * A is overwritten.  False if A is not positive definite: x is then of no use.
 */
bool
mr_cholesky_solve(int n, float *a, int lda, float *x)
{
	int			one = 1;
	int			info = 0;

	spotrf_function("L", &n, a, &lda, &info, 1);
	if (info == 0)
		spotrs_function("L", &n, &one, a, &lda, x, &n, &info, 1);
	return info == 0;
}

/*
 * Eigenvalues, ascending, and eigenvectors of a symmetric matrix: A = SUM over i of
 * values[i] q_i q_i'.
 *
 * a		[n][n] in: upper part of A; out: row i is the eigenvector q_i, of length 1
 * values	[n]
 * doubles, ints	scratch, MR_EIGEN_DOUBLES(n) and MR_EIGEN_INTS(n)
 *
 * False if the iteration did not converge, which what is not finite brings about.
 */
bool
mr_eigen(int n, double *a, double *values, double *doubles, int *ints)
{
	int			n_doubles = (int) MR_EIGEN_DOUBLES(n);
	int			n_ints = (int) MR_EIGEN_INTS(n);
	int			info = 0;

	dsyevd_function("V", "L", &n, a, &n, values, doubles, &n_doubles, ints, &n_ints, &info, 1, 1);
	return info == 0;
}
