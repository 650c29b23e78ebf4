-- metricrec.split(): which rows fall where, and what is refused.
-- Choices at random are checked by their properties, not by their rows.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA split_test;
SET search_path = split_test, public;

-- Users 1..20 with 1..20 items each; the later the item, the later the time.
CREATE TABLE seen (gone int, user_id int, item_id int, at timestamptz, stars int);
ALTER TABLE seen DROP COLUMN gone;
INSERT INTO seen
SELECT u, i, '2020-01-01+00'::timestamptz + (u + 100 * i) * interval '1 hour', u % 5
FROM generate_series(1, 20) u, generate_series(1, 20) i WHERE i <= u;

-- The rows of both tables together are those of the source.
CREATE FUNCTION whole(source regclass, train regclass, test regclass) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	same boolean;
BEGIN
	EXECUTE format('SELECT NOT EXISTS ((TABLE %1$s EXCEPT ALL (TABLE %2$s UNION ALL TABLE %3$s))
		UNION ALL ((TABLE %2$s UNION ALL TABLE %3$s) EXCEPT ALL TABLE %1$s))', source, train, test) INTO same;
	RETURN same;
END $$;

-- random: round(fraction * n) of each user, but one row stays in train.
SELECT * FROM metricrec.split('seen');
SELECT whole('seen', 'seen_train', 'seen_test');
SELECT count(*) AS users, count(*) FILTER (WHERE coalesce(tested, 0) = floor(0.2 * n + 0.5)) AS as_asked
FROM (SELECT user_id, count(*) AS n FROM seen GROUP BY 1) a
LEFT JOIN (SELECT user_id, count(*) AS tested FROM seen_test GROUP BY 1) b USING (user_id);
SELECT * FROM metricrec.split('seen', fraction => 0.9, train => 'most_train', test => 'most_test');
SELECT min(n), max(n) FROM (SELECT count(*) AS n FROM most_train GROUP BY user_id) a;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'seen_test'::regclass AND attnum > 0 ORDER BY attnum;

-- The same rows in another order, in another relation: the same split.
CREATE TABLE shuffled AS SELECT * FROM seen ORDER BY item_id DESC, user_id DESC;
SELECT test_rows FROM metricrec.split('shuffled');
SELECT count(*) FROM (TABLE seen_test EXCEPT TABLE shuffled_test) a;
-- Another seed: another split, of the same size.
SELECT test_rows FROM metricrec.split('shuffled', seed => 1, train => 's1_train', test => 's1_test');
SELECT count(*) > 0 AS differs FROM (TABLE seen_test EXCEPT TABLE s1_test) a;
-- The key's text decides, not its type.
CREATE VIEW as_text AS SELECT user_id::text AS user_id, item_id::text AS item_id FROM seen;
SELECT test_rows FROM metricrec.split('as_text');
SELECT count(*) FROM (SELECT user_id::text, item_id::text FROM seen_test EXCEPT TABLE as_text_test) a;
-- No item is preferred: over many users every place of the order is drawn.
CREATE TABLE wide AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 300) u, generate_series(1, 10) i;
SELECT test_rows FROM metricrec.split('wide');
SELECT count(*) AS items, min(n) > 30 AND max(n) < 90 AS even FROM (SELECT count(*) AS n FROM wide_test GROUP BY item_id) a;

-- temporal: nothing in train is later than anything in test.
SELECT * FROM metricrec.split('seen', 'temporal', time_column => 'at', train => 't_train', test => 't_test');
SELECT whole('seen', 't_train', 't_test'), (SELECT max(at) FROM t_train) < (SELECT min(at) FROM t_test) AS in_order,
	(SELECT max(at) FROM t_train) = (SELECT percentile_disc(0.8) WITHIN GROUP (ORDER BY at) FROM seen) AS at_quantile;
SELECT * FROM metricrec.split('seen', 'temporal', fraction => 0.7, time_column => 'at', train => 't7_train', test => 't7_test');
-- Rows of one time stay together, in train.
CREATE TABLE tied (user_id int, item_id int, day int);
INSERT INTO tied SELECT 1, i, i / 5 FROM generate_series(0, 9) i;
SELECT * FROM metricrec.split('tied', 'temporal', fraction => 0.6, time_column => 'day');
SELECT * FROM metricrec.split('tied', 'temporal', fraction => 0.4, time_column => 'day', train => 'x', test => 'y');

