-- Reads interactions by the loader, and by a bare SPI cursor beside it.
-- Variables: rows.  Output: one table, rows per second.
\set ON_ERROR_STOP on
\pset footer off
SET client_min_messages = warning;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
CREATE SCHEMA load_bench;
SET search_path = load_bench, public;
SET metricrec.training_memory = '4GB';

-- Users and items are skewed as ratings are, and in no order.
CREATE UNLOGGED TABLE by_bigint AS
	SELECT (random() * random() * 100000)::bigint * 7919 AS user_id,
		   (random() * random() * 20000)::bigint * 104729 AS item_id,
		   (1 + floor(random() * 5))::real AS rating,
		   now() - random() * interval '1000 days' AS rated_at
	FROM generate_series(1, :rows);
CREATE UNLOGGED TABLE by_text AS
	SELECT 'user-' || md5(user_id::text) AS user_id, 'item/' || item_id AS item_id FROM by_bigint;
CREATE UNLOGGED TABLE by_uuid AS
	SELECT md5(user_id::text)::uuid AS user_id, md5(item_id::text)::uuid AS item_id FROM by_bigint;
CREATE UNLOGGED TABLE by_numeric AS
	SELECT user_id::numeric, item_id::numeric FROM by_bigint;
VACUUM ANALYZE by_bigint;
VACUUM ANALYZE by_text;
VACUUM ANALYZE by_uuid;
VACUUM ANALYZE by_numeric;

CREATE FUNCTION describe(relation regclass, "user" name, item name, rating name, min_rating float8,
						 weight name, "time" name, hash boolean) RETURNS text
	LANGUAGE C AS '$libdir/metricrec', 'mr_dataset_describe';
CREATE FUNCTION cursor_only(relation regclass) RETURNS bigint
	LANGUAGE C AS '$libdir/metricrec', 'mr_dataset_bench_cursor';

CREATE TABLE result (ord serial, what text, seconds float8);
CREATE PROCEDURE measure(what text, command text) LANGUAGE plpgsql AS $$
DECLARE
	best float8;
	started timestamptz;
	seconds float8;
BEGIN
	FOR i IN 1..3 LOOP
		started := clock_timestamp();
		EXECUTE command;
		seconds := extract(epoch FROM clock_timestamp() - started);
		best := least(best, seconds);
	END LOOP;
	INSERT INTO result (what, seconds) VALUES (what, best);
END $$;

CALL measure('SPI cursor, bigint keys', 'SELECT load_bench.cursor_only(''load_bench.by_bigint'')');
CALL measure('load, bigint keys', 'SELECT load_bench.describe(''load_bench.by_bigint'', ''user_id'', ''item_id'', null, null, null, null, null)');
CALL measure('load, bigint keys, rating >= 4', 'SELECT load_bench.describe(''load_bench.by_bigint'', ''user_id'', ''item_id'', ''rating'', 4, null, null, null)');
CALL measure('load, bigint keys, rating, weight, time', 'SELECT load_bench.describe(''load_bench.by_bigint'', ''user_id'', ''item_id'', ''rating'', 2, ''rating'', ''rated_at'', null)');
CALL measure('SPI cursor, text keys', 'SELECT load_bench.cursor_only(''load_bench.by_text'')');
CALL measure('load, text keys', 'SELECT load_bench.describe(''load_bench.by_text'', ''user_id'', ''item_id'', null, null, null, null, null)');
CALL measure('SPI cursor, uuid keys', 'SELECT load_bench.cursor_only(''load_bench.by_uuid'')');
CALL measure('load, uuid keys', 'SELECT load_bench.describe(''load_bench.by_uuid'', ''user_id'', ''item_id'', null, null, null, null, null)');
CALL measure('SPI cursor, numeric keys', 'SELECT load_bench.cursor_only(''load_bench.by_numeric'')');
CALL measure('load, numeric keys', 'SELECT load_bench.describe(''load_bench.by_numeric'', ''user_id'', ''item_id'', null, null, null, null, null)');

SELECT what, :rows AS rows, round(seconds::numeric, 3) AS seconds,
	   round((:rows / seconds / 1e6)::numeric, 2) AS "million rows/s"
FROM result ORDER BY ord;
SELECT load_bench.describe('load_bench.by_bigint', 'user_id', 'item_id', 'rating', 4, NULL, NULL, NULL);
DROP SCHEMA load_bench CASCADE;
