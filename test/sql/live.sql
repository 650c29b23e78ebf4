--
-- The point of a user with features, from what is in the tables now: history and
-- features both.  Users 1-20 like items of 1-20, users 21-40 items of 21-40; the
-- group is also a feature of the user.
--
SET client_min_messages = warning;
CREATE TABLE likes (user_id int NOT NULL, item_id int NOT NULL);
INSERT INTO likes
SELECT u, i FROM generate_series(1, 40) u, generate_series(1, 40) i
WHERE (u <= 20) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;
CREATE INDEX ON likes (user_id);
CREATE TABLE people (user_id bigint PRIMARY KEY, "the group" text, age int);
INSERT INTO people SELECT u, CASE WHEN u <= 20 THEN 'low' ELSE 'high' END, 20 + u % 7 FROM generate_series(1, 39) u;
ANALYZE;

-- The first answers of a user, to compare.
CREATE FUNCTION answer(u int) RETURNS TABLE (item_id bigint, distance float8) LANGUAGE sql AS
$$ SELECT item_id, distance FROM recommend(u, 40, exclude_seen => false) $$;

--
-- For each combination: on the training data the live answer is the stored one, for
-- the user without features (40), too; a new row of history and a change of
-- the features change it.
--
CREATE FUNCTION try(combination text, more text) RETURNS TABLE (combination_ text, same boolean, history_counts boolean, features_count boolean)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT metricrec.create_model(%L, ''likes'', user_features => ''people'', user_combination => %L,'
				   ' min_feature_count => 1, dimensions => 8, user_tower => ''pooled'', epochs => 30, seed => 1%s)', 'films', combination, more);
	PERFORM metricrec.train('films');
	combination_ := combination;
	SET LOCAL metricrec.live_history = off;
	CREATE TEMP TABLE stored ON COMMIT DROP AS SELECT u, a.* FROM generate_series(1, 40) u, LATERAL answer(u) a;
	SET LOCAL metricrec.live_history = on;
	SELECT bool_and(abs(a.distance - s.distance) < 1e-4) AND count(*) = 1600 INTO same
	FROM stored s JOIN LATERAL answer(s.u) a USING (item_id);
	DELETE FROM likes WHERE user_id = 7;
	INSERT INTO likes VALUES (7, 30);
	SELECT max(abs(a.distance - s.distance)) > 1e-3 INTO history_counts FROM stored s JOIN LATERAL answer(7) a USING (item_id) WHERE s.u = 7;
	UPDATE people SET "the group" = 'low' WHERE user_id = 30;
	SELECT max(abs(a.distance - s.distance)) > 1e-3 INTO features_count FROM stored s JOIN LATERAL answer(30) a USING (item_id) WHERE s.u = 30;
	RETURN NEXT;
END $$;
BEGIN; SELECT * FROM try('sum', ''); ROLLBACK;
BEGIN; SELECT * FROM try('sum', ', hidden_layers => ''{16}'''); ROLLBACK;
BEGIN; SELECT * FROM try('both', ', hidden_layers => ''{16}'''); ROLLBACK;
BEGIN; SELECT * FROM try('features', ''); ROLLBACK;
BEGIN; SELECT * FROM try('id', ''); ROLLBACK;

--
-- One model for the rest
--
SELECT model FROM metricrec.create_model('films', 'likes', user_features => 'people', user_combination => 'both',
	min_feature_count => 1, hidden_layers => '{16}', dimensions => 8, user_tower => 'pooled', epochs => 30, seed => 1);
SELECT active FROM metricrec.train('films');

-- an item set is a user without features: the same as one who has no row
BEGIN;
INSERT INTO likes VALUES (500, 1), (500, 2), (500, 3);
SELECT count(*) AS same FROM recommend(500, 10, exclude_seen => false) a
JOIN recommend_for_items(ARRAY[1, 2, 3], 10, exclude_seen => false) b USING (item_id) WHERE abs(a.distance - b.distance) < 1e-4;
ROLLBACK;

-- a user who came later, with features and no history: as embed_user has it
SELECT * FROM recommend(600);
BEGIN;
INSERT INTO people VALUES (600, 'high', 21);
SELECT count(*) AS rows, bool_and(abs(r.distance - (i.embedding <-> metricrec.embed_user('films', '{"the group": "high", "age": 21}'))) < 1e-4) AS same
FROM recommend(600, 10) r JOIN films_item_embedding i USING (item_id);
SET LOCAL metricrec.live_history = off;
SELECT * FROM recommend(600);
ROLLBACK;

