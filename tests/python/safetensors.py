"""The package's own safetensors files: read by mapping, written whole, hostile ones refused."""

import json
import os
import stat

import numpy as np

import lmodel
from lib import by_hand
from lib.pytap import done, equal, raises, same, tool
from lmodel import dtypes, safetensors

tool("mkmodel.py", "m.safetensors", "w:F32:30x40", "h:BF16:9", "e:F8_E5M2:4x4", "q:F4:4x4",
     "s:I64:",
     "none:F32:0x9", "b:BOOL:7:arange", "--meta", "k=v")
truth = by_hand.read("m.safetensors")
arrays, metadata = safetensors.load("m.safetensors")
equal((list(arrays), metadata), (list(truth), {"k": "v"}), "load: names in order, metadata")
for name, (_, _, _, array) in truth.items():
    same(arrays[name], array, f"load: {name}")
equal(safetensors.dtypes("m.safetensors"), {n: row[0] for n, row in truth.items()}, "dtypes")
before = open("m.safetensors", "rb").read()
arrays["w"][...] = 0
equal(open("m.safetensors", "rb").read(), before, "writing into an array leaves the file alone")
same(safetensors.load("m.safetensors")[0]["w"], truth["w"][3], "... and other loads")

kinds = safetensors.dtypes("m.safetensors")
arrays = safetensors.load("m.safetensors")[0]
del arrays["q"]
safetensors.save("n.safetensors", arrays, metadata, {n: k for n, k in kinds.items() if n != "q"})
again = by_hand.read("n.safetensors")
for name, array in arrays.items():
    equal(again[name][:3], truth[name][:3], f"save: {name}")
equal(oct(stat.S_IMODE(os.stat("n.safetensors").st_mode)), oct(0o666 & ~os.umask(0o022)),
      "save: the usual mode")
body = open("n.safetensors", "rb").read()
equal(int.from_bytes(body[:8], "little") % 8, 0, "save: data is aligned")
safetensors.save("n.safetensors", {"x": np.arange(3)})
equal(list(by_hand.read("n.safetensors")), ["x"], "save: over what was there")
raises(FileNotFoundError, lambda: safetensors.save("no/where", {"x": np.ones(1)}), "",
       "save: no folder")
raises(lmodel.UsageError, lambda: safetensors.save("z", {"x": np.ones(2)}, {"a": 1}), "strings",
       "save: metadata that is no text")
raises(lmodel.UsageError, lambda: safetensors.save("z", {"x": np.ones(2)}, None, {"x": "F4"}),
       "F4", "save: a type that cannot be made of it")
equal([f for f in os.listdir(".") if f.startswith(".lmodel-")], [],
      "save: leaves no temporary file")
mixed = {"a": np.zeros(3, "u1"), "b": np.zeros(2, "f8"), "c": np.zeros(1, "u1"),
         "d": np.zeros(1, "f8")}
safetensors.save("o.safetensors", mixed)
equal(list(safetensors.load("o.safetensors")[0]), ["b", "d", "a", "c"], "save: wide elements first")


def write(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with open("x.safetensors", "wb") as file:
        file.write((len(text) if length is None else length).to_bytes(8, "little") + text + data)


def row(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


for name, header, data, part in (
        ("not JSON", b"{", b"", "not JSON"), ("not UTF-8", b'{"\xff":1}', b"", "not JSON"),
        ("no object", [], b"", "not an object"), ("a row that is none", {"a": 1}, b"", "'a'"),
        ("a name twice", b'{"a":1,"a":1}', b"", "twice"),
        ("no shape", {"a": {"dtype": "F32"}}, b"", "'a'"),
        ("a shape that is none", {"a": row(shape="x")}, b"1234", "shape"),
        ("a negative size", {"a": row(shape=[-1])}, b"1234", "shape"),
        ("a fraction", {"a": row(shape=[1.0])}, b"1234", "shape"),
        ("a truth value", {"a": row(shape=[True])}, b"1234", "shape"),
        ("offsets that are none", {"a": row(offsets=[0])}, b"1234", "offsets"),
        ("offsets that fall", {"a": row(offsets=[4, 0])}, b"1234", "bytes"),
        ("too few bytes", {"a": row(shape=[2])}, b"1234", "not 4 bytes"),
        ("past the end", {"a": row(shape=[2], offsets=[0, 8])}, b"1234", "by the header"),
        ("bytes left over", {"a": row()}, b"12345678", "by the header"),
        ("a hole", {"a": row(offsets=[4, 8])}, b"12345678", "does not begin"),
        ("an overlap", {"a": row(), "b": row()}, b"1234", "does not begin"),
        ("half a byte", {"a": row("F4", [1], [0, 1])}, b"1", "whole bytes"),
        ("metadata that is no text", {"__metadata__": {"a": 1}}, b"", "__metadata__"),
        ("too deep", b"[" * 200000, b"", "not JSON")):
    write(header, data)
    raises(lmodel.CorruptError, lambda: safetensors.load("x.safetensors"), part, f"refused: {name}")
write({"a": row("F99")}, b"1234")
raises(lmodel.UnsupportedError, lambda: safetensors.load("x.safetensors"), "F99", "an unknown type")
write(b"{}", b"", 1 << 40)
raises(lmodel.CorruptError, lambda: safetensors.load("x.safetensors"), "not a safetensors",
       "cut short")
for size in (0, 7):
    with open("x.safetensors", "wb") as file:
        file.write(bytes(size))
    raises(lmodel.CorruptError, lambda: safetensors.load("x.safetensors"), "not a safetensors",
           f"{size} bytes")
with open("x.safetensors", "wb") as file:
    file.write((150_000_000).to_bytes(8, "little"))
    file.truncate(200_000_000)
raises(lmodel.LimitError, lambda: safetensors.load("x.safetensors"), "150000000", "a vast header")
write(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} ', b"\0\0\x80?")
equal(safetensors.load("x.safetensors")[0]["a"].tolist(), [1.0], "data that is not aligned")
write(b"{}")
equal(safetensors.load("x.safetensors"), ({}, {}), "nothing in it")
same(dtypes.widen(np.array([0x3f80, 0xc000], "<u2")), np.array([1, -2], "<f4"), "widen")
done()
