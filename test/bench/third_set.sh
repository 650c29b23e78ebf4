#!/usr/bin/env bash
# The set that no tuning saw: Amazon's Musical Instruments, 5-core, leave-one-out.  The
# protocol was written down before anything was run (doc/training.md, "The third set").
#
#   test/bench/third_set.sh FOLDER [--test] [--seeds N] [--draws N] [--only NAME,NAME]
#
#   FOLDER    holds reviews.json: a review a line, as JSON with reviewerID, asin and
#             unixReviewTime
#   --test    the test part: each user's last review.  Without it the last but one, to
#             check the script; the last one is not looked at then
#   --seeds   trainings per recipe, with seeds 1 to N; figures are means (default 3)
#   --draws   draws of 99 negatives, evaluated one by one; figures are means (default 5)
#   --only    of default, no_times, als, bpr, item_knn, and every preset
#
# Prints one table: training seconds, hit rate and NDCG at 5 and 10 among 99 sampled
# negatives and among all items, coverage and popularity of the lists of 10.  Recipes
# are used as they are; nothing is chosen here.
#
# Server: as movielens.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

PART=validation ARGUMENTS=(--seeds 3 --draws 5)
for argument; do
	if [ "$argument" = --test ]; then PART=test; else ARGUMENTS+=("$argument"); fi
done
read_options "${ARGUMENTS[@]}"
need_file "$FOLDER/reviews.json"
open_bench third_set
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.lines (line text)'
# csv with characters that no JSON text holds, so that a line arrives as it is
bench_psql -c "COPY bench.lines FROM STDIN (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')" <"$FOLDER/reviews.json"
run_recipes "$CHECKOUT/test/bench/third_set.sql" "part=$PART"
machine
say "done in $SECONDS s"
