"""Whole files through ZipNN's C core, which is a module of Python: zipnn.py MODULE pack|unpack
BF16|F32 IN OUT. Segments of 64 MiB: the core keeps a table for all chunks on the stack."""
from __future__ import annotations

import importlib.util
import os
import struct
import sys

SEGMENT = 64 << 20
CHUNK = 256 << 10
HEADER = 32
MODES = {"BF16": (2, 1, 10), "F32": (4, 1, 220)}  # buffers, bits and bytes: how they are turned


def main() -> None:
    """Packs or unpacks."""
    module, work, dtype, source, result = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("zipnn_core", module)
    core = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)
    buffers, bits, turned = MODES[dtype]
    threads = len(os.sched_getaffinity(0))
    with open(source, "rb") as f, open(result, "wb") as out:
        if work == "pack":
            while segment := f.read(SEGMENT):
                whole = len(segment) - len(segment) % 4
                # It turns its input around in place, and wants that writable.
                packed = core.zipnn_core(bytes(HEADER), bytearray(segment[:whole]), buffers, bits,
                                         turned, 0, CHUNK, 0.95, 10, threads) if whole else b""
                out.write(struct.pack("<III", whole, len(packed), len(segment) - whole))
                out.write(packed)
                out.write(segment[whole:])
            return
        while head := f.read(12):
            whole, length, tail = struct.unpack("<III", head)
            packed = f.read(length)
            if whole:
                out.write(core.combine_dtype(memoryview(packed)[HEADER:], buffers, bits, turned,
                                             CHUNK, whole, threads))
            out.write(f.read(tail))


main()
