#!/usr/bin/env bash
# citeulike-t: recall at 50 and 100, all papers ranked.
#
#   test/bench/citeulike.sh FOLDER [--seeds N] [--only NAME,NAME] [--small]
#
#   FOLDER    holds likes.tsv: user_id, item_id, tab-separated, with a header line
#   --seeds   trainings per recipe, with seeds 1 to N; figures are means
#   --only    of default, default_128, als, bpr, item_knn, cml_paper, cml_released
#   --small   users with fewer than five papers are in the training part, as the CML
#             paper (Hsieh et al., WWW 2017) has it; else they are left out, as its
#             released code has it
#
# The papers of each user with at least five at random 60/20/20 into training,
# validation and test part.  Trained on the training part only; the papers of the
# training and the validation part are left out of the ranking, as in the paper.
#
# Prints one table: training seconds, recall, hit rate and NDCG at 50 and 100, for
# each recipe and for the most popular papers, and published figures, marked as
# quoted.  Those were made with a faulty reading of the data, whose leading count
# in each line was taken for a paper: they are no measure for ours.
#
# Each recipe sees the test split once, at the end of its training; nothing is
# chosen by it, and nothing by the validation part either, which only stays out.
#
# Server: PGHOST or PGPORT in the environment name one, else a throw-away server
# is built and started as test/quickstart.sh does.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

SMALL=false ARGUMENTS=()
for argument; do
	if [ "$argument" = --small ]; then SMALL=true; else ARGUMENTS+=("$argument"); fi
done
read_options "${ARGUMENTS[@]}"
need_file "$FOLDER/likes.tsv"
open_bench citeulike
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.likes (user_id int, item_id int)'
bench_psql -c 'COPY bench.likes FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/likes.tsv"
run_recipes "$CHECKOUT/test/bench/citeulike.sql" "small=$SMALL"
machine
say "done in $SECONDS s"
