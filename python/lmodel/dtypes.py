"""Element types: safetensors names, and what NumPy and PyTorch make of them.

NumPy has no bfloat16 and no 8-bit floats; PyTorch has them from some version on. Where a type is
missing, its bits are given as unsigned integers of the same width ("raw"). Types below a byte are
raw bytes, as a flat array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from .views import TensorInfo


class Dtype(NamedTuple):
    """One element type of the format."""

    name: str      # as in safetensors: "F32", "BF16", ...
    bits: int      # an element
    numpy: str     # exact NumPy type, or an unsigned integer of the same width
    exact: bool    # whether `numpy` is the type itself
    torch: str     # name in the torch module

    @property
    def whole(self) -> bool:
        """Whether an element is one of the NumPy type; otherwise arrays are flat bytes."""
        return self.bits == 8 * np.dtype(self.numpy).itemsize


_ALL = (
    Dtype("BOOL", 8, "|b1", True, "bool"),
    Dtype("U8", 8, "|u1", True, "uint8"),
    Dtype("I8", 8, "|i1", True, "int8"),
    Dtype("U16", 16, "<u2", True, "uint16"),
    Dtype("I16", 16, "<i2", True, "int16"),
    Dtype("U32", 32, "<u4", True, "uint32"),
    Dtype("I32", 32, "<i4", True, "int32"),
    Dtype("U64", 64, "<u8", True, "uint64"),
    Dtype("I64", 64, "<i8", True, "int64"),
    Dtype("F16", 16, "<f2", True, "float16"),
    Dtype("BF16", 16, "<u2", False, "bfloat16"),
    Dtype("F32", 32, "<f4", True, "float32"),
    Dtype("F64", 64, "<f8", True, "float64"),
    Dtype("C64", 64, "<c8", True, "complex64"),
    Dtype("F8_E4M3", 8, "|u1", False, "float8_e4m3fn"),
    Dtype("F8_E5M2", 8, "|u1", False, "float8_e5m2"),
    Dtype("F8_E8M0", 8, "|u1", False, "float8_e8m0fnu"),
    Dtype("F8_E4M3FNUZ", 8, "|u1", False, "float8_e4m3fnuz"),
    Dtype("F8_E5M2FNUZ", 8, "|u1", False, "float8_e5m2fnuz"),
    Dtype("F6_E2M3", 6, "|u1", False, ""),
    Dtype("F6_E3M2", 6, "|u1", False, ""),
    Dtype("F4", 4, "|u1", False, ""),
)
_BY_NAME = {d.name: d for d in _ALL}
_BY_NUMPY = {np.dtype(d.numpy): d for d in _ALL if d.exact}


def find(name: str) -> Dtype:
    """The element type of a safetensors name; UnsupportedError when there is none."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnsupportedError(f"dtype {name!r} is not known") from None


def of_tensor(info: TensorInfo) -> Dtype:
    """The element type of an archive's tensor. What this package does not know is raw bytes."""
    return _BY_NAME.get(info.dtype) or Dtype(info.dtype, 0, "|u1", False, "")


def of_array(array: np.ndarray) -> Dtype:
    """The element type that an array is stored as; UnsupportedError for objects, strings, ..."""
    dtype = _BY_NUMPY.get(array.dtype.newbyteorder("<"))
    if dtype is None:
        raise UnsupportedError(f"NumPy arrays of {array.dtype} cannot be stored")
    return dtype


def byte_count(dtype: Dtype, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor; UsageError when the bits do not fill whole bytes."""
    bits = dtype.bits
    for n in shape:
        bits *= n
    if bits % 8:
        raise UsageError(f"{dtype.name} of shape {list(shape)} does not fill whole bytes")
    return bits // 8


def numpy_shape(dtype: Dtype, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the NumPy array for a tensor: its own, or flat bytes for types below a byte."""
    return shape if dtype.whole else (byte_count(dtype, shape),)


def widen(raw: np.ndarray) -> np.ndarray:
    """bfloat16 bits (uint16) as float32: exact, in fresh memory."""
    wide = np.empty(raw.shape, "<u4")
    np.left_shift(raw, 16, out=wide, dtype="<u4", casting="unsafe")
    return wide.view("<f4")
