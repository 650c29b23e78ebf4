--
-- Tags: posts in the data set, training, views and versions, recommend_tags,
-- evaluate.
--
CREATE SCHEMA tg;
SET search_path = tg, public;
SET client_min_messages = warning;
CREATE FUNCTION describe_posts(relation regclass, "user" name, item name, rating name, min_rating float8, weight name, "time" name,
							   tag name, hash boolean) RETURNS text
	LANGUAGE C AS '$libdir/metricrec', 'mr_dataset_describe_posts';
CREATE FUNCTION describe_posts_mapped(relation regclass, "user" name, item name, rating name, min_rating float8, weight name,
									  "time" name, tag name, test regclass) RETURNS text
	LANGUAGE C AS '$libdir/metricrec', 'mr_dataset_describe_posts_mapped';
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

-- ---------------------------------------------------------------------------
-- Posts
-- ---------------------------------------------------------------------------
CREATE TABLE t (u int, i int, r int, tag text);
SELECT describe_posts('t', 'u', 'i', NULL, NULL, NULL, NULL, 'tag', false);
-- a tag given twice, a row without tag, NULL keys; tags and posts in their order
INSERT INTO t VALUES (2, 20, 5, 'b'), (2, 20, 5, 'a'), (2, 20, 5, 'b'), (2, 10, 5, NULL), (1, 20, 5, 'c'), (1, 20, 5, NULL),
	(NULL, 20, 5, 'x'), (1, NULL, 5, 'y'), (1, 10, 1, 'z'), (1, 10, 1, 'a'), (3, 30, 1, 'w');
SELECT describe_posts('t', 'u', 'i', NULL, NULL, NULL, NULL, 'tag', false);
-- tags of rows below the minimum are not learned; a tag that has no other row is none
SELECT describe_posts('t', 'u', 'i', 'r', 2, NULL, NULL, 'tag', false);
-- only NULLs
CREATE TABLE no_tags AS SELECT u, i, NULL::text AS tag FROM t;
SELECT describe_posts('no_tags', 'u', 'i', NULL, NULL, NULL, NULL, 'tag', false);
-- the order on disk does not matter; more tags than fit into one batch, of every kind
CREATE TABLE many AS SELECT n % 97 AS u, n % 83 AS i, CASE WHEN n % 7 > 0 THEN 'tag ' || n % 61 END AS tag,
	n % 61 AS number, (n % 61)::numeric / 3 AS fraction, md5((n % 61)::text)::uuid AS uid FROM generate_series(1, 20000) n;
CREATE TABLE shuffled AS SELECT * FROM many ORDER BY md5(u || ' ' || i || ' ' || coalesce(tag, ''));
SELECT describe_posts('many', 'u', 'i', NULL, NULL, NULL, NULL, c, true) =
	   describe_posts('shuffled', 'u', 'i', NULL, NULL, NULL, NULL, c, true) AS same,
	   split_part(describe_posts('many', 'u', 'i', NULL, NULL, NULL, NULL, c, true), '; hash', 1) AS posts
FROM unnest(ARRAY['tag', 'number', 'fraction', 'uid']::name[]) c;
SELECT count(DISTINCT (u, i)) AS posts, count(DISTINCT (u, i, tag)) AS taggings, count(DISTINCT tag) AS tags FROM many WHERE tag IS NOT NULL;
-- another relation by the maps: ids that are not known come after all others
CREATE TABLE other (u int, i int, r int, tag text);
INSERT INTO other VALUES (1, 20, 5, 'a'), (1, 20, 5, 'new'), (7, 20, 5, 'a'), (1, 70, 5, 'c'), (2, 10, 5, NULL), (2, 20, 5, 'b');
SELECT describe_posts_mapped('t', 'u', 'i', NULL, NULL, NULL, NULL, 'tag', 'other');
SELECT fails($$SELECT describe_posts('t', 'u', 'i', NULL, NULL, NULL, NULL, 'label', false)$$);
CREATE VIEW larger AS SELECT n % 997 AS u, n % 983 AS i, n % 61 AS tag FROM generate_series(1, 100000) n;
SET metricrec.training_memory = '1MB';
SELECT fails($$SELECT describe_posts('larger', 'u', 'i', NULL, NULL, NULL, NULL, 'tag', true)$$) LIKE '53200%' AS refused;
RESET metricrec.training_memory;

