--
-- Models and their versions: create, alter, drop, activate; what the catalogue
-- shows; what users add to a version's tables goes on to the next one.
-- The names, errors and hints here are what a user meets first, so they are
-- shown in full.
--
CREATE SCHEMA mo;
SET search_path = mo, public;
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

-- two groups of users and items
CREATE TABLE likes (user_id int NOT NULL, item_id int NOT NULL, stars real, "when" timestamptz, note text);
INSERT INTO likes
SELECT u, i, 1 + (u * 7 + i * 3) % 5, timestamptz '2024-01-01 UTC' + make_interval(mins => u * 40 + i), 'x'
FROM generate_series(1, 40) u, generate_series(1, 40) i
WHERE (u <= 20) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;

--
-- create_model
--
SELECT * FROM metricrec.create_model('films', 'likes', dimensions => 4, epochs => 2, user_tower => 'pooled');
CREATE INDEX likes_key ON likes (user_id, item_id);
SELECT * FROM metricrec.create_model('rated', 'likes', rating_column => 'stars', min_rating => 3, weight_column => 'stars',
	time_column => 'when', loss => 'cml', dimensions => 4, epochs => 2, seed => 5);
-- a view has no index: no warning; all columns are used: no notice
CREATE VIEW pairs AS SELECT user_id AS u, item_id AS i FROM likes;
SELECT * FROM metricrec.create_model('by_view', 'pairs', 'u', 'i');
-- a name that needs quotes
SELECT * FROM metricrec.create_model('We"ird näme', 'pairs', 'u', 'i', dimensions => 4, epochs => 1, user_tower => 'pooled');
SELECT version, active FROM metricrec.train('We"ird näme');
SELECT count(*) FROM "We""ird näme_item_embedding";
SELECT metricrec.drop_model('We"ird näme');
-- an index on an expression or with a condition, or one that leads elsewhere, does not help
CREATE TABLE indexed (user_id int, item_id int);
CREATE INDEX ON indexed (item_id, user_id);
CREATE INDEX ON indexed ((user_id + 1));
CREATE INDEX ON indexed (user_id) WHERE item_id > 5;
SELECT model FROM metricrec.create_model('indexed', 'indexed');
SELECT metricrec.drop_model('indexed');

-- the views are there before the first training, and empty
SELECT count(*) FROM films_item_embedding;
\d films_item_embedding
SELECT obj_description('films_user_embedding'::regclass);

SELECT fails($$SELECT metricrec.create_model(NULL, 'likes')$$);
SELECT fails($$SELECT metricrec.create_model('x', NULL)$$);
SELECT fails($$SELECT metricrec.create_model('x', 'likes', user_column => NULL)$$);
SELECT fails($$SELECT metricrec.create_model('x', 'no_such_table')$$);
SELECT fails($$SELECT metricrec.create_model('x', 'likes', item_column => 'movie_id')$$);
SELECT fails($$SELECT metricrec.create_model('x', 'likes', item_column => 'user_id')$$);
SELECT fails($$SELECT metricrec.create_model('x', 'likes', rating_column => 'note')$$);
SELECT fails($$SELECT metricrec.create_model('x', 'likes', min_rating => 3)$$);
SELECT fails($$SELECT metricrec.create_model('x', 'likes', rating_column => 'stars', min_rating => 'NaN')$$);
SELECT fails($$SELECT metricrec.create_model('x', 'likes', time_column => 'note')$$);
SELECT fails($$SELECT metricrec.create_model('x', 'likes_key')$$);
SELECT fails($$SELECT metricrec.create_model('', 'likes')$$);
SELECT fails(format('SELECT metricrec.create_model(%L, %L)', repeat('n', 41), 'likes'));
SELECT fails(format('SELECT metricrec.create_model(%L, %L)', repeat('ö', 21), 'likes'));
SELECT model FROM metricrec.create_model(repeat('n', 40)::name, 'pairs', 'u', 'i', dimensions => 4, epochs => 1, user_tower => 'pooled');
SELECT version, active FROM metricrec.train(repeat('n', 40)::name);
SELECT metricrec.drop_model(repeat('n', 40)::name);
SELECT fails($$SELECT metricrec.create_model('films', 'likes')$$);
CREATE TABLE taken_user_embedding (a int);
SELECT fails($$SELECT metricrec.create_model('taken', 'likes')$$);
SET search_path = '';
SELECT mo.fails($$SELECT metricrec.create_model('x', 'mo.likes')$$);
SET search_path = no_such_schema;
SELECT mo.fails($$SELECT metricrec.create_model('x', 'mo.likes')$$);
SET search_path = pg_temp, mo, public;
SELECT mo.fails($$SELECT metricrec.create_model('x', 'mo.likes')$$);
SET search_path = mo, public;

