--
-- recommend() and its siblings on a model of two groups: users 1-20 like items
-- of 1-20, users 21-40 items of 21-40.  Answers are checked by properties, so
-- that no float is in the expected output.
--
SET client_min_messages = warning;
CREATE TABLE likes (user_id int NOT NULL, item_id int NOT NULL, rating float8);
INSERT INTO likes
SELECT u, i, 3 + (u + i) % 3
FROM generate_series(1, 40) u, generate_series(1, 40) i
WHERE (u <= 20) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;
-- seen, but not liked
INSERT INTO likes VALUES (1, 25, 1), (1, 26, 1), (2, 27, NULL);
CREATE INDEX ON likes (user_id);
ANALYZE likes;

SELECT model FROM metricrec.create_model('films', 'likes', rating_column => 'rating', min_rating => 3,
	dimensions => 8, user_tower => 'pooled', epochs => 40, seed => 1);
SELECT active, users, items FROM metricrec.train('films');

--
-- What is recommended
--
-- the only model is the default; every user gets items of the own group first
SELECT count(*) AS rows, bool_and((r.item_id <= 20) = (u <= 20)) AS own_group
FROM generate_series(1, 40) u, LATERAL recommend(u, 4) r;

-- nearest first
SELECT count(*) AS rows, bool_and(distance >= before) AS ordered
FROM (SELECT distance, lag(distance, 1, 0::float8) OVER (ORDER BY n) AS before
	  FROM recommend(7, 30) WITH ORDINALITY r(item_id, distance, n)) s;

-- from the stored point, the rows and distances of the plain form
SET metricrec.live_history = off;
SELECT count(*) AS rows, bool_and(r.distance = (i.embedding <-> u.embedding)) AS same_distance
FROM recommend(7, 20) r
JOIN films_item_embedding i USING (item_id), films_user_embedding u
WHERE u.user_id = 7;
SELECT array_agg(p.item_id::bigint) = (SELECT array_agg(item_id) FROM recommend(7, 10, exclude_seen => false)) AS same_rows
FROM (SELECT i.item_id FROM films_item_embedding i
	  ORDER BY i.embedding <-> (SELECT embedding FROM films_user_embedding WHERE user_id = 7) LIMIT 10) p;

-- on the training data the live point is the stored one
CREATE TEMP TABLE stored AS
SELECT u, r.* FROM generate_series(1, 40) u, LATERAL recommend(u, 40, exclude_seen => false) r;
RESET metricrec.live_history;
SELECT count(*) AS rows, bool_and(abs(r.distance - s.distance) < 1e-5) AS close
FROM stored s JOIN LATERAL recommend(s.u, 40, exclude_seen => false) r USING (item_id);

-- seen items are left out, low and missing ratings among them
SELECT bool_and(n = 40 - seen) AS all_others, bool_or(again) AS any_seen
FROM (SELECT u, count(*) AS n,
			 (SELECT count(DISTINCT item_id) FROM likes WHERE user_id = u) AS seen,
			 bool_or(r.item_id IN (SELECT item_id FROM likes WHERE user_id = u)) AS again
	  FROM generate_series(1, 40) u, LATERAL recommend(u, 1000) r GROUP BY u) s;
SELECT count(*) FROM recommend(1, 1000, exclude_seen => false);
SELECT count(*) FROM recommend(1, 1);

-- NULL: an id gives no rows, anything else its default
SELECT count(*) FROM recommend(NULL::bigint);
SELECT count(*) FROM recommend(1, NULL, NULL, NULL, NULL, NULL);
SELECT count(*) FROM explain_recommendation(1, NULL);