-- ---------------------------------------------------------------------------
-- Models
-- ---------------------------------------------------------------------------
-- the tags of a post: the kind of the item, and how the user writes
CREATE TABLE taggings (user_id int, item_id int, tag text, at date DEFAULT '2026-01-01');
INSERT INTO taggings
SELECT u, i, tag FROM generate_series(1, 60) u, generate_series(1, 40) i,
	LATERAL (VALUES ('kind ' || i % 5), (CASE WHEN u % 2 = 0 THEN 'even' ELSE 'odd' END)) t(tag)
WHERE (u * 7 + i * 11) % 5 < 2 OR (u + i) % 17 = 0;
INSERT INTO taggings VALUES (1, 41, NULL), (2, 41, NULL), (3, 41, NULL);

SELECT fails($$SELECT metricrec.create_model('m', 'taggings', tag_column => 'label')$$);
SELECT fails($$SELECT metricrec.create_model('m', 'taggings', tag_column => 'user_id')$$);
SELECT fails($$SELECT metricrec.create_model('m', 'taggings', tag_weight => 0.5)$$);
SELECT fails($$SELECT metricrec.create_model('m', 'taggings', tag_column => 'tag', tag_weight => 1.5)$$);
SELECT fails($$SELECT metricrec.create_model('m', 'taggings', tag_column => 'tag', loss => 'triplet')$$);
SELECT fails($$SELECT metricrec.create_model('m', 'taggings', tag_column => 'tag', preset => 'cml_paper')$$);
SELECT fails($$SELECT metricrec.create_model('m', 'taggings', tag_column => 'tag', propagation => 0.5)$$);
CREATE TABLE arrays (user_id int, item_id int, tag text[]);
SELECT fails($$SELECT metricrec.create_model('m', 'arrays', tag_column => 'tag')$$);

SET client_min_messages = notice;
SELECT model, user_embedding, item_embedding FROM metricrec.create_model('m', 'taggings', tag_column => 'tag', dimensions => 16);
SET client_min_messages = warning;
CREATE INDEX ON taggings (user_id, item_id);
CREATE INDEX ON taggings (item_id, user_id);
SELECT model, tag_column, tag_type, tag_embedding FROM metricrec.models;
SELECT * FROM m_tag_embedding;
SELECT fails($$SELECT * FROM recommend_tags(1)$$);
SELECT fails($$SELECT metricrec.alter_model('m', propagation => 1)$$);
SELECT options FROM metricrec.alter_model('m', tag_weight => 0.7, tag_temperature => 0.2);
SELECT options FROM metricrec.alter_model('m', reset => '{tag_weight,tag_temperature}');

SELECT version, active, users, items, interactions, counts FROM metricrec.train('m');
SELECT version, state, tags, tag_table FROM metricrec.model_versions;
SELECT tag, interactions, dims(embedding) FROM m_tag_embedding ORDER BY tag;
SELECT (SELECT count(DISTINCT (user_id, item_id)) FROM taggings t WHERE t.tag = e.tag) = interactions AS counted, count(*)
FROM m_tag_embedding e GROUP BY 1;
\d m_tag_embedding_v1

-- tags of an item: its kind; of an item and a user, how the user writes, too
SELECT item, (SELECT array_agg(tag ORDER BY tag) FROM recommend_tags(item, 2, 2, exclude_given => false)) AS even,
	   (SELECT array_agg(tag ORDER BY tag) FROM recommend_tags(item, 2, 3, exclude_given => false)) AS odd
FROM generate_series(11, 15) item;
-- by default without those that are given: by this user, or by anybody
SELECT tag FROM taggings WHERE item_id = 12 AND user_id = 4 ORDER BY tag;
SELECT count(*), count(*) FILTER (WHERE tag IN ('even', 'kind 2')) AS given FROM recommend_tags(12, 10, 4);
SELECT count(*), count(*) FILTER (WHERE tag IN (SELECT tag FROM taggings WHERE item_id = 12)) AS given FROM recommend_tags(12);
SELECT count(*) FROM recommend_tags(12, exclude_given => false);
-- live: a tag that was just given is left out at once
BEGIN;
INSERT INTO taggings SELECT 7, 13, tag FROM recommend_tags(13, 1, 7);
SELECT count(*) FROM recommend_tags(13, 10, 7) r JOIN taggings t USING (tag) WHERE t.user_id = 7 AND t.item_id = 13;
ROLLBACK;
-- an item without a post, but with a point
SELECT count(*) FROM recommend_tags(41, 10, 1);
-- both forms, the same answer; k; NULL
SELECT (SELECT array_agg(tag) FROM recommend_tags(12, 5, 4, 'm', false)) = (SELECT array_agg(tag) FROM recommend_tags('12', 5, '4', 'm', false)) AS same;
SELECT count(*) FROM recommend_tags(12, 3, exclude_given => false);
SELECT count(*) FROM recommend_tags(NULL::bigint);
SELECT fails($$SELECT * FROM recommend_tags(12, 0)$$);
SELECT fails($$SELECT * FROM recommend_tags(999)$$);
SELECT fails($$SELECT * FROM recommend_tags(12, 10, 999)$$);
SELECT fails($$SELECT * FROM recommend_tags('twelve')$$);
-- the order is that of the distance from the weighted midpoint, as plain SQL gives it
SELECT bool_and(a.tag = b.tag) AS same FROM
	(SELECT tag, row_number() OVER () AS n FROM recommend_tags(12, 10, exclude_given => false)) a JOIN
	(SELECT t.tag, row_number() OVER (ORDER BY t.embedding <-> q.point) AS n FROM m_tag_embedding t,
	 (SELECT ((embedding::real[])[1:dims(embedding) - 1] || 0::real)::embedding AS point FROM m_item_embedding WHERE item_id = 12) q) b USING (n);

