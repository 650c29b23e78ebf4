--
-- metricrec.evaluate: a hand-worked example, the same metrics in plain SQL on a
-- trained model, and what is refused.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA evaluate_test;
SET search_path = evaluate_test, public;

--
-- 1. By hand.  The points of a trained model are replaced by places on a line,
-- so that every distance can be seen:
--
--		place	0	1	2	3	4	  5	 6	7
--		items		1	2	3	4, 5	 6
--		users	1, 3		4			2
--
CREATE TABLE likes (user_id int, item_id int, rating float8);
INSERT INTO likes VALUES (1, 1, 5), (1, 2, 5), (2, 3, 5), (2, 6, 5), (3, 4, 5), (4, 1, 5), (4, 5, 5);
CREATE INDEX ON likes (user_id);
SELECT model FROM metricrec.create_model('hand', 'likes', rating_column => 'rating', min_rating => 3,
	dimensions => 2, user_tower => 'free', item_bias => false, epochs => 1);
SELECT * FROM metricrec.evaluate('hand', 'likes');	-- not trained yet
SELECT active FROM metricrec.train('hand');
UPDATE hand_item_embedding_v1 i SET embedding = ARRAY[p.place, 0]::real[]
FROM (VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 6)) p(item_id, place) WHERE i.item_id = p.item_id;
UPDATE hand_user_embedding_v1 u SET embedding = ARRAY[p.place, 0]::real[]
FROM (VALUES (1, 0), (2, 7), (3, 0), (4, 3)) p(user_id, place) WHERE u.user_id = p.user_id;

-- The values beside those worked out by hand; `ok` where they agree.
CREATE TABLE by_hand (test text, metric text, k int, value float8);
CREATE FUNCTION check_by_hand(which text, held_out regclass, cuts int[], among regclass DEFAULT NULL, without regclass DEFAULT NULL)
RETURNS TABLE (metric text, k int, value numeric, ok boolean) LANGUAGE sql AS $$
	SELECT h.metric, h.k, round(e.value::numeric, 4), abs(e.value - h.value) < 1e-6
	FROM by_hand h LEFT JOIN metricrec.evaluate('hand', held_out, cuts, among, without) e
		 ON e.metric = h.metric AND e.k IS NOT DISTINCT FROM h.k
	WHERE h.test = which ORDER BY h.k NULLS LAST, h.metric;
$$;

-- User 1 (1, 2 seen):	3 | 4 and 5 | 6.	4 is third, because 5 ties with it; 6 is fourth.
-- User 2 (3, 6 seen):	4 and 5 | 2 | 1.	2 is third; 99 is unknown to the model.
-- User 3 (4 seen):		1 first.
-- User 4 (1, 5 seen):	5 is held out, so it stays: 3 | 2, 4 and 5 | 6.  5 is fourth.
-- User 77 is unknown to the model: a miss.  Duplicates and NULLs do not count.
CREATE TABLE test (item_id bigint, user_id bigint);
INSERT INTO test VALUES (4, 1), (6, 1), (2, 2), (99, 2), (1, 3), (5, 4), (1, 77), (2, 77), (4, 1), (NULL, 2), (4, NULL);
INSERT INTO by_hand
WITH c(l2, l3, l5, two) AS (SELECT 1.0::float8, 1 / (ln(3.0) / ln(2.0)), 1 / (ln(5.0) / ln(2.0)), 1 + 1 / (ln(3.0) / ln(2.0)))
SELECT 'full', v.* FROM c, LATERAL (VALUES
	('hit_rate', 1, 0.2), ('recall', 1, 0.2), ('precision', 1, 0.2), ('ndcg', 1, 0.2), ('map', 1, 0.2), ('mrr', 1, 0.2),
	-- 1, 2 and 3 have one hit each; 1 and 2 at rank 3 of two held-out items
	('hit_rate', 3, 3 / 5.0), ('recall', 3, (0.5 + 0.5 + 1) / 5), ('precision', 3, (3 * 1 / 3.0) / 5),
	('ndcg', 3, (0.5 / two + 0.5 / two + 1) / 5),
	('map', 3, (1 / 6.0 + 1 / 6.0 + 1) / 5), ('mrr', 3, (1 / 3.0 + 1 / 3.0 + 1) / 5),
	-- 1 has two hits, at 3 and 4; 4 has its only one, at 4
	('hit_rate', 4, 4 / 5.0), ('recall', 4, (1 + 0.5 + 1 + 1) / 5), ('precision', 4, (0.5 + 0.25 + 0.25 + 0.25) / 5),
	('ndcg', 4, ((0.5 + l5) / two + 0.5 / two + 1 + l5) / 5),
	('map', 4, ((1 / 3.0 + 2 / 4.0) / 2 + 1 / 6.0 + 1 + 1 / 4.0) / 5), ('mrr', 4, (1 / 3.0 + 1 / 3.0 + 1 + 1 / 4.0) / 5),
	-- the lists of three: 3 4 5, 4 5 2, 1 2 3, 3 2 4; item 1 was taken by two users, all others by one of four
	('coverage', 3, 5 / 6.0), ('popularity', 3, (1 + 1 + 4 / 3.0 + 1) / 4), ('novelty', 3, (2 + 2 + 5 / 3.0 + 2) / 4),
	-- the lists of one: 3, 4, 1, 3
	('coverage', 1, 3 / 6.0), ('popularity', 1, (1 + 1 + 2 + 1) / 4.0), ('novelty', 1, (2 + 2 + 1 + 2) / 4.0),
	('users', NULL, 5), ('unknown_users', NULL, 1), ('unknown_items', NULL, 1)) AS v(metric, k, value);
