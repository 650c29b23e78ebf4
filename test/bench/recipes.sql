-- recipes.sql: what the benches with real data share.  Makes the schema bench,
-- afresh, and stays in it.
--
--	measure()		trains a recipe once per seed and evaluates it
--	neighbours()	ranks by the neighbours of the items, item-kNN, as metricrec.compare() does
--	popularity()	ranks the most popular items first, on the same pairs
--
-- Relations have the columns user_id and item_id.
\set QUIET on
\set ON_ERROR_STOP on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '256MB';
CREATE EXTENSION IF NOT EXISTS metricrec;
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
SET search_path = bench, public;

-- protocol: 'full' ranks all items, 'sampled' the held-out item among candidates.
CREATE TABLE measured (recipe text, seed int, protocol text, metric text, k int, value float8);
CREATE TABLE trained (recipe text, seed int, seconds float8, epochs int, tower text, dimensions int, evaluation_seconds float8,
					  processor_seconds float8);

-- Processor time of this backend so far, in seconds: what the clock says depends on what else the machine does.
CREATE FUNCTION processor_seconds() RETURNS float8 LANGUAGE sql VOLATILE AS
$$ SELECT split_part(pg_read_file('/proc/self/schedstat', 0, 100), ' ', 1)::float8 / 1e9 $$;

