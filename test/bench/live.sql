-- live.sql: run by live.sh after recipes.sql, with bench.ratings and bench.people
-- filled.  Variables: only.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;
SET lsh.exact = on;

CREATE TABLE coming AS
SELECT user_id, item_id, 6 - from_last AS turn
FROM (SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY seq DESC) AS from_last FROM ratings) r WHERE from_last <= 5;
CREATE TABLE history AS SELECT user_id, item_id FROM ratings EXCEPT SELECT user_id, item_id FROM coming;
CREATE INDEX ON history (user_id);
CREATE TABLE asked AS SELECT user_id FROM people WHERE get_byte(decode(md5('live' || user_id), 'hex'), 0) < 85;
CREATE TABLE negatives AS
SELECT user_id, item_id FROM (
	SELECT a.user_id, i.item_id, row_number() OVER (PARTITION BY a.user_id ORDER BY hashint8extended(a.user_id * 1000003::bigint + i.item_id, 1)) AS place
	FROM asked a CROSS JOIN (SELECT DISTINCT item_id FROM ratings) i
	WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = a.user_id AND r.item_id = i.item_id)) x
WHERE place <= 99;
CREATE INDEX ON negatives (user_id);
CREATE TABLE turn_now (turn int);
-- Those that one user's film of this turn is ranked among.
CREATE VIEW candidates AS
SELECT user_id, item_id FROM negatives UNION ALL SELECT user_id, item_id FROM coming JOIN turn_now USING (turn);
CREATE INDEX ON coming (user_id);
ANALYZE;

CREATE TABLE hits (model text, turn int, point text, users bigint, hit_rate float8, ndcg float8);
CREATE TABLE changes (model text, users bigint, changed bigint);
CREATE TABLE costs (model text, point text, run int, microseconds float8);

CREATE PROCEDURE ask(which text, point text, t int) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('metricrec.live_history', CASE point WHEN 'live' THEN 'on' ELSE 'off' END, false);
	INSERT INTO hits
	SELECT which, t, point, count(*), avg((place IS NOT NULL)::int), avg(coalesce(1 / log(2, place + 1), 0))
	FROM asked JOIN coming c USING (user_id) LEFT JOIN LATERAL (
		SELECT place FROM recommend(user_id, 10, 'bench_model', candidates => 'bench.candidates') WITH ORDINALITY r(item_id, distance, place)
		WHERE r.item_id = c.item_id) r ON true
	WHERE c.turn = t;
END $$;

-- Processor time of this process, in microseconds: what others do on the machine hardly counts.
CREATE FUNCTION processor_time() RETURNS float8 LANGUAGE sql AS $$ SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1000 $$;

-- The processor time of recommend(user, 10) for users in turn, one call each in a loop.
CREATE PROCEDURE cost(which text, point text, run int) LANGUAGE plpgsql AS $$
DECLARE
	started float8;
	u int;
	n int := 0;
BEGIN
	PERFORM set_config('metricrec.live_history', CASE point WHEN 'live' THEN 'on' ELSE 'off' END, false);
	PERFORM count(*) FROM recommend(1, 10, 'bench_model');
	started := processor_time();
	FOR u IN SELECT user_id FROM asked ORDER BY user_id LIMIT 500 LOOP
		PERFORM FROM recommend(u, 10, 'bench_model');
		n := n + 1;
	END LOOP;
	INSERT INTO costs VALUES (which, point, run, (processor_time() - started) / n);
END $$;

CREATE PROCEDURE live(which text, options text) LANGUAGE plpgsql AS $$
DECLARE
	u int;
	before bigint[];
	after bigint[];
	n_changed int := 0;
BEGIN
	EXECUTE format('SELECT metricrec.create_model(''bench_model'', ''history'', user_tower => ''pooled'', validation_fraction => 0, seed => 1%s)', options);
	PERFORM metricrec.train('bench_model');
	COMMIT;
	FOR run IN 1..3 LOOP
		CALL cost(which, 'stored', run);
		CALL cost(which, 'live', run);
	END LOOP;
	COMMIT;
	-- does one row more change the answer, in the same transaction?
	PERFORM set_config('metricrec.live_history', 'on', false);
	FOR u IN SELECT user_id FROM asked ORDER BY user_id LIMIT 500 LOOP
		SELECT array_agg(item_id ORDER BY item_id) INTO before FROM recommend(u, 10, 'bench_model', exclude_seen => false);
		INSERT INTO history SELECT user_id, item_id FROM coming WHERE user_id = u AND turn = 1;
		SELECT array_agg(item_id ORDER BY item_id) INTO after FROM recommend(u, 10, 'bench_model', exclude_seen => false);
		n_changed := n_changed + (before <> after)::int;
	END LOOP;
	ROLLBACK;
	INSERT INTO changes VALUES (which, 500, n_changed);
	FOR t IN 1..5 LOOP
		DELETE FROM turn_now;
		INSERT INTO turn_now VALUES (t);
		CALL ask(which, 'stored', t);
		CALL ask(which, 'live', t);
		INSERT INTO history SELECT user_id, item_id FROM coming WHERE turn = t;
	END LOOP;
	DELETE FROM history USING coming WHERE history.user_id = coming.user_id AND history.item_id = coming.item_id;
	PERFORM metricrec.drop_model('bench_model');
	COMMIT;
END $$;

SELECT wanted('history', :'only') AS history, wanted('features', :'only') AS features \gset
\if :history
CALL live('history', '');
\endif
\if :features
CALL live('features', ', user_features => ''people''');
\endif

\echo
\echo 'MovieLens-1M, the last five films of each user, one after the other: hit rate and NDCG at 10 of 100'
SELECT s.model, s.turn AS "film", s.users, round(s.hit_rate::numeric, 4) AS "stored HR@10", round(l.hit_rate::numeric, 4) AS "live HR@10",
	   round(s.ndcg::numeric, 4) AS "stored NDCG@10", round(l.ndcg::numeric, 4) AS "live NDCG@10"
FROM hits s JOIN hits l USING (model, turn) WHERE s.point = 'stored' AND l.point = 'live'
UNION ALL
SELECT s.model, NULL, sum(s.users), round(avg(s.hit_rate)::numeric, 4), round(avg(l.hit_rate)::numeric, 4), round(avg(s.ndcg)::numeric, 4), round(avg(l.ndcg)::numeric, 4)
FROM hits s JOIN hits l USING (model, turn) WHERE s.point = 'stored' AND l.point = 'live' GROUP BY s.model
ORDER BY model DESC, film NULLS LAST;
\echo 'Users whose first ten hold another film after one row more, in the same transaction'
SELECT model, users, changed FROM changes ORDER BY model DESC;
\echo 'Microseconds of processor time a call of recommend(user, 10), seen films left out: best of three'
SELECT model, round(min(microseconds) FILTER (WHERE point = 'stored')) AS stored, round(min(microseconds) FILTER (WHERE point = 'live')) AS live
FROM costs GROUP BY model ORDER BY model DESC;
DROP SCHEMA bench CASCADE;