-- leave_last_out: the last row of each user who has two.
SELECT * FROM metricrec.split('seen', 'leave_last_out', time_column => 'at', train => 'l_train', test => 'l_test');
SELECT whole('seen', 'l_train', 'l_test'), count(*), bool_and(item_id = user_id) AS last, min(user_id) FROM l_test;
-- All at one time: still one of each user, the same one in any order of rows.
CREATE TABLE flat AS SELECT user_id, item_id, 0 AS at FROM seen;
CREATE TABLE flat_back AS SELECT * FROM flat ORDER BY item_id DESC, user_id;
SELECT test_rows FROM metricrec.split('flat', 'leave_last_out', time_column => 'at');
SELECT test_rows FROM metricrec.split('flat_back', 'leave_last_out', time_column => 'at');
SELECT count(*) FROM (TABLE flat_test EXCEPT TABLE flat_back_test) a;
SELECT count(DISTINCT user_id) = count(*) AS one_each FROM flat_test;

-- Rows of one pair stay together, whatever the method, and count once.
CREATE TABLE again (user_id int, item_id numeric, at int);
INSERT INTO again SELECT u, i::numeric(9, 1), 10 * i FROM generate_series(1, 8) u, generate_series(1, 10) i;
INSERT INTO again SELECT user_id, item_id::numeric(9, 3), at + 95 FROM again;
SELECT * FROM metricrec.split('again');
SELECT * FROM metricrec.split('again', 'temporal', time_column => 'at', train => 'again_t_train', test => 'again_t_test');
SELECT * FROM metricrec.split('again', 'leave_last_out', time_column => 'at', train => 'again_l_train', test => 'again_l_test');
SELECT (SELECT count(*) FROM again_train JOIN again_test USING (user_id, item_id)) AS random,
	(SELECT count(*) FROM again_t_train JOIN again_t_test USING (user_id, item_id)) AS temporal,
	(SELECT count(*) FROM again_l_train JOIN again_l_test USING (user_id, item_id)) AS leave_last_out;
-- A pair's time is that of its first row.
SELECT DISTINCT item_id::int FROM again_l_test;

-- Rows without a user or an item go to train; without a time they are the oldest, or untimed.
CREATE TABLE holes (user_id int, item_id text, at int);
INSERT INTO holes VALUES (NULL, 'a', 1), (NULL, 'b', 9), (1, NULL, 9), (1, 'a', 1), (1, 'b', 2), (1, 'c', NULL), (2, 'a', 5), (2, 'b', NULL);
SELECT * FROM metricrec.split('holes', fraction => 0.5);
SELECT count(*) FROM holes_test WHERE user_id IS NULL OR item_id IS NULL;
SELECT * FROM metricrec.split('holes', 'leave_last_out', time_column => 'at', train => 'holes_l_train', test => 'holes_l_test');
SELECT * FROM holes_l_test ORDER BY 1, 2;
SELECT * FROM metricrec.split('holes', 'temporal', fraction => 0.4, time_column => 'at', train => 'holes_t_train', test => 'holes_t_test');
SELECT * FROM holes_t_test ORDER BY 1, 2;

-- Other relations: partitioned, materialized; keys whose type has no order; odd names.
CREATE TABLE parts (LIKE seen) PARTITION BY HASH (user_id);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT * FROM seen;
SELECT test_rows FROM metricrec.split('parts');
SELECT count(*) FROM (TABLE seen_test EXCEPT TABLE parts_test) a;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM seen;
SELECT test_rows FROM metricrec.split('kept');
CREATE TABLE no_order AS SELECT user_id::text::xid AS user_id, item_id::text::xid AS item_id FROM seen;
SELECT test_rows FROM metricrec.split('no_order');
CREATE TABLE "Od""d name; with quotes and so many bytes that it must be cut" ("User" int, "c1" int, "is_test" text);
INSERT INTO "Od""d name; with quotes and so many bytes that it must be cut" SELECT user_id, item_id, 'x' FROM seen;
SET search_path = '';
SELECT metricrec.split('split_test.seen');
SELECT pg_catalog.set_config('search_path', 'split_test', false);
SELECT train, test, octet_length(replace(trim(BOTH '"' FROM test::text), '""', '"')) AS bytes, test_rows
FROM metricrec.split('"Od""d name; with quotes and so many bytes that it must be cut"', user_column => 'User', item_column => 'c1');

