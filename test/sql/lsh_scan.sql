-- Scans of an lsh index: recall, order, every row once; with filters, rescans,
-- cursors, little memory; of vectors that codes cannot hold well.  The executor
-- raises an error if a scan calls a row farther than it is, so that every
-- ordered scan here also tests the lower bounds.
CREATE SCHEMA lsh_scan;
SET search_path = lsh_scan, public;
\getenv folder PG_ABS_SRCDIR
\set helpers :folder /lib/lsh.sql
\set ECHO none
\i :helpers
\set ECHO all
SET enable_seqscan = off;
SET jit = off;

--
-- Recall, both families, built and grown; order and completeness
--
CREATE TABLE dataset (name text PRIMARY KEY, kind text, of_queries text, d int, n int, n_queries int);
INSERT INTO dataset VALUES
	('uniform 1', 'uniform', 'uniform', 1, 1500, 12),
	('uniform 2', 'uniform', 'uniform', 2, 2000, 12),
	('uniform 16', 'uniform', 'uniform', 16, 4000, 12),
	('sphere 16', 'sphere', 'sphere', 16, 4000, 12),
	('clustered 16', 'clustered', 'clustered', 16, 5000, 12),
	('clustered 64', 'clustered', 'clustered', 64, 3000, 12),
	('learned 64', 'learned', 'sphere', 64, 2500, 12),
	('learned 100', 'learned', 'learned', 100, 1500, 8),
	('far queries 64', 'clustered', 'far', 64, 2500, 12),
	('clustered 1057', 'clustered', 'clustered', 1057, 400, 8),
	('clustered 2000', 'clustered', 'clustered', 2000, 200, 6);
CREATE TABLE rows_of AS
	SELECT name, id, vector_of(kind, d, id) AS e FROM dataset, LATERAL generate_series(1, n) AS id;
CREATE TABLE queries_of AS
	SELECT name, id, vector_of(of_queries, d, 1000000 + id) AS e FROM dataset, LATERAL generate_series(1, n_queries) AS id;
-- three kinds more: few different vectors, mostly zero vectors, all of them equal
INSERT INTO dataset VALUES
	('duplicates 16', NULL, NULL, 16, 2000, 12), ('zeros 16', NULL, NULL, 16, 2000, 12), ('equal 8', NULL, NULL, 8, 2000, 3);
INSERT INTO rows_of
	SELECT 'duplicates 16', id, vector_of('clustered', 16, id % 30) FROM generate_series(1, 2000) AS id UNION ALL
	SELECT 'zeros 16', id, CASE WHEN id % 3 = 0 THEN vector_of('clustered', 16, id) ELSE array_fill(0, ARRAY[16])::embedding END FROM generate_series(1, 2000) AS id UNION ALL
	SELECT 'equal 8', id, array_fill(7, ARRAY[8])::embedding FROM generate_series(1, 2000) AS id;
INSERT INTO queries_of
	SELECT name, id, CASE id WHEN 1 THEN array_fill(0, ARRAY[d])::embedding WHEN 2 THEN array_fill(7, ARRAY[d])::embedding ELSE vector_of('clustered', d, id * 3) END
	FROM dataset, LATERAL generate_series(1, n_queries) AS id WHERE kind IS NULL;

