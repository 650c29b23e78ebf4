-- ann_setup.sql: what ann.sh measures with, in the schema ann, afresh.
--
-- A set S has, for each index A (lsh, hnsw, ivfflat; voronoi and projection are lsh
-- with that hash), a table S_A with the items and S_A_q with the queries, in the type that A can index; and S_bare with the
-- items, which never has an index.  Columns: id, v, and four to filter by:
--
--	r100, r1000		a hash of id: one value is 1 % or 0.1 % of the rows, by chance
--	c100, c1000		0 for the rows nearest to the first item, and so on outwards:
--					one value is 1 % or 0.1 % of the rows, and these lie together
--
-- Queries have "seen", the ids of their 100 nearest items.
\set QUIET on
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS metricrec;
DROP SCHEMA IF EXISTS ann CASCADE;
CREATE SCHEMA ann;
SET search_path = ann, public;

CREATE TABLE sets (ord serial, name text PRIMARY KEY, d int, rows bigint, queries int);
-- the nearest items of a query among those that the filter lets through
CREATE TABLE answers (set text, filter text, query int, ids int[], distances float8[], PRIMARY KEY (set, filter, query));
-- search for the cheapest setting: time in microseconds of the server's processor
CREATE TABLE tried (ord serial, set text, am text, settings text, recall float8, cpu float8);
-- one row for each figure of each round
CREATE TABLE figures (ord serial, set text, am text, what text, value float8);
CREATE TABLE plans (set text, am text, filter text, plan text);

-- Processor time of this process, microseconds.
CREATE FUNCTION cpu() RETURNS float8 LANGUAGE sql VOLATILE AS
$$ SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1000 $$;

CREATE FUNCTION note(set text, am text, what text, value float8) RETURNS void LANGUAGE sql AS
$$ INSERT INTO ann.figures (set, am, what, value) VALUES (set, am, what, value) $$;

-- The median over the rounds.
CREATE FUNCTION figure(of_set text, of_am text, of_what text) RETURNS float8 STABLE LANGUAGE sql AS $$
	SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FROM ann.figures
	WHERE set = of_set AND am = of_am AND what = of_what
$$;

CREATE FUNCTION type_of(am text, d int) RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT CASE WHEN am IN ('hnsw', 'ivfflat') THEN 'vector' ELSE 'embedding' END || format('(%s)', d) $$;

-- S_bare and S_queries from S_raw and S_asked (id, v).
CREATE PROCEDURE add_set(set text, d int) LANGUAGE plpgsql SET work_mem = '512MB' AS $$
BEGIN
	EXECUTE format($sql$
		CREATE TABLE ann.%1$s_bare AS
		SELECT id, ((hashint4extended(id, 1) & 1048575) %% 100)::int AS r100,
			   ((hashint4extended(id, 2) & 1048575) %% 1000)::int AS r1000,
			   ntile(100) OVER near - 1 AS c100, ntile(1000) OVER near - 1 AS c1000, v
		FROM ann.%1$s_raw
		WINDOW near AS (ORDER BY v <-> (SELECT v FROM ann.%1$s_raw WHERE id = 1), id)
		ORDER BY id
	$sql$, set);
	EXECUTE format('INSERT INTO ann.sets (name, d, rows, queries) VALUES (%L, %s, (SELECT count(*) FROM ann.%1$s_bare), (SELECT count(*) FROM ann.%1$s_asked))', set, d);
	EXECUTE format('DROP TABLE ann.%s_raw', set);
END $$;

-- S_A and S_A_q.
CREATE PROCEDURE add_tables(set text, am text) LANGUAGE plpgsql AS $$
DECLARE
	type text := ann.type_of(am, (SELECT d FROM ann.sets WHERE name = set));
BEGIN
	EXECUTE format('CREATE TABLE ann.%1$s_%2$s AS SELECT id, r100, r1000, c100, c1000, v::real[]::%3$s AS v FROM ann.%1$s_bare ORDER BY id', set, am, type);
	EXECUTE format('CREATE TABLE ann.%1$s_%2$s_q AS SELECT id, v::real[]::%3$s AS v, NULL::int[] AS seen FROM ann.%1$s_asked ORDER BY id', set, am, type);
	EXECUTE format('ALTER TABLE ann.%1$s_%2$s_q ADD PRIMARY KEY (id)', set, am);
END $$;

