# CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY of an lsh index while rows
# come, change and go: afterwards every row of the table is in the index.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
jit = off
min_parallel_table_scan_size = 0
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION metricrec');
$node->safe_psql('postgres', slurp_file('test/lib/lsh.sql'));
$node->safe_psql('postgres', q{
	CREATE TABLE source AS SELECT i AS id, vector_of('clustered', 16, i) AS e FROM generate_series(1, 4000) AS i;
	ALTER TABLE source ADD PRIMARY KEY (id);
	CREATE TABLE item AS SELECT * FROM source;
	ALTER TABLE item ADD touched int DEFAULT 0;
	CREATE INDEX ON item (id);
	ANALYZE item;
});

my $script = "$PostgreSQL::Test::Utils::tmp_check/lsh_concurrently.sql";
append_to_file($script, q{
\set i random(1, 3950)
\set j random(1, 3950)
INSERT INTO item SELECT id, CASE WHEN id % 10 > 0 THEN e END FROM source WHERE id BETWEEN :i AND :i + 5;
UPDATE item SET touched = touched + 1 WHERE id = :j AND pg_try_advisory_xact_lock(id);
UPDATE item SET e = (SELECT e FROM source WHERE id = :i) WHERE id = :j + 20 AND pg_try_advisory_xact_lock(id);
DELETE FROM item WHERE id = :i + 3 AND pg_try_advisory_xact_lock(id);
BEGIN;
INSERT INTO item SELECT id, e FROM source WHERE id BETWEEN :j AND :j + 5;
ROLLBACK;
});
my $rounds = $ENV{METRICREC_LONG} ? 100 : 3;
my ($in, $out, $err) = ('', '', '');
my $bench = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 3, '-j', 1, '-R', 200, '-T', $rounds * 60, '-f', $script, $node->connstr('postgres') ],
	'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout($rounds * 120 + 60));
$node->poll_query_until('postgres', 'SELECT count(*) > 4500 FROM item');

my $check = q{
	SET enable_seqscan = off;
	SELECT lsh_check('item_v', true), lsh_check('item_p', true);
	SET lsh.exact = on;
	SELECT count(*) = count(DISTINCT c) AND count(*) = (SELECT count(*) FROM item)
	FROM (SELECT ctid AS c FROM item ORDER BY e <-> (SELECT e FROM source WHERE id = 5)) AS x;
};
for my $round (1 .. $rounds)
{
	$node->safe_psql('postgres', 'SET max_parallel_maintenance_workers = ' . ($round % 3) . q{;
		CREATE INDEX CONCURRENTLY item_v ON item USING lsh (e)});
	$node->safe_psql('postgres', q{CREATE INDEX CONCURRENTLY item_p ON item USING lsh (e) WITH (hash = 'projection')});
	is($node->safe_psql('postgres', $check), "|\nt", "round $round: built while rows changed");
	$node->safe_psql('postgres', 'DELETE FROM item WHERE id % 3 = 0 AND pg_try_advisory_xact_lock(id); VACUUM item');
	$node->safe_psql('postgres', 'REINDEX TABLE CONCURRENTLY item');
	is($node->safe_psql('postgres', $check), "|\nt", "round $round: built anew");
	$node->safe_psql('postgres', 'DROP INDEX CONCURRENTLY item_v; DROP INDEX CONCURRENTLY item_p') if $round < $rounds;
}
ok($bench->pumpable, 'rows changed all the time') or diag("$out\n$err");
$bench->signal('TERM');
eval { $bench->finish };
is($node->safe_psql('postgres', $check), "|\nt", 'and when all is quiet');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_index WHERE NOT indisvalid'), '0', 'no index is left invalid');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal|deadlock detected/, 'nothing else happened');

$node->stop;
done_testing();
