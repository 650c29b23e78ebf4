--
-- metricrec.recommend_all() and recommend_all_into(): the answers of recommend()
-- for all users at once.
--
SET client_min_messages = warning;
SET lsh.exact = on;
CREATE TABLE likes (user_id int NOT NULL, item_id int NOT NULL, rating float8);
INSERT INTO likes
SELECT u, i, 3 + (u + i) % 3
FROM generate_series(1, 40) u, generate_series(1, 40) i
WHERE (u <= 20) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;
-- seen, but not liked
INSERT INTO likes VALUES (1, 25, 1), (1, 26, 1), (2, 27, NULL), (3, 28, 'NaN');
CREATE INDEX ON likes (user_id);
ANALYZE likes;
SELECT model FROM metricrec.create_model('pooled', 'likes', rating_column => 'rating', min_rating => 3,
	dimensions => 8, user_tower => 'pooled', epochs => 20, seed => 1);
SELECT active, users, items FROM metricrec.train('pooled');
SELECT model FROM metricrec.create_model('free', 'likes', rating_column => 'rating', min_rating => 3,
	dimensions => 9, user_tower => 'free', epochs => 20, seed => 1);
SELECT active, users, items FROM metricrec.train('free');

-- Rows that recommend_all() gives and recommend() does not, and the other way round.
CREATE FUNCTION pg_temp.differences(model name, k int, exclude_seen boolean, candidates regclass DEFAULT NULL,
	users regclass DEFAULT 'likes', OUT rows bigint, OUT other bigint) LANGUAGE plpgsql AS $$
DECLARE
	one text;
BEGIN
	CREATE TEMP TABLE one_by_one (user_id text, item_id text, distance float8, rank int4);
	FOR one IN EXECUTE format('SELECT DISTINCT user_id::text FROM %s', users) LOOP
		INSERT INTO one_by_one
		SELECT one, r.item_id, r.distance, r.n
		FROM recommend(one, k, model, exclude_seen, candidates) WITH ORDINALITY r(item_id, distance, n);
	END LOOP;
	SELECT count(*), count(*) FILTER (WHERE a.item_id IS DISTINCT FROM o.item_id OR abs(a.distance - o.distance) > 1e-6
									  OR a.distance IS NULL OR o.distance IS NULL)
	INTO rows, other
	FROM metricrec.recommend_all(model, k, exclude_seen, candidates => candidates) a
	FULL JOIN one_by_one o USING (user_id, rank);
	DROP TABLE one_by_one;
END $$;

--
-- The answers are those of recommend()
--
SELECT model, k, seen, d.*
FROM (VALUES ('pooled'), ('free')) m(model), (VALUES (1), (7), (1000)) n(k), (VALUES (true), (false)) s(seen),
	LATERAL pg_temp.differences(model, k, seen) d ORDER BY model, k, seen;
SET metricrec.live_history = off;
SELECT seen, d.* FROM (VALUES (true), (false)) s(seen), LATERAL pg_temp.differences('pooled', 7, seen) d ORDER BY seen;
RESET metricrec.live_history;
-- ranks from 1, user by user in the order of the ids
SELECT count(*), bool_and(rank = n) AS ranks, bool_and(distance >= before) AS nearest_first
FROM (SELECT rank, distance, row_number() OVER w AS n, lag(distance, 1, 0::float8) OVER w AS before
	  FROM metricrec.recommend_all('free', 5) WINDOW w AS (PARTITION BY user_id ORDER BY rank)) s;
SELECT count(*) AS out_of_order
FROM (SELECT user_id::int * 1000 + rank AS place, lag(user_id::int * 1000 + rank) OVER (ORDER BY n) AS before
	  FROM metricrec.recommend_all('free', 5) WITH ORDINALITY r(user_id, item_id, distance, rank, n)) s
WHERE place <= before;
-- NULL is the default of an argument
SELECT count(*) FROM metricrec.recommend_all('free', NULL, NULL, NULL, NULL);

-- little memory makes more and smaller blocks, and the same rows
CREATE TEMP TABLE ample AS SELECT * FROM metricrec.recommend_all('pooled', 30);
SET work_mem = '64kB';
SELECT count(*) AS rows, count(*) FILTER (WHERE a IS DISTINCT FROM r) AS other
FROM ample a FULL JOIN metricrec.recommend_all('pooled', 30) r USING (user_id, rank);
RESET work_mem;

