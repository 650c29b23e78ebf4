-- ratings.sql: the small made-up tables that the examples of the documentation use.
--
--     psql -f test/data/ratings.sql
--
-- 300 users, 200 films of four kinds.  A user rates mostly films of one kind, and
-- likes those: user 42 likes comedies.  The same rows everywhere.

CREATE TABLE films (item_id bigint PRIMARY KEY, title text, kind text, released int);
INSERT INTO films
SELECT i, 'film ' || i, (ARRAY['western', 'drama', 'comedy', 'horror'])[1 + i % 4], 1980 + i % 40
  FROM generate_series(1, 200) i;

CREATE TABLE ratings (user_id bigint, item_id bigint, rating int, rated_at timestamptz);
INSERT INTO ratings
SELECT u, i,
	   CASE WHEN u % 4 = i % 4 THEN 4 + (u + i) % 2 ELSE 1 + (u * i) % 3 END,
	   timestamptz '2026-01-01 00:00Z' + (u * 7 + i * 11) % 997 * interval '1 hour'
  FROM generate_series(1, 300) u, generate_series(1, 200) i
 WHERE (u * u * 13 + i * i * 29 + u * i * 31) % 101 < CASE WHEN u % 4 = i % 4 THEN 40 ELSE 5 END;
CREATE INDEX ON ratings (user_id, item_id);
ANALYZE films, ratings;
