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
	algorithm text DEFAULT NULL,
	preset text DEFAULT NULL,
	loss text DEFAULT NULL,
	user_tower text DEFAULT NULL,
	start text DEFAULT NULL,
	recency float8 DEFAULT NULL,
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
	als_unobserved_weight float8 DEFAULT NULL,
	als_regularization float8 DEFAULT NULL,
	als_solver text DEFAULT NULL,
	seed int8 DEFAULT NULL,
	num_workers int4 DEFAULT NULL,
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
	algorithm text DEFAULT NULL,
	preset text DEFAULT NULL,
	loss text DEFAULT NULL,
	user_tower text DEFAULT NULL,
	start text DEFAULT NULL,
	recency float8 DEFAULT NULL,
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
	als_unobserved_weight float8 DEFAULT NULL,
	als_regularization float8 DEFAULT NULL,
	als_solver text DEFAULT NULL,
	seed int8 DEFAULT NULL,
	num_workers int4 DEFAULT NULL,
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
AS 'MODULE_PATHNAME', 'mr_check_workers' LANGUAGE C VOLATILE PARALLEL UNSAFE;
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
-- Warm start.
--
DROP FUNCTION metricrec.train(name);
CREATE FUNCTION metricrec.train(
	name name DEFAULT NULL,
	warm_start boolean DEFAULT false,
	OUT model name, OUT version int4, OUT active boolean, OUT epochs int4, OUT loss float8, OUT metrics jsonb,
	OUT users int8, OUT items int8, OUT interactions int8, OUT counts jsonb, OUT duration interval, OUT recipe jsonb,
	OUT advice text)
AS 'MODULE_PATHNAME', 'mr_train' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION metricrec.train IS
	'trains a new version of a model and serves it, in one transaction; "warm_start" starts from the active version';

DROP PROCEDURE metricrec.retrain(name);
CREATE PROCEDURE metricrec.retrain(name name DEFAULT NULL, warm_start boolean DEFAULT false)
AS 'MODULE_PATHNAME', 'mr_retrain' LANGUAGE C;
COMMENT ON PROCEDURE metricrec.retrain IS
	'trains a new version of a model and serves it; commits between reading, computing and publishing, for scheduled jobs';

--
-- Tuning.
--
CREATE TABLE metricrec.search (
	model_id int4 NOT NULL,
	search int4 NOT NULL,
	method text NOT NULL,
	metric text NOT NULL,
	k int4 NOT NULL,
	seed int8 NOT NULL,
	space jsonb NOT NULL,
	trials int4 NOT NULL,
	users int8 NOT NULL,
	role name NOT NULL,
	started timestamptz NOT NULL,
	duration interval,
	applied boolean,
	PRIMARY KEY (model_id, search)
);
COMMENT ON TABLE metricrec.search IS 'a row per search for hyper-parameters; written by metricrec.tune and retune';

CREATE TABLE metricrec.trial (
	model_id int4 NOT NULL,
	search int4 NOT NULL,
	trial int4 NOT NULL,
	rung int4 NOT NULL,
	epochs int4 NOT NULL,
	options jsonb NOT NULL,
	value float8,
	checked float8,
	seconds float8 NOT NULL,
	best boolean NOT NULL,
	PRIMARY KEY (model_id, search, trial, rung)
);
COMMENT ON TABLE metricrec.trial IS 'a row per training of a search; written by metricrec.tune and retune';

SELECT pg_catalog.pg_extension_config_dump('metricrec.search',
	'WHERE EXISTS (SELECT FROM metricrec.model m, pg_catalog.pg_class c WHERE m.model_id = search.model_id AND c.oid = m.item_view)');
SELECT pg_catalog.pg_extension_config_dump('metricrec.trial',
	'WHERE EXISTS (SELECT FROM metricrec.model m, pg_catalog.pg_class c WHERE m.model_id = trial.model_id AND c.oid = m.item_view)');

CREATE VIEW metricrec.tuning_searches WITH (security_barrier) AS
SELECT m.schema, m.model, s.search, s.method, s.metric, s.k, s.seed, s.space, s.trials, s.users,
	   s.role, s.started, s.duration, s.applied
  FROM metricrec.models m
  JOIN metricrec.search s USING (model_id);
