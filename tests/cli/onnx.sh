# ONNX: what python3-onnx writes comes back to the byte, with external data or without, and is
# read as it reads it; protected, the base is still a model; hostile files are refused.
. "${srcdir:-.}/tests/lib/tap.sh"
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import onnx' 2>/dev/null
ok $? "python3-onnx is installed"
mk() { python3 "$srcdir/tests/lib/mkonnx.py" "$@" || exit 99; }

cat >make.py <<'P'
import numpy, onnx, os
from onnx import TensorProto, helper, numpy_helper
rng = numpy.random.default_rng(1)
def model(external=False):
    w = rng.standard_normal((64, 32)).astype("<f4")
    tensors = [
        numpy_helper.from_array(w, "w"), numpy_helper.from_array(w.astype("<f2"), "half"),
        numpy_helper.from_array(w[:3].astype("<f8"), "double"),
        numpy_helper.from_array(numpy.arange(5), "shape"),
        numpy_helper.from_array(numpy.float32(2.5), "scalar"),
        numpy_helper.from_array(numpy.zeros((0, 3), "<f4"), "empty"),
        numpy_helper.from_array(numpy.array([True, False]), "flags"),
        numpy_helper.from_array((w[:2] + 1j * w[2:4]).astype("<c8"), "c64"),
        numpy_helper.from_array((w[:2] + 1j * w[2:4]).astype("<c16"), "c128"),
    ]
    if not external:
        tensors += [
            helper.make_tensor("typed", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0]),
            helper.make_tensor("typed_half", TensorProto.FLOAT16, [2], [1.0, 2.0]),
            helper.make_tensor("typed_ints", TensorProto.INT64, [2], [64, -1]),
            helper.make_tensor("texts", TensorProto.STRING, [2], [b"a", b"b"])]
    value = numpy_helper.from_array(rng.standard_normal(100).astype("<f4"), "value")
    nodes = [helper.make_node("Constant", [], ["b0"], value=value),
             helper.make_node("Slice", ["b0", "zero", "end"], ["b"]),
             helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    tensors += [numpy_helper.from_array(numpy.array([0]), "zero"),
                numpy_helper.from_array(numpy.array([32]), "end")]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32])], tensors)
    m = helper.make_model(graph, producer_name="test", opset_imports=[helper.make_opsetid("", 15)])
    helper.set_model_props(m, {"author": "caf\u00e9", "empty": ""})
    onnx.checker.check_model(m)
    return m
onnx.save(model(), "plain.onnx")
os.mkdir("one")
onnx.save(model(True), "one/m.onnx", save_as_external_data=True, location="weights.bin",
          size_threshold=64)
os.mkdir("many")
onnx.save(model(True), "many/m.onnx", save_as_external_data=True, all_tensors_to_one_file=False,
          size_threshold=0)
os.mkdir("attributes")
onnx.save(model(True), "attributes/m.onnx", save_as_external_data=True, location="weights.bin",
          size_threshold=0, convert_attribute=True)
P
"$python" make.py
ok $? "python3-onnx writes models"

# As python3-onnx reads the file: each tensor that lmodel lists, and none that it should have.
cat >compare.py <<'P'
import json, subprocess, sys, onnx
from onnx import numpy_helper
path, archive = sys.argv[1:]
typed = {"typed_half", "typed_ints", "texts"}
want = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer
        if t.name not in typed}
listed = json.loads(subprocess.run(["lmodel", "list", "--json", archive], check=True,
                                   capture_output=True).stdout)["tensors"]
assert sorted(t["name"] for t in listed) == sorted(want), listed
for t in listed:
    a = want[t["name"]]
    assert t["shape"] == list(a.shape), t
    raw = subprocess.run(["lmodel", "cat", "--raw", archive, t["name"]], check=True,
                         capture_output=True).stdout
    assert raw == a.tobytes(), t
