# PyTorch's files, both forms: what python3-torch writes comes back to the byte, and is read as
# PyTorch reads it; what runs something is refused.
. "${srcdir:-.}/tests/lib/tap.sh"
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import torch' 2>/dev/null
ok $? "python3-torch is installed"

cat >make.py <<'P'
import collections, sys, torch
torch.manual_seed(1)
w = torch.randn(20, 30)
state = collections.OrderedDict((
    ("w", w), ("half", torch.randn(9).half()), ("bfloat", torch.randn(4, 4).bfloat16()),
    ("transposed", torch.randn(8, 40).t()), ("tied", w), ("scalar", torch.tensor(3.0)),
    ("empty", torch.zeros(0, 3)), ("part", torch.arange(100.0)[20:30]),
    ("last", torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)),
    ("parameter", torch.nn.Parameter(torch.randn(70))), ("flags", torch.tensor([True, False])),
    ("i8", torch.arange(5, dtype=torch.int8)), ("c64", torch.randn(3, dtype=torch.complex64)),
    ("c128", torch.randn(3, dtype=torch.complex128))))
everything = {"epoch": 3, "name": "x", "lr": 0.5, "list": [state, {1: torch.ones(2)}],
              "size": torch.Size([1, 2]), "device": torch.device("cpu")}
torch.save(everything, "zip.pth")
torch.save(everything, "legacy.pth", _use_new_zipfile_serialization=False)
torch.save(w, "one.pth")
torch.save({"gap": torch.randn(6, 6)[:, :3]}, "gap.pth")
torch.save({"a": w, "b": w[:5]}, "overlap.pth")
torch.save({"repeated": torch.ones(1).expand(5)}, "repeated.pth")
torch.save(torch.nn.Linear(2, 2), "module.pth")
P
"$python" make.py
ok $? "PyTorch writes files"

# as_torch FILE ARCHIVE: every tensor as lmodel lists and reads it is PyTorch's.
cat >compare.py <<'P'
import json, subprocess, sys, torch
NAMES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I8": torch.int8,
         "BOOL": torch.bool, "C64": torch.complex64, "V16": torch.complex128}
