\echo Use "CREATE EXTENSION metricrec" to load this file. \quit

-- A table is a type, too: whatever is called "embedding" in the target schema
-- would let CREATE TYPE fail below, without saying what to do.
DO $check$
BEGIN
	IF EXISTS (SELECT 1 FROM pg_catalog.pg_type AS t
			   WHERE t.typname OPERATOR(pg_catalog.=) 'embedding'::pg_catalog.name
				 AND t.typnamespace OPERATOR(pg_catalog.=) '@extschema@'::pg_catalog.regnamespace::pg_catalog.oid)
	THEN
		RAISE EXCEPTION 'type "embedding" already exists'
			USING ERRCODE = '42710',
				  DETAIL = 'A type or a table of that name is in the way, in the schema @extschema@.',
				  HINT = 'Choose another schema: CREATE EXTENSION metricrec SCHEMA other_schema.';
	END IF;
END
$check$;

--
-- The type
--
CREATE TYPE embedding;

CREATE FUNCTION embedding_in(cstring, oid, integer) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_out(embedding) RETURNS cstring
	AS 'MODULE_PATHNAME', 'mr_embedding_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_recv(internal, oid, integer) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_send(embedding) RETURNS bytea
	AS 'MODULE_PATHNAME', 'mr_embedding_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_typmod_in(cstring[]) RETURNS integer
	AS 'MODULE_PATHNAME', 'mr_embedding_typmod_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION embedding_in(cstring, oid, integer) IS 'I/O';
COMMENT ON FUNCTION embedding_out(embedding) IS 'I/O';
COMMENT ON FUNCTION embedding_recv(internal, oid, integer) IS 'I/O';
COMMENT ON FUNCTION embedding_send(embedding) IS 'I/O';
COMMENT ON FUNCTION embedding_typmod_in(cstring[]) IS 'I/O typmod';

CREATE TYPE embedding (
	INPUT = embedding_in,
	OUTPUT = embedding_out,
	RECEIVE = embedding_recv,
	SEND = embedding_send,
	TYPMOD_IN = embedding_typmod_in,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = int4,
	STORAGE = external
);
COMMENT ON TYPE embedding IS 'point of a metric space: 1 to 16000 finite float4, ''[1,2.5,-3]''';

--
-- Casts.  Those from arrays are for assignment, as between vectors and arrays
-- elsewhere; the way to real[] loses nothing and is implicit.
--
CREATE FUNCTION embedding(embedding, integer DEFAULT -1, boolean DEFAULT false) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_coerce' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_from_array(real[]) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_from_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_from_array(double precision[]) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_from_double_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_from_array(integer[]) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_from_integer_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_from_array(numeric[]) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_from_numeric_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_to_real_array(embedding) RETURNS real[]
	AS 'MODULE_PATHNAME', 'mr_embedding_to_real_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_to_double_array(embedding) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'mr_embedding_to_double_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION embedding(embedding, integer, boolean) IS 'check the number of dimensions: embedding to embedding(d)';
COMMENT ON FUNCTION embedding_from_array(real[]) IS 'convert real[] to embedding';
COMMENT ON FUNCTION embedding_from_array(double precision[]) IS 'convert double precision[] to embedding';
COMMENT ON FUNCTION embedding_from_array(integer[]) IS 'convert integer[] to embedding';
COMMENT ON FUNCTION embedding_from_array(numeric[]) IS 'convert numeric[] to embedding';
COMMENT ON FUNCTION embedding_to_real_array(embedding) IS 'convert embedding to real[]';
COMMENT ON FUNCTION embedding_to_double_array(embedding) IS 'convert embedding to double precision[]';

