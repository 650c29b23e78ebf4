--
-- metricrec.tune: which trials there are, in what the budget is kept, what is
-- set in the end, what is refused.  Values differ between machines: only what must
-- hold of them everywhere is printed.
--
CREATE SCHEMA tu;
SET search_path = tu, public;
SET client_min_messages = error;
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
CREATE TABLE likes (user_id int, item_id int);
INSERT INTO likes
SELECT u, i
FROM generate_series(1, 120) u, generate_series(1, 60) i
WHERE (u <= 60) = (i <= 30) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 4;
CREATE INDEX likes_user ON likes (user_id);

--
-- The default space, halving
--
SELECT model FROM metricrec.create_model('m', 'likes', dimensions => 8, seed => 7);
CREATE TEMP TABLE t AS SELECT * FROM metricrec.tune('m', trials => 12, apply => false);
-- trial 1 whole; eleven more for a third of the epochs; four of these whole
SELECT rung, count(*) AS trainings, count(DISTINCT trial) AS trials, bool_and(trial > 1) AS others FROM t WHERE trial > 1 GROUP BY rung ORDER BY rung;
SELECT rung, options, epochs = (SELECT max(epoch) FROM metricrec.training_log WHERE model = 'm' AND version = 0 AND stage = 'tune 1/12') AS whole
FROM t WHERE trial = 1;
SELECT bool_and(value BETWEEN 0 AND 1 AND seconds > 0 AND epochs > 0) AS filled, count(*) FILTER (WHERE best) AS best FROM t;
-- those that go on are the best of the first rung
SELECT min(value) FILTER (WHERE on_top) >= max(value) FILTER (WHERE NOT on_top) AS best_third_goes_on
FROM (SELECT value, trial IN (SELECT trial FROM t WHERE rung = 2) AS on_top FROM t WHERE trial > 1 AND rung = 1) x;
-- the best is the best of those trained whole, unless the second split objects
SELECT CASE WHEN (SELECT trial FROM t WHERE best) = 1
	THEN count(*) FILTER (WHERE checked IS NOT NULL) = 0 OR bool_or(trial = 1 AND checked IS NOT NULL)
	ELSE (SELECT value FROM t WHERE best) = max(value) FILTER (WHERE rung = 2)
		AND (SELECT checked FROM t WHERE best) > (SELECT checked FROM t WHERE trial = 1) END AS best_is_best
FROM t;
-- the axes, and that every trial has each of them within its bounds
SELECT key, jsonb_typeof(value) AS kind FROM metricrec.tuning_searches, jsonb_each(space) WHERE model = 'm' ORDER BY key;
SELECT bool_and(CASE jsonb_typeof(s.value)
		WHEN 'array' THEN s.value @> (t.options -> s.key)
		ELSE s.value ->> 'of' = 'recipe' AND (t.options ->> s.key)::numeric > 0 END) AS in_space
FROM t, metricrec.tuning_searches u, jsonb_each(u.space) s WHERE t.trial > 1;
-- the trials are different ones
SELECT count(DISTINCT options) = count(DISTINCT trial) AS different FROM t;
-- nothing was set
SELECT options FROM metricrec.models WHERE model = 'm';

-- the catalogue says the same, and more
SELECT count(*) AS rows, bool_and(c.value = t.value AND c.best = t.best AND c.checked IS NOT DISTINCT FROM t.checked AND c.epochs = t.epochs) AS same
FROM t JOIN metricrec.tuning_trials c USING (search, trial, rung, options) WHERE model = 'm';
SELECT search, method, metric, k, seed, trials, users = 120 AS all_users, role = current_user AS by_me, started <= now() AS started,
	duration > interval '0' AS took_time, applied
FROM metricrec.tuning_searches WHERE model = 'm';
-- the epochs of the search are version 0 of the log
SELECT regexp_replace(stage, '^tune [0-9]+/', 'tune N/') AS stage, count(*) > 0 AS epochs FROM metricrec.training_log
WHERE model = 'm' AND version = 0 AND stage NOT LIKE '%second%' GROUP BY 1 ORDER BY 1;

