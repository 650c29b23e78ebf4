#!/usr/bin/env bash
# MovieLens-1M with features: the dual tower of arXiv 2411.06374 taken apart, and users
# who were never trained.
#
#   test/bench/dual_tower.sh FOLDER [--validate] [--seeds N] [--only NAME,NAME]
#
#   FOLDER      holds ratings.tsv, users.tsv and movies.tsv, tab-separated, with header lines
#   --validate  holds out the last but one item, and does not look at the last: for choices
#   --seeds     trainings per recipe, with seeds 1 to N; figures are means
#   --only      of preset, margin_0.5, margin_1.0, dual_tower (margin 1.2), margin_1.5, margin_2.0,
#               hardest, one_bit, features, id, softmax, softmax_id, default, plain; cold
#
# Ablation: leave-one-out among 99 sampled negatives and among all items, as movielens.sh
# has it.  Features are gender, age class and occupation of users; year, decade and genres of
# films.  Every row but the preset itself is preset => 'dual_tower' with 8 epochs and the change that
# it names, or the softmax.
#
# cold: a tenth of the users is withheld from training.  Their last item is looked for with
# nothing known but the 1, 3, 5 or 10 items before it (recommend_for_items), or but the
# user's features (metricrec.embed_user), beside the most popular items.
#
# Seconds are processor time of the training's backend.
#
# Server: as movielens.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

PART=test ARGUMENTS=()
for argument; do
	if [ "$argument" = --validate ]; then PART=validation; else ARGUMENTS+=("$argument"); fi
done
read_options "${ARGUMENTS[@]}"
for file in ratings users movies; do
	need_file "$FOLDER/$file.tsv"
done
open_bench dual_tower
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.ratings (user_id int, item_id int, rating real, seq int)' \
	-c 'CREATE UNLOGGED TABLE bench.users (user_id int, gender text, age text, occupation text)' \
	-c 'CREATE UNLOGGED TABLE bench.movies (item_id int, title text, year int, genres text[])'
bench_psql -c 'COPY bench.ratings FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/ratings.tsv"
bench_psql -c "COPY bench.users FROM STDIN (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)" <"$FOLDER/users.tsv"
bench_psql -c "COPY bench.movies FROM STDIN (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)" <"$FOLDER/movies.tsv"
run_recipes "$CHECKOUT/test/bench/dual_tower.sql" "part=$PART"
machine
say "done in $SECONDS s"
