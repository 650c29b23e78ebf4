-- towers.sql: models with features; points of rows that no training has seen.
SET client_min_messages = warning;
CREATE SCHEMA towers;
SET search_path = towers, public;

-- Users like the items of their own kind.
CREATE TABLE goods (item_id int PRIMARY KEY, kind text, tags text[], price float8, looks real[]);
INSERT INTO goods
SELECT i, 'kind ' || i % 4, ARRAY['tag ' || i % 4, 'tag ' || i % 7], 10 * (i % 4) + i % 3,
	   ARRAY[cos(i % 4), sin(i % 4), 0.1 * (i % 5)]::real[]
FROM generate_series(1, 120) i;
CREATE TABLE people (user_id int PRIMARY KEY, taste text, age int);
INSERT INTO people SELECT u, 'kind ' || u % 4, 20 + u % 30 FROM generate_series(1, 90) u;
CREATE TABLE bought (user_id int, item_id int);
INSERT INTO bought
SELECT u, i FROM generate_series(1, 80) u, generate_series(1, 100) i
WHERE (u * u * 7 + i * i * 3 + u * i) % 11 < CASE WHEN u % 4 = i % 4 THEN 6 ELSE 1 END;
CREATE INDEX ON bought (user_id);

-- ---- definition ----
SELECT metricrec.create_model('m', 'bought', item_features => 'goods', user_features => 'people', dimensions => 16,
							  user_tower => 'pooled', epochs => 20, min_feature_count => 2);
SELECT user_features, item_features FROM metricrec.models WHERE model = 'm';
-- what cannot be
SELECT metricrec.create_model('x', 'bought', item_combination => 'sum');
SELECT metricrec.create_model('x', 'bought', user_word_columns => '{taste}');
SELECT metricrec.create_model('x', 'bought', item_features => 'people');
SELECT metricrec.create_model('x', 'bought', item_features => 'goods', item_word_columns => '{price}');
SELECT metricrec.create_model('x', 'bought', item_features => 'goods', hidden_layers => '{16,0}');
SELECT metricrec.create_model('x', 'bought', item_features => 'goods', hidden_layers => '{1,1,1,1,1,1,1,1,1}');
SELECT metricrec.create_model('x', 'bought', item_features => 'goods', item_combination => 'product');
SELECT metricrec.create_model('x', 'bought', item_features => 'goods', id_dropout => 1.5);
CREATE TABLE odd (item_id int, place point);
SELECT metricrec.create_model('x', 'bought', item_features => 'odd');
CREATE TABLE bare (item_id int);
SELECT metricrec.create_model('x', 'bought', item_features => 'bare');
SELECT count(*) FROM metricrec.models WHERE model = 'x';

-- ---- training ----
SELECT active, users, items, counts - 'rows' - 'duplicates' AS counts, recipe->'item_combination' AS items, recipe->'user_combination' AS users
FROM metricrec.train('m');
-- rows that have features and no interactions
SELECT count(*) AS rows, count(*) FILTER (WHERE interactions IS NULL) AS new, min(item_id) FILTER (WHERE interactions IS NULL) AS first FROM m_item_embedding;
SELECT count(*) AS rows, count(*) FILTER (WHERE interactions IS NULL) AS new FROM m_user_embedding;
-- a new item is among its own kind, and goes to the users who like that
SELECT count(*) FILTER (WHERE g.kind = n.kind) >= 90 AS among_its_kind
FROM goods n, LATERAL similar_items(n.item_id, 5, 'm') s, goods g WHERE n.item_id > 100 AND g.item_id = s.item_id;
SELECT count(*) FILTER (WHERE g.kind = p.taste) >= 40 AS new_users_get_their_kind
FROM people p, LATERAL recommend(p.user_id, 5, 'm', exclude_seen => false) r, goods g WHERE p.user_id > 80 AND g.item_id = r.item_id;
SELECT component FROM metricrec.component JOIN metricrec.models USING (model_id) WHERE model = 'm' ORDER BY 1;

-- ---- new rows ----
SELECT embedding = metricrec.embed_item('m', to_jsonb(g) - 'item_id') AS same
FROM goods g JOIN m_item_embedding e USING (item_id) WHERE item_id = 110;
SELECT embedding = metricrec.embed_user('m', to_jsonb(p)) AS same
FROM people p JOIN m_user_embedding e USING (user_id) WHERE user_id = 85;
SELECT dims(metricrec.embed_item('m', '{}')), dims(metricrec.embed_item('m', '{"kind": "never seen", "tags": []}'));
SELECT metricrec.embed_item('m', NULL) IS NULL AS is_null;
SELECT metricrec.embed_item('m', '{"colour": "red"}');
SELECT metricrec.embed_item('m', '[1]');
SELECT metricrec.embed_item('m', '{"price": "NaN"}');
SELECT metricrec.embed_item('m', '{"price": "cheap"}');
SELECT metricrec.embed_item('m', '{"looks": [1, 2]}');