-- ties go by item
BEGIN;
INSERT INTO free_item_embedding (item_id, embedding)
SELECT 1000 - n, embedding FROM free_item_embedding, generate_series(1, 3) n WHERE item_id = 7;
SELECT DISTINCT array_agg(item_id ORDER BY rank) AS tied
FROM metricrec.recommend_all('free', 1000, false) WHERE item_id IN ('7', '997', '998', '999') GROUP BY user_id;
SELECT * FROM pg_temp.differences('free', 1000, true);
ROLLBACK;

--
-- Live history: new interactions, and users who came after the training
--
BEGIN;
INSERT INTO likes SELECT 7, i, 5 FROM generate_series(21, 40) i;
INSERT INTO likes VALUES (500, 1, 5), (500, 2, 5), (500, 3, 1), (39, 999, 5);
SELECT * FROM pg_temp.differences('pooled', 9, true);
SELECT * FROM pg_temp.differences('pooled', 9, false);
SELECT array_agg(DISTINCT user_id::int) FILTER (WHERE user_id::int > 39) AS last_users FROM metricrec.recommend_all('pooled', 1);
-- a free tower does not know them
SELECT array_agg(DISTINCT user_id::int) FILTER (WHERE user_id::int > 39) AS last_users FROM metricrec.recommend_all('free', 1);
-- nor does the stored point
SET LOCAL metricrec.live_history = off;
SELECT array_agg(DISTINCT user_id::int) FILTER (WHERE user_id::int > 39) AS last_users FROM metricrec.recommend_all('pooled', 1);
ROLLBACK;
-- new users between and before the others
BEGIN;
DELETE FROM pooled_user_embedding WHERE user_id IN (5, 25);
INSERT INTO likes VALUES (-3, 1, 5), (-3, 2, 5);
SELECT * FROM pg_temp.differences('pooled', 4, true);
SELECT array_agg(user_id::int ORDER BY n) = array_agg(user_id::int ORDER BY user_id::int) AS ordered, count(*)
FROM metricrec.recommend_all('pooled', 1) WITH ORDINALITY r(user_id, item_id, distance, rank, n);
ROLLBACK;

--
-- Only some users, only some items
--
CREATE TABLE chosen (user_id bigint, note text);
INSERT INTO chosen VALUES (3, 'x'), (33, 'y'), (3, 'twice'), (NULL, 'z'), (4711, 'unknown');
SELECT count(*), array_agg(DISTINCT user_id ORDER BY user_id) FROM metricrec.recommend_all('pooled', 5, users => 'chosen');
SELECT count(*) AS other FROM metricrec.recommend_all('pooled', 5, users => 'chosen') c
JOIN metricrec.recommend_all('pooled', 5) a USING (user_id, rank) WHERE c <> a;
SELECT count(*) FROM metricrec.recommend_all('free', 5, users => 'chosen');
-- a user of the relation who came after the training
BEGIN;
INSERT INTO likes VALUES (4711, 1, 5), (4711, 2, 5), (4712, 1, 5);
SELECT array_agg(DISTINCT user_id ORDER BY user_id) FROM metricrec.recommend_all('pooled', 5, users => 'chosen');
ROLLBACK;

CREATE TABLE shelf (item_id smallint);
INSERT INTO shelf SELECT i FROM generate_series(10, 30, 2) i;
INSERT INTO shelf VALUES (NULL), (999), (12);
SELECT model, d.* FROM (VALUES ('pooled'), ('free')) m(model), LATERAL pg_temp.differences(model, 5, true, 'shelf') d ORDER BY 1;
SELECT bool_and(item_id::int BETWEEN 10 AND 30) FROM metricrec.recommend_all('pooled', 100, false, candidates => 'shelf');
-- pairs: each user's own candidates
CREATE TABLE pairs AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 38) u, generate_series(1, 40) i WHERE (u + i) % 7 = 0;
SELECT model, seen, d.* FROM (VALUES ('pooled'), ('free')) m(model), (VALUES (true), (false)) s(seen),
	LATERAL pg_temp.differences(model, 3, seen, 'pairs') d ORDER BY 1, 2;
CREATE TABLE nothing (item_id int);
SELECT count(*) FROM metricrec.recommend_all('pooled', candidates => 'nothing');

