#!/usr/bin/env python3
"""Makes a small GGUF file, version 3. Standard library only.

    mkgguf.py OUT.gguf [--version N] [--align N] [--kv KEY=TYPE:VALUE] ... NAME:TYPE:SHAPE[:SEED] ...

SHAPE is 256x4, fastest dimension first, as GGUF has it. TYPE of a tensor is F32, F16, Q8_0, Q4_K
...; quantised tensors have random numbers in blocks with sensible scales. TYPE of a value is u32,
i64, f32, bool, string ... or an array of it: --kv tokens=string[]:a,b,c
"""
import argparse
import random
import struct

TYPES = {  # number, elements and bytes of a block, place of the scale
    "F32": (0, 1, 4, None), "F16": (1, 1, 2, None), "Q4_0": (2, 32, 18, 0),
    "Q4_1": (3, 32, 20, 0), "Q5_0": (6, 32, 22, 0), "Q5_1": (7, 32, 24, 0),
    "Q8_0": (8, 32, 34, 0), "Q2_K": (10, 256, 84, 80), "Q3_K": (11, 256, 110, 108),
    "Q4_K": (12, 256, 144, 0), "Q5_K": (13, 256, 176, 0), "Q6_K": (14, 256, 210, 208),
    "IQ4_NL": (20, 32, 18, 0), "I8": (24, 1, 1, None), "I32": (26, 1, 4, None),
    "BF16": (30, 1, 2, None), "MXFP4": (39, 32, 17, None),
}
VALUES = {"u8": (0, "<B"), "i8": (1, "<b"), "u16": (2, "<H"), "i16": (3, "<h"), "u32": (4, "<I"),
          "i32": (5, "<i"), "f32": (6, "<f"), "bool": (7, "<?"), "string": (8, None),
          "u64": (10, "<Q"), "i64": (11, "<q"), "f64": (12, "<d")}


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def item(kind, text):
    if kind == "string":
        return string(text)
    value = float(text) if kind[0] == "f" else text == "true" if kind == "bool" else int(text)
    return struct.pack(VALUES[kind][1], value)


def pair(text):
    key, rest = text.split("=", 1)
    kind, value = rest.split(":", 1)
    if not kind.endswith("[]"):
        return string(key) + struct.pack("<I", VALUES[kind][0]) + item(kind, value)
    items = value.split(",") if value else []
    return (string(key) + struct.pack("<IIQ", 9, VALUES[kind[:-2]][0], len(items)) +
            b"".join(item(kind[:-2], i) for i in items))


def data(kind, elements, seed):
    number, block, size, scale = TYPES[kind]
    rng = random.Random(seed)
    if kind in ("F32", "F16"):
        code = "<f" if kind == "F32" else "<e"
        return b"".join(struct.pack(code, rng.gauss(0, 0.05)) for _ in range(elements))
    out = bytearray(rng.getrandbits(8 * (elements // block * size)).to_bytes(
        elements // block * size, "little"))
    for at in range(0, len(out), size):
        if scale is not None:
            struct.pack_into("<e", out, at + scale, abs(rng.gauss(0, 0.01)) + 0.001)
        if kind == "BF16":
            out[at:at + 2] = struct.pack("<f", rng.gauss(0, 0.05))[2:]
    return bytes(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("tensors", nargs="*")
    parser.add_argument("--kv", action="append", default=[])
    parser.add_argument("--align", type=int, default=32)
    parser.add_argument("--version", type=int, default=3)
    args = parser.parse_intermixed_args()
    if args.align != 32:
        args.kv.append("general.alignment=u32:%d" % args.align)
    head = b"GGUF" + struct.pack("<IQQ", args.version, len(args.tensors), len(args.kv))
    head += b"".join(pair(kv) for kv in args.kv)
    body = b""
    for number, text in enumerate(args.tensors):
        name, kind, shape, seed = (text.split(":") + [str(number)])[:4]
        dims = [int(d) for d in shape.split("x")] if shape else []
        elements = 1
        for d in dims:
            elements *= d
        head += string(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims,
                                           TYPES[kind][0], len(body))
        body += data(kind, elements, seed)
        body += bytes(-len(body) % args.align)
    with open(args.out, "wb") as f:
        f.write(head + (bytes(-len(head) % args.align) + body if args.tensors else b""))


main()
