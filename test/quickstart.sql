-- quickstart.sql: the main job on the example data (run by quickstart.sh).
--
-- psql variables: folder, where the example data lies.

\set QUIET on
\set ON_ERROR_STOP on
\pset footer off
\pset null '-'
SET client_min_messages = warning;

\echo
\echo '1. Install the extension and load the example: packages of Debian 12 and their tags.'
\echo
CREATE EXTENSION metricrec;
\ir data/load.sql
SELECT (SELECT count(*) FROM debian.packages) AS packages,
	   (SELECT count(*) FROM debian.package_tags) AS tag_pairs,
	   (SELECT count(DISTINCT tag) FROM debian.package_tags) AS tags,
	   (SELECT count(DISTINCT maintainer_id) FROM debian.maintains) AS maintainers;

\echo
\echo '2. How good is it? One tag of five is hidden, the model is trained on the rest and must find the'
\echo '   hidden ones among all tags. Three models: the default recipe on the tags alone; the same with features'
\echo '   (of a package: section and words of the description; of a tag: its facet); and the dual tower with the'
\echo '   unsquared triplet loss of arXiv 2411.06374, networks over the same features. Beside them: proposing'
\echo '   the most popular tags to every package.'
\echo
SELECT * FROM metricrec.split('debian.package_tags', 'random', fraction => 0.2, seed => 1,
							  user_column => 'package', item_column => 'tag');
CREATE INDEX ON package_tags_train (package, tag);
SELECT metricrec.create_model('trial', 'package_tags_train',
							  user_column => 'package', item_column => 'tag') \g /dev/null
CREATE VIEW package_features AS SELECT package, section, words FROM debian.packages;
CREATE VIEW tag_features AS SELECT DISTINCT tag, split_part(tag, '::', 1) AS facet FROM package_tags_train;
SELECT metricrec.create_model('trial_features', 'package_tags_train',
							  user_column => 'package', item_column => 'tag', user_tower => 'pooled',
							  user_features => 'package_features', item_features => 'tag_features',
							  validation_fraction => 0) \g /dev/null
SELECT metricrec.create_model('trial_tower', 'package_tags_train',
							  user_column => 'package', item_column => 'tag',
							  user_features => 'package_features', item_features => 'tag_features',
							  preset => 'dual_tower', margin => 1.2, user_combination => 'both', item_combination => 'both',
							  hidden_layers => '{128}', id_dropout => 0.3, epochs => 8) \g /dev/null
SELECT 'default recipe' AS model, epochs, round(loss::numeric, 4) AS loss, users, items, interactions, duration
  FROM metricrec.train('trial')
UNION ALL
SELECT 'with features', epochs, round(loss::numeric, 4), users, items, interactions, duration
  FROM metricrec.train('trial_features')
UNION ALL
SELECT 'dual tower', epochs, round(loss::numeric, 4), users, items, interactions, duration
  FROM metricrec.train('trial_tower');

-- The most popular tags that the package does not have: a hidden tag's rank is
-- its place by popularity, less those before it that the package already has.
CREATE TEMPORARY TABLE popular AS
WITH places AS (
	SELECT tag, row_number() OVER (ORDER BY count(*) DESC, tag) AS place
	  FROM package_tags_train GROUP BY tag
), seen AS (
	SELECT package, place FROM package_tags_train JOIN places USING (tag)
), ranks AS (
	SELECT h.package, h.tag, p.place - count(s.place) AS rank
	  FROM package_tags_test h
	  LEFT JOIN places p USING (tag)
	  LEFT JOIN seen s ON s.package = h.package AND s.place < p.place
	 GROUP BY h.package, h.tag, p.place
), users AS (
	SELECT package, count(*) AS hidden,
		   count(*) FILTER (WHERE rank <= 10) AS hits,
		   coalesce(sum(1 / log(2, rank + 1)) FILTER (WHERE rank <= 10), 0) AS gain
	  FROM ranks GROUP BY package
), best AS (
	SELECT hidden, sum(1 / log(2, i + 1)) AS gain
	  FROM generate_series(1, 10) hidden, generate_series(1, hidden) i GROUP BY hidden
)
SELECT avg((hits > 0)::int) AS hit_rate, avg(hits::numeric / u.hidden) AS recall, avg(u.gain / b.gain) AS ndcg
  FROM users u JOIN best b ON b.hidden = least(u.hidden, 10);

