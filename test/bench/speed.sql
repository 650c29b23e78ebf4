-- speed.sql: run by speed.sh after recipes.sql, with bench.ratings filled: the trainings.
-- Variables: seeds, draws, only, part (validation, test), workers, epochs (arrays).
\set QUIET on
\pset footer off
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;
\set set movielens
\ir parts.sql
SELECT format('CALL draw_negatives(%s)', d) FROM generate_series(2, :draws) d \gexec

CREATE TABLE speeds (ord serial, recipe text, workers int, seed int, epochs int, tower text, dimensions int, softmax boolean, seconds float8,
					 processor_seconds float8, interactions_per_s float8, distances_per_s float8, epoch_seconds float8, hit_rate float8, ndcg float8);
CREATE TABLE peer (line jsonb);

-- workers NULL: this version has none to choose.
CREATE PROCEDURE speed(name text, options text, n_workers int, seeds int, draws int) LANGUAGE plpgsql AS $$
DECLARE
	result record;
	logged record;
	found record;
	processor float8;
BEGIN
	FOR s IN 1..seeds LOOP
		EXECUTE format('SELECT metricrec.create_model(''bench_model'', ''bench.train_part'', time_column => ''seq'', seed => %s%s%s)', s,
					   ', num_workers => ' || n_workers, ', ' || nullif(options, ''));
		processor := bench.processor_seconds();
		SELECT * INTO result FROM metricrec.train('bench_model');
		processor := bench.processor_seconds() - processor;
		COMMIT;
		-- of the last stage, the one that made the version
		SELECT sum(positives) / sum(l.seconds) AS interactions, sum(negatives) / sum(l.seconds) AS distances, avg(l.seconds) AS epoch
		INTO logged FROM metricrec.training_log l WHERE model = 'bench_model' AND negatives > 0
			AND stage = (SELECT stage FROM metricrec.training_log WHERE model = 'bench_model' ORDER BY step DESC LIMIT 1);
		SELECT avg(e.value) FILTER (WHERE e.metric = 'hit_rate') AS hit_rate, avg(e.value) FILTER (WHERE e.metric = 'ndcg') AS ndcg INTO found
		FROM generate_series(1, draws) d, metricrec.evaluate('bench_model', 'bench.held_part', '{10}', ('bench.negatives_' || d)::regclass) e;
		INSERT INTO bench.speeds (recipe, workers, seed, epochs, tower, dimensions, softmax, seconds, processor_seconds,
								  interactions_per_s, distances_per_s, epoch_seconds, hit_rate, ndcg)
		VALUES (name, n_workers, s, result.epochs, result.recipe->>'user_tower', (result.recipe->>'dimensions')::int, result.recipe->>'loss' = 'softmax',
				extract(epoch FROM result.duration), processor, logged.interactions, logged.distances, logged.epoch, found.hit_rate, found.ndcg);
		RAISE INFO '%, % workers, seed %: % s, HR@10 %', name, coalesce(n_workers::text, 'no'), s, round(extract(epoch FROM result.duration), 1), round(found.hit_rate::numeric, 4);
		PERFORM metricrec.drop_model('bench_model');
		COMMIT;
	END LOOP;
END $$;

CREATE TABLE numbers_of_workers AS
SELECT w FROM unnest(:'workers'::int[]) w
WHERE (SELECT 'num_workers' = ANY (proargnames) FROM pg_proc WHERE oid = 'metricrec.create_model'::regproc);
INSERT INTO numbers_of_workers SELECT NULL WHERE NOT EXISTS (SELECT FROM numbers_of_workers);

SELECT format('CALL speed(''default'', '''', %L, %s, %s)', w, :seeds, :draws) FROM numbers_of_workers WHERE wanted('default', :'only') ORDER BY w \gexec
-- Which tower it took, or the one to take if that was not asked for.
SELECT coalesce((SELECT tower FROM speeds WHERE tower IS NOT NULL LIMIT 1), 'pooled') AS tower \gset
SELECT format('CALL speed(%L, %L, %L, %s, %s)', 'tower', format('user_tower => %L, validation_fraction => 0%s', :'tower', ', epochs => ' || e), w, :seeds, :draws)
FROM numbers_of_workers, unnest(:'epochs'::int[] || NULL::int) e WHERE wanted('tower', :'only') ORDER BY w, e NULLS LAST \gexec
SELECT format('CALL speed(%L, %L, %L, %s, %s)', p, format('preset => %L', p), w, :seeds, :draws)
FROM numbers_of_workers, unnest('{cml_released,cml_paper,triplet}'::text[]) p WHERE wanted(p, :'only') ORDER BY p, w \gexec
