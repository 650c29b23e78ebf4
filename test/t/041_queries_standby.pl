# Queries on a hot standby: they write nothing, follow the primary's versions,
# and see its interactions.  Only a real standby shows that no query function
# takes a transaction id or a lock that recovery forbids.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub caught_up { $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert')); }

$primary->safe_psql('postgres', q{
	CREATE EXTENSION metricrec;
	CREATE TABLE likes (user_id int, item_id int);
	INSERT INTO likes SELECT u, i FROM generate_series(1, 40) u, generate_series(1, 40) i
	WHERE (u <= 20) = (i <= 20) AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 6;
	CREATE INDEX ON likes (user_id);
	SELECT metricrec.create_model('films', 'likes', dimensions => 8, user_tower => 'pooled', epochs => 20);
	SELECT metricrec.train('films');
});
caught_up();

my %queries = (
	'recommend' => q{SELECT u, r.* FROM generate_series(1, 40) u, LATERAL recommend(u, 5) r},
	'recommend_for_items' => q{SELECT * FROM recommend_for_items(ARRAY[1, 2], 5)},
	'diversity' => q{SELECT * FROM recommend('7', 5, diversity => 0.5)},
	'similar_items' => q{SELECT * FROM similar_items(3, 5)},
	'similar_users' => q{SELECT * FROM similar_users(3, 5)},
	'explain_recommendation' => q{SELECT * FROM explain_recommendation(3, 5, 5)},
	'recommend_all' => q{SELECT * FROM metricrec.recommend_all('films', 5)},
	'evaluate' => q{SELECT * FROM metricrec.evaluate('films', 'likes', k => '{5}', candidates => 'likes')},
	'evaluate without a test table' => q{SELECT * FROM metricrec.evaluate('films', k => '{5}')},
	'compare' => q{SELECT * FROM metricrec.compare('films', 'likes', '{5}')},
	'compare without a test table' => q{SELECT * FROM metricrec.compare('films', k => '{5}', recommenders => '{model,item_knn}')},
	'check_workers' => q{SELECT workers_started FROM metricrec.check_workers(1)},
	'plot_training' => q{SELECT metricrec.plot_training('films')},
	'plot_map' => q{SELECT metricrec.plot_map('films', 'both', clusters => 2, labels => 'key')},
	'metricrec.models' => q{SELECT model, active_version FROM metricrec.models});
foreach my $name (sort keys %queries)
{
	my $there = $standby->safe_psql('postgres', $queries{$name});
	isnt($there, '', "$name answers on the standby");
	is($there, $primary->safe_psql('postgres', $queries{$name}), "$name gives the primary's rows");
}

# One session that lasts: its kept plans must follow what the primary does.
my $session = $standby->can('background_psql') ? $standby->background_psql('postgres') : undef;
SKIP:
{
	skip 'no background sessions in this test library', 2 unless $session;
	my $query = q{SELECT count(*) FROM recommend(1, 40);};
	my $before = $session->query($query);
	$primary->safe_psql('postgres', q{INSERT INTO likes SELECT 1, i FROM generate_series(30, 34) i});
	caught_up();
	is($session->query($query), $before - 5, 'new interactions are seen');
	$primary->safe_psql('postgres', q{SELECT metricrec.alter_model('films', dimensions => 6);
		SELECT metricrec.train('films')});
	caught_up();
	is($session->query($query), $before - 5, 'a new version is served');
	$session->quit;
}
is($standby->safe_psql('postgres', q{SELECT count(*) FROM recommend(1, 5)}), '5', 'a new session, too');

# Tags.
$primary->safe_psql('postgres', q{
	CREATE TABLE tagged AS SELECT user_id, item_id, 'tag ' || item_id % 3 AS tag FROM likes;
	CREATE INDEX ON tagged (user_id, item_id);
	CREATE INDEX ON tagged (item_id, user_id);
	SELECT metricrec.create_model('labels', 'tagged', tag_column => 'tag', dimensions => 8, epochs => 3);
	SELECT metricrec.train('labels')});
caught_up();
my $tags = q{SELECT i, r.* FROM generate_series(1, 5) i, LATERAL recommend_tags(i, 3, 7, 'labels', false) r};
is($standby->safe_psql('postgres', $tags), $primary->safe_psql('postgres', $tags), 'tags, too');
$tags = q{SELECT * FROM metricrec.evaluate('labels', 'tagged', k => '{2}')};
is($standby->safe_psql('postgres', $tags), $primary->safe_psql('postgres', $tags), 'and their evaluation');

# What writes is refused, before anything is computed.
foreach my $statement (q{SELECT metricrec.train('films')}, q{SELECT metricrec.train('films', warm_start => true)}, q{CALL metricrec.retrain('films', true)},
	q{SELECT metricrec.tune('films')}, q{CALL metricrec.retune('films')}, q{CALL metricrec.recommend_all_into('films', 5, 'tips')})
{
	my ($code, $out, $err) = $standby->psql('postgres', $statement);
	like($err, qr/ERROR:.*(read-only transaction|recovery)/, "refused on a standby: $statement");
}

$standby->stop;
$primary->stop;
done_testing();
