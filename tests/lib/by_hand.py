"""Reads a safetensors file by hand: the package's own reader is not to check itself."""

import json

import numpy as np

TYPES = {"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4",
         "I32": "<i4", "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
         "C64": "<c8", "BF16": "<u2"}


def read(path):
    """name -> (dtype, shape, bytes, array of the bits)."""
    data = open(path, "rb").read()
    n = int.from_bytes(data[:8], "little")
    table = json.loads(data[8:8 + n])
    table.pop("__metadata__", None)
    found = {}
    for name, row in table.items():
        begin, end = row["data_offsets"]
        raw = data[8 + n + begin:8 + n + end]
        kind = TYPES.get(row["dtype"], "u1")
        array = np.frombuffer(raw, kind)
        if row["dtype"] in TYPES or row["dtype"].startswith("F8"):
            array = array.reshape(row["shape"])
        found[name] = row["dtype"], row["shape"], raw, array
    return found


def float32(bits):
    """bfloat16 bits as float32, one by one."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
