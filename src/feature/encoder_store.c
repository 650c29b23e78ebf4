/*
 * encoder_store.c
 *		An encoder as bytes, and back.
 *
 *		int32 magic, int16 format, text key column, int64 rows, int32 n
 *		n times:
 *			text name, text type, int8 kind, int8 use
 *			int64 rows, nulls, distinct; float8 mean, deviation; int32 dimensions
 *			int32 min_count, int8 has_rare, float4 rare weight, int32 n_values
 *			n_values times: text value, float4 weight
 *		int32 CRC-32C of all that stands before
 *
 * Numbers are big-endian; a text is int32 length and UTF-8 (in a database of
 * encoding SQL_ASCII: the bytes as they are).  Types are names, so that a dump can be
 * restored elsewhere.  Places are not stored: they follow from the rest.
 *
 * Reading trusts nothing, the CRC neither: every count is compared with the bytes
 * that are left before memory is taken for it.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "feature/encoder.h"
#include "util/compat.h"

#define MAGIC 0x4D72466E
#define FORMAT 1

/* A relation cannot have more columns. */
#define MAX_COLUMNS 1664

/* A value takes its length and its weight, at least. */
#define LEAST_VALUE_BYTES 8

typedef struct Reader
{
	const char *at;
	Size		left;
} Reader;

MR_NORETURN static void damaged(const char *what);

static void
damaged(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("stored encoder of features is damaged"),
			 errdetail_internal("%s", what),
			 errhint("Train the model again.")));
}

/* Text in the encoding of the database, as it is stored. */
static void
write_text(StringInfo out, const char *text, int length)
{
	const char *stored = GetDatabaseEncoding() == PG_SQL_ASCII ? text : pg_server_to_any(text, length, PG_UTF8);
	int			n = stored == text ? length : (int) strlen(stored);

	pq_sendint32(out, n);
	appendBinaryStringInfo(out, stored, n);
}

static void
write_value(StringInfo out, const MrEncoderColumn *column, int32 i)
{
	Datum		value = mr_idmap_id(column->vocabulary, i);

	CHECK_FOR_INTERRUPTS();
	write_text(out, VARDATA_ANY(DatumGetPointer(value)), (int) VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
	pq_sendfloat4(out, column->weight[i]);
}

static void
write_column(StringInfo out, const MrEncoderColumn *column)
{
	write_text(out, column->name, strlen(column->name));
	write_text(out, column->type, strlen(column->type));
	pq_sendint8(out, column->kind);
	pq_sendint8(out, column->use);
	pq_sendint64(out, column->n_rows);
	pq_sendint64(out, column->n_nulls);
	pq_sendint64(out, column->n_distinct);
	pq_sendfloat8(out, column->mean);
	pq_sendfloat8(out, column->deviation);
	pq_sendint32(out, column->dimensions);
	pq_sendint32(out, column->min_count);
	pq_sendint8(out, column->has_rare);
	pq_sendfloat4(out, column->rare_weight);
	pq_sendint32(out, column->n_values);
	for (int32 i = 0; i < column->n_values; i++)
		write_value(out, column, i);
}

static uint32
checksum(const char *data, Size bytes)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, bytes);
	FIN_CRC32C(crc);
	return crc;
}

/* The encoder as bytes. */
bytea *
mr_encoder_write(const MrEncoder *encoder)
{
	StringInfoData out;
	int			header;

	pq_begintypsend(&out);
	header = out.len;
	pq_sendint32(&out, MAGIC);
	pq_sendint16(&out, FORMAT);
	write_text(&out, encoder->key_column, strlen(encoder->key_column));
	pq_sendint64(&out, encoder->n_rows);
	pq_sendint32(&out, encoder->n);
	for (int i = 0; i < encoder->n; i++)
		write_column(&out, &encoder->columns[i]);
	pq_sendint32(&out, checksum(out.data + header, out.len - header));
	return pq_endtypsend(&out);
}

