-- ann_train.sql: run by ann.sh.  Trains a model with the default recipe on S_events
-- and leaves its items in S_raw and some of its users in S_asked (id, v).
-- Variables: set, queries.
\set QUIET on
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET search_path = ann, public;
SET jit = off;
\set events :set _events
\set raw :set _raw
\set asked :set _asked
CREATE INDEX ON :events (user_id);
ANALYZE :events;
SELECT metricrec.create_model('ann_model', 'ann.' || :'events', dimensions => 64, seed => 1) \g /dev/null
SELECT * FROM metricrec.train('ann_model') \g /dev/null
CREATE UNLOGGED TABLE :raw AS
SELECT row_number() OVER (ORDER BY item_id)::int AS id, embedding AS v FROM ann_model_item_embedding;
CREATE UNLOGGED TABLE :asked AS
SELECT row_number() OVER (ORDER BY hashint8extended(user_id, 1))::int AS id, embedding AS v
FROM ann_model_user_embedding ORDER BY 1 LIMIT :queries;
SELECT metricrec.drop_model('ann_model') \g /dev/null
