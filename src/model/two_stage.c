/*
 * two_stage.c
 *		Two-stage negative sampling (Tran et al., arXiv 1909.10912).
 *
 * Stage 1, once per batch: C candidates without replacement, p ~ count^exponent.
 * Stage 2, per positive: one candidate c with
 *
 *		w(c) ~ (1 - s^2 + 1e-8)^(1 - (d-1)/2)	if s = <v_p, v_c> > 0, else 0
 *
 * v_p being the POSITIVE ITEM, not the user: the inverse of the density of dot
 * products on the sphere, so that all similarities are drawn about equally often.
 * Points are unit vectors of a snapshot that is refreshed every 100 batches.  A
 * draw that the user likes is repeated up to 10 times; if all weights vanish the
 * draws are uniform over the candidates.  After that the released code would keep
 * a positive as negative; here a uniform negative of the user is taken.
 *
 * Exponents reach -60 and more, so weights are computed as exp(e log(...)) with
 * the row's largest log taken off.
 */
#include <math.h>
#include <string.h>

#include "math/gemm.h"
#include "model/hinge.h"

#define REFRESH_BATCHES 100
#define MAX_REPEATS 10

/* A random number, a logarithm and a power, in multiplications. */
#define CLOCK_WORK 64

/* Take the scratch memory from the arena. */
void
mr_two_stage_layout(MrTrainer *t, MrArena *arena)
{
	MrHinge    *h = &t->hinge;
	size_t		row_size = t->stride * sizeof(float);

	h->n_candidates = t->hyper.candidates < t->x->n_items ? t->hyper.candidates : t->x->n_items;
	h->snapshot = mr_arena_take(arena, t->x->n_items, row_size);
	h->candidates = mr_arena_take(arena, h->n_candidates, sizeof(int32_t));
	h->is_candidate = mr_arena_take(arena, t->x->n_items, sizeof(uint8_t));
	h->candidate_points = mr_arena_take(arena, h->n_candidates, row_size);
	h->positive_points = mr_arena_take(arena, MR_TWO_STAGE_ROWS, row_size);
	h->cosines = mr_arena_take(arena, (size_t) MR_TWO_STAGE_ROWS * h->n_candidates, sizeof(float));
	h->weight_sum = mr_arena_take(arena, MR_TWO_STAGE_ROWS, sizeof(double));
	h->n_blocks = (h->n_candidates + MR_TWO_STAGE_BLOCK - 1) / MR_TWO_STAGE_BLOCK;
	h->block_sums = mr_arena_take(arena, (size_t) MR_TWO_STAGE_ROWS * h->n_blocks, sizeof(float));
	h->rest = mr_arena_take(arena, h->n_candidates, sizeof(MrTopItem));
}

void
mr_two_stage_start(MrTrainer *t)
{
	memset(t->hinge.is_candidate, 0, t->x->n_items);
}

/* Unit vectors of all items as they are now. */
static MrStatus
refresh_snapshot(MrTrainer *t, MrPoll poll, void *arg)
{
	for (int32_t i = 0; i < t->x->n_items; i++)
	{
		const float *hat = t->items.hat + (size_t) i * t->stride;
		float		square = t->math->dot(hat, hat, t->stride);

		if (mr_trainer_tick(t, 2 * t->stride, poll, arg))
			return MR_STOPPED;
		t->math->scale(t->hinge.snapshot + (size_t) i * t->stride,
					   square > 0 ? 1.0f / sqrtf(square) : 0, hat, t->stride);
	}
	return MR_OK;
}

/*
 * The rest of a draw without replacement, when repeated draws hit what is drawn
 * already too often: the first of the remaining items in the order of their
 * exponential clocks, -log(uniform) / weight (Efraimidis and Spirakis).  That is
 * the same distribution.  *n is the number of candidates before and after.
 */
static MrStatus
draw_rest(MrTrainer *t, int32_t *n, MrPoll poll, void *arg)
{
	MrHinge    *h = &t->hinge;
	MrTopK		first;

	mr_topk_init(&first, h->rest, h->n_candidates - *n);
	for (int32_t i = 0; i < t->x->n_items; i++)
	{
		if (mr_trainer_tick(t, CLOCK_WORK, poll, arg))
			return MR_STOPPED;
		if (!h->is_candidate[i] && t->item_count[i] > 0)
			mr_topk_push(&first, -log(1.0 - mr_rng_uniform(&t->rng)) /
						 pow(t->item_count[i], t->hyper.popularity_exponent), i);
	}
	for (int64_t i = 0; i < first.n; i++)
	{
		int32_t		item = (int32_t) first.items[i].row;

		h->is_candidate[item] = 1;
		h->candidates[(*n)++] = item;
	}
	return MR_OK;
}

