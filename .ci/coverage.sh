#!/usr/bin/env bash
# coverage.sh TREE: line coverage of src/ after the tests of a tree built with
# `make COVERAGE=1` (test/check.sh --coverage).  A line counts as run if any
# object built of it ran it: the library's or the unit tests'.
set -euo pipefail
cd "$1"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# gcov writes into the current folder, under the same name for every object of a source.
n=0
while read -r counts; do
	n=$((n + 1))
	mkdir "$out/$n"
	gcov -p -r -o "$(dirname "$counts")" "$counts" >/dev/null 2>&1 || true
	find . -maxdepth 1 -name '*.gcov' -exec mv -t "$out/$n" {} +
done < <(find . -name '*.gcda')

# A line of gcov's: "count:line:text", count "-" for no code, "#####" for never.
find "$out" -name '*.gcov' -print0 | sort -z | xargs -0 -r awk -F: '
	FNR == 1 { file = ""; if (match($0, /Source:.*/)) { file = substr($0, RSTART + 7); sub(/^\.\//, "", file) } }
	file ~ /^src\// && $2 + 0 > 0 {
		gsub(/ /, "", $1)
		if ($1 == "-") next
		lines[file, $2 + 0] = file
		if ($1 !~ /^[#=]/) run[file, $2 + 0] = 1
	}
	END {
		for (line in lines) { file = lines[line]; total[file]++; hit[file] += (line in run) }
		for (file in total) {
			printf "%-36s %5d of %5d lines  %5.1f%%\n", file, hit[file], total[file], 100 * hit[file] / total[file] | "sort"
			all += total[file]; covered += hit[file]
		}
		close("sort")
		if (all) printf "%-36s %5d of %5d lines  %5.1f%%\n", "src/", covered, all, 100 * covered / all
	}'
