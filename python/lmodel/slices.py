"""Parts of a tensor: from an index to the byte ranges that it needs, and back to an array."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _torch
from ._arrays import check_bf16
from .dtypes import of_tensor, widen
from .errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    import torch

    from .archive import Archive
    from .views import TensorInfo

# Elements nearer to each other than this are read in one range: they share chunks anyway.
_GAP = 1 << 18
# Memory for what is read and not wanted.
_WINDOW = 1 << 26


class _Axis(NamedTuple):
    """Which places of an axis, ascending; then what is left to do."""

    start: int
    step: int
    count: int
    flip: bool     # wanted in descending order
    drop: bool     # an integer: the axis goes


def _axis(index: Any, size: int, name: str) -> _Axis:
    if isinstance(index, slice):
        try:
            places = range(*index.indices(size))
        except (TypeError, ValueError) as e:
            raise UsageError(f"tensor {name!r}: {e}") from None
        flip = places.step < 0 and len(places) > 0
        ascending = places[::-1] if flip else places
        return _Axis(ascending.start, abs(places.step), len(places), flip, False)
    try:
        at = operator.index(index)
    except TypeError:
        raise UsageError(f"tensor {name!r}: {index!r} is no index: integers, slices and ... "
                         "are") from None
    if isinstance(index, (bool, np.bool_)) or not -size <= at < size:
        raise IndexError(f"tensor {name!r}: index {index} is out of bounds for {size}")
    return _Axis(at % size, 1, 1, False, True)


def _axes(key: Any, shape: tuple[int, ...], name: str) -> list[_Axis]:
    items = list(key) if isinstance(key, tuple) else [key]
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1 or len(items) - len(dots) > len(shape):
        raise IndexError(f"tensor {name!r}: too many indices for {len(shape)} dimensions")
    fill = [slice(None)] * (len(shape) - len(items) + len(dots))
    at = dots[0] if dots else len(items)
    items[at:at + len(dots)] = fill
    return [_axis(item, size, name) for item, size in zip(items, shape)]


class _Plan(NamedTuple):
    """Runs of `run` bytes from each of `offsets` (ascending) make an array of `shape`, of which
    `pick` is wanted."""

    offsets: np.ndarray
    run: int
    shape: list[int]
    pick: tuple[Any, ...]


def _plan(axes: list[_Axis], shape: tuple[int, ...], size: int) -> _Plan:
    strides = [size] * len(shape)
    for i in reversed(range(len(shape) - 1)):
        strides[i] = strides[i + 1] * shape[i + 1]
    # The innermost axis that is not taken whole: one run covers its places and all within.
    inner = next((i for i in reversed(range(len(axes))) if axes[i].count != shape[i]), 0)
    offsets = np.zeros(1, np.int64)
    outer = inner
    if axes and axes[inner].step * strides[inner] >= _GAP:
        outer = inner + 1
    for axis, stride in zip(axes[:outer], strides):
        places = (axis.start + axis.step * np.arange(axis.count, dtype=np.int64)) * stride
        offsets = (offsets[:, None] + places).reshape(-1)
    counts = [axis.count for axis in axes]
    pick = [slice(None, None, -1 if axis.flip else 1) for axis in axes]
    run = size
    if outer == inner and axes:
        axis = axes[inner]
        counts[inner] = (axis.count - 1) * axis.step + 1
        offsets = offsets + axis.start * strides[inner]
        pick[inner] = slice(None, None, -axis.step if axis.flip else axis.step)
    for n in counts[outer:]:
        run *= n
    picks: list[Any] = [0 if axis.drop else p for axis, p in zip(axes, pick)]
    return _Plan(offsets, run, counts, tuple(picks))


def _segments(plan: _Plan) -> np.ndarray:
    """Where in ``plan.offsets`` a new range begins."""
    gaps = np.diff(plan.offsets) - plan.run
    return np.concatenate(([0], np.nonzero(gaps >= _GAP)[0] + 1, [plan.offsets.size]))


def _read(archive: Archive, name: str, plan: _Plan, target: np.ndarray) -> None:
    """Fills `target`, flat bytes."""
    run, offsets = plan.run, plan.offsets
    if run == target.size or (np.diff(offsets) == run).all():
        archive._read_ranges([(name, int(offsets[0]), target.size, target.ctypes.data)])
        return
    borders = _segments(plan)
    held = max(1, _WINDOW // max(run, 1))
    direct, near = [], []
    for first, last in zip(borders[:-1].tolist(), borders[1:].tolist()):
        if last - first == 1:
            address = target.ctypes.data + first * run
            direct.append((name, int(offsets[first]), run, address))
            continue
        while first < last:
            # As many runs as fit into the window, from the first to the last of them.
            limit = int(np.searchsorted(offsets[first:last], offsets[first] + _WINDOW - run,
                                        "right"))
            end = first + max(1, min(limit, held))
            near.append((first, end))
            first = end
    if direct:
        archive._read_ranges(direct)
    for first, end in near:
        base = int(offsets[first])
        window = np.empty(int(offsets[end - 1]) + run - base, "|u1")
        archive._read_ranges([(name, base, window.size, window.ctypes.data)])
        rows = target[first * run:end * run].reshape(end - first, run)
        starts = offsets[first:end] - base
        steps = np.diff(starts)
        if steps.size and (steps == steps[0]).all():
            rows[...] = np.lib.stride_tricks.as_strided(window, rows.shape, (int(steps[0]), 1))
        else:
            for row, start in zip(rows, starts.tolist()):
                row[...] = window[start:start + run]


class TensorSlice:
    """A tensor that is read when it is indexed: by integers, slices of any step and ``...``.

    Made by ``Archive.get_slice()``; as safe for threads as the archive.
    """

    def __init__(self, archive: Archive, info: TensorInfo, bf16: str = "float32") -> None:
        self._archive, self._info = archive, info
        self._dtype = of_tensor(info)
        self._widen = check_bf16(bf16) and info.dtype == "BF16"

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole tensor's."""
        return self._info.shape

    def get_shape(self) -> list[int]:
        """The whole tensor's."""
        return list(self._info.shape)

    def get_dtype(self) -> str:
        """As in safetensors: "F32", "BF16", ..."""
        return self._info.dtype

    def __len__(self) -> int:
        if not self._info.shape:
            raise TypeError("a scalar has no length")
        return self._info.shape[0]

    def raw(self, key: Any) -> np.ndarray:
        """The part, of bfloat16 and 8-bit floats as bits. IndexError, UsageError for a bad index;
        UnsupportedError for types below a byte."""
        if not self._dtype.whole:
            raise UnsupportedError(f"tensor {self._info.name!r}: {self._info.dtype} cannot be "
                                   "indexed: get_tensor() gives its bytes")
        axes = _axes(key, self._info.shape, self._info.name)
        if any(axis.count == 0 for axis in axes):
            return np.empty([a.count for a in axes if not a.drop], self._dtype.numpy)
        plan = _plan(axes, self._info.shape, self._dtype.bits // 8)
        box = np.empty(plan.shape, self._dtype.numpy)
        _read(self._archive, self._info.name, plan, box.reshape(-1).view("|u1"))
        part = box[plan.pick] if axes else box
        # A contiguous array of its own size: a view would hold all that was read.
        return np.array(part, copy=True, order="C") if part.size < box.size else \
            np.ascontiguousarray(part).reshape(np.shape(part))

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self.raw(key)
        return widen(part) if self._widen else part

    def to_torch(self, key: Any) -> torch.Tensor:
        """The part as a tensor of PyTorch; bfloat16 is exact."""
        return _torch.from_numpy(self.raw(key), self._dtype)
