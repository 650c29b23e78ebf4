# CALL metricrec.retrain() commits between reading, computing and publishing.
# What that is good for can only be seen from a second session while it runs:
# no snapshot is held, the epochs' rows of the log are there, others write to
# the interactions.  And only a running server can be told to cancel or to
# terminate the session that computes.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

sub sql { return $node->safe_psql('postgres', shift); }

# Errors with their SQLSTATE.
sub sql_error
{
	my ($ret, $out, $err) = $node->psql('postgres', '\set VERBOSITY verbose' . "\n" . shift);
	return $err;
}

# Runs a statement in a session of its own; its output and errors come later.
sub background
{
	my $statement = shift;
	my ($in, $out, $err) = ('', '', '');
	my $run = IPC::Run::start(
		[
			'psql', '-X', '-q', '-A', '-t', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'),
			'-c', "SET application_name = 'trainer'", '-c', $statement
		],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	return { run => $run, out => \$out, err => \$err };
}

sub end_of
{
	my $session = shift;
	eval { $session->{run}->finish; };
	return ${ $session->{err} };
}

sub wait_for { return $node->poll_query_until('postgres', shift); }

sql(q{
	CREATE EXTENSION metricrec;
	CREATE TABLE likes (user_id int, item_id int);
	INSERT INTO likes SELECT u, i FROM generate_series(1, 200) u, generate_series(1, 200) i
		WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	CREATE INDEX ON likes (user_id, item_id);
	SELECT metricrec.create_model('m', 'likes', dimensions => 8, epochs => 2, user_tower => 'free');
	CALL metricrec.retrain('m');
});
is(sql(q{SELECT version, state FROM metricrec.model_versions}), '1|active', 'retrain serves a version');
is(sql(q{SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass}), '0', 'no lock stays');

# Long enough that all below happens while it computes.
sql(q{SELECT metricrec.alter_model('m', epochs => 10000, dimensions => 256)});
my $long = background(q{CALL metricrec.retrain('m');});
my $trainer = q{SELECT pid FROM pg_stat_activity WHERE application_name = 'trainer'};

ok(wait_for(q{SELECT count(*) >= 2 FROM metricrec.training_log WHERE version = 2}),
	'epochs are in the log while it runs');
is(sql(q{SELECT phase, epoch >= 1 FROM metricrec.training_progress}), 'training|t', 'progress is seen');

# The log's row is written with a snapshot that is given back at once: most looks find none.
my ($none, $looks) = (0, 40);
for (1 .. $looks)
{
	$none += sql(qq{SELECT count(*) FROM pg_stat_activity WHERE pid = ($trainer) AND backend_xmin IS NULL});
	usleep(10_000);
}
cmp_ok($none, '>', $looks / 2, "no snapshot is held while it computes ($none of $looks looks)");
is(sql(qq{SELECT count(*) FROM pg_locks WHERE pid = ($trainer) AND relation = 'likes'::regclass}),
	'0', 'no lock on the interactions while it computes');
sql(q{SET lock_timeout = '5s'; INSERT INTO likes VALUES (1, 2); ALTER TABLE likes ADD COLUMN more int});
is(sql(q{SELECT count(*) FROM likes WHERE user_id = 1 AND item_id = 2}), '1', 'others write to the interactions, and alter them');
is(sql(q{SELECT count(*) FROM m_item_embedding}), '200', 'others read the active version');
like(sql_error(q{SELECT metricrec.train('m')}), qr/55006.*being trained/, 'a second training gets an error at once');
like(sql_error(q{SELECT metricrec.drop_model('m')}), qr/55006.*being trained/, 'so does drop_model');
is(sql(q{SELECT options ->> 'seed' FROM metricrec.alter_model('m', seed => 3)}), '3', 'alter_model does not wait');
is(sql(q{SELECT active_version FROM metricrec.activate('m', 1)}), '1', 'activate does not wait');

# Cancel: the core looks for interrupts.
my $start = time;
sql(qq{SELECT pg_cancel_backend(($trainer))});
like(end_of($long), qr/57014/, 'cancelled');
my $seconds = time - $start;
cmp_ok($seconds, '<', 5, sprintf('stops soon after the cancel (%.2f s)', $seconds));
is(sql(q{SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass}), '0', 'the run lock is free after a cancel');
is(sql(q{SELECT version, state FROM metricrec.model_versions}), '1|active', 'nothing is served of the cancelled run');
is(sql(q{SELECT count(*) FROM pg_class WHERE relname LIKE '%embedding_v2'}), '0', 'no table is left');
is(sql(q{SELECT count(*) FROM metricrec.training_progress}), '0', 'nor progress');

# Terminate.
$long = background(q{CALL metricrec.retrain('m');});
ok(wait_for(q{SELECT count(*) >= 1 FROM metricrec.training_log WHERE version = 3}), 'the next run has the next number');
sql(qq{SELECT pg_terminate_backend(($trainer), 20000)});
end_of($long);
is(sql(q{SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass}), '0', 'the run lock is free after a termination');
is(sql(q{SELECT active_version FROM metricrec.models}), '1', 'the old version is served');

# The world changes while it computes: the run ends with an error and publishes nothing.
sub changed_meanwhile
{
	my ($name, $change, $back, $expected) = @_;
	# While somebody changes the model's row, the run waits before it publishes.
	my $changer = background(qq{
		DO \$\$
		BEGIN
			PERFORM metricrec.alter_model('m', seed => 4);
			FOR i IN 1 .. 3000 LOOP
				PERFORM pg_sleep(0.01);
				EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE classid = 'metricrec.model'::regclass AND NOT granted);
			END LOOP;
			$change;
		END \$\$;});
	wait_for(q{SELECT count(*) = 1 FROM pg_locks WHERE classid = 'metricrec.model'::regclass AND granted});
	$long = background(q{CALL metricrec.retrain('m');});
	is(end_of($changer), '', "$name: changed");
	like(end_of($long), $expected, $name);
	sql($back);
	is(sql(q{SELECT count(*) FROM metricrec.model_versions WHERE state <> 'dropped'}), '1', "$name: nothing is published");
	is(sql(q{SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass}), '0', "$name: nothing is locked");
}
sql(q{SELECT metricrec.alter_model('m', epochs => 3, dimensions => 16)});
changed_meanwhile('a column is renamed', q{ALTER TABLE likes RENAME TO hidden; ALTER TABLE hidden RENAME COLUMN item_id TO thing},
	q{ALTER TABLE hidden RENAME TO likes; ALTER TABLE likes RENAME COLUMN thing TO item_id}, qr/42703/);
