/*
 * lsh_build.h
 *		What the files of a build share.
 *
 *		lsh_build.c				entry: an empty index, a small table, the phases of a large one
 *		lsh_build_sample.c		a sample of the table's rows, coded
 *		lsh_build_train.c		sample -> directory, by k-means
 *		lsh_build_polish.c		the same, better: cells of equal size across groups
 *		lsh_build_prefix.c		sample -> directory, by prefixes of keys
 *		lsh_build_assign.c		row -> leaf -> tuplesort
 *		lsh_build_parallel.c	the same by several processes
 *		lsh_build_write.c		tuplesort -> batches of cells -> leaf pages
 *		lsh_build_cells.c		cells become such that fit a page
 *		lsh_build_upper.c		entries of leaves -> inner and root pages
 *		lsh_build_list.c		coded rows and entries in memory
 */
#ifndef MR_LSH_BUILD_H
#define MR_LSH_BUILD_H

#include "executor/tuptable.h"
#include "utils/tuplesort.h"

#include "hash/assign.h"
#include "index/lsh.h"

/* Same rows, same index: the random choices of a build come from this. */
#define MR_LSH_SEED UINT64CONST(0x6C73682D73656564)

/* How full the pages are that a build plans, of a leaf and of an inner page. */
#define MR_LSH_LEAF_FILL 0.8
#define MR_LSH_INNER_FILL 0.75

/* Parts of maintenance_work_mem: the sample; the centres. */
#define MR_LSH_SAMPLE_SHARE 0.45
#define MR_LSH_CENTRES_SHARE 0.25

/* ---- lists of codes ---- */

/*
 * Coded rows or entries; the arrays of the kind that it is not are NULL.
 */
typedef struct MrLshList
{
	MemoryContext context;
	int			dim;
	int			n;
	int			room;
	int8	   *codes;			/* [n][dim] */
	float	   *scale;
	float	   *norm;
	float	   *error;			/* rows */
	ItemPointerData *tid;		/* rows */
	MrBucketKey *key;			/* entries */
	MrLshLink  *link;			/* entries */
} MrLshList;

/* lsh_build_list.c */
extern void mr_lsh_list_init(MrLshList *list, int dim, bool entries);	/* in the current memory context */
extern void mr_lsh_list_row(MrLshList *list, const MrLshRow *row);
extern void mr_lsh_list_entry(MrLshList *list, const MrLshEntry *entry);
extern void mr_lsh_list_get_row(const MrLshList *list, int i, MrLshRow *row);
extern void mr_lsh_list_get_entry(const MrLshList *list, int i, MrLshEntry *entry);
extern void mr_lsh_list_buckets(const MrLshList *list, int first, int n, MrBuckets *buckets);
extern bool mr_lsh_list_equal(const MrLshList *list, int first, int n);
extern int	mr_lsh_list_part(MrLshList *list, int first, int n, const uint8 *side);
extern void mr_lsh_list_reorder(MrLshList *list, int first, int n, const int32 *order);
extern void mr_lsh_list_sort(MrLshList *list, int first, int n);
extern void mr_lsh_list_free(MrLshList *list);

/* ---- a build ---- */

typedef struct MrLshSample
{
	MrLshList	rows;
	double		rows_total;		/* estimate: rows of the table with an embedding */
	double		nulls_total;	/* estimate: rows without */
	bool		complete;		/* every block was read, the two are exact */
} MrLshSample;

typedef struct MrLshBuild
{
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	MrLshMeta	meta;
	MrHash		hash;
	MrLshLayout layout;
	MemoryContext directory_context;	/* of the directory, if training made it */
	MrDirectory directory;		/* no leaves if there is no row with an embedding */
	double		rows_expected;	/* with an embedding */
	double		heap_tuples;
	double		index_tuples;
} MrLshBuild;

/* Memory at a multiple of 64, in the current context. */
static inline void *
mr_lsh_palloc_aligned(Size size)
{
	return (void *) TYPEALIGN(64, MemoryContextAllocHuge(CurrentMemoryContext, add_size(size, 64)));
}

