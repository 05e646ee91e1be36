# lmodel pack: names, side files, what exists already.
. "${srcdir:-.}/tests/lib/tap.sh"

mkmodel() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }
mkmodel m.safetensors a:F32:100x3 b:F32:3

# the archive's name
mkdir -p sub/deep && cp m.safetensors sub/deep/model.v1.safetensors && cp m.safetensors plain
cp m.safetensors .safetensors
cp m.safetensors n.npz   # names alone: the kind is told by content
cp m.safetensors n.v2.pth
cp m.safetensors n.txt
for pair in m.safetensors:m.lmodel sub/deep/model.v1.safetensors:model.v1.lmodel plain:plain.lmodel \
	n.npz:n.lmodel n.v2.pth:n.v2.lmodel n.txt:n.txt.lmodel \
	.safetensors:.safetensors.lmodel sub/deep:deep.lmodel sub/deep///:deep.lmodel; do
	rm -f ./*.lmodel ./.*.lmodel
	run 0 lmodel pack "${pair%%:*}"
	is "$out$err" "" "nothing is printed for ${pair%%:*}"
	is "$(find . -name '*.lmodel')" "./${pair##*:}" "${pair%%:*} becomes ${pair##*:}"
done
rm -f ./*.lmodel

# what exists already
run 0 lmodel pack m.safetensors
cp m.lmodel before
run 1 lmodel pack m.safetensors
is "$err" "lmodel: 'm.lmodel': exists already (-f replaces it)" "an existing archive"
same m.lmodel before "is left alone"
run 0 lmodel pack -f m.safetensors
cmp -s m.lmodel before
is $? 1 "-f replaces it"
cp m.lmodel before
head -c 100 m.safetensors >broken
run 4 lmodel pack -f -o m.lmodel broken
same m.lmodel before "-f and a bad input: the old one stays"
ln m.lmodel second
run 0 lmodel pack -f m.safetensors
same second before "it is replaced as a whole, not written over"
cp m.safetensors self
run 2 lmodel pack -o self self
same self m.safetensors "the input is not the output"

# -v, -q, --json
run 0 lmodel pack -v -f m.safetensors
like "$err" "^lmodel: 'm.lmodel': 2 tensors, 1\.2 kB -> [0-9.]+ kB \([0-9.]+%\)$" "-v is one line"
run 0 lmodel pack -f --json m.safetensors
like "$out" '"tensors": 2,.*"bytes": 1212,' "--json"

# side files
echo licence >LICENSE.txt && echo '{"a": 1}' >config.json && : >void
run 0 lmodel pack -f --attach LICENSE.txt --attach config.json=conf/my.json --attach void m.safetensors
is "$(lmodel list --attachments m.lmodel | sort | tr '\n' ' ')" "LICENSE.txt conf/my.json void " "--attach"
run 0 lmodel extract -o out/ m.lmodel
same out/LICENSE.txt LICENSE.txt "a side file comes back"
same out/conf/my.json config.json "below another name"
same out/void void "even an empty one"
same out/model.safetensors m.safetensors "with the model"
run 1 lmodel pack -f -o x.lmodel --attach missing m.safetensors
is "$err" "lmodel: 'missing': No such file or directory" "a missing side file"
cp LICENSE.txt 'a=b'
run 0 lmodel pack -f --attach 'a=b=c.txt' m.safetensors
is "$(lmodel list --attachments m.lmodel)" c.txt "the last = splits"
mkfifo fifo
refuse() {
	refuse_name=$1
	shift
	run 2 timeout 5 lmodel pack -o x.lmodel "$@" m.safetensors
	is "$out:$(printf '%s\n' "$err" | wc -l):$(ls x.lmodel 2>/dev/null)" ":1:" "one line, no archive: $refuse_name"
}
refuse "a FIFO as a side file" --attach fifo
refuse "a directory as a side file" --attach sub
refuse "weights by name" --attach m.safetensors=weights.txt
refuse "weights by the name given" --attach LICENSE.txt=m.GGUF
refuse "weights by content" --attach plain
refuse "two of one name" --attach LICENSE.txt=x --attach config.json=x
for name in ../x /x x/../y . .. x//y x/ /etc/passwd "$(printf 'a\nb')" "$(printf 'a\033b')" \
	"$(printf 'a\377b')" "$(printf '%0300d' 0)" "$(printf 'x/%.0s' $(seq 600))y"; do
	refuse "side file called $(printf '%.20s' "$name" | tr '\n\033\377' '???')" --attach "LICENSE.txt=$name"
done
printf 'PK\3\4zip' >zip && printf 'GGUF\3\0\0\0' >gguf && printf '\200\2}pickle' >pickle
printf '\223NUMPY\1\0' >npy && printf '\211HDF\r\n\032\n' >hdf && cp m.lmodel lm
for f in zip gguf pickle npy hdf lm; do
	refuse "side file that is $f" --attach $f=notes.txt
done
refuse "an output that is a directory" -o sub
refuse "an output that is a FIFO" -f -o fifo
refuse "an output that is a device" -f -o /dev/null

# inputs together
mkmodel n.safetensors a:F32:4
run 2 lmodel pack -o x.lmodel m.safetensors n.safetensors
like "$err" "'a'" "one tensor name in two inputs"
run 2 lmodel pack -o x.lmodel m.safetensors m.safetensors
run 2 lmodel pack -o x.lmodel m.safetensors sub/deep
run 1 lmodel pack -o x.lmodel m.safetensors missing
run 1 lmodel pack -o nowhere/x.lmodel m.safetensors
is "$(ls -d x.lmodel nowhere 2>/dev/null)" "" "none of these left anything"

# where nothing can be written
plain_user() {
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --bounding-set=-dac_override,-dac_read_search "$@"
	else
		"$@"
	fi
}
mkdir locked && chmod 555 locked
if ! plain_user touch locked/x 2>/dev/null; then
	run 1 plain_user lmodel pack -o locked/x.lmodel m.safetensors
	is "$err" "lmodel: 'locked': Permission denied" "a directory that cannot be written to"
	chmod 000 plain
	run 1 plain_user lmodel pack -o x.lmodel plain
	is "$err" "lmodel: 'plain': Permission denied" "an input that cannot be read"
fi
run 1 lmodel pack -o /proc/x.lmodel m.safetensors
is "$(printf '%s\n' "$err" | wc -l)" 1 "/proc takes no files: one line"

# modes
(umask 077 && lmodel pack -o private.lmodel m.safetensors; umask 002 && lmodel pack -o group.lmodel m.safetensors)
is "$(stat -c %a private.lmodel group.lmodel | tr '\n' ' ')" "600 664 " "umask holds"

leftovers "nothing is left"
done_testing
