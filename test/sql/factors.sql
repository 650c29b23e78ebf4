--
-- Factorisations: algorithm 'als' and 'bpr' learn, serve every query through the
-- same points, repeat bit for bit, fold users in, and refuse what is not theirs.
--
\set SHOW_CONTEXT never
CREATE SCHEMA factors;
SET search_path = factors, public;
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

-- two groups of users and items
CREATE TABLE likes (user_id int, item_id int, weight real);
INSERT INTO likes
SELECT u, i, 1 + (u + i) % 3
FROM generate_series(1, 40) u, generate_series(1, 40) i
WHERE (u <= 20) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;
CREATE INDEX likes_user ON likes (user_id);

--
-- 1. Both learn, and leave points of length 1 whose last coordinate is 0 for users.
--
SELECT model FROM metricrec.create_model('als', 'likes', algorithm => 'als', dimensions => 9, seed => 4);
SELECT model FROM metricrec.create_model('bpr', 'likes', algorithm => 'BPR', dimensions => 9, seed => 4);
-- the recipe that is kept has what belongs to the algorithm
SELECT model, epochs, loss > 0 AS loss, metrics, recipe->>'algorithm' AS algorithm, recipe ? 'temperature' AS temperature,
	recipe ? 'als_solver' AS als_solver, recipe ? 'weight_decay' AS weight_decay
FROM metricrec.train('als');
SELECT model, epochs > 5 AS epochs, loss > 0 AS loss, metrics, recipe->>'algorithm' AS algorithm, recipe ? 'temperature' AS temperature,
	recipe ? 'als_solver' AS als_solver, recipe ? 'weight_decay' AS weight_decay
FROM metricrec.train('bpr');
SELECT own_group('als') > 0.95 AS als, own_group('bpr') > 0.9 AS bpr;
SELECT max(abs(l2_norm(embedding) - 1)) < 1e-6 AS items, max(dims(embedding)) FROM als_item_embedding;
SELECT max(abs(l2_norm(embedding) - 1)) < 1e-6 AS items, max(dims(embedding)) FROM bpr_item_embedding;
SELECT max(abs(l2_norm(embedding) - 1)) < 1e-6 AS users, max(abs((embedding::real[])[9])) AS last FROM als_user_embedding;
SELECT max(abs(l2_norm(embedding) - 1)) < 1e-6 AS users, max(abs((embedding::real[])[9])) AS last FROM bpr_user_embedding;
-- a row of the log per sweep, whose objective falls
SELECT count(*), bool_and(falls IS NOT FALSE) AS falls
FROM (SELECT loss < lag(loss) OVER (ORDER BY step) AS falls FROM metricrec.training_log WHERE model = 'als') l;

--
-- 2. A seed repeats the points; another one does not.  Conjugate gradients come to the same.
--
SELECT fingerprint('als') AS als, fingerprint('bpr') AS bpr \gset
SELECT count(*) FROM metricrec.train('als') a, metricrec.train('bpr') b;
SELECT fingerprint('als') = :'als' AS als, fingerprint('bpr') = :'bpr' AS bpr;
SELECT model FROM metricrec.alter_model('bpr', seed => 5);
SELECT count(*) FROM metricrec.train('bpr');
SELECT fingerprint('bpr') = :'bpr' AS bpr;
CREATE TABLE exact AS SELECT * FROM als_item_embedding;
SELECT model FROM metricrec.alter_model('als', als_solver => 'cg');
SELECT count(*) FROM metricrec.train('als');
SELECT max(abs((a.embedding <-> b.embedding) - (c.embedding <-> d.embedding))) < 0.02 AS same_distances
FROM exact a, exact b, als_item_embedding c, als_item_embedding d
WHERE c.item_id = a.item_id AND d.item_id = b.item_id;

--
-- 3. Every query is served.  A trained user, folded in, is where the training put it (ALS).
--
SELECT count(*), min(item_id) > 20 AS own FROM recommend(30, 5, 'als', exclude_seen => false);
SELECT count(*), min(item_id) > 20 AS own FROM recommend(30, 5, 'bpr', exclude_seen => false);
SELECT bool_and(abs(a.distance - b.distance) < 1e-3) AS same, count(*)
FROM recommend(7, 40, 'als') a JOIN recommend_for_items((SELECT array_agg(item_id::bigint) FROM likes WHERE user_id = 7), 40, 'als') b
	USING (item_id);
