# pg_dump and pg_restore, plain and custom: the catalogue's rows, the version
# tables, the views that say which version is served, and the sequence must fit
# together again on a server where every OID is another one.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

my $backup = $node->backup_dir;
mkdir $backup;

# Everything that must survive, as text.
my $questions = q{
	SELECT model, schema, interactions, user_type, options, active_version, owner FROM metricrec.models ORDER BY 1, 2;
	SELECT model, version, state, user_table, item_table, users, items, loss, recipe, counts FROM metricrec.model_versions ORDER BY 1, 2;
	SELECT model, version, count(*), sum(loss) FROM metricrec.training_log GROUP BY 1, 2 ORDER BY 1, 2;
	SELECT u, r.* FROM generate_series(1, 40) u, recommend(u, 3, 'films') r ORDER BY 1, 3, 2;
	SELECT r.* FROM recommend_for_items('{1,3}'::bigint[], 3, 'films') r;
	SELECT r.* FROM similar_items('3', 3, 'Odd "name"') r;
	SELECT version, md5(string_agg(i.embedding::text, '' ORDER BY item_id)) FROM
		(SELECT 1 AS version, * FROM films_item_embedding_v2 UNION ALL SELECT 3, * FROM films_item_embedding_v3) i GROUP BY 1 ORDER BY 1;
	SELECT relname, relacl FROM pg_class WHERE relname ~ '^films.*embedding' AND relkind IN ('r', 'v') ORDER BY 1;
	SELECT tgname FROM pg_trigger WHERE tgrelid = 'films_item_embedding'::regclass;
	SELECT tag_column, tag_type, tag_embedding FROM metricrec.models ORDER BY model;
	SELECT tag_table, tags FROM metricrec.model_versions ORDER BY model, version;
	SELECT * FROM metricrec.tuning_searches ORDER BY model, search;
	SELECT * FROM metricrec.tuning_trials ORDER BY model, search, trial, rung;
	SELECT r.* FROM recommend_tags(3, 3, 1, 'labels', false) r;
};

$node->safe_psql('postgres', q{
	SET client_min_messages = error;
	CREATE EXTENSION metricrec;
	CREATE ROLE reader;
	CREATE TABLE likes (user_id int, item_id int, stars real);
	INSERT INTO likes SELECT u, i, 3 + (u + i) % 3 FROM generate_series(1, 40) u, generate_series(1, 40) i
		WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	CREATE INDEX ON likes (user_id);
	SELECT metricrec.create_model('gone', 'likes', epochs => 1, dimensions => 4, user_tower => 'pooled');
	SELECT metricrec.train('gone');
	SELECT metricrec.create_model('films', 'likes', rating_column => 'stars', epochs => 20, dimensions => 8, user_tower => 'pooled');
	SELECT metricrec.train('films');
	SELECT metricrec.train('films');
	GRANT SELECT ON films_item_embedding TO reader;
	SELECT metricrec.train('films');
	INSERT INTO films_item_embedding (item_id, embedding) VALUES (100, '[1,0,0,0,0,0,0,0]');
	SELECT metricrec.activate('films', 2);
	SELECT count(*) FROM metricrec.tune('films', trials => 4, apply => false, space => '{"epochs": [2, 3, 4]}');
	SELECT metricrec.create_model('Odd "name"', 'likes', epochs => 2, dimensions => 8, user_tower => 'free', seed => 5);
	SELECT metricrec.train('Odd "name"');
	CREATE TABLE tagged AS SELECT user_id, item_id, 'tag ' || item_id % 3 AS tag FROM likes;
	SELECT metricrec.create_model('labels', 'tagged', tag_column => 'tag', dimensions => 8, epochs => 3);
	SELECT metricrec.train('labels');
	SELECT metricrec.drop_model('gone');
	-- a model whose views were dropped by hand is not dumped as a reference to whatever has that number
	SELECT metricrec.create_model('orphan', 'likes', epochs => 1, dimensions => 4, user_tower => 'pooled');
	SELECT count(*) FROM metricrec.tune('orphan', trials => 1);
	SELECT metricrec.train('orphan');
	DROP VIEW orphan_user_embedding, orphan_item_embedding;
});
my $before = $node->safe_psql('postgres', $questions);
like($before, qr/films\|public\|likes/, 'there is something to lose');

my @formats = (
	[ 'plain', [ 'pg_dump', '-Fp', '-f', "$backup/plain.sql" ], sub { [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$backup/plain.sql", '-d', $node->connstr(shift) ] } ],
	[ 'custom', [ 'pg_dump', '-Fc', '-f', "$backup/custom.dump" ], sub { [ 'pg_restore', '--exit-on-error', '-d', $node->connstr(shift), "$backup/custom.dump" ] } ],
	[ 'parallel', [ 'pg_dump', '-Fd', '-j', '2', '-f', "$backup/directory" ], sub { [ 'pg_restore', '--exit-on-error', '-j', '2', '-d', $node->connstr(shift), "$backup/directory" ] } ]);

for my $format (@formats)
{
	my ($name, $dump, $restore) = @$format;
	my $database = "restored_$name";

	$node->command_ok([ @$dump, $node->connstr('postgres') ], "$name: dump");
	# other OIDs than in the first database
	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	$node->command_ok($restore->($database), "$name: restore");
	is($node->safe_psql($database, $questions), $before, "$name: the same models, versions and answers");
	is($node->safe_psql($database, q{SELECT count(*) FROM metricrec.model}), '3', "$name: no orphan");
	is($node->safe_psql($database, q{SELECT (SELECT count(DISTINCT model_id) FROM metricrec.search), (SELECT count(DISTINCT model_id) FROM metricrec.trial)}), '1|1', "$name: nor its trials");

	# The restored models go on.
	is($node->safe_psql($database, q{SELECT version, active FROM metricrec.train('films')}), '4|t', "$name: training goes on with the next version");
	is($node->safe_psql($database, q{SELECT count(*) FROM films_item_embedding WHERE item_id = 100}), '1', "$name: the row that somebody had inserted goes along");
	is($node->safe_psql($database, q{SELECT version, active FROM metricrec.train('labels')}), '2|t', "$name: tags go on, too");
	is($node->safe_psql($database, q{SELECT active_version FROM metricrec.activate('films', 3)}), '3', "$name: back to a restored version");
	is($node->safe_psql($database, q{SET client_min_messages = error; SELECT model FROM metricrec.create_model('new', 'likes')}), 'new', "$name: a new model gets a free number");
	is($node->safe_psql($database, q{SELECT metricrec.drop_model('films'), metricrec.drop_model('Odd "name"')}), 't|t', "$name: drop_model");
	is($node->safe_psql($database, q{SELECT string_agg(relname, ' ') FROM pg_class WHERE relname ~ '^films.*embedding' AND relkind IN ('r', 'v')}), '', "$name: nothing is left");
}

# A table that was dropped by hand is never dumped as the number of its Oid,
# which would be something else after a restore.
$node->safe_psql('postgres', q{SELECT metricrec.train('films'); DROP TABLE films_item_embedding_v3});
$node->command_ok([ 'pg_dump', '-Fp', '-f', "$backup/dropped.sql", $node->connstr('postgres') ], 'dump after a table was dropped');
$node->safe_psql('postgres', 'CREATE DATABASE restored_dropped TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$backup/dropped.sql", '-d', $node->connstr('restored_dropped') ], 'restore it');
is($node->safe_psql('restored_dropped', q{SELECT count(*) FROM metricrec.version WHERE item_table::text ~ '^\d+$' OR user_table::text ~ '^\d+$'}), '0', 'no number in the place of a table');

$node->stop;
done_testing();