print(len(listed))
P
run 0 lmodel pack -o plain.lmodel plain.onnx
like "$err" "plain.onnx.*102 numbers in 2 tensors .* cannot be protected" "what is kept is told"
run 0 lmodel verify -q plain.lmodel
run 0 lmodel extract -q --format native -o back.onnx plain.lmodel
same back.onnx plain.onnx "a model comes back to the byte"
run 0 "$python" compare.py plain.onnx plain.lmodel
is "$out" 12 "tensors as python3-onnx has them"
like "$(lmodel list -l plain.lmodel)" "V16 .* c128" "a type without a dtype has its width"
lmodel inspect plain.lmodel >inspect.txt
for line in 'onnx.producer_name: test' 'onnx.opset: 15' 'onnx.graph: net' \
	'onnx.property.author: café'; do
	like "$(cat inspect.txt)" "$line" "inspect tells $line"
done
run 0 lmodel pack -q -o stream.lmodel - <plain.onnx
is "$(lmodel list plain.lmodel)" "$(lmodel list stream.lmodel)" "the same from standard input"

for kind in one many; do
	run 0 lmodel pack -q -o $kind.lmodel $kind/m.onnx
	run 0 lmodel verify -q $kind.lmodel
	run 0 lmodel extract -q --format native -o back.$kind/ $kind.lmodel
	run 0 diff -r $kind back.$kind
	run 0 "$python" compare.py $kind/m.onnx $kind.lmodel
	is "$out" 11 "$kind: tensors as python3-onnx has them"
	run 0 lmodel pack -q -o folder.$kind.lmodel $kind
	is "$(lmodel list folder.$kind.lmodel)" "$(lmodel list $kind.lmodel)" \
		"$kind: the folder is the same model"
	like "$(lmodel inspect $kind.lmodel)" "m.onnx .onnx, " \
		"$kind: the format has a name"
	run 2 lmodel pack -q -o none.lmodel - <$kind/m.onnx
	like "$err" "give the path of the model" "$kind: a stream brings no files"
done
run 5 lmodel pack -q -o none.lmodel attributes/m.onnx
like "$err" "external data of a tensor in a node" "external data of nodes are not lost in silence"

# protected
lmodel keygen -o owner.key 2>/dev/null && lmodel keygen -y owner.key >owner.pub || exit 99
for input in plain.onnx one/m.onnx many/m.onnx; do
	run 0 lmodel pack -f -q -o locked.lmodel --tier gold=40% --include w --include half \
		--owner "$(cat owner.pub)" $input
	run 0 lmodel verify -i owner.key -q locked.lmodel
	rm -rf gold base
	run 0 lmodel extract -q -i owner.key --format native -o gold/ locked.lmodel
	run 0 lmodel extract -q --base --format native -o base/ locked.lmodel
	if [ $input = plain.onnx ]; then
		same gold/plain.onnx $input "an owner has it to the byte"
	else
		run 0 diff -r ${input%/*} gold
	fi
	run 0 "$python" - $input base/${input##*/} <<'P'
import sys, numpy, onnx
from onnx import numpy_helper
true, base = map(onnx.load, sys.argv[1:])
onnx.checker.check_model(base)
a, b = ({t.name: t for t in m.graph.initializer} for m in (true, base))
assert list(a) == list(b)
changed = {n for n in a if a[n] != b[n]}
assert changed == {"w", "half"}, changed
differ = (numpy_helper.to_array(a["w"]) != numpy_helper.to_array(b["w"])).mean()
assert 0.2 < differ <= 0.4, differ
assert true.graph.node == base.graph.node
P
done

# types below a byte, and those that are newer than python3-onnx
mk small.onnx q:INT4:3x3 v:FLOAT8E4M3FN:4 w:FLOAT:2x2
run 0 lmodel pack -q -o small.lmodel small.onnx
is "$(lmodel list -l small.lmodel | awk '{ print $1, $2, $NF }' | tr '\n' ' ')" \
	"V1 [5] q F8_E4M3 [4] v F32 [2,2] w " "types by name"
like "$(lmodel inspect small.lmodel)" "onnx.dims.q: .3, 3." "the shape of an INT4 tensor is told"