COMMENT ON VIEW metricrec.tuning_searches IS 'the searches for hyper-parameters, a row per call of metricrec.tune or retune';
COMMENT ON COLUMN metricrec.tuning_searches.schema IS 'schema of the model';
COMMENT ON COLUMN metricrec.tuning_searches.model IS 'name of the model';
COMMENT ON COLUMN metricrec.tuning_searches.search IS 'number of the search, from 1';
COMMENT ON COLUMN metricrec.tuning_searches.method IS 'halving or random';
COMMENT ON COLUMN metricrec.tuning_searches.metric IS 'what the trials are judged by';
COMMENT ON COLUMN metricrec.tuning_searches.k IS 'length of the lists that the metric looks at';
COMMENT ON COLUMN metricrec.tuning_searches.seed IS 'of the drawing of trials';
COMMENT ON COLUMN metricrec.tuning_searches.space IS 'what was searched: lists and ranges by hyper-parameter';
COMMENT ON COLUMN metricrec.tuning_searches.trials IS 'trials that were planned, the first counted';
COMMENT ON COLUMN metricrec.tuning_searches.users IS 'users of the validation split';
COMMENT ON COLUMN metricrec.tuning_searches.role IS 'who searched';
COMMENT ON COLUMN metricrec.tuning_searches.started IS 'when the first trial began';
COMMENT ON COLUMN metricrec.tuning_searches.duration IS 'of the whole search; null if it did not come to its end';
COMMENT ON COLUMN metricrec.tuning_searches.applied IS 'the best options were set on the model';
GRANT SELECT ON metricrec.tuning_searches TO PUBLIC;

CREATE VIEW metricrec.tuning_trials WITH (security_barrier) AS
SELECT m.schema, m.model, t.search, t.trial, t.rung, t.epochs, t.options, t.value, t.checked, t.seconds, t.best
  FROM metricrec.models m
  JOIN metricrec.trial t USING (model_id);
COMMENT ON VIEW metricrec.tuning_trials IS 'the trials of the searches for hyper-parameters, a row per training';
COMMENT ON COLUMN metricrec.tuning_trials.schema IS 'schema of the model';
COMMENT ON COLUMN metricrec.tuning_trials.model IS 'name of the model';
COMMENT ON COLUMN metricrec.tuning_trials.search IS 'number of the search';
COMMENT ON COLUMN metricrec.tuning_trials.trial IS 'number of the trial; 1 is the model as it stood';
COMMENT ON COLUMN metricrec.tuning_trials.rung IS 'from 1; on the last one a trial is trained for all of its epochs';
COMMENT ON COLUMN metricrec.tuning_trials.epochs IS 'epochs of the training that gave the value';
COMMENT ON COLUMN metricrec.tuning_trials.options IS 'hyper-parameters that the trial sets beside those of the model';
COMMENT ON COLUMN metricrec.tuning_trials.value IS 'of the metric on the validation split; null if the training diverged';
COMMENT ON COLUMN metricrec.tuning_trials.checked IS 'the same on a second split; of trial 1 and of the best other one';
COMMENT ON COLUMN metricrec.tuning_trials.seconds IS 'of training and validation';
COMMENT ON COLUMN metricrec.tuning_trials.best IS 'this is the trial that was taken';
GRANT SELECT ON metricrec.tuning_trials TO PUBLIC;

CREATE FUNCTION metricrec.tune(
	name name DEFAULT NULL,
	trials int4 DEFAULT NULL,
	time_limit interval DEFAULT NULL,
	metric text DEFAULT NULL,
	k int4 DEFAULT 10,
	space jsonb DEFAULT NULL,
	apply boolean DEFAULT true,
	seed int8 DEFAULT 1,
	method text DEFAULT 'halving')
RETURNS TABLE(search int4, trial int4, rung int4, epochs int4, options jsonb, value float8, checked float8,
	seconds float8, best boolean)
AS 'MODULE_PATHNAME', 'mr_tune' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 40;
COMMENT ON FUNCTION metricrec.tune IS
	'tries hyper-parameters of a model on a validation split, sets the best, and returns the trials';

CREATE PROCEDURE metricrec.retune(
	name name DEFAULT NULL,
	trials int4 DEFAULT NULL,
	time_limit interval DEFAULT NULL,
	metric text DEFAULT NULL,
	k int4 DEFAULT 10,
	space jsonb DEFAULT NULL,
	apply boolean DEFAULT true,
	seed int8 DEFAULT 1,
	method text DEFAULT 'halving')
AS 'MODULE_PATHNAME', 'mr_retune' LANGUAGE C;
COMMENT ON PROCEDURE metricrec.retune IS
	'the same as metricrec.tune, with a commit after every epoch and trial, for long searches';

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

--
-- Comparison with other recommenders.
--
CREATE FUNCTION metricrec.compare(
	name name DEFAULT NULL,
	test regclass DEFAULT NULL,
	k int4[] DEFAULT '{5,10,20}',
	candidates regclass DEFAULT NULL,
	exclude regclass DEFAULT NULL,
	recommenders text[] DEFAULT '{model,popularity,item_knn,als,bpr}',
	OUT recommender text, OUT metric text, OUT k int4, OUT value float8)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'mr_compare' LANGUAGE C STABLE PARALLEL UNSAFE ROWS 135;
COMMENT ON FUNCTION metricrec.compare IS
	'ranking metrics of a model beside popularity, item-based nearest neighbours, ALS and BPR, on the same held-out interactions';
