-- synthetic.sql: run by synthetic.sh after recipes.sql, once.
SET client_min_messages = warning;
SET search_path = bench, public;

-- From made: held_part has the last interaction of each of up to 2,000 users, train_part the rest.
CREATE PROCEDURE hold_out() LANGUAGE plpgsql SET search_path = bench, public AS $$
BEGIN
	CREATE UNLOGGED TABLE held_part AS
	SELECT DISTINCT ON (user_id) user_id, item_id FROM made
	WHERE user_id IN (SELECT user_id FROM (SELECT DISTINCT user_id FROM made) u ORDER BY hashint4extended(user_id, 7) LIMIT 2000)
	ORDER BY user_id, n DESC;
	CREATE UNLOGGED TABLE train_part AS
	SELECT user_id, item_id FROM made m
	WHERE NOT EXISTS (SELECT FROM held_part h WHERE h.user_id = m.user_id AND h.item_id = m.item_id);
	CREATE INDEX ON train_part (user_id, item_id);
	ANALYZE train_part;
	ANALYZE held_part;
END $$;

CREATE TABLE runs (ord serial, name text, users int, items int, interactions bigint, dimensions int, epochs int, all_epochs bigint,
				   tower text, seconds float8, processor_seconds float8, interactions_per_s float8, distances_per_s float8,
				   peak_kb bigint, hit_rate float8, popular_hit_rate float8);

-- What this backend ever had in memory, in kB; NULL if the server does not tell.
CREATE FUNCTION peak_kb() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN substring(pg_read_file('/proc/self/status', 0, 10000) FROM 'VmHWM:\s*(\d+)');
EXCEPTION WHEN OTHERS THEN
	RETURN NULL;
END $$;

CREATE VIEW report AS
SELECT name AS shape, users, items, interactions, dimensions AS d, tower, epochs, all_epochs AS "of all",
	   round(seconds::numeric, 1) AS seconds, round(processor_seconds::numeric, 1) AS cpu_s,
	   round((interactions_per_s / 1e6)::numeric, 3) AS "M interactions/s", round((distances_per_s / 1e6)::numeric, 1) AS "M distances/s",
	   round(peak_kb / 1024.0) AS "peak MB", round(hit_rate::numeric, 4) AS "HR@10", round(popular_hit_rate::numeric, 4) AS "popular"
FROM runs ORDER BY ord;
