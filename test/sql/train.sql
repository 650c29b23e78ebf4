--
-- Training: what is counted, that every preset and loss learns, that a seed
-- repeats a model bit for bit whatever the rows' order on disk, which keys
-- work, and that no failed training leaves anything behind.
--
CREATE SCHEMA tr;
SET search_path = tr, public;
SET client_min_messages = error;
-- an error with everything that belongs to it
CREATE FUNCTION fails(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
	state text;
BEGIN
	EXECUTE command;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
		state = RETURNED_SQLSTATE;
	RETURN concat_ws(' | ', state, message, nullif(detail, ''), nullif(hint, ''));
END $$;
-- everything that a training could leave: relations here and rows of the catalogue
CREATE FUNCTION traces() RETURNS text LANGUAGE sql AS $$
SELECT format('%s relations, %s versions, %s components, %s epochs, %s locks',
	(SELECT count(*) FROM pg_class WHERE relnamespace = 'tr'::regnamespace),
	(SELECT count(*) FROM metricrec.version), (SELECT count(*) FROM metricrec.component),
	(SELECT count(*) FROM metricrec.epoch_log),
	(SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass))
$$;
-- all coordinates of a model's items and users
CREATE FUNCTION fingerprint(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT md5((SELECT string_agg(row(t.*)::text, '','' ORDER BY item_id) FROM %I t)'
		|| ' || (SELECT string_agg(row(t.*)::text, '','' ORDER BY user_id) FROM %I t))',
		model || '_item_embedding', model || '_user_embedding') INTO result;
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
SET extra_float_digits = 3;

-- two groups of users and items
CREATE TABLE likes (user_id int, item_id int, stars real, weight real);
INSERT INTO likes
SELECT u, i, 1 + (u * 7 + i * 3) % 5, 1 + (u + i) % 3
FROM generate_series(1, 40) u, generate_series(1, 40) i
WHERE (u <= 20) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;
CREATE INDEX likes_user ON likes (user_id);
CREATE INDEX likes_item ON likes (item_id);

--
-- What train says
--
SELECT model FROM metricrec.create_model('m', 'likes', dimensions => 8, epochs => 30, user_tower => 'pooled', seed => 7);
SELECT model, version, active, epochs, loss > 0 AS has_loss, metrics, users, items,
	interactions = (SELECT count(*) FROM likes) AS all_rows, counts ->> 'duplicates' AS duplicates,
	duration > interval '0' AS took_time, recipe ->> 'loss' AS loss, recipe ->> 'user_tower' AS tower, recipe ->> 'seed' AS seed, advice
FROM metricrec.train('m');
SELECT own_group('m') > 0.95 AS learned;
-- the interactions column counts
SELECT count(*) AS rows, bool_and(v.interactions = (SELECT count(*) FROM likes l WHERE l.user_id = v.user_id)) AS users_counted
FROM m_user_embedding v;
SELECT bool_and(v.interactions = (SELECT count(*) FROM likes l WHERE l.item_id = v.item_id)) AS items_counted FROM m_item_embedding v;
CREATE TEMP TABLE said AS SELECT * FROM metricrec.train('m');
SELECT v.loss = t.loss AND v.recipe = t.recipe AND v.duration = t.duration AND v.counts = t.counts AS catalogue_says_the_same
FROM said t JOIN metricrec.model_versions v USING (model, version);
SELECT count(*) AS epochs, bool_and(loss > 0 AND positives > 0 AND learning_rate > 0 AND seconds >= 0) AS filled,
	bool_or(ndcg IS NOT NULL) AS validated, (array_agg(loss ORDER BY step))[1] > (array_agg(loss ORDER BY step DESC))[1] AS falls
FROM metricrec.training_log WHERE model = 'm' AND version = 1;

-- validation: with it, early stopping, and the choice between the towers (too few users here to choose)
SELECT model FROM metricrec.create_model('v', 'likes', dimensions => 8, epochs => 12, user_tower => 'pooled', validation_fraction => 0.5,
	patience => 3);
SELECT epochs BETWEEN 1 AND 12 AS stopped, (metrics ->> 'users')::int BETWEEN 10 AND 30 AS half_of_the_users,
	(metrics ->> 'hit_rate@10')::float8 > 0.5 AS learned, (metrics ->> 'ndcg@10')::float8 BETWEEN 0 AND 1 AS has_ndcg
FROM metricrec.train('v');
SELECT stage, count(ndcg) = count(*) AS all_validated, count(ndcg) = 0 AS none_validated FROM metricrec.training_log WHERE model = 'v'
GROUP BY stage ORDER BY stage;
SELECT model FROM metricrec.alter_model('v', refit => false);
SELECT metrics IS NOT NULL AS validated FROM metricrec.train('v');
SELECT DISTINCT stage FROM metricrec.training_log WHERE model = 'v' AND version = 2;
SELECT metricrec.drop_model('v');
CREATE TABLE more AS SELECT user_id + 40 * n AS user_id, item_id FROM likes, generate_series(0, 2) n;
SELECT model FROM metricrec.create_model('v', 'more', dimensions => 8, epochs => 4);
SELECT recipe ->> 'user_tower' IN ('pooled', 'free') AS chosen, (metrics ->> 'users')::int > 50 AS validated FROM metricrec.train('v');
SELECT stage, count(*) AS epochs, count(ndcg) AS validated FROM metricrec.training_log WHERE model = 'v' GROUP BY stage ORDER BY stage;
SELECT metricrec.drop_model('v');

--
-- Counts: NULLs, duplicates, threshold, weights
--
CREATE TABLE dirty (user_id int, item_id int, stars float8, weight float8);
INSERT INTO dirty SELECT user_id, item_id, 5, 1 FROM likes;
INSERT INTO dirty SELECT user_id, item_id, 4, 1 FROM likes WHERE user_id <= 2;	-- again
INSERT INTO dirty VALUES (NULL, 1, 5, 1), (1, NULL, 5, 1), (NULL, NULL, 5, 1),	-- no key
	(1, 30, 1, 1), (2, 31, 2.9, 1), (999, 999, 1, 1),							-- below the threshold
	(3, 30, NULL, 1), (3, 31, 'NaN', 1),										-- no usable rating
	(4, 30, 5, -1), (4, 31, 5, 'NaN'), (4, 32, 5, 'Infinity');					-- no usable weight
SELECT model FROM metricrec.create_model('d', 'dirty', rating_column => 'stars', min_rating => 3, weight_column => 'weight', dimensions => 8,
	epochs => 2, user_tower => 'pooled');
SELECT users, items, interactions = (SELECT count(*) FROM likes) AS distinct_positives, counts - 'rows' - 'duplicates' AS counts,
	(counts ->> 'rows')::bigint = (SELECT count(*) FROM dirty) AS all_rows,
	(counts ->> 'duplicates')::bigint = (SELECT count(*) FROM likes WHERE user_id <= 2) AS duplicates
FROM metricrec.train('d');
SELECT count(*) FROM d_item_embedding WHERE item_id >= 999;
-- weights matter
SELECT model FROM metricrec.create_model('w', 'likes', weight_column => 'weight', dimensions => 8, epochs => 30, user_tower => 'pooled', seed => 7);
SELECT active FROM metricrec.train('w');
SELECT fingerprint('w') <> fingerprint('m') AS weights_matter;
SELECT metricrec.drop_model('w'), metricrec.drop_model('d');

--
-- Repeatable: the set of rows and the seed make the model, not the order on disk
--
CREATE TEMP TABLE seen AS SELECT fingerprint('m') AS print;
SELECT active FROM metricrec.train('m');
SELECT fingerprint('m') = print AS same FROM seen;
CLUSTER likes USING likes_item;
SELECT active FROM metricrec.train('m');
SELECT fingerprint('m') = print AS same_after_cluster FROM seen;
CREATE TABLE copy AS SELECT * FROM likes ORDER BY md5(user_id::text || 'x' || item_id::text);
TRUNCATE likes;
INSERT INTO likes SELECT * FROM copy;
SELECT active FROM metricrec.train('m');
SELECT fingerprint('m') = print AS same_after_shuffle FROM seen;
INSERT INTO likes SELECT * FROM copy WHERE user_id = 5;
SELECT active FROM metricrec.train('m');
SELECT fingerprint('m') = print AS same_with_duplicates FROM seen;
SELECT model FROM metricrec.alter_model('m', seed => 8);
SELECT active FROM metricrec.train('m');
SELECT fingerprint('m') = print AS same_with_another_seed FROM seen;
SELECT model FROM metricrec.alter_model('m', seed => 7);
DELETE FROM likes WHERE user_id = 5;
INSERT INTO likes SELECT * FROM copy WHERE user_id = 5;
SELECT active FROM metricrec.train('m');
SELECT fingerprint('m') = print AS same_again FROM seen;

--
-- Every preset and every loss learns the groups, and repeats
--
CREATE FUNCTION try(options text, OUT trained boolean, OUT learned boolean, OUT repeats boolean, OUT tower text, OUT points_in_ball boolean)
LANGUAGE plpgsql AS $$
DECLARE
	print text;
BEGIN
	EXECUTE format('SELECT FROM metricrec.create_model(''try'', ''likes'', dimensions => 8, epochs => 60, seed => 3, %s)', options);
	SELECT active, recipe ->> 'user_tower' INTO trained, tower FROM metricrec.train('try');
	learned := own_group('try') > 0.75;
	print := fingerprint('try');
	PERFORM metricrec.train('try');
	repeats := fingerprint('try') = print;
	EXECUTE 'SELECT bool_and(l2_norm(embedding) < 1.0001) FROM try_user_embedding' INTO points_in_ball;
	PERFORM metricrec.drop_model('try');
END $$;
SELECT options, t.* FROM unnest(ARRAY[
	$$user_tower => 'pooled'$$,
	$$user_tower => 'free'$$,
	$$user_tower => 'pooled', negative_sampling => 'uniform', negatives => 20$$,
	$$user_tower => 'free', negative_sampling => 'popularity', negatives => 20$$,
	$$user_tower => 'pooled', item_bias => false$$,
	$$user_tower => 'pooled', propagation => 0.5$$,
	$$user_tower => 'pooled', weight_decay => 0.001$$,
	$$user_tower => 'free', optimizer => 'adagrad', batch_size => 7$$,
	$$preset => 'cml_paper'$$,
	$$preset => 'cml_released'$$,
	$$preset => 'two_stage', negative_candidates => 30, learning_rate => 0.01$$,
	$$preset => 'triplet'$$,
	$$preset => 'dual_tower', learning_rate => 0.1$$,
	$$loss => 'cml', covariance_regularization => 1$$,
	$$loss => 'cml', negative_sampling => 'uniform', rank_weight => false, batch_size => 50$$,
	$$loss => 'cml', negative_sampling => 'popularity', optimizer => 'adam', learning_rate => 0.05$$,
	$$loss => 'triplet', margin => 0.5, norm_constraint => 'ball', optimizer => 'sgd', learning_rate => 0.05, batch_size => 20$$
	]) options, LATERAL try(options) t;

--
-- Key types
--
CREATE FUNCTION keys(kind text, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE VIEW keyed AS SELECT %s AS user_id, %s AS item_id FROM likes', replace(key, '#', 'user_id'), replace(key, '#', 'item_id'));
	PERFORM metricrec.create_model('k', 'keyed', dimensions => 8, epochs => 30, user_tower => 'pooled', seed => 7);
	EXECUTE $q$
		SELECT format('%s: %s users, %s items, %s', '$q$ || kind || $q$', users, items, version) FROM metricrec.train('k')$q$ INTO result;
	EXECUTE format($q$ SELECT %L || format(', %%s rows, all found: %%s, pkey on %%s', count(*), bool_and(i.item_id IS NOT NULL),
			(SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'k_item_embedding'::regclass AND attnum = 1))
		FROM (SELECT DISTINCT item_id FROM keyed) l LEFT JOIN k_item_embedding i ON i.item_id = l.item_id $q$, result) INTO result;
	PERFORM metricrec.drop_model('k');
	DROP VIEW keyed;
	RETURN result;
END $$;
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE mood AS ENUM ('a', 'b', 'c');
SELECT keys('int', '#');
SELECT keys('smallint', '#::smallint');
SELECT keys('bigint', '#::bigint << 33');
SELECT keys('text', '''key '' || #');
SELECT keys('varchar', '#::varchar(20)');
SELECT keys('char', '#::char(5)');
SELECT keys('uuid', 'md5(#::text)::uuid');
SELECT keys('numeric', '#::numeric(10, 2) / 7');
SELECT keys('date', 'date ''2020-01-01'' + #');
SELECT keys('domain', '#::positive');
SELECT keys('composite', 'ROW(#, ''x'')::pair');
SELECT keys('inet', '''10.0.0.0''::inet + #');
SELECT keys('timestamptz', '''2020-01-01 UTC''::timestamptz + # * interval ''1 hour''');
SELECT keys('C collation', '#::text COLLATE "C"');
SELECT fails($$SELECT keys('point', 'point(#, 1)')$$);
-- a collation for which 'Key 1' and 'key 1' are one id (servers without ICU skip it, unseen)
CREATE FUNCTION case_blind() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') THEN
		RETURN 'one id: 40 users, 40 items, 40 rows, found by the other spelling: 1';
	END IF;
	CREATE COLLATION case_blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE TABLE blind (user_id text COLLATE case_blind, item_id text COLLATE case_blind);
	INSERT INTO blind SELECT CASE item_id % 2 WHEN 0 THEN 'key ' ELSE 'KEY ' END || user_id,
		CASE user_id % 2 WHEN 0 THEN 'key ' ELSE 'Key ' END || item_id FROM likes;
	PERFORM metricrec.create_model('k', 'blind', dimensions => 8, epochs => 2, user_tower => 'pooled');
	SELECT format('one id: %s users, %s items', users, items) INTO result FROM metricrec.train('k');
	SELECT format('%s, %s rows, found by the other spelling: %s', result, count(*), count(*) FILTER (WHERE item_id = 'kEY 7'))
		INTO result FROM k_item_embedding;
	PERFORM metricrec.drop_model('k');
	DROP TABLE blind;
	RETURN result;
END $$;
SELECT case_blind();
-- nothing is left of the failed one
SELECT to_regclass('keyed') IS NULL AND to_regclass('k_item_embedding') IS NULL AS gone;

--
-- Bad input
--
SELECT traces() AS before \gset
CREATE FUNCTION trace_free() RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN traces() = current_setting('tr.before') THEN 'no trace' ELSE traces() END $$;
CREATE FUNCTION mark() RETURNS void LANGUAGE sql AS $$ SELECT set_config('tr.before', traces(), false) $$;
CREATE TABLE few (user_id int, item_id int, stars int);
SELECT model FROM metricrec.create_model('few', 'few', rating_column => 'stars', min_rating => 3, dimensions => 4, epochs => 1,
	user_tower => 'pooled');
SELECT mark();
SELECT fails($$SELECT metricrec.train('few')$$);
INSERT INTO few VALUES (1, 1, 2), (2, 2, NULL), (NULL, 1, 5);
SELECT fails($$SELECT metricrec.train('few')$$);
INSERT INTO few VALUES (1, 1, 5), (1, 2, 5);
SELECT fails($$SELECT metricrec.train('few')$$);
TRUNCATE few;
INSERT INTO few VALUES (1, 1, 5), (2, 1, 5);
SELECT fails($$SELECT metricrec.train('few')$$);
INSERT INTO few VALUES (1, 2, 5), (2, 2, 5);
SELECT fails($$SELECT metricrec.train('few')$$);
SELECT trace_free();
-- the least that can be learned
DELETE FROM few WHERE user_id = 1 AND item_id = 2;
SELECT active, users, items, interactions FROM metricrec.train('few');
-- everything liked by everyone, for the hinge losses
TRUNCATE few;
INSERT INTO few SELECT u, i, 5 FROM generate_series(1, 4) u, generate_series(1, 4) i;
SELECT mark();
SELECT fails($$SELECT metricrec.train('few')$$);
SELECT model FROM metricrec.create_model('few2', 'few', dimensions => 4, epochs => 1, preset => 'cml_released');
SELECT model FROM metricrec.create_model('few3', 'few', dimensions => 4, epochs => 1, preset => 'two_stage');
SELECT fails($$SELECT metricrec.train('few2')$$);
SELECT fails($$SELECT metricrec.train('few3')$$);
SELECT metricrec.drop_model('few2'), metricrec.drop_model('few3');
SELECT trace_free();
-- divergence
SELECT model FROM metricrec.create_model('wild', 'likes', dimensions => 8, epochs => 50, loss => 'cml', norm_constraint => 'none',
	optimizer => 'sgd', learning_rate => 1000);
SELECT mark();
SELECT fails($$SELECT metricrec.train('wild')$$);
SELECT trace_free();
SELECT metricrec.drop_model('wild');
-- memory: refused before it is allocated
SELECT mark();
SET metricrec.training_memory = '1MB';
SELECT model FROM metricrec.alter_model('m', dimensions => 16000);
SELECT regexp_replace(fails($$SELECT metricrec.train('m')$$), '\d+ kB; ', 'N kB; ');
RESET metricrec.training_memory;
SELECT model FROM metricrec.alter_model('m', dimensions => 8);
SELECT left(fails('SET metricrec.training_memory = ''1kB'''), 5) AS sqlstate;
SELECT trace_free();
-- the interactions change under the model
ALTER TABLE few RENAME item_id TO thing;
SELECT fails($$SELECT metricrec.train('few')$$);
ALTER TABLE few RENAME thing TO item_id;
ALTER TABLE few ALTER item_id TYPE text;
SELECT fails($$SELECT metricrec.train('few')$$);
ALTER TABLE few ALTER item_id TYPE int USING item_id::int, ALTER stars TYPE text;
SELECT fails($$SELECT metricrec.train('few')$$);
ALTER TABLE few DROP stars;
SELECT fails($$SELECT metricrec.train('few')$$);
DROP TABLE few;
SELECT regexp_replace(fails($$SELECT metricrec.train('few')$$), 'OID \d+', 'OID N');
SELECT metricrec.drop_model('few');
-- so do its views
SELECT model FROM metricrec.create_model('v', 'likes', dimensions => 4, epochs => 1, user_tower => 'pooled');
SELECT active FROM metricrec.train('v');
ALTER VIEW v_item_embedding RENAME COLUMN item_id TO thing;
SELECT fails($$SELECT metricrec.train('v')$$);
ALTER VIEW v_item_embedding RENAME COLUMN thing TO item_id;
SELECT active FROM metricrec.train('v');
DROP VIEW v_user_embedding;
SELECT fails($$SELECT metricrec.train('v')$$);
SELECT fails($$SELECT metricrec.activate('v', 1)$$) LIKE '42P01 | relation with OID % does not exist' AS no_view;
SELECT metricrec.drop_model('v');
SELECT relname FROM pg_class WHERE relname LIKE 'v%embedding%';
CREATE TABLE worded (user_id text, item_id text);
INSERT INTO worded SELECT user_id, item_id FROM likes;
SELECT model FROM metricrec.create_model('worded', 'worded', dimensions => 4, epochs => 1, user_tower => 'pooled');
ALTER TABLE worded ALTER item_id TYPE text COLLATE "C";
SELECT fails($$SELECT metricrec.train('worded')$$);
SELECT metricrec.drop_model('worded');
-- who may
CREATE ROLE regress_mr_trainer;
GRANT USAGE ON SCHEMA tr TO regress_mr_trainer;
GRANT SELECT ON likes, m_item_embedding TO regress_mr_trainer;
SELECT mark();
SET ROLE regress_mr_trainer;
SELECT fails($$SELECT metricrec.train('m')$$);
SELECT fails($$SELECT metricrec.alter_model('m', epochs => 1)$$);
SELECT fails($$SELECT metricrec.activate('m', 1)$$);
SELECT fails($$SELECT metricrec.drop_model('m')$$);
SELECT fails($$SELECT metricrec.create_model('mine', 'likes')$$);
RESET ROLE;
BEGIN READ ONLY;
SELECT fails($$SELECT metricrec.train('m')$$);
COMMIT;
SELECT fails($$SELECT metricrec.train('no_such_model')$$);
SELECT fails($$CALL metricrec.retrain('m')$$);
BEGIN;
CALL metricrec.retrain('m');
ROLLBACK;
SELECT trace_free();

--
-- Transactions: what is rolled back is gone
--
SELECT mark();
SELECT fingerprint('m') AS print \gset
BEGIN;
SELECT active FROM metricrec.train('m');
SELECT count(*) FROM m_item_embedding;
ROLLBACK;
SELECT trace_free(), fingerprint('m') = :'print' AS unchanged;
BEGIN;
SAVEPOINT a;
SELECT model FROM metricrec.alter_model('m', seed => 99);
SELECT active FROM metricrec.train('m');
SELECT fingerprint('m') = :'print' AS unchanged;
ROLLBACK TO a;
SELECT fingerprint('m') = :'print' AS unchanged;
SELECT options -> 'seed' AS seed FROM metricrec.models WHERE model = 'm';
-- the lock is free again
SELECT active FROM metricrec.train('m');
-- twice in one transaction
SELECT active FROM metricrec.train('m');
ROLLBACK;
SELECT trace_free(), fingerprint('m') = :'print' AS unchanged;
-- train, retrain and activate on their own
CALL metricrec.retrain('m');
DO $$ BEGIN CALL metricrec.retrain('m'); END $$;
SELECT fingerprint('m') = :'print' AS same_as_by_train;
SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass;
-- an error in a retrain: nothing is served, nothing is locked, the session goes on
ALTER TABLE likes RENAME item_id TO thing;
CALL metricrec.retrain('m');
ALTER TABLE likes RENAME thing TO item_id;
SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass;
CALL metricrec.retrain('m');
-- an error at the end of it, in what users have added
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_TABLE_NAME <> TG_ARGV[0] THEN RAISE 'stop'; END IF; RETURN NEW; END $$;
SELECT user_table AS served FROM metricrec.model_versions WHERE model = 'm' AND state = 'active' \gset
SELECT format('CREATE TRIGGER stop BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION stop(%L)', :'served', :'served') \gexec
INSERT INTO m_user_embedding (user_id, embedding) SELECT 500, embedding FROM m_user_embedding LIMIT 1;
SELECT mark();
SELECT active FROM metricrec.train('m');
SELECT trace_free();
CALL metricrec.retrain('m');
SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass;
SELECT user_table = :'served'::regclass AS still_served FROM metricrec.model_versions WHERE model = 'm' AND state = 'active';
SELECT format('DROP TRIGGER stop ON %s', :'served') \gexec
CALL metricrec.retrain('m');
SELECT user_id FROM m_user_embedding WHERE user_id = 500;
-- cancelled while it computes
SELECT model FROM metricrec.alter_model('m', epochs => 10000, dimensions => 512);
SELECT mark();
SET statement_timeout = '300ms';
SELECT metricrec.train('m');
RESET statement_timeout;
SELECT trace_free();
-- caught, in a function
SET statement_timeout = '300ms';
DO $$ BEGIN PERFORM metricrec.train('m'); EXCEPTION WHEN query_canceled THEN NULL; END $$;
RESET statement_timeout;
SELECT trace_free();
SELECT model FROM metricrec.alter_model('m', epochs => 1, dimensions => 8);
SELECT active FROM metricrec.train('m');

-- more dimensions than an index can hold: there is none, whatever the version before had
CREATE FUNCTION lsh_indexes() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM metricrec.model_versions v JOIN pg_index i ON i.indrelid = v.item_table JOIN pg_class c ON c.oid = i.indexrelid
	JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'lsh' AND v.model = 'm' AND v.state = 'active' $$;
SELECT lsh_indexes();
SELECT model FROM metricrec.alter_model('m', dimensions => 2001);
SELECT active FROM metricrec.train('m');
SELECT lsh_indexes();
SELECT model FROM metricrec.alter_model('m', dimensions => 8);
SELECT active FROM metricrec.train('m');
SELECT lsh_indexes();

--
-- The library is new, ALTER EXTENSION UPDATE has not come yet: jobs train as before
--
SELECT probin FROM pg_proc WHERE oid = 'metricrec.train'::regproc \gset
CREATE PROCEDURE retrain_of_0_4(name name) AS :'probin', 'mr_retrain' LANGUAGE C;
CREATE FUNCTION alter_model_of_0_4(name name, reset name[], OUT model name, OUT options jsonb) AS :'probin', 'mr_alter_model' LANGUAGE C;
CALL retrain_of_0_4('m');
SELECT recipe -> 'warm_start' AS warm_start FROM metricrec.model_versions WHERE model = 'm' AND state = 'active';
SELECT * FROM alter_model_of_0_4('m', '{epochs}');

SELECT metricrec.drop_model('m');
DROP SCHEMA tr CASCADE;
DROP ROLE regress_mr_trainer;
