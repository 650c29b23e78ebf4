-- load.sql: makes the example tables of Debian packages in the schema debian.
--
--     psql -v folder=test/data/debian -f test/data/load.sql
--
-- The files name packages by number to be small; the tables have the names, which
-- are the keys that one wants to ask by.  See README.md beside this file.

\set ON_ERROR_STOP on
\if :{?folder}
\else
	\set folder test/data/debian
\endif
\setenv METRICREC_EXAMPLE :folder

BEGIN;

CREATE SCHEMA debian;
COMMENT ON SCHEMA debian IS 'example data: packages of Debian, their tags, dependencies and maintainers';

CREATE TEMPORARY TABLE file_packages (package_id int PRIMARY KEY, name text, section text, words text[]) ON COMMIT DROP;
CREATE TEMPORARY TABLE file_tags (package_id int, tag text) ON COMMIT DROP;
CREATE TEMPORARY TABLE file_depends (package_id int, depends_on int) ON COMMIT DROP;
CREATE TEMPORARY TABLE file_maintains (maintainer_id int, package_id int) ON COMMIT DROP;

\copy file_packages FROM PROGRAM 'gzip -dc "$METRICREC_EXAMPLE/packages.tsv.gz"' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy file_tags FROM PROGRAM 'gzip -dc "$METRICREC_EXAMPLE/package_tags.tsv.gz"' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy file_depends FROM PROGRAM 'gzip -dc "$METRICREC_EXAMPLE/package_depends.tsv.gz"' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)
\copy file_maintains FROM PROGRAM 'gzip -dc "$METRICREC_EXAMPLE/maintains.tsv.gz"' (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)

ANALYZE file_packages;

CREATE TABLE debian.packages AS
SELECT name AS package, section, words FROM file_packages;
ALTER TABLE debian.packages ADD PRIMARY KEY (package);
COMMENT ON TABLE debian.packages IS 'binary packages; words: of the description, those that tell packages apart';

CREATE TABLE debian.package_tags AS
SELECT p.name AS package, t.tag FROM file_tags t JOIN file_packages p USING (package_id);
ALTER TABLE debian.package_tags ADD PRIMARY KEY (package, tag);
COMMENT ON TABLE debian.package_tags IS 'debtags: what a package is, facet::value';

CREATE TABLE debian.package_depends AS
SELECT p.name AS package, o.name AS depends_on
  FROM file_depends d
  JOIN file_packages p USING (package_id)
  JOIN file_packages o ON o.package_id = d.depends_on;
ALTER TABLE debian.package_depends ADD PRIMARY KEY (package, depends_on);
COMMENT ON TABLE debian.package_depends IS 'what a package needs, without what nearly every package needs';

CREATE TABLE debian.maintains AS
SELECT m.maintainer_id, p.name AS package FROM file_maintains m JOIN file_packages p USING (package_id);
ALTER TABLE debian.maintains ADD PRIMARY KEY (maintainer_id, package);
COMMENT ON TABLE debian.maintains IS 'who maintains a package: a number, a person or a team';

-- A package has one maintainer, so debian.maintains never shows two maintainers
-- with a package in common.  What a maintainer works with does: the packages
-- they maintain and those that theirs depend on.  A package that only one
-- maintainer works with says nothing about another.
CREATE TABLE debian.works_with AS
WITH pairs AS (
	SELECT maintainer_id, package FROM debian.maintains
	UNION
	SELECT m.maintainer_id, d.depends_on FROM debian.maintains m JOIN debian.package_depends d USING (package)
)
SELECT maintainer_id, package FROM pairs
 WHERE package IN (SELECT package FROM pairs GROUP BY package HAVING count(*) > 1);
ALTER TABLE debian.works_with ADD PRIMARY KEY (maintainer_id, package);
COMMENT ON TABLE debian.works_with IS 'the packages that a maintainer maintains or that theirs depend on, if others do so too';

COMMIT;

ANALYZE debian.packages, debian.package_tags, debian.package_depends, debian.maintains, debian.works_with;
