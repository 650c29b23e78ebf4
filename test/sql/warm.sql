--
-- Warm start: what is kept, what is new, what is gone, when it is not possible, and
-- who may.
--
CREATE SCHEMA warm;
SET search_path = warm, public;
SET client_min_messages = error;
-- a training in brief, and its advice's last words
CREATE FUNCTION train(model text, warm boolean DEFAULT true, OUT version int, OUT epochs int, OUT is_warm text, OUT from_version text,
	OUT full_epochs text, OUT users int8, OUT items int8, OUT said text) LANGUAGE sql AS $$
SELECT version, epochs, recipe ->> 'warm_start', recipe ->> 'warm_version', recipe ->> 'full_epochs', users, items,
	substring(advice from '; ((started|trained in full).*)$')
FROM metricrec.train(model, warm_start => warm)
$$;
-- how far the items' points of one version are from those of another
CREATE FUNCTION moved(model text, a int, b int) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	result float8;
BEGIN
	EXECUTE format('SELECT avg(x.embedding <-> y.embedding) FROM %I x JOIN %I y USING (item_id)', model || '_item_embedding_v' || a,
		model || '_item_embedding_v' || b) INTO result;
	RETURN result;
END $$;
-- the share of a user's eight nearest items that are of the user's group: by chance 0.5
CREATE FUNCTION own_group(model text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	result float8;
BEGIN
	EXECUTE format('SELECT avg(((n.item_id <= 20) = (u.user_id <= 20))::int) FROM %I u,'
		|| ' LATERAL (SELECT item_id FROM %I i ORDER BY i.embedding <-> u.embedding LIMIT 8) n',
		model || '_user_embedding', model || '_item_embedding') INTO result;
	RETURN result;
END $$;
-- two groups of users and items
CREATE TABLE all_likes (user_id int, item_id int, day int);
INSERT INTO all_likes
SELECT u, i, (u + i) % 10
FROM generate_series(1, 40) u, generate_series(1, 40) i
WHERE (u <= 20) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;
CREATE TABLE likes AS SELECT * FROM all_likes WHERE user_id NOT IN (5, 25) AND item_id NOT IN (7, 27);
CREATE INDEX ON likes (user_id);

--
-- From version to version
--
SET client_min_messages = notice;
SELECT model FROM metricrec.create_model('m', 'likes', dimensions => 8, epochs => 24, user_tower => 'pooled', keep_versions => 9);
-- no version yet: in full
SELECT * FROM train('m');
-- the same data: the points stay where they are; at random they would be 1.4 apart
SELECT * FROM train('m');
SELECT moved('m', 1, 2) < 0.4 AS near, own_group('m') > 0.95 AS learned;
SELECT count(*) AS epochs, bool_and(learning_rate < 0.05 * 0.4) AS slow, (array_agg(loss ORDER BY step))[1] <
	0.8 * (SELECT loss FROM metricrec.training_log WHERE model = 'm' AND version = 1 ORDER BY step LIMIT 1) AS begins_low
FROM metricrec.training_log WHERE model = 'm' AND version = 2;
-- new users and items come, gone ones go
INSERT INTO likes SELECT * FROM all_likes WHERE user_id IN (5, 25) OR item_id IN (7, 27);
DELETE FROM likes WHERE user_id = 11 OR item_id = 31;
SELECT * FROM train('m');
SELECT (SELECT count(*) FROM m_user_embedding WHERE user_id IN (5, 25)) AS new_users, (SELECT count(*) FROM m_item_embedding WHERE item_id IN (7, 27)) AS new_items,
	(SELECT count(*) FROM m_user_embedding WHERE user_id = 11) + (SELECT count(*) FROM m_item_embedding WHERE item_id = 31) AS gone,
	moved('m', 2, 3) < 0.6 AS near, own_group('m') > 0.95 AS learned;
-- a chain counts its epochs from the full training at its head
SELECT * FROM train('m', false);
SELECT * FROM train('m');
SELECT * FROM train('m');
SELECT recipe -> 'given' AS given FROM metricrec.model_versions WHERE model = 'm' AND version = 6;
CALL metricrec.retrain('m', warm_start => true);
SELECT recipe -> 'warm_version' AS from_version, epochs FROM metricrec.model_versions WHERE model = 'm' ORDER BY version DESC LIMIT 1;
-- the active version is what it starts from, not the newest
SELECT metricrec.activate('m', 2);
SELECT from_version FROM train('m');
-- with one seed and the same interactions, bit for bit the same
CREATE TABLE first AS SELECT item_id, embedding FROM m_item_embedding;
SELECT metricrec.activate('m', 2);
SELECT from_version FROM train('m');
SELECT bool_and(a.embedding = b.embedding) AS repeated FROM first a JOIN m_item_embedding b USING (item_id);

--
-- What does not fit is trained in full, and says so
--
SELECT model FROM metricrec.alter_model('m', learning_rate => 0.04, epochs => 12, seed => 9);
SELECT * FROM train('m');
SELECT model FROM metricrec.alter_model('m', dimensions => 12);
SELECT * FROM train('m');
SELECT * FROM train('m');
SELECT model FROM metricrec.alter_model('m', temperature => 0.3);
SELECT * FROM train('m');
SELECT model FROM metricrec.alter_model('m', reset => '{temperature}');
SELECT * FROM train('m');
SELECT model FROM metricrec.alter_model('m', reset => '{user_tower}', loss => 'cml');
SELECT * FROM train('m');
SELECT * FROM train('m');
-- versions of an older release do not tell what was set
UPDATE metricrec.version SET recipe = recipe - 'given' WHERE version = 16;
SELECT * FROM train('m');
-- all other items
UPDATE likes SET item_id = item_id + 1000;
SELECT * FROM train('m');
UPDATE likes SET item_id = item_id - 1000;
-- a view that somebody has put onto another table serves no version
CREATE OR REPLACE VIEW m_item_embedding AS SELECT item_id, embedding::embedding AS embedding, interactions FROM m_item_embedding_v15 WHERE item_id > 0
	UNION ALL SELECT item_id, embedding, interactions FROM m_item_embedding_v16 WHERE false;
SELECT is_warm, said FROM train('m');
SELECT model FROM metricrec.alter_model('m', reset => '{loss, epochs, learning_rate}', algorithm => 'als');
SELECT is_warm, said FROM train('m');
SELECT is_warm, said FROM train('m');
SELECT metricrec.train('m', NULL);
CALL metricrec.retrain('m', NULL);
SELECT metricrec.drop_model('m');

SET client_min_messages = error;

-- most of the items are new: ALS would find nothing beyond what the others span
SELECT model FROM metricrec.create_model('n', 'likes', dimensions => 8, epochs => 6, user_tower => 'free', start => 'als');
SELECT is_warm, epochs FROM train('n', false);
SELECT is_warm, epochs FROM train('n');
UPDATE likes SET item_id = item_id + 1000 WHERE item_id > 15;
SELECT is_warm, said FROM train('n');
UPDATE likes SET item_id = item_id - 1000 WHERE item_id > 1000;
SELECT metricrec.drop_model('n');

--
-- Free users, and losses of other kinds
--
CREATE FUNCTION try(name text, VARIADIC options text[]) RETURNS TABLE (warm text, learned boolean, near boolean, sweeps bigint) LANGUAGE plpgsql AS $$
BEGIN
	DROP TABLE likes;
	CREATE TABLE likes AS SELECT * FROM all_likes WHERE user_id NOT IN (5, 25) AND item_id NOT IN (7, 27);
	CREATE INDEX ON likes (user_id);
	EXECUTE format('SELECT metricrec.create_model(%L, ''likes'', epochs => 30, dimensions => 8, %s)', name, array_to_string(options, ', '));
	PERFORM metricrec.train(name);
	INSERT INTO likes SELECT * FROM all_likes WHERE user_id IN (5, 25) OR item_id IN (7, 27);
	SELECT recipe ->> 'warm_start' INTO warm FROM metricrec.train(name, true);
	learned := own_group(name) > 0.9;
	near := moved(name, 1, 2) < 0.7;
	SELECT count(*) INTO sweeps FROM metricrec.training_log l WHERE model = name AND version = 2 AND stage = 'start';
	PERFORM metricrec.drop_model(name);
	RETURN NEXT;
END $$;
SELECT * FROM try('free', 'user_tower => ''free''');
SELECT * FROM try('als', 'user_tower => ''free''', 'start => ''als''');
SELECT * FROM try('recent', 'user_tower => ''free''', 'start => ''als''', 'time_column => ''day''');
SELECT * FROM try('als_workers', 'user_tower => ''free''', 'start => ''als''', 'num_workers => 1');
SELECT * FROM try('workers', 'user_tower => ''free''', 'num_workers => 1');
SELECT * FROM try('sampled', 'negative_sampling => ''popularity''', 'negatives => 16', 'user_tower => ''pooled''');
SELECT * FROM try('nobias', 'item_bias => false', 'user_tower => ''pooled''');
SELECT * FROM try('cml', 'preset => ''cml_released''', 'batch_size => 64');
SELECT * FROM try('triplet', 'preset => ''triplet''', 'batch_size => 64');
SELECT * FROM try('stages', 'preset => ''two_stage''', 'batch_size => 32', 'learning_rate => 0.01');

--
-- Validation needs pairs that the version has not seen
--
DROP TABLE likes;
CREATE TABLE likes AS SELECT user_id + 40 * n AS user_id, item_id, day FROM all_likes, generate_series(0, 4) n WHERE day < 8;
CREATE INDEX ON likes (user_id);
SELECT model FROM metricrec.create_model('v', 'likes', time_column => 'day', dimensions => 8, epochs => 12, validation_fraction => 1, user_tower => 'pooled');
SELECT metrics IS NOT NULL AS validated FROM metricrec.train('v');
-- nothing is new
SELECT metrics IS NOT NULL AS validated FROM metricrec.train('v', true);
INSERT INTO likes SELECT user_id + 40 * n, item_id, day FROM all_likes, generate_series(0, 4) n WHERE day = 8 AND user_id % 2 = 0;
CREATE TABLE grown AS SELECT DISTINCT user_id FROM likes WHERE day = 8;
SELECT (metrics ->> 'users')::int = (SELECT count(*) FROM grown) AS those_with_news, (metrics ->> 'hit_rate@10')::float8 > 0.5 AS learned
FROM metricrec.train('v', true);
SELECT stage, count(ndcg) = count(*) AS validated FROM metricrec.training_log WHERE model = 'v' AND version = 3 GROUP BY stage ORDER BY stage;
-- without times nobody knows which they are
SELECT model FROM metricrec.create_model('w', 'likes', dimensions => 8, epochs => 12, validation_fraction => 1, user_tower => 'pooled');
SELECT metrics IS NOT NULL AS validated FROM metricrec.train('w');
INSERT INTO likes SELECT user_id + 40 * n, item_id, day FROM all_likes, generate_series(0, 4) n WHERE day = 9;
SELECT metrics IS NOT NULL AS validated FROM metricrec.train('w', true);
-- evaluate() asks for the recipe of the full training
SELECT metric, value > 0.5 AS good FROM metricrec.evaluate('w', k => '{10}') WHERE metric = 'hit_rate';
SELECT metricrec.drop_model('v'), metricrec.drop_model('w');

--
-- Keys of other types
--
CREATE TABLE keyed (who text, what uuid);
CREATE INDEX ON keyed (who);
INSERT INTO keyed SELECT 'user ' || user_id, md5(item_id::text)::uuid FROM all_likes WHERE user_id <> 5 AND item_id <> 7;
SELECT model FROM metricrec.create_model('k', 'keyed', user_column => 'who', item_column => 'what', dimensions => 8, epochs => 24, user_tower => 'free');
SELECT * FROM train('k');
INSERT INTO keyed SELECT 'user ' || user_id, md5(item_id::text)::uuid FROM all_likes WHERE user_id = 5 OR item_id = 7;
SELECT * FROM train('k');
SELECT moved('k', 1, 2) < 0.6 AS near, count(*) = 1 AS new_user FROM k_user_embedding WHERE user_id = 'user 5';
SELECT metricrec.drop_model('k');

--
-- Features: towers and encoders of the version
--
CREATE TABLE goods AS SELECT i AS item_id, 'kind ' || (i > 20) AS kind, i % 5 AS price FROM generate_series(1, 45) i;
DROP TABLE likes;
CREATE TABLE likes AS SELECT * FROM all_likes WHERE item_id NOT IN (7, 27);
CREATE INDEX ON likes (user_id);
SELECT model FROM metricrec.create_model('f', 'likes', item_features => 'goods', dimensions => 8, epochs => 24, user_tower => 'pooled');
SELECT * FROM train('f');
INSERT INTO likes SELECT * FROM all_likes WHERE item_id IN (7, 27);
INSERT INTO goods VALUES (46, 'kind never seen', 3);
SELECT * FROM train('f');
SELECT moved('f', 1, 2) < 0.6 AS near, count(*) = 46 AS all_items FROM f_item_embedding;
SELECT e.item_id, n.kind FROM f_item_embedding e, LATERAL (SELECT kind FROM f_item_embedding o JOIN goods USING (item_id)
	WHERE o.item_id <> e.item_id ORDER BY o.embedding <-> e.embedding LIMIT 1) n WHERE e.item_id IN (7, 27) ORDER BY 1;
-- a column more is a reason to begin anew
ALTER TABLE goods ADD weight int;
UPDATE goods SET weight = item_id % 3;
SELECT * FROM train('f');
SELECT * FROM train('f');
-- a network over the ids does not tell them
SELECT model FROM metricrec.create_model('b', 'likes', item_features => 'goods', item_combination => 'both', dimensions => 8, epochs => 8,
	user_tower => 'free');
SELECT * FROM train('b', false);
SELECT * FROM train('b');
SELECT metricrec.drop_model('b');
SELECT model FROM metricrec.create_model('b', 'likes', item_features => 'goods', item_combination => 'prior', hidden_layers => '{6}',
	dimensions => 8, epochs => 24, user_tower => 'free');
SELECT * FROM train('b', false);
SELECT * FROM train('b');
SELECT moved('b', 1, 2) < 0.6 AS near;
SELECT metricrec.drop_model('b'), metricrec.drop_model('f');

--
-- Tags
--
CREATE TABLE tagged AS SELECT user_id, item_id, 'tag ' || (item_id > 20) || t AS tag FROM all_likes, generate_series(1, 3) t WHERE (item_id + t) % 3 > 0;
SELECT model FROM metricrec.create_model('t', 'tagged', tag_column => 'tag', dimensions => 8, epochs => 24);
SELECT * FROM train('t');
INSERT INTO tagged SELECT user_id, item_id, 'new tag' FROM all_likes WHERE item_id IN (3, 4, 5);
SELECT * FROM train('t');
SELECT moved('t', 1, 2) < 0.6 AS near, (SELECT avg(x.embedding <-> y.embedding) < 0.6 FROM t_tag_embedding_v1 x JOIN t_tag_embedding_v2 y USING (tag)) AS tags_near,
	(SELECT count(*) FROM t_tag_embedding WHERE tag = 'new tag') AS new_tag;
SELECT metricrec.drop_model('t');

--
-- Memory, and who may
--
SELECT model FROM metricrec.create_model('p', 'likes', dimensions => 8000, epochs => 1, user_tower => 'pooled');
SELECT active FROM metricrec.train('p');
SET metricrec.training_memory = '1MB';
\set VERBOSITY terse
SELECT metricrec.train('p', true);
\set VERBOSITY default
RESET metricrec.training_memory;
SELECT metricrec.drop_model('p');
SELECT model FROM metricrec.create_model('p', 'likes', dimensions => 8, epochs => 8, user_tower => 'pooled');
SELECT active FROM metricrec.train('p');
CREATE ROLE warm_stranger;
GRANT USAGE ON SCHEMA warm TO warm_stranger;
GRANT SELECT ON likes, p_item_embedding, p_user_embedding TO warm_stranger;
SET ROLE warm_stranger;
SELECT metricrec.train('p', warm_start => true);
RESET ROLE;
-- policies on what is served are for those who ask; those of the interactions hold
CREATE ROLE warm_owner;
GRANT warm_owner TO CURRENT_USER;
GRANT USAGE, CREATE ON SCHEMA warm TO warm_owner;
GRANT SELECT ON likes TO warm_owner;
ALTER TABLE likes ENABLE ROW LEVEL SECURITY;
CREATE POLICY some_users ON likes TO warm_owner USING (user_id <= 30);
SET ROLE warm_owner;
SELECT model FROM metricrec.create_model('q', 'likes', dimensions => 8, epochs => 8, user_tower => 'pooled');
SELECT users, items, said FROM train('q');
ALTER TABLE q_item_embedding_v1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE q_item_embedding_v1 FORCE ROW LEVEL SECURITY;
SELECT users, items, said FROM train('q');
SELECT metricrec.drop_model('q');
RESET ROLE;

SET client_min_messages = error;
SELECT metricrec.drop_model('p');
DROP OWNED BY warm_owner, warm_stranger;
DROP ROLE warm_owner, warm_stranger;
DROP SCHEMA warm CASCADE;
