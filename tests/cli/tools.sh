# What other programs make of an archive: tar, bsdtar, sqlite3, file. And names that mean harm.
. "${srcdir:-.}/tests/lib/tap.sh"

mkmodel() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }
# The tar has a member for what is not small, a.w; the rest follow it there.
mkmodel m.safetensors a.w:F32:300x300:random a.b:U8:77:random s:I64: e:F32:0 'größe':F16:3 --meta k=v
echo note >note.txt
lmodel pack --attach note.txt --attach note.txt=docs/deep/note.txt m.safetensors || exit 99

# tar
run 0 tar -tf m.lmodel
is "$err" "" "tar has nothing to complain of"
is "$(printf '%s\n' "$out" | head -n 3 | tr '\n' ' ')" "mimetype manifest.sqlite manifest.backup.sqlite " \
	"the manifest comes first"
like "$out" '^base/a\.w$' "tar lists large tensors"
members=$out
mkdir all
run 0 tar -xf m.lmodel -C all
is "$err" "" "tar extracts without complaint"
is "$(cd all && find . -type f | sed 's|^\./||' | sort)" "$(printf '%s\n' "$members" | sort)" \
	"as many files as members"
is "$(cat all/mimetype)" "application/vnd.lmodel.v1+tar" "mimetype"
same all/manifest.sqlite all/manifest.backup.sqlite "both manifests are alike"
is "$(dd if=m.lmodel bs=512 skip=1 count=1 2>/dev/null | tr -d '\000')" "application/vnd.lmodel.v1+tar" \
	"mimetype is at byte 512"
like "$(file -b m.lmodel 2>/dev/null || echo 'tar archive, without file(1)')" "tar archive" "file(1) knows it"
needs bsdtar sqlite3
if command -v bsdtar >/dev/null; then
	run 0 bsdtar -tf m.lmodel
	is "$out" "$members" "bsdtar lists the same"
	is "$err" "" "and does not complain"
fi
run 0 python3 -c 'import tarfile; print("\n".join(tarfile.open("m.lmodel").getnames()))'
is "$out" "$members" "so does Python"
run 0 python3 -c 'import re, sys
names = sys.argv[1].split("\n")
assert len(names) == len(set(names)) and all(re.fullmatch(r"[\x21-\x7e]{1,100}", n) for n in names), names' \
	"$members"

# the manifest answers questions without lmodel, and lets nobody write
run 0 sh -c 'tar -xOf m.lmodel manifest.sqlite >db'
cat >sql.py <<'P'
import sqlite3, sys
c = sqlite3.connect("db")
for row in c.execute(sys.argv[1]):
    print("|".join(str(v) for v in row))
P
sql() { python3 sql.py "$1"; }
! command -v sqlite3 >/dev/null || sql() { sqlite3 db "$1"; }
run 0 sql 'select name, dtype, shape, bytes from tensor order by id'
is "$out" "a.w|F32|[300,300]|360000
a.b|U8|[77]|77
s|I64|[]|8
e|F32|[0]|0
größe|F16|[3]|6" "sqlite3 lists the tensors"
is "$(sql 'pragma integrity_check')" ok "the database is sound"
is "$(sql "select value from metadata where key = 'k'")" v "metadata"
cp db before
sql 'delete from tensor' >o 2>e
[ $? -ne 0 ] && grep -qi 'readonly\|read-only' e
ok $? "sqlite3 refuses to write"
same db before "and has not"
is "$(find . -name 'db-*')" "" "nor left a journal"
is "$(sql "select count(*) from tensor")" 5 "nothing is gone"
path=$(sql "select path from member m, tensor t where t.member = m.id and t.name = 'a.w'")
is "$path" base/a.w "the row of a tensor names its member"
read -r offset length <<P
$(sql "select offset, length from member m, tensor t where t.member = m.id and t.name = 'a.b'" | tr '|' ' ')
P
cmp <(tail -c +$((offset + 1)) m.lmodel | head -c "$length") <(lmodel cat --raw m.lmodel a.b)
ok $? "random bytes are stored as they are: readable with tail and head"

# an archive that was repacked or repaired is a tar, too
cp m.lmodel r.lmodel && lmodel repack --level small r.lmodel && printf garbage >>r.lmodel
run 0 lmodel verify --repair r.lmodel
run 0 tar -tf r.lmodel
is "$out$err" "$members" "tar lists it after repack and repair"