--
-- Rows come as they are asked for
--
CREATE FUNCTION pg_temp.rows_made(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT json) ' || query INTO plan;
	RETURN jsonb_path_query_first(plan, '$.**?(@."Node Type" == "ProjectSet")."Actual Rows"')::numeric;
END $$;
SELECT pg_temp.rows_made('SELECT * FROM metricrec.recommend_all(''pooled'', 5)') AS all_rows,
	pg_temp.rows_made('SELECT * FROM metricrec.recommend_all(''pooled'', 5) LIMIT 7') AS limited;
BEGIN;
DECLARE c CURSOR FOR SELECT user_id, rank FROM metricrec.recommend_all('pooled', 5);
FETCH 3 FROM c;
-- what the cursor shows is of the time when it was asked first
INSERT INTO likes SELECT 1, i, 5 FROM generate_series(1, 40) i;
DELETE FROM pooled_item_embedding;
FETCH 4 FROM c;
MOVE FORWARD ALL FROM c;
CLOSE c;
ROLLBACK;
-- more than one at a time, and one per row of another table
SELECT count(*) FROM metricrec.recommend_all('pooled', 2) a JOIN metricrec.recommend_all('free', 2) b USING (user_id, rank);
SELECT k, count(*) FROM generate_series(1, 3) k, LATERAL metricrec.recommend_all('pooled', k) GROUP BY k ORDER BY k;

--
-- A table of them
--
CALL metricrec.recommend_all_into('pooled', 5, 'best');
SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull FROM pg_attribute
WHERE attrelid = 'best'::regclass AND attnum > 0 ORDER BY attnum;
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'best'::regclass;
SELECT obj_description('best'::regclass), reltuples FROM pg_class WHERE oid = 'best'::regclass;
SELECT count(*) FILTER (WHERE b.item_id::text IS DISTINCT FROM a.item_id OR b.distance IS DISTINCT FROM a.distance) AS other
FROM best b FULL JOIN metricrec.recommend_all('pooled', 5) a ON a.user_id = b.user_id::text AND a.rank = b.rank;
-- it is there
CALL metricrec.recommend_all_into('pooled', 5, 'best');
CALL metricrec.recommend_all_into('pooled', 5, 'best', if_exists => 'append');
-- what hangs on it stays
CREATE VIEW first_of_all AS SELECT user_id, item_id FROM best WHERE rank = 1;
CALL metricrec.recommend_all_into('pooled', 3, 'best', users => 'chosen', if_exists => 'replace');
SELECT count(*), (SELECT count(*) FROM first_of_all) AS first FROM best;
DELETE FROM best WHERE user_id = 3;
CREATE TABLE three AS SELECT 3 AS user_id;
CALL metricrec.recommend_all_into('pooled', 3, 'best', users => 'three', if_exists => 'APPEND');
SELECT count(*), (SELECT count(*) FROM first_of_all) AS first FROM best;
-- an error, or who takes it back, leaves what was there
BEGIN;
CALL metricrec.recommend_all_into('pooled', 2, 'best', if_exists => 'replace');
SELECT count(*) FROM best;
ROLLBACK;
SELECT count(*) FROM best;
ALTER TABLE best ADD CONSTRAINT near CHECK (rank < 4);
\set VERBOSITY terse
CALL metricrec.recommend_all_into('pooled', 5, 'best', if_exists => 'replace');
\set VERBOSITY default
SELECT count(*) FROM best;
-- other types, other columns, other order, if they take the ids
CREATE TABLE other (note text DEFAULT 'n', rank bigint, distance real, item_id text, user_id bigint);
CALL metricrec.recommend_all_into('pooled', 2, 'other', exclude_seen => false, if_exists => 'replace');
SELECT count(*), min(rank), max(rank), count(DISTINCT note) FROM other;
-- in other schemas
CREATE SCHEMA out;
CALL metricrec.recommend_all_into('free', 2, 'out."Best of"');
SELECT count(*) FROM out."Best of";
CALL metricrec.recommend_all_into('free', 2, 'pg_temp.best');
SELECT count(*) FROM pg_temp.best;
SET search_path = '';
CALL metricrec.recommend_all_into('free', 2, 'nowhere');
RESET search_path;
SET search_path = out, public;
CALL metricrec.recommend_all_into('free', 1, 'best');
SELECT count(*) FROM out.best;
RESET search_path;