static const char *
take(Reader *reader, Size n)
{
	const char *at = reader->at;

	if (n > reader->left)
		damaged("It ends too early.");
	reader->at += n;
	reader->left -= n;
	return at;
}

static int
read_int8(Reader *reader)
{
	return *(const unsigned char *) take(reader, 1);
}

static int32
read_int32(Reader *reader)
{
	uint32		n;

	memcpy(&n, take(reader, sizeof(n)), sizeof(n));
	return (int32) pg_ntoh32(n);
}

static int64
read_int64(Reader *reader)
{
	uint64		n;

	memcpy(&n, take(reader, sizeof(n)), sizeof(n));
	return (int64) pg_ntoh64(n);
}

/* A number of rows or values. */
static int64
read_count(Reader *reader)
{
	int64		n = read_int64(reader);

	if (n < 0)
		damaged("A count is negative.");
	return n;
}

static float
read_weight(Reader *reader)
{
	uint32		bits = (uint32) read_int32(reader);
	float		x;

	memcpy(&x, &bits, sizeof(x));
	if (!isfinite(x) || x < 0)
		damaged("A weight is not finite, or below 0.");
	return x;
}

static double
read_float8(Reader *reader)
{
	uint64		bits = (uint64) read_int64(reader);
	double		x;

	memcpy(&x, &bits, sizeof(x));
	if (!isfinite(x))
		damaged("A number is not finite.");
	return x;
}

/* A text in the encoding of the database, with a 0 at its end, in the current context. */
static char *
read_text(Reader *reader, int *length)
{
	int32		n = read_int32(reader);
	const char *stored;
	char	   *plain;
	char	   *text;

	if (n < 0 || (Size) n > reader->left)
		damaged("A text is longer than the rest.");
	stored = take(reader, n);
	if (memchr(stored, '\0', n) != NULL)
		damaged("A text has a zero byte.");
	if (GetDatabaseEncoding() != PG_SQL_ASCII && !pg_verify_mbstr(PG_UTF8, stored, n, true))
		damaged("A text is not UTF-8.");
	plain = pnstrdup(stored, n);
	text = GetDatabaseEncoding() == PG_SQL_ASCII ? plain : pg_any_to_server(plain, n, PG_UTF8);
	if (length)
		*length = (int) strlen(text);
	return text;
}

static char *
read_name(Reader *reader)
{
	int			length;
	char	   *name = read_text(reader, &length);

	if (length == 0)
		damaged("A name is empty.");
	return name;
}

/* One value of a vocabulary; the text is not kept but in the map. */
static void
read_value(Reader *reader, MrEncoderColumn *column, int32 i, MemoryContext scratch)
{
	MemoryContext old = MemoryContextSwitchTo(scratch);
	int			length;
	char	   *text = read_text(reader, &length);
	int32		at = mr_idmap_insert(column->vocabulary, PointerGetDatum(cstring_to_text_with_len(text, length)));

	if (at != i)
		damaged("A value occurs twice.");
	column->weight[i] = read_weight(reader);
	if (column->weight[i] == 0)
		damaged("A value has no weight.");
	MemoryContextSwitchTo(old);
	MemoryContextReset(scratch);
	CHECK_FOR_INTERRUPTS();
}

