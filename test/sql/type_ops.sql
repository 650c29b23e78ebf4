-- Operators and functions of embedding, its order, and its operator classes.

-- distance: Euclidean, not squared
SELECT '[1,2]'::embedding <-> '[4,6]' AS distance;
SELECT l2_distance('[1,2]', '[4,6]'), pg_typeof('[1]'::embedding <-> '[2]');
SELECT '[1,2,3]'::embedding <-> '[1,2,3]' AS zero;
SELECT '[1]'::embedding <-> NULL AS unknown;
SELECT '[0]'::embedding <-> '[-0]' AS zero;

-- no overflow, and no loss by underflow, where float8 has room
SELECT round(('[3e38]'::embedding <-> '[-3e38]')::numeric / 1e38, 4) AS large;
SELECT ('[3e-30,0]'::embedding <-> '[0,4e-30]') / 5e-30 BETWEEN 0.999999 AND 1.000001 AS small;
SELECT ('[1e-45]'::embedding <-> '[0]') > 0 AS smallest;

-- against the sum in float8, at the lengths where the kernels change their ways
CREATE TABLE point AS
SELECT d, array_agg(sin(i * 1.7 + d)::real ORDER BY i)::embedding AS a,
	   array_agg(cos(i * 0.3 - d)::real ORDER BY i)::embedding AS b
FROM generate_series(1, 600) AS d, generate_series(1, d) AS i
WHERE d <= 70 OR d % 64 IN (0, 1, 63)
GROUP BY d;
INSERT INTO point SELECT d, array_agg(sin(i * 1.7 + d)::real ORDER BY i)::embedding, array_agg(cos(i * 0.3 - d)::real ORDER BY i)::embedding
FROM unnest('{1057,2000,16000}'::int[]) AS d, generate_series(1, d) AS i GROUP BY d;
SELECT count(*) AS lengths,
	   count(*) FILTER (WHERE abs((p.a <-> p.b) / s.distance - 1) > 2e-6) AS wrong_distance,
	   count(*) FILTER (WHERE abs(l2_norm(p.a) / s.norm - 1) > 2e-6) AS wrong_norm
FROM point AS p,
	 LATERAL (SELECT sqrt(sum((x - y) ^ 2)) AS distance, sqrt(sum(x * x)) AS norm
			  FROM unnest(p.a::double precision[], p.b::double precision[]) AS u (x, y)) AS s;
SELECT count(*) FROM point WHERE (a <-> b) <> (b <-> a);

-- dims, norm, normalize
SELECT dims('[1,2,3]'), l2_norm('[3,4]'::embedding), l2_norm('[3e38,-3e38]'::embedding) / 3e38 BETWEEN 1.41421 AND 1.41422 AS large;
SELECT count(*) FROM point WHERE dims(a) <> d;
SELECT l2_normalize('[3,-4]'::embedding), l2_normalize('[0,0]'::embedding), l2_normalize('[-2]'::embedding);
SELECT l2_normalize('[3e38,3e38]'::embedding), l2_normalize('[1e-45,0]'::embedding);
SELECT count(*) FROM point WHERE abs(l2_norm(l2_normalize(a)) - 1) > 1e-6;

-- arithmetic, coordinate by coordinate
SELECT '[1,2]'::embedding + '[10,20]', '[1,2]'::embedding - '[10,20]', '[2,3]'::embedding * '[10,-20]';
SELECT '[0,1e-30]'::embedding * '[1e-30,0]' AS zero;

-- order: coordinate by coordinate, a prefix first
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, embedding_cmp(a, b) < 0 AS before
FROM (VALUES ('[1,2]'::embedding, '[1,2]'::embedding), ('[1,2]', '[1,3]'), ('[2]', '[1,3]'),
			 ('[1,2]', '[1,2,-5]'), ('[-1]', '[0]'), ('[0]', '[-0]'), ('[1,-0]', '[1,0]')) AS v (a, b);
SELECT e FROM unnest('{"[2]","[1,2]","[1]","[-1,5]","[1,-7]",NULL}'::embedding[]) AS e ORDER BY e;
SELECT e FROM unnest('{"[2]","[1,2]","[1]","[-1,5]","[1,-7]",NULL}'::embedding[]) AS e ORDER BY e DESC NULLS LAST;
SELECT max(dims(e)), count(DISTINCT e) FROM unnest('{"[0]","[-0]","[0,0]","[1]"}'::embedding[]) AS e;

-- what planner and executor may do with =
SELECT oprname, oprcanmerge, oprcanhash, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin
FROM pg_operator WHERE oprleft = 'embedding'::regtype ORDER BY oprname COLLATE "C";

