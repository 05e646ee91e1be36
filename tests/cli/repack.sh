# lmodel repack: the same content in a new file; room for what was there for nothing.
. "${srcdir:-.}/tests/lib/tap.sh"

mkmodel() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }
field() { lmodel inspect --json "$1" | python3 -c 'import json, sys
print(json.load(sys.stdin)[sys.argv[1]])' "$2"; }
root() { field "$1" content_root; }

mkmodel m.safetensors w:F32:300x200 b:BF16:5000 u:U8:9000:arange s:I64: e:F32:0x2 \
	twin:F32:300x200:normal:t twin2:F32:300x200:normal:t --meta k=v
echo note >note.txt
lmodel pack --attach note.txt m.safetensors || exit 99
cp m.lmodel original.lmodel
root=$(root m.lmodel) id=$(field m.lmodel id)
like "$root" '^[0-9a-f]{64}$' "a content root to compare"

# to another file
run 0 lmodel repack -o copy.lmodel m.lmodel
is "$out$err" "" "nothing is printed"
same m.lmodel original.lmodel "the archive stays as it is"
is "$(root copy.lmodel) $(field copy.lmodel id)" "$root $id" "content root and id stay"
is "$(field copy.lmodel content_generation)" 1 "so does the generation"
run 0 lmodel verify copy.lmodel
run 0 lmodel diff -q m.lmodel copy.lmodel
run 1 lmodel repack -o copy.lmodel m.lmodel
is "$err" "lmodel: 'copy.lmodel': exists already (-f replaces it)" "an existing output"
run 0 lmodel repack -f -o copy.lmodel m.lmodel

# in place
chmod 640 m.lmodel
run 0 lmodel repack m.lmodel
run 0 lmodel verify m.lmodel
is "$(root m.lmodel) $(field m.lmodel id)" "$root $id" "in place: content root and id stay"
is "$(stat -c %a m.lmodel)" 640 "in place: permissions stay"
cp original.lmodel open.lmodel
exec 9<open.lmodel
run 0 lmodel repack --level fast open.lmodel
cat <&9 >old && exec 9<&-
same old original.lmodel "a reader goes on with the old file"

# recode
generation=1
for level in fast default small; do
	generation=$((generation + 1))
	run 0 lmodel repack --level $level m.lmodel
	is "$(field m.lmodel content_generation) $(field m.lmodel id)" "$generation $id" \
		"level $level: the generation rises, the id stays"
	run 0 lmodel diff m.lmodel original.lmodel
	run 0 lmodel verify m.lmodel
done
run 0 lmodel repack --chunk-size 4KiB -j 2 m.lmodel
is "$(field m.lmodel content_generation) $(field m.lmodel chunk_bytes)" "5 4096" \
	"chunk size: the generation rises"
[ "$(root m.lmodel)" != "$root" ]
ok $? "and the content root is another"
run 0 lmodel extract -f -o out.safetensors m.lmodel
same out.safetensors m.safetensors "after five of them the model is the same"
run 0 lmodel extract -o out/ m.lmodel
same out/note.txt note.txt "and its side file"
run 0 lmodel repack -v m.lmodel
like "$err" "^lmodel: 'm.lmodel': .*B -> .*B" "-v is one line"

# a dead range, as a change in place leaves it: gone after repack, and never carried along
cat >kill.py <<'P'
# kill.py ARCHIVE OUT STATE: a member of 3000 bytes that the manifest calls dead, at the end
import hashlib, os, struct, sys
sys.path.insert(0, os.environ["srcdir"] + "/tests/lib")
from forge import whole_schema
raw = bytearray(open(sys.argv[1], "rb").read())
size = int(bytes(raw[1024 + 124:1024 + 135]), 8)
a, b = 1536, 1536 + size + 512
foot = bytearray(raw[a + size - 512:a + size])
sha = lambda data: hashlib.sha256(bytes(data)).digest()
def find_digest():  # SHA-256 over the image and the footer's bytes before it
    for at in range(0, 128, 4):
        n, = struct.unpack_from("<Q", foot, at)
        if 512 <= n <= size - 512 and n % 512 == 0:
            for end in range(at + 8, 256, 4):
                if sha(raw[a:a + n] + foot[:end]) == foot[end:end + 32]:
                    return n, at, end
image_len, image_at, digest_at = find_digest()
end = len(raw) - 1024
committed_at, = [at for at in range(0, digest_at - 7, 4)
                 if struct.unpack_from("<Q", foot, at)[0] == end]
# with a write version that sqlite3 will change
db = whole_schema(bytes(raw[a:a + 18]) + b"\1\1" + bytes(raw[a + 20:a + image_len]), ["dead"])
db.execute("insert into dead values (?, 3000, ?)", (end + 512, sys.argv[3]))
image = bytearray(db.serialize())
image[18:20] = raw[a + 18:a + 20]
assert len(image) <= size - 512, "slot too small"
header = bytearray(raw[1024:1536])
header[0:100] = b"base/replaced".ljust(100, b"\0")
header[124:135] = b"%011o" % 3000
header[148:156] = b" " * 8
header[148:156] = b"%06o\0 " % sum(header)
data = (b"old secret " * 300)[:3000] if sys.argv[3] == "pending" else bytes(3000)
raw[end:] = header + data + bytes(-3000 % 512) + bytes(1024)
struct.pack_into("<Q", foot, image_at, len(image))
struct.pack_into("<Q", foot, committed_at, len(raw) - 1024)
foot[digest_at:digest_at + 32] = sha(image + foot[:digest_at])
for at in a, b:
    raw[at:at + size] = bytes(image).ljust(size - 512, b"\0") + foot
open(sys.argv[2], "wb").write(raw)
P
for state in zero pending; do
	run 0 python3 kill.py original.lmodel dead.lmodel $state
	run 0 lmodel verify dead.lmodel
	[ $state = zero ] || like "$err" "note: replaced data at [0-9]+ is still to be zeroed" \
		"pending data is noted"
	run 0 lmodel extract -f -o out.safetensors dead.lmodel
	same out.safetensors m.safetensors "a dead range ($state) does no harm"
	is "$(root dead.lmodel)" "$root" "a dead range ($state) is no content"
	is "$(tar -tf dead.lmodel | grep -c replaced)" 1 "tar lists it ($state)"
	run 0 lmodel repack dead.lmodel
	run 0 lmodel verify dead.lmodel
	is "$err" "" "nothing to note after repack"
	is "$(root dead.lmodel)" "$root" "the content root stays when a dead range ($state) goes"
	is "$(tar -tf dead.lmodel | grep -c replaced):$(grep -c 'old secret' dead.lmodel)" "0:0" \
		"and it is gone ($state)"
done
python3 kill.py original.lmodel dead.lmodel zero || exit 99
python3 - <<'P' || exit 99
raw = bytearray(open("dead.lmodel", "rb").read())
raw[raw.rindex(b"base/replaced\0") + 512 + 1000] = 7
open("dead.lmodel", "wb").write(raw)
P
run 4 lmodel verify dead.lmodel
like "$err" "fault: replaced data: bytes at [0-9]+ are not zero" "a zeroed range that is not zero"
cp original.lmodel room.lmodel
run 0 lmodel repack room.lmodel
[ "$(stat -c %s room.lmodel)" -le "$(stat -c %s original.lmodel)" ]
ok $? "repack does not grow a new archive"

# damage: nothing is replaced
python3 - <<'P' || exit 99
import os, sys
sys.path.insert(0, os.environ["srcdir"] + "/tests/lib")
from places import place
raw = bytearray(open("original.lmodel", "rb").read())
raw[place(raw, "w")[0] + 100] ^= 1
open("bad.lmodel", "wb").write(raw)
P
cp bad.lmodel bad.before
run 4 lmodel repack bad.lmodel
like "$err" "base/w.*SHA-256 does not match" "damage is told"
same bad.lmodel bad.before "a damaged archive is not replaced"
run 4 lmodel repack --level small bad.lmodel
same bad.lmodel bad.before "nor when it is coded anew"
run 4 lmodel repack -o x.lmodel bad.lmodel
run 1 lmodel repack missing.lmodel
run 2 lmodel repack .
mkfifo fifo
run 2 timeout 5 lmodel repack fifo
run 2 timeout 5 lmodel repack -f -o fifo original.lmodel
run 4 lmodel repack m.safetensors
is "$(ls x.lmodel 2>/dev/null)" "" "and no output came of it"
leftovers "nothing is left"
done_testing
