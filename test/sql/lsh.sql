-- The index access method lsh: what every user of an index relies on.  Plans are
-- asked for where they are the point; elsewhere sequential scans are disabled.
SET client_min_messages = warning;

-- Points in 50 clusters, the same on every platform.
CREATE FUNCTION point(i int, d int) RETURNS embedding LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg(hashint4(i % 50 * 1000 + j) % 1000 / 100.0 + hashint4(i * 1000 + j) % 1000 / 1000.0
		ORDER BY j)::real[]::embedding
	FROM generate_series(1, d) j
$$;

-- The ids of the k nearest by the index, and without it.  Both orders are total:
-- distances of these points are all different.
CREATE FUNCTION near(relation text, query embedding, k int, use_index bool) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	result int[];
BEGIN
	PERFORM set_config('enable_seqscan', (NOT use_index)::text, true), set_config('enable_indexscan', use_index::text, true);
	EXECUTE format('SELECT array_agg(id ORDER BY n) FROM (SELECT id, row_number() OVER (ORDER BY e <-> $1) AS n'
		' FROM (SELECT id, e FROM %s ORDER BY e <-> $1 LIMIT $2) x) y', relation) INTO result USING query, k;
	RETURN result;
END
$$;

-- The distances of all rows, in the order in which they are returned.
CREATE FUNCTION distances(relation text, query embedding, use_index bool) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
	result float8[];
BEGIN
	PERFORM set_config('enable_seqscan', (NOT use_index)::text, true), set_config('enable_indexscan', use_index::text, true);
	EXECUTE format('SELECT ARRAY(SELECT e <-> $1 FROM %s ORDER BY e <-> $1)', relation) INTO result USING query;
	RETURN result;
END
$$;

--
-- Empty table; then rows come.
--
CREATE TABLE items (id int PRIMARY KEY, e embedding(8), kind int);
CREATE INDEX items_e ON items USING lsh (e);
\d items
SELECT lsh_check('items_e', true);
SET enable_seqscan = off;
SELECT id FROM items ORDER BY e <-> point(1, 8) LIMIT 3;
SELECT format, hash, dimensions, groups, leaves, rows, null_rows, fill, target_recall FROM lsh_stats('items_e');

INSERT INTO items SELECT i, point(i, 8), i % 10 FROM generate_series(1, 3000) i;
ANALYZE items;
SELECT lsh_check('items_e', true);
SELECT hash, dimensions, groups > 0 AS groups, leaves > 5 AS leaves, rows, null_rows, fill BETWEEN 0.2 AND 1 AS fill,
	rows_at_build, leaves_since_build = leaves AS grown FROM lsh_stats('items_e');

-- The row that was asked for comes first.
SELECT count(*) FROM generate_series(1, 3000, 37) i WHERE (near('items', point(i, 8), 1, true))[1] <> i;
SELECT lsh_recall('items_e', 50, 10) >= 0.97 AS recall;
SET lsh.exact = on;
SELECT lsh_recall('items_e', 50, 10) AS recall;
SELECT count(*) FROM generate_series(4001, 4100, 5) i
	WHERE near('items', point(i, 8), 20, true) IS DISTINCT FROM near('items', point(i, 8), 20, false);
RESET lsh.exact;

-- A fresh build finds as much.
REINDEX INDEX items_e;
SELECT lsh_check('items_e', true), lsh_recall('items_e', 50, 10) >= 0.97 AS recall;
SELECT rows, rows_at_build, leaves = leaves_at_build AS leaves, leaves_since_build FROM lsh_stats('items_e');

--
-- Plans
--
RESET enable_seqscan;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE kind <> 3 ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
-- few rows, or none of this order: not worth it, or not possible
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE id < 5 ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY e <-> '[1,2,3,4,5,6,7,8]' DESC LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE e <-> '[1,2,3,4,5,6,7,8]' < 3;
EXPLAIN (COSTS OFF) SELECT count(*) FROM items WHERE e IS NULL;
-- a small table
CREATE TABLE few (id int, e embedding(8));
INSERT INTO few SELECT i, point(i, 8) FROM generate_series(1, 100) i;
CREATE INDEX ON few USING lsh (e);
ANALYZE few;
EXPLAIN (COSTS OFF) SELECT id FROM few ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
DROP TABLE few;

-- Through a view whose column has no typmod, as those of a model.
CREATE VIEW item_view AS SELECT id, e::embedding AS e FROM items;
EXPLAIN (COSTS OFF) SELECT id FROM item_view ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
SELECT count(*) FROM generate_series(1, 3000, 370) i WHERE (near('item_view', point(i, 8), 1, true))[1] <> i;