--
-- Hyper-parameters: each range, below and above
--
SELECT name || ' => ' || value AS argument, fails(format('SELECT metricrec.create_model(%L, %L, %I => %s)', 'x', 'likes', name, value))
FROM (VALUES
	('dimensions', '1'), ('dimensions', '16001'), ('preset', $$'fast'$$), ('loss', $$'bpr'$$), ('user_tower', $$'deep'$$),
	('epochs', '0'), ('epochs', '10001'), ('batch_size', '0'), ('batch_size', '10000001'),
	('learning_rate', '0'), ('learning_rate', '1001'), ('learning_rate', $$'NaN'$$), ('learning_rate', $$'Infinity'$$),
	('temperature', '0'), ('temperature', '-1'), ('temperature', '1001'), ('margin', '-0.1'), ('margin', '1001'),
	('negatives', '0'), ('negatives', '1000001'), ('negative_sampling', $$'warp'$$),
	('negative_candidates', '0'), ('negative_candidates', '1000001'), ('popularity_exponent', '-1'), ('popularity_exponent', '5'),
	('propensity_exponent', '-0.1'), ('propensity_exponent', '2.1'), ('start', $$'warm'$$), ('recency', '-1'), ('recency', '1e10'),
	('norm_constraint', $$'cube'$$), ('optimizer', $$'lbfgs'$$), ('covariance_regularization', '-1'), ('covariance_regularization', '1e7'),
	('weight_decay', '-1'), ('weight_decay', '1001'), ('propagation', '-1'), ('propagation', '101'),
	('validation_fraction', '-0.1'), ('validation_fraction', '1.1'), ('patience', '-1'), ('patience', '10001'), ('num_workers', '-1'), ('num_workers', '64'),
	('keep_versions', '0'), ('keep_versions', '1001'),
	('item_combination', $$'mix'$$), ('user_combination', $$'mix'$$), ('hidden_layers', $$'{0}'$$), ('hidden_layers', $$'{16385}'$$),
	('hidden_layers', $$'{NULL}'$$), ('activation', $$'step'$$), ('dropout', '-0.1'), ('dropout', '1'), ('id_dropout', '-0.1'), ('id_dropout', '1.1'),
	('feature_regularization', '-1'), ('feature_regularization', '1e7'), ('min_feature_count', '0'), ('max_vocabulary', '0'),
	('max_vocabulary', '4194305'), ('tag_weight', '-0.1'), ('tag_weight', '1.1'), ('tag_temperature', '0'), ('tag_temperature', '1001'),
	('algorithm', $$'svd'$$), ('als_unobserved_weight', '0'), ('als_unobserved_weight', '1e7'), ('als_regularization', '0'),
	('als_regularization', '1e7'), ('als_solver', $$'lu'$$)) v (name, value);
-- every argument that has a range is in the list above
SELECT array_agg(argument ORDER BY argument) AS without_range
FROM (SELECT unnest(proargnames[12:pronargs]) AS argument FROM pg_proc WHERE oid = 'metricrec.create_model'::regproc) a
WHERE argument NOT IN ('dimensions', 'preset', 'loss', 'user_tower', 'epochs', 'batch_size', 'learning_rate', 'temperature', 'margin',
	'negatives', 'negative_sampling', 'negative_candidates', 'popularity_exponent', 'propensity_exponent', 'start', 'recency', 'norm_constraint', 'optimizer',
	'covariance_regularization', 'weight_decay', 'propagation', 'validation_fraction', 'patience', 'num_workers', 'keep_versions', 'item_combination', 'user_combination', 'hidden_layers',
	'activation', 'dropout', 'id_dropout', 'feature_regularization', 'min_feature_count', 'max_vocabulary', 'tag_weight', 'tag_temperature',
	'algorithm', 'als_unobserved_weight', 'als_regularization', 'als_solver');