-- a btree index, used and right
CREATE TABLE indexed (id int, e embedding);
INSERT INTO indexed SELECT i, ARRAY[i % 100, i / 100]::embedding FROM generate_series(0, 9999) AS i;
CREATE INDEX indexed_btree ON indexed (e);
ANALYZE indexed;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM indexed WHERE e = '[17,42]';
SELECT id FROM indexed WHERE e = '[17,42]';
SELECT count(*) FROM indexed WHERE e >= '[98]' AND e < '[99,50]';
EXPLAIN (COSTS OFF) SELECT e FROM indexed ORDER BY e LIMIT 3;
SELECT e FROM indexed ORDER BY e LIMIT 3;
DROP INDEX indexed_btree;

-- a hash index, and -0 found as 0
CREATE INDEX indexed_hash ON indexed USING hash (e);
EXPLAIN (COSTS OFF) SELECT id FROM indexed WHERE e = '[-0,42]';
SELECT id FROM indexed WHERE e = '[-0,42]';
RESET enable_seqscan;

-- the three joins agree, and hash aggregation with them
CREATE TABLE probe AS SELECT id, e FROM indexed WHERE id % 7 = 0 UNION ALL VALUES (-1, '[-0,1]'::embedding), (-2, '[0]'), (-3, NULL);
ANALYZE probe;
SET enable_mergejoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM indexed JOIN probe USING (e);
SELECT count(*), sum(indexed.id) FROM indexed JOIN probe USING (e);
SET enable_mergejoin = on;
SET enable_hashjoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM indexed JOIN probe USING (e);
SELECT count(*), sum(indexed.id) FROM indexed JOIN probe USING (e);
SET enable_mergejoin = off;
SET enable_nestloop = on;
SELECT count(*), sum(indexed.id) FROM indexed JOIN probe USING (e);
RESET enable_mergejoin;
RESET enable_nestloop;
RESET enable_hashjoin;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT e, count(*) FROM probe GROUP BY e;
SELECT count(*), sum(n) FROM (SELECT e, count(*) AS n FROM probe GROUP BY e) AS g;
RESET enable_sort;
SET enable_hashagg = off;
SELECT count(*), sum(n) FROM (SELECT e, count(*) AS n FROM probe GROUP BY e) AS g;
RESET enable_hashagg;

-- equal values hash equally; the hash with seed 0 has the short hash in its low half
SELECT embedding_hash('[0,1]') = embedding_hash('[-0,1]') AS short,
	   embedding_hash_extended('[0,1]', 7) = embedding_hash_extended('[-0,1]', 7) AS long,
	   embedding_hash_extended('[0,1]', 7) <> embedding_hash_extended('[0,1]', 8) AS seeded,
	   embedding_hash('[0,1]') <> embedding_hash('[1,0]') AS ordered,
	   embedding_hash('[0]') <> embedding_hash('[0,0]') AS counted;
SELECT count(*), count(DISTINCT embedding_hash(a)) AS distinct_short, count(DISTINCT embedding_hash_extended(a, 1)) AS distinct_long,
	   count(*) FILTER (WHERE embedding_hash_extended(a, 0) & 4294967295 <> embedding_hash(a)::bigint & 4294967295) AS different
FROM point;

-- partitions by hash, and uniqueness
CREATE TABLE part (e embedding UNIQUE) PARTITION BY HASH (e);
CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO part SELECT e FROM indexed;
SELECT count(*) > 4000 AS half FROM part_0;
INSERT INTO part VALUES ('[-0,7]') ON CONFLICT DO NOTHING;
SELECT count(*) FROM part;

-- operator classes
SELECT amname, opcname, opcdefault FROM pg_opclass JOIN pg_am AS am ON am.oid = opcmethod
WHERE opcintype = 'embedding'::regtype AND amname IN ('btree', 'hash') ORDER BY amname;
SELECT amvalidate(oid) FROM pg_opclass WHERE opcintype = 'embedding'::regtype
AND opcmethod IN (SELECT oid FROM pg_am WHERE amname IN ('btree', 'hash'));

-- all of it is immutable, strict where it can be, parallel safe, and commented
SELECT p.oid::regprocedure, provolatile, proparallel, proisstrict, obj_description(p.oid, 'pg_proc') IS NOT NULL AS commented
FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension AS x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
WHERE x.extname = 'metricrec'
  AND (proname IN ('embedding', 'l2_distance', 'dims', 'l2_norm', 'l2_normalize', 'avg', 'sum') OR proname LIKE 'embedding\_%')
  AND (provolatile <> 'i' OR proparallel <> 's' OR NOT proisstrict OR obj_description(p.oid, 'pg_proc') IS NULL)
ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT count(*) AS uncommented FROM pg_operator
WHERE oprleft = 'embedding'::regtype AND obj_description(oid, 'pg_operator') IS NULL;

-- nothing depends on the search path
SET search_path = '';
SELECT '[1,2]'::public.embedding OPERATOR(public.<->) '[4,6]', ARRAY[1,2]::public.embedding(2);
RESET search_path;

DROP TABLE point, indexed, probe, part;