--
-- The two forms
--
SELECT pg_typeof(item_id) AS form FROM recommend(7, 1)
UNION ALL SELECT pg_typeof(item_id) FROM recommend(7::smallint, 1)
UNION ALL SELECT pg_typeof(item_id) FROM recommend('7', 1)
UNION ALL SELECT pg_typeof(item_id) FROM recommend('7'::varchar, 1);
SELECT count(*) AS same FROM recommend(7, 20) b JOIN recommend('7', 20) t
ON t.item_id = b.item_id::text AND t.distance = b.distance;
SELECT count(*) AS same FROM similar_items(7, 20) b JOIN similar_items('7', 20) t
ON t.item_id = b.item_id::text AND t.distance = b.distance;
SELECT count(*) AS same FROM similar_users(7, 20) b JOIN similar_users('7', 20) t
ON t.user_id = b.user_id::text AND t.distance = b.distance;
SELECT count(*) AS same FROM recommend_for_items(ARRAY[1, 2, 3], 20) b
JOIN recommend_for_items(ARRAY['1', '2', '3'], 20) t
ON t.item_id = b.item_id::text AND t.distance = b.distance;
SELECT count(*) > 3 AS same FROM explain_recommendation(7, 8, 20) b
JOIN explain_recommendation('7', '8', 20) t
ON t.item_id = b.item_id::text AND t.distance = b.distance;

PREPARE untyped AS SELECT item_id FROM recommend($1, 3);
PREPARE typed (bigint) AS SELECT item_id FROM recommend($1, 3);
SELECT name, parameter_types FROM pg_prepared_statements ORDER BY name;
-- often enough for a generic plan
CREATE TEMP TABLE prepared (item_id text);
DO $$
BEGIN
	FOR i IN 1..8 LOOP
		INSERT INTO prepared SELECT item_id::text FROM recommend(i % 2 + 7, 3);
	END LOOP;
END $$;
SELECT count(*), count(DISTINCT item_id) <= 6 AS stable FROM prepared;

--
-- recommend_for_items
--
SELECT bool_and(item_id <= 20) AS own_group, bool_or(item_id IN (1, 2, 3)) AS given
FROM recommend_for_items(ARRAY[1, 2, 3], 5);
SELECT count(*), count(*) FILTER (WHERE item_id IN (1, 2, 3)) AS given
FROM recommend_for_items(ARRAY[1, 2, 3], 1000, exclude_seen => false);
-- duplicates, NULLs and unknown items change nothing
SELECT count(*) AS same FROM recommend_for_items(ARRAY[1, 2, 3], 10) a
JOIN recommend_for_items(ARRAY[3, 2, NULL, 1, 1, 999], 10) b USING (item_id, distance);
-- a user who liked just these gets the same, without training
BEGIN;
INSERT INTO likes VALUES (500, 1, 5), (500, 2, 5), (500, 3, 5);
SELECT count(*) AS same FROM recommend(500, 10) a JOIN recommend_for_items(ARRAY[1, 2, 3], 10) b USING (item_id)
WHERE abs(a.distance - b.distance) < 1e-5;
SELECT bool_and(user_id <= 20) AS own_group FROM similar_users(500, 10);
ROLLBACK;

--
-- Live history: a click changes the next answer in the same transaction
--
BEGIN;
SELECT count(*) FILTER (WHERE item_id > 20) AS other_group FROM recommend(7, 5, exclude_seen => false);
INSERT INTO likes SELECT 7, i, 5 FROM generate_series(21, 40) i;
DELETE FROM likes WHERE user_id = 7 AND item_id <= 20;
SELECT count(*) FILTER (WHERE item_id > 20) AS other_group FROM recommend(7, 5, exclude_seen => false);
SELECT bool_or(item_id > 20) AS seen FROM recommend(7, 20);
-- a low rating is no like
UPDATE likes SET rating = 1 WHERE user_id = 7;
SELECT count(*) FILTER (WHERE item_id > 20) AS other_group FROM recommend(7, 5, exclude_seen => false);
SET LOCAL metricrec.live_history = off;
SELECT count(*) FILTER (WHERE item_id > 20) AS other_group FROM recommend(7, 5, exclude_seen => false);
ROLLBACK;

