# suites.sh: the kinds of tests and how each is counted.  Sourced after
# cluster.sh.  Each run_* function adds to PASSED, FAILED and SKIPPED and shows
# what failed; none of them ends the script.

PASSED=0
FAILED=0
SKIPPED=0

# add_counts NAME PASSED FAILED SKIPPED SECONDS
add_counts() {
	PASSED=$((PASSED + $2))
	FAILED=$((FAILED + $3))
	SKIPPED=$((SKIPPED + $4))
	say "$1: $2 passed, $3 failed, $4 skipped ($5 s)"
}

# matches FILE REGEX: the number of lines.
matches() { grep -cE "$2" "$1" || true; }

# show_log TITLE FILE [LINES]
show_log() {
	[ -s "$2" ] || return 0
	echo "---- $1"
	head -n "${3:-200}" "$2"
	echo "----"
}

# run_check NAME COMMAND...: one check, passed if the command succeeds.
run_check() {
	local name=$1 start=$SECONDS log=$SCRATCH/log/check.log

	shift
	if "$@" >"$log" 2>&1; then
		add_counts "$name" 1 0 0 $((SECONDS - start))
	else
		add_counts "$name" 0 1 0 $((SECONDS - start))
		show_log "$name" "$log"
	fi
}

# run_rules: the rules of the repository that a script can check.
run_rules() {
	local script

	for script in "$TREE"/.ci/check_*.sh; do
		run_check "rule $(basename "$script" .sh)" as_guest env PG_CONFIG="$PG_CONFIG" \
			bash "$script" "$TREE"
	done
}

# run_clang: compiles a copy of the tree with clang, warnings as errors.
run_clang() {
	local clang

	clang=$(command -v clang clang-19 clang-14 | head -n 1) || true
	if [ -z "$clang" ]; then
		say "SKIPPED: no clang"
		SKIPPED=$((SKIPPED + 1))
		return 0
	fi
	copy_tree "$SCRATCH/clang"
	# The flags of a server that gcc built are not all known to clang.
	run_check "build with clang" as_guest env \
		PG_CFLAGS="-Werror -Wno-unknown-warning-option -Wno-ignored-attributes -Wno-ignored-optimization-argument -Wno-unused-command-line-argument" \
		make -s -C "$SCRATCH/clang" -j"$(nproc)" CC="$clang" PG_CONFIG="$PG_CONFIG" with_llvm=no all
}

# count_tap LOG STATUS: reads lines of the Test Anything Protocol; sets passed,
# failed, skipped.  A file that died after its last good line has no failed one
# and counts as one, as does a run that ends in an error for any other reason.
count_tap() {
	skipped=$(matches "$1" '^ok [0-9]+.*# *(SKIP|skip)')
	skipped=$((skipped + $(matches "$1" ' skipped: ')))
	passed=$(($(matches "$1" '^ok [0-9]') - $(matches "$1" '^ok [0-9]+.*# *(SKIP|skip)')))
	failed=$(($(matches "$1" '^not ok [0-9]') - $(matches "$1" '^not ok .*# *TODO')))
	failed=$((failed + $(matches "$1" '\(Wstat: [1-9].*Failed: 0\)')))
	if [ "$2" != 0 ] && [ "$failed" = 0 ]; then
		failed=1
	fi
}