CREATE CAST (embedding AS embedding) WITH FUNCTION embedding(embedding, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (embedding AS embedding) IS 'length coercion: the number of dimensions is checked';
CREATE CAST (real[] AS embedding) WITH FUNCTION embedding_from_array(real[]) AS ASSIGNMENT;
COMMENT ON CAST (real[] AS embedding) IS 'elements that float4 cannot hold are an error';
CREATE CAST (double precision[] AS embedding) WITH FUNCTION embedding_from_array(double precision[]) AS ASSIGNMENT;
COMMENT ON CAST (double precision[] AS embedding) IS 'elements that float4 cannot hold are an error';
CREATE CAST (integer[] AS embedding) WITH FUNCTION embedding_from_array(integer[]) AS ASSIGNMENT;
COMMENT ON CAST (integer[] AS embedding) IS 'elements that float4 cannot hold are an error';
CREATE CAST (numeric[] AS embedding) WITH FUNCTION embedding_from_array(numeric[]) AS ASSIGNMENT;
COMMENT ON CAST (numeric[] AS embedding) IS 'elements that float4 cannot hold are an error';
CREATE CAST (embedding AS real[]) WITH FUNCTION embedding_to_real_array(embedding) AS IMPLICIT;
COMMENT ON CAST (embedding AS real[]) IS 'exact; also the bridge to other vector types';
CREATE CAST (embedding AS double precision[]) WITH FUNCTION embedding_to_double_array(embedding) AS ASSIGNMENT;
COMMENT ON CAST (embedding AS double precision[]) IS 'exact';

--
-- Functions
--
CREATE FUNCTION l2_distance(embedding, embedding) RETURNS double precision
	AS 'MODULE_PATHNAME', 'mr_embedding_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4;
CREATE FUNCTION dims(embedding) RETURNS integer
	AS 'MODULE_PATHNAME', 'mr_embedding_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION l2_norm(embedding) RETURNS double precision
	AS 'MODULE_PATHNAME', 'mr_embedding_l2_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4;
CREATE FUNCTION l2_normalize(embedding) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_l2_normalize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4;
CREATE FUNCTION embedding_add(embedding, embedding) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_add' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4;
CREATE FUNCTION embedding_sub(embedding, embedding) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_sub' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4;
CREATE FUNCTION embedding_mul(embedding, embedding) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_mul' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4;
COMMENT ON FUNCTION l2_distance(embedding, embedding) IS 'Euclidean distance';
COMMENT ON FUNCTION dims(embedding) IS 'number of dimensions';
COMMENT ON FUNCTION l2_norm(embedding) IS 'Euclidean length';
COMMENT ON FUNCTION l2_normalize(embedding) IS 'same direction, length 1; zero stays zero';
COMMENT ON FUNCTION embedding_add(embedding, embedding) IS 'implementation of + operator';
COMMENT ON FUNCTION embedding_sub(embedding, embedding) IS 'implementation of - operator';
COMMENT ON FUNCTION embedding_mul(embedding, embedding) IS 'implementation of * operator';

CREATE FUNCTION embedding_lt(embedding, embedding) RETURNS boolean
	AS 'MODULE_PATHNAME', 'mr_embedding_lt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_le(embedding, embedding) RETURNS boolean
	AS 'MODULE_PATHNAME', 'mr_embedding_le' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_eq(embedding, embedding) RETURNS boolean
	AS 'MODULE_PATHNAME', 'mr_embedding_eq' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_ne(embedding, embedding) RETURNS boolean
	AS 'MODULE_PATHNAME', 'mr_embedding_ne' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_ge(embedding, embedding) RETURNS boolean
	AS 'MODULE_PATHNAME', 'mr_embedding_ge' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_gt(embedding, embedding) RETURNS boolean
	AS 'MODULE_PATHNAME', 'mr_embedding_gt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_cmp(embedding, embedding) RETURNS integer
	AS 'MODULE_PATHNAME', 'mr_embedding_cmp' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_hash(embedding) RETURNS integer
	AS 'MODULE_PATHNAME', 'mr_embedding_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_hash_extended(embedding, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'mr_embedding_hash_extended' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION embedding_lt(embedding, embedding) IS 'implementation of < operator';
COMMENT ON FUNCTION embedding_le(embedding, embedding) IS 'implementation of <= operator';
COMMENT ON FUNCTION embedding_eq(embedding, embedding) IS 'implementation of = operator';
COMMENT ON FUNCTION embedding_ne(embedding, embedding) IS 'implementation of <> operator';
COMMENT ON FUNCTION embedding_ge(embedding, embedding) IS 'implementation of >= operator';
COMMENT ON FUNCTION embedding_gt(embedding, embedding) IS 'implementation of > operator';
COMMENT ON FUNCTION embedding_cmp(embedding, embedding) IS 'less-equal-greater';
COMMENT ON FUNCTION embedding_hash(embedding) IS 'hash';
COMMENT ON FUNCTION embedding_hash_extended(embedding, bigint) IS 'hash, with seed';

--
-- Operators.  <-> is immutable and a member of the extension, so postgres_fdw
-- sends it to a server whose option "extensions" names metricrec.
--
CREATE OPERATOR <-> (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = l2_distance,
	COMMUTATOR = <->
);
COMMENT ON OPERATOR <-> (embedding, embedding) IS 'Euclidean distance';
CREATE OPERATOR + (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = embedding_add,
	COMMUTATOR = +
);
COMMENT ON OPERATOR + (embedding, embedding) IS 'add, coordinate by coordinate';
CREATE OPERATOR - (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = embedding_sub
);
COMMENT ON OPERATOR - (embedding, embedding) IS 'subtract, coordinate by coordinate';
CREATE OPERATOR * (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = embedding_mul,
	COMMUTATOR = *
);
COMMENT ON OPERATOR * (embedding, embedding) IS 'multiply, coordinate by coordinate';

CREATE OPERATOR < (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = embedding_lt,
	COMMUTATOR = >, NEGATOR = >=,
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR < (embedding, embedding) IS 'less than';
CREATE OPERATOR <= (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = embedding_le,
	COMMUTATOR = >=, NEGATOR = >,
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR <= (embedding, embedding) IS 'less than or equal';
CREATE OPERATOR = (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = embedding_eq,
	COMMUTATOR = =, NEGATOR = <>,
	RESTRICT = eqsel, JOIN = eqjoinsel,
	HASHES, MERGES
);
COMMENT ON OPERATOR = (embedding, embedding) IS 'equal; -0 equals 0';
CREATE OPERATOR <> (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = embedding_ne,
	COMMUTATOR = <>, NEGATOR = =,
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (embedding, embedding) IS 'not equal';
CREATE OPERATOR >= (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = embedding_ge,
	COMMUTATOR = <=, NEGATOR = <,
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR >= (embedding, embedding) IS 'greater than or equal';
CREATE OPERATOR > (
	LEFTARG = embedding, RIGHTARG = embedding, FUNCTION = embedding_gt,
	COMMUTATOR = <, NEGATOR = <=,
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR > (embedding, embedding) IS 'greater than';

--
-- Operator classes: sorting, grouping, joins, uniqueness; not nearest neighbours.
-- No btree support 4 (equalimage): -0 and 0 are equal and look different.
--
CREATE OPERATOR CLASS embedding_ops
	DEFAULT FOR TYPE embedding USING btree AS
	OPERATOR 1 <,
	OPERATOR 2 <=,
	OPERATOR 3 =,
	OPERATOR 4 >=,
	OPERATOR 5 >,
	FUNCTION 1 embedding_cmp(embedding, embedding);
COMMENT ON OPERATOR CLASS embedding_ops USING btree IS 'coordinate by coordinate; a prefix comes first';

CREATE OPERATOR CLASS embedding_hash_ops
	DEFAULT FOR TYPE embedding USING hash AS
	OPERATOR 1 =,
	FUNCTION 1 embedding_hash(embedding),
	FUNCTION 2 embedding_hash_extended(embedding, bigint);
COMMENT ON OPERATOR CLASS embedding_hash_ops USING hash IS 'equality of embeddings';

--
-- Aggregates
--
CREATE FUNCTION embedding_accumulate(internal, embedding) RETURNS internal
	AS 'MODULE_PATHNAME', 'mr_embedding_accumulate' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION embedding_combine(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'mr_embedding_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION embedding_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME', 'mr_embedding_serialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'mr_embedding_deserialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION embedding_avg(internal) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_avg' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION embedding_sum(internal) RETURNS embedding
	AS 'MODULE_PATHNAME', 'mr_embedding_sum' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION embedding_accumulate(internal, embedding) IS 'aggregate transition function';
COMMENT ON FUNCTION embedding_combine(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION embedding_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION embedding_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION embedding_avg(internal) IS 'aggregate final function';
COMMENT ON FUNCTION embedding_sum(internal) IS 'aggregate final function';

CREATE AGGREGATE avg(embedding) (
	SFUNC = embedding_accumulate,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = embedding_avg,
	COMBINEFUNC = embedding_combine,
	SERIALFUNC = embedding_serialize,
	DESERIALFUNC = embedding_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE avg(embedding) IS 'mean of the embeddings, coordinate by coordinate';

CREATE AGGREGATE sum(embedding) (
	SFUNC = embedding_accumulate,
	STYPE = internal,
	SSPACE = 1024,
	FINALFUNC = embedding_sum,
	COMBINEFUNC = embedding_combine,
	SERIALFUNC = embedding_serialize,
	DESERIALFUNC = embedding_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE sum(embedding) IS 'sum of the embeddings, coordinate by coordinate';
