#!/usr/bin/env bash
# The index lsh beside pgvector's hnsw and ivfflat: same server, same rows, each at
# its cheapest setting that finds 97 % of the ten nearest.
#
#   test/bench/ann.sh [--peer] [--quick] [--large] [--sets NAME,NAME]
#   test/bench/ann.sh --families [--sets NAME,NAME]
#
#   --peer    in a root with PostgreSQL 17 and pgvector, made of Debian trixie and
#             kept in the cache; needs root and mmdebstrap.  Without it PostgreSQL 15
#             serves, and pgvector takes part where it is installed.
#   --quick   rec32 and rec100 only
#   --large   also 5,000,000 rows (without hnsw, which would take an hour)
#   --families    the two hash families of lsh beside each other, and nothing else
#   --sets    of rec64 (1,000,000 x 64), rec32 (200,000 x 32), rec100 (200,000 x 100),
#             movielens, citeulike (embeddings trained here; queries are users), and
#             growth (rec64 with 10,000 and 100,000 rows)
#
# rec64, rec32 and rec100 are made by ann_data.c, the same on every run.  The trained
# sets need METRICREC_DATA, a folder with ml-1m/ratings.tsv and citeulike-t/likes.tsv
# (default: ../shared/data beside the checkout); without it they are skipped.
#
# Prints tables; see test/bench/README.md for what is measured and how.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/roots.sh"
. "$CHECKOUT/test/lib/bench.sh"

PEER= LARGE= INSIDE= FAMILIES= SETS=rec32,rec100,movielens,citeulike,growth,rec64
ROUNDS=5				# of which the median counts
QUERIES=500				# per set
FILTERED=100			# of them with filters, where the peer takes long
ANN_SETTINGS='wal_level = replica
max_wal_size = 32GB
checkpoint_timeout = 1h
autovacuum = off
shared_buffers = 4GB
maintenance_work_mem = 2GB
max_parallel_workers = 8'

# For every session: what is measured is the index, not the planner or the cores.
PLAIN='client_min_messages=warning jit=off max_parallel_workers_per_gather=0 plan_cache_mode=force_generic_plan'
FORCED="$PLAIN enable_seqscan=off enable_bitmapscan=off enable_sort=off"

read_arguments() {
	while [ $# -gt 0 ]; do
		case $1 in
		--peer) PEER=1 ;;
		--quick) SETS=rec32,rec100 ;;
		--large) LARGE=1 ;;
		--families) FAMILIES=1 SETS=rec32,rec100,movielens,citeulike ;;
		--sets) SETS=${2:?} && shift ;;
		--inside) INSIDE=1 ;;		# the root: used by --peer
		*) usage ;;
		esac
		shift
	done
}

wanted() { [[ ",$SETS," == *",$1,"* ]]; }

# ask SETTINGS ARGUMENT...: psql in a session of its own with NAME=VALUE settings;
# prints values only.
ask() {
	local setting options=''

	for setting in $1; do
		options+=" -c $setting"
	done
	shift
	as_guest env PGOPTIONS="$options" \
		psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$SOCKETS" -U postgres "$@"
}

# ---- sets ----

# stream SET KIND DIMENSIONS ROWS TABLE: made rows into a new table (id, v).
stream() {
	run_psql -c "CREATE UNLOGGED TABLE ann.$5 (id int, v embedding($3))"
	"$SCRATCH/ann_data" "$3" "$4" "$2" | run_psql -c "COPY ann.$5 FROM STDIN (FORMAT binary)"
}

# make_mixture SET DIMENSIONS ROWS
make_mixture() {
	stream "$1" items "$2" "$3" "$1_raw"
	stream "$1" queries "$2" $QUERIES "$1_asked"
	stream "$1" more "$2" 20000 "$1_more"
	run_psql -c "CALL ann.add_set('$1', $2)"
}

# make_trained SET FILE COLUMNS: items of a model trained on the file's
# interactions; queries are some of its users.
make_trained() {
	local set=$1 file=$2 columns=$3

	if [ ! -r "$file" ]; then
		warn "SKIPPED: $set: there is no $(basename "$file") (METRICREC_DATA)"
		return 1
	fi
	run_psql -c "CREATE UNLOGGED TABLE ann.${set}_events ($columns)"
	run_psql -c "COPY ann.${set}_events FROM STDIN (FORMAT text, HEADER)" <"$file"
	run_psql -v set="$set" -v queries=$QUERIES -f "$CHECKOUT/test/bench/ann_train.sql"
	run_psql -c "CALL ann.add_set('$set', 64)"
}

