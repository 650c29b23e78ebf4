-- Feature tables: how each type is read, what is left out, what is refused.
-- describe_features() does with a table what a training does, and tells what a
-- version would store: the encoder goes through its stored form on the way.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE SCHEMA features_test;
SET search_path = features_test, public;

-- Means and deviations to 9 decimals: the last digits may differ between machines.
CREATE FUNCTION described(features regclass, key name DEFAULT 'id', words name[] DEFAULT '{}',
	min_count int DEFAULT 2, max_vocabulary int DEFAULT 50000,
	OUT "column" name, OUT type text, OUT encoding text, OUT columns int, OUT distinct_values bigint, OUT nulls bigint,
	OUT mean numeric, OUT deviation numeric, OUT note text) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT d."column", d.type, d.encoding, d.columns, d.distinct_values, d.nulls, round(d.mean::numeric, 9),
		round(d.deviation::numeric, 9), d.note
	FROM metricrec.describe_features(features, key, words, min_count, max_vocabulary) d
$$;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN stars AS int CHECK (value BETWEEN 0 AND 5);
CREATE DOMAIN label AS text;
CREATE DOMAIN labels AS text[];

-- ---- numbers and times ----

CREATE TABLE numbers (gone int, id bigint PRIMARY KEY, i2 int2, i4 int4, i8 int8, f4 real, f8 float8, n numeric(10,2), d stars,
	"day" date, ts timestamp, tz timestamptz);
ALTER TABLE numbers DROP COLUMN gone;
INSERT INTO numbers
SELECT i, i, 10 * i, 9000000000 + i, i / 4.0, i * 1e-3, CASE WHEN i < 9 THEN i + 0.25 END, i % 6,
	date '1970-01-01' + i, timestamp '1970-01-01' + i * interval '1 s', timestamptz '1970-01-01 00:00+00' + i * interval '1 h'
FROM generate_series(1, 10) i;
SELECT * FROM described('numbers');
-- as the server computes them
SELECT avg(i2) AS i2, stddev_pop(i2) AS i2_dev, avg(n) AS n, round(stddev_pop(n), 9) AS n_dev FROM numbers;
-- a mean that is large beside the deviation
CREATE VIEW far AS SELECT id, 1e12::float8 + i2 AS x, timestamptz '2026-01-01' + i2 * interval '1 ms' AS t FROM numbers;
SELECT "column", mean, deviation FROM described('far');

-- ---- categories ----

CREATE TABLE kinds (id text PRIMARY KEY, b boolean, t text, v varchar(10), c char(5), n name, m mood, l label);
INSERT INTO kinds
SELECT 'k' || i, i % 2 = 0, 'x' || i % 3, 'v' || i % 2, repeat('c', 1 + i % 3), 'n' || i % 5, (enum_range(NULL::mood))[1 + i % 3], 'l' || i % 2
FROM generate_series(1, 12) i;
SELECT * FROM described('kinds');
-- NULL has a column, and what is rare shares one
INSERT INTO kinds (id, t, v) VALUES ('new 1', 'rare', 'once'), ('new 2', 'seldom', NULL), ('new 3', NULL, '');
SELECT * FROM described('kinds');
SELECT "column", columns, distinct_values, note FROM described('kinds', min_count => 1);
SELECT "column", columns, distinct_values, note FROM described('kinds', min_count => 5);
-- the most frequent ones have the places
SELECT "column", columns, distinct_values, note FROM described('kinds', min_count => 1, max_vocabulary => 2);

-- ---- lists ----

CREATE TABLE lists (id int PRIMARY KEY, t text[], v varchar[], m mood[], i2 int2[], i4 int4[], i8 int8[], d labels, w tsvector, e text[]);
INSERT INTO lists
SELECT i, ARRAY['a', 'b' || i % 2, 'c' || i], ARRAY['v' || i % 3]::varchar[], ARRAY['ok', 'sad']::mood[], ARRAY[i % 2, i % 2],
	ARRAY[i % 3, NULL], ARRAY[[i % 2, 7], [8, 9]], ARRAY['d' || i % 2], to_tsvector('simple', 'the word' || i % 2), '{}'
FROM generate_series(1, 8) i;
SELECT * FROM described('lists');
-- an element counts once in a row; an empty list is not NULL
INSERT INTO lists (id, t, v) VALUES (9, '{twice,twice}', '{}'), (10, NULL, NULL);
SELECT "column", columns, distinct_values, nulls, note FROM described('lists') WHERE "column" IN ('t', 'v', 'i4', 'm');

-- ---- words ----

CREATE TABLE papers (id uuid PRIMARY KEY, title text, abstract varchar);
INSERT INTO papers SELECT md5(i::text)::uuid, 'A paper, on METRIC learning ' || i, CASE WHEN i > 2 THEN 'metric' || i % 2 END
FROM generate_series(1, 6) i;
SELECT * FROM described('papers', words => '{title,abstract}');
SELECT * FROM described('papers', words => '{title}');

-- ---- vectors ----

