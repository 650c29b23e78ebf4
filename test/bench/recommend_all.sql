-- One model's part of recommend_all.sh; variables model, k, users, items, dimensions, peak.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS bench;
CREATE OR REPLACE FUNCTION bench.cpu() RETURNS float8 LANGUAGE sql AS
$$ SELECT split_part(pg_read_file('/proc/self/schedstat', 0, 100), ' ', 1)::float8 / 1e9 $$;
CREATE TABLE IF NOT EXISTS bench.all_results (model text, what text, cpu float8, seconds float8, scale float8);

CREATE OR REPLACE PROCEDURE bench.time(model text, what text, command text, scale float8) LANGUAGE plpgsql AS $$
DECLARE
	cpu float8 := bench.cpu();
	start timestamptz := clock_timestamp();
BEGIN
	EXECUTE command;
	INSERT INTO bench.all_results VALUES (model, what, (bench.cpu() - cpu) * scale,
										  extract(epoch FROM clock_timestamp() - start) * scale, scale);
END $$;

-- the library, OpenBLAS, caches
SELECT FROM metricrec.recommend_all(:'model', :k) LIMIT 1 \g /dev/null
SET max_parallel_maintenance_workers = 0;
CALL bench.time(:'model', 'recommend_all', format('SELECT count(*) FROM metricrec.recommend_all(%L, %s)', :'model', :k), 1);
CALL bench.time(:'model', 'recommend_all_into', format('CALL metricrec.recommend_all_into(%L, %s, %L)', :'model', :k, 'bench.all_' || :'model'), 1);
SET max_parallel_maintenance_workers = 1;
CALL bench.time(:'model', 'recommend_all, one worker', format('SELECT count(*) FROM metricrec.recommend_all(%L, %s)', :'model', :k), 1);
CREATE TEMP TABLE asked AS SELECT user_id FROM (SELECT DISTINCT user_id FROM :users_view) u ORDER BY hashint8(user_id) LIMIT 200;
SET lsh.exact = on;
CALL bench.time(:'model', 'lateral, exact', format('SELECT count(r.item_id) FROM asked, LATERAL recommend(user_id, %s, %L) r', :k, :'model'), :users / 200.0);
RESET lsh.exact;
CALL bench.time(:'model', 'lateral, index', format('SELECT count(r.item_id) FROM asked, LATERAL recommend(user_id, %s, %L) r', :k, :'model'), :users / 200.0);
DROP TABLE asked;

SELECT model, what, round(cpu::numeric, 2) AS cpu_seconds, round(seconds::numeric, 2) AS seconds,
	round((:users::numeric * :items / cpu / 1e6)::numeric) AS million_pairs_per_cpu_second,
	CASE WHEN what LIKE 'recommend%' AND what NOT LIKE '%worker' THEN round((100 * 2e-9 * :users * :items * :dimensions / cpu / :peak)::numeric) END AS percent_of_sgemm
FROM bench.all_results WHERE model = :'model';
