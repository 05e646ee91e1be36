"""Open archives: what they say of themselves, tensors, parts of tensors, closing, threads."""

import contextlib
import copy
import gc
import os
import pickle
import random
import threading

import numpy as np

import lmodel
from lib import by_hand
from lib.pytap import done, equal, lmodel as run, note, ok, raises, same, tool

DTYPES = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32",
          "F64", "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4")

tool("mkmodel.py", "m.safetensors", *[f"t.{d}:{d}:12x8:{'random' if d != 'BOOL' else 'arange'}"
                                      for d in DTYPES],
     "scalar:F32:", "none:F32:0x3", "conv:F32:16x8x3x3", "wide:BF16:64x700", "long:F16:30000",
     "a:F32:50x40:normal:7", "b:F32:50x40:normal:7", "c:F32:2000:normal:7",
     "--meta", "license=MIT", "--meta", "name=ünï")
with open("config.json", "w", encoding="utf-8") as file:
    file.write('{"hidden": 3}\n')
open("empty.txt", "w", encoding="utf-8").close()
lmodel.pack("m.lmodel", "m.safetensors", attach=["config.json", "empty.txt"], chunk_bytes=4096)
truth = by_hand.read("m.safetensors")

# ---- what it says ----

archive = lmodel.open("m.lmodel")
equal(archive.keys(), list(truth), "keys, in the order of the data")
equal(list(archive), list(truth), "the archive iterates over names")
equal(len(archive), len(truth), "... and has a length")
ok("conv" in archive and "nope" not in archive and 3 not in archive, "... and knows its names")
equal(archive.metadata(), {"license": "MIT", "name": "ünï"}, "metadata")
for name, (dtype, shape, raw, _) in truth.items():
    t = archive.tensors[name]
    equal((t.name, t.dtype, list(t.shape), t.nbytes, t.protected_share, t.tiers),
          (name, dtype, shape, len(raw), 0.0, ()), f"{name}: what is said of it")
equal(archive.tensors["c"].alias_of, "a", "an alias")
info = archive.info
equal((info.tensor_count, info.source_count, info.attachment_count, info.file_bytes),
      (len(truth), 1, 2, os.path.getsize("m.lmodel")), "info")
equal((archive.tiers, archive.slots, archive.level, archive.degraded), ([], [], None, False),
      "nothing is protected")
equal({n: a.nbytes for n, a in archive.attachments.items()}, {"config.json": 14, "empty.txt": 0},
      "side files")
equal(archive.read_attachment("config.json"), b'{"hidden": 3}\n', "... the bytes of one")
equal(archive.read_attachment("empty.txt"), b"", "... of an empty one")
raises(lmodel.UsageError, lambda: archive.read_attachment("x"), "side file 'x'", "... of none")
with contextlib.suppress(TypeError):
    archive.tensors["x"] = 1
ok("x" not in archive.tensors, "what it says cannot be changed")
ok("m.lmodel" in repr(archive) and "level None" in repr(archive), "repr")

# ---- whole tensors ----

everything = archive.load()
equal(list(everything), list(truth), "load gives all, in order")
raw = lmodel.load("m.lmodel", bf16="raw", jobs=3)
for name, (dtype, _, _, bits) in truth.items():
    same(raw[name], bits, f"{name}: its bits")
    same(everything[name], by_hand.float32(bits) if dtype == "BF16" else bits,
         f"{name}: its values")
    same(archive.get_tensor(name), everything[name], f"{name}: alone")
    ok(everything[name].flags.writeable and everything[name].flags.c_contiguous,
       f"{name}: memory of its own")