SELECT * FROM check_by_hand('full', 'test', '{1,3,4}');
-- nothing else comes out; k in the order given, and more than there are items
SELECT metric, k, count(*) FROM metricrec.evaluate('hand', 'test', '{3,1}') GROUP BY 1, 2 ORDER BY 2, 1;
SELECT count(*) AS rows, max(value) FILTER (WHERE metric = 'hit_rate') AS hit_rate,
	max(value) FILTER (WHERE metric = 'coverage') AS coverage FROM metricrec.evaluate('hand', 'test', '{10000}');

-- Candidates.  User 1: 3, for 1 is seen: 4 is second, 6 third.  User 2: 1 is
-- farther than 2.  User 3: 1 first.  User 4: 2 ties with 5, which is second; 99
-- is unknown.  The pair of user 9, unknown too, is of no use.
CREATE TABLE candidates (user_id int, item_id int);
INSERT INTO candidates VALUES (1, 3), (1, 1), (2, 1), (3, 2), (3, 6), (4, 2), (4, 2), (4, 99), (9, 1);
INSERT INTO by_hand
WITH c(l3, two) AS (SELECT 1 / (ln(3.0) / ln(2.0)), 1 + 1 / (ln(3.0) / ln(2.0)))
SELECT 'candidates', v.* FROM c, LATERAL (VALUES
	('hit_rate', 1, 2 / 5.0), ('recall', 1, (0.5 + 1) / 5), ('ndcg', 1, 2 / 5.0), ('mrr', 1, 2 / 5.0),
	('hit_rate', 2, 4 / 5.0), ('recall', 2, (0.5 + 0.5 + 1 + 1) / 5), ('precision', 2, (4 * 0.5) / 5),
	('ndcg', 2, (l3 / two + 1 / two + 1 + l3) / 5), ('map', 2, (1 / 4.0 + 1 / 2.0 + 1 + 1 / 2.0) / 5), ('mrr', 2, (0.5 + 1 + 1 + 0.5) / 5),
	-- the lists of two: 3 4, 2 1, 1 2, 2 5
	('coverage', 2, 5 / 6.0), ('popularity', 2, (1 + 1.5 + 1.5 + 1) / 4), ('novelty', 2, (2 + 1.5 + 1.5 + 2) / 4)) AS v(metric, k, value);
SELECT * FROM check_by_hand('candidates', 'test', '{1,2}', among => 'candidates');
-- no candidate: nothing to be ranked against, and a word about it
DELETE FROM candidates WHERE user_id IN (2, 4);
SELECT value FROM metricrec.evaluate('hand', 'test', '{1}', candidates => 'candidates') WHERE metric = 'hit_rate';