-- a seed repeats a search, another one makes another
CREATE TEMP TABLE again AS SELECT * FROM metricrec.tune('m', trials => 12, apply => false);
SELECT count(*) AS rows, bool_and(a.options = t.options AND a.value = t.value AND a.best = t.best AND a.search = t.search + 1) AS same
FROM t FULL JOIN again a USING (trial, rung);
CREATE TEMP TABLE other AS SELECT * FROM metricrec.tune('m', trials => 12, apply => false, seed => 2);
SELECT bool_or(o.options = t.options) AS any_same FROM t JOIN other o USING (trial, rung) WHERE trial > 1;
SELECT t.value = o.value AS first_the_same FROM t JOIN other o USING (trial, rung) WHERE trial = 1;
-- fewer trials are the first of more
SELECT bool_and(f.options = t.options) AS the_first FROM metricrec.tune('m', trials => 3, apply => false, method => 'random') f JOIN t USING (trial) WHERE t.rung = 1;
-- the value of trial 1 is what train says of the model
SELECT abs((metrics ->> 'ndcg@10')::float8 - (SELECT value FROM t WHERE trial = 1)) < 1e-6 AS as_train FROM metricrec.train('m');
-- version 0 is none: the first training is version 1
SELECT version FROM metricrec.model_versions WHERE model = 'm';

--
-- Spaces of one's own
--
SELECT trial, rung, options, epochs FROM metricrec.tune('m', trials => 3, apply => false, method => 'random',
	space => '{"epochs": 3, "user_tower": ["pooled"], "item_bias": [false, true]}') WHERE trial = 1 OR options ->> 'item_bias' = 'false';
-- a space of two settings has three trials, however many were asked for
SELECT count(*) AS trials FROM metricrec.tune('m', trials => 20, apply => false, space => '{"user_tower": ["pooled", "free"], "epochs": [5]}');
SELECT trials FROM metricrec.tuning_searches WHERE model = 'm' ORDER BY search DESC LIMIT 1;
-- null is the recipe's choice; an empty space is trial 1 alone
SELECT trial, options FROM metricrec.tune('m', trials => 20, apply => false, method => 'random',
	space => '{"temperature": [null, 0.7], "epochs": 5, "user_tower": "pooled"}') ORDER BY options -> 'temperature' NULLS FIRST, trial;
SELECT count(*) FROM metricrec.tune('m', trials => 20, apply => false, space => '{}');
-- where the space does not name the tower, the others take that of trial 1
SELECT count(DISTINCT options ->> 'user_tower') AS towers, count(*) AS trials
FROM metricrec.tune('m', trials => 4, apply => false, method => 'random', space => '{"temperature": {"min": 0.1, "max": 1}, "epochs": 4}') WHERE trial > 1;
-- multiples of what the recipe chooses for the loss of the trial
SELECT options ->> 'user_tower' AS tower, options ->> 'loss' AS loss, min((options ->> 'margin')::numeric) AS margin, count(DISTINCT options) > 0 AS trials
FROM metricrec.tune('m', trials => 12, apply => false, method => 'random',
	space => '{"loss": ["cml", "triplet"], "margin": {"min": 2, "max": 2, "of": "recipe"}, "epochs": 2}') WHERE trial > 1 GROUP BY 1, 2 ORDER BY 1, 2;
SELECT (metricrec.tune('m', trials => 2, apply => false, space => s.space)).trial
FROM (SELECT space FROM metricrec.tuning_searches WHERE model = 'm' ORDER BY search LIMIT 1) s;
SELECT count(DISTINCT space) AS the_same_space FROM metricrec.tuning_searches WHERE model = 'm' AND space ? 'weight_decay';
-- whole numbers and lists of layers
SELECT bool_and((options ->> 'dimensions')::int IN (3, 4, 5)) AS whole, count(DISTINCT options) AS trials
FROM metricrec.tune('m', trials => 20, apply => false, method => 'random', space => '{"dimensions": {"min": 3, "max": 5}, "epochs": 2, "user_tower": "pooled"}')
WHERE trial > 1;
-- what contradicts the loss of a trial is left out of it
SELECT options ->> 'loss' AS loss, bool_or(options ? 'margin') AS margin, bool_or(options ? 'temperature') AS temperature, count(*) > 0 AS trials
FROM metricrec.tune('m', trials => 12, apply => false, method => 'random',
	space => '{"loss": ["softmax", "cml", "triplet"], "margin": [0.5, 1], "temperature": [0.2, 0.3], "epochs": 2}')