everything["a"][0, 0] = 99
ok(everything["b"][0, 0] != 99, "tensors stored once are not one in memory")
equal(list(archive.load(["conv", "a"])), ["conv", "a"], "some by name, in that order")
equal(list(archive.load("conv")), ["conv"], "one by name")
same(archive.load(["c", "b"])["c"], truth["c"][3], "an alias without its original")
same(archive["conv"], truth["conv"][3], "archive[name]")
raises(lmodel.UsageError, lambda: archive.get_tensor("nope"), "no tensor 'nope'", "no such tensor")
raises(lmodel.UsageError, lambda: archive.load(["conv", "nope"]), "no tensor 'nope'",
       "... among others")
raises(lmodel.UsageError, lambda: archive.load(bf16="float16"), "bf16='float16'", "bad bf16")
raises(lmodel.UsageError, lambda: archive.load(jobs=-1), "jobs", "bad jobs")
special = np.array([0x0000, 0x8000, 0x7f80, 0xff80, 0x7fc1, 0x0001, 0x3f80], "<u2")
lmodel.save("bf16.lmodel", {"x": special}, dtypes={"x": "BF16"})
same(lmodel.load("bf16.lmodel")["x"], by_hand.float32(special),
     "zeros, infinities, NaN and subnormals of bfloat16 are exact")
big = np.arange(300000, dtype="<u4").astype("<u2")
lmodel.save("big.lmodel", {"x": big}, dtypes={"x": "BF16"})
same(lmodel.load("big.lmodel")["x"], by_hand.float32(big), "bfloat16 of many blocks")

# ---- parts ----

rng = random.Random(1)


def any_index(size):
    if rng.random() < .3 and size:
        return rng.randrange(-size, size)
    if rng.random() < .3:
        return slice(None)
    place = lambda: rng.choice([None, rng.randrange(-size - 2, size + 3)])
    return slice(place(), place(), rng.choice([None, 1, 2, 3, -1, -2, 7]))


def any_key(shape):
    key = [any_index(size) for size in shape[:rng.randrange(len(shape) + 1)]]
    if rng.random() < .3:
        cut = rng.randrange(len(key) + 1)
        rest = [any_index(size) for size in shape[len(shape) - len(key) + cut:]]
        key[cut:] = [Ellipsis] + rest
    return key[0] if len(key) == 1 and rng.random() < .5 else tuple(key)


bad = 0
for _ in range(400 if "LMODEL_SANITIZED" in os.environ else 1500):
    name = rng.choice(["conv", "wide", "long", "scalar", "none", "c", "t.U8", "t.C64"])
    key = any_key(truth[name][3].shape)
    want, got = truth[name][3][key], archive.get_slice(name, bf16="raw")[key]
    if got.shape != want.shape or got.tobytes() != want.tobytes() or not got.flags.c_contiguous:
        note(f"{name}[{key!r}]: {got.shape}, wanted {want.shape}")
        bad += 1
equal(bad, 0, "parts are as those of the whole")
wide = archive.get_slice("wide")
same(wide[3:5, ::-2], by_hand.float32(truth["wide"][3][3:5, ::-2].copy()), "a part of bfloat16")
equal((wide.get_shape(), wide.get_dtype(), wide.shape, len(wide)), ([64, 700], "BF16", (64, 700),
                                                                    64),
      "what a part knows of the whole")
part = archive.get_slice("conv")
raises(IndexError, lambda: part[16], "out of bounds", "an index past the end")
raises(IndexError, lambda: part[0, 0, 0, 0, 0], "too many", "too many indices")
raises(IndexError, lambda: part[..., 0, ...], "too many", "two ellipses")
raises(IndexError, lambda: part[True], "", "a truth value")
raises(lmodel.UsageError, lambda: part["x"], "is no index", "a name")
raises(lmodel.UsageError, lambda: part[[1, 2]], "is no index", "a list")
raises(lmodel.UsageError, lambda: part[::0], "zero", "a step of nothing")
raises(lmodel.UnsupportedError, lambda: archive.get_slice("t.F4")[0], "cannot be indexed",
       "a type below a byte")