make_set() {
	case $1 in
	rec64) make_mixture rec64 64 1000000 ;;
	rec64_10k) make_mixture rec64_10k 64 10000 ;;
	rec64_100k) make_mixture rec64_100k 64 100000 ;;
	rec64_5m) make_mixture rec64_5m 64 5000000 ;;
	rec32) make_mixture rec32 32 200000 ;;
	rec100) make_mixture rec100 100 200000 ;;
	movielens) make_trained movielens "$METRICREC_DATA/ml-1m/ratings.tsv" \
		'user_id int, item_id int, rating real, seq int' ;;
	citeulike) make_trained citeulike "$METRICREC_DATA/citeulike-t/likes.tsv" 'user_id int, item_id int' ;;
	*) die "there is no set $1" ;;
	esac
}

# add_tables SET AM...: and the exact answers, on two processors.
add_tables() {
	local set=$1 am

	shift
	for am in "$@"; do
		run_psql -c "CALL ann.add_tables('$set', '$am')"
	done
	run_psql -c 'VACUUM ANALYZE'
	ask "$PLAIN" -c "CALL ann.answer('$set', 'true', 110, 1, $((QUERIES / 2)))" &
	ask "$PLAIN" -c "CALL ann.answer('$set', 'true', 110, $((QUERIES / 2 + 1)), $QUERIES)"
	wait $!
	for am in "$@"; do
		run_psql -c "CALL ann.mark_seen('$set', '$am')"
	done
	run_psql -c 'VACUUM ANALYZE'
}

# ---- what is measured ----

# build SET AM WORKERS
build() {
	ask "$PLAIN max_parallel_maintenance_workers=$3 min_parallel_table_scan_size=0" \
		-c "ALTER TABLE ann.$1_$2 SET (parallel_workers = $3)" \
		-c "CALL ann.build('$1', '$2', '$3 workers')"
}

# grid AM: settings from the cheapest on.
grid() {
	local target probe

	case $1 in
	hnsw) printf 'hnsw.ef_search=%s\n' 10 15 20 30 40 60 80 100 120 160 200 250 300 400 ;;
	ivfflat) printf 'ivfflat.probes=%s\n' 1 2 3 4 5 6 8 10 15 20 30 40 50 ;;
	*)
		for target in 0.95 0.97 0.99; do
			for probe in 2 3 4 6 8 16; do
				echo "lsh.target_recall=$target lsh.min_probe=$probe"
			done
		done
		;;
	esac
}

# ours AM
ours() { [[ $1 != hnsw && $1 != ivfflat ]]; }

# try_setting SET AM SETTINGS: prints t if it finds enough.
try_setting() {
	ask "$FORCED $3" -c "INSERT INTO ann.tried (set, am, settings, recall, cpu)
		SELECT '$1', '$2', '$3', ann.recall('$1', '$2', $QUERIES), (ann.clock('$1', '$2', $QUERIES, 0.2)).cpu
		RETURNING recall >= 0.97"
}

# search_settings SET AM: the peer's recall grows with its one setting, so the
# first that is enough is the cheapest; ours are all tried, and the default first.
search_settings() {
	local settings enough

	! ours "$2" || try_setting "$1" "$2" '' >"$SCRATCH/log/default"
	while read -r settings; do
		enough=$(try_setting "$1" "$2" "$settings")
		ours "$2" || [ "$enough" != t ] || break
	done < <(grid "$2")
}

# cheapest SET AM: its settings; those with the highest recall if none is enough.
cheapest() {
	ask '' -c "SELECT settings FROM ann.tried WHERE set = '$1' AND am = '$2'
		ORDER BY recall >= 0.97 DESC, CASE WHEN recall >= 0.97 THEN cpu ELSE -recall END LIMIT 1"
}

# time_inside SET AM LABEL SETTINGS [FILTER [K [N [SECONDS]]]]: one round within the server.
time_inside() {
	ask "$4" -c "SELECT ann.note('$1', '$2', '$3 wall', wall), ann.note('$1', '$2', '$3 cpu', cpu)
		FROM ann.clock('$1', '${2%_default}', ${7:-$QUERIES}, ${8:-0.6}, '${5:-true}', ${6:-10})" >/dev/null
}

# note_recall SET AM LABEL SETTINGS [FILTER [K [N [ANSWERED [BEHIND]]]]]
note_recall() {
	ask "$4" -c "SELECT ann.note('$1', '$2', '$3 recall', ann.recall('$1', '${2%_default}', ${7:-$QUERIES},
		'${5:-true}', ${6:-10}, '${8:-${5:-true}}', ${9:-0}))" >/dev/null
}

