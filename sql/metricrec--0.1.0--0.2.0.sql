-- metricrec 0.1.0 -> 0.2.0: interactions, models, training, queries, evaluation.

\echo Use "ALTER EXTENSION metricrec UPDATE TO '0.2.0'" to load this file. \quit

-- ---------------------------------------------------------------------------
-- The schema of the management functions and of the catalogue.
-- ---------------------------------------------------------------------------

CREATE SCHEMA metricrec;
GRANT USAGE ON SCHEMA metricrec TO PUBLIC;
COMMENT ON SCHEMA metricrec IS 'metricrec: models, training, evaluation';

-- The tables of the catalogue are written by the extension's C functions only,
-- after their own checks: no privilege is granted on them to anybody.

CREATE TABLE metricrec.model (
	model_id int4 PRIMARY KEY,
	item_view regclass NOT NULL UNIQUE,
	user_view regclass NOT NULL,
	interactions regclass NOT NULL,
	user_column name NOT NULL,
	item_column name NOT NULL,
	rating_column name,
	weight_column name,
	time_column name,
	min_rating float8,
	user_type regtype NOT NULL,
	item_type regtype NOT NULL,
	options jsonb NOT NULL,
	created timestamptz NOT NULL
);
COMMENT ON TABLE metricrec.model IS 'a row per model; written by metricrec.create_model and alter_model';

CREATE SEQUENCE metricrec.model_id_seq AS int4;
COMMENT ON SEQUENCE metricrec.model_id_seq IS 'numbers of metricrec.model';

CREATE TABLE metricrec.version (
	model_id int4 NOT NULL,
	version int4 NOT NULL,
	user_table regclass,
	item_table regclass,
	dimensions int4 NOT NULL,
	users int8 NOT NULL,
	items int8 NOT NULL,
	interactions int8 NOT NULL,
	epochs int4 NOT NULL,
	loss float8 NOT NULL,
	metrics jsonb,
	recipe jsonb NOT NULL,
	counts jsonb NOT NULL,
	duration interval NOT NULL,
	trained timestamptz NOT NULL,
	PRIMARY KEY (model_id, version)
);
COMMENT ON TABLE metricrec.version IS 'a row per trained version; written by metricrec.train and retrain';

CREATE TABLE metricrec.component (
	model_id int4 NOT NULL,
	version int4 NOT NULL,
	component name NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (model_id, version, component)
);
COMMENT ON TABLE metricrec.component IS 'weights of a version: a named byte string per component';

CREATE TABLE metricrec.epoch_log (
	model_id int4 NOT NULL,
	version int4 NOT NULL,
	step int4 NOT NULL,
	stage text NOT NULL,
	epoch int4 NOT NULL,
	loss float8 NOT NULL,
	ndcg float8,
	learning_rate float8 NOT NULL,
	positives int8 NOT NULL,
	negatives int8 NOT NULL,
	seconds float8 NOT NULL,
	logged timestamptz NOT NULL,
	PRIMARY KEY (model_id, version, step)
);
COMMENT ON TABLE metricrec.epoch_log IS 'a row per epoch of training; written by metricrec.train and retrain';

-- Not the rows of a model or version whose views or tables were dropped by hand:
-- their Oids would be dumped as numbers, which may be something else after a restore.
SELECT pg_catalog.pg_extension_config_dump('metricrec.model',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = item_view)');
SELECT pg_catalog.pg_extension_config_dump('metricrec.model_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('metricrec.version',
	'WHERE EXISTS (SELECT FROM metricrec.model m, pg_catalog.pg_class c WHERE m.model_id = version.model_id AND c.oid = m.item_view)'
	' AND (user_table IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = version.user_table))'
	' AND (item_table IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = version.item_table))');
SELECT pg_catalog.pg_extension_config_dump('metricrec.component',
	'WHERE EXISTS (SELECT FROM metricrec.model m, pg_catalog.pg_class c WHERE m.model_id = component.model_id AND c.oid = m.item_view)');
SELECT pg_catalog.pg_extension_config_dump('metricrec.epoch_log',
	'WHERE EXISTS (SELECT FROM metricrec.model m, pg_catalog.pg_class c WHERE m.model_id = epoch_log.model_id AND c.oid = m.item_view)');

-- ---------------------------------------------------------------------------
-- Views on the catalogue: what the caller may see of it.
-- ---------------------------------------------------------------------------

