#!/usr/bin/env bash
# Training on made-up interactions: time, peak memory, interactions/s, and how they grow
# with interactions, items, users and dimensions.
#
#   test/bench/synthetic.sh [--shapes NAME,NAME] [--options 'ARGUMENTS'] [--seed N]
#
#   --shapes   of  large      200,000 users, 50,000 items, 10,000,000 interactions
#                  implicit    30,000 users, 41,000 items,    800,000 interactions
#                  scaling    20,000 x 10,000 with 250,000, 500,000, 1 and 2 million
#                             interactions; 500,000 of them over 2,500, 5,000, 20,000 and
#                             40,000 items, over 5,000, 10,000 and 40,000 users; 16, 32, 128 and
#                             256 dimensions (64 else)
#                  small        2,000 x 1,000 x 40,000, to see that the script works
#              default: implicit,scaling,large
#   --options  arguments of create_model for all shapes, for instance
#              "user_tower => 'pooled', num_workers => 0"; default none: the default recipe
#   --seed     of the generator
#
# The interactions are those of test/bench/synthetic.c, whose head says what they are made
# of: power laws of popularity and activity, clusters of items, tastes inside a cluster, and
# noise.  One interaction of each of 2,000 users, the last that was drawn, is held out.
#
# Every training has a backend of its own.  Columns: seconds by the clock and processor
# seconds of the backend (background workers have their own); epochs of the training that
# made the version, and of all before it (a comparison by validation trains more than once);
# interactions gone through per second of the clock, over all epochs; user-item distances
# per second; peak memory (VmHWM: what the backend ever had in memory, shared buffers that
# it touched included); hit rate at 10 of the held-out items among all, beside that of
# the most popular ones, to show that there was something to learn.
#
# Server: as movielens.sh; a C compiler.  The large shape takes 1 GB of disk and reads
# /proc, so on another machine's server there is no peak memory.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

SHAPES=implicit,scaling,large OPTIONS= SEED=1
while [ $# -gt 0 ]; do
	case $1 in
	--shapes) SHAPES=${2:?} && shift ;;
	--options) OPTIONS=${2:?} && shift ;;
	--seed) SEED=${2:?} && shift ;;
	*) usage ;;
	esac
	shift
done
command -v gcc >/dev/null || install_packages gcc libc6-dev
open_bench synthetic
[ -n "${SCRATCH:-}" ] || open_scratch synthetic
machine
gcc -std=gnu11 -O2 -I"$CHECKOUT/src" -o "$SCRATCH/synthetic" "$CHECKOUT/test/bench/synthetic.c" "$CHECKOUT/src/util/rng.c" -lm
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -f "$CHECKOUT/test/bench/synthetic.sql"

# make_set USERS ITEMS INTERACTIONS: the tables bench.train_part and bench.held_part.
make_set() {
	bench_psql -c 'SET client_min_messages = warning' -c 'DROP TABLE IF EXISTS bench.made, bench.train_part, bench.held_part' \
		-c 'CREATE UNLOGGED TABLE bench.made (user_id int, item_id int, n serial)'
	"$SCRATCH/synthetic" users="$1" items="$2" interactions="$3" seed="$SEED" 2>"$SCRATCH/log/made" |
		bench_psql -c 'COPY bench.made (user_id, item_id) FROM STDIN'
	bench_psql -c 'CALL bench.hold_out()'
}

# run NAME DIMENSIONS: trains on the set in a session of its own, and writes a row.
run() {
	say "$1, $2 dimensions"
	bench_psql -v name="$1" -v dimensions="$2" -v options="$OPTIONS" -f "$CHECKOUT/test/bench/synthetic_run.sql"
}

for shape in ${SHAPES//,/ }; do
	case $shape in
	small) make_set 2000 1000 40000 && run small 64 ;;
	implicit) make_set 30000 41000 800000 && run implicit 64 ;;
	large) make_set 200000 50000 10000000 && run large 64 ;;
	scaling)
		for n in 250000 1000000 2000000; do
			make_set 20000 10000 $n && run interactions 64
		done
		for items in 2500 5000 20000 40000; do
			make_set 20000 $items 500000 && run items 64
		done
		for users in 5000 10000 40000; do
			make_set $users 10000 500000 && run users 64
		done
		make_set 20000 10000 500000
		for dimensions in 16 32 64 128 256; do
			run dimensions $dimensions
		done
		;;
	*) usage ;;
	esac
done
bench_psql -c 'SELECT * FROM bench.report'
bench_psql -c 'SET client_min_messages = warning' -c 'DROP SCHEMA bench CASCADE'
machine
say "done in $SECONDS s"