-- More pairs to leave out.  User 1: 5 | 4 is second, 6 third.  User 4: 2 and 4
-- tie with 5, which is third.  The held-out pair (3, 1) stays.
CREATE VIEW exclude AS SELECT * FROM (VALUES (1::numeric, 3::numeric), (1, 4), (4, 3), (3, 1)) p(user_id, item_id);
INSERT INTO by_hand VALUES ('exclude', 'mrr', 4, (1 / 2.0 + 1 / 3.0 + 1 + 1 / 3.0) / 5), ('exclude', 'hit_rate', 2, 2 / 5.0);
SELECT * FROM check_by_hand('exclude', 'test', '{2,4}', without => 'exclude');

-- The interactions are read as they are now, and low ratings count as seen.
INSERT INTO likes VALUES (1, 3, 1), (4, 3, NULL);
SELECT * FROM check_by_hand('exclude', 'test', '{2,4}');

DELETE FROM likes WHERE rating IS NULL OR rating < 3;

-- Where the test relation has the rating column, rows that training would not
-- take as positives are not held out: users 3 and 4 drop out.
CREATE TABLE rated_test AS SELECT user_id, item_id, CASE user_id WHEN 3 THEN 1 WHEN 4 THEN NULL ELSE 3 END AS rating FROM test;
SELECT * FROM metricrec.evaluate('hand', 'rated_test', '{4}') WHERE metric IN ('hit_rate', 'users', 'unknown_users');

