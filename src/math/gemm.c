/*
 * gemm.c
 *		Matrix products by OpenBLAS, opened at first use, on one thread.
 *
 * The library is not linked but opened with dlopen() by the first training of a
 * process, because both builds that distributions ship share one soname and the
 * pthread build starts its threads when it is loaded: linked, every server
 * process would pay for it and would carry threads that the server does not
 * know of.  So
 *	- the serial build is preferred (path found at build time, MR_OPENBLAS);
 *	- OPENBLAS_NUM_THREADS=1 is in the environment while any build loads, which
 *	  keeps the pthread build from starting a thread;
 *	- all signals are blocked meanwhile: should a build start a thread all the
 *	  same, that thread inherits the mask and never runs one of our handlers.
 *
 * The library stays open until the process ends.  Nothing here raises an error:
 * mr_gemm_load() returns a text.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "math/gemm.h"

#ifndef MR_OPENBLAS
#define MR_OPENBLAS ""
#endif

/* The constants of the C interface of BLAS. */
#define CBLAS_ROW_MAJOR 101
#define CBLAS_NO_TRANS 111
#define CBLAS_TRANS 112

typedef void (*SgemmFunction) (int order, int transpose_a, int transpose_b, int m, int n, int k,
							   float alpha, const float *a, int lda, const float *b, int ldb,
							   float beta, float *c, int ldc);
typedef void (*SetThreadsFunction) (int threads);
typedef char *(*ConfigFunction) (void);
typedef int (*ParallelFunction) (void);

/* Set once by mr_gemm_load(), never changed afterwards. */
static SgemmFunction sgemm_function;
static ConfigFunction config_function;
static ParallelFunction parallel_function;
static void *open_handle;		/* of dlopen() */

static char load_error[512];

/* Keeps the pthread build of the library from starting threads. */
#define THREADS_VARIABLE "OPENBLAS_NUM_THREADS"

/* The library at `path`, or the first usual one that opens; load_error says why not. */
static void *
open_library(const char *path)
{
	const char *const usual[] = {MR_OPENBLAS, "libopenblas.so.0", "libopenblas.so"};
	const char *const given[] = {path, "", ""};
	const char *const *names = path != NULL ? given : usual;

	load_error[0] = '\0';
	for (int i = 0; i < 3; i++)
	{
		void	   *library;

		if (names[i][0] == '\0')
			continue;
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		if (library != NULL)
			return library;
		if (load_error[0] == '\0')
			snprintf(load_error, sizeof(load_error), "%s", dlerror());
	}
	return NULL;
}

/* As open_library(), with one thread in the environment, which is put back. */
static void *
open_library_serial(const char *path)
{
	const char *current = getenv(THREADS_VARIABLE);
	char		saved[32] = "";
	void	   *library;

	if (current != NULL)
		snprintf(saved, sizeof(saved), "%s", current);
	if (setenv(THREADS_VARIABLE, "1", 1) != 0)
	{
		snprintf(load_error, sizeof(load_error), "could not set %s in the environment", THREADS_VARIABLE);
		return NULL;
	}
	library = open_library(path);
	if (current != NULL)
		setenv(THREADS_VARIABLE, saved, 1);
	else
		unsetenv(THREADS_VARIABLE);
	return library;
}

/* An object pointer of dlsym() as a function pointer, without a cast that ISO C forbids. */
static void
find_function(void *library, const char *name, void *function, size_t size)
{
	void	   *symbol = dlsym(library, name);

	memcpy(function, &symbol, size);
}

/*
 * Open the library unless this process has it already.
 *
 * Returns NULL, or why matrix products are not available (valid until the next
 * call); a later call tries again.
 */
const char *
mr_gemm_load(void)
{
	return mr_gemm_load_from(NULL);
}

/* As mr_gemm_load(), from this file only; NULL: the usual places. */
const char *
mr_gemm_load_from(const char *path)
{
	SetThreadsFunction set_threads;
	SgemmFunction sgemm;
	sigset_t	all;
	sigset_t	before;
	void	   *library;

	if (sgemm_function != NULL)
		return NULL;
	sigfillset(&all);
	if (sigprocmask(SIG_BLOCK, &all, &before) != 0)
		return "could not block signals";
	library = open_library_serial(path);
	if (library != NULL)
	{
		find_function(library, "cblas_sgemm", &sgemm, sizeof(sgemm));
		find_function(library, "openblas_set_num_threads", &set_threads, sizeof(set_threads));
		find_function(library, "openblas_get_config", &config_function, sizeof(config_function));
		find_function(library, "openblas_get_parallel", &parallel_function, sizeof(parallel_function));
		if (set_threads != NULL)
			set_threads(1);
		sgemm_function = sgemm;
		open_handle = sgemm != NULL ? library : NULL;
		if (sgemm == NULL)
		{
			snprintf(load_error, sizeof(load_error), "the library has no function cblas_sgemm");
			dlclose(library);
		}
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return sgemm_function != NULL ? NULL : load_error;
}

/*
 * A further function of the library, NULL if it has none of this name or is not
 * loaded; function points to a function pointer of `size` bytes.
 */
void
mr_gemm_find(const char *name, void *function, size_t size)
{
	if (open_handle != NULL)
		find_function(open_handle, name, function, size);
	else
		memset(function, 0, size);
}

/* Has mr_gemm_load() succeeded in this process? */
bool
mr_gemm_loaded(void)
{
	return sgemm_function != NULL;
}

/* The library's own description of its build, for a status text; "" if unknown. */
const char *
mr_gemm_config(void)
{
	const char *config = sgemm_function != NULL && config_function != NULL ? config_function() : NULL;

	return config != NULL ? config : "";
}

/* How the library was built: 0 serial, 1 threads, 2 OpenMP, -1 unknown. */
int
mr_gemm_parallel(void)
{
	return sgemm_function != NULL && parallel_function != NULL ? parallel_function() : -1;
}

/*
 * C = alpha op(A) op(B) + beta C, all matrices row-major.
 *
 *	op(A)  m x k	A is [m][lda >= k], or [k][lda >= m] when transposed
 *	op(B)  k x n	B is [k][ldb >= n], or [n][ldb >= k] when transposed
 *	C	   m x n	[m][ldc >= n]; not read when beta is 0
 *
 * mr_gemm_load() must have succeeded.  Nothing happens when m or n is 0.
 */
void
mr_gemm(MrTranspose transpose_a, MrTranspose transpose_b, int m, int n, int k,
		float alpha, const float *a, int lda, const float *b, int ldb,
		float beta, float *c, int ldc)
{
	if (m <= 0 || n <= 0)
		return;
	sgemm_function(CBLAS_ROW_MAJOR,
				   transpose_a == MR_TRANSPOSED ? CBLAS_TRANS : CBLAS_NO_TRANS,
				   transpose_b == MR_TRANSPOSED ? CBLAS_TRANS : CBLAS_NO_TRANS,
				   m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/*
 * One row of a product where the library could not be loaded:
 * dots[j] = alpha u . row j, for rows [n][k].
 */
void
mr_plain_dots(const float *u, const float *rows, int n, int k, float alpha, float *dots)
{
	for (int j = 0; j < n; j++)
	{
		const float *v = rows + (size_t) j * k;
		float		even = 0;
		float		odd = 0;
		int			l = 0;

		for (; l + 2 <= k; l += 2)
		{
			even += u[l] * v[l];
			odd += u[l + 1] * v[l + 1];
		}
		if (l < k)
			even += u[l] * v[l];
		dots[j] = alpha * (even + odd);
	}
}
