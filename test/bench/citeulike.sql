-- citeulike.sql: run by citeulike.sh after recipes.sql, with bench.likes filled.
-- Variables: seeds, only, small (train on users with fewer than five papers).
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;

CREATE TABLE counted AS
SELECT user_id, item_id, count(*) OVER (PARTITION BY user_id) AS n FROM (SELECT DISTINCT user_id, item_id FROM likes) d;
CREATE TABLE eligible AS SELECT user_id, item_id FROM counted WHERE n >= 5;
SELECT * FROM metricrec.split('eligible', 'random', fraction => 0.2, seed => 1, train => 'rest', test => 'test_part') \g /dev/null
SELECT * FROM metricrec.split('rest', 'random', fraction => 0.25, seed => 2, train => 'train_part', test => 'valid_part') \g /dev/null
INSERT INTO train_part SELECT user_id, item_id FROM counted WHERE n < 5 AND :small;
CREATE INDEX ON train_part (user_id);
ANALYZE;
\echo
SELECT (SELECT count(DISTINCT user_id) FROM eligible) AS users, (SELECT count(DISTINCT item_id) FROM eligible) AS papers,
	   (SELECT count(*) FROM train_part) AS train_pairs, (SELECT count(*) FROM valid_part) AS valid_pairs,
	   (SELECT count(*) FROM test_part) AS test_pairs,
	   (SELECT count(DISTINCT item_id) FROM train_part) AS "papers in training";

CREATE TABLE recipes (ord serial, recipe text, options text, label text);
INSERT INTO recipes (recipe, options, label) VALUES
	('default', '', 'default recipe'),
	('default_128', 'dimensions => 128', 'default recipe, 128 dimensions'),
	('als', 'algorithm => ''als''', 'implicit ALS'),
	('bpr', 'algorithm => ''bpr''', 'BPR matrix factorisation'),
	('cml_paper', 'preset => ''cml_paper''', 'CML objective as published'),
	('cml_released', 'preset => ''cml_released''', 'CML objective as in its code');
DELETE FROM recipes WHERE NOT wanted(recipe, :'only');
CALL popularity('train_part', 'test_part', '{50,100}', NULL, 'valid_part');
SELECT format('CALL neighbours(''train_part'', ''test_part'', ''{50,100}'', %L, ''valid_part'')', ARRAY[NULL::regclass])
WHERE wanted('item_knn', :'only') \gexec
SELECT format('CALL measure(%L, %L, %s, ''train_part'', ''test_part'', ''{50,100}'', ARRAY[NULL::regclass], ''valid_part'')',
			  recipe, options, :seeds)
FROM recipes ORDER BY ord \gexec

\echo
\echo 'citeulike-t, 60/20/20 per user, all papers ranked.  Each recipe saw the test split once.  Quoted figures come from'
\echo 'a faulty parse of the data (a count read as a paper) with other users and pairs: not comparable, for orientation.'
SELECT label AS recipe, t.train_s, t.epochs, t.tower, t.d,
	   figure(recipe, 'full', 'recall', 50) AS "recall@50", figure(recipe, 'full', 'recall', 100) AS "recall@100",
	   figure(recipe, 'full', 'hit_rate', 50) AS "HR@50", figure(recipe, 'full', 'hit_rate', 100) AS "HR@100",
	   figure(recipe, 'full', 'ndcg', 50) AS "NDCG@50", figure(recipe, 'full', 'ndcg', 100) AS "NDCG@100"
FROM (SELECT ord, recipe, label FROM recipes UNION ALL
	  VALUES (1000, 'item_knn', 'neighbours of the papers (item-kNN)'), (1001, 'popularity', 'most popular papers')) r
LEFT JOIN LATERAL (SELECT round(avg(seconds)::numeric, 1) AS train_s, round(avg(epochs)) AS epochs, string_agg(DISTINCT tower, ',') AS tower, max(dimensions) AS d
				   FROM trained WHERE trained.recipe = r.recipe) t ON true
UNION ALL
SELECT label, NULL, NULL, NULL, NULL, r50, r100, NULL, NULL, NULL, NULL
FROM (VALUES (0, 'quoted, faulty parse: WARP', 0.1916, 0.2526),
			 (1, 'quoted, faulty parse: WRMF', 0.2437, 0.3112),
			 (2, 'quoted, faulty parse: BPR', 0.2489, 0.3296),
			 (3, 'quoted, faulty parse: CML', 0.2714, 0.3411)) q(ord, label, r50, r100);
SELECT :seeds > 1 AS repeated \gset
\if :repeated
SELECT label AS recipe, f.n AS trainings, round(f.value::numeric, 4) AS "mean recall@50", round(f.deviation::numeric, 4) AS "deviation"
FROM recipes r JOIN figures f ON f.recipe = r.recipe AND f.metric = 'recall' AND f.k = 50 ORDER BY ord;
\endif
DROP SCHEMA bench CASCADE;