--
-- similar_items, similar_users, explain_recommendation
--
SELECT count(*) AS rows, bool_and((s.item_id <= 20) = (i <= 20)) AS own_group, bool_or(s.item_id = i) AS itself
FROM generate_series(1, 40) i, LATERAL similar_items(i, 5) s;
SELECT count(*) FROM similar_items(5, 1000);
SELECT count(*) AS rows, bool_and((s.user_id <= 20) = (u <= 20)) AS own_group, bool_or(s.user_id = u) AS itself
FROM generate_series(1, 40) u, LATERAL similar_users(u, 5) s;
SELECT count(*) FROM similar_users(5, 1000);
-- equal points: left out by key, not by distance
BEGIN;
UPDATE films_item_embedding_v1 SET embedding = (SELECT embedding FROM films_item_embedding WHERE item_id = 4)
WHERE item_id IN (3, 5, 6);
SELECT item_id, distance FROM similar_items(4, 3);
ROLLBACK;
-- the liked items only, nearest first, without the item itself
SELECT count(*) AS rows, bool_and(liked) AS liked, bool_and(distance >= before) AS ordered
FROM (SELECT distance, lag(distance, 1, 0::float8) OVER (ORDER BY n) AS before,
			 item_id IN (SELECT item_id FROM likes WHERE user_id = 1 AND rating >= 3 AND item_id <> 2) AS liked
	  FROM explain_recommendation(1, 2, 5) WITH ORDINALITY e(item_id, distance, n)) s;
SELECT bool_and(e.distance = (a.embedding <-> b.embedding)) AS same_distance
FROM explain_recommendation(1, 30, 5) e JOIN films_item_embedding a USING (item_id), films_item_embedding b
WHERE b.item_id = 30;

--
-- candidates: a relation with the model's item column; with its user column, too, pairs
--
CREATE TABLE in_stock (item_id bigint);
INSERT INTO in_stock VALUES (3), (33), (34), (NULL), (3), (999);
SELECT array_agg(item_id ORDER BY item_id) FROM recommend(30, 10, candidates => 'in_stock', exclude_seen => false);
SELECT array_agg(item_id ORDER BY item_id) FROM recommend_for_items(ARRAY[33], 10, candidates => 'in_stock');
CREATE VIEW pairs AS SELECT u AS user_id, u + d AS item_id FROM generate_series(1, 40) u, generate_series(-1, 1) d;
SELECT array_agg(item_id ORDER BY item_id) FROM recommend(30, 10, candidates => 'pairs', exclude_seen => false);
SELECT array_agg(item_id ORDER BY item_id) FROM recommend('12', 10, candidates => 'pairs', exclude_seen => false);
SELECT count(*) FROM recommend_for_items(ARRAY[33], 100, candidates => 'pairs');
-- seen items among the candidates
SELECT bool_or(r.item_id IN (SELECT item_id FROM likes WHERE user_id = u)) AS seen
FROM generate_series(21, 40) u, LATERAL recommend(u, 10, candidates => 'in_stock') r;

--
-- diversity
--
SELECT count(*) AS rows, count(DISTINCT item_id) AS items,
	min(n) FILTER (WHERE item_id = (SELECT item_id FROM recommend(7, 1))) AS nearest_comes
FROM recommend(7, 5, diversity => 0.6) WITH ORDINALITY r(item_id, distance, n);
SELECT (SELECT array_agg(item_id) FROM recommend(7, 5)) <> (SELECT array_agg(item_id) FROM recommend(7, 5, diversity => 0.6)) AS other_list;
-- farther apart, by definition: the mean distance within the list grows
CREATE FUNCTION spread(items bigint[]) RETURNS float8 LANGUAGE sql STABLE AS $$
	SELECT avg(a.embedding <-> b.embedding) FROM films_item_embedding a, films_item_embedding b
	WHERE a.item_id = ANY (items) AND b.item_id = ANY (items) AND a.item_id < b.item_id $$;
SELECT spread((SELECT array_agg(item_id) FROM recommend(7, 5))) <
	   spread((SELECT array_agg(item_id) FROM recommend(7, 5, diversity => 0.6))) AS wider;
