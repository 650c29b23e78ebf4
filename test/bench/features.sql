-- features.sql: run by features.sh after recipes.sql, with bench.likes and
-- bench.item_tags filled.  Variables: seeds, only, part.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;

CREATE TABLE paper_features AS SELECT item_id, array_agg(DISTINCT tag ORDER BY tag) AS tags FROM item_tags GROUP BY item_id;
CREATE TABLE eligible AS
SELECT user_id, item_id FROM (SELECT *, count(*) OVER (PARTITION BY user_id) AS n FROM (SELECT DISTINCT user_id, item_id FROM likes) d) c
WHERE n >= 5;
SELECT * FROM metricrec.split('eligible', 'random', fraction => 0.2, seed => 1, train => 'rest', test => 'test_part') \g /dev/null
SELECT * FROM metricrec.split('rest', 'random', fraction => 0.25, seed => 2, train => 'train_part', test => 'valid_part') \g /dev/null
CREATE INDEX ON train_part (user_id);
ANALYZE;

-- ---- known papers ----
-- All papers that have a point are ranked: with tags also those that nobody saved in the training part.
SELECT CASE :'part' WHEN 'test_part' THEN 'valid_part' ELSE 'test_part' END AS other \gset
CREATE TABLE recipes (ord serial, recipe text, options text, label text);
INSERT INTO recipes (recipe, options, label) VALUES
	('plain', '', 'default recipe, no tags'),
	('tags', 'item_features => ''paper_features''', 'default recipe with tags'),
	('wide', 'item_features => ''paper_features'', dimensions => 128', 'the same, 128 dimensions'),
	('both', 'item_features => ''paper_features'', item_combination => ''both'', hidden_layers => ''{128}'', user_tower => ''pooled'', validation_fraction => 0', 'dual tower over [id; tags]'),
	('prior', 'item_features => ''paper_features'', item_combination => ''prior'', hidden_layers => ''{256}'', dropout => 0.5, user_tower => ''free'', validation_fraction => 0', 'tags as a prior, free users (CML+F''s way)');
DELETE FROM recipes WHERE NOT wanted(recipe, :'only');
CALL popularity('train_part', :'part', '{50,100}', NULL, :'other');
SELECT format('CALL measure(%L, %L, %s, ''train_part'', %L, ''{50,100}'', ARRAY[NULL::regclass], %L)',
			  recipe, options, :seeds, :'part', :'other')
FROM recipes ORDER BY ord \gexec

\echo
\echo 'citeulike-t with tags, 60/20/20 per user, all papers ranked.  Quoted figures come from a faulty parse of the data with'
\echo 'other users and pairs: for orientation only.'
SELECT label AS recipe, t.train_s, t.epochs, t.tower, t.d,
	   figure(recipe, 'full', 'recall', 50) AS "recall@50", figure(recipe, 'full', 'recall', 100) AS "recall@100"
FROM (SELECT ord, recipe, label FROM recipes UNION ALL SELECT 1000, 'popularity', 'most popular papers') r
LEFT JOIN LATERAL (SELECT round(avg(seconds)::numeric, 1) AS train_s, round(avg(epochs)) AS epochs, string_agg(DISTINCT tower, ',') AS tower, max(dimensions) AS d
				   FROM trained WHERE trained.recipe = r.recipe) t ON true
UNION ALL
SELECT label, NULL, NULL, NULL, NULL, r50, r100
FROM (VALUES (0, 'quoted, faulty parse: CML+F', 0.3312, 0.4255),
			 (1, 'quoted, faulty parse: CDL', 0.3375, 0.4173)) q(ord, label, r50, r100);

-- ---- new papers ----
SELECT wanted('cold', :'only') AS cold \gset
\if :cold
-- Users with at least five papers, as above.  The withheld tenth: of the papers with a tag, by a hash of the number, so that it is the same everywhere.
CREATE TABLE withheld AS
SELECT item_id FROM (SELECT DISTINCT item_id FROM eligible JOIN paper_features USING (item_id)) p
ORDER BY md5('cold' || item_id) LIMIT (SELECT count(DISTINCT item_id) / 10 FROM eligible);
CREATE TABLE warm_likes AS SELECT user_id, item_id FROM eligible WHERE item_id NOT IN (SELECT item_id FROM withheld);
CREATE INDEX ON warm_likes (user_id);
CREATE TABLE cold_likes AS
SELECT user_id, item_id FROM eligible JOIN withheld USING (item_id)
WHERE user_id IN (SELECT user_id FROM warm_likes GROUP BY user_id HAVING count(*) >= 2);
CREATE TABLE cold_candidates AS
SELECT u.user_id, w.item_id FROM (SELECT DISTINCT user_id FROM cold_likes) u CROSS JOIN withheld w;
ANALYZE;
\echo
SELECT (SELECT count(*) FROM withheld) AS "withheld papers", (SELECT count(*) FROM warm_likes) AS train_pairs,
	   (SELECT count(*) FROM cold_likes) AS test_pairs, (SELECT count(DISTINCT user_id) FROM cold_likes) AS users;
