# cluster.sh: a scratch folder, an unprivileged user in it, the extension built
# and staged there, throw-away servers.  Sourced after debian.sh.
#
# Nothing is installed into the machine's PostgreSQL and nothing listens on a
# network port, so any number of runs may go on side by side.
#
# Sets: SCRATCH the run's folder, removed at the end with every server in it;
# GUEST the user who builds and runs the servers; TREE the copy of the checkout;
# BINDIR, PG_CONFIG, MAJOR the PostgreSQL in use; TEMP_CONF server settings that
# make the staged extension visible.

GUEST=$(id -un)
MAKE_VARIABLES=()

# open_scratch NAME: makes SCRATCH and arranges its end.
open_scratch() {
	SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/metricrec-$1.XXXXXX")
	chmod 755 "$SCRATCH"
	mkdir "$SCRATCH/log" "$SCRATCH/home" "$SCRATCH/tmp" "$SCRATCH/stage"
	KEEP_SCRATCH=
	trap close_scratch EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# stop_servers: every server that was started below SCRATCH, however it came there.
stop_servers() {
	local file pid tries

	find "$SCRATCH" -name postmaster.pid 2>/dev/null | while read -r file; do
		pid=$(head -n 1 "$file" 2>/dev/null || true)
		# Only a server whose files are ours is ours.
		[ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$(dirname "$file")" ] || continue
		kill -QUIT "$pid" 2>/dev/null || continue
		for tries in $(seq 50); do
			[ -d "/proc/$pid" ] || break
			sleep 0.1
		done
	done
}

close_scratch() {
	local status=$?

	trap - EXIT
	if [ -n "$KEEP_SCRATCH" ]; then
		warn "kept: $SCRATCH"
	else
		stop_servers
		rm -rf "$SCRATCH"
	fi
	exit $status
}

# choose_guest: PostgreSQL refuses to run as root; the user of Debian's packages
# is there as soon as they are installed.
choose_guest() {
	if [ "$(id -u)" = 0 ]; then
		GUEST=postgres
		id $GUEST >/dev/null 2>&1 || useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin $GUEST
	fi
	chown "$GUEST" "$SCRATCH/home" "$SCRATCH/tmp" "$SCRATCH/log" "$SCRATCH/stage"
}

# as_guest COMMAND...: runs it as GUEST with an environment of our own, so that
# no PG* variable or locale of the caller changes a result.
as_guest() {
	local run=()

	[ "$(id -u)" != 0 ] || run=(runuser -u "$GUEST" --)
	"${run[@]}" env -i HOME="$SCRATCH/home" TMPDIR="$SCRATCH/tmp" LC_ALL=C.UTF-8 TZ=UTC \
		PATH="$BINDIR:/usr/bin:/bin" PG_CFLAGS="${PG_CFLAGS:-}" \
		${TEMP_CONF:+TEMP_CONFIG="$TEMP_CONF"} ${METRICREC_DATA:+METRICREC_DATA="$METRICREC_DATA"} \
		${METRICREC_LONG:+METRICREC_LONG="$METRICREC_LONG"} ${METRICREC_SEED:+METRICREC_SEED="$METRICREC_SEED"} \
		"$@"
}

# copy_tree DESTINATION: the checkout without what git or make left in it.
copy_tree() {
	mkdir -p "$1"
	tar -C "$CHECKOUT" --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		--exclude='*.gcda' --exclude='*.gcno' --exclude=./results --exclude=./output_iso \
		--exclude=./tmp_check -cf - . | tar -C "$1" -xf -
	[ "$(id -u)" != 0 ] || chown -R "$GUEST": "$1"
}

# use_debian_server MAJOR / use_server FOLDER: which PostgreSQL to build for.
use_debian_server() {
	MAJOR=$1
	BINDIR=/usr/lib/postgresql/$MAJOR/bin
	PG_CONFIG=$BINDIR/pg_config
	STAGE=$SCRATCH/stage
	[ -x "$PG_CONFIG" ] || die "PostgreSQL $MAJOR is not installed in $BINDIR"
}

# A server of one's own cannot look for extensions elsewhere before PostgreSQL
# 18, so it is copied (PostgreSQL finds its files from where its programs lie)
# and the extension is installed into the copy.
use_server() {
	[ -x "$1/bin/pg_config" ] || die "no PostgreSQL under $1"
	cp -a "$1" "$SCRATCH/server"
	[ "$(id -u)" != 0 ] || chown -R "$GUEST": "$SCRATCH/server"
	BINDIR=$SCRATCH/server/bin
	PG_CONFIG=$BINDIR/pg_config
	MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	STAGE=
}

# make_in_tree TARGET...: make, as GUEST, for the chosen server.
make_in_tree() {
	as_guest make -s -C "$TREE" PG_CONFIG="$PG_CONFIG" with_llvm=no "${MAKE_VARIABLES[@]}" "$@"
}

# build_extension: compiles TREE and makes it visible to servers started with
# TEMP_CONF.
build_extension() {
	local share lib

	make_in_tree -j"$(nproc)" all || return 1
	make_in_tree install DESTDIR="$STAGE" || return 1
	TEMP_CONF=$SCRATCH/temp.conf
	{
		echo "fsync = off"
		echo "listen_addresses = ''"
		if [ -n "$STAGE" ]; then
			share=$STAGE$("$PG_CONFIG" --sharedir)
			lib=$STAGE$("$PG_CONFIG" --pkglibdir)
			echo "dynamic_library_path = '$lib:\$libdir'"
			if [ "$MAJOR" -ge 18 ]; then
				echo "extension_control_path = '$share:\$system'"
			else
				echo "extension_destdir = '$STAGE'"	# Debian's own setting
			fi
		fi
	} >"$TEMP_CONF"
	chmod 644 "$TEMP_CONF"
}

# start_cluster: a server of its own below SCRATCH; PGHOST and PGPORT are set
# for it, run_psql talks to it.
start_cluster() {
	CLUSTER=$SCRATCH/home/cluster
	SOCKETS=$SCRATCH/tmp
	as_guest initdb -D "$CLUSTER" -A trust -U postgres -E UTF8 --locale=C.UTF-8 --no-sync >"$SCRATCH/log/initdb.log"
	{
		cat "$TEMP_CONF"
		echo "unix_socket_directories = '$SOCKETS'"
	} >>"$CLUSTER/postgresql.conf"
	as_guest pg_ctl -D "$CLUSTER" -l "$SCRATCH/log/server.log" -w start >/dev/null || {
		tail -n 20 "$SCRATCH/log/server.log" >&2
		die "the server did not start"
	}
}

# run_psql ARGUMENT...
run_psql() {
	as_guest psql -X -q -v ON_ERROR_STOP=1 -h "$SOCKETS" -U postgres "$@"
}