-- Functions that hide those of pg_catalog change nothing.
CREATE FUNCTION rank() RETURNS bigint LANGUAGE sql AS 'SELECT 1/0::bigint';
CREATE FUNCTION hashtextextended(text, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 1/0::bigint';
SET search_path = split_test, pg_catalog;
SELECT test_rows FROM metricrec.split('seen', train => 'safe_train', test => 'safe_test');
SELECT count(*) FROM (TABLE seen_test EXCEPT TABLE safe_test) a;

-- The caller's privileges; the caller owns the tables.
CREATE ROLE regress_split;
GRANT USAGE, CREATE ON SCHEMA split_test TO regress_split;
SET ROLE regress_split;
SELECT metricrec.split('seen', train => 'r_train', test => 'r_test');
SELECT to_regclass('r_train'), to_regclass('r_test');
RESET ROLE;
GRANT SELECT ON seen TO regress_split;
SET ROLE regress_split;
SELECT test_rows FROM metricrec.split('seen', train => 'r_train', test => 'r_test');
RESET ROLE;
SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE relname IN ('r_train', 'r_test') ORDER BY 1;

-- Refused; nothing is left behind.
SELECT metricrec.split(NULL);
SELECT metricrec.split('seen', fraction => NULL);
SELECT metricrec.split('seen', 'Random', train => 'e1', test => 'e2');
SELECT metricrec.split('seen', fraction => 0, train => 'e1', test => 'e2');
SELECT metricrec.split('seen', fraction => 1, train => 'e1', test => 'e2');
SELECT metricrec.split('seen', fraction => 'NaN', train => 'e1', test => 'e2');
SELECT metricrec.split('seen', 'temporal', train => 'e1', test => 'e2');
SELECT metricrec.split('seen', time_column => 'at', train => 'e1', test => 'e2');
SELECT metricrec.split('seen', 'temporal', seed => 3, time_column => 'at', train => 'e1', test => 'e2');
SELECT metricrec.split('seen', 'leave_last_out', fraction => 0.1, time_column => 'at', train => 'e1', test => 'e2');
SELECT metricrec.split('seen', user_column => 'gone', train => 'e1', test => 'e2');
SELECT metricrec.split('seen', item_column => 'user_id', train => 'e1', test => 'e2');
SELECT metricrec.split('seen', 'temporal', time_column => 'when', train => 'e1', test => 'e2');
SELECT metricrec.split('no_order', 'temporal', time_column => 'item_id', user_column => 'user_id', train => 'e1', test => 'e2');
CREATE TABLE no_time AS SELECT 1 AS user_id, 1 AS item_id, '1'::xid AS at;
SELECT metricrec.split('no_time', 'temporal', time_column => 'at');
SELECT metricrec.split('seen');
SELECT metricrec.split('seen', train => 'e1');
SELECT metricrec.split('seen', train => 'e1', test => 'e1');
SELECT metricrec.split('seen', train => '', test => 'e1');
CREATE INDEX seen_index ON seen (user_id);
SELECT metricrec.split('seen_index', train => 'e1', test => 'e2');
SELECT metricrec.split('tied', 'temporal', fraction => 0.1, time_column => 'day', train => 'e1', test => 'e2');
SELECT metricrec.split('no_time', train => 'e1', test => 'e2');
SET search_path = '';
SELECT metricrec.split('split_test.seen', train => 'e1', test => 'e2');
BEGIN READ ONLY;
SELECT metricrec.split('split_test.seen');
ROLLBACK;
SET search_path = split_test;
BEGIN READ ONLY;
SELECT metricrec.split('seen', train => 'e1', test => 'e2');
ROLLBACK;
SELECT to_regclass('e1'), to_regclass('e2');

RESET search_path;
DROP SCHEMA split_test CASCADE;
DROP ROLE regress_split;
