# One version is enough.
# Damaged pages of an lsh index: whatever is in them, a statement ends with an
# answer or an error, soon, and the server lives.  Many small indexes, one page
# or two of each damaged while the server is stopped; then scans, inserts,
# vacuum and lsh_check on each.  Checksums are off, as they would find it first.
#
# METRICREC_LONG=1: 50 rounds instead of one; METRICREC_SEED: other damage.
use strict;
use warnings;

use File::Path qw(rmtree);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { PAGE => 8192, OPAQUE => 8152, HEADER => 24 };

my $rounds = $ENV{METRICREC_LONG} ? 50 : 1;
my $indexes = 72;
my $seed = $ENV{METRICREC_SEED} // 1;
srand($seed);

my $help = `initdb --help`;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ $help =~ /--no-data-checksums/ ? '--no-data-checksums' : () ]);
$node->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
restart_after_crash = on
statement_timeout = '10s'
enable_seqscan = off
jit = off
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION metricrec');
$node->safe_psql('postgres', slurp_file('test/lib/lsh.sql'));
is($node->safe_psql('postgres', 'SHOW data_checksums'), 'off', 'no checksums');

# Table i: short or long vectors, of both families, built, then grown; with
# NULLs, dead rows and deleted pages.
$node->safe_psql('postgres', qq{
	CREATE TABLE source AS SELECT i AS id, vector_of('clustered', 24, i) AS short, vector_of('clustered', 300, i) AS long FROM generate_series(1, 700) AS i;
	CREATE TABLE model_0 (id int, e embedding);
	INSERT INTO model_0 SELECT id, short FROM source;
	INSERT INTO model_0 SELECT -id, NULL FROM source, generate_series(1, 3);
	CREATE TABLE model_1 (id int, e embedding);
	INSERT INTO model_1 SELECT id, long FROM source WHERE id <= 250;
	INSERT INTO model_1 SELECT -id, NULL FROM source WHERE id < 9;
	DO \$\$ BEGIN
		FOR i IN 1 .. $indexes LOOP
			EXECUTE format('CREATE TABLE t%s AS SELECT * FROM model_%s', i, i % 2);
			EXECUTE format('CREATE INDEX i%s ON t%s USING lsh (e) WITH (hash = %L)', i, i, CASE WHEN i % 4 < 2 THEN 'voronoi' ELSE 'projection' END);
			EXECUTE format('INSERT INTO t%s SELECT id, CASE WHEN %s %% 2 = 0 THEN short ELSE long END FROM source WHERE id > 400', i, i);
			EXECUTE format('DELETE FROM t%s WHERE id %% 3 = 0 OR id BETWEEN -500 AND 50', i);
		END LOOP;
	END \$\$;
});
$node->safe_psql('postgres', 'VACUUM (PARALLEL 0)');
$node->safe_psql('postgres', q{
	DO $$ BEGIN
		FOR i IN 1 .. 72 LOOP
			EXECUTE format('DELETE FROM t%s WHERE id %% 7 = 0', i);
			EXECUTE format('INSERT INTO t%s SELECT id, CASE WHEN %s %% 2 = 0 THEN short ELSE long END FROM source WHERE id < 30', i, i);
		END LOOP;
	END $$;
});
my %path = map { split /\|/ } split /\n/,
  $node->safe_psql('postgres', q{SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname ~ '^i\d+$'});
is($node->psql('postgres', q{SELECT count(lsh_check(oid, true)) FROM pg_class WHERE relname ~ '^i\d+$'}), 0, 'right so far');
$node->stop;
my $folder = $node->data_dir;
PostgreSQL::Test::RecursiveCopy::copypath($folder, "$folder.whole") if $rounds > 1;
my %whole = map { $_ => slurp_file("$folder/$path{$_}") } keys %path;

sub any { return int(rand(shift)); }
sub one_of { return $_[ any(scalar @_) ]; }

# Fields of the opaque part at the end of a page: offset, size as pack() has it.
my %field = (
	right => [ 8, 'L' ], right_birth => [ 12, 'L' ], birth => [ 16, 'L' ], splits => [ 20, 'L' ], error_ratio => [ 24, 'f' ],
	n => [ 28, 'S' ], dim => [ 30, 'S' ], kind => [ 32, 'S' ], page_id => [ 34, 'S' ]);

