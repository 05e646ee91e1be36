# list and inspect of models that are not packed: as of the archive that they become.
. "${srcdir:-.}/tests/lib/tap.sh"

lib=$srcdir/tests/lib
python3 "$lib/mkmodel.py" m.safetensors a.w:F32:4x3 a.b:BF16:3 'n\n:I64:' q:F4:6 --meta k=v || exit 99
python3 "$lib/mkgguf.py" m.gguf --kv general.name=string:x t:Q8_0:64x10 u:F32:6 v:BF16:3x5 || exit 99
python3 "$lib/mktorch.py" zip.pth --permuted || exit 99
python3 "$lib/mktorch.py" old.pth --legacy || exit 99
python3 - <<'P' || exit 99
import struct, zipfile
def npy(kind, shape, data, fortran=False):
    h = ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }" % (kind, fortran, shape)).encode()
    h += b" " * (-(len(h) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(h)) + h + data
a = npy("<f4", "(3, 4)", bytes(range(48)), True)
open("one.npy", "wb").write(a)
for name, method in ("m.npz", zipfile.ZIP_STORED), ("z.npz", zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(name, "w", method) as z:
        z.writestr("x.npy", a)
        z.writestr("y.npy", npy("|b1", "(2,)", b"\0\1"))
P
mkdir hf
cp m.safetensors hf/model.safetensors
echo '{}' >hf/config.json
echo 'x' >hf/train.py

for f in m.safetensors m.gguf zip.pth old.pth one.npy m.npz z.npz hf; do
	run 0 lmodel pack -q -o x.lmodel -f "$f"
	run 0 lmodel list "$f"
	is "$out" "$(lmodel list x.lmodel)" "$f: names"
	run 0 lmodel list -l "$f"
	is "$out" "$(lmodel list -l x.lmodel | sed -E 's/ +[0-9]+ +([0-9.]+%|-)  ([^ ])/  \2/')" "$f: dtype, shape, bytes"
	lmodel list --json "$f" >before
	lmodel list --json x.lmodel >after
	lmodel inspect --json "$f" >before.i 2>/dev/null
	lmodel inspect --json x.lmodel >after.i
	run 0 python3 -c "
import json
a, b = json.load(open('before')), json.load(open('after'))
assert (a['packed'], b['packed']) == (False, True)
keys = ('name', 'dtype', 'shape', 'elements', 'bytes', 'source')
assert a['tensors'] == [{k: t[k] for k in keys} for t in b['tensors']], a
a, b = json.load(open('before.i')), json.load(open('after.i'))
for k in 'source_format', 'sources', 'tensors', 'parameters', 'dtypes', 'bytes', 'metadata':
    assert a[k] == b[k], (k, a[k], b[k])
assert [(x['name'], x['bytes']) for x in a['attachments']] == [(x['name'], x['bytes']) for x in b['attachments']]
assert a['file_bytes'] == sum(s['bytes'] for s in a['sources'])"
	run 0 lmodel inspect -q "$f"
	is "$err" "" "$f: nothing on standard error"
	is "$(printf '%s\n' "$out" | grep -E '^(sources?|tensors|parameters|dtypes|attachments|metadata) ')" \
		"$(lmodel inspect x.lmodel | grep -E '^(sources?|tensors|parameters|dtypes|attachments|metadata) ')" \
		"$f: inspect says the same of both"
	like "$out" '^format +[a-z-]+, not packed$' "$f: and that it is not packed"
	unlike "$out" '^(id|created|content root|manifest) ' "$f: nothing that only archives have"
done
run 0 lmodel inspect hf
like "$err" "train.py" "what is left out of a directory is told"
run 0 lmodel list --attachments hf
is "$out" config.json "side files"
run 0 lmodel list m.safetensors a --exclude a.b
is "$out" a.w "patterns"
run 1 lmodel list m.gguf nothing
like "$err" "'m.gguf': no tensor matches 'nothing'" "a pattern that picks nothing"
is "$(lmodel list -0 m.safetensors | tr '\0' ':')" "$(printf 'a.w:a.b:n\\n:q:')" "names as they are"

# what is broken, and whatever is no model
head -c 100 m.gguf >cut.gguf
run 4 lmodel list cut.gguf
like "$err" "'cut.gguf': .*(truncated|ends)" "a GGUF file cut short is told as one"
head -c 90 m.npz >cut.npz
run 4 lmodel inspect cut.npz
python3 "$lib/mktorch.py" evil.pth --global os.system || exit 99
run 5 lmodel list evil.pth
like "$err" "'system' of module 'os'" "a name that no tensor needs"
run 4 lmodel list "$lib/mkmodel.py"
run 0 lmodel keygen -q -o key
run 3 lmodel inspect -i key m.safetensors
like "$err" "is not packed: there is nothing for a key to open" "a key"
is "$out" "" "no output then"

# an archive stays one, whatever it is called
run 0 lmodel pack -q -f -o odd.gguf m.gguf
run 0 lmodel inspect odd.gguf
like "$out" "^format +lmodel 1" "told by content"
run 0 sh -c 'lmodel inspect - <odd.gguf'
head -c 3000 odd.gguf >cut.lmodel
run 4 lmodel inspect cut.lmodel

leftovers "nothing is left"
done_testing