INSERT INTO goods VALUES (201, 'kind 1', '{tag 1}', 11, '{0.5, 0.8, 0}'), (202, 'kind 2', NULL, NULL, NULL);
SELECT metricrec.refresh_items('m');
SELECT metricrec.refresh_items('m');
SELECT metricrec.refresh_users('m');
SELECT item_id, interactions, embedding = metricrec.embed_item('m', (SELECT to_jsonb(g) FROM goods g WHERE g.item_id = e.item_id)) AS same
FROM m_item_embedding e WHERE item_id > 200 ORDER BY 1;

SELECT metricrec.attach('m');
INSERT INTO goods VALUES (203, 'kind 3', '{tag 3}', 31, '{-1, 0.1, 0}');
UPDATE goods SET kind = 'kind 1' WHERE item_id IN (202, 3);
SELECT item_id, interactions IS NULL AS new, embedding = metricrec.embed_item('m', (SELECT to_jsonb(g) FROM goods g WHERE g.item_id = e.item_id)) AS same
FROM m_item_embedding e WHERE item_id IN (3, 202, 203) ORDER BY 1;
-- a row that cannot be read is no reason not to sell it
INSERT INTO goods VALUES (204, 'kind 3', '{tag 3}', 'infinity', NULL);
SELECT count(*) FROM m_item_embedding WHERE item_id = 204;
DELETE FROM goods WHERE item_id = 204;
-- a later column is none of the model's business
ALTER TABLE goods ADD COLUMN colour text;
INSERT INTO goods (item_id, kind, colour) VALUES (205, 'kind 0', 'red');
SELECT count(*) FROM m_item_embedding WHERE item_id = 205;
SELECT metricrec.detach('m');
SELECT tgname FROM pg_trigger WHERE tgrelid IN ('goods'::regclass, 'people'::regclass) AND NOT tgisinternal;

-- the trigger works for its model's tables only
CREATE TRIGGER stray AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION metricrec.embed_changed('999999');
INSERT INTO people VALUES (301, 'kind 1', 33);
SELECT count(*) FROM m_user_embedding WHERE user_id = 301;
DELETE FROM people WHERE user_id = 301;
DROP TRIGGER stray ON people;

-- a partitioned feature table
CREATE TABLE shelves (item_id int, kind text) PARTITION BY LIST (kind);
CREATE TABLE shelf_a PARTITION OF shelves DEFAULT;
INSERT INTO shelves SELECT item_id, kind FROM goods;
SELECT metricrec.create_model('q', 'bought', item_features => 'shelves', dimensions => 8, epochs => 5, user_tower => 'pooled');
SELECT active FROM metricrec.train('q');
SELECT metricrec.attach('q');
INSERT INTO shelves VALUES (401, 'kind 1');
SELECT count(*) FROM q_item_embedding WHERE item_id = 401;
-- a key of another type
ALTER TABLE shelves ALTER item_id TYPE int8;
INSERT INTO shelves VALUES (402, 'kind 1'), (5000000000, 'kind 1');
SELECT count(*) FROM q_item_embedding WHERE item_id = 402;
ALTER TABLE shelves RENAME kind TO sort;
INSERT INTO shelves VALUES (404, 'kind 1');
ALTER TABLE shelves RENAME sort TO kind;
-- more rows than one block of them
SELECT metricrec.detach('q');
INSERT INTO shelves SELECT 10000 + i, 'kind ' || i % 4 FROM generate_series(1, 700) i;
DELETE FROM shelves WHERE item_id = 5000000000;
SELECT metricrec.refresh_items('q');
SELECT metricrec.attach('q');
SELECT metricrec.drop_model('q');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'metricrec%' AND tgrelid = 'shelves'::regclass;
INSERT INTO shelves VALUES (403, 'kind 1');

-- the next version makes the points of new rows anew
DELETE FROM goods WHERE item_id = 203;
SELECT version, counts->'item_features' AS item_features FROM metricrec.train('m');
SELECT item_id, interactions IS NULL AS new FROM m_item_embedding WHERE item_id > 200 ORDER BY 1;

-- ---- the other combinations ----
CREATE FUNCTION own_kind(model name) RETURNS float8 LANGUAGE sql AS $$
	SELECT avg((g.kind = n.kind)::int)::float8 FROM goods n, LATERAL similar_items(n.item_id, 5, model) s, goods g
	WHERE n.item_id BETWEEN 101 AND 120 AND g.item_id = s.item_id $$;
