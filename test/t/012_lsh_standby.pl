# An lsh index on a streaming standby: every page equal to the primary's
# (wal_consistency_checking compares them at each record), the same answers, and
# scans that return what the table has while the primary empties pages and uses
# them again; then the standby is promoted.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
wal_consistency_checking = 'generic'
wal_keep_size = '1GB'
max_wal_size = '2GB'
max_standby_streaming_delay = '2s'
enable_seqscan = off
jit = off
});
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', 'CREATE EXTENSION metricrec');
$primary->safe_psql('postgres', slurp_file('test/lib/lsh.sql'));
$primary->safe_psql('postgres', q{
	CREATE TABLE source AS SELECT i AS id, vector_of('clustered', 16, i) AS short,
		(array_fill(even(i, 1), ARRAY[150]) || array_fill(even(i, 2), ARRAY[150]) || array_fill(even(i, 3), ARRAY[200]))::embedding AS long
		FROM generate_series(1, 3000) AS i;
	ALTER TABLE source ADD PRIMARY KEY (id);
	CREATE TABLE short (id int, e embedding);
	CREATE INDEX short_v ON short USING lsh (e);
	CREATE TABLE long (id int, e embedding);
	CREATE INDEX long_p ON long USING lsh (e) WITH (hash = 'projection');
	-- of so many dimensions that the root has many pages
	CREATE TABLE wide (id int, e embedding);
	CREATE INDEX wide_v ON wide USING lsh (e);
	CREATE TABLE wide_source AS SELECT id,
		(array_fill(even(id, 1), ARRAY[700]) || array_fill(even(id, 2), ARRAY[600]) || array_fill(even(id, 3), ARRAY[700]))::embedding AS e
		FROM source WHERE id <= 600;
	CREATE TABLE built AS SELECT id, short AS e FROM source;
	CREATE INDEX built_v ON built USING lsh (e);
	CREATE INDEX built_p ON built USING lsh (l2_normalize(e)) WITH (hash = 'projection');

	-- Every row of the table once, as of one snapshot?
	CREATE FUNCTION compare(name text, q embedding) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		missing int;
		twice int;
	BEGIN
		EXECUTE format('WITH scan AS MATERIALIZED (SELECT ctid AS c FROM %1$I ORDER BY e <-> $1),
				whole AS MATERIALIZED (SELECT ctid AS c FROM %1$I ORDER BY (e <-> $1) + 0)
			SELECT (SELECT count(*) FROM whole WHERE c NOT IN (SELECT c FROM scan)), (SELECT count(*) - count(DISTINCT c) FROM scan)', name)
			INTO missing, twice USING q;
		IF missing + twice > 0 THEN
			RAISE EXCEPTION '%: % missing, % twice', name, missing, twice;
		END IF;
	END
	$$;
});

my $answers = q{
	SELECT 'short', q.id, array(SELECT id FROM short ORDER BY e <-> q.short LIMIT 20) FROM source AS q WHERE id % 500 = 7;
	SELECT 'long', q.id, array(SELECT id FROM long ORDER BY e <-> q.long LIMIT 20) FROM source AS q WHERE id % 500 = 7;
	SELECT 'built', q.id, array(SELECT id FROM built ORDER BY e <-> q.short LIMIT 20) FROM source AS q WHERE id % 500 = 7;
	SELECT 'built_p', q.id, array(SELECT id FROM built ORDER BY l2_normalize(e) <-> q.short LIMIT 20) FROM source AS q WHERE id % 500 = 7;
	SELECT lsh_check('wide_v', true), lsh_check('short_v', true), lsh_check('long_p', true), lsh_check('built_v', true), lsh_check('built_p', true);
	SELECT compare('short', short), compare('long', long), compare('built', short) FROM source WHERE id % 1000 = 8;
	SELECT whole_scan('short', short, false), whole_scan('long', long, false) FROM source WHERE id = 9;
	SELECT lsh_stats(i::regclass) FROM unnest('{wide_v,short_v,long_p,built_v,built_p}'::text[]) AS i;
};

sub same
{
	my $name = shift;
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	my $here = $primary->safe_psql('postgres', $answers);
	is($standby->safe_psql('postgres', $answers), $here, $name);
	return $here;
}

same('empty, and built');
$primary->safe_psql('postgres', q{
	INSERT INTO short SELECT id, short FROM source WHERE id <= 1500;
	INSERT INTO long SELECT id, long FROM source WHERE id <= 700;
	INSERT INTO built SELECT -id, short FROM source WHERE id % 2 = 0;
	INSERT INTO short SELECT -id, NULL FROM source;
});
like(same('after inserts'), qr/right\|right/, 'which are right');
$primary->safe_psql('postgres', q{
	DELETE FROM short WHERE id % 3 = 0;
	UPDATE long SET e = e WHERE id % 3 = 0;
	DELETE FROM built WHERE id % 5 > 0;
});
same('after deletes and updates');
$primary->safe_psql('postgres', 'VACUUM short; VACUUM long; VACUUM built');
same('after a vacuum');
$primary->safe_psql('postgres', q{
	DELETE FROM short;
	DELETE FROM long WHERE id > 10;
	VACUUM;
	INSERT INTO short SELECT id, short FROM source;
	INSERT INTO long SELECT id, long FROM source WHERE id <= 700;
	VACUUM;
});
same('after a vacuum that emptied pages, which are used again');
$primary->safe_psql('postgres', 'REINDEX INDEX short_v; TRUNCATE built; INSERT INTO built SELECT id, short FROM source WHERE id < 100');
same('after a rebuild and a truncation');

# Queries on the standby while the primary empties pages and uses them again.
# A query may end with a serialization failure (40001) and is then tried again.
my $script = "$PostgreSQL::Test::Utils::tmp_check/lsh_standby.sql";
append_to_file($script, q{
\set i random(1, 3000)
SELECT compare('long', long) FROM source WHERE id = :i;
SELECT compare('short', short) FROM source WHERE id = :i;
SELECT compare('wide', e) FROM wide_source WHERE id = :i % 600 + 1;
SELECT count(*) FROM (SELECT FROM wide ORDER BY e <-> (SELECT e FROM wide_source WHERE id = :i % 600 + 1) LIMIT 10) AS x;
});
my $seconds = $ENV{METRICREC_LONG} ? 120 : 4;
my ($in, $out, $err) = ('', '', '');
my $bench = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 2, '-j', 1, '-T', $seconds, '--max-tries=1000', '-f', $script, $standby->connstr('postgres') ],
	'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout($seconds * 4 + 60));