CREATE TABLE outcome (family text, way text, name text, recall_10 float8, recall_1 float8, exact_off text, exact_on text);
CREATE FUNCTION try(family text, way text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	set_name text;
	create_index text := format('CREATE INDEX ON item USING lsh (e) WITH (hash = %L)', family);
BEGIN
	FOR set_name IN SELECT name FROM dataset ORDER BY 1
	LOOP
		CREATE TABLE item (id int, e embedding);
		CREATE TABLE query AS SELECT id, e FROM queries_of WHERE name = set_name;
		IF way = 'grown' THEN
			EXECUTE create_index;
		END IF;
		INSERT INTO item SELECT id, e FROM rows_of WHERE name = set_name ORDER BY id;
		INSERT INTO item SELECT -i, NULL FROM generate_series(1, 20) AS i;
		IF way <> 'grown' THEN
			EXECUTE create_index;
		END IF;
		INSERT INTO outcome SELECT family, way, set_name, recall('item', 'query', 10), recall('item', 'query', 1),
			max(outcome) FILTER (WHERE exact = 'off'), max(outcome) FILTER (WHERE exact = 'on') FROM whole_scans('item', 'query');
		DROP TABLE item, query;
	END LOOP;
END
$$;
SELECT try('voronoi', 'built'), try('voronoi', 'grown');
SELECT try('projection', 'built'), try('projection', 'grown');
-- those that fall short; of the longest vectors there are few, and each cluster has only one or two
SELECT o.* FROM outcome AS o JOIN dataset USING (name)
WHERE recall_10 >= CASE WHEN d > 1000 THEN 0.85 ELSE 0.97 END IS NOT TRUE;
SELECT family, way, count(*) AS datasets, avg(recall_10) >= 0.98 AS recall_10, avg(recall_1) >= 0.97 AS recall_1
FROM outcome GROUP BY 1, 2 ORDER BY 1 DESC, 2;
SELECT family, way, exact_off, exact_on, count(*) FROM outcome GROUP BY 1, 2, 3, 4 ORDER BY 1 DESC, 2, 3, 4;

--
-- One table for what follows: 20,000 rows
--
CREATE TABLE item (id int, grp int, e embedding);
INSERT INTO item SELECT i, i % 100, vector_of('clustered', 8, i) FROM generate_series(1, 20000) AS i;
INSERT INTO item SELECT 20000 + i, i % 100, NULL FROM generate_series(1, 10) AS i;
CREATE TABLE query AS SELECT id, vector_of('clustered', 8, 50000 + id) AS e FROM generate_series(1, 10) AS id;
CREATE INDEX item_e ON item USING lsh (e);
ANALYZE item, query;
SELECT uses_lsh($$SELECT id FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 5$$);

-- target_recall
SET lsh.target_recall = 0.8;
SELECT recall('item', 'query', 10) >= 0.8 AS "0.8";
SET lsh.target_recall = 0.999;
SELECT recall('item', 'query', 10) >= 0.99 AS "0.999", recall('item', 'query', 100) >= 0.98 AS "100 of 0.999";
SET lsh.target_recall = 1;
SELECT recall('item', 'query', 10) AS "1", recall('item', 'query', 300) AS "300 of 1";
RESET lsh.target_recall;
SELECT recall('item', 'query', 100) >= 0.97 AS "100", recall('item', 'query', 1000) >= 0.97 AS "1000";
SET lsh.exact = on;
SELECT recall('item', 'query', 10) AS exact, recall('item', 'query', 1000) AS "1000 exact", recall('item', 'query', 20000) AS "all exact";
-- far away, and in the middle of everything
SELECT q, whole_scan('item', q, true)
FROM unnest('{"[1000,0,0,0,0,0,0,0]","[0,0,0,0,0,0,0,0]","[-1e30,1e30,0,0,0,0,0,1e38]","[1e-44,0,0,0,0,0,0,0]"}'::embedding[]) AS q;
RESET lsh.exact;

-- a filter that almost no row passes, next to the query or far from it
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM item WHERE id % 10000 = 7 ORDER BY e <-> (SELECT e FROM query WHERE id = 1) LIMIT 5) AS x;
SELECT uses_lsh($$SELECT id FROM item WHERE id % 10000 = 7 ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 5$$);
SELECT count(*) FROM query AS q, LATERAL (SELECT id FROM item WHERE id % 10000 = q.id ORDER BY e <-> q.e LIMIT 5) AS x;
SELECT count(*) AS without_vector FROM (SELECT id FROM item WHERE e IS NULL ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 50) AS x;
SELECT id FROM item WHERE id = 20003 ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 1;
SELECT count(*) FROM (SELECT id FROM item WHERE false AND id > 0 ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 1) AS x;
SELECT count(*) FROM (SELECT id FROM item WHERE id < 0 ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 1) AS x;

