/*
 * projection_split.c
 *		Parts rows, or buckets, of the projection family by the next bit of
 *		their keys.
 *
 * A bucket's key is made longer until the bit comes that tells its rows apart.
 * Bits that are equal in all rows are skipped, so that no empty bucket is made;
 * a later row that has another bit there belongs to no bucket then, and goes to
 * the nearest one.
 */
#include <string.h>

#include "hash/family.h"

/* The bit of a key at `place`, 0 = first. */
#define bit_at(key, place) ((int) ((key) << (place) >> 63))

/* A key with one more bit. */
static MrBucketKey
longer(MrBucketKey key, int bit)
{
	int			length = mr_key_length(key);

	return mr_key_make(mr_key_bits(key) | (uint64_t) bit << (MR_KEY_MAX_BITS - 1 - length), length + 1);
}

/*
 * Finds the first bit behind *prefix in which some keys differ and makes *prefix
 * the key up to there.  False if there is none.  Keys too short to have the bit
 * have no say.
 */
static bool
find_bit(const MrBucketKey *keys, int n, MrBucketKey *prefix)
{
	for (int place = mr_key_length(*prefix); place < MR_KEY_MAX_BITS; place++)
	{
		int			count[2] = {0, 0};

		for (int i = 0; i < n; i++)
		{
			if (mr_key_length(keys[i]) > place)
				count[bit_at(keys[i], place)]++;
		}
		if (count[0] > 0 && count[1] > 0)
			return true;
		if (count[0] + count[1] == 0)
			return false;
		*prefix = longer(*prefix, count[1] > 0);
	}
	return false;
}

/* Are all rows the same vector? */
static bool
all_equal(const MrCodeRows *rows)
{
	for (int i = 1; i < rows->n; i++)
	{
		if (rows->scale[i] != rows->scale[0] ||
			memcmp(rows->codes + (size_t) i * rows->dim, rows->codes, rows->dim) != 0)
			return false;
	}
	return true;
}

/*
 * Sets side[] and the keys of the parts, which are the parent's before.  False,
 * and nothing is set, if all rows are equal.
 *
 * Where keys do not tell the rows apart, both parts keep the parent's key: twin
 * buckets.  New rows go to the later of two equal buckets, side 1, so a leaf
 * gives only a quarter of its rows to it, but an inner page a half of its
 * leaves.
 *
 * Buckets whose key ends before the bit that decides go to side 0, which keeps
 * the parent's key for their sake.
 */
bool
mr_projection_split(const MrHash *hash, const MrBuckets *rows, MrBucketKey parent,
					const MrSplitWork *work, uint8_t *side, MrNewBucket parts[2])
{
	int			n = rows->centres.n;
	int			dim = rows->centres.dim;
	const MrBucketKey *keys = rows->keys;
	MrBucketKey prefix = parent;
	int			place;

	if (keys == NULL)
	{
		float	   *x = work->vectors[0];

		if (all_equal(&rows->centres))
			return false;
		for (int i = 0; i < n; i++)
		{
			mr_code_decode(rows->centres.codes + (size_t) i * dim, rows->centres.scale[i], dim, x);
			work->keys[i] = mr_projection_key(hash, x);
		}
		keys = work->keys;
	}

	if (!find_bit(keys, n, &prefix))
	{
		int			kept = rows->keys == NULL ? n - (n + 3) / 4 : n - n / 2;

		for (int i = 0; i < n; i++)
			side[i] = i >= kept;
		return true;
	}

	place = mr_key_length(prefix);
	parts[0].key = longer(prefix, 0);
	parts[1].key = longer(prefix, 1);
	for (int i = 0; i < n; i++)
	{
		bool		ends = mr_key_length(keys[i]) <= place;

		side[i] = !ends && bit_at(keys[i], place);
		if (ends)
			parts[0].key = parent;
	}
	return true;
}
