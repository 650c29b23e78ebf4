--
-- Pictures: plot_training and plot_map.  What is looked at is the structure of the
-- text; where a point lies is rounded differently by other machines.
--
CREATE SCHEMA plots;
SET search_path = plots, public;
SET client_min_messages = error;
-- an error with everything that belongs to it
CREATE FUNCTION fails(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
	state text;
BEGIN
	EXECUTE command;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
		state = RETURNED_SQLSTATE;
	RETURN concat_ws(' | ', state, message, nullif(detail, ''), nullif(hint, ''));
END $$;
-- is it a document of XML?  A server without libxml cannot tell.
CREATE FUNCTION well_formed(svg text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN svg ~ '^<svg .*</svg>\n$' AND svg !~ '[^\n\x20-\x7e]' AND xmlparse(document svg) IS NOT NULL;
EXCEPTION WHEN feature_not_supported THEN
	RETURN true;
END $$;
CREATE FUNCTION parts(svg text, pattern text) RETURNS bigint LANGUAGE sql AS $$SELECT count(*) FROM regexp_matches(svg, pattern, 'g')$$;
-- circles with a tooltip are points; the others belong to the legend
CREATE FUNCTION points(svg text) RETURNS bigint LANGUAGE sql AS $$SELECT parts(svg, '<circle [^>]*[^/]>')$$;
CREATE FUNCTION texts(svg text, class text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT m[1] FROM regexp_matches(svg, '<text class="' || class || '"[^>]*>([^<]*)</text>', 'g') m$$;
-- what is drawn, without figures: how many points, the title, the subtitle, the legend
CREATE FUNCTION describe(svg text) RETURNS TABLE (ok boolean, points bigint, labels bigint, title text, subtitle text, legend text) LANGUAGE sql AS
	$$SELECT well_formed(svg), points(svg), (SELECT count(*) FROM texts(svg, 'l')), (SELECT texts(svg, 't')), (SELECT string_agg(t, ' / ') FROM texts(svg, 's') t),
		(SELECT string_agg(t, ' ') FROM texts(svg, 'm(?: h)?') t)$$;

CREATE TABLE visits (guest int, place text);
INSERT INTO visits SELECT u, 'p' || i FROM generate_series(1, 60) u, generate_series(1, 40) i
WHERE u % 3 = i % 3 AND (u * 7 + i * 11) % 5 <> 0;
CREATE INDEX ON visits (guest);
CREATE TABLE places (place text PRIMARY KEY, kind text, name text, size float8, opened date, tags text[], sizes int[], open boolean);
INSERT INTO places SELECT 'p' || i, CASE WHEN i = 7 THEN NULL ELSE (ARRAY['inn', 'bar', 'zoo'])[i % 3 + 1] END,
	'Place ' || i, i * i, date '2000-01-01' + i * 30, ARRAY['t' || i % 4, 'x'], ARRAY[i, 1], i % 2 = 0 FROM generate_series(1, 40) i;
CREATE TABLE guests (guest bigint PRIMARY KEY, country text);
INSERT INTO guests SELECT u, 'c' || u % 13 FROM generate_series(1, 60) u;
SELECT model FROM metricrec.create_model('m', 'visits', user_column => 'guest', item_column => 'place', user_tower => 'free',
	item_features => 'places', user_features => 'guests', item_combination => 'id', user_combination => 'id', dimensions => 8, epochs => 4, seed => 1);

-- ---------------------------------------------------------------------------
-- The course of a training
-- ---------------------------------------------------------------------------
SELECT fails($$SELECT metricrec.plot_training('m')$$);
SELECT fails($$SELECT metricrec.plot_map('m')$$);
SELECT active FROM metricrec.train('m');
SELECT well_formed(svg), parts(svg, '<path class="k k') > 0 AS lines, (SELECT texts(svg, 't')) AS title,
	(SELECT texts(svg, 's') ~ '^version 1, \d+ epochs?, \d+\.\d s$') AS subtitle, (SELECT string_agg(t, ', ') FROM texts(svg, 'a h') t) LIKE 'loss%' AS panels
FROM metricrec.plot_training() svg;
-- rows as a training with validation would write them: one line per stage and panel, the best epochs marked
INSERT INTO metricrec.epoch_log
SELECT model_id, 9, (stage - 1) * 20 + e, (ARRAY['validate pooled', 'validate free', 'train'])[stage], e, 1.0 / e + stage,
	CASE WHEN stage < 3 THEN 0.1 * stage + 0.1 - abs(e - 5 - stage) * 0.01 END, 0.1, 1, 1, 30, now()
FROM metricrec.models, generate_series(1, 3) stage, generate_series(1, 20) e WHERE model = 'm' AND schema = 'plots';
SELECT well_formed(svg), parts(svg, '<path class="k k') AS lines, parts(svg, 'class="ring ') AS best, parts(svg, 'class="best"') AS best_of_all,
	(SELECT texts(svg, 's')) AS subtitle, (SELECT string_agg(t, ' | ') FROM texts(svg, 'a h') t) AS panels,
	(SELECT string_agg(t, ' | ') FROM texts(svg, 'm') t) AS legend
FROM metricrec.plot_training('m') svg;
SELECT svg = metricrec.plot_training('m', 9) AS latest, svg <> metricrec.plot_training('m', 1) AS another,
	metricrec.plot_training('m', NULL, NULL, NULL) = svg AS defaults FROM metricrec.plot_training('m') svg;
SELECT well_formed(metricrec.plot_training('m', width => w, height => h)) FROM (VALUES (240, 240), (10000, 240), (240, 10000)) v (w, h);
-- one epoch; a loss that is no number; one value only
UPDATE metricrec.epoch_log SET loss = 'NaN' WHERE version = 9 AND step < 5;
SELECT well_formed(metricrec.plot_training('m'));
UPDATE metricrec.epoch_log SET loss = 2, ndcg = NULL WHERE version = 9;
SELECT well_formed(metricrec.plot_training('m'));
DELETE FROM metricrec.epoch_log WHERE version = 9 AND step > 1;
SELECT well_formed(svg), parts(svg, '<circle') AS dots FROM metricrec.plot_training('m') svg;
UPDATE metricrec.epoch_log SET stage = E'<a & "b">\u202e\x01' || repeat('long', 100), loss = 1e300 WHERE version = 9;
SELECT well_formed(svg), (SELECT texts(svg, 'm')) FROM metricrec.plot_training('m') svg;
DELETE FROM metricrec.epoch_log WHERE version = 9;
SELECT fails(c) FROM unnest(ARRAY[$$SELECT metricrec.plot_training('m', 8)$$, $$SELECT metricrec.plot_training('n')$$,
	$$SELECT metricrec.plot_training('m', width => 239)$$, $$SELECT metricrec.plot_training('m', height => 10001)$$]) c;

-- ---------------------------------------------------------------------------
-- Maps
-- ---------------------------------------------------------------------------
SELECT d.* FROM metricrec.plot_map('m') svg, describe(svg) d;
SELECT svg = metricrec.plot_map('m') AS repeatable, svg <> metricrec.plot_map('m', seed => 2) AS by_seed,
	svg = metricrec.plot_map('m', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS defaults
FROM metricrec.plot_map('m') svg;
-- the picture does not depend on where rows lie
CREATE TABLE before AS SELECT metricrec.plot_map('m', color => 'kind', labels => 'name') AS svg;
UPDATE places SET size = size;
CLUSTER places USING places_pkey;
SELECT svg = metricrec.plot_map('m', color => 'kind', labels => 'name') AS same FROM before;
-- sides
SELECT d.* FROM metricrec.plot_map('m', 'user') svg, describe(svg) d;
SELECT d.* FROM metricrec.plot_map('m', 'both', title => 'All of "it" <here> & ü') svg, describe(svg) d;
-- colours of every kind
SELECT d.* FROM unnest(ARRAY['kind', 'tags', 'open', 'cluster']) c, metricrec.plot_map('m', color => c, clusters => CASE WHEN c = 'cluster' THEN 3 END) svg,
	LATERAL (SELECT d.ok, d.points, regexp_replace(d.legend, 'cluster.*', 'cluster') AS legend FROM describe(svg) d) d;
SELECT c, well_formed(svg), points(svg), parts(svg, '<circle class="s\d') > 10 AS scale, parts(svg, '<rect class="s\d') AS bar,
	(SELECT texts(svg, 'm h')) AS legend
FROM unnest(ARRAY['size', 'opened', 'sizes', 'popularity']) c, metricrec.plot_map('m', color => c, method => 'pca') svg;
SELECT (SELECT array_agg(t) FROM texts(svg, 'm') t) FROM metricrec.plot_map('m', color => 'opened', method => 'pca') svg;
SELECT parts(svg, '<circle class="c[0-2]"[^>]*[^/]>') AS points, parts(svg, '<circle class="c[0-9]"[^>]*/>') AS legend
FROM metricrec.plot_map('m', clusters => 3) svg;
-- more categories than colours: ten, the others, no value
DELETE FROM guests WHERE guest <= 5;
SELECT d.points, d.legend FROM metricrec.plot_map('m', 'user', color => 'country') svg, describe(svg) d;
SELECT d.ok, d.points, d.legend FROM metricrec.plot_map('m', 'both', color => 'kind', method => 'pca') svg, describe(svg) d;
SELECT (SELECT array_agg(t) FROM texts(svg, 'm h') t), parts(svg, '<circle class="cn"') AS users
FROM metricrec.plot_map('m', 'both', color => 'popularity', method => 'pca') svg;
-- samples
SELECT s, d.ok, d.points, d.subtitle FROM unnest(ARRAY['popular', 'random']) s,
	metricrec.plot_map('m', method => 'pca', max_points => 10, sample => s) svg,
	LATERAL (SELECT d.ok, d.points, regexp_replace(d.subtitle, '\d+%', 'x', 'g') AS subtitle FROM describe(svg) d) d;
SELECT regexp_replace(texts(svg, 's'), ',.*', '') FROM metricrec.plot_map('m', 'both', max_points => 50) svg;
SELECT regexp_replace(texts(svg, 's'), ',.*', '') FROM metricrec.plot_map('m', 'both', max_points => 90) svg;
SELECT metricrec.plot_map('m', max_points => 10, sample => 'random') <> metricrec.plot_map('m', max_points => 10, sample => 'random', seed => 2) AS another;
-- labels: not more than asked for; tooltips have label, key and value
SELECT count(*) BETWEEN 3 AND 5 AS some FROM texts(metricrec.plot_map('m', labels => 'key', max_labels => 5), 'l');
SELECT count(*) FROM texts(metricrec.plot_map('m', labels => 'key', max_labels => 0), 'l');
SELECT m[1] FROM regexp_matches(metricrec.plot_map('m', labels => 'name', color => 'kind'), '<title>(Place (?:7|8) [^<]*)</title>', 'g') m ORDER BY 1;
SELECT parts(metricrec.plot_map('m', labels => 'key'), '<title>p\d+</title>') AS keys;
-- nothing of a label gets out of its place
UPDATE places SET name = CASE place WHEN 'p1' THEN '</title></text><script>alert(1)</script>' WHEN 'p2' THEN 'a & b &amp; "c" ''d'''
	WHEN 'p3' THEN E'line\nline\ttab\x01\x1b[31m' WHEN 'p4' THEN U&'\202Eright\2066 \200Fto\FEFF left\+0E0041' WHEN 'p5' THEN repeat('x', 100000)
	WHEN 'p6' THEN repeat(U&'\4E2D', 500) WHEN 'p8' THEN ']]>' WHEN 'p9' THEN '' WHEN 'p10' THEN E' \u00a0\n ' WHEN 'p11' THEN U&'\FFFF\FDD0'
	WHEN 'p12' THEN U&'\+01F600 caf\00E9' END, kind = E'<&">\x02';
SELECT d.ok, d.points, d.legend FROM metricrec.plot_map('m', labels => 'name', color => 'kind', max_labels => 100) svg, describe(svg) d;
SELECT m[1] AS label FROM regexp_matches(metricrec.plot_map('m', labels => 'name'), '<title>([^<]*) \(p(?:[1-9]|1[0-2])\)</title>', 'g') m ORDER BY m[1] COLLATE "C";
SELECT parts(svg, '<title>p(9|10)</title>') AS only_keys, svg LIKE '%<script%' AS markup FROM metricrec.plot_map('m', labels => 'name') svg;
-- numbers that are none; the same number everywhere; a huge range
UPDATE places SET size = CASE place WHEN 'p1' THEN 'NaN' WHEN 'p2' THEN 'Infinity' WHEN 'p3' THEN NULL WHEN 'p4' THEN -1e308 ELSE 1e308 END,
	opened = CASE WHEN place = 'p1' THEN 'infinity'::date ELSE '2020-02-29' END;
SELECT c, well_formed(svg), parts(svg, '<circle class="cn"[^>]*[^/]>') AS none FROM unnest(ARRAY['size', 'opened']) c, metricrec.plot_map('m', color => c) svg;
UPDATE places SET size = NULL, kind = NULL;
SELECT c, d.ok, d.points, d.legend FROM unnest(ARRAY['size', 'kind']) c, metricrec.plot_map('m', color => c) svg, describe(svg) d;
UPDATE places SET size = 7;
SELECT c, well_formed(svg) FROM unnest(ARRAY['size']) c, metricrec.plot_map('m', color => c) svg;

-- few points: one, two, three; equal ones; none
SELECT well_formed(metricrec.plot_map('m', width => w, height => h, color => 'kind', labels => 'key')) FROM (VALUES (240, 240), (10000, 240), (240, 10000)) v (w, h);
SELECT points(metricrec.plot_map('m', max_points => n, method => x, clusters => c, labels => 'key'))
FROM generate_series(1, 3) n, unnest(ARRAY['tsne', 'pca']) x, (VALUES (NULL), (10)) v (c) ORDER BY 1;
CREATE TABLE held AS SELECT * FROM m_item_embedding;
SELECT ('m_item_embedding_v' || active_version) AS items FROM metricrec.models WHERE schema = 'plots' \gset
UPDATE :items SET embedding = (SELECT embedding FROM held WHERE item_id = 'p1') WHERE item_id = 'p2';
SELECT d.points, regexp_replace(d.subtitle, '-SNE.*', '') FROM metricrec.plot_map('m') svg, describe(svg) d;
UPDATE :items SET embedding = (SELECT embedding FROM held WHERE item_id = 'p1');
SELECT d.ok, d.points, regexp_replace(d.subtitle, '-SNE.*', '') AS subtitle FROM metricrec.plot_map('m', clusters => 4) svg, describe(svg) d;
SELECT well_formed(metricrec.plot_map('m', method => 'pca'));
-- finite, however long
UPDATE :items SET embedding = ('[' || array_to_string(array_fill((random() * 3e38)::text, ARRAY[dims(embedding)]), ',') || ']')::embedding;
SELECT well_formed(metricrec.plot_map('m', method => x, clusters => 2)) FROM unnest(ARRAY['tsne', 'pca']) x;
DELETE FROM :items;
SELECT d.* FROM metricrec.plot_map('m', color => 'kind', labels => 'name') svg, describe(svg) d;
SELECT well_formed(metricrec.plot_map('m', color => c, labels => 'key')) FROM (VALUES ('kind'), ('size'), ('cluster'), ('popularity')) v (c);
INSERT INTO :items SELECT * FROM held;

-- what is refused
SELECT fails('SELECT metricrec.plot_map(''m'', ' || a || ')') FROM unnest(ARRAY[
	$$side => 'items'$$, $$side => 'tag'$$, $$method => 'umap'$$, $$sample => ''$$, $$color => 'colour'$$, $$labels => 'colour'$$, $$color => 'ctid'$$,
	$$max_points => 0$$, $$max_points => 100001$$, $$max_labels => -1$$, $$perplexity => 0.5$$, $$perplexity => 'NaN'$$, $$perplexity => 501$$,
	$$clusters => 0$$, $$clusters => 11$$, $$clusters => 2, color => 'kind'$$, $$width => 0$$, $$height => 20000$$]) a;
SELECT model FROM metricrec.create_model('plain', 'visits', user_column => 'guest', item_column => 'place', user_tower => 'pooled', dimensions => 2, epochs => 2, seed => 1);
SELECT active FROM metricrec.train('plain');
SELECT fails('SELECT metricrec.plot_map(''plain'', ' || a || ')') FROM unnest(ARRAY[$$color => 'kind'$$, $$side => 'user', labels => 'country'$$]) a;
SELECT d.points FROM metricrec.plot_map('plain', color => 'cluster', labels => 'key') svg, describe(svg) d;
SELECT fails($$SELECT metricrec.plot_map()$$);
-- more points than the memory has room for
CREATE TABLE stays AS SELECT u AS guest, 'p' || (u * i) % 50 AS place FROM generate_series(1, 3000) u, generate_series(1, 3) i;
SELECT model FROM metricrec.create_model('many', 'stays', user_column => 'guest', item_column => 'place', user_tower => 'free', dimensions => 8, epochs => 1, seed => 1);
SELECT active FROM metricrec.train('many');
-- canceled while it computes
SET statement_timeout = '100ms';
SELECT metricrec.plot_map('many', 'user'); \echo :SQLSTATE
RESET statement_timeout;
SET metricrec.training_memory = '1MB';
SELECT m LIKE '53200 | the map does not fit into metricrec.training_memory | It needs at least % | Lower max_points, %' AS refused
FROM fails($$SELECT metricrec.plot_map('many', 'user')$$) m;
SELECT points(metricrec.plot_map('many', 'user', max_points => 100));
-- the text of the picture counts
SELECT n, m LIKE '53200 | the map does not fit %' AS refused
FROM unnest(ARRAY[1000, 2000]) n, fails('SELECT metricrec.plot_map(''many'', ''user'', method => ''pca'', max_points => ' || n || ')') m;
RESET metricrec.training_memory;

-- key types of other widths and families; features through a view
CREATE TABLE likes (u uuid, i smallint);
INSERT INTO likes SELECT md5((u % 9)::text)::uuid, i FROM generate_series(1, 30) u, generate_series(1, 12) i WHERE (u % 9 + i) % 4 <> 0;
CREATE VIEW uf AS SELECT md5((u % 9)::text) AS u, 'g' || u % 2 AS g FROM generate_series(1, 9) u;
CREATE TABLE item_features AS SELECT i, 'k' || i % 2 AS k, ARRAY[]::text[] AS none FROM generate_series(1::bigint, 12) i;
SELECT model FROM metricrec.create_model('typed', 'likes', user_column => 'u', item_column => 'i', user_features => 'uf', item_features => 'item_features',
	item_combination => 'id', user_combination => 'id', user_tower => 'free', dimensions => 4, epochs => 2, seed => 1);
SELECT active FROM metricrec.train('typed');
SELECT d.ok, d.points, d.legend FROM metricrec.plot_map('typed', 'user', color => 'g', labels => 'g') svg, describe(svg) d;
SELECT d.ok, d.points, d.legend FROM metricrec.plot_map('typed', color => 'k', labels => 'k') svg, describe(svg) d;
SELECT d.ok, d.points, d.legend FROM metricrec.plot_map('typed', color => 'none') svg, describe(svg) d;

-- numbers at the ends of their range
ALTER TABLE item_features ADD tiny float8, ADD wide float8, ADD beyond numeric;
UPDATE item_features SET tiny = CASE i % 2 WHEN 0 THEN '5e-324' ELSE '1e308' END::float8, wide = CASE i % 2 WHEN 0 THEN '-1.7e308' ELSE '1.7e308' END::float8,
	beyond = (ARRAY['1e400', '-1e400', '1e-400', 'NaN', '7'])[i % 5 + 1]::numeric;
SELECT c, d.ok, d.points FROM unnest(ARRAY['tiny', 'wide', 'beyond']) c, metricrec.plot_map('typed', color => c) svg, describe(svg) d;
SELECT d.legend LIKE '%no value%' AS without FROM metricrec.plot_map('typed', color => 'beyond') svg, describe(svg) d;

-- keys out of the range of the model's are not in it; a key twice is one too many
INSERT INTO item_features VALUES (1000000, 'k9');
SELECT d.points, d.legend FROM metricrec.plot_map('typed', color => 'k') svg, describe(svg) d;
INSERT INTO item_features VALUES (1, 'k9');
SELECT fails($$SELECT metricrec.plot_map('typed', color => 'k')$$);

-- tags
CREATE TABLE taggings AS SELECT u, i, 'tag' || (i * 3 + u) % 6 AS tag FROM generate_series(1, 20) u, generate_series(1, 10) i WHERE (u + i) % 3 > 0;
SELECT model FROM metricrec.create_model('tagged', 'taggings', user_column => 'u', item_column => 'i', tag_column => 'tag', dimensions => 4, epochs => 2, seed => 1);
SELECT active FROM metricrec.train('tagged');
SELECT d.ok, d.points, d.title, d.subtitle FROM metricrec.plot_map('tagged', 'tag', labels => 'key', color => 'popularity') svg, describe(svg) d;
SELECT fails($$SELECT metricrec.plot_map('tagged', 'tag', color => 'kind')$$);

-- privileges: of the views, of the features; row-level security
CREATE ROLE plots_reader;
GRANT USAGE ON SCHEMA plots TO plots_reader;
GRANT SELECT ON m_item_embedding TO plots_reader;
SET ROLE plots_reader;
SELECT points(metricrec.plot_map('m')) AS items, well_formed(metricrec.plot_training('m')) AS training;
SELECT fails('SELECT metricrec.plot_map(''m'', ' || a || ')') FROM unnest(ARRAY[$$side => 'user'$$, $$color => 'kind'$$]) a;
SELECT fails($$SELECT metricrec.plot_map('plain')$$);
RESET ROLE;
UPDATE places SET kind = 'inn';
ALTER TABLE places ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON places USING (place <= 'p2');
GRANT SELECT (place, kind) ON places TO plots_reader;
SET ROLE plots_reader;
SELECT d.legend FROM metricrec.plot_map('m', color => 'kind') svg, describe(svg) d;
SELECT fails($$SELECT metricrec.plot_map('m', labels => 'name')$$);
-- nothing is written
BEGIN READ ONLY;
SELECT points(metricrec.plot_map('m', clusters => 2)) AS items, well_formed(metricrec.plot_training('m')) AS training;
COMMIT;
RESET ROLE;
ALTER TABLE places RENAME COLUMN place TO spot;
SELECT fails($$SELECT metricrec.plot_map('m', color => 'kind')$$);
DROP TABLE places CASCADE;
SELECT fails($$SELECT metricrec.plot_map('m', color => 'kind')$$);
DROP SCHEMA plots CASCADE;
DROP ROLE plots_reader;
