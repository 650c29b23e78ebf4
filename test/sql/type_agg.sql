-- avg(embedding) and sum(embedding): alone, grouped, in parallel, in windows.

SELECT avg(e), sum(e) FROM unnest('{"[1,2]","[3,5]",NULL}'::embedding[]) AS e;
SELECT avg(e), sum(e) FROM unnest('{"[1,2]"}'::embedding[]) AS e WHERE false;
SELECT avg(e), sum(e) FROM unnest('{NULL,NULL}'::embedding[]) AS e;
SELECT avg(DISTINCT e) FROM unnest('{"[1]","[1]","[4]"}'::embedding[]) AS e;

-- sums are kept in double: this is lost in float4
SELECT sum(e), avg(e) FROM unnest('{"[1e8]","[1]","[-1e8]"}'::embedding[]) AS e;
-- and may pass the range of float4 on the way, but not at the end
SELECT sum(e), avg(e) FROM unnest('{"[3e38]","[3e38]","[-3e38]"}'::embedding[]) AS e;
SELECT avg(e) FROM unnest('{"[3e38]","[3e38]"}'::embedding[]) AS e;
SELECT sum(e) FROM unnest('{"[3e38]","[3e38]"}'::embedding[]) AS e;

-- different dimensions
SELECT avg(e) FROM unnest('{"[1,2,3]","[1,2]"}'::embedding[]) AS e;
SELECT g, avg(e) FROM (VALUES (1, '[1,2,3]'::embedding), (2, '[1,2]'), (1, '[3,4,5]')) AS v (g, e) GROUP BY g ORDER BY g;

-- serially and in parallel
CREATE TABLE many (g int, e embedding(5));
INSERT INTO many
SELECT i % 10, CASE WHEN i % 50 <> 3 THEN ARRAY[i, i % 7, -i, 1, i % 2]::embedding END FROM generate_series(1, 20000) AS i;
ANALYZE many;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE serially AS SELECT g, avg(e) AS a, sum(e) AS s FROM many GROUP BY g;
SELECT g, a, s FROM serially ORDER BY g LIMIT 4;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT avg(e), sum(e) FROM many;
SELECT avg(e), sum(e) FROM many;
EXPLAIN (COSTS OFF) SELECT g, avg(e) AS a, sum(e) AS s FROM many GROUP BY g;
SELECT count(*) AS groups, count(*) FILTER (WHERE p.a = q.a AND p.s = q.s) AS equal
FROM (SELECT g, avg(e) AS a, sum(e) AS s FROM many GROUP BY g) AS p JOIN serially AS q USING (g);
-- a worker that sees no row, or only NULL, has no state to send
SELECT avg(e), sum(e) FROM many WHERE g < 0;
SELECT avg(e), sum(e) FROM many WHERE e IS NULL;
SELECT avg(e) FROM many WHERE g = 4 AND e >= '[19990]';
-- errors come back from workers
INSERT INTO many VALUES (1, '[3e38,0,0,0,0]'), (1, '[3e38,0,0,0,0]');
SELECT sum(e) FROM many;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET parallel_leader_participation;

-- partitions aggregated apart, then combined in one process
CREATE TABLE split (g int, e embedding) PARTITION BY RANGE (g);
CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (0) TO (10);
CREATE TABLE split_2 PARTITION OF split FOR VALUES FROM (10) TO (20);
CREATE TABLE split_3 PARTITION OF split FOR VALUES FROM (20) TO (30);
INSERT INTO split SELECT i % 20, ARRAY[i, -i]::embedding FROM generate_series(1, 4000) AS i;
ANALYZE split;
SET enable_partitionwise_aggregate = on;
SET max_parallel_workers_per_gather = 0;
EXPLAIN (COSTS OFF) SELECT avg(e), sum(e) FROM split;
SELECT avg(e), sum(e) FROM split;
-- the dimension is checked when states are combined, too
INSERT INTO split VALUES (25, '[1,2,3]');
SELECT avg(e) FROM split;
RESET enable_partitionwise_aggregate;
RESET max_parallel_workers_per_gather;

-- windows call the final function again and again on one state
SELECT i, avg(e) OVER (ORDER BY i), sum(e) OVER (ORDER BY i), sum(e) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS pair
FROM (VALUES (1, '[1,10]'::embedding), (2, '[2,20]'), (3, NULL), (4, '[6,60]')) AS v (i, e);

-- two aggregates of one column share a state
SELECT avg(e) AS first, sum(e), avg(e) AS again FROM unnest('{"[1,2]","[3,6]"}'::embedding[]) AS e;

-- large and toasted values
CREATE TABLE wide AS SELECT i, (SELECT array_agg(j * i) FROM generate_series(1, 16000) AS j)::embedding AS e FROM generate_series(1, 3) AS i;
SELECT (avg(e)::real[])[1:3], (sum(e)::real[])[15999:16000], dims(avg(e)) FROM wide;

-- by the median point of each group: a use
SELECT g, round((avg(e) <-> '[0,0]')::numeric, 3) AS distance FROM (VALUES (1, '[3,0]'::embedding), (1, '[3,8]'), (2, '[1,1]')) AS v (g, e)
GROUP BY g ORDER BY avg(e) <-> '[0,0]';

DROP TABLE many, serially, split, wide;
