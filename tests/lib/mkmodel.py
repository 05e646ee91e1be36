#!/usr/bin/env python3
"""Makes a small safetensors file. Standard library only.

    mkmodel.py OUT.safetensors NAME:DTYPE:SHAPE[:FILL][:SEED] ... [--meta KEY=VALUE] ...

SHAPE is 64x3x3x3, or empty for a scalar; NAME may hold ':' when it is given as JSON text
("..."). FILL is zeros, const, normal (the default), random (any bytes) or arange. SEED is a
number; tensors of equal DTYPE, SHAPE, FILL and SEED have equal bytes. Without one the place of
the tensor is its seed.
"""
import json
import random
import struct
import sys

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32,
    "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F8_E4M3": 8,
    "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}
FILLS = ("zeros", "const", "normal", "random", "arange")


def bfloat16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    return struct.pack("<H", (bits + 0x7fff + (bits >> 16 & 1)) >> 16 & 0xffff)


def encoder(dtype):
    """A function from a number to the bytes of one element; None for dtypes filled as bytes."""
    code = {"F32": "f", "F64": "d", "F16": "e"}.get(dtype)
    if code:
        return lambda x: struct.pack("<" + code, x)
    if dtype == "BF16":
        return bfloat16
    if dtype == "C64":
        return lambda x: struct.pack("<ff", x, -x)
    if dtype == "BOOL":
        return lambda x: bytes([int(x) & 1])
    if dtype[0] in "IU":
        size = BITS[dtype] // 8
        return lambda x: (int(x * 16) & (1 << 8 * size) - 1).to_bytes(size, "little")
    return None


def data(dtype, count, fill, seed):
    total = count * BITS[dtype]
    if total % 8:
        raise SystemExit("elements of %s do not fill whole bytes" % dtype)
    total //= 8
    rng = random.Random("%s %s" % (fill, seed))
    encode = encoder(dtype)
    if fill == "zeros":
        return bytes(total)
    if fill == "random" and dtype != "BOOL":
        return rng.getrandbits(8 * total).to_bytes(total, "little") if total else b""
    if encode is None:
        if fill == "const":
            return b"\x38" * total
        if fill == "arange":
            return bytes(i & 0x7f for i in range(total))
        return bytes(int(rng.gauss(0, 12)) & 0xff for _ in range(total))
    if fill == "const":
        return encode(1.5) * count
    if fill == "arange":
        whole = dtype[0] in "IU"
        limit = 2048 if dtype in ("F16", "BF16") else 1 << 24
        return b"".join(encode(i % limit / 16 if whole else i % limit) for i in range(count))
    return b"".join(encode(rng.gauss(0, 0.05 if dtype[0] in "FBC" else 8)) for _ in range(count))


def parse(text, place):
    if text.startswith('"'):
        name, end = json.JSONDecoder().raw_decode(text)
        rest = text[end:].lstrip(":").split(":")
    else:
        name, *rest = text.split(":")
    if len(rest) < 2 or rest[0] not in BITS:
        raise SystemExit("not NAME:DTYPE:SHAPE[:FILL][:SEED]: " + text)
    dtype, shape, *more = rest
    shape = [int(n) for n in shape.split("x")] if shape else []
    fill = more.pop(0) if more and more[0] in FILLS else "normal"
    if len(more) > 1:
        raise SystemExit("unknown fill: " + text)
    return name, dtype, shape, fill, more[0] if more else "place %d" % place


def main(args):
    out, metadata, header, chunks, at = None, {}, {}, [], 0
    while args:
        arg = args.pop(0)
        if arg == "--meta":
            key, value = args.pop(0).split("=", 1)
            metadata[key] = value
        elif out is None:
            out = arg
        else:
            name, dtype, shape, fill, seed = parse(arg, len(chunks))
            count = 1
            for n in shape:
                count *= n
            chunk = data(dtype, count, fill, seed)
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(chunk)]}
            chunks.append(chunk)
            at += len(chunk)
    if out is None:
        raise SystemExit(__doc__)
    if metadata:
        header = {"__metadata__": metadata, **header}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(out, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


main(sys.argv[1:])
