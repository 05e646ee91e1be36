#!/usr/bin/env python3
"""Makes a file as torch.save() would, without PyTorch. Standard library only.

    mktorch.py OUT [--legacy] [--global MODULE.NAME] [--alias] [--permuted]

Holds {"epoch": 3, "model": OrderedDict of 'w' (F32 4x3), 'b' (F16 5)}; --alias adds 'tied', the
same bytes as 'w'; --permuted adds 't', 6x2 in Fortran order. --global calls that name instead.
"""
import argparse
import random
import struct
import zipfile


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def number(n):
    return b"K" + bytes([n]) if n < 256 else b"J" + struct.pack("<i", n)


def numbers(values):
    return b"(" + b"".join(number(v) for v in values) + b"t"


def tensor(kind, key, count, begin, size, stride, legacy):
    storage = (b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu") +
               number(count) + (b"N" if legacy else b"") + b"tQ")
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(begin) + numbers(size) +
            numbers(stride) + b"\x89ccollections\nOrderedDict\n)RtR")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--legacy", action="store_true")
    parser.add_argument("--alias", action="store_true")
    parser.add_argument("--permuted", action="store_true")
    parser.add_argument("--global", dest="call")
    args = parser.parse_args()
    rng = random.Random(1)
    floats = lambda n, c: b"".join(struct.pack("<" + c, rng.gauss(0, 1)) for _ in range(n))
    storages = {"0": (12, floats(12, "f")), "1": (5, floats(5, "e"))}
    items = text("w") + tensor(b"FloatStorage", "0", 12, 0, (4, 3), (3, 1), args.legacy)
    items += text("b") + tensor(b"HalfStorage", "1", 5, 0, (5,), (1,), args.legacy)
    if args.alias:
        items += text("tied") + tensor(b"FloatStorage", "0", 12, 0, (4, 3), (3, 1), args.legacy)
    if args.permuted:
        storages["2"] = (12, floats(12, "f"))
        items += text("t") + tensor(b"FloatStorage", "2", 12, 0, (6, 2), (1, 6), args.legacy)
    model = b"ccollections\nOrderedDict\n)R(" + items + b"u"
    if args.call:
        module, name = args.call.rsplit(".", 1)
        model = ("c%s\n%s\n" % (module, name)).encode() + b"(" + text("true") + b"tR"
    pickle = b"\x80\x02}(" + text("epoch") + number(3) + text("model") + model + b"u."
    if args.legacy:
        with open(args.out, "wb") as f:
            f.write(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")
            f.write(b"\x80\x02M\xe9\x03.")
            f.write(b"\x80\x02}(" + text("little_endian") + b"\x88u." + pickle)
            f.write(b"\x80\x02](" + b"".join(text(k) for k in storages) + b"e.")
            for count, raw in storages.values():
                f.write(struct.pack("<q", count) + raw)
        return
    with zipfile.ZipFile(args.out, "w", zipfile.ZIP_STORED) as z:
        for name, raw in [("data.pkl", pickle), ("version", b"3\n"), ("byteorder", b"little")]:
            z.writestr(zipfile.ZipInfo("m/" + name, (1980, 1, 1, 0, 0, 0)), raw)
        for key, (_, raw) in storages.items():
            z.writestr(zipfile.ZipInfo("m/data/" + key, (1980, 1, 1, 0, 0, 0)), raw)


main()
