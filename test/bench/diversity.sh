#!/usr/bin/env bash
# What `diversity` in recommend costs and gives: lists of ten with 0, .1, .3 and .5.
#
#   test/bench/diversity.sh FOLDER [--test] [--users N] [--sets NAME,NAME] [--values X,X]
#
#   FOLDER    holds ml-1m/ratings.tsv and citeulike-t/likes.tsv, as for movielens.sh
#             and citeulike.sh; a set that is not there is skipped
#   --test    looks for the items of the test part instead of the validation part
#   --users   how many users are asked for, drawn by a hash; default all
#   --sets    of movielens, citeulike
#   --values  of diversity
#
# The default recipe with the pooled user.  Hit rate: is a held-out item among the ten,
# of all items (MovieLens: the last one; citeulike-t: any of a fifth).  Distance in
# the list: mean over all pairs of the ten, the bias coordinate left out, as the function
# itself measures it; beside it the same over pairs of random items.  Coverage: share of
# the items that are in any list.  The order is exact (lsh.exact).
#
# Server: as movielens.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

PART=validation SETS=movielens,citeulike USERS=1000000 VALUES=0,.1,.3,.5 ARGUMENTS=()
while [ $# -gt 0 ]; do
	case $1 in
	--test) PART=test ;;
	--users) USERS=${2:?} && shift ;;
	--sets) SETS=${2:?} && shift ;;
	--values) VALUES=${2:?} && shift ;;
	*) ARGUMENTS+=("$1") ;;
	esac
	shift
done
read_options "${ARGUMENTS[@]}"
MOVIELENS=$FOLDER/ml-1m/ratings.tsv CITEULIKE=$FOLDER/citeulike-t/likes.tsv
[[ ",$SETS," != *,movielens,* || ! -r $MOVIELENS ]] && MOVIELENS=
[[ ",$SETS," != *,citeulike,* || ! -r $CITEULIKE ]] && CITEULIKE=
[ -n "$MOVIELENS$CITEULIKE" ] || need_file "$FOLDER/ml-1m/ratings.tsv"

open_bench diversity
machine
for set in movielens citeulike; do
	file=$MOVIELENS columns='user_id int, item_id int, rating real, seq int'
	[ "$set" = movielens ] || file=$CITEULIKE columns='user_id int, item_id int'
	[ -n "$file" ] || continue
	bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
	bench_psql -c "CREATE UNLOGGED TABLE bench.ratings ($columns)"
	bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$file"
	run_recipes "$CHECKOUT/test/bench/diversity.sql" "set=$set" "part=$PART" "users=$USERS" "values={$VALUES}"
done
machine
say "done in $SECONDS s"