sub value
{
	my ($type, $pages) = @_;
	return pack('f', one_of(0, -1, 'inf', 'nan', 1e38, 1e-45, 3)) if $type eq 'f';
	return pack($type, one_of(0, 1, 2, 4, 8, 16, 32, 64, 127, 255, 256, 1000, 65535)) if $type eq 'S';
	return pack($type, one_of(any($pages), any($pages), any($pages), 0, 1, 2, 5, 100_000, 4294967294, 4294967295));
}

# damage FILE: changes the text of a file in one way, and says which.
my @ways = qw(bytes page bits opaque opaque opaque zero zero_content swap copy meta meta links links links cycle truncate append tids pointers);
sub damage
{
	my $pages = length($_[0]) / PAGE;
	return "nothing" if $pages < 2;
	my $block = any($pages);
	my $way = one_of(@ways);
	$block = 0 if $way eq 'meta';
	my $start = $block * PAGE;

	if ($way eq 'bytes')
	{
		# within the content, a stretch of it
		my $at = HEADER + any(OPAQUE - HEADER);
		my $n = 1 + any(PAGE - $at);
		substr($_[0], $start + $at, $n) = join '', map { chr any(256) } 1 .. $n;
	}
	elsif ($way eq 'page') { substr($_[0], $start, PAGE) = join '', map { chr any(256) } 1 .. PAGE; }
	elsif ($way eq 'bits')
	{
		for (1 .. 1 + any(20))
		{
			my $at = $start + (any(3) ? HEADER + any(400) : any(PAGE));
			substr($_[0], $at, 1) = chr(ord(substr($_[0], $at, 1)) ^ (1 << any(8)));
		}
	}
	elsif ($way eq 'opaque')
	{
		my $name = one_of(sort keys %field);
		my ($at, $type) = @{ $field{$name} };
		my $new = value($type, $pages);
		substr($_[0], $start + OPAQUE + $at, length $new) = $new;
		$way .= " $name " . unpack($type, $new);
	}
	elsif ($way eq 'zero') { substr($_[0], $start, PAGE) = "\0" x PAGE; }
	elsif ($way eq 'zero_content') { substr($_[0], $start + HEADER, OPAQUE - HEADER) = "\0" x (OPAQUE - HEADER); }
	elsif ($way eq 'swap')
	{
		my $other = any($pages) * PAGE;
		my $page = substr($_[0], $start, PAGE);
		substr($_[0], $start, PAGE) = substr($_[0], $other, PAGE);
		substr($_[0], $other, PAGE) = $page;
	}
	elsif ($way eq 'copy') { substr($_[0], $start, PAGE) = substr($_[0], any($pages) * PAGE, PAGE); }
	elsif ($way eq 'meta')
	{
		my $at = HEADER + 4 * any(16);
		my $new = value(one_of('L', 'S', 'f'), $pages);
		substr($_[0], $at, length $new) = $new;
		$way .= " at $at";
	}
	elsif ($way eq 'links')
	{
		# a number of four bytes in a page of entries, where links and scales are
		$block = 1 + any($pages > 8 ? 8 : $pages - 1) if any(2);
		$start = $block * PAGE;
		my $at = HEADER + 4 * any(600);
		substr($_[0], $start + $at, 4) = value(one_of('L', 'L', 'f'), $pages);
		$way .= " at $at";
	}
	elsif ($way eq 'cycle')
	{
		# to itself or to another page of its kind, and with more splits than any link says
		my $right = any(2) ? $block : any($pages);
		my $birth = substr($_[0], $right * PAGE + OPAQUE + 16, 4);
		substr($_[0], $start + OPAQUE + 8, 8) = pack('L', $right) . $birth;
		substr($_[0], $start + OPAQUE + 20, 4) = pack('L', one_of(1, 100, 4294967295));
		$way .= " to $right";
	}
	elsif ($way eq 'truncate') { substr($_[0], $start) = ''; }
	elsif ($way eq 'append')
	{
		$_[0] .= one_of(substr($_[0], $start, PAGE), "\0" x PAGE, "\377" x PAGE) for 1 .. 3;
	}
	elsif ($way eq 'tids')
	{
		my $at = $start + HEADER + any(3000);
		my $n = 6 * (1 + any(40));
		substr($_[0], $at, $n) = "\377" x $n;
	}
	elsif ($way eq 'pointers')
	{
		# pd_lower, pd_upper, pd_special: still in order, so that the server reads the page
		my @p = sort { $a <=> $b } any(PAGE + 1), any(PAGE + 1), 8 * any(1025);
		$p[2] = one_of(8 * int($p[2] / 8), 8152, 8192);
		@p[ 0, 1 ] = map { $_ > $p[2] ? $p[2] : $_ } @p[ 0, 1 ];
		substr($_[0], $start + 12, 6) = pack('S3', @p);
		$way .= " @p";
	}
	return "$way in block $block of $pages";
}