-- rescans with another vector each, among them none; LIMIT 0; one query within another
INSERT INTO query VALUES (11, NULL);
SELECT count(*), count(DISTINCT row(q.id, x.id)) FROM query AS q, LATERAL (SELECT id FROM item ORDER BY e <-> q.e LIMIT 7) AS x;
SET lsh.exact = on;
SELECT count(*) FILTER (WHERE here <> there) AS different, count(*)
FROM query AS q,
	 LATERAL (SELECT array_agg(distance) AS here FROM (SELECT e <-> q.e AS distance FROM item ORDER BY e <-> q.e LIMIT 7) AS x) AS h,
	 LATERAL (SELECT array_agg(distance) AS there FROM (SELECT e <-> q.e AS distance FROM item ORDER BY (e <-> q.e) + 0 LIMIT 7) AS x) AS t
WHERE q.id < 11;
RESET lsh.exact;
SELECT count(*) FROM (SELECT FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 0) AS x;
SELECT count(*) FROM (SELECT FROM item ORDER BY e <-> NULL LIMIT 3) AS x;
SELECT whole_scan('item', NULL, false);
SELECT count(*) FROM query AS q, LATERAL (SELECT id, e FROM item ORDER BY e <-> q.e LIMIT 3) AS x,
	LATERAL (SELECT y.id FROM item AS y WHERE y.id <> x.id ORDER BY y.e <-> x.e LIMIT 2) AS y WHERE q.id < 11;
DELETE FROM query WHERE id = 11;
-- a correlated subquery in the list, and a prepared statement beyond its first five plans
SELECT count(nearest) FROM (SELECT (SELECT i.id FROM item AS i ORDER BY i.e <-> q.e LIMIT 1) AS nearest FROM query AS q) AS x;
PREPARE near (embedding, int) AS SELECT count(*) FROM (SELECT id FROM item ORDER BY e <-> $1 LIMIT $2) AS x;
EXECUTE near ('[1,2,3,4,5,6,7,8]', 3);
EXECUTE near ('[1,2,3,4,5,6,7,8]', 300);
EXECUTE near (NULL, 3);
EXECUTE near ('[-1,2,3,4,5,6,7,8]', 3);
EXECUTE near ('[0,2,3,4,5,6,7,8]', 3);
EXECUTE near ('[0,0,3,4,5,6,7,8]', 30000);
SET plan_cache_mode = force_generic_plan;
EXECUTE near ('[0,0,3,4,5,6,7,8]', 11);
RESET plan_cache_mode;

-- two distances at once: the second one orders where the first is equal
CREATE TABLE line (x int, e embedding);
INSERT INTO line SELECT i, ARRAY[i]::embedding FROM generate_series(1, 400) AS i;
INSERT INTO line VALUES (401, NULL), (402, NULL);
CREATE INDEX line_e ON line USING lsh (e);
SET lsh.exact = on;
SELECT x FROM line ORDER BY e <-> '[30.2]' LIMIT 9;
SELECT x FROM line ORDER BY e <-> '[30]', e <-> '[400]' LIMIT 9;
SELECT x FROM line ORDER BY e <-> '[30]', e <-> '[0]' LIMIT 9;
SELECT x FROM line ORDER BY e <-> '[30]', x LIMIT 9;
SELECT array_agg(x) FROM (SELECT x FROM line ORDER BY e <-> '[30]', x OFFSET 395) AS l;
-- a bound on the distance is a filter; other orders are sorted
SELECT x FROM line WHERE e <-> '[30]' < 2 ORDER BY e <-> '[30]', x;
SELECT uses_lsh($$SELECT x FROM line ORDER BY e <-> '[30]' DESC$$), uses_lsh($$SELECT x FROM line ORDER BY e$$),
	   uses_lsh($$SELECT x FROM line ORDER BY e <-> '[30]'$$), uses_lsh($$SELECT x FROM line ORDER BY '[30]' <-> e$$);
