-- movielens.sql: run by movielens.sh after recipes.sql, with bench.ratings filled.
-- Variables: seeds, draws, only.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;
VACUUM ANALYZE ratings;

\echo
\echo 'Reading the interactions: best of three, one core'
CREATE FUNCTION describe(relation regclass, "user" name, item name, rating name, min_rating float8,
						 weight name, "time" name, hash boolean) RETURNS text
	LANGUAGE C AS '$libdir/metricrec', 'mr_dataset_describe';
CREATE FUNCTION cursor_only(relation regclass) RETURNS bigint
	LANGUAGE C AS '$libdir/metricrec', 'mr_dataset_bench_cursor';
CREATE TABLE reading (what text, seconds float8);
DO $$
DECLARE
	started timestamptz;
BEGIN
	SET LOCAL max_parallel_workers_per_gather = 0;
	FOR i IN 1..3 LOOP
		started := clock_timestamp();
		PERFORM bench.cursor_only('bench.ratings');
		INSERT INTO bench.reading VALUES ('bare SPI cursor', extract(epoch FROM clock_timestamp() - started));
		started := clock_timestamp();
		PERFORM bench.describe('bench.ratings', 'user_id', 'item_id', NULL, NULL, NULL, NULL, NULL);
		INSERT INTO bench.reading VALUES ('interactions', extract(epoch FROM clock_timestamp() - started));
	END LOOP;
END $$;
SELECT what, (SELECT count(*) FROM ratings) AS rows, round(min(seconds)::numeric, 3) AS seconds,
	   round(((SELECT count(*) FROM ratings) / min(seconds) / 1e6)::numeric, 2) AS "million rows/s"
FROM reading GROUP BY what ORDER BY what;

SELECT train AS "training part", test AS "test part", train_rows, test_rows
FROM metricrec.split('ratings', 'leave_last_out', time_column => 'seq');
CREATE INDEX ON ratings_train (user_id);
ANALYZE ratings_train;
ANALYZE ratings_test;

\ir negatives.sql
SELECT format('CALL draw_negatives(%s)', d) FROM generate_series(1, :draws) d \gexec
SELECT array_agg(('negatives_' || d)::regclass ORDER BY d) AS draws_made FROM generate_series(1, :draws) d \gset

CREATE TABLE recipes (ord serial, recipe text, options text, label text);
INSERT INTO recipes (recipe, options, label) VALUES
	('default', 'time_column => ''seq''', 'default recipe'),
	('no_times', '', 'default recipe that knows no order of the interactions'),
	('als', 'algorithm => ''als''', 'implicit ALS'),
	('bpr', 'algorithm => ''bpr''', 'BPR matrix factorisation'),
	('cml_paper', 'preset => ''cml_paper''', 'CML objective as published'),
	('cml_released', 'preset => ''cml_released''', 'CML objective as in its code'),
	('triplet', 'preset => ''triplet''', 'unsquared triplet of 2411.06374'),
	('two_stage', 'preset => ''two_stage''', 'two-stage sampling of 1909.10912');
DELETE FROM recipes WHERE NOT wanted(recipe, :'only');
SELECT format('CALL popularity(''ratings_train'', ''ratings_test'', ''{5,10,20}'', %L)', c) FROM unnest(:'draws_made'::regclass[] || NULL::regclass) c \gexec
SELECT format('CALL neighbours(''ratings_train'', ''ratings_test'', ''{5,10,20}'', %L)', :'draws_made'::regclass[] || NULL::regclass)
WHERE wanted('item_knn', :'only') \gexec
SELECT format('CALL measure(%L, %L, %s, ''ratings_train'', ''ratings_test'', ''{5,10,20}'', %L)', recipe,
			  options, :seeds, :'draws_made'::regclass[] || NULL::regclass)
FROM recipes ORDER BY ord \gexec

