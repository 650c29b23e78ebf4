--
-- What the query functions refuse, with SQLSTATE and hint.
--
SET client_min_messages = warning;
CREATE TABLE likes (user_id int NOT NULL, item_id int NOT NULL, rating float8);
INSERT INTO likes SELECT u, i, 4 FROM generate_series(1, 8) u, generate_series(1, 8) i
WHERE (u <= 4) = (i <= 4) AND (u + i) % 4 <> 0;
CREATE INDEX ON likes (user_id);

-- no model, an untrained model, a model that is not there
SELECT * FROM recommend(1); \echo :SQLSTATE
SELECT model FROM metricrec.create_model('films', 'likes', rating_column => 'rating', min_rating => 3,
	dimensions => 4, user_tower => 'pooled', epochs => 5, seed => 1);
SELECT * FROM recommend(1); \echo :SQLSTATE
SELECT active FROM metricrec.train('films');
SELECT * FROM recommend(1, model => 'filns'); \echo :SQLSTATE

-- numbers
SELECT * FROM recommend(1, 0); \echo :SQLSTATE
SELECT * FROM recommend('1', -1); \echo :SQLSTATE
SELECT * FROM recommend(1, 1000001); \echo :SQLSTATE
SELECT * FROM similar_items(1, 2147483647); \echo :SQLSTATE
SELECT * FROM similar_users(1, 0); \echo :SQLSTATE
SELECT * FROM explain_recommendation(1, 2, 0); \echo :SQLSTATE
SELECT * FROM recommend(1, 5, diversity => 1); \echo :SQLSTATE
SELECT * FROM recommend(1, 5, diversity => -0.1); \echo :SQLSTATE
SELECT * FROM recommend(1, 5, diversity => 'NaN'); \echo :SQLSTATE
SELECT * FROM recommend(1, 1001, diversity => 0.1); \echo :SQLSTATE

-- unknown users and items
SELECT * FROM recommend(99); \echo :SQLSTATE
SELECT * FROM recommend('99', exclude_seen => false); \echo :SQLSTATE
SELECT * FROM recommend(9223372036854775807); \echo :SQLSTATE
SELECT * FROM similar_users(99); \echo :SQLSTATE
SELECT * FROM similar_items(99); \echo :SQLSTATE
SELECT * FROM explain_recommendation(1, 99); \echo :SQLSTATE
SELECT * FROM explain_recommendation(99, 1); \echo :SQLSTATE
SELECT * FROM recommend_for_items(ARRAY[98, 99]); \echo :SQLSTATE
SELECT * FROM recommend_for_items('{}'::bigint[]); \echo :SQLSTATE
SELECT * FROM recommend_for_items(ARRAY[NULL]::text[]); \echo :SQLSTATE
SELECT * FROM recommend_for_items(NULL::bigint[]); \echo :SQLSTATE

-- ids that are none
SELECT * FROM recommend('one'); \echo :SQLSTATE
SELECT * FROM recommend(''); \echo :SQLSTATE
SELECT * FROM recommend('99999999999999999999'); \echo :SQLSTATE
SELECT * FROM recommend_for_items(ARRAY['1', 'x']); \echo :SQLSTATE
SELECT * FROM recommend(1.5); \echo :SQLSTATE

-- a view that gives points of other dimensions
BEGIN;
CREATE OR REPLACE VIEW films_item_embedding AS
SELECT item_id, '[1,2]'::embedding AS embedding, interactions FROM films_item_embedding_v1;
SAVEPOINT s;
SELECT * FROM recommend(2, exclude_seen => false); \echo :SQLSTATE
ROLLBACK TO s;
SET LOCAL metricrec.live_history = off;
SELECT * FROM recommend(2); \echo :SQLSTATE
ROLLBACK;

-- candidates
CREATE TABLE no_item (product int);
CREATE TABLE text_item (item_id text);
CREATE TABLE text_user (user_id text, item_id int);
SELECT * FROM recommend(1, candidates => 'no_item'); \echo :SQLSTATE
SELECT * FROM recommend(1, candidates => 'text_item'); \echo :SQLSTATE
SELECT * FROM recommend(1, candidates => 'text_user'); \echo :SQLSTATE
SELECT * FROM recommend(1, candidates => 'not_there'); \echo :SQLSTATE
SELECT * FROM recommend(1, candidates => 4294967295); \echo :SQLSTATE

-- the bigint form and keys of another type
CREATE TABLE buys (who text, item_id int);
INSERT INTO buys SELECT 'user ' || user_id, item_id FROM likes;
CREATE INDEX ON buys (who);
SELECT model FROM metricrec.create_model('shop', 'buys', 'who', dimensions => 4, user_tower => 'pooled', epochs => 5, seed => 1);
SELECT active FROM metricrec.train('shop');
SELECT * FROM recommend(1, model => 'shop'); \echo :SQLSTATE
SELECT * FROM similar_users(1, model => 'shop'); \echo :SQLSTATE
SELECT count(*) FROM similar_items(1, model => 'shop');
SELECT * FROM explain_recommendation(1, 2, model => 'shop'); \echo :SQLSTATE
-- two models: which?
SELECT * FROM recommend(1); \echo :SQLSTATE
SET metricrec.default_model = 'nowhere';
SELECT * FROM recommend(1); \echo :SQLSTATE
RESET metricrec.default_model;