-- Only unknown users: all is missed, and there is no list.
CREATE TABLE strangers AS SELECT 77 AS user_id, 1 AS item_id;
SELECT metric, value FROM metricrec.evaluate('hand', 'strangers', '{1}') ORDER BY metric;
-- A known user with unknown items only is missed too, but has a list.
CREATE TABLE unknown_items AS SELECT 1 AS user_id, 8000000000 AS item_id;
SELECT metric, round(value::numeric, 4) AS value FROM metricrec.evaluate('hand', 'unknown_items', '{1}') ORDER BY metric;
--
-- 2. A trained model, ranked in plain SQL.  One user and one item of the test
-- table are unknown; without and with candidates and excluded pairs.
--
CREATE TABLE taken AS
SELECT u AS user_id, 'item ' || i AS item_id, (u * 7 + i * i * 3 + u * i) % 10 < 2 AS hidden
FROM generate_series(1, 30) u, generate_series(1, 40) i WHERE (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 4;
CREATE VIEW random_train AS SELECT user_id, item_id FROM taken WHERE NOT hidden;
CREATE VIEW random_test AS SELECT user_id, item_id FROM taken WHERE hidden
UNION ALL VALUES (5, 'nothing'), (6, 'nothing'), (1000, 'item 1');
CREATE VIEW random_candidates AS SELECT u AS user_id, 'item ' || i AS item_id
FROM generate_series(1, 30) u, generate_series(1, 40) i WHERE (u * 13 + i * 31) % 7 < 3;
CREATE VIEW random_exclude AS SELECT u AS user_id, 'item ' || i AS item_id
FROM generate_series(1, 30) u, generate_series(1, 40) i WHERE (u * 5 + i * 17) % 13 < 2;
SELECT model FROM metricrec.create_model('random', 'random_train', dimensions => 8, user_tower => 'pooled', epochs => 5);
SELECT active, users, items FROM metricrec.train('random');

-- Items to rank for each user, their distances, and the rank of the held-out ones.
CREATE FUNCTION ranking(use_candidates boolean, use_exclude boolean)
RETURNS TABLE (user_id int, item_id text, held boolean, d float8, rank bigint, place bigint) LANGUAGE sql AS $$
	WITH ranked AS (
		SELECT u.user_id, i.item_id, u.embedding <-> i.embedding AS d,
			   EXISTS (SELECT FROM random_test t WHERE t.user_id = u.user_id AND t.item_id = i.item_id) AS held
		FROM random_user_embedding u, random_item_embedding i
		WHERE u.user_id IN (SELECT t.user_id FROM random_test t)
	), kept AS (
		SELECT * FROM ranked r WHERE held OR (
			NOT EXISTS (SELECT FROM random_train t WHERE t.user_id = r.user_id AND t.item_id = r.item_id)
			AND NOT (use_exclude AND EXISTS (SELECT FROM random_exclude t WHERE t.user_id = r.user_id AND t.item_id = r.item_id))
			AND (NOT use_candidates OR EXISTS (SELECT FROM random_candidates t WHERE t.user_id = r.user_id AND t.item_id = r.item_id)))
	)
	SELECT user_id, item_id, held, d,
		   (SELECT count(*) FROM kept o WHERE o.user_id = k.user_id AND
			CASE WHEN o.held THEN (o.d, o.item_id COLLATE "C") <= (k.d, k.item_id COLLATE "C") ELSE o.d <= k.d END),
		   row_number() OVER (PARTITION BY user_id ORDER BY d, item_id COLLATE "C")
	FROM kept k;
$$;
CREATE FUNCTION in_sql(k int, use_candidates boolean, use_exclude boolean)
RETURNS TABLE (metric text, value float8) LANGUAGE sql AS $$
	WITH ranking AS (SELECT * FROM ranking(use_candidates, use_exclude)),
	hits AS (
		SELECT user_id, rank, row_number() OVER (PARTITION BY user_id ORDER BY rank) AS n
		FROM ranking WHERE held AND rank <= k
	), users AS (
		SELECT t.user_id, count(DISTINCT t.item_id) AS held,
			   (SELECT count(*) FROM hits h WHERE h.user_id = t.user_id) AS hits,
			   (SELECT min(rank) FROM hits h WHERE h.user_id = t.user_id) AS first,
			   (SELECT coalesce(sum(1 / log(2, rank + 1)), 0) FROM hits h WHERE h.user_id = t.user_id) AS gain,
			   (SELECT sum(1 / log(2, j + 1)) FROM generate_series(1, least(k, count(DISTINCT t.item_id))) j) AS ideal,
			   (SELECT coalesce(sum(n::float8 / rank), 0) FROM hits h WHERE h.user_id = t.user_id) AS precisions
		FROM random_test t GROUP BY t.user_id
	), lists AS (
		SELECT user_id, avg(i.interactions) AS popularity,
			   avg(-log(2, i.interactions::numeric / (SELECT count(*) FROM random_user_embedding))) AS novelty
		FROM ranking r JOIN random_item_embedding i USING (item_id) WHERE place <= k GROUP BY user_id
	)
	SELECT m.* FROM (SELECT avg((hits > 0)::int) AS hit_rate, avg(hits::float8 / held) AS recall, avg(hits::float8 / k) AS precision,
						  avg(gain / ideal) AS ndcg, avg(precisions / least(k, held)) AS map, avg(coalesce(1.0 / first, 0)) AS mrr FROM users) u,
		(SELECT avg(popularity) AS popularity, avg(novelty) AS novelty FROM lists) l,
		(SELECT count(DISTINCT item_id)::float8 / (SELECT count(*) FROM random_item_embedding) AS coverage FROM ranking WHERE place <= k) c,
		LATERAL (VALUES ('hit_rate', u.hit_rate::float8), ('recall', u.recall), ('precision', u.precision), ('ndcg', u.ndcg),
			('map', u.map), ('mrr', u.mrr::float8), ('coverage', c.coverage), ('popularity', l.popularity::float8), ('novelty', l.novelty::float8)) m;
$$;
SELECT c AS candidates, x AS exclude, n AS k, count(*) AS metrics, count(*) FILTER (WHERE abs(s.value - e.value) < 1e-6) AS equal,
	   bool_and(s.value > 0) AS not_trivial
FROM (VALUES (false, false), (true, false), (false, true), (true, true)) o(c, x), unnest('{1,3,10,50}'::int[]) n,
	 LATERAL in_sql(n, c, x) s,
	 LATERAL metricrec.evaluate('random', 'random_test', ARRAY[n], CASE WHEN c THEN 'random_candidates'::regclass END,
								CASE WHEN x THEN 'random_exclude'::regclass END) e
WHERE e.metric = s.metric AND e.k = n GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT metric, value FROM metricrec.evaluate('random', 'random_test', '{1}') WHERE k IS NULL;

--
-- 3. Without a test relation: a throw-away model, and nothing of it stays.
--
CREATE TABLE two_groups AS
SELECT u AS user_id, i AS item_id, 5 AS rating FROM generate_series(1, 60) u, generate_series(1, 40) i
WHERE (u <= 30) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;
CREATE INDEX ON two_groups (user_id);
SELECT model FROM metricrec.create_model('groups', 'two_groups', rating_column => 'rating', min_rating => 3, dimensions => 8, epochs => 30);
CREATE VIEW groups_state AS SELECT (SELECT count(*) FROM metricrec.model_versions WHERE model = 'groups') AS versions,
	(SELECT count(*) FROM metricrec.training_log WHERE model = 'groups') AS log_rows,
	(SELECT count(*) FROM pg_class WHERE relname ~ '^groups_.*_v\d+$') AS tables;
-- of 40 items a user's own 20, less those that were taken: twice as good as chance
SELECT value FROM metricrec.evaluate('groups', k => '{20}') WHERE metric = 'users';
SELECT value > 0.95 AS groups_found FROM metricrec.evaluate('groups', k => '{20}') WHERE metric = 'hit_rate';
TABLE groups_state;
SELECT active FROM metricrec.train('groups');
SELECT value > 0.95 AS groups_found FROM metricrec.evaluate('groups', k => '{20}') WHERE metric = 'hit_rate';
SELECT versions, tables FROM groups_state;
-- twice the same
SELECT count(*) AS rows, count(*) FILTER (WHERE a.value = b.value) AS same
FROM metricrec.evaluate('groups') a JOIN metricrec.evaluate('groups') b USING (metric, k);
-- all items of the own group out of the way but the held-out one
CREATE VIEW own_group AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE (u <= 30) = (i <= 20);
SELECT value > 0.5 AS found FROM metricrec.evaluate('groups', k => '{1}', exclude => 'own_group') WHERE metric = 'hit_rate';
-- the same, half of it by low ratings and half by `exclude`
INSERT INTO two_groups SELECT user_id, item_id, 1 FROM own_group o WHERE item_id % 2 = 0
	AND NOT EXISTS (SELECT FROM two_groups t WHERE t.user_id = o.user_id AND t.item_id = o.item_id);
CREATE VIEW odd_items AS SELECT * FROM own_group WHERE item_id % 2 = 1;
SELECT value > 0.5 AS found FROM metricrec.evaluate('groups', k => '{1}', exclude => 'odd_items') WHERE metric = 'hit_rate';
-- an option that the user has set is not overridden by the active version's
SELECT model FROM metricrec.alter_model('groups', preset => 'cml_released', dimensions => 8, epochs => 30, patience => 5);
SELECT count(*) AS rows FROM metricrec.evaluate('groups', k => '{20}');

--
-- 4. What is refused
--
SELECT * FROM metricrec.evaluate('nothing', 'test');
SELECT * FROM metricrec.evaluate('hand', 'test', NULL);
SELECT * FROM metricrec.evaluate('hand', 'test', '{}');
SELECT * FROM metricrec.evaluate('hand', 'test', '{5,NULL}');
SELECT * FROM metricrec.evaluate('hand', 'test', '{5,0}');
SELECT * FROM metricrec.evaluate('hand', 'test', '{10001}');
SELECT * FROM metricrec.evaluate('hand', 'test', array_fill(1, ARRAY[101]));
SELECT * FROM metricrec.evaluate('hand', 'nothing');
SELECT * FROM metricrec.evaluate('hand', 'likes_user_id_idx');
CREATE TABLE other_names (customer int, item_id int);
SELECT * FROM metricrec.evaluate('hand', 'other_names');
SELECT * FROM metricrec.evaluate('hand', 'test', candidates => 'other_names');
SELECT * FROM metricrec.evaluate('hand', 'test', exclude => 'other_names');
CREATE TABLE other_types (user_id point, item_id int);
SELECT * FROM metricrec.evaluate('hand', 'other_types');
CREATE TABLE empty (user_id int, item_id int);
SELECT * FROM metricrec.evaluate('hand', 'empty');
INSERT INTO empty VALUES (1, NULL), (NULL, 1);
SELECT * FROM metricrec.evaluate('hand', 'empty');
-- more memory than the setting allows
SET metricrec.training_memory = '1MB';
CREATE VIEW many AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 500) u, generate_series(1, 500) i;
\set VERBOSITY terse
SELECT * FROM metricrec.evaluate('hand', 'many');
SELECT * FROM metricrec.evaluate('random', 'random_test', '{10000}');
\set VERBOSITY default
RESET metricrec.training_memory;
-- nobody has two interactions
CREATE TABLE single AS SELECT i AS user_id, i % 3 AS item_id FROM generate_series(1, 9) i;
CREATE INDEX ON single (user_id);
SELECT model FROM metricrec.create_model('single', 'single');
SELECT * FROM metricrec.evaluate('single');

