"""Archives made from Python: from memory, where nothing is on disk, and from files."""

import logging
import os
import pathlib
import subprocess
import sys

import numpy as np

import lmodel
from lib import by_hand
from lib.pytap import done, equal, lmodel as run, ok, raises, same, tool
from lmodel import safetensors

owner, ann = lmodel.keygen("owner.key"), lmodel.keygen("ann.key")
with open("owner.pub", "w", encoding="utf-8") as file:
    file.write(owner + "\n")
rng = np.random.default_rng(2)

# ---- from memory ----

model = {"w": rng.normal(size=(70, 90)).astype("f4"), "b": np.zeros(90, "f4"),
         "count": np.array(7, "i8"), "flags": np.array([True, False]),
         "big": np.arange(6, dtype=">f8").reshape(2, 3),
         "t": np.arange(12, dtype="u2").reshape(3, 4).T,
         "none": np.zeros((0, 4), "f2"), "c": np.array([1 + 2j], "c8"),
         "strided": np.arange(100, dtype="i2")[::3], "bits": np.arange(4, dtype="u2")}
model["tied"] = model["w"]
lmodel.save("m.lmodel", model, {"format": "np", "name": "ünï"}, dtypes={"bits": "BF16"})
got = lmodel.load("m.lmodel", bf16="raw")
equal(sorted(got), sorted(model), "save: all tensors are there")
for name, array in model.items():
    same(got[name], array.astype(array.dtype.newbyteorder("<")), f"save: {name}")
with lmodel.open("m.lmodel") as archive:
    equal(archive.metadata(), {"format": "np", "name": "ünï"}, "save: metadata")
    equal(archive.tensors["bits"].dtype, "BF16", "save: a type that NumPy lacks")
    equal(archive.tensors["tied"].alias_of, "w", "save: what is there twice is stored once")
equal([s["name"] for s in lmodel.inspect("m.lmodel")["sources"]], ["model.safetensors"],
      "save: the input has a name")
lmodel.save("n.lmodel", model, name="sub/x.safetensors", dtypes={"bits": "BF16"})
lmodel.extract("n.lmodel", "out/", format="native")
equal(sorted(by_hand.read("out/sub/x.safetensors")), sorted(model), "save: under another name")
equal(sorted(lmodel.open("n.lmodel").keys()),
      sorted("sub/" + name for name in model), "save: which tensors have, too, by the folder")
raises(TypeError, lambda: lmodel.save("not.lmodel", object()), "mapping of names", "no mapping")
raises(lmodel.LmodelError, lambda: lmodel.save("m.lmodel", model), "exists", "save: exists")
lmodel.save("m.lmodel", {"x": np.ones(3)}, overwrite=True)
equal(list(lmodel.load("m.lmodel")), ["x"], "save: overwrite")
lmodel.save("e.lmodel", {})
equal(lmodel.load("e.lmodel"), {}, "save: nothing at all")
for seed in ("s1.lmodel", "s2.lmodel"):
    lmodel.save(seed, model, seed=b"1234", jobs=1 + (seed[1] == "2"))
equal(open("s1.lmodel", "rb").read(), open("s2.lmodel", "rb").read(), "save: the same seed")
for name, what, kind, part in (
        ("objects", {"x": np.array([None])}, lmodel.UnsupportedError, "object"),
        ("strings", {"x": np.array(["a"])}, lmodel.UnsupportedError, "<U1"),
        ("times", {"x": np.array([1], "m8[s]")}, lmodel.UnsupportedError, "timedelta"),
        ("a name that is none", {3: np.ones(1)}, lmodel.UsageError, "name"),
        ("a reserved name", {"__metadata__": np.ones(1)}, lmodel.UsageError, "__metadata__")):
    raises(kind, lambda: lmodel.save("x.lmodel", what), part, f"save: {name}")
raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", model, {"a": 3}), "metadata",
       "save: metadata that is no text")
raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", model, dtypes={"q": "BF16"}), "'q'",
       "save: a type for nothing")
raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", model, dtypes={"w": "BF16"}), "cannot be",
       "save: a type that does not fit")
raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", model, name="sub/x"), "name",
       "save: a name with a folder")
raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", model, name="../x"), "name",
       "save: a name that leads out")
raises(TypeError, lambda: lmodel.save("x.lmodel", model, colour="red"), "colour",
       "save: an unknown argument")
raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", model, level="best"),
       "default, fast, small", "save: an unknown level")
ok(not os.path.exists("x.lmodel"), "what fails leaves nothing")


def stop(_done, _total):
    raise InterruptedError("enough")


raises(InterruptedError, lambda: lmodel.save("x.lmodel", {"x": rng.normal(size=300000)},
                                             progress=stop), "enough", "save: stopped")
equal([f for f in os.listdir(".") if f.startswith((".lmodel", "x."))], [],
      "... and nothing is left")

