#!/usr/bin/env bash
# check_size.sh [CHECKOUT]: rules on the text of the sources: length of files, no
# version test outside the one file for them, C as PostgreSQL writes it, no note
# to oneself left behind, nothing that only its writer can follow.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"
bad=0

# fault WHY LINES: LINES is what grep found, if anything.
fault() {
	[ -z "$2" ] || { printf '%s:\n%s\n' "$1" "$2"; bad=1; }
}

sources=$(find src -name '*.[ch]' | sort)
[ -n "$sources" ] || { echo "no source files"; exit 1; }
text=$(find . \( -name .git -o -name .ci -o -name tmp_check -o -name output_iso -o -name results \) -prune -o -type f \
	\( -name '*.[ch]' -o -name '*.sql' -o -name '*.md' -o -name '*.sh' -o -name '*.p[lm]' -o -name '*.spec' \
	-o -name Makefile -o -name '*.control' \) -print | sort)

fault "longer than 600 lines" "$(wc -l $sources | awk '$2 != "total" && $1 > 600')"
fault "PG_VERSION_NUM outside src/util/compat.h" "$(grep -n PG_VERSION_NUM $sources | grep -v '^src/util/compat.h:' || true)"
fault "// comment" "$(grep -nE '^([^"]|"[^"]*")*[^:"]//' $sources | grep -vE '^[^:]+:[0-9]+:\s*(/?\*|.*/\*)' || true)"
fault "line of spaces or spaces at the end" "$(grep -nE '[ 	]+$' $sources || true)"
fault "memory, thread or process outside PostgreSQL's own" \
	"$(grep -nE '(^|[^a-zA-Z_>.])(malloc|calloc|realloc|free|pthread_create|fork|system|_exit|exit)[ ]*\(' $sources |
		grep -vE '^[^:]+:[0-9]+:[ 	]*/?\*' || true)"
fault "note to oneself" "$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b(:| |$)' $text || true)"
fault "points at a thread that is not in the tree" "$(grep -niE '\b(issue|pull request|ticket) #?[0-9]+' $text || true)"
fault "absolute path of one machine" \
	"$(grep -nE "(^|[ \"'=(\`])/(home|root|work|mnt|media|srv|Users)/" $text || true)"
exit $bad
