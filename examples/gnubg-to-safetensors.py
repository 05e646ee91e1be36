#!/usr/bin/env python3
"""Neural networks of GNU Backgammon (gnubg.wd) as a safetensors file.

usage: gnubg-to-safetensors.py gnubg.wd OUT.safetensors

The file holds two floats (a magic number and a version), then networks back to back, each:
four integers (inputs, hidden nodes, outputs, times trained), two floats (beta of both layers),
and the floats of hidden weights [inputs x hidden], output weights
[hidden x outputs], hidden thresholds, output thresholds. All little-endian, 32 bits.
"""
import json
import struct
import sys

MAGIC = 472.3782
NAMES = ["contact", "race", "crashed", "pruning_contact", "pruning_crashed", "pruning_race"]


def networks(data):
    magic, _version = struct.unpack_from("<2f", data)
    if abs(magic - MAGIC) > 1e-3:
        sys.exit("not a gnubg.wd file")
    at = 8
    for name in NAMES:
        if at == len(data):
            return
        inputs, hidden, outputs, trained, beta_h, beta_o = struct.unpack_from("<4i2f", data, at)
        at += 24
        parts = []
        for part, shape in (("hidden.weight", [inputs, hidden]), ("output.weight", [hidden, outputs]),
                            ("hidden.threshold", [hidden]), ("output.threshold", [outputs])):
            size = 4
            for n in shape:
                size *= n
            parts.append((f"{name}.{part}", shape, data[at:at + size]))
            at += size
        yield {f"{name}.beta_hidden": f"{beta_h:g}", f"{name}.beta_output": f"{beta_o:g}",
               f"{name}.trained": str(trained)}, parts
    if at != len(data):
        sys.exit(f"{len(data) - at} bytes are left over")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    header = {"__metadata__": {"source": "GNU Backgammon", "license": "GPL-3.0-or-later"}}
    body = b""
    for metadata, parts in networks(data):
        header["__metadata__"].update(metadata)
        for name, shape, values in parts:
            header[name] = {"dtype": "F32", "shape": shape,
                            "data_offsets": [len(body), len(body) + len(values)]}
            body += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(sys.argv[2], "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


if __name__ == "__main__":
    main()
