# Inputs of several kinds in one archive.
. "${srcdir:-.}/tests/lib/tap.sh"

lib=$srcdir/tests/lib
python3 "$lib/mkmodel.py" m.safetensors s.w:F32:64x64:normal:7 s.own:F16:5 --meta from=s || exit 99
python3 "$lib/mkgguf.py" m.gguf --kv general.name=string:x g.own:Q8_0:64x10 g.n:F32:6 || exit 99
python3 "$lib/mktorch.py" m.pth || exit 99
python3 "$lib/mktorch.py" old.pth --legacy || exit 99
# the bytes of s.w once more, in a npz and a npy, and those of g.n
python3 - "$lib" <<'P' || exit 99
import json, struct, sys, zipfile
sys.path.insert(0, sys.argv[1])
import readgguf
raw = open("m.safetensors", "rb").read()
n, = struct.unpack_from("<Q", raw)
a, b = json.loads(raw[8:8 + n])["s.w"]["data_offsets"]
w = raw[8 + n + a:8 + n + b]
g = readgguf.read("m.gguf")[2]["g.n"][2]
def npy(shape, data):
    h = ("{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % shape).encode()
    h += b" " * (-(len(h) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(h)) + h + data
with zipfile.ZipFile("m.npz", "w") as z:
    z.writestr("z.w.npy", npy("(64, 64)", w))
    z.writestr("z.n.npy", npy("(6,)", g))
    z.writestr("z.own.npy", npy("(3,)", bytes(range(12))))
open("flat.npy", "wb").write(npy("(4096,)", w))
P

inputs="m.safetensors m.gguf m.npz flat.npy m.pth"
run 0 lmodel pack --json -o x.lmodel $inputs
like "$out" '"aliases": 3' "three tensors are others' bytes"
run 0 lmodel verify -q x.lmodel
run 0 lmodel inspect --json x.lmodel
printf '%s\n' "$out" >inspect
run 0 python3 -c "
import json
d = json.load(open('inspect'))
assert d['source_format'] == 'mixed', d['source_format']
assert [(s['name'], s['format']) for s in d['sources']] == [('m.safetensors', 'safetensors'), ('m.gguf', 'gguf'), ('m.npz', 'npz'), ('flat.npy', 'npy'), ('m.pth', 'pytorch')], d['sources']
assert d['aliases'] == 3
assert {m['source']: m['key'] for m in d['metadata'] if m['source'] in ('m.safetensors', 'm.gguf')} == {'m.safetensors': 'from', 'm.gguf': 'general.name'}"
is "$(lmodel list -l x.lmodel | sed -n 's/.*%\{0,1\}  \([^ ]* -> .*\)/\1/p')" "z.w -> s.w
z.n -> g.n
flat -> s.w" "stored once, whatever kind of file it is in"
is "$(lmodel list x.lmodel)" "$(for f in $inputs; do lmodel list "$f"; done)" "the tensors of all, in order"
run 0 lmodel extract -q --format native -o back/ x.lmodel
for f in $inputs; do
	same "$f" "back/$f" "$f comes back"
done
run 2 lmodel extract --format native -o one x.lmodel
like "$err" "native format of 5 files is written into a directory" "several files need one"

# one file of all that a format can hold
run 2 lmodel extract -o all.npz x.lmodel --exclude g.own
run 0 lmodel extract -q -f -o all.npz x.lmodel --exclude g.own
run 0 lmodel extract -q -o all.safetensors x.lmodel --exclude g.own
is "$(lmodel list -l all.npz | sort)" "$(lmodel list -l all.safetensors | sort)" "as npz, as safetensors"
run 0 lmodel extract -q -o all.gguf x.lmodel
run 0 python3 "$lib/readgguf.py" all.gguf "raw['general.name'] == read('m.gguf')[1]['general.name']" \
	"kv['from'] == (8, 's')" "tensors['g.own'] == read('m.gguf')[2]['g.own']" \
	"tensors['flat'][2] == tensors['z.w'][2] == tensors['s.w'][2]"

# a tier hides the bytes from all tensors that have them
run 0 lmodel keygen -q -o owner.key
owner=$(lmodel keygen -y owner.key)
run 0 lmodel pack -q -f -o t.lmodel --tier all=50% --owner "$owner" -r "$owner=all" $inputs
run 0 lmodel verify -q t.lmodel
run 0 lmodel extract -q --base --format native -o base/ t.lmodel
run 0 lmodel extract -q -i owner.key --format native -o full/ t.lmodel
for f in $inputs; do
	same "$f" "full/$f" "$f comes back with a key"
done
run 0 python3 -c "
w = open('flat.npy', 'rb').read()[-16384:]
rows = [w[i:i + 4] for i in range(0, len(w), 4)]
for f in 'm.safetensors', 'm.npz', 'flat.npy':
    assert w in open(f, 'rb').read(), f
    base = open('base/' + f, 'rb').read()
    assert w not in base, f
b = open('base/flat.npy', 'rb').read()[-16384:]
assert b in open('base/m.npz', 'rb').read() and b in open('base/m.safetensors', 'rb').read()
assert sum(b[i:i + 4] != w[i:i + 4] for i in range(0, len(w), 4)) > 1000"

# both forms of PyTorch have tensors of the same names: not in one archive
run 2 lmodel pack -o y.lmodel m.pth old.pth
like "$err" "both have a tensor" "names are unique"
# and what is wrong with one of several is told
head -c 100 m.gguf >cut.gguf
run 4 lmodel pack -o y.lmodel m.safetensors cut.gguf
like "$err" "'cut.gguf'" "which one it is"
[ ! -e y.lmodel ]
ok $? "no archive then"
leftovers "nothing is left"
done_testing
