#!/usr/bin/env bash
# Rows per second of the loader, next to a bare SPI cursor in the same run.
#
#   test/bench/load.sh [rows] [psql options, e.g. -h /tmp -p 5433 -U postgres -d postgres]
#
# Needs a running server with the extension installed; makes and drops the
# schema load_bench.  Best of three runs each, one core, no JIT.
set -eu
rows=${1:-5000000}
shift || true
here=$(cd "$(dirname "$0")" && pwd)
exec psql -X -q -v rows="$rows" -f "$here/load.sql" "$@"
