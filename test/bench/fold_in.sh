#!/usr/bin/env bash
# Users who were withheld from training entirely, folded in from 1, 3, 5 and 10 of
# their items: what gradient steps are worth over the mean of the items.
#
#   test/bench/fold_in.sh FOLDER [--only NAME,NAME] [--towers NAME,NAME] [--test] [--steps N,N]
#
#   FOLDER    holds citeulike-t/likes.tsv and ml-1m/ratings.tsv, as for citeulike.sh
#             and movielens.sh
#   --only    of citeulike, movielens
#   --towers  of pooled, free, cml_released, triplet (the presets on citeulike-t only)
#   --test    evaluates on the test part instead of the validation part
#   --steps   values of metricrec.fold_in_steps to try: 0 is the mean; the first counts the
#             mean user in (softmax), the others are gradient steps; -1 is the default
#
# citeulike-t: the split of citeulike.sh; withheld is a quarter of the users who have
# ten papers in the training part, of which the given ones are drawn.  Recall at 50
# among all papers, without those of the user's that are in the other parts.
#
# MovieLens-1M: the last film of each user is the test, the last but one the
# validation; withheld is a fifth of the users, given are random films of the rest.
# Hit rate at 10 among 99 films that the user never rated.
#
# The order is exact (lsh.exact), so that the index has no part in the figures.
# Server: as citeulike.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

PART=valid STEPS=0,1,2,4,8,16 TOWERS=pooled,free,cml_released,triplet ARGUMENTS=()
while [ $# -gt 0 ]; do
	case $1 in
	--test) PART=test ;;
	--steps) STEPS=${2:?} && shift ;;
	--towers) TOWERS=${2:?} && shift ;;
	*) ARGUMENTS+=("$1") ;;
	esac
	shift
done
read_options "${ARGUMENTS[@]}"
need_file "$FOLDER/citeulike-t/likes.tsv"
need_file "$FOLDER/ml-1m/ratings.tsv"
open_bench fold_in
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.likes (user_id int, item_id int)' \
	-c 'CREATE UNLOGGED TABLE bench.ratings (user_id int, item_id int, rating real, seq int)'
bench_psql -c 'COPY bench.likes FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/citeulike-t/likes.tsv"
bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ml-1m/ratings.tsv"
run_recipes "$CHECKOUT/test/bench/fold_in.sql" "part=$PART" "steps=$STEPS" "towers=$TOWERS"
machine
say "done in $SECONDS s"
