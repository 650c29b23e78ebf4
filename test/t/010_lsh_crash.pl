# An lsh index after a crash: the server is stopped at once, or one of its
# processes is killed, while others insert, split pages, delete, vacuum and
# build.  After recovery lsh_check() finds the structure right and every row of
# the table in the index, and a scan returns what the table has.  Small buffers
# and checkpoints in between, so that the disk has pages of many moments.
#
# METRICREC_LONG=1: 1,000 rounds instead of a few; METRICREC_SEED: other moments.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rounds = $ENV{METRICREC_LONG} ? 1000 : 24;
my $seed = $ENV{METRICREC_SEED} // 1;
srand($seed);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
shared_buffers = 1MB
restart_after_crash = on
autovacuum = off
jit = off
max_wal_size = 32MB
min_parallel_table_scan_size = 0
log_min_messages = warning
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION metricrec');
$node->safe_psql('postgres', slurp_file('test/lib/lsh.sql'));

# Two tables: short vectors, and long ones, of which only a few fit a page, so
# that groups and root pages are split as well.  Both families of hashes.
$node->safe_psql('postgres', q{
	CREATE TABLE source AS SELECT i AS id, vector_of('clustered', 16, i) AS short,
		(array_fill(even(i, 1), ARRAY[150]) || array_fill(even(i, 2), ARRAY[150]) || array_fill(even(i, 3), ARRAY[200]))::embedding AS long
		FROM generate_series(1, 2000) AS i;
	CREATE INDEX ON source (id);
	CREATE TABLE short (id int, e embedding);
	CREATE INDEX short_v ON short USING lsh (e);
	CREATE INDEX short_p ON short USING lsh (e) WITH (hash = 'projection');
	CREATE TABLE long (id int, e embedding);
	CREATE INDEX long_v ON long USING lsh (e);
	CREATE INDEX long_p ON long USING lsh (e) WITH (hash = 'projection');
	CREATE VIEW short_query AS SELECT id, short AS e FROM source WHERE id = 5;
	CREATE VIEW long_query AS SELECT id, long AS e FROM source WHERE id = 5;
	CREATE UNLOGGED TABLE brief (id int, e embedding);
	CREATE INDEX brief_v ON brief USING lsh (e);

	-- Without end: small transactions that insert, and some that take away.
	CREATE PROCEDURE work(name text, seed bigint) LANGUAGE plpgsql AS $$
	DECLARE
		first int;
	BEGIN
		FOR i IN 1 .. 1000000 LOOP
			first := 1 + hashint8extended(i, seed) & 1023;
			IF i % 8 = 3 THEN
				EXECUTE format('DELETE FROM %I WHERE id %% 8 = $1', name) USING i / 8 % 8;
			ELSIF i % 8 = 5 THEN
				EXECUTE format('UPDATE %I SET e = CASE WHEN id %% 3 = 0 THEN NULL ELSE (SELECT %I FROM source WHERE id = $1) END WHERE id BETWEEN $1 AND $1 + 20',
							   name, name) USING first;
			ELSE
				EXECUTE format('INSERT INTO %I SELECT id, CASE WHEN id %% 50 > 0 THEN %I END FROM source WHERE id BETWEEN $1 AND $1 + 60', name, name) USING first;
			END IF;
			IF i % 16 = 7 THEN
				ROLLBACK;
			ELSE
				COMMIT;
			END IF;
		END LOOP;
	END
	$$;
});

my %other = (
	vacuum => [ ('VACUUM short', 'VACUUM long') x 400 ],
	build => [ ('REINDEX INDEX short_v', 'REINDEX INDEX long_p', 'REINDEX INDEX long_v', 'REINDEX INDEX short_p') x 200 ],
	concurrently => [ ('REINDEX INDEX CONCURRENTLY long_v', 'VACUUM long') x 200 ],
	truncate => [ ('TRUNCATE short', 'SELECT pg_sleep(.1)') x 200 ],
	checkpoint => [ ('CHECKPOINT', 'VACUUM long') x 400 ]);
