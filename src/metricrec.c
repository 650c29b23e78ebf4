/*
 * metricrec.c
 *		The module itself: its magic, and what happens when it is loaded.
 */
#include "postgres.h"

#include "fmgr.h"

#include "index/lsh.h"
#include "math/vecmath.h"
#include "util/guc.h"

PG_MODULE_MAGIC;

/* fmgr.h declares it, from 16 on only */
extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	mr_guc_init();
	mr_lsh_init();
	mr_vecmath_init();
}
