/*
 * gemm_test.c
 *		The matrix products' library: right results, and no thread, no signal
 *		mask and no environment variable left behind, with every build of it
 *		that is installed.
 *
 * A library stays in a process once it is loaded, so each build is tried in a
 * child of its own.
 */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "math/gemm.h"
#include "unit.h"

/* Threads of this process. */
static int
count_threads(void)
{
	DIR		   *dir = opendir("/proc/self/task");
	int			n = 0;

	if (dir == NULL)
		return 1;
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* All four transpositions against plain loops. */
static void
test_product(void)
{
	enum
	{
		M = 5, N = 7, K = 9
	};
	float		a[M * K];
	float		b[K * N];

	for (int i = 0; i < M * K; i++)
		a[i] = (float) (i % 11) - 5;
	for (int i = 0; i < K * N; i++)
		b[i] = (float) (i % 7) - 3;
	for (int form = 0; form < 4; form++)
	{
		bool		ta = form & 1;
		bool		tb = form >> 1;
		float		c[M * N];
		bool		good = true;

		for (int i = 0; i < M * N; i++)
			c[i] = 1;
		mr_gemm(ta ? MR_TRANSPOSED : MR_AS_IS, tb ? MR_TRANSPOSED : MR_AS_IS, M, N, K,
				2, a, ta ? M : K, b, tb ? K : N, 3, c, N);
		for (int i = 0; i < M; i++)
			for (int j = 0; j < N; j++)
			{
				float		sum = 0;

				for (int k = 0; k < K; k++)
					sum += (ta ? a[k * M + i] : a[i * K + k]) * (tb ? b[j * K + k] : b[k * N + j]);
				good = good && c[i * N + j] == 2 * sum + 3;
			}
		ok(good, "product, form %d", form);
	}
	mr_gemm(MR_AS_IS, MR_AS_IS, 0, N, K, 1, a, K, b, N, 0, NULL, N);
	ok(true, "empty product");
}

/* What must hold in a process that has loaded the library. */
static void
test_load(const char *path)
{
	sigset_t	before;
	sigset_t	after;
	int			threads = count_threads();
	const char *error;
	bool		same = true;

	setenv("OPENBLAS_NUM_THREADS", "2", 1);
	sigprocmask(SIG_SETMASK, NULL, &before);
	ok(!mr_gemm_loaded(), "not loaded before it is needed");
	error = mr_gemm_load_from(path);
	ok(error == NULL, "loads: %s", error ? error : mr_gemm_config());
	if (error != NULL)
		return;
	ok(mr_gemm_loaded() && mr_gemm_load() == NULL, "loads once");
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (int s = 1; s < 32; s++)
		same = same && sigismember(&before, s) == sigismember(&after, s);
	ok(same, "signal mask is as before");
	ok(strcmp(getenv("OPENBLAS_NUM_THREADS"), "2") == 0, "environment is as before");
	test_product();
	ok(count_threads() == threads, "no thread: %d before, %d now (build: parallel %d)", threads, count_threads(),
	   mr_gemm_parallel());
}

/* Run the checks in a child, with the given build; true if all pass there. */
static bool
passes_with(const char *path)
{
	pid_t		child;
	int			status = 0;

	fflush(stdout);
	child = fork();
	if (child == 0)
	{
		/* the child's own TAP would confuse the reader of this one */
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(2);
		test_load(path);
		_exit(unit_failed == 0 ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int
main(void)
{
	static const char *const builds[] = {
		"/usr/lib/x86_64-linux-gnu/openblas-serial/libopenblas.so.0",
		"/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0",
		"/usr/lib/x86_64-linux-gnu/openblas-openmp/libopenblas.so.0",
		"/usr/lib/aarch64-linux-gnu/openblas-serial/libopenblas.so.0",
		"/usr/lib/aarch64-linux-gnu/openblas-pthread/libopenblas.so.0"
	};

	ok(mr_gemm_load_from("/nonexistent/libopenblas.so.0") != NULL && !mr_gemm_loaded(), "a missing library is told");
	for (size_t i = 0; i < sizeof(builds) / sizeof(builds[0]); i++)
		if (access(builds[i], R_OK) == 0)
			ok(passes_with(builds[i]), "right and without a thread: %s", builds[i]);
	test_load(NULL);
	return unit_done();
}
