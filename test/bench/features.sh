#!/usr/bin/env bash
# citeulike-t with tags as features of the papers: what they are worth where the
# papers are known, and where they are new.
#
#   test/bench/features.sh FOLDER [--seeds N] [--only NAME,NAME] [--validate]
#
#   FOLDER      holds likes.tsv and item_tags.tsv, tab-separated, with header lines
#   --seeds     trainings per recipe, with seeds 1 to N; figures are means
#   --only      of plain, tags, wide, both, prior (known papers), cold
#   --validate  evaluates on the validation part instead of the test part: for choices
#
# Known papers: the split of citeulike.sh.  New papers: a tenth of the papers is
# withheld from training entirely, and only their tags are known; recall at 50 among
# all papers and among the withheld ones, for the users who like two other papers or
# more, beside popularity and the nearest neighbours by tags alone.
#
# Server: as citeulike.sh.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/bench.sh"

PART=test_part ARGUMENTS=()
for argument; do
	if [ "$argument" = --validate ]; then PART=valid_part; else ARGUMENTS+=("$argument"); fi
done
read_options "${ARGUMENTS[@]}"
need_file "$FOLDER/likes.tsv"
need_file "$FOLDER/item_tags.tsv"
open_bench features
machine
bench_psql -f "$CHECKOUT/test/bench/recipes.sql"
bench_psql -c 'CREATE UNLOGGED TABLE bench.likes (user_id int, item_id int)' \
	-c 'CREATE UNLOGGED TABLE bench.item_tags (item_id int, tag text)'
bench_psql -c 'COPY bench.likes FROM STDIN (FORMAT text, HEADER)' <"$FOLDER/likes.tsv"
bench_psql -c "COPY bench.item_tags FROM STDIN (FORMAT csv, DELIMITER E'\t', QUOTE E'\b', HEADER)" <"$FOLDER/item_tags.tsv"
run_recipes "$CHECKOUT/test/bench/features.sql" "part=$PART"
machine
say "done in $SECONDS s"
