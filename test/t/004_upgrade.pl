# ALTER EXTENSION UPDATE from each release gives what a fresh CREATE EXTENSION
# gives: every member, its definition, comment and privileges.  Databases of one
# server are compared, which pg_regress cannot do.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

# One line per member and per column of it.
my $members = q{
	SET search_path = pg_catalog;
	WITH member AS (
		SELECT d.classid, d.objid, 0 AS objsubid, i.type, i.identity
		FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'metricrec',
			LATERAL pg_identify_object(d.classid, d.objid, 0) i
		WHERE d.deptype = 'e'),
	part AS (
		SELECT * FROM member
		UNION ALL
		SELECT m.classid, m.objid, a.attnum, 'column', i.identity || ' ' || format_type(a.atttypid, a.atttypmod)
			|| ' ' || a.attnotnull || ' ' || coalesce(pg_get_expr(f.adbin, f.adrelid), '')
		FROM member m JOIN pg_attribute a ON m.classid = 'pg_class'::regclass AND a.attrelid = m.objid AND a.attnum > 0 AND NOT a.attisdropped
			LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum,
			LATERAL pg_identify_object(m.classid, m.objid, a.attnum) i)
	SELECT type, identity,
		CASE WHEN type IN ('function', 'procedure') THEN pg_get_functiondef(objid)
			WHEN type = 'aggregate' THEN (SELECT (to_jsonb(a) - 'aggfnoid')::text FROM pg_aggregate a WHERE a.aggfnoid = objid)
			WHEN type = 'view' THEN pg_get_viewdef(objid)
			WHEN type = 'cast' THEN (SELECT concat_ws(' ', castfunc::regprocedure, castcontext, castmethod) FROM pg_cast WHERE oid = objid)
			WHEN type = 'operator' THEN (SELECT concat_ws(' ', oprcode, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanmerge, oprcanhash)
				FROM pg_operator WHERE oid = objid)
			WHEN type = 'type' THEN (SELECT concat_ws(' ', typlen, typbyval, typalign, typstorage, typinput, typoutput, typreceive, typsend, typmodin, typmodout, typcategory)
				FROM pg_type WHERE oid = objid)
			WHEN type = 'access method' THEN (SELECT concat_ws(' ', amhandler, amtype) FROM pg_am WHERE oid = objid)
			WHEN type = 'operator class' THEN (SELECT string_agg(pg_describe_object(classid, objid, objsubid), ', ' ORDER BY pg_describe_object(classid, objid, objsubid)) FROM pg_depend r
				WHERE r.refclassid = part.classid AND r.refobjid = part.objid AND r.classid IN ('pg_amop'::regclass, 'pg_amproc'::regclass)) END AS definition,
		obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)) AS comment,
		CASE WHEN objsubid > 0 THEN col_description(objid, objsubid) END AS column_comment,
		CASE WHEN classid = 'pg_proc'::regclass THEN (SELECT proacl::text FROM pg_proc WHERE oid = objid)
			WHEN classid = 'pg_class'::regclass THEN (SELECT relacl::text || coalesce(reloptions::text, '') FROM pg_class WHERE oid = objid)
			WHEN classid = 'pg_type'::regclass THEN (SELECT typacl::text FROM pg_type WHERE oid = objid)
			WHEN classid = 'pg_namespace'::regclass THEN (SELECT nspacl::text FROM pg_namespace WHERE oid = objid) END AS privileges,
		(SELECT string_agg(initprivs::text, ' ') FROM pg_init_privs p WHERE p.classoid = classid AND p.objoid = objid) AS initial,
		(SELECT string_agg(pg_get_indexdef(indexrelid), '; ' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE objsubid = 0 AND indrelid = objid) AS indexes
	FROM part
	ORDER BY 1, 2, 3;
	SELECT extversion, extrelocatable, extnamespace::regnamespace, extconfig::regclass[], extcondition FROM pg_extension WHERE extname = 'metricrec';
};

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION metricrec');
my $target = $node->safe_psql('fresh', q{SELECT extversion FROM pg_extension WHERE extname = 'metricrec'});
my $fresh = $node->safe_psql('fresh', $members);
my @lines = split /\n/, $fresh;
my %in_fresh = map { $_ => 1 } @lines;
cmp_ok(scalar(@lines), '>', 150, scalar(@lines) . ' lines describe the extension');