CREATE TABLE cold_recipes (ord serial, recipe text, options text, label text);
INSERT INTO cold_recipes (recipe, options, label) VALUES
	('cold_sum', 'item_features => ''paper_features'', user_tower => ''pooled'', validation_fraction => 0', 'default recipe with tags'),
	('cold_none', 'item_features => ''paper_features'', user_tower => ''pooled'', validation_fraction => 0, id_dropout => 0', 'the same, id never dropped'),
	('cold_features', 'item_features => ''paper_features'', user_tower => ''pooled'', validation_fraction => 0, item_combination => ''features''', 'tags alone');
SELECT format('CALL measure(%L, %L, %s, ''warm_likes'', ''cold_likes'', ''{50}'', ARRAY[NULL::regclass, ''cold_candidates''])',
			  recipe, options, :seeds)
FROM cold_recipes ORDER BY ord \gexec

-- Nearest neighbours by tags alone, of a quarter of the users: a paper's tags weighted by inverse frequency, length 1; a user is
-- the sum of the papers that they have saved.
CREATE TABLE tag_vector AS
WITH weight AS (
	SELECT tag, ln((SELECT count(*) FROM paper_features)::float8 / count(DISTINCT item_id)) AS idf FROM item_tags GROUP BY tag HAVING count(DISTINCT item_id) >= 5
), raw AS (SELECT DISTINCT item_id, tag, idf FROM item_tags JOIN weight USING (tag))
SELECT item_id, tag, idf / sqrt(sum(idf * idf) OVER (PARTITION BY item_id)) AS value FROM raw;
CREATE TABLE user_vector AS
SELECT user_id, tag, sum(value) AS value FROM warm_likes JOIN tag_vector USING (item_id)
WHERE user_id % 4 = 0 AND user_id IN (SELECT user_id FROM cold_likes) GROUP BY user_id, tag;
CREATE INDEX ON tag_vector (tag) INCLUDE (item_id, value);
ANALYZE tag_vector, user_vector;
CREATE TABLE content_rank (user_id int, item_id int, among_all bigint, among_withheld bigint);
INSERT INTO content_rank
SELECT u.user_id, r.* FROM (SELECT DISTINCT user_id FROM cold_likes WHERE user_id % 4 = 0) u CROSS JOIN LATERAL (
	SELECT * FROM (
		SELECT s.item_id, row_number() OVER (ORDER BY s.score DESC, s.item_id) AS among_all,
			   CASE WHEN w.item_id IS NOT NULL THEN row_number() OVER (PARTITION BY w.item_id IS NOT NULL ORDER BY s.score DESC, s.item_id) END AS among_withheld
		FROM (SELECT t.item_id, sum(v.value * t.value) AS score FROM user_vector v JOIN tag_vector t USING (tag) WHERE v.user_id = u.user_id GROUP BY t.item_id) s
		LEFT JOIN withheld w USING (item_id)
		WHERE NOT EXISTS (SELECT FROM warm_likes l WHERE l.user_id = u.user_id AND l.item_id = s.item_id)) x
	WHERE x.among_all <= 50 OR x.among_withheld <= 50) r;
CREATE VIEW content AS
SELECT avg(a) AS among_all, avg(w) AS among_withheld FROM (
	SELECT c.user_id, avg((r.among_all <= 50 AND r.among_all IS NOT NULL)::int) AS a, avg((r.among_withheld <= 50 AND r.among_withheld IS NOT NULL)::int) AS w
	FROM cold_likes c LEFT JOIN content_rank r USING (user_id, item_id) WHERE c.user_id % 4 = 0 GROUP BY c.user_id) x;

\echo
\echo 'citeulike-t, a tenth of the papers withheld from training: recall at 50 of the withheld papers that a user saved.'
SELECT label AS recipe, t.train_s, figure(recipe, 'full', 'recall', 50) AS "among all papers", figure(recipe, 'sampled', 'recall', 50) AS "among the withheld"
FROM cold_recipes r
LEFT JOIN LATERAL (SELECT round(avg(seconds)::numeric, 1) AS train_s FROM trained WHERE trained.recipe = r.recipe) t ON true
UNION ALL SELECT 'nearest by tags alone', NULL, round(among_all::numeric, 4), round(among_withheld::numeric, 4) FROM content
UNION ALL SELECT 'most popular papers', NULL, 0, round(50.0 / (SELECT count(*) FROM withheld), 4);
\endif
DROP SCHEMA bench CASCADE;
