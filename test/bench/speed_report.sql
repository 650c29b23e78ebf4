-- speed_report.sql: run by speed.sh at the end.  Variables: part, peak (Gflop/s of sgemm), floor.
\set QUIET on
\pset footer off
\pset null ''
SET client_min_messages = warning;
SET search_path = bench, public;
\echo
\echo 'MovieLens-1M, leave-one-out among 99; held out:' :part
SELECT 'metricrec' AS side, CASE recipe WHEN 'tower' THEN tower || ', no comparison' ELSE recipe END AS recipe, workers, epochs, dimensions AS d,
	   round(avg(seconds)::numeric, 1) AS seconds, round(avg(processor_seconds)::numeric, 1) AS cpu_s, round(avg(epoch_seconds)::numeric, 2) AS "s/epoch",
	   round((avg(interactions_per_s) / 1e6)::numeric, 2) AS "M interactions/s", round((avg(distances_per_s) / 1e6)::numeric, 1) AS "M triplets/s",
	   CASE WHEN softmax THEN round((100 * avg(distances_per_s) * 6 * dimensions / 1e9 / (:peak * (1 + coalesce(workers, 0))))::numeric, 0) END AS "% of sgemm",
	   round(avg(hit_rate)::numeric, 4) AS "HR@10", round(avg(ndcg)::numeric, 4) AS "NDCG@10"
FROM speeds GROUP BY recipe, tower, workers, epochs, dimensions, softmax
UNION ALL
SELECT line->>'peer', line->>'preset', NULL, (line->>'epochs')::int, 100, round((line->>'seconds')::numeric, 1), round((line->>'processor_seconds')::numeric, 1),
	   round((line->>'seconds_per_epoch')::numeric, 2), round((line->>'triplets_per_second')::numeric / 20e6, 2), round((line->>'triplets_per_second')::numeric / 1e6, 1),
	   NULL, (line->>'hit_rate_10')::numeric, (line->>'ndcg_10')::numeric
FROM peer
ORDER BY side, recipe, workers, epochs;
\echo
\echo 'Least seconds of a row that reached HR@10' :floor
SELECT 'metricrec' AS side, workers, round(min(seconds) FILTER (WHERE hit_rate >= :floor)::numeric, 1) AS seconds,
	   round(max(hit_rate)::numeric, 4) AS "best HR@10"
FROM (SELECT workers, avg(seconds) AS seconds, avg(hit_rate) AS hit_rate FROM speeds GROUP BY recipe, tower, workers, epochs) s GROUP BY workers
UNION ALL
SELECT line->>'peer', NULL, (line->>'seconds_to_floor')::numeric, (line->>'hit_rate_10')::numeric FROM peer
ORDER BY side, workers;
DROP SCHEMA bench CASCADE;
