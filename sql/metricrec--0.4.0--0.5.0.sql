-- metricrec 0.4.0 -> 0.5.0: training quality and speed.

\echo Use "ALTER EXTENSION metricrec UPDATE TO '0.5.0'" to load this file. \quit

--
-- Hyper-parameters.
--
DROP FUNCTION metricrec.create_model(name, regclass, name, name, name, float8, name, name, name, regclass, regclass,
	int4, text, text, text, int4, int4, float8, boolean, float8, boolean, float8, boolean, int4, text, int4, float8, text, text, float8, float8, float8, text, text, int4[], text, float8, float8, float8, name[], name[], int4, int4, float8, float8, int8, float8, int4, boolean, int4);
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
	propensity_exponent float8 DEFAULT NULL,
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
	int4, text, text, text, int4, int4, float8, boolean, float8, boolean, float8, boolean, int4, text, int4, float8, text, text, float8, float8, float8, text, text, int4[], text, float8, float8, float8, name[], name[], int4, int4, float8, float8, int8, float8, int4, boolean, int4);
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
	propensity_exponent float8 DEFAULT NULL,
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
-- Background workers.
--
CREATE FUNCTION metricrec.check_workers(
	workers int4 DEFAULT NULL,
	shared_memory int4 DEFAULT 0,
	OUT workers_started int4, OUT barrier_microseconds float8)
AS 'MODULE_PATHNAME', 'mr_check_workers' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION metricrec.check_workers IS
	'starts that many background workers over that much shared memory, in kB, as a training would, and says how many came';

--
-- The answers of all users.
--
CREATE FUNCTION metricrec.recommend_all_rows(
	model name,
	k int4,
	exclude_seen boolean,
	users regclass,
	candidates regclass,
	OUT user_id text, OUT item_id text, OUT distance float8, OUT rank int4)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mr_recommend_all' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION metricrec.recommend_all_rows IS
	'what metricrec.recommend_all() calls, where it gives its rows one at a time';

-- The planner puts the body in the place of the call, so that rows come one by one and
-- whoever wants a few does not wait for all of them.
CREATE FUNCTION metricrec.recommend_all(
	model name DEFAULT NULL,
	k int4 DEFAULT 10,
	exclude_seen boolean DEFAULT true,
	users regclass DEFAULT NULL,
	candidates regclass DEFAULT NULL)
RETURNS TABLE (user_id text, item_id text, distance float8, rank int4)
LANGUAGE sql STABLE PARALLEL UNSAFE COST 1000000 ROWS 100000
BEGIN ATOMIC
	SELECT (s.answer).user_id, (s.answer).item_id, (s.answer).distance, (s.answer).rank
	FROM (SELECT metricrec.recommend_all_rows(model, k, exclude_seen, users, candidates) AS answer) s;
END;
COMMENT ON FUNCTION metricrec.recommend_all IS
	'the nearest items of every user, user by user; ids as text';

CREATE PROCEDURE metricrec.recommend_all_into(
	model name,
	k int4,
	table_name text,
	exclude_seen boolean DEFAULT true,
	users regclass DEFAULT NULL,
	candidates regclass DEFAULT NULL,
	if_exists text DEFAULT 'error',
	INOUT rows int8 DEFAULT NULL)
AS 'MODULE_PATHNAME', 'mr_recommend_all_into' LANGUAGE C;
COMMENT ON PROCEDURE metricrec.recommend_all_into IS
	'writes the nearest items of every user into a table with the model''s own types of ids';

--
-- Pictures.
--
CREATE FUNCTION metricrec.plot_training(
	model name DEFAULT NULL,
	version int4 DEFAULT NULL,
	width int4 DEFAULT 800,
	height int4 DEFAULT 560)
RETURNS text
AS 'MODULE_PATHNAME', 'mr_plot_training' LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION metricrec.plot_training IS 'the course of a training as a picture (SVG): loss and validation per epoch';

CREATE FUNCTION metricrec.plot_map(
	model name DEFAULT NULL,
	side text DEFAULT 'item',
	method text DEFAULT 'tsne',
	color text DEFAULT NULL,
	labels text DEFAULT NULL,
	max_labels int4 DEFAULT 40,
	max_points int4 DEFAULT 5000,
	sample text DEFAULT 'popular',
	perplexity float8 DEFAULT 30,
	clusters int4 DEFAULT NULL,
	seed int8 DEFAULT 1,
	width int4 DEFAULT 960,
	height int4 DEFAULT 720,
	title text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'mr_plot_map' LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000;
COMMENT ON FUNCTION metricrec.plot_map IS 'the points of a model as a picture (SVG), by t-SNE or principal components';