# Nothing of the plain weights is written but into the archive, and there not the hidden ones.
secret = np.frombuffer(b"THE-TRUE-WEIGHT!" * 4096, "<f4").copy()
secret[::2] = rng.normal(size=secret[::2].size)
np.save("secret.npy", secret)
script = f"""
import lmodel, numpy
lmodel.save("sealed.lmodel", {{"w": numpy.load("secret.npy")}}, tiers={{"all": None}},
            select="all", mask="zero", owner="{owner}")
"""
os.mkdir("tmp")
env = dict(os.environ, TMPDIR=os.path.abspath("tmp"))
if "LMODEL_SANITIZED" not in os.environ:
    subprocess.run(["strace", "-f", "-qq", "-e", "trace=openat,open,creat,memfd_create", "-o",
                    "trace", sys.executable, "-c", script], env=env, check=True)
    opened = [line for line in open("trace", encoding="utf-8", errors="replace")
              if "O_WRONLY" in line or "O_RDWR" in line or "O_CREAT" in line]
    allowed = ("O_TMPFILE", "/dev/", "/proc/self/fd", "__pycache__", "/.state/", "/shm")
    plain = [line for line in opened if not any(a in line for a in allowed) and "= -1" not in line]
    equal(plain, [], "save: no file is written but the archive")
    ok("memfd_create(\"model\"" in open("trace", encoding="utf-8").read(), "... from memory")
else:
    subprocess.run([sys.executable, "-c", script], env=env, check=True)
equal(os.listdir("tmp"), [], "save: no temporary file is left")
ok(b"THE-TRUE-WEIGHT!" not in open("sealed.lmodel", "rb").read(), "save: what is hidden is hidden")
same(lmodel.load("sealed.lmodel", "owner.key")["w"], secret, "... and comes back")

# ---- tiers ----

for name, amounts, texts in (
        ("shares", {"s": .04, "g": 0.5}, ["0.04", "0.5"]),
        ("text", {"s": "4%", "g": "0.5"}, ["4%", "0.5"]),
        ("units", {"s": 10, "g": "100"}, ["10", "100"]),
        ("all", {"s": "4%", "g": 1.0}, ["4%", "1.0"])):
    lmodel.save("t.lmodel", model, tiers=amounts, owner=owner, overwrite=True)
    equal([t.amount for t in lmodel.open("t.lmodel").tiers], texts, f"tiers: {name}")
for name, arguments, part in (
        ("no units", {"tiers": {"a": -1}}, "nothing"),
        ("less than nothing", {"tiers": {"a": -.1}}, ""),
        ("too much", {"tiers": {"a": 1.5}}, "at most all"),
        ("no amount", {"tiers": {"a": "x"}}, "'x'"),
        ("101 %", {"tiers": {"a": "101%"}}, ""),
        ("two points", {"tiers": {"a": "1.2.3%"}}, "1.2.3"),
        ("a truth value", {"tiers": {"a": True}}, "True"),
        ("NaN", {"tiers": {"a": float("nan")}}, ""),
        ("a bad name", {"tiers": {"-a": .1}}, "-a"), ("no name", {"tiers": {3: .1}}, "3"),
        ("falling", {"tiers": {"a": .2, "b": .1}}, ""),
        ("no owner", {"owner": None}, "owner"), ("no such owner", {"owner": "bob"}, "recipient"),
        ("a tier that is not there", {"recipients": {"x": ann}}, "'x'"),
        ("an unknown choice", {"select": "best"}, "pss"), ("a bad mask", {"mask": "DPRM"}, "dprm")):
    how = {"tiers": {"a": .1}, "owner": owner, **arguments}
    raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", model, **how), part, f"tiers: {name}")
raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", model, owner=owner), "tiers",
       "an owner, and no tiers")
raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", model, tiers={"a": .1}, owner=owner,
                                             seed=b"1"), "", "a seed with real keys")
lmodel.save("k.lmodel", model, tiers={"a": .1}, owner=owner, seed=b"1", test_keys=True)
ok(True, "... unless test_keys says so")

# by scores, from memory and from a file; the same as the program does
net = {"a": rng.normal(size=(40, 50)).astype("f4"), "b": rng.normal(size=2000).astype("f4")}
safetensors.save("net.safetensors", net)
scores = {"a": np.zeros((40, 50), "f4"), "b": np.zeros(2000, "f4")}
scores["a"][3, :30] = 5 + rng.random(30)
safetensors.save("scores.safetensors", scores)
for given in ("scores.safetensors", scores):
    lmodel.save("sc.lmodel", net, tiers={"a": 30}, owner=owner, scores=given, scope="model",
                select="magnitude", raw_scores=True, overwrite=True)
    about, runs = lmodel.positions("sc.lmodel", "a", "a", "owner.key")
    equal((about["hidden"], runs), (30, [(150, 30)]), f"scores as {type(given).__name__}")