SELECT metricrec.create_model('f', 'bought', item_features => 'goods', user_features => 'people', dimensions => 16, user_tower => 'free',
							  epochs => 30, item_combination => 'features', user_combination => 'features', hidden_layers => '{24,16}', activation => 'tanh');
SELECT metricrec.create_model('b', 'bought', item_features => 'goods', user_features => 'people', dimensions => 16, user_tower => 'free',
							  epochs => 30, item_combination => 'both', user_combination => 'both', hidden_layers => '{24}', dropout => 0.1, id_dropout => 0.5);
SELECT metricrec.create_model('p', 'bought', item_features => 'goods', user_features => 'people', dimensions => 16, user_tower => 'free',
							  epochs => 30, batch_size => 16, item_combination => 'prior', user_combination => 'prior', hidden_layers => '{24}');
SELECT metricrec.create_model('t', 'bought', item_features => 'goods', user_features => 'people', dimensions => 16, loss => 'triplet',
							  epochs => 30, item_combination => 'both', user_combination => 'both', hidden_layers => '{24}', batch_size => 200);
SELECT metricrec.create_model('s', 'bought', item_features => 'goods', dimensions => 16, user_tower => 'pooled', epochs => 30,
							  negative_sampling => 'uniform', negatives => 40);
SELECT model, (metricrec.train(model)).active, own_kind(model) > 0.5 AS new_items_find_their_kind FROM unnest('{f,b,p,t,s}'::name[]) model;
SELECT metricrec.create_model('pp', 'bought', user_features => 'people', user_tower => 'pooled', user_combination => 'prior');
SELECT metricrec.train('pp');

-- ---- tags of items that nobody has tagged ----
CREATE TABLE tagged AS
SELECT user_id, item_id, CASE WHEN user_id % 2 = 0 THEN 'fine ' ELSE 'poor ' END || item_id % 4 AS tag FROM bought;
CREATE INDEX ON tagged (user_id);
SELECT metricrec.create_model('g', 'tagged', tag_column => 'tag', item_features => 'goods', user_features => 'people', dimensions => 16, epochs => 60);
SELECT active FROM metricrec.train('g');
SELECT avg((split_part(r.tag, ' ', 2) = split_part(g.kind, ' ', 2))::int) > 0.7 AS of_its_kind
FROM goods g, LATERAL recommend_tags(g.item_id, 2, model => 'g') r WHERE g.item_id BETWEEN 101 AND 120;
SELECT avg((r.tag LIKE CASE WHEN p.user_id % 2 = 0 THEN 'fine%' ELSE 'poor%' END)::int) > 0.7 AS in_the_users_words
FROM people p, LATERAL recommend_tags(110, 1, p.user_id, 'g') r WHERE p.user_id <= 40;
SELECT metricrec.alter_model('g', user_tower => 'pooled');
SELECT metricrec.train('g');

-- ---- privileges ----
CREATE ROLE regress_shop;
GRANT USAGE ON SCHEMA towers TO regress_shop;
SET ROLE regress_shop;
SELECT metricrec.embed_item('m', '{}');
SELECT metricrec.refresh_items('m');
SELECT metricrec.attach('m');
RESET ROLE;
GRANT SELECT ON m_item_embedding TO regress_shop;
SET ROLE regress_shop;
SELECT dims(metricrec.embed_item('m', '{"kind": "kind 1"}'));
SELECT metricrec.embed_user('m', '{}');
SELECT metricrec.refresh_items('m');
RESET ROLE;
-- whoever may insert into the feature table needs nothing else
SELECT metricrec.attach('m');
GRANT INSERT ON goods TO regress_shop;
SET ROLE regress_shop;
INSERT INTO goods (item_id, kind) VALUES (206, 'kind 2');
RESET ROLE;
SELECT count(*) FROM m_item_embedding WHERE item_id = 206;

-- ---- things that go away ----
SELECT metricrec.alter_model('m', item_combination => 'id', user_combination => 'id');
SELECT active FROM metricrec.train('m');
SELECT metricrec.embed_item('m', '{}');
SELECT metricrec.refresh_items('m');
INSERT INTO goods (item_id, kind) VALUES (207, 'kind 2');
SELECT count(*) FROM m_item_embedding WHERE item_id = 207;
SELECT metricrec.alter_model('m', reset => '{item_combination,user_combination}');
ALTER TABLE goods DROP COLUMN looks;
SELECT active FROM metricrec.train('m');
ALTER TABLE goods DROP COLUMN tags;
SELECT metricrec.refresh_items('m');
DROP TABLE people;
\set VERBOSITY terse
SELECT metricrec.train('m');
SELECT metricrec.refresh_users('m');
SELECT metricrec.drop_model(model) FROM unnest('{m,f,b,p,t,s,g,pp}'::name[]) model;
RESET search_path;
DROP SCHEMA towers CASCADE;
DROP ROLE regress_shop;
