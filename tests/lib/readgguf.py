#!/usr/bin/env python3
"""Reads GGUF, version 3, as strictly as ggml does, from GGUF's own description alone. Standard
library only.

    readgguf.py FILE.gguf               what is in it, as JSON: values with their types, tensors
    readgguf.py FILE.gguf EXPRESSION... fails unless every Python expression is true; in them are
                                        kv {key: (type, value)}, raw {key: bytes of the pair},
                                        tensors {name: (type number, dims, bytes)}, data (offset)
"""
import json
import struct
import sys

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
           11: "<q", 12: "<d"}
BLOCKS = {  # type number: elements and bytes of a block
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17)}


class Reader:
    """Bytes from front to back."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        """The next bytes; all of them must be there."""
        assert len(self.data) - self.at >= count, "truncated at %d" % self.at
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, code):
        """A number, of struct's code."""
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def string(self):
        """A string, with its u64 length before it."""
        return self.take(self.number("<Q")).decode("utf-8")

    def value(self, kind):
        """A value of this type: text, a number, or a list."""
        if kind == 8:
            return self.string()
        if kind == 9:
            inner = self.number("<I")
            return [self.value(inner) for _ in range(self.number("<Q"))]
        if kind == 7:
            assert self.data[self.at] in (0, 1), "a bool is %d" % self.data[self.at]
        return self.number(SCALARS[kind])


def read(path):
    """Key-values, their bytes, tensors, where the data begin."""
    r = Reader(open(path, "rb").read())
    assert r.take(4) == b"GGUF" and r.number("<I") == 3, "magic, version"
    tensor_count, pair_count = r.number("<Q"), r.number("<Q")
    kv, raw, infos = {}, {}, []
    for _ in range(pair_count):
        begin, key = r.at, r.string()
        assert key and key not in kv, "key %r" % key
        kind = r.number("<I")
        kv[key] = kind, r.value(kind)
        raw[key] = r.data[begin:r.at]
    align = kv.get("general.alignment", (4, 32))
    assert align[0] == 4 and align[1] > 0 and align[1] & align[1] - 1 == 0, align
    align = align[1]
    for _ in range(tensor_count):
        name = r.string()
        dims = [r.number("<Q") for _ in range(r.number("<I"))]
        infos.append((name, dims, r.number("<I"), r.number("<Q")))
    assert len({i[0] for i in infos}) == len(infos), "a name twice"
    r.take(-r.at % align)
    data, end, tensors = r.at, r.at, {}
    for name, dims, kind, offset in infos:
        assert len(dims) <= 4, "%s: dimensions" % name
        assert not any(r.data[end:data + offset]), "%s: padding" % name
        assert data + offset == end + (data - end) % align, "%s: offset" % name
        block, size = BLOCKS[kind]
        count = 1
        for d in dims:
            count *= d
        assert (dims[0] if dims else 1) % block == 0, "%s: rows" % name
        r.at = data + offset
        tensors[name] = kind, dims, r.take(count // block * size)
        end = r.at
    assert len(r.data) == end + (data - end) % align and not any(r.data[end:]), "end of the file"
    return kv, raw, tensors, data


def main():
    kv, raw, tensors, data = read(sys.argv[1])
    names = {"kv": kv, "raw": raw, "tensors": tensors, "data": data, "read": read,
             "struct": struct}
    if len(sys.argv) == 2:
        print(json.dumps({"kv": kv, "tensors": {n: t[:2] for n, t in tensors.items()}}))
    for expression in sys.argv[2:]:
        if not eval(expression, names):
            sys.exit("not so: %s" % expression)


if __name__ == "__main__":
    main()
