-- Builds of an lsh index: from no rows, from equal ones, on every kind of table
-- that an index can be on, by several workers, repeatably, and interrupted.
CREATE SCHEMA lsh_build;
SET search_path = lsh_build, public;
\getenv folder PG_ABS_SRCDIR
\set helpers :folder /lib/lsh.sql
\set ECHO none
\i :helpers
\set ECHO all
SET enable_seqscan = off;
SET jit = off;
CREATE TABLE query AS SELECT id, vector_of('clustered', 8, 50000 + id) AS e FROM generate_series(1, 5) AS id;
CREATE TABLE source AS SELECT i::int AS id, vector_of('clustered', 8, i) AS e FROM generate_series(1, 12000) AS i;

-- nothing, NULLs only, one row, then rows
CREATE TABLE nothing (id int, e embedding);
CREATE INDEX nothing_e ON nothing USING lsh (e);
CREATE INDEX nothing_p ON nothing USING lsh (e) WITH (hash = 'projection');
SELECT lsh_check('nothing_e', true), lsh_check('nothing_p', true);
SELECT count(*) FROM (SELECT id FROM nothing ORDER BY e <-> '[1,2]') AS x;
VACUUM nothing;
INSERT INTO nothing SELECT i, NULL FROM generate_series(1, 3000) AS i;
REINDEX TABLE nothing;
SELECT lsh_check('nothing_e', true), lsh_check('nothing_p', true);
SELECT * FROM whole_scans('nothing', 'query');
INSERT INTO nothing VALUES (0, '[1,2,3,4,5,6,7,8]');
REINDEX TABLE nothing;
SELECT lsh_check('nothing_e', true), lsh_check('nothing_p', true);
SELECT * FROM whole_scans('nothing', 'query');
-- rows after the build of an empty table: as many pages must not be many more than those of a build
TRUNCATE nothing;
DROP INDEX nothing_p;
INSERT INTO nothing SELECT * FROM source;
SELECT lsh_check('nothing_e', true), recall('nothing', 'query', 10) >= 0.97 AS recall;
SELECT pg_relation_size('nothing_e') AS grown \gset
REINDEX INDEX nothing_e;
SELECT lsh_check('nothing_e', true), recall('nothing', 'query', 10) >= 0.97 AS recall,
	   :grown < 1.6 * pg_relation_size('nothing_e') AS grown_small, pg_relation_size('nothing_e') < 0.9 * pg_relation_size('nothing') AS small;
DROP TABLE nothing;

-- vectors that are all equal, zero, or a few thousand times the same
CREATE TABLE same (id int, e embedding);
INSERT INTO same SELECT i, '[3,4]' FROM generate_series(1, 5000) AS i;
CREATE INDEX same_v ON same USING lsh (e);
CREATE INDEX same_p ON same USING lsh (e) WITH (hash = 'projection');
SELECT lsh_check('same_v', true), lsh_check('same_p', true);
SELECT whole_scan('same', '[0,0]', true), whole_scan('same', '[3,4]', true);
DROP INDEX same_v;
SELECT whole_scan('same', '[0,0]', true), whole_scan('same', '[3,4]', true);
INSERT INTO same SELECT i, '[0,0]' FROM generate_series(1, 5000) AS i;
INSERT INTO same SELECT i, '[-3,-4]' FROM generate_series(1, 5000) AS i;
CREATE INDEX same_v ON same USING lsh (e);
REINDEX INDEX same_p;
INSERT INTO same SELECT i, e FROM unnest('{"[0,0]","[3,4]","[0,-0]"}'::embedding[]) AS e, generate_series(1, 500) AS i;
SELECT lsh_check('same_v', true), lsh_check('same_p', true);
SELECT whole_scan('same', '[1,1]', false);
DROP INDEX same_p;
SELECT whole_scan('same', '[1,1]', false), whole_scan('same', '[0,0]', false);
DROP TABLE same;

