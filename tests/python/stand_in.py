"""In place of safetensors: load_file, save_file, safe_open on both kinds of file, with PyTorch and
without.

    stand_in.py             # all
    stand_in.py --no-torch  # what works where PyTorch is not installed
"""

import subprocess
import sys
import warnings

import numpy as np

if "--no-torch" in sys.argv:
    sys.modules["torch"] = None  # import fails

import lmodel
import lmodel.numpy
import lmodel.torch
from lib import by_hand
from lib.pytap import done, equal, note, ok, raises, same, tool, warned
from lmodel import safetensors

FILES = ("m.safetensors", "m.lmodel")
tool("mkmodel.py", "m.safetensors", "z.first:F32:16x8x3x3:normal:4", "a.second:BF16:40x50",
     "h:F16:100",
     "i:I64:10", "u:U16:20:random", "flags:BOOL:9:arange", "e:F8_E4M3:8x4:random", "c:C64:5",
     "s:F32:", "none:F32:0x3", "tied:F32:16x8x3x3:normal:4", "--meta", "format=pt")
lmodel.pack("m.lmodel", "m.safetensors", overwrite=True)
truth = by_hand.read("m.safetensors")
tool("mkmodel.py", "bare.safetensors", "x:F32:3")

# ---- NumPy ----

for path in FILES:
    got = lmodel.numpy.load_file(path)
    equal(list(got), list(truth), f"{path}: numpy.load_file: names")
    for name, (dtype, _, _, bits) in truth.items():
        same(got[name], by_hand.float32(bits) if dtype == "BF16" else bits,
             f"{path}: numpy.load_file: {name}")
    got["z.first"][...] = 0  # the file stays
    with lmodel.safe_open(path, framework="np") as f:
        equal(f.keys(), sorted(truth), f"{path}: keys, sorted")
        equal(f.offset_keys(), list(truth), f"{path}: offset_keys, as in the file")
        equal(f.metadata(), {"format": "pt"}, f"{path}: metadata")
        for name, (dtype, shape, _, bits) in truth.items():
            want = by_hand.float32(bits) if dtype == "BF16" else bits
            same(f.get_tensor(name), want, f"{path}: get_tensor: {name}")
            part = f.get_slice(name)
            equal((part.get_shape(), part.get_dtype()), (shape, dtype),
                  f"{path}: get_slice: {name}")
            same(part[...], want, f"{path}: a slice of all: {name}")
            if len(shape) > 1 and bits.size:
                same(part[1:3, ::2], want[1:3, ::2].copy(), f"{path}: a part: {name}")
                same(part[2], want[2].copy(), f"{path}: a row: {name}")
        raises(lmodel.UsageError, lambda: f.get_tensor("nope"), "'nope'", f"{path}: no such tensor")
        raises(lmodel.UsageError, lambda: f.get_slice("nope"), "'nope'", f"{path}: no such slice")
    raises(lmodel.UsageError, lambda: f.get_tensor("s"), "closed", f"{path}: closed")
    raises(lmodel.UsageError, lambda: lmodel.safe_open(path, framework="jax"), "jax",
           f"{path}: an unknown framework")
raises(FileNotFoundError, lambda: lmodel.safe_open("missing", framework="np"), "missing", "no file")
with lmodel.safe_open("bare.safetensors", framework="numpy") as f:
    equal(f.metadata(), None, "no metadata is None")
raises(lmodel.UsageError, lambda: lmodel.numpy.load_file("m.safetensors", identity="x.key"),
       "needs a key", "a key for a safetensors file")

model = {"x": np.arange(12, dtype="f4").reshape(3, 4), "n": np.arange(5)}
for path in ("out.safetensors", "out.lmodel"):
    for _ in range(2):  # over what is there
        lmodel.numpy.save_file(model, path, metadata={"k": "v"})
    got = lmodel.numpy.load_file(path)
    for name, array in model.items():
        same(got[name], array, f"numpy.save_file: {path}: {name}")
    with lmodel.safe_open(path, framework="np") as f:
        equal(f.metadata(), {"k": "v"}, f"numpy.save_file: {path}: metadata")
equal(sorted(by_hand.read("out.safetensors")), ["n", "x"], "save_file writes safetensors")
raises(lmodel.UsageError, lambda: lmodel.numpy.save_file(model, "x.safetensors", tiers={"a": .1}),
       "tiers", "tiers in a safetensors file")

if "--no-torch" in sys.argv:
    for name, what in (("load_torch", lambda: lmodel.load_torch("m.lmodel")),
                       ("torch.load_file", lambda: lmodel.torch.load_file("m.lmodel")),
                       ("safe_open", lambda: lmodel.safe_open("m.lmodel", framework="pt"))):
        raises(lmodel.LmodelError, what, "PyTorch is not installed", f"without PyTorch: {name}")
    same(lmodel.load("m.lmodel")["z.first"], truth["z.first"][3], "without PyTorch: load")
    done()

# ---- PyTorch ----

import torch  # noqa: E402

torch.set_num_threads(1)
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "I64": torch.int64,
         "BOOL": torch.bool, "C64": torch.complex64,
         "U16": getattr(torch, "uint16", torch.int32),
         "F8_E4M3": getattr(torch, "float8_e4m3fn", torch.uint8)}


