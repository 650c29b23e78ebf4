-- lastfm.sql: run by lastfm.sh after recipes.sql, with bench.triples filled.
-- Variables: seeds, only.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;

CREATE TABLE core AS SELECT DISTINCT user_id, item_id, tag FROM triples;
DO $$
DECLARE
	removed bigint;
BEGIN
	LOOP
		DELETE FROM bench.core c WHERE
			user_id IN (SELECT user_id FROM bench.core GROUP BY user_id HAVING count(*) < 5) OR
			item_id IN (SELECT item_id FROM bench.core GROUP BY item_id HAVING count(*) < 5) OR
			tag IN (SELECT tag FROM bench.core GROUP BY tag HAVING count(*) < 5);
		GET DIAGNOSTICS removed = ROW_COUNT;
		EXIT WHEN removed = 0;
	END LOOP;
END $$;
CREATE TABLE held AS
SELECT user_id, item_id FROM (
	SELECT user_id, item_id, count(*) OVER (PARTITION BY user_id) AS posts,
		   row_number() OVER (PARTITION BY user_id ORDER BY hashint8extended(user_id * 1000003::bigint + item_id, 1), item_id) AS n
	FROM core GROUP BY user_id, item_id) p
WHERE posts >= 2 AND n = 1;
CREATE TABLE train_part AS SELECT * FROM core c WHERE NOT EXISTS (SELECT FROM held h WHERE (h.user_id, h.item_id) = (c.user_id, c.item_id));
CREATE TABLE test_part AS SELECT c.* FROM core c JOIN held h USING (user_id, item_id) WHERE item_id IN (SELECT item_id FROM train_part);
CREATE INDEX ON train_part (user_id);
CREATE INDEX ON train_part (item_id);
ANALYZE;
\echo
SELECT (SELECT count(*) FROM core) AS triples, (SELECT count(DISTINCT user_id) FROM core) AS users,
	   (SELECT count(DISTINCT item_id) FROM core) AS artists, (SELECT count(DISTINCT tag) FROM core) AS tags,
	   (SELECT count(DISTINCT (user_id, item_id)) FROM test_part) AS test_posts,
	   (SELECT round(count(*)::numeric / count(DISTINCT (user_id, item_id)), 2) FROM test_part) AS "tags of a test post";

CREATE TABLE recipes (ord serial, recipe text, options text, label text);
INSERT INTO recipes (recipe, options, label) VALUES
	('default', 'tag_column => ''tag''', 'default recipe'),
	('wide', 'tag_column => ''tag'', tag_weight => 0.2, dimensions => 128, epochs => 10', '128 dimensions, tag_weight 0.2'),
	('tags', 'tag_column => ''tag'', tag_weight => 1, epochs => 10', 'tags only');
DELETE FROM recipes WHERE NOT wanted(recipe, :'only');

-- The tags that the artist has most often, then those most often given at all; ties
-- are lost.
CREATE TABLE by_artist AS
WITH counts AS (
	SELECT item_id, tag, count(*) AS n FROM train_part GROUP BY item_id, tag
), everywhere AS (
	SELECT tag, count(*) AS n FROM train_part GROUP BY tag
), posts AS (
	SELECT user_id, item_id, count(*) AS n FROM test_part GROUP BY user_id, item_id
), scores AS (
	SELECT p.user_id, p.item_id, e.tag, coalesce(c.n, 0) AS here, e.n AS anywhere
	FROM posts p CROSS JOIN everywhere e LEFT JOIN counts c ON c.item_id = p.item_id AND c.tag = e.tag
), ranked AS (
	SELECT user_id, item_id, tag, count(*) OVER (PARTITION BY user_id, item_id ORDER BY here DESC, anywhere DESC) AS rank
	FROM scores
)
SELECT k, avg(hits::float8 / k) AS precision, avg(hits::float8 / p.n) AS recall
FROM (VALUES (5), (10)) ks(k) CROSS JOIN posts p CROSS JOIN LATERAL (
	SELECT count(*) AS hits FROM test_part t JOIN ranked r USING (user_id, item_id, tag)
	WHERE (t.user_id, t.item_id) = (p.user_id, p.item_id) AND r.rank <= k) h
GROUP BY k;

SELECT format('CALL measure(%L, %L, %s, ''train_part'', ''test_part'', ''{5,10}'', ARRAY[NULL::regclass])', recipe, options, :seeds)
FROM recipes ORDER BY ord \gexec

\echo
\echo 'Last.fm, one post per user held out, all tags ranked for its user and artist.  Each recipe saw the test posts once.'
SELECT label AS recipe, t.train_s, t.epochs, t.tower, t.d,
	   figure(recipe, 'full', 'tag_precision', 5) AS "P@5", figure(recipe, 'full', 'tag_recall', 5) AS "R@5",
	   figure(recipe, 'full', 'tag_precision', 10) AS "P@10", figure(recipe, 'full', 'tag_recall', 10) AS "R@10",
	   figure(recipe, 'full', 'tag_ndcg', 10) AS "NDCG@10"
FROM recipes r
LEFT JOIN LATERAL (SELECT round(avg(seconds)::numeric, 1) AS train_s, round(avg(epochs)) AS epochs, string_agg(DISTINCT tower, ',') AS tower, max(dimensions) AS d
				   FROM trained WHERE trained.recipe = r.recipe) t ON true
UNION ALL
SELECT 'most given to the artist', NULL, NULL, NULL, NULL,
	   (SELECT round(precision::numeric, 4) FROM by_artist WHERE k = 5), (SELECT round(recall::numeric, 4) FROM by_artist WHERE k = 5),
	   (SELECT round(precision::numeric, 4) FROM by_artist WHERE k = 10), (SELECT round(recall::numeric, 4) FROM by_artist WHERE k = 10), NULL
UNION ALL
SELECT label, NULL, NULL, NULL, NULL, p5, r5, NULL, r10, NULL
FROM (VALUES ('quoted: PITF, BPR, 120 epochs', 0.2727, 0.6011, 0.7373),
			 ('quoted: PITF, softmax over tags', 0.3110, 0.6866, 0.8037)) q(label, p5, r5, r10);
SELECT :seeds > 1 AS repeated \gset
\if :repeated
SELECT label AS recipe, f.n AS trainings, round(f.value::numeric, 4) AS "mean R@5", round(f.deviation::numeric, 4) AS "deviation"
FROM recipes r JOIN figures f ON f.recipe = r.recipe AND f.metric = 'tag_recall' AND f.k = 5 ORDER BY ord;
\endif
DROP SCHEMA bench CASCADE;