-- A model is visible to the members of its owner and to whoever may read its
-- item view.  Its name is that of the item view without the suffix.
CREATE VIEW metricrec.models WITH (security_barrier) AS
SELECT m.model_id,
	   n.nspname AS schema,
	   pg_catalog.regexp_replace(c.relname::pg_catalog.text, '_item_embedding$', '')::pg_catalog.name AS model,
	   pg_catalog.pg_get_userbyid(c.relowner) AS owner,
	   m.interactions,
	   m.user_column, m.item_column, m.rating_column, m.min_rating, m.weight_column, m.time_column,
	   m.user_type, m.item_type,
	   m.user_view AS user_embedding, m.item_view AS item_embedding,
	   m.options,
	   (SELECT v.version FROM metricrec.version v
		 WHERE v.model_id OPERATOR(pg_catalog.=) m.model_id
		   AND EXISTS (SELECT FROM pg_catalog.pg_depend d, pg_catalog.pg_rewrite r
						WHERE r.ev_class OPERATOR(pg_catalog.=) m.item_view::pg_catalog.oid
						  AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
						  AND d.objid OPERATOR(pg_catalog.=) r.oid
						  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
						  AND d.refobjid OPERATOR(pg_catalog.=) v.item_table::pg_catalog.oid)) AS active_version,
	   m.created
  FROM metricrec.model m
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) m.item_view::pg_catalog.oid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE')
	OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT');
COMMENT ON VIEW metricrec.models IS 'the models that the caller owns or may read';
COMMENT ON COLUMN metricrec.models.model_id IS 'number of the model inside the catalogue';
COMMENT ON COLUMN metricrec.models.schema IS 'schema of the item view';
COMMENT ON COLUMN metricrec.models.model IS 'name of the item view, without its suffix';
COMMENT ON COLUMN metricrec.models.owner IS 'owner of the item view';
COMMENT ON COLUMN metricrec.models.interactions IS 'relation that the model is trained on';
COMMENT ON COLUMN metricrec.models.user_column IS 'its column of user ids';
COMMENT ON COLUMN metricrec.models.item_column IS 'its column of item ids';
COMMENT ON COLUMN metricrec.models.rating_column IS 'its column of ratings, if named';
COMMENT ON COLUMN metricrec.models.min_rating IS 'lower ratings are seen, but not liked';
COMMENT ON COLUMN metricrec.models.weight_column IS 'its column of weights, if named';
COMMENT ON COLUMN metricrec.models.time_column IS 'its column of times, if named';
COMMENT ON COLUMN metricrec.models.user_type IS 'type of the user ids';
COMMENT ON COLUMN metricrec.models.item_type IS 'type of the item ids';
COMMENT ON COLUMN metricrec.models.user_embedding IS 'view of the users';
COMMENT ON COLUMN metricrec.models.item_embedding IS 'view of the items';
COMMENT ON COLUMN metricrec.models.options IS 'hyper-parameters that are set; the recipe chooses the others';
COMMENT ON COLUMN metricrec.models.active_version IS 'version that the views serve; null before the first training';
COMMENT ON COLUMN metricrec.models.created IS 'when the model was made';
GRANT SELECT ON metricrec.models TO PUBLIC;

CREATE VIEW metricrec.model_versions WITH (security_barrier) AS
SELECT m.schema, m.model, v.version,
	   CASE WHEN v.version OPERATOR(pg_catalog.=) m.active_version THEN 'active'
			WHEN v.item_table IS NULL THEN 'dropped'
			ELSE 'ready' END AS state,
	   v.user_table, v.item_table, v.dimensions, v.users, v.items, v.interactions,
	   v.epochs, v.loss, v.metrics, v.recipe, v.counts, v.duration, v.trained
  FROM metricrec.models m
  JOIN metricrec.version v USING (model_id);