def bits_of(tensor):
    """The bits of a tensor, as the file has them."""
    if tensor.dtype == torch.int32:
        return tensor.numpy().astype("<u2")
    if tensor.dtype in (torch.bfloat16, torch.float16):
        return tensor.view(torch.int16).numpy()
    return tensor.view(torch.uint8).numpy() if tensor.element_size() == 1 else tensor.numpy()


for path in FILES:
    got, told = warned(lambda: lmodel.torch.load_file(path, device="cpu"), UserWarning)
    equal(list(got), list(truth), f"{path}: torch.load_file: names")
    if not hasattr(torch, "float8_e4m3fn"):
        ok(any("F8_E4M3" in str(w.message) for w in told),
           f"{path}: a type that torch lacks is told")
    for name, (dtype, shape, raw, _) in truth.items():
        t = got[name]
        ok(t.dtype == TYPES[dtype] and list(t.shape) == shape and
           bits_of(t).tobytes() == raw, f"{path}: torch.load_file: {name} is {t.dtype}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with lmodel.safe_open(path, framework="pt", device=torch.device("cpu")) as f:
            for name, t in got.items():
                same(bits_of(f.get_tensor(name)), bits_of(t), f"{path}: get_tensor: {name}")
            part = f.get_slice("a.second")[3:7, -1:]
            ok(part.dtype == torch.bfloat16 and torch.equal(part, got["a.second"][3:7, -1:]),
               f"{path}: a part of bfloat16")
got = lmodel.load_torch("m.lmodel", names=["z.first", "tied"])
equal(lmodel.open("m.lmodel").tensors["tied"].alias_of, "z.first", "an alias")
ok(torch.equal(got["z.first"], got["tied"]), "load_torch: what is stored once")
got["tied"][...] = 0
ok(got["z.first"].abs().sum() > 0, "... is not one in memory")
ok(got["tied"].is_contiguous() and got["tied"].requires_grad is False, "... plain tensors")
net = torch.nn.Linear(8, 3)
net.load_state_dict({"weight": torch.ones(3, 8), "bias": torch.ones(3)})
for path in ("net.lmodel", "net.safetensors"):
    lmodel.torch.save_file(net.state_dict(), path)
    other = torch.nn.Linear(8, 3)
    other.load_state_dict(lmodel.torch.load_file(path))
    ok(torch.equal(other.weight, net.weight), f"a module's state through {path}")
shared = torch.randn(30, 40)
state = {"a": shared, "b": shared, "view": shared[3:5], "t": shared.t(),
         "p": torch.nn.Parameter(shared[0]),
         "half": shared.bfloat16(), "conj": torch.tensor([1 + 2j]).conj(),
         "scalar": torch.tensor(3.)}
for path in ("state.lmodel", "state.safetensors"):
    lmodel.torch.save_file(state, path)
    got = lmodel.torch.load_file(path)
    for name, tensor in state.items():
        ok(torch.equal(got[name], tensor.detach()), f"save_file: {path}: {name}")
ok(lmodel.open("state.lmodel").tensors["b"].alias_of in ("a", None) and
   lmodel.open("state.lmodel").info.alias_count == 1, "shared storage is stored once")
lmodel.save("mixed.lmodel", {"n": np.ones(3), "t": torch.ones(2).bfloat16()})
equal([t.dtype for t in lmodel.open("mixed.lmodel").tensors.values()], ["F64", "BF16"],
      "save takes arrays and tensors")
raises(lmodel.UnsupportedError, lambda: lmodel.save("x.lmodel", {"s": torch.eye(3).to_sparse()}),
       "sparse", "save: a sparse tensor")
raises(lmodel.UnsupportedError,
       lambda: lmodel.save("x.lmodel", {"q": torch.quantize_per_tensor(torch.ones(3), .1, 0,
                                                                       torch.qint8)}),
       "qint8", "save: a quantized tensor")
owner = lmodel.keygen("owner.key")
lmodel.torch.save_file(state, "keyed.lmodel", tiers={"all": None}, select="all", mask="zero",
                       owner=owner)
got = lmodel.torch.load_file("keyed.lmodel", identity="owner.key")
ok(all(torch.equal(got[n], state[n].detach()) for n in state), "save_file and load_file with keys")
got, told = warned(lambda: lmodel.torch.load_file("keyed.lmodel"), lmodel.DegradedWarning)
ok(told and not torch.equal(got["a"], shared), "load_file without the key warns")

# the widest unsigned integers
safetensors.save("u.safetensors", {"u": np.array([1, 2**63 - 1], "u8"), "v": np.array([2**32 - 1],
                                                                                      "u4")})
lmodel.pack("u.lmodel", "u.safetensors")
got = lmodel.load_torch("u.lmodel")
equal((got["u"].tolist(), got["v"].tolist()), ([1, 2**63 - 1], [2**32 - 1]),
      "unsigned integers keep their values")
if not hasattr(torch, "uint64"):
    lmodel.save("v.lmodel", {"u": np.array([2**63], "u8")})
    raises(lmodel.UnsupportedError, lambda: lmodel.load_torch("v.lmodel"), "uint64",
           "... or are refused")

# ---- the same without PyTorch ----

without = subprocess.run([sys.executable, __file__, "--no-torch"], capture_output=True, text=True,
                         check=False)
ok(without.returncode == 0 and "1.." in without.stdout, "all that needs no PyTorch, without it")
if without.returncode:
    note(without.stdout[-3000:] + without.stderr[-3000:])
done()
