-- dual_tower.sql: run by dual_tower.sh after recipes.sql, with bench.ratings, users and
-- movies filled.  Variables: seeds, only, part.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
SET search_path = bench, public;

-- A title is no feature here: it names the film.
CREATE TABLE user_features AS SELECT user_id, gender, age, occupation FROM users;
CREATE TABLE item_features AS SELECT item_id, year, year / 10 || '0s' AS decade, genres FROM movies;
-- Towers without features: a tower needs some, so these have a single bit that means nothing.
CREATE TABLE user_bit AS SELECT user_id, hashint4(user_id) % 2 = 0 AS bit FROM users;
CREATE TABLE item_bit AS SELECT item_id, hashint4(item_id) % 2 = 0 AS bit FROM movies;

SELECT * FROM metricrec.split('ratings', 'leave_last_out', time_column => 'seq') \g /dev/null
SELECT :'part' = 'validation' AS validate \gset
\if :validate
ALTER TABLE ratings_train RENAME TO known;
SELECT * FROM metricrec.split('known', 'leave_last_out', time_column => 'seq', train => 'train_part', test => 'held_part') \g /dev/null
\else
ALTER TABLE ratings_train RENAME TO train_part;
ALTER TABLE ratings_test RENAME TO held_part;
\endif
CREATE INDEX ON train_part (user_id);
-- Films that have features and no rating have points, too.  They are left out of the rankings, so that all rows rank the same.
CREATE TABLE unrated AS
SELECT user_id, item_id FROM users CROSS JOIN (SELECT item_id FROM movies EXCEPT SELECT item_id FROM train_part) m;
VACUUM ANALYZE;
\ir negatives.sql
CALL draw_negatives(1);
ANALYZE negatives_1;
\echo
SELECT :'part' AS "held out", (SELECT count(*) FROM train_part) AS train_rows, (SELECT count(*) FROM held_part) AS held_rows;

-- ---- the ablation ----
CREATE TABLE recipes (ord serial, recipe text, options text, label text);
INSERT INTO recipes (recipe, options, label) VALUES
	('preset', 'preset => ''dual_tower''', 'dual tower, the preset as it is (margin 1.2)'),
	('margin_0.5', 'preset => ''dual_tower'', margin => 0.5', 'dual tower, margin 0.5'),
	('margin_1.0', 'preset => ''dual_tower'', margin => 1', 'dual tower, margin 1.0'),
	('dual_tower', 'preset => ''dual_tower''', 'dual tower, margin 1.2'),
	('margin_1.5', 'preset => ''dual_tower'', margin => 1.5', 'dual tower, margin 1.5'),
	('margin_2.0', 'preset => ''dual_tower'', margin => 2', 'dual tower, margin 2.0'),
	('hardest', 'preset => ''dual_tower'', negative_sampling => ''hardest''', 'hard negatives: the nearest of 5 draws'),
	('features', 'preset => ''dual_tower'', user_combination => ''features'', item_combination => ''features''', 'features alone, no id'),
	('one_bit', 'preset => ''dual_tower''', 'no features: a meaningless bit instead'),
	('id', 'preset => ''dual_tower'', user_combination => ''id'', item_combination => ''id''', 'no towers: the id''s points alone'),
	('softmax', 'user_tower => ''free'', user_combination => ''both'', item_combination => ''both'', hidden_layers => ''{128}'', activation => ''tanh'', id_dropout => 0, batch_size => 128, learning_rate => 0.02, epochs => 40',
	 'softmax instead of the triplet loss, same towers'),
	('softmax_id', 'user_tower => ''free'', user_combination => ''id'', item_combination => ''id''', 'softmax, no towers'),
	('default', 'user_tower => ''pooled''', 'default recipe (pooled) with features (sum)'),
	('plain', 'user_tower => ''pooled''', 'default recipe (pooled) without features');