CREATE TABLE vectors (id int PRIMARY KEY, r real[], f float8[], n numeric[], e embedding(3), nothing float8[]);
INSERT INTO vectors SELECT i, ARRAY[i, 1, 2, 3], ARRAY[i], ARRAY[i, 2.5]::numeric[], '[1,2,3]'::embedding, '{}' FROM generate_series(1, 4) i;
SELECT * FROM described('vectors');
INSERT INTO vectors (id) VALUES (5);
SELECT "column", columns, nulls, note FROM described('vectors');

-- ---- what carries nothing ----

CREATE TABLE idle (id int PRIMARY KEY, n int, one int, flag text, same text, unique_text text, same_list text[], nulls_list int[], small float8);
INSERT INTO idle SELECT i, NULL, 7, CASE WHEN i > 2 THEN 'yes' END, 'same', 'u' || i, '{p,q}', NULL, 0.1 FROM generate_series(1, 6) i;
SELECT "column", encoding, columns, distinct_values, nulls, note FROM described('idle');
-- one number beside NULLs
UPDATE idle SET one = NULL WHERE id = 3;
SELECT "column", columns, nulls, mean, deviation, note FROM described('idle') WHERE "column" = 'one';
-- no row, or none with a key
CREATE TABLE empty (id int, x int, t text, l int[], v real[]);
SELECT * FROM described('empty');
INSERT INTO empty VALUES (NULL, 1, 'a', '{1}', '{1}');
SELECT * FROM described('empty');
-- rows without a key are not looked at
INSERT INTO empty VALUES (1, 2, 'b', '{2}', '{2,3}'), (2, 4, 'c', '{2}', '{3,4}');
SELECT * FROM described('empty');
-- no column
CREATE TABLE bare (id int);
SELECT * FROM described('bare');

-- ---- the order of the rows does not matter ----

CREATE TABLE mixed AS
SELECT i AS id, sin(i) * 10 ^ (i % 30 - 15) AS x, i * 1e10 + cos(i) AS y, 't' || i % 71 AS t, ARRAY['a' || i % 13, 'b' || i % 29] AS l,
	timestamptz '2020-01-01' + i * i * interval '1 us' AS at
FROM generate_series(1, 5000) i;
CREATE TABLE shuffled AS SELECT * FROM mixed ORDER BY md5(id::text);
SELECT count(*) FROM (SELECT * FROM metricrec.describe_features('mixed', 'id', max_vocabulary => 20)
	EXCEPT SELECT * FROM metricrec.describe_features('shuffled', 'id', max_vocabulary => 20)) a;
SELECT "column", columns, distinct_values FROM described('mixed', max_vocabulary => 20);

-- ---- other relations ----

