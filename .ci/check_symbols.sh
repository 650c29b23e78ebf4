#!/usr/bin/env bash
# check_symbols.sh [CHECKOUT]: every symbol that the built library exports has a
# prefix of ours, because all extensions of a server share one name space.
# METRICREC_LIBRARY names the library (default: metricrec.so in CHECKOUT).
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"
library=${METRICREC_LIBRARY:-metricrec.so}

[ -r "$library" ] || { echo "no $library: build first"; exit 1; }
symbols=$(nm -D --defined-only "$library" | awk '{print $3}')
[ -n "$symbols" ] || { echo "$library exports nothing"; exit 1; }
strange=$(grep -vE '^(mr_|pg_finfo_mr_|lsh|pg_finfo_lsh|Pg_magic_func$|_PG_init$|_init$|_fini$|__gcov_|mangle_path$|__bss_start|_edata|_end)' <<<"$symbols" || true)
[ -z "$strange" ] || { printf 'exported without a prefix of ours:\n%s\n' "$strange"; exit 1; }
