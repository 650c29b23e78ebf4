#!/usr/bin/env bash
# Live users on MovieLens-1M: what a user's newest rows are worth, and what it costs
# to look at them.
#
#   test/bench/live.sh FOLDER [--only NAME,NAME]
#
#   FOLDER    holds ratings.tsv and users.tsv, tab-separated, with header lines
#   --only    of history, features
#
# Trained on everything but the last five films of each user.  Then those five come
# one after the other: before each, the film that comes is ranked among 99 that the
# user never rated, from the stored point and from the live one, for a third of the
# users.  The stored point does not know the films that came since the training; the
# live one has those before the film that is asked for.
#
#   history    pooled user tower
#   features   the same with the users' age, gender and occupation in their tower
#
# Prints, for both: hit rates, how many users' first ten change by the film that
# came last, in the same transaction, and the processor time of a call.
#
# Server: as citeulike.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

read_options "$@"
need_file "$FOLDER/ratings.tsv"
need_file "$FOLDER/users.tsv"
open_bench live
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.ratings (user_id int, item_id int, rating real, seq int)' \
	-c 'CREATE TABLE bench.people (user_id int PRIMARY KEY, gender text, age int, occupation int)'
bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ratings.tsv"
bench_psql -c 'COPY bench.people FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/users.tsv"
run_recipes "$CHECKOUT/test/bench/live.sql"
machine
say "done in $SECONDS s"