-- The exact answers of queries first..last, by sequential scans.
CREATE PROCEDURE answer(set text, filter text, k int, first int, last int) LANGUAGE plpgsql
SET enable_indexscan = off SET enable_bitmapscan = off AS $$
DECLARE
	source text := format('ann.%s_bare', set);
BEGIN
	IF filter <> 'true' THEN
		EXECUTE format('CREATE TEMPORARY TABLE chosen AS SELECT id, v FROM %s WHERE %s', source, filter);
		source := 'pg_temp.chosen';
	END IF;
	EXECUTE format($sql$
		INSERT INTO ann.answers
		SELECT %L, %L, q.id, a.ids, a.distances
		FROM ann.%s_asked q, LATERAL (
			SELECT array_agg(id ORDER BY d, id) AS ids, array_agg(d ORDER BY d, id) AS distances
			FROM (SELECT id, v <-> q.v AS d FROM %s ORDER BY v <-> q.v LIMIT %s) n) a
		WHERE q.id BETWEEN %s AND %s
	$sql$, set, filter, set, source, k, first, last);
	DROP TABLE IF EXISTS pg_temp.chosen;
END $$;

CREATE PROCEDURE mark_seen(set text, am text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE ann.%1$s_%2$s_q q SET seen = a.ids[:100] FROM ann.answers a WHERE a.set = %1$L AND a.filter = ''true'' AND a.query = q.id', set, am);
END $$;

-- Seconds, bytes and WAL of an index; how many processes is the session's setting.
CREATE PROCEDURE build(set text, am text, label text) LANGUAGE plpgsql AS $$
DECLARE
	place text := format('ann.%s_%s_index', set, am);
	rows bigint := (SELECT s.rows FROM ann.sets s WHERE name = set);
	options text := CASE am WHEN 'hnsw' THEN 'WITH (m = 16, ef_construction = 64)'
		WHEN 'ivfflat' THEN format('WITH (lists = %s)', greatest(1, CASE WHEN rows <= 1000000 THEN rows / 1000 ELSE sqrt(rows) END::int))
		WHEN 'lsh' THEN '' ELSE format('WITH (hash = %s)', split_part(am, '_', 1)) END;
	start_time timestamptz;
	start_cpu float8;
	start_lsn pg_lsn;
BEGIN
	EXECUTE format('DROP INDEX IF EXISTS %s', place);
	start_cpu := ann.cpu();
	start_lsn := pg_current_wal_insert_lsn();
	start_time := clock_timestamp();
	EXECUTE format('CREATE INDEX %1$s_%2$s_index ON ann.%1$s_%2$s USING %3$s %4$s', set, am,
				   CASE WHEN am IN ('hnsw', 'ivfflat') THEN am || ' (v vector_l2_ops)' ELSE 'lsh (v embedding_l2_ops)' END, options);
	PERFORM ann.note(set, am, 'build ' || label, extract(epoch FROM clock_timestamp() - start_time));
	PERFORM ann.note(set, am, 'build cpu ' || label, (ann.cpu() - start_cpu) / 1e6);
	PERFORM ann.note(set, am, 'build WAL', pg_current_wal_insert_lsn() - start_lsn);
	PERFORM ann.note(set, am, 'size', pg_relation_size(place));
END $$;

-- The measured query: the k nearest of q.v that the filter lets through.
CREATE FUNCTION question(set text, am text, columns text, filter text, k int) RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT format('SELECT %s FROM ann.%s_%s i WHERE %s ORDER BY i.v <-> q.v LIMIT %s', columns, set, am, filter, k)
$$;

-- Recall of the first n queries: a row counts if it is no farther than the k-th of
-- the exact answer.  With "behind", the exact answer begins after that many.
CREATE FUNCTION recall(set text, am text, n int, filter text DEFAULT 'true', k int DEFAULT 10,
					   answered text DEFAULT 'true', behind int DEFAULT 0) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	result float8;
BEGIN
	EXECUTE format($sql$
		SELECT avg(f.found::float8 / least(%s, cardinality(a.distances) - %s))
		FROM ann.%s_%s_q q
		JOIN ann.answers a ON a.set = %L AND a.filter = %L AND a.query = q.id
		CROSS JOIN LATERAL (
			SELECT count(DISTINCT r.id) AS found
			FROM (%s) r
			WHERE r.d <= a.distances[least(%s, cardinality(a.distances))] * (1 + 1e-6) + 1e-9) f
		WHERE q.id <= %s
	$sql$, k, behind, set, am, set, answered, ann.question(set, am, 'i.id, i.v <-> q.v AS d', filter, k), k + behind, n) INTO result;
	RETURN result;
END $$;

-- The first n queries again and again for some seconds, each a statement that is
-- planned once: microseconds of the clock and of the processor per query.
CREATE FUNCTION clock(set text, am text, n int, seconds float8, filter text DEFAULT 'true', k int DEFAULT 10,
					  OUT wall float8, OUT cpu float8) LANGUAGE plpgsql AS $$
DECLARE
	start_time timestamptz;
	start_cpu float8;
	loops int := 0;
BEGIN
	EXECUTE format($sql$
		CREATE OR REPLACE FUNCTION pg_temp.ask(n int) RETURNS void LANGUAGE plpgsql AS $body$
		DECLARE
			q record;
		BEGIN
			FOR q IN SELECT * FROM ann.%s_%s_q ORDER BY id LIMIT n LOOP
				PERFORM * FROM (%s) answer;
			END LOOP;
		END $body$
	$sql$, set, am, ann.question(set, am, 'i.id', filter, k));
	PERFORM pg_temp.ask(least(n, 20));
	start_time := clock_timestamp();
	start_cpu := ann.cpu();
	LOOP
		PERFORM pg_temp.ask(n);
		loops := loops + 1;
		EXIT WHEN clock_timestamp() >= start_time + seconds * interval '1 s';
	END LOOP;
	wall := extract(epoch FROM clock_timestamp() - start_time) * 1e6 / (loops * n);
	cpu := (ann.cpu() - start_cpu) / (loops * n);
END $$;

-- What the planner takes, in a word.
CREATE FUNCTION plan(set text, am text, filter text, k int DEFAULT 10) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	result text := 'sequential scan';
BEGIN
	FOR line IN EXECUTE format('EXPLAIN SELECT (SELECT count(*) FROM (%s) n) FROM ann.%s_%s_q q', ann.question(set, am, 'i.id', filter, k), set, am) LOOP
		IF line LIKE '%' || format('%s_%s_index', set, am) || '%' THEN
			result := am;
		ELSIF line LIKE format('%%%s_%s_%%_idx%%', set, am) THEN
			result := 'btree';
		END IF;
	END LOOP;
	RETURN result;
END $$;

-- n single-row inserts of S_more, from the first one that is not used yet.
CREATE PROCEDURE insert_rows(set text, am text, label text, first int, n int) LANGUAGE plpgsql AS $$
DECLARE
	start_time timestamptz;
	start_cpu float8;
	start_lsn pg_lsn;
BEGIN
	EXECUTE format('CREATE TEMPORARY TABLE fresh AS SELECT id + 100000000 AS id, v::real[]::%s AS v FROM ann.%s_more WHERE id >= %s AND id < %s',
				   ann.type_of(am, (SELECT d FROM ann.sets WHERE name = set)), set, first, first + n);
	EXECUTE format($sql$
		CREATE FUNCTION pg_temp.add() RETURNS void LANGUAGE plpgsql AS $body$
		DECLARE
			f record;
		BEGIN
			FOR f IN SELECT * FROM fresh LOOP
				INSERT INTO ann.%s_%s (id, r100, r1000, c100, c1000, v) VALUES (f.id, 1, 1, 1, 1, f.v);
			END LOOP;
		END $body$
	$sql$, set, am);
	start_cpu := ann.cpu();
	start_lsn := pg_current_wal_insert_lsn();
	start_time := clock_timestamp();
	PERFORM pg_temp.add();
	PERFORM ann.note(set, am, 'insert s ' || label, extract(epoch FROM clock_timestamp() - start_time));
	PERFORM ann.note(set, am, 'insert cpu ' || label, (ann.cpu() - start_cpu) / 1e6);
	PERFORM ann.note(set, am, 'insert WAL ' || label, pg_current_wal_insert_lsn() - start_lsn);
	DROP FUNCTION pg_temp.add();
	DROP TABLE fresh;
END $$;

-- Inserts all rows into a table that has the index already.
CREATE PROCEDURE grow(set text, am text) LANGUAGE plpgsql AS $$
DECLARE
	start_cpu float8;
BEGIN
	EXECUTE format('TRUNCATE ann.%s_%s', set, am);
	CALL ann.build(set, am, 'empty');
	start_cpu := ann.cpu();
	EXECUTE format('INSERT INTO ann.%s_%s SELECT * FROM ann.%1$s_bare ORDER BY id', set, am);
	PERFORM ann.note(set, am, 'grow cpu', ann.cpu() - start_cpu);
END $$;
