#!/usr/bin/env bash
# The benchmark on tiny models: it runs, a result that differs is an error and stands in the report,
# peers that are missing are told, and counts that rise are.
. "${srcdir:-.}/tests/lib/tap.sh"
needs zstd bsdtar
needs_python numpy matplotlib

mkdir disk memory
bench() { # BUILT-TREE OUT ARGUMENT...
	local tree=$1 to=$2
	shift 2
	"$python" -B "$srcdir/bench/run" --quick --build "$tree" --memory memory --disk disk --out "$to" "$@"
}

run 0 bench "$builddir" good --only speed --only one --only start
for f in results.md results.json results.svg results.png; do
	[ -s good/$f ]
	ok $? "$f is written"
done
like "$(cat good/results.md)" '^\| zstd -3 -T0 \| [0-9.]+ ' 'a peer is measured'
like "$(cat good/results.md)" '^\| ZipNN \| not here: no --peers' 'a peer that is missing is told'
unlike "$(cat good/results.md)" 'WRONG' 'all results are right'
is "$("$python" -c '
import json
r = json.load(open("good/results.json"))["records"]
print(sorted({x["work"] for x in r["speed"]}), all(x["wall"][0] > 0 and x["peak"] > 1e6
                                                   for x in r["speed"] if x["tool"] == "lmodel"))
')" "['pack', 'unpack'] True" 'records have figures'
is "$(ls memory disk)" "$(printf 'disk:\n\nmemory:')" 'nothing is left behind'

# An lmodel whose last byte is another one.
mkdir -p lying/bin lying/bench
cp "$builddir/bench/timed" lying/bench/
printf 'bench-tools:\n' >lying/Makefile
cat >lying/bin/lmodel <<'END'
#!/bin/bash
"$REAL" "$@" || exit
[ "$1" = extract ] || exit 0
while [ "$1" != -o ]; do shift; done
printf '\377\376' | dd of="$2" bs=1 seek=$(($(stat -c %s "$2") - 2)) conv=notrunc status=none
END
chmod +x lying/bin/lmodel
REAL=$(command -v lmodel)
export REAL
run 1 bench lying bad --only speed
like "$(cat bad/results.md)" 'speed: results \| WRONG .*\*\*no\*\*: lmodel: .* is not the same as' \
	'a result that differs is told'

# Counts: of figures that are made up.
cat >compare.py <<'END'
import importlib.machinery
import importlib.util
import sys

sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("counts", sys.argv[1])
counts = importlib.util.module_from_spec(importlib.util.spec_from_loader("counts", loader))
loader.exec_module(counts)


def figures(**other):
    return {"pack": {"read": 1000, "written": 1000, "calls": 100, "instructions": 10000, **other}}


kept = {"versions": {"compiler": "a"}, "figures": figures()}
print(counts.compare(kept, figures(), {"compiler": "a"}),
      counts.compare(kept, figures(instructions=10299), {"compiler": "a"}),
      counts.compare(kept, figures(instructions=10301), {"compiler": "a"}),
      counts.compare(kept, figures(instructions=20000), {"compiler": "b"}),
      counts.compare(kept, figures(read=2000, calls=104), {"compiler": "b"}),
      counts.compare(kept, {}, {"compiler": "a"}))
END
is "$("$python" compare.py "$srcdir/bench/counts" | tail -n 1)" '0 0 1 0 2 1' 'counts that rise are told'
done_testing
