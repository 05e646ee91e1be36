# extract --format gguf, read by a reader that shares nothing with the exporter.
. "${srcdir:-.}/tests/lib/tap.sh"

lib=$srcdir/tests/lib
# gguf FILE EXPRESSION...
gguf() {
	python3 "$lib/readgguf.py" "$@" 2>"$tap_dir/.why"
	ok $? "$1 is a sound GGUF file: ${*:2}"
	sed 's/^/#   /' "$tap_dir/.why"
}
cat >values.py <<'P'
"""All tensors of a safetensors file: {name: (dtype, shape, bytes)}."""
import json, struct, sys
def load(path):
    raw = open(path, "rb").read()
    n, = struct.unpack_from("<Q", raw)
    h = json.loads(raw[8:8 + n])
    meta = h.pop("__metadata__", {})
    return meta, {k: (t["dtype"], t["shape"], raw[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
                  for k, t in h.items()}
if __name__ == "__main__":
    a, b = load(sys.argv[1]), load(sys.argv[2])
    assert a[1] == b[1], set(a[1]) ^ set(b[1]) or [k for k in a[1] if a[1][k] != b[1][k]]
    assert a[0] == b[0] or "--meta" not in sys.argv, (a[0], b[0])
P

# from safetensors and back, every type that both have
python3 "$lib/mkmodel.py" s.safetensors "conv.weight:F32:8x3x3x5" b:F16:7 c:BF16:3x4 d:F64:5 e:I8:9 \
	f:I16:3x2 g:I32:5 h:I64: empty:F32:0x4 "ü/x:F32:2x3" --meta format=pt --meta 'kéy "=<&>' || exit 99
run 0 lmodel pack -q -o s.lmodel s.safetensors
run 0 lmodel extract -v -o s.gguf s.lmodel
like "$err" "'s.gguf': 10 tensors" "a line of what was written"
gguf s.gguf "tensors['conv.weight'][:2] == (0, [5, 3, 3, 8])" "tensors['h'][:2] == (27, [])" \
	"kv == {'format': (8, 'pt'), 'kéy \"': (8, '<&>')}" "data % 32 == 0" \
	"[t[0] for t in tensors.values()].count(30) == 1"
run 0 lmodel extract --format gguf -o d/ s.lmodel
same s.gguf d/model.gguf "a directory has model.gguf"
run 0 lmodel extract --format gguf -C d s.lmodel
same s.gguf d/s.gguf "the name without -o"
lmodel extract --format gguf -o - s.lmodel >stream
same s.gguf stream "standard output, padding and all"
run 0 lmodel pack -q -o s2.lmodel s.gguf
run 0 lmodel verify -q s2.lmodel
run 0 lmodel extract -q -o back.safetensors s2.lmodel
run 0 python3 values.py s.safetensors back.safetensors --meta
run 0 lmodel extract -q -o again.gguf s2.lmodel
same s.gguf again.gguf "one whole GGUF file comes back as it is"
like "$(lmodel extract -q --json -f -o s.gguf s.lmodel)" '"format": "gguf"' "the document"

# from GGUF: typed values stay, to the byte, also where tensors are left out
python3 "$lib/mkgguf.py" t.gguf --align 64 --kv general.architecture=string:llama \
	--kv llama.block_count=u32:2 --kv llama.eps=f32:0.00001 --kv wide=u64:18446744073709551615 \
	--kv yes=bool:true --kv "tokens=string[]:a,b,cde" --kv "none=i32[]:" \
	tok:Q8_0:64x10 blk.0.q:Q4_K:256x3 blk.0.n:F32:6 blk.1.q:BF16:3x5 blk.1.b:I32:1 || exit 99
run 0 lmodel pack -q -o t.lmodel t.gguf
run 0 lmodel extract -q -o all.gguf t.lmodel
same t.gguf all.gguf "the whole file"
run 0 lmodel extract -q -o part.gguf t.lmodel blk tok --exclude blk.1.q
gguf part.gguf "raw == read('t.gguf')[1]" "list(raw) == list(read('t.gguf')[1])" "data % 64 == 0" \
	"list(tensors) == ['tok', 'blk.0.q', 'blk.0.n', 'blk.1.b']" \
	"all(read('t.gguf')[2][n] == t for n, t in tensors.items())" "kv['general.alignment'] == (4, 64)"
run 0 lmodel pack -q -o part.lmodel part.gguf
is "$(lmodel inspect --json part.lmodel | python3 -c 'import json,sys; print([(m["key"],m["value"]) for m in json.load(sys.stdin)["metadata"]])')" \
	"$(lmodel inspect --json t.lmodel | python3 -c 'import json,sys; print([(m["key"],m["value"]) for m in json.load(sys.stdin)["metadata"]])')" \
	"the importer reads the same metadata"

# an older version's values are the same bytes
python3 "$lib/mkgguf.py" v2.gguf --version 2 --kv n=u32:7 --kv s=string:x a:F32:3 b:F32:2 || exit 99
run 0 lmodel pack -q -o v2.lmodel v2.gguf
run 0 lmodel extract -q -o v2-part.gguf v2.lmodel a
gguf v2-part.gguf "kv == {'n': (4, 7), 's': (8, 'x')}" "list(tensors) == ['a']"

# several inputs: equal keys once, parts of a model say no more which part they are
python3 "$lib/mkgguf.py" p1.gguf --kv split.no=u16:0 --kv split.count=u16:2 --kv x=u32:1 \
	--kv split.tensors.count=i32:2 a:F32:3 || exit 99
python3 "$lib/mkgguf.py" p2.gguf --kv split.no=u16:1 --kv split.count=u16:2 --kv x=u32:2 \
	--align 16 b:F32:3 || exit 99
python3 "$lib/mkmodel.py" p3.safetensors c:F32:2 --meta x=3 --meta y=4 --meta general.alignment=8 || exit 99
run 0 lmodel pack -q -o p.lmodel p3.safetensors p1.gguf p2.gguf
run 0 lmodel extract -q -o p.gguf p.lmodel
gguf p.gguf "kv == {'x': (8, '3'), 'y': (8, '4'), 'general.alignment': (4, 16)}" "len(tensors) == 3"
run 0 lmodel extract -q --format gguf -o p.d/ p.lmodel
same p.gguf p.d/model.gguf "one file in a directory"

# tiers: base and holder
run 0 lmodel keygen -q -o owner.key
owner=$(lmodel keygen -y owner.key)
run 0 lmodel pack -q -f -o tier.lmodel --tier all=20% --owner "$owner" -r "$owner=all" s.safetensors
run 0 lmodel extract -q -i owner.key -o full.gguf tier.lmodel
same full.gguf s.gguf "the holder has all of it"
lmodel extract -q -i owner.key --format gguf -o - tier.lmodel >stream
same stream s.gguf "and on standard output"
run 0 lmodel extract -q --base -o base.gguf tier.lmodel
gguf base.gguf "tensors['conv.weight'][2] != read('s.gguf')[2]['conv.weight'][2]" "tensors['g'] == read('s.gguf')[2]['g']"

# what GGUF cannot keep
python3 "$lib/mkmodel.py" u.safetensors flag:BOOL:9 id:U16:2x3 ok:F32:2 f8:F8_E4M3:4 || exit 99
run 0 lmodel pack -q -o u.lmodel u.safetensors
run 2 lmodel extract -q -o u.gguf u.lmodel
like "$err" "GGUF has no type for .*: tensor '.*' and 2 more become plain bytes \(--force" "types"
[ ! -e u.gguf ]
ok $? "nothing is written"
run 0 lmodel extract -f -o u.gguf u.lmodel
like "$err" "GGUF has no type for .*plain bytes" "a notice"
gguf u.gguf "tensors['flag'][:2] == (24, [9])" "tensors['id'][:2] == (24, [2, 3, 2])" "tensors['f8'][:2] == (24, [4])"
run 0 lmodel extract -q -o u2.gguf u.lmodel ok
long=$(printf 'n%.0s' $(seq 64))
python3 "$lib/mkmodel.py" n.safetensors "$long:F32:2" "${long%n}:F32:3" || exit 99
run 0 lmodel pack -q -o n.lmodel n.safetensors
run 2 lmodel extract -o n.gguf n.lmodel
like "$err" "ggml reads no tensor whose name is over 63 bytes: 'n+' is, in all 1" "long names"
run 0 lmodel extract -f -o n.gguf n.lmodel
gguf n.gguf "max(map(len, tensors)) == 64"
run 0 lmodel extract -o n2.gguf n.lmodel "${long%n}"
python3 "$lib/mkmodel.py" r.safetensors a:F32:1x2x1x2x3 b:I64:2x2x2x2 q:F4:8x4 w:U32:1x1x1x2 || exit 99
run 0 lmodel pack -q -o r.lmodel r.safetensors
run 5 lmodel extract -o r.gguf r.lmodel a
like "$err" "'a': 5 dimensions; GGUF has 4" "five dimensions"
run 5 lmodel extract -f -o r.gguf r.lmodel a
run 5 lmodel extract -f -o r.gguf r.lmodel q
like "$err" "GGUF has no type F4" "less than a byte"
run 5 lmodel extract -f -o r.gguf r.lmodel w
run 0 lmodel extract -o r.gguf r.lmodel b
python3 "$lib/mkmodel.py" k.safetensors a:F32:2 --meta =x --meta k=v || exit 99
run 0 lmodel pack -q -o k.lmodel k.safetensors
run 2 lmodel extract -o k.gguf k.lmodel
like "$err" "GGUF has no keys that are empty .*: '' is left out" "empty keys"
run 0 lmodel extract -q -f -o k.gguf k.lmodel
gguf k.gguf "kv == {'k': (8, 'v')}"
run 2 lmodel extract --format gguf --max-shard-size 1k -o sh/ s.lmodel
like "$err" "only safetensors is split" "no shards"
run 0 lmodel extract --format gguf -o none.gguf s.lmodel empty
gguf none.gguf "tensors['empty'][1:] == ([4, 0], b'')"

# an alignment that would blow the file up
python3 "$lib/mkgguf.py" big.gguf --align 4194304 a:F32:1 b:F32:1 || exit 99
run 0 lmodel pack -q -o big.lmodel big.gguf
run 0 lmodel extract -q -o big2.gguf big.lmodel
same big.gguf big2.gguf "as a whole it is as it was"
run 6 lmodel extract -q -o big3.gguf big.lmodel a
like "$err" "general.alignment is 4194304" "not made anew"

# NumPy and PyTorch
needs_python numpy torch
if [ -n "$python" ]; then
	$python - <<'P' || exit 99
import numpy as np
r = np.random.default_rng(3)
np.savez("a.npz", w=r.normal(size=(5, 7)).astype("<f4"), f=np.asfortranarray(r.normal(size=(3, 4))), i=np.arange(9))
P
	run 0 lmodel pack -q -o a.lmodel a.npz
	run 0 lmodel extract -q -o a.gguf a.lmodel
	gguf a.gguf "len(tensors) == 3"
	run 0 lmodel pack -q -o a2.lmodel a.gguf
	run 0 lmodel extract -q -f -o a2.npz a2.lmodel
	run 0 $python -c "
import numpy as n
a, b = n.load('a.npz'), n.load('a2.npz')
assert a.files == b.files and all(a[k].dtype == b[k].dtype and (a[k] == b[k]).all() for k in a.files)"
fi
if [ -n "$python" ]; then
	$python - <<'P' || exit 99
import torch
torch.manual_seed(1)
m = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
d = m.state_dict()
d["half"] = torch.randn(3, 5).half()
d["t"] = torch.randn(6, 4).t()
torch.save(d, "z.pth")
torch.save(d, "l.pth", _use_new_zipfile_serialization=False)
P
	for f in z l; do
		run 0 lmodel pack -q -o $f.lmodel $f.pth
		run 0 lmodel extract -q -f -o $f.safetensors $f.lmodel
		run 0 lmodel extract -q -f -o $f.npz $f.lmodel
		run 0 lmodel extract -q -f -o $f.gguf $f.lmodel
		run 0 lmodel pack -q -o $f-g.lmodel $f.gguf
		run 0 lmodel extract -q -f -o $f-g.npz $f-g.lmodel
		run 0 $python - $f <<'P'
import sys
import numpy as np, torch
sys.path.insert(0, ".")
import values
f = sys.argv[1]
d = torch.load(f + ".pth")
kinds = {"F32": "<f4", "I64": "<i8", "F16": "<f2"}
s = values.load(f + ".safetensors")[1]
for z in np.load(f + ".npz"), np.load(f + "-g.npz"):
    assert set(z.files) == set(s) == set(d)
    for k, t in d.items():
        assert z[k].dtype == t.numpy().dtype and z[k].shape == tuple(t.shape) and (z[k] == t.numpy()).all(), k
        assert list(t.shape) == s[k][1] and t.contiguous().numpy().tobytes() == s[k][2], k
        assert t.numpy().dtype == kinds[s[k][0]], k
P
	done
fi

# real models
for f in "$data"/models/*.gguf; do
	[ -f "$f" ] || continue
	run 0 lmodel pack -q -f -o real.lmodel "$f"
	run 0 lmodel extract -q -f -o whole.gguf real.lmodel
	same "$f" whole.gguf "$(basename "$f") comes back"
	first=$(lmodel list real.lmodel | head -n 1)
	run 0 lmodel extract -q -f -o rest.gguf --exclude "$first" real.lmodel
	python3 "$lib/readgguf.py" rest.gguf "(lambda o: raw == o[1] and list(raw) == list(o[1]) and len(tensors) == len(o[2]) - 1 and all(o[2][n] == t for n, t in tensors.items()))(read('$f'))"
	ok $? "without a tensor the rest is as it was"
done

leftovers "nothing is left"
done_testing
