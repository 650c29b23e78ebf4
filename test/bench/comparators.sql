-- comparators.sql: run by comparators.sh after recipes.sql, with bench.ratings and
-- perhaps bench.likes filled.  Variables: seeds, only, validate.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;

CREATE TABLE recipes (ord serial, recipe text, options text, label text);
INSERT INTO recipes (recipe, options, label) VALUES
	('als', 'algorithm => ''als''', 'ALS'),
	('als_cg', 'algorithm => ''als'', als_solver => ''cg''', 'ALS by conjugate gradients'),
	('als128', 'algorithm => ''als'', dimensions => 128', 'ALS, 128 dimensions'),
	('bpr', 'algorithm => ''bpr''', 'BPR'),
	('cml_released', 'preset => ''cml_released''', 'CML objective as in its code'),
	('triplet', 'preset => ''triplet''', 'unsquared triplet of 2411.06374'),
	('default', '', 'default recipe');
DELETE FROM recipes WHERE NOT wanted(recipe, :'only');

-- What has no points, on the same pairs: the model is needed for the ids only.
CREATE PROCEDURE measure_comparators(train regclass, test regclass, k int[], candidates regclass[], exclude regclass DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
	relation regclass;
BEGIN
	EXECUTE format('SELECT metricrec.create_model(''bench_model'', %L, algorithm => ''als'', dimensions => 4, epochs => 1)', train);
	PERFORM metricrec.train('bench_model');
	FOREACH relation IN ARRAY candidates LOOP
		INSERT INTO measured
		SELECT c.recommender, 1, CASE WHEN relation IS NULL THEN 'full' ELSE 'sampled' END, c.metric, c.k, c.value
		FROM metricrec.compare('bench_model', test, k, relation, exclude, '{popularity,item_knn}') c;
	END LOOP;
	PERFORM metricrec.drop_model('bench_model');
END $$;

-- MovieLens-1M
VACUUM ANALYZE ratings;
SELECT * FROM metricrec.split('ratings', 'leave_last_out', time_column => 'seq', train => 'ml_train', test => 'ml_held') \g /dev/null
\if :validate
ALTER TABLE ml_train RENAME TO ml_known;
DROP TABLE ml_held;
SELECT * FROM metricrec.split('ml_known', 'leave_last_out', time_column => 'seq', train => 'ml_train', test => 'ml_held') \g /dev/null
\endif
CREATE INDEX ON ml_train (user_id);
ANALYZE;
\ir negatives.sql
CALL draw_negatives(1);
CALL measure_comparators('ml_train', 'ml_held', '{5,10,20}', '{negatives_1,NULL}');
SELECT format('CALL measure(%L, %L, %s, ''ml_train'', ''ml_held'', ''{5,10,20}'', ''{negatives_1,NULL}'')', recipe, options, :seeds)
FROM recipes ORDER BY ord \gexec

\echo
\echo 'Leave-one-out on MovieLens-1M: hit rate and NDCG among 99 sampled negatives, and among all items (full).'
SELECT label AS recipe, t.processor_s, t.epochs,
	   figure(recipe, 'sampled', 'hit_rate', 5) AS "HR@5", figure(recipe, 'sampled', 'hit_rate', 10) AS "HR@10",
	   figure(recipe, 'sampled', 'hit_rate', 20) AS "HR@20", figure(recipe, 'sampled', 'ndcg', 10) AS "NDCG@10",
	   figure(recipe, 'full', 'hit_rate', 10) AS "full HR@10", figure(recipe, 'full', 'ndcg', 10) AS "NDCG@10 ",
	   figure(recipe, 'full', 'coverage', 10) AS "coverage@10"
FROM (SELECT ord, recipe, label FROM recipes UNION ALL VALUES (-1, 'popularity', 'most popular items'), (0, 'item_knn', 'item-kNN')) r
LEFT JOIN LATERAL (SELECT round(avg(processor_seconds)::numeric, 1) AS processor_s, round(avg(epochs)) AS epochs
				   FROM trained WHERE trained.recipe = r.recipe) t ON true
ORDER BY ord;
DELETE FROM measured;
DELETE FROM trained;

-- citeulike-t
SELECT count(*) > 0 AS has_likes FROM likes \gset
\if :has_likes
CREATE TABLE eligible AS
SELECT user_id, item_id FROM (SELECT *, count(*) OVER (PARTITION BY user_id) AS n FROM (SELECT DISTINCT user_id, item_id FROM likes) d) c
WHERE n >= 5;
SELECT * FROM metricrec.split('eligible', 'random', fraction => 0.2, seed => 1, train => 'rest', test => 'test_part') \g /dev/null
SELECT * FROM metricrec.split('rest', 'random', fraction => 0.25, seed => 2, train => 'train_part', test => 'valid_part') \g /dev/null
CREATE INDEX ON train_part (user_id);
ANALYZE;
SELECT CASE WHEN :'validate'::boolean THEN 'valid_part' ELSE 'test_part' END AS held,
	   CASE WHEN :'validate'::boolean THEN 'NULL' ELSE '''valid_part''' END AS also \gset
CALL measure_comparators('train_part', :'held', '{50,100}', '{NULL}', :also);
SELECT format('CALL measure(%L, %L, %s, ''train_part'', %L, ''{50,100}'', ''{NULL}'', %s)', recipe, options, :seeds, :'held', :'also')
FROM recipes ORDER BY ord \gexec

\echo
\echo 'citeulike-t, 60/20/20 per user with at least 5 papers, all papers ranked.'
SELECT label AS recipe, t.processor_s, t.epochs,
	   figure(recipe, 'full', 'recall', 50) AS "recall@50", figure(recipe, 'full', 'recall', 100) AS "recall@100",
	   figure(recipe, 'full', 'ndcg', 50) AS "NDCG@50", figure(recipe, 'full', 'coverage', 50) AS "coverage@50"
FROM (SELECT ord, recipe, label FROM recipes UNION ALL VALUES (-1, 'popularity', 'most popular papers'), (0, 'item_knn', 'item-kNN')) r
LEFT JOIN LATERAL (SELECT round(avg(processor_seconds)::numeric, 1) AS processor_s, round(avg(epochs)) AS epochs
				   FROM trained WHERE trained.recipe = r.recipe) t ON true
ORDER BY ord;
\endif
DROP SCHEMA bench CASCADE;