SELECT count(*), max(item_id) <= 20 AS own FROM recommend_for_items('{1,2,3}'::bigint[], 5, 'bpr');
SELECT count(*), max(item_id) <= 20 AS own FROM similar_items(4, 5, 'als');
SELECT count(*), max(user_id) <= 20 AS own FROM similar_users(4, 5, 'als');
SELECT count(*) FROM explain_recommendation(4, (SELECT item_id FROM recommend(4, 1, 'als')), 3, 'als');
SELECT fails('SELECT * FROM recommend(999, 5, ''als'')');
SET metricrec.fold_in_steps = 0;	-- the mean of the liked items' points
SELECT count(*), max(item_id) <= 20 AS own FROM recommend_for_items('{1,2,3}'::bigint[], 5, 'als');
RESET metricrec.fold_in_steps;
SELECT metric, value > 0.1 AS good FROM metricrec.evaluate('als', k => '{10}') WHERE metric = 'hit_rate';
SELECT metric, value > 0.1 AS good FROM metricrec.evaluate('bpr', k => '{10}') WHERE metric = 'hit_rate';

--
-- 4. Weights are used; validation, patience, retrain and activate are as for any model.
--
SELECT model FROM metricrec.create_model('weighted', 'likes', algorithm => 'als', dimensions => 9, seed => 4, weight_column => 'weight');
SELECT count(*) FROM metricrec.train('weighted');
SELECT fingerprint('weighted') = :'als' AS same_as_without;
SELECT model FROM metricrec.alter_model('als', validation_fraction => 1, patience => 2, epochs => 30);
SELECT metrics IS NOT NULL AS validated, epochs BETWEEN 1 AND 30 AS epochs FROM metricrec.train('als');
CALL metricrec.retrain('als');
SELECT * FROM metricrec.activate('als', 4);
SELECT version, state FROM metricrec.model_versions WHERE model = 'als' ORDER BY version;

-- a warm start goes on from the items, with fewer sweeps; bpr says that it cannot
SELECT epochs < 16 AS fewer, recipe->>'warm_start' AS warm_start FROM metricrec.train('weighted', warm_start => true);
SELECT own_group('weighted') > 0.95 AS learned;
SET client_min_messages = notice;
SELECT recipe->>'warm_start' AS warm_start FROM metricrec.train('bpr', warm_start => true);
SET client_min_messages = error;

--
-- 5. What does not belong to the algorithm is refused.
--
SELECT fails(format('SELECT metricrec.create_model(''refused'', ''likes'', %s)', arguments)) FROM (VALUES
	('algorithm => ''svd'''),
	('algorithm => ''als'', temperature => 0.2'),
	('algorithm => ''als'', preset => ''triplet'''),
	('algorithm => ''als'', learning_rate => 0.1'),
	('algorithm => ''als'', user_tower => ''free'''),
	('algorithm => ''als'', tag_column => ''weight'''),
	('algorithm => ''als'', item_features => ''likes'''),
	('algorithm => ''als'', max_vocabulary => 10'),
	('algorithm => ''bpr'', als_solver => ''cg'''),
	('algorithm => ''bpr'', margin => 1'),
	('algorithm => ''bpr'', dimensions => 2'),
	('algorithm => ''als'', dimensions => 2000'),
	('algorithm => ''als'', als_solver => ''lu'''),
	('algorithm => ''als'', als_regularization => 0'),
	('algorithm => ''als'', als_regularization => ''NaN'''),
	('algorithm => ''als'', als_unobserved_weight => ''Infinity'''),
	('als_regularization => 0.1'),
	('als_regularization => 0.1, start => ''random''')) v(arguments);
SELECT model FROM metricrec.create_model('begins', 'likes', start => 'als', als_regularization => 0.1);
SELECT fails('SELECT metricrec.alter_model(''als'', algorithm => ''metric'')');
SELECT options FROM metricrec.alter_model('als', reset => '{als_solver,dimensions}', algorithm => 'metric', epochs => 2);
SELECT recipe->>'algorithm' AS algorithm, recipe->>'loss' AS loss FROM metricrec.train('als');

--
-- 6. Too little memory is told before anything is allocated.
--
SET metricrec.training_memory = '1MB';
SELECT fails('SELECT metricrec.train(''bpr'')') = 'no error' AS small;
SELECT model FROM metricrec.alter_model('weighted', dimensions => 1000);
SELECT regexp_replace(fails('SELECT metricrec.train(''weighted'')'), 'needs [0-9]+', 'needs n');
RESET metricrec.training_memory;

\set VERBOSITY terse
DROP SCHEMA factors CASCADE;
