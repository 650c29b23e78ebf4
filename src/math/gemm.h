/*
 * gemm.h
 *		Matrix products by OpenBLAS, opened at first use, on one thread.
 */
#ifndef MR_GEMM_H
#define MR_GEMM_H

#include <stdbool.h>
#include <stddef.h>

typedef enum MrTranspose
{
	MR_AS_IS,
	MR_TRANSPOSED
} MrTranspose;

/* gemm.c */
extern const char *mr_gemm_load(void);
extern const char *mr_gemm_load_from(const char *path);
extern void mr_gemm_find(const char *name, void *function, size_t size);
extern bool mr_gemm_loaded(void);
extern const char *mr_gemm_config(void);
extern int	mr_gemm_parallel(void);
extern void mr_gemm(MrTranspose transpose_a, MrTranspose transpose_b, int m, int n, int k,
					float alpha, const float *a, int lda, const float *b, int ldb,
					float beta, float *c, int ldc);
extern void mr_plain_dots(const float *u, const float *rows, int n, int k, float alpha, float *dots);

#endif							/* MR_GEMM_H */