changed_meanwhile('a column changes its type', q{ALTER TABLE likes ALTER item_id TYPE text},
	q{ALTER TABLE likes ALTER item_id TYPE int USING item_id::int}, qr/42804/);
changed_meanwhile('a view is dropped', q{DROP VIEW m_user_embedding}, q{SELECT 1}, qr/42704.*was dropped while/);

# A new model for the rest.
sql(q{
	SET client_min_messages = error;
	DROP VIEW m_item_embedding;
	SELECT metricrec.create_model('n', 'likes', dimensions => 8, epochs => 2, user_tower => 'pooled');
});
like(sql_error(q{BEGIN; CALL metricrec.retrain('n'); COMMIT;}), qr/2D000/, 'not in a transaction block');
like(sql_error(q{BEGIN; DO $$ BEGIN CALL metricrec.retrain('n'); END $$; COMMIT;}), qr/2D000/, 'nor in a DO of one');
like(sql_error(q{DO $$ BEGIN CALL metricrec.retrain('n'); EXCEPTION WHEN division_by_zero THEN NULL; END $$;}), qr/2D000/, 'nor in a block with an exception handler');
sql(q{DO $$ BEGIN CALL metricrec.retrain('n'); CALL metricrec.retrain(); END $$;});
is(sql(q{SELECT string_agg(version || state, ' ' ORDER BY version) FROM metricrec.model_versions WHERE model = 'n'}),
	'1ready 2active', 'a DO on its own may call it');
# In one session, errors and successes one after the other.
my ($ret, $out, $err) = $node->psql('postgres', q{
	SET default_transaction_isolation = 'serializable';
	CALL metricrec.retrain('no_such_model');
	CALL metricrec.retrain('n');
	SET default_transaction_read_only = on;
	CALL metricrec.retrain('n');
	SET default_transaction_read_only = off;
	SET metricrec.training_memory = '1MB';
	CALL metricrec.retrain('n');
	SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass;
	SELECT active_version FROM metricrec.models WHERE model = 'n';}, on_error_stop => 0);
like($err, qr/no_such_model.*read-only/s, 'errors in one session');
unlike($err, qr/you don't own a lock/, 'no lock is given back twice');
like($out, qr/^0\n[34]$/m, 'the session goes on');

$node->stop;
done_testing();
