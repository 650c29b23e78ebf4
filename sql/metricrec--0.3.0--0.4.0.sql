-- metricrec 0.3.0 -> 0.4.0: features of users and items, towers over them, tags.

\echo Use "ALTER EXTENSION metricrec UPDATE TO '0.4.0'" to load this file. \quit

--
-- The catalogue: feature tables and tags of a model.
--
ALTER TABLE metricrec.model
	ADD COLUMN user_features regclass,
	ADD COLUMN item_features regclass,
	ADD COLUMN tag_column name,
	ADD COLUMN tag_type regtype,
	ADD COLUMN tag_view regclass;
ALTER TABLE metricrec.version
	ADD COLUMN tag_table regclass,
	ADD COLUMN tags int8;

SELECT pg_catalog.pg_extension_config_dump('metricrec.version',
	'WHERE EXISTS (SELECT FROM metricrec.model m, pg_catalog.pg_class c WHERE m.model_id = version.model_id AND c.oid = m.item_view)'
	' AND (user_table IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = version.user_table))'
	' AND (item_table IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = version.item_table))'
	' AND (tag_table IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = version.tag_table))');

CREATE OR REPLACE VIEW metricrec.models WITH (security_barrier) AS
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
	   m.created,
	   m.user_features, m.item_features,
	   m.tag_column, m.tag_type, m.tag_view AS tag_embedding
  FROM metricrec.model m
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) m.item_view::pg_catalog.oid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE')
	OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT');
COMMENT ON COLUMN metricrec.models.user_features IS 'relation of features of the users, if named';
COMMENT ON COLUMN metricrec.models.item_features IS 'relation of features of the items, if named';
COMMENT ON COLUMN metricrec.models.tag_column IS 'column of tags of the interactions, if named';
COMMENT ON COLUMN metricrec.models.tag_type IS 'type of the tags';
COMMENT ON COLUMN metricrec.models.tag_embedding IS 'view of the tags';

CREATE OR REPLACE VIEW metricrec.model_versions WITH (security_barrier) AS
SELECT m.schema, m.model, v.version,
	   CASE WHEN v.version OPERATOR(pg_catalog.=) m.active_version THEN 'active'
			WHEN v.item_table IS NULL THEN 'dropped'
			ELSE 'ready' END AS state,
	   v.user_table, v.item_table, v.dimensions, v.users, v.items, v.interactions,
	   v.epochs, v.loss, v.metrics, v.recipe, v.counts, v.duration, v.trained,
	   v.tag_table, v.tags
  FROM metricrec.models m
  JOIN metricrec.version v USING (model_id);
COMMENT ON COLUMN metricrec.model_versions.tag_table IS 'table of the tags, null once dropped, or without tags';
COMMENT ON COLUMN metricrec.model_versions.tags IS 'tags of a model with tags';

--
-- Arguments for features and tags.
--
DROP FUNCTION metricrec.create_model(name, regclass, name, name, name, float8, name, name,
	int4, text, text, text, int4, int4, float8, boolean, float8, boolean, float8, boolean, int4, text, int4, float8, text, text, float8, float8, float8, int8, float8, int4, boolean, int4);
-- The hyper-parameters stand in the order of the table in src/train/options.c.
CREATE FUNCTION metricrec.create_model(
	name name,
	interactions regclass,
	user_column name DEFAULT 'user_id',
	item_column name DEFAULT 'item_id',
	rating_column name DEFAULT NULL,
	min_rating float8 DEFAULT NULL,
	weight_column name DEFAULT NULL,
	tag_column name DEFAULT NULL,
	time_column name DEFAULT NULL,
	user_features regclass DEFAULT NULL,
	item_features regclass DEFAULT NULL,
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
	item_combination text DEFAULT NULL,
	user_combination text DEFAULT NULL,
	hidden_layers int4[] DEFAULT NULL,
	activation text DEFAULT NULL,
	dropout float8 DEFAULT NULL,
	id_dropout float8 DEFAULT NULL,
	feature_regularization float8 DEFAULT NULL,
	item_word_columns name[] DEFAULT NULL,
	user_word_columns name[] DEFAULT NULL,
	min_feature_count int4 DEFAULT NULL,
	max_vocabulary int4 DEFAULT NULL,
	tag_weight float8 DEFAULT NULL,
	tag_temperature float8 DEFAULT NULL,
	seed int8 DEFAULT NULL,
	validation_fraction float8 DEFAULT NULL,
	patience int4 DEFAULT NULL,
	refit boolean DEFAULT NULL,
	keep_versions int4 DEFAULT NULL,
	OUT schema name, OUT model name, OUT user_embedding regclass, OUT item_embedding regclass)