-- contradictions: nothing that is set is ever ignored
SELECT arguments, fails('SELECT metricrec.create_model(''x'', ''likes'', ' || arguments || ')')
FROM unnest(ARRAY[
	$$loss => 'softmax', negative_sampling => 'hardest'$$,
	$$loss => 'softmax', negative_sampling => 'two_stage'$$,
	$$negative_sampling => 'two_stage', temperature => 1$$,
	$$preset => 'cml_paper', loss => 'softmax'$$,
	$$preset => 'triplet', loss => 'cml'$$,
	$$loss => 'cml', negative_sampling => 'full'$$,
	$$loss => 'cml', item_bias => true$$,
	$$preset => 'cml_paper', item_bias => true$$,
	$$loss => 'triplet', user_tower => 'pooled'$$,
	$$preset => 'triplet', temperature => 0.5$$,
	$$loss => 'softmax', margin => 0.5$$,
	$$rank_weight => true$$,
	$$loss => 'triplet', rank_weight => true$$,
	$$loss => 'softmax', covariance_regularization => 1$$,
	$$item_bias => true, dimensions => 2$$]) arguments;
SELECT count(*) FROM metricrec.models WHERE model = 'x';

--
-- alter_model
--
SELECT options FROM metricrec.models WHERE model = 'films';
SELECT * FROM metricrec.alter_model('films', epochs => 3, learning_rate => 0.01);
SELECT * FROM metricrec.alter_model('films', reset => '{learning_rate}', seed => -9223372036854775808);
SELECT * FROM metricrec.alter_model('films', reset => '{epochs,seed,user_tower}', epochs => 2, user_tower => 'POOLED');
SELECT fails($$SELECT metricrec.alter_model('films', reset => '{learning_rat}')$$);
SELECT fails($$SELECT metricrec.alter_model('films', reset => ARRAY[NULL]::name[])$$);
SELECT fails($$SELECT metricrec.alter_model('films', epochs => 0)$$);
-- against what is set already
SELECT fails($$SELECT metricrec.alter_model('films', loss => 'cml')$$);
SELECT fails($$SELECT metricrec.alter_model('no_such_model')$$);
SELECT options FROM metricrec.models WHERE model = 'films';
BEGIN READ ONLY;
SELECT fails($$SELECT metricrec.create_model('x', 'likes')$$);
SELECT fails($$SELECT metricrec.alter_model('films', epochs => 7)$$);
SELECT fails($$SELECT metricrec.activate('films', 1)$$);
SELECT fails($$SELECT metricrec.drop_model('films')$$);
COMMIT;

--
-- Versions, activate, keep_versions
--
SELECT model, version, active, epochs, users, items FROM metricrec.train('films');
SELECT model, version, active FROM metricrec.train('films');
\d films_item_embedding
\d films_item_embedding_v2
SELECT obj_description('films_item_embedding_v2'::regclass);
SELECT version, state, user_table, item_table, dimensions, metrics FROM metricrec.model_versions WHERE model = 'films' ORDER BY version;
SELECT * FROM metricrec.activate('films', 1);
SELECT active_version FROM metricrec.models WHERE model = 'films';
SELECT tableoid::regclass, count(*) FROM films_item_embedding_v1 GROUP BY 1;
SELECT view_definition ~ 'films_item_embedding_v1' AS serves_1 FROM information_schema.views WHERE table_name = 'films_item_embedding';
SELECT * FROM metricrec.activate('films', 1);
SELECT * FROM metricrec.activate('films', 2);
SELECT fails($$SELECT metricrec.activate('films', 3)$$);
SELECT fails($$SELECT metricrec.activate('films', NULL)$$);
SELECT fails($$SELECT metricrec.activate('rated', 1)$$);
SELECT fails($$SELECT metricrec.activate('no_such_model', 1)$$);
-- the newest two stay, and the active one
SELECT version, active FROM metricrec.train('films');
SELECT version, state, item_table FROM metricrec.model_versions WHERE model = 'films' ORDER BY version;
SELECT fails($$SELECT metricrec.activate('films', 1)$$);
SELECT count(*) FROM metricrec.component c JOIN metricrec.models m USING (model_id) WHERE m.model = 'films';
-- an old version that something depends on, or that an open query reads, is kept and said so; both of its tables
CREATE VIEW mine AS SELECT item_id FROM films_item_embedding_v2;
SELECT version, active FROM metricrec.train('films');
SELECT version, state, user_table, item_table FROM metricrec.model_versions WHERE model = 'films' ORDER BY version;
DROP VIEW mine;
BEGIN;
DECLARE reading CURSOR FOR SELECT * FROM films_user_embedding_v3;
FETCH 1 FROM reading \gset ignored_
SELECT version, active FROM metricrec.train('films');
COMMIT;
SELECT version, state, user_table, item_table FROM metricrec.model_versions WHERE model = 'films' ORDER BY version;
SELECT options FROM metricrec.alter_model('films', keep_versions => 1);
SELECT version, active FROM metricrec.train('films');
SELECT version, state FROM metricrec.model_versions WHERE model = 'films' ORDER BY version;
-- with a version table dropped by hand
SELECT options FROM metricrec.alter_model('films', keep_versions => 3);
SELECT version, active FROM metricrec.train('films');
DROP TABLE films_item_embedding_v6;
SELECT fails($$SELECT metricrec.activate('films', 6)$$);
SELECT version, active FROM metricrec.train('films');