my $until = time + $seconds;
my $rounds = 0;
while (time < $until)
{
	my $low = $rounds++ % 3 * 900;
	$primary->safe_psql('postgres', qq{
		DELETE FROM short WHERE id BETWEEN $low AND $low + 1300;
		DELETE FROM long WHERE id % 4 <> $rounds % 4;
		VACUUM short;
		VACUUM long;
		INSERT INTO short SELECT id, short FROM source WHERE id BETWEEN $low AND $low + 1300;
		INSERT INTO long SELECT id, long FROM source WHERE id <= 500 AND id % 4 <> $rounds % 4;
		DELETE FROM wide WHERE id % 3 = $rounds % 3;
		VACUUM wide;
		INSERT INTO wide SELECT id, e FROM wide_source WHERE id % 3 = $rounds % 3;
	});
}
ok(eval { $bench->finish }, "scans on the standby during $rounds rounds of vacuum") or diag("$out\n$err\n$@");
my ($done) = $out =~ /number of transactions actually processed: (\d+)/;
cmp_ok($done // 0, '>', 2, 'some of them');
unlike($out . $err, qr/missing|XX00|corrupt/, 'none missed a row');
note($out);
same('afterwards');

# The standby starts again in the middle of its log, and becomes a primary.
$primary->safe_psql('postgres', 'DELETE FROM long WHERE id % 2 = 0; VACUUM long; INSERT INTO long SELECT id, long FROM source WHERE id BETWEEN 900 AND 1200');
$standby->stop('immediate');
$standby->start;
same('after a crash of the standby');
unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC|TRAP:|terminated by signal/, 'pages are equal');
$primary->stop;
$standby->promote;
$standby->safe_psql('postgres', q{
	INSERT INTO short SELECT id, short FROM source WHERE id % 2 = 0;
	DELETE FROM long WHERE id % 2 = 0;
	VACUUM;
	INSERT INTO long SELECT id, long FROM source WHERE id < 700;
});
like($standby->safe_psql('postgres', $answers), qr/right\|right/, 'promoted, it is right');

$standby->stop;
done_testing();