# time_clients SET AM SETTINGS CLIENTS: one round with clients outside.
time_clients() {
	local setting options='' log=$SCRATCH/log/pgbench table=ann.$1_${2%_default} rate

	for setting in $3; do
		options+=" -c $setting"
	done
	cat >"$SCRATCH/tmp/ask.sql" <<END
\set q random(1, $QUERIES)
SELECT id FROM $table ORDER BY v <-> (SELECT v FROM ${table}_q WHERE id = :q) LIMIT 10;
END
	as_guest env PGOPTIONS="$options" pgbench -n -M prepared -f "$SCRATCH/tmp/ask.sql" -c "$4" -j "$4" -T 1 \
		-h "$SOCKETS" -U postgres postgres >"$log" 2>&1 || { cat "$log" >&2; die "pgbench failed"; }
	rate=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$log")
	ask '' -c "SELECT ann.note('$1', '$2', 'rate, $4 clients', $rate)" >/dev/null
}

# time_set SET AM...: rounds in which everybody has his turn.
time_set() {
	local set=$1 am round variants=()
	local -A settings

	shift
	for am in "$@"; do
		search_settings "$set" "$am"
		settings[$am]="$FORCED $(cheapest "$set" "$am")"
		variants+=("$am")
		[ "$am" != lsh ] || { variants+=(lsh_default); settings[lsh_default]=$FORCED; }
	done
	for am in "${variants[@]}"; do
		note_recall "$set" "$am" query "${settings[$am]}"
	done
	for ((round = 1; round <= ROUNDS; round++)); do
		for am in "${variants[@]}"; do
			time_inside "$set" "$am" query "${settings[$am]}"
		done
		[[ $set != rec64_* ]] || continue
		for am in "${variants[@]}"; do
			time_clients "$set" "$am" "${settings[$am]}" 1
			time_clients "$set" "$am" "${settings[$am]}" 2
		done
	done
}

# The peer goes on searching behind a filter only if it is told to: by default
# settings, and by generous ones.
ITERATIVE='hnsw.iterative_scan=relaxed_order hnsw.ef_search=40'
GENEROUS='hnsw.iterative_scan=relaxed_order hnsw.ef_search=200 hnsw.max_scan_tuples=200000 hnsw.scan_mem_multiplier=4'

# time_filter SET AM LABEL FILTER: by the index, by btree and sort, as planned.
time_filter() {
	local set=$1 am=$2 label=$3 filter=$4 mine='' found

	[ "$am" != hnsw ] || mine=$ITERATIVE
	if [ "$am" = hnsw ]; then
		note_recall "$set" "$am" "$label generous" "$FORCED $GENEROUS" "$filter" 10 $FILTERED
		time_inside "$set" "$am" "$label generous" "$FORCED $GENEROUS" "$filter" 10 $FILTERED 0
	fi
	note_recall "$set" "$am" "$label index" "$FORCED $mine" "$filter" 10 $FILTERED
	time_inside "$set" "$am" "$label index" "$FORCED $mine" "$filter" 10 $FILTERED
	time_inside "$set" "$am" "$label btree" "$PLAIN enable_indexscan=off enable_seqscan=off" "$filter" 10 $FILTERED
	note_recall "$set" "$am" "$label planned" "$PLAIN $mine" "$filter" 10 $FILTERED
	time_inside "$set" "$am" "$label planned" "$PLAIN $mine" "$filter" 10 $FILTERED
	ask "$PLAIN $mine" -c "INSERT INTO ann.plans VALUES ('$set', '$am', '$label', ann.plan('$set', '$am', '$filter'))"
}

# time_filters SET AM...
time_filters() {
	local set=$1 am column label value

	shift
	for column in r100 r1000 c100 c1000; do
		value=$([[ $column = r* ]] && echo 7 || echo 0)
		label="$([[ $column = *1000 ]] && echo '0.1 %' || echo '1 %') $([[ $column = r* ]] && echo 'by chance' || echo 'together')"
		ask "$PLAIN" -c "CALL ann.answer('$set', '$column = $value', 10, 1, $FILTERED)"
		for am in "$@"; do
			run_psql -c "CREATE INDEX ON ann.${set}_$am ($column)" -c "ANALYZE ann.${set}_$am"
			time_filter "$set" "$am" "$label" "$column = $value"
			run_psql -c "DROP INDEX ann.${set}_${am}_${column}_idx"
		done
	done
}

# time_exclusion SET: ten new items where a hundred are seen, beside LIMIT 110.
time_exclusion() {
	local round new='i.id NOT IN (SELECT unnest(q.seen))'

	note_recall "$1" lsh excluded "$FORCED" "$new" 10 $FILTERED true 100
	for ((round = 1; round <= ROUNDS; round++)); do
		time_inside "$1" lsh 'limit 110' "$FORCED" true 110
		time_inside "$1" lsh excluded "$FORCED" "$new"
	done
}

# time_exact SET
time_exact() {
	local round

	note_recall "$1" lsh exact "$FORCED lsh.exact=on"
	for ((round = 1; round <= ROUNDS; round++)); do
		time_inside "$1" lsh exact "$FORCED lsh.exact=on" true 10 100
	done
	time_inside "$1" lsh scanned "$PLAIN enable_indexscan=off" true 10 5
}