-- the log: a row per epoch
SELECT version, count(*), min(step), max(step), bool_and(stage = 'train') AS train FROM metricrec.training_log
WHERE model = 'films' GROUP BY version ORDER BY version;
SELECT count(*) FROM metricrec.training_progress;

--
-- What users add goes on to the next version
--
CREATE ROLE regress_mr_reader;
CREATE ROLE "regress mr ""other""";
GRANT USAGE ON SCHEMA mo TO regress_mr_reader;
SELECT item_table AS old FROM metricrec.model_versions WHERE model = 'films' AND state = 'active' \gset
GRANT SELECT, INSERT ON :old TO regress_mr_reader WITH GRANT OPTION;
GRANT SELECT (item_id), UPDATE (interactions) ON :old TO "regress mr ""other""";
GRANT REFERENCES ON :old TO PUBLIC;
GRANT SELECT, INSERT ON films_item_embedding TO regress_mr_reader;
ALTER VIEW films_item_embedding SET (security_barrier = true);
ALTER TABLE :old ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON :old AS RESTRICTIVE FOR SELECT TO regress_mr_reader, "regress mr ""other""" USING (item_id % 2 = 0);
CREATE POLICY "all of it" ON :old USING (true) WITH CHECK (item_id > 0);
CREATE INDEX some_index ON :old USING btree (interactions DESC, (item_id % 10)) WHERE interactions > 0;
CREATE UNIQUE INDEX ON :old (item_id, interactions);
ALTER TABLE :old ADD CONSTRAINT positive CHECK (item_id > 0);
ALTER TABLE :old ADD CONSTRAINT uniq UNIQUE (item_id, interactions);
CREATE TABLE items (item_id int PRIMARY KEY);
INSERT INTO items SELECT generate_series(1, 1000);
ALTER TABLE :old ADD CONSTRAINT known FOREIGN KEY (item_id) REFERENCES items;
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row % into %', NEW.item_id, TG_TABLE_NAME; RETURN NEW; END $$;
CREATE TRIGGER " ON mo." AFTER INSERT ON :old FOR EACH ROW WHEN (NEW.item_id > 900) EXECUTE FUNCTION note_row();
CREATE TRIGGER silent BEFORE INSERT ON :old FOR EACH ROW EXECUTE FUNCTION note_row();
ALTER TABLE :old DISABLE TRIGGER silent;
COMMENT ON TABLE :old IS 'it''s mine';
COMMENT ON COLUMN :old.embedding IS 'points';
SET client_min_messages = error;	-- not of wal_level
CREATE PUBLICATION regress_mr_pub FOR TABLE :old (item_id, interactions) WHERE (interactions > 3);
RESET client_min_messages;
-- rows through the view, the key or more of it; interactions 0 or not given
INSERT INTO films_item_embedding (item_id, embedding) VALUES (901, '[1,0,0,0]'), (902, '[0,1,0,0]');
INSERT INTO films_item_embedding VALUES (903, '[0,0,1,0]', 0);
INSERT INTO films_user_embedding (user_id, embedding) VALUES (801, '[1,0,0,0]');
SELECT fails($$INSERT INTO films_item_embedding (item_id, embedding) VALUES (904, '[0,0,1]')$$);
SELECT fails($$INSERT INTO films_item_embedding (item_id, embedding) VALUES (901, '[0,0,1,0]')$$);
SELECT fails($$INSERT INTO films_item_embedding (item_id) VALUES (904)$$);
SELECT fails($$INSERT INTO films_item_embedding (item_id, embedding) VALUES (-1, '[0,0,1,0]')$$);
SELECT fails($$INSERT INTO rated_item_embedding (item_id, embedding) VALUES (1, '[0,0,1,0]')$$);
-- a row that is deleted through the view does not come back
INSERT INTO films_user_embedding (user_id, embedding) VALUES (803, '[1,0,0,0]');
DELETE FROM films_user_embedding WHERE user_id = 803;

