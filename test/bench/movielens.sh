#!/usr/bin/env bash
# MovieLens-1M, leave-one-out: each user's last item is held out and ranked among
# 99 items that the user never rated, and among all items.
#
#   test/bench/movielens.sh FOLDER [--seeds N] [--draws N] [--only NAME,NAME]
#
#   FOLDER    holds ratings.tsv: user_id, movie_id, rating, seq (the place in the
#             user's history by time), tab-separated, with a header line
#   --seeds   trainings per recipe, with seeds 1 to N; figures are means
#   --draws   draws of 99 negatives, evaluated one by one; figures are means
#   --only    of default, no_times, als, bpr, item_knn, cml_paper, cml_released, triplet, two_stage
#
# Prints the speed of reading, then one table: training seconds, hit rate and NDCG
# at 5, 10 and 20 by both protocols, for each recipe, for the most popular items on
# the same pairs, and published figures, marked as quoted.
#
# Each recipe sees the test split once, at the end of its training; nothing is
# chosen by it.  All choices of the default recipe are made on a validation split
# of the training part.
#
# Server: PGHOST or PGPORT in the environment name one, else a throw-away server
# is built and started as test/quickstart.sh does.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

read_options "$@"
need_file "$FOLDER/ratings.tsv"
open_bench movielens
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.ratings (user_id int, item_id int, rating real, seq int)'
bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ratings.tsv"
run_recipes "$CHECKOUT/test/bench/movielens.sql"
machine
say "done in $SECONDS s"
