-- metricrec 0.2.0 -> 0.3.0: the index access method lsh.

\echo Use "ALTER EXTENSION metricrec UPDATE TO '0.3.0'" to load this file. \quit

--
-- The access method and its operator class: nearest neighbours by <->.
--
CREATE FUNCTION lsh_handler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME', 'mr_lsh_handler' LANGUAGE C STRICT;
COMMENT ON FUNCTION lsh_handler(internal) IS 'lsh index access method handler';

CREATE ACCESS METHOD lsh TYPE INDEX HANDLER lsh_handler;
COMMENT ON ACCESS METHOD lsh IS 'nearest neighbours by locality-sensitive hashing';

CREATE OPERATOR CLASS embedding_l2_ops
	DEFAULT FOR TYPE embedding USING lsh AS
	OPERATOR 1 <-> (embedding, embedding) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 l2_distance(embedding, embedding);
COMMENT ON OPERATOR CLASS embedding_l2_ops USING lsh IS 'nearest by Euclidean distance';
COMMENT ON OPERATOR FAMILY embedding_l2_ops USING lsh IS 'nearest by Euclidean distance';

--
-- Functions on one index.  Each checks by itself what its caller may see.
--
CREATE FUNCTION lsh_check(index regclass, heapallindexed boolean DEFAULT false) RETURNS void
	AS 'MODULE_PATHNAME', 'mr_lsh_check' LANGUAGE C STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION lsh_check(regclass, boolean) IS 'check an lsh index: its structure, and that every row of the table is in it';

CREATE FUNCTION lsh_recall(index regclass, sample integer DEFAULT 100, k integer DEFAULT 10) RETURNS double precision
	AS 'MODULE_PATHNAME', 'mr_lsh_recall' LANGUAGE C STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION lsh_recall(regclass, integer, integer) IS 'share of the k nearest rows that an lsh index finds, over a sample of the rows';

CREATE FUNCTION lsh_stats(
	index regclass,
	OUT format integer,
	OUT hash text,
	OUT dimensions integer,
	OUT groups bigint,
	OUT leaves bigint,
	OUT rows bigint,
	OUT null_rows bigint,
	OUT pages bigint,
	OUT deleted_pages bigint,
	OUT free_pages bigint,
	OUT fill double precision,
	OUT rows_at_build bigint,
	OUT leaves_at_build bigint,
	OUT leaves_since_build bigint,
	OUT target_recall double precision)
	AS 'MODULE_PATHNAME', 'mr_lsh_stats' LANGUAGE C STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION lsh_stats(regclass) IS 'what an lsh index is made of';

CREATE FUNCTION lsh_last_scan(
	OUT index regclass,
	OUT groups bigint,
	OUT leaves bigint,
	OUT candidates bigint,
	OUT ranked bigint,
	OUT dead bigint,
	OUT late bigint,
	OUT exhausted boolean,
	OUT exact boolean)
	AS 'MODULE_PATHNAME', 'mr_lsh_last_scan' LANGUAGE C STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION lsh_last_scan() IS 'what the last lsh index scan of the session that ended has read';
