# Background workers: who comes, who is left out, and that nobody and nothing stays,
# whatever happens.  Processes and segments of a server can only be seen from
# outside one session, and the settings that make them short need a restart.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
max_worker_processes = 5
dynamic_shared_memory_type = mmap
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION metricrec');

sub sql { return $node->safe_psql('postgres', shift); }

# Result and messages of a statement.
sub result
{
	my ($ret, $out, $err) = $node->psql('postgres', '\set VERBOSITY verbose' . "\n" . shift);
	return ($out, $err);
}

sub segments { return scalar(() = glob($node->data_dir . '/pg_dynshmem/mmap.*')); }
sub workers { return sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'metricrec%'}); }

my $segments = segments();

# ---- the crew itself ----

my ($out, $err) = result('SELECT workers_started, barrier_microseconds > 0 FROM metricrec.check_workers(2, 1000)');
is($out, '2|t', 'two workers come and meet the leader');
is($err, '', 'without a word');
($out, $err) = result('SELECT workers_started, barrier_microseconds FROM metricrec.check_workers(0)');
is("$out$err", '0|', 'no workers, if none are wanted');
($out, $err) = result('SELECT workers_started < 10, workers_started > 0 FROM metricrec.check_workers(10)');
is($out, 't|t', 'fewer come than are wanted');
like($err, qr/NOTICE: .*the check runs with \d instead of 10 workers: no more background workers could be started.*HINT:  Raise max_worker_processes/s,
	'and a notice says so');
($out, $err) = result('SELECT * FROM metricrec.check_workers(64)');
like($err, qr/ERROR:  22023: workers is 64, but must be between 0 and 63/, 'not any number');
($out, $err) = result(q{SET metricrec.training_memory = '2MB'; SELECT * FROM metricrec.check_workers(1, 2049)});
like($err, qr/ERROR:  22023: shared_memory is 2049 kB, but must be between 0 and metricrec.training_memory, 2048 kB/,
	'not any amount of memory');
is(workers(), '0', 'no worker stays');
is(segments(), $segments, 'no segment stays');

# Many one after the other: places and segments are given back each time.
is(sql(q{SELECT count(*) FROM generate_series(1, 20), LATERAL metricrec.check_workers(2, generate_series) WHERE workers_started = 2}),
	'20', 'twenty crews in one transaction');
is(segments(), $segments, 'and no segment stays of these');

$node->stop;
done_testing();