-- Privileges: SELECT on both views, on the interactions, and on the test table.
CREATE ROLE regress_metricrec_judge;
GRANT USAGE ON SCHEMA evaluate_test TO regress_metricrec_judge;
SET ROLE regress_metricrec_judge;
SELECT * FROM metricrec.evaluate('hand', 'test');
SELECT * FROM metricrec.evaluate('hand');
RESET ROLE;
GRANT SELECT ON hand_user_embedding, hand_item_embedding TO regress_metricrec_judge;
SET ROLE regress_metricrec_judge;
SELECT * FROM metricrec.evaluate('hand', 'test');
SELECT * FROM metricrec.evaluate('hand');
RESET ROLE;
GRANT SELECT ON test TO regress_metricrec_judge;
SET ROLE regress_metricrec_judge;
SELECT * FROM metricrec.evaluate('hand', 'test');
RESET ROLE;
GRANT SELECT (user_id, item_id) ON likes TO regress_metricrec_judge;
SET ROLE regress_metricrec_judge;
SELECT metric, value FROM metricrec.evaluate('hand', 'test', '{4}') WHERE metric IN ('hit_rate', 'users');
SELECT * FROM metricrec.evaluate('hand', 'test', exclude => 'candidates');
RESET ROLE;
-- only the rows that the caller may see
ALTER TABLE test ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON test TO regress_metricrec_judge USING (user_id IN (3, 4));
SET ROLE regress_metricrec_judge;
SELECT metric, value FROM metricrec.evaluate('hand', 'test', '{4}') WHERE metric IN ('hit_rate', 'users');
RESET ROLE;

