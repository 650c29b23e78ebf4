# bench.sh: what the benches with real data share: a server, the machine's state,
# the options.  Sourced after debian.sh and cluster.sh.

# open_bench NAME: bench_psql talks to the server that PGHOST or PGPORT names, if
# one of them is set (the extension must be installed there); else to a throw-away
# server with a build of this checkout.
open_bench() {
	if [ -n "${PGHOST:-}${PGPORT:-}" ]; then
		bench_psql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }
		return
	fi
	open_scratch "$1"
	install_packages postgresql-15 postgresql-server-dev-15 make gcc libc6-dev libopenblas0-serial
	choose_guest
	use_debian_server 15
	TREE=$SCRATCH/tree
	copy_tree "$TREE"
	build_extension >"$SCRATCH/log/build.log" 2>&1 || {
		tail -n 30 "$SCRATCH/log/build.log" >&2
		die "the build failed"
	}
	start_cluster
	bench_psql() { run_psql "$@"; }
}

# need_file FILE: benches without their data are skipped, and say so.
need_file() {
	[ -r "$1" ] && return
	say "SKIPPED: there is no $1; see test/bench/README.md for where the data comes from"
	exit 0
}

# machine: processor, cores, load: a figure means little without them.
machine() {
	say "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores," \
		"load average $(cut -d' ' -f1-3 /proc/loadavg)"
}

# usage: the comment at the head of the script.
usage() {
	sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
	exit 2
}

# read_options ARGUMENT...: sets FOLDER, SEEDS, DRAWS and ONLY.
read_options() {
	FOLDER='' SEEDS=1 DRAWS=1 ONLY=''
	while [ $# -gt 0 ]; do
		case $1 in
		--seeds) SEEDS=${2:?} && shift ;;
		--draws) DRAWS=${2:?} && shift ;;
		--only) ONLY=${2:?} && shift ;;
		-*) usage ;;
		*) FOLDER=$1 ;;
		esac
		shift
	done
	[ -n "$FOLDER" ] || usage
	[[ $SEEDS =~ ^[1-9][0-9]*$ && $DRAWS =~ ^[1-9][0-9]*$ ]] || usage
}

# run_recipes FILE [NAME=VALUE...]: psql on a bench's script with the options;
# output as it comes.
run_recipes() {
	local file=$1 variable variables=()

	shift
	for variable in "$@"; do
		variables+=(-v "$variable")
	done
	bench_psql -v seeds="$SEEDS" -v draws="$DRAWS" -v only="$ONLY" "${variables[@]}" -f "$file"
}