SELECT x FROM line WHERE e IS NOT NULL ORDER BY e <-> '[30]' DESC LIMIT 2;
-- a row that changes while the scan stands on it
UPDATE line SET e = e + '[1000]' WHERE x IN (SELECT x FROM line ORDER BY e <-> '[30]' LIMIT 1);
SELECT x FROM line ORDER BY e <-> '[30]', x LIMIT 3;
SELECT x FROM line ORDER BY e <-> '[1031]' LIMIT 1;
SELECT x FROM line ORDER BY e <-> '[1031]' LIMIT 1 FOR UPDATE;
RESET lsh.exact;

--
-- Cursors
--
BEGIN;
SET LOCAL lsh.exact = on;
DECLARE c CURSOR FOR SELECT x FROM line ORDER BY e <-> '[100.2]';
FETCH 3 FROM c;
MOVE 4 IN c;
FETCH 2 FROM c;
-- what others in the transaction do is not seen, and does not disturb
DELETE FROM line WHERE x BETWEEN 90 AND 110;
INSERT INTO line SELECT 1000 + i, '[100.2]' FROM generate_series(1, 2000) AS i;
FETCH 3 FROM c;
MOVE FORWARD ALL IN c;
FETCH 1 FROM c;
SAVEPOINT s;
FETCH BACKWARD 1 FROM c;
ROLLBACK TO s;
CLOSE c;
ROLLBACK;
BEGIN;
SET LOCAL lsh.exact = on;
DECLARE c SCROLL CURSOR FOR SELECT x FROM line ORDER BY e <-> '[100.2]';
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH ABSOLUTE 5 FROM c;
FETCH LAST FROM c;
FETCH FIRST FROM c;
DECLARE h CURSOR WITH HOLD FOR SELECT x FROM line ORDER BY e <-> '[200.2]' LIMIT 5;
FETCH 2 FROM h;
COMMIT;
FETCH 5 FROM h;
CLOSE h;
-- a cursor goes on after a rollback to a savepoint, also of a fetch
BEGIN;
SET LOCAL work_mem = '64kB';
SET LOCAL lsh.exact = on;
DECLARE c CURSOR FOR SELECT id FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]';
SAVEPOINT s;
MOVE 5 IN c;
ROLLBACK TO s;
MOVE 5000 IN c;
SAVEPOINT s;
MOVE 5000 IN c;
ROLLBACK TO s;
MOVE FORWARD ALL IN c;
CLOSE c;
COMMIT;

