# OpenBLAS starts threads when it is loaded and would do so in every backend, if
# our library were linked with it.  So: a session that only queries never maps
# it, and one that trains is still a single task with its signals unblocked.
# What a process has mapped can only be seen in /proc.
# One version is enough.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'SKIPPED, NOT TESTED: there is no /proc/self/maps here' unless -r '/proc/self/maps' && -d '/proc/self/task';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION metricrec;
	CREATE TABLE likes (user_id int, item_id int);
	INSERT INTO likes SELECT u, i FROM generate_series(1, 40) u, generate_series(1, 40) i
		WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	CREATE INDEX ON likes (user_id);
	SELECT metricrec.create_model('m', 'likes', dimensions => 8, epochs => 2, user_tower => 'pooled');
	SELECT metricrec.train('m');
});

# What a backend looks like from outside, asked by the backend itself.
my $look = q{
	SELECT 'blas ' || (pg_read_file('/proc/' || pg_backend_pid() || '/maps', 0, 10000000, true) ~ 'blas')
		|| ', ours ' || (pg_read_file('/proc/' || pg_backend_pid() || '/maps', 0, 10000000, true) ~ 'metricrec[.]so')
		|| ', tasks ' || (SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/task'))
		|| ', blocked ' || substring(pg_read_file('/proc/' || pg_backend_pid() || '/status', 0, 100000, true) FROM 'SigBlk:\s*(\w+)')
		|| ', ignored ' || substring(pg_read_file('/proc/' || pg_backend_pid() || '/status', 0, 100000, true) FROM 'SigIgn:\s*(\w+)')
		|| ', caught ' || substring(pg_read_file('/proc/' || pg_backend_pid() || '/status', 0, 100000, true) FROM 'SigCgt:\s*(\w+)');
};
my $plain = $node->safe_psql('postgres', $look);
like($plain, qr/^blas false, ours false, tasks 1,/, "a fresh session: $plain");

(my $expected = $plain) =~ s/ours false/ours true/;
my $query = $node->safe_psql('postgres', qq{
	SELECT '' FROM recommend(1, 3) LIMIT 1;
	SELECT '' FROM similar_items(1, 3) LIMIT 1;
	SELECT '' FROM (SELECT '[1,2]'::embedding <-> '[2,3]') x;
	SELECT '' FROM metricrec.models;
	$look});
like($query, qr/\n\Q$expected\E$/, 'a session that queries maps our library and no BLAS');

($expected = $expected) =~ s/blas false/blas true/;
my $train = $node->safe_psql('postgres', qq{SELECT active FROM metricrec.train('m'); $look});
is($train, "t\n$expected", 'a session that trains has BLAS, one task, and the same signals');
my $retrain = $node->safe_psql('postgres', qq{CALL metricrec.retrain('m'); $look});
is($retrain, $expected, 'so has one that retrains');

# Both packages installed: the serial build is the one that is taken.
my @builds = grep { -e $_ } glob('/usr/lib/*/openblas-*/libopenblas.so.0');
note "OpenBLAS builds here: @builds";
SKIP:
{
	skip 'SKIPPED, NOT TESTED: the serial build of OpenBLAS is not installed', 1 unless grep { /serial/ } @builds;
	like($node->safe_psql('postgres', q{SELECT active FROM metricrec.train('m');
		SELECT string_agg(DISTINCT line[1], ' ') FROM regexp_matches(pg_read_file('/proc/' || pg_backend_pid() || '/maps', 0, 10000000, true), '(/\S*blas\S*)', 'g') line}),
		qr/^t\n\S*serial\S*$/, 'the serial build is loaded, and no other');
}
# The environment may ask for threads; a backend has none all the same.
SKIP:
{
	skip 'SKIPPED, NOT TESTED: only the serial build is installed', 1 unless grep { /pthread/ } @builds;
	local $ENV{OPENBLAS_NUM_THREADS} = 4;
	$node->restart;
	like($node->safe_psql('postgres', qq{SELECT active FROM metricrec.train('m'); $look}), qr/^t\nblas true, ours true, tasks 1,/, 'one task whatever the environment says');
}

$node->stop;
done_testing();
