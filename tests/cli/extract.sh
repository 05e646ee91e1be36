# Getting weights out: what, where to, in which form.
. "${srcdir:-.}/tests/lib/tap.sh"

mkmodel() { python3 "$srcdir/tests/lib/mkmodel.py" "$@" || exit 99; }

# tensors FILE: its names in the order of the data; every claim of the header is checked, and that
# each tensor begins at a multiple of its element size (at most 8 bytes).
cat >st.py <<'P'
import json, struct, sys
BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "C64": 64, "BF16": 16}
def bits(dtype):
    digits = "".join(c for c in dtype.split("_")[0] if c.isdigit())
    return BITS.get(dtype) or int(digits)
def read(path):
    raw = open(path, "rb").read()
    n, = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + n].decode())
    meta = header.pop("__metadata__", {})
    at, tensors = 0, {}
    for name, t in sorted(header.items(), key=lambda i: i[1]["data_offsets"]):
        a, b = t["data_offsets"]
        count = 1
        for d in t["shape"]:
            count *= d
        assert a == at and b - a == count * bits(t["dtype"]) // 8, (name, t)
        tensors[name] = (t["dtype"], t["shape"], raw[8 + n + a:8 + n + b], 8 + n + a)
        at = b
    assert 8 + n + at == len(raw), "size of the file"
    return meta, tensors
