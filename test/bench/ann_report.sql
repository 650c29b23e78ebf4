-- ann_report.sql: the tables of ann.sh, of what ann_setup.sql has gathered.
-- "ratio" is ours by the peer's, "target" what it should be at most.
\set QUIET on
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET search_path = ann, public;
\pset footer off
\pset null ''

CREATE FUNCTION three_digits(x float8) RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT CASE WHEN x IS NULL THEN NULL WHEN x = 0 THEN '0'
		ELSE trim_scale(round(x::numeric, greatest(0, 2 - floor(log(abs(x)::numeric))::int)))::text END
$$;

CREATE FUNCTION ratio(ours float8, theirs float8) RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT ann.three_digits(ours / nullif(theirs, 0)) $$;

CREATE FUNCTION verdict(ours float8, theirs float8, target float8) RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT format('%s %s', ann.three_digits(target), CASE WHEN ours / nullif(theirs, 0) IS NULL THEN ''
		WHEN ours / theirs <= target THEN 'yes' ELSE 'MISSED' END)
$$;

-- One topic: figure "what" of every set that has it, in our unit.
CREATE FUNCTION compare(of_what text, unit float8 DEFAULT 1, hnsw_target float8 DEFAULT NULL, ivfflat_target float8 DEFAULT NULL)
RETURNS TABLE (set text, lsh text, hnsw text, "lsh/hnsw" text, target text, ivfflat text, "lsh/ivfflat" text, "target " text)
STABLE LANGUAGE sql AS $$
	SELECT s.name, ann.three_digits(l.f / unit), ann.three_digits(h.f / unit), ann.ratio(l.f, h.f),
		   CASE WHEN hnsw_target IS NOT NULL THEN ann.verdict(l.f, h.f, hnsw_target) END,
		   ann.three_digits(i.f / unit), ann.ratio(l.f, i.f),
		   CASE WHEN ivfflat_target IS NOT NULL THEN ann.verdict(l.f, i.f, ivfflat_target) END
	FROM ann.sets s, LATERAL ann.figure(s.name, 'lsh', of_what) l(f), LATERAL ann.figure(s.name, 'hnsw', of_what) h(f),
		 LATERAL ann.figure(s.name, 'ivfflat', of_what) i(f)
	WHERE coalesce(l.f, h.f, i.f) IS NOT NULL ORDER BY s.ord
$$;

\echo
\echo 'Sets'
SELECT name AS set, rows, d AS dimensions, queries FROM sets ORDER BY ord;

\echo 'Settings tried: microseconds of processor time in the server'
SELECT set, am AS index, CASE WHEN settings = '' THEN '(default)' ELSE settings END AS settings, round(recall::numeric, 4) AS "recall@10",
	   round(cpu::numeric) AS us
FROM tried JOIN sets ON name = set ORDER BY sets.ord, am, tried.ord;

\echo 'Query, each index at its cheapest setting with recall >= .97: microseconds in the server (processor, clock), clients'' view'
CREATE TEMPORARY TABLE query AS
SELECT s.ord, s.name, a.am, coalesce(figure(s.name, a.am, 'query recall'), NULL) AS recall, figure(s.name, a.am, 'query cpu') AS cpu,
	   figure(s.name, a.am, 'query wall') AS wall, figure(s.name, a.am, 'rate, 1 clients') AS one, figure(s.name, a.am, 'rate, 2 clients') AS two
FROM sets s, (VALUES ('lsh'), ('lsh_default'), ('hnsw'), ('ivfflat')) a(am);
CREATE FUNCTION chosen(of_set text, of_am text) RETURNS text STABLE LANGUAGE sql AS $$
	SELECT CASE WHEN settings = '' THEN '(default)' ELSE settings END FROM ann.tried WHERE set = of_set AND am = of_am
	ORDER BY recall >= 0.97 DESC, CASE WHEN recall >= 0.97 THEN cpu ELSE -recall END LIMIT 1
$$;
SELECT name AS set, am AS index, CASE WHEN am <> 'lsh_default' THEN chosen(name, am) ELSE '(default)' END AS settings, round(recall::numeric, 4) AS "recall@10",
	   three_digits(cpu) AS cpu, three_digits(wall) AS wall, round(one::numeric) AS "1 client, 1/s", round(two::numeric) AS "2 clients, 1/s"
