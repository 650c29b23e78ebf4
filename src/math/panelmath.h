/*
 * panelmath.h
 *		The inner loop of a build: dot products of many rows of int8 codes with
 *		many centres, where the centres may lie as it suits the processor.
 *
 * Centres lie in panels of MR_PANEL, coordinates in pairs:
 *
 *		int8 panel[n / MR_PANEL][mr_panel_pairs(dim)][MR_PANEL][2]
 *
 * One multiply-add instruction then works on a pair of coordinates of several
 * centres and no sum runs across lanes.  Four rows go through a panel together,
 * which loads it once for all of them.
 *
 * Pure C.  Every variant has the same result bit for bit: sums are integers, and
 * float operations are elementwise and not fused.  Codes are within -127 .. 127.
 */
#ifndef MR_PANELMATH_H
#define MR_PANELMATH_H

#include <stddef.h>
#include <stdint.h>

#define MR_PANEL 16
#define MR_PANEL_ROWS 4

#define mr_panel_pairs(dim) (((dim) + 1) / 2)
#define mr_panel_count(n) (((n) + MR_PANEL - 1) / MR_PANEL)
#define mr_panel_bytes(dim) ((size_t) mr_panel_pairs(dim) * MR_PANEL * 2)	/* of one panel */
/* int16 of a row that was widened */
#define mr_panel_row(dim) (mr_panel_pairs(dim) * 2)

typedef struct MrPanelMath
{
	const char *name;
	/* out[r * stride + i] = row r * centre i, for MR_PANEL_ROWS rows and n_panels * MR_PANEL centres */
	void		(*dots) (const int16_t *const rows[MR_PANEL_ROWS], const int8_t *panels, int pairs, int n_panels,
						 int32_t *out, int stride);
	/* out[i] = norm[i] - weight * scale[i] * dots[i], n a multiple of MR_PANEL */
	void		(*values) (const int32_t *dots, const float *scale, const float *norm, float weight, int n, float *out);
	/* the place of the smallest, of equal ones the last; no NaN, n a multiple of MR_PANEL */
	int			(*least) (const float *values, int n);
	/* sum[i] += scale * code[i] */
	void		(*add) (float *sum, const int8_t *code, float scale, int dim);
} MrPanelMath;

/* Widens a row; a coordinate behind an odd dim becomes 0. */
static inline void
mr_panel_widen(const int8_t *code, int dim, int16_t *row)
{
	for (int i = 0; i < dim; i++)
		row[i] = code[i];
	if (dim % 2 != 0)
		row[dim] = 0;
}

/* panelmath.c */
extern const MrPanelMath *mr_panelmath(void);	/* chosen once per process */
extern const MrPanelMath *mr_panelmath_variant(int number);	/* 0 = portable; NULL past the last one that runs here */
extern void mr_panel_put(int8_t *panels, int dim, int i, const int8_t *code);
extern void mr_panel_get(const int8_t *panels, int dim, int i, int8_t *code);

#endif							/* MR_PANELMATH_H */
