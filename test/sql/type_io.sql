-- Text and binary form of embedding, and its type modifier.  What is refused is
-- in type_errors.

SELECT '[1,2.5,-3]'::embedding;
SELECT '[1]'::embedding;

-- white space anywhere but inside a number
SELECT (E' \t[ 1 ,\n2.5\r, -3 \f]' || chr(11) || chr(10))::embedding;

-- ways to write a number
SELECT '[+1,-0,.5,5.,1e2,1E-2,0x10]'::embedding;

-- shortest text that reads back, whatever the session prefers for floats
SELECT '[0.1,0.33333334,1e10,1.17549435e-38,3.4028235e38,1e-45,16777216]'::embedding;
SET extra_float_digits = -10;
SELECT '[0.1,0.33333334,1e10,1.17549435e-38,3.4028235e38,1e-45,16777216]'::embedding;
RESET extra_float_digits;

-- rounded to float4 as real is
SELECT '[0.1234567890123456789,16777217]'::embedding;
SELECT bool_and((('[' || t || ']')::embedding::real[])[1] = t::real) AS like_real
FROM unnest('{1e-44,1.4012985e-45,3.4028235677e38,0.1,123456789}'::text[]) AS t;

-- every value survives the trip through text and through binary
CREATE TABLE trip (id int, e embedding);
INSERT INTO trip
SELECT d, (SELECT array_agg(((i * 7919 + d * 104729) % 100003)::real / 977 * 10.0 ^ (i % 60 - 30) * (-1) ^ i ORDER BY i)
		   FROM generate_series(1, d) AS i)::real[]::embedding
FROM unnest('{1,2,3,29,30,31,64,300,600,2000}'::int[]) AS d;
INSERT INTO trip VALUES (16000, (SELECT array_agg(i / 7.0::real ORDER BY i) FROM generate_series(1, 16000) AS i)::real[]::embedding);
INSERT INTO trip VALUES (0, NULL);
SELECT id, dims(e), e::text::embedding::real[]::text = e::real[]::text AS text_trip FROM trip ORDER BY id;

SELECT current_setting('data_directory') || '/metricrec_trip.bin' AS file \gset
COPY trip TO :'file' (FORMAT binary);
CREATE TABLE back (id int, e embedding);
COPY back FROM :'file' (FORMAT binary);
SELECT count(*), count(*) FILTER (WHERE b.e::text IS NOT DISTINCT FROM a.e::text) AS equal
FROM trip AS a JOIN back AS b USING (id);
TRUNCATE back;
COPY trip TO :'file';
COPY back FROM :'file';
SELECT count(*), count(*) FILTER (WHERE b.e::text IS NOT DISTINCT FROM a.e::text) AS equal
FROM trip AS a JOIN back AS b USING (id);
COPY (SELECT 1) TO :'file';

-- the wire: int16 dim, int16 0, float4 big-endian
SELECT embedding_send('[1,2.5,-3]'), embedding_send('[-0]');

-- storage: not compressed, out of line when long
SELECT typstorage, typalign, typlen FROM pg_type WHERE oid = 'embedding'::regtype;
SELECT id, pg_column_size(e) FROM trip WHERE id IN (1, 29, 300, 2000, 16000) ORDER BY id;

-- type modifier
CREATE TABLE typed (e3 embedding(3), e embedding);
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'typed'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO typed VALUES ('[1,2,3]', '[1]');
INSERT INTO typed SELECT ('[' || repeat('1,', 2) || '1]')::embedding, '[1,2]';
SELECT '[1,2,3]'::embedding(3), ARRAY[1,2,3]::embedding(3);
SELECT * FROM typed;
ALTER TABLE typed ALTER e3 TYPE embedding;
ALTER TABLE typed ALTER e3 TYPE embedding(3);
ALTER TABLE typed ALTER e TYPE embedding(1) USING ARRAY[1]::embedding;
SELECT * FROM typed;
SELECT 'embedding(16000)'::regtype;
SELECT NULL::embedding, NULL::embedding(3);

-- arrays and composites of it
SELECT ARRAY['[1,2]','[3]']::embedding[], (ARRAY['[1,2]','[3]']::embedding[])[2];
SELECT ROW('[1,2]'::embedding, 'x');
SELECT '{"[1,2]","[3]"}'::embedding(2)[];
SELECT '{"[1,2]","[3,4]"}'::embedding(2)[];

-- JSON has it as text
SELECT to_jsonb('[1,2]'::embedding);

DROP TABLE trip, back, typed;