# external data
mk shared.onnx --external shared.bin a:FLOAT:4x4:at b:FLOAT:9:at c:FLOAT:2x8:at@0
run 0 lmodel pack -q -o shared.lmodel shared.onnx
run 0 lmodel verify -q shared.lmodel
run 0 lmodel extract -q --format native -o shared/ shared.lmodel
same shared/shared.bin shared.bin "two tensors in one place come back"
like "$(lmodel inspect shared.lmodel)" "1 alias" "and are stored once"
mk types.onnx --external types.bin a:FLOAT:4x4:at b:INT8:64:at@0
run 5 lmodel pack -q -o none.lmodel types.onnx
like "$err" "share a part of their bytes" "other types in the same place"
mk part.onnx --external part.bin a:FLOAT:4x4:at b:FLOAT:9:at@60
run 5 lmodel pack -q -o none.lmodel part.onnx
like "$err" "tensors 'a' and 'b' share a part" "tensors that overlap"
mk gaps.onnx --external gaps.bin a:FLOAT:5:at@7 b:FLOAT:9:at c:FLOAT::at@200
printf tail >>gaps.bin
run 0 lmodel pack -q -o gaps.lmodel gaps.onnx
run 0 lmodel verify -q gaps.lmodel
run 0 lmodel extract -q --format native -o gaps/ gaps.lmodel
same gaps/gaps.bin gaps.bin "gaps between tensors come back"
head -c 203 gaps.bin >cut && mv cut gaps.bin
run 4 lmodel pack -q -o none.lmodel gaps.onnx
like "$err" "tensor 'c': 4 bytes at 200 of .*gaps.bin'?, which has 203" "data beyond the file"
rm gaps.bin
run 4 lmodel pack -q -o none.lmodel gaps.onnx
like "$err" "gaps.bin' is missing" "no file"
mkdir gaps.bin && run 2 lmodel pack -q -o none.lmodel gaps.onnx
mk sum.onnx --external sum.bin --checksum a:FLOAT:4:at
run 5 lmodel pack -q -o none.lmodel sum.onnx
like "$err" "checksum" "checksums of true values are not kept"
mkdir sub
for location in ../out.bin /etc/passwd a/../../out.bin . sub/ self.onnx; do
	mk sub/self.onnx --external out.bin --location $location a:FLOAT:4:at
	cp sub/out.bin out.bin
	run 5 lmodel pack -q -o none.lmodel sub/self.onnx
done
rm -r sub

# Archives whose graph and data are of different models. All digests in them are right.
cat >lie.py <<'P'
import struct, sys
sys.path.insert(0, sys.argv[1])
import forge
def u64(*n): return struct.pack("<%dQ" % len(n), *n)
def literal(b): return b"\1" + u64(len(b)) + b
a = forge.Archive("pair.lmodel")
graph, data = a.members[:2]   # sources come first
def tell(path):
    content = open(path, "rb").read()
    graph.fill(literal(content))
    a.db.execute("UPDATE source SET bytes = ? WHERE id = 0", (len(content),))
def place(*records):
    data.fill(b"".join(records))