# time_inserts SET AM...: 10,000 rows after a checkpoint, when each page that is
# touched for the first time is logged whole, and 10,000 without that.
time_inserts() {
	local set=$1 am

	shift
	for am in bare "$@"; do
		run_psql -c 'CHECKPOINT'
		ask "$PLAIN" -c "CALL ann.insert_rows('$set', '$am', 'first', 1, 10000)"
	done
	set_images off
	for am in bare "$@"; do
		ask "$PLAIN" -c "CALL ann.insert_rows('$set', '$am', 'steady', 10001, 10000)"
	done
	set_images on
}

# set_images on|off
set_images() {
	run_psql -c "ALTER SYSTEM SET full_page_writes = $1" -c 'SELECT pg_reload_conf()' >/dev/null
	run_psql -c 'CHECKPOINT'
}

# bench_set SET AM...
bench_set() {
	local set=$1 am start=$SECONDS

	shift
	make_set "$set" || return 0
	add_tables "$set" "$@"
	say "$set: loaded after $((SECONDS - start)) s"
	for am in "$@"; do
		[ "$set" != rec32 ] || build "$set" "$am" 0
		build "$set" "$am" 2
	done
	say "$set: built after $((SECONDS - start)) s"
	time_set "$set" "$@"
	case $set in
	rec64 | rec32)
		[[ " $* " != *" lsh "* ]] || { time_exact "$set"; time_exclusion "$set"; }
		time_filters "$set" $(without ivfflat "$@")
		time_inserts "$set" "$@"
		;;
	esac
	for am in bare "$@"; do
		run_psql -c "DROP TABLE ann.${set}_$am"
	done
	say "$set: done after $((SECONDS - start)) s"
}

# bench_families SET: both built, and grown from an empty table.
bench_families() {
	local set=$1 am

	make_set "$set" || return 0
	add_tables "$set" voronoi projection voronoi_grown projection_grown
	for am in voronoi projection; do
		build "$set" "$am" 0
		search_settings "$set" "$am"
		run_psql -c "CALL ann.grow('$set', '${am}_grown')" -c "VACUUM ANALYZE ann.${set}_${am}_grown"
		try_setting "$set" "${am}_grown" '' >"$SCRATCH/log/default"
	done
	say "$set: done after $SECONDS s"
}

# without NAME NAME...: the others.
without() {
	local name=$1 other

	shift
	for other in "$@"; do
		[ "$other" = "$name" ] || echo "$other"
	done
}

# find_methods: sets METHODS, the access methods that the server has.
find_methods() {
	if [ "$(ask '' -c "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")" = 1 ]; then
		run_psql -c 'CREATE EXTENSION vector'
		say "pgvector $(ask '' -c "SELECT extversion FROM pg_extension WHERE extname = 'vector'")"
	else
		say 'peer not installed: pgvector does not take part'
	fi
	METHODS=$(ask '' -c "SELECT amname FROM pg_am WHERE amname IN ('lsh', 'hnsw', 'ivfflat') ORDER BY amname <> 'lsh', amname")
}

main() {
	local set

	open_bench ann "$(if [ -n "$INSIDE" ]; then echo $PEER_MAJOR; else echo 15; fi)" "$ANN_SETTINGS"
	gcc -O2 -o "$SCRATCH/ann_data" "$CHECKOUT/test/bench/ann_data.c" -lm
	machine
	say "$(ask '' -c 'SELECT version()')"
	run_psql -f "$CHECKOUT/test/bench/ann_setup.sql"
	if [ -n "$FAMILIES" ]; then
		for set in ${SETS//,/ }; do
			bench_families "$set"
		done
		run_psql -f "$CHECKOUT/test/bench/ann_families.sql"
		return
	fi
	find_methods
	for set in rec32 rec100 movielens citeulike; do
		! wanted $set || bench_set $set $METHODS
	done
	if wanted growth; then
		bench_set rec64_10k $METHODS
		bench_set rec64_100k $METHODS
	fi
	! wanted rec64 || bench_set rec64 $METHODS
	[ -z "$LARGE" ] || bench_set rec64_5m $(without hnsw $METHODS)
	machine
	run_psql -f "$CHECKOUT/test/bench/ann_report.sql"
	say "done in $SECONDS s"
}

read_arguments "$@"
METRICREC_DATA=$(readlink -f "${METRICREC_DATA:-$CHECKOUT/../shared/data}" || true)
if [ -n "$PEER" ]; then
	bench_with_peer ann "$CHECKOUT/test/bench/ann.sh" --sets "$SETS" ${LARGE:+--large} --inside
else
	main
fi
