# An lsh index under many sessions at once: rows come, change and go, pages are
# split, emptied and used again, while scans compare what the index returns with
# what the table has as of the same snapshot: every row once.
# METRICREC_LONG=1: ten minutes instead of seconds.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{METRICREC_LONG} ? 300 : 5;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
max_connections = 40
enable_seqscan = off
jit = off
deadlock_timeout = 100ms
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION metricrec');
$node->safe_psql('postgres', slurp_file('test/lib/lsh.sql'));
$node->safe_psql('postgres', q{
	CREATE TABLE source AS SELECT i AS id, vector_of('clustered', 16, i) AS short,
		(array_fill(even(i, 1), ARRAY[150]) || array_fill(even(i, 2), ARRAY[150]) || array_fill(even(i, 3), ARRAY[200]))::embedding AS long
		FROM generate_series(1, 4000) AS i;
	ALTER TABLE source ADD PRIMARY KEY (id);
	CREATE FUNCTION fail(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', $1; END $$;

	-- One statement, one snapshot: the rows that the scan returns against those of the table.
	CREATE FUNCTION compare(name text, q embedding, exact boolean) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		missing int;
		twice int;
		more int;
		late int;
	BEGIN
		PERFORM set_config('lsh.exact', exact::text, true);
		EXECUTE format('WITH scan AS MATERIALIZED (SELECT row_number() OVER () AS place, x.* FROM (SELECT ctid AS c, e <-> $1 AS distance FROM %1$I ORDER BY e <-> $1) AS x),
				whole AS MATERIALIZED (SELECT ctid AS c FROM %1$I ORDER BY (e <-> $1) + 0)
			SELECT (SELECT count(*) FROM whole WHERE c NOT IN (SELECT c FROM scan)),
				   (SELECT count(*) - count(DISTINCT c) FROM scan),
				   (SELECT count(*) FROM scan WHERE c NOT IN (SELECT c FROM whole)),
				   (SELECT count(*) FROM (SELECT distance < lag(distance) OVER (ORDER BY place) AS late FROM scan) AS x WHERE x.late)', name)
			INTO missing, twice, more, late USING q;
		IF missing + twice + more > 0 OR (exact AND late > 0) THEN
			RAISE EXCEPTION '%: % missing, % twice, % too many, % late', name, missing, twice, more, late;
		END IF;
	END
	$$;
	-- The nearest row to one that this transaction inserts is itself, or one that is equal.
	CREATE FUNCTION insert_and_find(name text, i int, n int) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		found int;
	BEGIN
		PERFORM set_config('lsh.exact', 'off', true);
		EXECUTE format('INSERT INTO %1$I (e) SELECT %1$I FROM source WHERE id BETWEEN $1 AND $1 + $2', name) USING i, n;
		EXECUTE format('SELECT count(*) FROM (SELECT e <-> (SELECT %1$I FROM source WHERE id = $1) AS distance FROM %1$I
			ORDER BY e <-> (SELECT %1$I FROM source WHERE id = $1) LIMIT 1) AS x WHERE distance = 0', name) INTO found USING i;
		IF found <> 1 THEN
			RAISE EXCEPTION 'row % of % is not found', i, name;
		END IF;
	END
	$$;
});

my %script = (
	insert => q{
\set i random(1, 3900)
\set n random(0, 30)
SELECT insert_and_find('TABLE', :i, :n);
},
	update => q{
\set i random(1, 4000)
\set part random(0, 199)
UPDATE TABLE SET e = CASE WHEN :i % 20 > 0 THEN (SELECT TABLE FROM source WHERE id = :i) END WHERE id % 200 = :part AND pg_try_advisory_xact_lock(id);
},
	delete => q{
\set part random(0, 19)
DELETE FROM TABLE WHERE id > 300 AND id % 20 = :part AND pg_try_advisory_xact_lock(id);
},
	rollback => q{
\set i random(1, 3900)
BEGIN;
INSERT INTO TABLE (e) SELECT TABLE FROM source WHERE id BETWEEN :i AND :i + 50;
ROLLBACK;
},
	compare => q{
\set i random(1, 4000)
\set exact random(0, 1)
SELECT compare('TABLE', (SELECT TABLE FROM source WHERE id = :i), :exact = 1);
},
	nearest => q{
\set i random(1, 4000)
SELECT count(*) = 10 OR fail('fewer than 10 rows') = 0 FROM (SELECT id FROM TABLE WHERE e IS NOT NULL ORDER BY e <-> (SELECT TABLE FROM source WHERE id = :i) LIMIT 10) AS x;
},
	check => "SELECT lsh_check('TABLE_e', true);\n",
	# to cut off the table's end it would wait for the others, up to five seconds
	vacuum => "VACUUM (TRUNCATE off) TABLE;\n");
foreach my $table ('short', 'long')
{
	foreach my $name (keys %script)
	{
		(my $text = $script{$name}) =~ s/TABLE/$table/g;
		append_to_file("$PostgreSQL::Test::Utils::tmp_check/lsh_${name}_$table.sql", $text);
	}
}

# start_pgbench TABLE CLIENTS SCRIPT@WEIGHT...
sub start_pgbench
{
	my ($name, $clients, @scripts) = @_;
	my %run = (out => '', err => '', in => '');
	$run{handle} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds,
			(map { my ($s, $weight) = split /@/; ('-f', "$PostgreSQL::Test::Utils::tmp_check/lsh_${s}_$name.sql\@$weight") } @scripts), $node->connstr('postgres') ],
		'<', \$run{in}, '>', \$run{out}, '2>', \$run{err}, IPC::Run::timeout($seconds * 4 + 60));
	return \%run;
}