-- a model without tags
SELECT model FROM metricrec.create_model('plain', 'taggings', dimensions => 8, epochs => 1, user_tower => 'pooled');
SELECT version FROM metricrec.train('plain');
SELECT fails($$SELECT * FROM recommend_tags(12, model => 'plain')$$);
SELECT fails($$SELECT metricrec.alter_model('plain', tag_weight => 1)$$);
SELECT metricrec.drop_model('plain');

-- ---------------------------------------------------------------------------
-- Versions
-- ---------------------------------------------------------------------------
-- a row of a user's own, a grant and an index go along; the same data give the same points
INSERT INTO m_tag_embedding (tag, embedding) SELECT 'mine', embedding FROM m_tag_embedding WHERE tag = 'odd';
CREATE ROLE regress_tags_reader;
GRANT SELECT ON m_tag_embedding_v1 TO regress_tags_reader;
CREATE INDEX mine ON m_tag_embedding_v1 (interactions);
SELECT version, active FROM metricrec.train('m');
SELECT tag, interactions FROM m_tag_embedding ORDER BY tag;
SELECT count(*) FROM m_tag_embedding_v1 a JOIN m_tag_embedding_v2 b ON a.tag = b.tag AND a.embedding = b.embedding;
SELECT has_table_privilege('regress_tags_reader', 'm_tag_embedding_v2', 'SELECT');
SELECT count(*) FROM pg_index WHERE indrelid = 'm_tag_embedding_v2'::regclass;
SELECT * FROM metricrec.activate('m', 1);
SELECT count(*) FROM m_tag_embedding;
SELECT version, active FROM metricrec.train('m');
SELECT version, active FROM metricrec.train('m');
SELECT version, state, tag_table, tags FROM metricrec.model_versions ORDER BY version;
-- privileges: of the views, and of the interactions that are read for what is given
GRANT USAGE ON SCHEMA tg TO regress_tags_reader;
SET ROLE regress_tags_reader;
SELECT fails($$SELECT * FROM recommend_tags(12, model => 'm')$$);
RESET ROLE;
GRANT SELECT ON m_item_embedding TO regress_tags_reader;
SET ROLE regress_tags_reader;
SELECT fails($$SELECT * FROM recommend_tags(12, model => 'm')$$);
RESET ROLE;
GRANT SELECT ON m_tag_embedding TO regress_tags_reader;
SET ROLE regress_tags_reader;
SELECT fails($$SELECT * FROM recommend_tags(12, model => 'm')$$);
SELECT count(*) FROM recommend_tags(12, model => 'm', exclude_given => false);
SELECT fails($$SELECT * FROM recommend_tags(12, 10, 4, 'm', false)$$);
RESET ROLE;
-- a dropped view is noticed
BEGIN;
DROP VIEW m_tag_embedding;
SELECT fails($$SELECT * FROM metricrec.train('m')$$);
SELECT fails($$SELECT * FROM recommend_tags(12)$$) ~ '^(42P01|42703)' AS error;
SELECT metricrec.drop_model('m');
SELECT relname FROM pg_class WHERE relname LIKE 'm\_%embedding%' AND relkind IN ('r', 'v');
ROLLBACK;