for my $version ('0.1.0', '0.2.0')
{
	(my $database = "from_$version") =~ tr/./_/;
	my @chain = split /\n/, $node->safe_psql('fresh', qq{SELECT path FROM pg_extension_update_paths('metricrec') WHERE source = '$version' AND target = '$target'});
	like($chain[0], qr/^\Q$version\E--/, "there is a way from $version to $target: $chain[0]");

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, qq{
		CREATE EXTENSION metricrec VERSION '$version';
		CREATE TABLE items (item_id int PRIMARY KEY, e embedding(3));
		INSERT INTO items SELECT i, ARRAY[i, 1, 2]::real[]::embedding FROM generate_series(1, 10) i;
		CREATE INDEX ON items (e);
		CREATE VIEW near AS SELECT item_id FROM items ORDER BY e <-> '[3.2,1,2]' LIMIT 3;
	});
	my $near = $node->safe_psql($database, 'SELECT * FROM near');
	$node->safe_psql($database, 'ALTER EXTENSION metricrec UPDATE');
	is($node->safe_psql($database, q{SELECT extversion FROM pg_extension WHERE extname = 'metricrec'}), $target, 'updated');

	# Only what differs is worth printing.
	my @updated = split /\n/, $node->safe_psql($database, $members);
	my %in_updated = map { $_ => 1 } @updated;
	is(join("\n", grep { !$in_fresh{$_} } @updated), '', 'the update makes nothing that a fresh install does not make');
	is(join("\n", grep { !$in_updated{$_} } @lines), '', 'and all that it makes');
	is(scalar(@updated), scalar(@lines), 'as often');

	is($node->safe_psql($database, 'SELECT * FROM near'), $near, 'the data is as it was');
	is($node->safe_psql($database, q{
		SET client_min_messages = error;
		CREATE TABLE likes AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 40) u, generate_series(1, 40) i
			WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
		SELECT model FROM metricrec.create_model('m', 'likes', dimensions => 4, epochs => 2, user_tower => 'pooled');
		SELECT active FROM metricrec.train('m');
		SELECT count(*) FROM recommend(1, 3);
		CREATE INDEX near_index ON items USING lsh (e);
		SET enable_seqscan = off;
		SELECT string_agg(item_id::text, ' ') FROM near;
		SELECT count(*) FROM lsh_check('near_index', true)}), "m\nt\n3\n" . join(' ', split /\n/, $near) . "\n1",
		'and the new functions work');
}

# The scripts are for CREATE and ALTER EXTENSION only.
my ($files, $stderr) = run_command([ 'sh', '-c', 'ls sql/metricrec--*.sql' ]);
for my $file (split /\n/, $files)
{
	my ($out, $err) = run_command([ 'psql', '-X', '-q', '-d', $node->connstr('fresh'), '-f', $file ]);
	like("$out$err", qr/Use ".* EXTENSION metricrec.*" to load this file/, "$file is not to be run by psql");
}
is($node->safe_psql('fresh', $members), $fresh, 'and they did nothing');

# In another schema, with a search_path that knows neither.
$node->safe_psql('postgres', q{CREATE SCHEMA elsewhere; CREATE EXTENSION metricrec SCHEMA elsewhere});
is($node->safe_psql('postgres', q{
	SET client_min_messages = error;
	CREATE TABLE public.likes AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 40) u, generate_series(1, 40) i
		WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	SET search_path = public;
	SELECT model FROM metricrec.create_model('m', 'likes', dimensions => 4, epochs => 2, user_tower => 'pooled');
	SET search_path = '';
	SELECT active FROM metricrec.train('m');
	SELECT active FROM metricrec.train('m');
	INSERT INTO public.m_item_embedding (item_id, embedding) VALUES (99, '[1,0,0,0]');
	SELECT active FROM metricrec.train('m');
	SELECT count(*) FROM elsewhere.recommend(1, 3);
	SELECT count(*) FROM public.m_item_embedding WHERE item_id = 99}), "m\nt\nt\nt\n3\n1", 'in another schema, with an empty search_path');

$node->stop;
done_testing();
