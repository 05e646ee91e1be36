# How well decoys hide in weights that have a structure: kernels alike, matrices of low rank.
. "${srcdir:-.}/tests/lib/tap.sh"

export HOME="$PWD"
run 0 lmodel keygen -o owner.key
owner=$(lmodel keygen -y owner.key)
cat >make.py <<'P'
import json, random, struct

def tensor(seed, rows, columns, inner, shape):
    """Rank 3, each part with a pattern of its own; rows and columns of different size; noise."""
    rng = random.Random(seed)
    normal = rng.gauss
    parts = [([normal(0, 1) for _ in range(rows)], [normal(0, 1) for _ in range(columns)],
              [normal(0, 1) for _ in range(inner)]) for _ in range(3)]
    size = [2 ** normal(0, .7) for _ in range(rows)], [2 ** normal(0, .7) for _ in range(columns)]
    out = [size[0][i] * size[1][j] * (.03 * sum(u[i] * v[j] * k[p] for u, v, k in parts) +
                                      .04 * normal(0, 1))
           for i in range(rows) for j in range(columns) for p in range(inner)]
    return shape, struct.pack("<%df" % len(out), *out)

tensors = {"conv.weight": tensor(1, 48, 64, 9, [48, 64, 3, 3]),
           "deep.weight": tensor(2, 64, 48, 9, [64, 48, 3, 3]),
           "line.weight": tensor(3, 96, 120, 1, [96, 120])}
for i in range(12):
    tensors["small%d.weight" % i] = tensor(4 + i, 12, 30, 1, [12, 30])
header, at = {}, 0
for name, (shape, data) in tensors.items():
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
    at += len(data)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open("m.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + b"".join(d for _, d in tensors.values()))
P
python3 make.py || exit 99
cat >figure.py <<'P'
import json, sys
tier = json.load(sys.stdin)["tiers"][-1]
found = {"mean": (tier["detection"] or {}).get("mean"), "pooled": tier["pooled"]["area"],
         "tensors": tier["pooled"]["tensors"], "alone": (tier["detection"] or {}).get("tensors", 0)}
print("%.3f" % found[sys.argv[1]] if isinstance(found[sys.argv[1]], float) else found[sys.argv[1]])
sys.exit(not eval("x " + sys.argv[2], {"x": found[sys.argv[1]]}))
P
# figure ARCHIVE WHICH "CONDITION" NAME
figure() {
	lmodel audit -q --json -i owner.key "$1" | python3 figure.py "$2" "$3" >number
	ok $? "$4 ($(cat number) $3)"
}
pack() { run 0 lmodel pack -q --seed 0a --test-keys --select random --scope layer --owner "$owner" -o "$@" m.safetensors; }

# ---- single detectors ----

pack a.lmodel --tier gold=10%
figure a.lmodel mean "< .56" "kernels and elements: the best detector"
figure a.lmodel pooled "< .55" "and over all tensors"
figure a.lmodel tensors "== 15" "small tensors are a part of that"
figure a.lmodel alone "== 3" "though too small for a figure of their own"
pack block.lmodel --tier gold=10% --unit block --include conv.weight --include deep.weight
figure block.lmodel pooled "< .67" "blocks of kernels"
pack zero.lmodel --tier gold=10% --mask zero
figure zero.lmodel pooled "> .99" "zeros are found"
like "$(lmodel audit -i owner.key zero.lmodel)" "pooled .*tells them with AUC 1\.00 in 15 tensors" \
	"the report has the pooled figure"

# ---- the same on any number of workers ----

for jobs in 1 4; do
	run 0 lmodel pack -q --seed 0b --test-keys -j $jobs --tier silver=8% --tier gold=16% \
		--owner "$owner" -o j$jobs.lmodel m.safetensors
done
same j1.lmodel j4.lmodel "decoys do not depend on --jobs"

# ---- a trained detector, also with what a holder of the tier below knows ----

needs_python numpy sklearn
# trained ARCHIVE "CONDITION" NAME OPTION...
trained() {
	trained_archive=$1 trained_than=$2 trained_name=$3
	shift 3
	$python "$srcdir/tests/lib/trained_detector.py" "$@" -i owner.key \
		"$trained_archive" conv.weight deep.weight >areas
	$python -c 'import sys
x = sum(float(l.split()[2]) for l in open("areas")) / 2
print("%.3f" % x)
sys.exit(not eval("x " + sys.argv[1]))' "$trained_than" >number
	ok $? "$trained_name ($(cat number) $trained_than)"
}
pack two.lmodel --tier silver=10% --tier gold=20%
trained a.lmodel "< .6" "trained on the tier's own units"
trained two.lmodel "< .6" "trained on those of the tier below" --train silver --test gold
trained zero.lmodel "> .99" "zeros are found"

leftovers "nothing is left"
done_testing