SELECT version, active FROM metricrec.train('films');
SELECT item_table AS new FROM metricrec.model_versions WHERE model = 'films' AND state = 'active' \gset
SELECT :'new' <> :'old' AS is_new;
\d :new
-- privileges of others than the owner
SELECT pg_get_userbyid(nullif(grantee, 0)) AS grantee, privilege_type, is_grantable
FROM pg_class c, aclexplode(relacl) a WHERE c.oid = :'new'::regclass AND grantee <> relowner ORDER BY 1, 2;
SELECT attname, attacl::text ~ 'regress mr' AS granted FROM pg_attribute WHERE attrelid = :'new'::regclass AND attacl IS NOT NULL ORDER BY 1;
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = :'new'::regclass;
SELECT obj_description(:'new'::regclass), col_description(:'new'::regclass, 2);
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = :'new'::regclass AND NOT tgisinternal ORDER BY 1;
SELECT has_table_privilege('regress_mr_reader', 'films_item_embedding', 'SELECT, INSERT') AS still_granted_on_the_view;
SELECT reloptions FROM pg_class WHERE oid = 'films_item_embedding'::regclass;
SELECT item_id, interactions FROM films_item_embedding WHERE item_id > 40 ORDER BY 1;
SELECT user_id, embedding FROM films_user_embedding WHERE user_id > 40 ORDER BY 1;
-- once more, so that nothing doubles; other dimensions leave the rows behind, and say so
SELECT model FROM metricrec.alter_model('films', dimensions => 5);
SELECT version, active FROM metricrec.train('films');
SELECT item_table AS third FROM metricrec.model_versions WHERE model = 'films' AND state = 'active' \gset
SELECT count(*) FILTER (WHERE indrelid = :'new'::regclass) AS before, count(*) FILTER (WHERE indrelid = :'third'::regclass) AS after FROM pg_index;
SELECT count(*) FROM films_item_embedding WHERE item_id > 40;
SELECT dims(embedding), count(*) FROM films_item_embedding GROUP BY 1;
-- back to the version of four dimensions
SELECT active_version FROM metricrec.activate('films', (SELECT max(version) - 1 FROM metricrec.model_versions WHERE model = 'films'));
SELECT dims(embedding), count(*) FROM films_item_embedding GROUP BY 1;
-- a row inserted since is taken along to a version that is activated again
SELECT model FROM metricrec.alter_model('films', dimensions => 4);
SELECT version, active FROM metricrec.train('films');
INSERT INTO films_user_embedding (user_id, embedding) VALUES (802, '[0,1,0,0]');
SELECT count(*) FROM metricrec.activate('films', (SELECT max(version) - 2 FROM metricrec.model_versions WHERE model = 'films'));
SELECT user_id FROM films_user_embedding WHERE user_id > 40 ORDER BY 1;

-- the trigger serves the views of models only
CREATE VIEW fake AS SELECT 1 AS item_id, NULL::embedding AS embedding, 0::bigint AS interactions;
CREATE TRIGGER t INSTEAD OF INSERT ON fake FOR EACH ROW EXECUTE FUNCTION metricrec.insert_embedding();
SELECT fails($$INSERT INTO fake VALUES (1, '[1]', 0)$$);
CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION metricrec.insert_embedding();
SELECT fails($$INSERT INTO items VALUES (-1)$$);
DROP VIEW fake;

--
-- Which model
--
SELECT fails($$SELECT metricrec.train()$$);
SET metricrec.default_model = 'films';
SELECT model FROM metricrec.alter_model(NULL, epochs => 1);
SET metricrec.default_model = 'gone';
SELECT fails($$SELECT metricrec.alter_model(NULL, epochs => 1)$$);
RESET metricrec.default_model;
-- one name in two schemas: the search_path decides, without it it is ambiguous
CREATE SCHEMA mo2;
SET search_path = mo2, mo, public;
SELECT schema, model FROM metricrec.create_model('films', 'pairs', 'u', 'i', epochs => 1);
SELECT model, options FROM metricrec.alter_model('films', epochs => 4);
SET search_path = mo, mo2, public;
SELECT model, options -> 'epochs' AS epochs FROM metricrec.alter_model('films');
SET search_path = '';
SELECT mo.fails($$SELECT metricrec.alter_model('films')$$);
SELECT model FROM metricrec.alter_model('by_view');
SELECT mo.fails($$SELECT metricrec.train()$$);
SELECT schema, model, owner = current_user AS mine, interactions, user_column, item_column, rating_column, min_rating, weight_column, time_column,
	user_type, item_type, user_embedding, item_embedding, active_version
