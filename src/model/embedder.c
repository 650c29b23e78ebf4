/*
 * embedder.c
 *		The stored form of a side's tower, and its forward pass for single rows.
 *
 * Integers and floats (IEEE 754, single) little-endian:
 *		OFFSET	SIZE	DESCRIPTION
 *		0		4		magic "MRsd"
 *		4		2		format, 1
 *		6		1		combination: 1 features, 2 sum, 3 both, 4 prior
 *		7		1		constraint: 0 sphere, 1 ball, 2 none
 *		8		4		coordinates of a point without the bias
 *		12		4		dimensions of a stored point: the same, or one more with a bias
 *		16		4		bias coordinate of a new row
 *		20		4		0, reserved
 *		24				the network (net_store.c)
 * Readers refuse what they do not know.
 */
#include <math.h>
#include <string.h>

#include "model/embedder.h"
#include "model/trainer_state.h"

#define EMBEDDER_FORMAT 1
#define HEAD_BYTES 24
#define ALIGNMENT 64
#define MAX_DIMENSIONS 16000

static const uint8_t embedder_magic[4] = {'M', 'R', 's', 'd'};

struct MrEmbedder
{
	int32_t		dimensions;
	float		bias;
	MrSideTower tower;
	float	   *id;				/* [stride] */
	float	   *point;			/* [stride] */
};

static void
write_32(uint8_t *to, uint32_t x)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t) (x >> (8 * i));
}

static uint32_t
read_32(const uint8_t *from)
{
	return from[0] | (uint32_t) from[1] << 8 | (uint32_t) from[2] << 16 | (uint32_t) from[3] << 24;
}

static const MrSideTower *
tower_of(const MrTrainer *t, MrTowerSide side)
{
	return side == MR_TOWER_OF_USERS ? &t->user_tower : &t->item_tower;
}

/* Bytes of the stored form; 0 if that side has no tower. */
size_t
mr_embedder_bytes(const MrTrainer *t, MrTowerSide side)
{
	const MrSideTower *w = tower_of(t, side);
	size_t		net;

	if (!w->is_on)
		return 0;
	net = mr_net_bytes(&w->net->shape);
	return net > SIZE_MAX - HEAD_BYTES ? SIZE_MAX : HEAD_BYTES + net;
}

/* Write the stored form into mr_embedder_bytes() bytes. */
MrStatus
mr_embedder_write(MrTrainer *t, MrTowerSide side, uint8_t *bytes, MrPoll poll, void *arg)
{
	const MrSideTower *w = tower_of(t, side);
	float		bias = side == MR_TOWER_OF_ITEMS ? mr_trainer_new_item_bias(t) : 0;
	uint32_t	bits;

	memcpy(bytes, embedder_magic, sizeof(embedder_magic));
	bytes[4] = EMBEDDER_FORMAT;
	bytes[5] = 0;
	bytes[6] = (uint8_t) w->combination;
	bytes[7] = (uint8_t) w->constraint;
	write_32(bytes + 8, (uint32_t) t->width);
	write_32(bytes + 12, (uint32_t) t->hyper.dimensions);
	memcpy(&bits, &bias, sizeof(bits));
	write_32(bytes + 16, bits);
	write_32(bytes + 20, 0);
	return mr_net_write(w->net, bytes + HEAD_BYTES, poll, arg);
}

/* The head, checked; false if the bytes cannot be a tower. */
static bool
read_head(const uint8_t *bytes, size_t n, MrEmbedder *e, MrNetShape *shape)
{
	uint32_t	bits;

	if (n < HEAD_BYTES || memcmp(bytes, embedder_magic, sizeof(embedder_magic)) != 0 ||
		bytes[4] != EMBEDDER_FORMAT || bytes[5] != 0 ||
		bytes[6] < MR_COMBINE_FEATURES || bytes[6] > MR_COMBINE_PRIOR || bytes[7] > MR_CONSTRAINT_NONE ||
		!mr_net_read_shape(shape, bytes + HEAD_BYTES, n - HEAD_BYTES))
		return false;
	memset(e, 0, sizeof(*e));
	e->tower.is_on = true;
	e->tower.combination = (MrCombination) bytes[6];
	e->tower.constraint = (MrConstraint) bytes[7];
	e->tower.width = (int32_t) read_32(bytes + 8);
	e->dimensions = (int32_t) read_32(bytes + 12);
	bits = read_32(bytes + 16);
	memcpy(&e->bias, &bits, sizeof(bits));
	if (e->dimensions < 1 || e->dimensions > MAX_DIMENSIONS || read_32(bytes + 20) != 0 || !isfinite(e->bias) ||
		shape->width != e->tower.width || (e->dimensions != shape->width && e->dimensions != shape->width + 1) ||
		shape->n_point != (e->tower.combination == MR_COMBINE_BOTH ? shape->width : 0))
		return false;
	e->tower.stride = (e->dimensions + MR_ROW_PAD - 1) / MR_ROW_PAD * MR_ROW_PAD;
	return true;
}