-- options: further arguments of metricrec.create_model(), as SQL text.
-- candidates: relations for one evaluation each; NULL among them: all items.
CREATE PROCEDURE measure(name text, options text, seeds int, train regclass, test regclass,
						 k int[], candidates regclass[], exclude regclass DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	result record;
	relation regclass;
	started timestamptz;
	processor float8;
BEGIN
	FOR s IN 1..seeds LOOP
		EXECUTE format('SELECT metricrec.create_model(''bench_model'', %L, seed => %s%s)', train, s, ', ' || nullif(options, ''));
		processor := bench.processor_seconds();
		SELECT * INTO result FROM metricrec.train('bench_model');
		processor := bench.processor_seconds() - processor;
		COMMIT;
		started := clock_timestamp();
		FOREACH relation IN ARRAY candidates LOOP
			INSERT INTO measured
			SELECT name, s, CASE WHEN relation IS NULL THEN 'full' ELSE 'sampled' END, e.metric, e.k, e.value
			FROM metricrec.evaluate('bench_model', test, k, relation, exclude) e WHERE e.k IS NOT NULL;
		END LOOP;
		INSERT INTO trained VALUES (name, s, extract(epoch FROM result.duration), result.epochs,
									result.recipe->>'user_tower', (result.recipe->>'dimensions')::int,
									extract(epoch FROM clock_timestamp() - started), processor);
		RAISE INFO '%, seed %: trained in % s, evaluated in % s', name, s, round(extract(epoch FROM result.duration), 1),
			round(extract(epoch FROM clock_timestamp() - started), 1);
		PERFORM metricrec.drop_model('bench_model');
		COMMIT;
	END LOOP;
END $$;

-- The neighbours need no training, but a model to be compared with: a poor one will do.
CREATE PROCEDURE neighbours(train regclass, test regclass, cuts int[], candidates regclass[], exclude regclass DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
	relation regclass;
BEGIN
	PERFORM metricrec.create_model('bench_model', train, user_tower => 'pooled', dimensions => 4, epochs => 1);
	PERFORM metricrec.train('bench_model');
	FOREACH relation IN ARRAY candidates LOOP
		INSERT INTO measured
		SELECT c.recommender, 1, CASE WHEN relation IS NULL THEN 'full' ELSE 'sampled' END, c.metric, c.k, c.value
		FROM metricrec.compare('bench_model', test, cuts, relation, exclude, '{item_knn}') c WHERE c.k IS NOT NULL;
	END LOOP;
	PERFORM metricrec.drop_model('bench_model');
END $$;

-- By the rules of metricrec.evaluate(): training pairs and `exclude` are left out,
-- held-out items stay in, ties with other items are lost, items that no training
-- pair has are missed.  The rank of a held-out item is 1 + the other items that
-- are as popular + the user's held-out items before it.
CREATE PROCEDURE popularity(train regclass, test regclass, cuts int[], candidates regclass, exclude regclass DEFAULT NULL)
LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMPORARY TABLE held AS SELECT NULL::int AS user_id, NULL::int AS item_id, 0::bigint AS n LIMIT 0;
	EXECUTE format('CREATE TEMPORARY TABLE counts AS SELECT item_id, count(*) AS n FROM %s GROUP BY item_id', train);
	EXECUTE format('INSERT INTO held SELECT DISTINCT user_id, item_id, coalesce(n, 0) FROM %s LEFT JOIN counts USING (item_id)', test);
	CREATE TEMPORARY TABLE left_out AS SELECT user_id, item_id FROM held LIMIT 0;
	EXECUTE format('INSERT INTO left_out SELECT user_id, item_id FROM %s', train);
	IF exclude IS NOT NULL THEN
		EXECUTE format('INSERT INTO left_out SELECT user_id, item_id FROM %s', exclude);
	END IF;
	ANALYZE held;
	ANALYZE counts;
	ANALYZE left_out;
	IF candidates IS NULL THEN
		-- all items as popular, less those of them that are left out or held out
		CREATE TEMPORARY TABLE as_popular AS
		WITH gone AS (
			SELECT user_id, item_id FROM left_out UNION SELECT user_id, item_id FROM held
		), less AS (
			SELECT h.user_id, h.item_id, count(*) AS n
			FROM held h JOIN gone g USING (user_id) JOIN counts c ON c.item_id = g.item_id AND c.n >= h.n
			GROUP BY h.user_id, h.item_id
		), at_least AS (
			SELECT n AS popularity, sum(count(*)) OVER (ORDER BY n DESC) AS n FROM counts GROUP BY n
		)
		SELECT h.user_id, h.item_id, a.n - less.n AS n
		FROM held h JOIN at_least a ON a.popularity = h.n JOIN less USING (user_id, item_id);
	ELSE
		EXECUTE format($sql$
			CREATE TEMPORARY TABLE as_popular AS
			SELECT h.user_id, h.item_id, count(c.n) AS n
			FROM held h LEFT JOIN %s p ON p.user_id = h.user_id AND p.item_id <> h.item_id
			LEFT JOIN counts c ON c.item_id = p.item_id AND c.n >= h.n
			GROUP BY h.user_id, h.item_id $sql$, candidates);
	END IF;
	INSERT INTO measured
	WITH ranks AS (
		SELECT h.user_id, a.n + row_number() OVER (PARTITION BY h.user_id ORDER BY h.n DESC, h.item_id) AS rank
		FROM held h JOIN as_popular a USING (user_id, item_id) WHERE h.n > 0
	), users AS (
		SELECT h.user_id, h.n AS held, k, count(rank) AS hits, coalesce(sum(1 / log(2, rank + 1)), 0) AS gain
		FROM (SELECT user_id, count(*) AS n FROM held GROUP BY user_id) h
		CROSS JOIN unnest(cuts) k
		LEFT JOIN ranks r ON r.user_id = h.user_id AND r.rank <= k GROUP BY h.user_id, h.n, k
	), best AS (
		SELECT n, sum(1 / log(2, j + 1)) AS gain FROM generate_series(1, (SELECT max(k) FROM users)) n, generate_series(1, n) j GROUP BY n
	)
	SELECT 'popularity', 1, CASE WHEN candidates IS NULL THEN 'full' ELSE 'sampled' END, m.metric, u.k, m.value
	FROM (SELECT k, avg((hits > 0)::int)::float8 AS hit_rate, avg(hits::float8 / held) AS recall, avg(u.gain / b.gain)::float8 AS ndcg
		  FROM users u JOIN best b ON b.n = least(u.held, u.k) GROUP BY k) u,
		 LATERAL (VALUES ('hit_rate', hit_rate), ('recall', recall), ('ndcg', ndcg)) m(metric, value);
	DROP TABLE held, counts, left_out, as_popular;
END $$;

-- Is the recipe wanted?  only: names between commas, or '' for all.
CREATE FUNCTION wanted(recipe text, only_these text) RETURNS boolean LANGUAGE sql AS
$$ SELECT only_these = '' OR recipe = ANY (string_to_array(only_these, ',')) $$;

-- Mean over seeds and draws, for a table of results.
CREATE VIEW figures AS
SELECT recipe, protocol, metric, k, avg(value) AS value, stddev_samp(value) AS deviation, count(*) AS n
FROM measured GROUP BY recipe, protocol, metric, k;
CREATE FUNCTION figure(which text, how text, what text, cut int) RETURNS numeric STABLE LANGUAGE sql AS $$
	SELECT round(value::numeric, 4) FROM figures WHERE recipe = which AND protocol = how AND metric = what AND k = cut $$;
