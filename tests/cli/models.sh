# Real models of all kinds: packed with a tier and without, and back byte for byte.
. "${srcdir:-.}/tests/lib/tap.sh"

# Where the real ones are not there, one made model in every form.
models=$data/models
real=1
if [ ! -d "$models" ]; then
	real=0 models=$PWD/models lib=$srcdir/tests/lib
	mkdir models
	needs_python torch numpy
	"$python" - <<'P' || exit 99
import json, struct, torch
torch.manual_seed(1)
state = {"a.weight": torch.randn(40, 30), "b.weight": torch.randn(8, 9, 3, 3), "c.bias": torch.randn(99)}
torch.save(state, "models/m.zip.pth")
torch.save(state, "models/m.legacy.pth", _use_new_zipfile_serialization=False)
header, body = {}, b""
for name, t in state.items():
    raw = t.numpy().tobytes()
    header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(body), len(body) + len(raw)]}
    body += raw
text = json.dumps(header).encode()
open("models/m.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + body)
import numpy
numpy.savez("models/m.npz", **{k: v.numpy() for k, v in state.items()})
P
	python3 "$lib/mkgguf.py" models/q.gguf w:Q4_0:256x40 v:F32:99 --kv n=u32:3 || exit 99
	python3 "$lib/mkonnx.py" models/g.onnx w:FLOAT:40x30 b:FLOAT:99 || exit 99
	lmodel pack -q -o m.lmodel models/m.safetensors &&
		lmodel extract -q --max-shard-size 3000 -o models/sharded/ m.lmodel || exit 99
	rm m.lmodel
fi
run 0 lmodel keygen -q -o owner.key
owner=$(lmodel keygen -y owner.key)

seen=0
for f in "$models"/*; do
	base=$(basename "$f")
	# what is no model that is known: vocabulary and weights of another program
	case $base in *.bin) continue ;; esac
	seen=$((seen + 1))
	for tier in "" "--tier half=5% --owner $owner -r $owner=half"; do
		# shellcheck disable=SC2086
		run 0 lmodel pack -q -f --level fast $tier -o x.lmodel "$f"
		run 0 lmodel verify -q x.lmodel
		rm -rf back
		if [ -d "$f" ]; then
			run 0 lmodel extract -q --format native ${tier:+-i owner.key} -o back/ x.lmodel
			run 0 diff -r "$f" back
		else
			run 0 lmodel extract -q --format native ${tier:+-i owner.key} -o back x.lmodel
			same "$f" back "$base comes back${tier:+ with a key}"
		fi
		[ -n "$tier" ] || continue
		rm -rf public
		if [ -d "$f" ]; then
			run 0 lmodel extract -q --format native --base -o public/ x.lmodel
		else
			run 0 lmodel extract -q --format native --base -o public x.lmodel
		fi
		run 0 lmodel list -q public
		is "$out" "$(lmodel list "$f")" "$base: the base is such a model, too"
		! diff -rq "$f" public >/dev/null
		ok $? "$base: but another one"
	done
	is "$(lmodel list "$f")" "$(lmodel list x.lmodel)" "$base: listed alike before it is packed"
	rm -f x.lmodel
done
[ "$seen" -ge $((real ? 20 : 7)) ]
ok $? "models were found ($seen)"

# The forms of one model.
shapes() {
	lmodel list --json "$1" | python3 -c '
import json, sys
for t in sorted((t["name"] if sys.argv[1] == "names" else "", t["dtype"], t["shape"])
                              for t in json.load(sys.stdin)["tensors"]):
    print(*t)' "${2:-names}"
}
group() {
	wanted=$(shapes "$1")
	[ -n "$wanted" ]
	ok $? "$(basename "$1") has tensors"
	for f in "${@:2}"; do
		is "$(shapes "$f")" "$wanted" "$(basename "$f"): names, dtypes and shapes as $(basename "$1")"
	done
}
if [ $real -eq 1 ]; then
	one=dncnn_25_kair
	group "$models/stories260K.safetensors" "$models/stories260K_sharded"
	# Names are others in GGUF, which also has the output's weights, here those of the embedding.
	is "$(shapes "$models/stories260K.f32.gguf" any | sort)" \
		"$({ shapes "$models/stories260K.safetensors" any; echo " F32 [512, 64]"; } | sort)" \
		"GGUF and safetensors of one model have the same shapes"
	for m in vgg_fmnist vgg_gtsrb; do
		group "$models/$m.safetensors" "$models/$m.zip.pth"
	done
	group "$models/mnist_burn.safetensors" "$models/mnist_burn.pt"
else
	one=m
	group "$models/m.safetensors" "$models/sharded"
fi
group "$models/$one.safetensors" "$models/$one.npz" "$models/$one.zip.pth" "$models/$one.legacy.pth"

# and the same values: extracted from each form into one that has no order of its own
for m in $one.safetensors $one.npz $one.zip.pth $one.legacy.pth; do
	run 0 lmodel pack -q -f -o x.lmodel "$models/$m"
	run 0 lmodel extract -q -f -o "v.safetensors" x.lmodel
	python3 - v.safetensors <<'P' >>digests
import hashlib, json, struct, sys
raw = open(sys.argv[1], "rb").read()
n, = struct.unpack_from("<Q", raw)
h = json.loads(raw[8:8 + n])
h.pop("__metadata__", None)
d = hashlib.sha256()
for k in sorted(h):
    a, b = h[k]["data_offsets"]
    d.update(k.encode() + raw[8 + n + a:8 + n + b])
print(len(h), d.hexdigest())
P
done
is "$(sort -u digests | wc -l):$(wc -l <digests)" "1:4" "four forms of one model have the same values"
leftovers "nothing is left"
done_testing
