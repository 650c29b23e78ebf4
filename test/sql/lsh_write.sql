-- Changes under an lsh index: rows in, through many splits; rows out; vacuum and
-- the use of what it frees; rollbacks; statements that read what they write.
CREATE SCHEMA lsh_write;
SET search_path = lsh_write, public;
\getenv folder PG_ABS_SRCDIR
\set helpers :folder /lib/lsh.sql
\set ECHO none
\i :helpers
\set ECHO all
SET enable_seqscan = off;
SET jit = off;
CREATE TABLE source AS SELECT i::int AS id, vector_of('clustered', 8, i) AS e FROM generate_series(1, 20000) AS i;
CREATE TABLE query AS SELECT id, vector_of('clustered', 8, 50000 + id) AS e FROM generate_series(1, 5) AS id;

-- a longer vector: n times the same
CREATE FUNCTION long(e embedding, n int) RETURNS embedding LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg(x)::embedding FROM generate_series(1, n) AS i, unnest(e::real[]) AS x
$$;

-- each row is found at once: by its own vector, at distance 0, in the statement after
CREATE TABLE item (id int, e embedding) WITH (autovacuum_enabled = off);
CREATE INDEX item_e ON item USING lsh (e);
CREATE FUNCTION insert_and_find(first int, last int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	missed bigint := 0;
	row source;
	nearest double precision;
BEGIN
	FOR row IN SELECT * FROM source WHERE id BETWEEN first AND last ORDER BY id
	LOOP
		INSERT INTO item VALUES (row.id, row.e);
		SELECT row.e <-> e INTO nearest FROM item ORDER BY e <-> row.e LIMIT 1;
		IF nearest IS DISTINCT FROM 0 THEN
			missed := missed + 1;
		END IF;
	END LOOP;
	RETURN missed;
END
$$;
SELECT insert_and_find(1, 3000) AS missed;
SELECT lsh_check('item_e', true);
INSERT INTO item SELECT * FROM source WHERE id > 3000;
SELECT lsh_check('item_e', true), recall('item', 'query', 10) >= 0.97 AS recall;
SELECT * FROM whole_scans('item', 'query');

-- the same of longer vectors, of which few fit a page, in both families
CREATE FUNCTION insert_and_find_long(family text, n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	missed bigint := 0;
	row source;
	nearest double precision;
BEGIN
	CREATE TABLE long_item (e embedding);
	EXECUTE format('CREATE INDEX ON long_item USING lsh (e) WITH (hash = %L)', family);
	FOR row IN SELECT id, long(e, 60) AS e FROM source WHERE id <= n ORDER BY id
	LOOP
		INSERT INTO long_item VALUES (row.e);
		SELECT row.e <-> e INTO nearest FROM long_item ORDER BY e <-> row.e LIMIT 1;
		IF nearest IS DISTINCT FROM 0 THEN
			missed := missed + 1;
		END IF;
	END LOOP;
	DROP TABLE long_item;
	RETURN missed;
END
$$;
SELECT insert_and_find_long('voronoi', 1500) AS missed;
SELECT insert_and_find_long('projection', 1500) AS missed;

-- delete: gone before the vacuum and after it
DELETE FROM item WHERE id % 4 <> 0;
SELECT * FROM whole_scans('item', 'query');
SELECT lsh_check('item_e', true), recall('item', 'query', 10) >= 0.97 AS recall;
VACUUM item;
SELECT lsh_check('item_e', true), recall('item', 'query', 10) >= 0.97 AS recall;
SELECT * FROM whole_scans('item', 'query');
-- update: where it was, nothing; where it is, the row
UPDATE item SET e = e + '[100,0,0,0,0,0,0,0]' WHERE id % 8 = 0;
SELECT count(*) FROM (SELECT e FROM item ORDER BY e <-> '[100,0,0,0,0,0,0,0]' LIMIT 500) AS x WHERE (e::real[])[1] < 50;
SELECT count(*) FROM (SELECT e FROM item ORDER BY e <-> '[0,0,0,0,0,0,0,0]' LIMIT 500) AS x WHERE (e::real[])[1] > 50;
UPDATE item SET id = -id;
UPDATE item SET e = e;
VACUUM item;
SELECT lsh_check('item_e', true);
SELECT * FROM whole_scans('item', 'query');
-- all rows gone; then used again
DELETE FROM item;
VACUUM item;
SELECT lsh_check('item_e', true), count(*) FROM (SELECT FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
SELECT insert_and_find(1, 500) AS missed;
INSERT INTO item SELECT * FROM source WHERE id > 500;
SELECT lsh_check('item_e', true), recall('item', 'query', 10) >= 0.97 AS recall;

-- rollback, also to a savepoint and by an error
BEGIN;
INSERT INTO item SELECT -id, e + '[.1,.1,.1,.1,.1,.1,.1,.1]' FROM source WHERE id <= 5000;
SAVEPOINT s;
DELETE FROM item;
SELECT count(*) FROM (SELECT FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
ROLLBACK TO s;
SELECT count(*) FROM (SELECT FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
ROLLBACK;
SELECT count(*) FROM (SELECT FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
INSERT INTO item SELECT -id, CASE WHEN id = 3000 THEN '[1,2]' ELSE e END FROM source WHERE id <= 5000 ORDER BY id;
SELECT * FROM whole_scans('item', 'query');
SELECT lsh_check('item_e', true);
VACUUM item;
SELECT lsh_check('item_e', true);
SELECT * FROM whole_scans('item', 'query');

-- statements that read what they write, while pages split under their scan: every row once
CREATE TABLE walk (id int, visits int DEFAULT 0, e embedding) WITH (autovacuum_enabled = off);
CREATE INDEX walk_e ON walk USING lsh (e);
INSERT INTO walk (id, e) SELECT * FROM source WHERE id <= 4000;
DO $$
DECLARE
	row record;
BEGIN
	FOR row IN SELECT id, e FROM lsh_write.walk ORDER BY e <-> '[1,2,3,4,5,6,7,8]'
	LOOP
		UPDATE lsh_write.walk SET visits = visits + 1, e = walk.e + '[.01,0,0,0,0,0,0,0]' WHERE id = row.id;
		INSERT INTO lsh_write.walk (id, e) VALUES (-row.id, row.e);
	END LOOP;
END
$$;
SELECT visits, count(*) FROM walk GROUP BY 1 ORDER BY 1;
SELECT lsh_check('walk_e', true);
SELECT * FROM whole_scans('walk', 'query');
DO $$
DECLARE
	row record;
	c CURSOR FOR SELECT id, e FROM lsh_write.walk ORDER BY e <-> '[1,2,3,4,5,6,7,8]' FOR UPDATE;
	n int := 0;
BEGIN
	FOR row IN c
	LOOP
		n := n + 1;
		IF n % 2 = 0 THEN
			DELETE FROM lsh_write.walk WHERE CURRENT OF c;
		ELSE
			UPDATE lsh_write.walk SET visits = -1 WHERE CURRENT OF c;
		END IF;
	END LOOP;
	RAISE NOTICE '% rows', n;
END
$$;
SELECT visits, count(*) FROM walk GROUP BY 1 ORDER BY 1;
-- a statement does not see what it inserts
INSERT INTO walk (id, e) SELECT id, e FROM walk ORDER BY e <-> '[1,2,3,4,5,6,7,8]';
SELECT count(*) FROM walk;
DELETE FROM walk WHERE ctid IN (SELECT ctid FROM walk ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 100);
SELECT count(*) FROM walk;
SELECT lsh_check('walk_e', true);

-- snapshots: an older one sees what was
BEGIN ISOLATION LEVEL REPEATABLE READ;
DECLARE c CURSOR FOR SELECT id FROM walk ORDER BY e <-> '[1,2,3,4,5,6,7,8]';
DELETE FROM walk;
MOVE FORWARD ALL IN c;
COMMIT;
DROP TABLE walk;

-- other ways in: COPY, ON CONFLICT, MERGE, foreign keys, a trigger's changes
CREATE TABLE keyed (id int PRIMARY KEY, e embedding) WITH (autovacuum_enabled = off);
CREATE INDEX keyed_e ON keyed USING lsh (e) WITH (hash = 'projection');
COPY keyed FROM stdin;
1	[1,2]
2	[3,4]
3	\N
\.
INSERT INTO keyed SELECT id, ARRAY[id, 0]::embedding FROM generate_series(1, 2000) AS id ON CONFLICT (id) DO UPDATE SET e = excluded.e;
MERGE INTO keyed AS k USING generate_series(1500, 2500) AS id ON k.id = id.id
WHEN MATCHED AND id.id % 2 = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET e = k.e + '[0,1]'
WHEN NOT MATCHED THEN INSERT VALUES (id.id, ARRAY[id.id, 2]::embedding);
SELECT lsh_check('keyed_e', true);
SET lsh.exact = on;
SELECT array_agg(id) FROM (SELECT id FROM keyed ORDER BY e <-> '[1500.2,0.9]' LIMIT 6) AS x;
SELECT array_agg(id) FROM (SELECT id FROM keyed ORDER BY e <-> '[2000.4,1.8]' LIMIT 6) AS x;
RESET lsh.exact;
DROP TABLE keyed;

-- rows without a vector come and go
CREATE TABLE sparse (id int, e embedding) WITH (autovacuum_enabled = off);
CREATE INDEX sparse_e ON sparse USING lsh (e);
INSERT INTO sparse SELECT i, CASE WHEN i % 10 = 0 THEN vector_of('uniform', 4, i) END FROM generate_series(1, 10000) AS i;
SELECT lsh_check('sparse_e', true), whole_scan('sparse', '[0,0,0,0]', false);
UPDATE sparse SET e = CASE WHEN e IS NULL AND id % 3 = 0 THEN vector_of('uniform', 4, id) END;
SELECT lsh_check('sparse_e', true), whole_scan('sparse', '[0,0,0,0]', false);
DELETE FROM sparse WHERE e IS NULL AND id % 2 = 0;
VACUUM sparse;
SELECT lsh_check('sparse_e', true), whole_scan('sparse', '[0,0,0,0]', false);
DELETE FROM sparse WHERE e IS NULL;
VACUUM sparse;
SELECT lsh_check('sparse_e', true), whole_scan('sparse', '[0,0,0,0]', false);
INSERT INTO sparse SELECT i, NULL FROM generate_series(1, 5000) AS i;
SELECT lsh_check('sparse_e', true), whole_scan('sparse', '[0,0,0,0]', false);
DROP TABLE sparse;

-- churn: the index does not grow without end, in either family; rounds of
-- delete, vacuum, insert, and the size after each:
--	window	a quarter of the rows makes room for others like them
--	drift	the new rows are farther away each time, so that whole pages come free
--	equal	all rows, which are all the same
--	long	as drift, of vectors of which few fit a page: whole groups come free
CREATE TABLE churn (id int, e embedding) WITH (autovacuum_enabled = off);
CREATE TABLE size (way text, round int, pages bigint);
CREATE FUNCTION churn(way text, rounds int) RETURNS TABLE (statement text) LANGUAGE sql AS $$
	SELECT unnest(ARRAY[
		CASE way
			WHEN 'window' THEN format('DELETE FROM churn WHERE id <= %s', (i - 4) * 1250)
			WHEN 'drift' THEN format('DELETE FROM churn WHERE id <= %s', (i - 2) * 2000)
			WHEN 'long' THEN format('DELETE FROM churn WHERE id <= %s', (i - 2) * 200)
			ELSE 'DELETE FROM churn' END,
		'VACUUM churn',
		CASE way
			WHEN 'window' THEN format('INSERT INTO churn SELECT %s + id, e FROM source WHERE id BETWEEN %s + 1 AND %s + 1250',
									  i * 1250 - i * 1250 % 18750, i * 1250 % 18750, i * 1250 % 18750)
			WHEN 'drift' THEN format('INSERT INTO churn SELECT %s + id, e + array_fill(%s, ARRAY[8])::embedding FROM source WHERE id <= 2000', i * 2000, i * 10)
			WHEN 'long' THEN format('INSERT INTO churn SELECT %s + id, long(e, 150) + array_fill(%s, ARRAY[1200])::embedding FROM source WHERE id <= 200', i * 200, i * 10)
			ELSE 'INSERT INTO churn SELECT id, ''[1,1]'' FROM generate_series(1, 4000) AS id' END,
		format('INSERT INTO size VALUES (%L, %s, pg_relation_size(''churn_e'') / 8192)', way, i)])
	FROM generate_series(1, rounds) AS i
$$;
CREATE INDEX churn_e ON churn USING lsh (e) WITH (hash = 'voronoi');
SELECT * FROM churn('window', 24)
\set ECHO none
\gexec
\set ECHO all
SELECT lsh_check('churn_e', true), recall('churn', 'query', 10) >= 0.97 AS recall;
SELECT * FROM whole_scans('churn', 'query');
SELECT way, count(*) AS rounds, max(pages) FILTER (WHERE round > 12) <= 1.25 * max(pages) FILTER (WHERE round BETWEEN 4 AND 12) AS bounded FROM size GROUP BY 1;
DROP INDEX churn_e;
TRUNCATE churn, size;
CREATE INDEX churn_e ON churn USING lsh (e) WITH (hash = 'voronoi');
SELECT * FROM churn('drift', 16)
\set ECHO none
\gexec
\set ECHO all
SELECT lsh_check('churn_e', true), recall('churn', 'query', 10) >= 0.97 AS recall;
SELECT way, count(*) AS rounds, max(pages) FILTER (WHERE round > 9) <= 1.25 * max(pages) FILTER (WHERE round BETWEEN 4 AND 9) AS bounded FROM size GROUP BY 1;
DROP INDEX churn_e;
TRUNCATE churn, size;
CREATE INDEX churn_e ON churn USING lsh (e) WITH (hash = 'voronoi');
SELECT * FROM churn('equal', 10)
\set ECHO none
\gexec
\set ECHO all
SELECT lsh_check('churn_e', true), whole_scan('churn', '[0,0]', true);
SELECT way, count(*) AS rounds, max(pages) FILTER (WHERE round > 6) <= 1.25 * max(pages) FILTER (WHERE round BETWEEN 4 AND 6) AS bounded FROM size GROUP BY 1;
DROP INDEX churn_e;
TRUNCATE churn, size;
CREATE INDEX churn_e ON churn USING lsh (e) WITH (hash = 'projection');
SELECT * FROM churn('window', 24)
\set ECHO none
\gexec
\set ECHO all
SELECT lsh_check('churn_e', true), recall('churn', 'query', 10) >= 0.97 AS recall;
SELECT * FROM whole_scans('churn', 'query');
SELECT way, count(*) AS rounds, max(pages) FILTER (WHERE round > 12) <= 1.25 * max(pages) FILTER (WHERE round BETWEEN 4 AND 12) AS bounded FROM size GROUP BY 1;
DROP INDEX churn_e;
TRUNCATE churn, size;
CREATE INDEX churn_e ON churn USING lsh (e) WITH (hash = 'projection');
SELECT * FROM churn('drift', 16)
\set ECHO none
\gexec
\set ECHO all
SELECT lsh_check('churn_e', true), recall('churn', 'query', 10) >= 0.97 AS recall;
SELECT way, count(*) AS rounds, max(pages) FILTER (WHERE round > 9) <= 1.25 * max(pages) FILTER (WHERE round BETWEEN 4 AND 9) AS bounded FROM size GROUP BY 1;
DROP INDEX churn_e;
TRUNCATE churn, size;
CREATE INDEX churn_e ON churn USING lsh (e) WITH (hash = 'projection');
SELECT * FROM churn('equal', 10)
\set ECHO none
\gexec
\set ECHO all
SELECT lsh_check('churn_e', true), whole_scan('churn', '[0,0]', true);
SELECT way, count(*) AS rounds, max(pages) FILTER (WHERE round > 6) <= 1.25 * max(pages) FILTER (WHERE round BETWEEN 4 AND 6) AS bounded FROM size GROUP BY 1;
DROP INDEX churn_e;
TRUNCATE churn, size;
CREATE INDEX churn_e ON churn USING lsh (e) WITH (hash = 'voronoi');
SELECT * FROM churn('long', 30)
\set ECHO none
\gexec
\set ECHO all
SELECT lsh_check('churn_e', true), whole_scan('churn', (SELECT e FROM churn LIMIT 1), false);
SELECT way, count(*) AS rounds, max(pages) FILTER (WHERE round > 15) <= 1.25 * max(pages) FILTER (WHERE round BETWEEN 4 AND 15) AS bounded FROM size GROUP BY 1;
DROP INDEX churn_e;
TRUNCATE churn, size;
CREATE INDEX churn_e ON churn USING lsh (e) WITH (hash = 'projection');
SELECT * FROM churn('long', 30)
\set ECHO none
\gexec
\set ECHO all
SELECT lsh_check('churn_e', true), whole_scan('churn', (SELECT e FROM churn LIMIT 1), false);
SELECT way, count(*) AS rounds, max(pages) FILTER (WHERE round > 15) <= 1.25 * max(pages) FILTER (WHERE round BETWEEN 4 AND 15) AS bounded FROM size GROUP BY 1;
DROP INDEX churn_e;
TRUNCATE churn, size;

-- 2,000 dimensions, a handful of rows each page: deep in groups
CREATE TABLE long (id int, e embedding) WITH (autovacuum_enabled = off);
CREATE INDEX long_e ON long USING lsh (e);
INSERT INTO long SELECT i, array_fill(even(i, 1), ARRAY[2000])::embedding + array_fill(0, ARRAY[2000])::embedding FROM generate_series(1, 600) AS i;
SELECT lsh_check('long_e', true), whole_scan('long', (SELECT e FROM long WHERE id = 5), false);
DELETE FROM long WHERE id % 3 > 0;
VACUUM long;
INSERT INTO long SELECT -i, array_fill(even(i, 2), ARRAY[2000])::embedding FROM generate_series(1, 600) AS i;
SELECT lsh_check('long_e', true), whole_scan('long', (SELECT e FROM long WHERE id = 6), false);

SET client_min_messages = error;
DROP SCHEMA lsh_write CASCADE;