FROM metricrec.models ORDER BY 1, 2;
SET search_path = mo, public;

--
-- The model follows its item view: owner, name, schema
--
CREATE ROLE regress_mr_owner;
GRANT CREATE, USAGE ON SCHEMA mo2 TO regress_mr_owner;
GRANT USAGE ON SCHEMA mo TO regress_mr_owner;
GRANT SELECT ON pairs TO regress_mr_owner;
SET search_path = mo2, mo, public;
SELECT version, active FROM metricrec.train('films');
ALTER VIEW mo2.films_item_embedding RENAME TO movies_item_embedding;
ALTER VIEW mo2.films_user_embedding RENAME TO movies_user_embedding;
SELECT schema, model, active_version FROM metricrec.models WHERE schema = 'mo2';
SELECT version, active FROM metricrec.train('movies');
-- a new model of the old name: its version numbers pass over tables that are there
SELECT schema, model FROM metricrec.create_model('films', 'pairs', 'u', 'i', epochs => 1, dimensions => 4, user_tower => 'pooled');
SELECT version, active FROM metricrec.train('films');
SELECT item_table FROM metricrec.model_versions WHERE schema = 'mo2' ORDER BY 1;
SELECT metricrec.drop_model('films');
-- a name without the suffix is the model's name as it is
ALTER VIEW mo2.movies_item_embedding RENAME TO a_view_of_items_with_quite_a_long_name_that_is_too_long;
SELECT fails($$SELECT metricrec.train('a_view_of_items_with_quite_a_long_name_that_is_too_long')$$);
ALTER VIEW a_view_of_items_with_quite_a_long_name_that_is_too_long RENAME TO short;
SELECT model, version, active FROM metricrec.train('short');
ALTER VIEW short RENAME TO movies_item_embedding;
-- to another owner, with all that belongs to the model
ALTER VIEW movies_item_embedding OWNER TO regress_mr_owner;
ALTER VIEW movies_user_embedding OWNER TO regress_mr_owner;
SELECT format('ALTER TABLE %s OWNER TO regress_mr_owner; ALTER TABLE %s OWNER TO regress_mr_owner', user_table, item_table)
FROM metricrec.model_versions WHERE model = 'movies' AND state <> 'dropped' \gexec
SELECT model, owner FROM metricrec.models WHERE schema = 'mo2';
SET ROLE regress_mr_owner;
SELECT version, active FROM metricrec.train('movies');
RESET ROLE;
-- to another schema
CREATE SCHEMA mo3;
ALTER VIEW movies_item_embedding SET SCHEMA mo3;
ALTER VIEW movies_user_embedding SET SCHEMA mo3;
SELECT schema, model, active_version FROM metricrec.models WHERE model = 'movies';
SELECT fails($$SELECT metricrec.train('movies')$$);
GRANT CREATE, USAGE ON SCHEMA mo3 TO regress_mr_owner;
SELECT version, active FROM metricrec.train('movies');
SELECT item_table, pg_get_userbyid(relowner) FROM metricrec.model_versions v JOIN pg_class c ON c.oid = v.item_table
WHERE model = 'movies' AND state = 'active';

--
-- drop_model
--
SELECT fails($$SELECT metricrec.drop_model(NULL)$$);
SELECT fails($$SELECT metricrec.drop_model('no_such_model')$$);
CREATE VIEW dependent AS SELECT item_id FROM films_item_embedding;
SELECT fails($$SELECT metricrec.drop_model('films')$$);
DROP VIEW dependent;
SELECT metricrec.drop_model('films'), metricrec.drop_model('rated'), metricrec.drop_model('by_view'), metricrec.drop_model('movies');
SELECT count(*) FROM metricrec.models;
SELECT (SELECT count(*) FROM metricrec.model) AS models, (SELECT count(*) FROM metricrec.version) AS versions,
	(SELECT count(*) FROM metricrec.component) AS components, (SELECT count(*) FROM metricrec.epoch_log) AS epochs;
SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname IN ('mo', 'mo2', 'mo3') AND relname ~ 'embedding' ORDER BY 1;
SELECT fails($$SELECT metricrec.train()$$);
-- a view dropped by hand: the model is gone, its tables' names do not stand in the way of a new one
SET client_min_messages = error;
SELECT model FROM metricrec.create_model('films', 'likes', epochs => 1, dimensions => 4, user_tower => 'pooled');
SELECT version FROM metricrec.train('films');
DROP VIEW films_item_embedding, films_user_embedding;
SELECT count(*) FROM metricrec.models;
SELECT fails($$SELECT metricrec.train('films')$$);
SELECT model FROM metricrec.create_model('films', 'likes', epochs => 1, dimensions => 4, user_tower => 'pooled');
SELECT version, active FROM metricrec.train('films');
SELECT metricrec.drop_model('films');
-- nor do its rows stay in the catalogue
SELECT (SELECT count(*) FROM metricrec.model) AS models, (SELECT count(*) FROM metricrec.version) AS versions,
	(SELECT count(*) FROM metricrec.component) AS components, (SELECT count(*) FROM metricrec.epoch_log) AS epochs;

-- an event trigger that changes the tables of a version: an error, never rows of another shape
CREATE FUNCTION widen() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
	command record;
BEGIN
	FOR command IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE' LOOP
		EXECUTE format('ALTER TABLE %s ADD COLUMN made_by text DEFAULT current_user', command.object_identity);
	END LOOP;
END $$;
SELECT model FROM metricrec.create_model('films', 'likes', epochs => 1, dimensions => 4, user_tower => 'pooled');
CREATE EVENT TRIGGER regress_mr_widen ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION widen();
SELECT fails($$SELECT metricrec.train('films')$$);
DROP EVENT TRIGGER regress_mr_widen;
SELECT version, active FROM metricrec.train('films');
-- a view that was pointed at some other table by hand is taken back by the next version
CREATE OR REPLACE VIEW films_item_embedding AS
SELECT x.item_id, x.embedding, x.interactions FROM likes,
	LATERAL (SELECT 1 AS item_id, NULL::embedding AS embedding, 0::bigint AS interactions) x;
SELECT version, active FROM metricrec.train('films');
-- options that a superuser has spoilt
UPDATE metricrec.model SET options = '[1, 2]';
SELECT fails($$SELECT metricrec.train('films')$$);
UPDATE metricrec.model SET options = '{}';
-- a table that has the Oid of a version's table that was dropped by hand: not ours to drop
CREATE TABLE bystander (item_id int, interactions bigint);
SELECT version FROM metricrec.train('films');
DROP TABLE films_item_embedding_v3;
UPDATE metricrec.version SET item_table = 'bystander'::regclass WHERE version = 3;
SELECT fails($$SELECT metricrec.activate('films', 3)$$);
SELECT metricrec.drop_model('films');
SELECT count(*) FROM bystander;

-- inserted rows are compared by the equality of their own type, whatever schema that lies in
CREATE EXTENSION citext SCHEMA mo;
CREATE TABLE named (user_id citext, item_id citext);
INSERT INTO named SELECT 'User' || user_id, 'Item' || item_id FROM likes;
SELECT model FROM metricrec.create_model('named', 'named', epochs => 1, dimensions => 4, user_tower => 'pooled');
SELECT version FROM metricrec.train('named');
INSERT INTO named_item_embedding (item_id, embedding) VALUES ('NEW', '[1,0,0,0]');
INSERT INTO named SELECT 'User' || n, 'new' FROM generate_series(1, 3) n;
SELECT version, active FROM metricrec.train('named');
SELECT item_id, interactions FROM named_item_embedding WHERE item_id = 'neW';
SELECT metricrec.drop_model('named');
DROP TABLE named;

-- ids of an array type are refused
CREATE TABLE array_keys (user_id int[], item_id int);
SELECT fails($$SELECT metricrec.create_model('arrays', 'array_keys')$$);
DROP TABLE array_keys;

DROP PUBLICATION regress_mr_pub;
DROP SCHEMA mo, mo2, mo3 CASCADE;
DROP ROLE regress_mr_reader, "regress mr ""other""", regress_mr_owner;
