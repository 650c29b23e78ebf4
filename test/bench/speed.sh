#!/usr/bin/env bash
# How fast trainings are on MovieLens-1M, on one core and with workers, beside CML in torch.
#
#   test/bench/speed.sh FOLDER [--validate] [--seeds N] [--draws N] [--only NAME,NAME]
#                       [--workers N,N] [--epochs N,N] [--floor X] [--peer PRESET,PRESET|none]
#                       [--peer-epochs N]
#
#   FOLDER         holds ratings.tsv, as for movielens.sh
#   --validate     holds out the last but one item, and does not look at the last
#   --seeds        trainings per row, with seeds 1 to N; figures are means
#   --draws        draws of 99 negatives; figures are means (the peer sees the first)
#   --only         of default, tower (the default with the user tower that it picks given,
#                  so that nothing is compared), cml_released, cml_paper, triplet
#   --workers      values of num_workers, if this version has it (default 0,1)
#   --epochs       numbers of epochs of "tower" beside the recipe's own, for the time to the
#                  floor (default 2,4,8,12)
#   --floor        of HR@10 (default .724)
#   --peer         presets that the peer trains (default cml_released)
#   --peer-epochs  default 30, as the preset here
#
# Columns: seconds of the whole call of train(), publishing included, by the clock; processor
# seconds of its backend; per second of the epochs by the clock: interactions gone through,
# and distances to negatives (triplets, for the losses of triplets); for the softmax, the
# multiplications of its three matrix products (6 d per user-item pair) as a share of what
# a 1,024 x 1,024 product reaches on one core (sgemm_peak.c), times the processes that
# compute; leave-one-out hit rate and NDCG at 10 among 99 sampled negatives.  Then the least seconds of a row
# that reached the floor, by number of workers.
#
# The peer is peer_torch.py in Debian's python3-torch, which is installed if Debian's mirror can be
# reached (METRICREC_TORCH names another python3 that has torch).  It gets the same training
# part, held-out items and negatives as files, and one thread.
#
# A figure of a busy machine is a lower bound.  Server: as movielens.sh; a C compiler.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

PART=test WORKERS=0,1 EPOCHS=2,4,8,12 FLOOR=.724 PEER=cml_released PEER_EPOCHS=30 ARGUMENTS=()
while [ $# -gt 0 ]; do
	case $1 in
	--validate) PART=validation ;;
	--workers) WORKERS=${2:?} && shift ;;
	--epochs) EPOCHS=${2:?} && shift ;;
	--floor) FLOOR=${2:?} && shift ;;
	--peer) PEER=${2:?} && shift ;;
	--peer-epochs) PEER_EPOCHS=${2:?} && shift ;;
	*) ARGUMENTS+=("$1") ;;
	esac
	shift
done
read_options "${ARGUMENTS[@]}"
need_file "$FOLDER/ratings.tsv"

# find_torch: TORCH is a python3 with torch, or empty.
find_torch() {
	TORCH=${METRICREC_TORCH:-/usr/bin/python3}
	"$TORCH" -c 'import torch, numpy' 2>/dev/null && return
	[ -n "${METRICREC_TORCH:-}" ] || (install_packages python3-torch python3-numpy) >/dev/null 2>&1 || true
	"$TORCH" -c 'import torch, numpy' 2>/dev/null || TORCH=
}

# run_peer PRESET: a line of JSON into bench.peer.
run_peer() {
	local name

	for name in train_part held_part negatives_1; do
		bench_psql -c "COPY (SELECT user_id, item_id FROM bench.$name ORDER BY 1, 2) TO STDOUT" >"$SCRATCH/$name"
	done
	say "torch, $1"
	OMP_NUM_THREADS=1 "$TORCH" "$CHECKOUT/test/bench/peer_torch.py" "$SCRATCH/train_part" "$SCRATCH/held_part" "$SCRATCH/negatives_1" \
		preset="$1" epochs="$PEER_EPOCHS" floor="$FLOOR" >"$SCRATCH/peer.json"
	bench_psql -c 'COPY bench.peer FROM STDIN' <"$SCRATCH/peer.json"
}

command -v gcc >/dev/null || install_packages gcc libc6-dev
open_bench speed
[ -n "${SCRATCH:-}" ] || open_scratch speed
machine
gcc -std=gnu11 -O2 -I"$CHECKOUT/src" -o "$SCRATCH/sgemm_peak" "$CHECKOUT/test/bench/sgemm_peak.c" "$CHECKOUT/src/math/gemm.c" -ldl
PEAK=$("$SCRATCH/sgemm_peak")
say "sgemm, one core: $PEAK Gflop/s"
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.ratings (user_id int, item_id int, rating real, seq int)'
bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ratings.tsv"
run_recipes "$CHECKOUT/test/bench/speed.sql" "part=$PART" "workers={$WORKERS}" "epochs={$EPOCHS}"
if [ "$PEER" != none ]; then
	find_torch
	[ -n "$TORCH" ] || warn "SKIPPED: the peer: there is no python3-torch"
	for preset in ${TORCH:+${PEER//,/ }}; do
		run_peer "$preset"
	done
fi
bench_psql -v part="$PART" -v peak="$PEAK" -v floor="$FLOOR" -f "$CHECKOUT/test/bench/speed_report.sql"
machine
say "done in $SECONDS s"
