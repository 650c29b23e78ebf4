-- ann_families.sql: the table of ann.sh --families, of what ann_setup.sql has gathered.
-- Microseconds are processor time in the server.
\set QUIET on
\set ON_ERROR_STOP on
SET search_path = ann, public;
\pset footer off

\echo 'Hash families: built, and grown from an empty table by inserts'
SELECT s.name AS set, f.am AS hash,
	   round(figure(s.name, f.am, 'build cpu 0 workers')::numeric, 2) AS "build, s",
	   round(figure(s.name, f.am, 'size')::numeric / 1e6, 1) AS "MB",
	   round(d.recall::numeric, 4) AS recall, round(d.cpu::numeric) AS us,
	   round(c.cpu::numeric) AS "us at .97", c.settings AS "settings at .97",
	   round(figure(s.name, f.am || '_grown', 'grow cpu')::numeric / s.rows, 1) AS "us/insert",
	   round(g.recall::numeric, 4) AS "recall, grown", round(g.cpu::numeric) AS "us, grown"
FROM sets s CROSS JOIN (VALUES ('voronoi'), ('projection')) f(am)
JOIN tried d ON d.set = s.name AND d.am = f.am AND d.settings = ''
JOIN tried g ON g.set = s.name AND g.am = f.am || '_grown'
LEFT JOIN LATERAL (
	SELECT settings, cpu FROM tried t WHERE t.set = s.name AND t.am = f.am AND recall >= 0.97 ORDER BY cpu LIMIT 1) c ON true
ORDER BY s.ord, f.am DESC;
