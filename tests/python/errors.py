"""Each exception, and the program's exit status for the same."""

import os
import subprocess
import sys

import lmodel
from lib.pytap import done, equal, lmodel as run, ok, raises, tool
from lmodel import errors

CODES = {lmodel.LmodelError: 1, lmodel.UsageError: 2, lmodel.NoKeyError: 3, lmodel.CorruptError: 4,
         lmodel.UnsupportedError: 5, lmodel.LimitError: 6}
for kind, code in CODES.items():
    equal(kind.code, code, f"{kind.__name__} is {code}")
    ok(issubclass(kind, lmodel.LmodelError), f"{kind.__name__} is an LmodelError")
    ok(type(errors.from_code(code, "x")) is kind, f"... is what {code} gives")
ok(type(errors.from_code(77, "x")) is lmodel.LmodelError, "an unknown code is a failure")
ok(issubclass(lmodel.UsageError, ValueError), "UsageError is a ValueError")
ok(issubclass(lmodel.NoKeyError, PermissionError), "NoKeyError is a PermissionError")
equal(str(lmodel.NoKeyError("one sentence")), "one sentence", "str() is the message")

tool("mkmodel.py", "m.safetensors", "w:F32:40x50", "b:F32:100")
owner, other = lmodel.keygen("owner.key"), lmodel.keygen("other.key")
lmodel.pack("m.lmodel", "m.safetensors", tiers={"gold": "10%"}, owner=owner)
with open("m.lmodel", "rb") as file:
    good = file.read()


def put(name, data):
    with open(name, "wb") as out:
        out.write(data)
    return name


def both(kind, what, part, name, *arguments):
    """In Python and on the command line."""
    raises(kind, what, part, name)
    run(*arguments, status=CODES[kind])


both(lmodel.LmodelError, lambda: lmodel.load("missing.lmodel"), "No such file", "no such file",
     "list", "missing.lmodel")
both(lmodel.UsageError, lambda: lmodel.load("."), "is a directory", "a directory", "verify", ".")
both(lmodel.NoKeyError, lambda: lmodel.load("m.lmodel", "other.key"), "none of the keys opens it",
     "a wrong key", "extract", "-i", "other.key", "-o", "x", "m.lmodel")
both(lmodel.NoKeyError, lambda: lmodel.load("m.lmodel", tier="gold"), "needs a key",
     "a tier without a key", "extract", "--tier", "gold", "-o", "x", "m.lmodel")
both(lmodel.UsageError, lambda: lmodel.load("m.lmodel", tier="iron"), "no tier 'iron'",
     "no such tier", "extract", "--tier", "iron", "-o", "x", "m.lmodel")
damaged = bytearray(good)
damaged[-1200] ^= 1  # the last shard: that of gold
both(lmodel.CorruptError, lambda: lmodel.load(put("bad.lmodel", damaged), "owner.key"),
     "bad.lmodel",
     "damage", "extract", "-i", "owner.key", "-o", "x", "bad.lmodel")
both(lmodel.CorruptError, lambda: lmodel.load(put("cut.lmodel", good[:3000])), "cut.lmodel",
     "a file cut short", "list", "cut.lmodel")
both(lmodel.CorruptError, lambda: lmodel.load(put("none.lmodel", b"")), "is empty",
     "an empty file", "list", "none.lmodel")
put("new.safetensors", (56).to_bytes(8, "little") +
    b'{"a":{"dtype":"F9","shape":[0],"data_offsets":[0,0]}}'.ljust(56))
both(lmodel.UnsupportedError, lambda: lmodel.pack("x.lmodel", "new.safetensors"), "F9",
     "an unknown dtype", "pack", "-o", "x.lmodel", "new.safetensors")
with open("huge.safetensors", "wb") as file:
    file.write((200_000_000).to_bytes(8, "little") + b"{")
    file.truncate(300_000_000)
both(lmodel.LimitError, lambda: lmodel.pack("x.lmodel", "huge.safetensors"), "",
     "a header over the limit", "pack", "-o", "x.lmodel", "huge.safetensors")
os.unlink("huge.safetensors")
both(lmodel.UsageError, lambda: lmodel.open("m.lmodel", base=True, tier="gold"), "exclude",
     "base and a tier", "extract", "--base", "--tier", "gold", "-o", "x", "m.lmodel")
both(lmodel.UsageError, lambda: lmodel.open("m.lmodel", require_signature=True), "needs signers",
     "a signature required, by nobody", "extract", "--require-signature", "-o", "x", "m.lmodel")
both(lmodel.CorruptError, lambda: lmodel.open("m.lmodel", signers=put("signers", b"")), "sign",
     "not signed", "extract", "--signers", "signers", "-o", "x", "m.lmodel")
both(lmodel.CorruptError, lambda: lmodel.load("m.lmodel", "signers"), "", "not a key file",
     "extract", "-i", "signers", "-o", "x", "m.lmodel")
both(lmodel.LmodelError, lambda: lmodel.pack("m.lmodel", "m.safetensors"), "exists",
     "an output that exists", "pack", "-o", "m.lmodel", "m.safetensors")
equal(open("m.lmodel", "rb").read(), good, "... is left as it was")

# what cannot be handed to the library at all
for path in (None, 3, "a\0b", "", b""):
    raises(lmodel.UsageError, lambda: lmodel.open(path), "path", f"open({path!r})")
raises(lmodel.UsageError, lambda: lmodel.open("m.lmodel", "AGE-SECRET-KEY-1ABC"), "as bytes",
       "a key where a path belongs")
error = raises(lmodel.UsageError, lambda: lmodel.grant("m.lmodel", "AGE-SECRET-KEY-1ABC", "gold",
                                                      identity="owner.key"), "secret key",
               "a secret key where a recipient belongs")
ok("1ABC" not in str(error), "... is not repeated")
raises(lmodel.CorruptError, lambda: lmodel.open("m.lmodel", b"nonsense"), "identity",
       "bytes that are no key")
raises(lmodel.LmodelError, lambda: lmodel.open("-"), "No such file", "'-' is a file's name")

# no library
code = "import lmodel\ntry: lmodel.version()\nexcept lmodel.LmodelError as e: print(e)"
env = dict(os.environ, LMODEL_LIBRARY="/nowhere/liblmodel.so.0")
told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True,
                      check=True).stdout
ok("/nowhere/liblmodel.so.0" in told and "LMODEL_LIBRARY" in told, "a library that is not there")
libc = next(line.split()[-1] for line in open("/proc/self/maps") if "/libc.so" in line)
env = dict(os.environ, LMODEL_LIBRARY=libc)
told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True,
                      check=True).stdout
ok("older than this package" in told, "a library that lacks functions")
ok(lmodel.version().count(".") == 2, "version")
done()
