/*
 * sgemm_peak.c
 *		How fast the machine multiplies matrices on one core: the measure of speed.sh.
 *
 *		cc -std=gnu11 -O2 -Isrc -o sgemm_peak test/bench/sgemm_peak.c src/math/gemm.c -ldl
 *
 * Prints Gflop per second of processor time of a product of two 1,024 x 1,024 matrices by
 * the library that trainings use, the best of 20.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "math/gemm.h"

#define SIZE 1024
#define ROUNDS 20

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + 1e-9 * now.tv_nsec;
}

int
main(void)
{
	float	   *a = malloc(SIZE * SIZE * sizeof(float));
	float	   *b = malloc(SIZE * SIZE * sizeof(float));
	float	   *c = malloc(SIZE * SIZE * sizeof(float));
	const char *why = mr_gemm_load();
	double		best = 0;

	if (why || a == NULL || b == NULL || c == NULL)
	{
		fprintf(stderr, "%s\n", why ? why : "out of memory");
		return 1;
	}
	for (int i = 0; i < SIZE * SIZE; i++)
	{
		a[i] = (float) (i % 7) - 3;
		b[i] = (float) (i % 11) - 5;
	}
	for (int round = 0; round < ROUNDS; round++)
	{
		double		start = seconds();
		double		speed;

		mr_gemm(MR_AS_IS, MR_AS_IS, SIZE, SIZE, SIZE, 1, a, SIZE, b, SIZE, 0, c, SIZE);
		speed = 2e-9 * SIZE * SIZE * SIZE / (seconds() - start);
		if (speed > best)
			best = speed;
	}
	printf("%.1f\n", best);
	return 0;
}
