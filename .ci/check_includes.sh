#!/usr/bin/env bash
# check_includes.sh [CHECKOUT]: the include rules, read from the table in
# src/README.md.  Also: base names are unique in src/, because PGXS keeps
# dependencies by base name.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

awk '
	# The table of src/README.md: | folder | may include | pure |
	FILENAME == "src/README.md" {
		if (split($0, cell, "|") >= 4 && cell[2] !~ /folder|---/) {
			gsub(/ /, "", cell[2]); gsub(/ /, "", cell[3]); gsub(/ /, "", cell[4])
			known[cell[2]] = 1
			pure[cell[2]] = (cell[4] == "yes")
			n = split(cell[3], list, ",")
			for (i = 1; i <= n; i++) allowed[cell[2], list[i]] = 1
		}
		next
	}
	function fault(why) { print FILENAME ":" FNR ": " why ": " $0; bad = 1 }
	FNR == 1 {
		n = split(FILENAME, part, "/")
		folder = n > 2 ? part[2] : ""
		if (folder != "" && !(folder in known)) fault("folder is not in the table of src/README.md")
		if (part[n] in file) fault("base name is used twice, see " file[part[n]])
		file[part[n]] = FILENAME
		files++
	}
	pure[folder] && /(^|[^a-zA-Z_])(palloc|palloc0|pfree|ereport|elog|Datum|SPI_[a-z_]+)[ \t]*\(/ { fault("server function in a pure folder") }
	/^#[ \t]*include[ \t]+"/ {
		split($0, quoted, "\"")
		name = quoted[2]
		slash = index(name, "/")
		other = slash ? substr(name, 1, slash - 1) : ""
		ours = (other in known) && system("test -f src/" name) == 0
		if (name == "metricrec.h") next
		if (!ours) {
			if (pure[folder]) fault("server header in a pure folder")
			next
		}
		if (folder == "" && FILENAME ~ /metricrec\.c$/) next
		if (other != folder && !((folder, other) in allowed) && !((folder, name) in allowed))
			fault("src/" folder " may not include this")
	}
	END {
		if (!files) { print "no source files"; bad = 1 }
		exit bad
	}
' src/README.md $(find src -name '*.[ch]' | sort)
