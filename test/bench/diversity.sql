-- diversity.sql: run by diversity.sh after recipes.sql, with bench.ratings filled.
-- Variables: set (movielens, citeulike), part (validation, test), users, values.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;
\ir parts.sql

SELECT metricrec.create_model('bench_model', 'train_part', user_tower => 'pooled') \g /dev/null
SELECT epochs, round(extract(epoch FROM duration), 1) AS train_s FROM metricrec.train('bench_model');
SET lsh.exact = on;
-- Without the last coordinate, which is the bias; and how far two items are from each other by chance.
CREATE TABLE points AS
SELECT item_id, interactions, ((embedding::real[])[:dims(embedding) - 1])::embedding AS point FROM bench_model_item_embedding;
CREATE UNIQUE INDEX ON points (item_id);
CREATE TABLE asked AS
SELECT user_id FROM (SELECT DISTINCT user_id FROM held_part) h
WHERE user_id IN (SELECT user_id FROM train_part) ORDER BY hashint4extended(user_id::int, 7) LIMIT :users;
ANALYZE points;
ANALYZE asked;
CREATE TABLE lists (diversity float8, user_id int, item_id int, place bigint);
CREATE TABLE times (diversity float8, seconds float8);
CREATE PROCEDURE ask(value float8) LANGUAGE plpgsql AS $$
DECLARE
	started float8 := bench.processor_seconds();
BEGIN
	INSERT INTO bench.lists
	SELECT value, a.user_id, r.item_id, r.place
	FROM bench.asked a, recommend(a.user_id, 10, 'bench_model', diversity => value) WITH ORDINALITY r(item_id, distance, place);
	INSERT INTO bench.times VALUES (value, bench.processor_seconds() - started);
END $$;
SELECT format('CALL ask(%s)', v) FROM unnest(:'values'::float8[]) v \gexec
CREATE INDEX ON lists (diversity, user_id, item_id);
ANALYZE lists;

\echo
\echo Lists of ten, :set, held out: :part
SELECT l.diversity,
	   round(avg(l.found)::numeric, 4) AS "hit rate",
	   round(avg(apart)::numeric, 3) AS "distance in the list",
	   round((SELECT avg(a.point <-> b.point) FROM (SELECT point, row_number() OVER (ORDER BY hashint8extended(item_id, 1)) AS n FROM points) a
			  JOIN (SELECT point, row_number() OVER (ORDER BY hashint8extended(item_id, 2)) AS n FROM points) b USING (n))::numeric, 3) AS "of random items",
	   round((SELECT count(DISTINCT i.item_id) FROM lists i WHERE i.diversity = l.diversity)::numeric / (SELECT count(*) FROM points), 3) AS coverage,
	   round(avg(popularity)::numeric, 1) AS popularity, avg(same)::numeric(4, 2) AS "of the ten at 0",
	   round(max(t.seconds)::numeric * 1e6 / count(*), 0) AS "us a call"
FROM (SELECT d.diversity, d.user_id,
			 max((h.user_id IS NOT NULL)::int) AS found, avg(p.interactions) AS popularity,
			 10.0 * avg((EXISTS (SELECT FROM lists z WHERE z.diversity = 0 AND z.user_id = d.user_id AND z.item_id = d.item_id))::int) AS same,
			 (SELECT avg(pa.point <-> pb.point) FROM lists a JOIN lists b ON b.diversity = a.diversity AND b.user_id = a.user_id AND b.place > a.place
			  JOIN points pa ON pa.item_id = a.item_id JOIN points pb ON pb.item_id = b.item_id
			  WHERE a.diversity = d.diversity AND a.user_id = d.user_id) AS apart
	  FROM lists d JOIN points p USING (item_id) LEFT JOIN (SELECT DISTINCT user_id, item_id FROM held_part) h ON h.user_id = d.user_id AND h.item_id = d.item_id
	  GROUP BY d.diversity, d.user_id) l
JOIN times t USING (diversity)
GROUP BY l.diversity ORDER BY l.diversity;
SELECT metricrec.drop_model('bench_model') \g /dev/null
DROP SCHEMA bench CASCADE;