/* lsh_build_sample.c */
extern void mr_lsh_build_sample(MrLshBuild *build, MrLshSample *sample);

/* These three set build->directory, in the current memory context. */

/* lsh_build_train.c */
extern int	mr_lsh_planned_leaves(const MrLshBuild *build, const MrLshSample *sample);
extern void mr_lsh_build_train(MrLshBuild *build, const MrLshSample *sample);
extern void mr_lsh_build_kmeans(const MrLshList *all, const int32 *order, int n, int k, int rows_per_centre,
								int rounds, uint64 seed, MrKmeans *kmeans);
extern void mr_lsh_list_centre(MrLshList *list, const MrKmeans *kmeans, int j);
extern void mr_lsh_build_group(MrLshBuild *build, const MrLshList *leaves);

/* lsh_build_polish.c */
extern void mr_lsh_build_polish(MrLshBuild *build, const MrLshSample *sample);

/* lsh_build_prefix.c */
extern void mr_lsh_build_prefixes(MrLshBuild *build, const MrLshSample *sample);

/* ---- rows on their way to the sort ---- */

/*
 * Sorted are (key int8, row bytea): key is the leaf and the heap block, the row
 * a head without padding and its code.  NULLs: leaf MR_LSH_NULL_LEAF, no code.
 */
#define MR_LSH_NULL_LEAF PG_INT32_MAX

typedef struct MrLshAssign MrLshAssign;

/* lsh_build_assign.c */
extern Tuplesortstate *mr_lsh_sort_begin(TupleDesc desc, int memory, SortCoordinate coordinate);
extern TupleDesc mr_lsh_sort_desc(void);
extern MrLshAssign *mr_lsh_assign_begin(const MrDirectory *directory, const MrHash *hash, Tuplesortstate *sort,
										TupleDesc desc, bool skip_unknown, bool progress);
extern void mr_lsh_assign_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg);
extern double mr_lsh_assign_end(MrLshAssign *assign);	/* rows */
extern bool mr_lsh_sorted_row(Datum value, int dim, MrLshRow *row, int8 *code);
extern Tuplesortstate *mr_lsh_build_assign(MrLshBuild *build, TupleDesc desc, void **parallel);

/* lsh_build_parallel.c */
extern Tuplesortstate *mr_lsh_assign_parallel(MrLshBuild *build, TupleDesc desc, int workers, void **parallel);
extern void mr_lsh_parallel_end(void *parallel);

/* ---- pages ---- */

/* lsh_build_upper.c */
typedef struct MrLshUpper
{
	MrLshBuild *build;
	MrLshList	leaves;			/* entries of the group in hand */
	MrLshList	groups;			/* entries of the root */
} MrLshUpper;

extern Buffer mr_lsh_build_page(MrLshBuild *build, MrLshKind kind);	/* a new page, locked and initialised */
extern void mr_lsh_upper_begin(MrLshUpper *upper, MrLshBuild *build);
extern void mr_lsh_upper_group(MrLshUpper *upper, const MrLshEntry *group);	/* its leaves are complete */
extern void mr_lsh_upper_end(MrLshUpper *upper);

/* Rows of a batch, and the cells that they are in. */
typedef struct MrLshCells
{
	MrLshBuild *build;
	MrLshList	rows;			/* cell by cell */
	MrLshList	centres;		/* of the cells */
	int		   *end;			/* [room], behind the last row of each cell */
	int			room;
} MrLshCells;

/* lsh_build_cells.c */
extern void mr_lsh_cells_init(MrLshCells *cells, MrLshBuild *build);
extern void mr_lsh_cells_close(MrLshCells *cells, const MrLshEntry *centre);
extern void mr_lsh_cells_settle(MrLshCells *cells);
extern void mr_lsh_cells_clear(MrLshCells *cells);

/* lsh_build_write.c */
extern void mr_lsh_build_write(MrLshBuild *build, Tuplesortstate *sort, TupleDesc desc);

#endif							/* MR_LSH_BUILD_H */
