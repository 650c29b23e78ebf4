#!/usr/bin/env bash
# quickstart.sh: see metricrec at work, one command on a bare Debian 12 as root.
#
#   bash test/quickstart.sh            installs what is missing, builds, starts a throw-away server as
#                                      an unprivileged user, does the main job on the example data
#   bash test/quickstart.sh --keep     leaves the server running and says how to connect and stop it
#
# Nothing is installed into the machine's PostgreSQL and no network port is opened.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"

KEEP=
case ${1:-} in
--keep) KEEP=1 ;;
'') ;;
*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

open_scratch quickstart
install_packages postgresql-15 make gcc libc6-dev libopenblas0-serial
unpack_server_dev 15
choose_guest
use_debian_server 15
TREE=$SCRATCH/tree
copy_tree "$TREE"
say "building for $("$PG_CONFIG" --version)"
build_extension >"$SCRATCH/log/build.log" 2>&1 || {
	tail -n 30 "$SCRATCH/log/build.log" >&2
	die "the build failed"
}
start_cluster
run_psql -v folder="$TREE/test/data/debian" -f "$TREE/test/quickstart.sql" postgres
echo
say "done in $SECONDS s"
if [ -n "$KEEP" ]; then
	KEEP_SCRATCH=1
	guest=$([ "$(id -u)" != 0 ] || echo "runuser -u $GUEST -- ")
	say "the server stays; connect with"
	echo "$BINDIR/psql -h $SOCKETS -U postgres postgres"
	say "and end it with"
	echo "$guest$BINDIR/pg_ctl -D $CLUSTER -m fast stop && rm -rf $SCRATCH"
fi
