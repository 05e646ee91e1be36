"""Tensors of an archive into arrays: the memory is the array's own from the start."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from .dtypes import Dtype, of_tensor
from .errors import UsageError
from .views import TensorInfo

if TYPE_CHECKING:
    from ._library import Progress
    from .archive import Archive

_BLOCK = 1 << 16
_WORTH_A_THREAD = 1 << 20  # bytes
_HUGE_PAGE = 2 << 20


def check_bf16(bf16: str) -> bool:
    """Whether bfloat16 is to become float32; UsageError for an unknown choice."""
    if bf16 not in ("float32", "raw"):
        raise UsageError(f"bf16={bf16!r} is neither 'float32' nor 'raw'")
    return bf16 == "float32"


def _widen_in_place(wide: np.ndarray, raw: np.ndarray) -> None:
    """float32 of the bfloat16 bits that stand in the upper half of the same memory. From the
    front, what is written never reaches what is still to be read; within a block NumPy sees to
    it."""
    bits = wide.reshape(-1).view("<u4")
    for i in range(0, bits.size, _BLOCK):
        block = bits[i:i + _BLOCK]
        block[:] = raw[i:i + _BLOCK]
        np.left_shift(block, 16, out=block)


def _widen_all(pairs: list[tuple[np.ndarray, np.ndarray]], jobs: int | None) -> None:
    """The same for many, an array a thread: NumPy lets go of the interpreter's lock."""
    large = [pair for pair in pairs if pair[1].nbytes >= _WORTH_A_THREAD]
    for wide, raw in pairs:
        if raw.nbytes < _WORTH_A_THREAD:
            _widen_in_place(wide, raw)
    threads = min(jobs or len(os.sched_getaffinity(0)), len(large))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(_widen_in_place, *pair) for pair in large]:
                done.result()
    else:
        for pair in large:
            _widen_in_place(*pair)


def _empty(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """As np.empty(), in huge pages where the system has them: to have the kernel find small ones, one
    fault each, takes longer than to decode what goes into them."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if size >= _HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:  # so many mappings are not allowed
            return np.empty(shape, kind)
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(memory, kind).reshape(shape)
    return np.empty(shape, kind)


def _allocate(info: TensorInfo, dtype: Dtype, widen: bool) -> tuple[np.ndarray, np.ndarray]:
    """The array, and the part of its memory (flat bytes) that takes the raw tensor."""
    if widen:
        array = _empty(info.shape, "<f4")
        return array, array.reshape(-1).view("|u1")[info.nbytes:]
    array = _empty(info.shape if dtype.whole else (info.nbytes,), dtype.numpy)
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
    _widen_all(later, jobs)
    for name, original in copies:
        array = found[name][0]
        array[...] = found[original][0].reshape(array.shape)
    return found