-- one whose point was made of features is new, too: folded in from the history
BEGIN;
INSERT INTO people VALUES (600, 'high', 21);
INSERT INTO likes VALUES (600, 30), (600, 31);
CREATE TEMP TABLE before AS SELECT * FROM answer(600);
SELECT metricrec.refresh_users('films');
SELECT count(*) AS same FROM before JOIN answer(600) a USING (item_id, distance);
ROLLBACK;

-- names may change: the plan is another one
BEGIN;
CREATE TEMP TABLE before AS SELECT * FROM answer(5);
ALTER TABLE people RENAME TO persons;
SELECT count(*) AS same FROM before JOIN answer(5) a USING (item_id, distance);
ROLLBACK;

--
-- What cannot be read: the stored point serves
--
CREATE TEMP TABLE stored AS
SELECT i.item_id, u.embedding <-> i.embedding AS distance FROM films_item_embedding i, films_user_embedding u WHERE u.user_id = 7;
BEGIN;
DELETE FROM likes WHERE user_id = 7;
INSERT INTO likes VALUES (7, 30);
SELECT count(*) AS as_stored FROM stored JOIN answer(7) a USING (item_id) WHERE abs(a.distance - stored.distance) < 1e-4;
SAVEPOINT s;
ALTER TABLE people DROP COLUMN age;
SELECT count(*) AS as_stored FROM stored JOIN answer(7) a USING (item_id) WHERE abs(a.distance - stored.distance) < 1e-4;
ROLLBACK TO s;
ALTER TABLE people ALTER COLUMN age TYPE text;
SELECT count(*) AS as_stored FROM stored JOIN answer(7) a USING (item_id) WHERE abs(a.distance - stored.distance) < 1e-4;
ROLLBACK TO s;
DROP TABLE people;
SELECT count(*) AS as_stored FROM stored JOIN answer(7) a USING (item_id) WHERE abs(a.distance - stored.distance) < 1e-4;
ROLLBACK TO s;
CREATE ROLE regress_live_reader;
INSERT INTO likes VALUES (500, 1), (500, 2), (500, 3);
GRANT SELECT ON films_item_embedding, films_user_embedding, likes, stored TO regress_live_reader;
GRANT SELECT (user_id, age) ON people TO regress_live_reader;
SET ROLE regress_live_reader;
SELECT count(*) AS as_stored FROM stored JOIN answer(7) a USING (item_id) WHERE abs(a.distance - stored.distance) < 1e-4;
-- a new user has no stored point: as somebody without features
SELECT count(*) AS same FROM recommend(500, 10) a
JOIN recommend_for_items(ARRAY[1, 2, 3], 10) b USING (item_id) WHERE abs(a.distance - b.distance) < 1e-4;
RESET ROLE;
GRANT SELECT ("the group") ON people TO regress_live_reader;
SET ROLE regress_live_reader;
SELECT count(*) < 40 AS live FROM stored JOIN answer(7) a USING (item_id) WHERE abs(a.distance - stored.distance) < 1e-4;
RESET ROLE;
ROLLBACK;

SELECT metricrec.drop_model('films');

--
-- Keys of other types: a domain over text, looked up in a column of varchar
--
CREATE DOMAIN name_of_user AS text;
CREATE TABLE names_like AS SELECT ('u ' || user_id)::name_of_user AS user_id, item_id FROM likes;
CREATE INDEX ON names_like (user_id);
CREATE TABLE names_people (user_id varchar(40) PRIMARY KEY, "the group" text);
INSERT INTO names_people SELECT 'u ' || user_id, "the group" FROM people;
SELECT model FROM metricrec.create_model('named', 'names_like', user_features => 'names_people',
	min_feature_count => 1, dimensions => 8, user_tower => 'pooled', epochs => 20, seed => 1);
SELECT active FROM metricrec.train('named');
CREATE TEMP TABLE named AS SELECT * FROM recommend('u 5', 10, exclude_seen => false);
SELECT count(*) AS same FROM named JOIN named_user_embedding u ON u.user_id = 'u 5' JOIN named_item_embedding i ON i.item_id = named.item_id::int
WHERE abs(named.distance - (i.embedding <-> u.embedding)) < 1e-4;
UPDATE names_people SET "the group" = 'high' WHERE user_id = 'u 5';
SELECT count(*) < 10 AS changed FROM named JOIN recommend('u 5', 10, exclude_seen => false) r USING (item_id) WHERE abs(named.distance - r.distance) < 1e-4;
SELECT metricrec.drop_model('named');
DROP TABLE names_like, names_people;
DROP DOMAIN name_of_user;

