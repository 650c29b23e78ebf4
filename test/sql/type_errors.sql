-- What embedding refuses, with SQLSTATE, message, detail and hint.

CREATE FUNCTION pg_temp.try(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
	result text;
BEGIN
	IF statement ILIKE 'SELECT%' THEN
		EXECUTE statement INTO result;
	ELSE
		EXECUTE statement;
	END IF;
	RETURN NEXT 'accepted: ' || coalesce(left(result, 60), 'NULL');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT SQLSTATE || ': ' || message;
	IF detail <> '' THEN
		RETURN NEXT '  ' || detail;
	END IF;
	IF hint <> '' THEN
		RETURN NEXT '  ' || hint;
	END IF;
END
$$;

-- text
SELECT t AS input, pg_temp.try(format('SELECT %L::embedding', t)) FROM unnest(ARRAY[
	'', ' ', '[', ']', '[]', '[ ]', '1,2', '{1,2}', '(1,2)', '[1,2', '[1,', '[1,2,', '[1', '[,]', '[1,,2]', '[,1]', '[1,]',
	'[1 2]', '[1;2]', '[1,2]]', '[1,2] x', '[1,2],3', '[[1]]', '[a]', '[1a]', '[1,b]', '[+-1]', '[1e]', '[.]', '[0x]', '["1"]', '[null]',
	'[NaN]', '[nan(1)]', '[1,-NaN]', '[Infinity]', '[1,-inf]', '[1e400]', '[1,-1e39]', '[3.5e38]', '[1e-60]', '[1,1e-46]'
	]) AS t;

-- long text is quoted in part
SELECT pg_temp.try(format('SELECT %L::embedding', '[1,' || repeat('x', 1000)));
SELECT pg_temp.try(format('SELECT %L::embedding', '[' || repeat('9', 1000) || ']'));

-- dimensions: 16000 at most, however they come
SELECT pg_temp.try('SELECT dims((''['' || repeat(''1,'', 15999) || ''1]'')::embedding)');
SELECT pg_temp.try('SELECT (''['' || repeat(''1,'', 16000) || ''1]'')::embedding');
SELECT pg_temp.try('SELECT (''['' || repeat('','', 50000000) || '']'')::embedding');
SELECT pg_temp.try('SELECT array_fill(1::real, ARRAY[16001])::embedding');
SELECT pg_temp.try('SELECT array_fill(1::numeric, ARRAY[100000])::embedding');

-- type modifiers
SELECT t AS type, pg_temp.try(format('SELECT ''[1,2]''::%s', t)) FROM unnest(ARRAY[
	'embedding(2)', 'embedding(3)', 'embedding(0)', 'embedding(-1)', 'embedding(16000)', 'embedding(16001)', 'embedding(1,2)', 'embedding(x)', 'embedding(2.5)',
	'embedding(99999999999)', 'embedding()'
	]) AS t;
CREATE TEMP TABLE typed (e embedding(3));
INSERT INTO typed VALUES ('[1,2]');
INSERT INTO typed VALUES (ARRAY[1,2]);
INSERT INTO typed SELECT '[1,2,3,4]'::embedding;
COPY typed FROM stdin;
[1,2,3]
[1,2]
\.
UPDATE typed SET e = '[1]';
SELECT embedding('[1,2]', 3);

-- arrays
SELECT a AS cast, pg_temp.try('SELECT (' || a || ')::embedding') FROM unnest(ARRAY[
	$$'{}'::real[]$$, $$'{}'::double precision[]$$, $$'{}'::integer[]$$, $$'{}'::numeric[]$$,
	$$'{1,NULL}'::real[]$$, $$'{1,NULL}'::double precision[]$$, $$'{1,NULL}'::integer[]$$, $$'{1,NULL}'::numeric[]$$,
	$$'{{1,2},{3,4}}'::real[]$$, $$'{{1},{3}}'::integer[]$$, $$'{{1}}'::numeric[]$$, $$'{{1}}'::double precision[]$$,
	$$'{NaN}'::real[]$$, $$'{1,Infinity}'::real[]$$, $$'{-Infinity}'::double precision[]$$, $$'{NaN}'::double precision[]$$, $$'{NaN}'::numeric[]$$, $$'{Infinity}'::numeric[]$$,
	$$'{1,1e39}'::double precision[]$$, $$'{-1e300}'::double precision[]$$, $$'{1e-60}'::double precision[]$$, $$'{1e39}'::numeric[]$$, $$'{1e-60}'::numeric[]$$,
	$$'{a}'::text[]$$
	]) AS a;

-- operators
SELECT o AS expression, pg_temp.try('SELECT ' || o) FROM unnest(ARRAY[
	$$'[1,2,3]'::embedding <-> '[1,2]'$$, $$'[1,2,3]'::embedding + '[1,2]'$$, $$'[1,2,3]'::embedding - '[1,2]'$$, $$'[1]'::embedding * '[1,2]'$$,
	$$'[3e38]'::embedding + '[3e38]'$$, $$'[-3e38]'::embedding - '[3e38]'$$, $$'[1e20]'::embedding * '[1e20]'$$, $$'[1e-30]'::embedding * '[1e-30]'$$,
	$$'[1,2,3]'::embedding < '[1,2]'$$, $$'[1]'::embedding <-> '[1'$$
	]) AS o;

-- state functions cannot be called by hand (the wording differs between minor versions)
SELECT o AS expression, pg_temp.try('SELECT ' || o) !~ '^accepted' AS refused FROM unnest(ARRAY[
	$$embedding_accumulate(NULL::internal, '[1]')$$, $$embedding_combine(NULL::internal, NULL::internal)$$,
	$$embedding_avg(NULL::internal)$$, $$embedding_deserialize('\x00', NULL::internal)$$
	]) AS o;

-- where the server knows soft errors, bad text is one of them: nothing is thrown
-- (before that, by hand)
CREATE FUNCTION pg_temp.valid(value text, type text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	result boolean;
BEGIN
	IF current_setting('server_version_num')::int >= 160000 THEN
		EXECUTE 'SELECT pg_catalog.pg_input_is_valid($1, $2)' INTO result USING value, type;
		RETURN result;
	END IF;
	BEGIN
		EXECUTE format('SELECT %L::%s', value, type);
		RETURN true;
	EXCEPTION WHEN OTHERS THEN
		RETURN false;
	END;
END
$$;
SELECT t AS input, pg_temp.valid(t, 'embedding(2)') AS valid
FROM unnest('{"[1,2]","[1,2","[1,2]x","[]","1","[1]","[1,x]","[NaN,1]","[1,inf]","[1e400,1]","[1,2,3]"}'::text[]) AS t;
SELECT pg_temp.valid('[' || repeat('1,', 16000) || '1]', 'embedding') AS valid;

-- binary messages, read from files as COPY BINARY does
SELECT current_setting('data_directory') || '/metricrec_message.bin' AS file \gset
CREATE TEMP TABLE message (e embedding);
CREATE TEMP TABLE message3 (e embedding(3));
CREATE FUNCTION pg_temp.receive(body bytea, target text DEFAULT 'message') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	file text := current_setting('data_directory') || '/metricrec_message.bin';
	length bytea := int4send(octet_length(body));
	object oid;
BEGIN
	/* signature, flags, no extension; one field; trailer */
	object := lo_from_bytea(0, '\x5047434f50590aff0d0a00' || '\x0000000000000000'::bytea || '\x0001'::bytea || length || body || '\xffff'::bytea);
	PERFORM lo_export(object, file);
	PERFORM lo_unlink(object);
	EXECUTE format('TRUNCATE %I', target);
	RETURN QUERY SELECT pg_temp.try(format('COPY %I FROM %L (FORMAT binary)', target, file));
	RETURN QUERY EXECUTE format('SELECT ''  '' || e::text FROM %I', target);
END
$$;
SELECT what, pg_temp.receive(body) FROM (VALUES
	(1, 'good', '\x000200003f80000040000000'::bytea),
	(2, 'empty', '\x'),
	(3, 'half a header', '\x0001'),
	(4, 'no dimensions', '\x00000000'),
	(5, 'negative', '\xffff00003f800000'),
	(6, 'smallest int16', '\x800000003f800000'),
	(7, 'too many', '\x3e8100003f800000'),
	(8, 'announces 32767', '\x7fff00003f800000'),
	(9, 'announces more than it has', '\x000300003f80000040000000'),
	(10, 'has more than it announces', '\x000100003f80000040000000'),
	(11, 'a byte short', '\x000100003f8000'),
	(12, 'a byte over', '\x000100003f80000000'),
	(13, 'not 0', '\x000100013f800000'),
	(14, 'not 0, sign', '\x0001ffff3f800000'),
	(15, 'NaN', '\x000200003f8000007fc00000'),
	(16, 'signalling NaN', '\x000100007f800001'),
	(17, 'infinity', '\x000100007f800000'),
	(18, '-infinity', '\x00010000ff800000'),
	(19, 'subnormal, -0', '\x000200000000000180000000')
	) AS v (n, what, body) ORDER BY n;
SELECT pg_temp.receive('\x000200003f80000040000000', 'message3');
COPY (SELECT 1) TO :'file';
DROP TABLE message, message3, typed;

-- a table or type of that name is in the way: a hint, and nothing is left behind
SELECT current_database() AS here \gset
CREATE DATABASE metricrec_taken TEMPLATE template0;
\c metricrec_taken
CREATE SCHEMA taken;
CREATE TABLE taken.embedding (id int);
CREATE SCHEMA "Other schema";
\set SHOW_CONTEXT never
CREATE EXTENSION metricrec SCHEMA taken;
\echo :SQLSTATE
SELECT count(*) FROM pg_extension WHERE extname = 'metricrec';
CREATE EXTENSION metricrec SCHEMA "Other schema";
SELECT ARRAY[1,2]::"Other schema".embedding(2) OPERATOR("Other schema".<->) '[1,2]' AS zero;
\c :here
DROP DATABASE metricrec_taken;