SELECT count(*) FROM recommend(7, 1000, diversity => 0.5, exclude_seen => false);
SELECT bool_or(item_id IN (1, 2, 3)) AS given FROM recommend_for_items(ARRAY[1, 2, 3], 37, diversity => 0.9);

-- the choice, worked by hand: query (0,0), items a (1,0), b (1.1,0), c (0,2), bias 0;
-- diversity 0.5: after a, b scores 0.55 - 0.05 = 0.5 and c scores 1 - sqrt(5)/2 = -0.118
BEGIN;
UPDATE films_item_embedding_v1 SET embedding = '[9,9,9,9,9,9,9,0]';
UPDATE films_item_embedding_v1 SET embedding = '[1,0,0,0,0,0,0,0]' WHERE item_id = 1;
UPDATE films_item_embedding_v1 SET embedding = '[1.1,0,0,0,0,0,0,0]' WHERE item_id = 2;
UPDATE films_item_embedding_v1 SET embedding = '[0,2,0,0,0,0,0,0]' WHERE item_id = 3;
UPDATE films_user_embedding_v1 SET embedding = '[0,0,0,0,0,0,0,0]';
SET LOCAL metricrec.live_history = off;
CREATE TABLE abc AS SELECT generate_series(1, 3) AS item_id;
SELECT array_agg(item_id) FROM recommend(7, 3, exclude_seen => false, candidates => 'abc');
SELECT array_agg(item_id) FROM recommend(7, 3, exclude_seen => false, candidates => 'abc', diversity => 0.5);
SELECT array_agg(item_id) FROM recommend(7, 3, exclude_seen => false, candidates => 'abc', diversity => 0.1);
ROLLBACK;

-- ties go by key, rows without an embedding are passed over
BEGIN;
UPDATE films_item_embedding_v1 SET embedding = '[1,0,0,0,0,0,0,0]' WHERE item_id <= 5;
CREATE TABLE abc AS SELECT generate_series(1, 5) AS item_id;
ALTER TABLE films_item_embedding_v1 ALTER embedding DROP NOT NULL;
UPDATE films_item_embedding_v1 SET embedding = NULL WHERE item_id = 3;
SELECT array_agg(item_id) FROM recommend(30, 10, candidates => 'abc');
ROLLBACK;