static void
read_vocabulary(Reader *reader, MrEncoderColumn *column, MemoryContext context)
{
	bool		is_counted = column->kind == MR_COLUMN_CATEGORY || column->kind == MR_COLUMN_LIST ||
		column->kind == MR_COLUMN_WORDS;
	int			has_rare = read_int8(reader);
	MemoryContext scratch;

	if (has_rare > 1)
		damaged("A flag is neither 0 nor 1.");
	column->has_rare = has_rare == 1;
	column->rare_weight = read_weight(reader);
	if (column->has_rare && column->rare_weight == 0)
		damaged("A value has no weight.");
	column->n_values = read_int32(reader);
	if (column->n_values < 0 || column->n_values > MR_MAX_SPARSE_COLUMNS ||
		(Size) column->n_values > reader->left / LEAST_VALUE_BYTES)
		damaged("A vocabulary is larger than the rest.");
	if (!is_counted)
	{
		if (column->n_values > 0 || column->has_rare)
			damaged("A column has a vocabulary that its kind does not have.");
		return;
	}
	column->vocabulary = mr_idmap_create(TEXTOID, C_COLLATION_OID, context);
	column->weight = palloc(sizeof(float) * Max(column->n_values, 1));
	scratch = AllocSetContextCreate(context, "metricrec encoder values", ALLOCSET_DEFAULT_SIZES);
	for (int32 i = 0; i < column->n_values; i++)
		read_value(reader, column, i, scratch);
	MemoryContextDelete(scratch);
}

static void
read_column(Reader *reader, MrEncoderColumn *column, MemoryContext context)
{
	int			kind;
	int			use;

	column->name = read_name(reader);
	column->type = read_name(reader);
	kind = read_int8(reader);
	use = read_int8(reader);
	if (strlen(column->name) >= NAMEDATALEN || kind >= MR_COLUMN_KINDS || use >= MR_COLUMN_USES)
		damaged("A column is not of a known kind.");
	column->kind = (MrColumnKind) kind;
	column->use = (MrColumnUse) use;
	column->n_rows = read_count(reader);
	column->n_nulls = read_count(reader);
	column->n_distinct = read_count(reader);
	column->mean = read_float8(reader);
	column->deviation = read_float8(reader);
	column->dimensions = read_int32(reader);
	column->min_count = read_int32(reader);
	if (column->deviation < 0 || column->dimensions < -1 || column->dimensions > MR_MAX_DENSE_COLUMNS ||
		(kind == MR_COLUMN_VECTOR && use == MR_COLUMN_USED && column->dimensions < 1))
		damaged("A column's statistics are out of range.");
	read_vocabulary(reader, column, context);
}

/* Begins to read: what stands before the CRC, if that is right. */
static void
open_reader(Reader *reader, const char *data, Size bytes)
{
	uint32		crc;
	uint16		format;

	reader->at = data;
	reader->left = bytes;
	if (bytes < sizeof(crc) || read_int32(reader) != MAGIC)
		damaged("It does not begin as one.");
	memcpy(&format, take(reader, sizeof(format)), sizeof(format));
	if (pg_ntoh16(format) != FORMAT)
		damaged("Its format is not known.");
	if (reader->left < sizeof(crc))
		damaged("It ends too early.");
	reader->left -= sizeof(crc);
	memcpy(&crc, data + bytes - sizeof(crc), sizeof(crc));
	if (pg_ntoh32(crc) != checksum(data, bytes - sizeof(crc)))
		damaged("Its checksum is wrong.");
}

/*
 * The encoder from its bytes, in a context of its own: whoever keeps it deletes
 * or resets `context`.  Error XX001 if the bytes are not what mr_encoder_write()
 * gave.
 */
MrEncoder *
mr_encoder_read(const char *data, Size bytes, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	MrEncoder  *encoder = palloc0(sizeof(MrEncoder));
	Reader		reader;

	encoder->context = context;
	open_reader(&reader, data, bytes);
	encoder->key_column = read_name(&reader);
	encoder->n_rows = read_count(&reader);
	encoder->n = read_int32(&reader);
	if (encoder->n < 0 || encoder->n > MAX_COLUMNS)
		damaged("The number of columns is out of range.");
	encoder->columns = palloc0(sizeof(MrEncoderColumn) * Max(encoder->n, 1));
	for (int i = 0; i < encoder->n; i++)
		read_column(&reader, &encoder->columns[i], context);
	if (reader.left > 0)
		damaged("It does not end where it should.");
	mr_encoder_place(encoder);
	MemoryContextSwitchTo(old);
	return encoder;
}
