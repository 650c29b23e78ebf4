/*
 * net_store.c
 *		The stored form of a network (net.h).
 *
 * Integers and floats (IEEE 754, single) little-endian, nothing between them:
 *		OFFSET	SIZE	DESCRIPTION
 *		0		4		magic "MRnt"
 *		4		2		format, 1
 *		6		1		activation: 0 relu, 1 tanh, 2 gelu
 *		7		1		H, hidden layers
 *		8		4		columns of the sparse part
 *		12		4		columns of the dense part
 *		16		4		coordinates of the point
 *		20		4		coordinates of the output
 *		24		4 H		widths of the hidden layers
 *		24+4H			weights: W_s, W_x, W_p, b_1, W_2, b_2, ..., row by row, without
 *						padding; no bias if H is 0
 *
 * The shape says how long it all is, so a byte too few or too many is found.
 * Readers refuse what they do not know, and numbers that are not finite.
 */
#include <string.h>

#include "model/net.h"

#define NET_FORMAT 1
#define HEAD_BYTES 24

static const uint8_t net_magic[4] = {'M', 'R', 'n', 't'};

static inline void
write_32(uint8_t *to, uint32_t x)
{
	to[0] = (uint8_t) x;
	to[1] = (uint8_t) (x >> 8);
	to[2] = (uint8_t) (x >> 16);
	to[3] = (uint8_t) (x >> 24);
}

static inline uint32_t
read_32(const uint8_t *from)
{
	return from[0] | (uint32_t) from[1] << 8 | (uint32_t) from[2] << 16 | (uint32_t) from[3] << 24;
}

/*
 * Bytes of the stored form of a valid shape; SIZE_MAX if it is too much for the
 * machine.
 */
size_t
mr_net_bytes(const MrNetShape *shape)
{
	uint64_t	first = shape->n_hidden > 0 ? shape->hidden[0] : shape->width;
	uint64_t	floats = ((uint64_t) shape->n_sparse + shape->n_dense + shape->n_point) * first;
	uint64_t	bytes;

	/* no overflow: at most 2^25 * 2^14 and 9 * 2^28 numbers */
	if (shape->n_hidden > 0)
		floats += first;
	for (int32_t l = 1; l <= shape->n_hidden; l++)
	{
		uint64_t	width = l < shape->n_hidden ? shape->hidden[l] : shape->width;

		floats += ((uint64_t) shape->hidden[l - 1] + 1) * width;
	}
	bytes = HEAD_BYTES + 4 * (uint64_t) shape->n_hidden + 4 * floats;
	return bytes < SIZE_MAX ? (size_t) bytes : SIZE_MAX;
}

/* Write the stored form into mr_net_bytes() bytes. */
MrStatus
mr_net_write(MrNet *net, uint8_t *bytes, MrPoll poll, void *arg)
{
	const MrNetShape *shape = &net->shape;
	uint8_t    *to = bytes + HEAD_BYTES;
	MrPoints   *p;

	memcpy(bytes, net_magic, sizeof(net_magic));
	bytes[4] = NET_FORMAT;
	bytes[5] = 0;
	bytes[6] = (uint8_t) shape->activation;
	bytes[7] = (uint8_t) shape->n_hidden;
	write_32(bytes + 8, (uint32_t) shape->n_sparse);
	write_32(bytes + 12, (uint32_t) shape->n_dense);
	write_32(bytes + 16, (uint32_t) shape->n_point);
	write_32(bytes + 20, (uint32_t) shape->width);
	for (int32_t l = 0; l < shape->n_hidden; l++, to += 4)
		write_32(to, (uint32_t) shape->hidden[l]);
	for (int32_t i = 0; (p = mr_net_matrix(net, i)) != NULL; i++)
		for (int32_t row = 0; row < p->n; row++)
		{
			const float *value = p->value + (size_t) row * p->stride;

			if (mr_net_tick(net, p->width, poll, arg))
				return MR_STOPPED;
			for (int32_t k = 0; k < p->width; k++, to += 4)
			{
				uint32_t	x;

				memcpy(&x, value + k, sizeof(x));
				write_32(to, x);
			}
		}
	return MR_OK;
}

/*
 * The shape of a stored network, to make memory for it; false, and *shape
 * untouched, if these n bytes cannot be one.  The weights are not looked at.
 */
bool
mr_net_read_shape(MrNetShape *shape, const uint8_t *bytes, size_t n)
{
	MrNetShape	read = {0};

	if (n < HEAD_BYTES || memcmp(bytes, net_magic, sizeof(net_magic)) != 0 ||
		bytes[4] != NET_FORMAT || bytes[5] != 0 || bytes[6] > MR_ACTIVATION_GELU || bytes[7] > MR_MAX_HIDDEN)
		return false;
	read.activation = (MrActivation) bytes[6];
	read.n_hidden = bytes[7];
	read.n_sparse = (int32_t) read_32(bytes + 8);
	read.n_dense = (int32_t) read_32(bytes + 12);
	read.n_point = (int32_t) read_32(bytes + 16);
	read.width = (int32_t) read_32(bytes + 20);
	if (n < HEAD_BYTES + 4 * (size_t) read.n_hidden)
		return false;
	for (int32_t l = 0; l < read.n_hidden; l++)
		read.hidden[l] = (int32_t) read_32(bytes + HEAD_BYTES + 4 * l);
	if (!mr_net_shape_valid(&read) || mr_net_bytes(&read) != n)
		return false;
	*shape = read;
	return true;
}

/* A row of weights; false if one is not finite. */
static bool
read_row(float *value, const uint8_t *from, int32_t width, int32_t stride)
{
	uint32_t	bad = 0;

	memset(value + width, 0, (stride - width) * sizeof(float));
	for (int32_t k = 0; k < width; k++)
	{
		uint32_t	x = read_32(from + 4 * (size_t) k);

		/* the exponent of infinities and of what is not a number is all ones */
		bad |= (x & 0x7f800000) == 0x7f800000;
		memcpy(value + k, &x, sizeof(x));
	}
	return !bad;
}

/*
 * Read the weights of a stored network into one that was laid out for its shape.
 * False if the bytes are damaged or of another shape, and if poll() said so
 * (*stopped); the network then is of no use.  One with an optimiser must have
 * been started before, and keeps its moments.
 */
bool
mr_net_read(MrNet *net, const uint8_t *bytes, size_t n, MrPoll poll, void *arg, bool *stopped)
{
	MrNetShape	shape;
	const uint8_t *from;
	MrPoints   *p;

	*stopped = false;
	if (!mr_net_read_shape(&shape, bytes, n) || memcmp(&shape, &net->shape, sizeof(shape)) != 0)
		return false;
	from = bytes + HEAD_BYTES + 4 * shape.n_hidden;
	for (int32_t i = 0; (p = mr_net_matrix(net, i)) != NULL; i++)
		for (int32_t row = 0; row < p->n; row++, from += 4 * (size_t) p->width)
		{
			if (mr_net_tick(net, p->width, poll, arg))
			{
				*stopped = true;
				return false;
			}
			if (!read_row(p->value + (size_t) row * p->stride, from, p->width, p->stride))
				return false;
		}
	return true;
}
