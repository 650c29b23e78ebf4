-- fold_in.sql: run by fold_in.sh after recipes.sql, with bench.likes and bench.ratings
-- filled.  Variables: only, part ('valid' or 'test'), steps, towers.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;
SET lsh.exact = on;

-- What is given of each withheld user, what is to be found, and what is left out.
CREATE TABLE given (user_id int, n int, items bigint[]);
CREATE TABLE wanted_items (user_id int, items bigint[], left_out bigint[]);
CREATE TABLE negatives (user_id int, item_id int);
CREATE INDEX ON negatives (user_id);
CREATE TABLE folded (set_name text, tower text, steps int, n int, users bigint, value float8, deviation float8, milliseconds float8);
-- The 99 and the wanted one of a single user.
CREATE VIEW candidates AS
SELECT item_id FROM negatives WHERE user_id = current_setting('bench.user')::int;

CREATE FUNCTION share_found(given bigint[], wanted bigint[], left_out bigint[], k int) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT count(*) FROM (
				SELECT item_id FROM recommend_for_items(given, k + cardinality(left_out), 'bench_model') WITH ORDINALITY r(item_id, distance, place)
				WHERE NOT item_id = ANY (left_out) ORDER BY place LIMIT k) r
			WHERE item_id = ANY (wanted))::float8 / cardinality(wanted);
END $$;
CREATE FUNCTION is_hit("user" int, given bigint[], wanted bigint[], k int) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('bench.user', "user"::text, true);
	RETURN (SELECT count(*) FROM recommend_for_items(given, k, 'bench_model', candidates => 'bench.candidates') WHERE item_id = wanted[1]);
END $$;

CREATE PROCEDURE fold(which text, train regclass, towers text[], steps int[]) LANGUAGE plpgsql AS $$
DECLARE
	tower_of text;
	s int;
	started timestamptz;
BEGIN
	FOREACH tower_of IN ARRAY towers LOOP
		EXECUTE format('SELECT metricrec.create_model(''bench_model'', %L, validation_fraction => 0, seed => 1, %s => %L)',
					   train, CASE WHEN tower_of IN ('pooled', 'free') THEN 'user_tower' ELSE 'preset' END, tower_of);
		PERFORM metricrec.train('bench_model');
		COMMIT;
		RAISE INFO '%: % trained', which, tower_of;
		FOREACH s IN ARRAY steps LOOP
			PERFORM set_config('metricrec.fold_in_steps', s::text, false);
			started := clock_timestamp();
			INSERT INTO folded
			SELECT which, tower_of, s, n, count(*), avg(value), stddev_samp(value) / sqrt(count(*))
			FROM (SELECT n, CASE which WHEN 'citeulike' THEN share_found(g.items, w.items, w.left_out, 50)
									   ELSE is_hit(user_id, g.items, w.items, 10) END AS value
				  FROM given g JOIN wanted_items w USING (user_id)) x
			GROUP BY n;
			UPDATE folded f SET milliseconds = extract(epoch FROM clock_timestamp() - started) * 1000 / (SELECT count(*) FROM given)
			WHERE f.set_name = which AND f.tower = tower_of AND f.steps = s;
			RAISE INFO '% %, % steps: %', which, tower_of, s,
				(SELECT string_agg(round(f.value::numeric, 4)::text, ' ' ORDER BY n) FROM folded f WHERE f.set_name = which AND f.tower = tower_of AND f.steps = s);
			COMMIT;
		END LOOP;
		PERFORM metricrec.drop_model('bench_model');
		COMMIT;
	END LOOP;
END $$;

SELECT wanted('citeulike', :'only') AS citeulike, wanted('movielens', :'only') AS movielens,
	   CASE :'part' WHEN 'valid' THEN 'test' ELSE 'valid' END AS other \gset

\if :citeulike
CREATE TABLE eligible AS
SELECT user_id, item_id FROM (SELECT *, count(*) OVER (PARTITION BY user_id) AS n FROM (SELECT DISTINCT user_id, item_id FROM likes) d) c
WHERE n >= 5;
SELECT * FROM metricrec.split('eligible', 'random', fraction => 0.2, seed => 1, train => 'rest', test => 'test_part') \g /dev/null
SELECT * FROM metricrec.split('rest', 'random', fraction => 0.25, seed => 2, train => 'train_part', test => 'valid_part') \g /dev/null
CREATE TABLE withheld AS
SELECT user_id FROM train_part GROUP BY user_id HAVING count(*) >= 10 AND get_byte(decode(md5('fold' || user_id), 'hex'), 0) < 64;
CREATE TABLE warm AS SELECT * FROM train_part WHERE user_id NOT IN (SELECT user_id FROM withheld);
CREATE INDEX ON warm (user_id);
INSERT INTO given
SELECT user_id, n, (array_agg(item_id ORDER BY md5(user_id || '/' || item_id)))[:n]
FROM train_part JOIN withheld USING (user_id), unnest('{1,3,5,10}'::int[]) n WHERE item_id IN (SELECT item_id FROM warm) GROUP BY user_id, n;
DELETE FROM given WHERE cardinality(items) < n;
SELECT format('INSERT INTO wanted_items SELECT user_id, array_agg(item_id), (SELECT array_agg(item_id) FROM (SELECT * FROM train_part UNION ALL SELECT * FROM %I) o WHERE o.user_id = w.user_id) FROM %I w JOIN withheld USING (user_id) GROUP BY user_id',
			  :'other' || '_part', :'part' || '_part') \gexec