/* What is in the bytes; false if they are damaged.  The weights are not looked at. */
bool
mr_embedder_shape(MrEmbedderShape *shape, const uint8_t *bytes, size_t n)
{
	MrEmbedder	e;
	MrNetShape	net;

	if (!read_head(bytes, n, &e, &net))
		return false;
	shape->combination = e.tower.combination;
	shape->n_sparse = net.n_sparse;
	shape->n_dense = net.n_dense;
	shape->width = e.tower.width;
	shape->dimensions = e.dimensions;
	shape->new_row_bias = e.bias;
	return true;
}

static MrEmbedder *
place(MrArena *arena, const MrEmbedder *head, const MrNetShape *shape)
{
	MrEmbedder *taken = mr_arena_take(arena, 1, sizeof(MrEmbedder));
	MrEmbedder	counted;
	MrEmbedder *e = taken ? taken : &counted;

	*e = *head;
	mr_side_tower_place(&e->tower, arena, shape, NULL);
	e->id = mr_arena_take(arena, e->tower.stride, sizeof(float));
	e->point = mr_arena_take(arena, e->tower.stride, sizeof(float));
	return taken;
}

/* Bytes of memory that mr_embedder_read() needs; 0 if the stored form is damaged. */
size_t
mr_embedder_memory(const uint8_t *bytes, size_t n)
{
	MrArena		arena = {NULL, 0, false};
	MrEmbedder	head;
	MrNetShape	shape;

	if (!read_head(bytes, n, &head, &shape))
		return 0;
	mr_arena_take(&arena, 1, ALIGNMENT - 1);
	place(&arena, &head, &shape);
	return arena.overflow ? 0 : arena.used;
}

/* The tower, in mr_embedder_memory() bytes; NULL if it is damaged, or poll() said stop. */
MrEmbedder *
mr_embedder_read(void *memory, const uint8_t *bytes, size_t n, MrPoll poll, void *arg)
{
	MrArena		arena = {NULL, 0, false};
	MrEmbedder	head;
	MrNetShape	shape;
	MrEmbedder *e;
	bool		stopped = false;

	if (!read_head(bytes, n, &head, &shape))
		return NULL;
	arena.base = (char *) (((uintptr_t) memory + ALIGNMENT - 1) & ~(uintptr_t) (ALIGNMENT - 1));
	e = place(&arena, &head, &shape);
	return mr_net_read(e->tower.net, bytes + HEAD_BYTES, n - HEAD_BYTES, poll, arg, &stopped) ? e : NULL;
}

/*
 * The other way: the stored network into the tower of a trainer that has been started.
 * MR_DIVERGED if it is damaged or not of this layout, the tower's being off included.
 */
MrStatus
mr_embedder_load(MrTrainer *t, MrTowerSide side, const uint8_t *bytes, size_t n, MrPoll poll, void *arg)
{
	MrSideTower *w = side == MR_TOWER_OF_USERS ? &t->user_tower : &t->item_tower;
	MrEmbedder	head;
	MrNetShape	shape;
	bool		stopped = false;

	if (!w->is_on || !read_head(bytes, n, &head, &shape) || head.tower.combination != w->combination ||
		head.tower.constraint != w->constraint)
		return MR_DIVERGED;
	if (mr_net_read(w->net, bytes + HEAD_BYTES, n - HEAD_BYTES, poll, arg, &stopped))
		return MR_OK;
	return stopped ? MR_STOPPED : MR_DIVERGED;
}

/*
 * The point [dimensions] of a row of features.  id [width]: the point of the id,
 * or the pooled history of a user; NULL: there is none, a new row.
 */
void
mr_embedder_point(MrEmbedder *e, const MrFeatures *features, int32_t row, const float *id, float *point)
{
	MrSideTower *w = &e->tower;

	w->features = features;
	memset(e->id, 0, w->stride * sizeof(float));
	if (id)
		memcpy(e->id, id, w->width * sizeof(float));
	mr_side_tower_points(w, &row, 1, id ? e->id : NULL, NULL, e->point, NULL, NULL);
	memcpy(point, e->point, w->width * sizeof(float));
	if (e->dimensions > w->width)
		point[w->width] = e->bias;
	w->features = NULL;
}