FROM query WHERE cpu IS NOT NULL ORDER BY ord, am <> 'lsh', am;

-- Targets by set: 1/8 and 1/4 on the million, 1/3 and 1/4 on trained ones.
CREATE TEMPORARY TABLE pairs AS
SELECT o.ord, o.name, o.am, p.am AS peer, o.recall >= 0.97 AND p.recall >= 0.97 AS enough, o.cpu AS our_cpu, p.cpu, o.wall AS our_wall, p.wall,
	   1 / o.one AS our_one, 1 / p.one AS one, 1 / o.two AS our_two, 1 / p.two AS two,
	   CASE WHEN o.name IN ('movielens', 'citeulike') THEN CASE p.am WHEN 'hnsw' THEN 1 / 3.0 ELSE 1 / 4.0 END
			WHEN o.name = 'rec64' THEN CASE p.am WHEN 'hnsw' THEN 1 / 8.0 ELSE 1 / 4.0 END END AS target
FROM query o JOIN query p USING (name) WHERE o.am LIKE 'lsh%' AND p.am NOT LIKE 'lsh%' AND o.cpu IS NOT NULL AND p.cpu IS NOT NULL;
\echo 'The same, ours by the peer''s time'
SELECT name AS set, am AS ours, peer, CASE WHEN enough THEN '' ELSE 'recall below .97' END AS note, ratio(our_cpu, cpu) AS cpu, ratio(our_wall, wall) AS wall,
	   ratio(our_one, one) AS "1 client", ratio(our_two, two) AS "2 clients", CASE WHEN target IS NOT NULL THEN verdict(our_cpu, cpu, target) END AS "target (cpu)"
FROM pairs ORDER BY ord, am, peer;

\echo 'Build, one process, s'
SELECT * FROM compare('build 0 workers', 1, 1 / 20.0);
\echo 'Build, one process, s of its processor time'
SELECT * FROM compare('build cpu 0 workers', 1, 1 / 20.0);
\echo 'Build, two workers, s'
SELECT * FROM compare('build 2 workers', 1, 1 / 20.0);
\echo 'Size, MB'
SELECT * FROM compare('size', 1e6, 0.25);
\echo 'WAL of the build, MB'
SELECT * FROM compare('build WAL', 1e6);

-- Inserts: what the index adds to the table's own.
INSERT INTO figures (set, am, what, value)
SELECT set, am, 'added ' || what, figure(set, am, what) - figure(set, 'bare', what)
FROM (SELECT DISTINCT set, am, what FROM figures WHERE what LIKE 'insert %' AND am <> 'bare') f;
\echo 'Inserts, 10,000 single rows in one transaction: table without index'
SELECT set, three_digits(figure(set, 'bare', 'insert cpu steady')) AS s, three_digits(figure(set, 'bare', 'insert WAL steady') / 1e6) AS "WAL, MB",
	   three_digits(figure(set, 'bare', 'insert WAL first') / 1e6) AS "WAL after a checkpoint, MB"
FROM (SELECT DISTINCT set FROM figures WHERE am = 'bare') f;
\echo 'Added by the index: s of processor time'
SELECT * FROM compare('added insert cpu steady', 1, 1 / 20.0, 2);
\echo 'Added by the index: WAL in the steady state, MB'
SELECT * FROM compare('added insert WAL steady', 1e6, 0.1);
\echo 'Added by the index: WAL of the first 10,000 after a checkpoint, MB'
SELECT * FROM compare('added insert WAL first', 1e6);

\echo 'Filters: ten nearest of the rows that match; milliseconds of processor time.  hnsw with relaxed_order: ef 40, and generous (ef 200, 200,000 tuples, memory x 4)'
CREATE TEMPORARY TABLE filters AS
SELECT DISTINCT ON (f.set, f.am, p.filter) s.ord, f.set, f.am, p.filter, p.plan,
	   figure(f.set, f.am, p.filter || ' index recall') AS recall, figure(f.set, f.am, p.filter || ' index cpu') / 1000 AS index_ms,
	   figure(f.set, f.am, p.filter || ' generous recall') AS generous_recall, figure(f.set, f.am, p.filter || ' generous cpu') / 1000 AS generous_ms,
	   figure(f.set, f.am, p.filter || ' btree cpu') / 1000 AS btree_ms,
	   figure(f.set, f.am, p.filter || ' planned recall') AS planned_recall, figure(f.set, f.am, p.filter || ' planned cpu') / 1000 AS planned_ms