found = {}
def walk(value, name):
    if torch.is_tensor(value):
        found[name or "tensor"] = value.detach()
    elif isinstance(value, dict):
        for key, item in value.items():
            walk(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for key, item in enumerate(value):
            walk(item, f"{name}.{key}" if name else str(key))
walk(torch.load(sys.argv[1]), "")
listed = json.loads(subprocess.run(["lmodel", "list", "--json", sys.argv[2]], check=True,
                                   capture_output=True).stdout)["tensors"]
assert sorted(t["name"] for t in listed) == sorted(found), sorted(found)
for t in listed:
    want = found[t["name"]].contiguous()
    assert NAMES[t["dtype"]] == want.dtype and t["shape"] == list(want.shape), t
    raw = subprocess.run(["lmodel", "cat", "--raw", sys.argv[2], t["name"]], check=True,
                         capture_output=True).stdout
    assert raw == bytes(want.view(torch.uint8).numpy().tobytes() if want.dim() and want.numel()
                        else want.numpy().tobytes()), t["name"]
print(len(listed))
P
for form in zip legacy; do
	run 0 lmodel pack -o $form.lmodel $form.pth
	run 0 lmodel verify $form.lmodel
	run 0 lmodel extract --format native -o back.pth $form.lmodel
	same back.pth $form.pth "$form comes back to the byte"
	rm -f back.pth
	run 0 "$python" compare.py $form.pth $form.lmodel
	is "$out" 15 "$form: tensors as PyTorch has them"
	lmodel inspect $form.lmodel >inspect.txt
	like "$(cat inspect.txt)" "epoch: 3" "$form: a plain value is told"
	like "$(cat inspect.txt)" "1 alias" "$form: the tied tensor is stored once"
done
run 0 lmodel pack -o one.lmodel one.pth
is "$(lmodel list one.lmodel)" tensor "a tensor alone has a name"

# protected
lmodel keygen -o owner.key 2>/dev/null && lmodel keygen -y owner.key >owner.pub || exit 99
for form in zip legacy; do
	run 0 lmodel pack -f -q -o locked.lmodel --tier gold=40% --include list.0.w \
		--include list.0.transposed --include list.0.last --owner "$(cat owner.pub)" $form.pth
	run 0 lmodel extract -i owner.key --format native -o gold.pth locked.lmodel
	same gold.pth $form.pth "$form: an owner has it to the byte"
	run 0 lmodel extract --base --format native -o base.pth locked.lmodel
	run 0 lmodel verify -i owner.key locked.lmodel
	run 0 "$python" - $form.pth <<'P'
import sys, torch
a, b = (torch.load(f)["list"][0] for f in ("base.pth", sys.argv[1]))
changed = {name for name in b if b[name].numel() and not torch.equal(a[name], b[name])}
assert changed == {"w", "tied", "transposed", "last"}, changed
assert torch.equal(a["w"], a["tied"])
import zipfile
if zipfile.is_zipfile("base.pth"):
    assert zipfile.ZipFile("base.pth").testzip() is None
P
	rm -f gold.pth base.pth
done

# what no tensor has is told
run 0 "$python" -c 'import torch
torch.save({"part": torch.arange(100.0)[20:30]}, "part.pth")'
run 0 lmodel pack -f -o part.lmodel part.pth
like "$err" "360 bytes of its storages belong to no tensor: .*not protected" "the rest of a storage"

# refused
for file in gap overlap repeated module; do
	run 5 lmodel pack -o none.lmodel $file.pth
	is "$(ls none.lmodel 2>/dev/null)" "" "$file: nothing is written"
done
run 5 lmodel pack -o none.lmodel module.pth
like "$err" "torch.nn.modules.linear" "what would be run is named"
"$python" - <<'P'
import os, pickle, zipfile
class Evil:
    def __init__(self, call, *args): self.call, self.args = call, args
    def __reduce__(self): return self.call, self.args
loop = []
loop.append(loop)
laughs = ["x"]
for _ in range(40):
    laughs = [laughs] * 10
shared = {}
for name, value in {"system": Evil(os.system, "touch pwned"), "eval": Evil(eval, "1+1"),
                    "getattr": Evil(getattr, shared, "clear"), "loop": loop, "laughs": laughs,
                    "open": Evil(open, "pwned", "w")}.items():
    for protocol in (2, 4):
        with zipfile.ZipFile(f"{name}{protocol}.pth", "w") as z:
            z.writestr("m/data.pkl", pickle.dumps({"w": value}, protocol))
P
for name in system eval getattr open; do
	for protocol in 2 4; do
		run 5 timeout 10 lmodel pack -o none.lmodel $name$protocol.pth
	done
done
for name in loop laughs; do
	for protocol in 2 4; do
		run 6 timeout 10 lmodel pack -o none.lmodel $name$protocol.pth
	done
done
# Calls within calls take no stack, and a long key is not read again wherever it is meant.
"$python" - <<'P'
import struct, zipfile
deep = (b"}X\1\0\0\0wctorch._utils\n_rebuild_parameter\nq\0" + b"h\0" * 199999 + b"N" +
        b"\x85R" * 200000 + b"s")
key = b"X" + struct.pack("<I", 3000000) + b"k" * 3000000
long = b"}(" + key + b"q\0}q\1" + b"h\0h\1" * 300000 + b"u"
for name, value in ("deep", deep), ("long", long):
    with zipfile.ZipFile(f"{name}.pth", "w") as z:
        z.writestr("m/data.pkl", b"\x80\2" + value + b".")
P
run 4 lmodel pack -o none.lmodel deep.pth
like "$err" "a parameter of a parameter" "the file is at fault"
run 5 timeout 60 lmodel pack -o none.lmodel long.pth

is "$(ls pwned none.lmodel 2>/dev/null)" "" "nothing was run or written"
done_testing