-- dimensions: 1, 2,000, more; different ones in one column
CREATE TABLE long AS SELECT id, vector_of('uniform', 2000, id) AS e FROM generate_series(1, 60) AS id;
CREATE INDEX long_v ON long USING lsh (e);
CREATE INDEX long_p ON long USING lsh (e) WITH (hash = 'projection');
SELECT lsh_check('long_v', true), lsh_check('long_p', true);
UPDATE long SET e = ((e::real[]) || 0::real)::embedding;
REINDEX INDEX long_v;
TRUNCATE long;
INSERT INTO long VALUES (1, '[1,2]'), (2, NULL), (3, '[1,2,3]');
DROP TABLE long;
CREATE TABLE long (id int, e embedding);
INSERT INTO long VALUES (1, '[1,2]'), (2, NULL), (3, '[1,2,3]');
CREATE INDEX ON long USING lsh (e);
CREATE INDEX ON long USING lsh (e) WHERE dims(e) = 2;
CREATE INDEX ON long USING lsh ((e::embedding(3))) WHERE dims(e) = 3;
DROP TABLE long;
CREATE TABLE short AS SELECT i::int AS id, ARRAY[noise(i, 3)]::embedding AS e FROM generate_series(1, 3000) AS i;
CREATE INDEX short_v ON short USING lsh (e);
CREATE INDEX short_p ON short USING lsh (e) WITH (hash = 'projection');
SELECT lsh_check('short_v', true), lsh_check('short_p', true), whole_scan('short', '[0.3]', false);
DROP TABLE short;

-- dead rows are left out, rows whose deleter has not ended are in
CREATE TABLE dead AS SELECT * FROM source WHERE id <= 3000;
ALTER TABLE dead SET (autovacuum_enabled = off);
DELETE FROM dead WHERE id % 3 = 0;
UPDATE dead SET e = e + '[1,0,0,0,0,0,0,0]' WHERE id % 3 = 1;
CREATE INDEX dead_e ON dead USING lsh (e);
SELECT lsh_check('dead_e', true);
SELECT * FROM whole_scans('dead', 'query');
-- heap-only tuples: the index points at the root of a chain
ALTER TABLE dead ADD COLUMN note text;
UPDATE dead SET note = 'x' WHERE id % 5 = 0;
UPDATE dead SET note = 'y' WHERE id % 5 = 0;
REINDEX INDEX dead_e;
SELECT lsh_check('dead_e', true);
SELECT * FROM whole_scans('dead', 'query');
-- built by the transaction that changes the rows
BEGIN;
DELETE FROM dead WHERE id < 100;
UPDATE dead SET e = e + '[0,1,0,0,0,0,0,0]' WHERE id < 200;
DROP INDEX dead_e;
CREATE INDEX dead_e ON dead USING lsh (e);
SELECT lsh_check('dead_e', true);
SELECT * FROM whole_scans('dead', 'query');
ROLLBACK;
SELECT lsh_check('dead_e', true);
SELECT * FROM whole_scans('dead', 'query');
DROP TABLE dead;

