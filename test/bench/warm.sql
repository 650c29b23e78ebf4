-- warm.sql: run by warm.sh after recipes.sql, with bench.ratings filled.
-- Variables: seeds, only, part (test or validation).
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;
SET lsh.exact = on;

-- Ratings without a place came first.
CREATE TABLE placed AS
SELECT user_id, item_id, row_number() OVER w AS place, count(*) OVER (PARTITION BY user_id) AS n
FROM ratings WINDOW w AS (PARTITION BY user_id ORDER BY seq NULLS FIRST, item_id);
CREATE FUNCTION chance(what text, id int) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT ((hashtextextended(what || id, 1) & 9223372036854775807) % 1000)::int $$;
CREATE TABLE held_out AS
SELECT user_id, item_id FROM placed WHERE place = n - CASE :'part' WHEN 'validation' THEN 1 ELSE 0 END;
-- The day on which a row is there: that of its place in the history, and not before its user and its item.
CREATE TABLE days AS
SELECT user_id, item_id, place,
	   greatest(CASE WHEN place <= 0.9 * n THEN 0 ELSE least(5, 1 + floor((place::float8 / n - 0.9) / 0.02)) END,
				CASE WHEN chance('user', user_id) < 50 THEN 1 + chance('user', user_id) % 5 ELSE 0 END,
				CASE WHEN chance('item', item_id) < 20 THEN 1 + chance('item', item_id) % 5 ELSE 0 END)::int AS day
FROM placed WHERE place < n - CASE :'part' WHEN 'validation' THEN 1 ELSE 0 END;
CREATE TABLE log (user_id int, item_id int, place int);
CREATE INDEX ON log (user_id);

\ir negatives.sql
CALL draw_negatives(1);

\echo
\echo 'The days'
SELECT d AS day, count(*) FILTER (WHERE day <= d) AS rows, count(DISTINCT user_id) FILTER (WHERE day <= d) AS users,
	   count(DISTINCT item_id) FILTER (WHERE day <= d) AS items
FROM days, generate_series(0, 5) d GROUP BY d ORDER BY d;

CREATE TABLE outcome (tower text, kind text, seed int, seconds float8, epochs int, protocol text, metric text, value float8);

-- Processor time of this process, in seconds: what others do on the machine hardly counts.
CREATE FUNCTION processor_time() RETURNS float8 LANGUAGE sql AS $$ SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1e9 $$;

CREATE PROCEDURE go_to_day(d int) LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE log;
	INSERT INTO log SELECT user_id, item_id, place FROM days WHERE day <= d;
	ANALYZE log;
END $$;

-- One training: its processor time is added to *seconds.
CREATE PROCEDURE train_once(warm boolean, INOUT seconds float8, INOUT epochs int) LANGUAGE plpgsql AS $$
DECLARE
	started float8 := processor_time();
	run record;
BEGIN
	SELECT * INTO STRICT run FROM metricrec.train('bench_model', warm);
	IF warm AND NOT (run.recipe ->> 'warm_start')::boolean THEN
		RAISE 'not a warm start: %', run.advice;
	END IF;
	seconds := seconds + processor_time() - started;
	epochs := epochs + run.epochs;
END $$;

CREATE PROCEDURE ask(tower text, kind text, seed int, seconds float8, epochs int) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO outcome
	SELECT tower, kind, seed, seconds, epochs, 'sampled', e.metric, e.value
	FROM metricrec.evaluate('bench_model', 'held_out', '{10}', candidates => 'negatives_1') e WHERE e.k = 10;
	INSERT INTO outcome
	SELECT tower, kind, seed, seconds, epochs, 'full', e.metric, e.value
	FROM metricrec.evaluate('bench_model', 'held_out', '{10}') e WHERE e.k = 10;
END $$;

CREATE PROCEDURE one_seed(tower text, options text, seed int) LANGUAGE plpgsql AS $$
DECLARE
	seconds float8 := 0;
	epochs int := 0;
	first int;