my @kinds = qw(vacuum build checkpoint vacuum concurrently vacuum truncate build);

# start_session STATEMENT...: runs them, one transaction each.
sub start_session
{
	my ($in, $out, $err) = ('', '', '');
	return IPC::Run::start(
		[ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), map { ('-c', $_) } 'SET max_parallel_maintenance_workers = 2', @_ ],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout(120));
}

# What is wrong after a recovery; '' if nothing.
sub fault
{
	my ($code, $out, $err) = $node->psql('postgres', q{
		SET enable_seqscan = off;
		SET statement_timeout = '60s';
		SELECT lsh_check(indexrelid, true) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
			WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'lsh') AND indisvalid;
		SELECT name || ', exact ' || exact || ': ' || outcome
		FROM unnest('{short,long}'::text[]) AS name, whole_scans(name, name || '_query') WHERE outcome <> 'right';
		INSERT INTO brief SELECT id, short FROM source WHERE id <= 200;
		SELECT 'brief: ' || count(*) FROM (SELECT FROM brief ORDER BY e <-> (SELECT short FROM source WHERE id = 5)) AS x HAVING count(*) <> 200;
	});
	$out =~ s/^\n+//;
	return "$out$err";
}

is(fault(), '', 'before the first crash');
my $bad = 0;
my %most = (rows => 0, groups => 0);
for my $round (1 .. $rounds)
{
	my $kind = $kinds[ $round % @kinds ];
	$node->append_conf('postgresql.conf', 'full_page_writes = ' . ($round % 6 < 4 ? 'on' : 'off')) if $round % 6 == 0 || $round % 6 == 4;
	# Small again from time to time: a table that only grows has its splits in few rounds.
	$node->safe_psql('postgres', 'TRUNCATE long; VACUUM') if $round % 5 == 0;
	my @sessions = (start_session("CALL work('short', $round)"), start_session("CALL work('long', $round)"), start_session(@{ $other{$kind} }));
	usleep(100_000 + int(rand(300_000)));
	$node->safe_psql('postgres', 'CHECKPOINT') if $round % 3 == 0;
	usleep(int(rand(100_000))) if $round % 3 == 0;

	my $how = 'immediate stop';
	if ($round % 4 == 1)
	{
		$how = 'kill -9';
		my $pid = $node->safe_psql('postgres',
			q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY hashint4(pid) LIMIT 1});
		kill 'KILL', $pid if $pid;
		eval { $_->finish } foreach @sessions;
		# Not yet dead, or already in recovery: until it answers twice.
		usleep(100_000);
		# psql may end before it reads the query: EPIPE
		foreach (1 .. 10) { last if eval { $node->poll_query_until('postgres', 'SELECT 1', '1') }; }
	}
	else
	{
		$node->stop('immediate');
		eval { $_->finish } foreach @sessions;
		$node->start;
	}
	my $fault = fault();
	my ($rows, $groups) = split /\|/, $node->safe_psql('postgres', q{SELECT rows, groups FROM lsh_stats('long_v')});
	$most{rows} = $rows if $rows > $most{rows};
	$most{groups} = $groups if $groups > $most{groups};
	next if $fault eq '';
	is($fault, '', "round $round of seed $seed: $how during $kind");
	last if ++$bad > 3;
}
is($bad, 0, "$rounds crashes");
cmp_ok($most{groups}, '>', 3, 'groups had been split') or diag("at most $most{rows} rows, $most{groups} groups");
note("at most $most{rows} rows, $most{groups} groups");
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP:|terminated by signal (?!9)/, 'no process fell by itself');

# What a crash has left over is taken in use again.
is($node->psql('postgres', 'DELETE FROM short; DELETE FROM long; TRUNCATE brief; VACUUM; VACUUM'), 0, 'the tables can be emptied');
is(fault(), '', 'and are right afterwards');

$node->stop;
done_testing();
