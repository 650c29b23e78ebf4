# debian.sh: what the test scripts need from Debian: packages, the mirror that
# this machine uses, other PostgreSQL versions in roots of their own.
#
# Sourced, never run.  Nothing here names a mirror: it is read off apt.

# Where slow things are kept between runs: roots, server builds.
if [ "$(id -u)" = 0 ]; then
	CACHE=${METRICREC_CACHE:-/var/cache/metricrec}
else
	CACHE=${METRICREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/metricrec}
fi

say() { printf '== %s\n' "$*"; }
warn() { printf '== %s\n' "$*" >&2; }
die() { printf 'ERROR: %s\n' "$*" >&2; exit 2; }

# package_installed NAME
package_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages NAME...: installs what is missing and touches nothing else.
install_packages() {
	local name missing=()

	for name in "$@"; do
		package_installed "$name" || missing+=("$name")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || die "these packages are missing and only root can install them: ${missing[*]}"
	say "installing ${missing[*]}"
	# Debian's packages start a server at installation unless told not to.
	if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		mkdir -p /etc/postgresql-common
		echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
	fi
	(
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq -o DPkg::Lock::Timeout=600 update &&
			apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
				install --no-install-recommends "${missing[@]}"
	) >"$SCRATCH/apt.log" 2>&1 </dev/null || {
		tail -n 20 "$SCRATCH/apt.log" >&2
		die "apt-get could not install ${missing[*]}"
	}
}

# unpack_server_dev MAJOR: for a build only.  The package with the server's
# headers depends on compilers for bitcode, several hundred megabytes that nobody
# needs who only wants to look; so where it is not installed it is unpacked in
# the scratch folder, and make is told where (the makefiles come with the client).
unpack_server_dev() {
	local dev=$SCRATCH/dev package=postgresql-server-dev-$1

	! package_installed "$package" || return 0
	(
		mkdir -p "$dev" && cd "$dev" &&
			{ apt-get -qq download "$package" || { apt-get -qq update && apt-get -qq download "$package"; }; } &&
			dpkg -x "$package"_*.deb .
	) >"$SCRATCH/apt.log" 2>&1 </dev/null || {
		tail -n 20 "$SCRATCH/apt.log" >&2
		die "apt-get could not download $package"
	}
	MAKE_VARIABLES+=(includedir_server="$dev/usr/include/postgresql/$1/server")
}

# debian_mirror: the address of the Debian archive this machine installs from.
debian_mirror() {
	local codename

	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $codename" \
		'Component: main' 2>/dev/null | head -n 1
}

# source_lists: deb-src lines of every Debian suite this machine installs from.
source_lists() {
	local keys=/usr/share/keyrings/debian-archive-keyring.gpg signed=

	[ ! -r $keys ] || signed="[signed-by=$keys] "
	apt-get indextargets --format "deb-src $signed\$(SITE) \$(CODENAME) main" \
		'Created-By: Packages' 'Origin: Debian' 'Component: main' | sort -u
}