--
-- Little memory, and limits
--
SET work_mem = '64kB';
SELECT * FROM whole_scans('item', 'query');
SELECT recall('item', 'query', 10) >= 0.97 AS recall;
SELECT count(*) FROM query AS q, LATERAL (SELECT id FROM item ORDER BY e <-> q.e OFFSET 15000 LIMIT 10) AS x;
RESET work_mem;
SET lsh.max_scan = 500;
SELECT count(*) FROM (SELECT FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 20) AS x;
SELECT count(*) BETWEEN 100 AND 5000 AS some, count(*) = count(DISTINCT id) AS once
FROM (SELECT id FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
SET lsh.max_scan = 1000000;
SELECT * FROM whole_scans('item', 'query');
RESET lsh.max_scan;
SET lsh.min_probe = 1;
SELECT * FROM whole_scans('item', 'query');
SET lsh.min_probe = 500;
SELECT recall('item', 'query', 10) AS "all pages";
RESET lsh.min_probe;
-- time runs out in an unlimited scan, also of many
SET statement_timeout = '50ms';
SELECT count(*) FROM generate_series(1, 100000) AS g, LATERAL (SELECT id FROM item ORDER BY e <-> ARRAY[g,2,3,4,5,6,7,8]::embedding OFFSET 10000 LIMIT 1) AS x;
RESET statement_timeout;

-- what the last scan did
SELECT count(*) FROM (SELECT FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 10) AS x;
SELECT index, leaves > 0 AS leaves, candidates BETWEEN 10 AND 20010 AS candidates, ranked >= 10 AS ranked, exact, exhausted FROM lsh_last_scan();
SELECT count(*) FROM (SELECT FROM item ORDER BY e <-> '[1,2,3,4,5,6,7,8]') AS x;
SELECT index, candidates, ranked, exact, exhausted FROM lsh_last_scan();

--
-- Vectors that a code holds badly: -0, denormal, huge, of all lengths side by side
--
CREATE TABLE odd (id serial, e embedding);
INSERT INTO odd (e) SELECT ARRAY[x, y]::embedding
FROM unnest('{0,-0,1e-45,-1e-45,1e-38,3e-30,1e-20,-1.5e-10,1e-3,1,1.0000001,-1,127,128,1e5,-1e10,1e17,1.1e17,1e18,1e30,-1e30,3.4e38,-3.4e38}'::real[]) AS x,
	 unnest('{0,-0,1e-45,-3e-39,2e-20,1,-1.5,1e4,9e16,-2e19,1e30,3.4e38}'::real[]) AS y;
INSERT INTO odd (e) SELECT ARRAY[1 + i * 1.2e-7, 1 - i * 0.6e-7]::embedding FROM generate_series(1, 200) AS i;
INSERT INTO odd (e) SELECT '[1e-45,1e-45]' FROM generate_series(1, 200) AS i;
CREATE TABLE odd_query AS SELECT id, e FROM odd WHERE id % 5 = 0;
CREATE TABLE odd1 AS SELECT id, ARRAY[(e::real[])[1 + id % 2]]::embedding AS e FROM odd;
CREATE TABLE odd1_query AS SELECT id, e FROM odd1 WHERE id % 5 = 0;
CREATE TABLE odd33 AS SELECT id, (array_fill((e::real[])[1], ARRAY[16]) || array_fill((e::real[])[2], ARRAY[17]))::embedding AS e FROM odd;
CREATE TABLE odd33_query AS SELECT id, e FROM odd33 WHERE id % 5 = 0;
CREATE FUNCTION try_odd(family text) RETURNS TABLE (name text, exact text, outcome text) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH name IN ARRAY ARRAY['odd', 'odd1', 'odd33']
	LOOP
		EXECUTE format('CREATE INDEX odd_e ON %I USING lsh (e) WITH (hash = %L)', name, family);
		RETURN QUERY SELECT name, w.exact, w.outcome FROM whole_scans(name, name || '_query', 1000) AS w;
		-- grown
		EXECUTE format('CREATE TABLE copied (LIKE %I); CREATE INDEX ON copied USING lsh (e) WITH (hash = %L)', name, family);
		EXECUTE format('INSERT INTO copied SELECT * FROM %I ORDER BY hashint4(id)', name);
		RETURN QUERY SELECT name || ' grown', w.exact, w.outcome FROM whole_scans('copied', name || '_query', 1000) AS w;
		DROP TABLE copied;
		DROP INDEX odd_e;
	END LOOP;
END
$$;
SELECT * FROM try_odd('voronoi');
SELECT * FROM try_odd('projection');

-- one row, two rows, none
CREATE TABLE few (id int, e embedding);
CREATE INDEX ON few USING lsh (e);
SELECT * FROM whole_scans('few', 'query');
INSERT INTO few VALUES (1, NULL);
SELECT * FROM whole_scans('few', 'query');
INSERT INTO few VALUES (2, '[1,2,3,4,5,6,7,8]');
SELECT * FROM whole_scans('few', 'query');
INSERT INTO few VALUES (3, '[1,2,3,4,5,6,7,9]');
SELECT * FROM whole_scans('few', 'query');
-- stored compressed and out of line
ALTER TABLE few ALTER e SET STORAGE EXTERNAL;
TRUNCATE few;
INSERT INTO few SELECT i, (array_fill(1, ARRAY[1999]) || i)::embedding FROM generate_series(1, 30) AS i;
ALTER TABLE few ALTER e SET STORAGE EXTENDED;
INSERT INTO few SELECT i, (array_fill(1, ARRAY[1999]) || i)::embedding FROM generate_series(31, 60) AS i;
SET lsh.exact = on;
SELECT array_agg(id) FROM (SELECT id FROM few ORDER BY e <-> (array_fill(1, ARRAY[1999]) || -5)::embedding LIMIT 50) AS x;
RESET lsh.exact;

SET client_min_messages = error;
DROP SCHEMA lsh_scan CASCADE;