COMMENT ON VIEW metricrec.model_versions IS 'the versions of the models that the caller may see';
COMMENT ON COLUMN metricrec.model_versions.schema IS 'schema of the model';
COMMENT ON COLUMN metricrec.model_versions.model IS 'name of the model';
COMMENT ON COLUMN metricrec.model_versions.version IS 'number of the version, from 1';
COMMENT ON COLUMN metricrec.model_versions.state IS 'active: served by the views; ready: its tables are there; dropped';
COMMENT ON COLUMN metricrec.model_versions.user_table IS 'table of the users, null once dropped';
COMMENT ON COLUMN metricrec.model_versions.item_table IS 'table of the items, null once dropped';
COMMENT ON COLUMN metricrec.model_versions.dimensions IS 'coordinates of a point';
COMMENT ON COLUMN metricrec.model_versions.users IS 'users with a positive';
COMMENT ON COLUMN metricrec.model_versions.items IS 'items with a positive';
COMMENT ON COLUMN metricrec.model_versions.interactions IS 'distinct positives';
COMMENT ON COLUMN metricrec.model_versions.epochs IS 'epochs of the training that gave the points';
COMMENT ON COLUMN metricrec.model_versions.loss IS 'mean loss per positive in the last epoch';
COMMENT ON COLUMN metricrec.model_versions.metrics IS 'of the validation; null without one';
COMMENT ON COLUMN metricrec.model_versions.recipe IS 'every hyper-parameter as it was used';
COMMENT ON COLUMN metricrec.model_versions.counts IS 'what became of the rows that were read';
COMMENT ON COLUMN metricrec.model_versions.duration IS 'time from beginning to swap';
COMMENT ON COLUMN metricrec.model_versions.trained IS 'when the version was made';
GRANT SELECT ON metricrec.model_versions TO PUBLIC;

CREATE VIEW metricrec.training_log WITH (security_barrier) AS
SELECT m.schema, m.model, e.version, e.step, e.stage, e.epoch, e.loss, e.ndcg,
	   e.learning_rate, e.positives, e.negatives, e.seconds, e.logged
  FROM metricrec.models m
  JOIN metricrec.epoch_log e USING (model_id);
COMMENT ON VIEW metricrec.training_log IS 'the epochs of training, a row each';
COMMENT ON COLUMN metricrec.training_log.schema IS 'schema of the model';
COMMENT ON COLUMN metricrec.training_log.model IS 'name of the model';
COMMENT ON COLUMN metricrec.training_log.version IS 'version that the run is for';
COMMENT ON COLUMN metricrec.training_log.step IS 'counts the rows of a run, from 1';
COMMENT ON COLUMN metricrec.training_log.stage IS 'validate pooled, validate free, or train';
COMMENT ON COLUMN metricrec.training_log.epoch IS 'epoch of the stage, from 1';
COMMENT ON COLUMN metricrec.training_log.loss IS 'mean loss per positive';
COMMENT ON COLUMN metricrec.training_log.ndcg IS 'at 10 on the validation split, where it was computed';
COMMENT ON COLUMN metricrec.training_log.learning_rate IS 'of the epoch';
COMMENT ON COLUMN metricrec.training_log.positives IS 'pairs visited';
COMMENT ON COLUMN metricrec.training_log.negatives IS 'distances to negatives computed';
COMMENT ON COLUMN metricrec.training_log.seconds IS 'duration of the epoch';
COMMENT ON COLUMN metricrec.training_log.logged IS 'when the row was written';
GRANT SELECT ON metricrec.training_log TO PUBLIC;

-- A run holds the lock (model_id, 1); its epoch is the sub-number of a second
-- lock, less 2.  So progress is seen by every session at once, needs no shared
-- memory, and is gone with the run, however that ends.
CREATE VIEW metricrec.training_progress WITH (security_barrier) AS
SELECT m.schema, m.model, r.pid, a.usename AS role,
	   CASE WHEN e.objsubid IS NULL THEN 'reading'
			WHEN e.objsubid OPERATOR(pg_catalog.=) 32767::pg_catalog.int2 THEN 'publishing'
			ELSE 'training' END AS phase,
	   CASE WHEN e.objsubid OPERATOR(pg_catalog.<) 32767::pg_catalog.int2
			THEN e.objsubid::pg_catalog.int4 OPERATOR(pg_catalog.-) 2 END AS epoch,
	   a.query_start AS started
  FROM metricrec.models m
  JOIN pg_catalog.pg_locks r
	ON r.locktype OPERATOR(pg_catalog.=) 'object'
   AND r.classid OPERATOR(pg_catalog.=) 'metricrec.model'::pg_catalog.regclass::pg_catalog.oid
   AND r.objid OPERATOR(pg_catalog.=) m.model_id::pg_catalog.oid
   AND r.objsubid OPERATOR(pg_catalog.=) 1::pg_catalog.int2
   AND r.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d
										   WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
  LEFT JOIN LATERAL
	   (SELECT pg_catalog.max(l.objsubid) AS objsubid
		  FROM pg_catalog.pg_locks l
		 WHERE l.locktype OPERATOR(pg_catalog.=) 'object'
		   AND l.database OPERATOR(pg_catalog.=) r.database
		   AND l.classid OPERATOR(pg_catalog.=) r.classid
		   AND l.objid OPERATOR(pg_catalog.=) r.objid
		   AND l.pid OPERATOR(pg_catalog.=) r.pid
		   AND l.objsubid OPERATOR(pg_catalog.>) 2::pg_catalog.int2) e ON true
  JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) r.pid;