P
cat >names.py <<'P'
import sys
from st import read
print(" ".join(read(sys.argv[1])[1]))
P
# subset WHOLE PART ALIGNED: PART's tensors are WHOLE's
cat >subset.py <<'P'
import sys
from st import bits, read
meta, whole = read(sys.argv[1])
part_meta, part = read(sys.argv[2])
assert part_meta == meta, (part_meta, meta)
for name, t in part.items():
    assert whole[name][:3] == t[:3], name
    assert t[3] % max(1, min(8, bits(t[0]) // 8)) == 0, "%s begins at %d" % (name, t[3])
P
tensors() { python3 names.py "$1"; }
subset() { python3 subset.py "$1" "$2" >sub.log 2>&1; ok $? "$3"; sed 's/^/#   /' sub.log; }

mkmodel m.safetensors model.0.w:F32:30x7 model.0.b:U8:3 model.10.w:BF16:5x5 head.w:F64:9 \
	head.flag:BOOL:1 tail:I8:3 last:C64:2 --meta format=pt --meta "ключ=значение"
lmodel pack m.safetensors || exit 99

# the whole of it
rm -rf d && mkdir d
run 0 lmodel extract -C d m.lmodel
same d/m.safetensors m.safetensors "the default name is the archive's, -C tells where"
run 0 lmodel extract -C d -o other.st m.lmodel
same d/other.st m.safetensors "-C and -o"
run 0 lmodel extract -C d -o "$PWD/d/absolute" m.lmodel
same d/absolute m.safetensors "an absolute -o does not mind -C"
run 1 lmodel extract -C missing m.lmodel
is "$err" "lmodel: 'missing': No such file or directory" "-C into nothing"
run 1 lmodel extract -o missing/x m.lmodel
is "$(ls -d missing 2>&1 | grep -c cannot)" 1 "parents of a file are not made"
cp m.lmodel renamed
run 0 lmodel extract -C d renamed
same d/renamed.safetensors m.safetensors "an archive by any other name"

# part of it
run 0 lmodel extract -o p1 m.lmodel model.0
is "$(tensors p1)" "model.0.w model.0.b" "a prefix picks what is below it, and not model.10"
subset m.safetensors p1 "values, metadata and alignment of a part"
run 0 lmodel extract -o p2 m.lmodel '*.w' tail
is "$(tensors p2 | tr ' ' '\n' | sort | tr '\n' ' ')" "head.w model.0.w model.10.w tail " "wildcards"
subset m.safetensors p2 "values, metadata and alignment of wildcards"
run 0 lmodel extract -o p3 m.lmodel --exclude 'model*' --exclude tail
is "$(tensors p3 | tr ' ' '\n' | sort | tr '\n' ' ')" "head.flag head.w last " "--exclude"
subset m.safetensors p3 "values, metadata and alignment after --exclude"
run 0 lmodel extract -o p4 m.lmodel model --exclude '*.b'
is "$(tensors p4 | tr ' ' '\n' | sort | tr '\n' ' ')" "model.0.w model.10.w " "patterns and --exclude"
run 0 lmodel extract -o p5 m.lmodel head.flag last model.0.b head.w tail
subset m.safetensors p5 "a header made anew aligns tensors of every size"
run 0 sh -c 'lmodel extract -o - m.lmodel model.10.w head >p7'
lmodel extract -o p8 m.lmodel model.10.w head || exit 99
same p7 p8 "a part goes to standard output as it goes to a file"
run 2 lmodel extract -o none m.lmodel 'model.2*'
is "$err" "lmodel: 'm.lmodel': no tensor matches 'model.2*'" "a pattern that picks nothing"
run 2 lmodel extract -o none m.lmodel tail nothing
like "$err" "no tensor matches 'nothing'" "one of two patterns picks nothing"
run 2 lmodel extract -o none m.lmodel --exclude '*'
is "$err" "lmodel: 'm.lmodel': every tensor is excluded" "everything is excluded"
run 0 sh -c '! test -e none'

# files that exist
echo precious >kept
run 1 lmodel extract -o kept m.lmodel
is "$err" "lmodel: 'kept': exists already (-f replaces it)" "an existing file"
is "$(cat kept)" precious "is left alone"
ln kept link
run 0 lmodel extract -f -o kept m.lmodel
same kept m.safetensors "-f replaces it"
is "$(cat link)" precious "as a whole: another name of the old file keeps its bytes"
echo precious >kept
run 2 lmodel extract -f -o kept m.lmodel nothing
is "$(cat kept)" precious "-f and a failure: the old file stays"
ln -s dangling-target pointer
run 1 lmodel extract -o pointer m.lmodel
is "$(readlink pointer; ls dangling-target 2>/dev/null)" dangling-target "a dangling link is not followed"
run 0 lmodel extract -f -o pointer m.lmodel
same pointer m.safetensors "-f replaces a link"
is "$(test -L pointer; echo $?)" 1 "and it is none any more"

# what cannot be an output
mkfifo fifo
run 2 timeout 5 lmodel extract -f -o fifo m.lmodel
is "$err" "lmodel: 'fifo': exists and is not a file" "a FIFO"
run 2 lmodel extract -f -o /dev/null m.lmodel
is "$(test -c /dev/null; echo $?)" 0 "a device stays one"
run 2 lmodel extract -o kept/ m.lmodel
is "$err" "lmodel: 'kept': is not a directory" "a file where a directory is asked for"
run 1 lmodel extract -o kept/x m.lmodel
like "$err" "Not a directory" "a file on the way"

# a place that cannot be written to; root may write anywhere unless it gives that up
plain() {
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --bounding-set=-dac_override,-dac_read_search "$@"
	else
		"$@"
	fi
}
mkdir locked && chmod 555 locked
if plain touch locked/x 2>/dev/null; then
	rm -f locked/x
	run 1 lmodel extract -o /proc/x m.lmodel
else
	run 1 plain lmodel extract -o locked/x m.lmodel
	is "$err" "lmodel: 'locked': Permission denied" "a directory that cannot be written to"
	run 1 plain lmodel extract -o locked/d/ m.lmodel
	is "$(ls -A locked)" "" "nothing came into being there"
	cp m.lmodel secret.lmodel && chmod 000 secret.lmodel
	run 1 plain lmodel extract -o x secret.lmodel
	is "$err" "lmodel: 'secret.lmodel': Permission denied" "an archive that cannot be read"
fi

# modes
(umask 027 && lmodel extract -o masked m.lmodel && lmodel extract -o masked.d/ m.lmodel)
is "$(stat -c %a masked masked.d masked.d/model.safetensors | tr '\n' ' ')" "640 750 640 " "umask holds"

# directories
run 0 lmodel extract -o new/ m.lmodel
same new/model.safetensors m.safetensors "DIR/ gets model.safetensors"
is "$(ls -A new)" model.safetensors "and nothing else"
mkdir exists && echo mine >exists/mine
run 0 lmodel extract -o exists m.lmodel
same exists/model.safetensors m.safetensors "an existing directory needs no slash"
is "$(cat exists/mine)" mine "what was there stays"
run 1 lmodel extract -o exists m.lmodel
like "$err" "exists/model.safetensors': exists already" "a second time it is in the way"
run 0 lmodel extract -f -o exists m.lmodel
run 0 lmodel extract -o picked/ m.lmodel model
is "$(ls -A picked)" "model.safetensors" "a part in a directory is one file"
is "$(tensors picked/model.safetensors | tr ' ' '\n' | sort | tr '\n' ' ')" \
	"model.0.b model.0.w model.10.w " "with its tensors"
run 1 lmodel extract -o missing/deep/ m.lmodel
run 0 sh -c '! test -e missing'

# native
run 0 lmodel extract --format native -C d -f m.lmodel
same d/m.safetensors m.safetensors "native of one input"
cp m.lmodel native.lmodel
run 0 lmodel extract --format native -o nat/ native.lmodel
is "$(ls -A nat)" m.safetensors "native in a directory has the input's name"
mkmodel two.safetensors extra:F32:11 --meta second=yes --meta format=other
lmodel pack -o both.lmodel m.safetensors two.safetensors || exit 99
run 0 lmodel extract --format native both.lmodel
same both/m.safetensors m.safetensors "native of two inputs: a directory, called as the archive"
same both/two.safetensors two.safetensors "and the second of them"
run 2 lmodel extract --format native -o onefile both.lmodel
run 0 lmodel extract -o merged both.lmodel
is "$(tensors merged | wc -w)" 8 "two inputs become one safetensors file"
python3 - <<'P'
from st import read
meta, t = read("merged")
first, a = read("m.safetensors"); second, b = read("two.safetensors")
assert meta == {**second, **first}, meta
assert {n: x[:3] for n, x in t.items()} == {n: x[:3] for n, x in {**a, **b}.items()}
P
ok $? "with the tensors and metadata of both"
run 0 lmodel extract -o merged.d/ both.lmodel
is "$(ls -A merged.d)" model.safetensors "two inputs in a directory are one file, too"

# shards
run 0 lmodel extract --max-shard-size 60 -o parts/ m.lmodel
python3 - <<'P'
import json, os
from st import bits, read
index = json.load(open("parts/model.safetensors.index.json"))
files = sorted(set(index["weight_map"].values()))
assert sorted(os.listdir("parts")) == sorted(files + ["model.safetensors.index.json"])
n = len(files)
assert n > 2 and files == ["model-%05d-of-%05d.safetensors" % (i + 1, n) for i in range(n)], files
meta, whole = read("m.safetensors")
seen, total = [], 0
for f in files:
    m, t = read("parts/" + f)
    assert m == meta, m
    size = sum(len(x[2]) for x in t.values())
    assert size <= 60 or len(t) == 1, (f, size)
    for name, x in t.items():
        assert index["weight_map"][name] == f, name
        assert x[:3] == whole[name][:3], name
        assert x[3] % max(1, min(8, bits(x[0]) // 8)) == 0, name
        seen.append(name)
    total += size
assert sorted(seen) == sorted(whole) and sorted(index["weight_map"]) == sorted(whole)
assert index["metadata"]["total_size"] == total == sum(len(x[2]) for x in whole.values())
P
ok $? "shards and their index agree, and hold everything once"
run 0 lmodel pack -o again.lmodel parts
run 1 lmodel diff m.lmodel again.lmodel
is "$(printf '%s\n' "$out" | grep -v '^! metadata\|^! attachment')" "" "shards packed again have equal tensors"
run 0 lmodel extract --max-shard-size 1G -o whole/ m.lmodel
is "$(ls -A whole)" model.safetensors "shards that are large enough: one file, no index"
subset m.safetensors whole/model.safetensors "with everything in it"
is "$(tensors whole/model.safetensors | wc -w)" 7 "all seven"
run 0 lmodel extract --max-shard-size 30 -o some/ m.lmodel model.0.b head.w tail
run 0 lmodel pack -q -o some.lmodel some
is "$(lmodel list some.lmodel | sort | tr '\n' ' ')" "head.w model.0.b tail " "shards of a part"

# tensors that are aliases, scalars, empty
mkmodel odd.safetensors a:F32:50:normal:s b:F32:50:normal:s s:F64: e:F32:0x3 t:F16:3
lmodel pack odd.safetensors || exit 99
run 0 lmodel extract -o alias odd.lmodel b
subset odd.safetensors alias "an alias without what it is an alias of"
run 0 lmodel extract -o rest odd.lmodel s e t
subset odd.safetensors rest "a scalar and an empty tensor"
is "$(tensors rest | wc -w)" 3 "all three"

# -v, --json
run 0 lmodel extract -v -f -o alias odd.lmodel b
is "$err" "lmodel: 'alias': 1 tensor, 200 B" "-v"
run 0 lmodel extract --json -f -o alias odd.lmodel a b
like "$out" '"tensors": 2, "bytes": 400' "--json"
run 0 lmodel extract -f -o alias odd.lmodel
is "$out$err" "" "nothing is printed on success"

leftovers "nothing is left"
done_testing
