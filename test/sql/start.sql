-- Where a training begins (start), and weights of what is recent (recency).
SET client_min_messages = warning;
CREATE SCHEMA st;
SET search_path = st, public;

CREATE FUNCTION fails(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	DECLARE
		message text; detail text; hint text;
	BEGIN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''));
	END;
END $$;

-- 200 users; each liked items of one group of 20 first, and of the next group later
CREATE TABLE likes AS
SELECT u AS user_id, (u % 5 * 20 + late * 20 + (u * 7 + n * 3) % 20) % 100 AS item_id, late * 100 + n AS at
FROM generate_series(1, 200) u, generate_series(0, 1) late, generate_series(1, 10) n;
CREATE INDEX ON likes (user_id);

SELECT fails($$SELECT metricrec.create_model('x', 'likes', recency => 5)$$);
SELECT fails($$SELECT metricrec.create_model('x', 'likes', start => 'als', loss => 'cml')$$);
SELECT model FROM metricrec.create_model('plain', 'likes', epochs => 2);
SELECT fails($$SELECT metricrec.alter_model('plain', recency => 1)$$);
SELECT version FROM metricrec.train('plain');
SELECT recipe ->> 'start' AS start, recipe ->> 'recency' AS recency FROM metricrec.model_versions WHERE model = 'plain';

-- from ALS: its sweeps are rows of the log; both candidates of a validation share them
SELECT model FROM metricrec.create_model('als', 'likes', dimensions => 8, start => 'als', epochs => 3, refit => false);
SELECT version FROM metricrec.train('als');
SELECT stage, array_agg(epoch ORDER BY step) AS epochs, bool_and(loss > 0) AS filled
FROM metricrec.training_log WHERE model = 'als' GROUP BY stage ORDER BY min(step);
SELECT recipe ->> 'start' AS start FROM metricrec.model_versions WHERE model = 'als';

-- early stopping keeps the best epoch, and a refit may go on from its points
SELECT model FROM metricrec.create_model('on', 'likes', dimensions => 8, start => 'als', epochs => 30, patience => 3, user_tower => 'pooled');
SELECT version, epochs BETWEEN 1 AND 30 AS stopped FROM metricrec.train('on');
SELECT l.stage, CASE WHEN l.stage = 'train' THEN max(l.epoch) <= 15 ELSE max(l.epoch) BETWEEN any_value AND any_value + 3 END AS as_many, bool_and((l.ndcg IS NULL) = (l.stage <> 'validate pooled')) AS validated
FROM metricrec.training_log l, (SELECT epochs AS any_value FROM metricrec.model_versions WHERE model = 'on') v WHERE l.model = 'on' GROUP BY l.stage, any_value HAVING l.stage <> 'start' ORDER BY l.stage;
SELECT recipe ->> 'epochs' AS schedule, recipe ->> 'patience' AS patience, (recipe ->> 'learning_rate')::float8 AS rate FROM metricrec.model_versions WHERE model = 'on';

-- free users without recency keep a share of ALS, so their refit begins at the same points of ALS once more
SELECT model FROM metricrec.create_model('kept', 'likes', dimensions => 8, start => 'als', epochs => 4, patience => 4, user_tower => 'free');
SELECT version FROM metricrec.train('kept');
SELECT stage, CASE WHEN stage <> 'train' THEN count(*) END AS epochs FROM metricrec.training_log WHERE model = 'kept' GROUP BY stage ORDER BY min(step);

-- the same seed, the same bits
SELECT model FROM metricrec.alter_model('als', user_tower => 'free');
SELECT version FROM metricrec.train('als');
SELECT version FROM metricrec.train('als');
SELECT count(*) AS rows, bool_and(a.embedding = b.embedding) AS same
FROM als_user_embedding_v2 a JOIN als_user_embedding_v3 b USING (user_id);
SELECT fails($$SELECT metricrec.alter_model('als', dimensions => 3); SELECT metricrec.train('als')$$);

-- recency: the later group is nearer than the earlier one, as it is not without
SELECT model FROM metricrec.create_model('late', 'likes', time_column => 'at', dimensions => 16, user_tower => 'free', epochs => 20, validation_fraction => 0);
SELECT model FROM metricrec.create_model('even', 'likes', time_column => 'at', dimensions => 16, user_tower => 'free', epochs => 20, validation_fraction => 0,
	recency => 0);
SELECT version FROM metricrec.train('late');
SELECT version FROM metricrec.train('even');
SELECT model, recipe ->> 'recency' AS recency FROM metricrec.model_versions WHERE model IN ('late', 'even') ORDER BY model;
CREATE FUNCTION share_of_late(items regclass, users regclass) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	share numeric;
BEGIN
	EXECUTE format('SELECT avg((i.item_id / 20 = (u.user_id + 1) %% 5)::int) FROM %s u, LATERAL (SELECT item_id FROM %s i
		WHERE item_id / 20 IN (u.user_id %% 5, (u.user_id + 1) %% 5) ORDER BY i.embedding <-> u.embedding LIMIT 10) i', users, items) INTO share;
	RETURN share;
END $$;
SELECT share_of_late('late_item_embedding', 'late_user_embedding') > 0.7 AS late,
	   share_of_late('even_item_embedding', 'even_user_embedding') BETWEEN 0.35 AND 0.65 AS even;

DROP SCHEMA st CASCADE;