WHERE trial > 1 GROUP BY 1 ORDER BY 1;
-- the default space of a hinge loss
SELECT model FROM metricrec.create_model('hinge', 'likes', dimensions => 8, preset => 'cml_released', epochs => 5, weight_decay => 0);
SELECT count(*) FROM metricrec.tune('hinge', trials => 3);
SELECT jsonb_object_agg(key, value ORDER BY key) FROM metricrec.tuning_searches, jsonb_each(space) WHERE model = 'hinge';
-- so have those of the other algorithms; and the algorithm itself can be searched
SELECT model FROM metricrec.create_model('als', 'likes', algorithm => 'als', dimensions => 8);
SELECT count(*) FROM metricrec.tune('als', trials => 3);
SELECT string_agg(key, ' ' ORDER BY key) FROM metricrec.tuning_searches, jsonb_each(space) WHERE model = 'als';
SELECT metricrec.drop_model('als');
SELECT options ->> 'algorithm' AS algorithm, bool_or(options ? 'als_regularization') AS of_als, bool_or(options ? 'temperature') AS of_metric
FROM metricrec.tune('m', trials => 16, apply => false, method => 'random', space => '{"algorithm": ["metric", "als", "bpr"], "epochs": 2,
	"als_regularization": {"min": 0.1, "max": 10, "log": true, "of": "recipe"}, "temperature": [0.1, 0.2]}') WHERE trial > 1 GROUP BY 1 ORDER BY 1;
-- the default space and more; what is set on the model stays
SELECT count(*) FROM metricrec.tune('hinge', trials => 3, apply => false, space => '{"default": true, "weight_decay": [0.001]}');
SELECT string_agg(key, ' ' ORDER BY key) FROM metricrec.tuning_searches, jsonb_each(space) WHERE model = 'hinge' AND search = 2;
-- a trial may diverge without ending the search
SELECT trial, value IS NULL AS diverged, best FROM metricrec.tune('hinge', trials => 2, apply => false,
	space => '{"norm_constraint": "none", "optimizer": "sgd", "learning_rate": 1000, "epochs": 50}') ORDER BY trial;
SELECT metricrec.drop_model('hinge');

--
-- Setting the best
--
CREATE TEMP TABLE s AS SELECT model FROM metricrec.create_model('s', 'likes', dimensions => 8, seed => 7, temperature => 30, user_tower => 'pooled', epochs => 12);
CREATE TEMP TABLE best AS SELECT * FROM metricrec.tune('s', trials => 8, method => 'random', space => '{"temperature": {"min": 0.1, "max": 0.4}, "epochs": 24}');
SELECT trial > 1 AS better, value > (SELECT value FROM best WHERE trial = 1) AS on_the_first_split,
	checked > (SELECT checked FROM best WHERE trial = 1) AS and_on_the_second FROM best WHERE best;
-- what was not searched stays; what the recipe would choose anyway is not set
SELECT (m.options - 'temperature' - 'epochs') AS others, m.options ->> 'epochs' AS epochs, m.options -> 'temperature' = b.options -> 'temperature' AS temperature
FROM metricrec.models m, best b WHERE m.model = 's' AND b.best;
SELECT applied FROM metricrec.tuning_searches WHERE model = 's';
SELECT abs((metrics ->> 'ndcg@10')::float8 - (SELECT value FROM best WHERE best)) < 1e-6 AS trained_so
FROM metricrec.alter_model('s', validation_fraction => 1), metricrec.train('s');
-- a later search takes what this one has set for searched, not for settled
SELECT count(*) FROM metricrec.tune('s', trials => 2, apply => false);
SELECT string_agg(key, ' ' ORDER BY key) AS searched FROM metricrec.tuning_searches, jsonb_each(space) WHERE model = 's' AND search = 2;
SELECT model FROM metricrec.alter_model('s', temperature => 0.5);
SELECT count(*) FROM metricrec.tune('s', trials => 2, apply => false);
SELECT string_agg(key, ' ' ORDER BY key) AS searched FROM metricrec.tuning_searches, jsonb_each(space) WHERE model = 's' AND search = 3;
-- trial 1 is the best of equals: nothing is set
CREATE TEMP TABLE before AS SELECT options FROM metricrec.models WHERE model = 's';
SELECT trial, best FROM metricrec.tune('s', trials => 4, space => '{"popularity_exponent": [0.1, 0.2, 0.3]}') ORDER BY trial;
SELECT m.options = b.options AS unchanged FROM metricrec.models m, before b WHERE model = 's';

