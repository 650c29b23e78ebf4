-- See seen.sh.
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
DROP SCHEMA IF EXISTS seen_bench CASCADE;
CREATE SCHEMA seen_bench;
SET search_path = seen_bench, public;

-- 100,000 items; user 100 has seen 100 of them, user 1000 has seen 1,000.
CREATE TABLE events AS
SELECT 1 + g % 1500 AS user_id, 1 + g::bigint * 7919 % 100000 AS item_id
FROM generate_series(0, 199999) g WHERE 1 + g % 1500 NOT IN (100, 1000)
UNION ALL SELECT 100, 1 + g * 997 % 100000 FROM generate_series(1, 100) g
UNION ALL SELECT 1000, 1 + g * 997 % 100000 FROM generate_series(1, 1000) g;
CREATE INDEX ON events (user_id);
VACUUM ANALYZE events;
SELECT metricrec.create_model('bench_' || tower, 'events', dimensions => 64, user_tower => tower,
	epochs => 1, validation_fraction => 0) FROM unnest(ARRAY['pooled', 'free']) AS tower \g /dev/null
SELECT metricrec.train('bench_pooled') \g /dev/null
SELECT metricrec.train('bench_free') \g /dev/null

CREATE FUNCTION measure(tower text, seen bigint, rounds int,
	OUT plain float8, OUT read float8, OUT recommend float8)
LANGUAGE plpgsql AS $$
DECLARE
	model name := 'bench_' || tower;
	point embedding;
	started timestamptz;
	n bigint;
	times float8[] := '{}';
BEGIN
	EXECUTE format('SELECT embedding FROM %I WHERE user_id = $1', model || '_user_embedding') INTO point USING seen;
	FOR i IN 1 .. 3 * (rounds + 2) LOOP
		started := clock_timestamp();
		CASE i % 3
			WHEN 1 THEN
				EXECUTE format('SELECT count(d) FROM (SELECT item_id, embedding <-> $1 AS d FROM %I
					ORDER BY embedding <-> $1 LIMIT $2) s', model || '_item_embedding') INTO n USING point, 10 + seen;
				ASSERT n = 10 + seen;
			WHEN 2 THEN
				SELECT count(s.item_id) INTO n FROM (SELECT e.item_id FROM events e WHERE e.user_id = seen OFFSET 0) s;
				ASSERT n = seen;
			ELSE
				SELECT count(*) INTO n FROM recommend(seen, 10, model);
				ASSERT n = 10;
		END CASE;
		IF i > 6 THEN
			times := times || 1000 * extract(epoch FROM clock_timestamp() - started)::float8;
		END IF;
	END LOOP;
	SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FILTER (WHERE j % 3 = 1),
		   percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FILTER (WHERE j % 3 = 2),
		   percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FILTER (WHERE j % 3 = 0)
	INTO plain, read, recommend FROM unnest(times) WITH ORDINALITY u(t, j);
END $$;

\pset footer off
SELECT tower, seen, round(plain::numeric, 2) AS "plain, ms", round(read::numeric, 2) AS "seen rows, ms",
	   round(recommend::numeric, 2) AS "recommend, ms",
	   round((recommend / (plain + read))::numeric, 3) AS ratio,
	   CASE WHEN recommend <= 1.3 * (plain + read) THEN 'ok' ELSE 'too slow' END AS "at most 1.3"
FROM (VALUES ('pooled', 100), ('pooled', 1000), ('free', 100), ('free', 1000)) c(tower, seen),
	 LATERAL measure(tower, seen, :rounds);

SELECT metricrec.drop_model('bench_pooled'), metricrec.drop_model('bench_free') \g /dev/null
DROP SCHEMA seen_bench CASCADE;