public = {k: v.copy() for k, v in net.items()}
public["b"][100:110] += 1
for given in (public, None):
    if given is None:
        safetensors.save("public.safetensors", public)
        given = pathlib.Path("public.safetensors")
    lmodel.save("rf.lmodel", net, tiers={"a": None}, owner=owner, reference=given, overwrite=True)
    equal(lmodel.positions("rf.lmodel", "b", "a", "owner.key")[1], [(100, 10)],
          f"a reference as {type(given).__name__}")
lmodel.save("inc.lmodel", net, tiers={"a": .1}, owner=owner, include="b*", unit="block")
equal([t.tiers for t in lmodel.open("inc.lmodel").tensors.values()], [(), ("a",)], "include")
lmodel.save("v1.lmodel", net, tiers={"a": .1}, owner=owner)
lmodel.save("v2.lmodel", net, tiers={"a": .1}, owner=owner, like="v1.lmodel",
            like_identity="owner.key")
same(lmodel.load("v2.lmodel", base=True)["a"], lmodel.load("v1.lmodel", base=True)["a"],
     "like: the same places and stand-ins")

# ---- from files ----

tool("mkmodel.py", "f.safetensors", "w:F32:30x40", "e:F8_E4M3:9", "q:F4:64")
lmodel.pack("f.lmodel", "f.safetensors")
lmodel.extract("f.lmodel", "again.safetensors")
equal(open("again.safetensors", "rb").read(), open("f.safetensors", "rb").read(),
      "pack and extract: the same file")
os.mkdir("hf")
os.rename("again.safetensors", "hf/model.safetensors")
with open("hf/config.json", "w", encoding="utf-8") as file:
    file.write("{}")
with open("hf/junk.tmp", "w", encoding="utf-8") as file:
    file.write("x")
told = []
handler = logging.Handler()
handler.emit = lambda record: told.append(record.getMessage())
logging.getLogger("lmodel").addHandler(handler)
lmodel.pack(pathlib.Path("hf.lmodel"), [pathlib.Path("hf")], attach={"notes/a.txt": "owner.pub"})
ok(any("junk.tmp" in line for line in told), "pack: notices go to the logger")
with lmodel.open("hf.lmodel") as archive:
    equal(archive.read_attachment("config.json"), b"{}", "pack: a directory and its side files")
    equal(archive.read_attachment("notes/a.txt").decode(), owner + "\n", "... and one beside")
lmodel.pack("two.lmodel", ["f.safetensors", "net.safetensors"], level="small", chunk_bytes=8192,
            attach=["owner.pub"])
equal(sorted(lmodel.load("two.lmodel")), ["a", "b", "e", "q", "w"], "pack: two inputs")
lmodel.save("seal.lmodel", net, tiers={"a": .1, "files": 0}, owner=owner, recipients={"a": ann},
            attach={"key.txt": ("owner.pub", "files"), "all.txt": "owner.pub"})
with lmodel.open("seal.lmodel", "owner.key") as archive:
    equal({n: (a.tier, a.open) for n, a in archive.attachments.items()},
          {"key.txt": ("files", True), "all.txt": (None, True)}, "side files: of a tier and public")
    equal(archive.read_attachment("key.txt").decode(), owner + "\n", "... sealed ones, with a key")
with lmodel.open("seal.lmodel", "ann.key") as archive:
    raises(lmodel.NoKeyError, lambda: archive.read_attachment("key.txt"), "", "... not without")
    equal(archive.read_attachment("all.txt").decode(), owner + "\n", "... public ones are for all")
    equal((archive.level, archive.degraded), ("a", False), "all weights are there")
raises(lmodel.UsageError, lambda: lmodel.save("x.lmodel", net,
                                             attach={"k": ("owner.pub", "files")}),
       "", "a side file for a tier, and no tiers")
raises(lmodel.LmodelError, lambda: lmodel.pack("x.lmodel", "missing"), "No such file",
       "pack: no input")
raises(lmodel.UsageError, lambda: lmodel.pack("x.lmodel", []), "", "pack: nothing")

# ---- extract ----

os.mkdir("d")
lmodel.extract("two.lmodel", "d", patterns=["a", "w"], exclude="w")
equal(list(by_hand.read("d/model.safetensors")), ["a"], "extract: by pattern")
lmodel.extract("two.lmodel", "shards/", max_shard_bytes=9000)
equal(len([f for f in os.listdir("shards") if f.endswith(".safetensors")]), 3, "extract: shards")
raises(lmodel.UsageError, lambda: lmodel.extract("two.lmodel", "x", patterns="nope"), "nope",
       "extract: a pattern that picks nothing")
raises(lmodel.LmodelError, lambda: lmodel.extract("f.lmodel", "f.safetensors"), "exists",
       "extract: an output that exists")
lmodel.extract("v1.lmodel", "v1.safetensors", "owner.key")
for name, (_, _, _, array) in by_hand.read("v1.safetensors").items():
    same(array, net[name], f"extract: with a key: {name}")
raises(lmodel.UsageError, lambda: lmodel.extract("f.lmodel", "x", format="gif"), "native",
       "extract: an unknown format")
run("verify", "two.lmodel")
done()