first, second = (b"\2" + u64(i, 1) for i in (0, 1))
{
    "sound": lambda: (tell("pair.onnx"), place(first, literal(bytes(64)), second)),
    "crc": lambda: place(first, b"\3" + u64(0, 64), literal(bytes(60)), second),
    "names": lambda: tell("names.onnx"),
    "shapes": lambda: tell("shapes.onnx"),
    "order": lambda: tell("order.onnx"),
    "fewer": lambda: tell("fewer.onnx"),
    "more": lambda: tell("more.onnx"),
    "inside": lambda: tell("inside.onnx"),
    "file": lambda: tell("file.onnx"),
    "moved": lambda: place(first, second, literal(bytes(64))),
    "in_the_clear": lambda: place(first, literal(bytes(128))),
    "renamed": lambda: a.db.execute("UPDATE source SET name = 'x.bin' WHERE id = 1"),
    "no_graph": lambda: a.db.execute("UPDATE source SET format = 'onnx-data'"),
    "no_data": lambda: a.db.execute("UPDATE source SET format = 'onnx' WHERE id = 1"),
    "of_safetensors": lambda: a.db.execute(
        "UPDATE source SET format = 'safetensors' WHERE id = 0"),
}[sys.argv[2]]()
open("x.lmodel", "wb").write(a.build())
P
external() { out=$1 && shift && mk "$out.onnx" --external pair.bin "$@"; }
external names a:FLOAT:4x4:at c:FLOAT:4x4:at@128
external shapes a:FLOAT:16:at b:FLOAT:4x4:at@128
external order b:FLOAT:4x4:at a:FLOAT:4x4:at@128
external fewer a:FLOAT:4x4:at
external more a:FLOAT:4x4:at b:FLOAT:4x4:at@128 c:FLOAT:4x4:at
external inside a:FLOAT:4x4 b:FLOAT:4x4
external file --location other.bin a:FLOAT:4x4:at b:FLOAT:4x4:at@128
external pair a:FLOAT:4x4:at b:FLOAT:4x4:at@128
run 0 lmodel pack -q --seed 01 -o pair.lmodel pair.onnx
for lie in sound crc names shapes order fewer more inside file moved in_the_clear renamed no_graph \
	no_data of_safetensors; do
	rm -rf pair
	python3 lie.py "$srcdir/tests/lib" $lie
	ok $? "$lie: it is made"
	if [ $lie = sound ]; then
		run 0 lmodel verify -q x.lmodel
		run 0 lmodel extract -q --format native -o pair/ x.lmodel
		same pair/pair.bin pair.bin "the builder's own archive is a good one"
		continue
	fi
	run 4 lmodel verify x.lmodel
	like "$out$err" "skeleton of '(pair|x)" "$lie: verify says where"
	run 4 lmodel extract -q --format native -o pair/ x.lmodel
	is "$(ls -d pair 2>/dev/null)" "" "$lie: nothing is written"
done

# broken
mk good.onnx w:FLOAT:2x3 --constant 3 --depth 3 --property a=b
size=$(wc -c <good.onnx)
at=0 wrong=
while [ $at -lt "$size" ]; do
	head -c $at good.onnx >cut.onnx
	timeout 10 lmodel pack -q -f -o cut.lmodel cut.onnx >/dev/null 2>cut.err
	status=$?
	# Behind the graph a cut at the end of a field leaves a model.
	case $status in 4) ;; 0) [ $at -gt $((size - 30)) ] || wrong="$wrong $at" ;;
	*) wrong="$wrong $at:$status" ;; esac
	at=$((at + 1))
done
is "$wrong" "" "cut at any place: refused"
broken() {
	mk broken.onnx --break "$2" w:FLOAT:2x3
	run "$1" timeout 10 lmodel pack -q -o none.lmodel broken.onnx
	like "$err" "$3" "$2: with a reason"
}
broken 5 group "is a group"
broken 4 field0 "number 0"
broken 4 type6 "undefined type 6"
broken 4 varint "over 64 bits"
broken 4 varint65 "over 64 bits"
broken 4 two-graphs "two graphs"
broken 4 no-graph "none of the inputs"
broken 4 long-dim "negative dimension"
broken 4 no-name "without a name"
broken 4 bad-name "not UTF-8"
broken 4 no-type "no type"
broken 4 short "23 bytes of data for a shape of 24"
broken 4 two-raw "twice"
broken 6 rank "over 64 dimensions"
broken 5 unknown-type "unknown type number 99"
mk twice.onnx w:FLOAT:2 w:FLOAT:3
run 4 lmodel pack -q -o none.lmodel twice.onnx
mk deep.onnx --depth 31 w:FLOAT:2
run 0 lmodel pack -q -o deep.lmodel deep.onnx
mk deep.onnx --depth 32 w:FLOAT:2
run 6 lmodel pack -q -o none.lmodel deep.onnx
mk deep.onnx --depth 20000 w:FLOAT:2
run 6 timeout 20 lmodel pack -q -o none.lmodel deep.onnx
is "$(ls -d none.lmodel 2>/dev/null)" "" "nothing is written"
leftovers "nothing is left behind"
done_testing
