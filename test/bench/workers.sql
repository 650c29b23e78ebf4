-- Trainings with more and more workers.  Variables: workers, only.
\set ON_ERROR_STOP on
\pset footer off
SET client_min_messages = warning;

SELECT n AS workers, workers_started, round(barrier_microseconds::numeric, 1) AS barrier_us
FROM generate_series(1, :workers) n, LATERAL metricrec.check_workers(n);

CREATE TEMP TABLE result (ord serial, name text, workers int, came int, seconds float8, loss float8, ndcg float8);
CREATE TEMP TABLE wanted AS
	SELECT * FROM (VALUES
		(1, 'movielens', 'ratings'::regclass, NULL::text),
		(2, 'citeulike', 'likes', NULL),
		(3, 'movielens_cml', 'ratings', 'cml_released')) v(ord, name, relation, preset)
	WHERE name = ANY (string_to_array(:'only', ','));

CREATE OR REPLACE PROCEDURE measure(most int) LANGUAGE plpgsql AS $$
DECLARE
	wanted record;
BEGIN
	FOR wanted IN SELECT * FROM wanted ORDER BY ord LOOP
		PERFORM metricrec.create_model(wanted.name, wanted.relation, preset => wanted.preset,
			validation_fraction => CASE WHEN wanted.preset IS NOT NULL THEN 1.0 END);
		FOR n IN 0..most LOOP
			PERFORM metricrec.alter_model(wanted.name, num_workers => n);
			INSERT INTO result (name, workers, came, seconds, loss, ndcg)
			SELECT wanted.name, n, (recipe->>'num_workers')::int, extract(epoch FROM duration), loss,
				(metrics->>'ndcg@10')::float8
			FROM metricrec.train(wanted.name);
			COMMIT;
		END LOOP;
	END LOOP;
END $$;
CALL measure(:workers);

SELECT name, workers, came, round(seconds::numeric, 1) AS seconds,
	round((first_value(seconds) OVER (PARTITION BY name ORDER BY workers) / seconds)::numeric, 2) AS times_faster,
	round(loss::numeric, 4) AS loss, round(ndcg::numeric, 4) AS "ndcg@10"
FROM result ORDER BY ord;