--
-- Privileges
--
CREATE ROLE regress_mr_guest;
SET ROLE regress_mr_guest;
SELECT count(*) FROM recommend(1, model => 'films'); \echo :SQLSTATE
RESET ROLE;
GRANT SELECT ON films_item_embedding, films_user_embedding TO regress_mr_guest;
SET ROLE regress_mr_guest;
SELECT count(*) FROM recommend(1); \echo :SQLSTATE
SELECT count(*) FROM explain_recommendation(1, 2); \echo :SQLSTATE
-- the stored point serves
SELECT count(*) FROM recommend(1, exclude_seen => false);
SELECT count(*) FROM recommend_for_items(ARRAY[1, 2]);
SELECT count(*) FROM similar_users(1);
RESET ROLE;
-- columns are enough; without the rating, seen items are known but liked ones are not
GRANT SELECT (user_id, item_id) ON likes TO regress_mr_guest;
SET ROLE regress_mr_guest;
SELECT count(*) FROM recommend(1);
SELECT count(*) FROM explain_recommendation(1, 2); \echo :SQLSTATE
RESET ROLE;
GRANT SELECT (rating) ON likes TO regress_mr_guest;
SET ROLE regress_mr_guest;
SELECT count(*) > 0 AS explained FROM explain_recommendation(1, 2);
RESET ROLE;
-- candidates are read as the caller, too
SET ROLE regress_mr_guest;
SELECT count(*) FROM recommend(1, candidates => 'no_item'); \echo :SQLSTATE
RESET ROLE;
GRANT SELECT ON films_item_embedding TO regress_mr_guest;
REVOKE SELECT ON films_user_embedding FROM regress_mr_guest;
SET ROLE regress_mr_guest;
SELECT count(*) FROM similar_users(1); \echo :SQLSTATE
SELECT count(*) FROM similar_items(1);
RESET ROLE;

--
-- The interactions change under the model
--
ALTER TABLE likes RENAME item_id TO thing;
SELECT * FROM recommend(1, model => 'films'); \echo :SQLSTATE
SELECT count(*) FROM recommend(1, model => 'films', exclude_seen => false);
SELECT * FROM explain_recommendation(1, 2, model => 'films'); \echo :SQLSTATE
ALTER TABLE likes RENAME thing TO item_id;
ALTER TABLE likes RENAME rating TO stars;
SELECT count(*) FROM recommend(1, model => 'films');
SELECT * FROM explain_recommendation(1, 2, model => 'films'); \echo :SQLSTATE
ALTER TABLE likes RENAME stars TO rating;
ALTER TABLE likes ALTER user_id TYPE bigint, ALTER item_id TYPE smallint;
SELECT count(*) FROM recommend(1, model => 'films');
ALTER TABLE likes ALTER user_id TYPE text;
SELECT * FROM recommend(1, model => 'films'); \echo :SQLSTATE
SELECT count(*) FROM recommend(1, model => 'films', exclude_seen => false);
DROP TABLE likes;
SELECT * FROM recommend(1, model => 'films'); \echo :SQLSTATE
SELECT count(*) FROM recommend(1, model => 'films', exclude_seen => false);
SELECT count(*) FROM similar_users(1, model => 'films');
SELECT * FROM explain_recommendation(1, 2, model => 'films'); \echo :SQLSTATE

--
-- The columns of the views change under the model: never taken for what they are not
--
\set VERBOSITY terse
ALTER VIEW shop_item_embedding RENAME embedding TO point;
CREATE OR REPLACE VIEW shop_item_embedding AS
SELECT item_id, embedding::embedding AS point, interactions, 7 AS embedding FROM shop_item_embedding_v1;
SELECT * FROM recommend('user 1', model => 'shop'); \echo :SQLSTATE
SELECT * FROM similar_items(1, model => 'shop'); \echo :SQLSTATE
SELECT * FROM recommend_for_items(ARRAY[1, 2], model => 'shop'); \echo :SQLSTATE
SELECT * FROM metricrec.evaluate('shop', 'buys'); \echo :SQLSTATE
ALTER VIEW shop_item_embedding RENAME embedding TO seven;
ALTER VIEW shop_item_embedding RENAME point TO embedding;
ALTER VIEW shop_item_embedding RENAME interactions TO n;
CREATE OR REPLACE VIEW shop_item_embedding AS
SELECT item_id, embedding::embedding AS embedding, interactions AS n, 7 AS seven, 'x'::text AS interactions FROM shop_item_embedding_v1;
SELECT count(*) > 0 AS answered FROM recommend('user 1', model => 'shop');
SELECT * FROM metricrec.evaluate('shop', 'buys'); \echo :SQLSTATE
ALTER VIEW shop_user_embedding RENAME user_id TO who;
CREATE OR REPLACE VIEW shop_user_embedding AS
SELECT user_id AS who, embedding::embedding AS embedding, interactions, 7 AS user_id FROM shop_user_embedding_v1;
SELECT * FROM metricrec.evaluate('shop', 'buys'); \echo :SQLSTATE
SELECT * FROM recommend('7', model => 'shop'); \echo :SQLSTATE
SELECT * FROM similar_users('7', model => 'shop'); \echo :SQLSTATE
\set VERBOSITY default

SELECT metricrec.drop_model('films'), metricrec.drop_model('shop');
SELECT * FROM recommend(1); \echo :SQLSTATE
DROP TABLE buys, no_item, text_item, text_user;
DROP ROLE regress_mr_guest;