COMMENT ON VIEW metricrec.training_progress IS 'the trainings that run now';
COMMENT ON COLUMN metricrec.training_progress.schema IS 'schema of the model';
COMMENT ON COLUMN metricrec.training_progress.model IS 'name of the model';
COMMENT ON COLUMN metricrec.training_progress.pid IS 'process that trains';
COMMENT ON COLUMN metricrec.training_progress.role IS 'who trains';
COMMENT ON COLUMN metricrec.training_progress.phase IS 'reading, training or publishing';
COMMENT ON COLUMN metricrec.training_progress.epoch IS 'step of training_log that was written last; null before the first';
COMMENT ON COLUMN metricrec.training_progress.started IS 'when the statement began';
GRANT SELECT ON metricrec.training_progress TO PUBLIC;

-- The trigger on the two views of every model; see src/store/view_insert.c.
CREATE FUNCTION metricrec.insert_embedding() RETURNS trigger
AS 'MODULE_PATHNAME', 'mr_insert_embedding' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.insert_embedding IS
	'trigger of the views of a model: an inserted row goes to the served version';

-- ---------------------------------------------------------------------------
-- Models and their training.
-- ---------------------------------------------------------------------------

-- The hyper-parameters stand in the order of the table in src/train/options.c.
CREATE FUNCTION metricrec.create_model(
	name name,
	interactions regclass,
	user_column name DEFAULT 'user_id',
	item_column name DEFAULT 'item_id',
	rating_column name DEFAULT NULL,
	min_rating float8 DEFAULT NULL,
	weight_column name DEFAULT NULL,
	time_column name DEFAULT NULL,
	dimensions int4 DEFAULT NULL,
	preset text DEFAULT NULL,
	loss text DEFAULT NULL,
	user_tower text DEFAULT NULL,
	epochs int4 DEFAULT NULL,
	batch_size int4 DEFAULT NULL,
	learning_rate float8 DEFAULT NULL,
	learning_rate_decay boolean DEFAULT NULL,
	temperature float8 DEFAULT NULL,
	item_bias boolean DEFAULT NULL,
	margin float8 DEFAULT NULL,
	rank_weight boolean DEFAULT NULL,
	negatives int4 DEFAULT NULL,
	negative_sampling text DEFAULT NULL,
	negative_candidates int4 DEFAULT NULL,
	popularity_exponent float8 DEFAULT NULL,
	norm_constraint text DEFAULT NULL,
	optimizer text DEFAULT NULL,
	covariance_regularization float8 DEFAULT NULL,
	weight_decay float8 DEFAULT NULL,
	propagation float8 DEFAULT NULL,
	seed int8 DEFAULT NULL,
	validation_fraction float8 DEFAULT NULL,
	patience int4 DEFAULT NULL,
	refit boolean DEFAULT NULL,
	keep_versions int4 DEFAULT NULL,
	OUT schema name, OUT model name, OUT user_embedding regclass, OUT item_embedding regclass)
AS 'MODULE_PATHNAME', 'mr_create_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.create_model IS
	'makes a model of a table of interactions; hyper-parameters that are null are chosen by the recipe';

