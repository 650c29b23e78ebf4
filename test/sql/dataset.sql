--
-- The loader: from a relation with ids to row numbers.  It is not in reach of
-- SQL by itself; these two functions show what it makes.
--
CREATE SCHEMA ds;
SET search_path = ds, public;
CREATE FUNCTION describe(relation regclass, "user" name DEFAULT 'u', item name DEFAULT 'i', rating name DEFAULT NULL,
						 min_rating float8 DEFAULT NULL, weight name DEFAULT NULL, "time" name DEFAULT NULL,
						 hash boolean DEFAULT false) RETURNS text
	LANGUAGE C AS '$libdir/metricrec', 'mr_dataset_describe';
CREATE FUNCTION describe_mapped(relation regclass, "user" name, item name, rating name, min_rating float8, weight name,
								"time" name, test regclass) RETURNS text
	LANGUAGE C AS '$libdir/metricrec', 'mr_dataset_describe_mapped';
-- an error with everything that belongs to it
CREATE FUNCTION fails(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
	state text;
BEGIN
	EXECUTE command;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
		state = RETURNED_SQLSTATE;
	RETURN concat_ws(' | ', state, message, nullif(detail, ''), nullif(hint, ''));
END $$;

-- empty
CREATE TABLE t (u bigint, i bigint, r real, w numeric, at timestamptz);
SELECT describe('t');
SELECT describe('t', rating => 'r', weight => 'w', "time" => 'at');

-- ids in their order, pairs by user; NULL keys are skipped
INSERT INTO t VALUES (30, 5, 4, 1, '2000-01-02 00:00+00'), (-7, 200, 5, 2, '2000-01-01 00:00:01+00'),
	(30, -1, 2, 1, NULL), (NULL, 5, 5, 1, now()), (30, NULL, 5, 1, now()), (30, 200, 3, 1, '-infinity');
SELECT describe('t');
-- below the minimum: seen; user and item without a positive are dropped
SELECT describe('t', rating => 'r', min_rating => 3);
SELECT describe('t', rating => 'r', min_rating => 3.5);
SELECT describe('t', rating => 'r', min_rating => 6);
SELECT describe('t', rating => 'r');
SELECT describe('t', weight => 'w', "time" => 'at');

-- NULL, not finite, not positive: skipped; so are weights that no float4 holds
TRUNCATE t;
INSERT INTO t VALUES (1, 1, NULL, 1), (1, 2, 'NaN', 1), (1, 3, 'Infinity', 1), (1, 4, '-Infinity', 1),
	(1, 5, 1, NULL), (1, 6, 1, 'NaN'), (1, 7, 1, 0), (1, 8, 1, -1), (1, 9, 1, 1e300), (1, 10, 1, 1e-300), (1, 11, 1, 0.5);
SELECT describe('t', rating => 'r', weight => 'w');

-- duplicates: one qualifying row makes the pair positive; weights add up, the latest time stays
TRUNCATE t;
INSERT INTO t VALUES (1, 1, 5, 1, 'epoch'), (1, 1, 1, 10, '2000-01-09 00:00+00'), (1, 1, 4, 2, '2000-01-01 00:00:05+00'),
	(1, 2, 1, 1, NULL), (1, 2, 1, 1, NULL),
	(2, 2, 5, 1, '2000-01-01 00:00:07+00'), (2, 1, 1, 1, NULL), (2, 1, 1, 1, NULL), (3, 1, 1, 1, NULL);
SELECT describe('t', rating => 'r', min_rating => 4, weight => 'w', "time" => 'at');
-- sums do not overflow a float4
TRUNCATE t;
INSERT INTO t SELECT 1, 1, 1, 3e38 FROM generate_series(1, 3);
SELECT describe('t', weight => 'w');

-- times of any sortable type become numbers in the same order
CREATE TABLE times (u int, i int, i2 int2, d date, ts timestamp, f float8, n numeric, txt text);
INSERT INTO times VALUES (1, 1, -3, '1999-12-30', '2000-01-01 00:00:01', -2.5, -2.5), (1, 2, 7, 'infinity', '-infinity', 0, 0),
	(1, 3, NULL, NULL, NULL, NULL, NULL), (1, 4, 0, '2000-01-01', 'infinity', 'NaN', 'NaN');
SELECT describe('times', "time" => 'i2');
SELECT describe('times', "time" => 'd');
SELECT describe('times', "time" => 'ts');
SELECT describe('times', "time" => 'f') = describe('times', "time" => 'n') AS same;
-- in the order of f, the order keys ascend: infinities and the smallest included
CREATE VIEW few AS SELECT 1 AS u, row_number() OVER (ORDER BY f) AS i, f
	FROM (VALUES ('-Infinity'::float8), (-1e300), (-1), (-1e-300), (0), (1e-300), (1), ('Infinity')) v (f);
WITH w AS (SELECT split_part(w, '@', 2)::bigint AS key, split_part(split_part(w, '@', 1), ':', 2)::int AS i
		   FROM unnest(string_to_array(describe('few', "time" => 'f'), ' ')) w WHERE w LIKE '0:%@%')
SELECT count(*), bool_and(key > before) AS ascending
FROM (SELECT key, lag(key) OVER (ORDER BY i) AS before FROM w) x;
SELECT fails($$SELECT describe('times', "time" => 'txt')$$);

-- The set of the rows decides, not their order; all types of keys.
CREATE TABLE source AS
	SELECT x, (x * 7919) % 97 AS u, (x * 104729 / 13) % 53 AS i, x % 5 + 1 AS r, (x * 31 % 17 + 1) / 10.0::float8 AS w,
		   timestamptz '2020-01-01 00:00+00' + x % 1000 * interval '1 minute' AS at
	FROM generate_series(1, 5000) x;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE shop_item AS (shop int, name text, price numeric);
CREATE DOMAIN sku AS varchar(20) CHECK (value <> '');
CREATE TABLE result (kind text, run int, said text);
CREATE PROCEDURE compare(kind text, user_key text, item_key text) LANGUAGE plpgsql AS $$
BEGIN
	FOR run IN 1..3 LOOP
		EXECUTE format('CREATE TABLE shuffled AS SELECT %s AS u, %s AS i, r, w, at FROM ds.source ORDER BY %s',
					   user_key, item_key, (ARRAY['x', 'x DESC', 'hashint4(x)'])[run]);
		INSERT INTO result SELECT kind, run, ds.describe('shuffled', 'u', 'i', 'r', 3, 'w', 'at', true);
		DROP TABLE shuffled;
	END LOOP;
END $$;
CALL compare('smallint, int', 'u::smallint', 'i::int');
CALL compare('bigint, int', '(u - 50)::bigint * 10000000000', '-i');
CALL compare('text, varchar', $$'user ' || u || repeat('x', u)$$, $$('i' || i)::varchar(12)$$);
CALL compare('long text', $$repeat('user ' || u, 1000)$$, $$repeat('i', 1000) || i$$);
CALL compare('char(n)', 'u::text::char(7)', 'i::text::char(20)');
CALL compare('uuid, bytea', 'md5(u::text)::uuid', $$decode(md5(i::text), 'hex')$$);
CALL compare('numeric in two forms', $$CASE WHEN x % 2 = 0 THEN u::numeric ELSE u::numeric(10,2) END$$, 'i / 8.0');
CALL compare('date, timestamptz', $$date '2000-01-01' - u$$, $$timestamptz '2000-01-01 00:00+00' + i * interval '1 day'$$);
CALL compare('enum, boolean', $$(ARRAY['sad', 'ok', 'happy'])[u % 3 + 1]::ds.mood$$, 'i % 2 = 0');
CALL compare('composite, array', $$ROW(u, 'n' || u, u / 4.0)::ds.shop_item$$, 'ARRAY[i, i + 1]');
CALL compare('composite with long text', $$ROW(u, repeat('n' || u, 1500), 1)::ds.shop_item$$, $$ARRAY[repeat('n' || i, 1500)]$$);
CALL compare('domain, name', $$('s' || u)::ds.sku$$, $$('n' || i)::name$$);
CALL compare('float8, interval', 'u / 8.0::float8', $$i * interval '1 day'$$);
CALL compare('inet, range', $$inet '10.0.0.0' + u$$, 'int4range(i, i + 5)');
CALL compare('no btree order: xid', 'u::text::xid', 'i');
SELECT kind, count(DISTINCT said) AS distinct_results, regexp_replace(min(said), ' hash .*', '') FROM result GROUP BY kind ORDER BY kind COLLATE "C";
-- a change of one row changes the hash
CREATE TABLE other AS SELECT * FROM source;
SELECT describe('source', hash => true) = describe('other', hash => true) AS same;
UPDATE other SET i = 54 WHERE x = 17;
SELECT describe('source', hash => true) = describe('other', hash => true) AS same;

-- the order of ids: by value, by bytes, by the enum; equal ids of several forms are one
CREATE TABLE ids (n numeric, c char(6), v varchar, m mood, b bytea, s shop_item, x xid);
INSERT INTO ids VALUES (10, 'b', 'B', 'happy', '\x01', (2, 'a', 1), '10'), (9.50, 'b ', 'a', 'sad', '\x00', (1, 'b', 1.0), '9'),
	(9.5, 'a', 'Z', 'ok', '\x0000', (1, 'b', 1), '100'), (-1, 'ab', 'aa', 'sad', '', (1, NULL, 1), '9');
SELECT describe('ids', 'n', 'c');
SELECT describe('ids', 'm', 'v');
SELECT describe('ids', 'b', 's');
SELECT describe('ids', 'x', 'x');

-- more ids than a batch, text longer than the staging buffer
CREATE TABLE many AS SELECT x % 3000 AS u, repeat('k', x % 700) || x AS i FROM generate_series(1, 9000) x;
SELECT regexp_replace(describe('many', hash => true), ' hash.*', '');

-- any kind of relation; odd names
CREATE TABLE parts (u int, gone text, i int) PARTITION BY RANGE (u);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 (i int, u int, gone text);
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (10) TO (20);
ALTER TABLE parts DROP COLUMN gone;
INSERT INTO parts VALUES (1, 5), (12, 4);
SELECT describe('parts');
CREATE VIEW v AS SELECT ROW(u, 'k', 1)::shop_item AS u, i FROM parts;
SELECT describe('v');
CREATE MATERIALIZED VIEW mv AS SELECT u, i + 1 AS i FROM parts;
SELECT describe('mv');
CREATE TABLE "Odd ""table" ("select" int, "user; id" int, t int);
INSERT INTO "Odd ""table" VALUES (1, 2, 3);
SELECT describe('"Odd ""table"', 'select', 'user; id');
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE far (u int, i int) SERVER nowhere;
SELECT fails($$SELECT describe('far')$$);
SET search_path = '';
SELECT ds.describe('ds.v');
SET search_path = ds, public;
-- under a plan with workers
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE result_serial AS SELECT describe('source', rating => 'r', min_rating => 3, weight => 'w', hash => true) AS said;
SET max_parallel_workers_per_gather = 0;
SELECT describe('source', rating => 'r', min_rating => 3, weight => 'w', hash => true) = said AS same FROM result_serial;
RESET ALL;
SET search_path = ds, public;

-- what was not committed counts too; the loader writes nothing
BEGIN READ ONLY;
SELECT describe('mv');
COMMIT;

-- a collation that calls different bytes equal (a server without ICU has none: plain text in its place)
DO $$
BEGIN
	CREATE COLLATION ds.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE TABLE ds.words (u text COLLATE ds.any_case, i text);
	INSERT INTO ds.words VALUES ('a', 'a'), ('A', 'A'), ('b', 'a'), ('B', 'a');
EXCEPTION WHEN feature_not_supported THEN
	CREATE TABLE ds.words (u text, i text);
	INSERT INTO ds.words VALUES ('A', 'a'), ('A', 'A'), ('B', 'a'), ('B', 'a');
END $$;
SELECT describe('words');

-- other relations by the maps of the first
CREATE TABLE train (u int, i int, r int);
CREATE TABLE test (u bigint, i smallint, r int);
INSERT INTO train VALUES (1, 10, 5), (2, 10, 5), (2, 20, 5), (3, 30, 1);
INSERT INTO test VALUES (1, 20, 5), (1, 20, 4), (1, 99, 5), (1, 98, 5), (1, 99, 5), (2, 10, 1), (3, 10, 5), (7, 10, 5),
	(7, 99, 5), (7, 99, 5), (99999999999, 20, 5), (NULL, 1, 5), (8, 10, 1), (2, 97, 5);
SELECT describe_mapped('train', 'u', 'i', 'r', 3, NULL, NULL, 'test');
SELECT describe_mapped('train', 'u', 'i', NULL, NULL, 'r', NULL, 'test');
CREATE VIEW test_text AS SELECT u::text, i::numeric, r FROM test;
SELECT describe_mapped('train', 'u', 'i', 'r', 3, NULL, NULL, 'test_text');
-- the same ids as strings, known and unknown
CREATE VIEW train_text AS SELECT 'user ' || u AS u, i::text AS i, r FROM train;
CREATE VIEW test_words AS SELECT ('user ' || u)::varchar AS u, i, r FROM test;
SELECT describe_mapped('train_text', 'u', 'i', 'r', 3, NULL, NULL, 'test_words');
CREATE VIEW train_numeric AS SELECT u::numeric, i::numeric, r FROM train;
SELECT describe_mapped('train_numeric', 'u', 'i', 'r', 3, NULL, NULL, 'test');
SELECT describe_mapped('train', 'u', 'i', 'r', 3, NULL, NULL, 'train');
CREATE VIEW test_date AS SELECT date '2000-01-01' AS u, 1 AS i, 1 AS r;
SELECT fails($$SELECT describe_mapped('train', 'u', 'i', 'r', 3, NULL, NULL, 'test_date')$$);

-- bad input
CREATE SEQUENCE seq;
CREATE INDEX t_index ON t (u);
CREATE TABLE bad (u json, i point, r text, b boolean);
SELECT fails($$SELECT describe('seq')$$);
SELECT fails($$SELECT describe('t_index')$$);
SELECT fails($$SELECT describe('shop_item')$$);
SELECT fails($$SELECT describe('t', 'nobody')$$);
SELECT fails($$SELECT describe('parts', 'gone')$$);
SELECT fails($$SELECT describe('t', 'ctid')$$);
SELECT fails($$SELECT describe('bad')$$);
SELECT fails($$SELECT describe('bad', 'b')$$);
SELECT fails($$SELECT describe('bad', 'b', 'r', rating => 'r')$$);
SELECT fails($$SELECT describe('bad', 'b', 'r', weight => 'b')$$);
SELECT fails($$SELECT describe(1::oid::regclass)$$);
CREATE VIEW breaks AS SELECT 1 AS u, 1 / (x - 300) AS i FROM generate_series(1, 400) x;
SELECT fails($$SELECT describe('breaks')$$);
SELECT describe('mv');

-- privileges and row-level security are those of the caller
CREATE ROLE regress_ds_reader;
GRANT USAGE ON SCHEMA ds TO regress_ds_reader;
CREATE TABLE guarded (u int, i int, r int);
INSERT INTO guarded VALUES (1, 1, 1), (1, 2, 1), (2, 2, 1);
CREATE POLICY own ON guarded USING (u = 1);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
SELECT describe('guarded');
SET ROLE regress_ds_reader;
SELECT fails($$SELECT ds.describe('ds.guarded')$$);
RESET ROLE;
GRANT SELECT (u, i) ON guarded TO regress_ds_reader;
SET ROLE regress_ds_reader;
SELECT describe('guarded');
SELECT fails($$SELECT ds.describe('ds.guarded', rating => 'r')$$);
SET row_security = off;
SELECT fails($$SELECT ds.describe('ds.guarded')$$);
RESET row_security;
RESET ROLE;

-- memory: refused before it is taken, with both figures
SET metricrec.training_memory = '1MB';
CREATE VIEW large AS SELECT x % 1000 AS u, x AS i FROM generate_series(1, 300000) x;
CREATE VIEW large_text AS SELECT x % 1000 AS u, md5(x::text) AS i FROM generate_series(1, 300000) x;
SELECT regexp_replace(fails($$SELECT describe('large')$$), '(After|least|is) [0-9]+', '\1 N', 'g');
SELECT regexp_replace(fails($$SELECT describe('large_text')$$), '(After|least|is) [0-9]+', '\1 N', 'g');
SELECT describe('mv');
RESET metricrec.training_memory;

-- cancelled: an error, and nothing stays behind
CREATE VIEW endless AS SELECT x AS u, y AS i FROM generate_series(1, 1000) x, generate_series(1, 1000) y, generate_series(1, 1000) z;
SET statement_timeout = 200;
SELECT describe('endless');
RESET statement_timeout;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'metricrec dataset%';

SET client_min_messages = warning;
DROP SCHEMA ds CASCADE;
DROP FOREIGN DATA WRAPPER nothing CASCADE;
DROP ROLE regress_ds_reader;
