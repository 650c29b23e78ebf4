#!/usr/bin/env bash
# Training with background workers: MovieLens-1M and citeulike-t by the default
# recipe, with 0, 1, ... workers.
#
#   test/bench/workers.sh FOLDER [--workers N] [--only NAME,NAME]
#
#   FOLDER     holds ml-1m/ratings.tsv and citeulike-t/likes.tsv
#   --workers  the most workers (default: as many as there are other processors)
#   --only     of movielens, citeulike, movielens_cml
#
# Prints how long a meeting at the barrier takes, then one table: seconds of the
# whole training (reading and publishing are in it), how many times faster than
# without workers, the loss and the ndcg@10 of the recipe's own validation split,
# which say that the quality is the same.
#
# The server is always a throw-away one of this checkout.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

FOLDER='' WORKERS=$(($(nproc) - 1)) ONLY=movielens,citeulike,movielens_cml
while [ $# -gt 0 ]; do
	case $1 in
	--workers) WORKERS=${2:?} && shift ;;
	--only) ONLY=${2:?} && shift ;;
	-*) usage ;;
	*) FOLDER=$1 ;;
	esac
	shift
done
[ -n "$FOLDER" ] && [[ $WORKERS =~ ^[0-9]+$ ]] || usage
need_file "$FOLDER/ml-1m/ratings.tsv"
need_file "$FOLDER/citeulike-t/likes.tsv"
open_bench workers 15 "max_worker_processes = $((WORKERS + 8))"
machine
bench_psql -c 'CREATE EXTENSION metricrec'
bench_psql -c 'CREATE UNLOGGED TABLE ratings (user_id int, item_id int, rating real, seq int)'
bench_psql -c 'COPY ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ml-1m/ratings.tsv"
bench_psql -c 'CREATE UNLOGGED TABLE likes (user_id int, item_id int)'
bench_psql -c 'COPY likes FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/citeulike-t/likes.tsv"
bench_psql -v workers="$WORKERS" -v only="$ONLY" -f "$CHECKOUT/test/bench/workers.sql"
machine
say "done in $SECONDS s"
