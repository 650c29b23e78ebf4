#!/usr/bin/env bash
# Last.fm: precision and recall of recommended tags at 5 and 10, per post.
#
#   test/bench/lastfm.sh FOLDER [--seeds N] [--only NAME,NAME]
#
#   FOLDER    holds taggings.tsv: user_id, artist_id, tag, tagged_on, tab-separated,
#             with a header line
#   --seeds   trainings per recipe, with seeds 1 to N; figures are means
#   --only    of default, wide, tags
#
# Users, artists and tags with at least five taggings each, iterated until all have
# (the 5-core of the triples).  One post of each user with two or more, drawn by a
# hash, is held out with all its tags; posts of an artist that is left without any
# tagging by that go.  For each held-out post all tags are ranked from its user and
# its artist.
#
# Prints one table: training seconds, precision and recall at 5 and 10, for each
# recipe and for the tags most often given to the artist, beside figures of PITF,
# marked as quoted: they were measured with code of our own on other draws of the
# same 5-core, PITF with a softmax over tags being a model of two tag tables.
#
# Each recipe sees the test posts once, at the end of its training; its settings were
# chosen on posts of the training part.
#
# Server: PGHOST or PGPORT in the environment name one, else a throw-away server
# is built and started as test/quickstart.sh does.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

read_options "$@"
need_file "$FOLDER/taggings.tsv"
open_bench lastfm
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.triples (user_id int, item_id int, tag text, tagged_on date)'
bench_psql -c "COPY bench.triples FROM STDIN (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)" <"$FOLDER/taggings.tsv"
run_recipes "$CHECKOUT/test/bench/lastfm.sql"
machine
say "done in $SECONDS s"
