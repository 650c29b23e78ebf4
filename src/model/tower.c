/*
 * tower.c
 *		The user tower of a version: its stored form, and pooling.
 *
 * Stored form, MR_TOWER_BYTES long, integers little-endian:
 *		OFFSET	SIZE	DESCRIPTION
 *		0		4		magic "MRtw"
 *		4		2		format, 1; 2 with tags; 3 of ALS
 *		6		1		kind: 0 pooled, 1 free
 *		7		1		flags: 1 item bias, 2 sphere, 4 ball; format 2: 8 tags
 *		8		4		dimensions of a stored point, the bias coordinate counted
 *		12		4		format 1: 0, reserved; format 2: the user's weight in a query for tags,
 *						an IEEE single; format 3: the radius, likewise
 * Readers refuse what they do not know, so that a later form is never misread.
 */
#include <math.h>
#include <string.h>

#include "model/tower.h"

#define TOWER_FORMAT 1
#define TOWER_FORMAT_TAGS 2
#define TOWER_FORMAT_ALS 3
#define TOWER_FLAG_BIAS 1
#define TOWER_FLAG_SPHERE 2
#define TOWER_FLAG_BALL 4
#define TOWER_FLAG_TAGS 8
#define TOWER_FLAGS_KNOWN 7
#define TOWER_MAX_DIMENSIONS 16000

static const uint8_t tower_magic[4] = {'M', 'R', 't', 'w'};

/* Write the stored form. */
void
mr_tower_write(const MrTower *tower, uint8_t bytes[MR_TOWER_BYTES])
{
	uint32_t	dimensions = (uint32_t) tower->dimensions;

	memset(bytes, 0, MR_TOWER_BYTES);
	memcpy(bytes, tower_magic, sizeof(tower_magic));
	bytes[4] = tower->has_tags ? TOWER_FORMAT_TAGS : tower->radius > 0 ? TOWER_FORMAT_ALS : TOWER_FORMAT;
	bytes[6] = tower->kind == MR_TOWER_FREE;
	bytes[7] = (tower->item_bias ? TOWER_FLAG_BIAS : 0) |
		(tower->sphere ? TOWER_FLAG_SPHERE : 0) | (tower->ball ? TOWER_FLAG_BALL : 0) | (tower->has_tags ? TOWER_FLAG_TAGS : 0);
	for (int i = 0; i < 4; i++)
		bytes[8 + i] = (uint8_t) (dimensions >> (8 * i));
	if (bytes[4] != TOWER_FORMAT)
	{
		uint32_t	bits;

		memcpy(&bits, tower->has_tags ? &tower->user_weight : &tower->radius, sizeof(bits));
		for (int i = 0; i < 4; i++)
			bytes[12 + i] = (uint8_t) (bits >> (8 * i));
	}
}

/* Read what formats 2 and 3 have more; false if it is damaged. */
static bool
read_more(const uint8_t *bytes, MrTower *tower)
{
	uint32_t	bits = 0;
	float		value;

	for (int i = 0; i < 4; i++)
		bits |= (uint32_t) bytes[12 + i] << (8 * i);
	memcpy(&value, &bits, sizeof(value));
	tower->has_tags = bytes[4] == TOWER_FORMAT_TAGS;
	tower->user_weight = tower->has_tags ? value : 0;
	tower->radius = bytes[4] == TOWER_FORMAT_ALS ? value : 0;
	if (tower->has_tags != ((bytes[7] & TOWER_FLAG_TAGS) != 0))
		return false;
	if (tower->has_tags)
		return value >= 0 && value <= 1;
	return bytes[4] == TOWER_FORMAT_ALS ? value > 0 && isfinite(value) : bits == 0;
}

