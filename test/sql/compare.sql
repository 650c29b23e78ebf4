--
-- metricrec.compare: other recommenders on the same pairs, by hand; the model's own
-- rows are those of metricrec.evaluate; what is refused.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA compare_test;
SET search_path = compare_test, public;

--
-- 1. By hand.
--
--	user	items		held out
--	1		a b			c
--	2		a b c		d
--	3		b c			a
--	4		c d			b
--	5		d			a
--
-- Popularity: b, c 3 each; a, d 2 each.
--	1: c is before d, first.  2: d is all that is left, first.  3: a ties with d, second.
--	4: b is before a, first.  5: b, c before a, and nothing ties with it: third.
--
-- Neighbours, with a.b = 2, a.c = 1, b.c = 2, c.d = 1, |a| = |d| = sqrt 2, |b| = |c| = sqrt 3 and 50 added:
-- a-b .0381, b-c .0377, a-c and c-d .0191; all others 0.
--	1: c .0191 + .0377, d 0: first.  2: first.  3: a .0381 + .0191, d .0191: first.
--	4: b .0377, a .0191: first.  5: c .0191; a and b 0, which tie: third.
CREATE TABLE likes (user_id int, item_id text);
INSERT INTO likes VALUES (1, 'a'), (1, 'b'), (2, 'a'), (2, 'b'), (2, 'c'), (3, 'b'), (3, 'c'), (4, 'c'), (4, 'd'), (5, 'd');
CREATE TABLE held (user_id int, item_id text);
INSERT INTO held VALUES (1, 'c'), (2, 'd'), (3, 'a'), (4, 'b'), (5, 'a');
CREATE INDEX ON likes (user_id);
SELECT model FROM metricrec.create_model('hand', 'likes', dimensions => 4, user_tower => 'free', epochs => 1);
SELECT active FROM metricrec.train('hand');
SELECT recommender, metric, k, round(value::numeric, 4) AS value
FROM metricrec.compare('hand', 'held', '{1,2,3}', recommenders => '{popularity,item_knn}')
WHERE metric IN ('hit_rate', 'mrr');
-- among candidates: of user 3 without d, of user 5 without b and c
CREATE TABLE among AS SELECT user_id, item_id FROM (VALUES (1, 'd'), (2, 'd'), (3, 'a'), (4, 'a'), (5, 'a')) v(user_id, item_id);
INSERT INTO among VALUES (3, 'b');
SELECT recommender, metric, k, round(value::numeric, 4) AS value
FROM metricrec.compare('hand', 'held', '{1}', candidates => 'among', recommenders => '{item_knn,popularity}')
WHERE metric IN ('hit_rate', 'mrr');

--
-- 2. The model's rows are those of evaluate; every recommender has every metric.
--
CREATE TABLE groups AS
SELECT u AS user_id, i AS item_id FROM generate_series(1, 60) u, generate_series(1, 40) i
WHERE (u <= 30) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;
CREATE INDEX ON groups (user_id);
SELECT train_rows > test_rows AS split FROM metricrec.split('groups', 'random', seed => 3);
CREATE INDEX ON groups_train (user_id);
SELECT model FROM metricrec.create_model('m', 'groups_train', dimensions => 8, user_tower => 'pooled', epochs => 5);
SELECT active FROM metricrec.train('m');
CREATE TABLE compared AS SELECT * FROM metricrec.compare('m', 'groups_test', '{3,10}');
SELECT recommender, count(*) AS rows, count(value) AS numbers, count(DISTINCT metric) AS metrics, count(DISTINCT k) AS cuts
FROM compared GROUP BY recommender ORDER BY recommender;
SELECT count(*) AS same FROM compared c JOIN metricrec.evaluate('m', 'groups_test', '{3,10}') e
	ON e.metric = c.metric AND e.k = c.k AND e.value = c.value WHERE c.recommender = 'model';
-- what knows the groups is better than what does not
SELECT a.recommender, a.value > p.value + 0.05 AS better_than_popularity FROM compared a, compared p
WHERE a.metric = 'recall' AND a.k = 10 AND p.metric = 'recall' AND p.k = 10 AND p.recommender = 'popularity'
AND a.recommender IN ('als', 'bpr', 'item_knn') ORDER BY 1;
-- once more: the same values
SELECT count(*) AS rows, count(*) FILTER (WHERE a.value = b.value) AS same
FROM compared a JOIN metricrec.compare('m', 'groups_test', '{3,10}') b USING (recommender, metric, k);
-- without a test relation one positive of each user is held out
SELECT recommender, count(*) AS rows FROM metricrec.compare('m', k => '{5}', recommenders => '{als,MODEL,als}')
GROUP BY recommender ORDER BY recommender;
-- exclude leaves pairs out for all of them
SELECT bool_and(value = 1) AS alone FROM metricrec.compare('m', 'groups_test', '{40}', candidates => 'groups_test', exclude => 'groups_test')
WHERE metric = 'recall';

--
-- 3. Refused.
--
\set ON_ERROR_STOP off
SELECT * FROM metricrec.compare('m', recommenders => '{svd}');
SELECT * FROM metricrec.compare('m', recommenders => '{}');
SELECT * FROM metricrec.compare('m', recommenders => '{als,NULL}');
SELECT * FROM metricrec.compare('m', recommenders => NULL);
SELECT * FROM metricrec.compare('m', k => '{0}');
SELECT * FROM metricrec.compare('nobody');
-- one that cannot be made says which, and the others can
CREATE TABLE heavy AS SELECT u AS user_id, i AS item_id, 1::float8 AS weight
FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u * i + u + i) % 3 = 0;
CREATE INDEX ON heavy (user_id);
SELECT model FROM metricrec.create_model('heavy', 'heavy', weight_column => 'weight', dimensions => 4, epochs => 1, user_tower => 'pooled', validation_fraction => 0);
SELECT active FROM metricrec.train('heavy');
UPDATE heavy SET weight = 3e38;
SELECT * FROM metricrec.compare('heavy', 'heavy', recommenders => '{als}');
SELECT DISTINCT recommender FROM metricrec.compare('heavy', 'heavy', recommenders => '{popularity}');
BEGIN;
INSERT INTO heavy SELECT u, i, 1 FROM generate_series(1, 30) u, generate_series(1, 20) i;	-- all of them like everything
SELECT * FROM metricrec.compare('heavy', 'heavy', recommenders => '{bpr}');
ROLLBACK;
-- a view that has gone with its table
BEGIN;
DROP TABLE heavy_user_embedding_v1 CASCADE;
SELECT * FROM metricrec.compare('heavy', 'heavy');
ROLLBACK;
SELECT metricrec.drop_model('heavy');
SET metricrec.training_memory = '1MB';	-- small sets fit
SELECT count(*) FROM metricrec.compare('m', 'groups_test', '{3}', recommenders => '{item_knn}');
RESET metricrec.training_memory;

\set VERBOSITY terse
SET client_min_messages = error;
DROP SCHEMA compare_test CASCADE;