--
-- Where it runs: an empty search_path, read-only transactions, PL/pgSQL
--
SET search_path = '';
SELECT count(*) FROM public.recommend(7, 5, candidates => 'public.in_stock', diversity => 0.1);
SELECT count(*) FROM public.recommend('7', 5, 'films');
SELECT count(*) FROM public.similar_users(7, 5);
SELECT count(*) FROM public.explain_recommendation(7, 30, 2);
RESET search_path;
BEGIN READ ONLY;
SELECT count(*) FROM recommend(7, 5);
SELECT count(*) FROM explain_recommendation(7, 30, 2);
COMMIT;
CREATE FUNCTION known_users(ids bigint[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	n int := 0;
	id bigint;
BEGIN
	FOREACH id IN ARRAY ids LOOP
		BEGIN
			PERFORM * FROM recommend(id, 1);
			n := n + 1;
		EXCEPTION WHEN no_data_found THEN
			NULL;
		END;
	END LOOP;
	RETURN n;
END $$;
SELECT known_users(ARRAY[1, 2, 999, 3, 1000]);

-- a statement with thousands of calls keeps no memory of them
CREATE FUNCTION memory() RETURNS bigint LANGUAGE sql VOLATILE AS
	'SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts';
SELECT max(m) FILTER (WHERE g > 2500) - max(m) FILTER (WHERE g BETWEEN 500 AND 1500) < 100000 AS steady
FROM (SELECT g, CASE WHEN g % 250 = 0 THEN memory() END AS m
	  FROM generate_series(1, 3000) g, LATERAL recommend(1 + g % 40, 1) r) s;

-- more relations than plans are kept, from within a plan that runs
DO $$
BEGIN
	FOR i IN 1..80 LOOP
		EXECUTE format('CREATE TABLE some_%s AS SELECT generate_series(1, 40) AS item_id', i);
	END LOOP;
END $$;
CREATE FUNCTION ask_all(item int) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
	n int;
BEGIN
	IF item = 5 THEN
		FOR i IN 2..80 LOOP
			EXECUTE format('SELECT count(*) FROM recommend(8, 5, candidates => %L)', 'some_' || i) INTO n;
			ASSERT n = 5;
		END LOOP;
	END IF;
	RETURN true;
END $$;
CREATE VIEW nested AS SELECT item_id FROM some_1 WHERE ask_all(item_id);
SELECT count(*) FROM recommend(7, 5, candidates => 'nested');
SELECT count(*) FROM recommend(7, 5, candidates => 'nested');

-- names that change under kept plans
ALTER TABLE likes RENAME TO "Likes of users";
SELECT count(*) FROM recommend(7, 5);
ALTER VIEW films_item_embedding RENAME TO "Films_item_embedding";
ALTER VIEW films_user_embedding RENAME TO "Films_user_embedding";
SELECT count(*) FROM recommend(7, 5, 'Films');
SELECT count(*) FROM similar_users(7, 5, 'Films');
ALTER VIEW "Films_item_embedding" RENAME TO films_item_embedding;
ALTER VIEW "Films_user_embedding" RENAME TO films_user_embedding;
ALTER TABLE "Likes of users" RENAME TO likes;

-- another version, of other dimensions
SELECT dimensions FROM metricrec.model_versions WHERE state = 'active';
SELECT options ->> 'dimensions' AS dimensions FROM metricrec.alter_model('films', dimensions => 6);
SELECT active FROM metricrec.train('films');
SELECT count(*) AS rows, bool_and((r.item_id <= 20) = (u <= 20)) AS own_group
FROM generate_series(1, 40) u, LATERAL recommend(u, 4) r;
SELECT active_version FROM metricrec.activate('films', 1);
SELECT count(*) AS rows, bool_and((r.item_id <= 20) = (u <= 20)) AS own_group
FROM generate_series(1, 40) u, LATERAL recommend(u, 4) r;

--
-- Row-level security: the caller's rows decide
--
CREATE ROLE regress_mr_watcher;
GRANT SELECT ON likes, films_item_embedding, films_user_embedding TO regress_mr_watcher;
ALTER TABLE likes ENABLE ROW LEVEL SECURITY;
CREATE POLICY even_items ON likes TO regress_mr_watcher USING (item_id % 2 = 0);
CREATE TABLE seen AS SELECT item_id FROM likes WHERE user_id = 7;
GRANT SELECT ON seen TO regress_mr_watcher;
SET ROLE regress_mr_watcher;
SELECT bool_or(item_id IN (SELECT item_id FROM seen WHERE item_id % 2 = 0)) AS even,
	   bool_or(item_id IN (SELECT item_id FROM seen WHERE item_id % 2 = 1)) AS odd FROM recommend(7, 40);
RESET ROLE;
-- seen by the owner, in the same session and with the same text
SELECT bool_or(item_id IN (SELECT item_id FROM likes WHERE user_id = 7)) AS seen FROM recommend(7, 30);
ALTER TABLE likes DISABLE ROW LEVEL SECURITY;
DROP POLICY even_items ON likes;

--
-- A free user tower: clicks are seen, but do not move the user
--
SELECT model FROM metricrec.create_model('free', 'likes', rating_column => 'rating', min_rating => 3,
	dimensions => 8, user_tower => 'free', epochs => 60, seed => 1);
SELECT active FROM metricrec.train('free');
SELECT count(*) AS rows, bool_and((r.item_id <= 20) = (u <= 20)) AS own_group
FROM generate_series(1, 40) u, LATERAL recommend(u, 4, 'free', exclude_seen => false) r;
SET metricrec.default_model = 'free';
SELECT count(*) AS rows, bool_and(r.distance = (i.embedding <-> u.embedding)) AS same_distance
FROM recommend(7, 20) r JOIN free_item_embedding i USING (item_id), free_user_embedding u
WHERE u.user_id = 7;
SELECT bool_and(item_id <= 20) AS own_group FROM recommend_for_items(ARRAY[1, 2, 3], 5);
SELECT bool_and(item_id <= 20) AS own_group FROM similar_items(1, 5);
RESET metricrec.default_model;

--
-- Keys of other types: text users, uuid items
--
CREATE TABLE buys (who text, what uuid);
INSERT INTO buys SELECT 'user ' || user_id, lpad(item_id::text, 32, '0')::uuid FROM likes WHERE rating >= 3;
CREATE INDEX ON buys (who);
SELECT model FROM metricrec.create_model('shop', 'buys', 'who', 'what', dimensions => 8, user_tower => 'pooled',
	epochs => 40, seed => 1);
SELECT active FROM metricrec.train('shop');
SELECT count(*), bool_and(r.item_id::uuid <= lpad('20', 32, '0')::uuid) AS own_group,
	bool_or(r.item_id::uuid IN (SELECT what FROM buys WHERE who = 'user 7')) AS seen
FROM recommend('user 7', 4, 'shop') r;
SELECT count(*) FROM similar_items(lpad('7', 32, '0'), 5, 'shop');
-- any text that the type reads
SELECT count(*) AS same FROM similar_items('{' || lpad('7', 32, '0') || '}', 5, 'shop') a
JOIN similar_items(lpad('7', 32, '0'), 5, 'shop') b USING (item_id);
SELECT bool_and(user_id LIKE 'user %') AS texts FROM similar_users('user 7', 5, 'shop');
SELECT count(*) FROM recommend_for_items(ARRAY[lpad('7', 32, '0'), lpad('8', 32, '0')], 5, 'shop');
SELECT bool_and(item_id::uuid IN (SELECT what FROM buys WHERE who = 'user 7')) AS liked
FROM explain_recommendation('user 7', lpad('8', 32, '0'), 3, 'shop');
CREATE VIEW some_buys AS SELECT what FROM buys WHERE what <= lpad('30', 32, '0')::uuid;
SELECT bool_and(item_id::uuid BETWEEN lpad('20', 32, '0')::uuid AND lpad('30', 32, '0')::uuid) AS candidates
FROM recommend('user 30', 3, 'shop', candidates => 'some_buys', exclude_seen => false);

--
-- Ids that are rows, through a view
--
CREATE TYPE place AS (shelf int, slot text);
CREATE VIEW placed AS SELECT user_id, ROW(item_id, 'a')::place AS item_id FROM likes;
SELECT model FROM metricrec.create_model('placed', 'placed', dimensions => 4, user_tower => 'pooled', epochs => 5, seed => 1);
SELECT active FROM metricrec.train('placed');
SELECT count(*) > 0 AS answered, bool_and(item_id ~ '^\(\d+,a\)$') AS rows FROM recommend('1', model => 'placed');
SELECT count(*) > 0 AS answered FROM recommend_for_items(ARRAY['(1,a)', '(2,a)'], model => 'placed');
SELECT metricrec.drop_model('placed');
DROP VIEW placed;
DROP TYPE place;

--
-- Every function is there with its volatility, and described
--
SELECT p.oid::regprocedure AS function, provolatile, proparallel, proretset, proisstrict,
	obj_description(p.oid, 'pg_proc') IS NOT NULL AS described
FROM pg_proc p
WHERE proname IN ('recommend', 'recommend_for_items', 'similar_items', 'similar_users', 'explain_recommendation')
ORDER BY p.oid::regprocedure::text COLLATE "C";

SELECT metricrec.drop_model('shop'), metricrec.drop_model('free'), metricrec.drop_model('films');
DROP VIEW some_buys, pairs, nested;
DROP FUNCTION spread, known_users, memory, ask_all;
DROP TABLE buys, in_stock, likes, seen;
DO $$
BEGIN
	FOR i IN 1..80 LOOP
		EXECUTE 'DROP TABLE some_' || i;
	END LOOP;
END $$;
DROP ROLE regress_mr_watcher;