# names that mean harm
python3 - <<'P' || exit 99
import json, struct
names = ["../../x", "/etc/passwd", "a/../../b", "..", ".", "/", "//", "a//b", "", " ", "new\nline",
         "tab\tx", "bell\x07", "esc\x1b[31mred", "del\x7f", "rtl\u202egnp", "zero\u200bwidth",
         "back\\slash", "-rf", "--checkpoint-action=exec=sh", "con", "a:b", "*", "?", "$(id)", "`id`",
         "'q'", '"dq"', "x" * 300, "x" * 299 + "y", "\u00e9", "e\u0301", "\U0001f600", "base/a", "a",
         "A", "a.", "mimetype", "manifest.sqlite", "skeleton/m.safetensors", "caf\u00e9/" * 40, "~root"]
SMALL = 256 << 10  # up to here tensors share a member of the tar
header, at = {}, 0
for i, n in enumerate(names):
    size = SMALL + i + 1
    header[n] = {"dtype": "U8", "shape": [size], "data_offsets": [at, at + size]}
    at += size
text = json.dumps(header).encode()
data = b"".join(bytes([i]) * (SMALL + i + 1) for i in range(len(names)))
open("evil.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
open("names.nul", "wb").write(b"".join(n.encode() + b"\0" for n in names))
P
run 0 lmodel pack evil.safetensors
run 0 lmodel verify evil.lmodel
run 0 sh -c 'lmodel list -0 evil.lmodel >list.nul'
same list.nul names.nul "list -0 gives every name as it is"
run 0 lmodel list evil.lmodel
is "$(printf '%s\n' "$out" | wc -l)" 42 "one line a tensor, whatever is in its name"
printf '%s\n' "$out" >list.txt
is "$(LC_ALL=C grep -c -P '[\x00-\x08\x0b-\x1f\x7f]' list.txt)" 0 "no control characters"
is "$(grep -c "$(printf '\342\200\256\\|\342\200\213')" list.txt)" 0 "nor what turns or hides text"
like "$out" '^new\\nline$' "escaped: a newline"
like "$out" '^esc\\x1B\[31mred$' "escaped: ESC"
like "$out" '^rtl\\u\{202E\}gnp$' "escaped: right-to-left override"
like "$out" '^back\\\\slash$' "escaped: the backslash itself"
run 0 sh -c 'lmodel inspect evil.lmodel && lmodel list -l evil.lmodel'
is "$(LC_ALL=C grep -c -P '[\x00-\x08\x0b-\x1f\x7f]' "$tap_dir/.out")" 0 "no control characters in list -l, inspect"
run 0 tar -tf evil.lmodel
is "$err" "" "tar has nothing to complain of"
is "$(printf '%s\n' "$out" | grep -c '^base/')" 42 "a member a tensor"
is "$(printf '%s\n' "$out" | grep -vcE '^[A-Za-z0-9][!-~]{0,99}$')" 0 "member names are short, plain ASCII"
is "$(printf '%s\n' "$out" | grep -cE '(^|/)\.\.?(/|$)|^/|//')" 0 "and lead nowhere else"
is "$(printf '%s\n' "$out" | sort | uniq -d)" "" "no two alike"
mkdir -p jail/inner && before=$(ls -A . | sort)
run 0 tar -xf evil.lmodel -C jail/inner
is "$(find jail/inner -type f | wc -l)" "$(printf '%s\n' "$(tar -tf evil.lmodel)" | wc -l)" "tar extracts all"
run 0 lmodel extract -C jail/inner evil.lmodel
same jail/inner/evil.safetensors evil.safetensors "the model comes back"
is "$(ls -A jail) $(ls -A . | sort | tr '\n' ' ')" "inner $(printf '%s\n' "$before" | tr '\n' ' ')" \
	"nothing was written beside it"
lmodel cat --raw evil.lmodel ../../x | cmp -n 1 - <(head -c 1 /dev/zero)
ok $? "cat takes such a name"
run 2 lmodel cat evil.lmodel "$(printf 'no\nsuch')"
like "$err" "'no\\\\nsuch'" "a name in a message is escaped"

# an input whose own name means harm: as much of it as a file's name can hold
for name in "$(printf 'a\nb.safetensors')" "$(printf 'esc\033[31m.safetensors')" ' .safetensors' \
	'-x.safetensors' '....safetensors'; do
	cp m.safetensors "./$name" && mkdir d
	run 0 lmodel pack -f -o odd.lmodel "./$name"
	run 0 lmodel extract --format native -C d odd.lmodel
	is "$(find d -type f | wc -l)" 1 "native gives one file, in its place"
	run 0 lmodel inspect odd.lmodel
	is "$(LC_ALL=C grep -c -P '[\x00-\x08\x0b-\x1f\x7f]' "$tap_dir/.out")" 0 "inspect shows no control characters"
	rm -rf d
done

# links in the way of the output directory are not followed
mkdir target outside && ln -s ../outside target/docs
run 1 lmodel extract -o target m.lmodel
is "$(ls -A outside)" "" "a link in an output directory leads nowhere"
leftovers "nothing is left"
done_testing
