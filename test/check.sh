#!/usr/bin/env bash
# check.sh: the whole test suite, one command on a bare Debian 12 as root.
#
#   bash test/check.sh             everything, also on PostgreSQL 17 and 18
#   bash test/check.sh --quick     PostgreSQL 15 only
#   --only KIND[,KIND]             of rules, clang, unit, sanitized, regress,
#                                  isolation, tap (15 only)
#   --tests 'NAME NAME'            of these names only (with --only)
#   --cassert FOLDER               the server installed there instead of Debian's 15
#   --coverage                     prints the line coverage of src/ (15 only)
#   --keep                         leaves the scratch folder, for a look at its logs
#
# Installs the Debian packages that are missing, builds a copy of the tree as an
# unprivileged user, and runs the tests on throw-away servers.  The last line is
# "N passed, N failed", with ", N skipped" if anything was.
#
# METRICREC_DATA names a folder with public data sets for the tests that can use
# them; by default the folder ../shared/data beside the checkout, if there is one.
set -euo pipefail
CHECKOUT=$(cd "$(dirname "$0")/.." && pwd)
. "$CHECKOUT/test/lib/debian.sh"
. "$CHECKOUT/test/lib/cluster.sh"
. "$CHECKOUT/test/lib/suites.sh"
. "$CHECKOUT/test/lib/roots.sh"

FIRST_MAJOR=15
OTHER_MAJORS="17 18"
PACKAGES="postgresql-15 postgresql-15-cron postgresql-server-dev-15 make gcc libc6-dev libipc-run-perl
	libopenblas0-serial libopenblas0-pthread"

KINDS=rules,clang,sanitized,unit,regress,isolation,tap
QUICK= LEG= COUNTS= SERVER= COVERAGE= WANTED= KEEP=

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; }

while [ $# -gt 0 ]; do
	case $1 in
	--quick) QUICK=1 ;;
	--only) KINDS=$2 QUICK=1; shift ;;
	--tests) WANTED=$2; shift ;;
	--cassert) SERVER=$2 QUICK=1; shift ;;
	--coverage) COVERAGE=1 QUICK=1 ;;
	--keep) KEEP=1 ;;
	--leg) LEG=$2 QUICK=1; shift ;;		# used by lib/roots.sh
	--counts) COUNTS=$2; shift ;;
	--help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

wanted() { [[ ",$KINDS," == *",$1,"* ]]; }

# find_data: sets METRICREC_DATA if the unprivileged user can read it.
find_data() {
	METRICREC_DATA=${METRICREC_DATA:-$CHECKOUT/../shared/data}
	METRICREC_DATA=$(readlink -f "$METRICREC_DATA" || true)
	if [ -z "$METRICREC_DATA" ] || [ ! -d "$METRICREC_DATA" ] ||
		! METRICREC_DATA= as_guest test -r "$METRICREC_DATA" -a -x "$METRICREC_DATA"; then
		METRICREC_DATA=
		say "no folder of public data sets (METRICREC_DATA): the tests that use them are skipped"
	fi
}

# build: the extension for the chosen server; warnings are errors on Debian's.
build() {
	local start=$SECONDS

	TREE=$SCRATCH/tree
	# Where gcc optimises less it also sees less, and warns of what is not so.
	[ -n "$SERVER$COVERAGE" ] || PG_CFLAGS=-Werror
	[ -z "$COVERAGE" ] || MAKE_VARIABLES+=(COVERAGE=1)
	copy_tree "$TREE"
	if ! build_extension >"$SCRATCH/log/build.log" 2>&1; then
		add_counts "build ($MAJOR)" 0 1 0 $((SECONDS - start))
		show_log build "$SCRATCH/log/build.log"
		finish
	fi
	add_counts "build ($MAJOR)" 1 0 0 $((SECONDS - start))
}

# finish: the counts, in the form that scripts read, and the exit code.
finish() {
	[ -z "$COUNTS" ] || echo "$PASSED $FAILED $SKIPPED" >"$COUNTS"
	if [ -z "$LEG" ]; then
		say "$SECONDS s"
		if [ "$SKIPPED" -gt 0 ]; then
			echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
		else
			echo "$PASSED passed, $FAILED failed"
		fi
	fi
	[ "$FAILED" = 0 ] && [ "$PASSED" -gt 0 ] || exit 1
	exit 0
}

open_scratch check
KEEP_SCRATCH=$KEEP
if [ -z "$LEG" ]; then
	install_packages $PACKAGES $([ -n "$QUICK" ] || echo mmdebstrap)
fi
choose_guest
if [ -n "$SERVER" ]; then
	use_server "$SERVER"
else
	use_debian_server "${LEG:-$FIRST_MAJOR}"
fi
find_data
say "$("$PG_CONFIG" --version)${SERVER:+ from $SERVER}, tests run as $GUEST"
build
if [ -z "$LEG" ]; then
	! wanted rules || run_rules
	! wanted clang || run_clang
	! wanted sanitized || run_sanitized
fi
! wanted unit || run_unit
! wanted regress || run_regress
! wanted isolation || run_isolation
! wanted tap || run_tap ${LEG:+quick}
[ -z "$COVERAGE" ] || bash "$CHECKOUT/.ci/coverage.sh" "$TREE"
if [ -z "$QUICK" ]; then
	for major in $OTHER_MAJORS; do
		run_leg "$major"
	done
fi
finish
