#!/usr/bin/env bash
# 100,000 tensors: every command works, in memory of 64 MiB, eight chunks a job and 2 KiB a tensor,
# and what opening costs grows as the manifest does. Needs valgrind, 1 GB of disk and ten minutes.
. "${srcdir:-.}/tests/lib/tap.sh"

needs valgrind
real=$builddir/bin/.libs/lmodel
if [ -x "$real" ]; then
	export LD_LIBRARY_PATH="$builddir/libfmt/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
	real=$(command -v lmodel)
fi
lmodel keygen -q -o key && key=$(lmodel keygen -y key) || exit 99

# ---- in proportion ----

# instructions COMMAND...
instructions() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$real" "$@" 2>&1 >/dev/null |
		sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

for n in 1000 10000; do
	/usr/bin/python3 "$srcdir/tests/large/make_bf16.py" $n.safetensors $n 256 || exit 99
	run 0 lmodel pack -q --tier gold=8% --select random --owner "$key" -o $n.lmodel \
		$n.safetensors
done
for command in "list" "inspect" "inspect -i key" "list -l" "cat --raw"; do
	name=
	[ "$command" = "cat --raw" ] && name=model.layers.500.weight
	# shellcheck disable=SC2086
	few=$(instructions $command 1000.lmodel $name) many=$(instructions $command 10000.lmodel $name)
	[ "$((many))" -gt "$((few))" ] && [ $((many)) -lt $((few * 11)) ]
	ok $? "$command: ten times the tensors, $few and $many instructions"
done
rm -f 1000.* 10000.*

# ---- 100,000 ----

# most COMMAND...: runs it; fails when its resident memory was ever above the bound
most() {
	kib=$(/usr/bin/python3 -c 'import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=open("printed", "wb"))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)' "$real" "$@")
	ok $? "$1"
	[ "$kib" -lt $((65536 + 2 * 8 * 1024 + 2 * count)) ]
	ok $? "$1: $kib KiB"
}

count=100000
/usr/bin/python3 "$srcdir/tests/large/make_bf16.py" many.safetensors $count 256 || exit 99
most pack -q -j 2 -o plain.lmodel many.safetensors
most extract -q -j 2 -o back.safetensors plain.lmodel
same back.safetensors many.safetensors "which comes back byte for byte"
run 0 lmodel pack -q --tier gold=8% --select random --mask zero --owner "$key" -o many.lmodel \
	many.safetensors
most list many.lmodel
is "$(wc -l <printed)" $count "each tensor a line"
most list --json many.lmodel
is "$(grep -o '"dtype"' printed | wc -l)" $count "each tensor an entry"
most audit --json many.lmodel
most inspect -i key many.lmodel
most verify -q -j 2 -i key many.lmodel
most cat -i key --raw many.lmodel model.layers.77777.weight
tail -c $(((count - 77777) * 512)) many.safetensors | head -c 512 >wanted
same printed wanted "one of them"
most grant -q -i key --tier gold -r "$(lmodel keygen 2>/dev/null | sed -n 's/^# public key: //p')" \
	many.lmodel
most extract -q -j 2 -f -i key -o back.safetensors many.lmodel
same back.safetensors many.safetensors "with the key, byte for byte"
most rekey -q -i key --tier gold many.lmodel
most verify -q -j 2 -i key many.lmodel
done_testing
