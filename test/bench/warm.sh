#!/usr/bin/env bash
# Warm starts on MovieLens-1M: what they cost and what they are worth beside full
# trainings, over one large step and over a chain of five small ones.
#
#   test/bench/warm.sh FOLDER [--seeds N] [--only NAME,NAME] [--validate]
#
#   FOLDER      holds ratings.tsv, tab-separated, with a header line
#   --seeds     trainings of each kind; default 1
#   --only      of times, default, pooled, random
#   --validate  holds out the last but one item instead of the last, which is left
#               out altogether
#
# The file has no dates, only the place of a rating in its user's history.  Day 0 is
# the first 90 per cent of each history, without 5 per cent of the users and 2 per cent
# of the items altogether; each of the days 1 to 5 adds 2 per cent of the histories, and
# a fifth of the missing users and items.  The held-out item of each user is ranked among
# 99 that the user never rated, and among all.
#
#   times     the default recipe, with a time column
#   default   the default recipe, without
#   pooled    pooled users, no validation: one training against one
#   random    free users from random points, no validation
#
#   day 0     the version of day 0, asked on day 5: new users are misses
#   full      trained on day 5 from the start
#   warm      the version of day 0 and one warm start on day 5
#   chain     the version of day 0 and a warm start on each of the days 1 to 5
#
# Server: as citeulike.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

PART=test ARGUMENTS=()
for argument; do
	if [ "$argument" = --validate ]; then PART=validation; else ARGUMENTS+=("$argument"); fi
done
read_options "${ARGUMENTS[@]}"
need_file "$FOLDER/ratings.tsv"
open_bench warm
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.ratings (user_id int, item_id int, rating real, seq int)'
bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ratings.tsv"
run_recipes "$CHECKOUT/test/bench/warm.sql" "part=$PART"
machine
say "done in $SECONDS s"
