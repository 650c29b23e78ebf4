#!/usr/bin/env bash
# Recommenders beside each other on the same split: popularity, item-based nearest
# neighbours, ALS, BPR, the default recipe and presets, as metricrec.compare has them.
#
#   test/bench/comparators.sh FOLDER [--seeds N] [--only NAME,NAME] [--validate]
#
#   FOLDER      holds ml-1m/ratings.tsv (user_id, movie_id, rating, seq) and
#               citeulike-t/likes.tsv (user_id, item_id), tab-separated, each with a
#               header line; without the second that set is left out
#   --seeds     trainings per recipe; figures are means
#   --only      of default, als, als_cg, als128, bpr, cml_released, triplet; popularity
#               and item_knn always run
#   --validate  on a validation part of the training part: nothing sees the test part
#
# MovieLens-1M: each user's last item among 99 that the user never rated, and among all.
# citeulike-t: 60/20/20 of each user with at least 5 papers, all papers ranked.  The
# order of the interactions is not given to the recipes: comparators do not use it.
#
# Server: as movielens.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

VALIDATE=false
ARGUMENTS=()
for argument; do
	case $argument in
	--validate) VALIDATE=true ;;
	*) ARGUMENTS+=("$argument") ;;
	esac
done
read_options ${ARGUMENTS+"${ARGUMENTS[@]}"}
need_file "$FOLDER/ml-1m/ratings.tsv"
open_bench comparators
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.ratings (user_id int, item_id int, rating real, seq int)' \
	-c 'CREATE UNLOGGED TABLE bench.likes (user_id int, item_id int)'
bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ml-1m/ratings.tsv"
[ ! -r "$FOLDER/citeulike-t/likes.tsv" ] ||
	bench_psql -c 'COPY bench.likes FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/citeulike-t/likes.tsv"
run_recipes "$CHECKOUT/test/bench/comparators.sql" validate=$VALIDATE
machine
say "done in $SECONDS s"
