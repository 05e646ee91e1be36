# pack --ancestor: what is equal to a public model cannot be hidden, so it is not chosen from.
. "${srcdir:-.}/tests/lib/tap.sh"

run 0 lmodel keygen -o owner.key
owner=$(lmodel keygen -y owner.key)
python3 "$srcdir/tests/lib/mkmodel.py" anc.safetensors a:F32:60x50 b:F32:40x40 conv:F32:16x8x3x3 \
	same:F32:30x30 f8:F8_E4M3:20x20 bias:F32:10 ids:I64:20 || exit 99

# A model that was made from it: every third element of a, rows 5 and 7 of b, kernels 2 and 9 of
# conv, f8 in its first half; and one tensor more.
cat >tune.py <<'P'
import json, struct, sys
data = bytearray(open("anc.safetensors", "rb").read())
n, = struct.unpack_from("<Q", data)
header = json.loads(data[8:8 + n])
raw = {name: bytearray(data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
       for name, t in header.items()}
def tune(name, size, places):
    for i in places:
        raw[name][size * i] ^= 1 + i % 200
tune("a", 4, range(0, 3000, 3))
tune("b", 4, [*range(200, 240), *range(280, 320)])
tune("conv", 4, [*range(18, 27), *range(81, 90)])
tune("f8", 1, range(200))
if "bias" in sys.argv:
    tune("bias", 4, [1, 2])
tensors = [(name, header[name]["dtype"], header[name]["shape"], raw[name]) for name in header]
if "new" in sys.argv:
    tensors.append(("new", "F32", [10, 20], b"".join(struct.pack("<f", (i % 7 + 1) / 100)
                                                     for i in range(200))))
at, header = 0, {}
for name, dtype, shape, body in tensors:
    header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(body)]}
    at += len(body)
text = json.dumps(header).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + b"".join(t[3] for t in tensors))
P
python3 tune.py m.safetensors || exit 99
python3 tune.py new.safetensors new || exit 99
python3 tune.py bias.safetensors bias || exit 99

# look MODEL: of each tensor how many elements differ from the ancestor, how many of these the base
# does not show, how many of the hidden ones show the ancestor's bytes; and whether all else is true.
cat >look.py <<'P'
import json, struct, sys
SIZE = {"F32": 4, "BF16": 2, "I64": 8, "F8_E4M3": 1}
def load(path):
    data = open(path, "rb").read()
    n, = struct.unpack_from("<Q", data)
    return {name: [data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]][i:i + SIZE[t["dtype"]]]
                   for i in range(0, t["data_offsets"][1] - t["data_offsets"][0], SIZE[t["dtype"]])]
            for name, t in json.loads(data[8:8 + n]).items()}
anc, true, base = load("anc.safetensors"), load(sys.argv[1]), load("base.safetensors")
out, rest = [], True
for name, x in true.items():
    y, z = base[name], anc.get(name) or [None] * len(x)
    differ = [i for i in range(len(x)) if x[i] != z[i]]
    hidden = [i for i in range(len(x)) if x[i] != y[i]]
    rest = rest and set(hidden) <= set(differ)
    if differ:
        out.append("%s:%d/%d:%d" % (name, len(hidden), len(differ),
                                    sum(y[i] == z[i] for i in hidden)))
print(" ".join(out), rest)
P
# packs MODEL OPTIONS...: base.safetensors, and the truth comes back.
packs() {
	model=$1
	shift
	run 0 lmodel pack -f --ancestor anc.safetensors --owner "$owner" -o p.lmodel "$@" "$model"
	said=$err
	run 0 lmodel extract -f --base -o base.safetensors p.lmodel
	run 0 lmodel extract -f -i owner.key -o truth.safetensors p.lmodel
	same truth.safetensors "$model" "$*: the owner gets the truth"
}
look() { python3 look.py "$model"; }

# ---- one of another model ----

python3 "$srcdir/tests/lib/mkmodel.py" other.safetensors x.a:F32:60x50 || exit 99
run 2 lmodel pack --ancestor other.safetensors --tier gold --owner "$owner" -o p.lmodel m.safetensors
like "$err" "the ancestor has no tensor of this model's names$" "no name in common"
[ ! -e p.lmodel ]
is $? 0 "and nothing is written"

# ---- which units ----

# Decoys of 8 bits may be the ancestor's, or true, by chance: f8 is left out where elements count.
packs m.safetensors --tier gold=50% --scope model --unit element --exclude f8 --mask zero
like "$(look)" "^a:[0-9]+/1000:0 b:[0-9]+/80:0 conv:[0-9]+/18:0 f8:0/200:0 True$" \
	"what is equal is not hidden"
is "$(look | tr ' ' '\n' | sed -n 's/^[abc][a-z]*:\([0-9]*\).*/\1/p' | paste -sd+ | bc)" 549 \
	"an amount is of what differs"
