#!/usr/bin/env bash
# metricrec.tune on MovieLens-1M: what a search finds, what it costs, and what the
# tuned model is worth on held-out films that the search has not seen.
#
#   test/bench/tune.sh FOLDER [--seeds N] [--draws N] [--trials N] [--methods halving,random] [--validate]
#
#   FOLDER      holds ratings.tsv, as for movielens.sh
#   --seeds     trainings of each setting; figures are means
#   --draws     draws of 99 negatives
#   --trials    of each search (30)
#   --methods   the searches; each begins at the default recipe
#   --validate  each user's last film is left out altogether, and the last but one held out
#
# Prints the trials of each search; then hit rate and NDCG at 10 of the default recipe
# and of what each search has set, among 99 negatives and among all films.
#
# Without --validate the test split is seen once by each setting, at the end.
#
# Server: as movielens.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

PART=test TRIALS=30 METHODS=halving ARGUMENTS=()
while [ $# -gt 0 ]; do
	case $1 in
	--validate) PART=validation ;;
	--trials) TRIALS=${2:?} && shift ;;
	--methods) METHODS=${2:?} && shift ;;
	*) ARGUMENTS+=("$1") ;;
	esac
	shift
done
read_options "${ARGUMENTS[@]}"
[[ $TRIALS =~ ^[1-9][0-9]*$ ]] || usage
need_file "$FOLDER/ratings.tsv"
open_bench tune
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.ratings (user_id int, item_id int, rating real, seq int)'
bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ratings.tsv"
run_recipes "$CHECKOUT/test/bench/tune.sql" "part=$PART" "trials=$TRIALS" "methods=$METHODS"
machine
say "done in $SECONDS s"