/* Read the stored form; false, and *tower untouched, if it is not one. */
bool
mr_tower_read(MrTower *tower, const uint8_t *bytes, size_t n)
{
	MrTower		read = {0};
	uint32_t	dimensions = 0;
	bool		bias;

	if (n != MR_TOWER_BYTES || memcmp(bytes, tower_magic, sizeof(tower_magic)) != 0)
		return false;
	if (bytes[4] < TOWER_FORMAT || bytes[4] > TOWER_FORMAT_ALS || bytes[5] != 0 || bytes[6] > 1 ||
		(bytes[7] & ~(TOWER_FLAGS_KNOWN | TOWER_FLAG_TAGS)) != 0 || !read_more(bytes, &read))
		return false;
	if ((bytes[7] & TOWER_FLAG_SPHERE) && (bytes[7] & TOWER_FLAG_BALL))
		return false;
	for (int i = 0; i < 4; i++)
		dimensions |= (uint32_t) bytes[8 + i] << (8 * i);
	bias = (bytes[7] & TOWER_FLAG_BIAS) != 0;
	if (dimensions < (bias ? 2 : 1) || dimensions > TOWER_MAX_DIMENSIONS)
		return false;
	read.kind = bytes[6] ? MR_TOWER_FREE : MR_TOWER_POOLED;
	read.item_bias = bias;
	read.sphere = (bytes[7] & TOWER_FLAG_SPHERE) != 0;
	read.ball = (bytes[7] & TOWER_FLAG_BALL) != 0;
	read.dimensions = (int32_t) dimensions;
	*tower = read;
	return true;
}

/*
 * The point whose nearest tags a user may give an item.  user NULL: anybody, the
 * item's own point, and so if on the sphere the two cancel out.  All points
 * [dimensions]; false, and a query of zeroes, if the item has no direction either.
 */
bool
mr_tower_tag_query(const MrTower *tower, const float *user, const float *item, float *query)
{
	int32_t		width = tower->dimensions - (tower->item_bias ? 1 : 0);
	double		w = user ? tower->user_weight : 0;
	double		square = 0;
	double		inverse = 1;

	for (int32_t i = 0; i < width; i++)
	{
		double		x = (1 - w) * item[i] + (user ? w * user[i] : 0);

		query[i] = (float) x;
		square += x * x;
	}
	if (tower->sphere)
		inverse = square > 0 && isfinite(square) ? 1 / sqrt(square) : 0;
	if (inverse == 0 && user)
		return mr_tower_tag_query(tower, NULL, item, query);
	for (int32_t i = 0; i < width; i++)
		query[i] = (float) (query[i] * inverse);
	if (tower->item_bias)
		query[width] = 0;
	return inverse > 0;
}

/*
 * Pool points of liked items into a user's point.
 *
 * items	[n][dimensions] stored item points; n may be 0
 * sum		[dimensions] running sum, zeroed by the caller before the first call
 * point	[dimensions] the user's point of all items added so far, or NULL: only add
 *
 * A history may so be given in pieces: point NULL for all but the last.  The sum
 * is in double precision, so that the order of a history hardly matters.  Returns
 * false, and a point of zeroes, if there is no direction: no items, or items that
 * cancel out.
 */
bool
mr_tower_pool(const MrTower *tower, const float *items, int64_t n, double *sum, float *point)
{
	int32_t		dimensions = tower->dimensions;
	int32_t		width = dimensions - (tower->item_bias ? 1 : 0);
	double		square = 0;
	double		inverse;

	for (int64_t row = 0; row < n; row++)
		for (int32_t i = 0; i < width; i++)
			sum[i] += items[row * dimensions + i];
	if (point == NULL)
		return true;
	for (int32_t i = 0; i < width; i++)
		square += sum[i] * sum[i];
	inverse = square > 0 && isfinite(square) ? 1.0 / sqrt(square) : 0.0;
	for (int32_t i = 0; i < width; i++)
		point[i] = (float) (sum[i] * inverse);
	if (tower->item_bias)
		point[width] = 0;
	return inverse > 0;
}
