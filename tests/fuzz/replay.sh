# Every fuzz target runs over its whole corpus.
. "${srcdir:-.}/tests/lib/tap.sh"

export ASAN_OPTIONS=${ASAN_OPTIONS:-} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
targets=0
for source in "$srcdir"/tests/fuzz/fuzz_*.c; do
	name=${source##*/fuzz_} name=${name%.c}
	corpus=$srcdir/tests/fuzz/corpus/$name
	targets=$((targets + 1))
	inputs=$(find "$corpus" -maxdepth 1 -type f ! -name README ! -name '.*' 2>/dev/null | wc -l)
	[ "$inputs" -gt 0 ]
	ok $? "$name has a corpus ($inputs inputs)"
	mkdir -p "work.$name"
	run 0 timeout 300 "$builddir/tests/fuzz/fuzz_$name" "$corpus"
	# replay.c names each input that it runs; libFuzzer counts them
	ran=$(printf '%s\n' "$out" | grep -c "^$corpus/")
	[ "$ran" -eq "$inputs" ] || [ "$ran" -eq 0 ]
	ok $? "$name ran over $ran of $inputs"
	if [ "$ran" -eq 0 ]; then
		like "$err" "Done|executed|runs" "$name ran under libFuzzer"
	fi
done
[ $targets -ge 3 ]
ok $? "there are targets ($targets)"
for corpus in "$srcdir"/tests/fuzz/corpus/*/; do
	name=$(basename "$corpus")
	[ -f "$srcdir/tests/fuzz/fuzz_$name.c" ]
	ok $? "corpus $name has a target"
done
done_testing
