#!/usr/bin/env python3
"""Images to test with, and what is in them, without any library for images.

    mkimage.py png KIND WIDTH HEIGHT FILE [SEED]   KIND: grey grey16 rgb rgb16 greya rgba rgba16
                                                   grey1 grey4 palette palette-trns interlaced
    mkimage.py npy DESCR SHAPE FILE [SEED [VALUE [FORTRAN]]]    DESCR: '|u1' '<f4' ..., SHAPE: 9,4,4
    mkimage.py show FILE                           of a PNG: "rgb 8 WIDTHxHEIGHT" and a SHA-256
"""
import hashlib
import random
import struct
import sys
import zlib

KINDS = {  # colour type, bits, samples a pixel
    "grey": (0, 8, 1), "grey16": (0, 16, 1), "rgb": (2, 8, 3), "rgb16": (2, 16, 3),
    "greya": (4, 8, 2), "rgba": (6, 8, 4), "rgba16": (6, 16, 4), "grey1": (0, 1, 1),
    "grey4": (0, 4, 1), "palette": (3, 8, 1), "palette-trns": (3, 8, 1), "interlaced": (2, 8, 3),
}
NAMES = {0: "grey", 2: "rgb", 3: "palette", 4: "greya", 6: "rgba"}
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(kind, width, height, path, seed=1):
    colour, bits, samples = KINDS[kind]
    draw = random.Random(seed)
    row = (width * samples * bits + 7) // 8
    rows = [draw.randbytes(row) for _ in range(height)]
    raw = b"".join(b"\0" + r for r in rows)
    if kind == "interlaced":
        raw = b""
        for x0, y0, dx, dy in ADAM7:
            for y in range(y0, height, dy):
                line = b"".join(rows[y][3 * x:3 * x + 3] for x in range(x0, width, dx))
                raw += b"\0" + line if line else b""
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
        ">IIBBBBB", width, height, bits, colour, 0, 0, kind == "interlaced"))
    out += chunk(b"tEXt", b"Comment\0not to be kept")
    if colour == 3:
        out += chunk(b"PLTE", draw.randbytes(768))
        if kind == "palette-trns":
            out += chunk(b"tRNS", draw.randbytes(200))
    data = zlib.compress(raw)
    out += chunk(b"IDAT", data[:20]) + chunk(b"IDAT", data[20:]) + chunk(b"IEND", b"")
    with open(path, "wb") as file:
        file.write(out)


def decode(path):
    """(colour type, bits, width, height, names of chunks, rows of samples as bytes)."""
    with open(path, "rb") as file:
        data = file.read()
    at, names, packed = 8, [], b""
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + size]
        names.append(name.decode())
        if name == b"IHDR":
            width, height, bits, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
        packed += body if name == b"IDAT" else b""
        at += 12 + size
    assert interlace == 0
    raw, step = zlib.decompress(packed), max(1, SAMPLES[colour] * bits // 8)
    row = (width * SAMPLES[colour] * bits + 7) // 8
    rows, before = [], bytearray(row)
    for y in range(height):
        kind, line = raw[y * (row + 1)], bytearray(raw[y * (row + 1) + 1:(y + 1) * (row + 1)])
        for i in range(row):
            left = line[i - step] if i >= step else 0
            corner = before[i - step] if i >= step else 0
            guess = left + before[i] - corner
            nearest = min((left, before[i], corner), key=lambda v: abs(guess - v))
            line[i] = (line[i] + (0, left, before[i], (left + before[i]) // 2, nearest)[kind]) % 256
        rows.append(bytes(line))
        before = line
    return colour, bits, width, height, names, rows


def npy(descr, shape, path, seed=1, value=None, fortran=False):
    """Random samples, floats as multiples of 1/255; or all of one value."""
    shape = tuple(int(n) for n in shape.split(","))
    count = 1
    for n in shape:
        count *= n
    size = int(descr[2:])
    if descr == "<f4":
        draw = random.Random(seed)
        drawn = [draw.randrange(256) / 255 if value is None else float(value)
                 for _ in range(count)]
        data = struct.pack(f"<{count}f", *drawn)
    else:
        data = random.Random(seed).randbytes(count * size)
    header = (f"{{'descr': '{descr}', 'fortran_order': {bool(fortran)}, "
              f"'shape': {shape}, }}").encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data)


def samples(path):
    """The bytes of an array's samples."""
    with open(path, "rb") as file:
        data = file.read()
    return data[10 + struct.unpack_from("<H", data, 8)[0]:]


def main(what, *rest):
    if what == "png":
        kind, width, height, path, *seed = rest
        png(kind, int(width), int(height), path, *map(int, seed))
    elif what == "npy":
        npy(*rest)
    else:
        colour, bits, width, height, names, rows = decode(rest[0])
        print(NAMES[colour], bits, f"{width}x{height}", hashlib.sha256(b"".join(rows)).hexdigest(),
              *(n for n in names if n not in ("IHDR", "IDAT", "IEND")))


if __name__ == "__main__":
    main(*sys.argv[1:])