-- unlogged; to logged and back
CREATE UNLOGGED TABLE kind AS SELECT * FROM source WHERE id <= 3000;
CREATE INDEX kind_e ON kind USING lsh (e);
INSERT INTO kind SELECT * FROM source WHERE id > 11000;
SELECT lsh_check('kind_e', true), recall('kind', 'query', 10) >= 0.97 AS recall;
ALTER TABLE kind SET LOGGED;
INSERT INTO kind SELECT * FROM source WHERE id BETWEEN 10000 AND 11000;
SELECT lsh_check('kind_e', true), recall('kind', 'query', 10) >= 0.97 AS recall;
ALTER TABLE kind SET UNLOGGED;
SELECT lsh_check('kind_e', true), recall('kind', 'query', 10) >= 0.97 AS recall;
-- made anew by the server: rewritten, clustered, another type, truncated
ALTER TABLE kind ALTER e TYPE embedding(8), ADD COLUMN added timestamptz DEFAULT clock_timestamp();
CREATE INDEX kind_id ON kind (id);
CLUSTER kind USING kind_id;
VACUUM FULL kind;
SELECT lsh_check('kind_e', true), recall('kind', 'query', 10) >= 0.97 AS recall;
CLUSTER kind USING kind_e;
TRUNCATE kind;
SELECT lsh_check('kind_e', true), count(*) FROM (SELECT FROM kind ORDER BY e <-> '[1,2]') AS x;
INSERT INTO kind SELECT * FROM source WHERE id <= 1000;
BEGIN;
TRUNCATE kind;
INSERT INTO kind SELECT * FROM source WHERE id <= 10;
SELECT lsh_check('kind_e', true), count(*) FROM (SELECT FROM kind ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
ROLLBACK;
SELECT lsh_check('kind_e', true), count(*) FROM (SELECT FROM kind ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
-- a table that this transaction made
BEGIN;
CREATE TABLE new AS SELECT * FROM source;
CREATE INDEX new_e ON new USING lsh (e);
INSERT INTO new SELECT * FROM source WHERE id <= 2000;
SELECT lsh_check('new_e', true), recall('new', 'query', 10) >= 0.97 AS recall;
COMMIT;
SELECT lsh_check('new_e', true);
DROP TABLE kind, new;

-- temporary
CREATE TEMPORARY TABLE mine AS SELECT * FROM source WHERE id <= 3000;
CREATE INDEX mine_e ON mine USING lsh (e);
INSERT INTO mine SELECT * FROM source WHERE id > 11000;
DELETE FROM mine WHERE id % 2 = 0;
VACUUM mine;
SELECT lsh_check('mine_e', true), recall('mine', 'query', 10) >= 0.97 AS recall;
BEGIN;
CREATE TEMPORARY TABLE brief (id int, e embedding) ON COMMIT DELETE ROWS;
CREATE INDEX brief_e ON brief USING lsh (e);
INSERT INTO brief SELECT * FROM source WHERE id <= 300;
SELECT lsh_check('brief_e', true);
COMMIT;
INSERT INTO brief VALUES (1, '[1]');
SELECT lsh_check('brief_e', true);
DROP TABLE mine, brief;

-- partial, on an expression, included columns and several columns refused
CREATE TABLE part AS SELECT id, id % 7 AS grp, e FROM source WHERE id <= 5000;
CREATE INDEX part_e ON part USING lsh (e) WHERE grp = 3;
SELECT lsh_check('part_e', true), count(*) = (SELECT count(*) FROM part WHERE grp = 3) AS counted
FROM (SELECT id FROM part WHERE grp = 3 ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
SELECT uses_lsh($$SELECT id FROM part WHERE grp = 3 ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 3$$),
	   uses_lsh($$SELECT id FROM part WHERE grp = 4 ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 3$$);
-- an index that has the rows, but not their order
SELECT count(*) FROM part WHERE grp = 3;
SELECT id FROM part WHERE grp = 3 ORDER BY id LIMIT 3;
UPDATE part SET grp = 3 WHERE id <= 100;
UPDATE part SET grp = 4 WHERE id BETWEEN 50 AND 200;
SELECT lsh_check('part_e', true), count(*) = (SELECT count(*) FROM part WHERE grp = 3) AS counted
FROM (SELECT id FROM part WHERE grp = 3 ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
CREATE INDEX part_sum ON part USING lsh ((e + '[1,1,1,1,1,1,1,1]'));
CREATE INDEX part_norm ON part USING lsh (l2_normalize(e)) WITH (hash = 'projection');
SELECT lsh_check('part_sum', true), lsh_check('part_norm', true);
SELECT uses_lsh($$SELECT id FROM part ORDER BY e + '[1,1,1,1,1,1,1,1]' <-> '[1,2,3,4,5,6,7,8]' LIMIT 3$$),
	   uses_lsh($$SELECT id FROM part ORDER BY l2_normalize(e) <-> '[1,2,3,4,5,6,7,8]' LIMIT 3$$);
SET lsh.exact = on;
SELECT (SELECT array_agg(id) FROM (SELECT id FROM part ORDER BY l2_normalize(e) <-> '[0,.6,0,0,0,.8,0,0]' LIMIT 9) AS x)
	 = (SELECT array_agg(id) FROM (SELECT id FROM part ORDER BY (l2_normalize(e) <-> '[0,.6,0,0,0,.8,0,0]') + 0 LIMIT 9) AS x) AS same;
RESET lsh.exact;
CREATE INDEX ON part USING lsh (e) INCLUDE (id);
CREATE INDEX ON part USING lsh (e, l2_normalize(e));
CREATE UNIQUE INDEX ON part USING lsh (e);
CREATE INDEX ON part USING lsh (e DESC);
CREATE INDEX ON part USING lsh (id);
DROP TABLE part;

-- partitioned: one index each, merged
CREATE TABLE parts (id int, e embedding) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (4000);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (4000) TO (8000);
INSERT INTO parts SELECT * FROM source WHERE id < 8000;
CREATE INDEX parts_e ON parts USING lsh (e) WITH (hash = 'projection');
CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (8000) TO (20000);
INSERT INTO parts SELECT * FROM source WHERE id >= 8000;
SELECT lsh_check('parts_1_e_idx', true), lsh_check('parts_2_e_idx', true), lsh_check('parts_3_e_idx', true);
EXPLAIN (COSTS OFF) SELECT id FROM parts ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 3;
SELECT * FROM whole_scans('parts', 'query');
UPDATE parts SET id = id + 4000 WHERE id BETWEEN 3990 AND 4010;
SELECT * FROM whole_scans('parts', 'query');
SELECT lsh_check('parts_e', true);
DROP TABLE parts;

-- CONCURRENTLY, REINDEX
CREATE TABLE meanwhile AS SELECT * FROM source;
CREATE INDEX CONCURRENTLY meanwhile_e ON meanwhile USING lsh (e);
SELECT lsh_check('meanwhile_e', true), recall('meanwhile', 'query', 10) >= 0.97 AS recall;
DELETE FROM meanwhile WHERE id % 2 = 0;
REINDEX INDEX CONCURRENTLY meanwhile_e;
SELECT lsh_check('meanwhile_e', true), recall('meanwhile', 'query', 10) >= 0.97 AS recall;
ALTER INDEX meanwhile_e SET (hash = 'projection');
SELECT lsh_check('meanwhile_e', true), recall('meanwhile', 'query', 10) >= 0.97 AS recall;
INSERT INTO meanwhile SELECT * FROM source WHERE id % 2 = 0;
SELECT lsh_check('meanwhile_e', true), recall('meanwhile', 'query', 10) >= 0.97 AS recall;
REINDEX TABLE CONCURRENTLY meanwhile;
SELECT lsh_check('meanwhile_e', true), recall('meanwhile', 'query', 10) >= 0.97 AS recall;
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'meanwhile'::regclass;

-- repeatable: the same rows give the same answers, however many workers there are
CREATE FUNCTION answers() RETURNS text LANGUAGE sql AS $$
	SELECT md5(string_agg(md5(places::text), ' ' ORDER BY q.id))
	FROM query AS q, LATERAL (SELECT array_agg(ctid) AS places FROM (SELECT ctid FROM meanwhile ORDER BY e <-> q.e LIMIT 500) AS x) AS y
$$;
CREATE FUNCTION build(family text, workers int, memory text) RETURNS TABLE (answers text, size bigint) LANGUAGE plpgsql AS $$
BEGIN
	DROP INDEX IF EXISTS meanwhile_e;
	EXECUTE format('ALTER TABLE meanwhile SET (parallel_workers = %s)', workers);
	PERFORM set_config('max_parallel_maintenance_workers', workers::text, true), set_config('maintenance_work_mem', memory, true);
	EXECUTE format('CREATE INDEX meanwhile_e ON meanwhile USING lsh (e) WITH (hash = %L)', family);
	PERFORM lsh_check('meanwhile_e', true);
	PERFORM set_config('lsh.min_probe', '1', true);
	RETURN QUERY SELECT answers(), pg_relation_size('meanwhile_e');
END
$$;
SET min_parallel_table_scan_size = 0;
CREATE TABLE built AS
SELECT family, workers, memory, b.* FROM unnest('{voronoi,projection}'::text[]) AS family,
	(VALUES (0, '64MB'), (0, '64MB'), (2, '64MB'), (1, '64MB')) AS v (workers, memory), build(family, workers, memory) AS b;
SELECT family, count(*), count(DISTINCT answers) AS different_answers, count(DISTINCT size) AS different_sizes FROM built GROUP BY 1 ORDER BY 1 DESC;
-- little memory
SELECT build('voronoi', 0, '1MB') IS NOT NULL AS built, build('projection', 2, '1MB') IS NOT NULL AS built;
SELECT recall('meanwhile', 'query', 10) >= 0.97 AS recall;
RESET min_parallel_table_scan_size;

-- interrupted, and failed by an expression: nothing is left, and the table can go on
DROP INDEX meanwhile_e;
CREATE FUNCTION fails_at(e embedding) RETURNS embedding LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF e OPERATOR(public.=) (SELECT s.e FROM lsh_build.source AS s WHERE s.id = 7777) THEN
		RAISE 'row 7777';
	END IF;
	RETURN e;
END
$$;
\set VERBOSITY terse
CREATE INDEX meanwhile_e ON meanwhile USING lsh (fails_at(e));
SET statement_timeout = '20ms';
CREATE INDEX meanwhile_e ON meanwhile USING lsh (fails_at(e));
CREATE INDEX CONCURRENTLY meanwhile_c ON meanwhile USING lsh (fails_at(e));
RESET statement_timeout;
\set VERBOSITY default
SET client_min_messages = error;
DROP INDEX IF EXISTS meanwhile_c;
RESET client_min_messages;
SELECT count(*) FROM pg_index WHERE indrelid = 'meanwhile'::regclass;
CREATE INDEX meanwhile_e ON meanwhile USING lsh (e);
SELECT lsh_check('meanwhile_e', true);

SET client_min_messages = error;
DROP SCHEMA lsh_build CASCADE;