# Only what is needed is read: another part is damaged, and nobody minds.
data = np.arange(1 << 18, dtype="<f4").reshape(256, 1024) + np.float32(.1)
lmodel.save("far.lmodel", {"x": data}, chunk_bytes=4096)
blob = bytearray(open("far.lmodel", "rb").read())
blob[len(blob) * 3 // 4] ^= 255
open("far.lmodel", "wb").write(blob)
with lmodel.open("far.lmodel") as far:
    same(far.get_slice("x")[:20], data[:20], "a part far from the damage")
    same(far.get_slice("x")[250:], data[250:], "... on both sides")
    raises(lmodel.CorruptError, lambda: far.get_tensor("x"), "SHA-256", "... all of it")

# A window moves over what is too much to hold.
tall = np.arange(3 * 50 * 7, dtype="<i4").reshape(3, 50, 7)
lmodel.save("tall.lmodel", {"x": tall})
from lmodel import slices  # noqa: E402
slices._WINDOW, slices._GAP = 300, 60
with lmodel.open("tall.lmodel") as a:
    bad = 0
    for _ in range(500):
        key = any_key(tall.shape)
        bad += a.get_slice("x")[key].tobytes() != tall[key].tobytes()
    equal(bad, 0, "parts through a small window")

# ---- threads ----

failures = []


def read_much(seed):
    mine = random.Random(seed)
    try:
        for _ in range(40):
            name = mine.choice(list(truth))
            if archive.get_tensor(name, bf16="raw").tobytes() != truth[name][3].tobytes():
                failures.append(name)
    except Exception as e:  # a thread's failure is the test's
        failures.append(repr(e))


threads = [threading.Thread(target=read_much, args=(i,)) for i in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
equal(failures, [], "six threads read one archive")


def read_until_closed(which):
    try:
        while True:
            which.load(["conv", "long", "wide"], jobs=2)
    except lmodel.UsageError as e:
        failures.append(str(e))


other = lmodel.open("m.lmodel")
threads = [threading.Thread(target=read_until_closed, args=(other,)) for _ in range(3)]
for thread in threads:
    thread.start()
other.close()
for thread in threads:
    thread.join()
equal(len(failures), 3, "closing while others read: they end, told that it is closed")

# ---- closing ----


def handles():
    return sum(os.path.realpath(f"/proc/self/fd/{fd}").endswith("m.lmodel")
               for fd in os.listdir("/proc/self/fd"))


archive.close()
archive.close()
ok("closed" in repr(archive), "a closed archive says so")
for what in (lambda: archive.load(), lambda: archive.tiers, lambda: archive.metadata(),
             lambda: archive.get_slice("conv")[0], lambda: archive.level, lambda: part[0],
             lambda: archive.keys(), lambda: archive.info, lambda: "conv" in archive):
    raises(lmodel.UsageError, what, "the archive is closed", "use after closing")
equal(handles(), 0, "closed files are closed")
leak = lmodel.open("m.lmodel")
equal(handles(), 1, "an open one is open")
del leak
gc.collect()
equal(handles(), 0, "one that is forgotten closes")
with lmodel.open("m.lmodel") as archive:
    raises(TypeError, lambda: pickle.dumps(archive), "cannot be pickled", "pickling")
    raises(TypeError, lambda: copy.copy(archive), "cannot be pickled", "copying")
raises(lmodel.UsageError, lambda: archive.keys(), "closed", "after the with")

# ---- progress ----

seen = []
lmodel.load("m.lmodel", progress=lambda done_, total: seen.append((done_, total)))
ok(seen and seen[-1][0] == seen[-1][1] > 0, "progress ends at the end")


def stop(_done, _total):
    raise KeyboardInterrupt


try:
    lmodel.load("m.lmodel", progress=stop)
    ok(False, "what progress raises stops the reading")
except KeyboardInterrupt:
    ok(True, "what progress raises stops the reading")
run("verify", "m.lmodel")
done()
