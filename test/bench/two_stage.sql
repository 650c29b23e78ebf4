-- two_stage.sql: run by two_stage.sh after recipes.sql, with bench.ratings filled.
-- Variables: set (movielens, citeulike), part (validation, test), grid, seeds, only, and chosen:
-- learning rates that win over those below, as JSON: {"uniform 256": 0.003}.  Leaves the view best:
-- of each sampler and batch the rate with the best ndcg at 10 among all items, in that form.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;

\ir parts.sql

-- The learning rates: those of MovieLens won on the validation part (doc/training.md); those of citeulike-t are
-- not chosen, use --choose.
CREATE TABLE rates (setname text, sampler text, batch int, rate float8);
INSERT INTO rates VALUES
	('movielens', 'uniform', 256, 0.001), ('movielens', 'uniform', 4096, 0.003),
	('movielens', 'popularity', 256, 0.001), ('movielens', 'popularity', 4096, 0.003),
	('movielens', 'hardest', 256, 0.001), ('movielens', 'hardest', 4096, 0.003),
	('movielens', 'two_stage', 256, 0.001), ('movielens', 'two_stage', 4096, 0.003),
	('citeulike', 'uniform', 256, 0.003), ('citeulike', 'uniform', 4096, 0.003),
	('citeulike', 'popularity', 256, 0.003), ('citeulike', 'popularity', 4096, 0.003),
	('citeulike', 'hardest', 256, 0.003), ('citeulike', 'hardest', 4096, 0.003),
	('citeulike', 'two_stage', 256, 0.003), ('citeulike', 'two_stage', 4096, 0.003);
UPDATE rates SET rate = (:'chosen'::jsonb->>format('%s %s', sampler, batch))::float8 WHERE :'chosen'::jsonb ? format('%s %s', sampler, batch);
CREATE TABLE recipes (ord serial, recipe text, options text, sampler text, batch int, rate float8);
INSERT INTO recipes (recipe, options, sampler, batch, rate)
SELECT format('%s %s %s', sampler, batch, r),
	   format('preset => ''two_stage'', negative_sampling => %L, negatives => %s, negative_candidates => 300, dimensions => 64, epochs => %s, batch_size => %s, learning_rate => %s, validation_fraction => 0',
			  sampler, CASE sampler WHEN 'hardest' THEN 20 ELSE 1 END, CASE :'set' WHEN 'movielens' THEN 20 ELSE 60 END, batch, r),
	   sampler, batch, r
FROM rates, LATERAL (SELECT rate AS r WHERE NOT :'grid' UNION ALL SELECT unnest('{0.001,0.003,0.01}'::float8[]) WHERE :'grid') g
WHERE setname = :'set' AND wanted(sampler, :'only')
ORDER BY array_position('{uniform,popularity,hardest,two_stage}', sampler), batch, r;
\if :movielens
SELECT format('CALL measure(%L, %L, %s, ''train_part'', ''held_part'', ''{10}'', ARRAY[''negatives_1'', NULL]::regclass[])',
			  recipe, options, :seeds) FROM recipes ORDER BY ord \gexec
\else
SELECT format('CALL measure(%L, %L, %s, ''train_part'', ''held_part'', ''{10,50}'', ARRAY[NULL::regclass]%s)',
			  recipe, options, :seeds, CASE WHEN :'test' THEN ', ''valid_part''' ELSE '' END) FROM recipes ORDER BY ord \gexec
\endif

\echo
\if :movielens
\echo 'MovieLens-1M, the samplers; held out:' :part
SELECT sampler, batch, rate, t.cpu_s,
	   figure(recipe, 'sampled', 'hit_rate', 10) AS "HR@10", figure(recipe, 'sampled', 'ndcg', 10) AS "NDCG@10",
	   figure(recipe, 'full', 'hit_rate', 10) AS "full HR@10", figure(recipe, 'full', 'ndcg', 10) AS "full NDCG@10",
	   round(figure(recipe, 'full', 'coverage', 10), 3) AS "coverage@10", round(figure(recipe, 'full', 'popularity', 10), 0) AS "popularity@10",
	   round(figure(recipe, 'full', 'novelty', 10), 2) AS "novelty@10"
FROM recipes LEFT JOIN LATERAL (SELECT round(avg(processor_seconds)::numeric, 1) AS cpu_s FROM trained WHERE trained.recipe = recipes.recipe) t ON true
ORDER BY ord;
\else
\echo 'citeulike-t, the samplers; held out:' :part
SELECT sampler, batch, rate, t.cpu_s,
	   figure(recipe, 'full', 'recall', 50) AS "recall@50", figure(recipe, 'full', 'ndcg', 10) AS "NDCG@10",
	   round(figure(recipe, 'full', 'coverage', 10), 3) AS "coverage@10", round(figure(recipe, 'full', 'popularity', 10), 1) AS "popularity@10",
	   round(figure(recipe, 'full', 'novelty', 10), 2) AS "novelty@10"
FROM recipes LEFT JOIN LATERAL (SELECT round(avg(processor_seconds)::numeric, 1) AS cpu_s FROM trained WHERE trained.recipe = recipes.recipe) t ON true
ORDER BY ord;
\endif
CREATE VIEW best AS
SELECT jsonb_object_agg(format('%s %s', sampler, batch), rate) AS chosen
FROM (SELECT DISTINCT ON (sampler, batch) sampler, batch, rate FROM recipes ORDER BY sampler, batch, figure(recipe, 'full', 'ndcg', 10) DESC) b;