SELECT e.metric || ' at ' || e.k AS metric, round(e.value::numeric, 3) AS default_recipe,
	   round(f.value::numeric, 3) AS with_features, round(t.value::numeric, 3) AS dual_tower,
	   round(CASE e.metric WHEN 'hit_rate' THEN p.hit_rate WHEN 'recall' THEN p.recall WHEN 'ndcg' THEN p.ndcg END, 3) AS most_popular
  FROM metricrec.evaluate('trial', 'package_tags_test', k => '{10}') e
  JOIN metricrec.evaluate('trial_features', 'package_tags_test', k => '{10}') f USING (metric, k)
  JOIN metricrec.evaluate('trial_tower', 'package_tags_test', k => '{10}') t USING (metric, k), popular p
 WHERE e.metric IN ('hit_rate', 'recall', 'ndcg') ORDER BY e.metric;

\echo
\echo '   What the towers are for: ripgrep has no tag, so nothing could be learned of it. But it has features,'
\echo '   and so a point, and tags can be proposed to it, here by the dual tower:'
\echo
SELECT section, array_to_string(words, ' ') AS words FROM package_features WHERE package = 'ripgrep';
SELECT item_id AS tag, round(distance::numeric, 3) AS distance FROM recommend('ripgrep', 5, 'trial_tower') ORDER BY distance;
\echo
\echo '   And to a package that does not exist yet, a graphical chess game:'
\echo
SELECT i.item_id AS tag, round((i.embedding <-> new.point)::numeric, 3) AS distance
  FROM trial_tower_item_embedding i,
	   metricrec.embed_user('trial_tower', '{"section": "games", "words": ["chess", "game", "graphical"]}') AS new (point)
 ORDER BY i.embedding <-> new.point LIMIT 5;

\echo
\echo '3. Train on everything: the users are packages, the items are tags.'
\echo
SELECT metricrec.create_model('debtags', 'debian.package_tags', user_column => 'package', item_column => 'tag') \g /dev/null
SELECT version, epochs, round(loss::numeric, 4) AS loss, users, items, interactions, duration
  FROM metricrec.train('debtags');

\echo
\echo '   Which tags does the package "git" miss? It has:'
\echo
SELECT string_agg(tag, ', ' ORDER BY tag) AS tags FROM debian.package_tags WHERE package = 'git' \g (format=unaligned tuples_only=on)
\echo
SELECT item_id AS tag, round(distance::numeric, 3) AS distance FROM recommend('git', 5, 'debtags') ORDER BY distance;

\echo
\echo '   Why the first of them? The tags it has that are nearest to it:'
\echo
SELECT e.item_id AS because_of, round(e.distance::numeric, 3) AS distance
  FROM recommend('git', 1, 'debtags') r,
	   explain_recommendation('git', r.item_id, 3, 'debtags') e;

\echo
\echo '   A package that is in no table, a web server: say two of its tags, and ask for more:'
\echo
SELECT item_id AS tag, round(distance::numeric, 3) AS distance
  FROM recommend_for_items(ARRAY['network::server', 'protocol::http'], 5, 'debtags') ORDER BY distance;

\echo
\echo '   Which packages resemble "gimp", and which tags the tag "game::strategy"?'
\echo
SELECT s.user_id AS package, round(s.distance::numeric, 3) AS distance, p.section, array_to_string(p.words, ' ') AS words
  FROM similar_users('gimp', 6, 'debtags') s JOIN debian.packages p ON p.package = s.user_id ORDER BY s.distance;
SELECT item_id AS tag, round(distance::numeric, 3) AS distance FROM similar_items('game::strategy', 5, 'debtags') ORDER BY distance;

\echo
\echo '   The embeddings are rows: any WHERE, any join. Packages of the section "games" nearest to gimp:'
\echo
SELECT u.user_id AS package, round((u.embedding <-> g.embedding)::numeric, 3) AS distance
  FROM debtags_user_embedding u
  JOIN debian.packages p ON p.package = u.user_id,
	   (SELECT embedding FROM debtags_user_embedding WHERE user_id = 'gimp') g
 WHERE p.section = 'games'
 ORDER BY u.embedding <-> g.embedding LIMIT 5;

\echo
\echo '4. A second model: the users are maintainers (numbers), the items are packages that they work with.'
\echo
SELECT metricrec.create_model('maintainers', 'debian.works_with', user_column => 'maintainer_id', item_column => 'package') \g /dev/null
SELECT version, epochs, round(loss::numeric, 4) AS loss, users, items, interactions, duration
  FROM metricrec.train('maintainers');
\echo
\echo '   The maintainer of "r-cran-zoo": what else would they look after?'
\echo
SELECT r.item_id AS package, round(r.distance::numeric, 3) AS distance, p.section, array_to_string(p.words, ' ') AS words
  FROM debian.maintains m, recommend(m.maintainer_id::text, 8, 'maintainers') r
  JOIN debian.packages p ON p.package = r.item_id
 WHERE m.package = 'r-cran-zoo' ORDER BY r.distance;