/* Stage 1 of a batch, and the snapshot when its turn has come. */
MrStatus
mr_two_stage_batch(MrTrainer *t, MrPoll poll, void *arg)
{
	MrHinge    *h = &t->hinge;
	int32_t		n = 0;
	int64_t		tries = 4 * (int64_t) h->n_candidates;

	if (t->step % REFRESH_BATCHES == 0 && refresh_snapshot(t, poll, arg) != MR_OK)
		return MR_STOPPED;
	for (; n < h->n_candidates && tries > 0; tries--)
	{
		int32_t		item = mr_alias_draw(&t->alias, &t->rng);

		if (mr_trainer_tick(t, 16, poll, arg))
			return MR_STOPPED;
		if (h->is_candidate[item])
			continue;
		h->is_candidate[item] = 1;
		h->candidates[n++] = item;
	}
	if (n < h->n_candidates && draw_rest(t, &n, poll, arg) != MR_OK)
		return MR_STOPPED;
	h->drawn_candidates = n;
	for (int32_t i = 0; i < n; i++)
	{
		if (mr_trainer_tick(t, t->stride, poll, arg))
			return MR_STOPPED;
		h->is_candidate[h->candidates[i]] = 0;
		memcpy(h->candidate_points + (size_t) i * t->stride,
			   h->snapshot + (size_t) h->candidates[i] * t->stride, t->stride * sizeof(float));
	}
	return MR_OK;
}

/*
 * Stage-2 weights from cosines, in place, and the sums of every
 * MR_TWO_STAGE_BLOCK of them; returns the sum of all.  d is the number of
 * coordinates.  Weights are relative to the largest of the row.
 */
double
mr_two_stage_weights(const MrRowMath *math, float *cosines, int32_t n, int32_t d, float *block_sums)
{
	double		exponent = 1.0 - (d - 1) / 2.0;
	double		extreme = math->max(cosines, n);
	double		sum = 0;

	/* a negative exponent makes the largest cosine the heaviest, a positive one the smallest */
	if (exponent > 0)
		extreme = extreme > 0 ? 0 : -1;
	extreme = extreme > 1 ? 1 : extreme;
	for (int32_t i = 0; i < n; i += MR_TWO_STAGE_BLOCK)
	{
		int32_t		width = n - i < MR_TWO_STAGE_BLOCK ? n - i : MR_TWO_STAGE_BLOCK;
		float		shift = (float) (exponent * log(1 - extreme * extreme + 1e-8));

		*block_sums = math->inverse_density(cosines + i, cosines + i, (float) exponent, shift, width);
		sum += *block_sums++;
	}
	return sum;
}

/* Stage-2 weights of the pairs order[first .. first + n), n <= MR_TWO_STAGE_ROWS. */
MrStatus
mr_two_stage_weigh(MrTrainer *t, int64_t first, int32_t n, MrPoll poll, void *arg)
{
	MrHinge    *h = &t->hinge;
	int32_t		c = h->drawn_candidates;
	int32_t		part = MR_POLL_PRODUCT / (MR_TWO_STAGE_ROWS * t->stride);

	if (poll && poll(arg))
		return MR_STOPPED;
	for (int32_t row = 0; row < n; row++)
		memcpy(h->positive_points + (size_t) row * t->stride,
			   h->snapshot + (size_t) t->x->items[h->order[first + row]] * t->stride, t->stride * sizeof(float));
	for (int32_t start = 0; start < c; start += part)
	{
		if (start > 0 && poll && poll(arg))
			return MR_STOPPED;
		mr_gemm(MR_AS_IS, MR_TRANSPOSED, n, c - start < part ? c - start : part, t->stride, 1,
				h->positive_points, t->stride, h->candidate_points + (size_t) start * t->stride, t->stride,
				0, h->cosines + start, h->n_candidates);
	}
	for (int32_t row = 0; row < n; row++)
	{
		if (mr_trainer_tick(t, 16 * (int64_t) c, poll, arg))
			return MR_STOPPED;
		h->weight_sum[row] = mr_two_stage_weights(t->math, h->cosines + (size_t) row * h->n_candidates, c, t->width,
												  h->block_sums + (size_t) row * h->n_blocks);
	}
	return MR_OK;
}

/* One candidate by the row's weights, or uniform if they vanish. */
static int32_t
draw_candidate(MrTrainer *t, int32_t row)
{
	MrHinge    *h = &t->hinge;
	const float *weight = h->cosines + (size_t) row * h->n_candidates;
	const float *block = h->block_sums + (size_t) row * h->n_blocks;
	int32_t		n = h->drawn_candidates;
	int32_t		at = 0;
	double		left;

	if (!(h->weight_sum[row] > 0))
		return h->candidates[mr_rng_below(mr_trainer_own_rng(t), n)];
	left = mr_rng_uniform(mr_trainer_own_rng(t)) * h->weight_sum[row];
	while (at + MR_TWO_STAGE_BLOCK < n && left >= block[at / MR_TWO_STAGE_BLOCK])
	{
		left -= block[at / MR_TWO_STAGE_BLOCK];
		at += MR_TWO_STAGE_BLOCK;
	}
	for (; at < n; at++)
	{
		left -= weight[at];
		if (left < 0)
			return h->candidates[at];
	}
	/* rounding went past the end: the last one that has a weight */
	while (at > 1 && !(weight[at - 1] > 0))
		at--;
	return h->candidates[at - 1];
}

/* A negative of the user for the positive in this row of the last weighing. */
int32_t
mr_two_stage_draw(MrTrainer *t, int32_t user, int32_t row)
{
	for (int i = 0; i <= MAX_REPEATS; i++)
	{
		int32_t		item = draw_candidate(t, row);

		if (!mr_sampler_likes(t, user, item))
			return item;
	}
	return mr_sampler_uniform(t, user);
}
