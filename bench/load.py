"""Loads all tensors of a model in a fresh interpreter, and prints how long that took:

    load.py lmodel|safetensors|raw FILE [--digest]

`safetensors` is the package of that name; `raw` reads the file as plainly as can be: one read into
each array. Imports are not counted. --digest prints a SHA-256 of all tensors instead.
"""
from __future__ import annotations

import hashlib
import json
import struct
import sys
import time


def by_lmodel(path: str) -> dict:
    """An archive, by this project."""
    import lmodel
    begin = time.perf_counter()
    return {"seconds": begin, "tensors": lmodel.load(path, bf16="raw")}


def by_package(path: str) -> dict:
    """An unpacked model, by the safetensors package."""
    from safetensors.numpy import load_file
    begin = time.perf_counter()
    return {"seconds": begin, "tensors": load_file(path)}


def by_hand(path: str) -> dict:
    """An unpacked model, read into arrays."""
    import numpy as np
    types = {"BF16": np.uint16, "F32": np.float32}
    begin = time.perf_counter()
    tensors = {}
    with open(path, "rb", buffering=0) as f:
        (length,) = struct.unpack("<Q", f.read(8))
        for name, entry in json.loads(f.read(length)).items():
            array = np.empty(entry["shape"], types[entry["dtype"]])
            f.readinto(memoryview(array).cast("B"))
            tensors[name] = array
    return {"seconds": begin, "tensors": tensors}


def main() -> None:
    """Loads, and prints."""
    how = {"lmodel": by_lmodel, "safetensors": by_package, "raw": by_hand}[sys.argv[1]]
    loaded = how(sys.argv[2])
    seconds = time.perf_counter() - loaded["seconds"]
    if "--digest" in sys.argv:
        digest = hashlib.sha256()
        for name in sorted(loaded["tensors"]):
            digest.update(name.encode() + loaded["tensors"][name].tobytes())
        print(digest.hexdigest())
    else:
        print(json.dumps({"seconds": seconds,
                          "bytes": sum(t.nbytes for t in loaded["tensors"].values())}))


main()
