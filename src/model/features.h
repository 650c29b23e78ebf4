/*
 * features.h
 *		Features of users or items as numbers: what the encoders make and the
 *		towers read.
 *
 * A row has a sparse part (numbers, categories, tags, words: few of very many
 * columns) and a dense part (vectors that came as vectors).  Either may be empty.
 * A row without features has no entries, zeroes in the dense part, and is marked.
 *
 *		sparse, CSR		start [n_rows + 1], column and value [start[n_rows]]
 *		dense			[n_rows][n_dense]
 */
#ifndef MR_FEATURES_H
#define MR_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MrFeatures
{
	int32_t		n_rows;
	int32_t		n_sparse;		/* columns of the sparse part */
	int32_t		n_dense;		/* columns of the dense part */
	int64_t    *start;			/* [n_rows + 1] */
	int32_t    *column;			/* ascending within a row, each at most once */
	float	   *value;
	float	   *dense;			/* [n_rows][n_dense], NULL if n_dense = 0 */
	uint8_t    *is_present;		/* [n_rows] 0: the row has no features */
} MrFeatures;

#endif							/* MR_FEATURES_H */