# run_unit [NAME TREE MAKE_ARGUMENT...]: C programs that need no server, run by prove.
run_unit() {
	local name=${1:-unit} TREE=${2:-$TREE} log start=$SECONDS status=0 passed failed skipped

	shift $(($# < 2 ? $# : 2))
	log=$SCRATCH/log/$name.log
	ls "$TREE"/test/unit/*_test.c >/dev/null 2>&1 || return 0
	make_in_tree -j"$(nproc)" unit PROVE_FLAGS=--verbose "$@" >"$log" 2>&1 || status=$?
	count_tap "$log" $status
	add_counts "$name ($MAJOR)" "$passed" "$failed" "$skipped" $((SECONDS - start))
	if [ "$failed" != 0 ]; then
		grep -vE '^ok ' "$log" >"$log.failed" || true
		show_log "$name" "$log.failed"
	fi
}

# run_sanitized: the unit tests once more, with the checks of gcc's sanitizers
# for memory and undefined behaviour compiled in.
run_sanitized() {
	copy_tree "$SCRATCH/sanitized"
	run_unit sanitized "$SCRATCH/sanitized" \
		UNIT_CFLAGS='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all'
}

# run_pg_regress KIND LOG TESTS MAKE_ARGUMENT...: pg_regress or
# pg_isolation_regress on a server of its own.  Up to 15 its lines are
# "test x ... ok", since then they follow the Test Anything Protocol.
run_pg_regress() {
	local kind=$1 log=$2 tests=$3 start=$SECONDS status=0 expected passed failed

	shift 3
	expected=$(wc -w <<<"$tests")
	[ "$expected" -gt 0 ] || return 0
	make_in_tree installcheck TAP_TESTS= "$@" \
		EXTRA_REGRESS_OPTS="--temp-instance=$SCRATCH/tmp/$kind --temp-config=$TEMP_CONF" >"$log" 2>&1 || status=$?
	passed=$(matches "$log" '^(test .*\.\.\. ok|ok )')
	failed=$((expected - passed))
	if [ $status != 0 ] && [ $failed -le 0 ]; then
		failed=1
	fi
	add_counts "$kind ($MAJOR)" "$passed" "$failed" 0 $((SECONDS - start))
	[ $failed = 0 ] || show_log "$kind" "$log" 100
}

# names FOLDER SUFFIX [WANTED]: base names of the tests there, or of the wanted ones.
names() {
	local file name

	for file in "$TREE/$1"/*"$2"; do
		[ -e "$file" ] || continue
		name=$(basename "$file" "$2")
		if [ -z "${3:-}" ] || [[ " $3 " == *" $name "* ]]; then
			printf '%s ' "$name"
		fi
	done
}

run_regress() {
	local tests

	tests=$(names test/sql .sql "${WANTED:-}")
	run_pg_regress regress "$SCRATCH/log/regress.log" "$tests" ISOLATION= REGRESS="$tests"
	show_log regression.diffs "$TREE/regression.diffs" 300
}

run_isolation() {
	local tests

	tests=$(names test/isolation/specs .spec "${WANTED:-}")
	run_pg_regress isolation "$SCRATCH/log/isolation.log" "$tests" REGRESS= ISOLATION="$tests"
	show_log "isolation regression.diffs" "$TREE/output_iso/regression.diffs" 300
}

# run_tap [quick]: quick leaves out files that say "# One version is enough.":
# what they test does not depend on the server's version.
run_tap() {
	local log=$SCRATCH/log/tap.log start=$SECONDS status=0 name files=() passed failed skipped

	for name in $(names test/t .pl "${WANTED:-}"); do
		if [ "${1:-}" = quick ] && grep -q '^# One version is enough' "$TREE/test/t/$name.pl"; then
			say "tap ($MAJOR): $name is run on the first version only"
			continue
		fi
		files+=("test/t/$name.pl")
	done
	[ ${#files[@]} -gt 0 ] || return 0
	make_in_tree installcheck REGRESS= ISOLATION= TAP_TESTS=1 PROVE_TESTS="${files[*]}" \
		PROVE_FLAGS="--verbose --timer -j2" >"$log" 2>&1 || status=$?
	count_tap "$log" $status
	add_counts "tap ($MAJOR)" "$passed" "$failed" "$skipped" $((SECONDS - start))
	grep -E '( skipped: |^ok [0-9]+.*# *(SKIP|skip))' "$log" || true
	if [ "$failed" != 0 ]; then
		grep -vE '^(ok |# (Running|Checking|Postmaster|Name|Data|Backup|Archive|Connection|Log|Killing|Taking|Found|Stopping|Restarting|No postmaster|Initializing)|$)' \
			"$log" | tail -n 150 >"$log.failed" || true
		show_log "TAP tests" "$log.failed"
		show_server_logs
	fi
}

# show_server_logs: the last words of the servers of failed TAP tests.
show_server_logs() {
	local file

	for file in "$TREE"/tmp_check/log/*; do
		[ -s "$file" ] || continue
		grep -qE 'PANIC|TRAP:|terminated by signal|FailedAssertion' "$file" || continue
		echo "---- $(basename "$file")"
		grep -E -B 3 -A 10 'PANIC|TRAP:|terminated by signal|FailedAssertion' "$file" | sed -n 1,60p
	done
}
