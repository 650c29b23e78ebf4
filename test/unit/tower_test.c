/*
 * tower_test.c
 *		The stored form of a tower, byte for byte, and pooling.
 */
#include <math.h>
#include <string.h>

#include "model/tower.h"
#include "unit.h"

static void
test_round_trip(void)
{
	uint8_t		bytes[MR_TOWER_BYTES];

	for (int kind = 0; kind < 2; kind++)
		for (int bias = 0; bias < 2; bias++)
			for (int shape = 0; shape < 3; shape++)
			{
				MrTower		tower = {kind ? MR_TOWER_FREE : MR_TOWER_POOLED, bias, shape == 1, shape == 2, 300 + shape};
				MrTower		back;

				memset(&back, 0x55, sizeof(back));
				mr_tower_write(&tower, bytes);
				unit_case(mr_tower_read(&back, bytes, sizeof(bytes)) && back.kind == tower.kind &&
						  back.item_bias == tower.item_bias && back.sphere == tower.sphere &&
						  back.ball == tower.ball && back.dimensions == tower.dimensions,
						  "kind %d bias %d shape %d", kind, bias, shape);
			}
	unit_cases("written towers are read back");
}

/* The form must never change: 0x0140 = 320 dimensions, free, bias and sphere. */
static void
test_form(void)
{
	static const uint8_t want[MR_TOWER_BYTES] = {'M', 'R', 't', 'w', 1, 0, 1, 3, 0x40, 1, 0, 0, 0, 0, 0, 0};
	static const uint8_t with_tags[MR_TOWER_BYTES] = {'M', 'R', 't', 'w', 2, 0, 1, 11, 0x40, 1, 0, 0, 0, 0, 0x40, 0x3f};
	static const uint8_t of_als[MR_TOWER_BYTES] = {'M', 'R', 't', 'w', 3, 0, 1, 3, 0x40, 1, 0, 0, 0, 0, 0x40, 0x3f};
	MrTower		tower = {MR_TOWER_FREE, true, true, false, 320};
	MrTower		back;
	uint8_t		bytes[MR_TOWER_BYTES];

	mr_tower_write(&tower, bytes);
	ok(memcmp(bytes, want, sizeof(want)) == 0, "the stored form is the one of the comment");
	/* with tags: format 2, flag 8, 0.75 = 0x3f400000 */
	tower.has_tags = true;
	tower.user_weight = 0.75f;
	mr_tower_write(&tower, bytes);
	ok(memcmp(bytes, with_tags, sizeof(with_tags)) == 0, "and so is the one with tags");
	ok(mr_tower_read(&back, bytes, sizeof(bytes)) && back.has_tags && back.user_weight == 0.75f && back.dimensions == 320,
	   "which is read back");
	bytes[15] = 0x40;
	ok(!mr_tower_read(&back, bytes, sizeof(bytes)), "a weight above 1 is refused");
	bytes[15] = 0x7f;
	bytes[14] = 0xc0;
	ok(!mr_tower_read(&back, bytes, sizeof(bytes)), "so is NaN");
	ok(mr_tower_read(&back, want, sizeof(want)) && !back.has_tags && back.radius == 0, "the form without tags has none");
	/* of ALS: format 3, the radius 0.75 */
	tower.has_tags = false;
	tower.radius = 0.75f;
	mr_tower_write(&tower, bytes);
	ok(memcmp(bytes, of_als, sizeof(of_als)) == 0, "the form of ALS is the one of the comment");
	ok(mr_tower_read(&back, bytes, sizeof(bytes)) && back.radius == 0.75f && !back.has_tags, "which is read back");
	bytes[15] = 0xbf;
	ok(!mr_tower_read(&back, bytes, sizeof(bytes)), "a negative radius is refused");
}

static void
test_refused(void)
{
	MrTower		tower = {MR_TOWER_POOLED, true, true, false, 64};
	MrTower		back = {MR_TOWER_FREE, false, false, true, 7};
	uint8_t		good[MR_TOWER_BYTES];
	static const struct
	{
		int			at;
		uint8_t		value;
	}			changes[] = {{0, 'X'}, {4, 2}, {4, 3}, {5, 1}, {6, 2}, {7, 8}, {7, 6}, {8, 0}, {8, 1}, {11, 1}, {9, 0xff}, {12, 1}, {15, 1}};

	mr_tower_write(&tower, good);
	ok(!mr_tower_read(&back, good, MR_TOWER_BYTES - 1), "too short");
	ok(!mr_tower_read(&back, good, 0), "empty");
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
	{
		uint8_t		bytes[MR_TOWER_BYTES];

		memcpy(bytes, good, sizeof(bytes));
		bytes[changes[i].at] = changes[i].value;
		unit_case(!mr_tower_read(&back, bytes, sizeof(bytes)), "byte %d = %d", changes[i].at, changes[i].value);
	}
	unit_cases("unknown forms are refused");
	ok(back.kind == MR_TOWER_FREE && back.dimensions == 7, "a refused form changes nothing");
}

/*
 * (1, 0), (0.6, 0.8), biases 9 and 4: sum (1.6, .8), norm sqrt(3.2), point
 * (.894427, .447214, 0).
 */
static void
test_pool(void)
{
	MrTower		tower = {MR_TOWER_POOLED, true, true, false, 3};
	static const float items[6] = {1, 0, 9, 0.6f, 0.8f, 4};
	double		sum[3] = {0};
	float		point[3] = {7, 7, 7};
	float		pieces[3];

	ok(mr_tower_pool(&tower, items, 2, sum, point), "two items have a direction");
	ok(fabs(point[0] - 0.894427) < 1e-6 && fabs(point[1] - 0.447214) < 1e-6 && point[2] == 0, "their pooled point");
	memset(sum, 0, sizeof(sum));
	ok(mr_tower_pool(&tower, items, 1, sum, NULL) && mr_tower_pool(&tower, items + 3, 1, sum, pieces), "in two pieces");
	ok(memcmp(point, pieces, sizeof(point)) == 0, "pieces give the same point");
	memset(sum, 0, sizeof(sum));
	ok(!mr_tower_pool(&tower, items, 0, sum, point) && point[0] == 0 && point[1] == 0 && point[2] == 0,
	   "no items: no direction, zeroes");
	tower.item_bias = false;
	ok(mr_tower_pool(&tower, items, 1, sum, point) && fabs(point[2] - 9 / sqrt(82)) < 1e-6, "without bias all coordinates count");
	{
		static const float opposite[6] = {1, 0, 0, -1, 0, 0};

		memset(sum, 0, sizeof(sum));
		ok(!mr_tower_pool(&tower, opposite, 2, sum, point) && point[0] == 0, "items that cancel out have no direction");
	}
}

int
main(void)
{
	test_round_trip();
	test_form();
	test_refused();
	test_pool();
	return unit_done();
}