DELETE FROM recipes WHERE NOT wanted(recipe, :'only');
-- The rows that are compared with each other have 8 epochs: the order shows by then.
UPDATE recipes SET options = options || ', epochs => 8' WHERE recipe <> 'preset' AND options LIKE 'preset%';
UPDATE recipes SET options = options || CASE recipe
		WHEN 'one_bit' THEN ', user_features => ''user_bit'', item_features => ''item_bit'''
		WHEN 'plain' THEN ''
		ELSE ', user_features => ''user_features'', item_features => ''item_features''' END || ', validation_fraction => 0';
SELECT count(*) > 0 AS ablation FROM recipes \gset
\if :ablation
CALL popularity('train_part', 'held_part', '{10}', 'negatives_1');
CALL popularity('train_part', 'held_part', '{10}', NULL);
SELECT format('CALL measure(%L, %L, %s, ''train_part'', ''held_part'', ''{10}'', ARRAY[''negatives_1'', NULL]::regclass[], ''unrated'')',
			  recipe, options, :seeds)
FROM recipes ORDER BY ord \gexec

\echo
\echo 'MovieLens-1M with features, leave-one-out: among 99 sampled negatives, and among all items (full).'
SELECT label AS recipe, t.epochs, t."s/epoch",
	   figure(recipe, 'sampled', 'hit_rate', 10) AS "HR@10", figure(recipe, 'sampled', 'ndcg', 10) AS "NDCG@10",
	   figure(recipe, 'full', 'hit_rate', 10) AS "full HR@10", figure(recipe, 'full', 'ndcg', 10) AS "full NDCG@10"
FROM (SELECT ord, recipe, label FROM recipes UNION ALL SELECT 1000, 'popularity', 'most popular items') r
LEFT JOIN LATERAL (SELECT round(avg(epochs)) AS epochs, round(avg(processor_seconds / epochs)::numeric, 2) AS "s/epoch"
				   FROM trained WHERE trained.recipe = r.recipe) t ON true
ORDER BY ord;
\endif

-- ---- users who were never trained ----
SELECT wanted('cold', :'only') AS cold \gset
\if :cold
CREATE TABLE cold_users AS
SELECT user_id FROM users ORDER BY md5('cold' || user_id) LIMIT (SELECT count(*) / 10 FROM users);
CREATE TABLE warm_part AS SELECT * FROM train_part WHERE user_id NOT IN (SELECT user_id FROM cold_users);
CREATE INDEX ON warm_part (user_id);
CREATE TABLE cold_held AS SELECT user_id, item_id FROM held_part JOIN cold_users USING (user_id);
-- place 1 is the item before the held-out one; items that nobody else has rated have no point
CREATE TABLE cold_known AS
SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY seq DESC, item_id) AS place
FROM train_part JOIN cold_users USING (user_id) WHERE item_id IN (SELECT item_id FROM warm_part);
DELETE FROM cold_known WHERE place > 10;
CREATE TABLE warm_features AS SELECT f.* FROM user_features f WHERE user_id NOT IN (SELECT user_id FROM cold_users);
CREATE TABLE cold_result (recipe text, known int, users bigint, hit_sampled float8, hit_full float8);
VACUUM ANALYZE;

-- The rank of the held-out items by a table of distances; the known ones are left out, ties are lost, items without a
-- point are missed.
CREATE PROCEDURE rank_cold(name text, known int) LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM distances WHERE item_id NOT IN (SELECT item_id FROM warm_part);
	ANALYZE distances;
	INSERT INTO cold_result
	WITH ranks AS (
		SELECT d.user_id, 1 + count(*) FILTER (WHERE d.item_id <> h.item_id) AS among_all,
			   1 + count(n.item_id) FILTER (WHERE d.item_id <> h.item_id) AS among_negatives
		FROM cold_held h JOIN distances own USING (user_id, item_id)
		JOIN distances d ON d.user_id = h.user_id AND d.distance <= own.distance
		LEFT JOIN negatives_1 n ON n.user_id = d.user_id AND n.item_id = d.item_id GROUP BY d.user_id
	)
	SELECT rank_cold.name, rank_cold.known, count(*), avg(coalesce((r.among_negatives <= 10)::int, 0)), avg(coalesce((r.among_all <= 10)::int, 0))
	FROM cold_held h LEFT JOIN ranks r USING (user_id);
	TRUNCATE distances;
