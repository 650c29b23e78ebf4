# A scheduled retraining with the real pg_cron: it calls procedures from a
# background worker with a transaction state of its own, which no other test
# has.  pg_cron runs jobs at full minutes: this takes up to 70 seconds.
# One version is enough.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);
plan skip_all => "SKIPPED, NOT TESTED: pg_cron is not installed in $libdir (Debian: postgresql-15-cron)"
  unless -e "$libdir/pg_cron.so";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = on
max_worker_processes = 16
});
$node->start;

$node->safe_psql('postgres', q{
	CREATE EXTENSION metricrec;
	CREATE EXTENSION pg_cron;
	CREATE TABLE likes (user_id int, item_id int);
	INSERT INTO likes SELECT u, i FROM generate_series(1, 40) u, generate_series(1, 40) i
		WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	CREATE INDEX ON likes (user_id);
	SELECT metricrec.create_model('m', 'likes', dimensions => 4, epochs => 3, user_tower => 'pooled');
	SELECT metricrec.train('m');
	SELECT cron.schedule('nightly', '* * * * *', $$CALL metricrec.retrain('m')$$);
	SELECT cron.schedule('in a block', '* * * * *', $$BEGIN; CALL metricrec.retrain('m'); COMMIT$$);
});
is($node->safe_psql('postgres', q{SELECT active_version FROM metricrec.models}), '1', 'trained once by hand');
ok($node->poll_query_until('postgres', q{SELECT active_version >= 2 FROM metricrec.models}), 'the scheduled retraining serves a new version');
ok($node->poll_query_until('postgres', q{SELECT count(*) >= 1 FROM cron.job_run_details d JOIN cron.job j USING (jobid)
	WHERE jobname = 'nightly' AND d.status = 'succeeded'}), 'pg_cron reports success');
is($node->safe_psql('postgres', q{SELECT count(*) FROM metricrec.training_log WHERE version = 2}), '3', 'its epochs are in the log');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE classid = 'metricrec.model'::regclass}), '0', 'no lock stays');
note $node->safe_psql('postgres', q{SELECT jobname, d.status, d.return_message FROM cron.job_run_details d JOIN cron.job j USING (jobid)});
$node->safe_psql('postgres', q{SELECT cron.unschedule(jobid) FROM cron.job});

$node->stop;
done_testing();
