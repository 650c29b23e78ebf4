/*
 * features_fixture.h
 *		Small random features for the unit tests of src/model.
 */
#ifndef MR_FEATURES_FIXTURE_H
#define MR_FEATURES_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "model/features.h"
#include "util/rng.h"

/* Random features; one row in five has none. */
__attribute__((unused))
static void
features_fixture(MrFeatures *f, int32_t n_rows, int32_t n_sparse, int32_t n_dense, double density, uint64_t seed)
{
	MrRng		rng;
	int64_t		n = 0;

	mr_rng_seed(&rng, seed);
	memset(f, 0, sizeof(*f));
	f->n_rows = n_rows;
	f->n_sparse = n_sparse;
	f->n_dense = n_dense;
	f->start = calloc(n_rows + 1, sizeof(int64_t));
	f->column = calloc((size_t) n_rows * n_sparse + 1, sizeof(int32_t));
	f->value = calloc((size_t) n_rows * n_sparse + 1, sizeof(float));
	f->dense = n_dense > 0 ? calloc((size_t) n_rows * n_dense, sizeof(float)) : NULL;
	f->is_present = calloc(n_rows + 1, 1);
	for (int32_t row = 0; row < n_rows; row++)
	{
		f->is_present[row] = row % 5 != 4;
		for (int32_t c = 0; c < n_sparse && f->is_present[row]; c++)
			if (mr_rng_uniform(&rng) < density)
			{
				f->column[n] = c;
				f->value[n++] = (float) mr_rng_normal(&rng);
			}
		for (int32_t c = 0; c < n_dense && f->is_present[row]; c++)
			f->dense[(size_t) row * n_dense + c] = (float) mr_rng_normal(&rng);
		f->start[row + 1] = n;
	}
}

__attribute__((unused))
static void
features_fixture_free(MrFeatures *f)
{
	free(f->start);
	free(f->column);
	free(f->value);
	free(f->dense);
	free(f->is_present);
}

#endif							/* MR_FEATURES_FIXTURE_H */
