# CALL metricrec.retune() commits after every epoch and trial: the trials are seen
# while it runs, and stay when it is cancelled.  And what others do meanwhile: train,
# drop, alter the model.  Needs a second session.

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
			'-c', "SET application_name = 'tuner'", '-c', $statement
		],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout(180));
	return { run => $run, out => \$out, err => \$err };
}

sub end_of
{
	my $session = shift;
	eval { $session->{run}->finish; };
	return ${ $session->{err} };
}

sub wait_for { return $node->poll_query_until('postgres', shift); }

my $locks = q{SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass};
my $tuner = q{SELECT pid FROM pg_stat_activity WHERE application_name = 'tuner'};

sql(q{
	CREATE EXTENSION metricrec;
	CREATE TABLE likes (user_id int, item_id int);
	INSERT INTO likes SELECT u, i FROM generate_series(1, 300) u, generate_series(1, 200) i
		WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	CREATE INDEX ON likes (user_id, item_id);
	SELECT metricrec.create_model('m', 'likes', dimensions => 8, epochs => 3, user_tower => 'free');
});

# Trial 1 is short, and the others are long.
my $long_space = q{'{"epochs": 10000, "dimensions": 256, "temperature": {"min": 0.1, "max": 1}}'};
my $long = background(qq{CALL metricrec.retune('m', trials => 5, space => $long_space)});
ok(wait_for(q{SELECT count(*) >= 1 FROM metricrec.tuning_trials}), 'a trial is seen while the search goes on');
is(sql(q{SELECT trial, rung, value > 0, best FROM metricrec.tuning_trials}), '1|1|t|f', 'it is the first');
is(sql(q{SELECT trials, duration IS NULL, applied IS NULL FROM metricrec.tuning_searches}), '5|t|t', 'so is the search, which has not ended');
ok(wait_for(q{SELECT count(*) > 0 FROM metricrec.training_log WHERE version = 0 AND stage = 'tune 2/5'}), 'the log says which trial runs');
is(sql(q{SELECT phase, epoch >= 3 FROM metricrec.training_progress}), 'training|t', 'progress is seen');
my ($none, $looks) = (0, 40);
for (1 .. $looks)
{
	$none += sql(qq{SELECT count(*) FROM pg_stat_activity WHERE pid = ($tuner) AND backend_xmin IS NULL});
	usleep(10_000);
}
cmp_ok($none, '>', $looks / 2, "no snapshot is held while it computes ($none of $looks looks)");

like(sql_error(q{SELECT metricrec.train('m')}), qr/55006.*being trained/, 'no training meanwhile');
like(sql_error(q{SELECT * FROM metricrec.tune('m')}), qr/55006.*being trained/, 'no second search');
like(sql_error(q{SELECT metricrec.drop_model('m')}), qr/55006.*being trained/, 'no drop_model');

my $start = time;
sql(qq{SELECT pg_cancel_backend(($tuner))});
like(end_of($long), qr/57014/, 'cancelled');
my $seconds = time - $start;
cmp_ok($seconds, '<', 5, sprintf('stops soon after the cancel (%.2f s)', $seconds));
is(sql($locks), '0', 'the run lock is free');
is(sql(q{SELECT count(*) FROM metricrec.tuning_trials WHERE search = 1}), '1', 'the trials that were done stay');
is(sql(q{SELECT options FROM metricrec.models}), '{"epochs": 3, "dimensions": 8, "user_tower": "free"}', 'and the options');

# The function leaves nothing when it is cancelled.
$long = background(qq{SELECT * FROM metricrec.tune('m', trials => 5, space => $long_space)});
ok(wait_for(q{SELECT count(*) = 1 FROM metricrec.training_progress WHERE epoch > 3}), 'progress of the function is seen');
$start = time;
sql(qq{SELECT pg_cancel_backend(($tuner))});
like(end_of($long), qr/57014/, 'cancelled');
$seconds = time - $start;
cmp_ok($seconds, '<', 5, sprintf('stops soon after the cancel (%.2f s)', $seconds));
is(sql($locks), '0', 'the run lock is free');
is(sql(q{SELECT count(*), max(search) FROM metricrec.tuning_searches}), '1|1', 'nothing of it stays');

like(sql(q{SELECT version FROM metricrec.train('m')}), qr/^1$/, 'versions are counted as if there were no search');

# Somebody changes the options while the search goes on: they win.
sql(q{SELECT metricrec.alter_model('m', temperature => 30)});
my $changer = background(q{
	DO $$
	BEGIN
		PERFORM metricrec.alter_model('m', seed => 5);
		FOR i IN 1 .. 6000 LOOP		-- until the search waits for this change
			PERFORM pg_sleep(0.01);
			EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE classid = 'metricrec.model'::regclass AND NOT granted);
		END LOOP;
	END $$});
ok(wait_for(q{SELECT count(*) = 1 FROM pg_locks WHERE classid = 'metricrec.model'::regclass}), 'an alter_model is under way');
my ($ret, $out, $said) = $node->psql('postgres', q{CALL metricrec.retune('m', trials => 3, method => 'random',
	space => '{"temperature": [0.2, 0.3], "epochs": [60]}')});
is(end_of($changer), '', 'it comes to its end');
if (sql(q{SELECT trial FROM metricrec.tuning_trials WHERE search = 2 AND best}) eq '1')
{
	fail('a temperature of 30 is the worst');
}
else
{
	like($said, qr/options of model "m" were changed during the search/, 'a warning says so');
}
is(sql(q{SELECT options ->> 'temperature', options ->> 'seed' FROM metricrec.models}), '30|5', 'what was set meanwhile stays');
is(sql(q{SELECT applied, duration > interval '0' FROM metricrec.tuning_searches WHERE search = 2}), 'f|t', 'the search says that nothing was set');
sql(q{CALL metricrec.retune('m', trials => 3, method => 'random', space => '{"temperature": [0.2, 0.3], "epochs": [60]}')});
is(sql(q{SELECT options ->> 'temperature' IN ('0.2', '0.3'), options ->> 'epochs' FROM metricrec.models}), 't|60', 'undisturbed, it sets the best');

# The interactions are gone before it reads, and the model while it computes.
$long = background(qq{CALL metricrec.retune('m', trials => 5, space => $long_space)});
ok(wait_for(q{SELECT count(*) > 0 FROM metricrec.training_log WHERE version = 0 AND stage LIKE 'tune 2/5%'}), 'it computes');
sql(q{DROP VIEW m_item_embedding});
sql(qq{SELECT pg_terminate_backend(($tuner), 20000)});
end_of($long);
is(sql($locks), '0', 'the run lock is free after a termination');
is(sql(q{SELECT count(*) FROM metricrec.tuning_trials}), '0', 'trials of a model whose view was dropped are not seen');
sql(q{SELECT metricrec.create_model('other', 'likes')});
is(sql(q{SELECT (SELECT count(*) FROM metricrec.search), (SELECT count(*) FROM metricrec.trial)}), '0|0', 'and forgotten with it');

$node->stop;
done_testing();
