-- The access method lsh: options of an index, settings of a session, what is
-- refused, and who may call the functions on an index.
\set SHOW_CONTEXT never
\pset null (null)
CREATE TABLE t (id int, e embedding(3), other embedding, name text);
INSERT INTO t SELECT i, ARRAY[i, i % 7, i % 11]::real[]::embedding, NULL, i FROM generate_series(1, 300) i;

--
-- Options
--
CREATE INDEX t_e ON t USING lsh (e) WITH (hash = voronoi, target_recall = 0.9);
SELECT hash, target_recall FROM lsh_stats('t_e');
\d t_e
ALTER INDEX t_e SET (target_recall = 1);
SELECT target_recall FROM lsh_stats('t_e');
ALTER INDEX t_e RESET (target_recall);
SELECT target_recall FROM lsh_stats('t_e');
-- the hash is what the index was built with, until it is built anew
ALTER INDEX t_e SET (hash = projection);
SELECT hash FROM lsh_stats('t_e');
INSERT INTO t SELECT i, ARRAY[i, i % 7, i % 11]::real[]::embedding, NULL, i FROM generate_series(301, 900) i;
SELECT hash FROM lsh_stats('t_e');
REINDEX INDEX t_e;
SELECT hash FROM lsh_stats('t_e');
SELECT lsh_check('t_e', true);
ALTER INDEX t_e SET (hash = lines);
ALTER INDEX t_e SET (target_recall = 0.49);
ALTER INDEX t_e SET (target_recall = 1.01);
ALTER INDEX t_e SET (target_recall = 'much');
ALTER INDEX t_e SET (lists = 10);
CREATE INDEX ON t USING lsh (e) WITH (fillfactor = 90);
CREATE INDEX ON t USING lsh (e) WITH (hash = '');

--
-- Settings
--
SHOW lsh.target_recall;
SHOW lsh.min_probe;
SHOW lsh.max_scan;
SHOW lsh.exact;
SET lsh.target_recall = -0.1;
SET lsh.target_recall = 1.1;
SET lsh.min_probe = 0;
SET lsh.min_probe = 1000001;
SET lsh.max_scan = -1;
SET lsh.max_scan = 2147483648;
SET lsh.exact = perhaps;
SET lsh.probes = 10;
-- the session's wish goes before the index's
SET lsh.target_recall = 0.75;
SELECT target_recall FROM lsh_stats('t_e');
SET lsh.target_recall = 0;
SELECT target_recall FROM lsh_stats('t_e');
-- each is obeyed at its ends
SET enable_seqscan = off;
SET lsh.min_probe = 1;
SET lsh.target_recall = 0.5;
SELECT count(*) FROM (SELECT id FROM t ORDER BY e <-> '[3,3,3]' LIMIT 10) x;
SELECT lsh_recall('t_e', 50) BETWEEN 0.3 AND 1 AS low;
SET lsh.min_probe = 1000000;
SET lsh.target_recall = 1;
SELECT lsh_recall('t_e', 50);
SET lsh.max_scan = 1;
SELECT count(*) > 0 FROM (SELECT id FROM t ORDER BY e <-> '[3,3,3]' LIMIT 10) x;
RESET lsh.min_probe;
RESET lsh.target_recall;
RESET lsh.max_scan;

--
-- What cannot be indexed
--
CREATE UNIQUE INDEX ON t USING lsh (e);
CREATE INDEX ON t USING lsh (e, other);
CREATE INDEX ON t USING lsh (e) INCLUDE (id);
CREATE INDEX ON t USING lsh (e DESC);
CREATE INDEX ON t USING lsh (e NULLS FIRST);
CREATE INDEX ON t USING lsh (name);
CREATE INDEX ON t USING lsh (id);
CREATE INDEX ON t USING lsh (e embedding_ops);
\set VERBOSITY sqlstate
ALTER TABLE t ADD EXCLUDE USING lsh (e WITH =);
ALTER TABLE t ADD EXCLUDE USING lsh (e WITH <->);
\set VERBOSITY default
CLUSTER t USING t_e;
-- too many dimensions: declared, there, inserted
CREATE TABLE long (e embedding(2001));
CREATE INDEX ON long USING lsh (e);
CREATE TABLE longer (e embedding);
CREATE INDEX longer_e ON longer USING lsh (e);
INSERT INTO longer SELECT array_agg(i)::real[]::embedding FROM generate_series(1, 2001) i;
DROP INDEX longer_e;
INSERT INTO longer SELECT array_agg(i)::real[]::embedding FROM generate_series(1, 2001) i;
CREATE INDEX longer_e ON longer USING lsh (e);
DROP TABLE long, longer;
-- different dimensions
CREATE INDEX t_other ON t USING lsh (other);
UPDATE t SET other = '[1,2]' WHERE id = 1;
UPDATE t SET other = '[1,2,3]' WHERE id = 2;
SELECT lsh_check('t_other', true);
SELECT dimensions, rows, null_rows FROM lsh_stats('t_other');
SELECT id FROM t ORDER BY other <-> '[1,2,3]' LIMIT 1;
DROP INDEX t_other;
UPDATE t SET other = '[1,2,3]' WHERE id = 2;
CREATE INDEX t_other ON t USING lsh (other);
-- a query point of other dimensions is the operator's own error
SELECT id FROM t ORDER BY e <-> '[1,2]' LIMIT 1;

