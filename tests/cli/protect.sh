# What pack protects: each option against the weights that stay public.
. "${srcdir:-.}/tests/lib/tap.sh"

run 0 lmodel keygen -o owner.key
owner=$(lmodel keygen -y owner.key)
python3 "$srcdir/tests/lib/mkmodel.py" m.safetensors a.weight:F32:48x80 b.weight:BF16:32x96 \
	conv.weight:F32:16x8x3x3 c.bias:F32:640 ids:I64:50 || exit 99

# Prints what differs between the model and the base, tensor by tensor, as `show` says.
cat >look.py <<'P'
import json, struct, sys
SIZE = {"F32": 4, "BF16": 2, "I64": 8}
def load(path):
    data = open(path, "rb").read()
    n, = struct.unpack_from("<Q", data)
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        raw = data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]]
        size = SIZE[t["dtype"]]
        out[name] = t["shape"], [raw[i:i + size] for i in range(0, len(raw), size)]
    return out
true, base = load("m.safetensors"), load("base.safetensors")
what = sys.argv[1]
result = []
for name, (shape, x) in true.items():
    y = base[name][1]
    differ = [i for i in range(len(x)) if x[i] != y[i]]
    zero = [i for i in range(len(y)) if not any(y[i]) and any(x[i])]
    width = shape[-1]
    if what == "tensors" and differ:
        result.append(name)
    elif what == "counts" and differ:
        result.append("%s:%d" % (name, len(differ)))
    elif what == "zero" and differ:
        result.append("%s:%d/%d" % (name, len(zero), len(x)))
    elif what == "where" and differ:
        result.append("%s:%s" % (name, ",".join(map(str, differ))))
    elif what == "rows" and len(shape) == 2 and zero:
        rows = {i // width for i in zero}
        result.append("%s:%d:%s" % (name, len(rows), len(zero) == len(rows) * width))
    elif what == "columns" and len(shape) == 2 and zero:
        columns = {i % width for i in zero}
        result.append("%s:%d:%s" % (name, len(columns), len(zero) == len(columns) * shape[0]))
    elif what in ("blocks", "slices") and zero:
        span = 64 if what == "blocks" else 9
        if what == "slices" and len(shape) < 4:
            continue
        units = {i // span for i in zero}
        result.append("%s:%d:%s" % (name, len(units), len(zero) == len(units) * span))
print(" ".join(result))
P
# packs "NAME" OPTIONS...: the base is base.safetensors; the truth comes back.
packs() {
	packs_name=$1
	shift
	run 0 lmodel pack -f --owner "$owner" -o p.lmodel "$@" m.safetensors
	run 0 lmodel extract -f --base -o base.safetensors p.lmodel
	run 0 lmodel extract -f -i owner.key -o truth.safetensors p.lmodel
	same truth.safetensors m.safetensors "$packs_name: the owner gets the truth"
}
look() { python3 look.py "$1"; }

# ---- which tensors ----

packs "defaults" --tier gold=10%
is "$(look tensors)" "a.weight b.weight conv.weight c.bias" "floats are protected, integers are not"
packs "include" --tier gold=10% --include 'a.*' --include conv
is "$(look tensors)" "a.weight conv.weight" "--include"
packs "exclude" --tier gold=10% --exclude '*.weight'
is "$(look tensors)" "c.bias" "--exclude"
packs "both" --tier gold=10% --include '*.weight' --exclude conv.weight
is "$(look tensors)" "a.weight b.weight" "--include and --exclude"
packs "integers" --tier gold=50% --include ids --mask zero
is "$(look tensors)" "ids" "integers, when named"
run 2 lmodel pack --owner "$owner" -o none.lmodel --tier gold=10% --include nothing m.safetensors
like "$err" "nothing" "a pattern that picks nothing is told"
is "$(ls none.lmodel 2>/dev/null)" "" "and nothing is written"

# ---- which units ----

packs "units" --tier gold=5 --unit row --mask zero --include a.weight --include b.weight \
	--scope equal
like "$(look rows)" "^a.weight:[0-9]+:True b.weight:[0-9]+:True$" "--unit row: whole rows"
is "$(look rows | tr ' ' '\n' | awk -F: '{n += $2} END {print n}')" 5 "as many as were asked for"
packs "columns" --tier gold=6 --unit column --mask zero --include a.weight --scope layer
is "$(look columns)" "a.weight:6:True" "--unit column: whole columns"
packs "blocks" --tier gold=7 --unit block --mask zero --include c.bias --include a.weight
like "$(look blocks)" "(a.weight:[0-9]+:True|c.bias:[0-9]+:True)" "--unit block: whole blocks of 64"
is "$(look blocks | tr ' ' '\n' | awk -F: '{n += $2} END {print n}')" 7 "as many as were asked for"
packs "slices" --tier gold=11 --unit slice --mask zero --include conv.weight
is "$(look slices)" "conv.weight:11:True" "--unit slice: whole kernels"
packs "elements" --tier gold=100 --unit element --mask zero --include a.weight
is "$(look zero)" "a.weight:100/3840" "--unit element"
packs "the share" --tier gold=25% --unit element --mask zero --include a.weight
is "$(look zero)" "a.weight:960/3840" "a share of the units"
packs "the upper amount counts the lower" --tier silver=10% --tier gold=25% --unit element \
	--mask zero --include a.weight
is "$(look zero)" "a.weight:960/3840" "tiers are cumulative"
run 0 lmodel extract -f -i owner.key --tier silver -o base.safetensors p.lmodel
is "$(look zero)" "a.weight:576/3840" "silver opens what is its own"

# ---- everything ----

packs "all" --tier full --select all --mask zero --include a.weight --include b.weight
is "$(look zero)" "a.weight:3840/3840 b.weight:3072/3072" "--select all --mask zero leaves nothing"

# ---- scores ----

python3 - <<'P' || exit 99
import json, struct
def write(path, tensors):
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        raw = struct.pack("<%df" % len(values), *values)
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
SIZES = {"a.weight": [48, 80], "b.weight": [32, 96], "conv.weight": [16, 8, 3, 3], "c.bias": [640]}
def count(shape):
    n = 1
    for k in shape:
        n *= k
    return n
scores = {name: (shape, [0.001] * count(shape)) for name, shape in SIZES.items()}
for name, at in (("a.weight", 7), ("a.weight", 3000), ("b.weight", 95), ("c.bias", 639)):
    scores[name][1][at] = 9.0
write("scores.safetensors", scores)
write("short.safetensors", {"a.weight": ([48, 79], [1.0] * 48 * 79)})
P
packs "scores" --tier gold=4 --unit element --select magnitude --scope model --raw-scores \
	--scores scores.safetensors --mask zero
is "$(look where)" "a.weight:7,3000 b.weight:95 c.bias:639" "--scores: where they are highest"
run 2 lmodel pack --owner "$owner" -o none.lmodel --tier gold=4 --scores short.safetensors \
	m.safetensors
like "$err" "a.weight|b.weight" "scores of another shape are told"
is "$(ls none.lmodel 2>/dev/null)" "" "and nothing is written"
run 2 lmodel pack --owner "$owner" -o none.lmodel --tier gold=4 --select random \
	--scores scores.safetensors m.safetensors

# The highest magnitudes, without scores.
packs "magnitude" --tier gold=50 --unit element --select magnitude --scope model --raw-scores \
	--mask zero --include a.weight
python3 - >wanted <<'P'
import json, struct
data = open("m.safetensors", "rb").read()
n, = struct.unpack_from("<Q", data)
a, b = json.loads(data[8:8 + n])["a.weight"]["data_offsets"]
v = struct.unpack("<%df" % ((b - a) // 4), data[8 + n + a:8 + n + b])
top = sorted(range(len(v)), key=lambda i: -abs(v[i]))[:50]
print("a.weight:" + ",".join(map(str, sorted(top))))
P
is "$(look where)" "$(cat wanted)" "--select magnitude: the largest"

# ---- a public reference ----

python3 - <<'P' || exit 99
import json, struct
data = bytearray(open("m.safetensors", "rb").read())
n, = struct.unpack_from("<Q", data)
header = json.loads(data[8:8 + n])
for name, elements in (("a.weight", (0, 1, 79, 3839)), ("conv.weight", range(36, 54))):
    for i in elements:
        at = 8 + n + header[name]["data_offsets"][0] + 4 * i
        data[at:at + 4] = struct.pack("<f", 0.125)
open("public.safetensors", "wb").write(data)
P
packs "reference" --tier gold --reference public.safetensors
same base.safetensors public.safetensors "--reference: the base is the public model"
run 2 lmodel pack --owner "$owner" -o none.lmodel --tier gold --reference public.safetensors \
	--mask zero m.safetensors

# ---- reproducible ----

set -- --owner "$owner" -r "$owner=silver" --tier silver=2% --tier gold=10%
run 2 lmodel pack --seed 0123 -o none.lmodel "$@" m.safetensors
like "$err" "test-keys" "--seed alone does not make keys"
for i in 1 2; do
	run 0 lmodel pack --seed 0123 --test-keys -j $i -o s$i.lmodel "$@" m.safetensors
done
same s1.lmodel s2.lmodel "one seed, one archive, byte for byte"
run 0 lmodel pack --seed 0124 --test-keys -o s3.lmodel "$@" m.safetensors
cmp -s s1.lmodel s3.lmodel
is $? 1 "another seed, another archive"
for i in 1 2; do run 0 lmodel pack -o r$i.lmodel "$@" m.safetensors; done
cmp -s r1.lmodel r2.lmodel
is $? 1 "without a seed each archive is another one"
for i in s1 r1; do
	lmodel extract -f -i owner.key -o truth.safetensors $i.lmodel
	same truth.safetensors m.safetensors "$i: the truth comes back"
done
# No ciphertext comes twice, though the weights do.
python3 - >common <<'P'
import subprocess
def shards(path):
    names = subprocess.run(["tar", "-tf", path], stdout=subprocess.PIPE, text=True).stdout.split()
    return {name: subprocess.run(["tar", "-xOf", path, name], stdout=subprocess.PIPE).stdout
            for name in names if name.startswith("shard/")}
seen = set()
for path in ("s1.lmodel", "s3.lmodel", "r1.lmodel", "r2.lmodel"):
    for data in shards(path).values():
        for i in range(0, len(data) - 32, 16):
            piece = data[i:i + 32]
            if piece in seen:
                print("twice", path, i)
            seen.add(piece)
P
is "$(cat common)" "" "no ciphertext of one archive is in another"

# ---- what makes no sense ----

for bad in "--tier gold=0" "--tier gold=101%" "--tier gold=10% --tier silver=5%" "--tier gold" \
	"--tier a/b=1%" "--tier gold=4% --tier gold=5%" "--tier gold=1% --unit word" \
	"--tier gold=1% --select best" "--tier gold=1% --mask noise" "--select all --tier gold=3%"; do
	# shellcheck disable=SC2086
	run 2 lmodel pack --owner "$owner" -o none.lmodel $bad m.safetensors
done
run 2 lmodel pack --tier gold=1% -o none.lmodel m.safetensors
run 2 lmodel pack --owner "$owner" -o none.lmodel m.safetensors
is "$(ls none.lmodel 2>/dev/null)" "" "none of these left an archive"

leftovers "nothing is left"
done_testing
