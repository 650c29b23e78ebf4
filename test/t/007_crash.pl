# A server that dies while a model is being trained serves the old version after
# its recovery: kill -9 of the training backend, an immediate stop of the
# server, and one right after the swap (which must then be there in full).

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\nfsync = on\n");
$node->start;

sub sql { return $node->safe_psql('postgres', shift); }

sql(q{
	CREATE EXTENSION metricrec;
	CREATE TABLE likes (user_id int, item_id int);
	INSERT INTO likes SELECT u, i FROM generate_series(1, 200) u, generate_series(1, 200) i
		WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	CREATE INDEX ON likes (user_id);
	SELECT metricrec.create_model('m', 'likes', dimensions => 8, epochs => 2, user_tower => 'free');
	SELECT metricrec.train('m');
	SELECT metricrec.alter_model('m', epochs => 10000, dimensions => 256);
});
my $print = q{SELECT md5(string_agg(row(i.*)::text, ',' ORDER BY item_id)) FROM m_item_embedding i};
my $before = sql($print);

sub start_training
{
	my $statement = shift;
	my ($in, $out, $err) = ('', '', '');
	return IPC::Run::start(
		[ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', "SET application_name = 'trainer'", '-c', $statement ],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout(120));
}

sub is_training
{
	return $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM metricrec.training_progress WHERE phase = 'training'});
}

# Not poll_query_until(): psql ends before it reads the query while the server refuses
# connections, and whoever writes it the query gets EPIPE.
sub is_up
{
	foreach (1 .. 600)
	{
		return 1 if IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', 'SELECT 1' ],
			'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
		select(undef, undef, undef, 0.1);
	}
	return 0;
}

sub intact
{
	my $name = shift;
	is(sql(q{SELECT active_version FROM metricrec.models}), '1', "$name: the old version is served");
	is(sql($print), $before, "$name: with its points");
	is(sql(q{SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass}), '0', "$name: the run lock is gone");
	is(sql(q{SELECT count(*) FROM pg_class WHERE relname ~ 'embedding_v' AND relname !~ 'v1(_pkey|_embedding_idx)?$'}), '0', "$name: no table is left");
	is(sql(q{SELECT count(*) FROM recommend(1, 3)}), '3', "$name: recommend() works");
}

for my $statement (q{SELECT metricrec.train('m')}, q{CALL metricrec.retrain('m')})
{
	my $run = start_training($statement);
	ok(is_training(), "$statement computes");
	my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'trainer'});
	kill 'KILL', $pid;
	eval { $run->finish; };
	ok(is_up(), "the server is back");
	intact("kill -9 in $statement");

	$run = start_training($statement);
	ok(is_training(), "$statement computes again");
	$node->stop('immediate');
	eval { $run->finish; };
	$node->start;
	intact("immediate stop in $statement");
}

# A swap that was committed is there.
sql(q{SELECT metricrec.alter_model('m', epochs => 2, dimensions => 12); INSERT INTO m_item_embedding (item_id, embedding) VALUES (999, '[1,0,0,0,0,0,0,0]')});
my $version = sql(q{SET client_min_messages = error; SELECT version FROM metricrec.train('m')});
my $after = sql($print);
$node->stop('immediate');
$node->start;
is(sql(q{SELECT active_version FROM metricrec.models}), $version, 'a committed swap survives');
is(sql($print), $after, 'with every row');
isnt($after, $before, 'of the new version');
is(sql(q{SELECT count(*) FROM m_item_embedding WHERE item_id = 1}), '1', 'also by the index');

$node->stop;
done_testing();
