--
-- The preset dual_tower: the triplet loss over networks that see id and features.
-- That it learns and repeats, that rows without interactions and rows without
-- features have points, and what it refuses.
--
CREATE SCHEMA dt;
SET search_path = dt, public;
SET client_min_messages = error;
SET extra_float_digits = 3;
CREATE FUNCTION fails(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	hint text;
	state text;
BEGIN
	EXECUTE command;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
	RETURN concat_ws(' | ', state, message, nullif(hint, ''));
END $$;

-- Four groups.  Users 1 to 60 and items 1 to 40 have interactions; 61 to 80 and 41 to 56 have features only; user 60 and
-- item 40 have no features.
CREATE TABLE likes AS
SELECT u AS user_id, i AS item_id FROM generate_series(1, 60) u, generate_series(1, 40) i
WHERE u % 4 = i % 4 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 7;
CREATE INDEX ON likes (user_id);
CREATE TABLE people AS
SELECT u AS user_id, 'town ' || u % 4 AS town, 20 + u % 9 AS age FROM generate_series(1, 80) u WHERE u <> 60;
CREATE TABLE things AS
SELECT i AS item_id, ARRAY['kind ' || i % 4, 'any'] AS kinds, i % 3 = 0 AS used FROM generate_series(1, 56) i WHERE i <> 40;

-- of the n nearest items of these users, the share that is of their group: by chance 0.25
CREATE FUNCTION own_group(model text, users int4range, items int4range, n int) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	result numeric;
BEGIN
	EXECUTE format('SELECT avg((n.item_id %% 4 = u.user_id %% 4)::int) FROM %I u, LATERAL '
		'(SELECT item_id FROM %I i WHERE i.item_id <@ $2 ORDER BY i.embedding <-> u.embedding LIMIT $3) n WHERE u.user_id <@ $1',
		model || '_user_embedding', model || '_item_embedding') INTO result USING users, items, n;
	RETURN result;
END $$;
CREATE FUNCTION fingerprint(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT md5((SELECT string_agg(row(t.*)::text, '','' ORDER BY item_id) FROM %I t)'
		|| ' || (SELECT string_agg(row(t.*)::text, '','' ORDER BY user_id) FROM %I t))',
		model || '_item_embedding', model || '_user_embedding') INTO result;
	RETURN result;
END $$;
CREATE FUNCTION try(options text, OUT known boolean, OUT new_users boolean, OUT new_items boolean, OUT nameless boolean, OUT repeats boolean)
LANGUAGE plpgsql AS $$
DECLARE
	print text;
BEGIN
	EXECUTE 'SELECT FROM metricrec.create_model(''try'', ''likes'', user_features => ''people'', item_features => ''things'', '
		'dimensions => 8, epochs => 60, batch_size => 64, seed => 3, ' || options || ')';
	PERFORM metricrec.train('try');
	known := own_group('try', '[1,59]', '[1,39]', 5) > 0.9;
	new_users := own_group('try', '[61,80]', '[1,39]', 5) > 0.9;
	new_items := own_group('try', '[1,59]', '[41,56]', 2) > 0.9;
	-- without features, but with interactions
	nameless := own_group('try', '[60,60]', '[1,39]', 5) > 0.7;
	print := fingerprint('try');
	PERFORM metricrec.train('try');
	repeats := fingerprint('try') = print;
	PERFORM metricrec.drop_model('try');
END $$;
SELECT options, t.* FROM unnest(ARRAY[
	$$preset => 'dual_tower', id_dropout => 0.3$$,
	$$preset => 'dual_tower', id_dropout => 0.3, negative_sampling => 'hardest', activation => 'relu'$$,
	$$preset => 'dual_tower', id_dropout => 0.3, hidden_layers => '{16,12}', dropout => 0.1, norm_constraint => 'ball', margin => 0.5$$,
	$$preset => 'triplet', item_combination => 'both', user_combination => 'features', hidden_layers => '{16}', id_dropout => 0.3$$,
	$$preset => 'cml_released', item_combination => 'prior', user_combination => 'sum'$$
	]) options, LATERAL try(options) t;

-- What the preset chooses, and that what is given wins
SELECT model FROM metricrec.create_model('tower', 'likes', preset => 'dual_tower', user_features => 'people', epochs => 20, dimensions => 8);
SELECT active, users, items FROM metricrec.train('tower');
SELECT key, value FROM metricrec.model_versions, jsonb_each_text(recipe)
WHERE model = 'tower' AND key IN ('loss', 'margin', 'negative_sampling', 'negatives', 'user_tower', 'user_combination', 'item_combination',
	'hidden_layers', 'activation', 'id_dropout', 'norm_constraint', 'optimizer', 'learning_rate', 'batch_size', 'validation_fraction')
ORDER BY key;
SELECT options FROM metricrec.alter_model('tower', user_combination => 'features', margin => 1.5, id_dropout => 0.5);
SELECT recipe ->> 'user_combination' AS users, recipe ->> 'margin' AS margin, recipe ->> 'id_dropout' AS id_dropout FROM metricrec.train('tower');

-- A stored point of a new row is that of embed_user; it depends on the features alone
SELECT count(*) AS new_rows, max(v.embedding <-> metricrec.embed_user('tower', to_jsonb(p) - 'user_id')) < 1e-6 AS same
FROM tower_user_embedding v JOIN people p USING (user_id) WHERE user_id > 60;
SELECT count(*) AS recommended, count(*) FILTER (WHERE item_id % 4 = 1) AS of_the_group FROM recommend(61, 5, 'tower');

-- Refused
SELECT arguments, fails('SELECT metricrec.create_model(''x'', ''likes'', ' || arguments || ')') FROM unnest(ARRAY[
	$$preset => 'dual_tower', loss => 'softmax'$$,
	$$preset => 'dual_tower', user_tower => 'pooled'$$,
	$$preset => 'dual_tower', temperature => 1$$,
	$$preset => 'dual_tower', negative_sampling => 'full'$$,
	$$preset => 'dual_tower', rank_weight => true$$]) arguments;
SELECT fails($$SELECT metricrec.embed_item('tower', '{}')$$);
DROP SCHEMA dt CASCADE;