CREATE FUNCTION metricrec.alter_model(
	name name,
	reset name[] DEFAULT NULL,
	dimensions int4 DEFAULT NULL,
	preset text DEFAULT NULL,
	loss text DEFAULT NULL,
	user_tower text DEFAULT NULL,
	epochs int4 DEFAULT NULL,
	batch_size int4 DEFAULT NULL,
	learning_rate float8 DEFAULT NULL,
	learning_rate_decay boolean DEFAULT NULL,
	temperature float8 DEFAULT NULL,
	item_bias boolean DEFAULT NULL,
	margin float8 DEFAULT NULL,
	rank_weight boolean DEFAULT NULL,
	negatives int4 DEFAULT NULL,
	negative_sampling text DEFAULT NULL,
	negative_candidates int4 DEFAULT NULL,
	popularity_exponent float8 DEFAULT NULL,
	norm_constraint text DEFAULT NULL,
	optimizer text DEFAULT NULL,
	covariance_regularization float8 DEFAULT NULL,
	weight_decay float8 DEFAULT NULL,
	propagation float8 DEFAULT NULL,
	seed int8 DEFAULT NULL,
	validation_fraction float8 DEFAULT NULL,
	patience int4 DEFAULT NULL,
	refit boolean DEFAULT NULL,
	keep_versions int4 DEFAULT NULL,
	OUT model name, OUT options jsonb)
AS 'MODULE_PATHNAME', 'mr_alter_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.alter_model IS
	'sets hyper-parameters of a model for its next training; "reset" names those that the recipe shall choose again';

CREATE FUNCTION metricrec.drop_model(name name) RETURNS boolean
AS 'MODULE_PATHNAME', 'mr_drop_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.drop_model IS 'drops a model, its views and all of its versions';

CREATE FUNCTION metricrec.train(
	name name DEFAULT NULL,
	OUT model name, OUT version int4, OUT active boolean, OUT epochs int4, OUT loss float8, OUT metrics jsonb,
	OUT users int8, OUT items int8, OUT interactions int8, OUT counts jsonb, OUT duration interval, OUT recipe jsonb,
	OUT advice text)
AS 'MODULE_PATHNAME', 'mr_train' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.train IS 'trains a new version of a model and serves it, in one transaction';

CREATE PROCEDURE metricrec.retrain(name name DEFAULT NULL)
AS 'MODULE_PATHNAME', 'mr_retrain' LANGUAGE C;
COMMENT ON PROCEDURE metricrec.retrain IS
	'trains a new version of a model and serves it; commits between reading, computing and publishing, for scheduled jobs';

CREATE FUNCTION metricrec.activate(
	name name, version int4,
	OUT model name, OUT active_version int4, OUT previous_version int4)
AS 'MODULE_PATHNAME', 'mr_activate' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.activate IS 'serves another version of a model: roll back or forward';

-- ---------------------------------------------------------------------------
-- Queries: in the extension's schema, so that recommend(42) works unqualified.
--
-- Two forms of each: bigint ids for models whose keys are integers, text for
-- the text of any id.  An untyped literal or parameter takes the text form, as
-- text is the preferred type of its category.  They read through SPI, hence
-- PARALLEL RESTRICTED: the interactions may be a temporary table.
-- ---------------------------------------------------------------------------
CREATE FUNCTION recommend(
	user_id bigint,
	k int DEFAULT 10,
	model name DEFAULT NULL,
	exclude_seen boolean DEFAULT true,
	candidates regclass DEFAULT NULL,
	diversity float8 DEFAULT 0)
RETURNS TABLE(item_id bigint, distance float8)
AS 'MODULE_PATHNAME', 'mr_recommend_bigint'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION recommend(bigint, int, name, boolean, regclass, float8) IS
	'the k items nearest to a user, nearest first';

CREATE FUNCTION recommend(
	user_id text,
	k int DEFAULT 10,
	model name DEFAULT NULL,
	exclude_seen boolean DEFAULT true,
	candidates regclass DEFAULT NULL,
	diversity float8 DEFAULT 0)
RETURNS TABLE(item_id text, distance float8)
AS 'MODULE_PATHNAME', 'mr_recommend_text'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION recommend(text, int, name, boolean, regclass, float8) IS
	'the k items nearest to a user, nearest first';

CREATE FUNCTION recommend_for_items(
	item_ids bigint[],
	k int DEFAULT 10,
	model name DEFAULT NULL,
	exclude_seen boolean DEFAULT true,
	candidates regclass DEFAULT NULL,
	diversity float8 DEFAULT 0)
RETURNS TABLE(item_id bigint, distance float8)
AS 'MODULE_PATHNAME', 'mr_recommend_for_items_bigint'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION recommend_for_items(bigint[], int, name, boolean, regclass, float8) IS
	'the k items for a user who likes the given ones, and need not be in the model';

