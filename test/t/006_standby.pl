# On a hot standby the queries work and follow a swap on the primary; whatever
# writes is refused with 25006.  Needs two servers.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION metricrec;
	CREATE TABLE likes (user_id int, item_id int);
	INSERT INTO likes SELECT u, i FROM generate_series(1, 40) u, generate_series(1, 40) i
		WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	CREATE INDEX ON likes (user_id);
	SELECT metricrec.create_model('m', 'likes', dimensions => 8, epochs => 20, user_tower => 'pooled', seed => 1);
	SELECT metricrec.train('m');
});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

my $answers = q{
	SELECT u, r.* FROM generate_series(1, 40) u, recommend(u, 5) r ORDER BY 1, 3, 2;
	SELECT * FROM similar_items(1, 3);
	SELECT * FROM similar_users('1', 3);
	SELECT * FROM recommend_for_items('{1,3}'::bigint[], 3);
	SELECT model, active_version FROM metricrec.models;
	SELECT version, state FROM metricrec.model_versions ORDER BY 1;
};
sub same
{
	my $name = shift;
	$primary->wait_for_catchup($standby);
	my $expected = $primary->safe_psql('postgres', $answers);
	is($standby->safe_psql('postgres', $answers), $expected, $name);
	return $expected;
}

my $first = same('the standby gives the same answers');
$primary->safe_psql('postgres', q{SELECT metricrec.alter_model('m', seed => 2, dimensions => 10); SELECT metricrec.train('m')});
my $second = same('and follows a swap');
isnt($second, $first, 'which was one');
$primary->safe_psql('postgres', q{CALL metricrec.retrain('m'); SELECT metricrec.activate('m', 2)});
same('a retraining and a return to the version before it');

# A session on the standby that has the plans of the old version sees the new one.
my $session = $standby->background_psql('postgres');
sub ask { return $session->query_safe(shift); }
like(ask(q{SELECT 'dims', dims(embedding), count(*) FROM m_item_embedding GROUP BY 2;}), qr/dims\|10\|40/, 'a session on the standby');
$primary->safe_psql('postgres', q{SELECT metricrec.alter_model('m', dimensions => 6); SELECT metricrec.train('m')});
$primary->wait_for_catchup($standby);
like(ask(q{SELECT 'dims', dims(embedding), count(*) FROM m_item_embedding GROUP BY 2;}), qr/dims\|6\|40/, 'sees the next version');
like(ask(q{SELECT 'n', count(*) FROM recommend(1, 3);}), qr/n\|3/, 'and recommends from it');
$session->quit;

for my $statement (
	q{SELECT metricrec.train('m')}, q{CALL metricrec.retrain('m')}, q{SELECT metricrec.activate('m', 1)},
	q{SELECT metricrec.alter_model('m', epochs => 1)}, q{SELECT metricrec.drop_model('m')}, q{SELECT metricrec.create_model('n', 'likes')},
	q{INSERT INTO m_item_embedding (item_id, embedding) VALUES (99, '[1,0,0,0,0,0]')})
{
	my ($ret, $stdout, $stderr) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	like($stderr, qr/ERROR:  25006/, "25006: $statement");
}

# Promoted, it trains.
$standby->promote;
is($standby->safe_psql('postgres', q{SELECT version, active FROM metricrec.train('m')}), '5|t', 'a promoted standby trains on');

$standby->stop;
$primary->stop;
done_testing();
