# pack --like: a later release shows the same stand-ins where the weights are the same.
. "${srcdir:-.}/tests/lib/tap.sh"

for who in owner ann; do
	lmodel keygen -q -o $who.key
done
owner=$(lmodel keygen -y owner.key)
ann=$(lmodel keygen -y ann.key)

# Two releases of a model: two tensors as they were, one changed, one new.
python3 - <<'P' || exit 99
import json, random, struct
def write(path, tensors):
    header, data = {}, b""
    for name, shape, values in tensors:
        raw = struct.pack("<%df" % len(values), *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
rng = random.Random(5)
def some(n):
    return [rng.gauss(0, .05) for _ in range(n)]
a, b, c = ("a", [40, 50], some(2000)), ("b", [16, 8, 3, 3], some(1152)), ("c", [60, 30], some(1800))
write("1.safetensors", [a, b, c])
write("2.safetensors", [("new", [30, 40], some(1200)), a, b, ("c", [60, 30], some(1800))])
P

run 0 lmodel pack -o 1.lmodel --tier silver=5% --tier gold=10% --owner "$owner" 1.safetensors
run 0 lmodel pack -o 2.lmodel --tier silver=5% --tier gold=10% --owner "$owner" -r "$ann=gold" \
	--like 1.lmodel -i owner.key 2.safetensors
run 0 lmodel pack -o fresh.lmodel --tier silver=5% --tier gold=10% --owner "$owner" 2.safetensors
for n in 1 2 fresh; do
	for t in a b c; do
		run 0 sh -c "lmodel cat --raw --base $n.lmodel $t >$n.$t"
	done
done
run 0 cmp 1.a 2.a
run 1 cmp 1.a fresh.a
# Small enough to be hidden whole: a constant.
run 0 cmp 1.b 2.b
run 1 cmp 1.c 2.c
run 0 lmodel verify -i owner.key 2.lmodel
run 0 lmodel extract -i ann.key -o two.safetensors 2.lmodel
run 0 cmp two.safetensors 2.safetensors
for t in a b; do
	run 0 sh -c "lmodel audit -i owner.key --positions $t 1.lmodel >p1"
	run 0 sh -c "lmodel audit -i owner.key --positions $t 2.lmodel >p2"
	run 0 cmp p1 p2
done
run 0 lmodel extract -i ann.key --tier silver -o silver.safetensors 2.lmodel
run 1 cmp silver.safetensors 2.safetensors

# The same model again: everything is taken over.
run 0 lmodel pack -o again.lmodel --tier silver=5% --tier gold=10% --owner "$owner" --like 1.lmodel \
	-i owner.key 1.safetensors
run 0 lmodel extract -q -o base1.safetensors 1.lmodel
run 0 lmodel extract -q -o base2.safetensors again.lmodel
run 0 cmp base1.safetensors base2.safetensors
run 0 lmodel extract -i owner.key -o again.safetensors again.lmodel
run 0 cmp again.safetensors 1.safetensors

# What does not fit.
run 2 lmodel pack -o x.lmodel --tier bronze=5% --owner "$owner" --like 1.lmodel -i owner.key 1.safetensors
like "$err" "its tiers are not those of the new archive" "other tiers"
run 3 lmodel pack -o x.lmodel --tier silver=5% --tier gold=10% --owner "$owner" --like 1.lmodel \
	-i ann.key 1.safetensors
like "$err" "none of the keys opens it" "no key of it"
run 2 lmodel pack -o x.lmodel --tier silver=5% --owner "$owner" --like 1.lmodel 1.safetensors
like "$err" "an owner's key is missing" "no key at all"
run 2 lmodel pack -o x.lmodel --tier silver=5% --owner "$owner" -i owner.key 1.safetensors
run 0 lmodel strip --tier silver -o part.lmodel 1.lmodel
run 3 lmodel pack -o x.lmodel --tier silver=5% --tier gold=10% --owner "$owner" --like part.lmodel \
	-i owner.key 1.safetensors
[ ! -e x.lmodel ]
ok $? "nothing is left of those"
done_testing
