-- tune.sql: run by tune.sh after recipes.sql, with bench.ratings filled.
-- Variables: seeds, draws, part, trials, methods.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;
SELECT :'part' = 'validation' AS validate \gset
\if :validate
DELETE FROM ratings r USING (SELECT user_id, max(seq) AS seq FROM ratings GROUP BY user_id) l WHERE (r.user_id, r.seq) = (l.user_id, l.seq);
\endif
VACUUM ANALYZE ratings;
SELECT train_rows, test_rows FROM metricrec.split('ratings', 'leave_last_out', time_column => 'seq');
CREATE INDEX ON ratings_train (user_id);
ANALYZE ratings_train;
ANALYZE ratings_test;
\ir negatives.sql
SELECT format('CALL draw_negatives(%s)', d) FROM generate_series(1, :draws) d \gexec
SELECT array_agg(('negatives_' || d)::regclass ORDER BY d) AS draws_made FROM generate_series(1, :draws) d \gset

-- What a search sets, as arguments of create_model.
CREATE TABLE searched (ord serial, method text, processor_s float8, options text);
CREATE PROCEDURE search(method text, trials int) LANGUAGE plpgsql AS $$
DECLARE
	before float8;
BEGIN
	PERFORM metricrec.create_model(method::name, 'bench.ratings_train', time_column => 'seq');
	before := bench.processor_seconds();
	CALL metricrec.retune(method::name, trials, method => method);
	INSERT INTO bench.searched (method, processor_s, options)
	SELECT search.method, bench.processor_seconds() - before,
		   (SELECT string_agg(format('%I => %L', o.key, o.value #>> '{}'), ', ' ORDER BY o.key) FROM jsonb_each(m.options) o)
	FROM metricrec.models m WHERE m.model = search.method;
END $$;
SELECT format('CALL search(%L, %s)', method, :trials) FROM regexp_split_to_table(:'methods', ',') method \gexec

\echo
\echo 'The trials; value on the validation split inside the training part, checked on a second one'
SELECT model AS method, trial, rung, epochs, round(value::numeric, 4) AS value, round(checked::numeric, 4) AS checked,
	   round(seconds::numeric, 1) AS s, best, options
FROM metricrec.tuning_trials ORDER BY model, rung DESC, value DESC;
SELECT s.method, t.metric, t.k, t.users, t.trials, round(s.processor_s::numeric) AS processor_s, t.applied, s.options
FROM searched s JOIN metricrec.tuning_searches t ON t.model = s.method ORDER BY ord;

SELECT format('CALL measure(%L, %L, %s, ''ratings_train'', ''ratings_test'', ''{10}'', %L)', method,
			  concat_ws(', ', 'time_column => ''seq''', options), :seeds, :'draws_made'::regclass[] || NULL::regclass)
FROM (SELECT 0 AS ord, 'default' AS method, NULL AS options UNION ALL SELECT ord, method, options FROM searched) r ORDER BY ord \gexec

\echo
\echo 'The held-out films'
SELECT method AS setting,
	   figure(method, 'sampled', 'hit_rate', 10) AS "HR@10", figure(method, 'sampled', 'ndcg', 10) AS "NDCG@10",
	   figure(method, 'full', 'hit_rate', 10) AS "full HR@10", figure(method, 'full', 'ndcg', 10) AS "NDCG@10"
FROM (SELECT 0 AS ord, 'default' AS method UNION ALL SELECT ord, method FROM searched) r ORDER BY ord;
