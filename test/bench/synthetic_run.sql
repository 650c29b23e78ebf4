-- synthetic_run.sql: one training of synthetic.sh, in a session of its own.
-- Variables: name, dimensions, options (arguments of create_model, may be empty).
\set QUIET on
\pset footer off
SET client_min_messages = warning;
SET jit = off;
SET search_path = bench, public;
-- as much as it needs, to see how much that is
SET metricrec.training_memory = '64GB';

\o /dev/null
SELECT format('SELECT metricrec.create_model(''bench_model'', ''train_part'', dimensions => %s%s)', :dimensions, ', ' || nullif(:'options', '')) \gexec
\o
SELECT processor_seconds() AS before \gset
CREATE TEMPORARY TABLE result AS SELECT * FROM metricrec.train('bench_model');
SELECT processor_seconds() - :before AS processor \gset
SELECT peak_kb() AS peak \gset
CREATE TEMPORARY TABLE log AS
SELECT count(*) AS epochs, sum(positives) AS positives, sum(negatives) AS negatives, sum(seconds) AS seconds
FROM metricrec.training_log WHERE model = 'bench_model';
CREATE TEMPORARY TABLE popular AS SELECT item_id, row_number() OVER (ORDER BY count(*) DESC, item_id) AS n FROM train_part GROUP BY item_id;
CREATE INDEX ON popular (n);
ANALYZE popular;
INSERT INTO runs (name, users, items, interactions, dimensions, epochs, all_epochs, tower, seconds, processor_seconds,
				  interactions_per_s, distances_per_s, peak_kb, hit_rate, popular_hit_rate)
SELECT :'name', t.users, t.items, t.interactions, :dimensions, r.epochs, l.epochs, r.recipe->>'user_tower', extract(epoch FROM r.duration), :processor,
	   l.positives / l.seconds, l.negatives / l.seconds, nullif(:'peak', '')::bigint,
	   (SELECT value FROM metricrec.evaluate('bench_model', 'held_part', '{10}') e WHERE e.metric = 'hit_rate'),
	   (SELECT avg(EXISTS (SELECT FROM (SELECT p.item_id FROM popular p
										WHERE NOT EXISTS (SELECT FROM train_part s WHERE s.user_id = h.user_id AND s.item_id = p.item_id)
										ORDER BY p.n LIMIT 10) first WHERE first.item_id = h.item_id)::int) FROM held_part h)
FROM result r, log l, (SELECT count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS items, count(*) AS interactions FROM train_part) t;
SELECT metricrec.drop_model('bench_model') \g /dev/null
