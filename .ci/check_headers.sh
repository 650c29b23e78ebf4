#!/usr/bin/env bash
# check_headers.sh [CHECKOUT]: every header of ours compiles alone; those of the
# pure folders of src/README.md without the server's headers.
# Left out are *_kernels.h, whose text is compiled once per instruction set.
# PG_CONFIG names the server to compile for (default: pg_config).
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"
server=$("${PG_CONFIG:-pg_config}" --includedir-server)
pure=$(awk -F'|' '$4 ~ /yes/ {gsub(/ /, "", $2); print $2}' src/README.md)
bad=0

for header in $(find src -name '*.h' ! -name '*_kernels.h' | sort); do
	folder=$(basename "$(dirname "$header")")
	if grep -qx "$folder" <<<"$pure"; then
		text="#include \"${header#src/}\""
	else
		text="#include \"postgres.h\"
#include \"${header#src/}\""
	fi
	"${CC:-gcc}" -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-unused-function \
		-Wno-missing-field-initializers -Werror -fmax-errors=3 -fsyntax-only -Isrc -I"$server" -D_GNU_SOURCE \
		-x c - <<<"$text" || { echo "$header does not compile alone"; bad=1; }
done
exit $bad