-- A query point for each row of another table: rescans with other parameters.
EXPLAIN (COSTS OFF) SELECT q.id, n.id FROM (VALUES (1), (2)) q (id),
	LATERAL (SELECT id FROM items ORDER BY e <-> point(q.id, 8) LIMIT 2) n;
SELECT count(*), count(*) FILTER (WHERE first) FROM generate_series(1, 3000, 100) q,
	LATERAL (SELECT id = q AS first FROM items ORDER BY e <-> point(q, 8) LIMIT 1) n;
PREPARE nearest (embedding, int) AS SELECT id FROM items ORDER BY e <-> $1 LIMIT $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE nearest ('[1,2,3,4,5,6,7,8]', 1);
EXECUTE nearest (point(7, 8), 1);
EXECUTE nearest (point(8, 8), 1);
EXECUTE nearest (NULL, 0);
RESET plan_cache_mode;

--
-- Everything is returned, once, and in order if that is asked for.
--
SET enable_seqscan = off;
SET enable_sort = off;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM items ORDER BY e <-> point(5, 8) OFFSET 0) x;
SELECT rows_out = 3000 AS complete, exhausted, exact FROM (SELECT ranked AS rows_out, * FROM lsh_last_scan()) x;
SET lsh.exact = on;
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE distance < before) AS out_of_order
	FROM (SELECT id, distance, lag(distance) OVER () AS before
		FROM (SELECT id, e <-> point(5, 8) AS distance FROM items ORDER BY e <-> point(5, 8) OFFSET 0) x) y;
SELECT index, groups > 0 AS groups, leaves > 5 AS leaves, candidates, ranked, dead, late, exhausted, exact FROM lsh_last_scan();
RESET lsh.exact;
-- one row in a thousand matches, far from the query or near
SELECT count(*) FROM (SELECT id FROM items WHERE id % 1000 = 1 ORDER BY e <-> point(77, 8) LIMIT 10) x;
-- in memory that does not hold the candidates
SET work_mem = '64kB';
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM items ORDER BY e <-> point(5, 8) OFFSET 0) x;
RESET work_mem;
-- a limit to what is read
SET lsh.max_scan = 500;
SELECT count(*) BETWEEN 1 AND 2999 AS stopped FROM (SELECT id FROM items ORDER BY e <-> point(5, 8) OFFSET 0) x;
SELECT exhausted FROM lsh_last_scan();
RESET lsh.max_scan;
RESET enable_sort;

--
-- Rows without a value come last; a query without one has no order.
--
INSERT INTO items SELECT i, NULL, 0 FROM generate_series(3001, 3500) i;
SELECT lsh_check('items_e', true);
SELECT rows, null_rows FROM lsh_stats('items_e');
SELECT count(*), count(e), min(n) FILTER (WHERE e IS NULL)
	FROM (SELECT e, row_number() OVER () AS n FROM (SELECT e FROM items ORDER BY e <-> point(5, 8) OFFSET 0) x) y;
SELECT count(*) FROM (SELECT e FROM items ORDER BY e <-> NULL::embedding OFFSET 0) x;
DELETE FROM items WHERE e IS NULL;
VACUUM items;
SELECT lsh_check('items_e', true);
SELECT rows, null_rows FROM lsh_stats('items_e');

--
-- Updates, deletes, rollback, vacuum, new rows in the place of old ones.
--
BEGIN;
INSERT INTO items SELECT i, point(i, 8), 0 FROM generate_series(10001, 10500) i;
SELECT (near('items', point(10007, 8), 1, true))[1];
SAVEPOINT s;
DELETE FROM items WHERE id = 10007;
SELECT (near('items', point(10007, 8), 1, true))[1] <> 10007 AS gone;
ROLLBACK TO s;
SELECT (near('items', point(10007, 8), 1, true))[1];
ROLLBACK;
SELECT (near('items', point(10007, 8), 1, true))[1] <= 3000 AS rolled_back;
UPDATE items SET e = point(id + 20000, 8) WHERE id % 3 = 0;
UPDATE items SET kind = kind + 1 WHERE id % 3 = 1;
DELETE FROM items WHERE id % 3 = 2;
SELECT lsh_check('items_e', true);
SELECT (near('items', point(20003, 8), 1, true))[1], (near('items', point(4, 8), 1, true))[1];
VACUUM items;
SELECT lsh_check('items_e', true);
SELECT rows FROM lsh_stats('items_e');
INSERT INTO items SELECT i, point(i, 8), 0 FROM generate_series(5001, 6000) i;
SELECT lsh_check('items_e', true), lsh_recall('items_e', 50, 10) >= 0.95 AS recall;
SELECT (near('items', point(5002, 8), 1, true))[1];
DELETE FROM items;
VACUUM items;
VACUUM items;
SELECT lsh_check('items_e', true);
SELECT rows, pages > deleted_pages AS pages FROM lsh_stats('items_e');
SELECT lsh_recall('items_e');
SELECT id FROM items ORDER BY e <-> point(1, 8) LIMIT 3;
INSERT INTO items SELECT i, point(i, 8), 0 FROM generate_series(1, 500) i;
SELECT lsh_check('items_e', true);
SELECT (near('items', point(2, 8), 1, true))[1];
TRUNCATE items;
SELECT lsh_check('items_e', true);
INSERT INTO items VALUES (1, point(1, 8), 0);
SELECT id FROM items ORDER BY e <-> point(1, 8) LIMIT 3;

