# Test Anything Protocol for shell tests. Source it first:
#
#     . "${srcdir:-.}/tests/lib/tap.sh"
#     run 0 lmodel list x.lmodel        # runs; fails the test unless the exit status is 0
#     is "$out" "a" "one tensor"        # $out, $err: what it printed
#     done_testing
#
# Each test runs in a fresh empty directory that is removed at its end. `lmodel` is the built
# one. A status of 126 and above (signal, sanitizer) is a failure even where failure is expected.
set -u
srcdir=$(cd "${srcdir:-.}" && pwd)
builddir=$(cd "${builddir:-.}" && pwd)
export srcdir builddir
PATH=$builddir/bin:$PATH
export LC_ALL=C.UTF-8 TZ=UTC
unset LMODEL_IDENTITY LMODEL_SIGNERS SOURCE_DATE_EPOCH NO_COLOR 2>/dev/null || :
# Models to test with; every test also runs on data that it makes itself.
data=${LMODEL_TEST_DATA:-$srcdir/../shared/data}
tap_count=0
tap_failed=0
tap_dir=$(mktemp -d "${TMPDIR:-/tmp}/lmodel-test-XXXXXX")
trap 'chmod -R u+rwx "$tap_dir" 2>/dev/null; rm -rf "$tap_dir"' EXIT
cd "$tap_dir" || exit 99
# What lmodel remembers of archives stays in the test.
export XDG_STATE_HOME=$tap_dir/.state

# ok STATUS NAME: passes when STATUS is 0.
ok() {
	tap_count=$((tap_count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_count - $2"
	else
		echo "not ok $tap_count - $2"
		tap_failed=$((tap_failed + 1))
	fi
	return 0
}

# needs TOOL...: fails for each that is missing, so that what goes without one is never left out
# in silence.
needs() {
	for tap_tool; do
		command -v "$tap_tool" >/dev/null
		ok $? "$tap_tool is installed"
	done
}

# needs_python MODULE...: the same for modules; $python is an interpreter that has all of them.
needs_python() {
	python=
	for tap_python in "${PYTHON:-/usr/bin/python3}" python3; do
		if "$tap_python" -c "import $(printf '%s, ' "$@" | sed 's/, $//')" 2>/dev/null; then
			python=$tap_python
			break
		fi
	done
	[ -n "$python" ]
	ok $? "a Python with $* is installed"
}

# is GOT WANTED NAME
is() {
	if [ "$1" = "$2" ]; then
		ok 0 "$3"
	else
		ok 1 "$3"
		printf 'got:    %s\nwanted: %s\n' "$1" "$2" | sed 's/^/#   /'
	fi
}

# like TEXT PATTERN NAME: PATTERN is an extended regular expression.
like() {
	if printf '%s\n' "$1" | grep -Eq -- "$2"; then
		ok 0 "$3"
	else
		ok 1 "$3"
		printf 'text:    %s\npattern: %s\n' "$1" "$2" | sed 's/^/#   /'
	fi
}

unlike() {
	if printf '%s\n' "$1" | grep -Eq -- "$2"; then
		ok 1 "$3"
		printf 'text:    %s\npattern: %s\n' "$1" "$2" | sed 's/^/#   /'
	else
		ok 0 "$3"
	fi
}

# same FILE FILE NAME: equal bytes.
same() {
	if cmp -s "$1" "$2"; then ok 0 "$3"; else ok 1 "$3"; cmp "$1" "$2" 2>&1 | sed 's/^/#   /'; fi
}

# run STATUS COMMAND...: runs it with empty standard input unless redirected; sets out, err, status.
run() {
	tap_wanted=$1
	shift
	"$@" >"$tap_dir/.out" 2>"$tap_dir/.err"
	status=$?
	out=$(tr -d '\000' <"$tap_dir/.out")
	err=$(tr -d '\000' <"$tap_dir/.err")
	if [ "$status" -eq "$tap_wanted" ]; then
		ok 0 "$* exits $tap_wanted"
	else
		ok 1 "$* exits $tap_wanted"
		{ echo "exit status $status"; head -c 4000 "$tap_dir/.out" "$tap_dir/.err"; } | sed 's/^/#   /'
	fi
}

# leftovers NAME: passes when no temporary file was left in the current directory.
leftovers() {
	tap_left=$(find . -name '.lmodel-*' -o -name '*.part' | sort)
	is "$tap_left" "" "$1"
}

done_testing() {
	echo "1..$tap_count"
	[ "$tap_failed" -eq 0 ]
	exit
}