BEGIN
	EXECUTE format('SELECT metricrec.create_model(''bench_model'', ''log'', seed => %s, keep_versions => 9%s)', seed, options);
	CALL go_to_day(0);
	CALL train_once(false, seconds, epochs);
	SELECT active_version INTO first FROM metricrec.models WHERE model = 'bench_model';
	CALL go_to_day(5);
	CALL ask(tower, 'day 0', seed, seconds, epochs);
	seconds := 0; epochs := 0;
	CALL train_once(true, seconds, epochs);
	CALL ask(tower, 'warm', seed, seconds, epochs);
	COMMIT;
	PERFORM metricrec.activate('bench_model', first);
	seconds := 0; epochs := 0;
	FOR d IN 1..5 LOOP
		CALL go_to_day(d);
		CALL train_once(true, seconds, epochs);
		COMMIT;
	END LOOP;
	CALL ask(tower, 'chain', seed, seconds, epochs);
	seconds := 0; epochs := 0;
	CALL train_once(false, seconds, epochs);
	CALL ask(tower, 'full', seed, seconds, epochs);
	PERFORM metricrec.drop_model('bench_model');
	COMMIT;
END $$;

CREATE TABLE kinds (ord serial, tower text, options text);
INSERT INTO kinds (tower, options) VALUES
	('times', ', time_column => ''place'''),
	('default', ''),
	('pooled', ', user_tower => ''pooled'', validation_fraction => 0'),
	('random', ', user_tower => ''free'', start => ''random'', validation_fraction => 0');
SELECT format('CALL one_seed(%L, %L, %s)', tower, options, s) FROM kinds, generate_series(1, :seeds) s WHERE wanted(tower, :'only') ORDER BY ord, s \gexec

\echo
\echo 'The held-out item of each user on day 5; processor seconds of the trainings, publishing included'
CREATE FUNCTION share(a float8, b float8) RETURNS text LANGUAGE sql AS $$ SELECT to_char(100 * (a / b - 1), 'SG990.0') || ' %' $$;
WITH mean AS (
	SELECT tower, kind, avg(seconds) AS seconds, avg(epochs) AS epochs, count(DISTINCT seed) AS seeds,
		   avg(value) FILTER (WHERE protocol = 'sampled' AND metric = 'hit_rate') AS hr,
		   avg(value) FILTER (WHERE protocol = 'sampled' AND metric = 'ndcg') AS ndcg,
		   stddev(value) FILTER (WHERE protocol = 'sampled' AND metric = 'ndcg') AS ndcg_dev,
		   avg(value) FILTER (WHERE protocol = 'full' AND metric = 'hit_rate') AS full_hr,
		   avg(value) FILTER (WHERE protocol = 'full' AND metric = 'ndcg') AS full_ndcg,
		   stddev(value) FILTER (WHERE protocol = 'full' AND metric = 'ndcg') AS full_dev
	FROM outcome GROUP BY tower, kind)
SELECT m.tower, m.kind, m.seeds, round(m.seconds::numeric, 2) AS seconds, round(m.epochs, 1) AS epochs,
	   round((m.seconds / f.seconds)::numeric, 2) AS "of full",
	   round(m.hr::numeric, 4) AS "HR@10", round(m.ndcg::numeric, 4) AS "NDCG@10", round(m.ndcg_dev::numeric, 4) AS "+-", share(m.ndcg, f.ndcg) AS "to full",
	   round(m.full_hr::numeric, 4) AS "full HR@10", round(m.full_ndcg::numeric, 4) AS "full NDCG@10", round(m.full_dev::numeric, 4) AS "+- ",
	   share(m.full_ndcg, f.full_ndcg) AS "to full "
FROM mean m JOIN mean f ON f.tower = m.tower AND f.kind = 'full' JOIN kinds ON kinds.tower = m.tower
ORDER BY kinds.ord, array_position('{day 0,full,warm,chain}'::text[], m.kind);
DROP SCHEMA bench CASCADE;
