# Who may do what: two roles, row-level security on the interactions, and the
# catalogue.  A file of its own because it needs sessions that log in as these
# roles (SET ROLE keeps the session's superuser in reach), and their settings.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

my @roles = ('alice', 'bob', 'carol', 'reader');

sub as
{
	my ($role, $sql) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET client_min_messages = error;\n$sql",
		extra_params => [ '-U', $role ], on_error_stop => 1);
	return $ret == 0 ? $out : ($err =~ /ERROR:\s+(\w+): (.*)/ ? "$1 $2" : $err);
}

my $super = $node->safe_psql('postgres', 'SELECT current_user');
$node->safe_psql('postgres', q{
	CREATE EXTENSION metricrec;
	CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE carol LOGIN; CREATE ROLE reader LOGIN;
	CREATE ROLE team; GRANT team TO carol;
	CREATE SCHEMA work AUTHORIZATION alice;
	GRANT USAGE ON SCHEMA work TO PUBLIC;
	GRANT CREATE ON SCHEMA work TO team;
});
# trust logins for all of them
$node->append_conf('pg_hba.conf', "local all all trust\n");
$node->reload;

is(as('alice', q{
	SET search_path = work, public;
	CREATE TABLE likes (user_id int, item_id int, tenant text);
	INSERT INTO likes SELECT u, i, CASE WHEN u <= 20 THEN 'a' ELSE 'b' END FROM generate_series(1, 40) u, generate_series(1, 40) i
		WHERE u % 2 = i % 2 AND (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	CREATE INDEX ON likes (user_id);
	SELECT model FROM metricrec.create_model('m', 'likes', dimensions => 8, epochs => 2, user_tower => 'pooled');
	SELECT users FROM metricrec.train('m');
}), "m\n40", 'an ordinary role makes and trains a model');

# --- a stranger
for my $statement (
	q{SELECT metricrec.train('m')}, q{CALL metricrec.retrain('m')}, q{SELECT metricrec.alter_model('m', epochs => 3)},
	q{SELECT metricrec.activate('m', 1)}, q{SELECT metricrec.drop_model('m')})
{
	like(as('bob', "SET search_path = work; $statement"), qr/^42501 must be owner of model m/, "a stranger may not: $statement");
}
is(as('bob', q{SELECT count(*) FROM metricrec.models}), '0', 'a stranger does not see the model');
is(as('bob', q{SELECT count(*) FROM metricrec.training_log}), '0', 'nor its log');
is(as('bob', q{SELECT count(*) FROM metricrec.model_versions}), '0', 'nor its versions');
like(as('bob', q{SELECT * FROM work.m_item_embedding}), qr/^42501 permission denied for view/, 'nor its points');
like(as('bob', q{SELECT * FROM work.m_item_embedding_v1}), qr/^42501 permission denied for table/, 'nor those of a version');
like(as('bob', q{SET search_path = work, public; SELECT * FROM recommend(1, 3, 'm')}), qr/^42501/, 'recommend() needs SELECT on the views');
like(as('bob', q{SELECT * FROM recommend(1, 3, 'm')}), qr/^42704 model "m" does not exist/, 'by name alone it is not even there');
like(as('bob', q{SELECT metricrec.create_model('mine', 'work.likes')}), qr/^42501 permission denied/, 'nor make a model of her table');

# --- the catalogue is nobody's
for my $table ('model', 'version', 'component', 'epoch_log')
{
	for my $statement ("SELECT * FROM", "DELETE FROM", "TRUNCATE")
	{
		like(as('alice', "$statement metricrec.$table"), qr/^42501 permission denied for table $table/, "even the model's owner may not: $statement $table");
	}
}
like(as('alice', q{SELECT nextval('metricrec.model_id_seq')}), qr/^42501 permission denied for sequence/, 'nor the sequence');
like(as('alice', q{CREATE TABLE metricrec.mine (a int)}), qr/^42501 permission denied for schema/, 'nor make anything in the schema');
like(as('alice', q{INSERT INTO metricrec.models (model_id) VALUES (1)}), qr/^(42501|55000)/, 'nor write through the views');
# a function with a side effect in the WHERE clause must not see the rows of others
is(as('bob', q{
	CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE EXCEPTION 'leak %', $1; END $$;
	SELECT count(*) FROM metricrec.models WHERE pg_temp.leak(model::text);
	SELECT count(*) FROM metricrec.model_versions WHERE pg_temp.leak(model::text);
	SELECT count(*) FROM metricrec.training_log WHERE pg_temp.leak(model::text)}), "0\n0\n0", 'the views do not leak rows into conditions');

# --- who has SELECT on the views only
$node->safe_psql('postgres', q{GRANT SELECT ON work.m_item_embedding, work.m_user_embedding TO reader});
is(as('reader', q{SELECT model, owner FROM metricrec.models}), 'm|alice', 'a reader sees the model');
is(as('reader', q{SELECT count(*) FROM work.m_item_embedding}), '40', 'and its points through the view');
like(as('reader', q{SELECT count(*) FROM work.m_item_embedding_v1}), qr/^42501/, 'but not the version table');
is(as('reader', q{SELECT count(*) FROM recommend(1, 3, exclude_seen => false)}), '3', 'recommend() works without a privilege on the interactions');
like(as('reader', q{SELECT count(*) FROM recommend(1, 3)}), qr/^42501.*likes/, 'but not to leave out what was seen');
is(as('reader', q{SELECT count(*) FROM similar_items(1, 3)}), '3', 'similar_items()');
like(as('reader', q{INSERT INTO work.m_item_embedding (item_id, embedding) VALUES (99, '[1,0,0,0,0,0,0,0]')}), qr/^42501 permission denied for view/, 'no INSERT through the view');
like(as('reader', q{SELECT metricrec.train('m')}), qr/^42501 must be owner/, 'no training');
# the training keeps the privileges of the view
as('alice', q{SELECT metricrec.train('m')});
is(as('reader', q{SELECT count(*) FROM work.m_item_embedding}), '40', 'the reader reads the next version');
$node->safe_psql('postgres', q{GRANT INSERT ON work.m_item_embedding TO reader});
is(as('reader', q{INSERT INTO work.m_item_embedding (item_id, embedding) VALUES (99, '[1,0,0,0,0,0,0,0]')}), '', 'with INSERT on the view, without one on the table');
is(as('alice', q{SELECT count(*) FROM work.m_item_embedding WHERE item_id = 99}), '1', 'the row is there');

# --- row-level security on the interactions: a training reads what its caller may
$node->safe_psql('postgres', q{
	ALTER TABLE work.likes ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON work.likes TO bob USING (tenant = 'b');
	GRANT SELECT ON work.likes TO bob;
	CREATE SCHEMA bobs AUTHORIZATION bob;
});
is(as('bob', q{SET search_path = bobs, public;
	SELECT model FROM metricrec.create_model('b', 'work.likes', dimensions => 8, epochs => 2, user_tower => 'pooled');
	SELECT users FROM metricrec.train('b');
	SELECT min(user_id) FROM b_user_embedding}), "b\n20\n21", 'a training under row-level security sees the rows of its caller');
is(as('bob', q{CALL metricrec.retrain('b'); SELECT users FROM metricrec.model_versions WHERE model = 'b' AND version = 2}), '20', 'so does a retraining');
is(as('alice', q{SELECT users FROM metricrec.train('m')}), '40', 'the table owner sees all');
$node->safe_psql('postgres', q{REVOKE SELECT ON work.likes FROM bob});
like(as('bob', q{SELECT metricrec.train('b')}), qr/^42501 permission denied for table likes/, 'without SELECT no training');
like(as('bob', q{CALL metricrec.retrain('b')}), qr/^42501 permission denied for table likes/, 'nor a retraining');
$node->safe_psql('postgres', q{GRANT SELECT (user_id, item_id, tenant) ON work.likes TO bob});
is(as('bob', q{SELECT users FROM metricrec.train('b')}), '20', 'privileges on the columns are enough');

# --- a model of a group: its members train, the tables belong to the group
$node->safe_psql('postgres', q{GRANT SELECT ON work.likes TO team, carol; ALTER TABLE work.likes DISABLE ROW LEVEL SECURITY});
is(as('carol', q{SET search_path = work, public; SET ROLE team;
	SELECT model FROM metricrec.create_model('t', 'likes', dimensions => 8, epochs => 1, user_tower => 'pooled');
	RESET ROLE;
	SELECT active FROM metricrec.train('t');
	SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname ~ '^t_.*embedding'}), "t\nt\nteam", 'what a member trains belongs to the group');
is(as($super, q{SELECT active FROM metricrec.train('t'); SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname ~ '^t_.*embedding' AND relkind = 'r'}),
	"t\nteam", 'what a superuser trains belongs to the owner');

# --- what the owner has added runs as the owner, also when a superuser trains
is(as('alice', q{
	SET search_path = work, public;
	CREATE TABLE seen_as (who text, session text);
	CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO work.seen_as VALUES (current_user, 'trigger'); RETURN NEW; END $$;
	CREATE FUNCTION spy_check(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF current_user <> 'alice' THEN RAISE 'check as %', current_user; END IF; RETURN true; END $$;
	SELECT format('CREATE TRIGGER spy BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION spy(); ALTER TABLE %1$s ADD CHECK (work.spy_check(item_id))',
		item_table) FROM metricrec.model_versions WHERE model = 'm' AND state = 'active' \gexec
	INSERT INTO m_item_embedding (item_id, embedding) VALUES (98, '[1,0,0,0,0,0,0,0]')}) =~ /^\d/ ? 'error' : 'made', 'made', 'the owner adds a trigger and a check');
is(as($super, q{SELECT active FROM metricrec.train('m')}), 't', 'a superuser trains');
is(as('alice', q{SELECT DISTINCT who FROM work.seen_as}), 'alice', 'the trigger ran as the owner');
# and leaves nothing that would run later as the superuser
as('alice', q{
	SET search_path = work, public;
	CREATE TABLE trap (a int);
	CREATE FUNCTION sprung() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO work.seen_as VALUES (current_user, 'deferred'); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER later AFTER INSERT ON trap DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sprung();
	CREATE OR REPLACE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO work.trap VALUES (1); RETURN NEW; END $$});
like(as($super, q{SELECT active FROM metricrec.train('m')}), qr/^42501 cannot fire deferred trigger/, 'no trap for a superuser who trains');
is(as('alice', q{SELECT count(*) FROM work.seen_as WHERE session = 'deferred' AND who <> 'alice'}), '0', 'nothing ran as the superuser');
is(as('alice', q{SELECT active FROM metricrec.train('m')}), 't', 'the owner may defer what she likes');

# --- a hostile search_path of the caller does not matter
is(as('alice', q{
	CREATE FUNCTION work.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
	CREATE FUNCTION work.eq(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
	CREATE OPERATOR work.= (LEFTARG = int, RIGHTARG = int, FUNCTION = work.eq);
	CREATE DOMAIN work.int8 AS text;
	SET search_path = work, pg_catalog, public;
	SELECT active FROM metricrec.train('m');
	SELECT count(*) > 0 FROM metricrec.models;
	SELECT model FROM metricrec.create_model('h', 'work.likes', dimensions => 4, epochs => 1, user_tower => 'pooled');
	SELECT active FROM metricrec.train('h')}), "t\nt\nh\nt", 'objects in the search_path do not shadow ours');

$node->stop;
done_testing();