--
-- Folding in: steps from the mean of the items, for each loss and tower
--
CREATE FUNCTION fold(options text)
RETURNS TABLE (options_ text, own_group boolean, steps_count boolean, again boolean, by_tower boolean) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT metricrec.create_model(''films'', ''likes'', dimensions => 8, epochs => 20, seed => 1, %s)', options);
	PERFORM metricrec.train('films');
	options_ := options;
	SELECT bool_and(item_id <= 20) INTO own_group FROM recommend_for_items(ARRAY[1, 2, 3], 5);
	CREATE TEMP TABLE by_steps ON COMMIT DROP AS
	SELECT steps, r.* FROM (SELECT steps, set_config('metricrec.fold_in_steps', steps::text, true) FROM unnest(ARRAY[0]) steps) s,
		LATERAL recommend_for_items(ARRAY[1, 2, 3], 40) r;
	FOR i IN 1..2 LOOP
		PERFORM set_config('metricrec.fold_in_steps', '1', true);
		INSERT INTO by_steps SELECT 1, * FROM recommend_for_items(ARRAY[1, 2, 3], 40);
		PERFORM set_config('metricrec.fold_in_steps', '4', true);
		INSERT INTO by_steps SELECT 4, * FROM recommend_for_items(ARRAY[1, 2, 3], 40);
	END LOOP;
	PERFORM set_config('metricrec.fold_in_steps', '-1', true);
	INSERT INTO by_steps SELECT -1, * FROM recommend_for_items(ARRAY[1, 2, 3], 40);
	SELECT max(distance) FILTER (WHERE steps = 1) <> max(distance) FILTER (WHERE steps = 0) AND
		   max(distance) FILTER (WHERE steps = 4) <> max(distance) FILTER (WHERE steps = 1) INTO steps_count FROM by_steps;
	SELECT count(*) = 2 * 37 INTO again FROM (SELECT steps, item_id FROM by_steps WHERE steps > 0 GROUP BY 1, 2 HAVING count(*) = 2 AND min(distance) = max(distance)) x;
	-- the default: one step for pooled users, four for free ones
	SELECT count(*) = 37 INTO by_tower FROM (SELECT item_id, distance FROM by_steps WHERE steps = -1 INTERSECT
		SELECT item_id, distance FROM by_steps WHERE steps = CASE WHEN options LIKE '%pooled%' THEN 1 ELSE 4 END) x;
	RETURN NEXT;
END $$;
BEGIN; SELECT * FROM fold('user_tower => ''pooled'''); ROLLBACK;
BEGIN; SELECT * FROM fold('user_tower => ''free'''); ROLLBACK;
BEGIN; SELECT * FROM fold('user_tower => ''free'', norm_constraint => ''none'', item_bias => false'); ROLLBACK;
BEGIN; SELECT * FROM fold('preset => ''cml_released'''); ROLLBACK;
BEGIN; SELECT * FROM fold('preset => ''triplet'''); ROLLBACK;

-- versions of earlier releases have no sample: the mean
SELECT model FROM metricrec.create_model('films', 'likes', user_tower => 'free', dimensions => 8, epochs => 5, seed => 1);
SELECT active FROM metricrec.train('films');
DELETE FROM metricrec.component WHERE component = 'fold_in';
CREATE TEMP TABLE old AS SELECT * FROM recommend_for_items(ARRAY[1, 2, 3], 40);
SET metricrec.fold_in_steps = 0;
SELECT count(*) AS same FROM old JOIN recommend_for_items(ARRAY[1, 2, 3], 40) r USING (item_id, distance);
SET metricrec.fold_in_steps = 1001;
RESET metricrec.fold_in_steps;
-- damaged ones say so
INSERT INTO metricrec.component SELECT model_id, version, 'fold_in', 'MRfi' FROM metricrec.component WHERE component = 'tower';
SELECT * FROM recommend_for_items(ARRAY[1, 2, 3]);
SELECT metricrec.drop_model('films');
DROP FUNCTION fold(text);
DROP FUNCTION try, answer;
DROP TABLE likes, people;
