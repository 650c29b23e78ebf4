#!/usr/bin/env bash
# What leaving out seen items costs: recommend() for a user with 100 and with
# 1,000 seen items among 100,000, beside the plain query with LIMIT k + seen and
# the indexed read of the seen rows.  Must be at most 1.3 times their sum.
#
#   test/bench/seen.sh [rounds] [psql options, e.g. -h /tmp -p 5433 -U postgres -d postgres]
#
# Needs a running server with the extension installed; makes and drops the
# schema seen_bench.  The three are run in turn, after a warm-up, without
# parallel plans and JIT; the figures are medians in milliseconds.
set -eu
rounds=${1:-31}
shift || true
here=$(cd "$(dirname "$0")" && pwd)
exec psql -X -q -v ON_ERROR_STOP=1 -v rounds="$rounds" -f "$here/seen.sql" "$@"