ANALYZE;
CALL fold('citeulike', 'warm', string_to_array(:'towers', ','), string_to_array(:'steps', ',')::int[]);
INSERT INTO folded
SELECT 'citeulike', 'popularity', NULL, n, count(*), avg(hits), NULL, NULL
FROM (SELECT n, (SELECT count(*) FROM (SELECT item_id FROM (SELECT item_id, count(*) AS c FROM warm GROUP BY item_id ORDER BY c DESC, item_id LIMIT 1000) p
				 WHERE NOT item_id = ANY (w.left_out) ORDER BY c DESC, item_id LIMIT 50) top WHERE item_id = ANY (w.items))::float8 / cardinality(w.items) AS hits
	  FROM given JOIN wanted_items w USING (user_id)) x GROUP BY n;
TRUNCATE given, wanted_items;
\endif

\if :movielens
CREATE TABLE placed AS
SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY seq DESC) AS from_last FROM ratings;
CREATE TABLE away AS
SELECT DISTINCT user_id FROM ratings WHERE get_byte(decode(md5('fold' || user_id), 'hex'), 0) < 51;
CREATE TABLE ratings_warm AS
SELECT user_id, item_id FROM placed WHERE from_last > CASE :'part' WHEN 'valid' THEN 2 ELSE 1 END AND user_id NOT IN (SELECT user_id FROM away);
CREATE INDEX ON ratings_warm (user_id);
INSERT INTO given
SELECT user_id, n, (array_agg(item_id ORDER BY md5(user_id || '/' || item_id)))[:n]
FROM placed JOIN away USING (user_id), unnest('{1,3,5,10}'::int[]) n WHERE from_last > 2 GROUP BY user_id, n;
INSERT INTO wanted_items SELECT user_id, ARRAY[item_id], '{}' FROM placed JOIN away USING (user_id) WHERE from_last = CASE :'part' WHEN 'valid' THEN 2 ELSE 1 END;
INSERT INTO negatives
SELECT user_id, item_id FROM (
	SELECT a.user_id, i.item_id, row_number() OVER (PARTITION BY a.user_id ORDER BY hashint8extended(a.user_id * 1000003::bigint + i.item_id, 1)) AS place
	FROM away a CROSS JOIN (SELECT DISTINCT item_id FROM ratings) i
	WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = a.user_id AND r.item_id = i.item_id)) x
WHERE place <= 99;
INSERT INTO negatives SELECT user_id, items[1] FROM wanted_items;
CREATE TABLE counts AS SELECT item_id, count(*) AS c FROM ratings_warm GROUP BY item_id;
ANALYZE;
CALL fold('movielens', 'ratings_warm', ARRAY(SELECT t FROM unnest(string_to_array(:'towers', ',')) t WHERE t IN ('pooled', 'free')), string_to_array(:'steps', ',')::int[]);
INSERT INTO folded
SELECT 'movielens', 'popularity', NULL, n, count(*), avg(hit), NULL, NULL
FROM (SELECT n, (SELECT count(*) FROM negatives c LEFT JOIN counts USING (item_id) WHERE c.user_id = w.user_id AND c.item_id <> w.items[1]
				 AND coalesce(counts.c, 0) >= (SELECT coalesce(max(counts.c), 0) FROM counts WHERE item_id = w.items[1])) < 10 AS is_hit
	  FROM given JOIN wanted_items w USING (user_id)) x, LATERAL (SELECT is_hit::int AS hit) h GROUP BY n;
\endif

\echo
\echo 'Withheld users, folded in from n items: recall at 50 (citeulike), hit rate at 10 of 100 (movielens), on the part:' :part
SELECT set_name AS set, tower AS "tower or preset", steps, max(users) AS users,
	   round(max(value) FILTER (WHERE n = 1)::numeric, 4) AS "1 item", round(max(value) FILTER (WHERE n = 3)::numeric, 4) AS "3 items",
	   round(max(value) FILTER (WHERE n = 5)::numeric, 4) AS "5 items", round(max(value) FILTER (WHERE n = 10)::numeric, 4) AS "10 items",
	   round(avg(deviation)::numeric, 4) AS "standard error", round(max(milliseconds)::numeric, 2) AS "ms a call"
FROM folded GROUP BY set_name, tower, steps ORDER BY set_name, tower = 'popularity', tower DESC, steps;
DROP SCHEMA bench CASCADE;
