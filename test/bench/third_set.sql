-- third_set.sql: run by third_set.sh after recipes.sql, with bench.lines filled.
-- Variables: seeds, draws, only, part.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;

-- seq: the place in the user's history, by time, then by asin.  Ids are numbers, as
-- negatives.sql and popularity() want them; COLLATE "C" makes them the same everywhere.
CREATE TABLE reviews AS
SELECT j->>'reviewerID' AS reviewer, j->>'asin' AS asin, max((j->>'unixReviewTime')::bigint) AS at
FROM (SELECT line::jsonb AS j FROM lines) l GROUP BY 1, 2;
CREATE UNLOGGED TABLE ratings AS
SELECT dense_rank() OVER (ORDER BY reviewer COLLATE "C")::int AS user_id, dense_rank() OVER (ORDER BY asin COLLATE "C")::int AS item_id,
	   row_number() OVER (PARTITION BY reviewer ORDER BY at, asin COLLATE "C")::int AS seq
FROM reviews;
ANALYZE ratings;
SELECT count(*) AS interactions, count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS items FROM ratings;

SELECT * FROM metricrec.split('ratings', 'leave_last_out', time_column => 'seq') \g /dev/null
SELECT :'part' = 'test' AS test \gset
\if :test
ALTER TABLE ratings_train RENAME TO train_part;
ALTER TABLE ratings_test RENAME TO held_part;
\else
ALTER TABLE ratings_train RENAME TO known;
SELECT * FROM metricrec.split('known', 'leave_last_out', time_column => 'seq', train => 'train_part', test => 'held_part') \g /dev/null
\endif
CREATE INDEX ON train_part (user_id);
VACUUM ANALYZE;
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
	('two_stage', 'preset => ''two_stage''', 'two-stage sampling of 1909.10912'),
	('triplet', 'preset => ''triplet''', 'unsquared triplet of 2411.06374');
DELETE FROM recipes WHERE NOT wanted(recipe, :'only');
SELECT format('CALL popularity(''train_part'', ''held_part'', ''{5,10}'', %L)', c) FROM unnest(:'draws_made'::regclass[] || NULL::regclass) c \gexec
SELECT format('CALL neighbours(''train_part'', ''held_part'', ''{5,10}'', %L)', :'draws_made'::regclass[] || NULL::regclass)
WHERE wanted('item_knn', :'only') \gexec
SELECT format('CALL measure(%L, %L, %s, ''train_part'', ''held_part'', ''{5,10}'', %L)', recipe,
			  options, :seeds, :'draws_made'::regclass[] || NULL::regclass)
FROM recipes ORDER BY ord \gexec

\echo
\echo 'Amazon Musical Instruments, leave-one-out; held out:' :part
SELECT label AS recipe, t.train_s, t.epochs, t.tower,
	   figure(recipe, 'sampled', 'hit_rate', 5) AS "HR@5", figure(recipe, 'sampled', 'ndcg', 5) AS "NDCG@5",
	   figure(recipe, 'sampled', 'hit_rate', 10) AS "HR@10", figure(recipe, 'sampled', 'ndcg', 10) AS "NDCG@10",
	   figure(recipe, 'full', 'hit_rate', 5) AS "full HR@5", figure(recipe, 'full', 'ndcg', 5) AS "NDCG@5",
	   figure(recipe, 'full', 'hit_rate', 10) AS "HR@10", figure(recipe, 'full', 'ndcg', 10) AS "NDCG@10",
	   round(figure(recipe, 'full', 'coverage', 10), 3) AS "coverage@10", round(figure(recipe, 'full', 'popularity', 10), 1) AS "popularity@10"
FROM (SELECT ord, recipe, label FROM recipes UNION ALL
	  VALUES (1000, 'item_knn', 'neighbours of the items (item-kNN)'), (1001, 'popularity', 'most popular items')) r
LEFT JOIN LATERAL (SELECT round(avg(seconds)::numeric, 1) AS train_s, round(avg(epochs)) AS epochs, string_agg(DISTINCT tower, ',') AS tower
				   FROM trained WHERE trained.recipe = r.recipe) t ON true
ORDER BY ord;
\echo
\echo 'Deviation over seeds and draws'
SELECT label AS recipe, f.n AS evaluations, round(f.value::numeric, 4) AS "mean HR@5", round(f.deviation::numeric, 4) AS "deviation",
	   round(g.value::numeric, 4) AS "mean NDCG@5", round(g.deviation::numeric, 4) AS "deviation "
FROM recipes r JOIN figures f ON f.recipe = r.recipe AND f.protocol = 'sampled' AND f.metric = 'hit_rate' AND f.k = 5
JOIN figures g ON g.recipe = r.recipe AND g.protocol = 'sampled' AND g.metric = 'ndcg' AND g.k = 5
ORDER BY ord;
DROP SCHEMA bench CASCADE;
