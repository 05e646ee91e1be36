"""Tensors of an archive into arrays: the memory is the array's own from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .dtypes import Dtype, of_tensor
from .errors import UsageError
from .views import TensorInfo

if TYPE_CHECKING:
    from ._library import Progress
    from .archive import Archive

_BLOCK = 1 << 16


def check_bf16(bf16: str) -> bool:
    """Whether bfloat16 is to become float32; UsageError for an unknown choice."""
    if bf16 not in ("float32", "raw"):
        raise UsageError(f"bf16={bf16!r} is neither 'float32' nor 'raw'")
    return bf16 == "float32"


def _widen_in_place(wide: np.ndarray, raw: np.ndarray) -> None:
    """float32 of the bfloat16 bits that stand in the upper half of the same memory. From the
    front, what is written never reaches what is still to be read."""
    bits = wide.reshape(-1).view("<u4")
    for i in range(0, bits.size, _BLOCK):
        bits[i:i + _BLOCK] = raw[i:i + _BLOCK].astype("<u4") << 16


def _allocate(info: TensorInfo, dtype: Dtype, widen: bool) -> tuple[np.ndarray, np.ndarray]:
    """The array, and the part of its memory (flat bytes) that takes the raw tensor."""
    if widen:
        array = np.empty(info.shape, "<f4")
        return array, array.reshape(-1).view("|u1")[info.nbytes:]
    array = np.empty(info.shape if dtype.whole else (info.nbytes,), dtype.numpy)
    return array, array.reshape(-1).view("|u1")


def read(archive: Archive, wanted: list[TensorInfo], bf16: str, jobs: int | None,
         progress: Progress) -> dict[str, tuple[np.ndarray, Dtype]]:
    """Whole tensors, by name, and their element types."""
    widen = check_bf16(bf16)
    found, rows, later, copies = {}, [], [], []
    read_already: dict[str, str] = {}
    for info in wanted:
        if info.name in found:
            continue
        dtype = of_tensor(info)
        wide = widen and dtype.name == "BF16"
        array, raw = _allocate(info, dtype, wide)
        found[info.name] = array, dtype
        original = read_already.setdefault(info.alias_of or info.name, info.name)
        if original != info.name:
            copies.append((info.name, original))
            continue
        if info.nbytes:
            rows.append((info.name, 0, info.nbytes, raw.ctypes.data))
        if wide:
            later.append((array, raw.view("<u2")))
    archive._read_ranges(rows, jobs, progress)
    for array, raw in later:
        _widen_in_place(array, raw)
    for name, original in copies:
        array = found[name][0]
        array[...] = found[original][0].reshape(array.shape)
    return found