\echo
\echo 'Leave-one-out on MovieLens-1M: hit rate and NDCG among 99 sampled negatives, and among all items (full).'
\echo 'Each recipe saw the test split once.  Quoted figures are the publications'' own, on their own negatives.'
SELECT label AS recipe, t.train_s, t.epochs, t.tower, t.d,
	   figure(recipe, 'sampled', 'hit_rate', 5) AS "HR@5", figure(recipe, 'sampled', 'hit_rate', 10) AS "HR@10", figure(recipe, 'sampled', 'hit_rate', 20) AS "HR@20",
	   figure(recipe, 'sampled', 'ndcg', 5) AS "NDCG@5", figure(recipe, 'sampled', 'ndcg', 10) AS "NDCG@10", figure(recipe, 'sampled', 'ndcg', 20) AS "NDCG@20",
	   figure(recipe, 'full', 'hit_rate', 5) AS "full HR@5", figure(recipe, 'full', 'hit_rate', 10) AS "HR@10", figure(recipe, 'full', 'hit_rate', 20) AS "HR@20",
	   figure(recipe, 'full', 'ndcg', 5) AS "NDCG@5", figure(recipe, 'full', 'ndcg', 10) AS "NDCG@10", figure(recipe, 'full', 'ndcg', 20) AS "NDCG@20"
FROM (SELECT ord, recipe, label FROM recipes UNION ALL
	  VALUES (1000, 'item_knn', 'neighbours of the items (item-kNN)'), (1001, 'popularity', 'most popular items')) r
LEFT JOIN LATERAL (SELECT round(avg(seconds)::numeric, 1) AS train_s, round(avg(epochs)) AS epochs, string_agg(DISTINCT tower, ',') AS tower, max(dimensions) AS d
				   FROM trained WHERE trained.recipe = r.recipe) t ON true
UNION ALL
SELECT label, NULL, NULL, NULL, NULL, hr5, hr10, hr20, NULL, ndcg10, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM (VALUES (0, 'quoted: popularity', 0.3048, 0.4535, NULL::numeric, 0.2543),
			 (1, 'quoted: ItemKNN', 0.4906, 0.6608, NULL, 0.3917),
			 (2, 'quoted: PureSVD', 0.5339, 0.6937, NULL, 0.4303),
			 (3, 'quoted: NeuMF', 0.5411, 0.7093, NULL, 0.4349),
			 (4, 'quoted: EASE', 0.5502, 0.7098, NULL, 0.4374),
			 (5, 'quoted: iALS (2019)', 0.5507, 0.7111, NULL, 0.4383),
			 (6, 'quoted: SLIM', 0.5576, 0.7162, NULL, 0.4468),
			 (7, 'quoted: Mult-DAE', NULL, 0.722, NULL, 0.446),
			 (8, 'quoted: MF, d 192 (Rendle 2020)', NULL, 0.7294, NULL, 0.4523),
			 (9, 'quoted: iALS, d 192 (2022)', NULL, 0.7310, NULL, 0.4521),
			 (10, 'as printed, protocol undisclosed: 2411.06374, CML', 0.3749, 0.6379, 0.7546, NULL),
			 (11, 'as printed, protocol undisclosed: 2411.06374, ours', 0.5722, 0.7221, 0.8755, NULL)) q(ord, label, hr5, hr10, hr20, ndcg10);
SELECT :seeds * :draws > 1 AS repeated \gset
\if :repeated
SELECT label AS recipe, f.n AS evaluations, round(f.value::numeric, 4) AS "mean HR@10", round(f.deviation::numeric, 4) AS "deviation",
	   round(g.value::numeric, 4) AS "mean NDCG@10", round(g.deviation::numeric, 4) AS "deviation "
FROM recipes r JOIN figures f ON f.recipe = r.recipe AND f.protocol = 'sampled' AND f.metric = 'hit_rate' AND f.k = 10
JOIN figures g ON g.recipe = r.recipe AND g.protocol = 'sampled' AND g.metric = 'ndcg' AND g.k = 10
ORDER BY ord;
\endif
DROP SCHEMA bench CASCADE;