--
-- Time
--
SELECT trial, rung, best FROM metricrec.tune('m', time_limit => '0', apply => false);
SELECT trial, rung, best FROM metricrec.tune('m', trials => 5, time_limit => '1 microsecond', apply => false);
SELECT count(DISTINCT trial) BETWEEN 2 AND 4 AS some FROM metricrec.tune('m', trials => 4, time_limit => '1 hour', apply => false);
SELECT count(DISTINCT trial) AS trials FROM metricrec.tune('m', time_limit => '10 years', apply => false, space => '{"epochs": [2, 3, 4]}');

--
-- Metrics, tags
--
SELECT metric, count(*) AS rows, bool_and(value BETWEEN 0 AND 1) AS values
FROM unnest('{ndcg,hit_rate,recall,precision,map,mrr}'::text[]) metric,
	LATERAL metricrec.tune('m', trials => 2, metric => metric, k => 3, apply => false, space => '{"epochs": 2, "user_tower": "pooled"}')
GROUP BY metric ORDER BY metric;
-- hits at three: recall is the rate of hits, precision a third of it
SELECT round((h.value / p.value)::numeric, 6) AS third, h.value = r.value AS same
FROM metricrec.tune('m', trials => 1, metric => 'hit_rate', k => 3, apply => false) h, metricrec.tune('m', trials => 1, metric => 'recall', k => 3, apply => false) r,
	metricrec.tune('m', trials => 1, metric => 'precision', k => 3, apply => false) p;
CREATE TABLE taggings AS SELECT user_id, item_id, (ARRAY['a', 'b', 'c', 'd'])[1 + (item_id / 8 + user_id / 60) % 4] AS tag FROM likes;
CREATE INDEX ON taggings (user_id);
CREATE INDEX ON taggings (item_id);
SELECT model FROM metricrec.create_model('tags', 'taggings', tag_column => 'tag', dimensions => 8, epochs => 5);
SELECT count(DISTINCT trial) FROM metricrec.tune('tags', trials => 4);
SELECT metric, string_agg(key, ' ' ORDER BY key) FROM metricrec.tuning_searches, jsonb_each(space) WHERE model = 'tags' GROUP BY metric;
SELECT model FROM metricrec.alter_model('tags', tag_weight => 1);
SELECT bool_and(value > 0) AS judged FROM metricrec.tune('tags', trials => 2, apply => false);
SELECT count(*) FROM metricrec.tune('tags', trials => 2, apply => false, metric => 'tag_hit_rate', k => 1);
SELECT metric, k FROM metricrec.tuning_searches WHERE model = 'tags' ORDER BY search;

--
-- What is refused
--
SELECT fails(format($$SELECT * FROM metricrec.tune('m', trials => 3, space => %L)$$, space)) FROM unnest(ARRAY[
	'[]', '1', '{"nonsense": 1}', '{"seed": [1, 2]}', '{"refit": true}', '{"validation_fraction": 0.5}', '{"max_vocabulary": [10]}',
	'{"temperature": []}', '{"temperature": "warm"}', '{"temperature": -1}', '{"temperature": [0.1, 1e400]}', '{"temperature": {}}',
	'{"temperature": {"min": 0.1}}', '{"temperature": {"min": 0.3, "max": 0.1}}', '{"temperature": {"min": 0.1, "max": 0.3, "step": 0.1}}',
	'{"temperature": {"min": 0.1, "max": "x"}}', '{"temperature": {"min": 0.1, "max": null}}', '{"temperature": {"min": 0.1, "max": 0.3, "log": 1}}',
	'{"margin": {"min": 0, "max": 1, "log": true}}', '{"epochs": 2.5}', '{"epochs": [1, 100000]}', '{"epochs": true}', '{"item_bias": 1}',
	'{"item_bias": {"min": 0, "max": 1}}', '{"user_tower": "high"}', '{"user_tower": 1}', '{"hidden_layers": [3]}', '{"hidden_layers": [["x"]]}',
	'{"hidden_layers": [[1,2,3,4,5,6,7,8,9,10]]}', '{"default": 1}', '{"epochs": {"min": 0, "max": 2, "of": "recipe"}}', '{"epochs": {"min": 0.5, "max": 2, "of": "me"}}', '{"item_bias": {"min": 1, "max": 2, "of": "recipe"}}', '{"propagation": {"min": 1, "max": 2, "of": "recipe"}}', '{"margin": [0.5, 1]}', '{"tag_weight": 0.5}', '{"item_combination": ["id", "sum"]}',
	'{"negative_sampling": "hardest"}']) space;
