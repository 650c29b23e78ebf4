# roots.sh: other PostgreSQL versions, each in a root of its own made from the
# Debian suite that has it.  Sourced after cluster.sh and suites.sh.
#
# Every mount is made inside `unshare --mount --pid` and ends with it, so that a
# run that is killed leaves neither a mount nor a process behind.

# suite_of MAJOR: the Debian suite that has this PostgreSQL.
suite_of() {
	case $1 in
	17) echo trixie ;;
	18) echo forky ;;
	esac
}

# alone COMMAND...: in mount and process name spaces of its own.
alone() { unshare --mount --propagation private --pid --fork --kill-child "$@"; }

# make_root MAJOR FOLDER [PACKAGE]: lean, because the -dev package is unpacked and not
# installed: its dependencies are compilers for bitcode that is not built here.
# Forky's lists may be older than their own date allows.
make_root() {
	local suite mirror

	suite=$(suite_of "$1")
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || { echo "no Debian mirror is known to apt"; return 1; }
	alone timeout --foreground -k 10 900 mmdebstrap --quiet --mode=root --variant=apt \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		--aptopt='APT::Install-Recommends "false"' \
		--essential-hook='mkdir -p "$1/etc/postgresql-common"' \
		--essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"' \
		--include="postgresql-$1,make,gcc,libc6-dev,perl,libipc-run-perl,libopenblas0-serial,libopenblas0-pthread${3:+,$3}" \
		--customize-hook="chroot \"\$1\" sh -c 'cd /var/tmp && apt-get -qq download postgresql-server-dev-$1 && dpkg -x postgresql-server-dev-$1*.deb / && rm *.deb'" \
		"$suite" "$2" "$mirror"
}

# root_for MAJOR [PACKAGE]: prints the folder of its root (of one more, with this
# package in it), made now if it is not in the cache.  False, with the reason in the log, where it cannot be made.
root_for() {
	local root=$CACHE/root-$1${2:+-$2} new

	mkdir -p "$CACHE"
	(
		flock 9
		[ -x "$root/usr/lib/postgresql/$1/bin/postgres" ] && exit 0
		new=$root.new
		rm -rf --one-file-system "$new" "$root"
		make_root "$1" "$new" "${2:-}" && mv "$new" "$root"
	) 9>"$root.lock" >"$SCRATCH/log/root-$1.log" 2>&1 || return 1
	echo "$root"
}

# run_leg MAJOR: the same tests on another version; check.sh --leg does the work
# inside the root and reports its counts in a file.
run_leg() {
	local major=$1 root leg=$SCRATCH/leg-$1 start=$SECONDS passed failed skipped

	if ! root=$(root_for "$major"); then
		say "SKIPPED: PostgreSQL $major: no root could be made of Debian $(suite_of "$major"):"
		tail -n 5 "$SCRATCH/log/root-$major.log"
		SKIPPED=$((SKIPPED + 1))
		return 0
	fi
	say "PostgreSQL $major ($(suite_of "$major"); root ready after $((SECONDS - start)) s)"
	mkdir -p "$leg" "$leg/data"
	copy_tree "$leg/checkout"
	chmod 1777 "$leg"
	alone timeout --foreground -k 10 "${LEG_SECONDS:-900}" bash -s "$root" "$leg" "$major" "${METRICREC_DATA:-}" <<'END' || true
set -e
root=$1 leg=$2 major=$3 data=$4
[ -z "$data" ] || mount --bind "$data" "$leg/data"
mount --rbind "$leg" "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
	${data:+METRICREC_DATA=/tmp/data} \
	bash /tmp/checkout/test/check.sh --leg "$major" --counts /tmp/counts </dev/null
END
	if read -r passed failed skipped <"$leg/counts" 2>/dev/null; then
		PASSED=$((PASSED + passed))
		FAILED=$((FAILED + failed))
		SKIPPED=$((SKIPPED + skipped))
	else
		FAILED=$((FAILED + 1))
		say "PostgreSQL $major: FAILED: the leg did not finish"
	fi
	say "PostgreSQL $major took $((SECONDS - start)) s"
}
