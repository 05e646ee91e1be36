#!/bin/sh
# Runs every experiment of this folder in its small form, as `make check-eval` does:
#     examples/check-eval.sh [NAME...]
# One line of TAP each. Needs the built lmodel (build/bin/lmodel, or $LMODEL) and the packages
# below; data sets only if they are there. Ends with "N passed, N failed".
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-/usr/bin/python3}
limit=${CHECK_EVAL_SECONDS:-1200} # for one of them, on a machine that does other things too
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"

"$python" -c 'import matplotlib, numpy, torch' 2>/dev/null || {
	echo "check-eval needs python3-torch, python3-numpy and python3-matplotlib, and for the" \
		"real figures dataset-fashion-mnist" >&2
	exit 1
}
if [ $# -eq 0 ]; then
	for script in "$top"/examples/*.py; do
		case $(basename "$script" .py) in
		gnubg-to-safetensors) ;; # a converter
		*) set -- "$@" "$(basename "$script" .py)" ;;
		esac
	done
fi
out=$(mktemp -d "${TMPDIR:-/tmp}/lmodel-eval-XXXXXX")
trap 'rm -rf "$out"' EXIT
trap 'exit 1' INT TERM

# The document is there, says what made it, and the picture is one.
complete() {
	"$python" - "$out/$1.json" <<-'P' && { [ -s "$out/$1.png" ] || [ -s "$out/$1.svg" ]; }
		import json
		import sys

		document = json.load(open(sys.argv[1]))
		assert document["small"] is True
		assert {"command", "versions", "seed", "seconds"} <= document.keys()
	P
}

number=0 failed=0
for name; do
	number=$((number + 1))
	start=$(date +%s)
	if timeout "$limit" "$python" "$top/examples/$name.py" --small --out "$out" \
		>"$out/$name.log" 2>&1 </dev/null && complete "$name" 2>>"$out/$name.log"; then
		result='ok'
	else
		result='not ok'
		failed=$((failed + 1))
	fi
	echo "$result $number - $name ($(($(date +%s) - start)) s)"
	[ "$result" = ok ] || tail -n 20 "$out/$name.log" | sed 's/^/#   /'
done
echo "1..$number"
echo "$((number - failed)) passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$number" -gt 0 ]