-- In a read-only transaction, with an empty search_path, for the only visible model
BEGIN TRANSACTION READ ONLY;
SET LOCAL search_path = '';
SET LOCAL ROLE regress_metricrec_judge;
SELECT metric, value FROM metricrec.evaluate(test => 'evaluate_test.test', k => '{4}') WHERE metric IN ('hit_rate', 'users');
COMMIT;
BEGIN TRANSACTION READ ONLY;
SELECT value > 0.5 AS works FROM metricrec.evaluate('groups', k => '{20}') WHERE metric = 'hit_rate';
COMMIT;

-- Points of two lengths cannot come about by any statement, only by a damaged catalogue.
DROP INDEX hand_item_embedding_v1_embedding_idx;
UPDATE pg_attribute SET atttypmod = -1 WHERE attrelid = 'hand_item_embedding_v1'::regclass AND attname = 'embedding';
UPDATE hand_item_embedding_v1 SET embedding = '[1,2,3]' WHERE item_id = 6;
SELECT * FROM metricrec.evaluate('hand', 'likes');
UPDATE hand_item_embedding_v1 SET embedding = '[1,2,3]';
SELECT * FROM metricrec.evaluate('hand', 'likes');
TRUNCATE hand_item_embedding_v1;
SELECT * FROM metricrec.evaluate('hand', 'likes');

-- The interactions changed or went away.
ALTER TABLE two_groups RENAME COLUMN user_id TO who;
SELECT * FROM metricrec.evaluate('groups', 'likes');
SELECT * FROM metricrec.evaluate('groups');
DROP VIEW own_group, odd_items;
DROP TABLE two_groups;
SELECT * FROM metricrec.evaluate('groups', 'likes');
\set VERBOSITY terse
SELECT * FROM metricrec.evaluate('groups');

DROP SCHEMA evaluate_test CASCADE;
DROP ROLE regress_metricrec_judge;
