#!/usr/bin/perl
#
# regenerate.pl: makes the example data from this machine's Debian package lists.
#
#     apt-get update && perl test/data/regenerate.pl [FOLDER] [LISTS]
#
# writes FOLDER/*.tsv.gz (default: the folder debian beside this script).  LISTS is
# a file with the output of `apt-cache dumpavail`; without it the command is run.
# The same lists give the same bytes.  Needs perl, gzip and apt, which every
# Debian machine has.
#
# No person is named: a maintainer is a number, given in the order of the first
# (by name) of the maintainer's packages, and the names are then forgotten.

use strict;
use warnings;
use File::Basename qw(dirname);

# A feature word must occur in this many packages at least, and in this share of
# them at most: rarer words say nothing about another package, commoner ones
# nothing at all.
my $WORD_MIN_PACKAGES = 20;
my $WORD_MAX_SHARE = 0.05;
my $WORDS_PER_PACKAGE = 5;

# Nor does a dependency that this share of the packages have (libc6, perl).
my $DEPENDS_MAX_SHARE = 0.05;

# Packages of these sections only repeat another package (its manual, its debug
# symbols, its translations) or nothing but pull in others.
my %LEFT_OUT =
  map { $_ => 1 } qw(debug doc localization metapackages oldlibs tasks);

my %STOP = map { $_ => 1 } qw(
  a about all an and any are as at based be been between both but by can common
  dummy each etc file files for from full has have if in into is it its like made
  main more most new no non not of on one only or other over own package packages
  per provides provide same several simple small some such support supports than
  that the their them these this through to transitional two under up use used
  user using various very via when where which with within without written you
  your);

my $folder = $ARGV[0] // dirname($0) . '/debian';

my $packages = read_packages($ARGV[1]);
my @names = sort keys %$packages;
die "regenerate.pl: no packages: run apt-get update first\n" unless @names;

my %id;
@id{@names} = (1 .. @names);
my %word_count = count_words($packages);
my %depends_count = count_depends($packages);

mkdir $folder unless -d $folder;
write_table(
	'packages',
	[qw(package_id name section words)],
	map {
		[   $id{$_}, $_,
			$packages->{$_}{section},
			'{' . join(',', feature_words($packages->{$_})) . '}'
		]
	} @names);
write_table(
	'package_tags',
	[qw(package_id tag)],
	map {
		my $name = $_;
		map { [ $id{$name}, $_ ] } sort keys %{ $packages->{$name}{tags} }
	} @names);
write_table(
	'package_depends',
	[qw(package_id depends_on)],
	map {
		my $name = $_;
		map { [ $id{$name}, $_ ] } sort { $a <=> $b } depends_ids($name)
	} @names);
write_table('maintains', [qw(maintainer_id package_id)],
	sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } maintainer_rows());

# Reads the package lists: a reference to a hash, package name to what is kept
# of it.  Only packages of Debian's own main archive count, whatever other
# archives the machine knows.
sub read_packages
{
	my ($file) = @_;
	my %result;
	my $lists;

	local $ENV{LC_ALL} = 'C';
	if (defined $file)
	{
		open $lists, '<', $file or die "regenerate.pl: could not read $file: $!\n";
	}
	else
	{
		open $lists, '-|', 'apt-cache', 'dumpavail'
		  or die "regenerate.pl: could not run apt-cache: $!\n";
	}
	local $/ = '';
	while (my $paragraph = <$lists>)
	{
		my %field;

		$paragraph =~ s/\n[ \t]+/ /g;
		$field{$1} = $2 while $paragraph =~ /^([A-Za-z0-9-]+): *(.*)$/mg;
		next unless ($field{Filename} // '') =~ m{^pool/main/};
		next if $LEFT_OUT{ $field{Section} // '' };
		next unless $field{Package} =~ /^[a-z0-9][a-z0-9+.-]+$/;

		my $depends = join(',', grep { defined } @field{qw(Pre-Depends Depends)});
		# The first of alternatives stands for them; versions are left out.
		my %on = map { /^\s*([a-z0-9][a-z0-9+.-]+)/ ? ($1 => 1) : () }
		  split(/,/, $depends);
		# Debtags marks what nobody has looked at yet by tags of its own.
		my %tags =
		  map { $_ => 1 }
		  grep { /^[a-z0-9:+.-]+$/i && !/::TODO$/ && !/^special::/ }
		  split(/[,\s]+/, $field{Tag} // '');

		$result{ $field{Package} } = {
			section => $field{Section} // 'unknown',
			maintainer => $field{Maintainer} // '',
			words => description_words($field{Description} // ''),
			tags => \%tags,
			depends => \%on,
		};
	}
	close $lists or die "regenerate.pl: the package lists ended in an error\n";
	return \%result;
}

# The distinct words of a one-line description, in order.
sub description_words
{
	my ($description) = @_;
	my (%seen, @words);

	for my $word (split /[^a-z0-9+#]+/, lc $description)
	{
		next if length($word) < 2 || length($word) > 20 || $word !~ /[a-z]/;
		push @words, $word unless $STOP{$word} || $seen{$word}++;
	}
	return \@words;
}

# In how many packages each word occurs.
sub count_words
{
	my ($packages) = @_;
	my %count;

	$count{$_}++ for map { @{ $_->{words} } } values %$packages;
	return %count;
}

# How many packages depend on each.
sub count_depends
{
	my ($packages) = @_;
	my %count;

	$count{$_}++ for map { keys %{ $_->{depends} } } values %$packages;
	return %count;
}

# The packages that a package depends on, as far as they are among ours.
sub depends_ids
{
	my ($name) = @_;
	my $most = $DEPENDS_MAX_SHARE * @names;

	return map { $id{$_} }
	  grep { $id{$_} && $_ ne $name && $depends_count{$_} <= $most }
	  keys %{ $packages->{$name}{depends} };
}

# The words of a package that are kept: the rarest first, then by the alphabet.
sub feature_words
{
	my ($package) = @_;
	my $most = $WORD_MAX_SHARE * @names;
	my @words =
	  sort { $word_count{$a} <=> $word_count{$b} || $a cmp $b }
	  grep { $word_count{$_} >= $WORD_MIN_PACKAGES && $word_count{$_} <= $most }
	  @{ $package->{words} };

	splice @words, $WORDS_PER_PACKAGE if @words > $WORDS_PER_PACKAGE;
	return sort @words;
}

# Rows (number of the maintainer, package).
sub maintainer_rows
{
	my (%number, @rows);

	for my $name (@names)
	{
		my $maintainer = $packages->{$name}{maintainer};

		$number{$maintainer} //= 1 + keys %number;
		push @rows, [ $number{$maintainer}, $id{$name} ];
	}
	return @rows;
}

# Writes one table; -n keeps the time out of the compressed file.
sub write_table
{
	my ($table, $columns, @rows) = @_;

	open my $out, '|-', "gzip -9 -n >'$folder/$table.tsv.gz'"
	  or die "regenerate.pl: could not run gzip: $!\n";
	print $out join("\t", @$_), "\n" for $columns, @rows;
	close $out or die "regenerate.pl: could not write $folder/$table.tsv.gz\n";
	printf "%-16s %7d rows, %7d bytes\n", $table, scalar(@rows),
	  -s "$folder/$table.tsv.gz";
}