CREATE TABLE parts (id int, t text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
INSERT INTO parts SELECT i, 'p' || i % 3 FROM generate_series(0, 19) i;
SELECT "column", columns FROM described('parts');
CREATE MATERIALIZED VIEW stored AS SELECT * FROM parts;
SELECT "column", columns FROM described('stored');
CREATE TABLE "odd ""names" ("the key" int, "a ""column" text, "select" int);
INSERT INTO "odd ""names" SELECT i, 'p' || i % 2, i FROM generate_series(1, 9) i;
SELECT "column", columns FROM described('"odd ""names"', 'the key', '{"a \"column"}');

-- ---- errors: columns ----

SELECT * FROM described('numbers', 'no_such');
SELECT * FROM described('numbers', 'ctid');
SELECT * FROM described('numbers', words => '{no_such}');
SELECT * FROM described('numbers', words => '{i4}');
SELECT * FROM described('lists', words => '{t}');
SELECT * FROM described('kinds', words => '{m}');
SELECT * FROM described('kinds', words => '{id}');
CREATE TABLE strange (id int, x jsonb);
SELECT * FROM described('strange');
ALTER TABLE strange ALTER x TYPE int4range USING NULL;
SELECT * FROM described('strange');
ALTER TABLE strange ALTER x TYPE boolean[] USING NULL;
SELECT * FROM described('strange');
ALTER TABLE strange ALTER x TYPE interval USING NULL;
SELECT * FROM described('strange');
CREATE VIEW cast_away AS SELECT id, x::text FROM strange;
SELECT "column", type, note FROM described('cast_away');
CREATE TABLE odd_key (id json, x int);
SELECT * FROM described('odd_key');
SELECT * FROM described('numbers_pkey');
SELECT metricrec.describe_features(4294967295::oid::regclass, 'id');

-- ---- errors: rows ----

CREATE TABLE twice AS SELECT i % 3 AS id, i AS x FROM generate_series(1, 4) i;
SELECT * FROM described('twice');
CREATE TABLE twice_text AS SELECT 'key ' || i % 3 AS id, i AS x FROM generate_series(1, 4) i;
SELECT * FROM described('twice_text');
CREATE TABLE wrong (id int, f4 real, f8 float8, n numeric, d date, ts timestamp, tz timestamptz, r real[], f float8[], m numeric[]);
CREATE FUNCTION try(assignment text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text;
BEGIN
	DELETE FROM wrong;
	INSERT INTO wrong (id, f4) VALUES (1, 1), (2, 2);
	EXECUTE 'UPDATE wrong SET ' || assignment || ' WHERE id = 2';
	PERFORM metricrec.describe_features('wrong', 'id');
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN format('%s: %s | %s', state, message, detail);
END $$;
SELECT assignment, try(assignment) FROM unnest(ARRAY[
	$$f4 = 'NaN'$$, $$f4 = '-Infinity'$$, $$f8 = 'Infinity'$$, $$f8 = 1e39$$, $$f8 = -3.5e38$$, $$f8 = 3.4e38$$,
	$$n = 'NaN'$$, $$n = 'Infinity'$$, $$n = 1e400::numeric$$, $$n = -1e39$$, $$n = 1e-400::numeric$$,
	$$d = 'infinity'$$, $$ts = '-infinity'$$, $$tz = 'infinity'$$,
	$$r = '{1,NaN}'$$, $$r = '{1,NULL}'$$, $$r = '{{1,2},{3,4}}'$$, $$f = '{1e300}'$$, $$f = '{-Infinity}'$$,
	$$m = '{1e39}'$$, $$m = '{NaN}'$$, $$m = '{2,3}', r = '{4}', f = '{-1e38}'$$]) assignment;
CREATE TABLE uneven (id int, r real[], m numeric[], e embedding);
INSERT INTO uneven VALUES (1, '{1,2}'), (2, '{1,2,3}');
SELECT * FROM described('uneven');
TRUNCATE uneven;
INSERT INTO uneven (id, m) VALUES (1, '{1}'), (2, '{}');
SELECT * FROM described('uneven');
TRUNCATE uneven;
INSERT INTO uneven (id, e) VALUES (1, '[1]'), (2, '[1,2]');
SELECT * FROM described('uneven');
CREATE VIEW broken AS SELECT id, 1 / (id - 2) AS x FROM uneven;
SELECT * FROM described('broken');

-- ---- errors: arguments ----

SELECT metricrec.describe_features(NULL, 'id');
SELECT metricrec.describe_features('numbers', NULL);
SELECT metricrec.describe_features('numbers', 'id', min_count => NULL);
SELECT metricrec.describe_features('numbers', 'id', min_count => 0);
SELECT metricrec.describe_features('numbers', 'id', max_vocabulary => 0);
SELECT metricrec.describe_features('numbers', 'id', max_vocabulary => 2000000000);
SELECT metricrec.describe_features('numbers', 'id', word_columns => ARRAY[NULL]::name[]);
SELECT count(*) FROM metricrec.describe_features('numbers', 'id', word_columns => NULL);

-- ---- limits ----

-- distinct values are counted in memory: refused in time
SET metricrec.training_memory = '2MB';
CREATE TABLE many AS SELECT i AS id, 'value number ' || i AS t FROM generate_series(1, 30000) i;
DO $$ BEGIN
	PERFORM metricrec.describe_features('many', 'id');
EXCEPTION WHEN out_of_memory THEN
	RAISE WARNING '%', SQLERRM;
END $$;
CREATE TABLE wide AS SELECT i AS id, array_fill(i::real, ARRAY[1000]) AS v FROM generate_series(1, 1000) i;
DO $$ BEGIN
	PERFORM metricrec.describe_features('wide', 'id');
EXCEPTION WHEN out_of_memory THEN
	RAISE WARNING '%', SQLERRM;
END $$;
RESET metricrec.training_memory;
SELECT "column", columns FROM described('wide');
SELECT "column", columns, distinct_values FROM described('many', min_count => 1);
CREATE TABLE too_wide AS SELECT i AS id, array_fill(1::real, ARRAY[40000]) AS v, array_fill(1::real, ARRAY[40000]) AS w FROM generate_series(1, 2) i;
SELECT * FROM described('too_wide');

-- ---- privileges ----

CREATE ROLE features_reader;
GRANT USAGE ON SCHEMA features_test TO features_reader;
GRANT SELECT (id, t) ON parts TO features_reader;
GRANT SELECT (id, t) ON kinds TO features_reader;
CREATE TABLE secret (id int, owner text, x int);
INSERT INTO secret SELECT i, CASE WHEN i <= 4 THEN 'features_reader' ELSE 'other' END, i FROM generate_series(1, 10) i;
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secret USING (owner = current_user);
GRANT SELECT ON secret TO features_reader;
SET ROLE features_reader;
SELECT "column", columns FROM metricrec.describe_features('parts', 'id');
SELECT "column", columns FROM metricrec.describe_features('kinds', 'id');
SELECT "column", columns FROM metricrec.describe_features('numbers', 'id');
-- the policy hides rows
SELECT "column", mean, note FROM metricrec.describe_features('secret', 'id');
RESET ROLE;
SELECT "column", mean, columns FROM metricrec.describe_features('secret', 'id');
-- nothing of ours depends on the search_path
SET search_path = '';
SELECT "column", columns FROM metricrec.describe_features('features_test.lists', 'id', '{}', 2);
SET search_path = features_test, public;

SET client_min_messages = error;
DROP SCHEMA features_test CASCADE;
DROP ROLE features_reader;