# What is done on each index.  Errors are welcome.
my @battery = (
	q{SELECT count(*) FROM (SELECT id FROM tN ORDER BY e <-> (SELECT e FROM tN WHERE id = 100 LIMIT 1) LIMIT 10) AS x},
	q{SELECT count(*) FROM (SELECT id FROM tN ORDER BY e <-> (SELECT e FROM tN WHERE id = 400 LIMIT 1)) AS x},
	q{SET lsh.exact = on; SELECT count(*) FROM (SELECT id FROM tN ORDER BY e <-> (SELECT e FROM tN WHERE id = 200 LIMIT 1)) AS x},
	q{SELECT lsh_check('iN', false)},
	q{SELECT lsh_check('iN', true)},
	q{SELECT lsh_stats('iN')},
	q{SELECT lsh_recall('iN', 5, 3)},
	q{INSERT INTO tN SELECT id, CASE WHEN N % 2 = 0 THEN short ELSE long END FROM source WHERE id < 50},
	q{INSERT INTO tN SELECT id, CASE WHEN N % 2 = 0 THEN short ELSE long END FROM source WHERE id = 600 AND N > 0},
	q{INSERT INTO tN SELECT id, NULL FROM source WHERE id < 9},
	q{DELETE FROM tN WHERE id % 5 = 1},
	q{VACUUM tN},
	q{DELETE FROM tN},
	q{VACUUM tN},
	q{INSERT INTO tN SELECT id, CASE WHEN N % 2 = 0 THEN short ELSE long END FROM source WHERE id BETWEEN 50 AND 300},
	q{RESET lsh.exact; SELECT count(*) FROM (SELECT id FROM tN ORDER BY e <-> (SELECT e FROM tN WHERE id = 100 LIMIT 1)) AS x},
	q{EXPLAIN SELECT id FROM tN ORDER BY e <-> (SELECT e FROM tN WHERE id = 100 LIMIT 1) LIMIT 10});

my %seen;
my $bad = 0;
for my $round (1 .. $rounds)
{
	my %what;
	foreach my $index (sort keys %path)
	{
		my $text = $whole{$index};
		$what{$index} = join '; ', map { damage($text) } 1 .. 1 + !any(4);
		open my $file, '>:raw', "$folder/$path{$index}" or die $!;
		print $file $text;
		close $file;
	}
	$node->start;
	foreach my $index (sort keys %path)
	{
		(my $n = $index) =~ s/i//;
		my $statements = join ";\n", '\set VERBOSITY verbose', @battery;
		$statements =~ s/\\set VERBOSITY verbose;/\\set VERBOSITY verbose/;
		$statements =~ s/\b([ti])N\b/$1$n/g;
		$statements =~ s/\bN\b/$n/g;
		my ($out, $err) = ('', '');
		my $ok = eval {
			IPC::Run::run([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') ],
				'<', \$statements, '>', \$out, '2>', \$err, IPC::Run::timeout(120));
			1;
		};
		$seen{$1}++ while $err =~ /ERROR:  (\w{5}):/g;
		my ($fault) = $err =~ /(.*(?:server closed|terminating connection|connection to server|statement timeout|invalid memory|stuck|PANIC|FATAL).*)/;
		$fault //= $@ unless $ok;
		if ($fault)
		{
			fail("seed $seed, round $round, $index: $what{$index}: $fault");
			$bad++;
			# psql may end before it reads the query: EPIPE
			foreach (1 .. 10) { last if eval { $node->poll_query_until('postgres', 'SELECT 1', '1') }; }
		}
	}
	last if $bad > 10 || $round == $rounds;
	$node->stop('immediate');
	rmtree($folder);
	PostgreSQL::Test::RecursiveCopy::copypath("$folder.whole", $folder);
	chmod 0700, $folder;
}
is($bad, 0, "$rounds times $indexes damaged indexes");
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal/, 'the server lives');
cmp_ok($seen{XX002} // 0, '>', $rounds * 50, 'damage is found');
$node->stop;
note(join ', ', map { "$_: $seen{$_}" } sort keys %seen);
done_testing();
