--
-- Inverse propensities: what the option does to the lists that users see.
--
CREATE SCHEMA pe;
SET search_path = pe, public;
SET client_min_messages = error;
-- 400 users and 120 items of four kinds; item i is liked with a probability that falls
-- from 0.9 to 0.03 with its number, twelve times less often by users of another kind
CREATE TABLE likes AS
SELECT u AS user_id, i AS item_id
FROM generate_series(1, 400) u, generate_series(1, 120) i
WHERE (hashint8extended(u * 1000 + i, 5) & 1048575) / 1048576.0 < 0.9 / (1 + i / 4.0) * CASE WHEN u % 4 = i % 4 THEN 1 ELSE 1.0 / 12 END;
CREATE INDEX ON likes (user_id);
SELECT * FROM metricrec.split('likes', 'random', fraction => 0.2, seed => 1, train => 'likes_train', test => 'likes_test') \g /dev/null
-- coverage, popularity and hit rate of a model's lists of five
CREATE FUNCTION lists(arguments text, OUT coverage float8, OUT popularity float8, OUT hit_rate float8) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT metricrec.create_model(''m'', ''likes_train'', dimensions => 16, %s)', arguments);
	PERFORM metricrec.train('m');
	SELECT max(e.value) FILTER (WHERE e.metric = 'coverage'), max(e.value) FILTER (WHERE e.metric = 'popularity'),
		   max(e.value) FILTER (WHERE e.metric = 'hit_rate')
	INTO coverage, popularity, hit_rate FROM metricrec.evaluate('m', 'likes_test', '{5}') e;
	PERFORM metricrec.drop_model('m');
END $$;
CREATE TABLE measured AS
SELECT v.setting, e.exponent, l.*
FROM (VALUES ('pooled', $$user_tower => 'pooled'$$), ('free', $$user_tower => 'free'$$),
			 ('cml', $$loss => 'cml', batch_size => 1000$$), ('triplet', $$loss => 'triplet'$$)) v (setting, arguments),
	 (VALUES (0.0), (1.0)) e (exponent), lists(format('%s, propensity_exponent => %s', v.arguments, e.exponent)) l;
SELECT a.setting, b.coverage > a.coverage OR a.coverage > 0.95 AS "more items, or all", b.popularity < 0.9 * a.popularity AS "less popular ones",
	   b.hit_rate > 0 AS "still finds some"
FROM measured a JOIN measured b USING (setting) WHERE a.exponent = 0 AND b.exponent = 1 ORDER BY setting;
-- 0 is the same as nothing, and the result says what was taken
SELECT metricrec.create_model('m', 'likes_train', user_tower => 'pooled', epochs => 2) \g /dev/null
SELECT recipe->'propensity_exponent' AS propensity_exponent FROM metricrec.train('m');
CREATE TABLE before AS SELECT item_id, embedding FROM m_item_embedding;
SELECT metricrec.alter_model('m', propensity_exponent => 0) \g /dev/null
SELECT recipe->'propensity_exponent' AS propensity_exponent FROM metricrec.train('m');
SELECT count(*) AS items, bool_and(b.embedding = a.embedding) AS same FROM before b JOIN m_item_embedding a USING (item_id);
SELECT metricrec.alter_model('m', propensity_exponent => 0.5) \g /dev/null
SELECT recipe->'propensity_exponent' AS propensity_exponent FROM metricrec.train('m');
SELECT bool_or(b.embedding <> a.embedding) AS other FROM before b JOIN m_item_embedding a USING (item_id);
DROP TABLE before;
SELECT metricrec.drop_model('m');
DROP SCHEMA pe CASCADE;
