-- Casts between embedding and the arrays of numbers.

SELECT '{1,2.5,-3}'::real[]::embedding;
SELECT '{1,2.5,-3}'::double precision[]::embedding;
SELECT '{1,2,-3}'::integer[]::embedding;
SELECT '{1,2.5,-3}'::numeric[]::embedding;
SELECT '[1,2.5,-3]'::embedding::real[];
SELECT '[1,2.5,-3]'::embedding::double precision[];

-- to float8 is exact, and shows what float4 holds
SELECT '[0.1]'::embedding::double precision[] = ARRAY[0.1::real::double precision] AS exact;

-- rounding to float4
SELECT ARRAY[16777217, 2147483647, -2147483648]::embedding;
SELECT ARRAY[0.1::double precision, 3.4028234e38, 1e-45, -0]::embedding;
SELECT ARRAY[0.1234567890123456789, 1e38]::numeric[]::embedding;

-- with a type modifier, also through a column
SELECT '{1,2}'::real[]::embedding(2);
CREATE TABLE cast_target (e embedding(2));
INSERT INTO cast_target VALUES (ARRAY[1,2]), (ARRAY[1.5,2]), ('{1,2}'::real[]), ('{3,4}'::double precision[]);
INSERT INTO cast_target SELECT array_agg(i::double precision) FROM generate_series(1, 2) AS i;
SELECT * FROM cast_target;
DO $$ BEGIN INSERT INTO cast_target VALUES (ARRAY[1,2,3]); EXCEPTION WHEN data_exception THEN RAISE NOTICE '%', SQLERRM; END $$;
DROP TABLE cast_target;

-- array bounds are forgotten
SELECT '[5:7]={1,2,3}'::real[]::embedding;

-- implicit to real[], by assignment to double precision[] and from arrays
SELECT array_length('[1,2,3]'::embedding::real[], 1);
SELECT unnest('[1,2,3]'::embedding::real[]);
SELECT castsource::regtype, casttarget::regtype, castcontext, castmethod FROM pg_cast
WHERE 'embedding'::regtype IN (castsource, casttarget)
ORDER BY castsource::regtype::text, casttarget::regtype::text;

-- the length coercion can be called with one argument
SELECT embedding('[1,2]'), embedding('[1,2]', 2), embedding('[1,2]', -1, true);

-- NULL
SELECT NULL::real[]::embedding IS NULL, NULL::embedding::real[] IS NULL;

-- long ones
SELECT dims(array_agg(i)::embedding) FROM generate_series(1, 16000) AS i;
SELECT (array_agg(i)::embedding::double precision[])[16000] FROM generate_series(1, 16000) AS i;

-- a set of elements from a toasted and from a packed value
CREATE TABLE cast_source (a real[], n numeric[], e embedding);
INSERT INTO cast_source SELECT array_agg(i), array_agg(i), array_agg(i)::embedding FROM generate_series(1, 5000) AS i;
INSERT INTO cast_source VALUES ('{1,2}', '{1,2}', '[1,2]');
SELECT a::embedding = e AND n::embedding = e AND e::real[] = a AS equal FROM cast_source;
DROP TABLE cast_source;