CREATE FUNCTION recommend_for_items(
	item_ids text[],
	k int DEFAULT 10,
	model name DEFAULT NULL,
	exclude_seen boolean DEFAULT true,
	candidates regclass DEFAULT NULL,
	diversity float8 DEFAULT 0)
RETURNS TABLE(item_id text, distance float8)
AS 'MODULE_PATHNAME', 'mr_recommend_for_items_text'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION recommend_for_items(text[], int, name, boolean, regclass, float8) IS
	'the k items for a user who likes the given ones, and need not be in the model';

CREATE FUNCTION similar_items(
	item_id bigint,
	k int DEFAULT 10,
	model name DEFAULT NULL)
RETURNS TABLE(item_id bigint, distance float8)
AS 'MODULE_PATHNAME', 'mr_similar_items_bigint'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION similar_items(bigint, int, name) IS
	'the k items nearest to an item';

CREATE FUNCTION similar_items(
	item_id text,
	k int DEFAULT 10,
	model name DEFAULT NULL)
RETURNS TABLE(item_id text, distance float8)
AS 'MODULE_PATHNAME', 'mr_similar_items_text'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION similar_items(text, int, name) IS
	'the k items nearest to an item';

CREATE FUNCTION similar_users(
	user_id bigint,
	k int DEFAULT 10,
	model name DEFAULT NULL)
RETURNS TABLE(user_id bigint, distance float8)
AS 'MODULE_PATHNAME', 'mr_similar_users_bigint'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION similar_users(bigint, int, name) IS
	'the k users nearest to a user';

CREATE FUNCTION similar_users(
	user_id text,
	k int DEFAULT 10,
	model name DEFAULT NULL)
RETURNS TABLE(user_id text, distance float8)
AS 'MODULE_PATHNAME', 'mr_similar_users_text'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION similar_users(text, int, name) IS
	'the k users nearest to a user';

CREATE FUNCTION explain_recommendation(
	user_id bigint,
	item_id bigint,
	k int DEFAULT 10,
	model name DEFAULT NULL)
RETURNS TABLE(item_id bigint, distance float8)
AS 'MODULE_PATHNAME', 'mr_explain_recommendation_bigint'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION explain_recommendation(bigint, bigint, int, name) IS
	'the items liked by the user that are nearest to a recommended item';

CREATE FUNCTION explain_recommendation(
	user_id text,
	item_id text,
	k int DEFAULT 10,
	model name DEFAULT NULL)
RETURNS TABLE(item_id text, distance float8)
AS 'MODULE_PATHNAME', 'mr_explain_recommendation_text'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION explain_recommendation(text, text, int, name) IS
	'the items liked by the user that are nearest to a recommended item';


-- ---------------------------------------------------------------------------
-- Evaluation.
-- ---------------------------------------------------------------------------

CREATE FUNCTION metricrec.evaluate(
	name name DEFAULT NULL,
	test regclass DEFAULT NULL,
	k int4[] DEFAULT '{5,10,20}',
	candidates regclass DEFAULT NULL,
	exclude regclass DEFAULT NULL,
	OUT metric text, OUT k int4, OUT value float8)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mr_evaluate' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 30;
COMMENT ON FUNCTION metricrec.evaluate IS
	'ranking metrics of a model on held-out interactions; without any, of its recipe on one held-out interaction per user';

-- ---------------------------------------------------------------------------
-- Training and test tables.
-- ---------------------------------------------------------------------------

CREATE FUNCTION metricrec.split(
	interactions regclass,
	method text DEFAULT 'random',
	fraction float8 DEFAULT 0.2,
	seed int8 DEFAULT 0,
	user_column name DEFAULT 'user_id',
	item_column name DEFAULT 'item_id',
	time_column name DEFAULT NULL,
	train name DEFAULT NULL,
	test name DEFAULT NULL,
	OUT train regclass,
	OUT test regclass,
	OUT train_rows int8,
	OUT test_rows int8)
	RETURNS record
	AS 'MODULE_PATHNAME', 'mr_split'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.split(regclass, text, float8, int8, name, name, name, name, name) IS
'makes a training and a test table of interactions: method random, temporal or leave_last_out';