for my $table ([ 'short', 'voronoi' ], [ 'long', 'projection' ], [ 'long', 'voronoi' ])
{
	my ($name, $family) = @$table;
	$node->safe_psql('postgres', qq{
		DROP TABLE IF EXISTS $name;
		CREATE TABLE $name (id serial PRIMARY KEY, e embedding);
		CREATE INDEX ${name}_e ON $name USING lsh (e) WITH (hash = '$family');
		INSERT INTO $name (e) SELECT $name FROM source WHERE id <= 300;
	});
	my @runs = (
		start_pgbench($name, 3, 'insert@6', 'update@3', 'delete@3', 'rollback@1'),
		start_pgbench($name, 2, 'compare@3', 'nearest@5', 'check@1'),
		start_pgbench($name, 1, 'vacuum@1'));
	foreach my $run (@runs)
	{
		ok(eval { $run->{handle}->finish }, "$name, $family: a pgbench ends well") or diag("$run->{out}\n$run->{err}\n$@");
		my ($transactions) = $run->{out} =~ /number of transactions actually processed: (\d+)/;
		cmp_ok($transactions // 0, '>', 2, "$name, $family: it did something");
	}
	foreach my $step ('afterwards', 'after a vacuum')
	{
		is($node->psql('postgres', "SELECT lsh_check('${name}_e', true)"), 0, "$name, $family: lsh_check $step");
		is($node->safe_psql('postgres', "SELECT whole_scan('$name', $name, false) FROM source WHERE id = 7"), 'right', "$name, $family: scan $step");
		$node->safe_psql('postgres', "VACUUM $name");
	}
}

# Time runs out in a scan that would last long, wherever it is.
$node->safe_psql('postgres', q{
	CREATE TABLE large (id int, e embedding);
	INSERT INTO large SELECT i, s.short FROM generate_series(1, 25) AS i, source AS s;
	CREATE INDEX ON large USING lsh (e)});
my $slowest = 0;
my $cancelled = 0;
foreach my $limit (1, 2, 5, 10, 20, 30, 50)
{
	foreach my $setting ('lsh.exact = on', 'lsh.exact = off', q{work_mem = '64kB'})
	{
		my $start = time;
		my ($code, $out, $err) = $node->psql('postgres', qq{
			SET $setting;
			SET statement_timeout = $limit;
			SELECT count(*) FROM source AS s, LATERAL (SELECT FROM large ORDER BY e <-> s.short OFFSET 1000000) AS x;
		});
		$slowest = time - $start - $limit / 1000 if time - $start - $limit / 1000 > $slowest;
		$cancelled++ if $err =~ /canceling statement due to statement timeout/;
	}
}
is($cancelled, 21, 'statement_timeout ends scans');
cmp_ok($slowest, '<', 1, 'without delay');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal|deadlock detected/, 'nothing else happened');
$node->stop;
done_testing();
