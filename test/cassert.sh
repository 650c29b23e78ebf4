#!/usr/bin/env bash
# cassert.sh: the whole test suite on a PostgreSQL 15 server that is built with
# assertions and debugging checks (memory clobbering, chunk sentinels), from
# Debian's source package.  The built server is kept in the cache folder.
#
#   bash test/cassert.sh [--build-only] [options of check.sh]
#
# Some mirrors serve no source packages; then there is nothing to test with and
# the script says so and ends with success.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
SCRATCH=$(mktemp -d /tmp/metricrec-cassert.XXXXXX)
chmod 755 "$SCRATCH"
trap 'rm -rf "$SCRATCH"' EXIT
. "$HERE/lib/debian.sh"

MAJOR=15
SERVER=$CACHE/cassert-$MAJOR

# fetch_source FOLDER: leaves the upstream tarball there; false where the mirror
# has none.  The newest version is often not served, so all are tried.
fetch_source() {
	local apt version

	mkdir -p "$1/lists/partial" "$1/archives/partial"
	source_lists >"$1/sources.list"
	apt="-o Dir::State::Lists=$1/lists -o Dir::Cache=$1 -o Dir::Etc::SourceList=$1/sources.list
		-o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root"
	apt-get -qq $apt update >"$1/log" 2>&1 || return 1
	for version in $(apt-cache $apt showsrc postgresql-$MAJOR | sed -n 's/^Version: //p' | sort -rVu); do
		if (cd "$1" && apt-get -qq $apt source --download-only "postgresql-$MAJOR=$version") >>"$1/log" 2>&1; then
			say "source of PostgreSQL $version fetched"
			return 0
		fi
	done
	return 1
}

# build_server SOURCE: configures, builds and installs as an unprivileged user.
build_server() {
	local build=$SCRATCH/build stage=$SCRATCH/stage guest=

	mkdir -p "$build" "$stage"
	tar -C "$build" --strip-components=1 -xf "$1"/postgresql-${MAJOR}_*.orig.tar.*
	if [ "$(id -u)" = 0 ]; then
		guest='runuser -u nobody --'
		chown -R nobody: "$build" "$stage"
	fi
	# Staged first, so that a build that fails half way leaves no server behind.
	(
		cd "$build" &&
			$guest ./configure --prefix="$SERVER" --enable-cassert --enable-debug --enable-tap-tests \
				--without-icu --without-readline CFLAGS='-Og -g' CC=gcc &&
			$guest make -s -j"$(nproc)" &&
			$guest make -s install DESTDIR="$stage" &&
			$guest make -s -C contrib install DESTDIR="$stage"
	) >"$SCRATCH/build.log" 2>&1 </dev/null || {
		tail -n 30 "$SCRATCH/build.log" >&2
		die "PostgreSQL $MAJOR with assertions could not be built"
	}
	chown -R "$(id -u):$(id -g)" "$stage"
	mv "$stage$SERVER" "$SERVER"
}

if [ ! -x "$SERVER/bin/postgres" ]; then
	mkdir -p "$CACHE" "$SCRATCH/source"
	install_packages gcc make libc6-dev zlib1g-dev bison flex perl bzip2
	if ! fetch_source "$SCRATCH/source"; then
		say "SKIPPED: the Debian mirror of this machine serves no source of PostgreSQL $MAJOR, so there is no server with assertions"
		exit 0
	fi
	say "building PostgreSQL $MAJOR with assertions (some minutes)"
	build_server "$SCRATCH/source"
	say "server with assertions: $SERVER"
fi
[ "${1:-}" != --build-only ] || exit 0
rm -rf "$SCRATCH"
exec bash "$HERE/check.sh" --cassert "$SERVER" "$@"
