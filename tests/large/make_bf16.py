#!/usr/bin/python3
"""usage: make_bf16.py OUT.safetensors TENSORS ELEMENTS: bf16 tensors of normal(0, 0.02) values."""
import json
import struct
import sys

import numpy as np

out, tensors, elements = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(1)
header = {f"model.layers.{i}.weight": {"dtype": "BF16", "shape": [elements],
                                       "data_offsets": [2 * elements * i, 2 * elements * (i + 1)]}
          for i in range(tensors)}
text = json.dumps(header).encode()
with open(out, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    for _ in range(tensors):
        bits = (rng.standard_normal(elements, dtype=np.float32) * np.float32(0.02)).view(np.uint32)
        # Round to nearest even.
        f.write(((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes())