-- An operator class for another type, or with another operator, is not valid.
CREATE OPERATOR CLASS wrong_ops FOR TYPE embedding USING lsh AS
	OPERATOR 1 = (embedding, embedding), FUNCTION 1 dims(embedding);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'wrong_ops';
DROP OPERATOR FAMILY wrong_ops USING lsh;
CREATE OPERATOR CLASS wrong_ops FOR TYPE embedding USING lsh AS
	OPERATOR 2 <-> (embedding, embedding) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS empty_ops FOR TYPE embedding USING lsh AS STORAGE embedding;
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'empty_ops';
DROP OPERATOR FAMILY empty_ops USING lsh;

--
-- The functions on an index
--
CREATE INDEX t_id ON t (id);
CREATE TABLE parted (e embedding) PARTITION BY RANGE (e);
CREATE INDEX parted_e ON parted USING lsh (e);
SELECT lsh_check('t');
SELECT lsh_check('t_id');
SELECT lsh_check('parted_e');
SELECT lsh_check(0);
SELECT lsh_recall('t');
SELECT lsh_stats('t_id');
SELECT lsh_check(NULL), lsh_recall(NULL), lsh_recall('t_e', NULL);
SELECT lsh_recall('t_e', 0);
SELECT lsh_recall('t_e', 10001);
SELECT lsh_recall('t_e', 10, 0);
SELECT lsh_recall('t_e', 10, 10001);
SET maintenance_work_mem = '1MB';
SELECT lsh_recall('t_e', 1000, 1000);
RESET maintenance_work_mem;
-- more than there are
SELECT lsh_recall('t_e', 1000, 1000);
DROP TABLE parted;

-- The codes of our own errors.
\set VERBOSITY sqlstate
SELECT lsh_check('t');
SELECT lsh_check('t_id');
SELECT lsh_check(0);
SELECT lsh_recall('t_e', 0);
SELECT lsh_recall('t_e', 10000, 10000);
UPDATE t SET e = '[1,2]';
CREATE INDEX t_other ON t USING lsh (other);
INSERT INTO t (other) SELECT array_agg(i)::real[]::embedding FROM generate_series(1, 2001) i;
CREATE INDEX t_other ON t USING lsh (other);
\set VERBOSITY default

-- Who may what.
CREATE ROLE regress_lsh_owner;
CREATE ROLE regress_lsh_reader;
CREATE ROLE regress_lsh_nobody;
ALTER TABLE t OWNER TO regress_lsh_owner;
GRANT SELECT ON t TO regress_lsh_reader;
SET ROLE regress_lsh_owner;
SELECT lsh_check('t_e', true), lsh_recall('t_e') > 0.9 AS recall, rows FROM lsh_stats('t_e');
SET ROLE regress_lsh_reader;
SELECT lsh_recall('t_e') > 0.9 AS recall, rows FROM lsh_stats('t_e');
SELECT lsh_check('t_e');
SET ROLE regress_lsh_nobody;
SELECT lsh_check('t_e');
SELECT lsh_recall('t_e');
SELECT lsh_stats('t_e');
RESET ROLE;
-- row security: nothing is told of rows that the caller does not see
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON t USING (id < 10);
SET ROLE regress_lsh_reader;
SELECT lsh_recall('t_e');
SELECT lsh_stats('t_e');
SELECT count(*) FROM (SELECT id FROM t ORDER BY e <-> '[1,1,1]' LIMIT 100) x;
SET ROLE regress_lsh_owner;
SELECT lsh_recall('t_e') > 0.9 AS recall, rows FROM lsh_stats('t_e');
RESET ROLE;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;

-- The expression of an index runs as the owner of the table, whoever looks at it.
CREATE FUNCTION who(e embedding) RETURNS embedding LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'regress_lsh_owner' THEN
		RAISE 'run as %', current_user;
	END IF;
	RETURN e;
END
$$;
CREATE INDEX t_who ON t USING lsh (who(e));
SELECT lsh_check('t_who', true), lsh_recall('t_who', 3, 3) > 0;
SELECT current_user = session_user AS as_before;
-- What it calls cannot be replaced by the caller's search_path.
CREATE OR REPLACE FUNCTION who(e embedding) RETURNS embedding LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_setting('search_path') <> 'pg_catalog, pg_temp' THEN
		RAISE 'run with %', current_setting('search_path');
	END IF;
	RETURN e;
END
$$;
SET ROLE regress_lsh_reader;
SELECT lsh_recall('t_who', 3, 3) > 0;
RESET ROLE;
SELECT lsh_check('t_who', true), current_setting('search_path') AS as_before;

DROP TABLE t;
DROP FUNCTION who;
DROP ROLE regress_lsh_owner, regress_lsh_reader, regress_lsh_nobody;