AS 'MODULE_PATHNAME', 'mr_create_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.create_model IS
	'makes a model of a table of interactions; hyper-parameters that are null are chosen by the recipe';

DROP FUNCTION metricrec.alter_model(name, name[],
	int4, text, text, text, int4, int4, float8, boolean, float8, boolean, float8, boolean, int4, text, int4, float8, text, text, float8, float8, float8, int8, float8, int4, boolean, int4);
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
	item_combination text DEFAULT NULL,
	user_combination text DEFAULT NULL,
	hidden_layers int4[] DEFAULT NULL,
	activation text DEFAULT NULL,
	dropout float8 DEFAULT NULL,
	id_dropout float8 DEFAULT NULL,
	feature_regularization float8 DEFAULT NULL,
	item_word_columns name[] DEFAULT NULL,
	user_word_columns name[] DEFAULT NULL,
	min_feature_count int4 DEFAULT NULL,
	max_vocabulary int4 DEFAULT NULL,
	tag_weight float8 DEFAULT NULL,
	tag_temperature float8 DEFAULT NULL,
	seed int8 DEFAULT NULL,
	validation_fraction float8 DEFAULT NULL,
	patience int4 DEFAULT NULL,
	refit boolean DEFAULT NULL,
	keep_versions int4 DEFAULT NULL,
	OUT model name, OUT options jsonb)
AS 'MODULE_PATHNAME', 'mr_alter_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.alter_model IS
	'sets hyper-parameters of a model for its next training; "reset" names those that the recipe shall choose again';

--
-- Points of new users and items, from their features.
--
CREATE FUNCTION metricrec.embed_item(model name, features jsonb) RETURNS @extschema@.embedding
AS 'MODULE_PATHNAME', 'mr_embed_item' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION metricrec.embed_item IS 'point of an item that was not trained, from its features';

CREATE FUNCTION metricrec.embed_user(model name, features jsonb) RETURNS @extschema@.embedding
AS 'MODULE_PATHNAME', 'mr_embed_user' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION metricrec.embed_user IS 'point of a user who was not trained, from the features';

CREATE FUNCTION metricrec.refresh_items(model name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'mr_refresh_items' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.refresh_items IS 'gives a point to every row of the item features that has none; how many';

CREATE FUNCTION metricrec.refresh_users(model name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'mr_refresh_users' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.refresh_users IS 'gives a point to every row of the user features that has none; how many';

CREATE FUNCTION metricrec.embed_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'mr_embed_changed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.embed_changed IS 'trigger of metricrec.attach: a row of a feature table gets its point';

CREATE FUNCTION metricrec.attach(model name DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'mr_attach' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.attach IS 'triggers on the feature tables of a model, so that new rows have a point at once; how many';

CREATE FUNCTION metricrec.detach(model name DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'mr_detach' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.detach IS 'drops the triggers of metricrec.attach; how many feature tables have none now';


--
-- Features.
--
CREATE FUNCTION metricrec.describe_features(
	features regclass,
	key_column name,
	word_columns name[] DEFAULT '{}',
	min_count integer DEFAULT 3,
	max_vocabulary integer DEFAULT 50000)
	RETURNS TABLE (
		"column" name,
		type text,
		encoding text,
		columns integer,
		distinct_values bigint,
		nulls bigint,
		mean double precision,
		deviation double precision,
		note text)
	AS 'MODULE_PATHNAME', 'mr_describe_features' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION metricrec.describe_features(regclass, name, name[], integer, integer) IS 'how the columns of a feature table would become numbers';

--
-- Tags.  Two forms, as of the other query functions: item and user have bigint
-- ids, or the text of any; tags are always text.
--
CREATE FUNCTION recommend_tags(
	item_id bigint,
	k int DEFAULT 10,
	user_id bigint DEFAULT NULL,
	model name DEFAULT NULL,
	exclude_given boolean DEFAULT true)
RETURNS TABLE(tag text, distance float8)
AS 'MODULE_PATHNAME', 'mr_recommend_tags_bigint'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION recommend_tags(bigint, int, bigint, name, boolean) IS
	'the k tags that a user, or anybody, is most likely to give an item';

CREATE FUNCTION recommend_tags(
	item_id text,
	k int DEFAULT 10,
	user_id text DEFAULT NULL,
	model name DEFAULT NULL,
	exclude_given boolean DEFAULT true)
RETURNS TABLE(tag text, distance float8)
AS 'MODULE_PATHNAME', 'mr_recommend_tags_text'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION recommend_tags(text, int, text, name, boolean) IS
	'the k tags that a user, or anybody, is most likely to give an item';