END $$;
CREATE TEMPORARY TABLE distances (user_id int, item_id int, distance float8);
INSERT INTO distances
SELECT h.user_id, c.item_id, -c.n FROM cold_held h CROSS JOIN (SELECT item_id, count(*) AS n FROM warm_part GROUP BY item_id) c;
CALL rank_cold('most popular items', NULL);

CREATE PROCEDURE measure_cold(name text, options text, from_items boolean, from_features boolean) LANGUAGE plpgsql
SET lsh.exact = on AS $$
BEGIN
	EXECUTE format('SELECT metricrec.create_model(''cold_model'', ''warm_part'', validation_fraction => 0, %s)', options);
	PERFORM metricrec.train('cold_model');
	FOR n IN 1..10 LOOP
		CONTINUE WHEN NOT from_items OR n NOT IN (1, 3, 5, 10);
		INSERT INTO distances
		SELECT h.user_id, r.item_id, r.distance FROM cold_held h
		CROSS JOIN LATERAL recommend_for_items(ARRAY(SELECT k.item_id::bigint FROM cold_known k WHERE k.user_id = h.user_id AND k.place <= n),
											   10000, 'cold_model') r;
		CALL bench.rank_cold(name, n);
	END LOOP;
	IF from_features THEN
		INSERT INTO distances
		SELECT u.user_id, i.item_id, i.embedding <-> u.point
		FROM (SELECT h.user_id, metricrec.embed_user('cold_model', to_jsonb(f) - 'user_id') AS point
			  FROM cold_held h JOIN user_features f USING (user_id) OFFSET 0) u CROSS JOIN cold_model_item_embedding i;
		CALL bench.rank_cold(name, 0);
	END IF;
	PERFORM metricrec.drop_model('cold_model');
END $$;
CALL measure_cold('default recipe, pooled', 'user_tower => ''pooled''', true, false);
CALL measure_cold('default recipe, pooled, with features of users', 'user_tower => ''pooled'', user_features => ''warm_features''', true, true);
CALL measure_cold('default recipe, pooled, with features of both', 'user_tower => ''pooled'', user_features => ''warm_features'', item_features => ''item_features''', true, true);
CALL measure_cold('dual tower', 'preset => ''dual_tower'', epochs => 8, user_features => ''warm_features'', item_features => ''item_features''', true, true);
CALL measure_cold('dual tower, id dropped for 30 %', 'preset => ''dual_tower'', epochs => 8, id_dropout => 0.3, user_features => ''warm_features'', item_features => ''item_features''', true, true);

\echo
\echo 'Users withheld from training: hit rate at 10 of their held-out item, among 99 sampled negatives and among all items'
\echo '(full), from the user''s features alone (0) or from so many items.'
SELECT recipe, max(users) AS users,
	   round(max(hit_sampled) FILTER (WHERE known = 0)::numeric, 4) AS "0", round(max(hit_sampled) FILTER (WHERE known = 1)::numeric, 4) AS "1",
	   round(max(hit_sampled) FILTER (WHERE known = 3)::numeric, 4) AS "3", round(max(hit_sampled) FILTER (WHERE known = 5)::numeric, 4) AS "5",
	   round(max(hit_sampled) FILTER (WHERE known = 10)::numeric, 4) AS "10", round(max(hit_sampled) FILTER (WHERE known IS NULL)::numeric, 4) AS "any",
	   round(max(hit_full) FILTER (WHERE known = 0)::numeric, 4) AS "full 0", round(max(hit_full) FILTER (WHERE known = 1)::numeric, 4) AS "full 1",
	   round(max(hit_full) FILTER (WHERE known = 3)::numeric, 4) AS "full 3", round(max(hit_full) FILTER (WHERE known = 5)::numeric, 4) AS "full 5",
	   round(max(hit_full) FILTER (WHERE known = 10)::numeric, 4) AS "full 10", round(max(hit_full) FILTER (WHERE known IS NULL)::numeric, 4) AS "full any"
FROM cold_result GROUP BY recipe ORDER BY recipe;
\endif
DROP SCHEMA bench CASCADE;