-- ---------------------------------------------------------------------------
-- Evaluation
-- ---------------------------------------------------------------------------
CREATE TABLE train AS SELECT user_id, item_id, tag FROM taggings WHERE (user_id + item_id * 3) % 13 > 0;
CREATE TABLE test AS SELECT user_id, item_id, tag FROM taggings WHERE (user_id + item_id * 3) % 13 = 0 AND tag IS NOT NULL;
SELECT count(DISTINCT (user_id, item_id)) AS posts FROM test;
SELECT model FROM metricrec.create_model('e', 'train', tag_column => 'tag', dimensions => 16, tag_weight => 0.5, validation_fraction => 1);
SELECT version, metrics ? 'tag_ndcg@10' AS validated FROM metricrec.train('e');
SELECT metric, k, CASE WHEN metric ~ 'posts|tags$' THEN value::text ELSE (value > 0.95)::text END AS good
FROM metricrec.evaluate('e', 'test', '{1,2}') WHERE metric ~ 'tag|posts';
-- precision cannot exceed 2/k, one post has two tags
SELECT k, value BETWEEN 2.0 / k - 0.05 AND 2.0 / k AS good FROM metricrec.evaluate('e', 'test', '{5,7}') WHERE metric = 'tag_precision';
-- unknown users and items are missed posts, unknown tags missed tags
CREATE TABLE strange AS SELECT * FROM test WHERE false;
INSERT INTO strange VALUES (12, 12, 'kind 2'), (12, 12, 'new'), (999, 12, 'kind 2'), (12, 999, 'kind 2');
SELECT metric, k, value FROM metricrec.evaluate('e', 'strange', '{2}') WHERE metric ~ 'tag|posts' AND metric !~ 'ndcg|mrr';
-- nothing about tags without the column, or without posts
SELECT count(*) FROM metricrec.evaluate('e', 'test') WHERE metric ~ 'tag|posts';
CREATE VIEW pairs AS SELECT user_id, item_id FROM test;
SELECT count(*) FROM metricrec.evaluate('e', 'pairs') WHERE metric ~ 'tag|posts';
CREATE VIEW nulls AS SELECT user_id, item_id, NULL::text AS tag FROM test;
SELECT count(*) FROM metricrec.evaluate('e', 'nulls') WHERE metric ~ 'tag|posts';
-- held out by itself
SELECT metric, k, value > 0.9 AS good FROM metricrec.evaluate('e', k => '{2}') WHERE metric ~ 'tag_recall|tag_hit';
-- the log judges by the tags
SELECT DISTINCT stage, ndcg > 0.9 AS good FROM metricrec.training_log WHERE model = 'e' AND ndcg IS NOT NULL ORDER BY stage;

-- ---------------------------------------------------------------------------
-- Other types; tags only
-- ---------------------------------------------------------------------------
CREATE TYPE mood AS ENUM ('calm', 'loud', 'odd');
CREATE TABLE typed AS SELECT md5(user_id::text)::uuid AS who, 'item ' || item_id AS what,
	(enum_range(NULL::mood))[1 + (item_id % 3)] AS mood, item_id % 7 AS number FROM taggings;
CREATE INDEX ON typed (who, what);
CREATE INDEX ON typed (what, who);
SELECT model FROM metricrec.create_model('typed', 'typed', 'who', 'what', tag_column => 'mood', tag_weight => 1, user_tower => 'free', dimensions => 12);
SELECT version, users, items FROM metricrec.train('typed');
SELECT tag, pg_typeof(tag) FROM recommend_tags('item 4', 1, md5('5'), 'typed', false);
SELECT tag FROM recommend_tags('item 4', model => 'typed') ORDER BY tag;
SELECT fails($$SELECT * FROM recommend_tags(4, model => 'typed')$$);
SELECT model FROM metricrec.create_model('numbers', 'typed', 'who', 'what', tag_column => 'number', tag_weight => 0, user_tower => 'pooled', dimensions => 12);
SELECT version FROM metricrec.train('numbers');
SELECT count(*) FROM recommend_tags('item 4', 10, md5('5'), 'numbers');
-- tags on too few
CREATE TABLE few AS SELECT user_id, item_id, CASE WHEN item_id = 3 THEN 'one' END AS tag FROM taggings;
SELECT model FROM metricrec.create_model('few', 'few', tag_column => 'tag');
SELECT fails($$SELECT * FROM metricrec.train('few')$$);
ALTER TABLE few DROP COLUMN tag;
SELECT fails($$SELECT * FROM metricrec.train('few')$$);
ALTER TABLE few ADD COLUMN tag int;
SELECT fails($$SELECT * FROM metricrec.train('few')$$);

SELECT metricrec.drop_model(model) FROM metricrec.models WHERE schema = 'tg';
SELECT relname FROM pg_class WHERE relnamespace = 'tg'::regnamespace AND relname LIKE '%embedding%' AND relkind IN ('r', 'v');
SET client_min_messages = warning;
DROP OWNED BY regress_tags_reader;
DROP ROLE regress_tags_reader;
DROP SCHEMA tg CASCADE;
