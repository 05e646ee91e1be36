#!/usr/bin/env python3
"""Makes an ONNX model, as bytes of Protocol Buffers. Standard library only.

    mkonnx.py OUT.onnx [--external FILE] [--checksum] [--location NAME] [--opset N]
              [--property KEY=VALUE] ... [--constant N] [--depth N] [--break WHAT]
              NAME:TYPE:SHAPE[:FORM] ...

TYPE is FLOAT, FLOAT16, DOUBLE, INT64, INT8, INT4 ...; SHAPE is 4x3. FORM is raw (also without one),
typed (float_data, int32_data ... as the type has it), loose (float_data, one by one), at@N or at:
in the file of --external, at N or at the next multiple of 64. --location is what the model says
instead of that file's name. --constant adds a node with a constant of N floats; --depth nests N
graphs in nodes. Numbers are random, the same in each run.
"""
import argparse
import random
import struct

TYPES = {  # number, bytes of an element, field for typed numbers
    "FLOAT": (1, 4, 4), "UINT8": (2, 1, 5), "INT8": (3, 1, 5), "INT32": (6, 4, 5),
    "INT64": (7, 8, 7), "STRING": (8, 0, 6), "BOOL": (9, 1, 5), "FLOAT16": (10, 2, 5),
    "DOUBLE": (11, 8, 10), "UINT64": (13, 8, 11), "BFLOAT16": (16, 2, 5),
    "FLOAT8E4M3FN": (17, 1, 5), "INT4": (22, 0.5, 5),
}
BREAKS = ("group", "field0", "type6", "varint", "varint65", "two-graphs", "no-graph", "long-dim",
          "no-name", "bad-name", "no-type", "short", "two-raw", "rank", "unknown-type")


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def part(field, content):
    raw = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def values(kind, elements, rng):
    if kind == "FLOAT":
        return b"".join(struct.pack("<f", rng.gauss(0, 0.05)) for _ in range(elements))
    if kind == "FLOAT16":
        return b"".join(struct.pack("<e", rng.gauss(0, 0.05)) for _ in range(elements))
    if kind == "DOUBLE":
        return b"".join(struct.pack("<d", rng.gauss(0, 0.05)) for _ in range(elements))
    return bytes(rng.randrange(256) for _ in range(int(TYPES[kind][1] * elements + 0.5)))


def typed(kind, raw, form):
    field, size = TYPES[kind][2], int(TYPES[kind][1])
    if form == "loose":
        return b"".join(varint(field << 3 | (5 if size == 4 else 1)) + raw[i:i + size]
                        for i in range(0, len(raw), size))
    if field in (4, 10):
        return part(field, raw)
    return part(field, b"".join(varint(int.from_bytes(raw[i:i + size], "little"))
                                for i in range(0, len(raw), size)))


def tensor(args, text, data, rng):
    name, kind, shape, form = (text.split(":") + ["raw"])[:4]
    dims = [int(d) for d in shape.split("x")] if shape else []
    elements = 1
    for d in dims:
        elements *= d
    raw = values(kind, elements, rng)
    out = b"".join(number(1, d) for d in dims) + number(2, TYPES[kind][0])
    if args.broken == "no-type":
        out = b"".join(number(1, d) for d in dims)
    if args.broken == "unknown-type":
        out += number(2, 99)
    if args.broken == "long-dim":
        out += number(1, -1)
    if args.broken == "rank":
        out += number(1, 1) * 65
    if args.broken != "no-name":
        out += part(8, b"\xff\xfe" if args.broken == "bad-name" else name)
    if form.startswith("at"):
        offset = int(form[3:]) if form[2:] else (len(data) + 63) // 64 * 64
        data.extend(bytes(max(0, offset + len(raw) - len(data))))
        data[offset:offset + len(raw)] = raw
        pairs = [("location", args.location or args.external), ("offset", str(offset)),
                 ("length", str(len(raw)))]
        if args.checksum:
            pairs.append(("checksum", "0" * 40))
        return out + b"".join(part(13, part(1, k) + part(2, v)) for k, v in pairs) + number(14, 1)
    if form != "raw":
        return out + typed(kind, raw, form)
    if args.broken == "short":
        raw = raw[:-1]
    return out + part(9, raw) * (2 if args.broken == "two-raw" else 1)


def nested(depth):
    graph = part(2, "inner")
    for level in range(depth):
        graph = part(2, "g") + part(1, part(4, "If") + part(5, part(1, "then_branch") +
                                                            part(6, graph) + number(20, 5)))
    return graph


def constant(count, rng):
    value = number(1, count) + number(2, 1) + part(9, values("FLOAT", count, rng))
    return part(1, part(2, "c") + part(4, "Constant") +
                part(5, part(1, "value") + part(5, value) + number(20, 4)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("tensors", nargs="*")
    parser.add_argument("--external")
    parser.add_argument("--checksum", action="store_true")
    parser.add_argument("--location")
    parser.add_argument("--opset", type=int, default=15)
    parser.add_argument("--property", action="append", default=[])
    parser.add_argument("--constant", type=int)
    parser.add_argument("--depth", type=int)
    parser.add_argument("--break", dest="broken", choices=BREAKS)
    args = parser.parse_intermixed_args()
    rng = random.Random(args.out.rsplit("/", 1)[-1])
    data = bytearray()
    graph = b""
    if args.constant is not None:
        graph += constant(args.constant, rng)
    if args.depth is not None:
        graph += part(1, part(4, "If") + part(5, part(1, "b") + part(6, nested(args.depth))))
    graph += part(2, "main")
    graph += b"".join(part(5, tensor(args, t, data, rng)) for t in args.tensors)
    model = number(1, 8) + part(2, "mkonnx")
    if args.broken != "no-graph":
        model += part(7, graph)
    model += part(8, part(1, "") + number(2, args.opset))
    for text in args.property:
        key, value = text.split("=", 1)
        model += part(14, part(1, key) + part(2, value))
    model += {"group": b"\xa3\x06\xa4\x06", "field0": b"\0\1", "type6": b"\x0e\0",
              "varint": b"\xa0\x06" + b"\xff" * 11, "varint65": b"\xa0\x06" + b"\xff" * 9 + b"\2",
              "two-graphs": part(7, graph)}.get(args.broken, b"")
    with open(args.out, "wb") as f:
        f.write(model)
    if args.external:
        with open(args.out.rpartition("/")[0] + "/" * ("/" in args.out) + args.external,
                  "wb") as f:
            f.write(data)


main()
