# bench.sh: what the benches with real data share: a server, the machine's state,
# the options.  Sourced after debian.sh and cluster.sh.

# open_bench NAME [MAJOR [SETTINGS]]: bench_psql talks to the server that PGHOST or
# PGPORT names, if one of them is set (the extension must be installed there); else
# to a throw-away server with a build of this checkout.  With SETTINGS, lines of
# postgresql.conf, the server is always a throw-away one.
open_bench() {
	local major=${2:-15}

	if [ -z "${3:-}" ] && [ -n "${PGHOST:-}${PGPORT:-}" ]; then
		bench_psql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }
		return
	fi
	open_scratch "$1"
	# A root of another version has what is needed.
	[ "$major" != 15 ] ||
		install_packages postgresql-15 postgresql-server-dev-15 make gcc libc6-dev libopenblas0-serial
	choose_guest
	use_debian_server "$major"
	TREE=$SCRATCH/tree
	copy_tree "$TREE"
	build_extension >"$SCRATCH/log/build.log" 2>&1 || {
		tail -n 30 "$SCRATCH/log/build.log" >&2
		die "the build failed"
	}
	[ -z "${3:-}" ] || printf '%s\n' "$3" >>"$TEMP_CONF"
	start_cluster
	bench_psql() { run_psql "$@"; }
}

PEER_MAJOR=17

# bench_with_peer NAME SCRIPT ARGUMENT...: runs a bench of this checkout in a root
# that has pgvector.  Needs roots.sh; METRICREC_DATA goes along.
bench_with_peer() {
	local name=$1 script=${2#"$CHECKOUT"/} root leg

	shift 2
	[ "$(id -u)" = 0 ] || die "only root can make a root with pgvector"
	open_scratch "$name-peer"
	install_packages mmdebstrap
	root=$(root_for $PEER_MAJOR postgresql-$PEER_MAJOR-pgvector) || {
		tail -n 5 "$SCRATCH/log/root-$PEER_MAJOR.log" >&2
		die "no root with pgvector could be made of Debian $(suite_of $PEER_MAJOR)"
	}
	leg=$SCRATCH/leg
	mkdir -p "$leg/data"
	chmod 1777 "$leg"
	copy_tree "$leg/checkout"
	alone bash -s "$root" "$leg" "${METRICREC_DATA:-}" "/tmp/checkout/$script" "$@" <<'END'
set -e
root=$1 leg=$2 data=$3
shift 3
[ ! -d "$data" ] || mount --bind "$data" "$leg/data"
mount --rbind "$leg" "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
	METRICREC_DATA=/tmp/data bash "$@" </dev/null
END
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
