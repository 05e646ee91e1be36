# Inputs that others made odd or broken on purpose, one defect each, if they are there:
# $data/malformed, whose EXPECTED.tsv says of each what to do with it. In bounded time and memory.
. "${srcdir:-.}/tests/lib/tap.sh"

# A format joins when it has an importer.
formats="st npy npz gguf pth onnx"

# What is not refused at once must not take over a gigabyte; sanitizers take what they like.
limited() {
	if grep -q fsanitize "$builddir/config.status" 2>/dev/null; then
		timeout 60 "$@"
	else
		(ulimit -v 2000000 && exec timeout 60 "$@")
	fi
}

# accept FILE: it comes back as it was.
accept() {
	run 0 limited lmodel pack -q -f -o x.lmodel "$1"
	run 0 limited lmodel verify -q x.lmodel
	rm -rf back
	run 0 limited lmodel extract -q --format native -o back/ x.lmodel
	same "$1" "back/${1##*/}" "${1##*/} comes back as it was"
}

# refuse FILE: with a reason of one line.
refuse() {
	limited lmodel pack -f -o none.lmodel "$1" >.out 2>err
	status=$?
	is "$(case $status in 4 | 5 | 6) echo refused ;; *) echo "status $status" ;; esac)" refused \
		"${1##*/} is refused"
	like "$(cat err)" "^lmodel: .*${1##*/}" "${1##*/}: the file is named"
	is "$(wc -l <err) $(ls -d none.lmodel 2>/dev/null)" "1 " "${1##*/}: in one line, and no output"
}

expected=$data/malformed/EXPECTED.tsv
seen=0
if [ -r "$expected" ]; then
	while IFS='	' read -r file policy _; do
		case " $formats " in *" ${file%%/*} "*) ;; *) continue ;; esac
		path=$data/malformed/$file
		seen=$((seen + 1))
		case $policy in
		ACCEPT) accept "$path" ;;
		REJECT) refuse "$path" ;;
		EITHER)
			limited lmodel pack -q -f -o x.lmodel "$path" >.out 2>&1
			if [ $? -eq 0 ]; then accept "$path"; else refuse "$path"; fi ;;
		*) ok 1 "$file: policy '$policy' is not known" ;;
		esac
	done <"$expected"
	[ "$seen" -gt 90 ]
	ok $? "the table was read: $seen files"
else
	# The least that each of the two does is seen without the corpus.
	python3 "$srcdir/tests/lib/mkmodel.py" good.safetensors a:F32:3 || exit 99
	accept "$PWD/good.safetensors"
	head -c 20 good.safetensors >bad.safetensors
	refuse "$PWD/bad.safetensors"
fi
leftovers "nothing is left behind"
done_testing
