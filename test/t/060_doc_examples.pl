# Runs every example of the documentation, page by page, as a reader would type it.
# Regression tests hold copies of statements; only reading the pages themselves
# shows that what is printed there works and prints what it says.
#
# Of each page the blocks that begin with ```sql are run in order, in one session
# on a new database with the extension and, unless the page makes a table
# "ratings" itself, the tables of test/data/ratings.sql.
#
#	```sql					must succeed
#	```sql error 22023		must fail with this SQLSTATE
#	```sql pg_cron			runs where pg_cron is installed
#	```text					what the block before prints, or the error's message
#	```text sample			the same, but figures may differ: only the heading counts
#
# Also: the reference names every function, argument, view, column and setting.
use strict;
use warnings;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $tree = "$FindBin::Bin/../..";

# Has indented examples and a test of its own.
my %elsewhere = ('queries.md' => '040_doc_queries.pl');

# Pages without SQL.
my %no_sql = map { $_ => 1 } qw(testing.md training.md architecture.md decisions.md);

# blocks(TEXT): [info, content, line] of each fenced block.
sub blocks
{
	my @blocks;
	my $open;
	my $number = 0;
	foreach my $line (split(/\n/, shift))
	{
		$number++;
		if ($line =~ /^```(.*)$/)
		{
			if ($open) { push @blocks, $open; undef $open; }
			else { $open = { info => $1, text => '', line => $number }; }
		}
		elsif ($open) { $open->{text} .= "$line\n"; }
	}
	push @blocks, { info => 'not closed', text => '', line => $open->{line} } if $open;
	return @blocks;
}

# Tables are compared without the width of their columns.
sub squeeze
{
	my @lines = grep { /\S/ && !/^[-+ ]+$/ } split(/\n/, shift);
	s/\s+/ /g, s/^ | $//g foreach @lines;
	return @lines;
}

# parts(TEXT): what stands between the marks "@@ n", by n.
sub parts
{
	my @parts = split(/^@@ (\d+)\n/m, shift);
	shift @parts;
	return @parts;
}

my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $sharedir = `$pg_config --sharedir`);
my $has_cron = -e "$sharedir/extension/pg_cron.control";

my $node = PostgreSQL::Test::Cluster->new('doc');
$node->init;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pg_cron'\ncron.database_name = 'page_operations'\ncron.host = '" . $node->host . "'")
  if $has_cron;
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE web; CREATE ROLE analyst; CREATE ROLE trainer');

sub run_page
{
	my ($page, $text) = @_;
	my @blocks = blocks($text);
	my @sql = grep { $blocks[$_]{info} =~ /^sql/ } 0 .. $#blocks;
	my $name = $page =~ s/\.md$//r =~ s/\W/_/gr;
	my $database = lc "page_$name";
	my $script = "\\set ON_ERROR_STOP on\n";

	is_deeply([ map { "line $_->{line}: $_->{info}" }
			grep { $_->{info} !~ /^(sql( error \w{5}| pg_cron)?|text( sample)?|sh|c|diff|)$/ } @blocks ],
		[], "$page: every block is of a known kind");
	if (!@sql)
	{
		ok($no_sql{$page}, "$page: has no example");
		return;
	}
	foreach my $i (@sql)
	{
		my $stop = $blocks[$i]{info} =~ /error/ ? 'off' : 'on';
		next if $blocks[$i]{info} =~ /pg_cron/ && !$has_cron;
		$script .= "\\set ON_ERROR_STOP $stop\n\\echo \@\@ $i\n\\warn \@\@ $i\n$blocks[$i]{text}";
		$script .= "\\echo sqlstate :LAST_ERROR_SQLSTATE\n" if $stop eq 'off';
	}

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION metricrec') unless $text =~ /^CREATE EXTENSION metricrec/m;
	$node->safe_psql($database, slurp_file("$tree/test/data/ratings.sql"))
	  unless $text =~ /^CREATE TABLE ratings/m;

	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($database) ], '<', \$script, '>', \$out, '2>', \$err);
	my $code = $? >> 8;
	my %out = parts($out);
	my %err = parts($err);
	s/^psql:<stdin>:\d+: //mg foreach values %err;

	is($code, 0, "$page: all examples run") or diag($err);
	foreach my $i (@sql)
	{
		my $block = $blocks[$i];
		my $where = "$page line $block->{line}";
		next if $block->{info} =~ /pg_cron/ && !$has_cron;
		if ($block->{info} =~ /error (\w{5})/)
		{
			my $state = $1;
			like($err{$i} // '', qr/^ERROR:/m, "$where: fails");
			like($out{$i} // '', qr/^sqlstate \Q$state\E$/m, "$where: with SQLSTATE $state");
			$out{$i} = $err{$i};
		}
		elsif (($err{$i} // '') =~ /^ERROR:/m)
		{
			fail("$where: $err{$i}");
		}
		my $next = $blocks[ $i + 1 ] or next;
		if ($next->{info} eq 'text')
		{
			is_deeply([ squeeze($out{$i} // '') ], [ squeeze($next->{text}) ], "$where: prints what the page says");
		}
		elsif ($next->{info} eq 'text sample')
		{
			my $heading = (squeeze($next->{text}))[0];
			ok((grep { $_ eq $heading } squeeze($out{$i} // '')), "$where: prints the columns of the page")
			  or diag($out{$i});
		}
	}
	is_deeply([ map { $blocks[$_]{line} } grep { $_ == 0 || $blocks[ $_ - 1 ]{info} !~ /^(sql|sh)/ }
			grep { $blocks[$_]{info} =~ /^text/ } 0 .. $#blocks ],
		[], "$page: every result follows an example");
}

foreach my $file ("$tree/README.md", sort glob("$tree/doc/*.md"))
{
	my $page = $file =~ s{.*/}{}r;
	my $text = slurp_file($file);
	next if $elsewhere{$page};
	my $outside = $text =~ s/^```.*?^```$//msgr;
	is_deeply([ $outside =~ /^(?:\t|    )((?:SELECT|CALL|CREATE|INSERT|ALTER|GRANT|DROP) .*;)$/mg ],
		[], "$page: no example outside of a block");
	run_page($page, $text);
}

# ---- links ----

foreach my $file ("$tree/README.md", "$tree/CHANGELOG.md", "$tree/src/README.md", glob("$tree/doc/*.md"))
{
	my $page = $file =~ s{^\Q$tree\E/}{}r;
	my $folder = $file =~ s{/[^/]*$}{}r;
	my @broken = grep { !-e "$folder/$_" } slurp_file($file) =~ /\]\((?!https?:)([^)#\s]+)/g;
	is_deeply(\@broken, [], "$page: links lead somewhere");
}

# ---- completeness ----

my $reference = slurp_file("$tree/doc/sql-reference.md") . slurp_file("$tree/doc/type.md");
$node->safe_psql('postgres', 'CREATE EXTENSION metricrec');

sub check_named
{
	my ($what, $query) = @_;
	my @names = split(/\n/, $node->safe_psql('postgres', $query));
	cmp_ok(scalar(@names), '>', 0, "there are $what");
	is_deeply([ grep { $reference !~ /(?<![\w.])\Q$_\E(?!\w)/ } @names ], [], "the reference names all $what");
}

my $members = q{pg_depend d WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'metricrec')};
# Functions that are only there for the type, an operator, a cast or an aggregate are not called by name.
check_named('functions', qq{
	SELECT DISTINCT CASE WHEN pronamespace = 'metricrec'::regnamespace THEN 'metricrec.' ELSE '' END || proname FROM pg_proc
	WHERE proname NOT LIKE 'embedding%' AND oid IN (SELECT d.objid FROM $members AND d.classid = 'pg_proc'::regclass)});
check_named('arguments and result columns', qq{
	SELECT DISTINCT unnest(proargnames) FROM pg_proc
	WHERE oid IN (SELECT d.objid FROM $members AND d.classid = 'pg_proc'::regclass)});
check_named('views', qq{
	SELECT oid::regclass FROM pg_class
	WHERE relkind = 'v' AND oid IN (SELECT d.objid FROM $members AND d.classid = 'pg_class'::regclass)});
check_named('columns of views', qq{
	SELECT DISTINCT attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	WHERE c.relkind = 'v' AND attnum > 0 AND c.oid IN (SELECT d.objid FROM $members AND d.classid = 'pg_class'::regclass)});
check_named('settings', q{LOAD 'metricrec'; SELECT name FROM pg_settings WHERE name LIKE 'metricrec.%'});

# What \df+ and \d+ show.
is($node->safe_psql('postgres', qq{
	SELECT string_agg(pg_describe_object(d.classid, d.objid, 0), ', ') FROM $members
	AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_operator'::regclass)
	AND obj_description(d.objid, d.classid::regclass::text) IS NULL}),
	'', 'every function, operator, table and view has a comment');

$node->stop;
done_testing();
