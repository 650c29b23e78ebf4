# Runs every example of doc/queries.md, in order, as one script.  SQL regression
# tests hold their own copies of statements; only reading the page itself shows
# that what users copy from it works.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page = "$FindBin::Bin/../../doc/queries.md";
my $node = PostgreSQL::Test::Cluster->new('doc');
$node->init;
$node->start;

# What the examples take for granted.
$node->safe_psql('postgres', q{
	CREATE EXTENSION metricrec;
	CREATE ROLE web;
	CREATE TABLE films (item_id bigint PRIMARY KEY, title text, released int);
	INSERT INTO films SELECT i, 'film ' || i, 1990 + i FROM generate_series(1, 30) i;
	CREATE TABLE ratings (user_id bigint, item_id bigint, rating float8);
	INSERT INTO ratings
	SELECT u, i, 3 + (u + i) % 3 FROM generate_series(1, 60) u, generate_series(1, 30) i
	WHERE (u * u * 3 + i * i * 7 + u * i * 5) % 11 < 5;
	CREATE INDEX ON ratings (user_id);
	CREATE TABLE orders (user_id text, item_id uuid);
	INSERT INTO orders
	SELECT CASE u WHEN 1 THEN 'anna' ELSE 'user ' || u END, lpad(i::text, 32, '0')::uuid
	FROM generate_series(1, 20) u, generate_series(1, 20) i WHERE (u * 3 + i * 5 + u * i) % 7 < 3;
	CREATE INDEX ON orders (user_id);
	SELECT metricrec.create_model('shop', 'orders', dimensions => 6, epochs => 5, user_tower => 'pooled');
	SELECT metricrec.train('shop');
	ALTER DATABASE postgres SET metricrec.default_model = 'movies';
});

# Indented lines are examples; the one formula is not SQL.
my @sql = grep { /^    / && !/^    \(1 - diversity\)/ } split(/^/, slurp_file($page));
cmp_ok(scalar(@sql), '>', 30, 'the page has examples');

my ($out, $err);
my $code = $node->psql('postgres', join('', @sql), stdout => \$out, stderr => \$err, on_error_stop => 1);
is($code, 0, 'every example runs');
unlike($err, qr/ERROR/, 'without an error');
note($err);

# What the page says in words.
is($node->safe_psql('postgres',
		q{SELECT count(*) FROM recommend(42, 5, candidates => 'in_cinemas') WHERE item_id <= 10}),
	'0', 'candidates restrict the answer');
is($node->safe_psql('postgres',
		q{SELECT (SELECT array_agg(i) FROM (SELECT i.item_id AS i FROM movies_item_embedding i WHERE i.item_id <> 7
		    ORDER BY i.embedding <-> (SELECT embedding FROM movies_item_embedding WHERE item_id = 7) LIMIT 5) s)
		  = (SELECT array_agg(item_id) FROM similar_items(7, 5))}),
	't', 'similar_items gives the rows of the plain form');
is($node->safe_psql('postgres', q{SET ROLE web; SELECT count(*) FROM recommend(42, 5)}),
	'5', 'the grants of the page are enough');

$node->stop;
done_testing();
