#!/usr/bin/env bash
# The answers of all users: how many pairs of user and item a second.
#
#   test/bench/recommend_all.sh [--users N] [--items N] [--dimensions N] [--k N] [FOLDER]
#
#   FOLDER    with ratings.tsv of MovieLens-1M: that set, too
#
# Default: 100,000 users, 100,000 items, 64 dimensions, k = 10; ten interactions of each
# user, made by a hash, and one epoch of training, which spreads the points.
#
# For each set, processor seconds of the session and seconds by the clock:
#   recommend_all       rows counted; no workers, then one worker
#   recommend_all_into  the table, with its key and statistics
#   lateral             recommend() for 200 users in a LATERAL join, times users / 200;
#                       exact, and by the index
#   numpy               the matrix products and argpartition of numpy (python3-numpy),
#                       blocks of 256 users, seen items not left out; 2,048 users, scaled
# and for the first the share of what sgemm reaches on 1024^3 in nearest_bench, which
# also does the same work without a server.
#
# Server: as citeulike.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

USERS=100000 ITEMS=100000 DIMENSIONS=64 K=10 FOLDER=
while [ $# -gt 0 ]; do
	case $1 in
	--users) USERS=${2:?} && shift ;;
	--items) ITEMS=${2:?} && shift ;;
	--dimensions) DIMENSIONS=${2:?} && shift ;;
	--k) K=${2:?} && shift ;;
	-*) usage ;;
	*) FOLDER=$1 ;;
	esac
	shift
done
[ -z "$FOLDER" ] || need_file "$FOLDER/ratings.tsv"

# core USERS ITEMS: sets PEAK, the Gflop/s of sgemm; prints what the core alone does.
core() {
	local line

	gcc -O2 -I"$CHECKOUT/src" -DMR_OPENBLAS="\"$(find /usr/lib -path '*openblas-serial/libopenblas.so.0' | head -n 1)\"" \
		"$CHECKOUT/test/bench/nearest_bench.c" "$CHECKOUT"/src/math/*.c "$CHECKOUT"/src/model/*.c \
		"$CHECKOUT/src/util/rng.c" -lm -ldl -o "$WORK/nearest_bench"
	line=$("$WORK/nearest_bench" users="$1" items="$2" dimensions="$DIMENSIONS" k="$K")
	say "core: $line"
	PEAK=$(sed -n "s/.*sgemm's \([0-9.]*\);.*/\1/p" <<<"$line")
}

# numpy USERS ITEMS
numpy() {
	if ! /usr/bin/python3 -c 'import numpy' 2>/dev/null; then
		say "numpy: SKIPPED, python3-numpy is not installed"
		return
	fi
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 /usr/bin/python3 "$CHECKOUT/test/bench/recommend_all.py" "$1" "$2" "$DIMENSIONS" "$K"
}

# measure NAME: a model of that name is there.
measure() {
	local users items

	read -r users items < <(bench_psql -At -F ' ' -c "SELECT users, items FROM metricrec.model_versions WHERE model = '$1'")
	core "$users" "$items"
	bench_psql -v model="$1" -v k="$K" -v users="$users" -v items="$items" -v dimensions="$DIMENSIONS" -v peak="$PEAK" -v users_view="$1_user_embedding" \
		-f "$CHECKOUT/test/bench/recommend_all.sql"
	numpy "$users" "$items"
}

open_bench recommend-all
WORK=${SCRATCH:-$(mktemp -d)}
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
if [ -n "$FOLDER" ]; then
	bench_psql -c 'CREATE TABLE bench.ratings (user_id int, item_id int, rating real, seq int)'
	bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ratings.tsv"
	bench_psql -At -c 'CREATE INDEX ON bench.ratings (user_id)' -c 'ANALYZE bench.ratings' \
		-c "SELECT FROM metricrec.create_model('movielens', 'bench.ratings', user_tower => 'pooled', epochs => 2, dimensions => $DIMENSIONS, seed => 1)" \
		-c "SELECT FROM metricrec.train('movielens')"
	measure movielens
fi
bench_psql -At -c "CREATE TABLE bench.clicks AS
	SELECT u AS user_id, (hashint8(u::int8 * 100 + n)::int8 + 2147483648) % $ITEMS AS item_id
	FROM generate_series(1, $USERS) u, generate_series(1, 10) n" \
	-c 'CREATE INDEX ON bench.clicks (user_id)' -c 'ANALYZE bench.clicks' \
	-c "SELECT FROM metricrec.create_model('synthetic', 'bench.clicks', user_tower => 'free', epochs => 1, batch_size => 4096, dimensions => $DIMENSIONS, seed => 1)" \
	-c "SELECT FROM metricrec.train('synthetic')"
measure synthetic
machine
say "done in $SECONDS s"
