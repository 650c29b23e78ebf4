#!/usr/bin/env bash
# Two-stage sampling of negatives against simpler samplers, with small and large
# batches: is it as accurate, and less drawn to popular items, with batches an order
# of magnitude smaller (Tran et al., SIGIR 2019, arXiv 1909.10912)?
#
#   test/bench/two_stage.sh FOLDER [--test] [--seeds N] [--only NAME,NAME] [--sets NAME,NAME]
#                           [--grid | --choose]
#
#   FOLDER    holds ml-1m/ratings.tsv and citeulike-t/likes.tsv, as for movielens.sh
#             and citeulike.sh; a set that is not there is skipped
#   --test    evaluates on the test part instead of the validation part
#   --seeds   trainings per row, with seeds 1 to N; figures are means
#   --only    samplers, of uniform, popularity, hardest, two_stage
#   --sets    of movielens, citeulike
#   --grid    trains with every learning rate of the grid instead of the chosen ones;
#             on the validation part only
#   --choose  --grid first, then --test with the rates that won in it
#
# All rows have one loss, "cml" with margin 1 and without rank weight, one negative a
# positive (hardest: the nearest of 20), Adam with a constant rate, the unit sphere, 64
# dimensions and the same number of epochs: what changes is the sampler, the batch
# (256 or 4,096 positives) and the learning rate, which was chosen for each sampler
# and batch on the validation part (by NDCG@10 among all items).
# two_stage has 300 candidates, the default of its authors' code: 2,000, as their
# script has it for 130,791 items, is more than half of MovieLens' items.
#
# MovieLens-1M: leave one out, 20 epochs; among 99 sampled negatives, and among all.
# citeulike-t: 60/20/20 as citeulike.sh, 60 epochs; among all items.
# Seconds are processor time of the training's backend.
#
# Server: as movielens.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

PART=validation SETS=movielens,citeulike GRID=false CHOOSE= ARGUMENTS=()
while [ $# -gt 0 ]; do
	case $1 in
	--test) PART=test ;;
	--grid) GRID=true ;;
	--choose) CHOOSE=1 ;;
	--sets) SETS=${2:?} && shift ;;
	*) ARGUMENTS+=("$1") ;;
	esac
	shift
done
read_options "${ARGUMENTS[@]}"
[ "$GRID$PART" != truetest ] || die "a learning rate is not chosen on the test part"
MOVIELENS=$FOLDER/ml-1m/ratings.tsv CITEULIKE=$FOLDER/citeulike-t/likes.tsv
[[ ",$SETS," != *,movielens,* || ! -r $MOVIELENS ]] && MOVIELENS=
[[ ",$SETS," != *,citeulike,* || ! -r $CITEULIKE ]] && CITEULIKE=
[ -n "$MOVIELENS$CITEULIKE" ] || need_file "$FOLDER/ml-1m/ratings.tsv"

# load SET: its interactions as bench.ratings, in a new schema.
load() {
	local file=$MOVIELENS columns='user_id int, item_id int, rating real, seq int'

	[ "$1" = movielens ] || file=$CITEULIKE columns='user_id int, item_id int'
	bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
	bench_psql -c "CREATE UNLOGGED TABLE bench.ratings ($columns)"
	bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$file"
}

# run SET PART GRID CHOSEN
run() {
	load "$1"
	run_recipes "$CHECKOUT/test/bench/two_stage.sql" "set=$1" "part=$2" "grid=$3" "chosen=$4"
}

open_bench two_stage
machine
for set in ${MOVIELENS:+movielens} ${CITEULIKE:+citeulike}; do
	if [ -n "$CHOOSE" ]; then
		run "$set" validation true '{}'
		chosen=$(bench_psql -A -t -c 'SET search_path = bench, public' -c 'SELECT chosen FROM best')
		say "chosen: $chosen"
		run "$set" test false "$chosen"
	else
		run "$set" "$PART" "$GRID" '{}'
	fi
done
bench_psql -c 'SET client_min_messages = warning' -c 'DROP SCHEMA bench CASCADE'
machine
say "done in $SECONDS s"