FROM plans p JOIN figures f USING (set, am) JOIN sets s ON s.name = f.set;
SELECT set, filter, am AS index, round(recall::numeric, 3) AS recall, three_digits(index_ms) AS ms, round(generous_recall::numeric, 3) AS "recall, generous",
	   three_digits(generous_ms) AS "ms, generous", three_digits(btree_ms) AS "btree ms", plan AS planned, round(planned_recall::numeric, 3) AS "recall, planned",
	   three_digits(planned_ms) AS "ms, planned", ratio(planned_ms, least(index_ms, btree_ms)) AS "planned by best", verdict(planned_ms, least(index_ms, btree_ms), 2) AS target
FROM filters ORDER BY ord, filter, am DESC;
\echo 'The same, ours by the cheaper of hnsw''s that finds 97 %, or else by the one that finds more'
SELECT o.set, o.filter, round(o.recall::numeric, 3) AS recall, three_digits(o.index_ms) AS ms, round(p.recall::numeric, 3) AS "hnsw's recall", three_digits(p.ms) AS "hnsw's ms",
	   ratio(o.index_ms, p.ms) AS ratio, verdict(o.index_ms, p.ms, 1 / 3.0) AS target, CASE WHEN o.recall >= 0.97 THEN '' ELSE 'recall MISSED' END AS note
FROM filters o
LEFT JOIN LATERAL (
	SELECT v.recall, v.ms FROM filters h, LATERAL (VALUES (h.recall, h.index_ms), (h.generous_recall, h.generous_ms)) v(recall, ms)
	WHERE h.set = o.set AND h.filter = o.filter AND h.am = 'hnsw'
	ORDER BY v.recall >= 0.97 DESC, CASE WHEN v.recall >= 0.97 THEN v.ms ELSE -v.recall END LIMIT 1) p ON true
WHERE o.am = 'lsh' ORDER BY o.ord, o.filter;

\echo 'Leaving out the 100 nearest (NOT IN), beside LIMIT 110: microseconds of processor time'
SELECT set, three_digits(figure(set, 'lsh', 'limit 110 cpu')) AS "limit 110", three_digits(figure(set, 'lsh', 'excluded cpu')) AS "left out",
	   round(figure(set, 'lsh', 'excluded recall')::numeric, 4) AS recall,
	   ratio(figure(set, 'lsh', 'excluded cpu'), figure(set, 'lsh', 'limit 110 cpu')) AS ratio,
	   verdict(figure(set, 'lsh', 'excluded cpu'), figure(set, 'lsh', 'limit 110 cpu'), 1.3) AS target
FROM figures WHERE what = 'excluded recall';

\echo 'Exact: milliseconds of processor time'
SELECT set, round(figure(set, 'lsh', 'exact recall')::numeric, 4) AS recall, three_digits(figure(set, 'lsh', 'exact cpu') / 1000) AS "lsh.exact",
	   three_digits(figure(set, 'lsh', 'scanned cpu') / 1000) AS "sequential scan",
	   CASE WHEN set = 'rec64' THEN verdict(figure(set, 'lsh', 'exact cpu') / 1000, 1, 10) END AS target
FROM figures WHERE what = 'exact recall';

\echo 'Growth: microseconds of processor time at recall >= .97, default settings in brackets'
SELECT s.name AS set, rows, format('%s (%s)', three_digits(figure(name, 'lsh', 'query cpu')), three_digits(figure(name, 'lsh_default', 'query cpu'))) AS lsh,
	   three_digits(figure(name, 'hnsw', 'query cpu')) AS hnsw, three_digits(figure(name, 'ivfflat', 'query cpu')) AS ivfflat,
	   three_digits(figure(name, 'lsh', 'build 2 workers')) AS "lsh build, s", three_digits(figure(name, 'lsh', 'size') / 1e6) AS "lsh MB"
FROM sets s WHERE name LIKE 'rec64%' ORDER BY rows;