like "$said" "hides 50 % of the units that differ from the ancestor \(549 of 1098\)" "pack says which share"
like "$said" "1 tensor differs from the ancestor and cannot be chosen from" "and what was left out"
packs m.safetensors --tier gold=30% --scope layer --unit element --exclude f8
is "$(look)" "a:300/1000:0 b:24/80:0 conv:5/18:0 f8:0/200:0 True" "--scope layer; no decoy is the ancestor's"
packs m.safetensors --tier gold
like "$(look)" "^a:1000/1000:0 b:80/80:0 conv:18/18:0 f8:[0-9]+/200:[0-9]+ True$" "all that differs"
like "$said" "^lmodel: the highest tier hides all 1282 units that differ from the ancestor$" \
	"kernels, elsewhere elements"
unlike "$said" "magnitude" "no more is said"
packs m.safetensors --tier silver=10% --tier gold=20% --scope model --unit element
run 0 lmodel extract -f -i owner.key --tier silver -o base.safetensors p.lmodel
like "$(look)" "True$" "silver alone"
packs m.safetensors --tier gold --unit row --exclude f8
like "$(look)" "b:80/80" "--unit row"
like "$said" "all 64 units" "rows that differ: 60 of a, 2 of b, 2 of conv"
packs m.safetensors --tier gold=3 --unit column --include a --mask zero
run 0 lmodel audit --json -i owner.key p.lmodel
like "$out" '"unit": "column", "unit_count": 50, .*"units": 3' "--unit column"
packs m.safetensors --tier full --select all --unit element --exclude f8
is "$(look)" "a:1000/1000:0 b:80/80:0 conv:18/18:0 f8:0/200:0 True" "--select all is all that differs"
packs m.safetensors --tier gold=50% --select random --unit element --exclude f8
like "$(look)" "True$" "--select random"

# ---- scores ----

python3 - <<'P' || exit 99
import json, struct
header, data = {}, b""
for name, n in (("a", 3000), ("b", 1600), ("conv", 1152), ("same", 900), ("f8", 400)):
    # The highest scores are where nothing differs, and then at the end of a.
    body = struct.pack("<%df" % n, *(1000 + i if name == "same" else i if name == "a" else 1
                                     for i in range(n)))
    shape = {"a": [60, 50], "b": [40, 40], "conv": [16, 8, 3, 3], "same": [30, 30], "f8": [20, 20]}[name]
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(body)]}
    data += body
text = json.dumps(header).encode()
open("scores.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
P
packs m.safetensors --tier gold=4 --select magnitude --scope model --unit element --mask zero \
	--scores scores.safetensors
is "$(look)" "a:4/1000:0 b:0/80:0 conv:0/18:0 f8:0/200:0 True" "--scores, among what differs"
run 0 lmodel audit --positions a -i owner.key p.lmodel
is "$out" "gold 2988-2988
gold 2991-2991
gold 2994-2994
gold 2997-2997" "the highest scores of what differs"
like "$said" "selection by magnitude is deterministic" "a choice that the ancestor predicts is told"

# ---- a tensor more, small tensors ----

packs new.safetensors --tier gold --unit element --exclude f8
like "$(look)" "new:200/200:0 True$" "what the ancestor has not differs as a whole"
like "$said" "hides all 1298 units" "and counts"
packs bias.safetensors --tier gold --unit element
like "$said" "all 1298 units" "what can be chosen from"
like "$said" "1 tensor differs from the ancestor and cannot be chosen from: public as a whole" \
	"a tensor that is too small to be chosen from"
packs bias.safetensors --tier gold --unit element --include '*'
is "$(look | grep -o 'bias:[^ ]*')" "bias:2/2:0" "chosen when it is named"
unlike "$said" "cannot be chosen" "and nothing is left"

# ---- what does not fit ----

p="lmodel pack --owner $owner -o x.lmodel --tier gold=50%"
# shellcheck disable=SC2086
{
	run 2 $p --ancestor m.safetensors m.safetensors
	like "$err" "nothing differs from the ancestor" "the same model"
	python3 "$srcdir/tests/lib/mkmodel.py" dtype.safetensors a:F64:60x50 &&
		python3 "$srcdir/tests/lib/mkmodel.py" shape.safetensors a:F32:50x60 || exit 99
	run 2 $p --ancestor dtype.safetensors m.safetensors
	like "$err" "ancestor: tensor 'a' is of type F64, not F32" "another dtype"
	run 2 $p --ancestor shape.safetensors m.safetensors
	like "$err" "ancestor: tensor 'a' has another shape" "another shape"
	run 1 $p --ancestor missing.safetensors m.safetensors
	run 4 $p --ancestor tune.py m.safetensors
}
[ ! -e x.lmodel ]
ok $? "nothing is written"
run 0 lmodel pack -q -f --ancestor anc.safetensors --owner "$owner" -o q.lmodel --tier gold m.safetensors
is "$err" "" "-q: no notices"
for n in 1 2; do
	run 0 lmodel pack -q --ancestor anc.safetensors --owner "$owner" -o s$n.lmodel --tier gold=40% \
		--seed 01 --test-keys -j $n m.safetensors
done
same s1.lmodel s2.lmodel "the same seed, the same archive"
leftovers "nothing is left"
done_testing
