/*
 * lapack.h
 *		Symmetric matrices: sums of outer products, Cholesky, eigenvectors; by
 *		the library of gemm.h, which contains LAPACK, on one thread.
 *
 * Matrices are row-major.  Of a symmetric one the part on and above the diagonal
 * is written and read ("upper").
 */
#ifndef MR_LAPACK_H
#define MR_LAPACK_H

#include <stdbool.h>
#include <stddef.h>

/* Scratch of mr_eigen(): doubles and ints for a matrix of n rows. */
#define MR_EIGEN_DOUBLES(n) (1 + 6 * (size_t) (n) + 2 * (size_t) (n) * (n))
#define MR_EIGEN_INTS(n) (3 + 5 * (size_t) (n))

/* lapack.c */
extern const char *mr_lapack_load(void);
extern void mr_syrk_columns(int n, int k, const float *rows, int ld, float beta, float *c, int ldc);
extern void mr_syrk_rows(int n, int k, const float *rows, int ld, float *c, int ldc);
extern bool mr_cholesky_solve(int n, float *a, int lda, float *x);
extern bool mr_eigen(int n, double *a, double *values, double *doubles, int *ints);

#endif							/* MR_LAPACK_H */