--
-- Ids of other types
--
CREATE COLLATION own FROM "C";
CREATE TABLE visits (who uuid, page text COLLATE own);
INSERT INTO visits SELECT md5(user_id::text)::uuid, CASE WHEN item_id % 2 = 0 THEN 'Page ' ELSE 'page ' END || item_id FROM likes;
CREATE INDEX ON visits (who);
SELECT model FROM metricrec.create_model('visits', 'visits', user_column => 'who', item_column => 'page', dimensions => 8, epochs => 3, seed => 1);
SELECT active, users, items FROM metricrec.train('visits');
CREATE VIEW visitors AS SELECT who AS user_id FROM visits;
SELECT * FROM pg_temp.differences('visits', 4, true, users => 'visitors');
CALL metricrec.recommend_all_into('visits', 4, 'pages');
SELECT attname, format_type(atttypid, atttypmod) AS type, collname FROM pg_attribute LEFT JOIN pg_collation c ON c.oid = attcollation
WHERE attrelid = 'pages'::regclass AND attnum > 0 ORDER BY attnum;
SELECT count(*) FILTER (WHERE p.item_id IS DISTINCT FROM a.item_id) AS other
FROM pages p FULL JOIN metricrec.recommend_all('visits', 4) a ON a.user_id = p.user_id::text AND a.rank = p.rank;

--
-- Errors
--
SELECT * FROM metricrec.recommend_all();
SELECT * FROM metricrec.recommend_all('nobody');
SELECT * FROM metricrec.recommend_all('pooled', 0);
SELECT * FROM metricrec.recommend_all('pooled', 2000000);
SELECT * FROM metricrec.recommend_all('pooled', users => 'shelf');
SELECT * FROM metricrec.recommend_all('pooled', candidates => 'chosen');
SELECT * FROM metricrec.recommend_all('pooled', users => 'visitors');
CALL metricrec.recommend_all_into('pooled', 5, NULL);
CALL metricrec.recommend_all_into('pooled', 5, 'a.b.c.d');
CALL metricrec.recommend_all_into('pooled', 5, 'none.best');
CALL metricrec.recommend_all_into('pooled', 5, 'shelf', if_exists => 'append');
CALL metricrec.recommend_all_into('pooled', 5, 'likes_user_id_idx', if_exists => 'append');
CALL metricrec.recommend_all_into('pooled', 5, 'best', if_exists => 'maybe');
-- what the model is trained on is no place for its answers, whatever columns it has
BEGIN;
ALTER TABLE likes ADD rank int, ADD distance float8;
CALL metricrec.recommend_all_into('pooled', 5, 'likes', if_exists => 'replace');
ROLLBACK;
CALL metricrec.recommend_all_into('visits', 5, 'best', if_exists => 'append');
SELECT model FROM metricrec.create_model('fresh', 'likes', rating_column => 'rating');
SELECT * FROM metricrec.recommend_all('fresh');
BEGIN READ ONLY;
SELECT count(*) FROM metricrec.recommend_all('free', 1);
CALL metricrec.recommend_all_into('free', 5, 'never');
ROLLBACK;
-- more than may be held
CREATE TABLE many (user_id int, item_id int);
CREATE INDEX ON many (user_id);
INSERT INTO many SELECT u, i FROM generate_series(1, 300) u, generate_series(1, 300) i WHERE (u * 7 + i * 3) % 20 = 0;
SELECT model FROM metricrec.create_model('many', 'many', dimensions => 1000, epochs => 1, seed => 1, user_tower => 'pooled');
SELECT active FROM metricrec.train('many');
SET metricrec.training_memory = '1MB';
\set VERBOSITY terse
SELECT count(*) FROM metricrec.recommend_all('many');
\set VERBOSITY default
RESET metricrec.training_memory;
SELECT count(*) FROM metricrec.recommend_all('many', 10);
-- the interactions are gone
DROP VIEW visitors;
DROP TABLE visits;
SELECT count(*) FROM metricrec.recommend_all('visits', 4);
SELECT count(*) FROM metricrec.recommend_all('visits', 4, false);

DROP SCHEMA out CASCADE;
DROP FUNCTION pg_temp.differences;
DROP VIEW first_of_all;
DROP TABLE best, other, three, chosen, shelf, pairs, nothing, pages;
SELECT metricrec.drop_model(m) FROM unnest('{pooled,free,visits,fresh,many}'::name[]) m;
DROP TABLE likes, many;
DROP COLLATION own;
