# lmodel verify: what it finds, what it calls it, and what --repair mends.
. "${srcdir:-.}/tests/lib/tap.sh"

python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors w:F32:300x100 b:F32:300 u:U8:5000:random \
	s:I64: --meta k=v || exit 99
echo note >note.txt
lmodel pack --attach note.txt --chunk-size 16KiB m.safetensors || exit 99

# hurt OUT CODE: CODE changes `raw`; A and B are the slots, R their size
cat >hurt.py <<'P'
import os, sys
sys.path.insert(0, os.environ["srcdir"] + "/tests/lib")
from places import place
raw = bytearray(open("m.lmodel", "rb").read())
R = int(bytes(raw[1024 + 124:1024 + 135]), 8)
A, B = 1536, 1536 + R + 512
def header(name):
    return raw.index(name.encode() + b"\0", B + R) // 512 * 512
def data(name):
    return place(raw, name)[0]
def size(name):
    return place(raw, name)[1]
exec(sys.argv[2])
open(sys.argv[1], "wb").write(raw)
P
hurt() { python3 hurt.py "$1" "$2" || exit 99; }

# all is well
run 0 lmodel verify m.lmodel
is "$out$err" "" "nothing is printed when all is well"
run 0 lmodel verify -v m.lmodel
like "$err" '^lmodel: m.lmodel: ok: 6 members, [0-9]+ chunks, ' "-v says how much"
run 0 lmodel verify --json m.lmodel
printf '%s' "$out" | python3 -c 'import json, os, sys
d = json.load(sys.stdin)
assert d["ok"] is True and d["faults"] == d["notes"] == 0 and d["findings"] == []
assert d["bytes"] == os.stat("m.lmodel").st_size, (d["bytes"], os.stat("m.lmodel").st_size)'
ok $? "every byte was looked at, once"
run 0 sh -c 'lmodel verify - <m.lmodel'

# found "NAME" CODE "FINDING": a fault, told in a line that matches; --repair does not touch it
found() {
	hurt bad.lmodel "$2"
	run 4 lmodel verify bad.lmodel
	like "$err" "^lmodel: (bad\.lmodel: fault: |'bad\.lmodel': ).*$3" "$1"
	is "$out" "" "on standard error: $1"
	cp bad.lmodel bad.before
	run 4 lmodel verify --repair bad.lmodel
	same bad.lmodel bad.before "--repair leaves it alone: $1"
}
found "a chunk" 'raw[data("w") + 40] ^= 4' "base/w.*chunk 0 .*SHA-256 does not match"
found "the last chunk" 'raw[data("u") + 4999] ^= 4' "base/w.*row .*chunk 0 .*SHA-256 does not match"
found "the list of hashes" 'raw[data("w") + size("w") - 1] ^= 4' "base/w.*SHA-256 list"
found "a skeleton" 'raw[data("m.safetensors") + 20] ^= 1' "skeleton/m.safetensors"
found "a side file" 'raw[data("note.txt")] ^= 1' "attachment/note.txt"
found "padding behind a member" 'raw[data("s") + size("s")] = 1' \
	"padding: bytes at [0-9]+ are not zero"
found "padding of the mimetype" 'raw[1000] = 1' "padding of mimetype"
found "a member's name" 'raw[header("base/w") + 5] ^= 1' ""
found "a member's checksum" 'raw[header("base/w") + 150] ^= 1' ""
found "a member's size" 'raw[header("base/w") + 134] ^= 1' ""
found "cut in the middle" 'del raw[data("u") + 100:]' ""
found "cut to the slots" 'del raw[B + R:]' ""
found "cut in slot B" 'del raw[B + 100:]' ""
found "both slots" 'raw[A + 100] ^= 1; raw[B + 100] ^= 1' "manifest"
found "no archive" 'raw[:] = b"x" * 5000' "not an lmodel archive"
found "an empty file" 'raw[:] = b""' ""

# several faults are all told
hurt bad.lmodel 'w = data("w"); raw[w + 9] ^= 4; raw[w + 50000] ^= 4
raw[data("u")] ^= 4; raw[1000] = 1'
run 4 lmodel verify bad.lmodel
is "$(printf '%s\n' "$err" | grep -c ': fault: ')" 4 "four faults, four lines"
run 4 lmodel verify --json bad.lmodel
printf '%s' "$out" | python3 -c 'import json, sys
d = json.load(sys.stdin)
assert d["ok"] is False and d["status"] == 4 and d["faults"] == 4 and len(d["findings"]) == 4'
ok $? "and so in JSON"
run 4 lmodel verify -q bad.lmodel
is "$err" "" "-q says nothing"

# notes are no faults
hurt note.lmodel 'raw += b"garbage" * 100'
run 0 lmodel verify note.lmodel
like "$err" '^lmodel: note.lmodel: note: [0-9]+ bytes after the committed end: an interrupted append$' \
	"an append that was cut off"

# mended "NAME" CODE STATUS "FINDING": before repair verify says so; after it the file is as new
mended() {
	hurt mend.lmodel "$2"
	run "$3" lmodel verify mend.lmodel
	like "$err" "$4" "$1"
	run 0 lmodel extract -f -o out mend.lmodel
	same out m.safetensors "all is readable: $1"
	run 0 lmodel verify --repair mend.lmodel
	like "$err" "^lmodel: mend.lmodel: repaired$" "said: $1"
	same mend.lmodel m.lmodel "as new: $1"
	run 0 lmodel verify --repair mend.lmodel
	is "$err" "" "a second time there is nothing to mend: $1"
}
mended "slot A damaged" 'raw[A + 3000] ^= 1' 4 "fault: manifest.sqlite: .*--repair mends"
mended "slot A zeroed" 'raw[A:A + R] = bytes(R)' 4 "fault: manifest.sqlite: "
mended "slot B damaged" 'raw[B + 3000] ^= 1' 4 "fault: manifest.backup.sqlite: "
mended "slot B zeroed" 'raw[B:B + R] = bytes(R)' 4 "fault: manifest.backup.sqlite: "
mended "footer of slot A" 'raw[A + R - 512] ^= 1' 4 "fault: manifest.sqlite: "
mended "footer of slot B" 'raw[B + R - 512] ^= 1' 4 "fault: manifest.backup.sqlite: "
mended "padding of slot A" 'raw[A + R - 513] = 1' 4 "manifest.sqlite: bytes that must be zero are not"
mended "padding of slot B" 'raw[B + R - 513] = 1' 4 \
	"manifest.backup.sqlite: bytes that must be zero are not"
mended "garbage at the end" 'raw += b"x" * 12345' 0 "note: "
mended "end blocks cut" 'del raw[-1024:]' 4 "end-of-archive blocks are missing"
mended "end blocks cut in part" 'del raw[-100:]' 4 "end-of-archive blocks are missing"
mended "end blocks written over" 'raw[-700] = 1' 0 "note: "

# other damage stays a fault
hurt mend.lmodel 'raw[A + 3000] ^= 1; raw[data("w") + 9] ^= 4'
run 4 lmodel verify --repair mend.lmodel
like "$err" "base/w.*chunk 0" "what repair cannot mend is told"
unlike "$err" "manifest.sqlite" "what it did is not"

# what cannot be repaired
run 2 sh -c 'lmodel verify --repair - <m.lmodel'
is "$(printf '%s\n' "$err" | wc -l)" 1 "a stream cannot: one line"
run 2 lmodel verify .
run 1 lmodel verify missing.lmodel
leftovers "nothing is left"
done_testing