--
-- Cursors: forward.
--
INSERT INTO items SELECT i, point(i, 8), 0 FROM generate_series(2, 1000) i;
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM items ORDER BY e <-> point(9, 8);
FETCH 1 FROM c;
MOVE FORWARD 998 IN c;
FETCH 3 FROM c \g /dev/null
FETCH 1 FROM c;
FETCH BACKWARD 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM items ORDER BY e <-> point(9, 8);
FETCH 1 FROM c;
MOVE 10 IN c;
FETCH FIRST FROM c;
ROLLBACK;

--
-- Other kinds of index and table.
--
CREATE INDEX items_projection ON items USING lsh (e) WITH (hash = projection);
CREATE INDEX items_partial ON items USING lsh (e) WHERE id % 2 = 0;
CREATE INDEX CONCURRENTLY items_concurrent ON items USING lsh ((e::real[]::embedding));
SELECT i, lsh_check(i, true), lsh_recall(i, 30) >= 0.9 AS recall, hash, rows
	FROM unnest('{items_e, items_projection, items_partial, items_concurrent}'::regclass[]) i, lsh_stats(i);
REINDEX INDEX CONCURRENTLY items_partial;
INSERT INTO items SELECT i, point(i, 8), 0 FROM generate_series(1001, 2500) i;
DELETE FROM items WHERE id % 5 = 0;
VACUUM items;
SELECT i, lsh_check(i, true), lsh_recall(i, 30) >= 0.9 AS recall, hash, rows
	FROM unnest('{items_e, items_projection, items_partial, items_concurrent}'::regclass[]) i, lsh_stats(i);
DROP INDEX items_e;
DROP INDEX items_projection;
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE id % 2 = 0 ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY e::real[]::embedding <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
DROP TABLE items CASCADE;

CREATE UNLOGGED TABLE unlogged (id int, e embedding);
CREATE INDEX unlogged_e ON unlogged USING lsh (e);
INSERT INTO unlogged SELECT i, point(i, 8) FROM generate_series(1, 700) i;
SELECT lsh_check('unlogged_e', true), (near('unlogged', point(3, 8), 1, true))[1];
ALTER TABLE unlogged SET LOGGED;
SELECT lsh_check('unlogged_e', true), (near('unlogged', point(3, 8), 1, true))[1];
DROP TABLE unlogged;

CREATE TEMP TABLE temporary (id int, e embedding);
INSERT INTO temporary SELECT i, point(i, 8) FROM generate_series(1, 700) i;
CREATE INDEX temporary_e ON temporary USING lsh (e);
INSERT INTO temporary SELECT i, point(i, 8) FROM generate_series(701, 1400) i;
SELECT lsh_check('temporary_e', true), (near('temporary', point(3, 8), 1, true))[1];
DROP TABLE temporary;

CREATE TABLE parted (id int, e embedding) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (1001);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (1001) TO (2001);
CREATE INDEX parted_e ON parted USING lsh (e);
INSERT INTO parted SELECT i, point(i, 8) FROM generate_series(1, 2000) i;
ANALYZE parted;
EXPLAIN (COSTS OFF) SELECT id FROM parted ORDER BY e <-> '[1,2,3,4,5,6,7,8]' LIMIT 10;
SELECT lsh_check('parted_1_e_idx', true), lsh_check('parted_2_e_idx', true), (near('parted', point(1234, 8), 1, true))[1];
DROP TABLE parted;