SELECT fails(format($$SELECT * FROM metricrec.tune('m', %s)$$, arguments)) FROM unnest(ARRAY[
	'trials => 0', 'trials => -1', 'trials => 1000000', 'k => 0', 'k => NULL', 'metric => ''loss''', 'metric => ''tag_ndcg''', 'metric => ''tag_''', 'metric => ''''',
	'time_limit => ''-1 second''', 'method => ''grid''', 'method => NULL', 'seed => NULL', 'apply => NULL']) arguments;
SELECT fails($$SELECT * FROM metricrec.tune('nobody')$$);
-- a trial that does not fit is refused before anything is trained
SET metricrec.training_memory = '4MB';
SELECT split_part(fails($$SELECT * FROM metricrec.tune('m', trials => 5, space => '{"dimensions": [8, 16000]}')$$), '|', 2);
RESET metricrec.training_memory;
-- nothing to hold out
CREATE TABLE single AS SELECT n AS user_id, n % 7 AS item_id FROM generate_series(1, 30) n;
SELECT model FROM metricrec.create_model('single', 'single', dimensions => 4);
SELECT fails($$SELECT * FROM metricrec.tune('single', trials => 2)$$);
SELECT metricrec.drop_model('single');
-- few users are worth a warning
SET client_min_messages = warning;
CREATE TABLE few AS SELECT * FROM likes WHERE user_id % 10 = 0;
CREATE INDEX ON few (user_id);
SELECT model FROM metricrec.create_model('few', 'few', dimensions => 4, epochs => 2, user_tower => 'pooled');
SELECT trial FROM metricrec.tune('few', trials => 1);
SET client_min_messages = error;
SELECT metricrec.drop_model('few');
-- failed searches leave nothing
SELECT count(*) FROM metricrec.tuning_searches WHERE duration IS NULL;

--
-- The procedure
--
CALL metricrec.retune('m', trials => 3, apply => false, space => '{"epochs": [2, 3], "user_tower": "pooled"}');
SELECT count(*) AS trainings, count(*) FILTER (WHERE best) AS best FROM metricrec.tuning_trials
WHERE model = 'm' AND search = (SELECT max(search) FROM metricrec.tuning_searches WHERE model = 'm');
BEGIN;
CALL metricrec.retune('m', trials => 1);
ROLLBACK;
SELECT fails($$CALL metricrec.retune('m', trials => 1)$$);

--
-- Whose they are
--
CREATE ROLE tu_reader;
CREATE ROLE tu_stranger;
GRANT USAGE ON SCHEMA tu TO tu_reader, tu_stranger;
GRANT SELECT ON m_item_embedding TO tu_reader;
SET ROLE tu_reader;
SELECT count(*) > 0 AS sees_trials, (SELECT count(*) > 0 FROM metricrec.tuning_searches) AS sees_searches FROM metricrec.tuning_trials;
SELECT count(*) FROM metricrec.tuning_trials WHERE model <> 'm';
SELECT fails($$SELECT * FROM metricrec.tune('m', trials => 1)$$);
SELECT fails($$INSERT INTO metricrec.trial SELECT * FROM metricrec.trial$$), fails($$DELETE FROM metricrec.search$$);
SET ROLE tu_stranger;
SELECT count(*) AS sees_trials, (SELECT count(*) FROM metricrec.tuning_searches) AS sees_searches FROM metricrec.tuning_trials;
SELECT fails($$SELECT * FROM metricrec.tune('m', trials => 1)$$);
RESET ROLE;
REVOKE ALL ON m_item_embedding FROM tu_reader;
REVOKE ALL ON SCHEMA tu FROM tu_reader, tu_stranger;
DROP ROLE tu_reader, tu_stranger;

-- a model takes them with it
SELECT metricrec.drop_model('m'), metricrec.drop_model('s'), metricrec.drop_model('tags');
SELECT (SELECT count(*) FROM metricrec.search) AS searches, (SELECT count(*) FROM metricrec.trial) AS trials,
	(SELECT count(*) FROM metricrec.epoch_log) AS epochs;
DROP SCHEMA tu CASCADE;
