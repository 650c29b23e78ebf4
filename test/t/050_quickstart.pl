# The main job on the example data that the project ships: what the quickstart
# prints must be right, not only printed.  The answers are asserted as
# properties: better than popularity by far, seen tags left out, neighbours that
# share tags.
#
# One version is enough.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $test = abs_path(dirname(__FILE__) . '/..');
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

my ($stdout, $stderr);
my $status = $node->psql('postgres', undef,
	extra_params => [ '-v', "folder=$test/data/debian", '-f', "$test/quickstart.sql" ],
	stdout => \$stdout, stderr => \$stderr, timeout => 600);
is($status, 0, 'the script runs to its end') or diag($stderr);
unlike($stderr, qr/WARNING|ERROR/, 'without a warning');

foreach my $metric ('hit_rate', 'ndcg', 'recall')
{
	my ($plain, $features, $tower, $popular) =
	  $stdout =~ /\Q$metric\E at 10\s*\|\s*([\d.]+)\s*\|\s*([\d.]+)\s*\|\s*([\d.]+)\s*\|\s*([\d.]+)/;
	ok(defined $popular && $plain > 1.2 * $popular, "$metric of the default recipe is at least 1.2 times that of popularity")
	  or diag($stdout);
	ok(defined $popular && $tower > 1.2 * $popular, "$metric of the dual tower is so, too");
	ok(defined $popular && $features > $plain, "$metric is better with features");
}

is($node->safe_psql('postgres', q{
	SELECT count(*) FROM recommend('git', 20, 'debtags') r
	  JOIN debian.package_tags t ON t.package = 'git' AND t.tag = r.item_id}),
	'0', 'a tag that the package has is not proposed');
is($node->safe_psql('postgres', q{
	SELECT NOT EXISTS (SELECT FROM debian.package_tags WHERE package = 'ripgrep')
	   AND 'role::program' IN (SELECT item_id FROM recommend('ripgrep', 5, 'trial_tower'))}),
	't', 'a package without any tag gets tags from its features');
is($node->safe_psql('postgres', q{
	SELECT recipe ->> 'loss' || (recipe ->> 'margin') || (recipe ->> 'user_combination') || (recipe ->> 'item_combination')
	  FROM metricrec.model_versions WHERE model = 'trial_tower'}),
	'triplet1.2bothboth', 'the dual tower is that of the paper');
is($node->safe_psql('postgres', q{
	SELECT count(*) >= 8 FROM similar_users('gimp', 10, 'debtags') s
	 WHERE EXISTS (SELECT FROM debian.package_tags a JOIN debian.package_tags b USING (tag)
					WHERE a.package = 'gimp' AND b.package = s.user_id AND tag LIKE 'works-with%')}),
	't', 'packages that resemble gimp work with what it works with');
is($node->safe_psql('postgres', q{
	SELECT count(*) >= 4 FROM debian.maintains m, recommend(m.maintainer_id::text, 8, 'maintainers') r
	 WHERE m.package = 'r-cran-zoo' AND r.item_id LIKE 'r-%'}),
	't', 'the maintainer of an R package is shown R packages');

$node->stop;
done_testing();
