"""Makes the models to measure with: recipes and seeds, no files.

Every file is safetensors with the tensors of a transformer: square matrices, wide ones and short
vectors. Above POOL bytes values come again, turned around by other amounts: no compressor here
looks back that far, so sizes are those of fresh values.
"""
from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

POOL = 256 << 20
SEED = 20260801

Shape = tuple[int, ...]


def bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 to the bits of bf16, rounded to nearest even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """normal(0, 0.02), as networks begin."""
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)


def trained(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """As training leaves weights: a scale a row, heavy tails (Student's t, 5 degrees)."""
    values = rng.standard_normal(shape, dtype=np.float32)
    values /= np.sqrt(rng.standard_gamma(2.5, shape, dtype=np.float32) / np.float32(2.5))
    scale = np.exp(0.5 * rng.standard_normal((shape[0],) + (1,) * (len(shape) - 1)))
    return values * (0.02 * scale).astype(np.float32)


def as_f32(values: np.ndarray) -> np.ndarray:
    """The bits of float32."""
    return values.view(np.uint32)


def widened(values: np.ndarray) -> np.ndarray:
    """float32 that is bf16 with zeros behind."""
    return bfloat16(values).astype(np.uint32) << 16


# name: dtype, values, their bits
KINDS: dict[str, tuple[str, Callable[[np.random.Generator, Shape], np.ndarray],
                       Callable[[np.ndarray], np.ndarray]]] = {
    "bf16": ("BF16", normal, bfloat16),
    "fp32": ("F32", normal, as_f32),
    "trained-bf16": ("BF16", trained, bfloat16),
    "trained-fp32": ("F32", trained, as_f32),
    "widened": ("F32", normal, widened),
}
WIDTH = {"BF16": 2, "F32": 4}


def layers(size: int, width: int, side: int | None = None) -> Iterator[tuple[str, Shape]]:
    """Names and shapes of tensors of about `size` bytes in all. `side` of the square ones: by size
    unless it is given."""
    if side is None:
        side = 2048 if size >= 200e6 else 1024 if size >= 40e6 else 256
    used, layer = 0, 0
    parts = [("self_attn.q_proj", (side, side)), ("self_attn.o_proj", (side, side)),
             ("mlp.up_proj", (2 * side, side)), ("mlp.down_proj", (side, 2 * side)),
             ("input_layernorm", (side,))]
    while used < size:
        for part, shape in parts:
            yield f"model.layers.{layer}.{part}.weight", shape
            used += width * int(np.prod(shape))
        layer += 1


def equal(count: int, elements: int) -> Iterator[tuple[str, Shape]]:
    """Names and shapes of many tensors of one size."""
    for i in range(count):
        yield f"model.layers.{i // 100}.expert.{i % 100}.weight", (elements,)


def write(path: Path, kind: str, tensors: Iterator[tuple[str, Shape]]) -> int:
    """Writes a safetensors file; its bytes."""
    dtype, values, bits = KINDS[kind]
    shapes = list(tensors)
    header, at = {}, 0
    for name, shape in shapes:
        size = WIDTH[dtype] * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(SEED)
    pool: dict[Shape, np.ndarray] = {}
    made = 0
    with path.open("wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for number, (_, shape) in enumerate(shapes):
            if made < POOL or shape not in pool:
                pool[shape] = bits(values(rng, shape))
                made += pool[shape].nbytes
                f.write(pool[shape].tobytes())
            else:
                # Whole rows go round: scales stay with their rows.
                turned = np.roll(pool[shape], 1 + 97 * number % max(shape[0] - 1, 1), axis=0)
                f.write(turned.tobytes())
    return 8 + len(text) + at


def model(path: Path, kind: str, size: int, side: int | None = None) -> int:
    """A model of about `size` bytes; `side` as in layers()."""
    return write(path, kind, layers(size, WIDTH[KINDS[kind][0]], side))


def quantised(path: Path, tool: Path, megabytes: int) -> int:
    """A GGUF file of Q4_K and Q6_K blocks, by tests/lib/mkgguf.py."""
    rows = max(1, megabytes * 1_000_000 // 2 // (144 * 16))
    tensors = [f"blk.{i}.ffn_up.weight:Q4_K:4096x{rows // 2}" for i in range(2)]
    tensors.append(f"blk.0.ffn_down.weight:Q6_K:4096x{rows * 144 // 210}")
    subprocess.run([sys.executable, tool, path, "--kv", "general.architecture=string:llama",
                    *tensors], check=True)
    return path.stat().st_size


def planes_entropy(path: Path, limit: int = 256 << 20) -> float | None:
    """Bytes that a code without memory needs for the byte planes of a safetensors file, as a share
    of raw: the order-0 entropy of each plane of each tensor (sign turned to the low end, so that
    the exponent fills a byte). Of the first `limit` bytes. None when it has other than floats."""
    with path.open("rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
    header.pop("__metadata__", None)
    words = np.memmap(path, np.uint8, "r", 8 + length)
    raw, bound = 0, 0.0
    for entry in header.values():
        width = {"BF16": 2, "F16": 2, "F32": 4}.get(entry["dtype"])
        begin, end = entry["data_offsets"]
        if width is None:
            return None
        if end == begin or raw >= limit:
            continue
        if entry["dtype"] == "F16":  # five bits of exponent: planes as they are
            turned = np.frombuffer(words[begin:end].tobytes(), np.uint16)
            turned = (turned << 1) | (turned >> 15)
        else:
            kind = np.uint16 if width == 2 else np.uint32
            turned = np.frombuffer(words[begin:end].tobytes(), kind)
            turned = (turned << kind(1)) | (turned >> kind(8 * width - 1))
        planes = turned.view(np.uint8).reshape(-1, width)
        for plane in range(width):
            counts = np.bincount(planes[:, plane], minlength=256)
            counts = counts[counts > 0]
            bound -= float((counts * np.log2(counts / counts.sum())).sum()) / 8
        raw += end - begin
    return bound / raw if raw else None