--
-- Values that are hard: equal ones, zeroes, one dimension, very many, very large
-- and very small ones.
--
CREATE TABLE equal (id int, e embedding);
CREATE INDEX equal_e ON equal USING lsh (e);
INSERT INTO equal SELECT i, CASE WHEN i % 4 = 0 THEN embedding '[0,0,0,0]' ELSE '[1,2,3,4]' END FROM generate_series(1, 3000) i;
SELECT lsh_check('equal_e', true);
REINDEX INDEX equal_e;
SELECT lsh_check('equal_e', true);
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM equal ORDER BY e <-> '[1,2,3,4]' OFFSET 0) x;
SELECT count(*) FROM (SELECT e FROM equal ORDER BY e <-> '[0,0,0,1]' LIMIT 750) x WHERE e = '[0,0,0,0]';
DROP TABLE equal;

CREATE TABLE line (id int, e embedding(1));
CREATE INDEX line_e ON line USING lsh (e);
INSERT INTO line SELECT i, ARRAY[i]::real[]::embedding FROM generate_series(1, 3000) i;
SELECT lsh_check('line_e', true), near('line', '[1234.3]', 3, true);
REINDEX INDEX line_e;
SELECT lsh_check('line_e', true), near('line', '[1234.3]', 3, true);
DROP TABLE line;

CREATE TABLE wide (id int, e embedding);
CREATE INDEX wide_e ON wide USING lsh (e);
INSERT INTO wide SELECT i, point(i, 2000) FROM generate_series(1, 40) i;
SELECT lsh_check('wide_e', true), (near('wide', point(17, 2000), 1, true))[1];
TRUNCATE wide;
INSERT INTO wide SELECT i, point(i, 1057) FROM generate_series(1, 40) i;
REINDEX INDEX wide_e;
SELECT lsh_check('wide_e', true), (near('wide', point(17, 1057), 1, true))[1];
DROP TABLE wide;

CREATE TABLE extreme (id int, e embedding(2));
CREATE INDEX extreme_e ON extreme USING lsh (e);
INSERT INTO extreme VALUES (1, '[3e38,-3e38]'), (2, '[1e-40,1e-45]'), (3, '[-0,0]'), (4, '[1,1]'), (5, '[1e20,1]'),
	(6, '[1e-19,1e-19]'), (7, '[1e16,-1e16]');
SELECT lsh_check('extreme_e', true);
SELECT q, distances('extreme', q, true) = distances('extreme', q, false) AS same
	FROM unnest('{"[1,1]","[3e38,-3e38]","[1e20,0]","[1e16,-1.1e16]","[0.9,0.9]"}'::embedding[]) q;
REINDEX INDEX extreme_e;
SELECT lsh_check('extreme_e', true);
SELECT q, distances('extreme', q, true) = distances('extreme', q, false) AS same
	FROM unnest('{"[1,1]","[3e38,-3e38]","[1e20,0]","[1e16,-1.1e16]","[0.9,0.9]"}'::embedding[]) q;
DROP TABLE extreme;

--
-- lsh_check() finds what is not right: rows that were not inserted, values that
-- are not those of the table any more.
--
CREATE TABLE broken (id int, e embedding(4));
INSERT INTO broken SELECT i, point(i, 4) FROM generate_series(1, 1000) i;
CREATE FUNCTION twice(e embedding) RETURNS embedding LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN e OPERATOR(public.+) e; END';
CREATE INDEX broken_e ON broken USING lsh (e);
CREATE INDEX broken_twice ON broken USING lsh (twice(e));
UPDATE pg_index SET indisready = false WHERE indexrelid = 'broken_e'::regclass;
INSERT INTO broken VALUES (1001, point(1001, 4));
UPDATE pg_index SET indisready = true WHERE indexrelid = 'broken_e'::regclass;
SELECT lsh_check('broken_e');
SELECT lsh_check('broken_e', true);
REINDEX INDEX broken_e;
SELECT lsh_check('broken_e', true);
SELECT lsh_check('broken_twice', true);
CREATE OR REPLACE FUNCTION twice(e embedding) RETURNS embedding LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN e; END';
SELECT lsh_check('broken_twice');
SELECT lsh_check('broken_twice', true);
DROP TABLE broken;
DROP FUNCTION twice;

-- What the catalogues say of the access method.
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'embedding_l2_ops';
SELECT p, pg_indexam_has_property(a.oid, p) FROM pg_am a,
	unnest('{can_order, can_unique, can_multi_col, can_include}'::text[]) p WHERE amname = 'lsh';
SELECT n, pg_indexam_progress_phasename(a.oid, n) FROM pg_am a, generate_series(1, 7) n WHERE amname = 'lsh';

DROP FUNCTION near, distances, point(int, int);
